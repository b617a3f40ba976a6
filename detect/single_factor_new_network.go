package detect

import (
	"context"
	"fmt"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// singleFactorNewNetwork finds accounts without a second factor that sign in
// from a new network when something rarer speaks against it. By itself a new
// network says nothing: people travel and move.
type singleFactorNewNetwork struct{}

// adminTools are applications with which one looks around in a tenant or
// changes it, and their names. People who do not run it do not use them.
// Source: application ids published by Microsoft (merill/microsoft-info, MIT).
func adminTools() map[string]string {
	return map[string]string{
		"c44b4083-3bb0-49c1-b47d-974e53cbdf3c": "Azure Portal",
		"1950a258-227b-4e31-a9cf-717495945fc2": "Azure PowerShell",
		"04b07795-8ddb-461a-bbee-02f9e1bf7b46": "Azure CLI",
		"14d82eec-204b-4c2f-b7e8-296a70dab67e": "Microsoft Graph PowerShell",
		"de8bc8b5-d9f9-48b1-a8ad-b748da725064": "Graph Explorer",
		"1b730954-1685-4b74-9bfd-dac224a7b894": "Azure AD PowerShell",
		"fb78d390-0c51-40cd-8e17-fdbfab77341b": "Exchange Online PowerShell",
	}
}

// Card implements [Detector].
func (singleFactorNewNetwork) Card() Card {
	return Card{
		ID:    "single_factor_new_network",
		Title: "Account without a second factor signs in from a strange network",
		Why: "An account that needs no second factor is open to whoever guesses its password. Its first sign-in from a network that is nobody's, after wrong passwords or " +
			"with an administrator's tool, is what a guessed password looks like.",
		FalsePositives: []string{
			"a traveller who mistyped the password in two places",
			"an administrator or developer without a second factor who works from a new place",
		},
		Techniques: []string{"T1078.004"},
		Stage:      casefile.StageAccess,
		Needs: Needs{
			Sources: []event.Source{event.SignIn},
			Classes: []event.Class{event.ClassSignIn},
			Fetch:   "Entra sign-in logs (Graph /beta auditLogs/signIns): the unified audit log does not say whether a second factor was asked for",
		},
		Severity:    casefile.Medium,
		FalseAlarms: FalseAlarms{PerDay: 0.005, Basis: "6 of 100 accounts without a second factor, 1 first sign-in from a new network a month each, unexplained wrong passwords before 1 in 200 of them (estimate); measured on simulated quiet tenants"},
	}
}

// What speaks against a sign-in, and from what sum on it is a finding.
const (
	weightGuessed = 2
	weightTool    = 2
	weightNet     = 1 // each rare thing about the network
	weightEnough  = 3
	weightHigh    = 5
)

// Detect implements [Detector].
func (d singleFactorNewNetwork) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	// Of the first sign-ins from a network those of accounts whose password was
	// ever wrong, or with a tool, come back: whether it was wrong before, and
	// where, is asked for these.
	tools := quoted(sortedKeysOf(adminTools()))
	query := acceptedSQL() + `, begins AS (
		SELECT coalesce(tenant, '') AS b_tenant, min(time) AS begun FROM events WHERE class = 'sign_in' AND outcome = 'success' AND time IS NOT NULL GROUP BY coalesce(tenant, '')
	), multi AS (
		SELECT DISTINCT tenant AS m_tenant, actor AS m_actor FROM accepted WHERE detail LIKE '%"auth_requirement":"multi"%'
	), single AS (
		SELECT a.* FROM accepted a LEFT JOIN multi m ON m.m_tenant = a.tenant AND m.m_actor = a.actor WHERE m.m_actor IS NULL AND a.detail LIKE '%"auth_requirement":"single"%'
	), first_net AS (
		SELECT tenant AS f_tenant, actor AS f_actor, net AS f_net, min(time) AS since FROM single GROUP BY tenant, actor, net
	), first_app AS (
		SELECT tenant AS p_tenant, actor AS p_actor, app_id AS p_app, min(time) AS app_since FROM single WHERE app_id IN (` + tools + `) GROUP BY tenant, actor, app_id
	), fresh AS (
		SELECT s.*, p.app_since FROM single s
			JOIN first_net f ON f.f_tenant = s.tenant AND f.f_actor = s.actor AND f.f_net = s.net AND f.since = s.time
			JOIN begins b ON b.b_tenant = s.tenant
			LEFT JOIN first_app p ON p.p_tenant = s.tenant AND p.p_actor = s.actor AND p.p_app = s.app_id
		WHERE s.device_id = '' AND s.time >= b.begun + INTERVAL ` + fmt.Sprint(warmUpDays) + ` DAY
	)
	SELECT ` + visitColumns + ` FROM fresh s WHERE s.app_since = s.time
		OR s.actor IN (SELECT actor FROM events WHERE ` + peopleSQL + ` AND coalesce(outcome, '') <> 'success' AND ` + passwordSQL() + ` = 'wrong') ORDER BY s.time, s.id`
	vs, err := readVisits(ctx, q, query)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, v := range vs {
		if f, ok := d.finding(v); ok {
			out = append(out, f)
		}
	}
	return out, nil
}

func (singleFactorNewNetwork) finding(v *visit) (casefile.Finding, bool) {
	if v.shared() || v.ownBefore || v.managed() {
		return casefile.Finding{}, false
	}
	var reasons []string
	weight := 0
	if len(v.wrong) > 0 {
		weight += weightGuessed
		reasons = append(reasons, v.guessedWords())
	}
	strange := v.strange()
	weight += weightNet * len(strange)
	reasons = append(reasons, strange...)
	tool := adminTools()[v.app]
	if tool != "" {
		weight += weightTool
		reasons = append(reasons, "with "+tool)
	}
	// What is rare about the network alone is what travellers show, too.
	if weight < weightEnough || len(v.wrong) == 0 && tool == "" {
		return casefile.Finding{}, false
	}
	f := v.finding(casefile.RoleConverted)
	f.Severity = casefile.Medium
	if weight >= weightHigh {
		f.Severity = casefile.High
	}
	f.Title = fmt.Sprintf("%s signed in without a second factor from a strange network", v.actor)
	f.Why = fmt.Sprintf("%s, which never used a second factor in the evidence, signed in with the password alone at %s from %s, for the first time and from no known device. Against it speaks: %s.",
		v.actor, casefile.TimeOf(v.at), v.place(), strings.Join(reasons, "; "))
	f.Counts = []casefile.Count{
		{Name: "what speaks against it, weighed", Value: float64(weight), Limit: limit(weightEnough)},
		{Name: "unexplained wrong passwords before", Value: float64(v.guessed())},
		{Name: "other accounts in the network", Value: float64(max(v.inNet, 0))},
	}
	return f, true
}
