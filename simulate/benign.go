package simulate

// userDay makes an ordinary day of a person.
func (g *gen) userDay(u *user, d int) {
	w, r := g.w, &g.w.r
	g.r = w.rng(rsDay, uint64(g.t.idx), uint64(u.idx), uint64(d))
	x := &g.r
	midnight := w.start + int64(d)*day
	st := &w.sites[u.site]
	if d < u.joined {
		return
	}
	if !u.enabled {
		if x.p(r.DisabledTries) {
			g.failure(u, w.homeOf(u, d), midnight+x.span(0, day), 50057)
		}
		return
	}
	wd := weekday(midnight)
	off := wd == 0 || wd == 6 || holiday(st.country, midnight)
	factor := w.factor(d)
	if off {
		factor = r.WeekendFactor
	}
	if d >= u.loopFrom && d < u.loopTo {
		g.staleLoop(u, d, midnight)
	}
	active := r.Active
	if off {
		active = r.WeekendActive
	}
	if !x.p(active) {
		return
	}
	place, travels := w.trip(u, d)
	if !travels {
		switch {
		case !off && x.p(r.AtOffice):
			place = w.egress(u)
		case !off && x.p(r.VPN):
			place = w.vpn(u)
		default:
			place = w.homeOf(u, d)
		}
	}
	begin := midnight + 8*hour + int64(x.norm(float64(40*minute), float64(35*minute))) - st.zone
	length := 8*hour + x.span(0, 90*minute)
	when := func() int64 { return begin + x.span(0, length) }

	session := w.sessionOf(u, d, 0)
	token := guid{}
	issued := int64(0)
	mobile := w.nets[st.mobile]
	vol := w.o.Volume

	// Sign-ins.
	n := x.poisson(r.Interactive * vol)
	if n == 0 && x.p(0.5) {
		n = 1
	}
	for i := range n {
		t := when()
		if i == 0 {
			t = begin
		}
		s := signIn{t: t, id: x.guid(), user: u, client: pick(x, w.clients), from: place, agent: &u.desk, device: u.device, session: session}
		if u.function == "IT" && x.p(0.4) {
			s.client = portalClient()
		}
		if d == w.outage && t >= midnight+14*hour && t < midnight+17*hour && x.p(r.OutageShare) {
			s.code, s.session = 90033, guid{}
			g.signIn(&s)
			continue
		}
		if d == w.reset && i == 0 && x.p(r.ResetDayShare) {
			g.failure(u, place, t-2*minute, 50055)
		}
		g.signInWithMess(&s, x, r)
		if s.code == 0 {
			token, issued = s.id, s.t
		}
	}
	if u.ropc {
		for range 2 {
			s := signIn{t: when(), id: x.guid(), user: u, client: clientOf{application{idOffice, "Microsoft Office"}, exchange(), false}, from: w.egress(u), ua: "BAV2ROPC", used: "Other clients", protocol: "ropc"}
			g.signIn(&s)
		}
	}
	for range x.poisson(r.NonInteractive * vol) {
		s := signIn{t: when(), id: x.guid(), user: u, client: pick(x, w.refresh), from: place, agent: &u.desk, device: u.device, session: session, refresh: true, incoming: "primaryRefreshToken"}
		if u.hasMFA {
			s.mfa = 1
		}
		if x.p(0.01) { // share of refreshes that fail for an expired session: estimate
			s.code = 70043
		}
		g.signIn(&s)
		if s.code == 0 && s.client.res.id == idExchange {
			token, issued = s.id, s.t
		}
	}
	if x.p(r.MobileUse) {
		phone := w.sessionOf(u, d, 1)
		for range 1 + x.poisson(0.7*vol) {
			s := signIn{t: midnight - st.zone + 6*hour + x.span(0, 16*hour), id: x.guid(), user: u, client: clientOf{application{idOutlookM, "Outlook Mobile"}, exchange(), false},
				from: where{mobile.addr4(x.u64()), &w.nets[st.mobile]}, agent: &u.phone, session: phone, refresh: true, incoming: "refreshToken"}
			if u.hasMFA {
				s.mfa = 1
			}
			g.signIn(&s)
		}
	}

	g.mistakes(u, d, place, when, factor, session)

	// Mail.
	if token.zero() {
		token, issued = x.guid(), begin // minted before the logs' grasp
	}
	if u.licensed {
		a := access{user: u, owner: u, from: place, token: token, issued: issued, session: session, appID: idOWA, api: idExchange}
		a.info = "Client=OWA;Action=ViaProxy"
		if x.p(0.4) {
			a.appID, a.info = "5d661950-3475-41cd-a2c3-d671a3162bc1", "Client=REST;Client=RESTSystem;;" // new Outlook
		}
		var read [4]*message
		next := 0
		for range x.poisson(r.MailBind * vol) {
			t := when()
			k, want := 0, 1+x.n(3)
			for ; next < len(g.msgs) && k < want; next++ {
				if m := &g.msgs[next]; m.inbox(u) {
					read[k] = m
					t = max(t, m.t+minute)
					k++
				}
			}
			folder := "Inbox"
			if k == 0 {
				// Nothing new: an old one, of those one wrote as well.
				if len(g.msgs) == 0 {
					continue
				}
				m := &g.msgs[x.n(len(g.msgs))]
				if m.from == u.idx {
					folder = "Sent Items"
				} else if !m.inbox(u) {
					continue
				}
				t = max(t, m.t+minute)
				read[0], k = m, 1
			}
			g.bind(t, x.guid(), &a, folder, read[:k], false)
		}
		if u.device != "" {
			a.info, a.appID, a.api, a.session = "Client=MSExchangeRPC", "", "", guid{}
			for i := range x.poisson(r.MailSync * vol) {
				g.sync(when(), x.guid(), &a, [...]string{"Inbox", "Sent Items", "Calendar"}[i%3])
			}
		}
	}
	for i := range g.msgs {
		if m := &g.msgs[i]; m.from == u.idx {
			a := access{user: u, owner: u, from: place, session: session, info: "Client=OWA;Action=ViaProxy", appID: idExchange}
			g.send(m.t, x.guid(), &a, m)
		}
	}
	g.delegate(u, place, token, issued, session, when)

	for range x.poisson(r.FileAccess * vol) {
		id := x.guid()
		g.file(when(), id, u, place, [...]string{"FileAccessed", "FileAccessed", "FileModified", "FileDownloaded"}[id.a>>60&3], fileName(id.a), session)
	}
	for range x.poisson(r.Teams * vol) {
		g.chat(when(), x.guid(), u, place)
	}
	for range x.poisson(r.GraphRequests * vol) {
		q := request{t: when(), id: x.guid(), user: u, appID: idTeams, roles: "Files.Read Mail.ReadBasic User.Read", from: place, ua: u.desk.ua, token: token, sess: session, iat: issued}
		q.uri = [...]string{"me", "me/joinedTeams", "me/drive/root/children?$top=20", "me/people?$top=10"}[q.id.a>>59&3]
		g.request(&q)
	}
	g.ownChanges(u, place, session, when)
}

