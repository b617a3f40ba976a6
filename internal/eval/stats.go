package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// interval is an estimate with its 95 % confidence interval.
type interval struct{ at, lo, hi float64 }

// wilson is the score interval of a proportion (Wilson, 1927). Unlike the
// usual one it is right for few runs and for none or all of them.
func wilson(k, n int) interval {
	if n == 0 {
		return interval{math.NaN(), math.NaN(), math.NaN()}
	}
	const z = 1.959964
	p, m := float64(k)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return interval{p, max(0, mid-half), min(1, mid+half)}
}

// bootstrap is the percentile interval of a statistic over runs. The stream of
// random numbers is fixed, so that the same runs give the same table.
func bootstrap(xs []float64, stat func([]float64) float64) interval {
	if len(xs) == 0 {
		return interval{math.NaN(), math.NaN(), math.NaN()}
	}
	if len(xs) == 1 { // one run says nothing of how runs vary
		return interval{stat(xs), math.NaN(), math.NaN()}
	}
	r := rand.New(rand.NewPCG(1, uint64(len(xs))))
	const times = 2000
	stats := make([]float64, times)
	sample := make([]float64, len(xs))
	for i := range stats {
		for j := range sample {
			sample[j] = xs[r.IntN(len(xs))]
		}
		stats[i] = stat(sample)
	}
	slices.Sort(stats)
	return interval{stat(xs), stats[times*25/1000], stats[times*975/1000]}
}

func median(xs []float64) float64 { return quantile(xs, 0.5) }

// quantile interpolates; xs is left as it is.
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(xs))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 == len(s) {
		return s[i]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

func mean(xs []float64) float64 {
	var sum float64
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// perUnit is the rate of events over exposure, an event counted once a run.
// None at all is given the bound 3/exposure (the rule of three).
func perUnit(events []float64, exposure []float64) interval {
	var n, e float64
	rates := make([]float64, len(events))
	for i := range events {
		n, e = n+events[i], e+exposure[i]
		rates[i] = events[i] / exposure[i]
	}
	if n == 0 && e > 0 {
		return interval{0, 0, 3 / e}
	}
	return bootstrap(rates, mean)
}

// percent writes a proportion and its interval.
func (i interval) percent() string {
	if math.IsNaN(i.at) {
		return "–"
	}
	return fmt.Sprintf("%.0f %% (%.0f–%.0f)", 100*i.at, 100*i.lo, 100*i.hi)
}

// number writes a value and its interval, where more than one run gave it.
func (i interval) number(digits int) string {
	if math.IsNaN(i.at) {
		return "–"
	}
	w := func(x float64) string {
		s := strconv.FormatFloat(x, 'f', digits, 64)
		if strings.Trim(s, "-0.") == "" { // no minus before nothing
			s = strings.TrimPrefix(s, "-")
		}
		return s
	}
	if math.IsNaN(i.lo) {
		return w(i.at)
	}
	return w(i.at) + " (" + w(i.lo) + " to " + w(i.hi) + ")"
}

// poissonBounds is the 95 % interval of a Poisson mean of which n was seen: the
// exact one (Garwood 1936), found by bisection.
func poissonBounds(n int) (lo, hi float64) {
	below := func(n int, mean float64) float64 { // P(X <= n)
		sum, term := 0.0, math.Exp(-mean)
		for i := 0; i <= n; i++ {
			sum += term
			term *= mean / float64(i+1)
		}
		return sum
	}
	solve := func(up func(mean float64) bool) float64 {
		a, z := 0.0, float64(n)*3+20
		for range 60 {
			if m := (a + z) / 2; up(m) {
				a = m
			} else {
				z = m
			}
		}
		return a
	}
	if n > 0 {
		lo = solve(func(m float64) bool { return 1-below(n-1, m) < 0.025 })
	}
	return lo, solve(func(m float64) bool { return below(n, m) > 0.025 })
}
