package detect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// sessionSecondNetwork finds sessions that are used from a second network: a
// stolen cookie or token is replayed from somewhere else.
type sessionSecondNetwork struct{}

// Card implements [Detector].
func (sessionSecondNetwork) Card() Card {
	return Card{
		ID:    "session_second_network",
		Title: "Session used from a second network",
		Why: "A session belongs to one browser on one device. Used from another network, it may have been taken along, or stolen: with a stolen session nobody " +
			"has to know a password or pass MFA.",
		FalsePositives: []string{
			"a laptop that moves from home to a train or switches on a VPN",
			"mobile networks that change addresses, IPv4 and IPv6 of the same line",
		},
		Techniques: []string{"T1550.004", "T1539"},
		Stage:      casefile.StageAccess,
		Needs:      signInNeeds(),
		Severity:   casefile.Low,
	}
}

// Detect implements [Detector].
func (d sessionSecondNetwork) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	// A network that three or more accounts use is the organization's own, or
	// its VPN; a session may move there. IPv4 and IPv6 are two networks by
	// their prefixes alone, and a line has both, so they are compared apart
	// where the autonomous system is not known.
	query := `WITH uses AS (
		SELECT coalesce(tenant, '') AS tenant, session_id, time, lower(coalesce(nullif(actor, ''), actor_id)) AS who, ip, ` + networkSQL() + ` AS net, coalesce(country, '') AS country,
			coalesce(user_agent, '') AS user_agent, CASE WHEN asn > 0 THEN 'as' WHEN ip LIKE '%:%' THEN 'v6' ELSE 'v4' END AS family
		FROM events
		WHERE session_id IS NOT NULL AND session_id <> '' AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false
			AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest', 'unknown', '') AND coalesce(outcome, '') <> 'failure' AND time IS NOT NULL
			AND class IN ('sign_in', 'mail_access', 'attachment_access', 'mail_send', 'file_access', 'graph_request', 'inbox_rule', 'search', 'consent', 'app_role_grant')
	), common AS (
		SELECT net FROM uses GROUP BY net HAVING count(DISTINCT who) >= 3
	), nets AS (
		SELECT tenant, session_id, family, net, min(time) AS first_at, max(time) AS last_at, count(*) AS n, max(country) AS country, max(ip) AS ip, max(user_agent) AS agent, max(who) AS who
		FROM uses GROUP BY tenant, session_id, family, net
	), sessions AS (
		SELECT session_id FROM nets GROUP BY session_id, family HAVING count(*) >= 2
	)
	SELECT n.tenant, n.session_id, n.family, n.net, n.first_at, n.last_at, n.n, n.country, n.ip, n.agent, n.who,
		CASE WHEN n.net IN (SELECT net FROM common) THEN 1 ELSE 0 END
	FROM nets n WHERE n.session_id IN (SELECT session_id FROM sessions)
	ORDER BY n.tenant, n.session_id, n.family, n.first_at, n.net`
	var out []casefile.Finding
	var cur []netUse
	flush := func() {
		if f, ok := d.finding(cur); ok {
			out = append(out, f)
		}
		cur = cur[:0]
	}
	err := store.Each(ctx, q, query, nil, func(scan scanner) error {
		var u netUse
		if err := scan(&u.tenant, &u.session, &u.family, &u.net, &u.first, &u.last, &u.n, &u.country, &u.ip, &u.agent, &u.who, &u.common); err != nil {
			return err
		}
		if len(cur) > 0 && (cur[0].session != u.session || cur[0].tenant != u.tenant || cur[0].family != u.family) {
			flush()
		}
		cur = append(cur, u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	flush()
	out = d.rare(out)
	return out, d.cite(ctx, q, out)
}

// commonMoves is from how many slight findings in a tenant on moving sessions
// are ordinary there and say nothing one by one.
const commonMoves = 25

// rare replaces the slight findings of a tenant by one that counts them, where
// they are common: people with phones move.
func (sessionSecondNetwork) rare(fs []casefile.Finding) []casefile.Finding {
	slight := map[string][]casefile.Finding{}
	var out []casefile.Finding
	for _, f := range fs {
		if f.Severity == casefile.Low {
			slight[f.Tenant] = append(slight[f.Tenant], f)
			continue
		}
		out = append(out, f)
	}
	for _, tenant := range slices.Sorted(maps.Keys(slight)) {
		list := slight[tenant]
		if len(list) < commonMoves {
			out = append(out, list...)
			continue
		}
		all := casefile.Finding{Tenant: tenant, Severity: casefile.Info}
		accounts := map[string]bool{}
		for i, f := range list {
			all.First, all.Last = casefile.Earlier(all.First, f.First), casefile.Later(all.Last, f.Last)
			for _, e := range f.Entities {
				if e.Kind == casefile.Account {
					accounts[e.ID] = true
				}
				if e.Kind == casefile.Session && i < 20 { // examples
					all.Entities = append(all.Entities, e)
				}
			}
			if i == commonMoves-1 {
				all.Detected = f.Detected
			}
		}
		all.Title = fmt.Sprintf("%d sessions moved between networks, which is ordinary here", len(list))
		all.Counts = []casefile.Count{{Name: "sessions", Value: float64(len(list)), Limit: limit(commonMoves)}, {Name: "accounts", Value: float64(len(accounts))}}
		all.Why = fmt.Sprintf("%d sessions of %d accounts were used from a second network, one after the other, in the same country and with the same user agent as far as recorded. So many say nothing one by one; with --asn and countries they can be told apart better.", len(list), len(accounts))
		out = append(out, all)
	}
	return out
}

// cite adds the events of the findings' sessions.
func (sessionSecondNetwork) cite(ctx context.Context, q store.Querier, fs []casefile.Finding) error {
	at := map[string][]int{}
	for i, f := range fs {
		for _, e := range f.Entities {
			if e.Kind == casefile.Session {
				at[e.ID] = append(at[e.ID], i)
			}
		}
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(at)), 500) {
		from := `events WHERE session_id IN (` + quoted(chunk) + `) AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false AND time IS NOT NULL`
		err := store.Each(ctx, q, `SELECT session_id, CAST(id AS VARCHAR) FROM `+from+` ORDER BY time, id`, nil, func(scan scanner) error {
			var session, id string
			if err := scan(&session, &id); err != nil {
				return err
			}
			for _, i := range at[session] {
				fs[i].Events = append(fs[i].Events, id)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("events of sessions: %w", err)
		}
	}
	for i := range fs {
		f := &fs[i]
		f.EventCount = int64(len(f.Events))
		if f.EventCount > casefile.MaxEvents {
			var ids []string
			for _, e := range f.Entities {
				if e.Kind == casefile.Session {
					ids = append(ids, e.ID)
				}
			}
			f.Events = capIDs(f.Events)
			f.EventsQuery = `SELECT id FROM events WHERE session_id IN (` + quoted(ids) + `) ORDER BY time, id`
		}
	}
	return nil
}

type netUse struct {
	tenant, session, family, net, country, ip, agent, who string
	first, last                                           time.Time
	n                                                     int64
	common                                                int64
}

func (sessionSecondNetwork) finding(us []netUse) (casefile.Finding, bool) {
	var f casefile.Finding
	if len(us) < 2 {
		return f, false
	}
	var second *netUse
	interleaved, abroad, otherAgent := false, false, false
	for i := 1; i < len(us); i++ {
		if us[i].common == 1 {
			continue
		}
		if second == nil {
			second = &us[i]
		}
		// Whoever was there before and is there again afterwards has not moved.
		for j := range i {
			interleaved = interleaved || us[i].first.Before(us[j].last)
		}
		if us[0].country != "" && us[i].country != "" && us[0].country != us[i].country {
			abroad = true
		}
		if us[0].agent != "" && us[i].agent != "" && us[0].agent != us[i].agent {
			otherAgent = true
		}
	}
	if second == nil {
		return f, false
	}
	f.Tenant, f.Severity = second.tenant, casefile.Low
	switch {
	case abroad && (interleaved || otherAgent):
		f.Severity = casefile.High
	case abroad, interleaved && otherAgent:
		f.Severity = casefile.Medium
	}
	f.First, f.Last, f.Detected = casefile.TimeOf(us[0].first), casefile.TimeOf(us[0].last), casefile.TimeOf(second.first)
	f.Entities = []casefile.Entity{{Kind: casefile.Session, ID: second.session, Role: casefile.RoleTarget}, {Kind: casefile.Account, ID: second.who, Role: casefile.RoleTarget}}
	var where []string
	for i, u := range us {
		f.Last = casefile.Later(f.Last, casefile.TimeOf(u.last))
		role := casefile.RoleTarget
		if i > 0 && u.common == 0 {
			role = casefile.RoleSource
		}
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: u.ip, Role: role})
		net := u.net
		if u.country != "" {
			net += " (" + u.country + ")"
		}
		where = append(where, fmt.Sprintf("%s from %s, %s", net, casefile.TimeOf(u.first), plural(u.n, "record", "records")))
	}
	f.Counts = []casefile.Count{{Name: "networks", Value: float64(len(us)), Limit: limit(2)}}
	f.Title = fmt.Sprintf("Session of %s used from a second network", firstOf(second.who, "an unknown account"))
	f.Why = fmt.Sprintf("Session %s of %s came from %s.", second.session, firstOf(second.who, "an unknown account"), strings.Join(where[:min(len(where), 6)], "; then "))
	if interleaved {
		f.Why += " Both networks were in use at the same time."
	}
	if otherAgent {
		f.Why += " The user agent changed with the network."
	}
	return f, true
}
