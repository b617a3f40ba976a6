package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	gtext "github.com/yuin/goldmark/text"

	"midwatch/casefile"
)

// parsed reads Markdown as GitHub does, and counts what it is made of.
func parsed(t testing.TB, b []byte) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(gtext.NewReader(b))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			kinds[n.Kind().String()]++
			if row, ok := n.(*east.TableRow); ok && row.ChildCount() != len(row.Parent().(*east.Table).Alignments) {
				t.Errorf("a row has %d cells", row.ChildCount())
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

func document0(t testing.TB, c *casefile.Case, o Options) []byte {
	t.Helper()
	return render(t, Markdown{}, "report.md", c, o)
}

// plainKinds are what a document of ours is made of, and nothing else.
func plainKinds(t testing.TB, name string, b []byte) map[string]int {
	t.Helper()
	kinds := parsed(t, b)
	for k, n := range kinds {
		switch k {
		case "Document", "Heading", "Paragraph", "TextBlock", "List", "ListItem", "Text", "String", "Emphasis", "Table", "TableHeader", "TableRow", "TableCell":
		default:
			t.Errorf("%s: %d of %s", name, n, k)
		}
	}
	return kinds
}

func TestMarkdownIsPlain(t *testing.T) {
	for name, c := range map[string]*casefile.Case{"case": readCase(t, "case"), "quiet": readCase(t, "quiet"), "empty": {}, "hostile": hostileCase(), "large": largeCase(300, 3)} {
		plainKinds(t, name, document0(t, c, Options{}))
	}
}

// Hostile text of every field changes nothing in how a document is built.
func TestMarkdownHostile(t *testing.T) {
	b := document0(t, hostileCase(), hostileOptions())
	hidden(t, "the document", b)
	if !bytes.Contains(b, []byte(`\<script\>alert\(1\)\</script\>`)) {
		t.Error("the document does not show hostile text as text")
	}
	var kinds []map[string]int
	for _, bad := range []string{"plain", "a|b", "**b** _i_ `c` ~~d~~", "[a](http://evil.example/)", "![a](x)", "<http://evil.example/>", "https://evil.example www.evil.example a@evil.example", "# h\n\n---\n> q\n1. x", "\\", "a\\|b | c", "&lt;b&gt;", "```\n", "- x", "1. x", "===", "<!--", "    code"} {
		c := hostileCase()
		k := &c.Campaigns[0]
		k.Title, k.Mailboxes[0].UPN, k.Mailboxes[0].Why, k.Timeline[0].Text = bad, bad, bad, bad
		c.Findings[0].Title, c.Findings[0].Why, c.Verdict[0].Text, c.Assertions[0].Text, c.Sources[0].Path = bad, bad, bad, bad, bad
		got := plainKinds(t, fmt.Sprintf("%q", bad), document0(t, c, Options{}))
		for _, k := range []string{"Text", "String"} { // how text is cut into pieces says nothing
			delete(got, k)
		}
		kinds = append(kinds, got)
		if a, b := fmt.Sprint(kinds[0]), fmt.Sprint(got); a != b {
			t.Errorf("%q builds\n%s, want\n%s", bad, b, a)
		}
	}
}

func TestMarkdownIsCutAloud(t *testing.T) {
	b := string(document0(t, largeCase(300, 3), Options{Rows: 10}))
	for _, want := range []string{"290 more findings in case.json", "290 more mailboxes in case.json", "290 more accounts in case.json", "290 more addresses in case.json", "290 more steps in case.json", "290 more cited records in case.json", "290 more files in case.json", "290 more logs in case.json"} {
		if !strings.Contains(b, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
	if n := strings.Count(b, "user-00"); n > 10*3 {
		t.Errorf("%d mentions of accounts in tables of 10 rows", n)
	}
}

// An absence never stands before the coverage, an answer never without it.
func TestMarkdownAbsenceAfterCoverage(t *testing.T) {
	for _, name := range []string{"case", "quiet"} {
		c := readCase(t, name)
		b := string(document0(t, c, Options{}))
		at := strings.Index(b, "\n## Coverage\n")
		n := 0
		for _, s := range c.Verdict {
			if i := strings.Index(b, md(prose(s.Text))); s.Kind == casefile.Absence {
				if n++; i < at || at < 0 {
					t.Errorf("%s: %q stands at %d, coverage at %d", name, s.Text, i, at)
				}
			}
		}
		for _, a := range c.Assertions {
			if !strings.Contains(b, "| "+md(a.Name)+" | "+md(answerWord(a.Answer))+" | "+md(coverSummary(a))+" |") {
				t.Errorf("%s: the answer about %s has no coverage beside it", name, a.Name)
			}
		}
	}
}

func FuzzMD(f *testing.F) {
	for _, s := range hostileStrings {
		f.Add(s)
	}
	f.Add("1) x")
	f.Add("+ x")
	f.Add("a  \nb\\")
	f.Fuzz(func(t *testing.T, s string) {
		out := md(s)
		for form, built := range map[string]int{"- %s\n": 1, "%s\n": 0, "| a | b |\n| --- | --- |\n| %s | x |\n": 0} {
			kinds := parsed(t, fmt.Appendf(nil, form, out))
			for _, k := range []string{"Link", "Image", "AutoLink", "RawHTML", "HTMLBlock", "CodeSpan", "CodeBlock", "FencedCodeBlock", "Strikethrough", "Emphasis", "Blockquote", "ThematicBreak", "Heading", "TaskCheckBox"} {
				if kinds[k] > 0 {
					t.Errorf("%q as %q makes a %s", s, out, k)
				}
			}
			if kinds["ListItem"] != built {
				t.Errorf("%q as %q makes %d items", s, out, kinds["ListItem"])
			}
		}
	})
}
