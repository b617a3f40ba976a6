package exposure

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/enrich"
)

// tally counts what of somebody was reached. Each message is added once.
type tally struct {
	name        string
	certainty   casefile.Certainty
	messages    casefile.PerCertainty
	sent        int64
	attachments int64
	secrets     map[string]bool
	values      map[string]map[string]bool
	first       casefile.Time
	domains     map[string]bool
	people      map[string]*tally
	boxes       map[string]casefile.Certainty
}

func newTally() *tally {
	return &tally{secrets: map[string]bool{}, values: map[string]map[string]bool{}, domains: map[string]bool{}, people: map[string]*tally{}, boxes: map[string]casefile.Certainty{}}
}

func (t *tally) add(g *gathered) {
	m := &g.msg
	t.certainty = surer(t.certainty, m.Certainty)
	count(&t.messages, m.Certainty)
	t.attachments += int64(len(m.Attachments))
	t.first = casefile.Earlier(t.first, m.First)
	for _, s := range m.Secrets {
		t.secrets[s] = true
	}
	for k, vs := range g.values {
		if t.values[k] == nil {
			t.values[k] = map[string]bool{}
		}
		for v := range vs {
			t.values[k][v] = true
		}
	}
}

func (t *tally) kinds() []KindCount {
	var out []KindCount
	for _, k := range slices.Sorted(maps.Keys(t.values)) {
		out = append(out, KindCount{k, int64(len(t.values[k]))})
	}
	return out
}

func (t *tally) person(addr string, who enrich.Person) Person {
	return Person{Address: addr, Name: t.name, Title: who.JobTitle, Leads: leads(who.JobTitle), Certainty: t.certainty, Messages: t.messages, Attachments: t.attachments, Secrets: int64(len(t.secrets)), Personal: t.kinds()}
}

// leads reports whether a job title is a manager's or an executive's. Titles
// are what people write; the words are English, German, French and Spanish.
func leads(title string) bool {
	t := " " + strings.ToLower(title) + " "
	for _, w := range []string{" chief ", " ceo ", " cfo ", " cto ", " cio ", " ciso ", " coo ", " president ", " vice president ", " vp ", " director ", " head ", " general counsel ", " manager ", " managing ", " chair", " partner ", " founder ", " leiter", " geschäftsführer", " vorstand", " direktor", " directeur", " directrice", " responsable ", " director", " jefe "} {
		if strings.Contains(t, w) {
			return true
		}
	}
	return false
}

