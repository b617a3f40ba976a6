package score

import (
	"slices"

	"midwatch/casefile"
	"midwatch/simulate"
)

// entities compares all kinds.
func (m *matcher) entities() []Entity {
	out := []Entity{
		m.accounts(), m.sprayed(), m.apps(), m.credentials(), m.addresses(), m.mailboxes(), m.messages(),
	}
	for i := range out {
		out[i].rates()
	}
	return out
}

func (m *matcher) accounts() Entity {
	truth, outside, cs := map[string]bool{}, map[string]bool{}, claims{}
	for _, p := range m.t.Campaigns {
		for _, a := range slices.Concat(p.Compromised, p.Created) {
			if m.inLogs(a.Tenant, a.UPN) {
				truth[fold(a.UPN)] = true
			} else {
				outside[fold(a.UPN)] = true
			}
		}
	}
	for i := range m.held {
		for j := range m.held[i].Accounts {
			a := &m.held[i].Accounts[j]
			cs.add(fold(a.UPN), inHands(a))
		}
	}
	return m.compare(Accounts, truth, outside, cs, nil)
}

// compare leaves out of the rates what the logs cannot hold: found all the
// same, for instance through the other tenant, it is no error.
func (m *matcher) compare(kind string, truth, outside map[string]bool, cs claims, covered func(string) bool) Entity {
	for id := range outside {
		delete(cs, id)
	}
	for id, c := range cs {
		if c == absent {
			delete(cs, id)
		}
	}
	e := compare(kind, truth, cs, m.assessed(kind), covered)
	e.Outside = len(outside)
	return e
}

// sprayed compares the accounts that were guessed at. That an account was
// tried is a fact of the records, so the list claims it whatever its certainty
// (which is that of the password having been right).
func (m *matcher) sprayed() Entity {
	truth, outside, cs := map[string]bool{}, map[string]bool{}, claims{}
	for _, p := range m.t.Campaigns {
		for _, upn := range p.Sprayed {
			if m.inLogs("", upn) && sprayInLogs(&p) {
				truth[fold(upn)] = true
			} else {
				outside[fold(upn)] = true
			}
		}
	}
	for id := range truth { // in the logs by another campaign
		delete(outside, id)
	}
	for i := range m.held {
		if m.held[i].noise { // tried by somebody else: right, and not the actor's
			continue
		}
		for _, a := range m.held[i].Accounts {
			if a.Role == casefile.AccountSprayed || slices.Contains(a.Roles, casefile.AccountSprayed) || slices.Contains(a.Roles, casefile.AccountGuessed) {
				cs.add(fold(a.UPN), listed)
			}
		}
	}
	return m.compare(Sprayed, truth, outside, cs, nil)
}

// sprayInLogs reports whether the logs have any of the guessing: when they
// begin after it, nobody can say who was guessed at.
func sprayInLogs(p *simulate.CampaignOf) bool {
	known := false
	for _, s := range p.Stages {
		if s.Name == "spray" {
			if s.Records > 0 {
				return true
			}
			known = true
		}
	}
	return !known
}

// apps compares applications. Any of an application's ids names it.
func (m *matcher) apps() Entity {
	truth, alias, cs := map[string]bool{}, map[string]string{}, claims{}
	for _, p := range m.t.Campaigns {
		for _, a := range p.Apps {
			id := fold(a.AppID)
			truth[id] = true
			for _, x := range []string{a.AppID, a.ServicePrincipal, a.Object} {
				if x != "" {
					alias[fold(x)] = id
				}
			}
		}
	}
	for i := range m.held {
		for _, a := range m.held[i].Apps {
			id := fold(a.ID)
			for _, x := range append([]string{a.ID}, a.ServicePrincipals...) {
				if known := alias[fold(x)]; known != "" {
					id = known
					break
				}
				if id == "" {
					id = fold(x)
				}
			}
			cs.add(id, byCertainty(a.Certainty))
		}
	}
	return m.compare(Apps, truth, nil, cs, nil)
}

func (m *matcher) credentials() Entity {
	truth, cs := map[string]bool{}, claims{}
	for _, p := range m.t.Campaigns {
		for _, k := range p.Credentials {
			truth[fold(k.KeyID)] = true
		}
	}
	for i := range m.held {
		for _, k := range m.held[i].Credentials {
			cs.add(fold(k.KeyID), listed)
		}
	}
	return m.compare(Credentials, truth, nil, cs, nil)
}

// addresses compares addresses; one that the case calls shared is no claim.
func (m *matcher) addresses() Entity {
	truth, cs := map[string]bool{}, claims{}
	for _, p := range m.t.Campaigns {
		for _, x := range p.IPs {
			truth[fold(x.IP)] = true
		}
	}
	for i := range m.held {
		if m.held[i].noise {
			continue
		}
		for _, x := range m.held[i].IPs {
			if x.Shared {
				cs.add(fold(x.IP), hedged)
			} else {
				cs.add(fold(x.IP), listed)
			}
		}
	}
	return m.compare(IPs, truth, nil, cs, nil)
}

// boxes lists the case's mailboxes by name; one of which only the GUID is
// known gets the key's name for it.
func (m *matcher) boxes(fn func(upn string, b *casefile.MailboxRef)) {
	names := map[string]string{}
	for _, p := range m.t.Campaigns {
		for _, b := range p.Mailboxes {
			names[fold(b.GUID)] = fold(b.UPN)
		}
	}
	delete(names, "")
	for i := range m.held {
		for j := range m.held[i].Mailboxes {
			b := &m.held[i].Mailboxes[j]
			upn := fold(b.UPN)
			if known := names[fold(b.ID)]; known != "" && upn == "" {
				upn = known
			}
			if upn == "" {
				upn = fold(b.ID)
			}
			fn(upn, b)
		}
	}
}

