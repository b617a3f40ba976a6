package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, text, err string }{
		{"empty", "", ""},
		{"comments", "# nothing yet\n", ""},
		{"misspelt", "# ours\ncanarys: [a@b.example]\n", `c.yaml:2: unknown key "canarys"; known: assets, canaries, containment`},
		{"twice", "canaries: [a@b.example]\ncanaries: []\n", `c.yaml:2: canaries is there twice`},
		{"not a list", "canaries: a@b.example\n", `c.yaml:1: expected a list of user principal names`},
		{"no name", "canaries:\n  - a@b.example\n  - payroll\n", `c.yaml:3: "payroll" is no user principal name, such as user@example.com`},
		{"a name with a quote", "canaries: [\"a'--@b.example\"]\n", `c.yaml:1: "a'--@b.example" is no user principal name, such as user@example.com`},
		{"nested", "canaries: [[a@b.example]]\n", `c.yaml:1: "" is no user principal name, such as user@example.com`},
		{"list", "- a@b.example\n", `c.yaml:1: expected keys with values, such as canaries: [user@example.com]`},
		{"two documents", "canaries: []\n---\ncanaries: []\n", `c.yaml:2: a second document; put everything into one`},
		{"approvals of nothing", "containment: 2\n", `c.yaml:1: expected members of containment, such as {approvals: 2}`},
		{"a member misspelt", "containment:\n  approval: 2\n", `c.yaml:2: unknown member "approval" of containment; known: approvals`},
		{"approvals twice", "containment:\n  approvals: 2\n  approvals: 0\n", `c.yaml:3: approvals is there twice`},
		{"no number", "containment: {approvals: two}\n", `c.yaml:1: "two" is no number of people; expected 0 to 20`},
		{"a number in quotes", "containment: {approvals: \"2\"}\n", `c.yaml:1: "2" is no number of people`},
		{"of another base", "containment: {approvals: 010}\n", `c.yaml:1: "010" is no number of people`},
		{"below nobody", "containment: {approvals: -1}\n", `c.yaml:1: "-1" is no number of people`},
		{"too many", "containment: {approvals: 21}\n", `c.yaml:1: "21" is no number of people`},
		{"no YAML", "canaries: [a@b.example\n", `c.yaml:`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse("c.yaml", strings.NewReader(c.text))
			switch {
			case c.err == "" && (err != nil || got.Canaries != nil):
				t.Errorf("%v, %v", got, err)
			case c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)):
				t.Errorf("error %v, want %s", err, c.err)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "midwatch.yaml")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("canaries:\n  - Old.Payroll@Contoso.example # since 2023\n  - old.payroll@contoso.example\n  - svc2@contoso.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if diff := cmp.Diff(Config{Canaries: []string{"old.payroll@contoso.example", "svc2@contoso.example"}}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestContainment(t *testing.T) {
	for text, want := range map[string]int{"containment: {approvals: 2}": 2, "containment: {approvals: 0}": 0, "containment: {}": 0, "canaries: []": 0} {
		if c, err := Parse("c.yaml", strings.NewReader(text)); err != nil || c.Containment.Approvals != want {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}
