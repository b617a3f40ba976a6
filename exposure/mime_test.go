package exposure

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/text/encoding/htmlindex"
)

// readMail walks a message and returns what was found in it.
func readMail(t testing.TB, x *reader, mail io.Reader) *content {
	t.Helper()
	br := bufio.NewReader(mail)
	h, err := readHeader(br)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	c, err := x.read(h, br)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// said is what was found, in a line each: part, line, secret; then trouble.
func said(c *content) string {
	var b strings.Builder
	for _, p := range c.places {
		fmt.Fprintf(&b, "%s:%d %s\n", p.part, p.line, p.secret)
	}
	for _, l := range c.trouble {
		fmt.Fprintf(&b, "! %s %s: %s\n", l.Part, l.Name, l.Reason)
	}
	return b.String()
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func zipOf(t testing.TB, flags uint16, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; i+1 < len(files); i += 2 {
		h := &zip.FileHeader{Name: files[i], Method: zip.Store, Flags: flags, UncompressedSize64: uint64(len(files[i+1])), CompressedSize64: uint64(len(files[i+1]))}
		w, err := z.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, files[i+1])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func zipped(t testing.TB, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; i+1 < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, files[i+1])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func attached(kind, name, data string) string {
	return crlf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsee below\n--b\nContent-Type: " + kind + "\nContent-Disposition: attachment; filename=\"" + name + "\"\nContent-Transfer-Encoding: base64\n\n" + b64(data) + "\n--b--\n")
}

func TestMessages(t *testing.T) {
	x := &reader{scan: testScanner(t), kinds: personalKinds()}
	const pw = "Password: Lantern4821"
	sheet := zipped(t, "[Content_Types].xml", "<Types/>", "xl/sharedStrings.xml", "<sst><si><t>Password</t></si><si><t>Lantern4821</t></si></sst>",
		"xl/worksheets/sheet1.xml", `<worksheet><sheetData><row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row><row><c><v>3</v></c><c t="s"><v>99</v></c></row></sheetData></worksheet>`)
	word := zipped(t, "[Content_Types].xml", "<Types/>", "word/document.xml", "<w:document><w:body><w:p><w:r><w:t>Pass</w:t></w:r><w:r><w:t>word: Lantern</w:t></w:r><w:r><w:t>4821</w:t></w:r></w:p><w:p><w:r><w:t>x</w:t></w:r></w:p></w:body></w:document>")
	for name, c := range map[string]struct{ mail, want string }{
		"plain":            {"From: a@b.example\n\nHello\n\n" + pw + "\n", "1:3 Lantern4821\n"},
		"no header at all": {"\n" + pw + "\n", "1:1 Lantern4821\n"},
		"quoted-printable": {"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nPass=\nword: Lant=65rn48=\n21   \nend\n", "1:1 Lantern4821\n"},
		"base64, broken":   {"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + b64(pw)[:10] + "*\n??" + b64(pw)[10:] + "\n", "1:1 Lantern4821\n"},
		"unknown encoding": {"Content-Transfer-Encoding: x-uue\n\n" + pw + "\n", "1:1 Lantern4821\n! 1 : transfer encoding x-uue is not known: the text was searched as it stands\n"},
		"html alone":       {"Content-Type: text/html\n\n<style>pw: Style1234</style><p>Pass<b>word</b>:&nbsp;Lantern&#52;821</p><!-- x --><script>pw='Script12'</script>\n", "1:2 Lantern4821\n"},
		"link in html":     {"Content-Type: text/html\n\n<a href=\"https://files.example/s?x=1&amp;sig=abcd1234efgh\">the files</a>\n", "1:1 https://files.example/s?x=1&sig=abcd1234efgh\n"},
		"alternative":      {"Content-Type: multipart/alternative; boundary=\"x y\"\n\n--x y\n\n" + pw + "\n--x y\nContent-Type: text/html\n\n<p>" + pw + "</p>\n--x y--\nepilogue pw: Never1234\n", "1:1 Lantern4821\n2:2 Lantern4821\n"},
		"nested message":   {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n" + pw + "\n--c--\n\n--b--\n", "1/1.1:1 Lantern4821\n"},
		"not closed":       {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + pw, "1:1 Lantern4821\n!  : the message ends in the middle of a part\n"},
		"malformed header of a part": {"Content-Type: multipart/mixed; boundary=b\n\n--b\nthis is no field\nContent-Type text/plain\n\nx\n--b\n\n" + pw + "\n--b--\n",
			"2:1 Lantern4821\n! 1 : 2 lines of the header are no fields and were skipped\n"},
		"no boundary":          {"Content-Type: multipart/mixed\n\n" + pw + "\n", "1:1 Lantern4821\n!  : a multipart without a boundary: it was searched as text\n"},
		"utf-16 attachment":    {attached("text/plain", "a.txt", "\xff\xfeP\x00W\x00:\x00 \x00T\x00i\x00g\x00e\x00r\x009\x009\x00"), "2:1 Tiger99\n"},
		"env as octet-stream":  {attached("application/octet-stream", ".env", "DB=1\n"+pw+"\n"), "2:2 Lantern4821\n"},
		"zip":                  {attached("application/zip", "a.zip", zipped(t, "dir/x.txt", pw, "p.png", "\x89PNG\x00\x00")), "2!dir/x.txt:1 Lantern4821\n"},
		"zip in zip":           {attached("application/zip", "a.zip", zipped(t, "in.zip", zipped(t, "x.txt", pw))), "2!in.zip!x.txt:1 Lantern4821\n"},
		"mail in zip":          {attached("application/zip", "a.zip", zipped(t, "m.eml", "Subject: x\n\n"+pw)), "2!m.eml/1:1 Lantern4821\n"},
		"docx":                 {attached("application/msword", "a.docx", word), "2!word/document.xml:1 Lantern4821\n"},
		"xlsx":                 {attached("application/vnd.ms-excel", "a.xlsx", sheet), "2!xl/worksheets/sheet1.xml:1 Lantern4821\n"},
		"encrypted zip":        {attached("application/zip", "a.zip", zipOf(t, 1, "x.txt", "????")), "! 2!x.txt a.zip: a member of an archive that is encrypted with a password\n"},
		"damaged zip":          {attached("application/zip", "a.zip", "PK\x03\x04nothing"), "! 2 a.zip: a zip archive that is damaged: it was not opened\n"},
		"pgp inline":           {"\n-----BEGIN PGP MESSAGE-----\n\nabc\n", "! 1 : encrypted with PGP: its content was not searched\n"},
		"pgp mime":             {"Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\n\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b--\n", "!  : encrypted with PGP: its content was not searched\n"},
		"s/mime":               {attached("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m", "\x30\x80"), "! 2 smime.p7m: encrypted with S/MIME: its content was not searched\n"},
		"office password":      {attached("application/msword", "a.docx", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"+strings.Repeat("\x00", 70_000)+"E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00"), "! 2 a.docx: an Office file that is protected by a password: its content was not searched\n"},
		"old office":           {attached("application/msword", "a.doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"+strings.Repeat("\x00", 100)+"\x01Kennwort: Lantern4821\x07\x00\x00p\x00w\x00:\x00 \x00T\x00i\x00g\x00e\x00r\x009\x009\x00\x00\x00"), "2:1 Lantern4821\n2:2 Tiger99\n! 2 a.doc: an Office file of the old form, or an Outlook item (.msg): only runs of text in it were searched\n"},
		"pdf":                  {attached("application/pdf", "a.pdf", "%PDF-1.7"), "! 2 a.pdf: PDF: its text was not taken out\n"},
		"picture":              {attached("image/png", "a.png", "\x89PNG\x00\x00\x00"), ""},
		"picture that is text": {attached("image/png", "a.png", pw), "2:1 Lantern4821\n"},
		"unknown charset":      {"Content-Type: text/plain; charset=x-klingon\n\n" + pw + "\n", "1:1 Lantern4821\n! 1 : character set x-klingon is not known: the text was read as UTF-8 or Windows-1252, and words in it may be garbled\n"},
	} {
		mail := c.mail
		if !strings.Contains(mail, "\r\n") {
			mail = crlf(mail)
		}
		got := said(readMail(t, x, strings.NewReader(mail)))
		if got != c.want {
			t.Errorf("%s:\n%swant\n%s", name, got, c.want)
		}
		// Line ends of any kind, and reading byte by byte, are the same to it.
		if !strings.Contains(name, "16") {
			slow := said(readMail(t, x, &oneByte{strings.NewReader(strings.ReplaceAll(mail, "\r\n", "\n"))}))
			if slow != c.want {
				t.Errorf("%s, with line feeds:\n%swant\n%s", name, slow, c.want)
			}
		}
	}
}

type oneByte struct{ r io.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

// Texts in thirty character sets are read. Each has the word for password in a
// language that the set can write.
func TestCharsets(t *testing.T) {
	x := &reader{scan: testScanner(t), kinds: personalKinds()}
	n := 0
	for text, sets := range map[string]string{
		"Das Kennwort für Jürgen lautet Hafen77x": "iso-8859-1 iso-8859-15 windows-1252 macintosh utf-8 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-16 windows-1250 windows-1254 windows-1257 windows-1258 gb18030",
		"La contraseña es Hafen77x":               "iso-8859-1 iso-8859-9",
		"пароль: Hafen77x":                        "koi8-r koi8-u windows-1251 iso-8859-5 ibm866 x-mac-cyrillic",
		"パスワード: Hafen77x":                         "shift_jis euc-jp iso-2022-jp",
		"密码: Hafen77x":                            "gbk gb18030 big5",
		"password: Hafen77x":                      "euc-kr windows-874 windows-1253 windows-1255 windows-1256 iso-8859-6 iso-8859-7 iso-8859-8 utf-16le utf-16be",
	} {
		for set := range strings.FieldsSeq(sets) {
			e, err := htmlindex.Get(set)
			if err != nil {
				t.Fatal(set, err)
			}
			if set == "big5" {
				text = "密碼 password: Hafen77x"
			}
			data, err := e.NewEncoder().String(text)
			if err != nil {
				t.Fatal(set, err)
			}
			n++
			mail := "Content-Type: text/plain; charset=" + set + "\nContent-Transfer-Encoding: base64\n\n" + b64(data) + "\n"
			if got := said(readMail(t, x, strings.NewReader(mail))); got != "1:1 Hafen77x\n" {
				t.Errorf("%s: %q", set, got)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d character sets", n)
	}
}

// An attachment of 100 MB is read in bounded memory, hashed and searched to its end.
func TestLargeAttachment(t *testing.T) {
	x := &reader{scan: testScanner(t), kinds: personalKinds()}
	const size = 100 << 20
	head := "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=big.csv\n\n"
	var top uint64
	mail := io.MultiReader(strings.NewReader(head), &repeated{line: []byte(strings.Repeat("lorem ipsum dolor ", 8) + "\n"), left: size, look: func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		top = max(top, m.HeapInuse)
	}}, strings.NewReader("pw: Tiger99x\n--b--\n"))
	c := readMail(t, x, mail)
	if len(c.places) != 1 || c.attachments[0].Bytes < size {
		t.Errorf("found %d, %+v", len(c.places), c.attachments)
	}
	if top > 64<<20 {
		t.Errorf("%d MiB of memory", top>>20)
	}
}

// repeated is a line again and again.
type repeated struct {
	line []byte
	at   int
	left int
	n    int
	look func()
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, r.line[r.at:])
	r.at = (r.at + n) % len(r.line)
	if r.left -= n; r.left <= 0 && r.at != 0 {
		r.left = 1 // to the line's end
	}
	if r.n += n; r.n > 8<<20 {
		r.n = 0
		r.look()
	}
	return n, nil
}

// What unpacks to far more than it is, is given up and listed.
func TestBombs(t *testing.T) {
	x := &reader{scan: testScanner(t), kinds: personalKinds()}
	zeros := strings.Repeat("\x00", 48<<20)
	bomb := zipped(t, "zeros", zeros, "z.txt", "pw: Tiger99x")
	got := said(readMail(t, x, strings.NewReader(attached("application/zip", "a.zip", bomb))))
	if !strings.Contains(got, "2!z.txt:1 Tiger99x") || !strings.Contains(got, "2!zeros zeros: not text") {
		t.Error(got)
	}
	text := zipped(t, "a.txt", strings.Repeat("a", 48<<20))
	if got := said(readMail(t, x, strings.NewReader(attached("application/zip", "a.zip", text)))); !strings.Contains(got, "decompression bomb") {
		t.Error(got)
	}
	deep := "pw: Tiger99x"
	for range 9 {
		deep = zipped(t, "in.zip", deep)
	}
	if got := said(readMail(t, x, strings.NewReader(attached("application/zip", "a.zip", deep)))); !strings.Contains(got, "nested more than") {
		t.Error(got)
	}
	var many strings.Builder
	many.WriteString("Content-Type: multipart/mixed; boundary=b\n\n")
	for range maxParts + 50 {
		many.WriteString("--b\n\nx\n")
	}
	if got := said(readMail(t, x, strings.NewReader(many.String()))); strings.Count(got, "the rest was not searched") != 1 {
		t.Errorf("%.300s", got)
	}
	nested := strings.Repeat("Content-Type: message/rfc822\n\n", 500) + "\npw: Tiger99x"
	if got := said(readMail(t, x, strings.NewReader(nested))); !strings.Contains(got, "nested more than") {
		t.Errorf("%.300s", got)
	}
}

// Names are text, and their secrets and signs stay where they are.
func TestHostileHeaders(t *testing.T) {
	h, err := readHeader(bufio.NewReader(strings.NewReader("Subject: =?utf-8?q?a=1b[31m?=\nFrom: \"x\" <<a@b.example\nTo: =?x?q?y?=, jo@c.example;;, @, \x00\nContent-Disposition: attachment; filename=\"../../etc/passwd\u202e\"\n" +
		"Received: from x; Mon, 99 Foo 2024\nDate: nonsense\nMessage-ID: <a\n b@c>\n" + strings.Repeat("X: y\n", 5000) + "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if got := words(h.get("subject")); got != "a\x1b[31m" {
		t.Errorf("%q", got) // shown escaped by whoever shows it
	}
	if got := h.addresses("from"); len(got) != 1 || got[0].Address != "a@b.example" {
		t.Errorf("%v", got)
	}
	if got := h.addresses("to"); len(got) != 1 || got[0].Address != "jo@c.example" {
		t.Errorf("%v", got)
	}
	if a, b := h.dates(); !a.IsZero() || !b.IsZero() {
		t.Error(a, b)
	}
	if got := messageID(h.get("message-id")); got != "ab@c" {
		t.Errorf("%q", got)
	}
	if !h.cut {
		t.Error("a header of 5,000 fields is not cut")
	}
}

func FuzzMessage(f *testing.F) {
	x := &reader{scan: testScanner(f), kinds: personalKinds()}
	f.Add([]byte(crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\npw: Tiger99x\n--b\nContent-Type: message/rfc822\n\nContent-Type: text/html\n\n<p>pw: Tiger99x\n--b--\n")))
	f.Add([]byte(attached("application/zip", "a.zip", zipped(f, "[Content_Types].xml", "x", "word/document.xml", "<w:p><w:t>pw: Tiger99x</w:t></w:p>"))))
	f.Add([]byte("Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: quoted-printable\n\n=00=\n=xx=\r\n"))
	f.Add([]byte(attached("application/msword", "a.doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1pw: Tiger99x\x00p\x00w\x00:\x00 \x00T\x00i\x00g\x00e\x00r\x009\x009\x00x\x00")))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := readMail(t, x, bytes.NewReader(b))
		if len(c.places) > maxPlaces+1 || c.parts > maxParts+1000 {
			t.Errorf("%d places, %d parts", len(c.places), c.parts)
		}
	})
}

func FuzzMbox(f *testing.F) {
	f.Add([]byte("From a@b Mon Jan  1 00:00:00 2024\nSubject: x\n\nFrom here on\n\nFrom c Tue Jan  2 00:00:00 2024\n\nx\n"))
	f.Add([]byte("\n\nFrom - x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n, total int
		if err := splitMbox(bufio.NewReaderSize(bytes.NewReader(b), 16), func(m *bufio.Reader) error {
			n++
			x, err := io.ReadAll(m)
			total += len(x)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if total > len(b) {
			t.Errorf("%d bytes in messages of %d", total, len(b))
		}
	})
}

func TestMbox(t *testing.T) {
	const box = "From a@b.example Mon Jan  1 00:00:00 2024\nSubject: one\n\nFrom here on it is easy\n\nFrom my point of view\n>From the top\n\nFrom c@d Tue Jan  2 10:00:00 2024 +0000\r\nSubject: two\r\n\r\nx\r\n\r\nFrom - Wed Jan  3 10:00:00 2024\nSubject: three\n\nend"
	var got []string
	if err := splitMbox(bufio.NewReader(strings.NewReader(box)), func(m *bufio.Reader) error {
		h, err := readHeader(m)
		b, _ := io.ReadAll(m)
		got = append(got, fmt.Sprintf("%s %d", h.get("subject"), len(b)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(got, ", "); s != "one 62, two 5, three 3" {
		t.Error(s)
	}
}
