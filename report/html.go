package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
)

// HTML writes report.html: one file that asks for nothing from anywhere, can
// be mailed, printed and read on a phone, and has no script.
//
// html/template escapes every value for the place it stands in; the page's
// content security policy forbids everything but its own style sheet, should
// that ever fail.
type HTML struct{}

//go:embed assets
var assets embed.FS

// Name implements [Format].
func (HTML) Name() string { return "html" }

// Doc implements [Format].
func (HTML) Doc() string {
	return "report.html: one self-contained page, verdict first, every claim linked to its log lines"
}

// Files implements [Format].
func (HTML) Files() []string { return []string{"report.html"} }

// Write implements [Format].
func (f HTML) Write(w io.Writer, file string, c *casefile.Case, o Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	style, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	t, err := template.New("page.html").Funcs(pageFuncs()).ParseFS(assets, "assets/page.html")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	b := newPage(shown(c), o)
	sum := sha256.Sum256(style)
	b.Style = template.CSS(style)
	b.Policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	buf := bufio.NewWriterSize(w, 1<<16)
	if err := t.Execute(buf, b); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"number": number, "plural": plural, "decimal": decimal, "percent": percent, "bytes": bytesText,
		"stamp": stamp, "day": day, "minute": minute, "words": words, "source": sourceName,
		"technique": techniqueName, "meaning": certaintyMeaning,
		"int64":  func(n int) int64 { return int64(n) },
		"anchor": anchor,
		"pair":   func(a, b any) pair { return pair{a, b} },
		"meter":  newMeter,
		"hours":  func(h float64) string { return span(time.Duration(h * float64(time.Hour))) },
		"rejected": func(rs []casefile.Rejected) (n int64) {
			for _, r := range rs {
				n += r.Count
			}
			return n
		},
		"iso":   func(t casefile.Time) string { return t.String() },
		"known": known, "sentence": sentence, "prose": prose,
		"parts": func(s string) []string { return strings.Split(s, "@") },
		"join":  func(s []string) string { return strings.Join(s, ", ") },
		"short": func(s string, n int) string {
			if r := []rune(s); len(r) > n {
				return string(r[:n]) + "…"
			}
			return s
		},
		"certainties": func(n casefile.PerCertainty) []certainCount {
			return []certainCount{{casefile.Confirmed, n.Confirmed}, {casefile.Probable, n.Probable}, {casefile.Possible, n.Possible}}
		},
	}
}

// known lets only the contract's own words become names of classes and shapes.
func known(word any) string {
	switch s := fmt.Sprint(word); s {
	case "confirmed", "probable", "possible", "critical", "high", "medium", "low", "info":
		return s
	}
	return ""
}

// pair hands two things to a template.
type pair struct{ A, B any }

// meter is a small bar; Part is in hundredths.
type meter struct {
	N, Of int64
	Part  float64
}

func newMeter(n, of int64) meter {
	m := meter{N: n, Of: of}
	if of > 0 {
		m.Part = round(100 * float64(min(n, of)) / float64(of))
	}
	return m
}

// anchor makes the id of an element out of an id of the case. Ids that are not
// plain are hashed, so that an anchor and the links to it are always the same.
func anchor(prefix, id string) string {
	plain := func(r rune) bool {
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-' || r == '_'
	}
	if id == "" || len(id) > 80 || strings.IndexFunc(id, func(r rune) bool { return !plain(r) }) >= 0 {
		sum := sha256.Sum256([]byte(id))
		return prefix + "-x" + hex.EncodeToString(sum[:8])
	}
	return prefix + "-" + id
}

type certainCount struct {
	Certainty casefile.Certainty
	Count     int64
}

// page is what the template shows.
type page struct {
	*casefile.Case
	Style  template.CSS
	Policy string
	Rows   int

	Lead      *casefile.Sentence
	Facts     []casefile.Sentence
	Limits    []casefile.Sentence
	Absences  []casefile.Sentence
	Advice    []casefile.Sentence
	Best      casefile.Certainty // the highest certainty of access to mail
	Campaigns []campaignView
	Others    []findingView // findings that are in no campaign
	OthersCut int
	Clean     []casefile.Assessed // detectors that found nothing
	Evidence  []evidenceView
	Uncited   int // pieces of evidence that are not shown

	Duplicates, Rejected int64

	opts     Options
	cite     map[string]int // event id -> number in the appendix
	findings map[string]casefile.Finding
	shown    map[string]string // finding id -> its anchor, if it is on the page
	messages int               // rows of messages that may still be shown
}

