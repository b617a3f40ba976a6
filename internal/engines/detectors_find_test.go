package engines

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/detect/detecttest"
	"midwatch/store"
)

// TestDetectorsFind: every detector finds the same on every engine in the data
// that it is tested with, so that each of its questions is asked, also those
// that follow on a first answer. The data of all detectors lie in one store,
// in tenants of their own.
func TestDetectorsFind(t *testing.T) {
	settings := detect.Settings{Canaries: []string{"canary@contoso.com"}}
	root := filepath.Join("..", "..", "detect", "testdata")
	find := func(st store.Store) []casefile.Finding {
		l, err := st.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range detect.All(settings) {
			id := d.Card().ID
			b := detecttest.Events(t, filepath.Join(root, id, "attack.ndjson"), id+"-")
			if _, err := l.Claim(b); err != nil {
				t.Fatal(err)
			}
			if err := l.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := detect.Run(t.Context(), checked{st}, detect.All(settings))
		if err != nil {
			t.Fatal(err)
		}
		return r.Findings
	}
	want := find(openDuckDB(t))
	found := map[string]bool{}
	for _, f := range want {
		found[f.Detector] = true
	}
	for _, d := range detect.All(settings) {
		if id := d.Card().ID; !found[id] {
			t.Errorf("%s finds nothing", id)
		}
	}
	for _, cluster := range []bool{false, true} {
		name := map[bool]string{false: "one node", true: "two shards"}[cluster]
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(want, find(openClickHouse(t, cluster))); d != "" {
				t.Errorf("(-duckdb +%s)\n%s", name, d)
			}
		})
	}
}
