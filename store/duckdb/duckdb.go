// Package duckdb keeps events in a DuckDB database file: the embedded engine,
// and the default. It is the only package of Midwatch that links C code.
//
// Rows are written through DuckDB's C appender, a column vector at a time,
// because it is the path from bytes to committed rows on which the speed of an
// investigation depends (docs/PERFORMANCE.md). Each goroutine that appends has
// a connection and a transaction of its own; DuckDB compresses and writes full
// row groups while the transaction is still open.
package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"midwatch/store"
	"midwatch/store/idset"
)

// Options tune a store. The zero value means the defaults.
type Options struct {
	// MemoryLimit bounds DuckDB's buffers, in DuckDB's notation. Questions that
	// need more spill to TempDir, and fail when they cannot. Default: 640MB, for
	// questions to a large store a sixth of its size but at most a quarter of the
	// machine's memory; a quarter more, up to half of it, when one failed.
	MemoryLimit string
	// TempDir is where DuckDB spills; default: beside the database.
	TempDir string
	// Threads is how many threads a question may use; default GOMAXPROCS.
	Threads int
	// NoRaw leaves the records' bytes out and keeps only file and position.
	NoRaw bool
	// ReadOnly opens an existing database for questions only. Any number of
	// processes may, as long as none writes.
	ReadOnly bool
	// Old lets ReadOnly open a database of an older schema, for questions that
	// keep to what it had: where an event stands, and its bytes.
	Old bool
	// Migrate brings a database of an older schema to this one.
	Migrate bool
	// Accounts are the accounts of files that were kept elsewhere before the
	// store had them (a case's sources.json). A store that is opened with
	// Migrate takes over those that it lacks.
	Accounts []store.File
}

// rowGroup is the number of rows in a row group. DuckDB's default of 122,880
// holds an uncompressed row group of raw records in memory for each writer;
// a quarter of it costs 4 % in size and saves more than half of the memory.
const rowGroup = 30720

// Store is an open database.
type Store struct {
	opts Options
	path string
	dsn  string

	scratch string // folder of the instance's own, empty database

	from string // schema that the database had when it was opened
	db   *sql.DB
	low  mapping.Database // the same instance, for appenders
	load chan struct{}    // holds a token while no load is open

	mu   sync.Mutex
	seen *idset.Set // ids that are in the store; built by the first load

	assigning sync.Mutex // tenants to events
	resumed   bool       // what a process before was about to assign is

	room   sync.Mutex
	memory int64 // bytes that questions may take now; without Options.MemoryLimit
	most   int64 // and at most
}

// LockedError says that another process has the database open, which DuckDB
// allows to one writer or to any number of readers.
type LockedError struct {
	Path    string
	PID     string // of the other process; empty when it is not known
	Reading bool   // it only reads
	err     error
}

func (e *LockedError) Error() string {
	what, who := "writing to", "another process"
	if e.Reading {
		what = "reading"
	}
	if e.PID != "" {
		who = "process " + e.PID
	}
	return fmt.Sprintf("%s is %s %s; try again when it has finished", who, what, e.Path)
}

func (e *LockedError) Unwrap() error { return e.err }

// locked makes a LockedError of DuckDB's words, or gives the error back.
func locked(path string, err error) error {
	if err == nil || !strings.Contains(err.Error(), "Could not set lock on file") {
		return err
	}
	_, after, _ := strings.Cut(err.Error(), "(PID ")
	pid, _, found := strings.Cut(after, ")")
	if !found {
		pid = ""
	}
	return &LockedError{Path: path, PID: pid, Reading: strings.Contains(err.Error(), "read-only mode"), err: err}
}

