package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/enrich"
	"midwatch/ingest"
	"midwatch/internal/casefolder"
	"midwatch/internal/progress"
	"midwatch/investigate"
	"midwatch/report"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// investigateOptions are the flags of the verb.
type investigateOptions struct {
	out       string
	asn       string
	directory string
	raw       string
	json      bool
	quiet     bool
}

func newInvestigate(std stdio) *cobra.Command {
	var o investigateOptions
	c := &cobra.Command{
		Use:   "investigate PATH...",
		Short: "Read exported logs and write a case: what happened, since when, what was reached",
		Long: `Read exported logs and write a case folder: the event store (events.duckdb),
case.json, report.html, sources.json and tables as CSV. The verdict is printed.

PATH is a file, a folder (read with everything below it), an archive (.gz, .zst,
.zip, .tar, also nested) or - for standard input, in any mixture. Formats are
recognized from content. Records that several exports share are kept once. Run
again on a case that exists, it reads only what is new.

A case appears whole or not at all.`,
		Example: `  midwatch investigate ./logs
  midwatch investigate ual.csv signins.json.gz --out incident.case
  midwatch investigate ./logs --asn GeoLite2-ASN.mmdb --directory users.csv
  zcat export.ndjson.gz | midwatch investigate - --json | jq .verdict`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("nothing to read; name files, folders, archives, or - for standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return runInvestigate(c.Context(), std, args, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "case folder to write (default: named after the first PATH, in this folder)")
	f.StringVar(&o.asn, "asn", "", "table of networks: MaxMind .mmdb, or CSV cidr,asn,org,kind[,country]")
	f.StringVar(&o.directory, "directory", "", "CSV of users: user,department,job_title,enabled,mfa_registered")
	f.StringVar(&o.raw, "raw", "all", "keep records byte for byte (all), or only file and position (none)")
	f.BoolVar(&o.json, "json", false, "print the verdict and counts as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	return c
}

func runInvestigate(ctx context.Context, std stdio, paths []string, o investigateOptions) error {
	if o.raw != "all" && o.raw != "none" {
		return fmt.Errorf("--raw %q; it is all or none", o.raw)
	}
	enricher, people, err := readContext(o)
	if err != nil {
		return err
	}
	if o.out == "" {
		o.out = casefolder.DefaultName(paths)
	} else if !strings.HasSuffix(o.out, casefolder.Suffix) {
		o.out += casefolder.Suffix
	}
	draft, prior, err := casefolder.Begin(o.out)
	if err != nil {
		return err
	}
	defer draft.Discard() //nolint:errcheck // a hidden temporary folder at worst
	st, err := duckdb.Open(draft.File(casefolder.Events), duckdb.Options{NoRaw: o.raw == "none"})
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			_ = st.Close()
		}
	}()
	res, err := read(ctx, std, st, paths, prior, enricher, o)
	if err != nil {
		return explain(err)
	}
	if len(prior) > 0 && len(res.Sources) == 0 {
		return nothingNew(std, o)
	}
	sources := append(append([]casefile.Source{}, prior...), res.Sources...)
	c, err := conclude(ctx, st, sources, people)
	if err != nil {
		return explain(err)
	}
	if err := writeCase(ctx, draft, st, c); err != nil {
		return explain(err)
	}
	closed = true
	if err := st.Close(); err != nil {
		return explain(fmt.Errorf("close event store: %w", err))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := draft.Publish(); err != nil {
		return explain(err)
	}
	return announce(std, o, c, res, len(prior) > 0)
}

// readContext reads what was given besides logs.
func readContext(o investigateOptions) (*enrich.Enricher, []enrich.Person, error) {
	var networks enrich.Networks
	var err error
	if o.asn != "" {
		if networks, err = enrich.OpenNetworks(o.asn); err != nil {
			return nil, nil, fmt.Errorf("--asn: %w", err)
		}
	}
	var people []enrich.Person
	if o.directory != "" {
		if people, err = enrich.ReadDirectory(o.directory); err != nil {
			return nil, nil, fmt.Errorf("--directory: %w", err)
		}
	}
	e, err := enrich.New(networks)
	return e, people, err
}

// read ingests the paths with a progress line.
func read(ctx context.Context, std stdio, st store.Store, paths []string, prior []casefile.Source, en *enrich.Enricher, o investigateOptions) (*ingest.Result, error) {
	held := make(map[string]bool)
	var first int32
	for _, s := range prior {
		if s.Incomplete == "" { // a file that could not be read to its end is read again
			held[s.SHA256] = true
			held[s.OuterSHA256] = true
		}
		first = max(first, s.File+1)
	}
	delete(held, "")
	opts := ingest.Options{Enrich: en.Batch, FirstFile: first}
	if len(held) > 0 {
		opts.Skip = func(_, sum string) bool { return held[sum] }
	}
	var meter *progress.Meter
	if !o.quiet {
		_, tty := terminal(std.err)
		meter = progress.New(std.err, tty, totalSize(paths), now)
		opts.Progress = meter.Bytes
		opts.Tally = func(records, _, _, rejected int64) { meter.Records(records, rejected) }
	}
	res, err := ingest.Run(ctx, st, paths, opts)
	if meter != nil {
		meter.Done()
	}
	if err != nil {
		return nil, err
	}
	if meter != nil {
		fmt.Fprintf(std.err, "read %s records from %d files in %.1f s: %s new, %s duplicates, %s rejected\n",
			progress.Count(res.Records), len(res.Sources), meter.Elapsed().Seconds(), progress.Count(res.Accepted), progress.Count(res.Duplicates), progress.Count(res.Rejected))
	}
	return res, nil
}

// totalSize adds up what will be read, as far as it can be known.
func totalSize(paths []string) (n int64) {
	for _, p := range paths {
		if p == "-" {
			return 0
		}
		_ = filepath.WalkDir(p, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					n += info.Size()
				}
			}
			return nil
		})
	}
	return n
}

