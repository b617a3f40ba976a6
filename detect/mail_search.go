package detect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// mailSearch finds searches of mail and files for what an intruder wants:
// secrets, ways in, and what is known of the intrusion.
type mailSearch struct{}

const (
	appSearches  = 100 // searches of an application in an hour that are many
	habitualDays = 10  // days on which an application searches for secrets whose job that is
	awaySearches = 2   // different ones of a person in a network that is new to the account
	homeSearches = 5   // different ones of a person in a day, from the account's own networks
)

// Card implements [Detector].
func (mailSearch) Card() Card {
	return Card{
		ID:    "mail_search",
		Title: "Mail was searched for secrets",
		Why: "In the incident mail was searched for secrets that customers and colleagues had sent, and for what the organization knew of the actor. A search says what somebody " +
			"is after, which a read does not.",
		FalsePositives: []string{"a data loss product that looks for secrets in mail", "somebody who looks for his password", "the people who investigate an incident"},
		Techniques:     []string{"T1114.002", "T1552"},
		Stage:          casefile.StageCollection,
		Needs: Needs{
			Sources: []event.Source{event.UAL, event.GraphActivity, event.Google},
			Classes: []event.Class{event.ClassSearch, event.ClassGraphRequest, event.ClassMailAccess},
			Fetch:   "unified audit log, operations SearchQueryInitiatedExchange and SearchQueryInitiatedSharePoint (to be switched on for each mailbox), and Microsoft Graph activity logs",
		},
		Helps:       []Help{{Source: event.GraphActivity, What: "the searches of applications are not seen"}},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.003, Basis: "estimate: somebody who travels and looks for a password once a year; none in simulated quiet tenants, which search little"},
	}
}

// wanted is a regular expression of the words, in lower case. The field's
// reports of what intruders searched for name these kinds: secrets, remote
// access, security's own mail.
const wanted = `password|passwort|kennwort|passwd|mot de passe|contrase.a|credential|(^|[^a-z])secrets?([^a-z]|$)|(^|[^a-z])vpn([^a-z]|$)|(^|[^a-z])mfa([^a-z]|$)|two.?factor|api.?key|private.?key|ssh.?key|access.?token|` +
	`incident|breach|ransom|forensic|intrusion|apt29|cozy.?bear|nobelium|midnight.?blizzard`

// searchesSQL is a common table expression of searches, with who searched: an
// application without a user, or an account.
func searchesSQL() string {
	return `WITH searches AS (
		SELECT id, coalesce(tenant, '') AS tenant, time, CAST(time AS DATE) AS day, CASE WHEN actor_kind = 'app' THEN 1 ELSE 0 END AS by_app, CASE WHEN actor_kind = 'app' THEN coalesce(app_id, sp_id, actor, '') ELSE coalesce(actor, '') END AS who,
			coalesce(app_name, '') AS app_name, coalesce(sp_id, '') AS sp_id, CASE WHEN coalesce(ip_service, false) THEN '' ELSE coalesce(ip, '') END AS ip, ` + networkSQL() + ` AS net, coalesce(mailbox, '') AS mailbox,
			lower(json_extract_string(detail, '$.search')) AS query
		FROM events WHERE class IN ('search', 'graph_request', 'mail_access', 'attachment_access') AND detail LIKE '%"search"%' AND coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service' AND time IS NOT NULL
	), sensitive AS (
		SELECT * FROM searches WHERE regexp_matches(coalesce(query, ''), '` + wanted + `')
	)`
}

// searcher is what one application or account searched for on a day.
type searcher struct {
	tenant, who string
	app         bool
	day         time.Time
	n, distinct int64
}

