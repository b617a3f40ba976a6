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
	"midwatch/detect/sigmarules"
	"midwatch/enrich"
	"midwatch/ingest"
	"midwatch/internal/casefolder"
	"midwatch/internal/progress"
	"midwatch/report"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// investigateOptions are the flags of the verb.
type investigateOptions struct {
	readOptions
	storeFlags
	out       string
	directory string
	config    string
	earlier   []string // folders of earlier cases
	rules     []string // folders of Sigma rules
	noBuiltin bool     // without the rules that Midwatch brings along
	again     string   // case to conclude again
	json      bool
	changed   func(flag string) bool // nil where another verb asks
}

// said reports whether a flag was given, were it to be empty.
func (o *investigateOptions) said(flag string) bool { return o.changed != nil && o.changed(flag) }

// readOptions are the flags of the verbs that read logs.
type readOptions struct {
	asn   string
	raw   string
	quiet bool
}

func (o *readOptions) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.asn, "asn", "", "table of networks: MaxMind .mmdb, or CSV cidr,asn,org,kind[,country]")
	f.StringVar(&o.raw, "raw", "all", "keep records byte for byte (all), or only file and position (none)")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
}

func (o *readOptions) check() error {
	if o.raw != "all" && o.raw != "none" {
		return fmt.Errorf("--raw %q; it is all or none", o.raw)
	}
	return nil
}

