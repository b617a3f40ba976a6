package detect

import (
	"context"
	"fmt"
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
	doubt    []string // accounts of which it cannot be told
	others   int64    // accounts that were not tried and do the same
	accounts int64    // that sign in at all
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
//     one tool may come in with another), when hardly anybody else does the
//     same, or
//   - from an address that guessed at other accounts, with an application or
//     user agent of the guesses.
//
// What it finds becomes entities and events of f.
func (s *spray) conversions(ctx context.Context, q store.Querier, f *casefile.Finding) (c converted, err error) {
	tried := quoted(sortedKeysOf(s.tried))
	query := signInsSQL() + firstsSQL(`AND actor IN (`+tried+`)`) + `, trusted AS (
		SELECT prefix FROM signins WHERE pw = 'accepted' AND time < ? GROUP BY prefix HAVING count(DISTINCT actor) >= ` + fmt.Sprint(sharedUsers) + `
	)
	SELECT CAST(s.id AS VARCHAR), s.actor, s.pw, s.ip, s.origin, s.app_id, s.user_agent, s.ip_kind, s.time, s.session_id, s.token_id, s.request_id,
		coalesce(p.since, s.time), coalesce(n.since, s.time), coalesce(a.since, s.time), coalesce(b.since, s.time)
	FROM signins s ` + joinFirsts + `
	WHERE s.tenant = ? AND s.actor IN (` + tried + `) AND s.pw IN ('accepted', 'right') AND s.time > ? AND s.device_id = ''
		AND s.prefix NOT IN (SELECT prefix FROM trusted)
		AND (s.app_id IN (` + quoted(sortedKeysOf(s.apps)) + `) OR s.origin IN (` + quoted(sortedKeysOf(s.origins)) + `))
	ORDER BY s.time, s.id`
	type hit struct {
		id, actor, pw, ip, session, token string
		at                                time.Time
		sure                              bool
	}
	var hits []hit
	err = store.Each(ctx, q, query, []any{s.first, s.tenant, s.first}, func(scan scanner) error {
		var h hit
		var origin, app, agent, kind, request string
		var prefix, net, way, first time.Time
		if err := scan(&h.id, &h.actor, &h.pw, &h.ip, &origin, &app, &agent, &kind, &h.at, &h.session, &h.token, &request, &prefix, &net, &way, &first); err != nil {
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
		h.sure = others > 0 && (s.apps[app] || s.agents[agent])
		if h.sure || s.apps[app] && s.kinds[kind] && (s.agents[agent] || first.After(t[0])) {
			hits = append(hits, h)
		}
		return nil
	})
	if err != nil || len(hits) == 0 {
		return c, err
	}
	matched := map[string]bool{}
	for _, h := range hits {
		if !h.sure {
			matched[h.actor] = true
		}
	}
	tell := true
	if len(matched) > 0 {
		if tell, err = s.tells(ctx, q, len(matched), &c); err != nil {
			return c, err
		}
	}
	type fate struct {
		accepted bool
		at       time.Time
	}
	got := map[string]*fate{}
	var order []string
	sure := map[string]bool{}
	for _, h := range hits {
		sure[h.actor] = sure[h.actor] || h.sure
	}
	for _, h := range hits {
		if !tell && !sure[h.actor] {
			if !slices.Contains(c.doubt, h.actor) {
				c.doubt = append(c.doubt, h.actor)
			}
			continue
		}
		g := got[h.actor]
		if g == nil {
			g = &fate{at: h.at}
			got[h.actor] = g
			order = append(order, h.actor)
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: h.actor, Role: casefile.RoleConverted})
		}
		g.accepted = g.accepted || h.pw == passwordAccepted
		if h.pw == passwordAccepted {
			f.Entities = append(f.Entities,
				casefile.Entity{Kind: casefile.IP, ID: h.ip, Role: casefile.RoleUsed},
				casefile.Entity{Kind: casefile.Session, ID: h.session, Role: casefile.RoleUsed},
				casefile.Entity{Kind: casefile.Token, ID: h.token, Role: casefile.RoleUsed})
		}
		f.Last = casefile.Later(f.Last, casefile.TimeOf(h.at))
		f.Events = append(f.Events, h.id)
		f.EventCount++
	}
	for _, a := range order {
		word := "stopped afterwards"
		if got[a].accepted {
			word = "signed in"
		}
		c.words = append(c.words, fmt.Sprintf("%s (%s, %s)", a, word, casefile.TimeOf(got[a].at)))
	}
	// Who was guessed is no longer only a victim.
	f.Entities = slices.DeleteFunc(f.Entities, func(e casefile.Entity) bool {
		return e.Kind == casefile.Account && e.Role == casefile.RoleVictim && got[e.ID] != nil
	})
	return c, nil
}

