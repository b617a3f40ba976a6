// Package webtest gives tests a case that the real pipeline made, and a server
// over it that is put together as `midwatch serve` does it.
package webtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/casework"
	"midwatch/internal/casefolder"
	"midwatch/report"
	"midwatch/store/duckdb"
	"midwatch/web"
	"midwatch/web/audit"
	"midwatch/web/auth"
	"midwatch/web/dossier"
)

// Fixture is a program and a case that it made.
type Fixture struct {
	Bin  string // midwatch
	Case string // folder; copied by who changes it
	Mail string // exports of two of the mailboxes that were reached
}

// Make builds the program and the case below dir: an organization of a hundred
// people in whom somebody was, with what was in two mailboxes, and notices.
func Make(ctx context.Context, dir string) (*Fixture, error) {
	f := &Fixture{Bin: filepath.Join(dir, "midwatch"), Case: filepath.Join(dir, "incident.case")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", f.Bin, "midwatch/cmd/midwatch").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build midwatch: %w: %s", err, out)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	logs := at("tenant")
	f.Mail = filepath.Join(logs, "two")
	for _, step := range [][]string{
		{"simulate", "--quiet", "--scenario", "midnight", "--users", "100", "--days", "60", "--seed", "7", "--mail", "--out", logs},
		{"investigate", filepath.Join(logs, "logs"), "--quiet", "--asn", filepath.Join(logs, "context", "asn.csv"), "--directory", filepath.Join(logs, "context", "directory.csv"), "--out", f.Case},
		nil, // the mailboxes are chosen when they are there
		{"exposure", f.Case, "--mail", f.Mail},
		{"notify", "templates", at("templates")},
		{"notify", f.Case, "--contact", at("templates", "contact.yaml")},
	} {
		if step == nil {
			if err := choose(filepath.Join(logs, "mail"), f.Mail, 2); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := f.Run(ctx, step...); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// choose moves the first folders of one to another.
func choose(from, to string, n int) error {
	es, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range es[:min(n, len(es))] {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Run runs a verb and returns what it printed. That there are findings, or input
// that was not complete, is no error.
func (f *Fixture) Run(ctx context.Context, args ...string) (string, error) {
	var out, bad bytes.Buffer
	cmd := exec.CommandContext(ctx, f.Bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &bad
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 3) {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("midwatch %s: %w: %s", strings.Join(args, " "), err, bad.String())
	}
	return out.String(), nil
}

// Copy copies the case into a folder of the test, under a name.
func (f *Fixture) Copy(t testing.TB, name string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), name+casefolder.Suffix)
	if err := os.CopyFS(to, os.DirFS(f.Case)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	return to
}

// Clock is a clock that is set by hand.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Add moves it on.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Options say how a server is to be.
type Options struct {
	Dirs      []string // of the cases
	Start     time.Time
	Approvals int
	// OneTime is who comes in by the link; empty: users with passwords do, see
	// [Names].
	OneTime string
	// Cards are what detectors say about themselves.
	Cards func(dir string) (map[string]report.Card, error)
	// Redo makes a case anew; nil: the program does.
	Redo func(ctx context.Context, dir string) error
	Idle time.Duration
}

// Server is a server of cases.
type Server struct {
	URL   string
	Web   *web.Server
	Clock *Clock
	Link  string // that works once
	Dirs  []string
	log   *lockedBuffer
}

// Password is that of all users.
const Password = "correct horse battery"

// Names are the users of a server, by their role.
func Names(r auth.Role) string {
	return map[auth.Role]string{auth.Viewer: "vera", auth.Analyst: "ana", auth.Responder: "rene"}[r]
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Log is what the server wrote to its log.
func (s *Server) Log() string {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.b.String()
}

// Serve serves cases until the test ends.
func (f *Fixture) Serve(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Clock: &Clock{at: o.Start}, log: &lockedBuffer{}, Dirs: o.Dirs}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	h := httptest.NewUnstartedServer(nil)
	a := auth.Options{Now: s.Clock.Now, Log: log, Addr: h.Listener.Addr().String(), Idle: o.Idle}
	var token string
	if o.OneTime != "" {
		a.OneTime, token = auth.NewOneTime(s.Clock.Now, o.OneTime)
	} else {
		path := filepath.Join(t.TempDir(), "users")
		users := map[string]auth.Role{"rolf": auth.Responder}
		for _, r := range auth.Roles() {
			users[Names(r)] = r
		}
		for name, r := range users {
			if err := auth.AddUser(t.Context(), path, name, r, Password); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if a.Users, err = auth.OpenUsers(path, s.Clock.Now); err != nil {
			t.Fatal(err)
		}
	}
	a.Page = func(w http.ResponseWriter, r *http.Request, status int, p auth.LoginPage) {
		s.Web.Login(w, r, status, p)
	}
	guard, err := auth.New(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	conf := web.Config{
		Guard: guard, Audit: map[string]*audit.Log{}, Log: log, Now: s.Clock.Now, Account: "server", Version: "test", Life: life,
		Work: &casework.Office{Now: s.Clock.Now, Approvals: o.Approvals}, Redo: o.Redo,
		Report: func(ctx context.Context, w io.Writer, dir string, form report.Format, file string) error {
			args := []string{"report", dir, "--format", form.Name()}
			if len(form.Files()) > 1 {
				args = append(args, "--file", file)
			}
			out, err := f.Run(ctx, args...)
			if err == nil {
				_, err = io.WriteString(w, out)
			}
			return err
		},
	}
	if conf.Redo == nil {
		conf.Redo = func(ctx context.Context, dir string) error {
			_, err := f.Run(ctx, "investigate", "--again", dir, "--quiet")
			return err
		}
	}
	if o.Cards == nil {
		o.Cards = func(string) (map[string]report.Card, error) { return nil, nil }
	}
	open := func(ctx context.Context, dir string) (dossier.Evidence, error) {
		desk, err := duckdb.OpenDesk(ctx, "", filepath.Join(dir, casefolder.Events), duckdb.DeskOptions{MemoryLimit: "512MB"})
		return dossier.Evidence{Tables: desk, Events: desk, Joined: true}, err
	}
	var shelves []*dossier.Shelf
	for _, dir := range o.Dirs {
		name := dossier.Name(dir)
		shelf, err := dossier.NewShelf(t.Context(), name, dir, open, web.Prepare(o.Cards), log)
		if err != nil {
			t.Fatal(err)
		}
		shelves = append(shelves, shelf)
		conf.Cases = append(conf.Cases, shelf)
		conf.Audit[name] = audit.Open(filepath.Join(dir, audit.File), "server", s.Clock.Now)
	}
	if s.Web, err = web.New(conf); err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	go func() { defer close(watched); s.Web.Watch(life, 200*time.Millisecond) }()
	h.Config.Handler = s.Web
	h.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	h.Start()
	s.URL = h.URL
	if token != "" {
		s.Link = auth.LoginURL(s.URL, token)
	}
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		stop()
		<-watched
		for _, x := range shelves {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Log())
		}
	})
	return s
}

// Client is a browser without a window.
type Client struct {
	t     testing.TB
	base  string
	http  *http.Client
	Token string // against forged requests
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Stranger is a client that has not come in.
func (s *Server) Stranger(t testing.TB) *Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Client{t: t, base: s.URL, http: &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// As is a client of who has a role.
func (s *Server) As(t testing.TB, r auth.Role) *Client {
	t.Helper()
	return s.Named(t, Names(r))
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// Named is a client of a user.
func (s *Server) Named(t testing.TB, name string) *Client {
	t.Helper()
	s.Clock.Add(10 * time.Second) // logins are limited
	c := s.Stranger(t)
	m := csrfField.FindStringSubmatch(c.Get("/login").Body)
	if m == nil {
		t.Fatal("the login has no form")
	}
	if a := c.send("POST", "/login", url.Values{"csrf": {m[1]}, "next": {"/"}, "name": {name}, "password": {Password}}); a.Status != http.StatusSeeOther {
		t.Fatalf("login of %s: status %d\n%s", name, a.Status, a.Body)
	}
	c.readToken()
	return c
}

func (c *Client) readToken() {
	c.t.Helper()
	a := c.Get("/nowhere")
	m := csrfField.FindStringSubmatch(a.Body)
	if m == nil {
		c.t.Fatalf("no token on a page, status %d", a.Status)
	}
	c.Token = m[1]
}

// Get asks for a page, as one does who looks at pages.
func (c *Client) Get(path string) Answer {
	c.t.Helper()
	return c.Do("GET", path, nil, "Accept", "text/html")
}

// Post sends a form, with the token.
func (c *Client) Post(path string, kv ...string) Answer {
	c.t.Helper()
	f := url.Values{"csrf": {c.Token}}
	for i := 0; i+1 < len(kv); i += 2 {
		f.Add(kv[i], kv[i+1])
	}
	return c.send("POST", path, f)
}

func (c *Client) send(method, path string, f url.Values, header ...string) Answer {
	c.t.Helper()
	return c.Do(method, path, strings.NewReader(f.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}, header...)...)
}

// Do sends a request. header are names and values.
func (c *Client) Do(method, path string, body io.Reader, header ...string) Answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, body)
	if err != nil {
		c.t.Fatalf("%s %.200s: %v", method, path, err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatalf("%s %.200s: %v", method, path, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("%s %.200s: %v", method, path, err)
	}
	return Answer{res.StatusCode, res.Header, string(b)}
}

// Eventually waits until something holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("waited 30 seconds: %s", what)
}

// Pages lists the addresses of all pages of a case, one of each kind, with the
// role that may see them.
func Pages(name string, ids IDs) []Page {
	base := "/c/" + name
	v, a := auth.Viewer, auth.Analyst
	return slices.Concat([]Page{
		{"overview", base + "/", v}, {"timeline", base + "/timeline", v}, {"graph", base + "/graph", v},
		{"campaign", base + "/campaigns/" + url.PathEscape(ids.Campaign), v}, {"findings", base + "/findings", v}, {"finding", base + "/findings/" + url.PathEscape(ids.Finding), v},
		{"mailboxes", base + "/mailboxes", v}, {"coverage", base + "/coverage", v}, {"report", base + "/report", v},
		{"campaigns", base + "/work", v}, {"containment", base + "/work/containment", v}, {"clocks", base + "/work/clocks", v}, {"journal", base + "/work/journal", v},
		{"secrets", base + "/work/secrets", a}, {"notices", base + "/work/notices", a},
		{"mailbox", base + "/mailboxes/" + url.PathEscape(ids.Campaign) + "/" + url.PathEscape(ids.Mailbox), a},
		{"messages", base + "/messages", a}, {"records", base + "/records", a}, {"record", base + "/records/" + ids.Record, a}, {"questions", base + "/questions", a},
		{"bad filter", base + "/records?from=never", a}, {"no such page", base + "/nowhere", v},
	})
}

// IDs are ids that are in a case.
type IDs struct{ Campaign, Finding, Mailbox, Record string }

// Page is an address and who may see it.
type Page struct {
	Name, Path string
	Role       auth.Role
}
