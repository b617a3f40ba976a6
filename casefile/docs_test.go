package casefile

import (
	"flag"
	"reflect"
	"testing"

	"midwatch/internal/contracttest"
)

var update = flag.Bool("update", false, "write docs/case.schema.json and the reference in docs/CASE.md from the types")

// TestDocs holds the contract's documents to the types and their comments.
func TestDocs(t *testing.T) {
	contracttest.Contract{
		Package: "casefile", Root: reflect.TypeFor[Case](), ID: Schema, Title: "Midwatch case", Files: []string{"casefile.go", "answers.go"},
		Schema: "../docs/case.schema.json", Reference: "../docs/CASE.md", Update: *update,
	}.Check(t)
}
