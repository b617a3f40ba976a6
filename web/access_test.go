package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midwatch/internal/webtest"
	"midwatch/web"
	"midwatch/web/audit"
	"midwatch/web/auth"
)

// paths are addresses of a route in the case of the fixture.
func paths(t testing.TB, r web.Route, k *known) []string {
	t.Helper()
	p := strings.TrimSuffix(r.Pattern, "{$}")
	p = strings.ReplaceAll(p, "{case}", "incident")
	switch {
	case strings.Contains(p, "/report/"):
		return []string{"/c/incident/report/csv/mailboxes.csv", "/c/incident/report/html/report.html"}
	case strings.HasSuffix(p, "{tab}"):
		var out []string
		for _, tab := range []string{"campaigns", "containment", "clocks", "journal"} {
			out = append(out, strings.ReplaceAll(p, "{tab}", tab))
		}
		return out
	case strings.HasSuffix(p, "/changes"):
		return []string{p + "?since=0"}
	}
	id := k.Record
	switch {
	case strings.Contains(p, "/campaigns/"):
		id = k.Campaign
	case strings.Contains(p, "/findings/"):
		id = k.Finding
	}
	p = strings.NewReplacer("{id}", id, "{name}", "app.css", "{campaign}", k.Campaign, "{upn}", url.PathEscape(k.Mailbox)).Replace(p)
	if strings.Contains(p, "{") {
		t.Fatalf("route %s %s: this test has no value for a part of it", r.Method, r.Pattern)
	}
	return []string{p}
}

// forms are what is sent to the routes that change something; each is done.
func forms(t testing.TB, r web.Route, c *webtest.Client, k *known) []string {
	t.Helper()
	switch strings.TrimPrefix(r.Pattern, "/c/{case}") {
	case "/questions":
		return []string{"sql", "SELECT count(*) FROM events"}
	case "/questions/saved":
		return []string{"name", "all", "sql", "SELECT 1"}
	case "/work/note":
		return []string{"text", "a note"}
	case "/work/campaigns":
		return []string{"what", "exclude", "id", k.Finding, "reason", "a test"}
	case "/work/secrets":
		return []string{"id", field(t, c.Get("/c/incident/work/secrets").Body, `name="id" value="(s-[0-9a-f]+)"`), "state", "rotated", "reason", "a test"}
	case "/work/notices":
		return []string{"id", field(t, c.Get("/c/incident/work/notices").Body, `name="id" value="(n-[0-9a-f]+)"`), "state", "sent", "reason", "by mail"}
	case "/work/clocks":
		return []string{"what", "start", "id", field(t, c.Get("/c/incident/work/clocks").Body, `<option value="([a-z_]+)"`), "at", "2024-01-12 09:30", "reason", "counsel"}
	case "/work/containment":
		page := c.Get("/c/incident/work/containment").Body
		return []string{"plan", field(t, page, `name="plan" value="([^"]+)"`), "id", field(t, page, `name="id" value="([^"]+)"`), "what", "approve", "reason", "a test"}
	}
	t.Fatalf("route %s %s: this test has no form for it", r.Method, r.Pattern)
	return nil
}

