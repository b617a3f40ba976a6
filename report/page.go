package report

import (
	"cmp"
	"html/template"
	"reflect"
	"slices"
	"strings"

	"midwatch/casefile"
)

// page is what the template shows.
type page struct {
	*casefile.Case
	Style  template.CSS
	Policy string
	Rows   int

	Lead       *casefile.Sentence
	Facts      []casefile.Sentence
	Limits     []casefile.Sentence
	Absences   []casefile.Sentence
	Advice     []casefile.Sentence
	Best       casefile.Certainty // the highest certainty of access to mail
	Campaigns  []campaignView
	Answers    []answerView
	AnswersCut int
	Heat       *heatmap
	Boxes      []boxState
	Others     []findingView // findings that are in no campaign
	OthersCut  int
	Clean      []casefile.Assessed // detectors that found nothing
	Evidence   []evidenceView
	Uncited    int // pieces of evidence that are not shown

	Duplicates, Rejected int64

	opts     Options
	cite     map[string]int // event id -> number in the appendix
	findings map[string]casefile.Finding
	shown    map[string]string // finding id -> its anchor, if it is on the page
	messages int               // rows of messages that may still be shown
	named    map[boxKey]messageCount
}

type evidenceView struct {
	casefile.Evidence
	ID     string
	N      int
	Record string
	Cut    int64 // bytes of the record that are not shown
}

// cites is a list of citations as the page shows it.
type cites struct {
	Shown []cite
	More  int64 // cited, not listed here
}

type cite struct {
	N    int // number in the appendix; 0: not in it
	ID   string
	Text string
	Href string
}

// maxRaw and rawBudget bound what the page shows of records: one record, and
// all of them together.
const (
	maxRaw    = 16 << 10
	rawBudget = 8 << 20
)

// newPage prepares a case whose strings are clean.
func newPage(c *casefile.Case, o Options) *page { return newPageOf(c, countMessages(c), o) }

func newPageOf(c *casefile.Case, named map[boxKey]messageCount, o Options) *page {
	p := &page{named: named, Case: c, Rows: o.rows(), opts: o, cite: map[string]int{}, findings: map[string]casefile.Finding{}, shown: map[string]string{}, messages: 5 * o.rows()}
	for _, f := range c.Findings {
		p.findings[f.ID] = f
	}
	for _, s := range c.Sources {
		p.Duplicates += s.Duplicates
		for _, r := range s.Rejected {
			p.Rejected += r.Count
		}
	}
	p.chooseEvidence()
	p.verdict()
	cams := slices.Clone(c.Campaigns)
	slices.SortStableFunc(cams, func(a, b casefile.Campaign) int { return cmp.Compare(b.Severity.Rank(), a.Severity.Rank()) })
	in := map[string]bool{}
	for i, cam := range cams {
		p.Campaigns = append(p.Campaigns, p.campaign(cam, i+1, len(cams) == 1))
		for _, f := range cam.Findings {
			in[f] = true
		}
		for _, m := range cam.Mailboxes {
			if m.Certainty.Rank() > p.Best.Rank() {
				p.Best = m.Certainty
			}
		}
	}
	p.answers()
	p.Heat = p.heat()
	p.Boxes = p.boxStates()
	var others []casefile.Finding
	for _, f := range c.Findings {
		if !in[f.ID] {
			others = append(others, f)
		}
	}
	slices.SortStableFunc(others, func(a, b casefile.Finding) int { return b.Severity.Rank() - a.Severity.Rank() })
	others, p.OthersCut = cut(others, p.Rows)
	for _, f := range others {
		p.Others = append(p.Others, p.finding(f))
	}
	for _, a := range c.Assessed {
		if a.Findings == 0 {
			p.Clean = append(p.Clean, a)
		}
	}
	return p
}

// cut returns the first n of a list and how many are left.
func cut[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}

