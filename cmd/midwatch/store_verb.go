package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"midwatch/internal/progress"
	"midwatch/store"
)

func newStore(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Check, measure, prune, migrate or back up an event store",
		Long: `Look after an event store: check it, measure it, remove what is old, bring it
to the schema of this version.
` + storeHelp + `
The environment variable ` + envStore + ` may name the store.
`,
		Example: `  midwatch store check audit.duckdb
  midwatch store stats audit.duckdb --json
  midwatch store prune audit.duckdb --keep 400d
  midwatch store migrate incident.case`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newStoreCheck(std), newStoreStats(std), newStorePrune(std), newStoreMigrate(std), newStoreBackup(std))
	return c
}

func newStoreCheck(std stdio) *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "check [STORE]",
		Short: "Compare what is in a store with what its loads say they wrote",
		Long: `Compare what is in a store with what its loads say they wrote: events, items and
rejected records of each file, ids that occur twice, rows that belong to nothing.
It changes nothing.

It exits with 0 when the store is well, and with 3 when there are problems; each
is listed with what to do about it.
` + storeHelp,
		Example: `  midwatch store check audit.duckdb`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withStore(c.Context(), std, &f, args, toAsIs, func(st store.Keeper, l *location) error {
				problems, err := st.Check(c.Context())
				if err != nil {
					return err
				}
				for i, p := range problems {
					fmt.Fprintf(std.out, "%d. %s\n   do: %s\n", i+1, p.What, p.Do)
				}
				if len(problems) > 0 {
					return status(exitIncomplete)
				}
				fmt.Fprintf(std.out, "%s is well\n", l)
				return nil
			})
		},
	}
	f.add(c)
	return c
}

