package parse

import (
	"bytes"
	"strconv"

	"github.com/valyala/fastjson"
)

// foldKey writes to buf what the names of one field have in common across the
// containers of a log: letters in lower case and digits, without the blanks,
// dashes, dots and brackets that make up the difference between
// "servicePrincipalId", "ServicePrincipalId" and "Service principal ID", or
// between "ipAddress" and "IP address ". The suffixes that Log Analytics adds
// (" [UTC]" to times, "_dynamic", "_string" and "_long" to the parts of a column
// of mixed type) are dropped. A name that does not fit into buf gives nothing.
func foldKey(buf []byte, key []byte) []byte {
	key = bytes.TrimSuffix(key, []byte(" [UTC]"))
	if i := bytes.LastIndexByte(key, '_'); i > 0 {
		switch string(key[i:]) {
		case "_dynamic", "_string", "_long":
			key = key[:i]
		}
	}
	buf = buf[:0]
	for _, c := range key {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c >= 0x80:
		default:
			continue
		}
		if len(buf) == cap(buf) {
			return nil
		}
		buf = append(buf, c)
	}
	return buf
}

// keyBuf is room for a folded key.
type keyBuf [64]byte

// set keeps the first value that says something: exports repeat members, and
// leave empty the half of a split column that they do not use.
func set(dst **fastjson.Value, v *fastjson.Value) {
	if *dst == nil && !isEmpty(v) {
		*dst = v
	}
}

func isEmpty(v *fastjson.Value) bool {
	switch v.Type() {
	case fastjson.TypeNull:
		return true
	case fastjson.TypeString:
		b, _ := v.StringBytes()
		return len(b) == 0
	}
	return false
}

// open returns v as an object or array, whether it is one or is JSON text in a
// string (twice at most). It returns nil for anything else; destroyed reports
// what PowerShell leaves of nested data.
func (r *Record) open(v *fastjson.Value) (x *fastjson.Value, destroyed bool) {
	for range 3 {
		if v == nil {
			return nil, false
		}
		switch v.Type() {
		case fastjson.TypeObject, fastjson.TypeArray:
			return v, false
		case fastjson.TypeString:
		default:
			return nil, false
		}
		b, _ := v.StringBytes()
		b = bytes.TrimSpace(b)
		if len(b) == 0 || b[0] != '{' && b[0] != '[' && b[0] != '"' {
			return nil, isDestroyed(string(b))
		}
		var err error
		if v, err = r.Nested(b); err != nil {
			return nil, false
		}
	}
	return nil, false
}

// array is open for lists; a single object is a list of one, which is what
// PowerShell makes of such lists.
func (r *Record) array(v *fastjson.Value) []*fastjson.Value {
	x, _ := r.open(v)
	switch {
	case x == nil:
		return nil
	case x.Type() == fastjson.TypeArray:
		return x.GetArray()
	}
	return []*fastjson.Value{x}
}

// put adds a member to a detail unless it is empty.
func (d *detailWriter) put(name string, v []byte) {
	if len(v) > 0 {
		d.text(name, view(v))
	}
}

// putString is put for a string.
func (d *detailWriter) putString(name, v string) {
	if v != "" {
		d.text(name, v)
	}
}

// putBool adds a member unless v is nil.
func (d *detailWriter) putBool(name string, v *bool) {
	if v != nil {
		d.add(name, *v)
	}
}

// putInt adds a member.
func (d *detailWriter) putInt(name string, n int64) {
	d.key(name)
	d.buf = strconv.AppendInt(d.buf, n, 10)
}

// appendJSONValue appends v as JSON. fastjson's own MarshalTo quotes strings as
// Go does, which is not JSON for control characters and most emoji.
func appendJSONValue(dst []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeObject:
		dst = append(dst, '{')
		first := true
		v.GetObject().Visit(func(key []byte, x *fastjson.Value) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = appendJSONString(dst, view(key))
			dst = append(dst, ':')
			dst = appendJSONValue(dst, x)
		})
		return append(dst, '}')
	case fastjson.TypeArray:
		dst = append(dst, '[')
		for i, x := range v.GetArray() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONValue(dst, x)
		}
		return append(dst, ']')
	case fastjson.TypeString:
		b, _ := v.StringBytes()
		return appendJSONString(dst, view(b))
	case fastjson.TypeNumber:
		// fastjson takes 007 and nan for numbers. As text they stay readable.
		n := len(dst)
		if dst = v.MarshalTo(dst); !isNumber(dst[n:]) {
			dst = appendJSONString(dst[:n], string(dst[n:]))
		}
		return dst
	}
	return v.MarshalTo(dst)
}

// isNumber reports whether b is a number as RFC 8259 has it.
func isNumber(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("-"))
	switch n := countDigits(b); {
	case n == 0, n > 1 && b[0] == '0':
		return false
	default:
		b = b[n:]
	}
	if len(b) > 0 && b[0] == '.' {
		n := countDigits(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && b[0]|0x20 == 'e' {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		n := countDigits(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

func countDigits(b []byte) int {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return n
}

// setTime fills in e's time from the first of the values that holds one.
func setTime(e *eventTime, vs ...*fastjson.Value) {
	for _, v := range vs {
		if us, ambiguous, ok := Micros(text(v)); ok {
			e.us, e.ambiguous = us, ambiguous
			return
		}
	}
}

type eventTime struct {
	us        int64
	ambiguous bool
}

func itoa(n int) string { return strconv.Itoa(n) }
