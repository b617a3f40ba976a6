package notice

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/exposure"
	"midwatch/respond/clock"
)

// maxEvidence bounds the records that are named for a message.
const maxEvidence = 5

// Build makes the notices: employees, then outside, then authorities, each the
// surest and most affected first. stale says that the exposure knows of access
// that the case no longer has.
func Build(in *Input) (list []Notice, stale bool) {
	b := &builder{in: in, campaigns: map[string]*casefile.Campaign{}, secrets: map[string]*exposure.Secret{}, of: map[string][]*exposure.Message{}, names: map[string]string{}}
	for i := range in.Case.Campaigns {
		b.campaigns[in.Case.Campaigns[i].ID] = &in.Case.Campaigns[i]
	}
	if x := in.Exposure; x != nil {
		for i := range x.Messages {
			m := x.Messages[i]
			m.Access = slices.DeleteFunc(slices.Clone(m.Access), func(a exposure.Access) bool { return b.campaigns[a.Campaign] == nil })
			stale = stale || len(m.Access) < len(x.Messages[i].Access)
			if len(m.Access) == 0 {
				continue // people decided that nobody reached it
			}
			m.Certainty = ""
			for _, a := range m.Access {
				m.Certainty = surer(m.Certainty, a.Certainty)
			}
			b.messages = append(b.messages, m)
		}
		for i := range b.messages {
			m := &b.messages[i]
			for _, a := range addresses(m) {
				_, domain, _ := strings.Cut(a.Address, "@")
				for _, key := range []string{a.Address, "@" + domain} {
					if l := b.of[key]; len(l) == 0 || l[len(l)-1] != m {
						b.of[key] = append(l, m)
					}
				}
				if b.names[a.Address] == "" {
					b.names[a.Address] = a.Name
				}
			}
		}
		for i := range x.Rotation {
			b.secrets[x.Rotation[i].Fingerprint] = &x.Rotation[i]
		}
	}
	if list = slices.Concat(b.employees(), b.outside()); len(list) == 0 {
		return nil, stale // nothing was reached: nobody has to be told
	}
	return append(list, b.regulators()...), stale
}

type builder struct {
	in        *Input
	campaigns map[string]*casefile.Campaign
	messages  []exposure.Message
	of        map[string][]*exposure.Message // by address, and by "@" and domain
	names     map[string]string              // by address, as the first message gives them
	secrets   map[string]*exposure.Secret
}

// employees are the owners of mailboxes that were reached.
func (b *builder) employees() (out []Notice) {
	boxes := map[string][]*casefile.MailboxRef{}
	of := map[string][]*casefile.Campaign{}
	for i := range b.in.Case.Campaigns {
		k := &b.in.Case.Campaigns[i]
		for j := range k.Mailboxes {
			m := &k.Mailboxes[j]
			boxes[m.UPN] = append(boxes[m.UPN], m)
			of[m.UPN] = append(of[m.UPN], k)
		}
	}
	for _, upn := range slices.Sorted(maps.Keys(boxes)) {
		n := Notice{Kind: Employee, Recipient: upn, To: b.to(upn, ""), Done: b.done(false)}
		for i, k := range of[upn] {
			h := happened(k)
			h.FirstRead, h.LastRead = boxes[upn][i].First, boxes[upn][i].Last
			n.Happened = append(n.Happened, h)
		}
		for _, m := range boxes[upn] {
			n.Certainty = surer(n.Certainty, m.Certainty)
			n.Unnamed += m.Counts.Messages.Probable
			for _, f := range m.WholeFolders {
				if !slices.Contains(n.Folders, f.Folder) {
					n.Folders = append(n.Folders, f.Folder)
				}
			}
			for _, w := range m.Windows {
				n.Windows = append(n.Windows, Window{w.From, w.To, w.Certainty})
			}
		}
		var theirs []*exposure.Message
		if b.in.Exposure == nil {
			n.Messages = caseMessages(boxes[upn])
			n.Limits = append(n.Limits, "The contents of the messages were not looked at: which passwords and personal data were in them is not known.")
		}
		for i := range b.messages {
			m := &b.messages[i]
			t := message(m)
			t.Certainty = ""
			t.Evidence = nil
			t.First = casefile.Time{}
			for _, a := range m.Access {
				if a.Mailbox != upn {
					continue
				}
				t.Certainty, t.First = surer(t.Certainty, a.Certainty), casefile.Earlier(t.First, a.First)
				t.Evidence = add(t.Evidence, a.Events)
			}
			if t.Certainty == "" {
				continue
			}
			t.Direction = "received"
			if m.From.Address == upn {
				t.Direction = "sent"
			} else if m.From.Address == "" {
				t.Direction = "unknown"
			}
			n.Messages = append(n.Messages, t)
			theirs = append(theirs, m)
		}
		n.Secrets = b.secretsIn(theirs, func(s *exposure.Secret) (yours, told bool) {
			return s.Owner.Side == "own", true
		})
		for j := range n.Secrets {
			if s := b.secrets[n.Secrets[j].Fingerprint]; s.Owner.Side == "counterparty" {
				n.Secrets[j].Owner = s.Owner.Organization
			}
		}
		n.Personal = personal(theirs)
		n.finish(b.in)
		out = append(out, n)
	}
	return bySurest(out)
}

