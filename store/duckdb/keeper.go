package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"midwatch/store"
)

// examples is how many files a problem names.
const examples = 5

// Check implements [store.Keeper].
func (s *Store) Check(ctx context.Context) ([]store.Problem, error) {
	var out []store.Problem
	if found, err := s.Unfinished(ctx); err != nil {
		return nil, err
	} else if found {
		out = append(out, store.Problem{What: "a load died while it was committed, and a part of it is here", Do: "read its files again with `midwatch ingest`, or run `midwatch store prune`: both remove the part first"})
	}
	const restore = "rows were removed or added behind midwatch's back: take the store from a copy, or read the logs into a new one"
	for _, c := range []struct{ what, do, query string }{
		{"%d files whose events are not as many as when they were read: %s", restore, `
			SELECT file, printf('%s (file %d): %d events, its account says %d', coalesce(path, ''), file, n, events) AS line FROM (
				SELECT f.file, f.path, f.events, (SELECT count(*) FROM events e WHERE e.file = f.file) AS n FROM files f
			) WHERE n <> events`},
		{"%d files have events and no account: %s", restore, `
			SELECT file, printf('file %d: %d events', file, count(*)) AS line FROM events
			WHERE file NOT IN (SELECT file FROM files) GROUP BY file`},
		{"%d ordinals stand for several files: %s", restore, `
			SELECT file, printf('file %d: %d files', file, count(*)) AS line FROM files GROUP BY file HAVING count(*) > 1`},
		{"%d event ids occur more than once: %s", restore, `
			SELECT 0 AS file, printf('%s: %d times', id::VARCHAR, count(*)) AS line FROM events GROUP BY id HAVING count(*) > 1`},
		{"%d events that do not exist have items: %s", restore, `
			SELECT 0 AS file, printf('%s: %d items', event::VARCHAR, count(*)) AS line FROM items i
			WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.id = i.event) GROUP BY event`},
		{"%d files whose rejected records are not as many as when they were read: %s", restore, fmt.Sprintf(`
			SELECT file, printf('%%s (file %%d): %%d rows, its account says %%d', coalesce(path, ''), file, n, total) AS line FROM (
				SELECT f.file, f.path, (SELECT count(*) FROM rejects r WHERE r.file = f.file) AS n,
					coalesce(list_sum(CAST(json_extract(f.manifest, '$.rejected[*].count') AS BIGINT[])), 0)::BIGINT AS total
				FROM files f WHERE f.manifest IS NOT NULL
			) WHERE n > total OR n < least(total, %d)`, rejectRows)},
		{"%d files have rejected records and no account: %s", restore, `
			SELECT file, printf('file %d: %d rows', file, count(*)) AS line FROM rejects
			WHERE file NOT IN (SELECT file FROM files) GROUP BY file`},
	} {
		p, err := s.problem(ctx, c.what, c.query)
		if err != nil {
			return nil, fmt.Errorf("check the store: %w", err)
		}
		if p != "" {
			out = append(out, store.Problem{What: p, Do: c.do})
		}
	}
	return out, nil
}

