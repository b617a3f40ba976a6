package detect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/detect/detecttest"
	"midwatch/store"
)

// TestDetectors holds each detector against what it must find and what it must
// not find. expect.txt of testdata/<id>/ lists the findings on attack.ndjson,
// as severity and title; on benign.ndjson there must be none.
func TestDetectors(t *testing.T) {
	for _, d := range All(Settings{Canaries: []string{"canary@contoso.com"}}) {
		card := d.Card()
		t.Run(card.ID, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("testdata", card.ID)
			attack := detecttest.Open(t, filepath.Join(dir, "attack.ndjson"))
			r, err := Run(t.Context(), attack, []Detector{d})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Assessed) != 1 {
				t.Fatalf("not assessed: %+v", r.NotAssessed)
			}
			got := ""
			for _, f := range r.Findings {
				got += string(f.Severity) + ": " + f.Title + "\n"
				checkFinding(t, &f)
			}
			want, err := os.ReadFile(filepath.Join(dir, "expect.txt"))
			if err != nil {
				t.Errorf("%v; got:\n%s", err, got)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
				for _, f := range r.Findings {
					t.Log(f.Why, f.Counts)
				}
			}
			again, err := Run(t.Context(), attack, []Detector{d})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, again); diff != "" {
				t.Errorf("a second run says something else:\n%s", diff)
			}

			benign := detecttest.Open(t, filepath.Join(dir, "benign.ndjson"))
			if r, err = Run(t.Context(), benign, []Detector{d}); err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				t.Errorf("false positive: %s: %s", f.Title, f.Why)
			}

			r, err = Run(t.Context(), detecttest.Open(t), []Detector{d})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.NotAssessed) != 1 || len(r.Findings) != 0 || r.NotAssessed[0].Fetch == "" || r.NotAssessed[0].Reason == "" {
				t.Errorf("an empty store must leave it not assessed, with reason and what to fetch: %+v", r)
			}
		})
	}
}

// TestOff: a detector that is given nothing to look for is not assessed, which
// is not the same as having found nothing.
// A detector that runs out of memory is not assessed, and the others are; any
// other error ends the run.
func TestOutOfMemory(t *testing.T) {
	q := detecttest.Open(t, filepath.Join("testdata", "slow_spray", "attack.ndjson"))
	ds := []Detector{stuck{fmt.Errorf("sign-ins: %w: Out of Memory Error: x\n\nPossible solutions", store.ErrMemory)}}
	for _, d := range All(Settings{}) {
		if d.Card().ID == "slow_spray" {
			ds = append(ds, d)
		}
	}
	r, err := Run(t.Context(), q, ds)
	if err != nil || len(r.Assessed) != 1 || len(r.Findings) == 0 || len(r.NotAssessed) != 1 || r.NotAssessed[0].Detector != "stuck" || !strings.Contains(r.NotAssessed[0].Reason, "did not fit into memory") || strings.Contains(r.NotAssessed[0].Reason, "\n") {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := Run(t.Context(), q, []Detector{stuck{errors.New("the disk is gone")}}); err == nil {
		t.Error("another error is passed over")
	}
}

// What a store says about errors reaches detectors through what a run remembers.
func TestSessionExplains(t *testing.T) {
	s := &session{Querier: explaining{}}
	if err := s.Explain(errors.New("code: 241")); !errors.Is(err, store.ErrMemory) {
		t.Errorf("the error is %v", err)
	}
	plain := errors.New("x")
	if err := (&session{}).Explain(plain); err != plain {
		t.Errorf("the error is %v", err)
	}
}

type explaining struct{ store.Querier }

func (explaining) Explain(err error) error { return fmt.Errorf("%w: %w", store.ErrMemory, err) }

// stuck is a detector whose question fails.
type stuck struct{ err error }

func (stuck) Card() Card { return Card{ID: "stuck", Title: "Stuck", Needs: signInNeeds()} }

func (s stuck) Detect(context.Context, store.Querier) ([]casefile.Finding, error) { return nil, s.err }

func TestOff(t *testing.T) {
	r, err := Run(t.Context(), detecttest.Open(t, filepath.Join("testdata", "canary_account", "attack.ndjson")), []Detector{canaryAccount{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Assessed) != 0 || len(r.NotAssessed) != 1 || r.NotAssessed[0].Reason != "no canary accounts are configured" || r.NotAssessed[0].Fetch == "" {
		t.Errorf("%+v", r)
	}
}

func checkFinding(t *testing.T, f *casefile.Finding) {
	t.Helper()
	if len(f.Events) == 0 || f.Why == "" || f.Title == "" || len(f.Entities) == 0 || len(f.Techniques) == 0 || f.Severity.Rank() == 0 {
		t.Errorf("finding is not complete: %+v", f)
	}
	if f.Detected.Before(f.First.Time) || f.Last.Before(f.First.Time) {
		t.Errorf("times are out of order: first %s, detected %s, last %s", f.First, f.Detected, f.Last)
	}
	if len(casefile.Unique(f.Events)) != len(f.Events) {
		t.Errorf("event ids occur twice: %v", f.Events)
	}
	if f.EventCount != int64(len(f.Events)) && f.EventsQuery == "" && f.EventCount < casefile.MaxEvents {
		t.Errorf("event_count %d, %d events", f.EventCount, len(f.Events))
	}
}

// TestAll makes sure that every detector is listed, documented and tested.
func TestAll(t *testing.T) {
	ids := map[string]bool{}
	for _, d := range All(Settings{}) {
		c := d.Card()
		ids[c.ID] = true
		if c.Title == "" || c.Why == "" || len(c.FalsePositives) == 0 || c.Severity == "" || len(c.Needs.Sources) == 0 || c.Needs.Fetch == "" {
			t.Errorf("%s: card is not complete", c.ID)
		}
		if _, err := os.Stat(c.ID + ".go"); err != nil {
			t.Error(err)
		}
	}
	// A person can bear so many, and every detector says where its part comes from.
	sum := 0.0
	for _, d := range All(Settings{}) {
		c := d.Card()
		sum += c.FalseAlarms.PerDay
		if c.FalseAlarms.Basis == "" {
			t.Errorf("%s: nobody has said how often it is wrong", c.ID)
		}
	}
	if sum > Budget {
		t.Errorf("the detectors' false alarms a tenant and day add up to %.3f, over the budget of %v", sum, Budget)
	}
	t.Logf("all detectors together: %.3f a tenant and day", sum)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		b, _ := os.ReadFile(f.Name())
		if strings.Contains(string(b), "// Card implements [Detector].") && !ids[strings.TrimSuffix(f.Name(), ".go")] {
			t.Errorf("%s holds a detector that All does not list", f.Name())
		}
	}
}
