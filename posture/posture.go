// Package posture finds the doors that the Midnight Blizzard incident used in
// an organization's own evidence, before somebody else does: accounts without
// a second factor, forgotten test accounts and applications, permissions that
// nobody uses, audit logs that would not have shown it.
//
// It asks the event store, and reads the exports that collectors write of a
// tenant's settings (see exports.go for which). What the evidence cannot say
// is unknown and is told as that: no door is called closed because nothing was
// seen at it. The contract of posture.json is in docs/POSTURE.md.
package posture

import "midwatch/casefile"

// Schema is the version of the contract that this package writes.
const Schema = "midwatch.posture/1"

// Posture is a whole posture.json.
type Posture struct {
	Schema  string        `json:"schema"`  // version of this contract
	Case    string        `json:"case"`    // id of the case; empty for a store without one
	From    casefile.Time `json:"from"`    // first event of the evidence
	To      casefile.Time `json:"to"`      // last event of the evidence: all ages are counted back from here
	Tenants []Tenant      `json:"tenants"` // organizations in the evidence, with the logs that there are of each
	Doors   []Door        `json:"doors"`   // what is open, worst first
	Answers []Answer      `json:"answers"` // every check of every tenant with its answer, those that cannot be given included
	Exports []Export      `json:"exports"` // exports that were named, and what became of each
}

// Tenant is an organization in the evidence.
type Tenant struct {
	ID   string        `json:"id"`   // tenant id; empty for records that do not name theirs
	Name string        `json:"name"` // its accounts' most frequent domain
	From casefile.Time `json:"from"` // first record
	To   casefile.Time `json:"to"`   // last record
	Logs []Log         `json:"logs"` // logs that there are
}

// Log is how far a log of a tenant goes.
type Log struct {
	Name    string        `json:"name"`    // log, and kind of sign-in after "/"
	First   casefile.Time `json:"first"`   // first record
	Last    casefile.Time `json:"last"`    // last record
	Records int64         `json:"records"` // records
	Days    int64         `json:"days"`    // days with a record
	Window  int64         `json:"window"`  // days of the tenant's evidence
	Share   float64       `json:"share"`   // days / window
}

// Door is something that is open, with what to do about it.
type Door struct {
	ID         string            `json:"id"`          // hash of check, tenant and what is open
	Check      string            `json:"check"`       // check that found it
	Tenant     string            `json:"tenant"`      // tenant id
	TenantName string            `json:"tenant_name"` // its name
	Severity   casefile.Severity `json:"severity"`    // how much it would help an intruder
	Title      string            `json:"title"`       // in one line
	Seen       string            `json:"seen"`        // what was seen, with numbers
	Why        string            `json:"why"`         // why it matters: what the incident did with it
	Fix        []Step            `json:"fix"`         // what closes it, in order
	Breaks     string            `json:"breaks"`      // what that may break
	Techniques []string          `json:"techniques"`  // ATT&CK techniques that it closes
	Limits     []string          `json:"limits"`      // what speaks for care with it
	Members    []Member          `json:"members"`     // accounts, applications, mailboxes that it is about, at most 500
	Count      int64             `json:"count"`       // exact number of them
}

// Step is one thing to do.
type Step struct {
	Tool    string `json:"tool"`    // Graph PowerShell, Exchange Online PowerShell, Azure CLI, Midwatch
	Command string `json:"command"` // one line; values are quoted, and those that cannot be quoted safely are left out
	Note    string `json:"note"`    // what to know before; empty: nothing
}

// Member is one of what a door is about, with its evidence.
type Member struct {
	Kind   casefile.EntityKind `json:"kind"`   // what it is
	ID     string              `json:"id"`     // its id
	Name   string              `json:"name"`   // its name, where that is something else
	Text   string              `json:"text"`   // what was seen of it
	Events []string            `json:"events"` // records that show it
	Places []Place             `json:"places"` // rows of exports that show it
}

// Place is a row of an export.
type Place struct {
	File string `json:"file"` // path as given; members of archives after "!"
	Line int64  `json:"line"` // its first line, from 1; 0: the file has no lines of its own
}

// State is what is known of a door.
type State string

// The states.
const (
	Open    State = "open"     // it is
	NotSeen State = "not_seen" // nothing in the logs shows it open, in the time that they cover: not the same as closed
	Closed  State = "closed"   // an export that lists all of the kind says so
	Unknown State = "unknown"  // what would tell is not there
)

// Answer is the answer of a check about a tenant.
type Answer struct {
	Check  string `json:"check"`  // the check
	Title  string `json:"title"`  // what it looks for
	Tenant string `json:"tenant"` // tenant id
	State  State  `json:"state"`  // the answer
	Text   string `json:"text"`   // on what it stands
	Fetch  string `json:"fetch"`  // what would make it surer; empty: nothing that Midwatch reads
}

// Export is a file that was named as an export.
type Export struct {
	File   string `json:"file"`   // path as given; members of archives after "!"
	SHA256 string `json:"sha256"` // of its decompressed bytes
	Kind   string `json:"kind"`   // what it was recognized as; empty: nothing
	Rows   int64  `json:"rows"`   // rows that were used
	Reason string `json:"reason"` // why it, or some of its rows, were not used; empty: all were
}

// MaxMembers is how many members a door lists. Counts are exact.
const MaxMembers = 500
