package detect

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// spray is what a set of guesses has in common, to tell whose password turned
// out right. That an account signed in after it was tried says nothing: its
// owner does every day. What speaks for the guesser is a network that is new
// to the account, together with what the guesser did not change.
type spray struct {
	tenant  string
	first   time.Time               // guess of all
	tried   map[string][2]time.Time // account -> first and last guess
	apps    map[string]bool
	agents  map[string]bool
	kinds   map[string]bool            // of network
	origins map[string]map[string]bool // address -> accounts
}

func sprayOf(tenant string, rs []attempt) *spray {
	s := &spray{tenant: tenant, tried: map[string][2]time.Time{}, apps: map[string]bool{}, agents: map[string]bool{}, kinds: map[string]bool{}, origins: map[string]map[string]bool{}}
	for _, r := range rs {
		t, ok := s.tried[r.actor]
		if !ok {
			t[0] = r.at
		}
		t[1] = r.at
		s.tried[r.actor] = t
		if s.first.IsZero() {
			s.first = r.at
		}
		s.apps[r.app], s.agents[r.agent], s.kinds[r.kind] = true, true, true
		if s.origins[r.origin] == nil {
			s.origins[r.origin] = map[string]bool{}
		}
		s.origins[r.origin][r.actor] = true
	}
	return s
}

// converted is what became of a spray.
type converted struct {
	words    []string // accounts whose password was right, in words
	got      []fate   // the same, with what shows it
	doubt    []string // accounts of which it cannot be told
	likely   []fate   // those of them of which it is more likely than not
	others   int64    // accounts that were not tried and do the same
	accounts int64    // that sign in at all
}

// fate is what became of an account that was tried.
type fate struct {
	actor    string
	accepted bool // it signed in; else something stood in the way
	stopped  string
	at       time.Time
	ips      []string
	sessions []string
	tokens   []string
	events   []string
	odds     float64 // for the guesser, against the owner; infinite when nobody else does the like
}

// traitsOf is how strange a sign-in is for its account, and how like the
// guesses. What chance gives is counted for each combination by itself.
type traitsOf struct {
	net, country, app, ownAgent bool // new to the account
	agent                       bool // the guesses'
}

// controlAccounts is how many accounts are enough to count how often something
// happens to one.
const controlAccounts = 20_000

// oneVisit is the time in which what is new to an account is new together.
const oneVisit = time.Hour

// atLeast reports whether one is as strange as the other.
func (t traitsOf) atLeast(o traitsOf) bool {
	return (t.net || !o.net) && (t.country || !o.country) && (t.app || !o.app) && (t.ownAgent || !o.ownAgent) && (t.agent || !o.agent)
}

// doubtWords says what cannot be told.
func (c *converted) doubtWords() string {
	if len(c.doubt) == 0 {
		return ""
	}
	return fmt.Sprintf(" Of the tried accounts %s signed in later from a network that is new to them with the same application, but so did %d of the %d accounts at other times: whether these passwords were guessed cannot be told.",
		list(c.doubt, 5), c.others, c.accounts)
}

