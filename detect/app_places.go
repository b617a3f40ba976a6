package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// appPlacesSQL is a common table expression of where applications acted from
// without a user: uses are the records with an address of the client's own,
// places one row for each application and /24 or /48. Logs differ in whether
// they know the autonomous system; where one does, it holds for the prefix.
func appPlacesSQL() string {
	return `WITH plain AS (
		SELECT coalesce(tenant, '') AS tenant, app_id, time, CAST(time AS DATE) AS day, ip, coalesce(asn, 0) AS asn, ` + prefixSQL() + ` AS prefix,
			coalesce(as_org, '') AS as_org, coalesce(ip_kind, '') AS ip_kind, coalesce(country, '') AS country, coalesce(key_id, '') AS key_id, class
		FROM events
		WHERE class IN ('sign_in', 'mail_access', 'attachment_access', 'graph_request') AND actor_kind = 'app' AND app_id IS NOT NULL AND app_id <> '' AND ip IS NOT NULL AND ip <> ''
			AND coalesce(ip_service, false) = false AND coalesce(outcome, '') <> 'failure' AND time IS NOT NULL
	), systems AS (
		SELECT prefix AS y_prefix, max(asn) AS y_asn FROM plain WHERE asn > 0 GROUP BY prefix
	), uses AS (
		SELECT tenant, app_id, time, day, ip, prefix, as_org, ip_kind, country, key_id, class, CASE WHEN y_asn > 0 THEN 'AS' || CAST(y_asn AS VARCHAR) ELSE prefix END AS net
		FROM plain LEFT JOIN systems ON y_prefix = prefix
	), places AS (
		SELECT tenant, app_id, net, prefix, min(time) AS first_at, count(DISTINCT day) AS days FROM uses GROUP BY tenant, app_id, net, prefix
	)`
}

// place is a network that an application acted from.
type place struct {
	net, org, kind, country string
	first, last             time.Time
	records, days, reads    int64
	prefixes                int64
}

// words names a network.
func (p *place) words() string {
	var in []string
	for _, s := range []string{p.org, p.kind, p.country} {
		if s != "" {
			in = append(in, s)
		}
	}
	if len(in) == 0 {
		return p.net
	}
	return p.net + " (" + strings.Join(in, ", ") + ")"
}

// isHome reports whether a network is one of people's lines: products do not
// live there.
func (p *place) isHome() bool { return p.kind == "residential" || p.kind == "mobile" }

// appKey names an application in a tenant.
type appKey struct{ tenant, app string }

// placesOf reads the networks of the applications for which the condition on
// relation "chosen" (tenant, app_id) of the text with holds. The order is that
// of first use.
func placesOf(ctx context.Context, q store.Querier, with string, args ...any) (map[appKey][]place, error) {
	out := map[appKey][]place{}
	err := store.Each(ctx, q, with+` SELECT u.tenant, u.app_id, u.net, max(u.as_org), max(u.ip_kind), max(u.country), min(u.time), max(u.time), count(*), count(DISTINCT u.day),
			count(CASE WHEN u.class IN ('mail_access', 'attachment_access') THEN 1 END), count(DISTINCT u.prefix)
		FROM uses u JOIN chosen c ON c.c_tenant = u.tenant AND c.c_app = u.app_id GROUP BY u.tenant, u.app_id, u.net ORDER BY u.tenant, u.app_id, min(u.time), u.net`, args, func(scan scanner) error {
		var k appKey
		var p place
		if err := scan(&k.tenant, &k.app, &p.net, &p.org, &p.kind, &p.country, &p.first, &p.last, &p.records, &p.days, &p.reads, &p.prefixes); err != nil {
			return err
		}
		p.first, p.last = p.first.UTC(), p.last.UTC()
		out[k] = append(out[k], p)
		return nil
	})
	return out, err
}

// appFacts is what else is said of an application in a finding.
type appFacts struct {
	name      string
	sps, keys []string
	mailboxes []string
	reads     int64
	readDays  int64
	powers    []string // mail and directory permissions that were granted in the evidence
}

