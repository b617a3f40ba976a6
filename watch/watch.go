// Package watch asks the detectors again and again, over a store to which
// records keep coming, and tells what they find.
//
// It is the same questions to the same store as in an investigation, not another
// engine: records arrive late, twice and out of order, and whatever the order,
// the last run over what is there says what there is. So nothing has to be kept
// between runs but which findings were told, and that is in the outbox on disk;
// a watch that was killed goes on by asking.
//
// Two things bound what a run costs. It looks at the newest part of the time, a
// [store.Window], as far back as the configuration says, and less far when a run
// would take longer than it may; then it says so, and every while a whole run
// follows. And a finding that grows is the same finding: it is told once.
//
// Each tenant of the organization, or customer of a service, is a [Tenant] with
// a store, feeds, an outbox and goroutines of its own: what floods one does not
// hold up another.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"midwatch/casefile"
	"midwatch/store"
	"midwatch/watch/alert"
)

// Feed brings records into the tenant's store. It returns with its context, or
// with an error when it cannot go on; transient troubles are its own.
type Feed interface {
	Name() string
	// Run calls added after each load that is in the store for good, with the
	// number of new events and the moment at which the first of them arrived.
	Run(ctx context.Context, added func(events int64, arrived time.Time)) error
}

// Detect asks the detectors and the rules.
type Detect func(ctx context.Context, q store.Querier) ([]casefile.Finding, error)

// Tenant is one organization that is watched.
type Tenant struct {
	Name   string
	Store  store.Store
	Feeds  []Feed
	Detect Detect
	Outbox *alert.Outbox
	Sinks  []alert.Sink

	// Least is the severity from which on findings are told.
	Least casefile.Severity
	// Lookback is how much of the time before the newest record a run looks at;
	// 0 means 60 days.
	Lookback time.Duration
	// Budget is how long a run may take before the next one looks less far back; 0
	// means 20 seconds.
	Budget time.Duration
	// Whole is how long after a run that could not look back far enough one that
	// does follows; 0 means an hour.
	Whole time.Duration
	// Settle is how long a run waits for more of what is coming; 0 means a second.
	Settle time.Duration
	// Quiet says that what is found in the first run is not told: it was there
	// before anybody watched.
	Quiet bool

	Log *slog.Logger
	Now func() time.Time
	// Meter gets the figures; it may be nil.
	Meter *Meter

	known    []*told
	arrivals arrivals
	window   atomic.Int64 // of the last run, seconds back; 0: all
	health   health
	retry    time.Duration // after a run that failed
}

// told is a finding that was told, or is known from before.
type told struct {
	id, detector, tenant string
	events               map[string]bool
	last                 casefile.Time
}

