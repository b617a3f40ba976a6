package exposure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/enrich"
	"midwatch/event"
	"midwatch/store"
	"midwatch/store/duckdb"
)

func at(s string) casefile.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return casefile.TimeOf(t)
}

// filled is a store with records about messages.
func filled(t *testing.T) store.Querier {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	var b event.Batch
	add := func(e event.Event, items ...event.Item) {
		e.Tenant, e.Time = "t1", at("2024-01-01T10:00:00Z").UnixMicro()
		e.NativeID = fmt.Sprint(len(b.Events))
		b.Events = append(b.Events, e)
		for _, i := range items {
			i.Event = int32(len(b.Events) - 1)
			b.Items = append(b.Items, i)
		}
	}
	add(event.Event{Source: event.MessageTrace, Class: event.ClassMessageTrace, MessageID: "One@Out.example", Subject: "From the trace, pw: Tracer99x", Actor: "eve@out.example", Recipients: "jo@own.example"})
	add(event.Event{Source: event.UAL, Class: event.ClassMailDelete, Mailbox: "jo@own.example"}, event.Item{Kind: event.ItemMessage, MessageID: "two@own.example", ItemID: "ITEM2", Subject: "Deleted one", Names: "plan.docx (12b)", Size: -1})
	add(event.Event{Source: event.UAL, Class: event.ClassMailAccess, Mailbox: "jo@own.example", Actor: "jo@own.example", ActorKind: event.ActorUser})
	load, err := st.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load.Claim(&b); err != nil {
		t.Fatal(err)
	}
	if err := load.Append(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := load.Files(t.Context(), []store.File{{Ordinal: load.FirstFile(), Path: "x"}}); err != nil {
		t.Fatal(err)
	}
	if err := load.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

func testCase() *casefile.Case {
	c := &casefile.Case{Schema: casefile.Schema}
	c.Case.ID, c.Case.Tenants = "case-1", []casefile.Tenant{{ID: "t1", Events: 3}}
	c.Campaigns = []casefile.Campaign{{ID: "c-1", Mailboxes: []casefile.MailboxRef{
		{UPN: "Jo@own.example", Messages: []casefile.MessageRef{
			{InternetMessageID: "one@out.example", Folder: `\Inbox`, Certainty: casefile.Confirmed, First: at("2024-01-05T00:00:00Z"), Last: at("2024-01-06T00:00:00Z"), Events: []string{"e1"}},
			{ItemID: "ITEM2", Certainty: casefile.Confirmed, First: at("2024-01-07T00:00:00Z"), Events: []string{"e2"}},
			{ItemID: "ITEM3", Certainty: casefile.Confirmed, First: at("2024-01-08T00:00:00Z"), Events: []string{"e3"}},
		}},
		{UPN: "ann@own.example", WholeFolders: []casefile.FolderRef{{Folder: `\Inbox`, Certainty: casefile.Probable, First: at("2024-01-09T00:00:00Z"), Last: at("2024-01-10T00:00:00Z"), Events: []string{"e4"}}}},
		{UPN: "bo@own.example", Windows: []casefile.Window{{From: at("2024-01-09T00:00:00Z"), To: at("2024-01-10T00:00:00Z"), Certainty: casefile.Possible, Events: []string{"e5"}}}},
		{UPN: "di@own.example", Windows: []casefile.Window{{From: at("2024-01-09T00:00:00Z"), Certainty: casefile.Probable, Why: "a rule sends its mail outside from then on; which", Events: []string{"e6"}}}},
		{UPN: "cy@own.example", Certainty: casefile.Possible, Why: "it was searched"},
	}, CannotClear: []casefile.Uncleared{{What: "mailboxes", Count: 7, Why: "no records"}}}}
	return c
}

// build runs on files, given as name and content.
func build(t *testing.T, states map[string]State, files ...string) *Exposure {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		p := filepath.Join(dir, "in", files[i])
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	if len(files) > 0 {
		paths = []string{filepath.Join(dir, "in")}
	}
	x, err := Build(t.Context(), Options{Case: testCase(), Store: filled(t), Paths: paths, Temp: t.TempDir(), States: states,
		Directory: []enrich.Person{{User: "jo@own.example", Department: "Legal", JobTitle: "General Counsel"}, {User: "ann@own.example", Department: "IT", JobTitle: "Help Desk"}}})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func eml(id, from, to, date, body string) string {
	return "From: " + from + "\nTo: " + to + "\nDate: " + date + "\nMessage-ID: <" + id + ">\nSubject: S\n\n" + body + "\n"
}

func message(t *testing.T, x *Exposure, id string) *Message {
	t.Helper()
	for i := range x.Messages {
		if strings.EqualFold(x.Messages[i].InternetMessageID, id) {
			return &x.Messages[i]
		}
	}
	t.Fatalf("no message %s", id)
	return nil
}

// Without any mail, what records know of the messages is told.
func TestFromRecordsAlone(t *testing.T) {
	x := build(t, nil)
	if x.Counts.Messages != (casefile.PerCertainty{Confirmed: 3}) || x.Counts.Content != (casefile.PerCertainty{}) {
		t.Errorf("%+v", x.Counts)
	}
	m := message(t, x, "one@out.example")
	if m.From.Address != "eve@out.example" || m.Direction != "inbound" || m.Content != "not available" || m.Access[0].Events[0] != "e1" {
		t.Errorf("%+v", m)
	}
	if m.Subject != "From the trace, pw: [secret]" || len(x.Rotation) != 1 || x.Rotation[0].Places[0].Part != "subject" {
		t.Errorf("%q %+v", m.Subject, x.Rotation)
	}
	if m := message(t, x, "two@own.example"); m.Subject != "Deleted one" || len(m.AttachmentNames) != 1 || m.Access[0].Events[0] != "e2" {
		t.Errorf("the message of an item id: %+v", m)
	}
	if len(x.Counterparties) != 1 || x.Counterparties[0].Domain != "out.example" || x.Counterparties[0].Sent != 1 {
		t.Errorf("%+v", x.Counterparties)
	}
	if x.Inside[0].Name != "Legal" || len(x.Inside[0].Leaders) != 1 {
		t.Errorf("%+v", x.Inside)
	}
	all := strings.Join(x.Limits, "\n")
	for _, want := range []string{"7 mailboxes cannot be cleared", "cy@own.example: it was searched", `folder \Inbox of ann@own.example`, "reads of bo@own.example were not recorded"} {
		if !strings.Contains(all, want) {
			t.Errorf("no limit says %q:\n%s", want, all)
		}
	}
}

// Ids are compared without case and brackets; folders and times only where the
// export says where a message lay; what cannot be said to be reached is absent.
func TestJoin(t *testing.T) {
	early, late := "Mon, 8 Jan 2024 10:00:00 +0000", "Thu, 11 Jan 2024 10:00:00 +0000"
	x := build(t, nil,
		"loose/1.eml", eml("ONE@OUT.example", "eve@out.example", "jo@own.example", early, "pw: Alpha123x"),
		"loose/2.eml", eml("unrelated@x.example", "eve@out.example", "jo@own.example", early, "pw: Never123x"),
		"ann@own.example/Inbox/1.eml", eml("in@x.example", "a@partner.co.uk", "ann@own.example", early, "pw: Bravo123x"),
		"ann@own.example/Inbox/2.eml", eml("late@x.example", "a@partner.co.uk", "ann@own.example", late, "pw: Never124x"),
		"ann@own.example/Sent Items/3.eml", eml("sent@x.example", "ann@own.example", "a@partner.co.uk", early, "pw: Never125x"),
		"bo@own.example.mbox", "From x Mon Jan  8 00:00:00 2024\n"+eml("bo1@x.example", "bo@own.example", "jo@own.example", early, "pw: Charlie1x")+"\nFrom x Mon Jan  8 00:00:00 2024\n"+eml("bo2@x.example", "bo@own.example", "jo@own.example", late, "pw: Never126x"),
		"cy@own.example/Inbox/1.eml", eml("cy@x.example", "eve@out.example", "cy@own.example", early, "pw: Never127x"),
		"di@own.example/Inbox/1.eml", eml("di1@x.example", "eve@out.example", "di@own.example", early, "pw: Never128x"),
		"di@own.example/Inbox/2.eml", eml("di2@x.example", "eve@out.example", "di@own.example", late, "x"),
		"list.csv", "Message ID;Subject;From;To;Date;Folder;Mailbox;Attachments\n<two@OWN.example>;x;ann@own.example;jo@own.example;2024-01-02;Inbox;jo@own.example;a.pdf;\nmeta@x.example;Listed;eve@out.example;ann@own.example;2024-01-03;Inbox;ann@own.example;\n;;;;;;;\n",
	)
	var got []string
	for _, m := range x.Messages {
		got = append(got, fmt.Sprintf("%s %s %s %s", strings.ToLower(m.InternetMessageID), m.Certainty, m.Access[0].Basis, m.Content))
	}
	want := []string{
		"one@out.example confirmed record read", "two@own.example confirmed record not available", " confirmed record not available",
		"bo1@x.example possible window read", "di2@x.example probable forward read",
	}
	all := strings.Join(got, "\n")
	for _, w := range append(want, "in@x.example probable folder read", "meta@x.example probable folder not available") {
		if !strings.Contains(all, w) {
			t.Errorf("%q is missing in\n%s", w, all)
		}
	}
	if len(got) != 7 {
		t.Errorf("listed:\n%s", all)
	}
	if x.Counts.Secrets != (casefile.PerCertainty{Confirmed: 1, Probable: 1, Possible: 1}) || x.Counts.Unreached != 6 {
		t.Errorf("%+v", x.Counts)
	}
	var out bytes.Buffer
	if err := Write(&out, x); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"Alpha123x", "Bravo123x", "Charlie1x", "Tracer99x", "Never12"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the result holds %s", secret)
		}
	}
	if c := x.Counterparties; len(c) != 2 || c[1].Domain != "partner.co.uk" || c[1].Messages != (casefile.PerCertainty{Probable: 1}) {
		t.Errorf("%+v", c)
	}
	for _, in := range x.Inputs {
		if strings.HasSuffix(in.Path, "list.csv") && (in.Kind != "metadata" || in.Messages != 2 || !strings.Contains(in.Why, "1 rows could not be read")) {
			t.Errorf("%+v", in)
		}
	}
	// The same input gives the same bytes; fingerprints can be made again.
	if f := Fingerprint(x.Salt, nil, "Alpha123x"); !strings.Contains(out.String(), f) {
		t.Errorf("no fingerprint %s", f)
	}
}

// The same secret in several messages is one; a state from outside moves it
// behind what is open.
func TestRotation(t *testing.T) {
	day := "Mon, 8 Jan 2024 10:00:00 +0000"
	files := []string{
		"ann@own.example/Inbox/1.eml", eml("a@x.example", "ann@own.example", "jo@own.example", "Mon, 1 Jan 2024 10:00:00 +0000", "pw: Shared12x"),
		"bo@own.example/Inbox/1.eml", eml("b@x.example", "ann@own.example", "eve@out.example", day, "fyi, password: Shared12x"),
		"1.eml", eml("one@out.example", "eve@out.example", "jo@own.example", day, "see https://share.out.example/f?sig=abcd1234efgh5678"),
	}
	x := build(t, nil, files...)
	if len(x.Rotation) != 2 {
		t.Fatalf("%+v", x.Rotation)
	}
	link, shared := x.Rotation[0], x.Rotation[1]
	if link.Kind != "signed-link" || link.Preview != "https://share.out.example/…" || link.Owner.Side != "counterparty" || link.Owner.Organization != "out.example" || link.FirstConfirmed != at("2024-01-05T00:00:00Z") {
		t.Errorf("%+v", link)
	}
	if shared.Mailboxes != (casefile.PerCertainty{Probable: 1, Possible: 1}) || shared.Certainty != casefile.Probable || shared.SentFirst != at("2024-01-01T10:00:00Z") || shared.Owner.Side != "own" || shared.PlaceCount != 2 || !shared.FirstConfirmed.IsZero() {
		t.Errorf("%+v", shared)
	}
	y := build(t, map[string]State{link.Fingerprint: Rotated, "s-unknown": Accepted}, files...)
	if y.Rotation[0].Fingerprint != shared.Fingerprint || y.Rotation[1].State != Rotated {
		t.Errorf("%+v", y.Rotation)
	}
}

// Two messages of one id are both searched, and it is said that they differ.
func TestTwoMessagesOfOneID(t *testing.T) {
	day := "Mon, 8 Jan 2024 10:00:00 +0000"
	x := build(t, nil, "1.eml", eml("one@out.example", "eve@out.example", "jo@own.example", day, "harmless"), "2.eml", eml("one@out.example", "eve@out.example", "jo@own.example", day, "pw: Alpha123x"),
		"3.eml", eml("one@out.example", "eve@out.example", "jo@own.example", day, "harmless"))
	m := message(t, x, "one@out.example")
	if !m.Conflict || m.Copies != 3 || len(m.Secrets) != 1 {
		t.Errorf("%+v", m)
	}
}

// What cannot be read is listed with its reason, and ends nothing.
func TestUnreadable(t *testing.T) {
	x := build(t, nil, "a.bin", "\x00\x01\x02", "b.msg", "\xd0\xcf\x11\xe0", "c.eml", "", "d.pst", "!BDN....", "e.zip", "PK\x03\x04broken", "f.eml", eml("one@out.example", "a@out.example", "jo@own.example", "x", "pw: Alpha123x"),
		"g.ndjson", `{"message_id":"x"`+"\n"+`{"message_id":"<one@out.example>","subject":"\u202etxt.exe","from":{"emailAddress":{"address":"eve@out.example"}},"attachments":[{"name":"../../x","size":3,"sha256":"zz"}]}`+"\n")
	var got []string
	for _, n := range x.NotRead {
		got = append(got, filepath.Base(n.File)+": "+n.Reason)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{"a.bin: not mail", "b.msg: an Outlook item", "c.eml: it is empty", "d.pst: an Outlook data file (.pst) is read by the program readpst, which is not installed", "e.zip: zip:", "g.ndjson: 1 rows could not be read; the first is line 1: not a JSON object"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if m := message(t, x, "one@out.example"); m.Content != "read" || m.Copies != 1 || len(m.Files) != 2 {
		t.Errorf("%+v", m)
	}
}

// readpst is called with fixed arguments, and what it writes is read as the
// mailbox's folders.
func TestPST(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "readpst")
	script := `#!/bin/sh
[ "$1 $2 $3 $4 $5 $6 $7 $8 $9" = "-r -D -b -8 -t e -j 0 -q" ] || exit 9
shift 9
[ "$1" = "-o" ] && cd "$2" || exit 9
mkdir -p "$2/Personal Folders/Inbox"
cp "$3.mbox" "$2/Personal Folders/Inbox/mbox"
`
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	pst := filepath.Join(dir, "ann@own.example.pst")
	box := "From x Mon Jan  8 00:00:00 2024\n" + eml("in@x.example", "eve@out.example", "ann@own.example", "Mon, 8 Jan 2024 10:00:00 +0000", "pw: Bravo123x")
	for p, b := range map[string]string{pst: "!BDN...", pst + ".mbox": box} {
		if err := os.WriteFile(p, []byte(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	const temp = "temp" // a relative path, as people name cases
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	x, err := Build(t.Context(), Options{Case: testCase(), Store: filled(t), Paths: []string{pst}, Temp: temp, Readpst: program})
	if err != nil {
		t.Fatal(err)
	}
	m := message(t, x, "in@x.example")
	if m.Certainty != casefile.Probable || len(m.Secrets) != 1 || x.Inputs[0].Messages != 1 || x.Inputs[0].Kind != "pst" {
		t.Errorf("%+v\n%+v", m, x.Inputs)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Its failure is the file's.
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if x, err = Build(t.Context(), Options{Case: testCase(), Store: filled(t), Paths: []string{pst}, Temp: temp, Readpst: program}); err != nil || !strings.Contains(x.NotRead[0].Reason, "readpst failed") {
		t.Errorf("%v %+v", err, x)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, Options{Case: testCase(), Store: filled(t), Paths: []string{pst}, Temp: temp}); err == nil {
		t.Error("a run that was ended has a result")
	}
}

func TestMetadataForms(t *testing.T) {
	for text, want := range map[string]string{
		`{"message_id":"<a@b>","subject":"S","from":"Eve <eve@out.example>","to":"x@y.example; z@y.example","date":"2024-01-02T03:04:05Z","folder":"Inbox","mailbox":"JO@own.example","attachments":["a.txt","b.txt"]}`:                                       "a@b S eve@out.example 2 2024-01-02T03:04:05Z Inbox jo@own.example 2",
		`{"internetMessageId":"<a@b>","from":{"emailAddress":{"address":"E@x.example"}},"toRecipients":[{"emailAddress":{"address":"x@y.example"}}],"ccRecipients":null,"sentDateTime":"2024-01-02T03:04:05Z","body":{"contentType":"html","content":"<b>"}}`: "a@b  e@x.example 1 2024-01-02T03:04:05Z   0",
		`{"message_id":7,"mailbox":"x@y","to":[[[["a@b.example"]]]],"attachments":{"size":-5}}`: "   0  ? x@y 1",
	} {
		m, why := parseMeta([]byte(text))
		if why != "" {
			t.Errorf("%s: %s", text, why)
			continue
		}
		got := fmt.Sprintf("%s %s %s %d %s %s %s %d", m.id, m.subject, m.from.Address, len(m.to), m.sent, m.folder, m.mailbox, len(m.attachments))
		if strings.ReplaceAll(want, "?", "") != got && want != got {
			t.Errorf("%s:\n%q, want\n%q", text, got, want)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte("message_id,subject,to\na@b,\"x\ny\",c@d;e@f\n"), true)
	f.Add([]byte(`{"message_id":"a@b","to":["x@y",{"emailAddress":{"address":"z@y"}}],"attachments":[{"name":"a"}]}`), false)
	f.Add([]byte("\xef\xbb\xbfmessage_id;from\n\"a"), true)
	f.Fuzz(func(t *testing.T, b []byte, isCSV bool) {
		isMetadata(b)
		err := readMetadata(bytes.NewReader(b), isCSV, func(m *meta) error {
			if m.id == "" && m.mailbox == "" {
				t.Errorf("%+v", m)
			}
			_, err := json.Marshal(m.attachments)
			return err
		}, func(int64, string) {})
		if err != nil && !strings.Contains(err.Error(), "header") {
			t.Error(err)
		}
	})
}
