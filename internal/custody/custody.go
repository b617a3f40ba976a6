// Package custody checks that a case is what its evidence makes of it: that the
// files that were read are still the same bytes, that the event store holds
// what stands in them, and that two accounts say the same.
//
// It changes nothing, and it does not stop at the first difference. What could
// not be checked is a result of its own: it is neither right nor wrong.
package custody

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// State is the result of a check.
type State string

// The states.
const (
	Verified  State = "verified"
	Differs   State = "differs"
	Unchecked State = "unchecked"
)

// Item is the result of one check.
type Item struct {
	Part   string `json:"part"`   // sources, events, columns, journal, citations, claims, report
	Name   string `json:"name"`   // file, member or event that it is about
	State  State  `json:"state"`  // the result
	Text   string `json:"text"`   // in words
	Line   int64  `json:"line"`   // in the file, from 1; 0: none
	Offset int64  `json:"offset"` // in the decompressed file; -1: none
	Event  string `json:"event"`  // event id; empty: none
}

// Result is all that was checked.
type Result struct {
	Items []Item `json:"items"`
}

// Add adds a result that is about no place in a file.
func (r *Result) Add(part, name string, s State, format string, args ...any) {
	r.Items = append(r.Items, Item{Part: part, Name: name, State: s, Text: fmt.Sprintf(format, args...), Offset: -1})
}

// Count counts the results of a state.
func (r *Result) Count(s State) (n int) {
	for _, i := range r.Items {
		if i.State == s {
			n++
		}
	}
	return n
}

// Difference is a member that two documents do not have in common.
type Difference struct {
	Path string // as in campaigns[0].reach.mailboxes.confirmed
	A, B string // the values, shortened; "missing" where there is none
}

// Compare compares two JSON documents member by member, and lists at most the
// first so many differences, in the order of the members' names.
func Compare(a, b []byte, most int) ([]Difference, error) {
	var x, y any
	for _, d := range []struct {
		data []byte
		to   *any
	}{{a, &x}, {b, &y}} {
		dec := json.NewDecoder(strings.NewReader(string(d.data)))
		dec.UseNumber()
		if err := dec.Decode(d.to); err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
	}
	c := comparer{most: most}
	c.compare("", x, y)
	return c.out, nil
}

type comparer struct {
	out  []Difference
	most int
}

func (c *comparer) add(path string, x, y any) {
	if len(c.out) < c.most {
		c.out = append(c.out, Difference{strings.TrimPrefix(path, "."), short(x), short(y)})
	}
}

type missing struct{}

func (c *comparer) compare(path string, x, y any) {
	if len(c.out) >= c.most {
		return
	}
	switch a := x.(type) {
	case map[string]any:
		b, ok := y.(map[string]any)
		if !ok {
			c.add(path, x, y)
			return
		}
		var names []string
		for k := range a {
			names = append(names, k)
		}
		for k := range b {
			if _, both := a[k]; !both {
				names = append(names, k)
			}
		}
		slices.Sort(names)
		for _, k := range names {
			v, ok := a[k]
			if !ok {
				v = missing{}
			}
			w, ok := b[k]
			if !ok {
				w = missing{}
			}
			c.compare(path+"."+k, v, w)
		}
	case []any:
		b, ok := y.([]any)
		if !ok {
			c.add(path, x, y)
			return
		}
		for i := range max(len(a), len(b)) {
			var v, w any = missing{}, missing{}
			if i < len(a) {
				v = a[i]
			}
			if i < len(b) {
				w = b[i]
			}
			c.compare(fmt.Sprintf("%s[%d]", path, i), v, w)
		}
	default:
		switch y.(type) {
		case map[string]any, []any:
			c.add(path, x, y)
		default:
			if x != y {
				c.add(path, x, y)
			}
		}
	}
}

// short writes a value so that a person can tell it from another one.
func short(v any) string {
	if _, ok := v.(missing); ok {
		return "missing"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	const most = 120
	if s := []rune(string(b)); len(s) > most {
		return string(s[:most]) + "…"
	}
	return string(b)
}
