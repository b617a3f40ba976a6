package web_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/internal/webtest"
	"midwatch/store"
	"midwatch/store/duckdb"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := fixtureDir; dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

var fixtureDir string

// made makes the case when a test first wants it.
var made = sync.OnceValues(func() (*webtest.Fixture, error) {
	var err error
	if fixtureDir, err = os.MkdirTemp("", "midwatch-web-"); err != nil {
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

// known is what a case holds, to compare pages with.
type known struct {
	*casefile.Case
	webtest.IDs
	subjects []string // and message ids: what mail holds
	box      casefile.MailboxRef
	raw      string // record IDs.Record
}

func know(t testing.TB, dir string) *known {
	t.Helper()
	f, err := os.Open(dir + "/case.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := &known{}
	if k.Case, err = casefile.Read(f); err != nil {
		t.Fatal(err)
	}
	c := &k.Campaigns[0]
	k.Campaign, k.Finding = c.ID, c.Findings[0]
	for _, m := range c.Mailboxes {
		if len(m.Messages) > len(k.box.Messages) {
			k.box = m
		}
	}
	k.Mailbox, k.Record = k.box.UPN, k.box.Messages[0].Events[0]
	desk, err := duckdb.OpenDesk(t.Context(), t.TempDir(), dir+"/events.duckdb", duckdb.DeskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if err := desk.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"SELECT DISTINCT subject FROM midwatch.main.events WHERE length(subject) > 7", "SELECT DISTINCT subject FROM midwatch.main.items WHERE length(subject) > 7",
		"SELECT DISTINCT message_id FROM midwatch.main.items WHERE length(message_id) > 7",
	} {
		err := store.Each(t.Context(), desk, q, nil, func(scan func(...any) error) error {
			var s string
			if err := scan(&s); err != nil {
				return err
			}
			k.subjects = append(k.subjects, s)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(k.subjects) < 100 {
		t.Fatalf("the case holds %d subjects, so that this test shows little", len(k.subjects))
	}
	err = store.Each(t.Context(), desk, "SELECT coalesce(raw, '') FROM midwatch.main.events WHERE id = ?::UUID", []any{k.Record}, func(scan func(...any) error) error { return scan(&k.raw) })
	if err != nil || k.raw == "" {
		t.Fatalf("raw record: %q %v", k.raw, err)
	}
	return k
}

// leaks is what of mail a page has, or is empty.
func (k *known) leaks(body string) string {
	for _, s := range k.subjects {
		if strings.Contains(body, s) {
			return s
		}
	}
	return ""
}

// sane are the headers that every answer has.
func sane(t testing.TB, what string, a webtest.Answer) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	cache := a.Header.Get("Cache-Control")
	if strings.Contains(what, "/assets/") && a.Status == 200 {
		if !strings.Contains(cache, "immutable") {
			t.Errorf("%s: Cache-Control is %q", what, cache)
		}
	} else if cache != "no-store" {
		t.Errorf("%s: Cache-Control is %q, want no-store", what, cache)
	}
	if a.Status >= 500 && a.Status != 503 {
		t.Errorf("%s: status %d\n%s", what, a.Status, said(a.Body))
	}
}

func want(t testing.TB, what string, a webtest.Answer, statuses ...int) {
	t.Helper()
	sane(t, what, a)
	if !slices.Contains(statuses, a.Status) {
		t.Errorf("%s: status %d, want %v\n%s", what, a.Status, statuses, said(a.Body))
	}
}

var tags = regexp.MustCompile(`(?s)<[^>]*>|\s+`)

// said is what a page has to say, without its frame.
func said(body string) string {
	if _, main, ok := strings.Cut(body, "<main"); ok {
		body = main
	}
	return fmt.Sprintf("%.400s", strings.Join(strings.Fields(tags.ReplaceAllString(body, " ")), " "))
}
