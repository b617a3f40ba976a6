package dialect

import (
	"strings"
	"testing"
	"time"
)

func TestClickHouse(t *testing.T) {
	at := time.Date(2024, 1, 12, 1, 2, 3, 456789000, time.UTC)
	for _, c := range []struct {
		in   string
		args []any
		want string
	}{
		{"SELECT lower(actor), regexp_replace(ip, '[.][0-9]+$', '') FROM events", nil, "SELECT lowerUTF8(actor), replaceRegexpOne(ip, '[.][0-9]+$', '') FROM events"},
		{`SELECT '\1', 'it''s', 'a\'`, nil, `SELECT '\\1', 'it\'s', 'a\\'`},
		{"SELECT 1 WHERE x = ?", []any{`\' OR 1=1 --`}, `SELECT 1 WHERE x = '\\\' OR 1=1 --'`},
		{"SELECT ?, ?, ?, ?, ?, ?", []any{1, int64(-2), true, nil, 1.5, at}, "SELECT 1, -2, true, NULL, 1.5, toDateTime64('2024-01-12 01:02:03.456789', 6, 'UTC')"},
		{"SELECT CAST(id AS VARCHAR), CAST((CAST(a AS BIGINT) + 1) AS DOUBLE)", nil, "SELECT CAST(id AS String), CAST((CAST(a AS Int64) + 1) AS Float64)"},
		{"SELECT x::UUID, max(y) AS date", nil, "SELECT x::String, max(y) AS date"},
		{"SELECT TIMESTAMP '2024-01-12 00:00:00'", nil, "SELECT  toDateTime64('2024-01-12 00:00:00', 6, 'UTC')"},
		{"WITH a AS (SELECT 1) SELECT count(*) FILTER (WHERE b IN (1, 2)) FROM a", nil, "WITH a AS (SELECT 1) SELECT count(*) FILTER (WHERE b IN (1, 2)) FROM a"},
		{"SELECT a -- what ' it is\n, b /* and ? this */ FROM c", nil, "SELECT a   , b   FROM c"},
		{"SELECT \"from\" FROM c", nil, "SELECT \"from\" FROM c"},
	} {
		got, err := ClickHouse(c.in, c.args...)
		if err != nil || got != c.want {
			t.Errorf("%s\ngot  %s, %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for in, why := range map[string]string{
		"SELECT flags & 2":               "&",
		"SELECT sleep(3)":                "sleep",
		"SELECT CAST(x AS HUGEINT)":      "HUGEINT",
		"SELECT 1; DROP TABLE events":    "one statement",
		"SELECT 'open":                   "does not end",
		"SELECT /* open":                 "does not end",
		"SELECT (1":                      "parentheses",
		"SELECT `a`":                     "not in the notation",
		`SELECT "a\"`:                    "backslash",
		"SELECT list[1]":                 "[",
		"SELECT raw->>'$.a'":             "->>",
		"SELECT url('http://x')":         "url",
		"SELECT * FROM file('/etc/x')":   "file",
		"SELECT * FROM remote('x', y.z)": "remote",
	} {
		if _, err := ClickHouse(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v; want an error about %s", in, err, why)
		}
		if err := Check(in); err == nil {
			t.Errorf("%s passes Check", in)
		}
	}
	if _, err := ClickHouse("SELECT ?"); err == nil {
		t.Error("a question with too few arguments went through")
	}
	if _, err := ClickHouse("SELECT 1", 2); err == nil {
		t.Error("a question with too many arguments went through")
	}
	if _, err := ClickHouse("SELECT ?", struct{}{}); err == nil {
		t.Error("an argument of a type of its own went through")
	}
}

func TestLocal(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1 FROM events e LEFT JOIN items i ON i.event = e.id WHERE x":  "SELECT 1 FROM events e LEFT JOIN items_local i ON i.event = e.id WHERE x",
		"SELECT 1 FROM events e JOIN items i ON e.id = i.event":               "SELECT 1 FROM events e JOIN items_local i ON e.id = i.event",
		"SELECT 1 FROM (SELECT * FROM events) e JOIN items i ON i.event=e.id": "",
		"SELECT 1 FROM items i JOIN events e ON e.id = i.event":               "",
		"SELECT 1 FROM events e JOIN items i ON i.message_id = e.message_id":  "",
		"SELECT 'FROM events e JOIN items i ON i.event = e.id' FROM events":   "",
	} {
		if want == "" {
			want = in
		}
		if got := Local(in, "items_local"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// unquote reads a ClickHouse literal at the beginning of s as the server does,
// and returns what is behind it.
func unquote(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\'':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
			if s[i] == '0' {
				b.WriteByte(0)
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// No text ends its literal, whether it is written into a question or given as
// an argument.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "'", `\`, `\'`, `'' OR 1=1 --`, "\x00", "a\\", "日本", `\x27`, "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, q := range []struct {
			in   string
			args []any
		}{{"SELECT ?, 1", []any{s}}, {"SELECT '" + strings.ReplaceAll(s, "'", "''") + "', 1", nil}} {
			out, err := ClickHouse(q.in, q.args...)
			if err != nil {
				t.Fatalf("%q: %v", q.in, err)
			}
			value, rest, ok := unquote(strings.TrimPrefix(out, "SELECT "))
			if !ok || value != s || rest != ", 1" {
				t.Fatalf("%q became %s: %q, then %q", s, out, value, rest)
			}
		}
	})
}

// Whatever a question is, it is translated or refused, and what Check lets pass
// is translated.
func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"SELECT CAST(a AS VARCHAR) FROM b", "SELECT '", "TIMESTAMP 'x'", "((", "))", "a::UUID", "CAST(", "?", "WITH a AS (SELECT 1)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = Local(s, "items_local")
		checked := Check(s)
		_, err := ClickHouse(s)
		if err == nil && checked != nil {
			t.Fatalf("%q is translated and does not pass Check: %v", s, checked)
		}
		if strings.Contains(s, ";") && !strings.ContainsAny(s, `'"-/`) && err == nil {
			t.Fatalf("%q is two statements", s)
		}
	})
}
