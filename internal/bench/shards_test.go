package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"midwatch/store"
)

func TestAccount(t *testing.T) {
	const a, b = mark + "detect/a.go:1/1", mark + "detect/b.go:2/2"
	shapes, err := account([][]logged{
		{
			{ID: a, Initial: 1, Text: "SELECT a", Read: 100, Result: 3}, {ID: a, Read: 50, Result: 2},
			// The question did not hear of all that the shards read.
			{ID: b, Initial: 1, Text: "SELECT b", Read: 900, Result: 1}, {ID: b, Read: 600, Result: 1},
		},
		{{ID: a, Read: 40, Result: 2}, {ID: b, Read: 400, Result: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(shapes) != 2 || shapes[0].at != "detect/b.go:2" || shapes[1].at != "detect/a.go:1" {
		t.Fatalf("the shapes are %v", shapes)
	}
	if s := shapes[0]; s.read[0] != 600 || s.read[1] != 400 || s.uneven() != 0.2 {
		t.Errorf("b read %v, uneven by %v", s.read, s.uneven())
	}
	if s := shapes[1]; s.read[0] != 60 || s.read[1] != 40 || s.moved != 4 || s.client != 3 {
		t.Errorf("a read %v, moved %v, gave %v", s.read, s.moved, s.client)
	}
	if _, err := account([][]logged{{}, {{ID: a, Read: 1}}}); err == nil {
		t.Error("a node that read for nobody is no error")
	}
}

// noStore answers nothing.
type noStore struct{}

func (noStore) Query(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errors.New("asked by " + asker())
}

func TestAsker(t *testing.T) {
	err := store.Each(t.Context(), noStore{}, "SELECT 1", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "bench/shards_test.go:") {
		t.Errorf("the question is taken for another's: %v", err)
	}
}
