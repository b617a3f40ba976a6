package detect

import (
	"context"
	"database/sql"
	"strings"
	"time"
	"unicode"

	"midwatch/casefile"
	"midwatch/store"
)

// attempt is one failed guess that nothing explains, or a right password that
// was stopped where nothing explains it.
type attempt struct {
	id, tenant, actor, app, appName, resource, agent, client, kind, country, ip, origin, prefix string
	pw, stopped                                                                                 string
	device                                                                                      bool
	later                                                                                       bool // the account settles in the network afterwards: whose, is not known
	at, day                                                                                     time.Time

	family string // of the user agent
}

// unexplained reads the failures that nothing explains, in order of time. They
// are few: those of a day are some thousandths of the accounts, and guesses.
func unexplained(ctx context.Context, q store.Querier) ([]attempt, error) {
	rs, err := orphans(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]attempt, 0, len(rs))
	for _, a := range rs {
		if a.pw != passwordRight && !a.later {
			out = append(out, a)
		}
	}
	return out, nil
}

// settledLater reads the wrong passwords that a network explains in which the
// account settled only afterwards.
func settledLater(ctx context.Context, q store.Querier) ([]attempt, error) {
	rs, err := orphans(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []attempt
	for _, a := range rs {
		if a.later && a.pw != passwordRight {
			out = append(out, a)
		}
	}
	return out, nil
}

// stoppedRight reads the right passwords that were stopped where nothing
// explains them, in order of time.
func stoppedRight(ctx context.Context, q store.Querier) ([]attempt, error) {
	rs, err := orphans(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []attempt
	for _, a := range rs {
		if a.pw == passwordRight && !a.later {
			out = append(out, a)
		}
	}
	return out, nil
}

// orphans asks [orphansSQL] once for all detectors of a run.
func orphans(ctx context.Context, q store.Querier) ([]attempt, error) {
	return once(q, "orphans", func() (out []attempt, err error) {
		families := map[string]string{}
		err = store.Each(ctx, q, orphansSQL()+` SELECT CAST(id AS VARCHAR), tenant, actor, app_id, app_name, resource_id, user_agent, client, ip_kind, country, device_id <> '', ip, origin, prefix, pw, stopped, later = 1, time, day
			FROM orphans ORDER BY time, id`, nil, func(scan scanner) error {
			var a attempt
			if err := scan(&a.id, &a.tenant, &a.actor, &a.app, &a.appName, &a.resource, &a.agent, &a.client, &a.kind, &a.country, &a.device, &a.ip, &a.origin, &a.prefix, &a.pw, &a.stopped, &a.later, &a.at, &a.day); err != nil {
				return err
			}
			a.at, a.day = a.at.UTC(), a.day.UTC()
			f, ok := families[a.agent]
			if !ok {
				f = agentFamily(a.agent)
				families[a.agent] = f
			}
			a.family = f
			out = append(out, a)
			return nil
		})
		return out, err
	})
}

// agentFamily is a user agent without its versions: an update must not make
// another actor of one.
func agentFamily(agent string) string {
	return strings.Join(strings.FieldsFunc(agent, func(r rune) bool { return !unicode.IsLetter(r) }), " ")
}

// guess is a finding of passwords being tried, with the accounts whose password
// was right, or more likely than not.
type guess struct {
	casefile.Finding
	fates []fate
}

// guessFindings asks a detector of guessing once in a run.
func guessFindings(ctx context.Context, q store.Querier, id string, ask func(context.Context, store.Querier) ([]guess, error)) (out []casefile.Finding, err error) {
	gs, err := once(q, id, func() ([]guess, error) { return ask(ctx, q) })
	for _, g := range gs {
		out = append(out, g.Finding)
	}
	return out, err
}

// allGuesses is what all of them found.
func allGuesses(ctx context.Context, q store.Querier) (out []guess, err error) {
	for _, d := range []interface {
		Card() Card
		guesses(ctx context.Context, q store.Querier) ([]guess, error)
	}{slowSpray{}, failuresOneAccount{}, failuresOneIP{}} {
		gs, err := once(q, d.Card().ID, func() ([]guess, error) { return d.guesses(ctx, q) })
		if err != nil {
			return nil, err
		}
		out = append(out, gs...)
	}
	return out, nil
}

// reachOf is the time in which a tenant's sign-ins are in the evidence.
type reachOf struct{ first, last time.Time }

// signInDays gives it for each tenant.
func signInDays(ctx context.Context, q store.Querier) (map[string]reachOf, error) {
	return once(q, "sign-in days", func() (map[string]reachOf, error) {
		out := map[string]reachOf{}
		err := store.Each(ctx, q, `SELECT coalesce(tenant, ''), min(time), max(time) FROM events WHERE `+peopleSQL+` GROUP BY coalesce(tenant, '') ORDER BY 1`, nil, func(scan scanner) error {
			var tenant string
			var a, z sql.NullTime
			if err := scan(&tenant, &a, &z); err != nil {
				return err
			}
			out[tenant] = reachOf{a.Time.UTC(), z.Time.UTC()}
			return nil
		})
		return out, err
	})
}

// acceptedWith counts the sign-ins of each tenant with the applications, by
// application and family of user agent: keys are tenant, application and
// family, and the same without family.
func acceptedWith(ctx context.Context, q store.Querier, apps []string) (map[[3]string]int64, error) {
	out := map[[3]string]int64{}
	if len(apps) == 0 {
		return out, nil
	}
	err := store.Each(ctx, q, `SELECT coalesce(tenant, ''), coalesce(app_id, ''), coalesce(user_agent, ''), count(*) FROM events
		WHERE `+peopleSQL+` AND outcome = 'success' AND coalesce(app_id, '') IN (`+quoted(apps)+`) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, nil, func(scan scanner) error {
		var tenant, app, agent string
		var n int64
		if err := scan(&tenant, &app, &agent, &n); err != nil {
			return err
		}
		out[[3]string{tenant, app, agentFamily(agent)}] += n
		out[[3]string{tenant, app, anyFamily}] += n
		return nil
	})
	return out, err
}

// anyFamily stands for all user agents; no family has a tab in it.
const anyFamily = "\t"
