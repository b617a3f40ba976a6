package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// ticker is a clock that a test moves.
type ticker struct {
	mu sync.Mutex
	t  time.Time
}

func newTicker() *ticker { return &ticker{t: time.Date(2024, 1, 12, 3, 4, 5, 0, time.UTC)} }

func (c *ticker) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *ticker) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestBind(t *testing.T) {
	const tls, auth, both = 1, 2, 3 // what is given, in bits
	for listen, want := range map[string]struct {
		loopback bool
		refused  bool // without TLS and users
	}{
		"127.0.0.1:8420":          {true, false},
		"127.8.9.10:0":            {true, false},
		"[::1]:8420":              {true, false},
		"[::ffff:127.0.0.1]:8420": {true, false},
		"localhost:8420":          {true, false},
		":8420":                   {false, true},
		"0.0.0.0:8420":            {false, true},
		"[::]:8420":               {false, true},
		"192.0.2.7:8420":          {false, true},
		"[2001:db8::1]:8420":      {false, true},
		"[::ffff:192.0.2.7]:8420": {false, true},
		"0:8420":                  {false, true},
	} {
		for given := range 4 {
			l, err := Bind(t.Context(), listen, given&tls != 0, given&auth != 0)
			refused := want.refused && given != both
			if (err != nil) != refused && !(listen == "0:8420" && err != nil) {
				t.Errorf("%s with %d: %v", listen, given, err)
				continue
			}
			if err == nil && l != want.loopback {
				t.Errorf("%s: loopback %v", listen, l)
			}
			if err != nil && want.refused && listen != "0:8420" {
				for flag, missing := range map[string]bool{"--tls-cert": given&tls == 0, "--users": given&auth == 0, "ssh -L": true} {
					if strings.Contains(err.Error(), flag) != missing {
						t.Errorf("%s with %d: %v", listen, given, err)
					}
				}
			}
		}
	}
	for _, listen := range []string{"", "8420", "127.0.0.1", "::1:8420", "no-such-host.invalid:8420"} {
		if _, err := Bind(t.Context(), listen, false, false); err == nil {
			t.Errorf("%q", listen)
		}
	}
	l, err := Listen(t.Context(), "localhost:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Listen(t.Context(), ":0", true, false); err == nil {
		t.Error("listens")
	}
}

func TestHosts(t *testing.T) {
	for _, x := range []struct {
		addr     string
		loopback bool
		tls      bool
		names    []string
		yes, no  []string
	}{
		{"127.0.0.1:8420", true, false, nil,
			[]string{"127.0.0.1:8420", "localhost:8420", "LOCALHOST:8420", "[::1]:8420"},
			[]string{"", "localhost", "localhost:8421", "evil.example:8420", "127.0.0.1.evil.example:8420", "localhost.:8420", "0.0.0.0:8420", "127.0.0.2:8420", "[::1]", "::1"}},
		{"127.0.0.2:80", true, false, nil, []string{"127.0.0.2", "localhost", "[::1]", "127.0.0.2:80"}, []string{"localhost:443", "evil.example"}},
		{"127.0.0.1:443", true, true, nil, []string{"localhost"}, []string{"localhost:80"}},
		{"127.0.0.1:8420", true, true, []string{"Watch.x.example"}, []string{"watch.x.example", "watch.x.example:9", "localhost:8420"}, []string{"x.example", "a.watch.x.example"}},
		{"[::]:8443", false, true, []string{"watch.x.example:8443", "192.0.2.7", "[2001:db8::7]"},
			[]string{"watch.x.example:8443", "192.0.2.7:8443", "192.0.2.7", "[2001:db8::7]:8443"}, []string{"watch.x.example", "watch.x.example:1", "localhost:8443", "127.0.0.1:8443"}},
	} {
		h, err := newHosts(x.addr, x.loopback, x.tls, x.names)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range x.yes {
			if !h.has(n) {
				t.Errorf("%s: %q is refused", x.addr, n)
			}
		}
		for _, n := range x.no {
			if h.has(n) {
				t.Errorf("%s: %q is answered", x.addr, n)
			}
		}
	}
	if _, err := newHosts("[::]:8443", false, true, nil); err == nil || !strings.Contains(err.Error(), "--host") {
		t.Error(err)
	}
	for _, n := range []string{"", "https://x.example", "*.x.example"} {
		if _, err := newHosts("127.0.0.1:1", true, false, []string{n}); err == nil {
			t.Errorf("%q", n)
		}
	}
}

