package simulate

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// boxMessages is how many messages of a mailbox are written that nobody read,
// about; those that were read come besides.
const boxMessages = 300

// writeMailboxes writes the mailboxes of which mail was reached: what was read,
// what lay in folders that were synchronized, and other mail beside it, so that
// what is found in a message says nothing about who read it. Every other
// mailbox is a folder of EML files, the rest have an mbox a folder.
func writeMailboxes(dir string, w *world, p *plan) ([]MailOf, error) {
	list := []MailOf{}
	t := w.tenants[0]
	users := map[string]*user{}
	for i := range t.users {
		users[t.users[i].upn] = &t.users[i]
	}
	boxes := map[string]bool{}
	for _, c := range p.camps {
		for upn := range c.boxes {
			boxes[upn] = true
		}
	}
	for n, upn := range slices.Sorted(maps.Keys(boxes)) {
		u := users[upn]
		if u == nil {
			continue // of an account that the actor made
		}
		for _, folder := range []string{"Inbox", "Sent Items"} {
			mails, files, err := w.folder(p, u, folder)
			if err != nil {
				return nil, err
			}
			if len(mails) == 0 {
				continue
			}
			at := filepath.Join(dir, MailDir, upn)
			rel := MailDir + "/" + upn + "/" + folder
			if n%2 == 1 {
				var box bytes.Buffer
				for i, b := range files {
					fmt.Fprintf(&box, "From midwatch %s\n", mails[i].Sent.Format("Mon Jan _2 15:04:05 2006"))
					box.Write(bytes.ReplaceAll(b, []byte("\nFrom "), []byte("\n>From ")))
					box.WriteString("\n")
					mails[i].Path = rel + ".mbox"
				}
				if err := os.MkdirAll(at, 0o755); err != nil {
					return nil, err
				}
				if err := os.WriteFile(filepath.Join(at, folder+".mbox"), box.Bytes(), 0o644); err != nil {
					return nil, err
				}
			} else {
				if err := os.MkdirAll(filepath.Join(at, folder), 0o755); err != nil {
					return nil, err
				}
				for i, b := range files {
					name := fmt.Sprintf("%05d.eml", i+1)
					mails[i].Path = rel + "/" + name
					if err := os.WriteFile(filepath.Join(at, folder, name), b, 0o644); err != nil {
						return nil, err
					}
				}
			}
			list = append(list, mails...)
		}
	}
	return list, nil
}

// folder makes the messages of a person's folder, by time.
func (w *world) folder(p *plan, u *user, folder string) ([]MailOf, [][]byte, error) {
	t := w.tenants[0]
	how := map[string]string{}
	var all []message
	seen := map[uint64]bool{}
	add := func(m message) {
		if !seen[m.h] {
			seen[m.h] = true
			all = append(all, m)
		}
	}
	var until int64
	for _, c := range p.camps {
		until = max(until, c.synced[[2]string{u.upn, folder}])
		if b := c.boxes[u.upn]; b != nil && folder == "Inbox" {
			for _, m := range b.Messages {
				how[m.ID] = m.How
			}
			for _, m := range c.msgs {
				if m.owner == u {
					add(m.m)
				}
			}
		}
	}
	others := 0
	for d := -20; d < w.days; d++ {
		for _, m := range w.messages(t, u.idx/teamSize, d, nil) {
			here := folder == "Inbox" && m.inbox(u) || folder == "Sent Items" && m.from == u.idx
			if !here || m.t >= w.end {
				continue
			}
			// A part of a large mailbox, from all of its time.
			if others++; others > boxMessages && mix(m.h+3)%uint64(others) >= boxMessages/2 {
				continue
			}
			add(m)
		}
	}
	slices.SortFunc(all, func(a, b message) int {
		if a.t != b.t {
			return int(min(max(a.t-b.t, -1), 1))
		}
		return strings.Compare(w.messageID(t, &a), w.messageID(t, &b))
	})
	var mails []MailOf
	var files [][]byte
	for i := range all {
		m := &all[i]
		of := MailOf{Message: w.messageID(t, m), Mailbox: u.upn, Folder: folder, Sent: at(m.t), Counterparties: []string{}, Secrets: []PlantedOf{}, Personal: []PlantedOf{}, Decoys: []string{}}
		of.How = how[of.Message]
		if of.How == "" && until > 0 && m.t <= until {
			of.How = "sync"
		}
		of.Reached = of.How != ""
		b, err := w.eml(m, &of)
		if err != nil {
			return nil, nil, err
		}
		mails, files = append(mails, of), append(files, b)
	}
	return mails, files, nil
}
