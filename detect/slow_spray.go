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

// slowSpray finds the incident's kind of guessing: few attempts an account and
// day, each from another address, over days or weeks. No address and no
// account stands out. What stands out is failures that nothing explains, more
// of them than the tenant's own past expects, and with traits in common that
// the attacker did not change: application and user agent, never the address.
type slowSpray struct{}

// What makes a spray of a rise.
const (
	sprayUsers       = 8   // accounts: fewer are a handful of people with a bad week, or the business of failures_one_account
	sprayNetworks    = 8   // addresses (of IPv6, the /48)
	sprayPerUserDay  = 3.0 // attempts per account and day, at most
	sprayUsersPerNet = 2.0 // accounts per address, at most: more is the loud kind

	convertDays  = 14   // days after the last guess in which a success can be its fruit
	guessedShare = 0.01 // share of tried accounts whose password is guessed, before anything is known: detection.md §4.3, where bad passwords are not banned
	surely       = 5.0  // odds from which a finding says that a password was guessed; from 1 it may have been
)

// Card implements [Detector].
func (slowSpray) Card() Card {
	return Card{
		ID:    "slow_spray",
		Title: "Slow password spray from many networks",
		Why: "Few attempts per account and day from ever changing addresses stay below every limit per address and per account. In the incident this went on " +
			"from late November until a test account without MFA gave way.",
		FalsePositives: []string{
			"a wave of expired passwords on mobile networks",
			"an application that keeps an old password on many devices",
		},
		Techniques:  []string{"T1110.003", "T1090.002"},
		Stage:       casefile.StageGuessing,
		Needs:       signInNeeds(),
		Helps:       guessingHelps(),
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{risesPerYear / 365.25, "limits of the sums are set for one false alarm a year and tenant, over all series together; a spray needs common traits besides"},
	}
}

// guessingHelps are the logs that explain failures, or show what came of them.
func guessingHelps() []Help {
	return []Help{
		{signInLog, nil, "there are neither devices nor applications of the sign-ins to explain failures with"},
		{unifiedLog, nil, "what a guessed account read is not known"},
	}
}

// Detect implements [Detector].
func (d slowSpray) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	return guessFindings(ctx, q, d.Card().ID, d.guesses)
}

func (d slowSpray) guesses(ctx context.Context, q store.Querier) (out []guess, err error) {
	rises, err := sprayRises(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, c := range rises {
		g, err := d.finding(ctx, q, c)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// slow reports whether attempts keep the limits of a slow spray. Where most of
// the names do not exist, somebody asks which do.
func (n *tallied) slow() bool {
	return n.users >= sprayUsers && n.origins >= sprayNetworks && n.perUserDay <= sprayPerUserDay && n.perOrigin <= sprayUsersPerNet && float64(n.once) >= 0.5*float64(n.origins) &&
		2*n.names <= n.attempts
}

// where describes the cell's events in its window, to follow a relation.
func (c *cell) where() (string, []any) {
	w, args := `tenant = ? AND pw <> 'right'`, []any{c.tenant}
	if !c.anyApp {
		w, args = w+` AND app_id = ?`, append(args, c.app)
	}
	if c.byAgent {
		w += ` AND user_agent IN (` + quoted(sortedKeysOf(c.agents())) + `)`
	}
	return w + ` AND time >= ? AND time <= ?`, append(args, c.in[0].at, c.in[len(c.in)-1].at)
}

func (d slowSpray) finding(ctx context.Context, q store.Querier, c *cell) (guess, error) {
	f := casefile.Finding{Tenant: c.tenant, Severity: casefile.Medium, Series: c.series}
	rs := c.in
	n := tally(rs)
	f.First, f.Last = casefile.TimeOf(rs[0].at), casefile.TimeOf(rs[len(rs)-1].at)
	f.Detected = casefile.Later(casefile.TimeOf(n.reached), casefile.TimeOf(c.raised))
	for _, id := range slices.Sorted(maps.Keys(n.actors)) {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: id, Role: casefile.RoleVictim})
	}
	for _, ip := range slices.Sorted(maps.Keys(n.ips)) {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource})
	}
	for _, r := range rs {
		f.Events = append(f.Events, r.id)
	}
	f.EventCount = int64(len(f.Events))
	if f.EventCount > casefile.MaxEvents {
		where, args := c.where()
		f.Events, f.EventsQuery = capIDs(f.Events), inline(orphansSQL()+` SELECT id FROM orphans WHERE `+where+` ORDER BY time, id`, args)
	}
	conv, err := sprayOf(c.tenant, rs).conversions(ctx, q, &f)
	if err != nil {
		return guess{}, err
	}
	f.Detected = casefile.Earlier(f.Detected, f.Last)
	f.Counts = []casefile.Count{
		{Name: "accounts tried", Value: float64(n.users), Limit: limit(sprayUsers)},
		{Name: "attempts", Value: float64(len(rs))},
		{Name: "of these to be expected without anybody there", Value: round2(c.chance)},
		{Name: "other accounts with such attempts in that time, probably ordinary", Value: float64(c.others)},
		{Name: "addresses", Value: float64(n.origins), Limit: limit(sprayNetworks)},
		{Name: "networks (/24, /48)", Value: float64(n.prefixes)},
		{Name: "addresses used at most twice", Value: float64(n.once)},
		{Name: "attempts per account and day", Value: round2(n.perUserDay), Limit: limit(sprayPerUserDay)},
		{Name: "accounts per address", Value: round2(n.perOrigin), Limit: limit(sprayUsersPerNet)},
		{Name: "days", Value: float64(n.days)},
		{Name: "days that the baseline stands on", Value: float64(c.baseline)},
		{Name: "sign-ins with the same traits", Value: float64(c.successes)},
		{Name: "passwords that turned out right", Value: float64(len(conv.words))},
		{Name: "accounts of which it cannot be told", Value: float64(len(conv.doubt))},
	}
	if c.result != nil {
		f.Counts = append(f.Counts, casefile.Count{Name: "greatest cumulative sum", Value: round2(c.alarm.Sum), Limit: limit(round2(c.alarm.Limit))})
	}
	f.Title = fmt.Sprintf("Slow spray against %d accounts from %d addresses", n.users, n.origins)
	f.Why = fmt.Sprintf("%d failed guesses at %d accounts from %d addresses on %s, %.1f per account and day, none from a network in which the account signs in or that three others sign in from.",
		len(rs), n.users, n.origins, plural(n.days, "day", "days"), n.perUserDay) + c.traits(n) + c.arithmetic()
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

