package report

import (
	"fmt"
	"strings"

	"midwatch/casefile"
)

// coverage says what the logs can show, and only then what is not in them.
func (d *document) coverage() {
	p := d.p
	d.head(2, "Coverage")
	d.para(stamp(p.Coverage.From) + " to " + stamp(p.Coverage.To) + ".")
	var rows [][]string
	for _, s := range p.Coverage.Sources {
		rows = append(rows, []string{p.Tenant(s.Tenant), sourceName(s.Source, s.Kind), fmt.Sprintf("%s of %s", number(s.Days), number(s.DaysInWindow)),
			fmt.Sprintf("%s of %s", number(s.Hours), number(s.HoursInWindow)), number(int64(len(s.Gaps))), number(s.Records), stamp(s.First), stamp(s.Last)})
	}
	if len(rows) == 0 {
		d.para("No log was received.")
	}
	d.table([]string{"tenant", "log", "days", "hours", "gaps of a day or more", "records", "first", "last"}, rows, "log")
	rows = nil
	for _, m := range p.Coverage.NeverReceived {
		rows = append(rows, []string{d.tenants(m.Tenant), sourceName(m.Source, ""), m.What, m.Fetch})
	}
	for _, m := range p.Coverage.MissingClasses {
		rows = append(rows, []string{d.tenants(m.Tenant), sourceName(m.Source, ""), m.What, m.Fetch})
	}
	if len(rows) > 0 {
		d.head(3, "Never received")
	}
	d.table([]string{"tenant", "log", "cannot be said without it", "how to fetch it"}, rows, "log")
	var signs []string
	for _, r := range p.Coverage.Matrix.Rows {
		for _, g := range r.Gaps {
			if r.Class == "all" || r.Class == "" {
				signs = append(signs, sourceName(r.Source, r.Kind)+" of "+p.Tenant(r.Tenant)+", "+holeWords(g, nil))
			}
		}
	}
	for _, s := range p.Coverage.Smells {
		signs = append(signs, words(s.Kind)+": "+s.Text)
	}
	signs = append(signs, p.Coverage.Retention...)
	if len(signs) > 0 {
		d.head(3, "Signs that the logs are not complete")
		d.cutItems(signs, "sign")
	}
	rows = nil
	for _, q := range p.NotAssessed {
		rows = append(rows, []string{q.Title, q.Reason, q.Fetch})
	}
	if len(rows) > 0 {
		d.head(3, "Not asked")
	}
	d.table([]string{"question", "why not", "what to fetch"}, rows, "question")
	absences := texts(p.Absences)
	for _, a := range p.Clean {
		absences = append(absences, a.Title)
	}
	if len(absences) > 0 {
		d.head(3, "Looked for, not found")
		d.para("In the hours covered, and in no others.")
		d.cutItems(absences, "detector")
	}
}

func (d *document) tenants(id string) string {
	if id == "" {
		return "all"
	}
	return d.p.Tenant(id)
}

// assertions has the coverage in the row of each answer.
func (d *document) assertions() {
	if len(d.p.Case.Assertions) == 0 {
		return
	}
	d.head(2, "Was it accessed")
	d.para("No evidence is worth its coverage, and no more.")
	var rows [][]string
	for _, a := range d.p.Case.Assertions {
		rows = append(rows, []string{a.Name, answerWord(a.Answer), coverSummary(a), prose(a.Text), stamp(a.From) + " to " + stamp(a.To), number(a.Access), strings.Join(a.BlindSpots, "; "), strings.Join(a.Fetch, "; "), d.cites(a.Events)})
	}
	d.table([]string{"asset", "answer", "coverage", "in words", "time answered for", "records of the actor", "cannot be seen", "would settle it", "evidence"}, rows, "answer")
}

// method says what the words of the document mean.
func (d *document) method() {
	p := d.p
	d.head(2, "Method")
	d.items([]string{
		"Midwatch read " + plural(int64(len(p.Case.Sources)), "file") + " with " + plural(p.Case.Case.Events, "record") + "; " + plural(p.Duplicates, "duplicate") + " and " + plural(p.Rejected, "record") + " that could not be used are not among them.",
		"A finding is what one detector says once. A campaign is a set of findings that are held to be one actor's doing: they share a session, token, credential, application, account or address, and the case says which.",
		"Established: a way in and its use are in evidence. Suspected: an intruder, or an administrator at work.",
		"Confirmed: " + certaintyMeaning(casefile.Confirmed) + ". Probable: " + certaintyMeaning(casefile.Probable) + ". Possible: " + certaintyMeaning(casefile.Possible) + ". The three are counted apart and never added up.",
		"Records are not accesses: first and last times of access are bounds, since reads are merged and repeated ones are not recorded.",
		"The same evidence gives the same case, to the byte. Each claim cites records by a number of the appendix, which says in which file and line they stand.",
	})
	var rows [][]string
	for _, a := range p.Assessed {
		if a.Findings > 0 {
			rows = append(rows, []string{a.Title, number(int64(a.Findings)), strings.Join(a.Sources, ", "), strings.Join(a.Limits, "; ")})
		}
	}
	d.table([]string{"detector", "findings", "logs it read", "what it could not see"}, rows, "detector")
}

func (d *document) appendix() {
	p := d.p
	d.head(2, "Appendix: evidence")
	var rows [][]string
	for _, e := range p.Evidence {
		rows = append(rows, []string{"E" + number(int64(e.N)), stamp(e.Time), sourceName(e.Source, ""), e.Operation, e.Actor, e.IP, e.Target, e.File, number(e.Line), number(e.Offset), e.SHA256, e.ID})
	}
	d.table([]string{"no.", "time", "log", "operation", "actor", "address", "target", "file", "line", "offset", "SHA-256 of the file", "event"}, rows, "record")
	d.left(p.Uncited, "cited record")
	d.head(2, "Appendix: files")
	rows = nil
	for _, s := range p.Case.Sources {
		var refused int64
		for _, r := range s.Rejected {
			refused += r.Count
		}
		rows = append(rows, []string{s.Path, number(s.Records), number(s.Accepted), number(s.Duplicates), number(refused), s.Incomplete, s.SHA256})
	}
	d.table([]string{"file", "records", "used", "duplicates", "refused", "incomplete", "SHA-256"}, rows, "file")
}

// md escapes text of others for Markdown: it stays one line, and is neither
// markup, HTML, link, entity nor the border of a table's cell. Sources:
// CommonMark 0.31.2, section 2.4; GitHub Flavored Markdown, tables and
// autolinks.
func md(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		if r < 0x80 && strings.ContainsRune("\\`*_{}[]()<>#+!|~&$^", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	out := strings.TrimSpace(b.String())
	// Links that need no markup. An escape ends what would become one.
	for _, p := range [][2]string{{"://", `\://`}, {"@", `\@`}} {
		out = strings.ReplaceAll(out, p[0], p[1])
	}
	for _, www := range []string{"www.", "WWW.", "Www."} {
		out = strings.ReplaceAll(out, www, www[:3]+`\.`)
	}
	// At the beginning of a line these are lists, rules and heads; so are
	// numbers before a full stop.
	if i := strings.IndexFunc(out, func(r rune) bool { return r < '0' || r > '9' }); i > 0 && out[i] == '.' {
		out = out[:i] + `\` + out[i:]
	}
	if out != "" && strings.ContainsRune("-=:", rune(out[0])) {
		out = `\` + out
	}
	return out
}