// caseMessages are the messages of a mailbox as the case has them.
func caseMessages(boxes []*casefile.MailboxRef) (out []Message) {
	at := map[string]int{}
	for _, box := range boxes {
		for _, m := range box.Messages {
			id := m.InternetMessageID
			if id == "" {
				id = m.ItemID
			}
			i, seen := at[id]
			if !seen {
				i, at[id] = len(out), len(out)
				out = append(out, Message{ID: id, Subject: short(m.Subject), Direction: "unknown"})
			}
			out[i].Certainty, out[i].First = surer(out[i].Certainty, m.Certainty), casefile.Earlier(out[i].First, m.First)
			out[i].Evidence = add(out[i].Evidence, m.Events)
		}
	}
	return out
}

// outside are organizations with mail in what was reached, and of providers of
// private mail each person.
func (b *builder) outside() (out []Notice) {
	if b.in.Exposure == nil {
		return nil
	}
	for i := range b.in.Exposure.Counterparties {
		c := &b.in.Exposure.Counterparties[i]
		if !c.PrivateMail {
			of := func(a string) bool { _, d, _ := strings.Cut(a, "@"); return slices.Contains(c.Domains, d) }
			if n, ok := b.party(c.Domain, b.ofDomains(c.Domains), of, c.Domain); ok {
				out = append(out, n)
			}
			continue
		}
		people := map[string]bool{}
		for _, m := range b.ofDomains(c.Domains) {
			for _, a := range addresses(m) {
				if _, d, _ := strings.Cut(a.Address, "@"); slices.Contains(c.Domains, d) {
					people[a.Address] = true
				}
			}
		}
		for _, p := range slices.Sorted(maps.Keys(people)) {
			if n, ok := b.party(p, b.of[p], func(a string) bool { return a == p }, ""); ok {
				out = append(out, n)
			}
		}
	}
	return bySurest(out)
}

func addresses(m *exposure.Message) []exposure.Address {
	return append([]exposure.Address{m.From}, m.To...)
}

// ofDomains are the messages with an address of one of domains.
func (b *builder) ofDomains(domains []string) (out []*exposure.Message) {
	seen := map[*exposure.Message]bool{}
	for _, d := range domains {
		for _, m := range b.of["@"+d] {
			if !seen[m] {
				seen[m] = true
				out = append(out, m)
			}
		}
	}
	return out
}

