package engines

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/ingest"
	"midwatch/internal/corpora"
	"midwatch/rules"
	"midwatch/sigma"
	"midwatch/store"
)

// readRules reads a folder of rules, all of which must be good.
func readRules(t *testing.T, dir string) []*sigma.Rule {
	t.Helper()
	var out []*sigma.Rule
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		docs, err := sigma.Parse(filepath.Base(path), data, sigma.Options{})
		for _, d := range docs {
			out = append(out, d.Rule)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// askRules asks all rules, one question a log source, and returns the number of
// records that each finds, and the number of questions.
func askRules(t *testing.T, st store.Store, rs []*sigma.Rule) (found map[string]int, questions int) {
	t.Helper()
	by := map[string][]*sigma.Rule{}
	for _, r := range rs {
		source, _, err := sigma.Where(r, rules.Schema{})
		if err != nil {
			t.Error(err)
			continue
		}
		by[source] = append(by[source], r)
	}
	found = map[string]int{}
	for _, source := range slices.Sorted(maps.Keys(by)) {
		group := by[source]
		query, err := sigma.Select(group, rules.Schema{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := st.Query(t.Context(), "SELECT hits FROM ("+query+") AS q")
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		for rows.Next() {
			var hits string
			if err := rows.Scan(&hits); err != nil {
				t.Fatal(err)
			}
			for _, h := range strings.Fields(hits) {
				var i int
				if _, err := fmt.Sscan(h, &i); err != nil {
					t.Fatal(err)
				}
				found[group[i].Title]++
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		_ = rows.Close()
	}
	return found, len(by)
}

func filled(t *testing.T, st store.Store, paths ...string) store.Store {
	t.Helper()
	if _, err := ingest.Run(t.Context(), st, paths, ingest.Options{}); err != nil {
		t.Fatal(err)
	}
	return st
}

// Every rule of SigmaHQ's folders for Azure and Microsoft 365 runs as it is on
// every engine, in one question for each log, and finds the same.
func TestSigmaHQ(t *testing.T) {
	dir := corpora.Dir(t)
	rs := readRules(t, filepath.Join(dir, "sigma"))
	logs := []string{filepath.Join("..", "..", "testdata", "demo"), filepath.Join("..", "..", "parse", "testdata"),
		filepath.Join(dir, "otrf-goldensaml"), filepath.Join(dir, "panther"), filepath.Join(dir, "invictus")}
	duck, questions := askRules(t, filled(t, openDuckDB(t), logs...), rs)
	t.Logf("%d rules in %d questions; %d of them find something", len(rs), questions, len(duck))
	for _, title := range slices.Sorted(maps.Keys(duck)) {
		t.Logf("%6d %s", duck[title], title)
	}
	if len(rs) < 142 || len(duck) < 20 {
		t.Errorf("%d rules, of which %d find something; want 142 and 20", len(rs), len(duck))
	}
	click, _ := askRules(t, filled(t, openClickHouse(t, false), logs...), rs)
	if !maps.Equal(duck, click) {
		t.Errorf("ClickHouse finds\n%v\nDuckDB\n%v", click, duck)
	}
}

// Rules by vendors' names, ours, and keywords, over the records that the parsers
// are tested with: what each must find at least, and must not.
func TestRulesFind(t *testing.T) {
	own := []struct {
		source, detection string
		finds             bool
	}{
		{"azure, service: signinlogs", "{ResultType: 7000215, ResultDescription|contains: 'client secret'}", true},
		{"azure, service: signinlogs", "{AuthenticationRequirement: multiFactorAuthentication, DeviceDetail.isCompliant: true}", true},
		{"azure, service: signinlogs", "{properties.message: Device Code}", true},
		{"azure, service: signinlogs", "{IPAddress|cidr: 198.51.100.0/24}", true},
		{"azure, service: signinlogs", "{IPAddress|cidr: 9.0.0.0/8}", false},
		{"azure, service: auditlogs", "{OperationName: 'Update application – Certificates and secrets management'}", true},
		{"azure, service: auditlogs", "{Category: ApplicationManagement, TargetResources.ModifiedProperties.NewValue|contains: full_access_as_app}", true},
		{"azure, service: auditlogs", "{TargetResources.ModifiedProperties.DisplayName: AppRole.Value}", true},
		{"azure, service: auditlogs", "{TargetResources|contains: '\"displayName\":\"AppRole.Value\"'}", true},
		{"azure, service: activitylogs", "['Microsoft.Compute/virtualMachines/delete']", true},
		{"azure, service: activitylogs", "{operationName|endswith: /roleAssignments/write, CategoryValue: Administrative}", true},
		{"azure, service: activitylogs", "['Microsoft.Compute/no/such']", false},
		{"azure, service: riskdetection", "{riskEventType: passwordSpray}", true},
		{"m365, service: audit", "{Operation: MailItemsAccessed, Workload: Exchange}", true},
		{"m365, service: audit", "{RecordType: 50, Workload: Exchange}", true},
		{"m365, service: audit", "{RecordType: 15, ResultStatus: Success, UserId: ada@contoso.example}", true}, // in an envelope
		{"m365, service: audit", "{NoSuchField: x}", false},
		{"midwatch", "{class: sign_in, outcome: failure, time|year: 2024}", true},
		{"midwatch", "{class: sign_in, time|year: 1999}", false},
	}
	var rs []*sigma.Rule
	for i, o := range own {
		text := fmt.Sprintf("title: %d\nlogsource: {product: %s}\ndetection: {s: %s, condition: s}\n", i, o.source, o.detection)
		docs, err := sigma.Parse("r.yml", []byte(text), sigma.Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		rs = append(rs, docs[0].Rule)
	}
	logs := []string{filepath.Join("..", "..", "parse", "testdata"), filepath.Join("..", "..", "testdata", "demo")}
	duck, _ := askRules(t, filled(t, openDuckDB(t), logs...), rs)
	for i, o := range own {
		if got := duck[fmt.Sprint(i)]; got > 0 != o.finds {
			t.Errorf("%s %s finds %d", o.source, o.detection, got)
		}
	}
	if click, _ := askRules(t, filled(t, openClickHouse(t, false), logs...), rs); !maps.Equal(duck, click) {
		t.Errorf("ClickHouse finds\n%v\nDuckDB\n%v", click, duck)
	}
}

// Records that the parsers take and that are no JSON by the letter neither end a
// question nor hide from one: their fields are found like those of others.
func TestRulesOverBadJSON(t *testing.T) {
	dir := t.TempDir()
	bad := []string{"\"a\tb\"", `"\q"`, `01`, `1.`, `NaN`, `"\ud800"`, `"\u12"`, `-`, `1e`, "\"\x01\"", `+1`, `.5`, `0x1f`, `"good"`}
	var b strings.Builder
	for i, v := range bad {
		fmt.Fprintf(&b, `{"Id":"00000000-0000-4000-8000-0000000000%02d","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"Workload":"SharePoint","UserId":"a@x.example","X":%s}`+"\n", i, v)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.ndjson"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var rs []*sigma.Rule
	for _, s := range []string{"{X: '*', UserId: a@x.example}", "{Operation: FileAccessed}"} {
		docs, err := sigma.Parse("r.yml", []byte("title: \""+s+"\"\nlogsource: {product: m365}\ndetection: {s: "+s+", condition: s}\n"), sigma.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, docs[0].Rule)
	}
	for name, st := range map[string]store.Store{"duckdb": openDuckDB(t), "clickhouse": openClickHouse(t, false)} {
		found, _ := askRules(t, filled(t, st, dir), rs)
		if n := found[rs[1].Title]; found[rs[0].Title] != n || n < 10 {
			t.Errorf("%s: %v of %d records", name, found, len(bad))
		}
	}
}

// Correlations over the fields of the event store find the same on every
// engine, over shards too.
func TestCorrelationsFind(t *testing.T) {
	const text = `
title: one address, many accounts
correlation: {type: value_count, rules: [failure], group-by: [IPAddress], timespan: 1d, condition: {field: UserPrincipalName, gte: 3}}
---
title: many failures
correlation: {type: event_count, rules: [failure], group-by: [UserPrincipalName], timespan: 7d, condition: {gte: 2}}
---
title: failure and success
correlation: {type: temporal, rules: [failure, success], group-by: [UserPrincipalName], timespan: 1d}
---
title: success, and mail is read by the same
correlation:
  type: temporal_ordered
  rules: [success, mail]
  group-by: [who]
  timespan: 1d
  aliases: {who: {success: UserPrincipalName, mail: UserId}}
---
title: failure
name: failure
logsource: {product: azure, service: signinlogs}
detection: {s: {ResultType: 50126}, condition: s}
---
title: success
name: success
logsource: {product: azure, service: signinlogs}
detection: {s: {ResultType: 0}, condition: s}
---
title: mail
name: mail
logsource: {product: m365, service: audit}
detection: {s: {Operation: MailItemsAccessed}, condition: s}
`
	docs, err := sigma.Parse("c.yml", []byte(text), sigma.Options{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := sigma.Link(docs)
	if err != nil {
		t.Fatal(err)
	}
	find := func(st store.Store, c *sigma.Correlation) []string {
		query, err := sigma.Query(c, rules.Schema{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := st.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", c.Title, err)
		}
		defer func() { _ = rows.Close() }()
		var out []string
		for rows.Next() {
			var id, group string
			var at time.Time
			var n int64
			if err := rows.Scan(&id, &at, &n, &group); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint(id, at.UTC(), n, group))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(out)
		return out
	}
	logs := filepath.Join("..", "..", "testdata", "demo")
	duck := filled(t, openDuckDB(t), logs)
	others := map[string]store.Store{"one node": filled(t, openClickHouse(t, false), logs), "two shards": filled(t, openClickHouse(t, true), logs)}
	for _, c := range set.Correlations {
		want := find(duck, c)
		t.Logf("%s: %d", c.Title, len(want))
		if len(want) == 0 {
			t.Errorf("%s finds nothing", c.Title)
		}
		for name, st := range others {
			if got := find(st, c); !slices.Equal(got, want) {
				t.Errorf("%s: %s finds %d, DuckDB %d", c.Title, name, len(got), len(want))
			}
		}
	}
}
