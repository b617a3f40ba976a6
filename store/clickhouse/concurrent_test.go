package clickhouse

import (
	"fmt"
	"sync"
	"testing"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/storetest"
)

// many opens the same store several times, as processes of their own would.
func many(t *testing.T, cluster bool, n int) []*Store {
	t.Helper()
	open := opener(cluster)
	out := make([]*Store, n)
	for i := range out {
		s := open(t, "a").(*Store)
		out[i] = s
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return out
}

// events makes a batch of events with one item each.
func events(from, to int, file int32, change func(*event.Event)) *event.Batch {
	b := &event.Batch{}
	for n := from; n < to; n++ {
		e := storetest.Event(n)
		e.File = file
		if change != nil {
			change(&e)
		}
		b.Items = append(b.Items, event.Item{Event: int32(len(b.Events)), Kind: event.ItemMessage, MessageID: fmt.Sprint(n), Size: -1})
		b.Events = append(b.Events, e)
	}
	return b
}

// write loads a batch as one file; wait, if not nil, is called before the
// commit.
func write(t *testing.T, s *Store, make func(file int32) *event.Batch, wait func()) {
	t.Helper()
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer l.Rollback() //nolint:errcheck // after Commit it does nothing
	b := make(l.FirstFile())
	dups, err := l.Claim(b)
	if err != nil {
		t.Error(err)
		return
	}
	n := int64(len(b.Events))
	if err := l.Append(t.Context(), b); err != nil {
		t.Error(err)
		return
	}
	if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Path: "f", SHA256: "s", Records: n, Events: n - int64(dups), Duplicates: int64(dups), Manifest: "{}"}}); err != nil {
		t.Error(err)
		return
	}
	if wait != nil {
		wait()
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Error(err)
	}
}

func number(t *testing.T, s *Store, q string) (n int64) {
	t.Helper()
	if err := s.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Each(t.Context(), s, q, nil, func(scan func(...any) error) error { return scan(&n) }); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

func well(t *testing.T, s *Store) {
	t.Helper()
	ps, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(ps) > 0 {
		t.Errorf("the store has problems: %v", ps)
	}
}

// Processes that load the same events at the same time leave each once, and
// accounts that say so.
func TestManyWriters(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		t.Run(fmt.Sprintf("cluster %v", cluster), func(t *testing.T) {
			const writers = 4
			stores := many(t, cluster, writers)
			var loading, all sync.WaitGroup
			loading.Add(writers)
			for _, s := range stores {
				all.Go(func() {
					// All have claimed before any commits: none can know of another.
					write(t, s, func(f int32) *event.Batch { return events(0, 2000, f, nil) }, func() { loading.Done(); loading.Wait() })
				})
			}
			all.Wait()
			for i, s := range stores {
				write(t, s, func(f int32) *event.Batch { return events(2000+i*100, 2200+i*100, f, nil) }, nil)
			}
			s := stores[0]
			if n := number(t, s, "SELECT count(*) FROM events"); n != 2500 {
				t.Errorf("%d events, want 2500", n)
			}
			if n := number(t, s, "SELECT count(DISTINCT id) FROM events"); n != 2500 {
				t.Errorf("%d ids, want 2500", n)
			}
			if n := number(t, s, "SELECT count(*) FROM items"); n != 2500 {
				t.Errorf("%d items, want 2500", n)
			}
			if n := number(t, s, "SELECT sum(events) FROM files"); n != 2500 {
				t.Errorf("the accounts say %d events, want 2500", n)
			}
			if n := number(t, s, "SELECT sum(duplicates) FROM files"); n != writers*2200-2500 {
				t.Errorf("the accounts say %d duplicates, want %d", n, writers*2200-2500)
			}
			well(t, s)
		})
	}
}

// Of two loads at the same time that say different things of one id, both
// events are kept, one under another id and with a flag.
func TestManyWritersDisagree(t *testing.T) {
	stores := many(t, true, 2)
	var loading, all sync.WaitGroup
	loading.Add(len(stores))
	for i, s := range stores {
		all.Go(func() {
			write(t, s, func(f int32) *event.Batch {
				return events(0, 100, f, func(e *event.Event) {
					if i == 1 && e.Line <= 10 {
						e.Operation = "another thing"
					}
				})
			}, func() { loading.Done(); loading.Wait() })
		})
	}
	all.Wait()
	s := stores[0]
	if n := number(t, s, "SELECT count(DISTINCT id) FROM events"); n != 110 {
		t.Errorf("%d ids, want 110", n)
	}
	if n := number(t, s, "SELECT count(*) FROM events WHERE flags % 2 = 1"); n != 10 {
		t.Errorf("%d flagged, want 10", n)
	}
	if n := number(t, s, "SELECT count(*) FROM items i JOIN events e ON e.id = i.event"); n != 110 {
		t.Errorf("%d items with their events, want 110", n)
	}
	well(t, s)
	// The same again adds nothing.
	write(t, s, func(f int32) *event.Batch {
		return events(0, 10, f, func(e *event.Event) { e.Operation = "another thing" })
	}, nil)
	if n := number(t, s, "SELECT count(*) FROM events"); n != 110 {
		t.Errorf("%d events after a repetition, want 110", n)
	}
}

// Loads that begin at the same moment get numbers and ordinals of their own.
func TestManyBegin(t *testing.T) {
	stores := many(t, true, 6)
	type taken struct {
		number uint32
		first  int32
	}
	var mu sync.Mutex
	var got []taken
	var all sync.WaitGroup
	for _, s := range stores {
		all.Go(func() {
			me, err := s.claim(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, taken{me.number, me.first})
		})
	}
	all.Wait()
	for i, a := range got {
		for _, b := range got[:i] {
			if a.number == b.number || overlap(a.first, b.first) {
				t.Errorf("two loads have numbers %d and %d and begin at files %d and %d", a.number, b.number, a.first, b.first)
			}
		}
	}
}
