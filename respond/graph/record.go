package graph

import (
	"context"
	"encoding/json"

	"midwatch/casefile"
)

// Recorder keeps what a containment did. An entry that Append returned from must
// survive kill -9 and the loss of power; Entries returns all of them in the order
// in which they were written. It is called by one goroutine.
type Recorder interface {
	Append(ctx context.Context, e Entry) error
	Entries() ([]Entry, error)
}

// Entry is one line of what a containment did.
type Entry struct {
	What    string        `json:"what"` // plan, intent, result, undo_intent, undo_result
	Plan    string        `json:"plan"` // hash
	Step    string        `json:"step,omitempty"`
	Tenant  string        `json:"tenant,omitempty"`
	Title   string        `json:"title,omitempty"`
	State   State         `json:"state,omitempty"` // of a result
	Note    string        `json:"note,omitempty"`
	Began   casefile.Time `json:"began"`             // of the plan: when it was applied
	Changes []Change      `json:"changes,omitempty"` // what will be sent; never a password
}

// The kinds of entry.
const (
	wroteStart      = "plan"
	wroteIntent     = "intent"
	wroteResult     = "result"
	wroteUndo       = "undo_intent"
	wroteUndoResult = "undo_result"
)

// State is how a step ended.
type State string

// The states.
const (
	Done      State = "done"      // changed, and the change was seen
	Already   State = "already"   // it was so
	ByHand    State = "by_hand"   // for a person
	Skipped   State = "skipped"   // suspected, or not chosen, or permissions are missing
	Failed    State = "failed"    // see the note
	Unseen    State = "unseen"    // accepted, and not seen in time: look again
	Attention State = "attention" // done, and somebody has to look at what was met
)

// Change is one request that changes something, with what takes it back.
type Change struct {
	What   string          `json:"what"` // in words
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body,omitempty"` // left out where it holds a password
	Back   *Back           `json:"back,omitempty"` // none: it cannot be taken back

	secret bool // the body is made when it is sent
}

// key tells changes apart.
func (c *Change) key() string { return c.Method + " " + c.Path + " " + string(c.Body) }

// Back says how a change is taken back, and how to see that it is.
type Back struct {
	Way    string          `json:"way"`            // set: members have values; item: a list has an item; key: a list has a certificate
	Read   string          `json:"read"`           // path that shows it
	Was    json.RawMessage `json:"was"`            // the members, the item, or the certificate
	Same   []string        `json:"same,omitempty"` // members by which the item is known again
	Method string          `json:"method"`         // of the request that takes it back
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body,omitempty"` // none: Was, or what is made of it and of what is there
}
