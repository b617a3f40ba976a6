package dossier

import (
	"database/sql/driver"
	"iter"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
)

// table is a long list of a case as an engine holds it. Its rows are made of
// what of the case is held in memory (rows), or while the file is read, into the
// table called read; or of other tables by a query, in whose order they lie.
type table struct {
	name, doc string
	columns   []event.Column
	rows      func(*casefile.Case) iter.Seq[[]driver.Value]
	read      string
	query     string
}

// Doc describes a table to those who ask questions.
type Doc struct {
	Name, Doc string
	Columns   []event.Column
}

// Docs describes the tables of a case.
func Docs() (out []Doc) {
	for _, t := range tables() {
		out = append(out, Doc{t.name, t.doc, t.columns})
	}
	return out
}

func text(name, doc string) event.Column {
	return event.Column{Name: name, Type: event.TypeText, Doc: doc}
}
func count(name, doc string) event.Column {
	return event.Column{Name: name, Type: event.TypeBigInt, Doc: doc}
}
func moment(name, doc string) event.Column {
	return event.Column{Name: name, Type: event.TypeTimestamp, Doc: doc}
}

const rankDoc = "3 confirmed, 2 probable, 1 possible"

func tables() []table {
	return []table{
		{"mailboxes", "mailboxes that a campaign reached, or cannot be cleared of", []event.Column{
			text("campaign", "id of the campaign"), text("mailbox", "owner's address"), text("tenant", "its tenant"), text("certainty", "confirmed, probable or possible"), count("rank", rankDoc),
			moment("first", "first access, a lower bound"), moment("last", "last access, a lower bound"),
			count("confirmed", "messages that a record names"), count("probable", "messages probably reached"), count("possible", "messages that cannot be cleared"),
			count("folders", "folders synchronized as a whole"), count("windows", "times without records of reads"), count("attachments", "attachments read by themselves"), count("records", "records that show it"), text("why", "what the certainty rests on"),
		}, mailboxRows, "", ""},
		{"messages", "messages that a campaign reached, or that cannot be cleared", []event.Column{
			count("n", "number in the case"), text("campaign", "id of the campaign"), text("mailbox", "owner's address"), text("message_id", "internet message id"), text("item_id", "id in the mailbox store"),
			text("folder", "folder it was in"), text("subject", "subject, where a record has it"), text("attachments", "names, where a record has them"), count("bytes", "size"),
			text("certainty", "confirmed, probable or possible"), count("rank", rankDoc), moment("first", "first record that names it"), moment("last", "last record that names it"), count("reads", "records that name it"),
			text("contexts", "contexts that reached it"), text("event", "first record, an event id"), text("events", "event ids"), moment("purged", "deleted for good"), text("purged_by", "by whom"),
		}, nil, "messages", ""},
		{"attachments", "attachments that were read by themselves", []event.Column{
			text("campaign", "id of the campaign"), text("mailbox", "owner's address"), text("id", "id of the attachment"), text("item_id", "of its message"), count("bytes", "size"),
			text("certainty", "confirmed, probable or possible"), count("rank", rankDoc), moment("first", "first read"), moment("last", "last read"), text("event", "first record"),
		}, nil, "attachments", ""},
		{"findings", "what detectors and rules found", []event.Column{
			text("id", "id of the finding"), text("detector", "id of the detector"), text("title", "what was found"), text("severity", "info to critical"), count("rank", "1 info to 5 critical"), text("stage", "guessing, access, persistence, privilege, collection, evasion, exfiltration"),
			text("tenant", "tenant id"), moment("first", "first record"), moment("last", "last record"), text("campaign", "id of its campaign; empty: none"), count("records", "records it stands on"), text("why", "why it is one"),
		}, findingRows, "", ""},
		{"cites", "which claim stands on which record", []event.Column{
			text("event", "event id"), text("kind", "finding, mailbox, message, attachment, account, app, credential, step"), text("ref", "id of what claims"), text("campaign", "id of the campaign"), text("stage", "stage of the claim"), count("rank", "certainty or severity"),
		}, nil, "read_cites", "SELECT * FROM read_cites ORDER BY event, kind, ref, campaign"}, // it is asked for by record
		{"moments", "records that claims stand on, by time: one row for each stage and campaign", []event.Column{
			moment("moment", "when it happened"), text("event", "event id"), text("stage", "stage of the claim"), text("campaign", "id of the campaign; empty: of none"), count("rank", "certainty of the claim: 3 confirmed, 2 probable, 1 possible; 0 not about certainty"),
			text("operation", "operation"), text("actor", "who acted"), text("ip", "address"), text("target", "what was acted on"),
		}, nil, "", moments},
		{"evidence", "log lines that claims stand on", []event.Column{
			text("event", "event id"), moment("moment", "when it happened"), text("file", "path as given"), text("sha256", "of the file"), count("line", "from 1"), count("pos", "byte offset"), count("length", "bytes"),
			text("tenant", "tenant"), text("source", "log"), text("operation", "operation"), text("actor", "who acted"), text("ip", "address"), text("target", "what was acted on"),
		}, nil, "read_evidence", "SELECT * FROM read_evidence ORDER BY moment, event"}, // most questions ask for a stretch of time
	}
}

