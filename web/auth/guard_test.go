package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// site is a server with a guard before three pages: /open, /mail for analysts,
// /act for responders.
type site struct {
	t     *testing.T
	base  string
	guard *Guard
	clock *ticker
	log   *bytes.Buffer

	mu     sync.Mutex
	events []Event
	acted  int
}

func newSite(t *testing.T, set func(*Options)) *site {
	t.Helper()
	s := &site{t: t, clock: newTicker(), log: &bytes.Buffer{}}
	mux := http.NewServeMux()
	srv := httptest.NewUnstartedServer(mux)
	o := Options{
		Now: s.clock.now, Log: slog.New(slog.NewTextHandler(s.log, nil)), Addr: srv.Listener.Addr().String(),
		Page: func(w http.ResponseWriter, _ *http.Request, status int, p LoginPage) {
			w.WriteHeader(status)
			if err := json.NewEncoder(w).Encode(p); err != nil {
				t.Error(err)
			}
		},
		Record: func(e Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	set(&o)
	g, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.guard = g
	g.Routes(mux)
	mux.HandleFunc("GET /open", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "open") })
	who := func(w http.ResponseWriter, r *http.Request) {
		u, ok := UserFrom(r.Context())
		if r.Method == http.MethodPost {
			s.mu.Lock()
			s.acted++
			s.mu.Unlock()
		}
		fmt.Fprintf(w, "%s %s %s %v %s %s", u.Name, u.Role, u.Via, ok, SessionFrom(r.Context()), Token(r))
	}
	mux.Handle("/mail", g.Require(Analyst, http.HandlerFunc(who)))
	mux.Handle("/act", g.Require(Responder, http.HandlerFunc(who)))
	mux.Handle("/{$}", g.Require(Viewer, http.HandlerFunc(who)))
	srv.Config.Handler = g.Protect(mux)
	srv.Start()
	t.Cleanup(srv.Close)
	s.base = srv.URL
	return s
}

// actions are what was recorded since the last time.
func (s *site) actions() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	es := s.events
	s.events = nil
	return es
}

// browser keeps cookies and does not follow redirects.
type browser struct {
	*site
	client *http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is what a server said.
type answer struct {
	status   int
	location string
	header   http.Header
	body     string
	page     LoginPage
}

func (b *browser) do(method, path string, form url.Values, header ...string) answer {
	b.t.Helper()
	to := path
	if strings.HasPrefix(path, "/") {
		to = b.base + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, to, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "text/html")
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{resp.StatusCode, resp.Header.Get("Location"), resp.Header, string(text), LoginPage{}}
	_ = json.Unmarshal(text, &a.page) // not every answer is one
	return a
}

func (b *browser) get(path string, header ...string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

func (b *browser) login(name, password, next string) answer {
	b.t.Helper()
	p := b.get("/login?next=" + url.QueryEscape(next)).page
	return b.do(http.MethodPost, "/login", url.Values{"csrf": {p.CSRF}, "next": {p.Next}, "name": {name}, "password": {password}})
}

// token is the CSRF token that pages have.
func (b *browser) token() string {
	f := strings.Fields(b.get("/").body)
	return f[len(f)-1]
}

func (b *browser) session() string {
	u, _ := url.Parse(b.base)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == b.guard.cookies.session {
			return c.Value
		}
	}
	return ""
}

func withUsers(t *testing.T, lines ...string) (path string, set func(*Options)) {
	path = usersFile(t, lines...)
	return path, func(o *Options) {
		u, err := OpenUsers(path, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		o.Users = u
	}
}

func want(t *testing.T, what string, a answer, status int, contains string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.body+a.location, contains) {
		t.Errorf("%s: status %d, want %d with %q: %s %s", what, a.status, status, contains, a.location, a.body)
	}
}

func TestWithoutSession(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, set)
	b := s.browser()
	want(t, "open", b.get("/open"), 200, "open")
	want(t, "page", b.get("/mail?a=b&c=%2F"), 303, "/login?next=%2Fmail%3Fa%3Db%26c%3D%252F")
	want(t, "first page", b.get("/"), 303, "/login")
	want(t, "navigation", b.get("/mail", "Sec-Fetch-Mode", "navigate", "Accept", "*/*"), 303, "/login")
	want(t, "script", b.get("/mail", "Sec-Fetch-Mode", "cors"), 401, "nobody is logged in")
	want(t, "curl", b.get("/mail", "Accept", "*/*"), 401, "nobody")
	want(t, "post", b.do("POST", "/mail", url.Values{"csrf": {""}}), 401, "nobody")
	want(t, "put", b.do("PUT", "/mail", nil), 401, "nobody")
	want(t, "logout", b.do("POST", "/logout", nil), 401, "nobody")
	want(t, "head", b.do("HEAD", "/mail", nil), 401, "")
	if a := b.get("/login?next=//evil.example"); a.page.Next != "/" || !a.page.Form || !a.page.Password || a.page.OIDC || a.page.OneTime {
		t.Errorf("%+v", a.page)
	}
	a := b.get("/login?next=/mail")
	if a.page.Next != "/mail" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Security-Policy") != policy || a.header.Get("Strict-Transport-Security") != "" {
		t.Errorf("%+v %v", a.page, a.header)
	}
	if s.acted != 0 || len(s.actions()) != 0 {
		t.Error("something happened")
	}
}

