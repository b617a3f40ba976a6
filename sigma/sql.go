package sigma

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Schema says where the fields of records are in a table. The SQL is that which
// DuckDB and ClickHouse share, with DuckDB's spelling: text in ', doubled
// inside, and no escapes; of functions lower, length, substr, replace, concat,
// coalesce, starts_with, strpos, regexp_matches (RE2), floor, epoch_us, count and max.
type Schema interface {
	// Source returns the condition for a row to be a record of a log source.
	Source(LogSource) (string, error)
	// Field returns what the name of a field means in records of a log source.
	// The empty name is the whole record, for keywords. An error says that the
	// log source has no such field.
	Field(ls LogSource, name string) (Field, error)
}

// Field is where the values of a field are. A test of the field holds when it
// holds for one of the values.
type Field struct {
	Values []Value
	// Present is the condition for the record to have the field, be it null.
	// Where it is empty, a record has the field when it has a value.
	Present string
}

// Value is where one value of a field is.
type Value struct {
	// Text is an expression for the value as it is, NULL where there is none.
	// Where it is empty, tests that need the letters as they are (re, cased) are
	// refused.
	Text string
	// Folded, if it is not empty, is an expression for the value in lower case
	// or in another form in which texts are compared; it should be cheap.
	Folded string
	// Fold brings a literal of a rule into the form of Folded. start and end
	// tell whether the literal is the first or last of its pattern. Nil maps to
	// lower case.
	Fold func(literal string, start, end bool) string
}

// any returns whichever expression is there.
func (v Value) any() string {
	if v.Text != "" {
		return v.Text
	}
	return v.Folded
}

// maxSQL bounds the SQL of one rule.
const maxSQL = 1 << 20

// Where returns the condition for a row to be found by a rule, and the condition
// for it to be of the rule's log source, which is to hold besides. It finds what
// [Rule.Match] finds. Either may be NULL for rows that are not found.
func Where(r *Rule, s Schema) (source, condition string, err error) {
	at := place{file: r.File, line: r.Line, path: "logsource"}
	if source, err = s.Source(r.LogSource); err != nil {
		return "", "", at.refuse("%v", err)
	}
	c := &compiler{schema: s, ls: r.LogSource}
	if condition, err = c.expr(r.expr); err != nil {
		return "", "", err
	}
	if len(condition) > maxSQL {
		return "", "", at.refuse("the rule comes to more than %d bytes of SQL", maxSQL)
	}
	return source, condition, nil
}

// Pin returns a condition that every record which a rule finds satisfies, and
// that reads one column only: cheap to ask before anything else. It is empty
// where the rule does not imply one.
func Pin(r *Rule, s Schema, column string) string {
	c := &compiler{schema: s, ls: r.LogSource}
	return c.pin(r.expr, column)
}

