package web

import (
	"net/url"
	"strconv"
	"strings"

	"midwatch/casefile"
	"midwatch/report"
)

// links makes the addresses of a case's pages.
type links struct{ base string }

func (l links) To(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return l.base + "/" + strings.Join(parts, "/")
}

func (l links) With(path string, kv ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			q.Set(kv[i], kv[i+1])
		}
	}
	if len(q) == 0 {
		return l.base + "/" + path
	}
	return l.base + "/" + path + "?" + q.Encode()
}

// record, finding and the others are pages of one thing.
func (l links) Record(id string) string   { return l.To("records", id) }
func (l links) Finding(id string) string  { return l.To("findings", id) }
func (l links) Campaign(id string) string { return l.To("campaigns", id) }

func (l links) Mailbox(campaign, upn string) string { return l.To("mailboxes", campaign, upn) }

// entity leads to the records of an entity: nobody has to take a summary's
// word for it.
func (l links) entity(kind casefile.EntityKind, id string) string {
	switch kind {
	case casefile.Account:
		return l.With("records", "actor", id)
	case casefile.App:
		return l.With("records", "app", id)
	case casefile.ServicePrincipal:
		return l.With("records", "sp", id)
	case casefile.Credential:
		return l.With("records", "key", id)
	case casefile.Session:
		return l.With("records", "session", id)
	case casefile.Token:
		return l.With("records", "token", id)
	case casefile.IP:
		return l.With("records", "ip", id)
	case casefile.Mailbox:
		return l.With("mailboxes", "mailbox", id)
	case casefile.UserAgent:
		return l.With("records", "agent", id)
	case casefile.AppObject:
		return l.With("records", "target", id)
	}
	return ""
}

// section is where a part of the report's page is in these pages.
func (l links) section(part, anchor string) string {
	at := map[string]string{
		"verdict": "", "unknown": "", "next": "", "accessed": "", "decisions": "work", "earlier": "", "others": "findings", "assumed": "",
		"coverage": "coverage", "absence": "coverage", "sources": "coverage", "evidence": "records",
	}
	page, ok := at[part]
	if !ok {
		page = ""
	}
	if anchor == "" && part != "evidence" && part != "coverage" && part != "others" {
		anchor = part
	}
	out := l.base + "/" + page
	if anchor != "" {
		out += "#" + url.PathEscape(anchor)
	}
	return out
}

// report are the addresses for the parts that package report writes.
func (l links) report() *report.Links {
	return &report.Links{
		Event: l.Record, Finding: l.Finding, Campaign: l.Campaign, Entity: l.entity, Section: l.section,
		CampaignPart: func(id, part string) string {
			switch part {
			case "reach":
				return l.With("mailboxes", "campaign", id)
			case "timeline":
				return l.With("timeline", "campaign", id)
			}
			return l.Campaign(id) + "#" + url.PathEscape(part)
		},
		Source: func(path string) string { return l.With("records", "file", path) },
		Step:   func(campaign string, n int) string { return l.Campaign(campaign) + "#step-" + strconv.Itoa(n) },
	}
}
