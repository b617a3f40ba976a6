package detect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// ediscoveryExport finds searches over everybody's mail, and exports of what
// they found, by accounts that never did such a thing before. What is read in
// this way leaves no record of mail access.
type ediscoveryExport struct{}

// Card implements [Detector].
func (ediscoveryExport) Card() Card {
	return Card{
		ID:    "ediscovery_export",
		Title: "Mail was searched or exported with eDiscovery",
		Why: "A content search goes through all mailboxes at once, and its preview or export reads them without a record in the mailboxes. Few people in an organization do that; an " +
			"intruder with an administrator's account can.",
		FalsePositives: []string{"a new case of the legal department", "an administrator who removes a phishing mail from all mailboxes"},
		Techniques:     []string{"T1114.002", "T1213"},
		Stage:          casefile.StageCollection,
		Needs: Needs{
			Sources: exchangeNeeds().Sources, Classes: append(exchangeNeeds().Classes, event.ClassSearch),
			Fetch: "unified audit log, workloads Exchange and SecurityComplianceCenter (New-ComplianceSearch, New-ComplianceSearchAction, New-MailboxExportRequest)",
		},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.002, Basis: "estimate: a new colleague in the legal department now and then; none in simulated quiet tenants"},
	}
}

// exports reports whether an operation hands out mail, not only its number.
func (ediscoveryExport) exports(r *record) bool {
	switch r.Operation {
	case "new-compliancesearchaction":
		p := r.detail.Params
		return p["Export"] != "" || p["Preview"] != "" || p["Report"] == "" && p["Purge"] == ""
	case "new-mailboxexportrequest", "searchexportdownloaded", "viewedsearchexported", "searchpreviewed", "search-mailbox", "searchexported":
		return true
	}
	return false
}

// Detect implements [Detector].
func (d ediscoveryExport) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `(operation IN ('new-compliancesearch', 'new-compliancesearchaction', 'start-compliancesearch', 'searchcreated', 'searchstarted', 'searchexported', 'searchexportdownloaded', 'viewedsearchexported',
		'new-mailboxsearch', 'search-mailbox', 'new-mailboxexportrequest', 'searchpreviewed')) AND coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service'`)
	if err != nil || len(rs) == 0 {
		return nil, err
	}
	var begun time.Time
	if err := store.Each(ctx, q, `SELECT min(time) FROM events WHERE source = 'ual'`, nil, func(scan scanner) error { return scan(&begun) }); err != nil {
		return nil, err
	}
	begun = begun.UTC()
	var groups [][]*record
next:
	for i := range rs {
		r := &rs[i]
		for j, g := range groups {
			if g[0].Actor == r.Actor && g[0].Tenant == r.Tenant && r.Time.Sub(g[0].Time) <= 24*time.Hour {
				groups[j] = append(g, r)
				continue next
			}
		}
		groups = append(groups, []*record{r})
	}
	seen := map[string]int{}
	var out []casefile.Finding
	for _, g := range groups {
		out = append(out, d.finding(g, seen[g[0].Tenant+" "+g[0].Actor], g[0].Time.Sub(begun)))
		seen[g[0].Tenant+" "+g[0].Actor]++
	}
	return out, nil
}

func (d ediscoveryExport) finding(g []*record, before int, known time.Duration) casefile.Finding {
	first := g[0]
	f := casefile.Finding{Tenant: first.Tenant, First: casefile.TimeOf(first.Time), Entities: first.actorEntities(), Severity: casefile.Low}
	var what, names []string
	exported := 0
	for _, r := range g {
		f.Last = casefile.TimeOf(r.Time)
		f.Events = append(f.Events, r.ids()...)
		f.Entities = append(f.Entities, r.actorEntities()...)
		what = append(what, r.Operation)
		if n := firstOf(r.detail.Params["ContentMatchQuery"], r.detail.Params["SearchQuery"], r.detail.Params["SearchName"], r.detail.Params["Name"], r.detail.Params["Mailbox"], r.detail.Search); n != "" {
			names = append(names, n)
		}
		if d.exports(r) {
			exported++
		}
	}
	f.Events = capIDs(casefile.Unique(f.Events))
	f.Counts = []casefile.Count{
		{Name: "previews and exports", Value: float64(exported)},
		{Name: "records", Value: float64(len(g))},
		{Name: "times that the same account did so before", Value: float64(before)},
		{Name: "days of the log before", Value: round2(known.Hours() / 24), Limit: limit(roleHabit.Hours() / 24)},
	}
	verb := "searched all mail"
	if exported > 0 {
		verb = "searched mail and took it out"
	}
	f.Title = fmt.Sprintf("%s %s with eDiscovery", first.who(), verb)
	f.Why = fmt.Sprintf("%s ran %s from %s on", first.who(), strings.Join(casefile.Unique(what), ", "), f.First)
	if len(names) > 0 {
		f.Why += fmt.Sprintf(": %s", list(casefile.Unique(names), 5))
	}
	f.Why += "."
	switch {
	case before > 0:
		f.Why += fmt.Sprintf(" The account did so %s before, as is its job.", plural(int64(before), "time", "times"))
	case known < roleHabit:
		f.Why += fmt.Sprintf(" The log begins only %.1f days before, so it is not known whether the account does so otherwise.", known.Hours()/24)
		if exported > 0 {
			f.Severity = casefile.Medium
		}
	default:
		f.Severity = casefile.Medium
		if exported > 0 {
			f.Severity = casefile.High
		}
		f.Why += fmt.Sprintf(" In the %.0f days of the log before it never did.", known.Hours()/24)
	}
	if exported > 0 {
		f.Why += " What a preview or an export reads is in no record of mail access."
	}
	return f
}
