package exposure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// known is what records of the event store say about a message.
type known struct {
	subject string
	from    string
	to      []string
	date    casefile.Time
	names   []string
	sources []string
	bytes   int64
}

type scanning = func(dest ...any) error

const chunk = 500 // ids a question

// askKnown asks the event store about messages, by the keys of their ids:
// message trace, and records of sending, moving and deleting. Records of
// mail being read name messages and say little more; the case has them.
func askKnown(ctx context.Context, q store.Querier, keys []string) (map[string]*known, error) {
	out := map[string]*known{}
	get := func(id string) *known {
		k := key(messageID(id))
		if out[k] == nil {
			out[k] = &known{}
		}
		return out[k]
	}
	for ids := range slices.Chunk(keys, chunk) {
		marks, args := list(ids)
		err := store.Each(ctx, q, `SELECT message_id, source, class, coalesce(subject, ''), coalesce(actor, ''), coalesce(mailbox, ''), coalesce(recipients, ''), time
			FROM events WHERE lower(message_id) IN (`+marks+`) ORDER BY time, id`, args, func(scan scanning) error {
			var id, source, class, subject, actor, mailbox, recipients string
			var at time.Time
			if err := scan(&id, &source, &class, &subject, &actor, &mailbox, &recipients, &at); err != nil {
				return err
			}
			k := get(id)
			if k.subject == "" {
				k.subject = subject
			}
			trace := source == "message_trace"
			if trace || class == "mail_send" {
				if k.from == "" && strings.Contains(actor, "@") {
					k.from = address(actor)
				}
				if k.from == "" && !trace {
					k.from = address(mailbox)
				}
				for _, r := range strings.Fields(recipients) {
					if len(k.to) < maxAddresses {
						k.to = append(k.to, address(r))
					}
				}
				k.date = casefile.Earlier(k.date, casefile.TimeOf(at))
			}
			if trace {
				k.sources = append(k.sources, "message_trace")
			} else if class != "mail_access" {
				k.sources = append(k.sources, "audit_log")
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("what records say of the messages: %w", err)
		}
		err = store.Each(ctx, q, `SELECT i.message_id, coalesce(i.subject, ''), coalesce(i.names, ''), coalesce(i.size, -1)
			FROM items i WHERE lower(i.message_id) IN (`+marks+`) AND (i.subject IS NOT NULL OR i.names IS NOT NULL) ORDER BY i.event, i.message_id, i.item_id, i.subject, i.names`, args, func(scan scanning) error {
			var id, subject, names string
			var size int64
			if err := scan(&id, &subject, &names, &size); err != nil {
				return err
			}
			k := get(id)
			if k.subject == "" {
				k.subject = subject
			}
			if names != "" {
				k.names = append(k.names, names)
			}
			k.bytes = max(k.bytes, size)
			k.sources = append(k.sources, "audit_log")
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("what records say of the messages: %w", err)
		}
	}
	for _, k := range out {
		k.to, k.names, k.sources = casefile.Unique(k.to), casefile.Unique(k.names), casefile.Unique(k.sources)
	}
	return out, nil
}

// askItems finds the internet message ids of messages of which only the id in a
// mailbox is known: records of moves and deletions have both.
func askItems(ctx context.Context, q store.Querier, items []string) (map[[2]string]string, error) {
	out := map[[2]string]string{}
	for ids := range slices.Chunk(casefile.Unique(items), chunk) {
		marks, args := list(ids)
		err := store.Each(ctx, q, `SELECT coalesce(e.mailbox, ''), i.item_id, min(i.message_id) AS message_id FROM events e JOIN items i ON i.event = e.id
			WHERE i.item_id IN (`+marks+`) AND i.message_id IS NOT NULL GROUP BY e.mailbox, i.item_id ORDER BY e.mailbox, i.item_id`, args, func(scan scanning) error {
			var mailbox, item, id string
			if err := scan(&mailbox, &item, &id); err != nil {
				return err
			}
			out[[2]string{address(mailbox), item}] = messageID(id)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("ids of messages: %w", err)
		}
	}
	return out, nil
}

// askDomains lists the organization's domains as the evidence shows them: those
// of mailboxes, and of at least two accounts that acted. The case's own list
// also has the domains that mail came from.
func askDomains(ctx context.Context, q store.Querier) ([]string, error) {
	var out []string
	const domain = `lower(regexp_replace(%s, '^.*@', ''))`
	query := `SELECT d, max(kind) FROM (
		SELECT ` + fmt.Sprintf(domain, "mailbox") + ` AS d, 'mailbox' AS kind, mailbox AS who FROM events WHERE mailbox LIKE '%@%' AND source <> 'message_trace'
		UNION ALL
		SELECT ` + fmt.Sprintf(domain, "actor") + ` AS d, 'actor' AS kind, actor AS who FROM events
		WHERE source <> 'message_trace' AND actor LIKE '%@%' AND actor NOT LIKE '%#ext#%' AND actor_kind IN ('user', 'admin') AND coalesce(outcome, '') <> 'failure'
	) x GROUP BY d HAVING max(kind) = 'mailbox' OR count(DISTINCT who) >= 2 ORDER BY d`
	err := store.Each(ctx, q, query, nil, func(scan scanning) error {
		var d, kind string
		if err := scan(&d, &kind); err != nil {
			return err
		}
		if d != "" && (kind == "mailbox" || !privateMail(d)) {
			out = append(out, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the organization's domains: %w", err)
	}
	return out, nil
}

// privateMail reports whether a domain is a large provider's of private mail:
// an address there says nothing about an organization.
func privateMail(d string) bool {
	switch d {
	case "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com", "me.com", "aol.com", "gmx.de", "gmx.net", "web.de", "mail.ru", "yandex.ru", "qq.com", "163.com", "proton.me", "protonmail.com", "tutanota.com":
		return true
	}
	return false
}

func list(ids []string) (marks string, args []any) {
	for _, id := range ids {
		args = append(args, id)
	}
	return strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", "), args
}
