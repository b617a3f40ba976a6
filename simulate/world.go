package simulate

import (
	"fmt"
	"strings"
)

const teamSize = 8

// user is a person, or a service's account. Users are made once; what they do
// is made a day at a time.
type user struct {
	idx      int
	upn      string
	name     string
	id       string // object id
	mailbox  string // mailbox GUID
	sid      string
	puid     string
	function string
	title    string
	site     int
	home     *network
	desk     agent
	phone    agent
	device   string // device id, empty when not managed
	hasMFA   bool
	mfa      string // method
	enabled  bool
	licensed bool // reads of the mailbox are recorded
	joined   int  // day of the first day at work, before 0 for nearly all
	ropc     bool
	loopFrom int // days of a stale password loop, loopTo exclusive
	loopTo   int
	h        uint64
}

// app is an application with a service principal in a tenant.
type app struct {
	id, name, sp, object string
	keys                 []string
	from                 where
	every                int64 // between two tokens
	reads                string
	res                  application
	ua                   string
	home                 string // tenant that owns it; empty: this one
	made                 int64  // registered or consented at; 0: before the logs
}

// tenant is an organization.
type tenant struct {
	idx     int
	id      string
	name    string
	domain  string
	role    string
	users   []user
	apps    []app
	idents  []app // managed identities
	org     string
	graphSP string // object ids of the resources' service principals
	exoSP   string
}

// world is all that is decided before the first day.
type world struct {
	o       Options
	r       Rates
	start   int64
	end     int64
	days    int
	nets    []network
	sites   [4]site
	tenants []*tenant
	agents  []agent
	phones  []agent
	clients []clientOf
	refresh []clientOf
	words   map[string][]string
	outside []string
	domains []string

	outage  int // day on which sign-in is out of order for hours
	reset   int // day on which many passwords are reset by force
	lookers []LookAlike
	noise   []LookAlike
	gaps    []Gap
	leftOut []LeftOut
	ual     span // times in which UAL has a gap
}

type span struct{ from, to int64 }

func (s span) has(t int64) bool { return t >= s.from && t < s.to }

func (w *world) hash(xs ...uint64) uint64 {
	return hash(append([]uint64{w.o.Seed}, xs...)...)
}

func (w *world) rng(xs ...uint64) rng { return rng{w.hash(xs...)} }

// Streams of randomness. New ones go to the end.
const (
	rsUser = iota + 1
	rsDay
	rsTeam
	rsTenant
	rsApps
	rsTenantDay
	rsWorld
	rsKeep
	rsMail
	rsTrip
	rsSession
	rsHome
	rsScenario
	rsAct
	rsFactor
	rsEgress
	rsDup
	rsArrival
)

func newWorld(o Options) *world {
	w := &world{
		o: o, r: DefaultRates(), days: o.Days, start: o.Start.UnixMicro(), nets: networks(), sites: sites(),
		agents: browsers(), phones: phones(), clients: interactiveClients(), refresh: refreshClients(),
		words: map[string][]string{}, outside: outsideSubjects(), domains: outsideDomains(), outage: -1, reset: -1,
	}
	w.end = w.start + int64(o.Days)*day
	for _, f := range functions() {
		w.words[f] = subjects(f)
	}
	g := w.rng(rsWorld)
	if o.Days >= 14 {
		w.outage = o.Days/5 + g.n(o.Days/5)
		w.reset = o.Days/2 + g.n(o.Days/4)
	}
	w.tenants = append(w.tenants, w.corporate())
	return w
}

// add builds the accounts of a tenant.
func (w *world) newTenant(idx int, name, domain, role string) *tenant {
	g := w.rng(rsTenant, uint64(idx))
	return &tenant{idx: idx, id: g.guid().String(), name: name, domain: domain, role: role, org: domain, graphSP: g.guid().String(), exoSP: g.guid().String()}
}

