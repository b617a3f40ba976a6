package detect

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// firstSeenMailboxApp finds applications that begin to read mail: not seen
// doing so in the earlier part of the evidence.
type firstSeenMailboxApp struct{}

// mailBaseline is how much evidence before an application's first read it
// takes to call the application new.
const mailBaseline = 7 * 24 * time.Hour

// Card implements [Detector].
func (firstSeenMailboxApp) Card() Card {
	return Card{
		ID:    "first_seen_mailbox_app",
		Title: "Application reads mail for the first time",
		Why: "Mail was stolen in the incident by applications that had never read mail before, without a user. An application's first read is where that becomes " +
			"visible, however slowly it reads.",
		FalsePositives: []string{"a new backup, migration or CRM product", "people who set up another mail client"},
		FalseAlarms:    FalseAlarms{PerDay: 0.015, Basis: "estimate: a new mail product in two months. In simulated quiet tenants of 40 days one in each, 0.025 a day: a migration product that had never signed in before"},
		Techniques:     []string{"T1114.002", "T1550.001"},
		Stage:          casefile.StageCollection,
		Needs:          mailNeeds(),
		Severity:       casefile.Medium,
	}
}

// appReadsSQL is a common table expression: reads of mail by applications that
// are not Microsoft's own mail clients and services. Graph requests name a
// mailbox by its owner's object id; people finds the owner.
func appReadsSQL() string {
	return `WITH people AS (
		SELECT actor_id AS object_id, max(actor) AS upn FROM events WHERE actor LIKE '%@%' AND actor_id IS NOT NULL AND actor_id <> '' GROUP BY actor_id
	), reads AS (
		SELECT id, coalesce(tenant, '') AS tenant, time, app_id, coalesce(app_name, '') AS app_name, coalesce(actor_kind, '') AS actor_kind, coalesce(actor, '') AS actor,
			coalesce(p.upn, nullif(mailbox, ''), mailbox_id, '') AS mailbox, coalesce(ip, '') AS ip, coalesce(ip_service, false) AS ip_service, coalesce(item_count, 0) AS item_count,
			coalesce(sp_id, '') AS sp_id, coalesce(token_id, '') AS token_id, coalesce(session_id, '') AS session_id, ` + networkSQL() + ` AS net,
			coalesce(user_agent, client, '') AS agent
		FROM events LEFT JOIN people p ON p.object_id = mailbox
		WHERE class IN ('mail_access', 'attachment_access') AND app_id IS NOT NULL AND app_id <> '' AND coalesce(actor_kind, '') <> 'service' AND time IS NOT NULL
			AND coalesce(outcome, '') <> 'failure'
			AND NOT (coalesce(ip_service, false) AND coalesce(actor_kind, '') <> 'app')
			AND app_id NOT IN (` + quoted(MailClients()) + `)
	)`
}

// Detect implements [Detector].
func (d firstSeenMailboxApp) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	starts, err := mailStarts(ctx, q)
	if err != nil {
		return nil, err
	}
	var apps []appReads
	err = store.Each(ctx, q, appReadsSQL()+`, named AS (
		SELECT app_id AS n_app, max(app_name) AS n_name FROM events WHERE app_id IN (SELECT app_id FROM reads) GROUP BY app_id
	), totals AS (
		SELECT tenant, app_id, nullif(max(app_name), '') AS app_name, min(time) AS begun, max(time) AS ended, count(*) AS records, count(DISTINCT mailbox) AS mailboxes,
			count(CASE WHEN actor_kind = 'app' THEN 1 END) AS app_only, sum(item_count) AS items
		FROM reads GROUP BY tenant, app_id
	)
		SELECT tenant, app_id, coalesce(t.app_name, n_name, ''), begun, ended, records, mailboxes, app_only, items
		FROM totals t LEFT JOIN named ON n_app = t.app_id ORDER BY tenant, app_id`, nil, func(scan scanner) error {
		var a appReads
		if err := scan(&a.tenant, &a.id, &a.name, &a.first, &a.last, &a.records, &a.mailboxes, &a.appOnly, &a.items); err != nil {
			return err
		}
		apps = append(apps, a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(apps) == 0 {
		return nil, nil
	}
	origins, err := d.origins(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, a := range apps {
		f, ok, err := d.finding(ctx, q, a, d.origin(origins, a), starts[a.tenant])
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, f)
		}
	}
	return out, nil
}

type appReads struct {
	tenant, id, name                   string
	first, last                        time.Time
	records, mailboxes, appOnly, items int64
}

// mailStarts gives the first record of mail being read, for each tenant.
func mailStarts(ctx context.Context, q store.Querier) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := store.Each(ctx, q, `SELECT coalesce(tenant, ''), min(time) FROM events WHERE class IN ('mail_access', 'attachment_access') GROUP BY coalesce(tenant, '')`, nil, func(scan scanner) error {
		var tenant string
		var t sql.NullTime
		if err := scan(&tenant, &t); err != nil {
			return err
		}
		out[tenant] = t.Time.UTC()
		return nil
	})
	return out, err
}

