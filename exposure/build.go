package exposure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/enrich"
	"midwatch/store"
)

// Options say what to look into.
type Options struct {
	Case *casefile.Case // what was reached
	// Store is the event store that the case stands on.
	Store store.Querier
	// Paths are files, folders and archives of mail and of message metadata.
	Paths []string
	// Directory says who is who inside. It may be nil.
	Directory []enrich.Person
	// OwnDomains are the organization's, besides those that the evidence shows.
	OwnDomains []string
	// States says what was done about secrets, by fingerprint; what is not in
	// it is open. It may be nil.
	States map[string]State
	// Key is mixed into fingerprints. Without it, who has an exposure.json and a
	// guess at a weak password can try the guess on it.
	Key []byte
	// Salt is that of an earlier exposure of the case, so that fingerprints stay
	// what they were. Empty: one is made of the case's largest tenant.
	Salt string
	// Temp is the folder for temporary files: those of the case.
	Temp string
	// Readpst is the program that opens Outlook data files, an absolute path;
	// empty: it is not installed. See [FindReadpst].
	Readpst string
	// Progress is told how many bytes of the input have been read. It may be nil.
	Progress func(delta int64)
}

// Build joins what a case says was reached to what is known of it, and searches
// what can be read. Trouble with files and messages is listed in the result; it
// fails when ctx ends, when the store does, or when temporary files cannot be
// written. No error holds anything out of a message's text.
func Build(ctx context.Context, o Options) (*Exposure, error) {
	if o.Case == nil || o.Store == nil {
		return nil, errors.New("exposure: a case and its event store are needed")
	}
	scan, err := newScanner()
	if err != nil {
		return nil, err
	}
	c := &collector{ctx: ctx, o: &o, reach: reachedBy(o.Case), x: &reader{scan: scan, kinds: personalKinds()}, byKey: map[string]*gathered{}, nowhere: map[string]int64{}}
	c.boxes = c.reach.mailboxes()
	if err := c.resolveItems(); err != nil {
		return nil, err
	}
	if err := c.collect(o.Paths); err != nil {
		return nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(c.reach.byID)) {
		g := c.gather(c.reach.ids[k])
		g.access = append(g.access, c.reach.byID[k]...)
		g.from("", "audit_log")
	}
	if err := c.ask(); err != nil {
		return nil, err
	}
	domains, err := askDomains(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	b := &builder{c: c, own: map[string]bool{}, ex: &Exposure{Schema: Schema, Case: o.Case.Case.ID}, prints: newPrinter(o.Case, o.Salt, o.Key)}
	b.ex.Salt = b.prints.salt
	for _, d := range slices.Concat(domains, o.OwnDomains) {
		if d = strings.Trim(strings.ToLower(strings.TrimSpace(d)), ".@"); d != "" {
			b.own[d] = true
		}
	}
	for box := range c.boxes { // a mailbox of the case is the organization's
		if d := domainOf(box); d != "" && !privateMail(d) {
			b.own[d] = true
		}
	}
	for _, p := range o.Directory { // guests in it have the domain of others
		if d := domainOf(p.User); d != "" && !strings.Contains(p.User, "#ext#") && !privateMail(d) {
			b.own[d] = true
		}
	}
	b.ex.OwnDomains = slices.Sorted(maps.Keys(b.own))
	return b.build(), nil
}

// resolveItems gives messages of which only the store's id is known the
// internet message id that a record has for it.
func (c *collector) resolveItems() error {
	if len(c.reach.byItem) == 0 {
		return nil
	}
	var items []string
	for _, i := range c.reach.byItem {
		items = append(items, i.id)
	}
	ids, err := askItems(c.ctx, c.o.Store, items)
	if err != nil {
		return err
	}
	rest := c.reach.byItem[:0]
	for _, i := range c.reach.byItem {
		id := ids[[2]string{i.access.Mailbox, i.id}]
		if id == "" {
			rest = append(rest, i)
			continue
		}
		k := key(id)
		c.reach.byID[k] = append(c.reach.byID[k], i.access)
		if c.reach.ids[k] == "" {
			c.reach.ids[k] = id
		}
	}
	c.reach.byItem = rest
	return nil
}

// ask adds what records say of the messages.
func (c *collector) ask() error {
	var keys []string
	for k := range c.byKey {
		if !strings.HasPrefix(k, "\x00") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	said, err := askKnown(c.ctx, c.o.Store, keys)
	if err != nil {
		return err
	}
	for _, k := range keys {
		g := c.byKey[k]
		if s := c.reach.subject[k]; s != "" {
			g.about(s, Address{}, nil, casefile.Time{})
		}
		if n := c.reach.names[k]; n != "" {
			g.msg.AttachmentNames = append(g.msg.AttachmentNames, n)
		}
		g.msg.Bytes = c.reach.bytes[k]
		s := said[k]
		if s == nil {
			continue
		}
		var to []Address
		for _, a := range s.to {
			to = append(to, Address{Address: a})
		}
		g.about(s.subject, Address{Address: s.from}, to, s.date)
		g.msg.AttachmentNames = append(g.msg.AttachmentNames, s.names...)
		g.msg.Bytes = max(g.msg.Bytes, s.bytes)
		for _, src := range s.sources {
			g.from("", src)
		}
	}
	for _, i := range c.reach.byItem {
		g := c.gather("")
		g.msg.ItemID = i.id
		g.access = []Access{i.access}
		g.about(i.ref.Subject, Address{}, nil, casefile.Time{})
		g.from("", "audit_log")
	}
	return nil
}

// builder makes the result of what was collected.
type builder struct {
	c      *collector
	own    map[string]bool
	ex     *Exposure
	prints *printer
}

func (b *builder) build() *Exposure {
	ex, c := b.ex, b.c
	ex.Inputs = c.inputs
	ex.NotRead = append(ex.NotRead, c.lost...)
	for i, g := range c.order {
		b.message(g, i)
	}
	slices.SortStableFunc(c.order, func(x, y *gathered) int {
		if d := y.msg.Certainty.Rank() - x.msg.Certainty.Rank(); d != 0 {
			return d
		}
		if d := x.msg.First.Compare(y.msg.First.Time); d != 0 {
			return d
		}
		return strings.Compare(x.msg.ID, y.msg.ID)
	})
	b.secrets()
	b.sides()
	b.personal()
	b.numbers()
	for _, g := range c.order {
		ex.Messages = append(ex.Messages, g.msg)
	}
	slices.SortStableFunc(ex.NotRead, func(x, y NotRead) int {
		for _, p := range [][2]string{{x.Message, y.Message}, {x.File, y.File}, {x.Part, y.Part}, {x.Reason, y.Reason}} {
			if d := strings.Compare(p[0], p[1]); d != 0 {
				return d
			}
		}
		return 0
	})
	ex.NotRead = slices.Compact(ex.NotRead)
	ex.Counts.NotRead = int64(len(ex.NotRead))
	b.limits()
	return ex
}

// message finishes what is said of a message by itself.
func (b *builder) message(g *gathered, n int) {
	m := &g.msg
	file := ""
	if len(m.Files) > 0 {
		file = m.Files[0]
	}
	switch {
	case m.InternetMessageID != "":
		m.ID = casefile.ID("m", "id", key(m.InternetMessageID))
	case m.ItemID != "":
		m.ID = casefile.ID("m", "item", g.access[0].Mailbox, m.ItemID)
	default:
		m.ID = casefile.ID("m", "place", file, fmt.Sprint(n))
	}
	m.Access = merged(g.access)
	for _, a := range m.Access {
		m.Certainty = surer(m.Certainty, a.Certainty)
		m.First = casefile.Earlier(m.First, a.First)
	}
	// What is known of a name goes before a bare address.
	names := map[string]string{}
	for _, a := range m.To {
		if names[a.Address] == "" {
			names[a.Address] = a.Name
		}
	}
	m.To = nil
	for _, a := range slices.Sorted(maps.Keys(names)) {
		m.To = append(m.To, Address{a, names[a]})
	}
	m.Recipients = int64(len(m.To))
	m.Direction = b.direction(m)
	m.Conflict = len(g.sums) > 1
	slices.Sort(m.Sources)
	m.Content = "not available"
	if g.read {
		if m.Content = "partly read"; g.whole && len(g.trouble) == 0 {
			m.Content = "read"
		}
	}
	if len(m.Attachments) == 0 {
		m.Attachments = g.listed
	}
	slices.SortStableFunc(m.Attachments, func(x, y Attachment) int { return comparePart(x.Part, y.Part) })
	m.Attachments = slices.Compact(m.Attachments)
	m.AttachmentNames = casefile.Unique(m.AttachmentNames)
	for _, h := range b.c.x.scan.find(m.Subject) {
		g.places = append(g.places, place{found: found{rule: h.rule, secret: h.secret, offset: int64(h.start)}, part: "subject"})
	}
	b.redact(g)
	for _, t := range g.trouble {
		t.Message = m.ID
		b.ex.NotRead = append(b.ex.NotRead, t)
	}
	for kind, values := range g.values {
		m.PersonalData = append(m.PersonalData, KindCount{kind, int64(len(values))})
	}
	slices.SortFunc(m.PersonalData, func(x, y KindCount) int { return strings.Compare(x.Kind, y.Kind) })
}

// comparePart orders parts as they stand in the message.
func comparePart(a, b string) int {
	if len(a) != len(b) && strings.Count(a, ".") == strings.Count(b, ".") && !strings.ContainsAny(a+b, "/!") {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// redact takes secrets out of what is shown of a message.
func (b *builder) redact(g *gathered) {
	var known []string
	for _, p := range g.places {
		known = append(known, p.secret, gone)
	}
	replace := strings.NewReplacer(known...)
	clean := func(s *string) {
		if *s == "" {
			return
		}
		out := replace.Replace(*s)
		hits := b.c.x.scan.find(out)
		for _, h := range slices.Backward(hits) {
			out = out[:h.start] + gone + out[h.end:]
		}
		*s = out
	}
	m := &g.msg
	clean(&m.Subject)
	clean(&m.From.Name)
	for i := range m.To {
		clean(&m.To[i].Name)
	}
	for i := range m.Attachments {
		clean(&m.Attachments[i].Name)
	}
	for i := range m.AttachmentNames {
		clean(&m.AttachmentNames[i])
	}
	for i := range g.trouble {
		clean(&g.trouble[i].Name)
		clean(&g.trouble[i].Part)
	}
	for i := range g.places {
		clean(&g.places[i].name)
		clean(&g.places[i].part)
	}
}

const gone = "[secret]"

func (b *builder) direction(m *Message) string {
	if m.From.Address == "" {
		return "unknown"
	}
	outside := slices.ContainsFunc(m.To, func(a Address) bool { return b.outside(a.Address) })
	switch {
	case b.outside(m.From.Address):
		return "inbound"
	case outside:
		return "outbound"
	}
	return "internal"
}

// outside reports whether an address is of another organization. A name without
// a domain is one inside.
func (b *builder) outside(addr string) bool {
	d := domainOf(addr)
	return d != "" && strings.Contains(d, ".") && !own(d, b.own)
}

// numbers counts.
func (b *builder) numbers() {
	n := &b.ex.Counts
	boxes := map[string]casefile.Certainty{}
	for _, g := range b.c.order {
		count(&n.Messages, g.msg.Certainty)
		if g.read {
			count(&n.Content, g.msg.Certainty)
			n.Attachments += int64(len(g.msg.Attachments))
		}
		for _, a := range g.msg.Access {
			boxes[a.Mailbox] = surer(boxes[a.Mailbox], a.Certainty)
		}
	}
	for _, c := range boxes {
		count(&n.Mailboxes, c)
	}
	for _, s := range b.ex.Rotation {
		count(&n.Secrets, s.Certainty)
	}
	for _, p := range b.ex.Counterparties {
		count(&n.Counterparties, p.Certainty)
	}
	n.Unreached = b.c.unreached
}

// limits says what cannot be said.
func (b *builder) limits() {
	ex := b.ex
	out := slices.Clone(b.c.reach.limits)
	without := ex.Counts.Messages
	without.Confirmed -= ex.Counts.Content.Confirmed
	without.Probable -= ex.Counts.Content.Probable
	without.Possible -= ex.Counts.Content.Possible
	if without != (casefile.PerCertainty{}) {
		out = append(out, fmt.Sprintf("of %d confirmed, %d probable and %d possible messages the content is not in the input: what was in them is not known", without.Confirmed, without.Probable, without.Possible))
	}
	for _, box := range slices.Sorted(maps.Keys(b.c.reach.folders)) {
		for _, f := range slices.Sorted(maps.Keys(b.c.reach.folders[box])) {
			seen := slices.ContainsFunc(b.c.order, func(g *gathered) bool {
				return slices.ContainsFunc(g.msg.Access, func(a Access) bool {
					return a.Mailbox == box && a.Basis == BasisFolder && folderName(a.Folder) == f
				})
			})
			if !seen {
				out = append(out, fmt.Sprintf("folder %s of %s was synchronized as a whole and no message of it is in the input: which messages that were is not known", b.c.reach.folders[box][f][0].Folder, box))
			}
		}
	}
	for _, box := range slices.Sorted(maps.Keys(b.c.nowhere)) {
		out = append(out, fmt.Sprintf("of %d messages of %s in the input the folder is not said; whether they lay in a folder that was synchronized cannot be said, and they are not listed", b.c.nowhere[box], box))
	}
	for _, box := range slices.Sorted(maps.Keys(b.c.reach.windows)) {
		seen := slices.ContainsFunc(b.c.order, func(g *gathered) bool {
			return slices.ContainsFunc(g.msg.Access, func(a Access) bool { return a.Mailbox == box && (a.Basis == BasisWindow || a.Basis == BasisForward) })
		})
		if !seen {
			out = append(out, fmt.Sprintf("reads of %s were not recorded for a time, or its mail was sent on, and no message of that time is in the input: which ones that were is not known", box))
		}
	}
	out = append(out, "secrets and personal data are found by their form; what has none (a word of a dictionary as password, a picture of a password, a PDF) is not, and none was tried on the service that it opens")
	ex.Limits = slices.Compact(out)
}
