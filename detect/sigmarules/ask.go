package sigmarules

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/rules"
	"midwatch/sigma"
	"midwatch/store"
)

type scanner = func(dest ...any) error

// asker asks rules of a store.
type asker struct {
	q        store.Querier
	kinds    map[kind]int64 // records
	received map[string]bool
}

// kind is a kind of record in one log of a tenant.
type kind struct{ source, tenant, class string }

func (a *asker) inventory(ctx context.Context) error {
	a.kinds, a.received = map[kind]int64{}, map[string]bool{}
	err := store.Each(ctx, a.q, `SELECT source, coalesce(tenant, ''), class, count(*) FROM events GROUP BY source, coalesce(tenant, ''), class`, nil, func(scan scanner) error {
		var k kind
		var n int64
		err := scan(&k.source, &k.tenant, &k.class, &n)
		a.kinds[k], a.received[k.source] = n, true
		return err
	})
	if err != nil {
		return fmt.Errorf("which records were received: %w", err)
	}
	return nil
}

// who is the actor as a finding names it: an application by its client id, a
// person by the principal name.
const (
	isApp    = `coalesce(actor_kind, '') IN ('app', 'managed')`
	whoSQL   = `CASE WHEN ` + isApp + ` THEN coalesce(nullif(app_id, ''), nullif(sp_id, ''), nullif(actor_id, ''), actor, '') ELSE coalesce(nullif(actor, ''), actor_id, '') END`
	nobody   = "an unnamed actor"
	sourceIs = "coalesce(tenant, '') AS tenant, source AS log, class AS kind"
)

// match is what is known of a rule in a tenant after the first scan.
type match struct {
	rule        int // in the chunk
	tenant      string
	n           int64
	kinds       map[kind]bool
	actors      map[string]*actor
	many        int64 // actors of one combination of rules, where not all were listed
	first, last time.Time
}

// actor is what one actor did that a rule matches.
type actor struct {
	name        string
	n           int64
	first, last time.Time
	head, tail  []record // the first and the last of the records
}

func (m *match) actorCount() int64 { return max(m.many, int64(len(m.actors))) }

// rules asks rules of one log.
func (a *asker) rules(ctx context.Context, rs []rule) ([]casefile.Finding, error) {
	var out []casefile.Finding
	for chunk, err := range chunks(rs) {
		if err != nil {
			return nil, err
		}
		ms, err := a.count(ctx, chunk)
		if err != nil {
			return nil, err
		}
		var few []*match
		for _, m := range ms {
			if much := a.tooMuch(m); much != "" {
				f, err := a.summary(ctx, chunk[m.rule], m, much)
				if err != nil {
					return nil, err
				}
				out = append(out, f)
			} else {
				few = append(few, m)
			}
		}
		if err := a.fetch(ctx, chunk, few); err != nil {
			return nil, err
		}
		for _, m := range few {
			fs, err := a.findings(ctx, chunk[m.rule], m)
			if err != nil {
				return nil, err
			}
			out = append(out, fs...)
		}
	}
	return out, nil
}

// pins are the columns by which a rule's records may be told apart from most
// others before anything else of them is read, the most telling first.
func pins() []string {
	return []string{"operation", "code", "class", "workload", "protocol", "user_agent"}
}

// pinned is the first of these that a rule implies a condition on.
func pinned(r rule) string {
	for _, p := range pins() {
		if sigma.Pin(r.rule, rules.Schema{}, p) != "" {
			return p
		}
	}
	return ""
}

// chunks cuts rules into questions of a sane size, each of rules that are
// pinned by the same column.
func chunks(rs []rule) func(yield func([]rule, error) bool) {
	return func(yield func([]rule, error) bool) {
		by := map[string][]rule{}
		for _, r := range rs {
			p := pinned(r)
			by[p] = append(by[p], r)
		}
		for _, p := range append(pins(), "") {
			size, from, same := 0, 0, by[p]
			for i, r := range same {
				_, cond, err := sigma.Where(r.rule, rules.Schema{})
				if err != nil {
					yield(nil, err)
					return
				}
				n := 3*len(cond) + 100 // it stands in the question twice, and its pin
				if i > from && size+n > maxSQL {
					if !yield(same[from:i], nil) {
						return
					}
					size, from = 0, i
				}
				size += n
			}
			if from < len(same) && !yield(same[from:], nil) {
				return
			}
		}
	}
}

