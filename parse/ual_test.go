package parse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// one parses one record of the audit log. Synthetic throughout.
func ualOne(t *testing.T, text string, table bool) (event.Event, []event.Item, error) {
	t.Helper()
	v, err := fastjson.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	b := &event.Batch{}
	s := NewSink(b)
	r := &Record{Raw: []byte(text), Value: v, Table: table}
	s.Begin(r, "ual")
	if err := (UAL{}).Parse(r, s); err != nil {
		return event.Event{}, nil, err
	}
	s.Finish()
	return b.Events[0], b.Items, nil
}

const head = `"Id":"6D1F0B52-0000-4000-8000-0000000000AA","CreationTime":"2023-12-06T10:11:12","OrganizationId":"0D1F0B52-0000-4000-8000-0000000000BB","RecordType":50,"Workload":"Exchange","UserId":"Ines@Fabrikam.example","UserType":0`

func quoteJSON(s string) string { return string(appendJSONString(nil, s)) }

// The same record in every container gives the same event.
func TestUALContainers(t *testing.T) {
	inner := `{` + head + `,"Operation":"MailItemsAccessed","MailboxOwnerUPN":"ines@fabrikam.example","ClientIPAddress":"192.0.2.7:443","OperationCount":1,"Folders":[{"Path":"\\Inbox","FolderItems":[{"InternetMessageId":"<a@x.example>"}]}],"OperationProperties":[{"Name":"MailAccessType","Value":"Bind"}]}`
	want, _, err := ualOne(t, inner, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"portal CSV":       `{"RecordId":"x","CreationDate":"12/6/2023 10:11:12 AM","RecordType":"50","Operation":"MailItemsAccessed","UserId":"x","AuditData":` + quoteJSON(inner) + `}`,
		"cmdlet CSV":       `{"RecordType":"ExchangeItemAggregated","UserIds":"x","Operations":"MailItemsAccessed","AuditData":` + quoteJSON(inner) + `,"ResultIndex":"1"}`,
		"AuditData object": `{"RecordType":"ExchangeItemAggregated","AuditData":` + inner + `}`,
		"Graph query":      `{"id":"x","auditLogRecordType":"exchangeItemAggregated","auditData":` + inner + `}`,
		"Graph query text": `{"id":"x","auditData":` + quoteJSON(inner) + `}`,
	} {
		got, items, err := ualOne(t, text, strings.Contains(name, "CSV"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.ID != want.ID || got.Time != want.Time || got.Mailbox != want.Mailbox || got.IP != "192.0.2.7" || len(items) != 1 || items[0].MessageID != "a@x.example" {
			t.Errorf("%s: got %+v", name, got)
		}
		if strings.Contains(name, "CSV") && got.Record != inner {
			t.Errorf("%s: the JSON for questions is %q", name, got.Record)
		}
	}
}

func TestUALRejects(t *testing.T) {
	for text, want := range map[string]string{
		`{"AuditData":""}`:                "AuditData is empty",
		`{"AuditData":null}`:              "AuditData is empty",
		`{"AuditData":"System.Object[]"}`: "destroyed by its exporter",
		`{"AuditData":"hello"}`:           "not JSON",
	} {
		if _, _, err := ualOne(t, text, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, _, err := ualOne(t, `{"a":1}`, false); err != ErrNotMine {
		t.Errorf("another record: %v", err)
	}
}

// A cell that a spreadsheet cut keeps its leading fields and says so.
func TestUALTruncated(t *testing.T) {
	inner := `{` + head + `,"Operation":"MailItemsAccessed","MailboxOwnerUPN":"ines@fabrikam.example","OperationProperties":[{"Name":"MailAccessType","Value":"Bind"}],"OperationCount":3,"Folders":[{"Path":"\\Inbox","FolderItems":[{"InternetMessageId":"<a@x.example>"},{"InternetMessageId":"<b@x.example>"},{"InternetMess`
	e, items, err := ualOne(t, `{"AuditData":`+quoteJSON(inner)+`}`, true)
	if err != nil {
		t.Fatal(err)
	}
	if e.Flags&event.FlagTruncated == 0 || e.ItemCount != 3 || len(items) != 2 || e.Mailbox != "ines@fabrikam.example" {
		t.Errorf("flags %b, count %d, items %+v", e.Flags, e.ItemCount, items)
	}
}

func TestUALMailAccess(t *testing.T) {
	sync := `{` + head + `,"Operation":"MailItemsAccessed","MailboxOwnerUPN":"ines@fabrikam.example","ClientIP":"192.0.2.7","Item":{"Id":"i","ParentFolder":{"Id":"f","Name":"Inbox","Path":"Not Available"}},"OperationProperties":[{"Name":"MailAccessType","Value":"Sync"},{"Name":"IsThrottled","Value":"True"}]}`
	e, items, err := ualOne(t, sync, false)
	if err != nil {
		t.Fatal(err)
	}
	if e.Access != event.Sync || e.Throttled == nil || !*e.Throttled || len(items) != 1 || items[0].Kind != event.ItemFolder || items[0].Folder != "Inbox" {
		t.Errorf("sync: %+v %+v", e, items)
	}
	for name, c := range map[string]struct {
		props, folders string
		access         event.Access
		items          int
		flag           event.Flag
	}{
		"properties as text":    {`"[{\"Name\":\"MailAccessType\",\"Value\":\"Bind\"}]"`, `"[{\"Path\":\"\\\\Inbox\",\"FolderItems\":[{\"InternetMessageId\":\"<a@x>\"}]}]"`, event.Bind, 1, 0},
		"destroyed by depth":    {`["@{Value=Bind; Name=MailAccessType}"]`, `["@{Id=L; Path=\\Inbox; FolderItems=System.Object[]}"]`, event.Bind, 0, event.FlagDestroyed},
		"items destroyed":       {`[{"Name":"MailAccessType","Value":"Bind"}]`, `[{"Path":"\\Inbox","FolderItems":"System.Object[]"}]`, event.Bind, 0, event.FlagDestroyed},
		"null item":             {`[{"Name":"MailAccessType","Value":"Sync"}]`, `[{"Path":"\\Inbox","FolderItems":[null]}]`, event.Sync, 0, 0},
		"no folders":            {`[{"Name":"MailAccessType","Value":"Sync"}]`, `null`, event.Sync, 0, 0},
		"entry without a value": {`[{"Name":"RuleName"},{"Name":"MailAccessType","Value":"Bind"}]`, `[]`, event.Bind, 0, 0},
	} {
		e, items, err := ualOne(t, `{`+head+`,"Operation":"MailItemsAccessed","OperationCount":"7","OperationProperties":`+c.props+`,"Folders":`+c.folders+`}`, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		messages := 0
		for _, it := range items {
			if it.Kind == event.ItemMessage {
				messages++
			}
		}
		if e.Access != c.access || messages != c.items || e.Flags&event.FlagDestroyed != c.flag || e.ItemCount != 7 {
			t.Errorf("%s: access %q, %d messages, flags %b, count %d", name, e.Access, messages, e.Flags, e.ItemCount)
		}
		if e.Throttled != nil {
			t.Errorf("%s: absent IsThrottled became %v", name, *e.Throttled)
		}
	}
}

// The client application is ClientAppId; AppId is the resource in old records
// and the client in new ones.
func TestUALApplication(t *testing.T) {
	for name, c := range map[string]struct{ fields, app, resource, token, session string }{
		"2021":  {`"AppId":"00000003-0000-0000-c000-000000000000","ClientAppId":"11111111-0000-4000-8000-000000000001"`, "11111111-0000-4000-8000-000000000001", "00000003-0000-0000-c000-000000000000", "", ""},
		"2024":  {`"AppId":"11111111-0000-4000-8000-000000000001"`, "11111111-0000-4000-8000-000000000001", "", "", ""},
		"2025":  {`"AppAccessContext":{"AADSessionId":"S","APIId":"00000003-0000-0000-c000-000000000000","ClientAppId":"11111111-0000-4000-8000-000000000001","UniqueTokenId":"3kVZRE8tFkinHtPA7_EFAA"}`, "11111111-0000-4000-8000-000000000001", "00000003-0000-0000-c000-000000000000", "445945de-2d4f-4816-a71e-d3c0eff10500", "S"},
		"EWS":   {`"ClientInfoString":"Client=WebServices;ExchangeWebServices/15.20 (x)[AppId=22222222-0000-4000-8000-000000000002];"`, "22222222-0000-4000-8000-000000000002", "", "", ""},
		"empty": {`"AppAccessContext":{"APIId":""},"AppId":"","ClientAppId":null`, "", "", "", ""},
	} {
		e, _, err := ualOne(t, `{`+head+`,"Operation":"MailItemsAccessed","MailboxOwnerUPN":"a@x.example",`+c.fields+`}`, false)
		if err != nil {
			t.Fatal(err)
		}
		if e.AppID != c.app || e.ResourceID != c.resource || e.TokenID != c.token || e.SessionID != c.session {
			t.Errorf("%s: app %q resource %q token %q session %q", name, e.AppID, e.ResourceID, e.TokenID, e.SessionID)
		}
	}
}

func TestUALLogon(t *testing.T) {
	e, _, err := ualOne(t, `{`+head+`,"Operation":"UserLoginFailed","ResultStatus":"Success","ErrorNumber":"50126","LogonError":"InvalidUserNameOrPassword","ActorIpAddress":"[2001:db8::7]:52903","ClientIP":"","ExtendedProperties":[{"Name":"UserAgent","Value":"BAV2ROPC"},{"Name":"RequestType","Value":"OAuth2:Token"}],"DeviceProperties":[{"Name":"SessionId","Value":"S"}],"Target":[{"ID":"00000002-0000-0ff1-ce00-000000000000","Type":0}]}`, false)
	if err != nil {
		t.Fatal(err)
	}
	if e.Outcome != event.Failure || e.Code != "50126" || e.IP != "2001:db8::7" || e.UserAgent != "BAV2ROPC" || e.SessionID != "S" || e.RequestID != e.NativeID || e.Class != event.ClassSignIn {
		t.Errorf("%+v", e)
	}
	e, _, _ = ualOne(t, `{`+head+`,"Operation":"UserLoggedIn","ResultStatus":"Success","ErrorNumber":"50140"}`, false)
	if e.Outcome != event.Interrupted {
		t.Errorf("keep me signed in: %s", e.Outcome)
	}
}

func TestUALRules(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		class   event.Class
		detail  string
		mailbox string
	}{
		"inbox rule":           {`"Operation":"New-InboxRule","ObjectId":"ines@fabrikam.example\\hide","Parameters":[{"Name":"ForwardTo","Value":"x@evil.example;y@evil.example"},{"Name":"DeleteMessage","Value":"True"}]`, event.ClassInboxRule, `"forward":["x@evil.example","y@evil.example"]`, "ines@fabrikam.example"},
		"parameters in a line": {`"Operation":"Set-Mailbox","Parameters":"-Identity \"ines@fabrikam.example\" -ForwardingSmtpAddress \"smtp:Out@evil.example\" -DeliverToMailboxAndForward"`, event.ClassForwarding, `"forward":["out@evil.example"]`, "ines@fabrikam.example"},
		"audit off":            {`"Operation":"Set-Mailbox","Parameters":[{"Name":"AuditEnabled","Value":"False"}]`, event.ClassAuditChange, `"AuditEnabled":"False"`, ""},
		"plain Set-Mailbox":    {`"Operation":"Set-Mailbox","Parameters":[{"Name":"Force","Value":"True"}]`, event.ClassAdmin, `"Force":"True"`, ""},
		"folder permission":    {`"Operation":"ModifyFolderPermissions","RecordType":2,"MailboxOwnerUPN":"ines@fabrikam.example","Item":{"ParentFolder":{"MemberRights":"ReadAny, Visible","MemberUpn":"Anonymous","Path":"\\Inbox"}}`, event.ClassMailboxPermission, `"folder":"\\Inbox"`, "ines@fabrikam.example"},
		"Outlook's rule":       {`"Operation":"UpdateInboxRules","MailboxOwnerUPN":"ines@fabrikam.example","OperationProperties":[{"Name":"RuleName"},{"Name":"RuleActions","Value":"[{\"ActionType\":\"Forward\",\"Recipients\":[\"X@evil.example\"]}]"}]`, event.ClassInboxRule, `"forward":["x@evil.example"]`, "ines@fabrikam.example"},
	} {
		e, _, err := ualOne(t, `{`+head+`,`+c.text+`}`, false)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e.Class != c.class || !strings.Contains(e.Detail, c.detail) || e.Mailbox != c.mailbox {
			t.Errorf("%s: %s %s mailbox %q", name, e.Class, e.Detail, e.Mailbox)
		}
		if err := fastjson.Validate(e.Detail); err != nil {
			t.Errorf("%s: detail is not JSON: %v", name, err)
		}
	}
}

func TestUALDirectory(t *testing.T) {
	e, _, err := ualOne(t, `{`+strings.Replace(head, `"UserType":0`, `"UserType":4`, 1)+`,"Operation":"Update application – Certificates and secrets management ","Actor":[{"ID":"ServicePrincipal_33333333-0000-4000-8000-000000000003","Type":2}],"Target":[{"ID":"Application_44444444-0000-4000-8000-000000000004","Type":2},{"ID":"Legacy Mail Test App","Type":1}],"ModifiedProperties":[{"Name":"KeyDescription","OldValue":"[]","NewValue":"[\r\n  \"[KeyIdentifier=bf0bc63d-243a-461a-a7d9-be10ea816f31,KeyType=Password,KeyUsage=Verify,DisplayName=x]\"\r\n]"}]}`, false)
	if err != nil {
		t.Fatal(err)
	}
	if e.Operation != "update application - certificates and secrets management" || e.Class != event.ClassCredentialAdd || e.KeyID != "bf0bc63d-243a-461a-a7d9-be10ea816f31" || e.Target != "Legacy Mail Test App" || e.ActorKind != event.ActorApp || e.IP != "" {
		t.Errorf("%+v", e)
	}
}

func TestMicros(t *testing.T) {
	const want = 1621372413_000000 // 2021-05-18T21:13:33Z
	for _, s := range []string{
		"2021-05-18T21:13:33", "2021-05-18T21:13:33Z", "2021-05-18T21:13:33.0000000Z", " 2021-05-18T21:13:33.0000000Z ", "2021-05-18 21:13:33",
		"2021-05-18T23:13:33+02:00", "2021-05-18T23:13:33.000000000+02:00", "5/18/2021 9:13:33 PM", "05/18/2021 21:13:33", "18/05/2021 21:13:33",
		"5/18/2021, 9:13:33.000 PM", "5/18/2021 11:13:33 PM +02:00", "/Date(1621372413000)/", "/Date(1621372413000+0000)/", "1621372413", "1621372413000", "18.05.2021 21:13:33",
	} {
		if got, _, ok := Micros([]byte(s)); !ok || got != want {
			t.Errorf("%q: got %d %v, want %d", s, got, ok, want)
		}
	}
	if got, _, _ := Micros([]byte("2021-05-18T21:13:33.3518405+00:00")); got != want+351840 {
		t.Errorf("seven digits: %d", got)
	}
	if _, ambiguous, _ := Micros([]byte("3/4/2024 10:00:00 AM")); !ambiguous {
		t.Error("3/4/2024 is not ambiguous")
	}
	for _, s := range []string{"", "yesterday", "2021-13-01T00:00:00", "2021-02-30T00:00:00", "31/31/2021", "NaN", "1e300", "/Date(x)/", "0", "2021-05-18T21:13:33.Z"} {
		if got, _, ok := Micros([]byte(s)); ok {
			t.Errorf("%q was read as %d", s, got)
		}
	}
}

func TestIPSpellings(t *testing.T) {
	for in, want := range map[string]string{
		"80.114.221.214": "80.114.221.214", "62.149.20.10:33758": "62.149.20.10", "[2a01:111:f100:9001::1761:914f]:52903": "2a01:111:f100:9001::1761:914f",
		"2603:1026:c09:834::5": "2603:1026:c09:834::5", "[::1]": "::1", "::ffff:10.11.12.13": "10.11.12.13", "[::ffff:10.11.12.13]:12345": "10.11.12.13",
		"[10.11.12.13]": "10.11.12.13", " 10.0.0.1 ": "10.0.0.1",
		"localhost": "", "[localhost]:12345": "", "cool.client.local:12345": "", "": "", "[CORRECTIPV4 (10.90.0.1)]": "", "NOTANIPV4 (10.9000.0.1)": "", "[": "", ":": "",
	} {
		a, ok := event.ParseIP(in)
		got := ""
		if ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTokenID(t *testing.T) {
	for in, want := range map[string]string{
		"3kVZRE8tFkinHtPA7_EFAA":                           "445945de-2d4f-4816-a71e-d3c0eff10500",
		"'3kVZRE8tFkinHtPA7_EFAA":                          "445945de-2d4f-4816-a71e-d3c0eff10500",
		"445945DE-2D4F-4816-A71E-D3C0EFF10500":             "445945de-2d4f-4816-a71e-d3c0eff10500",
		"NDQ1OTQ1ZGUtMmQ0Zi00ODE2LWE3MWUtZDNjMGVmZjEwNTAw": "445945de-2d4f-4816-a71e-d3c0eff10500",
		"": "", "short": "short", "!!!!!!!!!!!!!!!!!!!!!!": "!!!!!!!!!!!!!!!!!!!!!!",
	} {
		if got := event.TokenID(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestNormalizeOperation(t *testing.T) {
	for in, want := range map[string]string{
		"Update application – Certificates and secrets management ": "update application - certificates and secrets management",
		"Add service principal.": "add service principal", "New-InboxRule": "new-inboxrule", "  Two   spaces ": "two spaces", "": "", "...": "",
	} {
		if got := event.NormalizeOperation(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Records larger than any line buffer are ordinary.
func TestUALLargeRecord(t *testing.T) {
	var b strings.Builder
	for i := range 20000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"InternetMessageId":"<m%d@x.example>"}`, i)
	}
	e, items, err := ualOne(t, `{`+head+`,"Operation":"MailItemsAccessed","OperationCount":20000,"Folders":[{"Path":"\\Inbox","FolderItems":[`+b.String()+`]}]}`, false)
	if err != nil || len(items) != 20000 || e.Length < 64<<10 {
		t.Errorf("%d items, %d bytes, %v", len(items), e.Length, err)
	}
}

func FuzzMicros(f *testing.F) {
	f.Add("5/18/2021 9:13:33 PM +01:00")
	f.Add("/Date(1658751973240)/")
	f.Fuzz(func(_ *testing.T, s string) {
		Micros([]byte(s))
		event.ParseIP(s)
		event.TokenID(s)
		event.NormalizeOperation(s)
	})
}

func FuzzSalvage(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":"c"},{"d`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, ok := salvage(b); ok && fastjson.ValidateBytes(b) == nil && string(out) == "" {
			t.Error("nothing saved")
		}
	})
}

func BenchmarkUAL(b *testing.B) {
	text := []byte(`{` + head + `,"Operation":"MailItemsAccessed","MailboxOwnerUPN":"ines@fabrikam.example","ClientIPAddress":"192.0.2.7:443","OperationCount":2,"Folders":[{"Path":"\\Inbox","FolderItems":[{"InternetMessageId":"<a@x.example>"},{"InternetMessageId":"<b@x.example>"}]}],"OperationProperties":[{"Name":"MailAccessType","Value":"Bind"},{"Name":"IsThrottled","Value":"False"}],"ClientInfoString":"Client=REST;;"}`)
	batch := &event.Batch{}
	s := NewSink(batch)
	var p fastjson.Parser
	r := &Record{Raw: text}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		r.Next()
		r.Raw = text
		r.Value, _ = p.ParseBytes(text)
		s.Begin(r, "ual")
		if err := (UAL{}).Parse(r, s); err != nil {
			b.Fatal(err)
		}
		s.Finish()
	}
}
