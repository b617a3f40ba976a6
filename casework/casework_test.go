package casework

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/exposure"
	"midwatch/internal/casefolder"
	"midwatch/journal"
	"midwatch/respond"
	"midwatch/respond/graph"
	"midwatch/respond/notice"
)

func clockNow() time.Time { return time.Date(2024, 1, 20, 12, 0, 0, 0, time.UTC) }

// ana and bob came in through a server, whose account is svc.
var (
	ana = journal.Author{Name: "ana", User: "svc"}
	bob = journal.Author{Name: "bob", User: "svc"}
)

const theCase = `{"schema": "midwatch.case/1", "case": {"id": "case-1", "tenants": [{"id": "11111111-1111-4111-8111-111111111111", "domains": ["own.example"]}]},
 "findings": [
  {"id": "f-1", "detector": "d", "title": "one", "severity": "high", "first": "2024-01-01T00:00:00Z", "entities": [{"kind": "ip", "id": "198.51.100.7"}, {"kind": "app", "id": "app-1", "name": "Archive"}]},
  {"id": "f-2", "detector": "d", "title": "two", "severity": "high", "first": "2024-01-02T00:00:00Z", "entities": []},
  {"id": "f-3", "detector": "d", "title": "three", "severity": "high", "first": "2024-01-03T00:00:00Z", "entities": []},
  {"id": "f-4", "detector": "d", "title": "four", "severity": "high", "first": "2024-01-04T00:00:00Z", "entities": []}],
 "campaigns": [
  {"id": "c-1", "standing": "established", "tenants": ["11111111-1111-4111-8111-111111111111"], "findings": ["f-1", "f-2"], "apps": [{"id": "app-1", "name": "Archive", "service_principals": ["sp-1"]}],
   "accounts": [{"upn": "a@own.example", "role": "compromised", "roles": ["compromised"], "certainty": "confirmed", "since": "2024-01-01T00:00:00Z"}]},
  {"id": "c-2", "standing": "established", "tenants": ["11111111-1111-4111-8111-111111111111"], "findings": ["f-3"]}]}`

