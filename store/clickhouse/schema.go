package clickhouse

import (
	"fmt"
	"strings"

	"midwatch/event"
	"midwatch/store/dialect"
)

// schemaVersion is kept in table meta. It counts the shapes that these tables
// have had, whatever the other engines' numbers are.
const schemaVersion = "1"

// table is one of the store's tables.
type table struct {
	name    string
	columns []column
	// shard is the sharding key. Events lie with their items; what is small
	// lies on one shard, so that there is one order in which it is written.
	shard string
	tail  string // engine, order, partitions, settings
}

type column struct{ name, def, kind string }

// everywhere else an absent value is NULL; these always have one.
func always() map[string]bool {
	return map[string]bool{"events.id": true, "events.source": true, "events.flags": true, "events.file": true, "events.line": true, "events.pos": true, "events.length": true,
		"items.event": true, "items.kind": true, "rejects.file": true, "rejects.line": true, "rejects.pos": true, "rejects.length": true, "rejects.reason": true, "rejects.head": true,
		"files.file": true}
}

// few lists the columns with few different values: a dictionary makes them
// small and quick to group by.
func few() map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields("source format tenant class operation workload outcome code reason actor_kind app_id app_name resource_id resource_name as_org ip_kind country client protocol logon_type access target_kind permissions kind") {
		m[n] = true
	}
	return m
}

func columns(table string, cols []event.Column) []column {
	always, few := always(), few()
	var out []column
	for _, c := range cols {
		var kind, codec string
		switch c.Type {
		case event.TypeInt:
			kind = "Int32"
		case event.TypeBigInt:
			kind = "Int64"
		case event.TypeBool:
			kind = "Bool"
		case event.TypeTimestamp:
			kind, codec = "DateTime64(6, 'UTC')", "Delta, ZSTD(1)"
		case event.TypeUUID:
			// Text: ClickHouse sorts its UUIDs by their second half, and the
			// order of events of one moment is that of their ids.
			kind, codec = "String", "ZSTD(1)"
		case event.TypeRaw, event.TypeBytes:
			kind, codec = "String", "ZSTD(1)"
		default:
			kind = "String"
		}
		if !always[table+"."+c.Name] {
			kind = "Nullable(" + kind + ")"
		}
		if few[c.Name] && c.Type == event.TypeText {
			kind = "LowCardinality(" + kind + ")"
		}
		def := c.Name + " " + kind
		if codec != "" {
			def += " CODEC(" + codec + ")"
		}
		out = append(out, column{c.Name, def, kind})
	}
	// Which load wrote the row: a load's rows count when it is complete.
	return append(out, column{"load", "load UInt32", "UInt32"})
}

func plain(def string) column {
	name, kind, _ := strings.Cut(def, " ")
	return column{name, def, kind}
}

// tables lists the store's tables.
func tables() []table {
	// A block that is sent again after an error is recognized by its token.
	const settings = "SETTINGS non_replicated_deduplication_window = 10000"
	// A sign of life looks like the one before, and is none if it is taken for it.
	const repeated = "SETTINGS non_replicated_deduplication_window = 0"
	// Without a time a row lies in a partition of its own, hence nullable keys.
	const events = settings + ", allow_nullable_key = 1"
	// Events that name no tenant by its GUID lie apart: they may be assigned one
	// later, which rewrites the parts that they lie in.
	return []table{
		{"events", append(columns("events", event.Columns()), plain("nameless UInt8"), plain("INDEX ids id TYPE bloom_filter(0.01) GRANULARITY 2")), "sipHash64(id)",
			"ENGINE = MergeTree PARTITION BY (toYYYYMM(time), nameless) ORDER BY (class, time) " + events},
		// at is the event's time under another name, so that a question that joins
		// the two can say time.
		{"items", append(columns("items", event.ItemColumns()), plain("at Nullable(DateTime64(6, 'UTC'))")), "sipHash64(event)",
			"ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (event) " + events},
		{"rejects", columns("rejects", event.RejectColumns()), "0", "ENGINE = MergeTree ORDER BY (file, line) " + settings},
		{"files", columns("files", event.FileColumns()), "0", "ENGINE = MergeTree ORDER BY file " + settings},
		{"loads", []column{plain("load UInt32"), plain("holder String"), plain("state UInt8"), plain("first Int32"), plain("ticket UInt32"), plain("at DateTime64(3, 'UTC') DEFAULT now64(3)")}, "0",
			"ENGINE = MergeTree ORDER BY (load, holder) " + repeated},
		{"meta", []column{plain("key String"), plain("value String"), plain("at DateTime64(3, 'UTC') DEFAULT now64(3)")}, "0", "ENGINE = MergeTree ORDER BY key " + repeated},
	}
}

// local is what a table is called on a node: beside a Distributed table it
// needs a name of its own.
func (c *config) local(table string) string {
	if c.cluster != "" {
		return c.database + "." + table + "_local"
	}
	return c.database + "." + table
}

// tuned lists settings of tables that newer servers know. They cost nothing to
// leave out: what is inserted comes in large blocks of many columns, for which
// a file and a megabyte of buffer for each column is most of the work.
func tuned() map[string]string {
	return map[string]string{
		"min_bytes_for_wide_part":                       "268435456",
		"min_columns_to_activate_adaptive_write_buffer": "1",
		"auto_statistics_types":                         "''",
	}
}

// ddl makes a table. Names are never taken from anywhere but this file and the
// URL, whose names are checked.
func (c *config) ddl(t table, tune string) []string {
	defs := make([]string, len(t.columns))
	for i, col := range t.columns {
		defs[i] = col.def
	}
	out := []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s) %s", c.local(t.name), strings.Join(defs, ", "), t.tail+tune)}
	if c.cluster != "" {
		out = append(out, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s AS %s ENGINE = Distributed(%s, %s, %s_local, %s)",
			c.database, t.name, c.local(t.name), dialect.Quote(c.cluster), c.database, t.name, t.shard))
	}
	return out
}
