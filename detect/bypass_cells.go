package detect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"midwatch/store"
)

// bypassWindows asks for the days and weeks of accounts and applications in
// which nearly all tokens are missing, whatever chance says of them: they are
// few. It asks several small questions and puts them together here: ClickHouse
// reads a common table expression anew wherever it stands, and one question for
// all of it read the tokens sixteen times at once.
func bypassWindows(ctx context.Context, q store.Querier) ([]bypassWindow, error) {
	candidates, err := bypassCandidates(ctx, q)
	if err != nil || len(candidates) == 0 {
		return nil, err
	}
	all := bypassTotals{window: map[bypassCell]bypassCount{}, kind: map[bypassKey]bypassCount{}, tests: map[string]float64{}}
	if err := all.read(ctx, q); err != nil {
		return nil, err
	}
	cells, err := bypassCells(ctx, q, candidates)
	if err != nil {
		return nil, err
	}
	own := map[bypassKey]bypassCount{}
	for c, x := range cells {
		if c.days == 1 {
			own[c.bypassKey] = own[c.bypassKey].plus(x)
		}
	}
	var out []bypassWindow
	for c, x := range cells {
		if x.missing < bypassTokens || float64(x.missing) < bypassShare*float64(x.n) {
			continue
		}
		group := bypassKey{c.tenant, c.kind, c.of, ""}
		in, over, key := all.window[bypassCell{group, c.days, c.win}], all.kind[group], own[c.bypassKey]
		w := bypassWindow{
			bypassKey: c.bypassKey, from: time.Unix(c.win*c.days*86400, 0).UTC(), n: x.n, missing: x.missing,
			others: float64(in.n - x.n), othersMissing: float64(in.missing - x.missing), all: float64(over.n - key.n), allMissing: float64(over.missing - key.missing), tests: all.tests[c.tenant],
		}
		w.to = w.from.AddDate(0, 0, int(c.days))
		if w.all >= bypassOthers && w.allMissing <= (1-bypassFound)*w.all {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b bypassWindow) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.kind, b.kind), cmp.Compare(a.of, b.of), cmp.Compare(a.key, b.key), cmp.Compare(a.to.Sub(a.from), b.to.Sub(b.from)), a.from.Compare(b.from))
	})
	return out, nil
}

// bypassCount counts tokens, and those of them without a sign-in.
type bypassCount struct{ n, missing int64 }

func (a bypassCount) plus(b bypassCount) bypassCount {
	return bypassCount{a.n + b.n, a.missing + b.missing}
}

// bypassCell is a day (days 1) or week (7) of a key; win counts them from 1970.
type bypassCell struct {
	bypassKey
	days, win int64
}

// bypassCandidates lists the applications and accounts that have as many tokens
// without a sign-in as a window must have.
func bypassCandidates(ctx context.Context, q store.Querier) (map[bypassKey]bool, error) {
	missing := map[bypassKey]int64{}
	err := store.Each(ctx, q, bypassSQL()+` SELECT tenant, kind, app, who, count(*) FROM tokens WHERE found = 0 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`, nil, func(scan scanner) error {
		var app, who bypassKey
		var n int64
		err := scan(&app.tenant, &app.kind, &app.key, &who.key, &n)
		who.tenant, who.kind, app.of, who.of = app.tenant, app.kind, "app", "account"
		missing[app] += n
		missing[who] += n
		return err
	})
	out := map[bypassKey]bool{}
	for k, n := range missing {
		if n >= bypassTokens && k.key != "" {
			out[k] = true
		}
	}
	return out, err
}

