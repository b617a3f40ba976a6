package investigate

import (
	"math"
	"slices"

	"midwatch/casefile"
)

// overRepresented compares a part of a whole with the rest of it: in of of
// things have a trait, baseIn of baseOf in the whole (the part included). p is
// the probability of as many or more by chance, when the part is drawn without
// replacement (hypergeometric, one-sided: Fisher 1934). The odds ratio is of
// the part against the rest, with 1/2 added to each count (Haldane 1956), its
// interval that of Woolf (1955).
func overRepresented(in, of, baseIn, baseOf int64) (ratio, low, high, p float64) {
	a, b := float64(in)+0.5, float64(of-in)+0.5
	c, d := float64(max(baseIn-in, 0))+0.5, float64(max(baseOf-of-(baseIn-in), 0))+0.5
	log := math.Log(a * d / (b * c))
	se := math.Sqrt(1/a + 1/b + 1/c + 1/d)
	return math.Exp(log), math.Exp(log - 1.96*se), math.Exp(log + 1.96*se), hypergeometricTail(in, of, baseIn, baseOf)
}

// hypergeometricTail is P(X >= k) for n draws from N with K marked.
func hypergeometricTail(k, n, marked, all int64) float64 {
	if k <= 0 {
		return 1
	}
	most := min(n, marked)
	if k > most {
		return 0
	}
	choose := func(n, k int64) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	var p float64
	for i := k; i <= most; i++ {
		if n-i > all-marked {
			continue
		}
		p += math.Exp(choose(marked, i) + choose(all-marked, n-i) - choose(all, n))
	}
	return min(p, 1)
}

// adjust fills in Q: p over all that was looked at (Benjamini and Hochberg
// 1995), so that the one department in twenty that stands out by chance does
// not.
func adjust(xs []casefile.Interest) {
	order := make([]int, len(xs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case xs[a].P > xs[b].P:
			return -1
		case xs[a].P < xs[b].P:
			return 1
		}
		return 0
	})
	q := 1.0
	for i, x := range order {
		rank := float64(len(xs) - i)
		q = min(q, xs[x].P*float64(len(xs))/rank)
		xs[x].Q = q
	}
}

// circle is the mean direction of hours of a day, 0..24, its length 0..1, and
// the probability of as much concentration when all hours are alike (Rayleigh's
// test, approximation of Zar 1999).
func circle(hours []float64) (mean, length, p float64) {
	n := float64(len(hours))
	if n == 0 {
		return 0, 0, 1
	}
	var x, y float64
	for _, h := range hours {
		x += math.Cos(2 * math.Pi * h / 24)
		y += math.Sin(2 * math.Pi * h / 24)
	}
	r := math.Hypot(x, y)
	length = r / n
	mean = math.Mod(math.Atan2(y, x)*24/(2*math.Pi)+24, 24)
	p = math.Exp(math.Sqrt(1+4*n+4*(n*n-r*r)) - (1 + 2*n))
	return mean, length, min(p, 1)
}
