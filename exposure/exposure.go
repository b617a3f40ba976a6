// Package exposure says what was in the mail that was reached: which messages,
// with which attachments, which secrets have to be changed, whose data it was.
//
// Which messages were reached is not decided here: a case says so, each with
// its certainty. They are joined to what is known of them: records of the
// event store, lists of message metadata, and exports of mailboxes. A message
// that cannot be said to be reached is not listed.
//
// Everything in mail was written by somebody else. Nothing of it is executed or
// used as a path; no body is kept, only what was found in it and where. A
// secret leaves this package as a fingerprint and a preview that does not give
// it away, never as itself: not in results, not in errors.
//
// An [Exposure] is written as exposure.json, schema [Schema];
// docs/EXPOSURE.md documents every member. The same input gives the same bytes.
package exposure

import "midwatch/casefile"

// Schema is the version of the contract that this package writes.
const Schema = "midwatch.exposure/1"

// Exposure is a whole exposure.json.
type Exposure struct {
	Schema         string         `json:"schema"`         // version of this contract
	Case           string         `json:"case"`           // id of the case that says what was reached
	Salt           string         `json:"salt"`           // what fingerprints are salted with
	OwnDomains     []string       `json:"own_domains"`    // domains held to be the organization's own
	Inputs         []Input        `json:"inputs"`         // files of mail and metadata that were read, in order of reading
	Counts         Counts         `json:"counts"`         // the whole in numbers
	Messages       []Message      `json:"messages"`       // messages that were reached, the most certain first, then by access
	Rotation       []Secret       `json:"rotation"`       // secrets found in them, in the order in which to change them
	Counterparties []Counterparty `json:"counterparties"` // organizations outside with mail in what was reached, the most certain and most affected first
	Inside         []Department   `json:"inside"`         // departments inside with mail in what was reached
	PersonalData   []PersonalData `json:"personal_data"`  // kinds of personal data found
	NotRead        []NotRead      `json:"not_read"`       // what of the reached mail, or of the input, could not be read, and why
	Limits         []string       `json:"limits"`         // what cannot be said, in words
}

// Input is one file that was read.
type Input struct {
	Path     string `json:"path"`              // as given; members of archives after "!"
	SHA256   string `json:"sha256"`            // of the decompressed bytes that were read
	Bytes    int64  `json:"bytes"`             // decompressed
	Kind     string `json:"kind"`              // eml, mbox, metadata, pst, other
	Messages int64  `json:"messages"`          // messages in it
	Reached  int64  `json:"reached"`           // of these, messages that the case says were reached
	Why      string `json:"why,omitempty"`     // why it was read in part or not at all
	Mailbox  string `json:"mailbox,omitempty"` // mailbox that its path names
}

// Counts are numbers of the whole. Certainties are never added up; a thing
// counts once, under the highest certainty that holds for it.
type Counts struct {
	Messages       casefile.PerCertainty `json:"messages"`       // distinct messages reached
	Content        casefile.PerCertainty `json:"content"`        // of these, with content that was read, in whole or in part
	Mailboxes      casefile.PerCertainty `json:"mailboxes"`      // mailboxes with such a message
	Attachments    int64                 `json:"attachments"`    // attachments of messages whose content was read
	Secrets        casefile.PerCertainty `json:"secrets"`        // distinct secrets
	Counterparties casefile.PerCertainty `json:"counterparties"` // organizations outside
	NotRead        int64                 `json:"not_read"`       // entries of not_read
	Unreached      int64                 `json:"unreached"`      // messages of the input that the case does not say were reached
}

// Address is somebody a message is from or to.
type Address struct {
	Address string `json:"address"`        // mail address, lower case
	Name    string `json:"name,omitempty"` // name as the message gives it
}

