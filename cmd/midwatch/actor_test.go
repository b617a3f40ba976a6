package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"midwatch/actor"
	"midwatch/detect/sigmarules"
)

// Every technique on a card, and every one that a detector adds to a finding,
// is one that ATT&CK has and has not replaced: others would silently count for
// nothing where groups are compared.
func TestTechniquesAreValid(t *testing.T) {
	table, err := actor.Load()
	if err != nil {
		t.Fatal(err)
	}
	set, err := sigmarules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	where := map[string][]string{}
	for _, k := range cards([]sigmarules.Set{set}) {
		for _, id := range k.Techniques {
			where[id] = append(where[id], k.ID)
		}
	}
	literal := regexp.MustCompile(`"(T\d{4}(?:\.\d{3})?)"`)
	files, err := filepath.Glob(filepath.Join("..", "..", "detect", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no detectors: %v", err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllSubmatch(b, -1) {
			where[string(m[1])] = append(where[string(m[1])], filepath.Base(f))
		}
	}
	if len(where) < 25 {
		t.Errorf("%d techniques found, want 25 or more", len(where))
	}
	for id, in := range where {
		if name, successor, ok := table.Technique(id); !ok {
			t.Errorf("%s %s in %s is no valid ATT&CK technique (successor %q)", id, name, strings.Join(in, ", "), successor)
		}
	}
}
