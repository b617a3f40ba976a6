package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"midwatch/internal/webtest"
	"midwatch/journal"
	"midwatch/web/auth"
)

func failing(context.Context, string) error { return errors.New("no room on the <disk>") }

const workPage = "/c/incident/work/"

func entries(t testing.TB, dir string) []journal.Entry {
	t.Helper()
	es, err := journal.Open(filepath.Join(dir, "journal.ndjson"), now).Entries()
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func last(t testing.TB, dir string) journal.Entry {
	t.Helper()
	es := entries(t, dir)
	return es[len(es)-1]
}

// seen is the number of the last entry that a page knows.
func seen(t testing.TB, c *webtest.Client, tab string) string {
	t.Helper()
	return field(t, c.Get(workPage+tab).Body, `name="seen" value="(\d+)"`)
}

// Each form through the journal, with who wrote it.
func TestWorkIsWrittenDown(t *testing.T) {
	f := fixture(t)
	dir := f.Copy(t, "incident")
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: nothing, Approvals: 2})
	ana, rene, rolf := s.As(t, auth.Analyst), s.As(t, auth.Responder), s.Named(t, "rolf")
	check := func(what string, a webtest.Answer, to string, kind journal.Kind, by, holds string) {
		t.Helper()
		want(t, what, a, 303)
		if got := a.Header.Get("Location"); got != to {
			t.Errorf("%s leads to %q, want %q", what, got, to)
		}
		if e := last(t, dir); e.Kind != kind || e.Author.Name != by || e.Author.User != "server" || e.Author.Claimed || !strings.Contains(string(e.Payload), holds) {
			t.Errorf("%s: written down is %s by %+v: %s", what, e.Kind, e.Author, e.Payload)
		}
	}
	check("a note", ana.Post(workPage+"note", "text", "seen at the desk", "kind", "note", "seen", seen(t, ana, "journal")), workPage+"journal", journal.Note, "ana", "seen at the desk")
	check("a decision", ana.Post(workPage+"note", "text", "we go on", "kind", "decision"), workPage+"journal", journal.Decision, "ana", "we go on")
	page := ana.Get(workPage + "journal").Body
	if !strings.Contains(page, "seen at the desk") || strings.Index(page, "we go on") > strings.Index(page, "seen at the desk") {
		t.Error("the journal does not show both, the newest first")
	}

	page = rene.Get(workPage + "secrets").Body
	ids := regexp.MustCompile(`name="id" value="(s-[0-9a-f]+)"`).FindAllStringSubmatch(page, -1)
	if len(ids) < 10 {
		t.Fatalf("%d secrets are listed", len(ids))
	}
	check("secrets", rene.Post(workPage+"secrets", "id", ids[0][1], "id", ids[1][1], "state", "rotated", "reason", "changed", "seen", seen(t, rene, "secrets")), workPage+"secrets", journal.SecretState, "rene", ids[1][1])
	want(t, "secrets, none chosen", rene.Post(workPage+"secrets", "state", "rotated", "reason", "x"), 422)
	want(t, "a secret that is not there", rene.Post(workPage+"secrets", "id", "s-0000", "state", "rotated", "reason", "x"), 422)
	want(t, "a state that is none", rene.Post(workPage+"secrets", "id", ids[0][1], "state", "gone", "reason", "x"), 422)
	page = rene.Get("/c/incident/").Body
	if !strings.Contains(page, "2 dealt with") {
		t.Error("the overview does not count the secrets that were dealt with")
	}

	notice := field(t, rene.Get(workPage+"notices").Body, `name="id" value="(n-[0-9a-f]+)"`)
	want(t, "acknowledged before it was sent", rene.Post(workPage+"notices", "id", notice, "state", "acknowledged"), 422)
	check("a notice", rene.Post(workPage+"notices", "id", notice, "state", "sent", "reason", "by mail", "seen", seen(t, rene, "notices")), workPage+"notices", journal.NoticeState, "rene", notice)
	check("a notice acknowledged", rene.Post(workPage+"notices", "id", notice, "state", "acknowledged", "at", s.Clock.Now().Format("2006-01-02 15:04"), "reason", "by telephone"), workPage+"notices", journal.NoticeState, "rene", "by telephone")
	want(t, "at a time that is none", rene.Post(workPage+"notices", "id", notice, "state", "sent", "at", "yesterday"), 422)
	want(t, "at a time to come", rene.Post(workPage+"notices", "id", notice, "state", "sent", "at", "2290-01-01"), 422)

	event := field(t, rene.Get(workPage+"clocks").Body, `<option value="([a-z_]+)"`)
	want(t, "a clock without a time", rene.Post(workPage+"clocks", "what", "start", "id", event, "reason", "counsel"), 422)
	check("a clock", rene.Post(workPage+"clocks", "what", "start", "id", event, "at", s.Clock.Now().Add(-3600e9).Format("2006-01-02 15:04"), "reason", "counsel"), workPage+"clocks", journal.Decision, "rene", event)
	clock := field(t, rene.Get(workPage+"clocks").Body, `name="what" value="filed"><input type="hidden" name="id" value="([^"]+)"`)
	check("filed", rene.Post(workPage+"clocks", "what", "filed", "id", clock, "reason", "reference 7"), workPage+"clocks", journal.Decision, "rene", clock)
	if page := rene.Get(workPage + "clocks").Body; !strings.Contains(page, "reference 7") {
		t.Error("what was filed is not shown")
	}

	page = rene.Get(workPage + "containment").Body
	plan, step := field(t, page, `name="plan" value="([^"]+)"`), field(t, page, `name="id" value="([^"]+)"`)
	item := func(page string) string {
		_, after, _ := strings.Cut(page, `id="step-`+step+`"`)
		after, _, _ = strings.Cut(after, "<details>")
		return after
	}
	check("an approval", rene.Post(workPage+"containment", "plan", plan, "id", step, "what", "approve", "reason", "agreed"), workPage+"containment", journal.ContainApprove, "rene", step)
	if s := item(rolf.Get(workPage + "containment").Body); strings.Contains(s, ">Approved<") || !strings.Contains(s, "rene") {
		t.Errorf("one of two people approved, and it says %s", s)
	}
	check("the same person again", rene.Post(workPage+"containment", "plan", plan, "id", step, "what", "approve", "reason", "still"), workPage+"containment", journal.ContainApprove, "rene", step)
	if s := item(rolf.Get(workPage + "containment").Body); strings.Contains(s, ">Approved<") {
		t.Error("one person counts twice")
	}
	check("another approval", rolf.Post(workPage+"containment", "plan", plan, "id", step, "what", "approve", "reason", "agreed"), workPage+"containment", journal.ContainApprove, "rolf", step)
	if s := item(rolf.Get(workPage + "containment").Body); !strings.Contains(s, ">Approved<") {
		t.Errorf("two people approved, and it says %s", s)
	}
	check("withdrawn", rolf.Post(workPage+"containment", "plan", plan, "id", step, "what", "withdraw", "reason", "wait"), workPage+"containment", journal.ContainApprove, "rolf", "wait")
	want(t, "an approval of another plan", rolf.Post(workPage+"containment", "plan", "0", "id", step, "what", "approve", "reason", "x"), 422)
	n := len(entries(t, dir))
	// Without a reason, or about nothing, nothing is written.
	for tab, kv := range map[string][]string{
		"campaigns": {"what", "exclude", "id", "f-0", "reason", "x"}, "containment": {"plan", plan, "id", step}, "clocks": {"what", "start", "id", event, "at", "2024-01-01"}, "note": {"text", "  "}, "secrets": {"id", ids[3][1], "state", "rotated", "reason", " "},
	} {
		want(t, tab+" without what is needed", rene.Post(workPage+tab, kv...), 422)
	}
	if got := len(entries(t, dir)); got != n {
		t.Errorf("%d entries were written by forms that were refused", got-n)
	}
}

