package exposure

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// reader searches messages. It is safe for concurrent use.
type reader struct {
	scan    *scanner
	kinds   []personalKind
	windows sync.Pool
}

// content is what was found in one copy of a message. Nothing of the text is in
// it but the secrets, which are gone when the copies have been put together.
type content struct {
	attachments []Attachment
	places      []place
	personal    map[string]map[string]bool // kind -> values
	trouble     []NotRead
	texts       int // parts whose text was searched
	sum         hash.Hash
	parts       int
	left        archive // what archives may still unpack
}

// place is a secret and where it stands.
type place struct {
	found
	part, name string
}

func (c *content) lost(part, name, reason string) {
	if len(c.trouble) < 1000 {
		c.trouble = append(c.trouble, NotRead{Part: part, Name: name, Reason: reason})
	}
}

// read searches the body of a message whose header was read.
func (x *reader) read(h *header, body *bufio.Reader) (*content, error) {
	c := &content{personal: map[string]map[string]bool{}, sum: sha256.New(), left: archive{bytes: maxUnpack, members: maxMembers}}
	err := x.entity(c, h, body, "", 0)
	return c, err
}

// entity reads a message or part. Its error is that of the input, nothing else:
// what is wrong with the mail is noted in c.
func (x *reader) entity(c *content, h *header, body *bufio.Reader, path string, depth int) error {
	if c.parts++; c.parts > maxParts || depth > maxDepth {
		if c.parts == maxParts+1 || depth > maxDepth {
			c.lost(path, "", fmt.Sprintf("more than %d parts, or nested more than %d deep: the rest was not searched", maxParts, maxDepth))
		}
		_, err := io.Copy(io.Discard, body)
		return err
	}
	if h.bad > 0 {
		c.lost(path, "", fmt.Sprintf("%d lines of the header are no fields and were skipped", h.bad))
	}
	if h.cut {
		c.lost(path, "", fmt.Sprintf("the header is longer than %d bytes or %d fields: the rest of it was skipped", maxHeader, maxFields))
	}
	kind, params := h.contentType()
	if strings.HasPrefix(kind, "multipart/") {
		if params["boundary"] != "" {
			return x.multipart(c, h, kind, params["boundary"], body, path, depth)
		}
		c.lost(path, "", "a multipart without a boundary: it was searched as text")
		kind, params = "text/plain", nil
	}
	decoded, why := decodeTransfer(h.get("content-transfer-encoding"), body)
	if path == "" {
		path = "1"
	}
	if why != "" {
		c.lost(path, h.fileName(), why)
	}
	if err := x.leaf(c, h, kind, params, decoded, path, depth); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

func (x *reader) multipart(c *content, h *header, kind, boundary string, body *bufio.Reader, path string, depth int) error {
	if kind == "multipart/encrypted" {
		c.lost(path, "", "encrypted with PGP: its content was not searched")
	}
	m := newMultipart(body, boundary)
	for n := 1; ; n++ {
		part, err := m.next()
		if errors.Is(err, io.EOF) {
			if m.cut {
				c.lost(path, "", "the message ends in the middle of a part")
			}
			_, err := io.Copy(io.Discard, body)
			return err
		}
		if err != nil {
			return err
		}
		at := strconv.Itoa(n)
		if path != "" {
			at = path + "." + at
		}
		ph, err := readHeader(part)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if kind == "multipart/digest" && ph.get("content-type") == "" {
			ph.fields = append(ph.fields, field{"content-type", "message/rfc822"})
		}
		if err := x.entity(c, ph, part, at, depth+1); err != nil {
			return err
		}
	}
}

// leaf searches a part that is not a multipart.
func (x *reader) leaf(c *content, h *header, kind string, params map[string]string, body io.Reader, path string, depth int) error {
	name := h.fileName()
	attached := name != "" || strings.HasPrefix(strings.ToLower(h.get("content-disposition")), "attachment")
	sum := sha256.New()
	n := &counted{r: io.TeeReader(body, io.MultiWriter(sum, c.sum))}
	br := bufio.NewReaderSize(n, 8<<10)
	texts := c.texts
	why, err := x.part(c, kind, params, name, br, path, depth)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, br); err != nil {
		return err
	}
	if why != "" && c.texts > texts {
		why = "in part: " + why
	}
	if attached || !textual(kind) {
		c.attachments = append(c.attachments, Attachment{Part: path, Name: name, Type: cut(kind, 100), Bytes: n.n, SHA256: hex.EncodeToString(sum.Sum(nil)), Scanned: c.texts > texts, Why: why})
	}
	return nil
}

func textual(kind string) bool { return kind == "text/plain" || kind == "text/html" }

// counted counts what is read through it.
type counted struct {
	r io.Reader
	n int64
}

