package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"midwatch/event"
	"midwatch/store"
)

// schemaVersion is that of the tables that [ddl] makes; the database keeps its
// own in table meta.
const schemaVersion = "2"

// migration brings a database from one version to the next. Its statements
// are written out: they must do the same in ten years, whatever the columns in
// package event are by then.
type migration struct {
	from, to string
	steps    []string
}

// migrations lists the migrations in their order. They are never changed, only
// added to.
func migrations() []migration {
	return []migration{
		{"1", "2", []string{ // table files has the whole account of a file
			"ALTER TABLE files ADD COLUMN records BIGINT",
			"ALTER TABLE files ADD COLUMN events BIGINT",
			"ALTER TABLE files ADD COLUMN duplicates BIGINT",
			"ALTER TABLE files ADD COLUMN manifest VARCHAR",
			"UPDATE files SET events = (SELECT count(*) FROM events e WHERE e.file = files.file)",
		}},
	}
}

// schema sees to it that the tables are of this version.
func (s *Store) schema(ctx context.Context, conn *sql.Conn) error {
	if err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'schema'").Scan(&s.from); err != nil {
		return fmt.Errorf("%w: a database of something else: %w", store.ErrSchema, err)
	}
	steps, err := upgrade(s.from, s.path)
	switch {
	case err != nil:
		return err
	case len(steps) > 0 && s.opts.ReadOnly && s.opts.Old:
		return nil
	case len(steps) > 0 && !s.opts.Migrate:
		return fmt.Errorf("%w: its schema is version %s, this is version %s; run `midwatch store migrate --store %s`", store.ErrSchema, s.from, schemaVersion, s.path)
	}
	if s.opts.Migrate && len(s.opts.Accounts) > 0 {
		lacking := 0
		if len(steps) == 0 {
			if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM files WHERE manifest IS NULL").Scan(&lacking); err != nil {
				return err
			}
		}
		if len(steps) > 0 || lacking > 0 {
			steps = append(steps, adopt(s.opts.Accounts)...)
		}
	}
	if len(steps) > 0 {
		if err := transaction(ctx, conn, steps); err != nil {
			return fmt.Errorf("migrate from schema version %s to %s: %w; the store is as it was", s.from, schemaVersion, err)
		}
	}
	return unaltered(ctx, conn)
}

// upgrade lists the statements from a version to this one.
func upgrade(from, where string) (steps []string, err error) {
	for _, m := range migrations() {
		if m.from == from || len(steps) > 0 {
			steps = append(steps, m.steps...)
		}
	}
	if len(steps) > 0 {
		return append(steps, "UPDATE meta SET value = "+quote(schemaVersion)+" WHERE key = 'schema'"), nil
	}
	if from == schemaVersion {
		return nil, nil
	}
	have, err := strconv.Atoi(from)
	if ours, _ := strconv.Atoi(schemaVersion); err == nil && have > ours {
		return nil, fmt.Errorf("%w: its schema is version %s, made by a newer midwatch; this one knows versions up to %s: use the newer one", store.ErrSchema, from, schemaVersion)
	}
	return nil, fmt.Errorf("%w: its schema is version %q, which midwatch never had; is %s the right file?", store.ErrSchema, from, where)
}

// adopt gives files the accounts that the store does not have.
func adopt(accounts []store.File) (steps []string) {
	for _, f := range accounts {
		steps = append(steps, fmt.Sprintf("UPDATE files SET records = %d, duplicates = %d, manifest = %s WHERE file = %d AND sha256 = %s AND manifest IS NULL",
			f.Records, f.Duplicates, quote(f.Manifest), f.Ordinal, quote(f.SHA256)))
	}
	return steps
}

// transaction runs statements, all or none.
func transaction(ctx context.Context, conn *sql.Conn, steps []string) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, q := range steps {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// Migrate brings the database at path to this version of the schema, in one
// transaction: a migration that dies leaves the old version. It takes over the
// accounts of files that the store does not have ([Options]).
func Migrate(path string, accounts []store.File) (from, to string, err error) {
	s, err := Open(path, Options{Migrate: true, Accounts: accounts})
	if err != nil {
		return "", "", err
	}
	return s.from, schemaVersion, s.Close()
}

// unaltered checks that the tables have the columns of this version, in their
// order: the appender goes by it.
func unaltered(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'midwatch' ORDER BY table_name, column_index")
	if err != nil {
		return err
	}
	defer rows.Close()
	have := map[string][]string{}
	for rows.Next() {
		var table, name, kind string
		if err := rows.Scan(&table, &name, &kind); err != nil {
			return err
		}
		have[table] = append(have[table], name+" "+kind)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, t := range tables() {
		for i, c := range t.columns {
			kind, _, _ := strings.Cut(sqlType(c.Type), " ")
			want, got := c.Name+" "+kind, "missing"
			if i < len(have[t.name]) {
				got = have[t.name][i]
			}
			if got != want {
				return altered(t.name, fmt.Sprintf("column %d is %s, not %s", i+1, got, want))
			}
		}
		if more := have[t.name][len(t.columns):]; len(more) > 0 {
			return altered(t.name, "it has a further column, "+more[0])
		}
	}
	return nil
}

func altered(table, how string) error {
	return fmt.Errorf("%w: somebody altered table %s: %s; undo that, or read the logs into a new store", store.ErrSchema, table, how)
}

// table is one of the tables that hold evidence.
type table struct {
	name    string
	columns []event.Column
}

func tables() []table {
	return []table{{"events", event.Columns()}, {"items", event.ItemColumns()}, {"rejects", event.RejectColumns()}, {"files", event.FileColumns()}}
}

// ddl makes the tables from the columns' one definition.
func ddl() (steps []string) {
	for _, t := range tables() {
		var cols []string
		for _, c := range t.columns {
			cols = append(cols, c.Name+" "+sqlType(c.Type))
		}
		steps = append(steps, "CREATE TABLE "+t.name+" ("+strings.Join(cols, ", ")+")")
	}
	return append(steps,
		"CREATE TABLE meta (key VARCHAR, value VARCHAR)",
		"INSERT INTO meta VALUES ('schema', "+quote(schemaVersion)+")")
}

func sqlType(t event.Type) string {
	switch t {
	case event.TypeInt:
		return "INTEGER"
	case event.TypeBigInt:
		return "BIGINT"
	case event.TypeBool:
		return "BOOLEAN"
	case event.TypeTimestamp:
		return "TIMESTAMP"
	case event.TypeUUID:
		return "UUID"
	case event.TypeBytes:
		return "BLOB"
	case event.TypeRaw:
		return "VARCHAR USING COMPRESSION zstd"
	}
	return "VARCHAR"
}
