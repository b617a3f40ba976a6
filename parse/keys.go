package parse

import (
	"bytes"
	"strconv"
	"unicode/utf8"

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

// object writes a small JSON object for column detail without allocating, for
// the logs that have many records.
type object struct{ b []byte }

// text adds a member unless it is empty.
func (o *object) text(name string, v []byte) {
	if len(v) == 0 {
		return
	}
	o.name(name)
	o.b = appendJSON(o.b, v)
}

// string is text for a string.
func (o *object) string(name, v string) {
	if v == "" {
		return
	}
	o.name(name)
	o.b = append(o.b, '"')
	for i := 0; i < len(v); i++ {
		o.b = appendJSONByte(o.b, v[i])
	}
	o.b = append(o.b, '"')
}

// bool adds a member unless v is nil.
func (o *object) bool(name string, v *bool) {
	switch {
	case v == nil:
	case *v:
		o.raw(name, "true")
	default:
		o.raw(name, "false")
	}
}

// int adds a member.
func (o *object) int(name string, n int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

// raw adds a member whose value is JSON already.
func (o *object) raw(name, v string) {
	o.name(name)
	o.b = append(o.b, v...)
}

func (o *object) name(name string) {
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

// done returns the object, or nothing when it has no members.
func (o *object) done() []byte {
	if len(o.b) == 0 {
		return nil
	}
	o.b = append(o.b, '}')
	return o.b
}

// appendJSON appends text as a JSON string; bytes that are not UTF-8 become
// the replacement character.
func appendJSON(dst, v []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(v); {
		c := v[i]
		if c < utf8.RuneSelf {
			dst = appendJSONByte(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(v[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, "\ufffd"...)
		} else {
			dst = append(dst, v[i:i+n]...)
		}
		i += n
	}
	return append(dst, '"')
}

func appendJSONByte(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	case c < 0x20:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(dst, c)
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
