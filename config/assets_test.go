package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAssets(t *testing.T) {
	got, err := Parse("c.yaml", strings.NewReader(`
assets:
  source_code:
    applications: ["GitHub*", 499b84ac-1321-427f-aa17-267ca6975798]
    repositories: ["contoso/*"]
  board:
    name: board documents
    sites: [https://contoso.sharepoint.example/sites/board]
    accounts: [Board.Portal@contoso.example]
`))
	want := []Asset{
		{Key: "source_code", Applications: []string{"GitHub*", "499b84ac-1321-427f-aa17-267ca6975798"}, Repositories: []string{"contoso/*"}},
		{Key: "board", Name: "board documents", Sites: []string{"https://contoso.sharepoint.example/sites/board"}, Accounts: []string{"board.portal@contoso.example"}},
	}
	if d := cmp.Diff(want, got.Assets); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, c := range []struct{ text, err string }{
		{"assets: [source_code]\n", `c.yaml:1: expected groups, such as`},
		{"assets:\n  Source Code: {}\n", `c.yaml:2: "Source Code" is no key of a group`},
		{"assets:\n  a: {}\n  a: {}\n", `c.yaml:3: a is there twice`},
		{"assets:\n  a: x\n", `c.yaml:2: expected what belongs to a`},
		{"assets:\n  a: {apps: [x]}\n", `c.yaml:2: unknown member "apps" of a; known: accounts, applications, name, repositories, resources, sites, subscriptions, tenants`},
		{"assets:\n  a: {applications: x}\n", `c.yaml:2: expected a list of applications`},
		{"assets:\n  a: {applications: [\"*\"]}\n", `c.yaml:2: "*" says nothing`},
		{"assets:\n  a: {applications: [\"x[\"]}\n", `c.yaml:2: "x[" is no pattern`},
		{"assets:\n  a: {sites: [contoso]}\n", `c.yaml:2: "contoso" is no address of a site`},
		{"assets:\n  a: {accounts: [contoso]}\n", `c.yaml:2: "contoso" is no user principal name`},
		{"assets:\n  a: {name: \" \"}\n", `c.yaml:2: expected the name of a in words`},
	} {
		if _, err := Parse("c.yaml", strings.NewReader(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%q: %v, want %s", c.text, err, c.err)
		}
	}
}

// FuzzParse: no text makes the reader panic, and what is read is well formed.
func FuzzParse(f *testing.F) {
	f.Add("canaries: [a@b.example]\nassets:\n  x:\n    name: n\n    sites: [https://a.example/]\n")
	f.Add("assets: {a: {applications: [&x y, *x]}}")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("c.yaml", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, a := range c.Assets {
			if a.Key == "" {
				t.Errorf("a group without a key from %q", text)
			}
			for _, p := range append(append([]string{}, a.Applications...), a.Sites...) {
				if strings.Trim(p, "*?%_ ") == "" {
					t.Errorf("pattern %q from %q", p, text)
				}
			}
		}
	})
}
