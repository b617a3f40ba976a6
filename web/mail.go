package web

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"midwatch/casework"
	"midwatch/report"
)

// What midwatch exposure knows of messages, for lists of them: most records of
// reading name a message by its id and nothing else.

// known is what the mail itself says of a message.
type known struct {
	subject, from string
	secrets       int
}

// mostExposure bounds the exposure that is read, in bytes: a larger one would
// cost more memory than a subject is worth.
const mostExposure = 64 << 20

// mailOf reads what is known of the messages of the case at dir, by message id.
// An exposure of another state of the case says nothing.
func mailOf(dir, id string) (map[string]known, error) {
	info, err := os.Stat(filepath.Join(dir, casework.ExposureFile))
	if err != nil || info.Size() > mostExposure {
		return nil, nil //nolint:nilerr // there is none, or it is not read
	}
	x, err := casework.ReadExposure(dir)
	if err != nil || x == nil || x.Case != id {
		return nil, err
	}
	out := map[string]known{}
	for _, m := range x.Messages {
		if m.InternetMessageID != "" && (m.Subject != "" || m.From.Address != "") {
			out[strings.ToLower(m.InternetMessageID)] = known{report.Clean(m.Subject), report.Clean(m.From.Address), len(m.Secrets)}
		}
	}
	return out, nil
}

// messageCell shows a message by its subject, from a record or else from the mail,
// and by its ids.
func (v *visit) messageCell(r values) cell {
	id := r.text("message_id")
	c := cell{Text: r.text("subject"), Small: id, Href: v.link().Record(r.text("event"))}
	if c.Small == "" {
		c.Small = r.text("item_id")
	}
	if r.text("event") == "" {
		c.Href = ""
	}
	k, there := v.sh.mail[strings.ToLower(id)]
	if c.Text == "" {
		c.Text = k.subject
	}
	if there && k.from != "" {
		c.Small = "from " + k.from + ", " + c.Small
	}
	if k.secrets > 0 {
		c.Small = strconv.Itoa(k.secrets) + " secret" + map[bool]string{true: "s"}[k.secrets > 1] + " in it; " + c.Small
	}
	if c.Text == "" { // its id has to do
		c.Text, c.Small = c.Small, ""
	}
	return c
}
