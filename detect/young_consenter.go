package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// youngConsenter finds accounts that consent, grant permissions, give roles or
// add credentials soon after they were created. In the incident a user was made only to consent.
type youngConsenter struct{}

// youngAge is how old an account may be to be called young.
const youngAge = 72 * time.Hour

// Card implements [Detector].
func (youngConsenter) Card() Card {
	return Card{
		ID:             "young_consenter",
		Title:          "Account consented or granted permissions soon after it was created",
		Why:            "A new employee does not approve applications on the first day. An actor who can create users makes one to consent, so that the consent does not come from an account that somebody watches.",
		FalsePositives: []string{"a new administrator's first days", "setting up a new tenant", "a break-glass or setup account"},
		Techniques:     []string{"T1136.003", "T1528"},
		Stage:          casefile.StagePersistence,
		Needs:          directoryNeeds(),
		Severity:       casefile.High,
		FalseAlarms:    FalseAlarms{PerDay: 0.001, Basis: "estimate: a new administrator's first days, once in three years; none in simulated quiet tenants, whose newcomers sign in to harmless applications"},
	}
}

// Detect implements [Detector].
func (youngConsenter) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('user_create', 'consent', 'app_role_grant', 'delegated_grant', 'role_add', 'credential_add') AND coalesce(outcome, '') <> 'failure'
		AND operation NOT LIKE 'remove%'`)
	if err != nil {
		return nil, err
	}
	rs = oneOf(rs)
	var out []casefile.Finding
	for i := range rs {
		made := &rs[i]
		if event.Class(made.Class) != event.ClassUserCreate {
			continue
		}
		var acts []*record
		for j := range rs {
			r := &rs[j]
			if event.Class(r.Class) == event.ClassUserCreate || !isActor(made, r) || r.detail.blocked() || r.activation() {
				continue
			}
			if age := r.Time.Sub(made.Time); age >= 0 && age < youngAge {
				acts = append(acts, r)
			}
		}
		if len(acts) > 0 {
			out = append(out, youngFinding(made, acts))
		}
	}
	return out, nil
}

// isActor reports whether the user that a record created is the actor of r.
func isActor(made, r *record) bool {
	if made.TargetID != "" && made.TargetID == r.ActorID {
		return true
	}
	upn := strings.ToLower(firstOf(made.detail.User, made.Target))
	return strings.Contains(upn, "@") && upn == r.Actor
}

// youngDeed says in a verb what a young account did.
func youngDeed(r *record) string {
	switch event.Class(r.Class) {
	case event.ClassRoleAdd:
		return "gave the role " + firstOf(r.detail.Role, "of an administrator")
	case event.ClassCredentialAdd:
		return "added a credential to an application"
	case event.ClassAppRoleGrant:
		return "granted permissions"
	}
	return "consented"
}

// harmless reports whether all that was done is to sign in to an application:
// new employees do so on their first day.
func harmless(acts []*record) bool {
	for _, r := range acts {
		if c := event.Class(r.Class); c != event.ClassConsent && c != event.ClassDelegatedGrant || r.detail.ConsentAdmin || r.detail.ConsentAll || r.detail.ConsentAppOnly || r.Permissions == "" {
			return false
		}
		for p := range strings.FieldsSeq(r.Permissions) {
			if !slices.ContainsFunc([]string{"openid", "profile", "email", "offline_access", "User.Read"}, func(ok string) bool { return strings.EqualFold(p, ok) }) {
				return false
			}
		}
	}
	return true
}

func youngFinding(made *record, acts []*record) casefile.Finding {
	upn := acts[0].Actor
	f := casefile.Finding{
		Tenant: made.Tenant, First: casefile.TimeOf(made.Time), Detected: casefile.TimeOf(acts[0].Time), Events: made.ids(),
		Title:    fmt.Sprintf("Account %s %s %s after it was created", upn, youngDeed(acts[0]), acts[0].Time.Sub(made.Time).Round(time.Minute)),
		Entities: made.actorEntities(),
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: upn, Role: casefile.RoleTarget})
	var perms, apps []string
	for _, r := range acts {
		f.Last = casefile.Later(f.Last, casefile.TimeOf(r.Time))
		f.Events = append(f.Events, r.ids()...)
		f.Entities = append(f.Entities, r.targetEntities(casefile.RoleTarget)...)
		f.Entities = append(f.Entities, r.actorEntities()...)
		perms = append(perms, strings.Fields(r.Permissions)...)
		switch event.Class(r.Class) {
		case event.ClassRoleAdd:
			perms = append(perms, "the role "+firstOf(r.detail.Role, "not named"))
		case event.ClassCredentialAdd:
			perms = append(perms, "a credential")
		}
		if event.Class(r.Class) != event.ClassDelegatedGrant { // its record names the application by id only
			apps = append(apps, r.what())
		}
	}
	f.Events = capIDs(f.Events)
	f.Counts = []casefile.Count{
		{Name: "hours from creation to the first of them", Value: float64(acts[0].Time.Sub(made.Time).Round(time.Minute)/time.Minute) / 60, Limit: limit(youngAge.Hours())},
		{Name: "consents, grants, roles and credentials", Value: float64(len(acts))},
	}
	if harmless(acts) {
		f.Severity = casefile.Low
	}
	f.Why = fmt.Sprintf("%s created %s at %s; %s later it consented to, gave or added %s: %s.", made.who(), upn, casefile.TimeOf(made.Time),
		acts[0].Time.Sub(made.Time).Round(time.Minute), firstOf(list(casefile.Unique(perms), 6), "permissions"), list(casefile.Unique(apps), 3))
	return f
}
