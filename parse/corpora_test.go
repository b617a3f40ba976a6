package parse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// read does with one record what a reader of files does: take it out of its
// wrappers, ask the formats in order, parse. It returns the name of the format
// and its error; no name when no format knows the record.
func read(r *Record, s *Sink) (string, error) {
	Unwrap(r)
	for _, f := range Formats() {
		if !f.Sniff(r) {
			continue
		}
		s.Begin(r, f.Name())
		err := f.Parse(r, s)
		if errors.Is(err, ErrNotMine) {
			s.Abort()
			continue
		}
		if err != nil {
			s.Abort()
			return f.Name(), err
		}
		s.Finish()
		return f.Name(), nil
	}
	return "", errors.New("no format knows it")
}

// corpora returns the folder of records that are not part of the project.
func corpora(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("MIDWATCH_CORPORA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpora")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no corpora: %v; set MIDWATCH_CORPORA", err)
		}
		t.Skipf("no corpora, so nothing real was read: %v; set MIDWATCH_CORPORA", err)
	}
	return dir
}

// cutFile cuts a file into records: JSON values one after another, lists and
// the lists inside the usual envelopes taken apart.
func cutFile(t *testing.T, path string) []json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []json.RawMessage
	var add func(m json.RawMessage)
	add = func(m json.RawMessage) {
		if bytes.HasPrefix(bytes.TrimSpace(m), []byte("[")) {
			var list []json.RawMessage
			if err := json.Unmarshal(m, &list); err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				add(x)
			}
			return
		}
		var page map[string]json.RawMessage
		if json.Unmarshal(m, &page) == nil && len(page) <= 3 {
			for _, name := range []string{"records", "value", "items", "events"} {
				if list, ok := page[name]; ok && bytes.HasPrefix(bytes.TrimSpace(list), []byte("[")) {
					add(list)
					return
				}
			}
		}
		out = append(out, m)
	}
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	for d.More() {
		var m json.RawMessage
		if err := d.Decode(&m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		add(m)
	}
	return out
}

// expectedRejects lists, by a part of the file's path, the records that no
// format may accept, by reason and number.
func expectedRejects() map[string]map[string]int {
	const unknown = "no format knows it"
	return map[string]map[string]int{
		// Cut down to an address for a test of addresses: no operation.
		"o365/audit/test-bad-ips.json": {unknown: 1},
		// Derived fields without a record.
		"panther/gsuite.jsonl": {errRuleTest.Error(): 2},
		// The same, and {"eventType":"logout"}, which has nobody and no time.
		"panther/okta.jsonl": {errRuleTest.Error(): 2, unknown: 1},
	}
}

func TestCorpora(t *testing.T) {
	dir := corpora(t)
	var files []string
	for _, p := range []string{"elastic-integrations/*/*/*.log", "elastic-integrations/o365/audit/*.json", "otrf-goldensaml/*.json", "panther/*.jsonl"} {
		m, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m...)
	}
	files = slices.DeleteFunc(files, func(p string) bool { return strings.HasSuffix(p, "-expected.json") })
	sort.Strings(files)
	if len(files) < 50 {
		t.Fatalf("found %d files in %s", len(files), dir)
	}
	total, accepted := 0, 0
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		batch := &event.Batch{}
		s := NewSink(batch)
		var p fastjson.Parser
		r := &Record{FileName: filepath.Base(path)}
		by := map[string]int{}
		rejects := map[string]int{}
		for i, m := range cutFile(t, path) {
			v, err := p.ParseBytes(m)
			if err != nil {
				t.Fatalf("%s: record %d: %v", name, i, err)
			}
			r.Next()
			r.Raw, r.Value = m, v
			r.Pos.Line = int64(i + 1)
			total++
			before := len(batch.Events)
			format, err := read(r, s)
			if err != nil {
				rejects[err.Error()]++
				if testing.Verbose() {
					t.Logf("%s: record %d: %s: %v: %.300s", name, i, format, err, m)
				}
				continue
			}
			by[format]++
			accepted++
			if len(batch.Events) == before {
				t.Errorf("%s: record %d: %s accepted it and made no event", name, i, format)
			}
			for j := before; j < len(batch.Events); j++ {
				e := &batch.Events[j]
				checkEvent(t, fmt.Sprintf("%s: record %d", name, i), e)
			}
		}
		t.Logf("%-75s %v", name, by)
		want := map[string]int{}
		for part, m := range expectedRejects() {
			if strings.Contains(filepath.ToSlash(name), part) {
				for k, n := range m {
					want[k] = n
				}
			}
		}
		for reason, n := range rejects {
			if want[reason] != n {
				t.Errorf("%s: %d records rejected, want %d: %s", name, n, want[reason], reason)
			}
		}
		for reason, n := range want {
			if rejects[reason] != n {
				t.Errorf("%s: %d records rejected, want %d: %s", name, rejects[reason], n, reason)
			}
		}
	}
	t.Logf("%d of %d records accepted", accepted, total)
}

// checkEvent checks what must be true of any event.
func checkEvent(t *testing.T, where string, e *event.Event) {
	t.Helper()
	if e.ID == (event.ID{}) || e.Source == "" || e.Format == "" || e.Class == "" || e.Outcome == "" || e.ActorKind == "" {
		t.Errorf("%s: incomplete: %+v", where, e)
	}
	for name, x := range map[string]string{"detail": e.Detail, "record": e.Record} {
		if x != "" && !json.Valid([]byte(x)) {
			t.Errorf("%s: %s is not JSON: %s", where, name, x)
		}
	}
	if e.Time != 0 && (e.Time < 1e15 || e.Time > 2e15) {
		t.Errorf("%s: time %d is not of this century", where, e.Time)
	}
	if e.Country != "" && len(e.Country) != 2 {
		t.Errorf("%s: country %q", where, e.Country)
	}
}

