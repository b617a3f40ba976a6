package exposure

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// personalKind is a kind of personal data that decides duties to notify.
// Values are checked by their own arithmetic where they have one, and by words
// beside them where chance would often do.
type personalKind struct {
	kind, doc string
	pattern   func() *regexp.Regexp
	// scan lists what may be values, where a pattern would be slow: half of mail
	// is numbers. Nil: pattern does.
	scan func(text string) []span
	// words must stand near the match; empty: none has to.
	words []string
	// accept checks a value and normalizes it. near is the text beside it.
	accept func(value, near string) (string, bool)
}

// personalKinds lists the kinds. Health data is not among them: no pattern
// tells it from talk about health.
func personalKinds() []personalKind {
	once := func(s string) func() *regexp.Regexp {
		return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(s) })
	}
	return []personalKind{
		{"payment_card", "number of a payment card: issuer's prefix and length, check digit by Luhn; ungrouped numbers only beside a word for card",
			nil, numbersIn, nil, acceptCard},
		{"iban", "international bank account number: length of its country, check digits modulo 97 (ISO 13616)",
			nil, accountsIn, nil, acceptIBAN},
		{"us_ssn", "US social security number: form and ranges that are issued, beside words for it",
			once(`\b\d{3}-\d{2}-\d{4}\b`), nil, []string{"ssn", "social security", "soc sec"}, acceptSSN},
		{"uk_nino", "UK national insurance number: form and prefixes that are issued, beside words for it",
			once(`\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b`), nil, []string{"national insurance", "nino", "ni number", "ni no", "n.i."}, acceptNINO},
		{"de_tax_id", "German tax identification number: check digit (ISO 7064 modulo 11, 10) and repetition of digits, beside words for it",
			once(`\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b`), nil, []string{"steuer", "idnr", "id-nr", "tax id", "tin"}, acceptTaxID},
		{"passport", "passport number: letters and digits right after words for it",
			once(`(?i)\b(?:passport|reisepass|passeport|pasaporte|passaporto)[a-zé-]{0,8}(?:[ \t]{1,2}(?:number|no|nr|nummer|num(?:é|e)ro|n(?:ú|u)mero))?[ \t]{0,2}[.:#°=]{0,2}[ \t]{0,2}([A-Z0-9]{6,9})\b`), nil, []string{"passport", "reisepass", "passeport", "pasaporte", "passaporto"}, acceptPassport},
	}
}

// nearby is how far from a value a word is beside it, in bytes.
const nearby = 60

// personalIn calls found for each value of personal data in a text.
func personalIn(kinds []personalKind, text string, found func(kind, value string, start int)) {
	if len(text) < 6 || !strings.ContainsAny(text, "0123456789") {
		return
	}
	low := asciiLower(text)
	has := func(words []string, in string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(in, w) })
	}
	for i := range kinds {
		k := &kinds[i]
		if len(k.words) > 0 && !has(k.words, low) {
			continue
		}
		var list []span
		if k.scan != nil {
			list = k.scan(text)
		} else {
			for _, m := range k.pattern().FindAllStringSubmatchIndex(text, -1) {
				n := len(m) - 2 // the group, where there is one
				list = append(list, span{m[n], m[n+1]})
			}
		}
		for _, x := range list {
			lo, hi := x.from, x.to
			near := low[max(0, lo-nearby):min(len(low), hi+nearby)]
			if len(k.words) > 0 && !has(k.words, near) {
				continue
			}
			if v, good := k.accept(text[lo:hi], near); good {
				found(k.kind, v, lo)
			}
		}
	}
}

// numbersIn lists runs of 13 to 19 digits that single blanks or dashes divide.
func numbersIn(text string) (out []span) {
	for i := 0; i < len(text); i++ {
		if !digit(text[i]) || i > 0 && wordByte(text[i-1]) {
			continue
		}
		n, end := 0, i
		for k := i; k < len(text); k++ {
			if digit(text[k]) {
				n, end = n+1, k+1
			} else if text[k] != ' ' && text[k] != '-' || k > end {
				break
			}
		}
		if n >= 13 && n <= 19 && (end == len(text) || !wordByte(text[end])) {
			out = append(out, span{i, end})
		}
		i = end - 1
	}
	return out
}

