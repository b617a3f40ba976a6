package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds on what is read. Rules are other people's files: a folder of them must
// not be able to exhaust the machine, nor a rule the engine's planner: ClickHouse takes
// half a minute over 9,000 LIKEs, and under two seconds over 2,000.
const (
	maxBytes     = 1 << 20 // of a file
	maxDocuments = 1000    // in a file
	maxNodes     = 50_000  // YAML nodes looked at in a file, those behind aliases each time
	maxTests     = 4_000   // comparisons that a rule comes to after expansion
	maxPattern   = 8 << 10 // bytes of a value
)

// Options are what rules depend on besides their text.
type Options struct {
	// Placeholders are the values, with wildcards, that stand for %name% under
	// the modifier expand. A rule with another placeholder is refused
	// (specification, "Placeholders").
	Placeholders map[string][]string
	// Taxonomies are accepted besides "sigma", the default.
	Taxonomies []string
}

// Parse reads the documents of one file. It returns those that it can use, and
// an error that joins a [Refusal] for each that it cannot.
func Parse(file string, data []byte, o Options) ([]Document, error) {
	r := &reader{file: file, o: o}
	whole := place{file: file, line: 1, column: 1}
	if len(data) > maxBytes {
		return nil, whole.refuse("the file has more than %d bytes", maxBytes)
	}
	if !utf8.Valid(data) {
		return nil, whole.refuse("the file is not UTF-8")
	}
	var docs []Document
	var errs []error
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for n := 0; ; n++ {
		var node yaml.Node
		err := dec.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// The decoder cannot go on behind broken YAML.
			errs = append(errs, yamlError(file, err))
			break
		}
		if n == maxDocuments {
			errs = append(errs, r.at(&node, "").refuse("the file has more than %d documents", maxDocuments))
			break
		}
		if node.Kind != yaml.DocumentNode || len(node.Content) != 1 || isEmpty(node.Content[0]) {
			continue // an empty document, such as after a last "---"
		}
		d, err := r.document(node.Content[0])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		docs = append(docs, d)
	}
	if len(docs) == 0 && len(errs) == 0 {
		return nil, whole.refuse("the file has no document")
	}
	return docs, errors.Join(errs...)
}

func isEmpty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// yamlError makes a refusal of the library's error, whose text has the line.
func yamlError(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if num, what, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(num); err == nil {
				line, text = n, what
			}
		}
	}
	return place{file: file, line: line, column: 1}.refuse("not YAML: %s", text)
}

// reader reads the documents of one file.
type reader struct {
	file  string
	o     Options
	nodes int
}

func (r *reader) at(n *yaml.Node, path string) place {
	return place{file: r.file, line: n.Line, column: n.Column, path: path}
}

// deref follows an alias and counts what is looked at, so that aliases of
// aliases come to an end.
func (r *reader) deref(n *yaml.Node, path string) (*yaml.Node, error) {
	if r.nodes++; r.nodes > maxNodes {
		return nil, r.at(n, path).refuse("the file has more than %d values, aliases followed", maxNodes)
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias, nil
	}
	return n, nil
}

// pair is one entry of a map.
type pair struct {
	key   string
	value *yaml.Node // not an alias
	at    place
}

// pairs returns the entries of a map, in order. Keys must be texts and occur once.
func (r *reader) pairs(n *yaml.Node, path string) ([]pair, error) {
	if n.Kind != yaml.MappingNode {
		return nil, r.at(n, path).refuse("a map is expected here, not %s", kindOf(n))
	}
	out := make([]pair, 0, len(n.Content)/2)
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, err := r.deref(n.Content[i], path)
		if err != nil {
			return nil, err
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null" {
			return nil, r.at(n.Content[i], path).refuse("a key must be a text")
		}
		if k.ShortTag() == "!!merge" {
			return nil, r.at(k, path).refuse("merge keys (<<) are not supported; write the entries out")
		}
		p := k.Value
		if path != "" {
			p = path + "." + k.Value
		}
		at := r.at(n.Content[i], p)
		if seen[k.Value] {
			return nil, at.refuse("the key is there twice, and only one of them would count")
		}
		seen[k.Value] = true
		v, err := r.deref(n.Content[i+1], p)
		if err != nil {
			return nil, err
		}
		out = append(out, pair{k.Value, v, at})
	}
	return out, nil
}

// items returns the elements of a list.
func (r *reader) items(n *yaml.Node, path string) ([]*yaml.Node, error) {
	out := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		v, err := r.deref(c, fmt.Sprintf("%s[%d]", path, i))
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "null"
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "a boolean"
		}
		return "a text"
	}
	return "something else"
}

