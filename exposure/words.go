package exposure

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// ownRules find what people write in plain words, and what gitleaks leaves to
// others: connection strings, addresses with a password in them, signed links.
func ownRules() []rule {
	return []rule{
		{
			id: "password-in-words", reach: 400, kind: "password", doc: "A password written out in words", pattern: sync.OnceValue(passwordPattern), accept: acceptPassword,
			keywords: []string{"passw", "passphrase", "passcode", "pwd", "pw:", "pw :", "pw=", "pw is", "kennw", "kennung", "losungswort", "mot de passe", "mdp", "contrase", "clave", "senha", "wachtwoord", "lösenord", "losenord", "lösen", "hasło", "haslo", "parola", "adgangskode", "salasana", "heslo", "пароль", "密码", "パスワード"},
		},
		{
			id: "key-in-words", reach: 400, kind: "generic-api-key", doc: "A key or token of a service, by the words before it", entropy: 3, digit: true, vague: true,
			keywords: []string{"key", "secret", "token"},
			pattern: sync.OnceValue(func() *regexp.Regexp {
				return regexp.MustCompile(`(?i)\b(?:api|access|secret|client|service|account|auth|bearer|app|application|shared)[ \t_-]?(?:access[ \t_-]?)?(?:key|secret|token)(?:[ \t]+(?:for|of|to|für|von|pour|para)[ \t]+[^\r\n:=;,]{1,60}?)?(?:[ \t]*(?::|=|→|\t)|[ \t]+(?:is(?: now)?|ist|lautet|est|es))[ \t]*["'` + "`" + `]?([a-z0-9_~+/=.-]{16,200})`)
			}),
			accept: func(s, _ string) (string, bool) {
				s = strings.TrimRight(s, ".")
				return s, len(s) >= 16 && !strings.HasPrefix(s, "//") && !uuidLike(s) && !placeholder(s) && !fileLike(s) && strings.IndexFunc(s, unicode.IsLetter) >= 0
			},
		},
		{
			id: "recovery-code", reach: 400, kind: "recovery-code", doc: "A code that stands in for a second factor",
			keywords: []string{"recovery", "backup code", "wiederherstellung", "récupération", "recuperaci"},
			pattern: sync.OnceValue(func() *regexp.Regexp {
				return regexp.MustCompile(`(?i)\b(?:recovery (?:codes?|keys?)|backup codes?|wiederherstellungs(?:code|schlüssel)|codes? de r(?:é|e)cup(?:é|e)ration|c(?:ó|o)digos? de recuperaci(?:ó|o)n)(?:\s+(?:is|are|ist|lautet|est|es))?[ \t]*[:=]?[ \t]*\r?\n?[ \t]*([A-Z0-9]{4,8}(?:-[A-Z0-9]{4,8}){1,9})\b`)
			}),
			accept: func(s, _ string) (string, bool) {
				return s, strings.ContainsAny(s, "0123456789") && (strings.Count(s, "-") > 1 || s != strings.ToLower(s)) && !uuidLike(s)
			},
		},
		{
			id: "connection-string", before: 1000, reach: 300, kind: "connection-string", doc: "The password or key in a connection string", vendor: true,
			keywords: []string{"password=", "pwd=", "password =", "pwd =", "accountkey=", "sharedaccesskey="},
			pattern: sync.OnceValue(func() *regexp.Regexp {
				return regexp.MustCompile(`(?i)\b(?:server|data source|host|endpoint|accountname|user id|uid|user|username|database|initial catalog|sharedaccesskeyname|defaultendpointsprotocol)\s*=[^;\r\n]{1,300};(?:[^\r\n]{0,600}?;)?\s*(?:password|pwd|accountkey|sharedaccesskey)\s*=\s*([^;\s"'<>]{4,200})`)
			}),
			accept: func(s, _ string) (string, bool) { return s, !placeholder(s) },
		},
		{
			id: "url-credentials", reach: 500, kind: "url-credentials", doc: "The password in the address of a service", vendor: true, keywords: []string{"://"},
			pattern: sync.OnceValue(func() *regexp.Regexp {
				return regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@"'<>?#]{1,100}:([^\s/@"'<>?#]{4,100})@[a-z0-9][a-z0-9.-]{2,200}`)
			}),
			accept: func(s, _ string) (string, bool) { return s, !placeholder(s) && !ordinary(s) },
		},
		{
			id: "signed-link", before: 1000, reach: 900, kind: "signed-link", doc: "A link that opens what it names to whoever has it", vendor: true, keywords: []string{"sig=", "signature=", "access_token=", "x-amz-signature="},
			pattern: sync.OnceValue(func() *regexp.Regexp {
				return regexp.MustCompile(`(?i)\b(https?://[^\s<>"']{4,900}[?&](?:sig|signature|x-amz-signature|access_token)=[a-z0-9%._~+/=-]{8,400}(?:&[^\s<>"']{1,400})?)`)
			}),
			accept: func(s, _ string) (string, bool) {
				s = strings.TrimRight(s, ".,;:!)")
				_, value, _ := strings.Cut(strings.ToLower(s), "sig")
				return s, strings.ContainsAny(value, "0123456789") && !placeholder(value)
			},
		},
	}
}

