package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
)

// picture is the timeline of a campaign as the page draws it: one lane for
// each kind of step, the gaps of the logs below on the same axis, so that the
// eye sees what was recorded and what could not be. It is laid out here and
// not in the browser, because the page has no script. Two are made, for a
// desk and for a phone, so that text keeps its size on both.
type picture struct {
	ID            string
	Campaign      int
	Narrow        bool
	Title, Desc   string
	W, H          float64
	Left, Right   float64 // where the axis begins and ends
	Top, Base     float64 // of the lanes
	Ticks         []tick
	Lanes         []lane
	Strips        []strip
	StripsCut     int
	Flags         []milestone
	AxisY, StripY float64
	href          func(step int) string
}

type tick struct {
	X     float64
	Label string
}

type lane struct {
	Label  string
	Class  string
	X, Y   float64 // of the label
	LineY  float64
	Marks  []mark
	Bars   []bar
	Anchor string
}

type mark struct {
	X, Y, W float64 // centre and width of a pill
	Label   string
	Title   string
	Step    int // the step it links to
}

type bar struct {
	X, Y, W float64
	Title   string
	Step    int
}

type strip struct {
	Label string
	Head  bool    // names the tenant of the strips that follow
	X, Y  float64 // of the label
	Line  float64
	Parts []stripPart
}

type stripPart struct {
	X, W  float64
	Gap   bool
	Brief bool // a gap as small organizations have them on weekends
	Title string
}

// laneOf says in which lane a stage is drawn.
func laneOf(stage string) string {
	switch stage {
	case casefile.StageGuessing:
		return "Guessing"
	case casefile.StageAccess:
		return "Identity"
	case casefile.StagePersistence, casefile.StagePrivilege:
		return "Applications"
	case casefile.StageCollection, casefile.StageExfil:
		return "Mail"
	case casefile.StageEvasion:
		return "Hiding"
	}
	return "Other"
}

// maxSteps is how many steps the picture draws; the list below it has all.
const maxSteps = 400

// maxStrips is how many logs are drawn below the lanes.
const maxStrips = 10

func (p *page) pictures(c casefile.Campaign, n int) []picture {
	if len(c.Timeline) == 0 || c.Start.IsZero() {
		return nil
	}
	out := []picture{
		draw(c, p.Coverage, n, p.Tenant, false),
		draw(c, p.Coverage, n, p.Tenant, true),
	}
	for i := range out {
		out[i].href = func(step int) string { return p.stepHref(c, n, step) }
	}
	return out
}

// axis maps time to the picture.
type axis struct {
	from, to    time.Time
	left, right float64
}

func (a axis) x(t time.Time) float64 {
	if t.Before(a.from) {
		return a.left
	}
	if t.After(a.to) {
		return a.right
	}
	return round(a.left + (a.right-a.left)*float64(t.Sub(a.from))/float64(a.to.Sub(a.from)))
}

func round(f float64) float64 { return math.Round(f*10) / 10 }

func draw(c casefile.Campaign, cov casefile.Coverage, n int, tenant func(string) string, narrow bool) picture {
	p := picture{ID: fmt.Sprintf("picture-%d", n), Campaign: n, W: 960, Left: 220, Right: 946}
	if len(cov.Sources) == 0 { // no long names of logs beside it
		p.Left = 116
	}
	if narrow {
		p = picture{ID: fmt.Sprintf("picture-%d-narrow", n), Campaign: n, Narrow: true, W: 360, Left: 8, Right: 352}
	}
	start, end := c.Start.Time, c.Start.Time
	for _, t := range []casefile.Time{c.End, c.FirstDetected} {
		end = casefile.Later(casefile.Time{Time: end}, t).Time
	}
	for _, s := range c.Timeline {
		start = casefile.Earlier(casefile.Time{Time: start}, s.Time).Time
		end = casefile.Later(casefile.Later(casefile.Time{Time: end}, s.Time), s.Until).Time
	}
	pad := max(end.Sub(start)/20, time.Hour)
	ax := axis{from: start.Add(-pad), to: end.Add(pad), left: p.Left, right: p.Right}
	p.Title = "Timeline: " + c.Title
	p.Desc = fmt.Sprintf("%d steps from %s to %s UTC, told one by one in the list below the picture.", len(c.Timeline), start.UTC().Format("2 January 2006"), end.UTC().Format("2 January 2006"))

	y := p.milestones(c, ax)
	p.Top = y
	y = p.lanes(c, ax, y)
	p.Base = y
	p.AxisY = y
	p.Ticks = ticks(ax, narrow)
	y += 30
	p.StripY = y
	y = p.strips(c, cov, ax, y, tenant)
	p.H = y + 6
	return p
}

