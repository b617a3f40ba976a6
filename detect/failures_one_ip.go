package detect

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// failuresOneIP finds addresses that try passwords of many accounts: the loud
// kind of spray.
type failuresOneIP struct{}

// failedUsers is how many accounts must have failed from one address in one
// day. Below that an office behind one address looks the same.
const failedUsers = 5

// Card implements [Detector].
func (failuresOneIP) Card() Card {
	return Card{
		ID:    "failures_one_ip",
		Title: "One address failed against many accounts",
		Why:   "Password guessing from one address. Background noise of this kind reaches every tenant all the time; what matters is whether a password turned out right.",
		FalsePositives: []string{
			"an office or VPN behind one address on the day after passwords expired: there more accounts succeed than fail, and such days are left out",
			"a vulnerability scanner or a test of one's own",
		},
		Techniques:  []string{"T1110.003"},
		Stage:       casefile.StageGuessing,
		Needs:       signInNeeds(),
		Helps:       guessingHelps(),
		Severity:    casefile.Low,
		FalseAlarms: FalseAlarms{0.001, "low unless a password was right; none of those on quiet simulated tenants"},
	}
}

// Detect implements [Detector].
func (d failuresOneIP) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	return guessFindings(ctx, q, d.Card().ID, d.guesses)
}

