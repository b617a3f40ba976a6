package respond

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/respond/graphtest"
)

var update = flag.Bool("update", false, "write the golden files")

func readCase(t testing.TB, name string) *casefile.Case {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".case.json"))
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

func build(t testing.TB, c *casefile.Case, o Options) *Plan {
	t.Helper()
	p, err := Build(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The plans of simulated cases, as documents.
func TestGolden(t *testing.T) {
	for _, name := range []string{"midnight", "bec", "consentphish", "insiderapp"} {
		p := build(t, readCase(t, name), Options{})
		var got bytes.Buffer
		if err := Markdown(&got, p); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".plan.md")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		again := build(t, readCase(t, name), Options{})
		if again.Hash != p.Hash {
			t.Errorf("%s: the same case gave %s and %s", name, p.Hash, again.Hash)
		}
	}
}

// Every request that a plan names is one of Microsoft's description, with members
// that it has, and the permissions that the step names suffice for it.
func TestCallsArePublished(t *testing.T) {
	types := map[string]string{"users": "User", "applications": "Application", "servicePrincipals": "ServicePrincipal", "devices": "Device", "appRoleAssignments": "AppRoleAssignment",
		"oauth2PermissionGrants": "OAuth2PermissionGrant", "roleAssignments": "UnifiedRoleAssignment", "messageRules": "MessageRule", "federatedIdentityCredentials": "FederatedIdentityCredential"}
	n := 0
	for _, name := range []string{"midnight", "bec", "consentphish", "insiderapp"} {
		for _, s := range build(t, readCase(t, name), Options{Suspected: true}).Steps {
			for i, c := range slices.Concat(s.Calls, s.Undo.Calls) {
				n++
				permissions, ok := graphtest.Published(c.Method, c.Path)
				if !ok {
					t.Errorf("%s %s is not published", c.Method, c.Path)
					continue
				}
				have := func(p string) bool {
					return slices.Contains(s.Permissions, p) || p == "User.ReadBasic.All" && slices.Contains(s.Permissions, "User.Read.All")
				}
				if s.Executable && !slices.ContainsFunc(permissions, have) {
					t.Errorf("%s (call %d): %s %s wants one of %v, the step names %v", s.Kind, i, c.Method, c.Path, permissions, s.Permissions)
				}
				path, query, _ := strings.Cut(c.Path, "?")
				segments := strings.Split(strings.TrimSuffix(path, "/$ref"), "/")
				of := ""
				for _, x := range segments {
					x, _, _ = strings.Cut(x, "(")
					if types[x] != "" {
						of = types[x]
					}
				}
				if sel, ok := strings.CutPrefix(query, "$select="); ok {
					for _, m := range strings.Split(sel, ",") {
						if !slices.Contains(graphtest.Members(of), m) {
							t.Errorf("%s has no member %s", of, m)
						}
					}
				}
				var body map[string]any
				if len(c.Body) == 0 || strings.HasSuffix(path, "/$ref") || strings.HasSuffix(path, "/removePassword") {
					continue
				}
				if err := json.Unmarshal(c.Body, &body); err != nil {
					t.Fatal(err)
				}
				for m := range body {
					if !slices.Contains(graphtest.Members(of), m) {
						t.Errorf("%s has no member %s", of, m)
					}
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d calls", n)
	}
}

// Doors before the rest, sessions after credentials, verification after all of
// it; in a phase what opens others first, and of these the newest.
func TestOrder(t *testing.T) {
	p := build(t, readCase(t, "midnight"), Options{})
	place := map[Kind][2]int{}
	for _, s := range p.Steps {
		if !s.Executable {
			continue
		}
		at, ok := place[s.Kind]
		if !ok {
			at[0] = s.Number
		}
		at[1] = s.Number
		place[s.Kind] = at
	}
	before := func(a, b Kind) {
		if place[a][1] >= place[b][0] {
			t.Errorf("%s (to step %d) is not before %s (from step %d)", a, place[a][1], b, place[b][0])
		}
	}
	before(DisableAccount, RemoveCredentials)
	before(DisablePrincipal, RemoveCredentials)
	before(ResetPassword, RevokeSessions)
	before(RemoveCredentials, RevokeSessions)
	before(RemoveMethods, RevokeSessions)
	before(RevokeSessions, RemoveAppRoles)
	before(RemoveConsents, NothingNew)
	if s := p.Steps[0]; s.Object.ID != "svc-mailsync@fabrikam.example" || s.Phase != Doors {
		t.Errorf("the first step is %s", s.Title)
	}
	for i, s := range p.Steps[1:] {
		if s.Phase < p.Steps[i].Phase {
			t.Errorf("step %d of phase %d follows phase %d", s.Number, s.Phase, p.Steps[i].Phase)
		}
	}
}

// What was taken over keeps what it had.
func TestTakenOver(t *testing.T) {
	p := build(t, readCase(t, "midnight"), Options{})
	found := 0
	for _, s := range p.Steps {
		if s.Object.Origin != casefile.AppTakenOver {
			continue
		}
		if s.Target.All {
			t.Errorf("%s takes everything", s.Title)
		}
		if s.Kind == RemoveCredentials && s.Executable {
			found++
			if d := cmp.Diff([]string{"5608a51d-a65d-46e9-9830-65c26eb3569e"}, s.Target.Keys); d != "" || s.Tenant != "42b9be88-2bb0-4d6a-b0c2-37917de04bdb" {
				t.Errorf("keys in %s: %s", s.Tenant, d)
			}
		}
		if (s.Kind == RemoveAppRoles || s.Kind == RemoveConsents) && s.Executable && s.Tenant == "42b9be88-2bb0-4d6a-b0c2-37917de04bdb" {
			t.Errorf("%s is carried out, and nothing says what the actor gave", s.Title)
		}
	}
	if found != 1 {
		t.Errorf("%d steps remove its credentials, want 1", found)
	}
}

func TestSuspected(t *testing.T) {
	c := readCase(t, "consentphish")
	for _, s := range build(t, c, Options{}).Steps {
		if !s.Suspected {
			t.Errorf("%s is not marked", s.Title)
		}
	}
	p, q := build(t, c, Options{}), build(t, c, Options{Suspected: true})
	if p.Hash == q.Hash {
		t.Error("the hash does not say whether suspected steps are carried out")
	}
	for i := range p.Steps {
		if p.Runs(&p.Steps[i]) || q.Steps[i].Executable != q.Runs(&q.Steps[i]) {
			t.Errorf("step %d: %v, %v", i+1, p.Runs(&p.Steps[i]), q.Runs(&q.Steps[i]))
		}
	}
	// An account that is only suspected in an established campaign is, too.
	c = readCase(t, "bec")
	c.Campaigns[0].Accounts[0].Roles = []string{casefile.AccountSuspected}
	for _, s := range build(t, c, Options{}).Steps {
		if s.Kind == ResetPassword && !s.Suspected {
			t.Error("the password of a suspected account is set anew")
		}
	}
}

func TestOnlySome(t *testing.T) {
	c := readCase(t, "midnight")
	if _, err := Build(c, Options{Campaigns: []string{"c-none"}}); err == nil || !strings.Contains(err.Error(), c.Campaigns[0].ID) {
		t.Errorf("error %v", err)
	}
	tenant := c.Campaigns[0].Tenants[0]
	for _, s := range build(t, c, Options{Tenants: []string{tenant}}).Steps {
		if s.Tenant != tenant {
			t.Errorf("step %d is in %s", s.Number, s.Tenant)
		}
	}
	c.Campaigns = nil
	if p := build(t, c, Options{}); len(p.Steps) != 0 || p.Hash == "" {
		t.Errorf("%d steps of no campaign", len(p.Steps))
	}
}

// A request that the step does not name is not allowed.
func TestAllows(t *testing.T) {
	s := Step{Calls: []Call{{Method: "GET", Path: "/a/b?$select=id"}, {Method: "DELETE", Path: "/a/{id}/c"}}, Undo: Undo{Calls: []Call{{Method: "POST", Path: "/a"}}}}
	for _, x := range []struct {
		method, path string
		want         bool
	}{
		{"GET", "/a/b", true}, {"GET", "/a/b?$top=1", true}, {"DELETE", "/a/1/c", true}, {"POST", "/a", true},
		{"DELETE", "/a/b", false}, {"DELETE", "/a//c", false}, {"DELETE", "/a/1/2/c", false}, {"PATCH", "/a/b", false}, {"GET", "/a/b/c", false}, {"DELETE", "/a/1/c/d", false},
	} {
		if got := s.Allows(x.method, x.path); got != x.want {
			t.Errorf("%s %s: %v", x.method, x.path, got)
		}
	}
}
