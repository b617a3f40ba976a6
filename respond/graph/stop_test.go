package graph

import (
	"errors"
	"net/http"
	"testing"

	"midwatch/respond"
)

// dying is a connection that is lost for good at a request: before it is sent,
// or after it was served. Nothing can be written down from then on either.
type dying struct {
	http.RoundTripper
	left  int
	after bool
	dead  bool
	m     *memory
}

func (d *dying) RoundTrip(q *http.Request) (*http.Response, error) {
	if d.left--; d.left == 0 {
		d.dead = true
		d.m.fail = errors.New("dead")
		if d.after {
			if r, err := d.RoundTripper.RoundTrip(q); err == nil {
				r.Body.Close()
			}
		}
	}
	if d.dead {
		return nil, errors.New("dead")
	}
	return d.RoundTripper.RoundTrip(q)
}

// Whenever a run ends, the next one goes on, and undoing restores everything.
func TestStopsAnywhere(t *testing.T) {
	for name, step := range map[string]int{"bec": 1, "midnight": 5} {
		rounds := 0
		for at := 1; ; at += step {
			x := newScene(t, name, respond.Options{})
			fwd := forwarding(t, x.s)
			was := x.s.Form()
			die := func() *dying { return &dying{RoundTripper: x.s.Client().Transport, left: at, after: at%2 == 0, m: x.r} }
			good := x.o
			d := die()
			x.o.HTTP, x.o.tries, x.o.settle = &http.Client{Transport: d}, 1, 1
			_, err := Apply(t.Context(), x.p, x.o)
			through := !d.dead
			if d.dead && err == nil {
				t.Fatalf("%s: dead at request %d, and no error", name, at)
			}
			x.o, x.r.fail = good, nil
			want(t, x.apply(t), Done, Already, ByHand)
			x.clean(t, fwd...)
			// The same for undoing.
			list, _, err := ToUndo(x.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			d = die()
			x.o.HTTP, x.o.tries, x.o.settle = &http.Client{Transport: d}, 1, 1
			_, _ = Undo(t.Context(), list, x.o, nil)
			x.o, x.r.fail = good, nil
			x.undo(t)
			x.restored(t, was)
			x.s.Close()
			if rounds++; t.Failed() {
				t.Fatalf("%s: dead at request %d", name, at)
			}
			if through {
				break
			}
		}
		t.Logf("%s: ended at %d places", name, rounds)
	}
}
