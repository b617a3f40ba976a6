package actor

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small is a table that can be counted by hand: eight groups.
func small(t *testing.T) *Table {
	t.Helper()
	names, groups := "", ""
	for i, uses := range []string{"T1", "T1,T2.001", "T1,T2", "T1,T3.001,T3.002", "T4", "T4", "T4", "T4"} {
		id := "G000" + string(rune('1'+i))
		names += "mitre\t" + id + "\tmain\tGroup" + id + "\t\n"
		groups += id + "\t" + uses + "\n"
	}
	techniques := ""
	for _, id := range []string{"T1", "T2", "T2.001", "T2.002", "T3", "T3.001", "T3.002", "T4", "T5"} {
		techniques += id + "\tName " + id + "\t\t\tcloud\t\n"
	}
	techniques += "T6\tOld\trevoked\tT7\t\t\nT7\tOlder\trevoked\tT1\t\t\nT8\tGone\tdeprecated\t\t\t\nT9\tLoop\trevoked\tT9\t\t\n"
	a, err := parse(names, "#\t\n", groups, techniques)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestScoreByHand(t *testing.T) {
	a := small(t)
	// T1 is known of 4 of 8 groups: 1 bit. T2.001 of 1: 3 bits; its family of 2:
	// 2 bits. T3, observed without a sub-technique, is known of whoever is known
	// for one: 3 bits.
	c := a.Consistent([]string{"T2.001", "T1", "T3", "T1"})
	got := map[string]float64{}
	for _, m := range c.Matches {
		got[m.Group] = m.Score
	}
	if d := cmp.Diff(map[string]float64{"G0001": 1, "G0002": 4, "G0003": 3, "G0004": 4}, got); d != "" {
		t.Errorf("scores (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Observed{{"T1", "Name T1", 4, 1}, {"T2.001", "Name T2.001", 1, 3}, {"T3", "Name T3", 1, 3}}, c.Observed); d != "" {
		t.Errorf("observed (-want +got):\n%s", d)
	}
	for _, m := range c.Matches {
		switch m.Group {
		case "G0003": // known for the parent only
			if d := cmp.Diff([]Matched{{"T2.001", "Name T2.001", "T2", 2, 2}, {"T1", "Name T1", "", 4, 1}}, m.Matched); d != "" {
				t.Errorf("%s (-want +got):\n%s", m.Group, d)
			}
		case "G0001":
			if d := cmp.Diff([]string{"T2.001", "T3"}, m.Missed); d != "" {
				t.Errorf("%s (-want +got):\n%s", m.Group, d)
			}
		}
	}
	// A parent counts once for its family, and not beside a match in it; a
	// sibling is no match.
	for _, x := range []struct {
		observed []string
		group    string
		want     float64
	}{
		{[]string{"T2.001", "T2.002"}, "G0003", 2},
		{[]string{"T2.001", "T2.002"}, "G0002", 3},
		{[]string{"T2.002"}, "G0002", 0},
		{[]string{"T2", "T2.001"}, "G0002", 3},
		{[]string{"T3.001", "T3.002"}, "G0004", 6},
		{[]string{"T5"}, "G0001", 0},
	} {
		score := 0.0
		for _, m := range a.Consistent(x.observed).Matches {
			if m.Group == x.group {
				score = m.Score
			}
		}
		if score != x.want {
			t.Errorf("%v: %s has %v bits, want %v", x.observed, x.group, score, x.want)
		}
	}
}

func TestIdsThatDoNotCount(t *testing.T) {
	c := small(t).Consistent([]string{"T6", "T8", "T9", "T2", "T2.001", "bogus\x1b[2J", "", "T7"})
	want := []Ignored{
		{"", "no ATT&CK technique that the table has"},
		{"T2", "one of its sub-techniques was observed, which says more"},
		{"T6", "replaced by T7, which is counted"},
		{"T7", "replaced by T1, which is counted"},
		{"T7", "replaced by T1, which is counted"},
		{"T8", "deprecated"},
		{"T9", "revoked"},
		{"bogus\x1b[2J", "no ATT&CK technique that the table has"},
	}
	got := slices.DeleteFunc(slices.Clone(c.Ignored), func(i Ignored) bool { return strings.HasPrefix(i.Why, "replaced by T9") })
	slices.SortStableFunc(got, func(a, b Ignored) int { return strings.Compare(a.ID, b.ID) })
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("ignored (-want +got):\n%s", d)
	}
	if len(c.Observed) != 2 || c.Observed[0].ID != "T1" || c.Observed[1].ID != "T2.001" {
		t.Errorf("observed %+v", c.Observed)
	}
	for _, none := range [][]string{nil, {"T8"}, {"T5"}} {
		c := small(t).Consistent(none)
		if len(c.Matches) > 0 || c.StandOut > 0 || c.Distinct || c.Words == "" {
			t.Errorf("%v: %+v", none, c)
		}
	}
}

// The distribution that scores are held against is one, and is the one that
// drawing random groups gives.
func TestChanceIsWhatDrawingGives(t *testing.T) {
	a := loaded(t)
	observed := a.valid([]string{"T1110.001", "T1110.003", "T1078.004", "T1098.001", "T1098.003", "T1528", "T1114.002", "T1213"}, &Consistency{})
	m := a.model(observed)
	const breadth, draws = 20, 40000
	d := m.scores(breadth)
	sum, expected := 0.0, 0.0
	for s, p := range d {
		sum += p
		expected += float64(s) * p
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("probabilities add up to %v", sum)
	}
	odds := m.odds(breadth)
	size := 0.0
	for _, id := range m.universe {
		size += odds(id)
	}
	if math.Abs(size-breadth) > 1e-6 {
		t.Errorf("random groups are known for %v techniques, want %d", size, breadth)
	}
	r := rand.New(rand.NewPCG(1, 2))
	mean, above := 0.0, 0
	const limit = 15.0
	for range draws {
		g := group{id: "random", uses: map[string]bool{}}
		for _, id := range m.universe {
			if r.Float64() < odds(id) {
				g.uses[id] = true
			}
		}
		x := m.compare(g, &Match{})
		mean += float64(x) / draws
		if bits(x) >= limit {
			above++
		}
	}
	p := 0.0
	for s, q := range d {
		if bits(s) >= limit {
			p += q
		}
	}
	if math.Abs(mean-expected) > 20 { // hundredths; the standard error is 3
		t.Errorf("drawing gives %.1f, the distribution %.1f hundredths", mean, expected)
	}
	if got := float64(above) / draws; math.Abs(got-p) > 5*math.Sqrt(p/draws) {
		t.Errorf("drawing gives %v of %v bits and more, the distribution %v", got, limit, p)
	}
}

// What one group is known for is found to be consistent with it, seldom with
// others only, and what is drawn from nobody in particular seldom with
// anybody. This is the best case: logs show other techniques besides, and
// miss some.
func TestWhatItTellsApart(t *testing.T) {
	a := loaded(t)
	m := a.model(nil)
	r := rand.New(rand.NewPCG(3, 4))
	among, distinct, wrong, all := 0, 0, 0, 0
	for _, g := range a.groups {
		var cloud []string
		for _, id := range m.universe {
			if g.uses[id] {
				cloud = append(cloud, id)
			}
		}
		if len(cloud) < 12 {
			continue
		}
		for range 3 {
			r.Shuffle(len(cloud), func(i, j int) { cloud[i], cloud[j] = cloud[j], cloud[i] })
			c := a.Consistent(cloud[:8])
			all++
			for _, x := range c.Matches[:c.StandOut] {
				if x.Group == g.id {
					among++
				}
			}
			if c.Distinct && c.Matches[0].Group == g.id {
				distinct++
			} else if c.Distinct {
				wrong++
			}
		}
	}
	odds := m.odds(20)
	false1, falseDistinct, nobody := 0, 0, 60
	for range nobody {
		var ids []string
		for _, i := range r.Perm(len(m.universe)) {
			if len(ids) < 8 && r.Float64() < odds(m.universe[i]) {
				ids = append(ids, m.universe[i])
			}
		}
		c := a.Consistent(ids)
		if c.StandOut > 0 {
			false1++
		}
		if c.Distinct {
			falseDistinct++
		}
	}
	t.Logf("eight techniques of a group: it stands out in %d of %d, alone in %d, another alone in %d; of nobody: somebody stands out in %d of %d, alone and clearly in %d", among, all, distinct, wrong, false1, nobody, falseDistinct)
	if all < 40 || among < all*6/10 || wrong > all/50 || falseDistinct > nobody/10 {
		t.Error("it tells less apart than it did")
	}
}

// The incident of January 2024, by the techniques that its logs show: APT29 is
// among the groups that stand out, and is not told apart from others.
func TestTheIncidentsTechniques(t *testing.T) {
	a := loaded(t)
	observed := []string{"T1110.003", "T1078.004", "T1098.001", "T1098.003", "T1136.003", "T1528", "T1114.002", "T1550.001", "T1090.002"}
	c := a.Consistent(observed)
	if c.Distinct || c.StandOut < 2 || !strings.HasPrefix(c.Words, "Not distinguishable: ") || strings.Contains(c.Words, "ttribut") {
		t.Errorf("%d stand out: %s", c.StandOut, c.Words)
	}
	i := slices.IndexFunc(c.Matches, func(m Match) bool { return m.Group == "G0016" })
	if i < 0 || i >= c.StandOut {
		t.Fatalf("APT29 does not stand out: %s", c.Words)
	}
	x := c.Matches[i]
	if x.Microsoft != "Midnight Blizzard" || !slices.Contains(x.Names, "Cozy Bear") || slices.Contains(x.Names, "Grizzly Steppe") {
		t.Errorf("%+v", x)
	}
	if last := x.Matched[len(x.Matched)-1]; x.Matched[1].ID != "T1528" || x.Matched[1].Bits < last.Bits+2 {
		t.Errorf("T1528 does not weigh much: %+v", x.Matched)
	}
	// Mail fraud with a stolen session is like one group by four techniques, and
	// like everybody who does mail fraud.
	if c := a.Consistent([]string{"T1114.003", "T1539", "T1550.004", "T1564.008"}); c.StandOut != 1 || c.Distinct || !strings.HasPrefix(c.Words, "Hardly distinguishable: ") {
		t.Errorf("%d stand out: %s", c.StandOut, c.Words)
	}
	slices.Reverse(observed)
	if d := cmp.Diff(c, a.Consistent(observed)); d != "" {
		t.Errorf("the order of techniques matters:\n%s", d)
	}
	// A technique that everybody uses says nothing of anybody.
	if c := a.Consistent([]string{"T1078"}); c.StandOut > 0 || c.Observed[0].Bits > 2 {
		t.Errorf("%+v", c)
	}
}
