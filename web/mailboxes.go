package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"midwatch/casefile"
	"midwatch/report"
	"midwatch/store"
	"midwatch/web/auth"
)

func (v *visit) mailboxList() *list {
	l := v.link()
	return &list{
		Path: l.base + "/mailboxes", From: "mailboxes", Sort: "-rank", Then: "mailbox, campaign", Per: 100, Noun: "mailbox/mailboxes",
		Hidden: []string{"campaign", "why", "certainty"},
		Columns: []column{
			{Key: "mailbox", Title: "Mailbox", Class: "wide", Cell: func(r values) cell {
				c := cell{Kind: "upn", Text: r.text("mailbox"), Small: r.text("why")}
				if v.user.Role >= auth.Analyst {
					c.Href = l.Mailbox(r.text("campaign"), r.text("mailbox"))
				}
				return c
			}},
			{Key: "rank", Title: "Certainty", Cell: certCell},
			{Key: "confirmed", Title: "Confirmed", Class: "num", Cell: numCell("confirmed")},
			{Key: "probable", Title: "Probable", Class: "num", Cell: numCell("probable")},
			{Key: "possible", Title: "Possible", Class: "num", Cell: numCell("possible")},
			{Key: "folders", Title: "Whole folders", Class: "num", Cell: numCell("folders")},
			{Key: "windows", Title: "Unrecorded", Class: "num", Cell: numCell("windows")},
			{Key: "first", Title: "First, UTC", Cell: timeCell("first")},
			{Key: "last", Title: "Last, UTC", Cell: timeCell("last")},
		},
		Filters: []filter{
			{Key: "mailbox", Title: "Mailbox contains"},
			{Key: "certainty", Title: "Certainty", Kind: "choice", Choices: certainties()},
			{Key: "campaign", Title: "Campaign", Kind: "choice", Choices: v.campaignIDs()},
			{Key: "from", Title: "Reached after", Kind: "from", SQL: "last"}, {Key: "to", Title: "Reached before", Kind: "to", SQL: "first"},
			{Key: "least", Title: "Messages at least", Kind: "least", SQL: "confirmed"},
		},
		Empty: "No mailbox is named. Whether mail was read is a question to the coverage before it is an answer.",
	}
}

func (v *visit) messageList() *list {
	l := v.link()
	return &list{
		Path: l.base + "/messages", From: "messages", Sort: "first", Then: "n", Per: 100, Noun: "message",
		Hidden: []string{"campaign", "message_id", "item_id", "event", "certainty", "purged_by"},
		Columns: []column{
			{Key: "mailbox", Title: "Mailbox", Cell: func(r values) cell {
				return cell{Kind: "upn", Text: r.text("mailbox"), Href: l.Mailbox(r.text("campaign"), r.text("mailbox"))}
			}},
			{Key: "subject", Title: "Subject and message", Class: "wide", Cell: v.messageCell},
			{Key: "folder", Title: "Folder"},
			{Key: "rank", Title: "Certainty", Cell: certCell},
			{Key: "first", Title: "First, UTC", Cell: timeCell("first")},
			{Key: "last", Title: "Last, UTC", Cell: lastCell},
			{Key: "reads", Title: "Records", Class: "num", Cell: numCell("reads")},
			{Key: "attachments", Title: "Attachments"},
			{Key: "bytes", Title: "Bytes", Class: "num", Cell: numCell("bytes")},
			{Key: "purged", Title: "Purged, UTC", Cell: func(r values) cell {
				c := timeCell("purged")(r)
				c.Small = r.text("purged_by")
				return c
			}},
		},
		Filters: []filter{
			{Key: "q", Title: "Contains", Any: []string{"coalesce(subject, '')", "coalesce(message_id, '')", "coalesce(item_id, '')", "coalesce(attachments, '')"}, Hint: "subject, message id, attachment"},
			{Key: "mailbox", Title: "Mailbox contains"},
			{Key: "folder", Title: "Folder contains", SQL: "coalesce(folder, '')"},
			{Key: "certainty", Title: "Certainty", Kind: "choice", Choices: certainties()},
			{Key: "campaign", Title: "Campaign", Kind: "choice", Choices: v.campaignIDs()},
			{Key: "from", Title: "Reached after", Kind: "from", SQL: "last"}, {Key: "to", Title: "Reached before", Kind: "to", SQL: "first"},
		},
		Empty: "No message is named by a record.",
	}
}

// lastCell is the last time where it is another than the first.
func lastCell(r values) cell {
	if r.text("first") == r.text("last") {
		return cell{Text: "the same"}
	}
	return timeCell("last")(r)
}

func (s *Server) mailboxes(v *visit) error {
	l := v.mailboxList()
	p, err := s.listOf(v, l, v.d.Tables)
	if err != nil {
		return err
	}
	p.Export = exportOf(p, ".csv")
	return s.showPage(v, p, "mailboxes", "Mailboxes", "What was reached, the most certain first. First and last are lower bounds: a message read again within an hour is not recorded again. Certainties are never added up.")
}

func (s *Server) messages(v *visit) error {
	p, err := s.listOf(v, v.messageList(), v.d.Tables)
	if err != nil {
		return err
	}
	p.Export = exportOf(p, ".csv")
	return s.showPage(v, p, "messages", "Messages", "Every message that a record names, with the record it stands on. Who looks at this page is written down.")
}

