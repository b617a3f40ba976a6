package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"midwatch/store"
)

// A baseline is a rule that the field has published, asked of the same event
// store. The rules are written anew from their description; what a rule reads
// that these logs lack is left out, in the rule's favour, and said in Note.
type baseline struct {
	ID     string
	Source string // product and path of the rule
	Logic  string // in a line, with the limits
	Note   string // where this differs
	// query gives one row for each alert: the moment at which it can be raised,
	// and the records that it counted, as "id ip" separated by commas.
	query string
	// oracle is set for the rule whose limit is chosen with the answer key:
	// query then has a third column, the number to compare with the limit.
	oracle bool
}

// passwordCodes are the results that rules of the field count as a failed
// guess: wrong password, no such user, locked, expired, disabled.
const passwordCodes = `'50126', '50034', '50053', '50055', '50056', '50057', '50064', '50144', '70008', '80002', '80005', '80007', '81016', '120000', '120002', '120020'`

// failures is the stream that all of the rules read: failed sign-ins of people
// in Entra's log, once each. Rules on Office 365's own audit log read its copy
// of them, UserLoginFailed.
const failures = `WITH failures AS (
	SELECT CAST(id AS VARCHAR) AS id, coalesce(tenant, '') AS tenant, time, actor, ip, coalesce(app_id, '') AS app, coalesce(code, '') AS code,
		coalesce(country, '') AS country, coalesce(user_agent, '') AS agent
	FROM events
	WHERE class = 'sign_in' AND source = 'signin' AND workload IN ('interactive', 'noninteractive') AND outcome <> 'success'
		AND code IN (` + passwordCodes + `) AND actor IS NOT NULL AND actor <> '' AND ip IS NOT NULL AND ip <> ''
), successes AS (
	SELECT coalesce(tenant, '') AS tenant, time, actor, ip, coalesce(app_id, '') AS app
	FROM events
	WHERE class = 'sign_in' AND source = 'signin' AND workload IN ('interactive', 'noninteractive') AND outcome = 'success' AND actor IS NOT NULL AND ip IS NOT NULL
)`

// members lists the records of an alert.
const members = `string_agg(id || ' ' || ip, ',' ORDER BY time, id)`

