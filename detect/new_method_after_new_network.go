package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// newMethodAfterNewNetwork finds methods and devices that are registered soon
// after a sign-in from somewhere new.
type newMethodAfterNewNetwork struct{}

// Card implements [Detector].
func (newMethodAfterNewNetwork) Card() Card {
	return Card{
		ID:    "new_method_after_new_network",
		Title: "Method or device registered after a sign-in from a new network",
		Why: "Who got in once with a stolen password or session registers a telephone or device of its own, and from then on passes the second factor " +
			"whatever happens to the password.",
		FalsePositives: []string{
			"a new telephone bought on a journey, or set up at a new home",
			"contractors and guests who are set up from where they are",
		},
		Techniques: []string{"T1098.005", "T1556.006"},
		Stage:      casefile.StagePersistence,
		Needs: Needs{
			Sources: []event.Source{event.DirectoryLog, event.UAL, event.Okta},
			Classes: []event.Class{event.ClassAuthMethod, event.ClassDevice},
			Fetch:   directoryNeeds().Fetch,
		},
		Helps:       []Help{{Source: event.SignIn, Classes: []event.Class{event.ClassSignIn}, What: "sign-ins are known from the unified audit log only, which has the interactive ones"}},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.004, Basis: "1 registration in 1,000 people and day (estimate); 3 in 1,000 of them fall on the first day in a new network, measured on simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d newMethodAfterNewNetwork) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	query := acceptedSQL() + `, registered AS (
		SELECT DISTINCT coalesce(tenant, '') AS r_tenant, CASE WHEN coalesce(target, '') LIKE '%@%' THEN lower(target) ELSE actor END AS r_actor, time AS r_time FROM events WHERE ` + registeredSQL + `
	), theirs AS (
		SELECT * FROM accepted WHERE actor IN (SELECT r_actor FROM registered)
	), first_net AS (
		SELECT tenant AS f_tenant, actor AS f_actor, net AS f_net, min(time) AS since FROM theirs GROUP BY tenant, actor, net
	), first_any AS (
		SELECT tenant AS a_tenant, actor AS a_actor, min(time) AS begun FROM theirs GROUP BY tenant, actor
	), fresh AS (
		SELECT DISTINCT f.f_tenant, f.f_actor, f.f_net, f.since FROM first_net f
			JOIN registered r ON r.r_tenant = f.f_tenant AND r.r_actor = f.f_actor
			JOIN first_any a ON a.a_tenant = f.f_tenant AND a.a_actor = f.f_actor
		WHERE r.r_time >= f.since AND r.r_time <= f.since + INTERVAL 24 HOUR AND f.since >= a.begun + INTERVAL ` + fmt.Sprint(warmUpDays) + ` DAY
	)
	SELECT ` + visitColumns + ` FROM theirs s JOIN fresh f ON f.f_tenant = s.tenant AND f.f_actor = s.actor AND f.f_net = s.net AND f.since = s.time ORDER BY s.time, s.id`
	vs, err := readVisits(ctx, q, query)
	if err != nil || len(vs) == 0 {
		return nil, err
	}
	vs = slices.DeleteFunc(vs, func(v *visit) bool { return v.shared() || v.device0 || v.managed() })
	if len(vs) == 0 {
		return nil, nil
	}
	in, _, _ := around(vs)
	regs, err := registrations(ctx, q, in)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	seen := map[string]bool{}
	for _, v := range vs {
		for i := range regs {
			r := &regs[i]
			if r.Tenant != v.tenant || !r.isOf(v.actor) || r.Time.Before(v.at) || r.Time.Sub(v.at) > fatigueAfter || seen[r.ID] {
				continue
			}
			seen[r.ID] = true
			out = append(out, d.finding(v, r))
			break
		}
	}
	return manyAre(out, commonMoves, "%d methods or devices were registered on somebody's first day in a new network", "%d registrations of %d accounts followed on a sign-in from a network that was new to the account and is its colleagues' provider. So many are a rollout."), nil
}

func (newMethodAfterNewNetwork) finding(v *visit, r *record) casefile.Finding {
	f := v.finding(casefile.RoleTarget)
	f.Severity = casefile.Low
	strange := v.strange()
	from := r.IP != "" && (r.IP == v.ip || strings.HasPrefix(r.IP, strings.TrimSuffix(v.prefix, "0/24")) && strings.HasSuffix(v.prefix, "0/24"))
	reasons := slices.Clone(strange)
	if from {
		reasons = append(reasons, "the registration came from the same place")
	}
	if len(v.wrong) > 0 {
		reasons = append(reasons, v.guessedWords())
	}
	switch {
	case len(v.wrong) > 0, from && len(strange) >= 2:
		f.Severity = casefile.High
	case len(strange) > 0 && (from || r.IP == ""):
		f.Severity = casefile.Medium
	}
	if f.Severity == casefile.Low {
		reasons = append(reasons, fmt.Sprintf("%s sign in from the same provider, so that it may be the owner", plural(max(v.inNet, 0), "colleague", "colleagues")))
	} else {
		f.Entities = v.entities(casefile.RoleConverted)
	}
	f.Detected, f.Last = casefile.TimeOf(r.Time), casefile.TimeOf(r.Time)
	f.Events = append(f.Events, r.ids()...)
	hours := r.Time.Sub(v.at).Hours()
	f.Title = fmt.Sprintf("Method or device of %s registered in its first day in a new network", v.actor)
	f.Why = fmt.Sprintf("%s signed in from %s for the first time at %s; %.1f hours later %s (%s, by %s). %s.", v.actor, v.place(), casefile.TimeOf(v.at), hours, "a method or device was registered", r.Operation, r.who(), upperFirst(strings.Join(reasons, "; ")))
	f.Counts = []casefile.Count{
		{Name: "hours from the first sign-in to the registration", Value: round2(hours), Limit: limit(fatigueAfter.Hours())},
		{Name: "other accounts in the network", Value: float64(max(v.inNet, 0))},
		{Name: "unexplained wrong passwords before", Value: float64(v.guessed())},
	}
	return f
}
