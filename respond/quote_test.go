package respond

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

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
