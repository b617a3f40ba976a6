package detect

import (
	"context"
	"fmt"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// throttledMailbox finds mailboxes that were read so often that Exchange
// stopped to record it, by whom that was.
type throttledMailbox struct{}

// knownReader is how long before a throttled record an application must have
// read mail to be one whose job that is.
const knownReader = 14 * 24 * time.Hour

// Card implements [Detector].
func (throttledMailbox) Card() Card {
	return Card{
		ID:    "throttled_mailbox",
		Title: "Mailbox read so often that reads were no longer recorded",
		Why: "After more than a thousand reads in 24 hours Exchange stops to record reads of the mailbox for the next 24. That is a blind spot, and it is made by somebody: a client of the " +
			"owner's that synchronizes, a product, or an intruder who takes everything.",
		FalsePositives: []string{"a mail client that is set up anew", "a backup or migration of the mailbox"},
		Techniques:     []string{"T1114.002"},
		Stage:          casefile.StageCollection,
		Needs:          mailNeeds(),
		Severity:       casefile.Low,
		FalseAlarms:    FalseAlarms{PerDay: 0.002, Basis: "Microsoft: fewer than 1 % of mailboxes are throttled, and by their owners; only readers that are new, or are delegates, count more than slight. None in simulated quiet tenants"},
	}
}

// throttler is who read when a mailbox was throttled.
type throttler struct {
	tenant, app, name, actor string
	first, last, since       time.Time
	boxes, records           int64
}

// Detect implements [Detector].
func (d throttledMailbox) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	with := `WITH throttled AS (
		SELECT id, time, coalesce(tenant, '') AS tenant, coalesce(mailbox, mailbox_id, '') AS mailbox, coalesce(actor_kind, '') AS actor_kind, CASE WHEN actor_kind = 'app' THEN coalesce(app_id, '') ELSE '' END AS app_id,
			CASE WHEN actor_kind = 'app' THEN coalesce(app_name, '') ELSE '' END AS app_name, CASE WHEN actor_kind = 'app' OR actor = mailbox THEN '' ELSE coalesce(actor, '') END AS actor,
			CASE WHEN coalesce(ip_service, false) THEN '' ELSE coalesce(ip, '') END AS ip, coalesce(token_id, '') AS token_id, coalesce(session_id, '') AS session_id
		FROM events WHERE class IN ('mail_access', 'attachment_access') AND throttled AND time IS NOT NULL
	)`
	var list []throttler
	err := store.Each(ctx, q, with+`, readers AS (
			SELECT coalesce(tenant, '') AS r_tenant, CASE WHEN actor_kind = 'app' THEN coalesce(app_id, '') ELSE coalesce(actor, '') END AS r_who, min(time) AS since FROM events
			WHERE class IN ('mail_access', 'attachment_access') AND (app_id IN (SELECT app_id FROM throttled WHERE app_id <> '') OR actor IN (SELECT actor FROM throttled WHERE actor <> ''))
				AND (actor_kind = 'app' OR actor <> coalesce(mailbox, ''))
			GROUP BY 1, 2
		)
		SELECT tenant, app_id, max(app_name), actor, min(time), max(time), coalesce(min(since), min(time)), count(DISTINCT mailbox), count(*)
		FROM throttled LEFT JOIN readers ON r_tenant = tenant AND r_who = CASE WHEN app_id <> '' THEN app_id ELSE actor END AND r_who <> ''
		GROUP BY tenant, app_id, actor ORDER BY tenant, app_id, actor`, nil, func(scan scanner) error {
		var t throttler
		err := scan(&t.tenant, &t.app, &t.name, &t.actor, &t.first, &t.last, &t.since, &t.boxes, &t.records)
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, t := range list {
		f, err := d.finding(ctx, q, with, t)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (throttledMailbox) finding(ctx context.Context, q store.Querier, with string, t throttler) (casefile.Finding, error) {
	f := casefile.Finding{Tenant: t.tenant, First: casefile.TimeOf(t.first), Last: casefile.TimeOf(t.last), Severity: casefile.Info}
	known := t.first.Sub(t.since)
	if t.app != "" && t.name == "" {
		var err error
		if t.name, err = appName(ctx, q, t.app); err != nil {
			return f, err
		}
	}
	by := "their owners"
	switch {
	case t.app != "":
		by = "application " + firstOf(t.name, t.app)
		f.Severity = casefile.Low
		if known < knownReader {
			f.Severity = casefile.Medium
		}
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.App, ID: t.app, Role: casefile.RoleActor, Name: t.name})
	case t.actor != "":
		by = t.actor
		f.Severity = casefile.Medium
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: t.actor, Role: casefile.RoleActor})
	}
	from := `throttled WHERE tenant = ? AND app_id = ? AND actor = ?`
	args := []any{t.tenant, t.app, t.actor}
	var names []string
	err := store.Each(ctx, q, with+` SELECT mailbox, max(ip), max(token_id), max(session_id) FROM `+from+` GROUP BY mailbox ORDER BY mailbox LIMIT 200`, args, func(scan scanner) error {
		var box, ip, token, session string
		err := scan(&box, &ip, &token, &session)
		names = append(names, box)
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: box, Role: casefile.RoleTarget})
		if f.Severity != casefile.Info {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource}, casefile.Entity{Kind: casefile.Token, ID: token, Role: casefile.RoleUsed},
				casefile.Entity{Kind: casefile.Session, ID: session, Role: casefile.RoleUsed})
		}
		return err
	})
	if err != nil {
		return f, err
	}
	c, err := cite(ctx, q, with, from, args...)
	if err != nil {
		return f, err
	}
	c.into(&f)
	f.Title = fmt.Sprintf("%s throttled while read by %s", plural(t.boxes, "mailbox was", "mailboxes were"), by)
	f.Why = fmt.Sprintf("From %s on %s read %s (%s) so often that Exchange recorded no further reads for 24 hours, as %s.", f.First, by, plural(t.boxes, "mailbox", "mailboxes"), list(names, 6),
		plural(t.records, "record says", "records say"))
	f.Counts = []casefile.Count{{Name: "mailboxes", Value: float64(t.boxes)}, {Name: "records", Value: float64(t.records)}}
	if t.app != "" || t.actor != "" {
		f.Counts = append(f.Counts, casefile.Count{Name: "days since it first read mail of others", Value: round2(known.Hours() / 24), Limit: limit(knownReader.Hours() / 24)})
	}
	switch {
	case t.app != "" && known >= knownReader:
		f.Why += fmt.Sprintf(" The application has read mail for %.0f days before.", known.Hours()/24)
	case t.app != "":
		f.Why += fmt.Sprintf(" The application first read mail in the evidence only %.1f days before.", known.Hours()/24)
	case t.actor != "":
		f.Why += " That is not the owner."
	default:
		f.Why += " An owner's own client does so when it is set up anew."
	}
	f.Why += " What was read in those hours is in no record."
	return f, nil
}
