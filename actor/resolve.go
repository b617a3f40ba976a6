package actor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Answer is what a name means. With one candidate it is resolved, with several
// it is ambiguous and whose it is cannot be said, with none it is unknown.
type Answer struct {
	Query       string      `json:"query"`       // as asked
	Candidates  []Candidate `json:"candidates"`  // groups that the name may stand for, who has it as main name first
	Suggestions []string    `json:"suggestions"` // similar names, where none is known
}

// Candidate is one actor: entries of the sources that are held to be the same.
type Candidate struct {
	Name          string         `json:"name"`          // ATT&CK's name, or else MISP's, or else Microsoft's
	MITRE         string         `json:"mitre"`         // id of ATT&CK's group; empty where it has none
	Why           []Statement    `json:"why"`           // who says that the name asked for is this actor's
	Entries       []Entry        `json:"entries"`       // what the sources list it as
	Names         []Name         `json:"names"`         // all of its names, in alphabetical order
	Joins         []Join         `json:"joins"`         // why the entries are held to be the same, the strongest reason first
	Disagreements []Disagreement `json:"disagreements"` // other actors that some source puts together with this one, or apart from it
}

// Name is one name of an actor, however it is spelt.
type Name struct {
	Name   string      `json:"name"`   // as ATT&CK spells it, or else the first source
	By     []Statement `json:"by"`     // who says that it is a name of this actor
	Others []string    `json:"others"` // other actors that have it too
}

// Statement is one sentence of one source.
type Statement struct {
	By     string `json:"by"`               // source that says it
	Entry  *Entry `json:"entry,omitempty"`  // entry that it says it of; null for relations
	Vendor string `json:"vendor,omitempty"` // whose name it is, as far as the source knows
	Text   string `json:"text"`             // in words
}

// Join is why two entries are held to be one actor.
type Join struct {
	A     Entry       `json:"a"`
	B     Entry       `json:"b"`
	Says  []Statement `json:"says"`  // sources that put them together in so many words
	Names []string    `json:"names"` // names that both have, and that join: see join.go for which do
	First bool        `json:"first"` // put the two together; the others confirm it
}

// Disagreement is what sources say differently about an actor and another.
type Disagreement struct {
	Other string      `json:"other"`           // name of the other actor, or of an entry of the same
	MITRE string      `json:"mitre,omitempty"` // its id in ATT&CK
	Same  []Statement `json:"same"`            // what puts the two together
	Apart []Statement `json:"apart"`           // who lists them as two
	Names []string    `json:"names"`           // names that both have
}

// Resolve says whom the sources mean by a name, however it is spelt.
func (t *Table) Resolve(query string) Answer {
	a := Answer{Query: query, Candidates: []Candidate{}, Suggestions: []string{}}
	folded := Fold(query)
	if folded == "" {
		return a
	}
	held := t.holders[folded]
	if len(held) == 0 {
		a.Suggestions = t.near(folded, 8)
		return a
	}
	type hit struct {
		root, main, count int
	}
	var hits []hit
	for _, n := range held {
		root := t.cluster[t.names[n].entry]
		i := slices.IndexFunc(hits, func(h hit) bool { return h.root == root })
		if i < 0 {
			i = len(hits)
			hits = append(hits, hit{root: root})
		}
		hits[i].count++
		if Fold(t.entries[t.names[n].entry].Name) == folded || t.names[n].id {
			hits[i].main++
		}
	}
	slices.SortFunc(hits, func(x, y hit) int {
		return cmp.Or(cmp.Compare(y.main, x.main), cmp.Compare(y.count, x.count), cmp.Compare(x.root, y.root))
	})
	for _, h := range hits {
		c := t.candidate(h.root)
		for _, n := range held {
			if t.cluster[t.names[n].entry] == h.root {
				c.Why = append(c.Why, t.called(n))
			}
		}
		a.Candidates = append(a.Candidates, c)
	}
	return a
}

// called is the statement that an entry has a name.
func (t *Table) called(n int) Statement {
	e := t.entries[t.names[n].entry]
	s := Statement{By: e.Source, Entry: &e, Vendor: t.names[n].vendor}
	switch {
	case t.names[n].id:
		s.Text = fmt.Sprintf("%s has %s under the id %s", SourceName(e.Source), e.Name, e.ID)
	case t.names[n].text == e.Name:
		s.Text = fmt.Sprintf("%s has it as %s", SourceName(e.Source), e.label())
	default:
		s.Text = fmt.Sprintf("%s says that %s is a name of %s", SourceName(e.Source), t.names[n].text, e.label())
	}
	if s.Vendor != "" && e.Source != Microsoft {
		s.Text += ", used by " + s.Vendor
	}
	return s
}

