package detect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// sessionSecondNetwork finds sessions that are used from a second network: a
// stolen cookie or token is replayed from somewhere else.
type sessionSecondNetwork struct{}

// Card implements [Detector].
func (sessionSecondNetwork) Card() Card {
	return Card{
		ID:    "session_second_network",
		Title: "Session or token used from a second network",
		Why: "A session belongs to one browser on one device. Used from another network, it may have been taken along, or stolen: with a stolen session nobody " +
			"has to know a password or pass MFA.",
		FalsePositives: []string{
			"a laptop that moves from home to a train or switches on a VPN",
			"mobile networks that change addresses, IPv4 and IPv6 of the same line",
		},
		Techniques: []string{"T1550.004", "T1539"},
		Stage:      casefile.StageAccess,
		Needs:      signInNeeds(),
		Helps: []Help{
			{Source: event.UAL, What: "what a session did is not seen, only where it was refreshed"},
			{Source: event.GraphActivity, What: "requests to Graph with a stolen token are not seen"},
		},
		Severity:    casefile.Low,
		FalseAlarms: FalseAlarms{PerDay: 0.005, Basis: "journeys over a border with an open session and another user agent or at the same time: 1 in 2,000 people and half a year (estimate); none on simulated quiet tenants"},
	}
}

// sessionMovesSQL is a common table expression of sessions that were used from
// several networks, judged: severe 1 says that one of the later networks is
// abroad, or was in use at the same time with another user agent.
//
// A token without a session belongs to that of the sign-in that minted it;
// where that is not known the token itself is looked at. A network that three
// or more accounts use is the organization's own, or its VPN; a session may
// move there. IPv4 and IPv6 are two networks by their prefixes alone, and a
// line has both, so they are compared apart where the autonomous system is not
// known.
func sessionMovesSQL() string {
	const columns = `coalesce(tenant, '') AS tenant, lower(coalesce(nullif(actor, ''), actor_id, '')) AS who, ip, coalesce(asn, 0) AS asn, coalesce(country, '') AS country,
			CASE WHEN user_agent LIKE '%Windows%' THEN 'Windows' WHEN user_agent LIKE '%iP%' OR user_agent LIKE '%Mac%' THEN 'Apple' WHEN user_agent LIKE '%Android%' OR user_agent LIKE '%Linux%' THEN 'Linux' ELSE '' END AS os,
			min(time) AS first_at, max(time) AS last_at, count(*) AS n, max(coalesce(user_agent, '')) AS agent`
	const used = `ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest', 'unknown', '')
			AND coalesce(outcome, '') <> 'failure' AND time IS NOT NULL
			AND class IN ('sign_in', 'mail_access', 'attachment_access', 'mail_send', 'file_access', 'graph_request', 'inbox_rule', 'search', 'consent', 'app_role_grant')`
	return `WITH by_session AS (
		SELECT session_id AS session, '' AS token, ` + columns + ` FROM events WHERE session_id IS NOT NULL AND session_id <> '' AND ` + used + ` GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
	), by_token AS (
		SELECT '' AS session, token_id AS token, ` + columns + ` FROM events WHERE coalesce(session_id, '') = '' AND token_id IS NOT NULL AND token_id <> '' AND ` + used + ` GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
	), minted AS (
		SELECT request_id AS m_id, max(session_id) AS m_session FROM events
		WHERE class = 'sign_in' AND request_id IS NOT NULL AND session_id IS NOT NULL AND session_id <> '' AND request_id IN (SELECT token FROM by_token) GROUP BY request_id
	), uses AS (
		SELECT 'session' AS kind, session AS unit, tenant, who, ip, asn, country, os, first_at, last_at, n, agent FROM by_session
		UNION ALL SELECT CASE WHEN m.m_id IS NULL THEN 'token' ELSE 'session' END, coalesce(m.m_session, t.token), t.tenant, t.who, t.ip, t.asn, t.country, t.os, t.first_at, t.last_at, t.n, t.agent
			FROM by_token t LEFT JOIN minted m ON m.m_id = t.token
	), placed AS (
		SELECT *, ` + networkSQL() + ` AS net, CASE WHEN asn > 0 THEN 'as' WHEN ip LIKE '%:%' THEN 'v6' ELSE 'v4' END AS family FROM uses
	), common AS (
		SELECT net AS c_net FROM placed GROUP BY net
		HAVING count(DISTINCT CASE WHEN who LIKE '%@%' THEN who END) >= 3 OR count(DISTINCT CASE WHEN who NOT LIKE '%@%' AND who <> '' THEN who END) >= 3
	), shared AS (
		SELECT ip AS s_ip FROM placed GROUP BY ip HAVING count(DISTINCT CASE WHEN who <> '' THEN who END) >= 3
	), nets AS (
		SELECT tenant, kind, unit, family, net, coalesce(max(CASE WHEN ip NOT IN (SELECT s_ip FROM shared) THEN country END), '') AS away, max(os) AS os,
			coalesce(min(CASE WHEN os <> '' AND ip NOT IN (SELECT s_ip FROM shared) THEN os END), '') AS os_low, coalesce(max(CASE WHEN os <> '' AND ip NOT IN (SELECT s_ip FROM shared) THEN os END), '') AS os_high, min(first_at) AS first_at, max(last_at) AS last_at, sum(n) AS n, max(country) AS country, max(ip) AS ip, max(agent) AS agent,
			coalesce(max(CASE WHEN who LIKE '%@%' THEN who END), max(who)) AS who
		FROM placed GROUP BY tenant, kind, unit, family, net
	), several AS (
		SELECT kind AS s_kind, unit AS s_unit, family AS s_family FROM nets GROUP BY kind, unit, family
		HAVING count(*) >= 2 AND (min(os_low) <> max(os) OR max(CASE WHEN net IN (SELECT c_net FROM common) THEN 0 ELSE 1 END) = 1 OR count(DISTINCT CASE WHEN away <> '' THEN away END) >= ` + fmt.Sprint(tour) + `)
	), ranked AS (
		SELECT *, CASE WHEN net IN (SELECT c_net FROM common) THEN 1 ELSE 0 END AS is_common,
			row_number() OVER (PARTITION BY tenant, kind, unit, family ORDER BY first_at, net) AS nr,
			max(last_at) OVER (PARTITION BY tenant, kind, unit, family ORDER BY first_at, net ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS last_before,
			first_value(os) OVER (PARTITION BY tenant, kind, unit, family ORDER BY first_at, net) AS os0,
			first_value(country) OVER (PARTITION BY tenant, kind, unit, family ORDER BY first_at, net) AS country0,
			first_value(agent) OVER (PARTITION BY tenant, kind, unit, family ORDER BY first_at, net) AS agent0
		FROM nets JOIN several ON s_kind = kind AND s_unit = unit AND s_family = family
	), moved AS (
		SELECT tenant AS j_tenant, kind AS j_kind, unit AS j_unit, family AS j_family, min(first_at) AS j_first, max(last_at) AS j_last, max(who) AS j_who,
			max(CASE WHEN nr > 1 AND is_common = 0 AND first_at < last_before THEN 1 ELSE 0 END) AS interleaved,
			max(CASE WHEN nr > 1 AND is_common = 0 AND country <> '' AND country0 <> '' AND country <> country0 THEN 1 ELSE 0 END) AS abroad,
			max(CASE WHEN nr > 1 AND is_common = 0 AND agent <> '' AND agent0 <> '' AND agent <> agent0 THEN 1 ELSE 0 END) AS other_agent,
			max(CASE WHEN nr > 1 AND is_common = 0 THEN 1 ELSE 0 END) AS strange,
			max(CASE WHEN nr > 1 AND os0 <> '' AND os_low <> '' AND (os_low <> os0 OR os_high <> os0) THEN 1 ELSE 0 END) AS other_os,
			count(DISTINCT CASE WHEN away <> '' THEN away END) AS countries
		FROM ranked GROUP BY 1, 2, 3, 4
	), judged AS (
		SELECT *, CASE WHEN abroad = 1 OR interleaved = 1 AND other_agent = 1 OR other_os = 1 OR countries >= ` + fmt.Sprint(tour) + ` THEN 1 ELSE 0 END AS severe FROM moved
		WHERE strange = 1 OR other_os = 1 OR countries >= ` + fmt.Sprint(tour) + `
	)`
}

