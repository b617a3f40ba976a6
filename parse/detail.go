package parse

import (
	"encoding/json"
	"unicode/utf8"
)

// detailWriter builds the small JSON object of column detail. Members keep the
// order in which they are added; empty strings are left out. It writes as it
// goes because most records of an audit log have a detail.
type detailWriter struct {
	buf []byte
}

func (d *detailWriter) key(key string) {
	if len(d.buf) == 0 {
		d.buf = append(d.buf, '{')
	} else {
		d.buf = append(d.buf, ',')
	}
	d.buf = appendJSONString(d.buf, key)
	d.buf = append(d.buf, ':')
}

// add adds a member: a string, bool, []string, json.RawMessage, or anything
// else that encoding/json takes.
func (d *detailWriter) add(key string, v any) {
	switch x := v.(type) {
	case string:
		if x == "" {
			return
		}
		d.key(key)
		d.buf = appendJSONString(d.buf, x)
	case bool:
		d.key(key)
		if x {
			d.buf = append(d.buf, "true"...)
		} else {
			d.buf = append(d.buf, "false"...)
		}
	case []string:
		d.key(key)
		d.buf = append(d.buf, '[')
		for i, s := range x {
			if i > 0 {
				d.buf = append(d.buf, ',')
			}
			d.buf = appendJSONString(d.buf, s)
		}
		d.buf = append(d.buf, ']')
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return
		}
		d.key(key)
		d.buf = append(d.buf, b...)
	}
}

// text adds a member without the cost of an interface.
func (d *detailWriter) text(key, v string) {
	d.key(key)
	d.buf = appendJSONString(d.buf, v)
}

// raw adds a member whose value is JSON already.
func (d *detailWriter) raw(key string, v []byte) {
	d.key(key)
	d.buf = append(d.buf, v...)
}

// bytes returns the object, or nothing when it is empty.
func (d *detailWriter) bytes() []byte {
	if len(d.buf) == 0 {
		return nil
	}
	return append(d.buf, '}')
}

// String returns the object, or nothing when it is empty.
func (d *detailWriter) String() string { return string(d.bytes()) }

// reset empties the writer and keeps its memory.
func (d *detailWriter) reset() { d.buf = d.buf[:0] }

// appendJSONString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD,
// as in encoding/json.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\ufffd"...)
				i++
				start = i
				continue
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
