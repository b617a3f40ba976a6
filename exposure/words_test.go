package exposure

import (
	"strings"
	"testing"
)

func found1(t *testing.T, s *scanner, text string) []string {
	t.Helper()
	var out []string
	for _, h := range s.find(text) {
		if text[h.start:h.end] != h.secret {
			t.Errorf("%q: the place holds %q, not %q", text, text[h.start:h.end], h.secret)
		}
		out = append(out, h.rule.kind+" "+h.secret)
	}
	return out
}

func testScanner(t testing.TB) *scanner {
	t.Helper()
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPasswordsInWords(t *testing.T) {
	s := testScanner(t)
	for text, want := range map[string]string{
		"The password is Lantern4821!":                   "Lantern4821!",
		"the password for the new share is Lantern4821.": "Lantern4821",
		"pw: xk7#Vq2m":                                       "xk7#Vq2m",
		"PWD = tiger99":                                      "tiger99",
		"Password (temporary): Winter2024":                   "Winter2024",
		"user: jo\npassword: Sommer!regen":                   "Sommer!regen",
		"Das Kennwort lautet Hafen-77-Licht":                 "Hafen-77-Licht",
		"Passwort für den Server: Hafen77":                   "Hafen77",
		"Le mot de passe est Soleil42, merci.":               "Soleil42",
		"Mot de passe : Soleil42":                            "Soleil42",
		"la contraseña es Verano2023":                        "Verano2023",
		"Clave: Verano2023":                                  "Verano2023",
		"A senha é Praia99x":                                 "Praia99x",
		"Het wachtwoord is Molen123":                         "Molen123",
		"Lösenordet är Fjord555":                             "Fjord555",
		"Hasło: Wisla_88":                                    "Wisla_88",
		"пароль: Zima2024":                                   "Zima2024",
		"密码：Chun2024":                                        "Chun2024",
		`The new password is "correct horse 7 staple".`:      "correct horse 7 staple",
		`password is "swordfish"`:                            "swordfish",
		"passphrase: Correct-Horse-Battery-Staple":           "Correct-Horse-Battery-Staple",
		"Password:\tLantern4821":                             "Lantern4821",
		"Wi-Fi password → guest2024":                         "guest2024",
		"Password: SwordFish":                                "SwordFish",
		"pwd=48213977":                                       "48213977",
		"[password=Lantern4821]":                             "Lantern4821",
		"The password is now Lantern4821!":                   "Lantern4821!",
		"(Passwort: oyql90%SFCVC7q)":                         "oyql90%SFCVC7q",
		"Password for jo@contoso.example is Lantern4821 now": "Lantern4821",
	} {
		if got := found1(t, s, text); len(got) != 1 || got[0] != "password "+want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"The password is required.", "the password is case-sensitive", "Password: ********", "password: (see the vault)", "Your password was reset.",
		"Password expires in 14 days", "The password is 12 characters long", "passwords are 8-16 characters", "the password is valid for 90days", "Password: ${DB_PASSWORD}", "password: <your password>",
		"password: %s", "password: {{ .Password }}", "Forgot password? https://portal.example/reset?token=1a2b3c4d5e6f",
		"Das Kennwort ist abgelaufen.", "Kennwort: erforderlich", "Le mot de passe est obligatoire", "La contraseña es necesaria", "The password is the same as last time.", "The pw is the same.",
		"password: jo@contoso.example", "password is on the yellow note", "password: notes.txt", "password reset id: 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10", "Password: 3c1f0a52-8a8e-2b0c-0d4f-6a3f6f1f9a10",
		"Password: d41d8cd98f00b204e9800998ecf8427e", "The password is \"required\".", "Password: Confidential", "password is wrong!", "password: xxxxxxxx", "password: ........", "password policy: https://wiki.example/p1",
		"passwordless sign-in is 2x faster", "Passwords: 12", "PWD=/home/jo/work2", "Password: YourPassword123example", "password: [redacted]", "mypassword", "password", "password:", "password: \n\nNext line",
	} {
		if got := found1(t, s, text); len(got) != 0 {
			t.Errorf("%q: found %q, want nothing", text, got)
		}
	}
}

// Tokens are put together from parts, so that no text here has the form of one.
func TestVendorsForms(t *testing.T) {
	s := testScanner(t)
	aws := "AK" + "IA" + "Q3EGRZ7KXW2LMN5P"
	gh := "gh" + "p_" + "a8Kd02LmQx7Zt5Rb9Vc1Ns4Wy6Ph3Jf0Ge2T"
	for text, want := range map[string]string{
		"key " + aws + ".":                             "aws-access-token " + aws,
		"(" + gh + ")":                                 "github-pat " + gh,
		"password: " + gh:                              "github-pat " + gh,
		"api_key=abcdefgh1234ABCDzz99":                 "generic-api-key abcdefgh1234ABCDzz99",
		"the api key for maps is 9f8e7d6c5b4a3210ffee": "generic-api-key 9f8e7d6c5b4a3210ffee",
		"Server=tcp:db.example,1433;Database=x;User ID=sa;Password=S3cr.et+x;Encrypt=True;": "connection-string S3cr.et+x",
		"postgres" + "://svc:Pa55word.x@db.example/app":                                     "url-credentials Pa55word.x",
		"https://files.example/d/1?sv=2022&sig=ab12cd34ef56gh78.":                           "signed-link https://files.example/d/1?sv=2022&sig=ab12cd34ef56gh78",
		"Recovery code: ABCDE-12345-FGHJ2":                                                  "recovery-code ABCDE-12345-FGHJ2",
	} {
		if got := found1(t, s, text); len(got) != 1 || got[0] != want {
			t.Errorf("%q: found %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"AKIA" + "IOSFODNN7" + "EXAMPLE", "api_key: YOUR_API_KEY", "The key: be patient", "key, attachment-12ab34cd56.docx", "commit 2330684903c2cd08b4f7b71a0cdc183097db9353",
		"https://news.example/unsubscribe?token=ab12cd34ef56gh78", "https://user:pass@host.example/x", "Authentication-Results: spf=pass1234567890abc", "token > something1234567890", "monkey: 1234567890abcdefXYZ",
	} {
		if got := found1(t, s, text); len(got) != 0 {
			t.Errorf("%q: found %q, want nothing", text, got)
		}
	}
}

func TestPersonalData(t *testing.T) {
	for text, want := range map[string]string{
		"card 4111 1111 1111 1111 please":                         "payment_card 4111111111111111",
		"Amex 3782-822463-10005":                                  "payment_card 378282246310005",
		"Visa: 4111111111111111":                                  "payment_card 4111111111111111",
		"order 4111111111111111":                                  "",
		"4111 1111 1111 1112":                                     "",
		"card 0000 0000 0000 0000":                                "",
		"41111111 11111111 card":                                  "",
		"IBAN DE89 3704 0044 0532 0130 00 THANKS":                 "iban DE89370400440532013000",
		"GB82WEST12345698765432":                                  "iban GB82WEST12345698765432",
		"DE00 3704 0044 0532 0130 00":                             "",
		"XX82WEST12345698765432":                                  "",
		"SSN 536-90-4399":                                         "us_ssn 536-90-4399",
		"536-90-4399":                                             "",
		"ssn 666-90-4399":                                         "",
		"NI number AB 12 34 56 C":                                 "uk_nino AB123456C",
		"AB 12 34 56 C":                                           "",
		"Steuer-ID 86 095 742 719":                                "de_tax_id 86095742719",
		"Steuer-ID 86 095 742 718":                                "",
		"passport number: C01X00T47":                              "passport C01X00T47",
		"passport control is 24 hours":                            "",
		"a line with 12345678901234567890123 digits and no sense": "",
	} {
		got := ""
		personalIn(personalKinds(), text, func(kind, value string, start int) { got += kind + " " + value })
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A secret is found wherever the windows that a text is read in are cut, once,
// and at its place.
func TestWindows(t *testing.T) {
	x := &reader{scan: testScanner(t), kinds: personalKinds()}
	line := strings.Repeat("All work and no play makes a dull letter. ", 2) + "\n"
	fill := strings.Repeat(line, 3*(windowStep+windowHead+windowTail)/len(line))
	key := "-----BEGIN RSA PRIVATE" + " KEY-----\n" + strings.Repeat(strings.Repeat("a1B2", 16)+"\n", 40) + "-----END RSA PRIVATE" + " KEY-----"
	for _, cut := range []int{0, 1, windowHead, windowStep - 20, windowStep - 3, windowStep, windowStep + windowHead - 30, windowStep + windowHead - 2, windowStep + windowHead, windowStep + windowHead + windowTail - 40,
		windowStep + windowHead + windowTail - 8, windowStep + windowHead + windowTail, 2*windowStep + windowHead - 9} {
		for name, secret := range map[string]string{"The password is ": "Lantern4821!", "": key} {
			text := fill[:cut] + "\n" + name + secret + "\nCard 4111 1111 1111 1111\n" + fill[cut:]
			var got []found
			cards := 0
			if err := x.scanText(strings.NewReader(text), func(f found) { got = append(got, f) }, func(string, string) { cards++ }); err != nil {
				t.Fatal(err)
			}
			at := strings.Index(text, secret)
			if len(got) != 1 || got[0].secret != secret || got[0].offset != int64(at) || got[0].line != int64(1+strings.Count(text[:at], "\n")) {
				t.Errorf("cut at %d: found %d secrets, want %.20q at %d: %+v", cut, len(got), secret, at, got)
			}
			if cards != 1 {
				t.Errorf("cut at %d: %d cards", cut, cards)
			}
		}
	}
}

func FuzzPasswordsInWords(f *testing.F) {
	s := testScanner(f)
	f.Add("The password is Lantern4821!")
	f.Add("пароль: \xff\xfe „x“ «»")
	f.Add("password: \"\"\npw = '''' pwd:\t\t")
	f.Fuzz(func(t *testing.T, text string) {
		for _, h := range s.find(text) {
			if h.start < 0 || h.end > len(text) || text[h.start:h.end] != h.secret || h.secret == "" {
				t.Errorf("%q: %+v", text, h)
			}
			if p := preview(h.rule, h.secret); len(h.secret) > 8 && strings.Contains(p, h.secret) {
				t.Errorf("the preview %q gives %q away", p, h.secret)
			}
		}
		personalIn(personalKinds(), text, func(_, value string, start int) {
			if start < 0 || start >= len(text) || value == "" {
				t.Errorf("%q: %q at %d", text, value, start)
			}
		})
	})
}
