package respond

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
)

// Options choose what goes into a plan.
type Options struct {
	Suspected bool     // carry out what is only suspected, too
	Campaigns []string // ids; empty: all
	Tenants   []string // ids; empty: all
}

// maxEvents is how many records a step cites; the findings have the rest.
const maxEvents = 8

// draft is a step with what its place depends on.
type draft struct {
	Step
	power bool // it can open other doors
	since casefile.Time
}

type builder struct {
	c        *casefile.Case
	o        Options
	findings map[string]*casefile.Finding
	drafts   []draft
	index    map[string]int // by id of the step

	p         *casefile.Campaign // the one that is being planned for
	suspected bool               // all of it
	at        string             // said after titles, where an object is in several tenants
}

// Build makes the plan for a case.
func Build(c *casefile.Case, o Options) (*Plan, error) {
	b := &builder{c: c, o: o, findings: map[string]*casefile.Finding{}, index: map[string]int{}}
	for i := range c.Findings {
		b.findings[c.Findings[i].ID] = &c.Findings[i]
	}
	known := map[string]bool{}
	for i := range c.Campaigns {
		b.p = &c.Campaigns[i]
		known[b.p.ID] = true
		if len(o.Campaigns) > 0 && !slices.Contains(o.Campaigns, b.p.ID) {
			continue
		}
		b.suspected = b.p.Standing != "established"
		for j := range b.p.Accounts {
			b.account(&b.p.Accounts[j])
		}
		for j := range b.p.Apps {
			b.app(&b.p.Apps[j])
		}
		b.mail()
		b.verify()
	}
	for _, id := range o.Campaigns {
		if !known[id] {
			return nil, fmt.Errorf("no campaign %q in the case; it has %s", id, strings.Join(campaigns(c), ", "))
		}
	}
	p := &Plan{Schema: Schema, Case: c.Case.ID, Suspected: o.Suspected, Phases: Phases(), Steps: []Step{}}
	slices.SortStableFunc(b.drafts, func(x, y draft) int {
		return cmp.Or(
			cmp.Compare(x.Phase, y.Phase),
			compareBool(y.power, x.power),
			y.since.Compare(x.since.Time), // the newest first
			cmp.Compare(x.Tenant, y.Tenant),
			cmp.Compare(x.Kind, y.Kind),
			cmp.Compare(x.ID, y.ID))
	})
	for i := range b.drafts {
		p.Steps = append(p.Steps, b.drafts[i].Step)
	}
	return p, p.seal()
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func campaigns(c *casefile.Case) []string {
	out := []string{}
	for _, p := range c.Campaigns {
		out = append(out, p.ID)
	}
	if len(out) == 0 {
		return []string{"none"}
	}
	return out
}

// add completes a step and puts it in, or joins it to the same step that
// another campaign has. A step is suspected only when nobody is sure of it.
func (b *builder) add(d draft) {
	if len(b.o.Tenants) > 0 && !slices.Contains(b.o.Tenants, d.Tenant) {
		return
	}
	if d.Executable && !GUID(d.Tenant) {
		d.Executable, d.ByHand = false, "the records do not name the tenant by its id"
	}
	d.Title += b.at
	d.Suspected = d.Suspected || b.suspected
	d.Campaigns = []string{b.p.ID}
	d.Findings = casefile.Unique(d.Findings)
	d.Events = d.Events[:min(len(d.Events), maxEvents)]
	if !d.Undo.Possible {
		d.Undo.Calls = nil
	}
	for _, l := range []*[]string{&d.Findings, &d.Events, &d.PowerShell, &d.Permissions} {
		if *l == nil {
			*l = []string{}
		}
	}
	if d.Calls == nil {
		d.Calls = []Call{}
	}
	target, _ := json.Marshal(d.Target) // of strings and booleans: it cannot fail
	d.ID = casefile.ID("s", d.Tenant, string(d.Kind), string(target), string(d.Object.Kind), d.Object.ID)
	if i, ok := b.index[d.ID]; ok {
		have := &b.drafts[i]
		have.Suspected = have.Suspected && d.Suspected
		have.Campaigns = casefile.Unique(append(have.Campaigns, d.Campaigns...))
		have.Findings = casefile.Unique(append(have.Findings, d.Findings...))
		have.power = have.power || d.power
		have.since = casefile.Later(have.since, d.since)
		return
	}
	b.index[d.ID] = len(b.drafts)
	b.drafts = append(b.drafts, d)
}

// evidence is the findings of the campaign among ids, and some records: those
// given, or the first of the findings.
func (b *builder) evidence(ids, events []string) (findings, records []string) {
	for _, id := range ids {
		f := b.findings[id]
		if f == nil || !slices.Contains(b.p.Findings, id) {
			continue
		}
		findings = append(findings, id)
		if len(events) == 0 {
			records = append(records, f.Events[:min(len(f.Events), 3)]...)
		}
	}
	if len(events) > 0 {
		records = events
	}
	return findings, records
}

// tenant returns a tenant that a reference names, or the only one there is.
func (b *builder) tenant(named string) string {
	if named == "" && len(b.p.Tenants) == 1 {
		return b.p.Tenants[0]
	}
	return named
}

// place is what people call a tenant: its first domain, or its id.
func (b *builder) place(id string) string {
	for _, t := range b.c.Case.Tenants {
		if t.ID == id && len(t.Domains) > 0 {
			return t.Domains[0]
		}
	}
	return id
}

// collects reports whether an entity read or searched mail in the campaign.
func (b *builder) collects(ids ...string) bool {
	return b.does([]string{casefile.StageCollection}, ids)
}

// acts reports whether an entity did something in the campaign that gives
// access to others: such findings have the stages persistence and privilege.
func (b *builder) acts(ids ...string) bool {
	return b.does([]string{casefile.StagePersistence, casefile.StagePrivilege}, ids)
}

func (b *builder) does(stages, ids []string) bool {
	for _, id := range b.p.Findings {
		f := b.findings[id]
		if f == nil || !slices.Contains(stages, f.Stage) {
			continue
		}
		for _, e := range f.Entities {
			if e.Role == casefile.RoleActor && e.ID != "" && slices.Contains(ids, e.ID) {
				return true
			}
		}
	}
	return false
}

// opening lists the application permissions that give others, or oneself, more.
func opening() []string {
	return []string{
		"AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All", "Application.ReadWrite.OwnedBy", "Directory.ReadWrite.All",
		"RoleManagement.ReadWrite.Directory", "DelegatedPermissionGrant.ReadWrite.All", "User.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All",
		"User-PasswordProfile.ReadWrite.All", "GroupMember.ReadWrite.All", "Group.ReadWrite.All", "PrivilegedAccess.ReadWrite.AzureAD",
		"Policy.ReadWrite.ConditionalAccess", "Domain.ReadWrite.All", "Organization.ReadWrite.All",
	}
}

func body(v any) json.RawMessage {
	raw, _ := json.Marshal(v) // of maps of strings and booleans: it cannot fail
	return raw
}

// created returns the object ids of the accounts that the actor made in a tenant.
func (b *builder) created(tenant string) []string {
	var out []string
	for _, a := range b.p.Accounts {
		if slices.Contains(a.Roles, casefile.AccountCreated) && GUID(a.ID) && b.tenant(a.Tenant) == tenant {
			out = append(out, a.ID)
		}
	}
	return casefile.Unique(out)
}

// verify adds the look at what happened meanwhile, one a tenant.
func (b *builder) verify() {
	users, apps, names := map[string][]string{}, map[string][]string{}, map[string]bool{}
	for i := range b.drafts {
		d := &b.drafts[i]
		if d.Phase > Mail || d.Target.User == "" && d.Target.App == "" && d.Target.Principal == "" {
			continue
		}
		names[d.Tenant] = true
		users[d.Tenant] = append(users[d.Tenant], d.Target.User)
		apps[d.Tenant] = append(apps[d.Tenant], d.Target.App, d.Target.Principal)
	}
	for _, t := range casefile.Unique(keys(names)) {
		d := draft{Step: Step{
			Phase: Verify, Kind: NothingNew, Tenant: t, Title: "Look whether anything new appeared meanwhile in " + b.place(t),
			Object: Object{Kind: "tenant", ID: t, Origin: "organization"},
			Reason: "an actor who notices uses what is left to come back: new credentials, accounts and permissions appear within minutes",
			Calls: []Call{{Method: "GET", Path: "/auditLogs/directoryAudits?$filter=activityDateTime ge {time of the first step}",
				Note: "and everything that was changed is read again"}},
			Breaks: "nothing", Undo: Undo{Text: "nothing was changed"},
			Verify:      Check{"the same", "no record whose initiator is one of the actor's identities; audit records arrive minutes late, so look again after an hour"},
			Permissions: []string{"AuditLog.Read.All"}, Executable: true,
			Target: Target{Principals: casefile.Unique(users[t]), Apps: casefile.Unique(apps[t])},
		}}
		b.verifyOnce(d)
	}
}

// verifyOnce keeps one look a tenant, for all campaigns.
func (b *builder) verifyOnce(d draft) {
	for i := range b.drafts {
		have := &b.drafts[i]
		if have.Kind != NothingNew || have.Tenant != d.Tenant {
			continue
		}
		have.Target.Principals = casefile.Unique(append(have.Target.Principals, d.Target.Principals...))
		have.Target.Apps = casefile.Unique(append(have.Target.Apps, d.Target.Apps...))
		have.Campaigns = casefile.Unique(append(have.Campaigns, b.p.ID))
		have.Suspected = have.Suspected && b.suspected
		return
	}
	b.add(d)
}

func keys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}