// factsOf reads what an application is called, acts as and reads without a
// user, from a moment on, and from addresses where ips names any.
func factsOf(ctx context.Context, q store.Querier, k appKey, from time.Time, ips ...string) (f appFacts, err error) {
	args := []any{k.tenant, k.app, from}
	where, there := `coalesce(tenant, '') = ? AND app_id = ? AND time >= ? AND actor_kind = 'app'`, ``
	if len(ips) > 0 {
		there = ` AND ip IN (` + quoted(ips) + `)`
		where += there
	}
	each := func(query string, take func(string)) error {
		if err != nil {
			return err
		}
		err = store.Each(ctx, q, query, args, func(scan scanner) error {
			var s string
			err := scan(&s)
			if s != "" {
				take(s)
			}
			return err
		})
		return err
	}
	_ = each(`SELECT DISTINCT coalesce(sp_id, '') FROM events WHERE `+where+` ORDER BY 1`, func(s string) { f.sps = append(f.sps, s) })
	_ = each(`SELECT DISTINCT coalesce(key_id, '') FROM events WHERE class = 'sign_in' AND `+where+` ORDER BY 1`, func(s string) { f.keys = append(f.keys, s) })
	if err != nil {
		return f, err
	}
	err = store.Each(ctx, q, appReadsSQL()+` SELECT mailbox, count(*), count(DISTINCT CAST(time AS DATE)) FROM reads WHERE tenant = ? AND app_id = ? AND time >= ? AND actor_kind = 'app'`+there+` GROUP BY mailbox ORDER BY mailbox`, args, func(scan scanner) error {
		var box string
		var n, days int64
		if err := scan(&box, &n, &days); err != nil {
			return err
		}
		if box != "" {
			f.mailboxes = append(f.mailboxes, box)
		}
		f.reads, f.readDays = f.reads+n, max(f.readDays, days)
		return nil
	})
	if err != nil {
		return f, err
	}
	if f.name, err = appName(ctx, q, k.app); err != nil {
		return f, err
	}
	f.powers, err = powersOf(ctx, q, k.app)
	return f, err
}

// appName finds what any log calls an application.
func appName(ctx context.Context, q store.Querier, app string) (name string, err error) {
	err = store.Each(ctx, q, `SELECT coalesce(max(app_name), '') FROM events WHERE app_id = ?`, []any{app}, func(scan scanner) error { return scan(&name) })
	return name, err
}

// powersOf lists the permissions over mail and directory that an application
// was granted in the evidence.
func powersOf(ctx context.Context, q store.Querier, app string) ([]string, error) {
	gs, err := records(ctx, q, `class = 'app_role_grant' AND coalesce(outcome, '') <> 'failure' AND operation NOT LIKE 'remove%' AND detail LIKE ?`, "%"+app+"%")
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range gs {
		if gs[i].targetApp() == app {
			out = append(out, powerValues(powersIn(gs[i].Permissions))...)
		}
	}
	return casefile.Unique(out), nil
}

// entities names the application, what it signed in with and what it read.
func (f *appFacts) entities(app string) []casefile.Entity {
	es := []casefile.Entity{{Kind: casefile.App, ID: app, Role: casefile.RoleActor, Name: f.name}}
	for _, s := range f.sps {
		es = append(es, casefile.Entity{Kind: casefile.ServicePrincipal, ID: s, Role: casefile.RoleActor, Name: f.name})
	}
	for _, m := range f.mailboxes {
		es = append(es, casefile.Entity{Kind: casefile.Mailbox, ID: m, Role: casefile.RoleTarget})
	}
	return es
}

// readWords says what an application read, or nothing.
func (f *appFacts) readWords() string {
	if f.reads == 0 {
		return ""
	}
	return fmt.Sprintf("%s of mail in %s (%s)", plural(f.reads, "record", "records"), plural(int64(len(f.mailboxes)), "mailbox", "mailboxes"), list(f.mailboxes, 8))
}

// sourceIPs lists the addresses that an application acted from, from a moment
// on, in networks where nets names any.
func sourceIPs(ctx context.Context, q store.Querier, k appKey, from time.Time, nets ...string) (ips []string, err error) {
	where := ``
	if len(nets) > 0 {
		where = ` AND net IN (` + quoted(nets) + `)`
	}
	err = store.Each(ctx, q, appPlacesSQL()+` SELECT DISTINCT ip FROM uses WHERE tenant = ? AND app_id = ? AND time >= ?`+where+` ORDER BY 1`, []any{k.tenant, k.app, from}, func(scan scanner) error {
		var ip string
		err := scan(&ip)
		ips = append(ips, ip)
		return err
	})
	return ips, err
}

// sources makes entities of addresses that something came from.
func sources(ips []string) (es []casefile.Entity) {
	for _, ip := range ips {
		es = append(es, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource})
	}
	return es
}

// netNames lists the networks of places.
func netNames(ps []place) (out []string) {
	for _, p := range ps {
		out = append(out, p.net)
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// placeWords describes places, the first ones by name.
func placeWords(ps []place, max int) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.words())
	}
	return list(out, max)
}
