package source

import (
	"bytes"
	"errors"

	"midwatch/event"
)

// envelopeKeys are the members under which exporters put their records:
// value (Graph), records (Event Hubs, storage blobs), items (Google), data
// (Okta), results and d.results (Exchange reporting), events (Elastic).
var envelopeKeys = []string{"value", "records", "items", "data", "results", "events", "d"}

// wrappedEventKeys are what an element of "events" begins with when it is a
// wrapped record. A Google activity has "events" too, and is no envelope.
var wrappedEventKeys = []string{"event", "o365audit", "@timestamp"}

// values reads JSON values however they are laid out: arrays, arrays after
// arrays, single objects, pretty-printed objects, and envelopes. It builds no
// tree; an array of any size is read in bounded memory.
func (fr *framer) values() error {
	err := fr.walk()
	if _, ok := isStop(err); ok {
		return err
	}
	if fr.keep >= 0 || fr.tooLong {
		fr.reject(fr.keepOr(fr.n), fr.n, "the file ends inside a record")
		fr.keep = -1
		err = errors.New("the file ends inside a record: it is truncated")
	}
	if len(fr.spans) > 0 || len(fr.rejects) > 0 {
		if e := fr.shipSpans(fr.spanEnd); e != nil {
			return e
		}
	}
	fr.file.NextLink = fr.nextLink
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

func (fr *framer) keepOr(x int) int {
	if fr.keep >= 0 {
		return fr.keep
	}
	return x
}

// errEnd says that the stream is at its end.
var errEnd = errors.New("end of stream")

// walk goes over the top level and over arrays, which are only brackets
// between records.
func (fr *framer) walk() error {
	open := 0
	for {
		c, err := fr.next()
		if err != nil {
			if errors.Is(err, errEnd) && open > 0 {
				return errors.New("the file ends inside an array: it is truncated")
			}
			return err
		}
		switch c {
		case '{':
			if err := fr.object(0); errors.Is(err, errEnd) {
				return errors.New("the file ends inside an object: it is truncated")
			} else if err != nil {
				return err
			}
		case '[':
			open++
			fr.i++
		case ']':
			open--
			fr.i++
		case ',', 0x1e: // RFC 7464 text sequences
			fr.i++
		default:
			if err := fr.scalar(); err != nil {
				return err
			}
		}
	}
}

// next skips white space and returns the byte at the cursor.
func (fr *framer) next() (byte, error) {
	for {
		for fr.i < fr.n {
			switch c := fr.buf[fr.i]; c {
			case ' ', '\t', '\r', '\n':
				fr.i++
			default:
				return c, nil
			}
		}
		if err := fr.more(); err != nil {
			return 0, err
		}
	}
}

// more makes buf[i] readable, moving the window if it must.
func (fr *framer) more() error {
	if fr.i < fr.n {
		return nil
	}
	if fr.eof {
		return errEnd
	}
	if fr.n == len(fr.buf) {
		if err := fr.move(); err != nil {
			return err
		}
	}
	if err := fr.fill(); err != nil {
		return err
	}
	if fr.i < fr.n {
		return nil
	}
	return errEnd
}

// move makes room in the window: what stands before keep goes out as a block.
func (fr *framer) move() error {
	from := fr.i
	if fr.keep >= 0 {
		from = fr.keep
	}
	if fr.keep >= 0 && int64(fr.n-fr.keep) >= fr.r.Limits.Record {
		// Give the record up, and go on walking to find its end.
		fr.reject(fr.keep, fr.n, "")
		fr.keep, fr.tooLong = -1, true
		from = fr.i
	}
	fr.countLines(from)
	switch {
	case len(fr.spans) > 0:
		if err := fr.shipSpans(from); err != nil {
			return err
		}
	case from > 0:
		fr.drop(from)
	default:
		return fr.grow()
	}
	fr.i -= from
	fr.lineIdx -= from
	if fr.keep >= 0 {
		fr.keep -= from
	}
	return nil
}

func (fr *framer) shipSpans(end int) error {
	b := &Block{Kind: Values, Spans: fr.spans, Line: fr.line}
	fr.spans, fr.spanEnd = nil, 0
	return fr.ship(b, end)
}

// countLines brings line up to buf[to].
func (fr *framer) countLines(to int) int64 {
	if to > fr.lineIdx {
		fr.line += int64(bytes.Count(fr.buf[fr.lineIdx:to], []byte{'\n'}))
		fr.lineIdx = to
	}
	return fr.line
}

// object walks an object at the cursor. It becomes a record unless it turns
// out to be an envelope, whose elements are records instead.
func (fr *framer) object(depth int) error {
	fr.keep = fr.i
	line := fr.countLines(fr.i)
	envelope, next := false, false
	fr.i++
	for {
		c, err := fr.next()
		if err != nil {
			return err
		}
		switch c {
		case '}':
			fr.i++
			if envelope {
				fr.nextLink = next
				return nil
			}
			if fr.tooLong {
				fr.tooLong = false
				last := &fr.rejects[len(fr.rejects)-1]
				last.Length = fr.base + int64(fr.i) - last.Offset
				last.Reason = errTooLong(last.Length, fr.r.Limits.Record)
				return nil
			}
			fr.spans = append(fr.spans, Span{Start: fr.keep, End: fr.i, Line: line})
			fr.spanEnd = fr.i
			fr.keep = -1
			return nil
		case ',':
			fr.i++
			continue
		case '"':
		default:
			return fr.broken("not a JSON object", line)
		}
		key, err := fr.key()
		if err != nil {
			return err
		}
		if c, err = fr.next(); err != nil {
			return err
		}
		if c != ':' {
			return fr.broken("a member without value", line)
		}
		fr.i++
		if c, err = fr.next(); err != nil {
			return err
		}
		if key == "@odata.nextLink" || key == "odata.nextLink" {
			next = c == '"'
		}
		if depth < 3 && !fr.tooLong && fr.opensEnvelope(key, c) {
			envelope = true
			fr.keep = -1
			if err := fr.inside(depth + 1); err != nil {
				return err
			}
			continue
		}
		if err := fr.skip(); err != nil {
			return err
		}
	}
}

// inside walks what an envelope holds: an array of records, or the object of
// {"d":{...}}.
func (fr *framer) inside(depth int) error {
	if fr.buf[fr.i] == '{' {
		return fr.object(depth)
	}
	fr.i++
	for {
		c, err := fr.next()
		if err != nil {
			return err
		}
		switch c {
		case ']':
			fr.i++
			return nil
		case ',':
			fr.i++
		case '{':
			if err := fr.object(depth); err != nil {
				return err
			}
		case '[':
			if err := fr.skip(); err != nil {
				return err
			}
		default:
			if err := fr.scalar(); err != nil {
				return err
			}
		}
	}
}

// opensEnvelope looks ahead from a member's value without moving the cursor
// beyond what the window can take back.
func (fr *framer) opensEnvelope(key string, c byte) bool {
	known := false
	for _, k := range envelopeKeys {
		known = known || k == key
	}
	if !known {
		return false
	}
	if key == "d" {
		return c == '{'
	}
	if c != '[' {
		return false
	}
	if fr.n-fr.i < 256 && !fr.eof {
		fr.ahead()
	}
	rest := bytes.TrimLeft(fr.buf[fr.i+1:fr.n], " \t\r\n")
	switch {
	case len(rest) == 0:
		return key == "value" || key == "records"
	case rest[0] == ']':
		return key == "value" || key == "records"
	case rest[0] != '{':
		return false
	case key != "events":
		return true
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	for _, k := range wrappedEventKeys {
		if bytes.HasPrefix(rest, []byte(`"`+k+`"`)) {
			return true
		}
	}
	return false
}

// ahead tries to have some bytes behind the cursor in the window.
func (fr *framer) ahead() {
	if fr.n == len(fr.buf) {
		if err := fr.move(); err != nil {
			return
		}
	}
	_ = fr.fill() // a stop is met again by the next read
}

// key reads the member name at the cursor. Long names are cut; none matters.
func (fr *framer) key() (string, error) {
	var k []byte
	fr.i++
	for {
		if err := fr.more(); err != nil {
			return "", err
		}
		j := bytes.IndexAny(fr.buf[fr.i:fr.n], `"\`)
		if j < 0 {
			if len(k) < 64 {
				k = append(k, fr.buf[fr.i:fr.n]...)
			}
			fr.i = fr.n
			continue
		}
		if len(k) < 64 {
			k = append(k, fr.buf[fr.i:fr.i+j]...)
		}
		fr.i += j + 1
		if fr.buf[fr.i-1] == '"' {
			return string(k), nil
		}
		if err := fr.more(); err != nil {
			return "", err
		}
		fr.i++
	}
}

// skip moves the cursor behind the value it is at.
func (fr *framer) skip() error {
	depth := 0
	for {
		for fr.i < fr.n {
			c := fr.buf[fr.i]
			switch c {
			case '"':
				if err := fr.skipString(); err != nil {
					return err
				}
				if depth == 0 {
					return nil
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth == 0 {
					return nil // end of the parent: the value was a scalar
				}
				depth--
				if depth == 0 {
					fr.i++
					return nil
				}
			case ',':
				if depth == 0 {
					return nil
				}
			}
			fr.i++
		}
		if err := fr.more(); err != nil {
			return err
		}
	}
}

func (fr *framer) skipString() error {
	fr.i++
	for {
		j := bytes.IndexByte(fr.buf[fr.i:fr.n], '"')
		e := j
		if e < 0 {
			e = fr.n - fr.i
		}
		// A backslash before the quote escapes it; look at the run of them.
		if b := bytes.IndexByte(fr.buf[fr.i:fr.i+e], '\\'); b >= 0 {
			fr.i += b + 1
			if err := fr.more(); err != nil {
				return err
			}
			fr.i++
			if err := fr.more(); err != nil {
				return err
			}
			continue
		}
		if j >= 0 {
			fr.i += j + 1
			return nil
		}
		fr.i = fr.n
		if err := fr.more(); err != nil {
			return err
		}
	}
}

// scalar rejects what stands where a record should, up to the end of its line.
func (fr *framer) scalar() error {
	line := fr.countLines(fr.i)
	return fr.broken("not a JSON object", line)
}

// broken rejects from the record's start (or the cursor) to the end of the
// line, where the walk may find its feet again.
func (fr *framer) broken(reason string, line int64) error {
	if fr.keep < 0 && !fr.tooLong {
		fr.keep = fr.i
	}
	for {
		if j := bytes.IndexByte(fr.buf[fr.i:fr.n], '\n'); j >= 0 {
			fr.i += j + 1
			break
		}
		fr.i = fr.n
		if err := fr.more(); errors.Is(err, errEnd) {
			break
		} else if err != nil {
			return err
		}
	}
	if fr.tooLong {
		fr.reject(fr.i, fr.i, reason)
	} else {
		fr.rejects = append(fr.rejects, event.Reject{
			File: fr.file.Ordinal, Line: line, Offset: fr.base + int64(fr.keep), Length: int64(fr.i - fr.keep),
			Reason: reason, Head: headOf(fr.buf[fr.keep:fr.i]),
		})
	}
	fr.keep, fr.tooLong = -1, false
	return nil
}

func (fr *framer) reject(start, end int, reason string) {
	if fr.tooLong && len(fr.rejects) > 0 {
		last := &fr.rejects[len(fr.rejects)-1]
		last.Length = fr.base + int64(end) - last.Offset
		last.Reason = errTooLong(last.Length, fr.r.Limits.Record) + "; " + reason
		fr.tooLong = false
		return
	}
	fr.rejects = append(fr.rejects, event.Reject{
		File: fr.file.Ordinal, Line: fr.countLines(start), Offset: fr.base + int64(start), Length: int64(end - start),
		Reason: reason, Head: headOf(fr.buf[start:end]),
	})
}
