// Package ingest runs the way of a log line from a file to the store: source
// cuts records, parse reads them, enrich adds what the line does not say, the
// store keeps what it has not seen.
//
// Parsing, enriching and appending run on all processors; only the decision
// what is a duplicate is taken in the order of the input, so that the same
// input always keeps the same copies, whatever the number of processors.
package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sort"
	"strings"
	"sync"

	"github.com/valyala/fastjson"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/parse"
	"midwatch/source"
	"midwatch/store"
)

// Options tune a run. The zero value means the defaults.
type Options struct {
	// Workers is how many goroutines parse and append; default GOMAXPROCS.
	Workers int
	// Enrich is called with every batch before it is stored; may be nil. It is
	// called by several goroutines.
	Enrich func(*event.Batch)
	// Limits bound what a single input may cost.
	Limits source.Limits
	// Progress is passed on to [source.Reader].
	Progress func(delta int64)
	// Tally is told how many records have been read; may be nil. It is called
	// by several goroutines.
	Tally func(records, accepted, duplicates, rejected int64)
}

// Result says what a run did.
type Result struct {
	Sources    []casefile.Source // files that were read, but for those that gave nothing before either
	Skipped    []string          // paths left out because the store holds them already
	Records    int64
	Accepted   int64 // events that are new in the store
	Duplicates int64
	Rejected   int64
	// Incomplete says, in words, what could not be read: the case must say so.
	Incomplete []string
}

// Run reads paths into st, in one load: when Run returns an error, the store
// is as it was, but for tenants that could not be inferred. Files that the store holds whole are left out; what is in two
// files is kept once.
func Run(ctx context.Context, st store.Store, paths []string, opts Options) (*Result, error) {
	var have *holdings
	res, err := run(ctx, st, opts, func(ctx context.Context, rd *source.Reader, emit func(*source.Block) error) (_ []*source.File, err error) {
		if have, err = held(ctx, st); err != nil {
			return nil, err
		}
		rd.Skip = have.skip()
		return rd.Read(ctx, paths, emit)
	}, func() map[account]bool { return have.barren })
	if err != nil {
		return nil, err
	}
	// What is in the store is finished, also when somebody is impatient.
	if err := InferTenants(context.WithoutCancel(ctx), st); err != nil {
		return nil, err
	}
	return res, nil
}

// Messages reads segments of a queue into st, in one load, as Run reads files:
// when it returns nil they are in the store for good, with a row of table files
// each, and their offsets may be committed; when it returns an error the store
// is as it was. Messages that were read before are counted as duplicates.
//
// Tenants are not inferred, which looks at the whole store: who loads one batch
// after the other calls [InferTenants] now and then, and at the end.
func Messages(ctx context.Context, st store.Store, segments []source.Segment, opts Options) (*Result, error) {
	return run(ctx, st, opts, func(ctx context.Context, rd *source.Reader, emit func(*source.Block) error) ([]*source.File, error) {
		return rd.ReadSegments(ctx, segments, emit)
	}, nil)
}

// run is one load of what read reads.
func run(ctx context.Context, st store.Store, opts Options, read func(ctx context.Context, rd *source.Reader, emit func(*source.Block) error) ([]*source.File, error), barren func() map[account]bool) (*Result, error) {
	if opts.Workers == 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	load, err := st.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer load.Rollback() //nolint:errcheck // after Commit it does nothing
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	p := &pipeline{opts: opts, load: load, stats: make(map[int32]*stats)}
	p.turn = sync.NewCond(&p.mu)
	blocks := make(chan *source.Block, 1)
	var wg sync.WaitGroup
	for range opts.Workers {
		wg.Go(func() {
			w := newWorker(p)
			for b := range blocks {
				if err := w.block(ctx, b); err != nil {
					cancel(err)
					p.stop()
				}
				b.Release()
			}
		})
	}
	first := load.FirstFile()
	rd := &source.Reader{Limits: opts.Limits, Blocks: opts.Workers + 4, Progress: opts.Progress, FirstFile: first}
	files, err := read(ctx, rd, func(b *source.Block) error {
		if b.File.Ordinal-first >= store.MaxFiles { // said early, not after a terabyte
			b.Release()
			return errTooMany()
		}
		select {
		case blocks <- b:
			return nil
		case <-ctx.Done():
			b.Release()
			return context.Cause(ctx)
		}
	})
	close(blocks)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err == nil && len(files) > store.MaxFiles {
		err = errTooMany()
	}
	if err != nil {
		return nil, err
	}
	var known map[account]bool
	if barren != nil {
		known = barren()
	}
	res := p.result(files, known)
	res.Skipped = rd.Skipped()
	accounts, err := Accounts(res.Sources)
	if err != nil {
		return nil, err
	}
	if err := load.Files(ctx, accounts); err != nil {
		return nil, err
	}
	if err := load.Commit(ctx); err != nil {
		return nil, err
	}
	return res, nil
}

