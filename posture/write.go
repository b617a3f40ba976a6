package posture

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"midwatch/casefile"
)

// Write writes the posture as indented JSON. Absent lists are empty, never
// null, so that readers need not tell the two apart.
func Write(w io.Writer, p *Posture) error {
	if err := casefile.WriteJSON(w, p); err != nil {
		return fmt.Errorf("write posture: %w", err)
	}
	return nil
}

// Read reads a posture.json and refuses another schema.
func Read(r io.Reader) (*Posture, error) {
	var p Posture
	if err := json.NewDecoder(r).Decode(&p); err != nil {
		return nil, fmt.Errorf("read posture: %w", err)
	}
	if p.Schema != Schema {
		return nil, fmt.Errorf("read posture: schema is %q, this version reads %q", p.Schema, Schema)
	}
	return &p, nil
}

// md writes text from logs so that it is text in Markdown: no markup, no HTML,
// no link, one line.
func md(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, "\\\\u%04x", r)
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]()#|!~", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '@': // no renderer makes a link of an address, or a mention
			b.WriteString("&#64;")
		case r == ':':
			b.WriteString("&#58;")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// markdownMembers is how many members of a door are in the document.
const markdownMembers = 50

// Markdown writes the posture as a document for the people who close the
// doors.
func Markdown(w io.Writer, p *Posture) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "# Open doors\n\nEvidence from %s to %s", p.From, p.To)
	if p.Case != "" {
		fmt.Fprintf(b, ", case %s", md(p.Case))
	}
	b.WriteString(".\n")
	for _, t := range p.Tenants {
		fmt.Fprintf(b, "\n- %s:", md(first(t.Name, "records that name no tenant")))
		for i, l := range t.Logs {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, " %s %d of %d days", md(logName(l.Name)), l.Days, l.Window)
		}
	}
	b.WriteString("\n")
	for i := range p.Doors {
		p.Doors[i].markdown(b, i+1)
	}
	b.WriteString("\n## Every check\n\n\"Not seen\" is not \"closed\": it holds for the days that the logs cover. \"Unknown\" is not \"no\".\n\n| check | tenant | answer | on what it stands | what would tell |\n|---|---|---|---|---|\n")
	for _, a := range p.Answers {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", md(a.Title), md(p.tenantName(a.Tenant)), md(strings.ReplaceAll(string(a.State), "_", " ")), md(a.Text), md(a.Fetch))
	}
	if len(p.Exports) > 0 {
		b.WriteString("\n## Exports\n\n| file | recognized as | rows used | not used |\n|---|---|---|---|\n")
		for _, x := range p.Exports {
			fmt.Fprintf(b, "| %s | %s | %d | %s |\n", md(x.File), md(first(x.Kind, "nothing")), x.Rows, md(x.Reason))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Posture) tenantName(id string) string {
	for _, t := range p.Tenants {
		if t.ID == id {
			return t.Name
		}
	}
	return id
}

func (d *Door) markdown(b *strings.Builder, n int) {
	fmt.Fprintf(b, "\n## %d. %s\n\n**%s**, %s. %s\n\n*Why it matters.* %s\n", n, md(d.Title), d.Severity, md(d.TenantName), md(d.Seen), md(d.Why))
	for _, l := range d.Limits {
		fmt.Fprintf(b, "\n*Mind.* %s.\n", md(l))
	}
	if len(d.Members) > 0 {
		b.WriteString("\n")
	}
	for i, m := range d.Members {
		if i == markdownMembers {
			fmt.Fprintf(b, "- and %d more in posture.json\n", d.Count-markdownMembers)
			break
		}
		fmt.Fprintf(b, "- %s", md(first(m.Name, m.ID)))
		if m.Name != "" && m.ID != "" {
			fmt.Fprintf(b, " (%s)", md(m.ID))
		}
		if m.Text != "" {
			fmt.Fprintf(b, "&#58; %s", md(m.Text))
		}
		if s := m.Shown(); s != "" {
			fmt.Fprintf(b, " — %s", md(s))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n*What closes it.*\n")
	for _, s := range d.Fix {
		if s.Note != "" {
			fmt.Fprintf(b, "\n%s: %s.\n", s.Tool, md(s.Note))
		} else {
			fmt.Fprintf(b, "\n%s:\n", s.Tool)
		}
		if s.Command != "" { // one line, so that nothing in it ends the block
			fmt.Fprintf(b, "\n    %s\n", s.Command)
		}
	}
	fmt.Fprintf(b, "\n*What that may break.* %s.\n\nATT&CK: %s\n", md(d.Breaks), strings.Join(d.Techniques, ", "))
}

// Shown says where the evidence of a member stands, in a few words; empty where
// a count is all there is.
func (m *Member) Shown() string {
	var parts []string
	if len(m.Events) > 0 {
		parts = append(parts, "event "+m.Events[0])
	}
	for _, p := range m.Places[:min(len(m.Places), 2)] {
		s := p.File
		if p.Line > 0 {
			s = fmt.Sprintf("%s:%d", s, p.Line)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}
