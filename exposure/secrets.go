package exposure

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"midwatch/casefile"
)

// printer makes fingerprints of secrets. They are slow to make, so that who
// tries guesses at a weak one has to wait; each is made once.
type printer struct {
	salt  string // shown
	mixed []byte // salt and key
	made  map[string]string
}

// iterations of PBKDF2 with HMAC-SHA-256: some 30 ms a fingerprint.
const iterations = 100_000

// newPrinter salts with the case's largest tenant, so that the same secret has
// the same fingerprint in every case of the organization, and in no other's.
// A salt that is given goes before.
func newPrinter(c *casefile.Case, salt string, key []byte) *printer {
	if salt == "" {
		var most casefile.Tenant
		for _, t := range c.Case.Tenants {
			if t.Events > most.Events || t.Events == most.Events && t.ID < most.ID {
				most = t
			}
		}
		salt = casefile.ID("salt", most.ID)
	}
	return &printer{salt: salt, mixed: mixedSalt(salt, key), made: map[string]string{}}
}

func mixedSalt(salt string, key []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(salt))
	return m.Sum(nil)
}

// of is a secret's fingerprint. Blanks and line ends in it do not count: mail
// programs break lines.
func (p *printer) of(secret string) string {
	secret = strings.Join(strings.Fields(secret), " ")
	if f, ok := p.made[secret]; ok {
		return f
	}
	k, err := pbkdf2.Key(sha256.New, secret, p.mixed, iterations, 16)
	if err != nil { // of a build that allows less; the fingerprint is fast to make then
		m := hmac.New(sha256.New, p.mixed)
		m.Write([]byte(secret))
		k = m.Sum(nil)
	}
	f := "s-" + hex.EncodeToString(k[:8])
	p.made[secret] = f
	return f
}

// Fingerprint is the fingerprint of a secret in an exposure with the salt, for
// who knows the secret and wants to find it there.
func Fingerprint(salt string, key []byte, secret string) string {
	p := &printer{mixed: mixedSalt(salt, key), made: map[string]string{}}
	return p.of(secret)
}

// preview is what can be shown of a secret: of long ones with a vendor's form
// the first four characters, which tell people which of their keys it is; of a
// private key its first line; of everything else only about how long it is.
func preview(r *rule, secret string) string {
	n := utf8.RuneCountInString(secret)
	switch {
	case r.id == "private-key":
		line, _, _ := strings.Cut(secret, "\n")
		if line = strings.TrimSpace(line); len(line) < 100 && strings.HasPrefix(line, "-----BEGIN") && strings.HasSuffix(line, "-----") {
			return line + " …"
		}
		return "private key"
	case r.id == "signed-link":
		if u, err := url.Parse(secret); err == nil {
			return cut(u.Scheme+"://"+u.Host, 100) + "/…"
		}
	case n >= 20 && (r.vendor && r.id != "connection-string" && r.id != "url-credentials" || r.id == "generic-api-key"):
		return string([]rune(secret)[:4]) + "… (" + about(n) + ")"
	}
	return "•••• (" + about(n) + ")"
}

func about(n int) string {
	for _, s := range []struct {
		below int
		say   string
	}{{8, "less than 8 characters"}, {12, "8 to 11 characters"}, {20, "12 to 19 characters"}, {40, "20 to 39 characters"}} {
		if n < s.below {
			return s.say
		}
	}
	return "40 characters or more"
}

// Bounds of lists in a secret.
const (
	maxShown = 50
	maxTo    = 10
)

