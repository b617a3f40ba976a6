package clickhouse

import (
	"os"
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
