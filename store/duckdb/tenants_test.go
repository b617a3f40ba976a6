package duckdb

import (
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/storetest"
)

// inSmallParts has a test change rows in more parts than one.
func inSmallParts(t *testing.T) {
	before := rowsAtOnce
	rowsAtOnce = 7
	t.Cleanup(func() { rowsAtOnce = before })
}

// Consumers that share a store assign tenants while others load, and the same
// ones at the same time, since each looks at all that is there.
func TestAssignWhileOthersLoad(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "events.duckdb"))
	var wg sync.WaitGroup
	const workers, loads, each = 3, 12, 500
	for w := range workers {
		wg.Go(func() {
			for i := range loads {
				b := &event.Batch{}
				for n := range each {
					e := storetest.Event((w*loads+i)*each + n)
					e.File, e.Tenant = int32(w*loads+i), ""
					b.Events = append(b.Events, e)
				}
				l, err := s.Begin(t.Context())
				if err == nil {
					_, err = l.Claim(b)
				}
				if err == nil {
					err = l.Append(t.Context(), b)
				}
				if err == nil {
					err = l.Commit(t.Context())
				}
				var as []store.Assignment
				for f := range workers * loads {
					as = append(as, store.Assignment{File: int32(f), To: "a"})
				}
				if err == nil {
					err = s.AssignTenants(t.Context(), as)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := number(t, s, "SELECT count(*) FROM events WHERE tenant = 'a' AND flags & 256 > 0"); n != workers*loads*each {
		t.Errorf("%d events have their tenant, want %d", n, workers*loads*each)
	}
	var as []store.Assignment
	for f := range int32(workers * loads) {
		as = append(as, store.Assignment{File: f, From: "a", To: "b"})
	}
	begin := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			<-begin
			if err := s.AssignTenants(t.Context(), as); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if n := number(t, s, "SELECT count(*) FROM events WHERE tenant = 'b'"); n != workers*loads*each {
		t.Errorf("%d events have their tenant, want %d", n, workers*loads*each)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// begun is a load to which batches were added.
func begun(t *testing.T, s *Store, batches ...*event.Batch) store.Load {
	t.Helper()
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if _, err := l.Claim(b); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// Tenants are assigned a part at a time, and who dies in between is followed by
// one who goes on.
func TestAssignInParts(t *testing.T) {
	inSmallParts(t)
	path := filepath.Join(t.TempDir(), "events.duckdb")
	s := opened(t, path)
	b := &event.Batch{}
	for i := range 500 {
		e := storetest.Event(i)
		e.File, e.Tenant = int32(i%5), ""
		if i%3 == 0 {
			e.Tenant = "example.com"
		}
		b.Events = append(b.Events, e)
	}
	l := begun(t, s, b)
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	as := []store.Assignment{{File: 0, To: "a"}, {File: 2, To: "a"}, {File: 3, To: "b"}, {File: 3, From: "example.com", To: "b"}, {File: 2, From: "example.com", To: "o'b"}}
	if err := s.AssignTenants(t.Context(), as[:2]); err != nil {
		t.Fatal(err)
	}
	// As if this process had died after a few of the parts.
	rest, err := json.Marshal(as[2:])
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"UPDATE events SET tenant = 'b', flags = flags | 256 WHERE file = 3 AND tenant IS NULL AND rowid < 50", "INSERT INTO meta VALUES ('unfinished assignments', " + quote(string(rest)) + ")"} {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, path)
	if err := begun(t, s).Rollback(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for i := range 500 {
		file, from := i%5, ""
		if i%3 == 0 {
			from = "example.com"
		}
		to := from
		for _, a := range as {
			if int(a.File) == file && a.From == from {
				to = a.To
			}
		}
		want[to]++
	}
	got := map[string]int64{}
	if err := store.Each(t.Context(), s, "SELECT coalesce(tenant, ''), count(*) FROM events WHERE (flags & 256 > 0) = (coalesce(tenant, '') NOT IN ('', 'example.com')) GROUP BY 1", nil, func(scan func(...any) error) error {
		var tenant string
		var n int64
		err := scan(&tenant, &n)
		got[tenant] = n
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for tenant, n := range want {
		if got[tenant] != n {
			t.Errorf("%q: %d events, want %d", tenant, got[tenant], n)
		}
	}
	if n := number(t, s, "SELECT count(*) FROM meta WHERE key = 'unfinished assignments'"); n != 0 {
		t.Errorf("%d marks are left", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
