package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// servicePrincipalNewNetwork finds applications that lived in a few networks
// and then act from another one, while they go on in the old: somebody else
// holds a credential of theirs.
type servicePrincipalNewNetwork struct{}

// What a settled life is.
const (
	settledApp      = 14 * 24 * time.Hour // in the same networks, before a new one is news
	settledNets     = 3                   // networks that a product may live in
	settledAppDays  = 5                   // days on which a network was used that is the application's own
	newNetworkShare = 0.5                 // of the days since its first use: a network used more than that is a move or an extension
)

// Card implements [Detector].
func (servicePrincipalNewNetwork) Card() Card {
	return Card{
		ID:    "service_principal_new_network",
		Title: "Application acts from a network that is new to it",
		Why: "An application that has signed in from the same servers for weeks, and now and then from somewhere else besides, has a second holder of its credential: " +
			"an intruder with a stolen or added secret, or an employee at home.",
		FalsePositives: []string{"a developer who tries the application's credential at home", "the vendor's second region or a failover", "a move to other servers"},
		Techniques:     []string{"T1550.001", "T1078.004"},
		Stage:          casefile.StageAccess,
		Needs:          appSignInNeeds(),
		Severity:       casefile.Medium,
		FalseAlarms:    FalseAlarms{PerDay: 0.004, Basis: "estimate: a failover or a developer at home, three in two years; none in simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d servicePrincipalNewNetwork) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	with := appPlacesSQL() + `, nets AS (
		SELECT tenant, app_id, net, min(time) AS first_at, count(DISTINCT day) AS days FROM uses GROUP BY tenant, app_id, net
	), homes AS (
		SELECT tenant AS h_tenant, app_id AS h_app, min(first_at) AS h_first FROM nets WHERE days >= ` + fmt.Sprint(settledAppDays) + ` GROUP BY tenant, app_id
	), chosen AS (
		SELECT DISTINCT n.tenant AS c_tenant, n.app_id AS c_app FROM nets n JOIN homes h ON h.h_tenant = n.tenant AND h.h_app = n.app_id WHERE n.first_at >= h.h_first + INTERVAL ` + fmt.Sprint(int(settledApp.Hours()/24)) + ` DAY
	)`
	places, err := placesOf(ctx, q, with)
	if err != nil {
		return nil, err
	}
	var keys []appKey
	for k := range places {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b appKey) int { return strings.Compare(a.tenant+" "+a.app, b.tenant+" "+b.app) })
	var out []casefile.Finding
	for _, k := range keys {
		own, strange, moved := d.split(places[k])
		if len(own) == 0 || len(strange)+len(moved) == 0 {
			continue
		}
		f, err := d.finding(ctx, q, k, own, strange, moved)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// split tells an application's own networks from those that are new, and
// these from networks that it moved or extended to. An application that never
// was settled has no own networks.
func (servicePrincipalNewNetwork) split(ps []place) (own, strange, moved []place) {
	first, last := ps[0].first, ps[0].last
	for _, p := range ps {
		if p.last.After(last) {
			last = p.last
		}
	}
	early := 0
	for _, p := range ps {
		if p.first.Before(first.Add(settledApp)) {
			if early++; p.days >= settledAppDays {
				own = append(own, p)
			}
			continue
		}
		// A network that is used from then on, on most days, is where the
		// application lives now; hardly an intruder's, who would have to keep
		// its schedule.
		since := last.Sub(p.first).Hours()/24 + 1
		if p.days >= settledAppDays && float64(p.days) >= newNetworkShare*since && !p.isHome() {
			moved = append(moved, p)
		} else {
			strange = append(strange, p)
		}
	}
	if early > settledNets {
		return nil, nil, nil
	}
	return own, strange, moved
}

func (d servicePrincipalNewNetwork) finding(ctx context.Context, q store.Querier, k appKey, own, strange, moved []place) (casefile.Finding, error) {
	f := casefile.Finding{Tenant: k.tenant, Severity: casefile.Medium}
	news := strange
	if len(news) == 0 {
		news = moved
		f.Severity = casefile.Low
	}
	nets := netNames(news)
	ips, err := sourceIPs(ctx, q, k, news[0].first, nets...)
	if err != nil {
		return f, err
	}
	facts, err := factsOf(ctx, q, k, news[0].first, ips...)
	if err != nil {
		return f, err
	}
	// Its sign-ins are from there, and reads may be recorded with another
	// address: what it reads at all decides how grave this is.
	all, err := factsOf(ctx, q, k, time.Time{})
	if err != nil {
		return f, err
	}
	f.Entities = facts.entities(k.app)
	var used, homes, reads int64
	for i := range news {
		p := &news[i]
		f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(p.first)), casefile.Later(f.Last, casefile.TimeOf(p.last))
		used, reads = used+p.records, reads+p.reads
		if p.isHome() {
			homes++
		}
	}
	newKeys := without(facts.keys, keysElsewhere(ctx, q, k, nets, &err))
	if err != nil {
		return f, err
	}
	if f.Severity != casefile.Low && (reads > 0 || len(newKeys) > 0 || (homes > 0 && (all.reads > 0 || len(all.powers) > 0))) {
		f.Severity = casefile.High
	}
	if f.Severity == casefile.Medium && all.reads == 0 && len(all.powers) == 0 && homes == 0 {
		f.Severity = casefile.Low
	}
	f.Entities = append(f.Entities, sources(ips)...)
	for _, key := range newKeys {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Credential, ID: key, Role: casefile.RoleUsed})
	}
	c, err := cite(ctx, q, "", appPlacesOf+` AND time >= ? AND ip IN (`+quoted(ips)+`)`, k.tenant, k.app, news[0].first)
	if err != nil {
		return f, err
	}
	c.into(&f)
	name := firstOf(all.name, k.app)
	settled := news[0].first.Sub(own[0].first).Hours() / 24
	f.Title = fmt.Sprintf("Application %s acts from a network that is new to it: %s", name, placeWords(news, 2))
	f.Counts = []casefile.Count{
		{Name: "days in its own networks before", Value: round2(settled), Limit: limit(settledApp.Hours() / 24)},
		{Name: "networks of its own", Value: float64(len(own)), Limit: limit(settledNets)},
		{Name: "new networks", Value: float64(len(news))},
		{Name: "records from new networks", Value: float64(used)},
		{Name: "mailboxes read from there", Value: float64(len(facts.mailboxes))},
	}
	f.Why = fmt.Sprintf("Application %s acted without a user from %s for %.0f days. From %s on it also came from %s, with %s.",
		appWords(all.name, k.app), placeWords(own, 3), settled, f.First, placeWords(news, 4), plural(used, "record", "records"))
	if len(strange) == 0 {
		f.Why += " It has used that network on most days since: a move to other servers, or another region, looks like this."
	} else {
		for i := range own {
			if own[i].last.After(news[0].first) {
				f.Why += " In its own networks it goes on as before, so that it has two holders."
				break
			}
		}
	}
	if len(newKeys) > 0 {
		f.Why += fmt.Sprintf(" The credential used there, %s, was not used in the application's own networks.", list(newKeys, 2))
	}
	if w := facts.readWords(); w != "" {
		f.Techniques, f.Stage = append(f.Techniques, "T1114.002"), casefile.StageCollection
		f.Why += " From there it read mail: " + w + "."
	} else if all.reads > 0 {
		f.Why += " It is an application that reads mail."
	}
	return f, nil
}

// keysElsewhere lists the credentials that an application signed in with from
// networks other than nets.
func keysElsewhere(ctx context.Context, q store.Querier, k appKey, nets []string, failed *error) (out []string) {
	*failed = store.Each(ctx, q, appPlacesSQL()+` SELECT DISTINCT key_id FROM uses WHERE tenant = ? AND app_id = ? AND key_id <> '' AND net NOT IN (`+quoted(nets)+`) ORDER BY 1`, []any{k.tenant, k.app}, func(scan scanner) error {
		var s string
		err := scan(&s)
		out = append(out, s)
		return err
	})
	return out
}

// without leaves out of a list what another has.
func without(list, other []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(other, s) {
			out = append(out, s)
		}
	}
	return out
}
