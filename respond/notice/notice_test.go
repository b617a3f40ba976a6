package notice

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/exposure"
)

// hostile is what names, subjects and reasons may hold.
const hostile = "evil\r\nBcc: all@own.example\r\n\r\n# owned\u202e<script>alert(1)</script>[x](http://evil.example/a) `|*_ HTTPS://x WwW.x.example mailto:x@y.example hthttptp \x1b]0;x\x07 \xff\x00 =?utf-8?q?x?= {{.Code}} \u2028end"

var day20 = time.Date(2024, 1, 20, 10, 0, 0, 0, time.UTC)

func at(day int) casefile.Time {
	return casefile.TimeOf(time.Date(2024, 1, day, 3, 0, 0, 0, time.UTC))
}

func access(box, campaign string, c casefile.Certainty, day int) exposure.Access {
	return exposure.Access{Mailbox: box, Campaign: campaign, Certainty: c, Basis: exposure.BasisRecord, First: at(day), Events: []string{fmt.Sprintf("ev-%d", day)}}
}

// input is a case with everything in it: two employees, an organization with
// two people, one with one, a person with private mail.
func input() *Input {
	jo, ann := "jo@own.example", "ann@own.example"
	msg := func(id, subject, from, to string, c casefile.Certainty, box string, day int) exposure.Message {
		return exposure.Message{ID: id, Subject: subject, From: exposure.Address{Address: from}, To: []exposure.Address{{Address: to}}, Date: at(day), Certainty: c, First: at(day + 1), Access: []exposure.Access{access(box, "c-1", c, day+1)}}
	}
	x := &exposure.Exposure{Case: "case-1", OwnDomains: []string{"own.example"}, Messages: []exposure.Message{
		msg("m-1", "offer", "eve@partner.example", jo, casefile.Confirmed, jo, 1),
		msg("m-2", "answer", jo, "bob@partner.example", casefile.Probable, jo, 2),
		msg("m-3", "housemail", ann, jo, casefile.Confirmed, ann, 3),
		msg("m-4", "single", "x@single.example", ann, casefile.Possible, ann, 4),
		msg("m-5", "private", "kim@mailer.example", ann, casefile.Confirmed, ann, 5),
		msg("m-6", "other private", "lee@mailer.example", ann, casefile.Confirmed, ann, 6),
	}}
	x.Messages[0].Secrets, x.Messages[2].Secrets = []string{"s-1", "s-3"}, []string{"s-2"}
	x.Messages[0].PersonalData = []exposure.KindCount{{Kind: "iban", Count: 2}}
	x.Messages[0].From.Name = "Eve"
	place := func(m string) []exposure.Place { return []exposure.Place{{Message: m, Name: "notes.txt"}} }
	x.Rotation = []exposure.Secret{
		{Fingerprint: "s-1", Kind: "password", Preview: "•••• (8 characters)", Owner: exposure.Owner{Organization: "partner.example", Side: "counterparty"}, Places: place("m-1")},
		{Fingerprint: "s-2", Kind: "slack-bot-token", Preview: "xoxb…", Owner: exposure.Owner{Organization: "own.example", Side: "own"}, Places: place("m-3")},
		{Fingerprint: "s-3", Kind: "password", Preview: "••••", Owner: exposure.Owner{Side: "unknown"}, Places: append(place("m-1"), place("m-3")...)},
	}
	x.Counterparties = []exposure.Counterparty{
		{Domain: "partner.example", Domains: []string{"partner.example"}},
		{Domain: "single.example", Domains: []string{"single.example"}},
		{Domain: "mailer.example", Domains: []string{"mailer.example"}, PrivateMail: true},
		{Domain: "gone.example", Domains: []string{"gone.example"}},
	}
	box := func(upn string, c casefile.Certainty) casefile.MailboxRef {
		return casefile.MailboxRef{UPN: upn, Certainty: c, First: at(2), Last: at(9)}
	}
	k := casefile.Campaign{ID: "c-1", Title: "Spray", Standing: "established", Start: at(1), InitialAccess: at(2), End: at(10), Mailboxes: []casefile.MailboxRef{box(jo, casefile.Confirmed), box(ann, casefile.Confirmed)},
		Reach: casefile.Reach{Mailboxes: casefile.PerCertainty{Confirmed: 2}, Messages: casefile.PerCertainty{Confirmed: 4}}}
	k.Mailboxes[1].WholeFolders = []casefile.FolderRef{{Folder: `\Inbox`}}
	k.Mailboxes[1].Windows = []casefile.Window{{From: at(3), To: at(4), Certainty: casefile.Probable}}
	kase := &casefile.Case{Case: casefile.Summary{ID: "case-1"}, Campaigns: []casefile.Campaign{k}, Verdict: []casefile.Sentence{{Kind: casefile.Fact, Text: "An actor came in."}, {Kind: casefile.Limit, Text: "Not known."}}}
	contact := &Contact{Organization: "Own, Inc.", From: Address{"Own security", "security@own.example"}, AskFor: "the desk", Number: "on your badge", Hours: "always", Parties: map[string]*Address{}}
	return &Input{Case: kase, Exposure: x, Contact: contact}
}

