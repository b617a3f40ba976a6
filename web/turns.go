package web

import (
	"context"
	"strings"
)

// turns is how many pages ask the engine at once. The others wait, in the order
// in which they came and before their time for questions runs: so each gets its
// answers soon after its turn has come, instead of all of them too late.
type turns chan struct{}

const atOnce = 4

// take waits for a turn and returns what ends it.
func (t turns) take(ctx context.Context) (func(), error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// asks reports whether the page of a route asks the engine. Downloads take as
// long as who reads them, and keep nobody from a turn.
func (r route) asks() bool {
	if r.Method != "GET" || strings.HasSuffix(r.Pattern, ".csv") {
		return false
	}
	for _, p := range []string{"/timeline", "/mailboxes", "/messages", "/records", "/findings"} {
		if strings.Contains(r.Pattern, p) {
			return true
		}
	}
	return false
}
