package respond

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Markdown writes the plan as a document to review and to sign.
func Markdown(w io.Writer, p *Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Containment of %s\n\nPlan `%s`", text(p.Case), p.Hash)
	n := 0
	for i := range p.Steps {
		if p.Runs(&p.Steps[i]) {
			n++
		}
	}
	fmt.Fprintf(&b, ", %d steps, %d of which Midwatch carries out.\n", len(p.Steps), n)
	if p.Suspected {
		b.WriteString("\nSteps that are only suspected are carried out, too.\n")
	}
	for _, tenant := range p.Tenants {
		if need := p.Needed(tenant); len(need) > 0 {
			fmt.Fprintf(&b, "\nApplication permissions of Microsoft Graph in tenant %s: %s.\n", text(tenant), text(strings.Join(need, ", ")))
		}
	}
	for _, phase := range p.Phases {
		steps := p.Of(phase.Number)
		if len(steps) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %d. %s\n\nWhy here: %s.\n", phase.Number, phase.Title, phase.Why)
		for _, s := range steps {
			s.markdown(&b, p)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Of lists the steps of a phase.
func (p *Plan) Of(phase int) []*Step {
	var out []*Step
	for i := range p.Steps {
		if p.Steps[i].Phase == phase {
			out = append(out, &p.Steps[i])
		}
	}
	return out
}

// How says who carries a step out.
func (p *Plan) How(s *Step) string {
	switch {
	case !s.Executable:
		return "by hand: " + s.ByHand
	case !p.Runs(s):
		return "suspected only: not carried out without --include-suspected"
	}
	return "carried out by Midwatch"
}

func (s *Step) markdown(b *strings.Builder, p *Plan) {
	fmt.Fprintf(b, "\n### Step %d: %s\n\n", s.Number, text(s.Title))
	row := func(head, value string) {
		if value != "" {
			fmt.Fprintf(b, "- %s: %s\n", head, text(value))
		}
	}
	row("Step", s.ID)
	row("How", p.How(s))
	row("Tenant", s.Tenant)
	row("Object", fmt.Sprintf("%s %s (%s)", s.Object.Kind, s.Object.ID, strings.ReplaceAll(s.Object.Origin, "_", " ")))
	row("Why", s.Reason)
	row("Evidence", strings.Join(slices.Concat(s.Findings, s.Events), ", "))
	row("Breaks", s.Breaks)
	undo := s.Undo.Text
	if s.Undo.Possible {
		undo = "possible: " + undo
	}
	row("Undo", undo)
	row("Verified by", s.Verify.Call+"; expected: "+s.Verify.Expect)
	row("Permissions", strings.Join(s.Permissions, ", "))
	row("Cannot tell", s.CannotTell)
	var lines []string
	for _, c := range s.Calls {
		lines = append(lines, c.String())
	}
	block(b, "http", lines)
	block(b, "powershell", s.PowerShell)
	if s.Undo.Possible {
		lines = nil
		for _, c := range s.Undo.Calls {
			lines = append(lines, c.String())
		}
		if len(lines) > 0 {
			b.WriteString("\nUndo:\n")
			block(b, "http", lines)
		}
	}
}

// String is the request in one line.
func (c Call) String() string {
	s := c.Method + " " + c.Path
	if len(c.Body) > 0 {
		s += " " + string(c.Body)
	}
	if c.Note != "" {
		s += "   # " + c.Note
	}
	return s
}

// block writes lines as code. The fence is longer than any in them.
func block(b *strings.Builder, language string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fence := "```"
	for _, l := range lines {
		for strings.Contains(l, fence) {
			fence += "`"
		}
	}
	fmt.Fprintf(b, "\n%s%s\n", fence, language)
	for _, l := range lines {
		b.WriteString(line(l) + "\n")
	}
	b.WriteString(fence + "\n")
}

// line is text without what ends a line or is not shown.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// text is text that Markdown and HTML do not act on.
func text(s string) string {
	var b strings.Builder
	for _, r := range line(s) {
		switch {
		case strings.ContainsRune("\\`*_{}[]#|~!", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
