package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/simulate"
	"midwatch/simulate/score"
)

// goals is what is asked of guessing, conversions, grants and reads, measured
// in one run.
type goals struct {
	TenantDays float64     `json:"tenant_days"`
	Actors     []actorGoal `json:"actors"`
}

// actorGoal is one actor's part.
type actorGoal struct {
	Campaign    string     `json:"campaign"`
	Sprayed     bool       `json:"sprayed"`      // it guessed, and the logs have it
	SprayHours  *float64   `json:"spray_hours"`  // from its first record to the first finding of guessing about it
	BeforeRead  *bool      `json:"before_read"`  // that was before it read the first mailbox; null: it read none
	Converted   int        `json:"converted"`    // accounts whose password it guessed, in the logs
	WithinHour  int        `json:"within_hour"`  // of these raised within an hour of the record
	Granted     int        `json:"granted"`      // applications to which it gave, or whose credentials gave it, application permissions
	GrantsFound int        `json:"grants_found"` // of these named by a finding
	Boxes       int        `json:"boxes"`        // mailboxes whose reading is in the logs
	BoxesFound  int        `json:"boxes_found"`  // of these named by a finding of access, or listed by a campaign
	FirstRead   *time.Time `json:"first_read"`
}

// guessers are the detectors of guessing itself.
func goalGuessers() []string {
	return []string{"slow_spray", "failures_one_account", "failures_one_ip", "failure_rise"}
}

// hasLog reports whether a record of a log was kept for a campaign.
func hasLog(t *simulate.Truth, log string) bool {
	return slices.ContainsFunc(t.Logs, func(l simulate.LogOf) bool { return l.Log == log && l.Records > 0 })
}

// measure compares a case with the key.
func measure(t *simulate.Truth, c *casefile.Case, s *score.Score) goals {
	g := goals{TenantDays: t.End.Sub(t.Start).Hours() / 24 * float64(len(t.Tenants))}
	for i := range t.Campaigns {
		p := &t.Campaigns[i]
		if p.FirstRecord.IsZero() {
			continue
		}
		a := actorGoal{Campaign: p.ID}
		var sc *score.Campaign
		for j := range s.Campaigns {
			if s.Campaigns[j].ID == p.ID {
				sc = &s.Campaigns[j]
			}
		}
		for _, b := range p.Mailboxes {
			if !b.First.IsZero() && (a.FirstRead == nil || b.First.Before(*a.FirstRead)) {
				x := b.First
				a.FirstRead = &x
			}
		}
		for _, st := range p.Stages {
			a.Sprayed = a.Sprayed || st.Name == "spray" && st.Records > 0
		}
		if a.Sprayed && sc != nil {
			a.spray(p, sc)
		}
		a.conversions(p, c)
		a.grants(t, p, c)
		a.boxes(t, p, c)
		g.Actors = append(g.Actors, a)
	}
	return g
}

func (a *actorGoal) spray(p *simulate.CampaignOf, sc *score.Campaign) {
	var at time.Time
	for _, d := range goalGuessers() {
		if x := sc.By[d]; !x.IsZero() && (at.IsZero() || x.Before(at)) {
			at = x.Time
		}
	}
	if a.FirstRead != nil {
		before := !at.IsZero() && at.Before(*a.FirstRead)
		a.BeforeRead = &before
	}
	if !at.IsZero() {
		h := at.Sub(p.FirstRecord).Hours()
		a.SprayHours = &h
	}
}

// conversions counts the accounts that were taken by guessing: those that were
// tried, and whose password worked.
func (a *actorGoal) conversions(p *simulate.CampaignOf, c *casefile.Case) {
	for _, x := range p.Compromised {
		if x.How != "password" || !slices.Contains(p.Sprayed, x.UPN) || p.FirstSuccessRecord.IsZero() || x.Since.Before(p.FirstSuccessRecord.Add(-time.Second)) {
			continue
		}
		a.Converted++
		if slices.ContainsFunc(c.Findings, func(f casefile.Finding) bool {
			return f.Detector == "guessed_password" && f.Severity.Rank() >= casefile.Medium.Rank() && f.Detected.Sub(x.Since) <= time.Hour &&
				slices.ContainsFunc(f.Entities, func(e casefile.Entity) bool { return e.Kind == casefile.Account && strings.EqualFold(e.ID, x.UPN) })
		}) {
			a.WithinHour++
		}
	}
}

// names reports whether a finding of medium severity or more names an entity.
func names(c *casefile.Case, detectors []string, ids ...string) bool {
	return slices.ContainsFunc(c.Findings, func(f casefile.Finding) bool {
		return f.Severity.Rank() >= casefile.Medium.Rank() && (detectors == nil || slices.Contains(detectors, f.Detector)) &&
			slices.ContainsFunc(f.Entities, func(e casefile.Entity) bool {
				return slices.ContainsFunc(ids, func(id string) bool { return id != "" && strings.EqualFold(id, e.ID) })
			})
	})
}

