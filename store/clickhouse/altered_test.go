package clickhouse

import (
	"errors"
	"strings"
	"testing"
	"time"

	"midwatch/store"
)

// run runs statements on a node.
func (p place) run(t *testing.T, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := p.node.Query(t.Context(), strings.ReplaceAll(q, "DB", p.database)); err != nil {
			t.Fatal(err)
		}
	}
}

// inventory is all that a database holds, on all nodes.
func (p place) inventory(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, n := range p.nodes {
		out, err := n.Query(t.Context(), "SELECT name, engine_full, total_rows FROM system.tables WHERE database = '"+p.database+"' ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(out + "\n")
	}
	return b.String()
}

// Tables that are not as they should be are refused, with what to do, and
// nothing is changed.
func TestAlteredTables(t *testing.T) {
	c := servers.Start(t)
	for name, x := range map[string]struct {
		made    bool // by Midwatch, before; and over the cluster
		over    bool
		opened  bool // over the cluster
		by      []string
		want    string
		mending bool // what the error says to run mends it
	}{
		"a column is gone":              {made: true, by: []string{"ALTER TABLE DB.events DROP COLUMN actor"}, want: "lost its column actor", mending: true},
		"a column of another type":      {made: true, by: []string{"ALTER TABLE DB.items MODIFY COLUMN size Nullable(Int32)"}, want: "column size of table", mending: true},
		"a table is gone":               {made: true, by: []string{"DROP TABLE DB.items SYNC"}, want: "items is missing"},
		"a shard's table is gone":       {made: true, over: true, opened: true, by: []string{"DROP TABLE DB.items_local SYNC"}, want: "items_local is missing"},
		"a shard's column is gone":      {made: true, over: true, opened: true, by: []string{"ALTER TABLE DB.events_local DROP COLUMN actor"}, want: "events_local has lost its column actor"},
		"opened without its cluster":    {made: true, over: true, want: "add cluster=NAME"},
		"opened over a cluster":         {made: true, opened: true, want: "leave out cluster=midwatch"},
		"somebody else's meta":          {by: []string{"CREATE TABLE DB.meta (id UInt64, name String) ENGINE = MergeTree ORDER BY id", "INSERT INTO DB.meta VALUES (1, 'x')"}, want: "is not Midwatch's"},
		"somebody else's meta, similar": {by: []string{"CREATE TABLE DB.meta (key UInt64, value UInt64, at DateTime) ENGINE = MergeTree ORDER BY key"}, want: "is not Midwatch's"},
		"somebody else's events":        {by: []string{"CREATE TABLE DB.events (id UInt64) ENGINE = MergeTree ORDER BY id"}, want: "is not Midwatch's"},
		"somebody else's view":          {by: []string{"CREATE VIEW DB.events AS SELECT 1 AS id"}, want: "is not Midwatch's"},
		"a newer version":               {made: true, by: []string{"INSERT INTO DB.meta (key, value, at) VALUES ('schema', '99', now64(3) + 1)"}, want: "use the newer program"},
		"an older version":              {made: true, by: []string{"INSERT INTO DB.meta (key, value, at) VALUES ('schema', '0', now64(3) + 1)"}, want: "midwatch store migrate"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c, x.over)
			if x.made {
				s := p.open(t, "", nil)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			p.run(t, x.by...)
			before := p.inventory(t)
			p.cluster = x.opened
			s, err := Open(t.Context(), Options{URL: p.url(""), Patience: time.Second})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), p.database) {
				t.Errorf("%v; want %q", err, x.want)
			}
			if after := p.inventory(t); after != before {
				t.Errorf("the database was changed:\n%s\n%s", before, after)
			}
			if !x.mending || err == nil {
				return
			}
			_, statement, _ := strings.Cut(err.Error(), ": ALTER TABLE ")
			statement, _, _ = strings.Cut(statement, " brings it back")
			statement, _, _ = strings.Cut(statement, " undoes that")
			p.run(t, "ALTER TABLE "+statement)
			p.open(t, "", nil)
		})
	}
}

// What one who made the tables and died left is completed.
func TestTablesAreCompleted(t *testing.T) {
	both(t, servers.Start(t), func(t *testing.T, p place) {
		if err := p.open(t, "", nil).Close(); err != nil {
			t.Fatal(err)
		}
		p.run(t, "DROP TABLE DB.meta SYNC", "DROP TABLE DB.files SYNC")
		if err := loadEvents(t.Context(), p.open(t, "", nil), 10); err != nil {
			t.Fatal(err)
		}
		p.holds(t, 10)
	})
}

// Somebody took the tables what a repeated block is known by, and a block is
// repeated: the load does not count.
func TestABlockIsDoubled(t *testing.T) {
	const n = 1000
	p := newPlace(t, servers.Start(t), false)
	px := newProxy(t, p.node.Addr())
	s := p.open(t, px.addr(), nil)
	p.run(t, "ALTER TABLE DB.events MODIFY SETTING non_replicated_deduplication_window = 0")
	l, err := begun(t.Context(), s, n)
	if err != nil {
		t.Fatal(err)
	}
	c := px.order(cut{up: blockSize(n) / 2, then: func() {
		for range 200 {
			if p.lies(t, "events") == n {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("the block was never stored")
	}})
	if err := l.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "2000 rows of this load, and 1000 were written") {
		t.Errorf("commit: %v", err)
	}
	<-c.done
	if err := l.Rollback(); err != nil {
		t.Error(err)
	}
	p.holds(t, 0)
	if err := loadEvents(t.Context(), s, n); err != nil {
		t.Fatal(err)
	}
	p.holds(t, n)
}

func TestAnotherCluster(t *testing.T) {
	s := &Store{cfg: &config{database: "d", cluster: "a-b"}}
	events := tables()[0]
	have := shape{"Distributed('a-b', 'd', 'events_local', sipHash64(id))", map[string]string{}}
	for _, c := range events.columns {
		have.columns[c.name] = c.kind
	}
	if err := s.altered(events, "events", have); err != nil {
		t.Error(err)
	}
	have.engine = "Distributed('a-b2', 'd', 'events_local', sipHash64(id))"
	if err := s.altered(events, "events", have); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "over another cluster") {
		t.Error(err)
	}
}

// A node that is not asked first is checked too.
func TestAnAlteredShard(t *testing.T) {
	p := newPlace(t, servers.Start(t), true)
	s := p.open(t, "", func(o *Options) { o.Patience = time.Second })
	if err := loadEvents(t.Context(), s, 100); err != nil {
		t.Fatal(err)
	}
	second := p
	second.node = p.nodes[1]
	for _, x := range []struct{ by, what, question string }{
		{"ALTER TABLE DB.events_local DROP COLUMN actor", "lost its column actor", "SELECT max(actor) FROM events"},
		{"DROP TABLE DB.items_local SYNC", "items_local is missing", "SELECT count(*) FROM items"},
	} {
		second.run(t, x.by)
		err := store.Each(t.Context(), s, x.question, nil, func(func(...any) error) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "midwatch store check") || strings.Contains(err.Error(), "@ 0x") {
			t.Errorf("%s: %v", x.question, err)
		}
		ps, err := s.Check(t.Context())
		if err != nil || len(ps) != 1 || !strings.Contains(ps[0].What, x.what) || !strings.Contains(ps[0].What, p.nodes[1].Addr()) {
			t.Errorf("%s: problems %v, %v", x.by, ps, err)
		}
		if x.what == "lost its column actor" {
			second.run(t, "ALTER TABLE DB.events_local ADD COLUMN actor Nullable(String)")
		}
	}
}
