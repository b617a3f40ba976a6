package actor

import (
	"slices"
	"strings"
	"testing"
)

// What is wrong in a table is said with table and line, and nothing is loaded.
func TestParseSaysWhere(t *testing.T) {
	const names, relations, groups, techniques = "mitre\tG0001\tmain\tX\t\n", "#\t\n", "#\t\n", "T1\tV\t\t\t\t\n"
	for want, tables := range map[string][4]string{
		"names.tsv: empty":                              {"", relations, groups, techniques},
		"names.tsv:1: 2 columns, want 5":                {"a\tb\n", relations, groups, techniques},
		`names.tsv:2: kind "second"`:                    {names + "mitre\tG0001\tsecond\tY\t\n", relations, groups, techniques},
		"names.tsv:2: mitre G0001 has two main names":   {names + "mitre\tG0001\tmain\tY\t\n", relations, groups, techniques},
		`names.tsv:2: name "-" has no letter or digit`:  {names + "mitre\tG0001\tother\t-\t\n", relations, groups, techniques},
		"names.tsv: mitre G0002 has no main name":       {names + "mitre\tG0002\tother\tY\t\n", relations, groups, techniques},
		"relations.tsv:1: mitre G0001 or mitre G0009":   {names, "misp\tmitre\tG0001\tsimilar\tmitre\tG0009\t\n", groups, techniques},
		"groups.tsv:1: group G0009 is not in names.tsv": {names, relations, "G0009\tT1\n", techniques},
		"groups.tsv:2: technique T2 is not in":          {names, relations, "#\nG0001\tT1,T2\n", techniques},
		"techniques.tsv:2: T1 is there twice":           {names, relations, groups, techniques + techniques},
	} {
		_, err := parse(tables[0], tables[1], tables[2], tables[3])
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
	if _, err := parse(names, relations, groups, techniques); err != nil {
		t.Error(err)
	}
}

// The rules of joining, each by the smallest table that shows it.
func TestRulesOfJoining(t *testing.T) {
	const x, y, z, w = "misp\tX\tmain\tX one\t\n", "misp\tY\tmain\tY one\t\n", "mitre\tG0001\tmain\tZ one\t\n", "microsoft\tW\tmain\tW one\t\n"
	shared := func(entry string) string { return entry + "\tother\tShared\t\n" }
	for name, c := range map[string]struct {
		names, relations string
		want             string // actors, by their entries
	}{
		"a name in common joins":                              {x + z + shared("misp\tX") + shared("mitre\tG0001"), "", "G0001+X"},
		"a name that a source gives to two joins nothing":     {x + y + z + shared("misp\tX") + shared("misp\tY") + shared("mitre\tG0001"), "", "G0001 X Y"},
		"a name of two letters joins nothing":                 {x + z + "misp\tX\tother\tAB\t\nmitre\tG0001\tother\tAB\t\n", "", "G0001 X"},
		"a relation joins over sources":                       {x + z, "misp\tmisp\tX\tsimilar\tmitre\tG0001\tlikely\n", "G0001+X"},
		"a weaker relation does not":                          {x + z, "misp\tmisp\tX\toverlaps\tmitre\tG0001\tlikely\n", "G0001 X"},
		"a source that calls two similar does not join":       {x + y, "misp\tmisp\tX\tsimilar\tmisp\tY\tlikely\n", "X Y"},
		"but lets another source do it":                       {x + y + z, "misp\tmisp\tX\tsimilar\tmisp\tY\t\nmisp\tmisp\tX\tsimilar\tmitre\tG0001\t\nmisp\tmisp\tY\tsimilar\tmitre\tG0001\t\n", "G0001+X+Y"},
		"without that word no other source can":               {x + y + z, "misp\tmisp\tX\tsimilar\tmitre\tG0001\t\nmisp\tmisp\tY\tsimilar\tmitre\tG0001\t\n", "G0001+X Y"},
		"nor over a bridge of two others":                     {x + y + z + w + shared("mitre\tG0001") + shared("microsoft\tW"), "misp\tmisp\tX\tsimilar\tmitre\tG0001\t\nmisp\tmicrosoft\tW\tsimilar\tmisp\tY\t\n", "G0001+X W+Y"},
		"the same main name joins, also where another has it": {x + y + "mitre\tG0001\tmain\tX one\t\nmisp\tY\tother\tX one\t\n", "", "G0001+X Y"},
		"one that replaced the other joins":                   {z + "mitre\tG0002\tmain\tV one\t\n", "mitre\tmitre\tG0001\trevoked-by\tmitre\tG0002\t\n", "G0001+G0002"},
	} {
		relations := c.relations
		if relations == "" {
			relations = "#\t\n"
		}
		a, err := parse(c.names, relations, "#\t\n", "#\t\n")
		if err != nil {
			t.Fatal(err)
		}
		var actors []string
		for _, members := range a.members {
			var ids []string
			for _, e := range members {
				ids = append(ids, a.entries[e].ID)
			}
			slices.Sort(ids)
			actors = append(actors, strings.Join(ids, "+"))
		}
		slices.Sort(actors)
		if got := strings.Join(actors, " "); got != c.want {
			t.Errorf("%s: actors are %s, want %s", name, got, c.want)
		}
	}
}
