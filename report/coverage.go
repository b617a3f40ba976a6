package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"midwatch/casefile"
)

// heatmap is the coverage matrix as the page draws it: a row of cells for each
// kind of record, all on one axis of time. A row is one picture inside of a
// table, so that its words stay text, and the same table serves a desk and a
// phone. Cells are runs of columns; a row of the usual kind is one path.
type heatmap struct {
	Hours, Unit int // of the axis; of a column
	Ticks       []heatTick
	Spans       []heatSpan
	Rows        []heatRow
	RowsCut     int
	Legend      []heatLegend
	Usual       string // what the expectation of most rows rests on
	HasGaps     bool
}

type heatTick struct {
	X     string // percent
	Label string
}

// heatSpan is when a campaign was there.
type heatSpan struct {
	X, W           string // percent
	LabelX, Anchor string // of its label
	Label          string
	Y              int // of the label, in pixels
}

// BarY is where the bar of a campaign is drawn.
func (s heatSpan) BarY() int { return s.Y + 4 }

// AxisHeight, TickTop and TickY place what is above the rows, in pixels.
func (h *heatmap) AxisHeight() int { return 20*len(h.Spans) + 22 }

// TickTop is where the ticks begin.
func (h *heatmap) TickTop() int { return h.AxisHeight() - 6 }

// TickY is the baseline of their labels.
func (h *heatmap) TickY() int { return h.AxisHeight() - 9 }

// Due is the number of hours that should have records.
func (r heatRow) Due() int64 { return r.Seen + r.Absent }

type heatRow struct {
	casefile.MatrixRow
	Group  string // tenant, where a new one begins
	Label  string
	Sub    bool   // a class of the log above it
	Path   string // runs with records, in hours
	Quiet  string // runs without, where none has to be
	Marked []heatMarks
	Alt    string
	Note   string // what the expectation rests on, where it is not the usual
	Gaps   []string
	More   []string // gaps that are folded away
	Cut    int
}

// heatMarks are the cells of a row that are drawn with a pattern, by state:
// one of a, p, r, n.
type heatMarks struct {
	State string
	Runs  []heatRun
}

type heatRun struct{ X, W string } // percent

type heatLegend struct{ State, Name, Text string }

const (
	heatColumns = 240 // at most so many columns are drawn, and a short one at the beginning
	heatRows    = 60  // and so many rows; the rest is in coverage.csv
)

// columnHours chooses how many hours a column stands for. It divides a day, or
// is whole days, so that columns begin at the same hour every day.
func columnHours(hours int) int {
	for _, u := range []int{1, 2, 3, 4, 6, 8, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24} {
		if (hours+u-1)/u <= heatColumns {
			return u
		}
	}
	return (hours + heatColumns - 1) / heatColumns
}

// worst orders the states of the hours in a column: one hour that should have
// records and has none is enough to mark it.
const worst = casefile.CellAbsent + casefile.CellPartial + casefile.CellSeen + casefile.CellRetention + casefile.CellQuiet + casefile.CellNever

// cellRun is a stretch of hours in one state.
type cellRun struct {
	State    byte
	From, To int // hours
}

// columnRuns joins the cells of a row to columns of unit hours, and equal
// columns to runs. skew is the hour of the day at which the row begins. Letters
// that are not the contract's are left blank.
func columnRuns(cells string, hours, unit, skew int) []cellRun {
	var out []cellRun
	for h := 0; h < min(hours, len(cells)); {
		end := min(h+unit-(h+skew)%unit, hours, len(cells))
		state, best := byte(0), len(worst)
		for i := h; i < end; i++ {
			if k := strings.IndexByte(worst, cells[i]); k >= 0 && k < best {
				state, best = cells[i], k
			}
		}
		if k := len(out); state != 0 && k > 0 && out[k-1].State == state && out[k-1].To == h {
			out[k-1].To = end
		} else if state != 0 {
			out = append(out, cellRun{state, h, end})
		}
		h = end
	}
	return out
}

