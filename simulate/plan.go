package simulate

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// act is one deed of an actor.
type act struct {
	t      int64
	camp   int
	stage  string
	inside bool // it worked
	ten    int
	seq    uint64
	emit   func(*gen, *rng)
}

type dayKey struct{ tenant, day, block int }

// plan is a world with what actors will do in it, decided before the first
// record is written.
type plan struct {
	w     *world
	x     rng
	knobs Knobs
	shift int64
	camps []*campaign
	acts  []act
	byDay map[dayKey][]int
	test  *tenant
	seq   uint64
	used  map[*user]bool

	marks []mark
	dups  int64
	lost  int64
}

// campaign collects the truth about one actor while its deeds are planned.
type campaign struct {
	p       *plan
	idx     int
	of      CampaignOf
	x       rng
	ips     map[string]IPOf
	boxes   map[string]*MailboxOf
	sprayed map[string]bool
	read    map[string]map[string]bool // mailbox -> message ids
	msgs    []readMail
	synced  map[[2]string]int64 // mailbox and folder -> last synchronization
	agent   agent
}

// readMail is a message in the hands of an actor, for the file of bodies.
type readMail struct {
	owner *user
	m     message
}

func newPlan(w *world) *plan {
	o := w.o
	p := &plan{w: w, x: w.rng(rsScenario), byDay: map[dayKey][]int{}, used: map[*user]bool{}}
	p.knobs = Knobs{Attempts: o.Attempts, Accounts: o.Accounts, GeoMatch: o.GeoMatch, OfficeHours: o.OfficeHours, RotateUA: o.RotateUA, Blend: o.Blend, ROPC: o.ROPC, API: o.API,
		Loss: o.Loss, Latency: o.Latency.String(), UnderWay: o.UnderWay, TestTenant: !o.NoTest, Volume: o.Volume, Logs: o.Logs}
	if p.knobs.API == "" {
		p.knobs.API = "ews"
	}
	if o.UnderWay {
		s, _ := scenario(o.Scenario)
		p.shift = int64(s.underWay*float64(o.Days)) * day
	}
	if o.Loss > 0 {
		// A gap besides the single losses: an export that failed once.
		length := max(6*hour, int64(o.Loss*float64(o.Days))*day)
		from := w.start + int64(o.Days/2)*day + p.x.span(0, int64(o.Days/4)*day)
		w.ual = span{from, min(from+length, w.end)}
	}
	return p
}

// make plans everything.
func (p *plan) make() {
	w := p.w
	corp := w.tenants[0]
	w.makeApps(corp)
	s, _ := scenario(w.o.Scenario)
	s.plan(p)
	for _, t := range w.tenants {
		for _, l := range LogNames() {
			if !w.hands(l) && !slices.ContainsFunc(w.leftOut, func(x LeftOut) bool { return x.Tenant == t.id && x.Log == l }) {
				w.leftOut = append(w.leftOut, LeftOut{Tenant: t.id, Log: l, Reason: "not exported"})
			}
		}
	}
	for i := range p.acts {
		a := &p.acts[i]
		d := int((a.t - w.start) / day)
		if a.t < w.start {
			d = 0
		}
		d = min(d, w.days-1)
		blocks := (len(w.tenants[a.ten].users) + blockUsers - 1) / blockUsers
		// Somewhere among the day's records, not at their end.
		b := int(w.hash(rsAct, 1, a.seq) % uint64(blocks))
		k := dayKey{a.ten, d, b}
		p.byDay[k] = append(p.byDay[k], i)
	}
	p.look()
}

// day is midnight of the day at a share of the time.
func (p *plan) day(share float64) int64 {
	return p.w.start + int64(share*float64(p.w.days))*day - p.shift
}

// hour moves a midnight to an hour at which the actor works: at night, or when
// the head office does, which leaves out weekends.
func (p *plan) hour(midnight int64, x *rng) int64 {
	if p.w.o.OfficeHours {
		for weekday(midnight)%6 == 0 {
			midnight += day
		}
		return midnight + 17*hour + x.span(0, 7*hour)
	}
	return midnight + hour + x.span(0, 5*hour)
}

