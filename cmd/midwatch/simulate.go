package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/internal/progress"
	"midwatch/simulate"
)

// simulateOptions are the flags of the verb.
type simulateOptions struct {
	simulate.Options
	out   string
	start string
	quiet bool
	json  bool
	// what is not written, or not into a folder
	pipe, contextOnly bool
}

func newSimulate(std stdio) *cobra.Command {
	var o simulateOptions
	var list strings.Builder
	for _, s := range simulate.Scenarios() {
		fmt.Fprintf(&list, "  %-13s %s\n", s.Name, s.Doc)
	}
	c := &cobra.Command{
		Use:   "simulate --scenario NAME --out DIR",
		Short: "Write the logs of an organization that does not exist, with an answer key",
		Long: `Write the audit logs of an organization that does not exist: benign life with
its mess and, in most scenarios, an actor. DIR/logs is what gets investigated;
DIR/context holds what one adds by hand (directory.csv, asn.csv), bodies of some
mail, and truth.json, which says what happened. With --mail, DIR/mail has the
mailboxes that were reached, as EML and mbox.

With --pipe the logs go to standard output as a tar archive, which every verb
that reads logs takes from its standard input, so that an organization of any
size needs no room on a disk. What has to be there before them, directory.csv
and asn.csv, --context-only writes.

The same options give the same bytes. Seeds below 1000 are for development, seeds
from 1000 on for results that are published.

Scenarios:
` + list.String(),
		Example: `  midwatch simulate --scenario midnight --users 2000 --days 60 --seed 7 --out tenant
  midwatch investigate tenant/logs --asn tenant/context/asn.csv --directory tenant/context/directory.csv
  midwatch simulate --scenario narrow --accounts 20 --attempts 1 --geo-match --out narrow
  midwatch simulate --users 100000 --out large --context-only
  midwatch simulate --users 100000 --out large --pipe | midwatch ingest - --raw none --asn large/context/asn.csv --store large.duckdb`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runSimulate(c.Context(), std, o) },
	}
	f := c.Flags()
	f.StringVar(&o.Scenario, "scenario", "midnight", "what happens; the list is above")
	f.StringVarP(&o.out, "out", "o", "", "new or empty folder to write")
	f.IntVar(&o.Users, "users", 2000, "people of the organization")
	f.IntVar(&o.Days, "days", 60, "length of the logs")
	f.Uint64Var(&o.Seed, "seed", 7, "another number, another organization")
	f.StringVar(&o.start, "start", simulate.DefaultStart().Format(time.DateOnly), "first day")
	f.Float64Var(&o.Attempts, "attempts", 0, "guesses an account and day (0: as the scenario has it)")
	f.IntVar(&o.Accounts, "accounts", 0, "accounts that are guessed at (0: as the scenario has it)")
	f.BoolVar(&o.GeoMatch, "geo-match", false, "the actor's proxies are in the organization's countries")
	f.BoolVar(&o.OfficeHours, "office-hours", false, "the actor works when the victims do")
	f.BoolVar(&o.RotateUA, "rotate-ua", false, "the actor changes its user agent with each guess")
	f.BoolVar(&o.Blend, "blend", false, "guesses come through the application, and with the user agents, of people's own mistakes")
	f.BoolVar(&o.ROPC, "ropc", false, "guesses use the password grant instead of a browser")
	f.StringVar(&o.API, "api", "", "what mail is read with: ews or graph (default: as the scenario has it)")
	f.Float64Var(&o.Loss, "loss", 0, "share of records that are lost; the audit log also gets a gap")
	f.DurationVar(&o.Latency, "latency", 0, "mean time until a record arrives; what comes after the end is missing")
	f.BoolVar(&o.UnderWay, "under-way", false, "the actor came in before the logs begin")
	f.BoolVar(&o.NoTest, "without-test-tenant", false, "leave out the logs of the test tenant")
	f.StringSliceVar(&o.Logs, "logs", nil, "only these logs are handed over: "+strings.Join(simulate.LogNames(), ", ")+" (default: all)")
	f.Float64Var(&o.Volume, "volume", 1, "factor on the benign volume that carries no signal")
	f.BoolVar(&o.Mail, "mail", false, "write mailboxes to DIR/mail, with planted secrets and what resembles them")
	f.BoolVar(&o.pipe, "pipe", false, "write the logs to standard output as a tar archive; without --out, nothing else")
	f.BoolVar(&o.contextOnly, "context-only", false, "write directory.csv, asn.csv and bodies of mail only, quickly")
	f.BoolVar(&o.json, "json", false, "print what was written as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	c.MarkFlagsMutuallyExclusive("pipe", "context-only")
	c.MarkFlagsMutuallyExclusive("pipe", "json")
	return c
}

func runSimulate(ctx context.Context, std stdio, o simulateOptions) error {
	if o.out == "" && !o.pipe {
		return errors.New("no folder to write; name one with --out")
	}
	if _, tty := terminal(std.out); o.pipe && tty {
		return errors.New("--pipe writes an archive, and standard output is a terminal; send it to a file or to midwatch ingest -")
	}
	start, err := time.Parse(time.DateOnly, o.start)
	if err != nil {
		return fmt.Errorf("--start %q; it is a day like 2023-11-13", o.start)
	}
	o.Start = start
	o.Workers = simulate.DefaultWorkers()
	if o.contextOnly {
		if err := simulate.Context(o.out, o.Options); err != nil {
			return explainSimulate(err)
		}
		fmt.Fprintf(std.out, "Context: %s\n", filepath.Join(o.out, simulate.ContextDir))
		return nil
	}
	began := now()
	var report func(records, bytes int64, done float64)
	if !o.quiet {
		if _, tty := terminal(std.err); tty {
			last := began
			report = func(records, bytes int64, done float64) {
				if t := now(); t.Sub(last) > 200*time.Millisecond {
					last = t
					fmt.Fprintf(std.err, "\r%3.0f %%  %s records, %d MB ", 100*done, progress.Count(records), bytes>>20)
				}
			}
			defer fmt.Fprint(std.err, "\r\x1b[K")
		}
	}
	run := func() (*simulate.Result, error) { return simulate.Run(ctx, o.out, o.Options, report) }
	out := std.out
	if o.pipe {
		run = func() (*simulate.Result, error) {
			return simulate.Pipe(ctx, std.out, o.out, o.Options, report)
		}
		out = std.err
	}
	res, err := run()
	if err != nil {
		return explainSimulate(err)
	}
	took := now().Sub(began).Seconds()
	if o.json {
		return printJSON(std, struct {
			Out     string  `json:"out"`
			Records int64   `json:"records"`
			Bytes   int64   `json:"bytes"`
			Files   int     `json:"files"`
			Seconds float64 `json:"seconds"`
		}{o.out, res.Records, res.Bytes, len(res.Truth.Logs), took})
	}
	fmt.Fprintf(out, "%s records, %d MB in %d files (%.1f s, %s records/s, %.0f MB/s)\n", progress.Count(res.Records), res.Bytes/1e6, len(res.Truth.Logs),
		took, progress.Count(int64(float64(res.Records)/took)), float64(res.Bytes)/1e6/took)
	if o.pipe {
		return nil
	}
	fmt.Fprintf(out, "\nLogs:    %s\nContext: %s\nTruth:   %s\n", filepath.Join(o.out, simulate.LogsDir), filepath.Join(o.out, simulate.ContextDir), filepath.Join(o.out, simulate.ContextDir, simulate.TruthFile))
	return nil
}

func explainSimulate(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("simulate: %w", err)
}
