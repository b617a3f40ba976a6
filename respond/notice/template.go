package notice

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode"

	"midwatch/casefile"
	"midwatch/respond/clock"
)

//go:embed templates
var builtin embed.FS

// TemplateFiles lists the files of a set of templates, and an example of a
// contact file with them.
func TemplateFiles() []string {
	return []string{"common.tmpl", "employee.tmpl", "outside.tmpl", "regulator.tmpl", "contact.yaml"}
}

// TemplateFile is one of the built-in files.
func TemplateFile(name string) ([]byte, error) { return builtin.ReadFile("templates/" + name) }

// form is what a notice is written as.
type form int

const (
	plain form = iota // text/plain of a mail
	markdown
)

// Templates are Go text templates, one for each kind of recipient. Every value
// that they put in is escaped for the form that is written: the escaping is put
// into the parsed template, behind every action, so that no template can do
// without. Text of the template itself is taken as it is.
type Templates struct {
	set map[form]map[Kind]*template.Template
}

// ReadTemplates reads those of a folder; what it does not have is built in.
// Empty: all are built in. Errors name file and line.
func ReadTemplates(dir string) (*Templates, error) {
	text := map[string]string{}
	names := map[string]string{}
	for _, name := range TemplateFiles() {
		if !strings.HasSuffix(name, ".tmpl") {
			continue
		}
		b, err := TemplateFile(name)
		if err != nil {
			return nil, err
		}
		names[name] = name
		if dir != "" {
			own, err := os.ReadFile(filepath.Join(dir, name))
			switch {
			case err == nil:
				b, names[name] = own, filepath.Join(dir, name)
			case !errors.Is(err, fs.ErrNotExist):
				return nil, err
			}
		}
		text[name] = string(b)
	}
	if dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		for _, e := range entries { // a name that is misspelt would be passed over in silence
			if strings.HasSuffix(e.Name(), ".tmpl") && !slices.Contains(TemplateFiles(), e.Name()) {
				return nil, fmt.Errorf("templates: %s is none of %s", filepath.Join(dir, e.Name()), strings.Join(TemplateFiles()[:4], ", "))
			}
		}
	}
	t := &Templates{map[form]map[Kind]*template.Template{plain: {}, markdown: {}}}
	for f := range t.set {
		for _, k := range []Kind{Employee, Outside, Regulator} {
			root := template.New("notice").Funcs(funcs(f)).Option("missingkey=error")
			for _, name := range []string{"common.tmpl", string(k) + ".tmpl"} {
				if _, err := root.New(names[name]).Parse(text[name]); err != nil {
					return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "template: "))
				}
			}
			for _, part := range []string{"subject", "body"} {
				if root.Lookup(part) == nil {
					return nil, fmt.Errorf("%s: no {{define %q}}", names[string(k)+".tmpl"], part)
				}
			}
			for _, d := range root.Templates() {
				if d.Tree != nil {
					escapeAll(d.Tree, d.Tree.Root)
				}
			}
			t.set[f][k] = root
		}
	}
	return t, nil
}

// escapeName is the function behind every action.
const escapeName = "_escape"

// escapeAll puts the escaping behind every action of a list that prints.
func escapeAll(tree *parse.Tree, list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				f := parse.NewIdentifier(escapeName).SetTree(tree).SetPos(n.Pos)
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{f}})
			}
		case *parse.IfNode:
			escapeAll(tree, n.List)
			escapeAll(tree, n.ElseList)
		case *parse.RangeNode:
			escapeAll(tree, n.List)
			escapeAll(tree, n.ElseList)
		case *parse.WithNode:
			escapeAll(tree, n.List)
			escapeAll(tree, n.ElseList)
		}
	}
}

// made is text that one of our functions has escaped already.
type made string

