package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // New York's clock, also where the system has no zones

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/report"
	"midwatch/respond/clock"
)

// clocksOptions are the flags of showing and drafting.
type clocksOptions struct {
	zone    string
	contact string
	json    bool
	all     bool
}

func newClocks(std stdio) *cobra.Command {
	var o clocksOptions
	c := &cobra.Command{
		Use:   "clocks CASE",
		Short: "Show which notifications to authorities and people are due when, and what they lack",
		Long: `Show which notifications are due when: not started, running, past due, or filed, with
the time that is left and what is still missing for each. docs/CLOCKS.md lists the
rules with their sources. This is no legal advice: whether a rule applies to you, and
when its event happened, is for you to decide. Midwatch hands in nothing.

Events are decisions. clocks start writes one to the case's journal, with its author
and what the case says at that time; a correction is a new entry.

The exit status is 1 when a clock is running or past due.`,
		Example: `  midwatch clocks start incident.case aware --at 2024-01-12T09:30:00Z --reason "reviewed the report with the DPO"
  midwatch clocks incident.case --zone Europe/Berlin
  midwatch clocks draft incident.case gdpr-33 > notification.md
  midwatch clocks filed incident.case gdpr-33 --at 2024-01-14T16:00:00Z --reason "by the authority's form, reference 4711"`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return showClocks(std, args[0], o) },
	}
	o.add(c)
	c.Flags().BoolVar(&o.json, "json", false, "print JSON")
	c.Flags().BoolVar(&o.all, "all", false, "show those that have not started in full, too")
	c.AddCommand(newClocksStart(std), newClocksFiled(std), newClocksDraft(std))
	return c
}

func (o *clocksOptions) add(c *cobra.Command) {
	c.Flags().StringVar(&o.zone, "zone", "UTC", "your time zone, such as Europe/Berlin: days end in it")
	c.Flags().StringVar(&o.contact, "contact", "", "YAML file with whom to ask (docs/NOTICES.md)")
}

// loaded is what clocks are shown from.
type loaded struct {
	*casework.Clocks
	kase *casefile.Case
	zone *time.Location
	now  time.Time
}

func loadClocks(path string, o clocksOptions) (*loaded, error) {
	dir, err := caseFolder(path)
	if err != nil {
		return nil, err
	}
	l := &loaded{now: now()}
	if l.zone, err = time.LoadLocation(o.zone); err != nil {
		return nil, fmt.Errorf("--zone %q is no time zone, such as Europe/Berlin or America/New_York", o.zone)
	}
	if l.kase, err = readCase(dir); err != nil {
		return nil, err
	}
	es, err := openJournal(dir).Entries()
	if err != nil {
		return nil, err
	}
	x, err := casework.ReadExposure(dir)
	if err != nil {
		return nil, err
	}
	l.Clocks, err = casework.ClocksOf(dir, l.kase, x, es, o.contact, l.zone, l.now)
	return l, err
}

func showClocks(std stdio, path string, o clocksOptions) error {
	l, err := loadClocks(path, o)
	if err != nil {
		return err
	}
	going := false
	for _, s := range l.List {
		going = going || s.State == clock.Running || s.State == clock.Passed
	}
	if o.json {
		if err := printJSON(std, struct {
			Case   string           `json:"case"`
			Now    casefile.Time    `json:"now"`
			Zone   string           `json:"zone"`
			Clocks []casework.Clock `json:"clocks"`
		}{l.kase.Case.ID, casefile.TimeOf(l.now), l.zone.String(), l.List}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(std.out, "Disclosure clocks, case %s, at %s\nNo legal advice. Midwatch hands in nothing; docs/CLOCKS.md has the rules and their sources.\n", report.Plain(l.kase.Case.ID), clock.Moment(l.now, l.zone))
		var idle []string
		rows := l.List
		slices.SortStableFunc(rows, func(a, b casework.Clock) int { return casework.Urgency(&a.Status, &b.Status) })
		for i := range rows {
			if rows[i].State == clock.NotStarted && !o.all {
				idle = append(idle, rows[i].Clock.ID)
				continue
			}
			writeClock(std, &rows[i].Status, rows[i].Content, l.zone)
		}
		if len(idle) > 0 {
			fmt.Fprintln(std.out, "\nNOT STARTED  --all shows what they are")
			writeLines(std, "  ", strings.Join(idle, ", "))
			fmt.Fprintln(std.out, "\nEVENTS  that start clocks; midwatch clocks start CASE EVENT --at TIME --reason TEXT")
			for _, e := range l.Table.Events {
				fmt.Fprintf(std.out, "  %-16s %s\n", e.ID, e.Title)
			}
		}
	}
	if going {
		return status(exitFindings)
	}
	return nil
}

func writeClock(std stdio, s *clock.Status, content []clock.Item, zone *time.Location) {
	head := strings.ToUpper(s.State)
	switch {
	case s.State == clock.Passed:
		head += " BY " + spanWords(-s.Left)
	case s.State == clock.Running && !s.Due.IsZero():
		head += ", " + spanWords(s.Left) + " left"
	case s.State == clock.Running:
		head += ", without undue delay"
	case s.Late:
		head += ", after it was due"
	}
	fmt.Fprintf(std.out, "\n%s  %s\n", s.Clock.ID, head)
	writeLines(std, "  ", s.Clock.Jurisdiction+": "+s.Clock.Title+". "+s.Clock.Rule)
	writeLines(std, "  ", "for "+s.Clock.Concerns)
	if s.Basis != nil {
		by := s.Basis.Author
		if s.Basis.Claimed {
			by += " (claimed)"
		}
		writeLines(std, "  ", fmt.Sprintf("started  %s, by %s, entry %d: %s", clock.Moment(s.Start.Time, zone), by, s.Basis.Seq, s.Basis.Text))
	} else {
		writeLines(std, "  ", s.Waiting)
	}
	for _, e := range s.Earlier {
		what := clock.Moment(e.At.Time, zone)
		if e.Type == clock.Withdrawn {
			what = "withdrawn"
		}
		writeLines(std, "  ", fmt.Sprintf("earlier  entry %d by %s said: %s: %s", e.Seq, e.Author, what, e.Text))
	}
	switch {
	case !s.Due.IsZero():
		writeLines(std, "  ", "due      "+clock.Moment(s.Due.Time, zone)+": "+s.Why)
	case s.Why != "":
		writeLines(std, "  ", "due      "+s.Why)
	}
	if s.Filed != nil {
		writeLines(std, "  ", fmt.Sprintf("filed    %s, by %s, entry %d: %s", clock.Moment(s.Filed.At.Time, zone), s.Filed.Author, s.Filed.Seq, s.Filed.Text))
		return
	}
	for _, i := range content {
		if i.Missing != "" {
			writeLines(std, "  ", "missing  "+i.Title+": "+i.Missing)
		}
	}
	writeLines(std, "  ", "source   "+s.Clock.Source+" ("+s.Clock.SureWords()+")")
}

// writeLines prints text that may be somebody else's, wrapped.
func writeLines(std stdio, indent, text string) {
	for i, line := range wrapped(report.Plain(text), listWidth-len(indent)-2) {
		if i > 0 {
			line = strings.Repeat(" ", len(indent)+2) + line
		} else {
			line = indent + line
		}
		fmt.Fprintln(std.out, line)
	}
}

// spanWords says how long, to the minute.
func spanWords(seconds int64) string {
	d, h, m := seconds/86400, seconds/3600%24, seconds/60%60
	switch {
	case d > 0:
		return fmt.Sprintf("%d d %d h", d, h)
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	}
	return fmt.Sprintf("%d min", m)
}
