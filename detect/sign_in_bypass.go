package detect

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// signInBypass finds applications and accounts whose tokens were not minted by
// any sign-in that was logged, while everybody else's were.
//
// One token without a sign-in says nothing: records are lost, late and out of
// the export's range. So the share of tokens that lack a sign-in is measured
// on the rest of the tenant, on the same day or week and over everything, and
// the greater of the two is what a binomial is tested against: a gap in the
// sign-in logs is everybody's.
type signInBypass struct{}

const (
	bypassTokens = 4    // distinct tokens that have to be missing, at least
	bypassShare  = 0.9  // of a day's or week's tokens that have to be missing
	bypassFound  = 0.5  // of the others' tokens that have to be found for the logs to say anything
	bypassOthers = 20   // tokens of others to measure that on
	bypassWarmUp = 2    // days; a token lives up to 28 hours (continuous access evaluation)
	bypassChance = 1e-3 // of one false finding among all that were tested
)

// Card implements [Detector].
func (signInBypass) Card() Card {
	return Card{
		ID:    "sign_in_bypass",
		Title: "Activity with tokens that no sign-in minted",
		Why: "A token's id is that of the sign-in that minted it. Tokens that were forged with a stolen signing key, or got past the sign-in log by one of its holes " +
			"(GraphNinja, GraphGhost, GraphGoblin, overlong user agents), are used and have no sign-in.",
		FalsePositives: []string{
			"a kind of sign-in of which the export has only a part",
			"Microsoft's own services that act for people without a sign-in of their own (low where they are known)",
			"tokens minted in another tenant",
		},
		Techniques: []string{"T1606", "T1550.001"},
		Stage:      casefile.StageEvasion,
		Needs: Needs{
			Sources: []event.Source{event.SignIn},
			Classes: []event.Class{event.ClassSignIn},
			Fetch:   "Entra sign-in logs of all four kinds (Graph /beta auditLogs/signIns), with the unified audit log or Graph activity of the same days",
		},
		Helps: []Help{
			{Source: event.UAL, What: "tokens are seen in Graph activity only"},
			{Source: event.GraphActivity, What: "tokens are seen in mail and file access only"},
		},
		Severity:    casefile.High,
		FalseAlarms: FalseAlarms{PerDay: 0.0001, Basis: "the binomial's limit, divided by all accounts and applications that are tested: 0.001 in all of the evidence, if tokens go missing independently"},
	}
}

// Detect implements [Detector].
func (d signInBypass) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	ws, err := bypassWindows(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("tokens without a sign-in: %w", err)
	}
	byKey := map[bypassKey][]bypassWindow{}
	for _, w := range ws {
		p := max((w.othersMissing+1)/(w.others+2), (w.allMissing+1)/(w.all+2))
		if w.tail = binomialTail(w.n, w.missing, p); w.tail*w.tests < bypassChance {
			w.p = p
			byKey[w.bypassKey] = append(byKey[w.bypassKey], w)
		}
	}
	keys := slices.SortedFunc(maps.Keys(byKey), func(a, b bypassKey) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.kind, b.kind), cmp.Compare(a.of, b.of), cmp.Compare(a.key, b.key))
	})
	if len(keys) == 0 {
		return nil, nil
	}
	// Where so many lack sign-ins, the log leaves something out: that is said
	// once, with the first as examples.
	many := map[bypassKey]int{}
	keys = slices.DeleteFunc(keys, func(k bypassKey) bool {
		group := bypassKey{k.tenant, k.kind, k.of, ""}
		many[group]++
		return many[group] > commonMoves
	})
	tokens, err := d.tokens(ctx, q, keys)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, k := range keys {
		f, err := d.finding(ctx, q, k, byKey[k], tokens)
		if err != nil {
			return nil, err
		}
		if n := many[bypassKey{k.tenant, k.kind, k.of, ""}]; n > commonMoves {
			f.Severity = casefile.Info
			f.Why += fmt.Sprintf(" So it is with %d, of which the first %d are listed: the log leaves a kind of sign-in out, as far as this says.", n, commonMoves)
		}
		out = append(out, f)
	}
	return out, nil
}

// bypassToken is a token without a sign-in.
type bypassToken struct {
	tenant, kind, app, who, token string
	at                            time.Time
}

