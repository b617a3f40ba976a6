package report

import (
	"cmp"
	"slices"
	"strings"

	"midwatch/casefile"
)

type campaignView struct {
	casefile.Campaign
	N         int // from 1
	Only      bool
	Pictures  []picture
	Facts     []casefile.Sentence
	Steps     []stepView
	MoreSteps []stepView // folded away
	StepsCut  int
	Findings  []findingView
	FindCut   int
	Mailboxes []mailboxView
	BoxCut    int
	Accounts  []casefile.AccountRef
	AccCut    int
	Sprayed   []casefile.AccountRef
	IPs       []casefile.IPRef
	IPCut     int
	Sessions  []casefile.SessionRef
	SessCut   int
	Tokens    []casefile.TokenRef
	TokCut    int
	Bar       []barPart
	Uncleared int64 // mailboxes that cannot be cleared, besides those in Reach
	Joins     []casefile.Join
	JoinCut   int
	Dwells    []dwellView
	Turns     []casefile.Milestone
	After     []interestGroup
	Decisions []casefile.Override
	Clear     []casefile.Context // what is held to be the actor
	Unclear   []casefile.Context // what may be the actor's or its owner's
}

// fewSteps is how many steps of a timeline are not folded away.
const fewSteps = 12

type stepView struct {
	casefile.TimelineEntry
	N int
}

type findingView struct {
	casefile.Finding
	Card   Card
	Cites  cites
	Anchor string
}

type mailboxView struct {
	casefile.MailboxRef
	Messages []casefile.MessageRef // that a record says were reached, or makes probable
	Cut      int                   // messages that are not shown
	Maybe    []casefile.MessageRef // that can only not be cleared
	MaybeCut int
	Minted   []casefile.TokenRef // tokens that it was read with
	TokenCut int
	Cites    cites
	count    messageCount
}

// tokensShown is how many tokens are told of a mailbox.
const tokensShown = 6

// messagesApart parts the messages that were reached from those that the logs
// only cannot clear.
func messagesApart(all []casefile.MessageRef) (reached, maybe []casefile.MessageRef) {
	for _, m := range all {
		if m.Certainty == casefile.Possible {
			maybe = append(maybe, m)
		} else {
			reached = append(reached, m)
		}
	}
	return reached, maybe
}

// Named and MaybeNamed count the messages that records name, by what can be
// said of them. The two are never added up.
func (m mailboxView) Named() int64 { return m.count.named }

// MaybeNamed is the other part, see Named.
func (m mailboxView) MaybeNamed() int64 { return m.count.maybe }

// barPart is a part of the bar that shows the share of mailboxes; X and W are
// in thousandths of the whole.
type barPart struct {
	Certainty casefile.Certainty // empty: the rest
	Count     int64
	X, W      float64
}

func (p *page) campaign(c casefile.Campaign, n int, only bool) campaignView {
	v := campaignView{Campaign: c, N: n, Only: only}
	said := map[string]bool{}
	for _, s := range p.Verdict {
		said[s.Text] = true
	}
	for _, s := range c.Verdict { // what the page said above is not said again
		if s.Kind == casefile.Absence || said[s.Text] || s.Kind == casefile.Limit && p.uncleared(s.Text) {
			continue
		}
		s.Refs = slices.DeleteFunc(slices.Clone(s.Refs), func(id string) bool { return id == c.ID })
		v.Facts = append(v.Facts, s)
	}
	steps, left := cut(c.Timeline, p.Rows)
	v.StepsCut = left
	for i, s := range steps {
		v.Steps = append(v.Steps, stepView{s, i + 1})
	}
	if len(v.Steps) > fewSteps+3 {
		v.Steps, v.MoreSteps = v.Steps[:fewSteps], v.Steps[fewSteps:]
	}
	drawn := c
	drawn.Timeline = steps // a mark links to its step below
	v.Pictures = p.pictures(drawn, n)
	var fs []casefile.Finding
	for _, id := range c.Findings {
		if f, ok := p.findings[id]; ok {
			fs = append(fs, f)
		}
	}
	slices.SortStableFunc(fs, func(a, b casefile.Finding) int { return cmp.Compare(b.Severity.Rank(), a.Severity.Rank()) })
	fs, v.FindCut = cut(fs, p.Rows)
	for _, f := range fs {
		v.Findings = append(v.Findings, p.finding(f))
	}
	tokens := map[string]casefile.TokenRef{}
	for _, t := range c.Tokens {
		tokens[t.ID] = t
	}
	boxes := slices.Clone(c.Mailboxes)
	p.sortBoxes(c.ID, boxes)
	boxes, v.BoxCut = cut(boxes, p.Rows)
	for _, m := range boxes {
		b := mailboxView{MailboxRef: m, count: p.count(c.ID, m), Cites: p.citeAtMost(m.Events, m.EventCount, 6)}
		reached, maybe := messagesApart(m.Messages)
		b.Messages, b.Cut = cut(reached, min(p.Rows, p.messages))
		p.messages -= len(b.Messages)
		b.Maybe, b.MaybeCut = cut(maybe, min(p.Rows, p.messages))
		p.messages -= len(b.Maybe)
		for _, id := range m.Tokens {
			t, ok := tokens[id]
			if !ok {
				t = casefile.TokenRef{ID: id}
			}
			b.Minted = append(b.Minted, t)
		}
		b.Minted, b.TokenCut = cut(b.Minted, tokensShown)
		v.Mailboxes = append(v.Mailboxes, b)
	}
	for _, a := range c.Accounts {
		if a.Role == casefile.AccountSprayed {
			v.Sprayed = append(v.Sprayed, a)
		} else {
			v.Accounts = append(v.Accounts, a)
		}
	}
	v.Accounts, v.AccCut = cut(v.Accounts, p.Rows)
	v.IPs, v.IPCut = cut(c.IPs, p.Rows)
	v.Sessions, v.SessCut = cut(c.Sessions, p.Rows)
	v.Tokens, v.TokCut = cut(c.Tokens, p.Rows)
	v.Joins, v.JoinCut = cut(c.Joins, p.Rows)
	v.Dwells = dwells(c.Dwell)
	v.Turns = turns(c.Milestones)
	v.After = interests(c.Interests)
	v.Decisions = p.overridesOf(c)
	for _, x := range c.Contexts {
		if x.Kind == "account_unclear" {
			v.Unclear = append(v.Unclear, x)
		} else {
			v.Clear = append(v.Clear, x)
		}
	}
	v.Uncleared = unclearedBoxes(c)
	v.Bar = shareBar(c.ShareOfMailboxes, v.Uncleared)
	return v
}