// traits says what the attempts have in common.
func (c *cell) traits(n *tallied) string {
	var words []string
	if !c.anyApp {
		words = append(words, "came through application "+firstOf(n.app, c.app, "(not recorded)"))
	}
	if c.byAgent {
		words = append(words, fmt.Sprintf("had user agent %q", firstOf(c.in[0].agent, "(none)")))
	}
	if len(words) == 0 {
		words = append(words, "have "+strings.Join(c.common, ", ")+" in common")
	}
	return " All " + strings.Join(words, " and ") + "."
}

// arithmetic says why they are too many.
func (c *cell) arithmetic() string {
	if c.result == nil {
		return fmt.Sprintf(" The evidence is too short, or too much of it is of this kind, to know what is usual; they outnumber the %s with the same traits.", plural(c.successes, "sign-in", "sign-ins"))
	}
	words := fmt.Sprintf(" The %s without a rise expect %.2f such attempts a working day; the cumulative sum for %.4g times as many reached %.1f, where %.1f is passed once in %.0f years without anybody there. The change point is %s.",
		plural(int64(c.baseline), "day", "days"), c.result.Mean, c.alarm.Ratio, c.alarm.Sum, c.alarm.Limit, 1/c.falseAlarms, casefile.TimeOf(c.alarm.Change))
	if c.chance >= 1 {
		words += fmt.Sprintf(" About %.0f of them may be ordinary failures.", c.chance)
	}
	if c.others > 0 {
		words += fmt.Sprintf(" Accounts with fewer than %d attempts, %d of them, are left out: most are people who mistyped.", c.least, c.others)
	}
	return words
}

// tallied is what a cell's failed guesses add up to.
type tallied struct {
	users, origins, prefixes, once, days int64
	attempts, names                      int64 // names: attempts with one that does not exist
	perUserDay, perOrigin                float64
	actors, ips                          map[string]bool
	reached                              time.Time // when the limits of accounts and addresses were reached
	app                                  string
}

func tally(rs []attempt) *tallied {
	n := &tallied{}
	n.actors, n.ips = map[string]bool{}, map[string]bool{}
	origins, prefixes, days, userDays, pairs := map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range rs {
		day := r.at.Format(time.DateOnly)
		n.actors[r.actor], n.ips[r.ip], prefixes[r.prefix], days[day] = true, true, true, true
		origins[r.origin]++
		if r.pw == passwordNoUser {
			n.names++
		}
		userDays[r.actor+" "+day], pairs[r.origin+" "+r.actor] = true, true
		n.app = max(n.app, r.appName)
		if n.reached.IsZero() && len(n.actors) >= sprayUsers && len(origins) >= sprayNetworks {
			n.reached = r.at
		}
	}
	for _, k := range origins {
		if k <= 2 {
			n.once++
		}
	}
	n.attempts = int64(len(rs))
	n.users, n.origins, n.prefixes, n.days = int64(len(n.actors)), int64(len(origins)), int64(len(prefixes)), int64(len(days))
	if len(rs) > 0 {
		n.perUserDay, n.perOrigin = float64(len(rs))/float64(len(userDays)), float64(len(pairs))/float64(len(origins))
	}
	return n
}

func round2(x float64) float64 { return float64(int64(x*100+0.5)) / 100 }
