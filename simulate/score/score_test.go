package score

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/simulate"
)

var day0 = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func at(days, hours float64) time.Time {
	return day0.Add(time.Duration((days*24 + hours) * float64(time.Hour)))
}

func ct(days, hours float64) casefile.Time { return casefile.TimeOf(at(days, hours)) }

// key is a tenant of 1,000 with one actor: two accounts, an application, four
// addresses (one shared), three mailboxes, and four messages.
func key() *simulate.Truth {
	return &simulate.Truth{
		Schema: simulate.TruthSchema, Scenario: "midnight", Seed: 7, Users: 1000, Days: 10, Start: at(0, 0), End: at(10, 0), Records: 5000,
		Tenants: []simulate.TenantOf{
			{ID: "T1", Role: "corporate", Domains: []string{"corp.example"}, Users: 1000, Mailboxes: 1000, LogsHanded: true},
			{ID: "T2", Role: "test", Domains: []string{"test.example"}, Users: 20, Mailboxes: 20, LogsHanded: false},
		},
		Campaigns: []simulate.CampaignOf{{
			ID: "a1", Actor: "Grey Heron", Kind: "midnight",
			Start: at(1, 0), End: at(9, 0), FirstRecord: at(1, 2), FirstSuccess: at(3, 0), FirstSuccessRecord: at(3, 1),
			Tenants:     []string{"T1", "T2"},
			IPs:         []simulate.IPOf{{IP: "100.64.0.1"}, {IP: "100.64.0.2"}, {IP: "100.64.0.3"}, {IP: "100.64.9.9", Shared: true}},
			Sprayed:     []string{"a@corp.example", "b@corp.example", "c@corp.example", "x@test.example"},
			Compromised: []simulate.AccountOf{{UPN: "a@corp.example", Tenant: "T1"}, {UPN: "x@test.example", Tenant: "T2"}},
			Created:     []simulate.AccountOf{{UPN: "svc@corp.example", Tenant: "T1"}},
			Apps:        []simulate.AppOf{{AppID: "app-1", ServicePrincipal: "sp-1", Object: "obj-1", KeyIDs: []string{"key-1"}}},
			Credentials: []simulate.CredentialOf{{KeyID: "key-1", AppID: "app-1"}},
			Mailboxes: []simulate.MailboxOf{
				{UPN: "ceo@corp.example", GUID: "g-ceo", Messages: []simulate.MessageOf{{ID: "m1@corp.example", Read: at(5, 0), How: "bind"}, {ID: "m2@corp.example", Read: at(5, 1), How: "bind"}}},
				{UPN: "cfo@corp.example", GUID: "g-cfo", Messages: []simulate.MessageOf{{ID: "m3@corp.example", Read: at(6, 0), How: "sync"}}},
				{UPN: "law@corp.example", GUID: "g-law", Messages: []simulate.MessageOf{{ID: "m4@corp.example", Read: at(7, 0), How: "throttled"}}},
			},
		}},
		LookAlikes: []simulate.LookAlike{{Kind: "backup_app", AppID: "app-backup"}, {Kind: "traveller", Account: "t@corp.example"}},
		Noise:      []simulate.LookAlike{{Kind: "noisy_spray", IP: "198.18.0.1"}},
	}
}

