package notice

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"midwatch/casefile"
)

// Schema is the version of index.json.
const Schema = "midwatch.notices/1"

// Index is index.json: which notices there are, and which there were.
type Index struct {
	Schema  string  `json:"schema"`
	Case    string  `json:"case"`
	Notices []Entry `json:"notices"`
}

// Entry is a notice in the index.
type Entry struct {
	ID        string                `json:"id"`
	Kind      Kind                  `json:"kind"`
	Recipient string                `json:"recipient"`
	To        []Address             `json:"to"` // empty: whom to address is to be decided
	People    int                   `json:"people"`
	Certainty casefile.Certainty    `json:"certainty"`
	Counts    casefile.PerCertainty `json:"counts"`
	Secrets   int                   `json:"secrets"` // to change, those already changed included
	Version
	Earlier []Version `json:"earlier"` // versions before, the oldest first
	Gone    bool      `json:"gone"`    // the case no longer says that the recipient is affected
}

// Version is one wording of a notice.
type Version struct {
	Content string            `json:"content"` // hash of what it says
	Facts   string            `json:"facts"`   // hash of what it says of the recipient's messages
	Code    string            `json:"code"`
	Made    casefile.Time     `json:"made"`
	Files   map[string]string `json:"files"` // SHA-256 by name, in the folder; of earlier versions in folder earlier
}

// StateName is what became of a notice.
type StateName string

// The states.
const (
	Sent         StateName = "sent"
	Read         StateName = "read"
	Acknowledged StateName = "acknowledged"
)

// StateNames lists the states.
func StateNames() []StateName { return []StateName{Sent, Read, Acknowledged} }

// State is the payload of a journal entry of kind notice.state.
type State struct {
	ID        string                `json:"id"`
	Recipient string                `json:"recipient"`
	State     StateName             `json:"state"`
	At        casefile.Time         `json:"at"`      // when it was sent, read, acknowledged
	Content   string                `json:"content"` // version that it is about
	Facts     string                `json:"facts"`
	Counts    casefile.PerCertainty `json:"counts"` // messages that the recipient was told of
	Secrets   int                   `json:"secrets"`
	Reason    string                `json:"reason,omitempty"`
}

// ReadIndex reads an index.json and refuses another schema.
func ReadIndex(r io.Reader) (*Index, error) {
	var x Index
	if err := json.NewDecoder(r).Decode(&x); err != nil {
		return nil, fmt.Errorf("read the index of notices: %w", err)
	}
	if x.Schema != Schema {
		return nil, fmt.Errorf("read the index of notices: schema is %q, this version reads %q", x.Schema, Schema)
	}
	return &x, nil
}

// Write writes the index as indented JSON.
func (x *Index) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(x)
}

// Find is the entry of an id; nil: there is none.
func (x *Index) Find(id string) *Entry {
	for i := range x.Notices {
		if x.Notices[i].ID == id {
			return &x.Notices[i]
		}
	}
	return nil
}

// ByCode finds the notice and the version that a code is of.
func (x *Index) ByCode(key []byte, code string) (e *Entry, v *Version, current bool) {
	for i := range x.Notices {
		n := &x.Notices[i]
		if Genuine(key, n.Content, code) {
			e, v, current = n, &n.Version, !n.Gone
		}
		for j := range n.Earlier {
			if Genuine(key, n.Earlier[j].Content, code) && e == nil {
				e, v, current = n, &n.Earlier[j], false
			}
		}
	}
	return e, v, current
}

// Change is what a run made of one notice.
type Change struct {
	Entry *Entry
	Draft *Draft // what to write; nil: nothing
	What  string // new, changed, made again, gone
	Was   *Version
}

// Update makes the index that goes with drafts, and says what to write. before
// may be nil. A draft whose content is that of the index is not written again, unless one of its files
// is not there any more.
func Update(before *Index, caseID string, drafts []*Draft, hash func([]byte) string, there func(name string) bool, made time.Time) (*Index, []Change) {
	after := &Index{Schema: Schema, Case: caseID, Notices: []Entry{}}
	var changes []Change
	seen := map[string]bool{}
	for _, d := range drafts {
		n := d.Notice
		seen[n.ID] = true
		e := Entry{ID: n.ID, Kind: n.Kind, Recipient: n.Recipient, To: append([]Address{}, n.To...), People: len(n.People), Certainty: n.Certainty, Counts: n.Counts, Secrets: len(n.Secrets),
			Version: Version{Content: d.Content, Facts: d.Facts, Code: d.Code, Made: casefile.TimeOf(made), Files: map[string]string{}}, Earlier: []Version{}}
		for _, name := range slices.Sorted(maps.Keys(d.Files)) {
			e.Files[name] = hash(d.Files[name])
		}
		what := "new"
		var was *Version
		if before != nil {
			if old := before.Find(n.ID); old != nil {
				e.Earlier = old.Earlier
				switch {
				case old.Content == d.Content && old.Code == d.Code:
					what = ""
					for name := range old.Files {
						if !there(name) {
							what = "made again"
						}
					}
					if what == "" {
						e.Version = old.Version
					}
				default:
					v := old.Version
					was, what = &v, "changed"
					e.Earlier = append(slices.Clone(old.Earlier), v)
				}
			}
		}
		after.Notices = append(after.Notices, e)
		if what != "" {
			changes = append(changes, Change{Draft: d, What: what, Was: was, Entry: &Entry{ID: e.ID}})
		}
	}
	if before != nil {
		for _, e := range before.Notices {
			if seen[e.ID] {
				continue
			}
			if !e.Gone {
				changes = append(changes, Change{What: "gone", Entry: &Entry{ID: e.ID}})
			}
			e.Gone = true
			after.Notices = append(after.Notices, e)
		}
	}
	for i := range changes {
		changes[i].Entry = after.Find(changes[i].Entry.ID)
	}
	return after, changes
}

// Standing is how a notice stands with its recipient.
type Standing struct {
	Entry   *Entry               `json:"notice"`
	Last    map[StateName]*State `json:"last"`    // the last of each state
	Told    *State               `json:"told"`    // what was sent last; nil: they were not told
	Changed string               `json:"changed"` // what differs now from what was sent: facts, wording, gone; empty: nothing
}

// Stand says how each notice stands, who was not told first.
func Stand(x *Index, states map[string][]State) []Standing {
	out := make([]Standing, 0, len(x.Notices))
	for i := range x.Notices {
		e := &x.Notices[i]
		s := Standing{Entry: e, Last: map[StateName]*State{}}
		for j := range states[e.ID] {
			st := &states[e.ID][j]
			s.Last[st.State] = st
			if st.State == Sent {
				s.Told = st
			}
		}
		if s.Told == nil && e.Gone {
			continue // never told, and nothing to tell
		}
		switch {
		case s.Told == nil:
		case e.Gone:
			s.Changed = "gone"
		case s.Told.Facts != e.Facts:
			s.Changed = "facts"
		case s.Told.Content != e.Content:
			s.Changed = "wording"
		}
		out = append(out, s)
	}
	rank := func(s Standing) int {
		switch {
		case s.Told == nil:
			return 0
		case s.Changed == "facts" || s.Changed == "gone":
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b Standing) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}