// passwordPattern is a word for password, perhaps what it is for, a word or
// sign that says "is", and what follows.
func passwordPattern() *regexp.Regexp {
	const word = `passwor[dt]s?|passphrase|passcode|passwd|passw|pwd?|kennw(?:o|ö)rt(?:er)?|losungswort|mot de passe|mdp|contrase(?:ñ|n)a|clave|senha|wachtwoord|l(?:ö|o)senord(?:et)?|has(?:ł|l)o|parola(?: d'ordine)?|adgangskode|salasana|heslo|пароль|密码|パスワード`
	const of = `(?:[ \t]+(?:for|to|of|on|from|für|fuer|von|zum|zur|zu|pour|de|du|des|del|para|da|do|voor|van|till|per|di|к|от)[ \t]+[^\r\n:=;,]{1,60}?)?`
	const is = `(?:[ \t]*(?::|=|→|：|\t|->|=>)|[ \t]+(?:is(?: now)?|ist(?: jetzt)?|lautet|was|est|es|é|è|is nu|är|er|to|jest|je))`
	return regexp.MustCompile(`(?i)(?:^|[^\pL\d_])(?:` + word + `)` + of + `[ \t]*(?:\([^)\r\n]{0,30}\))?` + is + `[ \t]*("[^"\r\n]{4,64}"|'[^'\r\n]{4,64}'|“[^”\r\n]{4,64}”|„[^“”\r\n]{4,64}[“”]|«[^»\r\n]{4,64}»|` + "`[^`\r\n]{4,64}`" + `|[^\s"'“”„«»<>` + "`" + `]{4,64})`)
}

// acceptPassword decides whether what follows a word for password is one, and
// not the rest of a sentence. What is quoted counts as it stands; else it needs
// a digit or a sign besides letters, or letters that change their case within
// the word. Words of a dictionary are therefore found between quotes only.
func acceptPassword(s, match string) (string, bool) {
	quoted := false
	for _, q := range []string{`"`, `'`, "`", "“", "„", "«"} {
		if strings.HasPrefix(s, q) {
			_, n := utf8.DecodeRuneInString(s)
			_, end := utf8.DecodeLastRuneInString(s)
			s, quoted = s[n:len(s)-end], true
			break
		}
	}
	if !quoted {
		s = strings.TrimRight(s, ".,;:?)]}")
	}
	n := utf8.RuneCountInString(s)
	if n < 4 || n > 64 || placeholder(s) || uuidLike(s) || hashLike(s) || strings.Contains(s, "://") || strings.HasPrefix(s, "//") || strings.HasPrefix(s, "/") && strings.Count(s, "/") > 1 || strings.Contains(s, "()") || strings.HasPrefix(strings.ToLower(s), "www.") || mailLike(s) {
		return "", false
	}
	var lower, upper, digit, sign, inner int
	for i, r := range s {
		switch {
		case unicode.IsDigit(r):
			digit++
		case unicode.IsUpper(r):
			upper++
			if i > 0 {
				inner++
			}
		case unicode.IsLetter(r):
			lower++
		case r == '-' || r == '\'' || r == '’' || r == '.' || r == '/' || r == '_' || r == ',': // also in words
		default:
			sign++
		}
	}
	letters := lower + upper
	if quoted {
		// Quoted words may be a button's or a rule's: "forgot password".
		return s, !strings.ContainsAny(s, " \t") && n >= 5 && (digit > 0 || sign > 0 || !ordinary(s)) || digit > 0 && sign+letters > 3 && n >= 8
	}
	separated := strings.ContainsAny(strings.TrimSuffix(match, s), ":=\t→：")
	switch {
	case letters == 0 && (sign == 0 || digit == 0): // 4711, 8-16, 12/2024
		return s, separated && digit >= 6 && digit == n
	case fileLike(s), looksLikeUnit(s), sign > 0 && trailing(s) && digit == 0 && inner == 0:
		return "", false
	case digit > 0 && letters > 0:
		return s, n >= 5
	case sign > 0 && letters > 0:
		return s, n >= 6 && !strings.ContainsAny(s, "()[]{}|")
	case separated && inner > 0 && strings.Count(s, "-") >= 3: // Correct-Horse-Battery-Staple
		return s, strings.Trim(s, "-") == s
	case inner > 0 && lower > 0 && upper < n-1 && n >= 7 && !strings.ContainsAny(s, "-/.,"):
		return s, !ordinary(s)
	}
	return "", false
}

