package schematest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// wheel makes an archive of files, and what it would be as a source.
func wheel(t *testing.T, pkg string, files map[string]string) ([]byte, source) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), source{pkg, "1.0", hex.EncodeToString(sum[:])}
}

// lacking skips a test, and fails it in CI, whose machine has what is needed.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// pretend makes a Python whose pip "downloads" two packages and counts how
// often it was asked; what else it is asked to do the real one does.
func pretend(t *testing.T, schema string) (stix, ocsf source, asked func() int) {
	t.Helper()
	python, err := findPython()
	if err != nil {
		lacking(t, "no Python")
	}
	if err := exec.Command(python, "-c", "import sys; sys.exit(sys.version_info < (3, 10))").Run(); err != nil {
		lacking(t, "Python is older than 3.10")
	}
	dir := t.TempDir()
	generator := "class OcsfJsonSchemaEmbedded:\n    def __init__(self, s): self.s = s\n    def get_class_schema(self, name, profiles): return {'of': name, 'with': profiles}\n"
	files := map[string]string{"ocsf_json_schema/__init__.py": "", "ocsf_json_schema/embedded.py": generator}
	for _, v := range Versions() {
		files["ocsf_json_schema/ocsf/"+v+".json"] = `{"version":"` + v + `"}`
	}
	a, stix := wheel(t, "one", map[string]string{schema: `{"$id":"x"}`, "stix2validator/code.py": ""})
	b, ocsf := wheel(t, "two", files)
	for name, content := range map[string][]byte{"one": a, "two": b} {
		if err := os.WriteFile(filepath.Join(dir, name+".zip"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$2\" != pip ]; then exec '%s' \"$@\"; fi\necho \"$@\" >> '%[2]s/count'\nwhile [ $# -gt 2 ]; do [ \"$1\" = --dest ] && to=$2; shift; done\nmkdir -p \"$to\" && cp '%[2]s'/\"${2%%%%=*}\".zip \"$to/x.whl\"\n", python, dir)
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return stix, ocsf, func() int {
		lines, _ := os.ReadFile(filepath.Join(dir, "count")) // none: it was never asked
		return strings.Count(string(lines), "-m pip download ")
	}
}

const somewhere = "stix2validator/schemas-2.1/schemas/common/bundle.json"

func TestFetchIsDoneOnce(t *testing.T) {
	stix, ocsf, asked := pretend(t, somewhere)
	cache := filepath.Join(t.TempDir(), "new", "cache")
	errs := make(chan error)
	for range 3 {
		go func() { errs <- fetch(t.Context(), io.Discard, cache, stix, ocsf) }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	n := asked()
	if err := fetch(t.Context(), io.Discard, cache, stix, ocsf); err != nil || asked() != n {
		t.Errorf("fetched again: %v", err)
	}
	dir := folder(cache, stix, ocsf)
	for name, want := range map[string]string{
		"stix/common/bundle.json": `{"$id":"x"}`, "ocsf/1.6.0/schema.json": `{"version":"1.6.0"}`,
		"ocsf/1.8.0/detection_finding.json": `{"of": "detection_finding", "with": []}`, "ocsf/1.8.0/detection_finding+incident.json": `{"of": "detection_finding", "with": ["incident"]}`,
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(cache, "*")); err != nil || len(left) != 1 {
		t.Errorf("in the cache: %v %v", left, err)
	}
}

func TestFetchSaysWhatFailed(t *testing.T) {
	alone := func(script string) func(t *testing.T) {
		return func(t *testing.T) {
			dir := t.TempDir()
			if script != "" {
				if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir)
		}
	}
	for _, x := range []struct {
		name, schema string
		change       func(t *testing.T)
		breaks       func(stix, ocsf *source)
		want         string
	}{
		{"another package", somewhere, nil, func(stix, _ *source) { stix.sha256 = "00" }, "one 1.0 is not the package that the tests were written against"},
		{"another second package", somewhere, nil, func(_, ocsf *source) { ocsf.sha256 = "00" }, "two 1.0 is not the package that the tests were written against"},
		{"no schemas", "stix2validator/other.json", nil, nil, "there are no schemas below"},
		{"out of the folder", "stix2validator/schemas-2.1/schemas/../../../../out.json", nil, nil, "would leave the folder"},
		{"no Python", somewhere, alone(""), nil, "install Python 3.10 or later with pip and try again"},
		{"no pip", somewhere, alone("echo No module named pip >&2; exit 1\n"), nil, "within reach?): exit status 1: No module named pip"},
	} {
		t.Run(x.name, func(t *testing.T) {
			stix, ocsf, _ := pretend(t, x.schema)
			if x.change != nil {
				x.change(t)
			}
			if x.breaks != nil {
				x.breaks(&stix, &ocsf)
			}
			cache := t.TempDir()
			if err := fetch(t.Context(), io.Discard, cache, stix, ocsf); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// recorder is a test that remembers how it was ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Skipf(format string, args ...any)  { r.skipped = fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }

func TestWithoutTheSchemasTestsAreSkippedButInCI(t *testing.T) {
	t.Setenv("MIDWATCH_CACHE", t.TempDir())
	t.Setenv("CI", "")
	r := new(recorder)
	need(r)
	if !strings.Contains(r.skipped, "`make test-deps`") || r.failed != "" {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
	t.Setenv("CI", "true")
	r = new(recorder)
	need(r)
	if !strings.Contains(r.failed, "`make test-deps`") || r.skipped != "" {
		t.Errorf("in CI: skipped %q, failed %q", r.skipped, r.failed)
	}
}
