package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"midwatch/casefile"
)

// CSV writes the case's tables for spreadsheets and for other tools: UTF-8
// without a byte order mark, CRLF, every cell quoted. Unlike the HTML page it
// leaves nothing out.
//
// A cell that a spreadsheet would take for a formula gets a leading
// apostrophe; see [neutral].
type CSV struct{}

// Name implements [Format].
func (CSV) Name() string { return "csv" }

// Doc implements [Format].
func (CSV) Doc() string {
	return "mailboxes.csv, messages.csv, findings.csv, accounts.csv, assumed.csv, assertions.csv, milestones.csv, interests.csv, coverage.csv: whole tables, formulas neutralized"
}

// Files implements [Format].
func (CSV) Files() []string {
	return []string{"mailboxes.csv", "messages.csv", "findings.csv", "accounts.csv", "assumed.csv", "assertions.csv", "milestones.csv", "interests.csv", "coverage.csv"}
}

// Write implements [Format].
func (f CSV) Write(w io.Writer, file string, c *casefile.Case, _ Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	t := &table{w: w}
	switch file {
	case "mailboxes.csv":
		mailboxTable(t, c)
	case "messages.csv":
		messageTable(t, c)
	case "findings.csv":
		findingTable(t, c)
	case "accounts.csv":
		accountTable(t, c)
	case "assumed.csv":
		assumedTable(t, c)
	case "assertions.csv":
		assertionTable(t, c)
	case "milestones.csv":
		milestoneTable(t, c)
	case "interests.csv":
		interestTable(t, c)
	case "coverage.csv":
		coverageTable(t, c)
	}
	if t.err != nil {
		return fmt.Errorf("write %s: %w", file, t.err)
	}
	return nil
}

func mailboxTable(t *table, c *casefile.Case) {
	t.row("campaign", "mailbox", "tenant", "certainty", "first", "last", "messages_confirmed", "messages_probable", "messages_possible",
		"whole_folders", "windows_without_records", "attachments", "records", "why", "events", "tokens", "records_without_token")
	for _, cam := range c.Campaigns {
		for _, m := range cam.Mailboxes {
			n := m.Counts.Messages
			t.row(cam.ID, m.UPN, m.Tenant, string(m.Certainty), m.First.String(), m.Last.String(), integer(n.Confirmed), integer(n.Probable), integer(n.Possible),
				integer(int64(len(m.WholeFolders))), integer(int64(len(m.Windows))), integer(m.Attachments), integer(m.EventCount), m.Why, list(m.Events), list(m.Tokens), integer(m.NoToken))
		}
	}
}

// messageTable has whole folders, attachments and unrecorded times besides
// messages: a mailbox whose folders were synchronized has no message by name,
// and must not look untouched.
func messageTable(t *table, c *casefile.Case) {
	t.row("campaign", "mailbox", "kind", "internet_message_id", "certainty", "folder", "subject", "attachments", "bytes", "first", "last", "records", "contexts", "events", "purged", "purged_by")
	for _, cam := range c.Campaigns {
		for _, b := range cam.Mailboxes {
			for _, m := range b.Messages {
				size := ""
				if m.Bytes != nil {
					size = integer(*m.Bytes)
				}
				t.row(cam.ID, b.UPN, "message", m.InternetMessageID, string(m.Certainty), m.Folder, m.Subject, m.Attachments, size,
					m.First.String(), m.Last.String(), integer(m.Reads), list(m.Contexts), list(m.Events), m.Purged.String(), m.PurgedBy)
			}
			for _, a := range b.AttachmentItems {
				size := ""
				if a.Bytes != nil {
					size = integer(*a.Bytes)
				}
				t.row(cam.ID, b.UPN, "attachment", a.ItemID, string(a.Certainty), "", "", a.ID, size, a.First.String(), a.Last.String(),
					integer(int64(len(a.Events))), "", list(a.Events), "", "")
			}
			for _, f := range b.WholeFolders {
				t.row(cam.ID, b.UPN, "whole_folder", "", string(f.Certainty), f.Folder, "", "", "", f.First.String(), f.Last.String(),
					integer(int64(len(f.Events))), list(f.Contexts), list(f.Events), "", "")
			}
			for _, x := range b.Windows {
				t.row(cam.ID, b.UPN, "window_without_records", "", string(x.Certainty), "", x.Why, "", "", x.From.String(), x.To.String(),
					integer(int64(len(x.Events))), "", list(x.Events), "", "")
			}
		}
	}
}

