package web

import (
	"bytes"
	"html/template"
	"net/url"
	"slices"

	"midwatch/casefile"
	"midwatch/report"
)

type graphData struct {
	Picture   template.HTML
	Campaign  *casefile.Campaign
	Campaigns []*casefile.Campaign
}

// graph shows how the actor moved: networks, accounts, applications,
// credentials, grants, mailboxes, from left to right.
func (s *Server) graph(v *visit) error {
	c := v.d.Case
	d := graphData{}
	for i := range c.Campaigns {
		d.Campaigns = append(d.Campaigns, &c.Campaigns[i])
	}
	slices.SortStableFunc(d.Campaigns, func(a, b *casefile.Campaign) int { return b.Severity.Rank() - a.Severity.Rank() })
	if id := v.r.URL.Query().Get("campaign"); id != "" {
		if d.Campaign = v.d.Campaign(id); d.Campaign == nil {
			return notFound("campaign")
		}
	} else if len(d.Campaigns) > 0 {
		d.Campaign = d.Campaigns[0]
	}
	if d.Campaign != nil {
		var err error
		open := v.r.URL.Query()["open"]
		open = open[:min(len(open), 50)]
		o := report.GraphOptions{Expand: open, ExpandHref: func(group string) string {
			q := url.Values{"campaign": {d.Campaign.ID}, "open": append(slices.Clone(open), group)}
			return v.link().To("graph") + "?" + q.Encode()
		}}
		if d.Picture, err = part(func(b *bytes.Buffer) error { return v.sh.view.Graph(b, d.Campaign.ID, o) }); err != nil {
			return err
		}
	}
	return s.show(v, "graph", "graph", "Attack graph", d)
}
