package investigate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
)

// component is a set of findings that are held to be one actor's doing.
type component struct {
	findings []casefile.Finding
	rules    []casefile.Finding // of Sigma rules; see attach
	joins    []casefile.Join
}

// part is a finding's part in an entity.
type part struct {
	f      int
	entity casefile.Entity
}

// join groups findings. Sessions, tokens and credentials join always.
// Applications join by any of their ids, but not those that everybody uses.
// Accounts join what an account did after it was taken over, made or guessed;
// having been tried in a spray joins nothing. Addresses join only when rare.
func (w *world) join(findings []casefile.Finding) []component {
	parts := map[string][]part{}
	shared := sharedApps()
	for i, f := range findings {
		for _, e := range f.Entities {
			if e.Role == casefile.RoleVictim || e.Role == roleExcluded || e.ID == "" || e.Kind == casefile.IP && e.Role == casefile.RoleTarget {
				continue
			}
			switch e.Kind {
			case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
				if !shared[e.ID] {
					parts["app "+w.ids.root(e.ID)] = append(parts["app "+w.ids.root(e.ID)], part{i, e})
				}
			case casefile.Account, casefile.Session, casefile.Token, casefile.Credential, casefile.IP, casefile.Address:
				k := string(e.Kind) + " " + e.ID
				parts[k] = append(parts[k], part{i, e})
			}
		}
	}
	u := newUnion(len(findings))
	var joins []casefile.Join
	for _, key := range sortedKeys(parts) {
		ps := parts[key]
		slices.SortStableFunc(ps, func(a, b part) int { return a.f - b.f })
		for i := range ps {
			for j := i + 1; j < len(ps); j++ {
				a, b := ps[i], ps[j]
				if a.f == b.f || u.root(a.f) == u.root(b.f) || w.plan.apart(findings[a.f].ID, findings[b.f].ID) {
					continue
				}
				reason := w.reason(findings[a.f], findings[b.f], a.entity, b.entity)
				if reason == "" {
					continue
				}
				u.join(a.f, b.f)
				joins = append(joins, casefile.Join{A: findings[a.f].ID, B: findings[b.f].ID, Entity: casefile.Entity{Kind: a.entity.Kind, ID: a.entity.ID, Name: first(a.entity.Name, b.entity.Name)}, Reason: reason})
			}
		}
	}
	// Loud sprays of one hour from several servers: accounts are the same, and
	// more than one server was right. Those that never were stay apart: the
	// internet's noise hits the same accounts every day.
	for i := range findings {
		for j := i + 1; j < len(findings); j++ {
			if e, ok := sameLoudSpray(&findings[i], &findings[j]); ok && u.root(i) != u.root(j) && !w.plan.apart(findings[i].ID, findings[j].ID) {
				u.join(i, j)
				joins = append(joins, casefile.Join{A: findings[i].ID, B: findings[j].ID, Entity: e, Reason: "the same accounts were tried from both addresses within hours, and passwords were right from both"})
			}
		}
	}
	// Applications that come from ever new networks and read the same
	// mailboxes: two applications are never in the same home by chance, and
	// need not share one to be in the same hands.
	for i := range findings {
		for j := i + 1; j < len(findings); j++ {
			if e, ok := sameReaders(&findings[i], &findings[j]); ok && u.root(i) != u.root(j) && !w.plan.apart(findings[i].ID, findings[j].ID) {
				u.join(i, j)
				joins = append(joins, casefile.Join{A: findings[i].ID, B: findings[j].ID, Entity: e, Reason: "both applications come from ever new networks, in the same time, and read this mailbox"})
			}
		}
	}
	// What people decided comes last, and against all of the above.
	for _, f := range w.plan.forced(findings) {
		u.join(f.a, f.b)
		joins = append(joins, f.Join)
	}
	byRoot := map[int]*component{}
	var order []int
	for i, f := range findings {
		r := u.root(i)
		if byRoot[r] == nil {
			byRoot[r] = &component{}
			order = append(order, r)
		}
		byRoot[r].findings = append(byRoot[r].findings, f)
	}
	of := map[string]int{}
	for i, f := range findings {
		of[f.ID] = u.root(i)
	}
	for _, j := range joins {
		c := byRoot[of[j.A]]
		c.joins = append(c.joins, j)
	}
	var out []component
	for _, r := range order {
		out = append(out, *byRoot[r])
	}
	return out
}

// What two loud addresses that are both right must share to be one spray.
const (
	loudApart  = 6 * time.Hour // between their first attempts, at most
	loudShared = 5             // accounts; servers that share the work each take some
)

// sameLoudSpray reports whether two findings are one spray from two addresses.
func sameLoudSpray(a, b *casefile.Finding) (casefile.Entity, bool) {
	var e casefile.Entity
	if a.Detector != "failures_one_ip" || b.Detector != a.Detector || a.Tenant != b.Tenant || len(conversions(a)) == 0 || len(conversions(b)) == 0 || isExcluded(a, casefile.IP) || isExcluded(b, casefile.IP) {
		return e, false
	}
	if d := a.First.Sub(b.First.Time); d > loudApart || d < -loudApart {
		return e, false
	}
	x := append(entities(a, casefile.Account, casefile.RoleVictim), conversions(a)...)
	y := append(entities(b, casefile.Account, casefile.RoleVictim), conversions(b)...)
	in, both := map[string]bool{}, 0
	for _, v := range x {
		in[v] = true
	}
	for _, v := range y {
		if in[v] {
			both++
			e = casefile.Entity{Kind: casefile.Account, ID: v}
		}
	}
	return e, both >= loudShared
}

