package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// rounds is how often a step is looked at and done again when it is not known
// whether a change was made.
const rounds = 4

// send makes the changes that a step still needs.
func (x *run) send(ctx context.Context, w *work) error {
	for range rounds {
		changes, err := x.needed(ctx, w)
		if err != nil || len(changes) == 0 {
			return err
		}
		if err := x.intend(ctx, w, changes); err != nil {
			return err
		}
		var doubt error
		before := w.changes
		for i := range changes {
			err := x.change(ctx, w, &changes[i])
			switch {
			case err == nil:
				w.changes++
			case gone(err):
			case errors.Is(err, errUnsure) || refusedForm(err):
				doubt = err
			default:
				return err
			}
		}
		w.sent = true
		if doubt == nil {
			return nil
		}
		if ok, err := x.seen(ctx, w); err != nil || ok {
			return err
		}
		// Some go only after others: a method that is the default one, say.
		if refusedForm(doubt) && w.changes == before {
			return doubt
		}
	}
	return fmt.Errorf("the service failed %d times in the middle of it", rounds)
}

// refusedForm is what Graph answers when a thing to remove is not there, or one
// to make is: it may be done already.
func refusedForm(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusBadRequest || e.Status == http.StatusConflict)
}

// intend writes down what will be changed, once.
func (x *run) intend(ctx context.Context, w *work, changes []Change) error {
	var keys []string
	for i := range changes {
		keys = append(keys, changes[i].key())
	}
	if all := strings.Join(keys, "\n"); all != w.intent {
		w.intent = all
		// Piece by piece: a record's entry has a limit, a list of rules has none.
		for part := range slices.Chunk(changes, 10) {
			b, err := json.Marshal(part)
			if err != nil {
				return err
			}
			if len(b) > maxIntent {
				return fmt.Errorf("what it was before takes %d bytes, more than an entry of the record holds: nothing was changed; do it by hand", len(b))
			}
			if err := x.append(ctx, Entry{What: wroteIntent, Step: w.s.ID, Tenant: w.s.Tenant, Title: w.s.Title, Changes: part}); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxIntent bounds what is written down at once, in bytes; the journal's own
// limit of an entry is a little more.
const maxIntent = 200 << 10

// change sends one change, if the step names it.
func (x *run) change(ctx context.Context, w *work, c *Change) error {
	if !w.s.Allows(c.Method, c.Path) {
		return fmt.Errorf("%s %s is none of the requests of step %d, and was not sent", c.Method, c.Path, w.s.Number)
	}
	body := c.Body
	if c.secret {
		password, err := x.o.Password()
		if err != nil {
			return fmt.Errorf("make a password: %w", err)
		}
		w.password = password
		if body, err = json.Marshal(map[string]any{"passwordProfile": map[string]any{"forceChangePasswordNextSignIn": true, "password": password}}); err != nil {
			return err
		}
	}
	_, err := w.c.do(ctx, c.Method, c.Path, body, true)
	return err
}

// seen looks until nothing more is needed: changes appear some reads later.
func (x *run) seen(ctx context.Context, w *work) (bool, error) {
	for look := range x.o.settle {
		if look > 0 {
			if err := x.o.Sleep(ctx, min(time.Second<<(look-1), 30*time.Second)); err != nil {
				return false, err
			}
		}
		changes, err := x.needed(ctx, w)
		if err != nil {
			return false, err
		}
		if len(changes) == 0 {
			return true, nil
		}
	}
	return false, nil
}