// perfect is the case that says all of it.
func perfect() *casefile.Case {
	return &casefile.Case{
		Schema:   casefile.Schema,
		Case:     casefile.Summary{Tenants: []casefile.Tenant{{ID: "t1"}}, Events: 5000},
		Assessed: []casefile.Assessed{{Detector: "slow_spray"}, {Detector: "first_seen_mailbox_app"}, {Detector: "app_credential_added"}},
		Findings: []casefile.Finding{
			{ID: "f-1", Detector: "slow_spray", Severity: casefile.High, First: ct(1, 2), Last: ct(3, 0), Detected: ct(2, 2), Entities: []casefile.Entity{
				{Kind: casefile.IP, ID: "100.64.0.1"}, {Kind: casefile.IP, ID: "100.64.0.2"}, {Kind: casefile.Account, ID: "a@corp.example", Role: casefile.RoleConverted}}},
			{ID: "f-2", Detector: "app_credential_added", Severity: casefile.Low, First: ct(1, 8), Last: ct(4, 0), Detected: ct(1, 8), Entities: []casefile.Entity{{Kind: casefile.App, ID: "APP-1"}}},
			{ID: "f-3", Detector: "failures_one_ip", Severity: casefile.Low, First: ct(0, 1), Last: ct(9, 9), Detected: ct(0, 2), Entities: []casefile.Entity{{Kind: casefile.IP, ID: "198.18.0.1"}, {Kind: casefile.Account, ID: "b@corp.example", Role: casefile.RoleVictim}}},
		},
		Campaigns: []casefile.Campaign{{
			ID: "c-1", Standing: "established", Start: ct(1, 2), InitialAccess: ct(3, 1), End: ct(9, 0), Findings: []string{"f-1", "f-2"},
			Accounts: []casefile.AccountRef{
				{UPN: "a@corp.example", Role: "compromised", Roles: []string{"compromised", "guessed"}, Certainty: casefile.Confirmed},
				{UPN: "svc@corp.example", Role: "created", Roles: []string{"created"}, Certainty: casefile.Confirmed},
				{UPN: "b@corp.example", Role: "sprayed", Roles: []string{"sprayed"}, Certainty: casefile.Possible},
				{UPN: "c@corp.example", Role: "sprayed", Roles: []string{"sprayed"}, Certainty: casefile.Possible},
			},
			Apps:        []casefile.AppRef{{ID: "app-1", ServicePrincipals: []string{"sp-1", "obj-1"}, Certainty: casefile.Confirmed}},
			Credentials: []casefile.CredentialRef{{KeyID: "key-1"}},
			IPs:         []casefile.IPRef{{IP: "100.64.0.1"}, {IP: "100.64.0.2"}, {IP: "100.64.0.3"}, {IP: "100.64.9.9"}},
			Mailboxes: []casefile.MailboxRef{
				{UPN: "CEO@corp.example", Certainty: casefile.Confirmed, Messages: []casefile.MessageRef{{InternetMessageID: "<M1@corp.example>", Certainty: casefile.Confirmed}, {InternetMessageID: "m2@corp.example", Certainty: casefile.Confirmed}}},
				{UPN: "cfo@corp.example", Certainty: casefile.Probable, WholeFolders: []casefile.FolderRef{{Folder: "Inbox"}}},
				{ID: "g-law", Certainty: casefile.Probable, Windows: []casefile.Window{{From: ct(6, 20), To: ct(7, 20)}}},
			},
		}},
	}
}

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-6 {
		t.Errorf("%s is %v, want %v", what, deref(got), want)
	}
}

func deref(p *float64) any {
	if p == nil {
		return "null"
	}
	return *p
}

// counts is truth, found, unknown, missed, listed, wrong, hedged of a kind.
func counts(s *Score, kind string) [7]int {
	e := s.Entity(kind)
	return [7]int{e.Truth, e.Found, e.Unknown, e.Missed, e.Listed, e.Wrong, e.Hedged}
}

func check(t *testing.T, s *Score, kind string, want [7]int) {
	t.Helper()
	if got := counts(s, kind); got != want {
		t.Errorf("%s: truth, found, unknown, missed, listed, wrong, hedged are %v, want %v", kind, got, want)
	}
	e := s.Entity(kind)
	if e.Truth != e.Found+e.Unknown+e.Missed || e.Listed != e.Right+e.Wrong {
		t.Errorf("%s does not add up: %+v", kind, e)
	}
}