func exportOf(p *listPage, suffix string) string {
	href := p.href("page", "")
	path, query, ok := strings.Cut(href, "?")
	if ok {
		return path + suffix + "?" + query
	}
	return path + suffix
}

// listOf asks for a page of a list.
func (s *Server) listOf(v *visit, l *list, db store.Querier) (*listPage, error) {
	began := s.Now()
	if db == v.d.Tables || v.d.Joined { // what a server holds may grow meanwhile
		l.marks, l.memo = &v.sh.marks, &v.sh.memo
	}
	p, _, err := l.page(v.r.Context(), db, v.r)
	if err != nil {
		return nil, err
	}
	p.Took = s.Now().Sub(began)
	return p, nil
}

type listData struct {
	List *listPage
	Lede string
}

func (s *Server) showList(v *visit, l *list, db store.Querier, at, title, lede string) error {
	p, err := s.listOf(v, l, db)
	if err != nil {
		return err
	}
	return s.showPage(v, p, at, title, lede)
}

func (s *Server) showPage(v *visit, p *listPage, at, title, lede string) error {
	status := http.StatusOK
	if slices.ContainsFunc(p.Fields, func(f field) bool { return f.Bad != "" }) {
		status = http.StatusBadRequest
	}
	return s.showAs(v, status, "list", at, title, listData{p, lede})
}

func (s *Server) mailboxesCSV(v *visit) error { return s.export(v, v.mailboxList(), "mailboxes") }
func (s *Server) messagesCSV(v *visit) error  { return s.export(v, v.messageList(), "messages") }

// export writes a list whole, as it is filtered and sorted. Cells that a
// spreadsheet would take for a formula are made text.
func (s *Server) export(v *visit, l *list, name string) error {
	where, args, _, _, bad := l.condition(v.r.URL.Query())
	if bad != nil {
		return &failure{Status: http.StatusBadRequest, Title: "A filter cannot be read", Text: bad.Error()}
	}
	if where != "" {
		where = " WHERE " + where
	}
	key, down := l.order(v.r.URL.Query())
	dir := "ASC"
	if down {
		dir = "DESC"
	}
	rows, err := v.d.Tables.Query(v.r.Context(), fmt.Sprintf("SELECT * FROM %s%s ORDER BY %s %s NULLS LAST, %s LIMIT %d", l.From, where, l.expr(key), dir, l.Then, mostRows), args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // read only
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", attachment(v.d.Name+"-"+name+".csv"))
	if report.CSVRow(v.w, names...) != nil {
		return nil // who asked went away
	}
	row, into, line := make([]any, len(names)), make([]any, len(names)), make([]string, len(names))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return s.cutOff(err)
		}
		for i, x := range row {
			line[i] = values{"": x}.text("")
		}
		if report.CSVRow(v.w, line...) != nil {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return s.cutOff(err)
	}
	return nil
}

// cutOff ends a download that cannot be finished so that the browser notices:
// half a table must not look like a whole one.
func (s *Server) cutOff(err error) error {
	s.Log.Error("a download was cut off", "error", err)
	panic(http.ErrAbortHandler)
}

func attachment(name string) string { return "attachment; filename=" + strconv.Quote(name) }

// mailboxData is the page of a mailbox.
type mailboxData struct {
	List     *listPage
	Box      *casefile.MailboxRef
	Campaign *casefile.Campaign
	Contexts []casefile.Context
	Tokens   []casefile.TokenRef
}

// NameOf is what an entity of a context is called.
func (d mailboxData) NameOf(e casefile.Entity) string {
	if e.Name != "" {
		return report.Clean(e.Name)
	}
	for _, a := range d.Campaign.Apps {
		if a.ID == e.ID || slices.Contains(a.ServicePrincipals, e.ID) {
			return report.Clean(a.Name)
		}
	}
	return ""
}

func (s *Server) mailbox(v *visit) error {
	c := v.d.Campaign(v.arg("campaign"))
	if c == nil {
		return notFound("campaign")
	}
	i := slices.IndexFunc(c.Mailboxes, func(m casefile.MailboxRef) bool { return m.UPN == v.arg("upn") })
	if i < 0 {
		return notFound("mailbox in this campaign")
	}
	d := mailboxData{Box: &c.Mailboxes[i], Campaign: c}
	for _, x := range c.Contexts {
		if slices.Contains(d.Box.Contexts, x.ID) {
			d.Contexts = append(d.Contexts, x)
		}
	}
	for _, t := range c.Tokens {
		if slices.Contains(d.Box.Tokens, t.ID) {
			d.Tokens = append(d.Tokens, t)
		}
	}
	l := v.messageList()
	l.Path, l.Where, l.Args = v.link().Mailbox(c.ID, d.Box.UPN), "campaign = ? AND mailbox = ?", []any{c.ID, d.Box.UPN}
	l.Columns = l.Columns[1:] // all are of this mailbox
	l.Filters = slices.DeleteFunc(l.Filters, func(f filter) bool { return f.Key == "mailbox" || f.Key == "campaign" })
	var err error
	if d.List, err = s.listOf(v, l, v.d.Tables); err != nil {
		return err
	}
	status := http.StatusOK
	if d.List.Wrong() {
		status = http.StatusBadRequest
	}
	return s.showAs(v, status, "mailbox", "mailboxes", d.Box.UPN, d)
}
