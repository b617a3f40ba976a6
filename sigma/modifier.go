package sigma

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// testKind is what a test compares.
type testKind int

const (
	isPattern testKind = iota // text with wildcards
	isRegexp
	isNetwork // address in a network
	isCompare // number, or part of a date
	isNull
	isPresent
	isField // another field's value
)

// test is one comparison of one field with one value.
type test struct {
	at    place
	field string // empty: the whole record
	kind  testKind

	pattern []part
	cased   bool // of isPattern and isField
	regexp  *regexp.Regexp
	network netip.Prefix
	op      string // of isCompare: lt, lte, gt, gte, eq
	number  float64
	digits  string // number as text
	date    string // the part of a date that is compared, or empty
	want    bool   // of isPresent
	other   string // of isField
}

// partKind is what a part of a pattern stands for.
type partKind int

const (
	literal     partKind = iota
	anything             // *
	oneAny               // ?
	oneDash              // any of dashes, from windash
	placeholder          // %name%, until expand puts something in its place
)

// part is a piece of a value.
type part struct {
	kind partKind
	text string // of literal and placeholder
}

// dashes are what windash takes for the same (specification, "String Modifiers").
const dashes = "-/–—―"

// parts cuts a value into pieces (specification, "String Wildcard" and "Escape
// Character"): a backslash escapes the wildcards and itself, and stands for
// itself before anything else.
func parts(s string, placeholders bool) []part {
	var out []part
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			out = append(out, part{literal, lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (strings.IndexByte(`\*?`, s[i+1]) >= 0 || placeholders && s[i+1] == '%'):
			i++
			lit.WriteByte(s[i])
		case c == '*':
			flush()
			out = append(out, part{kind: anything})
		case c == '?':
			flush()
			out = append(out, part{kind: oneAny})
		case c == '%' && placeholders:
			if end := strings.IndexByte(s[i+1:], '%'); end > 0 {
				flush()
				out = append(out, part{placeholder, s[i+1 : i+1+end]})
				i += end + 1
			} else {
				lit.WriteByte(c)
			}
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	return tidy(out)
}

// tidy joins literals that follow each other, and wildcards that mean the same.
func tidy(ps []part) []part {
	var out []part
	for _, p := range ps {
		if n := len(out); n > 0 && p.kind == literal && out[n-1].kind == literal {
			out[n-1].text += p.text
			continue
		} else if n > 0 && p.kind == anything && out[n-1].kind == anything {
			continue
		}
		out = append(out, p)
	}
	return out
}

// value is a value of a rule while its modifiers are applied.
type value struct {
	at     place
	kind   testKind
	plain  bool   // nothing was applied yet
	source string // as written
	alts   [][]part
	num    bool // a number or, with boolean, a boolean of YAML
	bool   bool
	isBool bool
	wide   bool // the text is bytes of UTF-16
	test   test
}

// item reads a field with its modifiers and values (specification, "Value
// Modifiers", and the modifiers appendix).
func (r *reader) item(field string, modifiers []string, nodes []*yaml.Node, at place) (expr, error) {
	for i, m := range modifiers {
		if slices.Contains(modifiers[:i], m) {
			return nil, at.refuse("modifier %s is there twice", m)
		}
	}
	all, negate := slices.Contains(modifiers, "all"), slices.Contains(modifiers, "neq")
	if all && len(nodes) == 1 {
		return nil, at.refuse("modifier all needs several values")
	}
	if all && negate {
		return nil, at.refuse("modifiers all and neq together can be read in two ways")
	}
	var es []expr
	for i, n := range nodes {
		where := at
		if len(nodes) > 1 {
			where = r.at(n, fmt.Sprintf("%s[%d]", at.path, i))
		}
		v, err := r.value(n, slices.Contains(modifiers, "expand"), where)
		if err != nil {
			return nil, err
		}
		for j, m := range modifiers {
			if m == "all" || m == "neq" {
				continue
			}
			if err := v.apply(m, modifiers[:j], r.o); err != nil {
				return nil, err
			}
		}
		e, err := v.expr(field)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	var e expr
	switch {
	case len(es) == 1:
		e = es[0]
	case all:
		e = conj(es)
	default:
		e = disj(es)
	}
	if negate {
		e = neg{e}
	}
	return e, nil
}

// value reads a value as it is written.
func (r *reader) value(n *yaml.Node, placeholders bool, at place) (*value, error) {
	v := &value{at: at, plain: true}
	if n.Kind != yaml.ScalarNode {
		return nil, at.refuse("a value cannot be %s", kindOf(n))
	}
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		v.source = n.Value
		v.alts = [][]part{parts(n.Value, placeholders)}
	case "!!int", "!!float":
		f, text, ok := number(n)
		if !ok {
			return nil, at.refuse("%s is not a number that records could have", n.Value)
		}
		v.num, v.source, v.test.number, v.test.digits = true, text, f, text
		v.alts = [][]part{{{literal, text}}}
	case "!!bool":
		if err := n.Decode(&v.bool); err != nil {
			return nil, at.refuse("%s is not a boolean", n.Value)
		}
		v.isBool, v.source = true, fmt.Sprint(v.bool)
		v.alts = [][]part{{{literal, v.source}}}
	case "!!null":
		v.kind = isNull
	default:
		return nil, at.refuse("a value of the YAML type %s has no meaning in a rule", tag)
	}
	if len(v.source) > maxPattern {
		return nil, at.refuse("the value has more than %d bytes", maxPattern)
	}
	if strings.ContainsRune(v.source, 0) {
		return nil, at.refuse("the value has a NUL character, which no record has")
	}
	return v, nil
}

// expr makes the tests of a value.
func (v *value) expr(field string) (expr, error) {
	if v.wide {
		return nil, v.at.refuse("text in UTF-16 is only looked for in Base64; base64 or base64offset must follow")
	}
	base := v.test
	base.at, base.field, base.kind = v.at, field, v.kind
	if field == "" && v.kind != isPattern && v.kind != isRegexp {
		return nil, v.at.refuse("keywords are texts or regular expressions")
	}
	if v.kind == isPattern && base.date != "" { // hour: 3
		base.kind, base.op = isCompare, "eq"
	}
	if base.kind != isPattern {
		return &base, nil
	}
	var any disj
	for _, p := range v.alts {
		t := base
		t.pattern = p
		if slices.ContainsFunc(p, func(p part) bool { return p.kind == placeholder }) {
			return nil, v.at.refuse("a placeholder was not expanded")
		}
		if field == "" && v.plain {
			t.pattern = tidy(slices.Concat([]part{{kind: anything}}, p, []part{{kind: anything}}))
		}
		any = append(any, &t)
	}
	return simple(any), nil
}

// apply applies one modifier.
func (v *value) apply(m string, before []string, o Options) error {
	refuse := func(format string, args ...any) error {
		return v.at.refuse("modifier "+m+": "+format, args...)
	}
	text := v.kind == isPattern && v.test.date == ""
	switch m {
	case "contains", "startswith", "endswith":
		if !text || v.wide {
			return refuse("it is for texts")
		}
		v.plain = false
		for i, p := range v.alts {
			if m != "startswith" {
				p = slices.Concat([]part{{kind: anything}}, p)
			}
			if m != "endswith" {
				p = slices.Concat(p, []part{{kind: anything}})
			}
			v.alts[i] = tidy(p)
		}
	case "cased":
		if !text && v.kind != isField || v.num || v.isBool {
			return refuse("it is for texts")
		}
		v.test.cased = true
	case "base64", "base64offset", "wide", "utf16le", "utf16be", "utf16":
		if !text || v.num || v.isBool {
			return refuse("it is for texts")
		}
		v.plain = false
		return v.encode(m, refuse)
	case "windash":
		if !text || v.num || v.isBool || v.wide {
			return refuse("it is for texts")
		}
		for i, p := range v.alts {
			v.alts[i] = windash(p)
		}
	case "expand":
		if !text || v.num || v.isBool || len(before) > 0 && !onlyFlags(before) {
			return refuse("it is for texts, and the first modifier")
		}
		return v.expand(o, refuse)
	case "re":
		if !text || v.num || v.isBool || !onlyFlags(before) || v.test.cased {
			return refuse("it is for texts, and the first modifier")
		}
		if v.source == "" {
			return refuse("an empty regular expression finds everything")
		}
		v.kind = isRegexp
		return v.compile("", refuse)
	case "i", "m", "s":
		if v.kind != isRegexp {
			return refuse("it belongs behind re")
		}
		flags := m
		for _, b := range before {
			if b == "i" || b == "m" || b == "s" {
				flags += b
			}
		}
		return v.compile(flags, refuse)
	case "cidr":
		if !text || v.num || v.isBool || !onlyFlags(before) {
			return refuse("it is for texts, and stands alone")
		}
		return v.cidr(refuse)
	case "lt", "lte", "gt", "gte":
		if !v.num || v.kind != isPattern || !v.plain {
			return refuse("it is for numbers")
		}
		if !comparable(v.test.digits) {
			return refuse("%s has more digits than are compared", v.test.digits)
		}
		v.kind, v.test.op = isCompare, m
	case "minute", "hour", "day", "month", "year":
		if !v.num || !text || !v.plain || strings.ContainsAny(v.test.digits, "-.") {
			return refuse("it is for whole numbers")
		}
		v.test.date = m
	case "week":
		return refuse("which week a date is in is told in several ways, and the specification does not say which is meant")
	case "exists":
		if !v.isBool || !onlyFlags(before) {
			return refuse("its value is true or false, and it stands alone")
		}
		v.kind, v.test.want = isPresent, v.bool
	case "fieldref":
		if !text || v.num || v.isBool || !onlyFlags(before) {
			return refuse("it is for names of fields, and the first modifier")
		}
		s, ok := plainText(v.alts[0])
		if !ok || s == "" {
			return refuse("a name of a field has no wildcards")
		}
		v.kind, v.test.other = isField, s
	default:
		return v.at.refuse("modifier %s is not known", m)
	}
	return nil
}

// onlyFlags reports whether modifiers leave values as they are.
func onlyFlags(before []string) bool {
	return !slices.ContainsFunc(before, func(m string) bool { return m != "all" && m != "neq" && m != "cased" })
}

// plainText is the text of a pattern without wildcards.
func plainText(p []part) (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].kind == literal:
		return p[0].text, true
	}
	return "", false
}

