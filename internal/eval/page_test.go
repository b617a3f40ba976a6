package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/simulate"
	"midwatch/simulate/score"
)

// hand is four runs by hand: two organizations, each quiet and with an actor
// who is found in one of them. In the quiet run of that one there is a false
// alert in the actor's span; in the other there is one, but after it.
func hand() []*result {
	day := func(d int) time.Time { return noon.AddDate(0, 0, d) }
	quiet := func(seed uint64, alarm int) *result {
		return &result{Cell: "quiet", Users: 300, Days: 40, Seed: seed, Version: simulate.Version, Program: "abc", Records: 10, Seconds: 2, Goals: goals{TenantDays: 40},
			Score: &score.Score{Findings: score.Findings{False: 1, FalseOnes: []score.FalseOne{{ID: "f", Detector: "slow_spray", Severity: casefile.Medium, Detected: casefile.TimeOf(day(alarm))}}}},
			Alerts: map[string][]alert{
				"per_user_hour": {{At: day(alarm), Records: 30}},
				"oracle_per_ip": {{At: day(6), Records: 1, Size: 1}, {At: day(6), Records: 9, Size: 9}},
			}}
	}
	attack := func(seed uint64, hours *float64) *result {
		c := score.Campaign{ID: "c1", Kind: "midnight", By: map[string]casefile.Time{}}
		if hours != nil {
			c.Matched, c.Standing = "c-1", "established"
			c.AlertedAt = &score.Moment{AfterFirst: hours}
			c.By["slow_spray"] = casefile.TimeOf(day(6))
		}
		before := hours != nil
		g := actorGoal{Campaign: "c1", Sprayed: true, SprayHours: hours, BeforeRead: &before, Converted: 1, WithinHour: one(before), Granted: 3, GrantsFound: 2, Boxes: 8, BoxesFound: 8}
		return &result{Cell: "midnight", Users: 300, Days: 40, Seed: seed, Version: simulate.Version, Program: "abc", Records: 10, Seconds: 4, Oracle: 2, Goals: goals{TenantDays: 40, Actors: []actorGoal{g}},
			Score: &score.Score{Campaigns: []score.Campaign{c}},
			Spans: []spanOf{{Campaign: "c1", Kind: "midnight", From: day(5), To: day(20)}},
			Alerts: map[string][]alert{
				"elastic_site_bucket": {{At: day(6), Records: 20, Actor: 3}},                                // rang, and not for the actor
				"hunt_low_and_slow":   {{At: day(7), Records: 4, Actor: 4}},                                 // did
				"oracle_per_ip":       {{At: day(7), Records: 2, Actor: 2, Size: 2}, {Records: 1, Size: 1}}, //
			}}
	}
	ten := 10 * 24.0
	return []*result{quiet(1, 10), attack(1, &ten), quiet(2, 30), attack(2, nil)}
}

func TestPage(t *testing.T) {
	page := write(hand(), "large")
	for _, want := range []string{
		// runs, alert, campaign, established | false ones in the quiet run's span
		"| 300 | midnight | 2 | 50 % (9–91) | 50 % (9–91) | 50 % (9–91) | 50 % (9–91) | 0 % (0–66) | 0 % (0–66) |",
		// found once, after ten days; 16 mailboxes, 6 grants
		"| 300 | midnight | 2 | 1 of 2, 50 % (9–91) | 10.00 | 0 of 2, 0 % (0–66) | 1 of 2, 50 % (9–91) | 1 of 2, 50 % (9–91) | 1 of 2, 50 % (9–91) | 4 of 6, 67 % (30–90) | 16 of 16, 100 % (81–100) |",
		// two false findings in eighty days: Garwood's bounds of 2 are 0.242 and 7.225
		"| 300 | 2 | 80 | 2 | 0.0250 (0.0030 to 0.0903) | slow_spray 2 |",
		// delay: ten days, of one run; not by day 7; by day 21
		"| 300 | midnight | 10.0 | 10.0 | 0 % (0–66) | 50 % (9–91) | – | – | – |",
		"| **Midwatch** | 50 % (9–91) · 50 % (9–91) |",
		"| **Midwatch**, guessing alone | 50 % (9–91) · 50 % (9–91) |",
		"| elastic_site_bucket | 0 % (0–66) · 0 % (0–66) |",
		"| hunt_low_and_slow | 100 % (34–100) · 0 % (0–66) |",
		"| per_user_hour | 0 % (0–66) · 50 % (9–91) |",
		"| oracle_per_ip | 100 % (34–100) · 100 % (34–100) | depends",
		"Midwatch at abc",
		"What these numbers do not show",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{"%!", "NaN", "Inf", "-0.0 "} {
		if i := strings.Index(page, no); i >= 0 {
			t.Errorf("%q in the page: …%s…", no, page[max(0, i-60):min(len(page), i+60)])
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	if !strings.Contains(write(hand(), "small"), "not published results") {
		t.Error("development seeds pass for results")
	}
	if p := write(nil, "large"); !strings.Contains(p, "0 runs") {
		t.Error(p)
	}
}

func TestGrid(t *testing.T) {
	for grid, reported := range map[string]bool{"small": false, "large": true} {
		cells, seeds, err := options{grid: grid}.cells()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range seeds {
			if (s >= simulate.FirstReportedSeed) != reported {
				t.Errorf("%s: seed %d", grid, s)
			}
		}
		quiet := map[int]bool{}
		names := map[string]bool{}
		for _, c := range cells {
			if c.Name == "quiet" {
				quiet[c.Users] = true
			}
			names[c.Name] = true
			if !quiet[c.Users] {
				t.Errorf("%s: %s of %d users has no quiet run before it", grid, c.Name, c.Users)
			}
		}
		for _, s := range simulate.ScenarioNames() {
			if !names[s] {
				t.Errorf("%s: no cell of scenario %s", grid, s)
			}
		}
	}
	if _, _, err := (options{grid: "huge"}).cells(); err == nil {
		t.Error("an unknown grid")
	}
}

func TestResultsAreTakenUpAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	for _, r := range hand() {
		if err := keep(path, r); err != nil {
			t.Fatal(err)
		}
	}
	old := hand()[0]
	old.Version = "0"
	if err := keep(path, old); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, `{"cell":"cut off`...), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := load(path)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d results, %v", len(got), err)
	}
	if write(got, "large") != write(hand(), "large") {
		t.Error("the page is not the same")
	}
}
