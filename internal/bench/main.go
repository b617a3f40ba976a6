// Command bench measures ingest against what DuckDB and a bare JSON scan do
// with the same bytes, in one run, because only ratios within a run hold on a
// shared machine. `make bench` runs it; docs/PERFORMANCE.md keeps the table.
//
// The input is the audit records of the Invictus set with distinct ids,
// repeated to the size wanted. Each measurement is a process of its own, so
// that its peak memory is its own; the measurements take turns.
package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/valyala/fastjson"

	"midwatch/enrich"
	"midwatch/event"
	"midwatch/ingest"
	"midwatch/parse"
	"midwatch/store/duckdb"
)

// A measurement is one way of reading the input.
type measurement struct {
	name, doc string
	run       func(in, dir string) error
}

func measurements() []measurement {
	return []measurement{
		{"scan", "bare fastjson scan of the lines, one core", scan},
		{"parse", "Midwatch's parse stage alone, one core", parseOnly},
		{"ctas", "DuckDB `CREATE TABLE AS SELECT json->>'…' ×20, json`", ctas},
		{"read_json", "DuckDB `read_json`, 20 typed columns, no raw", readJSON},
		{"ingest", "Midwatch: bytes to committed rows, de-duplicated, raw kept", ingestAll},
	}
}

func main() {
	size := flag.String("size", "1GB", "size of the input")
	runs := flag.Int("runs", 5, "runs of each measurement")
	corpora := flag.String("corpora", "../shared/corpora", "folder of the corpora")
	only := flag.String("only", "", "run these measurements only (comma separated)")
	child := flag.String("child", "", "run one measurement in this process")
	in := flag.String("in", "", "input file (default: made in a temporary folder)")
	flag.Parse()
	if err := run(*size, *runs, *corpora, *only, *child, *in); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(size string, runs int, corpora, only, child, in string) error {
	dir, err := os.MkdirTemp("", "midwatch-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if child != "" {
		return runChild(child, in, dir)
	}
	n, err := parseSize(size)
	if err != nil {
		return err
	}
	if in == "" {
		in = filepath.Join(dir, "ual.ndjson")
		if err := generate(filepath.Join(corpora, "invictus", "auditrecords.csv"), in, n); err != nil {
			return err
		}
	}
	info, err := os.Stat(in)
	if err != nil {
		return err
	}
	times := map[string][]float64{}
	rss, stored := map[string]int64{}, map[string]int64{}
	for i := range runs {
		for _, m := range measurements() {
			if only != "" && !slices.Contains(strings.Split(only, ","), m.name) {
				continue
			}
			r, err := spawn(m.name, in)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			fmt.Fprintf(os.Stderr, "run %d %-10s %6.2f s %5.0f MB/s\n", i+1, m.name, r.Seconds, float64(info.Size())/1e6/r.Seconds)
			times[m.name] = append(times[m.name], r.Seconds)
			rss[m.name] = max(rss[m.name], r.RSS)
			stored[m.name] = r.Stored
		}
	}
	print(info.Size(), runs, times, rss, stored)
	return nil
}

func print(size int64, runs int, times map[string][]float64, rss, stored map[string]int64) {
	fmt.Printf("%.2f GB, %d processors, median of %d (min–max)\n\n", float64(size)/1e9, runtime.GOMAXPROCS(0), runs)
	fmt.Println("| what | MB/s | of ctas | of read_json | of scan | peak memory | stored / input |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|")
	med := func(name string) float64 {
		t := slices.Clone(times[name])
		if len(t) == 0 {
			return 0
		}
		slices.Sort(t)
		return float64(size) / 1e6 / t[len(t)/2]
	}
	ratio := func(a, b float64) string {
		if a == 0 || b == 0 {
			return ""
		}
		return fmt.Sprintf("%.2f", a/b)
	}
	for _, m := range measurements() {
		t := times[m.name]
		if len(t) == 0 {
			continue
		}
		v := med(m.name)
		disk := ""
		if stored[m.name] > 0 {
			disk = fmt.Sprintf("%.3f", float64(stored[m.name])/float64(size))
		}
		fmt.Printf("| %s | %.0f (%.0f–%.0f) | %s | %s | %s | %d MiB | %s |\n", m.doc, v, float64(size)/1e6/slices.Max(t), float64(size)/1e6/slices.Min(t),
			ratio(v, med("ctas")), ratio(v, med("read_json")), ratio(v, med("scan")), rss[m.name]>>10, disk)
	}
}

// childResult is what a child prints.
type childResult struct {
	Seconds float64
	RSS     int64 // KiB
	Stored  int64 // bytes
}

func spawn(name, in string) (childResult, error) {
	var r childResult
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.Command(self, "-child", name, "-in", in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, err
	}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.RSS = u.Maxrss
	}
	return r, nil
}

