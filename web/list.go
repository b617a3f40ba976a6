package web

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/report"
	"midwatch/store"
)

// list is a table of an engine as a page shows it: filtered, sorted, and a page
// at a time by the engine, so that a million rows cost no more than a hundred.
type list struct {
	Path    string // of the page that shows it
	From    string // table
	Where   string // that holds always; empty: nothing
	Args    []any
	Columns []column
	Hidden  []string // further columns that cells are made of
	Filters []filter
	Sort    string // column, with "-" before it for the largest first
	Then    string // what orders rows that are equal: unique
	Noun    string // "message", or "mailbox/mailboxes"
	Per     int    // rows a page
	Capped  int64  // no more than so many are counted; 0: all are
	Deep    int64  // how many rows can be paged into; 0: [mostRows]
	Split   bool   // columns of which one has to hold are asked for one by one
	RowID   bool   // the engine numbers its rows in column rowid, and they do not change
	marks   *marks // where pages begin; nil: that is not remembered
	memo    *memo  // answers; nil: they are not remembered
	Empty   string // what an empty list means
}

// column is a column of a list.
type column struct {
	Key, Title string
	SQL        string // expression; empty: Key
	Class      string // of its cells
	NoSort     bool
	Cell       func(row values) cell
}

// cell is what stands in a place of a table.
type cell struct {
	Text  string
	Href  string
	Small string // below it
	Kind  string // cert, sev, id, upn, time, num or empty
}

// filter is a field by which a list is narrowed.
type filter struct {
	Key, Title string
	Kind       string // text (contains), exact, choice, from, to, least, where (SQL is the whole condition)
	SQL        string // expression; empty: Key
	Choices    []string
	Any        []string // expressions of which one has to hold; instead of SQL
	Hint       string
	More       bool // one of those that are folded away
}

// values are the values of a row by their columns.
type values map[string]any

func (v values) text(key string) string {
	switch x := v[key].(type) {
	case nil:
		return ""
	case string:
		return report.Clean(x)
	case []byte:
		return report.Clean(string(x))
	case time.Time:
		return stamp(x)
	case bool:
		return strconv.FormatBool(x)
	}
	return report.Clean(fmt.Sprint(v[key]))
}

func (v values) number(key string) (int64, bool) {
	switch x := v[key].(type) {
	case int64:
		return x, true
	case int32:
		return int64(x), true
	case uint64:
		return int64(x), true
	}
	return 0, false
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// listPage is a page of a list.
type listPage struct {
	*list
	Query   url.Values
	Rows    [][]cell
	Total   int64
	AtLeast bool // Total is a lower bound
	Cut     bool // there are rows after the last page
	Page    int64
	Pages   int64
	First   int64
	Last    int64
	Fields  []field
	Active  int    // filters that narrow
	Export  string // address of the whole as CSV; empty: none
	Took    time.Duration
}

type field struct {
	filter
	Value string
	Bad   string
}

// mostRows bounds how deep a list can be paged into and how much of it is
// exported at once; nobody reads more, and an export says so.
const mostRows = 5_000_000

// condition is what narrows a list, and the fields as they were filled in.
func (l *list) condition(q url.Values) (where string, args []any, fields []field, active int, err error) {
	var parts []string
	if l.Where != "" {
		parts, args = append(parts, l.Where), append(args, l.Args...)
	}
	for _, f := range l.Filters {
		x := field{filter: f, Value: strings.TrimSpace(q.Get(f.Key))}
		if x.Value != "" {
			part, more, bad := f.sql(x.Value)
			switch {
			case bad != "":
				x.Bad = bad
				err = fmt.Errorf("%s: %s", f.Title, bad)
			default:
				parts, args = append(parts, part), append(args, more...)
				active++
			}
		}
		fields = append(fields, x)
	}
	return strings.Join(parts, " AND "), args, fields, active, err
}

func (f filter) sql(v string) (part string, args []any, bad string) {
	expr := f.SQL
	if expr == "" {
		expr = f.Key
	}
	switch f.Kind {
	case "exact":
		if len(f.Any) > 0 {
			for _, e := range f.Any {
				args = append(args, v)
				part += " OR " + e + " = ?"
			}
			return "(" + part[4:] + ")", args, ""
		}
		return expr + " = ?", []any{v}, ""
	case "where":
		return f.SQL, []any{v}, ""
	case "choice":
		if !slices.Contains(f.Choices, v) {
			return "", nil, "choose one of " + strings.Join(f.Choices, ", ")
		}
		return expr + " = ?", []any{v}, ""
	case "from", "to":
		t, ok := moment(v)
		if !ok {
			return "", nil, "a time looks like 2024-01-12 or 2024-01-12 09:30 (UTC)"
		}
		if f.Kind == "from" {
			return expr + " >= ?", []any{t}, ""
		}
		return expr + " < ?", []any{t}, ""
	case "least":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return "", nil, "expected a number"
		}
		return expr + " >= ?", []any{n}, ""
	}
	any := f.Any
	if len(any) == 0 {
		any = []string{expr}
	}
	for _, e := range any {
		part += " OR contains(lower(" + e + "), ?)"
		args = append(args, strings.ToLower(v))
	}
	return "(" + part[4:] + ")", args, ""
}

