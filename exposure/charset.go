package exposure

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// decodeCharset makes UTF-8 of a text in a named character set. Where the set
// is not known it says why, and the text is read as it probably is.
func decodeCharset(label string, r io.Reader) (io.Reader, string) {
	label = strings.ToLower(strings.Trim(strings.TrimSpace(label), `"'`))
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "unknown-8bit", "8bit", "binary", "default":
		return newGuess(r), ""
	case "utf-32", "utf-32be":
		return transform.NewReader(r, utf32.UTF32(utf32.BigEndian, utf32.UseBOM).NewDecoder()), ""
	case "utf-32le":
		return transform.NewReader(r, utf32.UTF32(utf32.LittleEndian, utf32.UseBOM).NewDecoder()), ""
	case "utf-16":
		return transform.NewReader(r, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder()), ""
	case "cp437", "ibm437":
		return transform.NewReader(r, charmap.CodePage437.NewDecoder()), ""
	case "cp850", "ibm850":
		return transform.NewReader(r, charmap.CodePage850.NewDecoder()), ""
	case "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258":
		label = "windows-" + label[2:]
	case "cp932", "ms932":
		label = "shift_jis"
	case "cp936", "ms936":
		label = "gbk"
	case "cp949":
		label = "euc-kr"
	case "cp950":
		label = "big5"
	}
	var e encoding.Encoding
	e, err := htmlindex.Get(label)
	if err != nil || e == encoding.Replacement {
		e, err = ianaindex.MIME.Encoding(label)
	}
	if err != nil || e == nil {
		return newGuess(r), "character set " + cut(label, 40) + " is not known: the text was read as UTF-8 or Windows-1252, and words in it may be garbled"
	}
	return transform.NewReader(r, e.NewDecoder()), ""
}

// guess reads a text of which no character set is named: byte order marks are
// obeyed, UTF-8 stays, other bytes are Windows-1252.
type guess struct {
	r    *bufio.Reader
	out  bytes.Buffer
	done error
}

func newGuess(r io.Reader) io.Reader {
	br := bufio.NewReaderSize(r, 8<<10)
	head, _ := br.Peek(3)
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, _ = br.Discard(3)
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return transform.NewReader(br, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return transform.NewReader(br, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder())
	}
	return &guess{r: br}
}

func (g *guess) Read(p []byte) (int, error) {
	for g.out.Len() == 0 {
		if g.done != nil {
			return 0, g.done
		}
		b, err := g.r.Peek(4096)
		if len(b) == 0 {
			g.done = err
			if g.done == nil {
				g.done = io.EOF
			}
			continue
		}
		n := 0
		for n < len(b) {
			c := b[n]
			if c < utf8.RuneSelf {
				g.out.WriteByte(c)
				n++
				continue
			}
			if !utf8.FullRune(b[n:]) && err == nil {
				break // the rest comes with the next read
			}
			r, w := utf8.DecodeRune(b[n:])
			if r == utf8.RuneError && w <= 1 {
				g.out.WriteRune(charmap.Windows1252.DecodeByte(c))
				n++
				continue
			}
			g.out.Write(b[n : n+w])
			n += w
		}
		_, _ = g.r.Discard(n)
	}
	return g.out.Read(p)
}
