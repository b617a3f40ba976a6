package clickhouse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midwatch/event"
	"midwatch/internal/clickhousetest"
	"midwatch/store"
)

// grants reads the rights that docs/CLICKHOUSE.md gives a user for a purpose:
// what follows the line "-- purpose" in an SQL block.
func grants(t *testing.T, purpose string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "CLICKHOUSE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "-- "+purpose+"\n")
	if !found {
		t.Fatalf("docs/CLICKHOUSE.md has no rights for %q", purpose)
	}
	for _, line := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(line, "GRANT ") {
			break
		}
		line, _, _ = strings.Cut(line, " TO ")
		out = append(out, strings.ReplaceAll(line, "midwatch.", "test_*."))
	}
	return out
}

// The rights in docs/CLICKHOUSE.md are enough for what they are for, and the
// reader's for nothing else.
func TestRights(t *testing.T) {
	users := []clickhousetest.User{
		{Name: "reader", Password: "r", Grants: grants(t, "asks")},
		{Name: "writer", Password: "w", Grants: append(grants(t, "asks"), grants(t, "loads")...)},
		{Name: "keeper", Password: "k", Grants: append(append(grants(t, "asks"), grants(t, "loads")...), grants(t, "keeps")...)},
	}
	for i := range users {
		if len(users[i].Grants) == 0 {
			t.Fatalf("no rights for %s", users[i].Name)
		}
	}
	c := clickhousetest.Start(t, clickhousetest.Options{Nodes: 2, Users: users})
	for _, suffix := range []string{"", "?cluster=midwatch"} {
		node := c.Nodes[0]
		database := node.Database(t)
		open := func(user, password string, readOnly bool) (*Store, error) {
			return Open(t.Context(), Options{URL: node.UserDSN(user, password, database) + suffix, ReadOnly: readOnly, Patience: time.Second})
		}
		load := func(s *Store, from, to int) error {
			l, err := s.Begin(t.Context())
			if err != nil {
				return err
			}
			defer l.Rollback() //nolint:errcheck // after Commit it does nothing
			b := events(from, to, l.FirstFile(), func(e *event.Event) { e.Tenant = "" })
			if _, err := l.Claim(b); err != nil {
				return err
			}
			if err := l.Append(t.Context(), b); err != nil {
				return err
			}
			if err := l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Path: "f", Events: int64(to - from), Manifest: "{}"}}); err != nil {
				return err
			}
			return l.Commit(t.Context())
		}
		if _, err := open("reader", "r", false); err == nil {
			t.Error("a reader made tables")
		}
		keeper, err := open("keeper", "k", false)
		if err != nil {
			t.Fatalf("the keeper opens a new store%s: %v", suffix, err)
		}
		writer, err := open("writer", "w", false)
		if err != nil {
			t.Fatalf("the writer opens it%s: %v", suffix, err)
		}
		if err := load(writer, 0, 100); err != nil {
			t.Errorf("the writer loads%s: %v", suffix, err)
		}
		if err := writer.AssignTenants(t.Context(), []store.Assignment{{File: 0, To: "t"}}); err != nil {
			t.Errorf("the writer assigns tenants%s: %v", suffix, err)
		}
		if err := load(writer, 50, 150); err != nil {
			t.Errorf("the writer loads again%s: %v", suffix, err)
		}
		reader, err := open("reader", "r", true)
		if err != nil {
			t.Fatalf("the reader opens it%s: %v", suffix, err)
		}
		if n := number(t, reader, "SELECT count(*) FROM events e JOIN items i ON i.event = e.id WHERE e.tenant = 't' OR e.tenant IS NULL"); n != 150 {
			t.Errorf("the reader sees %d events, want 150", n)
		}
		if _, err := reader.Check(t.Context()); err != nil {
			t.Errorf("the reader checks%s: %v", suffix, err)
		}
		if _, err := reader.Stats(t.Context()); err != nil {
			t.Errorf("the reader measures%s: %v", suffix, err)
		}
		if err := reader.write(t.Context(), "INSERT INTO meta (key, value) VALUES ('x', 'y')"); code(err) != accessDenied {
			t.Errorf("the reader wrote%s: %v", suffix, err)
		}
		if _, err := writer.db.ExecContext(t.Context(), "DROP TABLE events"); code(err) != accessDenied {
			t.Errorf("the writer dropped a table%s: %v", suffix, err)
		}
		if _, err := keeper.Prune(t.Context(), time.UnixMicro(events(10, 11, 0, nil).Events[0].Time)); err != nil {
			t.Errorf("the keeper prunes%s: %v", suffix, err)
		}
		keeper.steps = []migration{{schemaVersion, "100", func(c *config) []string {
			return []string{onCluster("ALTER TABLE "+c.local("events")+" ADD COLUMN IF NOT EXISTS more Nullable(String)", c.local("events"))}
		}}}
		if err := keeper.migrate(t.Context(), schemaVersion); err != nil {
			t.Errorf("the keeper migrates%s: %v", suffix, err)
		}
		for _, s := range []*Store{keeper, writer, reader} {
			_ = s.Close()
		}
	}
}
