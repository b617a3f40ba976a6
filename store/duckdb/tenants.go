package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"midwatch/event"
	"midwatch/store"
)

// unassigned is the key in table meta of assignments that are being made; the
// value is the assignments.
const unassigned = "unfinished assignments"

// AssignTenants implements [store.Store]. What is changed lies in memory until
// it is checkpointed, so that rows are changed a part at a time, each in a
// transaction of its own; a mark in table meta stands until the last of them,
// and who finds it goes on ([Store.Begin]).
func (s *Store) AssignTenants(ctx context.Context, as []store.Assignment) error {
	if len(as) == 0 {
		return nil
	}
	// Two who changed the same row at once would both fail; who comes second
	// finds nothing left to change.
	s.assigning.Lock()
	defer s.assigning.Unlock()
	text, err := json.Marshal(as)
	if err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO meta VALUES ('"+unassigned+"', ?)", string(text)); err != nil {
		return fmt.Errorf("assign tenants: %w", err)
	}
	if err := s.assign(ctx, as); err != nil {
		return fmt.Errorf("assign tenants: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM meta WHERE key = '"+unassigned+"' AND value = ?", string(text)); err != nil {
		return fmt.Errorf("assign tenants: %w", err)
	}
	return nil
}

// goOnAssigning makes the assignments that a process died over: those that are
// there when this one loads for the first time. Later ones are being made.
func (s *Store) goOnAssigning(ctx context.Context) error {
	s.assigning.Lock()
	defer s.assigning.Unlock()
	if s.resumed {
		return nil
	}
	var texts []string
	err := store.Each(ctx, s, "SELECT value FROM meta WHERE key = '"+unassigned+"'", nil, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		texts = append(texts, text)
		return err
	})
	for _, text := range texts {
		var as []store.Assignment
		if err == nil {
			err = json.Unmarshal([]byte(text), &as)
		}
		if err == nil {
			err = s.assign(ctx, as)
		}
		if err == nil {
			_, err = s.db.ExecContext(ctx, "DELETE FROM meta WHERE key = '"+unassigned+"' AND value = ?", text)
		}
	}
	if err != nil {
		return fmt.Errorf("assign tenants, as a process before was about to: %w", err)
	}
	s.resumed = true
	return nil
}

// rowsAtOnce is how many rows one statement changes or removes at most. It is a
// variable for tests.
var rowsAtOnce int64 = 1 << 20

func (s *Store) assign(ctx context.Context, as []store.Assignment) error {
	for _, w := range store.Ways(as) {
		q := fmt.Sprintf("UPDATE midwatch.main.events SET tenant = %s, flags = flags | %d WHERE coalesce(tenant, '') = %s AND file BETWEEN %d AND %d AND file IN (%s)",
			quote(w.To), event.FlagTenantInferred, quote(w.From), w.Files[0], w.Files[len(w.Files)-1], w.List())
		if err := s.inParts(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// inParts runs a statement that changes events, and whose condition may go on,
// for some rows after the others.
func (s *Store) inParts(ctx context.Context, q string) error {
	var last sql.NullInt64
	if err := s.db.QueryRowContext(ctx, "SELECT max(rowid) FROM midwatch.main.events").Scan(&last); err != nil || !last.Valid {
		return err
	}
	changed := int64(0)
	for from := int64(0); from <= last.Int64; from += rowsAtOnce {
		res, err := s.db.ExecContext(ctx, fmt.Sprintf("%s AND rowid >= %d AND rowid < %d", q, from, from+rowsAtOnce))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if changed += n; changed >= rowsAtOnce {
			changed = 0
			if err := s.checkpoint(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
