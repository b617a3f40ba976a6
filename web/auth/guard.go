package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Options are what a [Guard] is made of.
type Options struct {
	Now  func() time.Time // the clock
	Log  *slog.Logger     // gets every [Event]
	Addr string           // what is listened on, as the listener says it: 127.0.0.1:8420

	// TLS says that browsers come over TLS, ours or a proxy's.
	TLS bool

	// Hosts are the names that browsers use, with or without a port. On loopback
	// there need be none; that of OIDC's redirect URL is added.
	Hosts []string

	// The ways in; at least one.
	OneTime *OneTime // on loopback only
	Users   *Users
	OIDC    *OIDC

	// Page draws the pages of this package: the login and every refusal. It
	// writes status and body; headers are set. HEAD requests come here, too.
	Page func(w http.ResponseWriter, r *http.Request, status int, p LoginPage)

	// Record is called with every [Event], before the answer is written. It may
	// be nil, and is called from many goroutines.
	Record func(Event)

	Idle     time.Duration // a session ends when unused for this long; 30 minutes if zero
	Lifetime time.Duration // and in any case after this; 12 hours if zero
}

// At most so many sessions at once, and of one user.
const (
	maxSessions = 1000
	maxPerUser  = 10
)

// LoginPage is what a page of this package has to show.
type LoginPage struct {
	// Error is a sentence that says why something was refused, without a full
	// stop; empty where nothing was.
	Error string

	// Form says that somebody is to log in: show the ways in that are there. If it
	// is false the page is a refusal, with Error.
	Form     bool
	Password bool   // form: POST /login with csrf, next, name, password
	OIDC     bool   // link, not a form: /login/oidc?next=Next, escaped
	OneTime  bool   // no form: who started the server has a link
	Token    string // of that link: form, one button: POST /login with csrf, next, token

	CSRF string // hidden field csrf of the forms
	Next string // hidden field next: a path of ours, to go on to
	Name string // what was typed for a name

	RetryAfter time.Duration // with status 429: in whole seconds
	User       User          // with status 403: who is in, if somebody is
	Need       Role          // with status 403: what they would have to be, if it is that
}

// Action says what happened.
type Action string

// The actions.
const (
	LoggedIn  Action = "login"
	Failed    Action = "login.failed"
	Locked    Action = "login.locked" // too many tries; once until one is let through
	LoggedOut Action = "logout"
	Ended     Action = "session.ended" // the account went, or its password changed
)

// Event is something that happened to a login or a session.
type Event struct {
	Time    time.Time
	Action  Action
	User    User       // as far as it is known: a name that no user has is not kept
	Remote  netip.Addr // who spoke to us: a proxy, if there is one
	Session string     // as [SessionFrom]
	Reason  string
}

// Guard lets people in, and through.
type Guard struct {
	o        Options
	loopback bool
	hosts    hosts
	cookies  cookies
	sessions *sessions
	forms    [32]byte // key of the tokens of forms before login
	byAddr   *limiter // logins
	byName   *limiter
	byFlow   *limiter // ways to the issuer and back
	cross    *http.CrossOriginProtection
}

// New returns a guard. The error says what of the options does not fit.
func New(ctx context.Context, o Options) (*Guard, error) {
	_, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", o.Addr, err)
	}
	loopback, err := Bind(ctx, o.Addr, o.TLS, o.Users != nil || o.OIDC != nil)
	if err != nil {
		return nil, err
	}
	switch {
	case o.OneTime == nil && o.Users == nil && o.OIDC == nil:
		return nil, errors.New("there is no way in: a one-time token, users or OpenID Connect")
	case o.OneTime != nil && !loopback:
		return nil, errors.New("a one-time token is for loopback; the server listens on more")
	}
	names := o.Hosts
	if o.OIDC != nil {
		u := o.OIDC.redirect
		if (u.Scheme == "https") != o.TLS {
			return nil, fmt.Errorf("redirect URL %s: its scheme is not that under which browsers come", u)
		}
		names = append([]string{u.Host}, names...)
	}
	hosts, err := newHosts(o.Addr, loopback, o.TLS, names)
	if err != nil {
		return nil, err
	}
	if o.Idle <= 0 {
		o.Idle = 30 * time.Minute
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 12 * time.Hour
	}
	g := &Guard{
		o: o, loopback: loopback, hosts: hosts, cookies: newCookies(o.TLS, port),
		sessions: &sessions{now: o.Now, idle: o.Idle, life: o.Lifetime, max: maxSessions, each: maxPerUser, of: map[digest]*session{}},
		// Of names more than of addresses: one address alone cannot keep a user out.
		byAddr: newLimiter(10*time.Second, 6),
		byName: newLimiter(4*time.Second, 20),
		byFlow: newLimiter(2*time.Second, 30),
		cross:  http.NewCrossOriginProtection(),
	}
	_, _ = rand.Read(g.forms[:]) // never fails
	g.cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.refuse(w, r, http.StatusForbidden, "the request came from a page of another site")
	}))
	return g, nil
}

// Protect goes around everything that is served, what is open to all included:
// it answers only under our own names, refuses what pages of others send, and
// sets the headers.
func (g *Guard) Protect(next http.Handler) http.Handler {
	inner := g.cross.Handler(next)
	return Headers(g.o.TLS && !g.loopback, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.hosts.has(r.Host) {
			g.refuse(w, r, http.StatusMisdirectedRequest, "this server does not answer under that name; use the address that it printed, or start it with --host NAME")
			return
		}
		inner.ServeHTTP(w, r)
	}))
}

