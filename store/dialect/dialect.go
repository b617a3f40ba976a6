// Package dialect is the one place that knows in what the engines' SQL differs.
//
// A question is written once, in the notation of this package: the SQL that
// DuckDB and ClickHouse share, in DuckDB's spelling where they spell
// differently. DuckDB is given it as it stands; [ClickHouse] writes it as
// ClickHouse wants it. Translating the few tokens that differ, and not
// assembling each question from pieces, keeps a question readable, lets a case
// cite the same question whatever store it was asked of, and makes it
// impossible to quote a value by one engine's rules and send it to the other:
// DuckDB knows no backslash escapes, ClickHouse does, and the values are other
// people's text.
//
// What the notation holds besides plain SELECT, WITH, JOIN, GROUP BY, window
// functions, CASE, INTERVAL n UNIT and FILTER (WHERE …):
//
//   - the functions in the table of [Functions], and no others;
//   - CAST(x AS type) and x::type with VARCHAR, INTEGER, BIGINT, DOUBLE,
//     BOOLEAN, DATE, TIMESTAMP and UUID (ids are text in ClickHouse, whose own
//     UUIDs sort by their second half);
//   - TIMESTAMP '2024-01-12 00:00:00';
//   - ? for an argument: string, integer, float, bool, time.Time or nil.
//
// What it leaves out on purpose, with what to write instead:
//
//   - AS MATERIALIZED: DuckDB does it by itself, in ClickHouse 26.7 it is an
//     experiment that fails over shards;
//   - x & 4: (x % 8) >= 4, bit 4 of a number that is not negative;
//   - RANGE BETWEEN INTERVAL …: a range over CAST(floor(epoch_us(time) / 1000000) AS BIGINT), in seconds
//     (ClickHouse takes 32 bits);
//   - correlated subqueries: a join (ClickHouse refuses them over shards);
//   - lag() and lead() over an expression that cannot be NULL: ClickHouse fills
//     in its type's default where there is no row;
//   - min, max and sum of what cannot be NULL (id, source, line, …) where no row
//     may be: ClickHouse gives its type's default. (Its setting for that breaks
//     FILTER over shards, in version 26.7.)
//
// The rest of the difference is in settings that a ClickHouse store gives with
// each question ([Settings]): NULL, not a default, where an outer join finds
// nothing; columns before aliases; global subqueries over shards.
package dialect

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Functions lists the functions that questions may use and what ClickHouse
// calls them. DuckDB calls them by their name here.
func Functions() map[string]string {
	return map[string]string{
		// aggregates
		"count": "count", "sum": "sum", "min": "min", "max": "max", "avg": "avg",
		"arg_min": "argMin", "arg_max": "argMax", // the x of the row with the least or greatest y; ties are the engine's choice
		"list":                  "groupArray", // in no order
		"any_value":             "any",
		"approx_count_distinct": "uniq",
		"stddev_samp":           "stddevSamp", "var_samp": "varSamp",
		// windows
		"row_number": "row_number", "rank": "rank", "dense_rank": "dense_rank", "lag": "lag", "lead": "lead", "first_value": "first_value", "last_value": "last_value",
		// values
		"coalesce": "coalesce", "nullif": "nullIf", "greatest": "greatest", "least": "least",
		"abs": "abs", "round": "round", "floor": "floor", "ceil": "ceil", "ln": "log", "exp": "exp", "sqrt": "sqrt", "power": "pow",
		// text; lengths and positions count characters
		"lower": "lowerUTF8", "length": "lengthUTF8", "substr": "substringUTF8", "replace": "replaceAll", "trim": "trimBoth",
		"starts_with":    "startsWith",
		"rtrim":          "trimRight",        // with the characters to cut off
		"regexp_replace": "replaceRegexpOne", // the first match only; \1 in the replacement is the pattern's first group
		"regexp_extract": "regexpExtract",    // empty where nothing matches
		"regexp_matches": "match",
		"strpos":         "positionUTF8",
		"concat":         "concat",
		// time
		"date_trunc": "date_trunc", "epoch_us": "toUnixTimestamp64Micro",
		// the raw record, or column detail: json_extract_string(raw, '$.a.b'), NULL where there is nothing
		"json_extract_string": "JSON_VALUE",
		// whether a text is JSON by the letter; what is not, json_extract_string may fail on
		"json_valid": "isValidJSON",
	}
}

