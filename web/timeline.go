package web

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/report"
	"midwatch/store"
)

// The time line: findings and the records that claims stand on, in lanes,
// between any two moments of the case. What is too much to draw one by one is
// counted in the engine and drawn as a density.

// lane is a row of the time line and the stages that are in it.
type lane struct {
	Name   string
	Stages []string
}

// stages lists the stages in their order.
func stages() []string {
	return []string{casefile.StageGuessing, casefile.StageAccess, casefile.StagePersistence, casefile.StagePrivilege, casefile.StageCollection, casefile.StageEvasion, casefile.StageExfil}
}

// lanes are those of the report's pictures. That of the response has no stage:
// it is what the journal says.
func lanes() (out []lane) {
	for _, name := range report.TimeLanes() {
		l := lane{Name: name}
		for _, s := range stages() {
			if report.LaneOf(s) == name {
				l.Stages = append(l.Stages, s)
			}
		}
		out = append(out, l)
	}
	return out
}

const (
	mostMarks   = 150         // drawn one by one in a lane
	densityBins = 160         // of a lane's density
	shortest    = time.Minute // that can be zoomed to
	listedRows  = 100         // records listed below the picture
)

// timelineData is what the page shows.
type timelineData struct {
	Picture           template.HTML
	From, To          time.Time
	Whole             [2]time.Time
	Fields            []field
	Path              string
	In, Out, Back, On string // addresses
	All               string
	Spans             []spanLink
	List              *listPage
	Drawn             []laneCount
	Span              string
	FromText, ToText  string
	Findings          []findingRow
	MoreFindings      int
	Start, End        int64 // of the picture, milliseconds since 1970, for choosing a part of it
	Query             string
	Bad               bool
	part              func(from, to time.Time) string
}

type spanLink struct {
	Name, Href string
	Now        bool
}

type laneCount struct {
	Name     string
	Records  int64
	Findings int
	Density  bool
}

type findingRow struct {
	Title, Href, Severity, Stage string
	First, Last                  casefile.Time
}

// span is what of the case the time line shows, and how narrowed.
type span struct {
	from, to  time.Time
	campaign  string
	stage     string
	certainty string
	entity    string
}

// where is the condition on table moments, without the time.
func (w span) where() (string, []any) {
	var parts []string
	var args []any
	add := func(p string, a ...any) { parts, args = append(parts, p), append(args, a...) }
	if w.campaign == "none" {
		add("campaign IS NULL")
	} else if w.campaign != "" {
		add("campaign = ?", w.campaign)
	}
	if w.stage != "" {
		add("stage = ?", w.stage)
	}
	if w.certainty != "" {
		add("rank = ?", int64(casefile.Certainty(w.certainty).Rank()))
	}
	if w.entity != "" {
		add("(actor = ? OR ip = ? OR target = ?)", w.entity, w.entity, w.entity)
	}
	if len(parts) == 0 {
		return "true", nil
	}
	return strings.Join(parts, " AND "), args
}

// has reports whether a finding is in the span.
func (w span) has(v *visit, f *casefile.Finding) bool {
	_, in := v.d.Finding(f.ID)
	switch {
	case f.First.IsZero() || !f.First.Before(w.to) || casefile.Later(f.First, f.Last).Before(w.from),
		w.stage != "" && f.Stage != w.stage,
		w.campaign == "none" && in != nil,
		w.campaign != "" && w.campaign != "none" && (in == nil || in.ID != w.campaign),
		w.certainty != "": // findings have a severity instead
		return false
	}
	return w.entity == "" || slices.ContainsFunc(f.Entities, func(e casefile.Entity) bool { return e.ID == w.entity || e.Name == w.entity })
}

