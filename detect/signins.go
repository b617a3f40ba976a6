package detect

import "fmt"

// signInsSQL is a common table expression: the sign-ins and attempts of
// people, each once. The unified audit log's UserLoggedIn and UserLoginFailed
// repeat Entra's sign-ins under the same request id; Entra's record is kept.
// Column pw holds what the result says about the password, net the autonomous
// system (where it is not known, the prefix), prefix the /24 or /48, origin the
// IPv4 address or the /48. The condition, on columns of events, keeps to what a
// question is about: the relation is wide, and those of a tenant are millions.
func signInsSQL(where string) string {
	if where != "" {
		where = " AND " + where
	}
	return `WITH signins AS (
	SELECT id, source, coalesce(tenant, '') AS tenant, time, CAST(time AS DATE) AS day, actor, ip, coalesce(asn, 0) AS asn,
		coalesce(app_id, '') AS app_id, coalesce(app_name, '') AS app_name, coalesce(user_agent, '') AS user_agent, coalesce(client, '') AS client,
		coalesce(country, '') AS country, coalesce(session_id, '') AS session_id, coalesce(token_id, '') AS token_id, coalesce(request_id, '') AS request_id,
		coalesce(device_id, '') AS device_id, coalesce(ip_kind, '') AS ip_kind, ` + networkSQL() + ` AS net, ` + prefixSQL() + ` AS prefix, ` + originSQL() + ` AS origin,
		` + passwordSQL() + ` AS pw, ` + stoppedSQL() + ` AS stopped
	FROM events
	WHERE ` + peopleSQL + where + `
		AND (source <> 'ual' OR request_id IS NULL OR request_id NOT IN (
			SELECT request_id FROM events WHERE class = 'sign_in' AND source = 'signin' AND request_id IS NOT NULL` + where + `))
)`
}

// peopleSQL is the condition of a sign-in, or an attempt, of a person.
const peopleSQL = `class = 'sign_in' AND actor IS NOT NULL AND actor <> '' AND actor <> 'not available' AND time IS NOT NULL
		AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest', 'unknown', '')
		AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false`

// The limits of what explains a wrong password. They are those of ordinary
// life, not of an attack: an attacker who wants to be explained has to guess
// from a network in which the account, or three colleagues, are at home.
const (
	familiarDays   = 30 // a network in which the account signed in within so many days is its own
	resolvedMin    = 30 // minutes within which the account's own success explains a typo
	settledDays    = 3  // days of sign-ins that make an address the account's, be it later; in the first week also a network
	sharedUsers    = 3  // accounts that sign in from a /24 or /48 make it an office, VPN or carrier
	deviceNetworks = 3  // networks that one such device repeats itself from; more are somebody who guesses
	warmUpDays     = 7  // the beginning of the evidence, in which everything looks new
)

