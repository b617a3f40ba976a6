package exposure

import (
	"bytes"
	"io"
)

// compound searches a file of the old Office kind (doc, xls, ppt, and Outlook's
// msg). Their structure is not read: runs of text in it are, as bytes and as
// UTF-16, which is how they keep their text. What is cut into pieces is missed,
// and so that is said of each.
func (x *reader) compound(c *content, name string, r io.Reader, part string) (string, error) {
	b, why, err := whole(r)
	if err != nil {
		return "", err
	}
	switch {
	case why != "":
	case bytes.Contains(b, utf16le("EncryptedPackage")):
		why = "an Office file that is protected by a password: its content was not searched"
	default:
		why = "an Office file of the old form, or an Outlook item (.msg): only runs of text in it were searched"
		err = x.text(c, &runs{b: b}, part, name)
	}
	c.lost(part, name, why)
	return why, err
}

// leastRun is how many characters make a run of text.
const leastRun = 6

// runs gives the runs of text in some bytes, a line each: those of single bytes
// (Windows-1252) first, then those of UTF-16.
type runs struct {
	b    []byte
	at   int
	wide bool
	out  []byte
}

func (r *runs) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.at >= len(r.b) {
			if r.wide {
				return 0, io.EOF
			}
			r.wide, r.at = true, 0
			continue
		}
		r.run()
	}
	n := copy(p, r.out)
	r.out = r.out[:copy(r.out, r.out[n:])]
	return n, nil
}

// run takes one run, or one byte that is in none.
func (r *runs) run() {
	step, end := 1, r.at
	if r.wide {
		step = 2
	}
	for end+step <= len(r.b) && end-r.at < 64<<10 && printable(r.b[end]) && (!r.wide || r.b[end+1] == 0) {
		end += step
	}
	if (end-r.at)/step < leastRun {
		r.at = max(r.at+1, end)
		return
	}
	for i := r.at; i < end; i += step {
		r.out = append(r.out, string(rune(r.b[i]))...)
	}
	r.out = append(r.out, '\n')
	r.at = end
}

func printable(c byte) bool {
	return c >= ' ' && c != 0x7f && (c < 0x80 || c >= 0xa0) || c == '\t' || c == '\n' || c == '\r'
}
