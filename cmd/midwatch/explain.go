package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/detect/sigmarules"
	"midwatch/internal/casefolder"
	"midwatch/report"
)

func newExplain(std stdio) *cobra.Command {
	var asJSON bool
	var events int
	c := &cobra.Command{
		Use:   "explain CASE FINDING",
		Short: "Show why a finding is one: its numbers, its arithmetic, its records",
		Long: `Show why a finding is one: the numbers that decided with their limits, counts over
time with the arithmetic of the alarm, the logs that would have made it surer,
what else it could be, and the records that it stands on.

FINDING is the finding's id, or the beginning of it. case.json and report.html
have the ids.`,
		Example: `  midwatch explain incident.case f-3c1f0a528a8e2b0c
  midwatch explain incident.case f-3c1f --events 50
  midwatch explain incident.case f-3c1f --json | jq .finding.series`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			x, err := explained(args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(std, x)
			}
			return x.write(std.out, args[0], events)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the finding, its card and its evidence as JSON")
	c.Flags().IntVarP(&events, "events", "n", 10, "how many records to list")
	return c
}

// explanation is what --json prints.
type explanation struct {
	Finding   casefile.Finding             `json:"finding"`
	Campaigns []campaignName               `json:"campaigns"`      // that it is part of
	Card      *detect.Card                 `json:"card,omitempty"` // absent for rules that Midwatch does not bring along
	Evidence  map[string]casefile.Evidence `json:"evidence"`       // of the finding's events
}

type campaignName struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	Joins []string `json:"joins"` // why the finding belongs to it
}

// explained reads a finding out of a case.
func explained(dir, id string) (*explanation, error) {
	path := filepath.Join(dir, casefolder.Case)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w; is %s a case folder?", err, dir)
	}
	defer f.Close() //nolint:errcheck // read only
	c, err := casefile.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var found []casefile.Finding
	for _, f := range c.Findings {
		if f.ID == id {
			found = []casefile.Finding{f}
			break
		}
		if strings.HasPrefix(f.ID, id) || strings.HasPrefix(f.ID, "f-"+id) {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("no finding %q in %s; its %d findings are in %s", id, dir, len(c.Findings), filepath.Join(dir, casefolder.Report))
	case len(found) > 1:
		var ids []string
		for _, f := range found[:min(len(found), 8)] {
			ids = append(ids, f.ID+" ("+report.Plain(f.Title)+")")
		}
		return nil, fmt.Errorf("%q is the beginning of %d findings: %s", id, len(found), strings.Join(ids, ", "))
	}
	x := &explanation{Finding: found[0], Campaigns: []campaignName{}, Evidence: map[string]casefile.Evidence{}}
	for _, p := range c.Campaigns {
		if !slices.Contains(p.Findings, x.Finding.ID) {
			continue
		}
		n := campaignName{ID: p.ID, Title: p.Title, Joins: []string{}}
		for _, j := range p.Joins {
			if j.A == x.Finding.ID || j.B == x.Finding.ID {
				n.Joins = append(n.Joins, fmt.Sprintf("%s (%s %s)", j.Reason, j.Entity.Kind, j.Entity.ID))
			}
		}
		x.Campaigns = append(x.Campaigns, n)
	}
	for _, id := range x.Finding.Events {
		if e, ok := c.Evidence[id]; ok {
			x.Evidence[id] = e
		}
	}
	set, err := sigmarules.Builtin()
	if err != nil {
		return nil, err
	}
	for _, k := range cards([]sigmarules.Set{set}) {
		if k.ID == x.Finding.Detector {
			x.Card = &k
		}
	}
	return x, nil
}

