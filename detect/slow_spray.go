package detect

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// slowSpray finds the incident's kind of guessing: few attempts an account and
// day, each from another address, over days or weeks. No address and no
// account stands out; what stands out is failures that nothing explains, and
// that share what the attacker did not change: application and user agent.
//
// This is a first, simple verdict with fixed limits, all of which it prints.
// It does not estimate how often it is wrong.
type slowSpray struct{}

// The limits of the first verdict.
const (
	sprayUsers       = 8   // accounts in the cluster
	sprayNetworks    = 8   // addresses in the cluster (of IPv6, the /48)
	sprayPerUserDay  = 3.0 // attempts per account and day, at most
	sprayUsersPerNet = 2.0 // accounts per address, at most: more is the loud kind
	sprayTimesUsual  = 3.0 // attempts a day, as a multiple of the usual rate
	sprayDeviations  = 5.0 // and so many standard deviations above what is expected, of counts with twice the variance of a Poisson process
	sprayPerDay      = 3   // attempts that make a day one of the spray's, where none are usual
	sprayGapDays     = 4   // days without such attempts that end it
	sprayRare        = 0.2 // attempts a day otherwise, below which single ones at its edges are its own
	sprayCompareDays = 7   // days outside of the spray that it takes to know what is usual

	convertDays   = 14  // days after the last guess in which a success can be its fruit
	convertChance = 0.1 // matching sign-ins to expected by chance, for each that was seen, from which nobody can tell
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
		Techniques: []string{"T1110.003", "T1090.002"},
		Stage:      casefile.StageGuessing,
		Needs:      signInNeeds(),
		Severity:   casefile.Medium,
	}
}

// cell is a set of failures that share their traits.
type cell struct {
	tenant, app, agent string
	byAgent            bool
	all, in            []attempt // in order of time; in: those in the window
	first, last        time.Time // days of sign-ins in the evidence
	from, to           time.Time // first and last day of the spray
	usual              float64   // attempts a day outside
	outside            int64     // days outside, for comparison
	successes          int64     // sign-ins with the same traits
}

// attempt is one failed guess that nothing explains.
type attempt struct {
	id, tenant, actor, app, appName, agent, kind, ip, origin, prefix string
	at, day                                                          time.Time
}

