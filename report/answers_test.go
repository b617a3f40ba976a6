package report

import (
	"html"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

// Every answer of a case is on the page, whoever wrote it, and as text.
func TestAnswersAreShown(t *testing.T) {
	c := hostileCase()
	c.Assertions[1].Answer, c.Assertions[2].Answer, c.Assertions[3].Answer = casefile.Accessed, casefile.NoEvidence, casefile.CannotTell
	c.Campaigns[0].Contexts[1].Kind = "account_unclear"
	c.Campaigns[0].Interests[1].BaseOf = 0
	c.Campaigns[0].Mailboxes[0].Messages[1].Certainty = casefile.Possible
	c.Campaigns[0].Mailboxes[0].Tokens[0] = c.Campaigns[0].Tokens[0].ID
	page := html.UnescapeString(strings.ReplaceAll(htmlOf(t, c, hostileOptions()), "<wbr>", ""))
	k := c.Campaigns[0]
	for _, want := range []string{
		c.Assertions[0].Name, c.Assertions[1].Text, c.Assertions[1].Places[1].What, c.Assertions[2].BlindSpots[2], c.Assertions[2].Fetch[1], c.Assertions[2].Known.Matched[3], c.Assertions[3].Why,
		k.Milestones[1].Title, k.Milestones[2].Basis, k.Dwell[1].Name,
		k.Interests[0].What, k.Interests[1].Text, k.Consistency.Words, k.Consistency.Commonness, k.Consistency.Matches[0].Name, k.Consistency.Matches[1].Names[0], k.Consistency.Matches[1].Matched[0], k.Consistency.Matches[2].Missed[0],
		k.Tokens[0].MintedFrom, k.Contexts[1].Why, k.Mailboxes[0].Messages[1].PurgedBy,
		c.CannotClear[0].Why, c.Overrides[0].Reason, c.Overrides[1].Author, c.Overrides[2].Effect, c.Overrides[3].Entities[0].ID,
		c.Earlier[0].Case, c.Earlier[1].Path, c.Earlier[1].Text, c.Earlier[2].Campaigns[0].OtherTitle, c.Earlier[2].Campaigns[0].Strong[0].ID, c.Earlier[2].Campaigns[0].Techniques[0],
		c.Coverage.Retention[0], c.Coverage.Matrix.Rows[0].Source[:6], c.Coverage.MailAccess.PerMailbox[0].UPN, c.Coverage.MailAccess.PerMailbox[1].Why,
	} {
		// statements begin with a capital and keys lose their underscores: compare what no such rule touches
		if want = clean(want); !strings.Contains(strings.ToLower(page), strings.ToLower(want)) && !strings.Contains(strings.ToLower(page), strings.ToLower(words(want))) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

// "No evidence" is never said without its coverage beside it.
func TestNoEvidenceHasItsCoverage(t *testing.T) {
	c := readCase(t, "case")
	page := htmlOf(t, c, Options{})
	_, article, ok := strings.Cut(page, `<article class="answer is-noevidence"`)
	article, _, _ = strings.Cut(article, "</article>")
	if !ok || !strings.Contains(article, "<b>93 %</b>") || !strings.Contains(article, "never received") {
		t.Errorf("no coverage in the answer: %s", article)
	}
	if n, m := strings.Count(page, "</svg>no evidence</span>"), strings.Count(page, `class="answer is-noevidence"`); m != 1 || n != 2 {
		t.Errorf("%d marks and %d answers of no evidence; want one in the verdict and one with its answer", n, m)
	}
	if !strings.Contains(page, "93 % of the hours covered, 1 log never received") {
		t.Error("the verdict's line says no evidence without coverage")
	}
	text := string(render(t, Terminal{}, "verdict.txt", c, Options{}))
	_, text, _ = strings.Cut(text, "WAS IT ACCESSED")
	text, _, _ = strings.Cut(text, "\n\n")
	if i, j := strings.Index(text, "◆ accessed"), strings.Index(text, "? cannot tell"); i < 0 || i > j || j > strings.Index(text, "◇ no evidence") {
		t.Errorf("order of answers: %s", text)
	}
	_, none, _ := strings.Cut(text, "◇ no evidence")
	if flat := strings.Join(strings.Fields(none), " "); !strings.Contains(flat, "Covered: Entra sign-ins, interactive of fabrikam.example 93 %") || !strings.Contains(flat, "never received") {
		t.Errorf("no coverage in the terminal: %s", none)
	}
	for i := range c.Assertions {
		c.Assertions[i].Coverage = nil
	}
	if page := htmlOf(t, c, Options{}); !strings.Contains(page, "coverage not known") || !strings.Contains(page, "No log of it is known to cover the time.") {
		t.Error("an answer without coverage does not say so")
	}
}

func TestDwellWords(t *testing.T) {
	high := func(f float64) *float64 { return &f }
	for want, d := range map[string]casefile.Dwell{
		"0.4 days (0.1 to 0.6)": {Days: 0.4, Low: 0.1, High: high(0.6)},
		"6.2 days":              {Days: 6.2, Low: 6.2, High: high(6.2)},
		"1 day":                 {Days: 1, Low: 1, High: high(1)},
		"under 0.1 days":        {High: high(0)},
		"at least 3 days":       {Days: 3, Low: 3},
		"at least 2.6 days (3.1 days as recorded)":   {Days: 3.1, Low: 2.6},
		"no upper bound, under 0.1 days as recorded": {},
		"no upper bound, 0.2 days as recorded":       {Days: 0.2},
		"under 0.1 days (0 to 0.2)":                  {High: high(0.2)},
	} {
		if got := dwellWords(d); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	at := func(h int) casefile.Time {
		return casefile.TimeOf(time.Date(2024, 1, 1, h, 0, 0, 0, time.UTC))
	}
	none := casefile.Time{}
	for _, x := range []struct {
		before, after, at casefile.Time
		want              string
	}{
		{at(3), at(3), at(3), ""},
		{at(1), at(5), at(3), "between 2024-01-01 01:00 and 2024-01-01 05:00"},
		{none, at(3), at(3), "or earlier: it may lie before the evidence"},
		{none, at(4), none, "not after 2024-01-01 04:00; it may lie before the evidence"},
		{at(2), none, at(2), "not before 2024-01-01 02:00"},
		{none, none, at(2), "or earlier: nothing bounds it"},
		{none, none, none, ""},
	} {
		if got := bounds(x.before, x.after, x.at); got != x.want {
			t.Errorf("bounds(%v, %v, %v) = %q, want %q", x.before, x.after, x.at, got, x.want)
		}
	}
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		figures(29.842): "30", figures(6.945): "6.9", figures(128.2): "130", figures(617.8): "620", figures(0.034): "0.034", figures(1): "1.0", figures(0): "0", figures(12345): "12,000",
		chance(0.00001): "<0.0001", chance(0.00028): "0.0003", chance(0.042): "0.042", chance(1): "1.000",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A decision stands with the campaign that it changed: by finding, by entity,
// by what its effect names, or by the account that both are about.
func TestDecisionsStandWithTheirCampaign(t *testing.T) {
	anna := casefile.Entity{Kind: casefile.Account, ID: "anna@fabrikam.example"}
	ip := casefile.Entity{Kind: casefile.IP, ID: "192.0.2.9"}
	c := &casefile.Case{
		Findings:  []casefile.Finding{{ID: "f-1", Entities: []casefile.Entity{anna, ip}}, {ID: "f-2", Entities: []casefile.Entity{anna}}, {ID: "f-3", Entities: []casefile.Entity{ip}}},
		Campaigns: []casefile.Campaign{{ID: "c-1", Findings: []string{"f-1"}}},
		Overrides: []casefile.Override{
			{Seq: 1, Kind: casefile.OverrideJoin, Findings: []string{"f-1"}},
			{Seq: 2, Kind: casefile.OverrideExclude, Findings: []string{"f-2"}},
			{Seq: 3, Kind: casefile.OverrideExclude, Findings: []string{"f-3"}}, // an address alone is nobody
			{Seq: 4, Kind: casefile.OverrideExclude, Entities: []casefile.Entity{ip}},
			{Seq: 5, Kind: casefile.OverrideSplit, Effect: "in campaign c-1"},
			{Seq: 6, Kind: casefile.OverrideSplit, Effect: "in campaign c-2"},
		},
	}
	var got []int64
	for _, o := range newPage(c, Options{}).Campaigns[0].Decisions {
		got = append(got, o.Seq)
	}
	if len(got) != 4 || got[0] != 1 || got[1] != 2 || got[2] != 4 || got[3] != 5 {
		t.Errorf("decisions %v, want 1 2 4 5", got)
	}
}

// Messages that only cannot be cleared are never counted with those reached.
func TestPossibleMessagesAreApart(t *testing.T) {
	page := htmlOf(t, readCase(t, "case"), Options{})
	for _, want := range []string{"1 message</summary>", "1 message reached", "1 message that cannot be cleared", "and 1 possible", "Deleted for good 2023-12-19 02:00:00 by svc-mailsync@fabrikam.example", "the sign-in that minted it is not in the evidence", "2 records of reading name no token", "What may be the actor’s or the owner’s: 1 context"} {
		if want == "1 message</summary>" {
			if strings.Contains(page, want) {
				t.Errorf("the page still says %q", want)
			}
		} else if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	text := string(render(t, Terminal{}, "verdict.txt", readCase(t, "case"), Options{}))
	if !strings.Contains(text, "1 message, 1 possible") {
		t.Error("the terminal counts a possible message with those reached")
	}
	if strings.Contains(strings.ToLower(page), "attributed") || strings.Contains(strings.ToLower(text), "attributed") {
		t.Error("nothing is ever attributed")
	}
}
