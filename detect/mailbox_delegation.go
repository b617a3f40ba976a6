package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// mailboxDelegation finds standing access to other people's mailboxes:
// permissions on mailboxes and folders, and the role to impersonate everybody.
type mailboxDelegation struct{}

// What tells a delegation for a purpose from one for collection.
const (
	delegatedBoxes = 3                  // mailboxes that one account is given
	delegatedSpan  = 7 * 24 * time.Hour // within
)

// Card implements [Detector].
func (mailboxDelegation) Card() Card {
	return Card{
		ID:    "mailbox_delegation",
		Title: "Access to other people's mailboxes was given",
		Why: "A permission on a mailbox outlives a password change and needs no further sign-in of its owner. Intruders give it to an account of theirs, over several mailboxes, or open " +
			"folders to everybody, which hardly anyone looks at.",
		FalsePositives: []string{"assistants and shared mailboxes", "mailboxes of people who left", "administrators who help with a mailbox"},
		Techniques:     []string{"T1098.002"},
		Stage:          casefile.StagePersistence,
		Needs:          exchangeNeeds(),
		Severity:       casefile.Medium,
		FalseAlarms:    FalseAlarms{PerDay: 0.003, Basis: "estimate: an administrator helps himself to a mailbox once a year; none in simulated quiet tenants, which have delegates but no record of how they became that"},
	}
}

// permission is one that was given.
type permission struct {
	r               *record
	mailbox, holder string // lower case; as far as the record says
	rights, folder  string
}

// Detect implements [Detector].
func (d mailboxDelegation) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `class IN ('mailbox_permission', 'impersonation') AND coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service' AND coalesce(actor, '') NOT LIKE 's-1-5-%'
		AND operation NOT LIKE 'remove%'`)
	if err != nil {
		return nil, err
	}
	rs = oneOf(rs)
	var out []casefile.Finding
	var full []permission
	for i := range rs {
		r := &rs[i]
		p, ok := d.permission(r)
		switch {
		case event.Class(r.Class) == event.ClassImpersonation:
			if f, ok := d.impersonation(r); ok {
				out = append(out, f)
			}
		case !ok:
		case p.everybody():
			if f, ok := d.opened(p); ok {
				out = append(out, f)
			}
		case p.folder == "" || p.readsFolder():
			full = append(full, p)
		}
	}
	return append(out, d.delegations(full)...), nil
}