func (p *plan) campaign(kind, actor, title string) *campaign {
	c := &campaign{p: p, idx: len(p.camps), x: p.w.rng(rsScenario, uint64(len(p.camps))+1, hashText(kind)),
		ips: map[string]IPOf{}, boxes: map[string]*MailboxOf{}, sprayed: map[string]bool{}, read: map[string]map[string]bool{}, synced: map[[2]string]int64{}}
	c.of = CampaignOf{ID: kind + "-" + string(num(nil, int64(c.idx+1))), Actor: actor, Kind: kind, Title: title}
	c.agent = agent{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:109.0) Gecko/20100101 Firefox/119.0", "Windows10", "Firefox 119.0", "Firefox"}
	p.camps = append(p.camps, c)
	return c
}

// at plans a deed.
func (c *campaign) at(t int64, ten *tenant, stage string, inside bool, emit func(*gen, *rng)) {
	c.p.seq++
	c.p.acts = append(c.p.acts, act{t: t, camp: c.idx, stage: stage, inside: inside, ten: ten.idx, seq: c.p.seq, emit: emit})
}

// proxy is a fresh address of somebody's home.
func (c *campaign) proxy() where {
	n := &c.p.w.nets[netHome+c.x.n(netHomes)]
	if c.p.w.o.GeoMatch {
		n = &c.p.w.nets[netHome+c.x.n(netHomeGeo)]
	}
	return c.from(where{n.addr4(c.x.u64()), n})
}

// server is an address of a hosting network.
func (c *campaign) server() where {
	n := &c.p.w.nets[netHosting+c.x.n(3)]
	return c.from(where{n.addr4(c.x.u64()), n})
}

// from notes an address as the actor's.
func (c *campaign) from(w where) where {
	s := w.ip.String()
	c.ips[s] = IPOf{IP: s, ASN: w.net.asn, Country: w.net.country, Shared: w.net.kind == "office" || w.net.kind == "business"}
	return w
}

func (c *campaign) ua() *agent {
	if c.p.w.o.RotateUA || c.p.w.o.Blend {
		return &c.p.w.agents[c.x.n(len(c.p.w.agents))]
	}
	return &c.agent
}

// guess plans a guess at a password. u is nil for a name that does not exist.
func (c *campaign) guess(ten *tenant, t int64, u *user, upn string, from where, code int) {
	if u != nil {
		upn = u.upn
	}
	c.sprayed[upn] = true
	s := signIn{t: t, user: u, upn: upn, client: c.target(), from: from, agent: c.ua(), code: code}
	if c.p.w.o.ROPC {
		s.agent, s.ua, s.protocol, s.used = nil, "BAV2ROPC", "ropc", "Other clients"
	}
	c.at(t, ten, "spray", false, func(g *gen, x *rng) {
		q := s
		q.id = x.guid()
		g.signIn(&q)
	})
}

func (c *campaign) target() clientOf {
	if c.p.w.o.ROPC {
		return clientOf{application{idAzurePS, "Microsoft Azure PowerShell"}, application{idAADGraph, "Windows Azure Active Directory"}, false}
	}
	if c.p.w.o.Blend {
		return c.p.w.clients[0] // what people's own mistakes come through
	}
	return portalClient()
}

// login plans a sign-in that works and returns its id and session.
func (c *campaign) login(ten *tenant, t int64, u *user, from where, client clientOf, mfa byte, stage string) (token, session guid) {
	token, session = c.x.guid(), c.x.guid()
	s := signIn{t: t, id: token, user: u, client: client, from: from, agent: c.ua(), session: session, mfa: mfa, method: u.mfa}
	c.of.Sessions = append(c.of.Sessions, session.String())
	c.of.Tokens = append(c.of.Tokens, token.String())
	c.at(t, ten, stage, true, func(g *gen, _ *rng) {
		q := s
		g.signIn(&q)
	})
	return token, session
}

// change plans a change of the directory, by an account or an application.
func (c *campaign) change(ten *tenant, t int64, ch change, by *user, a *app, from where, ua, stage string) {
	ch.t, ch.by, ch.app, ch.from, ch.ua = t, by, a, from, ua
	c.at(t, ten, stage, true, func(g *gen, x *rng) {
		q := ch
		q.id = x.guid()
		g.change(&q)
	})
}

// compromise notes an account.
func (c *campaign) compromise(ten *tenant, u *user, t int64, how string) {
	a := AccountOf{UPN: u.upn, ID: u.id, Tenant: ten.id, Since: at(t), How: how}
	if how == "created" {
		c.of.Created = append(c.of.Created, a)
		return
	}
	c.of.Compromised = append(c.of.Compromised, a)
}

