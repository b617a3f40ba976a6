package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/journal"
	"midwatch/respond/clock"
)

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
			if withdraw {
				if when != "" {
					return errors.New("--at with --withdraw; an event that did not happen has no time")
				}
				return o.decide(c, std, args[0], reason, func(dir string, kase *casefile.Case) (journal.Entry, error) {
					return office().WithdrawClock(c.Context(), dir, kase, o.by(c), args[1], reason)
				})
			}
			at, err := momentFlag(when)
			if err != nil {
				return err
			}
			return o.decide(c, std, args[0], reason, func(dir string, kase *casefile.Case) (journal.Entry, error) {
				return office().StartClock(c.Context(), dir, kase, o.by(c), args[1], at, reason)
			})
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
			at, err := momentFlag(when)
			if err != nil {
				return err
			}
			return o.decide(c, std, args[0], reason, func(dir string, kase *casefile.Case) (journal.Entry, error) {
				return office().FileClock(c.Context(), dir, kase, o.by(c), args[1], at, reason)
			})
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
	if why := casework.Implausible(t, now()); why != "" {
		return casefile.Time{}, fmt.Errorf("--at %s %s", s, why)
	}
	return casefile.TimeOf(t), nil
}

// decide writes down what say says of a case, and tells that it did.
func (o *addOptions) decide(c *cobra.Command, std stdio, path, reason string, say func(dir string, kase *casefile.Case) (journal.Entry, error)) error {
	if strings.TrimSpace(reason) == "" {
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
	e, err := say(dir, kase)
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
			for i := range l.List {
				x := &l.List[i]
				if x.Clock.ID != args[1] {
					continue
				}
				if out == "" {
					return clock.Draft(std.out, &x.Status, x.Content, l.kase.Case.ID, l.zone)
				}
				return writeNew(out, func(w *strings.Builder) error {
					return clock.Draft(w, &x.Status, x.Content, l.kase.Case.ID, l.zone)
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
