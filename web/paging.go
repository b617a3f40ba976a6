package web

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"midwatch/store"
)

// Paging deep into a long list. Engines are quick to find the first rows of an
// order, with all their columns, and slow to find those after very many: they
// sort everything, with all columns, to throw most of it away; and they compare
// every one of a million rows that are alike in what they are sorted by. So a page
// of a long list is found by the values of its key, of which only the key is read,
// and then by what orders the rows of one value. Rows and their order are the same
// as LIMIT and OFFSET would give.

// narrowed is the rows of a list that its filters leave.
type narrowed struct {
	from, where string
	args        []any // of from, then of where
}

// sql is what stands after FROM, with a further condition.
func (n narrowed) sql(more string) string {
	parts := slices.DeleteFunc([]string{n.where, more}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return n.from
	}
	return n.from + " WHERE " + strings.Join(parts, " AND ")
}

// split narrows a list by filters of which one of several columns has to hold.
// Engines look for a value of one column in its statistics, and for one of
// several columns in every row. So it is asked first which of the columns have
// the value at all; where several do, the list is made of the rows of each.
func (l *list) split(ctx context.Context, db store.Querier, q url.Values) (narrowed, error) {
	c := *l
	c.Filters = slices.Clone(l.Filters)
	from := narrowed{from: l.From}
	for i, f := range c.Filters {
		value := strings.TrimSpace(q.Get(f.Key))
		if f.Kind != "exact" || len(f.Any) < 2 || value == "" {
			continue
		}
		if l.RowID && from.args == nil && from.from == l.From {
			ids, err := l.numbers(ctx, db, f.Any, value)
			if err != nil {
				return narrowed{}, err
			}
			if len(ids) <= mostNumbers {
				from.from = numbered(l.From, ids)
				c.Filters[i].Kind = "done"
				continue
			}
		}
		var have []string
		for _, col := range f.Any {
			var n int64
			if err := one(ctx, db, &n, "SELECT count(*) FROM (SELECT 1 FROM "+l.From+" WHERE "+col+" = ? LIMIT 1) x", value); err != nil {
				return narrowed{}, err
			}
			if n > 0 {
				have = append(have, col)
			}
		}
		switch {
		case len(have) == 0: // any of them: nothing is found
			c.Filters[i].Any, c.Filters[i].SQL = nil, f.Any[0]
		case len(have) == 1:
			c.Filters[i].Any, c.Filters[i].SQL = nil, have[0]
		case from.from != l.From: // one list is made of parts; the others are conditions
			c.Filters[i].Any = have
		default:
			c.Filters = slices.Clone(c.Filters)
			var parts []string
			for j, col := range have {
				part := "SELECT * FROM " + l.From + " WHERE " + col + " = ?"
				from.args = append(from.args, value)
				for _, before := range have[:j] { // a row that is in a part already
					part += " AND (" + before + " <> ? OR " + before + " IS NULL)"
					from.args = append(from.args, value)
				}
				parts = append(parts, part)
			}
			from.from = "(" + strings.Join(parts, " UNION ALL ") + ") parts"
			c.Filters[i].Kind, c.Filters[i].SQL = "done", ""
		}
	}
	c.Filters = slices.DeleteFunc(c.Filters, func(f filter) bool { return f.Kind == "done" })
	where, args, _, _, err := c.condition(q)
	return narrowed{from.from, where, append(from.args, args...)}, err
}

// mostNumbers is how many rows are asked for by their numbers.
const mostNumbers = 2000

// numbers are the rows that have a value in one of some columns, in order; more
// than [mostNumbers] when there are so many.
func (l *list) numbers(ctx context.Context, db store.Querier, columns []string, value string) (out []int64, err error) {
	for _, col := range columns {
		err := store.Each(ctx, db, fmt.Sprintf("SELECT rowid FROM %s WHERE %s = ? LIMIT %d", l.From, col, mostNumbers+1), []any{value}, func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			out = append(out, id)
			return err
		})
		if err != nil || len(out) > mostNumbers {
			return out, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// numbered are rows by their numbers. Engines pass over what lies between two
// bounds, not between the members of a list: so there is a list for each of the
// places where they lie.
func numbered(table string, ids []int64) string {
	const places, near = 12, 50_000
	if len(ids) == 0 {
		return "(SELECT * FROM " + table + " WHERE false) parts"
	}
	var gaps []int // before which a place begins
	for i := 1; i < len(ids); i++ {
		if ids[i]-ids[i-1] > near {
			gaps = append(gaps, i)
		}
	}
	slices.SortFunc(gaps, func(a, b int) int { return cmp.Compare(ids[b]-ids[b-1], ids[a]-ids[a-1]) })
	gaps = gaps[:min(len(gaps), places-1)]
	slices.Sort(gaps)
	var parts []string
	begin := 0
	for _, end := range append(gaps, len(ids)) {
		list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ids[begin:end])), ","), "[]")
		parts = append(parts, fmt.Sprintf("SELECT * FROM %s WHERE rowid >= %d AND rowid <= %d AND rowid IN (%s)", table, ids[begin], ids[end-1], list))
		begin = end
	}
	return "(" + strings.Join(parts, " UNION ALL ") + ") parts"
}

