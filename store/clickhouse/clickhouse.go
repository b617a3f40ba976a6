// Package clickhouse keeps events in ClickHouse: the engine for what one
// machine cannot hold, and for many who write at once.
//
// Any number of processes may load side by side. ClickHouse has no
// transactions, so a load is made atomic by what its rows say: each names its
// load, and questions see the rows of complete loads only (loads.go). A
// question is asked of one snapshot: the loads that were complete when the
// store was opened, however long the investigation takes.
//
// Questions go through clickhouse-go. Rows are written with ch-go, the column
// library that clickhouse-go stands on, a block at a time.
package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/dialect"
)

// Store is an open store.
type Store struct {
	opts Options
	cfg  *config
	pace pace
	db   *sql.DB

	load chan struct{} // holds a token while no load of ours is open

	mu      sync.Mutex
	visible string // condition on column load: what questions see
	nodes   []node
	steps   []migration

	alone atomic.Bool // ON CLUSTER is not to be had: each node is told by itself
}

// node is one server of the cluster.
type node struct {
	addr string
	db   *sql.DB
}

// Open opens the store and makes its tables where there are none.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := o.config()
	if err != nil {
		return nil, fmt.Errorf("open event store: %w", err)
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.pace == (pace{}) {
		o.pace = usualPace()
	}
	s := &Store{opts: o, cfg: cfg, pace: o.pace, load: make(chan struct{}, 1)}
	s.load <- struct{}{}
	s.db = newDB(cfg)
	if err := s.init(ctx); err != nil {
		_ = s.close()
		return nil, fmt.Errorf("open event store %s: %w", cfg.label, explain(err))
	}
	return s, nil
}

func newDB(cfg *config) *sql.DB { return driver.OpenDB(cfg.driver) }

