package investigate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"midwatch/casefile"
	"midwatch/journal"
)

// OverrideEntry is the payload of the journal's entries campaign.join,
// campaign.split and campaign.exclude.
type OverrideEntry struct {
	Findings  []string          `json:"findings,omitempty"`
	Campaigns []string          `json:"campaigns,omitempty"` // that were named; findings has one of each
	Entities  []casefile.Entity `json:"entities,omitempty"`
	Reason    string            `json:"reason"`
}

// UndoEntry is the payload of campaign.undo.
type UndoEntry struct {
	Seq    int64  `json:"seq"` // of the entry that is taken back
	Reason string `json:"reason,omitempty"`
}

// Overrides reads from a journal what people decided about campaigns and have
// not taken back.
func Overrides(entries []journal.Entry) ([]casefile.Override, error) {
	kinds := map[journal.Kind]casefile.OverrideKind{
		journal.CampaignJoin: casefile.OverrideJoin, journal.CampaignSplit: casefile.OverrideSplit, journal.CampaignExclude: casefile.OverrideExclude,
	}
	var out []casefile.Override
	for i := range entries {
		e := &entries[i]
		if e.Kind == journal.CampaignUndo {
			var u UndoEntry
			if err := e.Decode(&u); err != nil {
				return nil, err
			}
			out = slices.DeleteFunc(out, func(o casefile.Override) bool { return o.Seq == u.Seq })
			continue
		}
		kind, ok := kinds[e.Kind]
		if !ok {
			continue
		}
		var p OverrideEntry
		if err := e.Decode(&p); err != nil {
			return nil, err
		}
		out = append(out, casefile.Override{
			Seq: e.Seq, Time: casefile.TimeOf(e.Time), Author: e.Author.Name, Claimed: e.Author.Claimed, Kind: kind,
			Findings: p.Findings, Entities: p.Entities, Reason: p.Reason,
		})
	}
	return out, nil
}

// roleExcluded marks an entity that a person has excluded, in the findings that
// campaigns are made of. No question about a role finds it.
const roleExcluded = "excluded"

// isExcluded reports whether an entity of a kind is excluded from a finding.
func isExcluded(f *casefile.Finding, kind casefile.EntityKind) bool {
	return len(entities(f, kind, roleExcluded)) > 0
}

// plan is what the decisions of people come to, the later one before the
// earlier: which findings are kept apart, and what is left out.
type plan struct {
	list  []casefile.Override
	ids   *aliases
	found map[string]bool  // findings that there are
	group map[string]int64 // finding -> the split that it is of, by number
	out   map[string]int64 // finding -> what excluded it
	skip  map[string]int64 // entity, "kind id" -> what excluded it
	hit   map[int64]bool   // exclusions of entities that had something to exclude
}

func newPlan(list []casefile.Override, fs []casefile.Finding, ids *aliases) *plan {
	p := &plan{list: slices.Clone(list), ids: ids, found: map[string]bool{}, group: map[string]int64{}, out: map[string]int64{}, skip: map[string]int64{}, hit: map[int64]bool{}}
	for i := range fs {
		p.found[fs[i].ID] = true
	}
	for i := range p.list {
		o := &p.list[i]
		for _, f := range o.Findings {
			switch o.Kind {
			case casefile.OverrideSplit:
				p.group[f] = o.Seq
			case casefile.OverrideExclude:
				p.out[f] = o.Seq
			}
		}
		if o.Kind == casefile.OverrideExclude {
			for _, e := range o.Entities {
				p.skip[p.key(e.Kind, e.ID)] = o.Seq
			}
		}
	}
	return p
}

// key is one for all ids of an application.
func (p *plan) key(kind casefile.EntityKind, id string) string {
	switch kind {
	case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
		return "app " + p.ids.root(id)
	}
	return string(kind) + " " + id
}

// excludes reports whether a person has excluded an entity.
func (p *plan) excludes(kind casefile.EntityKind, id string) bool {
	if p == nil || len(p.skip) == 0 {
		return false
	}
	seq, ok := p.skip[p.key(kind, id)]
	if ok {
		p.hit[seq] = true
	}
	return ok
}

