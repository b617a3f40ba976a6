package respond

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// GUID reports whether s has the form of an object id.
func GUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}

// principalName is the form of user principal names that are put into a path.
// Entra allows a little more; those are for a person.
func principalName(s string) bool {
	return len(s) <= 320 && regexp.MustCompile(`^[\pL\pN][\pL\pN._+#'-]*@[A-Za-z0-9][A-Za-z0-9.-]*$`).MatchString(s)
}

// segment is a value as a segment of a path.
func segment(s string) string { return url.PathEscape(s) }

// Quote returns a value as a PowerShell expression that is the value and
// nothing else. PowerShell's single-quoted strings have one special character,
// the quote, which is written twice; the typographic quotes U+2018 to U+201B end
// a string as well. What a terminal would act on or not show (controls, marks of
// direction, bytes that are no UTF-8) is written as a number.
func Quote(s string) string {
	var parts []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			parts = append(parts, "'"+b.String()+"'")
			b.Reset()
		}
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			flush()
			parts = append(parts, "[char]0xfffd")
		case r == '\'' || r >= 0x2018 && r <= 0x201b:
			b.WriteRune(r)
			b.WriteRune(r)
		case r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Z, r) && !unicode.Is(unicode.M, r):
			b.WriteRune(r)
		case r > 0xffff:
			flush()
			parts = append(parts, fmt.Sprintf("[char]::ConvertFromUtf32(0x%x)", r))
		default:
			flush()
			parts = append(parts, fmt.Sprintf("[char]0x%04x", r))
		}
		i += n
	}
	flush()
	switch {
	case len(parts) == 0:
		return "''"
	case len(parts) == 1 && strings.HasPrefix(parts[0], "'"):
		return parts[0]
	}
	if !strings.HasPrefix(parts[0], "'") {
		parts = append([]string{"''"}, parts...) // a character and a string would be added as numbers
	}
	return "(" + strings.Join(parts, " + ") + ")"
}
