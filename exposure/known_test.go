package exposure

import (
	"context"
	"database/sql"
	"testing"

	"midwatch/store"
	"midwatch/store/dialect"
)

// noted asks a store, and holds the questions to the notation that every engine
// understands.
type noted struct {
	t *testing.T
	q store.Querier
	n int
}

func (q *noted) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	q.n++
	if err := dialect.Check(query); err != nil {
		q.t.Error(err)
	}
	if _, err := dialect.ClickHouse(query, args...); err != nil {
		q.t.Error(err)
	}
	return q.q.Query(ctx, query, args...)
}

func TestQuestionsKeepToTheNotation(t *testing.T) {
	q := &noted{t: t, q: filled(t)}
	said, err := askKnown(t.Context(), q, []string{"one@out.example", "two@own.example", "'; drop", "ones'"})
	if err != nil || len(said) != 2 {
		t.Errorf("%v %v", said, err)
	}
	ids, err := askItems(t.Context(), q, []string{"ITEM2", "ITEM'3"})
	if err != nil || ids[[2]string{"jo@own.example", "ITEM2"}] != "two@own.example" {
		t.Errorf("%v %v", ids, err)
	}
	own, err := askDomains(t.Context(), q)
	if err != nil || len(own) != 1 || own[0] != "own.example" {
		t.Errorf("%v %v", own, err)
	}
	if q.n != 4 {
		t.Errorf("%d questions", q.n)
	}
}
