package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

func htmlOf(t testing.TB, c *casefile.Case, o Options) string {
	t.Helper()
	return string(render(t, HTML{}, "report.html", c, o))
}

// Pages that the tests of this file look at.
func pages(t *testing.T) map[string]string {
	return map[string]string{
		"case":    htmlOf(t, readCase(t, "case"), testOptions(t)),
		"quiet":   htmlOf(t, readCase(t, "quiet"), Options{}),
		"empty":   htmlOf(t, &casefile.Case{}, Options{}),
		"hostile": htmlOf(t, hostileCase(), hostileOptions()),
		"large":   htmlOf(t, largeCase(300, 3), Options{Rows: 60}),
	}
}

func TestHTMLIsWellFormed(t *testing.T) {
	for name, page := range pages(t) {
		if err := wellFormed(page); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHTMLAnchors(t *testing.T) {
	ids := regexp.MustCompile(`\sid="([^"]*)"`)
	refs := regexp.MustCompile(`\shref="([^"]*)"`)
	for name, page := range pages(t) {
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(page, -1) {
			if seen[m[1]] {
				t.Errorf("%s: id %q occurs twice", name, m[1])
			}
			seen[m[1]] = true
		}
		for _, m := range refs.FindAllStringSubmatch(page, -1) {
			if target, ok := strings.CutPrefix(m[1], "#"); !ok {
				t.Errorf("%s: link to %q leaves the page", name, m[1])
			} else if !seen[target] {
				t.Errorf("%s: link to #%s, which is not there", name, target)
			}
		}
	}
}

// Every event that the case cites has its anchor, with file, line, offset and
// hash.
func TestHTMLEvidence(t *testing.T) {
	c := readCase(t, "case")
	page := html.UnescapeString(htmlOf(t, c, testOptions(t)))
	for id, e := range c.Evidence {
		_, entry, ok := strings.Cut(page, `<li id="ev-`+id+`">`)
		if !ok {
			t.Errorf("event %s has no anchor", id)
			continue
		}
		entry, _, _ = strings.Cut(entry, "\n</li>")
		for _, want := range []string{e.File, "line " + number(e.Line), "offset " + number(e.Offset), e.SHA256, stamp(e.Time), e.Operation, id} {
			if !strings.Contains(entry, want) {
				t.Errorf("evidence %s does not say %q", id, want)
			}
		}
	}
	if !strings.Contains(page, `"authenticationRequirement": "singleFactorAuthentication"`) {
		t.Error("the raw record of an event is missing")
	}
}

func TestHTMLAsksForNothing(t *testing.T) {
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`)
	for name, page := range pages(t) {
		m := policy.FindStringSubmatch(page)
		s := style.FindAllStringSubmatch(page, -1)
		if m == nil || len(s) != 1 {
			t.Fatalf("%s: want one policy and one style sheet", name)
		}
		sum := sha256.Sum256([]byte(s[0][1]))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
		if got := html.UnescapeString(m[1]); got != want {
			t.Errorf("%s: policy is %q, want %q", name, got, want)
		}
		body := strings.Replace(page, s[0][1], "", 1)
		if i := strings.Index(body, m[0]); i > strings.Index(body, "<style>") {
			t.Errorf("%s: the policy must come before the style sheet", name)
		}
		for name, value := range attributes(body) {
			if strings.HasPrefix(name, "on") || slices.Contains([]string{"src", "srcset", "style", "action", "formaction", "data", "poster", "ping", "xlink:href"}, name) {
				t.Errorf("%s: attribute %s=%q", name, name, value)
			}
		}
		for _, tag := range regexp.MustCompile(`<[a-z]+`).FindAllString(body, -1) {
			if slices.Contains([]string{"<script", "<link", "<iframe", "<img", "<image", "<object", "<embed", "<form", "<base", "<audio", "<video", "<input"}, tag) {
				t.Errorf("%s: the page holds %s", name, tag)
			}
		}
		if strings.Contains(s[0][1], "url(") || strings.Contains(s[0][1], "@import") {
			t.Errorf("%s: the style sheet asks for something", name)
		}
	}
}

// attributes are the names of all attributes of a page, with one of the values.
func attributes(page string) map[string]string {
	out := map[string]string{}
	for _, tag := range regexp.MustCompile(`<[a-zA-Z][^<>]*>`).FindAllString(page, -1) {
		for _, m := range regexp.MustCompile(`\s([a-zA-Z:-]+)="([^"]*)"`).FindAllStringSubmatch(tag, -1) {
			out[strings.ToLower(m[1])] = m[2]
		}
	}
	return out
}

