package engines

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/detect"
	"midwatch/ingest"
	"midwatch/investigate"
	"midwatch/store"
	"midwatch/store/dialect"
	"midwatch/store/storetest"

	"midwatch/event"
)

// expressions has at least one for every function of the notation, over the
// five events of notationStore, and for what else the notation says.
func expressions() []string {
	return []string{
		"count(*)", "count(subject)", "count(DISTINCT actor)", "sum(item_count)", "sum(CAST(subject AS BIGINT))", "min(time)", "max(actor)", "min(CASE WHEN line > 99 THEN time END)", "avg(item_count)",
		"arg_min(actor, time)", "arg_max(actor, time)", "approx_count_distinct(actor)", "any_value(source)", "length(array_text)",
		"round(stddev_samp(line), 6)", "round(var_samp(line), 6)",
		"max(coalesce(subject, 'none'))", "max(nullif(source, 'ual'))", "max(greatest(line, 3))", "max(least(line, 3))", "max(abs(0 - line))", "max(round(line / 3, 3))", "max(floor(line / 2))", "max(ceil(line / 2))",
		"round(max(ln(line)), 9)", "round(max(exp(line)), 6)", "round(max(sqrt(line)), 9)", "round(max(power(line, 2)), 6)",
		"max(lower(target))", "max(length(target))", "max(substr(target, 2, 3))", "max(replace(target, 'ä', '+'))", "max(trim('  x '))",
		"max(rtrim(ip, '0123456789'))", "max(CASE WHEN starts_with(actor, 'user1') THEN actor END)", "max(regexp_replace(actor, '(e)', '<\\1>'))", "max(regexp_replace(ip, '^([0-9]+)[.].*$', '\\1'))", "max(regexp_extract(actor, '@([^ @]+)', 1))", "max(regexp_extract(actor, 'zzz(.)', 1))",
		"max(CASE WHEN regexp_matches(actor, '^user[12]@') THEN actor END)", "max(strpos(target, 'ß'))", "max(concat(actor, '!', source))", "max(actor || '!')",
		"min(date_trunc('hour', time))", "max(epoch_us(time))", "max(CAST(time AS DATE))", "max(time - INTERVAL 3 DAY)", "max(time + INTERVAL 90 MINUTE)", "max(CASE WHEN time > TIMESTAMP '2023-11-14 22:13:22' THEN line END)",
		"max(json_extract_string(detail, '$.a'))", "max(json_extract_string(detail, '$.nothing'))", "max(json_extract_string(detail, '$.b.c'))", "max(json_extract_string(coalesce(subject, detail), '$.a'))", "max(json_extract_string(subject, '$.a'))",
		"count(CASE WHEN json_valid(detail) THEN 1 END)", "count(CASE WHEN json_valid('{\"a\":01}') OR json_valid(subject) THEN 1 END)",
		"max(CAST(line AS VARCHAR))", "max(CAST('7' AS INTEGER) + 1)", "max(CAST(line AS DOUBLE) / 2)", "max(line::VARCHAR)", "count(CASE WHEN id = CAST(id AS VARCHAR)::UUID THEN 1 END)", "max(CAST(throttled AS BOOLEAN))",
		"count(*) FILTER (WHERE line > 2)", "max(time) FILTER (WHERE line > 99)", "count(CASE WHEN (flags % 4) >= 2 THEN 1 END)",
		"count(CASE WHEN subject NOT IN ('x') THEN 1 END)", "count(CASE WHEN target LIKE '%ß%' THEN 1 END)", "count(CASE WHEN actor IN ('user1@x.example', 'it''s \\') THEN 1 END)",
	}
}

