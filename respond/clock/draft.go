package clock

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Draft writes a filing as Markdown: what the case can say, and what a person
// has to. Everything that comes from logs, mail and people is escaped.
func Draft(w io.Writer, s *Status, items []Item, caseID string, zone *time.Location) error {
	var b strings.Builder
	c := s.Clock
	fmt.Fprintf(&b, "# %s: %s\n\n", Escape(c.Jurisdiction), Escape(c.Title))
	fmt.Fprintf(&b, "DRAFT for a person to check, complete and hand in. Midwatch files nothing, and this is no legal advice.\n\n")
	fmt.Fprintf(&b, "- Rule: %s\n- Concerns: %s\n- Case: %s\n- State: %s\n", Escape(c.Rule), Escape(c.Concerns), Escape(caseID), s.State)
	if s.Basis != nil {
		fmt.Fprintf(&b, "- Starts: %s, decided by %s (journal entry %d): %s\n", Moment(s.Start.Time, zone), Escape(s.Basis.Author), s.Basis.Seq, Escape(s.Basis.Text))
	} else {
		fmt.Fprintf(&b, "- Not started; %s\n", Escape(s.Waiting))
	}
	if !s.Due.IsZero() {
		fmt.Fprintf(&b, "- Due: %s (%s)\n", Moment(s.Due.Time, zone), Escape(s.Why))
	} else if s.Why != "" {
		fmt.Fprintf(&b, "- Due: %s\n", Escape(s.Why))
	}
	fmt.Fprintf(&b, "- Source of the rule: %s; %s\n", Escape(c.Source), c.SureWords())
	if c.Note != "" {
		fmt.Fprintf(&b, "- Note: %s\n", Escape(c.Note))
	}
	b.WriteString("\nConfirmed: a record says so. Probable: a folder was synchronized as a whole, or reads went unrecorded while somebody could read. Possible: it could be, and the logs cannot say. The three are never added up.\n")
	for _, i := range items {
		fmt.Fprintf(&b, "\n## %s\n\n", Escape(i.Title))
		for _, t := range i.Text {
			fmt.Fprintf(&b, "- %s\n", Escape(t))
		}
		if i.Missing != "" {
			fmt.Fprintf(&b, "- **To add:** %s\n", Escape(i.Missing))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Moment is a time in UTC and in a zone.
func Moment(t time.Time, zone *time.Location) string {
	s := t.UTC().Format("Mon 2 Jan 2006 15:04") + " UTC"
	if l := t.In(zone); zone != time.UTC {
		s += " (" + l.Format("Mon 2 Jan 15:04 MST") + ")"
	}
	return s
}

// Escape makes text one line of Markdown that shows itself: nothing of it is
// markup, a link, or a sign that turns the direction of text.
func Escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r == '\u200c' || r == '\u200d': // joiners: part of words
			b.WriteRune(r)
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, "\\\\u%04x", r)
		case strings.ContainsRune("\\`*_{}[]()<>#+!|~&$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	// Programs make links of these without any markup.
	out := b.String()
	for _, p := range [][2]string{{"://", ":\\/\\/"}, {"www.", "www\\."}, {"WWW.", "WWW\\."}} {
		out = strings.ReplaceAll(out, p[0], p[1])
	}
	// At the beginning of a line these are lists, numbers and rules.
	switch t := strings.TrimLeft(out, " "); {
	case strings.HasPrefix(t, "-"), strings.HasPrefix(t, "="), strings.HasPrefix(t, ":"):
		out = "\\" + t
	default:
		out = t
	}
	return out
}
