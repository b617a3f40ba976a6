package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/store"
	"midwatch/store/duckdb"
)

func TestParseStore(t *testing.T) {
	t.Setenv(envPassword, "from-env")
	for spec, want := range map[string]struct{ file, shown, password, name string }{
		"a/audit.duckdb":                                   {"a/audit.duckdb", "a/audit.duckdb", "", "audit.case"},
		"duckdb:audit.db":                                  {"audit.db", "audit.db", "", "audit.case"},
		"duckdb:///var/audit.db":                           {"/var/audit.db", "/var/audit.db", "", "audit.case"},
		"clickhouse://reader@db.example:9000/audit":        {"", "clickhouse://reader@db.example:9000/audit", "from-env", "audit.case"},
		"clickhouse://reader:hunter2@db.example/audit?x=1": {"", "clickhouse://reader@db.example/audit?x=1", "hunter2", "audit.case"},
		"clickhouse://reader:p%40ss@a:1,b:2/audit":         {"", "clickhouse://reader@a:1,b:2/audit", "p@ss", "audit.case"},
		"clickhouses://db/audit?password=hunter2&x=1":      {"", "clickhouses://db/audit?x=1", "hunter2", "audit.case"},
		"clickhouse://db/audit":                            {"", "clickhouse://db/audit", "from-env", "audit.case"},
	} {
		l, err := parseStore(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if l.file != want.file || l.String() != want.shown || l.password != want.password || l.caseName() != want.name {
			t.Errorf("%s: file %q, shown %q, password %q, case %q", spec, l.file, l, l.password, l.caseName())
		}
		if kept, err := l.kept(); err != nil || l.server != nil && kept != want.shown || l.server == nil && !filepath.IsAbs(strings.TrimPrefix(kept, "duckdb:")) {
			t.Errorf("%s: kept as %q, %v", spec, kept, err)
		}
	}
}

// Whatever goes wrong, no password is printed, and none is written.
func TestNoPasswordIsShown(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	log := filepath.Join(dir, "one.ndjson")
	if err := os.WriteFile(log, []byte(`{"Id":"00000000-0000-4000-8000-000000000001","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"UserId":"a@x.example"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret, inEnv = "hunter2-%41bc", "s3cret-from-env"
	shown := []string{"hunter2", "s3cret"}
	t.Setenv(envPassword, inEnv)
	// A case that stands on a server, as far as its files say.
	verb(t, []int{exitNothing}, "investigate", "-q", log, "--out", "x.case")
	if err := os.WriteFile(filepath.Join(dir, "x.case", "store.json"), []byte(`{"schema":"midwatch.store/1","store":"clickhouse://reader@127.0.0.1:1/audit"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		"clickhouse://reader:" + secret + "@127.0.0.1:1/audit",
		"clickhouse://reader:" + secret + "@127.0.0.1:1/audit?dial_timeout=1s&no_such_setting=1",
		"clickhouse://reader:" + secret + "@127.0.0.1:not-a-port/audit",
		"clickhouse://reader:" + secret + "@[::1/audit",
		"clickhouse://127.0.0.1:1/audit?username=reader&password=" + secret,
		"clickhouse://reader:hunter2-%zz@127.0.0.1:1/audit",
		"clickhouse://reader@127.0.0.1:1/audit",
		"mysql://reader:" + secret + "@127.0.0.1:1/audit",
		"reader:" + secret + "@tcp://127.0.0.1:1/audit",
	} {
		for _, args := range [][]string{
			{"ingest", log, "--store", url},
			{"investigate", "--store", url},
			{"investigate", log, "--store", url, "--out", "x.case"},
			{"store", "check", url},
			{"store", "stats", "--store", url},
			{"store", "prune", url, "--keep", "1d", "--yes"},
			{"store", "migrate", url},
			{"store", "check", url, "--store", url},
			{"store", url},
			{"evidence", "x.case", "00000000-0000-0000-0000-000000000000"},
			{"evidence", url, "00000000-0000-0000-0000-000000000000"},
			{url},
			{"investigate", "--out", "y.case", "--no-such-flag=" + url},
		} {
			var out, errs bytes.Buffer
			if code := run(t.Context(), args, stdio{in: &bytes.Buffer{}, out: &out, err: &errs}); code != exitFailed {
				t.Errorf("midwatch %v: exit status %d", args, code)
			}
			for _, s := range shown {
				if strings.Contains(out.String()+errs.String(), s) {
					t.Errorf("midwatch %v shows %q:\n%s%s", args, s, out.String(), errs.String())
				}
			}
		}
	}
	t.Setenv(envStore, "clickhouse://reader:"+secret+"@[::1/audit")
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"ingest", log}, stdio{in: &bytes.Buffer{}, out: io.Discard, err: &errs}); code != exitFailed || strings.Contains(errs.String(), "hunter2") {
		t.Errorf("exit status %d\n%s", code, errs.String())
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range shown {
			if strings.Contains(string(b), s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// alter changes a store behind midwatch's back.
func alter(t *testing.T, path string, statements ...string) {
	t.Helper()
	st, err := duckdb.Open(path, duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range statements {
		if err := store.Each(t.Context(), st, q, nil, func(func(...any) error) error { return nil }); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// version1 makes the store at path one of schema version 1.
func version1(t *testing.T, path string) {
	t.Helper()
	alter(t, path, "ALTER TABLE files DROP COLUMN manifest", "ALTER TABLE files DROP COLUMN duplicates", "ALTER TABLE files DROP COLUMN events", "ALTER TABLE files DROP COLUMN records",
		"UPDATE meta SET value = '1' WHERE key = 'schema'")
}

// fails runs a command line that must fail, and gives its words.
func fails(t *testing.T, args ...string) string {
	t.Helper()
	var errs bytes.Buffer
	if got := run(t.Context(), args, stdio{in: &bytes.Buffer{}, out: io.Discard, err: &errs}); got != exitFailed {
		t.Errorf("midwatch %v: exit status %d", args, got)
	}
	return errs.String()
}

// A case of an older version is of use as it is, grows without a word about
// versions, and can be brought forward.
func TestOldCase(t *testing.T) {
	demo, err := filepath.Abs(filepath.Join("..", "..", "testdata", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	events := filepath.Join("old.case", "events.duckdb")
	verb(t, []int{exitIncomplete}, "investigate", "-q", filepath.Join(demo, "ual"), "--out", "old.case")
	version1(t, events)

	_, id, _ := strings.Cut(read1(t, filepath.Join("old.case", "case.json")), `"evidence": {`)
	_, id, _ = strings.Cut(id, `"`)
	if out := verb(t, []int{exitNothing}, "evidence", "old.case", id[:36]); !strings.Contains(out, "sha256") {
		t.Errorf("evidence: %s", out)
	}
	for _, args := range [][]string{{"store", "check", "old.case"}, {"investigate", "--store", "old.case", "--out", "x"}, {"store", "prune", events, "--keep", "1d"}, {"ingest", demo, "--store", events}} {
		if words := fails(t, args...); !strings.Contains(words, "run `midwatch store migrate --store "+events+"`") {
			t.Errorf("midwatch %v: %s", args, words)
		}
	}

	// It grows by what is new: what it has is known from its sources.json.
	if out := verb(t, []int{exitIncomplete}, "investigate", "-q", filepath.Join(demo, "ual"), "--out", "old.case"); !strings.Contains(out, "Nothing was added") {
		t.Errorf("a second run: %s", out)
	}
	if err := os.CopyFS("copy.case", os.DirFS("old.case")); err != nil {
		t.Fatal(err)
	}
	verb(t, []int{exitIncomplete}, "investigate", "-q", demo, "--out", "copy.case")
	verb(t, []int{exitIncomplete}, "investigate", "-q", filepath.Join(demo, "ual"), "--out", "new.case")
	verb(t, []int{exitIncomplete}, "investigate", "-q", demo, "--out", "new.case")
	for _, name := range []string{"case.json", "sources.json"} {
		if read1(t, filepath.Join("copy.case", name)) != read1(t, filepath.Join("new.case", name)) {
			t.Errorf("%s of a case that came from version 1 is another than that of one that did not", name)
		}
	}
	verb(t, []int{exitNothing}, "store", "check", "copy.case")

	// Or it is brought forward where it is, and then it is a store like others.
	if out := verb(t, []int{exitNothing}, "store", "migrate", "old.case"); !strings.Contains(out, "schema version 2, was 1") {
		t.Errorf("migrate: %s", out)
	}
	verb(t, []int{exitNothing}, "store", "check", "old.case")
	verb(t, []int{exitIncomplete}, "investigate", "-q", "--store", "old.case", "--out", "over.case")
	if read1(t, filepath.Join("over.case", "case.json")) != read1(t, filepath.Join("old.case", "case.json")) {
		t.Error("a migrated case gives another case.json")
	}
}

func read1(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A store of an older version without a case beside it: files are known by
// their hashes, but not to be whole, so that they are read again.
func TestOldStore(t *testing.T) {
	demo, err := filepath.Abs(filepath.Join("..", "..", "testdata", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	verb(t, []int{exitIncomplete}, "ingest", "-q", demo, "--store", "a.duckdb")
	version1(t, "a.duckdb")
	verb(t, []int{exitNothing}, "store", "migrate", "--store", "a.duckdb")
	verb(t, []int{exitNothing}, "store", "check", "a.duckdb")
	verb(t, []int{exitFindings}, "investigate", "-q", "--store", "a.duckdb")
	if out := verb(t, []int{exitIncomplete}, "ingest", "-q", demo, "--store", "a.duckdb"); !strings.Contains(out, "Added:   0 records of 9 files; 713 duplicates") {
		t.Errorf("read again: %s", out)
	}
	if out := verb(t, []int{exitNothing}, "ingest", "-q", demo, "--store", "a.duckdb"); !strings.Contains(out, "9 files were in the store already") {
		t.Errorf("and again: %s", out)
	}
}

// What a load left that died while it was committed is in no case.
func TestUnfinishedLoad(t *testing.T) {
	demo, err := filepath.Abs(filepath.Join("..", "..", "testdata", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	verb(t, []int{exitIncomplete}, "ingest", "-q", filepath.Join(demo, "ual"), "--store", "a.duckdb")
	verb(t, []int{exitIncomplete}, "investigate", "-q", "--store", "a.duckdb", "--out", "before.case")
	verb(t, []int{exitNothing}, "ingest", "-q", filepath.Join(demo, "graph"), "--store", "a.duckdb")
	alter(t, "a.duckdb", "DELETE FROM files WHERE file = 2", "INSERT INTO meta VALUES ('unfinished load', '2')")
	var out, errs bytes.Buffer
	std := stdio{in: &bytes.Buffer{}, out: &out, err: &errs}
	if code := run(t.Context(), []string{"store", "check", "a.duckdb"}, std); code != exitIncomplete || !strings.Contains(out.String(), "1. a load died while it was committed") || !strings.Contains(out.String(), "   do: read its files again") {
		t.Errorf("check: exit status %d\n%s%s", code, out.String(), errs.String())
	}
	if code := run(t.Context(), []string{"investigate", "-q", "--store", "a.duckdb", "--out", "after.case"}, std); code != exitIncomplete || !strings.Contains(errs.String(), "was not finished; what it left is removed") {
		t.Errorf("investigate: exit status %d\n%s", code, errs.String())
	}
	if read1(t, filepath.Join("before.case", "case.json")) != read1(t, filepath.Join("after.case", "case.json")) {
		t.Error("the case is another")
	}
	if out := verb(t, []int{exitNothing}, "ingest", "-q", filepath.Join(demo, "graph"), "--store", "a.duckdb"); !strings.Contains(out, " of 1 files") {
		t.Errorf("its file is not read again: %s", out)
	}
	verb(t, []int{exitNothing}, "store", "check", "a.duckdb")
}

// A DuckDB file takes one writer: the others wait, and say so.
func TestWaiting(t *testing.T) {
	t.Chdir(t.TempDir())
	line := `{"Id":"00000000-0000-4000-8000-00000000000X","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"UserId":"a@x.example"}` + "\n"
	for _, n := range []string{"1", "2"} {
		if err := os.WriteFile(n+".ndjson", []byte(strings.Replace(line, "X", n, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writer := midwatch(t, "ingest", "-q", "-", "--store", "a.duckdb")
	in, err := writer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, strings.Replace(line, "X", "3", 1)); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) { // until it has the file
		var l *duckdb.LockedError
		st, err := duckdb.Open("a.duckdb", duckdb.Options{ReadOnly: true})
		if errors.As(err, &l) {
			break
		}
		if err == nil {
			_ = st.Close()
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal("the writer does not begin")
		}
	}
	for _, args := range [][]string{{"ingest", "-q", "1.ndjson", "--store", "a.duckdb"}, {"store", "check", "a.duckdb"}, {"investigate", "--store", "a.duckdb"}, {"store", "migrate", "a.duckdb"}, {"evidence", "a.duckdb", "00000000-0000-0000-0000-000000000000"}} {
		words := fails(t, append(slices.Clone(args), "--wait", "300ms")...)
		if strings.Count(words, "waiting: another process is writing to a.duckdb") != 1 || !strings.Contains(words, "is writing to a.duckdb; try again when it has finished; --wait says how long to wait for it, 300ms now") {
			t.Errorf("midwatch %v: %s", args, words)
		}
	}
	// Two more that wait long enough both get their turn.
	var waiters [2]bytes.Buffer
	done := make(chan error)
	for i, n := range []string{"1", "2"} {
		cmd := midwatch(t, "ingest", "-q", n+".ndjson", "--store", "a.duckdb")
		cmd.Stdout, cmd.Stderr = &waiters[i], &waiters[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { done <- cmd.Wait() }()
	}
	time.Sleep(700 * time.Millisecond)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writer.Wait(); err != nil {
		t.Error(err)
	}
	for range waiters {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i := range waiters {
		if s := waiters[i].String(); !strings.Contains(s, "waiting: another process is writing to a.duckdb\n") || !strings.Contains(s, "Added:   1 records") {
			t.Errorf("a waiter says %s", s)
		}
	}
	verb(t, []int{exitNothing}, "store", "check", "a.duckdb")
	if out := verb(t, []int{exitNothing}, "store", "stats", "a.duckdb"); !regexp.MustCompile(`events +3 `).MatchString(out) {
		t.Errorf("stats: %s", out)
	}
}

func TestPruneBefore(t *testing.T) {
	now := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ before, keep, want string }{
		{"2024-01-31", "", "2024-01-31T00:00:00Z"},
		{"2024-01-31T12:00:00+02:00", "", "2024-01-31T10:00:00Z"},
		{"", "30d", "2024-01-31T12:00:00Z"},
		{"", "-1d", ""}, {"", "0d", ""}, {"", "30", ""}, {"", "d", ""}, {"31.1.2024", "", ""}, {"", "", ""}, {"2024-01-31", "30d", ""},
	} {
		got, err := pruneBefore(c.before, c.keep, now)
		if s := got.Format(time.RFC3339); (err == nil) != (c.want != "") || err == nil && s != c.want {
			t.Errorf("%+v: %s, %v", c, s, err)
		}
	}
}
