package detect

import (
	"context"
	"fmt"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// mailVolume finds people's accounts that read unusually: an owner's, from a
// network that is new to it, many times as much as ever; or one that reads
// others' mailboxes, more of them than its own past explains.
type mailVolume struct{}

const (
	volumeTimes = 5   // as much from the new network in a day as on the account's busiest day before
	volumeLeast = 100 // messages
	volumeDays  = 10  // days of reading before that it takes
)

// Card implements [Detector].
func (mailVolume) Card() Card {
	return Card{
		ID:    "mail_volume",
		Title: "Unusual volume of mail read by a person's account",
		Why: "Who takes over an account reads its mail from somewhere else, and much of it at once; who takes over an administrator or a delegate reads mailboxes that the account never " +
			"touched.",
		FalsePositives: []string{"a new computer at a new place that loads the mailbox anew", "an assistant who takes over for several people", "an investigation by administrators"},
		Techniques:     []string{"T1114.002"},
		Stage:          casefile.StageCollection,
		Needs:          mailNeeds(),
		Severity:       casefile.Medium,
		FalseAlarms:    FalseAlarms{PerDay: 0.005, Basis: "estimate: a delegate's first days, twice a year, at a threshold of one in 90 days over all delegates; none of either kind in simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d mailVolume) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	out, err := d.owners(ctx, q)
	if err != nil {
		return nil, err
	}
	more, err := d.delegates(ctx, q)
	return append(out, more...), err
}

// ownReads is the condition of an owner's reads of single messages. Whole
// folders are synchronized by every client that is set up, and are one record.
const ownReads = `class = 'mail_access' AND coalesce(access, 'bind') <> 'sync' AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest') AND actor = mailbox AND ip IS NOT NULL AND ip <> ''
	AND coalesce(ip_service, false) = false AND time IS NOT NULL AND coalesce(outcome, '') <> 'failure'`

// owners finds days on which an account read its own mail from a network that
// is new to it, many times as much as on its busiest day before.
func (d mailVolume) owners(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	type burst struct {
		tenant, actor, net string
		day                time.Time
		items, busiest     int64
		days               int64
	}
	var bursts []burst
	err := store.Each(ctx, q, `WITH daily AS (
			SELECT coalesce(tenant, '') AS tenant, actor, CAST(time AS DATE) AS day, `+networkSQL()+` AS net, sum(coalesce(item_count, 1)) AS items FROM events WHERE `+ownReads+` GROUP BY 1, 2, 3, 4
		), nets AS (
			SELECT tenant AS n_tenant, actor AS n_actor, net AS n_net, min(day) AS n_first FROM daily GROUP BY tenant, actor, net
		), shared AS (
			SELECT n_net AS s_net FROM nets GROUP BY n_net HAVING count(DISTINCT n_actor) >= `+fmt.Sprint(sharedUsers)+`
		), days AS (
			SELECT tenant, actor, day, sum(items) AS items FROM daily GROUP BY tenant, actor, day
		), past AS (
			SELECT tenant AS p_tenant, actor AS p_actor, day AS p_day, max(items) OVER (PARTITION BY tenant, actor ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS p_max,
				row_number() OVER (PARTITION BY tenant, actor ORDER BY day) - 1 AS p_days FROM days
		)
		SELECT tenant, actor, net, day, items, p_max, p_days FROM daily JOIN nets ON n_tenant = tenant AND n_actor = actor AND n_net = net JOIN past ON p_tenant = tenant AND p_actor = actor AND p_day = day
		WHERE n_first >= day - INTERVAL 1 DAY AND p_days >= `+fmt.Sprint(volumeDays)+` AND items >= `+fmt.Sprint(volumeLeast)+` AND items >= `+fmt.Sprint(volumeTimes)+` * p_max AND net NOT IN (SELECT s_net FROM shared)
		ORDER BY tenant, actor, day, net`, nil, func(scan scanner) error {
		var b burst
		err := scan(&b.tenant, &b.actor, &b.net, &b.day, &b.items, &b.busiest, &b.days)
		b.day = b.day.UTC()
		bursts = append(bursts, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, b := range bursts {
		f := casefile.Finding{Tenant: b.tenant, Severity: casefile.Medium}
		from := `events WHERE ` + ownReads + ` AND coalesce(tenant, '') = ? AND actor = ? AND time >= ? AND time < ? AND ` + networkSQL() + ` = ?`
		args := []any{b.tenant, b.actor, b.day, b.day.AddDate(0, 0, 1), b.net}
		if err := d.traces(ctx, q, &f, from, args); err != nil {
			return nil, err
		}
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: b.actor, Role: casefile.RoleTarget}, casefile.Entity{Kind: casefile.Mailbox, ID: b.actor, Role: casefile.RoleTarget})
		f.Title = fmt.Sprintf("%s read %d messages in a day from a network that is new to the account", b.actor, b.items)
		f.Why = fmt.Sprintf("On %s %s read %d messages of its own mailbox from %s, a network from which it had not read before; on the busiest of its %d days of reading before it read %d, from everywhere.",
			b.day.Format(time.DateOnly), b.actor, b.items, b.net, b.days, b.busiest)
		f.Counts = []casefile.Count{
			{Name: "messages from the new network in a day", Value: float64(b.items), Limit: limit(float64(max(volumeLeast, volumeTimes*b.busiest)))},
			{Name: "messages on the busiest day before", Value: float64(b.busiest)},
			{Name: "days of reading before", Value: float64(b.days), Limit: limit(volumeDays)},
		}
		out = append(out, f)
	}
	return out, nil
}

// traces adds the times, addresses, sessions and events of reads.
func (mailVolume) traces(ctx context.Context, q store.Querier, f *casefile.Finding, from string, args []any) error {
	err := store.Each(ctx, q, `SELECT CASE WHEN coalesce(ip_service, false) THEN '' ELSE coalesce(ip, '') END, coalesce(session_id, ''), coalesce(token_id, ''), min(time), max(time) FROM `+from+` GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 200`, args, func(scan scanner) error {
		var ip, session, token string
		var a, z time.Time
		err := scan(&ip, &session, &token, &a, &z)
		f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(a)), casefile.Later(f.Last, casefile.TimeOf(z))
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource}, casefile.Entity{Kind: casefile.Session, ID: session, Role: casefile.RoleTarget},
			casefile.Entity{Kind: casefile.Token, ID: token, Role: casefile.RoleTarget})
		return err
	})
	if err != nil {
		return err
	}
	f.Detected = f.Last
	c, err := cite(ctx, q, "", from, args...)
	if err != nil {
		return err
	}
	c.into(f)
	return nil
}

// othersReads is the condition of a person's reads of somebody else's mailbox.
const othersReads = `class IN ('mail_access', 'attachment_access') AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest') AND coalesce(logon_type, '') IN ('delegate', 'admin', 'delegated_admin')
	AND actor LIKE '%@%' AND mailbox LIKE '%@%' AND actor <> mailbox AND time IS NOT NULL AND coalesce(outcome, '') <> 'failure'`

// delegates finds days on which an account read more mailboxes of others that
// it had never read than its own past explains; see [appBreadth] for the test.
func (d mailVolume) delegates(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	starts, err := mailStarts(ctx, q)
	if err != nil {
		return nil, err
	}
	var days []breadthDay
	actors := map[string]map[string]bool{}
	err = store.Each(ctx, q, `WITH firsts AS (
			SELECT coalesce(tenant, '') AS tenant, actor, mailbox, min(time) AS first_at FROM events WHERE `+othersReads+` GROUP BY 1, 2, 3
		) SELECT tenant, actor, CAST(first_at AS DATE), count(*) FROM firsts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, nil, func(scan scanner) error {
		var b breadthDay
		err := scan(&b.tenant, &b.app, &b.day, &b.n)
		b.day = b.day.UTC()
		days = append(days, b)
		if actors[b.tenant] == nil {
			actors[b.tenant] = map[string]bool{}
		}
		actors[b.tenant][b.app] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	past := map[appKey][]breadthDay{}
	for _, b := range days {
		from := starts[b.tenant].Truncate(24*time.Hour).AddDate(0, 0, breadthWarmUp+1)
		n := int(b.day.Sub(from).Hours() / 24)
		if n >= breadthPast && b.n >= breadthLeast {
			mean, size := breadthFit(past[b.appKey], from, n)
			p, pLimit := negBinTail(b.n, mean, size), 1/(breadthEvery*float64(len(actors[b.tenant])))
			if p < pLimit {
				f, err := d.breadth(ctx, q, b, n, mean, p, pLimit)
				if err != nil {
					return nil, err
				}
				out = append(out, f)
				continue
			}
		}
		past[b.appKey] = append(past[b.appKey], b)
	}
	return out, nil
}

func (d mailVolume) breadth(ctx context.Context, q store.Querier, b breadthDay, n int, mean, p, pLimit float64) (casefile.Finding, error) {
	f := casefile.Finding{Tenant: b.tenant, Severity: casefile.Medium}
	args := []any{b.tenant, b.app, b.day, b.day.AddDate(0, 0, 1)}
	var boxes []string
	err := store.Each(ctx, q, `SELECT mailbox FROM events WHERE `+othersReads+` AND coalesce(tenant, '') = ? AND actor = ? GROUP BY mailbox HAVING min(time) >= ? AND min(time) < ? ORDER BY mailbox`, args, func(scan scanner) error {
		var m string
		err := scan(&m)
		boxes = append(boxes, m)
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: m, Role: casefile.RoleTarget})
		return err
	})
	if err != nil {
		return f, err
	}
	from := `events WHERE ` + othersReads + ` AND coalesce(tenant, '') = ? AND actor = ? AND time >= ? AND time < ? AND mailbox IN (` + quoted(boxes) + `)`
	if err := d.traces(ctx, q, &f, from, args); err != nil {
		return f, err
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: b.app, Role: casefile.RoleActor})
	f.Title = fmt.Sprintf("%s read %d mailboxes of others in a day that it never read before", b.app, b.n)
	f.Why = fmt.Sprintf("On %s %s read mail of %d mailboxes that are not its own and that it had never read in the evidence: %s. In the %d days before it read %.2f new ones a day; the probability of as many on a day is %.2g (negative binomial), and below %.2g it is told.",
		b.day.Format(time.DateOnly), b.app, b.n, list(boxes, 8), n, mean, p, pLimit)
	f.Counts = []casefile.Count{
		{Name: "mailboxes of others new to it on the day", Value: float64(b.n), Limit: limit(breadthLeast)},
		{Name: "new ones a day that its past expects", Value: round2(mean)},
		{Name: "days before", Value: float64(n), Limit: limit(breadthPast)},
		{Name: "probability of as many", Value: roundProb(p), Limit: limit(roundProb(pLimit))},
	}
	return f, nil
}
