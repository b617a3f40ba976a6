package report

import (
	"bufio"
	"cmp"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
)

// TimeMark is something at a moment, or over a time, in a [TimePicture].
type TimeMark struct {
	ID          string    // of the element, if it is to be linked to; unique in the page
	Lane        string    // one of the picture's lanes
	Title       string    // what it is, in full
	Href        string    // where it leads
	From, Until time.Time // Until zero: a moment
	// Certainty, Severity and Stage are the contract's words, or empty.
	Certainty, Severity, Stage string
	Campaign                   string
}

// TimeGap is a time without records. Lane empty: below all lanes.
type TimeGap struct {
	Lane, Title string
	From, To    time.Time
}

// TimeFlag is a moment that everything else is seen from.
type TimeFlag struct {
	Time  time.Time
	Label string
}

// TimePicture draws what happened between two moments, from a minute to years:
// marks one by one where there is room, joined with their number where there
// is none, and a histogram where they are too many. The same picture gives the
// same bytes.
type TimePicture struct {
	ID       string // prefix of ids in the picture; empty means "zoom"
	Title    string
	From, To time.Time
	Lanes    []string // from above; empty: [TimeLanes] that are used
	Marks    []TimeMark
	Density  map[string][]int64 // by lane: counts in equal parts of the time
	Gaps     []TimeGap
	Flags    []TimeFlag
	// Shaded is a part of the time that is shown elsewhere in more detail.
	ShadedFrom, ShadedTo time.Time
	Narrow               bool // for a phone: 360 wide, labels above their lane
	Both                 bool // a wide and a narrow picture, of which the style sheet shows one
	// Zoom is the address of a picture of a part of the time: where joined marks
	// and parts of histograms lead. Nil: joined marks lead where their first does.
	Zoom func(from, to time.Time) string
}

// TimeLanes are the lanes of campaigns' steps.
func TimeLanes() []string {
	return []string{"guessing", "identity", "applications", "mail", "hiding", "response"}
}

// LaneOf is the lane of a stage.
func LaneOf(stage string) string { return strings.ToLower(laneOf(stage)) }

// Marks are the steps of a campaign as marks of a picture. Each leads to its
// finding, or to the step in the list.
func (v *View) Marks(campaign string) []TimeMark {
	c := v.campaign(campaign)
	if c == nil {
		return nil
	}
	var out []TimeMark
	for i, s := range c.Timeline {
		m := TimeMark{Lane: LaneOf(s.Stage), Title: stamp(s.Time) + " UTC: " + prose(s.Text), From: s.Time.Time, Until: s.Until.Time, Stage: s.Stage, Campaign: c.ID}
		if f, ok := v.page.findings[s.Finding]; ok {
			m.Severity, m.Href = string(f.Severity), v.page.findingHref(f.ID)
		}
		if m.Href == "" && len(s.Events) > 0 {
			m.Href = v.page.eventHref(s.Events[0])
		}
		m.Href = cmp.Or(m.Href, v.page.stepHref(c.Campaign, c.N, i+1))
		out = append(out, m)
	}
	return out
}

// Flags are the turns of a campaign as flags of a picture.
func (v *View) Flags(campaign string) []TimeFlag {
	c := v.campaign(campaign)
	if c == nil {
		return nil
	}
	var out []TimeFlag
	for _, m := range sortedMilestones(c.Campaign) {
		if !m.at.IsZero() {
			out = append(out, TimeFlag{m.at.Time, m.label})
		}
	}
	return out
}

// WriteSVG writes the picture. It fails when the time is empty and when w does.
// [View.Timeline] does the same without reading templates anew.
func (p TimePicture) WriteSVG(w io.Writer) error {
	t, err := templates()
	if err != nil {
		return err
	}
	return p.write(w, t)
}

// Timeline writes a picture.
func (v *View) Timeline(w io.Writer, p TimePicture) error { return p.write(w, v.t) }

func (p TimePicture) write(w io.Writer, t *template.Template) error {
	if !p.To.After(p.From) {
		return fmt.Errorf("draw a timeline: it ends (%s) before it begins (%s)", p.To, p.From)
	}
	p.ID = cmp.Or(p.ID, "zoom")
	draws := []bool{p.Narrow}
	if p.Both {
		draws = []bool{false, true}
	}
	buf := bufio.NewWriterSize(w, 1<<16)
	for _, narrow := range draws {
		if err := t.ExecuteTemplate(buf, "zoom", p.lay(narrow)); err != nil {
			return fmt.Errorf("draw a timeline: %w", err)
		}
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("draw a timeline: %w", err)
	}
	return nil
}

