package exposure

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"midwatch/casefile"
)

// meta is what a list of messages says about one. The simple form, a JSON
// object a line or a row of a CSV with these columns:
//
//	message_id, subject, from, to, date, folder, mailbox, attachments
//
// to and attachments are lists, in CSV divided by semicolons; an attachment is
// a name, or in JSON an object {name, type, size, sha256}. Messages as Microsoft
// Graph gives them, an object a line, are read too, with their bodies.
type meta struct {
	id, subject, folder, mailbox string
	from                         Address
	to                           []Address
	received, sent               casefile.Time
	attachments                  []Attachment
	body, bodyType               string
}

// maxRecord is the longest line of a list, in bytes.
const maxRecord = 32 << 20

// isMetadata reports whether a file's begin is that of a list of messages, and
// whether it is CSV.
func isMetadata(head []byte) (is, isCSV bool) {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte{0xef, 0xbb, 0xbf}))
	line, _, _ := bytes.Cut(head, []byte("\n"))
	low := bytes.ToLower(line)
	if bytes.HasPrefix(head, []byte("{")) {
		return bytes.Contains(low, []byte(`"message_id"`)) || bytes.Contains(low, []byte(`"internetmessageid"`)), false
	}
	for _, c := range strings.FieldsFunc(string(low), func(r rune) bool { return r == ',' || r == ';' || r == '\t' }) {
		if column(c) == "message_id" {
			return true, true
		}
	}
	return false, false
}

func column(s string) string {
	s = strings.ToLower(strings.Trim(strings.TrimSpace(s), `"`))
	switch strings.NewReplacer("_", "", " ", "", "-", "").Replace(s) {
	case "messageid", "internetmessageid":
		return "message_id"
	case "recipients", "torecipients":
		return "to"
	case "sender":
		return "from"
	case "receiveddatetime", "received", "sentdatetime":
		return "date"
	}
	return s
}