// windows are questions of the kinds that are not one expression.
func windows() []string {
	return []string{
		"SELECT line, row_number() OVER (ORDER BY time, id), rank() OVER (ORDER BY source), dense_rank() OVER (ORDER BY source), lag(time) OVER (ORDER BY time), lead(time, 2) OVER (ORDER BY time), first_value(actor) OVER (ORDER BY time), last_value(actor) OVER (ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM events",
		"SELECT line, count(*) OVER (ORDER BY CAST(floor(epoch_us(time) / 1000000) AS BIGINT) RANGE BETWEEN 2 PRECEDING AND CURRENT ROW) FROM events",
		"SELECT a.line, b.subject, b.line FROM events a LEFT JOIN (SELECT * FROM events WHERE line < 3) b ON b.line = a.line",
		"SELECT coalesce(subject, '') AS subject, count(*) FROM events WHERE subject IS NULL GROUP BY subject",
		"WITH x AS (SELECT actor, line FROM events WHERE line < 4) SELECT * FROM x WHERE line NOT IN (SELECT line FROM x WHERE line = 2)",
		"SELECT line FROM events WHERE (source, line) IN (SELECT source, line FROM events WHERE line > 3)",
		"SELECT source FROM events UNION SELECT source FROM events",
		"SELECT CAST(id AS VARCHAR) FROM events ORDER BY id LIMIT 2",
		"SELECT subject FROM events ORDER BY subject DESC, line LIMIT 2",
	}
}

func notationStore(t *testing.T, st store.Store) store.Store {
	t.Helper()
	b := &event.Batch{}
	for n := range 5 {
		e := storetest.Event(n)
		e.Target, e.Detail = "Äußerst "+fmt.Sprint(n), `{"a":"x","b":{"c":"y z"}}`
		if e.Subject = ""; n == 1 {
			e.Subject = "17"
		}
		b.Events = append(b.Events, e)
	}
	l, err := st.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st
}

// Every function and construct of the notation means the same everywhere.
func TestNotation(t *testing.T) {
	duck := notationStore(t, openDuckDB(t))
	others := map[string]store.Store{"one node": notationStore(t, openClickHouse(t, false)), "two shards": notationStore(t, openClickHouse(t, true))}
	var questions []string
	for _, x := range expressions() {
		if x == "length(array_text)" { // a list has no order: its length is what can be compared
			questions = append(questions, "SELECT count(*) FROM (SELECT list(actor) AS l FROM events GROUP BY source) x")
			continue
		}
		questions = append(questions, "SELECT "+x+" FROM events")
	}
	questions = append(questions, windows()...)
	all := strings.Join(questions, "\n")
	for f := range dialect.Functions() {
		if !strings.Contains(all, f+"(") {
			t.Errorf("function %s of the notation is not tried here", f)
		}
	}
	for _, q := range questions {
		want := plain(answer(t, duck, q))
		for name, st := range others {
			if d := cmp.Diff(want, plain(answer(t, st, q))); d != "" {
				t.Errorf("%s\n(-duckdb +%s)\n%s", q, name, d)
			}
		}
	}
}

// plain makes numbers look alike: an engine may give 2 where another gives 2.0,
// and a date as a time.
func plain(rows []string) []string {
	out := slices.Clone(rows)
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], ".000000 ", " ")
	}
	return out
}

// checked refuses questions that do not keep to the notation.
type checked struct{ store.Querier }

func (c checked) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if _, err := dialect.ClickHouse(query, args...); err != nil {
		return nil, err
	}
	return c.Querier.Query(ctx, query, args...)
}

// What the detectors and the investigation ask keeps to the notation.
func TestQuestionsKeepToTheNotation(t *testing.T) {
	st := openDuckDB(t)
	res, err := ingest.Run(t.Context(), st, []string{filepath.Join("..", "..", "testdata", "demo")}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := detect.Run(t.Context(), checked{st}, detect.All(detect.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := investigate.Investigate(t.Context(), checked{st}, found.Findings, investigate.Options{Sources: res.Sources, Assessed: found.Assessed, NotAssessed: found.NotAssessed}); err != nil {
		t.Fatal(err)
	}
	if len(found.Findings) == 0 {
		t.Error("nothing was found: few questions were asked")
	}
}
