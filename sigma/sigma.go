// Package sigma reads Sigma rules and asks them: of records in memory
// ([Rule.Match], [Correlation.Find]), or of a table in SQL ([Where], [Select],
// [Query]).
//
// It follows version 2.1.0 of the Sigma specification
// (https://github.com/SigmaHQ/sigma-specification), whose sections the comments
// cite. A rule is read into an expression in which everything is decided:
// modifiers are applied, wildcards and escapes are cut into [part]s, selections
// are put in the place of their names. Matching and compiling can therefore
// not come upon something that they do not know. What the package does not know is
// refused when the rule is read, with file, line and path ([Refusal]); nothing
// that bears on what a rule finds is ever ignored, because a rule that asks less
// than its author wrote finds too much, and one that asks more finds nothing.
//
// Where the specification leaves something open, the package says what it does:
//
//   - A field may have several values (a list in the record). A test holds when it
//     holds for one of them. A value that is null is like no value.
//   - Texts are compared without regard to case by mapping each character to lower
//     case by itself (Unicode simple mapping), unless the modifier cased is there.
//     Numbers and booleans of a rule are compared as the text that they would be
//     in JSON.
//   - neq is the negation of the whole item: like not in a condition, it also holds
//     where the field is absent.
//   - Regular expressions are searched for, not anchored, in the syntax of RE2.
//     What PCRE has beyond it (look-around, back references) is refused.
//   - lt, lte, gt and gte compare values that are written as decimal numbers of at
//     most 15 digits before and 9 after the point; others are not less and not greater.
//   - Keywords are looked for anywhere in the whole record.
//
// The modifiers that extract the week of a date, and the correlations
// value_sum, value_avg and value_percentile, are refused.
package sigma

import (
	"fmt"
	"time"
)

// Header is what all kinds of documents say about themselves. See "Components"
// in the specification; absent is empty.
type Header struct {
	File string // as given to Parse
	Line int    // where the document begins, from 1

	Title          string
	ID             string
	Name           string // for correlations to refer to
	Taxonomy       string
	Status         string // stable, test, experimental, deprecated
	Description    string
	License        string
	Author         string
	Date, Modified string // as written
	Level          string // informational, low, medium, high, critical
	References     []string
	FalsePositives []string
	Tags           []string
	Fields         []string // fields worth showing
	Scope          []string
	Related        []Related
}

// Related is another rule that a rule names.
type Related struct{ ID, Type string }

// LogSource says which records a rule is about (specification, "LogSource").
// Empty parts do not restrict.
type LogSource struct{ Category, Product, Service string }

// String returns the parts that are there, such as "azure/signinlogs".
func (l LogSource) String() string {
	s := ""
	for _, p := range []string{l.Product, l.Category, l.Service} {
		if p == "" {
			continue
		}
		if s != "" {
			s += "/"
		}
		s += p
	}
	return s
}

// Rule is one detection rule.
type Rule struct {
	Header
	LogSource  LogSource
	Conditions []string // as written; they are linked with or
	Unused     []string // search identifiers that no condition names

	expr expr
}

// Correlation is a rule about how many matches of other rules there are, or
// which follow each other (specification, "Sigma Correlation Rules").
type Correlation struct {
	Header
	Type     string   // event_count, value_count, temporal, temporal_ordered
	Rules    []string // ids or names
	GroupBy  []string
	Timespan time.Duration
	Bounds   []Bound                      // all must hold
	Values   []string                     // value_count: the fields whose values are counted, together
	Aliases  map[string]map[string]string // alias → rule (as in Rules) → field
	Generate bool                         // the rules are also rules of their own

	refs []any // *Rule or *Correlation, set by Link
	at   place
}

// Bound is one comparison of a correlation's condition.
type Bound struct {
	Op    string // gt, gte, lt, lte, eq, neq
	Value int64
}

func (b Bound) holds(n int64) bool {
	switch b.Op {
	case "gt":
		return n > b.Value
	case "gte":
		return n >= b.Value
	case "lt":
		return n < b.Value
	case "lte":
		return n <= b.Value
	case "eq":
		return n == b.Value
	}
	return n != b.Value
}

// Filter excludes something from other rules (specification, "Sigma Filters").
type Filter struct {
	Header
	LogSource LogSource
	Rules     []string // ids or names
	Condition string

	expr expr
	at   place
}

// Document is one YAML document: exactly one of its fields is set.
type Document struct {
	Rule        *Rule
	Correlation *Correlation
	Filter      *Filter
}

// Header returns what the document says about itself.
func (d Document) Header() *Header {
	switch {
	case d.Rule != nil:
		return &d.Rule.Header
	case d.Correlation != nil:
		return &d.Correlation.Header
	}
	return &d.Filter.Header
}

// place is where in a file something stands.
type place struct {
	file         string
	line, column int
	path         string
}

func (p place) refuse(format string, args ...any) error {
	return &Refusal{File: p.file, Line: p.line, Column: p.column, Path: p.path, Reason: fmt.Sprintf(format, args...)}
}

// Refusal is the error for a rule that cannot be used as it is written.
type Refusal struct {
	File         string
	Line, Column int    // from 1
	Path         string // in the YAML document, such as detection.selection.Image|re
	Reason       string
}

// Error returns file, line, path and reason.
func (r *Refusal) Error() string {
	where := fmt.Sprintf("%s:%d", r.File, r.Line)
	if r.Path != "" {
		where += ": " + r.Path
	}
	return where + ": " + r.Reason
}

// expr is what a rule asks: conj, disj, neg or *test.
type expr interface {
	match(Record) bool
}

type (
	conj []expr
	disj []expr
	neg  struct{ of expr }
)

// tests calls fn for each test of an expression.
func tests(e expr, fn func(*test)) {
	switch x := e.(type) {
	case conj:
		for _, e := range x {
			tests(e, fn)
		}
	case disj:
		for _, e := range x {
			tests(e, fn)
		}
	case neg:
		tests(x.of, fn)
	case *test:
		fn(x)
	}
}

// FieldNames returns the fields that the rule asks about, in the order in which
// they are first asked. Keywords have the empty name.
func (r *Rule) FieldNames() []string {
	var names []string
	seen := map[string]bool{}
	add := func(f string) {
		if !seen[f] {
			seen[f] = true
			names = append(names, f)
		}
	}
	tests(r.expr, func(t *test) {
		add(t.field)
		if t.kind == isField {
			add(t.other)
		}
	})
	return names
}