// accountsIn lists what begins like an account number: two capitals, two
// digits, and capitals and digits in groups.
func accountsIn(text string) (out []span) {
	for i := 2; i+1 < len(text); i++ {
		if !digit(text[i]) || !digit(text[i+1]) || !capital(text[i-1]) || !capital(text[i-2]) || i > 2 && wordByte(text[i-3]) {
			continue
		}
		end := i
		for k := i; k < len(text) && k < i+45; k++ {
			if digit(text[k]) || capital(text[k]) {
				end = k + 1
			} else if text[k] != ' ' || k > end {
				break
			}
		}
		if end-i >= 12 {
			out = append(out, span{i - 2, end})
		}
	}
	return out
}

func digit(c byte) bool   { return '0' <= c && c <= '9' }
func capital(c byte) bool { return 'A' <= c && c <= 'Z' }

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func acceptCard(s, near string) (string, bool) {
	d := digits(s)
	if !luhn(d) || strings.Trim(d, d[:1]) == "" {
		return "", false
	}
	n := len(d)
	four, two := d[:4], d[:2]
	switch {
	case d[0] == '4' && (n == 13 || n == 16 || n == 19):
	case two >= "51" && two <= "55" && n == 16, four >= "2221" && four <= "2720" && n == 16:
	case (two == "34" || two == "37") && n == 15:
	case (four == "6011" || two == "65") && n == 16, two == "35" && n == 16, two == "62" && n >= 16, (two == "36" || two == "38") && n == 14:
	default:
		return "", false
	}
	for _, g := range []string{" ", "-"} {
		parts := strings.Split(s, g)
		if len(parts) == 4 && len(parts[0]) == 4 && len(parts[1]) == 4 && len(parts[2]) == 4 || len(parts) == 3 && len(parts[0]) == 4 && len(parts[1]) == 6 {
			return d, true
		}
	}
	if d != s {
		return "", false // grouped in a way in which no card is
	}
	for _, w := range []string{"card", "visa", "amex", "karte", "carte", "tarjeta", "cvv", "cvc", "carta "} {
		if strings.Contains(near, w) {
			return d, true
		}
	}
	return "", false
}

// luhn checks a number's last digit. Source: ISO/IEC 7812-1, annex B.
func luhn(d string) bool {
	sum := 0
	for i := range len(d) {
		x := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			if x *= 2; x > 9 {
				x -= 9
			}
		}
		sum += x
	}
	return sum%10 == 0
}

// ibanLength is how long a country's account numbers are. Source: IBAN
// registry of SWIFT, release 99.
func ibanLength(country string) int {
	const table = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
	i := strings.Index(table, country)
	if i < 0 || i%5 != 0 {
		return 0
	}
	return int(table[i+2]-'0')*10 + int(table[i+3]-'0')
}

func acceptIBAN(s, _ string) (string, bool) {
	s = strings.ReplaceAll(s, " ", "")
	n := ibanLength(s[:2])
	if n == 0 || len(s) < n {
		return "", false
	}
	s = s[:n] // words in capitals may follow, behind a blank
	rest := 0
	for _, c := range s[4:] + s[:4] {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return s, rest == 1
}

func acceptSSN(s, _ string) (string, bool) {
	area := s[:3]
	return s, area != "000" && area != "666" && area < "900" && s[4:6] != "00" && s[7:] != "0000" && s != "078-05-1120" && s != "219-09-9999"
}

func acceptNINO(s, _ string) (string, bool) {
	s = strings.ReplaceAll(s, " ", "")
	switch s[:2] {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return "", false
	}
	return s, true
}

// acceptTaxID checks a German tax id: of the first ten digits one occurs twice
// or three times, one or two do not occur, the rest once.
// Source: Bundeszentralamt für Steuern, "Aufbau der Identifikationsnummer".
func acceptTaxID(s, _ string) (string, bool) {
	d := digits(s)
	if len(d) != 11 || d[0] == '0' {
		return "", false
	}
	var n [10]int
	for _, c := range d[:10] {
		n[c-'0']++
	}
	twice, thrice := 0, 0
	for _, c := range n {
		switch {
		case c == 2:
			twice++
		case c == 3:
			thrice++
		case c > 3:
			return "", false
		}
	}
	if twice+thrice != 1 {
		return "", false
	}
	p := 10
	for _, c := range d[:10] {
		x := (int(c-'0') + p) % 10
		if x == 0 {
			x = 10
		}
		p = x * 2 % 11
	}
	return d, (11-p)%10 == int(d[10]-'0')
}

func acceptPassport(s, _ string) (string, bool) {
	return strings.ToUpper(s), len(digits(s)) >= 5
}
