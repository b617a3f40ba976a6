package score

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// WriteJSON writes the score as indented JSON.
func WriteJSON(w io.Writer, s *Score) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write score: %w", err)
	}
	return nil
}

// WriteText writes the score for a person: fixed width, 100 columns at most
// where ids allow, no colour.
func WriteText(w io.Writer, s *Score) error {
	b := bufio.NewWriter(w)
	p := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	p("Score of scenario %s, seed %d: %s users, %d days", s.Scenario, s.Seed, thousands(s.Users), s.Days)
	for _, x := range s.Warnings {
		p("WARNING  %s", x)
	}

	p("\nCampaigns")
	if len(s.Campaigns) == 0 {
		p("  There is none to be found.")
	}
	for _, c := range s.Campaigns {
		p("  %s", title(c))
		if c.Matched == "" {
			p("    joined into a campaign   no")
		} else {
			p("    joined into a campaign   %s (%s), %.0f %% of what is the actor's", c.Matched, c.Standing, 100*c.Overlap)
			p("    start                    %s", errorWords(c.StartError, "the first record"))
			p("    initial access           %s", errorWords(c.AccessError, "the first record inside"))
			if c.OriginAgrees != nil && !*c.OriginAgrees {
				p("    origin                   case and key disagree on whether it lies outside the evidence")
			}
		}
		p("    first finding            %s", momentWords(c.FoundAt))
		p("    first of medium or more  %s", momentWords(c.AlertedAt))
		if c.EarlyAlarms > 0 {
			p("    raised too early         %s before the first record, by something benign: not counted as found", count(c.EarlyAlarms, "finding", "findings"))
		}
	}
	if a := s.Actors; a.Truth > 0 {
		p("  %d of %d actors are in a campaign; merged: %s; split: %s", a.Found, a.Truth, mergeWords(a), splitWords(a))
	}

	table := func(name string, es []Entity) {
		p("\n  %-21s %7s %7s %7s %7s │ %7s %7s %7s │ %9s %7s", name, "truth", "found", "unknown", "missed", "listed", "wrong", "hedged", "precision", "recall")
		for _, e := range es {
			p("  %-21s %7d %7d %7d %7d │ %7d %7d %7d │ %9s %7s", e.Kind, e.Truth, e.Found, e.Unknown, e.Missed, e.Listed, e.Wrong, e.Hedged, rate(e.Precision), rate(e.Recall))
		}
	}
	table("In all campaigns", s.Entities)
	if !slices.EqualFunc(s.Entities, s.Established, func(a, b Entity) bool { return a.Listed == b.Listed && a.Hedged == b.Hedged }) {
		table("In established ones", s.Established)
	}
	p("  unknown: said to be possible, not to be cleared or not assessed; hedged: the same, and not the actor's")
	for _, e := range s.Entities {
		if e.Outside > 0 {
			p("  %s: %d more that are not in the logs that were handed over, in no rate", e.Kind, e.Outside)
		}
		if e.Unidentified > 0 {
			p("  %s: %d more listed by an id that the key cannot know, in no rate", e.Kind, e.Unidentified)
		}
	}

	m := s.Mailboxes
	p("\nMailboxes: %d falsely cleared, %d listed for nothing, %d that cannot be cleared", m.FalselyCleared, m.OverListed, m.Uncleared)
	p("  cost %s = %g × falsely cleared + %g × listed for nothing + %g × not to be cleared", number(m.Cost), m.Weights.FalselyCleared, m.Weights.OverListed, m.Weights.Uncleared)
	p("  (clearing everybody would cost %s, listing everybody %s)", number(m.CostOfSilence), number(m.CostOfEverything))
	if m.Value != nil {
		p("  value %.3f: 1 is perfect, 0 no better than the cheaper of these two", *m.Value)
	}

	f := s.Findings
	p("\nFindings: %d, of these %d about an actor, %d about other people's attacks, %d false", f.Total, f.Right, f.Noise, f.False+f.FalseMinor)
	p("  false, medium severity or more  %d%s", f.False, perDay(f.PerDay1000))
	p("  false, info or low severity     %d%s", f.FalseMinor, perDay(f.MinorPerDay1000))
	if len(f.ByDetector) > 0 {
		p("  by detector                     %s", tallyWords(f.ByDetector))
	}
	if len(f.ByLookAlike) > 0 {
		p("  about                           %s", tallyWords(f.ByLookAlike))
	}
	p("  false campaigns                 %d established, %d suspected", f.FalseEstablished, f.FalseSuspected)

	l := s.LookAlikes
	p("\nLook-alikes: %d of %d stand in a campaign, %d of %d attacks by others in an actor's", len(l.Joined), l.Total, len(l.NoiseJoined), l.Noise)
	const most = 12
	for i, j := range append(append([]Joined{}, l.Joined...), l.NoiseJoined...) {
		if i == most {
			p("  and %d more; --json lists them", len(l.Joined)+len(l.NoiseJoined)-most)
			break
		}
		to := "a campaign of no actor"
		if j.Actor != "" {
			to = j.Actor
		}
		p("  %s %s: joined to %s (%s)", j.Kind, j.ID, to, j.Standing)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write score: %w", err)
	}
	return nil
}

func title(c Campaign) string {
	t := fmt.Sprintf("%s, %s (%s)", c.ID, c.Actor, c.Kind)
	if !c.InLogs {
		t += ": the logs have no record of it"
	}
	return t
}

func errorWords(h *float64, of string) string {
	switch {
	case h == nil:
		return "not known"
	case math.Abs(*h) < 1.0/60:
		return "exact: " + of
	case *h > 0:
		return span(*h) + " too late: after " + of
	}
	return span(-*h) + " too early: before " + of
}

func momentWords(m *Moment) string {
	if m == nil {
		return "none"
	}
	s := m.At.String() + " (" + m.Detector + ")"
	if m.AfterFirst != nil {
		s += ", " + after(*m.AfterFirst, "the first record")
	}
	if m.AfterSuccess != nil {
		s += ", " + after(*m.AfterSuccess, "the first success")
	}
	return s
}

func after(h float64, what string) string {
	if h < 0 {
		return span(-h) + " before " + what
	}
	return span(h) + " after " + what
}

// span writes hours so that a person can compare them.
func span(h float64) string {
	switch {
	case h < 1:
		return fmt.Sprintf("%.0f min", h*60)
	case h < 48:
		return fmt.Sprintf("%.1f h", h)
	}
	return fmt.Sprintf("%.1f days", h/24)
}

func rate(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *x)
}

func number(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}

func perDay(x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf(" (%.3f a day and 1,000 users)", *x)
}

func tallyWords(m map[string]int) string {
	var out []string
	for _, k := range sorted(m) {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(out, ", ")
}

func mergeWords(a Actors) string {
	if len(a.Merged) == 0 {
		return "none"
	}
	var out []string
	for _, m := range a.Merged {
		out = append(out, strings.Join(m.Actors, " with ")+" in "+m.Campaign)
	}
	return strings.Join(out, "; ")
}

func splitWords(a Actors) string {
	if len(a.Split) == 0 {
		return "none"
	}
	var out []string
	for _, s := range a.Split {
		out = append(out, fmt.Sprintf("%s over %d campaigns", s.Actor, len(s.Campaigns)))
	}
	return strings.Join(out, "; ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