// problem words what a query finds: how many, and the first of them.
func (s *Store) problem(ctx context.Context, what, query string) (string, error) {
	var n int64
	var lines []string
	err := store.Each(ctx, s, "SELECT count(*) OVER () AS n, line FROM ("+query+fmt.Sprintf(") ORDER BY file, line LIMIT %d", examples), nil, func(scan func(...any) error) error {
		var line string
		if err := scan(&n, &line); err != nil {
			return err
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil || n == 0 {
		return "", err
	}
	if n > examples {
		lines = append(lines, fmt.Sprintf("and %d more", n-examples))
	}
	return fmt.Sprintf(what, n, strings.Join(lines, "; ")), nil
}

// Stats implements [store.Keeper]. DuckDB says where in the file a segment of a
// column begins, not where it ends: a segment's size is the distance to the
// next one in its block. Two rows are not of tables: "(free)" is space that
// the next load fills, "(other)" what the file has besides.
func (s *Store) Stats(ctx context.Context) ([]store.Size, error) {
	var total, block, free int64
	err := s.db.QueryRowContext(ctx, "SELECT block_size, free_blocks * block_size FROM pragma_database_size() WHERE database_name = 'midwatch'").Scan(&block, &free)
	if err != nil {
		return nil, fmt.Errorf("measure the store: %w", err)
	}
	for _, path := range []string{s.path, s.path + ".wal"} {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		}
	}
	var segments []string
	sizes := map[string]*store.Size{}
	for _, t := range tables() {
		size := &store.Size{Table: t.name}
		if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&size.Rows); err != nil {
			return nil, fmt.Errorf("measure the store: %w", err)
		}
		sizes[t.name] = size
		segments = append(segments, fmt.Sprintf("SELECT '%s' AS t, column_name AS c, block_id, block_offset, additional_block_ids FROM pragma_storage_info('%s') WHERE block_id >= 0", t.name, t.name))
	}
	columns := map[string][]store.Size{}
	var used int64
	query := fmt.Sprintf(`WITH segments AS (%s), starts AS (
			SELECT t, c, block_id, block_offset FROM segments
			UNION ALL SELECT t, c, unnest(additional_block_ids), 0 FROM segments
		), first AS (SELECT block_id, block_offset, min(t) AS t, min(c) AS c FROM starts GROUP BY block_id, block_offset)
		SELECT t, c, sum(bytes)::BIGINT FROM (
			SELECT t, c, lead(block_offset, 1, %d) OVER (PARTITION BY block_id ORDER BY block_offset) - block_offset AS bytes FROM first
		) GROUP BY t, c ORDER BY 3 DESC, c`, strings.Join(segments, " UNION ALL "), block)
	err = store.Each(ctx, s, query, nil, func(scan func(...any) error) error {
		var c store.Size
		if err := scan(&c.Table, &c.Column, &c.Disk); err != nil {
			return err
		}
		c.Rows = sizes[c.Table].Rows
		sizes[c.Table].Disk += c.Disk
		used += c.Disk
		columns[c.Table] = append(columns[c.Table], c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("measure the store: %w", err)
	}
	var order []*store.Size
	for _, t := range tables() {
		order = append(order, sizes[t.name])
	}
	slices.SortStableFunc(order, func(a, b *store.Size) int { return int(b.Disk>>10 - a.Disk>>10) })
	var out []store.Size
	for _, t := range order {
		out = append(append(out, *t), columns[t.Table]...)
	}
	return append(out, store.Size{Table: "(free)", Disk: free}, store.Size{Table: "(other)", Disk: max(0, total-used-free)}), nil
}

// Prune implements [store.Keeper].
func (s *Store) Prune(ctx context.Context, before time.Time) (store.Pruned, error) {
	var out store.Pruned
	select {
	case <-s.load:
		defer func() { s.load <- struct{}{} }()
	case <-ctx.Done():
		return out, fmt.Errorf("duckdb: a load is open: %w", context.Cause(ctx))
	}
	found, err := s.Recover(ctx)
	if err != nil {
		return out, err
	}
	if found {
		out.Loads = 1
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return out, err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return out, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	old := fmt.Sprintf("FROM events WHERE time < make_timestamp(%d)", before.UnixMicro())
	// What is left is not counted anew but reckoned from what was, so that a
	// store that had lost rows does not come out of this with a clean account.
	_, err = tx.ExecContext(ctx, "UPDATE files SET events = events - x.n FROM (SELECT file, count(*) AS n "+old+" GROUP BY file) x WHERE files.file = x.file")
	for _, d := range []struct {
		n     *int64
		query string
	}{{&out.Items, "DELETE FROM items WHERE event IN (SELECT id " + old + ")"}, {&out.Events, "DELETE " + old}} {
		var res sql.Result
		if err == nil {
			res, err = tx.ExecContext(ctx, d.query)
		}
		if err == nil {
			*d.n, err = res.RowsAffected()
		}
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return store.Pruned{}, fmt.Errorf("prune: %w; nothing was removed", err)
	}
	if out.Events > 0 {
		s.forget()
	}
	// The first checkpoint frees the blocks, the second cuts off those at the
	// end of the file.
	for range 2 {
		if _, err := conn.ExecContext(ctx, "CHECKPOINT midwatch"); err != nil {
			return out, fmt.Errorf("prune: give space back: %w", err)
		}
	}
	return out, nil
}

var _ store.Keeper = (*Store)(nil)
