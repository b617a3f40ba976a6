package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"midwatch/parse"
)

func newFormats(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "formats",
		Short: "List the log formats that can be read",
		Long: `List the log formats that can be read. A format is recognized by a record's
content, never by the name of its file, in plain files, folders, .gz, .zst, .zip
and .tar, also nested, as UTF-8 or UTF-16.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			type row struct {
				Name string `json:"name"`
				Doc  string `json:"doc"`
			}
			var rows []row
			for _, f := range parse.Formats() {
				rows = append(rows, row{f.Name(), f.Doc()})
			}
			if asJSON {
				return printJSON(std, rows)
			}
			tw := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			for _, r := range rows {
				fmt.Fprintf(tw, "%s\t%s\n", r.Name, r.Doc)
			}
			return tw.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printJSON(std stdio, v any) error {
	enc := json.NewEncoder(std.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(v)
}
