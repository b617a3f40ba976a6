package baseline

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Options say how often a false alarm is acceptable.
type Options struct {
	FalseAlarms float64 // a year, of this series
	Seed        uint64  // of the bootstrap: the same seed gives the same limit
}

// Result is what a series says.
type Result struct {
	Alarms   []Alarm // in order of time; those of several ratios are one
	Baseline int     // days that the fit stands on
	Days     int     // days of the series
	Mean     float64 // expected a working day
	limit    limits
	counts   Counts
	model    *model
	opts     Options
}

// Alarm is a time in which the rate was above what is expected.
type Alarm struct {
	Change time.Time // begin of the first step of it
	At     time.Time // end of the step at which the sum passed the limit
	Until  time.Time // end of the last step that raised the sum
	Ratio  float64   // that the strongest sum looks for
	Sum    float64   // the strongest sum's greatest value
	Limit  float64   // of it
	byDay  bool
	index  int
}

// replicates is the number of made-up series. The limit's tail beyond them is
// exponential: of a sum of log-likelihood ratios exceeding h, the probability
// falls with exp(-h).
const (
	replicates = 400
	tailFrom   = 0.05 // probability up to which the replicates are believed
	least      = 5.0  // no limit is lower
	unbias     = 40   // made-up series for each step of the correction
	unbiasings = 2
)

// Watch looks for times in which the rate rose. It returns nil where there are
// too few days to know what is usual.
func Watch(c Counts, o Options) *Result {
	days := c.days()
	if len(days) < 2*minDays {
		return nil
	}
	m, out := settle(c.From, c.Hours, days)
	r := &Result{Days: len(days), Baseline: left(out), Mean: m.day[0], counts: c, model: m, opts: o}
	b := m.bank()
	none := limits{math.Inf(1), math.Inf(1)}
	top, _ := b.run(c.From, c.Hours, days, none, false)
	if r.limit = (limits{least, least}); top.hour <= least && top.day <= least {
		return r // nothing comes near any limit: not worth a bootstrap
	}
	r.limit = m.limit(c.From, len(days), o)
	_, es := b.run(c.From, c.Hours, days, r.limit, true)
	r.Alarms = r.merge(es)
	return r
}

// limit is the sums that made-up series of the same length pass as often as is
// acceptable: half of it by hours, half by days.
func (m *model) limit(from time.Time, days int, o Options) limits {
	p := o.FalseAlarms * float64(days) / 365.25
	if p > 0.5 {
		p = 1 - math.Exp(-p)
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0x6d6964776174))
	m = m.corrected(rng, from, days)
	hourTops, dayTops := make([]float64, replicates), make([]float64, replicates)
	hours, sums := make([]int64, 24*days), make([]int64, days)
	for i := range replicates {
		m.draw(rng, from, hours, sums)
		null, _ := settle(from, hours, sums)
		top, _ := null.bank().run(from, hours, sums, limits{math.Inf(1), math.Inf(1)}, false)
		hourTops[i], dayTops[i] = top.hour, top.day
	}
	return limits{quantile(hourTops, p/2), quantile(dayTops, p/2)}
}

// quantile is what values pass with probability p. Beyond the values that are
// believed the tail is exponential, no steeper than that of a sum of
// log-likelihood ratios, and as flat as the values show.
func quantile(values []float64, p float64) float64 {
	slices.Sort(values)
	at := func(p float64) float64 { return values[min(len(values)-1, int((1-p)*float64(len(values))))] }
	if p >= tailFrom {
		return max(least, at(p))
	}
	scale := max(1, (at(tailFrom/4)-at(tailFrom))/math.Log(4))
	return max(least, at(tailFrom)+scale*math.Log(tailFrom/p))
}

// corrected undoes what the procedure does to its own estimates: to leave out
// what stands out makes the rest look quieter and steadier than it is. The
// model that is looked for is the one whose made-up series, fitted the same
// way, give the estimates that were found (indirect inference, Gouriéroux and
// others 1993). The few days that variances stand on are allowed for by a
// standard error.
func (m *model) corrected(rng *rand.Rand, from time.Time, days int) *model {
	out := *m
	hours, sums := make([]int64, 24*days), make([]int64, days)
	for range unbiasings {
		var mean, dv, hv float64
		for range unbias {
			out.draw(rng, from, hours, sums)
			f, _ := settle(from, hours, sums)
			mean += (f.day[0]*5 + f.day[1]*2) / unbias
			dv += f.dayVar / unbias
			hv += f.hourVar / unbias
		}
		scale := func(want, got float64) float64 { return min(max(want/max(got, 1e-12), 0.5), 3) }
		level := scale((m.day[0]*5+m.day[1]*2)/(out.day[0]*5+out.day[1]*2), mean/(out.day[0]*5+out.day[1]*2))
		out.scale(level)
		out.dayVar = min(out.dayVar*scale(m.dayVar, dv), maxVar)
		out.hourVar = min(out.hourVar*scale(m.hourVar, hv), maxVar)
	}
	out.dayVar = min(out.dayVar*(1+math.Sqrt(2/float64(days))), maxVar)
	return &out
}

