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

// acceptedSQL is a common table expression of the sign-ins of people that came
// about, each once. Column pw is as in [passwordSQL].
func acceptedSQL() string {
	return `WITH accepted AS (
		SELECT id, coalesce(tenant, '') AS tenant, time, CAST(time AS DATE) AS day, actor, ip, coalesce(asn, 0) AS asn, coalesce(as_org, '') AS as_org, coalesce(ip_kind, '') AS ip_kind,
			coalesce(country, '') AS country, coalesce(app_id, '') AS app_id, coalesce(app_name, '') AS app_name, coalesce(user_agent, '') AS user_agent, coalesce(client, '') AS client,
			coalesce(protocol, '') AS protocol, coalesce(device_id, '') AS device_id, coalesce(session_id, '') AS session_id, coalesce(token_id, request_id, '') AS token_id,
			coalesce(detail, '') AS detail, ` + networkSQL() + ` AS net, ` + prefixSQL() + ` AS prefix
		FROM events
		WHERE ` + peopleSQL + ` AND outcome = 'success'
			AND (source <> 'ual' OR request_id IS NULL OR request_id NOT IN (
				SELECT request_id FROM events WHERE class = 'sign_in' AND source = 'signin' AND outcome = 'success' AND request_id IS NOT NULL))
	)`
}

// visit is a sign-in that came about, with what is ordinary around it.
type visit struct {
	id, tenant, actor, ip, org, kind, country, app, appName, agent, client, protocol, device, session, token, detail, net, prefix string
	at                                                                                                                            time.Time

	sharedBy  int64 // other accounts that sign in from the /24 or /48
	inNet     int64 // other accounts that sign in from the network
	inCountry int64 // other accounts that sign in from the country; -1 where it is not known
	ownBefore bool  // the account signed in from the network before, in [familiarDays]
	device0   bool  // from a device that the account had before
	begun     time.Time
	wrong     []wrongDay // wrong passwords of the account in the two weeks before that the visit's network does not explain
}

// wrongDay is wrong passwords of an account from one network on a day.
type wrongDay struct {
	net  string
	last time.Time
	n    int64
}

// visitColumns are what [readVisits] reads, of relation s.
const visitColumns = `CAST(s.id AS VARCHAR), s.tenant, s.actor, s.ip, s.as_org, s.ip_kind, s.country, s.app_id, s.app_name, s.user_agent, s.client, s.protocol,
	s.device_id, s.session_id, s.token_id, s.detail, s.net, s.prefix, s.time`

