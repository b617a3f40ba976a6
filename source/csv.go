package source

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/valyala/fastjson"
)

// rowEnd finds the end of the first row: the first line's end with an even
// number of quotes before it; -1 when there is none.
func rowEnd(b []byte, eof bool) int {
	quotes := 0
	for i, c := range b {
		switch {
		case c == '"':
			quotes++
		case c == '\n' && quotes%2 == 0:
			return i + 1
		}
	}
	if eof {
		return len(b)
	}
	return -1
}

// lastRowEnd finds the end of the last whole row of b, which starts with a row.
func lastRowEnd(b []byte) int {
	total := bytes.Count(b, []byte{'"'})
	end := len(b)
	for {
		nl := bytes.LastIndexByte(b[:end], '\n')
		if nl < 0 {
			return 0
		}
		total -= bytes.Count(b[nl:end], []byte{'"'})
		if total%2 == 0 {
			return nl + 1
		}
		end = nl
	}
}

// sniffComma picks the delimiter that the header has most of, outside quotes.
func sniffComma(header []byte) rune {
	best, most := ',', 0
	for _, c := range []byte{',', ';', '\t', '|'} {
		n, quoted := 0, false
		for _, x := range header {
			if x == '"' {
				quoted = !quoted
			} else if x == c && !quoted {
				n++
			}
		}
		if n > most {
			best, most = rune(c), n
		}
	}
	return best
}

// splitHeader reads the header. A name that occurs twice gets the suffix "_2":
// the Entra portal writes "Incoming token type" twice.
func splitHeader(b []byte, comma rune) ([]string, error) {
	cr := csv.NewReader(bytes.NewReader(b))
	cr.Comma = comma
	cr.LazyQuotes = true
	cr.FieldsPerRecord = -1
	h, err := cr.Read()
	if err != nil {
		return nil, err
	}
	seen := make(map[string]int, len(h))
	for i, name := range h {
		name = strings.Trim(name, "\ufeff\r")
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s_%d", name, n)
		}
		h[i] = name
	}
	return h, nil
}

// RowReader iterates over the rows of a block of kind Rows, each as an object
// of the header's names and the row's cells. Empty cells are null.
type RowReader struct {
	b     *Block
	cr    *csv.Reader
	arena fastjson.Arena
	start int64
}

// NewRowReader returns a reader for b.
func NewRowReader(b *Block) *RowReader {
	cr := csv.NewReader(bytes.NewReader(b.Data))
	cr.Comma = b.Comma
	cr.LazyQuotes = true
	cr.ReuseRecord = true
	cr.FieldsPerRecord = -1
	return &RowReader{b: b, cr: cr}
}

// Next returns the next row: its bytes, its object (valid until the next
// call), and where it stands relative to the block. It returns io.EOF at the
// end. Another error concerns this row only.
func (rr *RowReader) Next() (raw []byte, v *fastjson.Value, line, offset int64, err error) {
	cells, err := rr.cr.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, 0, 0, io.EOF
	}
	end := rr.cr.InputOffset()
	raw = rr.b.Data[rr.start:end]
	lead := 0
	for lead < len(raw) && (raw[lead] == '\n' || raw[lead] == '\r') { // blank lines before the row
		lead++
	}
	offset = rr.start + int64(lead)
	raw = bytes.TrimRight(raw[lead:], "\r\n")
	rr.start = end
	line = rr.b.Line
	if err != nil {
		return raw, nil, line, offset, fmt.Errorf("CSV: %w", err)
	}
	l, _ := rr.cr.FieldPos(0)
	line += int64(l) - 1
	if len(cells) > len(rr.b.Header) {
		for _, c := range cells[len(rr.b.Header):] {
			if c != "" {
				return raw, nil, line, offset, fmt.Errorf("CSV row has %d cells under a header of %d", len(cells), len(rr.b.Header))
			}
		}
		cells = cells[:len(rr.b.Header)]
	}
	rr.arena.Reset()
	o := rr.arena.NewObject()
	for i, c := range cells {
		if c == "" {
			o.Set(rr.b.Header[i], rr.arena.NewNull())
		} else {
			o.Set(rr.b.Header[i], rr.arena.NewString(c))
		}
	}
	return raw, o, line, offset, nil
}