// permission reads who may do what in which mailbox.
func (mailboxDelegation) permission(r *record) (permission, bool) {
	p := permission{r: r, rights: r.Permissions, folder: r.detail.Folder}
	last := func(s string) string { return strings.ToLower(afterLast(strings.TrimSpace(s), "/")) }
	params := r.detail.Params
	p.holder = last(firstOf(params["User"], params["Trustee"], r.Target))
	p.mailbox = last(firstOf(r.Mailbox, params["Identity"]))
	if r.Operation == "add-mailboxfolderpermission" || r.Operation == "set-mailboxfolderpermission" {
		box, folder, _ := strings.Cut(params["Identity"], ":")
		p.mailbox, p.folder = last(box), firstOf(folder, `\`)
	}
	return p, p.holder != "" && p.mailbox != ""
}

// everybody reports whether all of the organization, or of the world, has it.
func (p *permission) everybody() bool {
	return slices.Contains([]string{"default", "anonymous", "everyone"}, p.holder)
}

// readsFolder reports whether the rights include reading what is in a folder.
func (p *permission) readsFolder() bool {
	for _, r := range []string{"readany", "reviewer", "editor", "author", "owner", "contributor, read", "readitems"} {
		if strings.Contains(strings.ToLower(p.rights), r) {
			return true
		}
	}
	return false
}

// calendar reports whether a folder is one that people share every day.
func (p *permission) calendar() bool {
	f := strings.ToLower(p.folder)
	for _, w := range []string{"calendar", "kalender", "calendrier", "calendario", "agenda", "contacts", "kontakte", "tasks", "free/busy"} {
		if strings.Contains(f, w) {
			return true
		}
	}
	return false
}

// opened is a folder that everybody may read.
func (d mailboxDelegation) opened(p permission) (casefile.Finding, bool) {
	if p.calendar() || !p.readsFolder() {
		return casefile.Finding{}, false
	}
	f := d.base(p.r)
	f.Severity = casefile.High
	f.Title = fmt.Sprintf("Folder %s of %s may be read by %s", p.folder, p.mailbox, p.holder)
	f.Why = fmt.Sprintf("%s gave %s the rights %s on folder %s of mailbox %s at %s: whoever is in the organization, or whoever comes, may read it.", p.r.who(), p.holder, p.rights, p.folder, p.mailbox, f.First)
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: p.mailbox, Role: casefile.RoleTarget})
	f.Counts = []casefile.Count{{Name: "folders", Value: 1}}
	return f, true
}

// impersonation is the role with which an account acts as anybody.
func (d mailboxDelegation) impersonation(r *record) (casefile.Finding, bool) {
	role := firstOf(r.Permissions, r.detail.Params["Role"])
	name := strings.ToLower(strings.ReplaceAll(role, " ", ""))
	if name != "applicationimpersonation" && !strings.HasPrefix(name, "applicationmail.") && name != "applicationexchangefullaccess" && name != "mailboxsearch" && name != "mailboximportexport" {
		return casefile.Finding{}, false
	}
	f := d.base(r)
	f.Severity = casefile.High
	holder := strings.ToLower(afterLast(firstOf(r.detail.Params["User"], r.detail.Params["App"], r.detail.Params["SecurityGroup"], r.detail.Params["Policy"], r.Target, "somebody"), "/"))
	f.Title = fmt.Sprintf("Management role %s given to %s", role, holder)
	f.Why = fmt.Sprintf("%s gave the management role %s to %s at %s. With it mail of all mailboxes in its scope can be read, in their owners' name or by search and export.", r.who(), role, holder, f.First)
	if strings.Contains(holder, "@") {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: holder, Role: casefile.RoleTarget})
	}
	if a := strings.ToLower(r.detail.Params["App"]); a != "" {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.App, ID: a, Role: casefile.RoleTarget})
	}
	f.Counts = []casefile.Count{{Name: "roles", Value: 1}}
	return f, true
}

func (mailboxDelegation) base(r *record) casefile.Finding {
	return casefile.Finding{Tenant: r.Tenant, First: casefile.TimeOf(r.Time), Last: casefile.TimeOf(r.Time), Events: r.ids(), Entities: r.actorEntities()}
}

// delegations makes a finding of what one account was given within a week.
func (d mailboxDelegation) delegations(ps []permission) (out []casefile.Finding) {
	var groups [][]permission
next:
	for _, p := range ps {
		for i, g := range groups {
			if g[0].holder == p.holder && g[0].r.Tenant == p.r.Tenant && p.r.Time.Sub(g[0].r.Time) <= delegatedSpan {
				groups[i] = append(g, p)
				continue next
			}
		}
		groups = append(groups, []permission{p})
	}
	for _, g := range groups {
		first := g[0]
		f := d.base(first.r)
		f.Severity = casefile.Low
		var boxes, rights, givers []string
		itself := false
		for _, p := range g {
			f.Last = casefile.TimeOf(p.r.Time)
			f.Events = append(f.Events, p.r.ids()...)
			f.Entities = append(f.Entities, p.r.actorEntities()...)
			boxes, rights, givers = append(boxes, p.mailbox), append(rights, firstOf(p.rights, "rights that are not named")), append(givers, p.r.who())
			name, _, _ := strings.Cut(p.r.Actor, "@")
			itself = itself || (p.holder == p.r.Actor || p.holder == name) && p.mailbox != p.holder && p.mailbox != name
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: p.mailbox, Role: casefile.RoleTarget})
		}
		f.Events = capIDs(casefile.Unique(f.Events))
		boxes, rights, givers = casefile.Unique(boxes), casefile.Unique(rights), casefile.Unique(givers)
		f.Title = fmt.Sprintf("%s was given %s on %s", first.holder, list(rights, 2), list(boxes, 2))
		f.Why = fmt.Sprintf("%s gave %s %s on %s: %s.", list(givers, 3), first.holder, strings.Join(rights, ", "), plural(int64(len(boxes)), "mailbox", "mailboxes"), list(boxes, 8))
		f.Counts = []casefile.Count{{Name: "mailboxes", Value: float64(len(boxes)), Limit: limit(delegatedBoxes)}}
		if itself {
			f.Severity = casefile.Medium
			f.Why += " The account gave it to itself."
		}
		if len(boxes) >= delegatedBoxes {
			f.Severity = casefile.High
			f.Why += fmt.Sprintf(" So many within %s are no assistant's.", plural(int64(delegatedSpan.Hours()/24), "day", "days"))
		}
		out = append(out, f)
	}
	return out
}
