package simulate

// bec is about an invoice: a session taken by a page in the middle, rules that
// hide replies and forward a copy.
func bec() Scenario {
	return Scenario{"bec", "an account of Finance, taken with password and second factor; rules hide replies and forward mail", func(p *plan) { p.bec() }, 0.68}
}

func (p *plan) bec() {
	w := p.w
	corp := w.tenants[0]
	c := p.campaign("bec", "Jackdaw", "An account of Finance; rules that hide and forward")
	c.of.Techniques = []string{"T1078.004", "T1114.002", "T1114.003", "T1557", "T1564.008"}
	x := &c.x
	u := p.someone(x, func(u *user) bool { return u.function == "Finance" && u.hasMFA })
	d := p.day(0.65)
	for weekday(d)%6 == 0 {
		d += day
	}
	t := p.hour(d, x)
	from := c.server()
	c.compromise(corp, u, t, "password")
	token, session := c.login(corp, t, u, from, owaClient(), 2, "access")
	c.ownMail(t+minute, u, from, token, session, 4)
	local, _, _ := cut(u.upn)
	rule := t + 26*minute
	c.at(rule, corp, "persistence", true, func(g *gen, x *rng) {
		g.cmdlet(rule, x.guid(), u, from, session, "New-InboxRule", local+`\.`, "Name", ".", "SubjectOrBodyContainsWords", "invoice;payment;bank", "MoveToFolder", "RSS Feeds", "MarkAsRead", "True", "StopProcessingRules", "True")
	})
	c.of.Rules = append(c.of.Rules, RuleOf{Mailbox: u.upn, Name: ".", Effect: "hide", Set: fromMicro(rule)})
	fwd := t + 31*minute
	to := "accounts.desk@woodgrove-billing.example"
	c.at(fwd, corp, "persistence", true, func(g *gen, x *rng) {
		g.cmdlet(fwd, x.guid(), u, from, session, "Set-Mailbox", local, "Identity", u.upn, "ForwardingSmtpAddress", "smtp:"+to, "DeliverToMailboxAndForward", "True")
	})
	c.of.Rules = append(c.of.Rules, RuleOf{Mailbox: u.upn, Name: "", Effect: "forward", To: to, Set: fromMicro(fwd)})
	for i := range 3 {
		t := t + int64(i+1)*day + x.span(0, hour)
		home := c.proxy()
		token := x.guid()
		c.of.Tokens = append(c.of.Tokens, token.String())
		s := signIn{t: t, id: token, user: u, client: owaClient(), from: home, agent: c.ua(), session: session, refresh: true, incoming: "refreshToken", mfa: 1}
		c.at(t, corp, "access", true, func(g *gen, _ *rng) {
			q := s
			g.signIn(&q)
		})
		c.ownMail(t+minute, u, home, token, session, 2)
		// An invoice in the owner's name.
		m := message{h: x.u64(), from: u.idx, team: u.idx / teamSize, t: t + 20*minute, size: 41022, subject: "RE: Invoice 48213, new bank details", file: "invoice-48213.pdf", domain: corp.domain}
		acc := owa(u, home, token, session, t)
		c.at(m.t, corp, "fraud", true, func(g *gen, x *rng) { g.send(m.t, x.guid(), &acc, &m) })
	}
}