// secrets makes the rotation list.
func (b *builder) secrets() {
	type sum struct {
		s      Secret
		rule   *rule
		boxes  map[string]casefile.Certainty
		seen   map[string]bool // messages
		oldest *gathered
		link   string // host of a link
	}
	all := map[string]*sum{}
	for _, g := range b.c.order {
		m := &g.msg
		in := map[string]bool{}
		slices.SortStableFunc(g.places, func(x, y place) int {
			if d := comparePart(x.part, y.part); d != 0 {
				return d
			}
			return int(x.offset - y.offset)
		})
		for _, p := range g.places {
			f := b.prints.of(p.secret)
			s := all[f]
			if s == nil {
				s = &sum{rule: p.rule, boxes: map[string]casefile.Certainty{}, seen: map[string]bool{}}
				s.s = Secret{Fingerprint: f, State: Open, Preview: preview(p.rule, p.secret)}
				all[f] = s
			}
			// A vendor's rule knows more about it than a word beside it.
			if p.rule.rank() > s.rule.rank() {
				s.rule, s.s.Preview = p.rule, preview(p.rule, p.secret)
			}
			if p.rule.id == "signed-link" {
				if u, err := url.Parse(p.secret); err == nil {
					s.link = strings.ToLower(u.Hostname())
				}
			}
			in[f] = true
			s.s.PlaceCount++
			if len(s.s.Places) < maxShown {
				to := []string{}
				for _, a := range m.To[:min(len(m.To), maxTo)] {
					to = append(to, a.Address)
				}
				s.s.Places = append(s.s.Places, Place{Message: m.ID, From: m.From.Address, To: to, Date: m.Date, Part: p.part, Name: p.name, Line: p.line, Offset: p.offset, Rule: p.rule.id})
			}
			if !s.seen[m.ID] {
				s.seen[m.ID] = true
				count(&s.s.Messages, m.Certainty)
				s.s.Certainty = surer(s.s.Certainty, m.Certainty)
				for _, a := range m.Access {
					s.boxes[a.Mailbox] = surer(s.boxes[a.Mailbox], a.Certainty)
					s.s.FirstExposed = casefile.Earlier(s.s.FirstExposed, a.First)
					if a.Certainty == casefile.Confirmed {
						s.s.FirstConfirmed = casefile.Earlier(s.s.FirstConfirmed, a.First)
					}
				}
				if older := casefile.Earlier(s.s.SentFirst, m.Date); s.oldest == nil || older != s.s.SentFirst {
					s.s.SentFirst, s.oldest = older, g
				}
			}
		}
		m.Secrets = slices.Sorted(maps.Keys(in))
		g.places = nil // the secrets themselves are needed no more
	}
	for _, f := range slices.Sorted(maps.Keys(all)) {
		s := all[f]
		s.s.Kind, s.s.Description = s.rule.kind, s.rule.doc
		for _, c := range s.boxes {
			count(&s.s.Mailboxes, c)
		}
		if st, ok := b.c.o.States[f]; ok {
			s.s.State = st
		}
		s.s.Owner = b.owner(&s.oldest.msg, s.link)
		b.ex.Rotation = append(b.ex.Rotation, s.s)
	}
	b.prints.made = nil
	slices.SortStableFunc(b.ex.Rotation, byUrgency)
}

// byUrgency orders secrets by what to change first: what is open, what was
// reached in most mailboxes and most surely, what was exposed the longest.
func byUrgency(a, b Secret) int {
	if (a.State == Open) != (b.State == Open) {
		if a.State == Open {
			return -1
		}
		return 1
	}
	if d := b.Certainty.Rank() - a.Certainty.Rank(); d != 0 {
		return d
	}
	if d := more(a.Mailboxes, b.Mailboxes); d != 0 {
		return d
	}
	if d := a.FirstExposed.Compare(b.FirstExposed.Time); d != 0 {
		return d
	}
	return strings.Compare(a.Fingerprint, b.Fingerprint)
}

// owner says whose a secret probably is: the name in a link, else who sent the
// oldest message with it. Who sends a password gives access to something of
// his own, more often than not.
func (b *builder) owner(m *Message, link string) Owner {
	if link != "" && strings.Contains(link, ".") {
		if own(link, b.own) {
			return Owner{registrable(link), "own", "the link leads to " + link}
		}
		return Owner{registrable(link), "counterparty", "the link leads to " + link}
	}
	from := m.From.Address
	d := domainOf(from)
	if d == "" {
		return Owner{"", "unknown", "who sent it is not known"}
	}
	switch m.Direction {
	case "inbound":
		if privateMail(d) {
			return Owner{from, "counterparty", fmt.Sprintf("it came from %s, a private address: what it opens is probably the sender's", from)}
		}
		return Owner{registrable(d), "counterparty", fmt.Sprintf("it came from %s, outside: what it opens is probably the sender's, and was given to the recipient", from)}
	case "outbound":
		return Owner{registrable(d), "own", fmt.Sprintf("%s sent it out: what it opens is probably the sender's", from)}
	}
	return Owner{registrable(d), "own", fmt.Sprintf("%s sent it inside the organization", from)}
}
