package report

import (
	"testing"
	"time"

	"midwatch/casefile"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                   "plain",
		"Grüße, 日本語, עברית":       "Grüße, 日本語, עברית",
		"a\u200db":                "a\u200db",
		"\x1b[31mred":             `\x1b[31mred`,
		"invoice\u202efdp.exe":    `invoice\u202efdp.exe`,
		"a\r\nb":                  `a\r\nb`,
		"\xff":                    `\xff`,
		"tab\there":               `tab\there`,
		"zero\u200bwidth \u2066x": `zero\u200bwidth \u2066x`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := cleanLines("a\r\n\tb\x00"); got != "a\n\tb\\x00" {
		t.Errorf("cleanLines: %q", got)
	}
}

func TestWordsForNumbers(t *testing.T) {
	for got, want := range map[string]string{
		number(0): "0", number(999): "999", number(1000): "1,000", number(-1234567): "-1,234,567",
		plural(1, "mailbox/mailboxes"): "1 mailbox", plural(2, "mailbox/mailboxes"): "2 mailboxes", plural(0, "record"): "0 records",
		percent(0): "0 %", percent(0.0002): "under 0.1 %", percent(0.034): "3.4 %", percent(0.24): "24 %", percent(0.999): "over 99 %", percent(1): "100 %",
		decimal(2.5): "2.5", decimal(4320): "4,320", decimal(1.8833333): "1.88", decimal(29.90): "29.9", decimal(0.0123): "0.012",
		span(90 * time.Minute): "90 minutes", span(50 * time.Hour): "2 days",
		bytesText(999): "999 bytes", bytesText(1843220): "1.8 MB",
		stamp(casefile.Time{}): "not known",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestProse(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"granted at 2023-12-05T00:48:03.25547Z.": "granted at 2023-12-05 00:48:03 UTC.",
		"from 2023-12-05T00:48:03Z to 2023-12-06T00:00:00Z": "from 2023-12-05 00:48:03 UTC to 2023-12-06 00:00:00 UTC",
		"T and Z, 2023-99-05T00:48:03Z":                     "T and Z, 2023-99-05T00:48:03Z",
		"TTTTTTTTTTTTTTTTZ":                                 "TTTTTTTTTTTTTTTTZ",
	} {
		if got := prose(in); got != want {
			t.Errorf("prose(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"the log is missing": "The log is missing.", "svc-test added it": "svc-test added it.", "Done.": "Done.", "": ""} {
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}
