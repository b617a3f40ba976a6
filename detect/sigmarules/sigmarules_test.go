package sigmarules

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/detect/detecttest"
	"midwatch/rules"
	"midwatch/sigma"
)

// set reads rules that stand in a text.
func set(t *testing.T, text string) Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := rules.Read(dir, sigma.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Set{"test", f}
}

const head = "logsource: {product: azure, service: auditlogs}\n"

func filled(t *testing.T, lines ...string) *detecttest.DB {
	t.Helper()
	db := detecttest.Open(t)
	db.LoadText(t, "test", strings.Join(lines, "\n"))
	return db
}

func change(at, rest string) string {
	return `{"time":"` + at + `","source":"directory","class":"admin",` + rest + `}`
}

func TestOneFindingForEachActor(t *testing.T) {
	db := filled(t,
		change("2024-01-02T00:00:00Z", `"operation":"set thing","actor":"ada@x.example","ip":"192.0.2.1","session_id":"s1","detail":"{\"app_id\":\"APP-9\"}","target_kind":"service_principal","target_id":"sp-9","target":"Nine"`),
		change("2024-01-01T00:00:00Z", `"operation":"set thing","actor":"ada@x.example","ip":"192.0.2.2","ip_service":true`),
		change("2024-01-03T00:00:00Z", `"operation":"set thing","actor_kind":"app","app_id":"app-1","app_name":"One","sp_id":"sp-1"`),
		change("2024-01-03T00:00:00Z", `"operation":"set thing","actor":"ada@x.example","tenant":"fabrikam"`),
		change("2024-01-04T00:00:00Z", `"operation":"another thing","actor":"bob@x.example"`),
	)
	s := set(t, "title: Thing\nid: 00000000-0000-4000-8000-000000000001\nlevel: critical\nstatus: experimental\ntags: [attack.t1098.003, attack.persistence]\n"+head+"detection: {s: {OperationName: Set thing}, condition: s}")
	res, err := Run(t.Context(), db, s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range res.Findings {
		var es []string
		for _, e := range f.Entities {
			es = append(es, fmt.Sprint(e.Kind, "/", e.Role, "/", e.ID))
		}
		got = append(got, fmt.Sprint(f.Detector, " ", f.Severity, " ", f.Stage, " ", f.Tenant, " ", f.First, " ", f.EventCount, " ", len(f.Events), " ", f.Techniques, " ", es))
	}
	id := "sigma:00000000-0000-4000-8000-000000000001 high privilege "
	want := []string{
		id + "contoso 2024-01-01T00:00:00Z 2 2 [T1098.003] [account/actor/ada@x.example app/target/app-9 ip/source/192.0.2.1 service_principal/target/sp-9 session/used/s1]",
		id + "contoso 2024-01-03T00:00:00Z 1 1 [T1098.003] [app/actor/app-1 service_principal/actor/sp-1]",
		id + "fabrikam 2024-01-03T00:00:00Z 1 1 [T1098.003] [account/actor/ada@x.example]",
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, want := range []string{`rules.yml:1`, `2 records by ada@x.example`, `OperationName is "set thing"`, "rates it critical, of any organization, and calls it experimental"} {
		if !slices.ContainsFunc(res.Findings, func(f casefile.Finding) bool { return strings.Contains(f.Why, want) }) {
			t.Errorf("no finding says %q: %s", want, res.Findings[0].Why)
		}
	}
	ids := map[string]bool{}
	for _, f := range res.Findings {
		ids[f.ID] = true
	}
	if len(ids) != 3 {
		t.Errorf("ids are not unique: %v", ids)
	}
	if a := res.Assessed; len(a) != 1 || a[0].Findings != 3 {
		t.Error(a)
	}
}

func TestTooMuch(t *testing.T) {
	var lines []string
	add := func(n int, rest string) {
		lines = append(lines, strings.TrimSuffix(change("2024-01-01T00:00:00Z", rest), "}")+fmt.Sprintf(`,"repeat":{"n":%d,"every":"60s"}}`, n))
	}
	add(150, `"operation":"noise","actor":"ada@x.example"`)    // more than 1 % of what there is
	add(90, `"operation":"few","actor":"ada@x.example"`)       // a large share, and few
	add(51, `"operation":"everybody","actor":"u$i@x.example"`) // more actors than a person goes through
	add(250, `"operation":"many","actor":"ada@x.example","tenant":"large"`)
	text := ""
	for _, op := range []string{"noise", "few", "everybody", "many"} {
		text += "---\ntitle: " + op + "\nlevel: medium\n" + head + "detection: {s: {OperationName: " + op + "}, condition: s}\n"
	}
	db := filled(t, lines...)
	// What the large tenant does besides, so that 250 records are less than 1 %.
	rest, err := db.Query(t.Context(), `INSERT INTO events (id, source, tenant, class, operation, actor, actor_kind, time)
		SELECT uuid(), 'directory', 'large', 'admin', 'rest', concat('u', x, '@x.example'), 'user', TIMESTAMP '2024-01-01 00:00:00' FROM range(30000) r(x)`)
	if err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	res, err := Run(t.Context(), db, set(t, text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range res.Findings {
		got = append(got, fmt.Sprintf("%s %s %d %d %v", strings.SplitN(f.Title, " ", 2)[0], f.Severity, f.EventCount, len(f.Events), f.EventsQuery != ""))
	}
	slices.Sort(got)
	want := []string{"everybody info 51 1 true", "few medium 90 90 false", "many medium 250 200 true", "noise info 150 1 true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// The query that a capped finding cites gives them all.
	for _, f := range res.Findings {
		if f.EventsQuery == "" {
			continue
		}
		rows, err := db.Query(t.Context(), f.EventsQuery)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for rows.Next() {
			n++
		}
		_ = rows.Close()
		if n != f.EventCount {
			t.Errorf("%s: the query gives %d events of %d", f.Title, n, f.EventCount)
		}
	}
}

// Many rules are asked in several questions, and find what they find in one.
func TestChunks(t *testing.T) {
	var text strings.Builder
	for i := range 60 {
		fmt.Fprintf(&text, "---\ntitle: r%d\n%sdetection: {s: {OperationName: [op%d%s]}, condition: s}\n", i, head, i, strings.Repeat(", "+strings.Repeat("x", 1000), 4))
	}
	s := set(t, text.String())
	n := 0
	for _, err := range chunks(named([]Set{s})) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		t.Error("no questions")
	}
	res, err := Run(t.Context(), filled(t, change("2024-01-01T00:00:00Z", `"operation":"op3","actor":"a@x.example"`), change("2024-01-01T00:00:00Z", `"operation":"op59","actor":"a@x.example"`)), s)
	if err != nil || len(res.Findings) != 2 {
		t.Errorf("%d findings, %v", len(res.Findings), err)
	}
}

func TestCorrelation(t *testing.T) {
	s := set(t, `
title: Many changes
id: 00000000-0000-4000-8000-000000000002
level: high
correlation: {type: event_count, rules: [change], group-by: [UserPrincipalName], timespan: 10m, condition: {gte: 3}}
---
title: Change
name: change
`+head+`detection: {s: {OperationName: set thing}, condition: s}`)
	db := filled(t,
		strings.TrimSuffix(change("2024-01-01T00:00:00Z", `"operation":"set thing","actor":"ada@x.example","ip":"192.0.2.1"`), "}")+`,"repeat":{"n":4,"every":"60s"}}`,
		strings.TrimSuffix(change("2024-01-01T00:00:00Z", `"operation":"set thing","actor":"bob@x.example"`), "}")+`,"repeat":{"n":4,"every":"3600s"}}`)
	res, err := Run(t.Context(), db, s)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Findings) != 1 {
		t.Fatalf("%d findings", len(res.Findings))
	}
	f := res.Findings[0]
	if f.EventCount != 2 || f.First.String() != "2024-01-01T00:02:00Z" || f.Tenant != "contoso" || f.Counts[0].Value != 4 || *f.Counts[0].Limit != 3 || !strings.Contains(f.Why, `UserPrincipalName "ada@x.example"`) {
		t.Errorf("%+v", f)
	}
}

func TestRefusedAndNotReceived(t *testing.T) {
	s := set(t, "title: good\nlogsource: {product: azure, service: riskdetection}\ndetection: {s: {riskEventType: x}, condition: s}\n---\ntitle: bad\n"+head+"detection: {s: {a|nope: x}, condition: s}")
	res, err := Run(t.Context(), filled(t, change("2024-01-01T00:00:00Z", `"operation":"x"`)), s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range res.NotAssessed {
		got = append(got, n.Reason)
	}
	if len(got) != 2 || !strings.Contains(got[0]+got[1], "modifier nope is not known") || !strings.Contains(got[0]+got[1], "(risk)") {
		t.Errorf("%q", got)
	}
}

func TestTags(t *testing.T) {
	for _, tt := range []struct {
		tags  []string
		stage string
	}{
		{[]string{"attack.initial_access", "attack.t1078.004", "attack.persistence"}, casefile.StageAccess},
		{[]string{"attack.t1098.003", "attack.persistence"}, casefile.StagePrivilege},
		{[]string{"attack.t1098.001"}, casefile.StagePersistence},
		{[]string{"attack.Defense-Evasion"}, casefile.StageEvasion},
		{[]string{"attack.discovery", "detection.emerging-threats"}, ""},
	} {
		if got := stage(tt.tags); got != tt.stage {
			t.Errorf("%v: %s", tt.tags, got)
		}
	}
}
