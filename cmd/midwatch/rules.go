package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"midwatch/report"
	"midwatch/rules"
	"midwatch/sigma"
)

func newRules(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:     "rules",
		Short:   "Check Sigma rules",
		Long:    `Check Sigma rules against what Midwatch can ask of its event store.`,
		Example: `  midwatch rules check ./rules`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newRulesCheck(std))
	return c
}

// ruleFile is a file of rules as --json prints it.
type ruleFile struct {
	File    string        `json:"file"`
	Rules   int           `json:"rules"`
	Refused []ruleRefusal `json:"refused,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
}

type ruleRefusal struct {
	Line   int    `json:"line"`
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"`
	Reason string `json:"reason"`
}

func newRulesCheck(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check DIR",
		Short: "Tell which rules of a folder can be asked, and why others cannot",
		Long: `Tell which rules of a folder can be asked, and why others cannot.

Every file below DIR that ends in .yml or .yaml is read: detection rules,
correlations and filters of the Sigma specification 2.1. A rule is refused, with
its place in the file, when something that bears on what it finds is not known:
nothing is ever ignored. Notes say what may not be meant, such as a field that
the log is not known to have; it is looked for in the records by its name.

It exits with 0 when every rule can be asked, and with 3 when some cannot.`,
		Example: `  midwatch rules check ./rules
  midwatch rules check sigma/rules/cloud/azure --json | jq '.[] | select(.refused)'`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := rules.Read(args[0], sigma.Options{})
			if err != nil {
				return err
			}
			good, refused := 0, 0
			var out []ruleFile
			for _, file := range f.Files {
				good += file.Rules
				refused += len(file.Refused)
				r := ruleFile{File: file.Path, Rules: file.Rules, Notes: file.Notes}
				for _, x := range file.Refused {
					r.Refused = append(r.Refused, ruleRefusal{x.Line, x.Column, x.Path, x.Reason})
				}
				out = append(out, r)
			}
			if asJSON {
				if err := printJSON(std, out); err != nil {
					return err
				}
			} else {
				for _, file := range f.Files {
					if len(file.Refused) == 0 {
						fmt.Fprintf(std.out, "ok       %s\n", report.Plain(file.Path))
					}
					for _, x := range file.Refused {
						fmt.Fprintf(std.out, "refused  %s\n", report.Plain(x.Error()))
					}
					for _, n := range file.Notes {
						fmt.Fprintf(std.out, "note     %s:%s\n", report.Plain(file.Path), report.Plain(n))
					}
				}
				fmt.Fprintf(std.out, "%d files: %d rules can be asked, %d are refused\n", len(f.Files), good, refused)
			}
			if refused > 0 {
				return status(exitIncomplete)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
