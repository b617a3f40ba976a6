package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"midwatch/casefile"
)

// interestGroup is what was found of one kind.
type interestGroup struct {
	Kind, Title string
	Text        bool // only words: there is nothing that it could be compared with
	Items       []interestView
	Cut         int
}

type interestView struct {
	casefile.Interest
	Mark whisker
}

// mostInterests is how many of a kind are shown: what is least likely by
// chance comes first, the rest is in interests.csv.
const mostInterests = 12

func interests(is []casefile.Interest) []interestGroup {
	titles := []struct{ kind, title string }{
		{"department", "Departments of the mailboxes"}, {"seniority", "Seniority of the owners"}, {"role", "Roles of the owners"},
		{"subject", "Words in subjects"}, {"folder", "Folders"}, {"search", "What was searched for"}, {"time", "The hours it kept"},
	}
	known := func(kind string) bool {
		return slices.ContainsFunc(titles, func(t struct{ kind, title string }) bool { return t.kind == kind })
	}
	for _, i := range is {
		if !known(i.Kind) {
			titles = append(titles, struct{ kind, title string }{i.Kind, words(i.Kind)})
		}
	}
	far := 10.0
	for _, i := range is {
		if i.BaseOf > 0 && i.Ratio > 0 {
			far = max(far, i.Ratio, 1/i.Ratio)
		}
	}
	var out []interestGroup
	for _, t := range titles {
		g := interestGroup{Kind: t.kind, Title: t.title, Text: true}
		for _, i := range is {
			if i.Kind != t.kind {
				continue
			}
			g.Text = g.Text && i.BaseOf == 0
			g.Items = append(g.Items, interestView{i, ratioMark(i, far*2)})
		}
		if g.Items, g.Cut = cut(g.Items, mostInterests); len(g.Items) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// ratioMark draws an odds ratio with its interval on a logarithmic axis from
// 1/far to far, so that its middle is "as often as elsewhere".
func ratioMark(i casefile.Interest, far float64) whisker {
	at := func(f float64) float64 {
		if !(f > 0) {
			return 2
		}
		return round(min(max(50+48*math.Log(f)/math.Log(far), 2), 98))
	}
	m := whisker{X: at(i.Ratio), From: at(i.Low), Middle: true, Open: i.High > far, OpenLow: i.Low > 0 && i.Low < 1/far}
	m.W = round(max(at(i.High)-m.From, 0))
	m.Title = ratioWords(i)
	return m
}

// ratioWords writes an odds ratio with its interval.
func ratioWords(i casefile.Interest) string {
	if i.BaseOf == 0 || i.Ratio <= 0 {
		return "not compared"
	}
	return fmt.Sprintf("%s (%s to %s)", figures(i.Ratio), figures(i.Low), figures(i.High))
}

// figures writes a number with two significant digits, in full.
func figures(f float64) string {
	if f <= 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
	if f >= 100 {
		step := math.Pow(10, math.Floor(math.Log10(f))-1)
		if f = math.Round(f/step) * step; f < 1e15 {
			return number(int64(f))
		}
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
	s := strconv.FormatFloat(f, 'f', max(0, 1-int(math.Floor(math.Log10(f)))), 64)
	return s
}

// chance writes a probability.
func chance(f float64) string {
	switch {
	case f < 0.0001:
		return "<0.0001"
	case f < 0.001:
		return strconv.FormatFloat(f, 'f', 4, 64)
	}
	return strconv.FormatFloat(f, 'f', 3, 64)
}
