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
		Stage:          casefile.StagePersistence,
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
	uses, err := keyUses(ctx, q, r)
	if err != nil {
		return f, err
	}
	if uses > 0 {
		why = append(why, fmt.Sprintf("It was used for %s since.", plural(uses, "sign-in", "sign-ins")))
	}
	h, err := habitsOf(ctx, q, r)
	if err != nil {
		return f, err
	}
	var word string
	if word, f.Severity = h.judge(uses, f.Severity); word != "" {
		why = append(why, word)
	}
	f.Counts = []casefile.Count{{Name: "sign-ins with the new credential", Value: float64(uses)}, {Name: "mail or directory permissions of the application", Value: float64(len(casefile.Unique(grants)))}}
	f.Why = strings.Join(why, " ")
	return f, nil
}

// keyUses counts the sign-ins with a credential since it was added.
func keyUses(ctx context.Context, q store.Querier, r *record) (uses int64, err error) {
	keys := strings.Fields(r.KeyID)
	if len(keys) == 0 {
		return 0, nil
	}
	err = store.Each(ctx, q, `SELECT count(*) FROM events WHERE class = 'sign_in' AND key_id IN (`+quoted(keys)+`) AND time >= ?`, []any{r.Time}, func(scan scanner) error { return scan(&uses) })
	return uses, err
}

// habits is how an application signed in before it got a credential, and how
// the credential was used.
type habits struct {
	logged  bool  // the evidence has sign-ins of applications with the credentials they used
	before  int64 // sign-ins of the application before
	strange int64 // uses of the new credential from networks that the application was never in before
	mail    int64 // records of the application reading mail
}

func habitsOf(ctx context.Context, q store.Querier, r *record) (h habits, err error) {
	keys := strings.Fields(r.KeyID)
	if len(keys) == 0 {
		return h, nil
	}
	err = store.Each(ctx, q, `SELECT count(*) FROM (SELECT 1 FROM events WHERE class = 'sign_in' AND key_id IS NOT NULL AND key_id <> '' AND actor_kind = 'app' LIMIT 1) x`, nil, func(scan scanner) error {
		var n int64
		err := scan(&n)
		h.logged = n > 0
		return err
	})
	if err != nil || !h.logged {
		return h, err
	}
	query := `WITH mine AS (
			SELECT time, coalesce(key_id, '') AS key_id, class, ip, ` + networkSQL() + ` AS net FROM events
			WHERE app_id IN (SELECT app_id FROM events WHERE class = 'sign_in' AND key_id IN (` + quoted(keys) + `) AND app_id IS NOT NULL) AND class IN ('sign_in', 'mail_access', 'attachment_access') AND coalesce(outcome, '') <> 'failure' AND actor_kind = 'app'
		)
		SELECT count(CASE WHEN class = 'sign_in' AND time < ? THEN 1 END),
			count(CASE WHEN class = 'sign_in' AND time >= ? AND key_id IN (` + quoted(keys) + `) AND ip IS NOT NULL AND net NOT IN (SELECT net FROM mine WHERE time < ? AND net IS NOT NULL) THEN 1 END),
			count(CASE WHEN class <> 'sign_in' THEN 1 END)
		FROM mine`
	err = store.Each(ctx, q, query, []any{r.Time, r.Time, r.Time}, func(scan scanner) error { return scan(&h.before, &h.strange, &h.mail) })
	return h, err
}

// judge weighs a credential by its use. Developers and pipelines add secrets
// every week; what nobody uses, or what is used where the application always
// was, is a renewal. Where the sign-ins of applications are not in the
// evidence, nothing is known of its use, and that is no reason to be calm.
func (h *habits) judge(uses int64, was casefile.Severity) (string, casefile.Severity) {
	switch {
	case !h.logged || was == casefile.High || was == casefile.Low:
		return "", was
	case uses == 0:
		return "No sign-in with it is in the evidence.", casefile.Low
	case h.before > 0 && h.strange == 0:
		return "It was used from the networks in which the application signed in before.", casefile.Low
	case h.before > 0 && h.mail > 0:
		return fmt.Sprintf("It was used %s from networks in which the application had never been, and the application reads mail.", plural(h.strange, "time", "times")), casefile.High
	case h.before > 0:
		return fmt.Sprintf("It was used %s from networks in which the application had never been.", plural(h.strange, "time", "times")), casefile.Medium
	}
	return "The application had not signed in before, as far as the evidence says.", was
}
