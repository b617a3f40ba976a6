package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/enrich"
	"midwatch/exposure"
	"midwatch/internal/casefolder"
	"midwatch/internal/progress"
	"midwatch/report"
)

// exposureFile is the exposure in a case folder; exposureTemp is where a run
// keeps what it has to copy, and a sign that one is under way.
const (
	exposureFile = "exposure.json"
	exposureTemp = ".exposure"
)

// exposureOptions are the flags of the verb.
type exposureOptions struct {
	storeFlags
	mail      []string
	directory string
	domains   []string
	key       string
	json      bool
	quiet     bool
}

func newExposure(std stdio) *cobra.Command {
	var o exposureOptions
	c := &cobra.Command{
		Use:   "exposure CASE --mail PATH...",
		Short: "Find out what was in the mail that was reached: messages, secrets, whose data",
		Long: `Find out what was in the mail that a case says was reached: which messages with
which attachments, which secrets have to be changed and in which order, which
organizations and people outside are affected.

PATH is a mailbox export or a list of messages: EML files, mbox, Outlook data
files (.pst, through readpst, package pst-utils), folders and archives of them,
or metadata (CSV or NDJSON with message_id, subject, from, to, date, folder,
mailbox, attachments). Without --mail, what records know of the messages is told.

A message is found by its internet message id. Of folders that were synchronized
as a whole, and of times in which reads were not recorded, the export has to say
where a message lay: a folder of the path is the mailbox's address, and what is
below it is the mailbox's folder, as in mail/jo@contoso.com/Inbox/1.eml or
mail/jo@contoso.com.pst.

Secrets are written nowhere: they are told by a fingerprint, a preview and the
place where they stand. None is tried on a service. Nothing is written but
` + exposureFile + `, exposure-messages.csv, rotation.csv and counterparties.csv in
the case folder. docs/EXPOSURE.md has the contract.

The exit status is 1 when reached messages are listed, and 3 when a file of the
input could not be read whole; parts of messages that could not (encrypted ones,
PDF) are counted and listed.
`,
		Example: `  midwatch exposure incident.case --mail exports/
  midwatch exposure incident.case --mail jo@contoso.com.pst --mail list.csv --directory users.csv
  midwatch exposure incident.case --mail exports/ --json | jq '.rotation[] | {kind, owner, state}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 && len(o.mail) == 0 {
				return fmt.Errorf("%q is no option; mail is named with --mail", args[1])
			}
			o.mail = append(o.mail, args[1:]...) // --mail PATH PATH, as a shell's * makes it
			return runExposure(c.Context(), std, args[0], o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.mail, "mail", nil, "mailbox export or list of messages: file, folder or archive (repeatable)")
	f.StringVar(&o.directory, "directory", "", "CSV of users: user,department,job_title,enabled,mfa_registered (default: what the case was made with)")
	f.StringSliceVar(&o.domains, "own-domain", nil, "a domain of yours, besides those that the evidence shows (repeatable)")
	f.StringVar(&o.key, "key", "", "file whose content is mixed into fingerprints, so that nobody without it can try guesses on them")
	f.BoolVar(&o.json, "json", false, "print exposure.json instead of the summary")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	o.addWait(c)
	return c
}

func runExposure(ctx context.Context, std stdio, dir string, o exposureOptions) (err error) {
	kase, err := readCase(dir)
	if err != nil {
		return err
	}
	opts := exposure.Options{Case: kase, Paths: o.mail, OwnDomains: o.domains, Readpst: exposure.FindReadpst(), Temp: filepath.Join(dir, exposureTemp)}
	if o.directory != "" {
		if opts.Directory, err = enrich.ReadDirectory(o.directory); err != nil {
			return fmt.Errorf("--directory: %w", err)
		}
	} else if kept, err := readSettings(dir); err != nil { // what the case was made with
		return err
	} else if kept.Directory != nil {
		for _, p := range kept.Directory.People {
			opts.Directory = append(opts.Directory, enrich.Person(p))
		}
	}
	if o.key != "" {
		if opts.Key, err = os.ReadFile(o.key); err == nil && len(opts.Key) < 16 {
			err = fmt.Errorf("%s has %d bytes; a key has 16 or more", o.key, len(opts.Key))
		}
		if err != nil {
			return fmt.Errorf("--key: %w", err)
		}
	}
	if opts.Salt, err = earlierSalt(filepath.Join(dir, exposureFile)); err != nil {
		return err
	}
	said, err := openJournal(dir).Entries()
	if err != nil {
		return err
	}
	if opts.States, _, err = secretStates(said); err != nil {
		return err
	}
	l, err := parseStore(dir)
	if err != nil {
		return fmt.Errorf("%w; is %s a case folder?", err, dir)
	}
	st, err := openStore(ctx, std, l, toLook, false, o.wait)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // read only
	opts.Store = st
	if err := os.Mkdir(opts.Temp, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists: another run is under way, or one was killed and left parts of mail there; remove it if none is", opts.Temp)
		}
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(opts.Temp)) }()
	var meter *progress.Meter
	if !o.quiet && len(o.mail) > 0 {
		_, tty := terminal(std.err)
		meter = progress.New(std.err, tty, totalSize(o.mail), now)
		opts.Progress = meter.Bytes
	}
	x, err := exposure.Build(ctx, opts)
	if meter != nil {
		meter.Done()
	}
	if err != nil {
		return explain(err, "nothing was written")
	}
	if err := writeExposure(dir, x); err != nil {
		return err
	}
	if o.json {
		err = exposure.Write(std.out, x)
	} else {
		err = exposureSummary(std.out, dir, x)
	}
	if err != nil {
		return err
	}
	return exposureStatus(x)
}

func exposureStatus(x *exposure.Exposure) error {
	for _, n := range x.NotRead {
		if n.Message == "" {
			return status(exitIncomplete)
		}
	}
	if len(x.Messages) > 0 {
		return status(exitFindings)
	}
	return nil
}

// earlierSalt is the salt of the exposure that is there already.
func earlierSalt(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	x, err := exposure.Read(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w; remove it to make a new one", path, err)
	}
	return x.Salt, nil
}

// writeExposure writes each file beside its place and renames it, so that a
// reader finds the old one or the new one.
func writeExposure(dir string, x *exposure.Exposure) error {
	write := func(name string, fn func(io.Writer) error) error {
		tmp := filepath.Join(dir, exposureTemp, name)
		if err := casefolder.WriteFile(tmp, fn); err != nil {
			return err
		}
		return os.Rename(tmp, filepath.Join(dir, name))
	}
	for _, t := range exposure.Tables(x) {
		if err := write(t.File, func(w io.Writer) error {
			for _, r := range t.Rows {
				if err := report.CSVRow(w, r...); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return write(exposureFile, func(w io.Writer) error { return exposure.Write(w, x) })
}

// exposureRows is how many rows of a list the summary shows.
const exposureRows = 12

// exposureSummary prints what matters first. Everything in it is text from mail.
func exposureSummary(w io.Writer, dir string, x *exposure.Exposure) error {
	n := x.Counts
	fmt.Fprintf(w, "Mail that was reached, case %s\n\n", report.Plain(x.Case))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tconfirmed\tprobable\tpossible\t")
	for _, r := range []struct {
		name string
		n    casefile.PerCertainty
	}{{"messages", n.Messages}, {"with content read", n.Content}, {"mailboxes", n.Mailboxes}, {"secrets", n.Secrets}, {"organizations outside", n.Counterparties}} {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t\n", r.name, r.n.Confirmed, r.n.Probable, r.n.Possible)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d attachments; %d messages of the input are not listed, because nothing says that they were reached\n", n.Attachments, n.Unreached)
	if err := rotationSummary(w, x); err != nil {
		return err
	}
	if len(x.Counterparties) > 0 {
		fmt.Fprintln(w, "\nORGANIZATIONS OUTSIDE  messages by certainty of access: confirmed/probable/possible")
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range x.Counterparties[:min(len(x.Counterparties), exposureRows)] {
			name := report.Plain(c.Domain)
			if c.PrivateMail {
				name += " (private mail)"
			}
			fmt.Fprintf(tw, "  %s\t%s messages\t%d people\t%d attachments\t%d secrets\n", name, three(c.Messages), c.PeopleCount, c.Attachments, len(c.Secrets))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		more(w, len(x.Counterparties), "counterparties.csv")
	}
	if len(x.Inside) > 0 {
		fmt.Fprintln(w, "\nINSIDE  by department")
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, d := range x.Inside[:min(len(x.Inside), exposureRows)] {
			fmt.Fprintf(tw, "  %s\t%s mailboxes\t%s messages\t%d people\t%d of them lead\n", report.Plain(first(d.Name, "(not in the directory)")), three(d.Mailboxes), three(d.Messages), d.People, len(d.Leaders))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		more(w, len(x.Inside), exposureFile)
	}
	if len(x.PersonalData) > 0 {
		fmt.Fprintln(w, "\nPERSONAL DATA  distinct values; they may decide duties to notify")
		for _, p := range x.PersonalData {
			fmt.Fprintf(w, "  %s  %d in %s messages, %d mailboxes\n", p.Kind, p.Values, three(p.Messages), len(p.Mailboxes))
		}
	}
	notReadSummary(w, x)
	fmt.Fprintln(w, "\nNOT KNOWN  unknown does not mean no")
	for _, s := range x.Limits[:min(len(x.Limits), exposureRows)] {
		for i, line := range wrapped(report.Plain(s), listWidth-4) {
			lead := "    "
			if i == 0 {
				lead = "  ? "
			}
			fmt.Fprintln(w, lead+line)
		}
	}
	more(w, len(x.Limits), exposureFile)
	_, err := fmt.Fprintf(w, "\nExposure:  %s\n", report.Plain(filepath.Join(dir, exposureFile)))
	return err
}

// notReadSummary counts what could not be read by reason, with one example each.
func notReadSummary(w io.Writer, x *exposure.Exposure) {
	if len(x.NotRead) == 0 {
		return
	}
	n, example := map[string]int{}, map[string]exposure.NotRead{}
	for _, r := range x.NotRead {
		if n[r.Reason]++; n[r.Reason] == 1 {
			example[r.Reason] = r
		}
	}
	reasons := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(n[b]-n[a], strings.Compare(a, b)) })
	fmt.Fprintln(w, "\nCOULD NOT BE READ  by reason, with the first of each")
	for _, r := range reasons[:min(len(reasons), exposureRows)] {
		e := example[r]
		place := e.File
		if e.Part != "" {
			place += ", part " + e.Part
		}
		if e.Name != "" {
			place += " (" + e.Name + ")"
		}
		fmt.Fprintf(w, "  %d × %s\n      %s\n", n[r], report.Plain(r), report.Plain(place))
	}
	more(w, len(reasons), exposureFile)
}

func rotationSummary(w io.Writer, x *exposure.Exposure) error {
	if len(x.Rotation) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nTO CHANGE  secrets by reach and age; mailboxes by certainty of access: confirmed/probable/possible")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range x.Rotation[:min(len(x.Rotation), exposureRows)] {
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s mailboxes\t%s\t%s\n", s.Fingerprint, s.State, s.Kind, report.Plain(s.Preview), three(s.Mailboxes),
			"since "+first(s.FirstExposed.Format("2006-01-02"), "?"), report.Plain(first(s.Owner.Organization, "owner unknown")))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	more(w, len(x.Rotation), "rotation.csv")
	return nil
}

func three(p casefile.PerCertainty) string {
	return fmt.Sprintf("%d/%d/%d", p.Confirmed, p.Probable, p.Possible)
}

// more says how many rows were left out, and where they are.
func more(w io.Writer, n int, file string) {
	if n > exposureRows {
		fmt.Fprintf(w, "  ... %d more in %s\n", n-exposureRows, file)
	}
}