// pipeline is what the workers share.
type pipeline struct {
	opts Options
	load store.Load

	mu      sync.Mutex
	turn    *sync.Cond
	next    int64 // sequence number of the block whose turn it is
	stopped bool
	stats   map[int32]*stats
}

// stats counts one file.
type stats struct {
	records, accepted, duplicates, rejected int64
	formats                                 map[string]int64
	reasons                                 map[string]*casefile.Rejected
	first, last                             int64
	truncated, destroyed                    int64
	windows                                 []casefile.Stretch
}

func (p *pipeline) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.turn.Broadcast()
}

// claim waits for the block's turn, decides what is new, and counts.
func (p *pipeline) claim(seq int64, file int32, w *worker) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.next != seq && !p.stopped {
		p.turn.Wait()
	}
	if p.stopped {
		return errStopped
	}
	dups, err := p.load.Claim(&w.batch)
	if err != nil {
		return err
	}
	st := p.stats[file]
	if st == nil {
		st = &stats{formats: make(map[string]int64), reasons: make(map[string]*casefile.Rejected)}
		p.stats[file] = st
	}
	st.add(w, dups)
	if p.opts.Tally != nil {
		p.opts.Tally(w.records, int64(len(w.batch.Events)-dups), int64(dups), int64(len(w.batch.Rejects)))
	}
	p.next++
	p.turn.Broadcast()
	return nil
}

var errStopped = errors.New("stopped")

func (st *stats) add(w *worker, dups int) {
	st.records += w.records + int64(w.cut)
	st.accepted += int64(len(w.batch.Events) - dups)
	st.duplicates += int64(dups)
	st.rejected += int64(len(w.batch.Rejects))
	for f, n := range w.formats {
		st.formats[f] += n
	}
	for _, x := range w.batch.Windows {
		st.windows = append(st.windows, casefile.Stretch{
			Tenant: strings.Clone(x.Tenant), Log: strings.Clone(x.Log), Source: strings.Clone(string(x.Source)), Kind: strings.Clone(x.Kind),
			From: casefile.TimeMicros(x.From), To: casefile.TimeMicros(x.To), Fetched: casefile.TimeMicros(x.Fetched), Differs: x.Differs, OnlyFirst: x.OnlyFirst, OnlySecond: x.OnlySecond,
		})
	}
	for i := range w.batch.Rejects {
		r := &w.batch.Rejects[i]
		x := st.reasons[r.Reason]
		if x == nil {
			if len(st.reasons) >= 1000 { // hostile input: as many reasons as records
				x = st.reasons["other reasons"]
				if x == nil {
					x = &casefile.Rejected{Reason: "other reasons", FirstLine: r.Line}
					st.reasons["other reasons"] = x
				}
			} else {
				x = &casefile.Rejected{Reason: r.Reason, FirstLine: r.Line}
				st.reasons[r.Reason] = x
			}
		}
		x.Count++
	}
	for i := range w.batch.Events {
		e := &w.batch.Events[i]
		if e.Flags&event.FlagTruncated != 0 {
			st.truncated++
		}
		if e.Flags&event.FlagDestroyed != 0 {
			st.destroyed++
		}
		if e.Time == 0 {
			continue
		}
		if st.first == 0 || e.Time < st.first {
			st.first = e.Time
		}
		if e.Time > st.last {
			st.last = e.Time
		}
	}
}