func TestAPerfectCase(t *testing.T) {
	s := Compare(key(), perfect())
	if len(s.Warnings) > 0 {
		t.Errorf("warnings: %v", s.Warnings)
	}
	check(t, s, Accounts, [7]int{2, 2, 0, 0, 2, 0, 0})
	check(t, s, Sprayed, [7]int{3, 3, 0, 0, 3, 0, 0})
	check(t, s, Apps, [7]int{1, 1, 0, 0, 1, 0, 0})
	check(t, s, Credentials, [7]int{1, 1, 0, 0, 1, 0, 0})
	check(t, s, IPs, [7]int{4, 4, 0, 0, 4, 0, 0})
	check(t, s, Mailboxes, [7]int{3, 3, 0, 0, 3, 0, 0})
	check(t, s, Messages, [7]int{4, 2, 2, 0, 2, 0, 0})
	if n := s.Entity(Accounts).Outside; n != 1 {
		t.Errorf("%d accounts outside, want 1", n)
	}
	near(t, "value", s.Mailboxes.Value, 1)
	c := s.Campaigns[0]
	near(t, "start error", c.StartError, 0)
	near(t, "start error against the deed", c.StartDeedError, 2)
	near(t, "access error", c.AccessError, 0)
	// The slight finding is the first, the grave one the first alert.
	near(t, "first finding after the first record", c.FoundAt.AfterFirst, 6)
	near(t, "first alert after the first record", c.AlertedAt.AfterFirst, 24)
	near(t, "first alert after the first success", c.AlertedAt.AfterSuccess, -23)
	if diff := cmp.Diff(map[string]casefile.Time{"slow_spray": ct(2, 2), "app_credential_added": ct(1, 8)}, c.By); diff != "" {
		t.Error(diff)
	}
	near(t, "false findings", s.Findings.PerDay1000, 0)
	if f := s.Findings; f.Right != 2 || f.Noise != 1 || f.False+f.FalseMinor != 0 {
		t.Errorf("findings %+v", f)
	}
	if a := s.Actors; a.Found != 1 || len(a.Merged)+len(a.Split)+len(a.Missed) != 0 {
		t.Errorf("actors %+v", a)
	}
	if len(s.LookAlikes.Joined)+len(s.LookAlikes.NoiseJoined) != 0 {
		t.Errorf("look-alikes %+v", s.LookAlikes)
	}
}

func TestAnEmptyCaseClearsEverybody(t *testing.T) {
	s := Compare(key(), &casefile.Case{Schema: casefile.Schema})
	check(t, s, Mailboxes, [7]int{3, 0, 0, 3, 0, 0, 0})
	check(t, s, Messages, [7]int{4, 0, 0, 4, 0, 0, 0})
	if s.Entity(Mailboxes).Precision != nil {
		t.Error("nothing is listed, and there is a precision")
	}
	near(t, "recall", s.Entity(Mailboxes).Recall, 0)
	near(t, "value", s.Mailboxes.Value, 0)
	if s.Mailboxes.Cost != 30 || len(s.Actors.Missed) != 1 || s.Campaigns[0].FoundAt != nil || s.Campaigns[0].StartError != nil {
		t.Errorf("%+v %+v", s.Mailboxes, s.Actors)
	}
	if len(s.Warnings) == 0 {
		t.Error("a case without events, and no warning")
	}
}

func TestNotAssessedIsNotCleared(t *testing.T) {
	c := &casefile.Case{Schema: casefile.Schema, NotAssessed: []casefile.NotAssessed{{Detector: "first_seen_mailbox_app"}}, Assessed: []casefile.Assessed{{Detector: "slow_spray"}}}
	s := Compare(key(), c)
	check(t, s, Mailboxes, [7]int{3, 0, 3, 0, 0, 0, 0})
	check(t, s, Apps, [7]int{1, 0, 1, 0, 0, 0, 0})
	check(t, s, IPs, [7]int{4, 0, 0, 4, 0, 0, 0})
	if s.Mailboxes.Uncleared != 1000 || s.Mailboxes.Cost != 100 { // unknown is not free, either
		t.Errorf("%+v", s.Mailboxes)
	}
}

func TestAnEmptyKey(t *testing.T) {
	k := key()
	k.Campaigns, k.Scenario = nil, "quiet"
	s := Compare(k, perfect())
	check(t, s, Mailboxes, [7]int{0, 0, 0, 0, 3, 3, 0})
	if s.Mailboxes.Value != nil || s.Mailboxes.Cost != 3 {
		t.Errorf("%+v", s.Mailboxes)
	}
	f := s.Findings
	if f.False != 1 || f.FalseMinor != 1 || f.Noise != 1 || f.FalseEstablished != 1 {
		t.Errorf("findings %+v", f)
	}
	near(t, "false findings per day and 1,000 users", f.PerDay1000, 0.1)
	if len(f.FalseOnes) != 3 || f.FalseOnes[0].ID != "f-1" || f.FalseOnes[2].ID != "c-1" || f.FalseOnes[2].Detector != "" {
		t.Errorf("false ones %+v", f.FalseOnes)
	}
	if diff := cmp.Diff(map[string]int{"slow_spray": 1, "app_credential_added": 1}, f.ByDetector); diff != "" {
		t.Error(diff)
	}
	// Neither: nothing to be said, and nothing said.
	s = Compare(k, &casefile.Case{Schema: casefile.Schema})
	if s.Entity(Mailboxes).Recall != nil || s.Mailboxes.Cost != 0 || s.Actors.Truth != 0 {
		t.Errorf("%+v", s)
	}
}

