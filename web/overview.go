package web

import (
	"bytes"
	"html/template"
	"net/http"
	"slices"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/report"
	"midwatch/web/auth"
)

// home lists the cases; where there is one, it is shown.
func (s *Server) home(v *visit) error {
	if len(s.Cases) == 1 {
		http.Redirect(v.w, v.r, "/c/"+s.Cases[0].Name+"/", http.StatusSeeOther)
		return nil
	}
	type row struct {
		Name string
		Case *casefile.Case
		Lead string
	}
	var rows []row
	for _, x := range s.Cases {
		d, back := x.Take()
		r := row{Name: x.Name, Case: d.Case}
		if len(d.Case.Verdict) > 0 {
			r.Lead = d.Case.Verdict[0].Text
		}
		rows = append(rows, r)
		back()
	}
	s.render(v.w, v.r, http.StatusOK, "home", &page{Title: "Cases", User: v.user, Data: rows})
	return nil
}

// overviewData is the first page of a case.
type overviewData struct {
	Verdict   template.HTML
	Numbers   []figure
	Picture   template.HTML
	Rest      template.HTML
	Campaigns []*casefile.Campaign
	First     *casefile.Campaign
}

// figure is one of the five numbers.
type figure struct {
	Title, Value, Note, Href string
	Lines                    []figureLine
}

type figureLine struct {
	Count int64
	Cert  casefile.Certainty
	Note  string
}

func (s *Server) overview(v *visit) error {
	var o overviewData
	var err error
	c := v.d.Case
	for i := range c.Campaigns {
		o.Campaigns = append(o.Campaigns, &c.Campaigns[i])
	}
	slices.SortStableFunc(o.Campaigns, func(a, b *casefile.Campaign) int { return b.Severity.Rank() - a.Severity.Rank() })
	if o.Verdict, err = v.parts("verdict"); err != nil {
		return err
	}
	if len(o.Campaigns) > 0 {
		o.First = o.Campaigns[0]
		if o.Picture, err = part(func(b *bytes.Buffer) error { return v.sh.view.Campaign(b, o.First.ID, "picture") }); err != nil {
			return err
		}
	}
	secrets, err := s.Work.Secrets(v.d.Dir)
	if err != nil { // the banner tells what is wrong with the journal
		secrets = nil
	}
	o.Numbers = figures(v, o.First, secrets, err)
	if o.Rest, err = v.parts("unknown", "next", "accessed", "assumed", "earlier"); err != nil {
		return err
	}
	return s.show(v, "overview", "overview", "Overview", o)
}

// figures are the five numbers: dwell, accounts, mailboxes, messages, secrets.
func figures(v *visit, c *casefile.Campaign, secrets *casework.SecretCount, bad error) (out []figure) {
	if c == nil {
		return nil
	}
	l := v.link()
	inside := 0
	for _, a := range c.Accounts {
		switch a.Role {
		case casefile.AccountCompromised, casefile.AccountCreated, casefile.AccountConsenter:
			inside++
		}
	}
	sprayed := 0
	for _, a := range c.Accounts {
		if a.Role == casefile.AccountSprayed {
			sprayed++
		}
	}
	dwell := figure{Title: "Days inside", Value: report.Decimal(c.ActiveDays), Href: l.With("timeline", "campaign", c.ID), Note: "from " + report.Day(c.Start) + " to " + report.Day(c.End)}
	if !c.InitialAccess.IsZero() {
		dwell.Note = "inside since " + report.Day(c.InitialAccess) + ", last seen " + report.Day(c.End)
		dwell.Value = report.Decimal(float64(int64(c.End.Sub(c.InitialAccess.Time).Hours()/24*10)) / 10)
	}
	acc := figure{Title: "Accounts used", Value: report.Number(int64(inside)), Href: l.Campaign(c.ID) + "#used"}
	if sprayed > 0 {
		acc.Note = report.Number(int64(sprayed)) + " more had passwords tried"
	}
	m := c.Reach.Mailboxes
	box := figure{Title: "Mailboxes", Value: report.Number(m.Confirmed), Href: l.With("mailboxes", "campaign", c.ID), Lines: lines(m)}
	if c.ShareOfMailboxes.Denominator > 0 {
		box.Note = report.Percent(c.ShareOfMailboxes.ConfirmedShare) + " of " + report.Number(c.ShareOfMailboxes.Denominator) + " " + c.ShareOfMailboxes.DenominatorName
	}
	msg := figure{Title: "Messages", Value: report.Number(c.Reach.Messages.Confirmed), Href: l.With("messages", "campaign", c.ID), Lines: lines(c.Reach.Messages)}
	if c.Reach.WholeFolders > 0 {
		msg.Note = "and " + report.Number(c.Reach.WholeFolders) + " whole folders; how many messages these held is not in the logs"
	}
	sec := figure{Title: "Secrets in that mail", Value: "?", Note: "mail was not searched: midwatch exposure does", Href: l.To("work", "secrets")}
	if bad != nil {
		sec.Note = "cannot be told: the case's work cannot be read"
	}
	if secrets != nil {
		sec.Value, sec.Note = report.Number(int64(secrets.All)), report.Number(int64(secrets.Open))+" still open, "+report.Number(int64(secrets.All-secrets.Open))+" dealt with"
	}
	if v.user.Role < auth.Analyst { // a number that leads nowhere is better than one that leads to a refusal
		msg.Href, sec.Href = "", ""
	}
	return []figure{dwell, acc, box, msg, sec}
}

func lines(n casefile.PerCertainty) (out []figureLine) {
	out = append(out, figureLine{n.Confirmed, casefile.Confirmed, ""})
	if n.Probable > 0 {
		out = append(out, figureLine{n.Probable, casefile.Probable, ""})
	}
	if n.Possible > 0 {
		out = append(out, figureLine{n.Possible, casefile.Possible, ""})
	}
	return out
}

// campaignData is the page of a campaign.
type campaignData struct {
	*casefile.Campaign
	Whole template.HTML
}

func (s *Server) campaign(v *visit) error {
	c := v.d.Campaign(v.arg("id"))
	if c == nil {
		return notFound("campaign")
	}
	whole, err := part(func(b *bytes.Buffer) error {
		for _, name := range []string{"head", "timeline", "long", "findings", "after", "used", "consistent"} {
			if name == "after" && v.user.Role < auth.Analyst {
				continue // it has words out of subjects
			}
			if err := v.sh.view.Campaign(b, c.ID, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.show(v, "campaign", "campaigns", c.Title, campaignData{c, whole})
}

// coverage is what the evidence can and cannot show.
func (s *Server) coverage(v *visit) error {
	whole, err := v.parts("coverage", "absence", "sources")
	if err != nil {
		return err
	}
	return s.show(v, "whole", "coverage", "Coverage", whole)
}