// Two people at once: who comes second is shown what the first wrote, and
// nothing is written over it.
func TestTwoPeopleAtOnce(t *testing.T) {
	f := fixture(t)
	dir := f.Copy(t, "incident")
	k := know(t, dir)
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: nothing})
	ana, rene, rolf := s.As(t, auth.Analyst), s.As(t, auth.Responder), s.Named(t, "rolf")
	secret := field(t, rene.Get(workPage+"secrets").Body, `name="id" value="(s-[0-9a-f]+)"`)
	notice := field(t, rene.Get(workPage+"notices").Body, `name="id" value="(n-[0-9a-f]+)"`)
	event := field(t, rene.Get(workPage+"clocks").Body, `<option value="([a-z_]+)"`)
	page := rene.Get(workPage + "containment").Body
	plan, step := field(t, page, `name="plan" value="([^"]+)"`), field(t, page, `name="id" value="([^"]+)"`)
	for _, x := range []struct {
		tab           string
		first, second *webtest.Client
		kv            []string
	}{
		{"campaigns", ana, rene, []string{"what", "exclude", "id", k.Finding, "reason"}},
		{"secrets", rene, rolf, []string{"id", secret, "state", "rotated", "reason"}},
		{"notices", rene, rolf, []string{"id", notice, "state", "sent", "reason"}},
		{"clocks", rene, rolf, []string{"what", "start", "id", event, "at", "2024-01-12", "reason"}},
		{"containment", rene, rolf, []string{"plan", plan, "id", step, "what", "approve", "reason"}},
		{"questions/saved", ana, rene, []string{"name", "x", "sql", "SELECT 1", "why"}},
	} {
		path, tab := workPage+x.tab, x.tab
		if strings.HasPrefix(tab, "questions") {
			path, tab = "/c/incident/"+x.tab, "journal"
		}
		before := seen(t, x.second, tab)
		want(t, x.tab+", first", x.first.Post(path, append(x.kv, "the first says <b>this</b>", "seen", seen(t, x.first, tab))...), 303)
		n := len(entries(t, dir))
		a := x.second.Post(path, append(x.kv, "the second says that", "seen", before)...)
		want(t, x.tab+", second", a, 409)
		if x.tab != "containment" && !strings.Contains(html.UnescapeString(a.Body), "the first says <b>this</b>") || strings.Contains(a.Body, "<b>this</b>") {
			t.Errorf("%s: what the first wrote is not shown: %s", x.tab, said(a.Body))
		}
		// What somebody typed is not lost: they can take it from here.
		if !strings.Contains(a.Body, "the second says that") {
			t.Errorf("%s: what the second typed is lost: %s", x.tab, said(a.Body))
		}
		if len(entries(t, dir)) != n {
			t.Errorf("%s: both are written", x.tab)
		}
		if again := field(t, a.Body, `name="seen" value="(\d+)"`); again != fmt.Sprint(n) || !strings.Contains(a.Body, `action="`+path+`"`) {
			t.Errorf("%s: the second cannot send it again from there: entry %s, the last is %d", x.tab, again, n)
		}
		want(t, x.tab+", second, having read it", x.second.Post(path, append(x.kv, "the second says that", "seen", seen(t, x.second, tab))...), 303)
	}
	// Many at once, none of whom is in another's way.
	var wait sync.WaitGroup
	n := len(entries(t, dir))
	for i := range 30 {
		c := []*webtest.Client{ana, rene, rolf}[i%3]
		wait.Go(func() {
			if a := c.Post(workPage+"note", "text", fmt.Sprintf("note %d.", i), "seen", "1"); a.Status != 303 {
				t.Errorf("note %d: status %d", i, a.Status)
			}
		})
	}
	wait.Wait()
	all := entries(t, dir)
	if len(all) != n+30 {
		t.Errorf("%d notes of 30 are there", len(all)-n)
	}
	// A page that is open hears of it.
	a := ana.Get(fmt.Sprintf("/c/incident/changes?since=%d", n))
	var c struct {
		Head    int64
		Entries []string
	}
	if err := json.Unmarshal([]byte(a.Body), &c); err != nil || c.Head != int64(n+30) || len(c.Entries) != 5 || !strings.Contains(c.Entries[4], fmt.Sprintf("entry %d", n+30)) {
		t.Errorf("changes: %v %+v", err, c)
	}
}

