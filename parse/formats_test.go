package parse

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fastjson"

	"midwatch/event"
)

var update = flag.Bool("update", false, "write the golden files")

// parsed is what became of one record.
type parsed struct {
	format  string
	err     error
	events  []event.Event
	items   []event.Item
	windows []event.Window
}

// readAll reads a file of testdata: JSON lines, or a CSV with a header.
func readAll(t *testing.T, path string) []parsed {
	t.Helper()
	var records []json.RawMessage
	table := strings.HasSuffix(path, ".csv")
	if table {
		records = cutCSV(t, path)
	} else {
		records = cutFile(t, path)
	}
	var out []parsed
	var p fastjson.Parser
	for i, m := range records {
		batch := &event.Batch{}
		s := NewSink(batch)
		v, err := p.ParseBytes(m)
		if err != nil {
			t.Fatalf("%s: record %d: %v", path, i, err)
		}
		r := &Record{Raw: m, Value: v, Table: table, FileName: filepath.Base(path)}
		format, err := read(r, s)
		for j := range batch.Events {
			checkEvent(t, fmt.Sprintf("%s: record %d", path, i), &batch.Events[j])
		}
		out = append(out, parsed{format, err, batch.Events, batch.Items, batch.Windows})
	}
	return out
}

// cutCSV makes objects of the rows of a CSV as source does: a name that occurs
// twice gets a number.
func cutCSV(t *testing.T, path string) []json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	names := make([]string, len(rows[0]))
	for i, n := range rows[0] {
		names[i] = n
		if seen[n]++; seen[n] > 1 {
			names[i] = fmt.Sprintf("%s_%d", n, seen[n])
		}
	}
	var out []json.RawMessage
	for _, row := range rows[1:] {
		var o []byte
		for i, cell := range row {
			o = append(o, ",{"[btoi(i == 0)])
			o = appendJSONString(o, names[i])
			o = append(o, ':')
			o = appendJSONString(o, cell)
		}
		out = append(out, append(o, '}'))
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// columns gives the columns of an event that say something, as text.
func columns(e *event.Event) map[string]string {
	out := map[string]string{}
	v := reflect.ValueOf(*e)
	for i := range v.NumField() {
		name, x := v.Type().Field(i).Name, v.Field(i)
		switch name {
		case "ID", "Raw", "Record", "File", "Line", "Offset", "Length", "Format":
			continue
		case "Time":
			out[name] = time.UnixMicro(e.Time).UTC().Format(time.RFC3339Nano)
			continue
		case "Throttled":
			if e.Throttled != nil {
				out[name] = fmt.Sprint(*e.Throttled)
			}
			continue
		}
		if !x.IsZero() {
			out[name] = fmt.Sprint(x.Interface())
		}
	}
	return out
}

// TestGolden reads every file of testdata and compares with what was read when
// it was last looked at.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*")
	n := 0
	for _, path := range files {
		if ext := filepath.Ext(path); ext != ".jsonl" && ext != ".csv" {
			continue
		}
		n++
		t.Run(strings.TrimPrefix(filepath.ToSlash(path), "testdata/"), func(t *testing.T) {
			var b bytes.Buffer
			for i, p := range readAll(t, path) {
				if p.err != nil {
					fmt.Fprintf(&b, "%d %s rejected: %v\n", i, p.format, p.err)
					continue
				}
				for j := range p.events {
					fmt.Fprintf(&b, "%d %s\n", i, p.format)
					m := columns(&p.events[j])
					names := make([]string, 0, len(m))
					for name := range m {
						names = append(names, name)
					}
					sort.Strings(names)
					for _, name := range names {
						fmt.Fprintf(&b, "\t%s: %s\n", name, m[name])
					}
				}
				for _, w := range p.windows {
					fmt.Fprintf(&b, "%d %s\n\twindow: %+v\n", i, p.format, w)
				}
				for _, it := range p.items {
					fmt.Fprintf(&b, "\titem of %d: %s message=%q item=%q folder=%q subject=%q size=%d\n", it.Event, it.Kind, it.MessageID, it.ItemID, it.Folder, it.Subject, it.Size)
				}
			}
			golden := path + ".golden"
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("golden file differs (-want +got):\n%s", d)
			}
		})
	}
	if n < 15 {
		t.Fatalf("found %d files", n)
	}
}

