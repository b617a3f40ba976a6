package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/internal/casefolder"
	"midwatch/journal"
)

func clock() time.Time { return time.Date(2024, 1, 12, 3, 4, 5, 0, time.UTC) }

func read(what string) Read {
	return Read{By: "kim", Via: "password", Role: "analyst", Session: "a1b2c3", Remote: "192.0.2.7", Action: "show", Route: "/events/{id}", Case: "a.case", What: what, Rows: 1}
}

// wantReads checks that the file is whole and returns how often each read is in it.
func wantReads(t *testing.T, path string) map[string]int {
	t.Helper()
	rs, err := Open(path, "soc", clock).Reads()
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, r := range rs {
		n[r.What]++
	}
	return n
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := Open(path, "soc", clock)
	if rs, err := l.Reads(); err != nil || rs != nil {
		t.Errorf("no file: %v %v", rs, err)
	}
	long := read(strings.Repeat("ä", MaxWhat))
	long.By = strings.Repeat("x", 1000)
	hostile := read("<script>\x00\u2028\xff")
	for _, r := range []Read{read("a@x.example"), long, hostile} {
		if err := l.Write(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	rs, err := l.Reads()
	if err != nil || len(rs) != 3 {
		t.Fatalf("%d reads, %v", len(rs), err)
	}
	if d := cmp.Diff(Record{1, clock(), read("a@x.example")}, rs[0]); d != "" {
		t.Error(d)
	}
	if w := rs[1].What; len(w) > MaxWhat+3 || !strings.HasSuffix(w, "ä…") || !utf8.ValidString(w) || len(rs[1].By) > maxField+3 {
		t.Errorf("%d bytes, by %d", len(w), len(rs[1].By))
	}
	if rs[2].What != "<script>\x00\u2028\uFFFD" {
		t.Errorf("%q", rs[2].What)
	}
	es, err := journal.Open(path, clock).Entries()
	if err != nil || es[0].Kind != journal.MailRead || es[0].Author != (journal.Author{Name: "midwatch serve", User: "soc"}) {
		t.Errorf("%+v %v", es[0], err)
	}
	for name, r := range map[string]Read{"nobody": {Action: "show"}, "nothing": {By: "kim"}} {
		if l.Write(t.Context(), r) == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// Readers at one time share entries: there are fewer than reads, and each read is
// in one.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := Open(path, "soc", clock)
	const readers, each = 64, 10
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			for k := range each {
				if err := l.Write(t.Context(), read(fmt.Sprintf("%d/%d", i, k))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n := wantReads(t, path)
	for what, k := range n {
		if k != 1 {
			t.Errorf("%s is there %d times", what, k)
		}
	}
	s, err := journal.Open(path, clock).Verify()
	if err != nil || len(n) != readers*each || s.Entries > readers*each/2 {
		t.Errorf("%d reads in %d entries, %v", len(n), s.Entries, err)
	}
	t.Logf("%d reads in %d entries", len(n), s.Entries)
}

// More than an entry has room for goes into several.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := Open(path, "soc", clock)
	l.turn <- struct{}{} // somebody writes, and takes long
	const readers = 300
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			if err := l.Write(t.Context(), read(fmt.Sprintf("%d %s", i, strings.Repeat("\x01", MaxWhat-10)))); err != nil { // each six bytes in JSON
				t.Error(err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	<-l.turn
	wg.Wait()
	if n := wantReads(t, path); len(n) != readers {
		t.Errorf("%d reads", len(n))
	}
}

// When an entry cannot be written none of those who share it may show anything,
// and when it can again they go on.
func TestFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a.case")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := Open(filepath.Join(dir, File), "soc", clock)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for range 20 {
		wg.Go(func() {
			if l.Write(t.Context(), read("x")) != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() != 20 {
		t.Errorf("%d of 20 were told", failed.Load())
	}
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700), l.Write(t.Context(), read("y"))); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(map[string]int{"y": 1}, wantReads(t, filepath.Join(dir, File))); d != "" {
		t.Error(d)
	}
}

// Who hangs up gets an error; what others wait for is written.
func TestHangUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	l := Open(path, "soc", clock)
	ctx, cancel := context.WithCancel(t.Context())
	l.turn <- struct{}{}
	gone := make(chan error)
	go func() { gone <- l.Write(ctx, read("gone")) }()
	stays := make(chan error)
	go func() { stays <- l.Write(t.Context(), read("stays")) }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-l.turn
	if err := <-stays; err != nil {
		t.Error(err)
	}
	if wantReads(t, path)["stays"] != 1 {
		t.Error("it is not there")
	}
	if err := l.Write(ctx, read("never")); !errors.Is(err, context.Canceled) || wantReads(t, path)["never"] != 0 {
		t.Error(err)
	}
}

// A case is made anew again and again while people read: no read that was
// acknowledged is lost.
func TestCaseIsReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a.case")
	publish := func() {
		t.Helper()
		d, err := casefolder.Begin(dir)
		if err == nil {
			err = casefolder.WriteSources(d.File(casefolder.Sources), []casefile.Source{{Path: "x"}})
		}
		if err == nil {
			err = d.Publish(t.Context(), time.Now)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if casefolder.Access != File {
		t.Fatal("a case takes along another file than is written")
	}
	publish()
	path := filepath.Join(dir, File)
	l := Open(path, "soc", time.Now)
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	stop := make(chan struct{})
	for i := range 8 {
		wg.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				what := fmt.Sprintf("%d/%d", i, k)
				if err := l.Write(t.Context(), read(what)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[what] = true
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 60 {
		publish()
	}
	close(stop)
	wg.Wait()
	n := wantReads(t, path)
	for what := range acknowledged {
		if n[what] != 1 {
			t.Errorf("%s was acknowledged and is there %d times", what, n[what])
		}
	}
	if len(n) < 60 {
		t.Errorf("%d reads: too few to show anything", len(n))
	}
	t.Logf("%d reads over 60 cases", len(n))
}

// What a read costs: alone, and among many that share an fsync.
func BenchmarkWrite(b *testing.B) {
	for _, readers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), File)
			l := Open(path, "soc", time.Now)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range readers {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if err := l.Write(b.Context(), read("a mailbox of somebody@midwatch.example")); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s, err := journal.Open(path, time.Now).Verify()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/float64(s.Entries), "reads/fsync")
		})
	}
}
