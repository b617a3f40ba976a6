package clickhousetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestUsersHavePasswordsAndRights(t *testing.T) {
	c := Start(t, Options{Nodes: 2, Users: []User{
		{Name: "reader", Password: `p<&'"@ss`, Grants: []string{"GRANT SELECT ON test_*.*", "GRANT REMOTE ON *.*"}, Settings: map[string]string{"max_memory_usage": "50000000"}},
		{Name: "nobody", Password: "x"},
	}})
	n := c.Nodes[0]
	database := c.Database(t)
	for _, n := range c.Nodes {
		query(t, n, "CREATE TABLE "+database+".local ENGINE=MergeTree ORDER BY id AS SELECT number AS id FROM numbers(10)")
		query(t, n, "CREATE TABLE "+database+".every AS "+database+".local ENGINE=Distributed("+c.Name+", "+database+", local)")
	}
	as := func(user, password, statement string) error {
		o, err := clickhouse.ParseDSN(n.UserDSN(user, password, ""))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := clickhouse.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.Exec(t.Context(), statement)
	}
	for _, x := range []struct {
		user, password, statement string
		code                      int32 // 0 is success
	}{
		{"reader", `p<&'"@ss`, "SELECT sum(id) FROM " + database + ".local", 0},
		{"reader", `p<&'"@ss`, "SELECT sum(id) FROM " + database + ".every", 0},
		{"reader", `p<&'"@ss`, "INSERT INTO " + database + ".local SELECT 1", 497},
		{"reader", `p<&'"@ss`, "CREATE TABLE " + database + ".other (id UInt64) ENGINE=Memory", 497},
		{"reader", `p<&'"@ss`, "SELECT uniqExact(number) FROM numbers(100000000)", 241},
		{"reader", "wrong", "SELECT 1", 516},
		{"reader", "", "SELECT 1", 516},
		{"stranger", "x", "SELECT 1", 516},
		{"nobody", "x", "SELECT 1", 0},
		{"nobody", "x", "SELECT sum(id) FROM " + database + ".local", 497},
		{"default", "", "CREATE USER other IDENTIFIED BY 'x'", 514},
	} {
		err := as(x.user, x.password, x.statement)
		var e *clickhouse.Exception
		switch {
		case x.code == 0 && err != nil, x.code != 0 && (!errors.As(err, &e) || e.Code != x.code):
			t.Errorf("%s, %s: got %v, want code %d", x.user, x.statement, err, x.code)
		}
	}
	// A shard knows who asked.
	query(t, c.Nodes[1], "SYSTEM FLUSH LOGS")
	if got := query(t, c.Nodes[1], "SELECT count() > 0 FROM system.query_log WHERE NOT is_initial_query AND user='reader' AND initial_user='reader'"); got != "1" {
		t.Errorf("the second node does not know that reader asked")
	}
}

func TestTLS(t *testing.T) {
	c := Start(t, Options{TLS: true})
	n := c.Nodes[0]
	pem, err := os.ReadFile(c.CACert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in " + c.CACert)
	}
	ping := func(addr string, config *tls.Config) error {
		conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, TLS: config})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		var name string
		if err := conn.QueryRow(t.Context(), "SELECT displayName()").Scan(&name); err != nil {
			return err
		}
		if name != n.identity() {
			t.Errorf("%q answers, want %q", name, n.identity())
		}
		return nil
	}
	if err := ping(n.SecureAddr(), &tls.Config{RootCAs: roots}); err != nil {
		t.Error(err)
	}
	if err := ping(n.SecureAddr(), &tls.Config{}); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the authority: %v", err)
	}
	if err := ping(n.SecureAddr(), nil); err == nil {
		t.Error("the secure port answers without TLS")
	}
	if err := ping(n.Addr(), &tls.Config{RootCAs: roots}); err == nil {
		t.Error("the plain port answers with TLS")
	}
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ping(n.SecureAddr(), &tls.Config{RootCAs: roots}); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestAFullDiskRefusesInserts(t *testing.T) {
	n := Start(t, Options{FullDisk: true}).Nodes[0]
	database := n.Database(t)
	query(t, n, "CREATE TABLE "+database+".t (id UInt64) ENGINE=MergeTree ORDER BY id")
	refused(t, n, "INSERT INTO "+database+".t SELECT 1", "Code: 243.")
}

func TestADiskFillsWhileTheNodeRuns(t *testing.T) {
	c := servers.Start(t)
	n := c.Nodes[0]
	database := c.Database(t)
	insert := "INSERT INTO " + database + ".t SELECT 1"
	query(t, n, "CREATE TABLE "+database+".t (id UInt64) ENGINE=MergeTree ORDER BY id")
	query(t, n, insert)
	if err := n.Fill(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	refused(t, n, insert, "Code: 243.")
	if err := n.Free(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	query(t, n, insert)
	if got := query(t, n, "SELECT count() FROM "+database+".t"); got != "2" {
		t.Errorf("%s rows, want the two that had room", got)
	}
}

// What Options.Config says wins, and a node keeps to its limit of memory.
func TestConfigurationOfItsOwn(t *testing.T) {
	n := Start(t, Options{MaxMemory: 400e6, Config: "<mark_cache_size>1048576</mark_cache_size><merge_tree><max_suspicious_broken_parts>7</max_suspicious_broken_parts></merge_tree>"}).Nodes[0]
	got := query(t, n, "SELECT name, value FROM system.server_settings WHERE name IN ('mark_cache_size', 'max_server_memory_usage') ORDER BY name")
	if want := "mark_cache_size\t1048576\nmax_server_memory_usage\t400000000"; got != want {
		t.Errorf("server settings %q, want %q", got, want)
	}
	got = query(t, n, "SELECT name, value FROM system.merge_tree_settings WHERE name IN ('max_suspicious_broken_parts', 'number_of_free_entries_in_pool_to_execute_mutation') ORDER BY name")
	if want := "max_suspicious_broken_parts\t7\nnumber_of_free_entries_in_pool_to_execute_mutation\t1"; got != want {
		t.Errorf("table settings %q, want %q", got, want)
	}
	refused(t, n, "SELECT uniqExact(number) FROM numbers(1000000000) SETTINGS max_threads=2", "Code: 241.")
	if got := query(t, n, "SELECT name FROM system.settings WHERE name IN ('allow_introspection_functions', 'implicit_select') AND value='1'"); got != "" {
		t.Errorf("settings that no server has: %s", got)
	}
}

func TestUserNamesAreChecked(t *testing.T) {
	need(t)
	if c, err := Launch(t.Context(), Options{Users: []User{{Name: "a b"}}}); err == nil {
		t.Errorf("started %v", c)
	}
}

func TestLaunchGivesUpWithTheContext(t *testing.T) {
	need(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if c, err := Launch(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v and error %v", c, err)
	}
}
