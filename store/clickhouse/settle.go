package clickhouse

import (
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"midwatch/event"
	"midwatch/store"
	"midwatch/store/dialect"
	"midwatch/store/idset"
)

// Settling makes a complete load count. What it has in common with loads that
// count goes from it before: two processes read the same export at the same
// time, and neither saw the other's rows when it claimed its own. Nothing is
// taken from a load that counts, for somebody may be asking it questions.
//
// Loads are settled one after the other, in the order of their tickets, so that
// of two with the same events the later one sees the earlier. A ticket is good
// when, after it was written, it is greater than every other: whoever did not
// see it then takes a greater one. What a process leaves that ends in between
// is settled by whoever opens the store for writing next.

// errGivenUp is the end of a load that others took for dead.
type errGivenUp struct{ after time.Duration }

func (e errGivenUp) Error() string {
	return fmt.Sprintf("the load gave no sign of life for %s and was given up; nothing of it counts: run the same command again", e.after)
}

// settleAll settles what a process left that ended between its commit and now,
// and buries loads that gave no sign of life.
func (s *Store) settleAll(ctx context.Context) error {
	var waited time.Duration
	const wait = 200 * time.Millisecond
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
				if err := s.settle(ctx, r, false); err != nil && !errors.As(err, new(errGivenUp)) {
					return err
				}
			}
		}
		// One that takes long is not waited for: what it repeats goes from it,
		// or from ours, when it is its turn.
		if !young || waited > 3*s.pace.beat {
			return s.endPrune(ctx)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		waited += wait
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// queue says that a load is complete and takes a ticket for it. said is true
// when it may have got so far as to say it.
func (s *Store) queue(ctx context.Context, me loadRow, mine bool) (said bool, err error) {
	for try := range 50 {
		loads, err := s.loads(ctx)
		if err != nil {
			return said, err
		}
		for _, r := range loads {
			me.ticket = max(me.ticket, r.ticket+1)
		}
		write := s.writeFor
		if mine {
			write = s.writeLoad
		}
		said = true
		if err := write(ctx, me, loaded); err != nil {
			return said, err
		}
		if loads, err = s.loads(ctx); err != nil {
			return said, err
		}
		// Whoever doubts it from now on finds it loaded.
		switch now := find(loads, me.holder); {
		case mine && try == 0 && now.doubts:
			_ = s.writeLoad(ctx, me, withdrawn) // if this fails, the other has ended it, or it counts after all
			return said, errGivenUp{s.pace.deadAfter}
		case now.state == dead || now.state == withdrawn:
			return said, errGivenUp{s.pace.deadAfter}
		}
		first := true
		for _, r := range loads {
			first = first && (r.holder == me.holder || r.ticket < me.ticket)
		}
		if first {
			return said, nil
		}
		if err := sleep(ctx, time.Duration(mrand.IntN(20*(try+1))+1)*time.Millisecond); err != nil {
			return said, err
		}
	}
	return said, errors.New("clickhouse: too many processes end a load at once; try again")
}

// turn waits until it is a load's turn and returns the loads there are then.
// Those before it whose process has ended lose their place, and are returned
// too.
func (s *Store) turn(ctx context.Context, holder string) (loads, left []loadRow, err error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		if loads, err = s.loads(ctx); err != nil {
			return nil, nil, err
		}
		me := find(loads, holder)
		if me.state != loaded {
			return loads, left, nil
		}
		first := true
		for _, r := range loads {
			if r.state != loaded || r.holder == holder || r.ticket > me.ticket || r.ticket == me.ticket && r.number > me.number {
				continue
			}
			first = false
			if r.silent > 2*s.pace.beat {
				if _, err := s.queue(ctx, r, false); err != nil && !errors.As(err, new(errGivenUp)) {
					return nil, nil, err
				}
				left = append(left, r)
			}
		}
		if first {
			return loads, left, nil
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, nil, err
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

// settle settles a load that is loaded. mine says that this process wrote it,
// and has queued it.
func (s *Store) settle(ctx context.Context, me loadRow, mine bool) error {
	if !mine {
		if _, err := s.queue(ctx, me, false); err != nil {
			return err
		}
	}
	var left []loadRow
	for {
		loads, l, err := s.turn(ctx, me.holder)
		if err != nil {
			return err
		}
		left = append(left, l...)
		now := find(loads, me.holder)
		switch now.state {
		case loaded:
		case settled:
			return nil
		default:
			return errGivenUp{s.pace.deadAfter}
		}
		if err := s.clean(ctx, loads, me.number, !mine); err != nil {
			return err
		}
		// Who was away for long may have lost its turn.
		if loads, err = s.loads(ctx); err != nil {
			return err
		}
		if again := find(loads, me.holder); again.state == loaded && again.ticket != now.ticket {
			continue
		}
		me.ticket = now.ticket
		if err := s.writeLoad(ctx, me, settled); err != nil {
			return err
		}
		break
	}
	for _, r := range left {
		if s.settle(ctx, r, false) != nil {
			break // the next who opens the store tries again
		}
	}
	return nil
}

// clean takes from a load what loads that count have too. anew says that it may
// have been begun before.
func (s *Store) clean(ctx context.Context, loads []loadRow, me uint32, anew bool) error {
	where := fmt.Sprintf("(%s OR load = %d)", seen(loads), me)
	alone := true
	for _, r := range loads {
		alone = alone && r.state != settled
	}
	var with []uint32
	if !alone {
		err := s.ask(ctx, where, fmt.Sprintf("SELECT toInt64(load) FROM events WHERE load <> %d AND id IN (SELECT id FROM events WHERE load = %d) GROUP BY load ORDER BY load", me, me), func(scan func(...any) error) error {
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
		if err := s.part(ctx, where, n, me); err != nil {
			return fmt.Errorf("part loads %d and %d: %w", n, me, err)
		}
	}
	if len(with) == 0 && !anew {
		return nil
	}
	return s.recount(ctx, where, me)
}

// part takes from the load me what the load other has.
func (s *Store) part(ctx context.Context, where string, other, me uint32) error {
	if err := s.rename(ctx, where, other, me); err != nil {
		return err
	}
	events, items := s.cfg.local("events"), s.cfg.local("items")
	for _, q := range []struct{ at, where string }{
		{items, fmt.Sprintf("load = %d AND event IN (SELECT id FROM %s WHERE load = %d)", me, events, other)},
		{events, fmt.Sprintf("load = %d AND id IN (SELECT id FROM %s WHERE load = %d)", me, events, other)},
	} {
		if err := s.everywhere(ctx, onCluster("ALTER TABLE "+q.at+" DELETE WHERE "+q.where+" SETTINGS mutations_sync = 2", q.at)); err != nil {
			return err
		}
	}
	return nil
}

// recount makes the accounts of a load's files follow what was taken from it:
// with absolute numbers, so that it may be done twice.
func (s *Store) recount(ctx context.Context, where string, me uint32) error {
	type account struct{ file, events, duplicates int64 }
	left := map[int64]int64{}
	err := s.ask(ctx, where, fmt.Sprintf("SELECT toInt64(file), toInt64(count()) FROM events WHERE load = %d GROUP BY file", me), func(scan func(...any) error) error {
		var f, n int64
		err := scan(&f, &n)
		left[f] = n
		return err
	})
	if err != nil {
		return err
	}
	var accounts []account
	err = s.ask(ctx, where, fmt.Sprintf("SELECT toInt64(file), coalesce(events, 0), coalesce(duplicates, 0) FROM files WHERE load = %d", me), func(scan func(...any) error) error {
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
	files := s.cfg.local("files")
	return s.everywhere(ctx, onCluster(fmt.Sprintf("ALTER TABLE %s UPDATE events = transform(toInt64(file), %s, %s, events), duplicates = transform(toInt64(file), %s, %s, duplicates) WHERE load = %d AND file IN (%s) SETTINGS mutations_sync = 2",
		files, list(f), list(e), list(f), list(d), me, strings.Join(f, ", ")), files))
}

// rename keeps events of the load me that have an id of the load other but say
// something else: under another id, with a flag, as Claim does within a load.
func (s *Store) rename(ctx context.Context, where string, other, me uint32) error {
	type change struct{ from, to string }
	var changes []change
	var scratch []byte
	const differ = `(intDiv(toUnixTimestamp64Micro(coalesce(h.time, toDateTime64(0, 6, 'UTC'))), 1000000), coalesce(h.operation, ''), coalesce(h.actor, ''), coalesce(h.code, ''))
		<> (intDiv(toUnixTimestamp64Micro(coalesce(l.time, toDateTime64(0, 6, 'UTC'))), 1000000), coalesce(l.operation, ''), coalesce(l.actor, ''), coalesce(l.code, ''))
		OR h.format = l.format AND (coalesce(h.item_count, 0), coalesce(h.ip, ''), coalesce(h.mailbox_id, ''), coalesce(h.message_id, '')) <> (coalesce(l.item_count, 0), coalesce(l.ip, ''), coalesce(l.mailbox_id, ''), coalesce(l.message_id, ''))`
	cols := "id, time, operation, actor, code, format, item_count, ip, mailbox_id, message_id, tenant, source"
	err := s.ask(ctx, where, fmt.Sprintf(`SELECT h.id, coalesce(h.tenant, ''), h.source, coalesce(h.operation, ''), coalesce(h.actor, ''), coalesce(h.code, ''), coalesce(h.ip, ''), coalesce(h.mailbox_id, ''), coalesce(h.message_id, ''),
			coalesce(toUnixTimestamp64Micro(h.time), 0), coalesce(h.item_count, 0)
		FROM (SELECT %s FROM events WHERE load = %d) h JOIN (SELECT %s FROM events WHERE load = %d) l ON l.id = h.id WHERE %s`, cols, me, cols, other, differ), func(scan func(...any) error) error {
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
		changes = append(changes, change{id, to.String()})
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range changes {
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
				t.name, dialect.Quote(o.to), t.id, t.also, t.name, me, t.id, dialect.Quote(o.from), o.from, me, t.name)
			if err := s.write(ctx, q); err != nil {
				return err
			}
		}
	}
	return nil
}

var _ store.Querier = (*Store)(nil)