// sameReaders reports whether two findings are of applications that hop
// through networks in the same time and read a mailbox in common.
func sameReaders(a, b *casefile.Finding) (casefile.Entity, bool) {
	const hops = "app_many_networks"
	if a.Detector != hops || b.Detector != hops || a.Tenant != b.Tenant || a.Severity.Rank() < casefile.Medium.Rank() || b.Severity.Rank() < casefile.Medium.Rank() || gap(*a, *b) > 0 || isExcluded(a, casefile.App) || isExcluded(b, casefile.App) {
		return casefile.Entity{}, false
	}
	theirs := entities(b, casefile.Mailbox, casefile.RoleTarget)
	for _, m := range entities(a, casefile.Mailbox, casefile.RoleTarget) {
		if slices.Contains(theirs, m) {
			return casefile.Entity{Kind: casefile.Mailbox, ID: m}, true
		}
	}
	return casefile.Entity{}, false
}

// reason says why two findings that share an entity are one actor's, or
// nothing when sharing it is no reason.
func (w *world) reason(a, b casefile.Finding, ea, eb casefile.Entity) string {
	switch ea.Kind {
	case casefile.Session:
		return "the same session"
	case casefile.Token:
		return "the same token"
	case casefile.Credential:
		return "the same credential"
	case casefile.Address:
		return "mail goes to the same address outside"
	case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
		if ea.ID == eb.ID {
			return "the same application"
		}
		return fmt.Sprintf("the same application (%s and %s are its ids)", ea.ID, eb.ID)
	case casefile.Account:
		return accountReason(a, b, ea, eb)
	case casefile.IP:
		if !w.rareIP(ea.ID) {
			return ""
		}
		if gap(a, b) > 14*24*time.Hour {
			return ""
		}
		return fmt.Sprintf("the same address, which %d accounts use in all of the evidence", w.ips[ea.ID].accounts)
	}
	return ""
}

// accountReason joins what an account did to how it was taken over.
func accountReason(a, b casefile.Finding, ea, eb casefile.Entity) string {
	ta, tb := taken(a, ea), taken(b, eb)
	switch {
	case ta != "" && tb != "":
		return "the same account was taken over"
	case ta != "" && eb.Role == casefile.RoleActor && !b.Last.Before(a.First.Time):
		return "done by an account that " + ta
	case tb != "" && ea.Role == casefile.RoleActor && !a.Last.Before(b.First.Time):
		return "done by an account that " + tb
	case ea.Role == casefile.RoleActor && eb.Role == casefile.RoleActor && gap(a, b) <= 24*time.Hour &&
		a.Severity.Rank() >= casefile.Medium.Rank() && b.Severity.Rank() >= casefile.Medium.Rank():
		// An administrator does many things in a day; only those that stand
		// out by themselves are taken together.
		return "done by the same account within a day"
	}
	return ""
}

// taken says how a finding shows that an account is in somebody else's hands.
func taken(f casefile.Finding, e casefile.Entity) string {
	switch {
	case e.Role == casefile.RoleConverted:
		switch f.Detector {
		case "canary_account":
			return "nobody may use"
		case "dormant_account_wakes":
			return "woke after a long silence"
		case "legacy_auth_first":
			return "signed in over a legacy protocol for the first time"
		case "mfa_fatigue":
			return "was asked for the second factor until it was given"
		case "new_method_after_new_network":
			return "got a new second factor from a strange network"
		case "single_factor_new_network":
			return "signed in without a second factor from a strange network"
		}
		return "was guessed"
	case f.Detector == "young_consenter" && e.Role == casefile.RoleTarget:
		return "had just been created"
	case f.Detector == "session_second_network" && e.Role == casefile.RoleTarget && f.Severity.Rank() >= casefile.Medium.Rank():
		return "had a session in a second network"
	}
	return ""
}

// gap is the time between two findings, 0 when they overlap.
func gap(a, b casefile.Finding) time.Duration {
	if d := b.First.Sub(a.Last.Time); d > 0 {
		return d
	}
	if d := a.First.Sub(b.Last.Time); d > 0 {
		return d
	}
	return 0
}

// isCampaign reports whether a component is more than a finding to be looked
// at: one severe finding, a slow spray, or two of different kinds.
func (c *component) isCampaign() bool {
	kinds := map[string]bool{}
	for _, f := range c.findings {
		if f.Severity.Rank() >= casefile.High.Rank() || f.Detector == "slow_spray" {
			return true
		}
		if f.Severity.Rank() >= casefile.Medium.Rank() {
			kinds[f.Detector] = true
		}
	}
	return len(kinds) >= 2
}

// has reports whether a component has a finding of one of the detectors.
func (c *component) has(detectors ...string) bool {
	return slices.ContainsFunc(c.findings, func(f casefile.Finding) bool { return slices.Contains(detectors, f.Detector) })
}

// count counts a component's findings of a detector.
func (c *component) count(detector string) (n int) {
	for i := range c.findings {
		if c.findings[i].Detector == detector {
			n++
		}
	}
	return n
}

// id of the campaign: of its earliest evidence, so that it stays when later
// evidence is added.
func (c *component) id() string {
	var ids []string
	for _, f := range c.findings {
		ids = append(ids, f.First.String()+" "+f.ID)
	}
	slices.Sort(ids)
	_, id, _ := strings.Cut(ids[0], " ")
	return casefile.ID("c", id)
}

// union is a union-find over indices.
type union struct{ parent []int }

func newUnion(n int) *union {
	u := &union{parent: make([]int, n)}
	for i := range u.parent {
		u.parent[i] = i
	}
	return u
}

func (u *union) root(i int) int {
	for u.parent[i] != i {
		u.parent[i] = u.parent[u.parent[i]]
		i = u.parent[i]
	}
	return i
}

func (u *union) join(a, b int) {
	a, b = u.root(a), u.root(b)
	u.parent[max(a, b)] = min(a, b)
}