// words reads a text.
func (p pair) text() (string, error) {
	if p.value.Kind != yaml.ScalarNode || p.value.ShortTag() == "!!null" {
		return "", p.at.refuse("a text is expected here, not %s", kindOf(p.value))
	}
	return p.value.Value, nil
}

// texts reads a list of texts; one may stand alone.
func (r *reader) texts(p pair) ([]string, error) {
	if p.value.Kind == yaml.ScalarNode {
		if isEmpty(p.value) {
			return nil, nil
		}
		return []string{p.value.Value}, nil
	}
	if p.value.Kind != yaml.SequenceNode {
		return nil, p.at.refuse("a list of texts is expected here, not %s", kindOf(p.value))
	}
	items, err := r.items(p.value, p.at.path)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, n := range items {
		if n.Kind != yaml.ScalarNode || isEmpty(n) {
			return nil, r.at(n, fmt.Sprintf("%s[%d]", p.at.path, i)).refuse("a text is expected here, not %s", kindOf(n))
		}
		out = append(out, n.Value)
	}
	return out, nil
}

func (p pair) oneOf(allowed ...string) (string, error) {
	s, err := p.text()
	if err == nil && !slices.Contains(allowed, s) {
		err = p.at.refuse("%q is not one of %s", s, strings.Join(allowed, ", "))
	}
	return s, err
}

