package report

import (
	"bytes"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"midwatch/casefile"
)

func view(t testing.TB, c *casefile.Case, o Options) *View {
	t.Helper()
	v, err := NewView(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// parts writes everything that a view has, by name.
func parts(t testing.TB, v *View, c *casefile.Case) map[string]string {
	t.Helper()
	out := map[string]string{}
	write := func(name string, f func(b *bytes.Buffer) error) {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out[name] = b.String()
	}
	for _, name := range Parts() {
		write(name, func(b *bytes.Buffer) error { return v.Part(b, name) })
	}
	for _, cam := range c.Campaigns {
		for _, part := range append(CampaignParts(), "") {
			write("campaign "+part, func(b *bytes.Buffer) error { return v.Campaign(b, clean(cam.ID), part) })
		}
	}
	for _, f := range c.Findings {
		write("finding "+f.ID, func(b *bytes.Buffer) error { return v.Finding(b, clean(f.ID)) })
	}
	return out
}

func testLinks() *Links {
	to := func(kind string) func(string) string {
		return func(id string) string { return "/c/case/" + kind + "/" + url.PathEscape(id) }
	}
	return &Links{
		Event: to("evidence"), Finding: to("finding"), Source: to("source"), Campaign: to("campaign"),
		Entity: func(kind casefile.EntityKind, id string) string {
			return to("entity/" + url.PathEscape(string(kind)))(id)
		},
		Section: func(part, at string) string { return "/c/case/" + part + "#" + at },
	}
}

// The parts are what the page is made of.
func TestPartsMakeThePage(t *testing.T) {
	c := readCase(t, "case")
	page := htmlOf(t, c, testOptions(t))
	for name, part := range parts(t, view(t, c, testOptions(t)), c) {
		if name != "verdict" && !strings.Contains(page, strings.TrimSpace(part)) { // verdict is what pages without the first one begin with
			t.Errorf("%s is not in the page as it is by itself", name)
		}
	}
}

func TestPartsLinkElsewhere(t *testing.T) {
	href := regexp.MustCompile(`<a [^>]*href="([^"]*)"`)
	for name, c := range map[string]*casefile.Case{"case": readCase(t, "case"), "hostile": hostileCase(), "large": largeCase(80, 3)} {
		v := view(t, c, Options{Links: testLinks(), NoMessages: true, NoEvidence: true})
		links := 0
		for part, s := range parts(t, v, c) {
			if err := wellFormed(s); err != nil {
				t.Errorf("%s, %s: %v", name, part, err)
			}
			for _, m := range href.FindAllStringSubmatch(s, -1) {
				links++
				if !strings.HasPrefix(m[1], "/c/case/") && !strings.HasPrefix(m[1], "#step-") {
					t.Errorf("%s, %s: link to %q", name, part, m[1])
				}
			}
			for _, bad := range []string{"<script", "onerror=alert(1)>", `" onmouseover="`, "\x1b", "\u202e", "<details><summary>0 message"} {
				if strings.Contains(s, bad) {
					t.Errorf("%s, %s holds %q", name, part, bad)
				}
			}
		}
		if links < 20 {
			t.Errorf("%s: only %d links", name, links)
		}
	}
}

// What a view leaves out is still counted.
func TestViewWithoutMessages(t *testing.T) {
	c := readCase(t, "case")
	named := regexp.MustCompile(`data-label="Messages">([^<]*)<`)
	a := parts(t, view(t, c, Options{}), c)["campaign reach"]
	b := parts(t, view(t, c, Options{NoMessages: true, NoEvidence: true}), c)["campaign reach"]
	want, got := named.FindAllStringSubmatch(a, -1), named.FindAllStringSubmatch(b, -1)
	if len(want) == 0 || len(want) != len(got) {
		t.Fatalf("%d mailboxes with messages, %d without", len(want), len(got))
	}
	for i := range want {
		if want[i][1] != got[i][1] {
			t.Errorf("mailbox %d: %s messages, without them %s", i, want[i][1], got[i][1])
		}
	}
	if strings.Contains(b, "t-att") || strings.Contains(b, `class="stack msgs"`) {
		t.Error("messages are shown")
	}
}

func TestViewIsSafeForReaders(t *testing.T) {
	c := readCase(t, "case")
	v := view(t, c, Options{Links: testLinks()})
	want := parts(t, v, c)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for name, s := range parts(t, v, c) {
				if s != want[name] {
					t.Errorf("%s differs for another reader", name)
				}
			}
		})
	}
	wg.Wait()
}

func TestNoSuchPart(t *testing.T) {
	v := view(t, readCase(t, "case"), Options{})
	var b bytes.Buffer
	for _, err := range []error{v.Part(&b, "page.html"), v.Campaign(&b, "none", ""), v.Campaign(&b, v.page.Campaigns[0].ID, "other"), v.Finding(&b, "none")} {
		if !errors.Is(err, ErrNoPart) {
			t.Errorf("error is %v", err)
		}
	}
	if b.Len() > 0 {
		t.Errorf("it wrote %q", b.String())
	}
}
