package clickhousetest

import (
	"context"
	"database/sql"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// servers is the cluster of the tests that change nothing about it.
var servers = &Shared{Options: Options{Nodes: 2}}

func TestMain(m *testing.M) { os.Exit(servers.Run(m)) }

func open(t *testing.T, n *Node, database string) clickhouse.Conn {
	t.Helper()
	o, err := clickhouse.ParseDSN(n.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestBothProtocolsAnswer(t *testing.T) {
	n := servers.Start(t).Nodes[0]
	resp, err := http.Get("http://" + n.HTTPAddr() + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("HTTP ping: %s", resp.Status)
	}
	if err := open(t, n, "").Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestInsertsThroughTheDriver(t *testing.T) {
	n := servers.Start(t).Nodes[0]
	database := n.Database(t)
	db, err := sql.Open("clickhouse", n.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id UInt64, s String) ENGINE=MergeTree ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (?, ?)", 1, "one"); err != nil {
		t.Fatal(err)
	}
	conn := open(t, n, database)
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := batch.Append(uint64(i+2), "more"); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var count, sum uint64
	if err := db.QueryRowContext(t.Context(), "SELECT count(), sum(id) FROM t").Scan(&count, &sum); err != nil {
		t.Fatal(err)
	}
	if count != 1001 || sum != 1001*1002/2 {
		t.Errorf("read %d rows, sum %d", count, sum)
	}
}

// What one connection does wrong ends that connection, not the node.
func TestBadConnectionsDoNotEndTheNode(t *testing.T) {
	n := servers.Start(t).Nodes[0]
	for _, addr := range []string{n.Addr(), n.HTTPAddr()} {
		for _, bytes := range []string{"", "\x00", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01", strings.Repeat("\xff", 100_000)} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte(bytes)) // the node may close it before all is sent
			_ = conn.Close()
		}
	}
	wrong, err := clickhouse.ParseDSN(n.UserDSN("default", "wrong", ""))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(wrong)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a wrong password is let in")
	}
	if err := n.ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func query(t *testing.T, n *Node, statement string) string {
	t.Helper()
	text, err := n.Query(context.Background(), statement)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
