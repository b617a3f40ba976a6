package clickhouse

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"

	"midwatch/event"
)

// block collects rows of the tables as the native protocol wants them: each
// column's bytes are laid out when a value is added, and sent as they lie.
// Source: ClickHouse documentation, "Native format".
type block struct {
	load   uint32
	noRaw  bool
	events rows
	items  rows
	reject rows
	seq    int // which block of the load it is
}

// rows is the rows of one table.
type rows struct {
	cols []*col
	at   int // the column whose turn it is
	n    int

	chunked int // bytes in full chunks
}

// col is one column. What it holds is nulls (where it is nullable) and data.
type col struct {
	name     string
	kind     proto.ColumnType // without LowCardinality: the server makes the dictionary
	nullable bool
	nulls    []byte
	data     []byte
	rows     int // set when the rows are sent

	// The records' bytes are most of a block. They are kept in chunks, which
	// go back to the pool when they are sent: one growing slice would leave
	// as much again to the garbage collector, and be copied as often.
	pool *pool
	full [][]byte
}

// pool keeps chunks for the next time that the block is filled.
type pool struct{ chunks [][]byte }

const chunkBytes = 1 << 20

// get returns an empty chunk that holds n bytes.
func (p *pool) get(n int) []byte {
	if n > chunkBytes {
		return make([]byte, 0, n)
	}
	if k := len(p.chunks); k > 0 {
		c := p.chunks[k-1]
		p.chunks = p.chunks[:k-1]
		return c
	}
	return make([]byte, 0, chunkBytes)
}

func (p *pool) put(chunks [][]byte) {
	for _, c := range chunks {
		if cap(c) == chunkBytes { // an outsized record: do not keep its memory
			p.chunks = append(p.chunks, c[:0])
		}
	}
}

func newBlock(load uint32, noRaw bool) *block {
	b, p := &block{load: load, noRaw: noRaw}, &pool{}
	for _, t := range tables() {
		switch t.name {
		case "events":
			b.events = newRows(t)
			for _, c := range b.events.cols {
				if c.name == "raw" || c.name == "raw_bytes" {
					c.pool = p
				}
			}
		case "items":
			b.items = newRows(t)
		case "rejects":
			b.reject = newRows(t)
		}
	}
	return b
}

func newRows(t table) rows {
	var r rows
	for _, c := range t.columns {
		if c.name == "INDEX" {
			continue
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(c.kind, "LowCardinality("), ")")
		if !strings.HasPrefix(c.kind, "LowCardinality(") {
			kind = c.kind
		}
		r.cols = append(r.cols, &col{name: c.name, kind: proto.ColumnType(kind), nullable: strings.HasPrefix(kind, "Nullable(")})
	}
	return r
}

// Type implements [proto.ColInput].
func (c *col) Type() proto.ColumnType { return c.kind }

// Rows implements [proto.ColInput].
func (c *col) Rows() int { return c.rows }

// EncodeColumn implements [proto.ColInput].
func (c *col) EncodeColumn(b *proto.Buffer) {
	if c.nullable {
		b.Buf = append(b.Buf, c.nulls...)
	}
	for _, chunk := range c.full {
		b.Buf = append(b.Buf, chunk...)
	}
	b.Buf = append(b.Buf, c.data...)
}

// WriteColumn implements [proto.ColInput].
func (c *col) WriteColumn(w *proto.Writer) {
	if c.nullable {
		w.ChainWrite(c.nulls)
	}
	for _, chunk := range c.full {
		w.ChainWrite(chunk)
	}
	w.ChainWrite(c.data)
}

func (r *rows) input() proto.Input {
	in := make(proto.Input, len(r.cols))
	for i, c := range r.cols {
		c.rows = r.n
		in[i] = proto.InputColumn{Name: c.name, Data: c}
	}
	return in
}

func (r *rows) reset() {
	for _, c := range r.cols {
		c.rows, c.nulls = 0, c.nulls[:0]
		if c.pool != nil {
			c.pool.put(append(c.full, c.data))
			c.full, c.data = c.full[:0], nil
			continue
		}
		if cap(c.data) > 64<<20 { // an outsized record: do not keep its memory
			c.data = nil
		}
		c.data = c.data[:0]
	}
	r.at, r.n, r.chunked = 0, 0, 0
}

func (r *rows) bytes() int {
	n := r.chunked
	for _, c := range r.cols {
		n += len(c.data)
	}
	return n
}

func (r *rows) next(null bool) *col {
	c := r.cols[r.at]
	r.at++
	if c.nullable {
		c.nulls = append(c.nulls, bit(null))
	}
	return c
}

// end ends a row.
func (r *rows) end() {
	if r.at != len(r.cols) {
		panic("clickhouse: a row of too few columns")
	}
	r.at = 0
	r.n++
}

func (r *rows) bytesOf(b []byte, null bool) {
	c := r.next(null)
	if need := len(b) + binary.MaxVarintLen64; c.pool != nil && cap(c.data)-len(c.data) < need {
		if len(c.data) > 0 {
			c.full = append(c.full, c.data)
			r.chunked += len(c.data)
		}
		c.data = c.pool.get(need)
	}
	c.data = binary.AppendUvarint(c.data, uint64(len(b)))
	c.data = append(c.data, b...)
}

