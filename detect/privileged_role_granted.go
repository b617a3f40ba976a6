package detect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// privilegedRoleGranted finds powerful directory roles given to applications,
// to new accounts, by applications, or by somebody who never gave one before.
type privilegedRoleGranted struct{}

// roleHabit is how much of the directory's log before it takes to say that
// somebody never gave a role before.
const roleHabit = 14 * 24 * time.Hour

// Card implements [Detector].
func (privilegedRoleGranted) Card() Card {
	return Card{
		ID:    "privileged_role_granted",
		Title: "Powerful directory role given",
		Why: "A Global, Application or Exchange Administrator can read all mail, or let somebody read it. Roles are given rarely, by few people, to people who have been there for a " +
			"while; an intruder gives them to new accounts and to applications.",
		FalsePositives: []string{"a new administrator", "setting up a tenant or a break-glass account", "an application of automation that needs a role"},
		Techniques:     []string{"T1098.003"},
		Stage:          casefile.StagePrivilege,
		Needs:          directoryNeeds(),
		Severity:       casefile.Medium,
		FalseAlarms:    FalseAlarms{PerDay: 0.003, Basis: "estimate: a role given by somebody who does not do so otherwise, once a year; none in simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d privilegedRoleGranted) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('role_add', 'user_create') AND coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service' AND operation NOT LIKE 'remove%'`)
	if err != nil {
		return nil, err
	}
	begins := map[string]time.Time{}
	err = store.Each(ctx, q, `SELECT coalesce(tenant, ''), min(time) FROM events WHERE class IN ('role_add', 'user_create', 'user_update', 'consent', 'sp_create', 'app_create', 'group_add', 'credential_add', 'app_update') AND time IS NOT NULL
		GROUP BY coalesce(tenant, '')`, nil, func(scan scanner) error {
		var tenant string
		var t time.Time
		err := scan(&tenant, &t)
		begins[tenant] = t.UTC()
		return err
	})
	if err != nil {
		return nil, err
	}
	rs = oneOf(rs)
	var groups [][]*record
next:
	for i := range rs {
		r := &rs[i]
		if r.privilegedRole() == "" || r.activation() {
			continue
		}
		for j, g := range groups {
			if g[0].roleHolder() == r.roleHolder() && g[0].who() == r.who() && g[0].Tenant == r.Tenant && r.Time.Sub(g[0].Time) <= 24*time.Hour {
				groups[j] = append(g, r)
				continue next
			}
		}
		groups = append(groups, []*record{r})
	}
	var out []casefile.Finding
	for _, g := range groups {
		out = append(out, d.finding(g, rs, begins[g[0].Tenant]))
	}
	return out, nil
}

// roleHolder is who was given a role.
func (r *record) roleHolder() string {
	return strings.ToLower(firstOf(r.TargetID, r.detail.User, r.detail.Params["Member"], r.Target))
}

func (privilegedRoleGranted) finding(g []*record, rs []record, begun time.Time) casefile.Finding {
	first := g[0]
	f := casefile.Finding{Tenant: first.Tenant, First: casefile.TimeOf(first.Time), Severity: casefile.Low}
	var roles []string
	for _, r := range g {
		f.Last = casefile.TimeOf(r.Time)
		f.Events = append(f.Events, r.ids()...)
		roles = append(roles, r.privilegedRole())
		f.Entities = append(f.Entities, r.actorEntities()...)
	}
	f.Events = capIDs(casefile.Unique(f.Events))
	roles = casefile.Unique(roles)
	holder := firstOf(first.Target, first.detail.User, first.detail.Params["Member"], first.TargetID, "somebody")
	f.Title = fmt.Sprintf("%s was given %s", holder, list(roles, 3))
	f.Why = fmt.Sprintf("%s gave %s to %s at %s.", first.who(), strings.Join(roles, ", "), holder, f.First)
	before := 0
	var made *record
	for i := range rs {
		r := &rs[i]
		switch {
		case event.Class(r.Class) == event.ClassUserCreate:
			if age := first.Time.Sub(r.Time); age >= 0 && age < youngAge && (r.TargetID != "" && r.TargetID == first.TargetID || strings.Contains(r.Target, "@") && strings.EqualFold(firstOf(r.detail.User, r.Target), holder)) {
				made = r
			}
		case r.who() == first.who() && r.Tenant == first.Tenant && r.Time.Before(first.Time) && !r.activation() && r.roleHolder() != first.roleHolder():
			before++
		}
	}
	known := first.Time.Sub(begun)
	switch {
	case first.toApp():
		f.Severity = casefile.High
		f.Why += " That is an application: whoever holds a credential of it rules without a second factor."
		f.Entities = append(f.Entities, first.targetEntities(casefile.RoleTarget)...)
	case first.byApp():
		f.Severity = casefile.High
		f.Why += " It was an application that gave it, not a person."
	case made != nil:
		f.Severity = casefile.High
		if before > 0 {
			f.Severity = casefile.Medium // an administrator makes another one
		}
		f.Why += fmt.Sprintf(" The account had been created %s before, by %s.", first.Time.Sub(made.Time).Round(time.Minute), made.who())
		f.Events = append(f.Events, made.ids()...)
	case before == 0 && known >= roleHabit:
		f.Severity = casefile.Medium
		f.Why += fmt.Sprintf(" In the %.0f days of the log before, %s gave no role to anybody.", known.Hours()/24, first.who())
	case before == 0:
		f.Why += fmt.Sprintf(" The log begins only %.1f days before, so it is not known whether %s does so otherwise.", known.Hours()/24, first.who())
	default:
		f.Why += fmt.Sprintf(" %s gave roles %s before, as an administrator does.", first.who(), plural(int64(before), "time", "times"))
	}
	if !first.toApp() && strings.Contains(holder, "@") {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: strings.ToLower(holder), Role: casefile.RoleTarget})
	}
	f.Counts = []casefile.Count{
		{Name: "roles", Value: float64(len(roles))},
		{Name: "roles that the same actor gave others before", Value: float64(before)},
		{Name: "days of the log before", Value: round2(known.Hours() / 24), Limit: limit(roleHabit.Hours() / 24)},
	}
	return f
}
