package sigma

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file says what correlations find, in memory and in SQL.
//
// The specification leaves open where windows of time begin. Here they end at
// events: an event that the rules find is a hit when the window that ends with
// it satisfies the condition. Any events that fit into the timespan lie in the
// window that ends with the last of them, so that nothing that a window placed
// elsewhere would find is missed, as it is with windows that begin on the hour
// (specification, "Compatibility"). With lt, lte, eq and neq, windows in which
// there is nothing are not looked at.
//
// Counts are taken over whole seconds: of an event in the second s, those from
// s − timespan to s, both included; ClickHouse's windows do not reach further
// than 32 bits. temporal and temporal_ordered are exact to the microsecond, and
// two events that are timespan apart are within it. Events at the same time are
// in either order, since most logs have whole seconds; one event may stand for
// several rules.
//
// An event without one of the group-by fields belongs to no group. Values of
// groups and values that are counted are compared without regard to case; of a
// field with several values the first counts. value_count leaves out events
// that lack one of the fields. event_count and value_count count an event once
// when several rules find it; the first of them says what aliases mean.
//
// The hits of a correlation that another refers to are its events: each has the
// time of the event with which its window ends.

// Event is a record for [Correlation.Find].
type Event struct {
	ID     string
	Time   time.Time
	Record Record
	// In tells whether the record is of a log source. Nil: of all.
	In func(LogSource) bool
}

// Hit is an event with which a window ends that satisfies a correlation.
type Hit struct {
	ID    string
	Time  time.Time
	Count int64    // of events, values, or rules
	Group []string // values of group-by, in lower case
}

// row is an event that a rule or an inner correlation found.
type row struct {
	rule  int
	id    string
	t     int64 // microseconds
	group []string
	value string
}

func (r row) key() string { return strings.Join(r.group, "\x00") }

// Find returns the hits of a linked correlation among events, ordered by time.
// It is what the correlation means, not a fast way to find it: [Query] finds the
// same.
func (c *Correlation) Find(events []Event) []Hit {
	rows := c.rows(events)
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.t, b.t) })
	span := c.Timespan.Microseconds()
	var hits []Hit
	seen := map[string]bool{}
	for _, e := range rows {
		var n int64
		switch c.Type {
		case "event_count", "value_count":
			values := map[string]bool{}
			for _, o := range rows {
				if s, t := floor(o.t), floor(e.t); o.key() == e.key() && s <= t && t-s <= span/1e6 {
					n++
					values[o.value] = true
				}
			}
			if c.Type == "value_count" {
				n = int64(len(values))
			}
		case "temporal":
			for i := range c.refs {
				if slices.ContainsFunc(rows, func(o row) bool {
					return o.rule == i && o.key() == e.key() && o.t <= e.t && e.t-o.t <= span
				}) {
					n++
				}
			}
		case "temporal_ordered":
			if e.rule == len(c.refs)-1 && chained(rows, e, e.rule, span) {
				n = int64(len(c.refs))
			}
		}
		if slices.ContainsFunc(c.Bounds, func(b Bound) bool { return !b.holds(n) }) {
			continue
		}
		if k := fmt.Sprint(e.id, "\x00", e.key()); c.Type == "event_count" || c.Type == "value_count" || !seen[k] {
			seen[k] = true
			hits = append(hits, Hit{e.id, time.UnixMicro(e.t).UTC(), n, e.group})
		}
	}
	return hits
}

// chained reports whether events of the rules before i precede e, in order and
// within what is left of the timespan.
func chained(rows []row, e row, i int, left int64) bool {
	if i == 0 {
		return true
	}
	return slices.ContainsFunc(rows, func(o row) bool {
		return o.rule == i-1 && o.key() == e.key() && o.t <= e.t && e.t-o.t <= left && chained(rows, o, i-1, left-(e.t-o.t))
	})
}

func floor(us int64) int64 {
	s := us / 1e6
	if us%1e6 < 0 {
		s--
	}
	return s
}

// rows are the events of the correlation.
func (c *Correlation) rows(events []Event) []row {
	once := c.Type == "event_count" || c.Type == "value_count"
	var out []row
	for i, ref := range c.refs {
		if inner, ok := ref.(*Correlation); ok {
			for _, h := range inner.Find(events) {
				r := row{rule: i, id: h.ID, t: h.Time.UnixMicro()}
				get := func(g string) string { return h.Group[slices.Index(inner.GroupBy, c.field(g, i))] }
				for _, g := range c.GroupBy {
					r.group = append(r.group, get(g))
				}
				for _, f := range c.Values {
					v := get(f)
					r.value += fmt.Sprint(len(v), ":", v)
				}
				out = append(out, r)
			}
		}
	}
	for _, e := range events {
		for i, ref := range c.refs {
			rule, ok := ref.(*Rule)
			if !ok || e.In != nil && !e.In(rule.LogSource) || !rule.Match(e.Record) {
				continue
			}
			r := row{rule: i, id: e.ID, t: e.Time.UnixMicro()}
			whole := true
			for _, g := range c.GroupBy {
				v, ok := first(e.Record, c.field(g, i))
				whole = whole && ok
				r.group = append(r.group, v)
			}
			for _, f := range c.Values {
				v, ok := first(e.Record, c.field(f, i))
				whole = whole && ok
				r.value += fmt.Sprint(len(v), ":", v)
			}
			if whole {
				out = append(out, r)
			}
			if once {
				break
			}
		}
	}
	return out
}

