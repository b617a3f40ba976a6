package clickhousetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode"
)

// Shared is one cluster for all tests of a package. It starts when the first of
// them asks for it, and Run stops it after the last.
type Shared struct {
	Options Options

	once    sync.Once
	cluster *Cluster
	err     error
}

// Start returns the cluster. Without the engine the test is skipped; in CI,
// which must have it, it fails.
func (s *Shared) Start(t testing.TB) *Cluster {
	t.Helper()
	need(t)
	s.once.Do(func() { s.cluster, s.err = Launch(context.Background(), s.Options) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	t.Cleanup(func() { s.cluster.explain(t) })
	return s.cluster
}

// Run runs the tests of TestMain, stops the cluster and returns the exit
// status.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	s.once.Do(func() { s.err = errors.New("the tests are over") })
	if s.cluster == nil {
		return code
	}
	if err := s.cluster.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// need skips the test where there is no engine. CI must have it.
func need(t testing.TB) {
	t.Helper()
	reason, ok := Available()
	switch {
	case ok:
	case os.Getenv("CI") != "":
		t.Fatalf("no ClickHouse, and CI must have it: %s", reason)
	default:
		t.Skipf("skipped: %s", reason)
	}
}

// explain shows the ends of the servers' logs when the test has failed.
func (c *Cluster) explain(t testing.TB) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, n := range c.Nodes {
		t.Logf("the end of %s's log:\n%s", n.name, n.tail())
	}
}

// Database makes a database for one test on every node, and drops it when the
// test ends. It returns its name, which begins with test_.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	safe := strings.Map(func(r rune) rune {
		if r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToLower(r)
		}
		return '_'
	}, t.Name())
	name := fmt.Sprintf("test_%s_%08x", safe[:min(len(safe), 40)], rand.Uint32())
	for _, n := range c.Nodes {
		if _, err := n.Query(t.Context(), "CREATE DATABASE "+name+" ENGINE=Atomic"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, n := range c.Nodes {
			if n.Pid() == 0 { // the test left it down
				continue
			}
			if _, err := n.Query(context.Background(), "DROP DATABASE IF EXISTS "+name+" SYNC"); err != nil {
				t.Error(err)
			}
		}
	})
	return name
}
