package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/casework"
	"midwatch/report"
	"midwatch/store/duckdb"
	"midwatch/web"
	"midwatch/web/audit"
	"midwatch/web/auth"
	"midwatch/web/dossier"
)

// serveOptions are the flags of the verb.
type serveOptions struct {
	listen    string
	users     string
	cert, key string
	hosts     []string
	memory    string
	approvals int
	zone      string
	idle      time.Duration
	oidc      oidcOptions
	wait      time.Duration
}

type oidcOptions struct {
	issuer, client, redirect string
	secretFile               string
	name, roles              string
	mapping                  []string
}

const envOIDCSecret = "MIDWATCH_OIDC_SECRET"

func newServe(std stdio) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve CASE...",
		Short: "Show cases in a browser, where people work on them",
		Long: `Show cases in a browser: the verdict, the time line, how the actor moved, every
mailbox, message and record, the coverage, questions in SQL, and the work that people
do in a case, all of which goes into its journal.

Without anything else it listens on this machine alone and prints a link with which
to come in, once. To listen on another address it wants TLS, and a users file or an
OpenID Connect issuer. Roles are viewer, analyst (sees what mail holds, decides about
campaigns) and responder (secrets, notices, clocks, containment). docs/ACCESS.md
tells all of it.

Who is shown what mail holds is written to access.ndjson in the case, before it is
shown. Pages ask for nothing from outside. Ctrl-C ends it.`,
		Example: `  midwatch serve incident.case
  midwatch user add ana --users users.txt --role analyst
  midwatch serve incident.case other.case --listen 0.0.0.0:8443 --host cases.contoso.com --tls-cert cert.pem --tls-key key.pem --users users.txt`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), std, args) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8420", "address to listen on; port 0 takes a free one")
	f.StringVar(&o.users, "users", "", "file of users, see midwatch user")
	f.StringVar(&o.cert, "tls-cert", "", "certificate chain, PEM")
	f.StringVar(&o.key, "tls-key", "", "its key, PEM")
	f.StringSliceVar(&o.hosts, "host", nil, "name under which browsers come (repeatable)")
	f.StringVar(&o.memory, "memory", "1GB", "memory for questions to a case, in DuckDB's notation")
	f.IntVar(&o.approvals, "approvals", 0, "people who have to approve a step of containment")
	f.StringVar(&o.zone, "zone", "UTC", "your time zone, such as Europe/Berlin: the days of clocks end in it")
	f.DurationVar(&o.idle, "idle", 30*time.Minute, "a session ends when it is not used for so long")
	f.DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for another process that has the DuckDB file open")
	f.StringVar(&o.oidc.issuer, "oidc-issuer", "", "OpenID Connect issuer, such as https://login.microsoftonline.com/TENANT/v2.0")
	f.StringVar(&o.oidc.client, "oidc-client", "", "client id at the issuer")
	f.StringVar(&o.oidc.redirect, "oidc-redirect", "", "redirect URL: https://NAME/login/oidc/callback")
	f.StringVar(&o.oidc.secretFile, "oidc-secret-file", "", "file with the client secret (default: environment variable "+envOIDCSecret+")")
	f.StringVar(&o.oidc.name, "oidc-name", "", "claim that says who somebody is (default: preferred_username)")
	f.StringVar(&o.oidc.roles, "oidc-roles", "", "claim that says what somebody may do (default: roles)")
	f.StringSliceVar(&o.oidc.mapping, "oidc-role", nil, "VALUE=ROLE of that claim (repeatable)")
	return c
}