type campaignView struct {
	casefile.Campaign
	N         int // from 1
	Only      bool
	Pictures  []picture
	Facts     []casefile.Sentence
	Steps     []stepView
	MoreSteps []stepView // folded away
	StepsCut  int
	Findings  []findingView
	FindCut   int
	Mailboxes []mailboxView
	BoxCut    int
	Accounts  []casefile.AccountRef
	AccCut    int
	Sprayed   []casefile.AccountRef
	IPs       []casefile.IPRef
	IPCut     int
	Sessions  []casefile.SessionRef
	SessCut   int
	Tokens    []casefile.TokenRef
	TokCut    int
	Bar       []barPart
	Uncleared int64 // mailboxes that cannot be cleared, besides those in Reach
	Joins     []casefile.Join
	JoinCut   int
}

// fewSteps is how many steps of a timeline are not folded away.
const fewSteps = 12

type stepView struct {
	casefile.TimelineEntry
	N int
}

type findingView struct {
	casefile.Finding
	Card   Card
	Cites  cites
	Anchor string
}

type mailboxView struct {
	casefile.MailboxRef
	Messages []casefile.MessageRef
	Cut      int // messages that are not shown
	Cites    cites
}

// barPart is a part of the bar that shows the share of mailboxes; X and W are
// in thousandths of the whole.
type barPart struct {
	Certainty casefile.Certainty // empty: the rest
	Count     int64
	X, W      float64
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
}

// maxRaw and rawBudget bound what the page shows of records: one record, and
// all of them together.
const (
	maxRaw    = 16 << 10
	rawBudget = 8 << 20
)