// party is one recipient outside: of reports whether an address is theirs, and
// candidates have all of their messages. domain is that of an organization.
func (b *builder) party(recipient string, candidates []*exposure.Message, of func(string) bool, domain string) (Notice, bool) {
	n := Notice{Kind: Outside, Recipient: recipient, Done: b.done(false)}
	var theirs []*exposure.Message
	people := map[string]*Person{}
	campaigns := map[string]bool{}
	for _, m := range candidates {
		t := message(m)
		t.Direction = "received"
		for j, a := range addresses(m) {
			if a.Address == "" || !of(a.Address) {
				continue
			}
			if j == 0 {
				t.Direction = "sent"
			}
			if slices.Contains(t.People, a.Address) {
				continue
			}
			t.People = append(t.People, a.Address)
			p := people[a.Address]
			if p == nil {
				p = &Person{Address: Address{short(a.Name), a.Address}}
				people[a.Address] = p
			}
			per(&p.Messages, m.Certainty)
		}
		if len(t.People) == 0 {
			continue // not theirs
		}
		for _, a := range m.Access {
			campaigns[a.Campaign] = true
		}
		n.Messages = append(n.Messages, t)
		theirs = append(theirs, m)
	}
	if len(n.Messages) == 0 {
		return n, false
	}
	for i := range b.in.Case.Campaigns {
		if k := &b.in.Case.Campaigns[i]; campaigns[k.ID] {
			n.Happened = append(n.Happened, happened(k))
		}
	}
	for _, a := range slices.Sorted(maps.Keys(people)) {
		n.People = append(n.People, *people[a])
	}
	switch {
	case domain == "":
		n.To = b.to(recipient, n.People[0].Name)
		n.People = nil
		for i := range n.Messages {
			n.Messages[i].People = nil
		}
	case b.in.Contact.Parties[domain] != nil:
		n.To = []Address{*b.in.Contact.Parties[domain]}
	case len(n.People) == 1: // every message is theirs
		n.To = b.to(n.People[0].Address.Address, n.People[0].Name)
	}
	n.Secrets = b.secretsIn(theirs, func(s *exposure.Secret) (yours, told bool) {
		mine := s.Owner.Organization != "" && (s.Owner.Organization == domain || s.Owner.Organization == recipient)
		return mine, mine || s.Owner.Side == "unknown"
	})
	n.Personal = personal(theirs)
	n.read()
	n.finish(b.in)
	return n, true
}

// regulators get the whole in numbers, and nobody's messages.
func (b *builder) regulators() (out []Notice) {
	whom := b.in.Contact.Regulators
	if len(whom) == 0 {
		whom = []Address{{Name: "Supervisory authority"}}
	}
	for _, r := range whom {
		n := Notice{Kind: Regulator, Recipient: r.Name, Done: b.done(true)}
		if r.Address != "" {
			n.To = []Address{r}
		}
		o := &Overall{}
		for i := range b.in.Case.Campaigns {
			k := &b.in.Case.Campaigns[i]
			h := happened(k)
			for j := range k.Mailboxes {
				h.FirstRead, h.LastRead = casefile.Earlier(h.FirstRead, k.Mailboxes[j].First), casefile.Later(h.LastRead, k.Mailboxes[j].Last)
				n.Certainty = surer(n.Certainty, k.Mailboxes[j].Certainty)
			}
			n.Happened = append(n.Happened, h)
			plus(&o.Mailboxes, k.Reach.Mailboxes)
			plus(&o.Messages, k.Reach.Messages)
			o.Folders += k.Reach.WholeFolders
			for _, u := range k.CannotClear { // which the verdict may leave out
				n.Limits = append(n.Limits, fmt.Sprintf("%d %s cannot be cleared: %s", u.Count, u.CountName, u.Why))
			}
		}
		for _, s := range b.in.Case.Verdict {
			switch s.Kind {
			case casefile.Fact:
				o.Verdict = append(o.Verdict, s.Text)
			case casefile.Limit:
				if !strings.Contains(s.Text, " cannot be cleared: ") { // said above, of every campaign
					n.Limits = append(n.Limits, s.Text)
				}
			}
		}
		if x := b.in.Exposure; x != nil {
			o.Messages, o.Parties, o.Secrets = x.Counts.Messages, x.Counts.Counterparties, x.Counts.Secrets
			for _, p := range x.PersonalData {
				n.Personal = append(n.Personal, Personal{clock.KindWords(p.Kind), p.Values})
			}
		}
		n.Overall, n.Counts = o, o.Messages
		n.finish(b.in)
		out = append(out, n)
	}
	return out
}

func plus(a *casefile.PerCertainty, b casefile.PerCertainty) {
	a.Confirmed += b.Confirmed
	a.Probable += b.Probable
	a.Possible += b.Possible
}
