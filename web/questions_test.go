package web_test

import (
	"context"
	"html"
	"regexp"
	"strings"
	"testing"

	"midwatch/internal/webtest"
	"midwatch/web/audit"
	"midwatch/web/auth"
)

func nothing(context.Context, string) error { return nil }

func field(t testing.TB, body, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("nothing on the page is like %s\n%s", pattern, said(body))
	}
	return html.UnescapeString(m[1])
}

func TestQuestions(t *testing.T) {
	f := fixture(t)
	dir := f.Copy(t, "incident")
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: nothing})
	c, v := s.As(t, auth.Analyst), s.As(t, auth.Viewer)
	const at = "/c/incident/questions"
	a := c.Post(at, "sql", "SELECT upper('abc') AS x, NULL AS y, count(*) AS n FROM messages;")
	want(t, "a question", a, 200)
	for _, s := range []string{">ABC<", ">NULL<", `<td class="num">188</td>`} {
		if !strings.Contains(a.Body, s) {
			t.Errorf("the answer has no %s", s)
		}
	}
	for q, why := range map[string]string{
		"DROP TABLE messages": "", "DELETE FROM events": "", "SELECT 1; SELECT 2": "", "INSERT INTO events SELECT * FROM events": "", "COPY messages TO '/tmp/x.csv'": "", "ATTACH '/tmp/x.db'": "", "PRAGMA threads = 4": "", "SET memory_limit = '9GB'": "",
		"SELECT * FROM read_csv('/etc/passwd')": "", "SELECT * FROM '/etc/passwd'": "", "SELECT * FROM nothing": "nothing", "SELECT nope FROM messages": "nope", "SELEC 1": "", "": "Write a question", "   ;  ": "Write a question", "INSTALL httpfs": "",
		strings.Repeat(" ", 10) + "SELECT '" + strings.Repeat("x", 21_000) + "'": "20,000 bytes",
	} {
		a := c.Post(at, "sql", q)
		want(t, "asking "+q[:min(len(q), 60)], a, 400)
		if !strings.Contains(a.Body, "bad-banner") || why != "" && !strings.Contains(a.Body, why) {
			t.Errorf("%.60q is refused without the reason %q:\n%s", q, why, said(a.Body))
		}
		if q != "" && len(q) < 100 && !strings.Contains(html.UnescapeString(a.Body), q) {
			t.Errorf("%q is not in its field any more", q)
		}
	}
	a = c.Post(at, "sql", "SELECT range AS n FROM range(5000)")
	if rows := strings.Count(a.Body, `<td class="num">`); rows != 1000 || !strings.Contains(a.Body, "and more") {
		t.Errorf("%d rows of 5,000 are shown, want 1,000 and that there are more; %s", rows, said(a.Body))
	}
	// Every question is written down, with who asked.
	last := reads(t, audit.Open(dir+"/"+audit.File, "test", s.Clock.Now))
	if r := last[len(last)-1]; r.By != "ana" || !strings.Contains(r.What, "FROM range(5000)") || r.Action != "search" {
		t.Errorf("written down is %+v", r)
	}
	want(t, "a viewer asks", v.Post(at, "sql", "SELECT 1"), 403)
	want(t, "a viewer looks", v.Get(at), 403)
	want(t, "a viewer saves", v.Post(at+"/saved", "sql", "SELECT 1", "name", "x"), 403)
	// Those that are there can all be asked.
	page := c.Get(at).Body
	for _, m := range regexp.MustCompile(`href="(/c/incident/questions\?sql=[^"]+)"`).FindAllStringSubmatch(page, -1) {
		q := html.UnescapeString(field(t, c.Get(html.UnescapeString(m[1])).Body, `(?s)<textarea[^>]*>\n(.*?)</textarea>`))
		want(t, "asking "+q, c.Post(at, "sql", q), 200)
	}
	// Kept for others, and of one name the last.
	want(t, "saving", c.Post(at+"/saved", "sql", "SELECT 41", "name", "the answer", "why", "nearly", "seen", "99"), 422) // a journal that is not this one
	want(t, "saving", c.Post(at+"/saved", "sql", "SELECT 41", "name", "the answer", "why", "nearly"), 303)
	want(t, "saving", c.Post(at+"/saved", "sql", "SELECT 42", "name", "the answer"), 303)
	page = c.Get(at).Body
	if strings.Count(page, "the answer") != 1 || !strings.Contains(page, "by ana") || !strings.Contains(page, "SELECT&#43;42") && !strings.Contains(page, "SELECT+42") {
		t.Errorf("the question that was kept is not there:\n%s", said(page[strings.Index(page, "saved-h"):]))
	}
}

// A question that never ends is given up.
func TestQuestionTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	t.Parallel()
	f := fixture(t)
	s := f.Serve(t, webtest.Options{Dirs: []string{f.Copy(t, "incident")}, Start: now(), Redo: nothing})
	c := s.As(t, auth.Analyst)
	a := c.Post("/c/incident/questions", "sql", "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE hash(a.range, b.range) = 1")
	want(t, "a question without end", a, 400)
	if !strings.Contains(a.Body, "given up after 20s") {
		t.Errorf("it is not told why: %s", said(a.Body))
	}
	want(t, "the next", c.Post("/c/incident/questions", "sql", "SELECT 1"), 200)
}
