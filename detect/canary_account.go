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

// canaryAccount finds touches of accounts that the organization made so that
// nobody touches them.
type canaryAccount struct{ accounts []string }

// Card implements [Detector].
func (canaryAccount) Card() Card {
	return Card{
		ID:    "canary_account",
		Title: "Canary account touched",
		Why: "A canary has no owner, no mail and no reason to be used. Who tries its password has a list of names; who knows its password, changes it or reads " +
			"its mailbox is somewhere nobody should be. No threshold has to be learned, so it is the surest alarm there is against slow guessing.",
		FalsePositives: []string{
			"the administrator who looks after the canary, or a test of it",
			"a backup or archive that reads every mailbox (low)",
			"the directory's own services, such as licence assignment (low)",
		},
		Techniques: []string{"T1078.004", "T1110"},
		Stage:      casefile.StageGuessing,
		Needs: Needs{
			Sources: []event.Source{event.SignIn, event.UAL, event.DirectoryLog, event.Okta, event.Google},
			Fetch:   "Entra sign-in logs of all four kinds (Graph /beta auditLogs/signIns), the Entra audit log and the unified audit log",
		},
		Helps: []Help{
			{Source: event.SignIn, Classes: []event.Class{event.ClassSignIn}, What: "attempts on a canary are seen in the unified audit log only, which leaves some out"},
			{Source: event.DirectoryLog, What: "changes of a canary are seen in the unified audit log only"},
		},
		Severity:    casefile.High,
		FalseAlarms: FalseAlarms{PerDay: 0, Basis: "nobody uses a canary; the internet's own guessing at a published address would be a true alarm"},
	}
}

// Off implements [optional].
func (d canaryAccount) Off() (reason, do string) {
	if len(d.accounts) == 0 {
		return "no canary accounts are configured", "name accounts that nobody uses under canaries: in the file that --config names"
	}
	return "", ""
}

// touch is what happened to a canary, from least to worst.
type touch int

const (
	touchNone    touch = iota
	touchRoutine       // by the vendor's services, or an application that reads mailboxes
	touchTried         // somebody tried to sign in
	touchChanged       // somebody changed it
	touchRight         // its password was right
	touchUsed          // somebody acted as it
)

// Detect implements [Detector].
func (d canaryAccount) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	canaries := make([]string, 0, len(d.accounts))
	for _, a := range d.accounts {
		canaries = append(canaries, strings.ToLower(strings.TrimSpace(a)))
	}
	canaries = casefile.Unique(canaries)
	in := quoted(canaries)
	// Members of groups and the like are in detail, which only changes of the
	// directory are searched for: they are few.
	about := make([]string, 0, len(canaries))
	for _, n := range canaries {
		about = append(about, "strpos(lower(coalesce(detail, '')), "+quoted([]string{n})+") > 0")
	}
	changes := directoryNeeds().Classes
	classes := make([]string, 0, len(changes))
	for _, c := range changes {
		classes = append(classes, string(c))
	}
	rs, err := records(ctx, q, `time IS NOT NULL AND class <> 'message_trace' AND (actor IN (`+in+`) OR mailbox IN (`+in+`) OR lower(coalesce(target, '')) IN (`+in+`)
		OR class IN (`+quoted(classes)+`) AND (`+strings.Join(about, " OR ")+`))`)
	if err != nil {
		return nil, err
	}
	rs = oneLogon(oneOf(rs))
	passwords := map[string]string{}
	err = store.Each(ctx, q, `SELECT CAST(id AS VARCHAR), `+passwordSQL()+` FROM events WHERE class = 'sign_in' AND actor IN (`+in+`)`, nil, func(scan scanner) error {
		var id, pw string
		err := scan(&id, &pw)
		passwords[id] = pw
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, name := range canaries {
		byTenant := map[string][]canaryTouch{}
		for i := range rs {
			r := &rs[i]
			if t := touched(r, name, passwords[r.ID]); t != touchNone {
				byTenant[r.Tenant] = append(byTenant[r.Tenant], canaryTouch{r, t})
			}
		}
		for _, tenant := range sortedKeysOf(byTenant) {
			out = append(out, canaryFinding(tenant, name, byTenant[tenant]))
		}
	}
	return out, nil
}

type canaryTouch struct {
	*record
	touch touch
}

// oneLogon leaves out the unified audit log's copies of sign-ins.
func oneLogon(rs []record) []record {
	entra := map[string]bool{}
	for i := range rs {
		if r := &rs[i]; r.Source == string(event.SignIn) && r.RequestID != "" {
			entra[r.RequestID] = true
		}
	}
	return slices.DeleteFunc(rs, func(r record) bool {
		return r.Source == string(event.UAL) && r.Class == string(event.ClassSignIn) && entra[r.RequestID]
	})
}

// touched says what a record means for a canary.
func touched(r *record, name, password string) touch {
	person := r.ActorKind != string(event.ActorApp) && r.ActorKind != string(event.ActorManaged) && r.ActorKind != string(event.ActorService)
	switch class := event.Class(r.Class); {
	case class == event.ClassSignIn && r.Actor == name:
		switch password {
		case passwordAccepted:
			return touchUsed
		case passwordRight:
			return touchRight
		}
		return touchTried
	case class == event.ClassSignIn:
		return touchNone
	case r.Actor == name:
		return touchUsed
	case strings.EqualFold(r.Mailbox, name):
		if person {
			return touchUsed
		}
		return touchRoutine
	case strings.EqualFold(r.Target, name), strings.EqualFold(r.detail.User, name), names(r.Detail, name):
		if r.ActorKind == string(event.ActorService) {
			return touchRoutine
		}
		return touchChanged
	}
	return touchNone
}

// names reports whether a text holds a name that is not the end of another.
func names(text, name string) bool {
	text = strings.ToLower(text)
	for at := 0; ; {
		i := strings.Index(text[at:], name)
		if i < 0 {
			return false
		}
		if at += i; at == 0 || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-+", rune(text[at-1])) {
			return true
		}
		at += len(name)
	}
}

