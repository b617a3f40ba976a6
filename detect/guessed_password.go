package detect

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// guessedPassword raises each account whose password turned out right after it
// was tried, whatever stopped the guesser then: of all that guessing leaves in
// the logs it is what cannot wait.
type guessedPassword struct{}

// unusedDays is how long an account must not have been used for nobody to
// miss it.
const unusedDays = 30

// Card implements [Detector].
func (guessedPassword) Card() Card {
	return Card{
		ID:    "guessed_password",
		Title: "Password guessed",
		Why: "Somebody knows the password. Where a second factor or a policy stopped the sign-in, the next attempt may come with a prompt at night or from a place that " +
			"the policy trusts; where no second factor is registered, whoever comes first registers one. In the incident it was a test account without one.",
		FalsePositives: []string{"the owner's first sign-in from a new network with the same application that the guesses came through, within two weeks of them"},
		Techniques:     []string{"T1078.004", "T1110.003"},
		Stage:          casefile.StageAccess,
		Needs:          signInNeeds(),
		Helps:          guessingHelps(),
		Severity:       casefile.High,
		FalseAlarms:    FalseAlarms{0.001, "needs a finding of guessing, and a sign-in of which the odds are for the guesser"},
	}
}

// Detect implements [Detector].
func (d guessedPassword) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	gs, err := allGuesses(ctx, q)
	if err != nil {
		return nil, err
	}
	type key struct{ tenant, actor string }
	fates := map[key]*fate{}
	from := map[key][]*guess{}
	var order []key
	actors := map[string]bool{}
	for i := range gs {
		g := &gs[i]
		for _, x := range g.fates {
			k := key{g.Tenant, x.actor}
			actors[x.actor] = true
			from[k] = append(from[k], g)
			old := fates[k]
			if old == nil {
				fates[k] = &x
				order = append(order, k)
				continue
			}
			old.merge(&x)
		}
	}
	about, err := accountsOf(ctx, q, sortedKeysOf(actors))
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, k := range order {
		out = append(out, d.finding(k.tenant, fates[k], from[k], about[k.actor]))
	}
	return out, nil
}

// merge adds what another finding says of the same account.
func (g *fate) merge(o *fate) {
	g.accepted, g.stopped, g.odds = g.accepted || o.accepted, firstOf(g.stopped, o.stopped), max(g.odds, o.odds)
	if o.at.Before(g.at) {
		g.at = o.at
	}
	g.events = append(g.events, o.events...)
	g.ips, g.sessions, g.tokens = append(g.ips, o.ips...), append(g.sessions, o.sessions...), append(g.tokens, o.tokens...)
}

// accountOf is what an account's sign-ins say of it.
type accountOf struct {
	uses  []time.Time // days with a sign-in that came about
	multi bool        // a second factor was ever asked for and given, or asked for
	none  bool        // the tenant said that none is registered
}

// accountsOf reads it for a few accounts.
func accountsOf(ctx context.Context, q store.Querier, actors []string) (map[string]*accountOf, error) {
	out := map[string]*accountOf{}
	if len(actors) == 0 {
		return out, nil
	}
	err := store.Each(ctx, q, signInsSQL(`actor IN (`+quoted(actors)+`)`)+` SELECT actor, day, count(CASE WHEN pw = 'accepted' THEN 1 END), count(CASE WHEN stopped = '`+stoppedMFA+`' THEN 1 END), count(CASE WHEN stopped = '`+stoppedMFANone+`' THEN 1 END)
		FROM signins GROUP BY actor, day ORDER BY actor, day`, nil, func(scan scanner) error {
		var actor string
		var day time.Time
		var ok, mfa, none int64
		if err := scan(&actor, &day, &ok, &mfa, &none); err != nil {
			return err
		}
		a := out[actor]
		if a == nil {
			a = &accountOf{}
			out[actor] = a
		}
		if ok > 0 {
			a.uses = append(a.uses, day.UTC())
		}
		a.multi, a.none = a.multi || mfa > 0, a.none || none > 0
		return nil
	})
	return out, err
}