func TestEverythingListed(t *testing.T) {
	c := perfect()
	p := &c.Campaigns[0]
	for i := range 997 {
		p.Mailboxes = append(p.Mailboxes, casefile.MailboxRef{UPN: fmt.Sprintf("u%d@corp.example", i), Certainty: casefile.Confirmed})
	}
	p.Apps = append(p.Apps, casefile.AppRef{ID: "app-backup", Certainty: casefile.Confirmed})
	p.Accounts = append(p.Accounts, casefile.AccountRef{UPN: "t@corp.example", Role: "compromised", Certainty: casefile.Confirmed})
	s := Compare(key(), c)
	check(t, s, Mailboxes, [7]int{3, 3, 0, 0, 1000, 997, 0})
	near(t, "precision", s.Entity(Mailboxes).Precision, 0.003)
	near(t, "recall", s.Entity(Mailboxes).Recall, 1)
	if *s.Mailboxes.Value > -30 { // thirty times worse than silence, of three mailboxes among a thousand
		t.Errorf("listing everybody is worth %v", *s.Mailboxes.Value)
	}
	if n := len(s.Entity(Mailboxes).WrongIDs); n != maxListed {
		t.Errorf("%d ids are listed", n)
	}
	want := []Joined{{Kind: "backup_app", ID: "app-backup", Campaign: "c-1", Standing: "established", Actor: "a1"}, {Kind: "traveller", ID: "t@corp.example", Campaign: "c-1", Standing: "established", Actor: "a1"}}
	if diff := cmp.Diff(want, s.LookAlikes.Joined); diff != "" {
		t.Error(diff)
	}
}

func TestEverythingPossible(t *testing.T) {
	c := &casefile.Case{Schema: casefile.Schema, Campaigns: []casefile.Campaign{{ID: "c-1", CannotClear: []casefile.Uncleared{
		{What: "mailboxes", Count: 990, Members: []string{}},
		{What: "mailboxes", Count: 1, Members: []string{"law@corp.example"}},
	}}}}
	s := Compare(key(), c)
	check(t, s, Mailboxes, [7]int{3, 0, 3, 0, 0, 0, 0})
	if e := s.Entity(Mailboxes); e.UnknownByCount != 2 {
		t.Errorf("%d by count, want 2", e.UnknownByCount)
	}
	near(t, "recall", s.Entity(Mailboxes).Recall, 0)
	near(t, "recall with unknown", s.Entity(Mailboxes).RecallWithUnknown, 1)
	if s.Mailboxes.Uncleared != 991 || math.Abs(s.Mailboxes.Cost-99.1) > 1e-9 {
		t.Errorf("%+v", s.Mailboxes)
	}
	// A count that is too small covers no more than it says.
	c.Campaigns[0].CannotClear = []casefile.Uncleared{{What: "mailboxes", Count: 1}, {What: "files", Count: 100}}
	check(t, Compare(key(), c), Mailboxes, [7]int{3, 0, 1, 2, 0, 0, 0})
}

