package graph

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"midwatch/respond"
)

// The ways back.
const (
	backSet  = "set"
	backItem = "item"
	backKeys = "key"
)

// Undoable is a change that was made, or may have been, and is not taken back.
type Undoable struct {
	Step, Title, Tenant string
	Change              Change
}

// ToUndo reads what there is to take back, in the order in which it is done: the
// last change first. The hash names exactly this list.
func ToUndo(r Recorder, steps []string) (list []Undoable, hash string, err error) {
	es, err := r.Entries()
	if err != nil {
		return nil, "", fmt.Errorf("read what was done: %w", err)
	}
	key := func(step, tenant string, c *Change) string { return step + " " + tenant + " " + c.key() }
	for _, e := range es {
		for i := range e.Changes {
			k := key(e.Step, e.Tenant, &e.Changes[i])
			same := func(u Undoable) bool { return key(u.Step, u.Tenant, &u.Change) == k }
			switch {
			case e.What == wroteUndoResult:
				list = slices.DeleteFunc(list, same)
			case e.What == wroteIntent && !slices.ContainsFunc(list, same):
				// What was meant may have been done: the record has no result
				// when the process was killed. Undoing looks first.
				list = append(list, Undoable{e.Step, e.Title, e.Tenant, e.Changes[i]})
			}
		}
	}
	if len(steps) > 0 {
		list = slices.DeleteFunc(list, func(u Undoable) bool { return !slices.Contains(steps, u.Step) })
	}
	slices.Reverse(list)
	b, err := json.Marshal(list)
	if err != nil {
		return nil, "", fmt.Errorf("what there is to undo: %w", err)
	}
	h := sha256.Sum256(b)
	return list, "u-" + hex.EncodeToString(h[:16]), nil
}

// Undone is how one change was taken back.
type Undone struct {
	Undoable
	State State
	Note  string
}

// Undo takes changes back. One that fails does not keep others from being taken
// back.
func Undo(ctx context.Context, list []Undoable, o Options, watch func(Undone)) ([]Undone, error) {
	x := newRun(o)
	var out []Undone
	for _, u := range list {
		r := Undone{Undoable: u}
		if u.Change.Back == nil {
			r.State, r.Note = ByHand, "cannot be undone"
		} else {
			if err := x.append(ctx, Entry{What: wroteUndo, Step: u.Step, Tenant: u.Tenant, Title: u.Title, Changes: []Change{u.Change}}); err != nil {
				return out, err
			}
			state, err := x.takeBack(ctx, x.client(u.Tenant), u.Change.Back)
			if ctx.Err() != nil {
				return out, ctx.Err()
			}
			if r.State = state; err != nil {
				r.State, r.Note = Failed, err.Error()
			} else if err := x.append(ctx, Entry{What: wroteUndoResult, Step: u.Step, Tenant: u.Tenant, Title: u.Title, State: state, Changes: []Change{u.Change}}); err != nil {
				return out, err
			}
		}
		out = append(out, r)
		if watch != nil {
			watch(r)
		}
	}
	return out, nil
}

// undoRequests are all requests that taking back may send, whatever a record
// says: it is a file, and files can be changed.
func undoRequests() *regexp.Regexp {
	const id = `[^/?]+`
	return regexp.MustCompile(`^(PATCH /(users|devices|servicePrincipals|applications)/` + id +
		`|POST /servicePrincipals/` + id + `/(appRoleAssignments|owners/\$ref)` +
		`|POST /applications/` + id + `/(owners/\$ref|federatedIdentityCredentials)` +
		`|POST /users/` + id + `/mailFolders/inbox/messageRules` +
		`|POST /(oauth2PermissionGrants|roleManagement/directory/roleAssignments))$`)
}

func (x *run) takeBack(ctx context.Context, c *Client, b *Back) (State, error) {
	if !undoRequests().MatchString(b.Method + " " + b.Path) {
		return Failed, fmt.Errorf("%s %s is no request that takes a step back; the record was changed", b.Method, b.Path)
	}
	if strings.Contains(b.Path+"/", "/../") || strings.Contains(b.Path+"/", "/./") {
		return Failed, fmt.Errorf("%s leads elsewhere; the record was changed", b.Path)
	}
	if !respond.GUID(c.tenant) {
		return Failed, errors.New("the record does not name the tenant by its id")
	}
	for round := range rounds {
		is, body, err := x.restored(ctx, c, b)
		if err != nil {
			return Failed, err
		}
		if is {
			if round == 0 {
				return Already, nil
			}
			return Done, nil
		}
		if _, err = c.do(ctx, b.Method, b.Path, body, b.Method == "PATCH"); err != nil && !errors.Is(err, errUnsure) && !refusedForm(err) {
			return Failed, err
		}
		failed := err
		for look := range x.o.settle {
			if look > 0 {
				if err := x.o.Sleep(ctx, min(time.Second<<(look-1), 30*time.Second)); err != nil {
					return Failed, err
				}
			}
			if is, _, err = x.restored(ctx, c, b); err != nil {
				return Failed, err
			}
			if is {
				return Done, nil
			}
		}
		if failed == nil {
			return Failed, errors.New("accepted, and not seen in time; look again")
		}
		if refusedForm(failed) {
			return Failed, failed
		}
	}
	return Failed, fmt.Errorf("the service failed %d times in the middle of it", rounds)
}

