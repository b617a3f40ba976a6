package posture

import (
	"flag"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"midwatch/internal/contracttest"
)

var update = flag.Bool("update", false, "write docs/posture.schema.json and the reference in docs/POSTURE.md from the types")

// TestDocs holds the contract's documents to the types and their comments.
func TestDocs(t *testing.T) {
	contracttest.Contract{
		Package: "posture", Root: reflect.TypeFor[Posture](), ID: Schema, Title: "Midwatch posture", Files: []string{"posture.go", "../casefile/casefile.go"},
		Schema: "../docs/posture.schema.json", Reference: "../docs/POSTURE.md", Update: *update, More: more,
	}.Check(t)
}

// more lists the checks, and the exports that are recognized.
func more(b io.Writer) {
	fmt.Fprint(b, "\n### Checks\n\n| check | looks for | why it matters | what closing it may break | ATT&CK |\n|---|---|---|---|---|\n")
	for _, c := range Checks() {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", c.ID, c.Title, c.Why, c.Breaks, strings.Join(c.Techniques, " "))
	}
	fmt.Fprint(b, "\n### Exports\n\n| recognized as | by these columns or properties |\n|---|---|\n")
	for _, k := range kinds() {
		what := k.name
		if k.read == nil {
			what += " (" + k.why + ")"
		}
		fmt.Fprintf(b, "| %s | %s |\n", what, strings.ReplaceAll(strings.Join(k.has, ", "), "|", " or "))
	}
}
