package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/ingest"
	"midwatch/internal/casefolder"
	"midwatch/store"
	"midwatch/store/clickhouse"
	"midwatch/store/duckdb"
)

// What the environment says about stores.
const (
	envStore    = "MIDWATCH_STORE"          // in the place of --store, for the verbs that keep a store
	envPassword = "MIDWATCH_STORE_PASSWORD" // where the URL has none
)

// storeFlags say which store is meant.
type storeFlags struct {
	store string
	wait  time.Duration
}

const storeHelp = `
STORE is a DuckDB file (events.duckdb, or duckdb:PATH), a server
(clickhouse://user@host:9000/database), or a case folder. A server's password is
taken from the environment variable ` + envPassword + `, or from the URL; it
is never printed and never written into a case.
`

func (f *storeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.store, "store", "", "event store: DuckDB file, clickhouse:// URL, or case folder")
	f.addWait(c)
}

func (f *storeFlags) addWait(c *cobra.Command) {
	c.Flags().DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for another process that has the DuckDB file open")
}

// location is where the store is that --store names, the environment, or the
// argument in args.
func (f *storeFlags) location(args []string) (*location, error) {
	spec := f.store
	if len(args) > 0 {
		if spec != "" {
			return nil, errors.New("two stores are named; name one, with --store or without")
		}
		spec = args[0]
	}
	if spec == "" {
		spec = os.Getenv(envStore)
	}
	if spec == "" {
		return nil, fmt.Errorf("no store is named; name one with --store, or in the environment variable %s", envStore)
	}
	return parseStore(spec)
}

// location is where a store is. Its password is in no other member.
type location struct {
	file     string   // DuckDB database; empty for a server
	folder   string   // case folder that the file is part of, if it is
	server   *url.URL // without password
	password string
}

// String names the store for people and for case files.
func (l *location) String() string {
	if l.server != nil {
		return l.server.String()
	}
	return l.file
}

// kept is the name that a case keeps: it holds from any folder.
func (l *location) kept() (string, error) {
	if l.server != nil {
		return l.server.String(), nil
	}
	abs, err := filepath.Abs(l.file)
	return "duckdb:" + abs, err
}

// caseName is the name of a case over the store when none is given.
func (l *location) caseName() string {
	name := l.file
	switch {
	case l.server != nil:
		name = strings.Trim(l.server.Path, "/")
	case l.folder != "":
		name = l.folder
	}
	return casefolder.DefaultName([]string{name})
}

// parseStore reads what people write for a store.
func parseStore(spec string) (*location, error) {
	scheme, rest, found := strings.Cut(spec, "://")
	switch {
	case found && (scheme == "clickhouse" || scheme == "clickhouses"):
		u, err := url.Parse(spec)
		if err != nil { // its text has the password
			return nil, errors.New("the URL of the store cannot be read; it looks like clickhouse://user@host:9000/database (a password with special characters belongs into " + envPassword + ")")
		}
		return server(u), nil
	case found && scheme == "duckdb":
		return &location{file: rest}, nil
	case found:
		return nil, fmt.Errorf("a store %s:// is not known; it is a DuckDB file, or clickhouse://user@host:9000/database", scheme)
	case strings.HasPrefix(spec, "duckdb:"):
		return &location{file: strings.TrimPrefix(spec, "duckdb:")}, nil
	}
	if info, err := os.Stat(spec); err != nil || !info.IsDir() {
		return &location{file: spec}, nil
	}
	inner, err := casefolder.ReadStore(spec)
	if errors.Is(err, fs.ErrNotExist) {
		file := filepath.Join(spec, casefolder.Events)
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("%s is a folder and not a case: %w", spec, err)
		}
		return &location{file: file, folder: spec}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return parseStore(inner)
}

// server takes the password out of a URL.
func server(u *url.URL) *location {
	l := &location{server: u}
	q := u.Query()
	if l.password = q.Get("password"); q.Has("password") {
		q.Del("password")
		u.RawQuery = q.Encode()
	}
	if p, ok := u.User.Password(); ok {
		l.password = p
		u.User = url.User(u.User.Username())
	}
	if l.password == "" {
		l.password = os.Getenv(envPassword)
	}
	return l
}

