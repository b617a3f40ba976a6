package duckdb

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"midwatch/event"
	"midwatch/store/idset"
)

// loadIDs learns which events the store has: once a process, before its first
// load. What it reads of each event is what [idset.Set.Fingerprint] looks at.
func (s *Store) loadIDs(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != nil {
		return nil
	}
	set := idset.New()
	if err := s.learn(ctx, set); err != nil {
		set.Free()
		return fmt.Errorf("read ids of the store: %w", err)
	}
	s.seen = set
	return nil
}

// idsAtOnce is how many rows one question asks for: an answer lies in memory
// whole before its first row is read.
const idsAtOnce = 200_000

// learn adds all events to a set. Two goroutines are twice as fast as one, and
// more would wait for the set.
func (s *Store) learn(ctx context.Context, set *idset.Set) error {
	var last sql.NullInt64
	if err := s.db.QueryRowContext(ctx, "SELECT max(rowid) FROM midwatch.main.events").Scan(&last); err != nil {
		return err
	}
	if !last.Valid {
		return nil
	}
	var next atomic.Int64
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	for range min(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			k := &knower{set: set, mu: &mu}
			var err error
			if mapping.Connect(s.low, &k.conn) == mapping.StateError {
				err = errors.New("duckdb: no connection")
			}
			for err == nil {
				from := next.Add(idsAtOnce) - idsAtOnce
				if from > last.Int64 {
					break
				}
				if err = ctx.Err(); err == nil {
					err = k.rows(from, from+idsAtOnce)
				}
			}
			mapping.Disconnect(&k.conn)
			if err != nil {
				next.Store(last.Int64 + 1) // nobody need go on
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

// knower reads rows by the vector. Through database/sql, a value at a time, it
// took four times as long.
type knower struct {
	set  *idset.Set
	mu   *sync.Mutex // of the set's tables
	conn mapping.Connection
	ids  []event.ID
	fps  []uint32
}

// rows adds the events of some rows.
func (k *knower) rows(from, to int64) error {
	var r mapping.Result
	defer mapping.DestroyResult(&r)
	q := fmt.Sprintf("SELECT id, time, operation, actor, code, item_count::BIGINT, ip, mailbox_id, message_id, format FROM midwatch.main.events WHERE rowid >= %d AND rowid < %d", from, to)
	if mapping.Query(k.conn, q, &r) == mapping.StateError {
		return errors.New(mapping.ResultError(&r))
	}
	for {
		chunk := mapping.FetchChunk(r)
		if chunk.Ptr == nil {
			return nil
		}
		err := k.chunk(chunk)
		mapping.DestroyDataChunk(&chunk)
		if err != nil {
			return err
		}
	}
}

// chunk adds the events of some rows that are in memory.
func (k *knower) chunk(c mapping.DataChunk) error {
	n := int(mapping.DataChunkGetSize(c))
	var cols [10]column
	for i := range cols {
		v := mapping.DataChunkGetVector(c, mapping.IdxT(i))
		cols[i] = column{mapping.VectorGetData(v), mapping.VectorGetValidity(v)}
	}
	k.ids, k.fps = k.ids[:0], k.fps[:0]
	for row := range n {
		e := event.Event{
			ID: cols[0].uuid(row), Time: cols[1].bigint(row), Operation: cols[2].text(row), Actor: cols[3].text(row), Code: cols[4].text(row),
			ItemCount: int32(cols[5].bigint(row)), IP: cols[6].text(row), MailboxID: cols[7].text(row), MessageID: cols[8].text(row), Format: cols[9].text(row),
		}
		k.ids = append(k.ids, e.ID)
		k.fps = append(k.fps, k.set.Fingerprint(&e))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, id := range k.ids {
		if _, err := k.set.Add(id, k.fps[i]); err != nil {
			return err
		}
	}
	return nil
}

// column is the values of a vector. Its texts live as long as the chunk.
type column struct{ data, valid unsafe.Pointer }

// null reports whether a row has no value.
func (c column) null(row int) bool {
	return c.valid != nil && *(*uint64)(unsafe.Add(c.valid, row>>6*8))>>(row&63)&1 == 0
}

// uuid is [appender.uuid] the other way round.
func (c column) uuid(row int) (id event.ID) {
	p := (*[2]uint64)(unsafe.Add(c.data, row*16))
	binary.BigEndian.PutUint64(id[0:8], p[1]^1<<63)
	binary.BigEndian.PutUint64(id[8:16], p[0])
	return id
}

func (c column) bigint(row int) int64 {
	if c.null(row) {
		return 0
	}
	return *(*int64)(unsafe.Add(c.data, row*8))
}

// text is [appender.bytes] the other way round.
func (c column) text(row int) string {
	if c.null(row) {
		return ""
	}
	p := unsafe.Add(c.data, row*16)
	n := *(*uint32)(p)
	if n <= 12 {
		return unsafe.String((*byte)(unsafe.Add(p, 4)), int(n))
	}
	return unsafe.String(*(**byte)(unsafe.Add(p, 8)), int(n))
}
