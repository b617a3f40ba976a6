package simulate

// loudspray is what everybody sees: most accounts in two hours, from a few
// servers; two work, and their mail is read at once.
func loudspray() Scenario {
	return Scenario{"loudspray", "three fifths of all accounts in two hours from three servers, twice; two work and are read at once", func(p *plan) {
		w := p.w
		corp := w.tenants[0]
		c := p.campaign("loudspray", "Herring Gull", "A loud spray from servers; two mailboxes read")
		c.of.Techniques = []string{"T1078.004", "T1110.003", "T1114.002"}
		x := &c.x
		n := p.accounts(int(0.6 * float64(len(corp.users))))
		servers := []where{c.server(), c.server(), c.server()}
		lucky := []*user{p.someone(x, func(u *user) bool { return !u.hasMFA }), p.someone(x, func(u *user) bool { return !u.hasMFA })}
		start := p.hour(p.day(0.55), x)
		for wave := range 2 {
			begin := start + int64(wave)*3*day
			off := x.n(len(corp.users))
			for i := range n {
				u := &corp.users[(off+i)%len(corp.users)]
				if u == lucky[0] || u == lucky[1] {
					continue
				}
				code := 50126
				if !u.enabled {
					code = 50057
				} else if x.p(0.03) {
					code = 50053 // the address is known by now
				}
				c.guess(corp, begin+x.span(0, 2*hour), u, "", servers[x.n(3)], code)
			}
			for _, u := range lucky {
				c.guess(corp, begin+x.span(0, hour), u, "", servers[x.n(3)], 50126)
			}
		}
		for i, u := range lucky {
			if i > 0 && u == lucky[0] {
				break
			}
			t := start + 3*day + 100*minute + int64(i)*7*minute
			c.compromise(corp, u, t, "password")
			c.login(corp, t, u, servers[i], c.target(), 0, "access")
			token, session := c.login(corp, t+15*minute, u, servers[i], owaClient(), 0, "access")
			c.ownMail(t+16*minute, u, servers[i], token, session, 5)
		}
	}, 0}
}