func TestClearingCostsMoreThanListing(t *testing.T) {
	cleared, over := perfect(), perfect()
	cleared.Campaigns[0].Mailboxes = cleared.Campaigns[0].Mailboxes[1:]
	over.Campaigns[0].Mailboxes = append(over.Campaigns[0].Mailboxes, casefile.MailboxRef{UPN: "z@corp.example", Certainty: casefile.Probable})
	a, b := Compare(key(), cleared).Mailboxes, Compare(key(), over).Mailboxes
	if a.Cost != FalselyClearedWeight || b.Cost != OverListedWeight || *a.Value >= *b.Value {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestWrongTenant(t *testing.T) {
	c := perfect()
	c.Case.Tenants[0].ID = "T9"
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("corp.example", "other.example", "100.64.", "100.99.", "app-1", "app-9", "APP-1", "app-9", "sp-1", "sp-9", "obj-1", "obj-9", "key-1", "key-9", "198.18", "198.19", "g-law", "g-x")
	c = &casefile.Case{}
	if err := json.Unmarshal([]byte(other.Replace(string(b))), c); err != nil {
		t.Fatal(err)
	}
	s := Compare(key(), c)
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "other tenants") {
		t.Errorf("warnings %v", s.Warnings)
	}
	check(t, s, Accounts, [7]int{2, 0, 0, 2, 2, 2, 0})
	check(t, s, Mailboxes, [7]int{3, 0, 0, 3, 3, 3, 0})
	if s.Findings.Right != 0 || s.Findings.False != 1 || s.Actors.Found != 0 || s.Findings.FalseEstablished != 1 {
		t.Errorf("%+v %+v", s.Findings, s.Actors)
	}
	if *s.Mailboxes.Value >= 0 {
		t.Errorf("value %v", *s.Mailboxes.Value)
	}
}

func TestDuplicatesCountOnce(t *testing.T) {
	c := perfect()
	p := &c.Campaigns[0]
	p.Mailboxes = append(p.Mailboxes, p.Mailboxes...)
	p.IPs = append(p.IPs, p.IPs...)
	k := key()
	k.Campaigns[0].IPs = append(k.Campaigns[0].IPs, k.Campaigns[0].IPs...)
	s := Compare(k, c)
	check(t, s, Mailboxes, [7]int{3, 3, 0, 0, 3, 0, 0})
	check(t, s, IPs, [7]int{4, 4, 0, 0, 4, 0, 0})
	check(t, s, Messages, [7]int{4, 2, 2, 0, 2, 0, 0})
	// The same campaign twice is one actor split.
	c = perfect()
	again := c.Campaigns[0]
	again.ID = "c-2"
	c.Campaigns = append(c.Campaigns, again)
	s = Compare(key(), c)
	check(t, s, Mailboxes, [7]int{3, 3, 0, 0, 3, 0, 0})
	if len(s.Actors.Split) != 1 || s.Actors.Found != 1 || s.Campaigns[0].Matched != "c-1" {
		t.Errorf("%+v", s.Actors)
	}
}

func TestTwoActors(t *testing.T) {
	k := key()
	k.Campaigns = append(k.Campaigns, simulate.CampaignOf{
		ID: "a2", Actor: "Loud Crow", Kind: "loudspray", Start: at(2, 0), End: at(4, 0), FirstRecord: at(2, 0),
		IPs: []simulate.IPOf{{IP: "198.18.7.7"}}, Sprayed: []string{"b@corp.example", "d@corp.example"},
	})
	c := perfect()
	s := Compare(k, c) // the second is not found
	if diff := cmp.Diff(Actors{Truth: 2, Found: 1, Missed: []string{"a2"}, Merged: []Merge{}, Split: []Split{}}, s.Actors); diff != "" {
		t.Error(diff)
	}
	// In one campaign of the case, they are merged.
	c.Campaigns[0].IPs = append(c.Campaigns[0].IPs, casefile.IPRef{IP: "198.18.7.7"})
	s = Compare(k, c)
	if diff := cmp.Diff([]Merge{{Campaign: "c-1", Actors: []string{"a1", "a2"}}}, s.Actors.Merged); diff != "" {
		t.Error(diff)
	}
	// An address that the case calls shared joins nobody.
	c.Campaigns[0].IPs[len(c.Campaigns[0].IPs)-1].Shared = true
	if s = Compare(k, c); len(s.Actors.Merged) != 0 {
		t.Errorf("%+v", s.Actors)
	}
	// In two, they are two.
	c = perfect()
	c.Campaigns = append(c.Campaigns, casefile.Campaign{ID: "c-2", Standing: "suspected", Start: ct(2, 0), End: ct(4, 0), IPs: []casefile.IPRef{{IP: "198.18.7.7"}}})
	s = Compare(k, c)
	if s.Actors.Found != 2 || len(s.Actors.Merged)+len(s.Actors.Split) != 0 || s.Campaigns[1].Matched != "c-2" {
		t.Errorf("%+v", s.Actors)
	}
}

func TestOneStrayAddressMakesNothingTrue(t *testing.T) {
	k := key()
	k.Campaigns[0].IPs = k.Campaigns[0].IPs[:0]
	for i := range 40 {
		k.Campaigns[0].IPs = append(k.Campaigns[0].IPs, simulate.IPOf{IP: fmt.Sprintf("100.64.1.%d", i)})
	}
	f := casefile.Finding{ID: "f-9", Detector: "slow_spray", Severity: casefile.Medium, First: ct(1, 0), Last: ct(2, 0), Detected: ct(2, 0)}
	for i := range 30 {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: fmt.Sprintf("100.65.1.%d", i)})
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: "100.64.1.1"})
	s := Compare(k, &casefile.Case{Schema: casefile.Schema, Findings: []casefile.Finding{f}})
	if s.Findings.Right != 0 || s.Findings.False != 1 {
		t.Errorf("%+v", s.Findings)
	}
}