// Message is a message that was reached.
type Message struct {
	ID                string             `json:"id"`                            // hash of what identifies it
	InternetMessageID string             `json:"internet_message_id,omitempty"` // without angle brackets, as first met; absent where only the item id is known
	ItemID            string             `json:"item_id,omitempty"`             // id in the mailbox store, where only that is known
	Subject           string             `json:"subject,omitempty"`             // subject; secrets in it are replaced
	From              Address            `json:"from"`                          // sender
	To                []Address          `json:"to"`                            // recipients, copies included, at most 200
	Recipients        int64              `json:"recipients"`                    // exact number of them
	Date              casefile.Time      `json:"date"`                          // when it was sent; null unknown
	Bytes             int64              `json:"bytes,omitempty"`               // size, where a record has it
	Direction         string             `json:"direction"`                     // inbound, outbound, internal, unknown
	Certainty         casefile.Certainty `json:"certainty"`                     // the highest that holds for it in any mailbox
	First             casefile.Time      `json:"first"`                         // first access, a lower bound
	Access            []Access           `json:"access"`                        // in which mailboxes it was reached, and how surely
	Content           string             `json:"content"`                       // read, partly read, or not available
	Sources           []string           `json:"sources"`                       // what is known of it comes from: audit_log, message_trace, metadata, export
	Files             []string           `json:"files"`                         // files of the input that it was found in, at most 20
	Copies            int64              `json:"copies"`                        // copies of it that were read
	Conflict          bool               `json:"conflict"`                      // copies with this id differ in content: the id names several messages, all were searched
	Attachments       []Attachment       `json:"attachments"`                   // attachments, of all copies
	AttachmentNames   []string           `json:"attachment_names"`              // names that only a record gives
	Secrets           []string           `json:"secrets"`                       // fingerprints of secrets in it
	PersonalData      []KindCount        `json:"personal_data"`                 // personal data in it, distinct values by kind
}

// Access is how a message was reached in one mailbox.
type Access struct {
	Mailbox   string             `json:"mailbox"`          // owner's address
	Campaign  string             `json:"campaign"`         // campaign of the case
	Certainty casefile.Certainty `json:"certainty"`        // of access, as the case has it
	Basis     string             `json:"basis"`            // record: one names the message; folder: its folder was synchronized; window: it lay in the mailbox while reads were not recorded; forward: it came in while a rule sent mail outside
	Folder    string             `json:"folder,omitempty"` // folder, where it is known
	First     casefile.Time      `json:"first"`            // first access; of a window its begin
	Last      casefile.Time      `json:"last"`             // last access; of a window its end, null: open
	Events    []string           `json:"events"`           // records that show it
}

// The bases of access.
const (
	BasisRecord  = "record"
	BasisFolder  = "folder"
	BasisWindow  = "window"
	BasisForward = "forward"
)

// Attachment is a file in a message.
type Attachment struct {
	Part    string `json:"part"`           // where it stands: numbers as in IMAP, nested messages after "/"
	Name    string `json:"name,omitempty"` // name as the message gives it: never a path
	Type    string `json:"type"`           // media type as the message gives it
	Bytes   int64  `json:"bytes"`          // decoded
	SHA256  string `json:"sha256"`         // of the decoded bytes
	Scanned bool   `json:"scanned"`        // its text was searched
	Why     string `json:"why,omitempty"`  // why it was not, or not to its end
}

// Secret is something that has to be changed because who reached the mail can
// use it. It is never itself in any output.
type Secret struct {
	Fingerprint    string                `json:"fingerprint"`     // salted hash: the same secret has the same one
	Kind           string                `json:"kind"`            // password, private-key, connection-string, or the name of the rule that knows its vendor's form
	Description    string                `json:"description"`     // what it is, in words
	Preview        string                `json:"preview"`         // what can be shown of it
	State          State                 `json:"state"`           // open, rotated, accepted
	Certainty      casefile.Certainty    `json:"certainty"`       // the highest of access to any message with it
	Mailboxes      casefile.PerCertainty `json:"mailboxes"`       // mailboxes in which it was reached
	Messages       casefile.PerCertainty `json:"messages"`        // messages that it stands in
	FirstExposed   casefile.Time         `json:"first_exposed"`   // earliest access to a message with it, of any certainty
	FirstConfirmed casefile.Time         `json:"first_confirmed"` // earliest confirmed access; null: none is
	SentFirst      casefile.Time         `json:"sent_first"`      // date of the oldest message with it
	Owner          Owner                 `json:"owner"`           // whose it probably is
	Places         []Place               `json:"places"`          // where it stands, at most 50
	PlaceCount     int64                 `json:"place_count"`     // exact number of places
}

// State is what was done about a secret. It comes from outside of this
// package, by fingerprint.
type State string

// The states.
const (
	Open     State = "open"
	Rotated  State = "rotated"
	Accepted State = "accepted"
)

