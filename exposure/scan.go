package exposure

import (
	"errors"
	"io"
	"strings"
)

// Text is searched in windows, so that memory does not depend on its length.
// What begins in the last stretch of a window is left to the next one, which
// begins a little before it.
const (
	windowStep = 64 << 10
	windowTail = 16 << 10 // longer secrets may be cut: the longest private keys have 13 KiB
	windowHead = 2 << 10
)

// found is something in a text, at a place.
type found struct {
	rule         *rule
	secret       string
	line, offset int64
}

// window is memory for a window; most messages are far shorter than one.
func (x *reader) window() *[]byte {
	if b, ok := x.windows.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, windowHead+windowStep+windowTail)
	return &b
}

// scanText searches a text (UTF-8) to its end. Memory is bounded. The error is
// that of reading; what was found before it has been reported.
func (x *reader) scanText(text io.Reader, secret func(found), personal func(kind, value string)) error {
	block := x.window()
	defer x.windows.Put(block)
	buf := (*block)[:0]
	var base, line int64 = 0, 1 // of buf[0]
	var done, doneAll int64     // before done all has been reported
	for {
		n, err := io.ReadFull(text, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		last := err != nil
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		if last && len(buf) == 0 {
			return err
		}
		s := string(buf)
		end := int64(len(s))
		if !last {
			end -= windowTail
		}
		at, atLine := 0, line
		for _, h := range x.scan.find(s) {
			abs := base + int64(h.start)
			if int64(h.start) >= end || abs < done {
				continue
			}
			atLine += int64(strings.Count(s[at:h.start], "\n"))
			at = h.start
			done = base + int64(h.end)
			secret(found{h.rule, strings.Clone(h.secret), atLine, abs})
		}
		personalIn(x.kinds, s, func(kind, value string, start int) {
			if int64(start) < end && base+int64(start) >= doneAll {
				personal(kind, strings.Clone(value))
			}
		})
		if last {
			return err
		}
		doneAll = base + end
		done = max(done, doneAll)
		keep := len(buf) - windowTail - windowHead
		line += int64(strings.Count(s[:keep], "\n"))
		base += int64(keep)
		buf = buf[:copy(buf, buf[keep:])]
	}
}