// ordered is an order of a list.
type ordered struct {
	key, then string // expressions; then is unique
	down      bool   // the largest first
	first     bool   // what has no value comes first, else last
}

func (o ordered) dir() string {
	if o.down {
		return "DESC"
	}
	return "ASC"
}

func (o ordered) byKey() string {
	nulls := "LAST"
	if o.first {
		nulls = "FIRST"
	}
	return o.key + " " + o.dir() + " NULLS " + nulls
}

func (o ordered) byThen() string { return o.then + " " + o.dir() }

// more is how what comes after compares with what comes before.
func (o ordered) more() string {
	if o.down {
		return "<"
	}
	return ">"
}

func (o ordered) less() string {
	if o.down {
		return ">"
	}
	return "<"
}

// condition narrows rows further.
type condition struct {
	sql  string
	args []any
}

func (c condition) and(d condition) condition {
	switch {
	case c.sql == "":
		return d
	case d.sql == "":
		return c
	}
	return condition{c.sql + " AND " + d.sql, slices.Concat(c.args, d.args)}
}

// is are the rows with a value of the key; nil: with none.
func (o ordered) is(key any) condition {
	if key == nil {
		return condition{o.key + " IS NULL", nil}
	}
	return condition{o.key + " = ?", []any{key}}
}

// before are the rows that come before all with that value.
func (o ordered) before(key any) condition {
	switch {
	case key == nil && o.first:
		return condition{"false", nil}
	case key == nil:
		return condition{o.key + " IS NOT NULL", nil}
	case o.first:
		return condition{"(" + o.key + " " + o.less() + " ? OR " + o.key + " IS NULL)", []any{key}}
	}
	return condition{o.key + " " + o.less() + " ?", []any{key}}
}

// between are the rows that come after all with one value and before all with
// the other.
func (o ordered) between(a, b any) (c condition) {
	if a == nil || b == nil {
		c = condition{o.key + " IS NOT NULL", nil}
	}
	if a != nil {
		c = c.and(condition{o.key + " " + o.more() + " ?", []any{a}})
	}
	if b != nil {
		c = c.and(condition{o.key + " " + o.less() + " ?", []any{b}})
	}
	return c
}

const (
	// few rows are asked for with all their columns at once.
	few = 50_000
	// shallow is how many rows before those that are wanted are read with all
	// their columns.
	shallow = 500
	// hop is so many rows as DuckDB keeps while it reads, instead of sorting
	// everything, whatever it believes to find.
	hop = 4900
)

// rows asks for some rows. What is nearer to the end is asked for from there.
func (l *list) rows(ctx context.Context, db store.Querier, q url.Values, n narrowed, want, offset, total int64) ([]values, error) {
	key, down := l.order(q)
	o := ordered{l.expr(key), l.Then, down, false}
	back := l.Capped == 0 && offset > total/2
	if back {
		last := min(offset+want, total)
		offset, want = total-last, last-offset
		o.down, o.first = !o.down, true
	}
	var out []values
	var err error
	if total < few || strings.Contains(l.Then, ",") {
		out, err = l.take(ctx, db, n, condition{}, o.byKey()+", "+o.byThen(), want, offset)
	} else {
		out, err = l.among(ctx, db, n, o, want, offset)
	}
	if back {
		slices.Reverse(out)
	}
	return out, err
}