var hostileStrings = []string{
	`<script>alert(1)</script>`, `javascript:alert(1)`, `"><img src=x onerror=alert(1)>`, `'; alert(1); //`, `{{.Case}}{{template "x"}}`, `</style><script>`, `]]><!--`,
	`-->`, "=cmd|' /C calc'!A1", "\u202egnp.exe", "\x1b[2J\x1b]0;owned\x07", `" onmouseover="alert(1)`, "a\r\nb", "\x00\xff\xfe", `url(http://evil.example/)`, `#"><svg onload=alert(1)>`, `&lt;b&gt;`,
}

// hostileCase has a hostile string in every field that holds text, ids and
// kinds included.
func hostileCase() *casefile.Case {
	n := 0
	next := func() string { n++; return fmt.Sprintf("%s #%d", hostileStrings[n%len(hostileStrings)], n) }
	c := &casefile.Case{}
	fillHostile(reflect.ValueOf(c).Elem(), next, 0)
	id := "<script>ev</script>"
	c.Evidence = map[string]casefile.Evidence{id: {}}
	e := casefile.Evidence{}
	fillHostile(reflect.ValueOf(&e).Elem(), next, 0)
	c.Evidence[id] = e
	for i := range c.Verdict {
		c.Verdict[i].Events = []string{id}
		c.Verdict[i].Kind = []string{casefile.Fact, casefile.Limit, casefile.Absence, casefile.Advice}[i%4]
	}
	for i := range c.Campaigns {
		c.Campaigns[i].Findings = []string{c.Findings[0].ID}
	}
	return c
}

func hostileOptions() Options {
	cards := map[string]Card{}
	for _, f := range hostileCase().Findings {
		cards[f.Detector] = Card{Title: hostileStrings[0], Why: hostileStrings[2], FalsePositives: hostileStrings}
		cards[clean(f.Detector)] = cards[f.Detector]
	}
	return Options{Cards: cards, Raw: func(ids []string) map[string][]byte {
		out := map[string][]byte{}
		for _, id := range ids {
			out[id] = []byte(strings.Join(hostileStrings, "\n"))
		}
		return out
	}}
}

func fillHostile(v reflect.Value, next func() string, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(next())
	case reflect.Int64, reflect.Int32, reflect.Int:
		v.SetInt(3)
	case reflect.Float64:
		v.SetFloat(0.25)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillHostile(v.Elem(), next, depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 4, 4))
		for i := range 4 {
			fillHostile(v.Index(i), next, depth+1)
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range 4 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillHostile(key, next, depth+1)
			fillHostile(value, next, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[casefile.Time]() {
			v.Set(reflect.ValueOf(casefile.TimeOf(time.Date(2024, 1, 2+depth, 3, 4, 5, 0, time.UTC))))
			return
		}
		for i := range v.NumField() {
			fillHostile(v.Field(i), next, depth+1)
		}
	}
}

func TestHostileStringsAreInert(t *testing.T) {
	page := htmlOf(t, hostileCase(), hostileOptions())
	tags := regexp.MustCompile(`^</?(!doctype|html|head|meta|title|style|body|svg|symbol|circle|path|a|header|p|span|div|nav|ol|ul|li|main|section|h[1-4]|dl|dt|dd|b|strong|table|caption|thead|tbody|tr|th|td|details|summary|br|wbr|time|code|pre|article|footer|defs|pattern|rect|line|text|g|desc|use|figure|figcaption|sub)(\s|/?>|>)`)
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
		if !tags.MatchString(strings.ToLower(tag)) {
			t.Errorf("tag from a log: %s", tag)
		}
	}
	for _, bad := range []string{"<script", "onerror=alert(1)>", `href="javascript:`, "\x1b", "\u202e", "\x00", "\x07", `" onmouseover="`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "{{.Case}}", `\u202e`, `\x1b[2J`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q as text", want)
		}
	}
	text := string(render(t, Terminal{}, "verdict.txt", hostileCase(), Options{}))
	for _, r := range text {
		if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e' || 0x80 <= r && r < 0xa0) {
			t.Fatalf("the terminal's text holds %q", r)
		}
	}
}

