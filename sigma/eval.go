package sigma

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Record returns the values of a field of a record, and whether the record has
// the field. Values are strings, booleans, numbers or nil; a field that is a
// list has several. The empty name is asked for the whole record as text, in
// which keywords are looked for.
type Record func(field string) (values []any, present bool)

// Match reports whether a record of the rule's log source is found by the rule.
// It is what the rule means: the SQL of [Where] finds the same.
func (r *Rule) Match(rec Record) bool { return r.expr.match(rec) }

func (c conj) match(rec Record) bool {
	for _, e := range c {
		if !e.match(rec) {
			return false
		}
	}
	return true
}

func (d disj) match(rec Record) bool {
	for _, e := range d {
		if e.match(rec) {
			return true
		}
	}
	return false
}

func (n neg) match(rec Record) bool { return !n.of.match(rec) }

func (t *test) match(rec Record) bool {
	values, present := rec(t.field)
	if t.kind == isPresent {
		return present == t.want
	}
	if !present {
		values = nil
	}
	if t.kind == isNull {
		return !slices.ContainsFunc(values, func(v any) bool { return v != nil })
	}
	for _, v := range values {
		if s, ok := text(v); ok && t.holds(s, rec) {
			return true
		}
	}
	return false
}

// holds compares one value.
func (t *test) holds(s string, rec Record) bool {
	switch t.kind {
	case isPattern:
		if t.cased {
			return like(t.pattern, s, func(s string) string { return s })
		}
		return like(t.pattern, fold(s), fold)
	case isRegexp:
		return t.regexp.MatchString(s)
	case isNetwork:
		return inNetwork(t.network, s)
	case isCompare:
		if t.date != "" {
			var ok bool
			if s, ok = datePart(t.date, s); !ok {
				return false
			}
		}
		if !comparable(s) {
			return false
		}
		f, err := strconv.ParseFloat(s, 64)
		return err == nil && compare(t.op, f, t.number)
	}
	others, present := rec(t.other)
	if !present {
		return false
	}
	for _, o := range others {
		if o, ok := text(o); ok && (o == s || !t.cased && fold(o) == fold(s)) {
			return true
		}
	}
	return false
}

func compare(op string, a, b float64) bool {
	switch op {
	case "lt":
		return a < b
	case "lte":
		return a <= b
	case "gt":
		return a > b
	case "gte":
		return a >= b
	}
	return a == b
}

// text is a value as text; nil has none.
func text(v any) (string, bool) {
	switch x := v.(type) {
	case nil:
		return "", false
	case string:
		return x, true
	case bool:
		return strconv.FormatBool(x), true
	case json.Number:
		return x.String(), true
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), true
	case float32:
		return strconv.FormatFloat(float64(x), 'f', -1, 32), true
	}
	return fmt.Sprint(v), true
}

// fold maps to lower case, each character by itself: 'İ' becomes 'i', as in
// DuckDB and Go's strings.ToLower.
func fold(s string) string { return strings.Map(unicode.ToLower, s) }

// like reports whether a text is as a pattern says. Literals are folded by the
// caller's function, the text is already.
func like(p []part, s string, fold func(string) string) bool {
	// Wildcard matching with one point to come back to: the last *.
	rs := []rune(s)
	type one struct {
		kind partKind
		r    rune
	}
	var ps []one
	for _, q := range p {
		if q.kind == literal {
			for _, r := range fold(q.text) {
				ps = append(ps, one{literal, r})
			}
		} else {
			ps = append(ps, one{q.kind, 0})
		}
	}
	i, j, star, back := 0, 0, -1, 0
	for i < len(rs) {
		switch {
		case j < len(ps) && ps[j].kind == anything:
			star, back = j, i
			j++
		case j < len(ps) && (ps[j].kind == oneAny || ps[j].kind == oneDash && strings.ContainsRune(dashes, rs[i]) || ps[j].kind == literal && ps[j].r == rs[i]):
			i++
			j++
		case star >= 0:
			back++
			i, j = back, star+1
		default:
			return false
		}
	}
	for j < len(ps) && ps[j].kind == anything {
		j++
	}
	return j == len(ps)
}

// inNetwork reports whether a text is an address of a network. An address with
// a zone, and an IPv4 address written in IPv6, are in none.
func inNetwork(p netip.Prefix, s string) bool {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is6() && strings.Contains(s, ".") {
		return false
	}
	return p.Contains(a)
}

// comparable reports whether a text is a number that is compared: a double
// holds 15 digits.
func comparable(s string) bool {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return digits(whole, 15) && (!point || digits(fraction, 9))
}

func digits(s string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, "0123456789") == ""
}

// datePlace says where in a date of that form a part stands: first character,
// from 1, and length.
func datePlace(part string) (from, length int) {
	switch part {
	case "year":
		return 1, 4
	case "month":
		return 6, 2
	case "day":
		return 9, 2
	case "hour":
		return 12, 2
	}
	return 15, 2
}

// datePart returns the digits of a part of a date in ISO 8601, with a space or T
// between date and time. Nothing is converted (modifiers appendix, "Time
// Modifiers").
func datePart(part, s string) (string, bool) {
	const form = "dddd-dd-ddTdd:dd"
	if len(s) < len(form) {
		return "", false
	}
	for i := range form {
		c := s[i]
		switch {
		case form[i] == 'd' && '0' <= c && c <= '9', form[i] == c, form[i] == 'T' && c == ' ':
		default:
			return "", false
		}
	}
	from, n := datePlace(part)
	return s[from-1 : from-1+n], true
}
