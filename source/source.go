// Package source reads files, folders, archives and standard input, and cuts
// them into records.
//
// It knows containers (gzip, zstd, zip, tar), encodings (UTF-8 and UTF-16, with
// and without byte order mark) and framings (JSON lines, JSON arrays and
// envelopes, CSV); it does not know logs. What a record means is the business
// of package parse.
//
// Reading is one goroutine's work and sequential, so that files, lines and
// offsets come in the same order every time; decoding the records of a [Block]
// is left to whoever receives it, in parallel if he likes. Memory is bounded by
// the number of blocks in flight and by [Limits], never by the input.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"

	"midwatch/event"
)

// Limits bound what one input may cost. The zero value means the defaults.
type Limits struct {
	// Record is the longest record in bytes; longer ones are rejected with
	// their position. Default 32 MiB: the largest known audit records have
	// about 4 MiB.
	Record int64
	// Ratio is the largest ratio of decompressed to compressed bytes of an
	// archive member beyond its first 256 MiB. Default 250: audit logs reach
	// about 40.
	Ratio int64
	// Depth is how deep archives may be nested. Default 4.
	Depth int
	// Columns is the largest number of columns in a CSV header. Default 4096.
	Columns int
}

func (l Limits) withDefaults() Limits {
	if l.Record == 0 {
		l.Record = 32 << 20
	}
	if l.Ratio == 0 {
		l.Ratio = 250
	}
	if l.Depth == 0 {
		l.Depth = 4
	}
	if l.Columns == 0 {
		l.Columns = 4096
	}
	return l
}

// File is one stream of records: a file, a member of an archive, or standard
// input. The reader fills it in; it is complete when Read returns.
type File struct {
	Ordinal     int32
	Path        string // as given; members of archives after "!"
	Name        string // base name
	SHA256      string // of the decompressed bytes that were read, hex
	Bytes       int64  // decompressed bytes read
	OuterSHA256 string // of the file on disk, hex; equals SHA256 for plain files
	OuterBytes  int64
	Framing     string // "json lines", "json", "csv", "messages", or empty when nothing was recognized
	Encoding    string // "utf-8", "utf-16le", "utf-16be"
	NextLink    bool   // the last page of the export names a next page that is not part of the evidence
	Err         error  // why the file was read in part or not at all
	Changed     bool   // it changed while it was read
}

// Kind says how the records of a block are framed.
type Kind int

// The kinds of block.
const (
	Lines  Kind = iota // one JSON value a line
	Values             // JSON values at Spans
	Rows               // whole CSV rows under Header
)

// Span is where a record stands in a block.
type Span struct {
	Start, End int
	Line       int64
}

// Block is a run of whole records of one file.
type Block struct {
	Seq    int64 // from 0, in the order of the input
	File   *File
	Kind   Kind
	Data   []byte
	Line   int64 // line number of Data[0]
	Offset int64 // offset of Data[0] in the decompressed file
	Spans  []Span
	Header []string
	Comma  rune

	// Rejects are records that could not even be cut out.
	Rejects []event.Reject

	buf  []byte
	pool *pool
}

// Release gives the block's memory back. Strings and slices of it die.
func (b *Block) Release() {
	if b.buf != nil {
		b.pool.put(b.buf)
		b.buf, b.Data = nil, nil
	}
}

// BlockSize is how many bytes of records a block has, about.
const BlockSize = 2 << 20

// pool keeps block buffers, and with their number bounds memory.
type pool struct {
	free chan []byte
	size int
}

// newPool makes n buffers; taking one more waits until one is given back.
func newPool(n, size int) *pool {
	p := &pool{free: make(chan []byte, n), size: size}
	for range n {
		p.free <- nil
	}
	return p
}

func (p *pool) get(ctx context.Context, size int) ([]byte, error) {
	select {
	case b := <-p.free:
		if len(b) >= size {
			return b, nil
		}
		return make([]byte, max(size, p.size)), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pool) put(b []byte) {
	b = b[:cap(b)]
	if len(b) > 2*p.size { // an outsized record's buffer is not kept
		b = nil
	}
	p.free <- b
}

// Reader reads inputs. Its fields may be set before Read.
type Reader struct {
	Limits Limits
	// Blocks is how many blocks may be in flight; default 6.
	Blocks int
	// Skip is asked before a file on disk is read, with its hash; true leaves
	// it out (because a case holds it already). Nil reads everything.
	Skip func(path, sha256 string) bool
	// FirstFile is the ordinal of the first file.
	FirstFile int32
	// Stream, when it is set, is given each file whole, decompressed, instead of
	// records being cut out of it: for what is no log. What it leaves unread is
	// read past, so that hashes cover the file. Its error is noted in the file.
	Stream func(f *File, s io.Reader) error
	// Temp is the folder for zips inside archives, which have to be copied to
	// be read. Empty: the system's.
	Temp string
	// Progress is told how many bytes on disk have been read. May be nil.
	Progress func(delta int64)

	blockSize int // smaller in tests, so that records span blocks

	pool    *pool
	ctx     context.Context
	emit    func(*Block) error
	seq     int64
	files   []*File
	skipped []string
}

// Read reads the paths in the order given, folders recursively in the order of
// their names, and calls emit for every block. Emit owns the block until it
// calls Release. Trouble with one file is noted in that file and does not stop
// the others; Read fails only when ctx ends or emit does.
func (r *Reader) Read(ctx context.Context, paths []string, emit func(*Block) error) ([]*File, error) {
	r.begin(ctx, emit)
	for _, p := range paths {
		if err := r.readPath(p); err != nil {
			return r.files, err
		}
	}
	return r.files, nil
}

func (r *Reader) begin(ctx context.Context, emit func(*Block) error) {
	if r.Blocks == 0 {
		r.Blocks = 6
	}
	r.Limits = r.Limits.withDefaults()
	if r.blockSize == 0 {
		r.blockSize = BlockSize
	}
	r.pool = newPool(r.Blocks, r.blockSize)
	r.ctx, r.emit = ctx, emit
}

// Skipped lists the paths that Skip left out.
func (r *Reader) Skipped() []string { return r.skipped }

// stop is an error that ends Read, as opposed to one that ends a file.
type stop struct{ err error }

func (s stop) Error() string { return s.err.Error() }
func (s stop) Unwrap() error { return s.err }

func isStop(err error) (error, bool) {
	var s stop
	if errors.As(err, &s) {
		return s.err, true
	}
	return nil, false
}

func (r *Reader) send(b *Block) error {
	b.Seq = r.seq
	r.seq++
	if err := r.emit(b); err != nil {
		return stop{err}
	}
	return nil
}

func (r *Reader) newFile(path, name string) *File {
	f := &File{Ordinal: r.FirstFile + int32(len(r.files)), Path: path, Name: name}
	r.files = append(r.files, f)
	return f
}

// errTooLong is the reason for a record beyond Limits.Record.
func errTooLong(n, limit int64) string {
	return fmt.Sprintf("record of at least %d bytes is longer than the limit of %d", n, limit)
}
