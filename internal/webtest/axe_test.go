package webtest_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"midwatch/internal/browsertest"
	"midwatch/internal/webtest"
	"midwatch/web/auth"
)

// Every page, light and dark, in a wide window and in that of a telephone: no
// rule of accessibility is broken, no page is wider than its window, and nothing
// is asked for elsewhere.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	f := fixture(t)
	browser, axe := browsertest.Start(t), browsertest.Axe(t)
	dir := f.Copy(t, "incident")
	ids := idsOf(readCase(t, dir))
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now()})
	// Something of everything that people write.
	c := s.As(t, auth.Responder)
	for _, p := range [][]string{
		{"/work/note", "text", "a note"}, {"/work/campaigns", "what", "exclude", "id", ids.Finding, "reason", "a test"}, {"/questions/saved", "name", "x", "sql", "SELECT 1"},
		{"/work/clocks", "what", "start", "id", "aware", "at", "2024-01-12", "reason", "counsel"},
	} {
		c.Post("/c/incident"+p[0], p[1:]...)
	}
	report := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(report.Close)
	pages := append(webtest.Pages("incident", ids),
		webtest.Page{Name: "answer", Path: "/c/incident/questions?sql=SELECT+mailbox,+count(*)+FROM+messages+GROUP+BY+ALL"},
		webtest.Page{Name: "graph, opened", Path: "/c/incident/graph"}, webtest.Page{Name: "conflict", Path: "/c/incident/work/journal"})
	var wait sync.WaitGroup
	for _, scheme := range []string{"light", "dark"} {
		w := open(t, browser, s.URL)
		for _, wide := range []int64{1280, 380} {
			w.size(wide, scheme)
			w.goTo("/login")
			for _, v := range w.violations(axe) {
				t.Errorf("login, %s, %d: %s", scheme, wide, v)
			}
			w.narrow("login")
		}
		s.Clock.Add(20e9)
		w.logIn("rene")
		r := open(t, browser, report.URL)
		wait.Go(func() {
			for _, wide := range []int64{1280, 380} {
				w.size(wide, scheme)
				r.size(wide, scheme)
				for _, p := range pages {
					where := p.Name + ", " + scheme + ", " + map[int64]string{1280: "wide", 380: "narrow"}[wide]
					w.goTo(p.Path)
					switch p.Name {
					case "answer":
						w.press(".sql .buttons button")
					case "graph, opened":
						w.press(map[int64]string{1280: ".broad", 380: ".narrow"}[wide] + `.graph a[href*="open="]`)
					case "conflict":
						js[bool](w, `document.querySelector("main form [name=text]").value = "x", document.querySelectorAll("main form [name=seen]").forEach(e => e.value = "9999"), true`)
						w.press("main form button")
					}
					js[int](w, `document.querySelectorAll("details").forEach(d => d.open = true), 1`)
					w.narrow(where)
					w.clean(where)
					for _, v := range w.violations(axe) {
						t.Errorf("%s: %s", where, v)
					}
					w.mu.Lock()
					w.bad = nil // axe may do what it likes
					w.mu.Unlock()
				}
				r.goTo("/report.html")
				r.narrow("report.html")
				r.clean("report.html")
				for _, v := range r.violations(axe) {
					t.Errorf("report.html, %s, %d: %s", scheme, wide, v)
				}
			}
		})
	}
	wait.Wait()
}
