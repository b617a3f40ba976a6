package sigma

import (
	"regexp"
	"strings"
)

// maxCondition bounds a condition's bytes, and how deep it is nested.
const (
	maxCondition = 4 << 10
	maxDepth     = 64
)

// condition reads a condition (specification, "Condition"). From least to most
// binding: or, and, not, x of search-identifier, parentheses.
func (d *detection) condition(text string, at place) (expr, error) {
	if len(text) > maxCondition {
		return nil, at.refuse("the condition has more than %d bytes", maxCondition)
	}
	p := &conditionParser{d: d, at: at}
	for rest := text; ; {
		rest = strings.TrimLeft(rest, " \t\r\n")
		if rest == "" {
			break
		}
		n := strings.IndexFunc(rest, func(c rune) bool { return strings.ContainsRune("() \t\r\n|", c) })
		switch {
		case n < 0:
			n = len(rest)
		case rest[0] == '|':
			return nil, at.refuse("aggregations in a condition (| count() …) are no longer part of Sigma; write a correlation")
		case n == 0:
			n = 1
		}
		p.tokens = append(p.tokens, rest[:n])
		rest = rest[n:]
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.next() != "" {
		return nil, at.refuse("%q is not expected where it stands in the condition", p.next())
	}
	return e, nil
}

type conditionParser struct {
	d      *detection
	at     place
	tokens []string
}

func (p *conditionParser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

// take takes the next token if it is this word.
func (p *conditionParser) take(word string) bool {
	if strings.EqualFold(p.next(), word) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *conditionParser) or(depth int) (expr, error) {
	var any disj
	for {
		e, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		any = append(any, e)
		if !p.take("or") {
			return simple(any), nil
		}
	}
}

func (p *conditionParser) and(depth int) (expr, error) {
	var all conj
	for {
		e, err := p.not(depth)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		if !p.take("and") {
			if len(all) == 1 {
				return all[0], nil
			}
			return all, nil
		}
	}
}

func (p *conditionParser) not(depth int) (expr, error) {
	if depth > maxDepth {
		return nil, p.at.refuse("the condition is nested more than %d deep", maxDepth)
	}
	if p.take("not") {
		e, err := p.not(depth + 1)
		return neg{e}, err
	}
	if p.take("(") {
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.at.refuse("a parenthesis of the condition is not closed")
		}
		return e, nil
	}
	word := p.next()
	if word == "" {
		return nil, p.at.refuse("the condition ends where something is expected")
	}
	p.tokens = p.tokens[1:]
	// "of" makes the word before a number, unless a search identifier is called so.
	if strings.EqualFold(p.next(), "of") {
		p.tokens = p.tokens[1:]
		return p.of(word)
	}
	if e, ok := p.d.exprs[word]; ok {
		p.d.named[word] = true
		return e, nil
	}
	if strings.Contains(word, "*") {
		return nil, p.at.refuse("%q needs \"1 of\" or \"all of\" before it", word)
	}
	return nil, p.at.refuse("%q is not a search identifier of the detection", word)
}

// of reads what follows "1 of" and "all of". Search identifiers that begin with
// an underscore are left out, unless the pattern begins so too.
func (p *conditionParser) of(quantity string) (expr, error) {
	all := strings.EqualFold(quantity, "all")
	if !all && quantity != "1" {
		return nil, p.at.refuse("\"%s of\" is not in the specification: 1 of, all of", quantity)
	}
	pattern := p.next()
	if pattern == "" || pattern == "(" || pattern == ")" {
		return nil, p.at.refuse("\"%s of\" needs \"them\" or a pattern of search identifiers behind it", quantity)
	}
	p.tokens = p.tokens[1:]
	re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
	var es []expr
	for _, n := range p.d.names {
		them := strings.EqualFold(pattern, "them")
		if (them || re.MatchString(n)) && (!strings.HasPrefix(n, "_") || strings.HasPrefix(pattern, "_")) {
			p.d.named[n] = true
			es = append(es, p.d.exprs[n])
		}
	}
	switch {
	case len(es) == 0:
		return nil, p.at.refuse("no search identifier is meant by %q", pattern)
	case len(es) == 1:
		return es[0], nil
	case all:
		return conj(es), nil
	}
	return disj(es), nil
}