func selection(rs []rule, columns ...string) (string, error) {
	var all []*sigma.Rule
	for _, r := range rs {
		all = append(all, r.rule)
	}
	return sigma.SelectPinned(all, rules.Schema{}, pinned(rs[0]), columns...)
}

// count asks which actors each rule matches how often. Of each combination of
// rules in a tenant at most one more than maxActors come back, however many
// there are; how many there are is counted.
func (a *asker) count(ctx context.Context, rs []rule) ([]*match, error) {
	from, err := selection(rs, sourceIs, whoSQL+" AS who")
	if err != nil {
		return nil, err
	}
	ms := map[string]*match{}
	query := fmt.Sprintf(`SELECT hits, log, tenant, kind, who, n, first, last, total, begun, ended, actors FROM (
	SELECT hits, log, tenant, kind, who, n, first, last, CAST(sum(n) OVER (PARTITION BY hits, tenant, kind) AS BIGINT) AS total,
		min(first) OVER (PARTITION BY hits, tenant, kind) AS begun, max(last) OVER (PARTITION BY hits, tenant, kind) AS ended,
		count(*) OVER (PARTITION BY hits, tenant, kind) AS actors, row_number() OVER (PARTITION BY hits, tenant, kind ORDER BY n DESC, who, log) AS k
	FROM (SELECT hits, log, tenant, kind, who, count(*) AS n, min(time) AS first, max(time) AS last FROM (%s) AS q GROUP BY hits, log, tenant, kind, who) AS g
) AS w WHERE k <= %d ORDER BY hits, tenant, kind, k`, from, maxActors+1)
	last := ""
	err = store.Each(ctx, a.q, query, nil, func(scan scanner) error {
		var hits, who string
		var k kind
		var n, total, actors int64
		var first, end, begun, ended sql.NullTime
		if err := scan(&hits, &k.source, &k.tenant, &k.class, &who, &n, &first, &end, &total, &begun, &ended, &actors); err != nil {
			return err
		}
		key := hits + "\x00" + k.tenant + "\x00" + k.class
		fresh := key != last // the first row of a combination
		last = key
		for h := range strings.FieldsSeq(hits) {
			i, err := strconv.Atoi(h)
			if err != nil {
				return err
			}
			m := ms[h+"\x00"+k.tenant]
			if m == nil {
				m = &match{rule: i, tenant: k.tenant, kinds: map[kind]bool{}, actors: map[string]*actor{}}
				ms[h+"\x00"+k.tenant] = m
			}
			if fresh {
				m.n += total
				m.first, m.last = earlier(m.first, begun), later(m.last, ended)
			}
			m.kinds[k] = true
			if actors > maxActors {
				m.many = max(m.many, actors)
			}
			x := m.actors[who]
			if x == nil {
				x = &actor{name: who}
				m.actors[who] = x
			}
			x.n += n
			x.first, x.last = earlier(x.first, first), later(x.last, end)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []*match
	for _, m := range ms {
		out = append(out, m)
	}
	slices.SortFunc(out, func(x, y *match) int {
		if x.rule != y.rule {
			return x.rule - y.rule
		}
		return strings.Compare(x.tenant, y.tenant)
	})
	return out, nil
}

func earlier(a time.Time, b sql.NullTime) time.Time {
	if b.Valid && (a.IsZero() || b.Time.Before(a)) {
		return b.Time.UTC()
	}
	return a
}

func later(a time.Time, b sql.NullTime) time.Time {
	if b.Valid && b.Time.After(a) {
		return b.Time.UTC()
	}
	return a
}

// tooMuch says in words why a rule is a sign of nothing in a tenant, or nothing.
func (a *asker) tooMuch(m *match) string {
	var of int64
	for k := range m.kinds {
		of += a.kinds[k]
	}
	switch n := m.actorCount(); {
	case n > maxActors:
		return fmt.Sprintf("it matches %d records, by more than %d accounts and applications", m.n, maxActors)
	case m.n > minNoise && float64(m.n) > maxShare*float64(of):
		return fmt.Sprintf("it matches %d of the %d records of the kinds that it matches, %.1f %%", m.n, of, 100*float64(m.n)/float64(of))
	}
	return ""
}

// record is what a finding tells of a record.
type record struct {
	id, tenant, log, kind, who                  string
	actorKind, actor, actorID, appID, appName   string
	spID, ip, session, token, key, mailbox      string
	target, targetID, targetKind, targetApp, op string
	service                                     bool
	time                                        sql.NullTime
}

const recordSQL = sourceIs + `, ` + whoSQL + ` AS who, coalesce(actor_kind, '') AS c1, coalesce(actor, '') AS c2, coalesce(actor_id, '') AS c3, coalesce(app_id, '') AS c4,
	coalesce(app_name, '') AS c5, coalesce(sp_id, '') AS c6, coalesce(ip, '') AS c7, coalesce(session_id, '') AS c8, coalesce(token_id, '') AS c9, coalesce(key_id, '') AS c10,
	coalesce(mailbox, '') AS c11, coalesce(target, '') AS c12, coalesce(target_id, '') AS c13, coalesce(target_kind, '') AS c14,
	coalesce(json_extract_string(detail, '$.app_id'), '') AS c15, coalesce(operation, '') AS c16, coalesce(ip_service, false) AS c17`

const recordNames = `id, time, tenant, log, kind, who, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17`

func (r *record) columns() []any {
	return []any{&r.id, &r.time, &r.tenant, &r.log, &r.kind, &r.who, &r.actorKind, &r.actor, &r.actorID, &r.appID, &r.appName, &r.spID, &r.ip, &r.session, &r.token,
		&r.key, &r.mailbox, &r.target, &r.targetID, &r.targetKind, &r.targetApp, &r.op, &r.service}
}

// fetch gets the first and the last records of each actor, of the rules that
// found few.
func (a *asker) fetch(ctx context.Context, rs []rule, ms []*match) error {
	if len(ms) == 0 {
		return nil
	}
	var few []rule
	at := map[int]int{} // rule in few → in rs
	names := map[string]bool{}
	of := map[string]*match{}
	for _, m := range ms {
		if n := len(few); n == 0 || at[n-1] != m.rule {
			at[n] = m.rule
			few = append(few, rs[m.rule])
		}
		for _, x := range m.actors {
			names[x.name] = true
		}
		of[fmt.Sprint(m.rule, "\x00", m.tenant)] = m
	}
	from, err := selection(few, recordSQL)
	if err != nil {
		return err
	}
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, quote(n))
	}
	slices.Sort(list)
	over := "OVER (PARTITION BY hits, tenant, who ORDER BY time"
	query := fmt.Sprintf("SELECT hits, up, down, %s FROM (SELECT hits, row_number() %s, id) AS up, row_number() %s DESC, id DESC) AS down, %s FROM (%s) AS q WHERE who IN (%s)) AS w WHERE up <= %d OR down <= %d ORDER BY up, id",
		recordNames, over, over, recordNames, from, strings.Join(list, ", "), casefile.MaxEvents, casefile.MaxEvents/2)
	return store.Each(ctx, a.q, query, nil, func(scan scanner) error {
		var hits string
		var up, down int64
		var r record
		if err := scan(append([]any{&hits, &up, &down}, r.columns()...)...); err != nil {
			return err
		}
		for h := range strings.FieldsSeq(hits) {
			i, err := strconv.Atoi(h)
			if err != nil {
				return err
			}
			m := of[fmt.Sprint(at[i], "\x00", r.tenant)]
			if m == nil {
				continue // too much there
			}
			x := m.actors[r.who]
			if x == nil {
				continue
			}
			if up <= casefile.MaxEvents {
				x.head = append(x.head, r)
			} else {
				x.tail = append(x.tail, r)
			}
		}
		return nil
	})
}

// records are an actor's records in order of time, at most MaxEvents: the
// first and the last.
func (x *actor) records() []record {
	all := append(slices.Clone(x.head), x.tail...)
	slices.SortStableFunc(all, func(a, b record) int {
		if c := a.time.Time.Compare(b.time.Time); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	if len(all) > casefile.MaxEvents {
		half := casefile.MaxEvents / 2
		all = append(all[:half:half], all[len(all)-half:]...)
	}
	return all
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
