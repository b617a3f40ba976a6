package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // New York's clock, also where the system has no zones

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/investigate"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond/clock"
	"midwatch/respond/notice"
)

// clockEntry is the payload of a decision about clocks: what was decided, and
// what the case said then.
type clockEntry struct {
	clock.Decision
	Known *investigate.Statement `json:"known,omitempty"`
}

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
	dir    string
	kase   *casefile.Case
	table  *clock.Table
	zone   *time.Location
	status []clock.Status
	facts  clock.Facts
	now    time.Time
}

func loadClocks(path string, o clocksOptions) (*loaded, error) {
	dir, err := caseFolder(path)
	if err != nil {
		return nil, err
	}
	l := &loaded{dir: dir, now: now()}
	if l.zone, err = time.LoadLocation(o.zone); err != nil {
		return nil, fmt.Errorf("--zone %q is no time zone, such as Europe/Berlin or America/New_York", o.zone)
	}
	if l.table, err = clock.Builtin(); err != nil {
		return nil, err
	}
	if l.kase, err = readCase(dir); err != nil {
		return nil, err
	}
	es, err := openJournal(dir).Entries()
	if err != nil {
		return nil, err
	}
	said, err := clockDecisions(es)
	if err != nil {
		return nil, err
	}
	l.status = l.table.Evaluate(said, l.zone, l.now)
	l.facts = clock.Facts{Case: l.kase}
	if l.facts.Exposure, err = readExposure(dir); err != nil {
		return nil, err
	}
	acts, err := journalActs(es)
	if err != nil {
		return nil, err
	}
	for _, a := range acts {
		l.facts.Measures = append(l.facts.Measures, a.Words())
	}
	path = o.contact
	if path == "" {
		path = filepath.Join(dir, noticesFolder, contactFile) // that of the last notices
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return l, nil
		}
	}
	contact, err := notice.ReadContact(path)
	if err != nil {
		return nil, err
	}
	l.facts.Contact = contact.Words()
	return l, nil
}

// clockDecisions are the decisions about clocks in a journal.
func clockDecisions(es []journal.Entry) (out []clock.Said, err error) {
	for i := range es {
		if es[i].Kind != journal.Decision {
			continue
		}
		var d clock.Decision
		if err := es[i].Decode(&d); err != nil {
			return nil, err
		}
		if d.Type == "" {
			continue
		}
		out = append(out, clock.Said{Decision: d, Seq: es[i].Seq, Time: casefile.TimeOf(es[i].Time), Author: es[i].Author.Name, Claimed: es[i].Author.Claimed})
	}
	return out, nil
}

func showClocks(std stdio, path string, o clocksOptions) error {
	l, err := loadClocks(path, o)
	if err != nil {
		return err
	}
	type row struct {
		clock.Status
		Content []clock.Item `json:"content"`
	}
	going := false
	rows := make([]row, 0, len(l.status))
	for _, s := range l.status {
		going = going || s.State == clock.Running || s.State == clock.Passed
		rows = append(rows, row{s, l.facts.Fill(s.Clock)})
	}
	if o.json {
		if err := printJSON(std, struct {
			Case   string        `json:"case"`
			Now    casefile.Time `json:"now"`
			Zone   string        `json:"zone"`
			Clocks []row         `json:"clocks"`
		}{l.kase.Case.ID, casefile.TimeOf(l.now), l.zone.String(), rows}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(std.out, "Disclosure clocks, case %s, at %s\nNo legal advice. Midwatch hands in nothing; docs/CLOCKS.md has the rules and their sources.\n", report.Plain(l.kase.Case.ID), clock.Moment(l.now, l.zone))
		var idle []string
		slices.SortStableFunc(rows, func(a, b row) int { return urgency(&a.Status, &b.Status) })
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
			for _, e := range l.table.Events {
				fmt.Fprintf(std.out, "  %-16s %s\n", e.ID, e.Title)
			}
		}
	}
	if going {
		return status(exitFindings)
	}
	return nil
}

