package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/ingest"
	"midwatch/store"
	"midwatch/store/duckdb"
	"midwatch/watch/alert"
)

var quiet = slog.New(slog.DiscardHandler)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Date(2024, 1, 12, 9, 30, 0, 0, time.UTC)} }

// put stores events, a minute apart, from the n-th minute of the clock's day on.
func put(t *testing.T, st store.Store, from, to int) {
	t.Helper()
	b := &event.Batch{}
	base := time.Date(2024, 1, 12, 0, 0, 0, 0, time.UTC)
	for n := from; n < to; n++ {
		id, _ := event.MakeID(nil, "t", event.SignIn, fmt.Sprint(n))
		b.Events = append(b.Events, event.Event{ID: id, Source: event.SignIn, Tenant: "t", Class: event.ClassSignIn, Operation: "sign-in", Outcome: event.Failure, Actor: fmt.Sprint("u", n), Time: base.Add(time.Duration(n) * time.Minute).UnixMicro(), Raw: []byte("{}")})
	}
	l, err := st.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Append(t.Context(), b), l.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// manual is a feed whose loads the test makes.
type manual struct {
	ready chan struct{}
	added func(int64, time.Time)
	err   error
}

func (m *manual) Name() string { return "manual" }

func (m *manual) Run(ctx context.Context, added func(int64, time.Time)) error {
	m.added = added
	close(m.ready)
	if m.err != nil {
		return m.err
	}
	<-ctx.Done()
	return nil
}

// every makes a finding of all events that there are, from the fourth on.
func every(ctx context.Context, q store.Querier) (fs []casefile.Finding, err error) {
	f := casefile.Finding{Detector: "d", Title: "failures", Severity: casefile.High, Tenant: "t"}
	err = store.Each(ctx, q, "SELECT CAST(id AS VARCHAR), time FROM events ORDER BY time", nil, func(scan func(...any) error) error {
		var id string
		var at time.Time
		if err := scan(&id, &at); err != nil {
			return err
		}
		if f.Events = append(f.Events, id); f.First.IsZero() {
			f.First = casefile.TimeOf(at)
		}
		f.Last = casefile.TimeOf(at)
		return nil
	})
	f.ID = casefile.ID("f", f.Events...)
	if len(f.Events) < 4 {
		return nil, err
	}
	low := f
	low.ID, low.Detector, low.Severity = "f-low", "other", casefile.Low
	return []casefile.Finding{f, low}, err
}

type fixture struct {
	*Tenant
	st   store.Store
	feed *manual
	got  chan string
	end  func() error
}

type told1 struct{ c chan string }

func (told1) Name() string { return "test" }

func (s told1) Send(_ context.Context, a *alert.Alert) error {
	s.c <- a.ID
	return nil
}

// watching is a tenant that is watched until the test ends it.
func watching(t *testing.T, dir string, change func(*Tenant)) *fixture {
	t.Helper()
	st, err := duckdb.Open(filepath.Join(dir, "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	box, err := alert.Open(filepath.Join(dir, "state"), quiet, newClock().now)
	if err != nil {
		t.Fatal(err)
	}
	x := &fixture{st: st, feed: &manual{ready: make(chan struct{})}, got: make(chan string, 100)}
	x.Tenant = &Tenant{Name: "contoso", Store: st, Feeds: []Feed{x.feed}, Detect: every, Outbox: box, Sinks: []alert.Sink{told1{x.got}}, Settle: time.Millisecond, Log: quiet, Now: newClock().now, retry: time.Millisecond}
	if change != nil {
		change(x.Tenant)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	<-x.feed.ready
	var once sync.Once
	var failed error
	x.end = func() error {
		once.Do(func() {
			stop()
			select {
			case failed = <-done:
			case <-time.After(20 * time.Second):
				failed = errors.New("it does not end")
			}
			failed = errors.Join(failed, st.Close(), box.Close())
		})
		return failed
	}
	t.Cleanup(func() { _ = x.end() })
	return x
}

func (x *fixture) load(t *testing.T, from, to int) {
	t.Helper()
	put(t, x.st, from, to)
	x.feed.added(int64(to-from), x.Now())
}

func (x *fixture) want(t *testing.T, what string, some bool) string {
	t.Helper()
	wait := 300 * time.Millisecond
	if some {
		wait = 20 * time.Second
	}
	select {
	case id := <-x.got:
		if !some {
			t.Errorf("%s: %s is told", what, id)
		}
		return id
	case <-time.After(wait):
		if some {
			t.Fatalf("%s: nothing is told", what)
		}
	}
	return ""
}

// A finding is told once: not again when it grows, not after a restart, and not
// when it is slight.
func TestToldOnce(t *testing.T) {
	dir := t.TempDir()
	x := watching(t, dir, nil)
	x.load(t, 10, 13)
	x.want(t, "three events", false)
	x.load(t, 13, 15)
	id := x.want(t, "five events", true)
	x.load(t, 15, 20) // the id of the finding is another by now
	x.want(t, "it grew", false)
	x.load(t, 0, 5) // late records, before the others
	x.want(t, "it grew to the front", false)
	if err := x.end(); err != nil {
		t.Fatal(err)
	}
	x = watching(t, dir, nil)
	x.load(t, 20, 25)
	x.want(t, "after a restart", false)
	if last, err := x.Health(); err != nil || last.IsZero() {
		t.Errorf("%v %v", last, err)
	}
	if past := x.Outbox.Past(); len(past) != 1 || past[0].ID != id || past[0].Tenant != "contoso" {
		t.Errorf("%+v", past)
	}
}

// What was there before is not told where that is not wanted, and what comes is.
func TestQuietPast(t *testing.T) {
	dir := t.TempDir()
	st, err := duckdb.Open(filepath.Join(dir, "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, 0, 10)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	x := watching(t, dir, func(w *Tenant) {
		w.Quiet = true
		w.Detect = func(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
			n++
			fs, err := every(ctx, q)
			if n > 1 && err == nil {
				fs = append(fs, casefile.Finding{ID: "f-new", Detector: "new", Severity: casefile.Critical})
			}
			return fs, err
		}
	})
	x.want(t, "the past", false)
	x.load(t, 10, 11)
	if id := x.want(t, "the present", true); id != "f-new" {
		t.Error(id)
	}
}

// A run that fails is made again, with nothing forgotten, and says so meanwhile.
func TestRunFails(t *testing.T) {
	var mu sync.Mutex
	fail := true
	x := watching(t, t.TempDir(), func(w *Tenant) {
		w.Detect = func(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
			mu.Lock()
			defer mu.Unlock()
			if fail {
				return nil, errors.New("no room")
			}
			return every(ctx, q)
		}
	})
	x.load(t, 0, 5)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := x.Health(); err != nil {
			break
		}
	}
	if _, err := x.Health(); err == nil || err.Error() != "no room" {
		t.Errorf("%v", err)
	}
	mu.Lock()
	fail = false
	mu.Unlock()
	x.want(t, "when there is room", true)
	if _, err := x.Health(); err != nil {
		t.Error(err)
	}
}

// A feed that cannot go on ends the watch of its tenant, with its reason.
func TestFeedFails(t *testing.T) {
	x := watching(t, t.TempDir(), nil)
	y := watching(t, t.TempDir(), func(w *Tenant) { w.Feeds[0].(*manual).err = errors.New("no such topic") })
	if err := y.end(); err == nil || !strings.Contains(err.Error(), "feed manual: no such topic") {
		t.Errorf("%v", err)
	}
	x.load(t, 0, 5)
	x.want(t, "the other tenant", true)
}

// One tenant's run that does not end holds up nobody else.
func TestTenantsAreApart(t *testing.T) {
	stuck := make(chan struct{})
	z := watching(t, t.TempDir(), func(w *Tenant) {
		w.Detect = func(ctx context.Context, _ store.Querier) ([]casefile.Finding, error) {
			close(stuck)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	z.load(t, 0, 1)
	<-stuck
	y := watching(t, t.TempDir(), nil)
	y.load(t, 0, 5)
	y.want(t, "beside a run that does not end", true)
}

// Runs that take too long look less far back, at whole minutes of the newest
// records, and a whole run follows when it is due.
func TestBudget(t *testing.T) {
	c := newClock()
	type run struct {
		rows int
	}
	runs := make(chan run, 100)
	x := watching(t, t.TempDir(), func(w *Tenant) {
		w.Now = c.now
		w.Budget, w.Whole = 10*time.Second, time.Hour
		w.Detect = func(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
			n := 0
			err := store.Each(ctx, q, "SELECT count(*) FROM events", nil, func(scan func(...any) error) error { return scan(&n) })
			if n > 0 {
				c.add(time.Duration(n) * 100 * time.Microsecond) // 200,000 records take 20 seconds
				runs <- run{n}
			}
			return nil, err
		}
	})
	base := 0
	many := func(n int) {
		t.Helper()
		b := &event.Batch{}
		for range n {
			id, _ := event.MakeID(nil, "t", event.SignIn, fmt.Sprint("m", base))
			b.Events = append(b.Events, event.Event{ID: id, Source: event.SignIn, Tenant: "t", Class: event.ClassSignIn, Outcome: event.Failure, Time: time.Date(2024, 1, 11, 0, 0, 0, 0, time.UTC).Add(time.Duration(base) * 400 * time.Millisecond).UnixMicro(), Raw: []byte("{}")})
			base++
		}
		l, err := x.st.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Claim(b); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Append(t.Context(), b), l.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		x.feed.added(int64(n), c.now())
	}
	next := func() int {
		t.Helper()
		select {
		case r := <-runs:
			return r.rows
		case <-time.After(20 * time.Second):
			t.Fatal("no run")
		}
		return 0
	}
	many(200_000)
	if n := next(); n != 200_000 {
		t.Fatalf("the first run looked at %d", n)
	}
	many(1000)
	if n := next(); n < 100_000 || n > 101_000 { // by the minute
		t.Errorf("after one that took twice its budget a run looked at %d", n)
	}
	many(1000)
	if n := next(); n > 160_000 {
		t.Errorf("it grew to %d at once", n)
	}
	c.add(2 * time.Hour)
	many(1000)
	if n := next(); n != 203_000 {
		t.Errorf("the whole run looked at %d, want all", n)
	}
	if w := x.Window(); w <= 0 {
		t.Error(w)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	st, err := duckdb.Open(filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // the test ends
	line := func(n int) string {
		return fmt.Sprintf(`{"id":"%08d-0000-0000-0000-000000000000","createdDateTime":"2024-01-12T09:%02d:00Z","userPrincipalName":"u@contoso.example","appId":"a","ipAddress":"192.0.2.1","status":{"errorCode":50126},"signInEventTypes":["interactiveUser"]}`+"\n", n, n)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Minute)
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan int64, 10)
	f := &Folder{Path: dir, Store: st, Options: ingest.Options{}, Every: 5 * time.Millisecond, Still: time.Second, Log: quiet, Now: time.Now}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, func(n int64, _ time.Time) { got <- n }) }()
	want := func(what string, n int64) {
		t.Helper()
		select {
		case k := <-got:
			if k != n {
				t.Errorf("%s: %d events, want %d", what, k, n)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing", what)
		}
	}
	write("a.ndjson", line(1)+line(2))
	want("a file", 2)
	write(".hidden", line(3))
	write("broken.zip", "PK\x03\x04 no archive")
	write("a.ndjson", line(1)+line(2)+line(4))
	want("what grew", 1)
	if err := os.WriteFile(filepath.Join(dir, "young.ndjson"), []byte(line(5)), 0o600); err != nil {
		t.Fatal(err)
	}
	want("a file that was still being written", 1)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := (&Folder{Path: filepath.Join(dir, "none"), Log: quiet, Now: time.Now}).Run(t.Context(), nil); err == nil {
		t.Error("a folder that is not there is watched")
	}
	if left := len(got); left > 0 {
		t.Errorf("%d loads more", left)
	}
}
