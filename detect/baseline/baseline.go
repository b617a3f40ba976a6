// Package baseline says when a count over time stopped being what the tenant's
// own past expects.
//
// Counts of failed sign-ins have a rhythm of hours and weekdays and vary more
// than chance: a Monday after a holiday moves all of them. So the counts are
// held to be negative binomial about a seasonal mean, and what is summed up is
// the log-likelihood ratio of "the rate is r times what is expected" against
// "it is as expected", reset at 0: Page's CUSUM, in the form of Höhle and Paul
// (2008), for a bank of ratios r on hours and on days. Its change point, the
// last moment at which the sum was 0, is when it began.
//
// The limit is found by a parametric bootstrap of the tenant's own fit:
// made-up series of the same length from the fitted model go through the very
// same procedure, fit included, so that what a short past leaves uncertain
// raises the limit instead of the number of false alarms.
//
// The evidence of a case may hold the attack for most of its length. The fit
// begins with the quietest stretch, leaves out what then stands out, and is
// repeated with what remains.
package baseline

import (
	"math"
	"slices"
	"time"
)

// Counts is a count over time, without gaps.
type Counts struct {
	From  time.Time // begin of the first hour, at midnight UTC
	Hours []int64   // a multiple of 24
}

// NewCounts counts moments by the hour, over whole days from the day of first
// to the day of last.
func NewCounts(first, last time.Time, moments []time.Time) Counts {
	from := first.UTC().Truncate(24 * time.Hour)
	days := int(last.UTC().Truncate(24*time.Hour).Sub(from)/(24*time.Hour)) + 1
	c := Counts{From: from, Hours: make([]int64, 24*days)}
	for _, t := range moments {
		if i := int(t.Sub(from) / time.Hour); t.Before(from) || i >= len(c.Hours) {
			continue
		} else {
			c.Hours[i]++
		}
	}
	return c
}

// days adds up the hours.
func (c *Counts) days() []int64 {
	out := make([]int64, len(c.Hours)/24)
	for i, n := range c.Hours {
		out[i/24] += n
	}
	return out
}

// Floors of the dispersion (squared coefficients of variation of a day's and
// an hour's common effect), below which no tenant is believed to be, and a
// ceiling, above which a few counts cannot tell.
const (
	minDayVar  = 0.0025
	minHourVar = 0.005
	maxVar     = 4.0
)

// shrink is how many steps' worth of the mean of all hours are added to the
// counts of one hour of the day.
const shrink = 2.0

// model is what is expected of a step: 48 classes of hours (24 of working
// days, 24 of weekends), 2 of days.
type model struct {
	hour              [48]float64
	day               [2]float64
	hourVar, dayVar   float64 // squared coefficients of variation of common effects
	hourSize, daySize float64 // size parameter of the negative binomial, hours and days
}

// classOf tells working days from weekends.
func classOf(from time.Time, day int) int {
	if w := (int(from.Weekday()) + day) % 7; w == 0 || w == 6 {
		return 1
	}
	return 0
}

// fit estimates the model from the days that are not left out.
func fit(from time.Time, hours, days []int64, out []bool) *model {
	m := &model{}
	var n, x [2]float64
	for d, v := range days {
		if !out[d] {
			k := classOf(from, d)
			n[k]++
			x[k] += float64(v)
		}
	}
	all := (x[0] + x[1] + 0.5) / (n[0] + n[1] + 0.5)
	for k := range m.day {
		// Few weekends say little: the mean of all days helps out.
		m.day[k] = (x[k] + 0.5*all) / (n[k] + 0.5)
	}
	var hx [48]float64
	for i, v := range hours {
		if d := i / 24; !out[d] {
			hx[24*classOf(from, d)+i%24] += float64(v)
		}
	}
	for k := range 2 {
		var smooth [24]float64
		for h := range 24 {
			smooth[h] = (hx[24*k+(h+23)%24] + 2*hx[24*k+h] + hx[24*k+(h+1)%24]) / 4
		}
		sum := 0.0
		for h := range 24 {
			m.hour[24*k+h] = (smooth[h] + shrink*m.day[k]/24) / (n[k] + shrink)
			sum += m.hour[24*k+h]
		}
		for h := range 24 {
			m.hour[24*k+h] *= m.day[k] / sum
		}
	}
	m.dispersion(from, hours, days, out)
	return m
}

// dispersion estimates by moments how much more than chance counts vary. Of
// small counts chance alone makes these estimates large; a standard deviation
// of what it makes (that of Poisson counts) is taken off.
func (m *model) dispersion(from time.Time, hours, days []int64, out []bool) {
	var ds, dm, hs, hm float64
	for d, v := range days {
		if out[d] {
			continue
		}
		k := classOf(from, d)
		e := float64(v) - m.day[k]
		ds += e*e - float64(v)
		dm += m.day[k] * m.day[k]
		for h := range 24 {
			mu := m.hour[24*k+h]
			e := float64(hours[24*d+h]) - mu
			hs += e*e - float64(hours[24*d+h])
			hm += mu * mu
		}
	}
	ds, hs = ds-math.Sqrt(2*dm), hs-math.Sqrt(2*hm)
	m.dayVar = min(max(ds/max(dm, 1e-12), minDayVar), maxVar)
	m.hourVar = min(max(hs/max(hm, 1e-12)-m.dayVar, minHourVar), maxVar)
	m.hourSize = 1 / (m.dayVar + m.hourVar)
	m.daySize = 1 / (m.dayVar + m.hourVar/12)
}

