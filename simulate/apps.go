package simulate

import "fmt"

// Reading habits of applications.
const (
	readsBackup    = "backup"
	readsCRM       = "crm"
	readsArchive   = "archive"
	readsMigration = "migration"
)

// makeApps fills in a corporate tenant's applications: those that read mail
// and are meant to, and a crowd that does not.
func (w *world) makeApps(t *tenant) {
	x := w.rng(rsApps, uint64(t.idx))
	add := func(name string, net int, every int64, reads string, res application, ua string) *app {
		a := app{id: x.guid().String(), name: name, sp: x.guid().String(), object: x.guid().String(), keys: []string{x.guid().String()}, every: every, reads: reads, res: res, ua: ua}
		a.from = where{w.nets[net].addr4(x.u64()), &w.nets[net]}
		t.apps = append(t.apps, a)
		return &t.apps[len(t.apps)-1]
	}
	add("Northwind Vault Backup", netHosting, 6*hour, readsBackup, exchange(), "ExchangeServicesClient/15.00.0913.015")
	add("Proseware CRM Connector", netHosting+1, hour, readsCRM, graphRes(), "ProsewareCRM/4.2")
	add("Adatum Compliance Archive", netHosting, 12*hour, readsArchive, exchange(), "ExchangeServicesClient/15.00.0913.015")
	add("Trey Mailbox Migration", netHosting+2, 4*hour, readsMigration, exchange(), "ExchangeServicesClient/15.01.2308.008")
	add("Room Display Sync", netOffice, 2*hour, "", graphRes(), "RoomDisplay/1.9")
	for i := range 3 + int(float64(w.o.Users)*w.r.Apps) {
		net := netHosting + i%3
		if i%3 == 0 {
			net = netOffice + i%4
		}
		add(fmt.Sprintf("%s %s", [...]string{"Ticket", "Payroll", "Inventory", "Badge", "Report", "Webhook", "Printer", "Survey"}[i%8], [...]string{"Sync", "Bot", "Gateway", "Export", "Service"}[i/8%5])+number(i/40), net,
			[...]int64{hour, 4 * hour, 12 * hour, 24 * hour}[i%4], "", graphRes(), "python-requests/2.31.0")
	}
	t.apps[0].keys = append(t.apps[0].keys, x.guid().String()) // used after the rotation
	for i := range 2 + w.o.Users/1000 {
		t.idents = append(t.idents, app{id: x.guid().String(), name: fmt.Sprintf("vm-%s-%02d", [...]string{"build", "web", "etl"}[i%3], i+1), sp: x.guid().String(), every: 6 * hour, res: application{idKeyVault, "Azure Key Vault"}})
	}
	for _, a := range t.apps[:4] {
		kind := map[string]string{readsBackup: "backup_app", readsCRM: "crm_app", readsArchive: "ediscovery_app", readsMigration: "migration_app"}[a.reads]
		w.lookers = append(w.lookers, LookAlike{Kind: kind, Why: "reads many mailboxes as an application, and is meant to", AppID: a.id, IP: a.from.ip.String(), KeyID: a.keys[0]})
	}
}

func number(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprint(" ", i+1)
}

// appToken is the sign-in that an application's reads on a day come from.
func (w *world) appToken(a *app, d int) (guid, int64) {
	g := w.rng(rsApps, hashText(a.id), uint64(d))
	return g.guid(), w.start + int64(d)*day + int64(w.hash(rsApps, hashText(a.id))%uint64(3*hour))
}

// tenantDay is what belongs to no person: applications, administrators,
// and the weather of the internet.
func (g *gen) tenantDay(d int) {
	w := g.w
	g.r = w.rng(rsTenantDay, uint64(g.t.idx), uint64(d))
	x := &g.r
	midnight := w.start + int64(d)*day
	for i := range g.t.apps {
		a := &g.t.apps[i]
		id, t := w.appToken(a, d)
		if a.reads == readsMigration && !w.migrates(d) || midnight+day < a.made {
			continue
		}
		key := a.keys[0]
		if len(a.keys) > 1 && midnight >= w.rotation() {
			key = a.keys[1]
		}
		for first := true; t < midnight+day; t += a.every {
			if !first {
				id = x.guid()
			}
			first = false
			if t < a.made {
				continue
			}
			g.appSignIn(&appSignIn{t: t, id: id, app: a, key: key, res: a.res, from: a.from})
		}
	}
	for i := range g.t.idents {
		a := &g.t.idents[i]
		for t := midnight + x.span(0, a.every); t < midnight+day; t += a.every {
			g.appSignIn(&appSignIn{t: t, id: x.guid(), app: a, res: a.res, from: where{net: &w.nets[netHosting]}, managed: true})
		}
	}
	for _, e := range w.dayEvents(g.t, d) {
		e.emit(g, x)
	}
}

// rotation is when the backup's secret is renewed: in the middle.
func (w *world) rotation() int64 { return w.start + int64(w.days/2)*day + 17*hour }

