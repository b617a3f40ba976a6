package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func generate(t *testing.T, o Options) (string, *Result) {
	t.Helper()
	dir := t.TempDir()
	res, err := Run(t.Context(), dir, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, res
}

// sums are the hashes of all files.
func sums(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		fmt.Fprintf(&all, "%s %x\n", filepath.ToSlash(rel), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// An answer key must not be written by what it grades.
func TestImportsNothingOfOurs(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range src.Imports {
			if strings.HasPrefix(i.Path.Value, `"midwatch/`) {
				t.Errorf("%s imports %s", f, i.Path.Value)
			}
		}
	}
}

func TestSameOptionsSameBytes(t *testing.T) {
	for _, o := range []Options{
		{Scenario: "mixed", Users: 300, Days: 12, Seed: 3},
		{Scenario: "narrow", Users: 300, Days: 12, Seed: 3, Loss: 0.05, Latency: 3600e9, RotateUA: true},
	} {
		o.Workers = 1
		a, _ := generate(t, o)
		o.Workers = 3
		b, _ := generate(t, o)
		if x, y := sums(t, a), sums(t, b); x != y {
			t.Errorf("%s: not the same bytes:\n%s\n%s", o.Scenario, x, y)
		}
		o.Seed = 4
		c, _ := generate(t, o)
		if sums(t, a) == sums(t, c) {
			t.Errorf("%s: another seed gives the same bytes", o.Scenario)
		}
	}
}

// Every id of the answer key is in the files, with and without losses; of a
// lost record there is none.
func TestTruthIsInTheFiles(t *testing.T) {
	for _, s := range Scenarios() {
		for _, loss := range []float64{0, 0.2} {
			t.Run(fmt.Sprint(s.Name, loss), func(t *testing.T) {
				t.Parallel()
				dir, res := generate(t, Options{Scenario: s.Name, Users: 200, Days: 20, Seed: 11, Loss: loss})
				var all bytes.Buffer
				for _, l := range res.Truth.Logs {
					b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(l.Path)))
					if err != nil {
						t.Fatal(err)
					}
					if int64(len(b)) != l.Bytes {
						t.Errorf("%s has %d bytes, the answer key says %d", l.Path, len(b), l.Bytes)
					}
					all.Write(b)
				}
				has := tokens(all.Bytes())
				if len(res.Truth.Campaigns) == 0 != (s.Name == "quiet") {
					t.Errorf("%d campaigns", len(res.Truth.Campaigns))
				}
				for _, c := range res.Truth.Campaigns {
					if len(c.Records) == 0 || c.Start.IsZero() || c.FirstSuccess.IsZero() || c.End.Before(c.Start) {
						t.Errorf("campaign %s is empty: %v to %v", c.ID, c.Start, c.End)
					}
					for log, ids := range c.Records {
						for _, id := range ids {
							if !has[id] {
								t.Errorf("%s: %s is in no file", log, id)
							}
						}
					}
					for _, m := range c.Mailboxes {
						if !has[m.UPN] && !m.NotLicensed {
							t.Errorf("mailbox %s is in no file", m.UPN)
						}
						for _, x := range m.Messages {
							if x.Logged && !has[x.ID] {
								t.Errorf("message %s of %s is in no file", x.ID, m.UPN)
							}
						}
					}
					if loss == 0 {
						for _, ip := range c.IPs {
							if !has[ip.IP] {
								t.Errorf("address %s is in no file", ip.IP)
							}
						}
						for _, u := range c.Sprayed {
							if !has[u] {
								t.Errorf("account %s is in no file", u)
							}
						}
					}
				}
				if (res.Truth.Lost > 0) != (loss > 0) {
					t.Errorf("%d records lost at a loss of %v", res.Truth.Lost, loss)
				}
			})
		}
	}
}

// tokens are the words of the files: ids, addresses, names.
func tokens(b []byte) map[string]bool {
	has := map[string]bool{}
	for _, w := range bytes.FieldsFunc(b, func(r rune) bool { return strings.ContainsRune("\",;<>\\ \r\n[]{}/#", r) }) {
		if len(w) > 6 && len(w) < 100 {
			has[string(w)] = true
		}
	}
	return has
}

// Every line is JSON, every page is, and no message id of a person is in two
// teams.
func TestWellFormed(t *testing.T) {
	dir, res := generate(t, Options{Scenario: "mixed", Users: 150, Days: 12, Seed: 5})
	var records int64
	for _, l := range res.Truth.Logs {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(l.Path)))
		if err != nil {
			t.Fatal(err)
		}
		records += l.Records
		switch {
		case strings.HasSuffix(l.Path, ".ndjson"):
			lines := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
			if int64(len(lines)) != l.Records {
				t.Errorf("%s: %d lines, %d records", l.Path, len(lines), l.Records)
			}
			for i, line := range lines {
				if !json.Valid(line) {
					t.Fatalf("%s:%d: %s", l.Path, i+1, line)
				}
			}
		case strings.HasSuffix(l.Path, ".json"):
			var page struct{ Value []json.RawMessage }
			if err := json.Unmarshal(b, &page); err != nil || int64(len(page.Value)) != l.Records {
				t.Errorf("%s: %d records of %d: %v", l.Path, len(page.Value), l.Records, err)
			}
		}
	}
	if records != res.Records {
		t.Errorf("%d records in the list, %d in all", records, res.Records)
	}
}