func canaryFinding(tenant, name string, ts []canaryTouch) casefile.Finding {
	f := casefile.Finding{Tenant: tenant, Severity: casefile.Low, First: casefile.TimeOf(ts[0].Time)}
	f.Detected = f.First
	counts := map[touch]int64{}
	worst := touchNone
	role := casefile.RoleVictim
	var from, by []string
	for _, t := range ts {
		counts[t.touch]++
		worst = max(worst, t.touch)
		f.Last = casefile.Later(f.Last, casefile.TimeOf(t.Time))
		f.Events = append(f.Events, t.ids()...)
		if t.touch == touchRoutine {
			by = append(by, t.who())
			continue
		}
		if t.IP != "" && !t.IPService {
			from = append(from, t.IP)
		}
		if t.Actor != name {
			by = append(by, t.who())
			f.Entities = append(f.Entities, t.actorEntities()...)
			continue
		}
		use := casefile.RoleSource
		if t.touch >= touchRight {
			use, role = casefile.RoleUsed, casefile.RoleConverted
		}
		if !t.IPService {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: t.IP, Role: use})
		}
		if t.touch == touchUsed {
			f.Entities = append(f.Entities,
				casefile.Entity{Kind: casefile.Session, ID: t.SessionID, Role: casefile.RoleUsed},
				casefile.Entity{Kind: casefile.Token, ID: firstOf(t.TokenID, t.RequestID), Role: casefile.RoleUsed})
		}
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: name, Role: role})
	f.EventCount = int64(len(f.Events))
	f.Events = capIDs(f.Events)
	if f.EventCount > int64(len(f.Events)) {
		f.EventsQuery = inline(`SELECT id FROM events WHERE actor = ? OR mailbox = ? OR lower(coalesce(target, '')) = ? ORDER BY time, id`, []any{name, name, name})
	}
	word := map[touch]string{
		touchRoutine: "only services and applications that read mailboxes touched it", touchTried: "somebody tried to sign in", touchChanged: "somebody changed it",
		touchRight: "its password was right", touchUsed: "somebody acted as it or read its mail",
	}
	switch {
	case worst >= touchRight:
		f.Severity, f.Stage = casefile.Critical, casefile.StageAccess
	case worst == touchChanged:
		f.Severity, f.Stage = casefile.High, casefile.StagePersistence
	case worst == touchTried:
		f.Severity = casefile.High
	}
	f.Counts = []casefile.Count{
		{Name: "touches", Value: float64(len(ts)), Limit: limit(1)},
		{Name: "attempts to sign in", Value: float64(counts[touchTried])},
		{Name: "right passwords", Value: float64(counts[touchRight])},
		{Name: "acts in its name or mailbox", Value: float64(counts[touchUsed])},
		{Name: "changes", Value: float64(counts[touchChanged])},
	}
	f.Title = fmt.Sprintf("Canary account %s: %s", name, word[worst])
	f.Why = fmt.Sprintf("%s is configured as an account that nobody may use, and %s it: %s, %s, %s, %s.", name, plural(int64(len(ts)), "record touches", "records touch"),
		plural(counts[touchTried], "attempt to sign in", "attempts to sign in"), plural(counts[touchRight], "right password", "right passwords"),
		plural(counts[touchUsed], "act as it or in its mailbox", "acts as it or in its mailbox"), plural(counts[touchChanged], "change of it", "changes of it"))
	if from = casefile.Unique(from); len(from) > 0 {
		f.Why += " From " + list(from, 5) + "."
	}
	if by = casefile.Unique(slices.DeleteFunc(by, func(s string) bool { return s == "" })); len(by) > 0 {
		f.Why += " By " + list(by, 3) + "."
	}
	return f
}
