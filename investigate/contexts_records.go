package investigate

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"midwatch/store"
)

// actorOf finds the context in which a directory change was made.
func (g *grower) actorOf(c *change) *grown {
	for _, k := range g.order {
		x := g.contexts[k]
		if c.time.Before(x.Since.Time) {
			continue
		}
		switch x.Kind {
		case "account":
			if slices.Contains(x.accounts, c.actor) {
				return x
			}
		case "account_from_ip":
			if slices.Contains(x.accounts, c.actor) && (slices.Contains(x.ips, c.ip) || c.session != "" && slices.Contains(x.sessions, c.session) || c.token != "" && slices.Contains(x.tokens, c.token)) {
				return x
			}
			// The audit log's copy of a change has no address. Within a day of
			// the account being used from the actor's it is taken as well.
			if slices.Contains(x.accounts, c.actor) && c.ip == "" && c.time.Sub(x.Since.Time) < 24*time.Hour {
				return x
			}
		case "session":
			if c.session != "" && slices.Contains(x.sessions, c.session) && (len(x.ips) == 0 || slices.Contains(x.ips, c.ip)) {
				return x
			}
		case "app":
			if !slices.Contains(x.apps, c.appID) && !slices.Contains(x.apps, c.spID) && !slices.Contains(x.apps, c.actorID) {
				continue
			}
			if x.whole || slices.Contains(x.ips, c.ip) || slices.Contains(x.tokens, c.token) {
				return x
			}
		}
	}
	return nil
}

// appID picks an application's id among those that mean it.
func (g *grower) appID(root string) string {
	ms := g.w.ids.members(root)
	for _, m := range ms {
		if g.w.ids.apps[m] {
			return m
		}
	}
	return ms[0]
}

// where gives the condition for a context's records, and its arguments.
// Of an application that never read mail before, all mail is taken.
func (c *grown) where(mail bool) (string, []any) {
	var any_ []string
	ips, nowhere := "", c.lost && len(c.ips) == 0
	if len(c.ips) > 0 {
		ips = ` AND ip IN (` + quoted(c.ips) + `)`
	}
	switch c.Kind {
	case "account":
		any_ = append(any_, `actor IN (`+quoted(c.accounts)+`)`)
	case "account_from_ip", "account_unclear":
		if !nowhere {
			any_ = append(any_, `(actor IN (`+quoted(c.accounts)+`)`+ips+`)`)
		}
		if len(c.sessions) > 0 {
			any_ = append(any_, `session_id IN (`+quoted(c.sessions)+`)`)
		}
		if len(c.tokens) > 0 {
			any_ = append(any_, `token_id IN (`+quoted(c.tokens)+`)`)
		}
	case "session":
		if !nowhere {
			any_ = append(any_, `(session_id IN (`+quoted(c.sessions)+`)`+ips+`)`)
		}
	case "app":
		mine := `(app_id IN (` + quoted(c.apps) + `) OR sp_id IN (` + quoted(c.apps) + `))`
		switch {
		case c.whole, mail && c.newMail:
			any_ = append(any_, mine)
		default:
			if len(c.ips) > 0 {
				any_ = append(any_, `(`+mine+ips+`)`)
			}
			if len(c.tokens) > 0 {
				any_ = append(any_, `(`+mine+` AND token_id IN (`+quoted(c.tokens)+`))`)
			}
		}
	}
	if len(any_) == 0 {
		return "", nil
	}
	w := `(` + strings.Join(any_, ` OR `) + `) AND time >= ? AND coalesce(actor_kind, '') <> 'service' AND NOT (coalesce(ip_service, false) AND coalesce(actor_kind, '') <> 'app')` + c.plan.except(c)
	return w, []any{c.Since.Time}
}

// activity is how much a context did.
type activity struct {
	n           int64
	first, last time.Time
}

// activity counts a context's records.
func (g *grower) activity(ctx context.Context, c *grown) (a activity, err error) {
	w, args := c.where(false)
	if w == "" {
		return a, nil
	}
	err = store.Each(ctx, g.q, `SELECT count(*), min(time), max(time) FROM events WHERE `+w, args, func(scan scanner) error {
		var x, y sql.NullTime
		if err := scan(&a.n, &x, &y); err != nil {
			return err
		}
		a.first, a.last = x.Time.UTC(), y.Time.UTC()
		return nil
	})
	return a, err
}
