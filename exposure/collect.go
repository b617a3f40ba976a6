package exposure

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/source"
)

// collector reads the input and keeps what belongs to messages that were
// reached.
type collector struct {
	ctx   context.Context
	o     *Options
	reach *reached
	boxes map[string]bool // mailboxes of which something was reached
	x     *reader

	inputs    []Input
	at        *Input // the input that is being read
	byKey     map[string]*gathered
	order     []*gathered
	lost      []NotRead // of files
	unreached int64
	nowhere   map[string]int64 // mailbox -> messages of which the folder is not said
	temporary int              // for messages without an id
}

// gathered is a message that was reached, with all that is known of it.
type gathered struct {
	msg     Message
	access  []Access
	sums    map[string]bool
	places  []place
	values  map[string]map[string]bool
	trouble []NotRead
	texts   int
	read    bool // content of it was read
	whole   bool // nothing of some copy was left out
	listed  []Attachment
}

// gather finds or makes the message of an id; where there is none, every
// message is its own.
func (c *collector) gather(id string) *gathered {
	k := key(id)
	if id == "" {
		c.temporary++
		k = fmt.Sprintf("\x00%d", c.temporary)
	}
	g := c.byKey[k]
	if g == nil {
		g = &gathered{sums: map[string]bool{}, values: map[string]map[string]bool{}}
		g.msg.InternetMessageID = id
		c.byKey[k] = g
		c.order = append(c.order, g)
	}
	return g
}

// collect reads the paths.
func (c *collector) collect(paths []string) error {
	r := &source.Reader{Temp: c.o.Temp, Progress: c.o.Progress}
	r.Stream = func(f *source.File, s io.Reader) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		return c.stream(f, s)
	}
	files, err := r.Read(c.ctx, paths, func(b *source.Block) error { b.Release(); return nil })
	if err != nil {
		return err
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	// What source could not open has no input yet; and only it knows the hashes.
	read := map[string]int{}
	for i := range c.inputs {
		read[c.inputs[i].Path] = i
	}
	for _, f := range files {
		i, ok := read[f.Path]
		if !ok {
			i = len(c.inputs)
			c.inputs = append(c.inputs, Input{Path: f.Path, Kind: "other"})
		}
		in := &c.inputs[i]
		in.SHA256, in.Bytes = f.SHA256, f.Bytes
		if f.Err != nil && in.Why == "" {
			in.Why = plainError(f.Err)
		}
	}
	for i := range c.inputs {
		if w := c.inputs[i].Why; w != "" {
			c.lost = append(c.lost, NotRead{File: c.inputs[i].Path, Reason: w})
		}
	}
	return nil
}

// plainError is an error's text in one line.
func plainError(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func (c *collector) stream(f *source.File, s io.Reader) error {
	br := bufio.NewReaderSize(s, 64<<10)
	if head, _ := br.Peek(4); bytes.Equal(head, []byte("!BDN")) {
		c.inputs = append(c.inputs, Input{Path: f.Path, Kind: "pst"})
		n := len(c.inputs) - 1
		err := c.pst(f, br)
		for _, in := range c.inputs[n+1:] { // its folders count as the file's
			c.inputs[n].Messages += in.Messages
			c.inputs[n].Reached += in.Reached
		}
		c.inputs = c.inputs[:n+1]
		return err
	}
	return c.file(f.Path, br)
}

// file reads a file that is no archive: a message, an mbox, or a list.
func (c *collector) file(path string, s io.Reader) error {
	br := bufio.NewReaderSize(s, 64<<10)
	head, err := br.Peek(16 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	in := Input{Path: path, Kind: "other"}
	in.Mailbox, _ = c.where(path, true)
	c.inputs = append(c.inputs, in)
	c.at = &c.inputs[len(c.inputs)-1]
	list, isCSV := isMetadata(head)
	switch {
	case fromLine(firstLine(head)):
		c.at.Kind = "mbox"
		return splitMbox(br, func(m *bufio.Reader) error { return c.message(path, true, m) })
	case list:
		c.at.Kind = "metadata"
		bad, first, why := 0, int64(0), ""
		err := readMetadata(br, isCSV, func(m *meta) error { return c.listed(path, m) }, func(line int64, reason string) {
			if bad++; bad == 1 {
				first, why = line, reason
			}
		})
		if bad > 0 && err == nil {
			c.at.Why = fmt.Sprintf("%d rows could not be read; the first is line %d: %s", bad, first, why)
		}
		return err
	case looksMail(head):
		c.at.Kind = "eml"
		return c.message(path, false, br)
	case len(head) == 0:
		return errors.New("it is empty")
	case bytes.HasPrefix(head, []byte{0xd0, 0xcf, 0x11, 0xe0}):
		return errors.New("an Outlook item (.msg) or an Office file: it is not read; export mail as EML, mbox or PST")
	}
	return errors.New("not mail as far as can be seen (EML, mbox, PST, or a list of messages)")
}

func firstLine(b []byte) []byte {
	l, _, _ := bytes.Cut(b, []byte("\n"))
	return l
}

// looksMail reports whether a file's begin is the header of a message.
func looksMail(head []byte) bool {
	h, _ := readHeader(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(head, []byte{0xef, 0xbb, 0xbf}))))
	n := 0
	for _, f := range h.fields {
		switch f.name {
		case "from", "to", "date", "subject", "received", "message-id", "mime-version", "return-path", "content-type", "delivered-to", "cc", "reply-to", "x-mailer":
			n++
		}
	}
	return n >= 2
}

