package actor

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Consistency says which groups observed techniques are consistent with, and
// whether they tell these groups apart from chance and from each other.
//
// Each observed technique weighs as much as it tells: -log2 of the share of
// groups that ATT&CK knows for it, in bits. T1078, known of a third of the
// groups, weighs 1.5; T1528, known of two, weighs 6.5. A group's score is the
// sum over the techniques that it is known for. A group that is known for the
// parent of an observed sub-technique only, matches partly: it scores the
// weight of the whole family, once, and only when no sub-technique of the
// family matches. A parent that is observed beside one of its sub-techniques
// says nothing more and is left out.
//
// A group that is known for much matches more by chance. So a score is held
// against random groups that are known for as many techniques of the cloud
// (ATT&CK's platforms SaaS, Office Suite, Identity Provider and IaaS, and the
// observed techniques' families): each technique independently, with the odds
// that its popularity gives it. [Match.Percentile] is the share of them that
// score less, [Match.ByChance] how many of all groups would reach that share
// if all were random.
//
// What that cannot know: most intruders are none of these groups. ATT&CK has
// what was published, which is not all that a group does, and a technique that
// few groups are known for, such as a stolen session cookie, may be common
// among those that nobody wrote about. It has techniques of campaigns and of
// software apart, and those are not in the table. Findings may be wrong. And
// groups learn from each other, so that techniques are not independent.
type Consistency struct {
	Observed   []Observed `json:"observed"`   // techniques that were counted, in the order of ids
	Ignored    []Ignored  `json:"ignored"`    // ids that were not
	Groups     int        `json:"groups"`     // groups that ATT&CK knows techniques of
	Matches    []Match    `json:"matches"`    // groups that share at least one, the least likely by chance first
	StandOut   int        `json:"stand_out"`  // so many of them, from the first, score what fewer than one of all groups would by chance, and are not told apart
	Distinct   bool       `json:"distinct"`   // one group stands out, clearly and by five techniques or more, and no other
	Words      string     `json:"words"`      // all of it in two or three sentences
	Commonness string     `json:"commonness"` // how much the observed techniques tell, in words
}

// Observed is a technique that was observed.
type Observed struct {
	ID     string  `json:"id"`     // ATT&CK id
	Name   string  `json:"name"`   // ATT&CK's name
	Groups int     `json:"groups"` // groups that are known for it; for a parent, for any of its family
	Bits   float64 `json:"bits"`   // what a match weighs; 0 where no group is known for it
}

// Ignored is an id that was not counted.
type Ignored struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// Match is a group that the observed techniques are consistent with, more or
// less. It is never who did it.
type Match struct {
	Group      string    `json:"group"`      // ATT&CK's id
	Name       string    `json:"name"`       // ATT&CK's name
	Names      []string  `json:"names"`      // what vendors call it: names that no other actor has too, in alphabetical order
	Microsoft  string    `json:"microsoft"`  // Microsoft's name for it; empty where it has none
	Matched    []Matched `json:"matched"`    // observed techniques that it is known for, what tells most first
	Missed     []string  `json:"missed"`     // observed techniques that it is not known for
	Score      float64   `json:"score"`      // bits
	Expected   float64   `json:"expected"`   // bits that a random group of its breadth would have
	Breadth    int       `json:"breadth"`    // techniques of the cloud that it is known for
	Percentile float64   `json:"percentile"` // share of random groups of its breadth that score less, 0..1
	ByChance   float64   `json:"by_chance"`  // how many of all groups would score as far above what their breadth explains, by chance
	Rank       int       `json:"rank"`       // from 1; groups that are as improbable share one
	Words      string    `json:"words"`      // all of it in one sentence
}

// Matched is an observed technique that a group is known for.
type Matched struct {
	ID     string  `json:"id"`           // as observed
	Name   string  `json:"name"`         // ATT&CK's name
	As     string  `json:"as,omitempty"` // partly: the group is known for this parent only
	Groups int     `json:"groups"`       // groups that are known for as much
	Bits   float64 `json:"bits"`         // what the match weighs
}

// A group stands out when fewer than aboveChance of all groups would score so
// by chance, and no other group has a hundredth of that number or less. It is
// distinct when the number is at most certain, no second one stands out, and
// enough techniques match: fewer are one way of working, which many share.
const (
	aboveChance = 1
	hundredth   = 100
	certain     = 0.05
	enough      = 5
)

// Consistent scores every group against observed ATT&CK techniques.
// Techniques that were replaced count as their successors; what is no valid
// technique is ignored and said so. The order of techniques does not matter.
func (t *Table) Consistent(techniques []string) Consistency {
	c := Consistency{Observed: []Observed{}, Ignored: []Ignored{}, Groups: len(t.groups), Matches: []Match{}}
	m := t.model(t.valid(techniques, &c))
	for _, f := range m.families {
		for _, id := range f.observed {
			c.Observed = append(c.Observed, Observed{id, t.techniques[id].name, m.known(id), bits(m.weight(id))})
		}
	}
	for _, g := range t.groups {
		x := m.match(g)
		if len(x.Matched) == 0 {
			continue
		}
		x.Name, x.Names, x.Microsoft = t.across(g.entry)
		c.Matches = append(c.Matches, x)
	}
	slices.SortStableFunc(c.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.ByChance, b.ByChance), cmp.Compare(b.Score, a.Score), cmp.Compare(a.Group, b.Group))
	})
	for i := range c.Matches {
		x := &c.Matches[i]
		x.Rank = i + 1
		if i > 0 && x.ByChance == c.Matches[i-1].ByChance {
			x.Rank = c.Matches[i-1].Rank
		}
		if x.ByChance < aboveChance && x.ByChance <= hundredth*max(c.Matches[0].ByChance, 1e-6) {
			c.StandOut++
		}
		x.Words = x.sentence(len(c.Observed), c.Groups)
	}
	c.Distinct = c.StandOut == 1 && c.Matches[0].ByChance <= certain && c.Matches[0].exact() >= enough
	c.words()
	return c
}