func (s *Server) timeline(v *visit) error {
	q := v.r.URL.Query()
	c := v.d.Case
	d := timelineData{Path: v.link().To("timeline")}
	d.Whole = bounds(c, q.Get("campaign"))
	w := span{from: d.Whole[0], to: d.Whole[1], campaign: q.Get("campaign"), stage: q.Get("stage"), certainty: q.Get("certainty"), entity: strings.TrimSpace(q.Get("entity"))}
	d.Fields = []field{
		{filter: filter{Key: "from", Title: "From", Kind: "from"}, Value: q.Get("from")},
		{filter: filter{Key: "to", Title: "Until", Kind: "to"}, Value: q.Get("to")},
		{filter: filter{Key: "campaign", Title: "Campaign", Kind: "choice", Choices: append(v.campaignIDs(), "none")}, Value: w.campaign},
		{filter: filter{Key: "stage", Title: "Stage", Kind: "choice", Choices: stages()}, Value: w.stage},
		{filter: filter{Key: "certainty", Title: "Certainty", Kind: "choice", Choices: certainties()}, Value: w.certainty},
		{filter: filter{Key: "entity", Title: "Account, address or mailbox", Hint: "exactly as it stands in the case"}, Value: w.entity},
	}
	for i := range d.Fields {
		f := &d.Fields[i]
		if f.Value == "" || f.Kind != "from" && f.Kind != "to" {
			if f.Kind == "choice" && f.Value != "" && !slices.Contains(f.Choices, f.Value) {
				f.Bad, d.Bad = "choose one of the list", true
			}
			continue
		}
		t, ok := moment(f.Value)
		switch {
		case !ok:
			f.Bad, d.Bad = "a time looks like 2024-01-12 09:30 (UTC)", true
		case f.Key == "from":
			w.from = t
		default:
			w.to = t
		}
	}
	if w.to.Sub(w.from) < shortest {
		w.to = w.from.Add(shortest)
	}
	d.From, d.To = w.from, w.to
	d.FromText, d.ToText = stamp(w.from), stamp(w.to)
	d.Span = spanWords(w.to.Sub(w.from))
	d.Start, d.End = w.from.UnixMilli(), w.to.UnixMilli()
	d.zoom(q)
	p, err := s.picture(v, w, &d)
	if err != nil {
		return err
	}
	if d.Picture, err = part(func(b *bytes.Buffer) error { return p.WriteSVG(b) }); err != nil {
		return err
	}
	if d.List, err = s.listOf(v, v.momentList(w), v.d.Tables); err != nil {
		return err
	}
	d.List.Query.Del("page")
	status := http.StatusOK
	if d.Bad {
		status = http.StatusBadRequest
	}
	return s.showAs(v, status, "timeline", "timeline", "Timeline", d)
}

// bounds are the first and last moment of a campaign, or of all findings, with
// some room.
func bounds(c *casefile.Case, campaign string) [2]time.Time {
	var first, last casefile.Time
	for _, x := range c.Campaigns {
		if campaign == "" || campaign == x.ID {
			first, last = casefile.Earlier(first, x.Start), casefile.Later(last, x.End)
		}
	}
	if campaign == "" || first.IsZero() {
		for _, f := range c.Findings {
			first, last = casefile.Earlier(first, f.First), casefile.Later(last, f.Last)
		}
	}
	if first.IsZero() {
		first, last = c.Case.First, c.Case.Last
	}
	if first.IsZero() {
		return [2]time.Time{time.Unix(0, 0).UTC(), time.Unix(86400, 0).UTC()}
	}
	room := max(last.Sub(first.Time)/50, time.Minute)
	return [2]time.Time{first.Add(-room).Truncate(time.Second), last.Add(room).Truncate(time.Second).Add(time.Second)}
}

