package investigate

import (
	"fmt"

	"midwatch/actor"
	"midwatch/casefile"
)

// maxGroups is how many groups a campaign lists.
const maxGroups = 10

// consistent says which groups each campaign's techniques are consistent with.
func consistent(c *casefile.Case) error {
	if len(c.Campaigns) == 0 {
		return nil
	}
	table, err := actor.Load()
	if err != nil {
		return fmt.Errorf("threat actors: %w", err)
	}
	for i := range c.Campaigns {
		p := &c.Campaigns[i]
		x := table.Consistent(p.Techniques)
		out := casefile.Consistency{Groups: x.Groups, StandOut: x.StandOut, Distinct: x.Distinct, Words: x.Words, Commonness: x.Commonness}
		for _, o := range x.Observed {
			out.Observed = append(out.Observed, casefile.Observed{ID: o.ID, Name: o.Name, Groups: o.Groups, Bits: round(o.Bits, 2)})
		}
		for _, m := range x.Matches[:min(len(x.Matches), maxGroups)] {
			g := casefile.GroupMatch{Group: m.Group, Name: m.Name, Names: m.Names, Missed: m.Missed, Score: round(m.Score, 2), Expected: round(m.Expected, 2), Percentile: round(m.Percentile, 4), Rank: m.Rank, Words: m.Words}
			for _, y := range m.Matched {
				g.Matched = append(g.Matched, y.ID)
			}
			out.Matches = append(out.Matches, g)
		}
		p.Consistency = out
	}
	return nil
}
