package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/simulate"
	"midwatch/store/duckdb"
)

// verb runs a command line and wants one of some exit statuses.
func verb(t *testing.T, want []int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, stdio{in: &bytes.Buffer{}, out: &out, err: &errs}); !slices.Contains(want, got) {
		t.Fatalf("midwatch %v: exit status %d\n%s", args, got, errs.String())
	}
	return out.String()
}

func simulated(t *testing.T, args ...string) (string, *simulate.Truth) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tenant")
	verb(t, []int{exitNothing}, append([]string{"simulate", "--quiet", "--out", dir}, args...)...)
	b, err := os.ReadFile(filepath.Join(dir, simulate.ContextDir, simulate.TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	var truth simulate.Truth
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	return dir, &truth
}

func investigated(t *testing.T, dir string) (string, *casefile.Case) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "x.case")
	context := filepath.Join(dir, simulate.ContextDir)
	verb(t, []int{exitNothing, exitFindings}, "investigate", filepath.Join(dir, simulate.LogsDir), "--quiet", "--out", out,
		"--asn", filepath.Join(context, "asn.csv"), "--directory", filepath.Join(context, "directory.csv"))
	f, err := os.Open(filepath.Join(out, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := casefile.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return out, c
}

// What the simulator writes, Midwatch reads: no record is rejected, and the
// malicious ones are in the store under their own ids.
func TestSimulatedLogsAreRead(t *testing.T) {
	dir, truth := simulated(t, "--scenario", "mixed", "--users", "200", "--days", "20", "--seed", "3")
	out, c := investigated(t, dir)
	var records, duplicates int64
	for _, s := range c.Sources {
		records += s.Records
		duplicates += s.Duplicates
		if len(s.Rejected) > 0 || s.Incomplete != "" || s.Truncated+s.Destroyed > 0 {
			t.Errorf("%s: %v %s", s.Path, s.Rejected, s.Incomplete)
		}
	}
	if records != truth.Records {
		t.Errorf("%d records read, %d written", records, truth.Records)
	}
	if duplicates != truth.Duplicates {
		t.Errorf("%d duplicates found, %d written", duplicates, truth.Duplicates)
	}
	st, err := duckdb.Open(filepath.Join(out, "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	have := map[string]bool{}
	rows, err := st.Query(t.Context(), `SELECT DISTINCT coalesce(json_extract_string(j, '$.Id'), json_extract_string(j, '$.id'), json_extract_string(j, '$.properties.id'), json_extract_string(j, '$.properties.requestId'), '')
		FROM (SELECT coalesce(record, raw) AS j FROM events)`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		have[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	// Every interactive sign-in of the corporate tenant has its copy in the
	// audit log, under the same request id.
	twins, err := st.Query(t.Context(), `SELECT count(*) FROM events s WHERE s.source = 'signin' AND s.workload = 'interactive' AND s.tenant = '`+truth.Tenants[0].ID+`'
		AND NOT EXISTS (SELECT 1 FROM events u WHERE u.source = 'ual' AND u.request_id = s.request_id)`)
	if err != nil {
		t.Fatal(err)
	}
	defer twins.Close()
	for twins.Next() {
		var alone int64
		if err := twins.Scan(&alone); err != nil {
			t.Fatal(err)
		}
		if alone > 0 {
			t.Errorf("%d sign-ins have no copy in the audit log", alone)
		}
	}
	for _, campaign := range truth.Campaigns {
		for log, ids := range campaign.Records {
			for _, id := range ids {
				if !have[id] {
					t.Errorf("%s: %s was not read", log, id)
				}
			}
		}
	}
}

// The incident is found in a small organization: accounts, applications, and
// every message that a record names.
func TestSimulatedIncidentIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short, which the gate does not set: reads 280 MB")
	}
	dir, truth := simulated(t, "--scenario", "midnight", "--users", "500", "--days", "30", "--seed", "7")
	_, c := investigated(t, dir)
	want := truth.Campaigns[0]
	i := slices.IndexFunc(c.Campaigns, func(x casefile.Campaign) bool {
		return slices.ContainsFunc(x.Apps, func(a casefile.AppRef) bool { return a.ID == want.Apps[1].AppID })
	})
	if i < 0 {
		t.Fatalf("none of %d campaigns has application %s", len(c.Campaigns), want.Apps[1].Name)
	}
	got := c.Campaigns[i]
	for _, a := range want.Apps {
		if !slices.ContainsFunc(got.Apps, func(x casefile.AppRef) bool { return x.ID == a.AppID }) {
			t.Errorf("application %s is not in the campaign", a.Name)
		}
	}
	for _, a := range slices.Concat(want.Compromised, want.Created) {
		if !slices.ContainsFunc(got.Accounts, func(x casefile.AccountRef) bool { return x.UPN == a.UPN }) {
			t.Errorf("account %s is not in the campaign", a.UPN)
		}
	}
	for _, m := range want.Mailboxes {
		k := slices.IndexFunc(got.Mailboxes, func(x casefile.MailboxRef) bool { return x.UPN == m.UPN })
		if k < 0 {
			t.Errorf("mailbox %s is not in the campaign", m.UPN)
			continue
		}
		for _, x := range m.Messages {
			if x.Logged && !slices.ContainsFunc(got.Mailboxes[k].Messages, func(y casefile.MessageRef) bool { return y.InternetMessageID == x.ID }) {
				t.Errorf("message %s of %s is not in the campaign", x.ID, m.UPN)
			}
		}
	}
}

// What comes through a pipe are the same records, and what has to be there
// before them comes without them.
func TestSimulatedPipe(t *testing.T) {
	options := []string{"--scenario", "midnight", "--users", "100", "--days", "12", "--seed", "5"}
	dir, truth := simulated(t, options...)
	counts := func(logs string) (n struct{ Records, Added, Rejected int64 }) {
		t.Helper()
		text := verb(t, []int{exitNothing}, "ingest", logs, "--json", "--quiet", "--raw", "none", "--asn", filepath.Join(dir, simulate.ContextDir, "asn.csv"), "--store", filepath.Join(t.TempDir(), "e.duckdb"))
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	piped := t.TempDir()
	if said := verb(t, []int{exitNothing}, append([]string{"simulate", "--context-only", "--out", piped}, options...)...); !strings.Contains(said, piped) {
		t.Errorf("it says %q", said)
	}
	if _, err := os.Stat(filepath.Join(piped, simulate.LogsDir)); err == nil {
		t.Error("there are logs")
	}
	tar := filepath.Join(t.TempDir(), "logs.tar")
	stream := verb(t, []int{exitNothing}, append([]string{"simulate", "--pipe", "--quiet", "--out", piped}, options...)...)
	if err := os.WriteFile(tar, []byte(stream), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, b := counts(filepath.Join(dir, simulate.LogsDir)), counts(tar); a != b || a.Added == 0 || a.Rejected != 0 {
		t.Errorf("%+v in files, %+v through the pipe", a, b)
	}
	var same simulate.Truth
	b, err := os.ReadFile(filepath.Join(piped, simulate.ContextDir, simulate.TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &same); err != nil || len(same.Campaigns) != len(truth.Campaigns) || len(same.Campaigns) == 0 {
		t.Errorf("the answer key has %d campaigns, want %d: %v", len(same.Campaigns), len(truth.Campaigns), err)
	}
	for _, args := range [][]string{{"--pipe", "--json"}, {"--pipe", "--context-only", "--out", piped}, {}} {
		verb(t, []int{exitFailed}, append(append([]string{"simulate"}, args...), options...)...)
	}
}