// maxAlternatives bounds what one value may expand to.
const maxAlternatives = 1000

func windash(p []part) []part {
	var out []part
	for _, q := range p {
		if q.kind != literal {
			out = append(out, q)
			continue
		}
		for s := q.text; s != ""; {
			i := strings.IndexAny(s, dashes)
			if i < 0 {
				out = append(out, part{literal, s})
				break
			}
			if i > 0 {
				out = append(out, part{literal, s[:i]})
			}
			out = append(out, part{kind: oneDash})
			_, size := utf8.DecodeRuneInString(s[i:])
			s = s[i+size:]
		}
	}
	return tidy(out)
}

// spellings writes out the texts that a pattern with dashes stands for.
func spellings(p []part) ([]string, bool) {
	out := []string{""}
	for _, q := range p {
		switch q.kind {
		case literal:
			for i := range out {
				out[i] += q.text
			}
		case oneDash:
			if len(out)*5 > maxAlternatives {
				return nil, false
			}
			var more []string
			for _, s := range out {
				for _, d := range dashes {
					more = append(more, s+string(d))
				}
			}
			out = more
		default:
			return nil, false
		}
	}
	return out, true
}

// encode writes texts in another encoding (modifiers appendix, "Encoding").
func (v *value) encode(m string, refuse func(string, ...any) error) error {
	var out [][]part
	for _, p := range v.alts {
		ss, ok := spellings(p)
		if !ok {
			return refuse("a text with wildcards cannot be encoded; put contains, startswith and endswith behind it")
		}
		for _, s := range ss {
			for _, e := range encodings(m, s) {
				out = append(out, tidy([]part{{literal, e}}))
			}
		}
	}
	if len(out) > maxAlternatives {
		return refuse("the value stands for more than %d texts", maxAlternatives)
	}
	v.alts = out
	v.wide = m != "base64" && m != "base64offset"
	return nil
}

