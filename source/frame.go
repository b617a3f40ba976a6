package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// framer cuts one decoded stream into blocks of whole records.
//
// It keeps a window of the stream in buf[:n]. While it walks (json.go), i is
// the cursor and keep the start of what must not be given up yet; more() moves
// the window and both with it.
type framer struct {
	r    *Reader
	file *File
	src  io.Reader

	buf     []byte
	n       int
	eof     bool
	readErr error // why the stream ended early; what came before it counts
	base    int64 // offset of buf[0] in the stream

	i       int
	keep    int // -1: nothing
	line    int64
	lineIdx int // line is the number of the line that buf[lineIdx] is on

	spans    []Span
	spanEnd  int
	rejects  []event.Reject
	tooLong  bool // the record being walked was given up
	nextLink bool
}

// run recognizes the framing from the first bytes and reads to the end.
func (fr *framer) run() error {
	fr.keep = -1
	if err := fr.start(); err != nil {
		return err
	}
	err := fr.frame()
	if _, ok := isStop(err); !ok && fr.readErr != nil {
		return fr.readErr // the cause of whatever else went wrong
	}
	return err
}

func (fr *framer) frame() error {
	if fr.n == 0 {
		return nil // an empty file holds nothing and hides nothing
	}
	skip := 0
	if bytes.HasPrefix(fr.buf[:fr.n], []byte{0xef, 0xbb, 0xbf}) {
		skip = 3
	}
	head := fr.buf[skip:fr.n]
	first := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(first) == 0:
		return nil
	case first[0] == '{' && fr.isLines(first):
		fr.file.Framing = "json lines"
		fr.drop(skip)
		return fr.lines()
	case first[0] == '{' || first[0] == '[':
		fr.file.Framing = "json"
		fr.i = skip
		return fr.values()
	case bytes.IndexByte(first[:min(len(first), 4096)], 0) >= 0:
		return errors.New("binary data: neither JSON nor CSV")
	}
	fr.file.Framing = "csv"
	fr.drop(skip)
	if err := fr.fill(); err != nil {
		return err
	}
	return fr.rows()
}

// isLines reports whether the first line is an object of its own, and not an
// envelope around the records.
func (fr *framer) isLines(head []byte) bool {
	nl := bytes.IndexByte(head, '\n')
	if nl < 0 {
		return false
	}
	v, err := fastjson.ParseBytes(head[:nl])
	if err != nil || v.Type() != fastjson.TypeObject {
		return false
	}
	for _, k := range envelopeKeys {
		if x := v.Get(k); x != nil && (x.Type() == fastjson.TypeArray && isEnvelope(k, x) || k == "d" && x.Type() == fastjson.TypeObject) {
			return false
		}
	}
	return true
}

func isEnvelope(key string, list *fastjson.Value) bool {
	a := list.GetArray()
	if len(a) == 0 {
		return key == "value" || key == "records"
	}
	if a[0].Type() != fastjson.TypeObject {
		return false
	}
	if key != "events" {
		return true
	}
	o := a[0].GetObject()
	for _, k := range wrappedEventKeys {
		if o.Get(k) != nil {
			return true
		}
	}
	return false
}

// start takes the first buffer and fills it.
func (fr *framer) start() error {
	b, err := fr.r.pool.get(fr.r.ctx, fr.r.blockSize)
	if err != nil {
		return stop{err}
	}
	fr.buf = b
	return fr.fill()
}

// fill reads until the buffer is full or the stream ends. It fails only when
// reading must stop altogether.
func (fr *framer) fill() error {
	for !fr.eof && fr.n < len(fr.buf) {
		k, err := fr.src.Read(fr.buf[fr.n:])
		fr.n += k
		if errors.Is(err, io.EOF) {
			fr.eof = true
		} else if err != nil {
			fr.eof, fr.readErr = true, err
		}
		if fr.r.ctx.Err() != nil {
			return stop{fr.r.ctx.Err()}
		}
	}
	return nil
}

// abandon gives the buffer back.
func (fr *framer) abandon() {
	if fr.buf != nil {
		fr.r.pool.put(fr.buf)
		fr.buf = nil
	}
}

// drop forgets buf[:k], which no record needs.
func (fr *framer) drop(k int) {
	if k > 0 {
		copy(fr.buf, fr.buf[k:fr.n])
		fr.n -= k
		fr.base += int64(k)
	}
}

// ship emits b over buf[:end] and continues with a new buffer that holds the
// rest and has room for as much again.
func (fr *framer) ship(b *Block, end int) error {
	b.File, b.Offset, b.pool = fr.file, fr.base, fr.r.pool
	b.Rejects, fr.rejects = fr.rejects, nil
	// The old buffer goes with the block, so the new one is taken first.
	nb, err := fr.r.pool.get(fr.r.ctx, max(fr.r.blockSize, 2*(fr.n-end)))
	if err != nil {
		return stop{err}
	}
	rest := copy(nb, fr.buf[end:fr.n])
	b.buf, b.Data = fr.buf, fr.buf[:end:end]
	fr.buf, fr.n = nb, rest
	fr.base += int64(end)
	return fr.r.send(b)
}

