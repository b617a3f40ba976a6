package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/casefile"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestFormatsAreNamedAfterTheirFile(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Formats() {
		if _, err := os.Stat(f.Name() + ".go"); err != nil {
			t.Errorf("format %s: its file should be %s.go: %v", f.Name(), f.Name(), err)
		}
		if f.Doc() == "" || len(f.Files()) == 0 {
			t.Errorf("format %s: no documentation or no file", f.Name())
		}
		for _, name := range f.Files() {
			if seen[name] {
				t.Errorf("two formats write %s", name)
			}
			seen[name] = true
		}
		if err := f.Write(&bytes.Buffer{}, "other.bin", &casefile.Case{}, Options{}); err == nil {
			t.Errorf("format %s wrote a file that it does not make", f.Name())
		}
	}
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"case", "quiet"} {
		for _, f := range Formats() {
			for _, file := range f.Files() {
				t.Run(name+"/"+file, func(t *testing.T) {
					got := render(t, f, file, readCase(t, name), testOptions(t))
					golden(t, filepath.Join("testdata", name+"_golden", file), got)
				})
			}
		}
	}
}

// Reports are compared by hash and diffed by people, so the same case must
// give the same bytes.
func TestSameCaseSameBytes(t *testing.T) {
	for _, f := range Formats() {
		for _, file := range f.Files() {
			a := render(t, f, file, readCase(t, "case"), testOptions(t))
			b := render(t, f, file, readCase(t, "case"), testOptions(t))
			if !bytes.Equal(a, b) {
				t.Errorf("%s differs between two runs", file)
			}
		}
	}
}

func TestEmptyCase(t *testing.T) {
	for _, f := range Formats() {
		for _, file := range f.Files() {
			render(t, f, file, &casefile.Case{}, Options{})
		}
	}
}

func TestWriteErrorsAreReported(t *testing.T) {
	for _, f := range Formats() {
		for _, file := range f.Files() {
			if err := f.Write(fullDisk{}, file, readCase(t, "case"), Options{}); err == nil {
				t.Errorf("%s: no error from a writer that fails", file)
			}
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, os.ErrPermission }

func readCase(t testing.TB, name string) *casefile.Case {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := casefile.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testOptions(t testing.TB) Options {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "raw.json"))
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]string
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	return Options{
		Raw: func(ids []string) map[string][]byte {
			out := map[string][]byte{}
			for _, id := range ids {
				if s, ok := raw[id]; ok {
					out[id] = []byte(s)
				}
			}
			return out
		},
		Cards: map[string]Card{
			"app_only_mail_grant": {
				Title:          "Application may read every mailbox",
				Why:            "An application with such a role reads all mailboxes without a user, a session or a second factor.",
				FalsePositives: []string{"a backup, archive or discovery product that is being set up", "a migration between tenants"},
			},
			"failures_one_ip": {
				Title:          "One address fails against many accounts",
				Why:            "Password spraying from one network.",
				FalsePositives: []string{"the organization's own proxy or VPN", "a phone or service that keeps an old password"},
			},
		},
	}
}

func render(t testing.TB, f Format, file string, c *casefile.Case, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b, file, c, o); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b.Bytes()
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end of file)", "(end of file)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Fatalf("%s differs at line %d:\n got %s\nwant %s\nrun `go test ./report -update` and look at the diff", path, i+1, a, b)
		}
	}
}
