package score

import (
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/simulate"
)

// actor is a campaign of the key, by what is the actor's alone.
type actor struct {
	*simulate.CampaignOf
	kinds map[string]map[string]bool // kind -> ids
	ips   map[string]bool            // not shared with anybody
}

// held is a campaign of the case, by the same.
type held struct {
	*casefile.Campaign
	kinds map[string]map[string]bool
	ips   map[string]bool
	// touches says how much of each actor it holds, by index of the actor.
	touches map[int]float64
	noise   bool // it is of somebody else's attack that went nowhere, and of no actor
}

// matcher holds key and case side by side.
type matcher struct {
	t      *simulate.Truth
	c      *casefile.Case
	people []actor
	held   []held
	byID   map[string]*casefile.Finding
	noise  map[string]string // kind and id -> kind of noise
	benign map[string]string // kind and id -> kind of look-alike
	handed map[string]bool   // tenant id or domain -> its logs were handed over; unknown ones are not in it
	about  []subject         // of the case's findings, by index
}

// subject is what a finding is about.
type subject struct {
	actor  int    // index, or -1
	noise  bool   // somebody else's attack
	benign string // kind of look-alike
}

// The kinds that speak for an actor by themselves. Accounts do only in the
// part of one that is in the actor's hands, mailboxes and messages never:
// benign applications read them as well.
const (
	kindApp     = "app"     // application, service principal or registration
	kindKey     = "key"     // credential
	kindSession = "session" // session or token
	kindAccount = "account"
)

func newMatcher(t *simulate.Truth, c *casefile.Case) *matcher {
	m := &matcher{
		t: t, c: c, byID: map[string]*casefile.Finding{}, noise: map[string]string{}, benign: map[string]string{}, handed: map[string]bool{},
	}
	for _, x := range t.Tenants {
		m.handed[fold(x.ID)] = x.LogsHanded
		for _, d := range x.Domains {
			m.handed[fold(d)] = x.LogsHanded
		}
	}
	for i := range t.Campaigns {
		m.people = append(m.people, actorOf(&t.Campaigns[i]))
	}
	for i := range t.Noise {
		index(m.noise, &t.Noise[i])
	}
	for i := range t.LookAlikes {
		index(m.benign, &t.LookAlikes[i])
	}
	for i := range c.Findings {
		m.byID[c.Findings[i].ID] = &c.Findings[i]
	}
	for i := range c.Campaigns {
		m.held = append(m.held, m.heldOf(&c.Campaigns[i]))
	}
	for i := range c.Findings {
		m.about = append(m.about, m.subjectOf(&c.Findings[i]))
	}
	return m
}

// only is the case as if it had no campaigns but those of a standing.
func (m *matcher) only(standing string) *matcher {
	x := *m
	x.held = nil
	for _, h := range m.held {
		if h.Standing == standing {
			x.held = append(x.held, h)
		}
	}
	return &x
}

// index files the ids of a look-alike.
func index(into map[string]string, l *simulate.LookAlike) {
	for k, id := range idsOf(l) {
		into[k+" "+id] = l.Kind
	}
}

// idsOf lists the ids that a look-alike means, by kind.
func idsOf(l *simulate.LookAlike) map[string]string {
	out := map[string]string{}
	for k, id := range map[string]string{kindAccount: l.Account, kindApp: l.AppID, kindKey: l.KeyID, "ip": l.IP, "mailbox": l.Mailbox, "rule": l.Rule} {
		if id != "" {
			out[k] = fold(id)
		}
	}
	return out
}

func put(kinds map[string]map[string]bool, kind, id string) {
	if id = fold(id); id == "" {
		return
	}
	if kinds[kind] == nil {
		kinds[kind] = map[string]bool{}
	}
	kinds[kind][id] = true
}

func actorOf(t *simulate.CampaignOf) actor {
	a := actor{CampaignOf: t, kinds: map[string]map[string]bool{}, ips: map[string]bool{}}
	for _, x := range t.Apps {
		put(a.kinds, kindApp, x.AppID)
		put(a.kinds, kindApp, x.ServicePrincipal)
		put(a.kinds, kindApp, x.Object)
		for _, k := range x.KeyIDs {
			put(a.kinds, kindKey, k)
		}
	}
	for _, x := range t.Credentials {
		put(a.kinds, kindKey, x.KeyID)
	}
	for _, x := range slices.Concat(t.Sessions, t.Tokens) {
		put(a.kinds, kindSession, x)
	}
	for _, x := range slices.Concat(t.Compromised, t.Created) {
		put(a.kinds, kindAccount, x.UPN)
	}
	for _, x := range t.IPs {
		if !x.Shared {
			a.ips[fold(x.IP)] = true
		}
	}
	return a
}

