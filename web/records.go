package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"midwatch/event"
	"midwatch/report"
	"midwatch/store"
)

// recordList is the search over the events of a case: by field in the columns,
// by free text in the records themselves.
func (v *visit) recordList() *list {
	l := v.link()
	from := "events"
	return &list{
		Path: l.base + "/records", From: from, Sort: "time", Then: "id", Per: 100, Noun: "record", Capped: 100_000, Deep: 20_000, Split: true, RowID: v.d.Joined,
		Hidden: []string{"id"},
		Columns: []column{
			{Key: "time", Title: "Time, UTC", Cell: func(r values) cell {
				c := timeCell("time")(r)
				c.Href = l.Record(uuidText(r["id"]))
				if c.Text == "" {
					c.Text = "no time"
				}
				return c
			}},
			{Key: "source", Title: "Log"},
			{Key: "operation", Title: "Operation"},
			{Key: "outcome", Title: "Outcome", Cell: func(r values) cell { return cell{Text: r.text("outcome"), Small: r.text("code")} }},
			{Key: "actor", Title: "Who", Cell: func(r values) cell { return cell{Kind: "upn", Text: r.text("actor")} }},
			{Key: "ip", Title: "From", Cell: func(r values) cell { return cell{Kind: "id", Text: r.text("ip"), Small: r.text("as_org")} }},
			{Key: "app_name", Title: "Application", Cell: func(r values) cell {
				if t := r.text("app_name"); t != "" {
					return cell{Text: t}
				}
				return cell{Kind: "id", Text: r.text("app_id")}
			}},
			{Key: "target", Title: "On", Cell: func(r values) cell {
				if t := r.text("mailbox"); t != "" {
					return cell{Kind: "upn", Text: t, Small: r.text("subject")}
				}
				return cell{Text: r.text("target")}
			}},
			{Key: "code", Title: "Code", Class: "hide"}, {Key: "as_org", Title: "Network", Class: "hide"}, {Key: "app_id", Title: "Application id", Class: "hide"}, {Key: "mailbox", Title: "Mailbox", Class: "hide"}, {Key: "subject", Title: "Subject", Class: "hide"},
		},
		Filters: []filter{
			{Key: "q", Title: "Text in the record", Any: []string{"coalesce(raw, record, '')"}, Hint: "slow on large cases: give a time, too"},
			{Key: "from", Title: "From", Kind: "from", SQL: "time"}, {Key: "to", Title: "Until", Kind: "to", SQL: "time"},
			{Key: "actor", Title: "Who", Kind: "exact", Any: []string{"actor", "actor_id", "mailbox"}, Hint: "account, object id or mailbox"},
			{Key: "ip", Title: "Address", Kind: "exact"},
			{Key: "class", Title: "Kind", Kind: "exact", Hint: "sign_in, mail_access, consent…"},
			{Key: "operation", Title: "Operation contains", More: true},
			{Key: "source", Title: "Log", Kind: "choice", Choices: v.sources()},
			{Key: "outcome", Title: "Outcome", Kind: "choice", Choices: []string{string(event.Success), string(event.Failure), string(event.Interrupted), string(event.Unknown)}, More: true},
			{Key: "app", Title: "Application", Kind: "exact", Any: []string{"app_id", "app_name"}, Hint: "id or name"},
			{Key: "mailbox", Title: "Mailbox", Kind: "exact", Any: []string{"mailbox", "mailbox_id"}},
			{Key: "session", Title: "Session", Kind: "exact", SQL: "session_id", More: true},
			{Key: "token", Title: "Token", Kind: "exact", Any: []string{"token_id", "request_id"}, More: true},
			{Key: "sp", Title: "Service principal", Kind: "exact", Any: []string{"sp_id", "target_id", "actor_id"}, More: true},
			{Key: "key", Title: "Credential", Kind: "exact", SQL: "key_id", More: true},
			{Key: "target", Title: "Target", Kind: "exact", Any: []string{"target", "target_id"}, More: true},
			{Key: "agent", Title: "User agent", Kind: "exact", SQL: "user_agent", More: true},
			{Key: "file", Title: "File", Kind: "where", SQL: "file IN (SELECT file FROM files WHERE path = ?)", More: true},
		},
		Empty: "No record is like that.",
	}
}

