package investigate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/event"
	"midwatch/store"
)

// share puts the mailboxes in proportion.
func (b *builder) share(ctx context.Context, opts Options) error {
	s := &b.camp.ShareOfMailboxes
	s.PerCertainty = b.camp.Reach.Mailboxes
	if opts.DirectoryMailboxes > 0 {
		s.Denominator, s.DenominatorName = opts.DirectoryMailboxes, "users in the directory that was given"
	} else {
		seen, err := b.mailboxes(ctx)
		if err != nil {
			return err
		}
		s.Denominator, s.DenominatorName = int64(len(seen)), "distinct mailboxes seen in the evidence of these tenants"
	}
	if s.Denominator > 0 {
		d := float64(s.Denominator)
		s.ConfirmedShare, s.ProbableShare, s.PossibleShare = round(float64(s.Confirmed)/d, 4), round(float64(s.Probable)/d, 4), round(float64(s.Possible)/d, 4)
	}
	return nil
}

// mailboxes lists the mailboxes of the campaign's tenants that the evidence
// shows anywhere, the campaign's own included.
func (b *builder) mailboxes(ctx context.Context) (map[string]*seenBox, error) {
	seen, err := b.w.mailboxesSeen(ctx, b.q)
	if err != nil {
		return nil, err
	}
	for name, x := range seen {
		in := len(b.camp.Tenants) == 0 || x.tenants[""]
		for _, t := range b.camp.Tenants {
			in = in || x.tenants[t]
		}
		if !in {
			delete(seen, name)
		}
	}
	for _, m := range b.camp.Mailboxes {
		if seen[m.UPN] == nil {
			seen[m.UPN] = &seenBox{read: true, tenants: map[string]bool{m.Tenant: true}}
		}
	}
	return seen, nil
}

// cannotClear states, as counts, what the logs cannot clear: mailboxes that an
// application could read while nothing was recorded.
func (b *builder) cannotClear(ctx context.Context) error {
	type holder struct {
		app   casefile.AppRef
		since time.Time
		perm  string
	}
	var holders []holder
	for _, a := range b.camp.Apps {
		for _, p := range a.Permissions {
			if detect.ReadsMail(p) && !strings.Contains(p, "(delegated)") {
				holders = append(holders, holder{a, b.grantTime(a, p), p})
				break
			}
		}
	}
	seen, err := b.mailboxes(ctx)
	if err != nil {
		return err
	}
	reached := map[string]bool{}
	for _, m := range b.camp.Mailboxes {
		reached[m.UPN] = true
	}
	var rest, silent []string
	read := false
	for _, name := range sortedKeys(seen) {
		read = read || seen[name].read
		if reached[name] {
			continue
		}
		rest = append(rest, name)
		if !seen[name].read {
			silent = append(silent, name)
		}
	}
	names := func(list []string) []string {
		if len(list) > maxNames {
			return nil
		}
		return list
	}
	const whole = "mailboxes seen in the evidence that were not reached as far as it says"
	var spans []span
	for _, h := range holders {
		who := first(h.app.Name, h.app.ID)
		to := b.camp.End.Time
		switch {
		case !read:
			b.camp.CannotClear = append(b.camp.CannotClear, casefile.Uncleared{
				What: "mailboxes", Count: int64(len(rest)), CountName: whole, Certainty: casefile.Possible, Members: names(rest), Events: h.app.Events,
				Why:   fmt.Sprintf("application %s could read every mailbox with %s from %s on, and the evidence has no record of mail being read at all", who, h.perm, casefile.TimeOf(h.since)),
				Fetch: "unified audit log, operation MailItemsAccessed, for the whole time",
			})
			continue
		case len(silent) > 0:
			b.camp.CannotClear = append(b.camp.CannotClear, casefile.Uncleared{
				What: "mailboxes", Count: int64(len(silent)), CountName: "mailboxes with other records but none of mail being read", Certainty: casefile.Possible, Members: names(silent), Events: h.app.Events,
				Why:   fmt.Sprintf("application %s could read every mailbox with %s from %s on; reads of these are never recorded, by anybody: their licence or audit settings may not log them", who, h.perm, casefile.TimeOf(h.since)),
				Fetch: "the mailboxes' licences, AuditEnabled, AuditOwner, AuditDelegate, AuditAdmin and AuditBypassEnabled",
			})
			silent = nil // once is enough
		}
		spans = append(spans, span{h.app, who, h.perm, h.since, to})
	}
	return b.gaps(ctx, spans, rest, names(rest), whole)
}