func (d failuresOneIP) guesses(ctx context.Context, q store.Querier) ([]guess, error) {
	// An account that failed first and got in later on the same day is not
	// held against the ratio: it may be the one that was guessed.
	many := `ip IN (SELECT ip FROM (
			SELECT ip, CAST(time AS DATE) AS day FROM events WHERE ` + peopleSQL + ` AND coalesce(outcome, '') <> 'success' AND ` + passwordSQL() + ` IN ('wrong', 'no_user', 'locked')
			GROUP BY ip, CAST(time AS DATE) HAVING count(DISTINCT actor) >= ` + fmt.Sprint(failedUsers) + `) x)`
	query := signInsSQL(many) + `, per_user AS (
		SELECT tenant, ip, day, actor, min(CASE WHEN pw IN ('wrong', 'no_user', 'locked') THEN time END) AS failed_at,
			max(CASE WHEN pw IN ('accepted', 'right') THEN time END) AS right_at
		FROM signins GROUP BY tenant, ip, day, actor
	), ranked AS (
		SELECT tenant, ip, day, actor, failed_at, right_at,
			row_number() OVER (PARTITION BY tenant, ip, day ORDER BY failed_at NULLS LAST, actor) AS nth
		FROM per_user
	), days AS (
		SELECT tenant, ip, day, count(failed_at) AS failed, count(CASE WHEN failed_at IS NULL THEN 1 END) AS clean,
			max(CASE WHEN nth = ` + fmt.Sprint(failedUsers) + ` THEN failed_at END) AS reached
		FROM ranked GROUP BY tenant, ip, day
	)
	SELECT tenant, ip, day, reached, failed, clean
	FROM days WHERE failed >= ` + fmt.Sprint(failedUsers) + ` AND failed > clean
	ORDER BY tenant, ip, day`
	var hits []*ipHit
	err := store.Each(ctx, q, query, nil, func(scan scanner) error {
		var tenant, ip string
		var day, reached time.Time
		var failed, clean int64
		if err := scan(&tenant, &ip, &day, &reached, &failed, &clean); err != nil {
			return err
		}
		if n := len(hits); n == 0 || hits[n-1].tenant != tenant || hits[n-1].ip != ip {
			hits = append(hits, &ipHit{tenant: tenant, ip: ip, reached: reached})
		}
		h := hits[len(hits)-1]
		h.days = append(h.days, day.UTC().Format(time.DateOnly))
		h.maxFailed, h.maxClean = max(h.maxFailed, failed), max(h.maxClean, clean)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(hits) == 0 {
		return nil, nil
	}
	if err := d.read(ctx, q, hits); err != nil {
		return nil, err
	}
	var out []guess
	for _, h := range hits {
		out = append(out, guess{d.finding(h), h.fates()})
	}
	return out, nil
}

// ipHit is an address that failed against many accounts.
type ipHit struct {
	tenant, ip          string
	reached             time.Time // when the limit was reached first
	days                []string  // on which it was
	maxFailed, maxClean int64

	first, last time.Time
	victims     map[string]time.Time // account -> first failure
	attempts    int64
	right       []success
	cited       citation
}

// success is a sign-in, or a password that was right, from such an address.
type success struct {
	id, actor, session, token, stopped string
	at                                 time.Time
	accepted                           bool
}

// mineSQL is a common table expression of what came from the addresses on the
// days on which they failed against many.
func mineSQL(hits []*ipHit) string {
	var on []string
	for _, h := range hits {
		on = append(on, `(`+quoted([]string{h.tenant})+`, `+quoted([]string{h.ip})+`, DATE `+strings.Join(strings.Split(quoted(h.days), ", "), `), (`+quoted([]string{h.tenant})+`, `+quoted([]string{h.ip})+`, DATE `)+`)`)
	}
	ips := map[string]bool{}
	for _, h := range hits {
		ips[h.ip] = true
	}
	return signInsSQL(`ip IN (`+quoted(sortedKeysOf(ips))+`)`) + `, mine AS (
		SELECT * FROM signins WHERE (tenant, ip, day) IN (` + strings.Join(on, ", ") + `) AND pw IN ('wrong', 'no_user', 'locked', 'right', 'accepted')
	)`
}

// read asks for all addresses at once: a tenant on the internet has dozens.
func (failuresOneIP) read(ctx context.Context, q store.Querier, hits []*ipHit) error {
	at := map[string]*ipHit{}
	for _, h := range hits {
		h.victims = map[string]time.Time{}
		at[h.tenant+" "+h.ip] = h
	}
	mine := mineSQL(hits)
	err := store.Each(ctx, q, mine+` SELECT tenant, ip, actor, count(CASE WHEN pw IN ('wrong', 'no_user', 'locked') THEN 1 END), min(time), max(time),
			min(CASE WHEN pw IN ('wrong', 'no_user', 'locked') THEN time END)
		FROM mine GROUP BY tenant, ip, actor ORDER BY tenant, ip, actor`, nil, func(scan scanner) error {
		var tenant, ip, actor string
		var n int64
		var a, z time.Time
		var failed sql.NullTime
		if err := scan(&tenant, &ip, &actor, &n, &a, &z, &failed); err != nil {
			return err
		}
		h := at[tenant+" "+ip]
		if h.first.IsZero() || a.Before(h.first) {
			h.first = a.UTC()
		}
		if z.After(h.last) {
			h.last = z.UTC()
		}
		h.attempts += n
		if failed.Valid {
			h.victims[actor] = failed.Time.UTC()
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = store.Each(ctx, q, fmt.Sprintf(`%s SELECT tenant, ip, CAST(id AS VARCHAR), total FROM (
			SELECT tenant, ip, id, time, row_number() OVER (PARTITION BY tenant, ip ORDER BY time, id) AS nth, count(*) OVER (PARTITION BY tenant, ip) AS total FROM mine
		) x WHERE total <= %d OR nth <= %d OR nth > total - %d ORDER BY tenant, ip, time, id`, mine, casefile.MaxEvents, casefile.MaxEvents/2, casefile.MaxEvents/2), nil, func(scan scanner) error {
		var tenant, ip, id string
		var total int64
		if err := scan(&tenant, &ip, &id, &total); err != nil {
			return err
		}
		h := at[tenant+" "+ip]
		h.cited.ids, h.cited.count = append(h.cited.ids, id), total
		return nil
	})
	if err != nil {
		return err
	}
	for _, h := range hits {
		if h.cited.count > casefile.MaxEvents {
			h.cited.query = inline(mineSQL([]*ipHit{h})+` SELECT id FROM mine ORDER BY time, id`, nil)
		}
	}
	return readRight(ctx, q, hits)
}

// readRight finds whose password was right from one of the addresses, within
// 14 days: of those at whom any of them had guessed before, from no known
// device, in a network that is new to the account, and not from an address at
// which three or more accounts were at home before.
func readRight(ctx context.Context, q store.Querier, hits []*ipHit) error {
	var first time.Time
	at, failed, ips, actors := map[string]*ipHit{}, map[string]time.Time{}, map[string]bool{}, map[string]bool{}
	for _, h := range hits {
		at[h.tenant+" "+h.ip] = h
		ips[h.ip] = true
		if first.IsZero() || h.first.Before(first) {
			first = h.first
		}
		for v, t := range h.victims {
			actors[v] = true
			if old, ok := failed[h.tenant+" "+v]; !ok || t.Before(old) {
				failed[h.tenant+" "+v] = t
			}
		}
	}
	homes := map[string]map[string]time.Time{} // address -> account -> first success
	type row struct {
		success
		key   string
		known time.Time // first success of the account in that network
	}
	var all []row
	err := store.Each(ctx, q, signInsSQL(`ip IN (`+quoted(sortedKeysOf(ips))+`)`)+`, guests AS (
			SELECT * FROM signins WHERE pw IN ('accepted', 'right')
		), firsts AS (
			SELECT actor AS f_actor, `+networkSQL()+` AS f_net, min(time) AS since FROM events WHERE `+peopleSQL+` AND outcome = 'success' AND actor IN (SELECT actor FROM guests) GROUP BY 1, 2
		)
		SELECT g.tenant, g.ip, CAST(g.id AS VARCHAR), g.actor, g.pw, g.stopped, g.device_id, g.session_id, g.token_id, g.request_id, g.time, coalesce(f.since, g.time)
		FROM guests g LEFT JOIN firsts f ON f.f_actor = g.actor AND f.f_net = g.net ORDER BY g.time, g.id`, nil, func(scan scanner) error {
		var r row
		var tenant, ip, pw, device, request string
		if err := scan(&tenant, &ip, &r.id, &r.actor, &pw, &r.stopped, &device, &r.session, &r.token, &request, &r.at, &r.known); err != nil {
			return err
		}
		r.key, r.at, r.token, r.accepted = tenant+" "+ip, r.at.UTC(), firstOf(r.token, request), pw == passwordAccepted
		h := at[r.key]
		if h == nil {
			return nil
		}
		if r.accepted && r.at.Before(h.first) {
			if homes[r.key] == nil {
				homes[r.key] = map[string]time.Time{}
			}
			homes[r.key][r.actor] = r.at
		}
		t, tried := failed[tenant+" "+r.actor]
		if tried && device == "" && r.at.After(t) && !r.known.Before(t) && r.at.Before(h.last.AddDate(0, 0, convertDays)) && r.at.After(h.first) {
			all = append(all, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		if len(homes[r.key]) < sharedUsers {
			at[r.key].right = append(at[r.key].right, r.success)
		}
	}
	return nil
}

// fates is what became of the accounts whose password was right.
func (h *ipHit) fates() (out []fate) {
	at := map[string]int{}
	for _, s := range h.right {
		i, ok := at[s.actor]
		if !ok {
			i = len(out)
			at[s.actor] = i
			out = append(out, fate{actor: s.actor, at: s.at, odds: math.Inf(1)})
		}
		g := &out[i]
		g.events = append(g.events, s.id)
		if s.accepted {
			g.accepted = true
			g.ips, g.sessions, g.tokens = append(g.ips, h.ip), append(g.sessions, s.session), append(g.tokens, s.token)
		} else {
			g.stopped = firstOf(g.stopped, s.stopped)
		}
	}
	return out
}

func (failuresOneIP) finding(h *ipHit) casefile.Finding {
	f := casefile.Finding{Tenant: h.tenant, Severity: casefile.Low, First: casefile.TimeOf(h.first), Last: casefile.TimeOf(h.last), Detected: casefile.TimeOf(h.reached)}
	victims, converted := h.victims, map[string]bool{}
	var got []string
	h.cited.into(&f)
	for _, s := range h.right {
		f.Last = casefile.Later(f.Last, casefile.TimeOf(s.at))
		if !slices.Contains(f.Events, s.id) {
			f.Events = append(f.Events, s.id)
			if s.at.After(h.last) {
				f.EventCount++
			}
		}
		if s.accepted {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Session, ID: s.session, Role: casefile.RoleUsed}, casefile.Entity{Kind: casefile.Token, ID: s.token, Role: casefile.RoleUsed})
		}
		converted[s.actor] = true
	}
	for _, actor := range slices.Sorted(maps.Keys(converted)) {
		word := " (stopped afterwards)"
		if slices.ContainsFunc(h.right, func(s success) bool { return s.actor == actor && s.accepted }) {
			word = " (signed in)"
		}
		got = append(got, actor+word)
		if _, ok := victims[actor]; !ok { // it failed from another address of the same kind
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: actor, Role: casefile.RoleConverted})
		}
	}
	for v := range victims {
		role := casefile.RoleVictim
		if converted[v] {
			role = casefile.RoleConverted
		}
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: v, Role: role})
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: h.ip, Role: casefile.RoleSource})
	f.Counts = []casefile.Count{
		{Name: "accounts that failed", Value: float64(len(victims))},
		{Name: "accounts that failed on the worst day", Value: float64(h.maxFailed), Limit: limit(failedUsers)},
		{Name: "accounts that only succeeded on such a day, at most", Value: float64(h.maxClean)},
		{Name: "attempts", Value: float64(h.attempts)},
		{Name: "days", Value: float64(len(h.days))},
		{Name: "passwords that turned out right", Value: float64(len(converted))},
	}
	f.Title = fmt.Sprintf("%s failed against %s", h.ip, plural(int64(len(victims)), "account", "accounts"))
	f.Why = fmt.Sprintf("%s from %s against %s on %s; on the worst day %d accounts failed, and at most %d signed in from there without a failure.",
		plural(h.attempts, "failed attempt", "failed attempts"), h.ip, plural(int64(len(victims)), "account", "accounts"), plural(int64(len(h.days)), "day", "days"), h.maxFailed, h.maxClean)
	if len(converted) > 0 {
		f.Severity = casefile.High
		f.Techniques = append(f.Techniques, "T1078.004")
		f.Title += fmt.Sprintf(", %s guessed", plural(int64(len(converted)), "password", "passwords"))
		f.Why += fmt.Sprintf(" After a failure the password was right from there for %s.", strings.Join(got, ", "))
	} else {
		f.Why += " No password turned out right from this address."
	}
	return f
}
