package clickhouse

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"midwatch/store"
	"midwatch/store/dialect"
)

// examples is how many files or ids a problem names.
const examples = 5

const restore = "rows were removed or added behind midwatch's back: take the store from a backup, or read the logs into a new database"

// Check implements [store.Keeper].
func (s *Store) Check(ctx context.Context) ([]store.Problem, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	if out, err := s.checkTables(ctx); err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	} else if len(out) > 0 {
		return out, nil // what the tables hold cannot be asked then
	}
	out, err := s.checkLoads(ctx)
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	files, err := s.accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	events, err := s.perFile(ctx, "events")
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	rejects, err := s.perFile(ctx, "rejects")
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	keep, err := s.retention(ctx)
	var now time.Time
	if err == nil {
		err = s.again(ctx, func() error { return s.db.QueryRowContext(ctx, "SELECT now64(3, 'UTC')").Scan(&now) })
	}
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	var wrong, several, rejected []string
	known := map[int64]bool{}
	for _, f := range files {
		if known[f.file] {
			several = append(several, fmt.Sprintf("file %d", f.file))
			continue
		}
		known[f.file] = true
		if n := events[f.file]; n != f.events && !(n < f.events && aged(f.first, keep, now)) {
			wrong = append(wrong, fmt.Sprintf("%s (file %d): %d events, its account says %d", f.path, f.file, events[f.file], f.events))
		}
		if n := rejects[f.file]; n > f.rejects || n < min(f.rejects, rejectRows) {
			rejected = append(rejected, fmt.Sprintf("%s (file %d): %d rows, its account says %d", f.path, f.file, n, f.rejects))
		}
	}
	without := func(counts map[int64]int64) (out []string) {
		for f, n := range counts {
			if !known[f] {
				out = append(out, fmt.Sprintf("file %d: %d", f, n))
			}
		}
		slices.Sort(out)
		return out
	}
	twice, err := s.list(ctx, "SELECT CAST(id AS VARCHAR) || ': ' || CAST(count(*) AS VARCHAR) || ' times' FROM events GROUP BY id HAVING count(*) > 1 ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	// A table ages by itself: items may outlive their event by a merge.
	orphans, err := s.list(ctx, "SELECT CAST(event AS VARCHAR) FROM items WHERE event NOT IN (SELECT id FROM events) GROUP BY event ORDER BY event")
	if keep > 0 {
		orphans = nil
	}
	if err != nil {
		return nil, fmt.Errorf("check the store: %w", explain(err))
	}
	for _, c := range []struct {
		what  string
		lines []string
	}{
		{"%d files whose events are not as many as when they were read: %s", wrong},
		{"%d files have events and no account: %s", without(events)},
		{"%d ordinals stand for several files: %s", several},
		{"%d event ids occur more than once: %s", twice},
		{"%d events that do not exist have items: %s", orphans},
		{"%d files whose rejected records are not as many as when they were read: %s", rejected},
		{"%d files have rejected records and no account: %s", without(rejects)},
	} {
		if n := len(c.lines); n > 0 {
			lines := c.lines
			if n > examples {
				lines = append(slices.Clone(lines[:examples]), fmt.Sprintf("and %d more", n-examples))
			}
			out = append(out, store.Problem{What: fmt.Sprintf(c.what, n, strings.Join(lines, "; ")), Do: restore})
		}
	}
	return out, nil
}

// checkTables looks for tables that somebody altered, on every node.
func (s *Store) checkTables(ctx context.Context) (out []store.Problem, err error) {
	for _, n := range s.nodes {
		err := s.compareOn(ctx, n.db)
		switch {
		case errors.Is(err, store.ErrSchema) && len(s.nodes) > 1:
			out = append(out, store.Problem{What: "node " + n.addr + ": " + err.Error(), Do: "undo the change there, or read the logs into a new database"})
		case errors.Is(err, store.ErrSchema):
			out = append(out, store.Problem{What: err.Error(), Do: "undo the change, or read the logs into a new database"})
		case err != nil:
			return nil, fmt.Errorf("node %s: %w", n.addr, err)
		}
	}
	return out, nil
}

