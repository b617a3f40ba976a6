package posture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// facts are what is known of the tenants' accounts, applications and
// mailboxes: from the logs, and from exports.
type facts struct {
	tenants  []*tenant
	accounts map[string]*account // tenant, space, name
	apps     map[string]*app     // tenant, space, id
	sps      map[string]*app     // tenant, space, object id of the service principal
	domains  map[string]string   // domain -> tenant with most of its accounts
	objects  map[string]*app     // tenant, space, object id of the registration
	records  []record            // read, and not made facts of yet
	audits   []mailboxAudit
	exports  []Export
	have     map[string][]string // kind of export -> files
	kase     *casefile.Case
	canaries []string
}

type tenant struct {
	Tenant
	logs      map[string]*Log
	boxes     []mailbox
	searches  int64 // records of searches by mailbox owners
	consents  []act // to an application, by somebody who is no administrator as far as the record says
	creates   []act // applications registered
	bypass    []act // auditing switched off or bypassed
	ews       map[string]*ewsUse
	mailReads int64
}

// log returns a log's cover, nil where there is none.
func (t *tenant) log(name string) *Log { return t.logs[name] }

type act struct {
	id, actor, target, permissions string
	at                             time.Time
}

type mailbox struct {
	name         string
	reads, other int64
}

type mailboxAudit struct {
	tenant, upn, actions string
	on, bypass           bool
	place                Place
}

type account struct {
	tenant, upn   string
	signIns       int64
	single, multi int64
	last          time.Time
	lastBy        string
	singleID      string
	legacy        map[string]*legacyUse
	legacyFrom    string // log that they are counted in
	enabled, mfa  *bool
	roles         []string
	roleEvents    []string
	places        []Place
	listed        bool // in a list of users
}

type legacyUse struct {
	n  int64
	id string
}

type app struct {
	tenant, id, sp, name string
	grants               map[string]*grant
	keys                 map[string]*key
	signIns              int64
	lastSignIn           time.Time
	signInID             string
	reads                int64
	boxes                int64
	readID               string
	writes               map[string]int64 // class of what it changed in the directory -> records
	writeID              string
	owners               map[string]*ownerRef
}

type grant struct {
	role, id string
	places   []Place
}

type ownerRef struct {
	upn, id string
	places  []Place
}

type key struct {
	id             string
	uses, networks int64
	first, last    time.Time
	useID, addID   string
	added, expires time.Time
	places         []Place
}

type appKey struct {
	app *app
	id  string
}

type ewsUse struct {
	app, name      string
	records, boxes int64
	id             string
}

func newFacts() *facts {
	return &facts{accounts: map[string]*account{}, apps: map[string]*app{}, sps: map[string]*app{}, domains: map[string]string{}, objects: map[string]*app{}, have: map[string][]string{}}
}

func (f *facts) tenant(id string) *tenant {
	for _, t := range f.tenants {
		if t.ID == id {
			return t
		}
	}
	t := &tenant{Tenant: Tenant{ID: id, Name: id}, logs: map[string]*Log{}, ews: map[string]*ewsUse{}}
	f.tenants = append(f.tenants, t)
	return t
}

// only is the tenant that exports are of which do not name theirs: the one
// with most records.
func (f *facts) only() string {
	best, n := "", int64(-1)
	for _, t := range f.tenants {
		var k int64
		for _, l := range t.logs {
			k += l.Records
		}
		if k > n {
			best, n = t.ID, k
		}
	}
	return best
}

func (f *facts) tenantOf(upn string) string {
	_, domain, _ := strings.Cut(upn, "@")
	if t, ok := f.domains[domain]; ok {
		return t
	}
	return f.only()
}

func (f *facts) account(tenant, upn string) *account {
	k := tenant + " " + upn
	a := f.accounts[k]
	if a == nil {
		a = &account{tenant: tenant, upn: upn, legacy: map[string]*legacyUse{}}
		f.accounts[k] = a
	}
	return a
}

