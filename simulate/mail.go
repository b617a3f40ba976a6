package simulate

import "strings"

// message is a mail of a team. Messages are not kept: those of a day can be
// made again from the seed, so that an actor can read old mail.
type message struct {
	h       uint64
	from    int  // index of the sender, -1: outside
	to      byte // members of the team
	out     bool // to somebody outside, too
	t       int64
	size    int
	subject string
	file    string
	secret  byte // kind of secret planted in it, 0: none
	team    int
	domain  string // of the sender
}

// secretKinds are what people should not have put in mail. The values are made
// up from the message's number.
func secretKinds() []string {
	return []string{"", "password", "api key", "connection string", "private link", "recovery code"}
}

func secretValue(kind byte, h uint64) string {
	s := string(appendHex(nil, mix(h+99), 16))
	switch secretKinds()[kind] {
	case "password":
		return "Harbor-" + s[:4] + "-Lantern-" + s[4:6]
	case "api key":
		return "fbk_live_" + s + s[:8]
	case "connection string":
		return "Server=tcp:orders.fabrikam.example,1433;User ID=svc_orders;Password=" + strings.ToUpper(s[:6]) + "!" + s[6:12] + ";"
	case "private link":
		return "https://files.fabrikam.example/s/" + s + "?sig=" + s[8:]
	}
	return strings.ToUpper(s[:5]) + "-" + strings.ToUpper(s[5:10]) + "-" + strings.ToUpper(s[10:15])
}

// secretShare is the share of internal messages with a secret; estimate.
const secretShare = 0.03

// messages appends the mail of a team's day, by time.
func (w *world) messages(t *tenant, team, d int, list []message) []message {
	g := w.rng(rsMail, uint64(t.idx), uint64(team), uint64(d+100000))
	lo := team * teamSize
	if lo >= len(t.users) {
		return list
	}
	n := min(teamSize, len(t.users)-lo)
	head := &t.users[lo]
	st := &w.sites[head.site]
	midnight := w.start + int64(d)*day
	share := 1.0
	if wd := weekday(midnight); wd == 0 || wd == 6 || holiday(st.country, midnight) {
		share = w.r.WeekendActive
	}
	words := w.words[head.function]
	inside := g.poisson(w.r.MessagesSent * float64(n) * share * min(1, w.o.Volume))
	outside := g.poisson(w.r.MessagesIn * float64(n) * (0.3 + 0.7*share) * min(1, w.o.Volume))
	for i := range inside + outside {
		m := message{h: g.u64(), from: -1, team: team, size: 3000 + int(g.exp(28000))}
		local := midnight + 8*hour + g.span(0, 10*hour)
		m.t = local - st.zone
		if i < inside {
			m.from = lo + g.n(n)
			m.domain = t.domain
			m.to = byte(g.u64()>>40) & (1<<n - 1) &^ (1 << (m.from - lo))
			if m.to == 0 {
				m.to = 1 << ((m.from - lo + 1) % n)
			}
			m.subject = pick(&g, words)
			if g.p(0.3) {
				m.subject = "RE: " + m.subject
			}
			m.out = g.p(0.1)
			if g.p(secretShare) {
				m.secret = byte(1 + g.n(len(secretKinds())-1))
			}
			if g.p(0.25) { // share with an attachment: estimate
				m.file = "attachment-" + string(appendHex(nil, m.h, 4)) + pick(&g, []string{".docx", ".xlsx", ".pdf", ".pptx"})
				m.size += 20000 + int(g.exp(400000))
			}
		} else {
			m.domain = pick(&g, w.domains)
			m.to = 1 << g.n(n)
			m.subject = pick(&g, w.outside)
		}
		list = append(list, m)
	}
	return list
}

func (w *world) appendMessageID(b []byte, t *tenant, m *message) []byte {
	const up = "0123456789ABCDEF"
	for s := 60; s >= 0; s -= 4 {
		b = append(b, up[m.h>>s&15])
	}
	x := mix(m.h)
	for s := 12; s >= 0; s -= 4 {
		b = append(b, up[x>>s&15])
	}
	b = append(b, '@')
	return append(b, m.domain...)
}

