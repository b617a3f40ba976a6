package rules

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"midwatch/event"
	"midwatch/ingest"
	"midwatch/sigma"
	"midwatch/store/duckdb"
)

// Every built-in rule has records of the vendor's own, in testdata/<rule>/: it
// finds each of match.ndjson and none of miss.ndjson, nor any of another
// rule's, in SQL and in memory.
func TestBuiltin(t *testing.T) {
	f, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Correlations) > 0 || len(f.Rules) < 10 {
		t.Errorf("%d rules, %d correlations", len(f.Rules), len(f.Correlations))
	}
	for i, file := range f.Files {
		for _, n := range file.Notes {
			t.Errorf("%s:%s", file.Path, n)
		}
		r := f.Rules[i]
		if r.ID == "" || r.Level == "" || r.Description == "" || len(r.FalsePositives) == 0 || len(r.Tags) == 0 || r.License != "Apache-2.0" {
			t.Errorf("%s lacks something that a rule of ours says", file.Path)
		}
	}
	for _, r := range f.Rules {
		name := strings.TrimSuffix(filepath.Base(r.File), ".yml")
		for _, which := range []string{"match", "miss"} {
			rows := stored(t, filepath.Join("testdata", name, which+".ndjson"))
			for _, row := range rows {
				for _, other := range f.Rules {
					want := which == "match" && other == r
					if row.sql[other.ID] != want {
						t.Errorf("%s: SQL finds %v in %s of %s: %s", other.File, row.sql[other.ID], which, name, row.columns["raw"])
					}
					if got := other.Match(row.record); got != want {
						t.Errorf("%s: in memory finds %v in %s of %s: %s", other.File, got, which, name, row.columns["raw"])
					}
				}
			}
		}
	}
}

// row is a stored record.
type row struct {
	columns map[string]string
	sql     map[string]bool // ids of rules that find it
}

// record gives a rule the columns, as the product midwatch has them.
func (r row) record(field string) ([]any, bool) {
	v, ok := r.columns[field]
	return []any{v}, ok
}

// stored reads a file of records through the parsers, and asks the built-in
// rules of the store.
func stored(t *testing.T, path string) []row {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	res, err := ingest.Run(t.Context(), st, []string{path}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if lines := int64(strings.Count(string(data), "\n")); res.Accepted != lines || lines == 0 {
		t.Fatalf("%s: %d of %d records were accepted", path, res.Accepted, lines)
	}
	var names []string
	for _, c := range event.Columns() {
		if c.Type == event.TypeText || c.Type == event.TypeRaw {
			names = append(names, c.Name)
		}
	}
	rows, err := st.Query(t.Context(), "SELECT CAST(id AS VARCHAR), "+strings.Join(names, ", ")+" FROM events ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var out []row
	at := map[string]int{}
	for rows.Next() {
		var id string
		values, dest := make([]*string, len(names)), []any{&id}
		for i := range values {
			dest = append(dest, &values[i])
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		r := row{columns: map[string]string{}, sql: map[string]bool{}}
		for i, v := range values {
			if v != nil {
				r.columns[names[i]] = *v
			}
		}
		at[id] = len(out)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	f, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	query, err := sigma.Select(f.Rules, Schema{})
	if err != nil {
		t.Fatal(err)
	}
	hits, err := st.Query(t.Context(), "SELECT id, hits FROM ("+query+") AS q")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hits.Close() }()
	for hits.Next() {
		var id, list string
		if err := hits.Scan(&id, &list); err != nil {
			t.Fatal(err)
		}
		for i, r := range f.Rules {
			if slices.Contains(strings.Fields(list), strconv.Itoa(i)) {
				out[at[id]].sql[r.ID] = true
			}
		}
	}
	if err := hits.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