// trailing reports whether the only signs stand at the end, as in "now!".
func trailing(s string) bool {
	t := strings.TrimRightFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.IndexFunc(t, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) < 0
}

// ordinary reports whether a quoted or mixed word is one of those that stand
// beside "password" without being one.
func ordinary(s string) bool {
	switch strings.ToLower(s) {
	case "password", "passwords", "pass", "passwd", "passw0rd", "sample", "user", "required", "expired", "incorrect", "invalid", "changed", "reset", "forgot", "protected", "unknown", "hidden", "secret", "confidential", "encrypted", "wrong",
		"strong", "weak", "missing", "optional", "below", "above", "attached", "admin", "administrator", "username", "email", "sharepoint", "onedrive", "javascript", "lastpass", "onepassword", "keepass",
		"none", "null", "true", "false", "empty", "default", "same", "ungültig", "falsch", "abgelaufen", "erforderlich", "requis", "expiré", "incorrecto", "requerido":
		return true
	}
	return false
}

// placeholder reports whether a text stands for a secret instead of being one.
func placeholder(s string) bool {
	low := strings.ToLower(s)
	for _, p := range []string{"***", "•••", "●●", "xxxx", "....", "____", "----", "${", "{{", "<", "redacted", "your-", "your_", "yourpass", "placeholder", "example", "changeme", "removed", "geschwärzt", "[", "insert", "mypassword", "$(", "####"} {
		if strings.Contains(low, p) {
			return true
		}
	}
	r, _ := utf8.DecodeRuneInString(s)
	return r != utf8.RuneError && strings.Trim(s, string(r)) == "" || strings.HasPrefix(s, "$") && !strings.ContainsAny(s, "0123456789") || strings.HasPrefix(s, "%") && (strings.HasSuffix(s, "%") || len(s) == 2 || strings.HasPrefix(s, "%("))
}

func uuidLike(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && strings.Trim(strings.ToLower(s), "0123456789abcdef-") == ""
}

// hashLike reports whether a text has the form of a digest: MD5 and longer.
func hashLike(s string) bool {
	return (len(s) == 32 || len(s) == 40 || len(s) == 56 || len(s) == 64 || len(s) == 96 || len(s) == 128) && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

func mailLike(s string) bool {
	i := strings.IndexByte(s, '@')
	return i > 0 && i == strings.LastIndexByte(s, '@') && strings.Contains(s[i:], ".") && !strings.HasSuffix(s, ".") && strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("@._+-", r)
	}) < 0
}

func fileLike(s string) bool {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 {
		return false
	}
	switch strings.ToLower(s[i+1:]) {
	case "txt", "pdf", "doc", "docx", "xls", "xlsx", "zip", "html", "htm", "kdbx", "csv", "png", "jpg", "com", "net", "org", "aspx", "php":
		return true
	}
	return false
}

// looksLikeUnit reports whether a text is a number with a unit: 90days, 2nd.
func looksLikeUnit(s string) bool {
	t := strings.TrimLeft(s, "0123456789.,-–+")
	if len(t) == len(s) {
		return false
	}
	switch strings.ToLower(strings.Trim(t, "-")) {
	case "days", "day", "tage", "hours", "h", "min", "minutes", "st", "nd", "rd", "th", "am", "pm", "characters", "chars", "zeichen", "x", "times", "years", "digit", "digits", "bit", "bits", "stellig", "fach":
		return true
	}
	return false
}

// genericInMail narrows the rule for anything beside a word like "key": in mail
// a comma and a greater-than sign are punctuation, not assignment.
func genericInMail(s, match string) (string, bool) {
	before := strings.TrimRight(match[:strings.LastIndex(match, s)], " \t`'\"")
	if before == "" || !strings.ContainsRune(":=", rune(before[len(before)-1])) && !strings.HasSuffix(before, "=>") {
		return "", false
	}
	s = strings.TrimRight(s, ".")
	low := strings.ToLower(before)
	for _, w := range []string{"reset", "verif", "confirm", "unsubscribe", "hash", "digest", "checksum", "fingerprint", "thumbprint", "primary key", "foreign key", "ticket", "issue", "jira", "message", "correlation", "request", "session", "public key", "key id", "keyid", "key-id", "track"} {
		if strings.Contains(low, w) {
			return "", false
		}
	}
	return s, len(s) >= 10 && !uuidLike(s) && !hashLike(s) && !placeholder(s) && !fileLike(s) && !mailLike(s)
}