func (w *world) messageID(t *tenant, m *message) string {
	return string(w.appendMessageID(nil, t, m))
}

// inbox reports whether a message lies in a person's inbox.
func (m *message) inbox(u *user) bool { return m.to>>(u.idx%teamSize)&1 == 1 }

func (w *world) appendSender(b []byte, t *tenant, m *message) []byte {
	if m.from >= 0 {
		return append(b, t.users[m.from].upn...)
	}
	b = append(b, "contact"...)
	b = num(b, int64(m.h%400))
	b = append(b, '@')
	return append(b, m.domain...)
}

// traceDays is how long Get-MessageTrace reaches back; older mail is in the
// historical report.
const traceDays = 10

// trace writes a message to the message trace: the historical report has a row
// a message, the live one a row a recipient.
func (g *gen) trace(m *message) {
	network := newGUID(m.h, mix(m.h+5))
	text := func() string { return network.String() }
	if m.t >= g.w.end-traceDays*day {
		for i := range teamSize {
			if m.to>>i&1 == 0 {
				continue
			}
			if !g.admit(fTraceJSON, m.t, m.h+uint64(i), text) {
				continue
			}
			to := &g.t.users[m.team*teamSize+i]
			b := append(g.out[fTraceJSON].b, `{"Organization":"`...)
			b = append(b, g.t.domain...)
			b = append(b, `","MessageId":"<`...)
			b = g.w.appendMessageID(b, g.t, m)
			b = append(b, `>","Received":"`...)
			b = appendTicks(b, m.t)
			b = append(b, `","SenderAddress":"`...)
			b = g.w.appendSender(b, g.t, m)
			b = append(b, `","RecipientAddress":"`...)
			b = append(b, to.upn...)
			b = append(b, `","Subject":"`...)
			b = append(b, m.subject...)
			b = append(b, `","Status":"Delivered","ToIP":null,"FromIP":`...)
			if m.from < 0 {
				b = append(b, '"')
				b = append(g.w.nets[netHosting].addr4(m.h%97).append(b), '"')
			} else {
				b = append(b, "null"...)
			}
			b = append(b, `,"Size":`...)
			b = num(b, int64(m.size))
			b = append(b, `,"MessageTraceId":"`...)
			b = network.append(b)
			b = append(b, `","Index":`...)
			b = num(b, int64(i))
			g.line(fTraceJSON, append(b, '}'))
		}
		return
	}
	if !g.admit(fTraceCSV, m.t, m.h, text) {
		return
	}
	b := appendTicks(g.out[fTraceCSV].b, m.t)
	b = append(b, 'Z', ',')
	b = g.w.appendSender(b, g.t, m)
	b = append(b, ',', '"')
	first := true
	for i := range teamSize {
		if m.to>>i&1 == 0 {
			continue
		}
		if !first {
			b = append(b, ';')
		}
		first = false
		b = append(b, g.t.users[m.team*teamSize+i].upn...)
		b = append(b, "##Receive, Deliver"...)
	}
	if m.out {
		b = append(b, ";partner"...)
		b = num(b, int64(m.h%50))
		b = append(b, '@')
		b = append(b, g.w.domains[m.h>>8%uint64(len(g.w.domains))]...)
		b = append(b, "##Receive, Send"...)
	}
	b = append(b, '"', ',', '"')
	b = append(b, m.subject...)
	b = append(b, '"', ',')
	b = num(b, int64(m.size))
	b = append(b, ",<"...)
	b = g.w.appendMessageID(b, g.t, m)
	b = append(b, ">,"...)
	b = network.append(b)
	b = append(b, ',')
	if m.from < 0 {
		b = g.w.nets[netHosting].addr4(m.h % 97).append(b)
		b = append(b, ",Incoming,,Normal\r\n"...)
	} else {
		b = append(b, ",Originating,,Normal\r\n"...)
	}
	g.out[fTraceCSV].b = b
	g.out[fTraceCSV].n++
}
