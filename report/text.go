package report

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"midwatch/casefile"
)

// clean makes a string from a log fit to be shown: control characters and
// those that turn the direction of text are written as escapes, so that a
// subject cannot move a terminal's cursor or show "gpj.exe" as "exe.jpg".
// Letters of all scripts, and the joiners that some need, stay.
func clean(s string) string { return escapeHidden(s, false) }

// cleanLines is clean for text that may have several lines.
func cleanLines(s string) string { return escapeHidden(s, true) }

func escapeHidden(s string, lines bool) string {
	hidden := func(r rune) bool {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return false
		case r == '\u200c' || r == '\u200d': // joiners: part of words and of emoji
			return false
		}
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	}
	if utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i, w := 0, 0; i < len(s); i += w {
		var r rune
		r, w = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && w == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case lines && r == '\r' && strings.HasPrefix(s[i+1:], "\n"):
		case hidden(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shown returns a copy of c in which every string is clean. Doing it to the
// whole case leaves no field to be forgotten.
func shown(c *casefile.Case) *casefile.Case {
	return cleanCopy(reflect.ValueOf(c)).Interface().(*casefile.Case)
}

func cleanCopy(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		return reflect.ValueOf(clean(v.String())).Convert(v.Type())
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(cleanCopy(v.Elem()))
		return out
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[casefile.Time]() {
			return v
		}
		out := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			out.Field(i).Set(cleanCopy(v.Field(i)))
		}
		return out
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(cleanCopy(v.Index(i)))
		}
		return out
	case reflect.Map:
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(cleanCopy(it.Key()), cleanCopy(it.Value()))
		}
		return out
	}
	return v
}

// number writes n with separators: 1234567 as 1,234,567.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if neg {
		return "-" + s
	}
	return s
}

// plural returns "1 mailbox", "2 mailboxes". A word that does not take an s is
// given with its plural after a slash: "mailbox/mailboxes".
func plural(n int64, word string) string {
	one, many, ok := strings.Cut(word, "/")
	if !ok {
		many = one + "s"
	}
	if n == 1 {
		return number(n) + " " + one
	}
	return number(n) + " " + many
}

// decimal writes a count that may have a fraction: 3, 0.25, 1,200.
func decimal(f float64) string {
	if f == float64(int64(f)) && f < 1e15 && f > -1e15 {
		return number(int64(f))
	}
	if f > -0.1 && f < 0.1 {
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
	return strings.TrimRight(strconv.FormatFloat(f, 'f', 2, 64), "0")
}

// percent writes a share of 0..1. A share that is not nothing is never shown
// as 0 %, and one that is not everything never as 100 %.
func percent(f float64) string {
	switch {
	case f <= 0:
		return "0 %"
	case f < 0.001:
		return "under 0.1 %"
	case f < 0.1:
		return strconv.FormatFloat(f*100, 'f', 1, 64) + " %"
	case f >= 1:
		return "100 %"
	case f > 0.99:
		return "over 99 %"
	}
	return strconv.FormatFloat(f*100, 'f', 0, 64) + " %"
}

// stamp writes a time in full, UTC, to the second.
func stamp(t casefile.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// minute writes a time to the minute, for headlines.
func minute(t casefile.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2 Jan 2006, 15:04")
}

// day writes a date.
func day(t casefile.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2 Jan 2006")
}

// span writes a duration in the two largest units that matter.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "not known"
	case d < time.Minute:
		return plural(int64(d/time.Second), "second")
	case d < 2*time.Hour:
		return plural(int64(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return plural(int64(d/time.Hour), "hour")
	}
	return plural(int64(d/(24*time.Hour)), "day")
}

// bytesText writes a size.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return plural(n, "byte")
	case n < 1000*1000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	case n < 1000*1000*1000:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	}
	return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + " GB"
}

