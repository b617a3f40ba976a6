package notice

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/report"
)

// email is an address; it keeps its dots where it can be used.
type email string

// domain is that of an organization; it keeps its dots where it is one.
type domain string

// person is a person as templates see them.
type person struct {
	Name     string
	Address  struct{ Address email }
	Messages casefile.PerCertainty
}

// view is what templates see.
type view struct {
	*Notice
	Case    string
	Contact contactView
	Code    string
	Name    string // of who is addressed; empty: nobody by name
	Address email  // of the mailbox
	Party   domain // the organization outside, or the authority
	People  []person
}

type contactView struct {
	Organization, AskFor, Number, Hours string
	From                                struct {
		Name    string
		Address email
	}
}

// Draft is a notice in its forms.
type Draft struct {
	Notice  *Notice
	Content string            // hash of what it says
	Facts   string            // see [Notice.Facts]
	Code    string            // proves it to who has the key
	Files   map[string][]byte // by name
}

// Render makes the drafts of a notice. key is the case's; made is when.
func Render(t *Templates, n *Notice, c *Contact, caseID string, key []byte, made time.Time) (*Draft, error) {
	v := view{Notice: n, Case: caseID, Party: domain(n.Recipient)}
	v.Contact.Organization, v.Contact.AskFor, v.Contact.Number, v.Contact.Hours = c.Organization, c.AskFor, c.Number, c.Hours
	v.Contact.From.Name, v.Contact.From.Address = c.From.Name, email(c.From.Address)
	if n.Kind == Employee {
		v.Address = email(n.Recipient)
	}
	if len(n.To) == 1 {
		v.Name = n.To[0].Name
	}
	for _, p := range n.People {
		x := person{Name: p.Name, Messages: p.Messages}
		x.Address.Address = email(p.Address.Address)
		v.People = append(v.People, x)
	}
	table, err := n.csv()
	if err != nil {
		return nil, err
	}
	d := &Draft{Notice: n, Facts: n.Facts()}
	// What it says is hashed without the code, which is made of the hash.
	subject, text, md, err := t.write(&v)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, part := range [][]byte{[]byte(n.ID), []byte(fmt.Sprint(n.To, c.From)), []byte(subject), text, md, table} {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	d.Content = hex.EncodeToString(h.Sum(nil))
	d.Code = Code(key, d.Content)
	v.Code = d.Code
	if subject, text, md, err = t.write(&v); err != nil {
		return nil, err
	}
	name := n.ID
	eml, err := mail(c.From, n.To, subject, text, name+".csv", table, made)
	if err != nil {
		return nil, err
	}
	d.Files = map[string][]byte{name + ".eml": eml, name + ".md": append([]byte("# "+escapeFor(markdown, subject)+"\n\n"), md...), name + ".csv": table}
	return d, nil
}

// write fills in the templates.
func (t *Templates) write(v *view) (subject string, text, md []byte, err error) {
	for f, set := range map[form]*[]byte{plain: &text, markdown: &md} {
		var b bytes.Buffer
		if err := t.run(&b, f, v, "body"); err != nil {
			return "", nil, nil, err
		}
		*set = tidy(b.Bytes())
	}
	var b bytes.Buffer
	if err := t.run(&b, plain, v, "subject"); err != nil {
		return "", nil, nil, err
	}
	return short(strings.TrimSpace(oneLine(b.String()))), text, md, nil
}

func (t *Templates) run(b *bytes.Buffer, f form, v *view, part string) error {
	set := t.set[f][v.Kind]
	if err := set.ExecuteTemplate(b, part, v); err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "template: "))
	}
	// What is put in has none: it stands in the template.
	if l := linkIn(b.String()); l != "" {
		return fmt.Errorf("%s: template %q writes a link (%s); a notice has none, because recipients are right to distrust them", set.Lookup(part).Tree.ParseName, part, l)
	}
	return nil
}

// tidy takes away the empty lines that templates leave.
func tidy(b []byte) []byte {
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		line = strings.TrimRight(line, " ")
		if line == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, line)
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return []byte(strings.Join(out, "\n") + "\n")
}

// csv is the table of the recipient's messages; of an authority the numbers.
func (n *Notice) csv() ([]byte, error) {
	var b bytes.Buffer
	var err error
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = oneLine(cells[i])
		}
		if e := report.CSVRow(&b, cells...); err == nil {
			err = e
		}
	}
	if o := n.Overall; o != nil {
		row("what", "confirmed", "probable", "possible")
		for _, x := range []struct {
			name string
			n    casefile.PerCertainty
		}{{"mailboxes", o.Mailboxes}, {"messages", o.Messages}, {"organizations outside", o.Parties}, {"secrets in messages", o.Secrets}} {
			row(x.name, fmt.Sprint(x.n.Confirmed), fmt.Sprint(x.n.Probable), fmt.Sprint(x.n.Possible))
		}
		return b.Bytes(), err
	}
	if len(n.People) > 0 {
		row("date", "subject", "direction", "certainty", "first_reached", "people", "evidence")
	} else {
		row("date", "subject", "direction", "certainty", "first_reached", "evidence")
	}
	for _, m := range n.Messages {
		cells := []string{m.Date.String(), unlink(m.Subject), m.Direction, string(m.Certainty), m.First.String()}
		if len(n.People) > 0 {
			var who []string
			for _, p := range m.People {
				if !Usable(p) {
					p = unlink(p)
				}
				who = append(who, p)
			}
			cells = append(cells, strings.Join(who, " "))
		}
		row(append(cells, unlink(strings.Join(m.Evidence, " ")))...)
	}
	return b.Bytes(), err
}

// letters are those of a code: without vowels, so that no words come about, and
// without those that are mistaken for others.
const letters = "BCDFGHJKMPQRTVWX"

// codeLetters is how long a code is: 64 bits, which nobody guesses on the telephone.
const codeLetters = 16

// Code is the code of a notice: an HMAC-SHA-256 over the hash of what it says,
// as four groups of four letters.
func Code(key []byte, content string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("midwatch.notice/1\n" + content)) //nolint:errcheck // a hash does not fail
	sum := m.Sum(nil)
	var b strings.Builder
	for i := range codeLetters {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[sum[i/2]>>(4*(i%2))&15])
	}
	return b.String()
}

// NormalCode is a code as it is written, of one that was read out: in any case,
// with any blanks and hyphens. Empty: it is none.
func NormalCode(s string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		switch {
		case r == ' ' || r == '-' || r == '.' || r == '\u2013' || r == '\u00a0':
		case strings.ContainsRune(letters, r):
			if n := b.Len(); n == 4 || n == 9 || n == 14 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
		default:
			return ""
		}
	}
	if b.Len() != codeLetters+3 {
		return ""
	}
	return b.String()
}

// Genuine reports whether a code is that of a notice, in a time that does not
// depend on where they differ.
func Genuine(key []byte, content, code string) bool {
	return hmac.Equal([]byte(Code(key, content)), []byte(code))
}
