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
	acknowledged := 0
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "MIDWATCH_TEST_KILL="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(400+round*170)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			var n int
			if _, err := fmt.Sscanf(sc.Text(), "committed %d", &n); err == nil {
				acknowledged = n
			}
		}
		_ = cmd.Wait()
		timer.Stop()
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var n, ids int
		rows, err := s.Query(t.Context(), "SELECT count(*), count(DISTINCT id) FROM events")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		if err := rows.Scan(&n, &ids); err != nil {
			t.Fatal(err)
		}
		rows.Close()
		if n < acknowledged || n != ids || n%1000 != 0 {
			t.Errorf("round %d: %d events, %d ids; %d were acknowledged, in loads of 1000", round, n, ids, acknowledged)
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
		b := &event.Batch{}
		for i := n; i < n+1000; i++ {
			b.Events = append(b.Events, storetest.Event(i))
		}
		_, err = l.Claim(b)
		fatal(err)
		fatal(l.Append(context.Background(), b))
		fatal(l.Commit(context.Background()))
		fmt.Printf("committed %d\n", n+1000)
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
