package duckdb

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/idset"
)

// load implements [store.Load].
type load struct {
	s     *Store
	first int32 // ordinal of the first file

	mu      sync.Mutex
	idle    []*writer
	writers []*writer
	rejects map[rejectKey]int
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
	err := s.loadIDs(ctx)
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

// loadIDs reads which events the store has.
func (s *Store) loadIDs(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != nil {
		return nil
	}
	set, err := idset.New()
	if err != nil {
		return err
	}
	defer func() {
		if s.seen != set {
			set.Free()
		}
	}()
	rows, err := s.db.QueryContext(ctx, "SELECT id::VARCHAR, epoch_us(time), coalesce(operation,''), coalesce(actor,''), coalesce(code,''), "+
		"coalesce(item_count,0), coalesce(ip,''), coalesce(mailbox_id,''), coalesce(message_id,''), coalesce(format,'') FROM events")
	if err != nil {
		return fmt.Errorf("read ids of the store: %w", err)
	}
	defer rows.Close()
	var e event.Event
	var id string
	for rows.Next() {
		var t *int64
		if err := rows.Scan(&id, &t, &e.Operation, &e.Actor, &e.Code, &e.ItemCount, &e.IP, &e.MailboxID, &e.MessageID, &e.Format); err != nil {
			return err
		}
		e.Time = 0
		if t != nil {
			e.Time = *t
		}
		x, ok := event.ParseID(id)
		if !ok {
			return fmt.Errorf("store has a malformed id %q", id)
		}
		if _, err := set.Add(x, set.Fingerprint(&e)); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.seen = set
	return nil
}

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
		return nil, errors.New("duckdb: the load has ended")
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
func (l *load) Files(ctx context.Context, files []store.File) error {
	w, err := l.writer()
	if err != nil {
		return err
	}
	defer func() { l.mu.Lock(); l.idle = append(l.idle, w); l.mu.Unlock() }()
	for _, f := range files {
		q := fmt.Sprintf("INSERT INTO midwatch.files VALUES (%d, %s, %s, %d, %s, %d, %d, %d, %s)", f.Ordinal, quote(f.Path), quote(f.SHA256), f.Bytes, quote(f.OuterSHA256),
			f.Records, f.Events, f.Duplicates, quote(f.Manifest))
		if err := w.exec(q); err != nil {
			return fmt.Errorf("write files: %w", err)
		}
	}
	return ctx.Err()
}

// Commit implements [store.Load]. Each writer's transaction is committed in
// turn; a batch is in exactly one of them, with its items.
func (l *load) Commit(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("duckdb: the load has ended")
	}
	for _, w := range l.writers {
		if err := w.flush(); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	for i, w := range l.writers {
		if err := w.exec("COMMIT"); err != nil {
			return fmt.Errorf("commit events (transaction %d of %d): %w", i+1, len(l.writers), err)
		}
	}
	if err := l.end(); err != nil {
		return err
	}
	if _, err := l.s.db.ExecContext(ctx, "CHECKPOINT midwatch"); err != nil {
		return fmt.Errorf("write events to disk: %w", err)
	}
	return nil
}

// Rollback implements [store.Load].
func (l *load) Rollback() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if l.dirty {
		l.s.mu.Lock()
		l.s.seen.Free()
		l.s.seen = nil
		l.s.mu.Unlock()
	}
	var err error
	for _, w := range l.writers {
		w.forget() // an appender that is destroyed writes what it holds
		err = errors.Join(err, w.exec("ROLLBACK"))
	}
	return errors.Join(err, l.end())
}

func (l *load) end() error {
	for _, w := range l.writers {
		w.close()
	}
	_, err := l.s.db.Exec(fmt.Sprintf("SET threads = %d", l.s.opts.Threads))
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