func (s *Store) init(ctx context.Context) error {
	err := s.hello(ctx)
	existing := s.opts.ReadOnly || s.opts.Existing
	if code(err) == unknownDatabase && !existing {
		if err = s.createDatabase(ctx); err == nil {
			err = s.hello(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := s.findNodes(ctx); err != nil {
		return err
	}
	have, err := s.version(ctx)
	if err != nil {
		return err
	}
	if have == "" {
		if existing {
			return fmt.Errorf("%w: database %s has none of its tables; `midwatch ingest` makes them", store.ErrSchema, s.cfg.database)
		}
		if err := s.create(ctx); err != nil {
			return err
		}
		have = schemaVersion
	}
	if have != schemaVersion {
		return wrongVersion(have)
	}
	if err := s.compare(ctx); err != nil {
		return err
	}
	if err := s.retain(ctx); err != nil {
		return err
	}
	if !s.opts.ReadOnly {
		if err := s.settleAll(ctx); err != nil {
			return err
		}
	}
	return s.refresh(ctx)
}

func wrongVersion(have string) error {
	if n, err := strconv.Atoi(have); err == nil {
		if want, _ := strconv.Atoi(schemaVersion); n < want {
			return fmt.Errorf("%w: its schema is version %s, this is version %s; run `midwatch store migrate`", store.ErrSchema, have, schemaVersion)
		}
	}
	return fmt.Errorf("%w: its schema is version %s, this program knows version %s; use the newer program", store.ErrSchema, have, schemaVersion)
}

// oldest is the oldest server that the questions run on: the first that knows
// the window functions lag and lead. They came in 25.7 and were brought back to
// 25.6. The setting of [dialect.Settings] that came last,
// allow_push_predicate_ast_for_distributed_subqueries, is of 25.1; NULLs that
// greatest and least leave out are of 24.12.
// Source: system.settings_changes of 26.7; ClickHouse pull requests 82108, 82218.
const oldest = "25.6"

// hello connects and asks who answers.
func (s *Store) hello(ctx context.Context) error {
	var v string
	if err := s.db.QueryRowContext(ctx, "SELECT version()").Scan(&v); err != nil {
		return err
	}
	return checkServer(v)
}

func checkServer(v string) error {
	number := func(v string) int {
		p := strings.SplitN(v+".0.0", ".", 3)
		a, _ := strconv.Atoi(p[0])
		b, _ := strconv.Atoi(p[1])
		return a*1000 + b
	}
	if number(v) < number(oldest) {
		return fmt.Errorf("the server is ClickHouse %s; Midwatch needs %s or newer (for its window functions lag and lead): upgrade the server, or keep the events in a file (--store events.duckdb)", v, oldest)
	}
	return nil
}

func (s *Store) createDatabase(ctx context.Context) error {
	d := *s.cfg.driver
	d.Auth.Database = ""
	db := driver.OpenDB(&d)
	defer db.Close()
	q := "CREATE DATABASE IF NOT EXISTS " + s.cfg.database
	if s.cfg.cluster != "" {
		if _, err := db.ExecContext(ctx, q+" ON CLUSTER "+dialect.Quote(s.cfg.cluster)); err == nil || !noOnCluster(err) {
			return err
		}
		nodes, err := s.nodesOf(ctx, db)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			d := *s.cfg.on(n.addr)
			d.Auth.Database = ""
			node := driver.OpenDB(&d)
			_, err := node.ExecContext(ctx, q)
			if err = errors.Join(err, node.Close(), n.db.Close()); err != nil {
				return fmt.Errorf("node %s: %w", n.addr, err)
			}
		}
		return nil
	}
	_, err := db.ExecContext(ctx, q)
	return err
}

func (s *Store) findNodes(ctx context.Context) error {
	if s.cfg.cluster == "" {
		s.nodes = []node{{s.cfg.driver.Addr[0], s.db}}
		return nil
	}
	var err error
	s.nodes, err = s.nodesOf(ctx, s.db)
	return err
}

// nodesOf lists the servers of the cluster. Connections are made when needed:
// the client must reach them only where ON CLUSTER does not work.
func (s *Store) nodesOf(ctx context.Context, db *sql.DB) ([]node, error) {
	rows, err := db.QueryContext(ctx, "SELECT host_name, toInt64(port) FROM system.clusters WHERE cluster = "+dialect.Quote(s.cfg.cluster)+" ORDER BY shard_num, replica_num")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []node
	for rows.Next() {
		var host string
		var port int64
		if err := rows.Scan(&host, &port); err != nil {
			return nil, err
		}
		addr := net.JoinHostPort(host, strconv.FormatInt(port, 10))
		out = append(out, node{addr, driver.OpenDB(s.cfg.on(addr))})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the server knows no cluster %q; `SELECT cluster FROM system.clusters` lists those it knows", s.cfg.cluster)
	}
	return out, nil
}

// everywhere runs a statement about local tables on every node: %s stands for
// the place of ON CLUSTER.
func (s *Store) everywhere(ctx context.Context, statement string) error {
	if s.cfg.cluster == "" {
		_, err := s.db.ExecContext(ctx, fmt.Sprintf(statement, ""))
		return err
	}
	if !s.alone.Load() {
		_, err := s.db.ExecContext(ctx, fmt.Sprintf(statement, " ON CLUSTER "+dialect.Quote(s.cfg.cluster)))
		if err == nil || !noOnCluster(err) {
			return err
		}
		s.alone.Store(true)
	}
	for _, n := range s.nodes {
		if _, err := n.db.ExecContext(ctx, fmt.Sprintf(statement, "")); err != nil {
			return fmt.Errorf("node %s: %w", n.addr, err)
		}
	}
	return nil
}

// onCluster puts the mark for everywhere after a statement's table name.
func onCluster(statement, table string) string {
	return strings.Replace(strings.ReplaceAll(statement, "%", "%%"), table, table+"%s", 1)
}

// create makes the tables. The version is written last.
func (s *Store) create(ctx context.Context) error {
	tune, err := s.tune(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables() {
		for i, q := range s.cfg.ddl(t, tune) {
			at := s.cfg.local(t.name)
			if i == 1 {
				at = s.cfg.database + "." + t.name
			}
			if err := s.everywhere(ctx, onCluster(q, at)); err != nil {
				return fmt.Errorf("make table %s: %w", t.name, err)
			}
		}
	}
	return s.write(ctx, "INSERT INTO meta (key, value) VALUES ('schema', "+dialect.Quote(schemaVersion)+")")
}

// tune is the end of a list of settings: those that this server knows.
func (s *Store) tune(ctx context.Context) (string, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name FROM system.merge_tree_settings ORDER BY name")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var b strings.Builder
	known := tuned()
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return "", err
		}
		if v, ok := known[n]; ok {
			b.WriteString(", " + n + " = " + v)
		}
	}
	return b.String(), rows.Err()
}

// write runs a small insert into a table of one shard, again if the connection
// fails: each of these rows may be there twice.
func (s *Store) write(ctx context.Context, statement string) error {
	return s.again(ctx, func() error {
		_, err := s.db.ExecContext(driver.Context(ctx, driver.WithSettings(driver.Settings{"distributed_foreground_insert": 1, "async_insert": 0})), statement)
		return err
	})
}

// settings are what every question is asked with.
func (s *Store) settings() driver.Settings { return s.settingsFor("") }

// settingsFor are those of a question of the events that satisfy a further
// condition; empty: of all.
func (s *Store) settingsFor(events string) driver.Settings {
	s.mu.Lock()
	visible := s.visible
	s.mu.Unlock()
	m := maps.Clone(driver.Settings(dialect.Settings()))
	// Lists of what other questions found are written into questions.
	m["max_query_size"], m["max_ast_elements"], m["max_expanded_ast_elements"] = 1<<28, 10_000_000, 50_000_000
	// database/sql cannot scan what the driver makes of LowCardinality(Nullable).
	m["low_cardinality_allow_in_native_format"] = 0
	var filters []string
	for _, t := range []string{"events", "items", "rejects", "files"} {
		where := visible
		if t == "events" && events != "" {
			where = "(" + visible + ") AND " + events
		}
		filters = append(filters, dialect.Quote(s.cfg.local(t))+": "+dialect.Quote(where))
	}
	m["additional_table_filters"] = "{" + strings.Join(filters, ", ") + "}"
	return m
}

// Query implements [store.Querier]. It is tried again where the connection
// fails before the first row.
func (s *Store) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.question(ctx, "", query, args...)
}

