// Package clickhousetest starts real ClickHouse servers for tests and
// measurements: the engine itself, as a shared library of 566 MB that `make
// test-deps` fetches, in a process per node, with its own native and HTTP
// protocols on ports of the loopback interface.
//
// A node starts in a quarter of a second, in less than one where the library is
// not in the page cache, and takes some 55 MB of its own, 220 MB with the pages
// of the library, which all nodes share. A package's tests share one cluster,
// which its TestMain stops, and each takes a database of its own:
//
//	var servers = &clickhousetest.Shared{Options: clickhousetest.Options{Nodes: 2}}
//
//	func TestMain(m *testing.M) { os.Exit(servers.Run(m)) }
//
//	func TestSomething(t *testing.T) {
//		node := servers.Start(t).Nodes[0]
//		dsn := node.DSN(node.Database(t))
//		…
//	}
//
// The engine is embedded, and that shows in a few places; everything else, the
// protocols included, is the engine's own:
//
//   - Accounts cannot be made while it runs: CREATE USER fails with 514,
//     ACCESS_STORAGE_FOR_INSERTION_NOT_FOUND. Options.Users names them, with
//     their passwords and grants; the engine checks both (516, 497).
//   - It does not listen with TLS (SYSTEM START LISTEN TCP SECURE fails with 1,
//     UNSUPPORTED_METHOD). The server program does, in front of it.
//   - ON CLUSTER fails with 392, QUERY_IS_PROHIBITED ("Replicated DDL queries
//     are disabled"), with or without <zookeeper> and <distributed_ddl>; it
//     starts no Keeper, and there is no system.zookeeper (60). Distributed
//     tables and cluster() work, and so does Database, which asks every node.
//   - Its configuration is read at start only: SYSTEM RELOAD CONFIG fails. A
//     disk can still become full while it runs: Fill.
package clickhousetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"midwatch/internal/testkit"
)

// Options say what cluster to start. The zero value is one node.
type Options struct {
	Nodes     int    // how many; 0 is 1. Each is a shard of the cluster "midwatch"
	Dir       string // data, configuration and logs; "" is a temporary folder that Close removes
	Users     []User // beside "default", who has no password and all rights
	TLS       bool   // the native protocol also over TLS, at SecureAddr
	FullDisk  bool   // no room for data: inserts fail with 243, NOT_ENOUGH_SPACE (see also Fill)
	Config    string // more XML for inside <clickhouse>, on every node; it wins over what is there
	MaxMemory int64  // of one node, bytes; 0 is 2 GiB. Queries beyond it fail with 241
}

// A Cluster is a set of nodes that know each other.
type Cluster struct {
	Name   string // in remote_servers, and so for Distributed and clusterAllReplicas
	Nodes  []*Node
	CACert string // path of the PEM file with the authority that signed the nodes' certificate; "" without TLS

	dir       string
	temporary bool
}

const startTimeout = 60 * time.Second

// Launch starts a cluster and waits until every node answers on both
// protocols. The nodes end when this process ends, however it does.
func Launch(ctx context.Context, o Options) (*Cluster, error) { return launch(ctx, o, freePorts) }

func launch(ctx context.Context, o Options, ports func(n int) ([]int, error)) (*Cluster, error) {
	if reason, ok := Available(); !ok {
		return nil, errors.New(reason)
	}
	o.Nodes = max(o.Nodes, 1)
	c := &Cluster{Name: "midwatch", dir: o.Dir}
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "clickhousetest-")
		if err != nil {
			return nil, fmt.Errorf("start ClickHouse: %w", err)
		}
		c.dir, c.temporary = dir, true
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// A port that was free may be taken when the node wants it: then all of
	// them are chosen again.
	var err error
	for range 5 {
		if err = c.start(ctx, o, ports); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start ClickHouse: %w", err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o Options, choose func(n int) ([]int, error)) error {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return err
	}
	cache, err := testkit.Cache()
	if err != nil {
		return err
	}
	lib, err := platform()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	bin, err := program(ctx, cache, dir)
	if err != nil {
		return err
	}
	if o.TLS {
		if err := testkit.Certificates(dir); err != nil {
			return err
		}
		c.CACert = filepath.Join(dir, "ca.pem")
	}
	ports, err := choose(3 * o.Nodes)
	if err != nil {
		return err
	}
	c.Nodes = nil
	for i := range o.Nodes {
		c.Nodes = append(c.Nodes, &Node{
			cluster: c, name: "node" + strconv.Itoa(i+1), dir: filepath.Join(dir, "node"+strconv.Itoa(i+1)),
			native: ports[3*i], http: ports[3*i+1], secure: ports[3*i+2],
			program: bin, library: lib.path(cache),
		})
	}
	for _, n := range c.Nodes {
		if err := n.configure(o); err != nil {
			return err
		}
	}
	// All at once: on a cold disk most of the start is reading the library.
	errs := make(chan error)
	for _, n := range c.Nodes {
		go func() { errs <- n.start(ctx) }()
	}
	for range c.Nodes {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		for _, n := range c.Nodes {
			_ = n.Kill() // it never answered; the first error says why
		}
	}
	return err
}

// Close stops every node and removes what the cluster wrote, where the folder
// is its own.
func (c *Cluster) Close() error {
	var err error
	for _, n := range c.Nodes {
		err = errors.Join(err, n.Stop())
	}
	if c.temporary {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// Start is Launch for one test: the cluster stops with it. Without the engine
// the test is skipped; in CI, which must have it, it fails.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	need(t)
	c, err := Launch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.explain(t)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// freePorts finds ports that nobody listens on, below those that the system
// gives to outgoing connections, so that a node finds its own free again after
// a restart.
func freePorts(n int) ([]int, error) {
	const from, to = 20000, 32000
	var ports []int
	for range 1000 {
		l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(from+rand.IntN(to-from)))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // held until all are found, so that they differ
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no free ports on 127.0.0.1")
}
