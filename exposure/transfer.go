package exposure

import (
	"bufio"
	"io"
	"strings"
)

// decodeTransfer undoes a content transfer encoding. Both decoders are lenient,
// as mail programs are: signs that do not belong are skipped, so that a broken
// line does not hide what follows it.
func decodeTransfer(name string, r io.Reader) (io.Reader, string) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "base64":
		return &base64Reader{r: bufio.NewReaderSize(r, 8<<10)}, ""
	case "quoted-printable":
		return &quotedReader{r: bufio.NewReaderSize(r, 8<<10)}, ""
	case "", "7bit", "8bit", "binary":
		return r, ""
	}
	return r, "transfer encoding " + cut(name, 40) + " is not known: the text was searched as it stands"
}

type base64Reader struct {
	r    *bufio.Reader
	bits uint32
	n    uint // valid bits
}

func (x *base64Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c, err := x.r.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		var v uint32
		switch {
		case 'A' <= c && c <= 'Z':
			v = uint32(c - 'A')
		case 'a' <= c && c <= 'z':
			v = uint32(c-'a') + 26
		case '0' <= c && c <= '9':
			v = uint32(c-'0') + 52
		case c == '+' || c == '-':
			v = 62
		case c == '/' || c == '_':
			v = 63
		case c == '=':
			x.bits, x.n = 0, 0 // end of a run; another may follow
			continue
		default:
			continue
		}
		x.bits = x.bits<<6 | v
		if x.n += 6; x.n >= 8 {
			x.n -= 8
			p[n] = byte(x.bits >> x.n)
			n++
		}
	}
	return n, nil
}

type quotedReader struct {
	r     *bufio.Reader
	blank int  // blanks that are kept back: at a line's end they do not count
	next  byte // a byte that follows the blanks
	has   bool
}

func (x *quotedReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c, err := x.byte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		p[n] = c
		n++
	}
	return n, nil
}

func (x *quotedReader) byte() (byte, error) {
	for {
		if x.blank > 0 && x.has {
			x.blank--
			return ' ', nil
		}
		if x.has {
			x.has = false
			return x.next, nil
		}
		c, err := x.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch {
		case c == ' ' || c == '\t':
			x.blank++
			continue
		case c == '\r' || c == '\n':
			x.blank = 0
			return c, nil
		case c == '=':
			d, soft := x.escape()
			if soft {
				if x.blank > 0 { // blanks before a soft break count
					x.blank--
					return ' ', nil
				}
				continue
			}
			c = d
		}
		if x.blank > 0 {
			x.next, x.has = c, true
			continue
		}
		return c, nil
	}
}

// escape reads what follows an equals sign. soft: the line goes on.
func (x *quotedReader) escape() (c byte, soft bool) {
	b, _ := x.r.Peek(2)
	if len(b) == 2 {
		hi, ok1 := unhex(b[0])
		lo, ok2 := unhex(b[1])
		if ok1 && ok2 {
			_, _ = x.r.Discard(2)
			return hi<<4 | lo, false
		}
	}
	// A soft break may have blanks before its line end.
	for i := 1; i <= 64; i++ {
		b, _ := x.r.Peek(i)
		if len(b) < i {
			if strings.TrimSpace(string(b)) == "" {
				_, _ = x.r.Discard(len(b))
				return 0, true
			}
			break
		}
		switch b[i-1] {
		case ' ', '\t', '\r':
			continue
		case '\n':
			_, _ = x.r.Discard(i)
			return 0, true
		}
		break
	}
	return '=', false
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
