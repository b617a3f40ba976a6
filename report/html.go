package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"midwatch/casefile"
)

// HTML writes report.html: one file that asks for nothing from anywhere, can
// be mailed, printed and read on a phone, and has no script.
//
// html/template escapes every value for the place it stands in; the page's
// content security policy forbids everything but its own style sheet, should
// that ever fail.
type HTML struct{}

//go:embed assets
var assets embed.FS

// Name implements [Format].
func (HTML) Name() string { return "html" }

// Doc implements [Format].
func (HTML) Doc() string {
	return "report.html: one self-contained page, verdict first, every claim linked to its log lines"
}

// Files implements [Format].
func (HTML) Files() []string { return []string{"report.html"} }

// Write implements [Format].
func (f HTML) Write(w io.Writer, file string, c *casefile.Case, o Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	style, err := Style()
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	v, err := NewView(c, o)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	b := v.page
	sum := sha256.Sum256(style)
	b.Style = template.CSS(style)
	b.Policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	return v.execute(w, "page.html", b)
}

func pageFuncs() template.FuncMap {
	return template.FuncMap{
		"number": number, "plural": plural, "uncleared": unclearedWord, "decimal": decimal, "percent": percent, "bytes": bytesText,
		"stamp": stamp, "day": day, "minute": minute, "words": words, "source": sourceName,
		"technique": techniqueName, "meaning": certaintyMeaning,
		"int64":  func(n int) int64 { return int64(n) },
		"anchor": anchor, "memberkind": memberKind, "clean": clean,
		"span":   span,
		"answer": answerKey, "answerword": answerWord, "cover": coverWord, "least": leastCovered, "between": between,
		"figures": figures, "ratio": ratioWords, "chance": chance, "rank": rankWords, "verb": verb, "inhours": inHours, "coversummary": coverSummary, "capital": capital,
		"pair":  func(a, b any) pair { return pair{a, b} },
		"meter": newMeter,
		"hours": func(h float64) string { return span(time.Duration(h * float64(time.Hour))) },
		"rejected": func(rs []casefile.Rejected) (n int64) {
			for _, r := range rs {
				n += r.Count
			}
			return n
		},
		"iso":   func(t casefile.Time) string { return t.String() },
		"known": known, "sentence": sentence, "prose": prose,
		"parts": func(s string) []string { return strings.Split(s, "@") },
		"join":  func(s []string) string { return strings.Join(s, ", ") },
		"short": func(s string, n int) string {
			if r := []rune(s); len(r) > n {
				return string(r[:n]) + "…"
			}
			return s
		},
		"certainties": func(n casefile.PerCertainty) []certainCount {
			return []certainCount{{casefile.Confirmed, n.Confirmed}, {casefile.Probable, n.Probable}, {casefile.Possible, n.Possible}}
		},
	}
}

// known lets only the contract's own words become names of classes and shapes.
func known(word any) string {
	switch s := fmt.Sprint(word); s {
	case "confirmed", "probable", "possible", "critical", "high", "medium", "low", "info":
		return s
	}
	return ""
}

// pair hands two things to a template.
type pair struct{ A, B any }

// meter is a small bar; Part is in hundredths.
type meter struct {
	N, Of int64
	Part  float64
}

func newMeter(n, of int64) meter {
	m := meter{N: n, Of: of}
	if of > 0 {
		m.Part = round(100 * float64(min(n, of)) / float64(of))
	}
	return m
}

// anchor makes the id of an element out of an id of the case. Ids that are not
// plain are hashed, so that an anchor and the links to it are always the same.
func anchor(prefix, id string) string {
	plain := func(r rune) bool {
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-' || r == '_'
	}
	if id == "" || len(id) > 80 || strings.IndexFunc(id, func(r rune) bool { return !plain(r) }) >= 0 {
		sum := sha256.Sum256([]byte(id))
		return prefix + "-x" + hex.EncodeToString(sum[:8])
	}
	return prefix + "-" + id
}

type certainCount struct {
	Certainty casefile.Certainty
	Count     int64
}
