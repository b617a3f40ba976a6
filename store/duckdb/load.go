package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"midwatch/event"
	"midwatch/store"
)

// load implements [store.Load].
type load struct {
	s     *Store
	first int32 // ordinal of the first file

	mu      sync.Mutex
	idle    []*writer
	writers []*writer
	rejects map[rejectKey]int
	files   []store.File // written last: they say that the load is whole
	closed  bool
	dirty   bool // claimed ids are in the set: a rollback must forget it
}

type rejectKey struct {
	file   int32
	reason string
}

// rejectRows is how many rows of table rejects one reason may have in one
// file. The counts in the case stay exact.
const rejectRows = 1000

// Begin implements [store.Store].
func (s *Store) Begin(ctx context.Context) (store.Load, error) {
	if s.opts.ReadOnly {
		return nil, errors.New("duckdb: the store is open for reading only")
	}
	select {
	case <-s.load:
	case <-ctx.Done():
		return nil, fmt.Errorf("duckdb: another load is open: %w", context.Cause(ctx))
	}
	l := &load{s: s, rejects: make(map[rejectKey]int)}
	_, err := s.Recover(ctx)
	if err == nil {
		err = s.goOnAssigning(ctx)
	}
	if err == nil {
		err = s.loadIDs(ctx)
	}
	if err == nil {
		err = s.db.QueryRowContext(ctx, "SELECT coalesce(max(file) + 1, 0) FROM files").Scan(&l.first)
	}
	if err == nil {
		// Each appending goroutine does its own share of the work. Were DuckDB
		// to share a flush out to threads, the goroutine would spin until they
		// are done, and the processors would be taken twice.
		_, err = s.db.ExecContext(ctx, "SET threads = 1")
	}
	if err != nil {
		s.load <- struct{}{}
		return nil, err
	}
	return l, nil
}

// FirstFile implements [store.Load].
func (l *load) FirstFile() int32 { return l.first }

// Claim implements [store.Load].
func (l *load) Claim(b *event.Batch) (int, error) {
	l.dirty = true
	return l.s.seen.Claim(b)
}

// Append implements [store.Load].
func (l *load) Append(ctx context.Context, b *event.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w, err := l.writer()
	if err != nil {
		return err
	}
	if err := w.append(b, l.keepRejects(b.Rejects)); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	l.mu.Lock()
	l.idle = append(l.idle, w)
	l.mu.Unlock()
	return nil
}

// keepRejects bounds the rows of table rejects.
func (l *load) keepRejects(rs []event.Reject) []event.Reject {
	if len(rs) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []event.Reject
	for _, r := range rs {
		k := rejectKey{r.File, r.Reason}
		if len(l.rejects) > 1<<16 {
			k.reason = "" // hostile input: as many reasons as records
		}
		if l.rejects[k]++; l.rejects[k] <= rejectRows {
			out = append(out, r)
		}
	}
	return out
}

func (l *load) writer() (*writer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errEnded()
	}
	if n := len(l.idle); n > 0 {
		w := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return w, nil
	}
	w, err := newWriter(l.s.low, l.s.opts.NoRaw)
	if err != nil {
		return nil, err
	}
	l.writers = append(l.writers, w)
	return w, nil
}

// Files implements [store.Load].
func (l *load) Files(_ context.Context, files []store.File) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errEnded()
	}
	l.files = append(l.files, files...)
	return nil
}

func errEnded() error { return errors.New("duckdb: the load has ended") }

// Commit implements [store.Load]. Each writer's transaction is committed in
// turn; a batch is in exactly one of them, with its items. A mark in table meta
// stands from before the first to the last transaction, which writes the
// files: where a process died between the two, the next one finds the mark and
// takes the events away whose files have no account ([Store.Recover]).
func (l *load) Commit(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errEnded()
	}
	for _, w := range l.writers {
		if err := w.flush(); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	if _, err := l.s.db.ExecContext(ctx, "INSERT INTO meta VALUES ('"+unfinished+"', ?)", fmt.Sprint(l.first)); err != nil {
		return fmt.Errorf("begin to commit: %w", err)
	}
	ctx = context.WithoutCancel(ctx) // half a commit helps nobody
	for i, w := range l.writers {
		if err := w.exec("COMMIT"); err != nil {
			return fmt.Errorf("commit events (transaction %d of %d): %w", i+1, len(l.writers), err)
		}
	}
	if err := l.s.finish(ctx, l.files); err != nil {
		return fmt.Errorf("commit files: %w", err)
	}
	// The next load begins to write when this one has ended, and where somebody
	// writes nothing can be checkpointed: first that, then the end.
	return l.end(func() error { return l.s.checkpoint(ctx) })
}

