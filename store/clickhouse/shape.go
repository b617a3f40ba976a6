package clickhouse

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"midwatch/store"
	"midwatch/store/dialect"
)

// shape is a table as it is.
type shape struct {
	engine  string // with its arguments
	columns map[string]string
}

// shapes reads what tables the database has on a node, as far as the user may
// see them.
func (s *Store) shapes(ctx context.Context, db *sql.DB) (map[string]shape, error) {
	out := map[string]shape{}
	read := func(q string, fn func(table, a, b string)) error {
		rows, err := db.QueryContext(ctx, q+" WHERE database = "+dialect.Quote(s.cfg.database))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var table, a, b string
			if err := rows.Scan(&table, &a, &b); err != nil {
				return err
			}
			fn(table, a, b)
		}
		return rows.Err()
	}
	err := read("SELECT name, engine, engine_full FROM system.tables", func(table, engine, full string) {
		out[table] = shape{full, map[string]string{}}
		if full == "" { // views and the like
			out[table] = shape{engine, map[string]string{}}
		}
	})
	if err != nil {
		return nil, err
	}
	return out, read("SELECT table, name, type FROM system.columns", func(table, column, kind string) {
		if t, ok := out[table]; ok {
			t.columns[column] = kind
		}
	})
}

// names are what a table is called in the database, its Distributed one last.
func (s *Store) names(t table) []string {
	if s.cfg.cluster == "" {
		return []string{t.name}
	}
	return []string{t.name + "_local", t.name}
}

// version is the version of the tables; empty when there are none. It asks a
// table only if it is ours.
func (s *Store) version(ctx context.Context) (string, error) {
	have, err := s.shapes(ctx, s.db)
	if err != nil {
		return "", err
	}
	for _, t := range tables() {
		if t.name != "meta" {
			continue
		}
		for _, n := range s.names(t) {
			if _, ok := have[n]; !ok {
				continue
			}
			if err := s.foreign(t, n, have[n]); err != nil {
				return "", err
			}
		}
	}
	if _, ok := have["meta"]; !ok {
		// Where one that made the tables died they are completed, but nothing is
		// made beside tables of somebody else's.
		for _, t := range tables() {
			for _, n := range s.names(t) {
				if h, ok := have[n]; ok {
					if err := s.foreign(t, n, h); err != nil {
						return "", err
					}
				}
			}
		}
		return "", nil
	}
	var v sql.NullString
	err = s.db.QueryRowContext(ctx, "SELECT argMax(value, at) FROM meta WHERE key = 'schema'").Scan(&v)
	return v.String, err
}

// foreign reports a table that has the name of one of ours and is not.
func (s *Store) foreign(t table, name string, have shape) error {
	if err := s.altered(t, name, have); err != nil {
		return fmt.Errorf("database %s has a table %s that is not Midwatch's, or was changed; nothing was touched, name another database in the URL: %w", s.cfg.database, name, err)
	}
	return nil
}

// compare looks for tables that somebody altered, on the node that is asked.
func (s *Store) compare(ctx context.Context) error { return s.compareOn(ctx, s.db) }

func (s *Store) compareOn(ctx context.Context, db *sql.DB) error {
	have, err := s.shapes(ctx, db)
	if err != nil {
		return err
	}
	for _, t := range tables() {
		for _, n := range s.names(t) {
			h, ok := have[n]
			if !ok {
				return fmt.Errorf("%w: table %s.%s is missing, or the user may not see it: grant SELECT on it, or load the logs into a new database", store.ErrSchema, s.cfg.database, n)
			}
			if err := s.altered(t, n, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// altered says in what a table differs from what it should be.
func (s *Store) altered(t table, name string, have shape) error {
	full := s.cfg.database + "." + name
	over := strings.HasPrefix(have.engine, "Distributed(")
	switch {
	case over && s.cfg.cluster == "":
		return fmt.Errorf("%w: table %s lies over a cluster: add cluster=NAME to the URL, with the name in its definition (SHOW CREATE TABLE %s)", store.ErrSchema, full, full)
	case !over && s.cfg.cluster != "" && name == t.name:
		return fmt.Errorf("%w: table %s was made without a cluster: leave out cluster=%s, or name another database", store.ErrSchema, full, s.cfg.cluster)
	case over && name == t.name && !strings.HasPrefix(have.engine, "Distributed("+dialect.Quote(s.cfg.cluster)+","):
		return fmt.Errorf("%w: table %s lies over another cluster than %s, with the definition %s", store.ErrSchema, full, s.cfg.cluster, have.engine)
	case !over && !strings.Contains(have.engine, "MergeTree"):
		return fmt.Errorf("%w: table %s is no table of Midwatch's, but %s", store.ErrSchema, full, have.engine)
	}
	for _, c := range t.columns {
		if c.name == "INDEX" {
			continue
		}
		want := strings.TrimSuffix(c.kind, " DEFAULT now64(3)")
		switch k, ok := have.columns[c.name]; {
		case !ok:
			return fmt.Errorf("%w: table %s has lost its column %s: ALTER TABLE %s ADD COLUMN %s brings it back empty; loading the logs into a new database brings it back whole", store.ErrSchema, full, c.name, full, c.def)
		case k != want:
			return fmt.Errorf("%w: column %s of table %s is %s and should be %s: ALTER TABLE %s MODIFY COLUMN %s undoes that where nothing was lost by it; loading the logs into a new database does in any case", store.ErrSchema, c.name, full, k, want, full, c.def)
		}
	}
	return nil
}
