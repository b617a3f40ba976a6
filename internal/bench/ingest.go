package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/valyala/fastjson"

	"midwatch/event"
	"midwatch/internal/clickhousetest"
	"midwatch/parse"
)

// A measurement is one way of reading the input.
type measurement struct {
	name, doc string
	run       func(j job) (records, stored int64, err error) // nil: see [alone]
}

func measurements() []measurement {
	return []measurement{
		{"scan", "bare fastjson scan of the lines, one core", plain(scan)},
		{"parse", "Midwatch's parse stage alone, one core", plain(parseOnly)},
		{"ctas", "DuckDB `CREATE TABLE AS SELECT json->>'…' ×20, json`", plain(ctas)},
		{"read_json", "DuckDB `read_json`, 20 typed columns, no raw", plain(readJSON)},
		{"ingest", "Midwatch: bytes to committed rows, de-duplicated, raw kept", ingestAll},
		{aloneExtract, "ClickHouse `INSERT SELECT JSONExtract(json, 'Tuple(…20)'), json`", nil},
		{aloneTyped, "ClickHouse `FORMAT JSONEachRow`, 20 typed columns, no raw", nil},
		{"clickhouse", "Midwatch: the same into a ClickHouse server on the same processors", ingestAll},
	}
}

// plain is a measurement that counts nothing.
func plain(run func(in, file string) error) func(job) (int64, int64, error) {
	return func(j job) (int64, int64, error) { return 0, 0, run(j.In, j.Store) }
}

// taken is what one run of a measurement took, with the server's part.
type taken struct {
	result
	Server     float64 // processor time of the server until the commit, seconds
	Merges     float64 // and of the merges that it was left with
	ServerPeak int64   // KiB
	Stored     int64   // bytes on disk; after the merges
}

func ingestPart(ctx context.Context, o options) error {
	in, size, err := inputFile(o)
	if err != nil {
		return err
	}
	engine := engineThere()
	all := map[string][]taken{}
	for i := range o.runs {
		for _, m := range measurements() {
			if o.only != "" && !slices.Contains(strings.Split(o.only, ","), m.name) || strings.HasPrefix(m.name, "clickhouse") && !engine {
				continue
			}
			t, err := measure(ctx, o, m.name, in)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "run %d %-10s %6.2f s %5.0f MB/s, load %s\n", i+1, m.name, t.Seconds, float64(size)/1e6/t.Seconds, load())
			all[m.name] = append(all[m.name], t)
		}
	}
	printIngest(size, o.runs, all)
	return nil
}

// engineThere reports whether there is a ClickHouse engine, and says so when
// there is none.
func engineThere() bool {
	reason, ok := clickhousetest.Available()
	if !ok {
		fmt.Fprintln(os.Stderr, "ClickHouse is left out:", reason)
	}
	return ok
}

// measure does a measurement once, into a store that is new.
func measure(ctx context.Context, o options, name, in string) (t taken, err error) {
	switch name {
	case "clickhouse":
		return intoServer(ctx, o, job{Do: name, In: in})
	case aloneExtract, aloneTyped:
		return alone(ctx, o, name, in)
	}
	file := filepath.Join(o.dir, "out.duckdb")
	defer os.Remove(file)
	if t.result, err = spawn(ctx, o, job{Do: name, In: in, Store: file}); err != nil {
		return t, err
	}
	if info, err := os.Stat(file); err == nil {
		t.Stored = info.Size()
	}
	return t, nil
}

// intoServer does a job that writes into a server, which is new.
func intoServer(ctx context.Context, o options, j job) (t taken, err error) {
	s, err := launch(ctx, o, 1)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	j.Store = s.url()
	return s.take(ctx, o, j)
}

// take does a job on servers that run, and waits for what it left them to do.
func (s *servers) take(ctx context.Context, o options, j job) (t taken, err error) {
	if err := s.mark(); err != nil {
		return t, err
	}
	if t.result, err = spawn(ctx, o, j); err != nil {
		return t, err
	}
	if t.Server, err = s.cpu(); err != nil {
		return t, err
	}
	if err = s.settle(ctx); err != nil {
		return t, err
	}
	if t.Merges, err = s.cpu(); err != nil {
		return t, err
	}
	t.Merges -= t.Server
	if t.ServerPeak, err = s.peak(); err != nil {
		return t, err
	}
	t.Stored, _, err = s.stored(ctx)
	return t, err
}