func fileName(h uint64) string {
	return "document-" + string(appendHex(nil, h, 5)) + [...]string{".docx", ".xlsx", ".pptx", ".pdf"}[h>>20&3]
}

// signInWithMess writes a sign-in with the interrupts around it.
func (g *gen) signInWithMess(s *signIn, x *rng, r *Rates) {
	u := s.user
	before := func(code int) {
		f := *s
		f.id, f.t, f.code, f.session = x.guid(), s.t-12*second, code, guid{}
		g.signIn(&f)
	}
	if x.p(r.Interrupt) {
		before([...]int{50140, 50058, 50089}[x.n(3)])
	}
	if u.hasMFA {
		s.mfa, s.method = 1, u.mfa
		if x.p(r.MFADone) {
			s.mfa = 2
			if x.p(r.MFADenied) {
				s.mfa = 3
				before(500121)
				s.mfa = 2
			}
		}
		if x.p(r.MFAInterrupt) {
			m := s.mfa
			s.mfa = 0
			before([...]int{50074, 50076}[x.n(2)])
			s.mfa = m
		}
	} else if x.p(r.MFAInterrupt) {
		before(50072)
	}
	g.signIn(s)
}

// failure writes a failed browser sign-in.
func (g *gen) failure(u *user, from where, t int64, code int) {
	g.signIn(&signIn{t: t, id: g.r.guid(), user: u, client: g.w.clients[0], from: from, agent: &u.desk, device: u.device, code: code})
}

// mistakes are what people do wrong and what policies refuse them.
func (g *gen) mistakes(u *user, d int, place where, when func() int64, factor float64, session guid) {
	w, r, x := g.w, &g.w.r, &g.r
	for range x.poisson(r.WrongPassword * factor) {
		t, tries := when(), 1
		for x.p(1 - 1/r.WrongTries) {
			tries++
		}
		from, agent, device, session := place, &u.desk, u.device, session
		if x.p(0.15) { // on the phone: estimate
			st := &w.sites[u.site]
			from, agent, device = where{w.nets[st.mobile].addr4(x.u64()), &w.nets[st.mobile]}, &u.phone, ""
			session = w.sessionOf(u, d, 1) // of one browser, so never the desk's
		}
		for range tries {
			g.signIn(&signIn{t: t, id: x.guid(), user: u, client: w.clients[0], from: from, agent: agent, device: device, code: 50126})
			t += 4*second + x.span(0, 25*second)
		}
		if x.p(r.SelfResolved) {
			s := signIn{t: t + x.span(0, 3*minute), id: x.guid(), user: u, client: w.clients[0], from: from, agent: agent, device: device, session: session}
			if u.hasMFA {
				s.mfa, s.method = 2, u.mfa
			}
			g.signIn(&s)
		}
	}
	if x.p(r.UnknownName * factor) {
		// Two letters swapped.
		b := []byte(u.upn)
		if b[1], b[2] = b[2], b[1]; b[1] == b[2] {
			b[1] = 'x'
		}
		g.signIn(&signIn{t: when(), id: x.guid(), upn: string(b), client: w.clients[0], from: place, agent: &u.desk, code: 50034})
	}
	if x.p(r.CABlock * factor) {
		g.failure(u, place, when(), [...]int{53003, 53000}[x.n(2)])
	}
	if x.p(r.NoConsent * factor) {
		g.failure(u, place, when(), [...]int{65001, 50105}[x.n(2)])
	}
	if x.p(r.Expired * factor) {
		g.failure(u, place, when(), 50055)
	}
	if x.p(r.Lockout * factor) {
		t := when()
		for range 10 {
			g.failure(u, place, t, 50126)
			t += 8 * second
		}
		for range 1 + x.n(3) {
			g.failure(u, place, t, 50053)
			t += minute
		}
	}
}