type zoomPicture struct {
	ID, Class, Title, Desc string
	Narrow                 bool
	W, H                   float64
	Left, Right            float64
	Top, Base              float64
	Ticks                  []zoomTick
	Flags                  []milestone
	Lanes                  []zoomLane
	Gaps                   []zoomGap // below all lanes
	GapY                   float64
	Shade                  *zoomGap
}

type zoomTick struct {
	X         float64
	Label     string
	Day       string // where it changes
	DayAnchor string
}

type zoomGap struct {
	X, W  float64
	Title string
}

type zoomLane struct {
	Name         string
	Class        string
	X, Y         float64 // of its name
	Anchor       string
	Top, Base    float64
	Note         string // scale of the histogram
	NoteX, NoteY float64
	NoteAnchor   string
	Bars         []zoomMark
	Marks        []zoomMark
	Hist         []zoomBar
	HistBase     float64
	Gaps         []zoomGap
	Overfull     int // bars that found no row
	OverX, OverY float64
	OverAnchor   string
}

type zoomMark struct {
	TimeMark
	N       int
	X, Y, W float64
	from    time.Time
	to      time.Time
}

type zoomBar struct {
	X, Y, W, H float64
	Title      string
	Href       string
}

const (
	pillRow  = 30.0
	histHigh = 30.0
	mostRows = 4
)

func (p TimePicture) lay(narrow bool) zoomPicture {
	d := zoomPicture{ID: p.ID, Class: "broad", W: 960, Left: 156, Right: 946, Title: cmp.Or(clean(p.Title), "Timeline")}
	if narrow {
		d.W, d.Left, d.Right, d.ID = 360, 8, 352, p.ID+"-narrow"
		d.Class, d.Narrow = "narrow", true
	}
	if !p.Both {
		d.Class = "" // it is shown whatever the screen
	}
	ax := axis{from: p.From, to: p.To, left: d.Left, right: d.Right}
	var flags []moment
	for _, f := range p.Flags {
		if !f.Time.Before(p.From) && !f.Time.After(p.To) {
			flags = append(flags, moment{at: casefile.TimeOf(f.Time), label: clean(f.Label)})
		}
	}
	slices.SortStableFunc(flags, func(a, b moment) int { return a.at.Compare(b.at.Time) })
	pic := picture{Left: d.Left, Right: d.Right}
	y := 4.0
	if len(flags) > 0 {
		y = pic.flags(flags, ax)
	}
	d.Flags, d.Top = pic.Flags, y
	shown := 0
	for _, lane := range p.lanes() {
		l := p.lane(lane, ax, narrow, y)
		shown += l.count()
		d.Lanes = append(d.Lanes, l)
		y = l.Base
	}
	d.Base = y
	d.Ticks = zoomTicks(ax, narrow)
	y += 36
	for _, g := range p.Gaps {
		if x, ok := gapOn(ax, g); ok && g.Lane == "" {
			d.Gaps = append(d.Gaps, x)
		}
	}
	d.GapY = y
	if len(d.Gaps) > 0 {
		y += 22
	}
	d.H = y + 4
	if p.ShadedTo.After(p.ShadedFrom) {
		if x, ok := gapOn(ax, TimeGap{From: p.ShadedFrom, To: p.ShadedTo}); ok {
			x.W = max(x.W, 3)
			d.Shade = &x
		}
	}
	d.Desc = fmt.Sprintf("%s from %s to %s UTC.", plural(int64(shown), "mark"), p.From.UTC().Format("2 January 2006 15:04"), p.To.UTC().Format("2 January 2006 15:04"))
	return d
}

func gapOn(ax axis, g TimeGap) (zoomGap, bool) {
	if !g.To.After(ax.from) || !g.From.Before(ax.to) {
		return zoomGap{}, false
	}
	x := ax.x(g.From)
	return zoomGap{x, round(max(ax.x(g.To)-x, 1)), clean(g.Title)}, true
}