// document reads one document.
func (r *reader) document(n *yaml.Node) (Document, error) {
	at := r.at(n, "")
	ps, err := r.pairs(n, "")
	if err != nil {
		return Document{}, err
	}
	h := Header{File: r.file, Line: n.Line}
	parts := map[string]pair{}
	generate := false
	for _, p := range ps {
		switch p.key {
		case "logsource", "detection", "correlation", "filter":
			parts[p.key] = p
		case "action":
			return Document{}, p.at.refuse("documents with an action (global, repeat, reset) are no longer part of Sigma; write the rules out")
		case "generate":
			if generate, err = p.boolean(); err != nil {
				return Document{}, err
			}
			parts[p.key] = p
		default:
			// Other keys are the author's own (specification, "File Structure").
			if err := r.header(&h, p); err != nil {
				return Document{}, err
			}
		}
	}
	if h.Title == "" {
		return Document{}, at.refuse("title is missing")
	}
	if t := h.Taxonomy; t != "" && t != "sigma" && !slices.Contains(r.o.Taxonomies, t) {
		return Document{}, at.refuse("taxonomy %q is not known here", t)
	}
	var kinds []string
	for _, k := range []string{"detection", "correlation", "filter"} {
		if _, ok := parts[k]; ok {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) != 1 {
		if len(kinds) == 0 {
			return Document{}, at.refuse("detection is missing (or correlation, or filter)")
		}
		return Document{}, at.refuse("%s in one document; it can only be one of them", strings.Join(kinds, " and "))
	}
	if p, ok := parts["generate"]; ok && kinds[0] != "correlation" {
		return Document{}, p.at.refuse("only a correlation can have it")
	}
	switch kinds[0] {
	case "correlation":
		if p, ok := parts["logsource"]; ok {
			return Document{}, p.at.refuse("a correlation has the log sources of its rules")
		}
		c, err := r.correlation(h, parts["correlation"])
		if err != nil {
			return Document{}, err
		}
		c.Generate = c.Generate || generate
		return Document{Correlation: c}, nil
	}
	p, ok := parts["logsource"]
	if !ok {
		return Document{}, at.refuse("logsource is missing")
	}
	ls, err := r.logSource(p)
	if err != nil {
		return Document{}, err
	}
	if kinds[0] == "filter" {
		f, err := r.filter(h, ls, parts["filter"])
		return Document{Filter: f}, err
	}
	rule, err := r.rule(h, ls, parts["detection"])
	return Document{Rule: rule}, err
}

func (p pair) boolean() (bool, error) {
	var b bool
	if p.value.Kind != yaml.ScalarNode || p.value.ShortTag() != "!!bool" || p.value.Decode(&b) != nil {
		return false, p.at.refuse("true or false is expected here, not %s", kindOf(p.value))
	}
	return b, nil
}

// header reads what a document says about itself.
func (r *reader) header(h *Header, p pair) (err error) {
	switch p.key {
	case "title":
		if h.Title, err = p.text(); err == nil && utf8.RuneCountInString(h.Title) > 256 {
			err = p.at.refuse("a title has at most 256 characters")
		}
	case "id":
		h.ID, err = p.text()
	case "name":
		h.Name, err = p.text()
	case "taxonomy":
		h.Taxonomy, err = p.text()
	case "status":
		h.Status, err = p.oneOf("stable", "test", "experimental", "deprecated", "unsupported")
		if err == nil && h.Status == "unsupported" {
			err = p.at.refuse("its author says that the rule cannot be used (specification, \"Status\")")
		}
	case "description":
		h.Description, err = p.text()
	case "license":
		h.License, err = p.text()
	case "author":
		h.Author, err = p.text()
	case "date":
		h.Date, err = p.text()
	case "modified":
		h.Modified, err = p.text()
	case "level":
		h.Level, err = p.oneOf("informational", "low", "medium", "high", "critical")
	case "references":
		h.References, err = r.texts(p)
	case "falsepositives":
		h.FalsePositives, err = r.texts(p)
	case "tags":
		h.Tags, err = r.texts(p)
	case "fields":
		h.Fields, err = r.texts(p)
	case "scope":
		h.Scope, err = r.texts(p)
	case "related":
		err = r.related(h, p)
	}
	return err
}

func (r *reader) related(h *Header, p pair) error {
	if p.value.Kind != yaml.SequenceNode {
		return p.at.refuse("a list is expected here, not %s", kindOf(p.value))
	}
	items, err := r.items(p.value, p.at.path)
	if err != nil {
		return err
	}
	for i, n := range items {
		ps, err := r.pairs(n, fmt.Sprintf("%s[%d]", p.at.path, i))
		if err != nil {
			return err
		}
		var rel Related
		for _, p := range ps {
			switch p.key {
			case "id":
				rel.ID, err = p.text()
			case "type":
				rel.Type, err = p.oneOf("derived", "obsolete", "merged", "renamed", "similar")
			}
			if err != nil {
				return err
			}
		}
		h.Related = append(h.Related, rel)
	}
	return nil
}

// logSource reads a log source. The specification allows elements that tools do
// not evaluate; but what looks like a restriction and is ignored makes a rule
// fire where it should not, so that only definition is.
func (r *reader) logSource(p pair) (ls LogSource, err error) {
	ps, err := r.pairs(p.value, p.at.path)
	if err != nil {
		return ls, err
	}
	for _, p := range ps {
		switch p.key {
		case "category":
			ls.Category, err = p.text()
		case "product":
			ls.Product, err = p.text()
		case "service":
			ls.Service, err = p.text()
		case "definition":
			_, err = p.text()
		default:
			err = p.at.refuse("category, product, service and definition are known; this cannot be evaluated")
		}
		if err != nil {
			return ls, err
		}
	}
	if ls == (LogSource{}) {
		return ls, p.at.refuse("category, product or service is missing")
	}
	return ls, nil
}

// rule reads the detection of a rule (specification, "Detection").
func (r *reader) rule(h Header, ls LogSource, p pair) (*Rule, error) {
	d, err := r.detection(p)
	if err != nil {
		return nil, err
	}
	rule := &Rule{Header: h, LogSource: ls, Conditions: d.conditions}
	if rule.expr, err = d.expression(); err != nil {
		return nil, err
	}
	rule.Unused = d.unused()
	return rule, nil
}

// filter reads a filter. What a filter's condition means is told in two ways:
// the specification's example has the condition select what is to be
// suppressed, its reference implementation (pySigma) keeps what the condition
// selects. Under either reading one of them finds the opposite, so that only
// conditions that say not are taken, which nobody writes meaning the first.
func (r *reader) filter(h Header, ls LogSource, p pair) (*Filter, error) {
	f := &Filter{Header: h, LogSource: ls, at: p.at}
	d, err := r.detection(p)
	if err != nil {
		return nil, err
	}
	if len(d.rules) == 0 {
		return nil, p.at.refuse("rules is missing")
	}
	f.Rules = d.rules
	if len(d.conditions) != 1 {
		return nil, p.at.refuse("a filter has one condition")
	}
	f.Condition = d.conditions[0]
	if f.expr, err = d.expression(); err != nil {
		return nil, err
	}
	if !excludes(f.expr) {
		return nil, d.conditionAt[0].refuse("whether a filter's condition selects what is kept or what is suppressed is told in two ways; write it with not, which selects what is kept")
	}
	if u := d.unused(); len(u) > 0 {
		return nil, p.at.refuse("the condition does not name %s", strings.Join(u, ", "))
	}
	return f, nil
}

// excludes reports whether all that an expression asks for is that something is not.
func excludes(e expr) bool {
	switch x := e.(type) {
	case neg:
		return true
	case conj:
		return !slices.ContainsFunc(x, func(e expr) bool { return !excludes(e) })
	}
	return false
}

// detection is a rule's detection before its condition is read.
type detection struct {
	names       []string // of search identifiers, in order
	exprs       map[string]expr
	named       map[string]bool // those that a condition names
	conditions  []string
	conditionAt []place
	rules       []string // of a filter
}

func (r *reader) detection(p pair) (*detection, error) {
	ps, err := r.pairs(p.value, p.at.path)
	if err != nil {
		return nil, err
	}
	d := &detection{exprs: map[string]expr{}, named: map[string]bool{}}
	for _, q := range ps {
		switch {
		case q.key == "condition":
			if d.conditions, err = r.texts(q); err != nil {
				return nil, err
			}
			for range d.conditions {
				d.conditionAt = append(d.conditionAt, q.at)
			}
		case q.key == "rules" && p.key == "filter":
			if d.rules, err = r.texts(q); err != nil {
				return nil, err
			}
		case q.key == "timeframe":
			return nil, q.at.refuse("timeframe is no longer part of Sigma; write a correlation")
		default:
			if d.exprs[q.key], err = r.search(q); err != nil {
				return nil, err
			}
			d.names = append(d.names, q.key)
		}
	}
	if len(d.conditions) == 0 {
		return nil, p.at.refuse("condition is missing")
	}
	if len(d.names) == 0 {
		return nil, p.at.refuse("there is nothing to search for")
	}
	return d, nil
}

func (d *detection) unused() []string {
	var out []string
	for _, n := range d.names {
		if !d.named[n] {
			out = append(out, n)
		}
	}
	return out
}

// expression puts the conditions together.
func (d *detection) expression() (expr, error) {
	var any disj
	for i, c := range d.conditions {
		e, err := d.condition(c, d.conditionAt[i])
		if err != nil {
			return nil, err
		}
		any = append(any, e)
	}
	n := 0
	tests(any, func(*test) { n++ })
	if n > maxTests {
		return nil, d.conditionAt[0].refuse("the rule comes to more than %d comparisons", maxTests)
	}
	return simple(any), nil
}

// simple takes a list of one for its element.
func simple(d disj) expr {
	if len(d) == 1 {
		return d[0]
	}
	return d
}

// search reads one search identifier (specification, "Search-Identifier").
func (r *reader) search(p pair) (expr, error) {
	switch p.value.Kind {
	case yaml.MappingNode:
		return r.fields(p.value, p.at)
	case yaml.SequenceNode:
		items, err := r.items(p.value, p.at.path)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return nil, p.at.refuse("an empty list finds nothing")
		}
		var any disj
		for i, n := range items {
			at := r.at(n, fmt.Sprintf("%s[%d]", p.at.path, i))
			var e expr
			if n.Kind == yaml.MappingNode {
				e, err = r.fields(n, at)
			} else {
				e, err = r.item("", nil, []*yaml.Node{n}, at)
			}
			if err != nil {
				return nil, err
			}
			any = append(any, e)
		}
		return simple(any), nil
	}
	return nil, p.at.refuse("a map or a list is expected here, not %s", kindOf(p.value))
}