// verdict sorts the case's sentences. The first one leads, whatever its kind,
// except that an absence never does: it is shown after the coverage.
func (p *page) verdict() {
	for _, s := range p.Verdict {
		switch {
		case s.Kind == casefile.Absence:
			p.Absences = append(p.Absences, s)
		case p.Lead == nil && s.Kind != casefile.Advice:
			p.Lead = &s
		case s.Kind == casefile.Limit:
			if !p.uncleared(s.Text) {
				p.Limits = append(p.Limits, s)
			}
		case s.Kind == casefile.Advice:
			p.Advice = append(p.Advice, s)
		default:
			p.Facts = append(p.Facts, s)
		}
	}
}

// uncleared reports whether a campaign's statement of what cannot be cleared
// says the same, with names and evidence besides.
func (p *page) uncleared(text string) bool {
	said := func(u casefile.Uncleared) bool {
		return u.Why != "" && strings.Contains(text, strings.TrimRight(u.Why, ". "))
	}
	for _, c := range p.Case.Campaigns {
		if slices.ContainsFunc(c.CannotClear, said) {
			return true
		}
	}
	return slices.ContainsFunc(p.Case.CannotClear, said)
}

// chooseEvidence decides which log lines the appendix holds when there are
// more than it may show: what the verdict stands on first, then what the
// campaigns and findings stand on, then single messages.
func (p *page) chooseEvidence() {
	var order []string
	seen := map[string]bool{}
	add := func(ids []string) {
		for _, id := range ids {
			if _, ok := p.Case.Evidence[id]; ok && !seen[id] {
				seen[id] = true
				order = append(order, id)
			}
		}
	}
	for _, s := range p.Verdict {
		add(s.Events)
	}
	for _, a := range p.Assertions {
		add(head(a.Events))
		for _, x := range a.Places {
			add(head(x.Events))
		}
	}
	for _, u := range p.Case.CannotClear {
		add(head(u.Events))
	}
	for _, cam := range p.Case.Campaigns {
		for _, s := range cam.Verdict {
			add(s.Events)
		}
		for _, m := range cam.Milestones {
			add(head(m.Events))
		}
		for _, t := range cam.Tokens {
			add([]string{t.MintedBy})
		}
		for _, i := range cam.Interests {
			add(i.Events[:min(len(i.Events), 3)])
		}
		for _, t := range cam.Timeline {
			add(head(t.Events))
		}
		for _, u := range cam.CannotClear {
			add(head(u.Events))
		}
		for _, a := range cam.Accounts {
			add(head(a.Events))
		}
		for _, a := range cam.Apps {
			add(head(a.Events))
		}
		for _, k := range cam.Credentials {
			add(head(k.Events))
		}
	}
	for _, f := range p.Case.Findings {
		add(head(f.Events))
	}
	for _, cam := range p.Case.Campaigns {
		for _, m := range cam.Mailboxes {
			add(head(m.Events))
			for _, w := range m.Windows {
				add(w.Events)
			}
			for _, f := range m.WholeFolders {
				add(head(f.Events))
			}
		}
	}
	for _, cam := range p.Case.Campaigns {
		for _, m := range cam.Mailboxes {
			for _, x := range m.Messages {
				add(head(x.Events))
			}
		}
	}
	for _, f := range p.Case.Findings {
		add(f.Events)
	}
	rest := make([]string, 0, len(p.Case.Evidence))
	for id := range p.Case.Evidence {
		if !seen[id] {
			rest = append(rest, id)
		}
	}
	slices.Sort(rest)
	order, p.Uncited = cut(append(order, rest...), p.Rows)
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(p.Case.Evidence[a].Time.Compare(p.Case.Evidence[b].Time.Time), strings.Compare(a, b))
	})
	var raws map[string][]byte
	if p.opts.Raw != nil {
		raws = p.opts.Raw(order)
	}
	budget := int64(rawBudget)
	for i, id := range order {
		e := evidenceView{Evidence: p.Case.Evidence[id], ID: id, N: i + 1}
		if raw, ok := raws[id]; ok {
			n := min(int64(len(raw)), maxRaw, budget)
			e.Record, e.Cut = cleanLines(string(raw[:n])), int64(len(raw))-n
			budget -= n
		}
		p.cite[id] = i + 1
		p.Evidence = append(p.Evidence, e)
	}
}

// head is the first evidence of a list, as much as is cited by name.
func head(ids []string) []string { return ids[:min(len(ids), 12)] }