// sides counts by who is affected: organizations outside with their people, and
// departments inside.
func (b *builder) sides() {
	dir := map[string]enrich.Person{}
	for _, p := range b.c.o.Directory {
		dir[p.User] = p
	}
	outside, inside := map[string]*tally{}, map[string]*tally{}
	get := func(m map[string]*tally, k string) *tally {
		if m[k] == nil {
			m[k] = newTally()
		}
		return m[k]
	}
	for _, g := range b.c.order {
		m := &g.msg
		orgs, depts := map[string]bool{}, map[string]bool{}
		people := map[string]string{}
		for _, a := range append([]Address{m.From}, m.To...) {
			if a.Address == "" {
				continue
			}
			if people[a.Address] == "" {
				people[a.Address] = a.Name
			}
		}
		for _, a := range m.Access { // its owner has it, whoever it was addressed to
			if _, ok := people[a.Mailbox]; !ok {
				people[a.Mailbox] = ""
			}
		}
		for _, addr := range slices.Sorted(maps.Keys(people)) {
			var side *tally
			if b.outside(addr) {
				d := registrable(domainOf(addr))
				side = get(outside, d)
				side.domains[domainOf(addr)] = true
				orgs[d] = true
			} else {
				dept := dir[addr].Department
				side = get(inside, dept)
				depts[dept] = true
			}
			p := get(side.people, addr)
			p.add(g)
			if p.name == "" {
				p.name = people[addr]
			}
		}
		for d := range orgs {
			outside[d].add(g)
			if b.outside(m.From.Address) && registrable(domainOf(m.From.Address)) == d {
				outside[d].sent++
			}
		}
		for d := range depts {
			inside[d].add(g)
		}
		for _, a := range m.Access {
			t := inside[dir[a.Mailbox].Department]
			if t != nil {
				t.boxes[a.Mailbox] = surer(t.boxes[a.Mailbox], a.Certainty)
			}
		}
	}
	owned := map[string][]string{}
	for _, s := range b.ex.Rotation {
		if s.Owner.Side == "counterparty" {
			d := s.Owner.Organization
			if strings.Contains(d, "@") {
				d = registrable(domainOf(d))
			}
			owned[d] = append(owned[d], s.Fingerprint)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(outside)) {
		t := outside[d]
		p := Counterparty{Domain: d, Domains: slices.Sorted(maps.Keys(t.domains)), PrivateMail: privateMail(d), Certainty: t.certainty, Messages: t.messages, Sent: t.sent, Attachments: t.attachments,
			Secrets: slices.Sorted(maps.Keys(t.secrets)), OwnedSecrets: casefile.Unique(owned[d]), PersonalData: t.kinds(), First: t.first, PeopleCount: int64(len(t.people))}
		p.People = b.people(t, dir)
		b.ex.Counterparties = append(b.ex.Counterparties, p)
	}
	slices.SortStableFunc(b.ex.Counterparties, func(x, y Counterparty) int {
		return cmp.Or(more(x.Messages, y.Messages), strings.Compare(x.Domain, y.Domain))
	})
	for _, d := range slices.Sorted(maps.Keys(inside)) {
		t := inside[d]
		x := Department{Name: d, Messages: t.messages, Secrets: int64(len(t.secrets)), People: int64(len(t.people))}
		for _, c := range t.boxes {
			count(&x.Mailboxes, c)
		}
		for _, p := range b.people(t, dir) {
			if p.Leads {
				x.Leaders = append(x.Leaders, p)
			}
		}
		b.ex.Inside = append(b.ex.Inside, x)
	}
	slices.SortStableFunc(b.ex.Inside, func(x, y Department) int {
		return cmp.Or(more(x.Mailboxes, y.Mailboxes), more(x.Messages, y.Messages), strings.Compare(x.Name, y.Name))
	})
	// Long lists of recipients are cut only now that all of them were counted.
	for _, g := range b.c.order {
		g.msg.To = g.msg.To[:min(len(g.msg.To), maxPeople)]
	}
}

const maxPeople = 200

func (b *builder) people(t *tally, dir map[string]enrich.Person) []Person {
	var out []Person
	for _, a := range slices.Sorted(maps.Keys(t.people)) {
		out = append(out, t.people[a].person(a, dir[a]))
	}
	slices.SortStableFunc(out, func(x, y Person) int { return more(x.Messages, y.Messages) })
	return out[:min(len(out), maxPeople)]
}

// personal counts personal data by kind.
func (b *builder) personal() {
	for _, k := range personalKinds() {
		p := PersonalData{Kind: k.kind, Doc: k.doc}
		values, boxes, senders := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, g := range b.c.order {
			if len(g.values[k.kind]) == 0 {
				continue
			}
			count(&p.Messages, g.msg.Certainty)
			maps.Copy(values, g.values[k.kind])
			for _, a := range g.msg.Access {
				boxes[a.Mailbox] = true
			}
			if d := domainOf(g.msg.From.Address); d != "" {
				senders[registrable(d)] = true
			}
		}
		if p.Values = int64(len(values)); p.Values == 0 {
			continue
		}
		p.Mailboxes, p.Senders = slices.Sorted(maps.Keys(boxes)), slices.Sorted(maps.Keys(senders))
		b.ex.PersonalData = append(b.ex.PersonalData, p)
	}
}
