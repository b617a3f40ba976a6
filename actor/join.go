package actor

import (
	"cmp"
	"slices"
)

// Which entries of different sources are one actor is nobody's statement as a
// whole: each source says a part. Following every statement to its end makes
// one actor of twenty-five entries, Lazarus Group with everything else that
// is North Korean. So entries are joined by these rules:
//
//  1. Two entries are a candidate for joining if a source says that they are
//     similar or that one replaced the other, if they have the same main name,
//     or if they share a name that no source gives to two of its entries. Of entries of one source only the
//     second counts: a source that has two entries and calls them similar
//     does not say that they are one.
//  2. Candidates are taken by their strength: replacements, then entries with
//     the same main name, then by names in common, a relation counting for
//     two.
//  3. A candidate is refused when joining would put two entries together that
//     a source holds apart: by having both, without calling them similar.
//     MISP's list of Microsoft's groups holds nothing apart in this sense,
//     because it keeps entries under Microsoft's old names beside the new.
//
// What is refused is a disagreement between sources, and is shown as one.

// join is why two entries are held to be one actor.
type join struct {
	a, b      int      // entries, a < b
	relations []int    // that say so
	names     []string // folded names in common that are unambiguous
	replaced  bool
	sameMain  bool
	needed    bool // put the two together; the others only confirm it
}

// refusal is a candidate that would have put entries together that a source
// holds apart.
type refusal struct {
	join
	apart [][2]int // entries of one source each
}

// strength orders candidates.
func (j join) strength() int {
	n := len(j.names)
	if len(j.relations) > 0 {
		n += 2
	}
	n = min(n, 999)
	if j.sameMain {
		n += 1000
	}
	if j.replaced {
		n += 2000
	}
	return n
}

// join fills in which entries are one actor.
func (t *Table) join() {
	candidates := t.candidates()
	slices.SortFunc(candidates, func(x, y join) int {
		return cmp.Or(cmp.Compare(y.strength(), x.strength()), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	related := map[[2]int]bool{}
	for _, r := range t.relations {
		if r.kind == "similar" || r.kind == "revoked-by" {
			related[[2]int{min(r.a, r.b), max(r.a, r.b)}] = true
		}
	}
	t.cluster, t.members = make([]int, len(t.entries)), map[int][]int{}
	for i := range t.entries {
		t.cluster[i], t.members[i] = i, []int{i}
	}
	for _, j := range candidates {
		x, y := t.cluster[j.a], t.cluster[j.b]
		if x == y {
			t.joins = append(t.joins, j)
			continue
		}
		var apart [][2]int
		for _, a := range t.members[x] {
			for _, b := range t.members[y] {
				s := t.entries[a].Source
				if s == t.entries[b].Source && s != MISPMicrosoft && !related[[2]int{min(a, b), max(a, b)}] {
					apart = append(apart, [2]int{a, b})
				}
			}
		}
		if len(apart) > 0 {
			t.refused = append(t.refused, refusal{j, apart})
			continue
		}
		for _, b := range t.members[y] {
			t.cluster[b] = x
		}
		t.members[x] = append(t.members[x], t.members[y]...)
		slices.Sort(t.members[x])
		delete(t.members, y)
		j.needed = true
		t.joins = append(t.joins, j)
	}
	// A candidate refused early may be inside one group in the end.
	t.refused = slices.DeleteFunc(t.refused, func(r refusal) bool {
		inside := t.cluster[r.a] == t.cluster[r.b]
		if inside {
			t.joins = append(t.joins, r.join)
		}
		return inside
	})
}

// candidates lists the pairs of entries that rule 1 allows.
func (t *Table) candidates() []join {
	pairs := map[[2]int]*join{}
	of := func(a, b int) *join {
		k := [2]int{min(a, b), max(a, b)}
		if pairs[k] == nil {
			j := &join{a: k[0], b: k[1]}
			j.sameMain = Fold(t.entries[a].Name) == Fold(t.entries[b].Name)
			pairs[k] = j
		}
		return pairs[k]
	}
	for i, r := range t.relations {
		switch {
		case r.kind == "revoked-by":
			of(r.a, r.b).replaced = true
		case r.kind != "similar" || t.entries[r.a].Source == t.entries[r.b].Source:
			continue
		}
		j := of(r.a, r.b)
		j.relations = append(j.relations, i)
	}
	for k := range t.holders {
		held := t.holding(k)
		// A name of two letters, such as an abbreviation, joins nothing.
		if len(held) < 2 || len([]rune(k)) < 3 {
			continue
		}
		ambiguous := t.ambiguous(held)
		for i, a := range held {
			for _, b := range held[i+1:] {
				main := Fold(t.entries[a].Name) == k && Fold(t.entries[b].Name) == k
				if !ambiguous || main && t.entries[a].Source != t.entries[b].Source {
					j := of(a, b)
					j.names = append(j.names, k)
				}
			}
		}
	}
	out := make([]join, 0, len(pairs))
	for _, j := range pairs {
		slices.Sort(j.names)
		out = append(out, *j)
	}
	return out
}

// holding lists the entries that have a folded name, ascending, each once.
func (t *Table) holding(folded string) []int {
	var out []int
	for _, n := range t.holders[folded] {
		out = append(out, t.names[n].entry)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ambiguous reports whether a source gives a name to two of its entries. MITRE
// keeps a group that was replaced, with its names, and that is none.
func (t *Table) ambiguous(held []int) bool {
	for i, a := range held {
		for _, b := range held[i+1:] {
			if t.entries[a].Source == t.entries[b].Source && !t.replaced(a, b) {
				return true
			}
		}
	}
	return false
}

// replaced reports whether one of two entries replaced the other.
func (t *Table) replaced(a, b int) bool {
	return slices.ContainsFunc(t.relations, func(r relation) bool {
		return r.kind == "revoked-by" && (r.a == a && r.b == b || r.a == b && r.b == a)
	})
}