func encodings(m, s string) []string {
	switch m {
	case "base64":
		return []string{base64.StdEncoding.EncodeToString([]byte(s))}
	case "base64offset":
		// The characters at the ends depend on the bytes before and behind, and are cut off.
		var out []string
		for offset := range 3 {
			enc := base64.StdEncoding.EncodeToString(append(make([]byte, offset), s...))
			start := []int{0, 2, 3}[offset]
			end := len(enc) - []int{0, 3, 2}[(offset+len(s))%3]
			if start < end {
				out = append(out, enc[start:end])
			}
		}
		return out
	}
	var b []byte
	if m == "utf16" {
		b = append(b, 0xff, 0xfe)
	}
	for _, u := range utf16.Encode([]rune(s)) {
		if m == "utf16be" {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return []string{string(b)}
}

// expand puts values in the place of placeholders.
func (v *value) expand(o Options, refuse func(string, ...any) error) error {
	alts := [][]part{nil}
	for _, p := range v.alts[0] {
		put := [][]part{{p}}
		if p.kind == placeholder {
			values, ok := o.Placeholders[p.text]
			if !ok || len(values) == 0 {
				return refuse("the placeholder %%%s%% has no value here", p.text)
			}
			put = nil
			for _, s := range values {
				put = append(put, parts(s, false))
			}
		}
		var more [][]part
		for _, a := range alts {
			for _, b := range put {
				more = append(more, slices.Concat(a, b))
			}
		}
		if alts = more; len(alts) > maxAlternatives {
			return refuse("the value stands for more than %d texts", maxAlternatives)
		}
	}
	for i := range alts {
		alts[i] = tidy(alts[i])
	}
	v.alts = alts
	return nil
}

// compile makes the regular expression. Its dot does not match a line break
// unless s says so; this is written out because engines differ.
func (v *value) compile(flags string, refuse func(string, ...any) error) error {
	on, off := "", "s"
	for _, f := range "ims" {
		if strings.ContainsRune(flags, f) {
			on += string(f)
		}
	}
	if strings.Contains(on, "s") {
		off = ""
	}
	prefix := "(?" + on
	if off != "" {
		prefix += "-" + off
	}
	if _, err := syntax.Parse(v.source, syntax.Perl); err != nil {
		return refuse("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if strings.Contains(v.source, "(?<") || strings.Contains(v.source, "(?P<") {
		return refuse("groups with names are not in the specification's flavour")
	}
	re, err := regexp.Compile(prefix + ")" + v.source)
	if err != nil {
		return refuse("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	v.test.regexp = re
	return nil
}

// cidr reads a network; an address stands for itself.
func (v *value) cidr(refuse func(string, ...any) error) error {
	p, err := netip.ParsePrefix(v.source)
	if err != nil {
		a, err := netip.ParseAddr(v.source)
		if err != nil || a.Zone() != "" {
			return refuse("%q is not a network such as 10.0.0.0/8 or 2001:db8::/32", v.source)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Masked() != p {
		return refuse("%s has bits behind its length; %s is meant?", v.source, p.Masked())
	}
	if p.Addr().Is4In6() {
		return refuse("%s is an IPv4 network in IPv6; write the IPv4 network", v.source)
	}
	v.kind, v.test.network = isNetwork, p
	return nil
}
