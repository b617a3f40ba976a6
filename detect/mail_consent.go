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

// mailConsent finds consents to delegated mail permissions: illicit consent
// grants, where a person is talked into letting an application read their
// mail, or an administrator everybody's who signs in to it.
type mailConsent struct{}

// Card implements [Detector].
func (mailConsent) Card() Card {
	return Card{
		ID:    "mail_consent",
		Title: "Consent to an application that reads mail",
		Why: "An application with a delegated mail permission reads the mail of the person who consented, from anywhere, until the consent is removed; " +
			"a password change or MFA does not stop it.",
		FalsePositives: []string{"mail clients, calendar assistants and CRM add-ins ask for the same permissions"},
		Techniques:     []string{"T1528", "T1114.002"},
		Stage:          casefile.StagePrivilege,
		Needs:          directoryNeeds(),
		Severity:       casefile.Low,
		FalseAlarms:    FalseAlarms{PerDay: 0.003, Basis: "estimate: one mail client in a year that nobody knows; none in simulated quiet tenants, whose consents do not reach mail"},
	}
}

// Detect implements [Detector].
func (mailConsent) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('consent', 'delegated_grant', 'sp_create', 'app_create') AND coalesce(outcome, '') <> 'failure'
		AND operation NOT LIKE 'remove%'`)
	if err != nil {
		return nil, err
	}
	rs = oneOf(rs)
	type group struct {
		rs     []record
		scopes []string
		all    bool
	}
	var groups []*group
	for _, r := range rs {
		if c := event.Class(r.Class); c != event.ClassConsent && c != event.ClassDelegatedGrant {
			continue
		}
		scopes := mailScopes(r.Permissions)
		if len(scopes) == 0 || r.detail.blocked() {
			continue
		}
		var g *group
		for _, o := range groups { // one application and the consents of one day
			if sameApp(&o.rs[0], &r) && r.Time.Sub(o.rs[0].Time) <= 24*time.Hour {
				g = o
			}
		}
		if g == nil {
			g = &group{}
			groups = append(groups, g)
		}
		g.rs = append(g.rs, r)
		g.scopes = append(g.scopes, scopes...)
		g.all = g.all || r.detail.ConsentAll || r.detail.ConsentType == "AllPrincipals"
	}
	var out []casefile.Finding
	for _, g := range groups {
		f := casefile.Finding{Tenant: g.rs[0].Tenant, Severity: casefile.Low}
		var who []string
		for _, r := range g.rs {
			f.First = casefile.Earlier(f.First, casefile.TimeOf(r.Time))
			f.Last = casefile.Later(f.Last, casefile.TimeOf(r.Time))
			f.Events = append(f.Events, r.ids()...)
			f.Entities = append(f.Entities, r.targetEntities(casefile.RoleTarget)...)
			f.Entities = append(f.Entities, r.actorEntities()...)
			who = append(who, r.who())
		}
		f.Events = capIDs(f.Events)
		who = casefile.Unique(who)
		app := &g.rs[0]
		for i := range g.rs { // the consent names the application, a grant only its id
			if event.Class(g.rs[i].Class) == event.ClassConsent {
				app = &g.rs[i]
				break
			}
		}
		scope := "the mail of each person who consented"
		if g.all {
			f.Severity = casefile.Medium
			scope = "the mail of everybody who signs in to it (consent on behalf of all)"
		}
		f.Title = fmt.Sprintf("Consent to %s for application %s", list(casefile.Unique(g.scopes), 3), firstOf(app.Target, app.what()))
		f.Why = fmt.Sprintf("%s consented to %s for application %s: it reads %s.", list(who, 3), strings.Join(casefile.Unique(g.scopes), ", "), app.what(), scope)
		if made := createdBefore(rs, app, 7*24*time.Hour); made != nil {
			f.Severity = casefile.Medium
			if g.all {
				f.Severity = casefile.High
			}
			f.Why += fmt.Sprintf(" The application came into the tenant only %s before.", app.Time.Sub(made.Time).Round(time.Minute))
			f.Events = append(f.Events, made.ids()...)
		}
		f.Counts = []casefile.Count{{Name: "consenting accounts", Value: float64(len(who))}, {Name: "records", Value: float64(len(g.rs))}}
		out = append(out, f)
	}
	return out, nil
}

// mailScopes finds delegated mail permissions.
func mailScopes(permissions string) (out []string) {
	for p := range strings.FieldsSeq(permissions) {
		for _, m := range delegatedMail() {
			if strings.EqualFold(p, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// blocked reports whether the record says that the operation was refused.
func (d *detail) blocked() bool {
	for _, c := range d.Changes {
		if strings.HasPrefix(c.Name, "MethodExecutionResult") && strings.Contains(c.New, "Exception") {
			return true
		}
	}
	return false
}

// createdBefore finds the creation of an application, or of its service
// principal, at most max before a record about it.
func createdBefore(rs []record, app *record, max time.Duration) *record {
	for i := range rs {
		r := &rs[i]
		if c := event.Class(r.Class); (c == event.ClassSPCreate || c == event.ClassAppCreate) && sameApp(r, app) &&
			!r.Time.After(app.Time) && app.Time.Sub(r.Time) <= max {
			return r
		}
	}
	return nil
}
