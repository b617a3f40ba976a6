package investigate

import (
	"slices"
	"strings"

	"midwatch/casefile"
)

// addForwarded adds mailboxes whose mail a rule sends outside: which messages
// matched it is not in the log.
func addForwarded(camp *casefile.Campaign, fs []casefile.Finding) {
	for _, f := range fs {
		if f.Detector != "inbox_rule_hides_or_forwards" && f.Detector != "external_forwarding" {
			continue
		}
		if len(entities(&f, casefile.Address, casefile.RoleTarget)) == 0 {
			continue
		}
		for _, m := range entities(&f, casefile.Mailbox, casefile.RoleTarget) {
			if !strings.Contains(m, "@") {
				continue
			}
			w := casefile.Window{From: f.First, Certainty: casefile.Probable, Events: f.Events, Why: "a rule sends its mail outside from then on; which messages matched is not in this log"}
			i := slices.IndexFunc(camp.Mailboxes, func(x casefile.MailboxRef) bool { return x.UPN == m })
			if i < 0 {
				camp.Mailboxes = append(camp.Mailboxes, casefile.MailboxRef{UPN: m, Tenant: f.Tenant, Certainty: casefile.Probable, First: f.First, Last: f.Last, Events: f.Events, EventCount: int64(len(f.Events)), Why: w.Why})
				i = len(camp.Mailboxes) - 1
				camp.Mailboxes[i].Counts.Mailboxes.Probable = 1
			} else {
				camp.Mailboxes[i].Why += "; " + w.Why
			}
			camp.Mailboxes[i].Windows = append(camp.Mailboxes[i].Windows, w)
			camp.Mailboxes[i].Counts.Windows++
		}
	}
	slices.SortStableFunc(camp.Mailboxes, func(a, b casefile.MailboxRef) int {
		if d := b.Certainty.Rank() - a.Certainty.Rank(); d != 0 {
			return d
		}
		return strings.Compare(a.UPN, b.UPN)
	})
}

// addDelegated adds mailboxes to which the actor gave somebody standing access:
// reads by delegates are recorded where the delegate's own account is known to
// be the actor's, and possible where it is not.
func (w *world) addDelegated(camp *casefile.Campaign, fs []casefile.Finding) {
	for i := range fs {
		f := &fs[i]
		if f.Detector != "mailbox_delegation" || f.Severity.Rank() < casefile.Medium.Rank() {
			continue
		}
		for _, m := range entities(f, casefile.Mailbox, casefile.RoleTarget) {
			upn := w.alias(m)
			win := casefile.Window{From: f.First, Certainty: casefile.Possible, Events: firstIDs(f.Events, 10), Why: "standing access to it was given (" + f.Title + "); no record shows that it was used, and none would have to"}
			k := slices.IndexFunc(camp.Mailboxes, func(x casefile.MailboxRef) bool { return x.UPN == upn })
			if k < 0 {
				camp.Mailboxes = append(camp.Mailboxes, casefile.MailboxRef{UPN: upn, Tenant: f.Tenant, Certainty: casefile.Possible, Events: win.Events, EventCount: int64(len(win.Events)), Why: win.Why})
				k = len(camp.Mailboxes) - 1
				camp.Mailboxes[k].Counts.Mailboxes.Possible = 1
			}
			camp.Mailboxes[k].Windows = append(camp.Mailboxes[k].Windows, win)
			camp.Mailboxes[k].Counts.Windows++
		}
	}
}

// alias is the address of a mailbox that a record names by its alias alone,
// when only one address has that name.
func (w *world) alias(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	found := map[string]bool{}
	for _, m := range []map[string]string{w.mailboxes, w.people} {
		for _, upn := range m {
			if local, _, ok := strings.Cut(upn, "@"); ok && strings.EqualFold(local, name) {
				found[upn] = true
			}
		}
	}
	if len(found) == 1 {
		return sortedKeys(found)[0]
	}
	return name
}
