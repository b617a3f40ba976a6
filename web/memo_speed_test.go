package web

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestRemembered(t *testing.T) {
	m := &memo{}
	n := 0
	ask := func() (int, error) { n++; return n, nil }
	for _, x := range []struct {
		question string
		want     int
	}{{"a", 1}, {"b", 2}, {"a", 1}} {
		if got, err := remembered(m, x.question, ask); got != x.want || err != nil {
			t.Errorf("%s: %d, %v", x.question, got, err)
		}
	}
	failed := errors.New("failed")
	if _, err := remembered(m, "c", func() (int, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	if got, err := remembered(m, "c", ask); got != 3 || err != nil { // what failed is asked again
		t.Errorf("%d, %v", got, err)
	}
	for i := range 3 * mostAnswers {
		if _, err := remembered(m, fmt.Sprint(i), ask); err != nil || len(m.of) > mostAnswers {
			t.Fatal(len(m.of), err)
		}
	}
	if _, err := remembered(nil, "a", ask); err != nil {
		t.Error(err)
	}
}

// Questions that differ in anything are not taken for one another.
func TestAsked(t *testing.T) {
	at := time.Date(2024, 1, 12, 0, 0, 0, 0, time.UTC)
	seen := map[string]int{}
	for i, args := range [][]any{{"a b", "c"}, {"a", "b c"}, {"a b c"}, {int64(1)}, {"1"}, {at}, {at.Add(time.Microsecond)}, {"a", "b", "c"}, {"a\x00string 1 b", "c"}, {nil}, {}} {
		k := asked("SELECT ?", args...)
		if j, ok := seen[k]; ok {
			t.Errorf("%v is taken for question %d", args, j)
		}
		seen[k] = i
	}
}
