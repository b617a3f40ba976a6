package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"midwatch/internal/progress"
)

// ingestOptions are the flags of the verb.
type ingestOptions struct {
	readOptions
	storeFlags
	kafka kafkaFlags
	json  bool
}

func newIngest(std stdio) *cobra.Command {
	var o ingestOptions
	c := &cobra.Command{
		Use:   "ingest PATH... | --kafka BROKERS --topic T... --group G   --store STORE",
		Short: "Read exported logs, or topics, into an event store, without investigating",
		Long: `Read exported logs into an event store that stays, without investigating. PATH
is as for midwatch investigate, and midwatch investigate --store asks the store.

A run is one load: all of it is in the store or nothing. It may be repeated:
files that the store holds whole are left out, records that it has are counted
as duplicates, so that after a crash the same command again is all it takes. A
DuckDB file takes one writer at a time, and others wait for it; any number may
write to a server.

It exits with 3 when something could not be read, and else with 0.
` + kafkaHelp + storeHelp + `
The environment variable ` + envStore + ` may name the store.
`,
		Example: `  midwatch ingest ./logs --store audit.duckdb
  midwatch ingest yesterday.zip --store audit.duckdb --asn GeoLite2-ASN.mmdb
  midwatch ingest --kafka contoso.servicebus.windows.net --topic insights-logs-signinlogs --group midwatch --store audit.duckdb
  midwatch ingest --kafka localhost:9092 --topic audit --group midwatch --once --store audit.duckdb
  midwatch investigate --store audit.duckdb --out today.case`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(o.kafka.brokers) > 0 {
				if len(args) > 0 {
					return errors.New("--kafka reads topics, and files are named too; read them in two runs")
				}
				return runKafka(c.Context(), std, o)
			}
			if len(args) == 0 {
				return errors.New("nothing to read; name files, folders, archives, - for standard input, or brokers with --kafka")
			}
			return runIngest(c.Context(), std, args, o)
		},
	}
	o.readOptions.add(c)
	o.storeFlags.add(c)
	o.kafka.add(c)
	c.Flags().BoolVar(&o.json, "json", false, "print the counts as JSON")
	return c
}

// added is what --json prints.
type added struct {
	Store      string   `json:"store"`
	Files      int      `json:"files"`
	Skipped    int      `json:"skipped"` // files that the store held already
	Records    int64    `json:"records"`
	Added      int64    `json:"added"`
	Duplicates int64    `json:"duplicates"`
	Rejected   int64    `json:"rejected"`
	Incomplete []string `json:"incomplete"`
}

func runIngest(ctx context.Context, std stdio, paths []string, o ingestOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	l, err := o.location(nil)
	if err != nil {
		return err
	}
	if l.folder != "" {
		return partOfCase(l)
	}
	en, err := o.enricher()
	if err != nil {
		return err
	}
	const undone = "nothing was added to the store"
	st, err := openStore(ctx, std, l, toAdd, o.raw == "none", o.wait)
	if err != nil {
		return explain(err, undone)
	}
	res, err := read(ctx, std, st, paths, en, o.quiet)
	if err != nil {
		_ = st.Close() // what went wrong before says more
		return explain(err, undone)
	}
	if err := st.Close(); err != nil {
		return fmt.Errorf("close event store: %w", err)
	}
	gaps := append(append([]string{}, res.Incomplete...), rejected(res.Sources)...)
	if o.json {
		err = printJSON(std, added{l.String(), len(res.Sources), len(res.Skipped), res.Records, res.Accepted, res.Duplicates, res.Rejected, gaps})
	} else {
		fmt.Fprintf(std.out, "Added:   %s records of %d files; %s duplicates, %s rejected; %d files were in the store already\n",
			progress.Count(res.Accepted), len(res.Sources), progress.Count(res.Duplicates), progress.Count(res.Rejected), len(res.Skipped))
		fmt.Fprintf(std.out, "Store:   %s\n", l)
		printGaps(std, gaps, "table files of the store")
	}
	if err == nil && len(gaps) > 0 {
		return status(exitIncomplete)
	}
	return err
}
