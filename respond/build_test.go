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
	"unicode"
	"unicode/utf8"

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

// hostile are values that logs may hold.
func hostile() []string {
	return []string{"", "'; Remove-Mailbox -Identity x; '", "x'),('y", "../../me", "a/b?c=d#e", "$(Get-Secret)", "`whoami`", "\u2019; calc; \u2018", "\x1b]0;owned\x07",
		"a\r\nDELETE /users/x", "\u202etpa", "\xff\xfe", "<script>alert(1)</script>", "```\n# owned\n```", "[x](javascript:1)", "00000000-0000-0000-0000-00000000000'", strings.Repeat("A", 4000), "{id}"}
}

// No value of a case becomes more than a value: no path has it unless it has the
// form of an id, PowerShell has it as a literal, Markdown as text.
func TestHostile(t *testing.T) {
	for _, h := range hostile() {
		for _, name := range []string{"midnight", "bec"} {
			c := readCase(t, name)
			p := &c.Campaigns[0]
			for i := range p.Accounts {
				p.Accounts[i].UPN, p.Accounts[i].ID, p.Accounts[i].Why = h, h, h
			}
			for i := range p.Apps {
				p.Apps[i].ID, p.Apps[i].Name, p.Apps[i].Why = h, h, h
				p.Apps[i].ServicePrincipals, p.Apps[i].Permissions = []string{h}, []string{h, h + " (delegated)"}
			}
			for i := range p.Credentials {
				p.Credentials[i].KeyID, p.Credentials[i].App = h, h
			}
			for i := range c.Findings {
				f := &c.Findings[i]
				f.Title, f.Why = h, h
				for j := range f.Entities {
					f.Entities[j].ID, f.Entities[j].Name = h, h
				}
			}
			plan := build(t, c, Options{})
			for _, s := range plan.Steps {
				for _, call := range slices.Concat(s.Calls, s.Undo.Calls) {
					if h != "{id}" && h != "" && strings.Contains(call.Path, h) || strings.ContainsAny(call.Path, "\r\n\x1b<>`") {
						t.Errorf("%.50q is in the path %q", h, call.Path)
					}
				}
				if s.Executable && s.Kind != NothingNew {
					t.Errorf("%.50q: %s is carried out", h, s.Kind)
				}
				for _, l := range s.PowerShell {
					if words, ok := psWords(l); !ok {
						t.Errorf("%.50q breaks %q", h, l)
					} else if h == hostile()[1] && slices.Contains(words, "Remove-Mailbox") {
						t.Errorf("%.50q runs in %q", h, l)
					}
				}
			}
			var b bytes.Buffer
			if err := Markdown(&b, plan); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.String() {
				if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
					t.Errorf("%.50q: Markdown has the character %U", h, r)
				}
			}
			for _, bad := range []string{"\n# owned", "\n[x](", "\nDELETE /users/x"} {
				if strings.Contains(b.String(), bad) {
					t.Errorf("%.50q: Markdown has %q", h, bad)
				}
			}
			for i, part := range strings.Split(b.String(), "\n```") {
				if i%2 == 0 && (strings.Contains(part, "<script") || strings.Contains(part, "[x](")) {
					t.Errorf("%.50q is not escaped outside of code", h)
				}
			}
		}
	}
}

// A tenant that is not named by its id is for a person.
func TestTenantWithoutID(t *testing.T) {
	c := readCase(t, "bec")
	c.Campaigns[0].Tenants = []string{"'; x"}
	c.Campaigns[0].Accounts[0].Tenant = "'; x"
	for i := range c.Findings {
		c.Findings[i].Tenant = "'; x"
	}
	for _, s := range build(t, c, Options{}).Steps {
		if s.Executable {
			t.Errorf("%s is carried out in tenant %q", s.Title, s.Tenant)
		}
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

func isQuote(r rune) bool { return r == '\'' || r >= 0x2018 && r <= 0x201b }

// psWords splits a line as PowerShell does, literals as one word; ok is false
// when a literal does not end or what is outside of literals has more than
// the characters of our own lines.
func psWords(l string) (words []string, ok bool) {
	var word strings.Builder
	rs := []rune(l)
	for i := 0; i < len(rs); i++ {
		r := rs[i]
		switch {
		case isQuote(r):
			for i++; ; i++ {
				if i >= len(rs) {
					return nil, false
				}
				if isQuote(rs[i]) {
					if i+1 < len(rs) && isQuote(rs[i+1]) {
						i++
						continue
					}
					break
				}
			}
			word.WriteByte('?')
		case r == ' ':
			words = append(words, word.String())
			word.Reset()
		case r > 0x7e || unicode.IsControl(r):
			return nil, false
		default:
			word.WriteRune(r)
		}
	}
	return append(words, word.String()), true
}

// psValue is what PowerShell makes of an expression of ours.
func psValue(t *testing.T, e string) string {
	e = strings.TrimSuffix(strings.TrimPrefix(e, "("), ")")
	var out strings.Builder
	rs := []rune(e)
	for i := 0; i < len(rs); {
		switch {
		case isQuote(rs[i]):
			for i++; ; i++ {
				if i >= len(rs) {
					t.Fatalf("a literal of %q does not end", e)
				}
				if isQuote(rs[i]) {
					if i+1 >= len(rs) || !isQuote(rs[i+1]) {
						break
					}
					i++
				}
				out.WriteRune(rs[i])
			}
			i++
		case strings.HasPrefix(string(rs[i:]), " + "):
			i += 3
		default:
			rest := string(rs[i:])
			end := strings.Index(rest, " + ")
			if end < 0 {
				end = len(rest)
			}
			var n rune
			num := rest[:end]
			for _, p := range []string{"[char]0x", "[char]::ConvertFromUtf32(0x"} {
				if h, ok := strings.CutPrefix(num, p); ok {
					for _, d := range strings.TrimSuffix(h, ")") {
						i := strings.IndexRune("0123456789abcdef", d)
						if i < 0 {
							t.Fatalf("%q in %q", num, e)
						}
						n = n*16 + rune(i)
					}
				}
			}
			if n == 0 && num != "[char]0x0000" {
				t.Fatalf("%q in %q is nothing of ours", num, e)
			}
			out.WriteRune(n)
			i += len([]rune(num))
		}
	}
	return out.String()
}

func FuzzQuote(f *testing.F) {
	for _, h := range hostile() {
		f.Add(h)
	}
	f.Add("o'neill@fabrikam.example")
	f.Add("(a) + [char]0x27")
	f.Add("\U000e0041\U0001f600")
	f.Fuzz(func(t *testing.T, s string) {
		q := Quote(s)
		want := s
		if !utf8.ValidString(s) {
			var b strings.Builder
			for _, r := range s {
				b.WriteRune(r)
			}
			want = b.String()
		}
		if got := psValue(t, q); got != want {
			t.Errorf("%.50q is quoted as %s, which is %q", s, q, got)
		}
		for _, r := range q {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
				t.Errorf("%.50q: the literal has %U", s, r)
			}
		}
		if _, ok := psWords("X -Y " + strings.ReplaceAll(q, "é", "e")); !ok && strings.IndexFunc(q, func(r rune) bool { return r > 0x7e }) < 0 {
			t.Errorf("%.50q breaks the line: %s", s, q)
		}
	})
}
