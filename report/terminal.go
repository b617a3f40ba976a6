package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"midwatch/casefile"
)

// Terminal writes the verdict as text: what a person reads who has just run
// the command and may read nothing else. It keeps the page's order and leaves
// out what fills tables. Colour repeats what words and marks say.
type Terminal struct{}

// Name implements [Format].
func (Terminal) Name() string { return "terminal" }

// Doc implements [Format].
func (Terminal) Doc() string {
	return "verdict.txt: the verdict as plain text, for a terminal or a ticket"
}

// Files implements [Format].
func (Terminal) Files() []string { return []string{"verdict.txt"} }

// Write implements [Format].
func (f Terminal) Write(w io.Writer, file string, c *casefile.Case, o Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	t := &text{w: bufio.NewWriter(w), width: min(o.width(), 100), color: o.Color}
	p := newPage(shown(c), Options{Cards: o.Cards}) // without records: evidence stays in the page
	t.verdict(p)
	for _, cam := range p.Campaigns {
		t.campaign(p, cam)
	}
	t.accessed(p)
	t.decisions(p)
	t.earlier(p)
	t.unknown(p)
	t.others(p)
	t.coverage(p)
	t.absence(p)
	if len(p.Advice) > 0 {
		t.head("NEXT", "")
		for i, s := range p.Advice {
			t.item(fmt.Sprintf("%d.", i+1), s.Text)
		}
	}
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write verdict: %w", err)
	}
	return nil
}

// Colours: numbers of ECMA-48 "select graphic rendition".
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	yellow = "33"
	blue   = "34"
)

// text lays out lines of at most width columns.
type text struct {
	w     *bufio.Writer
	width int
	color bool
}

func (t *text) paint(code, s string) string {
	if !t.color || s == "" || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *text) line(s string) { fmt.Fprintln(t.w, strings.TrimRight(s, " ")) }

func (t *text) head(name, more string) {
	t.line("")
	if more != "" {
		more = "  " + t.paint(faint, more)
	}
	t.line(t.paint(bold, name) + more)
}

// item writes a mark and a paragraph that hangs behind it.
func (t *text) item(mark, s string) { t.hang("  "+mark+" ", s, "") }

func (t *text) hang(first, s, code string) {
	s = prose(s)
	indent := strings.Repeat(" ", width(first))
	lead := first
	for _, l := range wrap(s, t.width-width(first)) {
		t.line(lead + t.paint(code, l))
		lead = indent
	}
}

// width counts columns, near enough: one a letter.
func width(s string) int { return utf8.RuneCountInString(s) }

// wrap breaks text into lines. A word longer than a line is cut: ids must not
// push the rest out of sight.
func wrap(s string, n int) []string {
	n = max(n, 16)
	var out []string
	line := ""
	for _, word := range strings.Fields(s) {
		for {
			room := n - width(line)
			if line != "" {
				room--
			}
			if width(word) <= room {
				break
			}
			if line != "" && width(word) <= n {
				out, line = append(out, line), ""
				break
			}
			if line != "" && room < 8 {
				out, line = append(out, line), ""
				continue
			}
			r := []rune(word)
			k := min(room, len(r))
			if line != "" {
				line += " "
			}
			out, line, word = append(out, line+string(r[:k])), "", string(r[k:])
		}
		if line != "" && word != "" {
			line += " "
		}
		line += word
	}
	if line != "" || len(out) == 0 {
		out = append(out, line)
	}
	return out
}

// certain marks a certainty by shape, word and, where allowed, colour.
func (t *text) certain(c casefile.Certainty) string {
	switch c {
	case casefile.Confirmed:
		return t.paint(red, "● confirmed")
	case casefile.Probable:
		return t.paint(yellow, "◐ probable ")
	case casefile.Possible:
		return t.paint(blue, "○ possible ")
	}
	return "  " + string(c)
}

func (t *text) verdict(p *page) {
	s := p.Case.Case
	t.hang("", "Midwatch, case "+s.ID+": "+plural(s.Events, "record")+", "+day(s.First)+" to "+day(s.Last), faint)
	t.head("VERDICT", "")
	switch {
	case p.Lead != nil:
		t.hang("  ", p.Lead.Text, bold)
	case len(p.Campaigns) > 0:
		t.hang("  ", p.Campaigns[0].Title, bold)
	default:
		t.hang("  ", "These logs were not joined to a campaign. How much that is worth depends on what they cover.", bold)
	}
	for _, f := range p.Facts {
		t.item("-", f.Text)
	}
}

