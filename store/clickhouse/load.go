package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/dialect"
	"midwatch/store/idset"
)

const (
	// A block is sent when it holds so much. The server sorts and compresses
	// each by itself, so that larger blocks cost it less to merge, and memory.
	blockRows  = 100_000
	blockBytes = 60 << 20
	// senders is how many blocks are on their way while others are filled.
	senders = 2
	blocks  = senders + 2
	// rejectRows is how many rows of table rejects one reason may have in one
	// file. The counts in the case stay exact.
	rejectRows = 1000
	// insertTimeout is how long the server may take to store a block. One that
	// hangs longer is asked again.
	insertTimeout = 10 * time.Minute
)

// load implements [store.Load].
type load struct {
	s    *Store
	me   loadRow
	ctx  context.Context
	stop context.CancelCauseFunc // ends the senders and the heart beat
	wait sync.WaitGroup

	set     *idset.Set
	held    map[shelf]bool // parts of the store: true when their ids are in set
	idle    chan *block
	full    chan *block
	senders sync.WaitGroup

	mu      sync.Mutex
	seq     int
	rejects map[rejectKey]int
	files   []store.File
	sent    map[string]int64 // rows of each table that the server has said it stored
	fate    fate
	closed  bool
	err     error
}

// fate is what is known of a load that has not ended well.
type fate int

const (
	undecided fate = iota
	unknown        // it was said to be complete, and whether that arrived is not known
	givenUp        // others took it for dead
)

type rejectKey struct {
	file   int32
	reason string
}

// shelf is the events of one log on one day. A load reads the ids of those
// that it meets, not of the whole store.
type shelf struct {
	source string
	day    int64 // since 1970; noDay without a time
}

const noDay = int64(-1 << 40)

// Begin implements [store.Store]. It waits for this process's own load only:
// other processes may load at the same time.
func (s *Store) Begin(ctx context.Context) (store.Load, error) {
	if s.opts.ReadOnly {
		return nil, errors.New("clickhouse: the store is open for reading only")
	}
	select {
	case <-s.load:
	case <-ctx.Done():
		return nil, fmt.Errorf("clickhouse: another load is open: %w", context.Cause(ctx))
	}
	l, err := s.begin(ctx)
	if err != nil {
		s.load <- struct{}{}
		return nil, fmt.Errorf("begin a load: %w", explain(err))
	}
	return l, nil
}

func (s *Store) begin(ctx context.Context) (*load, error) {
	if err := s.settleAll(ctx); err != nil {
		return nil, err
	}
	me, err := s.claim(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	l := &load{s: s, me: me, rejects: map[rejectKey]int{}, sent: map[string]int64{}, held: map[shelf]bool{}, idle: make(chan *block, blocks), full: make(chan *block)}
	l.set = idset.New()
	err = s.again(ctx, func() error {
		return store.Each(ctx, s, "SELECT source, coalesce(CAST(floor(epoch_us(time) / 86400000000) AS BIGINT), ?) AS d, count(*) FROM events GROUP BY source, d", []any{noDay}, func(scan func(...any) error) error {
			var k shelf
			var n int64
			if err := scan(&k.source, &k.day, &n); err != nil {
				return err
			}
			l.held[k] = false
			return nil
		})
	})
	if err != nil {
		l.set.Free()
		return nil, err
	}
	l.ctx, l.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	for range blocks {
		l.idle <- newBlock(me.number, s.opts.NoRaw)
	}
	for range senders {
		l.senders.Go(l.send)
	}
	l.wait.Go(l.live)
	return l, nil
}

// live writes signs of life.
func (l *load) live() {
	t := time.NewTicker(l.s.pace.beat)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = l.s.writeLoad(l.ctx, l.me, open) // the next one may get through
		case <-l.ctx.Done():
			return
		}
	}
}

// FirstFile implements [store.Load].
func (l *load) FirstFile() int32 { return l.me.first }