// conversions finds tried accounts whose password was right afterwards, within
// 14 days: from a network that is new to the account and no office, from no
// known device, and either
//   - with an application and kind of network of the guesses, and a user agent
//     of theirs or an application that the account never used (who guesses with
//     one tool may come in with another), when the odds are for the guesser:
//     how many tried accounts do so by chance is counted among the others, and
//     one in a hundred tried accounts is taken to be guessed, or
//   - from an address that guessed at other accounts, with an application or
//     user agent of the guesses.
//
// What it finds becomes entities and events of f.
func (s *spray) conversions(ctx context.Context, q store.Querier, f *casefile.Finding) (c converted, err error) {
	tried := quoted(sortedKeysOf(s.tried))
	query := signInsSQL(`actor IN (`+tried+`)`) + firstsSQL() + `, trusted AS (
		SELECT prefix FROM (SELECT DISTINCT ` + prefixSQL() + ` AS prefix, actor FROM events WHERE ` + peopleSQL + ` AND outcome = 'success' AND time < ?) x
		WHERE prefix IN (SELECT prefix FROM signins) GROUP BY prefix HAVING count(*) >= ` + fmt.Sprint(sharedUsers) + `
	)
	SELECT CAST(s.id AS VARCHAR), s.actor, s.pw, s.stopped, s.ip, s.origin, s.app_id, s.user_agent, s.ip_kind, s.time, s.session_id, s.token_id, s.request_id,
		coalesce(p.since, s.time), coalesce(n.since, s.time), coalesce(a.since, s.time), coalesce(b.since, s.time), coalesce(c.since, s.time), coalesce(d.since, s.time)
	FROM signins s ` + joinFirsts + `
	WHERE s.tenant = ? AND s.actor IN (` + tried + `) AND s.pw IN ('accepted', 'right') AND s.time > ? AND s.device_id = ''
		AND s.prefix NOT IN (SELECT prefix FROM trusted)
		AND (s.app_id IN (` + quoted(sortedKeysOf(s.apps)) + `) OR s.origin IN (` + quoted(sortedKeysOf(s.origins)) + `))
	ORDER BY s.time, s.id`
	type hit struct {
		id, actor, pw, stopped, ip, session, token string
		at                                         time.Time
		sure                                       bool
		traits                                     traitsOf
	}
	var hits []hit
	err = store.Each(ctx, q, query, []any{s.first, s.tenant, s.first}, func(scan scanner) error {
		var h hit
		var origin, app, agent, kind, request string
		var prefix, net, way, first, country, own time.Time
		if err := scan(&h.id, &h.actor, &h.pw, &h.stopped, &h.ip, &origin, &app, &agent, &kind, &h.at, &h.session, &h.token, &request, &prefix, &net, &way, &first, &country, &own); err != nil {
			return err
		}
		h.at, h.token = h.at.UTC(), firstOf(h.token, request)
		t := s.tried[h.actor]
		if !h.at.After(t[0]) || h.at.After(t[1].AddDate(0, 0, convertDays)) || !prefix.After(t[0]) || !net.After(t[0]) && !way.After(t[0]) {
			return nil // before the guesses, too late, or the account's own ways
		}
		others := len(s.origins[origin])
		if s.origins[origin][h.actor] {
			others--
		}
		// New together, in one visit: each by itself happens to everybody in weeks.
		fresh := func(since time.Time) bool { return since.After(t[0]) && since.After(h.at.Add(-oneVisit)) }
		h.traits = traitsOf{net: fresh(net), country: fresh(country), app: fresh(first), ownAgent: fresh(own), agent: s.agents[agent]}
		h.sure = others > 0 && (s.apps[app] || s.agents[agent])
		if h.sure || s.apps[app] && s.kinds[kind] && (s.agents[agent] || first.After(t[0])) {
			hits = append(hits, h)
		}
		return nil
	})
	if err != nil || len(hits) == 0 {
		return c, err
	}
	var unsure bool
	for _, h := range hits {
		unsure = unsure || !h.sure
	}
	expected := func(traitsOf) float64 { return 0 }
	if unsure {
		if expected, err = s.byChance(ctx, q, &c); err != nil {
			return c, err
		}
	}
	odds := map[string]float64{}
	for _, h := range hits {
		x := math.Inf(1)
		if e := expected(h.traits); !h.sure && e > 0 {
			x = guessedShare * float64(len(s.tried)) / e
		}
		odds[h.actor] = max(odds[h.actor], x)
	}
	fates := map[string]*fate{}
	var order []string
	for _, h := range hits {
		g := fates[h.actor]
		if g == nil {
			g = &fate{actor: h.actor, at: h.at, odds: odds[h.actor]}
			fates[h.actor] = g
			order = append(order, h.actor)
		}
		g.accepted = g.accepted || h.pw == passwordAccepted
		g.events = append(g.events, h.id)
		if h.pw == passwordAccepted {
			g.ips, g.sessions, g.tokens = append(g.ips, h.ip), append(g.sessions, h.session), append(g.tokens, h.token)
		} else {
			g.stopped = firstOf(g.stopped, h.stopped)
		}
		if g.odds >= surely {
			f.Last = casefile.Later(f.Last, casefile.TimeOf(h.at))
		}
	}
	for _, a := range order {
		g := fates[a]
		if g.odds < surely {
			c.doubt = append(c.doubt, a)
			if g.odds >= 1 {
				c.likely = append(c.likely, *g)
			}
			continue
		}
		f.Entities = append(f.Entities, g.entities(casefile.RoleConverted)...)
		f.Events = append(f.Events, g.events...)
		f.EventCount += int64(len(g.events))
		c.got = append(c.got, *g)
		c.words = append(c.words, fmt.Sprintf("%s (%s, %s)", a, g.word(), casefile.TimeOf(g.at)))
	}
	// Who was guessed is no longer only a victim.
	f.Entities = slices.DeleteFunc(f.Entities, func(e casefile.Entity) bool {
		g := fates[e.ID]
		return e.Kind == casefile.Account && e.Role == casefile.RoleVictim && g != nil && g.odds >= surely
	})
	return c, nil
}