// lanes are those that are named, or used.
func (p TimePicture) lanes() []string {
	out := slices.Clone(p.Lanes)
	if len(out) == 0 {
		used := map[string]bool{}
		for _, m := range p.Marks {
			used[m.Lane] = true
		}
		for l := range p.Density {
			used[l] = true
		}
		for _, l := range TimeLanes() {
			if used[l] {
				out = append(out, l)
			}
		}
	}
	var rest []string
	for _, m := range p.Marks {
		if !slices.Contains(out, m.Lane) && !slices.Contains(rest, m.Lane) {
			rest = append(rest, m.Lane)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

func (l zoomLane) count() (n int) {
	for _, m := range slices.Concat(l.Marks, l.Bars) {
		n += m.N
	}
	return n + l.Overfull
}

func (p TimePicture) lane(name string, ax axis, narrow bool, y float64) zoomLane {
	l := zoomLane{Name: capital(clean(name)), Class: "lane-" + LaneOf(name), Top: y, X: ax.left - 14, Anchor: "end"}
	if slices.Contains(TimeLanes(), name) {
		l.Class = "lane-" + name
	}
	at := y + 6
	if narrow {
		l.X, l.Anchor = ax.left, "start"
		at += 16
	}
	marks := slices.DeleteFunc(slices.Clone(p.Marks), func(m TimeMark) bool {
		end := m.From
		if m.Until.After(end) {
			end = m.Until
		}
		return m.Lane != name || m.From.IsZero() || end.Before(p.From) || m.From.After(p.To)
	})
	slices.SortStableFunc(marks, func(a, b TimeMark) int {
		return cmp.Or(a.From.Compare(b.From), a.Until.Compare(b.Until), strings.Compare(a.Title, b.Title), strings.Compare(a.ID, b.ID))
	})
	pills := at
	for i, m := range marks {
		m.ID, m.Title, m.Href = clean(m.ID), clean(m.Title), clean(m.Href)
		marks[i] = m
		if !p.From.After(m.From) { // what began before has only its bar
			l.Marks = joined(l.Marks, zoomMark{TimeMark: m, N: 1, X: ax.x(m.From), from: m.From, to: m.From})
		}
	}
	if len(l.Marks) > 0 {
		at += pillRow
	}
	var ends []float64
	for _, m := range marks {
		if !m.Until.After(m.From) {
			continue
		}
		x := ax.x(m.From)
		w := round(max(ax.x(m.Until)-x, 3))
		row := 0
		for row < len(ends) && ends[row] > x-3 {
			row++
		}
		if row == mostRows {
			l.Overfull++
			continue
		}
		if row == len(ends) {
			ends = append(ends, 0)
		}
		ends[row] = x + w
		n := 0
		if p.From.After(m.From) {
			n = 1
		}
		l.Bars = append(l.Bars, zoomMark{TimeMark: m, N: n, X: x, W: w, Y: at + 9*float64(row)})
	}
	at += 9 * float64(len(ends))
	if l.Overfull > 0 { // those that began before are in no pill
		l.Note = "+" + plural(int64(l.Overfull), "bar")
	}
	l.Overfull = 0
	for i := range l.Marks {
		m := &l.Marks[i]
		if m.Y = pills + 11; m.N > 1 {
			m.W = 12 + 7.6*float64(len(number(int64(m.N))))
			m.X = round(min(max(m.X, ax.left+m.W/2-6), ax.right-m.W/2+6))
			if p.Zoom != nil {
				pad := max(m.to.Sub(m.from)/10, time.Minute)
				m.Href = p.Zoom(m.from.Add(-pad), m.to.Add(pad))
			}
		}
	}
	if h := p.Density[name]; len(h) > 0 {
		most := max(slices.Max(h), 1)
		l.HistBase = at + histHigh
		each := p.To.Sub(p.From) / time.Duration(len(h))
		for i, n := range h {
			if n <= 0 {
				continue
			}
			from, to := p.From.Add(time.Duration(i)*each), p.From.Add(time.Duration(i+1)*each)
			high := round(max(histHigh*float64(n)/float64(most), 1))
			x := ax.x(from)
			b := zoomBar{X: x, W: round(max(ax.x(to)-x-0.6, 0.8)), Y: round(l.HistBase - high), H: high, Title: number(n) + ", " + moments(casefile.TimeOf(from)) + " to " + moments(casefile.TimeOf(to)) + " UTC"}
			if p.Zoom != nil {
				b.Href = p.Zoom(from, to)
			}
			l.Hist = append(l.Hist, b)
		}
		at += histHigh + 4
		l.Note = strings.Join(slices.DeleteFunc([]string{"up to " + number(most) + " in " + brief(each), l.Note}, func(s string) bool { return s == "" }), ", ")
	}
	if at < y+28 {
		at = y + 28
	}
	l.Base = at + 4
	l.Y = (y+l.Base)/2 + 4
	l.NoteX, l.NoteY, l.NoteAnchor = l.X, l.Y+15, "end"
	if narrow {
		l.Y = y + 15
		l.NoteX, l.NoteY = ax.right, l.Y
	} else if l.Note != "" {
		l.Y -= 7
		l.NoteY = l.Y + 15
		if l.Base < y+40 {
			l.Base = y + 40
		}
	}
	for _, g := range p.Gaps {
		if x, ok := gapOn(ax, g); ok && g.Lane == name {
			l.Gaps = append(l.Gaps, x)
		}
	}
	return l
}

// brief is a length of time where there is little room.
func brief(d time.Duration) string {
	return strings.NewReplacer(" days", " d", " day", " d", " hours", " h", " hour", " h", " minutes", " min", " minute", " min", " seconds", " s", " second", " s").Replace(span(d))
}

// joined adds a mark to a lane, or to the mark before it when it is too close.
func joined(to []zoomMark, m zoomMark) []zoomMark {
	if k := len(to) - 1; k >= 0 {
		last := &to[k]
		reach := 16.0
		if last.N > 1 {
			reach = 10 + 4*float64(len(number(int64(last.N))))
		}
		if m.X-last.X < reach {
			last.N++
			switch {
			case last.N <= 7:
				last.Title += "\n" + m.Title
			case last.N == 8:
				last.Title += "\n…"
			}
			if casefile.Severity(m.Severity).Rank() > casefile.Severity(last.Severity).Rank() {
				last.Severity = m.Severity
			}
			last.to, last.ID = m.from, ""
			if last.Certainty != m.Certainty {
				last.Certainty = ""
			}
			return to
		}
	}
	return append(to, m)
}

// zoomTicks chooses ticks from a second to years. Labels name the time, and
// below it the day where a new one begins.
func zoomTicks(ax axis, narrow bool) []zoomTick {
	total := ax.to.Sub(ax.from)
	room := 70.0
	if narrow {
		room = 62
	}
	most := max(int((ax.right-ax.left)/room), 1)
	for _, s := range []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour} {
		if int(total/s) > most {
			continue
		}
		form := "2 Jan"
		switch {
		case s < time.Minute:
			form = "15:04:05"
		case s < 24*time.Hour:
			form = "15:04"
		}
		t := ax.from.UTC().Truncate(s)
		if s >= 7*24*time.Hour { // weeks begin on Monday
			t = time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).AddDate(0, 0, -int(t.Weekday()+6)%7)
		}
		var out []zoomTick
		before := ""
		for ; t.Before(ax.to); t = t.Add(s) {
			if t.Before(ax.from) || ax.right-ax.x(t) < 14 || ax.x(t)-ax.left < 14 && narrow {
				continue
			}
			k := zoomTick{X: ax.x(t), Label: t.Format(form)}
			below := "2006"
			if s < 24*time.Hour {
				below = "2 Jan 2006"
			}
			if day := t.Format(below); day != before {
				k.Day, before = day, day
			}
			out = append(out, k)
		}
		return out
	}
	months := 1
	for int(total/(30*24*time.Hour))/months > most {
		months *= 2
	}
	var out []zoomTick
	before := ""
	for t := time.Date(ax.from.UTC().Year(), ax.from.UTC().Month(), 1, 0, 0, 0, 0, time.UTC); t.Before(ax.to); t = t.AddDate(0, months, 0) {
		if t.After(ax.from) && ax.right-ax.x(t) > 14 {
			k := zoomTick{X: ax.x(t), Label: t.Format("Jan")}
			if year := t.Format("2006"); year != before {
				k.Day, before = year, year
			}
			out = append(out, k)
		}
	}
	return out
}

// TickY and DayY are the baselines of the axis' labels.
func (d zoomPicture) TickY() float64 { return d.Base + 15 }

// DayY is the lower one.
func (d zoomPicture) DayY() float64 { return d.Base + 29 }

// GapLabel is the baseline of the name of the gaps' strip.
func (d zoomPicture) GapLabel() float64 { return d.GapY + 14 }

// GapTop is where the strip is drawn.
func (d zoomPicture) GapTop() float64 { return d.GapY + 6 }

// GapLabelX is where its name stands.
func (d zoomPicture) GapLabelX() float64 {
	if d.Narrow {
		return d.Left
	}
	return d.Left - 14
}

// High is the height of the lanes.
func (d zoomPicture) High() float64 { return d.Base - d.Top }

// High is the height of a lane.
func (l zoomLane) High() float64 { return l.Base - l.Top }

// PillX places a joined mark.
func (m zoomMark) PillX() float64 { return round(m.X - m.W/2) }

// PillY is its upper edge.
func (m zoomMark) PillY() float64 { return m.Y - 9 }

// TextY is the baseline of its number.
func (m zoomMark) TextY() float64 { return m.Y + 4.2 }

// Half is the filled half of a probable mark.
func (m zoomMark) Half() string { return fmt.Sprintf("M%g %ga6 6 0 0 0 0 12z", m.X, m.Y-6) }