// first is the first value of a field, folded.
func first(rec Record, field string) (string, bool) {
	values, present := rec(field)
	if !present {
		return "", false
	}
	for _, v := range values {
		if s, ok := text(v); ok {
			return fold(s), true
		}
	}
	return "", false
}

// Query returns the question that finds a linked correlation's hits, one row
// each: id as text and time of the event with which the window ends, n, what
// was counted, and g0, g1, … , the values of group-by in lower case. See
// [Correlation.Find]. A burst of events has many hits, one for each window.
func Query(c *Correlation, s Schema) (string, error) {
	if c.refs == nil {
		return "", c.at.refuse("the correlation is not linked")
	}
	q := &correlator{c: c, s: s}
	out, err := q.query()
	if err == nil && len(out) > maxSQL {
		err = c.at.refuse("the correlation comes to more than %d bytes of SQL", maxSQL)
	}
	return out, err
}

type correlator struct {
	c *Correlation
	s Schema
}

func (q *correlator) groups() []string {
	var gs []string
	for i := range q.c.GroupBy {
		gs = append(gs, fmt.Sprintf("g%d", i))
	}
	return gs
}

// comma lists names with a comma before each.
func comma(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", " + strings.Join(names, ", ")
}

func (q *correlator) partition() string {
	if gs := q.groups(); len(gs) > 0 {
		return "PARTITION BY " + strings.Join(gs, ", ") + " "
	}
	return ""
}

// having is the condition on n.
func (q *correlator) having() string {
	var out []string
	for _, b := range q.c.Bounds {
		op := map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "<>"}[b.Op]
		out = append(out, fmt.Sprintf("n %s %d", op, b.Value))
	}
	return strings.Join(out, " AND ")
}

func (q *correlator) query() (string, error) {
	g := comma(q.groups())
	switch q.c.Type {
	case "event_count", "value_count":
		rows, err := q.counted()
		if err != nil {
			return "", err
		}
		count := "count(*)"
		if q.c.Type == "value_count" {
			count = "count(DISTINCT v)"
		}
		over := fmt.Sprintf("%sORDER BY s RANGE BETWEEN %d PRECEDING AND CURRENT ROW", q.partition(), int64(q.c.Timespan/time.Second))
		return fmt.Sprintf("SELECT id, time, n%s\nFROM (SELECT id, time%s, %s OVER (%s) AS n FROM (\n%s\n) AS r) AS w\nWHERE %s", g, g, count, over, rows, q.having()), nil
	}
	rows, err := q.each()
	if err != nil {
		return "", err
	}
	over := fmt.Sprintf("OVER (%sORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", q.partition())
	span := q.c.Timespan.Microseconds()
	if q.c.Type == "temporal" {
		// The last time of each rule up to the event, and how many are recent enough.
		var last, recent []string
		for i := range q.c.refs {
			last = append(last, fmt.Sprintf("max(CASE WHEN rule = %d THEN t END) %s AS l%d", i, over, i))
			recent = append(recent, fmt.Sprintf("CASE WHEN t - l%d <= %d THEN 1 ELSE 0 END", i, span))
		}
		return fmt.Sprintf("SELECT DISTINCT id, time, n%s\nFROM (SELECT id, time%s, %s AS n FROM (SELECT id, time, t%s%s FROM (\n%s\n) AS r) AS l) AS w\nWHERE %s",
			g, g, strings.Join(recent, " + "), g, comma(last), rows, q.having()), nil
	}
	// Of each event of the i-th rule, b: the latest begin of a chain that ends there.
	from := fmt.Sprintf("SELECT rule, id, time, t%s, CASE WHEN rule = 0 THEN t END AS b0 FROM (\n%s\n) AS r", g, rows)
	for i := 1; i < len(q.c.refs); i++ {
		from = fmt.Sprintf("SELECT rule, id, time, t%s, CASE WHEN rule = %d THEN max(b%d) %s END AS b%d FROM (%s) AS c%d", g, i, i-1, over, i, from, i)
	}
	last := len(q.c.refs) - 1
	return fmt.Sprintf("SELECT id, time, %d AS n%s\nFROM (%s) AS w\nWHERE rule = %d AND t - b%d <= %d", last+1, g, from, last, last, span), nil
}

