package duckdb

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/event"
	"midwatch/store/storetest"
)

// What a process learns of the events of another is what it would have known
// had it stored them itself: the same again is a duplicate, other content under
// the same id is a conflict. More rows than one question asks for, texts of all
// lengths, and values that are missing.
func TestLearn(t *testing.T) {
	const n = idsAtOnce + 5000
	make1 := func(i int) event.Event {
		e := storetest.Event(i)
		e.Operation = strings.Repeat("ö", i%9)
		e.Actor = strings.Repeat("a", i%30)
		e.IP, e.MailboxID, e.MessageID = fmt.Sprint("192.0.2.", i%7), strings.Repeat("m", i%14), strings.Repeat("<long>", i%50)
		e.Code, e.Format, e.ItemCount = "", "ual", int32(i%5)
		if i%11 == 0 {
			e.Time, e.Format = 0, ""
		}
		return e
	}
	path := filepath.Join(t.TempDir(), "events.duckdb")
	s := opened(t, path)
	var batches []*event.Batch
	for from := 0; from < n; from += 5000 {
		b := &event.Batch{}
		for i := from; i < from+5000; i++ {
			b.Events = append(b.Events, make1(i))
		}
		batches = append(batches, b)
	}
	if err := begun(t, s, batches...).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, path)
	l := begun(t, s)
	b := &event.Batch{}
	for i := range n {
		e := make1(i)
		if i%1000 == 7 {
			e.Actor += "x"
		}
		b.Events = append(b.Events, e)
	}
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	for i := range b.Events {
		if other := i%1000 == 7; b.Duplicate[i] == other || (b.Events[i].Flags&event.FlagIDConflict != 0) != other {
			t.Fatalf("event %d: duplicate %v, flags %x", i, b.Duplicate[i], b.Events[i].Flags)
		}
	}
	if err := l.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
