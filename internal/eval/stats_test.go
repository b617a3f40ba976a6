package main

import (
	"math"
	"testing"
)

func TestWilson(t *testing.T) {
	// Brown, Cai, DasGupta (2001) and any statistics package.
	for _, c := range []struct {
		k, n       int
		at, lo, hi float64
	}{{0, 10, 0, 0, 0.2775}, {10, 10, 1, 0.7225, 1}, {5, 10, 0.5, 0.2366, 0.7634}, {1, 20, 0.05, 0.0089, 0.2361}} {
		got := wilson(c.k, c.n)
		if math.Abs(got.at-c.at) > 1e-9 || math.Abs(got.lo-c.lo) > 5e-4 || math.Abs(got.hi-c.hi) > 5e-4 {
			t.Errorf("%d of %d: %+v", c.k, c.n, got)
		}
	}
	if wilson(0, 0).percent() != "–" {
		t.Error("no runs have a proportion")
	}
}

func TestBootstrap(t *testing.T) {
	xs := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	a, b := bootstrap(xs, mean), bootstrap(xs, mean)
	if a != b {
		t.Errorf("not the same twice: %v %v", a, b)
	}
	// The standard error is 0.91.
	if a.at != 5.5 || a.lo < 3.2 || a.lo > 4.2 || a.hi < 6.8 || a.hi > 7.8 {
		t.Errorf("%+v", a)
	}
	if q := quantile(xs, 0.9); math.Abs(q-9.1) > 1e-9 {
		t.Errorf("P90 %v", q)
	}
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median %v", m)
	}
}

func TestNoneIsNotNever(t *testing.T) {
	if r := perUnit([]float64{0, 0}, []float64{10, 20}); r.at != 0 || math.Abs(r.hi-0.1) > 1e-9 {
		t.Errorf("%+v", r)
	}
}

// The exact bounds of a Poisson mean, from published tables (Garwood 1936).
func TestPoissonBounds(t *testing.T) {
	for _, c := range []struct {
		n      int
		lo, hi float64
	}{{0, 0, 3.689}, {1, 0.025, 5.572}, {5, 1.623, 11.668}, {10, 4.795, 18.390}} {
		lo, hi := poissonBounds(c.n)
		if math.Abs(lo-c.lo) > 0.002 || math.Abs(hi-c.hi) > 0.002 {
			t.Errorf("%d: %.3f to %.3f, want %.3f to %.3f", c.n, lo, hi, c.lo, c.hi)
		}
	}
}
