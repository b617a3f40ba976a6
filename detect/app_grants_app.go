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

// appGrantsApp finds applications that give permissions, roles or credentials
// to applications, themselves included.
type appGrantsApp struct{}

// Card implements [Detector].
func (appGrantsApp) Card() Card {
	return Card{
		ID:    "app_grants_app",
		Title: "Application gives an application permissions, a role or a credential",
		Why: "In the incident an old application granted the actor's new ones access to all mail. No person is involved, and no conditional access: who holds the credential " +
			"of an application that may grant, holds everything.",
		FalsePositives: []string{"pipelines that set up applications as code", "a vendor's installer that registers its parts"},
		Techniques:     []string{"T1098.003"},
		Stage:          casefile.StagePrivilege,
		Needs:          directoryNeeds(),
		Severity:       casefile.High,
		FalseAlarms:    FalseAlarms{PerDay: 0.002, Basis: "estimate: a pipeline sets up a mail product now and then; none in simulated quiet tenants"},
	}
}

// The habit of a pipeline: deeds of the same kind by the same application on
// so many days before.
const pipelineDays = 3

// Detect implements [Detector].
func (d appGrantsApp) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('app_role_grant', 'role_add', 'credential_add', 'permission_request') AND actor_kind IN ('app', 'managed') AND coalesce(outcome, '') <> 'failure'
		AND operation NOT LIKE 'remove%'`)
	if err != nil {
		return nil, err
	}
	var groups [][]*record
	rs = oneOf(rs)
next:
	for i := range rs {
		r := &rs[i]
		if !r.toApp() || event.Class(r.Class) == event.ClassPermissionRequest && len(powersIn(r.Permissions)) == 0 {
			continue
		}
		for j, g := range groups {
			if sameApp(g[0], r) && g[0].who() == r.who() && r.Time.Sub(g[0].Time) <= 24*time.Hour {
				groups[j] = append(g, r)
				continue next
			}
		}
		groups = append(groups, []*record{r})
	}
	var out []casefile.Finding
	for _, g := range groups {
		out = append(out, d.finding(g, rs))
	}
	return out, nil
}

func (appGrantsApp) finding(g []*record, rs []record) casefile.Finding {
	first := g[0]
	f := casefile.Finding{Tenant: first.Tenant, First: casefile.TimeOf(first.Time), Severity: casefile.Low}
	var says, given []string
	requests := 0
	for _, r := range g {
		f.Last = casefile.TimeOf(r.Time)
		f.Events = append(f.Events, r.ids()...)
		f.Entities = append(append(f.Entities, r.targetEntities(casefile.RoleTarget)...), r.actorEntities()...)
		at := " at " + casefile.TimeOf(r.Time).String()
		switch event.Class(r.Class) {
		case event.ClassAppRoleGrant:
			ps := powersIn(r.Permissions)
			if hasKind(ps, readsMail) || hasKind(ps, givesItselfPower) {
				f.Severity = casefile.High
			}
			says = append(says, "granted "+firstOf(r.Permissions, "a permission that is not named")+at)
			given = append(given, strings.Fields(r.Permissions)...)
		case event.ClassRoleAdd:
			if r.privilegedRole() != "" {
				f.Severity = casefile.High
			}
			says = append(says, "gave the role "+firstOf(r.detail.Role, "not named")+at)
			given = append(given, firstOf(r.detail.Role, "a role"))
		case event.ClassCredentialAdd:
			f.Severity = atLeast(f.Severity, casefile.Medium)
			says = append(says, "added a credential"+at)
			given = append(given, "a credential")
			for k := range strings.FieldsSeq(r.KeyID) {
				f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Credential, ID: k, Role: casefile.RoleTarget, Name: r.detail.KeyName})
			}
		default:
			requests++
			says = append(says, "changed the list of what it asks for to "+strings.Join(powerValues(powersIn(r.Permissions)), ", ")+at)
		}
	}
	f.Events = capIDs(casefile.Unique(f.Events))
	itself := first.AppID != "" && first.AppID == first.targetApp() || first.SPID != "" && first.SPID == first.TargetID
	to := "application " + firstOf(first.Target, first.what())
	if itself {
		to = "itself"
	}
	by := first.who()
	by = strings.ToUpper(by[:1]) + by[1:]
	if requests == len(g) {
		f.Title = fmt.Sprintf("%s asks for permissions in the name of %s, no grant", by, to)
	} else {
		f.Title = fmt.Sprintf("%s gave %s %s", by, to, list(casefile.Unique(given), 3))
	}
	days := map[string]bool{}
	for i := range rs {
		r := &rs[i]
		if r.who() == first.who() && r.Class == first.Class && r.Time.Before(first.Time.Add(-24*time.Hour)) && !sameApp(r, first) {
			days[r.Time.Format("2006-01-02")] = true
		}
	}
	f.Counts = []casefile.Count{
		{Name: "grants, roles and credentials", Value: float64(len(g) - requests)},
		{Name: "requests", Value: float64(requests)},
		{Name: "days before on which it did so for others", Value: float64(len(days)), Limit: limit(pipelineDays)},
	}
	f.Why = fmt.Sprintf("%s, without a user, did to %s: %s.", by, to, strings.Join(says, "; "))
	if requests > 0 {
		f.Why += " A request gives nothing by itself."
	}
	if len(days) >= pipelineDays {
		if f.Severity == casefile.High {
			f.Severity = casefile.Medium
		} else {
			f.Severity = casefile.Low
		}
		f.Why += fmt.Sprintf(" It did the like for other applications on %d days before, as a pipeline does.", len(days))
	}
	return f
}
