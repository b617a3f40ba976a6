package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"midwatch/detect"
	"midwatch/detect/sigmarules"
	"midwatch/report"
)

func newDetectors(std stdio) *cobra.Command {
	var asJSON, markdown bool
	c := &cobra.Command{
		Use:   "detectors [ID]",
		Short: "List the detectors and built-in Sigma rules with their identity cards",
		Long: `List the detectors and the built-in Sigma rules: how severe what they find
usually is, at which stage of a campaign, and how many false alarms of medium
severity or more a tenant and day are expected of each (- where it is not known).

With an ID, or the beginning of one, print its card whole: why it matters, what
else it could be, which logs it needs, and which would make it surer.`,
		Example: `  midwatch detectors
  midwatch detectors slow_spray
  midwatch detectors --json | jq '.[] | {ID, Techniques}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := sigmarules.Builtin()
			if err != nil {
				return err
			}
			all := themed(set)
			switch {
			case len(args) == 1:
				k, err := find(all, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(std, k)
				}
				return printCard(std.out, k.Card, k.Theme)
			case asJSON:
				return printJSON(std, all)
			case markdown:
				return writeDetectors(std.out, all)
			}
			return listDetectors(std.out, all)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&markdown, "markdown", false, "print every card as Markdown, as docs/DETECTORS.md")
	return c
}

// themedCard is a card with the group it is shown in.
type themedCard struct {
	Theme string
	detect.Card
}

// themed lists the cards by theme: of our detectors, then of Sigma rules.
func themed(sets ...sigmarules.Set) []themedCard {
	var out []themedCard
	for _, t := range detect.Themes(detect.Settings{}) {
		for _, d := range t.Detectors {
			out = append(out, themedCard{t.Name, d.Card()})
		}
	}
	for _, k := range sigmarules.Cards(sets...) {
		out = append(out, themedCard{"Sigma rules", k})
	}
	return out
}

// cards lists the cards of all detectors, and of the rules of sets.
func cards(sets []sigmarules.Set) []detect.Card {
	var out []detect.Card
	for _, k := range themed(sets...) {
		out = append(out, k.Card)
	}
	return out
}

// find finds a card by id, by the beginning of one, or by a rule's file name.
func find(all []themedCard, id string) (themedCard, error) {
	var found []themedCard
	for _, k := range all {
		if k.ID == id {
			return k, nil
		}
		if strings.HasPrefix(k.ID, id) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return themedCard{}, fmt.Errorf("no detector %q; `midwatch detectors` lists them", id)
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, k := range found {
		ids = append(ids, k.ID)
	}
	return themedCard{}, fmt.Errorf("%q could be %s", id, strings.Join(ids, ", "))
}

// listWidth is how many columns the list takes at most.
const listWidth = 100

func listDetectors(w io.Writer, all []themedCard) error {
	wide := 0
	for _, k := range all {
		wide = max(wide, len(shortID(k.ID)))
	}
	theme := ""
	for _, k := range all {
		if k.Theme != theme {
			if theme != "" {
				fmt.Fprintln(w)
			}
			theme = k.Theme
			fmt.Fprintln(w, theme)
		}
		line := fmt.Sprintf("  %-*s  %-8s  %-12s  %-6s  ", wide, shortID(k.ID), k.Severity, k.Stage, perDay(k.FalseAlarms))
		if _, err := fmt.Fprintln(w, line+cutTo(k.Title, listWidth-utf8.RuneCountInString(line))); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "\nColumns: id, severity, stage, false alarms expected a tenant and day, title.")
	_, err := fmt.Fprintln(w, "`midwatch detectors ID` prints a card whole.")
	return err
}

// shortID shortens the ids of rules, whose beginning finds them.
func shortID(id string) string {
	if r, ok := strings.CutPrefix(id, sigmarules.Prefix); ok && len(r) == 36 {
		return sigmarules.Prefix + r[:8]
	}
	return id
}

// perDay writes a budget.
func perDay(f detect.FalseAlarms) string {
	if f.PerDay == 0 && strings.HasPrefix(f.Basis, "not known") {
		return "-"
	}
	return fmt.Sprintf("%.2g", f.PerDay)
}

func cutTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:max(0, n-1)]) + "…"
	}
	return s
}

// printCard prints a card whole.
func printCard(w io.Writer, k detect.Card, theme string) error {
	fmt.Fprintf(w, "%s\n%s\n\n", k.ID, report.Plain(k.Title))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if theme != "" {
		fmt.Fprintf(tw, "theme\t%s\n", theme)
	}
	fmt.Fprintf(tw, "severity\t%s\n", k.Severity)
	if k.Stage != "" {
		fmt.Fprintf(tw, "stage\t%s\n", k.Stage)
	}
	if len(k.Techniques) > 0 {
		fmt.Fprintf(tw, "ATT&CK\t%s\n", strings.Join(k.Techniques, " "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	para := func(head string, texts ...string) {
		if len(texts) == 0 {
			return
		}
		fmt.Fprintf(w, "\n%s\n", head)
		for _, t := range texts {
			for i, line := range wrapped(report.Plain(t), listWidth-4) {
				lead := "    "
				if i == 0 && len(texts) > 1 {
					lead = "  - "
				}
				fmt.Fprintln(w, lead+line)
			}
		}
	}
	para("Why it matters", k.Why)
	para("What else it could be", k.FalsePositives...)
	para("Needs", needs(k)...)
	para("Surer with", helps(k)...)
	para("False alarms expected a tenant and day, of medium severity or more", perDay(k.FalseAlarms)+": "+k.FalseAlarms.Basis)
	return nil
}

func needs(k detect.Card) []string {
	if k.Needs.Fetch == "" {
		return nil
	}
	return []string{k.Needs.Fetch}
}

func helps(k detect.Card) (out []string) {
	for _, h := range k.Helps {
		out = append(out, fmt.Sprintf("%s: without it %s", detect.SourceName(h.Source), h.What))
	}
	return out
}

// wrapped breaks a text into lines of at most n characters.
func wrapped(s string, n int) (out []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(out, line)
}

// writeDetectors writes the cards as Markdown.
func writeDetectors(w io.Writer, all []themedCard) error {
	var b strings.Builder
	b.WriteString("# Detectors\n\nWritten by `make golden` from the detectors' identity cards; `midwatch detectors` prints them. False alarms are findings of medium severity\nor more that are expected a tenant and day when nobody is there, with where the number comes from.\n")
	theme := ""
	for _, k := range all {
		if k.Theme != theme {
			theme = k.Theme
			fmt.Fprintf(&b, "\n## %s\n", upper(theme))
			if theme == "Sigma rules" {
				b.WriteString("\nSingle records that matter wherever they occur. What a rule finds joins a campaign that detectors found, and makes none by itself.\n")
			}
		}
		stage := k.Stage
		if stage == "" {
			stage = "no stage"
		}
		fmt.Fprintf(&b, "\n### %s\n\n`%s` · %s · %s · %s\n\n%s\n\n", k.Title, k.ID, k.Severity, stage, strings.Join(k.Techniques, " "), k.Why)
		for _, f := range k.FalsePositives {
			fmt.Fprintf(&b, "- Could also be: %s\n", f)
		}
		for _, n := range needs(k.Card) {
			fmt.Fprintf(&b, "- Needs: %s\n", n)
		}
		for _, h := range helps(k.Card) {
			fmt.Fprintf(&b, "- Surer with: %s\n", h)
		}
		fmt.Fprintf(&b, "- False alarms: %s; %s\n", perDay(k.FalseAlarms), k.FalseAlarms.Basis)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
