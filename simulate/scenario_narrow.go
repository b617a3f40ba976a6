package simulate

// narrow is the patient one: a handful of accounts, one guess a day each from
// another home, most of the time; one works.
func narrow() Scenario {
	return Scenario{"narrow", "five accounts (--accounts), one guess a day each from another home, for most of the time; one works", func(p *plan) {
		w := p.w
		corp := w.tenants[0]
		c := p.campaign("narrow", "Grey Plover", "A few accounts guessed at once a day for weeks; one mailbox read")
		c.of.Techniques = []string{"T1078.004", "T1110.003", "T1114.002"}
		x := &c.x
		n, attempts := p.accounts(5), p.attempts(1)
		var users []*user
		for len(users) < n {
			users = append(users, p.someone(x, func(u *user) bool {
				for _, v := range users {
					if v == u {
						return false
					}
				}
				return len(users) > 0 || !u.hasMFA
			}))
		}
		from, to := p.day(0.15), p.day(0.75)
		for d := from; d < to; d += day {
			for _, u := range users {
				for range x.poisson(attempts) {
					t := d + x.span(0, day)
					if w.o.OfficeHours {
						t = p.hour(d, x)
					}
					c.guess(corp, t, u, "", c.proxy(), 50126)
				}
			}
		}
		u, t := users[0], p.hour(to, x)
		home := c.proxy()
		c.guess(corp, t-day+hour, u, "", c.proxy(), 50126)
		c.compromise(corp, u, t, "password")
		c.login(corp, t, u, home, c.target(), 0, "access")
		token, session := c.login(corp, t+20*minute, u, home, owaClient(), 0, "access")
		c.ownMail(t+21*minute, u, home, token, session, 4)
		for d := p.day(0.8); d < w.end-day; d += 3 * day {
			t, home := p.hour(d, x), c.proxy()
			token, session := c.login(corp, t, u, home, owaClient(), 0, "collection")
			c.ownMail(t, u, home, token, session, 3)
		}
	}, 0.78}
}
