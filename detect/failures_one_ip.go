package detect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// failuresOneIP finds addresses that try passwords of many accounts: the loud
// kind of spray.
type failuresOneIP struct{}

// failedUsers is how many accounts must have failed from one address in one
// day. Below that an office behind one address looks the same.
const failedUsers = 5

// Card implements [Detector].
func (failuresOneIP) Card() Card {
	return Card{
		ID:    "failures_one_ip",
		Title: "One address failed against many accounts",
		Why:   "Password guessing from one address. Background noise of this kind reaches every tenant all the time; what matters is whether a password turned out right.",
		FalsePositives: []string{
			"an office or VPN behind one address on the day after passwords expired: there more accounts succeed than fail, and such days are left out",
			"a vulnerability scanner or a test of one's own",
		},
		Techniques: []string{"T1110.003"},
		Needs:      signInNeeds(),
		Severity:   casefile.Low,
	}
}

// Detect implements [Detector].
func (d failuresOneIP) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	// An account that failed first and got in later on the same day is not
	// held against the ratio: it may be the one that was guessed.
	query := signInsSQL() + `, per_user AS (
		SELECT tenant, ip, day, actor, min(CASE WHEN pw IN ('wrong', 'no_user', 'locked') THEN time END) AS failed_at,
			max(CASE WHEN pw IN ('accepted', 'right') THEN time END) AS right_at
		FROM signins GROUP BY tenant, ip, day, actor
	), ranked AS (
		SELECT tenant, ip, day, actor, failed_at, right_at,
			row_number() OVER (PARTITION BY tenant, ip, day ORDER BY failed_at NULLS LAST, actor) AS nth
		FROM per_user
	), days AS (
		SELECT tenant, ip, day, count(failed_at) AS failed, count(CASE WHEN failed_at IS NULL THEN 1 END) AS clean,
			max(CASE WHEN nth = ` + fmt.Sprint(failedUsers) + ` THEN failed_at END) AS reached
		FROM ranked GROUP BY tenant, ip, day
	)
	SELECT tenant, ip, day, reached, failed, clean
	FROM days WHERE failed >= ` + fmt.Sprint(failedUsers) + ` AND failed > clean
	ORDER BY tenant, ip, day`
	var hits []*ipHit
	err := rows(ctx, q, query, nil, func(scan scanner) error {
		var tenant, ip string
		var day, reached time.Time
		var failed, clean int64
		if err := scan(&tenant, &ip, &day, &reached, &failed, &clean); err != nil {
			return err
		}
		if n := len(hits); n == 0 || hits[n-1].tenant != tenant || hits[n-1].ip != ip {
			hits = append(hits, &ipHit{tenant: tenant, ip: ip, reached: reached})
		}
		h := hits[len(hits)-1]
		h.days = append(h.days, day.UTC().Format(time.DateOnly))
		h.maxFailed, h.maxClean = max(h.maxFailed, failed), max(h.maxClean, clean)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, h := range hits {
		f, err := d.finding(ctx, q, h)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

type ipHit struct {
	tenant, ip          string
	reached             time.Time // when the limit was reached first
	days                []string  // on which it was
	maxFailed, maxClean int64
}

func (failuresOneIP) finding(ctx context.Context, q store.Querier, h *ipHit) (casefile.Finding, error) {
	f := casefile.Finding{Tenant: h.tenant, Severity: casefile.Low, Detected: casefile.TimeOf(h.reached)}
	from := `signins WHERE tenant = ? AND ip = ? AND CAST(day AS VARCHAR) IN (` + quoted(h.days) + `) AND pw IN ('wrong', 'no_user', 'locked', 'right', 'accepted')`
	args := []any{h.tenant, h.ip}

	victims, converted := map[string]bool{}, map[string]time.Time{}
	var attempts int64
	query := signInsSQL() + `, mine AS (SELECT * FROM ` + from + `)
		SELECT actor, count(CASE WHEN pw IN ('wrong', 'no_user', 'locked') THEN 1 END), min(time), max(time),
			min(CASE WHEN pw IN ('wrong', 'no_user', 'locked') THEN time END),
			max(CASE WHEN pw IN ('accepted', 'right') THEN time END), max(CASE WHEN pw = 'accepted' THEN 1 ELSE 0 END)
		FROM mine GROUP BY actor ORDER BY actor`
	var got []string
	err := rows(ctx, q, query, args, func(scan scanner) error {
		var actor string
		var failed, accepted int64
		var first, last time.Time
		var failedAt, rightAt *time.Time
		if err := scan(&actor, &failed, &first, &last, &failedAt, &rightAt, &accepted); err != nil {
			return err
		}
		if failed == 0 {
			return nil
		}
		f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(first)), casefile.Later(f.Last, casefile.TimeOf(last))
		attempts += failed
		victims[actor] = true
		if rightAt != nil && rightAt.After(*failedAt) {
			converted[actor] = *rightAt
			word := " (stopped afterwards)"
			if accepted == 1 {
				word = " (signed in)"
			}
			got = append(got, actor+word)
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	for v := range victims {
		role := casefile.RoleVictim
		if _, ok := converted[v]; ok {
			role = casefile.RoleConverted
		}
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: v, Role: role})
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: h.ip, Role: casefile.RoleSource})
	c, err := cite(ctx, q, signInsSQL(), from+` AND actor IN (`+quoted(slices.Sorted(maps.Keys(victims)))+`)`, args...)
	if err != nil {
		return f, err
	}
	c.into(&f)
	f.Counts = []casefile.Count{
		{Name: "accounts that failed", Value: float64(len(victims))},
		{Name: "accounts that failed on the worst day", Value: float64(h.maxFailed), Limit: limit(failedUsers)},
		{Name: "accounts that only succeeded on such a day, at most", Value: float64(h.maxClean)},
		{Name: "attempts", Value: float64(attempts)},
		{Name: "days", Value: float64(len(h.days))},
		{Name: "passwords that turned out right", Value: float64(len(converted))},
	}
	f.Title = fmt.Sprintf("%s failed against %s", h.ip, plural(int64(len(victims)), "account", "accounts"))
	f.Why = fmt.Sprintf("%s from %s against %s on %s; on the worst day %d accounts failed, and at most %d signed in from there without a failure.",
		plural(attempts, "failed attempt", "failed attempts"), h.ip, plural(int64(len(victims)), "account", "accounts"), plural(int64(len(h.days)), "day", "days"), h.maxFailed, h.maxClean)
	if len(converted) > 0 {
		f.Severity = casefile.High
		f.Techniques = append(f.Techniques, "T1078.004")
		f.Title += fmt.Sprintf(", %s guessed", plural(int64(len(converted)), "password", "passwords"))
		f.Why += fmt.Sprintf(" After a failure the password was right for %s.", strings.Join(got, ", "))
	} else {
		f.Why += " No password turned out right from this address."
	}
	return f, nil
}
