package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"midwatch/simulate"
)

// input is something to read, and what is known besides.
type input struct {
	name, path, asn string
	bytes           int64
}

// simulated makes an organization with the incident in it.
func simulated(ctx context.Context, o options, name string, users int, so simulate.Options) (input, error) {
	dir := filepath.Join(o.dir, name)
	so.Scenario, so.Users, so.Days = "midnight", users, o.days
	if so.Seed == 0 {
		so.Seed = 7
	}
	res, err := simulate.Run(ctx, dir, so, nil)
	if err != nil {
		return input{}, err
	}
	return input{fmt.Sprintf("simulated organization, %d people × %d days", users, o.days), filepath.Join(dir, simulate.LogsDir), filepath.Join(dir, simulate.ContextDir, "asn.csv"), res.Bytes}, nil
}

// diskPart measures what stores take for each record, with the records' bytes
// and without. A server is measured as its own merges leave it, and merged to
// one part a month, which is where a table that is no longer written to goes.
func diskPart(ctx context.Context, o options) error {
	file, size, err := inputFile(o)
	if err != nil {
		return err
	}
	sim, err := simulated(ctx, o, "organization", o.users, simulate.Options{})
	if err != nil {
		return err
	}
	engine := engineThere()
	fmt.Println("| input | bytes a record | raw | DuckDB, bytes a record | ClickHouse | parts | one part a month |")
	fmt.Println("|---|---:|---|---:|---:|---:|---:|")
	for _, in := range []input{{name: "audit records repeated with new ids", path: file, bytes: size}, sim} {
		for _, noRaw := range []bool{false, true} {
			if err := disk(ctx, o, in, noRaw, engine); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(filepath.Join(o.dir, "organization"))
}

func disk(ctx context.Context, o options, in input, noRaw, engine bool) error {
	j := job{Do: "ingest", In: in.path, ASN: in.asn, NoRaw: noRaw, Store: filepath.Join(o.dir, "disk.duckdb")}
	defer os.Remove(j.Store)
	r, err := spawn(ctx, o, j)
	if err != nil {
		return err
	}
	info, err := os.Stat(j.Store)
	if err != nil {
		return err
	}
	each := func(n int64) float64 { return float64(n) / float64(r.Events) }
	click := " | | "
	if engine {
		d, err := diskOfServer(ctx, o, j)
		if err != nil {
			return err
		}
		if d.Events != r.Events {
			return fmt.Errorf("DuckDB stored %d events, ClickHouse %d", r.Events, d.Events)
		}
		click = fmt.Sprintf("%.0f | %d | %.0f", each(d.Stored), d.parts, each(d.whole))
	}
	raw := "kept"
	if noRaw {
		raw = "left out"
	}
	fmt.Printf("| %s | %.0f | %s | %.0f | %s |\n", in.name, each(in.bytes), raw, each(info.Size()), click)
	return nil
}

// diskTaken is a load and what it takes on a server's disk.
type diskTaken struct {
	taken
	parts, whole int64 // how many parts there are; bytes when there is one a month
}

func diskOfServer(ctx context.Context, o options, j job) (d diskTaken, err error) {
	s, err := launch(ctx, o, 1)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	j.Store = s.url()
	if d.taken, err = s.take(ctx, o, j); err != nil {
		return d, err
	}
	if _, d.parts, err = s.stored(ctx); err != nil {
		return d, err
	}
	if err = s.optimize(ctx); err != nil {
		return d, err
	}
	d.whole, _, err = s.stored(ctx)
	return d, err
}
