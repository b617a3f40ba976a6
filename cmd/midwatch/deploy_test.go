package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// parses reports what the command line says to a command line of ours.
func parses(args []string) error {
	root := newRoot(stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	return c.ParseFlags(rest)
}

// The files of deploy name verbs and flags that are there, and what a build
// needs.
func TestDeploy(t *testing.T) {
	dir := filepath.Join("..", "..", "deploy")
	unit, err := os.ReadFile(filepath.Join(dir, "midwatch-watch.service"))
	if err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/midwatch (.*)$`).FindSubmatch(unit)
	if start == nil {
		t.Fatal("the unit starts nothing")
	}
	if err := parses(strings.Fields(string(start[1]))); err != nil {
		t.Errorf("unit: %v", err)
	}
	if tool, err := exec.LookPath("systemd-analyze"); err == nil {
		said, _ := exec.Command(tool, "verify", filepath.Join(dir, "midwatch-watch.service")).CombinedOutput()
		for line := range strings.Lines(string(said)) {
			if strings.Contains(line, "midwatch-watch.service") && !strings.Contains(line, "/usr/local/bin/midwatch is not executable") {
				t.Errorf("unit: %s", line)
			}
		}
	}

	text, err := os.ReadFile(filepath.Join(dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Image   string                                `yaml:"image"`
			Build   struct{ Context, Dockerfile string }  `yaml:"build"`
			Command []string                              `yaml:"command"`
			Needs   map[string]struct{ Condition string } `yaml:"depends_on"`
			Health  struct{ Test []string }               `yaml:"healthcheck"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	for name, s := range compose.Services {
		if s.Image != "" && !regexp.MustCompile(`^docker\.io/[a-z0-9/-]+:[0-9][0-9.]*$`).MatchString(s.Image) {
			t.Errorf("service %s: image %s is not pinned", name, s.Image)
		}
		if s.Build.Dockerfile != "" {
			if err := parses(s.Command); err != nil {
				t.Errorf("service %s: %v", name, err)
			}
			if _, err := os.Stat(filepath.Join(dir, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("service %s: %v", name, err)
			}
		}
		for other, how := range s.Needs {
			if how.Condition == "service_healthy" && len(compose.Services[other].Health.Test) == 0 {
				t.Errorf("service %s waits for the health of %s, which has no check", name, other)
			}
		}
	}

	ignore, err := os.ReadFile(filepath.Join(dir, "Dockerfile.dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "midwatch/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		rel, err := filepath.Rel(root, strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if !strings.Contains(string(ignore), "\n!"+top+"\n") {
			t.Errorf("package %s is not in the image's build", rel)
		}
	}
}

// The tenants file of docs/WATCH.md is one, and what is misspelt is refused.
func TestTenantsFile(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "WATCH.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("docs/WATCH.md has no file of tenants")
	}
	t.Setenv("CONTOSO_WEBHOOK", "https://hooks.example/secret")
	got, err := parseTenants("watch.yaml", block[1])
	if err != nil || len(got) != 2 || got["contoso"].Alerts[0] != "https://hooks.example/secret" || got["fabrikam"].Least != "high" || got["fabrikam"].Lookback != duration(30*24*time.Hour) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"tenants: {}\n":                                              "no tenants",
		"tenants:\n  a: {stores: x}\n":                               "field stores not found",
		"tenants:\n  a: {folders: [x]}\n":                            "tenant a has no store",
		"tenants:\n  a: {store: x}\n  b: {store: x}\n":               "a and b have the same store",
		"tenants:\n  a: {store: x, lookback: soon}\n":                `"soon" is no length of time`,
		"tenants:\n  a: {store: x, lookback: -1h}\n":                 `"-1h" is no length of time`,
		"tenants:\n  a: {store: x, alerts: ['${NOT_THERE_AT_ALL}']}": "no variable NOT_THERE_AT_ALL",
		"tenant: {}\n": "field tenant not found",
	} {
		if _, err := parseTenants("w.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzTenants(f *testing.F) {
	f.Add("tenants:\n  a: {store: x, folders: [y], lookback: 60d, alerts: [stdout]}\n")
	f.Add("tenants: {a: &a {store: x}, b: *a}")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "$") {
			return // of the environment
		}
		ts, err := parseTenants("w", []byte(text))
		if err != nil {
			return
		}
		for n, x := range ts {
			if x.Store == "" || x.Lookback < 0 {
				t.Errorf("%s: %+v of %q", n, x, text)
			}
		}
	})
}

func TestSinkOf(t *testing.T) {
	for spec, name := range map[string]string{"stdout": "stdout", "file:/x/y": "file:/x/y", "syslog+tls://h:6514": "syslog-tcp-h:6514"} {
		s, err := sinkOf(spec, nil)
		if spec == "stdout" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if err != nil || s.Name() != name {
			t.Errorf("%s: %v %v", spec, s, err)
		}
	}
	for _, bad := range []string{"", "file:", "mailto:x", "syslog+tls://h", "slack:https://x"} {
		if _, err := sinkOf(bad, nil); err == nil {
			t.Errorf("%q is a receiver", bad)
		}
	}
}
