package sigma

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds on correlations.
const (
	maxRules    = 32 // that one correlation names
	maxChain    = 8  // correlations of correlations of …
	maxTimespan = 3650 * 24 * time.Hour
)

// correlation reads a correlation (specification, "Correlation section").
func (r *reader) correlation(h Header, p pair) (*Correlation, error) {
	c := &Correlation{Header: h, at: p.at}
	ps, err := r.pairs(p.value, p.at.path)
	if err != nil {
		return nil, err
	}
	var condition *pair
	for _, q := range ps {
		switch q.key {
		case "type":
			if c.Type, err = q.text(); err == nil {
				switch c.Type {
				case "event_count", "value_count", "temporal", "temporal_ordered":
				case "value_sum", "value_avg", "value_percentile":
					err = q.at.refuse("correlations of type %s are not supported", c.Type)
				default:
					err = q.at.refuse("%q is not a type of correlation", c.Type)
				}
			}
		case "rules":
			c.Rules, err = r.texts(q)
		case "group-by":
			c.GroupBy, err = r.texts(q)
		case "timespan":
			c.Timespan, err = timespan(q)
		case "condition":
			condition = &q
		case "aliases":
			c.Aliases, err = r.aliases(q)
		case "generate":
			c.Generate, err = q.boolean()
		default:
			err = q.at.refuse("the key is not known in a correlation")
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case c.Type == "":
		return nil, p.at.refuse("type is missing")
	case len(c.Rules) == 0:
		return nil, p.at.refuse("rules is missing")
	case len(c.Rules) > maxRules:
		return nil, p.at.refuse("more than %d rules", maxRules)
	case c.Timespan == 0:
		return nil, p.at.refuse("timespan is missing")
	}
	for _, l := range [][]string{c.Rules, c.GroupBy} {
		for i, s := range l {
			if slices.Contains(l[:i], s) {
				return nil, p.at.refuse("%s is named twice", s)
			}
		}
	}
	temporal := c.Type == "temporal" || c.Type == "temporal_ordered"
	switch {
	case condition != nil && c.Type == "temporal_ordered":
		return nil, condition.at.refuse("which of the rules would have to be in order is not said by a count of them")
	case condition != nil:
		if err := r.bounds(c, *condition); err != nil {
			return nil, err
		}
	case !temporal:
		return nil, p.at.refuse("condition is missing")
	default:
		c.Bounds = []Bound{{"gte", int64(len(c.Rules))}}
	}
	if temporal && len(c.Rules) < 2 {
		return nil, p.at.refuse("a correlation of type %s needs several rules", c.Type)
	}
	for alias, of := range c.Aliases {
		if !slices.Contains(c.GroupBy, alias) && !slices.Contains(c.Values, alias) {
			return nil, p.at.refuse("the alias %s is not used", alias)
		}
		for rule := range of {
			if !slices.Contains(c.Rules, rule) {
				return nil, p.at.refuse("the alias %s is given for %s, which is not one of the rules", alias, rule)
			}
		}
	}
	return c, nil
}

// timespan reads a number with s, m, h or d behind it (specification, "Time Selection").
func timespan(p pair) (time.Duration, error) {
	s, err := p.text()
	if err != nil {
		return 0, err
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if len(s) < 2 || len(s) > 10 || units[s[len(s)-1]] == 0 {
		return 0, p.at.refuse("%q is not a number followed by s, m, h or d", s)
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil || n == 0 {
		return 0, p.at.refuse("%q is not a number followed by s, m, h or d", s)
	}
	unit := units[s[len(s)-1]]
	if n > uint64(maxTimespan/unit) {
		return 0, p.at.refuse("%q is longer than %d days", s, maxTimespan/(24*time.Hour))
	}
	return time.Duration(n) * unit, nil
}

func (r *reader) aliases(p pair) (map[string]map[string]string, error) {
	ps, err := r.pairs(p.value, p.at.path)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]string{}
	for _, q := range ps {
		of, err := r.pairs(q.value, q.at.path)
		if err != nil {
			return nil, err
		}
		out[q.key] = map[string]string{}
		for _, f := range of {
			if out[q.key][f.key], err = f.text(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// bounds reads the condition of a correlation (specification, "Condition").
func (r *reader) bounds(c *Correlation, p pair) error {
	ps, err := r.pairs(p.value, p.at.path)
	if err != nil {
		return err
	}
	for _, q := range ps {
		switch q.key {
		case "gt", "gte", "lt", "lte", "eq", "neq":
			var n int64
			if q.value.Kind != yaml.ScalarNode || q.value.ShortTag() != "!!int" || q.value.Decode(&n) != nil || n < 0 {
				return q.at.refuse("a whole number is expected here")
			}
			c.Bounds = append(c.Bounds, Bound{q.key, n})
		case "field":
			if c.Type != "value_count" {
				return q.at.refuse("only value_count counts values of a field")
			}
			if c.Values, err = r.texts(q); err != nil {
				return err
			}
		default:
			return q.at.refuse("the key is not known in a correlation's condition")
		}
	}
	if len(c.Bounds) == 0 {
		return p.at.refuse("gt, gte, lt, lte, eq or neq is missing")
	}
	if c.Type == "value_count" && len(c.Values) == 0 {
		return p.at.refuse("field is missing")
	}
	return nil
}

// Set is rules whose references to each other are resolved.
type Set struct {
	// Rules and Correlations are to be asked. Those that a correlation refers to
	// are not among them, unless it says generate.
	Rules        []*Rule
	Correlations []*Correlation
}

// Link resolves what documents say of each other: the rules that correlations
// and filters name by id or name. It changes the correlations. It returns the
// documents that can be used and an error that joins a [Refusal] for each
// correlation and filter that cannot. A filter that is refused filters nothing:
// too much is found then, not too little.
func Link(docs []Document) (*Set, error) {
	l := linker{by: map[string][]Document{}, filters: map[*Rule][]*Filter{}, filtered: map[*Rule]*Rule{}, state: map[*Correlation]int{}}
	for _, d := range docs {
		h := d.Header()
		if h.ID != "" {
			l.by[h.ID] = append(l.by[h.ID], d)
		}
		if h.Name != "" && h.Name != h.ID {
			l.by[h.Name] = append(l.by[h.Name], d)
		}
	}
	var errs []error
	for _, d := range docs {
		if d.Filter != nil {
			errs = append(errs, l.filter(d.Filter))
		}
	}
	inner := map[any]bool{} // referred to
	own := map[any]bool{}   // by one that says generate
	var good []*Correlation
	for _, d := range docs {
		c := d.Correlation
		if c == nil {
			continue
		}
		if err := l.correlation(c, 1); err != nil {
			errs = append(errs, err)
			continue
		}
		good = append(good, c)
		for _, ref := range c.refs {
			inner[ref] = true
			own[ref] = own[ref] || c.Generate
		}
	}
	set := &Set{}
	for _, d := range docs {
		if d.Rule == nil {
			continue
		}
		r := l.rule(d.Rule)
		if !inner[r] || own[r] {
			set.Rules = append(set.Rules, r)
		}
	}
	for _, c := range good {
		if !inner[c] || own[c] {
			set.Correlations = append(set.Correlations, c)
		}
	}
	return set, errors.Join(errs...)
}

type linker struct {
	by       map[string][]Document
	filters  map[*Rule][]*Filter
	filtered map[*Rule]*Rule
	state    map[*Correlation]int // 1: being linked, 2: linked, 3: refused
}

// find returns the one document that a reference means.
func (l *linker) find(ref string, at place) (Document, error) {
	ds := l.by[ref]
	switch len(ds) {
	case 0:
		return Document{}, at.refuse("there is no rule with the id or name %q, or it was refused", ref)
	case 1:
		return ds[0], nil
	}
	a, b := ds[0].Header(), ds[1].Header()
	return Document{}, at.refuse("%q could be %s:%d or %s:%d", ref, a.File, a.Line, b.File, b.Line)
}

func (l *linker) filter(f *Filter) error {
	var to []*Rule
	for _, ref := range f.Rules {
		d, err := l.find(ref, f.at)
		if err != nil {
			return err
		}
		r := d.Rule
		if r == nil {
			return f.at.refuse("%q is not a detection rule; a filter is for those", ref)
		}
		for _, p := range [][2]string{{f.LogSource.Category, r.LogSource.Category}, {f.LogSource.Product, r.LogSource.Product}, {f.LogSource.Service, r.LogSource.Service}} {
			if p[0] != "" && p[0] != p[1] {
				return f.at.refuse("the filter is for %s, the rule %q for %s", f.LogSource, ref, r.LogSource)
			}
		}
		to = append(to, r)
	}
	for _, r := range to {
		l.filters[r] = append(l.filters[r], f)
	}
	return nil
}

// rule returns a rule with its filters.
func (l *linker) rule(r *Rule) *Rule {
	fs := l.filters[r]
	if len(fs) == 0 {
		return r
	}
	if l.filtered[r] == nil {
		with := *r
		all := conj{r.expr}
		for _, f := range fs {
			all = append(all, f.expr)
		}
		with.expr = all
		l.filtered[r] = &with
	}
	return l.filtered[r]
}

func (l *linker) correlation(c *Correlation, depth int) error {
	switch l.state[c] {
	case 1:
		return c.at.refuse("the correlation refers to itself")
	case 2:
		return nil
	case 3:
		return c.at.refuse("refused")
	}
	if depth > maxChain {
		return c.at.refuse("more than %d correlations refer to one another", maxChain)
	}
	l.state[c] = 3
	var refs []any
	for _, ref := range c.Rules {
		d, err := l.find(ref, c.at)
		if err != nil {
			return err
		}
		switch {
		case d.Rule != nil:
			refs = append(refs, l.rule(d.Rule))
		case d.Correlation != nil:
			l.state[c] = 1
			if err := l.correlation(d.Correlation, depth+1); err != nil {
				l.state[c] = 3
				return c.at.refuse("rule %s: %s", ref, reason(err))
			}
			for _, g := range slices.Concat(c.GroupBy, c.Values) {
				if f := c.field(g, len(refs)); !slices.Contains(d.Correlation.GroupBy, f) {
					l.state[c] = 3
					return c.at.refuse("%s is not in the group-by of the correlation %s, whose matches have no other fields", f, ref)
				}
			}
			refs = append(refs, d.Correlation)
		default:
			return c.at.refuse("%q is a filter", ref)
		}
	}
	c.refs = refs
	l.state[c] = 2
	return nil
}

func reason(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return fmt.Sprint(err)
}

// field is what a name of group-by or field means for the i-th rule.
func (c *Correlation) field(name string, i int) string {
	if f, ok := c.Aliases[name][c.Rules[i]]; ok {
		return f
	}
	return name
}
