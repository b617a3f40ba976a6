package clickhouse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"midwatch/store"
)

// Every sign of life counts, however like the one before it is: servers that
// know repeated inserts by their content would take it for a repetition.
func TestSignsOfLifeAreKept(t *testing.T) {
	both(t, servers.Start(t), func(t *testing.T, p place) {
		s := p.open(t, "", nil)
		for range 3 {
			if err := s.writeLoad(t.Context(), loadRow{number: 1, holder: "x"}, open); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.lies(t, "loads"); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
	})
}

// What a store was opened on stays: loads that write the same events later take
// nothing from the ones that count.
func TestASnapshotStays(t *testing.T) {
	const n = 200
	both(t, servers.Start(t), func(t *testing.T, p place) {
		a, b := p.open(t, "", nil), p.open(t, "", nil)
		low, err := begun(t.Context(), a, n)
		if err != nil {
			t.Fatal(err)
		}
		high, err := begun(t.Context(), b, n)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, high)
		reader := p.open(t, "", func(o *Options) { o.ReadOnly = true })
		commit(t, low)
		for _, table := range []string{"events", "items"} {
			if got := asked(t, reader, "SELECT count(*) FROM "+table); got != n {
				t.Errorf("a store that was opened before has %d %s, want %d", got, table, n)
			}
		}
		p.holds(t, n)
	})
}

// asked is the number that a question gives, asked of the store as it was
// opened.
func asked(t *testing.T, s *Store, q string) (n int64) {
	t.Helper()
	if err := store.Each(t.Context(), s, q, nil, func(scan func(...any) error) error { return scan(&n) }); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

// quick is a pace at which tests can wait for a load to be given up. silent is
// one that gives no sign of life.
func quick(o *Options)  { o.pace = pace{beat: 50 * time.Millisecond, deadAfter: 500 * time.Millisecond} }
func silent(o *Options) { o.pace = pace{beat: time.Hour, deadAfter: 500 * time.Millisecond} }

// A load that was given up while it still wrote cannot commit, and says so.
func TestALoadIsGivenUp(t *testing.T) {
	const n = 200
	both(t, servers.Start(t), func(t *testing.T, p place) {
		s := p.open(t, "", silent)
		l, err := begun(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		end := l.Commit
		if p.cluster { // here it had sent everything before
			if err := l.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			end = l.commit
		}
		time.Sleep(600 * time.Millisecond)
		// Another buries it, and loads half of the same.
		if err := loadEvents(t.Context(), p.open(t, "", quick), n/2); err != nil {
			t.Fatal(err)
		}
		if err := end(t.Context()); err == nil || !strings.Contains(err.Error(), "given up") || !strings.Contains(err.Error(), "run the same command again") {
			t.Errorf("commit: %v", err)
		}
		if err := l.Rollback(); err != nil {
			t.Error(err)
		}
		p.holds(t, n/2)
		if err := loadEvents(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
		p.holds(t, n)
	})
}

// Who doubts a load that says "loaded" at the same moment leaves it alone; who
// finds itself doubted gives up. Never both go on, and never neither ends.
func TestDoubtAndCommitAtOnce(t *testing.T) {
	p := newPlace(t, servers.Start(t), false)
	s := p.open(t, "", silent)
	me, err := s.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond)
	before, err := s.loads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.queue(t.Context(), me, true); err != nil {
		t.Fatal(err)
	}
	// The other read the table before the load was queued.
	if n, err := s.bury(t.Context(), before); err != nil || n != 0 {
		t.Errorf("buried %d loads that were loaded (%v)", n, err)
	}
	if err := s.settle(t.Context(), me, true); err != nil {
		t.Errorf("the load that was doubted too late: %v", err)
	}
	loads, err := s.loads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := find(loads, me.holder); got.state != settled {
		t.Errorf("state %d, want settled", got.state)
	}
}

// A process that ends between saying that its load is complete and settling it:
// whoever opens the store for writing next does so.
func TestALoadIsLeftUnsettled(t *testing.T) {
	const n = 200
	both(t, servers.Start(t), func(t *testing.T, p place) {
		a, b := p.open(t, "", quick), p.open(t, "", quick)
		dies, err := begun(t.Context(), a, n)
		if err != nil {
			t.Fatal(err)
		}
		l, err := begun(t.Context(), b, n/2)
		if err != nil {
			t.Fatal(err)
		}
		if err := dies.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := dies.commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		dies.end()
		// It does not count yet, and whoever only reads waits for nobody.
		reader := p.open(t, "", func(o *Options) { quick(o); o.ReadOnly = true })
		if got := asked(t, reader, "SELECT count(*) FROM events"); got != 0 {
			t.Errorf("%d events of a load that is not settled count", got)
		}
		// One that ends in the meantime does not wait for the dead for ever.
		commit(t, l)
		p.holds(t, n)
		s := p.open(t, "", quick)
		if got := asked(t, s, "SELECT count(*) FROM files WHERE events + duplicates <> records"); got != 0 {
			t.Errorf("%d accounts do not add up", got)
		}
	})
}

// The server has heard that the load is complete, and this process does not
// hear so: it says that it does not know, and does not undo what others may
// have built on. In the end the load counts.
func TestTheFateOfALoadIsUnknown(t *testing.T) {
	const n = 200
	both(t, servers.Start(t), func(t *testing.T, p place) {
		px := newProxy(t, p.node.Addr())
		s := p.open(t, px.addr(), func(o *Options) { quick(o); o.Patience = 500 * time.Millisecond })
		l, err := begun(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		px.order(cut{says: fmt.Sprintf("VALUES (%d, '%s', %d,", l.me.number, l.me.holder, loaded), then: func() {
			for range 200 {
				if out, err := p.node.Query(t.Context(), fmt.Sprintf("SELECT count() FROM %s WHERE state = %d", s.cfg.local("loads"), loaded)); err == nil && out != "0" {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			px.cutAll(true)
		}})
		err = l.Commit(t.Context())
		if err == nil || !strings.Contains(err.Error(), "it is not known whether the load is complete; run the same command again") {
			t.Errorf("commit: %v", err)
		}
		px.cutAll(false)
		if err := l.Rollback(); err != nil {
			t.Error(err)
		}
		// The same again adds nothing twice, and the other one is settled.
		if err := loadEvents(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
		p.holds(t, n)
	})
}
