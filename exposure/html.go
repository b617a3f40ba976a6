package exposure

import (
	"errors"
	"io"
	"strings"

	"golang.org/x/net/html"
)

// htmlText is the text of an HTML document, while it is read: blocks become
// lines, cells are divided by tabs, the address of a link follows its text.
// Text that is not shown counts, too; scripts and styles do not.
type htmlText struct {
	z    *html.Tokenizer
	buf  []byte
	at   int
	skip string // element whose text is left out
	href []string
	done error
	why  string // why not all of it could be read
}

// maxToken bounds a tag or a run of text, in bytes. Pictures in attributes are
// the longest that occur.
const maxToken = 32 << 20

func newHTMLText(r io.Reader) *htmlText {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxToken)
	return &htmlText{z: z}
}

func (h *htmlText) Read(p []byte) (int, error) {
	for h.at == len(h.buf) {
		if h.done != nil {
			return 0, h.done
		}
		h.buf, h.at = h.buf[:0], 0
		h.token()
	}
	n := copy(p, h.buf[h.at:])
	h.at += n
	return n, nil
}

func (h *htmlText) token() {
	switch h.z.Next() {
	case html.ErrorToken:
		h.done = h.z.Err()
		if errors.Is(h.done, html.ErrBufferExceeded) {
			h.why, h.done = "HTML with a tag or text that is too long: the rest was not searched", io.EOF
		}
	case html.TextToken:
		if h.skip == "" {
			h.buf = append(h.buf, strings.ReplaceAll(html.UnescapeString(string(h.z.Raw())), "\u00a0", " ")...)
		}
	case html.StartTagToken, html.SelfClosingTagToken:
		name, more := h.z.TagName()
		tag := string(name)
		h.space(tag)
		if tag == "script" || tag == "style" {
			h.skip = tag
		}
		for more && tag == "a" {
			var k, v []byte
			k, v, more = h.z.TagAttr()
			if string(k) == "href" && strings.HasPrefix(strings.ToLower(string(v)), "http") && len(h.href) < 100 {
				h.href = append(h.href, string(v))
			}
		}
	case html.EndTagToken:
		name, _ := h.z.TagName()
		tag := string(name)
		if tag == h.skip {
			h.skip = ""
		}
		if n := len(h.href); tag == "a" && n > 0 {
			h.buf = append(append(append(h.buf, " <"...), h.href[n-1]...), "> "...)
			h.href = h.href[:n-1]
		}
		h.space(tag)
	}
}

func (h *htmlText) space(tag string) {
	switch tag {
	case "br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "blockquote", "title", "hr", "section", "article", "dt", "dd":
		h.buf = append(h.buf, '\n')
	case "td", "th":
		h.buf = append(h.buf, '\t')
	}
}
