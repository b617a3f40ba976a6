package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// legacyAuthFirst finds accounts that sign in over a legacy protocol for the
// first time.
type legacyAuthFirst struct{}

// legacyBefore is how many days of evidence without such a sign-in make one
// the first.
const legacyBefore = 7

// legacyClients lists what Entra calls the clients of legacy authentication,
// in lower case.
// Source: Microsoft, "Block legacy authentication", and the sign-in log's
// filter of client apps.
func legacyClients() []string {
	return []string{
		"authenticated smtp", "autodiscover", "exchange activesync", "exchange online powershell", "exchange web services", "imap", "imap4", "mapi over http",
		"offline address book", "other clients", "other clients; imap", "other clients; pop", "other clients; smtp", "other clients; older office clients", "outlook anywhere (rpc over http)", "pop", "pop3",
		"reporting web services", "smtp",
	}
}

// legacyAgents lists the user agents of Exchange's own components that pass a
// password on.
func legacyAgents() []string { return []string{"BAV2ROPC", "CBAinPROD", "CBAinTAR"} }

// legacySQL is the condition of a sign-in that sent the password over a
// protocol which cannot ask for a second factor.
func legacySQL() string {
	return `(coalesce(protocol, '') = 'ropc' OR lower(coalesce(client, '')) IN (` + quoted(legacyClients()) + `) OR coalesce(user_agent, '') IN (` + quoted(legacyAgents()) + `))`
}

// legacyClient names the legacy protocol of a visit, or nothing.
func legacyClient(v *visit) string {
	switch {
	case slices.Contains(legacyAgents(), v.agent):
		return v.agent
	case v.protocol == "ropc":
		return "the password grant (ROPC)"
	case slices.Contains(legacyClients(), strings.ToLower(v.client)):
		return v.client
	}
	return ""
}

// Card implements [Detector].
func (legacyAuthFirst) Card() Card {
	return Card{
		ID:    "legacy_auth_first",
		Title: "First sign-in over a legacy protocol",
		Why: "IMAP, POP, SMTP, ActiveSync and the password grant send the password alone and cannot ask for a second factor. Who guessed a password uses them to get in " +
			"where a browser would be stopped; people do not take them up of their own accord.",
		FalsePositives: []string{
			"a new phone or scanner that is set up with an old mail client",
			"a script or line-of-business application whose account is new",
		},
		Techniques: []string{"T1078.004", "T1550"},
		Stage:      casefile.StageAccess,
		Needs: Needs{
			Sources: []event.Source{event.SignIn, event.UAL},
			Classes: []event.Class{event.ClassSignIn},
			Fetch:   signInNeeds().Fetch,
		},
		Helps:       []Help{{Source: event.SignIn, Classes: []event.Class{event.ClassSignIn}, What: "legacy clients are known by their user agent only"}},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.004, Basis: "1 account in 10,000 and day begins to use a legacy client (estimate), nearly always at the office or at home; none on simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d legacyAuthFirst) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	query := acceptedSQL() + `, begins AS (
		SELECT coalesce(tenant, '') AS b_tenant, min(time) AS begun FROM events WHERE class = 'sign_in' AND outcome = 'success' AND time IS NOT NULL GROUP BY coalesce(tenant, '')
	), legacy AS (
		SELECT x.*, row_number() OVER (PARTITION BY x.tenant, x.actor ORDER BY x.time, x.id) AS nr FROM accepted x WHERE ` + legacySQL() + `
	)
	SELECT ` + visitColumns + ` FROM legacy s JOIN begins b ON b.b_tenant = s.tenant WHERE s.nr = 1 AND s.time >= b.begun + INTERVAL ` + fmt.Sprint(legacyBefore) + ` DAY ORDER BY s.time, s.id`
	vs, err := readVisits(ctx, q, query)
	if err != nil || len(vs) == 0 {
		return nil, err
	}
	users := map[string]int64{}
	err = store.Each(ctx, q, `SELECT coalesce(tenant, ''), count(DISTINCT actor) FROM events WHERE `+peopleSQL+` AND outcome = 'success' AND `+legacySQL()+` GROUP BY coalesce(tenant, '')`, nil, func(scan scanner) error {
		var t string
		var n int64
		err := scan(&t, &n)
		users[t] = n
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, v := range vs {
		out = append(out, d.finding(v, users[v.tenant]))
	}
	return manyAre(out, commonMoves, "%d accounts began to use legacy protocols, which is ordinary here",
		"%d first sign-ins over legacy protocols by %d accounts, from networks that are theirs or their colleagues'. So many are a rollout or a habit of this organization; each is a way past the second factor."), nil
}

func (legacyAuthFirst) finding(v *visit, users int64) casefile.Finding {
	f := v.finding(casefile.RoleTarget)
	f.Severity = casefile.Low
	// ActiveSync is what phones speak that are set up with the system's own
	// mail client, today with modern authentication as well.
	phone := strings.EqualFold(v.client, "exchange activesync") && v.protocol != "ropc" && !slices.Contains(legacyAgents(), v.agent)
	var reasons []string
	familiar := v.ownBefore || v.shared() || v.device0
	if !familiar {
		reasons = append(reasons, "the network is new to the account and not one of its colleagues'")
		reasons = append(reasons, v.strange()...)
		if len(v.wrong) > 0 {
			reasons = append(reasons, v.guessedWords())
		}
		switch {
		case len(v.wrong) > 0, !phone && len(v.strange()) >= 2:
			f.Severity = casefile.High
		case !phone, len(v.strange()) > 0:
			f.Severity = casefile.Medium
		}
	} else {
		reasons = append(reasons, "it came from a network or device that is the account's own or its colleagues'")
	}
	if f.Severity.Rank() >= casefile.Medium.Rank() {
		f.Entities = v.entities(casefile.RoleConverted)
	}
	f.Title = fmt.Sprintf("%s signed in over %s for the first time", v.actor, legacyClient(v))
	f.Why = fmt.Sprintf("%s signed in over %s at %s from %s, after %d days of evidence in which it never used a legacy protocol; %s in the organization do in all of the evidence. %s.", v.actor, legacyClient(v),
		casefile.TimeOf(v.at), v.place(), int(v.at.Sub(v.begun).Hours()/24), plural(users, "account", "accounts"), upperFirst(strings.Join(reasons, "; ")))
	f.Counts = []casefile.Count{
		{Name: "days of evidence before", Value: float64(int(v.at.Sub(v.begun).Hours() / 24)), Limit: limit(legacyBefore)},
		{Name: "accounts that use legacy protocols", Value: float64(users)},
		{Name: "other accounts in the /24 or /48", Value: float64(max(v.sharedBy, 0)), Limit: limit(sharedUsers - 1)},
		{Name: "unexplained wrong passwords before", Value: float64(v.guessed())},
	}
	return f
}

// upperFirst writes the first letter large.
func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