func (d firstSeenMailboxApp) finding(ctx context.Context, q store.Querier, a appReads, made *record, start time.Time) (casefile.Finding, bool, error) {
	f := casefile.Finding{Tenant: a.tenant, First: casefile.TimeOf(a.first), Last: casefile.TimeOf(a.last), Severity: casefile.Low}
	baseline := a.first.Sub(start)
	known := baseline >= mailBaseline
	settled := false
	if a.appOnly > 0 && known {
		var err error
		if settled, err = d.settled(ctx, q, a); err != nil {
			return f, false, err
		}
		if settled && made != nil && event.Class(made.Class) == event.ClassCredentialAdd {
			uses, _, err := keyUses(ctx, q, strings.Fields(made.KeyID))
			if err != nil {
				return f, false, err
			}
			settled = len(uses) == 0 // a credential that came in the evidence is not an old one, however long it waited
		}
	}
	switch {
	case a.appOnly > 0 && made != nil && !(settled && event.Class(made.Class) == event.ClassCredentialAdd):
		f.Severity = casefile.High
	case !known && made == nil:
		// A person's mail client that may have been there before, or a product
		// that was: the case lists such readers as assumed to be legitimate.
		return f, false, nil
	case settled: // low
	case a.appOnly > 0 && known, made != nil:
		f.Severity = casefile.Medium
	}
	f.Entities = []casefile.Entity{{Kind: casefile.App, ID: a.id, Role: casefile.RoleActor, Name: a.name}}
	entities := func(col string, kind casefile.EntityKind, role string) error {
		return store.Each(ctx, q, appReadsSQL()+` SELECT DISTINCT `+col+` FROM reads WHERE tenant = ? AND app_id = ? AND `+col+` <> '' ORDER BY 1`, []any{a.tenant, a.id}, func(scan scanner) error {
			var id string
			if err := scan(&id); err != nil {
				return err
			}
			f.Entities = append(f.Entities, casefile.Entity{Kind: kind, ID: id, Role: role})
			return nil
		})
	}
	if err := entities("mailbox", casefile.Mailbox, casefile.RoleTarget); err != nil {
		return f, false, err
	}
	if err := entities("sp_id", casefile.ServicePrincipal, casefile.RoleActor); err != nil {
		return f, false, err
	}
	if err := entities("CASE WHEN ip_service THEN '' ELSE ip END", casefile.IP, casefile.RoleSource); err != nil {
		return f, false, err
	}
	c, err := cite(ctx, q, appReadsSQL(), `reads WHERE tenant = ? AND app_id = ?`, a.tenant, a.id)
	if err != nil {
		return f, false, err
	}
	c.into(&f)
	name := firstOf(a.name, a.id)
	f.Title = fmt.Sprintf("Application %s began to read mail: %s", name, plural(a.mailboxes, "mailbox", "mailboxes"))
	f.Counts = []casefile.Count{
		{Name: "mailboxes", Value: float64(a.mailboxes)},
		{Name: "records", Value: float64(a.records)},
		{Name: "records without a user", Value: float64(a.appOnly)},
		{Name: "items as recorded", Value: float64(a.items)},
		{Name: "days of evidence before", Value: round2(baseline.Hours() / 24), Limit: limit(mailBaseline.Hours() / 24)},
	}
	how := "on behalf of users"
	if a.appOnly > 0 {
		how = "without a user (app-only)"
	}
	f.Why = fmt.Sprintf("Application %s read mail for the first time in the evidence at %s, %s: %s in %s until %s.",
		appWords(a.name, a.id), f.First, how, plural(a.records, "record", "records"), plural(a.mailboxes, "mailbox", "mailboxes"), f.Last)
	switch {
	case !known:
		f.Why += fmt.Sprintf(" Records of mail being read begin only %.1f days before, so it may have read mail earlier.", baseline.Hours()/24)
	default:
		f.Why += fmt.Sprintf(" In the %.0f days of such records before it read none.", baseline.Hours()/24)
	}
	if settled {
		f.Why += fmt.Sprintf(" It is no stranger: for %d days or more before it signed in from the network that it now reads from, with the credential that it uses now, and it reads with one client. A product that is used now and then does so.", settledReaderDays)
	}
	if made == nil && a.appOnly > 0 && !settled {
		f.Why += " Who brought it in is not in the evidence: a product that is used now and then looks like this, and so does an old application in other hands."
	}
	if made == nil && a.appOnly == 0 {
		f.Why += " Neither a consent nor the creation of the application is in the evidence, as with the vendor's own services."
	}
	if made != nil {
		f.Why += fmt.Sprintf(" The evidence shows where it came from: %s by %s at %s.", made.Operation, made.who(), casefile.TimeOf(made.Time))
		f.Events = append(f.Events, made.ids()...)
		f.EventCount += int64(len(made.ids()))
	}
	return f, true, nil
}

