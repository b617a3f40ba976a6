// Command bench measures what Midwatch does against what engines do with the
// same bytes by themselves, on both of its stores and as they grow. Only ratios
// within one run hold on a shared machine. `make bench` runs it;
// docs/PERFORMANCE.md keeps the tables.
//
// Each measurement is a process of its own, so that its peak memory and its
// processor time are its own; the measurements take turns. A ClickHouse server
// is started for the measurement that needs one, and only for it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	size, corpora, only, in, profile string
	runs, users, days, records       int
	times                            int
	events, messages                 int64
	clients                          int
	during, pause                    time.Duration
	kase, keep, bin                  string
	dir                              string // for everything that is written; removed at the end
}

// A part is a table of docs/PERFORMANCE.md.
type part struct {
	name, doc string
	run       func(context.Context, options) error
}

func parts() []part {
	return []part{
		{"ingest", "the rate of ingest into each store, against what DuckDB and a bare scan do with the same bytes", ingestPart},
		{"disk", "what a record takes on disk", diskPart},
		{"shards", "what the questions read on two shards", shardsPart},
		{"growth", "ten times the records", growthPart},
		{"web", "pages of a large case in a browser, and many clients at once", webPart},
	}
}

func main() {
	var o options
	flag.StringVar(&o.size, "size", "1GB", "ingest, disk: size of the input")
	flag.IntVar(&o.runs, "runs", 5, "ingest, growth, web: runs of each measurement")
	flag.StringVar(&o.corpora, "corpora", "../shared/corpora", "folder of the corpora")
	flag.StringVar(&o.only, "only", "", "ingest: these measurements only; growth: these engines only (comma separated)")
	flag.StringVar(&o.in, "in", "", "ingest, disk: input file (default: made in a temporary folder)")
	flag.IntVar(&o.users, "users", 1000, "disk, shards: people of the simulated organization")
	flag.IntVar(&o.days, "days", 60, "disk, shards, growth, web: days of the simulated organization")
	flag.IntVar(&o.records, "records", 1_000_000, "growth: records at first, about")
	flag.IntVar(&o.times, "times", 10, "growth: so many times as many then")
	flag.Int64Var(&o.events, "events", 10_000_000, "web: records of the case, about")
	flag.Int64Var(&o.messages, "messages", 1_000_000, "web: messages of the case")
	flag.IntVar(&o.clients, "clients", 100, "web: clients at once; 0 leaves that out")
	flag.DurationVar(&o.during, "during", time.Minute, "web: how long they ask")
	flag.DurationVar(&o.pause, "pause", 0, "web: mean pause of a client between two pages")
	flag.StringVar(&o.kase, "case", "", "web: case folder to serve (default: made in a temporary folder)")
	flag.StringVar(&o.bin, "bin", "", "web: midwatch to serve with (default: built from here)")
	flag.StringVar(&o.keep, "keep", "", "web: new folder to keep the case in that was made")
	flag.StringVar(&o.profile, "profile", "", "folder for a processor profile of each measurement")
	child := flag.String("child", "", "do this job in this process")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bench [flags] [part…]; without a part: ingest")
		for _, p := range parts() {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-8s %s\n", p.name, p.doc)
		}
		flag.PrintDefaults()
	}
	flag.Parse()
	if *child != "" {
		if err := runChild(*child); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, names []string) error {
	if len(names) == 0 {
		names = []string{"ingest"}
	}
	var todo []part
	for _, name := range names {
		i := slices.IndexFunc(parts(), func(p part) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("no part %q; there are ingest, disk, shards, growth and web", name)
		}
		todo = append(todo, parts()[i])
	}
	var err error
	if o.dir, err = os.MkdirTemp("", "midwatch-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	for i, p := range todo {
		if i > 0 {
			fmt.Println()
		}
		fmt.Fprintf(os.Stderr, "%s, %d processors, load %s\n", p.name, runtime.GOMAXPROCS(0), load())
		if err := p.run(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// load is how busy the machine is: what is measured beside other work says little.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}