func TestSuspectedCampaignsAreCountedApartToo(t *testing.T) {
	c := perfect()
	c.Campaigns = append(c.Campaigns, casefile.Campaign{ID: "c-2", Standing: "suspected", Start: ct(2, 0), End: ct(3, 0), Mailboxes: []casefile.MailboxRef{{UPN: "z@corp.example", Certainty: casefile.Confirmed}}})
	s := Compare(key(), c)
	check(t, s, Mailboxes, [7]int{3, 3, 0, 0, 4, 1, 0})
	if s.Findings.FalseSuspected != 1 {
		t.Errorf("%+v", s.Findings)
	}
	s.Entities = s.Established
	check(t, s, Mailboxes, [7]int{3, 3, 0, 0, 3, 0, 0})
}

func TestGuessingBeforeTheLogsCannotBeFound(t *testing.T) {
	k := key()
	k.Campaigns[0].Stages = []simulate.StageOf{{Name: "spray", Deeds: 40, Records: 0}, {Name: "collection", Records: 9}}
	s := Compare(k, &casefile.Case{Schema: casefile.Schema})
	check(t, s, Sprayed, [7]int{})
	if n := s.Entity(Sprayed).Outside; n != 4 {
		t.Errorf("%d outside, want 4", n)
	}
	k.Campaigns[0].Stages[0].Records = 1
	check(t, Compare(k, &casefile.Case{Schema: casefile.Schema}), Sprayed, [7]int{3, 0, 0, 3})
}

func TestTimes(t *testing.T) {
	c := perfect()
	c.Campaigns[0].Start, c.Campaigns[0].InitialAccess = ct(0, 2), ct(4, 1)
	c.Findings[0].Detected = ct(0, 5) // before there was an actor: something else raised it
	c.Findings[1].Detected = casefile.Time{}
	s := Compare(key(), c)
	x := s.Campaigns[0]
	near(t, "start error", x.StartError, -24)
	near(t, "access error", x.AccessError, 24)
	if x.EarlyAlarms != 1 || x.FoundAt != nil || x.AlertedAt != nil || x.Findings != 2 {
		t.Errorf("%+v", x)
	}
	// A finding from before the campaign is not about it, whatever it names.
	c = perfect()
	c.Findings[1].First, c.Findings[1].Last = ct(0, 1), ct(0, 2)
	if s = Compare(key(), c); s.Findings.FalseMinor != 1 {
		t.Errorf("%+v", s.Findings)
	}
	// No success in the logs: no delay from it.
	k := key()
	k.Campaigns[0].FirstSuccessRecord = time.Time{}
	if x = Compare(k, perfect()).Campaigns[0]; x.AlertedAt.AfterSuccess != nil || x.AccessError != nil {
		t.Errorf("%+v", x)
	}
}

