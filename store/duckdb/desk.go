package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"midwatch/event"
	"midwatch/store"
)

// Desk is a DuckDB for looking at a case: tables that its owner fills once,
// with the tables of an event store beside them, all read-only from then on.
// Names need no qualification: what a desk and the store both have is the
// desk's.
//
// Statements of strangers may be asked through [Desk.Ask]: DuckDB is closed to
// files, networks and extensions, the databases are attached read-only, and
// nothing but one SELECT or EXPLAIN is run.
type Desk struct {
	db     *sql.DB
	dir    string // of its own, removed by Close
	events string // database of the event store; empty: there is none
	sealed bool

	mu   sync.Mutex
	busy chan struct{} // bounds how many statements of strangers run
}

// DeskOptions tune a desk. The zero value means the defaults.
type DeskOptions struct {
	MemoryLimit string // of all of it, in DuckDB's notation; default 1GB
	Threads     int    // that a question may use; default DuckDB's
	Asking      int    // statements of strangers at the same time; default 2
}

// OpenDesk makes a desk in a new folder below dir (empty: the system's folder
// for temporary files), beside the event store at events, which may be empty.
func OpenDesk(ctx context.Context, dir, events string, o DeskOptions) (*Desk, error) {
	if o.MemoryLimit == "" {
		o.MemoryLimit = "1GB"
	}
	if o.Asking == 0 {
		o.Asking = 2
	}
	own, err := os.MkdirTemp(dir, "midwatch-desk-")
	if err != nil {
		return nil, fmt.Errorf("open desk: %w", err)
	}
	d := &Desk{dir: own, events: events, busy: make(chan struct{}, o.Asking)}
	dsn := filepath.Join(own, "main") + "?memory_limit=" + o.MemoryLimit + "&autoinstall_known_extensions=false&autoload_known_extensions=false" +
		// A page has more rows than DuckDB expects of questions that name their first
		// rows: their other columns are read when it is known which rows they are.
		"&late_materialization_max_rows=128&dynamic_or_filter_threshold=128"
	if o.Threads > 0 {
		dsn += fmt.Sprint("&threads=", o.Threads)
	}
	connector, err := duckdb.NewConnector(dsn, d.begin)
	if err == nil {
		d.db = sql.OpenDB(connector)
		d.db.SetMaxOpenConns(8)
		d.db.SetMaxIdleConns(8)
		err = d.attach(ctx)
	}
	if err != nil {
		_ = d.Close() // the first error tells more
		return nil, fmt.Errorf("open desk: %w", err)
	}
	return d, nil
}

// begin gives each connection the order in which names are looked up.
func (d *Desk) begin(c driver.ExecerContext) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sealed {
		return nil
	}
	_, err := c.ExecContext(context.Background(), "SET search_path = "+quote(d.path()), nil)
	return err
}

func (d *Desk) path() string {
	if d.events == "" {
		return "desk.main"
	}
	return "desk.main,midwatch.main"
}

func (d *Desk) attach(ctx context.Context) error {
	steps := []string{"SET temp_directory = " + quote(filepath.Join(d.dir, "spill")), "ATTACH " + quote(filepath.Join(d.dir, "desk.duckdb")) + " AS desk"}
	if d.events != "" {
		steps = append(steps, "ATTACH "+quote(d.events)+" AS midwatch (READ_ONLY)")
	}
	for _, q := range steps {
		if _, err := d.db.ExecContext(ctx, q); err != nil {
			return locked(d.events, err)
		}
	}
	return nil
}

// Fill makes a table and puts rows into it. Values are what database/sql takes
// for the columns' types; nil is NULL. The desk is not sealed yet.
func (d *Desk) Fill(ctx context.Context, table string, columns []event.Column, rows iter.Seq[[]driver.Value]) error {
	var cols []string
	for _, c := range columns {
		cols = append(cols, c.Name+" "+sqlType(c.Type))
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "CREATE TABLE desk.main."+table+" ("+strings.Join(cols, ", ")+")"); err != nil {
		return fmt.Errorf("desk: table %s: %w", table, err)
	}
	err = conn.Raw(func(c any) error {
		a, err := duckdb.NewAppender(c.(driver.Conn), "desk", "main", table)
		if err != nil {
			return err
		}
		for row := range rows {
			if err := a.AppendRow(row...); err != nil {
				return errors.Join(err, a.Close())
			}
		}
		return a.Close()
	})
	if err != nil {
		return fmt.Errorf("desk: table %s: %w", table, err)
	}
	return nil
}

