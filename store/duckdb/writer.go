package duckdb

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode/utf8"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"midwatch/event"
)

// flushBytes is after how many bytes of strings a writer hands its rows from
// the appender's buffer to the table, so that the buffer stays small.
const flushBytes = 16 << 20

// writer appends to the tables on a connection of its own, in one transaction.
// It is used by one goroutine at a time.
type writer struct {
	conn    mapping.Connection
	events  *appender
	items   *appender
	rejects *appender
	noRaw   bool
}

func newWriter(db mapping.Database, noRaw bool) (*writer, error) {
	w := &writer{noRaw: noRaw}
	if mapping.Connect(db, &w.conn) == mapping.StateError {
		return nil, errors.New("duckdb: no connection")
	}
	err := w.exec("BEGIN")
	for _, t := range []struct {
		name string
		a    **appender
	}{{"events", &w.events}, {"items", &w.items}, {"rejects", &w.rejects}} {
		if err == nil {
			*t.a, err = newAppender(w.conn, t.name)
		}
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *writer) exec(q string) error { return execute(w.conn, q) }

func (w *writer) close() {
	for _, a := range []*appender{w.events, w.items, w.rejects} {
		if a != nil {
			a.close()
		}
	}
	mapping.Disconnect(&w.conn)
}

// forget empties the appenders.
func (w *writer) forget() {
	for _, a := range []*appender{w.events, w.items, w.rejects} {
		mapping.AppenderClear(a.low)
	}
}

func (w *writer) flush() error {
	return errors.Join(w.events.flush(), w.items.flush(), w.rejects.flush())
}

// append writes a batch. The order of the values is that of the columns in
// package event; a test compares them.
func (w *writer) append(b *event.Batch, rejects []event.Reject) error {
	for i := range b.Events {
		if b.Duplicate[i] {
			continue
		}
		if err := w.event(&b.Events[i]); err != nil {
			return err
		}
	}
	for i := range b.Items {
		it := &b.Items[i]
		if b.Duplicate[it.Event] {
			continue
		}
		a := w.items
		a.begin()
		a.uuid(b.Events[it.Event].ID)
		a.text(string(it.Kind))
		a.text(it.MessageID)
		a.text(it.ItemID)
		a.text(it.Folder)
		a.text(it.Subject)
		a.text(it.Names)
		a.bigint(it.Size, it.Size < 0)
		if err := a.end(); err != nil {
			return err
		}
	}
	for i := range rejects {
		r := &rejects[i]
		a := w.rejects
		a.begin()
		a.int(r.File, false)
		a.bigint(r.Line, false)
		a.bigint(r.Offset, false)
		a.bigint(r.Length, false)
		a.text(r.Reason)
		a.text(r.Head)
		if err := a.end(); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) event(e *event.Event) error {
	a := w.events
	a.begin()
	a.uuid(e.ID)
	a.text(string(e.Source))
	a.text(e.Format)
	a.text(e.Tenant)
	a.bigint(e.Time, e.Time == 0)
	a.text(string(e.Class))
	a.text(e.Operation)
	a.text(e.Workload)
	a.text(string(e.Outcome))
	a.text(e.Code)
	a.text(e.Reason)
	a.text(string(e.ActorKind))
	a.text(e.Actor)
	a.text(e.ActorID)
	a.text(e.AppID)
	a.text(e.AppName)
	a.text(e.ResourceID)
	a.text(e.ResourceName)
	a.text(e.SPID)
	a.text(e.KeyID)
	a.text(e.IP)
	a.bool(e.IPService, e.IP == "")
	a.bigint(int64(e.ASN), e.ASN == 0)
	a.text(e.ASOrg)
	a.text(e.IPKind)
	a.text(e.Country)
	a.text(e.UserAgent)
	a.text(e.Client)
	a.text(e.Protocol)
	a.text(e.DeviceID)
	a.text(e.SessionID)
	a.text(e.TokenID)
	a.text(e.RequestID)
	a.text(e.CorrID)
	a.text(e.Mailbox)
	a.text(e.MailboxID)
	a.text(e.LogonType)
	a.text(string(e.Access))
	a.bool(e.Throttled != nil && *e.Throttled, e.Throttled == nil)
	a.int(e.ItemCount, e.ItemCount == 0)
	a.text(e.Target)
	a.text(e.TargetID)
	a.text(e.TargetKind)
	a.text(e.Permissions)
	a.text(e.Detail)
	a.text(e.Subject)
	a.text(e.MessageID)
	a.text(e.Recipients)
	a.int(int32(e.Flags), false)
	a.int(e.File, false)
	a.bigint(e.Line, false)
	a.bigint(e.Offset, false)
	a.bigint(e.Length, false)
	a.text(e.Record)
	switch {
	case w.noRaw:
		a.null()
		a.null()
	case e.Flags&event.FlagInvalidUTF8 != 0:
		a.null()
		a.bytes(e.Raw)
	default:
		a.bytes(e.Raw)
		a.null()
	}
	return a.end()
}

// appender fills DuckDB's column vectors directly. Strings are copied once,
// into memory that C may point to; DuckDB copies them on when a chunk is
// appended.
type appender struct {
	name    string
	low     mapping.Appender
	chunk   mapping.DataChunk
	types   []mapping.LogicalType
	vectors []mapping.Vector
	data    []unsafe.Pointer
	valid   [][]uint64
	size    int // rows a chunk holds
	row     int
	col     int

	arena   []byte // outside the Go heap
	used    int
	big     [][]byte // strings that do not fit the arena
	pending int      // bytes appended since the last flush
	err     error
}

func newAppender(conn mapping.Connection, table string) (*appender, error) {
	a := &appender{name: table, size: int(mapping.VectorSize())}
	if mapping.AppenderCreateExt(conn, "midwatch", "main", table, &a.low) == mapping.StateError {
		return nil, fmt.Errorf("duckdb: no appender for %s: %s", table, mapping.AppenderError(a.low))
	}
	n := mapping.AppenderColumnCount(a.low)
	for i := range n {
		a.types = append(a.types, mapping.AppenderColumnType(a.low, i))
	}
	a.chunk = mapping.CreateDataChunk(a.types)
	a.vectors = make([]mapping.Vector, n)
	a.data = make([]unsafe.Pointer, n)
	a.valid = make([][]uint64, n)
	var err error
	if a.arena, err = offHeap(8 << 20); err != nil {
		return nil, err
	}
	a.prepare()
	return a, nil
}

func offHeap(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

// prepare empties the chunk.
func (a *appender) prepare() {
	mapping.DataChunkReset(a.chunk)
	for i := range a.vectors {
		v := mapping.DataChunkGetVector(a.chunk, mapping.IdxT(i))
		mapping.VectorEnsureValidityWritable(v)
		a.vectors[i] = v
		a.data[i] = mapping.VectorGetData(v)
		a.valid[i] = unsafe.Slice((*uint64)(mapping.VectorGetValidity(v)), (a.size+63)/64)
	}
	a.row, a.used = 0, 0
	for _, b := range a.big {
		_ = syscall.Munmap(b)
	}
	a.big = a.big[:0]
}

func (a *appender) begin() { a.col = 0 }

// end finishes a row.
func (a *appender) end() error {
	if a.col != len(a.vectors) {
		return fmt.Errorf("duckdb: %d values for the %d columns of %s", a.col, len(a.vectors), a.name)
	}
	a.row++
	if a.row == a.size || a.used > len(a.arena)-1<<20 {
		return a.ship()
	}
	return a.err
}

// ship appends the chunk.
func (a *appender) ship() error {
	if a.err != nil {
		return a.err
	}
	if a.row == 0 {
		return nil
	}
	a.pending += a.used
	for _, b := range a.big {
		a.pending += len(b)
	}
	mapping.DataChunkSetSize(a.chunk, mapping.IdxT(a.row))
	if mapping.AppendDataChunk(a.low, a.chunk) == mapping.StateError {
		return errors.New("duckdb: " + mapping.AppenderError(a.low))
	}
	a.prepare()
	if a.pending >= flushBytes {
		a.pending = 0
		if mapping.AppenderFlush(a.low) == mapping.StateError {
			return errors.New("duckdb: " + mapping.AppenderError(a.low))
		}
	}
	return nil
}

func (a *appender) flush() error {
	if err := a.ship(); err != nil {
		return err
	}
	if mapping.AppenderFlush(a.low) == mapping.StateError {
		return errors.New("duckdb: " + mapping.AppenderError(a.low))
	}
	return nil
}

func (a *appender) close() {
	for _, b := range a.big {
		_ = syscall.Munmap(b)
	}
	mapping.DestroyDataChunk(&a.chunk)
	for i := range a.types {
		mapping.DestroyLogicalType(&a.types[i])
	}
	mapping.AppenderDestroy(&a.low)
	_ = syscall.Munmap(a.arena)
}

func (a *appender) null() {
	a.valid[a.col][a.row>>6] &^= 1 << (a.row & 63)
	a.col++
}

func (a *appender) uuid(id event.ID) {
	// A UUID is a 128-bit integer, low half first, with the top bit flipped so
	// that it sorts as text does.
	p := (*[2]uint64)(unsafe.Add(a.data[a.col], a.row*16))
	p[1] = be64(id[0:8]) ^ 1<<63
	p[0] = be64(id[8:16])
	a.col++
}

func be64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 | uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7])
}