// Every route with every role, and with none.
func TestRoutes(t *testing.T) {
	t.Parallel()
	f := fixture(t)
	dir := f.Copy(t, "incident")
	k := know(t, dir)
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: nothing})
	stranger := s.Stranger(t)
	people := map[auth.Role]*webtest.Client{}
	for _, r := range auth.Roles() {
		people[r] = s.As(t, r)
	}
	log := audit.Open(filepath.Join(dir, audit.File), "test", s.Clock.Now)
	for _, r := range web.Routes() {
		for _, p := range paths(t, r, k) {
			name := r.Method + " " + p
			if r.Method == "POST" {
				want(t, name+" without a session", stranger.Do("POST", p, strings.NewReader("")), http.StatusUnauthorized)
				for role, c := range people {
					form := url.Values{"csrf": {c.Token}}.Encode()
					what := name + " as " + role.String()
					want(t, what+" without the token", c.Do("POST", p, strings.NewReader("text=x"), "Content-Type", "application/x-www-form-urlencoded"), http.StatusForbidden)
					want(t, what+" from elsewhere", c.Do("POST", p, strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), http.StatusForbidden)
					want(t, what+" from elsewhere, by Origin alone", c.Do("POST", p, strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example"), http.StatusForbidden)
					if role < r.Role {
						want(t, what, c.Post(p), http.StatusForbidden)
						continue
					}
					want(t, what+" with nothing", c.Post(p), http.StatusUnprocessableEntity, http.StatusBadRequest)
				}
				c := people[auth.Responder]
				want(t, name, c.Post(p, forms(t, r, c, k)...), http.StatusSeeOther, http.StatusOK)
				want(t, name+" by PUT", c.Do("PUT", p, nil, "X-CSRF-Token", c.Token), http.StatusMethodNotAllowed)
				continue
			}
			if r.Role == 0 {
				want(t, name, stranger.Get(p), http.StatusOK)
				continue
			}
			a := stranger.Get(p)
			want(t, name+" without a session", a, http.StatusSeeOther)
			if to := a.Header.Get("Location"); !strings.HasPrefix(to, "/login") {
				t.Errorf("%s without a session leads to %s", name, to)
			}
			want(t, name+" without a session, by a script", stranger.Do("GET", p, nil, "Sec-Fetch-Mode", "cors", "Accept", "application/json"), http.StatusUnauthorized)
			want(t, "HEAD "+p+" without a session", stranger.Do("HEAD", p, nil), http.StatusUnauthorized)
			for role, c := range people {
				what := name + " as " + role.String()
				before := reads(t, log)
				a, head := c.Get(p), c.Do("HEAD", p, nil)
				all := reads(t, log)
				fresh := all[len(before):]
				if role < r.Role {
					want(t, what, a, http.StatusForbidden)
					want(t, what+" by HEAD", head, http.StatusForbidden)
					if len(fresh) > 0 {
						t.Errorf("%s: a read that was refused is written down as one", what)
					}
				} else {
					want(t, what, a, http.StatusOK, http.StatusSeeOther)
					want(t, what+" by HEAD", head, a.Status)
					switch {
					case r.Mail && (len(fresh) != 2 || fresh[0].By != webtest.Names(role) || fresh[0].Role != role.String() || fresh[0].Route != "GET "+r.Pattern || !strings.Contains(fresh[0].What, strings.TrimSuffix(p, k.Mailbox)) || fresh[0].Session == ""):
						t.Errorf("%s: written down is %+v", what, fresh)
					case !r.Mail && len(fresh) > 0:
						t.Errorf("%s: written down is %+v, though it shows nothing of mail", what, fresh)
					}
				}
				if s := k.leaks(a.Body); s != "" && (role < auth.Analyst || !r.Mail) {
					t.Errorf("%s shows %q, which mail holds", what, s)
				}
				if head.Body != "" {
					t.Errorf("%s: HEAD has a body", what)
				}
				for _, method := range []string{"PUT", "DELETE", "PATCH"} {
					want(t, method+" "+p+" as "+role.String(), c.Do(method, p, nil, "X-CSRF-Token", c.Token), http.StatusMethodNotAllowed)
				}
			}
		}
	}
	// The message list does show what the others must not.
	if k.leaks(people[auth.Analyst].Get("/c/incident/messages").Body) == "" {
		t.Error("no message id is in the list of messages, so that this test shows nothing")
	}
	want(t, "another name", stranger.Do("GET", "/login", nil, "Accept", "text/html"), http.StatusOK)
}

func reads(t testing.TB, l *audit.Log) []audit.Record {
	t.Helper()
	rs, err := l.Reads()
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// Where the audit cannot be written nothing of what mail holds is sent.
func TestNothingIsShownWithoutAudit(t *testing.T) {
	f := fixture(t)
	dir := f.Copy(t, "incident")
	k := know(t, dir)
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: nothing})
	c := s.As(t, auth.Responder)
	if err := os.Mkdir(filepath.Join(dir, audit.File), 0o700); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range web.Routes() {
		if r.Method == "POST" && !r.Mail || r.Quiet || r.Role == 0 {
			continue
		}
		for _, p := range paths(t, r, k) {
			var a webtest.Answer
			if r.Method == "POST" {
				a = c.Post(p, "sql", "SELECT message_id, subject FROM messages")
			} else {
				a = c.Get(p)
			}
			if !r.Mail {
				want(t, p, a, http.StatusOK, http.StatusSeeOther)
				continue
			}
			n++
			want(t, p, a, http.StatusServiceUnavailable)
			if s := k.leaks(a.Body); s != "" {
				t.Errorf("%s shows %q", p, s)
			}
			if strings.Contains(a.Body, k.raw[:40]) || a.Header.Get("Content-Disposition") != "" {
				t.Errorf("%s shows a record, or is a download", p)
			}
		}
	}
	if n < 9 {
		t.Errorf("%d routes show what mail holds, so that this test shows little", n)
	}
}

