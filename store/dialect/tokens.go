package dialect

import (
	"fmt"
	"strings"
)

// kind says what a token is.
type kind int

const (
	space    kind = iota // white space and comments
	word                 // keyword, name, number, quoted name
	text                 // string literal; token.text is its value
	argument             // ?
	symbol
)

type token struct {
	kind kind
	text string
}

// tokens cuts a question. It knows standard SQL's literals: text is quoted with
// ', which is doubled inside; names may be quoted with ".
func tokens(q string) ([]token, error) {
	var out []token
	for i := 0; i < len(q); {
		c := q[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			for i < len(q) && strings.IndexByte(" \t\n\r", q[i]) >= 0 {
				i++
			}
			out = append(out, token{space, " "})
		case strings.HasPrefix(q[i:], "--"):
			for i < len(q) && q[i] != '\n' {
				i++
			}
			out = append(out, token{space, " "})
		case strings.HasPrefix(q[i:], "/*"):
			end := strings.Index(q[i+2:], "*/")
			if end < 0 {
				return nil, fmt.Errorf("dialect: a comment does not end")
			}
			i += end + 4
			out = append(out, token{space, " "})
		case c == '\'':
			var b strings.Builder
			for i++; ; i++ {
				if i >= len(q) {
					return nil, fmt.Errorf("dialect: a text that begins at byte %d does not end", start)
				}
				if q[i] == '\'' {
					if i+1 < len(q) && q[i+1] == '\'' {
						i++
					} else {
						break
					}
				}
				b.WriteByte(q[i])
			}
			i++
			out = append(out, token{text, b.String()})
		case c == '"':
			end := strings.IndexByte(q[i+1:], '"')
			if end < 0 || strings.Contains(q[i+1:i+1+end], "\\") {
				return nil, fmt.Errorf("dialect: a quoted name that begins at byte %d does not end, or holds a backslash", start)
			}
			i += end + 2
			out = append(out, token{word, q[start:i]})
		case c == '?':
			i++
			out = append(out, token{argument, "?"})
		case isWord(c):
			for i < len(q) && (isWord(q[i]) || q[i] == '.' && i+1 < len(q) && '0' <= q[i+1] && q[i+1] <= '9' && '0' <= c && c <= '9') {
				i++
			}
			out = append(out, token{word, q[start:i]})
		default:
			n := 1
			for _, two := range []string{"->>", "::", "<>", "<=", ">=", "!=", "||", "==", "//", "->"} {
				if strings.HasPrefix(q[i:], two) {
					n = len(two)
					break
				}
			}
			if c < ' ' || c == '`' || c == '\\' || c == '$' || c == '#' || c == '@' || c > '~' {
				return nil, fmt.Errorf("dialect: %q at byte %d is not in the notation", c, i)
			}
			i += n
			out = append(out, token{symbol, q[start:i]})
		}
	}
	return out, nil
}

func isWord(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
