package simulate

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// letters makes a text of n characters.
func letters(x *rng, n int, of string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[x.n(len(of))]
	}
	return string(b)
}

const (
	lowerSet = "abcdefghijklmnopqrstuvwxyz"
	digitSet = "0123456789"
	alnumSet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lowerSet + digitSet
	hexSet   = "0123456789abcdef"
)

// password makes one as people do.
func password(x *rng) string {
	w := []string{"Lantern", "Harbor", "Maple", "Saturn", "Copper", "Winter", "Falcon", "Meadow"}
	switch x.n(4) {
	case 0:
		return pick(x, w) + letters(x, 4, digitSet) + pick(x, []string{"!", "#", "$", "?!", ""})
	case 1:
		return pick(x, w) + "-" + letters(x, 2, digitSet) + "-" + pick(x, w)
	case 2:
		return letters(x, 4, lowerSet) + letters(x, 2, digitSet) + pick(x, []string{"%", "&", "+", "#"}) + letters(x, 5, alnumSet) + "7q"
	}
	return strings.ToLower(pick(x, w)) + letters(x, 3, digitSet) + "_" + letters(x, 4, lowerSet)
}

// planted is a secret with the sentence that it stands in, and whether that is
// a file's rather than a letter's.
type planted struct {
	kind, value, text string
	file              bool
}