// Thresholds that the rules publish; detection.md §3.1 has the table.
func baselines() []baseline {
	return []baseline{
		{
			// elastic/detection-rules: rules/integrations/azure/credential_access_entra_id_brute_force_activity.toml
			ID: "elastic_site_bucket", Source: "Elastic, azure/credential_access_entra_id_brute_force_activity",
			Logic: "whole site, 15 min: ≥15 users, ≥15 failures, one error (spray); or ≥10 users, ≥30 failures, ≤3 errors, ≥5 addresses, more users than addresses, within 600 s (stuffing)",
			Note:  "the restriction to single-factor sign-ins is left out; the bucket is complete when it is judged; the branch for one account is the rules per user below",
			query: failures + ` SELECT time_bucket(INTERVAL 15 MINUTE, time) + INTERVAL 15 MINUTE AS raised, ` + members + ` FROM failures
				GROUP BY tenant, time_bucket(INTERVAL 15 MINUTE, time)
				HAVING (count(DISTINCT actor) >= 15 AND count(*) >= 15 AND count(DISTINCT code) = 1)
					OR (count(DISTINCT actor) >= 10 AND count(*) >= 30 AND count(DISTINCT code) <= 3 AND count(DISTINCT ip) >= 5
						AND count(DISTINCT actor) > count(DISTINCT ip) AND max(time) - min(time) <= INTERVAL 600 SECOND)
				ORDER BY raised`,
		},
		{
			// Azure/Azure-Sentinel: Solutions/Microsoft Entra ID/Analytic Rules/SigninPasswordSpray.yaml
			ID: "sentinel_signin_password_spray", Source: "Microsoft Sentinel, Solutions/Microsoft Entra ID, SigninPasswordSpray",
			Logic: "an address and application, 20 min: ≥5 users failed; over 3 days the address has more users who failed than users who succeeded",
			query: failures + `, hits AS (
					SELECT tenant, ip AS hit_ip, app, time_bucket(INTERVAL 20 MINUTE, time) + INTERVAL 20 MINUTE AS raised, ` + members + ` AS members
					FROM failures GROUP BY tenant, ip, app, time_bucket(INTERVAL 20 MINUTE, time) HAVING count(DISTINCT actor) >= 5
				)
				SELECT raised, members FROM hits h
				WHERE (SELECT count(DISTINCT f.actor) FROM failures f WHERE f.tenant = h.tenant AND f.ip = h.hit_ip AND f.time < h.raised AND f.time >= h.raised - INTERVAL 3 DAY)
					> (SELECT count(DISTINCT s.actor) FROM successes s WHERE s.tenant = h.tenant AND s.ip = h.hit_ip AND s.time < h.raised AND s.time >= h.raised - INTERVAL 3 DAY)
				ORDER BY raised`,
		},
		{
			// splunk/security_content: detections/cloud/o365_multi_source_failed_authentications_spike.yml
			ID: "splunk_multi_source", Source: "Splunk, o365_multi_source_failed_authentications_spike",
			Logic: "whole site, 5 min: >20 users and >20 addresses",
			query: failures + ` SELECT time_bucket(INTERVAL 5 MINUTE, time) + INTERVAL 5 MINUTE AS raised, ` + members + ` FROM failures
				GROUP BY tenant, time_bucket(INTERVAL 5 MINUTE, time) HAVING count(DISTINCT actor) > 20 AND count(DISTINCT ip) > 20 ORDER BY raised`,
		},
		{
			// splunk/security_content: detections/cloud/azure_ad_multi_source_failed_authentications_spike.yml
			ID: "splunk_multi_source_azure", Source: "Splunk, azure_ad_multi_source_failed_authentications_spike",
			Logic: "whole site, 60 min: >20 users, >20 addresses, >20 pairs, one user agent",
			query: failures + ` SELECT time_bucket(INTERVAL 60 MINUTE, time) + INTERVAL 60 MINUTE AS raised, ` + members + ` FROM failures
				GROUP BY tenant, time_bucket(INTERVAL 60 MINUTE, time)
				HAVING count(DISTINCT actor) > 20 AND count(DISTINCT ip) > 20 AND count(DISTINCT actor || ' ' || ip) > 20 AND count(DISTINCT agent) = 1 ORDER BY raised`,
		},
		{
			// splunk/security_content: detections/cloud/azure_ad_high_number_of_failed_authentications_for_user.yml
			ID: "per_user_hour", Source: "Splunk, azure_ad_high_number_of_failed_authentications_for_user",
			Logic: "an account, 60 min: >20 failures",
			query: failures + ` SELECT time_bucket(INTERVAL 60 MINUTE, time) + INTERVAL 60 MINUTE AS raised, ` + members + ` FROM failures
				GROUP BY tenant, actor, time_bucket(INTERVAL 60 MINUTE, time) HAVING count(*) > 20 ORDER BY raised`,
		},
		{
			// panther-labs/panther-analysis: rules/azure_signin_rules/azure_many_failed_signins (10 in 10 min)
			ID: "per_user_10min", Source: "Panther, Azure.Audit.ManyFailedSignIns",
			Logic: "an account, 10 min: ≥10 failures",
			query: failures + ` SELECT time_bucket(INTERVAL 10 MINUTE, time) + INTERVAL 10 MINUTE AS raised, ` + members + ` FROM failures
				GROUP BY tenant, actor, time_bucket(INTERVAL 10 MINUTE, time) HAVING count(*) >= 10 ORDER BY raised`,
		},
		{
			// Azure/Azure-Sentinel: Detections/SigninLogs/DistribPassCrackAttempt.yaml
			ID: "per_user_places", Source: "Microsoft Sentinel, DistribPassCrackAttempt",
			Logic: "an account, a day: >30 failures from ≥3 places",
			Note:  "a place is a country: the store keeps no city",
			query: failures + ` SELECT time_bucket(INTERVAL 1 DAY, time) + INTERVAL 1 DAY AS raised, ` + members + ` FROM failures
				GROUP BY tenant, actor, time_bucket(INTERVAL 1 DAY, time) HAVING count(*) > 30 AND count(DISTINCT country) >= 3 ORDER BY raised`,
		},
		{
			// Azure/Azure-Sentinel: Hunting Queries/SigninLogs/LowAndSlowPasswordAttempt.yaml
			ID: "hunt_low_and_slow", Source: "Microsoft Sentinel, hunting query LowAndSlowPasswordAttempt",
			Logic: "an account, all of the logs: failures from >5 countries, of addresses that were used once",
			Note:  "a hunt, not an alert: it is said to fire when the sixth country is seen",
			query: failures + `, once AS (
					SELECT tenant, ip AS once_ip FROM failures WHERE code = '50126' GROUP BY tenant, ip HAVING count(*) = 1
				), places AS (
					SELECT f.tenant, f.actor, f.country, min(f.time) AS seen FROM failures f JOIN once o ON o.tenant = f.tenant AND o.once_ip = f.ip
					WHERE f.code = '50126' AND f.country <> '' GROUP BY f.tenant, f.actor, f.country
				), nth AS (
					SELECT tenant, actor, seen, row_number() OVER (PARTITION BY tenant, actor ORDER BY seen, country) AS n FROM places
				)
				SELECT n.seen AS raised, ` + strings.NewReplacer("id ||", "f.id ||", "|| ip", "|| f.ip", "BY time, id", "BY f.time, f.id").Replace(members) + ` FROM nth n
					JOIN failures f ON f.tenant = n.tenant AND f.actor = n.actor AND f.code = '50126'
					JOIN once o ON o.tenant = f.tenant AND o.once_ip = f.ip
				WHERE n.n = 6 GROUP BY n.tenant, n.actor, n.seen ORDER BY raised`,
		},
		{
			ID: "oracle_per_ip", Source: "no rule: the best that any limit per address could do",
			Logic:  "an address, a day: at least as many users failed as on the actor's own busiest day of any address, a limit read from the answer key of this very run",
			oracle: true,
			query: failures + ` SELECT time_bucket(INTERVAL 1 DAY, time) + INTERVAL 1 DAY AS raised, ` + members + `, count(DISTINCT actor) AS users FROM failures
				GROUP BY tenant, ip, time_bucket(INTERVAL 1 DAY, time) ORDER BY raised`,
		},
	}
}

