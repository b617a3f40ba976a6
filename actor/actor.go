// Package actor knows what others call threat actors and which techniques
// they are known for. It answers two questions:
//
//   - Whom do vendors mean by a name? [Table.Resolve] gives every group that
//     the name may stand for, who says so, and who says otherwise.
//   - Which groups are observed techniques consistent with?
//     [Table.Consistent] scores them against chance.
//
// Neither attributes anything. A name says whom its vendor means, and logs of
// sign-ins and mail show techniques that many groups share.
//
// The tables are embedded, with every statement's source; data/README.md has
// origins and licences. Nothing is loaded before [Load] is called, and the
// package keeps nothing: callers hold the [Table].
package actor

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed data/*.tsv
var data embed.FS

// The sources, as they stand in [Entry.Source] and [Statement.By].
const (
	MITRE         = "mitre"          // MITRE ATT&CK groups
	MISP          = "misp"           // MISP galaxy, threat actors
	MISPMicrosoft = "misp-microsoft" // MISP galaxy, Microsoft's activity groups
	Microsoft     = "microsoft"      // Microsoft's mapping of threat actor names
)

// SourceName is what to call a source in a sentence.
func SourceName(source string) string {
	switch source {
	case MITRE:
		return "MITRE ATT&CK"
	case MISP:
		return "MISP"
	case MISPMicrosoft:
		return "MISP (Microsoft's groups)"
	case Microsoft:
		return "Microsoft"
	}
	return source
}

// Entry is what one source holds to be one actor.
type Entry struct {
	Source string `json:"source"` // who lists it: mitre, misp, misp-microsoft, microsoft
	ID     string `json:"id"`     // its key there: ATT&CK's group id, elsewhere its name
	Name   string `json:"name"`   // its main name there
}

// label names an entry in a sentence.
func (e Entry) label() string {
	if e.ID == e.Name {
		return e.Name
	}
	return e.Name + " (" + e.ID + ")"
}

// String names an entry with its source.
func (e Entry) String() string { return SourceName(e.Source) + " " + e.label() }

// name is one edge: the source of entry says that name belongs to it.
type name struct {
	entry  int
	text   string
	vendor string // organizations that use the name, as the source has it
	id     bool   // the entry's id, not a name anybody would print
	keys   []string
}

// relation is what a source says of two entries.
type relation struct {
	by, kind, likelihood string
	a, b                 int
}

// technique is an ATT&CK technique or sub-technique.
type technique struct {
	name, status, successor string
	cloud                   bool
	tactics                 []string
}

// Table holds what is known of names, groups and techniques. It does not
// change once loaded, so any number of goroutines may ask it.
type Table struct {
	entries    []Entry
	own        [][]int // entry -> its names
	names      []name
	holders    map[string][]int // folded name -> names
	relations  []relation
	techniques map[string]technique
	groups     []group
	joins      []join // admitted, the strongest first
	refused    []refusal
	cluster    []int         // entry -> its group of entries
	members    map[int][]int // the other way round, ascending
}

// group is one of ATT&CK's groups with the techniques that it is known for.
type group struct {
	id    string
	entry int
	uses  map[string]bool
}

// Load reads the embedded tables. It takes some ten milliseconds; hold what it
// returns.
func Load() (*Table, error) {
	file := func(name string) string {
		b, err := data.ReadFile("data/" + name)
		if err != nil {
			return ""
		}
		return string(b)
	}
	return parse(file("names.tsv"), file("relations.tsv"), file("groups.tsv"), file("techniques.tsv"))
}

// parse reads the four tables. Errors name table and line.
func parse(names, relations, groups, techniques string) (*Table, error) {
	t := &Table{holders: map[string][]int{}, techniques: map[string]technique{}}
	at := map[Entry]int{} // by source and id
	find := func(source, id string) (int, bool) { i, ok := at[Entry{Source: source, ID: id}]; return i, ok }
	if err := rows("names.tsv", names, 5, func(c []string) error {
		i, ok := find(c[0], c[1])
		if !ok {
			i = len(t.entries)
			at[Entry{Source: c[0], ID: c[1]}] = i
			t.entries, t.own = append(t.entries, Entry{Source: c[0], ID: c[1]}), append(t.own, nil)
		}
		switch {
		case c[2] != "main" && c[2] != "other" && c[2] != "id":
			return fmt.Errorf("kind %q", c[2])
		case c[2] == "main" && t.entries[i].Name != "":
			return fmt.Errorf("%s %s has two main names", c[0], c[1])
		case c[2] == "main":
			t.entries[i].Name = c[3]
		}
		n := name{entry: i, text: c[3], vendor: c[4], id: c[2] == "id", keys: keys(c[3])}
		if len(n.keys) == 0 {
			return fmt.Errorf("name %q has no letter or digit", c[3])
		}
		for _, k := range n.keys {
			t.holders[k] = append(t.holders[k], len(t.names))
		}
		t.own[i] = append(t.own[i], len(t.names))
		t.names = append(t.names, n)
		return nil
	}); err != nil {
		return nil, err
	}
	for _, e := range t.entries {
		if e.Name == "" {
			return nil, fmt.Errorf("names.tsv: %s %s has no main name", e.Source, e.ID)
		}
	}
	if err := rows("relations.tsv", relations, 7, func(c []string) error {
		a, okA := find(c[1], c[2])
		b, okB := find(c[4], c[5])
		if !okA || !okB {
			return fmt.Errorf("%s %s or %s %s is not in names.tsv", c[1], c[2], c[4], c[5])
		}
		t.relations = append(t.relations, relation{by: c[0], kind: c[3], likelihood: c[6], a: a, b: b})
		return nil
	}); err != nil {
		return nil, err
	}
	if err := rows("techniques.tsv", techniques, 6, func(c []string) error {
		if _, ok := t.techniques[c[0]]; ok {
			return fmt.Errorf("%s is there twice", c[0])
		}
		t.techniques[c[0]] = technique{name: c[1], status: c[2], successor: c[3], cloud: c[4] != "", tactics: split(c[5])}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := rows("groups.tsv", groups, 2, func(c []string) error {
		i, ok := find(MITRE, c[0])
		if !ok {
			return fmt.Errorf("group %s is not in names.tsv", c[0])
		}
		g := group{id: c[0], entry: i, uses: map[string]bool{}}
		for _, id := range split(c[1]) {
			if _, ok := t.techniques[id]; !ok {
				return fmt.Errorf("technique %s is not in techniques.tsv", id)
			}
			g.uses[id] = true
		}
		t.groups = append(t.groups, g)
		return nil
	}); err != nil {
		return nil, err
	}
	t.join()
	return t, nil
}

// rows reads a table of n columns separated by tabs; lines with # are comments.
func rows(table, text string, n int, row func([]string) error) error {
	line := 0
	for l := range strings.SplitSeq(text, "\n") {
		line++
		if l == "" || l[0] == '#' {
			continue
		}
		c := strings.Split(l, "\t")
		if len(c) != n {
			return fmt.Errorf("%s:%d: %d columns, want %d", table, line, len(c), n)
		}
		if err := row(c); err != nil {
			return fmt.Errorf("%s:%d: %w", table, line, err)
		}
	}
	if line == 0 || !strings.Contains(text, "\t") {
		return fmt.Errorf("%s: empty", table)
	}
	return nil
}

// split splits at commas; of nothing it makes nothing.
func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// Technique says whether id is a technique that ATT&CK holds to be valid, and
// what it is called. Ids that are revoked or deprecated are not, and successor
// is what replaced them, if anything did.
func (t *Table) Technique(id string) (name, successor string, ok bool) {
	k, known := t.techniques[id]
	return k.name, k.successor, known && k.status == ""
}

// Tactics lists the tactics that a technique serves, in ATT&CK's short names,
// in alphabetical order.
func (t *Table) Tactics(id string) []string { return slices.Clone(t.techniques[id].tactics) }
