package actor

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxName is the length in bytes of the longest name that is looked up. The
// longest in the tables has 41.
const MaxName = 256

// Fold reduces a name to what distinguishes it, so that "APT 29", "apt-29" and
// "APT29", "The Dukes" and "Dukes", "Asnarök" and "asnarok" are one: letters
// and digits in lower case without diacritics, without a leading "the", and
// without the group's id that MISP puts behind ATT&CK's names ("APT29 -
// G0016"). A name without letters and digits folds to nothing, and so does one
// that is longer than [MaxName].
func Fold(s string) string {
	if len(s) > MaxName {
		return ""
	}
	s = strings.TrimSpace(s)
	if i := strings.LastIndex(s, " - "); i > 0 && groupID(s[i+3:]) {
		s = s[:i]
	}
	if rest, ok := cutPrefixFold(s, "the"); ok && len(squeeze(rest)) >= 3 {
		s = rest
	}
	return squeeze(s)
}

// squeeze keeps letters and digits.
func squeeze(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch {
		case r == 'ı':
			b.WriteByte('i')
		case r == unicode.ReplacementChar:
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// cutPrefixFold cuts a first word.
func cutPrefixFold(s, word string) (string, bool) {
	if len(s) <= len(word) || !strings.EqualFold(s[:len(word)], word) {
		return s, false
	}
	rest := strings.TrimLeft(s[len(word):], " -_\t")
	return rest, len(rest) < len(s)-len(word)
}

// groupID reports whether s is an id of an ATT&CK group.
func groupID(s string) bool {
	if len(s) != 5 || s[0] != 'G' && s[0] != 'g' {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

// keys are what a name of the tables is found under: itself, and what stands
// before a remark in parentheses ("TG-2884 (SCWX CTU)").
func keys(s string) []string {
	var out []string
	if k := Fold(s); k != "" {
		out = append(out, k)
	}
	if i := strings.LastIndex(s, " ("); i > 0 && strings.HasSuffix(s, ")") {
		if k := Fold(s[:i]); k != "" && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// near lists names that somebody who wrote folded may have meant: few letters
// off first, then names that contain it. At most n, each once.
func (t *Table) near(folded string, n int) []string {
	type hit struct {
		away int
		text string
	}
	var hits []hit
	letters := utf8.RuneCountInString(folded)
	if letters > 64 { // half as long again as any name
		return []string{}
	}
	most := min(3, max(1, letters/4))
	for k, held := range t.holders {
		away := distance(folded, k, most)
		switch {
		case away <= most:
		case len(folded) >= 4 && strings.HasPrefix(k, folded):
			away = 4
		case len(folded) >= 4 && strings.Contains(k, folded):
			away = 5
		default:
			continue
		}
		hits = append(hits, hit{away, t.names[held[0]].text})
	}
	slices.SortFunc(hits, func(a, b hit) int {
		if a.away != b.away {
			return a.away - b.away
		}
		return strings.Compare(a.text, b.text)
	})
	out := []string{}
	for _, h := range hits {
		if len(out) < n && !slices.Contains(out, h.text) {
			out = append(out, h.text)
		}
	}
	return out
}

// distance is how many letters have to be put in, taken out, changed or
// swapped with their neighbour to make b of a (optimal string alignment); more
// than most is not counted any further.
func distance(a, b string, most int) int {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > most || -d > most {
		return most + 1
	}
	prev, last, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		lowest := i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(last[j]+1, cur[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], prev[j-2]+1)
			}
			lowest = min(lowest, cur[j])
		}
		if lowest > most {
			return most + 1
		}
		prev, last, cur = last, cur, prev
	}
	return last[len(y)]
}
