package web

import (
	"bytes"
	"errors"
	"html/template"
	"slices"

	"midwatch/casefile"
	"midwatch/report"
)

// choices are the values of a column of findings, each once.
func choices(c *casefile.Case, of func(casefile.Finding) string) (out []string) {
	for _, f := range c.Findings {
		out = append(out, of(f))
	}
	return casefile.Unique(out)
}

func (v *visit) findingList() *list {
	l := v.link()
	var campaigns []string
	for _, x := range v.d.Case.Campaigns {
		campaigns = append(campaigns, x.ID)
	}
	return &list{
		Path: l.base + "/findings", From: "findings", Sort: "-rank", Then: "id", Per: 100, Noun: "finding",
		Hidden: []string{"id", "why", "severity"},
		Columns: []column{
			{Key: "rank", Title: "Severity", Cell: func(r values) cell { return cell{Kind: "sev", Text: r.text("severity")} }},
			{Key: "title", Title: "What was found", Class: "wide", Cell: func(r values) cell {
				return cell{Text: r.text("title"), Href: l.Finding(r.text("id")), Small: report.Clean(r.text("why"))}
			}},
			{Key: "stage", Title: "Stage"},
			{Key: "first", Title: "First, UTC", Cell: timeCell("first")},
			{Key: "last", Title: "Last, UTC", Cell: timeCell("last")},
			{Key: "campaign", Title: "Campaign", Cell: func(r values) cell {
				id := r.text("campaign")
				if id == "" {
					return cell{Text: "none"}
				}
				return cell{Kind: "id", Text: id, Href: l.Campaign(id)}
			}},
			{Key: "records", Title: "Records", Class: "num", Cell: numCell("records")},
			{Key: "detector", Title: "Detector"},
		},
		Filters: []filter{
			{Key: "q", Title: "Contains", Any: []string{"title", "coalesce(why, '')", "detector"}},
			{Key: "severity", Title: "Severity", Kind: "choice", Choices: []string{"critical", "high", "medium", "low", "info"}},
			{Key: "stage", Title: "Stage", Kind: "choice", Choices: choices(v.d.Case, func(f casefile.Finding) string { return f.Stage })},
			{Key: "campaign", Title: "Campaign", Kind: "choice", Choices: campaigns},
			{Key: "from", Title: "From", Kind: "from", SQL: "last"}, {Key: "to", Title: "Until", Kind: "to", SQL: "first"},
		},
		Empty: "No finding. How much that is worth depends on what the logs cover.",
	}
}

func (s *Server) findings(v *visit) error {
	return s.showList(v, v.findingList(), v.d.Tables, "findings", "Findings", "What detectors and rules found, in campaigns and outside of them. Background noise is always there; it is shown so that somebody can disagree.")
}

type findingData struct {
	*casefile.Finding
	Whole      template.HTML
	Arithmetic template.HTML
	Campaign   *casefile.Campaign
	Records    []cell
	More       int64
}

func (s *Server) finding(v *visit) error {
	f, c := v.d.Finding(v.arg("id"))
	if f == nil {
		return notFound("finding")
	}
	d := findingData{Finding: f, Campaign: c}
	var err error
	// Ids are hashes; one with hidden characters in it is not the view's.
	switch d.Whole, err = part(func(b *bytes.Buffer) error { return v.sh.view.Finding(b, f.ID) }); {
	case errors.Is(err, report.ErrNoPart):
		return notFound("finding")
	case err != nil:
		return err
	}
	if len(f.Series) > 0 {
		if d.Arithmetic, err = part(func(b *bytes.Buffer) error { return v.sh.view.Arithmetic(b, f.ID) }); err != nil && !errors.Is(err, report.ErrNoPart) {
			return err
		}
	}
	for _, id := range f.Events[:min(len(f.Events), 50)] {
		d.Records = append(d.Records, cell{Kind: "id", Text: id, Href: v.link().Record(id)})
	}
	d.More = f.EventCount - int64(len(d.Records))
	return s.show(v, "finding", "findings", f.Title, d)
}

// certainties are the choices of a filter.
func certainties() []string {
	return []string{string(casefile.Confirmed), string(casefile.Probable), string(casefile.Possible)}
}

func (v *visit) campaignIDs() (out []string) {
	for _, x := range v.d.Case.Campaigns {
		if !slices.Contains(out, x.ID) {
			out = append(out, x.ID)
		}
	}
	return out
}