func (w *world) corporate() *tenant {
	t := w.newTenant(0, "Fabrikam", "fabrikam.example", "corporate")
	first, last, fn := givenNames(), familyNames(), functions()
	combos := len(first) * len(last)
	t.users = make([]user, w.o.Users)
	for i := range t.users {
		u := &t.users[i]
		u.idx = i
		u.h = w.hash(rsUser, 0, uint64(i))
		g := rng{u.h}
		c := (i*2731 + 17) % combos // 2731 is prime to combos: names repeat only when all are used
		f, l := first[c%len(first)], last[c/len(first)]
		u.upn = f + "." + l
		if i >= combos {
			u.upn += fmt.Sprint(i/combos + 1)
		}
		u.name = title(f) + " " + title(l)
		u.upn += "@" + t.domain
		team := i / teamSize
		u.function = fn[min(team, 5)]
		if team > 5 {
			// One team in 40 is IT, three are Engineering, the rest are spread.
			switch k := w.hash(rsTeam, uint64(team)) % 40; {
			case k == 0:
				u.function = "IT"
			case k < 4:
				u.function = "Engineering"
			default:
				u.function = fn[6+int(k)%(len(fn)-6)]
			}
		}
		u.title = titles(u.function)[i%teamSize]
		// A team sits in one place; the first six where the head office is.
		u.site = 0
		if team > 5 {
			x, acc := unit(w.hash(rsTeam, 1, uint64(team))), 0.0
			for s := range w.sites {
				if acc += w.sites[s].share; x < acc {
					u.site = s
					break
				}
			}
		}
		w.person(u, &g)
		// Heads of the first teams are always there, with all their logs.
		if team < 6 {
			u.enabled, u.licensed, u.hasMFA, u.loopTo = true, true, true, 0
			continue
		}
		if g.p(w.r.OnboardWeek * float64(w.days) / 7) {
			// Waves: people start on Mondays.
			week := g.n(max(1, w.days/7))
			u.joined = week*7 + (8-weekday(w.start))%7
		}
	}
	return t
}

// person fills in what does not depend on the organization.
func (w *world) person(u *user, g *rng) {
	r := &w.r
	u.id, u.mailbox = g.guid().String(), g.guid().String()
	u.sid = fmt.Sprintf("S-1-5-21-3141592653-2718281828-1618033988-%d", 1100+u.idx)
	u.puid = "1003" + strings.ToUpper(string(appendHex(nil, g.u64(), 12)))
	st := &w.sites[u.site]
	u.home = &w.nets[st.homes[g.n(2)]]
	u.desk, u.phone = pick(g, w.agents), pick(g, w.phones)
	if g.p(0.7) { // share of managed devices: estimate
		u.device = g.guid().String()
	}
	u.hasMFA = !g.p(r.NoMFA)
	u.mfa = pick(g, []string{"Mobile app notification", "Mobile app notification", "OATH verification code", "Text message"})
	u.enabled = !g.p(r.DisabledPeople)
	u.licensed = !g.p(r.UnlicensedMail)
	u.ropc = g.p(r.ROPCShare)
	u.joined = -1000
	if g.p(r.StaleLoopPeople * max(1, float64(w.days)/30)) {
		u.loopFrom = g.n(w.days)
		u.loopTo = u.loopFrom + 1 + int(g.exp(r.StaleLoopDays))
	}
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// egress is the address that a person's office traffic leaves from.
func (w *world) egress(u *user) where {
	n := &w.nets[netOffice+w.sites[u.site].office]
	people := int(float64(w.o.Users) * w.sites[u.site].share)
	k := 1 + people/w.r.PeoplePerEgress
	return where{v4(n.base + 1 + uint32(u.h>>20%uint64(k))), n}
}

// vpn is where a person's traffic leaves from over the remote access.
func (w *world) vpn(u *user) where {
	n := &w.nets[netVPN]
	k := 1 + w.o.Users/w.r.PeoplePerEgress
	return where{v4(n.base + 1 + uint32(u.h>>24%uint64(k))), n}
}

// homeOf is a person's address at home; it changes now and then.
func (w *world) homeOf(u *user, d int) where {
	life := int(w.r.HomeChurnDays)
	epoch := (d + 100000 + int(u.h>>40)%life) / life
	h := w.hash(rsHome, u.h, uint64(epoch))
	if u.home.v6 != 0 && unit(mix(u.h+7)) < w.r.IPv6Home*2 { // half of the providers have it
		return where{u.home.addr6(h), u.home}
	}
	return where{u.home.addr4(h), u.home}
}

// trip is where a person travels on a day, if at all.
func (w *world) trip(u *user, d int) (where, bool) {
	period := (d + 14000) / 14
	g := w.rng(rsTrip, u.h, uint64(period))
	if !g.p(w.r.TripShare) {
		return where{}, false
	}
	from := g.n(14)
	if x := (d + 14000) % 14; x < from || x >= from+1+int(g.exp(w.r.TripDays)) {
		return where{}, false
	}
	n := &w.nets[netHotel]
	return where{n.addr4(g.u64()), n}, true
}

// factor is the common effect of a day on failures.
func (w *world) factor(d int) float64 {
	t := w.start + int64(d)*day
	g := w.rng(rsFactor, uint64(d))
	f := max(0.2, g.norm(1, w.r.DayCV))
	if weekday(t) == 1 || holiday("US", t-day) {
		f *= w.r.MondayFactor
	}
	return f
}

// sessionOf is the Entra session of a person's client in a week.
func (w *world) sessionOf(u *user, d, client int) guid {
	g := w.rng(rsSession, u.h, uint64(d/7), uint64(client))
	return g.guid()
}