// conclude asks the detectors and joins what they say.
func conclude(ctx context.Context, st store.Store, sources []casefile.Source, people []enrich.Person) (*casefile.Case, error) {
	found, err := detect.Run(ctx, st, detect.All())
	if err != nil {
		return nil, err
	}
	return investigate.Investigate(ctx, st, found.Findings, investigate.Options{
		Sources: sources, Assessed: found.Assessed, NotAssessed: found.NotAssessed, DirectoryMailboxes: int64(len(people)),
	})
}

// writeCase writes the files of the case beside its event store.
func writeCase(ctx context.Context, d *casefolder.Draft, st store.Store, c *casefile.Case) error {
	if err := casefolder.WriteSources(d.File(casefolder.Sources), c.Sources); err != nil {
		return err
	}
	if err := casefolder.WriteFile(d.File(casefolder.Case), func(w io.Writer) error { return casefile.Write(w, c) }); err != nil {
		return err
	}
	opts := report.Options{Cards: make(map[string]report.Card), Raw: func(id string) ([]byte, bool) {
		l, err := record(ctx, st, id)
		if err != nil || l == nil || l.raw == nil {
			return nil, false
		}
		return l.raw, true
	}}
	for _, det := range detect.All() {
		k := det.Card()
		opts.Cards[k.ID] = report.Card{Title: k.Title, Why: k.Why, FalsePositives: k.FalsePositives}
	}
	for _, f := range []report.Format{report.HTML{}, report.CSV{}} {
		for _, name := range f.Files() {
			if err := casefolder.WriteFile(d.File(name), func(w io.Writer) error { return f.Write(w, name, c, opts) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome is what --json prints.
type outcome struct {
	Case       string              `json:"case"`
	Report     string              `json:"report"`
	Verdict    []casefile.Sentence `json:"verdict"`
	Findings   int                 `json:"findings"`
	Campaigns  int                 `json:"campaigns"`
	Records    int64               `json:"records"`
	Added      int64               `json:"added"`
	Duplicates int64               `json:"duplicates"`
	Rejected   int64               `json:"rejected"`
	Incomplete []string            `json:"incomplete"`
}

// announce prints the verdict and gives the exit status.
func announce(std stdio, o investigateOptions, c *casefile.Case, res *ingest.Result, again bool) error {
	gaps := append([]string{}, res.Incomplete...)
	for _, s := range res.Sources {
		for _, r := range s.Rejected {
			gaps = append(gaps, fmt.Sprintf("%s: %s records rejected: %s (first in line %d)", s.Path, progress.Count(r.Count), r.Reason, r.FirstLine))
		}
	}
	if o.json {
		if err := printJSON(std, outcome{
			Case: o.out, Report: filepath.Join(o.out, casefolder.Report), Verdict: c.Verdict, Findings: len(c.Findings), Campaigns: len(c.Campaigns),
			Records: res.Records, Added: res.Accepted, Duplicates: res.Duplicates, Rejected: res.Rejected, Incomplete: gaps,
		}); err != nil {
			return err
		}
		return exitStatus(c, gaps)
	}
	width, tty := terminal(std.out)
	if err := (report.Terminal{}).Write(std.out, report.Terminal{}.Files()[0], c, report.Options{Color: tty && os.Getenv("NO_COLOR") == "", Width: width}); err != nil {
		return err
	}
	if again && res.Accepted == 0 {
		fmt.Fprintln(std.out, "\nNothing was added: every record is in the case already.")
	}
	if len(gaps) > 0 {
		fmt.Fprintln(std.out, "\nNot read, and so not judged:")
		const most = 12
		for i, g := range gaps {
			if i == most {
				fmt.Fprintf(std.out, "  and %d more; all are in %s\n", len(gaps)-most, filepath.Join(o.out, casefolder.Sources))
				break
			}
			fmt.Fprintf(std.out, "  %s\n", report.Plain(g))
		}
	}
	fmt.Fprintf(std.out, "\nCase:    %s\nReport:  %s\n", o.out, filepath.Join(o.out, casefolder.Report))
	return exitStatus(c, gaps)
}

func exitStatus(c *casefile.Case, gaps []string) error {
	switch {
	case len(gaps) > 0:
		return status(exitIncomplete)
	case len(c.Findings) > 0:
		return status(exitFindings)
	}
	return nil
}

// nothingNew tells that a second run found every file in the case, and repeats
// the verdict that stands.
func nothingNew(std stdio, o investigateOptions) error {
	f, err := os.Open(filepath.Join(o.out, casefolder.Case))
	if err != nil {
		return err
	}
	defer f.Close()
	c, err := casefile.Read(f)
	if err != nil {
		return err
	}
	var gaps []string
	res := &ingest.Result{}
	for _, s := range c.Sources {
		for _, r := range s.Rejected {
			gaps = append(gaps, r.Reason)
		}
	}
	if err := announce(std, o, c, res, true); err != nil {
		var s status
		if !errors.As(err, &s) {
			return err
		}
	}
	return exitStatus(c, gaps)
}

// explain adds what to do to errors that a person can do something about.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), strings.Contains(err.Error(), "No space left"), strings.Contains(err.Error(), "not enough disk space"):
		return fmt.Errorf("disk full: %w; no case was written; free some space or choose another place with --out", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; no case was written; check the rights of the folder", err)
	}
	return err
}
