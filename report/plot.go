package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"midwatch/casefile"
)

// plot is the arithmetic of an alarm, drawn and told: counts against what was
// expected of them above, the cumulative sum against its limit below, on one
// axis of time; and every step's numbers, so that a sceptic can add them up.
//
// The sums are the case's. They are held against what the formula makes of the
// case's counts and expectations, and the reader is told where they differ.
type plot struct {
	casefile.Series
	Pictures []plotPicture
	Steps    []plotStep
	Cut      int
	Begins   bool // the sum begins in the steps that are shown
	Off      int  // steps whose sum does not follow from the numbers beside it
	Checked  int
	Highest  int64
}

type plotStep struct {
	Begin      casefile.Time
	Count      int64
	Expected   string
	Term, Sum  string
	Mark       string // change point, alarm
	Off        bool   // the sum is not what the formula gives
	Consequent string // what it gives
}

// plotPicture is both panels for one width.
type plotPicture struct {
	Narrow                 bool
	W, H                   float64
	Left, Right            float64
	Top, Base, Top2, Base2 float64
	Bars                   string // path
	BarWidth               float64
	Expected, Sought       string // paths
	Sum, Under             string
	LimitY                 float64
	LimitWord              string
	Most, MostSum          string // what the upper edges stand for
	Ticks                  []tick
	Flags                  []plotFlag
	Alt                    string
}

type plotFlag struct {
	X, Y   float64
	LabelX float64
	Anchor string
	Class  string
	Label  string
}

// termOf is the log-likelihood ratio of a count: ratio times the expected rate
// against the expected one, both negative binomial with one size.
func termOf(count int64, mu, size, ratio float64) float64 {
	l := math.Log((mu + size) / (ratio*mu + size))
	return float64(count)*(math.Log(ratio)+l) + size*l
}

// stepOf is the length of a series' steps.
func stepOf(s casefile.Series) time.Duration {
	if s.Step == "hour" {
		return time.Hour
	}
	return 24 * time.Hour
}

// Plots are the plots of a finding.
func (p *page) Plots(f casefile.Finding) []plot {
	var out []plot
	for _, s := range f.Series {
		if x, ok := newPlot(s, p.Rows); ok {
			out = append(out, x)
		}
	}
	return out
}

// half of what the case rounds expectations and sums to.
const rounded = 0.0005

func newPlot(s casefile.Series, rows int) (plot, bool) {
	n := min(len(s.Counts), len(s.Expected), len(s.Sum))
	usable := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) && f >= 0 && f < 1e12 }
	if n == 0 || s.From.IsZero() || !usable(s.Limit) || slices.ContainsFunc(s.Counts[:n], func(v int64) bool { return v < 0 }) ||
		slices.ContainsFunc(append(slices.Clone(s.Expected[:n]), s.Sum[:n]...), func(f float64) bool { return !usable(f) }) {
		return plot{}, false
	}
	p := plot{Series: s, Highest: slices.Max(s.Counts[:n])}
	p.Counts, p.Expected, p.Sum = s.Counts[:n], s.Expected[:n], s.Sum[:n]
	p.tabulate(rows)
	p.Pictures = []plotPicture{p.draw(false), p.draw(true)}
	return p, true
}

func (p *plot) tabulate(rows int) {
	step := stepOf(p.Series)
	calculable := p.Ratio > 0 && p.Dispersion > 0
	p.Begins = p.Sum[0] == 0 || calculable && math.Abs(p.Sum[0]-termOf(p.Counts[0], p.Expected[0], p.Dispersion, p.Ratio)) < 0.1
	for i := range p.Counts {
		begin := p.From.Add(time.Duration(i) * step)
		x := plotStep{Begin: casefile.TimeOf(begin), Count: p.Counts[i], Expected: thousandths(p.Expected[i]), Sum: strconv.FormatFloat(p.Sum[i], 'f', 3, 64)}
		if p.Expected[i] == 0 {
			x.Expected = "under 0.0005"
		}
		if calculable {
			mu := p.Expected[i]
			term := termOf(p.Counts[i], mu, p.Dispersion, p.Ratio)
			x.Term = strconv.FormatFloat(term, 'f', 3, 64)
			if term > 0 {
				x.Term = "+" + x.Term
			}
			x.Term = strings.Replace(x.Term, "-", "−", 1)
			if i > 0 {
				p.Checked++
				got := max(0, p.Sum[i-1]+term)
				slack := 2*rounded + max(
					math.Abs(termOf(p.Counts[i], mu+rounded, p.Dispersion, p.Ratio)-term),
					math.Abs(termOf(p.Counts[i], max(0, mu-rounded), p.Dispersion, p.Ratio)-term))
				if slack += 1e-6 * (1 + got); math.Abs(got-p.Sum[i]) > slack {
					p.Off++
					x.Off, x.Consequent = true, strconv.FormatFloat(got, 'f', 3, 64)
				}
			}
		}
		if p.Change.Equal(begin) && !p.Change.IsZero() {
			x.Mark = "change point"
		}
		if p.Alarm.Equal(begin.Add(step)) {
			if x.Mark != "" {
				x.Mark += ", "
			}
			x.Mark += "alarm"
		}
		p.Steps = append(p.Steps, x)
	}
	p.Steps, p.Cut = cut(p.Steps, rows)
}

