package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

// readSeries are counts over time as detectors of a simulated tenant wrote them.
func readSeries(t testing.TB) []casefile.Series {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "series.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []casefile.Series
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// The sums that detectors write follow from their counts and expected means by
// the formula that the page states: with a negative binomial of size k, the
// ratio of its likelihoods is gamma functions that cancel, and what is left.
func TestSumsFollowFromCounts(t *testing.T) {
	likelihood := func(n int64, mu, k float64) float64 { // without terms of n and k alone
		return float64(n)*math.Log(mu/(mu+k)) + k*math.Log(k/(mu+k))
	}
	steps := 0
	for _, s := range readSeries(t) {
		for i := 1; i < len(s.Counts); i++ {
			mu := max(s.Expected[i], 1e-9) // 0 is what rounding leaves of less
			llr := likelihood(s.Counts[i], s.Ratio*mu, s.Dispersion) - likelihood(s.Counts[i], mu, s.Dispersion)
			if got := termOf(s.Counts[i], mu, s.Dispersion, s.Ratio); math.Abs(got-llr) > 1e-6 {
				t.Fatalf("step %d: %g, and the likelihoods give %g", i, got, llr)
			}
			if want := max(0, s.Sum[i-1]+llr); math.Abs(want-s.Sum[i]) > 0.001+s.Ratio*rounded {
				t.Errorf("%s, step %d: sum %g, by the formula %g", s.Name, i, s.Sum[i], want)
			}
			steps++
		}
		p, ok := newPlot(s, 1000)
		if !ok || p.Off != 0 || p.Checked != len(s.Counts)-1 {
			t.Errorf("%s: %d of %d sums are off", s.Name, p.Off, p.Checked)
		}
	}
	if steps < 100 {
		t.Errorf("only %d steps", steps)
	}
}

// A sum that somebody changed is told.
func TestWrongSumIsTold(t *testing.T) {
	s := readSeries(t)[0]
	s.Sum[60] += 0.5
	c := &casefile.Case{Findings: []casefile.Finding{{ID: "f", Series: []casefile.Series{s}}}}
	var b bytes.Buffer
	if err := view(t, c, Options{}).Arithmetic(&b, "f"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "2 sums do not follow from the numbers beside them") || strings.Count(b.String(), ">formula: ") != 2 {
		t.Error("the page does not say which sums are off")
	}
}

func TestArithmetic(t *testing.T) {
	c := &casefile.Case{Findings: []casefile.Finding{{ID: "f", Title: "t", Series: readSeries(t)}}}
	v := view(t, c, Options{})
	var b, whole bytes.Buffer
	if err := v.Arithmetic(&b, "f"); err != nil {
		t.Fatal(err)
	}
	if err := v.Finding(&whole, "f"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(whole.String(), b.String()) {
		t.Error("the finding does not hold its arithmetic")
	}
	if err := wellFormed(b.String()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"change point 20 Nov 05:00", "alarm 20 Nov 07:00", "r = 32", "k = 133.33", "0.5 times a year", "each of the 121 sums follows"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	golden(t, filepath.Join("testdata", "plot.html"), b.Bytes())
}

// What is no series is not drawn, and draws nothing that is no number.
func TestOddSeries(t *testing.T) {
	at := casefile.TimeOf(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	for name, s := range map[string]casefile.Series{
		"empty":     {},
		"no time":   {Counts: []int64{1}, Expected: []float64{1}, Sum: []float64{1}},
		"negative":  {From: at, Counts: []int64{-1}, Expected: []float64{1}, Sum: []float64{1}},
		"nan":       {From: at, Counts: []int64{1}, Expected: []float64{math.NaN()}, Sum: []float64{1}},
		"infinite":  {From: at, Counts: []int64{1}, Expected: []float64{1}, Sum: []float64{math.Inf(1)}},
		"odd limit": {From: at, Counts: []int64{1}, Expected: []float64{1}, Sum: []float64{1}, Limit: math.NaN()},
	} {
		if _, ok := newPlot(s, 10); ok {
			t.Errorf("%s: drawn", name)
		}
	}
	s := casefile.Series{From: at, Step: "<b>", Counts: []int64{1, 2, 3}, Expected: []float64{0, 0}, Sum: []float64{0, 0, 0}}
	p, ok := newPlot(s, 1)
	if !ok || len(p.Counts) != 2 || p.Cut != 1 {
		t.Errorf("short lists: %v, %d steps, %d cut", ok, len(p.Counts), p.Cut)
	}
	for _, d := range p.Pictures {
		if all := d.Bars + d.Sum + d.Expected + d.Sought; strings.Contains(all, "NaN") || strings.Contains(all, "Inf") {
			t.Errorf("the picture holds %s", all)
		}
	}
}