// types lists the types of casts.
func types() map[string]string {
	return map[string]string{
		"varchar": "String", "integer": "Int32", "bigint": "Int64", "double": "Float64", "boolean": "Bool",
		"date": "Date32", "timestamp": "DateTime64(6, 'UTC')", "uuid": "String",
	}
}

// words may stand before a parenthesis without being functions.
func words() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`select distinct from where and or not in as on using join inner left right full outer cross lateral group by having order limit offset
		union all intersect except case when then else end is null like ilike between exists over partition rows range filter with values interval
		cast true false asc desc nulls first last current row preceding following unbounded`) {
		m[w] = true
	}
	return m
}

// Settings are what a ClickHouse store gives with every question so that it
// means what it means in DuckDB.
func Settings() map[string]any {
	return map[string]any{
		"join_use_nulls":              1,        // a row that an outer join does not find is NULL, not a default
		"cast_keep_nullable":          1,        // CAST(NULL AS …) is NULL
		"prefer_column_name_to_alias": 1,        // coalesce(x, '') AS x does not change x elsewhere in the SELECT
		"distributed_product_mode":    "global", // subqueries over shards are run once and sent to each
		// ClickHouse 26.7 pushes a condition with NOT IN (subquery) into the parts
		// of a join that it sends to shards, and loses rows: internal/engines.
		"allow_push_predicate_ast_for_distributed_subqueries": 0,
		"union_default_mode":                             "DISTINCT",
		"function_json_value_return_type_allow_nullable": 1,
		"session_timezone":                               "UTC",
	}
}

// Check reports whether a question keeps to the notation.
func Check(query string) error {
	_, err := clickHouse(query, nil, false)
	return err
}

// ClickHouse writes a question for ClickHouse, with its arguments filled in as
// literals. It fails if the question does not keep to the notation.
func ClickHouse(query string, args ...any) (string, error) {
	return clickHouse(query, args, true)
}

func clickHouse(query string, args []any, fill bool) (string, error) {
	toks, err := tokens(query)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(len(query) + 64)
	functions, types, words := Functions(), types(), words()
	var casts []int // depths at which a CAST is open
	var docs []call // calls of JSON_VALUE that are open
	depth, used := 0, 0
	for i, t := range toks {
		switch t.kind {
		case space:
			b.WriteByte(' ')
		case text:
			if lastWord(toks[:i]) == "timestamp" {
				b.WriteString("toDateTime64(" + Quote(t.text) + ", 6, 'UTC')")
			} else {
				b.WriteString(Quote(t.text))
			}
		case argument:
			if !fill {
				b.WriteString("NULL")
				continue
			}
			if used >= len(args) {
				return "", fmt.Errorf("dialect: the question has more ? than its %d arguments", len(args))
			}
			lit, err := literal(args[used])
			if err != nil {
				return "", err
			}
			used++
			b.WriteString(lit)
		case word:
			low := strings.ToLower(t.text)
			next := following(toks, i)
			asType := i > 0 && (toks[i-1].kind == symbol && toks[i-1].text == "::" || len(casts) > 0 && lastWord(toks[:i]) == "as" && casts[len(casts)-1] == depth)
			switch {
			case asType:
				ch, ok := types[low]
				if !ok {
					return "", fmt.Errorf("dialect: type %s is not in the notation (package dialect)", t.text)
				}
				b.WriteString(ch)
			case low == "timestamp" && beforeText(toks, i):
				// written with the text
			case next == "(" && low == "cast":
				casts = append(casts, depth+1)
				b.WriteString("CAST")
			case next == "(" && !words[low]:
				ch, ok := functions[low]
				if !ok {
					return "", fmt.Errorf("dialect: function %s is not in the notation (package dialect)", t.text)
				}
				b.WriteString(ch)
				if low == "json_extract_string" {
					docs = append(docs, call{depth: depth + 1})
				}
			default:
				b.WriteString(t.text)
			}
		case symbol:
			switch t.text {
			case "(":
				depth++
				if n := len(docs); n > 0 && docs[n-1].depth == depth && docs[n-1].start == 0 {
					docs[n-1].start = b.Len() + 1
				}
			case ",":
				// With a document that may be NULL the answer never is: it is
				// empty where there is nothing.
				if n := len(docs); n > 0 && docs[n-1].depth == depth {
					whole := b.String()
					b.Reset()
					b.WriteString(whole[:docs[n-1].start] + "coalesce(" + whole[docs[n-1].start:] + ", '')")
					docs = docs[:n-1]
				}
			case ")":
				if n := len(docs); n > 0 && docs[n-1].depth == depth {
					return "", fmt.Errorf("dialect: json_extract_string has a document and a path")
				}
				if n := len(casts); n > 0 && casts[n-1] == depth {
					casts = casts[:n-1]
				}
				depth--
			case ";":
				return "", fmt.Errorf("dialect: a question is one statement")
			case "&", "|", "^", "~", "//", "==", "[", "]", "{", "}", "->", "->>":
				return "", fmt.Errorf("dialect: %s is not in the notation (package dialect)", t.text)
			}
			b.WriteString(t.text)
		}
	}
	if depth != 0 {
		return "", fmt.Errorf("dialect: parentheses do not match")
	}
	if fill && used != len(args) {
		return "", fmt.Errorf("dialect: the question uses %d of its %d arguments", used, len(args))
	}
	return b.String(), nil
}

