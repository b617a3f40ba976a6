package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"midwatch/simulate"
)

// perPerson is how many records the simulator makes for a person and a day.
const perPerson = 12.3

// grown is what one store took at one size.
type grown struct {
	ingest, ask, late taken
}

// growthPart loads an organization, and one so many times as large, into new
// stores, asks everything of each, and adds the smaller one's size again to the
// large store: the following weeks.
func growthPart(ctx context.Context, o options) error {
	engines := []string{"duckdb", "clickhouse"}
	if !engineThere() {
		engines = engines[:1]
	}
	if o.only != "" {
		engines = slices.DeleteFunc(engines, func(e string) bool { return !slices.Contains(strings.Split(o.only, ","), e) })
	}
	users := max(simulate.MinUsers, int(float64(o.records)/perPerson/float64(o.days)))
	small, err := simulated(ctx, o, "small", users, simulate.Options{})
	if err != nil {
		return err
	}
	large, err := simulated(ctx, o, "large", users*o.times, simulate.Options{})
	if err != nil {
		return err
	}
	later, err := simulated(ctx, o, "later", users, simulate.Options{Seed: 8, Start: simulate.DefaultStart().Add(time.Duration(o.days) * 24 * time.Hour)})
	if err != nil {
		return err
	}
	all := map[string][2][]grown{}
	for i := range o.runs {
		for size, in := range []input{small, large} {
			for _, e := range engines {
				var more *input
				if size == 1 {
					more = &later
				}
				g, err := grow(ctx, o, e, in, more)
				if err != nil {
					return fmt.Errorf("%s: %w", e, err)
				}
				fmt.Fprintf(os.Stderr, "run %d %-10s %9d records: ingest %6.2f s, questions %6.2f s, load %s\n", i+1, e, g.ingest.Records, g.ingest.Seconds, g.ask.Seconds, load())
				x := all[e]
				x[size] = append(x[size], g)
				all[e] = x
			}
		}
	}
	printGrowth(o, engines, all)
	return nil
}

// grow fills a store that is new and asks everything.
func grow(ctx context.Context, o options, engine string, in input, more *input) (g grown, err error) {
	j := job{Do: "ingest", In: in.path, ASN: in.asn, Store: filepath.Join(o.dir, "growth.duckdb")}
	take := func(j job) (t taken, err error) {
		t.result, err = spawn(ctx, o, j)
		return t, err
	}
	if engine == "clickhouse" {
		var s *servers
		if s, err = launch(ctx, o, 1); err != nil {
			return g, err
		}
		defer func() { err = errors.Join(err, s.end()) }()
		j.Store = s.url()
		take = func(j job) (taken, error) { return s.take(ctx, o, j) }
	} else {
		defer os.Remove(j.Store)
	}
	if g.ingest, err = take(j); err != nil {
		return g, err
	}
	if g.ask, err = take(job{Do: "ask", Store: j.Store}); err != nil || more == nil {
		return g, err
	}
	j.In, j.ASN = more.path, more.asn
	g.late, err = take(j)
	return g, err
}

func printGrowth(o options, engines []string, all map[string][2][]grown) {
	fmt.Printf("Median of %d; µs a record, of time and (processor time of client and server)\n\n", o.runs)
	fmt.Println("| store | records | ingest | all questions | peak memory of ingest | of questions |")
	fmt.Println("|---|---:|---:|---:|---:|---:|")
	type figure func(g grown) (taken, int64)
	ingest := func(g grown) (taken, int64) { return g.ingest, g.ingest.Records }
	ask := func(g grown) (taken, int64) { return g.ask, g.ingest.Records }
	late := func(g grown) (taken, int64) { return g.late, g.late.Records }
	each := func(gs []grown, f figure) float64 {
		return median(gs, func(g grown) float64 { t, n := f(g); return t.Seconds / float64(n) * 1e6 })
	}
	cell := func(gs []grown, f figure) string {
		cpu := median(gs, func(g grown) float64 { t, n := f(g); return (t.CPU + t.Server) / float64(n) * 1e6 })
		return fmt.Sprintf("%.2f (%.2f)", each(gs, f), cpu)
	}
	peak := func(gs []grown, f figure) string {
		var client, server int64
		for _, g := range gs {
			t, _ := f(g)
			client, server = max(client, t.RSS), max(server, t.ServerPeak)
		}
		if server == 0 {
			return fmt.Sprintf("%d MiB", client>>10)
		}
		return fmt.Sprintf("%d MiB, server %d MiB", client>>10, server>>10)
	}
	for _, e := range engines {
		for size := range 2 {
			gs := all[e][size]
			fmt.Printf("| %s | %d | %s | %s | %s | %s |\n", e, gs[0].ingest.Records, cell(gs, ingest), cell(gs, ask), peak(gs, ingest), peak(gs, ask))
		}
		gs := all[e][1]
		fmt.Printf("| %s, the following weeks on top | +%d | %s | | %s | |\n", e, gs[0].late.Records, cell(gs, late), peak(gs, late))
	}
	fmt.Println()
	for _, e := range engines {
		s, l := all[e][0], all[e][1]
		fmt.Printf("%s, %d times the records: time of ingest for a record ×%.2f (asked: 0.85 to 1.15), of the questions ×%.2f, of a load on top ×%.2f.\n",
			e, o.times, each(l, ingest)/each(s, ingest), each(l, ask)/each(s, ask), each(l, late)/each(s, ingest))
	}
}