func TestPassword(t *testing.T) {
	path, set := withUsers(t, line("kim", Analyst), line("ana", Viewer))
	s := newSite(t, set)
	b := s.browser()
	a := b.login("kim", password, "/mail?x=1")
	want(t, "login", a, 303, "/mail?x=1")
	c := a.header.Values("Set-Cookie")[0]
	_, port, _ := strings.Cut(strings.TrimPrefix(s.base, "http://"), ":")
	for _, part := range []string{"midwatch_" + port + "=", "; Path=/", "; HttpOnly", "; SameSite=Lax"} {
		if !strings.Contains(c, part) {
			t.Errorf("%s lacks %s", c, part)
		}
	}
	if strings.Contains(c, "Secure") || strings.Contains(c, "Max-Age") || strings.Contains(c, "Domain") {
		t.Error(c)
	}
	want(t, "mail", b.get("/mail"), 200, "kim analyst password true")
	want(t, "first page", b.get("/"), 200, "kim")
	want(t, "act", b.get("/act"), 403, "for the role responder, and yours is analyst")
	want(t, "login again", b.get("/login?next=/mail"), 303, "/mail")
	es := s.actions()
	if len(es) != 1 || es[0].Action != LoggedIn || es[0].User.Name != "kim" || !es[0].Remote.IsLoopback() || es[0].Session == "" || !es[0].Time.Equal(s.clock.now()) {
		t.Errorf("%+v", es)
	}
	for name, x := range map[string][2]string{"wrong": {"kim", "no"}, "unknown": {"hunter2", password}, "case": {"KIM", password}, "empty": {"", ""}, "long": {strings.Repeat("k", 5000), password}} {
		other := s.browser()
		s.clock.add(time.Minute)
		a := other.login(x[0], x[1], "/mail")
		want(t, name, a, 401, "name or password is wrong")
		if !a.page.Form || a.page.Next != "/mail" || a.page.CSRF == "" || len(a.page.Name) > maxUserName || other.session() != "" {
			t.Errorf("%s: %+v", name, a.page)
		}
		es := s.actions()
		if len(es) != 1 || es[0].Action != Failed || (es[0].User.Name == "kim") != (name == "wrong") {
			t.Errorf("%s: %+v", name, es)
		}
	}
	for _, secret := range []string{password, "hunter2", b.session(), b.token()} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
	// What the file says holds at once.
	write(t, path, line("kim", Responder), line("ana", Viewer))
	want(t, "another password", b.get("/act"), 303, "/login") // it was hashed anew
	if es := s.actions(); len(es) != 1 || es[0].Action != Ended || es[0].Reason != "its user's password was changed" {
		t.Errorf("%+v", es)
	}
	s.clock.add(time.Minute)
	want(t, "again", b.login("kim", password, "/"), 303, "/")
	file, _ := os.ReadFile(path)
	set2 := func(from, to string) {
		if err := os.WriteFile(path, bytes.Replace(file, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "before", b.get("/act"), 200, "kim responder")
	set2("kim:responder", "kim:viewer")
	want(t, "a lower role", b.get("/act"), 403, "yours is viewer")
	want(t, "a lower role", b.get("/mail"), 403, "yours is viewer")
	set2("kim:responder", "kim:responder")
	want(t, "the role again", b.get("/act"), 200, "kim responder")
	set2("kim:responder", "oli:responder")
	want(t, "removed", b.get("/"), 303, "/login")
	set2("kim:responder", "kim:responder")
	want(t, "removed and there again", b.get("/"), 303, "/login")
	s.clock.add(time.Minute)
	want(t, "once more", b.login("kim", password, "/"), 303, "/")
	set2("kim:responder", "kim:emperor")
	want(t, "damaged file", b.get("/"), 503, "users file cannot be read")
	s.clock.add(time.Minute)
	want(t, "login with a damaged file", s.browser().login("ana", password, "/"), 503, "users file cannot be read")
	set2("kim:responder", "kim:responder")
	want(t, "mended", b.get("/"), 200, "kim responder")
}

func TestFixationAndLogout(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst), line("ana", Viewer))
	s := newSite(t, set)
	b := s.browser()
	u, _ := url.Parse(s.base)
	planted := secret()
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: s.guard.cookies.session, Value: planted}})
	want(t, "login", b.login("kim", password, "/"), 303, "/")
	first := b.session()
	if first == planted || !isSecret(first) {
		t.Error("the id is one that was planted")
	}
	b2 := s.browser()
	want(t, "second", b2.login("kim", password, "/"), 303, "/")
	other := s.browser()
	want(t, "another user", other.login("ana", password, "/"), 303, "/")
	// Logging in again leaves the session before.
	s.clock.add(time.Minute)
	p := b.get("/login").location
	if p != "/" {
		t.Error(p)
	}
	b.get("/login?next=/mail")
	form := s.browser()
	page := form.get("/login").page
	form.client.Jar.SetCookies(u, []*http.Cookie{{Name: s.guard.cookies.session, Value: first}})
	want(t, "again", form.do("POST", "/login", url.Values{"csrf": {page.CSRF}, "name": {"kim"}, "password": {password}}), 303, "/")
	want(t, "the session before", b.get("/"), 303, "/login")
	s.actions()

	want(t, "without token", form.do("POST", "/logout", url.Values{}), 403, "another session")
	token := form.token()
	want(t, "logout", form.do("POST", "/logout", url.Values{"csrf": {token}}), 303, "/login")
	if form.session() != "" {
		t.Error("the cookie stays")
	}
	want(t, "after", form.get("/"), 303, "/login")
	want(t, "the other one", b2.get("/"), 200, "kim")
	s.clock.add(time.Minute)
	want(t, "login", b.login("kim", password, "/"), 303, "/")
	want(t, "everywhere", b2.do("POST", "/logout", url.Values{"csrf": {b2.token()}, "everywhere": {"1"}}), 303, "/login")
	want(t, "after", b.get("/"), 303, "/login")
	want(t, "another user", other.get("/"), 200, "ana")
	var got []string
	for _, e := range s.actions() {
		got = append(got, string(e.Action)+" "+e.User.Name+" "+e.Reason)
	}
	if d := cmp.Diff([]string{"logout kim ", "login kim ", "logout kim everywhere: 2 sessions"}, got); d != "" {
		t.Error(d)
	}
	if s.guard.EndAll() != 1 {
		t.Error("EndAll")
	}
	want(t, "ended", other.get("/"), 303, "/login")
}