// byDaySQL is [bypassSQL] with a relation by_day besides: tokens by what is
// tested, and day. An account is judged by applications whose tokens are found
// as a rule.
func byDaySQL() string {
	return bypassSQL() + `, by_app AS (
		SELECT tenant AS a_tenant, kind AS a_kind, app AS a_app, count(*) AS n, sum(found) AS f FROM tokens GROUP BY tenant, kind, app
	), keyed AS (
		SELECT tenant, kind, 'app' AS of_what, app AS k, first_at, found FROM tokens WHERE app <> ''
		UNION ALL SELECT t.tenant, t.kind, 'account', t.who, t.first_at, t.found FROM tokens t JOIN by_app a ON a.a_tenant = t.tenant AND a.a_kind = t.kind AND a.a_app = t.app
			WHERE t.kind = 'people' AND t.who <> '' AND a.f >= ` + fmt.Sprint(bypassFound) + ` * a.n
	), by_day AS (
		SELECT tenant, kind, of_what, k, CAST(floor(epoch_us(first_at) / 86400000000) AS BIGINT) AS win, count(*) AS n, count(*) - sum(found) AS missing FROM keyed GROUP BY 1, 2, 3, 4, 5
	)`
}

// bypassTotals are the tokens of all keys together, by window and altogether,
// and how many windows of a tenant are tested.
type bypassTotals struct {
	window map[bypassCell]bypassCount // of keys without a name
	kind   map[bypassKey]bypassCount
	tests  map[string]float64
}

func (all *bypassTotals) read(ctx context.Context, q store.Querier) error {
	tested := fmt.Sprint(bypassTokens)
	err := store.Each(ctx, q, byDaySQL()+` SELECT tenant, kind, of_what, win, CAST(sum(n) AS BIGINT), CAST(sum(missing) AS BIGINT), CAST(sum(CASE WHEN n >= `+tested+` THEN 1 ELSE 0 END) AS BIGINT)
		FROM by_day GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`, nil, func(scan scanner) error {
		var k bypassKey
		var x bypassCount
		var win, tests int64
		if err := scan(&k.tenant, &k.kind, &k.of, &win, &x.n, &x.missing, &tests); err != nil {
			return err
		}
		for _, c := range []bypassCell{{k, 1, win}, {k, 7, week(win)}} {
			all.window[c] = all.window[c].plus(x)
		}
		all.kind[k] = all.kind[k].plus(x)
		all.tests[k.tenant] += float64(tests)
		return nil
	})
	if err != nil {
		return err
	}
	return store.Each(ctx, q, byDaySQL()+`, by_week AS (
		SELECT tenant, kind, of_what, k, CAST(floor(win / 7) AS BIGINT) AS week, sum(n) AS n FROM by_day GROUP BY 1, 2, 3, 4, 5
	) SELECT tenant, count(*) FROM by_week WHERE n >= `+tested+` GROUP BY tenant ORDER BY tenant`, nil, func(scan scanner) error {
		var tenant string
		var n int64
		err := scan(&tenant, &n)
		all.tests[tenant] += float64(n)
		return err
	})
}

// week is the week of a day, both counted from 1970.
func week(day int64) int64 {
	if day < 0 {
		return (day - 6) / 7
	}
	return day / 7
}

// bypassCells counts the tokens of some keys by day and by week.
func bypassCells(ctx context.Context, q store.Querier, keys map[bypassKey]bool) (map[bypassCell]bypassCount, error) {
	where := ""
	if len(keys) <= 20_000 { // else nearly every account is one
		names := map[string]bool{}
		for k := range keys {
			names[k.key] = true
		}
		list := make([]string, 0, len(names))
		for n := range names {
			list = append(list, n)
		}
		slices.Sort(list)
		where = "WHERE k IN (" + quoted(list) + ")"
	}
	out := map[bypassCell]bypassCount{}
	err := store.Each(ctx, q, byDaySQL()+` SELECT tenant, kind, of_what, k, win, CAST(n AS BIGINT), CAST(missing AS BIGINT) FROM by_day `+where+` ORDER BY 1, 2, 3, 4, 5`, nil, func(scan scanner) error {
		var k bypassKey
		var x bypassCount
		var win int64
		if err := scan(&k.tenant, &k.kind, &k.of, &k.key, &win, &x.n, &x.missing); err != nil || !keys[k] {
			return err
		}
		for _, c := range []bypassCell{{k, 1, win}, {k, 7, week(win)}} {
			out[c] = out[c].plus(x)
		}
		return nil
	})
	return out, err
}