// plant makes a secret. What vendors give out is put together from parts, so
// that no text of this file has the form of one.
func plant(x *rng) planted {
	tok := func(kind, value string) planted {
		return planted{kind, value, pick(x, []string{"Use this for the pipeline: %s", "token = %s", "Here is the key: %s\r\nPlease do not pass it on.", "(%s)", "It is %s."}), false}
	}
	pw := password(x)
	switch x.n(16) {
	case 0:
		return planted{"password", pw, "The password for the " + pick(x, []string{"share", "portal", "archive", "guest network"}) + " is %s.", false}
	case 1:
		return planted{"password", pw, pick(x, []string{"pw: %s", "Password: %s", "password = %s", "PWD: %s"}), false}
	case 2:
		return planted{"password", pw, pick(x, []string{"Das Kennwort lautet %s", "Passwort: %s", "Das Passwort für den Server ist %s."}), false}
	case 3:
		return planted{"password", pw, pick(x, []string{"Le mot de passe est %s", "Mot de passe : %s", "La contraseña es %s", "Contraseña: %s", "La password per il sito è %s"}), false}
	case 4:
		return planted{"password", pw, "The new password is \"%s\", please change it.", false}
	case 5:
		return tok("aws-access-token", "AK"+"IA"+letters(x, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
	case 6:
		return tok("github-pat", "gh"+"p_"+letters(x, 36, alnumSet))
	case 7:
		return tok("slack-bot-token", "xo"+"xb-"+letters(x, 12, "123456789")+"-"+letters(x, 12, "123456789")+"-"+letters(x, 24, alnumSet))
	case 8:
		return tok("stripe-access-token", "sk"+"_live_"+letters(x, 24, alnumSet))
	case 9:
		return tok("sendgrid-api-token", "S"+"G."+letters(x, 22, alnumSet)+"."+letters(x, 43, alnumSet))
	case 10:
		var b strings.Builder
		head := "-----%s RSA PRIVATE" + " KEY-----"
		fmt.Fprintf(&b, head+"\r\n", "BEGIN")
		for range 12 {
			b.WriteString(letters(x, 64, alnumSet+"+/") + "\r\n")
		}
		fmt.Fprintf(&b, head, "END")
		return planted{"private-key", b.String(), "For the jump host:\r\n%s", false}
	case 11:
		return planted{"connection-string", pw, "Server=tcp:orders.fabrikam.example,1433;Database=orders;User ID=svc_orders;Password=%s;Encrypt=True;", false}
	case 12:
		return planted{"url-credentials", "R" + letters(x, 12, alnumSet) + "4", "postgres" + "://billing:%s@db.fabrikam.example:5432/billing", false}
	case 13:
		return planted{"signed-link", "https://files.fabrikam.example/s/" + letters(x, 12, hexSet) + "?sv=2022-11-02&sig=" + letters(x, 20, alnumSet) + "8", "The files: %s", false}
	case 14:
		return planted{"recovery-code", letters(x, 5, "ABCDEFGHJKLMNPQRSTUVWXYZ") + "-" + letters(x, 5, digitSet) + "-" + letters(x, 5, "ABCDEFGH23456789"), "Recovery code: %s", false}
	}
	return planted{"generic-api-key", "fbk_" + letters(x, 30, alnumSet) + "5", "# settings\nDEBUG=1\nBILLING_API_KEY=%s\nREGION=north\n", true}
}

// plantOld is the secret that a message has in every simulation; see
// [secretValue].
func plantOld(m *message) planted {
	kind, value := secretKinds()[m.secret], secretValue(m.secret, m.h)
	text := "The " + kind + ": %s"
	switch kind {
	case "connection string":
		_, rest, _ := strings.Cut(value, "Password=")
		return planted{"connection-string", strings.TrimSuffix(rest, ";"), strings.Replace(text, "%s", strings.Replace(value, rest, "%s;", 1), 1), false}
	case "private link":
		kind = "signed-link"
	case "api key":
		kind = "generic-api-key"
	}
	return planted{strings.ReplaceAll(kind, " ", "-"), value, text, false}
}

// decoy makes what resembles a secret and is none.
func decoy(x *rng) string {
	return pick(x, []string{
		"Ticket " + x.guid().String() + " is closed.",
		"SHA256: " + letters(x, 64, hexSet),
		"Fixed in commit " + letters(x, 40, hexSet) + ".",
		"Example from the manual: AKIA" + "IOSFODNN7" + "EXAMPLE",
		"Your password was reset on Monday. If that was not you, call the help desk.",
		"The password is required to open the file.",
		"Password: ********",
		"Password: (see the vault)",
		"The password is case-sensitive.",
		"password expires in 14 days",
		"Forgot your password? https://portal.fabrikam.example/reset?token=" + letters(x, 32, hexSet),
		"https://news.fourthcoffee.example/unsubscribe?id=" + letters(x, 24, hexSet),
		"Das Kennwort ist abgelaufen.",
		"Le mot de passe est obligatoire.",
		"La contraseña es necesaria para entrar.",
		"api_key: YOUR_API_KEY",
		"Password: ${DB_PASSWORD}",
		"Order number 4111 1111 1111 1112, delivery on Friday.",
		"Meeting id: 482 113 905",
		"The key: be patient, and keep notes.",
		"Correlation key: " + x.guid().String(),
		"Public key fingerprint: SHA256:" + letters(x, 43, alnumSet),
		"The pw is the same as last time.",
		"The password policy asks for 12-16 characters.",
		"IBAN DE00 1234 5678 9012 3456 78 was refused by the bank.",
	})
}

// personal makes personal data with right check digits.
func personal(x *rng) (kind, value, text string) {
	if x.p(0.5) {
		d := "4" + letters(x, 14, digitSet)
		sum := 0
		for i := range len(d) {
			v := int(d[len(d)-1-i] - '0')
			if i%2 == 0 {
				if v *= 2; v > 9 {
					v -= 9
				}
			}
			sum += v
		}
		d += string(rune('0' + (10-sum%10)%10))
		return "payment_card", d, "Card: " + d[:4] + " " + d[4:8] + " " + d[8:12] + " " + d[12:]
	}
	account := letters(x, 18, digitSet)
	rest := 0
	for _, c := range account + "131400" { // D is 13, E is 14
		rest = (rest*10 + int(c-'0')) % 97
	}
	v := fmt.Sprintf("DE%02d%s", 98-rest, account)
	return "iban", v, "Please pay to " + v + "."
}

// eml makes a message, and notes what is in it.
func (w *world) eml(m *message, of *MailOf) ([]byte, error) {
	t := w.tenants[0]
	x := &rng{mix(m.h + 77)}
	from := string(w.appendSender(nil, t, m))
	var to []string
	for i := range teamSize {
		if m.to>>i&1 == 1 {
			to = append(to, t.users[m.team*teamSize+i].upn)
		}
	}
	if m.from < 0 {
		of.Counterparties = append(of.Counterparties, m.domain)
	}
	if m.out {
		d := w.domains[m.h>>8%uint64(len(w.domains))]
		to = append(to, fmt.Sprintf("partner%d@%s", m.h%50, d))
		if len(of.Counterparties) == 0 || of.Counterparties[0] != d {
			of.Counterparties = append(of.Counterparties, d)
		}
	}
	lines := []string{"Hello,", "", pick(x, []string{"as discussed.", "see below for what we agreed on.", "a short note before the weekend.", "thanks for the call."}) + " " + m.subject + ".", ""}
	var secrets []planted
	if m.secret != 0 {
		secrets = append(secrets, plantOld(m))
	}
	if x.p(0.12) { // shares of this and the following: chosen so that small tenants have some
		secrets = append(secrets, plant(x))
	}
	if x.p(0.05) {
		kind, value, text := personal(x)
		of.Personal = append(of.Personal, PlantedOf{kind, value, "text"})
		lines = append(lines, text)
	}
	if x.p(0.4) {
		d := decoy(x)
		of.Decoys = append(of.Decoys, d)
		lines = append(lines, d)
	}
	b := &letter{x: x}
	for _, s := range secrets {
		where := "text"
		if s.file || x.p(0.35) {
			where = b.attach(s)
		} else {
			lines = append(lines, strings.Replace(s.text, "%s", s.value, 1))
		}
		of.Secrets = append(of.Secrets, PlantedOf{s.kind, s.value, where})
	}
	if m.file != "" {
		b.files = append(b.files, file{m.file, "application/octet-stream", []byte("%PDF-1.4 not one\x00\x01" + letters(x, 300, alnumSet))})
	}
	lines = append(lines, "", "See you tomorrow.")
	var out bytes.Buffer
	fmt.Fprintf(&out, "Received: from mail.example by mx.fabrikam.example; %s\r\n", at(m.t).Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	fmt.Fprintf(&out, "Message-ID: <%s>\r\nFrom: %s\r\nTo: %s\r\nDate: %s\r\nSubject: %s\r\nMIME-Version: 1.0\r\n", of.Message, from, strings.Join(to, ",\r\n "), at(m.t).Format("Mon, 2 Jan 2006 15:04:05 -0700"), mime.QEncoding.Encode("utf-8", m.subject))
	err := b.write(&out, lines)
	return out.Bytes(), err
}

// letter is the body of a message with its files.
type letter struct {
	x     *rng
	files []file
}

type file struct {
	name, kind string
	data       []byte
}

// attach puts a secret into a file of some kind and returns its name.
func (b *letter) attach(s planted) string {
	text := strings.Replace(s.text, "%s", s.value, 1)
	n := letters(b.x, 4, digitSet)
	f := file{"notes-" + n + ".txt", "text/plain", []byte("Notes\r\n\r\n" + text + "\r\n")}
	switch b.x.n(6) {
	case 0:
		f.name, f.kind = "settings-"+n+".env", "application/octet-stream"
	case 1:
		if !strings.Contains(text, "\n") {
			f.name, f.kind, f.data = "access-"+n+".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", docx(text)
		}
	case 2:
		f = file{"backup-" + n + ".zip", "application/zip", zipped("readme.txt", f.data)}
	case 3:
		inner := "From: old@fabrikam.example\r\nTo: new@fabrikam.example\r\nSubject: FW\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + text + "\r\n"
		f = file{"forwarded-" + n + ".eml", "message/rfc822", []byte(inner)}
	case 4:
		f.name, f.kind = "script-"+n+".ps1", "text/plain"
	}
	b.files = append(b.files, f)
	return f.name
}

func zipped(name string, data []byte) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	if w, err := z.Create(name); err == nil {
		_, _ = w.Write(data)
	}
	_ = z.Close()
	return out.Bytes()
}

func docx(text string) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;")
	half := len(text) / 2
	for _, f := range [][2]string{
		{"[Content_Types].xml", `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`},
		// Word cuts text into runs wherever it likes.
		{"word/document.xml", `<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="x"><w:body><w:p><w:r><w:t>Access</w:t></w:r></w:p><w:p><w:r><w:t xml:space="preserve">` +
			escape.Replace(text[:half]) + `</w:t></w:r><w:r><w:t xml:space="preserve">` + escape.Replace(text[half:]) + `</w:t></w:r></w:p></w:body></w:document>`},
	} {
		if w, err := z.Create(f[0]); err == nil {
			_, _ = w.Write([]byte(f[1]))
		}
	}
	_ = z.Close()
	return out.Bytes()
}

// write writes the body: as plain text, HTML alone, or both, in one of the
// encodings of mail.
func (b *letter) write(out *bytes.Buffer, lines []string) error {
	text := strings.Join(lines, "\r\n") + "\r\n"
	page := "<html><head><style>p { color: #123456 }</style></head><body><p>" + strings.ReplaceAll(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text), "\r\n", "<br>\r\n") + "</p></body></html>\r\n"
	form := b.x.n(5)
	body := func() error {
		switch form {
		case 0:
			return part(out, "text/html; charset=utf-8", "base64", page)
		case 1:
			bound := "=_alt" + letters(b.x, 8, alnumSet)
			fmt.Fprintf(out, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n--%s\r\n", bound, bound)
			if err := part(out, "text/plain; charset=utf-8", "quoted-printable", text); err != nil {
				return err
			}
			fmt.Fprintf(out, "\r\n--%s\r\n", bound)
			if err := part(out, "text/html; charset=utf-8", "quoted-printable", page); err != nil {
				return err
			}
			fmt.Fprintf(out, "\r\n--%s--\r\n", bound)
			return nil
		case 2:
			latin, err := charmap.Windows1252.NewEncoder().String(text)
			if err != nil {
				return err
			}
			return part(out, "text/plain; charset=windows-1252", "quoted-printable", latin)
		}
		return part(out, "text/plain; charset=utf-8", "8bit", text)
	}
	if len(b.files) == 0 {
		return body()
	}
	bound := "=_mix" + letters(b.x, 8, alnumSet)
	fmt.Fprintf(out, "Content-Type: multipart/mixed; boundary=%q\r\n\r\nThis is a message with parts.\r\n--%s\r\n", bound, bound)
	if err := body(); err != nil {
		return err
	}
	for _, f := range b.files {
		fmt.Fprintf(out, "\r\n--%s\r\nContent-Disposition: attachment; filename=%q\r\n", bound, f.name)
		encoding := "base64"
		if f.kind == "message/rfc822" {
			encoding = "8bit"
		}
		if err := part(out, f.kind, encoding, string(f.data)); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\r\n--%s--\r\n", bound)
	return nil
}

func part(out *bytes.Buffer, kind, encoding, text string) error {
	fmt.Fprintf(out, "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", kind, encoding)
	switch encoding {
	case "base64":
		s := base64.StdEncoding.EncodeToString([]byte(text))
		for ; len(s) > 76; s = s[76:] {
			out.WriteString(s[:76] + "\r\n")
		}
		out.WriteString(s + "\r\n")
	case "quoted-printable":
		q := quotedprintable.NewWriter(out)
		if _, err := q.Write([]byte(text)); err != nil {
			return err
		}
		return q.Close()
	default:
		out.WriteString(text)
	}
	return nil
}