func (f *facts) listed(upn string, p Place) *account {
	a := f.account(f.tenantOf(upn), upn)
	a.listed = true
	a.places = append(a.places, p)
	return a
}

// app finds an application by its id or its service principal's, and knows it
// from then on. An export's applications are those of the tenant that knows
// the id already.
func (f *facts) app(tenant, id, sp, name string) *app {
	id, sp = strings.ToLower(id), strings.ToLower(sp)
	a := f.apps[tenant+" "+id]
	if id == "" {
		a = f.sps[tenant+" "+sp]
	}
	if a == nil && sp != "" {
		a = f.sps[tenant+" "+sp]
	}
	if a == nil {
		a = &app{tenant: tenant, grants: map[string]*grant{}, keys: map[string]*key{}, writes: map[string]int64{}, owners: map[string]*ownerRef{}}
	}
	if a.id == "" {
		a.id = id
	}
	if a.sp == "" {
		a.sp = sp
	}
	if a.name == "" || strings.EqualFold(a.name, a.id) {
		a.name = name
	}
	if id != "" {
		f.apps[tenant+" "+id] = a
	}
	if sp != "" {
		f.sps[tenant+" "+sp] = a
	}
	return a
}

// unnamed is an application of which only the name is known: the one that is
// called so, if that is one, else a new one.
func (f *facts) unnamed(tenant, name string) *app {
	var same []*app
	for _, k := range sortedKeys(f.apps) {
		if a := f.apps[k]; a.tenant == tenant && name != "" && strings.EqualFold(a.name, name) {
			same = append(same, a)
		}
	}
	if len(same) == 1 {
		return same[0]
	}
	a := &app{tenant: tenant, name: name, grants: map[string]*grant{}, keys: map[string]*key{}, writes: map[string]int64{}, owners: map[string]*ownerRef{}}
	f.apps[tenant+" object "+name] = a
	return a
}

func (a *app) label() string {
	if a.name != "" {
		return a.name
	}
	return first(a.id, a.sp, "an unnamed application")
}

func (a *app) grant(role, event string, p Place) {
	g := a.grants[role]
	if g == nil {
		g = &grant{role: role}
		a.grants[role] = g
	}
	if g.id == "" {
		g.id = event
	}
	if p.File != "" {
		g.places = append(g.places, p)
	}
}

func (a *app) key(id string) *key {
	k := a.keys[id]
	if k == nil {
		k = &key{id: id}
		a.keys[id] = k
	}
	return k
}

func (a *app) owner(upn, event string, p Place) {
	o := a.owners[upn]
	if o == nil {
		o = &ownerRef{upn: upn}
		a.owners[upn] = o
	}
	if o.id == "" {
		o.id = event
	}
	if p.File != "" {
		o.places = append(o.places, p)
	}
}

// powers lists the roles of an application that are more than ordinary, the
// strongest first.
func (a *app) powers() (out []*grant, most powerKind) {
	for _, role := range sortedKeys(a.grants) {
		if k := powerOf(role); k != noPower {
			out = append(out, a.grants[role])
			most = max(most, k)
		}
	}
	slices.SortStableFunc(out, func(x, y *grant) int { return int(powerOf(y.role)) - int(powerOf(x.role)) })
	return out, most
}

// stamp parses what [stampSQL] makes.
func stamp(s string) (at time.Time, id string) {
	text, id, ok := cutLast(s, " ")
	if !ok {
		return time.Time{}, s
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), id
		}
	}
	return time.Time{}, id
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// stampSQL is time and id in one text, whose maximum is the last event: the
// same on every engine, other than arg_max, whose choice among equals is free.
const stampSQL = `concat(CAST(time AS VARCHAR), ' ', CAST(id AS VARCHAR))`

const (
	peopleSQL  = `actor IS NOT NULL AND actor LIKE '%@%' AND coalesce(actor_kind, '') IN ('user', 'admin', 'guest', 'unknown', '') AND time IS NOT NULL`
	appSQL     = `actor_kind = 'app' AND time IS NOT NULL`
	networkSQL = `CASE WHEN coalesce(asn, 0) > 0 THEN CAST(asn AS VARCHAR) ELSE regexp_replace(coalesce(ip, ''), '[.][0-9]+$', '') END`
)

