package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

func TestColumnRuns(t *testing.T) {
	for _, x := range []struct {
		cells      string
		unit, skew int
		want       string
	}{
		{"ssqqa", 1, 0, "s0-2 q2-4 a4-5"},
		{"ssqqas", 2, 0, "s0-2 q2-4 a4-6"}, // one absent hour marks its column
		{"qsqqqq", 3, 0, "s0-3 q3-6"},
		{"qqsqq", 3, 2, "q0-1 s1-4 q4-5"}, // the first column is short, so that columns begin at the same hours
		{"rrrs", 2, 0, "r0-2 s2-4"},
		{"pps", 3, 0, "p0-3"},
		{"s<script>s", 1, 0, "s0-1 s2-3 r4-5 p6-7 s9-10"}, // letters that mean nothing are left blank
		{"", 4, 0, ""},
	} {
		var got []string
		for _, r := range columnRuns(x.cells, len(x.cells), x.unit, x.skew) {
			got = append(got, fmt.Sprintf("%c%d-%d", r.State, r.From, r.To))
		}
		if s := strings.Join(got, " "); s != x.want {
			t.Errorf("%q by %d from %d: %s, want %s", x.cells, x.unit, x.skew, s, x.want)
		}
	}
}

// Whatever the length, few columns are drawn and no hour that lacks records is
// drawn as one that has them.
func TestColumnsHideNoGap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, hours := range []int{1, 23, 239, 240, 960, 1440, 5000, 20000, 90000} {
		unit := columnHours(hours)
		if n := (hours + unit - 1) / unit; n > heatColumns {
			t.Errorf("%d hours make %d columns", hours, n)
		}
		b := make([]byte, hours)
		for i := range b {
			b[i] = "ssssqqqqqaprn"[rng.IntN(13)]
		}
		runs := columnRuns(string(b), hours, unit, 5%unit)
		if len(runs) > heatColumns+1 {
			t.Errorf("%d hours make %d runs", hours, len(runs))
		}
		at := 0
		for _, r := range runs {
			if r.From != at {
				t.Fatalf("%d hours: a run begins at %d, want %d", hours, r.From, at)
			}
			if at = r.To; r.State != 'a' && strings.ContainsRune(string(b[r.From:r.To]), 'a') {
				t.Fatalf("%d hours: an absent hour in a run of %c", hours, r.State)
			}
		}
		if at != hours {
			t.Errorf("%d hours: runs end at %d", hours, at)
		}
	}
}

// matrixCase has as many changes of state as its rows can hold.
func matrixCase(hours, rows int, cell func(row, hour int) byte) *casefile.Case {
	c := largeCase(1, 1)
	m := casefile.Matrix{From: casefile.TimeOf(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)), Hours: hours}
	for i := range rows {
		b := make([]byte, hours)
		for h := range b {
			b[h] = cell(i, h)
		}
		m.Rows = append(m.Rows, casefile.MatrixRow{Tenant: "t", Source: "ual", Class: fmt.Sprint("class ", i), Records: 7, Cells: string(b)})
	}
	c.Coverage.Matrix = m
	return c
}

func TestHeatMapIsSmall(t *testing.T) {
	base := len(htmlOf(t, largeCase(1, 1), Options{}))
	size := func(cell func(row, hour int) byte) int {
		return len(htmlOf(t, matrixCase(60*24, 40, cell), Options{})) - base
	}
	day := size(func(_, h int) byte { return "qqqqqqqsssssssssssqqqqqq"[h%24] })
	worst := size(func(r, h int) byte { return "sa"[(h/6+r)%2] })
	t.Logf("60 days, 40 rows: %d bytes as days go, %d at worst", day, worst)
	if day > 60<<10 || worst > 300_000 {
		t.Errorf("the heat map has %d bytes as days go, %d at worst", day, worst)
	}
}

// The table of cells adds up to the matrix, hour by hour.
func TestCoverageTableHasEveryHour(t *testing.T) {
	c := readCase(t, "case")
	rows, err := csv.NewReader(bytes.NewReader(render(t, CSV{}, "coverage.csv", c, Options{}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	hours := map[string]int{}
	for _, r := range rows[1:] {
		var n int
		if _, err := fmt.Sscan(r[7], &n); err != nil {
			t.Fatal(err)
		}
		hours[r[4]] += n
	}
	want := map[string]int{"never": c.Coverage.Matrix.Hours}
	for _, r := range c.Coverage.Matrix.Rows {
		for i := range len(r.Cells) {
			want[stateWord(r.Cells[i])]++
		}
	}
	for k, n := range want {
		if hours[k] != n {
			t.Errorf("%d hours %s, want %d", hours[k], k, n)
		}
	}
}

func TestStrokes(t *testing.T) {
	if got := strokes([]cellRun{{'s', 2, 5}, {'s', 7, 8}}); got != "M2 5h3m2 0h1" {
		t.Error(got)
	}
	if got := pct(12.3456); got != "12.35%" {
		t.Error(got)
	}
}