// word says what became of it.
func (g *fate) word() string {
	if g.accepted {
		return "signed in"
	}
	return "stopped afterwards"
}

// entities are the account, and what was used with its password.
func (g *fate) entities(role string) []casefile.Entity {
	es := []casefile.Entity{{Kind: casefile.Account, ID: g.actor, Role: role}}
	for i := range g.ips {
		es = append(es,
			casefile.Entity{Kind: casefile.IP, ID: g.ips[i], Role: casefile.RoleUsed},
			casefile.Entity{Kind: casefile.Session, ID: g.sessions[i], Role: casefile.RoleUsed},
			casefile.Entity{Kind: casefile.Token, ID: g.tokens[i], Role: casefile.RoleUsed})
	}
	return es
}

// firstsSQL adds when accounts first signed in from a prefix, from a network,
// and with an application and user agent. New to an account is a prefix in a
// network that is new to it, or, in a network that it knows (half a town has
// the same provider), one with an application and user agent that are new.
func firstsSQL() string {
	return `, first_prefix AS (
		SELECT actor AS p_actor, prefix AS p_prefix, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, prefix
	), first_net AS (
		SELECT actor AS n_actor, net AS n_net, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, net
	), first_way AS (
		SELECT actor AS a_actor, app_id AS a_app, user_agent AS a_agent, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, app_id, user_agent
	), first_app AS (
		SELECT actor AS b_actor, app_id AS b_app, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, app_id
	), first_country AS (
		SELECT actor AS c_actor, country AS c_country, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, country
	), first_agent AS (
		SELECT actor AS d_actor, user_agent AS d_agent, min(time) AS since FROM signins WHERE pw = 'accepted' GROUP BY actor, user_agent
	)`
}

const joinFirsts = `LEFT JOIN first_prefix p ON p.p_actor = s.actor AND p.p_prefix = s.prefix
		LEFT JOIN first_net n ON n.n_actor = s.actor AND n.n_net = s.net
		LEFT JOIN first_way a ON a.a_actor = s.actor AND a.a_app = s.app_id AND a.a_agent = s.user_agent
		LEFT JOIN first_app b ON b.b_actor = s.actor AND b.b_app = s.app_id
		LEFT JOIN first_country c ON c.c_actor = s.actor AND c.c_country = s.country
		LEFT JOIN first_agent d ON d.d_actor = s.actor AND d.d_agent = s.user_agent`

