package parse

import (
	"bytes"
	"unsafe"

	"github.com/valyala/fastjson"
)

// byTheLetter reports whether b is JSON as RFC 8259 has it, and as engines read
// it: numbers without leading zeros, no control characters in strings,
// surrogates in pairs. The parser that reads records takes more, so that one
// bad byte costs no record; but a record that an engine cannot read would be
// invisible to every rule that looks into records, which is a way to hide.
func byTheLetter(b []byte) bool {
	return fastjson.ValidateBytes(b) == nil && pairedSurrogates(b)
}

// pairedSurrogates reports whether the surrogates that valid JSON spells out
// come in pairs.
func pairedSurrogates(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 || i+1 >= len(b) {
			return true
		}
		if b[i+1] != 'u' {
			b = b[i+2:]
			continue
		}
		switch kind := surrogate(b[i:]); {
		case kind == lowHalf, kind == highHalf && surrogate(b[i+6:]) != lowHalf:
			return false
		case kind == highHalf:
			b = b[i+12:]
		default:
			b = b[i+6:]
		}
	}
}

const (
	noHalf = iota
	highHalf
	lowHalf
)

// surrogate tells which half of a pair the escape at the beginning of b is.
func surrogate(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' || b[2]|0x20 != 'd' {
		return noHalf
	}
	switch c := b[3] | 0x20; {
	case c == '8'|0x20, c == '9'|0x20, c == 'a', c == 'b':
		return highHalf
	case 'c' <= c && c <= 'f':
		return lowHalf
	}
	return noHalf
}

// readable returns the record as JSON by the letter where text, the JSON that a
// log carries, is not; empty where it is, or where nothing can be done.
func (s *Sink) readable(text string) string {
	if byTheLetter(unsafe.Slice(unsafe.StringData(text), len(text))) {
		return ""
	}
	v, err := s.reparse.Parse(text)
	if err != nil {
		return ""
	}
	s.scratch = appendJSONValue(s.scratch[:0], v)
	return s.Batch.Arena.Bytes(s.scratch)
}