func (a *appender) int(v int32, null bool) {
	if null {
		a.null()
		return
	}
	*(*int32)(unsafe.Add(a.data[a.col], a.row*4)) = v
	a.col++
}

func (a *appender) bigint(v int64, null bool) {
	if null {
		a.null()
		return
	}
	*(*int64)(unsafe.Add(a.data[a.col], a.row*8)) = v
	a.col++
}

func (a *appender) bool(v, null bool) {
	if null {
		a.null()
		return
	}
	*(*bool)(unsafe.Add(a.data[a.col], a.row)) = v
	a.col++
}

// text writes a string; the empty one is NULL. DuckDB takes only UTF-8.
func (a *appender) text(s string) {
	if s == "" {
		a.null()
		return
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	a.bytes(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// bytes writes a duckdb_string_t: length, then either up to 12 bytes inline or
// a 4-byte prefix and a pointer.
func (a *appender) bytes(b []byte) {
	p := unsafe.Add(a.data[a.col], a.row*16)
	*(*uint32)(p) = uint32(len(b))
	if len(b) <= 12 {
		in := (*[12]byte)(unsafe.Add(p, 4))
		clear(in[copy(in[:], b):])
		a.col++
		return
	}
	c := a.copy(b)
	copy((*[4]byte)(unsafe.Add(p, 4))[:], b)
	*(*unsafe.Pointer)(unsafe.Add(p, 8)) = unsafe.Pointer(unsafe.SliceData(c))
	a.col++
}

func (a *appender) copy(b []byte) []byte {
	if a.used+len(b) > len(a.arena) {
		m, err := offHeap(len(b))
		if err != nil {
			a.err = fmt.Errorf("duckdb: out of memory: %w", err)
			return a.arena[:min(len(b), len(a.arena))] // never shipped: a.err stands in the way
		}
		a.big = append(a.big, m)
		copy(m, b)
		return m
	}
	c := a.arena[a.used : a.used+len(b)]
	a.used += len(b)
	copy(c, b)
	return c
}
