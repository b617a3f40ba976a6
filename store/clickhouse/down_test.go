package clickhouse

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"midwatch/store"
)

// lose is how a node is lost in the middle of a load: the only one, or the
// shard that the client does not talk to.
func (p place) lose(t *testing.T) (back func()) {
	t.Helper()
	n := p.nodes[0]
	if p.cluster {
		n = p.nodes[1]
	}
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := n.Restart(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func patience(d time.Duration) func(*Options) { return func(o *Options) { o.Patience = d } }

// A node that stays away ends the load, in time and with nothing of it
// counted; the same load again is whole.
func TestANodeDies(t *testing.T) {
	const n = 500
	both(t, servers.Start(t), func(t *testing.T, p place) {
		s := p.open(t, "", patience(time.Second))
		l, err := begun(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		back := p.lose(t)
		start := time.Now()
		err = l.Commit(t.Context())
		if took := time.Since(start); err == nil || took > 10*time.Second {
			t.Errorf("commit without the node after %s: %v", took, err)
		}
		if err == nil || !strings.Contains(err.Error(), "nothing listens there") && !strings.Contains(err.Error(), "bring the node back") {
			t.Errorf("commit: %v", err)
		}
		start = time.Now()
		_ = l.Rollback() // it cannot say so to anybody
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("rollback took %s", took)
		}
		back()
		p.holds(t, 0)
		if err := loadEvents(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
		p.holds(t, n)
	})
}

// A node that comes back within the store's patience costs nothing but time,
// whenever it goes.
func TestANodeRestarts(t *testing.T) {
	const n = 500
	both(t, servers.Start(t), func(t *testing.T, p place) {
		s := p.open(t, "", patience(30*time.Second))
		l, err := begun(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		// Some of it is there already, the rest comes while the node is away.
		if err := l.push(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := events(n, 2*n, l.FirstFile()+1, nil)
		if _, err := l.Claim(b); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile() + 1, Path: "g", SHA256: "g", Records: n, Events: n, Manifest: "{}"}}); err != nil {
			t.Fatal(err)
		}
		back := p.lose(t)
		done := make(chan error)
		go func() { done <- l.Commit(t.Context()) }()
		time.Sleep(300 * time.Millisecond)
		back()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		p.holds(t, 2*n)
		if e := p.lies(t, "events"); e != 2*n {
			t.Errorf("%d events lie on the disks, want %d", e, 2*n)
		}
	})
}

// push sends what there is of a block, as when it is full.
func (l *load) push(ctx context.Context) error {
	for range blocks {
		b := <-l.idle
		if b.events.n == 0 {
			l.idle <- b
			continue
		}
		if err := l.ship(ctx, b); err != nil {
			return err
		}
	}
	for { // until it is there
		l.mu.Lock()
		sent := l.sent["items"]
		l.mu.Unlock()
		if sent > 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Without one of its shards there is no answer, rather than one from a part of
// the events; not even if the user's settings would allow it.
func TestAShardIsDown(t *testing.T) {
	p := newPlace(t, servers.Start(t), true)
	if err := loadEvents(t.Context(), p.open(t, "", nil), 100); err != nil {
		t.Fatal(err)
	}
	lenient := p.open(t, "", func(o *Options) { o.Patience = 500 * time.Millisecond; o.URL += "&skip_unavailable_shards=1" })
	back := p.lose(t)
	defer back()
	for _, q := range []string{"SELECT count(*) FROM events", "SELECT id FROM events ORDER BY id", "SELECT count(*) FROM events e JOIN items i ON i.event = e.id"} {
		rows := 0
		err := store.Each(t.Context(), lenient, q, nil, func(func(...any) error) error { rows++; return nil })
		if err == nil || !strings.Contains(err.Error(), "bring the node back") {
			t.Errorf("%s: %d rows, %v", q, rows, err)
		}
	}
	s, err := Open(t.Context(), Options{URL: p.url(""), Patience: 500 * time.Millisecond})
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "bring the node back") && !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("opened: %v", err)
	}
}

// Limits that end a question in the middle give an error, also where the user's
// settings say that a part of an answer is enough.
func TestNoHalfAnswers(t *testing.T) {
	p := newPlace(t, servers.Start(t), false)
	if err := loadEvents(t.Context(), p.open(t, "", nil), 2000); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"max_rows_to_read=100&read_overflow_mode=break":                                                           "raise the limit",
		"max_rows_to_group_by=100&group_by_overflow_mode=any":                                                     "raise the limit",
		"max_result_rows=100&result_overflow_mode=break":                                                          "raise the limit",
		"max_rows_in_set=100&set_overflow_mode=break":                                                             "raise the limit",
		"max_rows_in_join=100&join_overflow_mode=break&max_bytes_before_external_join=0&join_algorithm=hash":      "raise the limit",
		"max_rows_in_distinct=100&distinct_overflow_mode=break":                                                   "raise the limit",
		"max_rows_to_sort=100&sort_overflow_mode=break":                                                           "raise the limit",
		"max_memory_usage=200000&max_bytes_before_external_group_by=0&max_bytes_ratio_before_external_group_by=0": "max_memory_usage",
		"limit=100":         "",
		"offset=100":        "",
		"use_query_cache=1": "",
	} {
		t.Run(setting, func(t *testing.T) {
			s, err := Open(t.Context(), Options{URL: p.url("") + "?" + setting, ReadOnly: true, Patience: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			rows := 0
			start := time.Now()
			err = store.Each(t.Context(), s, `SELECT DISTINCT e.id, count(*) FROM events e JOIN items i ON i.event = e.id WHERE e.id IN (SELECT event FROM items) GROUP BY e.id, e.line ORDER BY e.line, e.id`, nil, func(func(...any) error) error { rows++; return nil })
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if want == "" && (err != nil || rows != 2000) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%d rows, %v; want %q", rows, err, want)
			}
		})
	}
}

// A full disk ends the load at once and says so.
func TestADiskIsFull(t *testing.T) {
	const n = 500
	both(t, servers.Start(t), func(t *testing.T, p place) {
		s := p.open(t, "", nil)
		l, err := begun(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		full := p.nodes[0]
		if p.cluster {
			full = p.nodes[1]
		}
		if err := full.Fill(t.Context(), p.database); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = l.Commit(t.Context())
		if took := time.Since(start); err == nil || !strings.Contains(err.Error(), "disk is full: free some space and run the same command again") || took > 5*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		_ = l.Rollback()
		if err := full.Free(t.Context(), p.database); err != nil {
			t.Fatal(err)
		}
		p.holds(t, 0)
		if err := loadEvents(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
		p.holds(t, n)
	})
}

// A load that is cancelled while the server does not answer ends at once, and
// leaves nothing that counts.
func TestALoadIsCancelled(t *testing.T) {
	const n = 500
	both(t, servers.Start(t), func(t *testing.T, p place) {
		px := newProxy(t, p.node.Addr())
		s := p.open(t, px.addr(), nil)
		for name, begin := range map[string]func(l *load) (size int64, end func(context.Context) error){
			"while it sends events": func(l *load) (int64, func(context.Context) error) { return blockSize(n) / 2, l.Commit },
			"while it writes accounts": func(l *load) (int64, func(context.Context) error) {
				if err := l.flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				return 1, l.commit
			},
		} {
			t.Run(name, func(t *testing.T) {
				reset(t, p)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				l, err := begun(ctx, s, n)
				if err != nil {
					t.Fatal(err)
				}
				size, end := begin(l)
				why, release := errors.New("somebody pressed ^C"), make(chan struct{})
				c := px.order(cut{up: size, then: func() { cancel(why); <-release }})
				start := time.Now()
				err = end(ctx)
				if took := time.Since(start); err == nil || !errors.Is(err, why) && !errors.Is(err, context.Canceled) || took > 3*time.Second {
					t.Errorf("after %s: %v", took, err)
				}
				start = time.Now()
				if err := l.Rollback(); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("rollback took %s", took)
				}
				close(release)
				<-c.done
				p.holds(t, 0)
				if err := loadEvents(t.Context(), s, n); err != nil {
					t.Fatal(err)
				}
				p.holds(t, n)
			})
		}
	})
}