func (x *counted) Read(p []byte) (int, error) {
	n, err := x.r.Read(p)
	x.n += int64(n)
	return n, err
}

// part searches what a part holds and says why, where it cannot.
func (x *reader) part(c *content, kind string, params map[string]string, name string, br *bufio.Reader, path string, depth int) (why string, err error) {
	head, err := br.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return "", err
	}
	ext := extension(name)
	refuse := func(reason string) (string, error) {
		c.lost(path, name, reason)
		return reason, nil
	}
	switch {
	case kind == "message/rfc822" || kind == "message/global" || ext == "eml":
		nh, err := readHeader(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return "", x.entity(c, nh, br, path+"/1", depth+1)
	case kind == "application/pkcs7-mime" || kind == "application/x-pkcs7-mime" || ext == "p7m":
		if params["smime-type"] == "signed-data" {
			return refuse("signed with S/MIME as a whole: its content was not taken out and not searched")
		}
		return refuse("encrypted with S/MIME: its content was not searched")
	case strings.HasSuffix(kind, "pkcs7-signature") || kind == "application/pgp-signature" || kind == "application/pgp-keys" || kind == "application/pgp-encrypted":
		return "a signature or a key that is public", nil
	case bytes.Contains(head, []byte("-----BEGIN PGP MESSAGE-----")):
		return refuse("encrypted with PGP: its content was not searched")
	case ext == "pgp" || ext == "gpg":
		return refuse("encrypted with PGP: its content was not searched")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return x.zipPart(c, name, br, path, depth)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return x.gzipPart(c, name, br, path)
	case bytes.HasPrefix(head, []byte{0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1}):
		return x.compound(c, name, br, path)
	case bytes.HasPrefix(head, []byte("%PDF")):
		return refuse("PDF: its text was not taken out")
	case bytes.HasPrefix(head, []byte{0x78, 0x9f, 0x3e, 0x22}):
		return refuse("TNEF (winmail.dat): its content was not taken out")
	case bytes.HasPrefix(head, []byte("7z\xbc\xaf\x27\x1c")), bytes.HasPrefix(head, []byte("Rar!\x1a")), bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return refuse("an archive of a kind that is not opened (7z, rar, xz, bzip2, zstd)")
	case strings.HasPrefix(kind, "image/") && kind != "image/svg+xml", strings.HasPrefix(kind, "audio/"), strings.HasPrefix(kind, "video/"), strings.HasPrefix(kind, "font/"):
		if !bytes.HasPrefix(head, []byte("<")) && !looksText(head) {
			return "no text in " + kind, nil
		}
	case !strings.HasPrefix(kind, "text/") && !looksText(head):
		if len(head) == 0 {
			return "", nil
		}
		if t, _, _ := strings.Cut(http.DetectContentType(head), "/"); t == "image" || t == "audio" || t == "video" || t == "font" {
			return "no text in " + t, nil
		}
		return refuse("not text, and of no kind whose text is taken out")
	}
	text, why := decodeCharset(params["charset"], br)
	if why != "" {
		c.lost(path, name, why)
	}
	if kind == "text/html" || kind == "application/xhtml+xml" || ext == "html" || ext == "htm" {
		h := newHTMLText(text)
		err = x.text(c, h, path, name)
		if h.why != "" {
			why = h.why
			c.lost(path, name, why)
		}
		return why, err
	}
	return why, x.text(c, text, path, name)
}

// text searches a text.
func (x *reader) text(c *content, r io.Reader, part, name string) error {
	c.texts++
	return x.scanText(r, func(f found) {
		if len(c.places) < maxPlaces {
			c.places = append(c.places, place{f, part, name})
		} else if len(c.places) == maxPlaces {
			c.lost(part, name, fmt.Sprintf("more than %d secrets in one message: the rest are not listed", maxPlaces))
			c.places = append(c.places, place{f, part, name})
		}
	}, func(kind, value string) {
		if c.personal[kind] == nil {
			c.personal[kind] = map[string]bool{}
		}
		if len(c.personal[kind]) < maxValues {
			c.personal[kind][value] = true
		}
	})
}

// Bounds of what one message can make the result hold.
const (
	maxPlaces = 5000
	maxValues = 100_000
)

// extension is the end of a name, lower case.
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || len(name)-i > 10 {
		return ""
	}
	return strings.ToLower(name[i+1:])
}

// looksText reports whether bytes are text in some character set.
func looksText(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if bytes.HasPrefix(b, []byte{0xff, 0xfe}) || bytes.HasPrefix(b, []byte{0xfe, 0xff}) {
		return true
	}
	odd := 0
	for _, c := range b {
		if c == 0 {
			return false
		}
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b {
			odd++
		}
	}
	return odd*50 < len(b)+50
}

func utf16le(s string) []byte {
	var b []byte
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return b
}
