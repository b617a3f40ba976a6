package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// mfaFatigue finds people who are asked for their second factor until they
// give in.
type mfaFatigue struct{}

const (
	fatiguePrompts = 4              // refused or unanswered prompts in [fatigueTime]; one or two are a phone in another room
	fatigueTime    = 2 * time.Hour  // also from the last of them to the success
	fatigueAfter   = 24 * time.Hour // in which a new method or device is the intruder's
)

// deniedSQL is the condition of a second factor that was refused, timed out or
// failed. Entra and the unified audit log have a code, Okta event types.
// Source: Microsoft Entra authentication error codes; Okta event types catalogue.
const deniedSQL = `(class = 'sign_in' AND (code = '500121' OR reason IN ('500121', 'AuthenticationFailedSasError'))
	OR source = 'okta' AND (operation IN ('user.mfa.okta_verify.deny_push', 'user.mfa.okta_verify.deny_push_upgrade_needed') OR operation = 'user.authentication.auth_via_mfa' AND outcome = 'failure'))`

// registeredSQL is the condition of a new method or device. Accepting
// administrators as well: they are asked to by telephone.
const registeredSQL = `(class = 'auth_method' AND (operation LIKE 'user registered%' OR operation LIKE 'admin registered%' OR operation IN ('user changed default security info', 'user.mfa.factor.activate'))
	OR class = 'device' AND operation IN ('register device', 'add device', 'add registered owner to device')) AND coalesce(outcome, '') <> 'failure' AND time IS NOT NULL`