func (a *actorGoal) grants(t *simulate.Truth, p *simulate.CampaignOf, c *casefile.Case) {
	if !hasLog(t, simulate.LogDirectory) && !hasLog(t, simulate.LogUAL) {
		return
	}
	for _, x := range p.Apps {
		if len(x.Permissions) == 0 || x.Since.Before(t.Start) {
			continue
		}
		a.Granted++
		if names(c, nil, x.AppID, x.ServicePrincipal, x.Object) {
			a.GrantsFound++
		}
	}
}

func (a *actorGoal) boxes(t *simulate.Truth, p *simulate.CampaignOf, c *casefile.Case) {
	if !hasLog(t, simulate.LogUAL) {
		return
	}
	listed := map[string]bool{}
	for i := range c.Campaigns {
		for _, m := range c.Campaigns[i].Mailboxes {
			listed[strings.ToLower(m.UPN)] = true
		}
	}
	for _, b := range p.Mailboxes {
		if b.VisibleFrom.IsZero() {
			continue
		}
		a.Boxes++
		if listed[strings.ToLower(b.UPN)] || names(c, nil, b.UPN, b.GUID) {
			a.BoxesFound++
		}
	}
}

// goal is an actor's measurements of a run, for [bootstrap] and [wilson].
func (g *group) goals() (out []*actorGoal) {
	for i := range g.runs {
		r := &g.runs[i]
		for j := range r.Goals.Actors {
			if r.Goals.Actors[j].Campaign == r.c.ID {
				out = append(out, &r.Goals.Actors[j])
			}
		}
	}
	return out
}

// against writes what was asked beside what was measured.
func against(b *md, gs []*group, quiet []*result) {
	b.p("## Against the goals\n")
	b.text(`*Guessing found*: the first finding about the guessing, whatever its severity, from the first attempt in the logs. *Conversion*: an account that was tried and whose
password turned out right has a finding of medium severity or more within an hour of that sign-in's record. *Grants*: applications with permissions that the
actor gave or took over, of which a finding of medium severity or more speaks. *Mailboxes*: those with a record of being read, named by such a finding or
listed by a campaign. Times are those of records: a finding is raised when the evidence up to then suffices, with the baseline of all of the evidence.
`)
	b.head("users", "scenario", "runs", "guessing found", "days until then, median", "within 2 days", "within 10 days", "before the first mailbox was read", "conversions within the hour", "grants found", "mailboxes found")
	for _, g := range gs {
		as := g.goals()
		if len(as) == 0 {
			continue
		}
		var found, two, ten, before, read, sprayed, conv, hour, granted, grants, boxes, got int
		var days []float64
		for _, a := range as {
			if a.Sprayed {
				sprayed++
				if a.SprayHours != nil {
					found++
					days = append(days, *a.SprayHours/24)
					two += one(*a.SprayHours <= 48)
					ten += one(*a.SprayHours <= 240)
				}
				if a.BeforeRead != nil {
					read++
					before += one(*a.BeforeRead)
				}
			}
			conv, hour = conv+a.Converted, hour+a.WithinHour
			granted, grants = granted+a.Granted, grants+a.GrantsFound
			boxes, got = boxes+a.Boxes, got+a.BoxesFound
		}
		of := func(k, n int) string {
			if n == 0 {
				return "–"
			}
			return fmt.Sprintf("%d of %d, %s", k, n, wilson(k, n).percent())
		}
		b.row(fmt.Sprint(g.users), g.name(), fmt.Sprint(len(as)), of(found, sprayed), bootstrap(days, median).number(2), of(two, sprayed), of(ten, sprayed), of(before, read),
			of(hour, conv), of(grants, granted), of(got, boxes))
	}
	b.p("")
	b.p("False findings of medium severity or more a tenant and day, when nobody is there (0.1 is the budget):\n")
	b.head("users", "runs", "tenant-days", "false findings", "a tenant and day", "of them by detector")
	for _, u := range userSizes(quiet) {
		var n, wrong int
		var exposure float64
		by := map[string]int{}
		for _, r := range quiet {
			if r.Users != u {
				continue
			}
			n++
			exposure += r.Goals.TenantDays
			wrong += r.Score.Findings.False
			for _, f := range r.Score.Findings.FalseOnes {
				if medium(&f) {
					by[f.Detector]++
				}
			}
		}
		var list []string
		for _, d := range sorted(by) {
			list = append(list, fmt.Sprintf("%s %d", d, by[d]))
		}
		lo, hi := poissonBounds(wrong)
		b.row(fmt.Sprint(u), fmt.Sprint(n), fmt.Sprintf("%.0f", exposure), fmt.Sprint(wrong), fmt.Sprintf("%.4f (%.4f to %.4f)", float64(wrong)/exposure, lo/exposure, hi/exposure), strings.Join(list, ", "))
	}
	b.p("")
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
