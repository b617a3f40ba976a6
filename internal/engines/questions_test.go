package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midwatch/ingest"
	"midwatch/store"
)

// answer is the rows of a question as text, sorted.
func answer(t *testing.T, q store.Querier, question string) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), question)
	if err != nil {
		t.Fatalf("%s\n%v", question, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		values, dest := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, v := range values { // an engine may call a column i.folder that another calls folder
			if at, ok := v.(time.Time); ok {
				v = at.UTC().Format(time.RFC3339Nano)
			}
			fmt.Fprintf(&b, "%v | ", v)
		}
		out = append(out, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// The ten questions of docs/SCHEMA.md have the same answers on every engine.
func TestSchemaQuestions(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "SCHEMA.md"))
	if err != nil {
		t.Fatal(err)
	}
	stores := map[string]store.Store{"duckdb": openDuckDB(t), "one node": openClickHouse(t, false), "two shards": openClickHouse(t, true)}
	for name, st := range stores {
		if _, err := ingest.Run(t.Context(), st, []string{filepath.Join("..", "..", "testdata", "demo")}, ingest.Options{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	parts := strings.Split(string(text), "```sql\n")[1:]
	if len(parts) < 10 {
		t.Fatalf("%d questions", len(parts))
	}
	for _, p := range parts {
		q, _, _ := strings.Cut(p, "```")
		q = strings.TrimRight(strings.TrimSpace(q), ";")
		want := answer(t, stores["duckdb"], q)
		for _, name := range []string{"one node", "two shards"} {
			if d := cmp.Diff(want, answer(t, stores[name], q)); d != "" {
				t.Errorf("%s\n%s (-duckdb +%s):\n%s", q, name, name, d)
			}
		}
	}
}
