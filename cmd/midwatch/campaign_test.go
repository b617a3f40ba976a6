package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/internal/casefolder"
	"midwatch/journal"
	"midwatch/simulate"
)

// twoActors is a case with a spray and applications of one actor, and a session
// and a forwarding rule of another.
func twoActors(t *testing.T) (dir, out string, c *casefile.Case) {
	t.Helper()
	dir, _ = simulated(t, "--scenario", "mixed", "--users", "100", "--days", "20", "--seed", "11", "--volume", "0.3")
	out, c = investigated(t, dir)
	if len(c.Campaigns) != 2 {
		t.Fatalf("%d campaigns, want 2", len(c.Campaigns))
	}
	return dir, out, c
}

func caseOf(t *testing.T, dir string) *casefile.Case {
	t.Helper()
	c, err := readCase(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// concluded are the files of a case that its events, settings and overrides
// decide.
func concluded(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == casefolder.Events || e.Name() == casefolder.Journal {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// withApp finds the campaign and the application of a name.
func withApp(c *casefile.Case, name string) (p casefile.Campaign, a casefile.AppRef) {
	for _, p := range c.Campaigns {
		for _, a := range p.Apps {
			if a.Name == name {
				return p, a
			}
		}
	}
	return p, a
}

func TestOverrides(t *testing.T) {
	dir, out, c := twoActors(t)
	before := concluded(t, out)
	decide := func(args ...string) *casefile.Case {
		t.Helper()
		verb(t, []int{exitNothing}, append([]string{"campaign", args[0], out}, args[1:]...)...)
		return caseOf(t, out)
	}
	unchanged := func(after string) {
		t.Helper()
		if d := cmp.Diff(before, concluded(t, out)); d != "" {
			t.Errorf("the case is not what it was before, after %s:\n%s", after, d)
		}
	}
	verb(t, []int{exitFindings}, "investigate", "--again", out)
	unchanged("--again")

	// Two are made one, and two again.
	joined := decide("join", c.Campaigns[0].ID, c.Campaigns[1].ID, "--reason", "the same contract", "--author", "Kim")
	if len(joined.Campaigns) != 1 || !joined.Overrides[0].Applies || !joined.Overrides[0].Claimed || joined.Overrides[0].Author != "Kim" {
		t.Fatalf("%d campaigns, %+v", len(joined.Campaigns), joined.Overrides)
	}
	seq := fmt.Sprint(joined.Overrides[0].Seq) // the first entries are what Midwatch concluded
	p := joined.Campaigns[0]
	if len(p.Findings) != len(c.Campaigns[0].Findings)+len(c.Campaigns[1].Findings) || p.Reach.Mailboxes.Confirmed != c.Campaigns[0].Reach.Mailboxes.Confirmed+c.Campaigns[1].Reach.Mailboxes.Confirmed {
		t.Errorf("%d findings, %+v", len(p.Findings), p.Reach)
	}
	if !slices.ContainsFunc(p.Joins, func(j casefile.Join) bool {
		return j.Reason == "joined by Kim: the same contract" && j.Entity.ID == seq
	}) {
		t.Errorf("no join says who and why: %+v", p.Joins)
	}
	verb(t, []int{exitFindings}, "investigate", "--quiet", filepath.Join(dir, simulate.LogsDir), "--out", out)
	if again := caseOf(t, out); len(again.Campaigns) != 1 {
		t.Errorf("a rerun has %d campaigns", len(again.Campaigns))
	}
	decide("undo", seq)
	unchanged("undo of a join")

	// An application that is left out takes with it what it alone reached.
	with, app := withApp(c, "Exchange Archive Connector")
	without := decide("exclude", "app", app.ID, "--reason", "our archive")
	rest, gone := withApp(without, "Exchange Archive Connector")
	if gone.ID != "" {
		t.Error("the application is still the actor's")
	}
	rest, _ = withApp(without, "Calendar Insights Sync")
	if rest.Reach.Mailboxes.Confirmed >= with.Reach.Mailboxes.Confirmed || rest.Reach.Mailboxes.Confirmed == 0 || rest.Reach.Messages.Confirmed >= with.Reach.Messages.Confirmed {
		t.Errorf("reach %+v, before %+v", rest.Reach, with.Reach)
	}
	if last := without.Verdict[len(without.Verdict)-1]; !strings.Contains(last.Text, "left out app Exchange Archive Connector (our archive)") {
		t.Errorf("the verdict does not say so: %q", last.Text)
	}
	for _, x := range rest.Contexts {
		if slices.ContainsFunc(x.Keys, func(e casefile.Entity) bool { return e.ID == app.ID }) {
			t.Errorf("context %+v is of the application", x)
		}
	}
	decide("undo", fmt.Sprint(without.Overrides[len(without.Overrides)-1].Seq), "--reason", "it was not")
	unchanged("undo of an exclusion")

	// Of the forwarding rule somebody knows better.
	second := c.Campaigns[1]
	i := slices.IndexFunc(c.Findings, func(f casefile.Finding) bool {
		return f.Detector == "external_forwarding" && slices.Contains(second.Findings, f.ID)
	})
	rule := c.Findings[i].ID
	other := second.Findings[slices.IndexFunc(second.Findings, func(id string) bool { return id != rule })]
	split := decide("split", rule, "--reason", "a test")
	i = slices.IndexFunc(split.Campaigns, func(p casefile.Campaign) bool { return slices.Contains(p.Findings, rule) })
	if len(split.Campaigns) != 3 || len(split.Campaigns[i].Findings) != 1 {
		t.Errorf("%d campaigns after a split, %v", len(split.Campaigns), split.Campaigns[i].Findings)
	}
	// A later decision goes before an earlier one, which says so.
	both := decide("join", rule, other, "--reason", "it was none")
	if len(both.Campaigns) != 2 {
		t.Errorf("%d campaigns", len(both.Campaigns))
	}
	both = decide("exclude", rule, "--reason", "the owner made it")
	for _, p := range both.Campaigns {
		if slices.Contains(p.Findings, rule) {
			t.Error("an excluded finding is in a campaign")
		}
	}
	if !slices.ContainsFunc(both.Findings, func(f casefile.Finding) bool { return f.ID == rule }) {
		t.Error("an excluded finding is not kept")
	}
	var effects []string
	for _, o := range both.Overrides {
		effects = append(effects, o.Effect)
	}
	last := fmt.Sprint(both.Overrides[2].Seq)
	want := []string{
		"no longer applies: " + rule + " is excluded by entry " + last,
		"no longer applies: there are no two findings to join; " + rule + " is excluded by entry " + last,
		"1 finding is of no campaign",
	}
	if d := cmp.Diff(want, effects); d != "" {
		t.Error(d)
	}
	for i := range both.Overrides {
		decide("undo", fmt.Sprint(both.Overrides[len(both.Overrides)-1-i].Seq))
	}
	unchanged("all was taken back")

	// An address, an account.
	spray := c.Campaigns[0]
	decide("exclude", "account", spray.Accounts[0].UPN, "--reason", "a test account")
	noIP := decide("exclude", "ip "+second.IPs[0].IP, "--reason", "our VPN")
	for _, p := range noIP.Campaigns {
		for _, a := range p.Accounts {
			if a.UPN == spray.Accounts[0].UPN {
				t.Errorf("an excluded account is listed: %+v", a)
			}
		}
	}
	for _, o := range noIP.Overrides {
		if !o.Applies {
			t.Errorf("%+v", o)
		}
	}
	for _, p := range noIP.Campaigns {
		if m := p.Reach.Messages.Confirmed; m > c.Campaigns[0].Reach.Messages.Confirmed {
			t.Errorf("excluding widened the reach to %d messages", m)
		}
	}
	verb(t, []int{exitNothing}, "journal", "verify", out)
}

// A decision about what the evidence does not have any more is no error.
func TestOverrideOfNothing(t *testing.T) {
	dir, out, c := twoActors(t)
	verb(t, []int{exitNothing}, "campaign", "join", out, c.Campaigns[0].ID, c.Campaigns[1].ID, "--reason", "one")
	verb(t, []int{exitNothing}, "campaign", "exclude", out, "ip", c.Campaigns[1].IPs[0].IP, "--reason", "ours")
	// The journal stays where the evidence is another one.
	journal, err := os.ReadFile(filepath.Join(out, casefolder.Journal))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.case")
	log := filepath.Join(dir, "one.ndjson")
	if err := os.WriteFile(log, []byte(`{"Id":"00000000-0000-4000-8000-000000000001","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"UserId":"a@x.example"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	verb(t, []int{exitNothing}, "investigate", "-q", log, "--out", other)
	if err := os.WriteFile(filepath.Join(other, casefolder.Journal), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	verb(t, []int{exitNothing}, "investigate", "-q", log, "--out", other)
	o := caseOf(t, other)
	if len(o.Overrides) != 2 || o.Overrides[0].Applies || o.Overrides[1].Applies || !strings.Contains(o.Overrides[0].Effect, "is not found any more") || !strings.Contains(o.Overrides[1].Effect, "no longer applies") {
		t.Errorf("%+v", o.Overrides)
	}
	if list := verb(t, []int{exitNothing}, "campaign", "list", other); !strings.Contains(list, "no longer applies") {
		t.Errorf("%s", list)
	}
}

// People decide and note while the case is made anew, by reading and by
// themselves: everything that was acknowledged is in the journal, and the case
// follows what holds in the end.
func TestDecidedMeanwhile(t *testing.T) {
	dir, out, c := twoActors(t)
	var logs []string
	for _, pattern := range []string{"*", "*/*"} {
		m, _ := filepath.Glob(filepath.Join(dir, simulate.LogsDir, pattern))
		logs = append(logs, m...)
	}
	shared := filepath.Join(t.TempDir(), "audit.duckdb")
	verb(t, []int{exitNothing, exitIncomplete}, append([]string{"ingest", "-q", "--store", shared}, logs...)...)
	over := filepath.Join(t.TempDir(), "over.case")
	verb(t, []int{exitFindings}, "investigate", "-q", "--store", shared, "--out", over)
	for _, run := range []struct {
		dir  string
		args []string
	}{
		{out, []string{"investigate", "-q", filepath.Join(dir, simulate.LogsDir), "--config", "", "--out", out}},
		{over, []string{"investigate", "-q", "--store", shared, "--out", over}},
	} {
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 3 {
				cmd := midwatch(t, run.args...)
				if b, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitFindings {
					t.Errorf("%v\n%s", err, b)
				}
			}
		})
		wg.Go(func() {
			for i := range 20 {
				cmd := midwatch(t, "journal", "add", run.dir, strings.Repeat("note ", i+1))
				if b, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, b)
				}
			}
		})
		wg.Go(func() {
			for _, f := range c.Campaigns[0].Findings[:2] {
				cmd := midwatch(t, "campaign", "exclude", run.dir, f, "--reason", "known")
				if b, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, b)
				}
			}
		})
		wg.Wait()
		es, err := openJournal(run.dir).Entries()
		es = slices.DeleteFunc(es, func(e journal.Entry) bool { return e.Kind == journal.Statement })
		if err != nil || len(es) != 22 {
			t.Errorf("%d entries of people, want 22; %v", len(es), err)
		}
		x := caseOf(t, run.dir)
		if old, err := outdated(run.dir, x); err != nil || old {
			t.Errorf("the case does not follow its journal: %+v %v", x.Overrides, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(run.dir)); len(left) > 2 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// What a case was made with holds for later runs, from the case alone.
func TestSettingsAreKept(t *testing.T) {
	dir, _ := simulated(t, "--scenario", "mixed", "--users", "100", "--days", "15", "--seed", "5", "--volume", "0.3")
	tmp := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(tmp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rule := "title: Mail was read\nlevel: low\nlogsource: {product: m365, service: audit}\ndetection:\n  s: {Operation: MailItemsAccessed}\n  condition: s\n"
	write("rules/read.yml", rule)
	write("rules/latin.yml", rule+"author: J\xf6rg\n") // not UTF-8
	config := write("midwatch.yaml", "canaries: [nobody@fabrikam.example]\n")
	out := filepath.Join(tmp, "x.case")
	exits := []int{exitFindings, exitIncomplete}
	verb(t, exits, "investigate", "-q", filepath.Join(dir, simulate.LogsDir), "--out", out, "--directory", filepath.Join(dir, simulate.ContextDir, "directory.csv"),
		"--rules", filepath.Join(tmp, "rules"), "--no-builtin-rules", "--config", config)
	before := concluded(t, out)
	if err := os.RemoveAll(filepath.Join(tmp, "rules")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	verb(t, exits, "investigate", "--again", out)
	if d := cmp.Diff(before, concluded(t, out)); d != "" {
		t.Errorf("another case from itself:\n%s", d)
	}
	if c := caseOf(t, out); c.Campaigns[0].ShareOfMailboxes.DenominatorName != "users in the directory that was given" {
		t.Errorf("%+v", c.Campaigns[0].ShareOfMailboxes)
	}
	verb(t, exits, "investigate", "--again", out, "--config", "", "--rules", "", "--no-builtin-rules=false", "--directory=")
	s, err := readSettings(out)
	if err != nil || s.Config != nil || s.Rules != nil || s.NoBuiltin || s.Directory != nil {
		t.Errorf("%+v, %v", s, err)
	}
	c := caseOf(t, out)
	if strings.Contains(before["case.json"], "no canary accounts are configured") || !slices.ContainsFunc(c.NotAssessed, func(n casefile.NotAssessed) bool { return strings.Contains(n.Reason, "canary") }) {
		t.Error("the configuration was not kept, or not left out")
	}
}

// What people write is as hostile as what logs hold.
func TestJournalIsPrintedPlain(t *testing.T) {
	dir := t.TempDir()
	log, out := filepath.Join(dir, "one.ndjson"), filepath.Join(dir, "x.case")
	if err := os.WriteFile(log, []byte(`{"Id":"00000000-0000-4000-8000-000000000001","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"UserId":"a@x.example"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	verb(t, []int{exitNothing}, "investigate", "-q", log, "--out", out)
	const bad = "\x1b[31m\u009b\u202eevil\r\n\x00\x07"
	said := verb(t, []int{exitNothing}, "journal", "add", out, bad, "--author", "kim "+bad[:10])
	said += verb(t, []int{exitNothing}, "journal", "show", out) + verb(t, []int{exitNothing}, "journal", "verify", out)
	if strings.ContainsAny(said, "\x1b\u009b\u202e\r\x00\x07") {
		t.Errorf("%q", said)
	}
}
