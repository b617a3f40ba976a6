package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/dialect"
	"midwatch/store/idset"
)

// Settling a load looks for events that another load has too: two processes
// read the same export at the same time, and neither saw the other's rows when
// it claimed its own. Of two copies the one of the load with the higher number
// goes, whoever finds them, so that two who settle at once do the same. It can
// be done again at any time, by anybody.

// settleAll settles what a process left that ended between its commit and now,
// and buries loads that gave no sign of life.
func (s *Store) settleAll(ctx context.Context) error {
	for {
		loads, err := s.loads(ctx)
		if err != nil {
			return err
		}
		if _, err := s.bury(ctx, loads); err != nil {
			return err
		}
		young := false
		for _, r := range loads {
			switch {
			case r.state != loaded:
			case r.silent < 2*s.pace.beat:
				young = true // its own process is at it
			default:
				if err := s.settle(ctx, r); err != nil {
					return err
				}
			}
		}
		if !young {
			return s.endPrune(ctx)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask runs a question on what the loads that satisfy where hold. Ids lie on one
// shard with their items, so that subqueries stay where they are.
func (s *Store) ask(ctx context.Context, where, query string, fn func(scan func(...any) error) error) error {
	m := s.settings()
	m["distributed_product_mode"] = "local"
	var filters []string
	for _, t := range []string{"events", "items"} {
		filters = append(filters, dialect.Quote(s.cfg.local(t))+": "+dialect.Quote(where))
	}
	m["additional_table_filters"] = "{" + strings.Join(filters, ", ") + "}"
	return s.again(ctx, func() error {
		rows, err := s.db.QueryContext(driver.Context(ctx, driver.WithSettings(m)), query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := fn(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

func (s *Store) settle(ctx context.Context, me loadRow) error {
	loads, err := s.loads(ctx)
	if err != nil {
		return err
	}
	where := seen(loads)
	alone := true
	for _, r := range loads {
		alone = alone && (r.number == me.number || r.state != loaded && r.state != settled)
	}
	var with []uint32
	if !alone {
		err := s.ask(ctx, where, fmt.Sprintf("SELECT toInt64(load) FROM events WHERE load <> %d AND id IN (SELECT id FROM events WHERE load = %d) GROUP BY load ORDER BY load", me.number, me.number), func(scan func(...any) error) error {
			var n int64
			err := scan(&n)
			with = append(with, uint32(n))
			return err
		})
		if err != nil {
			return fmt.Errorf("look for repeated events: %w", err)
		}
	}
	for _, n := range with {
		if err := s.part(ctx, where, min(n, me.number), max(n, me.number)); err != nil {
			return fmt.Errorf("part loads %d and %d: %w", n, me.number, err)
		}
	}
	return s.writeLoad(ctx, me, settled)
}

// part takes from the load high what the load low has.
func (s *Store) part(ctx context.Context, where string, low, high uint32) error {
	if err := s.rename(ctx, where, low, high); err != nil {
		return err
	}
	events, items, files := s.cfg.local("events"), s.cfg.local("items"), s.cfg.local("files")
	const now = " SETTINGS mutations_sync = 2"
	for _, q := range []struct{ at, where string }{
		{items, fmt.Sprintf("load = %d AND event IN (SELECT id FROM %s WHERE load = %d)", high, events, low)},
		{events, fmt.Sprintf("load = %d AND id IN (SELECT id FROM %s WHERE load = %d)", high, events, low)},
	} {
		if err := s.everywhere(ctx, onCluster("ALTER TABLE "+q.at+" DELETE WHERE "+q.where+now, q.at)); err != nil {
			return err
		}
	}
	// The accounts of the files follow: absolute numbers, so that it may be
	// done twice.
	type account struct{ file, events, duplicates int64 }
	left := map[int64]int64{}
	err := s.ask(ctx, where, fmt.Sprintf("SELECT toInt64(file), toInt64(count()) FROM events WHERE load = %d GROUP BY file", high), func(scan func(...any) error) error {
		var f, n int64
		err := scan(&f, &n)
		left[f] = n
		return err
	})
	if err != nil {
		return err
	}
	var accounts []account
	err = s.ask(ctx, where, fmt.Sprintf("SELECT toInt64(file), coalesce(events, 0), coalesce(duplicates, 0) FROM files WHERE load = %d", high), func(scan func(...any) error) error {
		var a account
		if err := scan(&a.file, &a.events, &a.duplicates); err != nil {
			return err
		}
		if n := left[a.file]; n != a.events {
			a.duplicates += a.events - n
			a.events = n
			accounts = append(accounts, a)
		}
		return nil
	})
	if err != nil || len(accounts) == 0 {
		return err
	}
	var f, e, d []string
	for _, a := range accounts {
		f, e, d = append(f, fmt.Sprint(a.file)), append(e, fmt.Sprint(a.events)), append(d, fmt.Sprint(a.duplicates))
	}
	list := func(xs []string) string { return "[" + strings.Join(xs, ", ") + "]::Array(Int64)" }
	return s.everywhere(ctx, onCluster(fmt.Sprintf("ALTER TABLE %s UPDATE events = transform(toInt64(file), %s, %s, events), duplicates = transform(toInt64(file), %s, %s, duplicates) WHERE load = %d AND file IN (%s)%s",
		files, list(f), list(e), list(f), list(d), high, strings.Join(f, ", "), now), files))
}

// rename keeps events of the load high that have an id of the load low but say
// something else: under another id, with a flag, as Claim does within a load.
func (s *Store) rename(ctx context.Context, where string, low, high uint32) error {
	type other struct{ from, to string }
	var others []other
	var scratch []byte
	const differ = `(intDiv(toUnixTimestamp64Micro(coalesce(h.time, toDateTime64(0, 6, 'UTC'))), 1000000), coalesce(h.operation, ''), coalesce(h.actor, ''), coalesce(h.code, ''))
		<> (intDiv(toUnixTimestamp64Micro(coalesce(l.time, toDateTime64(0, 6, 'UTC'))), 1000000), coalesce(l.operation, ''), coalesce(l.actor, ''), coalesce(l.code, ''))
		OR h.format = l.format AND (coalesce(h.item_count, 0), coalesce(h.ip, ''), coalesce(h.mailbox_id, ''), coalesce(h.message_id, '')) <> (coalesce(l.item_count, 0), coalesce(l.ip, ''), coalesce(l.mailbox_id, ''), coalesce(l.message_id, ''))`
	cols := "id, time, operation, actor, code, format, item_count, ip, mailbox_id, message_id, tenant, source"
	err := s.ask(ctx, where, fmt.Sprintf(`SELECT h.id, coalesce(h.tenant, ''), h.source, coalesce(h.operation, ''), coalesce(h.actor, ''), coalesce(h.code, ''), coalesce(h.ip, ''), coalesce(h.mailbox_id, ''), coalesce(h.message_id, ''),
			coalesce(toUnixTimestamp64Micro(h.time), 0), coalesce(h.item_count, 0)
		FROM (SELECT %s FROM events WHERE load = %d) h JOIN (SELECT %s FROM events WHERE load = %d) l ON l.id = h.id WHERE %s`, cols, high, cols, low, differ), func(scan func(...any) error) error {
		var id, source string
		var e event.Event
		if err := scan(&id, &e.Tenant, &source, &e.Operation, &e.Actor, &e.Code, &e.IP, &e.MailboxID, &e.MessageID, &e.Time, &e.ItemCount); err != nil {
			return err
		}
		e.Source = event.Source(source)
		x, ok := event.ParseID(id)
		if !ok {
			return errors.New("the store has a malformed id " + id)
		}
		e.ID = x
		var to event.ID
		to, scratch = idset.OtherID(scratch, &e)
		others = append(others, other{id, to.String()})
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range others {
		have := false
		err := s.ask(ctx, where, "SELECT 1 FROM events WHERE id = "+dialect.Quote(o.to)+" LIMIT 1", func(func(...any) error) error { have = true; return nil })
		if err != nil {
			return err
		}
		if have {
			continue
		}
		for _, t := range []struct{ name, id, also string }{{"items", "event", ""}, {"events", "id", fmt.Sprintf(", bitOr(flags, %d) AS flags", event.FlagIDConflict)}} {
			// The condition stands inside: outside, its column is the new one.
			q := fmt.Sprintf("INSERT INTO %s SELECT * REPLACE (%s AS %s%s) FROM (SELECT * FROM %s WHERE load = %d AND %s = %s) SETTINGS insert_deduplicate = 1, insert_deduplication_token = '%s-%d-%s'",
				t.name, dialect.Quote(o.to), t.id, t.also, t.name, high, t.id, dialect.Quote(o.from), o.from, high, t.name)
			if err := s.write(ctx, q); err != nil {
				return err
			}
		}
	}
	return nil
}

var _ store.Querier = (*Store)(nil)
