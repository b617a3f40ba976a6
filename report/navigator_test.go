package report

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"midwatch/actor"
	"midwatch/casefile"
)

func layer(t *testing.T, c *casefile.Case) (l navLayer) {
	t.Helper()
	if err := json.Unmarshal(render(t, Navigator{}, "navigator.json", c, Options{}), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// The score counts findings of campaigns, each once; findings outside of
// campaigns say nothing about the actor.
func TestNavigatorScores(t *testing.T) {
	c := readCase(t, "case")
	for _, x := range layer(t, c).Techniques {
		n := 0
		for _, f := range c.Findings {
			member := slices.ContainsFunc(c.Campaigns, func(k casefile.Campaign) bool { return slices.Contains(k.Findings, f.ID) })
			if member && slices.Contains(f.Techniques, x.ID) {
				n++
				if !strings.Contains(x.Comment, f.Title) {
					t.Errorf("the comment of %s does not name %q", x.ID, f.Title)
				}
			}
		}
		if x.Score != n {
			t.Errorf("%s has score %d, and %d findings show it", x.ID, x.Score, n)
		}
		if x.ID == "T1114.003" {
			t.Error("a technique of a finding outside of campaigns is in the layer")
		}
	}
}

// Every technique stands under each tactic that ATT&CK gives it, once.
func TestNavigatorTactics(t *testing.T) {
	table, err := actor.Load()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, x := range layer(t, readCase(t, "case")).Techniques {
		got[x.ID] = append(got[x.ID], x.Tactic)
	}
	for _, id := range readCase(t, "case").Campaigns[0].Techniques {
		if want := table.Tactics(id); !slices.Equal(got[id], want) || len(want) == 0 {
			t.Errorf("%s: tactics %v, want %v", id, got[id], want)
		}
	}
}

func TestNavigatorReplacedAndUnknown(t *testing.T) {
	c := &casefile.Case{
		Findings: []casefile.Finding{
			{ID: "f-1", Title: "one", Techniques: []string{"T1562.008", "T9999", "<script>"}},
			{ID: "f-2", Title: "two", Techniques: []string{"T1685.002", "t1110", "T1110.003 "}},
		},
		Campaigns: []casefile.Campaign{{ID: "c-1", Findings: []string{"f-1", "f-2", "f-gone"}, Techniques: []string{"T1078.004"}}},
	}
	l := layer(t, c)
	ids := map[string]int{}
	for _, x := range l.Techniques {
		ids[x.ID] = x.Score
	}
	if ids["T1685.002"] != 2 || len(ids) != 3 || ids["T9999"] != 1 || ids["T1078.004"] != 0 {
		t.Errorf("techniques are %v", ids)
	}
	if !strings.Contains(l.Description, "3 values are left out") {
		t.Errorf("the description does not count what is left out: %s", l.Description)
	}
	if l.Gradient.MaxValue != 2 {
		t.Errorf("the gradient ends at %d", l.Gradient.MaxValue)
	}
}

// The layer has what format 4.5 requires, whatever the case holds.
func TestNavigatorIsALayer(t *testing.T) {
	id := regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)
	for _, c := range []*casefile.Case{{}, hostileCase(), readCase(t, "case"), readCase(t, "quiet"), largeCase(300, 1)} {
		l := layer(t, c)
		if l.Name == "" || l.Domain != "enterprise-attack" || l.Versions.Layer != "4.5" || l.Versions.Navigator < "4.9.0" || len(l.Gradient.Colors) < 2 || l.Gradient.MaxValue <= l.Gradient.MinValue {
			t.Errorf("not a layer: %+v", l)
		}
		seen := map[string]bool{}
		for _, x := range l.Techniques {
			if !id.MatchString(x.ID) || x.Comment == "" || seen[x.ID+x.Tactic] {
				t.Errorf("odd technique %+v", x)
			}
			seen[x.ID+x.Tactic] = true
		}
	}
}

// hidden is what no form may hand on: what a terminal obeys and what turns the
// direction of text.
func hidden(t *testing.T, what string, text []byte) {
	t.Helper()
	for _, r := range string(text) {
		if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e' || r == '\ufffd' || 0x80 <= r && r < 0xa0) {
			t.Fatalf("%s holds %q", what, r)
		}
	}
}

func TestNavigatorHostile(t *testing.T) {
	c := hostileCase()
	c.Findings[0].Techniques = []string{"T1110.003"}
	b := render(t, Navigator{}, "navigator.json", c, Options{})
	hidden(t, "the layer", b)
	if !strings.Contains(string(b), `\\u202e`) && !strings.Contains(string(b), `<script>`) {
		t.Error("no hostile title is in the layer, so that this test shows nothing")
	}
}