// Owner says whose a secret probably is, and what that rests on.
type Owner struct {
	Organization string `json:"organization"` // domain, or of private mail the address; empty: not known
	Side         string `json:"side"`         // own, counterparty, unknown
	Basis        string `json:"basis"`        // why
}

// Place is where a secret stands.
type Place struct {
	Message string        `json:"message"`        // id of the message
	From    string        `json:"from"`           // who sent it
	To      []string      `json:"to"`             // to whom, at most 10
	Date    casefile.Time `json:"date"`           // when it was sent
	Part    string        `json:"part"`           // part of the message; members of archives after "!"
	Name    string        `json:"name,omitempty"` // attachment
	Line    int64         `json:"line"`           // line in the part's decoded text, from 1; 0: in the subject
	Offset  int64         `json:"offset"`         // byte offset in the part's decoded text (UTF-8; of HTML and Office in the text taken out of it)
	Rule    string        `json:"rule"`           // detector that found it
}

// Counterparty is an organization outside with mail in what was reached.
type Counterparty struct {
	Domain       string                `json:"domain"`        // registrable domain
	Domains      []string              `json:"domains"`       // domains of its addresses
	PrivateMail  bool                  `json:"private_mail"`  // a large provider of private mail: its people are persons, and no organization
	Certainty    casefile.Certainty    `json:"certainty"`     // the highest of access to any of its messages
	Messages     casefile.PerCertainty `json:"messages"`      // messages from or to it
	Sent         int64                 `json:"sent"`          // of these, sent by it
	Attachments  int64                 `json:"attachments"`   // attachments in them
	Secrets      []string              `json:"secrets"`       // fingerprints of secrets in them
	OwnedSecrets []string              `json:"owned_secrets"` // of these, those that are probably its own
	PersonalData []KindCount           `json:"personal_data"` // personal data in them
	First        casefile.Time         `json:"first"`         // first access to any of them
	People       []Person              `json:"people"`        // its people in them, the most affected first, at most 200
	PeopleCount  int64                 `json:"people_count"`  // exact number of them
}

// Person is somebody with mail in what was reached.
type Person struct {
	Address     string                `json:"address"`         // mail address
	Name        string                `json:"name,omitempty"`  // name as the first message gives it
	Title       string                `json:"title,omitempty"` // job title, as the directory says
	Leads       bool                  `json:"leads,omitempty"` // the title is one of a manager or an executive
	Certainty   casefile.Certainty    `json:"certainty"`       // the highest of access to any of the messages
	Messages    casefile.PerCertainty `json:"messages"`        // messages from or to the person
	Attachments int64                 `json:"attachments"`     // attachments in them
	Secrets     int64                 `json:"secrets"`         // distinct secrets in them
	Personal    []KindCount           `json:"personal_data"`   // personal data in them
}

// Department is a part of the organization with mail in what was reached.
type Department struct {
	Name      string                `json:"name"`      // as the directory says; empty: not in it
	Messages  casefile.PerCertainty `json:"messages"`  // messages from, to, or in a mailbox of it
	Mailboxes casefile.PerCertainty `json:"mailboxes"` // mailboxes of it that were reached
	Secrets   int64                 `json:"secrets"`   // distinct secrets in them
	Leaders   []Person              `json:"leaders"`   // managers and executives among them
	People    int64                 `json:"people"`    // people of it in such messages
}

// KindCount counts distinct values of one kind.
type KindCount struct {
	Kind  string `json:"kind"`  // kind of personal data
	Count int64  `json:"count"` // distinct values
}

// PersonalData says how much of a kind of personal data was reached. Values
// are in no output.
type PersonalData struct {
	Kind      string                `json:"kind"`      // payment_card, iban, us_ssn, uk_nino, de_tax_id, passport
	Doc       string                `json:"doc"`       // what it is and how it was checked
	Values    int64                 `json:"values"`    // distinct values
	Messages  casefile.PerCertainty `json:"messages"`  // messages that hold one
	Mailboxes []string              `json:"mailboxes"` // mailboxes in which these were reached
	Senders   []string              `json:"senders"`   // domains that sent them
}

// NotRead is something that could not be read.
type NotRead struct {
	Message string `json:"message,omitempty"` // id of the message; absent: a file of the input
	File    string `json:"file"`              // file of the input
	Part    string `json:"part,omitempty"`    // part of the message
	Name    string `json:"name,omitempty"`    // attachment
	Reason  string `json:"reason"`            // why
}