func newPage(c *casefile.Case, o Options) *page {
	p := &page{Case: c, Rows: o.rows(), opts: o, cite: map[string]int{}, findings: map[string]casefile.Finding{}, shown: map[string]string{}, messages: 5 * o.rows()}
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
	for _, c := range p.Case.Campaigns {
		for _, u := range c.CannotClear {
			if u.Why != "" && strings.Contains(text, strings.TrimRight(u.Why, ". ")) {
				return true
			}
		}
	}
	return false
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
	for _, cam := range p.Case.Campaigns {
		for _, s := range cam.Verdict {
			add(s.Events)
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

func (p *page) citeAtMost(ids []string, total int64, n int) cites {
	var out cites
	for _, id := range ids[:min(len(ids), n)] {
		c := cite{N: p.cite[id], ID: id}
		if c.Text = "E" + number(int64(c.N)); c.N == 0 {
			c.Text = id
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

// ref is a finding or campaign that something refers to. Anchor is empty when
// the page does not show it.
type ref struct{ Text, Anchor string }

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
		return ref{f.Title, p.shown[id]}
	}
	for _, c := range p.Campaigns {
		if c.ID == id {
			return ref{c.Title, fmt.Sprintf("campaign-%d", c.N)}
		}
	}
	return ref{Text: id}
}

func (p *page) finding(f casefile.Finding) findingView {
	card := cleanCopy(reflect.ValueOf(p.opts.Cards[f.Detector])).Interface().(Card)
	v := findingView{Finding: f, Card: card, Cites: p.citeAtMost(f.Events, f.EventCount, 12)}
	if p.shown[f.ID] == "" { // one that two campaigns share is linked to where it stands first
		v.Anchor = anchor("f", f.ID)
		p.shown[f.ID] = v.Anchor
	}
	return v
}

func (p *page) campaign(c casefile.Campaign, n int, only bool) campaignView {
	v := campaignView{Campaign: c, N: n, Only: only}
	said := map[string]bool{}
	for _, s := range p.Verdict {
		said[s.Text] = true
	}
	for _, s := range c.Verdict { // what the page said above is not said again
		if s.Kind == casefile.Absence || said[s.Text] || s.Kind == casefile.Limit && p.uncleared(s.Text) {
			continue
		}
		s.Refs = slices.DeleteFunc(slices.Clone(s.Refs), func(id string) bool { return id == c.ID })
		v.Facts = append(v.Facts, s)
	}
	steps, left := cut(c.Timeline, p.Rows)
	v.StepsCut = left
	for i, s := range steps {
		v.Steps = append(v.Steps, stepView{s, i + 1})
	}
	if len(v.Steps) > fewSteps+3 {
		v.Steps, v.MoreSteps = v.Steps[:fewSteps], v.Steps[fewSteps:]
	}
	drawn := c
	drawn.Timeline = steps // a mark links to its step below
	v.Pictures = pictures(drawn, p.Coverage, n, p.Tenant)
	var fs []casefile.Finding
	for _, id := range c.Findings {
		if f, ok := p.findings[id]; ok {
			fs = append(fs, f)
		}
	}
	slices.SortStableFunc(fs, func(a, b casefile.Finding) int { return cmp.Compare(b.Severity.Rank(), a.Severity.Rank()) })
	fs, v.FindCut = cut(fs, p.Rows)
	for _, f := range fs {
		v.Findings = append(v.Findings, p.finding(f))
	}
	boxes := slices.Clone(c.Mailboxes)
	sortBoxes(boxes)
	boxes, v.BoxCut = cut(boxes, p.Rows)
	for _, m := range boxes {
		b := mailboxView{MailboxRef: m, Cites: p.citeAtMost(m.Events, m.EventCount, 6)}
		b.Messages, b.Cut = cut(m.Messages, min(p.Rows, p.messages))
		p.messages -= len(b.Messages)
		v.Mailboxes = append(v.Mailboxes, b)
	}
	for _, a := range c.Accounts {
		if a.Role == casefile.AccountSprayed {
			v.Sprayed = append(v.Sprayed, a)
		} else {
			v.Accounts = append(v.Accounts, a)
		}
	}
	v.Accounts, v.AccCut = cut(v.Accounts, p.Rows)
	v.IPs, v.IPCut = cut(c.IPs, p.Rows)
	v.Sessions, v.SessCut = cut(c.Sessions, p.Rows)
	v.Tokens, v.TokCut = cut(c.Tokens, p.Rows)
	v.Joins, v.JoinCut = cut(c.Joins, p.Rows)
	v.Uncleared = unclearedBoxes(c)
	v.Bar = shareBar(c.ShareOfMailboxes, v.Uncleared)
	return v
}

// sortBoxes puts the most certain first, then those with most messages.
func sortBoxes(boxes []casefile.MailboxRef) {
	slices.SortStableFunc(boxes, func(a, b casefile.MailboxRef) int {
		return cmp.Or(cmp.Compare(b.Certainty.Rank(), a.Certainty.Rank()), cmp.Compare(len(b.Messages), len(a.Messages)), strings.Compare(a.UPN, b.UPN))
	})
}

// unclearedBoxes counts the mailboxes that the campaign's statements say cannot
// be cleared. Statements overlap: where one does not name its members, the
// largest count is a lower bound.
func unclearedBoxes(c casefile.Campaign) int64 {
	names := map[string]bool{}
	var most int64
	for _, u := range c.CannotClear {
		if !strings.Contains(u.What, "mailbox") {
			continue
		}
		most = max(most, u.Count)
		for _, m := range u.Members {
			names[m] = true
		}
	}
	return max(most, int64(len(names)))
}

// Tallies are the numbers of the mailboxes cell. A nought is not shown where
// something cannot be cleared: that would read as "none".
func (v campaignView) Tallies() []tally {
	m := v.Reach.Mailboxes
	out := []tally{{number(m.Confirmed), casefile.Confirmed, ""}, {number(m.Probable), casefile.Probable, ""}}
	switch {
	case m.Possible == 0 && v.Uncleared > 0:
		out = append(out, tally{number(v.Uncleared), casefile.Possible, "cannot be cleared"})
	default:
		out = append(out, tally{number(m.Possible), casefile.Possible, ""})
	}
	return out
}

// MessageTallies are the numbers of the messages cell.
func (v campaignView) MessageTallies() []tally {
	m := v.Reach.Messages
	out := []tally{{number(m.Confirmed), casefile.Confirmed, ""}, {number(m.Probable), casefile.Probable, ""}, {number(m.Possible), casefile.Possible, ""}}
	if m.Probable == 0 && (v.Reach.WholeFolders > 0 || v.Reach.Windows > 0) {
		out[1].Number, out[1].Note = "?", "number not in the logs"
	}
	if m.Possible == 0 && v.Uncleared > 0 {
		out[2].Number, out[2].Note = "?", "number not in the logs"
	}
	return out
}

// AppName names an application of the campaign by its id, or is empty.
func (v campaignView) AppName(id string) string {
	for _, a := range v.Apps {
		if a.ID == id {
			return a.Name
		}
	}
	return ""
}

type tally struct {
	Number    string
	Certainty casefile.Certainty
	Note      string
}

func shareBar(s casefile.Share, uncleared int64) []barPart {
	total := max(s.Denominator, s.Confirmed+s.Probable+s.Possible)
	if s.Possible == 0 {
		s.Possible = min(uncleared, total-s.Confirmed-s.Probable)
	}
	if total <= 0 {
		return nil
	}
	var out []barPart
	x := 0.0
	for _, part := range []barPart{{Certainty: casefile.Confirmed, Count: s.Confirmed}, {Certainty: casefile.Probable, Count: s.Probable}, {Certainty: casefile.Possible, Count: s.Possible},
		{Count: total - s.Confirmed - s.Probable - s.Possible}} {
		if part.Count <= 0 {
			continue
		}
		part.X, part.W = x, float64(part.Count)*1000/float64(total)
		x += part.W
		out = append(out, part)
	}
	return out
}
