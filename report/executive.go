package report

import (
	"cmp"
	"slices"
	"strings"

	"midwatch/casefile"
)

// Exposure is what is known of the content of the mail that was reached, in
// numbers: `midwatch exposure` finds it (package exposure).
type Exposure struct {
	Read    casefile.PerCertainty // messages whose content was read, in whole or in part
	Secrets casefile.PerCertainty // distinct passwords, keys and tokens in them
}

// executive is the first page: what somebody who has two minutes has to know,
// on one sheet of A4.
type executive struct {
	Campaign *campaignView // the gravest; nil: none
	Others   int           // campaigns besides
	Numbers  []figure
	Pictures []picture
	Unknown  []string
	More     int // of what is not known, told below
	Next     []string
	NextMore int
}

// figure is one number of the first page. Lines holds the other certainties:
// they are never added up.
type figure struct {
	Name  string
	Value string
	Sure  casefile.Certainty // of the value
	Of    string             // share of a whole
	Lines []tally
	Notes []string
}

const (
	fewUnknown = 5
	fewNext    = 5
)

func (p *page) executive() executive {
	var e executive
	if len(p.Campaigns) > 0 {
		c := &p.Campaigns[0]
		e.Campaign, e.Others = c, len(p.Campaigns)-1
		e.Numbers = []figure{p.dwelt(c), hands(c), boxes(c), messages(c)}
		if x := p.opts.Exposure; x != nil {
			e.Numbers = append(e.Numbers, secrets(*x))
		}
		e.Pictures = p.summaryPictures(c)
	}
	e.Unknown, e.More = cut(p.unknowns(), fewUnknown)
	e.Next, e.NextMore = cut(p.nexts(), fewNext)
	return e
}

// dwelt is how long the actor was inside, as recorded.
func (p *page) dwelt(c *campaignView) figure {
	f := figure{Name: "Days inside, as recorded"}
	from := c.InitialAccess
	if from.IsZero() {
		f.Name, from = "Days active, as recorded", c.Start
	}
	if from.IsZero() || c.End.IsZero() {
		f.Value = "?"
		return f
	}
	f.Value = decimal(round(c.End.Sub(from.Time).Hours() / 24))
	f.Notes = append(f.Notes, day(from)+" to "+day(c.End))
	if c.Standing == "suspected" {
		f.Notes = append(f.Notes, "suspected, not established")
	}
	if c.OriginOutside {
		f.Notes = append(f.Notes, "origin outside the evidence: it may be longer")
	}
	if !c.FirstDetected.IsZero() {
		f.Notes = append(f.Notes, "could be seen from "+day(c.FirstDetected))
	}
	return f
}

// most makes a figure's value of the highest certainty that has anything, and
// lines of the others.
func (f *figure) most(n casefile.PerCertainty) {
	list := []certainCount{{casefile.Confirmed, n.Confirmed}, {casefile.Probable, n.Probable}, {casefile.Possible, n.Possible}}
	f.Value, f.Sure = "0", casefile.Confirmed
	for i, c := range list {
		switch {
		case f.Value == "0" && c.Count > 0 && (i == 0 || n.Confirmed == 0 && i == 1 || n.Confirmed+n.Probable == 0):
			f.Value, f.Sure = number(c.Count), c.Certainty
		case c.Count > 0:
			f.Lines = append(f.Lines, tally{number(c.Count), c.Certainty, ""})
		}
	}
}

// hands are the accounts that the actor acted as.
func hands(c *campaignView) figure {
	f := figure{Name: "Accounts in the actor’s hands"}
	var n casefile.PerCertainty
	suspected := int64(0)
	for _, a := range c.Campaign.Accounts {
		switch a.Role {
		case casefile.AccountCreated, casefile.AccountCompromised, casefile.AccountConsenter:
			switch a.Certainty {
			case casefile.Confirmed:
				n.Confirmed++
			case casefile.Probable:
				n.Probable++
			case casefile.Possible:
				n.Possible++
			}
		case casefile.AccountSuspected, casefile.AccountGuessed:
			suspected++
		}
	}
	f.most(n)
	if suspected > 0 {
		f.Notes = append(f.Notes, plural(suspected, "more/more")+" of which it is not shown")
	}
	if k := len(c.Apps); k > 0 {
		f.Notes = append(f.Notes, plural(int64(k), "application"))
	}
	if k := len(c.Sprayed); k > 0 {
		f.Notes = append(f.Notes, number(int64(k))+" tried, not guessed")
	}
	return f
}