func (c *campaign) box(u *user) *MailboxOf {
	b := c.boxes[u.upn]
	if b == nil {
		b = &MailboxOf{UPN: u.upn, GUID: u.mailbox, Department: u.function, NotLicensed: !u.licensed, Messages: []MessageOf{}, How: []string{}}
		c.boxes[u.upn] = b
		c.read[u.upn] = map[string]bool{}
	}
	return b
}

func (b *MailboxOf) touch(t int64, logged bool) {
	x := at(t)
	if b.First.IsZero() || x.Before(b.First) {
		b.First = x
	}
	if x.After(b.Last) {
		b.Last = x
	}
	if logged && (b.VisibleFrom.IsZero() || x.Before(b.VisibleFrom)) {
		b.VisibleFrom = x
	}
}

// mailOf lists mail that lies in a person's inbox, the newest days first.
func (c *campaign) mailOf(u *user, before int64, n int) []message {
	w := c.p.w
	var list []message
	d := int((before-w.start)/day) - 1
	if before < w.start {
		d = -int((w.start-before)/day) - 2
	}
	for back := 0; back < 60 && len(list) < n; back++ {
		for _, m := range w.messages(w.tenants[0], u.idx/teamSize, d-back, nil) {
			if m.inbox(u) && m.t < before && len(list) < n && !c.read[u.upn][w.messageID(w.tenants[0], &m)] {
				list = append(list, m)
			}
		}
	}
	return list
}

// readMail plans a record of messages read. how is bind, graph or throttled;
// throttled reads make no record.
func (c *campaign) readMail(t int64, a access, list []message, how string, mark bool) {
	w := c.p.w
	ten := w.tenants[0]
	b := c.box(a.owner)
	id := c.x.guid()
	logged := how != "throttled" && a.owner.licensed && w.kept(ten, LogUAL, id.a, t)
	b.touch(t, logged)
	ptrs := make([]*message, len(list))
	for i := range list {
		m := list[i]
		ptrs[i] = &m
		native := w.messageID(ten, &m)
		c.read[a.owner.upn][native] = true
		b.Messages = append(b.Messages, MessageOf{ID: native, Read: at(t), How: how, Logged: logged})
		c.msgs = append(c.msgs, readMail{a.owner, m})
	}
	if how == "throttled" || !a.owner.licensed {
		return
	}
	c.at(t, ten, "collection", true, func(g *gen, _ *rng) { g.bind(t, id, &a, "Inbox", ptrs, mark) })
}

// syncMail plans the synchronization of a folder.
func (c *campaign) syncMail(t int64, a access, folder string) {
	w := c.p.w
	b := c.box(a.owner)
	id := c.x.guid()
	logged := a.owner.licensed && w.kept(w.tenants[0], LogUAL, id.a, t)
	b.touch(t, logged)
	c.synced[[2]string{a.owner.upn, folder}] = max(t, c.synced[[2]string{a.owner.upn, folder}])
	if !slices.Contains(b.Folders, folder) {
		b.Folders = append(b.Folders, folder)
	}
	if logged && !slices.Contains(b.How, "sync") {
		b.How = append(b.How, "sync")
	}
	if !a.owner.licensed {
		return
	}
	c.at(t, w.tenants[0], "collection", true, func(g *gen, _ *rng) { g.sync(t, id, &a, folder) })
}

// mailRequest plans a Graph request about somebody's mail.
func (c *campaign) mailRequest(t int64, a *access, uri, roles, ua string) {
	q := request{t: t, id: c.x.guid(), user: a.user, app: a.app, appID: a.clientID, roles: roles, from: a.from, ua: ua, uri: uri, token: a.token, sess: a.session, iat: a.issued}
	if w := c.p.w; w.kept(w.tenants[0], LogGraph, q.id.a, t) {
		b := c.box(a.owner)
		b.touch(t, true)
		if !slices.Contains(b.How, "graph") {
			b.How = append(b.How, "graph")
		}
	}
	c.at(t, c.p.w.tenants[0], "collection", true, func(g *gen, _ *rng) {
		r := q
		g.request(&r)
	})
}

