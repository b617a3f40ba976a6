package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

func sketchLines(t *testing.T, c *casefile.Case) (out []sketchEntry) {
	t.Helper()
	b := render(t, Timesketch{}, "timesketch.jsonl", c, Options{})
	for _, l := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		if len(l) == 0 {
			continue
		}
		var e sketchEntry
		if err := json.Unmarshal(l, &e); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		out = append(out, e)
	}
	return out
}

// All records that the case cites and all steps are there, each once, by time,
// with what Timesketch asks for.
func TestTimesketchIsWhole(t *testing.T) {
	for _, c := range []*casefile.Case{readCase(t, "case"), readCase(t, "quiet"), hostileCase(), largeCase(300, 3), {}} {
		c = shown(c)
		steps, records := 0, map[string]int{}
		last := ""
		for _, e := range sketchLines(t, c) {
			if e.Message == "" || e.TimestampDesc == "" || strings.ContainsAny(e.Message, "\n\r\x1b") {
				t.Errorf("not a line of Timesketch: %+v", e)
			}
			if _, err := time.Parse(time.RFC3339Nano, e.Datetime); err != nil || e.Datetime < last {
				t.Errorf("time %q after %q: %v", e.Datetime, last, err)
			}
			last = e.Datetime
			switch e.DataType {
			case "midwatch:step":
				steps++
			case "midwatch:record":
				ev, ok := c.Evidence[e.EventIDs[0]]
				if !ok || e.SourceFile != ev.File || e.SourceLine != ev.Line || *e.SourceOffset != ev.Offset || e.SourceSHA256 != ev.SHA256 || e.User != ev.Actor || e.SourceIP != ev.IP {
					t.Errorf("%v is not %+v", e, ev)
				}
				records[e.EventIDs[0]]++
			default:
				t.Errorf("data type %q", e.DataType)
			}
		}
		want := 0
		for _, k := range c.Campaigns {
			want += len(k.Timeline)
		}
		if steps != want || len(records) != len(c.Evidence) {
			t.Errorf("%d steps and %d records, want %d and %d", steps, len(records), want, len(c.Evidence))
		}
	}
}

// A record has the certainty of what it shows of a message, and the campaign
// that cites it.
func TestTimesketchCertainty(t *testing.T) {
	c := readCase(t, "case")
	want := map[string]casefile.Certainty{}
	for _, k := range c.Campaigns {
		for _, m := range k.Mailboxes {
			for _, x := range m.Messages {
				for _, id := range x.Events {
					if x.Certainty.Rank() > want[id].Rank() {
						want[id] = x.Certainty
					}
				}
			}
		}
	}
	checked := 0
	for _, e := range sketchLines(t, c) {
		if w := want[e.EventIDs[0]]; w != "" && e.DataType == "midwatch:record" {
			checked++
			if casefile.Certainty(e.Certainty).Rank() < w.Rank() || !slices.Contains(e.Tag, e.Certainty) || !slices.Equal(e.Campaign, []string{c.Campaigns[0].ID}) {
				t.Errorf("record %s: %q, tags %v, campaigns %v; a message read by it is %s", e.EventIDs[0], e.Certainty, e.Tag, e.Campaign, w)
			}
		}
	}
	if checked == 0 {
		t.Error("no record of a message was checked")
	}
}

// Finding outside of campaigns: no campaign. No time: no line.
func TestTimesketchOutsideAndTimeless(t *testing.T) {
	at := casefile.TimeOf(time.Date(2024, 1, 2, 3, 4, 5, 678000, time.UTC))
	c := &casefile.Case{
		Findings: []casefile.Finding{{ID: "f-1", Title: "alone", Severity: casefile.Low, Stage: casefile.StageAccess, Events: []string{"e-1"},
			Entities: []casefile.Entity{{Kind: casefile.Account, ID: "a@x.example"}, {Kind: casefile.Session, ID: "s"}}}},
		Evidence: map[string]casefile.Evidence{"e-1": {Time: at, Source: "signin", Operation: "sign-in"}, "e-2": {Source: "ual"}},
	}
	l := sketchLines(t, c)
	if len(l) != 1 {
		t.Fatalf("%d lines, want 1", len(l))
	}
	e := l[0]
	if len(e.Campaign) != 0 || e.Datetime != "2024-01-02T03:04:05.000678+00:00" || e.Message != "sign-in (Entra sign-ins)" ||
		!slices.Equal(e.Accounts, []string{"a@x.example"}) || !slices.Equal(e.Others, []string{"session:s"}) || !slices.Equal(e.Tag, []string{"midwatch", "record", "access", "low"}) {
		t.Errorf("line is %+v", e)
	}
}

// Tags are words of ours: a search for a tag must not find an intruder's text.
func TestTimesketchHostile(t *testing.T) {
	hidden(t, "the timeline", render(t, Timesketch{}, "timesketch.jsonl", hostileCase(), Options{}))
	for _, e := range sketchLines(t, hostileCase()) {
		for _, tag := range e.Tag {
			if strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz-") != "" {
				t.Errorf("tag %q", tag)
			}
		}
	}
}
