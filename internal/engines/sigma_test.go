package engines

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"midwatch/sigma"
	"midwatch/store/dialect"
)

// The tests of this file hold the SQL of Sigma rules against what the rules
// mean in memory: the same made-up rules, asked of the same made-up records.

// made is a made-up record. A nil column is NULL.
type made struct {
	id    int
	time  time.Time
	cols  map[string]*string
	pHere bool // field p is there, be it null
}

// The columns of the records; field c has the values of two.
var madeColumns = []string{"a", "b", "c1", "c2", "n", "ip", "d", "p"}

func (m made) record(field string) ([]any, bool) {
	var out []any
	add := func(col string) {
		if v := m.cols[col]; v != nil {
			out = append(out, *v)
		}
	}
	switch field {
	case "":
		add("a")
	case "c":
		add("c1")
		add("c2")
	case "p":
		add("p")
		return out, m.pHere
	default:
		add(field)
	}
	return out, len(out) > 0
}

// madeSchema is where they are in the table.
type madeSchema struct{}

func (madeSchema) Source(sigma.LogSource) (string, error) { return "id >= 0", nil }

func (madeSchema) Field(_ sigma.LogSource, name string) (sigma.Field, error) {
	one := func(v sigma.Value) (sigma.Field, error) { return sigma.Field{Values: []sigma.Value{v}}, nil }
	switch name {
	case "":
		return one(sigma.Value{Text: "a"})
	case "b":
		return one(sigma.Value{Text: "b", Folded: "lower(b)"})
	case "c":
		return sigma.Field{Values: []sigma.Value{{Text: "c1"}, {Text: "c2"}}}, nil
	case "p":
		return sigma.Field{Values: []sigma.Value{{Text: "p"}}, Present: "p_here = 1"}, nil
	case "a", "n", "ip", "d":
		return one(sigma.Value{Text: name})
	}
	return sigma.Field{}, fmt.Errorf("no field %s", name)
}

// table is the records as a SELECT in the notation.
func table(records []made) string {
	var b strings.Builder
	for i, m := range records {
		if i > 0 {
			b.WriteString("\nUNION ALL ")
		}
		fmt.Fprintf(&b, "SELECT %d AS id, TIMESTAMP '%s' AS time, %d AS p_here", m.id, m.time.Format("2006-01-02 15:04:05.000000"), map[bool]int{true: 1}[m.pHere])
		for _, c := range madeColumns {
			if v := m.cols[c]; v != nil {
				fmt.Fprintf(&b, ", CAST('%s' AS VARCHAR) AS %s", strings.ReplaceAll(*v, "'", "''"), c)
			} else {
				fmt.Fprintf(&b, ", CAST(NULL AS VARCHAR) AS %s", c)
			}
		}
	}
	return b.String()
}

// maker makes things up.
type maker struct{ *rand.Rand }

func pick[T any](m maker, of ...T) T { return of[m.IntN(len(of))] }