func find(t *testing.T, list []Notice, recipient string) *Notice {
	t.Helper()
	for i := range list {
		if list[i].Recipient == recipient {
			return &list[i]
		}
	}
	t.Fatalf("nobody tells %s", recipient)
	return nil
}

func ids(n *Notice) string {
	var out []string
	for _, m := range n.Messages {
		out = append(out, m.ID+" "+m.Direction+" "+string(m.Certainty))
	}
	return strings.Join(out, ", ")
}

func TestBuild(t *testing.T) {
	in := input()
	list, stale := Build(in)
	if stale || len(list) != 7 {
		t.Fatalf("%d notices, stale %v", len(list), stale)
	}
	for recipient, want := range map[string]string{
		"jo@own.example":     "m-1 received confirmed, m-2 sent probable",
		"ann@own.example":    "m-6 received confirmed, m-5 received confirmed, m-3 sent confirmed, m-4 received possible",
		"partner.example":    "m-1 sent confirmed, m-2 received probable",
		"single.example":     "m-4 sent possible",
		"kim@mailer.example": "m-5 sent confirmed",
		"lee@mailer.example": "m-6 sent confirmed",
	} {
		if got := ids(find(t, list, recipient)); got != want {
			t.Errorf("%s: %s\nwant %s", recipient, got, want)
		}
	}
	secrets := func(recipient string) (out []string) {
		for _, s := range find(t, list, recipient).Secrets {
			out = append(out, fmt.Sprint(s.Fingerprint, " ", s.Yours, " ", len(s.Where)))
		}
		return out
	}
	// What belongs to the other side is theirs to change; of what nobody knows
	// whose it is both are told, each with their own messages only.
	if d := cmp.Diff([]string{"s-1 false 1", "s-3 false 1"}, secrets("jo@own.example")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"s-2 true 1"}, secrets("ann@own.example")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"s-1 true 1", "s-3 false 1"}, secrets("partner.example")); d != "" {
		t.Error(d)
	}
	if jo := find(t, list, "jo@own.example"); len(jo.SecretsOthers()) != 1 || jo.SecretsOthers()[0].Owner != "partner.example" || len(jo.SecretsOpen(false)) != 1 {
		t.Errorf("%+v", jo.Secrets)
	}
	// Whom a draft is addressed to.
	if n := find(t, list, "partner.example"); len(n.To) != 0 || len(n.People) != 2 || n.Personal[0].Count != 2 {
		t.Errorf("%+v", n)
	}
	if n := find(t, list, "single.example"); len(n.To) != 1 || n.To[0].Address != "x@single.example" {
		t.Errorf("%+v", n)
	}
	if n := find(t, list, "kim@mailer.example"); n.To[0].Address != "kim@mailer.example" || len(n.People) != 0 {
		t.Errorf("%+v", n)
	}
	in.Contact.Parties["partner.example"] = &Address{"Dana", "soc@partner.example"}
	list, _ = Build(in)
	if n := find(t, list, "partner.example"); n.To[0].Name != "Dana" {
		t.Errorf("%+v", n.To)
	}
	// Access of a campaign that is no more is left out, and said.
	in.Exposure.Messages[4].Access[0].Campaign = "c-2"
	list, stale = Build(in)
	if !stale || slices.ContainsFunc(list, func(n Notice) bool { return n.Recipient == "kim@mailer.example" }) {
		t.Error("an access that the case no longer has is told")
	}
	// Without an exposure employees are told what the case has.
	in.Exposure = nil
	in.Case.Campaigns[0].Mailboxes[0].Messages = []casefile.MessageRef{{InternetMessageID: "<1>", Subject: "s", Certainty: casefile.Confirmed, First: at(3), Events: []string{"e"}}, {InternetMessageID: "<1>", Certainty: casefile.Possible}}
	list, _ = Build(in)
	if len(list) != 3 || ids(find(t, list, "jo@own.example")) != "<1> unknown confirmed" {
		t.Errorf("%d: %+v", len(list), list)
	}
}

