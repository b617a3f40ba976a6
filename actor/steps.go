package actor

import "slices"

// Steps leads from one name to another: statements of sources that, one after
// the other, make the two names of one actor. The fewest that do; nothing when
// no chain of statements that this package accepts leads there, which is not
// to say that the two are different actors.
func (t *Table) Steps(from, to string) []Statement {
	a, b := Fold(from), Fold(to)
	goal := t.holding(b)
	type reached struct{ entry, before, join int }
	var queue []reached
	seen := map[int]bool{}
	for _, e := range t.holding(a) {
		queue, seen[e] = append(queue, reached{e, -1, -1}), true
	}
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		if slices.Contains(goal, at.entry) {
			var steps []Statement
			if f, ok := t.holds(at.entry, b); ok {
				steps = append(steps, t.called(f))
			}
			for ; at.join >= 0; at = queue[at.before] {
				steps = append(steps, t.crossed(t.joins[at.join], queue[at.before].entry)...)
			}
			if n, ok := t.holds(at.entry, a); ok {
				steps = append(steps, t.called(n))
			}
			slices.Reverse(steps)
			return steps
		}
		for k, j := range t.joins {
			next := j.a + j.b - at.entry
			if (j.a == at.entry || j.b == at.entry) && !seen[next] {
				queue, seen[next] = append(queue, reached{next, i, k}), true
			}
		}
	}
	return nil
}

// holds finds the name of an entry that folds to folded.
func (t *Table) holds(entry int, folded string) (int, bool) {
	for _, n := range t.own[entry] {
		if slices.Contains(t.names[n].keys, folded) {
			return n, true
		}
	}
	return 0, false
}

// crossed is what a join from an entry to another stands on, the last
// statement first.
func (t *Table) crossed(j join, from int) []Statement {
	if len(j.relations) > 0 {
		return []Statement{t.related(t.relations[j.relations[0]])}
	}
	k := j.names[0]
	for _, n := range j.names { // the main name of either convinces most
		if n == Fold(t.entries[j.a].Name) || n == Fold(t.entries[j.b].Name) {
			k = n
			break
		}
	}
	x, _ := t.holds(from, k)
	y, _ := t.holds(j.a+j.b-from, k)
	return []Statement{t.called(y), t.called(x)}
}
