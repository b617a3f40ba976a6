package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/event"
)

const schemaDoc = "../docs/SCHEMA.md"

// The tables in docs/SCHEMA.md are those of package event.
func TestSchemaDoc(t *testing.T) {
	var b strings.Builder
	for _, table := range []struct {
		name string
		cols []event.Column
	}{{"events", event.Columns()}, {"items", event.ItemColumns()}, {"files", event.FileColumns()}, {"rejects", event.RejectColumns()}} {
		fmt.Fprintf(&b, "\n### %s\n\n| column | type | what |\n|---|---|---|\n", table.name)
		for _, c := range table.cols {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, c.Type, strings.ReplaceAll(c.Doc, "|", `\|`))
		}
	}
	text, err := os.ReadFile(schemaDoc)
	if err != nil {
		t.Fatal(err)
	}
	const marker = "<!-- tables: written by `make golden` from package event -->\n"
	before, after, found := strings.Cut(string(text), marker)
	if !found {
		t.Fatal("the marker is missing")
	}
	if *update {
		if err := os.WriteFile(schemaDoc, []byte(before+marker+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if after != b.String() {
		t.Error("docs/SCHEMA.md does not have the columns of package event; `make golden` writes it")
	}
}

// The questions in docs/SCHEMA.md run, and those that the demo has an answer
// to give one.
func TestSchemaQuestions(t *testing.T) {
	text, err := os.ReadFile(schemaDoc)
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t)
	if _, err := Run(t.Context(), st, []string{filepath.Join("..", "testdata", "demo")}, Options{}); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "```sql\n")[1:]
	if len(parts) != 10 {
		t.Errorf("%d questions, the text says ten", len(parts))
	}
	for i, p := range parts {
		q, _, _ := strings.Cut(p, "```")
		rows, err := st.Query(t.Context(), strings.TrimSuffix(strings.TrimSpace(q), ";"))
		if err != nil {
			t.Errorf("question %d: %v", i+1, err)
			continue
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil || n == 0 {
			t.Errorf("question %d: %d rows, %v", i+1, n, err)
		}
		rows.Close()
	}
}
