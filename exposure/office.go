package exposure

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Limits of an archive in a message. What goes beyond is listed.
const (
	maxArchive = 64 << 20  // bytes as attached; a zip's directory stands at its end, so that it is kept in memory
	maxUnpack  = 512 << 20 // bytes unpacked, of all archives in one message
	maxMembers = 10_000
	maxNested  = 4
	maxRatio   = 250 // unpacked to packed, beyond the first 32 MiB
)

// archive is what is left of a message's limits.
type archive struct {
	bytes   int64
	members int
}

func (x *reader) zipPart(c *content, name string, r io.Reader, part string, depth int) (string, error) {
	b, why, err := whole(r)
	if err != nil || why != "" {
		if why != "" {
			c.lost(part, name, why)
		}
		return why, err
	}
	return x.zip(c, name, b, part, depth, 0), nil
}

// whole reads an archive into memory, if it is not too large.
func whole(r io.Reader) ([]byte, string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxArchive+1))
	if err != nil {
		return nil, "", err
	}
	if len(b) > maxArchive {
		return nil, fmt.Sprintf("an archive of more than %d MiB: it was not opened", maxArchive>>20), nil
	}
	return b, "", nil
}

// zip searches an archive's members and says why, where not all could be.
func (x *reader) zip(c *content, name string, b []byte, part string, depth, nested int) (why string) {
	left := &c.left
	lost := func(at, reason string) {
		c.lost(at, name, reason)
		why = reason
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		lost(part, "a zip archive that is damaged: it was not opened")
		return why
	}
	members := slices.Clone(z.File)
	slices.SortStableFunc(members, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	if o := officeOf(members); o != "" {
		if err := x.office(c, o, members, name, part); err != nil {
			lost(part, "an Office file whose text could not be taken out to its end: "+err.Error())
		}
		return why
	}
	for _, m := range members {
		if m.FileInfo().IsDir() {
			continue
		}
		at := part + "!" + cut(strings.ToValidUTF8(m.Name, "\uFFFD"), 255)
		if left.members--; left.members < 0 {
			lost(part, fmt.Sprintf("an archive with more than %d members: the rest was not searched", maxMembers))
			return why
		}
		if m.Flags&1 != 0 {
			lost(at, "a member of an archive that is encrypted with a password")
			continue
		}
		in, err := m.Open()
		if err != nil {
			lost(at, "a member of an archive that cannot be unpacked")
			continue
		}
		g := &unpacked{r: in, packed: int64(m.CompressedSize64), left: left}
		br := bufio.NewReaderSize(g, 8<<10)
		head, _ := br.Peek(4096)
		switch {
		case bytes.HasPrefix(head, []byte("PK\x03\x04")) && nested+1 >= maxNested:
			lost(at, fmt.Sprintf("archives are nested more than %d deep", maxNested))
		case bytes.HasPrefix(head, []byte("PK\x03\x04")):
			inner, reason, err := whole(br)
			if err == nil && reason == "" {
				if w := x.zip(c, name, inner, at, depth, nested+1); w != "" {
					why = w
				}
			} else if reason != "" {
				lost(at, reason)
			}
		default:
			// Its own type is not known; its name and its bytes are.
			w, _ := x.part(c, memberType(m.Name), nil, path.Base(m.Name), br, at, depth+1)
			if w != "" && !strings.HasPrefix(w, "no text in") {
				why = w
			}
		}
		_ = in.Close()
		if g.err != nil {
			lost(at, g.err.Error())
			if left.bytes <= 0 {
				return why
			}
		}
	}
	return why
}

func memberType(name string) string {
	switch extension(name) {
	case "png", "jpg", "jpeg", "gif", "bmp", "ico", "webp", "tif", "tiff":
		return "image/" + extension(name)
	case "html", "htm":
		return "text/html"
	case "eml":
		return "message/rfc822"
	}
	return "application/octet-stream"
}

// unpacked bounds what a member of an archive unpacks to.
type unpacked struct {
	r      io.Reader
	packed int64
	n      int64
	left   *archive
	err    error
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, io.EOF
	}
	n, err := u.r.Read(p)
	u.n += int64(n)
	u.left.bytes -= int64(n)
	switch {
	case u.left.bytes <= 0:
		u.err = fmt.Errorf("an archive that unpacks to more than %d MiB: the rest was not searched", maxUnpack>>20)
	case u.n > 32<<20 && u.n/max(u.packed, 1) > maxRatio:
		u.err = errors.New("a decompression bomb: it unpacks far beyond what files do; the rest was not searched")
	case err != nil && !errors.Is(err, io.EOF):
		u.err = errors.New("a member of an archive that is damaged: it was searched as far as it could be unpacked")
	}
	if u.err != nil {
		return n, io.EOF
	}
	return n, err
}

