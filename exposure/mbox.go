package exposure

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// splitMbox calls fn for each message of an mbox, while it is read. A message
// begins behind a line "From somebody date" that follows an empty line; the
// date is asked for because not every program escapes such lines in bodies.
// Source: RFC 4155, appendix A; "mboxrd" for the lines with a > before them,
// which stay as they are.
func splitMbox(r *bufio.Reader, fn func(*bufio.Reader) error) error {
	m := &mbox{r: r, blank: true}
	if _, err := io.Copy(io.Discard, m.message()); err != nil { // what stands before the first
		return err
	}
	for !m.ended {
		p := m.message()
		if err := fn(bufio.NewReaderSize(p, 16<<10)); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, p); err != nil {
			return err
		}
	}
	return nil
}

type mbox struct {
	r     *bufio.Reader
	blank bool // the line before was empty, or there was none
	ended bool
}

func (m *mbox) message() io.Reader { return &mboxReader{m: m, start: true} }

// fromLine reports whether a line divides messages.
func fromLine(b []byte) bool {
	b = bytes.TrimRight(b, "\r\n")
	if !bytes.HasPrefix(b, []byte("From ")) || len(b) > 1000 {
		return false
	}
	rest := bytes.Fields(b[5:])
	if len(rest) == 0 {
		return false
	}
	clock, year := false, false
	for _, w := range rest {
		clock = clock || len(w) >= 4 && bytes.Count(w, []byte(":")) >= 1 && w[0] >= '0' && w[0] <= '9'
		year = year || len(w) == 4 && len(bytes.Trim(w, "0123456789")) == 0
	}
	return clock && year || string(rest[0]) == "-" && len(rest) > 1
}

type mboxReader struct {
	m     *mbox
	start bool
	buf   []byte
	done  bool
}

func (p *mboxReader) Read(b []byte) (int, error) {
	for len(p.buf) == 0 {
		if p.done {
			return 0, io.EOF
		}
		line, err := p.m.r.ReadSlice('\n')
		if p.start && p.m.blank && fromLine(line) {
			p.done, p.m.blank = true, false
			return 0, io.EOF
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			p.done, p.m.ended = true, true
		default:
			return 0, err
		}
		p.m.blank = p.start && len(bytes.TrimRight(line, "\r\n")) == 0
		p.start = bytes.HasSuffix(line, []byte("\n"))
		p.buf = append(p.buf, line...)
	}
	n := copy(b, p.buf)
	p.buf = p.buf[:copy(p.buf, p.buf[n:])]
	return n, nil
}
