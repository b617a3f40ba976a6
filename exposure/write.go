package exposure

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"midwatch/casefile"
)

// Write writes the exposure as indented JSON. Absent lists are empty, never
// null, so that readers need not tell the two apart.
func Write(w io.Writer, x *Exposure) error {
	if err := casefile.WriteJSON(w, x); err != nil {
		return fmt.Errorf("write exposure: %w", err)
	}
	return nil
}

// Read reads an exposure.json and refuses another schema.
func Read(r io.Reader) (*Exposure, error) {
	var x Exposure
	if err := json.NewDecoder(r).Decode(&x); err != nil {
		return nil, fmt.Errorf("read exposure: %w", err)
	}
	if x.Schema != Schema {
		return nil, fmt.Errorf("read exposure: schema is %q, this version reads %q", x.Schema, Schema)
	}
	return &x, nil
}

// Table is a table of an exposure: its file's name, and rows, the first with the
// names of the columns. Cells are text from mail: whoever writes them as CSV
// has to neutralize formulas.
type Table struct {
	File string
	Rows [][]string
}

// Tables are the exposure's tables.
func Tables(x *Exposure) []Table {
	return []Table{messageTable(x), rotationTable(x), counterpartyTable(x)}
}

func number(n int64) string       { return fmt.Sprint(n) }
func joined(list []string) string { return strings.Join(list, " ") }

func perCertainty(p casefile.PerCertainty) []string {
	return []string{number(p.Confirmed), number(p.Probable), number(p.Possible)}
}

func kinds(ks []KindCount) string {
	var out []string
	for _, k := range ks {
		out = append(out, fmt.Sprintf("%s=%d", k.Kind, k.Count))
	}
	return joined(out)
}

// messageTable has a row a message and mailbox. The case's own messages.csv has
// what the logs say, this one what was in it.
func messageTable(x *Exposure) Table {
	t := Table{File: "exposure-messages.csv", Rows: [][]string{{"message", "internet_message_id", "mailbox", "campaign", "certainty", "basis", "folder", "first", "last", "date", "direction", "from", "to", "recipients", "subject", "content", "attachments", "secrets", "personal_data", "events"}}}
	for i := range x.Messages {
		m := &x.Messages[i]
		var to, files []string
		for _, a := range m.To {
			to = append(to, a.Address)
		}
		for _, a := range m.Attachments {
			files = append(files, a.Name)
		}
		files = append(files, m.AttachmentNames...)
		for _, a := range m.Access {
			t.Rows = append(t.Rows, []string{m.ID, m.InternetMessageID, a.Mailbox, a.Campaign, string(a.Certainty), a.Basis, a.Folder, a.First.String(), a.Last.String(), m.Date.String(),
				m.Direction, m.From.Address, joined(to), number(m.Recipients), m.Subject, m.Content, strings.Join(files, "; "), joined(m.Secrets), kinds(m.PersonalData), joined(a.Events)})
		}
	}
	return t
}

func rotationTable(x *Exposure) Table {
	t := Table{File: "rotation.csv", Rows: [][]string{{"fingerprint", "state", "kind", "preview", "certainty", "mailboxes_confirmed", "mailboxes_probable", "mailboxes_possible", "messages_confirmed", "messages_probable", "messages_possible",
		"first_exposed", "first_confirmed", "sent_first", "owner", "side", "basis", "from", "to", "messages", "places"}}}
	for i := range x.Rotation {
		s := &x.Rotation[i]
		var from, to, msgs []string
		for _, p := range s.Places {
			from, to, msgs = append(from, p.From), append(to, p.To...), append(msgs, p.Message)
		}
		row := append([]string{s.Fingerprint, string(s.State), s.Kind, s.Preview, string(s.Certainty)}, perCertainty(s.Mailboxes)...)
		row = append(append(row, perCertainty(s.Messages)...), s.FirstExposed.String(), s.FirstConfirmed.String(), s.SentFirst.String(), s.Owner.Organization, s.Owner.Side, s.Owner.Basis,
			joined(casefile.Unique(from)), joined(casefile.Unique(to)), joined(casefile.Unique(msgs)), number(s.PlaceCount))
		t.Rows = append(t.Rows, row)
	}
	return t
}

// counterpartyTable has a row an organization, and one for each of its people.
func counterpartyTable(x *Exposure) Table {
	t := Table{File: "counterparties.csv", Rows: [][]string{{"organization", "person", "name", "certainty", "messages_confirmed", "messages_probable", "messages_possible", "attachments", "secrets", "owned_secrets", "personal_data", "first"}}}
	for i := range x.Counterparties {
		c := &x.Counterparties[i]
		row := append([]string{c.Domain, "", "", string(c.Certainty)}, perCertainty(c.Messages)...)
		t.Rows = append(t.Rows, append(row, number(c.Attachments), number(int64(len(c.Secrets))), number(int64(len(c.OwnedSecrets))), kinds(c.PersonalData), c.First.String()))
		for _, p := range c.People {
			row := append([]string{c.Domain, p.Address, p.Name, string(p.Certainty)}, perCertainty(p.Messages)...)
			t.Rows = append(t.Rows, append(row, number(p.Attachments), number(p.Secrets), "", kinds(p.Personal), ""))
		}
	}
	return t
}
