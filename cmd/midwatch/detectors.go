package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/detect"
)

func newDetectors(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "detectors",
		Short: "List the detectors with their identity cards",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var cards []detect.Card
			for _, d := range detect.All(detect.Settings{}) {
				cards = append(cards, d.Card())
			}
			if asJSON {
				return printJSON(std, cards)
			}
			for _, k := range cards {
				fmt.Fprintf(std.out, "%s (%s)\n  %s\n  why: %s\n", k.ID, k.Severity, k.Title, k.Why)
				for _, fp := range k.FalsePositives {
					fmt.Fprintf(std.out, "  could also be: %s\n", fp)
				}
				fmt.Fprintf(std.out, "  ATT&CK: %s\n  needs: %s\n\n", strings.Join(k.Techniques, " "), k.Needs.Fetch)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
