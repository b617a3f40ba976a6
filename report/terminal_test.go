package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTerminalColour(t *testing.T) {
	c := readCase(t, "case")
	plain := string(render(t, Terminal{}, "verdict.txt", c, Options{}))
	if strings.Contains(plain, "\x1b") {
		t.Error("colour without being asked")
	}
	colour := string(render(t, Terminal{}, "verdict.txt", c, Options{Color: true}))
	if !strings.Contains(colour, "\x1b[31m● confirmed\x1b[0m") {
		t.Error("no colour when asked")
	}
	for _, code := range []string{bold, faint, red, yellow, blue, "0"} {
		colour = strings.ReplaceAll(colour, "\x1b["+code+"m", "")
	}
	if colour != plain {
		t.Errorf("colour changes more than colour:\n%s", colour)
	}
}

func TestTerminalWidth(t *testing.T) {
	for _, width := range []int{60, 80, 100} {
		text := string(render(t, Terminal{}, "verdict.txt", readCase(t, "case"), Options{Width: width}))
		long := 0
		for _, l := range strings.Split(text, "\n") {
			if utf8.RuneCountInString(l) > width {
				long++
				t.Logf("%d: %s", width, l)
			}
			if strings.HasSuffix(l, " ") {
				t.Errorf("trailing blank: %q", l)
			}
		}
		if width >= 80 && long > 0 {
			t.Errorf("%d lines are longer than %d columns", long, width)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("x", 100), "one two " + strings.Repeat("y", 50) + " three", strings.Repeat("word ", 40)} {
		lines := wrap(text, 20)
		for _, l := range lines {
			if width(l) > 20 {
				t.Errorf("%q is longer than 20", l)
			}
		}
		if got := strings.ReplaceAll(strings.Join(lines, ""), " ", ""); got != strings.ReplaceAll(text, " ", "") {
			t.Errorf("wrap lost text: %q of %q", got, text)
		}
	}
}