// lanes lays out the steps and returns where the next thing begins.
func (p *picture) lanes(c casefile.Campaign, ax axis, y float64) float64 {
	names := []string{"Guessing", "Identity", "Applications", "Mail", "Hiding", "Other"}
	steps := c.Timeline[:min(len(c.Timeline), maxSteps)]
	for _, name := range names {
		l := lane{Label: name, Class: strings.ToLower(name), X: p.Left - 16, Anchor: "end"}
		if p.Narrow {
			l.X, l.Anchor = p.Left, "start"
		}
		var ends []float64 // of the bars, by row
		any := name == "Guessing" || name == "Identity" || name == "Applications" || name == "Mail"
		marks := y + 17
		if p.Narrow {
			marks += 18
		}
		for i, s := range steps {
			if laneOf(s.Stage) != name || s.Time.IsZero() {
				continue
			}
			any = true
			x := ax.x(s.Time.Time)
			title := stamp(s.Time) + " UTC: " + prose(s.Text)
			label := fmt.Sprint(i + 1)
			w := max(20, 8+7.4*float64(len(label)))
			if k := len(l.Marks); k > 0 && x-l.Marks[k-1].X < (w+l.Marks[k-1].W)/2+2 {
				m := &l.Marks[k-1] // too close to be told apart: one mark for several
				m.join(i+1, title)
			} else {
				l.Marks = append(l.Marks, mark{X: x, Y: marks, W: w, Label: label, Title: title, Step: i + 1})
			}
			if !s.Until.IsZero() && s.Until.After(s.Time.Time) {
				row := 0
				for row < len(ends) && ends[row] > x-3 {
					row++
				}
				if row == 3 {
					continue
				}
				if row == len(ends) {
					ends = append(ends, 0)
				}
				w := max(ax.x(s.Until.Time)-x, 3)
				ends[row] = x + w
				l.Bars = append(l.Bars, bar{X: x, W: round(w), Y: marks + 15 + 7*float64(row), Title: stamp(s.Time) + " to " + stamp(s.Until) + " UTC: " + prose(s.Text), Step: i + 1})
			}
		}
		if !any {
			continue
		}
		for i := range l.Marks { // a pill must not leave the picture
			m := &l.Marks[i]
			m.X = round(min(max(m.X, p.Left+m.W/2-6), p.Right-m.W/2+6))
		}
		l.Y = marks + 4
		if p.Narrow {
			l.Y = y + 14
		}
		y = marks + 17 + 7*float64(len(ends))
		l.LineY = y + 3
		y += 6
		p.Lanes = append(p.Lanes, l)
	}
	return y
}

// join adds a step to a mark.
func (m *mark) join(step int, title string) {
	var first, extra int
	if n, _ := fmt.Sscanf(m.Label, "%d +%d", &first, &extra); n == 2 {
		m.Label = fmt.Sprintf("%d +%d", first, extra+1)
	} else {
		m.Label = fmt.Sprintf("%s +1", m.Label)
	}
	if len(m.Title) < 400 {
		m.Title += "\n" + title
	}
	w := max(20, 8+7.4*float64(len(m.Label)))
	m.X, m.W = round(m.X+(w-m.W)/2), w
}