func uuidText(x any) string {
	switch b := x.(type) {
	case []byte:
		if len(b) == 16 {
			return event.ID(b).String()
		}
		return string(b)
	case [16]byte:
		return event.ID(b).String()
	case string:
		return b
	case interface{ String() string }:
		return b.String()
	}
	return ""
}

// sources are the logs of the case.
func (v *visit) sources() (out []string) {
	for _, x := range v.d.Case.Coverage.Sources {
		if !slices.Contains(out, x.Source) {
			out = append(out, x.Source)
		}
	}
	slices.Sort(out)
	return out
}

func (s *Server) records(v *visit) error {
	// An id in the search is what somebody copied out of a report.
	if id := strings.TrimSpace(v.r.URL.Query().Get("q")); id != "" {
		if id, ok := event.ParseID(id); ok {
			http.Redirect(v.w, v.r, v.link().Record(id.String()), http.StatusSeeOther)
			return nil
		}
	}
	p, err := s.listOf(v, v.recordList(), v.d.Events)
	if err != nil {
		return err
	}
	return s.showPage(v, p, "records", "Records", "Every record of the case, as the logs have it. Who searches here is written down.")
}

// logRecord is a record and where it stands.
type logRecord struct {
	ID           string
	Path, SHA256 string
	Line, Offset int64
	Length       int64
	Fields       []recordField
	Pretty, Raw  string
	Kept         bool // the record's bytes are in the store
	Cut          int64
	Claims       []claim
	Items        []values
	MoreItems    bool
	Around       string // address of what the same account did at the time
	Previous     string
	raw          []byte
	time         time.Time
	actor        string
}

type recordField struct {
	Name, Doc, Value, Href string
}

// claim is what stands on a record.
type claim struct {
	Kind, Text, Href string
}

// maxShown bounds what a page shows of a record; the rest is in its download.
const maxShown = 512 << 10