// draw makes up a series of the model.
func (m *model) draw(rng *rand.Rand, from time.Time, hours, days []int64) {
	for d := range days {
		k := classOf(from, d)
		days[d] = 0
		effect := gamma(rng, 1/m.dayVar) * m.dayVar
		for h := range 24 {
			mu := m.hour[24*k+h] * effect * gamma(rng, 1/m.hourVar) * m.hourVar
			n := poisson(rng, mu)
			hours[24*d+h] = n
			days[d] += n
		}
	}
}

// merge makes one alarm of excursions that overlap. The strongest names the
// change point; the earliest that passed the limit, when it could be raised.
func (r *Result) merge(es []excursion) (out []Alarm) {
	const hour, day = time.Hour, 24 * time.Hour
	var as []Alarm
	for _, e := range es {
		step, ratio, limit := hour, hourRatios(), r.limit.hour
		if e.byDay {
			step, ratio, limit = day, dayRatios(), r.limit.day
		}
		as = append(as, Alarm{
			Change: r.counts.From.Add(time.Duration(e.change) * step), At: r.counts.From.Add(time.Duration(e.alarm+1) * step),
			Until: r.counts.From.Add(time.Duration(e.peak+1) * step), Ratio: ratio[e.ratio], Sum: e.sum, Limit: limit, byDay: e.byDay, index: e.ratio,
		})
	}
	slices.SortStableFunc(as, func(a, b Alarm) int { return a.Change.Compare(b.Change) })
	for len(as) > 0 {
		best, until, n := as[0], as[0].Until, 1
		for ; n < len(as) && as[n].Change.Before(until); n++ {
			if as[n].Sum/as[n].Limit > best.Sum/best.Limit {
				best = as[n]
			}
			if as[n].Until.After(until) {
				until = as[n].Until
			}
		}
		for _, a := range as[:n] {
			if a.At.After(best.Change) && a.At.Before(best.At) {
				best.At = a.At
			}
		}
		best.Until = until
		out, as = append(out, best), as[n:]
	}
	return out
}

// Path is the arithmetic of one alarm, step by step.
type Path struct {
	Step       time.Duration
	From       time.Time
	Counts     []int64
	Expected   []float64
	Sum        []float64
	Ratio      float64
	Dispersion float64 // size parameter
}

// Path gives the counts, what was expected, and the sum that raised the alarm,
// over the whole series by the day, or by the hour in the days around it.
func (r *Result) Path(a Alarm) Path {
	p := Path{Ratio: a.Ratio, Step: 24 * time.Hour, From: r.counts.From, Dispersion: r.model.daySize}
	counts, ratio := r.counts.days(), dayRatios()[a.index]
	at := func(i int) float64 { return r.model.day[classOf(r.counts.From, i)] }
	if !a.byDay {
		p.Step, p.Dispersion, counts, ratio = time.Hour, r.model.hourSize, r.counts.Hours, hourRatios()[a.index]
		at = func(i int) float64 { return r.model.hour[24*classOf(r.counts.From, i/24)+i%24] }
	}
	w := 0.0
	for i, n := range counts {
		mu := at(i)
		l := newLLR(mu, p.Dispersion, ratio)
		w = max(0, w+float64(n)*l.slope+l.offset)
		p.Counts, p.Expected, p.Sum = append(p.Counts, n), append(p.Expected, mu), append(p.Sum, w)
	}
	if !a.byDay {
		// Two days before, three after: enough to check the sum by hand.
		lo := max(0, int(a.Change.Sub(r.counts.From)/time.Hour)-48)
		hi := min(len(counts), int(a.At.Sub(r.counts.From)/time.Hour)+72)
		p.From = p.From.Add(time.Duration(lo) * time.Hour)
		p.Counts, p.Expected, p.Sum = p.Counts[lo:hi], p.Expected[lo:hi], p.Sum[lo:hi]
	}
	return p
}

// gamma draws from the gamma distribution of shape a and scale 1 (Marsaglia
// and Tsang 2000).
func gamma(rng *rand.Rand, a float64) float64 {
	if a < 1 {
		return gamma(rng, a+1) * math.Pow(rng.Float64(), 1/a)
	}
	d := a - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := rng.Float64()
		if math.Log(u) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// poisson draws from the Poisson distribution: by counting for small means, by
// a rounded normal for large ones, whose error is far below the dispersion.
func poisson(rng *rand.Rand, mu float64) int64 {
	switch {
	case mu <= 0:
		return 0
	case mu > 50:
		return max(0, int64(math.Round(mu+math.Sqrt(mu)*rng.NormFloat64())))
	}
	limit, p, n := math.Exp(-mu), rng.Float64(), int64(0)
	for p > limit {
		p *= rng.Float64()
		n++
	}
	return n
}

// Expected is what the baseline expects from a time on until another.
func (r *Result) Expected(from, to time.Time) (sum float64) {
	for i := range r.counts.Hours {
		if t := r.counts.From.Add(time.Duration(i) * time.Hour); !t.Before(from) && t.Before(to) {
			sum += r.model.hour[24*classOf(r.counts.From, i/24)+i%24]
		}
	}
	return sum
}