// among asks for rows among very many.
func (l *list) among(ctx context.Context, db store.Querier, n narrowed, o ordered, want, offset int64) ([]values, error) {
	// The values of the key on this page say where its rows are.
	var keys []any
	err := store.Each(ctx, db, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT %d OFFSET %d", o.key, n.sql(""), o.byKey(), want, offset), n.args, func(scan func(...any) error) error {
		var k any
		err := scan(&k)
		keys = append(keys, k)
		return err
	})
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	first, last := keys[0], keys[len(keys)-1]
	ofFirst, ofLast := int64(0), int64(0)
	for _, k := range keys {
		if alike(k, first) {
			ofFirst++
		} else if alike(k, last) {
			ofLast++
		}
	}
	skip := int64(0) // how many with the first value are on pages before
	if offset > 0 {
		c := o.before(first)
		if err := one(ctx, db, &skip, "SELECT count(*) FROM "+n.sql(c.sql), slices.Concat(n.args, c.args)...); err != nil {
			return nil, err
		}
		skip = offset - skip
	}
	out, err := l.alike(ctx, db, n, o, first, ofFirst, skip)
	if err != nil {
		return nil, err
	}
	if most := int64(len(keys)) - ofFirst - ofLast; most > 0 {
		more, err := l.take(ctx, db, n, o.between(first, last), o.byKey()+", "+o.byThen(), most, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if ofLast > 0 {
		more, err := l.alike(ctx, db, n, o, last, ofLast, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// alike asks for rows with one value of the key, after some of them.
func (l *list) alike(ctx context.Context, db store.Querier, n narrowed, o ordered, key any, want, skip int64) ([]values, error) {
	c := o.is(key)
	name := asked(n.sql(c.sql)+" ORDER BY "+o.byThen(), slices.Concat(n.args, c.args)...)
	at, then := l.marks.before(name, skip)
	after := c
	for {
		if at > 0 {
			place := "?"
			if id := uuidText(then); id != "" {
				if _, text := then.(string); !text {
					place, then = "?::UUID", id
				}
			}
			after = c.and(condition{o.then + " " + o.more() + " " + place, []any{then}})
		}
		step := skip - at
		if l.Capped > 0 {
			step = min(step, hop)
		}
		if step < shallow {
			rows, err := l.take(ctx, db, n, after, o.byThen(), want, step)
			if len(rows) > 0 {
				l.marks.keep(name, skip+int64(len(rows)), rows[len(rows)-1][placeKey])
			}
			return rows, err
		}
		then = nil
		err := store.Each(ctx, db, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d", o.then, n.sql(after.sql), o.byThen(), step-1), slices.Concat(n.args, after.args), func(scan func(...any) error) error {
			return scan(&then)
		})
		if err != nil || then == nil { // fewer than that are there
			return nil, err
		}
		at += step
		l.marks.keep(name, at, then)
	}
}

// alike reports whether two values of a key are the same.
func alike(a, b any) bool {
	switch x := a.(type) {
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case []byte:
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	}
	return a == b
}

// placeKey is what a row is told apart by, among its values.
const placeKey = "list_place"

// take asks for rows with all their columns.
func (l *list) take(ctx context.Context, db store.Querier, n narrowed, c condition, order string, want, offset int64) ([]values, error) {
	names := slices.Clone(l.Hidden)
	cols := slices.Clone(l.Hidden)
	for _, x := range l.Columns {
		names, cols = append(names, x.Key), append(cols, l.expr(x.Key)+" AS "+x.Key)
	}
	if !strings.Contains(l.Then, ",") {
		names, cols = append(names, placeKey), append(cols, l.Then+" AS "+placeKey)
	}
	query := fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT %d OFFSET %d", strings.Join(cols, ", "), n.sql(c.sql), order, want, offset)
	var out []values
	err := store.Each(ctx, db, query, slices.Concat(n.args, c.args), func(scan func(...any) error) error {
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := scan(into...); err != nil {
			return err
		}
		v := values{}
		for i, name := range names {
			v[name] = row[i]
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

// marks remembers rows of lists by their place among those with one value of the
// key, in one state of a case: who goes on to the next page does not count from
// the beginning again.
type marks struct {
	mu sync.Mutex
	of map[string]map[int64]any
	n  int
}

// mostPlaces bounds what is remembered.
const mostPlaces = 20_000

// before is the last place at or before an offset that is known.
func (m *marks) before(name string, offset int64) (int64, any) {
	if m == nil {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := int64(0)
	var best any
	for n, x := range m.of[name] {
		if n <= offset && n > at {
			at, best = n, x
		}
	}
	return at, best
}

func (m *marks) keep(name string, at int64, x any) {
	if m == nil || len(name) > 4096 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || m.n >= mostPlaces {
		m.of, m.n = map[string]map[int64]any{}, 0
	}
	if m.of[name] == nil {
		m.of[name] = map[int64]any{}
	}
	if _, ok := m.of[name][at]; !ok {
		m.n++
	}
	m.of[name][at] = x
}
