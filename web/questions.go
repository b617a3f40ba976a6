package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"midwatch/casework"
	"midwatch/event"
	"midwatch/report"
	"midwatch/store"
	"midwatch/web/dossier"
)

// The limits of a question.
const (
	askRows = 1000
	askTime = 20 * time.Second
	askText = 20_000 // bytes
)

// question is one that is there to be asked.
type question struct {
	Name, Why, SQL string
	By             string // empty: ours
}

// builtinQuestions are those that responders ask first.
func builtinQuestions() []question {
	return []question{
		{"Sign-ins from the addresses of the campaign", "who else came from where the actor came from", `SELECT actor, ip, as_org, country, outcome, code, count(*) AS records, min(time) AS first, max(time) AS last
FROM events
WHERE class = 'sign_in' AND ip IN (SELECT DISTINCT e.ip FROM evidence e WHERE e.ip IS NOT NULL)
GROUP BY ALL ORDER BY records DESC`, ""},
		{"Who read the mail of a mailbox", "every program and account, by day", `SELECT date_trunc('day', time) AS day, actor, app_id, app_name, client, access, count(*) AS records, count(DISTINCT ip) AS addresses
FROM events
WHERE class = 'mail_access' AND mailbox = (SELECT mailbox FROM mailboxes ORDER BY rank DESC, confirmed DESC LIMIT 1)
GROUP BY ALL ORDER BY day, records DESC`, ""},
		{"Messages with attachments that were reached", "largest first", `SELECT mailbox, subject, attachments, bytes, certainty, first, event
FROM messages WHERE attachments IS NOT NULL ORDER BY bytes DESC NULLS LAST`, ""},
		{"Permissions and credentials given", "every grant, consent and key, by anybody", `SELECT time, class, operation, actor, target, permissions, ip, id
FROM events
WHERE class IN ('consent', 'app_role_grant', 'delegated_grant', 'credential_add', 'owner_add', 'role_add') ORDER BY time`, ""},
		{"Failed sign-ins by hour", "the rhythm of guessing", `SELECT date_trunc('hour', time) AS hour, count(*) AS failures, count(DISTINCT actor) AS accounts, count(DISTINCT ip) AS addresses
FROM events WHERE class = 'sign_in' AND outcome = 'failure' GROUP BY 1 ORDER BY 1`, ""},
		{"Records by log and day", "what there is to ask", `SELECT date_trunc('day', time) AS day, source, workload, count(*) AS records FROM events GROUP BY ALL ORDER BY day, source`, ""},
		{"Records that could not be read", "by reason and file", `SELECT f.path, r.reason, count(*) AS records, min(r.line) AS first_line FROM rejects r JOIN files f ON f.file = r.file GROUP BY ALL ORDER BY records DESC`, ""},
	}
}

type questionData struct {
	SQL     string
	Builtin []question
	Saved   []question
	Tables  []dossier.Doc
	Joined  bool
	Answer  *answerView
	Problem string
}

type answerView struct {
	Columns []string
	Rows    [][]cell
	More    bool
	Took    time.Duration
}

func (s *Server) questionPage(v *visit, d questionData) error {
	d.Builtin, d.Joined = builtinQuestions(), v.d.Joined
	d.Tables = append([]dossier.Doc{
		{Name: "events", Doc: "every record of the logs", Columns: event.Columns()},
		{Name: "items", Doc: "messages, folders and attachments that records of mailbox access name", Columns: event.ItemColumns()},
		{Name: "files", Doc: "files that were read", Columns: event.FileColumns()},
		{Name: "rejects", Doc: "records that could not be read", Columns: event.RejectColumns()},
	}, dossier.Docs()...)
	saved, err := s.Work.Questions(v.d.Dir)
	if err != nil { // the banner tells what is wrong with the journal
		saved = nil
	}
	for _, q := range saved {
		d.Saved = append(d.Saved, question{Name: report.Clean(q.Name), Why: report.Clean(q.Why), SQL: q.SQL, By: report.Clean(q.By)})
	}
	status := http.StatusOK
	if d.Problem != "" {
		status = http.StatusBadRequest
	}
	return s.showAs(v, status, "questions", "questions", "Questions in SQL", d)
}

func (s *Server) questions(v *visit) error {
	return s.questionPage(v, questionData{SQL: v.r.URL.Query().Get("sql")})
}

func (s *Server) ask(v *visit) error {
	d := questionData{SQL: v.r.PostFormValue("sql")}
	text := strings.TrimSuffix(strings.TrimSpace(d.SQL), ";")
	switch asker, ok := v.d.Tables.(store.Asker); {
	case text == "":
		d.Problem = "Write a question, or choose one."
	case len(text) > askText:
		d.Problem = "A question has at most " + report.Number(askText) + " bytes."
	case !ok:
		d.Problem = "The engine of this case takes no questions from people."
	default:
		ctx, cancel := context.WithTimeout(v.r.Context(), askTime)
		defer cancel()
		began := s.Now()
		a, err := asker.Ask(ctx, text, askRows)
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			d.Problem = "It was given up after " + askTime.String() + ". Narrow it by time or columns; raw records are the slowest."
		case v.r.Context().Err() != nil:
			return nil
		case err != nil:
			d.Problem = report.CleanLines(err.Error())
		default:
			d.Answer = v.answer(a)
			d.Answer.Took = s.Now().Sub(began)
		}
	}
	return s.questionPage(v, d)
}

func (v *visit) answer(a *store.Answer) *answerView {
	out := &answerView{More: a.More}
	for _, c := range a.Columns {
		out.Columns = append(out.Columns, report.Clean(c))
	}
	for _, row := range a.Rows {
		var cells []cell
		for _, x := range row {
			c := cell{Text: values{"": x}.text("")}
			switch y := x.(type) {
			case nil:
				c = cell{Kind: "null", Text: "NULL"}
			case []byte:
				if len(y) == 16 { // the type of ids
					c = cell{Kind: "id", Text: uuidText(y), Href: v.link().Record(uuidText(y))}
				}
			case string:
				if _, ok := event.ParseID(y); ok {
					c = cell{Kind: "id", Text: y, Href: v.link().Record(y)}
				}
			case int64, int32, float64, uint64:
				c.Kind = "num"
			}
			if len(c.Text) > 2000 {
				c.Text = strings.ToValidUTF8(c.Text[:2000], "") + "…"
			}
			cells = append(cells, c)
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

func (s *Server) saveQuestion(v *visit) error {
	f, err := v.form("name", "sql")
	if err != nil {
		return err
	}
	if len(f.Get("sql")) > askText {
		return v.refuse("A question has at most " + report.Number(askText) + " bytes.")
	}
	_, err = s.Work.SaveQuestion(v.r.Context(), v.d.Dir, s.author(v), casework.Question{Name: f.Get("name"), Why: f.Get("why"), SQL: f.Get("sql")})
	if err != nil {
		return s.undone(v, err)
	}
	http.Redirect(v.w, v.r, v.link().To("questions"), http.StatusSeeOther)
	return nil
}
