package sigma

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midwatch/internal/corpora"
)

// of makes a rule of a detection, indented by nothing.
func of(detection string) string {
	return "title: t\nlogsource:\n  product: azure\ndetection:\n  " + strings.ReplaceAll(strings.TrimSpace(detection), "\n", "\n  ") + "\n"
}

func parseRule(t testing.TB, text string) *Rule {
	t.Helper()
	docs, err := Parse("r.yml", []byte(text), Options{Placeholders: map[string][]string{"Admins": {"root", "adm_*"}}})
	if err != nil || len(docs) != 1 || docs[0].Rule == nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return docs[0].Rule
}

// record reads "a=1 b= c=x,y d!": d has only null.
func record(s string) Record {
	return func(field string) ([]any, bool) {
		if field == "" {
			return []any{s}, true
		}
		for _, w := range strings.Split(s, " ") {
			if w == field+"!" {
				return []any{nil}, true
			}
			if v, ok := strings.CutPrefix(w, field+"="); ok {
				var out []any
				for _, x := range strings.Split(v, ",") {
					out = append(out, x)
				}
				return out, true
			}
		}
		return nil, false
	}
}

// Each rule with records that it finds and records that it does not.
func TestMatch(t *testing.T) {
	tests := []struct {
		item    string // of selection, or a whole detection
		yes, no []string
	}{
		{"a: x", []string{"a=x", "a=X", "a=q,x"}, []string{"a=xy", "b=x", "a=", "a!"}},
		{"a: 'É'", []string{"a=é", "a=É"}, []string{"a=e"}},
		{"a: 50057", []string{"a=50057"}, []string{"a=5005"}},
		{"a: 0x10", []string{"a=16"}, []string{"a=0x10"}},
		{"a: 1.50", []string{"a=1.5"}, []string{"a=1.50"}},
		{"a: true", []string{"a=true", "a=True"}, []string{"a=1"}},
		{"a: [x, y]", []string{"a=x", "a=y"}, []string{"a=z"}},
		{"{a: x, b: y}", []string{"a=x b=y"}, []string{"a=x", "b=y"}},
		{"a: ''", []string{"a="}, []string{"a=x", "b=x", "a!"}},
		{"a: null", []string{"a!", "b=x"}, []string{"a=", "a=x"}},
		{"a|exists: true", []string{"a=x", "a!", "a="}, []string{"b=x"}},
		{"a|exists: false", []string{"b=x"}, []string{"a=x", "a!"}},
		// wildcards and escapes: the specification's table
		{"a: 'prog?.exe'", []string{"a=progA.exe", "a=progé.exe"}, []string{"a=prog.exe", "a=progAB.exe"}},
		{"a: 'anti*.exe'", []string{"a=anti.exe", "a=antiX.Y.exe"}, []string{"a=anti.exe.x"}},
		{`a: 'x\y'`, []string{`a=x\y`}, []string{`a=xy`, `a=x\\y`}},
		{`a: 'x\\y'`, []string{`a=x\y`}, []string{`a=x\\y`}},
		{`a: 'x\*y'`, []string{`a=x*y`}, []string{`a=xzy`}},
		{`a: 'x\\*y'`, []string{`a=x\y`, `a=x\zzy`}, []string{`a=xzy`}},
		{`a: 'x\\\*y'`, []string{`a=x\*y`}, []string{`a=x\zy`}},
		{`a: 'x\\\y'`, []string{`a=x\\y`}, []string{`a=x\y`}},
		{`a: 'x\\\\y'`, []string{`a=x\\y`}, []string{`a=x\y`}},
		{"a: '*'", []string{"a=x", "a="}, []string{"b=x", "a!"}},
		{"a: '*a*b*a*'", []string{"a=xaxbxax", "a=aba"}, []string{"a=ab", "a=aab"}},
		{"a|contains: b", []string{"a=abc", "a=B"}, []string{"a=ac"}},
		{"a|contains: 1", []string{"a=212"}, []string{"a=2"}},
		{"a|startswith: b", []string{"a=bc"}, []string{"a=ab"}},
		{"a|endswith: b", []string{"a=cb"}, []string{"a=bc"}},
		{"a|contains|all: [b, c]", []string{"a=cb", "a=b,c"}, []string{"a=b"}},
		{"a|contains|cased: B", []string{"a=aB"}, []string{"a=ab"}},
		{"a|neq: x", []string{"a=y", "b=x"}, []string{"a=x", "a=y,x"}},
		{"a|neq: [x, y]", []string{"a=z"}, []string{"a=x", "a=y"}},
		{"a|re: '^x.z$'", []string{"a=xyz"}, []string{"a=Xyz", "a=xyzz"}},
		{"a|re|i: 'X.Z'", []string{"a=axyz"}, []string{"a=xz"}},
		{"a|re: 'x.z'", []string{"a=xyz"}, []string{"a=x\nz"}},
		{"a|re|s: 'x.z'", []string{"a=x\nz"}, nil},
		{"a|re|m: '^z$'", []string{"a=x\nz"}, nil},
		{"a|re|i|m|s: '^Z.$'", []string{"a=x\nz\n"}, []string{"a=x"}},
		{"a|cidr: 10.16.0.0/12", []string{"a=10.16.0.0", "a=10.31.255.255"}, []string{"a=10.32.0.0", "a=10.16", "a=::1", "a=::ffff:10.16.0.1", "a=010.16.0.1"}},
		{"a|cidr: 192.0.2.7", []string{"a=192.0.2.7"}, []string{"a=192.0.2.8"}},
		{"a|cidr: '2001:db8::/34'", []string{"a=2001:db8::1", "a=2001:0DB8:3fff::"}, []string{"a=2001:db8:4000::", "a=2001:db9::", "a=1.2.3.4", "a=2001:db8::1%eth0"}},
		{"a|gt: 5", []string{"a=6", "a=5.5"}, []string{"a=5", "a=x", "a=", "b=6"}},
		{"a|gte: 5", []string{"a=5", "a=5.0"}, []string{"a=4"}},
		{"a|lt: 5", []string{"a=-1", "a=4.9"}, []string{"a=5", "a=-"}},
		{"a|lte: 5", []string{"a=5"}, []string{"a=6", "a=1234567890123456"}},
		{"a|hour: 3", []string{"a=2024-01-12T03:15:00Z"}, []string{"a=2024-01-12T04:15:00Z", "a=03"}},
		{"a|hour|gte: 22", []string{"a=2024-01-12T23:15:00Z"}, []string{"a=2024-01-12T21:15:00Z"}},
		{"{a|year: 2024, 'a|month': 1, 'a|day': 12, 'a|minute': 15}", []string{"a=2024-01-12T03:15:00Z"}, []string{"a=2024-01-12T03:16:00Z"}},
		{"a|base64: foobar", []string{"a=Zm9vYmFy"}, []string{"a=foobar"}},
		{"a|base64offset|contains: foobar", []string{"a=xZm9vYmFyx", "a=xZvb2Jhcx", "a=xmb29iYX"}, []string{"a=foobar"}},
		{"a|wide|base64: cmd", []string{"a=YwBtAGQA"}, nil},
		{"a|utf16le|base64: cmd", []string{"a=YwBtAGQA"}, nil},
		{"a|utf16be|base64: cmd", []string{"a=AGMAbQBk"}, nil},
		{"a|utf16|base64: cmd", []string{"a=//5jAG0AZAA="}, nil},
		{"a|windash|contains: '-x-y'", []string{"a=z/x-y", "a=–x―y"}, []string{"a=_x-y"}},
		{"a|windash|base64: '-x'", []string{"a=LXg=", "a=L3g="}, []string{"a=-x"}},
		{"a|expand: 'u%Admins%'", []string{"a=uroot", "a=uadm_7"}, []string{"a=u%Admins%", "a=uroot7"}},
		{`a|expand: '\%x%'`, []string{"a=%x%"}, nil},
		{"a: '%Admins%'", []string{"a=%admins%"}, []string{"a=root"}},
		{"a|fieldref: b", []string{"a=x b=X", "a=x b=y,x"}, []string{"a=x b=y", "a=x", "b=x"}},
		{"a|fieldref|cased: b", []string{"a=x b=x"}, []string{"a=x b=X"}},
		{"a|fieldref|neq: b", []string{"a=x b=y", "a=x"}, []string{"a=x b=x"}},
		{"detection:\n- foo\n- a: x", []string{"q=zfooz", "a=x"}, []string{"a=y"}},
		{"detection:\n'|all': [foo, bar]", []string{"q=zfoobar"}, []string{"q=foo"}},
		{"detection:\n'|re': 'fo+'", []string{"q=fooo"}, []string{"q=FOO"}},
	}
	for _, tt := range tests {
		item := "  " + tt.item
		if rest, ok := strings.CutPrefix(tt.item, "detection:\n"); ok {
			item = "  " + strings.ReplaceAll(rest, "\n", "\n  ")
		}
		r := parseRule(t, of("selection:\n"+item+"\ncondition: selection"))
		for _, s := range tt.yes {
			if !r.Match(record(s)) {
				t.Errorf("%s does not find %q", tt.item, s)
			}
		}
		for _, s := range tt.no {
			if r.Match(record(s)) {
				t.Errorf("%s finds %q", tt.item, s)
			}
		}
	}
}