// worker parses and appends blocks.
type worker struct {
	p       *pipeline
	batch   event.Batch
	sink    *parse.Sink
	rec     parse.Record
	parser  fastjson.Parser
	formats map[string]int64
	all     []parse.Format
	last    int // index of the format that fitted last
	records int64
	cut     int // rejects of the reader, which are records too
}

func newWorker(p *pipeline) *worker {
	w := &worker{p: p, formats: make(map[string]int64), all: parse.Formats()}
	w.sink = parse.NewSink(&w.batch)
	return w
}

func (w *worker) block(ctx context.Context, b *source.Block) error {
	w.batch.Reset()
	clear(w.formats)
	w.records, w.cut = 0, len(b.Rejects)
	w.batch.Rejects = append(w.batch.Rejects, b.Rejects...)
	w.rec.FileName = b.File.Name
	w.rec.Table = b.Kind == source.Rows
	if ctx.Err() == nil {
		switch b.Kind {
		case source.Lines:
			w.lines(b)
		case source.Values:
			for _, s := range b.Spans {
				w.json(b.Data[s.Start:s.End], position(b, s.Line, int64(s.Start)))
			}
		case source.Rows:
			w.rows(b)
		}
	}
	if w.p.opts.Enrich != nil {
		w.p.opts.Enrich(&w.batch)
	}
	if err := w.p.claim(b.Seq, b.File.Ordinal, w); err != nil {
		return err
	}
	return w.p.load.Append(ctx, &w.batch)
}

func position(b *source.Block, line, start int64) parse.Position {
	return parse.Position{File: b.File.Ordinal, Line: line, Offset: b.Offset + start}
}

func (w *worker) lines(b *source.Block) {
	line := b.Line
	for start := 0; start < len(b.Data); line++ {
		end := bytes.IndexByte(b.Data[start:], '\n')
		if end < 0 {
			end = len(b.Data) - start
		}
		raw := b.Data[start : start+end]
		at := start
		start += end + 1
		if n := len(raw); n > 0 && raw[n-1] == '\r' {
			raw = raw[:n-1]
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		w.json(raw, position(b, line, int64(at)))
	}
}

func (w *worker) rows(b *source.Block) {
	rr := source.NewRowReader(b)
	for {
		raw, v, line, offset, err := rr.Next()
		if err == io.EOF {
			return
		}
		pos := position(b, line, offset)
		if err != nil {
			w.records++
			w.reject(raw, pos, err.Error())
			continue
		}
		w.record(raw, v, pos)
	}
}

func (w *worker) json(raw []byte, pos parse.Position) {
	v, err := w.parser.ParseBytes(raw)
	switch {
	case err != nil:
		w.records++
		w.reject(raw, pos, jsonReason(raw, err))
	case v.Type() != fastjson.TypeObject:
		w.records++
		w.reject(raw, pos, "not a JSON object")
	default:
		w.record(raw, v, pos)
	}
}

// jsonReason words a syntax error without the record's own bytes in it, so
// that equal reasons can be counted.
func jsonReason(raw []byte, err error) string {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return "not JSON: NUL bytes"
	}
	if t := bytes.TrimRight(raw, " \t"); len(t) > 0 && t[len(t)-1] != '}' {
		return "not JSON: the record is cut off"
	}
	msg, _, _ := strings.Cut(err.Error(), ";")
	if i := strings.IndexAny(msg, "\"'`"); i > 0 {
		msg = msg[:i]
	}
	return "not JSON: " + strings.Trim(strings.TrimPrefix(msg, "cannot parse JSON:"), " :")
}

