package report

import (
	"fmt"

	"midwatch/casefile"
)

// dwellWords writes a duration with its bounds. Days are rounded to tenths by
// whoever counted them.
func dwellWords(d casefile.Dwell) string {
	switch {
	case d.High == nil && d.Low <= 0:
		return "no upper bound, " + days(d.Days) + " as recorded"
	case d.High == nil && d.Low != d.Days:
		return "at least " + days(d.Low) + " (" + days(d.Days) + " as recorded)"
	case d.High == nil:
		return "at least " + days(d.Low)
	case d.Low == d.Days && *d.High == d.Days:
		return days(d.Days)
	}
	return fmt.Sprintf("%s (%s to %s)", days(d.Days), decimal(d.Low), decimal(*d.High))
}

func days(f float64) string {
	switch {
	case f <= 0:
		return "under 0.1 days"
	case f == 1:
		return "1 day"
	}
	return decimal(f) + " days"
}

// SeenAfter says how long it took until the logs could have shown the
// campaign, with bounds where the case has them.
func (v campaignView) SeenAfter() string {
	for _, d := range v.Dwell {
		if d.To == casefile.MilestoneCouldBeSeen {
			return words(d.From) + " until then: " + dwellWords(d)
		}
	}
	return decimal(v.DwellDays) + " days after the first sign"
}

// between says what bounds a milestone, or nothing when it is known as recorded.
func between(m casefile.Milestone) string { return bounds(m.NotBefore, m.NotAfter, m.Time) }

func bounds(notBefore, notAfter, at casefile.Time) string {
	switch {
	case notBefore.IsZero() && notAfter.IsZero():
		if at.IsZero() {
			return ""
		}
		return "or earlier: nothing bounds it"
	case notBefore.IsZero() && notAfter.Equal(at.Time):
		return "or earlier: it may lie before the evidence"
	case notBefore.IsZero():
		return "not after " + moments(notAfter) + "; it may lie before the evidence"
	case notAfter.IsZero():
		return "not before " + moments(notBefore)
	case notBefore.Equal(at.Time) && notAfter.Equal(at.Time):
		return ""
	}
	return "between " + moments(notBefore) + " and " + moments(notAfter)
}

// moments writes a bound: seconds of an estimate would pretend to precision.
func moments(t casefile.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// StartBounds says where the true beginning of a campaign lies.
func (v campaignView) StartBounds() string {
	if v.StartNotBefore.IsZero() && v.StartNotAfter.IsZero() {
		return ""
	}
	return bounds(v.StartNotBefore, v.StartNotAfter, v.Start)
}

// StartSentence says the same as a sentence.
func (v campaignView) StartSentence() string {
	b := v.StartBounds()
	switch {
	case b == "":
		return ""
	case v.StartNotBefore.IsZero():
		return "It may have begun before the evidence does."
	}
	return "The true beginning lies " + b + "."
}

// whisker is a value with its interval on an axis that its neighbours share;
// X, From and To are in hundredths of the axis.
type whisker struct {
	X, From, W    float64
	Open, OpenLow bool // nothing bounds it above, below
	Middle        bool // the axis has a mark in its middle
	Title         string
}

type dwellView struct {
	casefile.Dwell
	Words string
	Mark  whisker
}

// dwells lays the durations of a campaign out on one axis, which begins at 0.
func dwells(ds []casefile.Dwell) []dwellView {
	most := 0.1
	for _, d := range ds {
		most = max(most, d.Days, d.Low)
		if d.High != nil {
			most = max(most, *d.High)
		}
	}
	at := func(f float64) float64 { return round(2 + 90*min(max(f, 0), most)/most) }
	var out []dwellView
	for _, d := range ds {
		m := whisker{X: at(d.Days), From: at(d.Low), Title: d.Name + ": " + dwellWords(d), Open: d.High == nil}
		if m.Open {
			m.W = round(98 - m.From)
		} else {
			m.W = round(max(at(*d.High)-m.From, 0))
		}
		out = append(out, dwellView{d, dwellWords(d), m})
	}
	return out
}