// thousandths writes a number as exactly as the case has it.
func thousandths(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (p *plot) draw(narrow bool) plotPicture {
	d := plotPicture{W: 760, Left: 46, Right: 748, Narrow: narrow}
	if narrow {
		d.W, d.Left, d.Right = 360, 44, 354
	}
	d.Top, d.Base, d.Top2, d.Base2 = 50, 150, 186, 286
	d.H = 308
	n := len(p.Counts)
	x := func(i float64) float64 { return round(d.Left + (d.Right-d.Left)*i/float64(n)) }
	most := max(float64(p.Highest), slices.Max(p.Expected), 1)
	y := func(f float64) float64 { return round(d.Base - (d.Base-d.Top)*f/most) }
	mostSum := max(slices.Max(p.Sum), p.Limit, 0.001) * 1.04
	z := func(f float64) float64 { return round(d.Base2 - (d.Base2-d.Top2)*f/mostSum) }

	var bars, expected, sought, sum strings.Builder
	open := false
	for i, c := range p.Counts {
		if c > 0 {
			fmt.Fprintf(&bars, "M%g %gV%g", x(float64(i)+0.5), d.Base, y(float64(c)))
		}
		// Lines of steps.
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		if i == 0 || p.Expected[i] != p.Expected[i-1] {
			fmt.Fprintf(&expected, "%s%g %g", verb, x(float64(i)), y(p.Expected[i]))
		}
		fmt.Fprintf(&expected, "H%g", x(float64(i+1)))
		if v := p.Expected[i] * p.Ratio; v > 0 && v <= most {
			if !open {
				fmt.Fprintf(&sought, "M%g %g", x(float64(i)), y(v))
			} else {
				fmt.Fprintf(&sought, "L%g %g", x(float64(i)), y(v))
			}
			fmt.Fprintf(&sought, "H%g", x(float64(i+1)))
			open = true
		} else {
			open = false
		}
		if i == 0 {
			before := 0.0
			if !p.Begins {
				before = p.Sum[0]
			}
			fmt.Fprintf(&sum, "M%g %g", x(0), z(before))
		}
		fmt.Fprintf(&sum, "L%g %g", x(float64(i+1)), z(p.Sum[i]))
	}
	d.Bars, d.Expected, d.Sought, d.Sum = bars.String(), expected.String(), sought.String(), sum.String()
	d.Under = d.Sum + fmt.Sprintf("V%gH%gZ", d.Base2, d.Left)
	d.BarWidth = round(min(max((d.Right-d.Left)/float64(n)*0.72, 1), 14))
	d.LimitY, d.LimitWord = z(p.Limit), decimal(p.Limit)
	d.Most, d.MostSum = decimal(math.Ceil(most)), decimal(math.Round(mostSum/1.04*10)/10)

	step := stepOf(p.Series)
	end := p.From.Add(time.Duration(n) * step)
	ax := axis{from: p.From.Time, to: end, left: d.Left, right: d.Right}
	d.Ticks = ticks(ax, narrow)
	for _, f := range []struct {
		t     casefile.Time
		label string
		class string
		y     float64
	}{{p.Change, "change point", "turn", 14}, {p.Alarm, "alarm", "alarm", 30}} {
		if f.t.IsZero() || f.t.Before(ax.from) || f.t.After(ax.to) {
			continue
		}
		if narrow && f.label == "change point" {
			f.label = "change"
		}
		g := plotFlag{X: ax.x(f.t.Time), Y: f.y, Label: f.label + " " + f.t.UTC().Format("2 Jan 15:04"), Class: f.class, Anchor: "start"}
		if g.LabelX = g.X + 5; g.LabelX+7.4*float64(len(g.Label)) > d.Right {
			g.Anchor, g.LabelX = "end", g.X-5
		}
		d.Flags = append(d.Flags, g)
	}
	d.Alt = fmt.Sprintf("%s, by the %s from %s to %s UTC: the highest count is %s. The cumulative sum reaches %s, its limit is %s.",
		p.Name, p.Step, moments(p.From), moments(casefile.TimeOf(end)), number(p.Highest), decimal(slices.Max(p.Sum)), decimal(p.Limit))
	return d
}

// Mid places labels and ticks of the pictures.
func (d plotPicture) Mid() float64 { return (d.Left + d.Right) / 2 }

// TickY is the baseline of the ticks' labels.
func (d plotPicture) TickY() float64 { return d.Base2 + 17 }

// LimitText is the baseline of the limit's label.
func (d plotPicture) LimitText() float64 { return d.LimitY - 5 }

// EdgeY is the baseline of the label of an upper edge.
func (d plotPicture) EdgeY() float64 { return d.Top + 4 }

// EdgeY2 is the same of the lower panel.
func (d plotPicture) EdgeY2() float64 { return d.Top2 + 4 }

// NameY2 is the baseline of the lower panel's name.
func (d plotPicture) NameY2() float64 { return d.Top2 - 9 }

// Labels is where labels of the axis end.
func (d plotPicture) Labels() float64 { return d.Left - 6 }

// FlagTop is where the line of a flag begins.
func (f plotFlag) FlagTop() float64 { return f.Y - 10 }

// Arithmetic writes the plots of a finding's counts over time; of one that has
// none, nothing.
func (v *View) Arithmetic(w io.Writer, finding string) error {
	f, ok := v.page.findings[finding]
	if !ok {
		return fmt.Errorf("finding %q: %w", finding, ErrNoPart)
	}
	return v.execute(w, "arithmetic", pair{v.page, f})
}
