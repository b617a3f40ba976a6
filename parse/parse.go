// Package parse turns vendors' audit records into events, one file per format.
//
// A [Format] recognizes a record by its keys, never by the name of its file,
// and fills in an [event.Event]. Formats are asked in the order of [Formats];
// the order matters, because wrappers carry the keys of what they wrap. To add
// one: one file here, one line in Formats, records in testdata/<name>/.
//
// Reading files, archives, encodings, and cutting them into records is the
// business of package source. A CSV row arrives here as an object of its
// header's names and its cells, so that each log has one parser for all of its
// containers.
package parse

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// Format reads the records of one vendor log. Implementations are stateless
// and may be used by several goroutines.
type Format interface {
	// Name is a short word: the name of the file, of the column format, and of
	// the test folder.
	Name() string
	// Doc says in a line what it reads, for `midwatch formats`.
	Doc() string
	// Sniff reports whether r is a record of this format, from its keys.
	Sniff(r *Record) bool
	// Parse adds r's events to s. It returns [ErrNotMine] when r is of another
	// format after all, and another error when r is one that cannot be used;
	// the error's text is what the user reads as the reason. Parse must not
	// keep r or anything it refers to.
	Parse(r *Record, s *Sink) error
}

// SelfChecking marks formats whose Parse can tell by itself, as cheaply as
// Sniff, that a record is of another format. They are tried without Sniff when
// the record before was theirs.
type SelfChecking interface {
	Format
	SelfChecking()
}

// ErrNotMine is returned by Parse for a record of another format.
var ErrNotMine = errors.New("record is of another format")

// Record is one record as source cut it out of a file.
type Record struct {
	// Raw is the record's bytes as they stand in the (decompressed) file.
	Raw []byte
	// Value is the record: always an object.
	Value *fastjson.Value
	// Table says that the record is a row of a CSV, whose values are all
	// strings.
	Table bool
	// Inner says that Value is a record taken out of another one (see Unwrap),
	// so that Raw is not its JSON.
	Inner bool
	// FileName is the base name of the file. Only two formats may look at it,
	// because two pairs of exports have equal columns (Entra portal CSV).
	FileName string
	// Pos is where the record stands.
	Pos Position

	parsers []*fastjson.Parser // one a nested text that is in use
	depth   int
}

// Position says where a record stands.
type Position struct {
	File   int32
	Line   int64
	Offset int64
}

// Nested parses JSON text that stands in a string of the record, as vendors'
// exporters leave it. The value is valid until the next record.
func (r *Record) Nested(text []byte) (*fastjson.Value, error) {
	if r.depth == len(r.parsers) {
		r.parsers = append(r.parsers, &fastjson.Parser{})
	}
	p := r.parsers[r.depth]
	r.depth++
	v, err := p.ParseBytes(text)
	if err != nil {
		return nil, fmt.Errorf("JSON inside a string: %w", err)
	}
	return v, nil
}

// Next prepares r for another record and keeps its parsers.
func (r *Record) Next() {
	r.depth = 0
	r.Raw, r.Value, r.Inner = nil, nil, false
}

// Sink collects what a format makes of records.
type Sink struct {
	Batch   *event.Batch
	format  string
	rec     *Record
	first   int // index of the record's first event
	scratch []byte
	IPs     ipCache
	strs    map[string]string
	details [2]detailWriter
	reparse fastjson.Parser // of texts in records

	ual      *ualFields // see there
	visitUAL func([]byte, *fastjson.Value)
}

// detail returns one of two writers for the current record's detail, emptied.
func (s *Sink) detail(i int) *detailWriter {
	s.details[i].reset()
	return &s.details[i]
}

// NewSink returns a sink that adds to b.
func NewSink(b *event.Batch) *Sink { return &Sink{Batch: b} }

// Begin says which record and format the following events come from.
func (s *Sink) Begin(r *Record, format string) {
	s.rec, s.format, s.first = r, format, len(s.Batch.Events)
}