// named is an expression for the first value of each of the fields, folded.
func (q *correlator) named(ls LogSource, name string, i int) (string, error) {
	f, err := (&compiler{schema: q.s, ls: ls}).field(q.c.field(name, i), q.c.at)
	if err != nil {
		return "", err
	}
	var out []string
	for _, v := range f.Values {
		if v.Folded != "" {
			out = append(out, v.Folded)
		} else {
			out = append(out, "lower("+v.Text+")")
		}
	}
	if len(out) == 1 {
		return out[0], nil
	}
	return "coalesce(" + strings.Join(out, ", ") + ")", nil
}

// notNull is the condition for rows to belong to a group and to have a value.
func (q *correlator) notNull() string {
	cols := q.groups()
	if len(q.c.Values) > 0 {
		cols = append(cols, "v")
	}
	out := []string{"time IS NOT NULL"}
	for _, c := range cols {
		out = append(out, c+" IS NOT NULL")
	}
	return strings.Join(out, " AND ")
}

// columns are the group-by fields and the counted value for the i-th rule.
func (q *correlator) columns(i int) ([]string, error) {
	get := func(name string) (string, error) {
		if inner, ok := q.c.refs[i].(*Correlation); ok {
			return fmt.Sprintf("g%d", slices.Index(inner.GroupBy, q.c.field(name, i))), nil
		}
		return q.named(q.c.refs[i].(*Rule).LogSource, name, i)
	}
	var out []string
	for _, g := range q.c.GroupBy {
		e, err := get(g)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	var parts []string
	for _, f := range q.c.Values {
		e, err := get(f)
		if err != nil {
			return nil, err
		}
		// With its length before it, so that ab and c is not a and bc. || is NULL
		// where one of them is.
		parts = append(parts, "CAST(length("+e+") AS VARCHAR) || ':' || "+e)
	}
	if parts != nil {
		out = append(out, strings.Join(parts, " || "))
	}
	return out, nil
}

// names are the names of columns.
func (q *correlator) names() []string {
	names := q.groups()
	if len(q.c.Values) > 0 {
		names = append(names, "v")
	}
	return names
}

func as(exprs, names []string) []string {
	var out []string
	for i, e := range exprs {
		out = append(out, e+" AS "+names[i])
	}
	return out
}

// inner is the rows of an inner correlation.
func (q *correlator) inner(i int, extra string) (string, error) {
	from, err := (&correlator{c: q.c.refs[i].(*Correlation), s: q.s}).query()
	if err != nil {
		return "", err
	}
	cols, err := q.columns(i)
	return fmt.Sprintf("SELECT %sid, time%s FROM (\n%s\n) AS i%d", extra, comma(as(cols, q.names())), from, i), err
}

// counted is the events to count, each once: s is its second.
func (q *correlator) counted() (string, error) {
	var union, where []string
	cases := make([]string, len(q.names()))
	for i, ref := range q.c.refs {
		rule, ok := ref.(*Rule)
		if !ok {
			s, err := q.inner(i, "")
			if err != nil {
				return "", err
			}
			union = append(union, s)
			continue
		}
		source, cond, err := Where(rule, q.s)
		if err != nil {
			return "", err
		}
		both := "(" + source + ") AND (" + cond + ")"
		where = append(where, "("+both+")")
		cols, err := q.columns(i)
		if err != nil {
			return "", err
		}
		for j, e := range cols {
			cases[j] += " WHEN " + both + " THEN " + e
		}
	}
	if where != nil {
		for i, c := range cases {
			cases[i] = "CASE" + c + " END"
		}
		union = append(union, fmt.Sprintf("SELECT CAST(id AS VARCHAR) AS id, time%s FROM events WHERE %s", comma(as(cases, q.names())), strings.Join(where, " OR ")))
	}
	return fmt.Sprintf("SELECT id, time%s, CAST(floor(epoch_us(time) / 1000000) AS BIGINT) AS s FROM (\n%s\n) AS u WHERE %s", comma(q.names()), strings.Join(union, "\nUNION ALL\n"), q.notNull()), nil
}

// each is the events of each rule: t is its time in microseconds.
func (q *correlator) each() (string, error) {
	var union []string
	for i, ref := range q.c.refs {
		rule, ok := ref.(*Rule)
		if !ok {
			s, err := q.inner(i, fmt.Sprintf("%d AS rule, ", i))
			if err != nil {
				return "", err
			}
			union = append(union, s)
			continue
		}
		source, cond, err := Where(rule, q.s)
		if err != nil {
			return "", err
		}
		cols, err := q.columns(i)
		if err != nil {
			return "", err
		}
		union = append(union, fmt.Sprintf("SELECT %d AS rule, CAST(id AS VARCHAR) AS id, time%s FROM events WHERE (%s) AND (%s)", i, comma(as(cols, q.names())), source, cond))
	}
	return fmt.Sprintf("SELECT rule, id, time%s, epoch_us(time) AS t FROM (\n%s\n) AS u WHERE %s", comma(q.names()), strings.Join(union, "\nUNION ALL\n"), q.notNull()), nil
}