// strips draws below the lanes when each log was received, and when not.
func (p *picture) strips(c casefile.Campaign, cov casefile.Coverage, ax axis, y float64, tenant func(string) string) float64 {
	tenants := map[string]bool{}
	for _, t := range c.Tenants {
		tenants[t] = true
	}
	var kept []casefile.SourceCover
	for _, s := range cov.Sources {
		if len(tenants) == 0 || s.Tenant == "" || tenants[s.Tenant] {
			kept = append(kept, s)
		}
	}
	slices.SortStableFunc(kept, func(a, b casefile.SourceCover) int { return strings.Compare(a.Tenant, b.Tenant) })
	kept, p.StripsCut = cut(kept, maxStrips)
	for i, s := range kept {
		if i == 0 || s.Tenant != kept[i-1].Tenant {
			h := strip{Label: tenant(s.Tenant), Head: true, X: p.Left - 16, Y: y + 13}
			if p.Narrow {
				h.X = p.Left
			}
			p.Strips = append(p.Strips, h)
			y += 19
		}
		name := sourceName(s.Source, s.Kind)
		st := strip{Label: name, X: p.Left - 16, Y: y + 13, Line: y + 5}
		step := 19.0
		if p.Narrow {
			st.X, st.Y, st.Line, step = p.Left, y+11, y+16, 29
		} else if r := []rune(name); len(r) > 36 {
			st.Label = string(r[:35]) + "…"
		}
		x1, x2 := ax.x(cov.From.Time), ax.x(cov.To.Time) // beyond the window nothing is said
		st.Parts = append(st.Parts, stripPart{X: x1, W: round(x2 - x1), Title: name + ": records from " + stamp(s.First) + " to " + stamp(s.Last) + " UTC"})
		for _, g := range s.Gaps {
			x1, x2 := ax.x(g.From.Time), ax.x(g.To.Time)
			if x2-x1 < 1 {
				continue
			}
			st.Parts = append(st.Parts, stripPart{X: x1, W: round(x2 - x1), Gap: true, Brief: g.Hours < 72, Title: name + ": no record from " + stamp(g.From) + " to " + stamp(g.To) + " UTC"})
		}
		p.Strips = append(p.Strips, st)
		y += step
	}
	return y
}

// ticks chooses a step that leaves room for the labels.
func ticks(ax axis, narrow bool) []tick {
	room := 84.0
	if narrow {
		room = 64
	}
	total := ax.to.Sub(ax.from)
	most := int((ax.right - ax.left) / room)
	var out []tick
	for _, s := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour} {
		if int(total/s) > most {
			continue
		}
		form := "2 Jan"
		if s < 24*time.Hour {
			form = "2 Jan 15:04"
			if int(total/s) > most*2/3 {
				continue
			}
		}
		t := ax.from.UTC().Truncate(s)
		if s >= 7*24*time.Hour { // weeks begin on Monday
			t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
			t = t.AddDate(0, 0, -int(t.Weekday()+6)%7)
		}
		for ; t.Before(ax.to); t = t.Add(s) {
			if t.After(ax.from) && ax.right-ax.x(t) > 12 {
				out = append(out, tick{X: ax.x(t), Label: t.Format(form)})
			}
		}
		return out
	}
	months := 1
	for int(total/(30*24*time.Hour))/months > most {
		months *= 2
	}
	t := time.Date(ax.from.Year(), ax.from.Month(), 1, 0, 0, 0, 0, time.UTC)
	for ; t.Before(ax.to); t = t.AddDate(0, months, 0) {
		if t.After(ax.from) && ax.right-ax.x(t) > 12 {
			out = append(out, tick{X: ax.x(t), Label: t.Format("Jan 2006")})
		}
	}
	return out
}

// StepHref is the address of a step in the list below the picture.
func (p picture) StepHref(n int) string { return p.href(n) }

// TickY is the baseline of the axis' labels.
func (p picture) TickY() float64 { return p.AxisY + 17 }

// LineLeft is where the lanes' lines begin: under their labels on a phone.
func (p picture) LineLeft() float64 { return p.Left }

// Left, Up and Mid place a mark's pill and its text.
func (m mark) Left() float64 { return round(m.X - m.W/2) }

// Up is the upper edge of the pill.
func (m mark) Up() float64 { return m.Y - 10 }

// Mid is the baseline of the text.
func (m mark) Mid() float64 { return m.Y + 4.3 }