// unusedBefore is for how many days an account was not used before a day;
// ever reports whether it was used before at all.
func (a *accountOf) unusedBefore(t time.Time) (days int, ever bool) {
	day := t.Truncate(24 * time.Hour)
	for _, u := range slices.Backward(a.uses) {
		if u.Before(day) {
			return int(day.Sub(u) / (24 * time.Hour)), true
		}
	}
	return 0, false
}

func (guessedPassword) finding(tenant string, g *fate, from []*guess, a *accountOf) casefile.Finding {
	f := casefile.Finding{Tenant: tenant, First: casefile.TimeOf(g.at), Last: casefile.TimeOf(g.at), Severity: casefile.High}
	f.Events = casefile.Unique(g.events)
	f.EventCount = int64(len(f.Events))
	f.Events = capIDs(f.Events)
	raised := from[0].Detected
	var titles []string
	for _, x := range from {
		raised = casefile.Earlier(raised, x.Detected)
		titles = append(titles, strings.ToLower(x.Title[:1])+x.Title[1:])
	}
	f.Detected = casefile.Later(f.First, raised)
	f.Last = casefile.Later(f.Last, f.Detected)
	role, verb := casefile.RoleConverted, "was guessed"
	if g.odds < surely {
		role, verb, f.Severity = casefile.RoleTarget, "may have been guessed", casefile.Medium
	}
	f.Entities = g.entities(role)
	f.Title = fmt.Sprintf("Password of %s %s", g.actor, verb)
	why := []string{fmt.Sprintf("%s was tried (%s), and at %s the password was right: %s.", g.actor, strings.Join(titles[:min(len(titles), 3)], "; "), f.First, g.ending())}
	if math.IsInf(g.odds, 1) {
		why = append(why, "It came from an address from which others were tried as well, or nobody else in the tenant does the like.")
	} else {
		why = append(why, fmt.Sprintf("It was from a network that is new to the account, with an application of the guesses. Counting how many accounts do so when nobody guesses at them, and taking one in a hundred tried accounts to be guessed, the odds are %.2g to 1.", g.odds))
	}
	if a == nil {
		a = &accountOf{}
	}
	unused, ever := a.unusedBefore(g.at)
	switch {
	case !ever:
		why = append(why, "The account was not used before in the evidence.")
	case unused >= unusedDays:
		why = append(why, fmt.Sprintf("The account had not been used for %d days.", unused))
	}
	if g.accepted && f.Severity == casefile.High && (!a.multi || unused >= unusedDays || a.none) {
		f.Severity = casefile.Critical
		why = append(why, "Whoever it was is in.")
		if !a.multi {
			why = append(why, "No second factor was ever asked for.")
		}
	}
	if a.none {
		why = append(why, "No second factor is registered for it: whoever has the password can register one.")
	}
	f.Counts = []casefile.Count{
		{Name: "sign-ins that came about, or were stopped after the password", Value: float64(f.EventCount)},
		{Name: "days without a sign-in before", Value: float64(unused), Limit: limit(unusedDays)},
	}
	if !math.IsInf(g.odds, 1) {
		f.Counts = append(f.Counts, casefile.Count{Name: "odds for the guesser", Value: round2(g.odds), Limit: limit(surely)})
	}
	f.Why = strings.Join(why, " ")
	return f
}

// ending says in words what came of a right password.
func (g *fate) ending() string {
	if g.accepted {
		return "it signed in"
	}
	switch g.stopped {
	case stoppedMFA:
		return "only the second factor stood in the way"
	case stoppedMFANone:
		return "it was asked to register a second factor, which it may have done"
	case stoppedPolicy:
		return "a policy stopped it"
	case stoppedApp:
		return "the application was not allowed, or not there"
	}
	return "it was stopped afterwards"
}