// staleLoop is a phone or a service that repeats an old password for days.
func (g *gen) staleLoop(u *user, d int, midnight int64) {
	w, x := g.w, &g.r
	from := w.homeOf(u, u.loopFrom)
	if u.h>>9&1 == 0 {
		from = w.egress(u)
	}
	for range x.poisson(w.r.StaleLoopHour * 24) {
		g.signIn(&signIn{t: midnight + x.span(0, day), id: x.guid(), user: u, client: clientOf{application{idExchange, "Office 365 Exchange Online"}, exchange(), false}, from: from, ua: "Android-Mail/2023.10.29", used: "Exchange ActiveSync", code: 50126})
	}
}

// delegate reads for somebody else of the team: an assistant for the head.
func (g *gen) delegate(u *user, place where, token guid, issued int64, session guid, when func() int64) {
	team := u.idx / teamSize
	if u.idx%teamSize != teamSize-1 || g.t.role != "corporate" || team != 0 && unit(g.w.hash(rsTeam, 2, uint64(team))) >= g.w.r.DelegateTeams {
		return
	}
	head := &g.t.users[team*teamSize]
	if !head.licensed {
		return
	}
	a := access{user: u, owner: head, from: place, logon: 2, token: token, issued: issued, session: session, info: "Client=OWA;Action=ViaProxy", appID: idOWA, api: idExchange}
	for range g.r.poisson(g.w.r.DelegateReads) {
		for i := range g.msgs {
			if m := &g.msgs[(i+int(g.r.u64()&63))%len(g.msgs)]; m.inbox(head) {
				g.bind(max(when(), m.t+minute), g.r.guid(), &a, "Inbox", []*message{m}, false)
				break
			}
		}
	}
}

// ownChanges are what people do to their own account and mailbox.
func (g *gen) ownChanges(u *user, place where, session guid, when func() int64) {
	w, r, x := g.w, &g.w.r, &g.r
	if x.p(r.UserAudit * w.o.Volume) {
		c := userChange("Update user", "Update", u, prop{"Included Updated Properties", "", "Department", false})
		if x.p(0.5) {
			c = userChange("Add member to group", "Assign", u, prop{"Group.DisplayName", "", "Project " + string(appendHex(nil, x.u64(), 3)), false})
			c.category = "GroupManagement"
		}
		admin := w.admin(g.t, x)
		c.t, c.id, c.by, c.from, c.ua = when(), x.guid(), admin, w.egress(admin), ""
		g.change(&c)
	}
	if x.p(r.SecurityInfo) {
		c := userChange("User registered security info", "Add", u)
		c.service, c.t, c.id, c.by, c.from = "Authentication Methods", when(), x.guid(), u, place
		g.change(&c)
	}
	if x.p(r.PasswordReset) {
		c := userChange("Reset user password", "Update", u)
		admin := w.admin(g.t, x)
		c.t, c.id, c.by, c.from = when(), x.guid(), admin, w.egress(admin)
		g.change(&c)
	}
	if x.p(r.InboxRules) {
		name := [...]string{"Newsletters", "Team", "Invoices", "Build mails", "Out of the way"}[x.n(5)]
		t, id := when(), x.guid()
		local, _, _ := cut(u.upn)
		if x.p(r.ExternalForward) {
			g.cmdlet(t, id, u, place, session, "New-InboxRule", local+`\`+name, "Name", name, "From", "newsletter@adventureworks.example", "ForwardTo", local+"@home.example", "StopProcessingRules", "True")
			return
		}
		g.cmdlet(t, id, u, place, session, "New-InboxRule", local+`\`+name, "Name", name, "From", "newsletter@adventureworks.example", "MoveToFolder", name, "StopProcessingRules", "True")
	}
}

// cut splits an address.
func cut(upn string) (local, domain string, ok bool) {
	for i := range upn {
		if upn[i] == '@' {
			return upn[:i], upn[i+1:], true
		}
	}
	return upn, "", false
}

// admin is one of the people who run the directory.
func (w *world) admin(t *tenant, x *rng) *user {
	if t.role != "corporate" {
		return &t.users[0]
	}
	return &t.users[4*teamSize+1+x.n(5)]
}
