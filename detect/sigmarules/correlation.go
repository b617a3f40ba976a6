package sigmarules

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/rules"
	"midwatch/sigma"
	"midwatch/store"
)

// correlation asks a correlation: one finding for each group of its group-by,
// which stands on the events with which its windows of time end.
func (a *asker) correlation(ctx context.Context, r rule) ([]casefile.Finding, error) {
	from, err := sigma.Query(r.corr, rules.Schema{})
	if err != nil {
		return nil, err
	}
	groups := make([]string, len(r.corr.GroupBy))
	for i := range groups {
		groups[i] = fmt.Sprintf("g%d", i)
	}
	by := strings.Join(groups, ", ")
	key := "''"
	if by != "" {
		// Lengths keep ("a", "bc") and ("ab", "c") apart.
		var parts []string
		for _, g := range groups {
			parts = append(parts, "CAST(length("+g+") AS VARCHAR)", "':'", g)
		}
		key = "concat(" + strings.Join(parts, ", ") + ")"
	}
	type group struct {
		values      []string
		hits, most  int64
		first, last sql.NullTime
		ids         []string
	}
	of := map[string]*group{}
	var keys []string
	var all int64
	query := fmt.Sprintf("SELECT k, hits, most, first, last, groups%s FROM (SELECT %s AS k, count(*) AS hits, max(n) AS most, min(time) AS first, max(time) AS last, count(*) OVER () AS groups%s FROM (%s) AS c GROUP BY %s) AS g ORDER BY hits DESC, k LIMIT %d",
		after(groups), key, after(groups), from, first(by, "1"), maxActors+1)
	if by == "" { // no groups: one row, also when there are no hits
		query = fmt.Sprintf("SELECT '' AS k, count(*) AS hits, max(n) AS most, min(time) AS first, max(time) AS last, 1 AS groups FROM (%s) AS c HAVING count(*) > 0", from)
	}
	err = store.Each(ctx, a.q, query, nil, func(scan scanner) error {
		g := &group{values: make([]string, len(groups))}
		var k string
		dest := []any{&k, &g.hits, &g.most, &g.first, &g.last, &all}
		for i := range g.values {
			dest = append(dest, &g.values[i])
		}
		if err := scan(dest...); err != nil {
			return err
		}
		of[k] = g
		keys = append(keys, k)
		return nil
	})
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	if all > maxActors {
		f := r.finding("")
		f.Severity = casefile.Info
		limit := float64(maxActors)
		for _, k := range keys {
			g := of[k]
			f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(g.first.Time)), casefile.Later(f.Last, casefile.TimeOf(g.last.Time))
			f.EventCount += g.hits
		}
		f.EventsQuery = "SELECT id FROM (" + from + ") AS c ORDER BY time, id"
		f.Counts = []casefile.Count{{Name: "groups that satisfy the correlation", Value: float64(all), Limit: &limit}}
		f.Title += " (matches too much here to be a sign of anything)"
		f.Why = fmt.Sprintf("Sigma correlation %q (%s) matches too much here to be a sign of anything: %d groups by %s satisfy it; the numbers of records are those of the %d largest. Its author rates it %s.",
			r.Title, r.place(), all, strings.Join(r.corr.GroupBy, ", "), len(keys), level(r.Level))
		finish(&f)
		return []casefile.Finding{f}, nil
	}
	over := "OVER (PARTITION BY k ORDER BY time"
	query = fmt.Sprintf("SELECT k, id FROM (SELECT k, id, time, row_number() %s, id) AS up, row_number() %s DESC, id DESC) AS down FROM (SELECT %s AS k, id, time FROM (%s) AS c) AS q) AS w WHERE up <= %d OR down <= %d ORDER BY k, up",
		over, over, key, from, casefile.MaxEvents/2, casefile.MaxEvents/2)
	var ids []string
	err = store.Each(ctx, a.q, query, nil, func(scan scanner) error {
		var k, id string
		if err := scan(&k, &id); err != nil {
			return err
		}
		if g := of[k]; g != nil {
			g.ids = append(g.ids, id)
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	records, err := a.byID(ctx, casefile.Unique(ids))
	if err != nil {
		return nil, err
	}
	slices.Sort(keys)
	var out []casefile.Finding
	for _, k := range keys {
		g := of[k]
		tenants := map[string]bool{}
		f := r.finding("")
		f.First, f.Last, f.EventCount = casefile.TimeOf(g.first.Time), casefile.TimeOf(g.last.Time), g.hits
		for _, id := range g.ids {
			e := records[id]
			tenants[e.tenant] = true
			f.Tenant = e.tenant
			f.Events = append(f.Events, id)
			f.Entities = append(f.Entities, entities(e)...)
		}
		if len(tenants) > 1 {
			f.Tenant = ""
		}
		if g.hits > int64(len(g.ids)) {
			f.EventsQuery = fmt.Sprintf("SELECT id FROM (%s) AS c WHERE %s = %s ORDER BY time, id", from, key, quote(k))
		}
		c := casefile.Count{Name: counted(r.corr), Value: float64(g.most)}
		if len(r.corr.Bounds) == 1 {
			limit := float64(r.corr.Bounds[0].Value)
			c.Limit = &limit
		}
		f.Counts = []casefile.Count{c, {Name: "records with which such a time ends", Value: float64(g.hits)}}
		f.Why = fmt.Sprintf("Sigma correlation %q (%s) is satisfied%s%s: up to %d %s, of the rules %s. It cites the records with which such a time ends. %s",
			r.Title, r.place(), grouped(r.corr, g.values), between(f), g.most, counted(r.corr), strings.Join(r.corr.Rules, ", "), r.reads(""))
		finish(&f)
		out = append(out, f)
	}
	return out, nil
}

// counted says what a correlation counts.
func counted(c *sigma.Correlation) string {
	span := c.Timespan.String()
	switch c.Type {
	case "event_count":
		return "records within " + span
	case "value_count":
		return "values of " + strings.Join(c.Values, " and ") + " within " + span
	}
	return "rules that match within " + span
}

func grouped(c *sigma.Correlation, values []string) string {
	var out []string
	for i, g := range c.GroupBy {
		out = append(out, fmt.Sprintf("%s %q", g, values[i]))
	}
	if out == nil {
		return ""
	}
	return " for " + strings.Join(out, ", ")
}

// after lists names with a comma before each.
func after(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", " + strings.Join(names, ", ")
}

// byID reads what findings tell of records.
func (a *asker) byID(ctx context.Context, ids []string) (map[string]record, error) {
	out := make(map[string]record, len(ids))
	for chunk := range slices.Chunk(ids, 1000) {
		list := make([]string, len(chunk))
		for i, id := range chunk {
			list[i] = quote(id)
		}
		err := store.Each(ctx, a.q, fmt.Sprintf("SELECT %s FROM (SELECT CAST(id AS VARCHAR) AS id, time, %s FROM events WHERE id IN (%s)) AS q", recordNames, recordSQL, strings.Join(list, ", ")), nil, func(scan scanner) error {
			var r record
			err := scan(r.columns()...)
			out[r.id] = r
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