// uncleared reads the statements about a kind of thing: what they name, and
// the most that one of them counts without naming it. Statements overlap, so
// their counts are not added up.
func (m *matcher) uncleared(what string) (named map[string]bool, unnamed int) {
	named = map[string]bool{}
	take := func(us []casefile.Uncleared) {
		for _, u := range us {
			if u.What != what {
				continue
			}
			for _, x := range u.Members {
				named[fold(x)] = true
			}
			unnamed = max(unnamed, int(u.Count)-len(u.Members))
		}
	}
	for i := range m.held {
		take(m.held[i].CannotClear)
	}
	take(m.c.CannotClear) // of findings outside of campaigns
	return named, unnamed
}

func (m *matcher) mailboxes() Entity {
	truth, outside, cs := map[string]bool{}, map[string]bool{}, claims{}
	for _, p := range m.t.Campaigns {
		for _, b := range p.Mailboxes {
			if m.inLogs("", b.UPN) {
				truth[fold(b.UPN)] = true
			} else {
				outside[fold(b.UPN)] = true
			}
		}
	}
	m.boxes(func(upn string, b *casefile.MailboxRef) { cs.add(upn, byCertainty(b.Certainty)) })
	named, unnamed := m.uncleared("mailboxes")
	for x := range named {
		cs.add(x, hedged)
	}
	e := m.compare(Mailboxes, truth, outside, cs, nil)
	e.byCount(unnamed)
	return e
}

// messages compares messages, each with its mailbox. A message that the case
// does not name is covered when the case says that the folder was synchronized
// whole and it was, that reads were not recorded when it was read, or that its
// mailbox cannot be cleared.
func (m *matcher) messages() Entity {
	truth, outside, cs := map[string]bool{}, map[string]bool{}, claims{}
	of := map[string]simulate.MessageOf{}
	boxOf := map[string]string{}
	for _, p := range m.t.Campaigns {
		for _, b := range p.Mailboxes {
			for _, x := range b.Messages {
				id := foldMessage(b.UPN, x.ID)
				if !m.inLogs("", b.UPN) {
					outside[id] = true
					continue
				}
				truth[id], of[id], boxOf[id] = true, x, fold(b.UPN)
			}
		}
	}
	boxes := map[string][]*casefile.MailboxRef{}
	unidentified, lost := map[string]int{}, map[string]int{}
	m.boxes(func(upn string, b *casefile.MailboxRef) {
		boxes[upn] = append(boxes[upn], b)
		lost[upn] = max(lost[upn], int(b.Counts.Messages.Probable))
		n := 0
		for _, x := range b.Messages {
			if x.InternetMessageID == "" {
				n++
				continue
			}
			cs.add(foldMessage(upn, x.InternetMessageID), byCertainty(x.Certainty))
		}
		unidentified[upn] = max(unidentified[upn], n)
	})
	named, _ := m.uncleared("mailboxes")
	covered := func(id string) bool {
		upn, x := boxOf[id], of[id]
		if named[upn] {
			return true
		}
		for _, b := range boxes[upn] {
			if byCertainty(b.Certainty) == hedged || x.How == "sync" && len(b.WholeFolders) > 0 {
				return true
			}
			for _, w := range b.Windows {
				if (w.From.IsZero() || !x.Read.Before(w.From.Time)) && (w.To.IsZero() || x.Read.Before(w.To.Time)) {
					return true
				}
			}
		}
		return false
	}
	e := m.compare(Messages, truth, outside, cs, covered)
	// Items that the case counts without a name cover that many others of
	// their mailbox.
	missed := map[string]int{}
	for _, id := range e.MissedIDs {
		missed[boxOf[id]]++
	}
	spare := 0
	for upn, n := range missed {
		spare += min(n, unidentified[upn]+lost[upn])
	}
	for _, n := range unidentified {
		e.Unidentified += n
	}
	_, unnamed := m.uncleared("messages")
	e.byCount(spare + unnamed)
	return e
}

// cost weighs the errors about mailboxes.
func (m *matcher) cost(es []Entity) Cost {
	i := slices.IndexFunc(es, func(e Entity) bool { return e.Kind == Mailboxes })
	e := es[i]
	all := 0
	for _, x := range m.t.Tenants {
		if x.LogsHanded {
			all += x.Mailboxes
		}
	}
	all = max(all, e.Truth)
	_, unnamed := m.uncleared("mailboxes")
	c := Cost{
		FalselyCleared: e.Missed, OverListed: e.Wrong,
		Uncleared: e.Unknown - e.UnknownByCount + e.Hedged + unnamed,
		Weights:   Weights{FalselyClearedWeight, OverListedWeight, UnclearedWeight},
	}
	if !m.assessed(Mailboxes) { // the case cannot say anything of any of them
		c.Uncleared = max(c.Uncleared, all-e.Listed)
	}
	c.Cost = FalselyClearedWeight*float64(c.FalselyCleared) + OverListedWeight*float64(c.OverListed) + UnclearedWeight*float64(c.Uncleared)
	c.CostOfSilence = FalselyClearedWeight * float64(e.Truth)
	c.CostOfEverything = OverListedWeight * float64(all-e.Truth)
	if cheap := min(c.CostOfSilence, c.CostOfEverything); cheap > 0 {
		v := 1 - c.Cost/cheap
		c.Value = &v
	}
	return c
}
