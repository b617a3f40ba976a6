package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"midwatch/event"
	"midwatch/internal/clickhousetest"
	"midwatch/store"
)

// place is where a test's store lies: a database, and how to reach it.
type place struct {
	node     *clickhousetest.Node
	nodes    []*clickhousetest.Node
	database string
	cluster  bool
	over     string // the cluster's name
}

func newPlace(t *testing.T, c *clickhousetest.Cluster, cluster bool) place {
	t.Helper()
	return place{c.Nodes[0], c.Nodes, c.Database(t), cluster, c.Name}
}

// url is the store's URL by way of an address; "" is the first node's own.
func (p place) url(addr string) string {
	u := p.node.DSN(p.database)
	if addr != "" {
		u = strings.Replace(u, p.node.Addr(), addr, 1)
	}
	if p.cluster {
		u += "?cluster=" + p.over
	}
	return u
}

// open opens the store by way of an address, and closes it after the test.
func (p place) open(t *testing.T, addr string, change func(*Options)) *Store {
	t.Helper()
	o := Options{URL: p.url(addr), Patience: 10 * time.Second}
	if change != nil {
		change(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test may end with a load open
	return s
}

// both runs a test on one node and on two shards.
func both(t *testing.T, c *clickhousetest.Cluster, f func(t *testing.T, p place)) {
	for _, cluster := range []bool{false, true} {
		t.Run(map[bool]string{false: "one node", true: "two shards"}[cluster], func(t *testing.T) { f(t, newPlace(t, c, cluster)) })
	}
}

// begun begins a load of n events in one file and appends them.
func begun(ctx context.Context, s *Store, n int) (*load, error) {
	l, err := s.Begin(ctx)
	if err != nil {
		return nil, err
	}
	ld := l.(*load)
	b := events(0, n, l.FirstFile(), nil)
	dups, err := l.Claim(b)
	if err == nil {
		err = l.Append(ctx, b)
	}
	if err == nil {
		err = l.Files(ctx, []store.File{{Ordinal: l.FirstFile(), Path: "f", SHA256: "s", OuterSHA256: "s", Records: int64(n), Events: int64(n - dups), Duplicates: int64(dups), Manifest: "{}"}})
	}
	if err != nil {
		_ = l.Rollback()
		return nil, err
	}
	return ld, nil
}

// commit wants a load to be complete. One that is not is ended, so that the
// store can be used again.
func commit(t *testing.T, l store.Load) {
	t.Helper()
	if err := l.Commit(t.Context()); err != nil {
		_ = l.Rollback()
		t.Fatal(err)
	}
}

// loadEvents is a whole load of n events, as ingest does it.
func loadEvents(ctx context.Context, s *Store, n int) error {
	l, err := begun(ctx, s, n)
	if err != nil {
		return err
	}
	if err := l.Commit(ctx); err != nil {
		_ = l.Rollback()
		return err
	}
	return nil
}

// holds wants the store, opened anew, to hold n events and as many items, each
// once, on the disks too when nothing else lies there.
func (p place) holds(t *testing.T, n int64) {
	t.Helper()
	s := p.open(t, "", nil)
	for _, q := range []string{"SELECT count(*) FROM events", "SELECT count(DISTINCT id) FROM events", "SELECT count(*) FROM items"} {
		if got := number(t, s, q); got != n {
			t.Errorf("%s: %d, want %d", q, got, n)
		}
	}
	well(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// lies counts what lies on the disks, of whatever load.
func (p place) lies(t *testing.T, table string) (n int) {
	t.Helper()
	for _, node := range p.nodes {
		if p.cluster {
			table = strings.TrimSuffix(table, "_local") + "_local"
		}
		out, err := node.Query(t.Context(), "SELECT count() FROM "+p.database+"."+table)
		if err != nil {
			t.Fatal(err)
		}
		var one int
		if _, err := fmt.Sscan(out, &one); err != nil {
			t.Fatal(err)
		}
		n += one
		if !p.cluster {
			break
		}
	}
	return n
}

// A connection that is cut anywhere costs nothing but time: what was sent is
// sent again, and nothing is there twice.
func TestConnectionIsCut(t *testing.T) {
	const n = 1000
	both(t, servers.Start(t), func(t *testing.T, p place) {
		px := newProxy(t, p.node.Addr())
		s := p.open(t, px.addr(), nil)
		size := blockSize(n)
		for _, c := range []cut{{up: 5}, {up: 2000}, {up: size / 2}, {up: size}, {up: size + 500}, {down: 1}, {down: 300}} {
			t.Run(fmt.Sprintf("after %d and %d bytes", c.up, c.down), func(t *testing.T) {
				reset(t, p)
				l, err := begun(t.Context(), s, n)
				if err != nil {
					t.Fatal(err)
				}
				done := px.order(c).done
				commit(t, l)
				select {
				case <-done:
				default:
					t.Error("nothing was cut")
				}
				p.holds(t, n)
				if e, i := p.lies(t, "events"), p.lies(t, "items"); e != n || i != n {
					t.Errorf("%d events and %d items lie on the disks, want %d", e, i, n)
				}
			})
		}
	})
}

// blockSize is about how many bytes a block of n events takes on its way.
func blockSize(n int) (size int64) {
	b, es := newBlock(1, false), events(0, n, 0, nil)
	es.Duplicate = make([]bool, n)
	b.append(es, nil)
	for _, c := range b.events.cols {
		size += int64(len(c.nulls) + len(c.data))
	}
	return size
}

// reset empties the store.
func reset(t *testing.T, p place) {
	t.Helper()
	for _, node := range p.nodes {
		for _, table := range tables() {
			name := p.database + "." + table.name
			if p.cluster {
				name += "_local"
			}
			if table.name == "meta" {
				continue
			}
			if _, err := node.Query(t.Context(), "TRUNCATE TABLE "+name+" SETTINGS alter_sync=2"); err != nil {
				t.Fatal(err)
			}
			if !p.cluster {
				continue
			}
		}
		if !p.cluster {
			break
		}
	}
}

// The server has stored something, and the connection ends before it can say
// so: it is sent again, and known by its token.
func TestAnswerIsLost(t *testing.T) {
	const n = 1000
	both(t, servers.Start(t), func(t *testing.T, p place) {
		px := newProxy(t, p.node.Addr())
		s := p.open(t, px.addr(), nil)
		for _, x := range []struct {
			table string
			rows  int
			after int64 // bytes that only what is sent to this table has
		}{{"events", n, blockSize(n) / 2}, {"files", 1, 1}} {
			t.Run(x.table, func(t *testing.T) {
				reset(t, p)
				l, err := begun(t.Context(), s, n)
				if err != nil {
					t.Fatal(err)
				}
				if x.table == "files" {
					if err := l.flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				c := px.order(cut{up: x.after, then: func() {
					for range 200 {
						if p.lies(t, x.table) == x.rows {
							return
						}
						time.Sleep(20 * time.Millisecond)
					}
					t.Error("it was never stored")
				}})
				if x.table == "files" {
					if err := l.commit(t.Context()); err != nil {
						t.Fatal(err)
					}
					if err := s.settle(t.Context(), l.me, true); err != nil {
						t.Fatal(err)
					}
					l.end()
				} else {
					commit(t, l)
				}
				<-c.done
				p.holds(t, n)
				if e, i, f := p.lies(t, "events"), p.lies(t, "items"), p.lies(t, "files"); e != n || i != n || f != 1 {
					t.Errorf("%d events, %d items and %d files lie on the disks, want %d, %d and 1", e, i, f, n, n)
				}
			})
		}
	})
}

// Cuts at random places, several in one load.
func TestConnectionIsCutAtRandom(t *testing.T) {
	const n, rounds = 500, 4
	rnd := rand.New(rand.NewPCG(4, 2))
	both(t, servers.Start(t), func(t *testing.T, p place) {
		px := newProxy(t, p.node.Addr())
		s := p.open(t, px.addr(), nil)
		for round := range rounds {
			stop := make(chan struct{})
			cutter := make(chan struct{})
			go func() {
				defer close(cutter)
				for range 4 {
					c := cut{up: 1 + rnd.Int64N(blockSize(n)*3/2)}
					if rnd.IntN(2) == 0 {
						c = cut{down: 1 + rnd.Int64N(2000)}
					}
					select {
					case <-px.order(c).done:
					case <-stop:
						return
					}
				}
			}()
			l, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := events(round*n, (round+1)*n, l.FirstFile(), func(e *event.Event) { e.Time += int64(round) * 86400_000000 * 20 })
			if _, err := l.Claim(b); err != nil {
				t.Fatal(err)
			}
			if err := l.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Path: "f", SHA256: fmt.Sprint(round), Records: n, Events: n, Manifest: "{}"}}); err != nil {
				t.Fatal(err)
			}
			commit(t, l)
			close(stop)
			<-cutter
			px.order(cut{})
		}
		p.holds(t, n*rounds)
		if e := p.lies(t, "events"); e != n*rounds {
			t.Errorf("%d events lie on the disks, want %d", e, n*rounds)
		}
	})
}