// migrates reports whether mailboxes are moved on a day: a week in each sixty.
func (w *world) migrates(d int) bool {
	from := w.days / 3
	return d%60 >= from%60 && d%60 < from%60+7 && weekday(w.start+int64(d)*day)%6 != 0
}

// archives reports whether the archive collects on a day, for some lawsuit.
func (w *world) archives(d int) bool { k := (d + 23) % 30; return k >= 3 && k < 8 }

// appReads are a day's reads of a person's mailbox by applications.
func (g *gen) appReads(u *user, d int) {
	if !u.licensed || d < u.joined || len(g.t.apps) < 4 {
		return
	}
	w := g.w
	x := w.rng(rsApps, uint64(u.idx), uint64(d))
	h := int(w.hash(rsApps, 3, uint64(u.idx)) >> 33)
	midnight := w.start + int64(d)*day
	for i := range g.t.apps[:4] {
		a := &g.t.apps[i]
		n := 0
		switch a.reads {
		case readsBackup:
			if (h+d)%w.r.BackupEvery == 0 {
				n = 1
			}
		case readsCRM:
			if u.function == "Sales" && weekday(midnight)%6 != 0 {
				n = x.poisson(w.r.CRMReads)
			}
		case readsArchive:
			if w.archives(d) && h%20 == 0 {
				n = 3
			}
		case readsMigration:
			if w.migrates(d) && h%35 == d%35 {
				n = 12
			}
		}
		if n == 0 || len(g.msgs) == 0 {
			continue
		}
		token, issued := w.appToken(a, d)
		acc := access{app: a, owner: u, from: a.from, logon: 1, userType: 6, token: token, issued: issued, appID: a.id, api: idExchange,
			info: "Client=WebServices;" + a.ua + "[AppId=" + a.id + "];"}
		if a.res.id == idGraph {
			acc.appID, acc.clientID, acc.api, acc.info, acc.userType = idGraph, a.id, idGraph, "Client=REST;;", 5
		}
		var list [8]*message
		for range n {
			k := 0
			for tries := 0; tries < 12 && k < len(list); tries++ {
				if m := &g.msgs[x.n(len(g.msgs))]; m.inbox(u) && m.t < midnight+day {
					list[k] = m
					k++
				}
			}
			if k > 0 {
				// After the mail of the day has come, before the next day.
				g.bind(max(issued, midnight+20*hour)+x.span(0, 3*hour+50*minute), x.guid(), &acc, "Inbox", list[:k], false)
			}
		}
	}
}

// event is a rare thing, with what it may be taken for.
type event struct {
	emit func(*gen, *rng)
	look LookAlike
}