// orphansSQL is a common table expression: relation orphans holds the failed
// guesses, and right passwords that were stopped by what stops guessers, that
// nothing explains. Questions that everybody is asked are none, nor are expired
// passwords. A failure is explained when
//   - the account signed in from that network in the 30 days before, or does
//     so within half an hour (a typo),
//   - it signs in from that very address on three days, be it later. In the
//     first week a network in which it settles later explains as well (column
//     later is 1): the beginning of the evidence is not the beginning of life.
//     But the one who settles there may be the guesser, so that such a failure
//     counts again once a spray of the kind is known,
//   - it came from a device with which the account signs in,
//   - three or more accounts sign in from that /24 or /48,
//   - it is one of a device's endless retries with an old password: failures on three days
//     of a week by one account, address and application.
//
// Addresses that fail against many accounts in a day are left out: they are
// the loud kind, and failures_one_ip tells of them.
//
// This is filter A of Javed and Paxson's and of Herley and Schechter's idea:
// look at failures where benign ones are rare.
//
// The heavy part is told apart from the few rows that it is for: failures from
// shared networks, which are most, go first, and of the sign-ins that explain
// the rest only those of the same accounts are looked at, in few columns.
func orphansSQL() string {
	d := func(n int) string { return fmt.Sprint(n) }
	return `WITH tries AS (
		SELECT id, coalesce(tenant, '') AS tenant, time, CAST(time AS DATE) AS day, actor, ip, coalesce(asn, 0) AS asn, coalesce(app_id, '') AS app_id, coalesce(app_name, '') AS app_name,
			coalesce(resource_id, '') AS resource_id, coalesce(resource_name, '') AS resource_name, coalesce(user_agent, '') AS user_agent, coalesce(client, '') AS client,
			coalesce(protocol, '') AS protocol, coalesce(country, '') AS country, coalesce(device_id, '') AS device_id, coalesce(ip_kind, '') AS ip_kind,
			` + networkSQL() + ` AS net, ` + prefixSQL() + ` AS prefix, ` + originSQL() + ` AS origin, ` + passwordSQL() + ` AS pw, ` + stoppedSQL() + ` AS stopped
		FROM events
		WHERE ` + peopleSQL + ` AND coalesce(outcome, '') <> 'success'
			AND (source <> 'ual' OR request_id IS NULL OR request_id NOT IN (
				SELECT request_id FROM events WHERE class = 'sign_in' AND source = 'signin' AND coalesce(outcome, '') <> 'success' AND request_id IS NOT NULL))
	), bad AS (
		SELECT * FROM tries WHERE pw IN ('wrong', 'locked', 'no_user') OR pw = 'right' AND stopped NOT IN ('` + stoppedRoutine + `', '` + stoppedExpired + `')
	), shared AS (
		SELECT prefix FROM (SELECT DISTINCT ` + prefixSQL() + ` AS prefix, actor FROM events WHERE ` + peopleSQL + ` AND outcome = 'success') x
		WHERE prefix IN (SELECT prefix FROM bad) GROUP BY prefix HAVING count(*) >= ` + d(sharedUsers) + `
	), loud AS (
		SELECT DISTINCT origin FROM (SELECT origin, day FROM bad WHERE pw <> 'right' GROUP BY origin, day HAVING count(DISTINCT actor) >= ` + d(failedUsers) + `) z
	), retries AS (
		SELECT r_actor, r_origin, r_app, r_day FROM (
			SELECT r_actor, r_origin, r_app, r_day,
				lag(r_day, 2) OVER (PARTITION BY r_actor, r_origin, r_app ORDER BY r_day) AS two_before, lag(r_day, 1) OVER (PARTITION BY r_actor, r_origin, r_app ORDER BY r_day) AS one_before,
				lead(r_day, 1) OVER (PARTITION BY r_actor, r_origin, r_app ORDER BY r_day) AS one_after, lead(r_day, 2) OVER (PARTITION BY r_actor, r_origin, r_app ORDER BY r_day) AS two_after
			FROM (SELECT DISTINCT actor AS r_actor, origin AS r_origin, app_id AS r_app, day AS r_day FROM bad WHERE pw <> 'right') x
		) y WHERE two_before >= r_day - INTERVAL 6 DAY OR two_after <= r_day + INTERVAL 6 DAY OR one_after <= one_before + INTERVAL 6 DAY
	), stuck AS (
		SELECT r_actor AS k_actor FROM retries GROUP BY r_actor HAVING count(DISTINCT r_origin) <= ` + d(deviceNetworks) + `
	), rest AS (
		SELECT b.* FROM bad b
			LEFT JOIN (SELECT * FROM retries WHERE r_actor IN (SELECT k_actor FROM stuck)) r ON r.r_actor = b.actor AND r.r_origin = b.origin AND r.r_app = b.app_id AND r.r_day = b.day
		WHERE r.r_actor IS NULL AND b.prefix NOT IN (SELECT prefix FROM shared) AND b.origin NOT IN (SELECT origin FROM loud)
	), good AS (
		SELECT actor AS g_actor, ` + networkSQL() + ` AS g_net, ` + originSQL() + ` AS g_origin, coalesce(device_id, '') AS g_device, CAST(time AS DATE) AS g_day, min(time) AS g_first, max(time) AS g_last
		FROM events WHERE ` + peopleSQL + ` AND outcome = 'success' AND actor IN (SELECT actor FROM rest)
		GROUP BY 1, 2, 3, 4, 5
	), begins AS (
		SELECT coalesce(tenant, '') AS b_tenant, min(time) AS begun FROM events WHERE ` + peopleSQL + ` GROUP BY coalesce(tenant, '')
	), familiar AS (
		SELECT DISTINCT b.id AS f_id FROM rest b JOIN good g ON g.g_actor = b.actor AND g.g_net = b.net
		WHERE g.g_last >= b.time - INTERVAL ` + d(familiarDays) + ` DAY AND g.g_first <= b.time + INTERVAL ` + d(resolvedMin) + ` MINUTE
	), settled AS (
		SELECT b.id AS t_id FROM rest b JOIN good g ON g.g_actor = b.actor AND g.g_net = b.net JOIN begins s ON s.b_tenant = b.tenant
		WHERE b.time < s.begun + INTERVAL ` + d(warmUpDays) + ` DAY AND g.g_last >= b.time
		GROUP BY b.id HAVING count(DISTINCT g.g_day) >= ` + d(settledDays) + `
	), homes AS (
		SELECT g_actor AS h_actor, g_origin AS h_origin FROM good GROUP BY g_actor, g_origin HAVING count(DISTINCT g_day) >= ` + d(settledDays) + `
	), devices AS (
		SELECT DISTINCT g_actor AS d_actor, g_device AS d_device FROM good WHERE g_device <> ''
	), orphans AS (
		SELECT b.*, CASE WHEN b.id IN (SELECT t_id FROM settled) THEN 1 ELSE 0 END AS later FROM rest b
			LEFT JOIN devices d ON d.d_actor = b.actor AND d.d_device = b.device_id
			LEFT JOIN homes h ON h.h_actor = b.actor AND h.h_origin = b.origin
		WHERE d.d_actor IS NULL AND h.h_actor IS NULL
			AND b.id NOT IN (SELECT f_id FROM familiar)
	)`
}
