package detect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// appManyNetworks finds applications that act without a user from networks
// that change: used once, never again. It needs no time before the actor came,
// so that it sees one who is there since before the logs begin.
type appManyNetworks struct{}

// The limits of a life in changing networks. A product that runs in a cloud
// has several addresses, and uses them again; the actor of the incident took
// each visit from another home.
const (
	changingPlaces = 4    // /24 or /48 that it takes
	changingNets   = 3    // networks (autonomous systems where known) that those lie in
	changingOnce   = 0.75 // share of the places that were used on one day only
	changingDays   = 0.6  // places for each day on which the application was seen
)

// Card implements [Detector].
func (appManyNetworks) Card() Card {
	return Card{
		ID:    "app_many_networks",
		Title: "Application acts from networks that change with every visit",
		Why: "A product acts from the few networks of its servers. Somebody who holds the credential of an application and goes through other people's homes comes from " +
			"another network every time. In the incident applications read mail in this way for weeks.",
		FalsePositives: []string{"a script that runs on a laptop that travels", "a product in a cloud whose addresses change, where the networks of addresses are not known (--asn)"},
		Techniques:     []string{"T1090.002", "T1550.001"},
		Stage:          casefile.StageAccess,
		Needs:          appSignInNeeds(),
		Helps:          []Help{{Source: event.UAL, Classes: []event.Class{event.ClassMailAccess}, What: "it is not known whether the application reads mail"}},
		Severity:       casefile.High,
		FalseAlarms:    FalseAlarms{PerDay: 0.001, Basis: "estimate: one application on somebody's laptop in three years; none in simulated quiet tenants"},
	}
}

// appSignInNeeds is met by sign-ins, or reads of mail. Whether they are of
// applications no inventory says; without any there is nothing to find.
func appSignInNeeds() Needs {
	return Needs{
		Sources: []event.Source{event.SignIn, event.UAL, event.GraphActivity},
		Classes: []event.Class{event.ClassSignIn, event.ClassMailAccess, event.ClassAttachmentAccess, event.ClassGraphRequest},
		Fetch:   "Entra sign-in logs of service principals (Graph /beta auditLogs/signIns with signInEventTypes servicePrincipal, or the diagnostic setting ServicePrincipalSignInLogs), and the unified audit log's MailItemsAccessed",
	}
}