// call is a function whose arguments are being written.
type call struct{ depth, start int }

// lastWord is the word before, in lower case, when nothing but space is between.
func lastWord(toks []token) string {
	for i := len(toks) - 1; i >= 0; i-- {
		switch toks[i].kind {
		case space:
			continue
		case word:
			return strings.ToLower(toks[i].text)
		}
		return ""
	}
	return ""
}

// following is the symbol after i, spaces skipped.
func following(toks []token, i int) string {
	for _, t := range toks[i+1:] {
		if t.kind == space {
			continue
		}
		if t.kind == symbol {
			return t.text
		}
		return ""
	}
	return ""
}

// Local makes joins of events with their items stay on the shards: both lie by
// the event's id, so that a shard's events have their items beside them. It
// replaces the table in
//
//	FROM events e [LEFT] JOIN items i ON i.event = e.id
//
// where the left side is the table itself: what a subquery gives is joined
// where the question was asked, with all items.
func Local(query, items string) string {
	if !strings.Contains(query, "items") {
		return query
	}
	toks, err := tokens(query)
	if err != nil {
		return query
	}
	var at []int // the tokens that are not space
	for i, t := range toks {
		if t.kind != space {
			at = append(at, i)
		}
	}
	is := func(k int, want ...string) bool {
		for j, w := range want {
			if k+j >= len(at) || w != "*" && !strings.EqualFold(toks[at[k+j]].text, w) {
				return false
			}
		}
		return true
	}
	changed := false
	for k := range at {
		if !is(k, "from", "events", "*") {
			continue
		}
		e, j := toks[at[k+2]].text, k+3
		if is(j, "left") || is(j, "inner") {
			j++
		}
		if !is(j, "join", "items", "*", "on") {
			continue
		}
		i := toks[at[j+2]].text
		if is(j+4, i, ".", "event", "=", e, ".", "id") || is(j+4, e, ".", "id", "=", i, ".", "event") {
			toks[at[j+1]].text = items
			changed = true
		}
	}
	if !changed {
		return query
	}
	return write(toks)
}

// write is the inverse of tokens.
func write(toks []token) string {
	var b strings.Builder
	for _, t := range toks {
		if t.kind == text {
			b.WriteString("'" + strings.ReplaceAll(t.text, "'", "''") + "'")
		} else {
			b.WriteString(t.text)
		}
	}
	return b.String()
}

// beforeText reports whether the next token is a text.
func beforeText(toks []token, i int) bool {
	for _, t := range toks[i+1:] {
		if t.kind != space {
			return t.kind == text
		}
	}
	return false
}

// Quote writes a string as a ClickHouse literal.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; c {
		case '\'', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case 0:
			b.WriteString(`\0`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// literal writes an argument.
func literal(a any) (string, error) {
	switch x := a.(type) {
	case nil:
		return "NULL", nil
	case string:
		return Quote(x), nil
	case bool:
		return strconv.FormatBool(x), nil
	case int:
		return strconv.Itoa(x), nil
	case int32:
		return strconv.FormatInt(int64(x), 10), nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case uint32:
		return strconv.FormatUint(uint64(x), 10), nil
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	case time.Time:
		return "toDateTime64('" + x.UTC().Format("2006-01-02 15:04:05.000000") + "', 6, 'UTC')", nil
	}
	return "", fmt.Errorf("dialect: an argument of type %T", a)
}