func TestLocalPath(t *testing.T) {
	for _, s := range []string{"/", "/a", "/a/b?c=d&e=%2F%2Fx", "/a?u=https://x.example/", "/logins", "/a//b", "/%2F%2Fx.example"} {
		if got, ok := LocalPath(s); !ok || got != s {
			t.Errorf("%q: %q %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "a", "//x.example", "///x.example", `/\x.example`, `\\x.example`, `/a\b`, "https://x.example/", "javascript:alert(1)", "/\t/x.example", "/\n/x.example", "/a b",
		"/\x00", "/ä", "/a#b", "/%zz", "/login", "/login?token=x", "/login/oidc", "/logout", "/" + strings.Repeat("a", 2000)} {
		if got, ok := LocalPath(s); ok || got != "/" {
			t.Errorf("%q: %q %v", s, got, ok)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "/a?b=c", "//x.example", `/\x`, "/\t/x", "/..//x.example", "/.//x.example", "/login"} {
		f.Add(s)
	}
	base, err := url.Parse("https://watch.x.example/login?next=x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := LocalPath(s)
		if !ok && got != "/" || ok && got != s {
			t.Fatalf("%q: %q %v", s, got, ok)
		}
		// As browsers take it: without tabs and line ends, with / for \.
		seen := strings.ReplaceAll(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(got), `\`, "/")
		u, err := base.Parse(seen)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || strings.HasPrefix(seen, "//") {
			t.Fatalf("%q leads to %v, %v", s, u, err)
		}
	})
}

func TestSessions(t *testing.T) {
	c := newTicker()
	s := &sessions{now: c.now, idle: 30 * time.Minute, life: 2 * time.Hour, max: 5, each: 2, of: map[digest]*session{}}
	kim := User{Name: "kim", Via: ViaPassword}
	id, x := s.begin(kim, digest{})
	if !isSecret(id) || !isSecret(x.csrf) || strings.Contains(fmt.Sprint(s.of), id) {
		t.Error("the id is kept, or is none")
	}
	for range 3 { // it lives while it is used
		c.add(29 * time.Minute)
		if got, ok := s.find(id, true); !ok || got.user != kim || got.csrf != x.csrf {
			t.Fatalf("%+v %v", got, ok)
		}
	}
	c.add(30 * time.Minute)
	if _, ok := s.find(id, true); ok || len(s.of) != 0 {
		t.Error("it was idle")
	}
	id, _ = s.begin(kim, digest{})
	for range 2 { // what a page asks by itself is no use
		c.add(15 * time.Minute)
		s.find(id, false)
	}
	if _, ok := s.find(id, true); ok {
		t.Error("a page that is left open keeps its session")
	}
	id, _ = s.begin(kim, digest{})
	for range 5 {
		c.add(20 * time.Minute)
		s.find(id, true)
	}
	c.add(20 * time.Minute)
	if _, ok := s.find(id, true); ok {
		t.Error("it has its age")
	}
	// Of one user, and of all.
	var ids []string
	for range 3 {
		id, _ := s.begin(kim, digest{})
		ids = append(ids, id)
		c.add(time.Second)
	}
	if _, ok := s.find(ids[0], true); ok || len(s.of) != 2 {
		t.Error("the oldest stays")
	}
	for i := range 10 {
		s.begin(User{Name: fmt.Sprint(i), Via: ViaPassword}, digest{})
		c.add(time.Second)
	}
	if len(s.of) != 5 {
		t.Errorf("%d sessions", len(s.of))
	}
	if n := s.endAll(func(u User) bool { return u.Name > "7" }); n != 2 || len(s.of) != 3 {
		t.Errorf("%d ended, %d are left", n, len(s.of))
	}
	for _, id := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 1<<20)} {
		if _, ok := s.find(id, true); ok {
			t.Errorf("%.10q", id)
		}
	}
	if (User{Name: "kim", Via: ViaOIDC}).key() == kim.key() || (User{Name: "kim", Via: ViaOIDC, Subject: "1"}).key() != (User{Name: "k", Via: ViaOIDC, Subject: "1"}).key() {
		t.Error("accounts")
	}
}

func TestOneTime(t *testing.T) {
	c := newTicker()
	o, token := NewOneTime(c.now, "soc")
	if _, err := o.use(secret()); err != errTokenWrong {
		t.Error(err)
	}
	c.add(oneTimeLife - 1)
	if u, err := o.use(token); err != nil || u != (User{Name: "soc", Role: Responder, Via: ViaToken}) {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := o.use(token); err != errTokenUsed {
		t.Error(err)
	}
	next := o.Renew()
	if _, err := o.use(token); err != errTokenWrong {
		t.Error(err)
	}
	c.add(oneTimeLife)
	if _, err := o.use(next); err != errTokenExpired {
		t.Error(err)
	}
	// Of many at once one comes in.
	last := o.Renew()
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 50 {
		wg.Go(func() {
			if _, err := o.use(last); err == nil {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("%d came in", in)
	}
}

func TestLimiter(t *testing.T) {
	c := newTicker()
	l := newLimiter(10*time.Second, 3)
	for range 3 {
		if wait, _ := l.try("a", c.now()); wait != 0 {
			t.Error(wait)
		}
	}
	if wait, first := l.try("a", c.now()); wait != 10*time.Second || !first {
		t.Error(wait, first)
	}
	c.add(4 * time.Second)
	if wait, first := l.try("a", c.now()); wait.Round(time.Millisecond) != 6*time.Second || first {
		t.Error(wait, first)
	}
	if wait, _ := l.try("b", c.now()); wait != 0 {
		t.Error("one is kept out by another")
	}
	c.add(6 * time.Second)
	if wait, _ := l.try("a", c.now()); wait != 0 {
		t.Error(wait)
	}
	// As many keys as there are leave memory as it is, and what is new shares.
	l.max = 10
	for i := range 1000 {
		l.try(fmt.Sprint(i), c.now())
	}
	if len(l.of) > 10 {
		t.Errorf("%d keys", len(l.of))
	}
	if wait, _ := l.try("new", c.now()); wait == 0 {
		t.Error("many keys make many tries")
	}
	c.add(time.Minute)
	if wait, _ := l.try("new", c.now()); wait != 0 || len(l.of) > 2 {
		t.Errorf("%v, %d keys", wait, len(l.of))
	}
}

func TestNeighborhood(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:1":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"@":                        "invalid IP",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = in
		if got := neighborhood(remote(r)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, strict := range []bool{false, true} {
		w := httptest.NewRecorder()
		Headers(strict, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		h := w.Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s", name, h.Get(name))
			}
		}
		if (h.Get("Strict-Transport-Security") != "") != strict || h.Get("Permissions-Policy") == "" {
			t.Error(h)
		}
	}
}
