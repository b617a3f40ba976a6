package detect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/detect/baseline"
	"midwatch/event"
	"midwatch/store"
)

const (
	signInLog  = event.SignIn
	unifiedLog = event.UAL

	// risesPerYear is how many false alarms the series of a tenant may raise
	// together.
	risesPerYear = 1.0

	sameSpray = 14 * 24 * time.Hour // times without a rise between two of one spray, at most
	edgeDays  = 5                   // days around a rise in which single attempts belong to it ...
	edgeRare  = 0.2                 // ... where so few are expected a working day

	apartFromOne = 0.6 // share of an application's rise that one user agent must make to stand for it
	traitScore   = 2.0 // log odds from which an attempt takes part in a rise
	traitCap     = 3.0 // of one trait: they depend on each other
)

// cell is a set of failures that share their traits, and the time in which
// there were more of them than expected.
type cell struct {
	tenant, app, family string
	anyApp, byAgent     bool
	all, in             []attempt // in order of time; in: those of the rise
	common              []string  // traits, when the application is not one of them

	raised      time.Time // when the rise could be told
	result      *baseline.Result
	alarm       baseline.Alarm // the strongest
	series      []casefile.Series
	falseAlarms float64 // a year, of its series
	baseline    int     // days
	chance      float64 // attempts in the rise that are to be expected
	successes   int64   // sign-ins with the same traits
	least       int     // attempts of an account that takes part
	others      int     // accounts with fewer
}

func (c *cell) agents() map[string]bool {
	out := map[string]bool{}
	for _, a := range c.in {
		out[a.agent] = true
	}
	return out
}