func (t *text) campaign(p *page, c campaignView) {
	name := "CAMPAIGN"
	if !c.Only {
		name = fmt.Sprintf("CAMPAIGN %d", c.N)
	}
	more := string(c.Severity)
	if c.Standing != "" {
		more += ", " + c.Standing
	}
	t.head(name, more)
	t.hang("  ", c.Title, "")
	t.decided(p, c.Decisions)
	first := stamp(c.Start) + " UTC"
	switch b := c.StartBounds(); {
	case c.OriginOutside && c.StartNotBefore.IsZero() && b != "":
		first += " or earlier, origin outside the evidence"
	case c.OriginOutside:
		first += ", origin outside the evidence"
	case b != "":
		first += ", " + b
	}
	t.field("first sign", first)
	if !c.InitialAccess.IsZero() {
		t.field("inside since", stamp(c.InitialAccess)+" UTC")
	}
	t.field("last seen", stamp(c.End)+" UTC, active for "+decimal(c.ActiveDays)+" days")
	t.field("could be seen", stamp(c.FirstDetected)+" UTC, "+decimal(c.DwellDays)+" days after the first sign")
	t.howLong(c.Campaign)
	t.line("")
	for _, k := range []struct {
		certainty casefile.Certainty
		boxes     int64
		messages  int64
		share     float64
	}{
		{casefile.Confirmed, c.Reach.Mailboxes.Confirmed, c.Reach.Messages.Confirmed, c.ShareOfMailboxes.ConfirmedShare},
		{casefile.Probable, c.Reach.Mailboxes.Probable, c.Reach.Messages.Probable, c.ShareOfMailboxes.ProbableShare},
		{casefile.Possible, c.Reach.Mailboxes.Possible, c.Reach.Messages.Possible, c.ShareOfMailboxes.PossibleShare},
	} {
		boxes, messages := plural(k.boxes, "mailbox/mailboxes"), plural(k.messages, "message")
		if k.certainty == casefile.Probable && k.messages == 0 && c.Reach.WholeFolders+c.Reach.Windows > 0 || k.certainty == casefile.Possible && k.messages == 0 && c.Uncleared > 0 {
			messages = "messages unknown" // a nought would read as "none"
		}
		if k.certainty == casefile.Possible && k.boxes == 0 && c.Uncleared > 0 {
			boxes, messages = plural(c.Uncleared, "mailbox/mailboxes"), "cannot be cleared"
		}
		l := fmt.Sprintf("  %s  %-16s %-18s", t.certain(k.certainty), boxes, messages)
		if c.ShareOfMailboxes.Denominator > 0 && k.boxes > 0 {
			l += percent(k.share) + " of " + number(c.ShareOfMailboxes.Denominator)
		}
		t.line(l)
	}
	if c.Reach.WholeFolders > 0 {
		t.hang("  ", "and "+plural(c.Reach.WholeFolders, "whole folder")+" synchronized: how many messages these held is not in the logs", "")
	}
	if c.Reach.Windows > 0 {
		t.hang("  ", "and "+plural(c.Reach.Windows, "time")+" in which reads of a mailbox were not recorded", "")
	}
	if len(c.Mailboxes) > 0 {
		t.line("")
		for i, m := range c.fewBoxes() {
			if i == 15 {
				t.line("  " + t.paint(faint, "... "+plural(int64(len(c.Campaign.Mailboxes)-15), "more mailbox/more mailboxes")+" in report.html and mailboxes.csv"))
				break
			}
			what := plural(m.Named(), "message")
			if n := m.MaybeNamed(); n > 0 {
				what += ", " + number(n) + " possible"
			}
			if n := len(m.WholeFolders); n > 0 {
				what += ", " + plural(int64(n), "whole folder")
			}
			t.line(fmt.Sprintf("  %s  %-36s %s", t.certain(m.Certainty), m.UPN, what))
		}
	}
	if len(c.Accounts) > 0 {
		t.line("")
		for i, a := range c.Accounts {
			if i == 10 {
				t.line("  " + t.paint(faint, "... "+plural(int64(len(c.Accounts)-10), "more account")+" in accounts.csv"))
				break
			}
			t.hang("  account  ", a.UPN+", "+words(a.Role)+", since "+stamp(a.Since), "")
		}
		if n := len(c.Sprayed); n > 0 {
			t.hang("           ", plural(int64(n), "more account")+" attacked, no right password as far as the logs say", "")
		}
	}
	for i, a := range c.Apps {
		if i == 10 {
			t.line("  " + t.paint(faint, "... "+plural(int64(len(c.Apps)-10), "more application")+" in report.html"))
			break
		}
		name := a.Name
		if name == "" {
			name = a.ID
		}
		s := name
		if len(a.Permissions) > 0 {
			s += ", may " + strings.Join(a.Permissions, ", ")
		}
		t.hang("  app      ", s+", since "+stamp(a.Since), "")
	}
	if len(c.Steps)+c.StepsCut > 0 {
		t.head("TIMELINE", "UTC")
		for i, s := range c.Campaign.Timeline {
			if i == 20 {
				t.line("  " + t.paint(faint, "... "+plural(int64(len(c.Campaign.Timeline)-20), "more step")+" in report.html"))
				break
			}
			t.hang("  "+stamp(s.Time)+"  ", s.Text, "")
		}
	}
	t.sought(c)
}