// window asks with a further condition on events.
type window struct {
	s     *Store
	since string
}

// Window implements [store.Windower].
func (s *Store) Window(_ context.Context, since time.Time) (store.Window, error) {
	return &window{s, fmt.Sprintf("(time >= fromUnixTimestamp64Micro(%d) OR time IS NULL)", since.UnixMicro())}, nil
}

func (w *window) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return w.s.question(ctx, w.since, query, args...)
}

func (w *window) Close() error { return nil }

// Explain is [Store.Explain].
func (w *window) Explain(err error) error { return explain(err) }

// question asks, of the events that satisfy a further condition.
func (s *Store) question(ctx context.Context, events, query string, args ...any) (*sql.Rows, error) {
	if s.cfg.cluster != "" {
		query = dialect.Local(query, "items_local")
	}
	q, err := dialect.ClickHouse(query, args...)
	if err != nil {
		return nil, err
	}
	var rows *sql.Rows
	err = s.again(ctx, func() (err error) {
		rows, err = s.db.QueryContext(driver.Context(ctx, driver.WithSettings(s.settingsFor(events))), q)
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	return rows, nil
}

// AssignTenants implements [store.Store]. ClickHouse changes rows by writing
// their part of the table anew, after the merges that it takes part in: only
// the partitions of events that name no tenant are touched.
func (s *Store) AssignTenants(ctx context.Context, as []store.Assignment) error {
	if len(as) == 0 {
		return nil
	}
	var change, where strings.Builder
	for _, w := range store.Ways(as) {
		cond := fmt.Sprintf("file IN (%s) AND coalesce(tenant, '') = %s", w.List(), dialect.Quote(w.From))
		fmt.Fprintf(&change, "%s, %s, ", cond, dialect.Quote(w.To))
		if where.Len() > 0 {
			where.WriteString(" OR ")
		}
		where.WriteString(cond)
	}
	ctx = driver.Context(ctx, driver.WithSettings(driver.Settings{"max_query_size": 1 << 28}))
	t := s.cfg.local("events")
	partitions := func() (out []string, err error) {
		rows, err := s.db.QueryContext(ctx, "SELECT DISTINCT _partition_id FROM events WHERE nameless = 1 AND ("+where.String()+") ORDER BY 1")
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return nil, err
			}
			out = append(out, id)
		}
		return out, rows.Err()
	}
	err := s.again(ctx, func() error {
		ids, err := partitions()
		if err != nil {
			return err
		}
		var all sync.WaitGroup // a mutation mostly waits for its turn
		errs := make([]error, len(ids))
		for i, id := range ids {
			q := fmt.Sprintf("ALTER TABLE %s UPDATE tenant = multiIf(%stenant), flags = bitOr(flags, %d) IN PARTITION ID %s WHERE nameless = 1 AND (%s) SETTINGS mutations_sync = 2",
				t, change.String(), event.FlagTenantInferred, dialect.Quote(id), where.String())
			all.Go(func() { errs[i] = s.everywhere(ctx, onCluster(q, t)) })
		}
		all.Wait()
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("assign tenants: %w", explain(err))
	}
	return nil
}

// Close implements [store.Store].
func (s *Store) Close() error {
	select {
	case <-s.load:
	default:
		return errors.New("clickhouse: a load is open")
	}
	return s.close()
}

func (s *Store) close() error {
	var err error
	for _, n := range s.nodes {
		if n.db != s.db {
			err = errors.Join(err, n.db.Close())
		}
	}
	return errors.Join(err, s.db.Close())
}

var _ store.Store = (*Store)(nil)