// ecs looks up a path in Elastic's parse of a record; an empty string when it
// has none.
func ecs(v *fastjson.Value, path ...string) string {
	for _, p := range path {
		if v = v.Get(p); v == nil {
			return ""
		}
	}
	return string(text(v))
}

// knownDifference says why Elastic's value is not ours.
func knownDifference(what, theirs string) string {
	switch what + " " + theirs {
	case "operation modified-user-account", "operation added-group-account-to", "operation added-users-to-group":
		return "Elastic gives some operations names of its own"
	case "country NO":
		return "Elastic looks the address up; the record says GB"
	case "ip 10.90.0.1":
		return "the address is text in the record, made up for Elastic's test"
	case "ip 2a02:cf40:add:4002:91f2:a9b2:e09a:6fc6":
		return "a record of the unified audit log with two addresses, the back end's first"
	}
	return ""
}

// TestElastic compares a few fields with Elastic's parse of the same records.
// Where the two differ on purpose, knownDifference says why.
func TestElastic(t *testing.T) {
	dir := corpora(t)
	files, err := filepath.Glob(filepath.Join(dir, "elastic-integrations", "*", "*", "*-expected.json"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	compared := 0
	for _, path := range files {
		input := strings.TrimSuffix(path, "-expected.json")
		name, _ := filepath.Rel(dir, input)
		name = filepath.ToSlash(name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var ep, p fastjson.Parser
		doc, err := ep.ParseBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		want := doc.GetArray("expected")
		records := cutFile(t, input)
		if len(want) != len(records) {
			t.Logf("%s: %d records, %d in Elastic's parse", name, len(records), len(want))
			continue
		}
		r := &Record{FileName: filepath.Base(input)}
		for i, m := range records {
			batch := &event.Batch{}
			s := NewSink(batch)
			v, err := p.ParseBytes(m)
			if err != nil {
				t.Fatal(err)
			}
			r.Next()
			r.Raw, r.Value = m, v
			if _, err := read(r, s); err != nil || len(batch.Events) == 0 || want[i].Type() != fastjson.TypeObject {
				continue
			}
			e := &batch.Events[0]
			w := want[i]
			check := func(what, got, want string) {
				if want == "" || strings.EqualFold(got, want) {
					compared++
					return
				}
				if knownDifference(what, want) == "" {
					t.Errorf("%s: record %d: %s = %q, Elastic has %q", name, i, what, got, want)
				}
			}
			us, _, ok := Micros(text(w.Get("@timestamp")))
			if ok && e.Source != event.SignIn && e.Source != event.RiskEvents && us/1000 != e.Time/1000 {
				t.Errorf("%s: record %d: time = %d, Elastic has %d", name, i, e.Time, us)
			}
			for _, side := range []string{"source", "client"} {
				check("ip", e.IP, ecs(w, side, "ip"))
			}
			check("user agent", e.UserAgent, ecs(w, "user_agent", "original"))
			if e.Source != event.SignIn && e.Source != event.RiskEvents {
				check("operation", e.Operation, event.NormalizeOperation(ecs(w, "event", "action")))
			}
			switch e.Source {
			case event.SignIn:
				sp := w.Get("azure", "signinlogs", "properties")
				check("code", e.Code, ecs(sp, "status", "error_code"))
				check("app", e.AppID, ecs(sp, "app_id"))
				check("resource", e.ResourceID, ecs(sp, "resource_id"))
				check("actor", e.ActorID, ecs(sp, "user_id"))
				if sp.Get("user_principal_name") != nil {
					check("upn", e.Actor, ecs(sp, "user_principal_name"))
				}
				check("sp", e.SPID, ecs(sp, "service_principal_id"))
				check("key", e.KeyID, ecs(sp, "service_principal_credential_key_id"))
				check("id", e.NativeID, ecs(sp, "id"))
				check("tenant", e.Tenant, ecs(w, "azure", "tenant_id"))
				check("country", e.Country, ecs(w, "geo", "country_iso_code"))
			case event.DirectoryLog:
				ap := w.Get("azure", "auditlogs", "properties")
				check("id", e.NativeID, ecs(ap, "id"))
				check("outcome", string(e.Outcome), ecs(w, "event", "outcome"))
				check("target", e.TargetID, ecs(ap, "target_resources", "0", "id"))
				check("sp", e.SPID, ecs(ap, "initiated_by", "app", "servicePrincipalId"))
				check("tenant", e.Tenant, ecs(w, "azure", "tenant_id"))
			case event.Okta:
				check("id", e.NativeID, ecs(w, "okta", "uuid"))
				check("actor", e.Actor, ecs(w, "okta", "actor", "alternate_id"))
				check("session", e.SessionID, strings.TrimPrefix(ecs(w, "okta", "authentication_context", "external_session_id"), "unknown"))
				if o := ecs(w, "event", "outcome"); o != "unknown" {
					check("outcome", string(e.Outcome), o)
				}
			case event.Google:
				check("actor", e.Actor, ecs(w, "source", "user", "email"))
				check("workload", e.Workload, ecs(w, "event", "provider"))
				check("tenant", e.Tenant, ecs(w, "organization", "id"))
			case event.UAL:
				check("id", e.NativeID, ecs(w, "event", "id"))
				check("tenant", e.Tenant, ecs(w, "organization", "id"))
				check("workload", e.Workload, ecs(w, "event", "provider"))
			}
		}
	}
	t.Logf("%d values agree", compared)
}
