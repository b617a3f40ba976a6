package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"midwatch/detect"
	"midwatch/detect/sigmarules"
	"midwatch/enrich"
	"midwatch/ingest"
	"midwatch/investigate"
	"midwatch/store"
	"midwatch/store/clickhouse"
	"midwatch/store/duckdb"
)

// A job is what one child process does.
type job struct {
	Do      string // name of a measurement, or "ask"
	In      string // file or folder to read
	Store   string // DuckDB file, or a server's URL
	ASN     string // table of networks; "" for none
	NoRaw   bool
	Profile string // file for a processor profile
}

// result is what a job took.
type result struct {
	Seconds float64
	Records int64   // that were read, or that the store has
	Events  int64   // of them, those that were stored
	CPU     float64 // seconds of processor time, user and system, of the child
	RSS     int64   // peak of the child, KiB
}

// spawn does a job in a process of its own.
func spawn(ctx context.Context, o options, j job) (result, error) {
	var r result
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	if o.profile != "" {
		engine := "duckdb"
		if isServer(j.Store) {
			engine = "clickhouse"
		}
		if j.Profile, err = filepath.Abs(filepath.Join(o.profile, j.Do+"-"+engine+".pprof")); err != nil {
			return r, err
		}
	}
	text, err := json.Marshal(j)
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s: %w", j.Do, err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("%s: %w", j.Do, err)
	}
	r.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.RSS = u.Maxrss
	}
	return r, nil
}

func runChild(text string) error {
	debug.SetGCPercent(400) // as cmd/midwatch does
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	do := ask
	for _, m := range measurements() {
		if m.name == j.Do {
			do = m.run
		}
	}
	if j.Profile != "" {
		f, err := os.Create(j.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	start := time.Now()
	n, stored, err := do(j)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result{Seconds: time.Since(start).Seconds(), Records: n, Events: stored})
}

func isServer(name string) bool { return strings.HasPrefix(name, "clickhouse://") }

func openStore(j job, readOnly bool) (store.Keeper, error) {
	if isServer(j.Store) {
		return clickhouse.Open(context.Background(), clickhouse.Options{URL: j.Store, NoRaw: j.NoRaw, ReadOnly: readOnly})
	}
	return duckdb.Open(j.Store, duckdb.Options{NoRaw: j.NoRaw, ReadOnly: readOnly})
}

// ingestAll is what `midwatch ingest` does.
func ingestAll(j job) (records, stored int64, err error) {
	var networks enrich.Networks
	if j.ASN != "" {
		if networks, err = enrich.OpenNetworks(j.ASN); err != nil {
			return 0, 0, err
		}
	}
	en, err := enrich.New(networks)
	if err != nil {
		return 0, 0, err
	}
	st, err := openStore(j, false)
	if err != nil {
		return 0, 0, err
	}
	res, err := ingest.Run(context.Background(), st, []string{j.In}, ingest.Options{Enrich: en.Batch, Workers: workers()})
	if err != nil {
		return 0, 0, errors.Join(err, st.Close())
	}
	// What the input has twice is left out on purpose; more would be a slip.
	if res.Rejected != 0 || res.Duplicates > res.Records/20 {
		return 0, 0, errors.Join(fmt.Errorf("%d rejected, %d duplicates of %d", res.Rejected, res.Duplicates, res.Records), st.Close())
	}
	return res.Records, res.Accepted, st.Close()
}

// ask is what `midwatch investigate --store` does, but for the report. The
// accounts of the files are among what it asks.
func ask(j job) (records, stored int64, err error) {
	ctx := context.Background()
	st, err := openStore(j, true)
	if err != nil {
		return 0, 0, err
	}
	q := &named{q: st}
	n, err := func() (int64, error) {
		sources, err := ingest.Sources(ctx, q)
		if err != nil {
			return 0, err
		}
		found, err := detect.Run(ctx, q, detect.All(detect.Settings{}))
		if err != nil {
			return 0, err
		}
		own, err := sigmarules.Builtin()
		if err != nil {
			return 0, err
		}
		ruled, err := sigmarules.Run(ctx, q, own)
		if err != nil {
			return 0, err
		}
		c, err := investigate.Investigate(ctx, q, slices.Concat(found.Findings, ruled.Findings), investigate.Options{Sources: sources, Assessed: found.Assessed, NotAssessed: found.NotAssessed})
		if err != nil {
			return 0, err
		}
		return c.Case.Events, nil
	}()
	return n, n, errors.Join(err, st.Close())
}

// named gives each question an id that says where in the code it is asked, for
// a server's log of queries. DuckDB does not mind.
type named struct {
	q store.Querier
	n atomic.Int64
}

// Query implements [store.Querier].
func (n *named) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	id := fmt.Sprintf("%s%s/%d", mark, asker(), n.n.Add(1))
	return n.q.Query(driver.Context(ctx, driver.WithQueryID(id)), query, args...)
}

// mark is what the ids of questions begin with.
const mark = "midwatch-bench/"

// asker is the line of code that asks, as detect/slow_spray.go:137.
func asker() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		folder := filepath.Base(filepath.Dir(f.File))
		// detect/query.go holds what several detectors ask with.
		if at := folder + "/" + filepath.Base(f.File); folder != "store" && at != "detect/query.go" {
			return fmt.Sprintf("%s:%d", at, f.Line)
		}
		if !more {
			return "unknown"
		}
	}
}

// workers is for trying other numbers of workers than the default.
func workers() int {
	n, _ := strconv.Atoi(os.Getenv("BENCH_WORKERS"))
	return n
}
