package parse

import (
	"errors"

	"midwatch/event"
)

// Collected reads the notes that `midwatch collect` puts beside answers of which
// it is known that they are not all: two fetches of a window differed. They
// make no events. The case's coverage has them.
//
// Source: package collect, docs/COLLECT.md.
type Collected struct{}

// CollectedKey is the only member of such a note.
const CollectedKey = "midwatchCollected"

// Name implements [Format].
func (Collected) Name() string { return "collected" }

// Doc implements [Format].
func (Collected) Doc() string {
	return "notes of midwatch collect: windows of a log of which two fetches differed"
}

// Sniff implements [Format].
func (Collected) Sniff(r *Record) bool { return !r.Table && r.Value.Exists(CollectedKey) }

// Parse implements [Format].
func (Collected) Parse(r *Record, s *Sink) error {
	v := r.Value.Get(CollectedKey)
	w := event.Window{
		Tenant: s.Lower(text(v.Get("tenant"))), Log: s.Bytes(text(v.Get("log"))), Source: event.Source(s.Bytes(text(v.Get("source")))), Kind: s.Bytes(text(v.Get("kind"))),
		Differs: v.GetBool("differs"), OnlyFirst: v.GetInt64("only_first"), OnlySecond: v.GetInt64("only_second"),
	}
	for _, x := range []struct {
		name string
		at   *int64
	}{{"from", &w.From}, {"to", &w.To}, {"fetched", &w.Fetched}} {
		t, _, ok := Micros(text(v.Get(x.name)))
		if !ok {
			return errors.New("a note of midwatch collect without the time " + x.name)
		}
		*x.at = t
	}
	if w.Source == "" || w.To <= w.From {
		return errors.New("a note of midwatch collect without a log or a window")
	}
	s.Batch.Windows = append(s.Batch.Windows, w)
	return nil
}