// write prints an explanation. Everything in it may be an attacker's text.
func (x *explanation) write(w io.Writer, dir string, events int) error {
	f := &x.Finding
	fmt.Fprintf(w, "%s\n%s, %s", report.Plain(f.Title), f.Severity, report.Plain(f.Detector))
	if f.Stage != "" {
		fmt.Fprintf(w, ", stage %s", f.Stage)
	}
	fmt.Fprintf(w, "\n%s, from %s to %s, could be raised at %s\n", f.ID, f.First, f.Last, f.Detected)
	if len(f.Techniques) > 0 {
		fmt.Fprintf(w, "ATT&CK %s\n", strings.Join(f.Techniques, " "))
	}
	section(w, "Why", f.Why)
	if len(f.Counts) > 0 {
		fmt.Fprintln(w, "\nNumbers that decided")
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range f.Counts {
			limit := ""
			if c.Limit != nil {
				limit = fmt.Sprintf("limit %.6g", *c.Limit)
			}
			fmt.Fprintf(tw, "    %s\t%.6g\t%s\n", report.Plain(c.Name), c.Value, limit)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	for _, s := range f.Series {
		if err := writeSeries(w, s); err != nil {
			return err
		}
	}
	section(w, "It would be surer with", f.Missing...)
	if k := x.Card; k != nil {
		section(w, "Why it matters", k.Why)
		section(w, "What else it could be", k.FalsePositives...)
		section(w, "Needs", needs(*k)...)
		section(w, "False alarms expected a tenant and day, of medium severity or more", perDay(k.FalseAlarms)+": "+k.FalseAlarms.Basis)
	}
	for _, c := range x.Campaigns {
		section(w, "Part of campaign "+c.ID+", "+report.Plain(c.Title), c.Joins...)
	}
	fmt.Fprintf(w, "\nRecords: %d\n", f.EventCount)
	for i, id := range f.Events {
		if i == events {
			break
		}
		e := x.Evidence[id]
		fmt.Fprintf(w, "    %s  %s  %s\n      %s:%d  %s\n", e.Time, report.Plain(first(e.Operation, e.Source)), report.Plain(strings.TrimSpace(strings.Join([]string{e.Actor, e.IP, e.Target}, " "))), report.Plain(e.File), e.Line, id)
	}
	if n := int64(min(events, len(f.Events))); n < f.EventCount {
		fmt.Fprintf(w, "    and %d more; case.json lists %d\n", f.EventCount-n, len(f.Events))
	}
	if f.EventsQuery != "" {
		section(w, "All of them, asked of the store", f.EventsQuery)
	}
	if len(f.Events) > 0 {
		fmt.Fprintf(w, "\n`midwatch evidence %s %s` shows the first one byte for byte.\n", report.Plain(dir), f.Events[0])
	}
	return nil
}

// section prints a head and its paragraphs, if there are any.
func section(w io.Writer, head string, texts ...string) {
	if len(texts) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", head)
	for _, t := range texts {
		for i, line := range wrapped(report.Plain(t), listWidth-4) {
			lead := "    "
			if i == 0 && len(texts) > 1 {
				lead = "  - "
			}
			fmt.Fprintln(w, lead+line)
		}
	}
}

// writeSeries draws counts over time, and tabulates the steps of the alarm.
func writeSeries(w io.Writer, s casefile.Series) error {
	n := min(len(s.Counts), len(s.Expected), len(s.Sum))
	fmt.Fprintf(w, "\n%s\n", report.Plain(fmt.Sprintf("%s, one count a %s from %s", s.Name, s.Step, s.From)))
	if n == 0 {
		_, err := fmt.Fprintln(w, "    no steps are in the case")
		return err
	}
	step := 24 * time.Hour
	if s.Step == "hour" {
		step = time.Hour
	}
	at := func(t casefile.Time) int {
		if t.IsZero() {
			return -1
		}
		return int(t.Sub(s.From.Time) / step)
	}
	change, alarm := at(s.Change), at(s.Alarm)
	if alarm > 0 {
		alarm-- // Alarm is the end of its step
	}
	const wide = listWidth - 16
	each := (n + wide - 1) / wide // steps in one column
	counts, sums := make([]float64, 0, wide), make([]float64, 0, wide)
	marks := []rune(strings.Repeat(" ", (n+each-1)/each))
	for i := 0; i < n; i += each {
		var c, z float64
		for j := i; j < min(i+each, n); j++ {
			c, z = max(c, float64(s.Counts[j])), max(z, s.Sum[j])
		}
		counts, sums = append(counts, c), append(sums, z)
	}
	for _, m := range []struct {
		at   int
		mark rune
	}{{change, '^'}, {alarm, '!'}} {
		if m.at >= 0 && m.at/each < len(marks) {
			marks[m.at/each] = m.mark
		}
	}
	fmt.Fprintf(w, "    counts  %s  highest %.6g\n", bars(counts, slices.Max(counts)), slices.Max(counts))
	fmt.Fprintf(w, "    sum     %s  highest %.6g, limit %.6g\n", bars(sums, max(slices.Max(sums), s.Limit)), slices.Max(sums), s.Limit)
	fmt.Fprintf(w, "            %s\n", strings.TrimRight(string(marks), " "))
	each1 := ""
	if each > 1 {
		each1 = fmt.Sprintf("; a column is the highest of %d %ss", each, s.Step)
	}
	fmt.Fprintf(w, "    ^ change point %s, ! alarm %s%s\n\n", s.Change, s.Alarm, each1)
	from, to := max(0, min(change, alarm)-2), min(n-1, max(change, alarm, 0)+2)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "begin\tcount\texpected\tsum\t \t\n")
	const most = 24
	for i := from; i <= to; i++ {
		if gap := to - from + 1 - most; gap > 0 && i == from+most/2 {
			fmt.Fprintf(tw, "%d more\t\t\t\t\t\n", gap)
			i += gap - 1
			continue
		}
		mark := ""
		switch i {
		case alarm:
			mark = "alarm"
		case change:
			mark = "change"
		}
		fmt.Fprintf(tw, "%s\t%d\t%.3g\t%.3g\t%s\t\n", s.From.Add(time.Duration(i)*step).Format("2006-01-02 15:04"), s.Counts[i], s.Expected[i], s.Sum[i], mark)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	section(w, "The sum", fmt.Sprintf("It adds up, step by step and never below 0, the log-likelihood ratio of %.3g times the expected rate against the expected one (negative binomial, size %.4g). It raises the alarm at %.4g, which is expected to happen %.3g times a year when nothing is the matter.",
		s.Ratio, s.Dispersion, s.Limit, s.FalseAlarms))
	if s.Note != "" {
		section(w, "Where that comes from", s.Note)
	}
	return nil
}

// bars draws values as columns of eighths of a character.
func bars(values []float64, top float64) string {
	var b strings.Builder
	for _, v := range values {
		i := 0
		if top > 0 && v > 0 {
			i = min(8, 1+int(7*v/top))
		}
		b.WriteRune([]rune(" ▁▂▃▄▅▆▇█")[i])
	}
	return b.String()
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}
