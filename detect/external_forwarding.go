package detect

import (
	"context"
	"fmt"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// externalForwarding finds forwarding of a whole mailbox, and mail flow rules,
// to an address outside.
type externalForwarding struct{}

// Card implements [Detector].
func (externalForwarding) Card() Card {
	return Card{
		ID:             "external_forwarding",
		Title:          "Mail is forwarded outside",
		Why:            "Forwarding set on a mailbox or by a mail flow rule copies all mail to somebody outside, without any further sign-in.",
		FalsePositives: []string{"mailboxes of people who left", "journaling and archiving services", "a migration"},
		Techniques:     []string{"T1114.003"},
		Stage:          casefile.StageExfil,
		Needs:          exchangeNeeds(),
		Severity:       casefile.High,
		FalseAlarms:    FalseAlarms{PerDay: 0.002, Basis: "estimate: none in simulated quiet tenants, whose people forward to their homes from home"},
	}
}

// Detect implements [Detector].
func (externalForwarding) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	own, err := ownDomains(ctx, q)
	if err != nil {
		return nil, err
	}
	rs, err := records(ctx, q, `class IN ('forwarding', 'transport_rule') AND coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service'
		AND operation NOT LIKE 'remove%' AND operation NOT LIKE 'disable%'`)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, r := range oneOf(rs) {
		to := outside(append(r.detail.Forward, strings.Fields(r.recipients())...), own)
		if len(to) == 0 {
			continue
		}
		f := casefile.Finding{
			Tenant: r.Tenant, First: casefile.TimeOf(r.Time), Last: casefile.TimeOf(r.Time), Events: r.ids(),
			Entities: r.actorEntities(), Counts: []casefile.Count{{Name: "addresses outside", Value: float64(len(to))}},
		}
		for _, a := range to {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Address, ID: a, Role: casefile.RoleTarget})
		}
		if event.Class(r.Class) == event.ClassTransportRule {
			f.Title = fmt.Sprintf("Mail flow rule sends mail to %s", list(to, 2))
			f.Why = fmt.Sprintf("%s ran %s at %s: mail of the whole organization that matches the rule goes to %s.", r.who(), r.Operation, casefile.TimeOf(r.Time), strings.Join(to, ", "))
			if n := firstOf(r.detail.Params["Name"], r.Target); n != "" {
				f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Rule, ID: n, Role: casefile.RoleTarget})
			}
		} else {
			mailbox, err := mailboxOf(ctx, q, &r)
			if err != nil {
				return nil, err
			}
			f.Title = fmt.Sprintf("Mailbox %s forwards to %s", mailbox, list(to, 2))
			f.Why = fmt.Sprintf("%s set forwarding of the mailbox %s to %s at %s.", r.who(), mailbox, strings.Join(to, ", "), casefile.TimeOf(r.Time))
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: mailbox, Role: casefile.RoleTarget})
		}
		out = append(out, f)
	}
	return out, nil
}

// mailboxOf finds the mailbox that a cmdlet's record names: by its address, or
// by a path that ends with its alias.
func mailboxOf(ctx context.Context, q store.Querier, r *record) (string, error) {
	for _, name := range []string{r.Mailbox, r.detail.Params["Identity"], r.Target} {
		name = strings.ToLower(afterLast(strings.TrimSpace(name), "/"))
		switch {
		case name == "":
			continue
		case strings.Contains(name, "@"):
			return name, nil
		}
		var found []string
		err := store.Each(ctx, q, `SELECT DISTINCT lower(mailbox) FROM events WHERE lower(mailbox) LIKE ? ORDER BY 1 LIMIT 2`, []any{name + "@%"}, func(scan scanner) error {
			var m string
			err := scan(&m)
			found = append(found, m)
			return err
		})
		if err != nil {
			return "", err
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return firstOf(r.Mailbox, r.detail.Params["Identity"], r.Target), nil
}

// recipients is where a Google forwarding record names the address.
func (r *record) recipients() string {
	if strings.Contains(r.detail.Params["forward_to"], "@") {
		return r.detail.Params["forward_to"]
	}
	return ""
}