func boxes(c *campaignView) figure {
	f := figure{Name: "Mailboxes reached"}
	f.most(c.Reach.Mailboxes)
	if s := c.ShareOfMailboxes; s.Denominator > 0 && f.Sure == casefile.Confirmed {
		f.Of = percent(s.ConfirmedShare) + " of " + number(s.Denominator) + " mailboxes"
	}
	if c.Reach.Mailboxes.Possible == 0 && c.Uncleared > 0 {
		f.Lines = append(f.Lines, tally{number(c.Uncleared), casefile.Possible, "cannot be cleared"})
	}
	return f
}

func messages(c *campaignView) figure {
	f := figure{Name: "Messages read"}
	f.most(c.Reach.Messages)
	if c.Reach.WholeFolders > 0 {
		f.Notes = append(f.Notes, "and "+plural(c.Reach.WholeFolders, "whole folder")+": how many messages these held is not in the logs")
	}
	if c.Reach.Windows > 0 {
		f.Notes = append(f.Notes, plural(c.Reach.Windows, "time")+" in which reads were not recorded")
	}
	return f
}

func secrets(x Exposure) figure {
	f := figure{Name: "Secrets in them"}
	f.most(x.Secrets)
	n := x.Read.Confirmed + x.Read.Probable + x.Read.Possible
	if f.Notes = append(f.Notes, "in "+plural(n, "message")+" whose content was read"); n == 0 {
		f.Value, f.Sure, f.Lines, f.Notes = "?", "", nil, []string{"no content of the mail was given"}
	}
	return f
}

// summaryPictures are the campaign's timeline without the logs below it.
func (p *page) summaryPictures(c *campaignView) []picture {
	if len(c.Pictures) == 0 {
		return nil
	}
	drawn := c.Campaign
	drawn.Timeline = drawn.Timeline[:min(len(drawn.Timeline), p.Rows)]
	cov := p.Coverage
	cov.Sources = nil
	var out []picture
	for _, narrow := range []bool{false, true} {
		x := draw(drawn, cov, c.N, p.Tenant, narrow)
		x.ID = "summary-" + x.ID
		x.H -= 6
		x.href = c.Pictures[0].href
		out = append(out, x)
	}
	return out
}

// unknowns are what is not known, a line each: what the section on it tells.
func (p *page) unknowns() []string {
	var out []string
	for _, c := range p.Campaigns {
		if c.OriginOutside {
			out = append(out, "How it began: the first record is not explained by any before it.")
		}
	}
	add := func(us []casefile.Uncleared) {
		for _, u := range us {
			line := "Whether " + number(u.Count) + " " + unclearedWord(u.Count, u.What) + " " + wasWere(u.Count) + " reached"
			if u.CountName != "" {
				line += " (" + u.CountName + ")"
			}
			out = append(out, line+".")
		}
	}
	for _, c := range p.Case.Campaigns {
		us := slices.Clone(c.CannotClear)
		slices.SortStableFunc(us, func(a, b casefile.Uncleared) int { return cmp.Compare(b.Count, a.Count) })
		add(us)
	}
	add(p.Case.CannotClear)
	var cannot []string
	for _, a := range p.Assertions {
		if answerRank(a.Answer) == 1 {
			cannot = append(cannot, a.Name)
		}
	}
	if len(cannot) > 0 {
		shown, left := cut(cannot, 4)
		s := "Whether these were accessed: " + strings.Join(shown, ", ")
		if left > 0 {
			s += " and " + plural(int64(left), "more/more")
		}
		out = append(out, s+".")
	} else {
		for _, s := range p.Limits {
			out = append(out, prose(s.Text))
		}
	}
	if n := len(p.Assumed); n > 0 {
		out = append(out, "Whether "+plural(int64(n), "application that reads/applications that read")+" mail without a user "+isAre(n)+" legitimate, as is assumed.")
	}
	if n := len(p.Coverage.NeverReceived); n > 0 {
		out = append(out, "What "+plural(int64(n), "log")+" would show that "+wasWere(int64(n))+" never received.")
	}
	if n := p.Coverage.MailAccess.SilentCount; n > 0 {
		out = append(out, "Whether "+plural(n, "mailbox/mailboxes")+" "+wasWere(n)+" read: "+themItSubject(n)+" no record of reading at all.")
	}
	if n := len(p.NotAssessed); n > 0 {
		out = append(out, plural(int64(n), "question")+" could not be asked of these logs.")
	}
	return out
}