// checkLoads looks at what loads left.
func (s *Store) checkLoads(ctx context.Context) ([]store.Problem, error) {
	loads, err := s.loads(ctx)
	if err != nil {
		return nil, err
	}
	var out []store.Problem
	unfinished, unsettled := 0, 0
	for _, r := range loads {
		switch {
		case r.state < loaded && r.silent > 2*s.pace.deadAfter: // younger ones the next load buries on its way
			unfinished++
		case r.state == loaded && r.silent > 2*s.pace.deadAfter:
			unsettled++
		}
	}
	if unfinished > 0 {
		out = append(out, store.Problem{What: fmt.Sprintf("%d loads ended before they were complete; nothing of them counts, but it takes space", unfinished), Do: "`midwatch store prune` removes it, and so does the next `midwatch ingest`; read their files again"})
	}
	if unsettled > 0 {
		out = append(out, store.Problem{What: fmt.Sprintf("%d loads are complete, but nobody looked whether another load wrote the same events at the same time", unsettled), Do: "open the store for writing once: `midwatch ingest`, or `midwatch store prune`"})
	}
	return out, nil
}

// account is what table files says of a file.
type account struct {
	file, events, rejects int64
	path                  string
	first                 time.Time // of its events
}

func (s *Store) accounts(ctx context.Context) ([]account, error) {
	var out []account
	err := store.Each(ctx, s, "SELECT file, coalesce(path, ''), coalesce(events, 0), coalesce(manifest, '') FROM files ORDER BY file", nil, func(scan func(...any) error) error {
		var a account
		var manifest string
		if err := scan(&a.file, &a.path, &a.events, &manifest); err != nil {
			return err
		}
		var m struct {
			First    time.Time `json:"first"`
			Rejected []struct {
				Count int64 `json:"count"`
			} `json:"rejected"`
		}
		if manifest != "" {
			if err := json.Unmarshal([]byte(manifest), &m); err != nil {
				return fmt.Errorf("the account of file %d (%s): %w", a.file, a.path, err)
			}
		}
		a.first = m.First
		for _, r := range m.Rejected {
			a.rejects += r.Count
		}
		out = append(out, a)
		return nil
	})
	return out, err
}

func (s *Store) perFile(ctx context.Context, table string) (map[int64]int64, error) {
	out := map[int64]int64{}
	err := store.Each(ctx, s, "SELECT file, count(*) FROM "+table+" GROUP BY file", nil, func(scan func(...any) error) error {
		var f, n int64
		err := scan(&f, &n)
		out[f] = n
		return err
	})
	return out, err
}

func (s *Store) list(ctx context.Context, query string) (out []string, err error) {
	err = store.Each(ctx, s, query, nil, func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		out = append(out, line)
		return err
	})
	return out, err
}

