package duckdb

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midwatch/store"
)

// A question that does not fit into memory is asked again with more, up to what
// the machine has; a limit that was asked for stays.
func TestMemoryGrows(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "events.duckdb"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test says more
	limit := func(mib int64) {
		t.Helper()
		if _, err := s.db.Exec(fmt.Sprintf("SET memory_limit = '%dMiB'", mib)); err != nil {
			t.Fatal(err)
		}
		s.memory = mib << 20
	}
	const question = "SELECT len(list(x)) FROM range(8000000) t(x)" // a list is not spilled
	ask := func(q store.Querier) (n int64, err error) {
		err = store.Each(t.Context(), q, question, nil, func(scan func(...any) error) error { return scan(&n) })
		return n, err
	}
	w, err := s.Window(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]store.Querier{"store": s, "window": w} {
		limit(32)
		s.most = 1 << 30
		if n, err := ask(q); err != nil || n != 8_000_000 || s.memory <= 32<<20 || s.memory > 1<<30 {
			t.Errorf("%s: %d, %v, memory %d MiB", name, n, err, s.memory>>20)
		}
		limit(32)
		s.most = 48 << 20
		if _, err := ask(q); !errors.Is(err, store.ErrMemory) || !strings.Contains(err.Error(), "Out of Memory") || s.memory != 48<<20 {
			t.Errorf("%s: the error is %v, memory %d MiB", name, err, s.memory>>20)
		}
	}
	limit(32)
	s.most, s.opts.MemoryLimit = 1<<30, "32MiB"
	if _, err := ask(s); err == nil || s.memory != 32<<20 {
		t.Errorf("a limit that was asked for: %v, %d MiB", err, s.memory>>20)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryFor(t *testing.T) {
	if n := memoryFor(1 << 30); n != 640<<20 {
		t.Errorf("of a small store: %d MiB", n>>20)
	}
	if n, all := memoryFor(1<<40), machineMemory(); n != max(640<<20, all/4) || all < 1<<28 {
		t.Errorf("of a huge store: %d of %d MiB", n>>20, all>>20)
	}
}
