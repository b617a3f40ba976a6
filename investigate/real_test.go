package investigate

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/ingest"
	"midwatch/store/duckdb"
)

// investigateFiles runs the whole way from files to a case.
func investigateFiles(t *testing.T, path string) *casefile.Case {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	in, err := ingest.Run(t.Context(), st, []string{path}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := detect.Run(t.Context(), st, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Investigate(t.Context(), st, r.Findings, Options{Sources: in.Sources, Assessed: r.Assessed, NotAssessed: r.NotAssessed})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkCase holds a case to its contract.
func checkCase(t *testing.T, c *casefile.Case) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := casefile.Write(&b, c); err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile("../docs/case.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("case.json does not follow docs/case.schema.json: %v", err)
	}
	for _, id := range cited(c) {
		if _, ok := c.Evidence[id]; !ok {
			t.Errorf("event %s is cited and has no evidence", id)
		}
	}
	back, err := casefile.Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := casefile.Write(&again, back); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("reading and writing the case again changes it")
	}
	return b.Bytes()
}

// answer is the part of the demo's answer key that is compared.
type answer struct {
	Campaign struct {
		First         string `json:"first_evidence_of_spray"`
		InitialAccess string `json:"initial_access"`
		Last          string `json:"last_mail_access"`
		Spray         struct {
			Failures int      `json:"failures"`
			Accounts int      `json:"accounts"`
			Sprayed  []string `json:"sprayed"`
		} `json:"spray"`
		Accounts []struct {
			Account string `json:"account"`
			Since   string `json:"since"`
		} `json:"accounts"`
		Apps []struct {
			AppID string `json:"app_id"`
			KeyID string `json:"key_id"`
		} `json:"apps"`
		Mailboxes []struct {
			Mailbox    string   `json:"mailbox"`
			Certainty  string   `json:"certainty"`
			First      string   `json:"first"`
			Last       string   `json:"last"`
			MessageIDs []string `json:"message_ids"`
		} `json:"mailboxes"`
		InDirectory int64   `json:"mailboxes_in_directory"`
		Share       float64 `json:"share_of_mailboxes"`
	} `json:"campaign"`
	Unknown struct {
		Silent []string `json:"mailboxes_without_access_logging"`
	} `json:"unknown"`
	MustNotJoin struct {
		Apps []struct {
			AppID string `json:"app_id"`
		} `json:"apps"`
		KeyIDs []struct {
			KeyID string `json:"key_id"`
		} `json:"key_ids"`
		Accounts  []json.RawMessage `json:"accounts"`
		Addresses []json.RawMessage `json:"addresses"`
	} `json:"must_not_join"`
}

func TestDemo(t *testing.T) {
	b, err := os.ReadFile("../testdata/demo-context/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want answer
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	c := investigateFiles(t, "../testdata/demo")
	first := checkCase(t, c)
	if diff := cmp.Diff(string(first), string(checkCase(t, investigateFiles(t, "../testdata/demo")))); diff != "" {
		t.Errorf("a second run gives another case:\n%s", diff)
	}
	if len(c.Campaigns) != 1 {
		t.Fatalf("%d campaigns, want 1", len(c.Campaigns))
	}
	p := c.Campaigns[0]
	if p.Standing != established || p.Severity != casefile.Critical || p.OriginOutside {
		t.Errorf("standing %s, severity %s, origin outside %v", p.Standing, p.Severity, p.OriginOutside)
	}
	for _, x := range [][2]string{{p.Start.String(), want.Campaign.First}, {p.InitialAccess.String(), want.Campaign.InitialAccess}, {p.End.String(), want.Campaign.Last}} {
		if x[0] != x[1] {
			t.Errorf("time %s, want %s", x[0], x[1])
		}
	}
	if !p.FirstDetected.Before(p.InitialAccess.Time) {
		t.Error("the spray could have been seen before it succeeded")
	}

	inside, sprayed := map[string]string{}, 0
	for _, a := range p.Accounts {
		if a.Role == casefile.AccountCompromised || a.Role == casefile.AccountCreated {
			inside[a.UPN] = a.Since.String()
		} else if a.Role == casefile.AccountSprayed {
			sprayed++
		} else {
			t.Errorf("account %s with role %s", a.UPN, a.Role)
		}
	}
	accounts := map[string]string{}
	for _, a := range want.Campaign.Accounts {
		accounts[a.Account] = a.Since
	}
	if diff := cmp.Diff(accounts, inside); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if sprayed != want.Campaign.Spray.Accounts-1 {
		t.Errorf("%d accounts sprayed without success, want %d", sprayed, want.Campaign.Spray.Accounts-1)
	}

	spray := slices.IndexFunc(c.Findings, func(f casefile.Finding) bool { return f.Detector == "slow_spray" })
	if spray < 0 || value(&c.Findings[spray], "attempts") != int64(want.Campaign.Spray.Failures) || value(&c.Findings[spray], "accounts tried") != int64(want.Campaign.Spray.Accounts) {
		t.Errorf("the spray: %+v", c.Findings)
	}

	var apps, keys, wantApps, wantKeys []string
	for _, a := range p.Apps {
		apps = append(apps, a.ID)
	}
	for _, k := range p.Credentials {
		keys = append(keys, k.KeyID)
	}
	for _, a := range want.Campaign.Apps {
		wantApps, wantKeys = append(wantApps, a.AppID), append(wantKeys, a.KeyID)
	}
	if diff := cmp.Diff(casefile.Unique(wantApps), casefile.Unique(apps)); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(casefile.Unique(wantKeys), casefile.Unique(keys)); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}

	got := map[string]casefile.MailboxRef{}
	for _, m := range p.Mailboxes {
		got[m.UPN] = m
	}
	if len(got) != len(want.Campaign.Mailboxes) {
		t.Errorf("%d mailboxes, want %d", len(got), len(want.Campaign.Mailboxes))
	}
	for _, w := range want.Campaign.Mailboxes {
		m := got[w.Mailbox]
		var ids []string
		for _, x := range m.Messages {
			ids = append(ids, x.InternetMessageID)
		}
		if diff := cmp.Diff(strings.Join(casefile.Unique(w.MessageIDs), "\n"), strings.Join(casefile.Unique(ids), "\n")); diff != "" {
			t.Errorf("messages of %s (-want +got):\n%s", w.Mailbox, diff)
		}
		if string(m.Certainty) != w.Certainty || m.First.String() != w.First || m.Last.String() != w.Last || m.Why == "" {
			t.Errorf("%s: %s %s..%s, want %s %s..%s", w.Mailbox, m.Certainty, m.First, m.Last, w.Certainty, w.First, w.Last)
		}
	}
	if n := len(got["hal.brandt@fabrikam.example"].WholeFolders); n != 2 {
		t.Errorf("%d whole folders, want 2", n)
	}
	if ws := got["tomas.reiter@fabrikam.example"].Windows; len(ws) != 1 || ws[0].From.String() != "2023-12-09T02:46:15Z" || ws[0].To.String() != "2023-12-10T02:46:15Z" {
		t.Errorf("throttled windows: %v", ws)
	}
	if p.ShareOfMailboxes.Denominator != want.Campaign.InDirectory || round(p.ShareOfMailboxes.ConfirmedShare+p.ShareOfMailboxes.ProbableShare, 4) != want.Campaign.Share {
		t.Errorf("share: %+v", p.ShareOfMailboxes)
	}
	if !slices.ContainsFunc(p.CannotClear, func(u casefile.Uncleared) bool {
		return cmp.Equal(u.Members, want.Unknown.Silent) && u.Count == int64(len(want.Unknown.Silent))
	}) {
		t.Errorf("the mailboxes whose reads are never recorded are missing: %v", p.CannotClear)
	}
	if !slices.ContainsFunc(p.CannotClear, func(u casefile.Uncleared) bool {
		return strings.Contains(u.Why, "signed in 1 time") && len(u.Events) == 1
	}) {
		t.Errorf("the gap with a sign-in in it is missing: %v", p.CannotClear)
	}

	text := string(mustJSON(t, p))
	for _, a := range want.MustNotJoin.Apps {
		if strings.Contains(text, a.AppID) {
			t.Errorf("application %s does not belong to the campaign", a.AppID)
		}
	}
	for _, k := range want.MustNotJoin.KeyIDs {
		if strings.Contains(text, k.KeyID) {
			t.Errorf("credential %s does not belong to the campaign", k.KeyID)
		}
	}
	if strings.Contains(text, "203.0.113.140") {
		t.Error("the loud spray does not belong to the campaign")
	}
	var strangers, shared []string
	for _, raw := range want.MustNotJoin.Accounts {
		strangers = append(strangers, firstString(raw))
	}
	for _, raw := range want.MustNotJoin.Addresses {
		shared = append(shared, firstString(raw))
	}
	for _, a := range p.Accounts {
		if slices.Contains(strangers, a.UPN) {
			t.Errorf("account %s does not belong to the campaign", a.UPN)
		}
	}
	for _, ip := range p.IPs {
		if slices.Contains(shared, ip.IP) {
			t.Errorf("address %s does not belong to the campaign", ip.IP)
		}
	}
	if n := len(c.Verdict); n < 3 || n > 10 {
		t.Errorf("the verdict has %d sentences", n)
	}
}

// firstString reads a string, or the first string of an object.
func firstString(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var m map[string]any
	_ = json.Unmarshal(raw, &m)
	for _, k := range []string{"account", "address", "ip"} {
		if x, ok := m[k].(string); ok {
			return x
		}
	}
	return ""
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// corpora finds real records outside of the repository.
func corpora(t *testing.T, parts ...string) string {
	t.Helper()
	root := os.Getenv("MIDWATCH_CORPORA")
	if root == "" {
		root = "../../shared/corpora" // ../shared/corpora from the module's root
	} else if !filepath.IsAbs(root) {
		root = filepath.Join("..", root)
	}
	path := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("real records are missing in CI: %v", err)
		}
		t.Skipf("real records are not here (set MIDWATCH_CORPORA): %v", err)
	}
	return path
}