func TestSessionEnds(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, func(o *Options) { set(o); o.Idle, o.Lifetime = 10*time.Minute, time.Hour })
	b := s.browser()
	b.login("kim", password, "/")
	for range 6 {
		want(t, "in use", b.get("/"), 200, "kim")
		s.clock.add(9 * time.Minute)
	}
	s.clock.add(6 * time.Minute)
	want(t, "age", b.get("/"), 303, "/login")
	b.login("kim", password, "/")
	s.clock.add(10 * time.Minute)
	want(t, "idle", b.get("/"), 303, "/login")
}

func TestCSRF(t *testing.T) {
	_, set := withUsers(t, line("kim", Responder), line("ana", Responder))
	s := newSite(t, set)
	b, other := s.browser(), s.browser()
	b.login("kim", password, "/")
	other.login("ana", password, "/")
	token := b.token()
	for name, a := range map[string]answer{
		"none":            b.do("POST", "/act", url.Values{}),
		"empty":           b.do("POST", "/act", url.Values{"csrf": {""}}),
		"another's":       b.do("POST", "/act", url.Values{"csrf": {other.token()}}),
		"in the query":    b.do("POST", "/act?csrf="+token, url.Values{}),
		"delete":          b.do("DELETE", "/act", nil),
		"put":             b.do("PUT", "/act", nil),
		"another site":    b.do("POST", "/act", url.Values{"csrf": {token}}, "Sec-Fetch-Site", "cross-site"),
		"another port":    b.do("POST", "/act", url.Values{"csrf": {token}}, "Sec-Fetch-Site", "same-site"),
		"another origin":  b.do("POST", "/act", url.Values{"csrf": {token}}, "Origin", "https://evil.example"),
		"an origin null":  b.do("POST", "/act", url.Values{"csrf": {token}}, "Origin", "null"),
		"wrong header":    b.do("POST", "/act", url.Values{"csrf": {token}}, "X-CSRF-Token", "x"),
		"too large":       b.do("POST", "/act", url.Values{"a": {strings.Repeat("x", maxForm)}, "csrf": {token}}),
		"JSON, no header": b.do("POST", "/act", url.Values{"csrf": {token}}, "Content-Type", "application/json"),
	} {
		status := 403
		if name == "too large" {
			status = 413
		}
		want(t, name, a, status, "")
	}
	if s.acted != 0 {
		t.Errorf("%d acts", s.acted)
	}
	want(t, "form", b.do("POST", "/act", url.Values{"csrf": {token}}), 200, "kim")
	want(t, "header", b.do("POST", "/act", nil, "X-CSRF-Token", token), 200, "kim")
	want(t, "own origin", b.do("POST", "/act", url.Values{"csrf": {token}}, "Origin", s.base, "Sec-Fetch-Site", "same-origin"), 200, "kim")
	// What browsers send from pages whose Referrer-Policy is no-referrer.
	want(t, "origin withheld", b.do("POST", "/act", url.Values{"csrf": {token}}, "Origin", "null", "Sec-Fetch-Site", "same-origin"), 200, "kim")
	if s.acted != 4 {
		t.Errorf("%d acts", s.acted)
	}
}