func printIngest(size int64, runs int, all map[string][]taken) {
	mb := float64(size) / 1e6
	fmt.Printf("%.2f GB, %d processors, median of %d (min–max)\n\n", mb/1e3, runtime.GOMAXPROCS(0), runs)
	fmt.Println("| what | MB/s | of ctas | of read_json | of ClickHouse's extraction | of scan | CPU s | peak memory | stored / input |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	rate := func(name string) float64 {
		if len(all[name]) == 0 {
			return 0
		}
		return mb / median(all[name], func(t taken) float64 { return t.Seconds })
	}
	ratio := func(a, b float64) string {
		if a == 0 || b == 0 {
			return ""
		}
		return fmt.Sprintf("%.2f", a/b)
	}
	for _, m := range measurements() {
		ts := all[m.name]
		if len(ts) == 0 {
			continue
		}
		v := rate(m.name)
		slow, fast := mb, 0.0
		var rss, server int64
		for _, t := range ts {
			slow, fast = min(slow, mb/t.Seconds), max(fast, mb/t.Seconds)
			rss, server = max(rss, t.RSS), max(server, t.ServerPeak)
		}
		disk, memory := "", fmt.Sprintf("%d MiB", rss>>10)
		if b := ts[len(ts)-1].Stored; b > 0 {
			disk = fmt.Sprintf("%.3f", float64(b)/float64(size))
		}
		cpu := fmt.Sprintf("%.1f", median(ts, func(t taken) float64 { return t.CPU }))
		if server > 0 {
			memory += fmt.Sprintf(", server %d MiB", server>>10)
			cpu += fmt.Sprintf(" + %.1f server", median(ts, func(t taken) float64 { return t.Server }))
		}
		fmt.Printf("| %s | %.0f (%.0f–%.0f) | %s | %s | %s | %s | %s | %s | %s |\n", m.doc, v, slow, fast,
			ratio(v, rate("ctas")), ratio(v, rate("read_json")), ratio(v, rate(aloneExtract)), ratio(v, rate("scan")), cpu, memory, disk)
	}
	if duck, click := all["ingest"], all["clickhouse"]; len(duck) > 0 && len(click) > 0 {
		var each []float64
		for i := range click {
			each = append(each, duck[i].Seconds/click[i].Seconds)
		}
		fmt.Printf("\nInto ClickHouse at %.2f of the rate into DuckDB (%.2f–%.2f in single runs; asked: 0.8). The merges that the server is left with take another %.1f s of processor time.\n",
			rate("clickhouse")/rate("ingest"), slices.Min(each), slices.Max(each), median(click, func(t taken) float64 { return t.Merges }))
	}
}

func median[T any](xs []T, of func(T) float64) float64 {
	var v []float64
	for _, x := range xs {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
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

// columns are 20 members that the records have.
func columns() []string {
	return []string{"CreationTime", "Operation", "OrganizationId", "RecordType", "ResultStatus", "UserKey", "UserType", "Workload", "ObjectId", "UserId",
		"AppId", "ClientAppId", "ClientIP", "ClientIPAddress", "MailboxOwnerUPN", "LogonType", "ClientInfoString", "SessionId", "Id", "ErrorNumber"}
}

func ctas(in, file string) error {
	var q strings.Builder
	q.WriteString("CREATE TABLE t AS SELECT ")
	for _, c := range columns() {
		fmt.Fprintf(&q, "json->>'%s' AS %s, ", c, c)
	}
	fmt.Fprintf(&q, "json FROM read_ndjson_objects('%s')", in)
	return duckExec(file, q.String())
}

func readJSON(in, file string) error {
	var q strings.Builder
	fmt.Fprintf(&q, "CREATE TABLE t AS SELECT * FROM read_json('%s', format = 'newline_delimited', columns = {", in)
	for i, c := range columns() {
		if i > 0 {
			q.WriteString(", ")
		}
		fmt.Fprintf(&q, "%s: 'VARCHAR'", c)
	}
	q.WriteString("})")
	return duckExec(file, q.String())
}

func duckExec(file, q string) error {
	db, err := sql.Open("duckdb", file+fmt.Sprintf("?threads=%d", runtime.GOMAXPROCS(0)))
	if err != nil {
		return err
	}
	if _, err := db.Exec(q); err != nil {
		return err
	}
	return db.Close()
}