func (x *reader) gzipPart(c *content, name string, r io.Reader, part string) (string, error) {
	in := &counted{r: r}
	z, err := gzip.NewReader(in)
	if err != nil {
		c.lost(part, name, "a gzip archive that is damaged: it was not opened")
		return "damaged", nil
	}
	defer z.Close()
	g := &unpacked{r: z, packed: 4 << 20, left: &c.left}
	br := bufio.NewReaderSize(g, 8<<10)
	if head, _ := br.Peek(4096); !looksText(head) {
		c.lost(part, name, "a gzip archive of something that is not text: it was not searched")
		return "not text", nil
	}
	text, _ := decodeCharset("", br)
	err = x.text(c, text, part+"!", name)
	if g.err != nil {
		c.lost(part, name, g.err.Error())
		return g.err.Error(), err
	}
	return "", err
}

// officeOf says what kind of Office file an archive is: word, xl, ppt, or none.
func officeOf(members []*zip.File) string {
	kind, types := "", false
	for _, m := range members {
		types = types || m.Name == "[Content_Types].xml"
		for _, k := range []string{"word", "xl", "ppt"} {
			if strings.HasPrefix(m.Name, k+"/") {
				kind = k
			}
		}
	}
	if !types {
		return ""
	}
	return kind
}

// office searches the text of an Office file: paragraphs are lines, cells of a
// row are divided by tabs.
func (x *reader) office(c *content, kind string, members []*zip.File, name, part string) error {
	left := &c.left
	var shared []string
	open := func(m *zip.File, fn func(*xml.Decoder) error) error {
		in, err := m.Open()
		if err != nil {
			return errors.New("a member cannot be unpacked")
		}
		defer in.Close()
		g := &unpacked{r: in, packed: int64(m.CompressedSize64), left: left}
		d := xml.NewDecoder(g)
		d.Strict = false
		d.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
			out, _ := decodeCharset(label, r)
			return out, nil
		}
		err = fn(d)
		if g.err != nil {
			return g.err
		}
		if err != nil && !errors.Is(err, io.EOF) {
			var syntax *xml.SyntaxError
			if errors.As(err, &syntax) { // its words are the file's
				return fmt.Errorf("%s is no XML in line %d", path.Base(m.Name), syntax.Line)
			}
			return err
		}
		return nil
	}
	if kind == "xl" {
		for _, m := range members {
			if m.Name == "xl/sharedStrings.xml" {
				var b strings.Builder
				total := 0
				if err := open(m, func(d *xml.Decoder) error {
					return walkXML(d, func(s string) { b.WriteString(s) }, func(tag string) error {
						if tag == "si" {
							if total += b.Len(); total > maxArchive {
								return errors.New("its table of texts is too large")
							}
							shared = append(shared, b.String())
							b.Reset()
						}
						return nil
					})
				}); err != nil {
					return err
				}
			}
		}
	}
	for _, m := range members {
		if !strings.HasPrefix(m.Name, kind+"/") || !strings.HasSuffix(m.Name, ".xml") || strings.Contains(m.Name, "theme") || strings.HasSuffix(m.Name, "styles.xml") || m.Name == "xl/sharedStrings.xml" {
			continue
		}
		pr, pw := io.Pipe()
		done := make(chan error, 1)
		go func() {
			out := bufio.NewWriterSize(pw, 32<<10)
			err := open(m, func(d *xml.Decoder) error {
				if kind == "xl" && strings.HasPrefix(m.Name, "xl/worksheets/") {
					return sheet(d, shared, out)
				}
				return walkXML(d, func(s string) { _, _ = out.WriteString(s) }, func(tag string) error {
					switch tag {
					case "p", "br", "cr", "text":
						return out.WriteByte('\n')
					case "tab", "tc":
						return out.WriteByte('\t')
					}
					return nil
				})
			})
			_ = out.Flush()
			_ = pw.Close()
			done <- err
		}()
		err := x.text(c, pr, part+"!"+m.Name, name)
		_ = pr.Close()
		if e := <-done; err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walkXML calls text for the text of a document and end for its end tags.
func walkXML(d *xml.Decoder, text func(string), end func(tag string) error) error {
	for {
		t, err := d.RawToken()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.CharData:
			text(string(t))
		case xml.EndElement:
			if err := end(t.Name.Local); err != nil {
				return err
			}
		}
	}
}

// sheet writes a worksheet as lines of cells.
func sheet(d *xml.Decoder, shared []string, out *bufio.Writer) error {
	var cell strings.Builder
	indexed, value, total := false, false, 0
	for {
		t, err := d.RawToken()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "c":
				cell.Reset()
				indexed = slices.ContainsFunc(t.Attr, func(a xml.Attr) bool { return a.Name.Local == "t" && a.Value == "s" })
			case "v", "t":
				value = true
			}
		case xml.CharData:
			if value {
				cell.Write(t)
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "v", "t":
				value = false
			case "c":
				s := cell.String()
				if indexed {
					s = ""
					if i, err := strconv.Atoi(strings.TrimSpace(cell.String())); err == nil && i >= 0 && i < len(shared) {
						s = shared[i]
					}
				}
				if total += len(s); total > maxUnpack { // one long text in a million cells
					return errors.New("its cells hold too much text")
				}
				_, _ = out.WriteString(s)
				_ = out.WriteByte('\t')
			case "row":
				if err := out.WriteByte('\n'); err != nil {
					return err
				}
			}
		}
	}
}