// alert is what a baseline raised once.
type alert struct {
	At      time.Time `json:"at"`
	Records int       `json:"records"`        // that it counted
	Actor   int       `json:"actor"`          // of these, the actor's
	Noise   int       `json:"noise"`          // of these, of other people's attacks that went nowhere
	Size    int       `json:"size,omitempty"` // number to compare with the oracle's limit
}

// about says whom an alert is about: whoever has at least half of its records.
func (a *alert) about() string {
	switch {
	case 2*a.Actor >= a.Records:
		return "actor"
	case 2*(a.Noise+a.Actor) >= a.Records:
		return "noise"
	}
	return "benign"
}

// ask runs a baseline. actor tells the records of the actor, noise the
// addresses of other people's attacks.
func ask(ctx context.Context, q store.Querier, b *baseline, actor, noise map[string]bool) ([]alert, error) {
	rows, err := q.Query(ctx, b.query)
	if err != nil {
		return nil, fmt.Errorf("baseline %s: %w", b.ID, err)
	}
	defer func() { _ = rows.Close() }()
	var out []alert
	for rows.Next() {
		var at sql.NullTime
		var members string
		var a alert
		into := []any{&at, &members}
		if b.oracle {
			into = append(into, &a.Size)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("baseline %s: %w", b.ID, err)
		}
		a.At = at.Time.UTC()
		for m := range strings.SplitSeq(members, ",") {
			id, ip, _ := strings.Cut(m, " ")
			a.Records++
			switch {
			case actor[id]:
				a.Actor++
			case noise[ip]:
				a.Noise++
			}
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// tune keeps what an oracle's limit lets through: the highest limit at which an
// address of the actor is still seen. Without an actor in the logs it is told
// the limit.
func tune(alerts []alert, limit int) ([]alert, int) {
	if limit == 0 {
		for _, a := range alerts {
			if a.about() == "actor" {
				limit = max(limit, a.Size)
			}
		}
	}
	var out []alert
	for _, a := range alerts {
		if limit > 0 && a.Size >= limit {
			out = append(out, a)
		}
	}
	return out, limit
}
