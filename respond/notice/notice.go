// Package notice drafts what an organization tells the people whose mail was
// reached: each employee, each organization or person outside, each authority.
//
// A notice says what happened in plain words, which of the recipient's own
// messages were reached and how surely, what to change, whom to ask, and how to
// find out that the notice is genuine. It holds no message body, no secret, no
// link, and of an outside party's mail only what they sent or received.
//
// Nothing is sent. Everything in a notice that comes from logs and mail was
// written by somebody else: it is escaped for the form it is written in, by the
// engine that fills the templates and not by the templates (see [Templates]).
package notice

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/exposure"
)

// Kind says what a recipient is.
type Kind string

// The kinds.
const (
	Employee  Kind = "employee"  // owner of a mailbox that was reached
	Outside   Kind = "outside"   // organization, or person with private mail, outside
	Regulator Kind = "regulator" // authority
)

// Notice is what one recipient is told.
type Notice struct {
	ID        string                `json:"id"` // hash of kind and recipient: the same in every run
	Kind      Kind                  `json:"kind"`
	Recipient string                `json:"recipient"` // address, domain, or the authority's name
	To        []Address             `json:"to"`        // to whom the draft is addressed; empty: to be decided
	People    []Person              `json:"people"`    // of an organization outside: its people in the messages
	Happened  []Happened            `json:"happened"`  // what happened, by campaign
	Certainty casefile.Certainty    `json:"certainty"` // the highest of any of the messages
	Counts    casefile.PerCertainty `json:"counts"`    // messages
	Messages  []Message             `json:"messages"`  // the recipient's own, the surest first
	Unnamed   int64                 `json:"unnamed"`   // messages that were probably read and that no record names
	Folders   []string              `json:"folders"`   // folders that were synchronized as a whole
	Windows   []Window              `json:"windows"`   // times in which reads were not recorded
	Secrets   []Secret              `json:"secrets"`   // what to change
	Personal  []Personal            `json:"personal"`  // personal data in the messages
	Done      []string              `json:"done"`      // what the organization did
	Limits    []string              `json:"limits"`    // what is not known
	Overall   *Overall              `json:"overall"`   // of an authority: the whole in numbers
	Told      *Told                 `json:"told"`      // what they were told before, where it was something else
}

// Address is somebody with a mail address.
type Address struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Person is somebody outside with mail in what was reached.
type Person struct {
	Address
	Messages casefile.PerCertainty `json:"messages"`
}

// Happened is one campaign, without names of accounts: a notice leaves the house.
type Happened struct {
	First       casefile.Time `json:"first"`         // first sign
	Inside      casefile.Time `json:"inside"`        // from when on the actor was in; null: not known
	FirstRead   casefile.Time `json:"first_read"`    // of the recipient's mail
	LastRead    casefile.Time `json:"last_read"`     // of the recipient's mail
	Last        casefile.Time `json:"last"`          // last record of the actor
	Established bool          `json:"established"`   // false: it may be an administrator at work
	Earlier     bool          `json:"maybe_earlier"` // it may have begun before the logs do
}

// Message is one of the recipient's messages.
type Message struct {
	ID        string             `json:"id"`        // as in exposure.json, or the internet message id
	Date      casefile.Time      `json:"date"`      // null: not known
	Subject   string             `json:"subject"`   // secrets in it are replaced
	Direction string             `json:"direction"` // from the recipient's side: sent, received, unknown
	Certainty casefile.Certainty `json:"certainty"` // of access
	First     casefile.Time      `json:"first"`     // first access
	Evidence  []string           `json:"evidence"`  // ids of records, at most 5
	People    []string           `json:"people"`    // of an organization outside: whose message it is
}

// Window is a time in which reads were not recorded.
type Window struct {
	From      casefile.Time      `json:"from"`
	To        casefile.Time      `json:"to"` // null: open
	Certainty casefile.Certainty `json:"certainty"`
}

// Secret is something to change. It is told by its kind and a preview.
type Secret struct {
	Fingerprint string             `json:"fingerprint"`
	Kind        string             `json:"kind"` // in words
	Preview     string             `json:"preview"`
	Certainty   casefile.Certainty `json:"certainty"`
	First       casefile.Time      `json:"first"` // first access to a message of theirs with it
	State       exposure.State     `json:"state"`
	Yours       bool               `json:"yours"` // it is probably the recipient's; else, without owner, it cannot be told whose it is
	Owner       string             `json:"owner"` // of an employee: the organization outside whose it probably is
	Where       []Where            `json:"where"` // the recipient's messages that it stands in
}

// Where is a message that a secret stands in.
type Where struct {
	Date    casefile.Time `json:"date"`
	Subject string        `json:"subject"`
	Name    string        `json:"name"` // attachment
}