// checkpoint moves what is committed from the write-ahead log into the tables.
// Where somebody else writes for long it is left for the next one: the log is
// on disk, and nothing of it is lost.
func (s *Store) checkpoint(ctx context.Context) error {
	for range 20 {
		_, err := s.db.ExecContext(ctx, "CHECKPOINT midwatch")
		switch {
		case err == nil:
			return nil
		case !strings.Contains(err.Error(), "other write transactions active"):
			return fmt.Errorf("write events to disk: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// unfinished is the key in table meta of a load that is being committed; the
// value is the ordinal of its first file.
const unfinished = "unfinished load"

// finish writes the files of a load and takes its mark away.
func (s *Store) finish(ctx context.Context, files []store.File) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	const row = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
	for part := range slices.Chunk(files, 500) {
		var args []any
		for _, f := range part {
			args = append(args, f.Ordinal, valid(f.Path), f.SHA256, f.Bytes, f.OuterSHA256, f.Records, f.Events, f.Duplicates, valid(f.Manifest))
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO files VALUES "+row+strings.Repeat(", "+row, len(part)-1), args...); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE key = '"+unfinished+"'"); err != nil {
		return err
	}
	return tx.Commit()
}

// valid makes text of s that DuckDB takes; NULL where there is none.
func valid(s string) any {
	if s == "" {
		return nil
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Unfinished reports whether the store holds a part of a load that died while
// it was committed. Questions would count it; [Store.Recover] takes it away.
func (s *Store) Unfinished(ctx context.Context) (bool, error) {
	n := 0
	err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM meta WHERE key = '"+unfinished+"'").Scan(&n)
	return n > 0, err
}

// Recover removes what is left of a load that died while it was committed, and
// says whether there was one. Its files have no account, so that reading them
// again brings all of their records.
func (s *Store) Recover(ctx context.Context) (found bool, err error) {
	var first sql.NullString
	if err := s.db.QueryRowContext(ctx, "SELECT min(CAST(value AS BIGINT))::VARCHAR FROM meta WHERE key = '"+unfinished+"'").Scan(&first); err != nil || !first.Valid {
		return false, err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := s.remove(ctx, conn, first.String); err != nil {
		return false, fmt.Errorf("remove what an unfinished load left: %w", err)
	}
	s.forget()
	return true, nil
}

// remove removes the rows of files from an ordinal on, and last the mark of an
// unfinished load: a part at a time, since a hundred million rows at once do
// not fit into memory, and who dies in between is followed by one who goes on.
func (s *Store) remove(ctx context.Context, conn *sql.Conn, first string) error {
	var from, to sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT min(rowid), max(rowid) FROM events WHERE file >= "+first).Scan(&from, &to); err != nil {
		return err
	}
	for at := from.Int64; from.Valid && at <= to.Int64; at += rowsAtOnce {
		rows := fmt.Sprintf("FROM events WHERE file >= %s AND rowid >= %d AND rowid < %d", first, at, at+rowsAtOnce)
		if err := transaction(ctx, conn, []string{"DELETE FROM items WHERE event IN (SELECT id " + rows + ")", "DELETE " + rows}); err != nil {
			return err
		}
	}
	return transaction(ctx, conn, []string{"DELETE FROM rejects WHERE file >= " + first, "DELETE FROM meta WHERE key = '" + unfinished + "'"})
}

// forget drops the set of ids: events were removed.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Free()
	s.seen = nil
}

// Rollback implements [store.Load].
func (l *load) Rollback() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if l.dirty {
		l.s.forget()
	}
	var err error
	for _, w := range l.writers {
		w.forget() // an appender that is destroyed writes what it holds
		err = errors.Join(err, w.exec("ROLLBACK"))
	}
	return errors.Join(err, l.end(nil))
}

// end closes what writes, does one last thing, and lets the next load begin.
func (l *load) end(last func() error) error {
	for _, w := range l.writers {
		w.close()
	}
	_, err := l.s.db.Exec(fmt.Sprintf("SET threads = %d", l.s.opts.Threads))
	if err == nil && last != nil {
		err = last()
	}
	l.writers, l.idle, l.closed = nil, nil, true
	l.s.load <- struct{}{}
	return err
}

var _ store.Load = (*load)(nil)

// execute runs a statement on a low-level connection.
func execute(c mapping.Connection, q string) error {
	var r mapping.Result
	defer mapping.DestroyResult(&r)
	if mapping.Query(c, q, &r) == mapping.StateError {
		return errors.New(mapping.ResultError(&r))
	}
	return nil
}