func questionTenants() string {
	return `SELECT coalesce(tenant, ''), source, CASE WHEN source = 'signin' THEN coalesce(workload, '') ELSE '' END, count(*), min(time), max(time), count(DISTINCT CAST(time AS DATE))
		FROM events WHERE time IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`
}

func questionDomains() string {
	return `SELECT tenant, domain, count(*) FROM (SELECT DISTINCT coalesce(tenant, '') AS tenant, regexp_replace(actor, '^.*@', '') AS domain, actor FROM events WHERE ` + peopleSQL + ` AND class = 'sign_in' AND outcome = 'success') d
		GROUP BY tenant, domain ORDER BY 3 DESC, 2, 1`
}

// A second factor is asked for in interactive sign-ins; a refreshed token says
// single though its session had two.
func questionSignIns() string {
	single := `detail LIKE '%"auth_requirement":"single"%' AND coalesce(workload, '') IN ('interactive', '')`
	return `SELECT coalesce(tenant, ''), lower(actor), count(*), count(CASE WHEN ` + single + ` THEN 1 END), count(CASE WHEN detail LIKE '%"auth_requirement":"multi"%' THEN 1 END),
			max(time), coalesce(max(CASE WHEN ` + single + ` THEN ` + stampSQL + ` END), '')
		FROM events WHERE class = 'sign_in' AND outcome = 'success' AND ` + peopleSQL + ` GROUP BY 1, 2`
}

func questionAlive() string {
	return `SELECT coalesce(tenant, ''), lower(actor), max(time) FROM events WHERE class <> 'sign_in' AND source IN ('ual', 'directory', 'graph_activity', 'google', 'okta') AND coalesce(outcome, '') <> 'failure' AND ` + peopleSQL + ` GROUP BY 1, 2`
}

func questionLegacy() string {
	return `SELECT coalesce(tenant, ''), lower(actor), source, CASE WHEN coalesce(protocol, '') = 'ropc' THEN 'the password grant (ROPC)' WHEN coalesce(user_agent, '') IN ('BAV2ROPC', 'CBAinPROD', 'CBAinTAR') THEN user_agent ELSE lower(client) END AS via,
			count(*), max(` + stampSQL + `)
		FROM events WHERE class = 'sign_in' AND outcome = 'success' AND ` + peopleSQL + ` AND (coalesce(protocol, '') = 'ropc' OR coalesce(user_agent, '') IN ('BAV2ROPC', 'CBAinPROD', 'CBAinTAR') OR lower(coalesce(client, '')) IN (` + quotedSQL(legacyClients()) + `))
		GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`
}

func questionAppSignIns() string {
	return `SELECT coalesce(tenant, ''), coalesce(app_id, ''), coalesce(sp_id, ''), coalesce(max(app_name), ''), coalesce(key_id, ''), count(*), count(DISTINCT ` + networkSQL + `), min(time), max(time), max(` + stampSQL + `)
		FROM events WHERE class = 'sign_in' AND coalesce(outcome, '') <> 'failure' AND ` + appSQL + ` GROUP BY coalesce(tenant, ''), coalesce(app_id, ''), coalesce(sp_id, ''), coalesce(key_id, '') ORDER BY 1, 2, 3, 5`
}

func questionAppReads() string {
	return `SELECT coalesce(tenant, ''), coalesce(app_id, ''), coalesce(sp_id, ''), coalesce(max(app_name), ''), count(*), count(DISTINCT mailbox), max(` + stampSQL + `)
		FROM events WHERE class IN ('mail_access', 'attachment_access') AND ` + appSQL + ` AND (app_id IS NOT NULL OR sp_id IS NOT NULL) GROUP BY coalesce(tenant, ''), coalesce(app_id, ''), coalesce(sp_id, '') ORDER BY 1, 2, 3`
}

