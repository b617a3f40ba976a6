package actor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func loaded(t testing.TB) *Table {
	t.Helper()
	a, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// stands lists what a name stands for.
func stands(a Answer) (out []string) {
	for _, c := range a.Candidates {
		out = append(out, strings.TrimSpace(c.Name+" "+c.MITRE))
	}
	return out
}

// The names in the reports of the incident of January 2024 are one actor's,
// each of them leads to each other, and every step has a source.
func TestTheIncidentsNamesAreOneActor(t *testing.T) {
	a := loaded(t)
	names := []string{"APT29", "BlueBravo", "Cloaked Ursa", "Cozy Bear", "The Dukes", "Midnight Blizzard", "Nobelium", "UNC2452", "G0016", "Dark Halo", "StellarParticle", "Solar Phoenix"}
	for _, n := range names {
		if d := cmp.Diff([]string{"APT29 G0016"}, stands(a.Resolve(n))); d != "" {
			t.Errorf("%s (-want +got):\n%s", n, d)
		}
		for _, m := range names {
			steps := a.Steps(n, m)
			if len(steps) == 0 {
				t.Errorf("nothing leads from %s to %s", n, m)
			}
			for _, s := range steps {
				if s.By == "" || s.Text == "" {
					t.Errorf("%s to %s: a step without a source: %+v", n, m, s)
				}
			}
		}
	}
	var got []string
	for _, s := range a.Steps("BlueBravo", "Midnight Blizzard") {
		got = append(got, s.Text)
	}
	want := []string{
		"MISP says that BlueBravo is a name of APT29",
		"MISP says that MISP APT29 is similar to MITRE ATT&CK APT29 (G0016) (likely)",
		"MITRE ATT&CK says that Midnight Blizzard is a name of APT29 (G0016)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}

// A name of several actors gives all of them, and what lists them as two.
func TestAmbiguousNamesAreNotDecided(t *testing.T) {
	a := loaded(t)
	for name, want := range map[string][]string{
		"GRIZZLY STEPPE": {"APT28 G0007", "APT29 G0016"},
		"UNC3524":        {"APT29 G0016", "UNC3524"},
	} {
		got := stands(a.Resolve(name))
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if s := a.Steps("APT28", "APT29"); len(s) > 0 {
		t.Errorf("APT28 leads to APT29: %v", s)
	}
	// MISP has 27 such names by spelling and more when spelling is folded; all
	// of them that are not within one actor have several candidates.
	n := 0
	for k := range a.holders {
		actors := map[int]bool{}
		for _, e := range a.holding(k) {
			actors[a.cluster[e]] = true
		}
		if got := len(a.Resolve(a.spelling(k, a.holding(k)[0])).Candidates); len(actors) > 1 {
			n++
			if got < len(actors) {
				t.Errorf("%s stands for %d actors, %d candidates", k, len(actors), got)
			}
		}
	}
	if n < 27 {
		t.Errorf("%d ambiguous names, want 27 or more", n)
	}
}

// What sources say differently of APT29 is in its answer.
func TestDisagreementIsShown(t *testing.T) {
	c := loaded(t).Resolve("apt29").Candidates[0]
	said := map[string]string{}
	for _, d := range c.Disagreements {
		for _, s := range append(d.Same, d.Apart...) {
			said[d.Other] += s.Text + "\n"
		}
	}
	for other, want := range map[string]string{
		"UNC3524": "MISP lists APT29 and UNC3524 as two",
		"UNC2452": "MISP says that APT29 is similar to UNC2452 (likely)\nMISP lists APT29 and UNC2452 as two",
		"APT28":   "MISP says that Grizzly Steppe is a name of APT28",
	} {
		if !strings.Contains(said[other], want) {
			t.Errorf("of %s it says %q, want %q", other, said[other], want)
		}
	}
}

// No actor swallows others: these are the largest, looked at by eye. MISP
// itself holds the three Kittens to be similar, each pair, and the others are
// old and new names of one actor.
func TestNoActorSwallowsOthers(t *testing.T) {
	a := loaded(t)
	var got []string
	for _, members := range a.members {
		if len(members) < 6 {
			continue
		}
		var is []string
		for _, e := range members {
			is = append(is, a.entries[e].Source+":"+a.entries[e].label())
		}
		got = append(got, fmt.Sprintf("%d %s", len(members), strings.Join(is, ", ")))
	}
	slices.Sort(got)
	want := []string{
		"6 microsoft:Brass Typhoon, misp:APT41, misp-microsoft:BARIUM, misp-microsoft:Brass Typhoon, misp-microsoft:LEAD, mitre:APT41 (G0096)",
		"6 microsoft:Granite Typhoon, misp:GALLIUM, misp:Operation Soft Cell, misp-microsoft:GALLIUM, misp-microsoft:Granite Typhoon, mitre:GALLIUM (G0093)",
		"6 microsoft:Hazel Sandstorm, misp:CHRYSENE, misp:OilRig, misp-microsoft:Hazel Sandstorm, mitre:OilRig (G0049), mitre:APT34 (G0057)",
		"7 microsoft:Midnight Blizzard, misp:APT29, misp:UNC2452, misp-microsoft:Midnight Blizzard, misp-microsoft:NOBELIUM, mitre:APT29 (G0016), mitre:UNC2452 (G0118)",
		"7 microsoft:Mint Sandstorm, misp:Charming Kitten, misp:Flying Kitten, misp:Rocket Kitten, misp-microsoft:Mint Sandstorm, mitre:Charming Kitten (G0058), mitre:Magic Hound (G0059)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the largest actors changed; look at them (-want +got):\n%s", d)
	}
}

// Entries that a source holds apart, by listing both without calling them
// similar or replaced, are never one actor, whoever says so.
func TestWhatASourceHoldsApartStaysApart(t *testing.T) {
	a := loaded(t)
	said := map[[2]int]bool{}
	for _, r := range a.relations {
		if r.kind == "similar" || r.kind == "revoked-by" {
			said[[2]int{r.a, r.b}], said[[2]int{r.b, r.a}] = true, true
		}
	}
	for _, members := range a.members {
		for i, x := range members {
			for _, y := range members[i+1:] {
				s := a.entries[x].Source
				if s == a.entries[y].Source && s != MISPMicrosoft && !said[[2]int{x, y}] {
					t.Errorf("%s and %s are one actor", a.entries[x], a.entries[y])
				}
			}
		}
	}
	for _, p := range [][2]string{{"APT28", "APT29"}, {"Lazarus Group", "APT38"}, {"Turla", "Turbine Panda"}, {"OilRig", "Charming Kitten"}, {"Sandworm", "APT28"}} {
		x, y := stands(a.Resolve(p[0])), stands(a.Resolve(p[1]))
		if slices.Equal(x, y) {
			t.Errorf("%s and %s are both %v", p[0], p[1], x)
		}
	}
}

// Every entry is an actor's, once, and every name has somebody who says so.
func TestEveryNameHasASource(t *testing.T) {
	a := loaded(t)
	n := 0
	for root, members := range a.members {
		n += len(members)
		c := a.candidate(root)
		if c.Name == "" || len(c.Entries) != len(members) || len(c.Names) == 0 {
			t.Errorf("%+v", c)
		}
		needed := 0
		for _, j := range c.Joins {
			if len(j.Says)+len(j.Names) == 0 {
				t.Errorf("%s and %s are joined for no reason", j.A, j.B)
			}
			if j.First {
				needed++
			}
		}
		if needed != len(members)-1 {
			t.Errorf("%s: %d joins for %d entries", c.Name, needed, len(members))
		}
		for _, x := range c.Names {
			if len(x.By) == 0 {
				t.Errorf("%s: nobody says %s", c.Name, x.Name)
			}
			for _, s := range x.By {
				if s.Entry == nil || s.By != s.Entry.Source {
					t.Errorf("%s: %s: %+v", c.Name, x.Name, s)
				}
			}
		}
	}
	if n != len(a.entries) {
		t.Errorf("%d entries in actors, %d in all", n, len(a.entries))
	}
}

func TestUnknownNames(t *testing.T) {
	a := loaded(t)
	for query, want := range map[string]string{
		"Cosy Bear":                "COZY BEAR",
		"Midnite Blizzard":         "Midnight Blizzard",
		"Cozy Baer":                "COZY BEAR",
		"mysterious nobodys":       "",
		"":                         "",
		"\x1b[31m\x00":             "",
		"🐻":                        "",
		strings.Repeat("A", 1<<20): "",
	} {
		r := a.Resolve(query)
		if len(r.Candidates) > 0 {
			t.Errorf("%.40q is %v", query, stands(r))
		}
		if want == "" && len(r.Suggestions) > 0 {
			t.Errorf("%.40q: suggestions %q", query, r.Suggestions)
		}
		if want != "" && !slices.Contains(r.Suggestions, want) {
			t.Errorf("%.40q: suggestions %q, want %s", query, r.Suggestions, want)
		}
	}
}

// The same question has the same answer, to the byte.
func TestAnswersDoNotChange(t *testing.T) {
	x, y := loaded(t), loaded(t)
	for k := range x.holders {
		n := x.names[x.holders[k][0]].text
		if d := cmp.Diff(x.Resolve(n), y.Resolve(n)); d != "" {
			t.Fatalf("%s (-first +second):\n%s", n, d)
		}
	}
	if d := cmp.Diff(x.near("blizard", 9), y.near("blizard", 9)); d != "" {
		t.Error(d)
	}
}
