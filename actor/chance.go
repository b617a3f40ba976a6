package actor

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// model is what scores are computed with: the observed techniques in
// families, and how popular every technique is. Weights are hundredths of a
// bit, so that sums are exact.
type model struct {
	groups   int
	count    map[string]int // technique -> groups that are known for it
	family   map[string]int // parent -> groups that are known for any of its family
	names    map[string]technique
	families []family
	universe []string        // techniques that breadth is counted in, ascending
	in       map[string]bool // the same
	rate     map[int]float64 // breadth -> see odds
	chances  map[int]dist    // breadth -> score
}

// family is a technique with its sub-techniques, of which some were observed.
type family struct {
	parent   string
	observed []string // ascending; only the parent, or only sub-techniques
	all      []string // of the universe, ascending
}

// parent is the technique that a sub-technique belongs to; a technique is its own.
func parent(id string) string {
	p, _, _ := strings.Cut(id, ".")
	return p
}

func (t *Table) model(observed []string) *model {
	m := &model{groups: len(t.groups), count: map[string]int{}, family: map[string]int{}, names: t.techniques, in: map[string]bool{}, rate: map[int]float64{}, chances: map[int]dist{}}
	for _, g := range t.groups {
		seen := map[string]bool{}
		for id := range g.uses {
			m.count[id]++
			if p := parent(id); !seen[p] {
				seen[p] = true
				m.family[p]++
			}
		}
	}
	for _, id := range observed {
		p := parent(id)
		if n := len(m.families); n == 0 || m.families[n-1].parent != p {
			m.families = append(m.families, family{parent: p})
		}
		f := &m.families[len(m.families)-1]
		f.observed = append(f.observed, id)
	}
	for id, k := range t.techniques {
		i := slices.IndexFunc(m.families, func(f family) bool { return f.parent == parent(id) })
		if k.status == "" && (k.cloud || i >= 0) && m.count[id] > 0 {
			m.universe, m.in[id] = append(m.universe, id), true
		}
		if i >= 0 {
			m.families[i].all = append(m.families[i].all, id)
		}
	}
	slices.Sort(m.universe)
	for _, f := range m.families {
		slices.Sort(f.all)
	}
	return m
}

// known is how many groups are known for an observed technique.
func (m *model) known(id string) int {
	if strings.Contains(id, ".") {
		return m.count[id]
	}
	return m.family[id]
}

// weight is what a match of a technique tells; of a parent, what a match of
// its family does. At least a hundredth, so that a match is never nothing.
func (m *model) weight(id string) int {
	n := m.known(id)
	if n == 0 {
		return 0
	}
	return max(1, int(math.Round(100*math.Log2(float64(m.groups)/float64(n)))))
}

// match compares a group.
func (m *model) match(g group) Match {
	x := Match{Group: g.id, Matched: []Matched{}, Missed: []string{}}
	score := m.compare(g, &x)
	for _, id := range m.universe {
		if g.uses[id] {
			x.Breadth++
		}
	}
	x.Score = bits(score)
	if score == 0 {
		return x
	}
	above, expected := 0.0, 0.0
	for s, p := range m.scores(x.Breadth) {
		expected += float64(s) * p
		if s >= score {
			above += p
		}
	}
	above = min(1, above)
	x.Expected, x.Percentile, x.ByChance = round(expected/100), round(1-above), round(above*float64(m.groups))
	return x
}

// compare fills in what a group matches and misses, and returns its score.
func (m *model) compare(g group, x *Match) (score int) {
	for _, f := range m.families {
		exact := 0
		var missed []string
		for _, id := range f.observed {
			has := g.uses[id]
			if id == f.parent {
				has = slices.ContainsFunc(f.all, func(s string) bool { return g.uses[s] })
			}
			if !has {
				missed = append(missed, id)
				continue
			}
			exact += m.weight(id)
			x.Matched = append(x.Matched, Matched{ID: id, Name: m.names[id].name, Groups: m.known(id), Bits: bits(m.weight(id))})
		}
		if exact == 0 && g.uses[f.parent] && len(missed) > 0 {
			exact = m.weight(f.parent)
			x.Matched = append(x.Matched, Matched{ID: missed[0], Name: m.names[missed[0]].name, As: f.parent, Groups: m.family[f.parent], Bits: bits(exact)})
			missed = missed[1:]
		}
		x.Missed = append(x.Missed, missed...)
		score += exact
	}
	slices.SortStableFunc(x.Matched, func(a, b Matched) int { return cmp.Compare(b.Bits, a.Bits) })
	return score
}

// round keeps six places, so that the case's bytes do not depend on the order
// of additions in the last bits.
func round(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// odds is the probability that a random group of a breadth is known for a
// technique: 1-exp(-r*count), where r makes the expected number of techniques
// of the universe equal to the breadth.
func (m *model) odds(breadth int) func(id string) float64 {
	r, ok := m.rate[breadth]
	if !ok {
		low, high := 0.0, 64.0
		for range 60 {
			r = (low + high) / 2
			n := 0.0
			for _, id := range m.universe {
				n -= math.Expm1(-r * float64(m.count[id]))
			}
			if n < float64(breadth) {
				low = r
			} else {
				high = r
			}
		}
		m.rate[breadth] = r
	}
	return func(id string) float64 {
		if !m.in[id] {
			return 0
		}
		return -math.Expm1(-r * float64(m.count[id]))
	}
}

// scores is the distribution of the score of random groups of a breadth.
func (m *model) scores(breadth int) dist {
	if d, ok := m.chances[breadth]; ok {
		return d
	}
	odds := m.odds(breadth)
	total := dist{1}
	for _, f := range m.families {
		total = total.plus(m.familyScores(f, odds))
	}
	m.chances[breadth] = total
	return total
}

func (m *model) familyScores(f family, odds func(string) float64) dist {
	if f.observed[0] == f.parent {
		none := 1.0
		for _, id := range f.all {
			none *= 1 - odds(id)
		}
		return outcomes(m.weight(f.parent), 1-none)
	}
	d := dist{1}
	for _, id := range f.observed {
		d = d.plus(outcomes(m.weight(id), odds(id)))
	}
	if p := odds(f.parent); p > 0 { // no sub-technique matches, the parent does
		w := m.weight(f.parent)
		d = append(d, make(dist, max(0, w+1-len(d)))...)
		d[w] += d[0] * p
		d[0] *= 1 - p
	}
	return d
}

// dist is the probability of each score, in hundredths of a bit.
type dist []float64

// outcomes is all or nothing.
func outcomes(weight int, p float64) dist {
	if weight == 0 {
		return dist{1}
	}
	d := make(dist, weight+1)
	d[0], d[weight] = 1-p, p
	return d
}

// plus is the distribution of the sum of two independent scores.
func (d dist) plus(e dist) dist {
	out := make(dist, len(d)+len(e)-1)
	for y, q := range e {
		if q == 0 {
			continue
		}
		for x, p := range d {
			out[x+y] += p * q
		}
	}
	return out
}
