package investigate

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

// acted is what a campaign's actor acted as, kept for questions about all
// campaigns.
type acted struct {
	campaign string
	contexts []*grown
}

// enoughCover is the share of hours that a log has to cover for the absence of
// a record in it to mean something.
const enoughCover = 0.9

// matched is an asset with the SQL that finds its records.
type matched struct {
	Asset
	where string   // what the actor may have done to it; empty: nothing in the evidence is known to be it
	known string   // what others do to it
	terms []string // what matched, in words
	logs  []needed // logs that would show access to it
}

// needed is a log that would show access.
type needed struct{ source, kind, class string }

// assertions answers for each asset whether the campaigns' actors accessed it.
//
// The answer is the more careful one whenever there is a choice. Accessed needs
// a record. No evidence needs three things: that the logs are known to show
// access to the asset at all, because somebody else's is in them; that the logs
// which would show the actor's were received; and that they cover nine tenths
// of the hours in which the actor may have been inside. Otherwise it cannot be
// told.
func (w *world) assertions(ctx context.Context, q store.Querier, c *casefile.Case, as []acted, assets []Asset) error {
	if len(as) == 0 {
		return nil // nobody is known to be inside whose access could be looked for
	}
	ms, err := w.matchAssets(ctx, q, assets)
	if err != nil {
		return err
	}
	from, to := w.to, w.to
	for i := range c.Campaigns {
		at := c.Campaigns[i].StartNotBefore.Time
		if at.IsZero() {
			at = w.from
		}
		if at.Before(from) {
			from = at
		}
	}
	ts, err := w.touch(ctx, q, as, ms, from)
	if err != nil {
		return err
	}
	for i := range ms {
		c.Assertions = append(c.Assertions, w.assertion(c, as, &ms[i], &ts[i], from, to))
	}
	return nil
}