// tour is in how many countries a session has addresses of its own when it is
// no journey any more. Those of offices and VPNs do not count.
const tour = 3

// commonMoves is from how many slight findings in a tenant on moving sessions
// are ordinary there and say nothing one by one.
const commonMoves = 25

// Detect implements [Detector].
func (d sessionSecondNetwork) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	// People with phones move, so that slight moves are as many as people:
	// they are counted where they are, and only the first of them come back.
	query := sessionMovesSQL() + `, chosen AS (
		SELECT *, row_number() OVER (PARTITION BY j_tenant, severe ORDER BY j_first, j_unit, j_family) AS k,
			CASE WHEN row_number() OVER (PARTITION BY j_tenant, severe, j_who ORDER BY j_first, j_unit, j_family) = 1 THEN 1 ELSE 0 END AS new_who
		FROM judged
	), counted AS (
		SELECT *, count(*) OVER (PARTITION BY j_tenant, severe) AS sessions, sum(new_who) OVER (PARTITION BY j_tenant, severe) AS accounts,
			min(j_first) OVER (PARTITION BY j_tenant, severe) AS begun, max(j_last) OVER (PARTITION BY j_tenant, severe) AS ended
		FROM chosen
	)
	SELECT n.tenant, n.kind, n.unit, n.family, n.net, n.first_at, n.last_at, CAST(n.n AS BIGINT), n.country, n.away, n.os0, n.os_low, n.os_high, n.ip, n.agent, n.who, n.is_common, c.severe, CAST(c.sessions AS BIGINT), CAST(c.accounts AS BIGINT), c.begun, c.ended
	FROM ranked n JOIN counted c ON c.j_tenant = n.tenant AND c.j_kind = n.kind AND c.j_unit = n.unit AND c.j_family = n.family
	WHERE c.severe = 1 OR c.k <= ` + fmt.Sprint(commonMoves) + `
	ORDER BY n.tenant, n.kind, n.unit, n.family, n.nr`
	moves := map[string]*slightMoves{}
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
		var m slightMoves
		var severe int64
		if err := scan(&u.tenant, &u.kind, &u.session, &u.family, &u.net, &u.first, &u.last, &u.n, &u.country, &u.away, &u.os0, &u.osLow, &u.osHigh, &u.ip, &u.agent, &u.who, &u.common, &severe, &m.sessions, &m.accounts, &m.first, &m.last); err != nil {
			return err
		}
		if severe == 0 {
			moves[u.tenant] = &m
		}
		if len(cur) > 0 && (cur[0].session != u.session || cur[0].kind != u.kind || cur[0].tenant != u.tenant || cur[0].family != u.family) {
			flush()
		}
		cur = append(cur, u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	flush()
	out = d.rare(out, moves)
	return out, d.cite(ctx, q, out)
}

