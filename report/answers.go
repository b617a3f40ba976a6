package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
)

// answerView is an [casefile.Assertion] as the page shows it.
type answerView struct {
	casefile.Assertion
	Anchor string
	Cites  cites
	Names  []string // campaigns that it is answered for, where the case has several
}

// answerRank puts what was accessed first, then what cannot be told: "no
// evidence" is what a hurried reader would take for an all-clear.
func answerRank(answer string) int {
	switch answer {
	case casefile.Accessed:
		return 0
	case casefile.NoEvidence:
		return 2
	}
	return 1
}

// answerKey is the class and shape of an answer. A word that is not the
// contract's is shown as one that cannot be told.
func answerKey(answer string) string {
	switch answerRank(answer) {
	case 0:
		return "accessed"
	case 2:
		return "noevidence"
	}
	return "cannottell"
}

func (p *page) answers() {
	as := slices.Clone(p.Assertions)
	slices.SortStableFunc(as, func(a, b casefile.Assertion) int { return cmp.Compare(answerRank(a.Answer), answerRank(b.Answer)) })
	as, p.AnswersCut = cut(as, p.Rows)
	seen := map[string]bool{}
	for _, a := range as {
		v := answerView{Assertion: a, Cites: p.citeAtMost(a.Events, a.Access, 6)}
		if id := anchor("asset", a.Asset); !seen[id] {
			v.Anchor, seen[id] = id, true
		}
		if len(p.Case.Campaigns) > 1 {
			for _, id := range a.Campaign {
				v.Names = append(v.Names, p.campaignName(id))
			}
		}
		p.Answers = append(p.Answers, v)
	}
}

// campaignName is what a campaign of the page is called in a list.
func (p *page) campaignName(id string) string {
	for _, c := range p.Campaigns {
		if c.ID == id {
			return fmt.Sprintf("campaign %d", c.N)
		}
	}
	return id
}

// leastCovered says how much of the time the log that covers least of it
// covers: what goes with every "no evidence", however short.
func leastCovered(a casefile.Assertion) string {
	if len(a.Coverage) == 0 {
		return "coverage not known"
	}
	least, missing := 1.0, int64(0)
	for _, c := range a.Coverage {
		if c.State == "never" {
			missing++
		} else {
			least = min(least, c.Share)
		}
	}
	switch {
	case missing == int64(len(a.Coverage)):
		return "its logs were never received"
	case missing > 0:
		return percent(least) + " of the hours covered, " + plural(missing, "log") + " never received"
	}
	return percent(least) + " of the hours covered"
}

// coverSummary is the coverage of an answer in a line: how many of the logs
// that would show it were there, and for how much of the time.
func coverSummary(a casefile.Assertion) string {
	there, least := int64(0), 1.0
	for _, c := range a.Coverage {
		if c.State != "never" {
			there++
			least = min(least, c.Share)
		}
	}
	n := int64(len(a.Coverage))
	of := plural(n, "log") + " that would show it"
	all := "all " + of
	if n == 2 {
		all = "both logs that would show it"
	}
	switch {
	case n == 0:
		return "no log that would show it is known"
	case there == 0 && n == 1:
		return "the log that would show it was never received"
	case there == 0:
		return "none of the " + of + " was received"
	case there < n:
		of = number(there) + " of the " + of + " were there"
	case n == 1:
		of = "the log that would show it was there"
	default:
		of = all + " were there"
	}
	if least < 1 && there == 1 {
		return of + ", for " + percent(least) + " of the hours"
	}
	if least < 1 {
		return of + ", each for " + percent(least) + " of the hours or more"
	}
	return of + ", for 100 % of the hours"
}

// shares says in words how much of the time each log covers.
func (p *page) shares(a casefile.Assertion) string {
	if len(a.Coverage) == 0 {
		return "no log of it is known to cover the time"
	}
	var parts []string
	tenants := map[string]bool{}
	for _, c := range a.Coverage {
		tenants[c.Tenant] = true
	}
	for _, c := range a.Coverage {
		s := sourceName(c.Source, "")
		if len(tenants) > 1 {
			s += " of " + p.Tenant(c.Tenant)
		}
		parts = append(parts, s+" "+coverWord(c))
	}
	return strings.Join(parts, ", ")
}