// Detect implements [Detector].
func (d mailSearch) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	var apps []searcher
	var people []searcher
	appDays := map[string]int{}
	err := store.Each(ctx, q, searchesSQL()+` SELECT tenant, who, by_app, day, count(*), count(DISTINCT query) FROM sensitive WHERE who <> '' GROUP BY tenant, who, by_app, day ORDER BY tenant, who, day`, nil, func(scan scanner) error {
		var s searcher
		var app int64
		if err := scan(&s.tenant, &s.who, &app, &s.day, &s.n, &s.distinct); err != nil {
			return err
		}
		s.app = app == 1
		if !s.app {
			people = append(people, s)
			return nil
		}
		if appDays[s.tenant+" "+s.who]++; appDays[s.tenant+" "+s.who] == 1 {
			apps = append(apps, s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, s := range apps {
		f, err := d.finding(ctx, q, s, `sensitive WHERE tenant = ? AND who = ? AND by_app = 1`, s.tenant, s.who)
		if err != nil {
			return nil, err
		}
		days := appDays[s.tenant+" "+s.who]
		f.Severity = casefile.High
		f.Why += " It did so without a user."
		if days >= habitualDays {
			f.Severity = casefile.Medium
			f.Why += fmt.Sprintf(" It does so on %d days: a product that looks for secrets in mail does.", days)
		}
		f.Counts = append(f.Counts, casefile.Count{Name: "days", Value: float64(days), Limit: limit(habitualDays)})
		out = append(out, f)
	}
	away, err := d.away(ctx, q, len(people) > 0)
	if err != nil {
		return nil, err
	}
	for _, s := range people {
		gone := away[s.tenant+" "+s.who+" "+s.day.UTC().Format(time.DateOnly)]
		if gone == 0 && s.distinct < homeSearches {
			continue // people look for their passwords
		}
		f, err := d.finding(ctx, q, s, `sensitive WHERE tenant = ? AND who = ? AND by_app = 0 AND day = CAST(? AS DATE)`, s.tenant, s.who, s.day)
		if err != nil {
			return nil, err
		}
		f.Severity = casefile.Low
		if gone > 0 {
			f.Why += fmt.Sprintf(" %s came from a network from which the account had never signed in.", plural(gone, "search", "searches"))
			if s.distinct >= awaySearches {
				f.Severity = casefile.Medium
			}
		}
		out = append(out, f)
	}
	many, err := d.many(ctx, q)
	return append(out, many...), err
}

// finding tells of the searches that a relation holds.
func (mailSearch) finding(ctx context.Context, q store.Querier, s searcher, from string, args ...any) (casefile.Finding, error) {
	f := casefile.Finding{Tenant: s.tenant}
	var queries, boxes []string
	name := ""
	err := store.Each(ctx, q, searchesSQL()+` SELECT query, min(time), max(time), max(app_name), max(sp_id), max(mailbox), max(ip) FROM `+from+` GROUP BY query, mailbox, ip ORDER BY min(time), query LIMIT 200`, args, func(scan scanner) error {
		var query, app, sp, box, ip string
		var a, z time.Time
		if err := scan(&query, &a, &z, &app, &sp, &box, &ip); err != nil {
			return err
		}
		name = firstOf(name, app)
		f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(a)), casefile.Later(f.Last, casefile.TimeOf(z))
		queries, boxes = append(queries, strings.Trim(query, `" `)), append(boxes, box)
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource})
		if s.app {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.ServicePrincipal, ID: sp, Role: casefile.RoleActor, Name: app})
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	queries = casefile.Unique(queries)
	if s.app && name == "" {
		if name, err = appName(ctx, q, s.who); err != nil {
			return f, err
		}
	}
	who, begin := s.who, s.who
	if s.app {
		who, begin = "application "+firstOf(name, s.who), "Application "+firstOf(name, s.who)
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.App, ID: s.who, Role: casefile.RoleActor, Name: name})
	} else {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: s.who, Role: casefile.RoleActor})
	}
	c, err := cite(ctx, q, searchesSQL(), from, args...)
	if err != nil {
		return f, err
	}
	c.into(&f)
	f.Title = fmt.Sprintf("%s searched mail for %s", begin, list(queries, 3))
	f.Why = fmt.Sprintf("From %s to %s %s searched for %s (%s).", f.First, f.Last, who, list(queries, 8), plural(c.count, "record", "records"))
	f.Counts = []casefile.Count{{Name: "different searches", Value: float64(len(queries))}, {Name: "mailboxes named", Value: float64(len(casefile.Unique(boxes)))}}
	return f, nil
}