// largeCase has more of everything than a page shows.
func largeCase(n, messages int) *casefile.Case {
	at := func(i int) casefile.Time {
		return casefile.TimeOf(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour))
	}
	id := func(kind string, i int) string { return fmt.Sprintf("%s-%06d", kind, i) }
	c := &casefile.Case{Schema: casefile.Schema, Evidence: map[string]casefile.Evidence{}}
	cam := casefile.Campaign{ID: "k-1", Title: "Large", Severity: casefile.High, Start: at(0), End: at(n), FirstDetected: at(5)}
	for i := range n {
		ev := id("ev", i)
		c.Evidence[ev] = casefile.Evidence{File: "a.json", SHA256: "00", Line: int64(i), Time: at(i), Source: "ual", Operation: "mailitemsaccessed"}
		c.Findings = append(c.Findings, casefile.Finding{ID: id("f", i), Detector: "d", Title: "finding", Severity: casefile.Low, First: at(i), Last: at(i), Events: []string{ev}, EventCount: 1})
		if i%2 == 0 {
			cam.Findings = append(cam.Findings, id("f", i))
		}
		box := casefile.MailboxRef{UPN: id("user", i) + "@fabrikam.example", Certainty: casefile.Confirmed, First: at(i), Last: at(i), Events: []string{ev}, EventCount: 1}
		for k := range messages {
			box.Messages = append(box.Messages, casefile.MessageRef{InternetMessageID: fmt.Sprintf("%d.%d@fabrikam.example", i, k), Certainty: casefile.Confirmed, First: at(i), Last: at(i), Reads: 1, Events: []string{ev}})
		}
		cam.Mailboxes = append(cam.Mailboxes, box)
		cam.IPs = append(cam.IPs, casefile.IPRef{IP: fmt.Sprintf("2001:db8::%x", i), First: at(i), Last: at(i)})
		cam.Accounts = append(cam.Accounts, casefile.AccountRef{UPN: box.UPN, Role: casefile.AccountCompromised, Certainty: casefile.Confirmed})
		cam.Timeline = append(cam.Timeline, casefile.TimelineEntry{Time: at(i), Stage: casefile.StageCollection, Text: "step", Events: []string{ev}})
		c.Sources = append(c.Sources, casefile.Source{Path: id("file", i)})
		c.Coverage.Sources = append(c.Coverage.Sources, casefile.SourceCover{Tenant: "t", Source: "ual", Kind: id("k", i)})
	}
	c.Campaigns = []casefile.Campaign{cam}
	return c
}

