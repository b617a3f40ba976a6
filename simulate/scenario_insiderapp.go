package simulate

// insiderapp is an employee: the office's address, working hours, an
// application that is there already and may read all mail.
func insiderapp() Scenario {
	return Scenario{"insiderapp", "a developer adds a secret to the CRM connector and reads the leadership's mail with it, from home", func(p *plan) {
		w := p.w
		corp := w.tenants[0]
		c := p.campaign("insiderapp", "House Martin", "A developer uses an application that may read all mail")
		c.of.Techniques = []string{"T1098.001", "T1114.002", "T1550.001"}
		x := &c.x
		dev := &corp.users[5*teamSize+2]
		a := corp.apps[1] // a copy: the connector itself goes on
		key := x.guid().String()
		d := p.day(0.55)
		for weekday(d)%6 == 0 {
			d += day
		}
		t := d + 18*hour + x.span(0, 4*hour)
		office := w.egress(dev)
		ch := secretChange(&a, key, "debug", a.keys)
		c.change(corp, t, ch, dev, nil, c.from(office), dev.desk.ua, "credential")
		c.compromise(corp, dev, t, "insider")
		c.of.Credentials = append(c.of.Credentials, CredentialOf{KeyID: key, AppID: a.id, Added: fromMicro(t), By: dev.upn})
		c.of.Apps = append(c.of.Apps, AppOf{AppID: a.id, Name: a.name, ServicePrincipal: a.sp, Object: a.object, Role: "taken_over", Since: fromMicro(t), KeyIDs: []string{key}, Permissions: []string{"Mail.Read"}})
		for k := int64(1); d+k*3*day < w.end-day; k++ {
			night := d + k*3*day
			t := night + 4*hour + x.span(0, 2*hour) // evening in Portland
			home := c.from(w.homeOf(dev, int((night-w.start)/day)))
			token := c.appToken(t, &a, key, graphRes(), home, "collection")
			for i := range 2 {
				o := &corp.users[(int(k)+i)%4]
				acc := appAccess(&a, o, home, token, t)
				if list := c.mailOf(o, t, 5); len(list) > 0 {
					c.readMail(t+minute+int64(i)*4*minute, acc, list, "bind", false)
				}
				c.mailRequest(t+minute, &acc, "users/"+o.id+"/messages?$top=25", "Mail.Read", "python-requests/2.31.0")
			}
		}
	}, 0.6}
}