// zoom makes the addresses of what lies around the span.
func (d *timelineData) zoom(q url.Values) {
	to := func(from, to time.Time) string {
		if to.Sub(from) < shortest {
			mid := from.Add(to.Sub(from) / 2)
			from, to = mid.Add(-shortest/2), mid.Add(shortest/2)
		}
		n := url.Values{}
		for k, x := range q {
			n[k] = x
		}
		n.Del("page")
		n.Set("from", stamp(from))
		n.Set("to", stamp(to))
		return d.Path + "?" + n.Encode()
	}
	d.part = to
	length := d.To.Sub(d.From)
	mid := d.From.Add(length / 2)
	d.In, d.Out = to(d.From.Add(length/4), d.To.Add(-length/4)), to(d.From.Add(-length/2), d.To.Add(length/2))
	d.Back, d.On = to(d.From.Add(-length/2), d.To.Add(-length/2)), to(d.From.Add(length/2), d.To.Add(length/2))
	n := url.Values{}
	for k, x := range q {
		if k != "from" && k != "to" && k != "page" {
			n[k] = x
		}
	}
	d.All, d.Query = d.Path+"?"+n.Encode(), n.Encode()
	for _, s := range []struct {
		name string
		d    time.Duration
	}{{"2 months", 61 * 24 * time.Hour}, {"a week", 7 * 24 * time.Hour}, {"a day", 24 * time.Hour}, {"an hour", time.Hour}, {"10 minutes", 10 * time.Minute}, {"a minute", time.Minute}} {
		d.Spans = append(d.Spans, spanLink{s.name, to(mid.Add(-s.d/2), mid.Add(s.d/2)), length == s.d})
	}
}

func spanWords(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}

// picture collects what is drawn.
func (s *Server) picture(v *visit, w span, d *timelineData) (*report.TimePicture, error) {
	ctx, l := v.r.Context(), v.link()
	p := &report.TimePicture{Title: "Timeline from " + d.FromText + " to " + d.ToText + " UTC", From: w.from, To: w.to, Both: true, Density: map[string][]int64{}, Zoom: d.part}
	for _, x := range v.d.Case.Campaigns {
		if w.campaign == "" || w.campaign == x.ID {
			p.Flags = append(p.Flags, v.sh.view.Flags(x.ID)...)
		}
	}
	cond, args := w.where()
	for _, ln := range lanes() {
		p.Lanes = append(p.Lanes, ln.Name)
		n := laneCount{Name: ln.Name}
		var found []findingRow
		for i := range v.d.Case.Findings {
			f := &v.d.Case.Findings[i]
			if !slices.Contains(ln.Stages, f.Stage) || !w.has(v, f) {
				continue
			}
			n.Findings++
			found = append(found, findingRow{report.Clean(f.Title), l.Finding(f.ID), string(f.Severity), f.Stage, f.First, f.Last})
			if n.Findings <= mostMarks {
				_, in := v.d.Finding(f.ID)
				m := report.TimeMark{ID: f.ID, Lane: ln.Name, Title: report.Clean(f.Title), Href: l.Finding(f.ID), From: f.First.Time, Until: f.Last.Time, Severity: string(f.Severity), Stage: f.Stage}
				if in != nil {
					m.Campaign = in.ID
				}
				p.Marks = append(p.Marks, m)
			}
		}
		d.Findings = append(d.Findings, found...)
		if len(ln.Stages) == 0 {
			if err := s.responses(v, w, p, &n); err != nil {
				return nil, err
			}
		} else if err := v.lane(ctx, ln, w, cond, args, p, &n); err != nil {
			return nil, err
		}
		d.Drawn = append(d.Drawn, n)
	}
	slices.SortFunc(d.Findings, func(a, b findingRow) int { return a.First.Compare(b.First.Time) })
	if len(d.Findings) > listedRows {
		d.MoreFindings = len(d.Findings) - listedRows
		d.Findings = d.Findings[:listedRows]
	}
	return p, nil
}

