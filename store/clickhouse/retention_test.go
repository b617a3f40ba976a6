package clickhouse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"midwatch/store"
)

// Events that are older than a store keeps them go by themselves, with their
// items, and the store is well without them.
func TestRetention(t *testing.T) {
	for _, suffix := range []string{"?keep=400d", "?keep=400d&cluster=midwatch"} {
		node := servers.Start(t).Nodes[0]
		o := Options{URL: node.DSN(node.Database(t)) + suffix}
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := events(0, 30, l.FirstFile(), nil)
		var now time.Time
		if err := s.db.QueryRowContext(t.Context(), "SELECT now64(3, 'UTC')").Scan(&now); err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			switch {
			case i < 10:
				b.Events[i].Time = now.AddDate(0, 0, -401).UnixMicro()
			case i < 20:
				b.Events[i].Time = now.AddDate(0, 0, -399).UnixMicro()
			default:
				b.Events[i].Time = 0
			}
		}
		if _, err := l.Claim(b); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		manifest := fmt.Sprintf(`{"first":%q}`, now.AddDate(0, 0, -401).Format(time.RFC3339))
		if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Path: "f", Records: 30, Events: 30, Manifest: manifest}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"events", "items"} {
			if err := s.everywhere(t.Context(), onCluster("OPTIMIZE TABLE "+s.cfg.local(table)+" FINAL", s.cfg.local(table))); err != nil {
				t.Fatal(err)
			}
		}
		if e, i := number(t, s, "SELECT count(*) FROM events"), number(t, s, "SELECT count(*) FROM items"); e != 20 || i != 20 {
			t.Errorf("%s: %d events and %d items are left, want 20 of each", suffix, e, i)
		}
		well(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// The next says another time, and then none, which leaves it.
		for _, keep := range []string{"keep=500d", "dial_timeout=10s"} {
			if s, err = Open(t.Context(), Options{URL: strings.Replace(o.URL, "keep=400d", keep, 1)}); err != nil {
				t.Fatal(err)
			}
			if k, err := s.retention(t.Context()); err != nil || k != 500*24*time.Hour {
				t.Errorf("%s: kept for %s, %v", keep, k, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Open(t.Context(), Options{URL: "clickhouse://h/d?keep=ever"}); err == nil {
		t.Error("keep=ever was taken")
	}
}