// After a decision about campaigns the case is made anew, and shown; requests
// that run meanwhile have the old one, whole.
func TestCaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	f := fixture(t)
	dir := f.Copy(t, "incident")
	k := know(t, dir)
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now()})
	c := s.As(t, auth.Responder)
	inCampaign := func(finding string) bool {
		a := c.Get("/c/incident/findings/" + finding)
		want(t, "finding", a, 200)
		return strings.Contains(a.Body, "/c/incident/campaigns/")
	}
	made := func() float64 {
		var x struct{ Made float64 }
		a := c.Get("/c/incident/changes?since=0")
		want(t, "changes", a, 200)
		if err := json.Unmarshal([]byte(a.Body), &x); err != nil {
			t.Fatal(err)
		}
		return x.Made
	}
	was := made()
	want(t, "a decision", c.Post(workPage+"campaigns", "what", "exclude", "id", k.Finding, "reason", "our own <test>", "seen", seen(t, c, "campaigns")), 303)
	if a := c.Get(workPage + "campaigns"); !strings.Contains(a.Body, "being made anew") || !strings.Contains(a.Body, "our own &lt;test&gt;") {
		t.Error("it is not told that the case is being made anew")
	}
	// Pages are whole all the time.
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, p := range []string{"/messages", "/timeline", "/", "/records?actor=svc-test@fabrikam-test.example", "/mailboxes.csv"} {
					if a := c.Get("/c/incident" + p); a.Status != 200 || len(a.Body) < 500 {
						t.Errorf("while the case is made anew %s has status %d: %s", p, a.Status, said(a.Body))
						return
					}
				}
			}
		})
	}
	webtest.Eventually(t, "the case is made anew", func() bool { return made() != was })
	webtest.Eventually(t, "nothing is running", func() bool { return !strings.Contains(c.Get(workPage+"campaigns").Body, "being made anew") })
	close(stop)
	wait.Wait()
	if inCampaign(k.Finding) {
		t.Error("the finding was left out, and is in a campaign still")
	}
	// Undone, and two decisions while it runs: the last state counts.
	seq := field(t, c.Get(workPage+"campaigns").Body, `name="entry" value="(\d+)"`)
	want(t, "undone", c.Post(workPage+"campaigns", "what", "undo", "entry", seq, "reason", "it was not", "seen", seen(t, c, "campaigns")), 303)
	other := k.Campaigns[0].Findings[1]
	want(t, "another decision", c.Post(workPage+"campaigns", "what", "split", "id", other, "reason", "somebody else"), 303)
	webtest.Eventually(t, "both decisions are followed", func() bool {
		page := c.Get(workPage + "campaigns").Body
		return !strings.Contains(page, "being made anew") && !strings.Contains(page, "does not follow") && inCampaign(k.Finding)
	})
	if s.Log() != "" && strings.Contains(s.Log(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", s.Log())
	}
	// By others, outside of the server.
	was = made()
	if _, err := f.Run(t.Context(), "campaign", "exclude", dir, "ip", k.Campaigns[0].IPs[0].IP, "--reason", "from outside"); err != nil {
		t.Fatal(err)
	}
	webtest.Eventually(t, "what was done outside is noticed", func() bool { return made() != was })
	if page := c.Get(workPage + "campaigns").Body; !strings.Contains(page, "from outside") {
		t.Error("the decision from outside is not shown")
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "midwatch-desk-*", "*")); err == nil && len(left) > 40 {
		t.Errorf("%d files of old states lie about", len(left))
	}
}

