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

// appOnlyMailGrant finds applications that were given access to all mailboxes
// without a user, or the power to give themselves that.
//
// Three records look alike and are not: an app role assignment is the grant; a
// consent is somebody's approval, and names the permissions; a changed list of
// required resource access is a request and gives nothing. Rules that look at
// the request alone miss the grant of an application that is registered in
// another tenant, which was the way in the incident.
type appOnlyMailGrant struct{}

// Card implements [Detector].
func (appOnlyMailGrant) Card() Card {
	return Card{
		ID:    "app_only_mail_grant",
		Title: "Application got access to all mailboxes",
		Why: "An application permission such as full_access_as_app or Mail.Read lets an application read every mailbox of the tenant with no user, no MFA and no " +
			"conditional access of users. Permissions over applications and roles let their holder grant itself the same.",
		FalsePositives: []string{
			"backup, archiving, migration, DLP and CRM products need these permissions: the grant belongs to a change request",
			"an application access policy or RBAC for Applications may limit the permission to some mailboxes; that is not in these logs",
		},
		Techniques:  []string{"T1098.003", "T1114.002"},
		Stage:       casefile.StagePrivilege,
		Needs:       directoryNeeds(),
		Severity:    casefile.High,
		FalseAlarms: FalseAlarms{PerDay: 0.001, Basis: "estimate: an administrator gives a mail product its permission, which is to be looked at; one in three years that was not announced. None in simulated quiet tenants"},
	}
}

// grantFacts is what is known of one application's permissions from one actor.
type grantFacts struct {
	app                         *record // the first record
	granted, consented, request []record
	recs                        []record
	powers                      []power
}

// Detect implements [Detector].
func (d appOnlyMailGrant) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('app_role_grant', 'consent', 'permission_request') AND coalesce(outcome, '') <> 'failure'
		AND operation NOT LIKE 'remove%' AND permissions IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	var groups []*grantFacts
	for _, r := range oneOf(rs) {
		ps := d.powers(&r)
		if len(ps) == 0 {
			continue
		}
		g := d.group(&groups, r)
		g.recs = append(g.recs, r)
		g.powers = append(g.powers, ps...)
		switch event.Class(r.Class) {
		case event.ClassAppRoleGrant:
			g.granted = append(g.granted, r)
		case event.ClassConsent:
			g.consented = append(g.consented, r)
		default:
			g.request = append(g.request, r)
		}
	}
	var out []casefile.Finding
	for _, g := range groups {
		out = append(out, d.finding(g, groups))
	}
	return out, nil
}

// powers returns the app-only powers that a record names. A consent to a value
// that is a delegated scope too counts only if it says that it is app-only:
// the app role assignment that goes with it is a record of its own.
func (appOnlyMailGrant) powers(r *record) (out []power) {
	for _, p := range powersIn(r.Permissions) {
		switch event.Class(r.Class) {
		case event.ClassConsent:
			if !p.roleOnly && !r.detail.ConsentAppOnly {
				continue
			}
		case event.ClassPermissionRequest:
			if !p.roleOnly && !r.detail.AppOnly {
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

// group finds the group of the same application and actor within a day.
func (appOnlyMailGrant) group(groups *[]*grantFacts, r record) *grantFacts {
	for _, g := range *groups {
		if sameApp(g.app, &r) && g.app.Actor == r.Actor && r.Time.Sub(g.app.Time) <= 24*time.Hour {
			return g
		}
	}
	g := &grantFacts{app: &r}
	*groups = append(*groups, g)
	return g
}

// sameApp compares by application id, by object id, by name as the last resort.
func sameApp(a, b *record) bool {
	if x, y := a.targetApp(), b.targetApp(); x != "" && y != "" {
		return x == y
	}
	if a.TargetID != "" && b.TargetID != "" && a.TargetKind == b.TargetKind {
		return a.TargetID == b.TargetID
	}
	return a.Target != "" && a.Target == b.Target
}

func (appOnlyMailGrant) finding(g *grantFacts, all []*grantFacts) casefile.Finding {
	f := casefile.Finding{Tenant: g.app.Tenant}
	var says []string
	say := func(verb string, rs []record) {
		for _, r := range rs {
			says = append(says, fmt.Sprintf("%s %s %s at %s", r.who(), verb, strings.Join(powerValues(powersIn(r.Permissions)), ", "), casefile.TimeOf(r.Time)))
		}
	}
	say("granted (app role assignment)", g.granted)
	say("consented to", g.consented)
	say("requested", g.request)
	for _, r := range g.recs {
		f.First = casefile.Earlier(f.First, casefile.TimeOf(r.Time))
		f.Last = casefile.Later(f.Last, casefile.TimeOf(r.Time))
		f.Events = append(f.Events, r.ids()...)
		f.Entities = append(f.Entities, r.targetEntities(casefile.RoleTarget)...)
		f.Entities = append(f.Entities, r.actorEntities()...)
	}
	f.Events = capIDs(f.Events)
	values := casefile.Unique(powerValues(g.powers))
	f.Counts = []casefile.Count{
		{Name: "grants", Value: float64(len(g.granted))},
		{Name: "consents", Value: float64(len(g.consented))},
		{Name: "requests", Value: float64(len(g.request))},
	}
	what := g.app.what()
	switch {
	case len(g.granted) > 0:
		f.Title = fmt.Sprintf("Application %s was granted %s", firstOf(g.app.Target, what), list(values, 3))
		f.Severity = grantSeverity(g.powers)
	case len(g.consented) > 0:
		f.Title = fmt.Sprintf("Consent to %s for application %s, no app role assignment seen", list(values, 3), firstOf(g.app.Target, what))
		f.Severity = grantSeverity(g.powers)
	default:
		f.Title = fmt.Sprintf("Application %s requested %s, no grant seen", firstOf(g.app.Target, what), list(values, 3))
		f.Severity = casefile.Low
		if later := grantedElsewhere(g, all); later != nil {
			f.Title = fmt.Sprintf("Application %s requested %s, which it was granted at %s", firstOf(g.app.Target, what), list(values, 3), casefile.TimeOf(later.granted[0].Time))
			f.Severity = casefile.Medium
		}
	}
	f.Why = fmt.Sprintf("Application %s: %s. Whoever holds its credentials %s.", what, strings.Join(says, "; "), abilities(g.powers))
	if len(g.granted) == 0 {
		f.Why += " A request or a consent is not the grant: check the application's assignments in the tenant."
	}
	return f
}

func grantSeverity(ps []power) casefile.Severity {
	switch {
	case hasKind(ps, readsMail), hasKind(ps, givesItselfPower):
		return casefile.High
	}
	return casefile.Medium
}

func abilities(ps []power) string {
	var out []string
	for _, k := range []powerKind{readsMail, readsMailHeaders, sendsMail, givesItselfPower} {
		if hasKind(ps, k) {
			w := k.String()
			if k != givesItselfPower {
				w += " of every mailbox"
			}
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// grantedElsewhere finds a grant to the same application by anybody.
func grantedElsewhere(g *grantFacts, all []*grantFacts) *grantFacts {
	for _, o := range all {
		if o != g && len(o.granted) > 0 && sameApp(o.app, g.app) {
			return o
		}
	}
	return nil
}
