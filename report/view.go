package report

import (
	"bufio"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"

	"midwatch/casefile"
)

// View is a case that is shown in parts, for a program that puts pages
// together of its own. It is prepared once and safe for concurrent readers. A
// part has its heading and its own id, and needs [Style] and, once a page,
// [Sprite].
type View struct {
	page *page
	t    *template.Template
}

// NewView prepares a case. It keeps no reference to c.
//
// The whole case is copied, so that a large one is given with
// Options.NoMessages, Options.NoEvidence, or without both in it.
func NewView(c *casefile.Case, o Options) (*View, error) {
	t, err := templates()
	if err != nil {
		return nil, err
	}
	return &View{newPageOf(shown(trim(c, o)), countMessages(c), o), t}, nil
}

func templates() (*template.Template, error) {
	t, err := template.New("page.html").Funcs(pageFuncs()).ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("read the report's templates: %w", err)
	}
	return t, nil
}

// ErrNoPart means that a case, campaign or finding has no such part.
var ErrNoPart = errors.New("no such part")

// Parts names the parts of a case, in the order of the page. "executive" is the
// first page and "established" what follows it; "verdict" is the beginning of
// both without numbers and picture, for a page that has its own.
func Parts() []string {
	return []string{"executive", "established", "verdict", "unknown", "next", "accessed", "decisions", "earlier", "others", "assumed", "coverage", "absence", "method", "sources", "evidence"}
}

// CampaignParts names the parts of a campaign, in the order of the page.
// "timeline" holds "picture" and "steps".
func CampaignParts() []string {
	return []string{"head", "numbers", "timeline", "picture", "steps", "graph", "long", "findings", "reach", "after", "used", "consistent"}
}

// Has reports whether a part of a case, see [Parts], has anything to show.
func (v *View) Has(part string) bool {
	p := v.page
	switch part {
	case "established":
		return len(p.Facts) > 0 || len(p.Campaigns) > 0
	case "next":
		return len(p.Advice) > 0
	case "accessed":
		return len(p.Answers) > 0
	case "decisions":
		return len(p.Overrides) > 0
	case "earlier":
		return len(p.Earlier) > 0
	case "others":
		return len(p.Others) > 0
	case "assumed":
		return len(p.Assumed) > 0
	case "evidence":
		return len(p.Evidence) > 0
	}
	return slices.Contains(Parts(), part)
}

// Part writes a part of the case, one of [Parts]. One that has nothing to show
// writes nothing.
func (v *View) Part(w io.Writer, name string) error {
	if !slices.Contains(Parts(), name) {
		return fmt.Errorf("part %q: %w", name, ErrNoPart)
	}
	if !v.Has(name) {
		return nil
	}
	return v.execute(w, name, v.page)
}

// Campaign writes a part of a campaign, one of [CampaignParts], or the whole
// when part is empty.
func (v *View) Campaign(w io.Writer, id, part string) error {
	c := v.campaign(id)
	if c == nil {
		return fmt.Errorf("campaign %q: %w", id, ErrNoPart)
	}
	switch part {
	case "":
		return v.execute(w, "campaign", pair{v.page, *c})
	case "long", "after":
		return v.execute(w, part, pair{v.page, *c})
	case "numbers", "consistent":
		return v.execute(w, part, *c)
	}
	if !slices.Contains(CampaignParts(), part) {
		return fmt.Errorf("part %q of a campaign: %w", part, ErrNoPart)
	}
	return v.execute(w, "c-"+part, pair{v.page, *c})
}

func (v *View) campaign(id string) *campaignView {
	for i := range v.page.Campaigns {
		if v.page.Campaigns[i].ID == id {
			return &v.page.Campaigns[i]
		}
	}
	return nil
}

// Finding writes a finding.
func (v *View) Finding(w io.Writer, id string) error {
	f, ok := v.page.findings[id]
	if !ok {
		return fmt.Errorf("finding %q: %w", id, ErrNoPart)
	}
	return v.execute(w, "finding", pair{v.page, v.page.viewOf(f, v.page.shown[f.ID])})
}

