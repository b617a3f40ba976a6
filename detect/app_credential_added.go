package detect

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
		Helps:          []Help{{Source: event.SignIn, Classes: []event.Class{event.ClassSignIn}, What: "it is not known whether, and from where, the credential was used"}},
		FalseAlarms:    FalseAlarms{PerDay: 0.003, Basis: "estimate: a credential for a mail product made in advance, or by somebody new, once a year; none in simulated quiet tenants, whose developers' secrets are slight"},
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
	habits, err := credentialHabits(ctx, q, rs)
	if err != nil {
		return nil, err
	}
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
		out = append(out, d.finding(rs, r, habits[r.ID]))
	}
	return out, nil
}

// addingHabit is on how many other days an account must have added credentials
// for that to be its work.
const addingHabit = 3

// addingDays counts the other days on which a person added credentials.
func addingDays(rs []record, r *record) int {
	days := map[string]bool{}
	for i := range rs {
		if o := &rs[i]; event.Class(o.Class) == event.ClassCredentialAdd && o.Actor == r.Actor && event.ActorKind(o.ActorKind) != event.ActorApp && r.Actor != "" {
			days[o.Time.Format(time.DateOnly)] = true
		}
	}
	delete(days, r.Time.Format(time.DateOnly))
	return len(days)
}

func (appCredentialAdded) finding(rs []record, r *record, h habits) casefile.Finding {
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
	uses := h.uses
	if uses > 0 {
		why = append(why, fmt.Sprintf("It was used for %s since.", plural(uses, "sign-in", "sign-ins")))
	}
	var word string
	if word, f.Severity = h.judge(uses, f.Severity); word != "" {
		why = append(why, word)
	}
	if owners := ownersBefore(rs, r); len(owners) > 0 && event.ActorKind(r.ActorKind) != event.ActorApp {
		switch mine, ok := owners[r.Actor]; {
		case !ok:
			why = append(why, fmt.Sprintf("%s is none of the owners that the evidence names (%s).", r.who(), list(slices.Sorted(maps.Keys(owners)), 3)))
			if uses > 0 || !h.logged {
				f.Severity = atLeast(f.Severity, casefile.Medium)
			}
		case mine.byItself && r.Time.Sub(mine.at) <= 24*time.Hour && made == nil:
			why = append(why, fmt.Sprintf("%s had made itself an owner of it %s before.", r.who(), r.Time.Sub(mine.at).Round(time.Minute)))
			f.Severity = atLeast(f.Severity, casefile.Medium)
		}
	}
	// Without sign-ins of applications nothing tells what a credential was for;
	// who adds some on several days does it for a living.
	if days := addingDays(rs, r); !h.logged && f.Severity == casefile.Medium && len(grants) == 0 && days >= addingHabit {
		f.Severity = casefile.Low
		why = append(why, fmt.Sprintf("%s added credentials on %d other days as well.", r.who(), days))
	}
	if h.actorAway {
		why = append(why, "It was done from a network that the account had never signed in from before.")
		f.Severity = atLeast(f.Severity, casefile.Medium)
	}
	f.Counts = []casefile.Count{{Name: "sign-ins with the new credential", Value: float64(uses)}, {Name: "mail or directory permissions of the application", Value: float64(len(casefile.Unique(grants)))}}
	if h.logged {
		f.Counts = append(f.Counts, casefile.Count{Name: "days before without a sign-in of the application", Value: round2(h.idle.Hours() / 24), Limit: limit(dormantApp.Hours() / 24)})
	}
	f.Why = strings.Join(why, " ")
	return f
}

// owner is since when somebody owns an application, and who says so.
type owner struct {
	at       time.Time
	byItself bool // added by the account itself, to an application that it did not register
}

// ownersBefore lists who registered the application that a credential was
// added to, or was made its owner, before that.
func ownersBefore(rs []record, r *record) map[string]owner {
	out := map[string]owner{}
	for i := range rs {
		o := &rs[i]
		if o.Time.After(r.Time) || !sameApp(o, r) {
			continue
		}
		switch event.Class(o.Class) {
		case event.ClassAppCreate:
			out[o.Actor] = owner{at: o.Time}
		case event.ClassOwnerAdd:
			name := strings.ToLower(o.detail.Owner)
			if _, ok := out[name]; !ok && name != "" {
				out[name] = owner{o.Time, name == o.Actor}
			}
		}
	}
	return out
}

func atLeast(s, least casefile.Severity) casefile.Severity {
	if s.Rank() < least.Rank() {
		return least
	}
	return s
}