// Run watches until its context ends, or until nothing can be watched any more.
func (t *Tenant) Run(ctx context.Context) error {
	t.defaults()
	for _, a := range t.Outbox.Past() {
		t.remember(&a.Finding)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	fails := make(chan error, len(t.Feeds)+len(t.Sinks)+1)
	for _, f := range t.Feeds {
		wg.Go(func() {
			err := f.Run(ctx, func(events int64, at time.Time) {
				t.arrivals.add(at)
				t.Meter.added(t.Name, events)
			})
			if err != nil && ctx.Err() == nil {
				fails <- fmt.Errorf("feed %s: %w", f.Name(), err)
			}
		})
	}
	for _, s := range t.Sinks {
		wg.Go(func() {
			err := t.Outbox.Deliver(ctx, s, func(a *alert.Alert, err error) { t.Meter.sent(t.Name, s.Name(), err) })
			if err != nil {
				fails <- fmt.Errorf("alerts to %s: %w", s.Name(), err)
			}
		})
	}
	wg.Go(func() {
		if err := t.ask(ctx); err != nil {
			fails <- err
		}
	})
	var err error
	select {
	case <-ctx.Done():
	case err = <-fails:
		t.health.fail(err)
		stop()
	}
	wg.Wait()
	return err
}

func (t *Tenant) defaults() {
	if t.Lookback <= 0 {
		t.Lookback = 60 * 24 * time.Hour
	}
	if t.Budget <= 0 {
		t.Budget = 20 * time.Second
	}
	if t.Whole <= 0 {
		t.Whole = time.Hour
	}
	if t.Settle <= 0 {
		t.Settle = time.Second
	}
	if t.Least == "" {
		t.Least = casefile.Medium
	}
	if t.retry <= 0 {
		t.retry = 10 * time.Second
	}
	t.arrivals.init()
}

// fewest is the number of records that every run looks at.
const fewest = 50_000

// ask runs the detectors whenever something has changed.
func (t *Tenant) ask(ctx context.Context) error {
	first, cut := true, false
	most := int64(math.MaxInt64) // records that a run may look at
	var whole time.Time          // when a run is due that looks at all
	t.arrivals.add(t.Now())      // what is in the store at the beginning
	for {
		if t.arrivals.wait(ctx) != nil || sleep(ctx, t.Settle) != nil {
			return nil
		}
		batch := t.arrivals.take()
		limit := most
		if cut && !t.Now().Before(whole) {
			limit = math.MaxInt64
		}
		began := t.Now()
		r, err := t.run(ctx, limit)
		if ctx.Err() != nil {
			return nil
		}
		took := t.Now().Sub(began)
		if err != nil {
			// What was not asked is asked again: a disk that is full may have room.
			t.Log.Error("the detectors could not be asked; they are asked again", "tenant", t.Name, "error", err)
			t.Meter.failed(t.Name)
			t.health.fail(err)
			t.arrivals.back(batch)
			if sleep(ctx, t.retry) != nil {
				return nil
			}
			continue
		}
		if err := t.tell(r.findings, first && t.Quiet); err != nil {
			return err
		}
		first = false
		done := t.Now()
		for _, at := range batch {
			t.Meter.delay(t.Name, done.Sub(at))
		}
		t.health.ok(done)
		t.window.Store(int64(r.back / time.Second))
		t.Meter.ran(t.Name, took, r.back, r.rows)
		if r.all {
			whole = done.Add(t.Whole)
		}
		was := cut
		switch {
		case took > t.Budget:
			cut, most = true, max(int64(float64(r.rows)*float64(t.Budget)/float64(took)), fewest)
		case r.all:
			cut, most = false, math.MaxInt64
		default: // growing is slower than shrinking
			most = max(int64(float64(r.rows)*min(float64(t.Budget)/float64(max(took, time.Millisecond)), 1.5)), fewest)
		}
		switch {
		case cut && !was:
			t.Log.Warn("runs look less far back than asked, so that they keep up; baselines stand on less, and a whole run follows every while", "tenant", t.Name, "records", most, "asked", t.Lookback, "took", took.Round(time.Millisecond), "whole_run_every", t.Whole)
		case was && !cut:
			t.Log.Info("runs look as far back as asked again", "tenant", t.Name, "back", t.Lookback)
		}
	}
}

// result is what a run found, and in what.
type result struct {
	findings []casefile.Finding
	rows     int64
	back     time.Duration // how far it looked
	all      bool          // as far as asked
}

// run asks the detectors about the newest part of the time.
func (t *Tenant) run(ctx context.Context, most int64) (r result, err error) {
	var newest *time.Time
	// Records of the future, of clocks that are wrong, do not move the window.
	err = store.Each(ctx, t.Store, "SELECT max(time) FROM events WHERE time < ?", []any{t.Now().Add(24 * time.Hour).UTC()}, func(scan func(...any) error) error { return scan(&newest) })
	if err != nil || newest == nil {
		r.all = true
		return r, err
	}
	since := newest.Add(-t.Lookback)
	r.all = true
	if most < math.MaxInt64 {
		// Where so many records are, counted from the newest minute.
		sum := int64(0)
		stop := errors.New("enough")
		err := store.Each(ctx, t.Store, "SELECT date_trunc('minute', time) AS m, count(*) AS n FROM events WHERE time >= ? GROUP BY m ORDER BY m DESC", []any{since}, func(scan func(...any) error) error {
			var m time.Time
			var n int64
			if err := scan(&m, &n); err != nil {
				return err
			}
			if sum += n; sum >= most {
				since, r.all = m, false
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			return r, err
		}
	}
	r.back = newest.Sub(since)
	var q store.Querier = t.Store
	if ws, ok := t.Store.(store.Windower); ok {
		w, err := ws.Window(ctx, since)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		q = w
	}
	if err := store.Each(ctx, q, "SELECT count(*) FROM events", nil, func(scan func(...any) error) error { return scan(&r.rows) }); err != nil {
		return r, err
	}
	r.findings, err = t.Detect(ctx, q)
	return r, err
}

// tell puts what is new into the outbox.
func (t *Tenant) tell(fs []casefile.Finding, quiet bool) error {
	var as []*alert.Alert
	for i := range fs {
		f := &fs[i]
		if f.Severity.Rank() < t.Least.Rank() || t.knows(f) {
			continue
		}
		t.remember(f)
		if !quiet {
			as = append(as, &alert.Alert{ID: f.ID, Tenant: t.Name, Finding: *f})
		}
	}
	if err := t.Outbox.Add(as...); err != nil {
		return err
	}
	for _, a := range as {
		t.Log.Info("found", "tenant", t.Name, "alert", a.ID, "severity", a.Finding.Severity, "detector", a.Finding.Detector, "title", a.Finding.Title)
		t.Meter.found(t.Name, string(a.Finding.Severity))
	}
	return nil
}

// knows reports whether a finding is one that was told before and has grown, or
// lost some of its records with the window: of the same detector and tenant, and
// with a record in common.
func (t *Tenant) knows(f *casefile.Finding) bool {
	for _, k := range t.known {
		if k.id == f.ID {
			return true
		}
		if k.detector != f.Detector || k.tenant != f.Tenant {
			continue
		}
		if slices.ContainsFunc(f.Events, func(id string) bool { return k.events[id] }) {
			for _, id := range f.Events { // so that what moves on is known by what it has now
				k.events[id] = true
			}
			return true
		}
	}
	return false
}

// mostKnown bounds what is remembered. The oldest is forgotten, and may be told
// again if a whole run finds it.
const mostKnown = 50_000

func (t *Tenant) remember(f *casefile.Finding) {
	k := &told{id: f.ID, detector: f.Detector, tenant: f.Tenant, events: make(map[string]bool, len(f.Events)), last: f.Last}
	for _, id := range f.Events {
		k.events[id] = true
	}
	if t.known = append(t.known, k); len(t.known) > mostKnown {
		t.known = slices.Delete(t.known, 0, len(t.known)-mostKnown)
	}
}

// Window is how far back the last run looked.
func (t *Tenant) Window() time.Duration { return time.Duration(t.window.Load()) * time.Second }

// arrivals are the moments at which loads came that no run has seen yet.
type arrivals struct {
	mu   sync.Mutex
	at   []time.Time
	some chan struct{}
}

func (a *arrivals) init() { a.some = make(chan struct{}, 1) }

func (a *arrivals) add(at time.Time) {
	a.mu.Lock()
	a.at = append(a.at, at)
	a.mu.Unlock()
	a.signal()
}

func (a *arrivals) signal() {
	select {
	case a.some <- struct{}{}:
	default:
	}
}

func (a *arrivals) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.some:
		return nil
	}
}

func (a *arrivals) take() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.at
	a.at = nil
	return at
}

func (a *arrivals) back(at []time.Time) {
	a.mu.Lock()
	a.at = append(slices.Clone(at), a.at...)
	a.mu.Unlock()
	a.signal()
}

// health is whether the tenant is being watched.
type health struct {
	mu   sync.Mutex
	last time.Time
	err  error
}

func (h *health) ok(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.err = at, nil
}

func (h *health) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// Health says when the detectors were asked last, and what is wrong.
func (t *Tenant) Health() (last time.Time, err error) {
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	return t.health.last, t.health.err
}

func sleep(ctx context.Context, d time.Duration) error {
	x := time.NewTimer(d)
	defer x.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-x.C:
		return nil
	}
}
