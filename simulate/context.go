package simulate

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// writeContext writes what stands beside logs in real life: the directory, a
// table of networks, and the bodies of some mail as Graph gives them.
func writeContext(dir string, p *plan) error {
	w := p.w
	dir = filepath.Join(dir, ContextDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeLines(filepath.Join(dir, "asn.csv"), func(b *bufio.Writer) {
		b.WriteString("cidr,asn,org,kind,country\n")
		for _, n := range w.nets {
			fmt.Fprintf(b, "%s,%d,%s,%s,%s\n", n.cidr, n.asn, n.org, n.kind, n.country)
			if n.v6 != 0 {
				fmt.Fprintf(b, "2001:db8:%x::/36,%d,%s,%s,%s\n", n.v6, n.asn, n.org, n.kind, n.country)
			}
		}
	}); err != nil {
		return err
	}
	if err := writeLines(filepath.Join(dir, "directory.csv"), func(b *bufio.Writer) {
		b.WriteString("user,department,job_title,enabled,mfa_registered\n")
		for i := range w.tenants[0].users {
			u := &w.tenants[0].users[i]
			fmt.Fprintf(b, "%s,%s,%s,%t,%t\n", u.upn, u.function, u.title, u.enabled, u.hasMFA)
		}
	}); err != nil {
		return err
	}
	return writeLines(filepath.Join(dir, "mail.ndjson"), func(b *bufio.Writer) { writeMail(b, w, p) })
}

// writeLines writes a file that is there when it is whole: somebody may be
// reading the one that was there before.
func writeLines(path string, write func(*bufio.Writer)) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 1<<16)
	write(b)
	err = b.Flush()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeMail writes the messages of the mailboxes that were reached: those that
// were read, and as many that were not, so that what is found in them says
// nothing about who read them.
func writeMail(b *bufio.Writer, w *world, p *plan) {
	t := w.tenants[0]
	seen := map[uint64]bool{}
	write := func(m *message) {
		if seen[m.h] {
			return
		}
		seen[m.h] = true
		var o []byte
		o = append(o, `{"internetMessageId":"<`...)
		o = w.appendMessageID(o, t, m)
		o = append(o, `>","receivedDateTime":"`...)
		o = appendZ(o, m.t)
		o = append(o, `","subject":`...)
		o = appendQuoted(o, m.subject)
		o = append(o, `,"from":{"emailAddress":{"address":"`...)
		o = w.appendSender(o, t, m)
		o = append(o, `"}},"toRecipients":[`...)
		first := true
		for i := range teamSize {
			if m.to>>i&1 == 0 {
				continue
			}
			if !first {
				o = append(o, ',')
			}
			first = false
			o = append(o, `{"emailAddress":{"address":"`...)
			o = append(o, t.users[m.team*teamSize+i].upn...)
			o = append(o, `"}}`...)
		}
		o = append(o, `],"body":{"contentType":"text","content":`...)
		body := "As discussed. " + m.subject + ".\r\nSee you tomorrow."
		if m.secret != 0 {
			body += "\r\nThe " + secretKinds()[m.secret] + ": " + secretValue(m.secret, m.h)
		}
		o = appendQuoted(o, body)
		o = append(o, `},"hasAttachments":`...)
		o = strconv.AppendBool(o, m.file != "")
		o = append(o, `,"attachments":[`...)
		if m.file != "" {
			o = append(o, `{"name":`...)
			o = appendQuoted(o, m.file)
			o = append(o, `,"size":`...)
			o = append(num(o, int64(m.size*3/4)), '}')
		}
		o = append(o, "]}\n"...)
		b.Write(o)
	}
	for _, c := range p.camps {
		teams := map[int]bool{}
		var order []int
		for i := range c.msgs {
			write(&c.msgs[i].m)
			if k := c.msgs[i].m.team; !teams[k] {
				teams[k] = true
				order = append(order, k)
			}
		}
		n := len(seen)
		for d := 0; d < w.days && len(seen) < 2*n; d++ {
			for _, team := range order {
				for _, m := range w.messages(t, team, d, nil) {
					write(&m)
				}
			}
		}
	}
}