// inHands reports whether a case says, or suspects, that an account is in the
// actor's hands, and how sure it is.
func inHands(a *casefile.AccountRef) claim {
	c := absent
	for _, r := range append([]string{a.Role}, a.Roles...) {
		switch r {
		case casefile.AccountCreated, casefile.AccountCompromised, casefile.AccountConsenter, casefile.AccountGuessed:
			// The certainty is that of the strongest role, which is one of these.
			c = max(c, byCertainty(a.Certainty))
		case casefile.AccountSuspected:
			c = max(c, hedged) // whether it was the actor is not shown
		}
	}
	return c
}

func (m *matcher) heldOf(p *casefile.Campaign) held {
	h := held{Campaign: p, kinds: map[string]map[string]bool{}, ips: map[string]bool{}, touches: map[int]float64{}}
	shared := map[string]bool{}
	for _, x := range p.IPs {
		if x.Shared {
			shared[fold(x.IP)] = true
		} else {
			h.ips[fold(x.IP)] = true
		}
	}
	for _, x := range p.Apps {
		put(h.kinds, kindApp, x.ID)
		for _, id := range x.ServicePrincipals {
			put(h.kinds, kindApp, id)
		}
	}
	for _, x := range p.Credentials {
		put(h.kinds, kindKey, x.KeyID)
	}
	for _, x := range p.Sessions {
		put(h.kinds, kindSession, x.ID)
	}
	for _, x := range p.Tokens {
		put(h.kinds, kindSession, x.ID)
	}
	for i := range p.Accounts {
		if inHands(&p.Accounts[i]) != absent {
			put(h.kinds, kindAccount, p.Accounts[i].UPN)
		}
	}
	for _, id := range p.Findings {
		if f := m.byID[id]; f != nil {
			entities(f, h.kinds, h.ips)
		}
	}
	for ip := range shared {
		delete(h.ips, ip)
	}
	for i := range m.people {
		a := &m.people[i]
		if overlaps(a, p.Start.Time, p.End.Time) && (strong(a.kinds, h.kinds) || speak(a.ips, h.ips)) {
			h.touches[i] = overlap(a, &h)
		}
	}
	h.noise = len(h.touches) == 0 && m.noisy(h.ips)
	return h
}

// entities adds what a finding names.
func entities(f *casefile.Finding, kinds map[string]map[string]bool, ips map[string]bool) {
	for _, e := range f.Entities {
		switch e.Kind {
		case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
			put(kinds, kindApp, e.ID)
		case casefile.Credential:
			put(kinds, kindKey, e.ID)
		case casefile.Session, casefile.Token:
			put(kinds, kindSession, e.ID)
		case casefile.Account:
			if e.Role != casefile.RoleVictim && e.Role != casefile.RoleTarget {
				put(kinds, kindAccount, e.ID)
			}
		case casefile.Mailbox, casefile.Rule:
			put(kinds, string(e.Kind), e.ID)
		case casefile.IP:
			// The address of a target is where something was at home.
			if id := fold(e.ID); id != "" && e.Role != casefile.RoleTarget {
				ips[id] = true
			}
		}
	}
}

// overlaps reports whether a time has a part in the campaign. What is not
// known is no reason against.
func overlaps(a *actor, from, to time.Time) bool {
	if !to.IsZero() && !a.Start.IsZero() && to.Before(a.Start) {
		return false
	}
	return from.IsZero() || a.End.IsZero() || !from.After(a.End)
}

// strong reports whether two have an id in common that is the actor's alone.
func strong(a, b map[string]map[string]bool) bool {
	for _, k := range []string{kindApp, kindKey, kindSession, kindAccount} {
		if common(a[k], b[k]) > 0 {
			return true
		}
	}
	return false
}

// speak reports whether enough addresses are in common, of either set.
func speak(truth, ours map[string]bool) bool {
	n := float64(common(truth, ours))
	return n > 0 && (n >= minShare*float64(len(truth)) || n >= minShare*float64(len(ours)))
}