// Stats implements [store.Keeper]. Rows are those of complete loads; the sizes
// are of all that lies on the disks.
func (s *Store) Stats(ctx context.Context) ([]store.Size, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, fmt.Errorf("measure the store: %w", explain(err))
	}
	sizes := map[string]*store.Size{}
	columns := map[string]map[string]*store.Size{}
	for _, t := range tables() {
		size := &store.Size{Table: t.name}
		if err := store.Each(ctx, s, "SELECT count(*) FROM "+t.name, nil, func(scan func(...any) error) error { return scan(&size.Rows) }); err != nil {
			return nil, fmt.Errorf("measure the store: %w", err)
		}
		sizes[t.name], columns[t.name] = size, map[string]*store.Size{}
	}
	// A node is asked for its own: cluster() would need one more right.
	for _, n := range s.nodes {
		err := func() error {
			rows, err := n.db.QueryContext(ctx, "SELECT table, name, toInt64(data_compressed_bytes + marks_bytes), toInt64(data_uncompressed_bytes) FROM system.columns WHERE database = "+dialect.Quote(s.cfg.database))
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var table, column string
				var disk, plain int64
				if err := rows.Scan(&table, &column, &disk, &plain); err != nil {
					return err
				}
				name := strings.TrimSuffix(table, "_local")
				if sizes[name] == nil || table != strings.TrimPrefix(s.cfg.local(name), s.cfg.database+".") {
					continue
				}
				c := columns[name][column]
				if c == nil {
					c = &store.Size{Table: name, Column: column, Rows: sizes[name].Rows}
					columns[name][column] = c
				}
				c.Disk += disk
				c.Plain += plain
			}
			if err := rows.Err(); err != nil {
				return err
			}
			// Small parts keep their columns in one file: the server knows
			// their size together only.
			for _, t := range tables() {
				var disk, plain int64
				err := n.db.QueryRowContext(ctx, "SELECT toInt64(coalesce(total_bytes, 0)), toInt64(coalesce(total_bytes_uncompressed, 0)) FROM system.tables WHERE database = "+dialect.Quote(s.cfg.database)+
					" AND name = "+dialect.Quote(strings.TrimPrefix(s.cfg.local(t.name), s.cfg.database+"."))).Scan(&disk, &plain)
				if err != nil {
					return err
				}
				sizes[t.name].Disk += disk
				sizes[t.name].Plain += plain
			}
			return nil
		}()
		if err != nil {
			return nil, fmt.Errorf("measure the store: node %s: %w", n.addr, explain(err))
		}
	}
	var order []*store.Size
	for _, t := range tables() {
		order = append(order, sizes[t.name])
	}
	bySize := func(a, b *store.Size) int { return int((b.Disk - a.Disk) >> 10) }
	slices.SortStableFunc(order, bySize)
	var out []store.Size
	for _, t := range order {
		out = append(out, *t)
		var cs []*store.Size
		for _, c := range columns[t.Table] {
			cs = append(cs, c)
		}
		slices.SortFunc(cs, func(a, b *store.Size) int {
			if a.Disk != b.Disk {
				return int(b.Disk - a.Disk)
			}
			return strings.Compare(a.Column, b.Column)
		})
		for _, c := range cs {
			out = append(out, *c)
		}
	}
	return out, nil
}

// pruning is a prune that has begun: what it will leave. It is kept in table
// meta until it is done, so that one that dies in between is ended by the next
// who opens the store for writing. Its numbers are absolute: it may be done
// twice.
type pruning struct {
	Before time.Time       `json:"before"`
	Loads  string          `json:"loads"`  // condition on column load: a load that is under way is left alone
	Events map[int64]int64 `json:"events"` // of a file, afterwards
}

