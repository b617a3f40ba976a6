package custody

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"midwatch/event"
	"midwatch/store"
)

// added are columns that do not come out of the record, or say where in which
// export it stands: the table of networks is not kept with the case, and of
// two exports of a record either may be the one that is kept.
func added() []string {
	return []string{"asn", "as_org", "ip_kind", "country", "file", "line", "pos", "length", "raw", "raw_bytes", "record", "format"}
}

// CompareEvents compares every event of two stores, column by column, but for
// what is [added]. a is the store of the case, b what the files were read into
// again.
func CompareEvents(ctx context.Context, a, b store.Querier, r *Result) error {
	var names, cols []string
	for _, c := range event.Columns() {
		if slices.Contains(added(), c.Name) {
			continue
		}
		names = append(names, c.Name)
		cols = append(cols, "CAST("+c.Name+" AS VARCHAR)")
	}
	query := "SELECT " + strings.Join(cols, ", ") + " FROM events ORDER BY id"
	left, err := openRows(ctx, a, query, len(names))
	if err != nil {
		return err
	}
	defer left.close()
	right, err := openRows(ctx, b, query, len(names))
	if err != nil {
		return err
	}
	defer right.close()
	var n, wrong int64
	note := func(id, format string, args ...any) {
		if wrong++; wrong <= maxNamed {
			r.Items = append(r.Items, Item{Part: "columns", Name: id, State: Differs, Text: fmt.Sprintf(format, args...), Offset: -1, Event: id})
		}
	}
	for left.ok || right.ok {
		x, y := left.id(), right.id()
		switch {
		case !right.ok || left.ok && x < y:
			note(x, "it is in the event store and not in the files")
			err = left.next()
		case !left.ok || y < x:
			note(y, "it is in the files and not in the event store")
			err = right.next()
		default:
			n++
			for i, name := range names {
				if left.row[i] != right.row[i] {
					note(x, "column %s is %s in the event store, and %s is what is read from the file", name, shown(left.row[i]), shown(right.row[i]))
				}
			}
			if err = left.next(); err == nil {
				err = right.next()
			}
		}
		if err != nil {
			return err
		}
	}
	if wrong > maxNamed {
		r.Add("columns", "all files read again", Differs, "%d more differences", wrong-maxNamed)
	}
	if wrong == 0 {
		r.Add("columns", "all files read again", Verified, "%d events in %d columns are what this version of Midwatch reads from the files", n, len(names))
	}
	return nil
}

func shown(s sql.NullString) string {
	if !s.Valid {
		return "absent"
	}
	return short(s.String)
}

type rowReader struct {
	rows *sql.Rows
	row  []sql.NullString
	to   []any
	ok   bool
}

func openRows(ctx context.Context, q store.Querier, query string, n int) (*rowReader, error) {
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read all events: %w", err)
	}
	r := &rowReader{rows: rows, row: make([]sql.NullString, n), to: make([]any, n)}
	for i := range r.row {
		r.to[i] = &r.row[i]
	}
	return r, r.next()
}

func (r *rowReader) id() string {
	if !r.ok {
		return ""
	}
	return r.row[0].String
}

func (r *rowReader) next() error {
	if r.ok = r.rows.Next(); !r.ok {
		return r.rows.Err()
	}
	return r.rows.Scan(r.to...)
}

func (r *rowReader) close() { _ = r.rows.Close() }
