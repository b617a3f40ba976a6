package investigate

import (
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
)

// EarlierInput is what of an earlier case is compared: who and what its
// campaigns used, and no mail.
type EarlierInput struct {
	Path      string              `json:"path"`
	Case      casefile.Summary    `json:"case"`
	Campaigns []casefile.Campaign `json:"campaigns"` // without mailboxes, verdicts and evidence
}

// EarlierOf reduces a case to what is compared.
func EarlierOf(path string, c *casefile.Case) EarlierInput {
	in := EarlierInput{Path: path, Case: c.Case}
	for _, p := range c.Campaigns {
		in.Campaigns = append(in.Campaigns, casefile.Campaign{
			ID: p.ID, Title: p.Title, Severity: p.Severity, Standing: p.Standing, Tenants: p.Tenants, Start: p.Start, End: p.End, Techniques: p.Techniques,
			Accounts: p.Accounts, Apps: p.Apps, Credentials: p.Credentials, IPs: p.IPs, Sessions: p.Sessions, Tokens: p.Tokens,
		})
	}
	return in
}

// How two campaigns are related.
const (
	sameActorLikely = "same_actor_likely"
	related         = "related"
	techniqueOnly   = "technique_only"
)

// A second visit is the rule: Nobelium came to Microsoft in 2020, 2021 and
// 2023, and HPE found in December 2023 whom it had held to be gone in June.
//
// What only one actor can hold (a credential it added, an application or
// account it made, a session, a token) says that it is likely the same one, or
// that its door was left open. What was there before (an account taken again,
// an application taken over again) or an address says that they are related.
// Techniques alone say little, and are said to.
func compareEarlier(c *casefile.Case, earlier []EarlierInput) (out []casefile.EarlierCase) {
	for _, in := range earlier {
		if in.Case.ID == c.Case.ID {
			continue // the case itself, or a copy of it
		}
		e := casefile.EarlierCase{Case: in.Case.ID, Path: in.Path, First: in.Case.First, Last: in.Case.Last}
		for _, t := range in.Case.Tenants {
			if t.ID != "" && slices.ContainsFunc(c.Case.Tenants, func(x casefile.Tenant) bool { return x.ID == t.ID }) {
				e.Tenants = append(e.Tenants, t.ID)
			}
		}
		for i := range c.Campaigns {
			for j := range in.Campaigns {
				if m, ok := compareCampaigns(&c.Campaigns[i], &in.Campaigns[j]); ok {
					e.Campaigns = append(e.Campaigns, m)
				}
			}
		}
		rank := func(r string) int { return slices.Index([]string{sameActorLikely, related, techniqueOnly}, r) }
		slices.SortStableFunc(e.Campaigns, func(x, y casefile.EarlierMatch) int {
			if d := rank(x.Rank) - rank(y.Rank); d != 0 {
				return d
			}
			return len(y.Strong) + len(y.Weak) - len(x.Strong) - len(x.Weak)
		})
		switch {
		case len(e.Campaigns) > 0 && e.Campaigns[0].Rank != techniqueOnly:
			e.Text = e.Campaigns[0].Text
		case len(e.Campaigns) > 0:
			e.Text = "Nothing but techniques is the same as in the earlier case " + e.Case + ", and these are common."
		default:
			e.Text = "Nothing of the campaigns of this case is in those of the earlier case " + e.Case + "; addresses change between visits, so that this says little."
		}
		out = append(out, e)
	}
	return out
}

func compareCampaigns(p, o *casefile.Campaign) (m casefile.EarlierMatch, ok bool) {
	m = casefile.EarlierMatch{Campaign: p.ID, Other: o.ID, OtherTitle: o.Title}
	same := false
	strong := func(kind casefile.EntityKind, id, name, how string, alone bool) {
		same = same || alone
		m.Strong = append(m.Strong, casefile.Entity{Kind: kind, ID: id, Name: name, Role: how})
	}
	for _, a := range p.Credentials {
		if slices.ContainsFunc(o.Credentials, func(b casefile.CredentialRef) bool { return b.KeyID == a.KeyID }) {
			strong(casefile.Credential, a.KeyID, "", "added", true)
		}
	}
	for _, a := range p.Apps {
		i := slices.IndexFunc(o.Apps, func(b casefile.AppRef) bool {
			return a.ID != "" && a.ID == b.ID || slices.ContainsFunc(a.ServicePrincipals, func(id string) bool { return id == b.ID || slices.Contains(b.ServicePrincipals, id) })
		})
		if i >= 0 {
			// The earlier actor's own application is there before this case begins.
			strong(casefile.App, a.ID, first(a.Name, o.Apps[i].Name), o.Apps[i].Role, o.Apps[i].Role != casefile.AppTakenOver)
		}
	}
	for _, a := range p.Accounts {
		if roleRank(a.Role) > roleRank(casefile.AccountConsenter) {
			continue
		}
		i := slices.IndexFunc(o.Accounts, func(b casefile.AccountRef) bool {
			return strings.EqualFold(a.UPN, b.UPN) && roleRank(b.Role) <= roleRank(casefile.AccountConsenter)
		})
		if i >= 0 {
			strong(casefile.Account, a.UPN, "", o.Accounts[i].Role, o.Accounts[i].Role == casefile.AccountCreated)
		}
	}
	for _, a := range p.Sessions {
		if slices.ContainsFunc(o.Sessions, func(b casefile.SessionRef) bool { return b.ID == a.ID }) {
			strong(casefile.Session, a.ID, a.Account, "", true)
		}
	}
	for _, a := range p.Tokens {
		if slices.ContainsFunc(o.Tokens, func(b casefile.TokenRef) bool { return b.ID == a.ID }) {
			strong(casefile.Token, a.ID, a.Account, "", true)
		}
	}
	for _, a := range p.IPs {
		if !a.Shared && slices.ContainsFunc(o.IPs, func(b casefile.IPRef) bool { return b.IP == a.IP && !b.Shared }) {
			m.Weak = append(m.Weak, casefile.Entity{Kind: casefile.IP, ID: a.IP, Name: a.ASOrg})
		}
	}
	for _, t := range p.Techniques {
		if slices.Contains(o.Techniques, t) {
			m.Techniques = append(m.Techniques, t)
		}
	}
	when := "overlaps in time with"
	if d := days(o.End.Time, p.Start.Time); d > 0 {
		m.DaysApart, when = d, fmt.Sprintf("ended %.0f days before", d)
	}
	var names []string
	for _, e := range append(slices.Clone(m.Strong), m.Weak...) {
		names = append(names, strings.ReplaceAll(string(e.Kind), "_", " ")+" "+first(e.Name, e.ID))
	}
	switch {
	case same:
		m.Rank = sameActorLikely
		m.Text = fmt.Sprintf("An earlier campaign (%s) %s this one and had %s: it is likely the same actor, or its door was left open.", o.Title, when, joinWords(names))
	case len(m.Strong) > 0 || len(m.Weak) >= 2:
		m.Rank = related
		m.Text = fmt.Sprintf("An earlier campaign (%s) %s this one and shares %s with it; that somebody else came by the same is possible.", o.Title, when, joinWords(names))
	case len(m.Techniques) >= 3:
		m.Rank = techniqueOnly
		m.Text = fmt.Sprintf("An earlier campaign (%s) %s this one and used %d of its techniques; many do.", o.Title, when, len(m.Techniques))
	default:
		return m, false
	}
	return m, true
}
