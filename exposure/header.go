package exposure

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"midwatch/casefile"
)

// Limits of one message. What goes beyond is given up and listed.
const (
	maxHeader    = 1 << 20 // bytes of a part's header
	maxFields    = 2000    // fields of a header
	maxParts     = 10_000  // parts of a message, nested ones included
	maxDepth     = 20      // how deep parts are nested
	maxAddresses = 20_000  // addresses of a message
)

// header is the header of a message or part. Hostile mail breaks every rule, so
// that it is read leniently: what is no field is skipped and counted.
type header struct {
	fields []field
	bad    int  // lines that are no fields
	cut    bool // it is longer than maxHeader
}

type field struct{ name, value string }

func (h *header) get(name string) string {
	for _, f := range h.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// readHeader reads up to and with the empty line. io.EOF says that the input
// ended before it.
func readHeader(r *bufio.Reader) (*header, error) {
	h := &header{}
	size := 0
	for first := true; ; first = false {
		line, err := readLine(r, maxHeader)
		if len(line) == 0 && err != nil {
			return h, err
		}
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			return h, nil
		}
		size += len(line)
		switch i := bytes.IndexByte(text, ':'); {
		case size > maxHeader || len(h.fields) > maxFields:
			h.cut = true
		case (text[0] == ' ' || text[0] == '\t') && len(h.fields) > 0:
			f := &h.fields[len(h.fields)-1]
			f.value += " " + string(bytes.TrimSpace(text))
		case first && bytes.HasPrefix(text, []byte("From ")), first && bytes.HasPrefix(text, []byte(">From ")):
		case i > 0 && !bytes.ContainsAny(bytes.TrimRight(text[:i], " \t"), " \t"):
			h.fields = append(h.fields, field{strings.ToLower(string(bytes.TrimSpace(text[:i]))), string(bytes.TrimSpace(text[i+1:]))})
		default:
			h.bad++
		}
		if err != nil {
			return h, err
		}
	}
}

// readLine reads a line with its end. Of one that is longer than limit the rest
// is skipped. The slice is the caller's.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		b, err := r.ReadSlice('\n')
		if room := limit - len(line); room > 0 {
			line = append(line, b[:min(len(b), room)]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// words decodes encoded words; what cannot be decoded stays as it is.
func words(s string) string {
	if !strings.Contains(s, "=?") {
		return valid(s)
	}
	d := mime.WordDecoder{CharsetReader: func(label string, in io.Reader) (io.Reader, error) {
		r, why := decodeCharset(label, in)
		if why != "" {
			return nil, errors.New(why)
		}
		return r, nil
	}}
	out, err := d.DecodeHeader(s)
	if err != nil {
		return valid(s)
	}
	return valid(out)
}

// valid makes UTF-8 of header bytes: those that are not are taken for
// Windows-1252, which old mailers send.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	b, err := io.ReadAll(newGuess(strings.NewReader(s)))
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return string(b)
}

// contentType reads a Content-Type as well as it can be.
func (h *header) contentType() (string, map[string]string) {
	return mediaType(h.get("content-type"), "text/plain")
}

func mediaType(s, otherwise string) (string, map[string]string) {
	if s == "" {
		return otherwise, nil
	}
	t, params, err := mime.ParseMediaType(s)
	if err == nil && strings.Contains(t, "/") {
		return t, params
	}
	// "text/html; charset=utf-8; charset=utf-8", missing quotes, stray signs.
	parts := strings.Split(s, ";")
	t = strings.ToLower(strings.TrimSpace(parts[0]))
	if !strings.Contains(t, "/") {
		t = otherwise
	}
	params = map[string]string{}
	for _, p := range parts[1:] {
		k, v, ok := strings.Cut(p, "=")
		k = strings.ToLower(strings.TrimSpace(k))
		if _, twice := params[k]; ok && !twice {
			params[k] = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return t, params
}

// fileName is the name that a part gives its file. It is a text to show and
// never a path.
func (h *header) fileName() string {
	_, d := mediaType(h.get("content-disposition"), "attachment/x")
	_, t := h.contentType()
	for _, s := range []string{d["filename"], t["name"]} {
		if s != "" {
			return cut(words(s), 255)
		}
	}
	return ""
}

var loose = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[^\s<>,;:"'()\[\]\\]{1,128}@[^\s<>,;:"'()\[\]\\]{1,255}`)
})

// addresses lists the addresses of all fields of a name.
func (h *header) addresses(names ...string) []Address {
	var out []Address
	p := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: func(label string, in io.Reader) (io.Reader, error) {
		r, why := decodeCharset(label, in)
		if why != "" {
			return nil, errors.New(why)
		}
		return r, nil
	}}}
	for _, f := range h.fields {
		if len(out) > maxAddresses {
			break
		}
		for _, n := range names {
			if f.name != n {
				continue
			}
			list, err := p.ParseList(f.value)
			for _, a := range list {
				out = append(out, Address{address(valid(a.Address)), cut(strings.TrimSpace(valid(a.Name)), 200)})
			}
			if err == nil {
				continue
			}
			for _, a := range loose().FindAllString(words(f.value), -1) {
				out = append(out, Address{Address: address(a)})
			}
		}
	}
	return out
}

// date is when the message reached its mailbox, as the last server that took
// it says, or when its sender says that it was sent.
func (h *header) dates() (received, sent casefile.Time) {
	if r := h.get("received"); r != "" {
		if i := strings.LastIndexByte(r, ';'); i >= 0 {
			received = parseDate(r[i+1:])
		}
	}
	return received, parseDate(h.get("date"))
}

func parseDate(s string) casefile.Time {
	t, err := mail.ParseDate(strings.TrimSpace(s))
	if err != nil {
		for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.9999999", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
			if t, err = time.Parse(form, strings.TrimSpace(s)); err == nil {
				break
			}
		}
	}
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return casefile.Time{}
	}
	return casefile.TimeOf(t)
}