// valid sorts out ids, and lists those that count.
func (t *Table) valid(techniques []string, c *Consistency) []string {
	ids := map[string]bool{}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(techniques))) {
		k, ok := t.techniques[id]
		for hops := 0; ok && k.status == "revoked" && k.successor != "" && hops < 8; hops++ {
			c.Ignored = append(c.Ignored, Ignored{id, "replaced by " + k.successor + ", which is counted"})
			id = k.successor
			k, ok = t.techniques[id]
		}
		switch {
		case !ok:
			c.Ignored = append(c.Ignored, Ignored{id, "no ATT&CK technique that the table has"})
		case k.status != "":
			c.Ignored = append(c.Ignored, Ignored{id, k.status})
		default:
			ids[id] = true
		}
	}
	out := slices.Sorted(maps.Keys(ids))
	return slices.DeleteFunc(out, func(id string) bool {
		covered := !strings.Contains(id, ".") && slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, id+".") })
		if covered {
			c.Ignored = append(c.Ignored, Ignored{id, "one of its sub-techniques was observed, which says more"})
		}
		return covered
	})
}

// across names the actor of an entry.
func (t *Table) across(entry int) (title string, names []string, microsoft string) {
	root := t.cluster[entry]
	names = []string{}
	for _, n := range t.namesOf(root) {
		if len(n.Others) == 0 && !groupID(n.Name) {
			names = append(names, n.Name)
		}
	}
	for _, i := range t.members[root] {
		if t.entries[i].Source == Microsoft {
			microsoft = t.entries[i].Name
		}
	}
	return t.entries[entry].Name, names, microsoft
}

// bits makes bits of hundredths.
func bits(hundredths int) float64 { return float64(hundredths) / 100 }

// exact counts the matches that are not of a parent only.
func (x Match) exact() (n int) {
	for _, m := range x.Matched {
		if m.As == "" {
			n++
		}
	}
	return n
}

// sentence says what a match is in words.
func (x Match) sentence(observed, groups int) string {
	of := fmt.Sprintf("%d of the %d observed techniques", len(x.Matched), observed)
	if observed == 1 {
		of = "the one observed technique"
	}
	called := x.Group
	if x.Microsoft != "" && x.Microsoft != x.Name {
		called += "; Microsoft: " + x.Microsoft
	}
	part := ""
	if partly := len(x.Matched) - x.exact(); partly > 0 {
		part = fmt.Sprintf(", %d of them in general only", partly)
	}
	return fmt.Sprintf("%s (%s) is known for %s%s: %.1f bits, where a random group of its breadth would have %.1f; %s of %d groups would be as far above theirs by chance.",
		x.Name, called, of, part, x.Score, x.Expected, amount(x.ByChance), groups)
}

// amount writes a small number.
func amount(v float64) string {
	switch {
	case v < 0.001:
		return "fewer than 0.001"
	case v < 10:
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// words fills in the sentences.
func (c *Consistency) words() {
	if len(c.Observed) == 0 {
		c.Words = "No technique was observed that groups could be compared by."
		return
	}
	most, rare := math.Inf(1), 0
	for _, o := range c.Observed {
		if o.Groups > 0 {
			most = min(most, float64(o.Groups))
		}
		if o.Groups == 0 {
			rare++
		}
	}
	if math.IsInf(most, 1) {
		c.Commonness = fmt.Sprintf("Of %d groups none is known for any of them.", c.Groups)
	} else {
		c.Commonness = fmt.Sprintf("The rarest of the observed techniques that any group is known for is known of %.0f of %d groups.", most, c.Groups)
		if rare > 0 {
			c.Commonness += fmt.Sprintf(" %d are known of none, and say nothing.", rare)
		}
	}
	const caveat = " Consistent with is all that can be said, and not who it was: techniques are shared, logs show few of them, and most intruders are none of the groups that were written about."
	var names []string
	for _, m := range c.Matches[:min(c.StandOut, 6)] {
		n := m.Name
		if m.Microsoft != "" && m.Microsoft != m.Name {
			n += " (" + m.Microsoft + ")"
		}
		names = append(names, n)
	}
	if more := c.StandOut - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	switch {
	case c.Distinct:
		c.Words = fmt.Sprintf("The observed techniques are consistent with %s more than with any other of %d groups: %s of them would score so by chance.", names[0], c.Groups, amount(c.Matches[0].ByChance))
	case c.StandOut == 0:
		c.Words = fmt.Sprintf("Not distinguishable: no group of %d scores more on the observed techniques than chance explains.", c.Groups)
	case c.StandOut == 1:
		c.Words = fmt.Sprintf("Hardly distinguishable: the observed techniques are consistent with %s more than with any other of %d groups (%s of them would score so by chance), but %d matches are too few or too usual to tell.", names[0], c.Groups, amount(c.Matches[0].ByChance), len(c.Matches[0].Matched))
	default:
		c.Words = fmt.Sprintf("Not distinguishable: the observed techniques are consistent with %s, and do not tell these %d apart.", enumerate(names), c.StandOut)
	}
	c.Words += caveat
}

// enumerate lists words as a sentence does.
func enumerate(s []string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + " and " + s[len(s)-1]
}