// scale multiplies what is expected.
func (m *model) scale(f float64) {
	for k := range m.hour {
		m.hour[k] *= f
	}
	for k := range m.day {
		m.day[k] *= f
	}
}

// hourRatios and dayRatios are the banks: by how much the rate may have risen.
func hourRatios() []float64 { return []float64{1.5, 2, 4, 8, 32} }
func dayRatios() []float64  { return []float64{1.25, 1.5, 2, 4, 16} }

// llr is the log-likelihood ratio of a count, as slope and offset: the counts'
// share is linear.
type llr struct{ slope, offset float64 }

func newLLR(mu, size, ratio float64) llr {
	l := math.Log((mu + size) / (ratio*mu + size))
	return llr{math.Log(ratio) + l, size * l}
}

// bank holds the ratios' tables of one model.
type bank struct {
	hour [][48]llr
	day  [][2]llr
}

func (m *model) bank() *bank {
	b := &bank{}
	for _, r := range hourRatios() {
		var t [48]llr
		for k := range t {
			t[k] = newLLR(m.hour[k], m.hourSize, r)
		}
		b.hour = append(b.hour, t)
	}
	for _, r := range dayRatios() {
		var t [2]llr
		for k := range t {
			t[k] = newLLR(m.day[k], m.daySize, r)
		}
		b.day = append(b.day, t)
	}
	return b
}

// excursion is a time in which a sum was above 0.
type excursion struct {
	ratio  int  // index into the bank
	byDay  bool // steps are days, else hours
	change int  // first step above 0
	alarm  int  // first step at which the limit was passed; -1: never
	peak   int  // step of the greatest sum
	sum    float64
}

// limits are those of the sums over hours and over days.
type limits struct{ hour, day float64 }

// run gives the greatest sums of hours and of days, and, when they are to be
// kept, the excursions that pass the limits.
func (b *bank) run(from time.Time, hours, days []int64, limit limits, keep bool) (top limits, out []excursion) {
	one := func(j int, byDay bool, n int, limit float64, top *float64, step func(i int) float64) {
		w, e := 0.0, excursion{alarm: -1}
		for i := range n {
			was := w
			w = max(0, w+step(i))
			if was == 0 && w > 0 {
				e = excursion{ratio: j, byDay: byDay, change: i, alarm: -1}
			}
			if w > e.sum {
				e.sum, e.peak = w, i
				if w > limit && e.alarm < 0 {
					e.alarm = i
				}
			}
			*top = max(*top, w)
			if keep && e.alarm >= 0 && (w == 0 && was > 0 || i == n-1 && w > 0) {
				out = append(out, e)
			}
		}
	}
	weekend := make([]int, len(days))
	for d := range weekend {
		weekend[d] = classOf(from, d)
	}
	for j := range b.hour {
		t := &b.hour[j]
		one(j, false, len(hours), limit.hour, &top.hour, func(i int) float64 {
			l := &t[24*weekend[i/24]+i%24]
			return float64(hours[i])*l.slope + l.offset
		})
	}
	for j := range b.day {
		t := &b.day[j]
		one(j, true, len(days), limit.day, &top.day, func(i int) float64 {
			l := &t[weekend[i]]
			return float64(days[i])*l.slope + l.offset
		})
	}
	return top, out
}

// passes bounds how often the fit is repeated without what stood out, and
// leaveOut is the sum from which a stretch is left out of it. It is low on
// purpose: the limit, which decides, comes from series treated the same way.
const (
	passes   = 4
	leaveOut = 8.0
	minDays  = 7 // days that a fit needs
)

// settle fits a model to what does not stand out.
func settle(from time.Time, hours, days []int64) (*model, []bool) {
	out := quietest(days)
	m := fit(from, hours, days, out)
	// The quietest of many weeks is quieter than the tenant: its upper bound is
	// what may be usual.
	var x float64
	for d, n := range days {
		if !out[d] {
			x += float64(n)
		}
	}
	m.scale((x + 1 + 2*math.Sqrt(x+1)) / (x + 0.5))
	for range passes {
		_, es := m.bank().run(from, hours, days, limits{leaveOut, leaveOut}, true)
		next := make([]bool, len(days))
		for _, e := range es {
			a, z := e.change, e.peak
			if !e.byDay {
				a, z = a/24, z/24
			}
			for d := a; d <= z; d++ {
				next[d] = true
			}
		}
		if left(next) < minDays || slices.Equal(next, out) {
			break
		}
		out = next
		m = fit(from, hours, days, out)
	}
	return m, out
}

func left(out []bool) (n int) {
	for _, o := range out {
		if !o {
			n++
		}
	}
	return n
}

// quietest leaves out all but the two quietest weeks (one, where the evidence
// is short). Whole weeks have the same share of weekends.
func quietest(days []int64) []bool {
	out := make([]bool, len(days))
	length := 14
	if len(days) < 28 {
		length = 7
	}
	if len(days) <= length {
		return out
	}
	sum := int64(0)
	for _, v := range days[:length] {
		sum += v
	}
	best, at := sum, 0
	for i := length; i < len(days); i++ {
		sum += days[i] - days[i-length]
		if sum < best {
			best, at = sum, i-length+1
		}
	}
	for d := range out {
		out[d] = d < at || d >= at+length
	}
	return out
}
