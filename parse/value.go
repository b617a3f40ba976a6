package parse

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/valyala/fastjson"
)

// The helpers of this file read fields that arrive as string, number, bool or
// null, under names that differ by case between containers of the same log.

// get returns the first of the named members that v has, in any case of
// letters. It returns nil when there is none or it is null.
func get(v *fastjson.Value, names ...string) *fastjson.Value {
	if v == nil || v.Type() != fastjson.TypeObject {
		return nil
	}
	for _, n := range names {
		if x := v.Get(n); x != nil && x.Type() != fastjson.TypeNull {
			return x
		}
	}
	o, err := v.Object()
	if err != nil {
		return nil
	}
	var found *fastjson.Value
	best := len(names)
	o.Visit(func(key []byte, x *fastjson.Value) {
		if x.Type() == fastjson.TypeNull {
			return
		}
		for i, n := range names[:best] {
			if equalFold(key, n) {
				found, best = x, i
				return
			}
		}
	})
	return found
}

// has reports whether v has one of the named members, null or not.
func has(v *fastjson.Value, name string) bool {
	if v == nil || v.Type() != fastjson.TypeObject {
		return false
	}
	if v.Get(name) != nil {
		return true
	}
	o, err := v.Object()
	if err != nil {
		return false
	}
	found := false
	o.Visit(func(key []byte, _ *fastjson.Value) {
		if !found && equalFold(key, name) {
			found = true
		}
	})
	return found
}

// equalFold compares ASCII without regard to case, and ignores the suffix
// " [UTC]" that Log Analytics adds to the names of time columns, and blanks at
// the end, which the Entra portal leaves in headers ("Application ID ").
func equalFold(key []byte, name string) bool {
	for len(key) > 0 && key[len(key)-1] == ' ' {
		key = key[:len(key)-1]
	}
	if len(key) > 6 && key[len(key)-1] == ']' && string(key[len(key)-6:]) == " [UTC]" {
		key = key[:len(key)-6]
	}
	if len(key) != len(name) {
		return false
	}
	for i, c := range key {
		d := name[i]
		if c == d {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if 'A' <= d && d <= 'Z' {
			d += 'a' - 'A'
		}
		if c != d {
			return false
		}
	}
	return true
}

// text returns v as text: a string's content, a number's or bool's literal,
// nothing for null and for nil. Objects and arrays give nothing.
func text(v *fastjson.Value) []byte {
	if v == nil {
		return nil
	}
	switch v.Type() {
	case fastjson.TypeString:
		b, _ := v.StringBytes()
		return b
	case fastjson.TypeNumber:
		return v.MarshalTo(nil)
	case fastjson.TypeTrue:
		return []byte("true")
	case fastjson.TypeFalse:
		return []byte("false")
	}
	return nil
}

// view is b as a string without a copy: valid as long as b, that is until the
// next record at most.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// str returns the first named member as text.
func str(v *fastjson.Value, names ...string) []byte { return text(get(v, names...)) }

// boolean reads true, "True", "1" and their negatives; nil when it is neither.
func boolean(v *fastjson.Value) *bool {
	t, f := true, false
	switch strings.ToLower(strings.TrimSpace(string(text(v)))) {
	case "true", "1", "yes":
		return &t
	case "false", "0", "no":
		return &f
	}
	return nil
}

// integer reads 7, "7", 7.0 and "1156492.00"; ok is false for anything else.
func integer(v *fastjson.Value) (n int64, ok bool) {
	if v != nil && v.Type() == fastjson.TypeNumber {
		if n, err := v.Int64(); err == nil {
			return n, true
		}
	}
	b := text(v)
	if len(b) == 0 {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
	if err != nil || f != f || f > 1<<62 || f < -(1<<62) {
		return 0, false
	}
	return int64(f), true
}

// opened returns x as an object or array, whether it is one or is JSON text in
// a string (twice at most). It returns nil when x is absent, empty or destroyed
// by its exporter; destroyed reports the latter ("System.Object[]",
// "@{Name=...}").
func (r *Record) opened(x *fastjson.Value) (_ *fastjson.Value, destroyed bool) {
	for range 2 {
		if x == nil || x.Type() != fastjson.TypeString {
			break
		}
		b, _ := x.StringBytes()
		t := strings.TrimSpace(string(b))
		switch {
		case t == "":
			return nil, false
		case isDestroyed(t):
			return nil, true
		case t[0] != '{' && t[0] != '[' && t[0] != '"':
			return nil, false
		}
		y, err := r.Nested([]byte(t))
		if err != nil {
			return nil, false
		}
		x = y
	}
	if x != nil && x.Type() != fastjson.TypeObject && x.Type() != fastjson.TypeArray {
		return nil, false
	}
	return x, false
}

// isType reports whether v's member Type is the number n, as such or as text.
func isType(v *fastjson.Value, n int) bool {
	t := get(v, "Type")
	if t == nil {
		return false
	}
	if t.Type() == fastjson.TypeNumber {
		x, err := t.Int()
		return err == nil && x == n
	}
	b := text(t)
	return len(b) == 1 && int(b[0]-'0') == n
}

// isDestroyed recognizes what PowerShell leaves of nested data when it is
// written without enough depth.
func isDestroyed(t string) bool {
	return strings.HasPrefix(t, "System.Object") || strings.HasPrefix(t, "System.Collections") || strings.HasPrefix(t, "@{")
}