// fewBoxes are the mailboxes that the terminal may name.
func (c campaignView) fewBoxes() []mailboxView {
	out, _ := cut(c.Mailboxes, 16)
	return out
}

func (t *text) field(name, value string) { t.hang(fmt.Sprintf("  %-14s ", name), value, "") }

func (t *text) unknown(p *page) {
	t.head("NOT KNOWN", "unknown does not mean no")
	n := 0
	add := func(s string) { t.item("?", s); n++ }
	for _, s := range p.Limits {
		add(s.Text)
	}
	uncleared := func(us []casefile.Uncleared) {
		for _, u := range us {
			what := number(u.Count) + " " + unclearedWord(u.Count, u.What)
			if u.CountName != "" {
				what += " (" + u.CountName + ")"
			}
			add(what + " cannot be cleared: " + u.Why)
		}
	}
	for _, c := range p.Campaigns {
		uncleared(c.CannotClear)
	}
	uncleared(p.Case.CannotClear)
	if n := len(p.Assumed); n > 0 {
		var who []string
		for _, a := range p.Assumed[:min(n, 5)] {
			name := a.Name
			if name == "" {
				name = a.App
			}
			who = append(who, name+" ("+plural(a.Mailboxes, "mailbox/mailboxes")+")")
		}
		if n > 5 {
			who = append(who, plural(int64(n-5), "more/more"))
		}
		add(plural(int64(n), "application reads/applications read") + " mail without a user, assumed to be legitimate: " + strings.Join(who, ", ") + ". Confirm each, see report.html")
	}
	var tenants []string
	missing := map[string][]string{}
	for _, m := range p.Coverage.NeverReceived {
		if missing[m.Tenant] == nil {
			tenants = append(tenants, m.Tenant)
		}
		missing[m.Tenant] = append(missing[m.Tenant], sourceName(m.Source, ""))
	}
	for _, id := range tenants {
		of := ""
		if id != "" {
			of = " of " + p.Tenant(id)
		}
		add("never received" + of + ": " + strings.Join(missing[id], "; "))
	}
	for _, q := range p.NotAssessed {
		add("not asked: " + q.Title + " (" + q.Reason + ")")
	}
	if m := p.Coverage.MailAccess; m.SilentCount > 0 {
		add(plural(m.SilentCount, "mailbox has/mailboxes have") + " other mail records but none of reading: reads may not be logged there")
	}
	if p.Rejected > 0 {
		add(plural(p.Rejected, "record") + " could not be used, see report.html, sources")
	}
	if n == 0 {
		t.line("  nothing that these logs should have said is missing")
	}
}

func (t *text) others(p *page) {
	if len(p.Others)+p.OthersCut == 0 {
		return
	}
	t.head("OTHER FINDINGS", "in the same logs, not held to be part of a campaign")
	for _, w := range p.AlertWords() {
		t.hang("  ", w, "")
	}
	for _, f := range p.Others[:min(len(p.Others), 10)] {
		t.hang(fmt.Sprintf("  %-9s%s  ", f.Severity, stamp(f.First)), f.Title, "")
	}
	if more := len(p.Others) + p.OthersCut - 10; more > 0 {
		t.line("  " + t.paint(faint, "... "+plural(int64(more), "more finding")+" in report.html and findings.csv"))
	}
}

func (t *text) coverage(p *page) {
	t.head("COVERAGE", stamp(p.Coverage.From)+" to "+stamp(p.Coverage.To)+" UTC")
	if len(p.Coverage.Sources) == 0 {
		t.line("  no log was received")
	}
	last := "\x00"
	for _, s := range p.Coverage.Sources {
		if s.Tenant != last {
			last = s.Tenant
			t.line("  " + p.Tenant(s.Tenant))
		}
		gaps := "no gap over a day"
		if n := len(s.Gaps); n > 0 {
			gaps = plural(int64(n), "gap") + " over a day"
		}
		t.line(fmt.Sprintf("    %-38s %3d of %3d days, %s", sourceName(s.Source, s.Kind), s.Days, s.DaysInWindow, gaps))
	}
	t.holes(p)
	for _, s := range p.Coverage.Smells {
		t.item("!", words(s.Kind)+": "+s.Text)
	}
}

// absence comes last: after the coverage that it stands on.
func (t *text) absence(p *page) {
	if len(p.Absences)+len(p.Clean) == 0 {
		return
	}
	t.head("LOOKED FOR, NOT FOUND", "in the hours covered, and in no others")
	for _, s := range p.Absences {
		t.item("-", s.Text)
	}
	for _, a := range p.Clean {
		t.item("-", a.Title)
	}
}
