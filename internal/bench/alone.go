package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a ClickHouse server does by itself with the same lines: the client only
// sends them.
const (
	aloneExtract = "clickhouse_extract"
	aloneTyped   = "clickhouse_typed"
)

// alone has a server that is new read the lines with one statement, into the
// columns that DuckDB reads them into.
func alone(ctx context.Context, o options, name, in string) (t taken, err error) {
	s, err := launch(ctx, o, 1)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	fields := strings.Join(columns(), " String, ") + " String"
	table, insert := fields, "INSERT INTO bench.t FORMAT JSONEachRow"
	if name == aloneExtract {
		table += ", json String"
		insert = "INSERT INTO bench.t SELECT x." + strings.Join(columns(), ", x.") + ", json FROM (SELECT JSONExtract(json, 'Tuple(" + fields + ")') AS x, json FROM input('json String')) FORMAT LineAsString"
	}
	for _, q := range []string{"CREATE DATABASE bench", "CREATE TABLE bench.t (" + table + ") ENGINE = MergeTree ORDER BY tuple()"} {
		if _, err := s.Nodes[0].Query(ctx, q); err != nil {
			return t, err
		}
	}
	if err := s.mark(); err != nil {
		return t, err
	}
	began := time.Now()
	if err := send(ctx, s.Nodes[0].HTTPAddr(), insert, in); err != nil {
		return t, err
	}
	t.Seconds = time.Since(began).Seconds()
	if t.Server, err = s.cpu(); err != nil {
		return t, err
	}
	n, err := s.Nodes[0].Query(ctx, "SELECT count() FROM bench.t WHERE Operation != '' AND CreationTime != ''")
	if err != nil {
		return t, err
	}
	if t.Records, err = strconv.ParseInt(n, 10, 64); err != nil || t.Records == 0 {
		return t, fmt.Errorf("%s stored %q rows: %w", name, n, err)
	}
	if err = s.settle(ctx); err != nil {
		return t, err
	}
	if t.ServerPeak, err = s.peak(); err != nil {
		return t, err
	}
	t.Stored, _, err = s.stored(ctx)
	return t, err
}

// send gives a file to a server as the data of a statement.
func send(ctx context.Context, addr, query, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	q := url.Values{"query": {query}, "input_format_skip_unknown_fields": {"1"}, "input_format_json_read_numbers_as_strings": {"1"}, "input_format_json_read_bools_as_strings": {"1"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/?"+q.Encode(), f)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the server says %s: %s", resp.Status, said)
	}
	return err
}