// Detect implements [Detector].
func (d slowSpray) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := unexplained(ctx, q)
	if err != nil {
		return nil, err
	}
	// An account at which somebody hammers is another detector's, and would
	// drown the quiet guesses beside it.
	hammered := hammered(rs)
	rs = slices.DeleteFunc(rs, func(r attempt) bool { return hammered[r.tenant+" "+r.actor] })
	var out []casefile.Finding
	reported := map[string]bool{}                 // applications that a coarser cell covers
	for _, byAgent := range []bool{false, true} { // user agents may change; where the application alone does not stand out, both together may
		cells, err := d.cells(ctx, q, rs, byAgent)
		if err != nil {
			return nil, err
		}
		for _, c := range cells {
			key := c.tenant + " " + c.app
			if byAgent && reported[key] || !c.window() {
				continue
			}
			f, ok, err := d.finding(ctx, q, c)
			if err != nil {
				return nil, err
			}
			if ok {
				reported[key] = reported[key] || !byAgent
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// applications lists those (tenant, blank, application) through which there
// was a slow spray.
func (d slowSpray) applications(ctx context.Context, q store.Querier, rs []attempt) (map[string]bool, error) {
	cells, err := d.cells(ctx, q, rs, false)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, c := range cells {
		if c.window() && tally(c.in).slow() {
			out[c.tenant+" "+c.app] = true
		}
	}
	return out, nil
}

// slow reports whether attempts keep the limits of a slow spray.
func (n *tallied) slow() bool {
	return n.users >= sprayUsers && n.origins >= sprayNetworks && n.perUserDay <= sprayPerUserDay && n.perOrigin <= sprayUsersPerNet && float64(n.once) >= 0.5*float64(n.origins)
}

// unexplained reads the failures that nothing explains, in order of time. They
// are few: those of a day are some thousandths of the accounts, and guesses.
func unexplained(ctx context.Context, q store.Querier) (out []attempt, err error) {
	err = store.Each(ctx, q, orphansSQL()+` SELECT CAST(id AS VARCHAR), tenant, actor, app_id, app_name, user_agent, ip_kind, ip, origin, prefix, time, day FROM orphans WHERE pw <> 'right' ORDER BY time, id`, nil, func(scan scanner) error {
		var a attempt
		if err := scan(&a.id, &a.tenant, &a.actor, &a.app, &a.appName, &a.agent, &a.kind, &a.ip, &a.origin, &a.prefix, &a.at, &a.day); err != nil {
			return err
		}
		a.at, a.day = a.at.UTC(), a.day.UTC()
		out = append(out, a)
		return nil
	})
	return out, err
}

// cells groups unexplained failures by application (and user agent), and keeps
// those of enough accounts and addresses.
func (slowSpray) cells(ctx context.Context, q store.Querier, rs []attempt, byAgent bool) ([]*cell, error) {
	byKey := map[string]*cell{}
	for _, r := range rs {
		agent := ""
		if byAgent {
			agent = r.agent
		}
		key := r.tenant + "\x00" + r.app + "\x00" + agent
		if byKey[key] == nil {
			byKey[key] = &cell{tenant: r.tenant, app: r.app, agent: agent, byAgent: byAgent}
		}
		byKey[key].all = append(byKey[key].all, r)
	}
	var out []*cell
	apps := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		c := byKey[key]
		if n := tally(c.all); n.users >= sprayUsers && n.origins >= sprayNetworks {
			out = append(out, c)
			apps[c.app] = true
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	err := store.Each(ctx, q, signInsSQL()+` SELECT tenant, CASE WHEN app_id IN (`+quoted(sortedKeysOf(apps))+`) THEN app_id END AS app, user_agent, min(day), max(day), count(CASE WHEN pw = 'accepted' THEN 1 END)
		FROM signins GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, nil, func(scan scanner) error {
		var tenant, agent string
		var app sql.NullString
		var first, last time.Time
		var n int64
		if err := scan(&tenant, &app, &agent, &first, &last, &n); err != nil {
			return err
		}
		for _, c := range out {
			if c.tenant != tenant {
				continue
			}
			if c.first.IsZero() || first.Before(c.first) {
				c.first = first.UTC()
			}
			if last.After(c.last) {
				c.last = last.UTC()
			}
			if app.Valid && app.String == c.app && (!byAgent || agent == c.agent) {
				c.successes += n
			}
		}
		return nil
	})
	return out, err
}

// window finds the spray's first and last day: the run of days with enough
// attempts that holds most of them. An account is counted once a network and
// day. It reports false when the run does not stand out: from the days outside
// of it, or, where there are too few of these, from the sign-ins with the same
// traits, which it must outnumber.
func (c *cell) window() bool {
	const oneDay = 24 * time.Hour
	counts := map[time.Time]int64{}
	seen := map[string]bool{}
	for _, r := range c.all {
		if k := r.day.String() + " " + r.actor + " " + r.prefix; !seen[k] {
			seen[k] = true
			counts[r.day]++
		}
	}
	span := int64(c.last.Sub(c.first)/oneDay) + 1
	perDay := make([]int64, 0, span)
	for d := c.first; !d.After(c.last); d = d.Add(oneDay) {
		perDay = append(perDay, counts[d])
	}
	slices.Sort(perDay)
	enough := max(sprayPerDay, sprayTimesUsual*float64(perDay[len(perDay)/2]))
	type run struct {
		from, to time.Time
		attempts int64
	}
	longest := func(enough float64) (best run) {
		var cur run
		for _, day := range slices.SortedFunc(maps.Keys(counts), time.Time.Compare) {
			if float64(counts[day]) < enough {
				continue
			}
			if cur.attempts > 0 && day.Sub(cur.to) <= (sprayGapDays+1)*oneDay {
				cur.to, cur.attempts = day, cur.attempts+counts[day]
			} else {
				cur = run{day, day, counts[day]}
			}
			if cur.attempts > best.attempts {
				best = cur
			}
		}
		return best
	}
	best := longest(enough)
	if best.attempts == 0 {
		// A spray in most of the evidence makes itself the usual.
		if best = longest(sprayPerDay); best.attempts == 0 || int64(best.to.Sub(best.from)/oneDay)*2 < span {
			return false
		}
	}
	c.from, c.to = best.from, best.to
	sum := func() (in, out int64) {
		for day, n := range counts {
			if day.Before(c.from) || day.After(c.to) {
				out += n
			} else {
				in += n
			}
		}
		return in, out
	}
	in, out := sum()
	c.outside = span - int64(c.to.Sub(c.from)/oneDay) - 1
	// Where such attempts are otherwise rare, single ones close to it belong
	// to it: they are where it began and where it ebbed away.
	if c.outside > 0 && float64(out)/float64(c.outside) < sprayRare {
		const near = (sprayGapDays + 1) * oneDay
		days := slices.SortedFunc(maps.Keys(counts), time.Time.Compare)
		for _, d := range days {
			if d.After(c.to) && d.Sub(c.to) <= near {
				c.to = d
			}
		}
		for _, d := range slices.Backward(days) {
			if d.Before(c.from) && c.from.Sub(d) <= near {
				c.from = d
			}
		}
		in, out = sum()
		c.outside = span - int64(c.to.Sub(c.from)/oneDay) - 1
	}
	for _, r := range c.all {
		if !r.day.Before(c.from) && !r.day.After(c.to) {
			c.in = append(c.in, r)
		}
	}
	if c.outside < sprayCompareDays {
		return in > c.successes
	}
	c.usual = float64(out) / float64(c.outside)
	expected := c.usual * float64(span-c.outside)
	return float64(in) >= sprayTimesUsual*expected && float64(in) >= expected+sprayDeviations*math.Sqrt(2*expected)
}

// where describes the cell's events in its window, to follow a relation.
func (c *cell) where() (string, []any) {
	w, args := `tenant = ? AND app_id = ?`, []any{c.tenant, c.app}
	if c.byAgent {
		w, args = w+` AND user_agent = ?`, append(args, c.agent)
	}
	return w + ` AND day >= ? AND day <= ?`, append(args, c.from, c.to)
}

func (d slowSpray) finding(ctx context.Context, q store.Querier, c *cell) (casefile.Finding, bool, error) {
	f := casefile.Finding{Tenant: c.tenant, Severity: casefile.Medium}
	rs := c.in
	n := tally(rs)
	if !n.slow() {
		return f, false, nil
	}
	f.First, f.Last, f.Detected = casefile.TimeOf(rs[0].at), casefile.TimeOf(rs[len(rs)-1].at), casefile.TimeOf(n.reached)
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
		return f, false, err
	}
	app := firstOf(n.app, c.app)
	f.Counts = append(f.Counts,
		casefile.Count{Name: "accounts tried", Value: float64(n.users), Limit: limit(sprayUsers)},
		casefile.Count{Name: "attempts", Value: float64(len(rs))},
		casefile.Count{Name: "addresses", Value: float64(n.origins), Limit: limit(sprayNetworks)},
		casefile.Count{Name: "networks (/24, /48)", Value: float64(n.prefixes)},
		casefile.Count{Name: "addresses used at most twice", Value: float64(n.once)},
		casefile.Count{Name: "attempts per account and day", Value: round2(n.perUserDay), Limit: limit(sprayPerUserDay)},
		casefile.Count{Name: "accounts per address", Value: round2(n.perOrigin), Limit: limit(sprayUsersPerNet)},
		casefile.Count{Name: "days", Value: float64(n.days)},
		casefile.Count{Name: "such attempts a day", Value: round2(float64(len(rs)) / (c.to.Sub(c.from).Hours()/24 + 1)), Limit: limit(round2(sprayTimesUsual * c.usual))},
		casefile.Count{Name: "other days, for comparison", Value: float64(c.outside)},
		casefile.Count{Name: "sign-ins with the same traits", Value: float64(c.successes)},
		casefile.Count{Name: "passwords that turned out right", Value: float64(len(conv.words))},
		casefile.Count{Name: "accounts of which it cannot be told", Value: float64(len(conv.doubt))},
	)
	f.Title = fmt.Sprintf("Slow spray against %d accounts from %d addresses", n.users, n.origins)
	f.Why = fmt.Sprintf("%d failed guesses at %d accounts from %d addresses on %s, %.1f per account and day, none from a network in which the account signs in or that three others sign in from. All came through application %s",
		len(rs), n.users, n.origins, plural(n.days, "day", "days"), n.perUserDay, firstOf(app, "(not recorded)"))
	if c.byAgent {
		f.Why += fmt.Sprintf(" with user agent %q", firstOf(c.agent, "(none)"))
	}
	switch {
	case c.outside < sprayCompareDays:
		f.Why += fmt.Sprintf(". The evidence has only %s outside of it, so the usual rate is not known.", plural(c.outside, "day", "days"))
	default:
		f.Why += fmt.Sprintf(". In the %d other days there were %.2f such attempts a day.", c.outside, c.usual)
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
	return f, true, nil
}

// tallied is what a cell's failed guesses add up to.
type tallied struct {
	users, origins, prefixes, once, days int64
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
	n.users, n.origins, n.prefixes, n.days = int64(len(n.actors)), int64(len(origins)), int64(len(prefixes)), int64(len(days))
	if len(rs) > 0 {
		n.perUserDay, n.perOrigin = float64(len(rs))/float64(len(userDays)), float64(len(pairs))/float64(len(origins))
	}
	return n
}

func round2(x float64) float64 { return float64(int64(x*100+0.5)) / 100 }
