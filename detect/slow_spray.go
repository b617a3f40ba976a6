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
	sprayTimesBefore = 3.0 // attempts a day, as a multiple of the rate before
	sprayPerDay      = 3   // attempts that make a day one of the spray's
	sprayGapDays     = 4   // days without such attempts that end it
	sprayRare        = 0.2 // attempts a day before, below which single ones at its edges are its own
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
		Needs:      signInNeeds(),
		Severity:   casefile.Medium,
	}
}

// orphansSQL leaves the failed guesses that nothing explains: the account had
// not signed in from that network (/24, /48), did not within half an hour, and
// is not at home at that address (signs in from it on two days or more, be it
// later: the beginning of the evidence is not the beginning of life); and the
// address is not one that three or more accounts sign in from.
// This is filter A of Javed and Paxson's and of Herley and Schechter's idea:
// look at failures where benign ones are rare.
func orphansSQL() string {
	return signInsSQL() + `, familiar AS (
		SELECT actor AS fam_actor, prefix AS fam_prefix, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, prefix
	), home AS (
		SELECT actor AS home_actor, origin AS home_origin FROM signins WHERE pw = 'accepted' GROUP BY actor, origin HAVING count(DISTINCT day) >= 2
	), shared AS (
		SELECT origin FROM signins WHERE pw = 'accepted' GROUP BY origin HAVING count(DISTINCT actor) >= 3
	), orphans AS (
		SELECT s.* FROM signins s
			LEFT JOIN familiar f ON f.fam_actor = s.actor AND f.fam_prefix = s.prefix
			LEFT JOIN home h ON h.home_actor = s.actor AND h.home_origin = s.origin
		WHERE s.pw IN ('wrong', 'locked', 'no_user') AND (f.since IS NULL OR f.since > s.time + INTERVAL 30 MINUTE) AND h.home_actor IS NULL
			AND s.origin NOT IN (SELECT origin FROM shared)
	)`
}

// cell is a set of failures that share their traits.
type cell struct {
	tenant, app, agent string
	byAgent            bool
	days               []cellDay
	from, to           time.Time // first and last day of the spray
	perDayBefore       float64   // attempts a day before, 0 when there is no day before
	daysBefore         int64
	successes          int64 // sign-ins with the same traits
}

type cellDay struct {
	day      time.Time
	attempts int64
}