// Card implements [Detector].
func (mfaFatigue) Card() Card {
	return Card{
		ID:    "mfa_fatigue",
		Title: "Second factor refused again and again",
		Why: "Who has the password and not the telephone sends prompts until the owner approves one to be left in peace. That the prompts come at all says that the " +
			"password is known to somebody.",
		FalsePositives: []string{
			"a person whose telephone has no signal, in a network that is new to it, such as a hotel",
			"a broken authenticator application (low, when the prompts come from the account's own network)",
		},
		Techniques:  []string{"T1621"},
		Stage:       casefile.StageAccess,
		Needs:       signInNeeds(),
		Helps:       []Help{{Source: event.DirectoryLog, Classes: []event.Class{event.ClassAuthMethod, event.ClassDevice}, What: "methods and devices that are registered afterwards are seen in the unified audit log only"}},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.003, Basis: "at 1 refused prompt in 50 and 0.3 prompts a person and day, four within two hours from a network where nobody is at home are a broken telephone on a journey: 1 in 1,000 people and half a year (estimate); none on simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d mfaFatigue) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	query := `WITH denied AS (
		SELECT id, coalesce(tenant, '') AS tenant, time, CAST(floor(epoch_us(time) / 1000000) AS BIGINT) AS sec, actor, ip, coalesce(as_org, '') AS as_org, coalesce(ip_kind, '') AS ip_kind,
			coalesce(country, '') AS country, coalesce(app_id, '') AS app_id, coalesce(app_name, '') AS app_name, coalesce(user_agent, '') AS user_agent, coalesce(client, '') AS client,
			coalesce(protocol, '') AS protocol, coalesce(device_id, '') AS device_id, coalesce(session_id, '') AS session_id, coalesce(token_id, request_id, '') AS token_id,
			coalesce(detail, '') AS detail, ` + networkSQL() + ` AS net, ` + prefixSQL() + ` AS prefix
		FROM events
		WHERE ` + deniedSQL + ` AND actor IS NOT NULL AND actor <> '' AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false AND time IS NOT NULL
			AND (source <> 'ual' OR request_id IS NULL OR request_id NOT IN (SELECT request_id FROM events WHERE class = 'sign_in' AND source = 'signin' AND code = '500121' AND request_id IS NOT NULL))
	), counted AS (
		SELECT *, count(*) OVER (PARTITION BY tenant, actor ORDER BY sec RANGE BETWEEN ` + seconds(fatigueTime) + ` PRECEDING AND CURRENT ROW) AS before,
			count(*) OVER (PARTITION BY tenant, actor ORDER BY sec RANGE BETWEEN CURRENT ROW AND ` + seconds(fatigueTime) + ` FOLLOWING) AS after
		FROM denied
	)
	SELECT ` + visitColumns + ` FROM counted s WHERE s.before + s.after > ` + fmt.Sprint(fatiguePrompts) + ` ORDER BY s.tenant, s.actor, s.time, s.id`
	vs, err := readVisits(ctx, q, query)
	if err != nil || len(vs) == 0 {
		return nil, err
	}
	in, from, to := around(vs)
	got, err := readVisits(ctx, q, acceptedSQL()+` SELECT `+visitColumns+` FROM accepted s WHERE s.actor IN (`+in+`) AND s.time >= ? AND s.time <= ? AND s.detail NOT LIKE '%satisfied by claim%' ORDER BY s.time, s.id`, from, to)
	if err != nil {
		return nil, err
	}
	regs, err := registrations(ctx, q, in)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, series := range seriesOf(vs) {
		out = append(out, d.finding(series, got, regs))
	}
	return manyAre(out, commonMoves, "%d series of failed second factors from people's own networks", "%d series of failed second factors of %d accounts, all from networks that are theirs or their colleagues'. So many are trouble with the second factor itself."), nil
}

// seconds writes a duration for a question.
func seconds(d time.Duration) string { return fmt.Sprint(int64(d / time.Second)) }

// around lists the accounts of visits, and the time in which what belongs to
// them can be.
func around(vs []*visit) (accounts string, from, to time.Time) {
	var names []string
	from, to = vs[0].at, vs[0].at
	for _, v := range vs {
		names = append(names, v.actor)
		if v.at.Before(from) {
			from = v.at
		}
		if v.at.After(to) {
			to = v.at
		}
	}
	return quoted(casefile.Unique(names)), from, to.Add(fatigueAfter)
}

// registrations reads the new methods and devices of accounts, listed for IN.
func registrations(ctx context.Context, q store.Querier, accounts string) ([]record, error) {
	rs, err := records(ctx, q, registeredSQL+` AND (actor IN (`+accounts+`) OR lower(coalesce(target, '')) IN (`+accounts+`))`)
	return oneOf(rs), err
}

// isOf reports whether a registration is for an account.
func (r *record) isOf(account string) bool {
	if t := strings.ToLower(r.Target); strings.Contains(t, "@") {
		return t == account
	}
	return r.Actor == account
}

// seriesOf cuts refused prompts, in order, where more than [fatigueTime] lies
// between two, and keeps what has enough of them.
func seriesOf(vs []*visit) (out [][]*visit) {
	for len(vs) > 0 {
		n := 1
		for n < len(vs) && vs[n].actor == vs[0].actor && vs[n].tenant == vs[0].tenant && vs[n].at.Sub(vs[n-1].at) <= fatigueTime {
			n++
		}
		if n >= fatiguePrompts {
			out = append(out, vs[:n])
		}
		vs = vs[n:]
	}
	return out
}

func (mfaFatigue) finding(series, accepted []*visit, regs []record) casefile.Finding {
	first, last := series[0], series[len(series)-1]
	strangers := map[string]bool{}
	var foreign int64
	for _, v := range series {
		if !v.ownBefore && !v.shared() && !v.device0 {
			strangers[v.net] = true
			foreign++
		}
	}
	f := casefile.Finding{Tenant: first.tenant, Severity: casefile.Low, First: casefile.TimeOf(first.at), Last: casefile.TimeOf(last.at), Detected: casefile.TimeOf(series[fatiguePrompts-1].at)}
	role := casefile.RoleTarget
	for _, v := range series {
		f.Events = append(f.Events, v.id)
		if strangers[v.net] {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: v.ip, Role: casefile.RoleSource})
		}
	}
	f.Title = fmt.Sprintf("%s refused or missed %d prompts for the second factor", first.actor, len(series))
	f.Why = fmt.Sprintf("%s was asked for the second factor %d times from %s to %s without approving, from %s.", first.actor, len(series), f.First, f.Last, places(series))
	var in *visit
	if foreign >= fatiguePrompts {
		f.Severity = casefile.Medium
		f.Why += fmt.Sprintf(" %d of the prompts came from networks where neither the account nor %d colleagues are at home: its password is known to somebody.", foreign, sharedUsers-1)
		for _, v := range accepted {
			if v.actor == first.actor && v.tenant == first.tenant && strangers[v.net] && v.at.After(first.at) && v.at.Sub(last.at) <= fatigueTime && in == nil {
				in = v
			}
		}
	} else {
		f.Why += " The prompts came from networks that are the account's own or its colleagues': trouble with a telephone, as far as the logs say."
	}
	if in != nil {
		f.Severity, role = casefile.High, casefile.RoleConverted
		f.Title += ", then approved one"
		f.Why += fmt.Sprintf(" At %s it signed in from %s.", casefile.TimeOf(in.at), in.place())
		f.Last = casefile.Later(f.Last, casefile.TimeOf(in.at))
		f.Events = append(f.Events, in.id)
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: in.ip, Role: casefile.RoleUsed},
			casefile.Entity{Kind: casefile.Session, ID: in.session, Role: casefile.RoleUsed}, casefile.Entity{Kind: casefile.Token, ID: in.token, Role: casefile.RoleUsed})
		var new int64
		for i := range regs {
			r := &regs[i]
			if r.Tenant != in.tenant || !r.isOf(in.actor) || r.Time.Before(in.at) || r.Time.Sub(in.at) > fatigueAfter {
				continue
			}
			if new++; new == 1 {
				f.Why += fmt.Sprintf(" At %s a method or device was registered (%s).", casefile.TimeOf(r.Time), r.Operation)
			}
			f.Events = append(f.Events, r.ids()...)
			f.Last = casefile.Later(f.Last, casefile.TimeOf(r.Time))
		}
		if new > 0 {
			f.Severity, f.Techniques = casefile.Critical, []string{"T1098.005", "T1556.006"}
			f.Title = fmt.Sprintf("%s gave in after %d prompts for the second factor, and a new method or device was registered", first.actor, len(series))
		}
		f.Counts = append(f.Counts, casefile.Count{Name: "methods or devices registered in a day", Value: float64(new)})
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Account, ID: first.actor, Role: role})
	f.EventCount = int64(len(f.Events))
	if f.EventCount > casefile.MaxEvents {
		f.EventsQuery = `SELECT id FROM events WHERE actor = ` + quoted([]string{first.actor}) + ` AND ` + deniedSQL + ` ORDER BY time, id`
		f.Events = capIDs(f.Events)
	}
	f.Counts = append([]casefile.Count{
		{Name: "prompts not approved", Value: float64(len(series)), Limit: limit(fatiguePrompts)},
		{Name: "from strange networks", Value: float64(foreign), Limit: limit(fatiguePrompts)},
	}, f.Counts...)
	return f
}

// places names the networks of visits, each once.
func places(vs []*visit) string {
	var out []string
	for _, v := range vs {
		if p := v.place(); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return list(out, 4)
}