// readVisits reads the visits that a question selects. A question is to select
// few: what is rare, not what people do.
func readVisits(ctx context.Context, q store.Querier, query string, args ...any) ([]*visit, error) {
	var out []*visit
	err := store.Each(ctx, q, query, args, func(scan scanner) error {
		v := &visit{inCountry: -1}
		err := scan(&v.id, &v.tenant, &v.actor, &v.ip, &v.org, &v.kind, &v.country, &v.app, &v.appName, &v.agent, &v.client, &v.protocol,
			&v.device, &v.session, &v.token, &v.detail, &v.net, &v.prefix, &v.at)
		v.at = v.at.UTC()
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign-ins to look at: %w", err)
	}
	for chunk := range slices.Chunk(out, 1500) { // ClickHouse takes questions of 256 KiB
		if err := surround(ctx, q, chunk); err != nil {
			return nil, fmt.Errorf("what is ordinary around sign-ins: %w", err)
		}
	}
	return out, nil
}

// wrongBefore is how long before a sign-in wrong passwords speak against it.
const wrongBefore = 14 * 24 * time.Hour

// surround fills in what is ordinary around visits, in one question for what
// signs in and one for what fails.
func surround(ctx context.Context, q store.Querier, vs []*visit) error {
	set := func(of func(*visit) string) string {
		m := map[string]bool{"": true} // never an empty list
		for _, v := range vs {
			m[of(v)] = true
		}
		return quoted(slices.Sorted(maps.Keys(m)))
	}
	actors := set(func(v *visit) string { return v.actor })
	query := `WITH seen AS (
		SELECT coalesce(tenant, '') AS tenant, actor, ip, asn, coalesce(country, '') AS country, coalesce(device_id, '') AS device, min(time) AS first_at, max(time) AS last_at
		FROM events WHERE ` + peopleSQL + ` AND outcome = 'success' GROUP BY 1, 2, 3, 4, 5, 6
	), nets AS (
		SELECT tenant, actor, country, device, first_at, last_at, ` + networkSQL() + ` AS net, ` + prefixSQL() + ` AS prefix FROM seen
	)
	SELECT 'prefix' AS what, tenant, prefix AS k, '' AS actor, '' AS device, count(DISTINCT actor) AS n, min(first_at), max(last_at) FROM nets WHERE prefix IN (` + set(func(v *visit) string { return v.prefix }) + `) GROUP BY tenant, prefix
	UNION ALL SELECT 'net', tenant, net, '', '', count(DISTINCT actor), min(first_at), max(last_at) FROM nets WHERE net IN (` + set(func(v *visit) string { return v.net }) + `) GROUP BY tenant, net
	UNION ALL SELECT 'country', tenant, country, '', '', count(DISTINCT actor), min(first_at), max(last_at) FROM nets WHERE country IN (` + set(func(v *visit) string { return v.country }) + `) GROUP BY tenant, country
	UNION ALL SELECT 'own', tenant, net, actor, device, count(*), min(first_at), max(last_at) FROM nets WHERE actor IN (` + actors + `) GROUP BY tenant, net, actor, device
	UNION ALL SELECT 'begun', tenant, '', '', '', count(*), min(first_at), max(last_at) FROM nets GROUP BY tenant`
	type key struct{ what, tenant, k string }
	type use struct {
		net, device string
		first, last time.Time
	}
	counts, own, begun := map[key]int64{}, map[key][]use{}, map[string]time.Time{}
	err := store.Each(ctx, q, query, nil, func(scan scanner) error {
		var what, tenant, k, actor string
		var u use
		var n int64
		if err := scan(&what, &tenant, &k, &actor, &u.device, &n, &u.first, &u.last); err != nil {
			return err
		}
		switch u.net, u.first, u.last = k, u.first.UTC(), u.last.UTC(); what {
		case "own":
			a := key{what, tenant, actor}
			own[a] = append(own[a], u)
		case "begun":
			begun[tenant] = u.first
		default:
			counts[key{what, tenant, k}] = n
		}
		return nil
	})
	if err != nil {
		return err
	}
	wrong := map[key][]wrongDay{}
	// The first and the last of a day are enough: between them lies a day.
	err = store.Each(ctx, q, `SELECT tenant, actor, net, max(time), count(*) FROM (
			SELECT coalesce(tenant, '') AS tenant, actor, time, CAST(time AS DATE) AS day, `+networkSQL()+` AS net
			FROM events WHERE `+peopleSQL+` AND coalesce(outcome, '') <> 'success' AND `+passwordSQL()+` = 'wrong' AND actor IN (`+actors+`)
				AND (source <> 'ual' OR request_id IS NULL OR request_id NOT IN (SELECT request_id FROM events WHERE class = 'sign_in' AND source = 'signin' AND request_id IS NOT NULL))
		) x GROUP BY tenant, actor, day, net ORDER BY 4, 1, 2, 3`, nil, func(scan scanner) error {
		var tenant, actor string
		var w wrongDay
		err := scan(&tenant, &actor, &w.net, &w.last, &w.n)
		w.last = w.last.UTC()
		k := key{"wrong", tenant, actor}
		wrong[k] = append(wrong[k], w)
		return err
	})
	if err != nil {
		return err
	}
	for _, v := range vs {
		v.sharedBy, v.inNet, v.begun = counts[key{"prefix", v.tenant, v.prefix}]-1, counts[key{"net", v.tenant, v.net}]-1, begun[v.tenant]
		if v.country != "" {
			v.inCountry = counts[key{"country", v.tenant, v.country}] - 1
		}
		home := map[string]bool{}
		for _, u := range own[key{"own", v.tenant, v.actor}] {
			if !u.first.Before(v.at) {
				continue
			}
			home[u.net] = true
			v.ownBefore = v.ownBefore || u.net == v.net && (!u.last.Before(v.at) || v.at.Sub(u.last) <= familiarDays*24*time.Hour)
			v.device0 = v.device0 || u.device != "" && u.device == v.device
		}
		for _, w := range wrong[key{"wrong", v.tenant, v.actor}] {
			// A typo at the place where one then signs in, or in a network where
			// one is at home, says nothing.
			typo := home[w.net] || w.net == v.net && v.at.Sub(w.last) <= resolvedMin*time.Minute
			if !typo && w.last.Before(v.at) && v.at.Sub(w.last) <= wrongBefore {
				v.wrong = append(v.wrong, w)
			}
		}
	}
	return nil
}

// shared reports whether colleagues are at home where the visit came from.
func (v *visit) shared() bool { return v.sharedBy >= sharedUsers-1 }

// managed reports whether the organization's management knows the device.
func (v *visit) managed() bool {
	return strings.Contains(v.detail, `"managed":true`) || strings.Contains(v.detail, `"compliant":true`)
}

// strange lists, in words, what is rare about where a visit came from.
func (v *visit) strange() (words []string) {
	if v.inNet <= 0 {
		words = append(words, "nobody else signs in from this network")
	}
	if v.inCountry == 0 {
		words = append(words, "nobody else signs in from "+v.country)
	}
	if v.kind == "hosting" {
		words = append(words, "it is a hosting network")
	}
	return words
}

// guessed counts the wrong passwords before the visit that nothing explains.
func (v *visit) guessed() (n int64) {
	for _, w := range v.wrong {
		n += w.n
	}
	return n
}

// guessedWords says so.
func (v *visit) guessedWords() string {
	nets := map[string]bool{}
	for _, w := range v.wrong {
		nets[w.net] = true
	}
	return fmt.Sprintf("%s in the %d days before, from %s where it was not at home", plural(v.guessed(), "wrong password", "wrong passwords"), int(wrongBefore.Hours())/24, plural(int64(len(nets)), "network", "networks"))
}

// place names the visit's network.
func (v *visit) place() string {
	var in []string
	for _, s := range []string{v.org, v.kind, v.country} {
		if s != "" {
			in = append(in, s)
		}
	}
	if len(in) == 0 {
		return v.net
	}
	return v.net + " (" + strings.Join(in, ", ") + ")"
}

// entities names the account and what the visit was made with.
func (v *visit) entities(role string) []casefile.Entity {
	return []casefile.Entity{
		{Kind: casefile.Account, ID: v.actor, Role: role},
		{Kind: casefile.IP, ID: v.ip, Role: casefile.RoleSource},
		{Kind: casefile.Session, ID: v.session, Role: casefile.RoleUsed},
		{Kind: casefile.Token, ID: v.token, Role: casefile.RoleUsed},
	}
}

// finding begins a finding on a visit.
func (v *visit) finding(role string) casefile.Finding {
	at := casefile.TimeOf(v.at)
	return casefile.Finding{Tenant: v.tenant, First: at, Last: at, Events: []string{v.id}, Entities: v.entities(role)}
}

// manyAre replaces a tenant's slight findings by one that counts them, where
// there are so many that they say nothing one by one. title and why get their
// number and that of their accounts.
func manyAre(fs []casefile.Finding, most int, title, why string) []casefile.Finding {
	slight := map[string][]casefile.Finding{}
	var out []casefile.Finding
	for _, f := range fs {
		if f.Severity.Rank() > casefile.Low.Rank() {
			out = append(out, f)
			continue
		}
		slight[f.Tenant] = append(slight[f.Tenant], f)
	}
	for _, tenant := range slices.Sorted(maps.Keys(slight)) {
		list := slight[tenant]
		if len(list) < most {
			out = append(out, list...)
			continue
		}
		all := casefile.Finding{Tenant: tenant, Severity: casefile.Info, Detected: casefile.Later(list[most-1].First, list[most-1].Detected)}
		accounts := map[string]bool{}
		for _, f := range list {
			all.First, all.Last = casefile.Earlier(all.First, f.First), casefile.Later(all.Last, f.Last)
			all.Events = append(all.Events, f.Events...)
			for _, e := range f.Entities {
				if e.Kind == casefile.Account && !accounts[e.ID] {
					accounts[e.ID] = true
					if len(accounts) <= 20 { // examples
						all.Entities = append(all.Entities, casefile.Entity{Kind: casefile.Account, ID: e.ID, Role: casefile.RoleTarget})
					}
				}
			}
		}
		all.Events = casefile.Unique(all.Events)
		if all.EventCount = int64(len(all.Events)); all.EventCount > casefile.MaxEvents {
			all.EventsQuery = `SELECT id FROM events WHERE CAST(id AS VARCHAR) IN (` + quoted(all.Events) + `) ORDER BY time, id`
			all.Events = capIDs(all.Events)
		}
		all.Title = fmt.Sprintf(title, len(list))
		all.Why = fmt.Sprintf(why, len(list), len(accounts))
		all.Counts = []casefile.Count{{Name: "of them", Value: float64(len(list)), Limit: limit(float64(most))}, {Name: "accounts", Value: float64(len(accounts))}}
		out = append(out, all)
	}
	return out
}
