package investigate

import (
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/detect/detecttest"
)

// investigateRows runs detectors and investigate on rows of columns.
func investigateRows(t *testing.T, names ...string) *casefile.Case {
	t.Helper()
	var paths []string
	for _, n := range names {
		paths = append(paths, "testdata/"+n+".ndjson")
	}
	q := detecttest.Open(t, paths...)
	r, err := detect.Run(t.Context(), q, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Investigate(t.Context(), q, r.Findings, Options{Assessed: r.Assessed, NotAssessed: r.NotAssessed})
	if err != nil {
		t.Fatal(err)
	}
	checkCase(t, c)
	return c
}

func one(t *testing.T, c *casefile.Case) casefile.Campaign {
	t.Helper()
	if len(c.Campaigns) != 1 {
		for _, p := range c.Campaigns {
			t.Log(p.Title, p.Findings)
		}
		t.Fatalf("%d campaigns, want 1", len(c.Campaigns))
	}
	return c.Campaigns[0]
}

func mailboxOf(t *testing.T, p casefile.Campaign, upn string) casefile.MailboxRef {
	t.Helper()
	i := slices.IndexFunc(p.Mailboxes, func(m casefile.MailboxRef) bool { return m.UPN == upn })
	if i < 0 {
		t.Fatalf("%s was not reached: %v", upn, p.Mailboxes)
	}
	return p.Mailboxes[i]
}

func TestEmpty(t *testing.T) {
	q := detecttest.Open(t)
	r, err := detect.Run(t.Context(), q, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Investigate(t.Context(), q, r.Findings, Options{NotAssessed: r.NotAssessed})
	if err != nil {
		t.Fatal(err)
	}
	checkCase(t, c)
	if len(c.NotAssessed) != len(detect.All(detect.Settings{})) {
		t.Errorf("%d detectors were not assessed, want all", len(c.NotAssessed))
	}
	for _, s := range c.Verdict {
		if s.Kind == casefile.Absence && strings.Contains(s.Text, "No ") {
			t.Errorf("absence without a single record: %q", s.Text)
		}
	}
}

// TestTwoActors: two applications of two actors share a tenant, its office
// address and its administrator, and stay two.
func TestTwoActors(t *testing.T) {
	c := investigateRows(t, "two_actors")
	if len(c.Campaigns) != 2 {
		for _, p := range c.Campaigns {
			t.Log(p.Title, p.Joins)
		}
		t.Fatalf("%d campaigns, want 2", len(c.Campaigns))
	}
	for _, p := range c.Campaigns {
		if len(p.Apps) != 1 || len(p.Mailboxes) != 1 {
			t.Errorf("%s: applications %v, mailboxes %v", p.Title, p.Apps, p.Mailboxes)
		}
	}
}

// TestTakenOver: a backup application that reads all mail every night gets a
// second secret from an account that was guessed. What it reads from the
// backup's own address stays the backup's.
func TestTakenOver(t *testing.T) {
	p := one(t, investigateRows(t, "taken_over"))
	if len(p.Mailboxes) != 1 {
		t.Fatalf("mailboxes: %v", p.Mailboxes)
	}
	m := mailboxOf(t, p, "boss@contoso.com")
	if len(m.Messages) != 1 || m.Messages[0].InternetMessageID != "secret@contoso.com" {
		t.Errorf("messages: %v", m.Messages)
	}
	if len(p.Apps) != 1 || p.Apps[0].Role != casefile.AppTakenOver || !strings.Contains(p.Contexts[len(p.Contexts)-1].Limit+p.Apps[0].Why, "read mail before") {
		t.Errorf("applications: %+v", p.Apps)
	}
	if a := p.Accounts[0]; a.UPN != "admin@contoso.com" || a.Role != casefile.AccountCompromised || a.Since.String() != "2023-12-01T02:40:00Z" {
		t.Errorf("account: %+v", a)
	}
}

// TestCertainties: what a record proves.
func TestCertainties(t *testing.T) {
	p := one(t, investigateRows(t, "certainties"))
	for _, x := range []struct {
		upn                string
		certainty          casefile.Certainty
		messages, probable int64
		folders, windows   int64
	}{
		{"bind@contoso.com", casefile.Confirmed, 2, 0, 0, 0},
		{"sync@contoso.com", casefile.Probable, 0, 0, 1, 0},
		{"lost@contoso.com", casefile.Confirmed, 1, 4, 0, 0},
		{"nothing.left@contoso.com", casefile.Probable, 0, 7, 0, 0},
		{"throttled@contoso.com", casefile.Confirmed, 1, 0, 0, 1},
		{"silent@contoso.com", casefile.Confirmed, 1, 0, 0, 1},
		{"list@contoso.com", casefile.Possible, 0, 0, 0, 0},
	} {
		m := mailboxOf(t, p, x.upn)
		if m.Certainty != x.certainty || m.Counts.Messages.Confirmed != x.messages || m.Counts.Messages.Probable != x.probable || m.Counts.WholeFolders != x.folders || m.Counts.Windows != x.windows {
			t.Errorf("%s: %s, %+v; want %+v", x.upn, m.Certainty, m.Counts, x)
		}
	}
	if len(p.Mailboxes) != 7 {
		t.Errorf("%d mailboxes, want 7: %v", len(p.Mailboxes), p.Mailboxes)
	}
	if r := p.Reach.Mailboxes; r.Confirmed != 4 || r.Probable != 2 || r.Possible != 1 {
		t.Errorf("reach: %+v", r)
	}
}

// TestNoMailRecords: an application may read all mail, and no record of reading
// was received. That is a statement about all mailboxes, not silence.
func TestNoMailRecords(t *testing.T) {
	c := investigateRows(t, "no_mail_records")
	p := one(t, c)
	if len(p.Mailboxes) != 0 || len(p.CannotClear) != 1 || p.CannotClear[0].Count != 3 || p.CannotClear[0].Certainty != casefile.Possible {
		t.Errorf("mailboxes %v, cannot clear %+v", p.Mailboxes, p.CannotClear)
	}
	for _, s := range append(p.Verdict, c.Verdict...) {
		if s.Kind == casefile.Absence {
			t.Errorf("absence is claimed without coverage: %q", s.Text)
		}
	}
	if !slices.ContainsFunc(c.NotAssessed, func(n casefile.NotAssessed) bool { return n.Detector == "first_seen_mailbox_app" }) {
		t.Errorf("not assessed: %v", c.NotAssessed)
	}
}

// TestNoiseStaysNoise: a loud spray without success, a developer's new secret
// and a walk through the town are findings and no campaign.
func TestNoiseStaysNoise(t *testing.T) {
	c := investigateRows(t, "noise")
	if len(c.Findings) < 3 {
		t.Errorf("%d findings, want 3", len(c.Findings))
	}
	for _, p := range c.Campaigns {
		t.Errorf("a campaign: %s %v", p.Title, p.Joins)
	}
}

// TestOrdinaryLife: an office, homes, phones, travellers and typos, and servers
// that try everybody's password and are never right. Accounts that were tried
// sign in from hotels and get new devices, as people do. There is no campaign,
// nobody is compromised, and nobody's own mail was reached.
func TestOrdinaryLife(t *testing.T) {
	c := investigateRows(t, "ordinary_life")
	for _, f := range c.Findings {
		if f.Severity.Rank() > casefile.Low.Rank() {
			t.Errorf("%s: %s: %s", f.Severity, f.Title, f.Why)
		}
		if len(conversions(&f)) > 0 {
			t.Errorf("%s: guessed: %v", f.Title, conversions(&f))
		}
	}
	if len(c.Findings) != 2 {
		t.Errorf("%d findings, want the two loud sprays", len(c.Findings))
	}
	for _, p := range c.Campaigns {
		t.Errorf("a campaign: %s %v", p.Title, p.Joins)
	}
}

// TestLoudTwice: two servers guess at the same accounts in one hour, and each
// is right once, days later. That is one actor. A third server of somebody
// else is not, and the owners' mail is theirs.
func TestLoudTwice(t *testing.T) {
	p := one(t, investigateRows(t, "loud_twice"))
	var in []string
	for _, a := range p.Accounts {
		if a.Role == casefile.AccountCompromised {
			in = append(in, a.UPN)
		}
	}
	slices.Sort(in)
	if !slices.Equal(in, []string{"u3@contoso.com", "u5@contoso.com"}) {
		t.Errorf("compromised: %v", in)
	}
	// Two addresses, and the two accounts whose passwords were guessed.
	if len(p.Findings) != 4 || len(p.Mailboxes) != 1 || p.Mailboxes[0].UPN != "u3@contoso.com" || len(p.Mailboxes[0].Messages) != 1 {
		t.Errorf("findings %v, mailboxes %+v", p.Findings, p.Mailboxes)
	}
}