// nexts are the next steps: the case's own advice. Where it has none, it is what
// the actor holds, and what would settle what is open.
func (p *page) nexts() []string {
	var out []string
	for _, s := range p.Advice {
		out = append(out, prose(s.Text))
	}
	if len(out) > 0 || len(p.Campaigns) == 0 {
		return out
	}
	c := p.Campaigns[0]
	if c.Standing == "suspected" {
		return []string{"Find out whether the steps of the campaign were legitimate: it is suspected, not established."}
	}
	var accounts, apps []string
	for _, a := range c.Campaign.Accounts {
		if a.Role == casefile.AccountCreated || a.Role == casefile.AccountCompromised {
			accounts = append(accounts, a.UPN)
		}
	}
	for _, a := range c.Apps {
		apps = append(apps, cmp.Or(a.Name, a.ID))
	}
	if len(accounts) > 0 {
		out = append(out, "Take the accounts back and revoke their sessions: "+several(accounts, 4)+".")
	}
	if len(apps) > 0 {
		s := "Disable the applications: " + several(apps, 4) + "."
		if k := len(c.Credentials); k > 0 {
			s = "Disable the applications and remove " + plural(int64(k), "key") + " that the actor added: " + several(apps, 4) + "."
		}
		out = append(out, s)
	}
	if c.Reach.Mailboxes.Confirmed+c.Reach.Mailboxes.Probable > 0 {
		out = append(out, "Look at what the mail that was read held, and change the passwords and keys in it.")
	}
	var logs []string
	for _, m := range p.Coverage.NeverReceived {
		if s := sourceName(m.Source, ""); !slices.Contains(logs, s) {
			logs = append(logs, s)
		}
	}
	if len(logs) > 0 {
		out = append(out, "Fetch the logs that are missing while they are kept: "+several(logs, 3)+".")
	}
	if n := len(p.Assumed); n > 0 {
		out = append(out, "Have "+plural(int64(n), "application that reads/applications that read")+" mail confirmed by whoever runs "+themIt(int64(n))+".")
	}
	return out
}

// several names the first of a list and counts the rest.
func several(list []string, n int) string {
	shown, left := cut(list, n)
	s := strings.Join(shown, ", ")
	if left > 0 {
		s += " and " + number(int64(left)) + " more"
	}
	return s
}

func wasWere(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func themIt(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func themItSubject(n int64) string {
	if n == 1 {
		return "it has"
	}
	return "they have"
}

// Executive is the first page.
func (p *page) Executive() executive { return p.executive() }

// Fitted are the detectors whose limits are fitted to the tenant's own past: those
// whose findings hold the counts over time that decided.
func (p *page) Fitted() []string {
	var out []string
	for _, f := range p.Case.Findings {
		if len(f.Series) > 0 && !slices.Contains(out, f.Detector) {
			out = append(out, f.Detector)
		}
	}
	slices.Sort(out)
	return out
}

// Version is the program's, where it was given.
func (p *page) Version() string { return clean(p.opts.Version) }

// HasExposure reports whether numbers of what the mail held were given.
func (p *page) HasExposure() bool { return p.opts.Exposure != nil }
