package report

import (
	"fmt"
	"slices"

	"midwatch/casefile"
)

// milestone is a flag of the picture: a moment that the case turns on.
type milestone struct {
	X, LabelX float64
	From, W   float64 // of the time in which it truly was; W 0: as drawn
	Open      bool    // nothing bounds it to the left
	Title     string
	Y         float64
	Label     string
	Anchor    string // start, middle or end
}

// milestones draws the moments that the whole case turns on, in as many rows
// as their labels need, and returns where the lanes may begin.
func (p *picture) milestones(c casefile.Campaign, ax axis) float64 {
	return p.flags(sortedMilestones(c), ax)
}

func (p *picture) flags(moments []moment, ax axis) float64 {
	var ends []float64 // of the labels, by row
	add := func(ms moment) {
		t, label := ms.at, ms.label
		if t.IsZero() || slices.ContainsFunc(p.Flags, func(f milestone) bool { return f.X == ax.x(t.Time) }) {
			return
		}
		f := milestone{X: ax.x(t.Time), Label: label, Anchor: "middle", Title: label + ": " + stamp(t) + " UTC"}
		f.bound(ms, ax)
		half := 3.5 * float64(len(label))
		f.LabelX = f.X
		from := f.X - half
		switch {
		case from < p.Left:
			f.Anchor, f.LabelX, from = "start", f.X-2, f.X-2
		case f.X+half > p.Right:
			f.Anchor, f.LabelX, from = "end", f.X+2, f.X-2*half
		}
		row := 0
		for row < len(ends) && ends[row] > from-8 {
			row++
		}
		if row == len(ends) {
			ends = append(ends, 0)
		}
		ends[row] = from + 2*half
		f.Y = 11 + 17*float64(row)
		p.Flags = append(p.Flags, f)
	}
	for _, m := range moments {
		add(m)
	}
	return 22 + 17*float64(len(ends)-1)
}

type moment struct {
	at                  casefile.Time
	label               string
	notBefore, notAfter casefile.Time // of the true moment
}

// turns are the milestones of a campaign without an origin that is its first
// attempt.
func turns(ms []casefile.Milestone) []casefile.Milestone {
	return slices.DeleteFunc(slices.Clone(ms), func(m casefile.Milestone) bool {
		return m.Name == casefile.MilestoneOrigin && !m.Time.IsZero() &&
			slices.ContainsFunc(ms, func(o casefile.Milestone) bool { return o.Name != m.Name && o.Time.Equal(m.Time.Time) })
	})
}

// turnLabel names a milestone in the picture.
func turnLabel(name string) string {
	switch name {
	case casefile.MilestoneOrigin:
		return "origin"
	case casefile.MilestoneFirstAttempt:
		return "first attempt"
	case casefile.MilestoneFirstSuccess:
		return "inside"
	case casefile.MilestonePrivilege:
		return "privilege"
	case casefile.MilestonePersistence:
		return "persistence"
	case casefile.MilestoneFirstCollection:
		return "first mail read"
	case casefile.MilestoneLastCollection:
		return "last mail read"
	case casefile.MilestoneCouldBeSeen:
		return "could be seen"
	case casefile.MilestoneVendorAlert:
		return "vendor's alert"
	case casefile.MilestoneContainedFirst:
		return "containment begins"
	case casefile.MilestoneContainedLast:
		return "contained"
	}
	return ""
}

func sortedMilestones(c casefile.Campaign) []moment {
	ms := []moment{{at: c.Start, label: "first sign"}, {at: c.InitialAccess, label: "inside"}, {at: c.FirstDetected, label: "could be seen"}, {at: c.End, label: "last sign"}}
	for _, m := range turns(c.Milestones) {
		x := moment{m.Time, turnLabel(m.Name), m.NotBefore, m.NotAfter}
		if x.label == "" || x.at.IsZero() {
			continue
		}
		if i := slices.IndexFunc(ms, func(b moment) bool { return b.at.Equal(x.at.Time) }); i >= 0 { // the more telling word
			ms[i] = x
			continue
		}
		ms = append(ms, x)
	}
	slices.SortStableFunc(ms, func(a, b moment) int { return a.at.Compare(b.at.Time) })
	return ms
}

// bound draws the time in which a milestone truly was, where that is more than
// a mark is wide.
func (f *milestone) bound(m moment, ax axis) {
	if m.notBefore.IsZero() && m.notAfter.IsZero() {
		return
	}
	from, to := ax.left, f.X
	if f.Open = m.notBefore.IsZero(); !f.Open {
		from = ax.x(m.notBefore.Time)
	}
	if !m.notAfter.IsZero() {
		to = ax.x(m.notAfter.Time)
	}
	if f.From, f.W = min(from, f.X), round(max(to, f.X)-min(from, f.X)); f.W < 3 {
		f.W, f.Open = 0, false
	}
	if b := bounds(m.notBefore, m.notAfter, m.at); b != "" {
		f.Title += ", " + b
	}
}

// WhiskerY is where the mark of a flag's bounds is drawn.
func (f milestone) WhiskerY() float64 { return f.Y + 5.5 }

// Arrow is a head at its left end: the true moment may lie before.
func (f milestone) Arrow() string {
	return fmt.Sprintf("M%g %gl-7 4 7 4z", f.From, f.WhiskerY()-4)
}

// WhiskerEnd is where it ends.
func (f milestone) WhiskerEnd() float64 { return round(f.From + f.W) }

// LineTop is where the line below a flag's label begins.
func (f milestone) LineTop() float64 { return f.Y + 4 }
