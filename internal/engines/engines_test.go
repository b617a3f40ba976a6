package engines

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/enrich"
	"midwatch/ingest"
	"midwatch/internal/clickhousetest"
	"midwatch/internal/corpora"
	"midwatch/investigate"
	"midwatch/simulate"
	"midwatch/store"
	"midwatch/store/clickhouse"
	"midwatch/store/duckdb"
)

var servers = &clickhousetest.Shared{Options: clickhousetest.Options{Nodes: 2}}

func TestMain(m *testing.M) { os.Exit(servers.Run(m)) }

// input is logs and what is known besides.
type input struct {
	name  string
	paths []string
	asn   string
}

// caseOf runs the whole way from files to a case's bytes.
func caseOf(ctx context.Context, t *testing.T, st store.Store, in input) []byte {
	t.Helper()
	var networks enrich.Networks
	var err error
	if in.asn != "" {
		if networks, err = enrich.OpenNetworks(in.asn); err != nil {
			t.Fatal(err)
		}
	}
	en, err := enrich.New(networks)
	if err != nil {
		t.Fatal(err)
	}
	res, err := ingest.Run(ctx, st, in.paths, ingest.Options{Enrich: en.Batch})
	if err != nil {
		t.Fatal(err)
	}
	found, err := detect.Run(ctx, st, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := investigate.Investigate(ctx, st, found.Findings, investigate.Options{Sources: res.Sources, Assessed: found.Assessed, NotAssessed: found.NotAssessed})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := casefile.Write(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openDuckDB(t *testing.T) store.Store {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func openClickHouse(t *testing.T, cluster bool) store.Store {
	t.Helper()
	node := servers.Start(t).Nodes[0]
	o := clickhouse.Options{URL: node.DSN(node.Database(t))}
	if cluster {
		o.URL += "?cluster=midwatch"
	}
	st, err := clickhouse.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// compare makes the case on each engine.
func compare(t *testing.T, in input) {
	t.Run(in.name, func(t *testing.T) {
		want := caseOf(t.Context(), t, openDuckDB(t), in)
		for _, cluster := range []bool{false, true} {
			name := map[bool]string{false: "one node", true: "two shards"}[cluster]
			t.Run(name, func(t *testing.T) {
				if got := caseOf(t.Context(), t, openClickHouse(t, cluster), in); !bytes.Equal(got, want) {
					t.Errorf("the case differs:\n%s", difference(want, got))
				}
			})
		}
	})
}

// difference shows the first lines that differ.
func difference(want, got []byte) string {
	a, b := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	var out strings.Builder
	for i, n := 0, 0; i < max(len(a), len(b)) && n < 10; i++ {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			fmt.Fprintf(&out, "line %d\n  duckdb     %.300s\n  clickhouse %.300s\n", i+1, x, y)
			n++
		}
	}
	return out.String()
}

func TestDemo(t *testing.T) {
	root := filepath.Join("..", "..", "testdata")
	compare(t, input{"demo", []string{filepath.Join(root, "demo")}, filepath.Join(root, "demo-context", "asn.csv")})
}

func TestCorpora(t *testing.T) {
	compare(t, input{"corpora", []string{corpora.Dir(t)}, ""})
}

func TestSimulated(t *testing.T) {
	for i, o := range []simulate.Options{{Scenario: "midnight", Users: 100, Days: 25}, {Scenario: "mixed", Users: 100, Days: 15}} {
		o.Seed = uint64(40 + i)
		dir := t.TempDir()
		if _, err := simulate.Run(t.Context(), dir, o, nil); err != nil {
			t.Fatal(err)
		}
		compare(t, input{o.Scenario, []string{filepath.Join(dir, simulate.LogsDir)}, filepath.Join(dir, simulate.ContextDir, "asn.csv")})
	}
}