// grow moves the window to a larger buffer without emitting anything.
func (fr *framer) grow() error {
	nb, err := fr.r.pool.get(fr.r.ctx, 2*len(fr.buf))
	if err != nil {
		return stop{err}
	}
	copy(nb, fr.buf[:fr.n])
	fr.r.pool.put(fr.buf)
	fr.buf = nb
	return nil
}

// lines reads JSON lines: blocks are cut behind a line's end.
func (fr *framer) lines() error {
	for {
		if err := fr.fill(); err != nil {
			return err
		}
		end := bytes.LastIndexByte(fr.buf[:fr.n], '\n') + 1
		if fr.eof {
			end = fr.n
		}
		if end == 0 && !fr.eof {
			if int64(fr.n) < fr.r.Limits.Record {
				if err := fr.grow(); err != nil {
					return err
				}
				continue
			}
			if err := fr.skipLine("\n"); err != nil {
				return err
			}
			continue
		}
		if end > 0 || len(fr.rejects) > 0 {
			b := &Block{Kind: Lines, Line: fr.line}
			fr.line += int64(bytes.Count(fr.buf[:end], []byte{'\n'}))
			if err := fr.ship(b, end); err != nil {
				return err
			}
		}
		if fr.eof && fr.n == 0 {
			return nil
		}
	}
}

// skipLine gives up a line that is too long and notes it.
func (fr *framer) skipLine(nl string) error {
	rej := event.Reject{File: fr.file.Ordinal, Line: fr.line, Offset: fr.base, Head: headOf(fr.buf[:fr.n])}
	for {
		if i := bytes.IndexByte(fr.buf[:fr.n], nl[0]); i >= 0 {
			rej.Length += int64(i)
			fr.drop(i + 1)
			break
		}
		rej.Length += int64(fr.n)
		fr.base += int64(fr.n)
		fr.n = 0
		if fr.eof {
			break
		}
		if err := fr.fill(); err != nil {
			return err
		}
	}
	fr.line++
	rej.Reason = errTooLong(rej.Length, fr.r.Limits.Record)
	fr.rejects = append(fr.rejects, rej)
	return nil
}

func headOf(b []byte) string {
	return string(bytes.ToValidUTF8(b[:min(len(b), 200)], []byte("?")))
}

// rows reads CSV: blocks are cut behind a row's end, which is a line's end
// with an even number of quotes before it.
func (fr *framer) rows() error {
	for bytes.HasPrefix(fr.buf[:fr.n], []byte("#TYPE ")) { // PowerShell 5.1's Export-Csv
		i := bytes.IndexByte(fr.buf[:fr.n], '\n')
		if i < 0 {
			return errors.New("CSV has a #TYPE line and nothing else")
		}
		fr.drop(i + 1)
		fr.line++
		if err := fr.fill(); err != nil {
			return err
		}
	}
	end := rowEnd(fr.buf[:fr.n], fr.eof)
	if end <= 0 {
		return errors.New("CSV has no complete header line in its first block")
	}
	comma := sniffComma(fr.buf[:end])
	header, err := splitHeader(fr.buf[:end], comma)
	if err != nil {
		return fmt.Errorf("neither JSON nor CSV: %w", err)
	}
	switch {
	case len(header) < 2:
		return errors.New("neither JSON nor CSV: the first line has a single column")
	case len(header) > fr.r.Limits.Columns:
		return fmt.Errorf("CSV header has %d columns; the limit is %d", len(header), fr.r.Limits.Columns)
	}
	fr.line += int64(bytes.Count(fr.buf[:end], []byte{'\n'}))
	fr.drop(end)
	for {
		if err := fr.fill(); err != nil {
			return err
		}
		end := lastRowEnd(fr.buf[:fr.n])
		if fr.eof {
			end = fr.n
		}
		if end == 0 && !fr.eof {
			if int64(fr.n) < fr.r.Limits.Record {
				if err := fr.grow(); err != nil {
					return err
				}
				continue
			}
			// A stray quote may have swallowed rows: give up one line only.
			if err := fr.skipLine("\n"); err != nil {
				return err
			}
			continue
		}
		if end > 0 || len(fr.rejects) > 0 {
			b := &Block{Kind: Rows, Line: fr.line, Header: header, Comma: comma}
			fr.line += int64(bytes.Count(fr.buf[:end], []byte{'\n'}))
			if err := fr.ship(b, end); err != nil {
				return err
			}
		}
		if fr.eof && fr.n == 0 {
			return nil
		}
	}
}
