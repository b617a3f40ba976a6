package main

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/internal/custody"
)

// verified runs verify and returns what it found that is not right.
func verified(t *testing.T, want int, args ...string) []custody.Item {
	t.Helper()
	out := verb(t, []int{want}, append([]string{"verify", "--json"}, args...)...)
	var x struct{ Items []custody.Item }
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		t.Fatal(err)
	}
	var wrong []custody.Item
	right := 0
	for _, i := range x.Items {
		if i.State == custody.Verified {
			right++
		} else {
			wrong = append(wrong, i)
		}
	}
	if right == 0 {
		t.Errorf("nothing was verified: %+v", wrong)
	}
	return wrong
}

func edit(t *testing.T, path string, fn func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := fn(bytes.Clone(b))
	if bytes.Equal(b, n) {
		t.Fatalf("%s: the test changed nothing", path)
	}
	if err := os.WriteFile(path, n, 0o600); err != nil {
		t.Fatal(err)
	}
}

func execSQL(t *testing.T, file, query string) {
	t.Helper()
	db, err := sql.Open("duckdb", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test
	res, err := db.Exec(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s: it changed %d rows, %v", query, n, err)
	}
}

func has(items []custody.Item, part string, state custody.State, texts ...string) *custody.Item {
next:
	for i := range items {
		x := &items[i]
		for _, s := range texts {
			if !strings.Contains(x.Name+" "+x.Text, s) {
				continue next
			}
		}
		if x.Part == part && x.State == state {
			return x
		}
	}
	return nil
}

// A byte that is changed anywhere is named; nothing else is.
func TestVerifyNamesWhatWasChanged(t *testing.T) {
	base := t.TempDir()
	logs := filepath.Join(base, "logs")
	if err := os.CopyFS(logs, os.DirFS(filepath.Join("..", "..", "testdata", "demo"))); err != nil {
		t.Fatal(err)
	}
	// One file in an archive, and one in UTF-16.
	ual := filepath.Join(logs, "ual")
	entries, err := os.ReadDir(ual)
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	plain := filepath.Join(ual, entries[0].Name())
	b, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	gz := plain + ".gz"
	if os.WriteFile(gz, z.Bytes(), 0o600) != nil || os.Remove(plain) != nil {
		t.Fatal("write the archive")
	}
	wide := []byte{0xff, 0xfe}
	for _, c := range []byte(`{"Id":"00000000-0000-4000-8000-000000000001","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"Workload":"SharePoint","OrganizationId":"t","UserId":"a@x.example","UserType":0}` + "\n") {
		wide = append(wide, c, 0)
	}
	if err := os.WriteFile(filepath.Join(logs, "wide.json"), bytes.Repeat(wide[:len(wide):len(wide)], 1), 0o600); err != nil {
		t.Fatal(err)
	}
	verb(t, []int{exitFindings, exitIncomplete}, "investigate", logs, "-q", "--out", filepath.Join(base, "x.case"))
	verb(t, []int{exitNothing}, "journal", "add", filepath.Join(base, "x.case"), "a note")

	for name, c := range map[string]struct {
		change func(t *testing.T, dir, logs string) []string // further arguments
		want   int
		part   string
		state  custody.State
		texts  []string
		only   bool // nothing else differs
	}{
		"nothing":      {func(*testing.T, string, string) []string { return nil }, exitNothing, "", "", nil, true},
		"nothing, all": {func(*testing.T, string, string) []string { return []string{"--all"} }, exitNothing, "", "", nil, true},
		"byte of a log": {func(t *testing.T, _, logs string) []string {
			edit(t, filepath.Join(logs, "wide.json"), func(b []byte) []byte { b[len(b)-20] ^= 1; return b })
			return []string{"--all"}
		}, exitFindings, "events", custody.Differs, []string{"wide.json", "byte"}, false},
		"byte of an archive": {func(t *testing.T, _, logs string) []string {
			edit(t, filepath.Join(logs, "ual", filepath.Base(gz)), func(b []byte) []byte { b[4] ^= 1; return b }) // the time in its head
			return nil
		}, exitFindings, "sources", custody.Differs, []string{".gz", "the archive is another one"}, true},
		"log removed": {func(t *testing.T, _, logs string) []string {
			if err := os.Remove(filepath.Join(logs, "wide.json")); err != nil {
				t.Fatal(err)
			}
			return nil
		}, exitIncomplete, "sources", custody.Unchecked, []string{"wide.json", "--logs"}, true},
		"logs moved": {func(t *testing.T, _, logs string) []string {
			if err := os.Rename(logs, logs+"2"); err != nil {
				t.Fatal(err)
			}
			return []string{"--all", "--logs", logs + "2"}
		}, exitNothing, "", "", nil, true},
		"raw record": {func(t *testing.T, dir, _ string) []string {
			execSQL(t, filepath.Join(dir, "events.duckdb"), `UPDATE events SET raw = replace(raw, 'FileAccessed', 'FileAccessex') WHERE CAST(file AS VARCHAR) = (SELECT CAST(file AS VARCHAR) FROM files WHERE path LIKE '%wide.json')`)
			return nil
		}, exitFindings, "events", custody.Differs, []string{"wide.json", `"x" in the event store and "d" in the file`}, false},
		"column": {func(t *testing.T, dir, _ string) []string {
			execSQL(t, filepath.Join(dir, "events.duckdb"), `UPDATE events SET actor = 'somebody@else.example' WHERE CAST(file AS VARCHAR) = (SELECT CAST(file AS VARCHAR) FROM files WHERE path LIKE '%wide.json')`)
			return []string{"--all"}
		}, exitFindings, "columns", custody.Differs, []string{"actor", "somebody@else.example", "a@x.example"}, false},
		"event removed": {func(t *testing.T, dir, _ string) []string {
			execSQL(t, filepath.Join(dir, "events.duckdb"), `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE class = 'app_role_grant')`)
			return nil
		}, exitFindings, "citations", custody.Differs, []string{"not in the event store"}, false},
		"hash in the store": {func(t *testing.T, dir, _ string) []string {
			execSQL(t, filepath.Join(dir, "events.duckdb"), `UPDATE files SET sha256 = replace(sha256, left(sha256, 4), 'beef') WHERE path LIKE '%wide.json'`)
			return nil
		}, exitFindings, "sources", custody.Differs, []string{"sources.json", "sha256"}, false},
		"claim": {func(t *testing.T, dir, _ string) []string {
			edit(t, filepath.Join(dir, "case.json"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"dwell_days": `), []byte(`"dwell_days": 9`), 1) })
			return nil
		}, exitFindings, "claims", custody.Differs, []string{"campaigns[0].dwell_days"}, false},
		"space in case.json": {func(t *testing.T, dir, _ string) []string {
			edit(t, filepath.Join(dir, "case.json"), func(b []byte) []byte { return append(b, ' ') })
			return nil
		}, exitFindings, "claims", custody.Differs, []string{"the bytes are not"}, true},
		"report": {func(t *testing.T, dir, _ string) []string {
			edit(t, filepath.Join(dir, "report.html"), func(b []byte) []byte { return bytes.Replace(b, []byte("confirmed"), []byte("confirmex"), 1) })
			return nil
		}, exitFindings, "report", custody.Differs, []string{"report.html"}, true},
		"journal": {func(t *testing.T, dir, _ string) []string {
			edit(t, filepath.Join(dir, "journal.ndjson"), func(b []byte) []byte { return bytes.Replace(b, []byte("a note"), []byte("b note"), 1) })
			return nil
		}, exitFindings, "journal", custody.Differs, []string{"it was changed"}, false},
		"settings": {func(t *testing.T, dir, _ string) []string {
			edit(t, filepath.Join(dir, "settings.json"), func([]byte) []byte { return []byte(`{`) })
			return nil
		}, exitFindings, "claims", custody.Differs, []string{"settings.json"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			// The paths in the case lead to base, so the copy moves there.
			dir, kept := filepath.Join(base, "x.case"), filepath.Join(t.TempDir(), "kept")
			if err := os.CopyFS(kept, os.DirFS(base)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				for _, d := range []string{"x.case", "logs", "logs2"} {
					if err := os.RemoveAll(filepath.Join(base, d)); err != nil {
						t.Fatal(err)
					}
				}
				for _, d := range []string{"x.case", "logs"} {
					if err := os.CopyFS(filepath.Join(base, d), os.DirFS(filepath.Join(kept, d))); err != nil {
						t.Fatal(err)
					}
				}
			})
			more := c.change(t, dir, logs)
			wrong := verified(t, c.want, append([]string{dir}, more...)...)
			if c.part != "" && has(wrong, c.part, c.state, c.texts...) == nil {
				t.Errorf("not named; found are %+v", wrong)
			}
			if c.only && len(wrong) != map[bool]int{true: 0, false: 1}[c.part == ""] {
				t.Errorf("more than that: %+v", wrong)
			}
		})
	}
}

// A case whose events lie in a store that stays, and one of standard input.
func TestVerifyStoreAndStandardInput(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	log := []byte(`{"Id":"00000000-0000-4000-8000-000000000001","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"UserId":"a@x.example"}` + "\n")
	if err := os.WriteFile("one.ndjson", log, 0o600); err != nil {
		t.Fatal(err)
	}
	verb(t, []int{exitNothing}, "ingest", "-q", "one.ndjson", "--store", "audit.duckdb")
	verb(t, []int{exitNothing}, "investigate", "-q", "--store", "audit.duckdb", "--out", "kept.case")
	if wrong := verified(t, exitNothing, "kept.case", "--all"); len(wrong) > 0 {
		t.Errorf("%+v", wrong)
	}
	execSQL(t, "audit.duckdb", `UPDATE events SET line = 2`)
	if wrong := verified(t, exitFindings, "kept.case"); has(wrong, "events", custody.Differs, "line 1 of the file, the event store says 2") == nil {
		t.Errorf("%+v", wrong)
	}
	execSQL(t, "audit.duckdb", `UPDATE events SET line = 1`)

	// The account says that the records came on standard input.
	execSQL(t, "audit.duckdb", `UPDATE files SET path = '-', manifest = replace(manifest, 'one.ndjson', '-')`)
	verb(t, []int{exitNothing}, "investigate", "--again", "kept.case", "-q")
	wrong := verified(t, exitIncomplete, "kept.case")
	if has(wrong, "sources", custody.Unchecked, "standard input was not kept") == nil || len(wrong) != 1 {
		t.Errorf("%+v", wrong)
	}
	if wrong := verified(t, exitNothing, "kept.case", "--logs", dir); len(wrong) > 0 { // a copy is found
		t.Errorf("%+v", wrong)
	}
}
