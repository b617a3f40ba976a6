package investigate

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/detect/detecttest"
)

// ruleFinding is a finding as package detect/sigmarules makes them.
func ruleFinding(id string, at time.Time, es ...casefile.Entity) casefile.Finding {
	return casefile.Finding{
		ID: "f-" + id, Detector: "sigma:" + id, Title: id, Severity: casefile.High, Stage: casefile.StageAccess, Tenant: "contoso",
		First: casefile.TimeOf(at), Last: casefile.TimeOf(at), Detected: casefile.TimeOf(at), Entities: es, Techniques: []string{"T9999"},
	}
}

// What Sigma rules find takes part in a campaign by what it shares, and changes
// nothing else of it. By itself it is no campaign, however severe.
func TestRulesJoinAndMakeNone(t *testing.T) {
	q := detecttest.Open(t, "testdata/taken_over.ndjson")
	r, err := detect.Run(t.Context(), q, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	investigate := func(more ...casefile.Finding) *casefile.Case {
		c, err := Investigate(t.Context(), q, slices.Concat(r.Findings, more), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain := investigate()
	if len(plain.Campaigns) == 0 {
		t.Fatal("no campaign to join")
	}
	var session, app casefile.Entity
	var seen time.Time
	for _, f := range r.Findings {
		if !slices.Contains(plain.Campaigns[0].Findings, f.ID) {
			continue
		}
		for _, e := range f.Entities {
			switch e.Kind {
			case casefile.Session, casefile.Token:
				session = e
			case casefile.App:
				app, seen = e, f.First.Time
			}
		}
	}
	if app.ID == "" {
		t.Fatal("the campaign has no application")
	}
	const nobody = "nobody@contoso.com"
	own := casefile.Entity{Kind: casefile.Session, ID: "a session of nobody's", Role: casefile.RoleUsed}
	rules := []casefile.Finding{
		ruleFinding("shares-app", seen, casefile.Entity{Kind: casefile.App, ID: app.ID, Role: casefile.RoleActor}, own),
		ruleFinding("long-before", seen.Add(-1000*time.Hour), casefile.Entity{Kind: casefile.App, ID: app.ID, Role: casefile.RoleActor}),
		ruleFinding("noise-1", seen, casefile.Entity{Kind: casefile.Account, ID: nobody, Role: casefile.RoleActor}, own),
		ruleFinding("noise-2", seen, casefile.Entity{Kind: casefile.Account, ID: nobody, Role: casefile.RoleActor}, own),
	}
	want := []string{"f-shares-app"}
	if session.ID != "" {
		rules = append(rules, ruleFinding("shares-session", seen, casefile.Entity{Kind: session.Kind, ID: session.ID, Role: casefile.RoleUsed}))
		want = append(want, "f-shares-session")
	}
	everywhere := ruleFinding("everywhere", seen, casefile.Entity{Kind: casefile.App, ID: app.ID, Role: casefile.RoleActor})
	everywhere.Severity = casefile.Info
	with := investigate(append(rules, everywhere)...)
	if d := cmp.Diff(plain.Campaigns, with.Campaigns, cmpopts.IgnoreFields(casefile.Campaign{}, "Findings", "Joins", "Timeline")); d != "" {
		t.Errorf("the rules changed campaigns (-without +with):\n%s", d)
	}
	var got []string
	for _, p := range with.Campaigns {
		for _, id := range p.Findings {
			if slices.ContainsFunc(rules, func(f casefile.Finding) bool { return f.ID == id }) || id == everywhere.ID {
				got = append(got, id)
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("joined %v, want %v", got, want)
	}
	// Alone they are findings, and no campaign.
	c, err := Investigate(t.Context(), q, rules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Campaigns) != 0 || len(c.Findings) != len(rules) {
		t.Errorf("%d campaigns of %d findings of rules", len(c.Campaigns), len(c.Findings))
	}
}