// Claim implements [store.Load].
func (l *load) Claim(b *event.Batch) (int, error) {
	if len(l.held) > 0 {
		for i := range b.Events {
			e := &b.Events[i]
			k := shelf{string(e.Source), noDay}
			if e.Time != 0 {
				k.day = floorDiv(min(max(e.Time, minTime), maxTime), 86400_000000)
			}
			if known, ok := l.held[k]; ok && !known {
				if err := l.fetch(k); err != nil {
					return 0, fmt.Errorf("read which events the store has: %w", err)
				}
			}
		}
	}
	return l.set.Claim(b)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// fetch reads the ids of one shelf.
func (l *load) fetch(k shelf) error {
	when, args := "time IS NULL", []any{k.source}
	if k.day != noDay {
		day := time.UnixMicro(k.day * 86400_000000).UTC()
		when, args = "time >= ? AND time < ?", append(args, day, day.AddDate(0, 0, 1))
	}
	var e event.Event
	var id string
	err := l.s.again(l.ctx, func() error { // what the set has is added twice without harm
		return store.Each(l.ctx, l.s, "SELECT CAST(id AS VARCHAR), coalesce(epoch_us(time), 0), coalesce(operation, ''), coalesce(actor, ''), coalesce(code, ''), "+
			"coalesce(item_count, 0), coalesce(ip, ''), coalesce(mailbox_id, ''), coalesce(message_id, ''), coalesce(format, '') FROM events WHERE source = ? AND "+when, args, func(scan func(...any) error) error {
			if err := scan(&id, &e.Time, &e.Operation, &e.Actor, &e.Code, &e.ItemCount, &e.IP, &e.MailboxID, &e.MessageID, &e.Format); err != nil {
				return err
			}
			x, ok := event.ParseID(id)
			if !ok {
				return fmt.Errorf("the store has a malformed id %q", id)
			}
			_, err := l.set.Add(x, l.set.Fingerprint(&e))
			return err
		})
	})
	l.held[k] = err == nil
	return err
}

// Append implements [store.Load].
func (l *load) Append(ctx context.Context, b *event.Batch) error {
	var blk *block
	l.mu.Lock()
	closed, err := l.closed, l.err
	l.mu.Unlock()
	if closed {
		return errors.New("clickhouse: the load has ended")
	}
	if err != nil {
		return err
	}
	select {
	case blk = <-l.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ctx.Done():
		return l.failure()
	}
	blk.append(b, l.keepRejects(b.Rejects))
	if blk.events.n < blockRows && blk.events.bytes()+blk.items.bytes() < blockBytes {
		l.idle <- blk
		return nil
	}
	return l.ship(ctx, blk)
}

// ship hands a block to a sender.
func (l *load) ship(ctx context.Context, b *block) error {
	l.mu.Lock()
	l.seq++
	b.seq = l.seq
	l.mu.Unlock()
	select {
	case l.full <- b:
		return nil
	case <-ctx.Done():
		l.idle <- b
		return context.Cause(ctx)
	case <-l.ctx.Done():
		return l.failure()
	}
}

func (l *load) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	return context.Cause(l.ctx)
}

// send sends blocks over a connection of its own.
func (l *load) send() {
	c := &conn{s: l.s}
	defer c.close()
	for b := range l.full {
		err := l.sendBlock(c, b)
		b.events.reset()
		b.items.reset()
		b.reject.reset()
		if err != nil {
			err = fmt.Errorf("write events: %w", explain(err))
			l.mu.Lock()
			if l.err == nil {
				l.err = err
			}
			l.mu.Unlock()
			l.stop(err)
		}
		l.idle <- b
	}
}