// origins are the records that bring an application in, or give it something.
func (firstSeenMailboxApp) origins(ctx context.Context, q store.Querier) ([]record, error) {
	return records(ctx, q, `class IN ('app_create', 'sp_create', 'consent', 'app_role_grant', 'credential_add') AND coalesce(outcome, '') <> 'failure'
		AND operation NOT LIKE 'remove%' AND coalesce(actor_kind, '') <> 'service' AND time IS NOT NULL`)
}

// origin is the last of them before an application's first read, at most 90
// days before.
func (firstSeenMailboxApp) origin(rs []record, a appReads) *record {
	for i := len(rs) - 1; i >= 0; i-- {
		if r := &rs[i]; !r.Time.After(a.first) && !r.Time.Before(a.first.AddDate(0, 0, -90)) && r.targetApp() == a.id {
			return r
		}
	}
	return nil
}

// settledReaderDays is for how many days an application must have signed in
// before it began to read.
const settledReaderDays = 7

// settled reports whether an application signed in for days before it began to
// read mail, and has since used no network and no credential that it did not
// use before, and one client.
func (firstSeenMailboxApp) settled(ctx context.Context, q store.Querier, a appReads) (bool, error) {
	var days, nets, keys, before, agents int64
	err := store.Each(ctx, q, appPlacesSQL()+`, old AS (
		SELECT DISTINCT net AS o_net, key_id AS o_key FROM uses WHERE tenant = ? AND app_id = ? AND class = 'sign_in' AND time < ?
	)
		SELECT count(DISTINCT CASE WHEN class = 'sign_in' AND time < ? THEN day END), count(CASE WHEN time >= ? AND net NOT IN (SELECT o_net FROM old) THEN 1 END),
			count(CASE WHEN class = 'sign_in' AND time >= ? AND key_id NOT IN (SELECT o_key FROM old) THEN 1 END), count(DISTINCT CASE WHEN class = 'sign_in' AND time < ? AND key_id <> '' THEN key_id END)
		FROM uses WHERE tenant = ? AND app_id = ?`, []any{a.tenant, a.id, a.first, a.first, a.first, a.first, a.first, a.tenant, a.id}, func(scan scanner) error {
		return scan(&days, &nets, &keys, &before)
	})
	if err != nil || days < settledReaderDays || nets > 0 || keys > 0 || before == 0 {
		return false, err
	}
	err = store.Each(ctx, q, appReadsSQL()+` SELECT count(DISTINCT nullif(agent, '')) FROM reads WHERE tenant = ? AND app_id = ?`, []any{a.tenant, a.id}, func(scan scanner) error { return scan(&agents) })
	return err == nil && agents <= 1, err
}

func appWords(name, id string) string {
	if name == "" || name == id {
		return id
	}
	return name + " (" + id + ")"
}
