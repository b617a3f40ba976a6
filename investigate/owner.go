package investigate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// An account that was taken still has its owner in it. This file tells the two
// apart by what they sign in with, so that all of what the actor did in it is
// taken, from the first time on, and what the owner did is left alone. What is
// neither is said to be unclear, and never cleared.

// visit is a successful sign-in of an account.
type visit struct {
	at                                          time.Time
	ip, net, device, agent, session, token, req string
}

// day of a visit, for counting distinct ones.
func (v *visit) day() int64 { return v.at.Unix() / 86400 }

const (
	// habitDays is on how many days an owner used a program before it is held
	// to be the owner's, and habitBefore how long before the actor's first
	// known record these days lie. An actor who came in that much earlier and
	// was not noticed looks like the owner; what was read then is in no list.
	habitDays   = 3
	habitBefore = 7 * 24 * time.Hour
)

// visits reads an account's successful sign-ins, once.
func (g *grower) visits(ctx context.Context, upn string) ([]visit, error) {
	if vs, ok := g.seen[upn]; ok {
		return vs, nil
	}
	var out []visit
	var ips []string
	err := store.Each(ctx, g.q, `SELECT time, coalesce(ip, ''), coalesce(asn, 0), coalesce(device_id, ''), coalesce(user_agent, ''), coalesce(session_id, ''), coalesce(token_id, ''), coalesce(request_id, '')
		FROM events WHERE class = 'sign_in' AND outcome = 'success' AND actor = ? AND coalesce(ip_service, false) = false ORDER BY time, id`, []any{upn}, func(scan scanner) error {
		var v visit
		var asn int64
		if err := scan(&v.at, &v.ip, &asn, &v.device, &v.agent, &v.session, &v.token, &v.req); err != nil {
			return err
		}
		if v.at, v.net = v.at.UTC(), prefix(v.ip); asn > 0 {
			v.net = fmt.Sprintf("AS%d", asn)
		}
		if v.ip != "" && g.w.ips[v.ip] == nil {
			ips = addTo(ips, []string{v.ip})
		}
		out = append(out, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	g.seen[upn] = out
	return out, g.w.readIPs(ctx, g.q, ips)
}

// split is how an account's sign-ins divide.
type split struct {
	agents    map[string]bool // the actor's, and not the owner's
	ownerNets map[string]bool // networks that the owner was in
	ownerWith map[string]bool // programs that the owner used
}

// divide learns from what is known to be the actor's (mine) and from what can
// only be the owner's: sign-ins from addresses that colleagues share, from
// registered devices, and what was habit long before.
func (w *world) divide(vs []visit, mine []bool) split {
	s := split{agents: map[string]bool{}, ownerNets: map[string]bool{}, ownerWith: map[string]bool{}}
	var begin time.Time
	days := map[string]map[int64]bool{}
	for i := range vs {
		if mine[i] && begin.IsZero() {
			begin = vs[i].at
		}
	}
	for i := range vs {
		v := &vs[i]
		if mine[i] || v.agent == "" {
			continue
		}
		if v.device != "" || w.sharedIP(v.ip) {
			s.ownerWith[v.agent] = true
		}
		if v.at.Before(begin.Add(-habitBefore)) {
			if days[v.agent] == nil {
				days[v.agent] = map[int64]bool{}
			}
			if days[v.agent][v.day()] = true; len(days[v.agent]) >= habitDays {
				s.ownerWith[v.agent] = true
			}
		}
	}
	for i := range vs {
		switch v := &vs[i]; {
		case mine[i]:
			if v.agent != "" && !s.ownerWith[v.agent] {
				s.agents[v.agent] = true
			}
		case v.device != "", w.sharedIP(v.ip), v.at.Before(begin) && s.ownerWith[v.agent]:
			s.ownerNets[v.net] = true
		}
	}
	return s
}

// sharedIP reports whether more people use an address than an actor would
// have accounts: an office, a VPN.
func (w *world) sharedIP(ip string) bool {
	s := w.ips[ip]
	return s != nil && s.accounts > 2
}

// separate takes what else in an account is the actor's: sign-ins with the
// actor's program, wherever they came from, sessions that these began, and the
// tokens they minted. It may move the beginning forward in time.
func (g *grower) separate(ctx context.Context, c *grown) error {
	vs, err := g.visits(ctx, c.accounts[0])
	if err != nil || len(vs) == 0 {
		return err
	}
	mine, any := g.mine(c, vs)
	if !any {
		return nil
	}
	s := g.w.divide(vs, mine)
	if c.handBack(vs, &s) {
		if mine, any = g.mine(c, vs); !any {
			return nil
		}
		for i := range vs {
			if mine[i] {
				c.Since = casefile.TimeOf(vs[i].at)
				break
			}
		}
		s = g.w.divide(vs, mine)
	}
	for i := range vs {
		if v := &vs[i]; s.agents[v.agent] && !g.w.sharedIP(v.ip) && v.device == "" {
			mine[i] = true
		}
	}
	c.ownerWith, c.with = s.ownerWith, map[string]bool{}
	for i := range vs {
		if mine[i] {
			c.with[vs[i].agent] = true
		}
	}
	for i := range vs {
		v := &vs[i]
		if !mine[i] {
			continue
		}
		if v.ip != "" && !g.w.sharedIP(v.ip) {
			c.addIPs(v.ip)
		}
		c.addTokens(v.token, v.req)
		if v.at.Before(c.Since.Time) {
			c.Since = casefile.TimeOf(v.at)
			if !strings.Contains(c.Why, "same program") {
				c.Why += "; the first sign-in with the same program, which its owner never used, is of that moment"
			}
		}
	}
	for i := range vs {
		if mine[i] && g.began(c, vs[i].session) {
			c.addSessions(vs[i].session)
		}
	}
	c.unclear, c.unclearSince = c.unclear[:0], c.Since.Time
	for i := range vs {
		v := &vs[i]
		if mine[i] || v.device != "" || v.ip == "" || g.w.sharedIP(v.ip) {
			continue
		}
		// In a session that was stolen, only the organization's own networks
		// and devices clear.
		stolen := v.session != "" && slices.Contains(c.stolen, v.session)
		owners := s.ownerNets[v.net] && !strange(vs, mine, i, c.Since.Time)
		if stolen || !v.at.Before(c.Since.Time) && !owners && (!s.ownerWith[v.agent] || c.with[v.agent]) {
			c.unclear = addTo(c.unclear, []string{v.ip})
			if v.at.Before(c.unclearSince) {
				c.unclearSince = v.at
			}
		}
	}
	return nil
}

// strange reports whether an address is new in a network where the owner has a
// line of its own: one or two addresses, used again and again, and now another.
// Mobile networks give new ones every day, and are not strange.
func strange(vs []visit, mine []bool, i int, since time.Time) bool {
	known := map[string]bool{}
	n := 0
	for k := range vs {
		if v := &vs[k]; v.net == vs[i].net && !mine[k] && v.at.Before(since) {
			known[v.ip] = true
			n++
		}
	}
	return n >= 3 && len(known) <= 2 && !known[vs[i].ip]
}

// mine marks the sign-ins that are known to be the actor's.
func (g *grower) mine(c *grown, vs []visit) (mine []bool, any bool) {
	mine = make([]bool, len(vs))
	for i := range vs {
		v := &vs[i]
		known := slices.Contains(c.ips, v.ip) || v.session != "" && slices.Contains(c.sessions, v.session) || v.token != "" && slices.Contains(c.tokens, v.token)
		// Before the beginning that is known so far, only what nobody else
		// uses speaks for the actor.
		mine[i] = known && (!v.at.Before(c.Since.Time) || !g.w.sharedIP(v.ip) && v.at.After(c.Since.Add(-habitBefore)))
		any = any || mine[i]
	}
	return mine, any
}

// handBack gives the owner those addresses from which only the owner's
// programs came, when the actor is known to have another: a detector that saw
// the two in one session cannot know which was which.
func (c *grown) handBack(vs []visit, s *split) bool {
	if len(s.agents) == 0 {
		return false
	}
	owners, others := map[string]bool{}, map[string]bool{}
	for i := range vs {
		if v := &vs[i]; v.agent != "" {
			if s.ownerWith[v.agent] {
				owners[v.ip] = true
			} else {
				others[v.ip] = true
			}
		}
	}
	n := len(c.ips)
	c.ips = slices.DeleteFunc(c.ips, func(ip string) bool { return owners[ip] && !others[ip] })
	return len(c.ips) < n
}

// unclearOf is the context of what in a taken account may be the actor's or
// its owner's; nil when there is nothing of the kind.
func (g *grower) unclearOf(c *grown) *grown {
	var ips []string
	for _, ip := range c.unclear {
		if !slices.Contains(c.ips, ip) {
			ips = addTo(ips, []string{ip})
		}
	}
	if len(ips) == 0 {
		return nil
	}
	u := &grown{Context: casefile.Context{
		ID: casefile.ID("x", "unclear", c.accounts[0]), Kind: "account_unclear", Since: casefile.TimeOf(c.unclearSince), From: c.ID,
		Why: "the account was in the actor's hands, and these addresses and programs are neither known to be the actor's nor the owner's",
	}, accounts: c.accounts, ips: ips, maybe: true}
	u.finish()
	return u
}

// began reports whether a session is the actor's as a whole: its first sign-in
// is, and nothing in it is the owner's for sure. A session that the owner began
// stays the owner's, whoever else used it.
func (g *grower) began(c *grown, session string) bool {
	if session == "" {
		return false
	}
	first := true
	for _, v := range g.seen[c.accounts[0]] {
		if v.session != session {
			continue
		}
		if first && !slices.Contains(c.ips, v.ip) && (v.token == "" || !slices.Contains(c.tokens, v.token)) ||
			g.w.sharedIP(v.ip) || v.device != "" || c.ownerWith[v.agent] && !c.with[v.agent] {
			return false
		}
		first = false
	}
	return true // also where no sign-in shows who began it
}