// slightMoves counts the sessions of a tenant that moved as people do.
type slightMoves struct {
	sessions, accounts int64
	first, last        time.Time
}

// rare replaces the slight findings of a tenant by one that counts them, where
// they are common.
func (sessionSecondNetwork) rare(fs []casefile.Finding, moves map[string]*slightMoves) []casefile.Finding {
	slight := map[string][]casefile.Finding{}
	var out []casefile.Finding
	for _, f := range fs {
		m := moves[f.Tenant]
		if f.Severity != casefile.Low || m == nil || m.sessions < commonMoves {
			out = append(out, f)
			continue
		}
		slight[f.Tenant] = append(slight[f.Tenant], f)
	}
	for _, tenant := range slices.Sorted(maps.Keys(slight)) {
		list, m := slight[tenant], moves[tenant]
		all := casefile.Finding{Tenant: tenant, Severity: casefile.Info, First: casefile.TimeOf(m.first), Last: casefile.TimeOf(m.last)}
		for i, f := range list {
			all.Detected = casefile.Later(all.Detected, f.Detected)
			for _, e := range f.Entities {
				if (e.Kind == casefile.Session || e.Kind == casefile.Token) && i < 20 { // examples
					all.Entities = append(all.Entities, e)
				}
			}
		}
		all.Title = fmt.Sprintf("%d sessions moved between networks, which is ordinary here", m.sessions)
		all.Counts = []casefile.Count{{Name: "sessions", Value: float64(m.sessions), Limit: limit(commonMoves)}, {Name: "accounts", Value: float64(m.accounts)}}
		all.Why = fmt.Sprintf("%d sessions of %d accounts were used from a second network, one after the other, in the same country and with the same user agent as far as recorded. So many say nothing one by one; with --asn and countries they can be told apart better.", m.sessions, m.accounts)
		out = append(out, all)
	}
	return out
}

