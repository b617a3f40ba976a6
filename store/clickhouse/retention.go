package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"midwatch/store/dialect"
)

// Retention is the server's own: a TTL on the events and their items, which
// goes by when a thing happened. Events without a time stay.

// keepFor is what parameter keep of a store's URL looks like: 400d.
var keepFor = regexp.MustCompile(`^([1-9][0-9]{0,4})d$`)

func parseKeep(v string) (days int, err error) {
	if v == "" {
		return 0, nil
	}
	m := keepFor.FindStringSubmatch(v)
	if m == nil {
		return 0, fmt.Errorf("keep=%s: it is a number of days, such as keep=400d", v)
	}
	return strconv.Atoi(m[1])
}

// ttl is the expression for a column. DateTime ends in 2106.
func ttl(column string, days int) string {
	return fmt.Sprintf("toDateTime(least(coalesce(%s, toDateTime64('2070-01-01 00:00:00', 6, 'UTC')), toDateTime64('2070-01-01 00:00:00', 6, 'UTC'))) + toIntervalDay(%d)", column, days)
}

// interval finds the days in a table's definition.
var interval = regexp.MustCompile(`toIntervalDay\(([0-9]+)\)`)

// retention is how long the server keeps events; 0 is for ever.
func (s *Store) retention(ctx context.Context) (time.Duration, error) {
	var def string
	name := strings.TrimPrefix(s.cfg.local("events"), s.cfg.database+".")
	err := s.again(ctx, func() error {
		return s.db.QueryRowContext(ctx, "SELECT engine_full FROM system.tables WHERE database = "+dialect.Quote(s.cfg.database)+" AND name = "+dialect.Quote(name)).Scan(&def)
	})
	if err != nil {
		return 0, err
	}
	m := interval.FindStringSubmatch(def)
	if m == nil {
		return 0, nil
	}
	days, err := strconv.Atoi(m[1])
	return time.Duration(days) * 24 * time.Hour, err
}

// retain sets how long events are kept, where the URL says it.
func (s *Store) retain(ctx context.Context) error {
	if s.cfg.keep == 0 || s.opts.ReadOnly {
		return nil
	}
	have, err := s.retention(ctx)
	if err != nil || have == time.Duration(s.cfg.keep)*24*time.Hour {
		return err
	}
	for table, column := range map[string]string{"events": "time", "items": "at"} {
		t := s.cfg.local(table)
		if err := s.everywhere(ctx, onCluster("ALTER TABLE "+t+" MODIFY TTL "+ttl(column, s.cfg.keep), t)); err != nil {
			return fmt.Errorf("set how long events are kept: %w", err)
		}
	}
	return nil
}

// aged reports whether events of a file may be gone because they are old.
func aged(first time.Time, keep time.Duration, now time.Time) bool {
	return keep > 0 && !first.IsZero() && first.Before(now.Add(-keep))
}
