package exposure

import (
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
)

// reached is what a case says was reached, ready to be asked about messages.
type reached struct {
	byID    map[string][]Access            // key of the message id
	byItem  []item                         // messages of which only the store's id is known
	folders map[string]map[string][]Access // mailbox, folder
	windows map[string][]Access            // mailbox
	ids     map[string]string              // key -> id as the case has it
	subject map[string]string              // key -> subject, where a record has it
	names   map[string]string              // key -> attachment names, where a record has them
	bytes   map[string]int64
	limits  []string
}

// item is a message of which only the store's id is known.
type item struct {
	id     string
	access Access
	ref    *casefile.MessageRef
}

// reachedBy reads what a case's campaigns reached.
func reachedBy(c *casefile.Case) *reached {
	r := &reached{byID: map[string][]Access{}, folders: map[string]map[string][]Access{}, windows: map[string][]Access{},
		ids: map[string]string{}, subject: map[string]string{}, names: map[string]string{}, bytes: map[string]int64{}}
	for i := range c.Campaigns {
		for k := range c.Campaigns[i].Mailboxes {
			r.mailbox(c.Campaigns[i].ID, &c.Campaigns[i].Mailboxes[k])
		}
		for _, u := range c.Campaigns[i].CannotClear {
			r.limits = append(r.limits, fmt.Sprintf("%d %s cannot be cleared (%s); their mail is not listed, because nothing says that it was reached", u.Count, u.What, u.Why))
		}
	}
	return r
}

func (r *reached) mailbox(campaign string, m *casefile.MailboxRef) {
	box := address(m.UPN)
	for i := range m.Messages {
		x := &m.Messages[i]
		a := Access{Mailbox: box, Campaign: campaign, Certainty: x.Certainty, Basis: BasisRecord, Folder: x.Folder, First: x.First, Last: x.Last, Events: x.Events}
		id := messageID(x.InternetMessageID)
		if id == "" {
			r.byItem = append(r.byItem, item{x.ItemID, a, x})
			continue
		}
		k := key(id)
		r.byID[k] = append(r.byID[k], a)
		if r.ids[k] == "" {
			r.ids[k] = id
		}
		if r.subject[k] == "" {
			r.subject[k] = x.Subject
		}
		if r.names[k] == "" {
			r.names[k] = x.Attachments
		}
		if x.Bytes != nil && r.bytes[k] == 0 {
			r.bytes[k] = *x.Bytes
		}
	}
	for _, f := range m.WholeFolders {
		if r.folders[box] == nil {
			r.folders[box] = map[string][]Access{}
		}
		n := folderName(f.Folder)
		r.folders[box][n] = append(r.folders[box][n], Access{Mailbox: box, Campaign: campaign, Certainty: f.Certainty, Basis: BasisFolder, Folder: f.Folder, First: f.First, Last: f.Last, Events: few(f.Events)})
	}
	for _, w := range m.Windows {
		basis := BasisWindow
		// A rule sends on what comes in from then on. The case says so in words
		// only; other open times are held to concern everything in the mailbox.
		if w.To.IsZero() && strings.Contains(w.Why, "sends its mail outside from then on") {
			basis = BasisForward
		}
		r.windows[box] = append(r.windows[box], Access{Mailbox: box, Campaign: campaign, Certainty: w.Certainty, Basis: basis, First: w.From, Last: w.To, Events: few(w.Events)})
	}
	if n := m.Counts.Messages.Probable; n > 0 {
		r.limits = append(r.limits, fmt.Sprintf("%d more messages of %s were read whose ids the records have lost; which those are cannot be said", n, box))
	}
	if len(m.Messages)+len(m.WholeFolders)+len(m.Windows) == 0 {
		r.limits = append(r.limits, fmt.Sprintf("mailbox %s: %s; none of its messages is listed, because no record says which were reached", box, m.Why))
	}
}

// few keeps the first of the records behind a folder or a time: they are
// repeated with each message, and the case has all of them.
func few(events []string) []string { return events[:min(len(events), 4)] }

// mailboxes are the mailboxes of which something was reached.
func (r *reached) mailboxes() map[string]bool {
	out := map[string]bool{}
	for _, as := range r.byID {
		for _, a := range as {
			out[a.Mailbox] = true
		}
	}
	for b := range r.folders {
		out[b] = true
	}
	for b := range r.windows {
		out[b] = true
	}
	return out
}

// find says how a message was reached: by its id anywhere, and by where it lies
// when the export says so. A message whose date is not known cannot be shown to
// have come later, and counts as there.
func (r *reached) find(id, mailbox, folder string, date casefile.Time) (out []Access) {
	if id != "" {
		out = append(out, r.byID[key(id)]...)
	}
	if mailbox == "" {
		return out
	}
	for _, a := range r.folders[mailbox][folderName(folder)] {
		if folder != "" && !after(date, a.Last) {
			out = append(out, a)
		}
	}
	for _, a := range r.windows[mailbox] {
		if a.Basis == BasisForward && !date.IsZero() && date.Before(a.First.Time) {
			continue
		}
		if !after(date, a.Last) {
			a.Folder = folder
			out = append(out, a)
		}
	}
	return out
}

// after reports whether a date lies behind an end; what is not known does not.
func after(date, end casefile.Time) bool {
	return !date.IsZero() && !end.IsZero() && date.After(end.Time)
}

// merged keeps one access a campaign, mailbox and basis, and sorts them: the
// surest first.
func merged(as []Access) []Access {
	var out []Access
	for _, a := range as {
		i := slices.IndexFunc(out, func(b Access) bool {
			return b.Mailbox == a.Mailbox && b.Campaign == a.Campaign && b.Basis == a.Basis && b.Certainty == a.Certainty
		})
		if i < 0 {
			a.Events = casefile.Unique(a.Events)
			out = append(out, a)
			continue
		}
		b := &out[i]
		b.First = casefile.Earlier(b.First, a.First)
		if !b.Last.IsZero() {
			if b.Last = casefile.Later(b.Last, a.Last); a.Last.IsZero() {
				b.Last = a.Last // open
			}
		}
		if b.Folder == "" {
			b.Folder = a.Folder
		}
		b.Events = casefile.Unique(append(slices.Clone(b.Events), a.Events...))
	}
	slices.SortFunc(out, func(a, b Access) int {
		if d := b.Certainty.Rank() - a.Certainty.Rank(); d != 0 {
			return d
		}
		if d := strings.Compare(a.Mailbox, b.Mailbox); d != 0 {
			return d
		}
		if d := strings.Compare(a.Campaign, b.Campaign); d != 0 {
			return d
		}
		return strings.Compare(a.Basis, b.Basis)
	})
	return out
}
