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

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/idset"
)

// Options tune a store. The zero value means the defaults.
type Options struct {
	// MemoryLimit bounds DuckDB's buffers, in DuckDB's notation; default 640MB.
	// Questions that need more spill to TempDir.
	MemoryLimit string
	// TempDir is where DuckDB spills; default: beside the database.
	TempDir string
	// Threads is how many threads a question may use; default GOMAXPROCS.
	Threads int
	// NoRaw leaves the records' bytes out and keeps only file and position.
	NoRaw bool
	// ReadOnly opens an existing database for questions only.
	ReadOnly bool
}

// rowGroup is the number of rows in a row group. DuckDB's default of 122,880
// holds an uncompressed row group of raw records in memory for each writer;
// a quarter of it costs 4 % in size and saves more than half of the memory.
const rowGroup = 30720

// schemaVersion is kept in the database's table meta.
const schemaVersion = "2"

// Store is an open database.
type Store struct {
	opts Options
	path string
	dsn  string

	scratch string // folder of the instance's own, empty database

	db   *sql.DB
	low  mapping.Database // the same instance, for appenders
	load chan struct{}    // holds a token while no load is open

	mu   sync.Mutex
	seen *idset.Set // ids that are in the store; built by the first load
}

// Open opens the database at path and creates it when it is not there.
func Open(path string, opts Options) (*Store, error) {
	if opts.MemoryLimit == "" {
		opts.MemoryLimit = "640MB"
	}
	if opts.Threads == 0 {
		opts.Threads = runtime.GOMAXPROCS(0)
	}
	if opts.TempDir == "" {
		opts.TempDir = path + ".tmp"
	}
	_, statErr := os.Stat(path)
	fresh := errors.Is(statErr, os.ErrNotExist)
	if fresh && opts.ReadOnly {
		return nil, fmt.Errorf("open event store: %w", statErr)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, path: path, load: make(chan struct{}, 1)}
	s.load <- struct{}{}
	// The file is attached to an instance whose own database is an empty
	// scratch file: only ATTACH takes a row group size, and the scratch file's
	// path, free of characters that a DSN would interpret, is what the sql.DB
	// and the appenders find the shared instance by.
	scratch, err := os.MkdirTemp("", "midwatch-")
	if err != nil {
		return nil, fmt.Errorf("open event store: %w", err)
	}
	s.scratch = scratch
	s.dsn = fmt.Sprintf("%s/main?threads=%d&memory_limit=%s&autoinstall_known_extensions=false&autoload_known_extensions=false", scratch, opts.Threads, opts.MemoryLimit)
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
	if err := s.init(fresh); err != nil {
		err = errors.Join(fmt.Errorf("open event store %s: %w", path, err), s.db.Close())
		_ = os.RemoveAll(scratch)
		return nil, err
	}
	return s, nil
}

func (s *Store) init(fresh bool) error {
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	mode := fmt.Sprintf("STORAGE_VERSION 'latest', ROW_GROUP_SIZE %d", rowGroup)
	if s.opts.ReadOnly {
		mode = "READ_ONLY"
	}
	for _, q := range []string{
		"SET temp_directory = " + quote(s.opts.TempDir),
		"ATTACH " + quote(s.path) + " AS midwatch (" + mode + ")",
		"USE midwatch",
	} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if fresh {
		for _, q := range ddl() {
			if _, err := conn.ExecContext(ctx, q); err != nil {
				return err
			}
		}
	} else if err := checkSchema(ctx, conn); err != nil {
		return err
	}
	return s.openLow()
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

// ddl makes the tables from the columns' one definition.
func ddl() []string {
	table := func(name string, cols []event.Column) string {
		var b strings.Builder
		b.WriteString("CREATE TABLE " + name + " (")
		for i, c := range cols {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(c.Name + " " + sqlType(c.Type))
		}
		return b.String() + ")"
	}
	return []string{
		table("events", event.Columns()),
		table("items", event.ItemColumns()),
		table("rejects", event.RejectColumns()),
		table("files", event.FileColumns()),
		"CREATE TABLE meta (key VARCHAR, value VARCHAR)",
		"INSERT INTO meta VALUES ('schema', " + quote(schemaVersion) + ")",
	}
}

func sqlType(t event.Type) string {
	switch t {
	case event.TypeInt:
		return "INTEGER"
	case event.TypeBigInt:
		return "BIGINT"
	case event.TypeBool:
		return "BOOLEAN"
	case event.TypeTimestamp:
		return "TIMESTAMP"
	case event.TypeUUID:
		return "UUID"
	case event.TypeBytes:
		return "BLOB"
	case event.TypeRaw:
		return "VARCHAR USING COMPRESSION zstd"
	}
	return "VARCHAR"
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func checkSchema(ctx context.Context, conn *sql.Conn) error {
	var v string
	if err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'schema'").Scan(&v); err != nil {
		return fmt.Errorf("%w: %w", store.ErrSchema, err)
	}
	if v != schemaVersion {
		return fmt.Errorf("%w: its schema is version %s, this is version %s", store.ErrSchema, v, schemaVersion)
	}
	return nil
}

// Query implements [store.Querier].
func (s *Store) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, query, args...)
}

// AssignTenant implements [store.Store].
func (s *Store) AssignTenant(ctx context.Context, file int32, from, to string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE events SET tenant = ?, flags = flags | ? WHERE file = ? AND coalesce(tenant, '') = ?",
		to, int32(event.FlagTenantInferred), file, from)
	if err != nil {
		return fmt.Errorf("assign tenant: %w", err)
	}
	return nil
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

var _ store.Store = (*Store)(nil)