// urgency puts what is due first before what is due later, what has no time
// after it, and what is done or has not started last.
func urgency(a, b *clock.Status) int {
	rank := func(s *clock.Status) int {
		switch {
		case s.State == clock.Done:
			return 2
		case s.State == clock.NotStarted:
			return 3
		case s.Due.IsZero():
			return 1
		}
		return 0
	}
	return cmp.Or(rank(a)-rank(b), a.Due.Compare(b.Due.Time))
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

func newClocksStart(std stdio) *cobra.Command {
	var o addOptions
	var when, reason string
	var withdraw bool
	c := &cobra.Command{
		Use:   "start CASE EVENT",
		Short: "Write down that something happened that starts clocks, or that it did not",
		Long: `Write down that something happened that starts clocks: a decision in the case's
journal, with its author and what the case says now. Said again it corrects what was
said before, which stays in the journal. --withdraw takes it back.`,
		Example: `  midwatch clocks start incident.case material --at 2024-01-17T21:00:00Z --reason "decided by the disclosure committee" --author "General counsel"
  midwatch clocks start incident.case aware --withdraw --reason "no personal data in it, see entry 12"`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			table, err := clock.Builtin()
			if err != nil {
				return err
			}
			if table.Event(args[1]) == nil {
				var ids []string
				for _, e := range table.Events {
					ids = append(ids, e.ID)
				}
				return fmt.Errorf("no event is %q; they are %s", args[1], strings.Join(ids, ", "))
			}
			d := clock.Decision{Type: clock.Started, Event: args[1], Text: reason}
			if withdraw {
				if when != "" {
					return errors.New("--at with --withdraw; an event that did not happen has no time")
				}
				d.Type = clock.Withdrawn
				return o.decide(c, std, args[0], d)
			}
			if d.At, err = momentFlag(when); err != nil {
				return err
			}
			return o.decide(c, std, args[0], d)
		},
	}
	c.Flags().StringVar(&when, "at", "", "when it happened: 2024-01-12T09:30:00Z, with its zone")
	c.Flags().StringVar(&reason, "reason", "", "who decided it on what grounds")
	c.Flags().BoolVar(&withdraw, "withdraw", false, "it did not happen, after all")
	o.add(c)
	return c
}

func newClocksFiled(std stdio) *cobra.Command {
	var o addOptions
	var when, reason string
	c := &cobra.Command{
		Use:     "filed CASE CLOCK",
		Short:   "Write down that a notification was handed in",
		Example: `  midwatch clocks filed incident.case nis2-warning --at 2024-01-13T08:00:00+01:00 --reason "by the CSIRT's form"`,
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			table, err := clock.Builtin()
			if err != nil {
				return err
			}
			if table.Clock(args[1]) == nil {
				return fmt.Errorf("no clock is %q; `midwatch clocks CASE --all` shows them", args[1])
			}
			at, err := momentFlag(when)
			if err != nil {
				return err
			}
			return o.decide(c, std, args[0], clock.Decision{Type: clock.FiledAt, Clock: args[1], At: at, Text: reason})
		},
	}
	c.Flags().StringVar(&when, "at", "", "when it was handed in: 2024-01-13T08:00:00Z, with its zone")
	c.Flags().StringVar(&reason, "reason", "", "how, and under which reference")
	o.add(c)
	return c
}

// momentFlag reads --at. A time without a zone would be one of many.
func momentFlag(s string) (casefile.Time, error) {
	if s == "" {
		return casefile.Time{}, errors.New("--at is missing; when it happened, such as 2024-01-12T09:30:00Z")
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return casefile.Time{}, fmt.Errorf("--at %q is no time with a zone, such as 2024-01-12T09:30:00Z or 2024-01-12T10:30:00+01:00", s)
	}
	if t.After(now().Add(5 * time.Minute)) {
		return casefile.Time{}, fmt.Errorf("--at %s is still to come", s)
	}
	if t.Year() < 1990 {
		return casefile.Time{}, fmt.Errorf("--at %s is before there was mail to read", s)
	}
	return casefile.TimeOf(t), nil
}

// decide writes a decision about clocks with what the case says now.
func (o *addOptions) decide(c *cobra.Command, std stdio, path string, d clock.Decision) error {
	if strings.TrimSpace(d.Text) == "" {
		return errors.New("--reason is missing; who decided it on what grounds, in a few words")
	}
	dir, err := caseFolder(path)
	if err != nil {
		return err
	}
	kase, err := readCase(dir)
	if err != nil {
		return err
	}
	known := investigate.StatementOf(kase, "")
	e, err := o.append(c, dir, journal.Decision, clockEntry{d, &known})
	if err != nil {
		return err
	}
	return o.announce(std, &e)
}

func newClocksDraft(std stdio) *cobra.Command {
	var o clocksOptions
	var out string
	c := &cobra.Command{
		Use:     "draft CASE CLOCK",
		Short:   "Write a filing as Markdown, filled in as far as the case can, what is missing marked",
		Example: `  midwatch clocks draft incident.case sec-8k --zone America/New_York > item-1.05.md`,
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := loadClocks(args[0], o)
			if err != nil {
				return err
			}
			for i := range l.status {
				s := &l.status[i]
				if s.Clock.ID != args[1] {
					continue
				}
				if out == "" {
					return clock.Draft(std.out, s, l.facts.Fill(s.Clock), l.kase.Case.ID, l.zone)
				}
				return writeNew(out, func(w *strings.Builder) error {
					return clock.Draft(w, s, l.facts.Fill(s.Clock), l.kase.Case.ID, l.zone)
				})
			}
			return fmt.Errorf("no clock is %q; `midwatch clocks CASE --all` shows them", args[1])
		},
	}
	o.add(c)
	c.Flags().StringVar(&out, "out", "", "file to write instead of standard output; one that is there is not overwritten")
	return c
}

// writeNew writes a file that is not there yet.
func writeNew(path string, fn func(*strings.Builder) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists; it may hold what somebody wrote into it, and is not overwritten", path)
	}
	var b strings.Builder
	if err := fn(&b); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