func (v *View) execute(w io.Writer, name string, data any) error {
	buf := bufio.NewWriterSize(w, 1<<16)
	if err := v.t.ExecuteTemplate(buf, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Style is the style sheet: its tokens (custom properties of :root) and the
// classes of the parts.
func Style() ([]byte, error) {
	b, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return nil, fmt.Errorf("read the style sheet: %w", err)
	}
	return b, nil
}

// Sprite is the hidden picture with the shapes of certainties and answers, which
// the parts use by their ids (g-confirmed, ...). A page has it once.
func Sprite() (template.HTML, error) {
	t, err := templates()
	if err != nil {
		return "", err
	}
	var b spriteWriter
	if err := t.ExecuteTemplate(&b, "sprite", nil); err != nil {
		return "", fmt.Errorf("write the shapes: %w", err)
	}
	return template.HTML(b), nil
}

type spriteWriter []byte

func (b *spriteWriter) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// Funcs are the functions of the report's templates, so that others say things
// in the same words: number, plural, decimal, percent, bytes, stamp, minute,
// day, iso, span, hours, words, source, technique, meaning, sentence, prose,
// clean, short, known, certainties, answer, answerword, pair, ...
func Funcs() template.FuncMap { return pageFuncs() }

// Number, Decimal, Percent and Day write figures and dates as the report does,
// for what is said outside of templates.
func Number(n int64) string { return number(n) }

// Decimal writes a count that may have a fraction, see [Number].
func Decimal(f float64) string { return decimal(f) }

// Percent writes a share of 0..1, see [Number].
func Percent(f float64) string { return percent(f) }

// Day writes a date, see [Number].
func Day(t casefile.Time) string { return day(t) }

// Clean makes a string from a log fit to be shown: control characters and
// those that turn the direction of text become escapes. The case of a [View]
// is clean; what comes from elsewhere has to be made so.
func Clean(s string) string { return clean(s) }

// CleanLines is [Clean] for text of several lines, such as a record.
func CleanLines(s string) string { return cleanLines(s) }

// boxKey is a mailbox of a campaign, by its position.
type boxKey struct{ campaign, upn, id, tenant string }

// messageCount counts the messages that records name in a mailbox.
type messageCount struct{ named, maybe int64 }

func (m messageCount) all() int64 { return m.named + m.maybe }

func keyOf(campaign string, m casefile.MailboxRef) boxKey {
	return boxKey{clean(campaign), clean(m.UPN), clean(m.ID), clean(m.Tenant)}
}

// countMessages counts what trim may leave out. Where the caller left it out
// already, the contract's own counts have to do.
func countMessages(c *casefile.Case) map[boxKey]messageCount {
	out := map[boxKey]messageCount{}
	for _, cam := range c.Campaigns {
		for _, m := range cam.Mailboxes {
			var n messageCount
			for i := range m.Messages {
				if m.Messages[i].Certainty == casefile.Possible {
					n.maybe++
				} else {
					n.named++
				}
			}
			if m.Messages == nil {
				n = messageCount{m.Counts.Messages.Confirmed + m.Counts.Messages.Probable, m.Counts.Messages.Possible}
			}
			out[keyOf(cam.ID, m)] = n
		}
	}
	return out
}

func (p *page) count(campaign string, m casefile.MailboxRef) messageCount {
	return p.named[keyOf(campaign, m)]
}

// trim leaves out of a case what is not to be copied. It changes a copy.
func trim(c *casefile.Case, o Options) *casefile.Case {
	if !o.NoMessages && !o.NoEvidence {
		return c
	}
	out := *c
	if o.NoEvidence {
		out.Evidence = nil
	}
	if o.NoMessages {
		out.Campaigns = slices.Clone(c.Campaigns)
		for i := range out.Campaigns {
			boxes := slices.Clone(out.Campaigns[i].Mailboxes)
			for k := range boxes {
				boxes[k].Messages, boxes[k].AttachmentItems = nil, nil
			}
			out.Campaigns[i].Mailboxes = boxes
		}
	}
	return &out
}