// TestTraps checks one by one what the formats do on purpose. A value "-" means
// that the column must be empty; a value with "~" before it must be contained.
func TestTraps(t *testing.T) {
	for _, c := range []struct {
		what   string
		file   string
		record int // from 0
		event  int
		format string
		want   map[string]string
	}{
		// Sign-ins.
		{"Graph beta; token id decodes to the request id", "entra_signin/graph.jsonl", 0, 0, "entra_signin", map[string]string{
			"NativeID": "445945de-2d4f-4816-a71e-d3c0eff10500", "TokenID": "445945de-2d4f-4816-a71e-d3c0eff10500", "RequestID": "445945de-2d4f-4816-a71e-d3c0eff10500",
			"Workload": "interactive", "Actor": "ada@contoso.example", "Outcome": "success", "Code": "0", "Reason": "-", "Protocol": "devicecode", "Country": "NO",
			"ASN": "64500", "SessionID": "session-1", "DeviceID": "d1", "AppID": "9199bf20-a13f-4107-85dc-02114787ef48",
			"Detail": `~"incoming_token_type":"primaryRefreshToken","transfer_method":"deviceCodeFlow"`}},
		{"MFA by claim is told", "entra_signin/graph.jsonl", 0, 0, "entra_signin", map[string]string{
			"Detail": `~"auth_requirement":"multi","auth_methods":"Password, Mobile app notification (failed)","mfa":"MFA requirement satisfied by claim in the token","mfa_method":"Phone app notification"`}},
		{"guest: tenant is that of the resource; keep-me-signed-in interrupts", "entra_signin/graph.jsonl", 1, 0, "entra_signin", map[string]string{
			"Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "ActorKind": "guest", "Outcome": "interrupted", "Workload": "noninteractive",
			"Detail": `~"home_tenant":"22222222-aaaa-4bbb-8ccc-000000000002"`}},
		{"Graph v1.0; error code as text", "entra_signin/graph.jsonl", 2, 0, "entra_signin", map[string]string{
			"Outcome": "failure", "Code": "50126", "Reason": "Invalid username or password.", "IP": "2001:db8::1", "TokenID": "-", "Workload": "interactive"}},
		{"service principal; key id; base64 token id; createdDateTime before time", "entra_signin/azure_monitor.jsonl", 0, 0, "entra_signin", map[string]string{
			"Workload": "service_principal", "ActorKind": "app", "Actor": "legacy sync", "SPID": "6b6b6b6b-0000-4000-8000-000000000001", "KeyID": "bf0bc63d-243a-461a-a7d9-be10ea816f31",
			"TokenID": "45454545-0000-4000-8000-000000000004", "Time": "2024-01-12T08:18:00.123456Z", "Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Country": "SE", "IP": "198.51.100.8", "Outcome": "failure"}},
		{"managed identity; address empty, so the caller's", "entra_signin/azure_monitor.jsonl", 1, 0, "entra_signin", map[string]string{
			"Workload": "managed_identity", "ActorKind": "managed", "IP": "198.51.100.7"}},
		{"properties as text", "entra_signin/azure_monitor.jsonl", 2, 0, "entra_signin", map[string]string{
			"Workload": "noninteractive", "Actor": "bo@contoso.example", "NativeID": "45454545-0000-4000-8000-000000000006"}},
		{"PascalCase without properties; TenantId is the tenant there", "entra_signin/azure_monitor.jsonl", 3, 0, "entra_signin", map[string]string{
			"Workload": "service_principal", "Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Outcome": "success", "Time": "2024-01-12T08:21:00Z"}},
		{"AD FS", "entra_signin/azure_monitor.jsonl", 4, 0, "entra_signin", map[string]string{"Workload": "adfs"}},
		{"no createdDateTime: time of arrival", "entra_signin/azure_monitor.jsonl", 5, 0, "entra_signin", map[string]string{"Time": "2024-01-12T08:20:00.123456Z"}},
		{"duplicate members; category in another case", "entra_signin/azure_monitor.jsonl", 6, 0, "entra_signin", map[string]string{"Workload": "noninteractive", "Tenant": "11111111-aaaa-4bbb-8ccc-000000000001"}},
		{"Log Analytics: workspace is not the tenant, twin columns, text numbers", "entra_signin/log_analytics.jsonl", 0, 0, "entra_signin", map[string]string{
			"Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Outcome": "interrupted", "Code": "50074", "DeviceID": "d2", "ASN": "64501", "Country": "NO", "IP": "192.0.2.20",
			"ResourceID": "00000003-0000-0000-c000-000000000000", "Time": "2024-01-12T08:29:00.5Z", "Flags": "-", "Detail": `~"city":"Bergen"`}},
		{"Log Analytics projected to a few columns", "entra_signin/log_analytics.jsonl", 1, 0, "entra_signin", map[string]string{
			"Workload": "service_principal", "KeyID": "bf0bc63d-243a-461a-a7d9-be10ea816f31", "Tenant": "11111111-aaaa-4bbb-8ccc-000000000001"}},
		{"destroyed nested data are marked", "entra_signin/log_analytics.jsonl", 2, 0, "entra_signin", map[string]string{"Flags": fmt.Sprint(event.FlagDestroyed), "Code": "50074"}},
		{"portal CSV: the file's name decides", "entra_signin/NonInteractiveSignIns_2024.csv", 0, 0, "entra_signin", map[string]string{
			"Workload": "noninteractive", "AppID": "9199bf20-a13f-4107-85dc-02114787ef48", "ResourceID": "00000002-0000-0ff1-ce00-000000000000", "ASN": "64500", "Country": "NO",
			"Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "SessionID": "session-1", "Protocol": "device code", "Detail": `~"ip_resource":"192.0.2.11"`}},
		{"portal CSV: spreadsheet's quote before a token id", "entra_signin/InteractiveSignIns_2024.csv", 0, 0, "entra_signin", map[string]string{
			"Workload": "interactive", "TokenID": "445945fa-2d4f-4816-a71e-d3c0eff10500"}},
		{"portal CSV: Interrupted", "entra_signin/InteractiveSignIns_2024.csv", 1, 0, "entra_signin", map[string]string{"Outcome": "interrupted", "Country": "-"}},
		{"portal CSV: ambiguous date is marked", "entra_signin/InteractiveSignIns_2024.csv", 2, 0, "entra_signin", map[string]string{
			"Outcome": "failure", "Flags": fmt.Sprint(event.FlagAmbiguousDate), "Time": "2024-01-02T08:15:30Z"}},
		{"portal CSV under another name: kind unknown", "entra_signin/renamed.csv", 0, 0, "entra_signin", map[string]string{"Workload": "unknown"}},
		{"portal CSV in Spanish", "entra_signin/spanish.csv", 0, 0, "entra_signin", map[string]string{
			"Actor": "ada@contoso.example", "IP": "192.0.2.10", "SessionID": "session-1", "Code": "0", "Outcome": "success", "AppID": "9199bf20-a13f-4107-85dc-02114787ef48"}},
		{"portal CSV of service principals", "entra_signin/app_export.csv", 0, 0, "entra_signin", map[string]string{
			"Workload": "service_principal", "KeyID": "bf0bc63d-243a-461a-a7d9-be10ea816f31", "Actor": "legacy sync", "Country": "SE"}},
		{"portal CSV of managed identities", "entra_signin/app_export.csv", 1, 0, "entra_signin", map[string]string{"Workload": "managed_identity"}},

		// Directory audit.
		{"app role: the client is the target, the API the resource", "entra_audit/graph.jsonl", 0, 0, "entra_audit", map[string]string{
			"Class": "app_role_grant", "Permissions": "full_access_as_app", "Target": "Legacy Sync", "TargetID": "6b6b6b6b-0000-4000-8000-000000000001", "TargetKind": "service_principal",
			"ResourceID": "00000002-0000-0ff1-ce00-000000000000", "ResourceName": "Office 365 Exchange Online", "Detail": `~"app_id":"5a5a5a5a-0000-4000-8000-000000000001"`, "IP": "192.0.2.10"}},
		{"app role by id, client's name from the second target", "entra_audit/graph.jsonl", 1, 0, "entra_audit", map[string]string{
			"Permissions": "Mail.Read", "Target": "Legacy Sync", "ResourceID": "00000003-0000-0000-c000-000000000000", "ResourceName": "Microsoft Graph"}},
		{"delegated grant: what was added", "entra_audit/graph.jsonl", 2, 0, "entra_audit", map[string]string{
			"Class": "delegated_grant", "Permissions": "Mail.ReadWrite offline_access", "Target": "Legacy Sync", "Detail": `~"consent_type":"AllPrincipals"`}},
		{"consent text is not JSON", "entra_audit/graph.jsonl", 3, 0, "entra_audit", map[string]string{
			"Class": "consent", "Permissions": "Mail.Read User.Read EWS.AccessAsUser.All", "Target": "Legacy Sync", "ResourceID": "-", "Detail": `~"consent_admin":true,"consent_app_only":false,"consent_all":true,"consent_type":"AllPrincipals"`}},
		{"en dash and trailing blank; the new key of two; commas in its name", "entra_audit/graph.jsonl", 4, 0, "entra_audit", map[string]string{
			"Operation": "update application - certificates and secrets management", "Class": "credential_add", "KeyID": "d747da7e-e11b-4af2-aede-0487c44067af",
			"Detail": `~"key_type":"AsymmetricX509Cert","key_usage":"Verify","key_name":"CN=a, O=b [c]"`}},
		{"a key taken away is no credential added", "entra_audit/graph.jsonl", 5, 0, "entra_audit", map[string]string{"Class": "app_update", "KeyID": "-"}},
		{"permission request: values where known", "entra_audit/graph.jsonl", 6, 0, "entra_audit", map[string]string{
			"Class": "permission_request", "Permissions": "Mail.ReadWrite 12345678-0000-4000-8000-000000000000", "ResourceName": "Microsoft Graph", "Detail": `~"app_only":true`}},
		{"role", "entra_audit/graph.jsonl", 7, 0, "entra_audit", map[string]string{
			"Class": "role_add", "Target": "eve@contoso.example", "TargetKind": "user", "Detail": `~"role":"Global Administrator","role_template":"62e90394-69f5-4237-9190-012177145e10"`}},
		{"role by PIM: the member is the target", "entra_audit/graph.jsonl", 8, 0, "entra_audit", map[string]string{
			"Class": "role_add", "Target": "eve@contoso.example", "Detail": `~"role":"Exchange Administrator"`}},
		{"owner: the application is the target", "entra_audit/graph.jsonl", 9, 0, "entra_audit", map[string]string{
			"Class": "owner_add", "Target": "Legacy Sync", "TargetKind": "application", "Detail": `~"owner":"eve@contoso.example"`}},
		{"a new method of authentication", "entra_audit/graph.jsonl", 10, 0, "entra_audit", map[string]string{"Class": "auth_method"}},
		{"clock drift is no new method", "entra_audit/graph.jsonl", 11, 0, "entra_audit", map[string]string{"Class": "user_update"}},
		{"an application acts", "entra_audit/graph.jsonl", 12, 0, "entra_audit", map[string]string{
			"ActorKind": "app", "Actor": "provisioner", "SPID": "6b6b6b6b-0000-4000-8000-000000000009", "KeyID": "aaaaaaaa-1111-4000-8000-000000000001"}},
		{"failure; linkable identifiers", "entra_audit/graph.jsonl", 13, 0, "entra_audit", map[string]string{
			"Outcome": "failure", "Reason": "Policy", "SessionID": "session-1", "TokenID": "445945de-2d4f-4816-a71e-d3c0eff10500", "TargetKind": "user", "IP": "-"}},
		{"Azure Monitor: tenant of the envelope, properties' own time", "entra_audit/azure_monitor.jsonl", 0, 0, "entra_audit", map[string]string{
			"Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "IP": "192.0.2.10", "Time": "2024-01-10T10:01:00.123456Z", "Class": "app_role_grant"}},
		{"Azure Monitor: properties as text, caller's address", "entra_audit/azure_monitor.jsonl", 1, 0, "entra_audit", map[string]string{"IP": "192.0.2.77", "ActorKind": "app"}},
		{"Log Analytics: nested columns as text", "entra_audit/log_analytics.jsonl", 0, 0, "entra_audit", map[string]string{
			"Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Class": "credential_add", "KeyID": "d747da7e-e11b-4af2-aede-0487c44067af", "UserAgent": "PowerShell/7", "Time": "2024-01-10T10:05:00.123Z"}},
		{"Log Analytics: destroyed", "entra_audit/log_analytics.jsonl", 1, 0, "entra_audit", map[string]string{"Flags": fmt.Sprint(event.FlagDestroyed)}},
		{"portal CSV: columns for targets and properties", "entra_audit/portal.csv", 0, 0, "entra_audit", map[string]string{
			"Class": "delegated_grant", "Permissions": "Mail.Read", "Target": "Legacy Sync", "ResourceName": "Microsoft Graph", "UserAgent": "PowerShell/7", "NativeID": "-"}},

		// Graph activity.
		{"a message read by an application", "graph_activity/azure_monitor.jsonl", 0, 0, "graph_activity", map[string]string{
			"Class": "mail_access", "Access": "bind", "Mailbox": "bo@contoso.example", "MailboxID": "-", "ActorKind": "app", "Permissions": "Mail.Read User.Read.All", "Country": "-",
			"TokenID": "445945de-2d4f-4816-a71e-d3c0eff10500", "Operation": "get /users/{id}/messages/{id}", "Target": "~select=subject&$top=10", "Detail": `~"client_auth":"secret"`}},
		{"an attachment; doubled slash", "graph_activity/azure_monitor.jsonl", 1, 0, "graph_activity", map[string]string{
			"Class": "attachment_access", "Mailbox": "aaaaaaaa-0000-4000-8000-000000000001", "SessionID": "session-1", "ActorKind": "user", "Detail": `~"folder":"inbox"`}},
		{"a search has no ids", "graph_activity/azure_monitor.jsonl", 2, 0, "graph_activity", map[string]string{
			"Class": "mail_access", "Access": "-", "ItemCount": "-", "Detail": `~"search":"\"merger draft\"","top":"25","skip":"50"`}},
		{"refused: no mail access", "graph_activity/azure_monitor.jsonl", 3, 0, "graph_activity", map[string]string{
			"Class": "graph_request", "Outcome": "failure", "Code": "403", "MailboxID": "aaaaaaaa-0000-4000-8000-000000000002"}},
		{"key segments", "graph_activity/azure_monitor.jsonl", 4, 0, "graph_activity", map[string]string{
			"Class": "mail_access", "MailboxID": "aaaaaaaa-0000-4000-8000-000000000002", "Detail": `~"folder":"Inbox"`}},
		{"a batch says nothing of its parts", "graph_activity/azure_monitor.jsonl", 5, 0, "graph_activity", map[string]string{"Class": "graph_request", "Operation": "post /$batch", "Mailbox": "-"}},
		{"chat messages are not mail", "graph_activity/azure_monitor.jsonl", 6, 0, "graph_activity", map[string]string{"Class": "graph_request", "Mailbox": "-"}},
		{"a rule", "graph_activity/azure_monitor.jsonl", 7, 0, "graph_activity", map[string]string{"Class": "inbox_rule"}},
		{"mail sent", "graph_activity/azure_monitor.jsonl", 8, 0, "graph_activity", map[string]string{"Class": "mail_send"}},
		{"a count shows no mail", "graph_activity/azure_monitor.jsonl", 9, 0, "graph_activity", map[string]string{"Class": "graph_request"}},
		{"table: workspace is not the tenant", "graph_activity/log_analytics.jsonl", 0, 0, "graph_activity", map[string]string{
			"Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Class": "mail_access", "Permissions": "Mail.Read"}},

		// Message trace.
		{"a row for each recipient; zoneless time", "message_trace/api.jsonl", 0, 0, "message_trace", map[string]string{
			"NativeID": "dededede-0000-4000-8000-000000000001|ada@contoso.example", "MessageID": "m1@contoso.example", "Time": "2024-01-05T14:54:36.361684Z", "IP": "203.0.113.5", "Outcome": "success", "Detail": `~"size":115649`}},
		{"id without angles; /Date()/; spam", "message_trace/api.jsonl", 1, 0, "message_trace", map[string]string{
			"MessageID": "m1@contoso.example", "Time": "2024-01-05T14:54:36.361Z", "Outcome": "failure"}},
		{"portal's report: an event for each recipient, same id as the API's", "message_trace/portal.csv", 0, 0, "message_trace", map[string]string{
			"NativeID": "dededede-0000-4000-8000-000000000001|ada@contoso.example", "Outcome": "success", "Recipients": "ada@contoso.example"}},
		{"second recipient failed", "message_trace/portal.csv", 0, 1, "message_trace", map[string]string{"Recipients": "bo@contoso.example", "Outcome": "failure", "Code": "Receive, Expand, Fail"}},
		{"extended report: steps are told apart", "message_trace/extended.csv", 1, 0, "message_trace", map[string]string{"Operation": "deliver", "NativeID": "~|deliver|storedriver|2024-01-05t14:54:38z"}},

		// Okta.
		{"failure; user before application", "okta/system.jsonl", 0, 0, "okta", map[string]string{
			"Class": "sign_in", "Outcome": "failure", "Code": "INVALID_CREDENTIALS", "Target": "bo@contoso.example", "AppID": "0oa1", "ASN": "64503", "ASOrg": "Example Net", "SessionID": "102abc", "Detail": `~"proxy":true`}},
		{"Sentinel: flattened, null as text", "okta/system.jsonl", 1, 0, "okta", map[string]string{
			"Class": "role_add", "Actor": "ada@contoso.example", "Reason": "-", "Target": "bo@contoso.example", "NativeID": "efefefef-0000-4000-8000-000000000002", "Time": "2024-01-08T10:01:00Z"}},
		{"system actor without client", "okta/system.jsonl", 2, 0, "okta", map[string]string{"ActorKind": "service", "IP": "-", "Class": "group_add"}},
		{"lower case", "okta/system.jsonl", 3, 0, "okta", map[string]string{"SessionID": "102abc", "Class": "sign_in"}},

		// Google.
		{"one activity, first event", "google/activities.jsonl", 0, 0, "google", map[string]string{
			"NativeID": "2024-01-07T11:24:59.810Z|-6709442587437772138|token#0", "Class": "consent", "Permissions": "https://mail.google.com/ openid", "AppID": "123.apps.googleusercontent.com", "Country": "NO", "ASN": "64504", "Tenant": "c01example"}},
		{"second event", "google/activities.jsonl", 0, 1, "google", map[string]string{"NativeID": "~|token#1", "Operation": "activity"}},
		{"Beats: events is an object; a qualifier beyond 2^53", "google/activities.jsonl", 1, 0, "google", map[string]string{
			"NativeID": "2024-01-07T11:25:00Z|9007199254740995|login", "Outcome": "failure", "Code": "login_failure_invalid_password", "Class": "sign_in"}},
		{"lifted event, parameters as an object", "google/activities.jsonl", 2, 0, "google", map[string]string{"Class": "forwarding", "Recipients": "drop@elsewhere.example"}},
		{"Sentinel: flattened", "google/activities.jsonl", 3, 0, "google", map[string]string{"Class": "file_access", "Target": "plan.docx", "Actor": "ada@contoso.example", "IP": "192.0.2.40"}},

		// OfficeActivity.
		{"the log's own id and tenant; renamed and doubled columns", "office_activity/table.jsonl", 0, 0, "office_activity", map[string]string{
			"Source": "ual", "NativeID": "fafafafa-0000-4000-8000-000000000001", "Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Actor": "ada@contoso.example", "IP": "192.0.2.50",
			"LogonType": "owner", "Access": "bind", "Throttled": "false", "Time": "2024-01-06T09:00:00Z"}},
		{"exported without a time", "office_activity/table.jsonl", 1, 0, "office_activity", map[string]string{
			"Class": "inbox_rule", "IP": "192.0.2.50", "Flags": fmt.Sprint(event.FlagTimeMissing)}},

		// Defender.
		{"device row", "defender/rows.jsonl", 0, 0, "defender", map[string]string{"NativeID": "d1|ws1|2024-01-05t08:00:00.1234567z|7", "Class": "other"}},
		{"cloud app row without the audit record", "defender/rows.jsonl", 1, 0, "defender", map[string]string{"Class": "delegated_grant", "Country": "NO", "ASOrg": "Example Net"}},
		{"destroyed audit record", "defender/rows.jsonl", 2, 0, "defender", map[string]string{"Class": "mail_access", "Flags": fmt.Sprint(event.FlagDestroyed)}},
		{"mail row", "defender/rows.jsonl", 3, 0, "defender", map[string]string{"Class": "message_trace", "MessageID": "m1@contoso.example", "Recipients": "ada@contoso.example"}},
		{"streamed alert", "defender/rows.jsonl", 4, 0, "defender", map[string]string{"Class": "alert", "NativeID": "da1"}},
		{"Graph alert: who and whence from its evidence", "defender/rows.jsonl", 5, 0, "defender", map[string]string{"Class": "alert", "Actor": "ada@contoso.example", "IP": "203.0.113.9", "Time": "2024-01-05T08:05:30Z"}},

		// Risk.
		{"detection", "entra_risk/risk.jsonl", 0, 0, "entra_risk", map[string]string{
			"Class": "alert", "Operation": "passwordspray", "Time": "2024-01-04T12:53:53.895Z", "RequestID": "445945de-2d4f-4816-a71e-d3c0eff10500", "UserAgent": "Mozilla/5.0"}},
		{"risky user: each change is an event", "entra_risk/risk.jsonl", 1, 0, "entra_risk", map[string]string{
			"NativeID": "aaaaaaaa-0000-4000-8000-000000000001|1704391912702000", "ActorID": "aaaaaaaa-0000-4000-8000-000000000001"}},
		{"Graph riskDetection", "entra_risk/risk.jsonl", 2, 0, "entra_risk", map[string]string{"Operation": "unfamiliarfeatures", "IP": "203.0.113.10"}},

		// Azure Monitor.
		{"activity log: claims", "azure_monitor/activity.jsonl", 0, 0, "azure_monitor", map[string]string{
			"Class": "role_add", "Actor": "ada@contoso.example", "TokenID": "445945de-2d4f-4816-a71e-d3c0eff10500", "NativeID": "ed1", "Tenant": "11111111-aaaa-4bbb-8ccc-000000000001", "Detail": `~"role":"Owner"`}},
		{"activity table: workspace is not the tenant", "azure_monitor/activity.jsonl", 1, 0, "azure_monitor", map[string]string{"Outcome": "failure", "Actor": "bo@contoso.example", "Tenant": "-", "Class": "admin"}},
		{"Intune's AuditLogs are not Entra's", "azure_monitor/activity.jsonl", 2, 0, "azure_monitor", map[string]string{"Actor": "ada@contoso.example", "NativeID": "ed3"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			all := readAll(t, filepath.Join("testdata", filepath.FromSlash(c.file)))
			p := all[c.record]
			if p.err != nil {
				t.Fatalf("rejected by %q: %v", p.format, p.err)
			}
			if p.format != c.format {
				t.Fatalf("format %s, want %s", p.format, c.format)
			}
			got := columns(&p.events[c.event])
			for name, want := range c.want {
				x := got[name]
				switch sub, contains := strings.CutPrefix(want, "~"); {
				case want == "-":
					if x != "" {
						t.Errorf("%s = %q, want nothing", name, x)
					}
				case contains:
					if !strings.Contains(x, sub) {
						t.Errorf("%s = %q, want it to contain %q", name, x, sub)
					}
				case x != want:
					t.Errorf("%s = %q, want %q", name, x, want)
				}
			}
		})
	}
}

// TestUnwrap checks that all wrappers lead to the same event, with the inner
// record as its JSON.
func TestUnwrap(t *testing.T) {
	all := readAll(t, "testdata/unwrap/wrapped.jsonl")
	for i, p := range all {
		if p.err != nil {
			t.Errorf("record %d: %s: %v", i, p.format, p.err)
			continue
		}
		e := &p.events[0]
		if strings.Contains(e.Record, `"original"`) || e.Record == "" {
			t.Errorf("record %d: Record is not the inner record: %.100s", i, e.Record)
		}
		switch {
		case i < 13, i >= 15: // the last as Defender streams them
			if p.format != "ual" || e.NativeID != "fafafafa-0000-4000-8000-000000000003" || e.ID != all[0].events[0].ID {
				t.Errorf("record %d: %s %s", i, p.format, e.NativeID)
			}
		case i == 13:
			if p.format != "entra_signin" {
				t.Errorf("record %d: %s", i, p.format)
			}
		}
	}
}

// TestItems checks the items of Graph requests.
func TestItems(t *testing.T) {
	all := readAll(t, "testdata/graph_activity/azure_monitor.jsonl")
	got := map[int]string{}
	for i, p := range all {
		for _, it := range p.items {
			got[i] += fmt.Sprintf("%s %s;", it.Kind, it.ItemID)
		}
	}
	want := map[int]string{0: "message AAMkAGI=;", 1: "message AAMk1;attachment AAMkAtt;", 4: "message AAMk3;"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRefused checks that each record is refused for its own reason.
func TestRefused(t *testing.T) {
	want := []error{errContentList, errCounts, errCounts, errRuleTest, errRules, errODataPage, errSystemObj}
	all := append(readAll(t, "testdata/refused/refused.jsonl"), readAll(t, "testdata/refused/audit_data_only.csv")...)
	if len(all) != len(want) {
		t.Fatalf("%d records", len(all))
	}
	for i, p := range all {
		if p.format != "refused" || p.err != want[i] {
			t.Errorf("record %d: %s: %v, want %v", i, p.format, p.err, want[i])
		}
	}
}

// TestFormatNames checks the contract between a format's name and its folder.
func TestFormatNames(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Formats() {
		if f.Name() == "" || f.Doc() == "" || seen[f.Name()] {
			t.Errorf("format %q", f.Name())
		}
		seen[f.Name()] = true
	}
}

// TestNotMine checks that no format takes another's records when it is asked
// first, as happens when a stream mixes logs.
func TestNotMine(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.jsonl")
	var p fastjson.Parser
	for _, path := range files {
		owner := filepath.Base(filepath.Dir(path))
		for i, m := range cutFile(t, path) {
			for _, f := range Formats() {
				v, err := p.ParseBytes(m)
				if err != nil {
					t.Fatal(err)
				}
				r := &Record{Raw: m, Value: v}
				s := NewSink(&event.Batch{})
				Unwrap(r)
				s.Begin(r, f.Name())
				err = f.Parse(r, s)
				if err == nil && f.Name() != owner && owner != "unwrap" && owner != "refused" {
					t.Errorf("%s: record %d: %s took it", path, i, f.Name())
				}
			}
		}
	}
}

// BenchmarkSignIn reads the sign-ins of testdata from parsed JSON on.
func BenchmarkSignIn(b *testing.B) {
	raw, err := os.ReadFile("testdata/entra_signin/graph.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	var p fastjson.Parser
	batch := &event.Batch{}
	s := NewSink(batch)
	r := &Record{}
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			batch.Reset()
		}
		v, err := p.ParseBytes(line)
		if err != nil {
			b.Fatal(err)
		}
		r.Next()
		r.Raw, r.Value = line, v
		Unwrap(r)
		s.Begin(r, "entra_signin")
		if err := (SignIn{}).Parse(r, s); err != nil {
			b.Fatal(err)
		}
		s.Finish()
	}
}
