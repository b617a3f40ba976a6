package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"midwatch/store"
)

// InferTenants gives events whose export names no tenant (Graph's audit JSON,
// message trace) the tenant of their accounts' domain, where the rest of the
// evidence says whose domain it is. An export is of one tenant, so that a
// file's events go together; a file whose accounts point to several tenants
// stays as it is. Without it one organization would be two in every question.
//
// It is called after every load, also one that brought nothing: the process
// before may have died between its load and this. Where every event has a
// tenant, that costs a look at two narrow columns. Only tenants that records
// name are evidence for others, not those that were inferred: what comes out
// does not depend on how many loads it took.
func InferTenants(ctx context.Context, st store.Store) error {
	nameless := 0
	err := each(ctx, st, "SELECT 1 FROM events WHERE "+noTenant+" LIMIT 1", func(scan func(...any) error) error { return scan(&nameless) })
	if err != nil || nameless == 0 {
		return err
	}
	owner, err := domainOwners(ctx, st)
	if err != nil || len(owner) == 0 {
		return err
	}
	type part struct {
		file int32
		from string
	}
	found := map[part]map[string]int64{}
	err = each(ctx, st, `SELECT file, coalesce(tenant, ''), coalesce(d, ''), count(*) FROM (
			SELECT file, tenant, lower(regexp_extract(coalesce(mailbox, CASE WHEN actor LIKE '%@%' THEN actor END, CASE WHEN target LIKE '%@%' THEN target END, recipients), '@([^ @]+)', 1)) AS d
			FROM events WHERE `+noTenant+`
		) x GROUP BY file, tenant, d ORDER BY file, tenant, d`, func(scan func(...any) error) error {
		var p part
		var domain string
		var n int64
		if err := scan(&p.file, &p.from, &domain, &n); err != nil {
			return err
		}
		if found[p] == nil {
			found[p] = map[string]int64{}
		}
		if t := owner[domain]; t != "" {
			found[p][t] += n
		}
		if t := owner[p.from]; t != "" { // message trace names the domain
			found[p][t] += n
		}
		return nil
	})
	if err != nil {
		return err
	}
	parts := make([]part, 0, len(found))
	for p := range found {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int {
		if a.file != b.file {
			return int(a.file - b.file)
		}
		return strings.Compare(a.from, b.from)
	})
	var as []store.Assignment
	for _, p := range parts {
		if len(found[p]) != 1 {
			continue
		}
		for to := range found[p] {
			as = append(as, store.Assignment{File: p.file, From: p.from, To: to})
		}
	}
	if len(as) == 0 {
		return nil
	}
	return st.AssignTenants(ctx, as)
}

// domainOwners says which tenant a domain belongs to: the one whose people and
// mailboxes carry it. A domain that two tenants have in earnest has no owner.
func domainOwners(ctx context.Context, q store.Querier) (map[string]string, error) {
	type claim struct {
		tenant string
		n      int64
	}
	claims := map[string][]claim{}
	err := each(ctx, q, `SELECT tenant, d, count(*) FROM (
			SELECT tenant, lower(regexp_extract(coalesce(mailbox, actor), '@([^ @]+)', 1)) AS d FROM events
			WHERE tenant LIKE '________-____-____-____-____________' AND source IN (`+microsoft+`)
				AND coalesce(mailbox, actor) LIKE '%@%' AND coalesce(actor, '') NOT LIKE '%#ext#%'
				AND coalesce(actor_kind, '') NOT IN ('guest', 'service') AND coalesce(outcome, '') <> 'failure' AND coalesce(flags, 0) % 512 < 256
		) x GROUP BY tenant, d ORDER BY d, count(*) DESC, tenant`, func(scan func(...any) error) error {
		var tenant, domain string
		var n int64
		if err := scan(&tenant, &domain, &n); err != nil {
			return err
		}
		claims[domain] = append(claims[domain], claim{tenant, n})
		return nil
	})
	if err != nil {
		return nil, err
	}
	owner := map[string]string{}
	for d, cs := range claims {
		// Guests and shared mailboxes leave a few foreign records.
		if len(cs) == 1 || cs[0].n >= 20*cs[1].n {
			owner[d] = cs[0].tenant
		}
	}
	return owner, nil
}

// microsoft lists the logs whose tenants are GUIDs, as SQL; noTenant selects
// their events without one.
const (
	microsoft = "'ual', 'signin', 'directory', 'graph_activity', 'message_trace', 'risk'"
	noTenant  = "coalesce(tenant, '') NOT LIKE '________-____-____-____-____________' AND source IN (" + microsoft + ")"
)

func each(ctx context.Context, q store.Querier, query string, fn func(scan func(...any) error) error) error {
	if err := store.Each(ctx, q, query, nil, fn); err != nil {
		return fmt.Errorf("infer tenants: %w", err)
	}
	return nil
}
