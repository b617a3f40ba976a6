package web

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestTurns(t *testing.T) {
	turns := make(turns, 1)
	end, err := turns.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.take(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	end()
	if _, err := turns.take(t.Context()); err != nil {
		t.Error(err)
	}
	n := 0
	for _, r := range routes() {
		if r.asks() {
			n++
			if r.Method != "GET" || strings.HasSuffix(r.Pattern, ".csv") {
				t.Error(r.Pattern)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d routes ask", n)
	}
}