func newInvestigate(std stdio) *cobra.Command {
	var o investigateOptions
	c := &cobra.Command{
		Use:   "investigate PATH... | --store STORE [PATH...] | --again CASE",
		Short: "Read exported logs and write a case: what happened, since when, what was reached",
		Long: `Read exported logs and write a case folder: the event store (events.duckdb),
case.json, report.html, sources.json and tables as CSV. The verdict is printed.

PATH is a file, a folder (read with everything below it), an archive (.gz, .zst,
.zip, .tar, also nested) or - for standard input, in any mixture. Formats are
recognized from content. Records that several exports share are kept once. Run
again on a case that exists, it reads only what is new.

The Sigma rules below each --rules DIR are asked besides those that Midwatch brings
along, and what they find becomes findings. Rules that cannot be asked are listed;
` + "`midwatch rules check DIR`" + ` tells why.

--config names a file (YAML) that says what only you know: the accounts that nobody
uses. Any touch of one is a finding.

  canaries:
    - old.payroll@contoso.com

and what you want to know of whether it was accessed. Customer environments,
production systems, source code, AI systems, finance and backups are asked about
anyway; name what is yours in them, or groups of your own.

  assets:
    source_code:
      applications: ["GitHub*"]
    board:
      name: board documents
      sites: [https://contoso.sharepoint.com/sites/board]

With --store it investigates what is in a store that stays, after adding the
PATHs if there are any. The case then has store.json, which names the store, in
the place of events.duckdb.

A case remembers --directory, --config, --rules and --no-builtin-rules, with what
was in the files (settings.json): a later run on it takes them as given, unless
they are given anew. An empty value (--config '') leaves one out from then on.

--again concludes a case from the events that it has, without reading logs: after
a new --config, with a newer midwatch, or to see what people's decisions come to
(midwatch campaign does it by itself).

A case appears whole or not at all.
` + storeHelp,
		Example: `  midwatch investigate ./logs
  midwatch investigate ual.csv signins.json.gz --out incident.case
  midwatch investigate ./logs --asn GeoLite2-ASN.mmdb --directory users.csv
  midwatch investigate ./logs --rules ./sigma/rules/cloud
  midwatch investigate ./logs --config midwatch.yaml
  midwatch investigate --store audit.duckdb --out today.case
  midwatch investigate --again incident.case --config midwatch.yaml
  zcat export.ndjson.gz | midwatch investigate - --json | jq .verdict`,
		RunE: func(c *cobra.Command, args []string) error {
			o.changed = c.Flags().Changed
			if o.said("again") {
				return runAgain(c.Context(), std, args, o)
			}
			if len(args) == 0 && o.store == "" {
				return errors.New("nothing to read; name files, folders, archives, - for standard input, or a store with --store")
			}
			return runInvestigate(c.Context(), std, args, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "case folder to write (default: named after the store or the first PATH, in this folder)")
	f.StringVar(&o.directory, "directory", "", "CSV of users: user,department,job_title,enabled,mfa_registered")
	f.StringVar(&o.config, "config", "", "file about your organization, YAML; canaries: accounts that nobody uses; assets: what to answer for (default: none)")
	f.StringArrayVar(&o.earlier, "earlier", nil, "folder of an earlier case to compare with (repeatable)")
	f.StringArrayVar(&o.rules, "rules", nil, "folder of Sigma rules to ask besides (repeatable)")
	f.BoolVar(&o.noBuiltin, "no-builtin-rules", false, "do not ask the Sigma rules that Midwatch brings along")
	f.StringVar(&o.again, "again", "", "case folder to conclude again from its own events, without reading logs")
	f.BoolVar(&o.json, "json", false, "print the verdict and counts as JSON")
	o.readOptions.add(c)
	o.storeFlags.add(c)
	return c
}

func runInvestigate(ctx context.Context, std stdio, paths []string, o investigateOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	enricher, err := o.enricher()
	if err != nil {
		return err
	}
	settings, err := o.given()
	if err != nil {
		return err
	}
	var shared *location // nil when the case has its events with it
	if o.store != "" {
		if shared, err = o.location(nil); err != nil {
			return err
		}
	}
	switch {
	case o.out == "" && shared != nil:
		o.out = shared.caseName()
	case o.out == "":
		o.out = casefolder.DefaultName(paths)
	case !strings.HasSuffix(o.out, casefolder.Suffix):
		o.out += casefolder.Suffix
	}
	draft, err := casefolder.Begin(o.out)
	if err != nil {
		return err
	}
	defer draft.Discard() //nolint:errcheck // a hidden temporary folder at worst
	var old caseSettings
	if draft.Exists {
		if old, err = readSettings(o.out); err != nil {
			return err
		}
		settings = settings.after(old, o.said)
	}
	var st store.Keeper
	if shared != nil {
		st, err = openShared(ctx, std, draft, shared, len(paths) > 0, o)
	} else {
		st, err = openOwn(draft, o)
	}
	if err != nil {
		return explain(err, noCase)
	}
	closed := false
	defer func() {
		if !closed {
			_ = st.Close()
		}
	}()
	res := &ingest.Result{}
	undone := noCase
	if len(paths) > 0 {
		if res, err = read(ctx, std, st, paths, enricher, o.quiet); err != nil {
			return explain(err, undone)
		}
		if shared != nil {
			undone = "what was read is in the store; no case was written"
		}
	}
	var decided []casefile.Override
	if draft.Exists {
		if decided, err = overrides(o.out); err != nil {
			return err
		}
	}
	if shared == nil && draft.Exists && len(res.Sources) == 0 && settings.same(&old) {
		if c, err := readCase(o.out); err == nil {
			if changed, err := outdated(o.out, c); err == nil && !changed {
				return nothingNew(std, o, c, &settings)
			}
		}
	}
	c, sets, err := conclude(ctx, draft, st, &settings, decided)
	if err != nil {
		return explain(err, undone)
	}
	closed = true
	if err := st.Close(); err != nil {
		return explain(fmt.Errorf("close event store: %w", err), undone)
	}
	if err := ctx.Err(); err != nil {
		return explain(err, undone)
	}
	if err := draft.Publish(ctx, now); err != nil {
		return explain(err, undone)
	}
	before := len(c.Sources) > len(res.Sources)
	if changed, err := outdated(o.out, c); err != nil {
		return err
	} else if changed { // somebody decided something while logs were read
		if c, sets, err = again(ctx, std, o); err != nil {
			return err
		}
	}
	if err := recordConclusion(ctx, o.out, c); err != nil {
		return err
	}
	return announce(std, o, c, res, sets, len(paths) > 0 && before)
}

// runAgain is investigate --again.
func runAgain(ctx context.Context, std stdio, args []string, o investigateOptions) error {
	for _, f := range []string{"store", "out", "asn", "raw"} {
		if o.said(f) || len(args) > 0 {
			return errors.New("--again concludes a case from the events that it has; name no PATH, --store, --out, --asn or --raw with it")
		}
	}
	o.out = filepath.Clean(o.again)
	c, sets, err := again(ctx, std, o)
	if err != nil {
		return err
	}
	return announce(std, o, c, &ingest.Result{}, sets, false)
}

// openOwn opens the event store that becomes part of the case: a new one, or a
// copy of the one that the case has so far.
func openOwn(draft *casefolder.Draft, o investigateOptions) (store.Keeper, error) {
	opts := duckdb.Options{NoRaw: o.raw == "none"}
	if draft.Exists {
		if on, err := casefolder.ReadStore(o.out); err == nil {
			return nil, fmt.Errorf("%s stands on the store %s; add --store %s, or choose another --out", o.out, on, on)
		}
		sources, err := draft.TakeEvents()
		if err != nil {
			return nil, err
		}
		// A case of an older version comes forward with its copy.
		opts.Migrate = true
		if opts.Accounts, err = ingest.Accounts(sources); err != nil {
			return nil, err
		}
	}
	return duckdb.Open(draft.File(casefolder.Events), opts)
}

// openShared opens the store that the case is to stand on, and notes its name
// in the draft.
func openShared(ctx context.Context, std stdio, draft *casefolder.Draft, l *location, adds bool, o investigateOptions) (store.Keeper, error) {
	name, err := l.kept()
	if err != nil {
		return nil, err
	}
	if draft.Exists {
		switch on, err := casefolder.ReadStore(o.out); {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s has its own events, which would be lost; choose another --out", o.out)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", o.out, err)
		case on != name:
			return nil, fmt.Errorf("%s stands on another store, %s; choose another --out", o.out, on)
		}
	}
	mode := toAsk
	if adds {
		if l.folder != "" {
			return nil, partOfCase(l)
		}
		mode = toAdd
	}
	st, err := openStore(ctx, std, l, mode, o.raw == "none", o.wait)
	if err != nil {
		return nil, err
	}
	if err := casefolder.WriteStore(draft.File(casefolder.Store), name); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// partOfCase refuses to change the events under a case.
func partOfCase(l *location) error {
	return fmt.Errorf("%s is part of the case %s, whose claims stand on it; `midwatch investigate PATH... --out %s` adds to both", l, l.folder, l.folder)
}

// enricher adds what the lines do not say.
func (o *readOptions) enricher() (*enrich.Enricher, error) {
	var networks enrich.Networks
	if o.asn != "" {
		var err error
		if networks, err = enrich.OpenNetworks(o.asn); err != nil {
			return nil, fmt.Errorf("--asn: %w", err)
		}
	}
	return enrich.New(networks)
}

// read ingests the paths with a progress line.
func read(ctx context.Context, std stdio, st store.Store, paths []string, en *enrich.Enricher, quiet bool) (*ingest.Result, error) {
	opts := ingest.Options{Enrich: en.Batch}
	var meter *progress.Meter
	if !quiet {
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

// writeCase writes the files of the case beside its event store. revision is
// Midwatch's that concluded it.
func writeCase(ctx context.Context, d *casefolder.Draft, st store.Store, c *casefile.Case, sets []sigmarules.Set, revision string) error {
	if err := casefolder.WriteSources(d.File(casefolder.Sources), c.Sources); err != nil {
		return err
	}
	if err := casefolder.WriteFile(d.File(casefolder.Case), func(w io.Writer) error { return casefile.Write(w, c) }); err != nil {
		return err
	}
	var failed error
	opts := report.Options{Cards: cardsOf(sets), Version: revision, Raw: func(ids []string) (out map[string][]byte) {
		out, failed = records(ctx, st, ids)
		return out
	}}
	for _, f := range []report.Format{report.HTML{}, report.CSV{}} {
		for _, name := range f.Files() {
			if err := casefolder.WriteFile(d.File(name), func(w io.Writer) error { return errors.Join(f.Write(w, name, c, opts), failed) }); err != nil {
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

// announce prints the verdict and gives the exit status. again says that the
// store had files before.
func announce(std stdio, o investigateOptions, c *casefile.Case, res *ingest.Result, sets []sigmarules.Set, again bool) error {
	gaps := append(gaps(c.Sources), refusedRules(sets)...)
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
	printGaps(std, gaps, filepath.Join(o.out, casefolder.Sources))
	fmt.Fprintf(std.out, "\nCase:    %s\nReport:  %s\n", o.out, filepath.Join(o.out, casefolder.Report))
	return exitStatus(c, gaps)
}

// gaps says what could not be read of the sources.
func gaps(sources []casefile.Source) []string {
	out := []string{}
	for _, s := range sources {
		if s.Incomplete != "" {
			out = append(out, s.Path+": "+s.Incomplete)
		}
	}
	return append(out, rejected(sources)...)
}

// refusedRules says which Sigma rules could not be asked.
func refusedRules(sets []sigmarules.Set) (out []string) {
	for _, s := range sets {
		for _, f := range s.Folder.Files {
			for _, r := range f.Refused {
				out = append(out, "Sigma rule refused: "+r.Error())
			}
		}
	}
	return out
}

// rejected says which records of the sources could not be used.
func rejected(sources []casefile.Source) (out []string) {
	for _, s := range sources {
		for _, r := range s.Rejected {
			out = append(out, fmt.Sprintf("%s: %s records rejected: %s (first in line %d)", s.Path, progress.Count(r.Count), r.Reason, r.FirstLine))
		}
	}
	return out
}

// printGaps prints the first of the gaps, and where all of them are.
func printGaps(std stdio, gaps []string, all string) {
	if len(gaps) == 0 {
		return
	}
	fmt.Fprintln(std.out, "\nNot read, and so not judged:")
	const most = 12
	for i, g := range gaps {
		if i == most {
			fmt.Fprintf(std.out, "  and %d more; all are in %s\n", len(gaps)-most, all)
			break
		}
		fmt.Fprintf(std.out, "  %s\n", report.Plain(g))
	}
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
func nothingNew(std stdio, o investigateOptions, c *casefile.Case, s *caseSettings) error {
	with, err := s.read(casefolder.Settings + ": ")
	if err != nil {
		return err
	}
	return announce(std, o, c, &ingest.Result{}, with.sets, true)
}

// noCase is what an investigation that failed leaves.
const noCase = "no case was written"

// explain adds what to do to errors that a person can do something about, and
// what was left undone.
func explain(err error, undone string) error {
	switch {
	case errors.Is(err, context.Canceled) && undone != noCase: // which is nothing at all
		return &interrupted{undone, err}
	case errors.Is(err, syscall.ENOSPC), strings.Contains(err.Error(), "No space left"), strings.Contains(err.Error(), "not enough disk space"):
		return fmt.Errorf("disk full: %w; %s; free some space or choose another place", err, undone)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; %s; check the rights of the folder", err, undone)
	}
	return err
}