// Nobody is logged in as somebody else by a page of that somebody's.
func TestLoginCSRF(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, set)
	mine := s.browser().get("/login").page.CSRF
	form := func(csrf string) url.Values {
		return url.Values{"csrf": {csrf}, "name": {"kim"}, "password": {password}}
	}
	b := s.browser()
	want(t, "no cookie", b.do("POST", "/login", form(mine)), 403, "out of date")
	b.get("/login")
	want(t, "another's form", b.do("POST", "/login", form(mine)), 403, "out of date")
	want(t, "none", b.do("POST", "/login", form("")), 403, "out of date")
	own := b.get("/login").page.CSRF
	if b.get("/login").page.CSRF != own {
		t.Error("a second tab spoils the first")
	}
	want(t, "from elsewhere", b.do("POST", "/login", form(own), "Sec-Fetch-Site", "cross-site"), 403, "another site")
	want(t, "in the query", b.do("POST", "/login?"+form(own).Encode(), url.Values{}), 403, "out of date")
	want(t, "own", b.do("POST", "/login", form(own)), 303, "/")
	want(t, "large", b.do("POST", "/login", url.Values{"name": {strings.Repeat("x", 20<<10)}}), 400, "cannot be read")
}

func TestOneTimeLogin(t *testing.T) {
	var one *OneTime
	var token string
	s := newSite(t, func(o *Options) { one, token = NewOneTime(o.Now, "soc"); o.OneTime = one })
	b := s.browser()
	link := strings.TrimPrefix(LoginURL(s.base, token), s.base)
	// Whoever only looks uses nothing up.
	for range 3 {
		want(t, "prefetch", s.browser().get(link, "Sec-Purpose", "prefetch"), 200, token)
		want(t, "curl -I", s.browser().do("HEAD", link, nil), 200, "")
	}
	a := b.get(link + "&next=/mail")
	if p := a.page; p.Token != token || !p.Form || !p.OneTime || p.Password || p.Next != "/mail" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%+v %v", p, a.header)
	}
	post := func(b *browser, token string) answer {
		p := b.get("/login?token=" + token).page
		return b.do("POST", "/login", url.Values{"csrf": {p.CSRF}, "next": {"/mail"}, "token": {token}})
	}
	want(t, "hostile", b.get("/login?token=%3Cscript%3E"), 400, "not valid")
	want(t, "wrong", post(s.browser(), secret()), 401, "not valid")
	in := post(b, token)
	want(t, "in", in, 303, "/mail")
	if strings.Contains(in.location, token) || in.header.Get("Cache-Control") != "no-store" {
		t.Error(in.header)
	}
	want(t, "act", b.get("/act"), 200, "soc responder token")
	s.clock.add(time.Minute)
	want(t, "again", post(s.browser(), token), 401, "used already")
	next := one.Renew()
	s.clock.add(oneTimeLife)
	want(t, "late", post(s.browser(), next), 401, "expired")
	want(t, "no password", s.browser().login("soc", "x", "/"), 400, "no users")
	var got []Action
	for _, e := range s.actions() {
		got = append(got, e.Action)
	}
	if d := cmp.Diff([]Action{Failed, LoggedIn, Failed, Failed}, got); d != "" {
		t.Error(d)
	}
	if strings.Contains(s.log.String(), token) {
		t.Error("the token is in the log")
	}
}