// firstsSQL adds when accounts first signed in from a prefix, from a network,
// and with an application and user agent. New to an account is a prefix in a
// network that is new to it, or, in a network that it knows (half a town has
// the same provider), one with an application and user agent that are new.
func firstsSQL(where string) string {
	return `, first_prefix AS (
		SELECT actor AS p_actor, prefix AS p_prefix, min(time) AS since FROM signins WHERE pw = 'accepted' ` + where + ` GROUP BY actor, prefix
	), first_net AS (
		SELECT actor AS n_actor, net AS n_net, min(time) AS since FROM signins WHERE pw = 'accepted' ` + where + ` GROUP BY actor, net
	), first_way AS (
		SELECT actor AS a_actor, app_id AS a_app, user_agent AS a_agent, min(time) AS since FROM signins WHERE pw = 'accepted' ` + where + ` GROUP BY actor, app_id, user_agent
	), first_app AS (
		SELECT actor AS b_actor, app_id AS b_app, min(time) AS since FROM signins WHERE pw = 'accepted' ` + where + ` GROUP BY actor, app_id
	)`
}

const joinFirsts = `LEFT JOIN first_prefix p ON p.p_actor = s.actor AND p.p_prefix = s.prefix
		LEFT JOIN first_net n ON n.n_actor = s.actor AND n.n_net = s.net
		LEFT JOIN first_way a ON a.a_actor = s.actor AND a.a_app = s.app_id AND a.a_agent = s.user_agent
		LEFT JOIN first_app b ON b.b_actor = s.actor AND b.b_app = s.app_id`

// tells reports whether matching sign-ins of n tried accounts say anything: it
// counts how many accounts do the same when nobody guesses at them. The first
// week of the evidence, in which every network is new, is left out.
func (s *spray) tells(ctx context.Context, q store.Querier, n int, c *converted) (bool, error) {
	query := signInsSQL() + firstsSQL("") + `, control AS (
		SELECT s.actor, s.time FROM signins s ` + joinFirsts + `
		WHERE p.since = s.time AND (n.since = s.time OR a.since = s.time) AND s.tenant = ? AND s.pw = 'accepted' AND s.device_id = '' AND s.app_id IN (` + quoted(sortedKeysOf(s.apps)) + `)
			AND (s.user_agent IN (` + quoted(sortedKeysOf(s.agents)) + `) OR b.since = s.time) AND s.ip_kind IN (` + quoted(sortedKeysOf(s.kinds)) + `)
			AND s.prefix NOT IN (SELECT prefix FROM signins WHERE pw = 'accepted' GROUP BY prefix HAVING count(DISTINCT actor) >= ` + fmt.Sprint(sharedUsers) + `)
			AND s.time >= (SELECT min(time) FROM signins WHERE tenant = ?) + INTERVAL ` + fmt.Sprint(warmUpDays) + ` DAY
			AND (s.time < ? OR s.actor NOT IN (` + quoted(sortedKeysOf(s.tried)) + `))
	)
	SELECT (SELECT count(DISTINCT actor) FROM control), count(DISTINCT actor), min(time), max(time) FROM signins WHERE tenant = ? AND pw = 'accepted'`
	var from, to time.Time
	err := store.Each(ctx, q, query, []any{s.tenant, s.tenant, s.first, s.tenant}, func(scan scanner) error {
		return scan(&c.others, &c.accounts, &from, &to)
	})
	if err != nil || c.others == 0 {
		return true, err
	}
	var exposed time.Duration // how long the tried accounts were looked at
	for _, t := range s.tried {
		exposed += t[1].AddDate(0, 0, convertDays).Sub(t[0])
	}
	control := time.Duration(c.accounts) * max(to.Sub(from)-warmUpDays*24*time.Hour, 24*time.Hour)
	expected := float64(c.others) * float64(exposed) / float64(control)
	return expected <= convertChance*float64(n), nil
}

func sortedKeysOf[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
