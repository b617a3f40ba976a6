package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"midwatch/casefile"
)

// A graph is laid out in layers (Sugiyama, Tagawa and Toda 1981): each stage is
// a column, edges that pass columns get a place in each, nodes are put in the
// order of their neighbours' middle until that stops helping, and then moved
// towards their neighbours. On a phone it is one column with arcs beside it.

type graphView struct {
	*Graph
	N      int
	Wide   *graphPicture
	Narrow *graphPicture
	Rows   []graphRow
	Cut    int
}

type graphRow struct {
	GraphEdge
	A, B  string
	Cites cites
}

type graphPicture struct {
	Narrow bool
	W, H   float64
	Heads  []tick // names of the stages
	Nodes  []graphBox
	Edges  []graphLine
	Title  string
}

type graphBox struct {
	GraphNode
	X, Y, W, H float64
	Lines      []graphText
	Certs      []graphCert
}

type graphText struct {
	X, Y float64
	Text string
	Sub  bool
}

type graphCert struct {
	X, Y      float64
	Certainty casefile.Certainty
	Text      string
}

type graphLine struct {
	GraphEdge
	Path, Arrow string
	Labels      []graphText
}

const (
	graphW   = 1000.0
	boxW     = 142.0
	boxGap   = 16.0
	graphTop = 30.0
)

func stageName(stage int) string {
	return []string{"Networks", "Accounts", "Keys, sessions, permissions", "Applications", "Mail"}[stage]
}

// drawn lays the graph of a campaign out.
func (p *page) drawn(c campaignView, o GraphOptions) *graphView {
	g := p.graph(c.Campaign, o)
	if g == nil || len(g.Edges) == 0 {
		return nil
	}
	v := &graphView{Graph: g, N: c.N}
	title := "How the actor moved: " + c.Title
	v.Wide, v.Narrow = layered(g, title), listed(g, title)
	label := map[string]string{}
	for _, n := range g.Nodes {
		label[n.ID] = n.Label
		if n.Count == 1 && n.Entity.ID != "" && n.Kind != "permission" && n.Kind != "app" && n.Kind != "session" {
			label[n.ID] = n.Entity.ID
		}
	}
	edges, left := cut(g.Edges, p.Rows)
	v.Cut = left
	for _, e := range edges {
		r := graphRow{GraphEdge: e, A: label[e.From], B: label[e.To], Cites: p.Cite(e.Events, 0)}
		v.Rows = append(v.Rows, r)
	}
	return v
}

// Graph is the graph of a campaign as the page has it.
func (p *page) Graph(c campaignView) *graphView { return p.drawn(c, GraphOptions{}) }

