package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
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

// dwellWords writes a duration with its bounds. Days are rounded to tenths by
// whoever counted them.
func dwellWords(d casefile.Dwell) string {
	switch {
	case d.High == nil && d.Low <= 0:
		return "no upper bound, " + days(d.Days) + " as recorded"
	case d.High == nil && d.Low != d.Days:
		return "at least " + days(d.Low) + " (" + days(d.Days) + " as recorded)"
	case d.High == nil:
		return "at least " + days(d.Low)
	case d.Low == d.Days && *d.High == d.Days:
		return days(d.Days)
	}
	return fmt.Sprintf("%s (%s to %s)", days(d.Days), decimal(d.Low), decimal(*d.High))
}

func days(f float64) string {
	switch {
	case f <= 0:
		return "under 0.1 days"
	case f == 1:
		return "1 day"
	}
	return decimal(f) + " days"
}

// SeenAfter says how long it took until the logs could have shown the
// campaign, with bounds where the case has them.
func (v campaignView) SeenAfter() string {
	for _, d := range v.Dwell {
		if d.To == casefile.MilestoneCouldBeSeen {
			return words(d.From) + " until then: " + dwellWords(d)
		}
	}
	return decimal(v.DwellDays) + " days after the first sign"
}

// between says what bounds a milestone, or nothing when it is known as recorded.
func between(m casefile.Milestone) string { return bounds(m.NotBefore, m.NotAfter, m.Time) }

func bounds(notBefore, notAfter, at casefile.Time) string {
	switch {
	case notBefore.IsZero() && notAfter.IsZero():
		if at.IsZero() {
			return ""
		}
		return "or earlier: nothing bounds it"
	case notBefore.IsZero() && notAfter.Equal(at.Time):
		return "or earlier: it may lie before the evidence"
	case notBefore.IsZero():
		return "not after " + moments(notAfter) + "; it may lie before the evidence"
	case notAfter.IsZero():
		return "not before " + moments(notBefore)
	case notBefore.Equal(at.Time) && notAfter.Equal(at.Time):
		return ""
	}
	return "between " + moments(notBefore) + " and " + moments(notAfter)
}

// moments writes a bound: seconds of an estimate would pretend to precision.
func moments(t casefile.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// StartBounds says where the true beginning of a campaign lies.
func (v campaignView) StartBounds() string {
	if v.StartNotBefore.IsZero() && v.StartNotAfter.IsZero() {
		return ""
	}
	return bounds(v.StartNotBefore, v.StartNotAfter, v.Start)
}

// StartSentence says the same as a sentence.
func (v campaignView) StartSentence() string {
	b := v.StartBounds()
	switch {
	case b == "":
		return ""
	case v.StartNotBefore.IsZero():
		return "It may have begun before the evidence does."
	}
	return "The true beginning lies " + b + "."
}

// whisker is a value with its interval on an axis that its neighbours share;
// X, From and To are in hundredths of the axis.
type whisker struct {
	X, From, W    float64
	Open, OpenLow bool // nothing bounds it above, below
	Middle        bool // the axis has a mark in its middle
	Title         string
}

type dwellView struct {
	casefile.Dwell
	Words string
	Mark  whisker
}

// dwells lays the durations of a campaign out on one axis, which begins at 0.
func dwells(ds []casefile.Dwell) []dwellView {
	most := 0.1
	for _, d := range ds {
		most = max(most, d.Days, d.Low)
		if d.High != nil {
			most = max(most, *d.High)
		}
	}
	at := func(f float64) float64 { return round(2 + 90*min(max(f, 0), most)/most) }
	var out []dwellView
	for _, d := range ds {
		m := whisker{X: at(d.Days), From: at(d.Low), Title: d.Name + ": " + dwellWords(d), Open: d.High == nil}
		if m.Open {
			m.W = round(98 - m.From)
		} else {
			m.W = round(max(at(*d.High)-m.From, 0))
		}
		out = append(out, dwellView{d, dwellWords(d), m})
	}
	return out
}

// interestGroup is what was found of one kind.
type interestGroup struct {
	Kind, Title string
	Text        bool // only words: there is nothing that it could be compared with
	Items       []interestView
	Cut         int
}

type interestView struct {
	casefile.Interest
	Mark whisker
}

// mostInterests is how many of a kind are shown: what is least likely by
// chance comes first, the rest is in interests.csv.
const mostInterests = 12

func interests(is []casefile.Interest) []interestGroup {
	titles := []struct{ kind, title string }{
		{"department", "Departments of the mailboxes"}, {"seniority", "Seniority of the owners"}, {"role", "Roles of the owners"},
		{"subject", "Words in subjects"}, {"folder", "Folders"}, {"search", "What was searched for"}, {"time", "The hours it kept"},
	}
	known := func(kind string) bool {
		return slices.ContainsFunc(titles, func(t struct{ kind, title string }) bool { return t.kind == kind })
	}
	for _, i := range is {
		if !known(i.Kind) {
			titles = append(titles, struct{ kind, title string }{i.Kind, words(i.Kind)})
		}
	}
	far := 10.0
	for _, i := range is {
		if i.BaseOf > 0 && i.Ratio > 0 {
			far = max(far, i.Ratio, 1/i.Ratio)
		}
	}
	var out []interestGroup
	for _, t := range titles {
		g := interestGroup{Kind: t.kind, Title: t.title, Text: true}
		for _, i := range is {
			if i.Kind != t.kind {
				continue
			}
			g.Text = g.Text && i.BaseOf == 0
			g.Items = append(g.Items, interestView{i, ratioMark(i, far*2)})
		}
		if g.Items, g.Cut = cut(g.Items, mostInterests); len(g.Items) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// ratioMark draws an odds ratio with its interval on a logarithmic axis from
// 1/far to far, so that its middle is "as often as elsewhere".
func ratioMark(i casefile.Interest, far float64) whisker {
	at := func(f float64) float64 {
		if !(f > 0) {
			return 2
		}
		return round(min(max(50+48*math.Log(f)/math.Log(far), 2), 98))
	}
	m := whisker{X: at(i.Ratio), From: at(i.Low), Middle: true, Open: i.High > far, OpenLow: i.Low > 0 && i.Low < 1/far}
	m.W = round(max(at(i.High)-m.From, 0))
	m.Title = ratioWords(i)
	return m
}

// ratioWords writes an odds ratio with its interval.
func ratioWords(i casefile.Interest) string {
	if i.BaseOf == 0 || i.Ratio <= 0 {
		return "not compared"
	}
	return fmt.Sprintf("%s (%s to %s)", figures(i.Ratio), figures(i.Low), figures(i.High))
}

// figures writes a number with two significant digits, in full.
func figures(f float64) string {
	if f <= 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
	if f >= 100 {
		step := math.Pow(10, math.Floor(math.Log10(f))-1)
		if f = math.Round(f/step) * step; f < 1e15 {
			return number(int64(f))
		}
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
	s := strconv.FormatFloat(f, 'f', max(0, 1-int(math.Floor(math.Log10(f)))), 64)
	return s
}

// chance writes a probability.
func chance(f float64) string {
	switch {
	case f < 0.0001:
		return "<0.0001"
	case f < 0.001:
		return strconv.FormatFloat(f, 'f', 4, 64)
	}
	return strconv.FormatFloat(f, 'f', 3, 64)
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
