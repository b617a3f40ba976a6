package report

import (
	"io"

	"midwatch/casefile"
)

// JSON writes case.json, the contract for machines: indented, lists in their
// canonical order, the same bytes for the same case.
type JSON struct{}

// Name implements [Format].
func (JSON) Name() string { return "json" }

// Doc implements [Format].
func (JSON) Doc() string {
	return "case.json: everything the case holds, for machines; see docs/CASE.md"
}

// Files implements [Format].
func (JSON) Files() []string { return []string{"case.json"} }

// Write implements [Format].
func (f JSON) Write(w io.Writer, file string, c *casefile.Case, _ Options) error {
	if err := wants(f, file); err != nil {
		return err
	}
	return casefile.Write(w, c)
}
