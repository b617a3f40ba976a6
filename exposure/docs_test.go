package exposure

import (
	"flag"
	"reflect"
	"testing"

	"midwatch/internal/contracttest"
)

var update = flag.Bool("update", false, "write docs/exposure.schema.json and the reference in docs/EXPOSURE.md from the types")

// TestDocs holds the contract's documents to the types and their comments.
func TestDocs(t *testing.T) {
	contracttest.Contract{
		Package: "exposure", Root: reflect.TypeFor[Exposure](), ID: Schema, Title: "Midwatch exposure", Files: []string{"exposure.go", "../casefile/casefile.go"},
		Schema: "../docs/exposure.schema.json", Reference: "../docs/EXPOSURE.md", Update: *update,
	}.Check(t)
}
