package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/detect/sigmarules"
	"midwatch/enrich"
	"midwatch/ingest"
	"midwatch/internal/casefolder"
	"midwatch/internal/custody"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/store"
	"midwatch/store/duckdb"
	"midwatch/web/audit"
)

// verifyOptions are the flags of the verb.
type verifyOptions struct {
	storeFlags
	logs   []string
	all    bool
	sample int
	json   bool
}

func newVerify(std stdio) *cobra.Command {
	o := verifyOptions{}
	c := &cobra.Command{
		Use:   "verify CASE [--logs PATH...]",
		Short: "Check that a case is what its evidence makes of it: files, events, claims, journal",
		Long: `Check that a case is what its evidence makes of it, and name what is not:

  sources    each file that was read still has its hash, where sources.json says it
             is, or below --logs, where it is found by its hash
  events     records in the event store are byte for byte what stands at their line
             and offset in the files: a sample of each file and all that the case
             cites, or every one with --all, which reads the files again as well
             and compares every column
  journal    the chain of its hashes is whole, and that of access.ndjson
  citations  every event that case.json cites is in the event store
  claims     concluding the case again, from its events, settings and journal,
             gives the same case.json, member by member
  report     report.html and the tables say what case.json says

Nothing is changed. docs/CUSTODY.md says what each of it shows, and what it does
not: who can change the case, its store and the files alike leaves no trace here.
Note the hashes that are printed at the end where others cannot change them.

The exit status is 0 when all is verified, 1 when something differs, and 3 when
something could not be checked.
`,
		Example: `  midwatch verify incident.case
  midwatch verify incident.case --logs /mnt/evidence --all
  midwatch verify incident.case --json | jq '.items[] | select(.state != "verified")'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 && len(o.logs) == 0 {
				return fmt.Errorf("%q is no option; files are named with --logs", args[1])
			}
			if o.sample < 1 {
				return fmt.Errorf("--sample %d; it is 1 or more", o.sample)
			}
			o.logs = append(o.logs, args[1:]...) // --logs PATH PATH, as a shell's * makes it
			return runVerify(c.Context(), std, args[0], o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.logs, "logs", nil, "where the files are now: files, folders, archives (repeatable)")
	f.BoolVar(&o.all, "all", false, "compare every event, and read the files again")
	f.IntVar(&o.sample, "sample", 200, "how many events of each file are compared besides those that the case cites")
	f.BoolVar(&o.json, "json", false, "print the results as JSON")
	o.addWait(c)
	return c
}

// verification is what is known of a case while it is verified.
type verification struct {
	verifyOptions
	dir  string
	text []byte // case.json
	kase *casefile.Case
	custody.Result
}

func runVerify(ctx context.Context, std stdio, dir string, o verifyOptions) error {
	dir, err := caseFolder(dir)
	if err != nil {
		return err
	}
	v := &verification{verifyOptions: o, dir: dir}
	if v.text, err = os.ReadFile(filepath.Join(dir, casefolder.Case)); err != nil {
		return err
	}
	if v.kase, err = casefile.Read(bytes.NewReader(v.text)); err != nil {
		v.Add("claims", casefolder.Case, custody.Differs, "it cannot be read: %v", err)
	}
	l, err := parseStore(dir)
	if err != nil {
		return err
	}
	st, err := openStore(ctx, std, l, toLook, false, o.wait)
	if err != nil {
		v.Add("events", l.String(), custody.Unchecked, "the event store cannot be opened: %s", withoutSecrets(err.Error(), nil))
	} else {
		defer st.Close() //nolint:errcheck // read only
		if err := v.store(ctx, st); err != nil {
			return explain(err, "nothing was changed")
		}
	}
	v.journal()
	if o.json {
		err = printJSON(std, struct {
			Schema string         `json:"schema"`
			Case   string         `json:"case"`
			Items  []custody.Item `json:"items"`
			Hashes []fileHash     `json:"hashes"`
		}{"midwatch.custody/1", dir, append([]custody.Item{}, v.Items...), hashes(dir)})
	} else {
		err = v.write(std.out)
	}
	switch {
	case err != nil:
		return err
	case v.Count(custody.Differs) > 0:
		return status(exitFindings)
	case v.Count(custody.Unchecked) > 0:
		return status(exitIncomplete)
	}
	return nil
}

// store checks all that needs the event store.
func (v *verification) store(ctx context.Context, st store.Store) error {
	sources, err := ingest.Sources(ctx, st)
	if err != nil {
		v.Add("events", "files", custody.Unchecked, "the account of the files cannot be read: %v", err)
		return nil
	}
	own := v.accounts(sources)
	if err := v.columns(ctx, st, own); err != nil {
		return err
	}
	places, err := custody.Locate(ctx, own, []string{filepath.Dir(v.dir), v.dir}, v.logs, &v.Result)
	if err != nil {
		return err
	}
	rows := custody.Rows{Sample: v.sample}
	cited := v.cited()
	if rows.Cited = cited; v.all {
		rows = custody.Rows{}
	}
	rows.Cited = slices.DeleteFunc(slices.Clone(rows.Cited), func(id string) bool { return !isEventID(id) })
	if err := custody.CheckRows(ctx, st, own, places, rows, &v.Result); err != nil {
		return err
	}
	if v.all {
		if err := v.readAgain(ctx, st, own, places); err != nil {
			return err
		}
	}
	if v.kase == nil {
		return nil
	}
	missing, err := custody.Missing(ctx, st, cited)
	if err != nil {
		return err
	}
	for _, id := range missing[:min(len(missing), 20)] {
		v.Items = append(v.Items, custody.Item{Part: "citations", Name: id, State: custody.Differs, Text: "case.json cites it, and it is not in the event store", Offset: -1, Event: id})
	}
	if n := len(missing); n > 20 {
		v.Add("citations", casefolder.Case, custody.Differs, "%d more cited events are not in the event store", n-20)
	} else if n == 0 {
		v.Add("citations", casefolder.Case, custody.Verified, "all %d events that it cites are in the event store", len(cited))
	}
	return v.claims(ctx, st)
}

// accounts compares sources.json with the store's own account, and returns the
// sources as sources.json has them: that is what a case was handed over with.
func (v *verification) accounts(kept []casefile.Source) []casefile.Source {
	own, err := casefolder.ReadSources(v.dir)
	if err != nil {
		v.Add("sources", casefolder.Sources, custody.Differs, "it cannot be read: %v; the event store's account is taken", err)
		return kept
	}
	a, errA := json.Marshal(own)
	b, errB := json.Marshal(kept)
	d, err := custody.Compare(a, b, 20)
	if err := errors.Join(errA, errB, err); err != nil {
		v.Add("sources", casefolder.Sources, custody.Unchecked, "%v", err)
		return own
	}
	for _, x := range d {
		v.Add("sources", casefolder.Sources+" "+x.Path, custody.Differs, "it says %s, and the event store's own account %s", x.A, x.B)
	}
	if len(d) == 0 {
		v.Add("sources", casefolder.Sources, custody.Verified, "as the event store's own account has them: %d in all", len(own))
	}
	return own
}

// columns compares the columns of table files, which cite where an event
// stands, with the whole account beside them.
func (v *verification) columns(ctx context.Context, st store.Querier, own []casefile.Source) error {
	at := map[int32]*casefile.Source{}
	for i := range own {
		at[own[i].File] = &own[i]
	}
	return store.Each(ctx, st, `SELECT file, coalesce(path, ''), coalesce(sha256, ''), coalesce(outer_sha256, ''), coalesce(bytes, 0) FROM files ORDER BY file`, nil, func(scan func(...any) error) error {
		var file int32
		var path, sum, outer string
		var size int64
		if err := scan(&file, &path, &sum, &outer, &size); err != nil {
			return err
		}
		s := at[file]
		if s == nil {
			return nil // said already
		}
		for _, x := range []struct{ name, have, want string }{
			{"path", path, s.Path}, {"sha256", sum, s.SHA256}, {"outer_sha256", outer, first(s.OuterSHA256, s.SHA256)}, {"bytes", fmt.Sprint(size), fmt.Sprint(s.Bytes)},
		} {
			if x.have != x.want {
				v.Add("sources", s.Path, custody.Differs, "column %s of the event store's table files is %q, and %s says %q", x.name, x.have, casefolder.Sources, x.want)
			}
		}
		return nil
	})
}

// cited are the events that case.json cites, each once, in order.
func (v *verification) cited() []string {
	if v.kase == nil {
		return nil
	}
	ids := map[string]bool{}
	for id := range v.kase.Evidence {
		ids[id] = true
	}
	var doc any
	if json.Unmarshal(v.text, &doc) == nil {
		citations(doc, ids)
	}
	return slices.Sorted(maps.Keys(ids))
}

// citations walks case.json for lists named events.
func citations(x any, ids map[string]bool) {
	switch t := x.(type) {
	case map[string]any:
		for k, v := range t {
			list, ok := v.([]any)
			if ok && k == "events" {
				for _, id := range list {
					if s, ok := id.(string); ok {
						ids[s] = true
					}
				}
			}
			citations(v, ids)
		}
	case []any:
		for _, v := range t {
			citations(v, ids)
		}
	}
}

// readAgain reads the files into a store of its own and compares every column.
func (v *verification) readAgain(ctx context.Context, st store.Querier, sources []casefile.Source, places []*custody.Place) (err error) {
	const name = "all files read again"
	var paths []string
	for i, p := range places {
		if p == nil || !p.Same {
			v.Add("columns", name, custody.Unchecked, "not done: the bytes of %s are not there", sources[i].Path)
			return nil
		}
		if !slices.Contains(paths, p.Root) {
			paths = append(paths, p.Root)
		}
	}
	tmp, err := os.MkdirTemp("", "midwatch-verify-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	again, err := duckdb.Open(filepath.Join(tmp, casefolder.Events), duckdb.Options{NoRaw: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again.Close()) }()
	en, err := enrich.New(nil)
	if err != nil {
		return err
	}
	if _, err := ingest.Run(ctx, again, paths, ingest.Options{Enrich: en.Batch}); err != nil {
		return err
	}
	return custody.CompareEvents(ctx, st, again, &v.Result)
}

// claims concludes the case again beside it, and compares.
func (v *verification) claims(ctx context.Context, st store.Store) (err error) {
	tmp, err := os.MkdirTemp("", "midwatch-verify-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	s, err := readSettings(v.dir)
	if err != nil {
		v.Add("claims", casefolder.Settings, custody.Differs, "it cannot be read: %v; the case was not concluded again", err)
		return nil
	}
	by := ""
	if s.Midwatch != revision() {
		by = fmt.Sprintf("; the case was concluded by midwatch %s, and this is %s: differences may be between these two", first(s.Midwatch, "of an unknown version"), revision())
	}
	decided, err := overrides(v.dir)
	if err != nil {
		v.Add("claims", casefolder.Case, custody.Unchecked, "not concluded again, since people's decisions cannot be read: %v", err)
		return nil
	}
	_, sets, err := conclude(ctx, &casefolder.Draft{Dir: tmp}, st, &s, decided)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		v.Add("claims", casefolder.Case, custody.Unchecked, "it cannot be concluded again: %v", err)
		return nil
	}
	text, err := os.ReadFile(filepath.Join(tmp, casefolder.Case))
	if err != nil {
		return err
	}
	const most = 20
	d, err := custody.Compare(v.text, text, most)
	if err != nil {
		return err
	}
	for _, x := range d {
		v.Add("claims", x.Path, custody.Differs, "case.json says %s, and the evidence comes to %s%s", x.A, x.B, by)
	}
	switch {
	case len(d) == most:
		v.Add("claims", casefolder.Case, custody.Differs, "further members may differ; the first %d are listed", most)
	case len(d) == 0 && !bytes.Equal(v.text, text):
		v.Add("claims", casefolder.Case, custody.Differs, "every member is the same, and the bytes are not: it was written by something else")
	case len(d) == 0:
		v.Add("claims", casefolder.Case, custody.Verified, "concluded again from %d events, it is the same to the byte: %d findings, %d campaigns, %d sentences", v.kase.Case.Events, len(v.kase.Findings), len(v.kase.Campaigns), len(v.kase.Verdict))
	}
	return v.reports(ctx, st, tmp, sets, s.Midwatch)
}

// reports renders what case.json says and compares it with the case's files.
// revision is Midwatch's that concluded the case: the page names it.
func (v *verification) reports(ctx context.Context, st store.Store, tmp string, sets []sigmarules.Set, revision string) error {
	if err := writeCase(ctx, &casefolder.Draft{Dir: tmp}, st, v.kase, sets, revision); err != nil {
		v.Add("report", casefolder.Report, custody.Unchecked, "it cannot be rendered again: %v", err)
		return nil
	}
	for _, name := range slices.Concat(report.HTML{}.Files(), report.CSV{}.Files()) {
		want, err := os.ReadFile(filepath.Join(tmp, name))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(v.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.Add("report", name, custody.Unchecked, "it is not in the case folder")
		case err != nil:
			v.Add("report", name, custody.Unchecked, "%v", err)
		case !bytes.Equal(got, want):
			i := 0
			for i < len(got) && i < len(want) && got[i] == want[i] {
				i++
			}
			v.Items = append(v.Items, custody.Item{Part: "report", Name: name, State: custody.Differs, Text: "it is not what case.json comes to, from here on", Line: int64(1 + bytes.Count(got[:i], []byte("\n"))), Offset: int64(i)})
		default:
			v.Add("report", name, custody.Verified, "it says what case.json says")
		}
	}
	return nil
}

// journal checks the chains of what people wrote down, and of who was shown what
// mail holds, which is there when the case was served.
func (v *verification) journal() {
	v.chain(casefolder.Journal, openJournal(v.dir))
	if _, err := os.Stat(filepath.Join(v.dir, audit.File)); err == nil {
		v.chain(audit.File, journal.Open(filepath.Join(v.dir, audit.File), now))
	}
}

func (v *verification) chain(name string, j *journal.Journal) {
	path := filepath.Join(v.dir, name)
	s, err := j.Verify()
	var bad *journal.BadEntry
	switch {
	case errors.As(err, &bad):
		v.Items = append(v.Items, custody.Item{Part: "journal", Name: name, State: custody.Differs, Text: bad.Why, Line: bad.Line, Offset: bad.Offset})
	case err != nil:
		v.Add("journal", name, custody.Unchecked, "%v", err)
	case s.Torn > 0:
		v.Add("journal", name, custody.Differs, "%d bytes at its end are of an entry that was cut off", s.Torn)
	case s.Entries == 0:
		if _, err := os.Stat(path); err != nil {
			v.Add("journal", name, custody.Unchecked, "there is none: nothing was written down, or it was removed")
			return
		}
		v.Add("journal", name, custody.Unchecked, "it is empty: nothing was written down, or it was cut off")
	default:
		v.Add("journal", name, custody.Verified, "whole and in order up to entry %d, head %s; that its end was not cut off shows against a head that was noted elsewhere", s.Entries, s.Head)
	}
}