// fit shortens a text to a number of letters.
func fit(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// box makes a node's texts, letters wide at most.
func box(n GraphNode, w float64, letters int) graphBox {
	b := graphBox{GraphNode: n, W: w}
	b.Lines = []graphText{{10, 18, fit(n.Label, letters), false}, {10, 33, fit(n.Sub, letters+4), true}}
	y := 33.0
	for _, c := range []certainCount{{casefile.Confirmed, n.Certainty.Confirmed}, {casefile.Probable, n.Certainty.Probable}, {casefile.Possible, n.Certainty.Possible}} {
		if c.Count == 0 {
			continue
		}
		y += 16
		t := string(c.Certainty)
		if n.Count > 1 {
			t = number(c.Count) + " " + t
		}
		b.Certs = append(b.Certs, graphCert{10, y, c.Certainty, t})
	}
	b.H = y + 10
	return b
}

// place is a node, or where an edge passes a column.
type place struct {
	box   int // index of its box; -1: a passage
	col   int
	y, h  float64
	first casefile.Time
	id    string
	near  []int // neighbours in the columns beside it
}

func layered(g *Graph, title string) *graphPicture {
	pic := &graphPicture{W: graphW, Title: title}
	drawn := pairsOf(g)
	cols, column := columnsOf(g)
	pitch := 0.0
	if cols > 1 {
		pitch = (graphW - 6 - boxW) / float64(cols-1)
	}
	var places []place
	at := map[string]int{}
	for _, n := range g.Nodes {
		b := box(n, boxW, 16)
		b.X = round(pitch * float64(column[n.Stage]))
		pic.Nodes = append(pic.Nodes, b)
		at[n.ID] = len(places)
		places = append(places, place{box: len(pic.Nodes) - 1, col: column[n.Stage], h: b.H, first: n.First, id: n.ID})
	}
	for stage := range 5 {
		if k, ok := column[stage]; ok {
			pic.Heads = append(pic.Heads, tick{round(pitch * float64(k)), stageName(stage)})
		}
	}
	// Edges between the same two nodes share their way.
	ways := map[string][]int{}
	for _, e := range drawn {
		a, b := at[e.From], at[e.To]
		if places[a].col > places[b].col {
			a, b = b, a
		}
		key := fmt.Sprint(a, " ", b)
		if _, ok := ways[key]; ok {
			continue
		}
		way := []int{a}
		for col := places[a].col + 1; col < places[b].col; col++ {
			places = append(places, place{box: -1, col: col, h: 8, first: e.First, id: key})
			way = append(way, len(places)-1)
		}
		way = append(way, b)
		ways[key] = way
		for i := 1; i < len(way); i++ {
			if places[way[i]].col != places[way[i-1]].col {
				places[way[i]].near = append(places[way[i]].near, way[i-1])
				places[way[i-1]].near = append(places[way[i-1]].near, way[i])
			}
		}
	}
	pic.H = arrange(places, cols) + 10
	for _, x := range places {
		if x.box >= 0 {
			pic.Nodes[x.box].Y = round(x.y)
		}
	}
	// How many edges leave and enter each side, so that they do not meet in one point.
	type side struct {
		at    int
		right bool
	}
	var lines []graphLine
	ports := map[side][]int{}
	for _, e := range drawn {
		a, b := at[e.From], at[e.To]
		ports[side{a, places[b].col >= places[a].col}] = append(ports[side{a, places[b].col >= places[a].col}], len(lines))
		ports[side{b, places[a].col > places[b].col || places[a].col == places[b].col}] = append(ports[side{b, places[a].col > places[b].col || places[a].col == places[b].col}], len(lines))
		lines = append(lines, graphLine{GraphEdge: e.GraphEdge})
	}
	port := func(s side, line int, other int) float64 {
		list := slices.Clone(ports[s])
		slices.SortStableFunc(list, func(i, j int) int {
			return cmp.Compare(middleOf(places, at, drawn[i], s.at), middleOf(places, at, drawn[j], s.at))
		})
		k := slices.Index(list, line)
		x := places[s.at]
		return round(x.y + x.h*(float64(k)+1)/float64(len(list)+1))
	}
	var taken []rect
	for _, n := range pic.Nodes {
		taken = append(taken, rect{n.X, n.Y, n.X + n.W, n.Y + n.H})
	}
	for i := range lines {
		e := &lines[i]
		a, b := at[e.From], at[e.To]
		forward := places[b].col >= places[a].col
		same := places[a].col == places[b].col
		lo, hi := a, b
		if !forward {
			lo, hi = b, a
		}
		way := ways[fmt.Sprint(lo, " ", hi)]
		var pts [][2]float64
		if same {
			ya, yb := port(side{a, true}, i, b), port(side{b, true}, i, a)
			x := round(pitch*float64(places[a].col) + boxW)
			e.Path = fmt.Sprintf("M%g %gC%g %g %g %g %g %g", x, ya, x+44, ya, x+44, yb, x+6, yb)
			e.Arrow = fmt.Sprintf("M%g %gl7 -4v8z", x+1, yb)
			pts = [][2]float64{{x + 34, (ya + yb) / 2}, {x + 34, (ya + yb) / 2}}
		} else {
			for k, w := range way {
				x := pitch * float64(places[w].col)
				switch {
				case k == 0:
					pts = append(pts, [2]float64{x + boxW, port(side{lo, true}, i, hi)})
				case k == len(way)-1:
					pts = append(pts, [2]float64{x, port(side{hi, false}, i, lo)})
				default:
					y := places[w].y + places[w].h/2
					pts = append(pts, [2]float64{x, y}, [2]float64{x + boxW, y})
				}
			}
			e.Path, e.Arrow = curve(pts, forward)
		}
		e.Labels = label(drawn[i], pts, forward, &taken)
	}
	pic.Edges = lines
	return pic
}

// graphPair is everything that one node did to another: one line.
type graphPair struct {
	GraphEdge
	Verbs []string
}

// pairsOf joins the edges between the same nodes.
func pairsOf(g *Graph) []graphPair {
	var out []graphPair
	for _, e := range g.Edges {
		i := slices.IndexFunc(out, func(o graphPair) bool { return o.From == e.From && o.To == e.To })
		if i < 0 {
			out = append(out, graphPair{e, []string{e.Verb}})
			continue
		}
		o := &out[i]
		o.Verbs = append(o.Verbs, e.Verb)
		o.Title += "; " + e.Title
		if e.Certainty.Rank() > o.Certainty.Rank() {
			o.Certainty = e.Certainty
		}
	}
	return out
}

// middleOf is where the other end of an edge stands.
func middleOf(places []place, at map[string]int, e graphPair, here int) float64 {
	o := at[e.To]
	if o == here {
		o = at[e.From]
	}
	return places[o].y + places[o].h/2
}

// columnsOf gives the stages that have nodes a column.
func columnsOf(g *Graph) (int, map[int]int) {
	column := map[int]int{}
	for _, n := range g.Nodes {
		column[n.Stage] = 0
	}
	k := 0
	for stage := range 5 {
		if _, ok := column[stage]; ok {
			column[stage] = k
			k++
		}
	}
	return k, column
}

// arrange orders the places of each column and gives them a height. It returns
// where the picture ends.
func arrange(places []place, cols int) float64 {
	order := make([][]int, cols)
	for i, x := range places {
		order[x.col] = append(order[x.col], i)
	}
	for _, o := range order {
		slices.SortFunc(o, func(a, b int) int {
			return cmp.Or(earlier(places[a].first, places[b].first), strings.Compare(places[a].id, places[b].id))
		})
	}
	pos := make([]float64, len(places))
	number := func(o []int) {
		for k, i := range o {
			pos[i] = (float64(k) + 0.5) / float64(len(o))
		}
	}
	for _, o := range order {
		number(o)
	}
	best, least := clone2(order), crossings(places, order)
	for sweep := range 12 {
		for k := range cols {
			col := k
			if sweep%2 == 1 {
				col = cols - 1 - k
			}
			middle := map[int]float64{}
			for _, i := range order[col] {
				sum, n := 0.0, 0
				for _, o := range places[i].near {
					sum, n = sum+pos[o], n+1
				}
				if middle[i] = pos[i]; n > 0 {
					middle[i] = sum / float64(n)
				}
			}
			slices.SortStableFunc(order[col], func(a, b int) int { return cmp.Compare(middle[a], middle[b]) })
			number(order[col])
		}
		if n := crossings(places, order); n < least {
			best, least = clone2(order), n
		}
	}
	order = best
	height := 0.0
	for _, o := range order {
		y := graphTop
		for _, i := range o {
			places[i].y = y
			y += places[i].h + boxGap
		}
		height = max(height, y-boxGap)
	}
	for _, o := range order { // in the middle, to begin with
		last := o[len(o)-1]
		shift := (height - places[last].y - places[last].h) / 2
		for _, i := range o {
			places[i].y += shift
		}
	}
	for round := range 10 {
		for k := range cols {
			if round%2 == 1 {
				k = cols - 1 - k
			}
			o := order[k]
			want := make([]float64, len(o))
			for j, i := range o {
				x := places[i]
				sum := 0.0
				for _, q := range x.near {
					sum += places[q].y + places[q].h/2
				}
				if want[j] = x.y; len(x.near) > 0 {
					want[j] = sum/float64(len(x.near)) - x.h/2
				}
			}
			settle(places, o, want, height)
		}
	}
	return height
}

func clone2(o [][]int) [][]int {
	out := make([][]int, len(o))
	for i := range o {
		out[i] = slices.Clone(o[i])
	}
	return out
}

// settle puts the places of a column as near to where they want to be as their
// order and the picture's height allow.
func settle(places []place, o []int, want []float64, height float64) {
	down := make([]float64, len(o))
	y := graphTop
	for j, i := range o {
		down[j] = max(want[j], y)
		y = down[j] + places[i].h + boxGap
	}
	end := height
	for j := len(o) - 1; j >= 0; j-- {
		i := o[j]
		places[i].y = max(min(down[j], end-places[i].h), graphTop)
		end = places[i].y - boxGap
	}
}

// crossings counts the pairs of edges between neighbouring columns that cross.
func crossings(places []place, order [][]int) int {
	rank := make([]int, len(places))
	for _, o := range order {
		for k, i := range o {
			rank[i] = k
		}
	}
	n := 0
	for c := 0; c+1 < len(order); c++ {
		var pairs [][2]int
		for _, i := range order[c] {
			for _, o := range places[i].near {
				if places[o].col == c+1 {
					pairs = append(pairs, [2]int{rank[i], rank[o]})
				}
			}
		}
		for i := range pairs {
			for j := range i {
				if (pairs[i][0]-pairs[j][0])*(pairs[i][1]-pairs[j][1]) < 0 {
					n++
				}
			}
		}
	}
	return n
}

// curve draws an edge through points, from left to right or back.
func curve(pts [][2]float64, forward bool) (path, arrow string) {
	pts = slices.Clone(pts)
	dir := 1.0
	if !forward {
		slices.Reverse(pts)
		dir = -1
	}
	end := pts[len(pts)-1]
	arrow = fmt.Sprintf("M%g %gl%g -4v8z", round(end[0]-dir), round(end[1]), -7*dir)
	pts[len(pts)-1][0] -= 7 * dir
	var b strings.Builder
	fmt.Fprintf(&b, "M%g %g", round(pts[0][0]), round(pts[0][1]))
	for k := 1; k < len(pts); k++ {
		p, q := pts[k-1], pts[k]
		if math.Abs(p[1]-q[1]) < 0.5 {
			fmt.Fprintf(&b, "L%g %g", round(q[0]), round(q[1]))
			continue
		}
		m := (q[0] - p[0]) * 0.5
		fmt.Fprintf(&b, "C%g %g %g %g %g %g", round(p[0]+m), round(p[1]), round(q[0]-m), round(q[1]), round(q[0]), round(q[1]))
	}
	return b.String(), arrow
}

type rect struct{ x1, y1, x2, y2 float64 }

func (r rect) meets(o rect) bool { return r.x1 < o.x2 && o.x1 < r.x2 && r.y1 < o.y2 && o.y1 < r.y2 }

// label finds a place for an edge's verb and day where nothing else is. Where
// there is none the table has them.
func label(e graphPair, pts [][2]float64, forward bool, taken *[]rect) []graphText {
	if len(pts) < 2 {
		return nil
	}
	verb, date := e.Verbs[0], ""
	if len(e.Verbs) > 1 {
		verb = e.Verbs[0] + ", " + e.Verbs[1]
	}
	if len(verb) > 13 || len(e.Verbs) > 2 { // what came last leads furthest
		verb = e.Verbs[len(e.Verbs)-1] + " +" + number(int64(len(e.Verbs)-1))
	}
	if !e.First.IsZero() {
		date = e.First.UTC().Format("2 Jan")
	}
	w := 6.6 * float64(max(len(verb), len(date)))
	segments := [][2][2]float64{{pts[0], pts[1]}}
	if last := len(pts) - 1; last > 1 {
		segments = append(segments, [2][2]float64{pts[last-1], pts[last]})
	}
	if !forward {
		slices.Reverse(segments)
	}
	for _, s := range segments {
		for _, t := range []float64{0.5, 0.36, 0.64, 0.25, 0.75} {
			x := s[0][0] + (s[1][0]-s[0][0])*t
			u := t * t * (3 - 2*t)
			y := s[0][1] + (s[1][1]-s[0][1])*u
			r := rect{x - w/2, y - 13, x + w/2, y + 13}
			if slices.ContainsFunc(*taken, r.meets) {
				continue
			}
			*taken = append(*taken, r)
			out := []graphText{{round(x), round(y - 2), verb, false}}
			if date != "" {
				out = append(out, graphText{round(x), round(y + 10), date, true})
			}
			return out
		}
	}
	return nil
}

// listed draws the graph for a phone: the nodes below each other, arcs beside
// them, and what was done to each in words.
func listed(g *Graph, title string) *graphPicture {
	pic := &graphPicture{W: 360, Narrow: true, Title: title}
	const left = 64.0
	label := map[string]string{}
	for _, n := range g.Nodes {
		label[n.ID] = n.Label
	}
	y := 8.0
	at := map[string]int{}
	stage := -1
	for _, n := range g.Nodes {
		if n.Stage != stage {
			stage = n.Stage
			y += 12
			pic.Heads = append(pic.Heads, tick{y, stageName(stage)})
			y += 10
		}
		b := box(n, 360-left-2, 34)
		b.X, b.Y = left, y
		more := 0
		for _, e := range g.Edges {
			if e.To != n.ID {
				continue
			}
			if more++; more > 3 {
				continue
			}
			s := e.Verb + ": " + label[e.From]
			if !e.First.IsZero() {
				s += ", " + e.First.UTC().Format("2 Jan")
			}
			b.Lines = append(b.Lines, graphText{10, b.H + 6, fit(s, 40), true})
			b.H += 16
		}
		if more > 3 {
			b.Lines = append(b.Lines, graphText{10, b.H + 6, "and " + number(int64(more-3)) + " more", true})
			b.H += 16
		}
		at[n.ID] = len(pic.Nodes)
		pic.Nodes = append(pic.Nodes, b)
		y += b.H + 10
	}
	pic.H = y
	out := map[int]int{}
	for _, e := range pairsOf(g) {
		a, b := at[e.From], at[e.To]
		out[a]++
		ya := round(pic.Nodes[a].Y + min(pic.Nodes[a].H-6, 10+5*float64(out[a])))
		yb := round(pic.Nodes[b].Y + 14)
		depth := min(16+6*math.Abs(float64(a-b)), left-6)
		x := left - depth
		pic.Edges = append(pic.Edges, graphLine{GraphEdge: e.GraphEdge,
			Path:  fmt.Sprintf("M%g %gC%g %g %g %g %g %g", left, ya, round(x-8), ya, round(x-8), yb, left-7, yb),
			Arrow: fmt.Sprintf("M%g %gl-7 -4v8z", left-1, yb)})
	}
	return pic
}

// Top is the upper edge of a certainty's shape.
func (c graphCert) Top() float64 { return c.Y - 9.5 }
