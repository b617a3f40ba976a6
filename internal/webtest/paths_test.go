package webtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"midwatch/internal/browsertest"
	"midwatch/internal/webtest"
	"midwatch/web/auth"
)

func (w *window) has(text string) {
	w.t.Helper()
	w.until("the page says "+text, fmt.Sprintf("document.body.innerText.toLowerCase().includes(%q)", strings.ToLower(text)))
}

func (w *window) path() string {
	w.t.Helper()
	return js[string](w, "location.pathname + location.search")
}

// script says whether pages may run theirs.
func (w *window) script(on bool) {
	w.t.Helper()
	if _, err := chromedp.Call(w.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}); err != nil {
		w.t.Fatal(err)
	}
}

// key presses a key and waits for another page.
func (w *window) key(k string) {
	w.t.Helper()
	w.leave(func() { w.do(chromedp.KeyEvent(k)) })
}

// The paths that people take, with the script of the pages and without.
func TestMainPaths(t *testing.T) {
	f := fixture(t)
	browser := browsertest.Start(t)
	for _, script := range []bool{true, false} {
		name := "with the script"
		if !script {
			name = "without any script"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.Copy(t, "incident")
			c := readCase(t, dir)
			ids := idsOf(c)
			s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Approvals: 2})
			w := open(t, browser, s.URL)
			w.script(script)

			// In by password; what was wanted is shown.
			w.goTo("/login?next=/c/incident/findings")
			w.do(chromedp.SendKeys("#name", "rene"), chromedp.SendKeys("#password", "wrong wrong wrong"))
			w.press(".credentials button")
			w.has("is wrong")
			w.do(chromedp.SetValue("#name", "rene"), chromedp.SendKeys("#password", webtest.Password))
			w.press(".credentials button")
			if w.path() != "/c/incident/findings" {
				t.Errorf("the login leads to %s", w.path())
			}

			// From the first page to the bytes: a number, the mailbox, the message's record, its raw bytes.
			w.goTo("/c/incident/")
			w.press(`main a[href*="/mailboxes?campaign="]`)
			w.press(fmt.Sprintf(`main table a[href="/c/incident/mailboxes/%s/%s"]`, ids.Campaign, ids.Mailbox))
			w.has(ids.Mailbox)
			w.press(`main table a[href*="/records/"]`)
			w.has("As it stands in the file")
			if js[int](w, `document.querySelectorAll('a[href$="/raw"]').length`) != 1 {
				t.Error("the record has no download")
			}
			w.press(`.claims a[href*="/mailboxes/"]`)
			w.has("Messages that records name")
			// Any claim leads to its record in two clicks.
			w.goTo("/c/incident/findings")
			w.press(`main table a[href*="/findings/"]`)
			w.press(`main a[href*="/records/"]`)
			w.has("What stands on it")

			// A record by its id.
			w.do(chromedp.SendKeys("#jump-q", ids.Record))
			w.leave(func() { w.do(chromedp.SendKeys("#jump-q", "\r")) })
			if w.path() != "/c/incident/records/"+ids.Record {
				t.Errorf("the search for an id leads to %s", w.path())
			}

			// Messages: sorted, paged, filtered, and what was chosen stays.
			w.goTo("/c/incident/messages")
			first := `document.querySelector("main tbody tr").innerText`
			was := js[string](w, first)
			w.press(`th a[href*="sort=bytes"]`)
			w.press(`th a[href*="sort=-bytes"]`)
			if js[string](w, `document.querySelector("th[aria-sort=descending]").innerText.trim()`) == "" || js[string](w, first) == was {
				t.Error("the messages are not sorted")
			}
			top := js[string](w, first)
			w.press(`a[rel=next]`)
			if js[string](w, first) == top || !strings.Contains(w.path(), "sort=-bytes") {
				t.Errorf("the next page, %s", w.path())
			}
			w.press(`a[rel=prev]`)
			if js[string](w, first) != top {
				t.Error("the first page is another than it was")
			}
			js[bool](w, `document.querySelectorAll("details").forEach(d => d.open = true), true`)
			w.do(chromedp.SetValue("#f-mailbox", ids.Mailbox))
			w.press(".filters .buttons button")
			if n := js[int](w, `[...document.querySelectorAll("main tbody tr")].filter(r => !r.innerText.includes("`+strings.Split(ids.Mailbox, "@")[0]+`")).length`); n != 0 || js[int](w, `document.querySelectorAll("main tbody tr").length`) == 0 {
				t.Errorf("%d rows of other mailboxes", n)
			}
			if !strings.Contains(w.path(), "sort=-bytes") {
				t.Error("the filter takes the order away")
			}
			w.goTo("/c/incident/mailboxes")
			js[bool](w, `document.querySelectorAll("details").forEach(d => d.open = true), true`)
			w.do(chromedp.SetValue("#f-least", "many"))
			w.press(".filters .buttons button")
			w.has("expected a number")
			js[bool](w, `document.querySelectorAll("details").forEach(d => d.open = true), true`)
			w.do(chromedp.SetValue("#f-least", "20"))
			w.press(".filters .buttons button")
			if n := js[int](w, `document.querySelectorAll("main tbody tr").length`); n == 0 || n >= len(c.Campaigns[0].Mailboxes) {
				t.Errorf("%d mailboxes with 20 messages", n)
			}

			// The time line.
			w.goTo("/c/incident/timeline")
			span := `document.querySelector(".zoomable").dataset.end - document.querySelector(".zoomable").dataset.start`
			whole := js[float64](w, span)
			move := func(key, link string) {
				t.Helper()
				if script {
					w.key(key)
				} else {
					w.press(`[data-key="` + link + `"]`)
				}
			}
			move("+", "+")
			if js[float64](w, span) >= whole {
				t.Error("plus does not zoom in")
			}
			start := js[string](w, `document.querySelector(".zoomable").dataset.start`)
			move(kb.ArrowRight, "ArrowRight")
			if js[string](w, `document.querySelector(".zoomable").dataset.start`) <= start {
				t.Error("the right arrow does not lead on")
			}
			move("-", "-")
			move("0", "0")
			if js[float64](w, span) != whole {
				t.Error("zero does not show all")
			}
			if script {
				box := js[[]float64](w, `(() => { const l = [...document.querySelectorAll(".zoomable .laneline")].find(l => l.getClientRects().length > 0), s = l.closest("svg"); s.scrollIntoView({block: "center"}); const r = s.getBoundingClientRect(), k = r.width / s.viewBox.baseVal.width, at = f => r.left + k * (l.x1.baseVal.value * (1 - f) + l.x2.baseVal.value * f); return [at(0.3), at(0.6), r.top + 4] })()`)
				w.leave(func() {
					w.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, box[0], box[2], chromedp.ButtonLeft, chromedp.ClickCount(1)), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, (box[0]+box[1])/2, box[2], chromedp.ButtonLeft), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[1], box[2], chromedp.ButtonLeft), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, box[1], box[2], chromedp.ButtonLeft, chromedp.ClickCount(1)))
				})
				if got := js[float64](w, span) / whole; got < 0.2 || got > 0.4 {
					t.Errorf("dragging over three tenths shows %.2f of it", got)
				}
			}

			// A group of the graph, opened.
			w.goTo("/c/incident/graph")
			w.press(`.broad.graph a[href*="open="]`)
			if !strings.Contains(w.path(), "open=") {
				t.Errorf("opening a group leads to %s", w.path())
			}

			// A question, asked and kept.
			w.goTo("/c/incident/questions")
			w.do(chromedp.SendKeys("#sql", "SELECT 6 * 7 AS answer"))
			if script {
				w.leave(func() {
					w.do(chromedp.Focus("#sql"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
				})
			} else {
				w.press(".sql .buttons button")
			}
			w.until("the answer", `document.querySelector("main table td").innerText.trim() === "42"`)
			w.do(chromedp.Click("form.sql details summary"), chromedp.SendKeys("#qname", "the answer"))
			w.press(`button[formaction$="/saved"]`)
			w.press(`.saved li a`)
			if js[string](w, `document.querySelector("#sql").value.trim()`) != "SELECT 6 * 7 AS answer" {
				t.Error("the question that was kept is another")
			}

			// Secrets, notices, clocks, approvals.
			w.goTo("/c/incident/work/secrets")
			w.do(chromedp.Click("tbody input[name=id]"), chromedp.SendKeys("#s-reason", "the old one is refused"))
			w.press(`button[value=rotated]`)
			w.until("the secret is rotated", `[...document.querySelectorAll("tbody tr")].some(r => r.innerText.includes("rotated") && r.innerText.includes("rene"))`)
			w.goTo("/c/incident/work/notices")
			for _, state := range []string{"sent", "acknowledged"} {
				js[bool](w, `document.querySelector("tbody form [name=state]").value = "`+state+`", document.querySelector("tbody form [name=reason]").value = "`+state+` by mail", true`)
				js[bool](w, `document.querySelectorAll("main details").forEach(d => d.open = true), true`)
				w.press("tbody form button")
				w.has(state + " by mail")
				// The one that was told is the last; the next step is about it.
				js[bool](w, `(() => { const r = [...document.querySelectorAll("tbody tr")].find(r => r.innerText.includes("sent by mail")); r.parentElement.prepend(r); return true })()`)
			}
			w.goTo("/c/incident/work/clocks")
			js[bool](w, `document.querySelectorAll("main details").forEach(d => d.open = true), true`)
			w.do(chromedp.SetValue("#c-at", "2024-01-12 09:30"), chromedp.SendKeys("#c-reason", "counsel says so"))
			w.press(`button[value=start]`)
			w.has("counsel says so")
			js[bool](w, `document.querySelector(".clock form [name=reason]").value = "reference 7", true`)
			js[bool](w, `document.querySelectorAll("main details").forEach(d => d.open = true), true`)
			w.press(".clock form button")
			w.has("reference 7")
			w.goTo("/c/incident/work/containment")
			approve := func(w *window) {
				w.t.Helper()
				w.do(chromedp.Click(".plan input[name=id]"), chromedp.SendKeys("#a-reason", "agreed"))
				w.press(`button[value=approve]`)
			}
			approve(w)
			w.until("one of two", `!document.querySelector(".plan li .approvals .ok") && document.querySelector(".plan li .approval")`)
			s.Clock.Add(20 * time.Second)
			other := open(t, browser, s.URL)
			other.script(script)
			other.logIn("rolf")
			other.goTo("/c/incident/work/containment")
			approve(other)
			other.until("two of two", `document.querySelector(".plan li .approvals .ok")`)

			// Join, split, leave out: with a reason, and the new case is shown.
			w.goTo("/c/incident/findings/" + ids.Finding)
			w.press(`a[href*="/work/campaigns?finding="]`)
			w.do(chromedp.SendKeys("#w-reason", "our own test of "+name))
			w.press(".decide button")
			w.has("our own test of " + name)
			w.has("being made anew")
			webtest.Eventually(t, "the new case", func() bool {
				w.goTo("/c/incident/findings/" + ids.Finding)
				return !js[bool](w, `!!document.querySelector(".crumbs a[href*='/campaigns/']")`)
			})
			for what, from := range map[string]int{"split": 1, "join": 2} {
				w.goTo("/c/incident/work/campaigns")
				js[bool](w, fmt.Sprintf(`(() => { document.querySelector("[name=what][value=%s]").checked = true; [...document.querySelectorAll(".choose label")].filter(l => l.innerText.includes(", in c-")).slice(%d, %d).forEach(l => l.querySelector("input").checked = true); return true })()`, what, from, from+from))
				w.do(chromedp.SendKeys("#w-reason", "a "+what))
				w.press(".decide button")
				w.has("a " + what)
			}
			webtest.Eventually(t, "nothing runs", func() bool {
				w.goTo("/c/incident/work/campaigns")
				return !strings.Contains(js[string](w, "document.body.innerText"), "being made anew")
			})
			w.has("a split")

			// Somebody else's change is announced, and nothing that was typed is lost.
			w.goTo("/c/incident/work/journal")
			w.do(chromedp.SendKeys("#n-text", "half a sent"))
			s.Clock.Add(20 * time.Second)
			s.As(t, auth.Analyst).Post("/c/incident/work/note", "text", "ana was here")
			if script {
				w.has("ana was here")
				if js[string](w, `document.querySelector("#n-text").value`) != "half a sent" || !js[bool](w, `!document.querySelector(".banner.live").hidden`) {
					t.Error("what was typed is lost")
				}
			}
			w.do(chromedp.SendKeys("#n-text", "ence"))
			w.press("button[value=note]")
			w.has("half a sentence")
			w.has("ana was here")

			// Out, and what was shown is not shown again.
			w.press(`form[action="/logout"] button`)
			if !strings.HasPrefix(w.path(), "/login") {
				t.Errorf("logging out leads to %s", w.path())
			}
			w.do(chromedp.Navigate(s.URL + "/c/incident/messages"))
			if !strings.HasPrefix(w.path(), "/login") {
				t.Error("after the logout messages are shown")
			}
			// A session that is not used ends.
			other.goTo("/c/incident/")
			s.Clock.Add(31 * time.Minute)
			other.do(chromedp.Navigate(s.URL + "/c/incident/messages"))
			if other.path() != "/login?next=%2Fc%2Fincident%2Fmessages" {
				t.Errorf("after the session's end: %s", other.path())
			}
			w.clean(name)
			other.clean(name)
		})
	}
}

// The link that the server prints works once.
func TestLinkInBrowser(t *testing.T) {
	f := fixture(t)
	browser := browsertest.Start(t)
	s := f.Serve(t, webtest.Options{Dirs: []string{f.Copy(t, "incident")}, Start: now(), OneTime: "rene"})
	for i, want := range []string{"/c/incident/", "/login"} {
		w := open(t, browser, s.URL)
		w.do(navigate(s.Link)...)
		w.press("main button")
		if got := w.path(); got != want {
			t.Errorf("coming in by the link, time %d, leads to %s, want %s", i+1, got, want)
		}
		if i == 1 {
			w.has("used already")
		}
	}
}