// coverWord is the share of an hour's log, or that it was never there.
func coverWord(c casefile.AnswerCover) string {
	if c.State == "never" {
		return "never received"
	}
	return percent(c.Share)
}

// mostGroups is how many groups of [casefile.Consistency] are shown: more would
// look like a choice.
const mostGroups = 5

// GroupsShown are the groups of the campaign's table.
func (v campaignView) GroupsShown() []casefile.GroupMatch {
	gs, _ := cut(v.Consistency.Matches, mostGroups)
	return gs
}

// TechniqueOf names an observed technique by its id.
func (v campaignView) TechniqueOf(id string) string {
	for _, o := range v.Consistency.Observed {
		if o.ID == id {
			return o.Name
		}
	}
	return techniqueName(id)
}

// rankWords says what a pair of campaigns of two cases is held to be.
func rankWords(rank string) string {
	switch rank {
	case "same_actor_likely":
		return "likely the same actor"
	case "related":
		return "related, by what others may share too"
	case "technique_only":
		return "the same techniques, nothing else"
	}
	return words(rank)
}

// verb says what a decision did.
func verb(k casefile.OverrideKind) string {
	switch k {
	case casefile.OverrideJoin:
		return "joined"
	case casefile.OverrideSplit:
		return "split off"
	case casefile.OverrideExclude:
		return "left out"
	}
	return words(string(k))
}

// overridesOf are the decisions that changed a campaign: those about one of
// its findings, those whose effect names it, and those about an entity that
// one of its findings has. What was left out of it names it no more, and is
// known by the accounts and applications that both are about.
func (p *page) overridesOf(c casefile.Campaign) []casefile.Override {
	has := map[string]bool{}
	shares := func(e casefile.Entity) bool { return has[string(e.Kind)+" "+e.ID] }
	who := func(e casefile.Entity) bool {
		switch e.Kind {
		case casefile.Account, casefile.App, casefile.ServicePrincipal, casefile.Session, casefile.Mailbox:
			return shares(e)
		}
		return false
	}
	for _, f := range c.Findings {
		has[f] = true
		for _, e := range p.findings[f].Entities {
			has[string(e.Kind)+" "+e.ID] = true
		}
	}
	var out []casefile.Override
	for _, o := range p.Overrides {
		near := slices.ContainsFunc(o.Findings, func(f string) bool { return has[f] || slices.ContainsFunc(p.findings[f].Entities, who) }) ||
			slices.ContainsFunc(o.Entities, shares) ||
			c.ID != "" && strings.Contains(o.Effect, c.ID)
		if near {
			out = append(out, o)
		}
	}
	return out
}

// answerWord is an answer in words.
func answerWord(answer string) string {
	switch answerRank(answer) {
	case 0:
		return "accessed"
	case 2:
		return "no evidence"
	}
	return "cannot tell"
}

// inHours writes a number of hours that a column stands for.
func inHours(n int) string {
	if n > 24 && n%24 == 0 {
		return plural(int64(n/24), "day")
	}
	return plural(int64(n), "hour")
}

// capital begins a name with a capital letter.
func capital(s string) string {
	if s != "" && 'a' <= s[0] && s[0] <= 'z' {
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return s
}

// answerCoverView is a log under an answer; Group names the tenant of those
// that follow, where the case has several.
type answerCoverView struct {
	casefile.AnswerCover
	Group string
}

// Covers are the logs of an answer, by tenant.
func (p *page) Covers(cs []casefile.AnswerCover) []answerCoverView {
	cs = slices.Clone(cs)
	slices.SortStableFunc(cs, func(a, b casefile.AnswerCover) int { return strings.Compare(a.Tenant, b.Tenant) })
	out := make([]answerCoverView, len(cs))
	for i, c := range cs {
		out[i].AnswerCover = c
		if len(p.Case.Case.Tenants) > 1 && (i == 0 || cs[i-1].Tenant != c.Tenant) {
			out[i].Group = p.Tenant(c.Tenant)
		}
	}
	return out
}