func runChild(name, in, dir string) error {
	debug.SetGCPercent(400) // as cmd/midwatch does
	for _, m := range measurements() {
		if m.name != name {
			continue
		}
		start := time.Now()
		if err := m.run(in, dir); err != nil {
			return err
		}
		r := childResult{Seconds: time.Since(start).Seconds()}
		if info, err := os.Stat(filepath.Join(dir, "out.duckdb")); err == nil {
			r.Stored = info.Size()
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	return fmt.Errorf("no measurement %q", name)
}

func parseSize(s string) (int64, error) {
	for suffix, unit := range map[string]float64{"GB": 1e9, "MB": 1e6} {
		if n, ok := strings.CutSuffix(strings.ToUpper(s), suffix); ok {
			f, err := strconv.ParseFloat(n, 64)
			return int64(f * unit), err
		}
	}
	return 0, fmt.Errorf("size %q: use MB or GB", s)
}

// generate repeats the records, each time with new ids.
func generate(from, to string, size int64) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the benchmark reads the Invictus set: %w", err)
	}
	defer f.Close()
	cr := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	header, err := cr.Read()
	if err != nil {
		return err
	}
	col := slices.Index(header, "AuditData")
	type rec struct{ text, id string }
	var recs []rec
	seen := map[string]bool{}
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		v, err := fastjson.Parse(row[col])
		if err != nil {
			continue
		}
		if id := string(v.GetStringBytes("Id")); !seen[id] {
			seen[id] = true
			recs = append(recs, rec{strings.Clone(row[col]), id})
		}
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 4<<20)
	rnd := rand.New(rand.NewPCG(7, 7))
	var n int64
	for n < size {
		for _, r := range recs {
			id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rnd.Uint32(), rnd.Uint32()&0xffff, rnd.Uint32()&0xfff, rnd.Uint32()&0xfff, rnd.Uint64()&0xffffffffffff)
			line := strings.ReplaceAll(r.text, r.id, id)
			n += int64(len(line)) + 1
			if _, err := w.WriteString(line + "\n"); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Flush(), out.Close())
}

// eachBlock calls fn with runs of whole lines.
func eachBlock(in string, fn func([]byte) error) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 2<<20)
	n := 0
	for {
		k, err := io.ReadFull(f, buf[n:])
		n += k
		end := n
		if err == nil {
			end = bytes.LastIndexByte(buf[:n], '\n') + 1
		}
		if e := fn(buf[:end]); e != nil {
			return e
		}
		if err != nil {
			return nil
		}
		n = copy(buf, buf[end:n])
	}
}

func scan(in, _ string) error {
	runtime.GOMAXPROCS(1)
	var p fastjson.Parser
	return eachBlock(in, func(b []byte) error {
		for line := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
			if _, err := p.ParseBytes(line); err != nil {
				return err
			}
		}
		return nil
	})
}

func parseOnly(in, _ string) error {
	runtime.GOMAXPROCS(1)
	var p fastjson.Parser
	batch := &event.Batch{}
	sink := parse.NewSink(batch)
	rec := &parse.Record{}
	format := parse.UAL{}
	return eachBlock(in, func(b []byte) error {
		batch.Reset()
		for line := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
			v, err := p.ParseBytes(line)
			if err != nil {
				return err
			}
			rec.Next()
			rec.Raw, rec.Value = line, v
			sink.Begin(rec, format.Name())
			if err := format.Parse(rec, sink); err != nil {
				return err
			}
			sink.Finish()
		}
		return nil
	})
}

func ingestAll(in, dir string) error {
	st, err := duckdb.Open(filepath.Join(dir, "out.duckdb"), duckdb.Options{})
	if err != nil {
		return err
	}
	en, err := enrich.New(nil)
	if err != nil {
		return err
	}
	res, err := ingest.Run(context.Background(), st, []string{in}, ingest.Options{Enrich: en.Batch, Workers: workers()})
	if err != nil {
		return err
	}
	if res.Rejected != 0 || res.Duplicates != 0 {
		return fmt.Errorf("%d rejected, %d duplicates of %d", res.Rejected, res.Duplicates, res.Records)
	}
	return st.Close()
}

// columns are 20 members that the records have.
func columns() []string {
	return []string{"CreationTime", "Operation", "OrganizationId", "RecordType", "ResultStatus", "UserKey", "UserType", "Workload", "ObjectId", "UserId",
		"AppId", "ClientAppId", "ClientIP", "ClientIPAddress", "MailboxOwnerUPN", "LogonType", "ClientInfoString", "SessionId", "Id", "ErrorNumber"}
}

func ctas(in, dir string) error {
	var q strings.Builder
	q.WriteString("CREATE TABLE t AS SELECT ")
	for _, c := range columns() {
		fmt.Fprintf(&q, "json->>'%s' AS %s, ", c, c)
	}
	fmt.Fprintf(&q, "json FROM read_ndjson_objects('%s')", in)
	return duckExec(dir, q.String())
}

func readJSON(in, dir string) error {
	var q strings.Builder
	fmt.Fprintf(&q, "CREATE TABLE t AS SELECT * FROM read_json('%s', format = 'newline_delimited', columns = {", in)
	for i, c := range columns() {
		if i > 0 {
			q.WriteString(", ")
		}
		fmt.Fprintf(&q, "%s: 'VARCHAR'", c)
	}
	q.WriteString("})")
	return duckExec(dir, q.String())
}

func duckExec(dir, q string) error {
	db, err := sql.Open("duckdb", filepath.Join(dir, "out.duckdb")+fmt.Sprintf("?threads=%d", runtime.GOMAXPROCS(0)))
	if err != nil {
		return err
	}
	if _, err := db.Exec(q); err != nil {
		return err
	}
	return db.Close()
}

// workers is for trying other numbers of workers than the default.
func workers() int {
	n, _ := strconv.Atoi(os.Getenv("BENCH_WORKERS"))
	return n
}
