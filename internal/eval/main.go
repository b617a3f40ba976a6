// Command eval measures Midwatch on simulated tenants and writes
// docs/EVALUATION.md. `make eval` runs it.
//
// A run is: simulate, investigate with the program that users have, score, and
// ask the rules that the field has published about the same events. Every run
// with an actor is compared with the quiet run of the same organization, so
// that beside each rate of detection stands the probability of an alarm in the
// same time without anybody there.
//
// Seeds below 1000 are for development: the small grid uses them, and its page
// is not the published one. The large grid uses seeds from 1000 on, and nobody
// may look at single runs of them while changing a detector.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"midwatch/simulate"
)

func main() {
	var o options
	flag.StringVar(&o.grid, "grid", "large", "small (development seeds, minutes) or large (reported seeds)")
	flag.IntVar(&o.seeds, "seeds", 0, "seeds of each cell (0: 1 in the small grid, 5 in the large one)")
	flag.IntVar(&o.users, "users", 0, "only this size (0: all of the grid's)")
	flag.StringVar(&o.binary, "midwatch", "bin/midwatch", "the program")
	flag.StringVar(&o.revision, "revision", "", "of the program, for the page; results of another one are not taken up again")
	flag.StringVar(&o.dir, "dir", "eval.out", "folder for results; an interrupted evaluation goes on there")
	flag.StringVar(&o.page, "page", "", "page to write (default: docs/EVALUATION.md, for the small grid one in -dir)")
	flag.BoolVar(&o.only, "page-only", false, "run nothing, write the page of the results in -dir")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(1)
	}
}

type options struct {
	grid, binary, dir, page, revision string
	seeds, users                      int
	only                              bool
}

// grid lists the cells and the seeds. Benign volume that carries no signal is
// scaled down, so that more tenants can be run: failures are not.
func (o options) cells() (cells []cell, seeds []uint64, err error) {
	type size struct{ users, days int }
	var sizes []size
	n, first := o.seeds, uint64(simulate.FirstReportedSeed)
	volume := 0.2
	switch o.grid {
	case "small":
		sizes, first = []size{{150, 21}}, 1
		n = max(n, 1)
	case "large":
		sizes = []size{{300, 40}, {1000, 40}}
		if n == 0 {
			n = 5
		}
	default:
		return nil, nil, fmt.Errorf("grid %q; it is small or large", o.grid)
	}
	for i := range n {
		seeds = append(seeds, first+uint64(i))
	}
	variants := []struct {
		name string
		opts simulate.Options
	}{{"quiet", simulate.Options{Scenario: "quiet"}}}
	for _, name := range simulate.ScenarioNames() {
		if name != "quiet" {
			variants = append(variants, struct {
				name string
				opts simulate.Options
			}{name, simulate.Options{Scenario: name}})
		}
	}
	if o.grid == "large" {
		more := func(name string, opts simulate.Options) {
			variants = append(variants, struct {
				name string
				opts simulate.Options
			}{name, opts})
		}
		more("midnight, hidden", simulate.Options{Scenario: "midnight", GeoMatch: true, OfficeHours: true, RotateUA: true})
		more("midnight, without the test tenant", simulate.Options{Scenario: "midnight", NoTest: true})
		more("midnight, under way", simulate.Options{Scenario: "midnight", UnderWay: true})
		more("midnight, 5 % lost", simulate.Options{Scenario: "midnight", Loss: 0.05})
		more("bec, 5 % lost", simulate.Options{Scenario: "bec", Loss: 0.05})
		more("tokentheft, 5 % lost", simulate.Options{Scenario: "tokentheft", Loss: 0.05})
		more("midnight, 10 % lost", simulate.Options{Scenario: "midnight", Loss: 0.1})
		more("narrow, 20 accounts, geo-matched", simulate.Options{Scenario: "narrow", Accounts: 20, GeoMatch: true})
	}
	for _, z := range sizes {
		if o.users > 0 && z.users != o.users {
			continue
		}
		for _, v := range variants {
			v.opts.Volume = volume
			cells = append(cells, cell{Name: v.name, Users: z.users, Days: z.days, opts: v.opts})
		}
	}
	if o.grid == "large" {
		cells = append(cells, o.guessing()...)
	}
	if len(cells) == 0 {
		return nil, nil, fmt.Errorf("the %s grid has no size of %d users", o.grid, o.users)
	}
	return cells, seeds, nil
}

