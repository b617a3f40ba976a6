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

// done is what was done, for the house and outside of it, or for an authority.
// What people decided among themselves is told where the contact file says so.
func (b *builder) done(authority bool) []string {
	out := slices.Concat(b.in.Contact.Actions, b.in.Decided)
	switch n := len(b.in.Contain); {
	case n == 0:
	case authority:
		out = append(out, b.in.Contain...)
	case n == 1:
		out = append(out, "One step to shut the intruder out was carried out and checked.")
	default:
		out = append(out, fmt.Sprintf("%d steps to shut the intruder out were carried out and checked.", n))
	}
	return out
}

// to is the person of an address, where it can stand in a header.
func (b *builder) to(address, name string) []Address {
	if !Usable(address) {
		return nil
	}
	if name == "" {
		name = b.names[address]
	}
	return []Address{{short(name), address}}
}

func happened(k *casefile.Campaign) Happened {
	return Happened{First: k.Start, Inside: k.InitialAccess, Last: k.End, Established: k.Standing == "established", Earlier: k.OriginOutside}
}

// read says between when the recipient's own mail was read.
func (n *Notice) read() {
	var first, last casefile.Time
	for _, m := range n.Messages {
		first, last = casefile.Earlier(first, m.First), casefile.Later(last, m.First)
	}
	for _, w := range n.Windows {
		first = casefile.Earlier(first, w.From)
	}
	if len(n.Happened) == 1 {
		n.Happened[0].FirstRead, n.Happened[0].LastRead = first, last
	}
}

func message(m *exposure.Message) Message {
	out := Message{ID: m.ID, Date: m.Date, Subject: short(m.Subject), Certainty: m.Certainty, First: m.First}
	for _, a := range m.Access {
		out.Evidence = add(out.Evidence, a.Events)
	}
	return out
}

func add(to, events []string) []string {
	for _, e := range events {
		if len(to) < maxEvidence && !slices.Contains(to, e) {
			to = append(to, e)
		}
	}
	return to
}

// secretsIn are the secrets in messages, in the order in which to change them.
func (b *builder) secretsIn(theirs []*exposure.Message, whose func(*exposure.Secret) (yours, told bool)) (out []Secret) {
	if b.in.Exposure == nil {
		return nil
	}
	in, with := map[string]*exposure.Message{}, map[string][]*exposure.Message{}
	for _, m := range theirs {
		in[m.ID] = m
		for _, f := range m.Secrets {
			with[f] = append(with[f], m)
		}
	}
	for i := range b.in.Exposure.Rotation {
		s := &b.in.Exposure.Rotation[i]
		yours, told := whose(s)
		if !told {
			continue
		}
		t := Secret{Fingerprint: s.Fingerprint, Kind: kindWords(s), Preview: s.Preview, State: exposure.Open, Yours: yours}
		if st, ok := b.in.States[s.Fingerprint]; ok {
			t.State = st
		}
		for _, m := range with[s.Fingerprint] {
			t.Certainty, t.First = surer(t.Certainty, m.Certainty), casefile.Earlier(t.First, m.First)
		}
		if t.Certainty == "" {
			continue
		}
		for _, p := range s.Places {
			if m := in[p.Message]; m != nil && len(t.Where) < maxEvidence {
				t.Where = append(t.Where, Where{m.Date, short(m.Subject), short(p.Name)})
			}
		}
		out = append(out, t)
	}
	return out
}

// kindWords say what a secret is.
func kindWords(s *exposure.Secret) string {
	if s.Kind == "password" {
		return "Password"
	}
	name := strings.ReplaceAll(s.Kind, "-", " ")
	if name == "" {
		return "Secret"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func personal(theirs []*exposure.Message) (out []Personal) {
	n := map[string]int64{}
	for _, m := range theirs {
		for _, k := range m.PersonalData {
			n[k.Kind] += k.Count
		}
	}
	for _, k := range slices.Sorted(maps.Keys(n)) {
		out = append(out, Personal{clock.KindWords(k), n[k]})
	}
	return out
}

func bySurest(list []Notice) []Notice {
	slices.SortStableFunc(list, func(a, b Notice) int {
		x, y := a.Counts, b.Counts
		for _, d := range []int64{int64(b.Certainty.Rank() - a.Certainty.Rank()), y.Confirmed - x.Confirmed, y.Probable - x.Probable, y.Possible - x.Possible} {
			if d != 0 {
				return int(max(-1, min(1, d)))
			}
		}
		return strings.Compare(a.Recipient, b.Recipient)
	})
	return list
}

// short cuts what somebody may have made long.
func short(s string) string {
	const most = 200
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