// byChance counts how many accounts do the same when nobody guesses at them,
// by how strange it is for them, and gives how many of the tried ones are to
// be expected to. The first week of the evidence, in which every network is
// new, is left out.
func (s *spray) byChance(ctx context.Context, q store.Querier, c *converted) (func(traitsOf) float64, error) {
	var from, to sql.NullTime
	err := store.Each(ctx, q, `SELECT count(DISTINCT actor), min(time), max(time) FROM events WHERE `+peopleSQL+` AND outcome = 'success' AND coalesce(tenant, '') = ?`, []any{s.tenant}, func(scan scanner) error {
		return scan(&c.accounts, &from, &to)
	})
	if err != nil {
		return nil, err
	}
	// Every n-th account of a large tenant is enough to know how often, and few
	// columns of its sign-ins. Where Entra's log is there the unified audit log's
	// copies, which know no devices, are left out.
	step := max(1, c.accounts/controlAccounts)
	query := `WITH sample AS (
		SELECT actor FROM (SELECT actor, row_number() OVER (ORDER BY actor) AS nth FROM (
			SELECT DISTINCT actor FROM events WHERE ` + peopleSQL + ` AND outcome = 'success' AND coalesce(tenant, '') = ?) x) y WHERE nth % ` + fmt.Sprint(step) + ` = 0
	), signins AS (
		SELECT actor, time, 'accepted' AS pw, coalesce(app_id, '') AS app_id, coalesce(user_agent, '') AS user_agent, coalesce(device_id, '') AS device_id,
			coalesce(ip_kind, '') AS ip_kind, coalesce(country, '') AS country, ` + networkSQL() + ` AS net, ` + prefixSQL() + ` AS prefix
		FROM events WHERE ` + peopleSQL + ` AND outcome = 'success' AND coalesce(tenant, '') = ? AND actor IN (SELECT actor FROM sample)
			AND (source <> 'ual' OR (SELECT count(*) FROM (SELECT source FROM events WHERE class = 'sign_in' AND source = 'signin' LIMIT 1) z) = 0)
	)` + firstsSQL() + `, control AS (
		SELECT s.actor, s.time, n.since = s.time AS new_net, c.since = s.time AS new_country, b.since = s.time AS new_app, d.since = s.time AS new_agent, s.user_agent IN (` + quoted(sortedKeysOf(s.agents)) + `) AS same_agent
		FROM signins s ` + joinFirsts + `
		WHERE p.since = s.time AND (n.since = s.time OR a.since = s.time) AND s.device_id = '' AND s.app_id IN (` + quoted(sortedKeysOf(s.apps)) + `)
			AND (s.user_agent IN (` + quoted(sortedKeysOf(s.agents)) + `) OR b.since = s.time) AND s.ip_kind IN (` + quoted(sortedKeysOf(s.kinds)) + `)
			AND s.prefix NOT IN (SELECT prefix FROM signins GROUP BY prefix HAVING count(DISTINCT actor) >= ` + fmt.Sprint(sharedUsers) + `)
			AND s.time >= (SELECT min(time) FROM signins) + INTERVAL ` + fmt.Sprint(warmUpDays) + ` DAY
			AND (s.time < ? OR s.actor NOT IN (` + quoted(sortedKeysOf(s.tried)) + `))
	)`
	others := map[traitsOf]map[string]bool{}
	all := map[string]bool{}
	err = store.Each(ctx, q, query+` SELECT DISTINCT actor, new_net, new_country, new_app, new_agent, same_agent FROM control ORDER BY 1, 2, 3, 4, 5, 6`, []any{s.tenant, s.tenant, s.first}, func(scan scanner) error {
		var actor string
		var t traitsOf
		if err := scan(&actor, &t.net, &t.country, &t.app, &t.ownAgent, &t.agent); err != nil {
			return err
		}
		if others[t] == nil {
			others[t] = map[string]bool{}
		}
		others[t][actor], all[actor] = true, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.others = int64(len(all)) * step
	var exposed time.Duration // how long the tried accounts were looked at
	for _, t := range s.tried {
		exposed += t[1].AddDate(0, 0, convertDays).Sub(t[0])
	}
	const day = 24 * time.Hour
	control := float64(max(c.accounts, 1)) * float64(max(to.Time.Sub(from.Time)-warmUpDays*day, day))
	return func(t traitsOf) float64 {
		as := map[string]bool{}
		for o, actors := range others {
			if o.atLeast(t) {
				for a := range actors {
					as[a] = true
				}
			}
		}
		return float64(len(as)) * float64(step) * float64(exposed) / control
	}, nil
}

func sortedKeysOf[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
