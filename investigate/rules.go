package investigate

import (
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
)

// Findings of Sigma rules know one record, and their severity is an opinion of
// any organization. They take part in what detectors found and change nothing
// of it: a component of them alone is no campaign, they join no two components
// with one another, and severity, standing, begin and reach of a campaign are
// those of its other findings.

// fromRule reports whether a finding is of a Sigma rule.
func fromRule(f casefile.Finding) bool { return strings.HasPrefix(f.Detector, "sigma:") }

// detected lists the findings of detectors.
func detected(fs []casefile.Finding) []casefile.Finding {
	return slices.DeleteFunc(slices.Clone(fs), fromRule)
}

// attach gives each finding of a rule to the first of the components with which
// it shares something that joins. What a rule finds everywhere is a sign of
// nothing (severity info), and joins nothing.
func (w *world) attach(comps []component, fs []casefile.Finding) {
	type member struct {
		comp   int
		f      *casefile.Finding
		entity casefile.Entity
	}
	shared := sharedApps()
	key := func(e casefile.Entity) string {
		switch e.Kind {
		case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
			if shared[e.ID] {
				return ""
			}
			return "app " + w.ids.root(e.ID)
		case casefile.Account, casefile.Session, casefile.Token, casefile.Credential, casefile.IP:
			return string(e.Kind) + " " + e.ID
		}
		return ""
	}
	members := map[string][]member{}
	for i := range comps {
		for j := range comps[i].findings {
			f := &comps[i].findings[j]
			for _, e := range f.Entities {
				if k := key(e); k != "" && e.ID != "" && e.Role != casefile.RoleVictim && e.Role != roleExcluded {
					members[k] = append(members[k], member{i, f, e})
				}
			}
		}
	}
	for _, f := range fs {
		if !fromRule(f) || f.Severity == casefile.Info {
			continue
		}
		if i, join := w.plan.attached(comps, &f); i >= 0 {
			comps[i].rules = append(comps[i].rules, f)
			comps[i].joins = append(comps[i].joins, join)
			continue
		}
		best, join := len(comps), casefile.Join{}
		for _, e := range f.Entities {
			for _, m := range members[key(e)] {
				if m.comp >= best || e.Role == roleExcluded || w.plan.apart(f.ID, m.f.ID) {
					continue
				}
				if reason := w.ruleReason(f, *m.f, e, m.entity); reason != "" {
					best = m.comp
					join = casefile.Join{A: m.f.ID, B: f.ID, Entity: casefile.Entity{Kind: e.Kind, ID: e.ID, Name: first(m.entity.Name, e.Name)}, Reason: reason}
				}
			}
		}
		if best < len(comps) {
			comps[best].rules = append(comps[best].rules, f)
			comps[best].joins = append(comps[best].joins, join)
		}
	}
}

// ruleReason says why what a rule found belongs to a detector's finding. An
// account joins only when the finding says that it is in other hands: what its
// owner does matches rules, too. An application joins what it did from about
// then on.
func (w *world) ruleReason(rule, f casefile.Finding, er, ef casefile.Entity) string {
	switch ef.Kind {
	case casefile.Account:
		if t := taken(f, ef); t != "" && er.Role == casefile.RoleActor && !rule.Last.Before(f.First.Time) {
			return "done by an account that " + t
		}
		return ""
	case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
		if rule.Last.Before(f.First.Add(-24 * time.Hour)) {
			return ""
		}
	}
	return w.reason(rule, f, er, ef)
}
