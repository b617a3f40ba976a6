package clickhouse

import (
	"testing"

	"midwatch/store"
)

// An answer that is cut short is an error, wherever it is cut, and never fewer
// rows: they would read as "no evidence".
func TestAnswerIsCut(t *testing.T) {
	const n = 100
	p := newPlace(t, servers.Start(t), false)
	if err := loadEvents(t.Context(), p.open(t, "", nil), n); err != nil {
		t.Fatal(err)
	}
	px := newProxy(t, p.node.Addr())
	s := p.open(t, px.addr(), nil)
	places := 0
	// With a stride of 1 it finds nothing either, and takes half a minute.
	for at := int64(1); ; at += 61 {
		c := px.order(cut{down: at})
		got := 0
		err := store.Each(t.Context(), s, "SELECT id, line FROM events ORDER BY id", nil, func(func(...any) error) error { got++; return nil })
		if err == nil && got != n {
			t.Errorf("cut after %d bytes: %d rows and no error", at, got)
		}
		select {
		case <-c.done:
			places++
			continue
		default:
		}
		px.order(cut{})
		break
	}
	if places < 50 {
		t.Errorf("the answer was cut in %d places only", places)
	}
}
