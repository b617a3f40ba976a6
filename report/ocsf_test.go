package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/internal/schematest"
)

func ocsfLines(t testing.TB, c *casefile.Case, o Options) [][]byte {
	t.Helper()
	b := render(t, OCSF{}, "ocsf.ndjson", c, o)
	if len(b) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

func ocsfEventsOf(t testing.TB, c *casefile.Case, o Options) (out []ocsfEvent) {
	t.Helper()
	for _, l := range ocsfLines(t, c, o) {
		var e ocsfEvent
		if err := json.Unmarshal(l, &e); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		out = append(out, e)
	}
	return out
}

// ocsfCases are those that every statement about the format is asked of.
func ocsfCases(t testing.TB) map[string]*casefile.Case {
	timeless := &casefile.Case{
		Campaigns: []casefile.Campaign{{ID: "k-1", Findings: []string{"f-1", "f-gone"}, Mailboxes: []casefile.MailboxRef{{UPN: "no address"}, {}}, IPs: []casefile.IPRef{{IP: "fe80::1%eth0"}, {IP: "::ffff:192.0.2.1"}, {IP: "2001:db8::1"}}}},
		Findings:  []casefile.Finding{{ID: "f-1", Events: []string{"e-1", "e-gone"}, Techniques: []string{"T1114", "T9999", "x"}}, {}},
		Evidence:  map[string]casefile.Evidence{"e-1": {}},
	}
	return map[string]*casefile.Case{"case": readCase(t, "case"), "quiet": readCase(t, "quiet"), "empty": {}, "hostile": hostileCase(), "large": largeCase(300, 3), "timeless": timeless}
}

// Every event holds in OCSF's own schema, in the version that it names and in
// later ones.
func TestOCSFSchema(t *testing.T) {
	for _, version := range schematest.Versions() {
		schema := schematest.OCSF(t, version)
		for name, c := range ocsfCases(t) {
			for i, l := range ocsfLines(t, c, Options{}) {
				if err := schema.Check(l); err != nil {
					t.Errorf("OCSF %s, %s, line %d: %v", version, name, i+1, err)
				}
			}
		}
	}
}

// What the schema would not let pass. Each is done to events that hold.
func TestOCSFSchemaRefuses(t *testing.T) {
	schema := schematest.OCSF(t, OCSFVersion)
	type object = map[string]any
	first := func(o object, list string) object { return o[list].([]any)[0].(object) }
	for name, breaks := range map[string]func(e object){
		"no class":                     func(e object) { delete(e, "class_uid") },
		"another class":                func(e object) { e["class_uid"] = 2005 },
		"no time":                      func(e object) { delete(e, "time") },
		"time as text":                 func(e object) { e["time"] = "2024-01-01T00:00:00Z" },
		"severity that is none":        func(e object) { e["severity_id"] = 7 },
		"severity of another name":     func(e object) { e["severity"] = "Severe" },
		"no uid":                       func(e object) { delete(e["finding_info"].(object), "uid") },
		"unknown attribute":            func(e object) { e["campaign"] = "k" },
		"attribute of another profile": func(e object) { e["metadata"].(object)["profiles"] = []any{}; e["is_suspected_breach"] = true },
		"profile that we do not have":  func(e object) { e["metadata"].(object)["profiles"] = []any{"cloud"} },
		"no version":                   func(e object) { delete(e["metadata"].(object), "version") },
		"product without a name":       func(e object) { e["metadata"].(object)["product"] = object{"vendor_name": "x"} },
		"attack without a technique":   func(e object) { e["finding_info"].(object)["attacks"] = []any{object{"version": "1"}} },
		"deprecated tactics":           func(e object) { first(e["finding_info"].(object), "attacks")["tactics"] = []any{object{"name": "x"}} },
		"evidence of nothing":          func(e object) { e["evidences"] = []any{object{"uid": "x"}} },
		"address that is none":         func(e object) { first(e, "evidences")["src_endpoint"] = object{"ip": "<script>"} },
		"observable of no type":        func(e object) { delete(first(e, "observables"), "type_id") },
		"observable that is nowhere": func(e object) {
			first(e, "observables")["name"] = "resources[].uid"
			first(e, "observables")["value"] = "?"
		},
		"observable of another type": func(e object) {
			e["observables"] = []any{object{"name": "resources[].uid", "type_id": 4, "type": "User Name", "value": first(e, "resources")["uid"]}}
		},
		"resource without name and uid":  func(e object) { e["resources"] = []any{object{"type": "x"}} },
		"related event of another class": func(e object) { first(e["finding_info"].(object), "related_events")["type_uid"] = "x" },
	} {
		refused := 0
		for _, l := range ocsfLines(t, readCase(t, "case"), Options{}) {
			var e object
			if err := json.Unmarshal(l, &e); err != nil {
				t.Fatal(err)
			}
			if r, _ := e["resources"].([]any); len(r) == 0 || r[0].(object)["uid"] == nil || e["evidences"] == nil {
				continue
			}
			breaks(e)
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if schema.Check(b) == nil {
				t.Errorf("%s was let pass: %s", name, b)
			}
			refused++
		}
		if refused == 0 {
			t.Errorf("%s: done to no event", name)
		}
	}
}

// Each finding and each campaign is there once; they name each other by the
// uids that they have in the file, and say what the case says.
func TestOCSFIsWhole(t *testing.T) {
	for name, c := range ocsfCases(t) {
		events := ocsfEventsOf(t, c, Options{})
		if len(events) != len(c.Campaigns)+len(c.Findings) {
			t.Fatalf("%s: %d events, want %d", name, len(events), len(c.Campaigns)+len(c.Findings))
		}
		c = shown(c)
		have := map[string]bool{}
		for i, e := range events {
			have[e.Metadata.UID] = true
			if i < len(c.Campaigns) {
				continue
			}
			f := c.Findings[i-len(c.Campaigns)]
			if e.Metadata.UID != f.ID || e.FindingInfo.Desc != f.Why || e.Count != f.EventCount || e.Metadata.EventCode != f.Detector {
				t.Errorf("%s: %+v is not %+v", name, e, f)
			}
			for _, x := range e.Evidences {
				ev, ok := c.Evidence[x.UID]
				if !ok || !slices.Contains(f.Events, x.UID) || x.Data.File != ev.File || x.Data.Line != ev.Line || x.Data.SHA256 != ev.SHA256 || x.Data.Operation != ev.Operation {
					t.Errorf("%s: evidence %+v is not %+v", name, x, ev)
				}
			}
		}
		for _, e := range events {
			for _, r := range e.FindingInfo.RelatedEvents {
				if !have[r.UID] {
					t.Errorf("%s: %s names %s, which is not there", name, e.Metadata.UID, r.UID)
				}
			}
		}
	}
}

// Certainties stand apart: each mailbox has its own, and counts are by certainty.
func TestOCSFCertaintiesStandApart(t *testing.T) {
	c := readCase(t, "case")
	k := c.Campaigns[0]
	var e struct {
		Resources []struct {
			Name, Type string
			Data       struct {
				Certainty casefile.Certainty
				Counts    casefile.Reach
			}
		}
		Unmapped struct {
			Reach    casefile.Reach
			Standing string
		}
	}
	if err := json.Unmarshal(ocsfLines(t, c, Options{})[0], &e); err != nil {
		t.Fatal(err)
	}
	if e.Unmapped.Reach != k.Reach || e.Unmapped.Standing != k.Standing {
		t.Errorf("reach is %+v, want %+v", e.Unmapped.Reach, k.Reach)
	}
	got := map[string]string{}
	for _, r := range e.Resources {
		if r.Type == "mailbox" {
			got[r.Name] = fmt.Sprint(r.Data.Certainty, r.Data.Counts)
		}
	}
	if len(got) != len(k.Mailboxes) {
		t.Errorf("%d mailboxes, want %d", len(got), len(k.Mailboxes))
	}
	for _, m := range k.Mailboxes {
		if want := fmt.Sprint(m.Certainty, m.Counts); got[m.UPN] != want {
			t.Errorf("%s is %q, want %q", m.UPN, got[m.UPN], want)
		}
	}
}

// Severity, confidence, status and times of a finding, by hand.
func TestOCSFSaysNoMoreThanTheCase(t *testing.T) {
	at := func(day int) casefile.Time { return casefile.TimeOf(time.Date(2024, 1, day, 0, 0, 0, 0, time.UTC)) }
	c := &casefile.Case{
		Case:      casefile.Summary{ID: "c", Last: at(9)},
		Findings:  []casefile.Finding{{ID: "f-1", Severity: casefile.Low, First: at(2), Last: at(3), Detected: at(4), EventCount: 300}, {ID: "f-2", Severity: casefile.High}, {ID: "f-3", Severity: casefile.Medium}},
		Campaigns: []casefile.Campaign{{ID: "k-1", Standing: "established", Findings: []string{"f-2"}, Severity: casefile.Critical, Reach: casefile.Reach{Mailboxes: casefile.PerCertainty{Possible: 3}}}, {ID: "k-2", Standing: "suspected", Findings: []string{"f-3"}}},
		Overrides: []casefile.Override{
			{Kind: casefile.OverrideSplit, Author: "a", Claimed: true, Findings: []string{"f-1"}, Reason: "why", Effect: "what", Applies: true},
			{Kind: casefile.OverrideSplit, Author: "b", Findings: []string{"f-2"}},
		},
	}
	events := ocsfEventsOf(t, c, Options{})
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s %s %s alert=%t breach=%t %q", e.Metadata.UID, e.Severity, e.Confidence, e.Status, e.IsAlert, e.IsSuspectedBreach, e.Metadata.CorrelationUID))
	}
	want := []string{
		`k-1 Critical High New alert=true breach=false "k-1"`,
		`k-2 Unknown Low New alert=false breach=false "k-2"`,
		`f-1 Low Unknown In Progress alert=false breach=false ""`,
		`f-2 High High New alert=true breach=false "k-1"`,
		`f-3 Medium Low New alert=true breach=false "k-2"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	f := events[2]
	if f.Comment != "split by a (nobody has checked the name): why [what]" || f.Time != at(3).UnixMilli() || *f.StartTime != at(2).UnixMilli() || f.FindingInfo.CreatedTime != at(9).UnixMilli() {
		t.Errorf("event is %+v", f)
	}
	if left := f.Unmapped.(map[string]any)["left_out"].(map[string]any)["evidences"]; left != 300.0 || !f.Metadata.IsTruncated {
		t.Errorf("left out: %v", f.Unmapped)
	}
	for _, s := range readCase(t, "case").Campaigns[0].Verdict {
		if s.Kind == casefile.Absence && strings.Contains(ocsfEventsOf(t, readCase(t, "case"), Options{})[0].FindingInfo.Desc, s.Text) {
			t.Errorf("an absence stands without its coverage: %q", s.Text)
		}
	}
}

// Long lists are cut at Options.Rows, and what is cut is counted.
func TestOCSFIsCut(t *testing.T) {
	lines := ocsfLines(t, readCase(t, "case"), Options{Rows: 2})
	var e ocsfEvent
	if err := json.Unmarshal(lines[0], &e); err != nil {
		t.Fatal(err)
	}
	whole := ocsfEventsOf(t, readCase(t, "case"), Options{})[0]
	left := e.Unmapped.(map[string]any)["left_out"].(map[string]any)
	for list, n := range map[string][2]int{
		"resources": {len(e.Resources), len(whole.Resources)}, "observables": {len(e.Observables), len(whole.Observables)},
		"related_events": {len(e.FindingInfo.RelatedEvents), len(whole.FindingInfo.RelatedEvents)},
	} {
		if list != "observables" && (n[0] != 2 || left[list] != float64(n[1]-2)) || n[0] != 2 || left[list] == nil {
			t.Errorf("%s: %d of %d, and %v are said to be left out", list, n[0], n[1], left[list])
		}
	}
	if !e.Metadata.IsTruncated || e.FindingInfo.RelatedEventsCount != len(whole.FindingInfo.RelatedEvents) {
		t.Errorf("event is %+v", e)
	}
	schema := schematest.OCSF(t, OCSFVersion)
	for _, l := range lines {
		if err := schema.Check(l); err != nil {
			t.Error(err)
		}
	}
}

// An application that acts is no user, however a log names it; and one that
// calls itself as an account is called does not become that account.
func TestOCSFActors(t *testing.T) {
	apps := ocsfApps{}
	apps.add("Legacy Mail", "A1", "S1")
	apps.add("ceo@x.example", "A2")
	for name, want := range map[string]string{
		"": "null", "a@x.example": `{"user":{"name":"a@x.example"}}`, "legacy mail": `{"app_name":"legacy mail"}`, "a1": `{"app_uid":"a1"}`, "S1": `{"app_uid":"S1"}`,
		"ServicePrincipal_s9": `{"app_uid":"s9"}`, "ceo@x.example": `{"user":{"name":"ceo@x.example"}}`, "serviceprincipal_": `{"user":{"name":"serviceprincipal_"}}`,
	} {
		if got, err := json.Marshal(apps.actor(name)); err != nil || string(got) != want {
			t.Errorf("%q: %s, want %s (%v)", name, got, want, err)
		}
	}
}

func TestOCSFHostile(t *testing.T) {
	hidden(t, "the events", render(t, OCSF{}, "ocsf.ndjson", hostileCase(), Options{}))
}
