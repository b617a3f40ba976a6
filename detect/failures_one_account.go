package detect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// failuresOneAccount finds single accounts at which somebody guesses: once a
// day for weeks from ever other networks, which no count of a day shows, or
// dozens of times a day. What nobody explains happens to an account every
// other month; on five days of three weeks it does not happen by chance.
type failuresOneAccount struct{}

const hammerDay = 20 // unexplained failures of an account in one day

// Card implements [Detector].
func (failuresOneAccount) Card() Card {
	return Card{
		ID:    "failures_one_account",
		Title: "Passwords of single accounts tried again and again",
		Why: "Who knows which account he wants has time: one guess a day from another home each stays below every limit, and thousands of guesses from rented " +
			"servers are noise until one is right. Both show in the failures of the one account that nothing explains.",
		FalsePositives: []string{"somebody who travels without a break and mistypes on most days", "a device with an old password on networks where its owner never signs in"},
		Techniques:     []string{"T1110.001", "T1110.003"},
		Stage:          casefile.StageGuessing,
		Needs:          signInNeeds(),
		Helps:          guessingHelps(),
		Severity:       casefile.Low,
		FalseAlarms:    FalseAlarms{recursPerYear / 365.25, "the test over all accounts of a tenant is set for one false alarm a year"},
	}
}

// hammered lists accounts (tenant, blank, account) with very many unexplained
// failures on a day.
func hammered(rs []attempt) map[string]bool {
	perDay, out := map[string]int{}, map[string]bool{}
	for _, r := range rs {
		k := r.tenant + " " + r.actor
		perDay[k+r.day.String()]++
		if perDay[k+r.day.String()] >= hammerDay {
			out[k] = true
		}
	}
	return out
}

// Detect implements [Detector].
func (d failuresOneAccount) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	return guessFindings(ctx, q, d.Card().ID, d.guesses)
}

func (d failuresOneAccount) guesses(ctx context.Context, q store.Querier) ([]guess, error) {
	rs, err := unexplained(ctx, q)
	if err != nil {
		return nil, err
	}
	rises, err := sprayRises(ctx, q)
	if err != nil {
		return nil, err
	}
	sprayed := map[string]bool{}
	for _, c := range rises {
		for _, a := range c.in {
			sprayed[a.id] = true // some accounts of a slow spray are tried more often than others
		}
	}
	loud, quiet := map[string][]attempt{}, map[string][]attempt{}
	hammered := hammered(rs)
	for _, r := range rs {
		switch {
		case hammered[r.tenant+" "+r.actor]:
			// Each by itself: many accounts are hammered at by many.
			k := r.tenant + "\x00" + r.app + "\x00" + r.actor
			loud[k] = append(loud[k], r)
		case !sprayed[r.id]:
			quiet[r.tenant] = append(quiet[r.tenant], r)
		}
	}
	var out []guess
	for _, tenant := range slices.Sorted(maps.Keys(quiet)) {
		// One attacker's accounts are one finding: the application is what he
		// did not change.
		rec := recurrence(quiet[tenant])
		byApp := map[string][]attempt{}
		for _, a := range rec.attempts {
			byApp[a.app] = append(byApp[a.app], a)
		}
		for _, app := range slices.Sorted(maps.Keys(byApp)) {
			f, err := d.finding(ctx, q, byApp[app], rec)
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(loud)) {
		f, err := d.finding(ctx, q, loud[k], nil)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (failuresOneAccount) finding(ctx context.Context, q store.Querier, as []attempt, rec *recurring) (guess, error) {
	n := tally(as)
	f := casefile.Finding{Tenant: as[0].tenant, Severity: casefile.Low, First: casefile.TimeOf(as[0].at), Last: casefile.TimeOf(as[len(as)-1].at)}
	accounts := slices.Sorted(maps.Keys(n.actors))
	for _, id := range accounts {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: id, Role: casefile.RoleVictim})
	}
	for _, ip := range slices.Sorted(maps.Keys(n.ips)) {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource})
	}
	f.Detected = hammeredAt(as)
	if rec != nil {
		f.Detected = casefile.TimeOf(rec.told(accounts))
	}
	for _, a := range as {
		f.Events = append(f.Events, a.id)
	}
	f.EventCount = int64(len(f.Events))
	if f.EventCount > casefile.MaxEvents {
		f.Events, f.EventsQuery = capIDs(f.Events), inline(orphansSQL()+` SELECT id FROM orphans WHERE later = 0 AND pw <> 'right' AND tenant = ? AND app_id = ? AND actor IN (`+quoted(accounts)+`) AND day >= ? AND day <= ? ORDER BY time, id`, []any{as[0].tenant, as[0].app, as[0].day, as[len(as)-1].day})
	}
	conv, err := sprayOf(as[0].tenant, as).conversions(ctx, q, &f)
	if err != nil {
		return guess{}, err
	}
	who := plural(n.users, "account", "accounts")
	if n.users == 1 {
		who = accounts[0]
	}
	f.Counts = []casefile.Count{
		{Name: "accounts tried", Value: float64(n.users)},
		{Name: "attempts", Value: float64(len(as))},
		{Name: "addresses", Value: float64(n.origins)},
		{Name: "networks (/24, /48)", Value: float64(n.prefixes)},
		{Name: "days", Value: float64(n.days)},
		{Name: "passwords that turned out right", Value: float64(len(conv.words))},
		{Name: "accounts of which it cannot be told", Value: float64(len(conv.doubt))},
	}
	app := firstOf(n.app, as[0].app, "(not recorded)")
	if rec != nil {
		f.Severity = casefile.Medium
		f.Title = fmt.Sprintf("Passwords of %s tried on %s from %s", who, plural(n.days, "day", "days"), plural(n.origins, "address", "addresses"))
		f.Why = fmt.Sprintf("%d failed guesses at %s through application %s from %s, none from a network in which the account, or three others, sign in. %s",
			len(as), list(accounts, 6), app, plural(n.prefixes, "network", "networks"), rec.words(accounts))
		f.Counts = append(f.Counts, rec.counts(accounts)...)
	} else {
		f.Title = fmt.Sprintf("Password of %s tried %d times from %s", who, len(as), plural(n.origins, "address", "addresses"))
		f.Why = fmt.Sprintf("%d failed guesses at %s through application %s on %s from %s, none of them from a network in which the account, or three others, sign in.",
			len(as), who, app, plural(n.days, "day", "days"), plural(n.origins, "address", "addresses"))
	}
	if len(conv.words) > 0 {
		f.Severity = casefile.High
		f.Techniques = append(f.Techniques, "T1078.004")
		f.Title += fmt.Sprintf(", %s guessed", plural(int64(len(conv.words)), "password", "passwords"))
		f.Why += " After being tried, the password was right for " + strings.Join(conv.words, ", ") + "."
	} else if len(conv.doubt) == 0 {
		f.Why += " No tried account signed in from an unknown network with the same traits."
	}
	f.Why += conv.doubtWords()
	return guess{f, append(conv.got, conv.likely...)}, nil
}

// hammeredAt is when the attempts of an account were too many for a day.
func hammeredAt(as []attempt) casefile.Time {
	perDay := map[time.Time]int{}
	for _, a := range as {
		if perDay[a.day]++; perDay[a.day] >= hammerDay {
			return casefile.TimeOf(a.at)
		}
	}
	return casefile.TimeOf(as[len(as)-1].at)
}
