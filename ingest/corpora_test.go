package ingest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/internal/corpora"
	"midwatch/store/duckdb"
)

var update = flag.Bool("update", false, "write golden files")

// The Invictus set: figures checked independently of this code.
func TestInvictus(t *testing.T) {
	dir := corpora.Dir(t)
	st := openStore(t)
	res, err := Run(t.Context(), st, []string{filepath.Join(dir, "invictus", "auditrecords.csv")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Records != 9611 || res.Accepted != 5373 || res.Duplicates != 4235 || res.Rejected != 3 {
		t.Errorf("records %d, accepted %d, duplicates %d, rejected %d; want 9611, 5373, 4235, 3", res.Records, res.Accepted, res.Duplicates, res.Rejected)
	}
	if r := res.Sources[0].Rejected; len(r) != 1 || r[0].Count != 3 || !strings.Contains(r[0].Reason, "AuditData is empty") {
		t.Errorf("rejected: %+v", r)
	}
	for q, want := range map[string]int{
		"SELECT count(*) FROM events WHERE operation = 'mailitemsaccessed'":                                                                                            318,
		"SELECT count(*) FROM events WHERE operation = 'mailitemsaccessed' AND access = 'bind'":                                                                        288,
		"SELECT count(*) FROM events WHERE operation = 'mailitemsaccessed' AND access = 'sync'":                                                                        30,
		"SELECT count(DISTINCT mailbox) FROM events WHERE operation = 'mailitemsaccessed'":                                                                             12,
		"SELECT count(DISTINCT i.message_id) FROM items i JOIN events e ON e.id = i.event WHERE e.operation = 'mailitemsaccessed' AND i.kind = 'message'":              291,
		"SELECT count(*) FROM items i JOIN events e ON e.id = i.event WHERE e.operation = 'mailitemsaccessed' AND i.kind = 'message'":                                  1026,
		"SELECT count(*) FROM events WHERE operation = 'mailitemsaccessed' AND access = 'bind' AND item_count <> (SELECT count(*) FROM items WHERE event = events.id)": 0,
		"SELECT count(*) FROM events WHERE operation = 'userloginfailed'":                                                                                              216,
		"SELECT count(*) FROM events WHERE operation = 'userloginfailed' AND code = '50126'":                                                                           128,
		"SELECT count(*) FROM events WHERE operation = 'update application - certificates and secrets management'":                                                     12,
		"SELECT count(*) FROM events WHERE time IS NULL OR tenant IS NULL OR raw IS NULL":                                                                              0,
		"SELECT count(*) FROM events WHERE actor <> lower(actor)":                                                                                                      0,
	} {
		if got := queryInt(t, st, q); got != want {
			t.Errorf("%s: got %d, want %d", q, got, want)
		}
	}
}

// Every corpus file is read with its own counts; no file is passed over.
func TestCorpora(t *testing.T) {
	dir := corpora.Dir(t)
	var b strings.Builder
	b.WriteString("# file: records accepted duplicates rejected | formats | reasons for rejecting\n")
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		// Not logs: rules, parsers' configuration, the parse of another tool.
		if strings.HasPrefix(rel, "sigma"+string(filepath.Separator)) || strings.HasSuffix(p, ".yml") || strings.HasSuffix(p, "-expected.json") || strings.HasSuffix(p, ".md") {
			return nil
		}
		st := openStore(t)
		res, err := Run(t.Context(), st, []string{p}, Options{})
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		fmt.Fprintf(&b, "%s: %d %d %d %d |", filepath.ToSlash(rel), res.Records, res.Accepted, res.Duplicates, res.Rejected)
		for _, s := range res.Sources {
			for _, f := range s.Formats {
				fmt.Fprintf(&b, " %s=%d", f.Name, f.Records)
			}
			b.WriteString(" |")
			for _, r := range s.Rejected {
				fmt.Fprintf(&b, " %d× %s;", r.Count, r.Reason)
			}
			if s.Incomplete != "" {
				fmt.Fprintf(&b, " INCOMPLETE %s", s.Incomplete)
			}
		}
		b.WriteString("\n")
		return st.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "corpora.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("counts changed (-want +got; -update writes them):\n%s", d)
	}
}

func openStore(t *testing.T) *duckdb.Store {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func queryInt(t *testing.T, st *duckdb.Store, q string) (n int) {
	t.Helper()
	rows, err := st.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	rows.Next()
	if err := rows.Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}