// span is a time in which an application could read every mailbox.
type span struct {
	app       casefile.AppRef
	who, perm string
	from, to  time.Time
}

// gaps states the gaps of the audit log while applications could read every
// mailbox: one statement a gap, those with sign-ins of the applications first,
// and one for all the others.
func (b *builder) gaps(ctx context.Context, spans []span, rest, members []string, whole string) error {
	type hole struct {
		casefile.Gap
		who    []string
		n      int
		events []string
	}
	holes := map[string]*hole{}
	for _, s := range spans {
		for _, t := range b.camp.Tenants {
			for _, g := range gapsOf(&b.c.Coverage, t, string(event.UAL), s.from, s.to) {
				n, ids, err := b.signInsDuring(ctx, s.app, g)
				if err != nil {
					return err
				}
				key := g.To.String()
				h := holes[key]
				if h == nil {
					h = &hole{Gap: g}
					holes[key] = h
				}
				if g.Hours > h.Hours {
					h.Gap = g
				}
				h.who, h.n, h.events = addTo(h.who, []string{s.who}), h.n+n, append(h.events, ids...)
			}
		}
	}
	var quiet []*hole
	say := func(why, fetch string, events []string) {
		b.camp.CannotClear = append(b.camp.CannotClear, casefile.Uncleared{
			What: "mailboxes", Count: int64(len(rest)), CountName: whole, Certainty: casefile.Possible, Members: members, Why: why, Fetch: fetch, Events: events,
		})
	}
	for _, k := range sortedKeys(holes) {
		h := holes[k]
		if h.n == 0 {
			quiet = append(quiet, h)
			continue
		}
		say(fmt.Sprintf("the audit log has no record from %s to %s, while %s could read every mailbox and signed in %s", h.From, h.To, joinWords(h.who), plural(h.n, "time", "times")),
			fmt.Sprintf("the unified audit log from %s to %s", h.From, h.To), capped(casefile.Unique(h.events)))
	}
	if len(quiet) > 0 {
		var hours float64
		for _, h := range quiet {
			hours += h.Hours
		}
		say(fmt.Sprintf("the audit log has %s of more than a day, %.0f hours in all, while applications could read every mailbox; no sign-in of theirs falls into these", plural(len(quiet), "more gap", "more gaps"), hours),
			"the unified audit log for these times; small organizations have such gaps on weekends", []string{})
	}
	return nil
}

// grantTime is when an application got a permission, or when it came in.
func (b *builder) grantTime(a casefile.AppRef, permission string) time.Time {
	root := b.w.ids.root(a.ID)
	for i := range b.w.changes {
		c := &b.w.changes[i]
		if event.Class(c.class) == event.ClassAppRoleGrant && b.w.ids.root(first(c.targetApp, c.targetID)) == root && slices.Contains(strings.Fields(c.permissions), permission) {
			return c.time
		}
	}
	return a.Since.Time
}

func (b *builder) signInsDuring(ctx context.Context, a casefile.AppRef, g casefile.Gap) (n int, ids []string, err error) {
	apps := append([]string{a.ID}, a.ServicePrincipals...)
	err = store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR) FROM events WHERE class = 'sign_in' AND (app_id IN (`+quoted(apps)+`) OR sp_id IN (`+quoted(apps)+`))
		AND actor_kind IN ('app', 'managed') AND time >= ? AND time <= ? AND outcome = 'success' ORDER BY time, id`, []any{g.From.Time, g.To.Time}, func(scan scanner) error {
		var id string
		err := scan(&id)
		n++
		ids = append(ids, id)
		return err
	})
	return n, capped(ids), err
}
