package custody

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/source"
	"midwatch/store"
)

// Rows says which rows of the event store are held against their files.
type Rows struct {
	Sample int      // so many a file; 0: all
	Cited  []string // ids of events that are checked besides
}

// eventRow is a row, as far as it says where its record stands.
type eventRow struct {
	id                string
	line, pos, length int64
	raw               []byte // nil: not kept
}

// maxNamed is how many differences of a file are listed.
const maxNamed = 20

// CheckRows compares the rows of the event store with the bytes of the files,
// which Locate found, and adds what it finds.
func CheckRows(ctx context.Context, q store.Querier, sources []casefile.Source, places []*Place, o Rows, r *Result) error {
	byRoot := map[string][]int{}
	var roots []string
	for i, p := range places {
		if p == nil {
			continue
		}
		if byRoot[p.Root] == nil {
			roots = append(roots, p.Root)
		}
		byRoot[p.Root] = append(byRoot[p.Root], i)
	}
	for _, root := range roots {
		_, err := read(ctx, []string{root}, func(f *source.File, s io.Reader) error {
			for _, i := range byRoot[root] {
				if places[i].Path == f.Path {
					return checkFile(ctx, q, &sources[i], s, o, places[i].Same, r)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const rowColumns = `SELECT CAST(id AS VARCHAR), coalesce(line, 0), coalesce(pos, 0), coalesce(length, 0), raw, raw_bytes FROM events WHERE file = ?`

// rowsOf reads rows of a file by their place. An id is a hash, so that the
// first ids are a sample that nobody chose.
func rowsOf(ctx context.Context, q store.Querier, file int32, o Rows) ([]eventRow, error) {
	var out []eventRow
	have := map[string]bool{}
	add := func(query string) error {
		return store.Each(ctx, q, query, []any{file}, func(scan func(...any) error) error {
			var x eventRow
			var text *string
			var raw []byte
			if err := scan(&x.id, &x.line, &x.pos, &x.length, &text, &raw); err != nil {
				return err
			}
			if x.raw = raw; text != nil {
				x.raw = []byte(*text)
			}
			if !have[x.id] {
				have[x.id] = true
				out = append(out, x)
			}
			return nil
		})
	}
	if err := add(rowColumns + fmt.Sprintf(" ORDER BY id LIMIT %d", o.Sample)); err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(o.Cited, 1000) {
		if err := add(rowColumns + " AND id IN ('" + strings.Join(chunk, "', '") + "') ORDER BY id"); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b eventRow) int {
		if a.pos != b.pos {
			return int(min(max(a.pos-b.pos, -1), 1))
		}
		return strings.Compare(a.id, b.id)
	})
	return out, nil
}

func checkFile(ctx context.Context, q store.Querier, s *casefile.Source, in io.Reader, o Rows, same bool, r *Result) error {
	switch s.Encoding {
	case "utf-16le":
		in = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(in)
	case "utf-16be":
		in = unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Reader(in)
	}
	c := &fileCheck{w: window{r: in, line: 1}, name: s.Path, r: r, messages: s.Framing == source.Messages}
	if o.Sample > 0 {
		rows, err := rowsOf(ctx, q, s.File, o)
		if err != nil {
			return fmt.Errorf("read the events of %s: %w", s.Path, err)
		}
		for i := range rows {
			if err := c.check(&rows[i]); err != nil {
				return err
			}
		}
	} else if err := store.Each(ctx, q, rowColumns+" ORDER BY pos, id", []any{s.File}, func(scan func(...any) error) error {
		var x eventRow
		var text *string
		var raw []byte
		if err := scan(&x.id, &x.line, &x.pos, &x.length, &text, &raw); err != nil {
			return err
		}
		if x.raw = raw; text != nil {
			x.raw = []byte(*text)
		}
		return c.check(&x)
	}); err != nil {
		return fmt.Errorf("read the events of %s: %w", s.Path, err)
	}
	switch {
	case c.n == 0 && s.Accepted == 0:
	case c.wrong > maxNamed:
		r.Add("events", s.Path, Differs, "%d more of %d events that were compared", c.wrong-maxNamed, c.n)
	case c.wrong == 0 && c.n > 0 && c.bare == c.n:
		r.Add("events", s.Path, Unchecked, "the case was made with --raw none: lines of %d of %d events are right, their bytes were not kept", c.n, s.Accepted)
	case c.wrong == 0 && c.n > 0:
		r.Add("events", s.Path, Verified, "%d of %d events are byte for byte what stands in the file", c.n-c.bare, s.Accepted)
	case c.n == 0:
		r.Add("events", s.Path, Differs, "the event store has none of the %d events that were read from it", s.Accepted)
	}
	if c.wrong == 0 && !same {
		r.Add("events", s.Path, Unchecked, "the file was changed, in none of the %d events that were compared; --all compares every one, what lies between them is no event", c.n)
	}
	return nil
}

type fileCheck struct {
	w              window
	name           string
	r              *Result
	n, wrong, bare int64
	messages       bool // lines are offsets in a topic's partition
}

func (c *fileCheck) check(x *eventRow) error {
	c.n++
	got, line, err := c.w.at(x.pos, x.length)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	var why string
	switch {
	case err != nil:
		why = fmt.Sprintf("the file ends before the record does, which is said to have %d bytes", x.length)
	case line != x.line && !c.messages:
		why = fmt.Sprintf("it stands on line %d of the file, the event store says %d", line, x.line)
	case x.raw == nil:
		c.bare++
		return nil
	case !bytes.Equal(got, x.raw):
		i := 0
		for i < len(got) && i < len(x.raw) && got[i] == x.raw[i] {
			i++
		}
		why = fmt.Sprintf("byte %d of the record is %s in the event store and %s in the file", i, byteAt(x.raw, i), byteAt(got, i))
	default:
		return nil
	}
	if c.wrong++; c.wrong <= maxNamed {
		c.r.Items = append(c.r.Items, Item{Part: "events", Name: c.name, State: Differs, Text: why, Line: x.line, Offset: x.pos, Event: x.id})
	}
	return nil
}

func byteAt(b []byte, i int) string {
	if i >= len(b) {
		return "missing"
	}
	return fmt.Sprintf("%q", string(b[i:i+1]))
}

// window reads a stream forward and keeps no more of it than one record.
type window struct {
	r     io.Reader
	buf   []byte
	start int   // what lies before it in buf is done with
	base  int64 // offset in the stream of buf[start]
	line  int64 // of buf[start]
	err   error
}

// maxRecord is the longest record that is read: that of the reader of logs,
// with room.
const maxRecord = 64 << 20

// at returns the bytes at a place, which must not lie before the last one, and
// the line that they begin on. They are good until the next call.
func (w *window) at(pos, length int64) ([]byte, int64, error) {
	if pos < w.base || length < 0 || length > maxRecord {
		return nil, 0, io.ErrUnexpectedEOF
	}
	for w.base+int64(len(w.buf)-w.start) < pos {
		w.drop(len(w.buf) - w.start)
		if err := w.fill(); err != nil {
			return nil, 0, err
		}
	}
	w.drop(int(pos - w.base))
	for int64(len(w.buf)-w.start) < length {
		if err := w.fill(); err != nil {
			return nil, 0, err
		}
	}
	return w.buf[w.start : w.start+int(length)], w.line, nil
}

func (w *window) drop(n int) {
	w.line += int64(bytes.Count(w.buf[w.start:w.start+n], []byte("\n")))
	w.base += int64(n)
	w.start += n
}

func (w *window) fill() error {
	if w.err != nil {
		return w.err
	}
	const step = 256 << 10
	w.buf = append(w.buf[:0], w.buf[w.start:]...)
	w.start = 0
	w.buf = slices.Grow(w.buf, step)
	n, err := w.r.Read(w.buf[len(w.buf) : len(w.buf)+step])
	w.buf, w.err = w.buf[:len(w.buf)+n], err
	if n > 0 {
		return nil
	}
	return err
}

// Missing lists which of the events are not in the store, in their order.
func Missing(ctx context.Context, q store.Querier, ids []string) ([]string, error) {
	have := map[string]bool{}
	var askable []string
	for _, id := range ids {
		if _, ok := event.ParseID(id); ok { // what is no id is in no store
			askable = append(askable, id)
		}
	}
	for chunk := range slices.Chunk(askable, 1000) {
		err := store.Each(ctx, q, "SELECT CAST(id AS VARCHAR) FROM events WHERE id IN ('"+strings.Join(chunk, "', '")+"')", nil, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			have[id] = true
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for the cited events: %w", err)
		}
	}
	var out []string
	for _, id := range ids {
		if !have[id] {
			out = append(out, id)
		}
	}
	return out, nil
}
