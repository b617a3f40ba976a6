package simulate

import "time"

func fromMicro(us int64) time.Time { return at(us) }

// appAccess is an application reading a mailbox, over the interface that its
// permission is for.
func appAccess(a *app, owner *user, from where, token guid, issued int64) access {
	acc := access{app: a, owner: owner, from: from, logon: 1, userType: 6, token: token, issued: issued, appID: a.id, api: idExchange,
		info: "Client=WebServices;ExchangeServicesClient/15.00.0913.015[AppId=" + a.id + "];"}
	if a.res.id == idGraph {
		acc.appID, acc.clientID, acc.api, acc.info, acc.userType = idGraph, a.id, idGraph, "Client=REST;;", 5
	}
	return acc
}

// appToken plans an application's sign-in.
func (c *campaign) appToken(t int64, a *app, key string, res application, from where, stage string) guid {
	id := c.x.guid()
	c.of.Tokens = append(c.of.Tokens, id.String())
	s := appSignIn{t: t, id: id, app: a, key: key, res: res, from: from}
	c.at(t, c.p.w.tenants[0], stage, true, func(g *gen, _ *rng) {
		q := s
		g.appSignIn(&q)
	})
	return id
}

// register plans an application of the actor's own: registration, request,
// secret.
func (c *campaign) register(ten *tenant, t int64, name string, by *user, from where, res application, role string) *app {
	x := &c.x
	a := &app{id: x.guid().String(), name: name, sp: x.guid().String(), object: x.guid().String(), keys: []string{x.guid().String()}, res: res}
	for i, ch := range registerChanges(a, by) {
		c.change(ten, t+int64(i)*2*second, ch, by, nil, from, c.agent.ua, "persistence")
	}
	c.change(ten, t+6*minute, requestChange(a, res.id, role), by, nil, from, c.agent.ua, "persistence")
	added := t + 9*minute + x.span(0, minute)
	c.change(ten, added, secretChange(a, a.keys[0], "", nil), by, nil, from, c.agent.ua, "credential")
	c.of.Apps = append(c.of.Apps, AppOf{AppID: a.id, Name: name, ServicePrincipal: a.sp, Object: a.object, Role: "created", Since: at(t), KeyIDs: a.keys, Permissions: []string{}})
	c.of.Credentials = append(c.of.Credentials, CredentialOf{KeyID: a.keys[0], AppID: a.id, Added: at(added), By: by.upn})
	return a
}

func (c *campaign) permit(a *app, role string) {
	for i := range c.of.Apps {
		if c.of.Apps[i].AppID == a.id {
			c.of.Apps[i].Permissions = append(c.of.Apps[i].Permissions, role)
		}
	}
}

// consent plans a person's consent: both records of it.
func (c *campaign) consent(ten *tenant, t int64, a *app, by *user, from where, scope string) {
	for _, ch := range c.p.w.consent(ten, a, by, scope, false, hash(hashText(a.id), hashText(by.upn))) {
		c.change(ten, t, ch, by, nil, from, c.agent.ua, "consent")
	}
}

// grant plans the grant of an application role by another application.
func (c *campaign) grant(ten *tenant, t int64, a *app, resource, role string, by *app, from where) {
	c.change(ten, t, ten.grantChange(a, resource, role, t), nil, by, from, "python-httpx/0.25.1", "grant")
	c.permit(a, role)
}

// someone is a person at work who suits a story and is in none yet.
func (p *plan) someone(x *rng, ok func(*user) bool) *user {
	users := p.w.tenants[0].users
	lo := 6 * teamSize
	for range 4096 {
		u := &users[lo+x.n(len(users)-lo)]
		if u.enabled && u.licensed && u.joined < 0 && !u.ropc && u.loopTo == 0 && !p.used[u] && ok(u) {
			p.used[u] = true
			return u
		}
	}
	return &users[lo]
}

// owa is a person's mailbox in the browser of whoever holds the session.
func owa(u *user, from where, token, session guid, issued int64) access {
	return access{user: u, owner: u, from: from, token: token, issued: issued, session: session, appID: idOWA, api: idExchange, info: "Client=OWA;Action=ViaProxy"}
}

// ownMail plans that the holder of a session reads its mailbox.
func (c *campaign) ownMail(t int64, u *user, from where, token, session guid, records int) {
	acc := owa(u, from, token, session, t)
	for i := range records {
		list := c.mailOf(u, t, 2+c.x.n(4))
		if len(list) == 0 {
			return
		}
		c.readMail(t+minute+int64(i)*3*minute, acc, list, "bind", false)
	}
}

// share of the knobs, with a scenario's default.
func (p *plan) attempts(byDefault float64) float64 {
	if p.w.o.Attempts > 0 {
		return p.w.o.Attempts
	}
	return byDefault
}

func (p *plan) accounts(byDefault int) int {
	n := byDefault
	if p.w.o.Accounts > 0 {
		n = p.w.o.Accounts
	}
	return min(n, len(p.w.tenants[0].users)-6*teamSize)
}

func owaClient() clientOf {
	return clientOf{application{idOWA, "One Outlook Web"}, exchange(), true}
}
