package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/investigate"
	"midwatch/journal"
	"midwatch/report"
)

// conclusionsOf is who says what Midwatch concludes.
const conclusionsOf = "midwatch"

// recordConclusion writes what a case says into its journal, when it says
// something else than it did last.
func recordConclusion(ctx context.Context, dir string, c *casefile.Case) error {
	j := openJournal(dir)
	es, err := j.Entries()
	if err != nil {
		return err
	}
	s := investigate.StatementOf(c, "")
	said, err := statements(es)
	if err != nil {
		return err
	}
	for i := len(said) - 1; i >= 0; i-- {
		if said[i].Text == "" {
			if said[i].Same(&s) {
				return nil
			}
			break
		}
	}
	_, err = j.Append(ctx, journal.Author{Name: conclusionsOf, User: account(), Claimed: false}, journal.Statement, s)
	return err
}

// saidAt is a statement with its place in the journal.
type saidAt struct {
	investigate.Statement
	entry *journal.Entry
}

func statements(es []journal.Entry) (out []saidAt, err error) {
	for i := range es {
		if es[i].Kind != journal.Statement {
			continue
		}
		s := saidAt{entry: &es[i]}
		if err := es[i].Decode(&s.Statement); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func newStatements(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "statements CASE",
		Short: "Show what was said of a case, when, on which evidence, and what changed since",
		Long: `Show what was said of a case: what Midwatch concluded each time its conclusions
changed, and what people said (statements say), with the evidence of that moment.
Each is held against what the case says now, so that a public statement that has
become untrue is seen at once.`,
		Example: `  midwatch statements incident.case
  midwatch statements say incident.case "We have no evidence of access to source code"`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			return showStatements(std, dir, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(newStatementsSay(std))
	return c
}

func showStatements(std stdio, dir string, asJSON bool) error {
	es, err := openJournal(dir).Entries()
	if err != nil {
		return err
	}
	said, err := statements(es)
	if err != nil {
		return err
	}
	c, err := readCase(dir)
	if err != nil {
		return err
	}
	now := investigate.StatementOf(c, "")
	type row struct {
		Entry   *journal.Entry `json:"entry"`
		Changes []string       `json:"changed_since"`
	}
	rows := make([]row, 0, len(said))
	for i := range said {
		rows = append(rows, row{said[i].entry, append([]string{}, said[i].Changes(&now)...)})
	}
	if asJSON {
		return printJSON(std, rows)
	}
	if len(said) == 0 {
		fmt.Fprintln(std.out, "Nothing was said of this case yet.")
		return nil
	}
	for i := range said {
		s := &said[i]
		fmt.Fprintf(std.out, "%d  %s UTC  %s\n", s.entry.Seq, s.entry.Time.Format("2006-01-02 15:04:05"), authorName(s.entry.Author))
		print := func(indent, text string) {
			for _, line := range wrapped(report.Plain(text), listWidth-len(indent)) {
				fmt.Fprintln(std.out, indent+line)
			}
		}
		if s.Text != "" {
			print("    said: ", s.Text)
		} else if len(s.Verdict) > 0 {
			print("    ", s.Verdict[0])
		}
		print("    ", fmt.Sprintf("on %d records of %d files, %s to %s", s.Events, s.Files, s.First, s.Last))
		for _, a := range s.Answers {
			print("    ", fmt.Sprintf("%s: %s", a.Name, strings.ReplaceAll(a.Answer, "_", " ")))
		}
		if len(rows[i].Changes) == 0 {
			print("    ", "The case says the same now.")
		} else {
			fmt.Fprintln(std.out, "    Since then:")
			for _, x := range rows[i].Changes {
				print("    - ", x)
			}
		}
		fmt.Fprintln(std.out)
	}
	return nil
}

func newStatementsSay(std stdio) *cobra.Command {
	var o addOptions
	c := &cobra.Command{
		Use:     "say CASE TEXT",
		Short:   "Record what your organization said of the case, with what the case says at that time",
		Example: `  midwatch statements say incident.case "We have no evidence of access to source code" --author "Press office"`,
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			if strings.TrimSpace(args[1]) == "" {
				return errors.New("the text is empty")
			}
			kase, err := readCase(dir)
			if err != nil {
				return err
			}
			e, err := o.append(c, dir, journal.Statement, investigate.StatementOf(kase, args[1]))
			if err != nil {
				return err
			}
			return o.announce(std, &e)
		},
	}
	o.add(c)
	return c
}