// Open opens the database at path and creates it when it is not there. When
// another process has it open, the error is a [LockedError].
func Open(path string, opts Options) (*Store, error) {
	if opts.Threads == 0 {
		opts.Threads = runtime.GOMAXPROCS(0)
	}
	if opts.TempDir == "" {
		opts.TempDir = path + ".tmp"
		if opts.ReadOnly { // there may be several readers
			opts.TempDir += fmt.Sprint("-", os.Getpid())
		}
	}
	info, statErr := os.Stat(path)
	fresh := errors.Is(statErr, os.ErrNotExist)
	if fresh && opts.ReadOnly {
		return nil, fmt.Errorf("open event store: %w", statErr)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, path: path, load: make(chan struct{}, 1), memory: leastMemory, most: mostMemory()}
	s.load <- struct{}{}
	if opts.ReadOnly {
		s.memory = memoryFor(info.Size())
	}
	limit := opts.MemoryLimit
	if limit == "" {
		limit = fmt.Sprintf("%dMiB", s.memory>>20)
	}
	// The file is attached to an instance whose own database is an empty
	// scratch file: only ATTACH takes a row group size, and the scratch file's
	// path, free of characters that a DSN would interpret, is what the sql.DB
	// and the appenders find the shared instance by.
	scratch, err := os.MkdirTemp("", "midwatch-")
	if err != nil {
		return nil, fmt.Errorf("open event store: %w", err)
	}
	s.scratch = scratch
	s.dsn = fmt.Sprintf("%s/main?threads=%d&memory_limit=%s&autoinstall_known_extensions=false&autoload_known_extensions=false", scratch, opts.Threads, limit)
	connector, err := duckdb.NewConnector(s.dsn, func(c driver.ExecerContext) error {
		_, err := c.ExecContext(context.Background(), "USE midwatch", nil)
		if err != nil && strings.Contains(err.Error(), "midwatch") {
			return nil // the first connection attaches it
		}
		return err
	})
	if err != nil {
		_ = os.RemoveAll(scratch)
		return nil, fmt.Errorf("open event store: %w", err)
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(4)
	if err := s.init(context.Background(), fresh); err != nil {
		_ = s.db.Close() // nothing was written through it
		_ = os.RemoveAll(scratch)
		var l *LockedError
		if errors.As(err, &l) {
			return nil, l
		}
		return nil, fmt.Errorf("open event store %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) init(ctx context.Context, fresh bool) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET temp_directory = "+quote(s.opts.TempDir)); err != nil {
		return err
	}
	if fresh {
		if err := s.create(ctx, conn); err != nil {
			return err
		}
	}
	mode := storage()
	if s.opts.ReadOnly {
		mode = "READ_ONLY"
	}
	if _, err := conn.ExecContext(ctx, "ATTACH "+quote(s.path)+" AS midwatch ("+mode+")"); err != nil {
		return locked(s.path, err)
	}
	if _, err := conn.ExecContext(ctx, "USE midwatch"); err != nil {
		return err
	}
	if err := s.schema(ctx, conn); err != nil {
		return err
	}
	return s.openLow()
}

func storage() string { return fmt.Sprintf("STORAGE_VERSION 'latest', ROW_GROUP_SIZE %d", rowGroup) }

// create makes the database under another name and then gives it its own, so
// that a process that dies leaves no half of one, and of two processes that
// make the same the second finds that of the first.
func (s *Store) create(ctx context.Context, conn *sql.Conn) error {
	draft := filepath.Join(filepath.Dir(s.path), fmt.Sprintf(".%s.new-%d", filepath.Base(s.path), os.Getpid()))
	_ = os.Remove(draft) // of a process of the same number that died
	defer os.Remove(draft)
	steps := append([]string{"ATTACH " + quote(draft) + " AS draft (" + storage() + ")", "USE draft"}, ddl()...)
	for _, q := range append(steps, "USE main_db", "DETACH draft") {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if err := os.Link(draft, s.path); err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	return os.Rename(draft, s.path) // a file system without links
}

// openLow opens the same instance for the C appender.
func (s *Store) openLow() error {
	var cfg mapping.Config
	if mapping.CreateConfig(&cfg) == mapping.StateError {
		return errors.New("duckdb: no configuration")
	}
	defer mapping.DestroyConfig(&cfg)
	name, query, _ := strings.Cut(s.dsn, "?")
	mapping.SetConfig(cfg, "duckdb_api", "go")
	for kv := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(kv, "=")
		if mapping.SetConfig(cfg, k, v) == mapping.StateError {
			return fmt.Errorf("duckdb: option %s=%s refused", k, v)
		}
	}
	var msg string
	if mapping.GetOrCreateFromCache(duckdb.GetInstanceCache(), name, &s.low, cfg, &msg) == mapping.StateError {
		return fmt.Errorf("duckdb: %s", msg)
	}
	return nil
}

// quote makes a literal of s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Query implements [store.Querier].
func (s *Store) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.patiently(ctx, func() (*sql.Rows, error) { return s.db.QueryContext(ctx, query, args...) })
}

// Close implements [store.Store].
func (s *Store) Close() error {
	select {
	case <-s.load:
	default:
		return errors.New("duckdb: a load is open")
	}
	var err error
	if !s.opts.ReadOnly {
		_, err = s.db.Exec("CHECKPOINT midwatch")
	}
	s.seen.Free()
	mapping.Close(&s.low)
	err = errors.Join(err, s.db.Close())
	_ = os.RemoveAll(s.opts.TempDir)
	_ = os.RemoveAll(s.scratch)
	return err
}
