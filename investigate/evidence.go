package investigate

import (
	"context"
	"database/sql"
	"slices"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// cited lists every event id that a case names.
func cited(c *casefile.Case) []string {
	m := map[string]bool{}
	add := func(ids []string) {
		for _, id := range ids {
			m[id] = true
		}
	}
	for _, s := range c.Verdict {
		add(s.Events)
	}
	for _, f := range c.Findings {
		add(f.Events)
	}
	for _, a := range c.Assumed {
		add(a.Events)
	}
	for _, a := range c.CannotClear {
		add(a.Events)
	}
	for _, a := range c.Assertions {
		add(a.Events)
		for _, x := range a.Places {
			add(x.Events)
		}
	}
	for _, p := range c.Campaigns {
		for _, s := range p.Verdict {
			add(s.Events)
		}
		for _, a := range p.Accounts {
			add(a.Events)
		}
		for _, a := range p.Apps {
			add(a.Events)
		}
		for _, a := range p.Credentials {
			add(a.Events)
		}
		for _, a := range p.CannotClear {
			add(a.Events)
		}
		for _, t := range p.Timeline {
			add(t.Events)
		}
		for _, m := range p.Milestones {
			add(m.Events)
		}
		for _, t := range p.Tokens {
			if t.MintedBy != "" {
				add([]string{t.MintedBy})
			}
		}
		for _, x := range p.Interests {
			add(x.Events)
		}
		for _, b := range p.Mailboxes {
			add(b.Events)
			for _, x := range b.Messages {
				add(x.Events)
			}
			for _, x := range b.WholeFolders {
				add(x.Events)
			}
			for _, x := range b.AttachmentItems {
				add(x.Events)
			}
			for _, x := range b.Windows {
				add(x.Events)
			}
		}
	}
	return sortedKeys(m)
}

// evidence finds where events stand in the files.
func evidence(ctx context.Context, q store.Querier, ids []string) (map[string]casefile.Evidence, error) {
	out := make(map[string]casefile.Evidence, len(ids))
	ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := event.ParseID(id); return !ok })
	for chunk := range slices.Chunk(ids, 1000) {
		err := store.Each(ctx, q, `SELECT CAST(e.id AS VARCHAR), coalesce(f.path, ''), coalesce(f.sha256, ''), coalesce(e.line, 0), coalesce(e.pos, 0), coalesce(e.length, 0), e.time, coalesce(e.tenant, ''), e.source,
				coalesce(e.operation, ''), coalesce(e.actor, ''), coalesce(e.ip, ''), coalesce(nullif(e.target, ''), e.mailbox, '')
			FROM events e LEFT JOIN files f ON f.file = e.file WHERE e.id IN (`+quoted(chunk)+`)`, nil, func(scan scanner) error {
			var id string
			var x casefile.Evidence
			var at sql.NullTime
			if err := scan(&id, &x.File, &x.SHA256, &x.Line, &x.Offset, &x.Length, &at, &x.Tenant, &x.Source, &x.Operation, &x.Actor, &x.IP, &x.Target); err != nil {
				return err
			}
			if at.Valid {
				x.Time = casefile.TimeOf(at.Time)
			}
			out[id] = x
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