// prose makes the times in a statement readable: "2023-12-05T00:48:03.25547Z"
// as "2023-12-05 00:48:03 UTC". case.json keeps them in full.
func prose(s string) string {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], 'T')
		if i < 0 {
			return s
		}
		i += from
		from = i + 1
		end := strings.IndexByte(s[i:], 'Z')
		if i < len("2006-01-02") || end < 0 || end > len("T15:04:05.999999999") {
			continue
		}
		start := i - len("2006-01-02")
		t, err := time.Parse(time.RFC3339Nano, s[start:i+end+1])
		if err != nil {
			continue
		}
		s = s[:start] + t.Format("2006-01-02 15:04:05") + " UTC" + s[i+end+1:]
	}
}

// sentence begins a statement with a capital, unless it begins with a name, and
// ends it with a full stop.
func sentence(s string) string {
	s = prose(s)
	first, _, _ := strings.Cut(s, " ")
	if first != "" && strings.IndexFunc(first, func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	if s != "" && !strings.ContainsAny(s[len(s)-1:], ".!?:") {
		s += "."
	}
	return s
}

// words turns a key of the contract into words: "origin_outside" into "origin
// outside".
func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// sourceName names a log for people.
func sourceName(source, kind string) string {
	if s, k, ok := strings.Cut(source, "/"); ok && kind == "" {
		source, kind = s, k
	}
	name := words(source)
	switch source {
	case "ual":
		name = "Unified audit log"
	case "signin":
		name = "Entra sign-ins"
	case "directory":
		name = "Entra directory audit"
	case "graph_activity":
		name = "Microsoft Graph activity"
	case "message_trace":
		name = "Message trace"
	case "defender":
		name = "Defender XDR"
	case "risk":
		name = "Entra risk events"
	case "azure_activity":
		name = "Azure activity"
	case "okta":
		name = "Okta system log"
	case "google":
		name = "Google Workspace reports"
	}
	if kind == "noninteractive" {
		kind = "non-interactive"
	}
	if kind != "" {
		name += ", " + words(kind)
	}
	return name
}

// techniqueName gives the name of an ATT&CK technique that Midwatch's detectors
// speak of; of others the id has to do. Source: MITRE ATT&CK Enterprise.
func techniqueName(id string) string {
	switch id {
	case "T1110":
		return "Brute force"
	case "T1110.001":
		return "Password guessing"
	case "T1110.003":
		return "Password spraying"
	case "T1110.004":
		return "Credential stuffing"
	case "T1078":
		return "Valid accounts"
	case "T1078.004":
		return "Valid accounts: cloud accounts"
	case "T1098":
		return "Account manipulation"
	case "T1098.001":
		return "Additional cloud credentials"
	case "T1098.002":
		return "Additional email delegate permissions"
	case "T1098.003":
		return "Additional cloud roles"
	case "T1136.003":
		return "Create account: cloud account"
	case "T1114":
		return "Email collection"
	case "T1114.002":
		return "Remote email collection"
	case "T1114.003":
		return "Email forwarding rule"
	case "T1528":
		return "Steal application access token"
	case "T1550.001":
		return "Use of application access tokens"
	case "T1550.004":
		return "Use of web session cookies"
	case "T1539":
		return "Steal web session cookie"
	case "T1564.008":
		return "Email hiding rules"
	case "T1090.002", "T1090":
		return "Proxy"
	case "T1199":
		return "Trusted relationship"
	case "T1556":
		return "Modify authentication process"
	case "T1562.008":
		return "Disable or modify cloud logs"
	case "T1671":
		return "Cloud application integration"
	}
	return ""
}

// certaintyMeaning says what a certainty means, in the words of the contract.
func certaintyMeaning(c casefile.Certainty) string {
	switch c {
	case casefile.Confirmed:
		return "a record names it"
	case casefile.Probable:
		return "the folder was synchronized, or reads went unrecorded while somebody could read"
	case casefile.Possible:
		return "could have been reached; the logs cannot say"
	}
	return ""
}

// Plain makes a string from a log safe for a terminal: control characters are
// shown, not obeyed.
func Plain(s string) string { return clean(s) }

// unclearedWord is the word for so many of what cannot be cleared: the case
// has it in the plural.
func unclearedWord(n int64, what string) string {
	switch {
	case n != 1:
		return what
	case what == "mailboxes":
		return "mailbox"
	}
	return strings.TrimSuffix(what, "s")
}
