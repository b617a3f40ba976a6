package detect

import (
	"context"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// Reader is an application that read mail without a user, as its history in
// the evidence shows it.
type Reader struct {
	Tenant, App, Name string
	ServicePrincipals []string
	Since, Last       time.Time // first and last read
	Start             time.Time // first record of mail being read by anybody in the tenant
	SignedIn          time.Time // first sign-in without a user; zero when there is none
	Records           int64     // records of mail read
	Mailboxes         int64     // distinct ones
	Repeated          int64     // of these, read on three days or more
	Days              int64     // on which it read
	Agents            int64     // distinct user agents or clients of the reads
	Networks          []string  // in words, by first use
	Keys              []string  // credentials it signed in with
	Events            []string  // ids of its first and last read
}

// MailReaders lists the applications that read mail without a user, by tenant
// and application.
func MailReaders(ctx context.Context, q store.Querier) ([]Reader, error) {
	starts, err := mailStarts(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []Reader
	err = store.Each(ctx, q, appReadsSQL()+`, boxes AS (
		SELECT tenant AS b_tenant, app_id AS b_app, mailbox AS b_mailbox, count(DISTINCT CAST(time AS DATE)) AS b_days FROM reads WHERE actor_kind = 'app' GROUP BY tenant, app_id, mailbox
	), repeated AS (
		SELECT b_tenant, b_app, count(CASE WHEN b_days >= 3 THEN 1 END) AS b_n FROM boxes GROUP BY b_tenant, b_app
	), named AS (
		SELECT app_id AS n_app, max(app_name) AS n_name, min(CASE WHEN class = 'sign_in' AND actor_kind = 'app' AND coalesce(outcome, '') <> 'failure' THEN time END) AS n_signed
		FROM events WHERE app_id IN (SELECT app_id FROM reads WHERE actor_kind = 'app') GROUP BY app_id
	), totals AS (
		SELECT tenant, app_id, min(time) AS since, max(time) AS ended, count(*) AS records, count(DISTINCT mailbox) AS mailboxes, count(DISTINCT CAST(time AS DATE)) AS days,
			count(DISTINCT nullif(agent, '')) AS agents, min(concat(CAST(time AS VARCHAR), ' ', CAST(id AS VARCHAR))) AS first_id, max(concat(CAST(time AS VARCHAR), ' ', CAST(id AS VARCHAR))) AS last_id
		FROM reads WHERE actor_kind = 'app' GROUP BY tenant, app_id
	)
		SELECT t.tenant, t.app_id, coalesce(n.n_name, ''), t.since, t.ended, n.n_signed, t.records, t.mailboxes, coalesce(r.b_n, 0), t.days, t.agents, t.first_id, t.last_id
		FROM totals t LEFT JOIN named n ON n.n_app = t.app_id LEFT JOIN repeated r ON r.b_tenant = t.tenant AND r.b_app = t.app_id ORDER BY t.tenant, t.app_id`, nil, func(scan scanner) error {
		var r Reader
		var signed *time.Time
		var first, last string
		if err := scan(&r.Tenant, &r.App, &r.Name, &r.Since, &r.Last, &signed, &r.Records, &r.Mailboxes, &r.Repeated, &r.Days, &r.Agents, &first, &last); err != nil {
			return err
		}
		r.Since, r.Last, r.Start = r.Since.UTC(), r.Last.UTC(), starts[r.Tenant]
		if signed != nil {
			r.SignedIn = signed.UTC()
		}
		r.Events = slices.Compact([]string{afterLast(first, " "), afterLast(last, " ")})
		out = append(out, r)
		return nil
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	places, err := placesOf(ctx, q, appPlacesSQL()+`, chosen AS (
		SELECT DISTINCT tenant AS c_tenant, app_id AS c_app FROM uses WHERE class IN ('mail_access', 'attachment_access')
	)`)
	if err != nil {
		return nil, err
	}
	at := map[appKey]*Reader{}
	var apps []string
	for i := range out {
		r := &out[i]
		k := appKey{r.Tenant, r.App}
		at[k] = r
		apps = append(apps, r.App)
		for _, p := range places[k] {
			r.Networks = append(r.Networks, p.words())
		}
	}
	err = store.Each(ctx, q, `SELECT DISTINCT coalesce(tenant, ''), app_id, coalesce(sp_id, ''), coalesce(key_id, '') FROM events WHERE class = 'sign_in' AND actor_kind = 'app' AND coalesce(outcome, '') <> 'failure'
		AND app_id IN (`+quoted(casefile.Unique(apps))+`) ORDER BY 1, 2, 3, 4`, nil, func(scan scanner) error {
		var k appKey
		var sp, key string
		if err := scan(&k.tenant, &k.app, &sp, &key); err != nil {
			return err
		}
		r := at[k]
		if r == nil {
			return nil // it reads in another tenant
		}
		if sp != "" && !slices.Contains(r.ServicePrincipals, sp) {
			r.ServicePrincipals = append(r.ServicePrincipals, sp)
		}
		if key != "" && !slices.Contains(r.Keys, key) {
			r.Keys = append(r.Keys, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