func common(a, b map[string]bool) (n int) {
	if len(b) < len(a) {
		a, b = b, a
	}
	for k := range a {
		if b[k] {
			n++
		}
	}
	return n
}

// overlap is the mean share of the actor's ids that a campaign holds, over the
// kinds that the actor has.
func overlap(a *actor, h *held) float64 {
	var sum, n float64
	add := func(truth, ours map[string]bool) {
		if len(truth) > 0 {
			sum += float64(common(truth, ours)) / float64(len(truth))
			n++
		}
	}
	add(a.ips, h.ips)
	for _, k := range []string{kindApp, kindKey, kindSession, kindAccount} {
		add(a.kinds[k], h.kinds[k])
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// noisy reports whether addresses are mostly those of other people's attacks.
func (m *matcher) noisy(ips map[string]bool) bool {
	n := 0
	for ip := range ips {
		if m.noise["ip "+ip] != "" {
			n++
		}
	}
	return n > 0 && 2*n >= len(ips)
}

// during reports whether a finding is of guessing only, and all of it falls
// into the minutes of one of other people's attacks: the key names one address
// of a spray that may have several.
func (m *matcher) during(f *casefile.Finding) bool {
	sources := 0
	for _, e := range f.Entities {
		switch {
		case e.Kind == casefile.IP:
			sources++
		case e.Kind == casefile.Account && e.Role == casefile.RoleVictim:
		default:
			return false
		}
	}
	return sources > 0 && !f.First.IsZero() && slices.ContainsFunc(m.t.Noise, func(l simulate.LookAlike) bool {
		return l.IP != "" && !l.From.IsZero() && !f.First.Before(l.From.Truncate(time.Second)) && !f.Last.After(l.To.Add(time.Second))
	})
}

// subjectOf says what a finding is about: the actor who has most of it.
func (m *matcher) subjectOf(f *casefile.Finding) subject {
	kinds, ips := map[string]map[string]bool{}, map[string]bool{}
	entities(f, kinds, ips)
	s := subject{actor: -1}
	best := -1.0
	for i := range m.people {
		a := &m.people[i]
		if !overlaps(a, f.First.Time, f.Last.Time) {
			continue
		}
		h := held{kinds: kinds, ips: ips}
		rule := slices.ContainsFunc(a.Rules, func(r simulate.RuleOf) bool { return kinds["mailbox"][fold(r.Mailbox)] })
		if !strong(a.kinds, kinds) && !speak(a.ips, ips) && !rule {
			continue
		}
		if o := overlap(a, &h); o > best {
			s.actor, best = i, o
		}
	}
	if s.actor >= 0 {
		return s
	}
	s.noise = m.noisy(ips) || m.during(f)
	for _, k := range []string{kindApp, kindKey, "rule", kindAccount, "mailbox"} {
		for _, id := range sorted(kinds[k]) {
			if l := m.benign[k+" "+id]; l != "" && s.benign == "" {
				s.benign = l
			}
		}
	}
	for _, ip := range sorted(ips) {
		if l := m.benign["ip "+ip]; l != "" && s.benign == "" {
			s.benign = l
		}
	}
	return s
}

// best is the case's campaign that holds most of an actor; nil when none does.
func (m *matcher) best(i int) *held {
	var out *held
	for j := range m.held {
		h := &m.held[j]
		if o, ok := h.touches[i]; ok && (out == nil || o > out.touches[i]) {
			out = h
		}
	}
	return out
}

// campaigns compares each actor's campaign with the case.
func (m *matcher) campaigns() []Campaign {
	out := []Campaign{}
	for i := range m.people {
		a := &m.people[i]
		x := Campaign{ID: a.ID, Actor: a.Actor, Kind: a.Kind, Touching: []string{}, By: map[string]casefile.Time{}, InLogs: !a.FirstRecord.IsZero()}
		for j := range m.held {
			if _, ok := m.held[j].touches[i]; ok {
				x.Touching = append(x.Touching, m.held[j].ID)
			}
		}
		if h := m.best(i); h != nil {
			x.Matched, x.Overlap, x.Standing = h.ID, h.touches[i], h.Standing
			x.StartError = hours(h.Start.Time, a.FirstRecord)
			x.StartDeedError = hours(h.Start.Time, a.CampaignOf.Start)
			x.AccessError = hours(h.InitialAccess.Time, a.FirstSuccessRecord)
			agrees := h.OriginOutside == a.CampaignOf.OriginOutside
			x.OriginAgrees = &agrees
		}
		var found, alerted *casefile.Finding
		for j := range m.c.Findings {
			f := &m.c.Findings[j]
			if m.about[j].actor != i {
				continue
			}
			x.Findings++
			switch {
			case f.Detected.IsZero():
				continue
			case !a.FirstRecord.IsZero() && f.Detected.Before(a.FirstRecord):
				// Something benign raised it, and the actor fell into it
				// later: nobody found the actor before there was one.
				x.EarlyAlarms++
				continue
			}
			found = earlier(found, f)
			x.By[f.Detector] = casefile.Earlier(x.By[f.Detector], f.Detected)
			if f.Severity.Rank() >= casefile.Medium.Rank() {
				alerted = earlier(alerted, f)
			}
		}
		x.FoundAt, x.AlertedAt = moment(a, found), moment(a, alerted)
		out = append(out, x)
	}
	return out
}

func earlier(a, b *casefile.Finding) *casefile.Finding {
	if a == nil || b.Detected.Before(a.Detected.Time) || b.Detected.Equal(a.Detected.Time) && b.ID < a.ID {
		return b
	}
	return a
}

func moment(a *actor, f *casefile.Finding) *Moment {
	if f == nil {
		return nil
	}
	return &Moment{
		Finding: f.ID, Detector: f.Detector, At: f.Detected,
		AfterFirst: hours(f.Detected.Time, a.FirstRecord), AfterSuccess: hours(f.Detected.Time, a.FirstSuccessRecord),
	}
}

// actors says whom the case found, merged and split.
func (m *matcher) actors() Actors {
	out := Actors{Truth: len(m.people), Missed: []string{}, Merged: []Merge{}, Split: []Split{}}
	for i := range m.people {
		var by []string
		for j := range m.held {
			if _, ok := m.held[j].touches[i]; ok {
				by = append(by, m.held[j].ID)
			}
		}
		switch len(by) {
		case 0:
			out.Missed = append(out.Missed, m.people[i].ID)
			continue
		case 1:
		default:
			out.Split = append(out.Split, Split{Actor: m.people[i].ID, Campaigns: by})
		}
		out.Found++
	}
	for j := range m.held {
		h := &m.held[j]
		if len(h.touches) < 2 {
			continue
		}
		g := Merge{Campaign: h.ID}
		for _, i := range sorted(h.touches) {
			g.Actors = append(g.Actors, m.people[i].ID)
		}
		out.Merged = append(out.Merged, g)
	}
	return out
}

// inLogs reports whether the logs of a tenant, or of an address's domain, were
// handed over. What the key does not know is held to be.
func (m *matcher) inLogs(tenant, address string) bool {
	if x, ok := m.handed[fold(tenant)]; ok {
		return x
	}
	if _, domain, ok := strings.Cut(fold(address), "@"); ok {
		if x, ok := m.handed[domain]; ok {
			return x
		}
	}
	return true
}

// needs lists the detectors that could find a kind. A kind of which the case
// assessed none, and says so, is unknown and not cleared.
func needs(kind string) []string {
	signIns := []string{"slow_spray", "failures_one_ip", "failures_one_account", "session_second_network"}
	switch kind {
	case Sprayed, IPs:
		return signIns
	case Accounts:
		return append(signIns, "young_consenter", "inbox_rule_hides_or_forwards", "external_forwarding")
	case Apps, Credentials:
		return []string{"app_credential_added", "app_only_mail_grant", "mail_consent", "first_seen_mailbox_app", "app_many_networks", "service_principal_new_network", "app_breadth", "app_grants_app"}
	case Mailboxes, Messages:
		return []string{"first_seen_mailbox_app", "app_breadth", "mail_volume"} // those that cannot do without records of mail being read
	}
	return nil
}

func (m *matcher) assessed(kind string) bool {
	refused := false
	for _, d := range needs(kind) {
		if slices.ContainsFunc(m.c.Assessed, func(a casefile.Assessed) bool { return a.Detector == d }) {
			return true
		}
		refused = refused || slices.ContainsFunc(m.c.NotAssessed, func(a casefile.NotAssessed) bool { return a.Detector == d })
	}
	return !refused
}

// findings counts what is right and what is false.
func (m *matcher) findings() Findings {
	out := Findings{Total: len(m.c.Findings), ByDetector: map[string]int{}, ByLookAlike: map[string]int{}, FalseOnes: []FalseOne{}}
	for i := range m.c.Findings {
		f, s := &m.c.Findings[i], m.about[i]
		switch {
		case s.actor >= 0:
			out.Right++
			continue
		case s.noise:
			out.Noise++
			continue
		case f.Severity.Rank() >= casefile.Medium.Rank():
			out.False++
		default:
			out.FalseMinor++
		}
		out.FalseOnes = append(out.FalseOnes, FalseOne{ID: f.ID, Detector: f.Detector, Severity: f.Severity, Detected: f.Detected, About: s.benign})
		out.ByDetector[f.Detector]++
		if s.benign != "" {
			out.ByLookAlike[s.benign]++
		}
	}
	if m.t.Days > 0 && m.t.Users > 0 {
		per := float64(m.t.Days) * float64(m.t.Users) / 1000
		a, b := float64(out.False)/per, float64(out.FalseMinor)/per
		out.PerDay1000, out.MinorPerDay1000 = &a, &b
	}
	for i := range m.held {
		h := &m.held[i]
		switch {
		case len(h.touches) > 0 || h.noise:
			continue
		case h.Standing == established:
			out.FalseEstablished++
		default:
			out.FalseSuspected++
		}
		out.FalseOnes = append(out.FalseOnes, FalseOne{ID: h.ID, Severity: h.Severity, Standing: h.Standing, Detected: h.FirstDetected})
	}
	return out
}

// lookAlikes lists what is benign and stands in a campaign. Addresses that the
// case itself calls shared, accounts that were only guessed at and what the
// case only holds possible are not accused.
func (m *matcher) lookAlikes() LookAlikes {
	out := LookAlikes{Total: len(m.t.LookAlikes), Joined: []Joined{}, Noise: len(m.t.Noise), NoiseJoined: []Joined{}}
	actors := map[string]bool{} // what is an actor's, too
	for i := range m.people {
		a := &m.people[i]
		for k, ids := range a.kinds {
			for id := range ids {
				actors[k+" "+id] = true
			}
		}
		for _, x := range a.IPs {
			actors["ip "+fold(x.IP)] = true
		}
		for _, x := range a.Mailboxes {
			actors["mailbox "+fold(x.UPN)] = true
		}
	}
	for i := range m.held {
		h := &m.held[i]
		accused := map[string]bool{}
		for ip := range h.ips {
			accused["ip "+ip] = true
		}
		for _, x := range h.Apps {
			accused[kindApp+" "+fold(x.ID)] = byCertainty(x.Certainty) == listed
		}
		for id := range h.kinds[kindKey] {
			accused[kindKey+" "+id] = true
		}
		for j := range h.Accounts {
			accused[kindAccount+" "+fold(h.Accounts[j].UPN)] = inHands(&h.Accounts[j]) == listed
		}
		for _, x := range h.Mailboxes {
			accused["mailbox "+fold(x.UPN)] = byCertainty(x.Certainty) == listed
		}
		to := ""
		if len(h.touches) > 0 {
			to = m.people[mostTouched(h)].ID
		}
		for j := range m.t.LookAlikes {
			out.Joined = join(out.Joined, &m.t.LookAlikes[j], accused, actors, h, to)
		}
		if to != "" {
			for j := range m.t.Noise {
				out.NoiseJoined = join(out.NoiseJoined, &m.t.Noise[j], accused, actors, h, to)
			}
		}
	}
	return out
}

func mostTouched(h *held) int {
	best := -1
	for _, i := range sorted(h.touches) {
		if best < 0 || h.touches[i] > h.touches[best] {
			best = i
		}
	}
	return best
}

// join adds a look-alike that is accused, once for a campaign.
func join(to []Joined, l *simulate.LookAlike, accused, actors map[string]bool, h *held, actor string) []Joined {
	ids := idsOf(l)
	for _, k := range sorted(ids) {
		key := k + " " + ids[k]
		if accused[key] && !actors[key] {
			return append(to, Joined{Kind: l.Kind, ID: ids[k], Campaign: h.ID, Standing: h.Standing, Actor: actor})
		}
	}
	return to
}