func (c *compiler) pin(e expr, column string) string {
	switch x := e.(type) {
	case conj:
		for _, e := range x {
			if p := c.pin(e, column); p != "" {
				return p
			}
		}
	case disj:
		var out []string
		for _, e := range x {
			p := c.pin(e, column)
			if p == "" {
				return ""
			}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
		if out != nil {
			return join(out, " OR ")
		}
	case *test:
		if x.kind != isPattern && x.kind != isRegexp {
			return ""
		}
		f, err := c.field(x.field, x.at)
		if err != nil || slices.ContainsFunc(f.Values, func(v Value) bool { return v.Text != column }) {
			return ""
		}
		if sql, err := c.test(x); err == nil {
			return sql
		}
	}
	return ""
}

// Select returns one question for many rules of one log source (of log sources
// that the schema takes for the same). Its rows are the records that at least
// one rule finds: id as text, time, and hits, the indices of the rules with a
// space before each. Further columns are expressions with their names, such as
// "lower(actor) AS who". The table is scanned once.
func Select(rules []*Rule, s Schema, columns ...string) (string, error) {
	return SelectPinned(rules, s, "", columns...)
}

// SelectPinned is [Select] of rules that all have a [Pin] on a column: the pins
// are asked first, by themselves, so that an engine can pass over the other
// columns of most rows.
func SelectPinned(rules []*Rule, s Schema, pin string, columns ...string) (string, error) {
	if len(rules) == 0 {
		return "", fmt.Errorf("sigma: no rules to ask")
	}
	var from string
	var any, hits, pins []string
	for i, r := range rules {
		source, cond, err := Where(r, s)
		if err != nil {
			return "", err
		}
		if i == 0 {
			from = source
		} else if source != from {
			return "", fmt.Errorf("sigma: %q and %q are not of the same log source", rules[0].Title, r.Title)
		}
		any = append(any, "("+cond+")")
		if pin != "" {
			p := Pin(r, s, pin)
			if p == "" {
				return "", fmt.Errorf("sigma: %q does not imply a condition on %s", r.Title, pin)
			}
			pins = append(pins, "("+p+")")
		}
		hits = append(hits, fmt.Sprintf("CASE WHEN %s THEN ' %d' ELSE '' END", cond, i))
	}
	if pins != nil {
		from = "(" + from + ") AND (" + strings.Join(pins, " OR ") + ")"
	}
	return fmt.Sprintf("SELECT CAST(id AS VARCHAR) AS id, time, concat('', %s) AS hits%s\nFROM events\nWHERE (%s) AND (%s)",
		strings.Join(hits, ",\n  "), comma(columns), from, strings.Join(any, "\n  OR ")), nil
}

// compiler writes the SQL of one rule.
type compiler struct {
	schema Schema
	ls     LogSource
}

func (c *compiler) field(name string, at place) (Field, error) {
	f, err := c.schema.Field(c.ls, name)
	if err != nil {
		return f, at.refuse("%v", err)
	}
	if len(f.Values) == 0 {
		return f, at.refuse("the schema has no value for %s", name)
	}
	return f, nil
}

func (c *compiler) expr(e expr) (string, error) {
	switch x := e.(type) {
	case conj:
		return c.join(x, " AND ")
	case disj:
		return c.disj(x)
	case neg:
		s, err := c.expr(x.of)
		// A comparison with NULL is NULL, and so is its negation; in a rule the one
		// is false and the other true. Nothing else needs the distinction.
		return "NOT (CASE WHEN " + s + " THEN TRUE ELSE FALSE END)", err
	}
	return c.test(e.(*test))
}

func (c *compiler) join(es []expr, with string) (string, error) {
	out := make([]string, 0, len(es))
	for _, e := range es {
		s, err := c.expr(e)
		if err != nil {
			return "", err
		}
		out = append(out, s)
	}
	return join(out, with), nil
}

func join(ss []string, with string) string {
	if len(ss) == 1 {
		return ss[0]
	}
	return "(" + strings.Join(ss, with) + ")"
}

// disj writes equalities of one expression with many texts as one IN.
func (c *compiler) disj(es disj) (string, error) {
	var out []string
	in := map[string]int{} // expression → place in out
	texts := map[string][]string{}
	for _, e := range es {
		if t, ok := e.(*test); ok && t.kind == isPattern {
			if _, plain := plainText(t.pattern); plain {
				f, err := c.field(t.field, t.at)
				if err != nil {
					return "", err
				}
				for _, v := range f.Values {
					x, p, err := t.operand(v)
					if err != nil {
						return "", err
					}
					s, _ := plainText(p)
					if _, ok := in[x]; !ok {
						in[x] = len(out)
						out = append(out, x)
					}
					if q := quote(s); !slices.Contains(texts[x], q) {
						texts[x] = append(texts[x], q)
					}
				}
				continue
			}
		}
		s, err := c.expr(e)
		if err != nil {
			return "", err
		}
		out = append(out, s)
	}
	for x, i := range in {
		if ts := texts[x]; len(ts) == 1 {
			out[i] = x + " = " + ts[0]
		} else {
			out[i] = x + " IN (" + strings.Join(ts, ", ") + ")"
		}
	}
	return join(out, " OR "), nil
}

// operand returns the expression to compare a pattern with, and the pattern as
// it is compared.
func (t *test) operand(v Value) (string, []part, error) {
	if t.cased {
		if v.Text == "" {
			return "", nil, t.at.refuse("%s is only known without regard to case", t.field)
		}
		return v.Text, t.pattern, nil
	}
	x, by := v.Folded, v.Fold
	if x == "" {
		x, by = "lower("+v.Text+")", nil
	}
	out := make([]part, 0, len(t.pattern))
	last := -1
	for i, p := range t.pattern {
		if p.kind == literal {
			last = i
		}
	}
	first := true
	for i, p := range t.pattern {
		if p.kind == literal {
			if by == nil {
				p.text = fold(p.text)
			} else {
				p.text = by(p.text, first, i == last)
			}
			first = false
		}
		if p.kind != literal || p.text != "" {
			out = append(out, p)
		}
	}
	return x, tidy(out), nil
}

func (c *compiler) test(t *test) (string, error) {
	f, err := c.field(t.field, t.at)
	if err != nil {
		return "", err
	}
	var out []string
	switch t.kind {
	case isPresent:
		s := f.Present
		if s == "" {
			for _, v := range f.Values {
				out = append(out, v.any()+" IS NOT NULL")
			}
			s = join(out, " OR ")
		}
		if !t.want {
			s = "NOT (" + s + ")"
		}
		return s, nil
	case isNull:
		for _, v := range f.Values {
			out = append(out, v.any()+" IS NULL")
		}
		return join(out, " AND "), nil
	}
	for _, v := range f.Values {
		var s string
		switch t.kind {
		case isPattern:
			x, p, err := t.operand(v)
			if err != nil {
				return "", err
			}
			s = likeSQL(x, p)
		case isRegexp:
			if v.Text == "" {
				return "", t.at.refuse("%s is only known without regard to case", t.field)
			}
			s = matches(v.Text, t.regexp.String())
		case isNetwork:
			s = networkSQL(v.any(), t.network)
		case isCompare:
			s = compareSQL(v.any(), t)
		case isField:
			g, err := c.field(t.other, t.at)
			if err != nil {
				return "", err
			}
			var pairs []string
			for _, w := range g.Values {
				switch {
				case !t.cased:
					pairs = append(pairs, "lower("+v.any()+") = lower("+w.any()+")")
				case v.Text == "" || w.Text == "":
					return "", t.at.refuse("%s is only known without regard to case", t.field)
				default:
					pairs = append(pairs, v.Text+" = "+w.Text)
				}
			}
			s = join(pairs, " OR ")
		}
		out = append(out, s)
	}
	return join(out, " OR "), nil
}

// quote writes a text as a literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func matches(x, re string) string { return "regexp_matches(" + x + ", " + quote(re) + ")" }

// likeSQL compares with a pattern. LIKE is the fastest, but its wildcards and
// the backslash, an escape in ClickHouse and not in DuckDB, cannot be written
// in it.
func likeSQL(x string, p []part) string {
	if s, ok := plainText(p); ok {
		return x + " = " + quote(s)
	}
	is := func(kinds ...partKind) bool {
		return slices.EqualFunc(p, kinds, func(p part, k partKind) bool { return p.kind == k })
	}
	switch {
	case is(anything):
		return x + " IS NOT NULL"
	case is(literal, anything):
		return "starts_with(" + x + ", " + quote(p[0].text) + ")"
	}
	var like, re strings.Builder
	safe := true
	for _, q := range p {
		switch q.kind {
		case literal:
			safe = safe && !strings.ContainsAny(q.text, `%_\`)
			like.WriteString(q.text)
			re.WriteString(regexp.QuoteMeta(q.text))
		case anything:
			like.WriteByte('%')
			re.WriteString(".*")
		case oneAny:
			like.WriteByte('_')
			re.WriteByte('.')
		case oneDash:
			safe = false
			re.WriteString("[-/–—―]")
		}
	}
	switch {
	case safe:
		return x + " LIKE " + quote(like.String())
	case is(anything, literal, anything):
		return "strpos(" + x + ", " + quote(p[1].text) + ") > 0"
	}
	return matches(x, "(?s)^"+re.String()+"$")
}

// decimalForm and dateForm are what comparable and datePart take.
const (
	decimalForm = `^-?[0-9]{1,15}([.][0-9]{1,9})?$`
	dateForm    = `^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}`
)

// compareSQL compares numbers. What is cast has the form of one, so that the
// cast cannot fail.
func compareSQL(x string, t *test) string {
	if t.date != "" {
		from, n := datePlace(t.date)
		x = fmt.Sprintf("CASE WHEN %s THEN substr(%s, %d, %d) END", matches(x, dateForm), x, from, n)
	} else {
		x = fmt.Sprintf("CASE WHEN %s THEN %s END", matches(x, decimalForm), x)
	}
	op := map[string]string{"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "eq": "="}[t.op]
	return fmt.Sprintf("CAST(%s AS DOUBLE) %s %s", x, op, t.digits)
}

// networkSQL tells whether a text is an address of a network, with regular
// expressions: there is no function for it in both engines.
func networkSQL(x string, p netip.Prefix) string {
	if p.Addr().Is4() {
		const octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
		a, bits := p.Addr().As4(), p.Bits()
		var re []string
		for i := range 4 {
			switch left := bits - 8*i; {
			case left >= 8:
				re = append(re, fmt.Sprint(a[i]))
			case left <= 0:
				re = append(re, octet)
			default:
				var all []string
				for v := range 1 << (8 - left) {
					all = append(all, fmt.Sprint(int(a[i])+v))
				}
				re = append(re, "("+strings.Join(all, "|")+")")
			}
		}
		return matches(x, "^"+strings.Join(re, "[.]")+"$")
	}
	// The address is written out to eight groups: 0 where it begins or ends with
	// "::", and as many 0 groups in the place of "::" as are missing. Two "::",
	// and one that stands for nothing, are no address.
	x = "lower(" + x + ")"
	y := fmt.Sprintf("concat(CASE WHEN starts_with(%s, '::') THEN '0' ELSE '' END, %s, CASE WHEN %s LIKE '%%::' THEN '0' ELSE '' END)", x, x, x)
	colons := fmt.Sprintf("(length(%s) - length(replace(%s, ':', '')))", y, y)
	out := fmt.Sprintf("CASE WHEN strpos(%s, '::') > 0 THEN replace(%s, '::', concat(':', substr('0:0:0:0:0:0:', 1, greatest(0, 16 - 2 * %s)))) ELSE %s END", y, y, colons, y)
	var re []string
	a, bits := p.Addr().As16(), p.Bits()
	for i := range 8 {
		re = append(re, hexGroup(uint16(a[2*i])<<8|uint16(a[2*i+1]), min(16, max(0, bits-16*i))))
	}
	return "(" + matches(out, "^"+strings.Join(re, ":")+"$") +
		" AND NOT " + matches(x, "::.*::") +
		" AND (strpos(" + x + ", '::') = 0 OR " + colons + " <= 7 OR starts_with(" + x + ", '::') OR " + x + " LIKE '%::'))"
}

// hexGroup is a regular expression for one group of an IPv6 address whose first
// bits are those of v. Leading zeros may be there or not.
func hexGroup(v uint16, bits int) string {
	class := make([]string, 4)
	zero := make([]bool, 4) // the digit may be 0
	for i := range 4 {
		digit, fixed := int(v>>(12-4*i)&15), min(4, max(0, bits-4*i))
		n := 1 << (4 - fixed)
		zero[i] = digit == 0
		switch {
		case n == 1:
			class[i] = fmt.Sprintf("%x", digit)
		case n == 16:
			class[i] = "[0-9a-f]"
		default:
			class[i] = "["
			for d := digit; d < digit+n; d++ {
				class[i] += fmt.Sprintf("%x", d)
			}
			class[i] += "]"
		}
	}
	alts := []string{strings.Join(class, "")}
	for i := 0; i < 3 && zero[i]; i++ {
		alts = append(alts, strings.Join(class[i+1:], ""))
	}
	return "(" + strings.Join(alts, "|") + ")"
}