func findingTable(t *table, c *casefile.Case) {
	in := map[string][]string{}
	for _, cam := range c.Campaigns {
		for _, f := range cam.Findings {
			in[f] = append(in[f], cam.ID)
		}
	}
	t.row("id", "detector", "title", "severity", "tenant", "first", "last", "detected", "campaign", "entities", "techniques", "counts", "records", "why", "events")
	for _, f := range c.Findings {
		var es, ns []string
		for _, e := range f.Entities {
			es = append(es, strings.Join(slices.DeleteFunc([]string{string(e.Kind), e.Role, e.ID}, func(s string) bool { return s == "" }), ":"))
		}
		for _, n := range f.Counts {
			ns = append(ns, n.Name+"="+strconv.FormatFloat(n.Value, 'f', -1, 64))
		}
		t.row(f.ID, f.Detector, f.Title, string(f.Severity), f.Tenant, f.First.String(), f.Last.String(), f.Detected.String(), list(in[f.ID]),
			list(es), list(f.Techniques), list(ns), integer(f.EventCount), f.Why, list(f.Events))
	}
}

func accountTable(t *table, c *casefile.Case) {
	t.row("campaign", "account", "object_id", "tenant", "role", "roles", "certainty", "since", "why", "findings", "events")
	for _, cam := range c.Campaigns {
		for _, a := range cam.Accounts {
			t.row(cam.ID, a.UPN, a.ID, a.Tenant, a.Role, list(a.Roles), string(a.Certainty), a.Since.String(), a.Why, list(a.Findings), list(a.Events))
		}
	}
}

func assumedTable(t *table, c *casefile.Case) {
	t.row("application", "name", "tenant", "since", "since_start", "last", "days", "records", "mailboxes", "mailboxes_repeated", "networks", "credentials", "why", "findings", "events")
	for _, a := range c.Assumed {
		t.row(a.App, a.Name, a.Tenant, a.Since.String(), strconv.FormatBool(a.SinceStart), a.Last.String(), integer(a.Days), integer(a.Records), integer(a.Mailboxes),
			integer(a.MailboxesRepeated), strings.Join(a.Networks, "; "), list(a.Credentials), a.Why, list(a.Findings), list(a.Events))
	}
}

func integer(n int64) string     { return strconv.FormatInt(n, 10) }
func list(items []string) string { return strings.Join(items, " ") }

// table writes rows until one fails, and remembers the failure.
type table struct {
	w   io.Writer
	err error
}

func (t *table) row(cells ...string) {
	if t.err == nil {
		t.err = CSVRow(t.w, cells...)
	}
}

// CSVRow writes one row as every table of ours has them: formulas neutralized,
// see [neutral], and every cell quoted, so that a spreadsheet that separates
// cells by semicolons cannot find a cell, and a formula, inside another.
func CSVRow(w io.Writer, cells ...string) error {
	var b strings.Builder
	for i, s := range cells {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(neutral(strings.ToValidUTF8(s, "\uFFFD")), `"`, `""`))
		b.WriteByte('"')
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// neutral puts an apostrophe before a cell that a spreadsheet would take for a
// formula: one that begins with = + - @, a tab, a carriage return or a line
// feed, also after blanks and in the full-width forms that some spreadsheets
// fold. Source: OWASP, "CSV Injection".
func neutral(s string) string {
	t := strings.TrimLeft(s, " \u00a0\u3000\ufeff\x00")
	if t == "" {
		return s
	}
	switch r, _ := utf8.DecodeRuneInString(t); r {
	case '=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠':
		return "'" + s
	}
	return s
}

// wants reports whether f makes the file.
func wants(f Format, file string) error {
	if slices.Contains(f.Files(), file) {
		return nil
	}
	return fmt.Errorf("format %s does not write %q, only %s", f.Name(), file, strings.Join(f.Files(), ", "))
}