func (s *Server) readRecord(v *visit) (*logRecord, error) {
	parsed, ok := event.ParseID(v.arg("id"))
	if !ok {
		return nil, notFound("record")
	}
	id := parsed.String() // claims name events by small letters
	ctx := v.r.Context()
	var cols []string
	for _, c := range event.Columns() {
		cols = append(cols, "e."+c.Name)
	}
	rows, err := v.d.Events.Query(ctx, "SELECT "+strings.Join(cols, ", ")+" FROM events e WHERE e.id = ?::UUID", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // read only
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, err
		}
		return nil, &failure{Status: http.StatusNotFound, Title: "There is no such record", Text: "No event of this case has the id " + id + ". Of a store that was pruned, records may be gone."}
	}
	row, into := make([]any, len(cols)), make([]any, len(cols))
	for i := range row {
		into[i] = &row[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	x := &logRecord{ID: id}
	all := values{}
	l := v.link()
	for i, c := range event.Columns() {
		all[c.Name] = row[i]
		switch c.Name {
		case "id", "file", "line", "pos", "length", "raw", "raw_bytes", "record":
			continue
		}
		f := recordField{Name: c.Name, Doc: c.Doc, Value: all.text(c.Name)}
		if f.Value == "" || f.Value == "0" {
			continue
		}
		f.Href = fieldHref(l, c.Name, f.Value)
		x.Fields = append(x.Fields, f)
	}
	x.Line, _ = all.number("line")
	x.Offset, _ = all.number("pos")
	x.Length, _ = all.number("length")
	x.time, _ = all["time"].(time.Time)
	x.actor = all.text("actor")
	switch {
	case all["raw"] != nil:
		x.raw, x.Kept = bytesOf(all["raw"]), true
	case all["raw_bytes"] != nil:
		x.raw, x.Kept = bytesOf(all["raw_bytes"]), true
	}
	shown := x.raw[:min(len(x.raw), maxShown)]
	x.Cut = int64(len(x.raw) - len(shown))
	x.Raw = report.CleanLines(string(shown))
	js := shown
	if r := all["record"]; r != nil {
		js = bytesOf(r)
	}
	var b bytes.Buffer
	if json.Indent(&b, js, "", "  ") == nil {
		x.Pretty = report.CleanLines(b.String())
	}
	file, _ := all.number("file")
	err = store.Each(ctx, v.d.Events, "SELECT coalesce(path, ''), coalesce(sha256, '') FROM files WHERE file = ?", []any{file}, func(scan func(...any) error) error {
		return scan(&x.Path, &x.SHA256)
	})
	x.Path = report.Clean(x.Path)
	return x, err
}

func bytesOf(x any) []byte {
	switch b := x.(type) {
	case string:
		return []byte(b)
	case []byte:
		return b
	}
	return nil
}

// fieldHref leads from a value to the records that have it, too.
func fieldHref(l links, name, value string) string {
	keys := map[string]string{
		"actor": "actor", "actor_id": "actor", "ip": "ip", "session_id": "session", "token_id": "token", "request_id": "token", "app_id": "app", "app_name": "app", "sp_id": "sp", "key_id": "key",
		"mailbox": "mailbox", "mailbox_id": "mailbox", "target": "target", "target_id": "target", "user_agent": "agent", "class": "class",
	}
	if k := keys[name]; k != "" {
		return l.With("records", k, value)
	}
	return ""
}

func (s *Server) record(v *visit) error {
	x, err := s.readRecord(v)
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	if x.Claims, err = claims(ctx, v, x.ID); err != nil {
		return err
	}
	const most = 200
	err = store.Each(ctx, v.d.Events, "SELECT kind, message_id, item_id, folder, subject, names, size FROM items WHERE event = ?::UUID ORDER BY kind, message_id, item_id LIMIT 201", []any{x.ID}, func(scan func(...any) error) error {
		var kind, message, item, folder, subject, names *string
		var size *int64
		if err := scan(&kind, &message, &item, &folder, &subject, &names, &size); err != nil {
			return err
		}
		if len(x.Items) == most {
			x.MoreItems = true
			return nil
		}
		row := values{}
		for k, p := range map[string]*string{"kind": kind, "message_id": message, "item_id": item, "folder": folder, "subject": subject, "names": names} {
			if p != nil {
				row[k] = report.Clean(*p)
			}
		}
		x.Items = append(x.Items, row)
		return nil
	})
	if err != nil {
		return err
	}
	if x.actor != "" && !x.time.IsZero() {
		x.Around = v.link().With("records", "actor", x.actor, "from", stamp(x.time.Add(-30*time.Minute)), "to", stamp(x.time.Add(30*time.Minute)))
	}
	return s.show(v, "record", "records", "Record "+x.ID[:8], x)
}

// claims are what the case says on the ground of a record.
func claims(ctx context.Context, v *visit, id string) (out []claim, err error) {
	l := v.link()
	err = store.Each(ctx, v.d.Tables, "SELECT DISTINCT kind, coalesce(ref, ''), coalesce(campaign, '') FROM cites WHERE event = ? ORDER BY 1, 2, 3 LIMIT 200", []any{id}, func(scan func(...any) error) error {
		var kind, ref, campaign string
		if err := scan(&kind, &ref, &campaign); err != nil {
			return err
		}
		c := claim{Kind: kind, Text: report.Clean(ref)}
		switch kind {
		case "finding":
			c.Href = l.Finding(ref)
			if f, _ := v.d.Finding(ref); f != nil {
				c.Text = report.Clean(f.Title)
			}
		case "mailbox", "message", "attachment":
			c.Href = l.Mailbox(campaign, ref)
			if kind != "mailbox" {
				c.Text = kind + " in " + c.Text
			}
		case "step":
			c.Href, c.Text = l.Campaign(campaign)+"#timeline", "a step of the campaign"
		default:
			c.Href = l.Campaign(campaign) + "#used"
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

func (s *Server) recordRaw(v *visit) error {
	x, err := s.readRecord(v)
	if err != nil {
		return err
	}
	if !x.Kept {
		return &failure{Status: http.StatusNotFound, Title: "The record is not in the case", Text: "It was made with --raw none. It stands in " + x.Path + " at offset " + report.Number(x.Offset) + ", " + report.Number(x.Length) + " bytes."}
	}
	v.w.Header().Set("Content-Type", "application/octet-stream")
	v.w.Header().Set("Content-Disposition", attachment(x.ID+".txt"))
	_, _ = v.w.Write(x.raw)
	return nil
}
