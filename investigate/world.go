package investigate

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/detect"
	"midwatch/event"
	"midwatch/store"
)

// scanner reads the columns of a row.
type scanner = func(dest ...any) error

// world is what all campaigns are judged against: read once.
type world struct {
	from, to  time.Time // first and last event
	changes   []change  // of the directory, in order of time
	ids       *aliases
	people    map[string]string // user object id -> user principal name
	mailboxes map[string]string // mailbox GUID -> address
	ips       map[string]*ipStat
	tenants   []casefile.Tenant
	tenantOf  map[string]string // domain -> tenant
	acted     []acted           // of the campaigns so far
	plan      *plan             // what people decided
}

// change is one record of the directory, as far as joining and growing need it.
type change struct {
	id, source, tenant, class, operation, outcome        string
	actorKind, actor, actorID, appID, appName, spID      string
	keyID, ip, session, token                            string
	target, targetID, targetKind, targetApp, permissions string
	time                                                 time.Time
}

// ipStat is how an address is used in all of the evidence.
type ipStat struct {
	accounts int64 // distinct accounts with a success from it
	apps     int64
	first    time.Time
	last     time.Time
	asn      int64
	asOrg    string
	kind     string
	country  string
}

func newWorld(ctx context.Context, q store.Querier) (*world, error) {
	w := &world{ids: newAliases(), people: map[string]string{}, mailboxes: map[string]string{}, ips: map[string]*ipStat{}, tenantOf: map[string]string{}}
	for _, step := range []struct {
		what string
		read func(context.Context, store.Querier) error
	}{
		{"time span", w.readSpan},
		{"directory changes", w.readChanges},
		{"identities of applications", w.readAliases},
		{"names of accounts and mailboxes", w.readPeople},
		{"tenants", w.readTenants},
	} {
		if err := step.read(ctx, q); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return w, nil
}

func (w *world) readSpan(ctx context.Context, q store.Querier) error {
	return store.Each(ctx, q, `SELECT min(time), max(time) FROM events WHERE time IS NOT NULL`, nil, func(scan scanner) error {
		var a, b sql.NullTime
		if err := scan(&a, &b); err != nil {
			return err
		}
		w.from, w.to = a.Time.UTC(), b.Time.UTC()
		return nil
	})
}

func (w *world) readChanges(ctx context.Context, q store.Querier) error {
	return store.Each(ctx, q, `SELECT CAST(id AS VARCHAR), source, coalesce(tenant, ''), class, coalesce(operation, ''), coalesce(outcome, ''),
			coalesce(actor_kind, ''), coalesce(actor, ''), coalesce(actor_id, ''), coalesce(app_id, ''), coalesce(app_name, ''), coalesce(sp_id, ''),
			coalesce(key_id, ''), coalesce(ip, ''), coalesce(session_id, ''), coalesce(token_id, ''),
			coalesce(target, ''), coalesce(target_id, ''), coalesce(target_kind, ''), coalesce(permissions, ''), coalesce(detail, ''), time
		FROM events
		WHERE class IN ('app_create', 'sp_create', 'app_role_grant', 'consent', 'delegated_grant', 'credential_add', 'permission_request', 'owner_add', 'user_create', 'role_add')
			AND coalesce(outcome, '') <> 'failure' AND operation NOT LIKE 'remove%' AND time IS NOT NULL
		ORDER BY time, id`, nil, func(scan scanner) error {
		var c change
		var detail string
		err := scan(&c.id, &c.source, &c.tenant, &c.class, &c.operation, &c.outcome, &c.actorKind, &c.actor, &c.actorID, &c.appID, &c.appName, &c.spID,
			&c.keyID, &c.ip, &c.session, &c.token, &c.target, &c.targetID, &c.targetKind, &c.permissions, &detail, &c.time)
		if err != nil {
			return err
		}
		var d struct {
			AppID string `json:"app_id"`
		}
		_ = json.Unmarshal([]byte(detail), &d) // a detail of another shape names no application
		c.targetApp = strings.ToLower(d.AppID)
		c.time = c.time.UTC()
		w.changes = append(w.changes, c)
		return nil
	})
}

// readAliases learns which ids are one application: application id, object id
// of its registration, object ids of its service principals, one a tenant.
func (w *world) readAliases(ctx context.Context, q store.Querier) error {
	shared := sharedApps()
	err := store.Each(ctx, q, `SELECT DISTINCT app_id, coalesce(sp_id, ''), coalesce(actor_id, ''), coalesce(app_name, '') FROM events
		WHERE actor_kind IN ('app', 'managed') AND app_id IS NOT NULL AND app_id <> '' ORDER BY 1, 2, 3, 4`, nil, func(scan scanner) error {
		var app, sp, actor, name string
		if err := scan(&app, &sp, &actor, &name); err != nil {
			return err
		}
		if shared[app] {
			return nil
		}
		w.ids.join(app, sp)
		w.ids.join(app, actor)
		w.ids.name(app, name)
		return nil
	})
	if err != nil {
		return err
	}
	keyTarget := map[string]string{}
	for _, c := range w.changes {
		switch c.targetKind {
		case "service_principal", "application":
			if c.targetApp != "" && !shared[c.targetApp] {
				w.ids.join(c.targetApp, c.targetID)
			}
			if c.target != c.targetID {
				w.ids.name(first(c.targetApp, c.targetID), c.target)
			}
		}
		if c.class == string(event.ClassCredentialAdd) {
			for k := range strings.FieldsSeq(c.keyID) {
				keyTarget[k] = first(c.targetApp, c.targetID)
			}
		}
		if c.targetApp != "" && !shared[c.targetApp] {
			w.ids.isApp(c.targetApp)
		}
	}
	// Whoever signs in with a key is the application to which it was added.
	return store.Each(ctx, q, `SELECT DISTINCT key_id, app_id FROM events WHERE class = 'sign_in' AND key_id IS NOT NULL AND key_id <> '' AND app_id IS NOT NULL AND app_id <> '' ORDER BY 1, 2`, nil, func(scan scanner) error {
		var key, app string
		if err := scan(&key, &app); err != nil {
			return err
		}
		w.ids.isApp(app)
		w.ids.join(app, keyTarget[key])
		return nil
	})
}

func (w *world) readPeople(ctx context.Context, q store.Querier) error {
	err := store.Each(ctx, q, `SELECT actor_id, max(actor) FROM events WHERE actor LIKE '%@%' AND actor_id IS NOT NULL AND actor_id <> '' GROUP BY actor_id ORDER BY 1`, nil, func(scan scanner) error {
		var id, upn string
		err := scan(&id, &upn)
		w.people[id] = upn
		return err
	})
	if err != nil {
		return err
	}
	return store.Each(ctx, q, `SELECT mailbox_id, max(mailbox) FROM events WHERE mailbox LIKE '%@%' AND mailbox_id IS NOT NULL AND mailbox_id <> '' GROUP BY mailbox_id ORDER BY 1`, nil, func(scan scanner) error {
		var id, upn string
		err := scan(&id, &upn)
		w.mailboxes[id] = upn
		return err
	})
}

// mailbox gives the address of a mailbox that a record names by address, by
// mailbox GUID or by its owner's object id.
func (w *world) mailbox(name, id string) string {
	if strings.Contains(name, "@") {
		return name
	}
	for _, x := range []string{id, name} {
		if m := w.mailboxes[x]; m != "" {
			return m
		}
		if m := w.people[x]; m != "" {
			return m
		}
	}
	return first(name, id)
}

func (w *world) readTenants(ctx context.Context, q store.Querier) error {
	domains := map[string]map[string]int64{}
	err := store.Each(ctx, q, `SELECT tenant, d, count(*) FROM (
			SELECT coalesce(tenant, '') AS tenant, lower(regexp_replace(coalesce(nullif(mailbox, ''), actor), '^.*@', '')) AS d FROM events
			WHERE coalesce(nullif(mailbox, ''), actor) LIKE '%@%' AND coalesce(actor, '') NOT LIKE '%#ext#%' AND coalesce(actor_kind, '') IN ('user', 'admin', 'unknown', '') AND coalesce(outcome, '') <> 'failure'
		) x GROUP BY tenant, d ORDER BY tenant, count(*) DESC, d`, nil, func(scan scanner) error {
		var tenant, domain string
		var n int64
		if err := scan(&tenant, &domain, &n); err != nil {
			return err
		}
		if domains[tenant] == nil {
			domains[tenant] = map[string]int64{}
		}
		domains[tenant][domain] = n
		return nil
	})
	if err != nil {
		return err
	}
	best := map[string]int64{}
	for t, ds := range domains {
		if t == "" {
			continue
		}
		for d, n := range ds {
			if n > best[d] || n == best[d] && t < w.tenantOf[d] {
				best[d], w.tenantOf[d] = n, t
			}
		}
	}
	err = store.Each(ctx, q, `SELECT coalesce(tenant, ''), count(*), min(time), max(time) FROM events GROUP BY coalesce(tenant, '') ORDER BY 1`, nil, func(scan scanner) error {
		var t casefile.Tenant
		var a, b sql.NullTime
		if err := scan(&t.ID, &t.Events, &a, &b); err != nil {
			return err
		}
		t.First, t.Last = casefile.TimeOf(a.Time), casefile.TimeOf(b.Time)
		for d := range domains[t.ID] {
			t.Domains = append(t.Domains, d)
		}
		slices.SortFunc(t.Domains, func(a, b string) int {
			if x, y := domains[t.ID][a], domains[t.ID][b]; x != y {
				return int(y - x)
			}
			return strings.Compare(a, b)
		})
		w.tenants = append(w.tenants, t)
		return nil
	})
	return err
}

// readIPs reads how the addresses are used.
func (w *world) readIPs(ctx context.Context, q store.Querier, ips []string) error {
	for chunk := range slices.Chunk(ips, 500) {
		err := store.Each(ctx, q, `SELECT ip, count(DISTINCT CASE WHEN actor_kind NOT IN ('app', 'managed', 'service') AND coalesce(outcome, '') <> 'failure' THEN actor END),
				count(DISTINCT CASE WHEN actor_kind IN ('app', 'managed') THEN coalesce(app_id, sp_id) END), min(time), max(time), max(asn), max(as_org), max(ip_kind), max(country)
			FROM events WHERE ip IN (`+quoted(chunk)+`) GROUP BY ip ORDER BY ip`, nil, func(scan scanner) error {
			var ip string
			var s ipStat
			var asn sql.NullInt64
			var org, kind, country sql.NullString
			var a, b sql.NullTime
			if err := scan(&ip, &s.accounts, &s.apps, &a, &b, &asn, &org, &kind, &country); err != nil {
				return err
			}
			s.first, s.last, s.asn, s.asOrg, s.kind, s.country = a.Time.UTC(), b.Time.UTC(), asn.Int64, org.String, kind.String, country.String
			w.ips[ip] = &s
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rareIP reports whether an address may join two findings: few accounts use
// it, and it is not an address that was there from the beginning.
func (w *world) rareIP(ip string) bool {
	s := w.ips[ip]
	if s == nil || s.accounts > 2 || s.apps > 3 {
		return false
	}
	if w.to.Sub(w.from) < 14*24*time.Hour {
		return true // too little evidence to know what is new
	}
	return s.first.Sub(w.from) > 7*24*time.Hour
}

// sharedApps lists applications that everybody uses: they join nothing.
func sharedApps() map[string]bool {
	m := map[string]bool{}
	for _, id := range detect.MailClients() {
		m[id] = true
	}
	for _, id := range []string{ // command lines and portals of Microsoft that anybody can use
		"1950a258-227b-4e31-a9cf-717495945fc2", "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "14d82eec-204b-4c2f-b7e8-296a70dab67e",
		"de8bc8b5-d9f9-48b1-a8ad-b748da725064", "c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "797f4846-ba00-4fd7-ba43-dac1f8f63013",
		"fb78d390-0c51-40cd-8e17-fdbfab77341b", "29d9ed98-a469-4536-ade2-f981bc1d605e",
	} {
		m[id] = true
	}
	return m
}

// aliases groups ids that mean the same application.
type aliases struct {
	parent map[string]string
	apps   map[string]bool // ids that are known to be application ids
	names  map[string]string
}

func newAliases() *aliases {
	return &aliases{parent: map[string]string{}, apps: map[string]bool{}, names: map[string]string{}}
}

func (a *aliases) root(id string) string {
	p, ok := a.parent[id]
	if !ok || p == id {
		return id
	}
	r := a.root(p)
	a.parent[id] = r
	return r
}

// join says that two ids are one; app is an application id.
func (a *aliases) join(app, other string) {
	if app == "" || other == "" {
		return
	}
	for _, id := range []string{app, other} {
		if _, ok := a.parent[id]; !ok {
			a.parent[id] = id
		}
	}
	x, y := a.root(app), a.root(other)
	if x != y {
		if y < x { // the smaller is the root, whatever the order of reading
			x, y = y, x
		}
		a.parent[y] = x
	}
}

func (a *aliases) isApp(id string) {
	if _, ok := a.parent[id]; !ok {
		a.parent[id] = id
	}
	a.apps[id] = true
}

func (a *aliases) name(id, name string) {
	if id != "" && name != "" && name != id && (a.names[id] == "" || name < a.names[id]) {
		a.names[id] = name
	}
}

// members lists all ids of an application, sorted.
func (a *aliases) members(root string) []string {
	out := []string{root}
	for id := range a.parent {
		if id != root && a.root(id) == root {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// nameOf finds a name of an application.
func (a *aliases) nameOf(root string) string {
	best := ""
	for _, id := range a.members(root) {
		if n := a.names[id]; n != "" && (best == "" || n < best) {
			best = n
		}
	}
	return best
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// quoted writes values as a list for IN.
func quoted(values []string) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("'" + strings.ReplaceAll(v, "'", "''") + "'")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