// TestInvictus asks about a real tenant that was attacked for training in
// 2021: passwords of six accounts tried from one address, look-alike
// applications consented to, rules and forwarding to addresses outside.
func TestInvictus(t *testing.T) {
	c := investigateFiles(t, corpora(t, "invictus", "auditrecords.csv"))
	checkCase(t, c)
	by := map[string][]casefile.Finding{}
	for _, f := range c.Findings {
		by[f.Detector] = append(by[f.Detector], f)
	}
	spray := by["failures_one_ip"]
	if len(spray) != 1 || value(&spray[0], "accounts that failed") != 6 || !slices.Contains(conversions(&spray[0]), "a.thulile@dutchmasterz.onmicrosoft.com") {
		t.Errorf("the guessing from one address: %+v", spray)
	}
	if len(by["app_only_mail_grant"]) != 1 || !strings.Contains(by["app_only_mail_grant"][0].Title, "Test2 was granted") {
		t.Errorf("grants of all mail: %+v", by["app_only_mail_grant"])
	}
	outside := 0
	for _, f := range append(by["external_forwarding"], by["inbox_rule_hides_or_forwards"]...) {
		outside += len(entities(&f, casefile.Address, casefile.RoleTarget))
	}
	if outside != 3 {
		t.Errorf("mail goes to %d addresses outside, want 3", outside)
	}
	if len(c.Campaigns) == 0 || c.Campaigns[0].Standing != established {
		t.Fatal("no established campaign")
	}
	p := c.Campaigns[0]
	if p.Accounts[0].UPN != "a.thulile@dutchmasterz.onmicrosoft.com" || p.Accounts[0].Role != casefile.AccountCompromised {
		t.Errorf("first account %+v", p.Accounts[0])
	}
	// One was read; two more were given to an account that the actor made.
	if len(p.Mailboxes) != 3 || len(p.Mailboxes[0].Messages) != 31 || p.Reach.Mailboxes != (casefile.PerCertainty{Confirmed: 1, Possible: 2}) {
		t.Errorf("mailboxes %+v", p.Mailboxes)
	}
	if !slices.ContainsFunc(p.Apps, func(a casefile.AppRef) bool { return a.Name == "rnicrosoft_office" }) {
		t.Errorf("applications %+v", p.Apps)
	}
	for _, x := range c.Campaigns[1:] {
		if x.Standing == established {
			t.Errorf("a second established campaign: %s", x.Title)
		}
	}
	// Microsoft's own processes are two thirds of the records and nobody's campaign.
	if c.Coverage.Quality.Service == 0 {
		t.Error("no records of the vendor's own processes are counted")
	}
	for _, e := range c.Evidence {
		if strings.HasPrefix(e.Actor, `nt authority\`) {
			t.Errorf("the vendor's own process as evidence: %+v", e)
		}
	}
}
