package report

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
)

func TestNeutral(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"plain":                "plain",
		"a=b":                  "a=b",
		"=1+1":                 "'=1+1",
		"+1":                   "'+1",
		"-1":                   "'-1",
		"@SUM(A1)":             "'@SUM(A1)",
		"\t=1":                 "'\t=1",
		"\r=1":                 "'\r=1",
		"\n=1":                 "'\n=1",
		"  =1":                 "'  =1",
		"＝1":                   "'＝1",
		"\u00a0@x":             "'\u00a0@x",
		"2024-01-01":           "2024-01-01",
		"a.b@fabrikam.example": "a.b@fabrikam.example",
	} {
		if got := neutral(in); got != want {
			t.Errorf("neutral(%q) = %q, want %q", in, got, want)
		}
	}
}

// No cell of any table begins a formula, whatever the case holds, and what is
// written can be read back.
func TestNoTableHoldsAFormula(t *testing.T) {
	for _, c := range []*casefile.Case{hostileCase(), formulaCase(), readCase(t, "case")} {
		for _, file := range (CSV{}).Files() {
			b := render(t, CSV{}, file, c, Options{})
			r := csv.NewReader(bytes.NewReader(b))
			rows, err := r.ReadAll()
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(rows) < 2 {
				t.Fatalf("%s: no rows", file)
			}
			for _, row := range rows {
				for _, cell := range row {
					if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(strings.TrimLeft(cell, " ")[0])) {
						t.Errorf("%s: cell %q is a formula", file, cell)
					}
				}
			}
		}
	}
}

// Every cell is quoted: a spreadsheet that splits at semicolons must not find
// a formula in the middle of a cell.
func TestCellsAreQuoted(t *testing.T) {
	c := readCase(t, "case")
	c.Campaigns[0].Mailboxes[0].Why = "x;=1+1"
	b := render(t, CSV{}, "mailboxes.csv", c, Options{})
	if !bytes.Contains(b, []byte(`,"x;=1+1",`)) {
		t.Errorf("not quoted: %s", b)
	}
}

func formulaCase() *casefile.Case {
	c := hostileCase()
	for i, s := range []string{"=1", "+1", "-1", "@x", "\t=1", "\r=1"} {
		k := i % len(c.Campaigns[0].Mailboxes)
		c.Campaigns[0].Mailboxes[k].UPN = s
		c.Campaigns[0].Mailboxes[k].Messages[0].Subject = s
		c.Campaigns[0].Accounts[k].UPN = s
		c.Findings[k].Title = s
	}
	return c
}

// A mailbox whose folders were synchronized names no message, and still has
// its rows.
func TestMessagesHaveWholeFolders(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(render(t, CSV{}, "messages.csv", readCase(t, "case"), Options{}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range rows {
		if r[1] == "hal.brandt@fabrikam.example" && r[2] == "whole_folder" && slices.Contains(r, string(casefile.Probable)) {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d whole folders of hal.brandt, want 2", n)
	}
}