// moment reads a time that a person wrote, or that an address holds.
func moment(s string) (time.Time, bool) {
	s = strings.TrimSuffix(strings.TrimSpace(s), " UTC")
	for _, form := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil && t.Year() > 1900 && t.Year() < 2300 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// order is the column to sort by, and whether the largest comes first.
func (l *list) order(q url.Values) (key string, down bool) {
	want := q.Get("sort")
	key, down = strings.CutPrefix(want, "-")
	if !slices.ContainsFunc(l.Columns, func(c column) bool { return c.Key == key && !c.NoSort }) {
		key, down = strings.CutPrefix(l.Sort, "-")
	}
	return key, down
}

func (l *list) expr(key string) string {
	for _, c := range l.Columns {
		if c.Key == key && c.SQL != "" {
			return c.SQL
		}
	}
	return key
}

// page asks for a page of the list. A bad filter is told in its field and
// narrows nothing; bad is then set.
func (l *list) page(ctx context.Context, db store.Querier, r *http.Request) (p *listPage, bad error, err error) {
	q := r.URL.Query()
	p = &listPage{list: l, Query: q}
	where, args, fields, active, bad := l.condition(q)
	p.Fields, p.Active = fields, active
	if bad != nil {
		return p, bad, nil
	}
	n := narrowed{l.From, where, args}
	if l.Split && active > 0 {
		if n, err = l.split(ctx, db, q); err != nil {
			return nil, nil, err
		}
	}
	counted := "SELECT count(*) FROM " + n.sql("")
	if l.Capped > 0 {
		counted = fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) x", n.sql(""), l.Capped)
	}
	if p.Total, err = remembered(l.memo, asked(counted, n.args...), func() (total int64, err error) {
		err = one(ctx, db, &total, counted, n.args...)
		return total, err
	}); err != nil {
		return nil, nil, err
	}
	p.AtLeast = l.Capped > 0 && p.Total == l.Capped
	per, deep := int64(l.Per), int64(mostRows)
	if l.Deep > 0 {
		deep = l.Deep
	}
	p.Cut = p.Total > deep
	p.Pages = max((min(p.Total, deep)+per-1)/per, 1)
	p.Page, _ = strconv.ParseInt(q.Get("page"), 10, 64)
	p.Page = min(max(p.Page, 1), p.Pages)
	offset := (p.Page - 1) * per
	rows, err := l.rows(ctx, db, q, n, per, offset, p.Total)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range rows {
		p.Rows = append(p.Rows, l.cells(v))
	}
	if len(rows) > 0 {
		p.First, p.Last = offset+1, offset+int64(len(rows))
	}
	return p, nil, nil
}

func (l *list) cells(v values) (out []cell) {
	for _, c := range l.Columns {
		x := cell{Text: v.text(c.Key)}
		if c.Cell != nil {
			x = c.Cell(v)
		}
		out = append(out, x)
	}
	return out
}

// one asks for a single value.
func one(ctx context.Context, db store.Querier, into any, query string, args ...any) error {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // read only
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	return rows.Scan(into)
}

// What templates ask of a page of a list.

// SortHref is the address of the list sorted by a column, the other way round
// when it is already.
func (p *listPage) SortHref(key string) string {
	have, down := p.order(p.Query)
	want := key
	if have == key && !down {
		want = "-" + key
	}
	return p.href("sort", want, "page", "")
}

// SortState is ascending, descending or none.
func (p *listPage) SortState(key string) string {
	have, down := p.order(p.Query)
	switch {
	case have != key:
		return "none"
	case down:
		return "descending"
	}
	return "ascending"
}

// PageHref is the address of another page.
func (p *listPage) PageHref(n int64) string { return p.href("page", strconv.FormatInt(n, 10)) }

// Prev and Next are the pages beside this one; 0: none.
func (p *listPage) Prev() int64 { return p.Page - 1 }

// Next is the page after this one; 0: none.
func (p *listPage) Next() int64 {
	if p.Page >= p.Pages {
		return 0
	}
	return p.Page + 1
}

// chip is a filter in use, and the address of the list without it.
type chip struct{ Title, Value, Href string }

// Chips are the filters in use.
func (p *listPage) Chips() (out []chip) {
	for _, f := range p.Fields {
		if f.Value != "" && f.Bad == "" {
			out = append(out, chip{f.Title, report.Clean(f.Value), p.href(f.Key, "", "page", "")})
		}
	}
	return out
}

// Wrong reports whether a filter cannot be read.
func (p *listPage) Wrong() bool {
	return slices.ContainsFunc(p.Fields, func(f field) bool { return f.Bad != "" })
}

// Rare are the fields that are folded away, and whether one of them is in use.
func (p *listPage) Rare() (out []field) {
	for _, f := range p.Fields {
		if f.More {
			out = append(out, f)
		}
	}
	return out
}

// Usual are the other fields.
func (p *listPage) Usual() (out []field) {
	for _, f := range p.Fields {
		if !f.More {
			out = append(out, f)
		}
	}
	return out
}

// Keep are the values that a form has to carry besides its fields.
func (p *listPage) Keep() (out [][2]string) {
	if s := p.Query.Get("sort"); s != "" {
		out = append(out, [2]string{"sort", s})
	}
	return out
}

func (p *listPage) href(kv ...string) string {
	q := url.Values{}
	for k, v := range p.Query {
		q[k] = v
	}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] == "" {
			q.Del(kv[i])
		} else {
			q.Set(kv[i], kv[i+1])
		}
	}
	if len(q) == 0 {
		return p.Path
	}
	return p.Path + "?" + q.Encode()
}

// Common cells.

func certCell(v values) cell { return cell{Kind: "cert", Text: v.text("certainty")} }

func timeCell(key string) func(values) cell {
	return func(v values) cell {
		if t, ok := v[key].(time.Time); ok {
			return cell{Kind: "time", Text: stamp(t), Small: casefile.TimeOf(t).String()}
		}
		return cell{}
	}
}

func numCell(key string) func(values) cell {
	return func(v values) cell {
		n, ok := v.number(key)
		if !ok {
			return cell{Kind: "num", Text: "–"}
		}
		return cell{Kind: "num", Text: report.Number(n)}
	}
}