// cite adds the events of the findings' sessions and tokens.
func (sessionSecondNetwork) cite(ctx context.Context, q store.Querier, fs []casefile.Finding) error {
	const used = ` AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false AND time IS NOT NULL`
	for kind, column := range map[casefile.EntityKind]string{casefile.Session: "session_id", casefile.Token: "token_id"} {
		at := map[string][]int{}
		for i, f := range fs {
			for _, e := range f.Entities {
				if e.Kind == kind {
					at[e.ID] = append(at[e.ID], i)
				}
			}
		}
		for chunk := range slices.Chunk(slices.Sorted(maps.Keys(at)), 500) {
			err := store.Each(ctx, q, `SELECT `+column+`, CAST(id AS VARCHAR) FROM events WHERE `+column+` IN (`+quoted(chunk)+`)`+used+` ORDER BY time, id`, nil, func(scan scanner) error {
				var k, id string
				if err := scan(&k, &id); err != nil {
					return err
				}
				for _, i := range at[k] {
					fs[i].Events = append(fs[i].Events, id)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("events of sessions: %w", err)
			}
		}
	}
	for i := range fs {
		f := &fs[i]
		f.EventCount = int64(len(f.Events))
		if f.EventCount > casefile.MaxEvents {
			var sessions, tokens []string
			for _, e := range f.Entities {
				switch e.Kind {
				case casefile.Session:
					sessions = append(sessions, e.ID)
				case casefile.Token:
					tokens = append(tokens, e.ID)
				}
			}
			f.Events = capIDs(f.Events)
			f.EventsQuery = `SELECT id FROM events WHERE (session_id IN (` + quoted(append(sessions, "")) + `) OR token_id IN (` + quoted(append(tokens, "")) + `))` + used + ` ORDER BY time, id`
		}
	}
	return nil
}

type netUse struct {
	tenant, kind, session, family, net, country, away, os0, osLow, osHigh, ip, agent, who string
	first, last                                                                           time.Time
	n                                                                                     int64
	common                                                                                int64
}

// strange reports whether it differs in country or program from where the
// session began.
func (u *netUse) strange(home *netUse) bool {
	return home.country != "" && u.country != "" && home.country != u.country || home.agent != "" && u.agent != "" && home.agent != u.agent || u.otherOS()
}

// otherOS reports whether somebody with another operating system than that
// with which the session began was in a network, from an address that is not
// the organization's.
func (u *netUse) otherOS() bool {
	return u.os0 != "" && u.osLow != "" && (u.osLow != u.os0 || u.osHigh != u.os0)
}

func (sessionSecondNetwork) finding(us []netUse) (casefile.Finding, bool) {
	var f casefile.Finding
	if len(us) < 2 {
		return f, false
	}
	var second *netUse
	interleaved, abroad, otherAgent := false, false, false
	countries := map[string]bool{}
	for i := range us {
		if us[i].away != "" {
			countries[us[i].away] = true
		}
	}
	onTour, otherOS := len(countries) >= tour, false
	for i := 1; i < len(us); i++ {
		otherOS = otherOS || us[i].otherOS()
		away := us[i].away != "" && us[i].away != us[0].country
		if us[i].common == 1 && !(onTour && away) && !us[i].otherOS() {
			continue
		}
		if second == nil {
			second = &us[i]
		}
		// Whoever was there before and is there again afterwards has not moved.
		for j := range i {
			interleaved = interleaved || us[i].first.Before(us[j].last)
		}
		if c := firstOf(us[i].away, us[i].country); us[0].country != "" && c != "" && us[0].country != c {
			abroad = true
		}
		if us[0].agent != "" && us[i].agent != "" && us[0].agent != us[i].agent {
			otherAgent = true
		}
	}
	if second == nil {
		return f, false
	}
	for i := 1; i < len(us); i++ { // what is strange, rather than what is the owner's home
		if us[i].strange(&us[0]) && (us[i].common == 0 || us[i].otherOS() || onTour && us[i].away != "") {
			second = &us[i]
			break
		}
	}
	// Graph's log has ids in the place of names.
	for _, u := range us {
		if strings.Contains(u.who, "@") && !strings.Contains(second.who, "@") {
			second.who = u.who
		}
	}
	f.Tenant, f.Severity = second.tenant, casefile.Low
	switch {
	case abroad && otherAgent, otherOS && abroad:
		f.Severity = casefile.High
	case abroad && interleaved && (us[0].agent == "" || second.agent == ""), interleaved && otherAgent:
		// With the same user agent it is a journey: who comes home after days
		// has been in both countries in between, too.
		f.Severity = casefile.Medium
	case otherOS, onTour:
		// A copied user agent hides the change of device, not that nobody
		// tours with a session that proxies of several countries share.
		f.Severity = casefile.Medium
	}
	f.First, f.Last, f.Detected = casefile.TimeOf(second.first), casefile.TimeOf(second.last), casefile.TimeOf(second.first)
	f.Entities = []casefile.Entity{{Kind: casefile.EntityKind(second.kind), ID: second.session, Role: casefile.RoleTarget}, {Kind: casefile.Account, ID: second.who, Role: casefile.RoleTarget}}
	var where []string
	for i, u := range us {
		f.Last = casefile.Later(f.Last, casefile.TimeOf(u.last))
		role := casefile.RoleTarget
		// Where it differs in country or program, that part is strange; the rest
		// may be its owner at home.
		strange := u.strange(&us[0])
		if i > 0 && (u.common == 0 || u.otherOS() || onTour && u.away != "" && strange) && (strange || !abroad && !otherAgent) {
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
	f.Title = fmt.Sprintf("%s of %s used from a second network", upperFirst(second.kind), firstOf(second.who, "an unknown account"))
	f.Why = fmt.Sprintf("%s %s of %s came from %s.", upperFirst(second.kind), second.session, firstOf(second.who, "an unknown account"), strings.Join(where[:min(len(where), 6)], "; then "))
	if interleaved {
		f.Why += " Both networks were in use at the same time."
	}
	if otherAgent {
		f.Why += " The user agent changed with the network."
	}
	if otherOS {
		f.Why += " The operating system changed with it, which that of one browser does not."
	}
	if onTour {
		f.Why += fmt.Sprintf(" Addresses that only it uses lie in %d countries.", len(countries))
	}
	return f, true
}
