package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"midwatch/casefile"
)

// assertionTable has coverage in the row of its answer: "no evidence" must not
// be read without it.
func assertionTable(t *table, c *casefile.Case) {
	t.row("id", "asset", "name", "answer", "coverage", "text", "from", "to", "campaigns", "records_of_anybody", "accounts_of_anybody", "matched", "named_by_organization",
		"records", "places", "contexts", "blind_spots", "fetch", "why", "events")
	for _, a := range c.Assertions {
		var covers, places []string
		for _, x := range a.Coverage {
			covers = append(covers, strings.Join([]string{x.Tenant, x.Source, x.Class, x.State, integer(x.Seen) + " of " + integer(x.Hours) + " hours"}, " "))
		}
		for _, x := range a.Places {
			places = append(places, x.What+" ("+integer(x.Records)+")")
		}
		t.row(a.ID, a.Asset, a.Name, a.Answer, sentences(covers), a.Text, a.From.String(), a.To.String(), list(a.Campaign), integer(a.Known.Records), integer(a.Known.Accounts),
			sentences(a.Known.Matched), strconv.FormatBool(a.Known.Own), integer(a.Access), sentences(places), list(a.Contexts), sentences(a.BlindSpots), sentences(a.Fetch), a.Why, list(a.Events))
	}
}

// milestoneTable has the times between milestones besides the milestones. A
// bound that is empty is none.
func milestoneTable(t *table, c *casefile.Case) {
	t.row("campaign", "kind", "name", "from", "to", "time", "not_before", "not_after", "seen", "days", "days_low", "days_high", "basis", "events")
	for _, cam := range c.Campaigns {
		for _, m := range cam.Milestones {
			t.row(cam.ID, "milestone", m.Title, m.Name, "", m.Time.String(), m.NotBefore.String(), m.NotAfter.String(), m.Seen.String(), "", "", "", m.Basis, list(m.Events))
		}
		for _, d := range cam.Dwell {
			high := ""
			if d.High != nil {
				high = plain(*d.High)
			}
			t.row(cam.ID, "dwell", d.Name, d.From, d.To, "", "", "", "", plain(d.Days), plain(d.Low), high, "", "")
		}
	}
}

// interestTable leaves the numbers of a comparison empty where there is
// nothing to compare with.
func interestTable(t *table, c *casefile.Case) {
	t.row("campaign", "kind", "what", "in", "of", "base", "base_of", "odds_ratio", "low", "high", "p", "q", "text", "events")
	for _, cam := range c.Campaigns {
		for _, i := range cam.Interests {
			row := []string{"", "", "", "", ""}
			if i.BaseOf > 0 {
				row = []string{integer(i.Base), integer(i.BaseOf), plain(i.Ratio), plain(i.Low), plain(i.High)}
			}
			row = append([]string{cam.ID, i.Kind, i.What, integer(i.In), integer(i.Of)}, row...)
			t.row(append(row, plain(i.P), plain(i.Q), i.Text, list(i.Events))...)
		}
	}
}

// coverageTable has a row for each run of hours in one state, to the hour: the
// page draws coarser columns. A kind that was never seen is one run.
func coverageTable(t *table, c *casefile.Case) {
	t.row("tenant", "log", "kind", "class", "state", "from", "to", "hours", "expected_records", "confidence")
	m := c.Coverage.Matrix
	at := func(h int) casefile.Time {
		if m.From.IsZero() {
			return casefile.Time{}
		}
		return casefile.TimeOf(m.From.Add(time.Duration(h) * time.Hour))
	}
	for _, r := range m.Rows {
		runs := columnRuns(r.Cells, m.Hours, 1, 0)
		if r.Cells == "" {
			runs = []cellRun{{casefile.CellNever[0], 0, max(m.Hours, 0)}}
		}
		for _, x := range runs {
			from, to := at(x.From), at(x.To)
			expected, sure := "", ""
			for _, g := range r.Gaps {
				if x.State == casefile.CellAbsent[0] && !from.Before(g.From.Time) && !to.After(g.To.Time) {
					expected, sure = plain(g.Expected), plain(g.Confidence)
				}
			}
			t.row(r.Tenant, r.Source, r.Kind, r.Class, stateWord(x.State), from.String(), to.String(), integer(int64(x.To-x.From)), expected, sure)
		}
	}
}

// stateWord is the word for a cell's letter.
func stateWord(state byte) string {
	switch string(state) {
	case casefile.CellSeen:
		return "seen"
	case casefile.CellQuiet:
		return "quiet"
	case casefile.CellAbsent:
		return "absent"
	case casefile.CellRetention:
		return "out_of_retention"
	case casefile.CellPartial:
		return "partial"
	case casefile.CellNever:
		return "never"
	}
	return ""
}

// sentences joins statements, which have blanks in them.
func sentences(items []string) string { return strings.Join(items, "; ") }

// plain writes a number as JSON would.
func plain(f float64) string {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return ""
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