// A run that fails is told, and the old state is shown on.
func TestCaseCannotBeMadeAnew(t *testing.T) {
	f := fixture(t)
	dir := f.Copy(t, "incident")
	k := know(t, dir)
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: failing})
	c := s.As(t, auth.Responder)
	want(t, "a decision", c.Post(workPage+"campaigns", "what", "exclude", "id", k.Finding, "reason", "x"), 303)
	webtest.Eventually(t, "it is told that it failed", func() bool {
		return strings.Contains(c.Get(workPage+"campaigns").Body, "no room on the &lt;disk&gt;")
	})
	want(t, "the old state", c.Get("/c/incident/"), 200)
	// A case that is damaged is shown as it was before.
	if err := os.WriteFile(filepath.Join(dir, "case.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	webtest.Eventually(t, "the log tells that the case cannot be read", func() bool { return strings.Contains(s.Log(), "cannot be read anew") })
	want(t, "the old state", c.Get("/c/incident/messages"), 200)
	// A journal that is damaged is told, and nothing is lost by it.
	if err := os.WriteFile(filepath.Join(dir, "journal.ndjson"), []byte("{\"seq\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", "findings", "mailboxes", "timeline", "messages", "questions"} {
		want(t, p+" with a damaged journal", c.Get("/c/incident/"+p), 200)
	}
	a := c.Get(workPage + "journal")
	if a.Status != 503 || !strings.Contains(a.Body, "journal verify") {
		t.Errorf("a damaged journal: status %d, %s", a.Status, said(a.Body))
	}
}

// Several cases: each has its own pages.
func TestSeveralCases(t *testing.T) {
	f := fixture(t)
	one, two := f.Copy(t, "one"), f.Copy(t, "two")
	s := f.Serve(t, webtest.Options{Dirs: []string{one, two}, Start: now(), Redo: nothing})
	c := s.As(t, auth.Analyst)
	a := c.Get("/")
	want(t, "home", a, 200)
	if !strings.Contains(a.Body, `href="/c/one/"`) || !strings.Contains(a.Body, `href="/c/two/"`) {
		t.Error("not all cases are listed")
	}
	want(t, "a note", c.Post("/c/two/work/note", "text", "only here"), 303)
	if strings.Contains(c.Get("/c/one/work/journal").Body, "only here") || !strings.Contains(c.Get("/c/two/work/journal").Body, "only here") {
		t.Error("the note is in the wrong case")
	}
	want(t, "messages", c.Get("/c/one/messages"), 200)
	if _, err := os.Stat(filepath.Join(two, "access.ndjson")); err == nil {
		t.Error("a read of one case is written down in the other")
	}
}