// Derive makes a table of what a query about the desk's tables finds. Its rows
// lie in the query's order. The desk is not sealed yet.
func (d *Desk) Derive(ctx context.Context, table string, columns []event.Column, query string) error {
	var cols []string
	for _, c := range columns {
		cols = append(cols, c.Name+" "+sqlType(c.Type))
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer conn.Raw(func(any) error { return driver.ErrBadConn }) //nolint:errcheck // it ends, as others are not to have its order of names
	for _, q := range []string{
		"USE desk.main",
		"CREATE TABLE " + table + " (" + strings.Join(cols, ", ") + ")",
		"INSERT INTO " + table + " " + query,
	} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("desk: table %s: %w", table, err)
		}
	}
	return nil
}

// Drop removes a table. The desk is not sealed yet.
func (d *Desk) Drop(ctx context.Context, table string) error {
	if _, err := d.db.ExecContext(ctx, "DROP TABLE desk.main."+table); err != nil {
		return fmt.Errorf("desk: table %s: %w", table, err)
	}
	return nil
}

// Comment writes down what a table is, for those who ask about it.
func (d *Desk) Comment(ctx context.Context, table, text string) error {
	_, err := d.db.ExecContext(ctx, "COMMENT ON TABLE desk.main."+table+" IS "+quote(text))
	return err
}

// Seal makes the desk read-only and shuts DuckDB off from everything outside.
// It is called once, when the tables are filled and before questions.
func (d *Desk) Seal(ctx context.Context) error {
	for _, q := range []string{
		"DETACH desk", // which writes it
		"ATTACH " + quote(filepath.Join(d.dir, "desk.duckdb")) + " AS desk (READ_ONLY)",
		"SET enable_external_access = false",
	} {
		if _, err := d.db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("seal desk: %w", err)
		}
	}
	d.mu.Lock()
	d.sealed = true
	d.mu.Unlock()
	// Connections from before do not know the order of names.
	d.db.SetMaxIdleConns(0)
	d.db.SetMaxIdleConns(8)
	return nil
}

// Query implements [store.Querier].
func (d *Desk) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.db.QueryContext(ctx, query, args...)
}

// Ask implements [store.Asker]. A few run at once, others wait.
func (d *Desk) Ask(ctx context.Context, query string, most int) (*store.Answer, error) {
	select {
	case d.busy <- struct{}{}:
		defer func() { <-d.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var kind duckdb.StmtType
	err = conn.Raw(func(c any) error {
		s, err := c.(*duckdb.Conn).Prepare(query) // refuses several statements
		if err != nil {
			return err
		}
		kind, err = s.(*duckdb.Stmt).StatementType()
		return errors.Join(err, s.Close())
	})
	if err != nil {
		if strings.Contains(err.Error(), "PrepareContext") {
			return nil, fmt.Errorf("%w: several statements; ask one", store.ErrNotAQuestion)
		}
		return nil, err
	}
	if kind != duckdb.STATEMENT_TYPE_SELECT && kind != duckdb.STATEMENT_TYPE_EXPLAIN {
		return nil, fmt.Errorf("%w: nothing can be changed here; ask with SELECT", store.ErrNotAQuestion)
	}
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	a := &store.Answer{}
	if a.Columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	for rows.Next() {
		if len(a.Rows) == most {
			a.More = true
			break
		}
		row, into := make([]any, len(a.Columns)), make([]any, len(a.Columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		a.Rows = append(a.Rows, row)
	}
	if a.More {
		return a, nil
	}
	return a, rows.Err()
}

// Close removes the desk.
func (d *Desk) Close() error {
	var err error
	if d.db != nil {
		err = d.db.Close()
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}