func TestNoiseInTheQuietCampaign(t *testing.T) {
	c := perfect()
	c.Campaigns = append(c.Campaigns, casefile.Campaign{ID: "c-n", Standing: "suspected", IPs: []casefile.IPRef{{IP: "198.18.0.1"}}, Accounts: []casefile.AccountRef{{UPN: "q@corp.example", Role: "sprayed", Roles: []string{"sprayed"}}}})
	s := Compare(key(), c)
	if s.Findings.FalseSuspected != 0 || len(s.LookAlikes.NoiseJoined) != 0 { // a campaign of its own is right
		t.Errorf("%+v %+v", s.Findings, s.LookAlikes)
	}
	check(t, s, IPs, [7]int{4, 4, 0, 0, 4, 0, 0})
	check(t, s, Sprayed, [7]int{3, 3, 0, 0, 3, 0, 0})
	c = perfect()
	c.Campaigns[0].IPs = append(c.Campaigns[0].IPs, casefile.IPRef{IP: "198.18.0.1"})
	s = Compare(key(), c)
	if len(s.LookAlikes.NoiseJoined) != 1 {
		t.Errorf("%+v", s.LookAlikes)
	}
	check(t, s, IPs, [7]int{4, 4, 0, 0, 5, 1, 0})
}

func TestNoiseFromASecondAddress(t *testing.T) {
	k := key()
	k.Noise[0].From, k.Noise[0].To = at(4, 0), at(4, 0.5)
	f := casefile.Finding{ID: "f-9", Detector: "failures_one_ip", Severity: casefile.Low, First: ct(4, 0.1), Last: ct(4, 0.4), Entities: []casefile.Entity{
		{Kind: casefile.IP, ID: "198.18.0.2"}, {Kind: casefile.Account, ID: "q@corp.example", Role: casefile.RoleVictim}}}
	c := perfect()
	c.Findings = append(c.Findings, f)
	if s := Compare(k, c); s.Findings.Noise != 2 || s.Findings.FalseMinor != 0 {
		t.Errorf("%+v", s.Findings)
	}
	c.Findings[3].Last = ct(4, 2) // goes on when the noise is over
	if s := Compare(k, c); s.Findings.Noise != 1 || s.Findings.FalseMinor != 1 {
		t.Errorf("%+v", s.Findings)
	}
	c.Findings[3].Last = ct(4, 0.4)
	c.Findings[3].Entities[1].Role = casefile.RoleConverted // noise never succeeds
	if s := Compare(k, c); s.Findings.Noise != 1 {
		t.Errorf("%+v", s.Findings)
	}
}

func TestItemsWithoutANameCoverTheirMailboxOnly(t *testing.T) {
	c := perfect()
	c.Campaigns[0].Mailboxes[0].Messages = []casefile.MessageRef{{ItemID: "AAA", Certainty: casefile.Confirmed}}
	s := Compare(key(), c)
	check(t, s, Messages, [7]int{4, 0, 3, 1, 0, 0, 0})
	if e := s.Entity(Messages); e.Unidentified != 1 || e.UnknownByCount != 1 {
		t.Errorf("%+v", e)
	}
}

func TestWriting(t *testing.T) {
	for name, c := range map[string]*casefile.Case{"perfect": perfect(), "empty": {Schema: casefile.Schema}} {
		s := Compare(key(), c)
		var text, js, again bytes.Buffer
		if err := WriteText(&text, s); err != nil {
			t.Fatal(err)
		}
		if err := WriteJSON(&js, s); err != nil {
			t.Fatal(err)
		}
		if err := WriteJSON(&again, Compare(key(), c)); err != nil {
			t.Fatal(err)
		}
		if js.String() != again.String() {
			t.Errorf("%s: not the same twice", name)
		}
		for _, list := range []string{"campaigns", "warnings", "entities", "joined", "noise_joined", "merged", "split", "missed", "touching", "missed_ids", "wrong_ids", "entities_established", "false_ones"} {
			if strings.Contains(js.String(), `"`+list+`": null`) {
				t.Errorf("%s: list %s is null", name, list)
			}
		}
		for _, want := range []string{"falsely cleared", "mailboxes", "Look-alikes", "10 ×"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, text.String())
			}
		}
		if testing.Verbose() {
			t.Log("\n" + text.String())
		}
	}
}

func TestReadTruth(t *testing.T) {
	b, err := json.Marshal(key())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTruth(bytes.NewReader(b)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{}", `{"schema":"midwatch.case/1"}`, "[]"} {
		if _, err := ReadTruth(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read as an answer key", bad)
		}
	}
}
