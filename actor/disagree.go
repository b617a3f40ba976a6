package actor

import (
	"cmp"
	"fmt"
	"slices"
)

// disagreements lists what sources say differently about a group of entries:
// first entries of one source inside of it, then the other groups that
// something puts together with it.
func (t *Table) disagreements(root int) []Disagreement {
	out := t.inside(root)
	others := map[int]*Disagreement{}
	other := func(r int) *Disagreement {
		if others[r] == nil {
			d := &Disagreement{Same: []Statement{}, Apart: []Statement{}, Names: []string{}}
			d.Other, d.MITRE = t.title(r)
			others[r] = d
		}
		return others[r]
	}
	for _, r := range t.relations {
		a, b := t.cluster[r.a], t.cluster[r.b]
		if a == b || a != root && b != root {
			continue
		}
		p := other(a + b - root)
		p.Same = append(p.Same, t.related(r))
	}
	seen := map[string]bool{}
	for _, i := range t.members[root] {
		for _, n := range t.own[i] {
			k := t.names[n].keys[0]
			if seen[k] {
				continue
			}
			seen[k] = true
			for _, e := range t.holding(k) {
				r := t.cluster[e]
				if r == root {
					continue
				}
				p := other(r)
				if !slices.Contains(p.Names, t.names[n].text) {
					p.Names = append(p.Names, t.names[n].text)
				}
				for _, m := range t.holders[k] {
					if t.names[m].entry == e {
						p.Same = append(p.Same, t.called(m))
					}
				}
			}
		}
	}
	for r, p := range others {
		p.Apart = t.apart(root, r)
	}
	rest := make([]Disagreement, 0, len(others))
	for _, p := range others {
		slices.Sort(p.Names)
		rest = append(rest, *p)
	}
	slices.SortFunc(rest, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(len(b.Same), len(a.Same)), cmp.Compare(a.Other, b.Other), cmp.Compare(a.MITRE, b.MITRE))
	})
	return append(out, rest...)
}

// apart says who lists two groups of entries as two, once for each source and
// by its entries with most names.
func (t *Table) apart(x, y int) []Statement {
	out := []Statement{}
	for _, source := range []string{MITRE, MISP, Microsoft} {
		most := func(root int) int {
			best := -1
			for _, i := range t.members[root] {
				if t.entries[i].Source == source && !t.gone(i) && (best < 0 || len(t.own[i]) > len(t.own[best])) {
					best = i
				}
			}
			return best
		}
		if a, b := most(x), most(y); a >= 0 && b >= 0 {
			out = append(out, t.two(a, b))
		}
	}
	return out
}

// inside lists entries of one source that other sources make one of.
func (t *Table) inside(root int) []Disagreement {
	out := []Disagreement{}
	for i, a := range t.members[root] {
		for _, b := range t.members[root][i+1:] {
			if t.entries[a].Source != t.entries[b].Source || t.entries[a].Source == MISPMicrosoft || t.replaced(a, b) {
				continue
			}
			d := Disagreement{Other: t.entries[b].Name, Same: []Statement{}, Apart: []Statement{t.two(a, b)}, Names: []string{}}
			if t.entries[a].Source == MITRE {
				d.MITRE = t.entries[b].ID
			}
			for _, r := range t.relations {
				if r.a == a && r.b == b || r.a == b && r.b == a {
					d.Same = append(d.Same, t.related(r))
				}
			}
			out = append(out, d)
		}
	}
	return out
}

// two is the statement that a source has two entries.
func (t *Table) two(a, b int) Statement {
	x, y := t.entries[a], t.entries[b]
	return Statement{By: x.Source, Text: fmt.Sprintf("%s lists %s and %s as two", SourceName(x.Source), x.label(), y.label())}
}