func questionAppWrites() string {
	return `SELECT coalesce(tenant, ''), coalesce(app_id, ''), coalesce(sp_id, ''), coalesce(app_name, ''), class, count(*), max(` + stampSQL + `)
		FROM events WHERE class IN (` + quotedSQL(directoryWrites()) + `) AND source IN ('directory', 'ual') AND coalesce(outcome, '') <> 'failure' AND ` + appSQL + ` AND (app_id IS NOT NULL OR sp_id IS NOT NULL OR app_name IS NOT NULL)
		GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2 DESC, 3, 4, 5`
}

// directoryWrites are classes of changes that ordinary applications do not make.
func directoryWrites() []string {
	return []string{"user_create", "app_create", "consent", "app_role_grant", "role_add", "credential_add", "owner_add", "delegated_grant", "policy", "federation"}
}

func questionEWS() string {
	return `SELECT coalesce(tenant, ''), coalesce(app_id, ''), coalesce(max(app_name), ''), count(*), count(DISTINCT mailbox), max(` + stampSQL + `)
		FROM events WHERE class IN ('mail_access', 'attachment_access', 'mail_send', 'mail_change', 'mail_delete') AND time IS NOT NULL AND (client LIKE 'Client=WebServices%' OR client LIKE '%ExchangeWebServices%' OR user_agent LIKE 'ExchangeServicesClient%')
		GROUP BY coalesce(tenant, ''), coalesce(app_id, '') ORDER BY 1, 4 DESC, 2`
}

func questionMailboxes() string {
	return `SELECT coalesce(tenant, ''), lower(mailbox), count(CASE WHEN class = 'mail_access' THEN 1 END), count(CASE WHEN class <> 'mail_access' THEN 1 END)
		FROM events WHERE source IN ('ual', 'google') AND class IN ('mail_access', 'mail_send', 'mail_change', 'mail_delete') AND coalesce(mailbox, '') <> '' GROUP BY 1, 2 ORDER BY 1, 2`
}

func questionSearches() string {
	return `SELECT coalesce(tenant, ''), count(*) FROM events WHERE operation LIKE 'searchqueryinitiated%' GROUP BY 1`
}

func questionRecords() string {
	return `SELECT coalesce(tenant, ''), CAST(id AS VARCHAR), source, class, coalesce(operation, ''), coalesce(actor_kind, ''), lower(coalesce(actor, '')), coalesce(target, ''), coalesce(target_id, ''), coalesce(target_kind, ''),
			coalesce(permissions, ''), coalesce(key_id, ''), coalesce(detail, ''), time
		FROM events WHERE class IN ('app_role_grant', 'consent', 'owner_add', 'role_add', 'credential_add', 'app_create', 'audit_change') AND source IN ('directory', 'ual') AND coalesce(outcome, '') <> 'failure' AND time IS NOT NULL
		ORDER BY time, id`
}

type scanner = func(dest ...any) error

// ask reads all facts out of the store.
func (f *facts) ask(ctx context.Context, q store.Querier) error {
	for _, s := range []struct {
		what, query string
		row         func(scanner) error
	}{
		{"logs", questionTenants(), f.tenantRow}, {"domains", questionDomains(), f.domainRow}, {"sign-ins", questionSignIns(), f.signInRow}, {"activity of accounts", questionAlive(), f.aliveRow},
		{"legacy protocols", questionLegacy(), f.legacyRow}, {"sign-ins of applications", questionAppSignIns(), f.appSignInRow}, {"mail read by applications", questionAppReads(), f.appReadRow},
		{"changes by applications", questionAppWrites(), f.appWriteRow}, {"Exchange Web Services", questionEWS(), f.ewsRow}, {"mailboxes", questionMailboxes(), f.mailboxRow},
		{"searches", questionSearches(), f.searchRow}, {"permissions and roles", questionRecords(), f.recordRow},
	} {
		if err := store.Each(ctx, q, s.query, nil, s.row); err != nil {
			return fmt.Errorf("ask the store for %s: %w", s.what, err)
		}
	}
	f.readRecords()
	return nil
}