// laneRecords draws the records of a lane one by one, or their density.
func laneRecords(ctx context.Context, db store.Querier, ln lane, w span, cond string, args []any, l links, p *report.TimePicture, n *laneCount) error {
	in := "stage IN ('" + strings.Join(ln.Stages, "', '") + "')"
	where := " FROM moments WHERE moment >= ? AND moment < ? AND " + in + " AND " + cond
	all := append([]any{w.from, w.to}, args...)
	if err := one(ctx, db, &n.Records, "SELECT count(DISTINCT event)"+where, all...); err != nil {
		return err
	}
	if n.Records <= mostMarks {
		return store.Each(ctx, db, "SELECT event, max(moment), max(stage), max(coalesce(campaign, '')), max(rank), max(coalesce(operation, '')), max(coalesce(actor, '')), max(coalesce(target, ''))"+where+" GROUP BY event ORDER BY 2, 1", all, func(scan func(...any) error) error {
			var id, stage, campaign, op, actor, target string
			var rank int64
			var t time.Time
			if err := scan(&id, &t, &stage, &campaign, &rank, &op, &actor, &target); err != nil {
				return err
			}
			title := report.Clean(op)
			if actor != "" {
				title += " by " + report.Clean(actor)
			}
			if target != "" {
				title += " on " + report.Clean(target)
			}
			p.Marks = append(p.Marks, report.TimeMark{ID: id, Lane: ln.Name, Title: title, Href: l.Record(id), From: t, Until: t, Stage: stage, Campaign: campaign, Certainty: rankWord(rank)})
			return nil
		})
	}
	n.Density = true
	bins := make([]int64, densityBins)
	step := w.to.Sub(w.from).Microseconds()
	query := fmt.Sprintf("SELECT least((epoch_us(moment) - %d) * %d // %d, %d) AS bin, count(DISTINCT event)%s GROUP BY 1", w.from.UnixMicro(), densityBins, step, densityBins-1, where)
	err := store.Each(ctx, db, query, all, func(scan func(...any) error) error {
		var bin, k int64
		if err := scan(&bin, &k); err != nil {
			return err
		}
		if bin >= 0 && bin < densityBins {
			bins[bin] += k
		}
		return nil
	})
	p.Density[ln.Name] = bins
	return err
}

func rankWord(rank int64) string {
	switch rank {
	case 3:
		return string(casefile.Confirmed)
	case 2:
		return string(casefile.Probable)
	case 1:
		return string(casefile.Possible)
	}
	return ""
}

// responses are what people did, as the journal says.
func (s *Server) responses(v *visit, w span, p *report.TimePicture, n *laneCount) error {
	if w.entity != "" || w.stage != "" || w.certainty != "" {
		return nil
	}
	es, err := s.Work.Since(v.d.Dir, 0)
	if err != nil {
		return nil //nolint:nilerr // the work page tells what is wrong with the journal
	}
	for i := range es {
		e := v.entryFor(&es[i])
		if es[i].Time.Before(w.from) || !es[i].Time.Before(w.to) || n.Records >= mostMarks {
			continue
		}
		n.Records++
		p.Marks = append(p.Marks, report.TimeMark{ID: "entry-" + strconv.FormatInt(e.Seq, 10), Lane: "response", Title: e.Kind + " by " + e.Who + ": " + e.Text, Href: v.link().To("work", "journal") + "#entry-" + strconv.FormatInt(e.Seq, 10), From: es[i].Time, Until: es[i].Time})
	}
	return nil
}

// momentList are the records of the span, listed: what the picture shows for
// those who do not see it.
func (v *visit) momentList(w span) *list {
	l := v.link()
	cond, args := w.where()
	return &list{
		Path: l.To("timeline"), From: "moments", Where: "moment >= ? AND moment < ? AND " + cond, Args: append([]any{w.from, w.to}, args...), Sort: "moment", Then: "event, stage, campaign", Per: listedRows, Noun: "record", Hidden: []string{"event", "campaign"},
		Columns: []column{
			{Key: "moment", Title: "Time, UTC", Cell: func(r values) cell {
				c := timeCell("moment")(r)
				c.Href = l.Record(r.text("event"))
				return c
			}},
			{Key: "stage", Title: "Stage"},
			{Key: "operation", Title: "Operation"},
			{Key: "actor", Title: "Who", Cell: func(r values) cell { return cell{Kind: "upn", Text: r.text("actor")} }},
			{Key: "ip", Title: "From", Cell: func(r values) cell { return cell{Kind: "id", Text: r.text("ip")} }},
			{Key: "target", Title: "On", Cell: func(r values) cell { return cell{Kind: "upn", Text: r.text("target")} }},
			{Key: "rank", Title: "Certainty", Cell: func(r values) cell {
				n, _ := r.number("rank")
				return cell{Kind: "cert", Text: rankWord(n)}
			}},
		},
		Empty: "No claim stands on a record of this time.",
	}
}
