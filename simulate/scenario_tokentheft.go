package simulate

// tokentheft has no guess and no new session: the owner's own session goes on
// from another network, beside the owner.
func tokentheft() Scenario {
	return Scenario{"tokentheft", "a stolen session goes on from another network, without a password or a second factor; mail is read", func(p *plan) {
		w := p.w
		corp := w.tenants[0]
		c := p.campaign("tokentheft", "Cuckoo", "A stolen session, refreshed from elsewhere; mail read")
		c.of.Techniques = []string{"T1539", "T1550.004", "T1114.002"}
		x := &c.x
		for k := range p.accounts(1) {
			u := p.someone(x, func(u *user) bool { return u.hasMFA })
			start := p.day(0.6) + int64(k)*day
			since := int64(0)
			for visit := range 5 {
				d := start + int64(visit)*day
				session := w.sessionOf(u, max(0, int((d-w.start)/day)), 0)
				t := p.hour(d, x)
				home := c.proxy()
				token := x.guid()
				s := signIn{t: t, id: token, user: u, client: clientOf{application{idOffice, "Microsoft Office"}, exchange(), false}, from: home, agent: c.ua(), session: session, refresh: true, incoming: "refreshToken", mfa: 1}
				if since == 0 {
					since = t
				}
				c.of.Tokens = append(c.of.Tokens, token.String())
				if id := session.String(); visit == 0 || c.of.Sessions[len(c.of.Sessions)-1] != id {
					c.of.Sessions = append(c.of.Sessions, id)
				}
				c.at(t, corp, "access", true, func(g *gen, _ *rng) {
					q := s
					g.signIn(&q)
				})
				c.ownMail(t+2*minute, u, home, token, session, 3)
			}
			c.compromise(corp, u, since, "token")
		}
	}, 0.64}
}
