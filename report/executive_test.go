package report

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"midwatch/casefile"
)

// The first page comes first, says the numbers of the gravest campaign by
// certainty, and leads to what it leaves out.
func TestExecutive(t *testing.T) {
	c := readCase(t, "case")
	o := testOptions(t)
	o.Exposure = &Exposure{Read: casefile.PerCertainty{Confirmed: 12}, Secrets: casefile.PerCertainty{Confirmed: 3, Possible: 2}}
	page := htmlOf(t, c, o)
	_, first, _ := strings.Cut(page, "<main>")
	first, _, _ = strings.Cut(first, "</section>")
	if !strings.Contains(first, `class="verdict executive"`) {
		t.Fatal("the page does not begin with its first page")
	}
	for _, want := range []string{"inside, as recorded", "Accounts in the actor’s hands", "Mailboxes reached", "Messages read", "Secrets in them", "in 12 messages whose content was read", `class="picture broad"`, "Not known", "Next"} {
		if !strings.Contains(first, want) {
			t.Errorf("the first page does not say %q", want)
		}
	}
	if strings.Contains(htmlOf(t, c, testOptions(t)), "Secrets in them") {
		t.Error("the page counts secrets of mail that nobody read")
	}
	for _, id := range []string{"established", "unknown", "coverage", "method", "sources", "evidence"} {
		if strings.Index(page, `id="verdict"`) > strings.Index(page, `id="`+id+`"`) || !strings.Contains(page, `href="#`+id+`"`) {
			t.Errorf("section %s", id)
		}
	}
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
}

// Certainties are told apart, and what is not certain is never the value while
// there is something that is.
func TestFirstPageNumbers(t *testing.T) {
	for _, x := range []struct {
		n     casefile.PerCertainty
		value string
		sure  casefile.Certainty
		lines int
	}{
		{casefile.PerCertainty{}, "0", casefile.Confirmed, 0},
		{casefile.PerCertainty{Confirmed: 5, Probable: 7, Possible: 900}, "5", casefile.Confirmed, 2},
		{casefile.PerCertainty{Probable: 7, Possible: 900}, "7", casefile.Probable, 1},
		{casefile.PerCertainty{Possible: 900}, "900", casefile.Possible, 0},
	} {
		var f figure
		f.most(x.n)
		if f.Value != x.value || f.Sure != x.sure || len(f.Lines) != x.lines {
			t.Errorf("%+v: %+v", x.n, f)
		}
	}
}

// The section on method says how certainty is defined, and every detector that
// was asked.
func TestMethod(t *testing.T) {
	c := readCase(t, "case")
	var b strings.Builder
	if err := view(t, c, Options{Version: "v9.9 <b>"}).Part(&b, "method"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"never added up", "by Midwatch v9.9 &lt;b&gt;", c.Schema} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the section on method does not say %q", want)
		}
	}
	for _, a := range c.Assessed {
		if !strings.Contains(b.String(), a.Detector) {
			t.Errorf("detector %s is not named", a.Detector)
		}
	}
}

// Each colour of text and of pictures stands out from the paper: 4.5 to 1 for
// text, 3 to 1 for graphics (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	style, err := Style()
	if err != nil {
		t.Fatal(err)
	}
	light, rest, _ := strings.Cut(string(style), "@media (prefers-color-scheme: dark)")
	dark, _, _ := strings.Cut(rest, "* {")
	_, paper, _ := strings.Cut(rest, "@media print")
	for name, css := range map[string]string{"light": light, "dark": dark, "print": paper} {
		colour := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`).FindAllStringSubmatch(css, -1) {
			colour[m[1]] = m[2]
		}
		for _, ground := range []string{"paper", "sheet"} {
			for token, want := range map[string]float64{"ink": 4.5, "ink-soft": 4.5, "link": 4.5, "confirmed": 4.5, "probable": 4.5, "possible": 4.5, "gap": 3, "line": 3, "have-line": 3, "rule-firm": 3} {
				if got := contrast(colour[token], colour[ground]); got < want && !(token == "rule-firm" && ground == "sheet") {
					t.Errorf("%s: --%s on --%s has %.2f to 1, want %g", name, token, ground, got, want)
				}
			}
		}
	}
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(hex string) float64 {
	hex = strings.TrimPrefix(hex, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return -1
	}
	linear := func(v uint64) float64 {
		f := float64(v&255) / 255
		if f <= 0.03928 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}
