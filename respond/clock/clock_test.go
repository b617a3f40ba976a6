package clock

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/exposure"
)

var update = flag.Bool("update", false, "write the table in docs/CLOCKS.md from clocks.yaml")

func load(t testing.TB) *Table {
	t.Helper()
	table, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(t testing.TB, s string, z *time.Location) time.Time {
	t.Helper()
	x, err := time.ParseInLocation("2006-01-02 15:04", s, z)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Known calendars, worked out by hand.
func TestDue(t *testing.T) {
	for _, x := range []struct{ why, period, zone, start, due string }{
		// Form 8-K. The day itself does not count.
		{"an ordinary Monday", "4 business days", "America/New_York", "2024-03-04 10:00", "2024-03-08 17:30"},
		{"late in the evening is the same day", "4 business days", "America/New_York", "2024-03-04 23:59", "2024-03-08 17:30"},
		{"Friday 16:00 before Thanksgiving week: Thursday does not count", "4 business days", "America/New_York", "2023-11-17 16:00", "2023-11-24 17:30"},
		{"Juneteenth 2024 is a Wednesday", "4 business days", "America/New_York", "2024-06-17 09:00", "2024-06-24 17:30"},
		{"in 2020 Juneteenth was none", "4 business days", "America/New_York", "2020-06-18 09:00", "2020-06-24 17:30"},
		{"Juneteenth 2022, a Sunday, observed on Monday", "4 business days", "America/New_York", "2022-06-17 09:00", "2022-06-24 17:30"},
		{"New Year 2022, a Saturday, observed on Friday 31 December 2021", "4 business days", "America/New_York", "2021-12-29 12:00", "2022-01-05 17:30"},
		{"New Year 2023, a Sunday, observed on Monday", "4 business days", "America/New_York", "2022-12-30 12:00", "2023-01-06 17:30"},
		{"a Saturday: the four days begin with Monday and include it", "4 business days", "America/New_York", "2024-03-09 12:00", "2024-03-14 17:30"},
		{"a holiday likewise (Christmas 2024, Wednesday)", "4 business days", "America/New_York", "2024-12-25 12:00", "2024-12-31 17:30"},
		{"clocks go forward on Sunday 10 March 2024", "4 business days", "America/New_York", "2024-03-08 16:00", "2024-03-14 17:30"},
		{"Columbus Day counts although exchanges are open", "4 business days", "America/New_York", "2024-10-10 10:00", "2024-10-17 17:30"},
		// Hours know neither weekends nor changes of the clock.
		{"over a weekend", "72 hours", "Europe/Berlin", "2024-03-01 17:00", "2024-03-04 17:00"},
		{"clocks go forward: 72 hours, an hour later on the wall", "72 hours", "Europe/Berlin", "2024-03-29 17:00", "2024-04-01 18:00"},
		{"clocks go back: an hour earlier", "72 hours", "Europe/Berlin", "2024-10-25 17:00", "2024-10-28 16:00"},
		{"over 29 February", "72 hours", "UTC", "2024-02-27 08:00", "2024-03-01 08:00"},
		// Months.
		{"31 January and one month", "1 months", "Europe/Berlin", "2023-01-31 10:00", "2023-02-28 23:59"},
		{"the same in a leap year", "1 months", "Europe/Berlin", "2024-01-31 10:00", "2024-02-29 23:59"},
		{"28 February stays the 28th", "1 months", "Europe/Berlin", "2023-02-28 10:00", "2023-03-28 23:59"},
		{"over the year", "1 months", "Europe/Berlin", "2023-12-31 10:00", "2024-01-31 23:59"},
		{"31 March: April has 30 days", "1 months", "Europe/Berlin", "2024-03-31 00:30", "2024-04-30 23:59"},
		// Days.
		{"60 days over a leap day", "60 days", "America/Chicago", "2024-01-01 09:00", "2024-03-01 23:59"},
		{"60 days without", "60 days", "America/Chicago", "2023-01-01 09:00", "2023-03-02 23:59"},
		{"30 days over a change of the clock", "30 days", "America/Los_Angeles", "2024-02-20 23:30", "2024-03-21 23:59"},
		{"60 days after the year", "60 days after year", "America/Chicago", "2023-05-05 09:00", "2024-02-29 23:59"},
		{"60 days after a year before no leap year", "60 days after year", "America/Chicago", "2022-12-31 23:59", "2023-03-01 23:59"},
	} {
		p, err := ParsePeriod(x.period)
		if err != nil {
			t.Fatal(err)
		}
		z := zone(t, x.zone)
		got, ok := p.after(at(t, x.start, z), z, cutoff{17, 30})
		if s := got.In(z).Format("2006-01-02 15:04"); !ok || s != x.due {
			t.Errorf("%s: %s after %s is %s, want %s", x.why, x.period, x.start, s, x.due)
		}
	}
}

// The holidays as offices publish them.
func TestHolidays(t *testing.T) {
	for year, want := range map[int]string{
		2021: "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31",
		2023: "01-02 01-16 02-20 05-29 06-19 07-04 09-04 10-09 11-10 11-23 12-25",
		2024: "01-01 01-15 02-19 05-27 06-19 07-04 09-02 10-14 11-11 11-28 12-25",
		2018: "01-01 01-15 02-19 05-28 07-04 09-03 10-08 11-12 11-22 12-25",
	} {
		var got []string
		for d := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() == year; d = d.AddDate(0, 0, 1) {
			if Holiday(d) != "" {
				got = append(got, d.Format("01-02"))
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%d: %s\nwant  %s", year, s, want)
		}
	}
}

// What holds of every period: it ends after it begins, a later start ends no
// earlier, more takes no less, and business days end on one.
func TestPeriodProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	zones := []*time.Location{time.UTC, zone(t, "America/New_York"), zone(t, "Europe/Berlin"), zone(t, "Pacific/Kiritimati"), zone(t, "America/Sao_Paulo"), zone(t, "Australia/Lord_Howe")}
	for range 20000 {
		z := zones[r.IntN(len(zones))]
		unit := []Unit{Hours, Days, Months, BusinessDays, DaysOfYear}[r.IntN(5)]
		p := Period{1 + r.IntN(90), unit}
		start := time.Unix(1_000_000_000+r.Int64N(1_500_000_000), 0)
		later := start.Add(time.Duration(r.Int64N(int64(400 * time.Hour))))
		until := cutoff{23, 59}
		a, ok := p.after(start, z, until)
		b, _ := p.after(later, z, until)
		more, _ := Period{p.N + 1, unit}.after(start, z, until)
		if !ok || !a.After(start) || b.Before(a) || !more.After(a) {
			t.Fatalf("%v after %v in %v: %v; after %v: %v; one more: %v", p, start, z, a, later, b, more)
		}
		l := a.In(z)
		switch unit {
		case BusinessDays:
			if !BusinessDay(l) {
				t.Fatalf("%v after %v ends on %v", p, start, l)
			}
			if days := a.Sub(start).Hours() / 24; days < float64(p.N-1) || days > float64(p.N)*2+6 {
				t.Fatalf("%v after %v takes %.1f days", p, start, days)
			}
		case Days:
			if days := a.Sub(start).Hours() / 24; days < float64(p.N)-0.1 || days > float64(p.N)+1.1 {
				t.Fatalf("%v after %v takes %.1f days", p, start, days)
			}
		case Months:
			s := start.In(z)
			if n := (l.Year()-s.Year())*12 + int(l.Month()) - int(s.Month()); n != p.N || l.Day() > s.Day() || l.Day() < s.Day() && l.Day() != daysIn(l.Year(), l.Month()) {
				t.Fatalf("%v after %v is %v", p, s, l)
			}
		}
	}
	for y := 2021; y < 2300; y++ { // eleven each year, on days that are none otherwise
		if n := len(holidays(y)); n != 11 {
			t.Fatal(y, n)
		}
		for _, h := range holidays(y) {
			if d := h.observed(); d.Weekday() == time.Saturday || d.Weekday() == time.Sunday || Holiday(d) == "" || BusinessDay(d) {
				t.Fatal(y, h)
			}
		}
	}
}

func said(seq int64, typ Type, event, clock string, when time.Time) Said {
	return Said{Decision: Decision{Type: typ, Event: event, Clock: clock, At: casefile.TimeOf(when), Text: "because"}, Seq: seq, Author: "kim"}
}

func one(t *testing.T, list []Status, id string) Status {
	t.Helper()
	for _, s := range list {
		if s.Clock.ID == id {
			return s
		}
	}
	t.Fatal("no clock", id)
	return Status{}
}

func TestEvaluate(t *testing.T) {
	table := load(t)
	ny := zone(t, "America/New_York")
	aware := at(t, "2024-01-12 09:00", ny)
	now := aware.Add(time.Hour)
	if s := one(t, table.Evaluate(nil, ny, now), "gdpr-33"); s.State != NotStarted || s.Waiting == "" || !s.Due.IsZero() || s.Left != 0 {
		t.Errorf("%+v", s)
	}
	// A correction is a new entry, and the earlier one stays.
	journal := []Said{said(1, Started, "aware", "", aware.Add(-5*time.Hour)), said(2, Started, "aware", "", aware)}
	s := one(t, table.Evaluate(journal, ny, now), "gdpr-33")
	if s.State != Running || !s.Due.Equal(aware.Add(72*time.Hour)) || s.Left != 71*3600 || len(s.Earlier) != 1 || s.Earlier[0].Seq != 1 || s.Basis.Seq != 2 {
		t.Errorf("%+v", s)
	}
	if s := one(t, table.Evaluate(journal, ny, aware.Add(73*time.Hour)), "gdpr-33"); s.State != Passed || s.Left != -3600 {
		t.Errorf("%+v", s)
	}
	late := append(journal, said(3, FiledAt, "", "gdpr-33", aware.Add(80*time.Hour)))
	if s := one(t, table.Evaluate(late, ny, aware.Add(99*time.Hour)), "gdpr-33"); s.State != Done || !s.Late || s.Left != 0 {
		t.Errorf("%+v", s)
	}
	taken := append(journal, said(3, Withdrawn, "aware", "", aware))
	if s := one(t, table.Evaluate(taken, ny, now), "gdpr-33"); s.State != NotStarted || len(s.Earlier) != 3 {
		t.Errorf("%+v", s)
	}
	// A filing starts the next clock: of the 72 h notification a month.
	nis := []Said{said(1, Started, "significant", "", aware)}
	if s := one(t, table.Evaluate(nis, ny, now), "nis2-final"); s.State != NotStarted || s.Waiting != "starts when nis2-notification is filed" {
		t.Errorf("%+v", s)
	}
	nis = append(nis, said(2, FiledAt, "", "nis2-notification", at(t, "2024-01-31 09:00", ny)))
	if s := one(t, table.Evaluate(nis, ny, now), "nis2-final"); s.Due.In(ny).Format("2006-01-02 15:04:05") != "2024-02-29 23:59:59" {
		t.Errorf("%+v", s)
	}
	// No fixed time: it runs, without an end.
	if s := one(t, table.Evaluate([]Said{said(1, Started, "high_risk", "", aware)}, ny, now), "gdpr-34"); s.State != Running || !s.Due.IsZero() || s.Why == "" {
		t.Errorf("%+v", s)
	}
}

// DORA: 4 hours from classification, at most 24 from awareness; classified
// later than that, the 4 hours hold.
func TestCap(t *testing.T) {
	table := load(t)
	aware := time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)
	for classified, want := range map[time.Duration]time.Duration{-1: 24 * time.Hour, 2 * time.Hour: 6 * time.Hour, 22 * time.Hour: 24 * time.Hour, 24 * time.Hour: 24 * time.Hour, 30 * time.Hour: 34 * time.Hour} {
		j := []Said{said(1, Started, "incident", "", aware)}
		if classified >= 0 {
			j = append(j, said(2, Started, "classified", "", aware.Add(classified)))
		}
		if s := one(t, table.Evaluate(j, time.UTC, aware), "dora-initial"); s.Due.Sub(aware) != want || s.Why == "" {
			t.Errorf("classified after %v: due after %v, want %v (%s)", classified, s.Due.Sub(aware), want, s.Why)
		}
	}
	if s := one(t, table.Evaluate([]Said{said(1, Started, "classified", "", aware)}, time.UTC, aware), "dora-initial"); s.Due.Sub(aware) != 4*time.Hour {
		t.Errorf("%+v", s)
	}
}

func TestRefusedTables(t *testing.T) {
	good := `{id: a, jurisdiction: j, title: t, rule: r, concerns: c, start: e, due: 1 days, calendar: every day, content: [nature], source: s, date: d, sure: text}`
	for text, want := range map[string]string{
		"clocks: [" + strings.Replace(good, "start: e", "start: x", 1) + "]":                     "no event",
		"clocks: [" + strings.Replace(good, "1 days", "1 moons", 1) + "]":                        "no period",
		"clocks: [" + strings.Replace(good, "nature", "gossip", 1) + "]":                         "not known",
		"clocks: [" + strings.Replace(good, "sure: text", "sure: yes", 1) + "]":                  "text, agreed or single",
		"clocks: [" + strings.Replace(good, "1 days", "4 business days", 1) + "]":                "does not go with",
		"clocks: [" + strings.Replace(good, "start: e", "start: 'filed:a'", 1) + "]":             "no other clock",
		"clocks: [" + strings.Replace(good, "calendar", "zone: Mars/Olympus, calendar", 1) + "]": "unknown time zone",
		"clocks: [" + good + "," + good + "]":                                                    "twice",
		"clocks: [" + strings.Replace(good, "rule: r", "ruel: r", 1) + "]":                       "ruel",
		"clocks: []\n---\nclocks: []":                                                            "second document",
	} {
		if !strings.Contains(text, "---") {
			text = "events: [{id: e, title: t}]\n" + text
		}
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"72 hours", "4 business days", "no fixed time", "0 days", "99999 months", "-1 days", "1  days"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePeriod(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Errorf("%q is written %q", s, p)
		}
		start := time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC)
		if due, ok := p.after(start, time.UTC, cutoff{17, 30}); ok && !due.After(start) {
			t.Errorf("%s ends at %v", s, due)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(string(builtin))
	f.Add("events: []\nclocks: [{}]")
	f.Fuzz(func(t *testing.T, s string) {
		table, err := Read(strings.NewReader(s))
		if err == nil {
			table.Evaluate(nil, time.UTC, time.Unix(0, 0))
		}
	})
}

// hostile is what names and subjects may hold.
const hostile = "evil\r\n# owned\u202e <script>[x](http://evil.example) `|*_ https://x www.x \x1b]0;x\x07 \xff"

func TestDraft(t *testing.T) {
	table := load(t)
	when := casefile.TimeOf(time.Date(2024, 1, 12, 9, 0, 0, 0, time.UTC))
	k := casefile.Campaign{Title: hostile, Standing: "established", Start: when, Severity: hostile,
		Verdict: []casefile.Sentence{{Kind: casefile.Fact, Text: hostile}}, IPs: []casefile.IPRef{{IP: hostile}}, Apps: []casefile.AppRef{{Name: hostile, ID: hostile}},
		Reach:       casefile.Reach{Mailboxes: casefile.PerCertainty{Confirmed: 7, Probable: 1}, Messages: casefile.PerCertainty{Confirmed: 74}, WholeFolders: 2},
		Milestones:  []casefile.Milestone{{Name: casefile.MilestoneFirstSuccess, Basis: hostile, Time: when}},
		CannotClear: []casefile.Uncleared{{Count: 14, CountName: hostile, Why: hostile}}}
	f := Facts{Case: &casefile.Case{Campaigns: []casefile.Campaign{k}, Verdict: []casefile.Sentence{{Kind: casefile.Limit, Text: hostile}}}, Measures: []string{hostile}, Contact: hostile,
		Exposure: &exposure.Exposure{OwnDomains: []string{"own.example"}, PersonalData: []exposure.PersonalData{{Kind: hostile, Values: 3}},
			Messages: []exposure.Message{{From: exposure.Address{Address: "a@x.example"}, To: []exposure.Address{{Address: "b@own.example"}}, Certainty: casefile.Probable},
				{From: exposure.Address{Address: "a@x.example"}, To: []exposure.Address{{Address: "c@mail.own.example"}}, Certainty: casefile.Confirmed}}}}
	said := []Said{said(1, Started, "aware", "", when.Time), said(2, Started, "material", "", when.Time)}
	said[0].Text, said[0].Author = hostile, hostile
	used := map[string]bool{}
	for _, s := range table.Evaluate(said, time.UTC, when.Time) {
		var b bytes.Buffer
		if err := Draft(&b, &s, f.Fill(s.Clock), hostile, zone(t, "Europe/Berlin")); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for _, bad := range []string{"\n# owned", "<script>", "](http", "://", "www.x", "\x1b", "\x07", "\r", "\u202e", "\xff"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q:\n%s", s.Clock.ID, bad, text)
			}
		}
		for _, i := range f.Fill(s.Clock) {
			used[i.ID] = true
			if len(i.Text) == 0 && i.Missing == "" {
				t.Errorf("%s: %s says nothing, and nothing is missing", s.Clock.ID, i.ID)
			}
		}
	}
	for _, i := range Items() {
		if !used[i.ID] {
			t.Errorf("no clock asks for %s", i.ID)
		}
	}
	text := strings.Join(f.text("scope"), "\n")
	if !strings.Contains(text, "7 confirmed, 1 probable.") || strings.Contains(text, " 8 ") {
		t.Error(text)
	}
	if text := strings.Join(f.text("subjects"), "\n"); !strings.Contains(text, "was reached: 1 confirmed, 1 probable.") || !strings.Contains(text, "outside: 1 confirmed.") {
		t.Error(text)
	}
}

// The table in the documentation is that of the data.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/CLOCKS.md", "<!-- table: made from respond/clock/clocks.yaml by go test ./respond/clock -update -->", "<!-- end of table -->"
	var b strings.Builder
	b.WriteString(begin + "\n\n| clock | what | rule | starts with | due | source, and how sure |\n|---|---|---|---|---|---|\n")
	table := load(t)
	for _, c := range table.Clocks {
		due := c.Due
		if c.Cap != nil {
			due += ", at most " + c.Cap.Due + " after `" + c.Cap.Start + "`"
		}
		if c.Cutoff != "" {
			due += ", " + c.Cutoff + " " + c.Zone
		}
		fmt.Fprintf(&b, "| `%s` | %s: %s | %s | `%s` | %s | %s. **%s**. %s |\n", c.ID, c.Jurisdiction, c.Title, c.Rule, c.Start, due, c.Source, c.Sure, c.Note)
	}
	b.WriteString("\n| event | what it is |\n|---|---|\n")
	for _, e := range table.Events {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e.ID, strings.TrimSuffix(e.Title+"; "+e.Hint, "; "))
	}
	b.WriteString("\n" + end)
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table", path)
	}
	want := before + b.String() + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(doc) {
		t.Errorf("%s is not what the data says; go test ./respond/clock -update writes it", path)
	}
}