func TestTooManyTries(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, set)
	b := s.browser()
	for range 5 {
		want(t, "try", b.login("kim", "wrong", "/"), 401, "")
	}
	want(t, "success", b.login("kim", password, "/"), 303, "/")
	want(t, "logout", b.do("POST", "/logout", url.Values{"csrf": {b.token()}}), 303, "")
	for range 3 {
		a := b.login("kim", password, "/") // the right one, and nobody learns
		want(t, "too many", a, 429, "too many tries")
		if a.header.Get("Retry-After") != "10" || a.page.RetryAfter != 10*time.Second || a.page.Form {
			t.Errorf("%v %+v", a.header, a.page)
		}
	}
	locked := 0
	for _, e := range s.actions() {
		if e.Action == Locked {
			locked++
		}
	}
	if locked != 1 {
		t.Errorf("%d were told", locked)
	}
	s.clock.add(10 * time.Second)
	want(t, "later", b.login("kim", password, "/"), 303, "/")
	// A name is tried from many addresses.
	s.guard.byName = newLimiter(4*time.Second, 3)
	s.guard.byAddr = newLimiter(time.Millisecond, 1000)
	for i := range 5 {
		a := s.browser().login("KiM", "wrong", "/")
		if (a.status == 429) != (i >= 3) {
			t.Errorf("try %d: %d", i, a.status)
		}
	}
}

func TestNames(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, set)
	b := s.browser()
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1", "localhost:1"} {
		a := b.get("/open", "Host", host)
		want(t, host, a, 421, "--host")
		if a.header.Get("Content-Security-Policy") == "" || a.body == "open" {
			t.Error(host)
		}
		want(t, host, b.do("POST", "/login", url.Values{}, "Host", host), 421, "")
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(s.base, "http://"), ":")
	want(t, "localhost", b.get("/open", "Host", "localhost:"+port), 200, "open")
}

