package exposure

import (
	_ "embed"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
	"github.com/BurntSushi/toml"
)

// The rules by which vendors' secrets are known are those of gitleaks 8.30.1,
// config/gitleaks.toml as it stands there (MIT licence, rules/gitleaks.LICENSE).
// Its engine is not used: it reads repositories, brings 70 modules along, and
// its findings carry the secret through its own logging.
//
//go:embed rules/gitleaks.toml
var gitleaksTOML string

// rule finds secrets of one kind in text.
type rule struct {
	id       string
	kind     string // what the secret is called
	doc      string
	keywords []string // lower case; the rule is asked where one of them is
	pattern  func() *regexp.Regexp
	group    int     // submatch that is the secret; 0: the first that is not empty, or the match
	entropy  float64 // least, in bits a byte
	digit    bool    // it has a digit in it
	allow    []allow // what is no secret
	// accept decides on what the pattern found, and may shorten it; nil accepts.
	accept func(secret, match string) (string, bool)
	before int  // bytes before a keyword in which the pattern is asked
	reach  int  // the same behind it
	vendor bool // the form is a vendor's: it goes before others at the same place
	vague  bool // it is known by a word beside it: others go before
}

// rank says which of two rules knows more about a secret that both find.
func (r *rule) rank() int {
	switch {
	case r.vendor:
		return 2
	case r.vague:
		return 0
	}
	return 1
}

// allow says which matches are no secrets.
type allow struct {
	all       bool // all of its conditions must hold, not one
	target    string
	patterns  []*regexp.Regexp
	stopwords []string
	never     bool // it has a condition that mail cannot meet
}

// ruleFile is gitleaks' file, as far as it concerns text.
type ruleFile struct {
	Allowlist allowFile
	Rules     []struct {
		ID, Description, Regex, Path string
		SecretGroup                  int
		Entropy                      float64
		Keywords                     []string
		Allowlists                   []allowFile
	}
}

type allowFile struct {
	Condition, RegexTarget             string
	Regexes, Stopwords, Paths, Commits []string
}

func (f *allowFile) compile() (allow, error) {
	a := allow{all: strings.EqualFold(f.Condition, "AND"), target: f.RegexTarget, stopwords: f.Stopwords}
	a.never = a.all && len(f.Paths)+len(f.Commits) > 0 || len(f.Regexes)+len(f.Stopwords) == 0
	for _, p := range f.Regexes {
		x, err := regexp.Compile(p)
		if err != nil {
			return a, err
		}
		a.patterns = append(a.patterns, x)
	}
	return a, nil
}

// holds reports whether the match is none.
func (a *allow) holds(secret, match, line string) bool {
	if a.never {
		return false
	}
	text := secret
	switch a.target {
	case "match":
		text = match
	case "line":
		text = line
	}
	pattern := slices.ContainsFunc(a.patterns, func(x *regexp.Regexp) bool { return x.MatchString(text) })
	low := strings.ToLower(secret)
	word := slices.ContainsFunc(a.stopwords, func(w string) bool { return strings.Contains(low, w) })
	if a.all {
		return (pattern || len(a.patterns) == 0) && (word || len(a.stopwords) == 0)
	}
	return pattern || word
}

// scanner finds secrets in text. It is safe for concurrent use.
type scanner struct {
	rules  []rule
	global allow
	trie   *ahocorasick.Trie
	words  [][]int // keyword -> rules
}

// What may stand behind a secret in code, as the file has it at the end of most
// rules; in prose sentences end there, too, and brackets close.
const (
	codeEnd  = `(?:[\x60'"\s;]|\\[nr]|$)`
	proseEnd = `(?:[\x60'"\s;.,:!?<>()\[\]{}]|\\[nr]|$)`
)

func newScanner() (*scanner, error) {
	var f ruleFile
	if _, err := toml.Decode(gitleaksTOML, &f); err != nil {
		return nil, fmt.Errorf("read the rules for secrets: %w", err)
	}
	s := &scanner{}
	var err error
	if s.global, err = f.Allowlist.compile(); err != nil {
		return nil, fmt.Errorf("rules for secrets: %w", err)
	}
	for _, r := range f.Rules {
		// Rules for files of one name judge little by the text itself: in mail
		// they would be guesses.
		if r.Regex == "" || len(r.Keywords) == 0 || r.Path != "" {
			continue
		}
		r.Regex = strings.ReplaceAll(r.Regex, codeEnd, proseEnd)
		x := rule{id: r.ID, kind: r.ID, doc: r.Description, group: r.SecretGroup, entropy: r.Entropy, vendor: true,
			pattern: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(r.Regex) }), reach: longest(r.Regex)}
		for _, k := range r.Keywords {
			x.keywords = append(x.keywords, strings.ToLower(k))
		}
		for i := range r.Allowlists {
			a, err := r.Allowlists[i].compile()
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", r.ID, err)
			}
			x.allow = append(x.allow, a)
		}
		if r.ID == "generic-api-key" {
			x.vendor, x.vague, x.digit, x.accept = false, true, true, genericInMail
		}
		s.rules = append(s.rules, x)
	}
	s.rules = append(s.rules, ownRules()...)
	s.index()
	return s, nil
}

// index makes the automaton that finds all keywords in one pass.
func (s *scanner) index() {
	at := map[string]int{}
	var list []string
	for i := range s.rules {
		r := &s.rules[i]
		if r.before == 0 {
			r.before = reachBefore
		}
		if r.reach == 0 {
			r.reach = reachBlock
		}
		for _, k := range r.keywords {
			n, ok := at[k]
			if !ok {
				n = len(list)
				at[k] = n
				list = append(list, k)
				s.words = append(s.words, nil)
			}
			s.words[n] = append(s.words[n], i)
		}
	}
	s.trie = ahocorasick.NewTrieBuilder().AddStrings(list).Build()
}