// maxForm bounds the body of a request whose form is read for its token.
const maxForm = 1 << 20

// Require lets a request through to next if it is of a session whose user has
// the role, and, unless it only reads, has the session's token: in the form field
// csrf or the header X-CSRF-Token. Who has no session is sent to the login if
// they look at a page. The user is in the context that next sees.
func (g *Guard) Require(role Role, next http.Handler) http.Handler {
	return g.require(role, true, next)
}

// RequireQuietly is [Guard.Require] for what a page asks by itself: it does not
// count as use, so that a page that is left open does not keep its session.
func (g *Guard) RequireQuietly(role Role, next http.Handler) http.Handler {
	return g.require(role, false, next)
}

func (g *Guard) require(role Role, use bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok, err := g.session(r, use)
		switch {
		case err != nil:
			g.o.Log.ErrorContext(r.Context(), "users cannot be read", "error", err)
			g.refuse(w, r, http.StatusServiceUnavailable, "the users file cannot be read; the server's log says why")
			return
		case !ok:
			g.signIn(w, r)
			return
		case s.user.Role < role:
			g.page(w, r, http.StatusForbidden, LoginPage{Error: fmt.Sprintf("this is for the role %s, and yours is %s", role, s.user.Role), User: s.user, Need: role})
			return
		case !reads(r.Method) && tooLarge(w, r):
			g.page(w, r, http.StatusRequestEntityTooLarge, LoginPage{Error: "the form is too large", User: s.user})
			return
		case !reads(r.Method) && !hasToken(r, s.csrf):
			g.page(w, r, http.StatusForbidden, LoginPage{Error: "the form was of another session; go back, load the page again and repeat what you did", User: s.user})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, s)))
	})
}

// Token is what the forms of a page have in the field csrf, and scripts in the
// header X-CSRF-Token. Pages that have it must not be compressed together with
// what others can put there.
func Token(r *http.Request) string {
	s, _ := r.Context().Value(contextKey{}).(session)
	return s.csrf
}

func reads(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// tooLarge reads the form and reports whether it is larger than it may be. What
// else is wrong with it is for who reads its fields to find.
func tooLarge(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	var large *http.MaxBytesError
	return errors.As(r.ParseForm(), &large)
}

func hasToken(r *http.Request, want string) bool {
	got := r.Header.Get("X-CSRF-Token")
	if got == "" {
		got = r.PostFormValue("csrf") // tooLarge has bounded it
	}
	return same(got, want)
}

// session finds the session of a request, with the role that its user has now.
// The error is of the users file.
func (g *Guard) session(r *http.Request, use bool) (s session, ok bool, err error) {
	id := cookie(r, g.cookies.session)
	if s, ok = g.sessions.find(id, use); !ok || s.user.Via != ViaPassword {
		return s, ok, nil
	}
	u, there, err := g.o.Users.lookup(s.user.Name)
	if err != nil {
		return session{}, false, err
	}
	if why := ""; !there || u.stamp != s.stamp {
		if why = "its user was removed"; there {
			why = "its user's password was changed"
		}
		g.sessions.end(id)
		g.record(r, Event{Action: Ended, User: s.user, Session: s.short, Reason: why})
		return session{}, false, nil
	}
	s.user.Role = u.role
	return s, true, nil
}

// signIn answers who has no session.
func (g *Guard) signIn(w http.ResponseWriter, r *http.Request) {
	if !isPage(r) {
		w.Header().Set("WWW-Authenticate", `Cookie realm="midwatch"`)
		g.refuse(w, r, http.StatusUnauthorized, "nobody is logged in")
		return
	}
	to := "/login"
	if next, ok := LocalPath(r.URL.RequestURI()); ok && next != "/" {
		to += "?next=" + url.QueryEscape(next)
	}
	g.redirect(w, to)
}

// isPage reports whether somebody looks at a page, rather than a script at data.
func isPage(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// redirect goes on, with GET. http.Redirect would tidy the path up.
func (g *Guard) redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	g.page(w, r, status, LoginPage{Error: why})
}

func (g *Guard) page(w http.ResponseWriter, r *http.Request, status int, p LoginPage) {
	w.Header().Set("Cache-Control", "no-store")
	g.o.Page(w, r, status, p)
}

// record writes down that something happened.
func (g *Guard) record(r *http.Request, e Event) {
	e.Time, e.Remote = g.o.Now(), remote(r)
	level := slog.LevelInfo
	if e.Action == Failed || e.Action == Locked {
		level = slog.LevelWarn
	}
	g.o.Log.LogAttrs(r.Context(), level, string(e.Action), slog.String("user", e.User.Name), slog.String("role", e.User.Role.String()), slog.String("via", e.User.Via),
		slog.String("remote", e.Remote.String()), slog.String("session", e.Session), slog.String("reason", e.Reason))
	if g.o.Record != nil {
		g.o.Record(e)
	}
}

// LocalPath returns next if it is a path of ours to go on to after login, with
// its query, and "/" otherwise. Browsers take //host, /\host and a path with a
// line's end in it for other sites.
func LocalPath(next string) (path string, ok bool) {
	const most = 1024
	if len(next) == 0 || len(next) > most || next[0] != '/' || strings.HasPrefix(next, "//") {
		return "/", false
	}
	for _, c := range []byte(next) {
		if c <= ' ' || c == '\\' || c >= 0x7f {
			return "/", false
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return "/", false
	}
	if first, _, _ := strings.Cut(u.Path[1:], "/"); first == "login" || first == "logout" {
		return "/", false // they would lead round in a circle
	}
	return next, true
}
