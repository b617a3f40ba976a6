package simulate

import "fmt"

// testTenant makes the organization's second tenant, which nobody looks after:
// accounts of tests long done, no second factor, one application that may do
// things in the corporate tenant.
func (p *plan) testTenant() (*tenant, *app) {
	if p.test != nil {
		return p.test, &p.test.apps[0]
	}
	w := p.w
	t := w.newTenant(1, "Fabrikam Test", "fabrikam-test.example", "test")
	n := max(40, min(400, w.o.Users/20))
	t.users = make([]user, n)
	for i := range t.users {
		u := &t.users[i]
		u.idx = i
		u.h = w.hash(rsUser, 1, uint64(i))
		g := rng{u.h}
		local := fmt.Sprintf("test.user%02d", i)
		switch {
		case i == 0:
			local = "admin.test"
		case i%5 == 1:
			local = fmt.Sprintf("svc-%s%s", [...]string{"test", "deploy", "sync", "scan", "build", "legacy"}[i/5%6], number(i/30))
			if i >= 30 {
				local = fmt.Sprintf("svc-job%02d", i)
			}
		case i%5 == 2:
			local = fmt.Sprintf("dev.sandbox%02d", i)
		}
		u.upn, u.name, u.function, u.title = local+"@"+t.domain, local, "IT", "Test account"
		w.person(u, &g)
		u.hasMFA, u.device, u.loopTo, u.ropc = false, "", 0, false
		if u.enabled = g.p(0.8); i < 2 {
			u.enabled = true
		}
	}
	x := w.rng(rsApps, 1, 1)
	t.apps = []app{{id: x.guid().String(), name: "Legacy Mail Test App", sp: x.guid().String(), object: x.guid().String(), keys: []string{x.guid().String()}, every: 1 << 60, home: t.id, made: 1 << 62}}
	w.tenants = append(w.tenants, t)
	p.test = t
	if w.o.NoTest {
		for _, l := range []string{LogInteractive, LogDirectory} {
			w.leftOut = append(w.leftOut, LeftOut{Tenant: t.id, Log: l, Reason: "nobody thought of the test tenant"})
		}
	}
	for _, l := range []string{LogUAL, LogNonInteractive, LogServicePrincipal, LogManagedIdentity, LogGraph} {
		w.leftOut = append(w.leftOut, LeftOut{Tenant: t.id, Log: l, Reason: "not collected for the test tenant"})
	}
	return t, &t.apps[0]
}

// testDay is a day of an account of the test tenant: now and then somebody
// tries something from the office.
func (g *gen) testDay(u *user, d int) {
	w := g.w
	g.r = w.rng(rsDay, 1, uint64(u.idx), uint64(d))
	x := &g.r
	midnight := w.start + int64(d)*day
	if !u.enabled || weekday(midnight)%6 == 0 {
		return
	}
	for range x.poisson(0.25) { // sign-ins a working day; estimate
		t := midnight + 16*hour + x.span(0, 9*hour)
		if x.p(0.06) {
			g.signIn(&signIn{t: t - 20*second, id: x.guid(), user: u, client: portalClient(), from: w.egress(u), agent: &u.desk, code: 50126})
		}
		g.signIn(&signIn{t: t, id: x.guid(), user: u, client: portalClient(), from: w.egress(u), agent: &u.desk, session: x.guid()})
	}
	if x.p(0.01) {
		admin := &g.t.users[0]
		c := userChange("Update user", "Update", u, prop{"Included Updated Properties", "", "Department", false})
		c.t, c.id, c.by, c.from = midnight+17*hour+x.span(0, 6*hour), x.guid(), admin, w.egress(admin)
		g.change(&c)
	}
}
