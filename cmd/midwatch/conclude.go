package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/detect"
	"midwatch/detect/sigmarules"
	"midwatch/enrich"
	"midwatch/ingest"
	"midwatch/internal/casefolder"
	"midwatch/investigate"
	"midwatch/journal"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// overrides are what people decided about the campaigns of the case at dir.
func overrides(dir string) ([]casefile.Override, error) {
	es, err := openJournal(dir).Entries()
	if err != nil {
		return nil, fmt.Errorf("%w; `midwatch journal verify %s` tells more, and what it says holds until the file is moved aside", err, dir)
	}
	return casework.Overrides(es)
}

func openJournal(dir string) *journal.Journal {
	return journal.Open(filepath.Join(dir, casefolder.Journal), now)
}

// conclude asks the detectors and the rules, joins what they say as people
// decided, and writes the files of the case beside its event store.
func conclude(ctx context.Context, d *casefolder.Draft, st store.Store, s *caseSettings, decided []casefile.Override) (*casefile.Case, []sigmarules.Set, error) {
	with, err := s.read(casefolder.Settings + ": ")
	if err != nil {
		return nil, nil, fmt.Errorf("%w; give --config or --rules anew", err)
	}
	sources, err := ingest.Sources(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	found, err := detect.Run(ctx, st, detect.All(with.detect))
	if err != nil {
		return nil, nil, err
	}
	ruled, err := sigmarules.Run(ctx, st, with.sets...)
	if err != nil {
		return nil, nil, err
	}
	c, err := investigate.Investigate(ctx, st, slices.Concat(found.Findings, ruled.Findings), investigate.Options{
		Sources: sources, Assessed: slices.Concat(found.Assessed, ruled.Assessed), NotAssessed: slices.Concat(found.NotAssessed, ruled.NotAssessed),
		DirectoryMailboxes: int64(len(with.people)), People: peopleOf(with.people), Assets: investigate.MergeAssets(with.assets), Earlier: s.Earlier, Overrides: decided,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := s.write(d.File(casefolder.Settings)); err != nil {
		return nil, nil, err
	}
	return c, with.sets, writeCase(ctx, d, st, c, with.sets, revision())
}

func peopleOf(people []enrich.Person) (out []investigate.Person) {
	for _, p := range people {
		out = append(out, investigate.Person{User: p.User, Department: p.Department, JobTitle: p.JobTitle})
	}
	return out
}

// outdated reports whether a case follows other decisions than its journal has.
func outdated(dir string, c *casefile.Case) (bool, error) {
	decided, err := overrides(dir)
	return casework.Outdated(decided, c), err
}

// readCase reads the case.json of the case at dir.
func readCase(dir string) (*casefile.Case, error) {
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
	return c, nil
}

// again concludes the case at o.out from the events that it has, without
// reading logs: with what it was made with, but for what the flags say, and
// with what people decided since. It is repeated when the case is changed by
// others meanwhile.
func again(ctx context.Context, std stdio, o investigateOptions) (c *casefile.Case, sets []sigmarules.Set, err error) {
	const most = 10
	for range most {
		c, sets, err = onceAgain(ctx, std, o)
		if errors.Is(err, casefolder.ErrChanged) {
			continue
		}
		if err != nil {
			return nil, nil, explain(err, "the case is as it was")
		}
		old, err := outdated(o.out, c)
		if err != nil {
			return c, sets, err
		}
		if !old {
			return c, sets, recordConclusion(ctx, o.out, c)
		}
	}
	return nil, nil, fmt.Errorf("%s: it was changed %d times while it was concluded; run `midwatch investigate --again %s` when that has ended", o.out, most, o.out)
}

func onceAgain(ctx context.Context, std stdio, o investigateOptions) (*casefile.Case, []sigmarules.Set, error) {
	s, err := o.given()
	if err != nil {
		return nil, nil, err
	}
	draft, err := casefolder.Begin(o.out)
	if err != nil {
		return nil, nil, err
	}
	defer draft.Discard() //nolint:errcheck // a hidden temporary folder at worst
	if !draft.Exists {
		return nil, nil, fmt.Errorf("there is no case %s; `midwatch investigate PATH... --out %s` makes it", o.out, o.out)
	}
	old, err := readSettings(o.out)
	if err != nil {
		return nil, nil, err
	}
	s = s.after(old, o.said)
	decided, err := overrides(o.out)
	if err != nil {
		return nil, nil, err
	}
	st, err := openAgain(ctx, std, draft, o)
	if err != nil {
		return nil, nil, err
	}
	c, sets, err := conclude(ctx, draft, st, &s, decided)
	if err := errors.Join(err, st.Close(), ctx.Err()); err != nil {
		return nil, nil, err
	}
	return c, sets, draft.Publish(ctx, now)
}

// openAgain opens the events that a case has, for questions.
func openAgain(ctx context.Context, std stdio, draft *casefolder.Draft, o investigateOptions) (store.Keeper, error) {
	if _, err := os.Stat(filepath.Join(o.out, casefolder.Store)); err == nil {
		l, err := parseStore(o.out)
		if err != nil {
			return nil, err
		}
		return openShared(ctx, std, draft, l, false, o)
	}
	if _, err := draft.ShareEvents(); err != nil {
		return nil, err
	}
	path := draft.File(casefolder.Events)
	st, err := duckdb.Open(path, duckdb.Options{ReadOnly: true})
	if !errors.Is(err, store.ErrSchema) {
		return st, err
	}
	// Of an older version: it comes forward with a copy. The file that is there
	// is the case's own.
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return openOwn(draft, o)
}
