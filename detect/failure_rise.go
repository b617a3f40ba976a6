package detect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/detect/baseline"
	"midwatch/store"
)

// failureRise finds times in which more of a tenant's sign-ins fail without an
// explanation than its own past expects, and of which nothing more can be said:
// wrong passwords without traits in common, names that do not exist, right
// passwords that something else stopped. Where a detector of guessing says
// more about the same time, it is silent.
type failureRise struct{}

// Card implements [Detector].
func (failureRise) Card() Card {
	return Card{
		ID:    "failure_rise",
		Title: "More unexplained failures than the tenant's past expects",
		Why: "An attacker who changes everything from guess to guess still has to guess. So does one who first asks which accounts exist, and one who comes with a list of " +
			"right passwords, of which the tenant's policies stop most.",
		FalsePositives: []string{"a new provider or VPN that many people begin to use on the same day", "an import of accounts under new names"},
		Techniques:     []string{"T1110"},
		Stage:          casefile.StageGuessing,
		Needs:          signInNeeds(),
		Helps:          guessingHelps(),
		Severity:       casefile.Low,
		FalseAlarms:    FalseAlarms{risesPerYear / 365.25, "limits of the sums are set for one false alarm a year and tenant, over its three series together"},
	}
}

// stream is a series of a tenant.
type stream struct {
	name, title, why string
	severity         casefile.Severity
	techniques       []string
	least            int // accounts, or names, that make it more than one person's bad day
}

func streams() []stream {
	return []stream{
		{"wrong", "Wrong passwords rose above what is usual: %d accounts", "wrong passwords that nothing explains, without an application or user agent in common", casefile.Low, []string{"T1110.003"}, sprayUsers},
		{"no_user", "Names that do not exist were tried: %d", "attempts with names that do not exist, from networks where nobody else signs in", casefile.Low, []string{"T1087.004", "T1589.002"}, sprayUsers},
		{"right", "Right passwords were stopped more often than usual: %d accounts", "right passwords from unfamiliar networks, which a second factor, a policy or a missing permission stopped", casefile.Medium, []string{"T1110.004", "T1078.004"}, 5},
	}
}

// Detect implements [Detector].
func (d failureRise) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	wrong, err := unexplained(ctx, q)
	if err != nil {
		return nil, err
	}
	right, err := stoppedRight(ctx, q)
	if err != nil {
		return nil, err
	}
	days, err := signInDays(ctx, q)
	if err != nil {
		return nil, err
	}
	gs, err := allGuesses(ctx, q)
	if err != nil {
		return nil, err
	}
	of := map[string]map[string][]attempt{}
	for _, a := range slices.Concat(wrong, right) {
		name := "wrong"
		switch a.pw {
		case passwordNoUser:
			name = "no_user"
		case passwordRight:
			name = "right"
		}
		if of[a.tenant] == nil {
			of[a.tenant] = map[string][]attempt{}
		}
		of[a.tenant][name] = append(of[a.tenant][name], a)
	}
	var out []casefile.Finding
	for _, tenant := range sortedKeysOf(of) {
		for _, s := range streams() {
			for _, f := range d.rises(tenant, s, of[tenant][s.name], days[tenant]) {
				if s.name != "wrong" || !explained(gs, &f) {
					out = append(out, f)
				}
			}
		}
	}
	return out, nil
}

// explained reports whether guessing that is told of falls into the time of a
// rise of wrong passwords.
func explained(gs []guess, f *casefile.Finding) bool {
	return slices.ContainsFunc(gs, func(g guess) bool {
		return g.Tenant == f.Tenant && g.Severity.Rank() >= casefile.Medium.Rank() && !g.First.After(f.Last.Time) && !g.Last.Before(f.First.Time)
	})
}

func (failureRise) rises(tenant string, s stream, as []attempt, days reachOf) (out []casefile.Finding) {
	slices.SortStableFunc(as, func(a, b attempt) int { return a.at.Compare(b.at) })
	var moments []time.Time
	seen := map[string]bool{}
	for _, a := range as {
		if k := a.day.Format(time.DateOnly) + " " + a.actor + " " + a.prefix; !seen[k] {
			seen[k] = true
			moments = append(moments, a.at)
		}
	}
	if len(moments) == 0 {
		return nil
	}
	falseAlarms := risesPerYear / float64(len(streams()))
	r := baseline.Watch(baseline.NewCounts(days.first, days.last, moments), baseline.Options{FalseAlarms: falseAlarms, Seed: 1})
	if r == nil || r.Baseline < minBaseline {
		return nil
	}
	for _, span := range spans(r.Alarms) {
		c := &cell{tenant: tenant, result: r, alarm: span[0], baseline: r.Baseline, falseAlarms: falseAlarms}
		from, to := span[0].Change, span[len(span)-1].Until
		for _, a := range as {
			if !a.at.Before(from) && a.at.Before(to) {
				c.in = append(c.in, a)
			}
		}
		n := tally(c.in)
		if int(n.users) < s.least || int(n.origins) < s.least {
			continue
		}
		c.chance = r.Expected(from, to)
		f := casefile.Finding{
			Tenant: tenant, Severity: s.severity, Techniques: s.techniques, First: casefile.TimeOf(c.in[0].at), Last: casefile.TimeOf(c.in[len(c.in)-1].at),
			Title: fmt.Sprintf(s.title, n.users), Series: []casefile.Series{c.path()},
		}
		f.Series[0].Name = s.why
		f.Detected = casefile.Earlier(casefile.Later(casefile.TimeOf(span[0].At), f.First), f.Last)
		for _, a := range c.in {
			f.Events = append(f.Events, a.id)
		}
		f.EventCount, f.Events = int64(len(f.Events)), capIDs(f.Events)
		if f.EventCount > casefile.MaxEvents {
			cond := ` = '` + s.name + `'`
			if s.name == "wrong" {
				cond = ` IN ('wrong', 'locked')`
			}
			f.EventsQuery = inline(orphansSQL()+` SELECT id FROM orphans WHERE later = 0 AND tenant = ? AND pw`+cond+` AND time >= ? AND time <= ? ORDER BY time, id`, []any{tenant, c.in[0].at, c.in[len(c.in)-1].at})
		}
		for _, id := range sortedKeysOf(n.actors) {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: id, Role: casefile.RoleVictim})
		}
		f.Counts = []casefile.Count{
			{Name: "accounts", Value: float64(n.users), Limit: limit(float64(s.least))},
			{Name: "attempts", Value: float64(len(c.in))},
			{Name: "of these to be expected without anybody there", Value: round2(c.chance)},
			{Name: "addresses", Value: float64(n.origins)},
			{Name: "greatest cumulative sum", Value: round2(c.alarm.Sum), Limit: limit(round2(c.alarm.Limit))},
		}
		f.Why = fmt.Sprintf("%s of %s from %s: %s.", plural(int64(len(c.in)), "attempt", "attempts"), plural(n.users, "account", "accounts"), plural(n.origins, "address", "addresses"), s.why) + c.arithmetic()
		out = append(out, f)
	}
	return out
}
