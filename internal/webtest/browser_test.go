package webtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"midwatch/casefile"
	"midwatch/internal/webtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if fixtureDir != "" {
		_ = os.RemoveAll(fixtureDir)
	}
	os.Exit(code)
}

var fixtureDir string

var made = sync.OnceValues(func() (*webtest.Fixture, error) {
	var err error
	if fixtureDir, err = os.MkdirTemp("", "midwatch-browser-"); err != nil {
		return nil, err
	}
	return webtest.Make(context.Background(), fixtureDir)
})

func fixture(t testing.TB) *webtest.Fixture {
	t.Helper()
	f, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func readCase(t testing.TB, dir string) *casefile.Case {
	t.Helper()
	f, err := os.Open(dir + "/case.json")
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

// idsOf are ids in a case.
func idsOf(c *casefile.Case) (ids webtest.IDs) {
	x := &c.Campaigns[0]
	ids.Campaign, ids.Finding = x.ID, x.Findings[0]
	best := 0
	for _, m := range x.Mailboxes {
		if len(m.Messages) > best {
			best, ids.Mailbox, ids.Record = len(m.Messages), m.UPN, m.Messages[0].Events[0]
		}
	}
	return ids
}

// window is a window of a browser, with cookies of its own.
type window struct {
	t      testing.TB
	ctx    context.Context
	origin string

	mu  sync.Mutex
	bad []string // what must not happen: requests elsewhere, dialogs, violations of the policy, exceptions
}

// open opens a window of the browser that parent is of.
func open(t testing.TB, parent context.Context, origin string) *window {
	t.Helper()
	w := &window{t: t, origin: origin}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.hear))
	t.Cleanup(cancel)
	w.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // the window lives as long as the context of its first step
		t.Fatal(err)
	}
	w.do(chromedp.EmulateViewport(1280, 900))
	return w
}

func (w *window) hear(ev any) {
	say := func(format string, args ...any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.bad = append(w.bad, fmt.Sprintf(format, args...))
	}
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, w.origin+"/") && !strings.HasPrefix(u, "data:") && u != "about:blank" {
			say("a request to %.200s", u)
		}
	case *page.EventJavascriptDialogOpening:
		say("a dialog: %s", e.Message)
		go func() { // it holds the page up
			_, _ = chromedp.Call(w.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	case *runtime.EventExceptionThrown:
		say("an exception: %s", e.ExceptionDetails.Text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Source != "network" && (e.Entry.Level == "error" || e.Entry.Source == "security") {
			say("%s: %.300s", e.Entry.Source, e.Entry.Text)
		}
	}
}

// clean fails the test for what must not have happened.
func (w *window) clean(where string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.bad {
		w.t.Errorf("%s: %s", where, b)
	}
	w.bad = nil
}

// soon bounds what is done in a window.
func (w *window) soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.ctx, 30*time.Second)
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := w.soon()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("%v\n%s", err, w.shown())
	}
}

