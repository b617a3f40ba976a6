package investigate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/detect/detecttest"
)

// conclude runs detectors and investigate on rows.
func concludeRows(t *testing.T, opts Options, paths ...string) *casefile.Case {
	t.Helper()
	q := detecttest.Open(t, paths...)
	r, err := detect.Run(t.Context(), q, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	opts.Assessed, opts.NotAssessed = r.Assessed, r.NotAssessed
	c, err := Investigate(t.Context(), q, r.Findings, opts)
	if err != nil {
		t.Fatal(err)
	}
	checkCase(t, c)
	return c
}

// rows writes lines to a file of rows.
func rows(t *testing.T, lines ...string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "rows.ndjson")
	if err := os.WriteFile(p, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStolenSession: in a session that its owner began, all of what came with
// the thief's program is the thief's, from the first time on, wherever it came
// from; the owner's is the owner's; and what is neither is possible.
func TestStolenSession(t *testing.T) {
	p := one(t, investigateRows(t, "stolen_session"))
	m := mailboxOf(t, p, "ann@contoso.com")
	got := map[string]casefile.Certainty{}
	for _, x := range m.Messages {
		got[x.InternetMessageID] = x.Certainty
	}
	want := map[string]casefile.Certainty{"stolen-1@contoso.com": casefile.Confirmed, "stolen-2@contoso.com": casefile.Confirmed, "stolen-3@contoso.com": casefile.Confirmed, "unclear-1@contoso.com": casefile.Possible}
	if len(got) != len(want) {
		t.Errorf("messages %v, want %v", got, want)
	}
	for id, c := range want {
		if got[id] != c {
			t.Errorf("%s: %s, want %s", id, got[id], c)
		}
	}
	if m.Counts.Messages.Confirmed != 3 || m.Counts.Messages.Possible != 1 {
		t.Errorf("counts %+v", m.Counts.Messages)
	}
	if want := "2023-11-20T02:00:00Z"; p.InitialAccess.String() != want || p.Start.String() != want {
		t.Errorf("inside since %s, start %s, want %s", p.InitialAccess, p.Start, want)
	}
	for _, x := range m.Messages {
		if purged := !x.Purged.IsZero(); purged != (x.InternetMessageID == "stolen-3@contoso.com") {
			t.Errorf("%s purged: %v", x.InternetMessageID, x.Purged)
		}
	}
	for _, k := range p.Tokens {
		if k.MintedBy == "" || k.MintedFrom == "" {
			t.Errorf("token %s leads to no sign-in", k.ID)
		}
	}
	at := map[string]casefile.Milestone{}
	for _, x := range p.Milestones {
		at[x.Name] = x
	}
	if x := at[casefile.MilestoneContainedLast]; x.Time.String() != "2023-11-28T09:02:00Z" || !strings.Contains(x.Basis, "by bob@contoso.com") {
		t.Errorf("containment: %+v", x)
	}
	// The session began on the first day, and was used on the twentieth.
	if !p.StartNotAfter.Equal(p.Start.Time) || p.StartNotBefore.IsZero() || p.StartNotBefore.After(p.Start.Time) {
		t.Errorf("bounds %s to %s", p.StartNotBefore, p.StartNotAfter)
	}
	if i := slices.IndexFunc(p.Dwell, func(d casefile.Dwell) bool { return d.To == casefile.MilestoneContainedLast }); i < 0 || p.Dwell[i].Days != 8.3 || p.Dwell[i].High == nil || *p.Dwell[i].High < 8.3 {
		t.Errorf("dwell: %+v", p.Dwell)
	}
}

// TestAssertions: the three answers, each for its reason.
func TestAssertions(t *testing.T) {
	const devops, arm = "499b84ac-1321-427f-aa17-267ca6975798", "797f4846-ba00-4fd7-ba43-dac1f8f63013"
	more := rows(t,
		`{"time":"2023-11-01T00:00:00Z","repeat":{"n":720,"every":"1h"},"source":"signin","class":"sign_in","operation":"sign-in","workload":"interactive","actor":"bob@contoso.com","ip":"192.0.2.1","asn":64500,"country":"IE","resource_id":"`+devops+`","resource_name":"Azure DevOps","user_agent":"Mozilla/5.0 (Windows NT 10.0) Edge"}`,
		`{"time":"2023-11-01T00:10:00Z","repeat":{"n":720,"every":"1h"},"source":"signin","class":"sign_in","operation":"sign-in","workload":"noninteractive","actor":"bob@contoso.com","ip":"192.0.2.1","asn":64500,"country":"IE","resource_id":"`+arm+`","resource_name":"Azure Resource Manager","user_agent":"Mozilla/5.0 (Windows NT 10.0) Edge"}`,
		`{"time":"2023-11-23T02:01:00Z","source":"signin","class":"sign_in","operation":"sign-in","workload":"noninteractive","actor":"ann@contoso.com","ip":"203.0.113.99","asn":64511,"country":"BR","resource_id":"`+arm+`","resource_name":"Azure Resource Manager","user_agent":"Mozilla/5.0 (Windows NT 10.0) Firefox","session_id":"ann-session"}`,
		`{"time":"2023-11-02T10:00:00Z","class":"file_access","operation":"fileaccessed","actor":"cat@contoso.com","ip":"192.0.2.1","target":"https://contoso.sharepoint.example/sites/Board/minutes.docx","target_kind":"file"}`,
	)
	assets := MergeAssets([]Asset{
		{Key: "board", Sites: []string{"https://contoso.sharepoint.example/sites/board"}},
		{Key: "hr", Name: "personnel files", Sites: []string{"https://contoso.sharepoint.example/sites/hr"}},
		{Key: "cloud", Subscriptions: []string{"11111111-2222-4333-8444-555555555555"}},
	})
	c := concludeRows(t, Options{Assets: assets}, "testdata/stolen_session.ndjson", more)
	got := map[string]casefile.Assertion{}
	for _, a := range c.Assertions {
		got[a.Asset] = a
	}
	for asset, want := range map[string]string{
		"source_code":           casefile.NoEvidence, // others' access is there, every hour
		"production_systems":    casefile.Accessed,
		"ai_systems":            casefile.CannotTell, // nothing is known to be it
		"customer_environments": casefile.CannotTell,
		"board":                 casefile.CannotTell, // one record of a file in a month is no rhythm
		"hr":                    casefile.CannotTell, // nobody is seen to read it
		"cloud":                 casefile.CannotTell, // the log was never received
	} {
		if a := got[asset]; a.Answer != want {
			t.Errorf("%s: %s, want %s: %s", asset, a.Answer, want, a.Text)
		}
	}
	if a := got["production_systems"]; a.Access != 1 || len(a.Events) != 1 || a.Places[0].What != "Azure Resource Manager" {
		t.Errorf("access: %+v", a)
	}
	if a := got["source_code"]; a.Known.Records < 700 || a.Known.Accounts != 1 || !strings.Contains(a.Text, "cover") || len(a.BlindSpots) == 0 {
		t.Errorf("no evidence: %+v", a)
	}
	if a := got["cloud"]; !slices.ContainsFunc(a.Coverage, func(x casefile.AnswerCover) bool { return x.Source == "azure_activity" && x.State == "never" }) {
		t.Errorf("coverage: %+v", a.Coverage)
	}
	// Absence is never said without the share that it stands on.
	for _, s := range c.Verdict {
		if s.Kind == casefile.Absence && !strings.Contains(s.Text, "%") {
			t.Errorf("absence without coverage: %s", s.Text)
		}
	}
	// A gap of a week in the sign-ins takes the answer back.
	short := rows(t, strings.Replace(`{"time":"2023-11-01T00:00:00Z","repeat":{"n":400,"every":"1h"},"source":"signin","class":"sign_in","operation":"sign-in","workload":"interactive","actor":"bob@contoso.com","ip":"192.0.2.1","asn":64500,"country":"IE","resource_id":"ID","resource_name":"Azure DevOps","user_agent":"Mozilla/5.0 (Windows NT 10.0) Edge"}`, "ID", devops, 1))
	only := rows(t, stolenWithoutSignIns(t)...)
	c = concludeRows(t, Options{}, only, short)
	for _, a := range c.Assertions {
		if a.Answer == casefile.NoEvidence {
			t.Errorf("%s: %s", a.Asset, a.Text)
		}
	}
}

// stolenWithoutSignIns is the stolen session with the others' sign-ins only
// until the seventeenth.
func stolenWithoutSignIns(t *testing.T) (out []string) {
	t.Helper()
	b, err := os.ReadFile("testdata/stolen_session.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(b), "\n") {
		out = append(out, strings.Replace(l, `"n":30`, `"n":16`, 1))
	}
	return out
}

// TestRhythm: a silence is absence when the rhythm does not explain it, and the
// nights and weekends of an office are none.
func TestRhythm(t *testing.T) {
	from := time.Date(2023, 11, 6, 0, 0, 0, 0, time.UTC) // a Monday
	office := func(h int) int64 {
		at := from.Add(time.Duration(h) * hour)
		switch {
		case at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || at.Hour() < 8 || at.Hour() > 17:
			return 0
		}
		return 20 + int64(h*7%13)
	}
	counts := make([]int64, 6*7*24)
	for h := range counts {
		counts[h] = office(h)
	}
	holes, ok := silences(from, counts)
	if !ok || len(holes) != 0 {
		t.Errorf("an office's nights are absence: %v", holes)
	}
	lost := slices.Clone(counts)
	a, b := 15*24+9, 16*24+15 // Tuesday 09:00 to Wednesday 15:00 of the third week
	for h := a; h < b; h++ {
		lost[h] = 0
	}
	holes, _ = silences(from, lost)
	if len(holes) != 1 || !holes[0].From.Equal(from.Add(time.Duration(a)*hour)) || !holes[0].To.Equal(from.Add(time.Duration(b)*hour)) || holes[0].Confidence < 0.99 {
		t.Errorf("holes %+v, want one of %d hours", holes, b-a)
	}
	// A log of three records a day has no rhythm by the hour that says so.
	sparse := make([]int64, len(counts))
	for h := 0; h < len(sparse); h += 8 {
		sparse[h] = 1
	}
	for h := 300; h < 330; h++ {
		sparse[h] = 0
	}
	if holes, _ = silences(from, sparse); len(holes) != 0 {
		t.Errorf("thirty hours of a sparse log are absence: %v", holes)
	}
	if _, ok := silences(from, counts[:3*24]); ok {
		t.Error("a rhythm of three days")
	}
}

// TestOverRepresented holds the statistics to known values.
func TestOverRepresented(t *testing.T) {
	for _, x := range []struct {
		in, of, base, all int64
		p                 float64
	}{
		{4, 8, 13, 300, 0.000137}, // phyper(3, 13, 287, 8, lower.tail = FALSE)
		{1, 10, 10, 100, 0.669524},
		{0, 5, 5, 50, 1},
	} {
		_, low, high, p := overRepresented(x.in, x.of, x.base, x.all)
		if d := p - x.p; d > 2e-5 || d < -2e-5 {
			t.Errorf("%+v: p %g", x, p)
		}
		if low > high {
			t.Errorf("%+v: interval %g to %g", x, low, high)
		}
	}
	xs := []casefile.Interest{{P: 0.01}, {P: 0.04}, {P: 0.03}, {P: 0.5}}
	adjust(xs)
	for i, q := range []float64{0.04, 0.16 / 3, 0.16 / 3, 0.5} {
		if d := xs[i].Q - q; d > 1e-9 || d < -1e-9 {
			t.Errorf("q of %g: %g, want %g", xs[i].P, xs[i].Q, q)
		}
	}
	if _, r, p := circle([]float64{3, 3.5, 4, 4.5, 3, 3.5, 4, 5, 2.5, 3}); r < 0.9 || p > 0.001 {
		t.Errorf("concentrated hours: %g, %g", r, p)
	}
	var even []float64
	for h := range 24 {
		even = append(even, float64(h))
	}
	if _, _, p := circle(even); p < 0.9 {
		t.Errorf("even hours: %g", p)
	}
}

// TestEarlier: what only one actor can hold makes it likely the same; what was
// there before makes it related.
func TestEarlier(t *testing.T) {
	at := func(s string) casefile.Time {
		x, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return casefile.TimeOf(x)
	}
	now := &casefile.Case{Case: casefile.Summary{ID: "case-2", Tenants: []casefile.Tenant{{ID: "t1"}}}, Campaigns: []casefile.Campaign{{
		ID: "c-2", Start: at("2023-11-01"), End: at("2023-12-01"), Techniques: []string{"T1078", "T1110.003", "T1114.002"},
		Credentials: []casefile.CredentialRef{{KeyID: "k1"}}, Accounts: []casefile.AccountRef{{UPN: "Ann@contoso.com", Role: casefile.AccountCompromised}},
	}}}
	old := func(p casefile.Campaign) EarlierInput {
		p.ID, p.Title, p.Start, p.End = "c-1", "An earlier one", at("2023-01-01"), at("2023-06-01")
		return EarlierOf("old.case", &casefile.Case{Case: casefile.Summary{ID: "case-1", Tenants: []casefile.Tenant{{ID: "t1"}}}, Campaigns: []casefile.Campaign{p}})
	}
	for _, x := range []struct {
		name string
		p    casefile.Campaign
		rank string
	}{
		{"credential", casefile.Campaign{Credentials: []casefile.CredentialRef{{KeyID: "k1"}}}, sameActorLikely},
		{"account", casefile.Campaign{Accounts: []casefile.AccountRef{{UPN: "ann@contoso.com", Role: casefile.AccountCompromised}}}, related},
		{"sprayed only", casefile.Campaign{Accounts: []casefile.AccountRef{{UPN: "ann@contoso.com", Role: casefile.AccountSprayed}}}, ""},
		{"techniques", casefile.Campaign{Techniques: []string{"T1078", "T1110.003", "T1114.002"}}, techniqueOnly},
	} {
		got := compareEarlier(now, []EarlierInput{old(x.p)})
		rank := ""
		if len(got[0].Campaigns) > 0 {
			rank = got[0].Campaigns[0].Rank
			if d := got[0].Campaigns[0].DaysApart; d != 153 {
				t.Errorf("%s: %g days apart", x.name, d)
			}
		}
		if rank != x.rank || got[0].Text == "" || !slices.Equal(got[0].Tenants, []string{"t1"}) {
			t.Errorf("%s: %q, want %q: %+v", x.name, rank, x.rank, got[0])
		}
	}
	if got := compareEarlier(now, []EarlierInput{EarlierOf("copy", now)}); len(got) != 0 {
		t.Errorf("a case is compared with itself: %+v", got)
	}
}

// TestStatementChanges: a statement that has become untrue is told.
func TestStatementChanges(t *testing.T) {
	c := &casefile.Case{Case: casefile.Summary{ID: "case-1", Events: 10}, Assertions: []casefile.Assertion{{Asset: "source_code", Name: "source code", Answer: casefile.NoEvidence, Text: "none"}}}
	january := StatementOf(c, "We have no evidence of access to source code")
	if !january.Same(&january) {
		t.Error("it is not the same as itself")
	}
	c.Case.ID, c.Case.Events = "case-2", 20
	c.Assertions[0].Answer, c.Assertions[0].Text = casefile.Accessed, "3 records"
	march := StatementOf(c, "")
	got := january.Changes(&march)
	want := []string{"Source code: was no evidence of access, now accessed. 3 records"}
	if len(got) != 2 || got[0] != want[0] || !strings.Contains(got[1], "the evidence: 20 records") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestPerMailbox: licences that come and go.
func TestPerMailbox(t *testing.T) {
	var lines []string
	add := func(box string, read func(day int) bool) {
		for d := range 40 {
			at := time.Date(2023, 11, 1+d, 9, 0, 0, 0, time.UTC)
			for i := range 4 {
				lines = append(lines, fmt.Sprintf(`{"time":%q,"class":"mail_send","operation":"send","actor":%q,"mailbox":%q,"subject":"n %d %d"}`, at.Add(time.Duration(i)*hour).Format(time.RFC3339), box, box, d, i))
				if read(d) {
					lines = append(lines, fmt.Sprintf(`{"time":%q,"class":"mail_access","operation":"mailitemsaccessed","actor":%q,"mailbox":%q,"access":"bind","throttled":false,"item_count":1,"items":[{"message_id":"%s-%d-%d@x"}]}`, at.Add(time.Duration(i)*hour+time.Minute).Format(time.RFC3339), box, box, box, d, i))
				}
			}
		}
	}
	add("always@contoso.com", func(int) bool { return true })
	add("never@contoso.com", func(int) bool { return false })
	add("stops@contoso.com", func(d int) bool { return d < 20 })
	add("starts@contoso.com", func(d int) bool { return d >= 20 })
	c := concludeRows(t, Options{}, rows(t, lines...))
	got := map[string]string{}
	for _, m := range c.Coverage.MailAccess.PerMailbox {
		got[m.UPN] = m.State
	}
	for box, want := range map[string]string{"never@contoso.com": casefile.CoverNever, "stops@contoso.com": casefile.CoverStops, "starts@contoso.com": casefile.CoverStarts, "always@contoso.com": ""} {
		if got[box] != want {
			t.Errorf("%s: %q, want %q", box, got[box], want)
		}
	}
	if c.Coverage.MailAccess.States[casefile.CoverRecorded] != 1 {
		t.Errorf("states %v", c.Coverage.MailAccess.States)
	}
}

// TestSilentTimes: while the audit log has no record of anybody's reading, no
// mailbox is cleared, campaign or not; and an office's weekend is no such time.
func TestSilentTimes(t *testing.T) {
	lines := func(lost func(day, hour int) bool) (out []string) {
		for d := range 35 {
			for h := range 24 {
				at := time.Date(2023, 11, 6+d, h, 0, 0, 0, time.UTC)
				if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || h < 8 || h > 17 || lost(d, h) {
					continue
				}
				for i := range 6 {
					out = append(out, fmt.Sprintf(`{"time":%q,"class":"mail_access","operation":"mailitemsaccessed","actor":"u%d@contoso.com","mailbox":"u%d@contoso.com","access":"bind","throttled":false,"item_count":1,"items":[{"message_id":"m-%d-%d-%d@x"}]}`, at.Add(time.Duration(i)*7*time.Minute).Format(time.RFC3339), i, i, d, h, i))
				}
			}
		}
		return out
	}
	whole := concludeRows(t, Options{}, rows(t, lines(func(int, int) bool { return false })...))
	if len(whole.CannotClear) != 0 {
		t.Errorf("a whole log leaves something open: %+v", whole.CannotClear)
	}
	cut := concludeRows(t, Options{}, rows(t, lines(func(d, _ int) bool { return d == 15 || d == 16 })...))
	if len(cut.CannotClear) != 1 || cut.CannotClear[0].Count != 6 || !strings.Contains(cut.CannotClear[0].Why, "2023-11-20T18:00:00Z to 2023-11-23T08:00:00Z") {
		t.Errorf("two days without records: %+v", cut.CannotClear)
	}
}

// Of a window of which two fetches differed neither quiet nor number is to be
// trusted, until a later fetch of it agrees with itself.
func TestDifferingWindows(t *testing.T) {
	const tenant, other = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
	from := time.Date(2024, 1, 12, 0, 0, 0, 0, time.UTC)
	at := func(h int) casefile.Time { return casefile.TimeOf(from.Add(time.Duration(h) * time.Hour)) }
	stretch := func(h, fetched int, differs bool) casefile.Stretch {
		x := casefile.Stretch{Tenant: tenant, Log: "signins_interactive", Source: "signin", Kind: "interactive", From: at(h), To: at(h + 1), Fetched: at(fetched), Differs: differs}
		if differs {
			x.OnlyFirst, x.OnlySecond = 2, 1
		}
		return x
	}
	sources := []casefile.Source{
		{Windows: []casefile.Stretch{stretch(1, 10, true), stretch(2, 10, true)}},
		{Windows: []casefile.Stretch{stretch(2, 50, false), stretch(3, 10, false), stretch(7, 10, true)}},
		{Windows: []casefile.Stretch{stretch(3, 50, true)}},
	}
	seen, quiet, absent := casefile.CellSeen, casefile.CellQuiet, casefile.CellAbsent
	before := seen + seen + seen + quiet + seen + absent + seen + absent
	for _, x := range []struct {
		row  casefile.MatrixRow
		want string
	}{
		{casefile.MatrixRow{Tenant: tenant, Source: "signin", Kind: "interactive"}, seen + casefile.CellPartial + seen + casefile.CellPartial + seen + absent + seen + absent},
		{casefile.MatrixRow{Tenant: tenant, Source: "signin", Kind: "noninteractive"}, before},
		{casefile.MatrixRow{Tenant: other, Source: "signin", Kind: "interactive"}, before},
		{casefile.MatrixRow{Tenant: tenant, Source: "ual"}, before},
		{casefile.MatrixRow{Tenant: "contoso.com", Source: "signin", Kind: "interactive"}, seen + casefile.CellPartial + seen + casefile.CellPartial + seen + absent + seen + absent},
	} {
		cells := []byte(before)
		markDoubted(&x.row, cells, from, differing(sources))
		if string(cells) != x.want {
			t.Errorf("%+v: %s, want %s", x.row, cells, x.want)
		}
	}
	got := smells(sources, differing(sources), casefile.Quality{})
	if len(got) != 3 || got[0].Kind != "collection" || got[0].Count != 3 || got[0].Text != "two fetches of signins_interactive from 2024-01-12 01:00 to 2024-01-12 02:00 differ: 2 records only in the first, 1 only in the second; both are here, and there may be more that neither has" {
		t.Errorf("%+v", got)
	}
}