// readMetadata calls fn for each message of a list. A row that cannot be read
// is reported to bad, with its line, and does not end the reading.
func readMetadata(r io.Reader, isCSV bool, fn func(*meta) error, bad func(line int64, reason string)) error {
	br := bufio.NewReaderSize(r, 64<<10)
	if b, _ := br.Peek(3); bytes.Equal(b, []byte{0xef, 0xbb, 0xbf}) {
		_, _ = br.Discard(3)
	}
	if isCSV {
		return readRows(br, fn, bad)
	}
	for n := int64(1); ; n++ {
		line, err := readLine(br, maxRecord+1)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		switch text := bytes.TrimSpace(line); {
		case len(text) == 0:
		case len(text) > maxRecord:
			bad(n, fmt.Sprintf("longer than %d MiB", maxRecord>>20))
		default:
			m, why := parseMeta(text)
			if why != "" {
				bad(n, why)
			} else if err := fn(m); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// text is a string in JSON, or what stands for one.
type text string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

type graphAddress struct {
	EmailAddress struct{ Address, Name text }
	Address      text
	Name         text
}

func (g *graphAddress) get() Address {
	a := Address{address(string(g.EmailAddress.Address)), cut(string(g.EmailAddress.Name), 200)}
	if a.Address == "" {
		a = Address{address(string(g.Address)), cut(string(g.Name), 200)}
	}
	return a
}

// addressesIn reads addresses in any of the forms: a string with several, a
// list of strings, an object, a list of objects.
func addressesIn(raw json.RawMessage) (out []Address) {
	var s string
	var list []json.RawMessage
	var g graphAddress
	switch {
	case len(raw) == 0:
	case json.Unmarshal(raw, &s) == nil:
		h := header{fields: []field{{"to", strings.ReplaceAll(s, ";", ",")}}}
		out = h.addresses("to")
	case json.Unmarshal(raw, &list) == nil:
		for _, x := range list[:min(len(list), maxAddresses)] {
			if len(bytes.TrimSpace(x)) > 0 && bytes.TrimSpace(x)[0] != '[' {
				out = append(out, addressesIn(x)...)
			}
		}
	case json.Unmarshal(raw, &g) == nil:
		if a := g.get(); a.Address != "" {
			out = append(out, a)
		}
	}
	return out
}

func parseMeta(b []byte) (*meta, string) {
	var r struct {
		MessageID         text `json:"message_id"`
		InternetMessageID text `json:"internetMessageId"`
		Subject           text
		Folder, Mailbox   text
		Date              text
		Received          text `json:"receivedDateTime"`
		Sent              text `json:"sentDateTime"`
		From, To          json.RawMessage
		ToR               json.RawMessage `json:"toRecipients"`
		CcR               json.RawMessage `json:"ccRecipients"`
		BccR              json.RawMessage `json:"bccRecipients"`
		Attachments       json.RawMessage
		Body              json.RawMessage
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, "not a JSON object"
	}
	m := &meta{id: messageID(string(r.MessageID)), subject: string(r.Subject), folder: string(r.Folder), mailbox: address(string(r.Mailbox)), received: parseDate(string(r.Received)), sent: parseDate(string(r.Date))}
	if m.id == "" {
		m.id = messageID(string(r.InternetMessageID))
	}
	if m.sent.IsZero() {
		m.sent = parseDate(string(r.Sent))
	}
	if from := addressesIn(r.From); len(from) > 0 {
		m.from = from[0]
	}
	for _, x := range []json.RawMessage{r.To, r.ToR, r.CcR, r.BccR} {
		m.to = append(m.to, addressesIn(x)...)
	}
	var list []json.RawMessage
	if json.Unmarshal(r.Attachments, &list) != nil && len(r.Attachments) > 0 {
		list = []json.RawMessage{r.Attachments}
	}
	for _, x := range list[:min(len(list), maxParts)] {
		var s string
		var a struct {
			Name, Type, SHA256 text
			ContentType        text `json:"contentType"`
			Size               json.Number
		}
		if json.Unmarshal(x, &s) == nil {
			m.attach(s)
		} else if json.Unmarshal(x, &a) == nil {
			n, _ := a.Size.Int64()
			if a.Type == "" {
				a.Type = a.ContentType
			}
			m.attachments = append(m.attachments, Attachment{Name: cut(string(a.Name), 255), Type: cut(string(a.Type), 100), Bytes: max(n, 0), SHA256: sha256Hex(string(a.SHA256)), Why: onlyListed})
		}
	}
	var body struct{ ContentType, Content text }
	if json.Unmarshal(r.Body, &body) == nil {
		m.body, m.bodyType = string(body.Content), strings.ToLower(string(body.ContentType))
	}
	if m.id == "" && m.mailbox == "" {
		return nil, "it has neither message_id nor mailbox"
	}
	return m, ""
}

const onlyListed = "its content is not in the input"

// sha256Hex keeps a digest and nothing else.
func sha256Hex(s string) string {
	if s = strings.ToLower(strings.TrimSpace(s)); len(s) == 64 && hashLike(s) {
		return s
	}
	return ""
}

func (m *meta) attach(names string) {
	for n := range strings.SplitSeq(names, ";") {
		if n = strings.TrimSpace(n); n != "" && len(m.attachments) < maxParts {
			m.attachments = append(m.attachments, Attachment{Name: cut(n, 255), Why: onlyListed})
		}
	}
}

func readRows(br *bufio.Reader, fn func(*meta) error, bad func(int64, string)) error {
	head, _ := br.Peek(64 << 10)
	line, _, _ := bytes.Cut(head, []byte("\n"))
	limit := &rowLimit{r: br}
	c := csv.NewReader(limit)
	c.FieldsPerRecord, c.LazyQuotes, c.ReuseRecord = -1, true, true
	for _, comma := range []byte{';', '\t'} {
		if bytes.Count(line, []byte{comma}) > bytes.Count(line, []byte{c0(c.Comma)}) {
			c.Comma = rune(comma)
		}
	}
	names, err := c.Read()
	if err != nil {
		return fmt.Errorf("its header cannot be read: %w", err)
	}
	at := map[string]int{}
	for i, n := range names {
		if n = column(n); n != "" {
			if _, twice := at[n]; !twice {
				at[n] = i
			}
		}
	}
	for {
		limit.n = 0
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		n, _ := c.FieldPos(0)
		if err != nil {
			var syntax *csv.ParseError
			if errors.As(err, &syntax) {
				bad(int64(syntax.Line), "not a row of a CSV")
				continue
			}
			return err
		}
		cell := func(name string) string {
			if i, ok := at[name]; ok && i < len(row) {
				return strings.Clone(row[i])
			}
			return ""
		}
		m := &meta{id: messageID(cell("message_id")), subject: cell("subject"), folder: cell("folder"), mailbox: address(cell("mailbox")), sent: parseDate(cell("date"))}
		h := header{fields: []field{{"from", cell("from")}, {"to", strings.ReplaceAll(cell("to"), ";", ",")}}}
		if from := h.addresses("from"); len(from) > 0 {
			m.from = from[0]
		}
		m.to = h.addresses("to")
		m.attach(cell("attachments"))
		if m.id == "" && m.mailbox == "" {
			bad(int64(n), "it has neither message_id nor mailbox")
			continue
		}
		if err := fn(m); err != nil {
			return err
		}
	}
}

func c0(r rune) byte { return byte(r) }

// rowLimit ends a stream when one row takes too much of it: a quote that is
// never closed would make a row of everything behind it.
type rowLimit struct {
	r io.Reader
	n int // since the last row
}

func (l *rowLimit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.n += n; l.n > maxRecord {
		return 0, errors.New("a row is too long; the rest is not read")
	}
	return n, err
}