// What is not there is said to be, whatever is asked for.
func TestAbsurdRequests(t *testing.T) {
	t.Parallel()
	f := fixture(t)
	k := know(t, f.Case)
	dir := f.Copy(t, "incident")
	s := f.Serve(t, webtest.Options{Dirs: []string{dir}, Start: now(), Redo: nothing})
	c := s.As(t, auth.Responder)
	for _, p := range []string{
		"/nowhere", "/c/", "/c/other/", "/c/other/messages", "/c/incident/nowhere", "/c/incident/campaigns/c-0", "/c/incident/findings/f-0", "/c/incident/records/1", "/c/incident/records/00000000-0000-0000-0000-000000000000",
		"/c/incident/records/00000000-0000-0000-0000-000000000000/raw", "/c/incident/mailboxes/" + k.Campaign + "/nobody", "/c/incident/mailboxes/c-0/" + k.Mailbox, "/c/incident/work/nothing", "/c/incident/report/nothing/x",
		"/c/incident/report/csv/..%2Fcase.json", "/c/incident/report/csv/case.json", "/c/incident/graph?campaign=c-0", "/c/%00/", "/c/incident/campaigns/%00", "/c/incident/findings/%ff%fe", "/c/incident/mailboxes/%00/%ff", "/c/..%2f..%2fetc/passwd",
		"/c/incident/records/" + strings.Repeat("a", 20_000), "/c/incident/campaigns/%27%20OR%201=1--", "/assets/..%2Fframe.html", "/assets/frame.html", "/c/incident/work/campaigns%00",
	} {
		want(t, p, c.Get(p), http.StatusNotFound)
	}
	odd := []string{
		"", "-1", "0", "1e18", "9223372036854775807", "99999999999999999999999", "evil", "NaN", "'", "' OR 1=1 --", `"`, "%", "_", `\`, "{{.}}", "<script>", "\x00", "a\x00b", "\xff\xfe", "\u202e", "2024-02-30", "0001-01-01", "9999-12-31", "1901-01-01", "2299-12-31T23:59:59Z",
		"2024-01-12T25:00", "-", "--", "-rank", "rank desc", "rank; DROP TABLE messages", "n", "id", "*", "1", strings.Repeat("x", 30_000), "none", "confirmed", "true", "\n", "💥",
	}
	params := []string{"page", "sort", "from", "to", "q", "mailbox", "certainty", "campaign", "least", "severity", "stage", "entity", "actor", "ip", "class", "operation", "source", "outcome", "file", "open", "since", "sql", "finding", "agent", "token"}
	for _, p := range []string{"/timeline", "/graph", "/findings", "/mailboxes", "/mailboxes.csv", "/messages", "/records", "/mailboxes/" + k.Campaign + "/" + k.Mailbox, "/questions", "/work", "/changes"} {
		for _, name := range params {
			for i, v := range odd {
				// All of one, and some of the others with each page: 10,000 requests show no more.
				if (len(p)*7+len(name)*3+i)%53 != 0 && !(name == "q" && p == "/messages") && v != "\xff\xfe" && v != "a\x00b" {
					continue
				}
				q := url.Values{name: {v}}
				if strings.HasPrefix(p, "/records") {
					q.Set("to", "2023-11-13 02:00") // the whole of it again and again shows no more
					q.Set(name, v)
				}
				a := c.Get("/c/incident" + p + "?" + q.Encode())
				what := p + "?" + name + "=" + v[:min(len(v), 40)]
				want(t, what, a, 200, 303, 400, 404)
				if p == "/graph" && name == "campaign" && v != "" && v != "\xff\xfe" {
					want(t, what, a, 404)
				}
			}
		}
	}
	for _, q := range []string{"from=2299-12-31&to=1901-01-01", "from=1901-01-01&to=2299-12-31", "from=1901-01-01", "to=1901-01-02", "from=2299-12-30", "%gh=1", "a=%zz", "page=1;sort=2", strings.Repeat("open=a&", 3000)} {
		for _, p := range []string{"/timeline", "/graph", "/messages", "/records", "/mailboxes.csv"} {
			want(t, p+"?"+q[:min(len(q), 60)], c.Get("/c/incident"+p+"?"+q), 200, 400)
		}
	}
	// More than headers may have, and more than forms may.
	if a := c.Get("/c/incident/records?q=" + strings.Repeat("x", 2<<20)); a.Status != http.StatusRequestHeaderFieldsTooLarge && a.Status != http.StatusRequestURITooLong {
		t.Errorf("an address of 2 MB: status %d", a.Status)
	}
	for _, p := range []string{"/questions", "/questions/saved", "/work/note", "/work/campaigns", "/work/secrets", "/work/notices", "/work/clocks", "/work/containment"} {
		for _, big := range []int{400 << 10, 2 << 20} {
			want(t, p+" of much", c.Post("/c/incident"+p, "text", strings.Repeat("x", big), "sql", "SELECT 1", "name", "x"), http.StatusRequestEntityTooLarge)
		}
		want(t, p+" with odd bytes", c.Post("/c/incident"+p, "text", "\x00\xff", "sql", "SELECT '\x00\xff'", "name", "\x00\xff", "what", "\x00", "id", "\xff\x00", "state", "\xff", "reason", "\x00", "plan", "\xff", "at", "\x00", "seen", "\xff"), 200, 303, 400, 422)
		want(t, p+" that is no form", c.Do("POST", "/c/incident"+p, strings.NewReader("%zz=%&&;"), "Content-Type", "application/x-www-form-urlencoded", "X-CSRF-Token", c.Token), 400, 422)
		want(t, p+" of another type", c.Do("POST", "/c/incident"+p, strings.NewReader("{}"), "Content-Type", "application/json", "X-CSRF-Token", c.Token), 400, 422)
	}
	// A host of another's.
	if a := c.Get("/c/incident/"); a.Status != 200 {
		t.Errorf("after all of this the case is not shown: status %d", a.Status)
	}
}

// What is downloaded is a file, and never a page of ours.
func TestDownloads(t *testing.T) {
	f := fixture(t)
	k := know(t, f.Case)
	s := f.Serve(t, webtest.Options{Dirs: []string{f.Copy(t, "incident")}, Start: now(), Redo: nothing})
	c := s.As(t, auth.Analyst)
	for p, kind := range map[string]string{
		"/mailboxes.csv": "text/csv; charset=utf-8", "/messages.csv": "text/csv; charset=utf-8", "/records/" + k.Record + "/raw": "application/octet-stream",
		"/report/html/report.html": "application/octet-stream", "/report/csv/messages.csv": "application/octet-stream", "/report/stix/stix.json": "application/octet-stream",
	} {
		a := c.Get("/c/incident" + p)
		want(t, p, a, 200)
		if !strings.HasPrefix(a.Header.Get("Content-Disposition"), `attachment; filename="`) || a.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %q, %q", p, a.Header.Get("Content-Disposition"), a.Header.Get("Content-Type"))
		}
	}
	if a := c.Get("/c/incident/records/" + k.Record + "/raw"); a.Body != k.raw {
		t.Errorf("the raw record is not what the log has:\n%s\n%s", a.Body, k.raw)
	}
	// As many rows as the case has messages, and the head.
	n := 0
	for _, x := range k.Campaigns {
		for _, m := range x.Mailboxes {
			n += len(m.Messages)
		}
	}
	if got := strings.Count(c.Get("/c/incident/messages.csv").Body, "\n"); got != n+1 {
		t.Errorf("messages.csv has %d lines, want %d", got, n+1)
	}
	narrowed := strings.Count(c.Get("/c/incident/messages.csv?mailbox="+url.QueryEscape(k.Mailbox)).Body, "\n")
	if narrowed != len(k.box.Messages)+1 {
		t.Errorf("messages.csv of a mailbox has %d lines, want %d", narrowed, len(k.box.Messages)+1)
	}
	want(t, "messages.csv with a bad filter", c.Get("/c/incident/messages.csv?from=never"), 400)
}

// An id of an event is found however it was copied.
func TestRecordIsFoundByItsID(t *testing.T) {
	f := fixture(t)
	k := know(t, f.Case)
	s := f.Serve(t, webtest.Options{Dirs: []string{f.Copy(t, "incident")}, Start: now(), Redo: nothing})
	c := s.As(t, auth.Analyst)
	for _, id := range []string{k.Record, " " + k.Record + " ", strings.ToUpper(k.Record)} {
		a := c.Get("/c/incident/records?q=" + url.QueryEscape(id))
		if to := a.Header.Get("Location"); a.Status != 303 || to != "/c/incident/records/"+k.Record {
			t.Errorf("%q: status %d to %q", id, a.Status, to)
		}
	}
	for _, id := range []string{k.Record, strings.ToUpper(k.Record)} {
		if a := c.Get("/c/incident/records/" + id); !strings.Contains(a.Body, "message in") || strings.Contains(a.Body, "No claim of the case") {
			t.Errorf("record %s: what stands on it is not told", id)
		}
	}
	if a := c.Get("/c/incident/findings/" + k.Finding); !slices.Contains([]int{200}, a.Status) || !strings.Contains(a.Body, "/c/incident/records/") {
		t.Error("a finding does not lead to its records")
	}
}