func render(t *testing.T, in *Input, templates *Templates) map[string]*Draft {
	t.Helper()
	if templates == nil {
		var err error
		if templates, err = ReadTemplates(""); err != nil {
			t.Fatal(err)
		}
	}
	list, _ := Build(in)
	out := map[string]*Draft{}
	for i := range list {
		d, err := Render(templates, &list[i], in.Contact, in.Case.Case.ID, []byte("key"), day20)
		if err != nil {
			t.Fatal(err)
		}
		out[list[i].Recipient] = d
	}
	return out
}

// checkMail reads a draft as a mail program does, and wants nothing in it that
// was not meant.
func checkMail(t *testing.T, who string, raw []byte) (text string) {
	t.Helper()
	for i, line := range bytes.Split(raw, []byte("\r\n")) {
		if len(line) > 78 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("%s: line %d has %d bytes: %q", who, i+1, len(line), line)
		}
		for _, c := range line {
			if c > 126 || c < 32 && c != '\t' {
				t.Fatalf("%s: byte %#x in line %d", who, c, i+1)
			}
		}
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	known := []string{"X-Unsent", "Date", "From", "To", "Subject", "Mime-Version", "Content-Type"}
	for h, v := range m.Header {
		if !slices.Contains(known, h) || len(v) != 1 {
			t.Errorf("%s: header %s: %q", who, h, v)
		}
	}
	if m.Header.Get("X-Unsent") != "1" {
		t.Errorf("%s: it would be opened as one that was received", who)
	}
	if from, err := m.Header.AddressList("From"); err != nil || len(from) != 1 || from[0].Address != "security@own.example" {
		t.Errorf("%s: From: %v, %v", who, from, err)
	}
	if m.Header.Get("To") != "" {
		if to, err := m.Header.AddressList("To"); err != nil || len(to) != 1 {
			t.Errorf("%s: To: %v, %v", who, to, err)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || strings.ContainsAny(subject, "\r\n") || linkIn(subject) != "" {
		t.Errorf("%s: Subject: %q %v", who, subject, err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for n := 0; ; n++ {
		p, err := r.NextPart() // decodes quoted-printable
		if err == io.EOF {
			if n != 2 {
				t.Errorf("%s: %d parts", who, n)
			}
			return text
		}
		if err != nil {
			t.Fatal(who, err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(who, err)
		}
		if n == 0 {
			text = strings.ReplaceAll(string(b), "\r\n", "\n")
		} else if _, err := csv.NewReader(bytes.NewReader(b)).ReadAll(); err != nil {
			t.Errorf("%s: table: %v", who, err)
		}
		checkText(t, who, string(b))
	}
}

// checkText wants no link, and nothing hidden, in what a recipient sees.
func checkText(t *testing.T, who, s string) {
	t.Helper()
	if l := linkIn(s); l != "" {
		t.Errorf("%s: a link, %s, in\n%s", who, l, s)
	}
	for _, bad := range []string{"\x1b", "\x07", "\x00", "\u202e", "\u2028", "\xff", "\nBcc", "\n# owned"} {
		if strings.Contains(s, bad) {
			t.Errorf("%s: %q in\n%s", who, bad, s)
		}
	}
}

// hostileInput has what strangers write in every field of theirs.
func hostileInput() *Input {
	in := input()
	x := in.Exposure
	long := strings.Repeat("ä", 5000) + hostile
	for i := range x.Messages {
		m := &x.Messages[i]
		m.ID += hostile
		m.Subject, m.From.Name = hostile, hostile
		if i%2 == 0 {
			m.Subject, m.From.Name = long, long
		}
		m.Access[0].Events = []string{hostile}
		m.PersonalData = []exposure.KindCount{{Kind: hostile, Count: 1}}
	}
	x.Messages[3].From.Address = "a\r\nBcc: x@single.example"
	x.Messages[3].From.Address = "\"http://x\r\nBcc: y\"@single.example"
	x.Messages[4].From.Address = "http.www.x@mailer.example"
	for i := range x.Rotation {
		s := &x.Rotation[i]
		s.Kind, s.Preview = hostile, hostile
		for j := range s.Places {
			s.Places[j].Message += hostile
			s.Places[j].Name = hostile
		}
	}
	k := &in.Case.Campaigns[0]
	k.Title = hostile
	k.Mailboxes[1].WholeFolders[0].Folder = hostile
	k.CannotClear = []casefile.Uncleared{{Count: 3, CountName: hostile, Why: hostile}}
	k.Mailboxes[0].UPN = "=?x?@" + hostile
	x.Messages[0].Access[0].Mailbox = k.Mailboxes[0].UPN
	in.Case.Verdict[0].Text, in.Case.Verdict[1].Text = hostile, hostile
	in.Case.Case.ID = hostile
	in.Contain, in.Decided = []string{hostile}, []string{hostile}
	return in
}

func TestHostileValues(t *testing.T) {
	drafts := render(t, hostileInput(), nil)
	if len(drafts) != 7 {
		t.Fatalf("%d drafts: %v", len(drafts), slices.Collect(maps.Keys(drafts)))
	}
	for who, d := range drafts {
		for name, b := range d.Files {
			switch filepath.Ext(name) {
			case ".eml":
				text := checkMail(t, who, b)
				if !strings.Contains(text, d.Code) {
					t.Errorf("%s: no code in\n%s", who, text)
				}
			case ".md":
				checkText(t, who, string(b))
				if strings.Contains(string(b), "<script>") || strings.Contains(string(b), "](") {
					t.Errorf("%s: markup in\n%s", who, b)
				}
			case ".csv":
				checkText(t, who, string(b))
			}
			if strings.ContainsAny(name, "/\\ ") {
				t.Errorf("a file is called %q", name)
			}
		}
	}
}

// No other party's message, no body and no secret leaves with a notice.
func TestOnlyTheirOwn(t *testing.T) {
	drafts := render(t, input(), nil)
	text := checkMail(t, "partner", drafts["partner.example"].Files[idOf(Outside, "partner.example")+".eml"])
	for _, s := range []string{"housemail", "single", "private", "kim@", "lee@", "ann@"} {
		if strings.Contains(text, s) {
			t.Errorf("partner.example is told %q:\n%s", s, text)
		}
	}
	for _, s := range []string{"1 confirmed, 1 probable", "“offer”", "bob@partner.example: 1 probable", "Password, ••••", "the desk", "on your badge"} {
		if !strings.Contains(text, s) {
			t.Errorf("partner.example is not told %q:\n%s", s, text)
		}
	}
	if text := checkMail(t, "kim", drafts["kim@mailer.example"].Files[idOf(Outside, "kim@mailer.example")+".eml"]); strings.Contains(text, "lee@") || strings.Contains(text, "other private") {
		t.Errorf("kim is told of lee:\n%s", text)
	}
}

// What is not confirmed is not said as if it were.
func TestCertaintyWords(t *testing.T) {
	for c, want := range map[casefile.Certainty][2]string{casefile.Confirmed: {"was read by", "was reached"}, casefile.Probable: {"was probably read by", "was probably reached"}, casefile.Possible: {"may have been read by", "may have been reached"}} {
		in := input()
		for i := range in.Exposure.Messages {
			in.Exposure.Messages[i].Access[0].Certainty = c
		}
		for i := range in.Case.Campaigns[0].Mailboxes {
			in.Case.Campaigns[0].Mailboxes[i].Certainty = c
		}
		for who, d := range render(t, in, nil) {
			if d.Notice.Kind == Regulator {
				continue
			}
			md := string(d.Files[d.Notice.ID+".md"])
			if !strings.Contains(md, want[0]) || !strings.Contains(md, want[1]) {
				t.Errorf("%s, %s: want %q in\n%s", who, c, want, md)
			}
		}
	}
	in := input()
	in.Case.Campaigns[0].Standing = "suspected"
	if md := string(render(t, in, nil)["jo@own.example"].Files[idOf(Employee, "jo@own.example")+".md"]); !strings.Contains(md, "We suspect") || !strings.Contains(md, "may have been read by") {
		t.Error(md)
	}
}

func TestDeterministic(t *testing.T) {
	if d := cmp.Diff(render(t, input(), nil), render(t, input(), nil)); d != "" {
		t.Error(d)
	}
}

func TestTemplates(t *testing.T) {
	write := func(name, text string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	// A template that does not think of escaping is escaped.
	careless := "{{define \"subject\"}}{{range .Messages}}{{.Subject}}{{end}}{{end}}{{define \"body\"}}{{range $i, $m := .Messages}}{{with $m}}{{if .Subject}}{{.Subject}} {{printf \"%s\" .Subject}}{{else}}{{.ID}}{{end}}{{end}}{{end}}{{$x := .Case}}{{$x}}{{block \"more\" .}}{{.Recipient}}{{end}}{{template \"done\" .}} {{.Code}}{{end}}"
	for _, k := range []string{"employee", "outside", "regulator"} {
		templates, err := ReadTemplates(write(k+".tmpl", careless))
		if err != nil {
			t.Fatal(err)
		}
		for who, d := range render(t, hostileInput(), templates) {
			for name, b := range d.Files {
				if strings.HasSuffix(name, ".eml") {
					checkMail(t, who, b)
				} else {
					checkText(t, who, string(b))
				}
			}
		}
	}
	// One that fails is an error with file and line.
	for text, want := range map[string]string{
		"\n\n{{define \"subject\"}}x{{end}}{{define \"body\"}}{{.Nothing}}{{end}}":                  "employee.tmpl:3",
		"{{define \"subject\"}}x{{end}}\n{{define \"body\"}}{{.Code":                                "employee.tmpl:2",
		"{{define \"body\"}}x{{end}}":                                                               "no {{define \"subject\"}}",
		"{{define \"subject\"}}x{{end}}{{define \"body\"}}see https://own.example{{end}}":           "writes a link",
		"{{define \"subject\"}}x{{end}}{{define \"body\"}}ht{{\"\"}}tp{{end}}":                      "writes a link",
		"{{define \"subject\"}}x{{end}}{{define \"body\"}}\n{{range upto 3 .Code}}{{end}}\n{{end}}": "employee.tmpl:2",
	} {
		dir := write("employee.tmpl", text)
		templates, err := ReadTemplates(dir)
		if err == nil {
			list, _ := Build(input())
			_, err = Render(templates, &list[0], input().Contact, "case-1", []byte("key"), day20)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %s", text, err, want)
		}
	}
	if _, err := ReadTemplates(write("employe.tmpl", "")); err == nil || !strings.Contains(err.Error(), "is none of") {
		t.Error(err)
	}
	if _, err := ReadTemplates("nowhere"); err == nil {
		t.Error("no folder")
	}
}

func TestCode(t *testing.T) {
	code := Code([]byte("key"), "content")
	if len(code) != 19 || Code([]byte("key2"), "content") == code || Code([]byte("key"), "content2") == code {
		t.Error(code)
	}
	for _, s := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), " " + strings.ReplaceAll(code, "-", "")} {
		if NormalCode(s) != code || !Genuine([]byte("key"), "content", NormalCode(s)) {
			t.Errorf("%q is %q", s, NormalCode(s))
		}
	}
	for _, s := range []string{"", "abcd", code + "B", code[:18], strings.Replace(code, code[:1], "A", 1), strings.Replace(code, "-", "\x00", 1)} {
		if n := NormalCode(s); n != "" {
			t.Errorf("%q is %q", s, n)
		}
	}
	if Genuine([]byte("key"), "content", "") {
		t.Error("no code is genuine")
	}
}

func FuzzNormalCode(f *testing.F) {
	f.Add("BCDF-GHJK-MPQR-TVWX")
	f.Add("bcdf ghjk")
	f.Fuzz(func(t *testing.T, s string) {
		if n := NormalCode(s); n != "" && (len(n) != 19 || NormalCode(n) != n) {
			t.Errorf("%q is %q", s, n)
		}
	})
}

// Nothing that is put into a notice becomes a link, a header or a second line.
func FuzzEscape(f *testing.F) {
	f.Add(hostile)
	f.Add("hthttptp://www.w.")
	f.Fuzz(func(t *testing.T, s string) {
		for _, form := range []form{plain, markdown} {
			out := escapeFor(form, s)
			if linkIn(out) != "" || strings.ContainsAny(out, "\r\n\x00\x1b") {
				t.Errorf("%q becomes %q", s, out)
			}
		}
		raw, err := mail(Address{s, "security@own.example"}, []Address{{s, "a@b.example"}}, short(oneLine(unlink(s))), []byte(oneLine(unlink(s))+"\n"), "t.csv", nil, day20)
		if err != nil {
			t.Fatal(err)
		}
		m, err := netmail.ReadMessage(bytes.NewReader(raw))
		if err != nil || len(m.Header) != 7 {
			t.Fatalf("%q: %v, %v", s, err, m)
		}
		for line := range bytes.Lines(raw) {
			if len(line) > 80 {
				t.Fatalf("%q: a line of %d bytes", s, len(line))
			}
		}
	})
}

const goodContact = "organization: Own\nfrom: {name: Sec, address: s@own.example}\nask_for: desk\nknown_number: on your badge\n"

func TestContact(t *testing.T) {
	example, err := TemplateFile("contact.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"example": string(example), "small": goodContact} {
		if _, err := ParseContact(name, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
	for text, want := range map[string]string{
		"":                           "it is empty",
		goodContact + "ask_fro: x\n": "ask_fro",
		goodContact + "---\n{}\n":    "second document",
		strings.Replace(goodContact, "ask_for: desk", "", 1):                                  "ask_for is missing",
		strings.Replace(goodContact, "s@own.example", "s@own", 1):                             "no mail address",
		strings.Replace(goodContact, "s@own.example", "\"s@own.example\\r\\nBcc: a@b.c\"", 1): "no mail address",
		goodContact + "actions: ['see http://x.example']\n":                                   "has a link",
		goodContact + "actions: [\"a\\nb\"]\n":                                                "control characters",
		goodContact + "parties: {Example.com: {address: a@b.example}}\n":                      "no domain",
		goodContact + "parties: {x.example: {name: a}}\n":                                     "no mail address",
		goodContact + "regulators: [{name: a}, {name: a}]\n":                                  "name of its own",
		goodContact + "decisions: [three]\n":                                                  "line 5",
	} {
		if _, err := ParseContact("c.yaml", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "c.yaml: ") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzContact(f *testing.F) {
	f.Add(goodContact)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseContact("c", strings.NewReader(s))
		if err != nil {
			return
		}
		for _, x := range c.texts() {
			if linkIn(x) != "" {
				t.Errorf("%q has a link", x)
			}
		}
		if !Usable(c.From.Address) {
			t.Errorf("%q", c.From.Address)
		}
	})
}

// What was sent is held against what is said now.
func TestIndex(t *testing.T) {
	templates, err := ReadTemplates("")
	if err != nil {
		t.Fatal(err)
	}
	hash := func(b []byte) string { return fmt.Sprint(len(b)) }
	there := func(string) bool { return true }
	in := input()
	run := func(before *Index) (*Index, []Change) {
		t.Helper()
		list, _ := Build(in)
		var drafts []*Draft
		for i := range list {
			d, err := Render(templates, &list[i], in.Contact, "case-1", []byte("key"), day20)
			if err != nil {
				t.Fatal(err)
			}
			drafts = append(drafts, d)
		}
		return Update(before, "case-1", drafts, hash, there, day20)
	}
	first, changes := run(nil)
	if len(changes) != 7 || changes[0].What != "new" {
		t.Fatalf("%+v", changes)
	}
	again, changes := run(first)
	if d := cmp.Diff(first, again); d != "" || len(changes) != 0 {
		t.Errorf("%s %d", d, len(changes))
	}
	id := idOf(Employee, "jo@own.example")
	e := *first.Find(id)
	sent := State{ID: id, State: Sent, At: at(20), Content: e.Content, Facts: e.Facts, Counts: e.Counts, Secrets: e.Secrets}
	in.Sent = map[string][]State{id: {sent}}
	stand := func(x *Index) Standing {
		for _, s := range Stand(x, in.Sent) {
			if s.Entry.ID == id {
				return s
			}
		}
		t.Fatal("it is not there")
		return Standing{}
	}
	if s := stand(again); s.Told == nil || s.Changed != "" {
		t.Errorf("%+v", s)
	}
	// Worded otherwise is not other messages.
	in.Decided = []string{"Tokens were revoked."}
	worded, _ := run(again)
	if s := stand(worded); s.Changed != "wording" {
		t.Errorf("%+v", s)
	}
	// One message more.
	in.Exposure.Messages[2].Access = append(in.Exposure.Messages[2].Access, access("jo@own.example", "c-1", casefile.Confirmed, 7))
	more, changes := run(worded)
	if s := stand(more); s.Changed != "facts" || s.Told.Counts.Confirmed != 1 || s.Entry.Counts.Confirmed != 2 || len(changes) != 1 || changes[0].Was == nil {
		t.Errorf("%+v %+v", s, changes)
	}
	now := more.Find(id)
	if text := checkMail(t, "jo", changes[0].Draft.Files[id+".eml"]); !strings.Contains(text, "On 20 January 2024 we told you of 1 confirmed, 1 probable messages") {
		t.Error(text)
	}
	// A code of each version is known, and which is today's.
	for _, v := range append(slices.Clone(now.Earlier), now.Version) {
		if found, version, current := more.ByCode([]byte("key"), v.Code); found == nil || found.ID != id || version.Content != v.Content || current != (v.Content == now.Content) {
			t.Errorf("%s: %+v", v.Code, found)
		}
	}
	if found, _, _ := more.ByCode([]byte("another key"), now.Code); found != nil {
		t.Error("a code of another key")
	}
	// That it was sent changes nothing of what it says.
	in.Sent[id] = append(in.Sent[id], State{ID: id, State: Sent, At: at(21), Content: now.Content, Facts: now.Facts, Counts: now.Counts})
	if _, changes := run(more); len(changes) != 0 {
		t.Errorf("%+v", changes)
	}
	// Who is no longer affected has to be told that.
	in.Case.Campaigns[0].Mailboxes = in.Case.Campaigns[0].Mailboxes[1:]
	gone, _ := run(more)
	if s := stand(gone); s.Changed != "gone" {
		t.Errorf("%+v", s)
	}
	var b bytes.Buffer
	if err := gone.Write(&b); err != nil {
		t.Fatal(err)
	}
	if back, err := ReadIndex(&b); err != nil || cmp.Diff(gone, back) != "" {
		t.Error(err, cmp.Diff(gone, back))
	}
	if _, err := ReadIndex(strings.NewReader(`{"schema":"x"}`)); err == nil {
		t.Error("another schema")
	}
}

func TestUsable(t *testing.T) {
	for a, want := range map[string]bool{"jo@own.example": true, "j.o+x@a.b.example": true, "": false, "jo": false, "jo@own": false, "a b@x.example": false, "a@b@c.example": false, "jö@x.example": false, `"a"@x.example`: false,
		"a\r\n@x.example": false, ".a@x.example": false, "a@x..example": false, "http@x.example": false, "a@www.x.example": false, "a@x.example>": false} {
		if Usable(a) != want {
			t.Errorf("%q", a)
		}
	}
}