// look lists what is benign and looks otherwise.
func (p *plan) look() {
	w := p.w
	t := w.tenants[0]
	const most = 200 // of a kind
	counts := map[string]int{}
	add := func(l LookAlike) {
		if l.Kind == "" {
			return
		}
		if counts[l.Kind]++; counts[l.Kind] > most {
			return
		}
		if l.Kind == "noisy_spray" {
			w.noise = append(w.noise, l)
		} else {
			w.lookers = append(w.lookers, l)
		}
	}
	for d := range w.days {
		for _, e := range w.dayEvents(t, d) {
			add(e.look)
		}
	}
	for i := range min(len(t.users), 5000) {
		u := &t.users[i]
		if u.loopTo > u.loopFrom && u.enabled {
			add(LookAlike{Kind: "stale_loop", Why: "a device repeats an old password for days", Account: u.upn, From: at(w.start + int64(u.loopFrom)*day), To: at(w.start + int64(u.loopTo)*day)})
		}
		for d := 0; d < w.days && counts["traveller"] < 20; d++ {
			if from, ok := w.trip(u, d); ok && u.enabled {
				add(LookAlike{Kind: "traveller", Why: "works from a hotel for a few days", Account: u.upn, IP: from.ip.String(), From: at(w.start + int64(d)*day)})
				break
			}
		}
		if u.joined >= 0 {
			add(LookAlike{Kind: "onboarding", Why: "a new colleague's account", Account: u.upn, From: at(w.start + int64(u.joined)*day)})
		}
	}
	seen := map[string]bool{}
	for i := range t.users {
		for kind, at := range map[string]where{"office_nat": w.egress(&t.users[i]), "vpn_egress": w.vpn(&t.users[i])} {
			if s := at.ip.String(); !seen[s] {
				seen[s] = true
				add(LookAlike{Kind: kind, Why: "many people behind one address", IP: s})
			}
		}
	}
	// A scenario may use what was benign: an insider's own application, his
	// office. That is no look-alike.
	w.lookers = slices.DeleteFunc(w.lookers, func(l LookAlike) bool {
		for _, c := range p.camps {
			if slices.ContainsFunc(c.of.Apps, func(a AppOf) bool { return a.AppID == l.AppID }) {
				return true
			}
			if _, ok := c.ips[l.IP]; ok {
				return true
			}
			for _, a := range slices.Concat(c.of.Compromised, c.of.Created) {
				if a.UPN == l.Account {
					return true
				}
			}
		}
		return false
	})
	slices.SortStableFunc(w.lookers, func(a, b LookAlike) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.From.Compare(b.From), cmp.Compare(a.Account, b.Account), cmp.Compare(a.AppID, b.AppID), cmp.Compare(a.IP, b.IP))
	})
}

// truth is the answer key, after everything was written.
func (p *plan) truth(out *output) *Truth {
	w := p.w
	o := w.o
	t := &Truth{Schema: TruthSchema, Generator: Version, Scenario: o.Scenario, Seed: o.Seed, Users: o.Users, Days: o.Days, Start: at(w.start), End: at(w.end), Knobs: p.knobs,
		Campaigns: []CampaignOf{}, LookAlikes: append([]LookAlike{}, w.lookers...), Noise: append([]LookAlike{}, w.noise...), Logs: append([]LogOf{}, out.logs...),
		LeftOut: append([]LeftOut{}, w.leftOut...), Gaps: append([]Gap{}, w.gaps...), Records: out.records, Duplicates: p.dups, Lost: p.lost}
	if w.ual.to > w.ual.from {
		t.Gaps = append(t.Gaps, Gap{Tenant: w.tenants[0].id, Log: LogUAL, From: at(w.ual.from), To: at(w.ual.to), Why: "an export failed and nobody noticed"})
	}
	for _, x := range w.tenants {
		n := TenantOf{ID: x.id, Name: x.name, Role: x.role, Domains: []string{x.domain}, Users: len(x.users), Mailboxes: len(x.users), LogsHanded: x.role == "corporate" || !o.NoTest}
		if x.role == "test" {
			n.Mailboxes = 0
		}
		t.Tenants = append(t.Tenants, n)
	}
	for _, c := range p.camps {
		t.Campaigns = append(t.Campaigns, c.finish())
	}
	return t
}