// related is the statement that a relation makes.
func (t *Table) related(r relation) Statement {
	a, b := t.entries[r.a], t.entries[r.b]
	words := map[string]string{"similar": "is similar to", "revoked-by": "was replaced by", "part-of": "is part of", "linked-to": "is linked to", "overlaps": "overlaps with"}
	kind := words[r.kind]
	if kind == "" {
		kind = r.kind
	}
	text := fmt.Sprintf("%s says that %s %s %s", SourceName(r.by), a, kind, b)
	if r.by == a.Source && a.Source == b.Source {
		text = fmt.Sprintf("%s says that %s %s %s", SourceName(r.by), a.label(), kind, b.label())
	}
	if r.likelihood != "" {
		text += " (" + r.likelihood + ")"
	}
	return Statement{By: r.by, Text: text}
}

// title is what to call a group of entries, and its id in ATT&CK.
func (t *Table) title(root int) (title, mitre string) {
	rank := map[string]int{MITRE: 0, MISP: 1, Microsoft: 2, MISPMicrosoft: 3}
	best := -1
	for _, i := range t.members[root] {
		if t.gone(i) {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(rank[t.entries[i].Source], rank[t.entries[best].Source]), cmp.Compare(len(t.own[best]), len(t.own[i]))) < 0 {
			best = i
		}
	}
	if best < 0 {
		best = t.members[root][0]
	}
	if t.entries[best].Source == MITRE {
		mitre = t.entries[best].ID
	}
	return t.entries[best].Name, mitre
}

// gone reports whether ATT&CK replaced an entry by another.
func (t *Table) gone(i int) bool {
	return slices.ContainsFunc(t.relations, func(r relation) bool { return r.kind == "revoked-by" && r.a == i })
}

// candidate describes a group of entries.
func (t *Table) candidate(root int) Candidate {
	c := Candidate{Entries: []Entry{}, Names: t.namesOf(root), Joins: []Join{}, Disagreements: t.disagreements(root)}
	c.Name, c.MITRE = t.title(root)
	for _, i := range t.members[root] {
		c.Entries = append(c.Entries, t.entries[i])
	}
	for _, j := range t.joins {
		if t.cluster[j.a] == root {
			c.Joins = append(c.Joins, t.explain(j))
		}
	}
	slices.SortStableFunc(c.Entries, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID)) })
	return c
}

func (t *Table) explain(j join) Join {
	out := Join{A: t.entries[j.a], B: t.entries[j.b], Says: []Statement{}, Names: []string{}, First: j.needed}
	for _, r := range j.relations {
		out.Says = append(out.Says, t.related(t.relations[r]))
	}
	for _, k := range j.names {
		out.Names = append(out.Names, t.spelling(k, j.a))
	}
	slices.Sort(out.Names)
	return out
}

// spelling is how an entry spells a folded name.
func (t *Table) spelling(folded string, entry int) string {
	for _, n := range t.own[entry] {
		if slices.Contains(t.names[n].keys, folded) {
			return t.names[n].text
		}
	}
	return folded
}

// namesOf lists the names of a group of entries.
func (t *Table) namesOf(root int) []Name {
	by := map[string]*Name{}
	var order []string
	for _, i := range t.members[root] {
		for _, n := range t.own[i] {
			k := t.names[n].keys[0]
			if by[k] == nil {
				by[k] = &Name{Name: t.names[n].text, Others: t.others(k, root)}
				order = append(order, k)
			}
			if t.entries[i].Source == MITRE {
				by[k].Name = t.names[n].text
			}
			by[k].By = append(by[k].By, t.called(n))
		}
	}
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.ToLower(by[a].Name), strings.ToLower(by[b].Name)), cmp.Compare(a, b))
	})
	out := make([]Name, 0, len(order))
	for _, k := range order {
		out = append(out, *by[k])
	}
	return out
}

// others names the other groups that have a folded name.
func (t *Table) others(folded string, root int) []string {
	out := []string{}
	for _, i := range t.holding(folded) {
		if r := t.cluster[i]; r != root {
			if title, _ := t.title(r); !slices.Contains(out, title) {
				out = append(out, title)
			}
		}
	}
	return out
}
