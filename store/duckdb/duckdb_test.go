package duckdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/storetest"
)

func TestConformance(t *testing.T) {
	dirs := map[string]string{}
	storetest.Run(t, func(t *testing.T, name string) store.Store {
		key := t.Name() + name
		if dirs[key] == "" {
			dirs[key] = t.TempDir()
		}
		s, err := Open(filepath.Join(dirs[key], "events.duckdb"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestKeeper(t *testing.T) {
	dirs := map[string]string{}
	storetest.RunKeeper(t, func(t *testing.T, name string) store.Keeper {
		key := t.Name() + name
		if dirs[key] == "" {
			dirs[key] = t.TempDir()
		}
		s, err := Open(filepath.Join(dirs[key], "events.duckdb"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, func(t *testing.T, s store.Keeper, sql string) {
		if _, err := s.(*Store).db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNoRaw(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "e.duckdb"), Options{NoRaw: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &event.Batch{Events: []event.Event{storetest.Event(1)}}
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var raw *string
	var length int64
	rows, err := s.Query(t.Context(), "SELECT raw, length FROM events")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	rows.Next()
	if err := rows.Scan(&raw, &length); err != nil || raw != nil || length == 0 {
		t.Errorf("raw %v, length %d, %v; want NULL and the length", raw, length, err)
	}
}

// A database of something else, or of another version, is refused, not altered.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("not a database, but long enough to have a header of one, or so it seems"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(text, Options{}); err == nil {
		t.Error("a text file was opened")
	}
	if _, err := Open(filepath.Join(dir, "none"), Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing store, read only: %v", err)
	}
	old := filepath.Join(dir, "old.duckdb")
	s, err := Open(old, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec("UPDATE meta SET value = '0'"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(old, Options{}); !errors.Is(err, store.ErrSchema) {
		t.Errorf("another version: %v", err)
	}
}

// What was committed survives kill -9 at any later moment: a child process
// commits loads and says so; it is killed while it is at the next one.
func TestKill(t *testing.T) {
	if os.Getenv("MIDWATCH_TEST_KILL") != "" {
		killChild(os.Getenv("MIDWATCH_TEST_KILL"))
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "events.duckdb")
	acknowledged := int64(0)
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "MIDWATCH_TEST_KILL="+path, "TMPDIR="+t.TempDir())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// A while after its first commit, however long the machine takes for that;
		// the first one while it opens the store.
		later := time.Duration(round*170) * time.Millisecond
		timer := time.AfterFunc(map[bool]time.Duration{true: 400 * time.Millisecond, false: time.Minute}[round == 0], func() { _ = cmd.Process.Kill() })
		sc := bufio.NewScanner(out)
		for first := true; sc.Scan(); {
			var n int64
			if _, err := fmt.Sscanf(sc.Text(), "committed %d", &n); err == nil {
				acknowledged = n
				if first && round > 0 {
					timer.Reset(later)
				}
				first = false
			}
		}
		_ = cmd.Wait()
		timer.Stop()
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		found, err := s.Recover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if found {
			t.Logf("round %d: died in the middle of a commit", round)
		}
		n, ids := number(t, s, "SELECT count(*) FROM events"), number(t, s, "SELECT count(DISTINCT id) FROM events")
		if n < acknowledged || n != ids || n%1000 != 0 {
			t.Errorf("round %d: %d events, %d ids; %d were acknowledged, in loads of 1000", round, n, ids, acknowledged)
		}
		if ps, err := s.Check(t.Context()); err != nil || len(ps) > 0 {
			t.Errorf("round %d: %v %v", round, ps, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged == 0 {
		t.Error("no load was ever committed: the test tests nothing")
	}
}

func killChild(path string) {
	fatal := func(err error) {
		if err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
	}
	s, err := Open(path, Options{})
	fatal(err)
	for n := 0; n < 1_000_000; n += 1000 {
		l, err := s.Begin(context.Background())
		fatal(err)
		events := int64(1000)
		var wg sync.WaitGroup
		for part := range 4 { // each on a connection and in a transaction of its own
			b := &event.Batch{}
			for i := n + part*250; i < n+part*250+250; i++ {
				e := storetest.Event(i)
				e.File = l.FirstFile()
				b.Items = append(b.Items, event.Item{Event: int32(len(b.Events)), Kind: event.ItemMessage, MessageID: "m"})
				b.Events = append(b.Events, e)
			}
			dups, err := l.Claim(b)
			fatal(err)
			events -= int64(dups)
			wg.Go(func() { fatal(l.Append(context.Background(), b)) })
		}
		wg.Wait()
		fatal(l.Files(context.Background(), []store.File{{Ordinal: l.FirstFile(), Events: events}}))
		fatal(l.Commit(context.Background()))
		fmt.Printf("committed %d\n", n+1000)
	}
}

// A commit that dies between two of its transactions leaves nothing that
// counts: the next load removes it first.
func TestUnfinishedCommit(t *testing.T) {
	inSmallParts(t)
	path := filepath.Join(t.TempDir(), "events.duckdb")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for part := range 3 {
		l, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := &event.Batch{Items: []event.Item{{Kind: event.ItemMessage, MessageID: "m"}}, Rejects: []event.Reject{{File: l.FirstFile(), Reason: "why"}}}
		for i := range 10 {
			e := storetest.Event(part*10 + i)
			e.File = l.FirstFile()
			b.Events = append(b.Events, e)
		}
		if _, err := l.Claim(b); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Events: 10, Manifest: `{"rejected":[{"count":1}]}`}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// As if the last had died before its files were written.
	for _, q := range []string{"DELETE FROM files WHERE file = 2", "INSERT INTO meta VALUES ('unfinished load', '2')"} {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := s.Unfinished(t.Context()); err != nil || !found {
		t.Errorf("unfinished: %v %v", found, err)
	}
	if ps, err := s.Check(t.Context()); err != nil || len(ps) == 0 || !strings.Contains(ps[0].What, "died while it was committed") {
		t.Errorf("check: %v %v", ps, err)
	}
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &event.Batch{Events: []event.Event{storetest.Event(5), storetest.Event(25)}}
	if n, err := l.Claim(b); err != nil || n != 1 || l.FirstFile() != 2 {
		t.Errorf("%d duplicates, %v, first file %d; want the one of a whole load, and file 2", n, err, l.FirstFile())
	}
	if err := l.Rollback(); err != nil {
		t.Fatal(err)
	}
	if e, i, r := number(t, s, "SELECT count(*) FROM events"), number(t, s, "SELECT count(*) FROM items"), number(t, s, "SELECT count(*) FROM rejects"); e != 20 || i != 2 || r != 2 {
		t.Errorf("%d events, %d items, %d rejects are left; want 20, 2, 2", e, i, r)
	}
	if ps, err := s.Check(t.Context()); err != nil || len(ps) > 0 {
		t.Errorf("check: %v %v", ps, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A load is committed although somebody else is writing, and nothing of it is
// lost: what cannot be moved into the tables then stays in the write-ahead log.
func TestCommitWhileOthersWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.duckdb")
	s := opened(t, path)
	l := begun(t, s, &event.Batch{Events: []event.Event{storetest.Event(1)}})
	if _, err := s.db.Exec("INSERT INTO meta VALUES ('other', '1')"); err != nil {
		t.Fatal(err)
	}
	other, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec("UPDATE meta SET value = '2' WHERE key = 'other'"); err != nil { // as tenants are assigned
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if n := number(t, s, "SELECT count(*) FROM events"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, path)
	if n := number(t, s, "SELECT count(*) FROM events"); n != 1 {
		t.Errorf("%d events afterwards, want 1", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Two processes: a writer keeps everybody else out, and says so.
func TestLocked(t *testing.T) {
	if path := os.Getenv("MIDWATCH_TEST_LOCK"); path != "" {
		s, err := Open(path, Options{ReadOnly: os.Getenv("MIDWATCH_TEST_READ") != ""})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("open")
		_, _ = os.Stdin.Read(make([]byte, 1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "events.duckdb")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, reading := range []bool{false, true} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLocked$")
		cmd.Env = append(os.Environ(), "MIDWATCH_TEST_LOCK="+path)
		want := fmt.Sprintf("process %%d is writing to %s; try again when it has finished", path)
		if reading {
			cmd.Env = append(cmd.Env, "MIDWATCH_TEST_READ=1")
			want = strings.Replace(want, "writing to", "reading", 1)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
			t.Fatalf("%q %v", line, err)
		}
		var l *LockedError
		if _, err := Open(path, Options{}); !errors.As(err, &l) || err.Error() != fmt.Sprintf(want, cmd.Process.Pid) || l.Reading != reading {
			t.Errorf("a writer beside it: %v", err)
		}
		s, err := Open(path, Options{ReadOnly: true})
		if reading != (err == nil) || !reading && !errors.As(err, &l) {
			t.Errorf("a reader beside it: %v", err)
		}
		if err == nil {
			_ = s.Close()
		}
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// The schema names every column once.
func TestColumnsAreDistinct(t *testing.T) {
	for _, cols := range [][]event.Column{event.Columns(), event.ItemColumns(), event.RejectColumns(), event.FileColumns()} {
		seen := map[string]bool{}
		for _, c := range cols {
			if seen[c.Name] || c.Doc == "" || strings.ToLower(c.Name) != c.Name {
				t.Errorf("column %q is twice, undocumented or not lower case", c.Name)
			}
			seen[c.Name] = true
		}
	}
}

// The copy that docs/SCHEMA.md advises gives the room back, and a store.
func TestCopyGivesRoomBack(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "SCHEMA.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(text), "duckdb -c \"")
	command, _, found := strings.Cut(command, "\"\n")
	if !found {
		t.Fatal("the command is not in the text")
	}
	dir := t.TempDir()
	audit, smaller := filepath.Join(dir, "audit.duckdb"), filepath.Join(dir, "smaller.duckdb")
	s, err := Open(audit, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &event.Batch{}
	for i := range 50000 {
		e := storetest.Event(i)
		e.CorrID = e.ID.String() // does not compress
		b.Events = append(b.Events, e)
	}
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Files(t.Context(), []store.File{{Ordinal: b.Events[0].File, Events: 50000}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), time.UnixMicro(storetest.Event(45000).Time)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := Open(filepath.Join(dir, "other.duckdb"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for q := range strings.SplitSeq(strings.NewReplacer("audit.duckdb", audit, "smaller.duckdb", smaller).Replace(command)+"; DETACH a; DETACH b", "; ") {
		if _, err := other.db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	before, err := os.Stat(audit)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(smaller)
	if err != nil {
		t.Fatal(err)
	}
	if after.Size() > before.Size()/2 {
		t.Errorf("%d bytes of %d are left", after.Size(), before.Size())
	}
	if s, err = Open(smaller, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ps, err := s.Check(t.Context()); err != nil || len(ps) > 0 {
		t.Errorf("check: %v %v", ps, err)
	}
	if n := number(t, s, "SELECT count(*) FROM events"); n != 5000 {
		t.Errorf("%d events, want 5000", n)
	}
}
