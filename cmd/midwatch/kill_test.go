package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midwatch/event"
	"midwatch/internal/clickhousetest"
	"midwatch/simulate"
	"midwatch/store"
)

// Not one record is lost or doubled by processes that are killed.
func TestKilledIngest(t *testing.T) {
	dir := t.TempDir()
	killRounds(t, filepath.Join(dir, "killed.duckdb"), filepath.Join(dir, "clean.duckdb"))
}

func TestKilledIngestClickHouse(t *testing.T) {
	node := clickhousetest.Start(t, clickhousetest.Options{Nodes: 2}).Nodes[0]
	killRounds(t, node.DSN(node.Database(t))+"?cluster=midwatch", node.DSN(node.Database(t)))
}

// killRounds reads a simulated tenant into two stores that do not exist yet, in
// five steps of which each has all files of the one before. Into clean each step
// is read once. Into killed it is read ten times, each time with kill -9 at a
// random moment, early in the first round and late in the last; then everything
// is read once more. In the end both stores must hold the same, and be well.
func killRounds(t *testing.T, killed, clean string) {
	const steps, rounds = 5, 10
	files := tenantFiles(t)
	ingest := func(spec string, step int) *exec.Cmd {
		return midwatch(t, append([]string{"ingest", "--quiet", "--store", spec}, files[:len(files)*(step+1)/steps]...)...)
	}
	var took [steps]time.Duration
	for step := range took {
		start := time.Now()
		if out, err := ingest(clean, step).CombinedOutput(); err != nil {
			t.Fatalf("step %d: %v\n%s", step, err, out)
		}
		took[step] = time.Since(start)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, steps of %v", seed, took)
	random := rand.New(rand.NewPCG(seed, 0))
	finished := 0
	for step := range steps {
		for round := range rounds {
			cmd := ingest(killed, step)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The last round's moments lie past the end, for what comes after a commit.
			time.Sleep(time.Duration((float64(round) + random.Float64()) / (rounds - 0.5) * float64(took[step])))
			_ = cmd.Process.Kill()
			if err := cmd.Wait(); err == nil {
				finished++
			} else if cmd.ProcessState.Exited() {
				t.Errorf("step %d, round %d: %v before it was killed\n%s", step, round, err, out.String())
			}
		}
	}
	t.Logf("%d of %d rounds had finished when they were to be killed", finished, steps*rounds)
	if out, err := ingest(killed, steps-1).CombinedOutput(); err != nil {
		t.Fatalf("the whole run at the end: %v\n%s", err, out)
	}
	for _, spec := range []string{clean, killed} {
		if out, err := midwatch(t, "store", "check", spec).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", spec, err, out)
		}
	}
	want := contents(t, clean)
	if d := cmp.Diff(want, contents(t, killed)); d != "" {
		t.Errorf("what the stores hold (-clean +killed):\n%s", d)
	}
	t.Logf("both hold %v", want)
}

// Processes that read the same files into one store at the same time leave what
// one of them alone does.
func TestIngestSideBySide(t *testing.T) {
	files := tenantFiles(t)
	run := func(t *testing.T, many, one string) {
		cmds := make([]*exec.Cmd, 3)
		outs := make([]strings.Builder, len(cmds))
		for i := range cmds {
			cmds[i] = midwatch(t, append([]string{"ingest", "--quiet", "--store", many}, files...)...)
			cmds[i].Stdout, cmds[i].Stderr = &outs[i], &outs[i]
			if err := cmds[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range cmds {
			if err := c.Wait(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, outs[i].String())
			}
		}
		if out, err := midwatch(t, append([]string{"ingest", "--quiet", "--store", one}, files...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if out, err := midwatch(t, "store", "check", many).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		want, got := contents(t, one), contents(t, many)
		for _, table := range []string{"events", "items"} {
			if want[table] != got[table] {
				t.Errorf("%s: %v, want %v", table, got[table], want[table])
			}
		}
	}
	t.Run("duckdb", func(t *testing.T) {
		dir := t.TempDir()
		run(t, filepath.Join(dir, "many.duckdb"), filepath.Join(dir, "one.duckdb"))
	})
	t.Run("clickhouse", func(t *testing.T) {
		node := clickhousetest.Start(t, clickhousetest.Options{Nodes: 2}).Nodes[0]
		run(t, node.DSN(node.Database(t))+"?cluster=midwatch", node.DSN(node.Database(t)))
	})
}

// midwatch is a process of the program: the test's own binary under its name.
func midwatch(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// What a killed process leaves in the temporary folder goes with the test's.
	return &exec.Cmd{Path: self, Args: append([]string{"midwatch"}, args...), Env: append(os.Environ(), "TMPDIR="+t.TempDir())}
}

// tenantFiles writes the logs of a small organization.
func tenantFiles(t *testing.T) (files []string) {
	t.Helper()
	dir := t.TempDir()
	_, err := simulate.Run(t.Context(), dir, simulate.Options{Scenario: "mixed", Users: 100, Days: 20, Seed: 11}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	err = filepath.WalkDir(filepath.Join(dir, simulate.LogsDir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d MB", len(files), size/1e6)
	var mixed []string // large files lie side by side
	for i := range 5 {
		for k := i; k < len(files); k += 5 {
			mixed = append(mixed, files[k])
		}
	}
	return mixed
}

// tableSum is what a table holds, whatever the order.
type tableSum struct {
	Rows, IDs int64
	Sum       uint64
}

// contents sums up what a store holds. Ordinals of files are replaced by the
// files' paths: they differ, but must lead to the same place.
func contents(t *testing.T, spec string) map[string]tableSum {
	t.Helper()
	l, err := parseStore(spec)
	if err != nil {
		t.Fatal(err)
	}
	st, err := openStore(t.Context(), stdio{out: t.Output(), err: t.Output()}, l, toAsk, false, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // read only
	paths := map[string]string{}
	each(t, st, "SELECT file, path FROM files", func(row []string) { paths[row[0]] = row[1] })
	out := map[string]tableSum{}
	for table, cols := range map[string][]event.Column{"events": event.Columns(), "items": event.ItemColumns(), "rejects": event.RejectColumns(), "files": event.FileColumns()} {
		var sum tableSum
		var names []string
		file := -1
		for i, c := range cols {
			if c.Name == "file" {
				file = i
			}
			if c.Name != "manifest" { // the account has the ordinal too
				names = append(names, c.Name)
			}
		}
		each(t, st, "SELECT "+strings.Join(names, ", ")+" FROM "+table, func(row []string) {
			if file >= 0 {
				row[file] = paths[row[file]]
			}
			h := sha256.Sum256([]byte(strings.Join(row, "\x00")))
			sum.Sum += binary.LittleEndian.Uint64(h[:])
			sum.Rows++
		})
		if table == "events" {
			each(t, st, "SELECT count(DISTINCT id) FROM events", func(row []string) { _, _ = fmt.Sscan(row[0], &sum.IDs) })
		}
		if sum.Rows == 0 && table != "rejects" {
			t.Errorf("%s: table %s is empty", spec, table)
		}
		out[table] = sum
	}
	return out
}

// each calls fn with each row as text.
func each(t *testing.T, q store.Querier, query string, fn func(row []string)) {
	t.Helper()
	rows, err := q.Query(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, dest := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		row := make([]string, len(values))
		for i, v := range values {
			if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && !r.IsNil() {
				v = r.Elem().Interface()
			}
			row[i] = fmt.Sprint(v)
		}
		fn(row)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
