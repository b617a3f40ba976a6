package clickhousetest

import (
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// A table over the whole cluster takes rows on one node, keeps them on both,
// and each node's query log says what it read for a question.
func TestNodesFormACluster(t *testing.T) {
	c := servers.Start(t)
	database := c.Database(t)
	for _, n := range c.Nodes {
		query(t, n, "CREATE TABLE "+database+".local (id UInt64) ENGINE=MergeTree ORDER BY id")
		query(t, n, "CREATE TABLE "+database+".every AS "+database+".local ENGINE=Distributed("+c.Name+", "+database+", local, id)")
	}
	conn := open(t, c.Nodes[0], database)
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"distributed_foreground_insert": 1}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO every")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := batch.Append(uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var count uint64
	ctx = clickhouse.Context(t.Context(), clickhouse.WithQueryID(database))
	if err := conn.QueryRow(ctx, "SELECT count() FROM every WHERE id % 10 < 5").Scan(&count); err != nil {
		t.Fatal(err)
	}
	if count != 500 {
		t.Errorf("both nodes count %d, want 500", count)
	}
	for _, n := range c.Nodes {
		if got := query(t, n, "SELECT count() FROM "+database+".local"); got != "500" {
			t.Errorf("%s has %s rows, want 500", n.Name(), got)
		}
		query(t, n, "SYSTEM FLUSH LOGS")
		// The first node's own reading counts with the query that came to it;
		// the second runs a query of its own for it.
		got := query(t, n, "SELECT is_initial_query, read_rows, user FROM system.query_log WHERE initial_query_id='"+database+"' AND type='QueryFinish'")
		want := "1\t1000\tdefault"
		if n != c.Nodes[0] {
			want = "0\t500\tdefault"
		}
		if got != want {
			t.Errorf("%s logged %q, want %q", n.Name(), got, want)
		}
	}
}

// What the package comment says of ON CLUSTER: when this test fails, a newer
// engine may have learned it.
func TestOnClusterIsRefused(t *testing.T) {
	c := servers.Start(t)
	refused(t, c.Nodes[0], "CREATE DATABASE anything ON CLUSTER "+c.Name, "Code: 392.")
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	c := servers.Start(t)
	var database string
	t.Run("inner", func(t *testing.T) {
		database = c.Nodes[1].Database(t)
		if other := c.Database(t); other == database {
			t.Errorf("both are %s", other)
		}
		for _, n := range c.Nodes {
			query(t, n, "CREATE TABLE "+database+".t (id UInt64) ENGINE=MergeTree ORDER BY id")
		}
	})
	for _, n := range c.Nodes {
		if left := query(t, n, "SELECT count() FROM system.databases WHERE name='"+database+"'"); left != "0" {
			t.Errorf("%s is left on %s", database, n.Name())
		}
	}
}

func TestAQueryHasALimitOfMemory(t *testing.T) {
	n := servers.Start(t).Nodes[0]
	refused(t, n, "SELECT uniqExact(number) FROM numbers(10000000) SETTINGS max_memory_usage=10000000", "Code: 241.")
}

// refused wants the statement to fail with the code, and shows what came
// otherwise.
func refused(t *testing.T, n *Node, statement, code string) {
	t.Helper()
	got, err := n.Query(t.Context(), statement)
	if err == nil || !strings.Contains(err.Error(), code) {
		t.Errorf("%s: got %q and error %v, want %s", statement, got, err, code)
	}
}