// tokens reads the tokens without a sign-in of what was found.
func (signInBypass) tokens(ctx context.Context, q store.Querier, keys []bypassKey) (out []bypassToken, err error) {
	apps, accounts := []string{""}, []string{""}
	for _, k := range keys {
		if k.of == "app" {
			apps = append(apps, k.key)
		} else {
			accounts = append(accounts, k.key)
		}
	}
	err = store.Each(ctx, q, bypassSQL()+` SELECT tenant, kind, app, who, token, first_at FROM tokens
		WHERE found = 0 AND (app IN (`+quoted(apps)+`) AND app <> '' OR who IN (`+quoted(accounts)+`) AND who <> '') ORDER BY first_at, token`, nil, func(scan scanner) error {
		var x bypassToken
		err := scan(&x.tenant, &x.kind, &x.app, &x.who, &x.token, &x.at)
		x.at = x.at.UTC()
		out = append(out, x)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("which tokens have no sign-in: %w", err)
	}
	return out, nil
}

// bypassKey is what is tested: the tokens of people or of applications (kind),
// by account or application (of).
type bypassKey struct{ tenant, kind, of, key string }

// bypassWindow is a day or week of it in which nearly all tokens are missing.
type bypassWindow struct {
	bypassKey
	from, to                               time.Time
	n, missing                             int64
	others, othersMissing, all, allMissing float64 // tokens of others in the window and over everything
	tests                                  float64 // how many keys and windows were tested
	p, tail                                float64
}

// bypassSQL is a common table expression of tokens: one row each, with the
// first use, who used it, and whether it has a sign-in (found 1). Only tokens
// are looked at that were used while the sign-in logs of their kind run. The
// last grouping is of rows that are one each: DuckDB computes a relation once
// when it ends in one.
func bypassSQL() string {
	const kind = `(CASE WHEN actor_kind IN ('app', 'managed') THEN 'app' ELSE 'people' END)`
	return `WITH minted AS (
		SELECT request_id AS mid FROM events WHERE class = 'sign_in' AND request_id IS NOT NULL
		UNION ALL SELECT token_id FROM events WHERE class = 'sign_in' AND token_id IS NOT NULL AND token_id <> coalesce(request_id, '')
	), covered AS (
		SELECT coalesce(tenant, '') AS c_tenant, ` + kind + ` AS c_kind, min(time) AS begun, max(time) AS ended FROM events
		WHERE class = 'sign_in' AND source = 'signin' AND time IS NOT NULL GROUP BY 1, 2
	), used AS (
		SELECT coalesce(tenant, '') AS tenant, ` + kind + ` AS kind, token_id AS token, min(time) AS first_at, max(coalesce(app_id, '')) AS app,
			coalesce(max(CASE WHEN actor LIKE '%@%' THEN actor END), max(actor), '') AS who
		FROM events
		WHERE source IN ('ual', 'graph_activity') AND class <> 'sign_in' AND token_id IS NOT NULL AND token_id <> '' AND time IS NOT NULL
			AND coalesce(actor_kind, '') <> 'service'
		GROUP BY 1, 2, 3
	), tokens AS (
		SELECT u.tenant, u.kind, u.token, u.first_at, u.app, u.who, CASE WHEN u.token IN (SELECT mid FROM minted) THEN 1 ELSE 0 END AS found
		FROM used u JOIN covered c ON c.c_tenant = u.tenant AND c.c_kind = u.kind
		WHERE u.first_at >= c.begun + INTERVAL ` + fmt.Sprint(bypassWarmUp) + ` DAY AND u.first_at <= c.ended
		GROUP BY 1, 2, 3, 4, 5, 6, 7
	)`
}

// binomialTail is the chance of at least k of n when each has chance p.
func binomialTail(n, k int64, p float64) float64 {
	lg := func(x int64) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	var sum float64
	for i := k; i <= n; i++ {
		sum += math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

func (signInBypass) finding(ctx context.Context, q store.Querier, k bypassKey, ws []bypassWindow, missing []bypassToken) (casefile.Finding, error) {
	// The window that says most decides; the others add events.
	best := slices.MinFunc(ws, func(a, b bypassWindow) int { return cmp.Compare(a.tail, b.tail) })
	from, to := ws[0].from, ws[0].to
	for _, w := range ws {
		if w.from.Before(from) {
			from = w.from
		}
		if w.to.After(to) {
			to = w.to
		}
	}
	f := casefile.Finding{Tenant: k.tenant, Severity: casefile.High}
	var list []string
	for _, x := range missing {
		of := x.who
		if k.of == "app" {
			of = x.app
		}
		if x.tenant == k.tenant && x.kind == k.kind && of == k.key && !x.at.Before(from) && x.at.Before(to) && len(list) < casefile.MaxEvents {
			list = append(list, x.token)
		}
	}
	where := `events WHERE source IN ('ual', 'graph_activity') AND class <> 'sign_in' AND coalesce(tenant, '') = ` + quoted([]string{k.tenant}) + ` AND token_id IN (` + quoted(list) + `)`
	c, err := cite(ctx, q, "", where)
	if err != nil {
		return f, err
	}
	c.into(&f)
	names := map[string]bool{}
	// Tokens always join, so that a few are enough; of accounts and
	// applications all count.
	tokens := 0
	err = store.Each(ctx, q, `SELECT token_id, min(time), max(time), max(coalesce(actor, '')), max(coalesce(app_id, '')), max(coalesce(app_name, '')), max(coalesce(sp_id, '')),
			max(CASE WHEN coalesce(ip_service, false) THEN '' ELSE coalesce(ip, '') END) FROM `+where+` GROUP BY token_id ORDER BY 2, 1`, nil, func(scan scanner) error {
		var token, actor, app, name, sp, ip string
		var first, last time.Time
		if err := scan(&token, &first, &last, &actor, &app, &name, &sp, &ip); err != nil {
			return err
		}
		f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(first)), casefile.Later(f.Last, casefile.TimeOf(last))
		if tokens++; tokens == bypassTokens {
			f.Detected = casefile.TimeOf(first)
		}
		if tokens <= 100 {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Token, ID: token, Role: casefile.RoleUsed}, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource})
		}
		names[name] = true
		switch {
		case k.of == "app" && k.kind == "app":
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.App, ID: app, Role: casefile.RoleActor, Name: name}, casefile.Entity{Kind: casefile.ServicePrincipal, ID: sp, Role: casefile.RoleActor, Name: name})
		case k.of == "app":
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.App, ID: app, Role: casefile.RoleActor, Name: name}, casefile.Entity{Kind: casefile.Account, ID: actor, Role: casefile.RoleTarget})
		default:
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: actor, Role: casefile.RoleActor})
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	delete(names, "")
	what := "account " + k.key
	if k.of == "app" {
		what = "application " + k.key
		if n := sortedKeysOf(names); len(n) > 0 {
			what = "application " + n[0] + " (" + k.key + ")"
		}
	}
	found := 1 - best.allMissing/best.all
	f.Title = fmt.Sprintf("%s used %d tokens that no sign-in minted", upperFirst(what), tokens)
	f.Why = fmt.Sprintf("From %s to %s, %d of %d tokens of %s have no sign-in in the logs, which run through that time. Of the other %.0f tokens of their kind in the evidence %.1f %% have one, and of %.0f in the same days %.1f %%. "+
		"If each went missing by chance (%.2f %%), this would happen in %.1g of cases; %.0f days and weeks were tested.",
		best.from.Format(time.DateOnly), best.to.Format(time.DateOnly), best.missing, best.n, what, best.all, 100*found, best.others, 100*(1-best.othersMissing/max(best.others, 1)), 100*best.p, best.tail, best.tests)
	if k.of == "app" && slices.Contains(MailClients(), k.key) {
		f.Severity = casefile.Low
		f.Why += " The application is one of Microsoft's own, which may act for people without a sign-in of its own."
	}
	f.Counts = []casefile.Count{
		{Name: "tokens without a sign-in", Value: float64(best.missing), Limit: limit(bypassTokens)},
		{Name: "tokens", Value: float64(best.n)},
		{Name: "share of others' tokens that have one", Value: round2(found), Limit: limit(bypassFound)},
		{Name: "chance, times what was tested", Value: best.tail * best.tests, Limit: limit(bypassChance)},
	}
	return f, nil
}