// kept are the findings that may be of a campaign, with what is excluded marked
// in them. fs is not changed.
func (p *plan) kept(fs []casefile.Finding) []casefile.Finding {
	if len(p.list) == 0 {
		return fs
	}
	var out []casefile.Finding
	for _, f := range fs {
		if p.out[f.ID] != 0 {
			continue
		}
		f.Entities = slices.Clone(f.Entities)
		for i := range f.Entities {
			if e := &f.Entities[i]; p.excludes(e.Kind, e.ID) {
				e.Role = roleExcluded
			}
		}
		out = append(out, f)
	}
	return out
}

// apart reports whether nothing of the evidence may join two findings.
func (p *plan) apart(a, b string) bool { return p.group[a] != p.group[b] }

// parted says what a decision of number seq cannot join any more.
func (p *plan) parted(a, b string, seq int64) int64 {
	if by := max(p.group[a], p.group[b]); p.apart(a, b) && by > seq {
		return by
	}
	return 0
}

// forced is a join that a person decided.
type forced struct {
	a, b int
	casefile.Join
}

// word is a person's decision as the reason of a join.
func word(verb string, o *casefile.Override, a, b string) casefile.Join {
	return casefile.Join{A: a, B: b, Entity: casefile.Entity{Kind: casefile.Journaled, ID: strconv.FormatInt(o.Seq, 10)}, Reason: fmt.Sprintf("%s by %s: %s", verb, o.Author, o.Reason)}
}

// forced lists the joins that people decided.
func (p *plan) forced(fs []casefile.Finding) (out []forced) {
	at := map[string]int{}
	for i := range fs {
		at[fs[i].ID] = i
	}
	for i := range p.list {
		o := &p.list[i]
		for _, b := range o.Findings[min(1, len(o.Findings)):] {
			// With the first before it that there is, so that one that is gone
			// does not part the others.
			for _, a := range o.Findings {
				if a == b {
					break
				}
				x, ok := at[a]
				y, okToo := at[b]
				if !ok || !okToo {
					continue
				}
				if o.Kind == casefile.OverrideJoin && p.parted(a, b, o.Seq) == 0 {
					out = append(out, forced{x, y, word("joined", o, a, b)})
					break
				}
				if o.Kind == casefile.OverrideSplit && p.group[a] == o.Seq && p.group[b] == o.Seq {
					out = append(out, forced{x, y, word("split off together", o, a, b)})
					break
				}
			}
		}
	}
	return out
}

// attached finds the component that a person joined a rule's finding to.
func (p *plan) attached(comps []component, rule *casefile.Finding) (int, casefile.Join) {
	for i := range slices.Backward(p.list) {
		o := &p.list[i]
		if o.Kind != casefile.OverrideJoin || !slices.Contains(o.Findings, rule.ID) {
			continue
		}
		for j := range comps {
			for k := range comps[j].findings {
				if id := comps[j].findings[k].ID; slices.Contains(o.Findings, id) && p.parted(id, rule.ID, o.Seq) == 0 {
					return j, word("joined", o, id, rule.ID)
				}
			}
		}
	}
	return -1, casefile.Join{}
}

// except is the condition that takes what people excluded out of what a context
// did. What is the actor's altogether stays so from every address.
func (p *plan) except(c *grown) (where string) {
	if p == nil || c.whole {
		return ""
	}
	ids := func(kind string) (out []string) {
		for _, k := range sortedKeys(p.skip) {
			if id, ok := strings.CutPrefix(k, kind+" "); ok {
				out = append(out, id)
			}
		}
		return out
	}
	if ips := ids("ip"); len(ips) > 0 {
		where += ` AND coalesce(ip, '') NOT IN (` + quoted(ips) + `)`
	}
	if accounts := ids("account"); len(accounts) > 0 && c.Kind == "session" {
		where += ` AND coalesce(actor, '') NOT IN (` + quoted(accounts) + `)`
	}
	return where
}

