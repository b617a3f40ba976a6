package detect

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// dormantAccountWakes finds accounts that nobody used for long and that sign in
// from a strange network.
type dormantAccountWakes struct{}

// When an account that nobody uses is dormant.
const (
	silentDays = 30 // without a sign of life, in an account that had one
	neverDays  = 14 // of evidence, in an account that is known so long and never signed in
)

// serviceNames are words of accounts that are nobody's. They make a finding
// more severe and are no reason for one: people are called Tester, too.
var serviceNames = regexp.MustCompile(`(^|[._-])(svc|srv|service|test|tests|tst|demo|dev|admin|adm|legacy|old|sync|scan|scanner|backup|build|deploy|job|app|bot|shared|temp|tmp|training|kiosk|room|noreply)[0-9]*([._-]|[0-9]*$)`)

// serviceName reports whether an account is called like one that is nobody's.
func serviceName(upn string) bool {
	local, _, _ := strings.Cut(upn, "@")
	return serviceNames.MatchString(local)
}

// Card implements [Detector].
func (dormantAccountWakes) Card() Card {
	return Card{
		ID:    "dormant_account_wakes",
		Title: "Dormant account signs in from a strange network",
		Why: "Nobody notices what happens to an account that nobody uses: its password is old, a second factor was never registered, its owner gets no mail about it. " +
			"Intruders look for such accounts.",
		FalsePositives: []string{
			"people back from a long leave who moved meanwhile, on a device that the organization does not manage",
			"seasonal workers, auditors and contractors",
			"an administrator who tries an old test account from home",
		},
		Techniques: []string{"T1078.004"},
		Stage:      casefile.StageAccess,
		Needs:      signInNeeds(),
		Helps: []Help{
			{Source: event.DirectoryLog, Classes: []event.Class{event.ClassUserCreate}, What: "new colleagues are told from old accounts by what happened to their accounts before only"},
			{Source: event.SignIn, Classes: []event.Class{event.ClassSignIn}, What: "an account that only refreshes tokens may look dormant"},
		},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.003, Basis: "1 person in 100 and year returns from 30 days of leave, 1 in 5 of them from a new network without a managed device, half of those in a network that nobody else uses (estimate): 0.003 a day in 1,000 people; none on simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d dormantAccountWakes) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	// What comes back is the first sign-in after a long time without any, and
	// the first of all where there is evidence before it. What else the account
	// did in between is asked for these few.
	query := acceptedSQL() + `, alive AS (
		SELECT DISTINCT coalesce(tenant, '') AS tenant, actor, CAST(time AS DATE) AS day FROM events WHERE ` + peopleSQL + ` AND outcome = 'success'
	), begins AS (
		SELECT coalesce(tenant, '') AS b_tenant, min(time) AS begun FROM events WHERE class = 'sign_in' AND outcome = 'success' AND time IS NOT NULL GROUP BY coalesce(tenant, '')
	), gaps AS (
		SELECT a.tenant, a.actor, a.day, CAST(b.begun AS DATE) AS begun, lag(a.day) OVER (PARTITION BY a.tenant, a.actor ORDER BY a.day) AS before FROM alive a JOIN begins b ON b.b_tenant = a.tenant
	), woken AS (
		SELECT tenant AS w_tenant, actor AS w_actor, day AS w_day FROM gaps
		WHERE before <= day - INTERVAL ` + fmt.Sprint(silentDays) + ` DAY OR before IS NULL AND day >= begun + INTERVAL ` + fmt.Sprint(neverDays) + ` DAY
	), first_of AS (
		SELECT x.*, row_number() OVER (PARTITION BY x.tenant, x.actor, x.day ORDER BY x.time, x.id) AS nr FROM accepted x JOIN woken w ON w.w_tenant = x.tenant AND w.w_actor = x.actor AND w.w_day = x.day
	)
	SELECT ` + visitColumns + ` FROM first_of s WHERE s.nr = 1 ORDER BY s.time, s.id`
	vs, err := readVisits(ctx, q, query)
	if err != nil || len(vs) == 0 {
		return nil, err
	}
	past, err := d.pasts(ctx, q, vs)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, v := range vs {
		if f, ok := d.finding(v, past[[2]string{v.tenant, v.actor}]); ok {
			out = append(out, f)
		}
	}
	return manyAre(out, commonMoves, "%d accounts signed in after a long silence, from networks that others use as well",
		"%d sign-ins of %d accounts followed on a long silence. So many are a season, a rollout or an export that was not whole."), nil
}

// past is what is known of an account before it woke.
type past struct {
	alive   []time.Time // days with a sign of life, in order
	created time.Time   // zero: not in the evidence
	known   time.Time   // first record that names it and is not its own; zero: none
}

// pasts reads the pasts of the accounts of visits.
func (dormantAccountWakes) pasts(ctx context.Context, q store.Querier, vs []*visit) (map[[2]string]*past, error) {
	out := map[[2]string]*past{}
	var actors []string
	for _, v := range vs {
		out[[2]string{v.tenant, v.actor}] = &past{}
		actors = append(actors, v.actor)
	}
	in := quoted(casefile.Unique(actors))
	life := `class <> 'message_trace' AND (class <> 'sign_in' OR outcome = 'success')`
	query := `SELECT DISTINCT 'alive' AS what, coalesce(tenant, '') AS tenant, actor AS who, CAST(CAST(time AS DATE) AS TIMESTAMP) AS at FROM events WHERE actor IN (` + in + `) AND time IS NOT NULL AND ` + life + `
		UNION ALL SELECT 'created', coalesce(tenant, ''), lower(target), min(time) FROM events WHERE class = 'user_create' AND coalesce(outcome, '') <> 'failure' AND target IS NOT NULL AND lower(target) IN (` + in + `) AND time IS NOT NULL GROUP BY coalesce(tenant, ''), lower(target)
		UNION ALL SELECT 'known', coalesce(tenant, ''), lower(target), min(time) FROM events WHERE class <> 'user_create' AND target IS NOT NULL AND lower(target) IN (` + in + `) AND time IS NOT NULL GROUP BY coalesce(tenant, ''), lower(target)
		UNION ALL SELECT 'known', coalesce(tenant, ''), mailbox, min(time) FROM events WHERE mailbox IS NOT NULL AND mailbox IN (` + in + `) AND time IS NOT NULL GROUP BY coalesce(tenant, ''), mailbox
		UNION ALL SELECT 'known', coalesce(tenant, ''), actor, min(time) FROM events WHERE class = 'sign_in' AND coalesce(outcome, '') <> 'success' AND actor IN (` + in + `) AND time IS NOT NULL GROUP BY coalesce(tenant, ''), actor
		ORDER BY 4, 1, 2, 3`
	err := store.Each(ctx, q, query, nil, func(scan scanner) error {
		var what, tenant, who string
		var at time.Time
		if err := scan(&what, &tenant, &who, &at); err != nil {
			return err
		}
		p := out[[2]string{tenant, who}]
		if p == nil {
			return nil // an account of the same name in another tenant
		}
		switch at = at.UTC(); {
		case what == "alive":
			p.alive = append(p.alive, at)
		case what == "created" && p.created.IsZero():
			p.created = at
		case what == "known" && p.known.IsZero():
			p.known = at
		}
		return nil
	})
	return out, err
}

func (dormantAccountWakes) finding(v *visit, p *past) (casefile.Finding, bool) {
	const day = 24 * time.Hour
	var silent time.Duration
	var how string
	last := time.Time{}
	for _, d := range p.alive {
		if d.Before(v.at.Truncate(day)) {
			last = d
		}
	}
	switch {
	case !last.IsZero():
		if silent = v.at.Truncate(day).Sub(last); silent < silentDays*day {
			return casefile.Finding{}, false // it did other things than signing in
		}
		how = fmt.Sprintf("its last sign of life before was on %s, %d days earlier", last.Format(time.DateOnly), int(silent/day))
	case !p.created.IsZero() && v.at.Sub(p.created) < silentDays*day:
		return casefile.Finding{}, false // a new colleague
	case !p.created.IsZero():
		silent = v.at.Sub(p.created)
		how = fmt.Sprintf("it was created on %s and had never signed in", p.created.Format(time.DateOnly))
	case !p.known.IsZero() && v.at.Sub(p.known) >= neverDays*day:
		silent = v.at.Sub(p.known)
		how = fmt.Sprintf("it was known since %s and had not signed in in all of the evidence before, %d days", p.known.Format(time.DateOnly), int(v.at.Sub(v.begun)/day))
	default:
		return casefile.Finding{}, false
	}
	if v.shared() || v.ownBefore || v.device0 || v.managed() {
		return casefile.Finding{}, false
	}
	strange := v.strange()
	weight := len(strange)
	reasons := strange
	if serviceName(v.actor) {
		weight++
		reasons = append(reasons, "its name is that of a service or test")
	}
	if len(v.wrong) > 0 {
		weight++
		reasons = append(reasons, v.guessedWords())
	}
	if legacyClient(v) != "" {
		weight++
		reasons = append(reasons, "it used "+legacyClient(v)+", which asks for no second factor")
	}
	f := v.finding(casefile.RoleConverted)
	switch {
	case weight >= 3 || weight == 2 && len(strange) < 2:
		f.Severity = casefile.High
	case weight >= 1:
		f.Severity = casefile.Medium
	default:
		f.Severity = casefile.Low
	}
	if f.Severity == casefile.Low {
		f.Entities = v.entities(casefile.RoleTarget)
		reasons = append(reasons, fmt.Sprintf("%s sign in from the same provider, so that it may be somebody back from a long leave", plural(v.inNet, "colleague", "colleagues")))
	}
	f.Title = fmt.Sprintf("%s signed in after %d days of silence, from a network that is new to it", v.actor, int(silent/day))
	f.Why = fmt.Sprintf("%s signed in at %s from %s; %s. Fewer than %d accounts sign in from that address range, and the account had not signed in from that network in the %d days before; %s.", v.actor, casefile.TimeOf(v.at), v.place(), how, sharedUsers, familiarDays, strings.Join(reasons, "; "))
	f.Counts = []casefile.Count{
		{Name: "days of silence", Value: float64(int(silent / day)), Limit: limit(neverDays)},
		{Name: "other accounts in the /24 or /48", Value: float64(max(v.sharedBy, 0)), Limit: limit(sharedUsers - 1)},
		{Name: "other accounts in the network", Value: float64(max(v.inNet, 0))},
		{Name: "unexplained wrong passwords before", Value: float64(v.guessed())},
	}
	if !last.IsZero() {
		f.Counts[0].Limit = limit(silentDays)
	}
	return f, true
}
