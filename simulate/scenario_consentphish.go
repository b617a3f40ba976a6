package simulate

// consentphish asks people to allow an application; some do.
func consentphish() Scenario {
	return Scenario{"consentphish", "people allow an application of another tenant to read their mail; it does, from servers, as them", func(p *plan) {
		w := p.w
		corp := w.tenants[0]
		c := p.campaign("consentphish", "Magpie", "An application of another tenant, allowed by the people it reads")
		c.of.Techniques = []string{"T1528", "T1566.002", "T1114.002"}
		x := &c.x
		a := &app{id: x.guid().String(), name: "Outlook Mail Upgrade", sp: x.guid().String(), res: graphRes(), home: x.guid().String()}
		start := p.day(0.6) + 17*hour
		var users []*user
		for i := range p.accounts(3) {
			u := p.someone(x, func(*user) bool { return true })
			users = append(users, u)
			t := start + int64(i)*3*hour + x.span(0, hour)
			at1 := c.p.w.egress(u)
			// The person is at the desk and signs in to allow it: benign
			// hands, a malicious deed.
			ch := spChange(a)
			if i == 0 {
				c.change(corp, t, ch, u, nil, at1, u.desk.ua, "consent")
				c.of.Apps = append(c.of.Apps, AppOf{AppID: a.id, Name: a.name, ServicePrincipal: a.sp, Role: "introduced", Since: fromMicro(t), KeyIDs: []string{}, Permissions: []string{"Mail.Read", "offline_access"}})
			}
			for _, k := range w.consent(corp, a, u, "Mail.Read offline_access User.Read", false, hash(hashText(a.id), u.h)) {
				c.change(corp, t+2*second, k, u, nil, at1, u.desk.ua, "consent")
			}
			c.compromise(corp, u, t, "consent")
			c.of.Compromised[len(c.of.Compromised)-1].How = "consent"
		}
		server := c.server()
		for d := start + day; d < w.end-day; d += 2 * day {
			for _, u := range users {
				t := p.hour(d/day*day, x)
				token := x.guid()
				c.of.Tokens = append(c.of.Tokens, token.String())
				session := c.sessionFor(u)
				s := signIn{t: t, id: token, user: u, client: clientOf{application{a.id, a.name}, graphRes(), false}, from: server, ua: "axios/1.6.0", session: session, refresh: true, incoming: "refreshToken", mfa: 1}
				c.at(t, corp, "access", true, func(g *gen, _ *rng) {
					q := s
					g.signIn(&q)
				})
				acc := access{user: u, owner: u, from: server, token: token, issued: t, session: session, appID: idGraph, clientID: a.id, api: idGraph, info: "Client=REST;;"}
				for i := range 2 {
					if list := c.mailOf(u, t, 5); len(list) > 0 {
						c.readMail(t+minute+int64(i)*3*minute, acc, list, "bind", false)
					}
				}
				c.mailRequest(t+30*second, &acc, "me/messages?$top=50", "Mail.Read User.Read offline_access", "axios/1.6.0")
			}
		}
	}, 0.65}
}

// sessionFor is a session of the actor's for a person, the same each time.
func (c *campaign) sessionFor(u *user) guid {
	g := rng{hash(u.h, uint64(c.idx), 77)}
	s := g.guid()
	for _, have := range c.of.Sessions {
		if have == s.String() {
			return s
		}
	}
	c.of.Sessions = append(c.of.Sessions, s.String())
	return s
}