// outcome says of each decision what became of it.
func (p *plan) outcome(c *casefile.Case) []casefile.Override {
	in := map[string]string{} // finding -> campaign
	for i := range c.Campaigns {
		for _, f := range c.Campaigns[i].Findings {
			in[f] = c.Campaigns[i].ID
		}
	}
	for i := range p.list {
		o := &p.list[i]
		var gone, alive []string
		for _, f := range o.Findings {
			by := p.out[f]
			split := p.group[f]
			switch {
			case !p.found[f]:
				gone = append(gone, f+" is not found any more")
			case by != 0 && by != o.Seq:
				gone = append(gone, fmt.Sprintf("%s is excluded by entry %d", f, by))
			case o.Kind == casefile.OverrideSplit && split != o.Seq:
				gone = append(gone, fmt.Sprintf("%s is split off by entry %d", f, split))
			case o.Kind == casefile.OverrideJoin && len(alive) > 0 && p.parted(alive[0], f, o.Seq) != 0:
				gone = append(gone, fmt.Sprintf("%s is split off by entry %d", f, p.parted(alive[0], f, o.Seq)))
			default:
				alive = append(alive, f)
			}
		}
		o.Applies = len(alive) > 0
		switch {
		case len(o.Entities) > 0:
			if o.Applies = p.hit[o.Seq]; o.Applies {
				o.Effect = "joins nothing, and no actor acted as it or from it: what was reached through it alone is counted in no campaign"
			} else {
				o.Effect = "nothing that was found has to do with it any more"
			}
		case o.Kind == casefile.OverrideExclude:
			o.Effect = plural(len(alive), "finding is", "findings are") + " of no campaign"
		case o.Kind == casefile.OverrideJoin && len(alive) < 2:
			o.Applies, o.Effect = false, "there are no two findings to join"
		default:
			o.Effect = where(alive, in)
		}
		if len(o.Entities) == 0 && !o.Applies && o.Kind != casefile.OverrideJoin {
			o.Effect = ""
		}
		parts := gone
		if o.Effect != "" {
			parts = append([]string{o.Effect}, gone...)
		}
		if o.Effect = strings.Join(parts, "; "); !o.Applies {
			o.Effect = "no longer applies: " + o.Effect
		}
	}
	return p.list
}

// where says which campaign findings are in.
func where(fs []string, in map[string]string) string {
	var cs []string
	for _, f := range fs {
		if in[f] != "" {
			cs = addTo(cs, []string{in[f]})
		}
	}
	if len(cs) == 0 {
		return "too slight by themselves for a campaign"
	}
	return "in campaign " + joinWords(cs)
}

// overridden tells in the verdict that people had a say.
func overridden(c *casefile.Case) []casefile.Sentence {
	var parts, refs []string
	verbs := map[casefile.OverrideKind]string{casefile.OverrideJoin: "joined", casefile.OverrideSplit: "split off", casefile.OverrideExclude: "left out"}
	const most = 4
	n := 0
	for _, o := range c.Overrides {
		if !o.Applies {
			continue
		}
		if n++; n > most {
			continue
		}
		what := plural(len(o.Findings), "finding", "findings")
		for _, e := range o.Entities {
			what = strings.TrimSpace(string(e.Kind) + " " + first(e.Name, e.ID))
		}
		parts = append(parts, fmt.Sprintf("%s %s %s (%s)", o.Author, verbs[o.Kind], what, o.Reason))
		refs = append(refs, o.Findings...)
	}
	if n == 0 {
		return nil
	}
	more := ""
	if n > most {
		more = fmt.Sprintf("; and %d more", n-most)
	}
	return []casefile.Sentence{{
		Kind: casefile.Limit, Refs: casefile.Unique(refs),
		Text: fmt.Sprintf("The campaigns follow %s of people, not the evidence alone: %s%s.", plural(n, "decision", "decisions"), strings.Join(parts, "; "), more),
	}}
}