func TestNewRefuses(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	one, _ := NewOneTime(time.Now, "soc")
	for want, change := range map[string]func(*Options){
		"no way in":       func(o *Options) { o.Users = nil },
		"give TLS":        func(o *Options) { o.Addr = "0.0.0.0:8420" },
		"give users":      func(o *Options) { o.Addr, o.TLS, o.Users, o.OneTime = "0.0.0.0:8420", true, nil, one },
		"is for loopback": func(o *Options) { o.Addr, o.TLS, o.OneTime = "0.0.0.0:8420", true, one },
		"give --host":     func(o *Options) { o.Addr, o.TLS = "0.0.0.0:8420", true },
		"is no host name": func(o *Options) { o.Hosts = []string{"https://x"} },
		"missing port":    func(o *Options) { o.Addr = "127.0.0.1" },
	} {
		o := Options{Now: time.Now, Addr: "127.0.0.1:8420"}
		set(&o)
		change(&o)
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func TestTLSCookies(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	o := Options{Now: time.Now, Addr: "0.0.0.0:8443", TLS: true, Hosts: []string{"watch.x.example"}, Page: func(w http.ResponseWriter, _ *http.Request, status int, _ LoginPage) { w.WriteHeader(status) }}
	set(&o)
	g, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	g.Routes(mux)
	r := httptest.NewRequest(http.MethodGet, "https://watch.x.example/login", nil)
	w := httptest.NewRecorder()
	g.Protect(mux).ServeHTTP(w, r)
	c := w.Header().Get("Set-Cookie")
	if w.Code != 200 || !strings.HasPrefix(c, "__Host-midwatch-form=") || !strings.Contains(c, "; Secure") || !strings.Contains(c, "; Path=/") || strings.Contains(c, "Domain") || w.Header().Get("Strict-Transport-Security") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if g.cookies.session != "__Host-midwatch" {
		t.Error(g.cookies)
	}
}

// Many click while the users file changes and sessions end: each answer is one
// that was right at some moment.
func TestAtOnce(t *testing.T) {
	path, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, set)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		b := s.browser()
		want(t, "login", b.login("kim", password, "/"), 303, "/")
		wg.Go(func() {
			for range 100 {
				if a := b.get("/mail"); a.status != 200 && a.status != 403 && a.status != 303 {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
		})
	}
	for i := range 50 {
		role := []string{"viewer", "analyst"}[i%2]
		if err := replaceFile(path, bytes.Replace(file, []byte(":analyst:"), []byte(":"+role+":"), 1), info); err != nil {
			t.Error(err)
		}
		if i == 40 {
			s.guard.EndAll()
		}
	}
	wg.Wait()
}

// Of two cookies of one name neither counts: one is of another host.
func TestTwoCookies(t *testing.T) {
	_, set := withUsers(t, line("kim", Analyst))
	s := newSite(t, set)
	b := s.browser()
	b.login("kim", password, "/")
	id := b.session()
	name := s.guard.cookies.session
	other := s.browser()
	want(t, "one", other.get("/", "Cookie", name+"="+id), 200, "kim")
	want(t, "two", other.get("/", "Cookie", name+"="+secret()+"; "+name+"="+id), 303, "/login")
}

// What it costs to be let through: a session, and a users file that is looked at.
func BenchmarkRequire(b *testing.B) {
	path := filepath.Join(b.TempDir(), "users")
	if err := os.WriteFile(path, []byte(line("kim", Analyst)+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		b.Fatal(err)
	}
	users, err := OpenUsers(path, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(b.Context(), Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Addr: "127.0.0.1:8420", Users: users, Page: func(w http.ResponseWriter, _ *http.Request, status int, _ LoginPage) { w.WriteHeader(status) }})
	if err != nil {
		b.Fatal(err)
	}
	a, _, err := users.lookup("kim")
	if err != nil {
		b.Fatal(err)
	}
	id, _ := g.sessions.begin(User{Name: "kim", Role: Analyst, Via: ViaPassword}, a.stamp)
	h := g.Protect(g.Require(Analyst, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })))
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8420/mail", nil)
	r.AddCookie(&http.Cookie{Name: g.cookies.session, Value: id})
	for b.Loop() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
			b.Fatal(w.Code)
		}
	}
}

// What a login costs, in time and memory.
func BenchmarkPassword(b *testing.B) {
	p := hashPassword(password, recommended())
	b.ReportAllocs()
	for b.Loop() {
		if !p.matches(password) {
			b.Fatal("it does not match")
		}
	}
}
