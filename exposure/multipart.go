package exposure

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// multipart cuts a body at its boundary lines, while it is read. The standard
// library's reader gives a message up at the first malformed header of a part;
// what follows may be what matters, so that this one goes on.
type multipart struct {
	r     *bufio.Reader
	delim []byte // "--" boundary
	part  *partReader
	ended bool // closing delimiter or end of input
	cut   bool // the input ended without a closing delimiter
}

func newMultipart(r *bufio.Reader, boundary string) *multipart {
	return &multipart{r: r, delim: []byte("--" + strings.TrimRight(boundary, " \t"))}
}

// next begins the next part, after reading the rest of the one before; io.EOF
// when there is none.
func (m *multipart) next() (*bufio.Reader, error) {
	if m.part == nil { // before the first part: what old mail programs show
		m.part = &partReader{m: m, start: true}
	}
	if _, err := io.Copy(io.Discard, m.part); err != nil {
		return nil, err
	}
	if m.ended {
		return nil, io.EOF
	}
	m.part = &partReader{m: m, start: true}
	return bufio.NewReaderSize(m.part, 16<<10), nil
}

// delimiter reports whether a line is the boundary, and the last one.
func (m *multipart) delimiter(line []byte) (is, last bool) {
	if !bytes.HasPrefix(line, m.delim) {
		return false, false
	}
	rest := bytes.TrimRight(line[len(m.delim):], " \t\r\n")
	return len(rest) == 0 || string(rest) == "--", string(rest) == "--"
}

// partReader is the body of one part: up to the line end before a boundary.
type partReader struct {
	m     *multipart
	start bool   // at the begin of a line
	eol   []byte // a line end that is kept back: it may belong to the boundary
	buf   []byte
	done  bool
}

func (p *partReader) Read(b []byte) (int, error) {
	for len(p.buf) == 0 {
		if p.done {
			return 0, io.EOF
		}
		line, err := p.m.r.ReadSlice('\n')
		if p.start {
			if is, last := p.m.delimiter(line); is {
				p.done, p.m.ended = true, last
				return 0, io.EOF
			}
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			p.done, p.m.ended, p.m.cut = true, true, true
		default:
			return 0, err
		}
		text := bytes.TrimSuffix(line, []byte("\n"))
		whole := len(text) < len(line)
		if whole {
			text = bytes.TrimSuffix(text, []byte("\r"))
		}
		p.buf = append(append(p.buf, p.eol...), text...)
		p.eol = append(p.eol[:0], line[len(text):]...)
		p.start = whole
		if p.done {
			p.buf, p.eol = append(p.buf, p.eol...), nil
		}
	}
	n := copy(b, p.buf)
	p.buf = p.buf[:copy(p.buf, p.buf[n:])]
	return n, nil
}
