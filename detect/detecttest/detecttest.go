// Package detecttest holds what the tests of detectors and of investigate
// share: a store in memory that is filled with rows of columns, so that a
// detector's data do not depend on any parser.
//
// Data are NDJSON, one event a line, its members the columns of table events
// (see [event.Columns]) and "items", a list of rows of table items. Lines that
// begin with // and empty lines are skipped. Members that are left out are
// NULL, except: id is a hash of the line's number and text, source is ual,
// tenant is "contoso", outcome "success", actor_kind "user", file 1, line the
// line in the file. "repeat": {"n": 40, "every": "90s"} writes the line n
// times with time moved on; "$i" in any string is the number of the copy, "$u"
// an id made of it.
package detecttest

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the engine of the tests

	"midwatch/event"
)

// DB is a store in memory. It implements store.Querier.
type DB struct {
	sql   *sql.DB
	files int
}

// Query implements store.Querier.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.sql.QueryContext(ctx, query, args...)
}

// Open returns a store with the rows of the files.
func Open(t testing.TB, paths ...string) *DB {
	t.Helper()
	c, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	d := &DB{sql: c}
	d.exec(t, createTable("events", event.Columns()))
	d.exec(t, createTable("items", event.ItemColumns()))
	d.exec(t, createTable("rejects", event.RejectColumns()))
	d.exec(t, createTable("files", event.FileColumns()))
	for _, p := range paths {
		d.Load(t, p)
	}
	return d
}

func (d *DB) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := d.sql.Exec(query, args...); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
}

func createTable(name string, cols []event.Column) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", name)
	for i, c := range cols {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %s", c.Name, sqlType(c.Type))
	}
	return b.String() + ")"
}

func sqlType(t event.Type) string {
	switch t {
	case event.TypeInt:
		return "INTEGER"
	case event.TypeBigInt:
		return "BIGINT"
	case event.TypeBool:
		return "BOOLEAN"
	case event.TypeTimestamp:
		return "TIMESTAMP"
	case event.TypeUUID:
		return "UUID"
	case event.TypeBytes:
		return "BLOB"
	}
	return "VARCHAR"
}

// Load adds the rows of a file.
func (d *DB) Load(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d.files++
	d.exec(t, "INSERT INTO files (file, path, sha256, bytes, outer_sha256) VALUES (?, ?, ?, ?, ?)", d.files, filepath.Base(path), "00ff", len(b), "00ff")
	d.LoadText(t, path, string(b))
}

// LoadText adds rows that stand in text.
func (d *DB) LoadText(t testing.TB, name, text string) {
	t.Helper()
	var events, items [][]any
	sc := bufio.NewScanner(strings.NewReader(text))
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		for _, row := range expand(t, name, n, line) {
			ev, its := d.row(t, name, n, row)
			events, items = append(events, ev), append(items, its...)
		}
	}
	d.insert(t, "events", event.Columns(), events)
	d.insert(t, "items", event.ItemColumns(), items)
}

func expand(t testing.TB, name string, n int, line string) []string {
	var head struct {
		Time   time.Time `json:"time"`
		Repeat struct {
			N     int    `json:"n"`
			Every string `json:"every"`
		} `json:"repeat"`
	}
	if err := json.Unmarshal([]byte(line), &head); err != nil {
		t.Fatalf("%s:%d: %v", name, n, err)
	}
	if head.Repeat.N == 0 {
		return []string{line}
	}
	every, err := time.ParseDuration(head.Repeat.Every)
	if err != nil {
		t.Fatalf("%s:%d: repeat: %v", name, n, err)
	}
	was := head.Time.UTC().Format(time.RFC3339)
	var out []string
	for i := range head.Repeat.N {
		s := strings.ReplaceAll(line, was, head.Time.Add(time.Duration(i)*every).UTC().Format(time.RFC3339))
		id, _ := event.MakeID(nil, name, "repeat", fmt.Sprint(n, i))
		s = strings.ReplaceAll(s, "$u", id.String())
		out = append(out, strings.ReplaceAll(s, "$i", strconv.Itoa(i)))
	}
	return out
}

func (d *DB) row(t testing.TB, name string, n int, line string) (ev []any, items [][]any) {
	m := map[string]any{"source": "ual", "tenant": "contoso", "outcome": "success", "actor_kind": "user", "operation": "", "format": "test", "class": "other", "file": d.files, "line": n, "pos": 0, "flags": 0}
	dec := json.NewDecoder(bytes.NewReader([]byte(line)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%s:%d: %v", name, n, err)
	}
	if m["id"] == nil {
		id, _ := event.MakeID(nil, name, event.Source(strconv.Itoa(n)), line)
		m["id"] = id.String()
	}
	list, _ := m["items"].([]any)
	delete(m, "items")
	delete(m, "repeat")
	for _, it := range list {
		im, _ := it.(map[string]any)
		im["event"] = m["id"]
		if im["kind"] == nil {
			im["kind"] = "message"
		}
		items = append(items, values(t, name, n, event.ItemColumns(), im))
	}
	if x, ok := m["detail"].(map[string]any); ok {
		b, _ := json.Marshal(x)
		m["detail"] = string(b)
	}
	return values(t, name, n, event.Columns(), m), items
}

func values(t testing.TB, name string, n int, cols []event.Column, m map[string]any) []any {
	out := make([]any, len(cols))
	for i, c := range cols {
		v := m[c.Name]
		delete(m, c.Name)
		switch x := v.(type) {
		case json.Number:
			k, err := x.Int64()
			if err != nil {
				t.Fatalf("%s:%d: %s: %v", name, n, c.Name, err)
			}
			v = k
		case string:
			if c.Type == event.TypeTimestamp {
				ts, err := time.Parse(time.RFC3339, x)
				if err != nil {
					t.Fatalf("%s:%d: %v", name, n, err)
				}
				v = ts.UTC()
			}
		}
		out[i] = v
	}
	for k := range m {
		t.Fatalf("%s:%d: no column %q", name, n, k)
	}
	return out
}

func (d *DB) insert(t testing.TB, table string, cols []event.Column, rows [][]any) {
	t.Helper()
	tx, err := d.sql.Begin()
	if err != nil {
		t.Fatal(err)
	}
	q := "INSERT INTO " + table + " VALUES (" + strings.TrimSuffix(strings.Repeat("?,", len(cols)), ",") + ")"
	st, err := tx.Prepare(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if _, err := st.Exec(r...); err != nil {
			t.Fatalf("%v: %v", err, r)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Exec runs a statement that adds rows.
func (d *DB) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	d.exec(t, query, args...)
}
