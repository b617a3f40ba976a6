package actor

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	for want, spellings := range map[string][]string{
		"apt29":            {"APT29", "APT 29", "APT-29", "apt_29", " Apt\u00a029 ", "ＡＰＴ２９", "APT29 - G0016", "A\u200bPT29", "APT\u201029"},
		"dukes":            {"The Dukes", "Dukes", "the dukes", "THE-DUKES"},
		"asnarok":          {"Asnarök", "Asnaro\u0308k", "ASNAROK"},
		"ayyildiztim":      {"Ayyıldız Tim", "AYYILDIZ TIM"},
		"unc2452":          {"UNC2452", "UNC 2452", "unc-2452"},
		"g0016":            {"G0016", "g0016", "G 0016"},
		"狼毒草":              {"狼毒草"},
		"theta":            {"Theta"},
		"theit":            {"The IT"}, // too little would be left
		"noname05716":      {"NoName057(16)"},
		"tg2884scwxctu":    {"TG-2884 (SCWX CTU)"},
		"":                 {"", " ", "---", "\x00\x1b", "\xff\xfe", "🐻", strings.Repeat("a", MaxName+1)},
		"midnightblizzard": {"Midnight Blizzard", "midnight-blizzard", "Midnight\nBlizzard"},
	} {
		for _, s := range spellings {
			if got := Fold(s); got != want {
				t.Errorf("Fold(%.40q) is %q, want %q", s, got, want)
			}
		}
	}
	if got := keys("TG-2884 (SCWX CTU)"); !slices.Equal(got, []string{"tg2884scwxctu", "tg2884"}) {
		t.Errorf("keys are %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		most int
		want int
	}{{"", "", 3, 0}, {"a", "", 3, 1}, {"cozybear", "cosybear", 3, 1}, {"cozybaer", "cozybear", 3, 1}, {"kitten", "sitting", 3, 3}, {"kitten", "sitting", 2, 3}, {"short", "muchlonger", 2, 3}, {"öl", "ol", 3, 1}} {
		if got := distance(c.a, c.b, c.most); got != c.want {
			t.Errorf("distance(%q, %q, %d) is %d, want %d", c.a, c.b, c.most, got, c.want)
		}
	}
}

// FuzzFold holds any name to what Fold promises.
func FuzzFold(f *testing.F) {
	for _, s := range []string{"APT29", "The Dukes", "Ayyıldız", "\xff", "the", "the the the", "ﷺ", "x - G0016", "Ａ (ｂ)", "İ"} {
		f.Add(s)
	}
	a := loaded(f)
	f.Fuzz(func(t *testing.T, s string) {
		k := Fold(s)
		if !utf8.ValidString(k) || strings.IndexFunc(k, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) >= 0 {
			t.Errorf("Fold(%q) is %q", s, k)
		}
		if again := squeeze(k); again != k {
			t.Errorf("Fold(%q) is %q, folded again %q", s, k, again)
		}
		if up := Fold(s + " "); len(s) < MaxName && up != k {
			t.Errorf("Fold(%q) is %q, with a blank %q", s, k, up)
		}
		r := a.Resolve(s)
		if (len(r.Candidates) > 0) != (len(a.holders[k]) > 0) || len(r.Candidates) > 0 && len(r.Suggestions) > 0 || len(r.Suggestions) > 8 {
			t.Errorf("Resolve(%q): %d candidates, %d suggestions", s, len(r.Candidates), len(r.Suggestions))
		}
	})
}

// FuzzParse: no table makes the parser panic, and what it accepts answers.
func FuzzParse(f *testing.F) {
	f.Add("mitre\tG0001\tmain\tX\t\nmisp\tX\tmain\tX\tV\n", "misp\tmisp\tX\tsimilar\tmitre\tG0001\tlikely\n", "G0001\tT1078\n", "T1078\tValid\t\t\tcloud\ta,b\n")
	f.Add("a\tb\tmain\tc\t\n", "#\t\n", "#\t\n", "#\t\n")
	f.Add("", "", "", "")
	f.Add("mitre\tG0001\tmain\tX\t\nmitre\tG0002\tmain\tX\t\n", "mitre\tmitre\tG0001\trevoked-by\tmitre\tG0001\t\n", "G0001\t\n", "T1\tV\trevoked\tT1\t\t\n")
	f.Fuzz(func(t *testing.T, names, relations, groups, techniques string) {
		a, err := parse(names, relations, groups, techniques)
		if err != nil {
			return
		}
		for i, n := range a.names {
			if i < 20 && len(a.Resolve(n.text).Candidates) == 0 {
				t.Errorf("%q is in the table and not found", n.text)
			}
		}
		var ids []string
		for id := range a.techniques {
			ids = append(ids, id)
		}
		for _, m := range a.Consistent(ids[:min(len(ids), 20)]).Matches {
			if m.Percentile < 0 || m.Percentile > 1 || m.ByChance < 0 {
				t.Errorf("%+v", m)
			}
		}
	})
}