// record finds the format of a record and parses it. A log has long runs of
// one format, so that the one that fitted last is tried first if its Parse
// alone can tell that a record is another's.
func (w *worker) record(raw []byte, v *fastjson.Value, pos parse.Position) {
	w.records++
	r := &w.rec
	r.Next()
	r.Raw, r.Value, r.Pos = raw, v, pos
	if f, ok := w.all[w.last].(parse.SelfChecking); ok {
		if done, _ := w.try(f, r); done {
			return
		}
		r.Next()
		r.Raw, r.Value = raw, v
	}
	parse.Unwrap(r)
	reason := errUnknown
	for i, f := range w.all {
		if !f.Sniff(r) {
			continue
		}
		done, err := w.try(f, r)
		if done {
			w.last = i
			return
		}
		if !errors.Is(err, parse.ErrNotMine) {
			reason = fmt.Errorf("%s: %w", f.Name(), err)
			break
		}
	}
	w.reject(raw, pos, reason.Error())
}

// try parses r as f.
func (w *worker) try(f parse.Format, r *parse.Record) (bool, error) {
	w.sink.Begin(r, f.Name())
	if err := f.Parse(r, w.sink); err != nil {
		w.sink.Abort()
		return false, err
	}
	w.sink.Finish()
	w.formats[f.Name()]++
	return true, nil
}

// errUnknown is the reason for a record that no format knows.
var errUnknown = errors.New("no known log format; `midwatch formats` lists them")

func (w *worker) reject(raw []byte, pos parse.Position, reason string) {
	w.batch.Rejects = append(w.batch.Rejects, event.Reject{
		File: pos.File, Line: pos.Line, Offset: pos.Offset, Length: int64(len(raw)),
		Reason: reason, Head: string(bytes.ToValidUTF8(raw[:min(len(raw), 200)], []byte("?"))),
	})
}

// result makes the sources' account. Files that gave nothing before either are
// not in it again.
func (p *pipeline) result(files []*source.File, barren map[account]bool) *Result {
	res := &Result{}
	for _, f := range files {
		st := p.stats[f.Ordinal]
		if st == nil {
			st = &stats{}
		}
		src := casefile.Source{
			File: f.Ordinal, Path: f.Path, SHA256: f.SHA256, Bytes: f.Bytes, Framing: f.Framing, Encoding: f.Encoding,
			Records: st.records, Accepted: st.accepted, Duplicates: st.duplicates,
			Truncated: st.truncated, Destroyed: st.destroyed, NextPage: f.NextLink, Windows: st.windows,
			Formats: []casefile.Format{}, Rejected: []casefile.Rejected{},
		}
		if f.OuterSHA256 != f.SHA256 {
			src.OuterSHA256 = f.OuterSHA256
		}
		if st.first != 0 {
			src.First, src.Last = casefile.TimeMicros(st.first), casefile.TimeMicros(st.last)
		}
		for name, n := range st.formats {
			src.Formats = append(src.Formats, casefile.Format{Name: name, Records: n})
		}
		sort.Slice(src.Formats, func(i, j int) bool { return src.Formats[i].Name < src.Formats[j].Name })
		for _, r := range st.reasons {
			src.Rejected = append(src.Rejected, *r)
		}
		sort.Slice(src.Rejected, func(i, j int) bool { return src.Rejected[i].Reason < src.Rejected[j].Reason })
		switch {
		case f.Err != nil:
			src.Incomplete = f.Err.Error()
		case f.Changed:
			src.Incomplete = "it changed while it was read"
		}
		if src.Incomplete != "" {
			res.Incomplete = append(res.Incomplete, f.Path+": "+src.Incomplete)
			if st.records == 0 && barren[account{f.Path, f.SHA256, src.Incomplete}] {
				continue
			}
		}
		res.Records += st.records
		res.Accepted += st.accepted
		res.Duplicates += st.duplicates
		res.Rejected += st.rejected
		res.Sources = append(res.Sources, src)
	}
	return res
}

func errTooMany() error {
	return fmt.Errorf("more than %d files (members of archives are files too); read them in several runs, the store counts what they share once", store.MaxFiles)
}