// secrets are the passwords that a command line and the environment hold, as
// they may stand in errors.
func secrets(args []string) (out []string) {
	for _, s := range append([]string{os.Getenv(envStore)}, args...) {
		for _, at := range []int{strings.Index(s, "@"), strings.LastIndex(s, "@")} {
			user := s[:max(at, 0)]
			if _, after, ok := strings.Cut(user, "://"); ok {
				user = after
			}
			_, password, _ := strings.Cut(user, ":")
			out = append(out, password)
		}
		_, password, _ := strings.Cut(s, "password=")
		password, _, _ = strings.Cut(password, "&")
		out = append(out, password)
	}
	out = append(out, os.Getenv(envPassword), os.Getenv(envKafkaPassword), os.Getenv(envKafkaClientSecret))
	for _, p := range out {
		if plain, err := url.PathUnescape(p); err == nil {
			out = append(out, plain)
		}
	}
	return out
}

// withoutSecrets is text in which no password stands.
func withoutSecrets(text string, args []string) string {
	for _, s := range secrets(args) {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return text
}

// access is what a store is opened for.
type access int

const (
	// toAdd makes the store where there is none.
	toAdd access = iota
	// toKeep opens a store that exists, for changing it.
	toKeep
	// toAsk opens it for questions. They see whole loads only.
	toAsk
	// toAsIs opens it for questions about its own state.
	toAsIs
	// toLook opens it for questions that a store of an older schema answers too.
	toLook
)

// openStore opens a store.
func openStore(ctx context.Context, std stdio, l *location, mode access, noRaw bool, wait time.Duration) (store.Keeper, error) {
	if l.server != nil {
		o := l.clickHouse()
		o.NoRaw, o.ReadOnly, o.Existing = noRaw, mode >= toAsk, mode != toAdd
		return clickhouse.Open(ctx, o)
	}
	return openFile(ctx, std, l, mode, noRaw, wait)
}

// clickHouse says how the server is reached.
func (l *location) clickHouse() clickhouse.Options {
	u := *l.server
	if u.Scheme == "clickhouses" {
		q := u.Query()
		q.Set("secure", "true")
		u.Scheme, u.RawQuery = "clickhouse", q.Encode()
	}
	return clickhouse.Options{URL: u.String(), Password: l.password}
}

// migrateStore brings a store to the schema of this version.
func migrateStore(ctx context.Context, std stdio, l *location, wait time.Duration) (from, to string, err error) {
	if l.server != nil {
		return clickhouse.Migrate(ctx, l.clickHouse())
	}
	if err := exists(l); err != nil {
		return "", "", err
	}
	var accounts []store.File
	if l.folder != "" { // before schema version 2 a case's sources.json had them
		sources, err := casefolder.ReadSources(l.folder)
		if err == nil {
			accounts, err = ingest.Accounts(sources)
		}
		if err != nil {
			return "", "", err
		}
	}
	err = waiting(ctx, std, wait, func() error {
		from, to, err = duckdb.Migrate(l.file, accounts)
		return err
	})
	return from, to, err
}

func exists(l *location) error {
	if _, err := os.Stat(l.file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no store %s; `midwatch ingest PATH... --store %s` makes it", l, l)
	}
	return nil
}

func openFile(ctx context.Context, std stdio, l *location, mode access, noRaw bool, wait time.Duration) (*duckdb.Store, error) {
	if mode != toAdd {
		if err := exists(l); err != nil {
			return nil, err
		}
	}
	open := func(o duckdb.Options) (st *duckdb.Store, err error) {
		err = waiting(ctx, std, wait, func() error {
			st, err = duckdb.Open(l.file, o)
			return err
		})
		return st, err
	}
	opts := duckdb.Options{NoRaw: noRaw, ReadOnly: mode >= toAsk, Old: mode == toLook}
	st, err := open(opts)
	if err != nil || mode != toAsk {
		return st, err
	}
	// Questions would count what a load left that died in the middle.
	if found, err := st.Unfinished(ctx); err != nil || !found {
		return st, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	if st, err = open(duckdb.Options{}); err != nil {
		return nil, fmt.Errorf("the last load into it was not finished: %w", err)
	}
	if _, err := st.Recover(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	fmt.Fprintf(std.err, "the last load into %s was not finished; what it left is removed, ingest its files again\n", l)
	return open(opts)
}

// waiting calls open until no other process is in its way.
func waiting(ctx context.Context, std stdio, limit time.Duration, open func() error) error {
	start, said := now(), false
	for {
		err := open()
		var l *duckdb.LockedError
		if !errors.As(err, &l) {
			return err
		}
		if now().Sub(start) >= limit {
			return fmt.Errorf("%w; --wait says how long to wait for it, %s now", err, limit)
		}
		if !said {
			said = true
			what := "writing to"
			if l.Reading {
				what = "reading"
			}
			fmt.Fprintf(std.err, "waiting: another process is %s %s\n", what, l.Path)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(200*time.Millisecond, limit)):
		}
	}
}