// Prune implements [store.Keeper].
func (s *Store) Prune(ctx context.Context, before time.Time) (store.Pruned, error) {
	var out store.Pruned
	select {
	case <-s.load:
		defer func() { s.load <- struct{}{} }()
	case <-ctx.Done():
		return out, fmt.Errorf("clickhouse: a load is open: %w", context.Cause(ctx))
	}
	loads, err := s.loads(ctx)
	if err == nil {
		out.Loads, err = s.bury(ctx, loads)
	}
	if err == nil {
		err = s.settleAll(ctx)
	}
	if err == nil {
		err = s.refresh(ctx)
	}
	if err != nil {
		return out, fmt.Errorf("prune: %w; nothing was removed", explain(err))
	}
	p := pruning{Before: before, Loads: s.visible, Events: map[int64]int64{}}
	gone := map[int64]int64{}
	err = store.Each(ctx, s, "SELECT file, count(*) FROM events WHERE time < ? GROUP BY file", []any{before}, func(scan func(...any) error) error {
		var f, n int64
		err := scan(&f, &n)
		gone[f] = n
		out.Events += n
		return err
	})
	if err == nil {
		err = store.Each(ctx, s, "SELECT count(*) FROM items WHERE event IN (SELECT id FROM events WHERE time < ?)", []any{before}, func(scan func(...any) error) error {
			return scan(&out.Items)
		})
	}
	var accounts []account
	if err == nil {
		accounts, err = s.accounts(ctx)
	}
	if err != nil {
		return store.Pruned{Loads: out.Loads}, fmt.Errorf("prune: %w; nothing was removed", explain(err))
	}
	if len(gone) == 0 {
		return out, nil
	}
	// What is left is not counted anew but reckoned from what was, so that a
	// store that had lost rows does not come out of this with a clean account.
	for _, a := range accounts {
		if n := gone[a.file]; n > 0 {
			p.Events[a.file] = a.events - n
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return store.Pruned{}, err
	}
	if err := s.write(ctx, "INSERT INTO meta (key, value) VALUES ('prune', "+dialect.Quote(string(text))+")"); err != nil {
		return store.Pruned{Loads: out.Loads}, fmt.Errorf("prune: %w; nothing was removed", explain(err))
	}
	if err := s.endPrune(ctx); err != nil {
		return store.Pruned{}, fmt.Errorf("prune: %w; run it again", explain(err))
	}
	return out, nil
}

// endPrune does what a prune said it would, if one did.
func (s *Store) endPrune(ctx context.Context) error {
	var text sql.NullString
	if err := s.again(ctx, func() error {
		return s.db.QueryRowContext(ctx, "SELECT argMax(value, at) FROM meta WHERE key = 'prune'").Scan(&text)
	}); err != nil || text.String == "" {
		return err
	}
	var p pruning
	if err := json.Unmarshal([]byte(text.String), &p); err != nil {
		return fmt.Errorf("table meta: what is to be pruned cannot be read: %w", err)
	}
	when, err := dialect.ClickHouse("time < ?", p.Before)
	if err != nil {
		return err
	}
	when += " AND (" + p.Loads + ")"
	events, items, files := s.cfg.local("events"), s.cfg.local("items"), s.cfg.local("files")
	type change struct{ at, what string }
	changes := []change{{items, "DELETE WHERE at" + strings.TrimPrefix(when, "time")}, {events, "DELETE WHERE " + when}}
	var f, n []string
	for _, file := range slices.Sorted(maps.Keys(p.Events)) {
		f, n = append(f, fmt.Sprint(file)), append(n, fmt.Sprint(p.Events[file]))
	}
	if len(f) > 0 {
		changes = append(changes, change{files, fmt.Sprintf("UPDATE events = transform(toInt64(file), [%s]::Array(Int64), [%s]::Array(Int64), events) WHERE file IN (%s)", strings.Join(f, ", "), strings.Join(n, ", "), strings.Join(f, ", "))})
	}
	for _, c := range changes {
		if err := s.everywhere(ctx, onCluster("ALTER TABLE "+c.at+" "+c.what+" SETTINGS mutations_sync = 2", c.at)); err != nil {
			return err
		}
	}
	return s.write(ctx, "INSERT INTO meta (key, value) VALUES ('prune', '')")
}

// Migrate brings a store to this version of the schema. A step that was done
// already does nothing, so that a migration that died is run again.
func Migrate(ctx context.Context, o Options) (from, to string, err error) {
	cfg, err := o.config()
	if err != nil {
		return "", "", err
	}
	s := &Store{opts: o, cfg: cfg}
	s.db = newDB(cfg)
	defer s.close() //nolint:errcheck // what matters was written
	if from, err = func() (string, error) {
		if err := s.hello(ctx); err != nil {
			return "", err
		}
		if err := s.findNodes(ctx); err != nil {
			return "", err
		}
		return s.version(ctx)
	}(); err != nil {
		return "", "", fmt.Errorf("migrate %s: %w", cfg.label, explain(err))
	}
	if from == "" {
		return "", "", fmt.Errorf("migrate %s: %w: database %s has none of its tables", cfg.label, store.ErrSchema, cfg.database)
	}
	if err := s.migrate(ctx, from); err != nil {
		return from, "", fmt.Errorf("migrate %s from schema version %s: %w; run it again", cfg.label, from, explain(err))
	}
	return from, schemaVersion, nil
}

var _ store.Keeper = (*Store)(nil)