// sprayRises finds the rises of unexplained failures that are slow sprays: of
// an application, or of a user agent of it where that says more; and what then
// is left over, of any application, where the attempts have other traits in
// common.
func sprayRises(ctx context.Context, q store.Querier) ([]*cell, error) {
	return once(q, "spray rises", func() ([]*cell, error) {
		rs, err := unexplained(ctx, q)
		if err != nil {
			return nil, err
		}
		days, err := signInDays(ctx, q)
		if err != nil {
			return nil, err
		}
		// An account at which somebody hammers is another detector's, and would
		// drown the quiet guesses beside it.
		hammered := hammered(rs)
		byTenant := map[string][]attempt{}
		for _, r := range rs {
			if !hammered[r.tenant+" "+r.actor] {
				byTenant[r.tenant] = append(byTenant[r.tenant], r)
			}
		}
		apps := map[string]bool{}
		for _, r := range rs {
			apps[r.app] = true
		}
		accepted, err := acceptedWith(ctx, q, sortedKeysOf(apps))
		if err != nil {
			return nil, err
		}
		var out []*cell
		for _, tenant := range sortedKeysOf(byTenant) {
			out = append(out, tenantRises(tenant, byTenant[tenant], days[tenant], accepted)...)
		}
		more, err := settledLater(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, c := range out {
			c.takeBack(more)
		}
		return out, nil
	})
}

func tenantRises(tenant string, rs []attempt, days reachOf, accepted map[[3]string]int64) (out []*cell) {
	byApp := map[string][]attempt{}
	for _, r := range rs {
		byApp[r.app] = append(byApp[r.app], r)
	}
	var cells []*cell
	for _, app := range sortedKeysOf(byApp) {
		all := byApp[app]
		if n := tally(all); n.users < sprayUsers || n.origins < sprayNetworks {
			continue
		}
		cells = append(cells, &cell{tenant: tenant, app: app, all: all, successes: accepted[[3]string{tenant, app, anyFamily}]})
		byFamily := map[string][]attempt{}
		for _, r := range all {
			byFamily[r.family] = append(byFamily[r.family], r)
		}
		if len(byFamily) == 1 {
			continue
		}
		for _, family := range sortedKeysOf(byFamily) {
			if n := tally(byFamily[family]); n.users >= sprayUsers && n.origins >= sprayNetworks {
				cells = append(cells, &cell{tenant: tenant, app: app, family: family, byAgent: true, all: byFamily[family], successes: accepted[[3]string{tenant, app, family}]})
			}
		}
	}
	// Every series that is looked at may raise a false alarm: they share what
	// is acceptable.
	falseAlarms := risesPerYear / float64(len(cells)+1)
	of := map[string][]*cell{}
	for _, c := range cells {
		c.falseAlarms = falseAlarms
		of[c.app] = append(of[c.app], c.rises(days)...)
	}
	taken := map[string]bool{}
	for _, app := range sortedKeysOf(of) {
		for _, c := range choose(of[app]) {
			for _, a := range c.in {
				taken[a.id] = true
			}
			out = append(out, c)
		}
	}
	var rest []attempt
	for _, r := range rs {
		if !taken[r.id] {
			rest = append(rest, r)
		}
	}
	any := &cell{tenant: tenant, anyApp: true, all: rest, falseAlarms: falseAlarms}
	for _, c := range any.rises(days) {
		if c.result != nil && c.participants() {
			out = append(out, c)
		}
	}
	return out
}

// takeBack adds attempts that the account's later life explained: in the time
// of a spray, with its application and one of its user agents, they are the
// spray's, and the later life the guesser's.
func (c *cell) takeBack(more []attempt) {
	if c.anyApp {
		return
	}
	agents := c.agents()
	from, to := c.in[0].at.AddDate(0, 0, -1), c.in[len(c.in)-1].at.AddDate(0, 0, 1)
	for _, a := range more {
		if a.tenant == c.tenant && a.app == c.app && agents[a.agent] && a.at.After(from) && a.at.Before(to) {
			c.in = append(c.in, a)
		}
	}
	slices.SortStableFunc(c.in, func(a, b attempt) int { return a.at.Compare(b.at) })
}

// choose picks among the rises of an application and of its user agents: a
// user agent that makes most of the application's rise stands for it, since
// then less of what is ordinary is in it; else the application does.
func choose(cs []*cell) (out []*cell) {
	overlap := func(a, b *cell) bool {
		return !a.in[0].at.After(b.in[len(b.in)-1].at) && !b.in[0].at.After(a.in[len(a.in)-1].at)
	}
	excess := func(c *cell) float64 { return float64(len(c.in)) - c.chance }
	for _, c := range cs {
		if c.byAgent {
			if !slices.ContainsFunc(cs, func(o *cell) bool { return !o.byAgent && overlap(o, c) }) {
				out = append(out, c)
			}
			continue
		}
		best := c
		for _, o := range cs {
			if o.byAgent && overlap(o, c) && excess(o) >= apartFromOne*excess(c) && (best == c || excess(o) > excess(best)) {
				best = o
			}
		}
		if !slices.Contains(out, best) {
			out = append(out, best)
		}
	}
	return out
}

// rises gives the times in which a cell is a slow spray.
func (c *cell) rises(days reachOf) (out []*cell) {
	// An account is counted once a network and day: who mistypes three times
	// has mistyped once.
	var moments []time.Time
	seen := map[string]bool{}
	for _, r := range c.all {
		if k := r.day.Format(time.DateOnly) + " " + r.actor + " " + r.prefix; !seen[k] {
			seen[k] = true
			moments = append(moments, r.at)
		}
	}
	r := baseline.Watch(baseline.NewCounts(days.first, days.last, moments), baseline.Options{FalseAlarms: c.falseAlarms, Seed: 1})
	if r == nil || r.Baseline < minBaseline {
		return c.withoutBaseline()
	}
	for _, span := range spans(r.Alarms) {
		x := *c
		x.result, x.baseline = r, r.Baseline
		x.alarm = slices.MaxFunc(span, func(a, b baseline.Alarm) int { return cmp.Compare(a.Sum/a.Limit, b.Sum/b.Limit) })
		x.raised = span[0].At
		from, to := span[0].Change, span[len(span)-1].Until
		if r.Mean < edgeRare {
			// Where such attempts are otherwise rare, single ones close to it
			// belong to it: they are where it began and where it ebbed away.
			from, to = from.AddDate(0, 0, -edgeDays), to.AddDate(0, 0, edgeDays)
		}
		for _, a := range c.all {
			if !a.at.Before(from) && a.at.Before(to) {
				x.in = append(x.in, a)
			}
		}
		if !x.anyApp && (len(x.in) == 0 || !tally(x.in).slow()) {
			continue
		}
		x.chance = r.Expected(from, to)
		x.sift(from, to)
		x.series = []casefile.Series{x.path()}
		out = append(out, &x)
	}
	return out
}

// Where more than ordinary may be of the ordinary kind, and how many of the
// accounts that are listed may be wrong.
const (
	ordinaryShare = 0.05
	wrongShare    = 0.1
)

// sift leaves out accounts that may well have mistyped, where the rise is of an
// application in which people do. Of ordinary failures few accounts have
// several: how many have k is a logarithmic series, fitted to the time outside.
// Accounts with so many attempts are kept that at most one in ten is expected
// to be ordinary. Where no number tells them apart, as when each was tried
// once, all are kept, and the finding says how many may be ordinary.
func (c *cell) sift(from, to time.Time) {
	if c.chance <= ordinaryShare*float64(len(c.in)) {
		return
	}
	type visit struct{ actor, prefix, day string }
	perAccount := func(in bool) map[string]int {
		seen, n := map[visit]bool{}, map[string]int{}
		for _, a := range c.all {
			v := visit{a.actor, a.prefix, a.day.Format(time.DateOnly)}
			if inside := !a.at.Before(from) && a.at.Before(to); inside == in && !seen[v] {
				seen[v] = true
				n[a.actor]++
			}
		}
		return n
	}
	var outside [3]float64
	for _, n := range perAccount(false) {
		outside[min(n, 2)]++
	}
	q := min(0.9, 2*(outside[2]+0.5)/(outside[1]+1)) // P(2)/P(1) of the series is q/2
	if rest := time.Duration(c.result.Days)*24*time.Hour - to.Sub(from); rest > 0 {
		// q/(1-q) grows with the time that is looked at.
		o := q / (1 - q) * float64(to.Sub(from)) / float64(rest)
		q = o / (1 + o)
	}
	tried := perAccount(true)
	most := 0
	for _, n := range tried {
		most = max(most, n)
	}
	scale := c.chance * (1 - q) / q // the series adds up to the attempts to be expected
	for k := 2; k <= most; k++ {
		ordinary, p := 0.0, math.Pow(q, float64(k))
		for j := k; j < k+200; j++ {
			ordinary += scale * p / float64(j)
			p *= q
		}
		n := 0
		for _, m := range tried {
			n += one(m >= k)
		}
		if ordinary > wrongShare*float64(n) {
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(c.in), func(a attempt) bool { return tried[a.actor] < k })
		if tally(kept).slow() {
			c.least, c.others, c.in = k, len(tried)-n, kept
			c.chance = 0
			for j := k; j < k+200; j++ {
				c.chance += scale * math.Pow(q, float64(j)) // attempts of the ordinary ones that are left
			}
		}
		return
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// minBaseline is how many days must be left to know what is usual.
const minBaseline = 7

// spans groups alarms that are one spray's.
func spans(as []baseline.Alarm) (out [][]baseline.Alarm) {
	for _, a := range as {
		if n := len(out); n > 0 && a.Change.Sub(out[n-1][len(out[n-1])-1].Until) < sameSpray {
			out[n-1] = append(out[n-1], a)
			continue
		}
		out = append(out, []baseline.Alarm{a})
	}
	return out
}

// withoutBaseline judges evidence that is too short, or that holds little
// else: the attempts must outnumber the sign-ins with the same traits, which
// no application does that anybody uses.
func (c *cell) withoutBaseline() []*cell {
	if c.anyApp {
		return nil
	}
	n := tally(c.all)
	if !n.slow() || int64(len(c.all)) <= c.successes {
		return nil
	}
	x := *c
	x.in, x.raised = c.all, n.reached
	return []*cell{&x}
}

// path is the arithmetic of the strongest alarm.
func (c *cell) path() casefile.Series {
	p := c.result.Path(c.alarm)
	s := casefile.Series{
		Name: "unexplained failures, an account once a network and day", Step: "day", From: casefile.TimeOf(p.From), Counts: p.Counts,
		Ratio: p.Ratio, Dispersion: round3(p.Dispersion), Limit: round3(c.alarm.Limit), Change: casefile.TimeOf(c.alarm.Change), Alarm: casefile.TimeOf(c.alarm.At), FalseAlarms: round3(c.falseAlarms),
		Note: fmt.Sprintf("expected: mean of %d days without a rise, by hour and weekend; limit: bootstrap of that fit over %d days", c.baseline, c.result.Days),
	}
	if p.Step == time.Hour {
		s.Step = "hour"
	}
	for i := range p.Counts {
		s.Expected, s.Sum = append(s.Expected, round3(p.Expected[i])), append(s.Sum, round3(p.Sum[i]))
	}
	return s
}

func round3(x float64) float64 { return math.Round(x*1000) / 1000 }

// participants keeps the attempts of a rise over all applications that have
// traits which the rise brought: of each trait's value the odds are how many
// more there are than the time outside makes expect. It reports whether what
// is left is a slow spray. A rise without such traits is a bad day, and
// another detector's.
func (c *cell) participants() bool {
	in := map[string]bool{}
	for _, a := range c.in {
		in[a.id] = true
	}
	inside, outside := map[string]float64{}, map[string]float64{}
	for _, a := range c.all {
		for _, t := range a.traits() {
			if in[a.id] {
				inside[t]++
			} else {
				outside[t]++
			}
		}
	}
	// What the same time outside would hold.
	ratio := c.chance / max(1, float64(len(c.all)-len(c.in)))
	score := func(t string) float64 {
		e := outside[t] * ratio
		return min(traitCap, math.Log(1+max(0, inside[t]-e)/(e+1)))
	}
	kept := c.in[:0:0]
	commonIn := map[string]int{}
	for _, a := range c.in {
		s := 0.0
		for _, t := range a.traits() {
			s += score(t)
		}
		if s > traitScore {
			kept = append(kept, a)
			for _, t := range a.traits() {
				commonIn[t]++
			}
		}
	}
	for _, t := range sortedKeysOf(commonIn) {
		if 2*commonIn[t] >= len(kept) && score(t) > traitScore/2 {
			c.common = append(c.common, t)
		}
	}
	// Ordinary failures share a trait with the attempts here and there; those
	// that belong together share all that is common.
	kept = slices.DeleteFunc(kept, func(a attempt) bool {
		ts := a.traits()
		return slices.ContainsFunc(c.common, func(t string) bool { return !slices.Contains(ts, t) })
	})
	c.in = kept
	return len(kept) > 0 && len(c.common) > 0 && tally(kept).slow()
}

// traits are what an attacker tends not to change; the address is none, and
// neither is what is not known.
func (a *attempt) traits() (ts []string) {
	for _, t := range [][2]string{{"application", firstOf(a.appName, a.app)}, {"user agent", a.family}, {"network of kind", a.kind}, {"country", a.country}, {"client", a.client}, {"resource", a.resource}} {
		if t[1] != "" {
			ts = append(ts, t[0]+" "+t[1])
		}
	}
	return ts
}