func TestCondition(t *testing.T) {
	tests := []struct{ condition, yes, no string }{
		{"a or b and c", "a ab ac bc abc", "b c"},
		{"(a or b) and c", "ac bc", "a ab"},
		{"not a and b", "b bc", "ab c"},
		{"not (a and b)", "a b c", "ab"},
		{"not not a", "a", "b"},
		{"A", "", ""},
		{"1 of s*", "x y", "a"},
		{"all of s*", "xy", "x y"},
		{"1 of *1", "x", "y"},
		{"1 of them", "a b x", "z _"},
		{"all of them", "abcxy", "abcx"},
		{"1 of _*", "_", "a"},
		{"a and not 1 of s*", "a", "ax"},
		{"a AND b OR c", "ab c", "a"},
		{"[a, b and c]", "a bc", "b"},
	}
	for _, tt := range tests {
		text := of("a: {a: 1}\nb: {b: 1}\nc: {c: 1}\ns1: {x: 1}\ns2: {y: 1}\n_z: {_: 1}\ncondition: " + tt.condition)
		if tt.condition == "A" { // names are told apart by case
			if _, err := Parse("r.yml", []byte(text), Options{}); err == nil {
				t.Error("A is taken for a")
			}
			continue
		}
		r := parseRule(t, text)
		rec := func(fields string) Record {
			return func(f string) ([]any, bool) { return []any{1}, strings.Contains(fields, f) }
		}
		for _, s := range strings.Fields(tt.yes) {
			if !r.Match(rec(s)) {
				t.Errorf("%s does not find %s", tt.condition, s)
			}
		}
		for _, s := range strings.Fields(tt.no) {
			if r.Match(rec(s)) {
				t.Errorf("%s finds %s", tt.condition, s)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	sel := func(item string) string { return of("selection:\n  " + item + "\ncondition: selection") }
	tests := []struct{ text, want string }{
		{sel("a|foo: x"), "r.yml:6: detection.selection.a|foo: modifier foo is not known"},
		{sel("a|contains|contains: x"), "twice"},
		{sel("a|all: x"), "modifier all needs several values"},
		{sel("a|i: x"), "modifier i: it belongs behind re"},
		{sel("a|re: '(?=x)'"), "modifier re: invalid or unsupported Perl syntax"},
		{sel("a|re: '(?<n>x)'"), "groups with names"},
		{sel("a|contains|re: x"), "modifier re: it is for texts, and the first modifier"},
		{sel("a|re|contains: x"), "modifier contains: it is for texts"},
		{sel("a|gt: x"), "modifier gt: it is for numbers"},
		{sel("a|gt: 12345678901234567"), "more digits"},
		{sel("a|cidr: 10.0.0.1/8"), "10.0.0.0/8 is meant?"},
		{sel("a|cidr: x"), "is not a network"},
		{sel("a|week: 1"), "which week"},
		{sel("a|wide: x"), "in UTF-16 is only looked for in Base64"},
		{sel("a|base64: 'x*'"), "cannot be encoded"},
		{sel("a|windash|base64: '-----'"), "cannot be encoded"},
		{sel("a|expand: '%nobody%'"), "placeholder %nobody% has no value"},
		{sel("a|exists: x"), "its value is true or false"},
		{sel("a: [x, null]"), "null cannot be part of a list"},
		{sel("a: [x, [y]]"), "detection.selection.a[1]: a value cannot be a list"},
		{sel("a: {b: x}"), "a value cannot be a map"},
		{sel("a: []"), "an empty list finds nothing"},
		{sel("a: .inf"), "is not a number"},
		{sel("a: !!binary eA=="), "YAML type !!binary"},
		{sel("a: \"\\0\""), "NUL"},
		{sel("'': x"), "the field has no name"},
		{sel("a: x\n  a: y"), "the key is there twice"},
		{sel("<<: {a: x}"), "merge keys"},
		{sel("? [a]\n  : x"), "a key must be a text"},
		{of("selection: {}\ncondition: selection"), "an empty map finds everything"},
		{of("selection: x\ncondition: selection"), "a map or a list is expected here, not a text"},
		{of("selection: []\ncondition: selection"), "an empty list finds nothing"},
		{of("selection: {a: x}"), "condition is missing"},
		{of("condition: selection"), "there is nothing to search for"},
		{of("s: {a: x}\ntimeframe: 1m\ncondition: s"), "timeframe is no longer"},
		{of("s: {a: x}\ncondition: s | count() > 5"), "aggregations"},
		{of("s: {a: x}\ncondition: t"), `detection.condition: "t" is not a search identifier`},
		{of("s: {a: x}\ncondition: s*"), "needs \"1 of\""},
		{of("s: {a: x}\ncondition: 2 of s*"), "not in the specification"},
		{of("s: {a: x}\ncondition: 1 of t*"), "no search identifier is meant"},
		{of("s: {a: x}\ncondition: (s"), "not closed"},
		{of("s: {a: x}\ncondition: s and"), "the condition ends"},
		{of("s: {a: x}\ncondition: s s"), "not expected"},
		{of("s: {a: x}\ncondition: " + strings.Repeat("not ", 100) + "s"), "nested"},
		{of("s: {a: x}\ncondition: " + strings.Repeat("s or ", 1000) + "s"), "the condition has more than"},
		{"title: t\nlogsource: {product: x}\n", "detection is missing"},
		{"title: t\ndetection: {s: {a: x}, condition: s}\n", "logsource is missing"},
		{"title: t\nlogsource: {prodcut: x}\ndetection: {s: {a: x}, condition: s}\n", "logsource.prodcut"},
		{"title: t\nlogsource: {definition: x}\ndetection: {s: {a: x}, condition: s}\n", "category, product or service is missing"},
		{"logsource: {product: x}\ndetection: {s: {a: x}, condition: s}\n", "title is missing"},
		{sel("a: x") + "level: urgent\n", "\"urgent\" is not one of"},
		{sel("a: x") + "status: unsupported\n", "cannot be used"},
		{sel("a: x") + "taxonomy: ecs\n", "taxonomy \"ecs\""},
		{sel("a: x") + "action: global\n", "action"},
		{sel("a: x") + "correlation: {}\n", "in one document"},
		{"a: [\n", "not YAML"},
		{"- a\n", "a map is expected here, not a list"},
		{"", "no document"},
		{"\xff", "not UTF-8"},
		{strings.Repeat("#", maxBytes+1), "more than"},
		{"title: t\nlogsource: {product: x}\nfilter: {rules: [r], s: {a: x}, condition: s}\n", "told in two ways"},
		{"title: t\ncorrelation: {type: value_sum}\n", "not supported"},
		{"title: t\ncorrelation: {type: event_count, rules: [r], timespan: 1w}\n", "correlation.timespan"},
		{"title: t\ncorrelation: {type: event_count, rules: [r], timespan: 1h}\n", "condition is missing"},
		{"title: t\ncorrelation: {type: event_count, rules: [r], timespan: 1h, condition: {gte: x}}\n", "whole number"},
		{"title: t\ncorrelation: {type: value_count, rules: [r], timespan: 1h, condition: {gte: 1}}\n", "field is missing"},
		{"title: t\ncorrelation: {type: temporal, rules: [r], timespan: 1h}\n", "several rules"},
		{"title: t\ncorrelation: {type: event_count, rules: [r], timespan: 1h, condition: {gte: 1}, groupby: [a]}\n", "correlation.groupby: the key is not known"},
	}
	for _, tt := range tests {
		_, err := Parse("r.yml", []byte(tt.text), Options{})
		var r *Refusal
		if err == nil || !errors.As(err, &r) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.200s\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// Aliases of aliases, and a condition that names everything many times, come to
// an end.
func TestBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("title: t\nlogsource: {product: x}\nx0: &x0 [" + strings.Repeat("a,", 9000) + "a]\ndetection:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  s%d: *x0\n", i)
	}
	b.WriteString("  condition: 1 of them\n")
	if _, err := Parse("r.yml", []byte(b.String()), Options{}); err == nil || !strings.Contains(err.Error(), "aliases followed") {
		t.Error(err)
	}
	b.Reset()
	b.WriteString("title: t\nlogsource: {product: x}\ndetection:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  s%d: {a: x}\n", i)
	}
	b.WriteString("  condition: " + strings.Repeat("1 of s* and ", 300) + "s1\n")
	if _, err := Parse("r.yml", []byte(b.String()), Options{}); err == nil || !strings.Contains(err.Error(), "comparisons") {
		t.Error(err)
	}
	self := "&a [*a]"
	if _, err := Parse("r.yml", []byte(of("s: {a: "+self+"}\ncondition: s")), Options{}); err == nil {
		t.Error("a list in itself is taken")
	}
}

func TestHeader(t *testing.T) {
	r := parseRule(t, `title: A title
id: 0e95725d-7320-415d-80f7-004da920fc11
name: a_name
related:
  - {id: x, type: similar}
taxonomy: sigma
status: test
description: d
license: MIT
references: [r1, r2]
author: me
date: 2024-01-02
modified: 2024-01-03
logsource: {product: azure, service: signinlogs, definition: what is needed}
detection:
  s: {b: 1, a|fieldref: c}
  t: {z: 1}
  condition: s
fields: [f]
falsepositives: [none]
level: high
tags: [attack.t1110]
scope: [server]
custom: {anything: 1}
`)
	got := fmt.Sprintf("%+v %s %v %v %v", r.Header, r.LogSource, r.Conditions, r.Unused, r.FieldNames())
	want := "{File:r.yml Line:1 Title:A title ID:0e95725d-7320-415d-80f7-004da920fc11 Name:a_name Taxonomy:sigma Status:test Description:d License:MIT Author:me Date:2024-01-02 Modified:2024-01-03 Level:high References:[r1 r2] FalsePositives:[none] Tags:[attack.t1110] Fields:[f] Scope:[server] Related:[{ID:x Type:similar}]} azure/signinlogs [s] [t] [b a c]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

const chain = `
title: brute force that succeeded
id: b180ead8-d58f-40b2-ae54-c8940995b9b6
correlation:
    type: temporal_ordered
    rules: [multiple_failed_login, successful_login]
    group-by: [User]
    timespan: 10m
level: high
---
title: Multiple failed logons
name: multiple_failed_login
correlation:
    type: event_count
    rules: [failed_login]
    group-by: [User]
    timespan: 10m
    condition: {gte: 3}
---
title: Single failed login
name: failed_login
logsource: {product: windows, service: security}
detection:
    selection:
        EventID: [529, 4625]
    condition: selection
---
title: Successful login
name: successful_login
logsource: {product: windows, service: security}
detection:
    selection:
        EventID: [528, 4624]
    condition: selection
---
title: not the service account
logsource: {product: windows}
filter:
    rules: [successful_login]
    ours: {User: svc}
    condition: not ours
`

func TestLink(t *testing.T) {
	link := func(text string) (*Set, error) {
		docs, err := Parse("r.yml", []byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return Link(docs)
	}
	set, err := link(chain)
	if err != nil || len(set.Rules) != 0 || len(set.Correlations) != 1 {
		t.Fatal(err, set)
	}
	success := set.Correlations[0].refs[1].(*Rule)
	if !success.Match(record("EventID=4624 User=ada")) || success.Match(record("EventID=4624 User=svc")) {
		t.Error("the filter is not applied")
	}
	if set, err = link(strings.Replace(chain, "type: event_count", "type: event_count\n    generate: true", 1)); err != nil || len(set.Rules) != 1 {
		t.Error(err, set.Rules)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"[failed_login]", "[nobody]", `there is no rule with the id or name "nobody"`},
		{"[failed_login]", "[multiple_failed_login]", "refers to itself"},
		{"name: failed_login", "name: successful_login", "could be"},
		{"group-by: [User]\n    timespan: 10m\nlevel", "group-by: [Host]\n    timespan: 10m\nlevel", "Host is not in the group-by"},
		{"logsource: {product: windows}", "logsource: {product: azure}", "the filter is for azure"},
		{"rules: [successful_login]", "rules: [multiple_failed_login]", "not a detection rule"},
	} {
		if _, err := link(strings.Replace(chain, tt.old, tt.new, 1)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.new, err, tt.want)
		}
	}
}

// Every rule of SigmaHQ's folders for Azure and Microsoft 365 can be read.
func TestSigmaHQ(t *testing.T) {
	n := 0
	err := filepath.WalkDir(filepath.Join(corpora.Dir(t), "sigma"), func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		docs, err := Parse(filepath.Base(path), data, Options{})
		if err != nil {
			t.Error(err)
		}
		n += len(docs)
		for _, d := range docs {
			if len(d.Rule.Unused) > 0 {
				t.Errorf("%s: %v is unused", path, d.Rule.Unused)
			}
		}
		return nil
	})
	if err != nil || n < 142 {
		t.Errorf("%d rules, %v; want at least 142", n, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(chain))
	f.Add([]byte(of("s:\n  a|windash|contains|all: ['-x', \"y*\"]\n  b|re|i: 'x.*'\n  c|cidr: ['::/0', 10.0.0.0/8]\nk: [foo, {d: null}]\ncondition: s and not 1 of k*")))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("r.yml", data, Options{Placeholders: map[string][]string{"x": {"y*", "z"}}})
		if len(docs) == 0 && err == nil {
			t.Error("nothing is read, and nothing refused")
		}
		for _, d := range docs {
			if d.Rule != nil {
				d.Rule.Match(record("a=x b= c=1,2 d!"))
				_, cond, err := Where(d.Rule, columns{})
				if err == nil && strings.Count(cond, "'")%2 != 0 {
					t.Errorf("a literal is not closed: %s", cond)
				}
			}
		}
		set, _ := Link(docs)
		for _, c := range set.Correlations {
			_, _ = Query(c, columns{})
			c.Find([]Event{{ID: "1", Record: record("a=x")}, {ID: "2", Record: record("b=1 User=x")}})
		}
	})
}
