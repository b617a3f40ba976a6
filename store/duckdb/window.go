package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"midwatch/store"
)

// window is a connection on which a view stands in front of table events:
// temporary names are looked up first.
type window struct {
	s    *Store
	conn *sql.Conn
}

// Window implements [store.Windower].
func (s *Store) Window(ctx context.Context, since time.Time) (store.Window, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	view := fmt.Sprintf("CREATE OR REPLACE TEMP VIEW events AS SELECT * FROM midwatch.main.events WHERE time >= make_timestamp(%d) OR time IS NULL", since.UnixMicro())
	if _, err := conn.ExecContext(ctx, view); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("look at events since %s: %w", since.UTC().Format(time.RFC3339), err)
	}
	return &window{s, conn}, nil
}

func (w *window) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return w.s.patiently(ctx, func() (*sql.Rows, error) { return w.conn.QueryContext(ctx, query, args...) })
}

// Close gives the connection back, as it was.
func (w *window) Close() error {
	_, err := w.conn.ExecContext(context.Background(), "DROP VIEW IF EXISTS temp.main.events")
	if err != nil {
		_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // nobody else gets it
	}
	return errors.Join(err, w.conn.Close())
}
