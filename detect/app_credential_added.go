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

// appCredentialAdded finds secrets and certificates added to applications and
// service principals: whoever adds one can act as the application.
type appCredentialAdded struct{}

// Card implements [Detector].
func (appCredentialAdded) Card() Card {
	return Card{
		ID:    "app_credential_added",
		Title: "Credential added to an application",
		Why: "Who adds a secret to an application can sign in as it, with all of its permissions and without MFA. In the incident the actor took over a " +
			"forgotten test application in this way.",
		FalsePositives: []string{"renewal of expiring secrets by the owners of the application", "deployment pipelines that rotate secrets"},
		Techniques:     []string{"T1098.001"},
		Needs:          directoryNeeds(),
		Severity:       casefile.Medium,
	}
}

// Detect implements [Detector].
func (d appCredentialAdded) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('credential_add', 'app_create', 'sp_create', 'app_role_grant', 'owner_add') AND coalesce(outcome, '') <> 'failure'
		AND operation NOT LIKE 'remove%'`)
	if err != nil {
		return nil, err
	}
	rs = oneOf(rs)
	var out []casefile.Finding
	seen := map[string]int{} // a new key can be recorded for the application and for its service principal
	for i := range rs {
		r := &rs[i]
		if event.Class(r.Class) != event.ClassCredentialAdd {
			continue
		}
		key := r.KeyID + " " + firstOf(r.targetApp(), r.TargetID, r.Target)
		if r.KeyID == "" {
			key = r.ID
		}
		if at, ok := seen[key]; ok {
			f := &out[at]
			f.Events = append(f.Events, r.ids()...)
			f.Last = casefile.Later(f.Last, casefile.TimeOf(r.Time))
			f.Entities = append(f.Entities, r.targetEntities(casefile.RoleTarget)...)
			continue
		}
		seen[key] = len(out)
		f, err := d.finding(ctx, q, rs, r)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (appCredentialAdded) finding(ctx context.Context, q store.Querier, rs []record, r *record) (casefile.Finding, error) {
	f := casefile.Finding{
		Tenant: r.Tenant, First: casefile.TimeOf(r.Time), Last: casefile.TimeOf(r.Time), Events: r.ids(),
		Title:    "Credential added to application " + firstOf(r.Target, r.what()),
		Severity: casefile.Medium,
		Entities: append(r.targetEntities(casefile.RoleTarget), r.actorEntities()...),
	}
	for k := range strings.FieldsSeq(r.KeyID) {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Credential, ID: k, Role: casefile.RoleTarget, Name: r.detail.KeyName})
	}
	var why []string
	kind := firstOf(r.detail.KeyType, "a credential")
	why = append(why, fmt.Sprintf("%s added %s to application %s.", r.who(), strings.ToLower(kind), r.what()))

	made := createdBefore(rs, r, 24*time.Hour)
	if made != nil && made.Actor == r.Actor {
		f.Severity = casefile.Low
		why = append(why, fmt.Sprintf("The same actor registered the application %s before, as is usual for a new application.", r.Time.Sub(made.Time).Round(time.Second)))
	} else if made == nil {
		why = append(why, "The application was not registered in the day before: it is an existing one.")
	}
	var grants []string
	for i := range rs {
		if g := &rs[i]; event.Class(g.Class) == event.ClassAppRoleGrant && sameApp(g, r) {
			ps := powersIn(g.Permissions)
			if hasKind(ps, readsMail) || hasKind(ps, givesItselfPower) {
				grants = append(grants, powerValues(ps)...)
				f.Events = append(f.Events, g.ids()...)
			}
		}
	}
	if len(grants) > 0 {
		f.Severity = casefile.High
		why = append(why, fmt.Sprintf("The application holds, or was granted later, %s.", strings.Join(casefile.Unique(grants), ", ")))
	}
	if event.ActorKind(r.ActorKind) == event.ActorApp && (r.AppID == "" || r.AppID != r.targetApp()) && r.SPID != r.TargetID {
		f.Severity = casefile.High
		why = append(why, "It was an application that added it, not a person.")
	}
	var uses int64
	for k := range strings.FieldsSeq(r.KeyID) {
		err := rows(ctx, q, `SELECT count(*) FROM events WHERE class = 'sign_in' AND key_id = ? AND time >= ?`, []any{k, r.Time}, func(scan scanner) error {
			var n int64
			err := scan(&n)
			uses += n
			return err
		})
		if err != nil {
			return f, err
		}
	}
	if uses > 0 {
		why = append(why, fmt.Sprintf("It was used for %s since.", plural(uses, "sign-in", "sign-ins")))
	}
	f.Counts = []casefile.Count{{Name: "sign-ins with the new credential", Value: float64(uses)}, {Name: "mail or directory permissions of the application", Value: float64(len(casefile.Unique(grants)))}}
	f.Why = strings.Join(why, " ")
	return f, nil
}
