package investigate

import (
	"math"

	"midwatch/casefile"
)

// rareByChance is the probability below which a detector raised more than its
// share.
const rareByChance = 0.001

// alerts weighs the case's findings against the detectors' budget.
func alerts(c *casefile.Case) casefile.Alerts {
	a := casefile.Alerts{Over: []casefile.AlertShare{}, Unknown: []string{}}
	for _, t := range c.Case.Tenants {
		if t.ID != "" || len(c.Case.Tenants) == 1 {
			a.TenantDays += t.Last.Sub(t.First.Time).Hours() / 24
		}
	}
	raised, inCampaign := map[string]int64{}, map[string]bool{}
	for i := range c.Campaigns {
		for _, id := range c.Campaigns[i].Findings {
			inCampaign[id] = true
		}
	}
	a.Incidents = int64(len(c.Campaigns))
	for i := range c.Findings {
		f := &c.Findings[i]
		if f.Severity.Rank() < casefile.Medium.Rank() {
			continue
		}
		a.Raised++
		raised[f.Detector]++
		if !inCampaign[f.ID] {
			a.Incidents++
		}
	}
	for _, x := range c.Assessed {
		a.PerDay += x.FalseAlarms
		switch expected := x.FalseAlarms * a.TenantDays; {
		case raised[x.Detector] == 0:
		case x.Basis == "" || x.FalseAlarms == 0:
			a.Unknown = append(a.Unknown, x.Detector)
		case atLeast(raised[x.Detector], expected) < rareByChance:
			a.Over = append(a.Over, casefile.AlertShare{Detector: x.Detector, Raised: raised[x.Detector], Expected: round(expected, 2)})
		}
	}
	a.Expected = round(a.PerDay*a.TenantDays, 2)
	a.PerDay, a.TenantDays = round(a.PerDay, 4), round(a.TenantDays, 1)
	return a
}

// atLeast is the probability that a Poisson variable is n or more.
func atLeast(n int64, mean float64) float64 {
	below, term := 0.0, math.Exp(-mean)
	for i := range n {
		below += term
		term *= mean / float64(i+1)
	}
	return max(0, 1-below)
}
