package simulate

// bruteforce is one account and thousands of guesses.
func bruteforce() Scenario {
	return Scenario{"bruteforce", "one account (--accounts), hundreds of guesses a day (--attempts) from thirty servers, with lockouts, until it works", func(p *plan) {
		w := p.w
		corp := w.tenants[0]
		c := p.campaign("bruteforce", "Rook", "Thousands of guesses at one account; its mail read")
		c.of.Techniques = []string{"T1078.004", "T1110.001", "T1114.002"}
		x := &c.x
		var servers []where
		for range 30 {
			servers = append(servers, c.server())
		}
		days := max(3, w.days/10)
		first := p.day(0.5)
		for k := range p.accounts(1) {
			u := p.someone(x, func(u *user) bool { return !u.hasMFA })
			for d := range days {
				n := x.poisson(p.attempts(400))
				for i := range n {
					code := 50126
					if i%10 == 9 { // the lock of ten
						code = 50053
					}
					c.guess(corp, first+int64(d)*day+int64(i)*day/int64(n)+x.span(0, minute), u, "", servers[x.n(len(servers))], code)
				}
			}
			if k > 0 {
				continue
			}
			t := first + int64(days)*day + x.span(0, 3*hour)
			c.compromise(corp, u, t, "password")
			c.login(corp, t, u, servers[0], c.target(), 0, "access")
			token, session := c.login(corp, t+9*minute, u, servers[0], owaClient(), 0, "access")
			c.ownMail(t+10*minute, u, servers[0], token, session, 6)
		}
	}, 0}
}
