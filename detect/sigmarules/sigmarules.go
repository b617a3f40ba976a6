// Package sigmarules turns what Sigma rules find into findings.
//
// A rule knows one record, or a few (correlations), and nothing of the
// organization. What it says is therefore weighed, not believed:
//
//   - There is one finding for each rule, tenant and actor (an account or an
//     application), however many records the rule matches.
//   - A rule that matches more than one in a hundred of the records of the kinds
//     it matches, or more than [maxActors] actors, is a sign of nothing here. It
//     becomes one finding of severity info that says so.
//   - No finding is critical. That word is kept for what several findings show
//     together; a rule's level is its author's opinion of one record in any
//     organization, so that critical counts as high.
//   - Package investigate lets such findings join a campaign that others made, and
//     never makes a campaign of them alone.
//
// All rules of one log are asked in one scan of it, in as many questions as it
// takes to keep each of a sane size. A second scan, only of the rules that found
// few records, fetches what these are about.
package sigmarules

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/rules"
	"midwatch/sigma"
	"midwatch/store"
)

// Prefix is what the detector ids of rules begin with.
const Prefix = "sigma:"

// When a rule matches too much to be a sign of anything.
const (
	maxShare  = 0.01 // of the records of the kinds (column class) that it matches, in the tenant
	minNoise  = 100  // records; fewer are looked at whatever their share
	maxActors = 50   // accounts and applications of a tenant; a person goes through no more
)

// maxSQL bounds a question in bytes: a ClickHouse server takes 256 KiB.
const maxSQL = 120 << 10

// Set is a folder of rules with a name, the folder's path.
type Set struct {
	Name   string
	Folder *rules.Folder
}

// Builtin is the set of the rules that Midwatch brings along.
func Builtin() (Set, error) {
	f, err := rules.Builtin()
	return Set{"built-in", f}, err
}

// rule is a rule or a correlation that is asked.
type rule struct {
	*sigma.Header
	id   string // of the detector
	rule *sigma.Rule
	corr *sigma.Correlation
	set  string
}

// named gives every rule of the sets an id of its own: the rule's, or the name
// of its file. Of rules that two sets have, the first is asked.
func named(sets []Set) []rule {
	var out []rule
	taken := map[string]string{} // id → rule as file:line within its set
	add := func(r rule) {
		r.id = Prefix + r.ID
		name := strings.TrimSuffix(filepath.Base(r.File), filepath.Ext(r.File))
		if r.ID == "" {
			r.id = Prefix + name
		}
		if other := taken[r.id]; other != "" {
			if r.ID != "" && other != r.set {
				return
			}
			r.id = fmt.Sprintf("%s%s:%d", Prefix, name, r.Line)
		}
		if taken[r.id] == "" {
			taken[r.id] = r.set
			out = append(out, r)
		}
	}
	for _, s := range sets {
		for _, r := range s.Folder.Rules {
			add(rule{Header: &r.Header, rule: r, set: s.Name})
		}
		for _, c := range s.Folder.Correlations {
			add(rule{Header: &c.Header, corr: c, set: s.Name})
		}
	}
	return out
}

// Cards are the identity cards of the sets' rules, by id.
func Cards(sets ...Set) []detect.Card {
	var out []detect.Card
	for _, r := range named(sets) {
		out = append(out, r.card())
	}
	slices.SortFunc(out, func(a, b detect.Card) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func (r rule) card() detect.Card {
	k := detect.Card{
		ID: r.id, Title: r.Title, Why: strings.Join(strings.Fields(r.Description), " "), FalsePositives: r.FalsePositives,
		Techniques: techniques(r.Tags), Stage: stage(r.Tags), Severity: severity(r.Level),
		FalseAlarms: detect.FalseAlarms{Basis: "not known: the rule's author does not say, and it differs by organization; what matches too much becomes a finding of severity info"},
	}
	if k.Why == "" {
		k.Why = "The rule does not say."
	}
	if r.rule != nil {
		k.Needs.Fetch = "the log that Sigma calls " + r.rule.LogSource.String()
	} else {
		k.Needs.Fetch = "the logs of the rules that it is about: " + strings.Join(r.corr.Rules, ", ")
	}
	return k
}

// Run asks the rules of all sets. Rules of logs that were not received, and
// those that were refused, are not assessed.
func Run(ctx context.Context, q store.Querier, sets ...Set) (*detect.Result, error) {
	a := &asker{q: q}
	if err := a.inventory(ctx); err != nil {
		return nil, err
	}
	var res detect.Result
	for _, s := range sets {
		res.NotAssessed = append(res.NotAssessed, refused(s)...)
	}
	type group struct {
		set, source string
		log         sigma.LogSource
		rules       []rule
	}
	var groups []*group
	by := map[string]*group{}
	for _, r := range named(sets) {
		if r.corr != nil {
			fs, err := a.correlation(ctx, r)
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", r.File, err)
			}
			res.Findings = append(res.Findings, fs...)
			res.Assessed = append(res.Assessed, casefile.Assessed{Detector: r.id, Title: r.Title, Findings: len(fs), Sources: []string{}})
			continue
		}
		source, _, err := sigma.Where(r.rule, rules.Schema{})
		if err != nil {
			return nil, err // rules.Read has asked this, too
		}
		key := r.set + "\x00" + source
		if by[key] == nil {
			by[key] = &group{set: r.set, source: source, log: r.rule.LogSource}
			groups = append(groups, by[key])
		}
		by[key].rules = append(by[key].rules, r)
	}
	for _, g := range groups {
		id := fmt.Sprintf("%s%s (%s)", Prefix, g.set, g.log)
		title := fmt.Sprintf("%d Sigma rules, %s", len(g.rules), g.set)
		log := rules.Log(g.log)
		if log != "" && !a.received[log] {
			res.NotAssessed = append(res.NotAssessed, casefile.NotAssessed{
				Detector: id, Title: title, Reason: fmt.Sprintf("no record of the log that they are about was received (%s)", log), Fetch: "the log that Sigma calls " + g.log.String(),
			})
			continue
		}
		fs, err := a.rules(ctx, g.rules)
		if err != nil {
			return nil, fmt.Errorf("rules of %s for %s: %w", g.set, g.log, err)
		}
		sources := []string{}
		if log != "" {
			sources = append(sources, log)
		}
		res.Findings = append(res.Findings, fs...)
		res.Assessed = append(res.Assessed, casefile.Assessed{Detector: id, Title: title, Findings: len(fs), Sources: sources})
	}
	casefile.SortFindings(res.Findings)
	slices.SortFunc(res.Assessed, func(a, b casefile.Assessed) int { return strings.Compare(a.Detector, b.Detector) })
	slices.SortFunc(res.NotAssessed, func(a, b casefile.NotAssessed) int {
		return strings.Compare(a.Detector+a.Reason, b.Detector+b.Reason)
	})
	return &res, nil
}

// refused lists the rules of a set that cannot be asked.
func refused(s Set) (out []casefile.NotAssessed) {
	for _, f := range s.Folder.Files {
		for _, r := range f.Refused {
			out = append(out, casefile.NotAssessed{
				Detector: Prefix + filepath.Base(r.File), Title: "Sigma rule " + r.File,
				Reason: "refused: " + r.Error(), Fetch: "a rule that can be asked; `midwatch rules check` tells which can",
			})
		}
	}
	return out
}
