package main

import (
	"context"
	"errors"
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
	"midwatch/casework"
	"midwatch/detect/sigmarules"
	"midwatch/internal/casefolder"
	"midwatch/report"
)

type reportOptions struct {
	format, file, out string
	rows              int
	raw               string
	wait              time.Duration
	tlp               string
}

func newReport(std stdio) *cobra.Command {
	var o reportOptions
	var where storeFlags
	c := &cobra.Command{
		Use:   "report CASE --format FORMAT",
		Short: "Write a case in another form: for people, spreadsheets and other programs",
		Long: `Write what case.json says in another form. Nothing is concluded again, and nothing
is added: the same case gives the same bytes. midwatch report formats lists the
forms.

Without --out the form goes to standard output. A form of several files needs
--out, a folder, or --file, one of them. The case's own folder is never written to.

The exit status is the one of the case: 1 if it has findings, 3 if some of its
input could not be read, which standard error says.`,
		Example: `  midwatch report formats
  midwatch report incident.case --format navigator --out layer.json
  midwatch report incident.case --format csv --out tables
  midwatch report incident.case --format csv --file mailboxes.csv
  midwatch report incident.case --format stix --tlp red --out case.stix.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.wait = where.wait
			return writeReport(c.Context(), std, args[0], &o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.format, "format", "f", "", "form to write; midwatch report formats lists them")
	f.StringVarP(&o.out, "out", "o", "", "file to write, or folder for a form of several files (default: standard output)")
	f.StringVar(&o.file, "file", "", "which file, of a form of several")
	f.IntVar(&o.rows, "rows", 0, "rows of a long table, in forms that leave something out (default: the form's own)")
	f.StringVar(&o.raw, "raw", "all", "records that html shows of those that the claims stand on: all, or none, which needs no event store")
	where.addWait(c)
	f.StringVar(&o.tlp, "tlp", report.DefaultTLP, "marking of a STIX bundle: white, green, amber, red")
	c.AddCommand(newReportFormats(std))
	return c
}

func newReportFormats(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "formats",
		Short: "List the forms that a case can be written in",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			type row struct {
				Name  string   `json:"name"`
				Doc   string   `json:"doc"`
				Files []string `json:"files"`
			}
			var rows []row
			for _, f := range report.Formats() {
				rows = append(rows, row{f.Name(), f.Doc(), f.Files()})
			}
			if asJSON {
				return printJSON(std, rows)
			}
			tw := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			for _, r := range rows {
				fmt.Fprintf(tw, "%s\t%s\n", r.Name, r.Doc)
			}
			return tw.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// formatOf finds a form, and which of its files are asked for.
func formatOf(o *reportOptions) (report.Format, []string, error) {
	var names []string
	var f report.Format
	for _, x := range report.Formats() {
		names = append(names, x.Name())
		if x.Name() == o.format {
			f = x
		}
	}
	switch {
	case o.format == "":
		return nil, nil, fmt.Errorf("say which form with --format: %s", strings.Join(names, ", "))
	case f == nil:
		return nil, nil, fmt.Errorf("no form %q; there are %s", o.format, strings.Join(names, ", "))
	case o.file != "" && !slices.Contains(f.Files(), o.file):
		return nil, nil, fmt.Errorf("%s has no file %q; it has %s", o.format, o.file, strings.Join(f.Files(), ", "))
	case o.file != "":
		return f, []string{o.file}, nil
	case len(f.Files()) > 1 && o.out == "":
		return nil, nil, fmt.Errorf("%s has %d files; name a folder for them with --out, or one of them with --file: %s", o.format, len(f.Files()), strings.Join(f.Files(), ", "))
	}
	return f, f.Files(), nil
}

func writeReport(ctx context.Context, std stdio, dir string, o *reportOptions) (err error) {
	f, files, err := formatOf(o)
	if err != nil {
		return err
	}
	if o.raw != "all" && o.raw != "none" {
		return fmt.Errorf("--raw %q: it is all or none", o.raw)
	}
	if o.rows < 0 {
		return fmt.Errorf("--rows %d: it is a number of rows, or 0 for the form's own", o.rows)
	}
	if !slices.Contains(report.TLPs(), o.tlp) {
		return fmt.Errorf("--tlp %q: it is one of %s", o.tlp, strings.Join(report.TLPs(), ", "))
	}
	dir = filepath.Clean(dir)
	if err := outside(dir, o.out); err != nil {
		return err
	}
	c, err := readCase(dir)
	if err != nil {
		return err
	}
	sets, err := rulesOf(dir)
	if err != nil {
		return err
	}
	opts := report.Options{Rows: o.rows, TLP: o.tlp, Cards: cardsOf(sets), Version: revision()}
	if opts.Exposure, err = exposedTo(dir, c); err != nil {
		return err
	}
	if f.Name() == (report.Terminal{}).Name() && o.out == "" {
		width, tty := terminal(std.out)
		opts.Color, opts.Width = tty && os.Getenv("NO_COLOR") == "", width
	}
	var failed error
	if f.Name() == (report.HTML{}).Name() && o.raw == "all" {
		const without = "; --raw none writes the page without the records"
		l, err := parseStore(dir)
		if err != nil {
			return fmt.Errorf("%w"+without, err)
		}
		st, err := openStore(ctx, std, l, toLook, false, o.wait)
		if err != nil {
			return fmt.Errorf("%w"+without, err)
		}
		defer func() { err = errors.Join(err, st.Close()) }()
		opts.Raw = func(ids []string) (out map[string][]byte) {
			out, failed = records(ctx, st, ids)
			return out
		}
	}
	write := func(w io.Writer, name string) error { return errors.Join(f.Write(w, name, c, opts), failed) }
	switch {
	case o.out == "":
		err = write(std.out, files[0])
	case len(files) == 1:
		err = intoFile(o.out, func(w io.Writer) error { return write(w, files[0]) })
	default:
		if err = os.MkdirAll(o.out, 0o700); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		for _, name := range files {
			if err = replaceWith(filepath.Join(o.out, name), func(w io.Writer) error { return write(w, name) }); err != nil {
				break
			}
		}
	}
	if err != nil {
		return explain(err, "the report is not complete")
	}
	unread := append(gaps(c.Sources), refusedRules(sets)...)
	if len(unread) > 0 {
		fmt.Fprintf(std.err, "of the input of this case not everything was read, and so judged: %s", report.Plain(unread[0]))
		if n := len(unread) - 1; n > 0 {
			fmt.Fprintf(std.err, "; and %d more, in %s", n, report.Plain(filepath.Join(dir, casefolder.Sources)))
		}
		fmt.Fprintln(std.err)
	}
	return exitStatus(c, unread)
}

// cardsOf is what detectors and rules say about themselves.
func cardsOf(sets []sigmarules.Set) map[string]report.Card {
	out := map[string]report.Card{}
	for _, k := range cards(sets) {
		out[k.ID] = report.Card{Title: k.Title, Why: k.Why, FalsePositives: k.FalsePositives}
	}
	return out
}

// exposedTo is what the exposure of a case counted; nil: there is none, or it
// is of another state of the case.
func exposedTo(dir string, c *casefile.Case) (*report.Exposure, error) {
	x, err := casework.ReadExposure(dir)
	if err != nil || x == nil || x.Case != c.Case.ID {
		return nil, err
	}
	out := &report.Exposure{Read: x.Counts.Content}
	for _, s := range x.Rotation {
		switch s.Certainty {
		case casefile.Confirmed:
			out.Secrets.Confirmed++
		case casefile.Probable:
			out.Secrets.Probable++
		default:
			out.Secrets.Possible++
		}
	}
	return out, nil
}

// rulesOf are the rules that a case was concluded with: what detectors and
// rules say about themselves. A case without settings had ours.
func rulesOf(dir string) ([]sigmarules.Set, error) {
	s, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	with, err := s.read(filepath.Join(dir, casefolder.Settings) + ": ")
	return with.sets, err
}

// outside refuses to write into the case's folder, whose files are held
// against each other by verify.
func outside(dir, out string) error {
	if out == "" {
		return nil
	}
	resolved := func(path string) string {
		abs, err := filepath.Abs(path)
		if err != nil {
			return path
		}
		if r, err := filepath.EvalSymlinks(abs); err == nil {
			return r
		}
		if r, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			return filepath.Join(r, filepath.Base(abs))
		}
		return abs
	}
	rel, err := filepath.Rel(resolved(dir), resolved(out))
	if err == nil && (rel == "." || filepath.IsLocal(rel)) {
		return fmt.Errorf("--out %s is in the case's folder, whose files midwatch verify holds against each other; choose a place outside", out)
	}
	return nil
}

// intoFile writes a file whole or not at all, and straight into what is no
// file: a pipe, a device.
func intoFile(path string, write func(io.Writer) error) error {
	switch info, err := os.Stat(path); {
	case err != nil || info.Mode().IsRegular():
		return replaceWith(path, write)
	case info.IsDir():
		return fmt.Errorf("--out %s is a folder; name a file", path)
	}
	return casefolder.WriteFile(path, write)
}