// dayEvents are the rare things of a day, decided by the tenant and the day.
func (w *world) dayEvents(t *tenant, d int) (list []event) {
	add := func(l LookAlike, f func(*gen, *rng)) { list = append(list, event{f, l}) }
	if t.role != "corporate" {
		return nil
	}
	midnight := w.start + int64(d)*day
	workday := weekday(midnight)%6 != 0
	g := w.rng(rsTenantDay, 7, uint64(d))
	if g.p(w.r.SprayBackground) {
		s := w.backgroundSpray(t, d)
		first, last := s.tries[0].t, s.tries[len(s.tries)-1].t
		add(LookAlike{Kind: "noisy_spray", Why: "a commodity spray from a hosting network; it never succeeds", IP: s.ips[0].String(), From: at(first), To: at(last), Records: len(s.tries)}, func(x *gen, _ *rng) {
			for _, e := range s.tries {
				from := where{s.ips[e.ip], s.net}
				x.signIn(&signIn{t: e.t, id: e.id, user: e.user, upn: e.upn, client: clientOf{application{idAzurePS, "Microsoft Azure PowerShell"}, application{idAADGraph, "Windows Azure Active Directory"}, false}, from: from, ua: "python-requests/2.28.1", used: "Mobile Apps and Desktop clients", code: e.code})
			}
		})
	}
	if !workday {
		return list
	}
	for range g.poisson(w.r.ConsentsWeek / 5 * float64(w.o.Users) / 1000) {
		a, u := w.newApp(&g, "Proseware Whiteboard "+string(appendHex(nil, g.u64(), 3))), &t.users[6*teamSize+g.n(len(t.users)-6*teamSize)]
		when := midnight + 9*hour + g.span(0, 8*hour) - w.sites[u.site].zone
		add(LookAlike{Kind: "consent", Why: "an ordinary consent to a harmless application", Account: u.upn, AppID: a.id, From: at(when)}, func(x *gen, r *rng) {
			c := spChange(a)
			c.t, c.id, c.by, c.from, c.ua = when, r.guid(), u, w.egress(u), u.desk.ua
			x.change(&c)
			x.changes(w.consent(t, a, u, "User.Read openid profile offline_access", false, w.hash(hashText(a.id))), when+second, r, u, w.egress(u), u.desk.ua, true)
		})
	}
	if g.p(w.r.AdminConsentsWeek / 5) {
		a, u := w.newApp(&g, "Wingtip Forms "+string(appendHex(nil, g.u64(), 3))), w.admin(t, &g)
		when := midnight + 17*hour + g.span(0, 6*hour)
		add(LookAlike{Kind: "admin_consent", Why: "an administrator approves an application for all", Account: u.upn, AppID: a.id, From: at(when)}, func(x *gen, r *rng) {
			c := spChange(a)
			c.t, c.id, c.by, c.from, c.ua = when, r.guid(), u, w.egress(u), u.desk.ua
			x.change(&c)
			x.changes(w.consent(t, a, u, "User.Read.All Calendars.Read", true, w.hash(hashText(a.id))), when+second, r, u, w.egress(u), u.desk.ua, true)
		})
	}
	for range g.poisson(w.r.SecretsWeek / 5 * float64(w.o.Users) / 10000) {
		a, dev := &t.apps[5+g.n(len(t.apps)-5)], &t.users[5*teamSize+g.n(teamSize)]
		key, when := g.guid().String(), midnight+17*hour+g.span(0, 7*hour)
		add(LookAlike{Kind: "developer_secret", Why: "a developer adds a secret to an application of the team", Account: dev.upn, AppID: a.id, KeyID: key, From: at(when)}, func(x *gen, r *rng) {
			c := secretChange(a, key, "ci", a.keys)
			c.t, c.id, c.by, c.from, c.ua = when, r.guid(), dev, w.egress(dev), dev.desk.ua
			x.change(&c)
		})
	}
	if r := w.rotation(); r >= midnight && r < midnight+day {
		a := &t.apps[0]
		add(LookAlike{Kind: "secret_rotation", Why: "planned rotation of the backup's secret, by the identity administrator from the office", AppID: a.id, KeyID: a.keys[1], Account: t.users[4*teamSize+1].upn, From: at(r - hour)}, func(x *gen, q *rng) {
			u := &t.users[4*teamSize+1]
			c := secretChange(a, a.keys[1], "vault renewed", a.keys[:1])
			c.t, c.id, c.by, c.from, c.ua = r-hour, q.guid(), u, w.egress(u), u.desk.ua
			x.change(&c)
		})
	}
	if weekday(midnight) == 1 {
		add(LookAlike{}, func(x *gen, q *rng) {
			for i := range t.users {
				u := &t.users[i]
				if u.joined/7 != d/7 || u.joined < 0 {
					continue
				}
				admin := w.admin(t, q)
				c := newUserChange(u)
				c.t, c.id, c.by, c.from = midnight+6*hour+q.span(0, hour), q.guid(), admin, w.egress(admin)
				x.change(&c)
			}
		})
	}
	return list
}

// consent wraps consentChanges, so that both records share a correlation.
func (w *world) consent(t *tenant, a *app, u *user, scope string, admin bool, h uint64) []change {
	list := t.consentChanges(a, u, scope, admin, h)
	corr := newGUID(mix(h), mix(h+1))
	for i := range list {
		list[i].corr = corr
	}
	return list
}

// changes writes several changes one after the other, or at once.
func (g *gen) changes(list []change, t int64, x *rng, by *user, from where, ua string, once bool) {
	for i := range list {
		c := &list[i]
		c.t, c.id, c.by, c.from, c.ua = t, x.guid(), by, from, ua
		g.change(c)
		if !once {
			t += second + x.span(0, 3*second)
		}
	}
}

func (w *world) newApp(g *rng, name string) *app {
	return &app{id: g.guid().String(), name: name, sp: g.guid().String(), object: g.guid().String(), res: graphRes()}
}

// spray is one of the commodity sprays that never stop.
type spray struct {
	ips   []ip
	net   *network
	tries []sprayTry
}

type sprayTry struct {
	t    int64
	id   guid
	user *user
	upn  string
	ip   int
	code int
}

func (w *world) backgroundSpray(t *tenant, d int) *spray {
	g := w.rng(rsEgress, uint64(d))
	s := &spray{net: &w.nets[netHosting+g.n(3)]}
	for range 1 + g.n(w.r.HostingEgress) {
		s.ips = append(s.ips, s.net.addr4(g.u64()))
	}
	now := w.start + int64(d)*day + g.span(0, 22*hour)
	for range 10 + g.n(w.r.SprayTargets) {
		e := sprayTry{t: now, id: g.guid(), ip: g.n(len(s.ips)), code: 50126}
		if g.p(0.25) {
			e.upn, e.code = [...]string{"info", "admin", "sales", "test", "scan", "office"}[g.n(6)]+"@"+t.domain, 50034
		} else {
			e.user = &t.users[g.n(len(t.users))]
			if !e.user.enabled {
				e.code = 50057
			}
		}
		s.tries = append(s.tries, e)
		now += 5*second + g.span(0, 60*second)
	}
	return s
}