// sortBoxes puts the most certain first, then those with most messages.
func (p *page) sortBoxes(campaign string, boxes []casefile.MailboxRef) {
	slices.SortStableFunc(boxes, func(a, b casefile.MailboxRef) int {
		return cmp.Or(cmp.Compare(b.Certainty.Rank(), a.Certainty.Rank()), cmp.Compare(p.count(campaign, b).all(), p.count(campaign, a).all()), strings.Compare(a.UPN, b.UPN))
	})
}

// unclearedBoxes counts the mailboxes that the campaign's statements say cannot
// be cleared. Statements overlap: where one does not name its members, the
// largest count is a lower bound.
func unclearedBoxes(c casefile.Campaign) int64 {
	names := map[string]bool{}
	var most int64
	for _, u := range c.CannotClear {
		if !strings.Contains(u.What, "mailbox") {
			continue
		}
		most = max(most, u.Count)
		for _, m := range u.Members {
			names[m] = true
		}
	}
	return max(most, int64(len(names)))
}

// Tallies are the numbers of the mailboxes cell. A nought is not shown where
// something cannot be cleared: that would read as "none".
func (v campaignView) Tallies() []tally {
	m := v.Reach.Mailboxes
	out := []tally{{number(m.Confirmed), casefile.Confirmed, ""}, {number(m.Probable), casefile.Probable, ""}}
	switch {
	case m.Possible == 0 && v.Uncleared > 0:
		out = append(out, tally{number(v.Uncleared), casefile.Possible, "cannot be cleared"})
	default:
		out = append(out, tally{number(m.Possible), casefile.Possible, ""})
	}
	return out
}

// MessageTallies are the numbers of the messages cell.
func (v campaignView) MessageTallies() []tally {
	m := v.Reach.Messages
	out := []tally{{number(m.Confirmed), casefile.Confirmed, ""}, {number(m.Probable), casefile.Probable, ""}, {number(m.Possible), casefile.Possible, ""}}
	if m.Probable == 0 && (v.Reach.WholeFolders > 0 || v.Reach.Windows > 0) {
		out[1].Number, out[1].Note = "?", "number not in the logs"
	}
	if m.Possible == 0 && v.Uncleared > 0 {
		out[2].Number, out[2].Note = "?", "number not in the logs"
	}
	return out
}

// AppName names an application of the campaign by its id, or is empty.
func (v campaignView) AppName(id string) string {
	for _, a := range v.Apps {
		if a.ID == id {
			return a.Name
		}
	}
	return ""
}

type tally struct {
	Number    string
	Certainty casefile.Certainty
	Note      string
}

func shareBar(s casefile.Share, uncleared int64) []barPart {
	total := max(s.Denominator, s.Confirmed+s.Probable+s.Possible)
	if s.Possible == 0 {
		s.Possible = min(uncleared, total-s.Confirmed-s.Probable)
	}
	if total <= 0 {
		return nil
	}
	var out []barPart
	x := 0.0
	for _, part := range []barPart{{Certainty: casefile.Confirmed, Count: s.Confirmed}, {Certainty: casefile.Probable, Count: s.Probable}, {Certainty: casefile.Possible, Count: s.Possible},
		{Count: total - s.Confirmed - s.Probable - s.Possible}} {
		if part.Count <= 0 {
			continue
		}
		part.X, part.W = x, float64(part.Count)*1000/float64(total)
		x += part.W
		out = append(out, part)
	}
	return out
}