// longest is how long a match of a pattern is at most, within reason: of
// repetitions without an end, those of many characters are blocks.
func longest(pattern string) int {
	x, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return reachBlock // compiling it says what is wrong
	}
	return min(longestOf(x)+16, reachBlock)
}

func longestOf(x *syntax.Regexp) (n int) {
	switch x.Op {
	case syntax.OpLiteral:
		return len(string(x.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpQuest:
		return longestOf(x.Sub[0])
	case syntax.OpStar, syntax.OpPlus:
		return reachOpen * longestOf(x.Sub[0])
	case syntax.OpRepeat:
		switch {
		case x.Max >= 0:
			return x.Max * longestOf(x.Sub[0])
		case x.Min >= 64:
			return reachBlock
		}
		return max(reachOpen, x.Min) * longestOf(x.Sub[0])
	case syntax.OpConcat:
		for _, s := range x.Sub {
			n += longestOf(s)
		}
	case syntax.OpAlternate:
		for _, s := range x.Sub {
			n = max(n, longestOf(s))
		}
	}
	return n
}

// hit is a secret in a text.
type hit struct {
	rule       *rule
	secret     string
	start, end int // bytes of the secret in the text
}

// How far from a rule's keyword its pattern is asked, in bytes: patterns without
// a fixed begin are slow, and most text has no secret. Keys in blocks are long,
// and so are a few tokens.
const (
	reachBefore = 128
	reachOpen   = 256 // of repetitions without an end
	reachBlock  = windowTail
)

// span is a part of a text.
type span struct{ from, to int }

// find lists the secrets of a text, by place. At one place the vendor's rule
// goes before others, the longer match before the shorter.
func (s *scanner) find(text string) []hit {
	low := strings.ToLower(text)
	if len(low) != len(text) { // letters whose lower case is longer
		low = asciiLower(text)
	}
	near := map[int][]span{}
	s.trie.Walk([]byte(low), func(end, n, pattern int64) bool {
		for _, r := range s.words[pattern] {
			x := span{max(0, int(end-n)+1-s.rules[r].before), min(len(text), int(end)+1+s.rules[r].reach)}
			list := near[r]
			if k := len(list) - 1; k >= 0 && x.from <= list[k].to {
				list[k].to = max(list[k].to, x.to)
				continue
			}
			near[r] = append(list, x)
		}
		return true
	})
	if len(near) == 0 {
		return nil
	}
	var hits []hit
	for i := range s.rules {
		for _, x := range near[i] {
			hits = s.apply(&s.rules[i], text, x, hits)
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		if d := b.rule.rank() - a.rule.rank(); d != 0 {
			return d
		}
		return (b.end - b.start) - (a.end - a.start)
	})
	var out []hit
	for _, h := range hits {
		if !slices.ContainsFunc(out, func(o hit) bool { return h.start < o.end && o.start < h.end }) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b hit) int { return a.start - b.start })
	return out
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

// apply asks a rule about a part of a text. The part is cut where words end, so
// that its edges make none, and behind at a blank: tokens are as long as they are.
func (s *scanner) apply(r *rule, text string, x span, hits []hit) []hit {
	for x.from > 0 && wordByte(text[x.from-1]) && wordByte(text[x.from]) {
		x.from--
	}
	for most := min(len(text), x.to+reachBlock); x.to < most && text[x.to] > ' '; {
		x.to++
	}
	for _, m := range r.pattern().FindAllStringSubmatchIndex(text[x.from:x.to], -1) {
		for i := range m {
			if m[i] >= 0 {
				m[i] += x.from
			}
		}
		lo, hi := m[0], m[1]
		switch {
		case r.group > 0 && 2*r.group+1 < len(m):
			lo, hi = m[2*r.group], m[2*r.group+1]
		default:
			for g := 2; g+1 < len(m); g += 2 {
				if m[g] >= 0 && m[g+1] > m[g] {
					lo, hi = m[g], m[g+1]
					break
				}
			}
		}
		if lo < 0 || hi <= lo {
			continue
		}
		secret, match := text[lo:hi], text[m[0]:m[1]]
		if r.vague && m[0] > 0 && strings.IndexByte("?&/#", text[m[0]-1]) >= 0 {
			continue // a parameter of a link: links for a day are everywhere in mail
		}
		if r.accept != nil {
			short, ok := r.accept(secret, match)
			if !ok {
				continue
			}
			lo += strings.Index(secret, short)
			secret, hi = short, lo+len(short)
		}
		if r.entropy > 0 && entropy(secret) <= r.entropy || r.digit && !strings.ContainsAny(secret, "0123456789") {
			continue
		}
		line := lineAround(text, lo, hi)
		if s.global.holds(secret, match, line) || slices.ContainsFunc(r.allow, func(a allow) bool { return a.holds(secret, match, line) }) {
			continue
		}
		hits = append(hits, hit{rule: r, secret: secret, start: lo, end: hi})
	}
	return hits
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= 0x80
}

// lineAround is the line, or the lines, that a match stands in.
func lineAround(text string, lo, hi int) string {
	lo = strings.LastIndexByte(text[:lo], '\n') + 1
	if i := strings.IndexByte(text[hi:], '\n'); i >= 0 {
		return text[lo : hi+i]
	}
	return text[lo:]
}

// entropy is Shannon's, in bits a byte.
func entropy(s string) float64 {
	var n [256]int
	for i := range len(s) {
		n[s[i]]++
	}
	e := 0.0
	for _, c := range n {
		if c > 0 {
			p := float64(c) / float64(len(s))
			e -= p * math.Log2(p)
		}
	}
	return e
}
