package exposure

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"

	"midwatch/casefile"
)

// messageID normalizes an internet message id: without angle brackets, blanks
// and folding. Case is kept; [key] compares.
func messageID(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if i := strings.IndexByte(s, '<'); i >= 0 { // comments may stand beside it
		if j := strings.IndexByte(s[i:], '>'); j > 0 {
			return s[i+1 : i+j]
		}
	}
	return strings.Trim(s, "<>")
}

// key is what a normalized id is compared by.
func key(id string) string { return strings.ToLower(id) }

// folderName normalizes a folder's path: slashes, lower case, without the names
// that exports give to the root of a mailbox.
func folderName(s string) string {
	parts := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == '/' || r == '\\' })
	for len(parts) > 1 && slices.Contains(roots(), strings.TrimSpace(parts[0])) {
		parts = parts[1:]
	}
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return strings.Join(parts, "/")
}

// roots are the names of a mailbox's root in exports.
func roots() []string {
	return []string{"top of information store", "top of personal folders", "top of outlook data file", "outlook data file", "personal folders", "ipm_subtree", "root", "root - mailbox", "mailbox"}
}

// address normalizes a mail address.
func address(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(s, "smtp:")
	return strings.Trim(s, `<>"' `)
}

func domainOf(addr string) string {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return ""
	}
	return strings.Trim(addr[i+1:], ".[] ")
}

// registrable is the domain that somebody registered: what stands under a
// public suffix. Names that have none, such as addresses, stay as they are.
func registrable(domain string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return d
	}
	return domain
}

// own reports whether a domain, or one above it, is among the domains.
func own(domain string, domains map[string]bool) bool {
	for domain != "" {
		if domains[domain] {
			return true
		}
		_, rest, ok := strings.Cut(domain, ".")
		if !ok {
			return false
		}
		domain = rest
	}
	return false
}

// cut shortens a string to at most n bytes, at a rune's begin.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// count adds one thing of a certainty.
func count(p *casefile.PerCertainty, c casefile.Certainty) {
	switch c {
	case casefile.Confirmed:
		p.Confirmed++
	case casefile.Probable:
		p.Probable++
	case casefile.Possible:
		p.Possible++
	}
}

// more orders counts by reach: more of the surest first.
func more(a, b casefile.PerCertainty) int {
	for _, d := range []int64{b.Confirmed - a.Confirmed, b.Probable - a.Probable, b.Possible - a.Possible} {
		if d != 0 {
			if d > 0 {
				return 1
			}
			return -1
		}
	}
	return 0
}

func surer(a, b casefile.Certainty) casefile.Certainty {
	if b.Rank() > a.Rank() {
		return b
	}
	return a
}
