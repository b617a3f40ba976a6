package simulate

import "fmt"

// midnight is the incident: guessing in a forgotten test tenant, an old
// application with rights in the corporate one, new applications, and mail of
// leadership, legal, security and threat intelligence for weeks.
//
// Shares of the time are those of the incident at sixty days: guesses for a
// week from day 7, inside on day 14, in the corporate tenant on day 21,
// reading from day 23 on.
func midnight() Scenario {
	return Scenario{"midnight", "the incident: a slow spray of a test tenant, an old application, new ones with access to all mail, weeks of reading",
		func(p *plan) { p.midnight() }, 0.4}
}

func (p *plan) midnight() {
	w := p.w
	corp := w.tenants[0]
	test, legacy := p.testTenant()
	c := p.campaign("midnight", "Night Heron", "Slow spray of a test tenant, an old application with rights in the corporate tenant, mail read by applications")
	c.of.Techniques = []string{"T1078.004", "T1098.001", "T1098.003", "T1110.003", "T1114.002", "T1136.003", "T1199", "T1528", "T1671"}
	x := &c.x

	// 1. Guessing: few accounts, few tries, an address each.
	from, to := p.day(0.12), p.day(0.235)
	accounts := w.o.Accounts
	if accounts == 0 {
		accounts = 30
	}
	accounts = min(accounts, len(test.users))
	attempts := w.o.Attempts
	if attempts == 0 {
		attempts = 0.5
	}
	victim := &test.users[1]
	for i := range accounts {
		u := &test.users[i]
		for d := from; d < to; d += day {
			for range x.poisson(attempts) {
				t := p.hour(d, x)
				if !w.o.OfficeHours {
					t = d + x.span(0, day)
				}
				code := 50126
				if !u.enabled {
					code = 50057
				}
				c.guess(test, t, u, "", c.proxy(), code)
			}
		}
	}
	for i := range 4 {
		c.guess(test, from+x.span(0, to-from), nil, fmt.Sprintf("svc-old%d@%s", i, test.domain), c.proxy(), 50034)
	}
	c.guess(test, p.hour(from, x), victim, "", c.proxy(), 50126)

	// 2. One is right, and no second factor is asked for.
	in := p.hour(to, x)
	if !w.o.OfficeHours {
		in = to - 18*minute - x.span(0, hour)
	}
	home := c.proxy()
	right := portalClient()
	if w.o.ROPC {
		right = c.target()
	}
	c.sprayed[victim.upn] = true
	c.login(test, in, victim, home, right, 0, "access")
	c.compromise(test, victim, in, "password")
	c.login(test, in+70*minute+x.span(0, hour), victim, home, portalClient(), 0, "access")

	// 3. A secret for the application that nobody remembers.
	t := p.hour(to+day, x)
	c.login(test, t-17*minute, victim, home, portalClient(), 0, "access")
	key := x.guid().String()
	c.change(test, t, secretChange(legacy, key, "", legacy.keys), victim, nil, home, c.agent.ua, "credential")
	inCorp := app{id: legacy.id, name: legacy.name, sp: x.guid().String(), object: legacy.object, home: test.id, res: graphRes()}
	c.of.Credentials = append(c.of.Credentials, CredentialOf{KeyID: key, AppID: legacy.id, Added: at(t), By: victim.upn})
	c.of.Apps = append(c.of.Apps, AppOf{AppID: legacy.id, Name: legacy.name, ServicePrincipal: inCorp.sp, Object: legacy.object, Role: "taken_over", Since: at(t), KeyIDs: []string{key},
		Permissions: []string{"AppRoleAssignment.ReadWrite.All", "Application.ReadWrite.All", "User.ReadWrite.All"}})

	// 4. That secret opens the corporate tenant.
	t = p.hour(to+2*day, x)
	c.appToken(t, &inCorp, key, graphRes(), home, "lateral")
	// 5. An account of its own, and with it two applications.
	t = p.hour(p.day(0.35), x)
	entry := c.proxy()
	c.appToken(t-5*minute, &inCorp, key, graphRes(), entry, "persistence")
	service := &user{idx: 0, upn: "svc-mailsync@" + corp.domain, name: "Mail Sync Service", id: x.guid().String(), puid: "10034F2D11C0A7E5", desk: c.agent, enabled: true}
	if w.o.Users > 0 {
		service.site = 0
	}
	c.change(corp, t, newUserChange(service), nil, &inCorp, entry, "python-httpx/0.25.1", "persistence")
	c.compromise(corp, service, t, "created")
	place := c.proxy()
	c.login(corp, t+33*minute, service, place, portalClient(), 0, "persistence")
	ews := c.register(corp, t+45*minute, "Exchange Archive Connector", service, place, exchange(), "full_access_as_app")
	gra := c.register(corp, t+87*minute, "Calendar Insights Sync", service, place, graphRes(), "Mail.Read")
	c.consent(corp, t+113*minute, ews, service, place, "EWS.AccessAsUser.All offline_access")
	c.consent(corp, t+125*minute, gra, service, place, "Mail.Read offline_access")

	// 6. The old application grants the new ones access to all mail.
	t = p.hour(p.day(0.35)+day, x)
	entry = c.proxy()
	c.appToken(t-3*minute, &inCorp, key, graphRes(), entry, "grant")
	c.grant(corp, t, ews, idExchange, "full_access_as_app", &inCorp, entry)
	c.grant(corp, t+7*minute, gra, idGraph, "Mail.Read", &inCorp, entry)

	// 7. Reading.
	var targets []*user
	for _, i := range []int{3*teamSize + 0, 3*teamSize + 3, 2*teamSize + 0, 0, 1, teamSize + 0, teamSize + 2, 2*teamSize + 7} {
		targets = append(targets, &corp.users[i])
	}
	last := min(p.w.start+int64(0.97*float64(w.days))*day, w.end-day)
	first := p.day(0.39)
	throttled := false
	for d, visit := first, 0; d < last; d += day * (1 + int64(x.n(2))) {
		a := ews
		if (visit%4 == 3) != (p.knobs.API == "graph") {
			a = gra
		}
		t := p.hour(d, x)
		from := c.proxy()
		token := c.appToken(t, a, a.keys[0], a.res, from, "collection")
		n := 1 + x.n(2)
		for k := range n {
			o := targets[(visit+k)%len(targets)]
			acc := appAccess(a, o, from, token, t)
			at := t + 3*minute + int64(k)*11*minute
			if a.res.id == idGraph {
				ua := "python-httpx/0.25.1"
				c.mailRequest(at-minute, &acc, "users/"+o.id+`/messages?$search=%22credentials%22\u0026$top=50`, "Mail.Read", ua)
				c.box(o).Searches = append(c.box(o).Searches, "credentials")
				c.mailRequest(at+minute, &acc, "users/"+o.id+"/messages/AAMkAD"+string(appendHex(nil, x.u64(), 16))+"=/attachments/AAMkADatt"+string(appendHex(nil, x.u64(), 10))+"=/$value", "Mail.Read", ua)
				c.box(o).Attachments++
			}
			switch {
			case visit == 5 && k == 0 && a == ews:
				c.syncMail(at, acc, "Inbox")
				c.syncMail(at+20*second, acc, "Sent Items")
			case !throttled && visit >= 3 && a == ews:
				// So much in a day that Exchange stops to record: the record
				// says so, and a second helping leaves none.
				throttled = true
				c.readMail(at, acc, c.mailOf(o, at, 6), "bind", true)
				c.box(o).Throttled = append(c.box(o).Throttled, Span{fromMicro(at), fromMicro(at + day)})
				for i := range 4 {
					c.readMail(at+int64(i+1)*3*minute, acc, c.mailOf(o, at, 5), "throttled", false)
				}
			default:
				for i := range 1 + x.n(2) {
					list := c.mailOf(o, at, 2+x.n(5))
					if len(list) == 0 {
						break
					}
					c.readMail(at+int64(i)*2*minute+int64(i)*second, acc, list, "bind", false)
				}
			}
		}
		visit++
	}
}
