package engines

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/detect/sigmarules"
	"midwatch/rules"
	"midwatch/sigma"
	"midwatch/store"
)

// Rules become the same findings on every engine, over shards too: those for
// each actor, those of rules that match too much, correlations, and our own.
func TestSigmaFindings(t *testing.T) {
	const text = `
title: consents
level: medium
tags: [attack.t1528]
logsource: {product: midwatch}
detection: {s: {class: [consent, app_role_grant, credential_add]}, condition: s}
---
title: all mail
level: high
logsource: {product: m365}
detection: {s: {Operation: MailItemsAccessed}, condition: s}
---
title: applications
level: low
logsource: {product: azure, service: auditlogs}
detection: {s: {OperationName|contains: application, InitiatedBy: '*'}, condition: s}
---
title: by nobody
level: high
logsource: {product: m365}
detection: {s: {NoSuchField: x}, condition: s}
---
title: many failures
level: high
correlation: {type: event_count, rules: [failure], group-by: [UserPrincipalName], timespan: 7d, condition: {gte: 2}}
---
title: any failures
level: low
correlation: {type: event_count, rules: [failure], timespan: 7d, condition: {gte: 2}}
---
title: failure
name: failure
logsource: {product: azure, service: signinlogs}
detection: {s: {ResultType: 50126}, condition: s}
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := rules.Read(dir, sigma.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range f.Files {
		for _, r := range file.Refused {
			t.Fatal(r)
		}
	}
	own, err := sigmarules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	logs := []string{filepath.Join("..", "..", "testdata", "demo")}
	matches, err := filepath.Glob(filepath.Join("..", "..", "rules", "testdata", "*", "match.ndjson"))
	if err != nil || matches == nil {
		t.Fatal(matches, err)
	}
	logs = append(logs, matches...)
	ask := func(st store.Querier) []casefile.Finding {
		res, err := sigmarules.Run(t.Context(), st, own, sigmarules.Set{Name: "test", Folder: f})
		if err != nil {
			t.Fatal(err)
		}
		return res.Findings
	}
	want := ask(checked{filled(t, openDuckDB(t), logs...)})
	for _, title := range []string{"consents", "all mail", "applications", "many failures", "any failures", "Federation of a domain was changed"} {
		if !slices.ContainsFunc(want, func(f casefile.Finding) bool { return strings.HasPrefix(f.Title, title) }) {
			t.Errorf("%q finds nothing", title)
		}
	}
	if !slices.ContainsFunc(want, func(f casefile.Finding) bool { return f.Severity == casefile.Info && f.EventsQuery != "" }) {
		t.Error("no rule matches too much")
	}
	for name, st := range map[string]store.Store{"one node": openClickHouse(t, false), "two shards": openClickHouse(t, true)} {
		if d := cmp.Diff(want, ask(filled(t, st, logs...))); d != "" {
			t.Errorf("-duckdb +%s\n%s", name, d)
		}
	}
}
