// Package investigate turns findings into campaigns: it joins what one actor
// did, follows what the actor acted as, and says which mailboxes and messages
// that reached, since when, and what the evidence cannot say.
//
// Everything is recomputed from the store, in an order that does not depend on
// how records arrived, so that the same evidence gives the same case.
package investigate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// Options are what the store does not hold. The zero value is valid.
type Options struct {
	Sources     []casefile.Source
	Assessed    []casefile.Assessed
	NotAssessed []casefile.NotAssessed
	// DirectoryMailboxes is the number of users of the organization, from its
	// directory: the better denominator for shares. 0 when it is not known.
	DirectoryMailboxes int64
	// Assets are what the case answers for whether it was accessed; nil:
	// [ReadyAssets].
	Assets []Asset
	// People are the rows of the organization's directory, for what is
	// over-represented among what was reached.
	People []Person
	// Earlier are cases that this one is compared with, see [EarlierOf].
	Earlier []EarlierInput
	// Overrides are what people decided about the campaigns, see [Overrides].
	Overrides []casefile.Override
	// MaxCampaigns bounds how many campaigns are grown, the most severe
	// first; default 100. The findings of the others stay findings.
	MaxCampaigns int
}

// Investigate makes the case. findings is not changed.
func Investigate(ctx context.Context, q store.Querier, findings []casefile.Finding, opts Options) (*casefile.Case, error) {
	if opts.MaxCampaigns == 0 {
		opts.MaxCampaigns = 100
	}
	if opts.Assets == nil {
		opts.Assets = ReadyAssets()
	}
	w, err := newWorld(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	c := &casefile.Case{
		Schema: casefile.Schema, Sources: opts.Sources, Assessed: opts.Assessed, NotAssessed: opts.NotAssessed,
		Findings: w.withTenants(slices.Clone(findings)),
	}
	casefile.SortFindings(c.Findings)
	w.plan = newPlan(opts.Overrides, c.Findings, w.ids)
	if c.Case, err = w.summary(ctx, q, opts.Sources); err != nil {
		return nil, err
	}
	if c.Coverage, err = w.coverage(ctx, q, opts.Sources); err != nil {
		return nil, err
	}
	if err := w.readIPs(ctx, q, addresses(c.Findings)); err != nil {
		return nil, fmt.Errorf("use of addresses: %w", err)
	}
	var comps []component
	for _, x := range w.join(w.plan.kept(detected(c.Findings))) {
		if x.isCampaign() {
			comps = append(comps, x)
		}
	}
	slices.SortStableFunc(comps, func(a, b component) int { return b.severity().Rank() - a.severity().Rank() })
	comps = comps[:min(len(comps), opts.MaxCampaigns)]
	w.attach(comps, w.plan.kept(c.Findings))
	for i := range comps {
		camp, err := w.campaign(ctx, q, &comps[i], c, opts)
		if err != nil {
			return nil, fmt.Errorf("campaign: %w", err)
		}
		c.Campaigns = append(c.Campaigns, *camp)
	}
	sortCampaigns(c.Campaigns)
	if err := w.assertions(ctx, q, c, w.acted, opts.Assets); err != nil {
		return nil, fmt.Errorf("assertions: %w", err)
	}
	c.CannotClear = w.uncleared(c)
	c.Earlier = compareEarlier(c, opts.Earlier)
	if err := consistent(c); err != nil {
		return nil, err
	}
	if c.Assumed, err = w.assumed(ctx, q, c); err != nil {
		return nil, fmt.Errorf("readers of mail: %w", err)
	}
	c.Alerts = alerts(c)
	c.Overrides = w.plan.outcome(c)
	c.Verdict = append(caseVerdict(c), overridden(c)...)
	if c.Evidence, err = evidence(ctx, q, cited(c)); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return c, nil
}

// withTenants names the tenant of findings whose records do not, from the
// domain of their accounts.
func (w *world) withTenants(fs []casefile.Finding) []casefile.Finding {
	for i := range fs {
		f := &fs[i]
		if f.Tenant != "" {
			continue
		}
		for _, e := range f.Entities {
			_, domain, ok := strings.Cut(e.ID, "@")
			if ok && (e.Kind == casefile.Account || e.Kind == casefile.Mailbox) && w.tenantOf[domain] != "" {
				f.Tenant = w.tenantOf[domain]
				break
			}
		}
	}
	return fs
}

func addresses(fs []casefile.Finding) []string {
	m := map[string]bool{}
	for _, f := range fs {
		for _, e := range f.Entities {
			if e.Kind == casefile.IP {
				m[e.ID] = true
			}
		}
	}
	return sortedKeys(m)
}

func (w *world) summary(ctx context.Context, q store.Querier, sources []casefile.Source) (s casefile.Summary, err error) {
	s.Tenants, s.First, s.Last = w.tenants, casefile.TimeOf(w.from), casefile.TimeOf(w.to)
	for _, t := range w.tenants {
		s.Events += t.Events
	}
	var hashes []string
	for _, x := range sources {
		hashes = append(hashes, x.SHA256)
	}
	if len(hashes) == 0 {
		hashes = append(hashes, s.First.String(), s.Last.String(), fmt.Sprint(s.Events))
	}
	slices.Sort(hashes)
	s.ID = casefile.ID("case", hashes...)
	return s, nil
}

func (c *component) severity() (s casefile.Severity) {
	for _, f := range c.findings {
		if f.Severity.Rank() > s.Rank() {
			s = f.Severity
		}
	}
	return s
}

func sortCampaigns(cs []casefile.Campaign) {
	slices.SortStableFunc(cs, func(a, b casefile.Campaign) int {
		if x, y := standingRank(a.Standing), standingRank(b.Standing); x != y {
			return y - x
		}
		if x, y := a.Severity.Rank(), b.Severity.Rank(); x != y {
			return y - x
		}
		if x, y := a.Reach.Mailboxes, b.Reach.Mailboxes; x.Confirmed != y.Confirmed {
			return int(y.Confirmed - x.Confirmed)
		}
		if c := a.Start.Compare(b.Start.Time); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// The standings of a campaign.
const (
	established = "established"
	suspected   = "suspected"
)

func standingRank(s string) int {
	if s == established {
		return 1
	}
	return 0
}

// campaign grows one component.
func (w *world) campaign(ctx context.Context, q store.Querier, comp *component, c *casefile.Case, opts Options) (*casefile.Campaign, error) {
	camp := &casefile.Campaign{ID: comp.id(), Severity: comp.severity(), Joins: comp.joins}
	tenants := map[string]bool{}
	for _, f := range comp.findings {
		camp.Findings = append(camp.Findings, f.ID)
		camp.Techniques = append(camp.Techniques, f.Techniques...)
		camp.End = casefile.Later(camp.End, f.Last)
		tenants[f.Tenant] = true
	}
	camp.Techniques = casefile.Unique(camp.Techniques)
	for _, f := range comp.rules {
		camp.Findings = append(camp.Findings, f.ID)
	}

	g := newGrower(w, q)
	if err := g.grow(ctx, comp.findings); err != nil {
		return nil, err
	}
	r := newReach(w)
	acts := map[string]activity{}
	for _, k := range g.order {
		x := g.contexts[k]
		if err := r.read(ctx, q, x); err != nil {
			return nil, err
		}
		a, err := g.activity(ctx, x)
		if err != nil {
			return nil, err
		}
		acts[k] = a
		camp.Contexts = append(camp.Contexts, x.Context)
		if a.n > 0 && !x.maybe {
			camp.End = casefile.Later(camp.End, casefile.TimeOf(a.last))
		}
	}
	var err error
	if camp.Mailboxes, err = r.finish(ctx, q); err != nil {
		return nil, err
	}
	addForwarded(camp, comp.findings)
	w.addDelegated(camp, comp.findings)
	for _, m := range camp.Mailboxes {
		tenants[m.Tenant] = true
		camp.End = casefile.Later(camp.End, m.Last)
	}
	delete(tenants, "")
	camp.Tenants = sortedKeys(tenants)
	camp.Reach = sum(camp.Mailboxes)

	b := &builder{w: w, q: q, g: g, comp: comp, camp: camp, c: c, acts: acts}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	b.standing()
	b.accounts(ctx)
	b.apps()
	b.credentials()
	if err := b.addresses(ctx); err != nil {
		return nil, err
	}
	b.auditGaps()
	for _, step := range []func(context.Context) error{b.minted, b.purged, b.milestones} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.share(ctx, opts); err != nil {
		return nil, err
	}
	if err := b.cannotClear(ctx); err != nil {
		return nil, err
	}
	if err := b.timeline(ctx); err != nil {
		return nil, err
	}
	if err := b.interests(ctx, opts.People); err != nil {
		return nil, fmt.Errorf("interests: %w", err)
	}
	var contexts []*grown
	for _, k := range g.order {
		contexts = append(contexts, g.contexts[k])
	}
	w.acted = append(w.acted, acted{camp.ID, contexts})
	camp.Title = b.title()
	camp.Verdict = b.verdict()
	return camp, nil
}

func days(a, b time.Time) float64 {
	if a.IsZero() || b.IsZero() || b.Before(a) {
		return 0
	}
	return round(b.Sub(a).Hours()/24, 1)
}