// away counts the searches of accounts, by account and day, from networks in
// which the account had not signed in before, of which there are several days.
func (mailSearch) away(ctx context.Context, q store.Querier, asked bool) (map[string]int64, error) {
	out := map[string]int64{}
	if !asked {
		return out, nil
	}
	err := store.Each(ctx, q, searchesSQL()+`, asked AS (
			SELECT id AS s_id, tenant AS s_tenant, who AS s_who, day AS s_day, time AS s_time, net AS s_net FROM sensitive WHERE by_app = 0 AND ip <> ''
		), theirs AS (
			SELECT actor, time, CAST(time AS DATE) AS day, `+networkSQL()+` AS net FROM events WHERE `+peopleSQL+` AND outcome = 'success'
		), own AS (
			SELECT s_id AS o_id, count(DISTINCT day) AS o_days, count(CASE WHEN net = s_net THEN 1 END) AS o_there FROM asked JOIN theirs ON actor = s_who WHERE time < s_time - INTERVAL 1 DAY GROUP BY s_id
		), shared AS (
			SELECT net AS h_net, count(DISTINCT actor) AS h_actors FROM theirs WHERE net IN (SELECT s_net FROM asked) GROUP BY net
		)
		SELECT s_tenant, s_who, s_day, count(*) FROM asked JOIN own ON o_id = s_id LEFT JOIN shared ON h_net = s_net WHERE o_days >= 5 AND o_there = 0 AND coalesce(h_actors, 0) < `+fmt.Sprint(sharedUsers)+`
		GROUP BY s_tenant, s_who, s_day`, nil, func(scan scanner) error {
		var tenant, who string
		var day time.Time
		var n int64
		err := scan(&tenant, &who, &day, &n)
		out[tenant+" "+who+" "+day.UTC().Format(time.DateOnly)] = n
		return err
	})
	return out, err
}

// many finds applications that search often in an hour, for whatever it is.
func (d mailSearch) many(ctx context.Context, q store.Querier) (out []casefile.Finding, err error) {
	type hour struct {
		tenant, who string
		at          time.Time
		n           int64
	}
	var hs []hour
	err = store.Each(ctx, q, searchesSQL()+`, hours AS (
			SELECT tenant, who, date_trunc('hour', time) AS begun, count(*) AS n FROM searches WHERE by_app = 1 AND who <> '' GROUP BY tenant, who, date_trunc('hour', time)
		) SELECT tenant, who, min(begun), max(n) FROM hours WHERE n >= `+fmt.Sprint(appSearches)+` GROUP BY tenant, who HAVING count(*) < `+fmt.Sprint(habitualDays)+` ORDER BY tenant, who`, nil, func(scan scanner) error {
		var h hour
		err := scan(&h.tenant, &h.who, &h.at, &h.n)
		hs = append(hs, h)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, h := range hs {
		f, err := d.finding(ctx, q, searcher{tenant: h.tenant, who: h.who, app: true}, `searches WHERE tenant = ? AND who = ? AND by_app = 1 AND time >= ? AND time < ?`, h.tenant, h.who, h.at, h.at.Add(time.Hour))
		if err != nil {
			return nil, err
		}
		f.Severity = casefile.Medium
		f.Why += fmt.Sprintf(" These were %d in one hour, and it does not do so regularly.", h.n)
		f.Counts = append(f.Counts, casefile.Count{Name: "searches in an hour", Value: float64(h.n), Limit: limit(appSearches)})
		out = append(out, f)
	}
	return out, nil
}