// fields reads a map of fields and values, all of which must hold.
func (r *reader) fields(n *yaml.Node, at place) (expr, error) {
	ps, err := r.pairs(n, at.path)
	if err != nil {
		return nil, err
	}
	if len(ps) == 0 {
		return nil, at.refuse("an empty map finds everything")
	}
	var all conj
	for _, p := range ps {
		name, mods, _ := strings.Cut(p.key, "|")
		var ms []string
		if strings.Contains(p.key, "|") {
			ms = strings.Split(mods, "|")
		} else if name == "" {
			return nil, p.at.refuse("the field has no name")
		}
		values := []*yaml.Node{p.value}
		if p.value.Kind == yaml.SequenceNode {
			if values, err = r.items(p.value, p.at.path); err != nil {
				return nil, err
			}
			if len(values) == 0 {
				return nil, p.at.refuse("an empty list finds nothing")
			}
			if len(values) > 1 && slices.ContainsFunc(values, isEmpty) {
				return nil, p.at.refuse("null cannot be part of a list (specification, \"Special Field Values\"); make it a selection of its own")
			}
		}
		e, err := r.item(name, ms, values, p.at)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// number returns a number of a rule, and the text that it is compared as: that
// of JSON, without an exponent.
func number(n *yaml.Node) (float64, string, bool) {
	var v any
	if n.Decode(&v) != nil {
		return 0, "", false
	}
	switch x := v.(type) {
	case int:
		return float64(x), strconv.Itoa(x), true
	case int64:
		return float64(x), strconv.FormatInt(x, 10), true
	case uint64:
		return float64(x), strconv.FormatUint(x, 10), true
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			return 0, "", false
		}
		return x, strconv.FormatFloat(x, 'f', -1, 64), true
	}
	return 0, "", false
}
