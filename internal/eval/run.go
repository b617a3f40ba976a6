package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/simulate"
	"midwatch/simulate/score"
	"midwatch/store"
	"midwatch/store/duckdb"
)

// cell is a place in the grid: one scenario in one size. Runs of a cell differ
// by seed alone.
type cell struct {
	Name  string // of the variant
	Users int
	Days  int
	opts  simulate.Options // scenario and knobs
	// alone leaves out the field's rules: their tables are of the smaller sizes,
	// where all of the logs are.
	alone bool
}

// result is what is kept of a run.
type result struct {
	Cell     string             `json:"cell"`
	Users    int                `json:"users"`
	Days     int                `json:"days"`
	Seed     uint64             `json:"seed"`
	Version  string             `json:"generator"`
	Program  string             `json:"program"` // revision of midwatch
	Records  int64              `json:"records"`
	Seconds  float64            `json:"seconds"` // of the investigation
	Score    *score.Score       `json:"score"`
	Goals    goals              `json:"goals"`
	Answer   answerGoal         `json:"answer"`
	Spans    []spanOf           `json:"spans"`
	Alerts   map[string][]alert `json:"alerts"` // by baseline
	Oracle   int                `json:"oracle"` // limit that the oracle chose
	Problems []string           `json:"problems,omitempty"`
}

// spanOf is the time in which a campaign's records are in the logs.
type spanOf struct {
	Campaign string    `json:"campaign"`
	Kind     string    `json:"kind"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Success  time.Time `json:"success"` // first record inside; zero: none
}

// runner makes, investigates and scores tenants, one after the other.
type runner struct {
	binary string // midwatch
	dir    string // scratch, emptied after each run
	now    func() time.Time
}

// run does one run. The investigation is the released program's, so that what
// is measured is what is used.
func (r *runner) run(ctx context.Context, c cell, seed uint64) (*result, error) {
	dir, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	o := c.opts
	o.Users, o.Days, o.Seed = c.Users, c.Days, seed
	tenant, out := filepath.Join(dir, "tenant"), filepath.Join(dir, "tenant.case")
	sim, err := simulate.Run(ctx, tenant, o, nil)
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	began := r.now()
	logs, more := filepath.Join(tenant, simulate.LogsDir), filepath.Join(tenant, simulate.ContextDir)
	if err := r.investigate(ctx, logs, "--asn", filepath.Join(more, "asn.csv"), "--directory", filepath.Join(more, "directory.csv"), "--out", out); err != nil {
		return nil, err
	}
	res := &result{Cell: c.Name, Users: c.Users, Days: c.Days, Seed: seed, Version: simulate.Version, Records: sim.Records, Seconds: r.now().Sub(began).Seconds(), Spans: []spanOf{}, Alerts: map[string][]alert{}}
	kase, err := readCase(filepath.Join(out, "case.json"))
	if err != nil {
		return nil, err
	}
	res.Score = score.Compare(sim.Truth, kase)
	res.Goals = measure(sim.Truth, kase, res.Score)
	res.Answer = answers(sim.Truth, kase, res.Score)
	for _, p := range sim.Truth.Campaigns {
		if !p.FirstRecord.IsZero() {
			res.Spans = append(res.Spans, spanOf{p.ID, p.Kind, p.FirstRecord, p.End, p.FirstSuccessRecord})
		}
	}
	if c.alone {
		return res, nil
	}
	return res, r.compare(ctx, filepath.Join(out, "events.duckdb"), sim.Truth, res)
}

func (r *runner) investigate(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, r.binary, append([]string{"investigate", "--quiet"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	// 1 is findings, 3 an input that could not be read completely: with --loss
	// there are such.
	if errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 3) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("investigate: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func readCase(path string) (*casefile.Case, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return casefile.Read(f)
}

// compare asks the field's rules about the same events.
func (r *runner) compare(ctx context.Context, db string, t *simulate.Truth, res *result) error {
	st, err := duckdb.Open(db, duckdb.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	actor := actorRecords(t)
	noise, err := noiseAddresses(ctx, st, t)
	if err != nil {
		return err
	}
	for _, b := range baselines() {
		as, err := ask(ctx, st, &b, actor, noise)
		if err != nil {
			return err
		}
		if b.oracle {
			// All address-days are kept: a quiet run is told the limit of the
			// run that it is compared with.
			_, res.Oracle = tune(as, 0)
		}
		res.Alerts[b.ID] = as
	}
	return nil
}

// actorRecords are the event ids of the actors' sign-ins: an id is made of
// tenant, log and the record's own id.
func actorRecords(t *simulate.Truth) map[string]bool {
	out := map[string]bool{}
	var scratch []byte
	for _, p := range t.Campaigns {
		for _, log := range []string{simulate.LogInteractive, simulate.LogNonInteractive} {
			for _, id := range p.Records[log] {
				for _, x := range t.Tenants {
					var e event.ID
					e, scratch = event.MakeID(scratch, x.ID, event.SignIn, id)
					out[e.String()] = true
				}
			}
		}
	}
	return out
}

// noiseAddresses are those of other people's attacks: the one that the key
// names, and those which in its minutes failed against three accounts or more
// and never signed anybody in.
func noiseAddresses(ctx context.Context, q store.Querier, t *simulate.Truth) (map[string]bool, error) {
	out := map[string]bool{}
	for _, l := range t.Noise {
		if l.IP == "" {
			continue
		}
		out[l.IP] = true
		if l.From.IsZero() {
			continue
		}
		rows, err := q.Query(ctx, failures+` SELECT ip FROM failures WHERE time BETWEEN ? AND ? AND ip NOT IN (SELECT ip FROM successes)
			GROUP BY ip HAVING count(DISTINCT actor) >= 3`, l.From.Add(-time.Second), l.To.Add(time.Second))
		if err != nil {
			return nil, fmt.Errorf("addresses of noise: %w", err)
		}
		for rows.Next() {
			var ip string
			if err := rows.Scan(&ip); err != nil {
				_ = rows.Close()
				return nil, err
			}
			out[ip] = true
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	for _, p := range t.Campaigns {
		for _, x := range p.IPs {
			delete(out, x.IP)
		}
	}
	return out, nil
}

// key names a run.
func (r *result) key() string { return fmt.Sprintf("%s/%d/%d/%d", r.Cell, r.Users, r.Days, r.Seed) }

// quietKey names the quiet run that a run is compared with: the same
// organization, of the same seed, without an actor.
func (r *result) quietKey() string {
	return fmt.Sprintf("quiet/%d/%d/%d", r.Users, r.Days, r.Seed)
}

// load reads results that an earlier, interrupted evaluation has written.
// Those of another generator are not of this one.
func load(path string) ([]*result, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*result
	for line := range bytes.Lines(b) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			continue // the line at which it was interrupted
		}
		if r.Version == simulate.Version && r.Score != nil {
			out = append(out, &r)
		}
	}
	return out, nil
}

func keep(path string, r *result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func userSizes(rs []*result) []int {
	m := map[int]bool{}
	for _, r := range rs {
		m[r.Users] = true
	}
	return sorted(m)
}

func groupSizes(gs []*group) []int {
	m := map[int]bool{}
	for _, g := range gs {
		m[g.users] = true
	}
	return sorted(m)
}