func (p *page) heat() *heatmap {
	m := p.Coverage.Matrix
	if m.From.IsZero() || m.Hours <= 0 || len(m.Rows) == 0 {
		return nil
	}
	h := &heatmap{Hours: m.Hours, Unit: columnHours(m.Hours)}
	from := m.From.UTC()
	length := time.Duration(m.Hours) * time.Hour
	at := func(t time.Time) float64 { return 100 * min(max(float64(t.Sub(from))/float64(length), 0), 1) }
	for _, t := range ticks(axis{from: from, to: from.Add(length), left: 0, right: 460}, false) {
		h.Ticks = append(h.Ticks, heatTick{pct(t.X / 4.6), t.Label})
	}
	for _, c := range p.Campaigns {
		if c.Start.IsZero() || len(h.Spans) == 4 {
			continue
		}
		x1, x2 := at(c.Start.Time), at(casefile.Later(c.Start, c.End).Time)
		label := "campaign"
		if !c.Only {
			label = fmt.Sprintf("campaign %d", c.N)
		}
		s := heatSpan{X: pct(x1), W: pct(max(x2-x1, 0.4)), Label: label, LabelX: pct(x1), Anchor: "start", Y: 11 + 20*len(h.Spans)}
		if x1 > 60 {
			s.LabelX, s.Anchor = pct(max(x2, x1+0.4)), "end"
		}
		h.Spans = append(h.Spans, s)
	}
	h.Usual = usualWhy(m.Rows)
	rows, left := cut(m.Rows, heatRows)
	h.RowsCut = left
	skew := from.Hour() % h.Unit
	if h.Unit > 24 {
		skew = 0
	}
	var above []casefile.Hole
	states := map[byte]bool{}
	tenants := map[string]bool{}
	for _, r := range m.Rows {
		tenants[r.Tenant] = true
	}
	for i, r := range rows {
		row := heatRow{MatrixRow: r, Label: sourceName(r.Source, r.Kind)}
		if len(tenants) > 1 && (i == 0 || rows[i-1].Tenant != r.Tenant) {
			row.Group = p.Tenant(r.Tenant)
		}
		if r.Class != "all" && r.Class != "" {
			row.Label, row.Sub = words(r.Class), i > 0 && rows[i-1].Source == r.Source && rows[i-1].Tenant == r.Tenant
			if !row.Sub {
				row.Label = sourceName(r.Source, r.Kind) + ": " + words(r.Class)
			}
		}
		runs := columnRuns(r.Cells, m.Hours, h.Unit, skew)
		if r.Cells == "" {
			runs = []cellRun{{casefile.CellNever[0], 0, m.Hours}}
		}
		var seen, quiet []cellRun
		for _, x := range runs {
			states[x.State] = true
			switch string(x.State) {
			case casefile.CellSeen:
				seen = append(seen, x)
			case casefile.CellQuiet:
				quiet = append(quiet, x)
			default:
				run := heatRun{pct(100 * float64(x.From) / float64(m.Hours)), pct(100 * float64(x.To-x.From) / float64(m.Hours))}
				i := slices.IndexFunc(row.Marked, func(k heatMarks) bool { return k.State == string(x.State) })
				if i < 0 {
					i = len(row.Marked)
					row.Marked = append(row.Marked, heatMarks{State: string(x.State)})
				}
				row.Marked[i].Runs = append(row.Marked[i].Runs, run)
			}
		}
		row.Path, row.Quiet = strokes(seen), strokes(quiet)
		if r.Class == "all" {
			above = r.Gaps
		}
		for _, g := range r.Gaps {
			if r.Class == "all" || !row.Sub {
				row.Gaps = append(row.Gaps, holeWords(g, nil))
			} else {
				row.Gaps = append(row.Gaps, holeWords(g, above))
			}
			h.HasGaps = true
		}
		row.Gaps, row.Cut = cut(row.Gaps, 200)
		if len(row.Gaps) > 2 {
			row.Gaps, row.More = row.Gaps[:1], row.Gaps[1:]
		}
		if r.Why != h.Usual {
			row.Note = r.Why
		}
		row.Alt = row.Label + ": " + row.ShareWords()
		h.Rows = append(h.Rows, row)
	}
	for _, l := range []heatLegend{
		{casefile.CellSeen, "seen", ""}, {casefile.CellQuiet, "quiet", ""}, {casefile.CellAbsent, "absent", ""},
		{casefile.CellPartial, "partial", ""}, {casefile.CellRetention, "out of retention", ""}, {casefile.CellNever, "never seen", ""},
	} {
		if l.Text = m.Legend[l.State]; states[l.State[0]] {
			h.Legend = append(h.Legend, l)
		}
	}
	return h
}

// ShareWords says how much of what should be there is there.
func (r heatRow) ShareWords() string {
	switch {
	case r.Cells == "":
		return "never seen"
	case r.Share == nil:
		return "rhythm not known"
	}
	return percent(*r.Share)
}

