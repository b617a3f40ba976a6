package duckdb

import (
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

// version1 makes a database as version 1 of the schema had it: n events in two
// files, of which the second was read in vain.
func version1(t *testing.T, n int) string {
	t.Helper()
	ddl, err := os.ReadFile(filepath.Join("testdata", "schema1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "events.duckdb")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	for _, table := range append(tables(), table{name: "meta"}) {
		if _, err := s.db.Exec("DROP TABLE " + table.name); err != nil {
			t.Fatal(err)
		}
	}
	exec := func(query string, args ...any) {
		if _, err := s.db.Exec(query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec(string(ddl))
	for i := range n {
		e := storetest.Event(i)
		exec("INSERT INTO events (id, source, format, tenant, time, operation, code, actor, ip, mailbox_id, message_id, item_count, flags, file, line, pos, length, raw) "+
			"VALUES (?::UUID, ?, ?, ?, make_timestamp(?), ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
			e.ID.String(), string(e.Source), e.Format, e.Tenant, e.Time, e.Operation, e.Code, e.Actor, e.IP, e.MailboxID, e.MessageID, e.ItemCount, int32(e.Flags), e.Line, e.Offset, e.Length, string(e.Raw))
		exec("INSERT INTO items (event, kind, message_id) VALUES (?::UUID, 'message', 'm')", e.ID.String())
	}
	exec("INSERT INTO files VALUES (0, 'a.json', 'aa', 10, 'bb'), (1, 'b''s.json', 'cc', 20, 'cc')")
	exec("INSERT INTO rejects VALUES (1, 1, 0, 20, 'why', 'head')")
	return path
}

func accounts() []store.File {
	return []store.File{
		{Ordinal: 0, SHA256: "aa", Records: 9, Duplicates: 4, Manifest: `{"path":"a.json","rejected":[]}`},
		{Ordinal: 1, SHA256: "another file", Records: 9, Manifest: `{"path":"x.json"}`},
	}
}

func TestMigrateFromVersion1(t *testing.T) {
	path := version1(t, 100)
	if _, err := Open(path, Options{}); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "midwatch store migrate --store "+path) {
		t.Errorf("for writing: %v", err)
	}
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, store.ErrSchema) {
		t.Errorf("for questions: %v", err)
	}
	old, err := Open(path, Options{ReadOnly: true, Old: true})
	if err != nil {
		t.Fatalf("for evidence: %v", err)
	}
	if n := number(t, old, "SELECT count(*) FROM events e JOIN files f ON f.file = e.file WHERE e.raw IS NOT NULL AND f.path = 'a.json' AND e.line > 0"); n != 100 {
		t.Errorf("evidence of %d records, want 100", n)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if from, to, err := Migrate(path, nil); err != nil || from != "1" || to != schemaVersion {
		t.Fatalf("from %q to %q, %v", from, to, err)
	}
	if from, to, err := Migrate(path, accounts()); err != nil || from != schemaVersion || to != schemaVersion {
		t.Errorf("a second time: from %q to %q, %v", from, to, err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for query, want := range map[string]int64{
		"SELECT events FROM files WHERE file = 0":     100,
		"SELECT events FROM files WHERE file = 1":     0,
		"SELECT records FROM files WHERE file = 0":    9,
		"SELECT duplicates FROM files WHERE file = 0": 4,
		"SELECT count(*) FROM files WHERE file = 1 AND records IS NULL AND manifest IS NULL AND path = 'b''s.json'": 1,
		"SELECT count(*) FROM events": 100,
		"SELECT count(*) FROM items":  100,
	} {
		if got := number(t, s, query); got != want {
			t.Errorf("%s: got %d, want %d", query, got, want)
		}
	}
	if ps, err := s.Check(t.Context()); err != nil || len(ps) > 0 {
		t.Errorf("check: %v %v", ps, err)
	}
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l.FirstFile() != 2 {
		t.Errorf("the next file is %d, want 2", l.FirstFile())
	}
	b := &event.Batch{}
	for i := 50; i < 150; i++ {
		b.Events = append(b.Events, storetest.Event(i))
	}
	if n, err := l.Claim(b); err != nil || n != 50 {
		t.Errorf("%d duplicates, %v; want 50", n, err)
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, "SELECT count(DISTINCT id) FROM events"); n != 150 {
		t.Errorf("%d events, want 150", n)
	}
}

// A migration that fails at its last statement leaves the old version.
func TestMigrationIsWholeOrNot(t *testing.T) {
	path := version1(t, 3)
	_, _, err := Migrate(path, append(accounts(), store.File{SHA256: "'\x00"}))
	if err == nil || !strings.Contains(err.Error(), "the store is as it was") {
		t.Fatalf("got %v", err)
	}
	s, err := Open(path, Options{ReadOnly: true, Old: true})
	if err != nil {
		t.Fatal(err)
	}
	if n := number(t, s, "SELECT count(*) FROM duckdb_columns() WHERE database_name = 'midwatch' AND table_name = 'files'"); s.from != "1" || n != 5 {
		t.Errorf("version %s, %d columns", s.from, n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Migrate(path, accounts()); err != nil {
		t.Error(err)
	}
}

// A migration that is killed leaves one version or the other, whole.
func TestKilledMigration(t *testing.T) {
	if path := os.Getenv("MIDWATCH_TEST_MIGRATE"); path != "" {
		if _, _, err := Migrate(path, accounts()); err != nil {
			t.Fatal(err)
		}
		return
	}
	master := version1(t, 50)
	image, err := os.ReadFile(master)
	if err != nil {
		t.Fatal(err)
	}
	migrated := 0
	var whole time.Duration // how long it takes when it is not killed
	const rounds = 12
	for round := range rounds + 1 {
		path := filepath.Join(t.TempDir(), "events.duckdb")
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledMigration$")
		cmd.Env = append(os.Environ(), "MIDWATCH_TEST_MIGRATE="+path, "TMPDIR="+t.TempDir())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if round > 0 {
			time.Sleep(whole * time.Duration(round) / (rounds + 1))
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		whole = max(whole, time.Since(start))
		if from, to, err := Migrate(path, accounts()); err != nil || to != schemaVersion {
			t.Fatalf("round %d: from %q to %q, %v", round, from, to, err)
		} else if from == schemaVersion {
			migrated++
		}
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if n := number(t, s, "SELECT events + records FROM files WHERE file = 0"); n != 59 {
			t.Errorf("round %d: %d events and records, want 59", round, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d were killed after the migration, the one that was not killed included", migrated, rounds+1)
}

// What cannot be migrated is refused with a word of what to do.
func TestMigrateRefuses(t *testing.T) {
	for version, want := range map[string]string{"3": "use the newer one", "99": "use the newer one", "0": "never had", "x": "never had"} {
		path := version1(t, 0)
		s, err := Open(path, Options{Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Exec(fmt.Sprintf("UPDATE meta SET value = '%s'", version)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, opts := range []Options{{}, {ReadOnly: true}, {ReadOnly: true, Old: true}, {Migrate: true}} {
			if _, err := Open(path, opts); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), want) {
				t.Errorf("version %s, %+v: %v", version, opts, err)
			}
		}
	}
}

// Somebody's own column, or the lack of one of ours, is noticed on opening.
func TestAlteredTablesAreRefused(t *testing.T) {
	for sql, want := range map[string]string{
		"ALTER TABLE events DROP COLUMN detail":      "table events: column",
		"ALTER TABLE items ADD COLUMN note VARCHAR":  "further column, note",
		"ALTER TABLE files ALTER bytes TYPE VARCHAR": "bytes VARCHAR, not bytes BIGINT",
		"DROP TABLE rejects":                         "table rejects: column 1 is missing",
		"DROP TABLE meta":                            "a database of something else",
		"CREATE TABLE notes (text VARCHAR)":          "",
	} {
		path := filepath.Join(t.TempDir(), "events.duckdb")
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Exec(sql); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(path, Options{})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", sql, err)
		case want == "":
			_ = s.Close()
		case !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// Of several that make the same store at once, all end up with the same one.
func TestCreateTogether(t *testing.T) {
	if path := os.Getenv("MIDWATCH_TEST_CREATE"); path != "" {
		var l *LockedError
		s, err := Open(path, Options{})
		for ; errors.As(err, &l); s, err = Open(path, Options{}) {
			time.Sleep(5 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Exec("INSERT INTO meta VALUES ('me', 'too')"); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "events.duckdb")
	var all []*exec.Cmd
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCreateTogether$")
		cmd.Env = append(os.Environ(), "MIDWATCH_TEST_CREATE="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := number(t, s, "SELECT count(*) FROM meta WHERE key = 'me'"); n != 6 {
		t.Errorf("%d of 6 wrote into the same store", n)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func number(t *testing.T, s *Store, query string) (n int64) {
	t.Helper()
	if err := s.db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