// Detect implements [Detector].
func (d slowSpray) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	var out []casefile.Finding
	reported := map[string]bool{}                 // applications that a coarser cell covers
	for _, byAgent := range []bool{false, true} { // user agents may change; where the application alone does not stand out, both together may
		cells, err := d.cells(ctx, q, byAgent)
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

// cells counts unexplained failures by application (and user agent) and day.
func (slowSpray) cells(ctx context.Context, q store.Querier, byAgent bool) ([]*cell, error) {
	agent := "''"
	if byAgent {
		agent = "user_agent"
	}
	query := orphansSQL() + `, span AS (SELECT tenant, min(day) AS first_day FROM signins GROUP BY tenant),
		good AS (SELECT tenant, app_id, ` + agent + ` AS agent, count(*) AS n FROM signins WHERE pw = 'accepted' GROUP BY tenant, app_id, agent),
		big AS (SELECT tenant, app_id, ` + agent + ` AS agent FROM orphans GROUP BY tenant, app_id, agent
			HAVING count(DISTINCT actor) >= ` + fmt.Sprint(sprayUsers) + ` AND count(DISTINCT origin) >= ` + fmt.Sprint(sprayNetworks) + `),
		daily AS (SELECT tenant, app_id, ` + agent + ` AS agent, day, count(*) AS attempts FROM orphans GROUP BY tenant, app_id, agent, day)
	SELECT d.tenant, d.app_id, d.agent, d.day, d.attempts, s.first_day, coalesce(g.n, 0)
	FROM daily d
		JOIN big b ON b.tenant = d.tenant AND b.app_id = d.app_id AND b.agent = d.agent
		JOIN span s ON s.tenant = d.tenant
		LEFT JOIN good g ON g.tenant = d.tenant AND g.app_id = d.app_id AND g.agent = d.agent
	ORDER BY d.tenant, d.app_id, d.agent, d.day`
	var out []*cell
	err := rows(ctx, q, query, nil, func(scan scanner) error {
		var tenant, app, agent string
		var day, first time.Time
		var attempts, good int64
		if err := scan(&tenant, &app, &agent, &day, &attempts, &first, &good); err != nil {
			return err
		}
		if n := len(out); n == 0 || out[n-1].tenant != tenant || out[n-1].app != app || out[n-1].agent != agent {
			out = append(out, &cell{tenant: tenant, app: app, agent: agent, byAgent: byAgent, successes: good, from: first})
		}
		c := out[len(out)-1]
		c.days = append(c.days, cellDay{day, attempts})
		return nil
	})
	return out, err
}

// window finds the spray's first and last day: the run of days with enough
// attempts that holds most of them. It reports false when its rate is not a
// multiple of the rate before.
func (c *cell) window() bool {
	evidence := c.from // first day of sign-ins in the evidence
	type run struct {
		from, to time.Time
		attempts int64
	}
	var runs []run
	for _, d := range c.days {
		if d.attempts < sprayPerDay {
			continue
		}
		if n := len(runs); n > 0 && d.day.Sub(runs[n-1].to) <= (sprayGapDays+1)*24*time.Hour {
			runs[n-1].to = d.day
			runs[n-1].attempts += d.attempts
			continue
		}
		runs = append(runs, run{d.day, d.day, d.attempts})
	}
	if len(runs) == 0 {
		return false
	}
	best := slices.MaxFunc(runs, func(a, b run) int { return int(a.attempts - b.attempts) })
	c.from, c.to = best.from, best.to
	before := func() (n int64) {
		for _, d := range c.days {
			if d.day.Before(c.from) {
				n += d.attempts
			}
		}
		return n
	}
	// Where such attempts are otherwise rare, single ones close to it belong
	// to it: they are where it began and where it ebbed away.
	if d := c.from.Sub(evidence).Hours() / 24; d > 0 && float64(before())/d < sprayRare {
		const near = (sprayGapDays + 1) * 24 * time.Hour
		for _, d := range c.days {
			if d.day.After(c.to) && d.day.Sub(c.to) <= near {
				c.to = d.day
			}
		}
		for _, d := range slices.Backward(c.days) {
			if d.day.Before(c.from) && c.from.Sub(d.day) <= near {
				c.from = d.day
			}
		}
	}
	c.daysBefore = int64(c.from.Sub(evidence).Hours() / 24)
	if c.daysBefore > 0 {
		c.perDayBefore = float64(before()) / float64(c.daysBefore)
	}
	days := c.to.Sub(c.from).Hours()/24 + 1
	return float64(best.attempts)/days >= sprayTimesBefore*c.perDayBefore
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
	rs, err := d.attempts(ctx, q, c)
	if err != nil {
		return f, false, err
	}
	n := tally(rs)
	if n.users < sprayUsers || n.origins < sprayNetworks || n.perUserDay > sprayPerUserDay || n.perOrigin > sprayUsersPerNet || float64(n.once) < 0.5*float64(n.origins) {
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
	conv, err := d.conversions(ctx, q, c, &f)
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
		casefile.Count{Name: "such attempts a day", Value: round2(float64(len(rs)) / (c.to.Sub(c.from).Hours()/24 + 1)), Limit: limit(round2(sprayTimesBefore * c.perDayBefore))},
		casefile.Count{Name: "days before, for comparison", Value: float64(c.daysBefore)},
		casefile.Count{Name: "sign-ins with the same traits", Value: float64(c.successes)},
		casefile.Count{Name: "passwords that turned out right", Value: float64(len(conv))},
	)
	f.Title = fmt.Sprintf("Slow spray against %d accounts from %d addresses", n.users, n.origins)
	f.Why = fmt.Sprintf("%d failed guesses at %d accounts from %d addresses on %s, %.1f per account and day, none from a network in which the account signs in or an address that three others sign in from. All came through application %s",
		len(rs), n.users, n.origins, plural(n.days, "day", "days"), n.perUserDay, firstOf(app, "(not recorded)"))
	if c.byAgent {
		f.Why += fmt.Sprintf(" with user agent %q", firstOf(c.agent, "(none)"))
	}
	switch {
	case c.daysBefore < 7:
		f.Why += fmt.Sprintf(". The evidence begins only %s before, so the usual rate is not known.", plural(c.daysBefore, "day", "days"))
	default:
		f.Why += fmt.Sprintf(". In the %d days before there were %.2f such attempts a day.", c.daysBefore, c.perDayBefore)
	}
	if len(conv) > 0 {
		f.Severity = casefile.High
		f.Techniques = append(f.Techniques, "T1078.004")
		f.Title += fmt.Sprintf(", %s guessed", plural(int64(len(conv)), "password", "passwords"))
		f.Why += " After being tried, the password was right for " + strings.Join(conv, ", ") + "."
	} else {
		f.Why += " No tried account signed in from an unknown network with the same traits."
	}
	return f, true, nil
}

// attempt is one failed guess of a cell.
type attempt struct {
	id, actor, ip, origin, prefix, app string
	at                                 time.Time
}

// attempts reads a cell's failed guesses, in order of time.
func (slowSpray) attempts(ctx context.Context, q store.Querier, c *cell) (out []attempt, err error) {
	where, args := c.where()
	err = rows(ctx, q, orphansSQL()+` SELECT CAST(id AS VARCHAR), actor, ip, origin, prefix, app_name, time FROM orphans WHERE `+where+` ORDER BY time, id`, args, func(scan scanner) error {
		var a attempt
		if err := scan(&a.id, &a.actor, &a.ip, &a.origin, &a.prefix, &a.app, &a.at); err != nil {
			return err
		}
		a.at = a.at.UTC()
		out = append(out, a)
		return nil
	})
	return out, err
}

// tallied is what a cell's failed guesses add up to.
type tallied struct {
	users, origins, prefixes, once, days int64
	perUserDay, perOrigin                float64
	actors, ips                          map[string]bool
	reached                              time.Time // when the limits of accounts and addresses were reached
	app                                  string
}

func tally(rs []attempt) (n tallied) {
	n.actors, n.ips = map[string]bool{}, map[string]bool{}
	origins, prefixes, days, userDays, pairs := map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range rs {
		day := r.at.Format(time.DateOnly)
		n.actors[r.actor], n.ips[r.ip], prefixes[r.prefix], days[day] = true, true, true, true
		origins[r.origin]++
		userDays[r.actor+" "+day], pairs[r.origin+" "+r.actor] = true, true
		n.app = max(n.app, r.app)
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

// conversions finds tried accounts whose password was right afterwards, within
// 14 days, from a network that the account had never signed in from, with the
// spray's application or user agent or from one of its addresses.
func (slowSpray) conversions(ctx context.Context, q store.Querier, c *cell, f *casefile.Finding) (words []string, err error) {
	where, args := c.where()
	trait := `s.ip IN (SELECT ip FROM mine)`
	if c.byAgent && c.agent != "" {
		trait += ` OR (s.app_id = ? AND s.user_agent = ?)`
		args = append(args, c.app, c.agent)
	} else {
		trait += ` OR s.app_id = ?`
		args = append(args, c.app)
	}
	query := orphansSQL() + `, mine AS (SELECT * FROM orphans WHERE ` + where + `),
		tried AS (SELECT actor AS tried_actor, min(time) AS tried_at, max(time) AS last_try FROM mine GROUP BY actor)
	SELECT CAST(s.id AS VARCHAR), s.actor, s.pw, s.ip, s.time, s.session_id, s.token_id, s.request_id
	FROM signins s JOIN tried t ON t.tried_actor = s.actor
		LEFT JOIN (SELECT actor, prefix, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, prefix) f ON f.actor = s.actor AND f.prefix = s.prefix
	WHERE s.pw IN ('accepted', 'right') AND s.time > t.tried_at AND s.time < t.last_try + INTERVAL 14 DAY
		AND (f.since IS NULL OR f.since > t.tried_at)
		AND s.origin NOT IN (SELECT origin FROM shared)
		AND (` + trait + `)
	ORDER BY s.time, s.id`
	type hit struct {
		accepted bool
		at       time.Time
	}
	got := map[string]*hit{}
	var order []string
	err = rows(ctx, q, query, args, func(scan scanner) error {
		var id, actor, pw, ip, session, token, request string
		var at time.Time
		if err := scan(&id, &actor, &pw, &ip, &at, &session, &token, &request); err != nil {
			return err
		}
		h := got[actor]
		if h == nil {
			h = &hit{at: at.UTC()}
			got[actor] = h
			order = append(order, actor)
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: actor, Role: casefile.RoleConverted})
		}
		h.accepted = h.accepted || pw == passwordAccepted
		if pw == passwordAccepted {
			f.Entities = append(f.Entities,
				casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleUsed},
				casefile.Entity{Kind: casefile.Session, ID: session, Role: casefile.RoleUsed},
				casefile.Entity{Kind: casefile.Token, ID: firstOf(token, request), Role: casefile.RoleUsed})
		}
		f.Last = casefile.Later(f.Last, casefile.TimeOf(at))
		f.Events = append(f.Events, id)
		f.EventCount++
		return nil
	})
	for _, a := range order {
		word := "stopped afterwards"
		if got[a].accepted {
			word = "signed in"
		}
		words = append(words, fmt.Sprintf("%s (%s, %s)", a, word, casefile.TimeOf(got[a].at)))
	}
	// Who was guessed is no longer only a victim.
	f.Entities = slices.DeleteFunc(f.Entities, func(e casefile.Entity) bool {
		return e.Kind == casefile.Account && e.Role == casefile.RoleVictim && got[e.ID] != nil
	})
	return words, err
}

func round2(x float64) float64 { return float64(int64(x*100+0.5)) / 100 }