// Personal is a kind of personal data.
type Personal struct {
	Kind  string `json:"kind"`  // in words
	Count int64  `json:"count"` // distinct values, counted in each message
}

// Overall is the whole in numbers.
type Overall struct {
	Mailboxes casefile.PerCertainty `json:"mailboxes"`
	Messages  casefile.PerCertainty `json:"messages"`
	Parties   casefile.PerCertainty `json:"parties"`
	Secrets   casefile.PerCertainty `json:"secrets"`
	Folders   int64                 `json:"folders"`
	Verdict   []string              `json:"verdict"`
}

// Told is what a recipient was told, as the journal has it.
type Told struct {
	At      casefile.Time         `json:"at"`
	Counts  casefile.PerCertainty `json:"counts"`
	Secrets int                   `json:"secrets"`
}

// Input is what notices are made from.
type Input struct {
	Case     *casefile.Case
	Exposure *exposure.Exposure        // nil: none was made, and nobody outside is known
	States   map[string]exposure.State // what became of secrets, as the journal says
	Contact  *Contact
	Contain  []string // containment steps that were carried out, in words
	Decided  []string // decisions that the contact file says to tell
	Sent     map[string][]State
}

// ids of recipients are the same in every run.
func idOf(kind Kind, recipient string) string {
	h := sha256.Sum256([]byte(string(kind) + "\n" + recipient))
	return "n-" + hex.EncodeToString(h[:8])
}

// Facts is a hash of what a notice says of the recipient's own mail: when it
// differs from what was sent, they have to be told again.
func (n *Notice) Facts() string {
	type secret struct{ F, C string }
	v := struct {
		M []string
		S []secret
		P []Personal
		U int64
		F []string
		W []Window
		O *Overall
	}{P: n.Personal, U: n.Unnamed, F: n.Folders, W: n.Windows, O: n.Overall}
	for _, m := range n.Messages {
		v.M = append(v.M, m.ID+" "+string(m.Certainty))
	}
	slices.Sort(v.M)
	for _, s := range n.Secrets {
		v.S = append(v.S, secret{s.Fingerprint, string(s.Certainty)})
	}
	slices.SortFunc(v.S, func(a, b secret) int { return strings.Compare(a.F, b.F) })
	if v.O != nil {
		o := *v.O
		o.Verdict = nil // wording
		v.O = &o
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// finish counts, sorts and says what was told before.
func (n *Notice) finish(in *Input) {
	n.ID = idOf(n.Kind, n.Recipient)
	slices.SortStableFunc(n.Messages, func(a, b Message) int {
		return cmp.Or(b.Certainty.Rank()-a.Certainty.Rank(), b.Date.Compare(a.Date.Time), strings.Compare(a.ID, b.ID))
	})
	for _, m := range n.Messages {
		n.Certainty = surer(n.Certainty, m.Certainty)
		per(&n.Counts, m.Certainty)
	}
	for i := len(in.Sent[n.ID]) - 1; i >= 0; i-- {
		if s := in.Sent[n.ID][i]; s.State == Sent && s.Facts != n.Facts() {
			n.Told = &Told{s.At, s.Counts, s.Secrets}
			break
		}
	}
}

func surer(a, b casefile.Certainty) casefile.Certainty {
	if b.Rank() > a.Rank() {
		return b
	}
	return a
}

func per(p *casefile.PerCertainty, c casefile.Certainty) {
	switch c {
	case casefile.Confirmed:
		p.Confirmed++
	case casefile.Probable:
		p.Probable++
	case casefile.Possible:
		p.Possible++
	}
}

// Sure is how surely an intruder reached mail of the recipient's: what records
// show of access is only possibly an intruder's where no campaign is established.
func (n *Notice) Sure() casefile.Certainty {
	for _, h := range n.Happened {
		if h.Established {
			return n.Certainty
		}
	}
	return casefile.Possible
}

// With are the messages of a certainty; templates ask for them.
func (n *Notice) With(c string) (out []Message) {
	for _, m := range n.Messages {
		if string(m.Certainty) == c {
			out = append(out, m)
		}
	}
	return out
}

// SecretsOpen are those that are still to be changed, that are the recipient's
// (yours) or of which nobody knows whose they are.
func (n *Notice) SecretsOpen(yours bool) (out []Secret) {
	for _, s := range n.Secrets {
		if s.Yours == yours && s.Owner == "" && s.State == exposure.Open {
			out = append(out, s)
		}
	}
	return out
}

// SecretsOthers are those that are still to be changed and probably belong to
// others, who are told themselves.
func (n *Notice) SecretsOthers() (out []Secret) {
	for _, s := range n.Secrets {
		if s.Owner != "" && s.State == exposure.Open {
			out = append(out, s)
		}
	}
	return out
}