// matchAssets finds out what of each asset is in the evidence. Names are
// matched against the few distinct ones, not against every record.
func (w *world) matchAssets(ctx context.Context, q store.Querier, assets []Asset) ([]matched, error) {
	type app struct{ id, name, resource, resourceName string }
	var apps []app
	err := store.Each(ctx, q, `SELECT DISTINCT coalesce(app_id, ''), coalesce(app_name, ''), coalesce(resource_id, ''), coalesce(resource_name, '') FROM events WHERE class = 'sign_in' ORDER BY 1, 2, 3, 4`, nil, func(scan scanner) error {
		var x app
		err := scan(&x.id, &x.name, &x.resource, &x.resourceName)
		apps = append(apps, x)
		return err
	})
	if err != nil {
		return nil, err
	}
	ms := make([]matched, 0, len(assets))
	for _, a := range assets {
		m := matched{Asset: a}
		var or, others []string
		ids, resources := map[string]bool{}, map[string]bool{}
		for _, x := range apps {
			if p, ok := fits(a.Apps, x.id, x.name); ok && x.id != "" {
				ids[x.id] = true
				m.terms = addTo(m.terms, []string{fmt.Sprintf("application %s (%s)", first(x.name, x.id), p)})
			}
			if p, ok := fits(a.Resources, x.resource, x.resourceName); ok && x.resource != "" {
				resources[x.resource] = true
				m.terms = addTo(m.terms, []string{fmt.Sprintf("API %s (%s)", first(x.resourceName, x.resource), p)})
			}
		}
		if len(ids) > 0 {
			or = append(or, `class = 'sign_in' AND app_id IN (`+quoted(sortedKeys(ids))+`)`)
			// An application that signs in by itself shows no person's access.
			others = append(others, `class = 'sign_in' AND app_id IN (`+quoted(sortedKeys(ids))+`) AND actor_kind NOT IN ('app', 'managed')`)
		}
		n := len(or)
		if len(resources) > 0 {
			or = append(or, `class = 'sign_in' AND resource_id IN (`+quoted(sortedKeys(resources))+`)`)
		}
		if len(a.Apps)+len(a.Resources)+len(a.Accounts) > 0 || a.OtherTenants {
			m.logs = append(m.logs, needed{string(event.SignIn), "interactive", signIns}, needed{string(event.SignIn), "noninteractive", signIns}, needed{string(event.SignIn), "service_principal", signIns})
		}
		if a.OtherTenants {
			or = append(or, `class = 'sign_in' AND detail LIKE '%"resource_tenant"%'`)
			m.terms = append(m.terms, "sign-ins to other organizations' tenants")
		}
		if len(a.Accounts) > 0 {
			or = append(or, `class = 'sign_in' AND actor IN (`+quoted(folded(a.Accounts))+`)`)
			m.terms = append(m.terms, "accounts "+joinWords(a.Accounts))
		}
		if ts := w.tenantIDs(a.Tenants); len(ts) > 0 {
			or = append(or, `tenant IN (`+quoted(ts)+`)`)
			m.terms = append(m.terms, "tenants "+joinWords(a.Tenants))
			m.logs = append(m.logs, needed{string(event.SignIn), "interactive", signIns})
		}
		for _, s := range a.Subscriptions {
			or = append(or, `source = 'azure_activity' AND (lower(target) LIKE `+like("%/subscriptions/"+strings.ToLower(s)+"%")+` OR lower(target_id) LIKE `+like("%/subscriptions/"+strings.ToLower(s)+"%")+`)`)
			m.terms = append(m.terms, "subscription "+s)
		}
		if len(a.Subscriptions) > 0 {
			m.logs = append(m.logs, needed{string(event.AzureActivity), "", allRecords})
		}
		for _, s := range a.Sites {
			or = append(or, `class IN ('file_access', 'file_change', 'sharing') AND lower(target) LIKE `+like(strings.ToLower(s)+"%"))
			m.terms = append(m.terms, "site "+s)
		}
		if len(a.Sites) > 0 {
			m.logs = append(m.logs, needed{string(event.UAL), "", files})
		}
		for _, r := range a.Repositories {
			or = append(or, `class IN ('admin', 'other', 'file_access') AND lower(target) LIKE `+like(strings.NewReplacer("*", "%", "?", "_").Replace(strings.ToLower(r))))
			m.terms = append(m.terms, "repository "+r)
		}
		others = append(others, or[n:]...)
		if len(or) > 0 {
			m.known = `(coalesce(outcome, '') <> 'failure' AND ((` + strings.Join(others, `) OR (`) + `)))`
			m.where = `(coalesce(outcome, '') <> 'failure' AND ((` + strings.Join(or, `) OR (`) + `)))`
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// like quotes a pattern of LIKE.
func like(p string) string { return "'" + strings.ReplaceAll(p, "'", "''") + "'" }

func folded(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// tenantIDs turns domains into the ids of their tenants, as far as the
// evidence knows them.
func (w *world) tenantIDs(list []string) (out []string) {
	for _, s := range folded(list) {
		out = append(out, first(w.tenantOf[s], s))
	}
	return out
}

// touched is what was done to an asset.
type touched struct {
	records, accounts int64
	tenants           map[string]bool // in which others are seen to access it
	maybe             int64           // records that may be the owner's
	places            map[string]*casefile.AccessedItem
	contexts, events  []string
	n                 int64
}

// assertion answers for one asset.
func (w *world) assertion(c *casefile.Case, as []acted, m *matched, t *touched, from, to time.Time) casefile.Assertion {
	a := casefile.Assertion{Asset: m.Key, Name: m.Name, From: casefile.TimeOf(from), To: casefile.TimeOf(to), BlindSpots: slices.Clone(m.Blind)}
	for i := range as {
		a.Campaign = append(a.Campaign, as[i].campaign)
	}
	a.Known = casefile.Known{Records: t.records, Accounts: t.accounts, Matched: m.terms, Own: m.Own}
	a.Access, a.Contexts, a.Events = t.n, t.contexts, t.events
	for _, k := range sortedKeys(t.places) {
		a.Places = append(a.Places, *t.places[k])
	}
	slices.SortStableFunc(a.Places, func(x, y casefile.AccessedItem) int { return int(y.Records - x.Records) })
	a.Places = a.Places[:min(len(a.Places), 50)]
	w.answerCover(c, as, m, t.tenants, &a)
	w.answer(c, m, &a, t.maybe)
	a.ID = casefile.ID("as", a.Asset, a.Answer, a.Text)
	return a
}

// touch finds what everybody and what the contexts did to the assets: one
// question about everybody, and one a context, for all assets together.
func (w *world) touch(ctx context.Context, q store.Querier, as []acted, ms []matched, from time.Time) ([]touched, error) {
	ts := make([]touched, len(ms))
	var which []int // assets of which something is in the evidence
	var whole, known, others, flags []string
	for i := range ms {
		ts[i].tenants, ts[i].places = map[string]bool{}, map[string]*casefile.AccessedItem{}
		if ms[i].where == "" {
			continue
		}
		which = append(which, i)
		whole, known = append(whole, ms[i].where), append(known, ms[i].known)
		others = append(others, `count(CASE WHEN `+ms[i].known+` THEN 1 END), count(DISTINCT CASE WHEN `+ms[i].known+` THEN coalesce(nullif(actor, ''), actor_id, app_id) END)`)
		flags = append(flags, `CASE WHEN `+ms[i].where+` THEN 1 ELSE 0 END`)
	}
	if len(which) == 0 {
		return ts, nil
	}
	err := store.Each(ctx, q, `SELECT coalesce(tenant, ''), `+strings.Join(others, ", ")+` FROM events WHERE time >= ? AND (`+strings.Join(known, " OR ")+`) GROUP BY 1 ORDER BY 1`, []any{from}, func(scan scanner) error {
		var tenant string
		n := make([]int64, 2*len(which))
		dest := []any{&tenant}
		for i := range n {
			dest = append(dest, &n[i])
		}
		if err := scan(dest...); err != nil {
			return err
		}
		for k, i := range which {
			if n[2*k] > 0 {
				ts[i].records, ts[i].accounts, ts[i].tenants[tenant] = ts[i].records+n[2*k], ts[i].accounts+n[2*k+1], true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, a := range as {
		for _, x := range a.contexts {
			where, args := x.where(false)
			if where == "" {
				continue
			}
			err := store.Each(ctx, q, `SELECT CAST(id AS VARCHAR), time, coalesce(nullif(CASE WHEN class = 'sign_in' THEN coalesce(nullif(resource_name, ''), resource_id) ELSE target END, ''), app_name, app_id, ''), `+strings.Join(flags, ", ")+`
				FROM events WHERE (`+strings.Join(whole, " OR ")+`) AND `+where+` ORDER BY time, id`, args, func(scan scanner) error {
				var id, what string
				var at time.Time
				hit := make([]int64, len(which))
				dest := []any{&id, &at, &what}
				for i := range hit {
					dest = append(dest, &hit[i])
				}
				if err := scan(dest...); err != nil {
					return err
				}
				if seen[id] {
					return nil
				}
				seen[id] = true
				for k, i := range which {
					if hit[k] == 1 {
						ts[i].add(x, id, what, casefile.TimeOf(at))
					}
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return ts, nil
}

// add counts a record of a context.
func (t *touched) add(x *grown, id, what string, at casefile.Time) {
	if x.maybe {
		t.maybe++
		return
	}
	t.n++
	t.contexts = addTo(t.contexts, []string{x.ID})
	if len(t.events) < 20 {
		t.events = append(t.events, id)
	}
	p := t.places[what]
	if p == nil {
		p = &casefile.AccessedItem{What: what}
		t.places[what] = p
	}
	p.Records++
	p.First, p.Last = casefile.Earlier(p.First, at), casefile.Later(p.Last, at)
	if len(p.Events) < 5 {
		p.Events = append(p.Events, id)
	}
}

// answerCover says how far the logs cover that would show access: those of the
// kinds of context that the actors had, in their tenants.
func (w *world) answerCover(c *casefile.Case, as []acted, m *matched, tenants map[string]bool, a *casefile.Assertion) {
	people, apps := false, false
	for i := range as {
		for _, x := range as[i].contexts {
			people = people || x.Kind != "app"
			apps = apps || x.Kind == "app"
		}
	}
	if len(tenants) == 0 { // nobody is seen to access it: it may be anywhere
		for i := range c.Campaigns {
			for _, t := range c.Campaigns[i].Tenants {
				tenants[t] = true
			}
		}
	}
	for _, t := range sortedKeys(tenants) {
		for _, n := range m.logs {
			if n.kind == "service_principal" && !apps || (n.kind == "interactive" || n.kind == "noninteractive") && !people {
				continue
			}
			name := n.source
			if n.kind != "" {
				name += "/" + n.kind
			}
			x := casefile.AnswerCover{Tenant: t, Source: name, Class: n.class, State: "never"}
			if n.source == string(event.SignIn) {
				n.class = allRecords
			}
			i := slices.IndexFunc(c.Coverage.Matrix.Rows, func(r casefile.MatrixRow) bool {
				return r.Tenant == t && r.Source == n.source && r.Kind == n.kind && r.Class == n.class
			})
			if i >= 0 && c.Coverage.Matrix.Rows[i].Cells != "" {
				r := &c.Coverage.Matrix.Rows[i]
				begin := c.Coverage.Matrix.From.Time
				for h := range r.Cells {
					if at := begin.Add(time.Duration(h) * hour); at.Before(a.From.Truncate(hour)) || at.After(a.To.Time) {
						continue
					}
					x.Hours++
					if cell := r.Cells[h : h+1]; cell != casefile.CellAbsent && cell != casefile.CellRetention {
						x.Seen++
					}
				}
				// A rhythm that is not known cannot tell quiet from absent.
				if r.Share == nil {
					x.Seen = min(x.Seen, r.Seen)
				}
				if x.Hours > 0 {
					x.Share = round(float64(x.Seen)/float64(x.Hours), 4)
				}
				if x.State = "gaps"; x.Share >= 0.995 {
					x.State = "complete"
				}
			}
			if !slices.Contains(a.Coverage, x) {
				a.Coverage = append(a.Coverage, x)
			}
		}
	}
}

// answer decides, and writes the sentence.
func (w *world) answer(c *casefile.Case, m *matched, a *casefile.Assertion, maybe int64) {
	span := fmt.Sprintf("between %s and %s", day(a.From), day(a.To))
	low, never := 1.0, []string{}
	var covers, short []string
	for _, x := range a.Coverage {
		name := coverName(c, x)
		if x.State == "never" {
			never = append(never, name)
			low = 0
			continue
		}
		low = min(low, x.Share)
		covers = append(covers, fmt.Sprintf("%s %s", name, shareWords(x.Share)))
		if x.Share < enoughCover {
			short = append(short, fmt.Sprintf("%s covers %s of the hours", name, shareWords(x.Share)))
		}
	}
	a.Fetch = slices.Concat(a.Fetch, never, m.Fetch)
	switch {
	case a.Access > 0:
		a.Answer = casefile.Accessed
		var what []string
		for _, p := range a.Places {
			what = append(what, p.What)
		}
		a.Text = fmt.Sprintf("%s: accessed. %s by what the actor acted as, %s: %s.", upperFirst(m.Name), numbers(a.Access, "record", "records"), span, joinWords(what))
		a.Why = "records of the campaigns' contexts touch it; a sign-in shows that a door was opened, not what was done behind it"
		return
	case maybe > 0:
		a.Answer = casefile.CannotTell
		a.Why = fmt.Sprintf("%s of accounts that the actor had may be the owner's or the actor's", numbers(maybe, "record", "records"))
	case a.Known.Records == 0 && m.where != "":
		a.Answer = casefile.CannotTell
		a.Why = "nobody at all is seen to access it in these logs, so that they may not show such access"
	case a.Known.Records == 0:
		a.Answer = casefile.CannotTell
		a.Why = "nothing in these logs is known to be " + m.Name
		if !m.Own {
			a.Why += "; name its applications, sites, subscriptions or repositories in the configuration (assets: " + m.Key + ")"
		}
	case len(never) > 0:
		a.Answer = casefile.CannotTell
		a.Why = "never received: " + strings.Join(never, ", ")
	case len(short) > 0:
		a.Answer = casefile.CannotTell
		a.Why = strings.Join(short, "; ")
	default:
		a.Answer = casefile.NoEvidence
		a.Why = "the logs show others' access to it, cover the time, and show none of the actor's"
		a.Text = fmt.Sprintf("%s: no evidence of access %s. The logs hold %s of %s that touch it, none of them the actor's; of the hours of that time they cover: %s.",
			upperFirst(m.Name), span, numbers(a.Known.Records, "record", "records"), numbers(a.Known.Accounts, "account or application", "accounts and applications"), strings.Join(covers, ", "))
		return
	}
	a.Text = fmt.Sprintf("%s: cannot be told %s. %s.", upperFirst(m.Name), span, upperFirst(a.Why))
}

func shareWords(x float64) string {
	switch {
	case x >= 0.9995:
		return "100 %"
	case x > 0 && x < 0.01:
		return "less than 1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*x)
}

// coverName names a log of a tenant.
func coverName(c *casefile.Case, x casefile.AnswerCover) string {
	name := map[string]string{
		"signin/interactive": "sign-ins", "signin/noninteractive": "non-interactive sign-ins", "signin/service_principal": "sign-ins of applications",
		"ual": "audit log (" + strings.ReplaceAll(x.Class, "_", " ") + ")", "azure_activity": "Azure activity log",
	}[x.Source]
	name = first(name, x.Source)
	if len(c.Case.Tenants) > 1 {
		for _, t := range c.Case.Tenants {
			if t.ID == x.Tenant && len(t.Domains) > 0 {
				return name + " of " + t.Domains[0]
			}
		}
	}
	return name
}