// guessing lists the cells that say how guessing is found in organizations of
// three sizes. The largest hands over its interactive sign-ins and the audit
// log of Entra only, with what is ordinary at a fiftieth: each run is still two
// million records.
func (o options) guessing() (cells []cell) {
	add := func(users int, name string, opts simulate.Options) {
		if o.users > 0 && users != o.users {
			return
		}
		c := cell{Name: name, Users: users, Days: 40, opts: opts}
		if c.opts.Volume = 0.2; users > 1000 {
			c.opts.Volume, c.alone = 0.05, true
		}
		if users > 10000 {
			c.opts.Volume, c.opts.Logs = 0.02, []string{simulate.LogInteractive, simulate.LogDirectory}
		}
		cells = append(cells, c)
	}
	narrow := func(accounts int, attempts float64, blend bool) simulate.Options {
		return simulate.Options{Scenario: "narrow", Accounts: accounts, Attempts: attempts, Blend: blend}
	}
	add(1000, "spray, 10 a day", narrow(10, 1, false))
	add(1000, "spray, 10 a day, blending in", narrow(10, 1, true))
	add(10000, "quiet", simulate.Options{Scenario: "quiet"})
	add(10000, "midnight", simulate.Options{Scenario: "midnight"})
	add(100000, "quiet", simulate.Options{Scenario: "quiet"})
	add(100000, "midnight", simulate.Options{Scenario: "midnight"})
	add(100000, "spray, 2,000 a day", narrow(1000, 2, false))
	add(100000, "spray, 2,000 a day, blending in", narrow(1000, 2, true))
	add(100000, "narrow, 20 accounts", narrow(20, 1, false))
	add(100000, "narrow, 20 accounts, blending in", narrow(20, 1, true))
	return cells
}

func run(ctx context.Context, o options) error {
	cells, seeds, err := o.cells()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(o.dir, o.grid+".jsonl")
	if o.grid == "small" && !o.only { // quick, and of today's detectors
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	done, err := load(file)
	if err != nil {
		return err
	}
	if !o.only {
		done = slices.DeleteFunc(done, func(r *result) bool { return r.Program != o.revision })
	}
	have := map[string]bool{}
	for _, r := range done {
		have[r.key()] = true
	}
	r := &runner{binary: o.binary, dir: o.dir, now: time.Now}
	began := time.Now()
	// Seed by seed, so that a grid that is interrupted has whole rounds.
	for _, seed := range seeds {
		for _, c := range cells {
			if o.only || have[(&result{Cell: c.Name, Users: c.Users, Days: c.Days, Seed: seed}).key()] {
				continue
			}
			res, err := r.run(ctx, c, seed)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s, %d users, seed %d: %w", c.Name, c.Users, seed, err)
			}
			res.Program = o.revision
			if err := keep(file, res); err != nil {
				return err
			}
			done = append(done, res)
			fmt.Printf("%-36s %5d users  seed %d  %8d records  %5.1f s  %s\n", c.Name, c.Users, seed, res.Records, res.Seconds, brief(res))
		}
	}
	page := o.page
	if page == "" {
		page = filepath.Join(o.dir, "EVALUATION-small.md")
		if o.grid == "large" {
			page = "docs/EVALUATION.md"
		}
	}
	if err := os.WriteFile(page, []byte(write(done, o.grid)), 0o644); err != nil {
		return err
	}
	if o.grid == "small" {
		if err := floor(done); err != nil {
			return err
		}
	}
	fmt.Printf("%d runs, %.0f s on %d processors; %s\n", len(done), time.Since(began).Seconds(), runtime.NumCPU(), page)
	return nil
}

// floor is what the small grid insists on, so that a change that loses the
// incident itself does not pass unseen. It is no measure of quality: all else is
// in the page.
func floor(done []*result) error {
	for _, r := range done {
		if r.Cell == "midnight" && (r.Score.Actors.Found == 0 || r.Score.Mailboxes.FalselyCleared > 0) {
			return fmt.Errorf("midnight, seed %d: %s; `midwatch simulate --scenario midnight --users %d --days %d --seed %d --volume 0.2` makes the tenant", r.Seed, brief(r), r.Users, r.Days, r.Seed)
		}
	}
	return nil
}

// brief is a run in a few words.
func brief(r *result) string {
	s := r.Score
	if s.Actors.Truth == 0 {
		return fmt.Sprintf("false: %d findings, %d slight, %d established, %d suspected campaigns", s.Findings.False, s.Findings.FalseMinor, s.Findings.FalseEstablished, s.Findings.FalseSuspected)
	}
	return fmt.Sprintf("%d of %d actors, %d mailboxes falsely cleared, %d for nothing; %d false findings", s.Actors.Found, s.Actors.Truth, s.Mailboxes.FalselyCleared, s.Mailboxes.OverListed, s.Findings.False)
}