func (c *campaign) finish() CampaignOf {
	of := c.of
	w := c.p.w
	of.Records, of.Lost = map[string][]string{}, map[string]int{}
	tenants := map[string]bool{}
	stages := map[[2]string]*StageOf{}
	var first, last, rec, in, inRec int64
	earlier := func(x *int64, t int64) {
		if *x == 0 || t < *x {
			*x = t
		}
	}
	for i := range c.p.marks {
		m := &c.p.marks[i]
		if m.camp != c.idx {
			continue
		}
		id := w.tenants[m.ten].id
		k := [2]string{id, m.stage}
		s := stages[k]
		if s == nil {
			s = &StageOf{Name: m.stage, Tenant: id, First: at(m.t), Last: at(m.t)}
			stages[k] = s
		}
		if x := at(m.t); x.Before(s.First) {
			s.First = x
		} else if x.After(s.Last) {
			s.Last = x
		}
		s.Deeds++
		tenants[id] = true
		earlier(&first, m.t)
		last = max(last, m.t)
		if m.in {
			earlier(&in, m.t)
		}
		if !m.kept {
			of.Lost[m.log]++
			continue
		}
		s.Records++
		of.Records[m.log] = append(of.Records[m.log], m.id)
		earlier(&rec, m.t)
		if m.in {
			earlier(&inRec, m.t)
		}
	}
	for k := range of.Records {
		slices.Sort(of.Records[k])
		of.Records[k] = slices.Compact(of.Records[k])
	}
	opt := func(x int64) time.Time {
		if x == 0 {
			return time.Time{}
		}
		return at(x)
	}
	of.Start, of.End, of.FirstRecord, of.FirstSuccess, of.FirstSuccessRecord = opt(first), opt(last), opt(rec), opt(in), opt(inRec)
	of.OriginOutside = in != 0 && in != inRec
	of.Tenants = slices.Sorted(maps.Keys(tenants))
	of.Stages = []StageOf{}
	for _, s := range stages {
		of.Stages = append(of.Stages, *s)
	}
	slices.SortFunc(of.Stages, func(a, b StageOf) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tenant, b.Tenant))
	})
	of.IPs = []IPOf{}
	for _, k := range slices.Sorted(maps.Keys(c.ips)) {
		of.IPs = append(of.IPs, c.ips[k])
	}
	of.Sprayed = slices.AppendSeq([]string{}, maps.Keys(c.sprayed))
	slices.Sort(of.Sprayed)
	of.Mailboxes = []MailboxOf{}
	for _, k := range slices.Sorted(maps.Keys(c.boxes)) {
		b := *c.boxes[k]
		slices.SortStableFunc(b.Messages, func(x, y MessageOf) int { return cmp.Or(x.Read.Compare(y.Read), cmp.Compare(x.ID, y.ID)) })
		how := map[string]bool{}
		for _, h := range b.How {
			how[h] = true
		}
		for _, m := range b.Messages {
			if m.Logged {
				how["bind"] = true
			}
			if m.How == "throttled" {
				how["throttled"] = true
			}
		}
		b.How = []string{}
		for _, h := range []string{"bind", "sync", "throttled", "graph"} {
			if how[h] {
				b.How = append(b.How, h)
			}
		}
		if b.VisibleFrom.IsZero() {
			b.How = []string{"lost"}
		}
		if of.End.Before(b.Last) {
			of.End = b.Last
		}
		of.Mailboxes = append(of.Mailboxes, b)
	}
	of.Secrets = c.secrets()
	for _, s := range []*[]string{&of.Sessions, &of.Tokens, &of.Techniques} {
		*s = append([]string{}, *s...)
		slices.Sort(*s)
	}
	of.Apps = append([]AppOf{}, of.Apps...)
	of.Credentials = append([]CredentialOf{}, of.Credentials...)
	of.Rules = append([]RuleOf{}, of.Rules...)
	of.Compromised = append([]AccountOf{}, of.Compromised...)
	of.Created = append([]AccountOf{}, of.Created...)
	return of
}

// secrets are those in mail that was reached, and those that lay beside it.
func (c *campaign) secrets() []SecretOf {
	w := c.p.w
	t := w.tenants[0]
	list := []SecretOf{}
	byUPN := map[string]*user{}
	for _, m := range c.msgs {
		byUPN[m.owner.upn] = m.owner
	}
	for _, upn := range slices.Sorted(maps.Keys(byUPN)) {
		u := byUPN[upn]
		for d := -30; d < w.days; d++ {
			for _, m := range w.messages(t, u.idx/teamSize, d, nil) {
				if m.secret == 0 || !m.inbox(u) {
					continue
				}
				id := w.messageID(t, &m)
				list = append(list, SecretOf{Kind: secretKinds()[m.secret], Value: secretValue(m.secret, m.h), Mailbox: upn, Message: id, Reached: c.read[upn][id]})
			}
		}
	}
	return list
}
