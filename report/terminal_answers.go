package report

import (
	"fmt"
	"strings"

	"midwatch/casefile"
)

// answered marks an answer by shape, word and, where allowed, colour. None is
// green: "no evidence" is no all-clear.
func (t *text) answered(answer string) string {
	switch answerRank(answer) {
	case 0:
		return t.paint(red, "◆ accessed   ")
	case 2:
		return "◇ no evidence"
	}
	return t.paint(blue, "? cannot tell")
}

// accessed answers for each group of assets in a line or two. No evidence is
// never said without its coverage, and without what the logs cannot show.
func (t *text) accessed(p *page) {
	if len(p.Answers) == 0 {
		return
	}
	t.head("WAS IT ACCESSED", "no evidence is worth its coverage, and no more")
	for i, a := range p.Answers {
		if i == 20 {
			t.line("  " + t.paint(faint, "... "+plural(int64(len(p.Answers)-20), "more answer")+" in report.html and assertions.csv"))
			break
		}
		s := a.Name + ": "
		switch answerRank(a.Answer) {
		case 0:
			s += plural(a.Access, "record") + " of what the actor acted as"
			var where []string
			for _, x := range a.Places[:min(len(a.Places), 3)] {
				where = append(where, x.What)
			}
			if len(where) > 0 {
				s += ": " + strings.Join(where, ", ")
			}
			if n := len(a.Places) - len(where); n > 0 {
				s += " and " + plural(int64(n), "more place")
			}
		case 2:
			s += "none of the actor's among " + plural(a.Known.Records, "record") + " that touch it. Covered: " + p.shares(a.Assertion)
			if len(a.BlindSpots) > 0 {
				s += ". Not seen in any case: " + strings.Join(a.BlindSpots, "; ")
			}
		default:
			s += a.Why
		}
		t.hangMarked("  "+t.answered(a.Answer)+"  ", 2+13+2, s)
	}
}

// hangMarked is hang behind a mark that may hold colour, so that its width is
// given.
func (t *text) hangMarked(mark string, n int, s string) {
	for i, l := range wrap(prose(s), t.width-n) {
		if i > 0 {
			mark = strings.Repeat(" ", n)
		}
		t.line(mark + l)
	}
}

// howLong writes a campaign's durations with their bounds.
func (t *text) howLong(c casefile.Campaign) {
	for i, d := range c.Dwell {
		if i == 6 {
			break
		}
		name := "how long"
		if i > 0 {
			name = ""
		}
		t.field(name, d.Name+": "+dwellWords(d))
	}
}

// sought writes the hypotheses of what a campaign was after, the least likely
// by chance of each kind, and whose techniques its own are like.
func (t *text) sought(c campaignView) {
	if len(c.After) > 0 {
		t.head("WHAT WERE THEY AFTER", "a hypothesis: over-represented among what was reached")
		for _, g := range c.After {
			n := 2
			if g.Kind == "subject" {
				n = 4
			}
			for _, i := range g.Items[:min(len(g.Items), n)] {
				s := i.Text
				if i.BaseOf > 0 {
					s += "; odds ratio " + ratioWords(i.Interest) + ", q " + chance(i.Q)
				}
				t.item("~", s)
			}
			if more := len(g.Items) + g.Cut - n; more > 0 {
				t.line("    " + t.paint(faint, "... "+number(int64(more))+" more of this kind in report.html and interests.csv"))
			}
		}
	}
	if c.Consistency.Words != "" && len(c.Consistency.Observed) > 0 {
		t.head("WHOSE TECHNIQUES ARE LIKE THESE", "")
		t.hang("  ", c.Consistency.Words, "")
	}
}

// decided writes the decisions that changed a campaign.
func (t *text) decided(p *page, os []casefile.Override) {
	for i, o := range os {
		if i == 4 {
			t.line("  " + t.paint(faint, "... "+plural(int64(len(os)-4), "more decision")+" below"))
			return
		}
		t.item("*", decisionWords(p, o))
	}
}

// decisionWords says who decided what, and why.
func decisionWords(p *page, o casefile.Override) string {
	var what []string
	for i, f := range o.Findings {
		if i == 3 {
			what = append(what, plural(int64(len(o.Findings)-3), "more finding"))
			break
		}
		what = append(what, p.Ref(f).Text)
	}
	for i, e := range o.Entities {
		if i == 3 {
			what = append(what, plural(int64(len(o.Entities)-3), "more/more"))
			break
		}
		what = append(what, words(string(e.Kind))+" "+e.ID)
	}
	who := o.Author
	if o.Claimed {
		who += " (as claimed)"
	}
	return fmt.Sprintf("%s %s: %s. Why: %s", who, verb(o.Kind), strings.Join(what, "; "), o.Reason)
}

// decisions lists what people decided, with what became of it.
func (t *text) decisions(p *page) {
	if len(p.Overrides) == 0 {
		return
	}
	t.head("DECISIONS OF PEOPLE", "the campaigns follow them, not the evidence alone")
	for i, o := range p.Overrides {
		if i == 20 {
			t.line("  " + t.paint(faint, "... "+plural(int64(len(p.Overrides)-20), "more decision")+" in report.html"))
			return
		}
		t.hang(fmt.Sprintf("  %2d. %s  ", o.Seq, stamp(o.Time)), decisionWords(p, o)+". "+sentence(o.Effect), "")
	}
}

// earlier compares with earlier cases.
func (t *text) earlier(p *page) {
	if len(p.Earlier) == 0 {
		return
	}
	t.head("EARLIER CASES", "")
	for i, e := range p.Earlier {
		if i == 10 {
			t.line("  " + t.paint(faint, "... "+plural(int64(len(p.Earlier)-10), "more case")+" in report.html"))
			return
		}
		t.item("-", e.Case+", "+day(e.First)+" to "+day(e.Last)+": "+e.Text)
	}
}

// holes writes what the logs lack by the hour, the logs as a whole first.
func (t *text) holes(p *page) {
	n := 0
	for _, r := range p.Coverage.Matrix.Rows {
		if r.Class != "all" && r.Class != "" {
			continue
		}
		for _, g := range r.Gaps {
			if n++; n <= 8 {
				t.item("!", sourceName(r.Source, r.Kind)+" of "+p.Tenant(r.Tenant)+", "+holeWords(g, nil))
			}
		}
	}
	if n > 8 {
		t.line("    " + t.paint(faint, "... "+plural(int64(n-8), "more gap")+" in report.html and coverage.csv"))
	}
	for i, r := range p.Coverage.Retention {
		if i == 5 {
			t.line("    " + t.paint(faint, "... "+plural(int64(len(p.Coverage.Retention)-5), "more log")+" in report.html"))
			break
		}
		t.item("!", r)
	}
	for _, b := range p.Boxes {
		if b.State != casefile.CoverRecorded && b.State != casefile.CoverNever { // never is said under what is not known
			t.item("!", "reads of mail, "+b.Title+": "+plural(b.Count, "mailbox/mailboxes"))
		}
	}
}
