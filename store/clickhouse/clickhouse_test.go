package clickhouse

import (
	"errors"
	"os"
	"strings"
	"testing"

	"midwatch/internal/clickhousetest"
	"midwatch/store"
	"midwatch/store/storetest"
)

var servers = &clickhousetest.Shared{Options: clickhousetest.Options{Nodes: 2}}

func TestMain(m *testing.M) { os.Exit(servers.Run(m)) }

// opener opens stores of a test by name: each is a database.
func opener(cluster bool) storetest.Open {
	databases := map[string]string{}
	return func(t *testing.T, name string) store.Store {
		t.Helper()
		node := servers.Start(t).Nodes[0]
		key := t.Name() + "/" + name
		if databases[key] == "" {
			databases[key] = node.Database(t)
		}
		o := Options{URL: node.DSN(databases[key])}
		if cluster {
			o.URL += "?cluster=midwatch"
		}
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestStore(t *testing.T) { storetest.Run(t, opener(false)) }

func TestStoreOverTwoShards(t *testing.T) { storetest.Run(t, opener(true)) }

// damage changes rows behind the store's back, in ClickHouse's words.
func damage(t *testing.T, k store.Keeper, query string) {
	t.Helper()
	s := k.(*Store)
	for _, table := range []string{"events", "items", "files", "rejects"} {
		query = strings.ReplaceAll(query, "FROM "+table, "FROM "+s.cfg.local(table))
		query = strings.ReplaceAll(query, "INTO "+table, "INTO "+s.cfg.local(table))
	}
	if rest, ok := strings.CutPrefix(query, "UPDATE files SET "); ok {
		query = "ALTER TABLE " + s.cfg.local("files") + " UPDATE " + rest + " SETTINGS mutations_sync = 2"
	}
	if table, rest, ok := strings.Cut(strings.TrimPrefix(query, "DELETE FROM "), " WHERE "); ok && strings.HasPrefix(query, "DELETE") {
		query = "ALTER TABLE " + table + " DELETE WHERE " + rest + " SETTINGS mutations_sync = 2"
	}
	// Each node has a part; a subquery there sees that node's only.
	query = strings.ReplaceAll(query, "FROM "+s.cfg.local("files")+" WHERE path", "FROM "+s.cfg.database+".files WHERE path")
	for _, n := range s.nodes {
		if _, err := n.db.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

func keeper(cluster bool) func(*testing.T, string) store.Keeper {
	open := opener(cluster)
	return func(t *testing.T, name string) store.Keeper { return open(t, name).(store.Keeper) }
}

func TestKeeper(t *testing.T) { storetest.RunKeeper(t, keeper(false), damage) }

func TestKeeperOverTwoShards(t *testing.T) { storetest.RunKeeper(t, keeper(true), damage) }

// A migration does its steps on every node, and can be run again after it died.
func TestMigrate(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		s := keeper(cluster)(t, "a").(*Store)
		step := func(c *config) []string {
			return []string{onCluster("ALTER TABLE "+c.local("events")+" ADD COLUMN IF NOT EXISTS more Nullable(String)", c.local("events"))}
		}
		s.steps = []migration{
			{schemaVersion, "100", step},
			{"100", "101", func(c *config) []string {
				return append(step(c), "ALTER TABLE "+c.local("none")+"%s ADD COLUMN x Int8")
			}},
		}
		if err := s.migrate(t.Context(), schemaVersion); err == nil {
			t.Error("a step that cannot be done went unnoticed")
		}
		if v, err := s.version(t.Context()); err != nil || v != "100" {
			t.Errorf("version %q, %v; want 100, the last that was reached", v, err)
		}
		s.steps[1].steps = step
		if err := s.migrate(t.Context(), "100"); err != nil {
			t.Fatal(err)
		}
		for _, n := range s.nodes {
			var have int64
			if err := n.db.QueryRowContext(t.Context(), "SELECT toInt64(count()) FROM system.columns WHERE database = '"+s.cfg.database+"' AND name = 'more'").Scan(&have); err != nil || have == 0 {
				t.Errorf("node %s: %d, %v", n.addr, have, err)
			}
		}
		o := s.opts
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Open(t.Context(), o); !errors.Is(err, store.ErrSchema) {
			t.Errorf("a newer schema: %v", err)
		}
	}
}