func newStoreStats(std stdio) *cobra.Command {
	var f storeFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "stats [STORE]",
		Short: "Measure the tables and columns of a store",
		Long: `Measure the tables and columns of a store, the largest first. Of a table's
columns those are listed that take at least 1 % of it; --json has them all.
` + storeHelp,
		Example: `  midwatch store stats audit.duckdb
  midwatch store stats audit.duckdb --json | jq '.[] | select(.column == "raw")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withStore(c.Context(), std, &f, args, toAsIs, func(st store.Keeper, _ *location) error {
				sizes, err := st.Stats(c.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printSizesJSON(std, sizes)
				}
				return printSizes(std, sizes)
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printSizesJSON(std stdio, sizes []store.Size) error {
	type row struct {
		Table  string `json:"table"`
		Column string `json:"column,omitempty"`
		Rows   int64  `json:"rows"`
		Disk   int64  `json:"disk"`            // bytes on disk
		Plain  int64  `json:"plain,omitempty"` // bytes before compression, where the engine knows
	}
	rows := []row{}
	for _, s := range sizes {
		rows = append(rows, row{s.Table, s.Column, s.Rows, s.Disk, s.Plain})
	}
	return printJSON(std, rows)
}

func printSizes(std stdio, sizes []store.Size) error {
	tw := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "table\trows\ton disk\tbytes a row\tcompressed to\t")
	var total, table int64
	for _, s := range sizes {
		name := s.Table
		switch {
		case s.Column == "":
			table = s.Disk
			total += s.Disk
		case s.Disk*100 < table:
			continue
		default:
			name = "." + s.Column
		}
		rows, each, ratio := "", "", ""
		if s.Rows > 0 {
			rows, each = progress.Count(s.Rows), fmt.Sprintf("%.1f", float64(s.Disk)/float64(s.Rows))
		}
		if s.Column != "" {
			rows = ""
		}
		if s.Plain > 0 {
			ratio = fmt.Sprintf("%.1f %%", 100*float64(s.Disk)/float64(s.Plain))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t\n", name, rows, progress.Size(s.Disk), each, ratio)
	}
	fmt.Fprintf(tw, "all\t\t%s\t\t\t\n", progress.Size(total))
	return tw.Flush()
}

func newStorePrune(std stdio) *cobra.Command {
	var f storeFlags
	var before, keep string
	var yes bool
	c := &cobra.Command{
		Use:   "prune [STORE] --before DATE | --keep DAYS",
		Short: "Remove old events from a store",
		Long: `Remove the events before a moment from a store, with the messages and folders
they name, and what loads left that were never finished. Without --yes it only
says how much that is.

Events without a time stay. The accounts of the files stay too, so that a file
whose events were removed is not read again. Cases that were made over the store
keep what they say, but not the records behind it: midwatch evidence will not
find these any more.
` + storeHelp,
		Example: `  midwatch store prune audit.duckdb --keep 400d
  midwatch store prune audit.duckdb --before 2024-01-01 --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			moment, err := pruneBefore(before, keep, now())
			if err != nil {
				return err
			}
			mode := toAsk
			if yes {
				mode = toKeep
			}
			return withStore(c.Context(), std, &f, args, mode, func(st store.Keeper, l *location) error {
				if l.folder != "" {
					return partOfCase(l)
				}
				return runPrune(c.Context(), std, st, l, moment, yes)
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&before, "before", "", "remove what is before this day (2024-01-31) or moment (2024-01-31T12:00:00Z), UTC")
	c.Flags().StringVar(&keep, "keep", "", "remove what is older than so many days (400d)")
	c.Flags().BoolVar(&yes, "yes", false, "remove it, and not only say what would be removed")
	return c
}

// pruneBefore is the moment before which events are removed.
func pruneBefore(before, keep string, now time.Time) (time.Time, error) {
	switch {
	case before != "" && keep != "":
		return time.Time{}, errors.New("--before and --keep both say how much to remove; give one")
	case before != "":
		for _, form := range []string{time.DateOnly, time.RFC3339} {
			if t, err := time.Parse(form, before); err == nil {
				return t.UTC(), nil
			}
		}
		return time.Time{}, fmt.Errorf("--before %q; it is a day like 2024-01-31 or a moment like 2024-01-31T12:00:00Z", before)
	case keep != "":
		days, err := strconv.Atoi(strings.TrimSuffix(keep, "d"))
		if err != nil || days <= 0 || !strings.HasSuffix(keep, "d") {
			return time.Time{}, fmt.Errorf("--keep %q; it is a number of days like 400d", keep)
		}
		return now.UTC().AddDate(0, 0, -days), nil
	}
	return time.Time{}, errors.New("how much to remove is not said; give --before DATE or --keep DAYS")
}

func runPrune(ctx context.Context, std stdio, st store.Keeper, l *location, moment time.Time, yes bool) error {
	at := moment.Format("2006-01-02 15:04:05") // as SQL has it, and people too
	if !yes {
		var old, all int64
		err := store.Each(ctx, st, "SELECT coalesce(sum(CASE WHEN time < TIMESTAMP '"+at+"' THEN 1 ELSE 0 END), 0), count(*) FROM events", nil,
			func(scan func(...any) error) error { return scan(&old, &all) })
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s of %s events in %s are before %s UTC and would be removed; --yes removes them\n", progress.Count(old), progress.Count(all), l, at)
		return nil
	}
	p, err := st.Prune(ctx, moment)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "removed %s events before %s UTC and %s items of theirs from %s\n", progress.Count(p.Events), at, progress.Count(p.Items), l)
	if p.Loads > 0 {
		fmt.Fprintf(std.out, "removed what %d unfinished loads left\n", p.Loads)
	}
	return nil
}

func newStoreMigrate(std stdio) *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "migrate [STORE]",
		Short: "Bring a store to the schema of this version",
		Long: `Bring a store that an older midwatch made to the schema of this version. Where
the engine has transactions it is one: a migration that dies leaves the store as
it was. There is no way back; keep a copy if an older midwatch is to read it.
` + storeHelp,
		Example: `  midwatch store migrate audit.duckdb
  midwatch store migrate incident.case`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := f.location(args)
			if err != nil {
				return err
			}
			from, to, err := migrateStore(c.Context(), std, l, f.wait)
			switch {
			case err != nil:
				return explain(err, "the store is as it was")
			case from == to:
				fmt.Fprintf(std.out, "%s has schema version %s, which is this version's; nothing to do\n", l, to)
			default:
				fmt.Fprintf(std.out, "%s: schema version %s, was %s\n", l, to, from)
			}
			return nil
		},
	}
	f.add(c)
	return c
}

// withStore opens the store that is meant, for as long as fn takes.
func withStore(ctx context.Context, std stdio, f *storeFlags, args []string, mode access, fn func(store.Keeper, *location) error) error {
	l, err := f.location(args)
	if err != nil {
		return err
	}
	st, err := openStore(ctx, std, l, mode, false, f.wait)
	if err != nil {
		return explain(err, "nothing was changed")
	}
	if err := fn(st, l); err != nil {
		var s status
		if closeErr := st.Close(); errors.As(err, &s) && closeErr != nil {
			return closeErr
		}
		return explain(err, "the store is whole")
	}
	return st.Close()
}
