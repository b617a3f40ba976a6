package sigma

import (
	"errors"
	"strings"
	"testing"
)

// columns is a schema in which fields are columns; folded is one that is only
// known in lower case, none does not exist.
type columns struct{}

func (columns) Source(ls LogSource) (string, error) {
	if ls.Product != "azure" {
		return "", errors.New("no such log")
	}
	return "source = 'x'", nil
}

func (columns) Field(_ LogSource, name string) (Field, error) {
	switch name {
	case "none":
		return Field{}, errors.New("the log has no field none")
	case "folded":
		return Field{Values: []Value{{Folded: "operation", Fold: func(s string, _, end bool) string {
			if s = strings.ToLower(s); end {
				s = strings.TrimSuffix(s, ".")
			}
			return s
		}}}}, nil
	case "two":
		return Field{Values: []Value{{Text: "x"}, {Text: "y"}}}, nil
	case "":
		name = "raw"
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return Field{}, errors.New("no such column")
	}
	return Field{Values: []Value{{Text: name}}}, nil
}

// What is written for what. That it finds the right records is for
// internal/engines to show, on the engines.
func TestWhere(t *testing.T) {
	for _, tt := range []struct{ item, want string }{
		{"a: X", "lower(a) = 'x'"},
		{"a: \"it's\"", "lower(a) = 'it''s'"},
		{"a: [X, Y, 'z*']", "(lower(a) IN ('x', 'y') OR starts_with(lower(a), 'z'))"},
		{"a|contains: x", "lower(a) LIKE '%x%'"},
		{"a|contains: 5%", "strpos(lower(a), '5%') > 0"},
		{"a|endswith: 5%", "regexp_matches(lower(a), '(?s)^.*5%$')"},
		{"a|cased: X", "a = 'X'"},
		{"a: '*'", "lower(a) IS NOT NULL"},
		{"folded: 'Disable it.'", "operation = 'disable it'"},
		{"folded|contains: 'Disable it.'", "operation LIKE '%disable it%'"},
		{"two: null", "(x IS NULL AND y IS NULL)"},
		{"two: A", "(lower(x) = 'a' OR lower(y) = 'a')"},
		{"a|re|i: x", "regexp_matches(a, '(?i-s)x')"},
		{"{a: x, b|neq: y}", "(lower(a) = 'x' AND NOT (CASE WHEN lower(b) = 'y' THEN TRUE ELSE FALSE END))"},
		{"a|cidr: 10.0.0.0/9", ""},
	} {
		r := parseRule(t, of("s:\n  "+tt.item+"\ncondition: s"))
		source, got, err := Where(r, columns{})
		if err != nil || source != "source = 'x'" || tt.want != "" && got != tt.want {
			t.Errorf("%s\n got %s, %v\nwant %s", tt.item, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{of("s:\n  none: x\ncondition: s"), "r.yml:6: detection.s.none: the log has no field none"},
		{of("s:\n  folded|cased: x\ncondition: s"), "detection.s.folded|cased: folded is only known without regard to case"},
		{of("s:\n  folded|re: x\ncondition: s"), "only known without regard to case"},
		{of("s:\n  folded|fieldref|cased: a\ncondition: s"), "only known without regard to case"},
		{strings.Replace(of("s:\n  a: x\ncondition: s"), "azure", "aws", 1), "logsource: no such log"},
	} {
		if _, _, err := Where(parseRule(t, tt.text), columns{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestSelect(t *testing.T) {
	a, b := parseRule(t, of("s: {a: x}\ncondition: s")), parseRule(t, of("s: {b: y}\ncondition: s"))
	got, err := Select([]*Rule{a, b}, columns{})
	want := `SELECT CAST(id AS VARCHAR) AS id, time, concat('', CASE WHEN lower(a) = 'x' THEN ' 0' ELSE '' END,
  CASE WHEN lower(b) = 'y' THEN ' 1' ELSE '' END) AS hits
FROM events
WHERE (source = 'x') AND ((lower(a) = 'x')
  OR (lower(b) = 'y'))`
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := Select(nil, columns{}); err == nil {
		t.Error("no rules are asked")
	}
	docs, _ := Parse("r.yml", []byte(chain), Options{})
	if _, err := Query(docs[0].Correlation, columns{}); err == nil || !strings.Contains(err.Error(), "not linked") {
		t.Error(err)
	}
}

// A pin is implied by its rule: by one side of an and, by all sides of an or,
// and never by what is negated.
func TestPin(t *testing.T) {
	for detection, want := range map[string]string{
		"{s: {a: x, b: y}, condition: s}":                                        "lower(a) = 'x'",
		"{s: {b: y}, r: {a|contains: [x, z]}, condition: s and r}":               "(lower(a) LIKE '%x%' OR lower(a) LIKE '%z%')",
		"{s: {a: x}, r: {a: z}, condition: s or r}":                              "(lower(a) = 'x' OR lower(a) = 'z')",
		"{s: {a: x}, r: {b: z}, condition: s or r}":                              "",
		"{s: {a: x}, condition: not s}":                                          "",
		"{s: {b: x}, r: {a: z}, condition: s and not r}":                         "",
		"{s: {a: null}, condition: s}":                                           "",
		"{s: {a|re: '^x'}, q: {b: y}, r: {a: z}, condition: q and s or r and q}": "(regexp_matches(a, '(?-s)^x') OR lower(a) = 'z')",
	} {
		docs, err := Parse("r.yml", []byte("title: t\nlogsource: {product: x}\ndetection: "+detection), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := Pin(docs[0].Rule, columns{}, "a"); got != want {
			t.Errorf("%s\n got %s\nwant %s", detection, got, want)
		}
	}
}
