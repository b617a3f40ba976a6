package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/event"
	"midwatch/store"
)

// Damage changes rows of a store behind its back with one SQL statement, in
// the engine's own words where it has others.
type Damage func(t *testing.T, s store.Keeper, sql string)

// RunKeeper runs the suite of stores that are kept.
func RunKeeper(t *testing.T, open func(t *testing.T, name string) store.Keeper, damage Damage) {
	t.Run("account of files", func(t *testing.T) { account(t, open) })
	t.Run("check", func(t *testing.T) { check(t, open, damage) })
	t.Run("stats", func(t *testing.T) { stats(t, open) })
	t.Run("prune", func(t *testing.T) { prune(t, open) })
}

// fill loads n events of two files, with two items each, and a reject of the
// first file. An event's time is n seconds after the one of the first.
func fill(t *testing.T, s store.Store, from, to int) (first int32) {
	t.Helper()
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first = l.FirstFile()
	b := batch(from, to)
	files := []store.File{
		{Ordinal: first, Path: "a.json", SHA256: fmt.Sprintf("%064x", from), OuterSHA256: fmt.Sprintf("%064x", from), Bytes: 10, Manifest: `{"rejected":[{"reason":"why","count":1,"first_line":9}]}`},
		{Ordinal: first + 1, Path: "b.json", SHA256: fmt.Sprintf("%064x", to), OuterSHA256: fmt.Sprintf("%064x", to), Bytes: 20, Manifest: `{"rejected":[]}`},
	}
	for i := range b.Events {
		b.Events[i].File = first + int32(i%2)
		files[i%2].Records++
	}
	b.Rejects = []event.Reject{{File: first, Line: 9, Length: 4, Reason: "why", Head: "head"}}
	files[0].Records++
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	for i := range b.Events {
		if b.Duplicate[i] {
			files[i%2].Duplicates++
		} else {
			files[i%2].Events++
		}
	}
	// Several goroutines, so that a store that splits a load in parts does so.
	var wg sync.WaitGroup
	for _, part := range []*event.Batch{b, {}, {}} {
		wg.Go(func() {
			if err := l.Append(t.Context(), part); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := l.Files(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return first
}

// account checks that table files holds what a load says, and that loads get
// ordinals of their own.
func account(t *testing.T, open func(*testing.T, string) store.Keeper) {
	s := open(t, "a")
	one0 := fill(t, s, 0, 100)
	two0 := fill(t, s, 50, 150)
	closeStore(t, s)
	s = open(t, "a")
	defer closeStore(t, s)
	three0 := fill(t, s, 150, 160)
	if one0 < 0 || two0 < one0+2 || three0 < two0+2 {
		t.Errorf("loads of two files each begin at ordinals %d, %d, %d", one0, two0, three0)
	}
	var path, sha, manifest string
	var bytes, records, events, duplicates int64
	one(t, s, fmt.Sprintf("SELECT path, sha256, bytes, records, events, duplicates, manifest FROM files WHERE file = %d", two0), &path, &sha, &bytes, &records, &events, &duplicates, &manifest)
	if path != "a.json" || len(sha) != 64 || bytes != 10 || records != 51 || events != 25 || duplicates != 25 || !strings.Contains(manifest, `"why"`) {
		t.Errorf("files: %q %q %d bytes, %d records, %d events, %d duplicates, %s", path, sha, bytes, records, events, duplicates, manifest)
	}
	healthy(t, s)
}

func problems(t *testing.T, s store.Keeper) []store.Problem {
	t.Helper()
	ps, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if p.What == "" || p.Do == "" {
			t.Errorf("a problem without words or without what to do: %+v", p)
		}
	}
	return ps
}

func healthy(t *testing.T, s store.Keeper) {
	t.Helper()
	if ps := problems(t, s); len(ps) > 0 {
		t.Errorf("a whole store has problems: %v", ps)
	}
}

// check damages a store in each way that Check must notice.
func check(t *testing.T, open func(*testing.T, string) store.Keeper, damage Damage) {
	for name, c := range map[string]struct{ sql, want string }{
		"an event is gone":            {"DELETE FROM events WHERE line = 7", "a.json"},
		"all events of a file":        {"DELETE FROM events WHERE file IN (SELECT file FROM files WHERE path = 'b.json')", "b.json"},
		"an event has no file":        {"DELETE FROM files WHERE path = 'b.json'", "no account"},
		"an event twice":              {"INSERT INTO events SELECT * FROM events WHERE line = 7", "more than once"},
		"an item without its event":   {"DELETE FROM events WHERE line = 8", "items"},
		"a reject is gone":            {"DELETE FROM rejects WHERE line = 9", "rejected"},
		"a reject has no file":        {"DELETE FROM files WHERE path = 'a.json'", "rejected"},
		"the account of a file is ed": {"UPDATE files SET events = events + 1 WHERE path = 'a.json'", "a.json"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "a")
			defer closeStore(t, s)
			healthy(t, s)
			fill(t, s, 0, 100)
			healthy(t, s)
			damage(t, s, c.sql)
			ps := problems(t, s)
			var all strings.Builder
			for _, p := range ps {
				fmt.Fprintln(&all, p.What)
			}
			if !strings.Contains(all.String(), c.want) {
				t.Errorf("%s: nothing of %q in:\n%s", c.sql, c.want, all.String())
			}
		})
	}
}

// stats checks that rows are counted and that what is stored has a size.
func stats(t *testing.T, open func(*testing.T, string) store.Keeper) {
	s := open(t, "a")
	defer closeStore(t, s)
	if _, err := s.Stats(t.Context()); err != nil {
		t.Fatalf("an empty store: %v", err)
	}
	fill(t, s, 0, 5000)
	sizes, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, columns := map[string]int64{}, map[string]bool{}
	var last int64
	for i, x := range sizes {
		if x.Column != "" {
			columns[x.Table+"."+x.Column] = true
			continue
		}
		rows[x.Table] = x.Rows
		if x.Disk < 0 || x.Plain < 0 {
			t.Errorf("%+v", x)
		}
		if _, ours := map[string]bool{"events": true, "items": true, "files": true, "rejects": true}[x.Table]; ours {
			if i > 0 && x.Disk > last+1<<10 {
				t.Errorf("%s is larger than the table before it", x.Table)
			}
			last = x.Disk
		}
	}
	if rows["events"] != 5000 || rows["items"] != 10000 || rows["files"] != 2 || rows["rejects"] != 1 {
		t.Errorf("rows: %v", rows)
	}
	if !columns["events.raw"] || !columns["events.id"] {
		t.Errorf("columns that have no size: events.raw, events.id; there are %d", len(columns))
	}
}

// prune checks that what is old goes with all that hangs on it, that the rest
// stays, and that the accounts are still right.
func prune(t *testing.T, open func(*testing.T, string) store.Keeper) {
	s := open(t, "a")
	defer closeStore(t, s)
	fill(t, s, 0, 100)
	timeless := batch(100, 101)
	timeless.Events[0].Time = 0
	timeless.Events[0].File = 0
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	timeless.Events[0].File = l.FirstFile()
	if _, err := l.Claim(timeless); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), timeless); err != nil {
		t.Fatal(err)
	}
	if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Path: "c.json", SHA256: "cc", OuterSHA256: "cc", Records: 1, Events: 1, Manifest: "{}"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := time.UnixMicro(Event(60).Time)
	got, err := s.Prune(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	if got != (store.Pruned{Events: 60, Items: 120}) {
		t.Errorf("pruned %+v, want 60 events and 120 items", got)
	}
	if e, i := count(t, s, "events"), count(t, s, "items"); e != 41 || i != 82 {
		t.Errorf("%d events and %d items are left, want 41 and 82", e, i)
	}
	var files, events, records int64
	one(t, s, "SELECT count(*), sum(events), sum(records) FROM files", &files, &events, &records)
	if files != 3 || events != 41 || records != 102 {
		t.Errorf("%d files say %d events of %d records; want 3, 41, 102", files, events, records)
	}
	healthy(t, s)
	if got, err := s.Prune(t.Context(), before); err != nil || got != (store.Pruned{}) {
		t.Errorf("a second time: %+v, %v", got, err)
	}
	// What was removed is not known any more; what was not, is.
	if n := load(t, s, batch(50, 70)); n != 10 {
		t.Errorf("%d duplicates, want 10", n)
	}
}
