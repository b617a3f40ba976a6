package detect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// dormantApp is after how long without a sign-in an application is dormant.
const dormantApp = 30 * 24 * time.Hour

// habits is how an application signed in before it got a credential, how the
// credential was used, and where the account that added it was at home.
type habits struct {
	logged    bool          // the evidence has sign-ins of applications with the credentials they used
	uses      int64         // sign-ins with the credential
	before    int64         // sign-ins of the application before
	idle      time.Duration // before the credential, without a sign-in of the application, as far back as there are any of applications
	strange   int64         // uses of the new credential from networks that the application was never in before
	mail      int64         // records of the application reading mail
	actorAway bool          // the account added it from a network in which it had not signed in before
}

// credentialHabits reads the habits for each record of a credential that was
// added, by the record's id. However many there are, it asks a fixed number of
// questions.
func credentialHabits(ctx context.Context, q store.Querier, rs []record) (map[string]habits, error) {
	out := map[string]habits{}
	var adds []*record
	var keys []string
	for i := range rs {
		if event.Class(rs[i].Class) == event.ClassCredentialAdd {
			adds = append(adds, &rs[i])
			keys = append(keys, strings.Fields(rs[i].KeyID)...)
		}
	}
	if len(adds) == 0 {
		return out, nil
	}
	var begun sql.NullTime
	err := store.Each(ctx, q, `SELECT min(time) FROM events WHERE class = 'sign_in' AND key_id IS NOT NULL AND key_id <> '' AND actor_kind = 'app'`, nil, func(scan scanner) error { return scan(&begun) })
	if err != nil {
		return nil, err
	}
	uses, apps, err := keyUses(ctx, q, keys)
	if err != nil {
		return nil, err
	}
	away, err := actorsAway(ctx, q, adds)
	if err != nil {
		return nil, err
	}
	for _, r := range adds {
		h := habits{actorAway: away[r.ID]}
		if h.logged = begun.Valid && r.KeyID != ""; h.logged {
			h.idle = max(0, r.Time.Sub(begun.Time))
		}
		for k := range strings.FieldsSeq(r.KeyID) {
			h.uses += uses[k]
		}
		out[r.ID] = h
	}
	if !begun.Valid {
		return out, nil
	}
	for chunk := range slices.Chunk(adds, 200) {
		if err := appHabits(ctx, q, chunk, apps, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keyUses counts the sign-ins with credentials, and says of which application
// they are.
func keyUses(ctx context.Context, q store.Querier, keys []string) (uses map[string]int64, apps map[string]string, err error) {
	uses, apps = map[string]int64{}, map[string]string{}
	for chunk := range slices.Chunk(casefile.Unique(keys), 500) {
		err = store.Each(ctx, q, `SELECT key_id, count(*), max(coalesce(app_id, '')) FROM events WHERE class = 'sign_in' AND key_id IN (`+quoted(chunk)+`) GROUP BY key_id`, nil, func(scan scanner) error {
			var key, app string
			var n int64
			err := scan(&key, &n, &app)
			uses[key], apps[key] = n, app
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return uses, apps, nil
}

// appHabits adds how the applications signed in, for some records.
func appHabits(ctx context.Context, q store.Querier, adds []*record, apps map[string]string, out map[string]habits) error {
	var rows []string
	var args []any
	for _, r := range adds {
		for _, k := range strings.Fields(r.KeyID) {
			if app := firstOf(apps[k], r.targetApp()); app != "" {
				rows = append(rows, `SELECT CAST(? AS VARCHAR) AS c_id, CAST(? AS VARCHAR) AS c_app, CAST(? AS VARCHAR) AS c_key, CAST(? AS TIMESTAMP) AS c_at`)
				args = append(args, r.ID, app, k, r.Time)
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	with := `WITH creds AS (` + strings.Join(rows, ` UNION ALL `) + `), mine AS (
		SELECT app_id, time, coalesce(key_id, '') AS key_id, class, coalesce(ip, '') AS ip, ` + networkSQL() + ` AS net FROM events
		WHERE app_id IN (SELECT c_app FROM creds) AND class IN ('sign_in', 'mail_access', 'attachment_access') AND coalesce(outcome, '') <> 'failure' AND actor_kind = 'app'
	), known AS (
		SELECT DISTINCT c_id AS k_id, net AS k_net FROM creds JOIN mine ON app_id = c_app WHERE time < c_at AND ip <> ''
	)
	SELECT c_id, count(CASE WHEN class = 'sign_in' AND time < c_at THEN 1 END), max(CASE WHEN class = 'sign_in' AND time < c_at THEN time END),
		count(CASE WHEN class = 'sign_in' AND time >= c_at AND key_id = c_key AND ip <> '' AND k_id IS NULL THEN 1 END), count(CASE WHEN class <> 'sign_in' THEN 1 END)
	FROM creds JOIN mine ON app_id = c_app LEFT JOIN known ON k_id = c_id AND k_net = net GROUP BY c_id ORDER BY c_id`
	at := map[string]time.Time{}
	for _, r := range adds {
		at[r.ID] = r.Time
	}
	return store.Each(ctx, q, with, args, func(scan scanner) error {
		var id string
		var before, strange, mail int64
		var last sql.NullTime
		if err := scan(&id, &before, &last, &strange, &mail); err != nil {
			return err
		}
		h := out[id]
		h.before, h.strange, h.mail = h.before+before, h.strange+strange, h.mail+mail
		if last.Valid {
			h.idle = min(h.idle, max(0, at[id].Sub(last.Time)))
		}
		out[id] = h
		return nil
	})
}

// actorsAway says of which records the account acted from a network in which
// it had not signed in before, of which there are several days, and which
// hardly anybody else uses.
func actorsAway(ctx context.Context, q store.Querier, adds []*record) (map[string]bool, error) {
	const settled = 5 // days of sign-ins before
	out := map[string]bool{}
	var ids []string
	for _, r := range adds {
		if strings.Contains(r.Actor, "@") && r.IP != "" && !r.IPService {
			ids = append(ids, r.ID)
		}
	}
	for chunk := range slices.Chunk(ids, 500) {
		with := `WITH adds AS (
			SELECT CAST(id AS VARCHAR) AS a_id, actor AS a_actor, ` + networkSQL() + ` AS a_net, time AS a_at FROM events WHERE id IN (` + quoted(chunk) + `)
		), theirs AS (
			SELECT actor, time, CAST(time AS DATE) AS day, ` + networkSQL() + ` AS net FROM events WHERE ` + peopleSQL + ` AND outcome = 'success'
		), own AS (
			SELECT a_id AS o_id, count(DISTINCT day) AS o_days, count(CASE WHEN net = a_net THEN 1 END) AS o_there FROM adds JOIN theirs ON actor = a_actor WHERE time < a_at - INTERVAL 1 DAY GROUP BY a_id
		), shared AS (
			SELECT net AS s_net, count(DISTINCT actor) AS s_actors FROM theirs WHERE net IN (SELECT a_net FROM adds) GROUP BY net
		)
		SELECT a_id FROM adds JOIN own ON o_id = a_id LEFT JOIN shared ON s_net = a_net WHERE o_there = 0 AND o_days >= ` + fmt.Sprint(settled) + ` AND coalesce(s_actors, 0) < ` + fmt.Sprint(sharedUsers) + ` ORDER BY a_id`
		err := store.Each(ctx, q, with, nil, func(scan scanner) error {
			var id string
			err := scan(&id)
			out[id] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// judge weighs a credential by its use. Developers and pipelines add secrets
// every week; what nobody uses, or what is used where the application always
// was, is a renewal. Where the sign-ins of applications are not in the
// evidence, nothing is known of its use, and that is no reason to be calm.
func (h *habits) judge(uses int64, was casefile.Severity) (string, casefile.Severity) {
	switch {
	case !h.logged || was == casefile.High || was == casefile.Low:
		return "", was
	case uses == 0 && h.mail > 0:
		return "No sign-in with it is in the evidence, but the application reads mail without a user: who holds the secret can, too.", casefile.Medium
	case uses == 0:
		return "No sign-in with it is in the evidence.", casefile.Low
	case h.idle >= dormantApp:
		return fmt.Sprintf("The application had not signed in for the %.0f days before, as far back as the evidence goes: a dormant application was woken.", h.idle.Hours()/24), casefile.High
	case h.before > 0 && h.strange == 0:
		return "It was used from the networks in which the application signed in before.", casefile.Low
	case h.before > 0 && h.mail > 0:
		return fmt.Sprintf("It was used %s from networks in which the application had never been, and the application reads mail.", plural(h.strange, "time", "times")), casefile.High
	case h.before > 0:
		return fmt.Sprintf("It was used %s from networks in which the application had never been.", plural(h.strange, "time", "times")), casefile.Medium
	}
	return "The application had not signed in before, as far as the evidence says.", was
}