func (l *load) sendBlock(c *conn, b *block) error {
	for _, t := range []struct {
		name string
		r    *rows
	}{{"events", &b.events}, {"items", &b.items}, {"rejects", &b.reject}} {
		if t.r.n == 0 {
			continue
		}
		if err := l.ctx.Err(); err != nil {
			return context.Cause(l.ctx)
		}
		// The token tells the server that a block which is sent again is the
		// same: an error may come after it was stored.
		token := fmt.Sprintf("%s-%d-%s", l.me.holder, b.seq, t.name)
		err := l.s.again(l.ctx, func() error { return c.insert(l.ctx, t.name, t.r, token) })
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.sent[t.name] += int64(t.r.n)
		l.mu.Unlock()
	}
	return nil
}

// conn is a connection for inserts, made when it is needed.
type conn struct {
	s *Store
	c *ch.Client
}

func (c *conn) insert(ctx context.Context, table string, r *rows, token string) error {
	if c.c == nil || c.c.IsClosed() {
		var err error
		if c.c, err = c.s.dial(ctx); err != nil {
			c.c = nil
			return err
		}
	}
	in := r.input()
	settings := []ch.Setting{
		{Key: "insert_deduplication_token", Value: token, Important: true},
		{Key: "insert_deduplicate", Value: "1", Important: true},
		{Key: "max_partitions_per_insert_block", Value: "0"}, // logs of many months, and times that are wrong
		{Key: "async_insert", Value: "0"},
		{Key: "max_insert_block_size", Value: "1000000000"}, // one block stays one
		{Key: "min_insert_block_size_rows", Value: "0"},
		{Key: "min_insert_block_size_bytes", Value: "0"},
	}
	if c.s.cfg.cluster != "" {
		settings = append(settings, ch.Setting{Key: "distributed_foreground_insert", Value: "1", Important: true})
	}
	// ch-go looks at its context between packets only: a server that neither
	// takes nor says anything would hold it.
	timed, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	client := c.c
	stop := context.AfterFunc(timed, func() { _ = client.Close() })
	defer stop()
	err := c.c.Do(timed, ch.Query{Body: in.Into(table), Input: in, Settings: settings})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case timed.Err() != nil:
		err = fmt.Errorf("no answer for %s: %w", insertTimeout, os.ErrDeadlineExceeded)
	}
	c.close()
	return err
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}

// dial connects to the first host that answers.
func (s *Store) dial(ctx context.Context) (*ch.Client, error) {
	d := s.cfg.driver
	var errs []error
	for _, addr := range d.Addr {
		o := ch.Options{Address: addr, Database: d.Auth.Database, User: d.Auth.Username, Password: d.Auth.Password, TLS: d.TLS, DialTimeout: d.DialTimeout, ReadTimeout: ch.NoTimeout, HandshakeTimeout: d.DialTimeout}
		if d.Compression != nil && d.Compression.Method != 0 {
			o.Compression = ch.CompressionLZ4
		}
		c, err := ch.Dial(ctx, o)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
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

// Files implements [store.Load].
func (l *load) Files(_ context.Context, files []store.File) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("clickhouse: the load has ended")
	}
	l.files = append(l.files, files...)
	return nil
}

// Commit implements [store.Load]. The row that says "settled" is the commit:
// until it is there nothing of the load counts, from then on all of it. It
// comes after the one that says "loaded", with which the load is complete,
// whatever becomes of this process.
func (l *load) Commit(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errors.New("clickhouse: the load has ended")
	}
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { l.stop(context.Cause(ctx)) })
	defer stop()
	if err := l.flush(ctx); err != nil {
		return err
	}
	if err := l.commit(ctx); err != nil {
		err = explain(err)
		if l.fate == unknown {
			return fmt.Errorf("commit: it is not known whether the load is complete; run the same command again, which adds nothing twice: %w", err)
		}
		return fmt.Errorf("commit: %w", err)
	}
	if err := l.s.settle(ctx, l.me, true); err != nil {
		err = fmt.Errorf("commit: the load is complete, but it counts only when it is clear which of its events other loads have too; run the same command again: %w", explain(err))
		l.end()
		return err
	}
	l.end()
	if err := l.s.refresh(ctx); err != nil {
		return fmt.Errorf("the load counts; looking at it: %w", explain(err))
	}
	return nil
}

