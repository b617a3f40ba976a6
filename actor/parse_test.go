package actor

import (
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
