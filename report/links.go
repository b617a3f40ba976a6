package report

import (
	"fmt"
	"strings"

	"midwatch/casefile"
)

// Links leads from a part of a case to other pages. Each function returns the
// address of a page, or nothing when there is none; it may be nil, and is
// called by several goroutines. Ids are as the page shows them (see [Plain]):
// of event ids, which are hashes, that is the same.
//
// Without Links everything leads to an anchor of the one page.
type Links struct {
	Event    func(id string) string // a record
	Finding  func(id string) string
	Source   func(path string) string // a file that was read
	Campaign func(id string) string   // a campaign's page
	// CampaignPart leads to a part of a campaign, named as for [View.Campaign].
	// Where it is nil the link goes to the campaign's page.
	CampaignPart func(id, part string) string
	// Step leads to a step of a campaign's timeline, from 1. Where it is nil the
	// link stays on the page that it is on: the picture stands above its steps.
	Step func(campaign string, n int) string
	// Entity leads to what an account, application, mailbox, address and the
	// other kinds of entity have a page for.
	Entity func(kind casefile.EntityKind, id string) string
	// Section leads to a part of the case, named as for [View.Part]. anchor is
	// the id of an element in it, or empty.
	Section func(part, anchor string) string
}

func call(f func(string) string, id string) string {
	if f == nil || id == "" {
		return ""
	}
	return f(id)
}

// To is the address of a section of the page, or of an element in it.
func (p *page) To(part, at string) string {
	if l := p.opts.Links; l != nil && l.Section != nil {
		return l.Section(part, at)
	}
	if at == "" {
		at = part
	}
	return "#" + at
}

// ToCampaign is the address of a campaign, or of a part of it.
func (p *page) ToCampaign(c casefile.Campaign, part string) string {
	if l := p.opts.Links; l != nil {
		switch {
		case part != "" && l.CampaignPart != nil:
			return l.CampaignPart(c.ID, part)
		case l.Campaign != nil:
			return l.Campaign(c.ID)
		}
	}
	if part == "" {
		part = "campaign"
	}
	for _, v := range p.Campaigns {
		if v.ID == c.ID {
			return fmt.Sprintf("#%s-%d", part, v.N)
		}
	}
	return ""
}

// stepHref is the address of a step of a campaign's timeline.
func (p *page) stepHref(c casefile.Campaign, number, step int) string {
	if l := p.opts.Links; l != nil && l.Step != nil {
		return l.Step(c.ID, step)
	}
	return fmt.Sprintf("#step-%d-%d", number, step)
}

func (p *page) eventHref(id string) string {
	if l := p.opts.Links; l != nil && l.Event != nil {
		return call(l.Event, id)
	}
	if p.cite[id] > 0 {
		return "#" + anchor("ev", id)
	}
	return ""
}

func (p *page) findingHref(id string) string {
	if l := p.opts.Links; l != nil && l.Finding != nil {
		return call(l.Finding, id)
	}
	if a := p.shown[id]; a != "" {
		return "#" + a
	}
	return ""
}

// PageOf is the address of a finding's own page, where findings have one.
func (p *page) PageOf(id string) string {
	if l := p.opts.Links; l != nil {
		return call(l.Finding, id)
	}
	return ""
}

// SourceHref is the address of a file that was read, where it has a page.
func (p *page) SourceHref(path string) string {
	if l := p.opts.Links; l != nil {
		return call(l.Source, path)
	}
	return ""
}

func (p *page) entityHref(kind casefile.EntityKind, id string) string {
	if l := p.opts.Links; l != nil && l.Entity != nil && kind != "" && id != "" {
		return l.Entity(kind, id)
	}
	return ""
}

// entityView is an entity with the address of its page.
type entityView struct {
	casefile.Entity
	Href string
}

// Thing is an entity as the page shows it.
func (p *page) Thing(e casefile.Entity) entityView {
	return entityView{e, p.entityHref(e.Kind, e.ID)}
}

// named is a text that may lead to a page.
type named struct{ Text, Href string }

// Name shows an entity by its id, as an address breaks.
func (p *page) Name(kind, id string) named { return p.NameAs(kind, id, id) }

// NameAs shows an entity by a name.
func (p *page) NameAs(kind, id, name string) named {
	if name == "" {
		name = id
	}
	return named{name, p.entityHref(casefile.EntityKind(kind), id)}
}

// memberKind says what the members are of things that cannot be cleared.
func memberKind(what string) string {
	switch {
	case strings.Contains(what, "mailbox"):
		return string(casefile.Mailbox)
	case strings.Contains(what, "account"):
		return string(casefile.Account)
	}
	return ""
}