// flush sends what is left and waits.
func (l *load) flush(ctx context.Context) error {
	for range blocks {
		select {
		case b := <-l.idle:
			if b.events.n+b.items.n+b.reject.n > 0 {
				if err := l.ship(ctx, b); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	close(l.full)
	l.senders.Wait()
	l.full = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *load) commit(ctx context.Context) error {
	if len(l.files) > 0 {
		var b strings.Builder
		b.WriteString("INSERT INTO files (file, path, sha256, bytes, outer_sha256, records, events, duplicates, manifest, load) SETTINGS insert_deduplication_token = '" + l.me.holder + "-files' VALUES ")
		for i, f := range l.files {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "(%d, %s, %s, %d, %s, %d, %d, %d, %s, %d)", f.Ordinal, dialect.Quote(f.Path), dialect.Quote(f.SHA256), f.Bytes, dialect.Quote(f.OuterSHA256),
				f.Records, f.Events, f.Duplicates, dialect.Quote(f.Manifest), l.me.number)
		}
		if err := l.s.write(ctx, b.String()); err != nil {
			return fmt.Errorf("write files: %w", err)
		}
	}
	loads, err := l.s.loads(ctx)
	if err != nil {
		return err
	}
	if s := find(loads, l.me.holder).state; s == dead || s == withdrawn {
		l.fate = givenUp
		return errGivenUp{l.s.pace.deadAfter}
	}
	if err := l.verify(ctx); err != nil {
		return err
	}
	said, err := l.s.queue(ctx, l.me, true)
	switch {
	case errors.As(err, new(errGivenUp)):
		l.fate = givenUp
	case err != nil && said:
		l.fate = unknown
	}
	return err
}

// verify counts what the server has of the load. A server that died while it
// stored a block may have the block's token without the block; and somebody may
// have taken the tables their deduplication.
func (l *load) verify(ctx context.Context) error {
	keep, err := l.s.retention(ctx)
	if err != nil {
		return err
	}
	for _, t := range []string{"events", "items", "rejects"} {
		var n int64
		err := l.s.ask(ctx, fmt.Sprintf("load = %d", l.me.number), "SELECT toInt64(count()) FROM "+t+fmt.Sprintf(" WHERE load = %d", l.me.number), func(scan func(...any) error) error { return scan(&n) })
		if err != nil {
			return fmt.Errorf("count what was written: %w", err)
		}
		// With a retention the server leaves out what is too old at once.
		if n != l.sent[t] && (keep == 0 || n > l.sent[t]) {
			return fmt.Errorf("table %s has %d rows of this load, and %d were written: nothing of it counts; run the same command again, and if it fails again, `midwatch store check`", t, n, l.sent[t])
		}
	}
	return nil
}

// Rollback implements [store.Load].
func (l *load) Rollback() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.mu.Unlock()
	l.stop(errors.New("the load was rolled back"))
	if l.full != nil {
		close(l.full)
		l.senders.Wait()
	}
	// After a failure the server may be away: it is not waited for as long as
	// a load waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), 3*time.Second)
	defer cancel()
	if l.fate == unknown {
		// It may be complete: whoever opens the store next settles it then.
		l.end()
		return nil
	}
	var err error
	if l.fate != givenUp {
		err = l.s.writeLoad(ctx, l.me, dead)
	}
	if err == nil {
		l.s.remove(ctx, l.me.number)
	}
	l.end()
	if err != nil {
		return fmt.Errorf("roll back: %w (what was written does not count, and is removed by a later load)", explain(err))
	}
	return nil
}

func (l *load) end() {
	l.stop(errors.New("the load has ended"))
	l.wait.Wait()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.set.Free()
	l.s.load <- struct{}{}
}

var _ store.Load = (*load)(nil)
