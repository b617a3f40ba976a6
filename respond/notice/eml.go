package notice

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"time"
)

// mail is a draft as a message (RFC 5322, MIME): text, and a table beside it.
// Outlook and others open it for writing, because of X-Unsent. No header takes a
// value from outside but through [encoded] or as a [Usable] address. Bodies are
// quoted-printable: no line is longer than 76 bytes, and none can be a boundary.
func mail(from Address, to []Address, subject string, text []byte, tableName string, table []byte, made time.Time) ([]byte, error) {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("X-Unsent", "1")
	header("Date", made.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	sender, err := mailbox(from)
	if err != nil {
		return nil, err
	}
	header("From", sender)
	if len(to) > 0 {
		var list []string
		for _, a := range to {
			m, err := mailbox(a)
			if err != nil {
				return nil, err
			}
			list = append(list, m)
		}
		header("To", strings.Join(list, ",\r\n "))
	}
	header("Subject", encoded(subject))
	header("MIME-Version", "1.0")
	sum := sha256.Sum256(append(append([]byte(subject), text...), table...))
	boundary := "=_" + hex.EncodeToString(sum[:16]) // "=_" is in no quoted-printable text
	header("Content-Type", "multipart/mixed;\r\n boundary=\""+boundary+"\"")
	b.WriteString("\r\n")
	part := func(head string, body []byte) error {
		fmt.Fprintf(&b, "--%s\r\n%sContent-Transfer-Encoding: quoted-printable\r\n\r\n", boundary, head)
		w := quotedprintable.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		b.WriteString("\r\n")
		return nil
	}
	if err := part("Content-Type: text/plain; charset=utf-8\r\n", bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))); err != nil {
		return nil, err
	}
	if err := part("Content-Type: text/csv; charset=utf-8; header=present\r\nContent-Disposition: attachment;\r\n filename=\""+tableName+"\"\r\n", table); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes(), nil
}

// mailbox is an address for a header, with its name.
func mailbox(a Address) (string, error) {
	if !Usable(a.Address) {
		return "", fmt.Errorf("%q is no address for a header of mail", a.Address)
	}
	if strings.TrimSpace(a.Name) == "" {
		return "<" + a.Address + ">", nil
	}
	return encoded(unlink(short(a.Name))) + "\r\n <" + a.Address + ">", nil
}

// encoded is text for a header: encoded words (RFC 2047) always, so that nothing
// in it is syntax, folded so that no line is longer than 76 bytes.
func encoded(s string) string {
	s = strings.TrimSpace(oneLine(s))
	if s == "" {
		return "=?utf-8?q?_?="
	}
	var words []string
	// Runes are kept whole: 30 bytes of text are 40 of base64.
	for len(s) > 0 {
		n := 0
		for i, r := range s {
			if i+len(string(r)) > 30 {
				break
			}
			n = i + len(string(r))
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, "\r\n ")
}
