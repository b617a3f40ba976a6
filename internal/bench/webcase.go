package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/internal/casefolder"
	"midwatch/simulate"
)

// largeCase makes a case of an organization with about so many records, and
// multiplies what was reached in it to so many messages. midwatch is the binary.
func largeCase(ctx context.Context, o options, midwatch string) (string, error) {
	in, err := simulated(ctx, o, "web", max(simulate.MinUsers, int(float64(o.events)/perPerson/float64(o.days))), simulate.Options{})
	if err != nil {
		return "", err
	}
	dir := filepath.Join(o.dir, "web.case")
	known := filepath.Join(filepath.Dir(in.path), simulate.ContextDir)
	cmd := exec.CommandContext(ctx, midwatch, "investigate", in.path, "--asn", filepath.Join(known, "asn.csv"), "--directory", filepath.Join(known, "directory.csv"), "--out", dir)
	cmd.Stderr = os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: there are findings
		return "", fmt.Errorf("investigate: %w", err)
	}
	if err := os.RemoveAll(in.path); err != nil { // the store has it
		return "", err
	}
	return dir, multiplyCase(dir, o.messages)
}

// mostMailboxes is in how many mailboxes the messages are, at the most.
const mostMailboxes = 4000

// multiplyCase writes a case.json in the place of another: its mailboxes, and
// what was reached in them, so many times that there are so many messages, each
// copy with names, ids and records of its own. The events of the copies are in no
// store.
func multiplyCase(dir string, messages int64) error {
	name := filepath.Join(dir, casefolder.Case)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	c, err := casefile.Read(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := multiply(c, messages); err != nil {
		return err
	}
	next := name + ".large"
	out, err := os.Create(next)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 1<<20)
	err = errors.Join(casefile.Write(w, c), w.Flush(), out.Close())
	if err != nil {
		return err
	}
	return os.Rename(next, name)
}

// multiply copies the mailboxes of the campaign that reached most messages until
// there are so many messages. The same case gives the same one.
func multiply(c *casefile.Case, messages int64) error {
	var largest *casefile.Campaign
	have, most := int64(0), int64(0)
	for i := range c.Campaigns {
		n := int64(0)
		for _, m := range c.Campaigns[i].Mailboxes {
			n += int64(len(m.Messages))
		}
		if have += n; n > most {
			largest, most = &c.Campaigns[i], n
		}
	}
	if largest == nil {
		return errors.New("the case has no message that could be multiplied")
	}
	boxes := slices.DeleteFunc(slices.Clone(largest.Mailboxes), func(m casefile.MailboxRef) bool { return len(m.Messages) == 0 })
	times := max(1, int(messages*int64(len(boxes))/(most*mostMailboxes))+1)
	for copy := 1; have < messages; copy++ {
		for _, m := range boxes {
			if have >= messages {
				break
			}
			k := copyMailbox(c, m, copy, times, messages-have)
			have += int64(len(k.Messages))
			largest.Mailboxes = append(largest.Mailboxes, k)
			largest.Reach = addReach(largest.Reach, k.Counts)
		}
	}
	// The most certain first, as the contract has it.
	slices.SortStableFunc(largest.Mailboxes, func(a, b casefile.MailboxRef) int { return b.Certainty.Rank() - a.Certainty.Rank() })
	largest.ShareOfMailboxes.Denominator = max(largest.ShareOfMailboxes.Denominator, int64(len(largest.Mailboxes)))
	return nil
}

// copyMailbox is a mailbox under another name, with its messages so many times,
// but no more than most.
func copyMailbox(c *casefile.Case, m casefile.MailboxRef, copy, times int, most int64) casefile.MailboxRef {
	id := func(s string, n int) string {
		if s == "" {
			return ""
		}
		return fmt.Sprintf("%s~%d.%d", s, copy, n)
	}
	events := func(ids []string, n int) []string {
		out := make([]string, len(ids))
		for i, x := range ids {
			out[i] = eventCopy(x, copy, n)
			if e, ok := c.Evidence[x]; ok {
				c.Evidence[out[i]] = e
			}
		}
		return out
	}
	user, domain, _ := strings.Cut(m.UPN, "@")
	m.UPN = fmt.Sprintf("%s.%d@%s", user, copy, domain)
	m.ID = id(m.ID, 0)
	m.Events = events(m.Events, 0)
	m.Counts.Messages = casefile.PerCertainty{}
	messages := make([]casefile.MessageRef, 0, min(int64(times*len(m.Messages)), most))
	for n := range times {
		for _, r := range m.Messages {
			if len(messages) == cap(messages) {
				break
			}
			r.InternetMessageID, r.ItemID, r.Events = id(r.InternetMessageID, n), id(r.ItemID, n), events(r.Events, n)
			switch r.Certainty {
			case casefile.Confirmed:
				m.Counts.Messages.Confirmed++
			case casefile.Probable:
				m.Counts.Messages.Probable++
			default:
				m.Counts.Messages.Possible++
			}
			messages = append(messages, r)
		}
	}
	m.Messages = messages
	m.AttachmentItems = slices.Clone(m.AttachmentItems)
	for i := range m.AttachmentItems {
		a := &m.AttachmentItems[i]
		a.ID, a.ItemID, a.Events = id(a.ID, 0), id(a.ItemID, 0), events(a.Events, 0)
	}
	return m
}

// eventCopy is the id of a copy of an event.
func eventCopy(id string, copy, n int) string {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(id), uint64(copy)<<32|uint64(n)))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func addReach(a, b casefile.Reach) casefile.Reach {
	add := func(a, b casefile.PerCertainty) casefile.PerCertainty {
		return casefile.PerCertainty{Confirmed: a.Confirmed + b.Confirmed, Probable: a.Probable + b.Probable, Possible: a.Possible + b.Possible}
	}
	a.Mailboxes, a.Messages = add(a.Mailboxes, b.Mailboxes), add(a.Messages, b.Messages)
	a.WholeFolders += b.WholeFolders
	a.Attachments += b.Attachments
	a.Windows += b.Windows
	return a
}