// moments are the claims by the time of their records. Findings and steps say
// nothing about certainty.
const moments = `SELECT e.moment, c.event, c.stage, c.campaign, max(CASE WHEN c.kind IN ('finding', 'step') THEN 0 ELSE c.rank END)::BIGINT AS rank, any_value(e.operation) AS operation, any_value(e.actor) AS actor, any_value(e.ip) AS ip, any_value(e.target) AS target
	FROM read_cites c JOIN read_evidence e ON e.event = c.event WHERE c.stage IS NOT NULL AND e.moment IS NOT NULL
	GROUP BY e.moment, c.event, c.stage, c.campaign ORDER BY e.moment, c.event, c.stage, c.campaign NULLS FIRST`

// at is a time as a value of a column.
func at(t casefile.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

// word is text as a value of a column; what is not known is NULL.
func word(s string) driver.Value {
	if s == "" {
		return nil
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func first(ids []string) driver.Value {
	if len(ids) == 0 {
		return nil
	}
	return ids[0]
}

func rank(c casefile.Certainty) int64 { return int64(c.Rank()) }

func mailboxRows(c *casefile.Case) iter.Seq[[]driver.Value] {
	return func(yield func([]driver.Value) bool) {
		for _, x := range c.Campaigns {
			for _, m := range x.Mailboxes {
				n := m.Counts.Messages
				if !yield([]driver.Value{x.ID, word(m.UPN), word(m.Tenant), string(m.Certainty), rank(m.Certainty), at(m.First), at(m.Last), n.Confirmed, n.Probable, n.Possible,
					int64(len(m.WholeFolders)), int64(len(m.Windows)), m.Attachments, m.EventCount, word(m.Why)}) {
					return
				}
			}
		}
	}
}

// campaignOf says which campaign each finding is in.
func campaignOf(c *casefile.Case) map[string]string {
	in := map[string]string{}
	for _, x := range c.Campaigns {
		for _, f := range x.Findings {
			in[f] = x.ID
		}
	}
	return in
}

func findingRows(c *casefile.Case) iter.Seq[[]driver.Value] {
	in := campaignOf(c)
	return func(yield func([]driver.Value) bool) {
		for _, f := range c.Findings {
			if !yield([]driver.Value{f.ID, f.Detector, word(f.Title), string(f.Severity), int64(f.Severity.Rank()), word(f.Stage), word(f.Tenant), at(f.First), at(f.Last), word(in[f.ID]), f.EventCount, word(f.Why)}) {
				return
			}
		}
	}
}

// cite is a claim that stands on a record.
type cite struct {
	event, kind, ref, campaign, stage string
	rank                              int
}

func (x cite) row() []driver.Value {
	return []driver.Value{x.event, x.kind, word(x.ref), word(x.campaign), word(x.stage), int64(x.rank)}
}

// cites are the claims that stand on records, but for those of messages and
// attachments, which are not held in memory.
func cites(c *casefile.Case) iter.Seq[cite] {
	in := campaignOf(c)
	return func(yield func(cite) bool) {
		more := true
		say := func(ids []string, kind, ref, campaign, stage string, rank int) {
			for _, id := range ids {
				if more = more && yield(cite{id, kind, ref, campaign, stage, rank}); !more {
					return
				}
			}
		}
		for _, f := range c.Findings {
			say(f.Events, "finding", f.ID, in[f.ID], f.Stage, f.Severity.Rank())
		}
		for _, x := range c.Campaigns {
			for _, s := range x.Timeline {
				say(s.Events, "step", s.Finding, x.ID, s.Stage, 0)
			}
			for _, a := range x.Accounts {
				say(a.Events, "account", a.UPN, x.ID, "", a.Certainty.Rank())
			}
			for _, a := range x.Apps {
				say(a.Events, "app", a.ID, x.ID, "", a.Certainty.Rank())
			}
			for _, k := range x.Credentials {
				say(k.Events, "credential", k.KeyID, x.ID, casefile.StagePersistence, 0)
			}
			for _, m := range x.Mailboxes {
				say(m.Events, "mailbox", m.UPN, x.ID, casefile.StageCollection, m.Certainty.Rank())
				for _, w := range m.Windows {
					say(w.Events, "mailbox", m.UPN, x.ID, casefile.StageCollection, w.Certainty.Rank())
				}
				for _, w := range m.WholeFolders {
					say(w.Events, "mailbox", m.UPN, x.ID, casefile.StageCollection, w.Certainty.Rank())
				}
			}
		}
	}
}