// funcs are what templates can call.
func funcs(f form) template.FuncMap {
	escape := func(s string) string { return escapeFor(f, s) }
	return template.FuncMap{
		escapeName: func(v any) string {
			switch v := v.(type) {
			case made:
				return string(v)
			case domain:
				if Usable("a@" + string(v)) {
					if f == markdown {
						return clock.Escape(string(v))
					}
					return string(v)
				}
				return escape(string(v))
			case email:
				if Usable(string(v)) {
					if f == markdown {
						return clock.Escape(string(v))
					}
					return string(v)
				}
				return escape(string(v))
			}
			return escape(fmt.Sprint(v))
		},
		"heading": func(s string) made {
			if f == markdown {
				return made("## " + escape(s))
			}
			s = escape(s)
			return made(s + "\n" + strings.Repeat("-", len([]rune(s))))
		},
		"quote": func(s string) made {
			if strings.TrimSpace(s) == "" {
				return "(no subject)"
			}
			return made("“" + escape(s) + "”")
		},
		"words":    clock.Words,
		"day":      func(t casefile.Time) string { return timeWords(t, "2 January 2006") },
		"date":     func(t casefile.Time) string { return timeWords(t, "2006-01-02 15:04 UTC") },
		"moment":   func(t casefile.Time) string { return timeWords(t, "2 January 2006, 15:04 UTC") },
		"after":    func(a, b casefile.Time) bool { return a.After(b.Time) },
		"span":     span,
		"plural":   plural[int],
		"plural64": plural[int64],
		"upto":     upto,
		"more": func(n int, list any) (int, error) {
			l, err := length(list)
			return max(0, l-n), err
		},
	}
}

func timeWords(t casefile.Time, form string) string {
	if t.IsZero() {
		return "a time not known"
	}
	return t.UTC().Format(form)
}

func span(a, b casefile.Time) string {
	if a.IsZero() || b.IsZero() || b.Before(a.Time) {
		return "for a time not known"
	}
	switch d := b.Sub(a.Time); {
	case d < time.Hour:
		return "less than an hour"
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func upto(n int, list any) (any, error) {
	switch l := list.(type) {
	case []Message:
		return l[:min(n, len(l))], nil
	case []person:
		return l[:min(n, len(l))], nil
	}
	return nil, fmt.Errorf("upto: %T is no list of messages or people", list)
}

func length(list any) (int, error) {
	switch l := list.(type) {
	case []Message:
		return len(l), nil
	case []person:
		return len(l), nil
	}
	return 0, fmt.Errorf("more: %T is no list of messages or people", list)
}

// escapeFor makes text of others fit for a form: one line, nothing hidden, no
// link, and in Markdown no markup.
func escapeFor(f form, s string) string {
	s = unlink(s)
	if f == markdown {
		return clock.Escape(s)
	}
	return oneLine(s)
}

// oneLine shows control characters and those that turn the direction of text
// instead of obeying them.
func oneLine(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r == '\u200c' || r == '\u200d': // joiners: part of words
			b.WriteRune(r)
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unlink takes away what mail programs make links of: schemes, www., and dots
// between what may be labels of a name.
func unlink(s string) string {
	r := []rune(s)
	var b strings.Builder
	for i, c := range r {
		switch c {
		case '.', '。', '．', '｡':
			if i > 0 && i+2 < len(r) && word(r[i-1]) && unicode.IsLetter(r[i+1]) && word(r[i+2]) {
				b.WriteString("[.]")
				continue
			}
		case ':':
			if i+2 < len(r) && r[i+1] == '/' && r[i+2] == '/' {
				b.WriteString("[:]")
				continue
			}
		}
		b.WriteRune(c)
	}
	out := b.String()
	for _, scheme := range []string{"http", "mailto", "www."} {
		for {
			i := strings.Index(asciiLower(out), scheme)
			if i < 0 {
				break
			}
			out = out[:i+1] + "_" + out[i+1:]
		}
	}
	return out
}

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// asciiLower keeps every byte in its place.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