// restored reports whether things are as they were before the change, and
// returns the body that makes them so.
func (x *run) restored(ctx context.Context, c *Client, b *Back) (bool, []byte, error) {
	switch b.Way {
	case backSet:
		var now, was map[string]json.RawMessage
		if err := json.Unmarshal(b.Was, &was); err != nil {
			return false, nil, fmt.Errorf("the record of what was: %w", err)
		}
		if err := c.get(ctx, b.Read, &now); err != nil {
			return false, nil, err
		}
		for k, v := range was {
			if !sameJSON(now[k], v) {
				return false, b.Body, nil
			}
		}
		return true, nil, nil
	case backItem:
		var was map[string]json.RawMessage
		if err := json.Unmarshal(b.Was, &was); err != nil {
			return false, nil, fmt.Errorf("the record of what was: %w", err)
		}
		items, err := c.list(ctx, b.Read)
		if err != nil {
			return false, nil, err
		}
		for _, raw := range items {
			var now map[string]json.RawMessage
			if err := json.Unmarshal(raw, &now); err != nil {
				return false, nil, fmt.Errorf("an item of %s: %w", b.Read, err)
			}
			if !slices.ContainsFunc(b.Same, func(k string) bool { return !sameJSON(now[k], was[k]) }) {
				return true, nil, nil
			}
		}
		if len(b.Body) == 0 {
			return false, b.Was, nil
		}
		return false, b.Body, nil
	case backKeys:
		return x.keysRestored(ctx, c, b)
	}
	return false, nil, fmt.Errorf("the record has no way back that is known: %q", b.Way)
}

// keysRestored puts certificates back beside those that are there now.
func (x *run) keysRestored(ctx context.Context, c *Client, b *Back) (bool, []byte, error) {
	var was []json.RawMessage
	if err := json.Unmarshal(b.Was, &was); err != nil {
		return false, nil, fmt.Errorf("the record of what was: %w", err)
	}
	var now object
	if err := c.get(ctx, b.Read, &now); err != nil {
		return false, nil, err
	}
	id := func(raw json.RawMessage) string {
		var k struct {
			ID  string          `json:"keyId"`
			Key json.RawMessage `json:"key"`
		}
		_ = json.Unmarshal(raw, &k) // no id: never the same as another
		return k.ID
	}
	all, complete := now.Keys, true
	for _, k := range was {
		if !slices.ContainsFunc(now.Keys, func(have json.RawMessage) bool { return id(have) == id(k) }) {
			all, complete = append(all, k), false
		}
	}
	body, err := json.Marshal(map[string]any{"keyCredentials": all})
	return complete, body, err
}

// sameJSON compares two values, absent and null being the same.
func sameJSON(a, b json.RawMessage) bool {
	norm := func(r json.RawMessage) []byte {
		var v any
		if len(r) == 0 || json.Unmarshal(r, &v) != nil {
			return []byte("null")
		}
		out, err := json.Marshal(v)
		if err != nil {
			return r
		}
		return out
	}
	return bytes.Equal(norm(a), norm(b))
}

// NewPassword makes a password of 24 characters, 140 bits, that has every class
// that Entra asks for. Characters that look alike are not in it.
func NewPassword() (string, error) {
	const letters, upper, digits, marks = "abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "!#%+-=?_"
	const all = letters + upper + digits + marks // 64 characters: a byte's remainder is even
	for {
		b := make([]byte, 24)
		if _, err := rand.Read(b); err != nil {
			return "", err
		}
		for i := range b {
			b[i] = all[int(b[i])%len(all)]
		}
		if p := string(b); strings.ContainsAny(p, letters) && strings.ContainsAny(p, upper) && strings.ContainsAny(p, digits) && strings.ContainsAny(p, marks) {
			return p, nil
		}
	}
}