// shown is where a window is, and what it shows.
func (w *window) shown() string {
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
	defer cancel()
	s, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.querySelector("main")||document.body).innerText.slice(0,600)`))
	return s
}

func navigate(url string) []chromedp.Action[chromedp.Void] {
	return []chromedp.Action[chromedp.Void]{chromedp.Navigate(url), chromedp.WaitReady("main")}
}

// goTo opens a page and waits for it.
func (w *window) goTo(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.origin+path), chromedp.WaitReady("main"))
	if at := js[string](w, "location.pathname"); at == "/login" && !strings.HasPrefix(path, "/login") {
		w.t.Fatalf("%s leads to the login", path)
	}
}

// js evaluates an expression.
func js[T any](w *window, expr string) T {
	w.t.Helper()
	ctx, cancel := w.soon()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expr, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%.200s: %v", expr, err)
	}
	return v
}

// until waits for an expression to hold.
func (w *window) until(what, expr string) {
	w.t.Helper()
	for range 300 {
		ctx, cancel := w.soon()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expr+")"))
		cancel()
		if err == nil && ok {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Fatalf("waited 15 seconds: %s\n%s", what, w.shown())
}

// press clicks on the first element that a selector finds, and waits until
// another page is there.
func (w *window) press(sel string) {
	w.t.Helper()
	w.leave(func() {
		// The first that is seen: pictures have a form for narrow windows, too.
		if !js[bool](w, fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%q)].find(e => e.getClientRects().length > 0); if (e) e.setAttribute("data-press", ""); return !!e })()`, sel)) {
			w.t.Fatalf("nothing to press on is like %s\n%s", sel, w.shown())
		}
		w.do(chromedp.ScrollIntoView("[data-press]"))
		if at := js[string](w, `(() => { const e = document.querySelector("[data-press]"), r = e.getClientRects()[0], x = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2); return !x || e === x || e.contains(x) || x.contains(e) ? "" : x.outerHTML.slice(0, 200) })()`); at != "" {
			w.t.Errorf("%s lies below %s", sel, at)
		}
		w.do(chromedp.Click("[data-press]"))
	})
}

// leave does what leads to another page, and waits for that.
func (w *window) leave(act func()) {
	w.t.Helper()
	js[bool](w, `window.left = true`)
	act()
	w.until("another page", `window.left === undefined && document.readyState === "complete"`)
}

// size sets the window's, and how bright it is.
func (w *window) size(wide int64, scheme string) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(wide, 900))
	if _, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
		w.t.Fatal(err)
	}
}

// logIn comes in by password.
func (w *window) logIn(name string) {
	w.t.Helper()
	w.goTo("/login")
	w.do(chromedp.SendKeys("#name", name), chromedp.SendKeys("#password", webtest.Password))
	w.press(`.credentials button`)
}

// narrow fails the test where a page is wider than its window.
func (w *window) narrow(where string) {
	w.t.Helper()
	got := js[struct {
		Page, Window int
		Wide         []string
	}](w, `(() => {
		const win = document.documentElement.clientWidth, page = document.documentElement.scrollWidth, wide = [];
		if (page > win) for (const e of document.body.querySelectorAll("*")) {
			const r = e.getBoundingClientRect();
			if (r.right > win + 1 && wide.length < 4 && getComputedStyle(e).position === "absolute" | !e.closest(".scroll") && !e.closest(".menu, pre, .choose, svg")) wide.push([e.parentElement.parentElement, e.parentElement].map(p => p.tagName + "." + (p.getAttribute("class") || "")).join(" ") + " " + e.tagName + "." + (e.getAttribute("class") || "") + " " + Math.round(r.right) + " " + e.textContent.trim().slice(0, 60));
		}
		return { Page: page, Window: win, Wide: wide };
	})()`)
	if got.Page > got.Window {
		w.t.Errorf("%s is %d pixels wide in a window of %d: %s", where, got.Page, got.Window, strings.Join(got.Wide, "; "))
	}
}

// violations are those of the rules of accessibility.
func (w *window) violations(axe string) []string {
	w.t.Helper()
	js[bool](w, axe+"\n;true")
	// Of rows that are alike the first ones tell; thousands take minutes.
	js[bool](w, `document.querySelectorAll("tbody, ol, ul, dl, .choose").forEach(e => { while (e.children.length > 12) e.lastElementChild.remove(); }), true`)
	var out []string
	raw := js[string](w, `axe.run(document, {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}, resultTypes: ["violations"]}).then(r =>
		JSON.stringify(r.violations.map(v => v.id + " (" + v.nodes.length + "): " + v.nodes.slice(0, 14).map(n => n.target.join(" ") + " " + n.html.slice(0, 100) + " " + (n.failureSummary || "").split("\n").slice(1, 2).join(" ").trim()).join(" | "))))`)
	if err := json.Unmarshal([]byte(raw), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}