// where says which mailbox and folder a path names: a part of it is the address
// of a mailbox, and what follows is the folder. The file's own name is a
// folder's for an mbox, and the message's else.
func (c *collector) where(path string, isFolder bool) (mailbox, folder string) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' || r == '!' })
	trim := func(s string) string {
		for _, e := range []string{".gz", ".zst", ".zip", ".tar", ".mbox", ".mbx", ".pst", ".eml"} {
			if n := len(s) - len(e); n > 0 && strings.EqualFold(s[n:], e) {
				s = s[:n]
			}
		}
		return s
	}
	for i := len(parts) - 1; i >= 0; i-- {
		box := address(trim(parts[i]))
		if !strings.Contains(box, "@") || !c.boxes[box] {
			continue
		}
		rest := parts[i+1:]
		if !isFolder && len(rest) > 0 {
			rest = rest[:len(rest)-1]
		}
		for k := range rest {
			rest[k] = trim(rest[k])
		}
		return box, strings.Join(rest, "/")
	}
	return "", ""
}

// message reads one message of an export.
func (c *collector) message(path string, isFolder bool, br *bufio.Reader) error {
	c.at.Messages++
	h, err := readHeader(br)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	id := messageID(words(h.get("message-id")))
	mailbox, folder := c.where(path, isFolder)
	received, sent := h.dates()
	date := received
	if date.IsZero() {
		date = sent
	}
	access := c.reach.find(id, mailbox, folder, date)
	if len(access) == 0 {
		c.unreached++
		if mailbox != "" && folder == "" && len(c.reach.folders[mailbox]) > 0 {
			c.nowhere[mailbox]++
		}
		return nil
	}
	c.at.Reached++
	g := c.gather(id)
	g.access = append(g.access, access...)
	from := h.addresses("from")
	if len(from) == 0 {
		from = h.addresses("sender", "return-path")
	}
	var sender Address
	if len(from) > 0 {
		sender = from[0]
	}
	if sent.IsZero() {
		sent = received
	}
	g.about(words(h.get("subject")), sender, h.addresses("to", "cc", "bcc", "resent-to", "resent-cc"), sent)
	g.from(path, "export")
	x, err := c.x.read(h, br)
	if err != nil {
		return err
	}
	c.add(g, path, x)
	return nil
}

// listed takes one message of a list.
func (c *collector) listed(path string, m *meta) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.at.Messages++
	date := m.received
	if date.IsZero() {
		date = m.sent
	}
	access := c.reach.find(m.id, m.mailbox, m.folder, date)
	if len(access) == 0 {
		c.unreached++
		if m.mailbox != "" && m.folder == "" && len(c.reach.folders[m.mailbox]) > 0 {
			c.nowhere[m.mailbox]++
		}
		return nil
	}
	c.at.Reached++
	g := c.gather(m.id)
	g.access = append(g.access, access...)
	sent := m.sent
	if sent.IsZero() {
		sent = m.received
	}
	g.about(m.subject, m.from, m.to, sent)
	g.from(path, "metadata")
	for _, a := range m.attachments {
		if len(g.listed) < maxParts {
			g.listed = append(g.listed, a)
		}
	}
	if m.body == "" {
		return nil
	}
	h := &header{fields: []field{{"content-type", "text/plain; charset=utf-8"}}}
	if m.bodyType == "html" {
		h.fields[0].value = "text/html; charset=utf-8"
	}
	x, err := c.x.read(h, bufio.NewReader(strings.NewReader(m.body)))
	if err != nil {
		return err
	}
	c.add(g, path, x)
	return nil
}

// about keeps what is known of a message; what came first stays.
func (g *gathered) about(subject string, from Address, to []Address, date casefile.Time) {
	m := &g.msg
	if m.Subject == "" {
		m.Subject = cut(subject, 1000)
	}
	if m.From.Address == "" {
		m.From = from
	} else if m.From.Name == "" && m.From.Address == from.Address {
		m.From.Name = from.Name
	}
	if m.Date.IsZero() {
		m.Date = date
	}
	for _, a := range to {
		if a.Address != "" && len(m.To) < maxAddresses {
			m.To = append(m.To, a)
		}
	}
}

func (g *gathered) from(file, source string) {
	if len(g.msg.Files) < 20 && file != "" && !slices.Contains(g.msg.Files, file) {
		g.msg.Files = append(g.msg.Files, file)
	}
	if !slices.Contains(g.msg.Sources, source) {
		g.msg.Sources = append(g.msg.Sources, source)
	}
}

// add takes what was found in a copy of a message. A copy with the same content
// as another adds nothing but itself.
func (c *collector) add(g *gathered, path string, x *content) {
	g.msg.Copies++
	g.read = true
	g.whole = g.whole || len(x.trouble) == 0
	sum := hex.EncodeToString(x.sum.Sum(nil))
	if g.sums[sum] {
		return
	}
	g.sums[sum] = true
	g.texts += x.texts
	g.places = append(g.places, x.places...)
	g.msg.Attachments = append(g.msg.Attachments, x.attachments...)
	for kind, values := range x.personal {
		if g.values[kind] == nil {
			g.values[kind] = map[string]bool{}
		}
		for v := range values {
			g.values[kind][v] = true
		}
	}
	for _, t := range x.trouble {
		t.File = path
		g.trouble = append(g.trouble, t)
	}
}