// strokes writes runs as a path of horizontal lines, whose width makes the
// cells: the shortest form there is.
func strokes(runs []cellRun) string {
	var b strings.Builder
	at := 0
	for i, r := range runs {
		if i == 0 {
			fmt.Fprintf(&b, "M%d 5h%d", r.From, r.To-r.From)
		} else {
			fmt.Fprintf(&b, "m%d 0h%d", r.From-at, r.To-r.From)
		}
		at = r.To
	}
	return b.String()
}

// pct writes a percentage for an attribute.
func pct(f float64) string {
	return strconv.FormatFloat(float64(int64(f*100+0.5))/100, 'f', -1, 64) + "%"
}

// usualWhy is what the expectation of most rows rests on.
func usualWhy(rows []casefile.MatrixRow) string {
	n := map[string]int{}
	usual := ""
	for _, r := range rows {
		if r.Cells == "" {
			continue
		}
		if n[r.Why]++; n[r.Why] > n[usual] || usual == "" {
			usual = r.Why
		}
	}
	return usual
}

// holeWords says what is missing and how sure that is. above are the gaps of
// the log that a class belongs to: what is missing there is not told again.
func holeWords(g casefile.Hole, above []casefile.Hole) string {
	s := moments(g.From) + " to " + moments(g.To) + ", " + plural(g.Hours, "hour")
	same := slices.ContainsFunc(above, func(o casefile.Hole) bool {
		return o.State == g.State && g.From.Sub(o.From.Time).Abs() <= 2*time.Hour && g.To.Sub(o.To.Time).Abs() <= 2*time.Hour
	})
	if same {
		s = "the same gap, " + plural(g.Hours, "hour")
	}
	switch {
	case g.State == "retention" && same:
		return s
	case g.State == "retention":
		return s + ": before the log’s retention, as it looks"
	case g.Expected >= 1:
		s += ": about " + number(int64(g.Expected+0.5)) + " records missing"
	default:
		s += ": records missing"
	}
	return s + ", " + percent(g.Confidence) + " sure"
}

// boxState is the mailboxes in one state of [casefile.MailboxCover].
type boxState struct {
	State, Title, Means string
	Count               int64
	Boxes               []boxCover // those that are listed
	Cut                 int64
}

type boxCover struct {
	casefile.MailboxCover
	Reached bool // by a campaign, as far as the logs say
}

// boxStates groups the mailboxes by how their reads are recorded, the states
// that hide most first.
func (p *page) boxStates() []boxState {
	m := p.Coverage.MailAccess
	reached := map[string]bool{}
	for _, c := range p.Case.Campaigns {
		for _, b := range c.Mailboxes {
			reached[b.UPN] = true
		}
	}
	list := []boxState{
		{State: casefile.CoverNever, Title: "never recorded", Means: "other records of its mail, none of reading"},
		{State: casefile.CoverStops, Title: "recording stops", Means: "reads were recorded, then none for long while other records go on"},
		{State: casefile.CoverStarts, Title: "recording starts late", Means: "other records go back much further than those of reading"},
		{State: casefile.CoverThrottled, Title: "throttled", Means: "for a day or more reads were not recorded, because there were too many"},
		{State: casefile.CoverRecorded, Title: "recorded", Means: "as expected"},
	}
	var other []string
	for s := range m.States {
		if !slices.ContainsFunc(list, func(b boxState) bool { return b.State == s }) {
			other = append(other, s)
		}
	}
	for _, b := range m.PerMailbox {
		if !slices.Contains(other, b.State) && !slices.ContainsFunc(list, func(x boxState) bool { return x.State == b.State }) {
			other = append(other, b.State)
		}
	}
	slices.Sort(other)
	for _, s := range other {
		list = append(list, boxState{State: s, Title: words(s)})
	}
	var out []boxState
	for _, s := range list {
		var boxes []boxCover
		for _, b := range m.PerMailbox {
			if b.State == s.State {
				boxes = append(boxes, boxCover{b, reached[b.UPN]})
			}
		}
		slices.SortStableFunc(boxes, func(a, b boxCover) int {
			if a.Reached != b.Reached {
				if a.Reached {
					return -1
				}
				return 1
			}
			return 0
		})
		s.Count = max(m.States[s.State], int64(len(boxes)))
		s.Boxes, _ = cut(boxes, p.Rows)
		if s.Cut = s.Count - int64(len(s.Boxes)); s.Count > 0 {
			out = append(out, s)
		}
	}
	return out
}