// text has what is special in rules, LIKE, regular expressions and SQL.
func (m maker) text(n int) string {
	var b strings.Builder
	for range m.IntN(n + 1) {
		b.WriteString(pick(m, "a", "A", "b", "B", "é", "É", "Ж", "ß", "%", "_", `\`, "'", `"`, "*", "?", "-", "–", "/", "\n", ".", "[", "]", "(", ")", "^", "$", "|", "+", "{", " ", "1"))
	}
	return b.String()
}

func (m maker) address() string {
	switch m.IntN(3) {
	case 0:
		return fmt.Sprintf("%d.%d.%d.%d", pick(m, 10, 192, 255, 0), pick(m, 0, 16, 31, 255, 300), m.IntN(256), m.IntN(256))
	case 1: // any spelling, most of them wrong
		var b strings.Builder
		for range m.IntN(12) {
			b.WriteString(pick(m, ":", ":", "::", "0", "2001", "db8", "DB8", "f", "00a1", ":0", "12345"))
		}
		return b.String()
	}
	var g []string
	for range pick(m, 1, 2, 3, 4, 5, 6, 7, 8, 8) {
		g = append(g, pick(m, "0", "0000", "2001", "db8", "0DB8", "8000", "1", "ffff", "7"))
	}
	s := strings.Join(g, ":")
	if len(g) < 8 || m.IntN(4) == 0 {
		at := m.IntN(len(g) + 1)
		s = strings.Join(g[:at], ":") + "::" + strings.Join(g[at:], ":")
	}
	return s
}

func (m maker) network() string {
	return pick(m, "10.0.0.0/8", "10.16.0.0/12", "0.0.0.0/0", "10.31.0.0/17", "192.0.0.0/5", "::/0", "2001:db8::/32", "2001:db8::/29", "2000::/3", "::/1", "::/127", "0:0:1::/49", "2001:db8:8000::/33", "::1", "7:0:0:8000::/50", "2001:0:db8::/47")
}

func (m maker) records(n int) []made {
	begin := time.Date(2024, 1, 12, 3, 0, 0, 0, time.UTC)
	var out []made
	for i := range n {
		r := made{id: i, cols: map[string]*string{}, time: begin.Add(time.Duration(m.IntN(600_000)) * time.Millisecond)}
		set := func(col, v string) {
			if m.IntN(5) > 0 {
				r.cols[col] = &v
			}
		}
		for _, c := range []string{"a", "b", "c1", "c2"} {
			set(c, m.text(5))
		}
		if m.IntN(4) == 0 && r.cols["a"] != nil {
			up := strings.ToUpper(*r.cols["a"])
			r.cols["b"] = &up
		}
		set("n", pick(m, "0", "1", "5", "5.0", "-5", "5.25", "123456789012345", "1234567890123456", "x", "", "1e3", "+1", "5."))
		set("ip", m.address())
		set("d", pick(m, "2024-01-12T03:15:00Z", "2024-01-12 23:45:10", "2023-12-31T00:00", "2023-12-31", "x", "12/31/2023 10:00"))
		set("p", m.text(1))
		r.pHere = r.cols["p"] != nil || m.IntN(2) == 0
		out = append(out, r)
	}
	return out
}

// item makes a field with modifiers and values, as YAML.
func (m maker) item(records []made) string {
	field := pick(m, "a", "b", "c", "p")
	value := func() string { // often something that a record has
		s := m.text(3)
		if v := pick(m, records...).cols[pick(m, "a", "b", "c1", "c2", "p")]; v != nil && m.IntN(3) > 0 {
			s = *v
			if m.IntN(2) == 0 {
				s = strings.ToLower(s)
			}
			if rs := []rune(s); len(rs) > 1 && m.IntN(2) == 0 {
				at := m.IntN(len(rs))
				rs[at] = pick(m, '*', '?')
				s = string(rs)
			}
		}
		j, _ := json.Marshal(s)
		return string(j)
	}
	switch m.IntN(14) {
	case 0:
		return field + ": null"
	case 1:
		return field + "|exists: " + pick(m, "true", "false")
	case 2:
		return "n" + pick(m, "|gt", "|gte", "|lt", "|lte", "") + ": " + pick(m, "0", "5", "-5", "5.25", "5.0", "123456789012345")
	case 3:
		return "ip|cidr: '" + m.network() + "'"
	case 4:
		return "ip|cidr|neq: ['" + m.network() + "', '" + m.network() + "']"
	case 5:
		return "d|" + pick(m, "minute", "hour", "day", "month", "year") + pick(m, "", "|gt", "|lte") + ": " + pick(m, "0", "3", "12", "15", "45", "2024")
	case 6:
		return field + "|fieldref" + pick(m, "", "|cased", "|neq") + ": " + pick(m, "a", "b", "c")
	case 7:
		return field + "|re" + pick(m, "", "|i", "|s", "|m", "|i|s") + ": " + pick(m, "'a.b'", "'^a'", "'B$'", "'[ab]+.'", "'(a|é)b?'", "'.'", `'\\'`, "''''", "'^$'", `'\w\s'`, "'É'", "'a{2}'", "'^.{3}$'")
	case 8:
		return field + "|windash" + pick(m, "", "|contains", "|endswith") + ": " + value()
	}
	mods := pick(m, "", "", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|neq", "|contains|neq")
	n := pick(m, 1, 1, 2, 3)
	if n > 1 && m.IntN(3) == 0 && !strings.Contains(mods, "neq") {
		mods += "|all"
	}
	var vs []string
	for range n {
		vs = append(vs, value())
	}
	if n == 1 {
		return field + mods + ": " + vs[0]
	}
	return field + mods + ": [" + strings.Join(vs, ", ") + "]"
}

func (m maker) rule(records []made) string {
	var b strings.Builder
	b.WriteString("title: t\nlogsource: {product: made}\ndetection:\n")
	names := []string{"s1", "s2", "f1"}
	for _, n := range names {
		fmt.Fprintf(&b, "  %s:\n", n)
		switch m.IntN(6) {
		case 0:
			j, _ := json.Marshal(m.text(2))
			fmt.Fprintf(&b, "  - %s\n  - %s\n", j, m.item(records))
		case 1:
			fmt.Fprintf(&b, "  - %s\n  - %s\n", m.item(records), m.item(records))
		case 2:
			x, y := m.item(records), m.item(records)
			kx, _, _ := strings.Cut(x, ":")
			ky, _, _ := strings.Cut(y, ":")
			fmt.Fprintf(&b, "    %s\n", x)
			if kx != ky {
				fmt.Fprintf(&b, "    %s\n", y)
			}
		default:
			fmt.Fprintf(&b, "    %s\n", m.item(records))
		}
	}
	fmt.Fprintf(&b, "  condition: %s\n", pick(m, "s1", "not s1", "s1 and not f1", "1 of s* and not 1 of f*", "all of them", "1 of them", "not (s1 or not s2)", "s1 or s2 and f1", "not all of s*"))
	return b.String()
}

// asker asks an engine a question about records, given as the SELECT of table.
type asker func(ctx context.Context, records, query string) (*sql.Rows, error)

func duck(t *testing.T) asker {
	t.Helper()
	c, err := duckdb.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() { _ = db.Close() })
	return func(ctx context.Context, records, query string) (*sql.Rows, error) {
		// A table, because the optimizer would copy the question into each SELECT of the union.
		if _, err := db.ExecContext(ctx, "CREATE OR REPLACE TABLE events AS "+records); err != nil {
			return nil, err
		}
		return db.QueryContext(ctx, query)
	}
}

func clickHouse(t *testing.T) asker {
	t.Helper()
	st := openClickHouse(t, false)
	return func(ctx context.Context, records, query string) (*sql.Rows, error) {
		return st.Query(ctx, "WITH events AS ("+records+")\n"+query)
	}
}

func parseRules(t *testing.T, texts []string) []*sigma.Rule {
	t.Helper()
	var rules []*sigma.Rule
	for _, text := range texts {
		docs, err := sigma.Parse("made.yml", []byte(text), sigma.Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		rules = append(rules, docs[0].Rule)
	}
	return rules
}

// differ asks rules of records in both ways.
func differ(t *testing.T, ask asker, texts []string, rules []*sigma.Rule, records []made) (matches int) {
	t.Helper()
	query, err := sigma.Select(rules, madeSchema{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dialect.Check(query); err != nil {
		t.Fatal(err)
	}
	rows, err := ask(t.Context(), table(records), query)
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, query)
	}
	defer func() { _ = rows.Close() }()
	got := make([]string, len(records))
	for rows.Next() {
		var id int
		var at time.Time
		var hits string
		if err := rows.Scan(&id, &at, &hits); err != nil {
			t.Fatal(err)
		}
		got[id] = hits
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for i, rec := range records {
		has := map[string]bool{}
		for _, h := range strings.Fields(got[i]) {
			has[h] = true
		}
		for j, r := range rules {
			want := r.Match(rec.record)
			if want {
				matches++
			}
			if has[fmt.Sprint(j)] != want {
				_, where, _ := sigma.Where(r, madeSchema{})
				var cols []string
				for _, c := range madeColumns {
					if v := rec.cols[c]; v != nil {
						cols = append(cols, fmt.Sprintf("%s=%q", c, *v))
					}
				}
				t.Errorf("in memory %v, in SQL %v\n%s%v\n%s", want, !want, texts[j], cols, where)
				if t.Failed() {
					return matches
				}
			}
		}
	}
	return matches
}

// The SQL of rules finds what the rules mean. 1,500 rules, each over 60 records.
func TestSigmaAgrees(t *testing.T) {
	run := func(t *testing.T, ask asker, rounds, each, n int) {
		matches := 0
		for seed := range rounds {
			m := maker{rand.New(rand.NewPCG(5, uint64(seed)))}
			records := m.records(n)
			var texts []string
			for range each {
				texts = append(texts, m.rule(records))
			}
			matches += differ(t, ask, texts, parseRules(t, texts), records)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		all := rounds * each * n
		t.Logf("%d comparisons, %d matches", all, matches)
		if matches < all/20 || matches > all*19/20 {
			t.Errorf("%d of %d comparisons are matches: the test has lost its edge", matches, all)
		}
	}
	t.Run("duckdb", func(t *testing.T) { run(t, duck(t), 30, 50, 60) })
	t.Run("clickhouse", func(t *testing.T) { run(t, clickHouse(t), 6, 12, 25) })
}

// correlation makes three rules, a correlation of them and, at times, one of
// that correlation.
func (m maker) correlation() string {
	rule := func(name, a string) string {
		return fmt.Sprintf("---\ntitle: %s\nname: %s\nlogsource: {product: made}\ndetection: {s: {a: %s}, condition: s}\n", name, name, a)
	}
	group := pick(m, "[b]", "[b]", "[b, c]", "[]", "[g]")
	alias := ""
	if group == "[g]" {
		alias = "    aliases: {g: {x: b, y: c}}\n"
		group = "[g]"
	}
	span := pick(m, "1s", "5s", "20s", "1m", "10m")
	condition := func(count int) string {
		return fmt.Sprintf("%s: %d", pick(m, "gte", "gt", "eq", "neq", "lt", "lte"), 1+m.IntN(count))
	}
	if m.IntN(4) == 0 {
		condition = func(count int) string { return fmt.Sprintf("gte: %d, lte: %d", 1+m.IntN(2), 2+m.IntN(count)) }
	}
	var b strings.Builder
	of := func(name, kind, rules, group, extra string) {
		fmt.Fprintf(&b, "---\ntitle: %s\nname: %s\ncorrelation:\n    type: %s\n    rules: %s\n    group-by: %s\n    timespan: %s\n%s", name, name, kind, rules, group, span, extra)
	}
	rules := "[x, y]"
	switch kind := pick(m, "event_count", "value_count", "temporal", "temporal_ordered"); kind {
	case "event_count":
		of("k", kind, rules, group, alias+"    condition: {"+condition(4)+"}\n")
	case "value_count":
		of("k", kind, rules, group, alias+"    condition: {field: "+pick(m, "c", "[c, n]")+", "+condition(3)+"}\n")
	case "temporal":
		extra := alias
		if m.IntN(2) == 0 {
			extra += "    condition: {" + condition(2) + "}\n"
		}
		if alias == "" && m.IntN(2) == 0 {
			rules = "[x, y, z]"
		}
		of("k", kind, rules, group, extra)
	default:
		if alias == "" && m.IntN(2) == 0 {
			rules = "[x, y, z]"
		}
		of("k", kind, rules, group, alias)
	}
	if alias == "" && m.IntN(3) == 0 {
		outer := pick(m, "temporal", "temporal_ordered", "event_count")
		extra := ""
		if outer == "event_count" {
			extra = "    condition: {" + condition(4) + "}\n"
		}
		if group == "[b, c]" {
			group = pick(m, "[b]", "[c]", "[c, b]")
		}
		of("o", outer, pick(m, "[k, z]", "[z, k]"), group, extra)
	}
	return b.String() + rule("x", "'1*'") + rule("y", "['1', '2*']") + rule("z", "'*3'")
}

// The SQL of correlations finds what they mean: in the same windows, with the
// same counts and groups.
func TestSigmaCorrelationsAgree(t *testing.T) {
	run := func(t *testing.T, ask asker, rounds int) {
		found := 0
		for seed := range rounds {
			m := maker{rand.New(rand.NewPCG(6, uint64(seed)))}
			records := m.records(m.IntN(40) + 2)
			begin := records[0].time
			for i := range records {
				r := &records[i]
				r.time = begin.Add(time.Duration(m.IntN(40)) * time.Duration(pick(m, 1, 250, 1000, 1000)) * time.Millisecond)
				v := pick(m, "1", "13", "2", "23", "3", "4")
				r.cols["a"] = &v
				for _, c := range []string{"b", "c1"} {
					v := pick(m, "u", "U", "v")
					if m.IntN(8) > 0 {
						r.cols[c] = &v
					} else {
						r.cols[c] = nil
					}
				}
			}
			text := m.correlation()
			docs, err := sigma.Parse("made.yml", []byte(text), sigma.Options{})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			set, err := sigma.Link(docs)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			c := set.Correlations[0]
			query, err := sigma.Query(c, madeSchema{})
			if err != nil {
				t.Fatal(err)
			}
			if err := dialect.Check(query); err != nil {
				t.Fatalf("%v\n%s", err, query)
			}
			var events []sigma.Event
			for _, r := range records {
				events = append(events, sigma.Event{ID: fmt.Sprint(r.id), Time: r.time, Record: r.record})
			}
			var want []string
			for _, h := range c.Find(events) {
				want = append(want, fmt.Sprintln(h.ID, h.Time.Format("15:04:05.000000"), h.Count, h.Group))
			}
			rows, err := ask(t.Context(), table(records), query)
			if err != nil {
				t.Fatalf("%v\n%s", err, query)
			}
			var got []string
			for rows.Next() {
				var id string
				var at time.Time
				var n int64
				group := make([]string, len(c.GroupBy))
				dest := []any{&id, &at, &n}
				for i := range group {
					dest = append(dest, &group[i])
				}
				if err := rows.Scan(dest...); err != nil {
					t.Fatal(err)
				}
				if len(group) == 0 {
					group = nil
				}
				got = append(got, fmt.Sprintln(id, at.UTC().Format("15:04:05.000000"), n, group))
			}
			if err := rows.Err(); err != nil {
				t.Fatalf("%v\n%s", err, query)
			}
			_ = rows.Close()
			sort.Strings(want)
			sort.Strings(got)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d\n%s\nin memory\n%v\nin SQL\n%v\n%s", seed, text, want, got, query)
			}
			if len(want) > 0 {
				found++
			}
		}
		t.Logf("%d of %d correlations found something", found, rounds)
		if found < rounds/3 {
			t.Errorf("%d of %d correlations found something: the test has lost its edge", found, rounds)
		}
	}
	t.Run("duckdb", func(t *testing.T) { run(t, duck(t), 300) })
	t.Run("clickhouse", func(t *testing.T) { run(t, clickHouse(t), 24) })
}