// The rates are what they are said to be.
func TestRates(t *testing.T) {
	const users, days = 3000, 14
	dir, _ := generate(t, Options{Scenario: "quiet", Users: users, Days: days, Seed: 21})
	r := DefaultRates()
	count := map[string]float64{}
	spray := 0.0
	files, err := filepath.Glob(filepath.Join(dir, LogsDir, "entra/corp/signins/*.json"))
	if err != nil || len(files) != days {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Value []struct {
				ClientAppUsed          string
				AutonomousSystemNumber int
				UserAgent              string
				Status                 struct{ ErrorCode int }
			}
		}
		if err := json.Unmarshal(b, &page); err != nil {
			t.Fatal(f, err)
		}
		for _, v := range page.Value {
			if strings.HasPrefix(v.UserAgent, "python") {
				spray++
				continue
			}
			if v.ClientAppUsed == "Exchange ActiveSync" {
				count["loop"]++
				continue
			}
			count[fmt.Sprint(v.Status.ErrorCode)]++
		}
	}
	// People at work on ten working days; weekends add a little.
	const work = users * 10 * 0.92 * 0.98
	within := func(name string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance*want {
			t.Errorf("%s: %.0f, expected about %.0f", name, got, want)
		}
	}
	// Mondays have half as many again: one day in five.
	monday := (4 + r.MondayFactor) / 5
	within("wrong passwords", count["50126"], work*(r.WrongPassword*r.WrongTries+r.Lockout*10)*monday, 0.2)
	within("unknown names", count["50034"], work*r.UnknownName*monday, 0.3)
	within("blocked by policy", count["53003"]+count["53000"], work*r.CABlock*monday, 0.3)
	if spray == 0 {
		t.Error("no background sprays in two weeks")
	}
	var sends, binds float64
	b, err := os.ReadFile(filepath.Join(dir, LogsDir, "ual/ual.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		switch {
		case bytes.Contains(line, []byte(`"Operation":"Send"`)):
			sends++
		case bytes.Contains(line, []byte(`"RecordType":50,`)) && bytes.Contains(line, []byte(`"LogonType":0`)):
			binds++
		}
	}
	// The last day, a Sunday, is in the portal's CSV.
	within("messages sent", sends, work*r.MessagesSent, 0.2)
	within("own reads", binds, work*(1-r.UnlicensedMail)*r.MailBind, 0.35)
}

// Memory does not grow with the days.
func TestFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short, which the gate does not set: writes 200 MB")
	}
	peak := func(days int) uint64 {
		var most uint64
		_, err := Run(t.Context(), t.TempDir(), Options{Scenario: "midnight", Users: 500, Days: days, Seed: 1}, func(int64, int64, float64) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		})
		if err != nil {
			t.Fatal(err)
		}
		return most
	}
	short, long := peak(10), peak(40)
	if long > 2*short+64<<20 {
		t.Errorf("heap of %d MB for 10 days, %d MB for 40", short>>20, long>>20)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{Scenario: "none", Users: 200, Days: 20},
		{Scenario: "quiet", Users: 5, Days: 20},
		{Scenario: "quiet", Users: 200, Days: 2},
		{Scenario: "quiet", Users: 200, Days: 20, Loss: 1},
		{Scenario: "midnight", Users: 200, Days: 20, API: "imap"},
		{Scenario: "bruteforce", Users: 200, Days: 20, UnderWay: true},
	} {
		if _, err := Run(t.Context(), t.TempDir(), o, nil); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), dir, Options{Scenario: "quiet", Users: 200, Days: 10}, nil); err == nil {
		t.Error("a folder with files in it was accepted")
	}
}

// The knobs do what they say.
func TestKnobs(t *testing.T) {
	base := Options{Scenario: "midnight", Users: 200, Days: 30, Seed: 2}
	with := func(change func(*Options)) CampaignOf {
		o := base
		change(&o)
		_, res := generate(t, o)
		return res.Truth.Campaigns[0]
	}
	if c := with(func(o *Options) { o.UnderWay = true }); !c.OriginOutside || !c.FirstSuccess.Before(c.FirstSuccessRecord) {
		t.Errorf("under way: inside since %v, seen since %v", c.FirstSuccess, c.FirstSuccessRecord)
	}
	if c := with(func(o *Options) { o.NoTest = true }); !c.OriginOutside || c.Lost[LogInteractive] == 0 {
		t.Errorf("without the test tenant: %v", c.Lost)
	}
	geo := map[string]bool{"US": true, "IE": true, "IN": true, "AU": true}
	for _, ip := range with(func(o *Options) { o.GeoMatch = true }).IPs {
		if !geo[ip.Country] {
			t.Errorf("geo-matched proxy in %s", ip.Country)
		}
	}
	if few, many := with(func(o *Options) { o.Accounts = 5 }), with(func(o *Options) { o.Accounts = 25 }); len(few.Sprayed) >= len(many.Sprayed) {
		t.Errorf("accounts: %d and %d sprayed", len(few.Sprayed), len(many.Sprayed))
	}
	graph, ews := 0, 0
	for _, m := range with(func(o *Options) { o.API = "graph" }).Mailboxes {
		if len(m.Searches) > 0 {
			graph++
		}
	}
	for _, m := range with(func(o *Options) { o.API = "ews" }).Mailboxes {
		if len(m.Searches) > 0 {
			ews++
		}
	}
	if graph <= ews {
		t.Errorf("graph: %d mailboxes searched, ews: %d", graph, ews)
	}
	if c := with(func(o *Options) { o.OfficeHours = true }); c.FirstSuccess.Hour() < 17 {
		t.Errorf("office hours: inside at %v", c.FirstSuccess)
	}
}

func BenchmarkRun(b *testing.B) {
	var records, bytes int64
	for b.Loop() {
		res, err := Run(b.Context(), b.TempDir(), Options{Scenario: "midnight", Users: 1000, Days: 10, Seed: 1, Workers: DefaultWorkers()}, nil)
		if err != nil {
			b.Fatal(err)
		}
		records += res.Records
		bytes += res.Bytes
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(bytes)/1e6/b.Elapsed().Seconds(), "MB/s")
}