// newCase is a case with mail that was searched and notices.
func newCase(t *testing.T) (*Office, string, *casefile.Case) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(casefolder.Sources, `{"schema":"midwatch.sources/1","sources":[]}`)
	write(casefolder.Case, theCase)
	b, err := json.Marshal(exposure.Exposure{Schema: exposure.Schema, Case: "case-1", Rotation: []exposure.Secret{{Fingerprint: "s-1"}, {Fingerprint: "s-2"}}})
	if err != nil {
		t.Fatal(err)
	}
	write(ExposureFile, string(b))
	b, err = json.Marshal(notice.Index{Schema: notice.Schema, Case: "case-1", Notices: []notice.Entry{
		{ID: "n-1", Recipient: "a@own.example", Version: notice.Version{Content: "v1", Facts: "x"}}, {ID: "n-2", Recipient: "gone\x1b@own.example", Gone: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(NoticesFolder, NoticesIndex), string(b))
	c, err := casefile.Read(strings.NewReader(theCase))
	if err != nil {
		t.Fatal(err)
	}
	return &Office{Now: clockNow}, dir, c
}

// act is something that somebody does with a case.
type deed func(ctx context.Context, o *Office, dir string, c *casefile.Case, by By) error

func decides(kind journal.Kind, ids ...string) deed {
	return func(ctx context.Context, o *Office, dir string, c *casefile.Case, by By) error {
		_, err := o.Decide(ctx, dir, c, by, kind, ids, "because")
		return err
	}
}

func undoes(seq int64) deed {
	return func(ctx context.Context, o *Office, dir string, _ *casefile.Case, by By) error {
		_, err := o.Undo(ctx, dir, by, seq, "because")
		return err
	}
}

func rotates(fingerprints ...string) deed {
	return func(ctx context.Context, o *Office, dir string, _ *casefile.Case, by By) error {
		_, err := o.SetSecret(ctx, dir, by, fingerprints, exposure.Rotated, "because")
		return err
	}
}

func sends(id string, state notice.StateName) deed {
	return func(ctx context.Context, o *Office, dir string, _ *casefile.Case, by By) error {
		_, err := o.SetNotice(ctx, dir, by, id, state, casefile.Time{}, "")
		return err
	}
}

func starts(event string) deed {
	return func(ctx context.Context, o *Office, dir string, c *casefile.Case, by By) error {
		_, err := o.StartClock(ctx, dir, c, by, event, casefile.TimeOf(clockNow()), "because")
		return err
	}
}

func files(id string) deed {
	return func(ctx context.Context, o *Office, dir string, c *casefile.Case, by By) error {
		_, err := o.FileClock(ctx, dir, c, by, id, casefile.TimeOf(clockNow()), "because")
		return err
	}
}

func withdraws(event string) deed {
	return func(ctx context.Context, o *Office, dir string, c *casefile.Case, by By) error {
		_, err := o.WithdrawClock(ctx, dir, c, by, event, "because")
		return err
	}
}

// approves is for steps by their places in the plan.
func approves(withdraw bool, places ...int) deed {
	return func(ctx context.Context, o *Office, dir string, c *casefile.Case, by By) error {
		p, err := respond.Build(c, respond.Options{})
		if err != nil {
			return err
		}
		var ids []string
		for _, i := range places {
			ids = append(ids, p.Steps[i].ID)
		}
		_, err = o.Approve(ctx, dir, c, by, p.Hash, ids, withdraw, "because")
		return err
	}
}

func notes(text string) deed {
	return func(ctx context.Context, o *Office, dir string, _ *casefile.Case, by By) error {
		_, err := o.Note(ctx, dir, by, journal.Note, text)
		return err
	}
}

func asks(name string) deed {
	return func(ctx context.Context, o *Office, dir string, _ *casefile.Case, by By) error {
		_, err := o.SaveQuestion(ctx, dir, by, Question{Name: name, SQL: "SELECT 1"})
		return err
	}
}

// What another wrote about the same thing after what the author had seen is a
// conflict, and what is about something else is none.
func TestConflict(t *testing.T) {
	for name, x := range map[string]struct {
		before, others, mine deed
		conflict             bool
	}{
		"the same finding":              {nil, decides(journal.CampaignExclude, "f-1"), decides(journal.CampaignSplit, "f-1"), true},
		"another finding":               {nil, decides(journal.CampaignExclude, "f-1"), decides(journal.CampaignSplit, "f-2"), false},
		"one of several":                {nil, decides(journal.CampaignJoin, "f-1", "f-3"), decides(journal.CampaignJoin, "f-3", "f-4"), true},
		"of a campaign that is named":   {nil, decides(journal.CampaignSplit, "f-2"), decides(journal.CampaignJoin, "c-1", "c-2"), true},
		"a campaign with a finding":     {nil, decides(journal.CampaignJoin, "c-1", "c-2"), decides(journal.CampaignExclude, "f-2"), true},
		"not of the campaign":           {nil, decides(journal.CampaignExclude, "f-4"), decides(journal.CampaignJoin, "c-1", "c-2"), false},
		"the same address":              {nil, decides(journal.CampaignExclude, "ip 198.51.100.7"), decides(journal.CampaignExclude, "ip", "198.51.100.7"), true},
		"ids of one application":        {nil, decides(journal.CampaignExclude, "app app-1"), decides(journal.CampaignExclude, "app sp-1"), true},
		"another entity":                {nil, decides(journal.CampaignExclude, "app app-1"), decides(journal.CampaignExclude, "account a@own.example"), false},
		"taken back by both":            {decides(journal.CampaignExclude, "f-1"), undoes(1), undoes(1), true},
		"taken back, decided":           {decides(journal.CampaignExclude, "f-1"), undoes(1), decides(journal.CampaignSplit, "f-1"), true},
		"decided, taken back":           {decides(journal.CampaignExclude, "f-1"), decides(journal.CampaignSplit, "f-1"), undoes(1), true},
		"something else is taken back":  {decides(journal.CampaignExclude, "f-1"), undoes(1), decides(journal.CampaignSplit, "f-2"), false},
		"the same secret":               {nil, rotates("s-1"), rotates("s-1"), true},
		"one secret of two":             {nil, rotates("s-1"), rotates("s-2", "s-1"), true},
		"another secret":                {nil, rotates("s-1"), rotates("s-2"), false},
		"the same notice":               {nil, sends("n-1", notice.Sent), sends("n-1", notice.Sent), true},
		"the same event":                {nil, starts("aware"), withdraws("aware"), true},
		"another event":                 {nil, starts("aware"), starts("material"), false},
		"the same clock":                {nil, files("gdpr-33"), files("gdpr-33"), true},
		"a clock and an event":          {nil, files("gdpr-33"), starts("aware"), false},
		"the same step":                 {nil, approves(false, 0), approves(false, 1, 0), true},
		"another step":                  {nil, approves(false, 0), approves(false, 1), false},
		"an approval that is withdrawn": {approves(false, 0), approves(false, 0), approves(true, 0), true},
		"the same question":             {nil, asks("q"), asks("q "), true},
		"another question":              {nil, asks("q"), asks("r"), false},
		"a note":                        {nil, notes("f-1"), decides(journal.CampaignExclude, "f-1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			o, dir, c := newCase(t)
			seen := int64(0)
			if x.before != nil {
				if err := x.before(t.Context(), o, dir, c, By{ana, 0}); err != nil {
					t.Fatal(err)
				}
				seen = 1
			}
			if err := x.others(t.Context(), o, dir, c, By{bob, seen}); err != nil {
				t.Fatal(err)
			}
			head, _, err := o.State(dir, c)
			if err != nil {
				t.Fatal(err)
			}
			err = x.mine(t.Context(), o, dir, c, By{ana, seen})
			var conflict *Conflict
			if errors.As(err, &conflict) != x.conflict || !x.conflict && err != nil {
				t.Fatalf("%v", err)
			}
			after, _, err := o.State(dir, c)
			switch {
			case err != nil:
				t.Fatal(err)
			case !x.conflict && after == head:
				t.Error("nothing was written")
			case x.conflict && (after != head || conflict.Entries[0].Author != bob || !strings.Contains(conflict.Error(), "bob decided about the same meanwhile")):
				t.Errorf("%d entries, %v", after-head, conflict)
			}
			if !x.conflict {
				return
			}
			// Who has seen it decides again; one who says nothing of it is not asked.
			if name != "taken back by both" {
				if err := x.mine(t.Context(), o, dir, c, By{ana, after}); err != nil {
					t.Error(err)
				}
			}
			// One's own entries are no conflict.
			if _, err := o.Note(t.Context(), dir, By{ana, 0}, journal.Note, "x"); err != nil {
				t.Error(err)
			}
		})
	}
}

// Many at once: of those who decide about the same, having seen the same, one
// does, and nobody's entry is lost.
func TestAtOnce(t *testing.T) {
	_, dir, c := newCase(t)
	const people = 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	won, lost := 0, 0
	for i := range people {
		wg.Go(func() {
			o := &Office{Now: clockNow} // as of another process
			by := By{journal.Author{Name: fmt.Sprint("p", i), User: "svc"}, 0}
			if err := notes("mine")(context.Background(), o, dir, c, by); err != nil {
				t.Error(err)
			}
			err := rotates("s-1", "s-2")(context.Background(), o, dir, c, by)
			mu.Lock()
			defer mu.Unlock()
			var conflict *Conflict
			switch {
			case err == nil:
				won++
			case errors.As(err, &conflict):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	o := &Office{Now: clockNow}
	es, err := o.Since(dir, 0)
	if err != nil || won != 1 || lost != people-1 || len(es) != people+2 {
		t.Errorf("%d decided, %d were told, %d entries, %v", won, lost, len(es), err)
	}
}

// What is decided is what the board shows, before the case follows it.
func TestBoard(t *testing.T) {
	o, dir, c := newCase(t)
	b, err := o.Read(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if b.Head != 0 || b.Outdated || len(b.Decisions) != 0 || len(b.Secrets) != 2 || b.Secrets[0].State != exposure.Open || b.Secrets[0].Last != nil || len(b.Notices) != 1 || b.NoticesStale != "" || len(b.Clocks) == 0 || len(b.Events) == 0 || len(b.Steps) < 2 || b.Need != 0 || b.Steps[0].Approved {
		t.Errorf("%+v", b)
	}
	for i, do := range []deed{
		decides(journal.CampaignExclude, "f-1"), decides(journal.CampaignSplit, "f-2"), undoes(1), rotates("s-1"), sends("n-1", notice.Sent),
		sends("n-1", notice.Acknowledged), starts("aware"), files("gdpr-33"), approves(false, 0), asks("q"), asks("q"), notes("x"),
	} {
		if err := do(t.Context(), o, dir, c, By{ana, -1}); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if b, err = o.Read(dir, c); err != nil {
		t.Fatal(err)
	}
	if len(b.Decisions) != 1 || b.Decisions[0].Seq != 2 || !b.Outdated {
		t.Errorf("%+v", b.Decisions)
	}
	if s := b.Secrets[1]; b.Secrets[0].Fingerprint != "s-2" || s.State != exposure.Rotated || s.Last == nil || s.Last.Seq != 4 {
		t.Errorf("%+v", b.Secrets)
	}
	if n := b.Notices[0]; n.Told == nil || n.Last[notice.Acknowledged] == nil || n.Last[notice.Acknowledged].Content != "v1" {
		t.Errorf("%+v", n)
	}
	if !slices.IsSortedFunc(b.Clocks, func(x, y Clock) int { return Urgency(&x.Status, &y.Status) }) || b.Clocks[0].State != "running" || len(b.Clocks[0].Content) == 0 {
		t.Errorf("%+v", b.Clocks[0])
	}
	if s := b.Steps[0]; !s.Approved || s.People != 1 || s.Approvals[0].By != "ana" || s.Done() != "" {
		t.Errorf("%+v", s)
	}
	if n, err := o.Secrets(dir); err != nil || *n != (SecretCount{2, 1}) {
		t.Errorf("%+v %v", n, err)
	}
	if q, err := o.Questions(dir); err != nil || cmp.Diff([]Question{{"q", "", "SELECT 1", "ana", 11}}, q) != "" {
		t.Errorf("%+v %v", q, err)
	}
	if es, err := o.Since(dir, 11); err != nil || len(es) != 1 || es[0].Seq != 12 {
		t.Errorf("%+v %v", es, err)
	}
	for _, seq := range []int64{-1, 13, 99} {
		if es, err := o.Since(dir, seq); err != nil || len(es) != map[bool]int{true: 12}[seq < 0] {
			t.Errorf("since %d: %d entries, %v", seq, len(es), err)
		}
	}
	head, stale, err := o.State(dir, c)
	if err != nil || head != 12 || !strings.Contains(stale, "does not follow yet") {
		t.Errorf("%d %q %v", head, stale, err)
	}
	c.Overrides = b.Decisions
	if _, stale, err := o.State(dir, c); err != nil || stale != "" {
		t.Errorf("%q %v", stale, err)
	}
	c.Case.ID = "case-2"
	if b, err = o.Read(dir, c); err != nil || !strings.Contains(b.NoticesStale, "run midwatch notify again") {
		t.Errorf("%q %v", b.NoticesStale, err)
	}
}

// What does not fit the case is refused, in plain words, and nothing is written.
func TestRefused(t *testing.T) {
	o, dir, c := newCase(t)
	at := casefile.TimeOf(clockNow())
	ctx, by := t.Context(), By{ana, 0}
	for want, f := range map[string]func() error{
		`no finding "f-9"`:      func() error { return decides(journal.CampaignSplit, "f-9")(ctx, o, dir, c, by) },
		"f-4 is in no campaign": func() error { return decides(journal.CampaignSplit, "f-4")(ctx, o, dir, c, by) },
		"two findings":          func() error { return decides(journal.CampaignJoin, "f-1")(ctx, o, dir, c, by) },
		"is no decision about":  func() error { return decides(journal.CampaignUndo, "f-1")(ctx, o, dir, c, by) },
		"nothing is named":      func() error { return decides(journal.CampaignExclude)(ctx, o, dir, c, by) },
		"a reason is missing": func() error {
			_, err := o.Decide(ctx, dir, c, by, journal.CampaignExclude, []string{"f-1"}, " ")
			return err
		},
		`entry "7" is no decision that holds`: func() error { return undoes(7)(ctx, o, dir, c, by) },
		"neither a note nor a decision": func() error {
			_, err := o.Note(ctx, dir, by, journal.SecretState, "x")
			return err
		},
		"the text is empty":             func() error { return notes(" \n")(ctx, o, dir, c, by) },
		`has the fingerprint "s-9"`:     func() error { return rotates("s-1", "s-9")(ctx, o, dir, c, by) },
		"no secret is named":            func() error { return rotates()(ctx, o, dir, c, by) },
		`no notice of this case`:        func() error { return sends("n-9", notice.Sent)(ctx, o, dir, c, by) },
		"is no state":                   func() error { return sends("n-1", "lost")(ctx, o, dir, c, by) },
		"was not sent yet":              func() error { return sends("n-1", notice.Read)(ctx, o, dir, c, by) },
		`gone\x1b@own.example is affec`: func() error { return sends("n-2", notice.Sent)(ctx, o, dir, c, by) },
		"is still to come": func() error {
			_, err := o.SetNotice(ctx, dir, by, "n-1", notice.Sent, casefile.TimeOf(clockNow().Add(time.Hour)), "")
			return err
		},
		`no event is "x"`: func() error { return starts("x")(ctx, o, dir, c, by) },
		`no clock is "x"`: func() error { return files("x")(ctx, o, dir, c, by) },
		"the time is missing": func() error {
			_, err := o.StartClock(ctx, dir, c, by, "aware", casefile.Time{}, "x")
			return err
		},
		"who decided it on what grounds": func() error {
			_, err := o.StartClock(ctx, dir, c, by, "aware", at, "")
			return err
		},
		"has a name and a text": func() error { return asks(" ")(ctx, o, dir, c, by) },
		"at most 200 bytes":     func() error { return asks(strings.Repeat("x", 201))(ctx, o, dir, c, by) },
		"of an earlier one do not count": func() error {
			_, err := o.Approve(ctx, dir, c, by, "p-0\x1b", []string{"s"}, false, "x")
			return err
		},
		"could be withdrawn":       func() error { return approves(true, 0)(ctx, o, dir, c, by) },
		"no step is named":         func() error { return approves(false)(ctx, o, dir, c, by) },
		"it is another one by now": func() error { return notes("x")(ctx, o, dir, c, By{ana, 5}) },
		"is nowhere a case folder": func() error { return notes("x")(ctx, o, "nowhere", c, by) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), strings.ReplaceAll(want, `\x1b`, `\u001b`)) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if head, _, err := o.State(dir, c); head != 0 || err != nil {
		t.Errorf("%d entries were written, %v", head, err)
	}
	if _, err := os.Stat("nowhere"); err == nil {
		t.Error("a journal came to be elsewhere")
	}
}

// Who counts as how many people.
func TestPeople(t *testing.T) {
	web := func(name string) journal.Author { return journal.Author{Name: name, User: "svc"} }
	os := func(user string) journal.Author { return journal.Author{Name: user, User: user} }
	says := func(user, name string) journal.Author { return journal.Author{Name: name, User: user, Claimed: true} }
	for name, x := range map[string]struct {
		by   []journal.Author
		want int
	}{
		"nobody":                               {nil, 0},
		"two of the web":                       {[]journal.Author{web("ana"), web("bob")}, 2},
		"one of the web, in another writing":   {[]journal.Author{web("ana"), web("ANA ")}, 1},
		"two accounts":                         {[]journal.Author{os("ana"), os("bob")}, 2},
		"one account with three names":         {[]journal.Author{os("soc"), says("soc", "Ana"), says("soc", "Bob")}, 1},
		"two accounts that claim one name":     {[]journal.Author{says("soc", "Ana"), says("noc", "ana")}, 1},
		"an account that claims to be another": {[]journal.Author{os("ana"), says("soc", "ana")}, 1},
		"the web and an account":               {[]journal.Author{web("ana"), os("bob")}, 2},
		"the web and an account of one name":   {[]journal.Author{web("ana"), os("ana")}, 1},
		"the web and a claim to be them":       {[]journal.Author{says("soc", "Ana"), web("ana")}, 1},
		"the server's account at a terminal":   {[]journal.Author{web("ana"), os("svc")}, 1},
		"the server's account with a claim":    {[]journal.Author{says("svc", "Bob"), web("ana")}, 1},
		"the server's account by itself":       {[]journal.Author{says("svc", "Bob")}, 1},
		"who comes in with the server's name":  {[]journal.Author{{Name: "svc", User: "svc"}, web("ana")}, 1},
		"of two servers":                       {[]journal.Author{web("ana"), {Name: "bob", User: "svc2"}}, 2},
		"the same at two servers":              {[]journal.Author{web("ana"), {Name: "Ana", User: "svc2"}}, 1},
		"two of the web and one of an account": {[]journal.Author{says("soc", "x"), web("ana"), web("bob")}, 3},
	} {
		var list []Approval
		for _, a := range x.by {
			list = append(list, Approval{Author: a})
		}
		if got := People(list); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
		slices.Reverse(list)
		if got := People(list); got != x.want {
			t.Errorf("%s, the other way round: %d, want %d", name, got, x.want)
		}
	}
}

// Approvals are of one plan, are withdrawn by who gave them, and are needed up to
// a step's first change.
func TestApprovals(t *testing.T) {
	o, dir, c := newCase(t)
	if err := os.WriteFile(filepath.Join(dir, casefolder.Settings), []byte(`{"schema":"midwatch.settings/1","config":{"path":"x.yaml","text":"containment: {approvals: 2}"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(by journal.Author, d deed) {
		t.Helper()
		if err := d(t.Context(), o, dir, c, By{by, -1}); err != nil {
			t.Fatal(err)
		}
	}
	step := func(i int) Step {
		t.Helper()
		b, err := o.Read(dir, c)
		if err != nil {
			t.Fatal(err)
		}
		if b.Need != 2 {
			t.Fatalf("%d needed", b.Need)
		}
		return b.Steps[i]
	}
	do(ana, approves(false, 0, 1))
	do(ana, approves(false, 0)) // said again it counts once
	if s := step(0); s.Approved || s.People != 1 || len(s.Approvals) != 1 {
		t.Errorf("%+v", s)
	}
	do(bob, approves(false, 0))
	s := step(0)
	if !s.Approved || s.People != 2 || step(1).Approved {
		t.Errorf("%+v", s)
	}
	p, err := respond.Build(c, respond.Options{})
	if err != nil {
		t.Fatal(err)
	}
	es, err := o.Since(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if u := Unapproved(p, es, 2, []string{s.ID}); len(u) != 0 {
		t.Errorf("%+v", u)
	}
	if u := Unapproved(p, es, 2, nil); len(u) == 0 || u[0].ID == s.ID {
		t.Errorf("%+v", u)
	}
	r := o.NewRecorder(dir, journal.Author{Name: "op", User: "op"}, p.Hash, 2)
	intent := graph.Entry{What: "intent", Plan: p.Hash, Step: s.ID}
	if err := r.Append(t.Context(), intent); err != nil {
		t.Error(err)
	}
	if got := step(0).Outcome; got == nil || got.State != Begun {
		t.Errorf("%+v", got)
	}
	// A withdrawal while it is carried out: nothing more is begun, what was is
	// written down.
	if err := approves(true, 0)(t.Context(), o, dir, c, By{journal.Author{Name: "cat", User: "svc"}, -1}); err == nil {
		t.Error("somebody withdrew what others said")
	}
	do(bob, approves(true, 0))
	if err := r.Append(t.Context(), intent); err == nil || !strings.Contains(err.Error(), "an approval was withdrawn") {
		t.Error(err)
	}
	if err := r.Append(t.Context(), graph.Entry{What: "result", Plan: p.Hash, Step: s.ID, State: graph.Done}); err != nil {
		t.Error(err)
	}
	if got := step(0); got.Approved || !strings.HasPrefix(got.Done(), "carried out, and seen to be (2024-01-20 12:00 UTC by op, entry ") {
		t.Errorf("%+v %q", got, got.Done())
	}
	if err := r.Append(t.Context(), graph.Entry{What: "undo_result", Step: s.ID, State: graph.Done}); err != nil {
		t.Error(err)
	}
	if got := step(0); got.Outcome.State != Undone || got.Outcome.Plan != p.Hash {
		t.Errorf("%+v", got.Outcome)
	}
	if all, err := r.Entries(); err != nil || len(all) != 3 {
		t.Errorf("%d entries, %v", len(all), err)
	}
	// Another plan: what was said of the first does not count, and is told.
	c.Case.ID = "case-9"
	if got := step(0); got.Approved || len(got.Approvals) != 0 || len(got.Void) != 1 || got.Void[0].By != "ana" {
		t.Errorf("%+v", got)
	}
	// The office wants more than the case, or less: the more holds.
	for _, n := range []int{0, 3} {
		if got, err := (&Office{Now: clockNow, Approvals: n}).Needed(dir); err != nil || got != max(2, n) {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
}

// Entries of later versions and ones that are not what they are said to be make
// nothing panic; they are passed over, and named where they are of a kind that is
// known.
func TestStrangeEntries(t *testing.T) {
	for name, x := range map[string]struct {
		kind    journal.Kind
		payload string
		named   bool
	}{
		"join":          {journal.CampaignJoin, `{"findings": "f-1"}`, true},
		"join nothing":  {journal.CampaignJoin, `{}`, false},
		"undo":          {journal.CampaignUndo, `{"seq": "one"}`, true},
		"undo nothing":  {journal.CampaignUndo, `{"seq": -9223372036854775808}`, false},
		"undo later":    {journal.CampaignUndo, `{"seq": 9223372036854775807}`, false},
		"secret":        {journal.SecretState, `{"fingerprint": 1}`, true},
		"secret state":  {journal.SecretState, `{"fingerprint": "s-1", "state": "burnt"}`, false},
		"notice":        {journal.NoticeState, `{"id": []}`, true},
		"notice state":  {journal.NoticeState, `{"id": "n-1", "state": "\u001b[2J"}`, false},
		"clock":         {journal.Decision, `{"type": "clock.start", "at": "yesterday"}`, true},
		"clock later":   {journal.Decision, `{"type": "clock.stop", "event": "aware"}`, false},
		"step":          {journal.ContainStep, `{"step": {}}`, true},
		"step later":    {journal.ContainStep, `{"what": "result", "step": "s", "state": "\u001b"}`, false},
		"approval":      {journal.ContainApprove, `{"plan": 1}`, true},
		"approval of":   {journal.ContainApprove, `{}`, false},
		"question":      {journal.Question, `{"name": 1}`, false},
		"question none": {journal.Question, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			o, dir, c := newCase(t)
			if _, err := o.journal(dir).Append(t.Context(), bob, x.kind, json.RawMessage(x.payload)); err != nil {
				t.Fatal(err)
			}
			b, err := o.Read(dir, c)
			if err != nil {
				t.Fatal(err)
			}
			if (len(b.Problems) == 1) != x.named || x.named && !strings.Contains(b.Problems[0], "journal entry 1") || strings.Contains(strings.Join(b.Problems, ""), "\x1b") {
				t.Errorf("%q", b.Problems)
			}
			for _, s := range b.Steps {
				_ = s.Done()
			}
			if _, err := o.Secrets(dir); err != nil {
				t.Error(err)
			}
			if q, err := o.Questions(dir); err != nil || len(q) != 0 {
				t.Errorf("%v %v", q, err)
			}
			_, stale, err := o.State(dir, c)
			if err != nil || (stale != "") != (x.named && strings.HasPrefix(string(x.kind), "campaign.") || name == "join nothing") {
				t.Errorf("%q %v", stale, err)
			}
			// Others work on.
			for _, do := range []deed{decides(journal.CampaignExclude, "f-1"), rotates("s-1"), sends("n-1", notice.Sent), starts("aware"), approves(false, 0), asks("q"), notes("x")} {
				if err := do(t.Context(), o, dir, c, By{ana, 0}); err != nil {
					var conflict *Conflict
					if !errors.As(err, &conflict) {
						t.Error(err)
					}
				}
			}
		})
	}
}

// Files are read again when they changed, and a journal that is damaged is said
// to be.
func TestKept(t *testing.T) {
	o, dir, c := newCase(t)
	if n, err := o.Secrets(dir); err != nil || n.Open != 2 {
		t.Errorf("%+v %v", n, err)
	}
	if err := os.Remove(filepath.Join(dir, ExposureFile)); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Secrets(dir); err != nil || n != nil {
		t.Errorf("%+v %v", n, err)
	}
	other := &Office{Now: clockNow}
	for i := range int64(3) {
		if err := notes("x")(t.Context(), other, dir, c, By{ana, -1}); err != nil {
			t.Fatal(err)
		}
		if head, _, err := o.State(dir, c); err != nil || head != i+1 {
			t.Errorf("%d %v", head, err)
		}
	}
	path := filepath.Join(dir, casefolder.Journal)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, "no entry\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		head, _, err := o.State(dir, c)
		if head != 3 || err == nil || !strings.Contains(err.Error(), "`midwatch journal verify") {
			t.Errorf("%d %v", head, err)
		}
	}
	if _, err := o.Read(dir, c); err == nil {
		t.Error("a damaged journal was read")
	}
	if err := notes("x")(t.Context(), o, dir, c, By{ana, 0}); err == nil {
		t.Error("a damaged journal was written to")
	}
}

// A page costs a look at the file, not a reading of it.
func BenchmarkState(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, casefolder.Sources), []byte(`{"schema":"midwatch.sources/1","sources":[]}`), 0o600); err != nil {
		b.Fatal(err)
	}
	o, c := &Office{Now: clockNow}, &casefile.Case{}
	for range 200 {
		if err := notes(strings.Repeat("x", 2000))(b.Context(), o, dir, c, By{ana, -1}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if head, _, err := o.State(dir, c); head != 200 || err != nil {
			b.Fatal(head, err)
		}
	}
}