// Event adds an event for the current record and returns it to be filled in.
// The pointer is valid until the next call of Event.
func (s *Sink) Event(source event.Source) *event.Event {
	es := s.Batch.Events
	if len(es) < cap(es) {
		es = es[:len(es)+1] // Reset cleared it
	} else {
		es = append(es, event.Event{})
	}
	s.Batch.Events = es
	e := &es[len(es)-1]
	e.Source = source
	e.Format = s.format
	e.Outcome = event.Unknown
	e.ActorKind = event.ActorUnknown
	e.Class = event.ClassOther
	e.File = s.rec.Pos.File
	e.Line = s.rec.Pos.Line
	e.Offset = s.rec.Pos.Offset
	e.Length = int64(len(s.rec.Raw))
	e.Raw = s.rec.Raw
	return e
}

// Item adds an item to the event that was added last.
func (s *Sink) Item(it event.Item) {
	it.Event = int32(len(s.Batch.Events) - 1)
	s.Batch.Items = append(s.Batch.Items, it)
}

// Abort removes what the current record added.
func (s *Sink) Abort() {
	b := s.Batch
	for len(b.Items) > 0 && int(b.Items[len(b.Items)-1].Event) >= s.first {
		b.Items = b.Items[:len(b.Items)-1]
	}
	clear(b.Events[s.first:])
	b.Events = b.Events[:s.first]
}

// Finish gives the current record's events their ids.
func (s *Sink) Finish() {
	table := ""
	if s.first < len(s.Batch.Events) && (s.rec.Table || s.rec.Inner || !byTheLetter(s.rec.Raw)) {
		s.scratch = appendJSONValue(s.scratch[:0], s.rec.Value)
		table = s.Batch.Arena.Bytes(s.scratch)
	}
	for i := s.first; i < len(s.Batch.Events); i++ {
		e := &s.Batch.Events[i]
		if e.Record == "" {
			e.Record = table
		} else if better := s.readable(e.Record); better != "" {
			e.Record = better
		}
		if !utf8.Valid(e.Raw) {
			e.Flags |= event.FlagInvalidUTF8
		}
		if e.Time == 0 {
			e.Flags |= event.FlagTimeMissing
		}
		native := e.NativeID
		if native == "" {
			e.Flags |= event.FlagNoNativeID
			native = string(e.Raw)
		}
		e.ID, s.scratch = event.MakeID(s.scratch, e.Tenant, e.Source, native)
	}
}

// Bytes copies b into the batch.
func (s *Sink) Bytes(b []byte) string { return s.Batch.Arena.Bytes(b) }

// Lower copies b into the batch, folded to lower case.
func (s *Sink) Lower(b []byte) string { return s.Batch.Arena.Lower(b) }

// Copy copies a string that Go made (by joining, say) into the batch.
func (s *Sink) Copy(x string) string { return s.Batch.Arena.String(x) }

// SetIP fills in e's address from any spelling.
func (s *Sink) SetIP(e *event.Event, raw []byte) {
	if len(raw) == 0 {
		return
	}
	x := s.IPs.get(raw)
	if !x.ok {
		e.Flags |= event.FlagIPUnparsed
		return
	}
	e.IP, e.IPService = s.Batch.Arena.String(x.text), x.service
}

// Operation normalizes an operation name. The result lives as long as the sink.
func (s *Sink) Operation(raw []byte) string {
	if v, ok := s.strs[string(raw)]; ok {
		return v
	}
	v := event.NormalizeOperation(string(raw))
	if s.strs == nil {
		s.strs = make(map[string]string)
	}
	if len(s.strs) < 1<<14 { // bounded: hostile logs may have any number of names
		s.strs[string(raw)] = v
	}
	return v
}

type ipText struct {
	text    string
	ok      bool
	service bool
}

// ipCache remembers normalized addresses: a log has few compared to its rows.
type ipCache struct{ m map[string]ipText }

func (c *ipCache) get(raw []byte) ipText {
	if v, ok := c.m[string(raw)]; ok {
		return v
	}
	var v ipText
	var a netip.Addr
	if a, v.ok = event.ParseIP(string(raw)); v.ok {
		v.text, v.service = a.String(), event.IsServiceIP(a)
	}
	if len(c.m) >= 1<<15 {
		clear(c.m)
	}
	if c.m == nil {
		c.m = make(map[string]ipText)
	}
	c.m[strings.Clone(string(raw))] = v
	return v
}
