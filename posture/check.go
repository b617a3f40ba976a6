package posture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
)

// check is one kind of door: what it looks for, why it matters, what closing
// it breaks and which techniques that takes away.
type check struct {
	id, title, why, breaks string
	techniques             []string
	ask                    func(*facts, *tenant, *check) found
}

// found is what a check finds out about a tenant.
type found struct {
	doors []Door
	state State
	text  string
	fetch string
}

// checks lists the checks; docs/POSTURE.md has them, too.
func checks() []check {
	return slices.Concat(accountChecks(), appChecks(), auditChecks())
}

// Check documents a check.
type Check struct {
	ID, Title, Why, Breaks string
	Techniques             []string
}

// Checks lists what is looked for.
func Checks() (out []Check) {
	for _, c := range checks() {
		out = append(out, Check{c.id, c.title, c.why, c.breaks, c.techniques})
	}
	return out
}

func open(doors ...Door) found { return found{doors: doors, state: Open} }

func unknown(text, fetch string) found { return found{state: Unknown, text: text, fetch: fetch} }

func notSeen(text, fetch string) found { return found{state: NotSeen, text: text, fetch: fetch} }

// door begins a door of a check.
func (c *check) door(t *tenant, sev casefile.Severity, title, seen string, members []Member) Door {
	d := Door{Check: c.id, Tenant: t.ID, TenantName: t.Name, Severity: sev, Title: title, Seen: seen, Why: c.why, Breaks: c.breaks, Techniques: c.techniques, Members: members, Count: int64(len(members))}
	return d
}

// cover says how well logs cover the tenant's evidence.
func (t *tenant) cover(names ...string) string {
	var parts []string
	for _, n := range names {
		if l := t.log(n); l != nil {
			parts = append(parts, fmt.Sprintf("%s on %d of %d days", logName(n), l.Days, l.Window))
		} else {
			parts = append(parts, "no "+logName(n))
		}
	}
	return strings.Join(parts, ", ")
}

func logName(n string) string {
	switch n {
	case "ual":
		return "unified audit log"
	case "directory":
		return "Entra directory audit"
	case "signin/interactive":
		return "interactive sign-ins"
	case "signin/noninteractive":
		return "non-interactive sign-ins"
	case "signin/service_principal":
		return "sign-ins of service principals"
	case "signin/managed_identity":
		return "sign-ins of managed identities"
	}
	return n
}

// days is how long the tenant's evidence is.
func (t *tenant) days() int64 {
	if t.From.IsZero() {
		return 0
	}
	return int64(t.To.Truncate(24*time.Hour).Sub(t.From.Truncate(24*time.Hour)).Hours()/24) + 1
}

// people are the tenant's accounts that are not known to be disabled, by name.
func (f *facts) people(t *tenant) (out []*account) {
	for _, k := range sortedKeys(f.accounts) {
		if a := f.accounts[k]; a.tenant == t.ID && (a.enabled == nil || *a.enabled) {
			out = append(out, a)
		}
	}
	return out
}

// appsOf are the tenant's applications, by name.
func (f *facts) appsOf(t *tenant) (out []*app) {
	seen := map[*app]bool{}
	for _, k := range sortedKeys(f.apps) {
		if a := f.apps[k]; a.tenant == t.ID && !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b *app) int { return strings.Compare(a.label()+" "+a.id, b.label()+" "+b.id) })
	return out
}

func (a *account) privileged() []string {
	var out []string
	for _, r := range a.roles {
		if privileged(r) {
			out = append(out, r)
		}
	}
	return out
}

func (a *account) member(text string, events ...string) Member {
	return Member{Kind: casefile.Account, ID: a.upn, Text: text, Events: events, Places: a.places}
}

func (a *app) member(text string, events []string, places []Place) Member {
	m := Member{Kind: casefile.App, ID: a.id, Name: a.name, Text: text, Events: events, Places: places}
	if a.id == "" || strings.HasPrefix(a.id, "name:") {
		m.Kind, m.ID = casefile.ServicePrincipal, first(a.sp, a.name)
	}
	return m
}

func ids(ms []Member) (out []string) {
	for _, m := range ms {
		out = append(out, m.ID)
	}
	return out
}
