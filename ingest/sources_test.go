package ingest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

func ingested(t *testing.T, st store.Store, paths ...string) *Result {
	t.Helper()
	res, err := Run(t.Context(), st, paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// The account in the store is the one that Run gives, to the last member, and
// the next load counts on.
func TestSourcesAreInTheStore(t *testing.T) {
	st := openStore(t)
	one := ingested(t, st, filepath.Join("..", "testdata", "demo", "ual"), writeFile(t, "b<ü>.json", ual(1, plain)+"\nnot json"))
	two := ingested(t, st, filepath.Join("..", "testdata", "demo"), writeFile(t, "nothing.txt", "Dear colleague"))
	got, err := Sources(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	want := append(append([]casefile.Source{}, one.Sources...), two.Sources...)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sources (-given by Run +in the store):\n%s", d)
	}
	if len(two.Skipped) != 2 || len(two.Sources) == 0 || two.Sources[0].File != int32(len(one.Sources)) {
		t.Errorf("second load: skipped %v, first file %d", two.Skipped, two.Sources[0].File)
	}
	events := int64(queryInt(t, st, "SELECT count(*) FROM events"))
	if events != one.Accepted+two.Accepted {
		t.Errorf("%d events, %d and %d accepted", events, one.Accepted, two.Accepted)
	}
	if ps, err := st.Check(t.Context()); err != nil || len(ps) > 0 {
		t.Errorf("check: %v %v", ps, err)
	}
}

// What the store holds whole is left out; what it holds in part is not.
func TestHeldFilesAreSkipped(t *testing.T) {
	text := ual(1, plain) + "\n" + ual(2, plain)
	plainFile := writeFile(t, "a.json", text)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 4000 { // of which half are lost
		if _, err := z.Write([]byte(ual(3+i, plain) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	broken := writeFile(t, "b.json.gz", packed.String()[:packed.Len()/2])
	whole := writeFile(t, "c.json.gz", packed.String())
	var zipped bytes.Buffer
	zw := zip.NewWriter(&zipped)
	for name, content := range map[string]string{"whole.json": ual(9999, plain), "broken.json.gz": packed.String()[:packed.Len()/2]} {
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	archive := writeFile(t, "d.zip", zipped.String())

	st := openStore(t)
	first := ingested(t, st, plainFile, broken, whole, archive)
	if len(first.Skipped) != 0 || len(first.Incomplete) != 2 {
		t.Fatalf("skipped %v, incomplete %v", first.Skipped, first.Incomplete)
	}
	again := ingested(t, st, plainFile, broken, whole, archive, writeFile(t, "copy.json", text))
	if want := []string{plainFile, whole}; len(again.Skipped) != 3 || again.Skipped[0] != want[0] || again.Skipped[1] != want[1] {
		t.Errorf("skipped %v, want %v and the copy", again.Skipped, want)
	}
	if again.Accepted != 0 || queryInt(t, st, "SELECT count(*) FROM events") != 4003 {
		t.Errorf("%d accepted a second time", again.Accepted)
	}
}

// A file that cannot be read is noted once, and said every time.
func TestUnreadableFilesAreNotedOnce(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.json": ual(1, plain), "notes.txt": "Dear colleague", "z.json": ual(2, plain)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(dir, "missing")
	st := openStore(t)
	for round := range 3 {
		if res := ingested(t, st, dir, missing); len(res.Incomplete) != 2 || len(res.Sources) != 4*(1-min(round, 1)) {
			t.Errorf("round %d: %d sources, %v", round, len(res.Sources), res.Incomplete)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("Dear colleagues"), 0o600); err != nil {
		t.Fatal(err)
	}
	ingested(t, st, dir)
	if n := queryInt(t, st, "SELECT count(*) FROM files"); n != 5 {
		t.Errorf("%d files, want 5: another text is another file", n)
	}
}

// What a store from before the account knows is given, and no more; its files
// are read again rather than taken to be whole.
func TestSourcesOfAnOldStore(t *testing.T) {
	st := openStore(t)
	load, err := st.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := writeFile(t, "a.json", ual(1, plain))
	if err := load.Files(t.Context(), []store.File{{Ordinal: 0, Path: p, SHA256: "aa", OuterSHA256: "bb", Bytes: 9, Events: 7}}); err != nil {
		t.Fatal(err)
	}
	if err := load.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := Sources(t.Context(), st)
	want := []casefile.Source{{Path: p, SHA256: "aa", OuterSHA256: "bb", Bytes: 9, Records: 7, Accepted: 7, Formats: []casefile.Format{}, Rejected: []casefile.Rejected{}}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if h, err := held(t.Context(), st); err != nil || h.skip() != nil {
		t.Errorf("a file of which it is not known is held to be whole: %v", err)
	}
}

// The ordinals of a load are bounded, and a run that needs more says so before
// it has read everything.
func TestTooManyFiles(t *testing.T) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	body := []byte(ual(1, plain))
	for i := range store.MaxFiles + 1 {
		if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d.json", i), Size: int64(len(body)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(t.TempDir(), "many.tar")
	if err := os.WriteFile(p, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	st := openStore(t)
	if _, err := Run(t.Context(), st, []string{p}, Options{}); err == nil || !strings.Contains(err.Error(), "more than 65536 files") {
		t.Errorf("got %v", err)
	}
	if n := queryInt(t, st, "SELECT count(*) FROM events"); n != 0 {
		t.Errorf("%d events are left", n)
	}
}

// Tenants come out the same whatever the loads were, and also when a process
// died between its load and the inference.
func TestInferTenantsInSeveralLoads(t *testing.T) {
	const tenant = "11111111-0000-4000-8000-000000000001"
	named := writeFile(t, "a.json", ual(1, plain))
	nameless := writeFile(t, "b.json", `[{"id":"x1","activityDateTime":"2024-01-02T03:04:05Z","activityDisplayName":"Add user","category":"UserManagement","result":"success","initiatedBy":{"user":{"userPrincipalName":"a@fabrikam.example"}},"targetResources":[]}]`)
	inferred := fmt.Sprintf("SELECT count(*) FROM events WHERE tenant = '%s' AND flags >= %d", tenant, event.FlagTenantInferred)
	st := openStore(t)
	ingested(t, st, nameless)
	if n := queryInt(t, st, inferred); n != 0 {
		t.Fatalf("%d inferred without evidence", n)
	}
	ingested(t, st, named)
	if n := queryInt(t, st, inferred); n != 1 {
		t.Errorf("%d inferred when the evidence came later, want 1", n)
	}
	if err := st.AssignTenants(t.Context(), []store.Assignment{{File: 0, From: tenant, To: ""}}); err != nil { // as if it had not happened
		t.Fatal(err)
	}
	res := ingested(t, st, nameless, named)
	if n := queryInt(t, st, inferred); n != 1 || res.Records != 0 {
		t.Errorf("%d inferred by a run that read %d records; want 1 by one that read none", n, res.Records)
	}
}