// Detect implements [Detector].
func (d appManyNetworks) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	with := appPlacesSQL() + `, totals AS (
		SELECT tenant, app_id, count(DISTINCT day) AS days FROM uses GROUP BY tenant, app_id
	), spread AS (
		SELECT tenant, app_id, count(*) AS places, count(CASE WHEN days = 1 THEN 1 END) AS once, count(DISTINCT net) AS nets FROM places GROUP BY tenant, app_id
	), chosen AS (
		SELECT s.tenant AS c_tenant, s.app_id AS c_app, s.places AS c_places, s.once AS c_once, t.days AS c_days FROM spread s JOIN totals t ON t.tenant = s.tenant AND t.app_id = s.app_id
		WHERE s.places >= ` + fmt.Sprint(changingPlaces) + ` AND s.nets >= ` + fmt.Sprint(changingNets) + ` AND s.once >= ` + fmt.Sprint(changingOnce) + ` * s.places AND s.places >= ` + fmt.Sprint(changingDays) + ` * t.days
	)`
	type spread struct{ places, once, days int64 }
	found := map[appKey]spread{}
	var order []appKey
	err := store.Each(ctx, q, with+` SELECT c_tenant, c_app, c_places, c_once, c_days FROM chosen ORDER BY c_tenant, c_app`, nil, func(scan scanner) error {
		var k appKey
		var s spread
		if err := scan(&k.tenant, &k.app, &s.places, &s.once, &s.days); err != nil {
			return err
		}
		found[k] = s
		order = append(order, k)
		return nil
	})
	if err != nil || len(order) == 0 {
		return nil, err
	}
	places, err := placesOf(ctx, q, with)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, k := range order {
		s, ps := found[k], places[k]
		facts, err := factsOf(ctx, q, k, time.Time{})
		if err != nil {
			return nil, err
		}
		f := casefile.Finding{Tenant: k.tenant, Severity: casefile.Medium, Entities: facts.entities(k.app)}
		var homes, known int64
		for i := range ps {
			f.First = casefile.Earlier(f.First, casefile.TimeOf(ps[i].first))
			f.Last = casefile.Later(f.Last, casefile.TimeOf(ps[i].last))
			if ps[i].isHome() {
				homes += ps[i].prefixes
			}
			if strings.HasPrefix(ps[i].net, "AS") {
				known++
			}
		}
		if facts.reads > 0 || len(facts.powers) > 0 {
			f.Severity = casefile.High
			if known == 0 && homes == 0 {
				f.Severity = casefile.Medium
			}
		} else if known == 0 {
			f.Severity = casefile.Low
		}
		ips, err := sourceIPs(ctx, q, k, time.Time{})
		if err != nil {
			return nil, err
		}
		f.Entities = append(f.Entities, sources(ips)...)
		for _, key := range facts.keys {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Credential, ID: key, Role: casefile.RoleUsed})
		}
		if f.Detected, err = d.detected(ctx, q, k); err != nil {
			return nil, err
		}
		c, err := cite(ctx, q, "", appPlacesOf, k.tenant, k.app)
		if err != nil {
			return nil, err
		}
		c.into(&f)
		name := firstOf(facts.name, k.app)
		f.Title = fmt.Sprintf("Application %s acts from ever new networks: %d in %d days", name, s.places, s.days)
		f.Counts = []casefile.Count{
			{Name: "places (/24 or /48)", Value: float64(s.places), Limit: limit(changingPlaces)},
			{Name: "networks they lie in", Value: float64(len(ps)), Limit: limit(changingNets)},
			{Name: "share of the places that were used on one day only", Value: round2(float64(s.once) / float64(s.places)), Limit: limit(changingOnce)},
			{Name: "places a day of use", Value: round2(float64(s.places) / float64(s.days)), Limit: limit(changingDays)},
			{Name: "mailboxes read", Value: float64(len(facts.mailboxes))},
		}
		f.Why = fmt.Sprintf("Application %s acted without a user on %s from %s of %s, such as %s; %d of them were used on a single day and never again. Applications live in the few networks of their servers.",
			appWords(facts.name, k.app), plural(s.days, "day", "days"), plural(s.places, "place", "places"), plural(int64(len(ps)), "network", "networks"), placeWords(ps, 4), s.once)
		if homes > 0 {
			f.Why += fmt.Sprintf(" %d of the places are people's lines (residential or mobile).", homes)
		}
		if known == 0 {
			f.Why += " Which networks the addresses belong to is not known; with --asn a cloud product with many addresses can be told apart."
		}
		if w := facts.readWords(); w != "" {
			f.Techniques = append(f.Techniques, "T1114.002")
			f.Why += " It read mail: " + w + "."
			if facts.readDays >= 3 {
				f.Why += fmt.Sprintf(" It came back to the same mailboxes, on up to %d days, as one who follows some people does.", facts.readDays)
			}
		}
		if len(facts.powers) > 0 {
			f.Why += " It was granted " + strings.Join(facts.powers, ", ") + "."
		}
		out = append(out, f)
	}
	return out, nil
}

// appPlacesOf is what [cite] asks for the records of an application that
// appPlacesSQL counts.
const appPlacesOf = `events WHERE coalesce(tenant, '') = ? AND app_id = ? AND class IN ('sign_in', 'mail_access', 'attachment_access', 'graph_request') AND actor_kind = 'app'
		AND coalesce(ip, '') <> '' AND coalesce(ip_service, false) = false AND coalesce(outcome, '') <> 'failure' AND time IS NOT NULL`

// detected is when the application first was in the fourth place and third
// network: the earliest moment at which the logs could have shown it.
func (appManyNetworks) detected(ctx context.Context, q store.Querier, k appKey) (casefile.Time, error) {
	nets := map[string]bool{}
	n := 0
	var at casefile.Time
	err := store.Each(ctx, q, appPlacesSQL()+` SELECT net, first_at FROM places WHERE tenant = ? AND app_id = ? ORDER BY first_at, prefix`, []any{k.tenant, k.app}, func(scan scanner) error {
		var net string
		var t time.Time
		if err := scan(&net, &t); err != nil {
			return err
		}
		nets[net] = true
		if n++; at.IsZero() && n >= changingPlaces && len(nets) >= changingNets {
			at = casefile.TimeOf(t)
		}
		return nil
	})
	return at, err
}
