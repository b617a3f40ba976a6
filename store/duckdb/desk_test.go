package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/event"
)

// desk is a sealed desk with a table of 300,000 rows beside an empty event
// store.
func desk(t *testing.T) *Desk {
	t.Helper()
	ctx := context.Background()
	events := filepath.Join(t.TempDir(), "events.duckdb")
	st, err := Open(events, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDesk(ctx, t.TempDir(), events, DeskOptions{MemoryLimit: "200MB"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	rows := func(yield func([]driver.Value) bool) {
		for i := range int64(300_000) {
			if !yield([]driver.Value{i, strings.Repeat("x", int(i%7)), time.UnixMicro(i * 1e6).UTC(), nil}) {
				return
			}
		}
	}
	cols := []event.Column{{Name: "n", Type: event.TypeBigInt}, {Name: "s", Type: event.TypeText}, {Name: "moment", Type: event.TypeTimestamp}, {Name: "never", Type: event.TypeText}}
	if err := d.Fill(ctx, "messages", cols, rows); err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDesk(t *testing.T) {
	d, ctx := desk(t), context.Background()
	a, err := d.Ask(ctx, "SELECT n, s, never FROM messages WHERE n % 7 = 3 ORDER BY n DESC", 2)
	if err != nil || !a.More || len(a.Rows) != 2 || !slices.Equal(a.Columns, []string{"n", "s", "never"}) || a.Rows[0][1] != "xxx" || a.Rows[0][2] != nil {
		t.Errorf("%+v, %v", a, err)
	}
	// More than fits into the memory it may have is spilled, not refused.
	a, err = d.Ask(ctx, "SELECT max(k) FROM (SELECT md5(a.n::VARCHAR || b.n::VARCHAR) k, row_number() OVER (ORDER BY k) FROM messages a, (SELECT n FROM messages LIMIT 8) b)", 2)
	if err != nil || len(a.Rows) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	// The event store's tables are there by their names.
	if a, err = d.Ask(ctx, "EXPLAIN SELECT count(*) FROM events JOIN messages ON line = n", 10); err != nil || len(a.Rows) == 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// Nothing can be changed, read or reached from a desk but what lies on it.
func TestDeskIsClosed(t *testing.T) {
	d := desk(t)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, q := range []string{
		"DROP TABLE messages", "DELETE FROM messages", "INSERT INTO messages VALUES (1,'a',NULL,NULL)", "UPDATE messages SET n = 1", "CREATE TABLE x (a INT)", "CREATE TEMP TABLE x AS SELECT 1",
		"SELECT 1; DROP TABLE messages", "SELECT 1; SELECT 2", "DELETE FROM events", "DELETE FROM midwatch.main.events",
		"SET enable_external_access = true", "SET memory_limit = '100GB'", "RESET memory_limit", "PRAGMA enable_progress_bar", "CALL pragma_version()", "USE midwatch", "SET search_path = 'x'",
		"SELECT * FROM read_csv('" + secret + "')", "SELECT * FROM '" + secret + "'", "SELECT * FROM read_text('" + secret + "')", "SELECT * FROM glob('/*')", "SELECT content FROM read_blob('/etc/passwd')",
		"COPY messages TO '" + secret + ".out'", "COPY (SELECT 1) TO '/tmp/x'", "EXPORT DATABASE '/tmp/x'", "ATTACH '" + secret + ".db' AS y", "ATTACH ':memory:' AS y", "INSTALL httpfs", "LOAD httpfs", "DETACH desk",
		"EXPLAIN ANALYZE DELETE FROM messages", "EXPLAIN ANALYZE COPY messages TO '" + secret + ".out'", "WITH x AS (SELECT 1) DELETE FROM messages", "VACUUM", "CHECKPOINT", "BEGIN", "PREPARE p AS SELECT 1", "", ";", "SELECT", "\x00",
		"SELECT * FROM read_csv('http://127.0.0.1:1/x')", "SELECT * FROM query('DROP TABLE messages')", "FROM query_table('" + secret + "')",
	} {
		if a, err := d.Ask(ctx, q, 10); err == nil {
			t.Errorf("%q gave %v", q, a)
		}
	}
	if a, err := d.Ask(ctx, "SELECT count(*) FROM messages", 1); err != nil || a.Rows[0][0] != int64(300_000) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := os.Stat(secret + ".out"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was written")
	}
}

// A question that takes too long ends with its context.
func TestDeskTime(t *testing.T) {
	d := desk(t)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := d.Ask(ctx, "SELECT count(*) FROM messages a, messages b, messages c WHERE hash(a.n, b.n, c.n) = 1", 1)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}