// Cite makes citations of event ids. total is the exact number of records when
// the list holds only some of them; otherwise 0.
func (p *page) Cite(ids []string, total int64) cites { return p.citeAtMost(ids, total, 3) }

// CiteOne cites a single event; an id that is empty is none.
func (p *page) CiteOne(id string) cites {
	if id == "" {
		return cites{}
	}
	return p.Cite([]string{id}, 0)
}

func (p *page) citeAtMost(ids []string, total int64, n int) cites {
	var out cites
	for _, id := range ids[:min(len(ids), n)] {
		c := cite{N: p.cite[id], ID: id, Href: p.eventHref(id)}
		if c.Text = "E" + number(int64(c.N)); c.N == 0 {
			c.Text = id
			if r := []rune(id); c.Href != "" && len(r) > 8 {
				c.Text = string(r[:8])
			}
		}
		out.Shown = append(out.Shown, c)
	}
	out.More = max(total, int64(len(ids))) - int64(len(out.Shown))
	return out
}

// Tenant names a tenant for people: by its domain where one was seen.
func (p *page) Tenant(id string) string {
	name, namesakes := "", 0
	for _, t := range p.Case.Case.Tenants {
		if t.ID == id && len(t.Domains) > 0 {
			name = t.Domains[0]
		}
	}
	for _, t := range p.Case.Case.Tenants {
		if name != "" && len(t.Domains) > 0 && t.Domains[0] == name {
			namesakes++
		}
	}
	switch {
	case name != "" && namesakes > 1 && len(id) == 36:
		return name + " (" + id[:8] + ")"
	case name != "" && namesakes > 1:
		return name + " (no id)"
	case name != "":
		return name
	}
	if id == "" {
		return "tenant not named in the records"
	}
	if len(id) == 36 {
		return "tenant " + id[:8]
	}
	return id
}

// Limit is the part of a list that the page shows.
func (p *page) Limit(list any) any {
	v := reflect.ValueOf(list)
	return v.Slice(0, min(v.Len(), p.Rows)).Interface()
}

// Left says what Limit left out, or nothing.
func (p *page) Left(list any, what string) string {
	n := reflect.ValueOf(list).Len() - p.Rows
	if n <= 0 {
		return ""
	}
	return plural(int64(n), "more "+strings.ReplaceAll(what, "/", "/more ")) + " in case.json."
}

// Domains names the organizations of the case, each once.
func (p *page) Domains() []string {
	var out []string
	for _, t := range p.Case.Case.Tenants {
		name := p.Tenant(t.ID)
		if len(t.Domains) > 0 {
			name = t.Domains[0]
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// ref is a finding or campaign that something refers to. Href is empty when
// it is shown nowhere.
type ref struct{ Text, Href string }

// Refs are the findings and campaigns that a sentence refers to, each once.
// A case's only campaign goes without saying.
func (p *page) Refs(ids []string) []ref {
	var out []ref
	for _, id := range ids {
		r := p.Ref(id)
		if _, finding := p.findings[id]; (finding || len(p.Campaigns) > 1) && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// Ref looks up a finding or campaign by its id.
func (p *page) Ref(id string) ref {
	if f, ok := p.findings[id]; ok {
		return ref{f.Title, p.findingHref(id)}
	}
	for _, c := range p.Campaigns {
		if c.ID == id {
			return ref{c.Title, p.ToCampaign(c.Campaign, "")}
		}
	}
	return ref{Text: id}
}

func (p *page) finding(f casefile.Finding) findingView {
	if p.shown[f.ID] != "" { // one that two campaigns share is linked to where it stands first
		return p.viewOf(f, "")
	}
	p.shown[f.ID] = anchor("f", f.ID)
	return p.viewOf(f, p.shown[f.ID])
}

// viewOf is a finding as the page shows it. It changes nothing, so that several
// readers may ask at the same time.
func (p *page) viewOf(f casefile.Finding, at string) findingView {
	card := cleanCopy(reflect.ValueOf(p.opts.Cards[f.Detector])).Interface().(Card)
	return findingView{Finding: f, Card: card, Cites: p.citeAtMost(f.Events, f.EventCount, 12), Anchor: at}
}
