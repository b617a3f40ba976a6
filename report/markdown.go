package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"midwatch/casefile"
)

// Markdown writes the case as one document for tickets, wikis and post-mortems:
// what happened, findings, what was reached, coverage, answers, method, and an
// appendix that leads to the log lines. It keeps the page's order, so that no
// absence stands before the coverage that it rests on.
//
// Text of others is escaped for CommonMark and GitHub's tables, see [md]; there
// is no HTML, no image and no link in it.
type Markdown struct{}

// Name implements [Format].
func (Markdown) Name() string { return "markdown" }

// Doc implements [Format].
func (Markdown) Doc() string {
	return "report.md: the case as a document in Markdown, for tickets and wikis; long tables are cut, and say so"
}

// Files implements [Format].
func (Markdown) Files() []string { return []string{"report.md"} }

// markdownRows is how many rows a table has when Options.Rows is 0: a document
// that people page through, not one that they search.
const markdownRows = 100

// Write implements [Format].
func (f Markdown) Write(w io.Writer, file string, c *casefile.Case, o Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	rows := cmp.Or(max(o.Rows, 0), markdownRows)
	d := &document{w: bufio.NewWriter(w), p: newPage(shown(c), Options{Rows: rows, Cards: o.Cards}), rows: rows}
	d.executive()
	d.findings()
	for _, k := range d.p.Campaigns {
		d.reached(k)
	}
	d.coverage()
	d.assertions()
	d.method()
	d.appendix()
	if err := d.w.Flush(); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

// document writes Markdown. What its methods are given as head or label is
// ours; everything else is escaped here.
type document struct {
	w    *bufio.Writer
	p    *page
	rows int
}

func (d *document) head(level int, s string) {
	fmt.Fprintf(d.w, "%s %s\n\n", strings.Repeat("#", level), md(s))
}
func (d *document) para(s string) {
	if s != "" {
		fmt.Fprintf(d.w, "%s\n\n", md(prose(s)))
	}
}

func (d *document) items(list []string) {
	for _, s := range list {
		fmt.Fprintf(d.w, "- %s\n", md(prose(s)))
	}
	if len(list) > 0 {
		fmt.Fprintln(d.w)
	}
}

// cutItems writes the first of a list and counts the others.
func (d *document) cutItems(list []string, what string) {
	few, more := cut(list, d.rows)
	d.items(few)
	d.left(more, what)
}

func (d *document) left(n int, what string) {
	if n > 0 {
		fmt.Fprintf(d.w, "*%s in case.json.*\n\n", md(plural(int64(n), "more "+strings.ReplaceAll(what, "/", "/more "))))
	}
}

// table writes rows, at most as many as the document may have, and counts the
// others; what names them.
func (d *document) table(heads []string, rows [][]string, what string) {
	if len(rows) == 0 {
		return
	}
	few, more := cut(rows, d.rows)
	line := func(cells []string) { fmt.Fprintf(d.w, "| %s |\n", strings.Join(cells, " | ")) }
	line(heads)
	line(slices.Repeat([]string{"---"}, len(heads)))
	for _, r := range few {
		cells := make([]string, len(heads))
		for i := range cells {
			if cells[i] = " "; i < len(r) && r[i] != "" {
				cells[i] = md(r[i])
			}
		}
		line(cells)
	}
	fmt.Fprintln(d.w)
	d.left(more, what)
}

func (d *document) executive() {
	p := d.p
	fmt.Fprintf(d.w, "# %s\n\n", md("Midwatch, case "+p.Case.Case.ID))
	d.para(strings.Join(p.Domains(), ", ") + ": " + plural(p.Case.Case.Events, "record") + ", " + day(p.Case.Case.First) + " to " + day(p.Case.Case.Last) + ". All times are UTC.")
	d.head(2, "What happened")
	switch {
	case p.Lead != nil:
		fmt.Fprintf(d.w, "**%s**\n\n", md(prose(p.Lead.Text)))
	default:
		d.para("These logs were not joined to a campaign. How much that is worth depends on what they cover.")
	}
	d.items(texts(p.Facts))
	var rows [][]string
	for _, k := range p.Campaigns {
		n := k.Reach
		rows = append(rows, []string{k.Title, string(k.Severity), k.Standing, stamp(k.Start), stamp(k.InitialAccess), stamp(k.End), stamp(k.FirstDetected),
			number(n.Mailboxes.Confirmed), number(n.Mailboxes.Probable), number(n.Messages.Confirmed), number(n.Messages.Probable)})
	}
	d.table([]string{"campaign", "severity", "standing", "first sign", "inside since", "last seen", "could be seen", "mailboxes confirmed", "probable", "messages confirmed", "probable"}, rows, "campaign")
	if len(p.Overrides) > 0 {
		d.para("People decided about these campaigns; they follow the decisions, not the evidence alone:")
		var said []string
		for _, o := range p.Overrides {
			said = append(said, stamp(o.Time)+" "+decisionWords(p, o)+". "+sentence(o.Effect))
		}
		d.cutItems(said, "decision")
	}
	if unknown := d.unknown(); len(unknown) > 0 {
		d.head(2, "Not known")
		d.para("Unknown does not mean no.")
		d.cutItems(unknown, "statement")
	}
	if len(p.Advice) > 0 {
		d.head(2, "Next")
		d.items(texts(p.Advice))
	}
}

func texts(ss []casefile.Sentence) (out []string) {
	for _, s := range ss {
		out = append(out, s.Text)
	}
	return out
}

// unknown is what these logs should have said and do not.
func (d *document) unknown() []string {
	p := d.p
	out := texts(p.Limits)
	uncleared := func(us []casefile.Uncleared) {
		for _, u := range us {
			what := number(u.Count) + " " + u.What
			if u.CountName != "" {
				what += " (" + u.CountName + ")"
			}
			out = append(out, what+" cannot be cleared: "+u.Why)
		}
	}
	for _, k := range p.Campaigns {
		uncleared(k.CannotClear)
	}
	uncleared(p.Case.CannotClear)
	for _, a := range p.Assumed {
		out = append(out, "Assumed to be legitimate, to be confirmed: "+cmp.Or(a.Name, a.App)+", "+plural(a.Mailboxes, "mailbox/mailboxes")+". "+sentence(a.Why))
	}
	return out
}

func (d *document) findings() {
	p := d.p
	d.head(2, "Findings")
	d.items(p.AlertWords())
	in := map[string][]string{}
	for _, k := range p.Campaigns {
		for _, f := range k.Campaign.Findings {
			in[f] = append(in[f], fmt.Sprintf("campaign %d", k.N))
		}
	}
	all := slices.Clone(p.Case.Findings)
	slices.SortStableFunc(all, func(a, b casefile.Finding) int {
		x, y := min(len(in[b.ID]), 1), min(len(in[a.ID]), 1) // those of campaigns first
		return cmp.Or(x-y, b.Severity.Rank()-a.Severity.Rank())
	})
	var rows [][]string
	for _, f := range all {
		rows = append(rows, []string{string(f.Severity), stamp(f.First), f.Title, strings.Join(in[f.ID], ", "), strings.Join(f.Techniques, " "), prose(f.Why), number(f.EventCount), d.cites(f.Events), f.ID})
	}
	if len(rows) == 0 {
		d.para("No detector found anything. What that is worth is said under coverage.")
	}
	d.table([]string{"severity", "first", "finding", "part of", "ATT&CK", "why", "records", "evidence", "id"}, rows, "finding")
}

// cites names the first of the records by their number in the appendix.
func (d *document) cites(ids []string) string {
	var out []string
	c := d.p.Cite(ids, 0)
	for _, x := range c.Shown {
		out = append(out, x.Text)
	}
	return strings.Join(out, " ")
}

// reached is the blast radius of a campaign.
func (d *document) reached(k campaignView) {
	title := "What was reached"
	if !k.Only {
		title += fmt.Sprintf(", campaign %d: ", k.N) + k.Title
	}
	d.head(2, title)
	n, s := k.Reach, k.ShareOfMailboxes
	d.table([]string{"certainty", "mailboxes", "share", "messages", "what it takes"}, [][]string{
		{"confirmed", number(n.Mailboxes.Confirmed), percent(s.ConfirmedShare), number(n.Messages.Confirmed), certaintyMeaning(casefile.Confirmed)},
		{"probable", number(n.Mailboxes.Probable), percent(s.ProbableShare), number(n.Messages.Probable), certaintyMeaning(casefile.Probable)},
		{"possible", number(n.Mailboxes.Possible), percent(s.PossibleShare), number(n.Messages.Possible), certaintyMeaning(casefile.Possible)},
	}, "row")
	d.para(fmt.Sprintf("Shares are of %s %s. The certainties are not added up. Besides: %s, %s, %s without records of reads.", number(s.Denominator), s.DenominatorName,
		plural(n.WholeFolders, "folder synchronized as a whole/folders synchronized as a whole"), plural(n.Attachments, "attachment read by itself/attachments read by themselves"), plural(n.Windows, "time")))
	var rows [][]string
	for _, m := range k.Campaign.Mailboxes {
		x := m.Counts.Messages
		rows = append(rows, []string{m.UPN, string(m.Certainty), number(x.Confirmed), number(x.Probable), number(int64(len(m.WholeFolders))), stamp(m.First), stamp(m.Last), prose(m.Why), d.cites(m.Events)})
	}
	d.table([]string{"mailbox", "certainty", "messages confirmed", "probable", "whole folders", "first", "last", "why", "evidence"}, rows, "mailbox/mailboxes")
	rows = nil
	for _, a := range k.Campaign.Accounts {
		if a.Role != casefile.AccountSprayed {
			rows = append(rows, []string{a.UPN, words(a.Role), string(a.Certainty), stamp(a.Since), prose(a.Why), d.cites(a.Events)})
		}
	}
	d.table([]string{"account", "role", "certainty", "since", "why", "evidence"}, rows, "account")
	if s := len(k.Sprayed); s > 0 {
		d.para(plural(int64(s), "more account was/more accounts were") + " attacked, with no right password as far as the logs say; case.json names them.")
	}
	rows = nil
	for _, a := range k.Apps {
		rows = append(rows, []string{cmp.Or(a.Name, a.ID), a.ID, words(a.Role), strings.Join(a.Permissions, ", "), stamp(a.Since), prose(a.Why), d.cites(a.Events)})
	}
	d.table([]string{"application", "id", "role", "permissions", "since", "why", "evidence"}, rows, "application")
	rows = nil
	for _, x := range k.Campaign.IPs {
		network := x.ASOrg
		if x.ASN > 0 {
			network = fmt.Sprintf("AS%d ", x.ASN) + network
		}
		shared := ""
		if x.Shared {
			shared = "used by others too"
		}
		rows = append(rows, []string{x.IP, network, x.Country, stamp(x.First), stamp(x.Last), number(x.Events), shared})
	}
	d.table([]string{"address", "network", "country", "first", "last", "records", "note"}, rows, "address/addresses")
	if len(k.Timeline) > 0 {
		d.head(3, "Timeline")
	}
	rows = nil
	for _, t := range k.Timeline {
		rows = append(rows, []string{stamp(t.Time), t.Stage, prose(t.Text), d.cites(t.Events)})
	}
	d.table([]string{"time", "stage", "what", "evidence"}, rows, "step")
}