func (o *serveOptions) run(ctx context.Context, std stdio, dirs []string) (err error) {
	log := slog.New(slog.NewTextHandler(std.err, nil))
	if (o.cert == "") != (o.key == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	zone, err := time.LoadLocation(o.zone)
	if err != nil {
		return fmt.Errorf("--zone %q is no time zone, such as Europe/Berlin or America/New_York", o.zone)
	}
	account := accountName()
	secure := o.cert != ""
	a := auth.Options{Now: now, Log: log, TLS: secure, Hosts: o.hosts, Idle: o.idle}
	if o.users != "" {
		if a.Users, err = auth.OpenUsers(o.users, now); err != nil {
			return err
		}
	}
	if a.OIDC, err = o.oidc.open(ctx); err != nil {
		return err
	}
	// Before the cases are read: what will not be served is said at once.
	ln, err := auth.Listen(ctx, o.listen, secure, a.Users != nil || a.OIDC != nil)
	if err != nil {
		return err
	}
	defer ln.Close() //nolint:errcheck // closed by the server
	a.Addr = ln.Addr().String()
	if a.Users == nil && a.OIDC == nil {
		a.OneTime, _ = auth.NewOneTime(now, account)
	}
	// The guard draws its pages with the server, which is made with the guard.
	var server *web.Server
	a.Page = func(w http.ResponseWriter, r *http.Request, status int, p auth.LoginPage) {
		server.Login(w, r, status, p)
	}
	guard, err := auth.New(ctx, a)
	if err != nil {
		return err
	}

	life, stop := context.WithCancel(ctx)
	defer stop()
	conf := web.Config{
		Guard: guard, Audit: map[string]*audit.Log{}, Log: log, Now: now, Account: account, Version: revision(), Life: life,
		Work:   &casework.Office{Now: now, Zone: zone, Approvals: o.approvals},
		Redo:   func(ctx context.Context, dir string) error { return redo(ctx, log, dir, o.wait) },
		Report: renderReport,
	}
	prepare := web.Prepare(caseCards)
	for _, dir := range dirs {
		dir = filepath.Clean(dir)
		name := dossier.Name(dir)
		fmt.Fprintf(std.err, "midwatch: reading %s\n", report.Plain(dir))
		shelf, err := dossier.NewShelf(ctx, name, dir, o.opener(std), prepare, log)
		if err != nil {
			return explain(err, "the case is as it was")
		}
		defer func() { err = errors.Join(err, shelf.Close()) }()
		conf.Cases = append(conf.Cases, shelf)
		conf.Audit[name] = audit.Open(filepath.Join(dir, audit.File), account, now)
	}
	if server, err = web.New(conf); err != nil {
		return err
	}
	watched := make(chan struct{})
	go func() { defer close(watched); server.Watch(life, 2*time.Second) }()

	srv := &http.Server{
		Handler: server, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 10 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	where := a.Addr
	if len(o.hosts) > 0 {
		where = o.hosts[0]
	}
	fmt.Fprintf(std.out, "Cases:   %s\n", report.Plain(strings.Join(dirs, ", ")))
	if a.OneTime != nil {
		// Made only now: its time runs, and reading cases takes some.
		fmt.Fprintf(std.out, "Open:    %s\n         it works once, within ten minutes; whoever can read this can come in\n", auth.LoginURL(scheme+"://"+where, a.OneTime.Renew()))
	} else {
		fmt.Fprintf(std.out, "Open:    %s://%s/\n", scheme, where)
	}
	done := make(chan error, 1)
	go func() {
		if secure {
			done <- srv.ServeTLS(ln, o.cert, o.key)
		} else {
			done <- srv.Serve(ln)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	wind, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = srv.Shutdown(wind)
	stop()
	<-watched
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // who still downloads is cut off
	}
	fmt.Fprintln(std.err, "midwatch: ended")
	return err
}

// accountName is that of the operating system.
func accountName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

// opener opens the events of a case, with tables beside them.
func (o *serveOptions) opener(std stdio) dossier.Opener {
	return func(ctx context.Context, dir string) (dossier.Evidence, error) {
		l, err := parseStore(dir)
		if err != nil {
			return dossier.Evidence{}, err
		}
		// What is wrong with a store is found out, and said, in one place.
		st, err := openStore(ctx, std, l, toAsk, false, o.wait)
		if err != nil {
			return dossier.Evidence{}, err
		}
		if l.server != nil {
			desk, err := duckdb.OpenDesk(ctx, "", "", duckdb.DeskOptions{MemoryLimit: o.memory})
			if err != nil {
				return dossier.Evidence{}, errors.Join(err, st.Close())
			}
			return dossier.Evidence{Tables: desk, Events: st, Close: st.Close}, nil
		}
		if err := st.Close(); err != nil {
			return dossier.Evidence{}, err
		}
		desk, err := duckdb.OpenDesk(ctx, "", l.file, duckdb.DeskOptions{MemoryLimit: o.memory})
		if err != nil {
			return dossier.Evidence{}, err
		}
		return dossier.Evidence{Tables: desk, Events: desk, Joined: true}, nil
	}
}

// caseCards is what the detectors and rules of a case say about themselves.
func caseCards(dir string) (map[string]report.Card, error) {
	sets, err := rulesOf(dir)
	if err != nil {
		return nil, err
	}
	return cardsOf(sets), nil
}

// redo concludes a case again, as people decided.
func redo(ctx context.Context, log *slog.Logger, dir string, wait time.Duration) error {
	run := investigateOptions{out: dir}
	run.wait = wait
	_, _, err := again(ctx, stdio{in: strings.NewReader(""), out: io.Discard, err: lineLog{log, dir}}, run)
	return err
}

// lineLog writes what verbs say to the log.
type lineLog struct {
	log *slog.Logger
	dir string
}

func (l lineLog) Write(b []byte) (int, error) {
	if text := strings.TrimSpace(string(b)); text != "" {
		l.log.Info(text, "case", l.dir)
	}
	return len(b), nil
}

// renderReport writes a form of a case, as the verb report does.
func renderReport(ctx context.Context, w io.Writer, dir string, f report.Format, file string) error {
	err := writeReport(ctx, stdio{in: strings.NewReader(""), out: w, err: io.Discard}, dir, &reportOptions{format: f.Name(), file: file, raw: "all", wait: time.Minute, tlp: report.DefaultTLP})
	var s status
	if errors.As(err, &s) && s != exitFailed {
		return nil // findings, or input that was not complete
	}
	return err
}

// open makes the way in through an issuer; nil: there is none.
func (o *oidcOptions) open(ctx context.Context) (*auth.OIDC, error) {
	if o.issuer == "" {
		if o.client != "" || o.redirect != "" || len(o.mapping) > 0 {
			return nil, errors.New("--oidc-issuer is missing")
		}
		return nil, nil
	}
	secret := os.Getenv(envOIDCSecret)
	if o.secretFile != "" {
		var err error
		if secret, err = auth.SecretFile(o.secretFile); err != nil {
			return nil, fmt.Errorf("--oidc-secret-file: %w", err)
		}
	}
	roles := map[string]auth.Role{}
	for _, m := range o.mapping {
		value, name, ok := strings.Cut(m, "=")
		r, err := auth.ParseRole(name)
		if !ok || err != nil {
			return nil, fmt.Errorf("--oidc-role %q; it is VALUE=viewer, VALUE=analyst or VALUE=responder", m)
		}
		roles[value] = r
	}
	return auth.NewOIDC(ctx, auth.OIDCConfig{Issuer: o.issuer, ClientID: o.client, ClientSecret: secret, RedirectURL: o.redirect, NameClaim: o.name, RoleClaim: o.roles, Roles: roles}, now, nil)
}