// What is left out of a long table is counted, and the page stays one that a
// browser opens at once.
func TestLargeCaseIsCutAloud(t *testing.T) {
	page := htmlOf(t, largeCase(3000, 5), Options{Rows: 100})
	for _, want := range []string{
		"2,900 more mailboxes in mailboxes.csv and case.json",
		"2,900 more steps in case.json",
		"1,400 more findings in findings.csv and case.json",
		"2,900 more accounts in accounts.csv and case.json",
		"2,900 more addresses in case.json",
		"2,900 more lines are cited in case.json and not shown here",
		"The first 100 files; all in sources.json and case.json",
		"2,900 more logs in case.json",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(page, `<tr class="main">`); n != 100 {
		t.Errorf("%d mailboxes shown, want 100", n)
	}
	if len(page) > 3<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	few := htmlOf(t, largeCase(3, 4000), Options{})
	if !strings.Contains(few, "3,000 more messages of this mailbox in messages.csv and case.json") {
		t.Error("the page does not say how many messages of a mailbox it leaves out")
	}
}

// An absence is never printed before the coverage that it stands on.
func TestAbsenceComesAfterCoverage(t *testing.T) {
	for _, name := range []string{"case", "quiet"} {
		c := readCase(t, name)
		page := htmlOf(t, c, Options{})
		text := string(render(t, Terminal{}, "verdict.txt", c, Options{Width: 400}))
		for _, s := range c.Verdict {
			if s.Kind != casefile.Absence {
				continue
			}
			if strings.Count(page, html.EscapeString(s.Text)) != 1 || strings.Index(page, html.EscapeString(s.Text)) < strings.Index(page, `id="coverage"`) {
				t.Errorf("%s: the page says %q before the coverage", name, s.Text)
			}
			i := strings.Index(text, strings.Fields(s.Text)[0]+" "+strings.Fields(s.Text)[1])
			if i < strings.Index(text, "COVERAGE") {
				t.Errorf("%s: the text says %q before the coverage", name, s.Text)
			}
		}
	}
}

// Certainty is shown by a shape and a word besides the colour.
func TestCertaintyHasShapeAndWord(t *testing.T) {
	page := htmlOf(t, readCase(t, "case"), Options{})
	for _, c := range []casefile.Certainty{casefile.Confirmed, casefile.Probable, casefile.Possible} {
		if !strings.Contains(page, fmt.Sprintf(`<span class="cert %s"><svg width="13" height="13" aria-hidden="true"><use href="#g-%s"/></svg>%s</span>`, c, c, c)) {
			t.Errorf("no mark for %s", c)
		}
		if strings.Count(page, `<symbol id="g-`+string(c)+`"`) != 1 {
			t.Errorf("no shape for %s", c)
		}
	}
}

// wellFormed checks that tags nest and close, that void elements are void and
// that text has no bare < or &.
func wellFormed(page string) error {
	void := []string{"meta", "br", "wbr", "link", "img", "hr", "input"}
	var stack []string
	rest := strings.TrimPrefix(page, "<!DOCTYPE html>")
	for {
		i := strings.IndexByte(rest, '<')
		text := rest
		if i >= 0 {
			text = rest[:i]
		}
		if k := strings.IndexByte(text, '&'); k >= 0 && !regexp.MustCompile(`^&(#\d+|#x[0-9a-fA-F]+|[a-z]+);`).MatchString(text[k:]) && (len(stack) == 0 || stack[len(stack)-1] != "style") {
			return fmt.Errorf("bare & near %.60q", text[k:])
		}
		if i < 0 {
			break
		}
		j := strings.IndexByte(rest[i:], '>')
		if j < 0 {
			return io.ErrUnexpectedEOF
		}
		tag := rest[i+1 : i+j]
		rest = rest[i+j+1:]
		name, _, _ := strings.Cut(strings.Trim(tag, "/"), " ")
		switch {
		case strings.HasPrefix(tag, "/"):
			if len(stack) == 0 || stack[len(stack)-1] != name {
				return fmt.Errorf("</%s> closes %v", name, stack[max(0, len(stack)-3):])
			}
			stack = stack[:len(stack)-1]
		case strings.HasSuffix(tag, "/"), slices.Contains(void, name):
		default:
			if !regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]*(\s+[a-zA-Z][a-zA-Z0-9:-]*(="[^"<]*")?)*\s*$`).MatchString(tag) {
				return fmt.Errorf("odd tag <%.120s>", tag)
			}
			stack = append(stack, name)
		}
		if name == "style" && len(stack) > 0 && stack[len(stack)-1] == "style" {
			k := strings.Index(rest, "</style>")
			if k < 0 {
				return io.ErrUnexpectedEOF
			}
			rest = rest[k:]
		}
	}
	if len(stack) > 0 {
		return fmt.Errorf("not closed: %v", stack)
	}
	return nil
}

func BenchmarkHTML(b *testing.B) {
	c := largeCase(3000, 5)
	for b.Loop() {
		if err := (HTML{}).Write(&bytes.Buffer{}, "report.html", c, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