// text writes a string; the empty one is NULL where the column allows it. Text
// is UTF-8 in every store.
func (r *rows) text(s string) {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	r.bytesOf(unsafe.Slice(unsafe.StringData(s), len(s)), s == "")
}

func (r *rows) int(v int32, null bool) {
	c := r.next(null)
	c.data = binary.LittleEndian.AppendUint32(c.data, uint32(v))
}

func (r *rows) bigint(v int64, null bool) {
	c := r.next(null)
	c.data = binary.LittleEndian.AppendUint64(c.data, uint64(v))
}

func (r *rows) bool(v, null bool) {
	c := r.next(null)
	c.data = append(c.data, bit(v))
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// The times that ClickHouse's DateTime64 holds, in microseconds: 1900 to 2299.
const (
	minTime = -2208988800_000000
	maxTime = 10413791999_999999
)

// time writes a moment. One that the column cannot hold is kept at its edge:
// out of every window, but not gone.
func (r *rows) time(us int64) {
	r.bigint(min(max(us, minTime), maxTime), us == 0)
}

// append adds what of a batch is new.
func (b *block) append(from *event.Batch, rejects []event.Reject) {
	for i := range from.Events {
		if !from.Duplicate[i] {
			b.event(&from.Events[i])
		}
	}
	for i := range from.Items {
		it := &from.Items[i]
		if !from.Duplicate[it.Event] {
			b.item(it, &from.Events[it.Event])
		}
	}
	b.rejects(rejects)
}

// The order of the values is that of the columns in package event; a test
// compares them.

func (b *block) item(it *event.Item, e *event.Event) {
	r := &b.items
	r.id(e.ID)
	r.text(string(it.Kind))
	r.text(it.MessageID)
	r.text(it.ItemID)
	r.text(it.Folder)
	r.text(it.Subject)
	r.text(it.Names)
	r.bigint(it.Size, it.Size < 0)
	r.int(int32(b.load), false)
	r.time(e.Time)
	r.end()
}

func (b *block) rejects(rejects []event.Reject) {
	for i := range rejects {
		x := &rejects[i]
		r := &b.reject
		r.int(x.File, false)
		r.bigint(x.Line, false)
		r.bigint(x.Offset, false)
		r.bigint(x.Length, false)
		r.text(x.Reason)
		r.text(x.Head)
		r.int(int32(b.load), false)
		r.end()
	}
}

// id writes an id in the form of [event.ID.String].
func (r *rows) id(id event.ID) {
	c := r.next(false)
	c.data = append(c.data, 36)
	from := 0
	for i, to := range [...]int{4, 6, 8, 10, 16} {
		if i > 0 {
			c.data = append(c.data, '-')
		}
		c.data = hex.AppendEncode(c.data, id[from:to])
		from = to
	}
}

func (b *block) event(e *event.Event) {
	r := &b.events
	r.id(e.ID)
	r.text(string(e.Source))
	r.text(e.Format)
	r.text(e.Tenant)
	r.time(e.Time)
	r.text(string(e.Class))
	r.text(e.Operation)
	r.text(e.Workload)
	r.text(string(e.Outcome))
	r.text(e.Code)
	r.text(e.Reason)
	r.text(string(e.ActorKind))
	r.text(e.Actor)
	r.text(e.ActorID)
	r.text(e.AppID)
	r.text(e.AppName)
	r.text(e.ResourceID)
	r.text(e.ResourceName)
	r.text(e.SPID)
	r.text(e.KeyID)
	r.text(e.IP)
	r.bool(e.IPService, e.IP == "")
	r.bigint(int64(e.ASN), e.ASN == 0)
	r.text(e.ASOrg)
	r.text(e.IPKind)
	r.text(e.Country)
	r.text(e.UserAgent)
	r.text(e.Client)
	r.text(e.Protocol)
	r.text(e.DeviceID)
	r.text(e.SessionID)
	r.text(e.TokenID)
	r.text(e.RequestID)
	r.text(e.CorrID)
	r.text(e.Mailbox)
	r.text(e.MailboxID)
	r.text(e.LogonType)
	r.text(string(e.Access))
	r.bool(e.Throttled != nil && *e.Throttled, e.Throttled == nil)
	r.int(e.ItemCount, e.ItemCount == 0)
	r.text(e.Target)
	r.text(e.TargetID)
	r.text(e.TargetKind)
	r.text(e.Permissions)
	r.text(e.Detail)
	r.text(e.Subject)
	r.text(e.MessageID)
	r.text(e.Recipients)
	r.int(int32(e.Flags), false)
	r.int(e.File, false)
	r.bigint(e.Line, false)
	r.bigint(e.Offset, false)
	r.bigint(e.Length, false)
	r.text(e.Record)
	switch {
	case b.noRaw:
		r.bytesOf(nil, true)
		r.bytesOf(nil, true)
	case e.Flags&event.FlagInvalidUTF8 != 0:
		r.bytesOf(nil, true)
		r.bytesOf(e.Raw, false)
	default:
		r.bytesOf(e.Raw, false)
		r.bytesOf(nil, true)
	}
	r.int(int32(b.load), false)
	r.bool(nameless(e), false)
	r.end()
}

// nameless reports whether an event names no tenant by its GUID.
func nameless(e *event.Event) bool {
	return len(e.Tenant) != len("00000000-0000-0000-0000-000000000000")
}
