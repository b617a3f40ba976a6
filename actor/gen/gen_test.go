package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"midwatch/internal/corpora"
)

// The tables in the repository are those that the sources make.
func TestTablesAreWhatTheSourcesMake(t *testing.T) {
	data := filepath.Join(corpora.Dir(t), "..", "data")
	if _, err := os.Stat(data); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the sources are missing, and CI must have them: %v", err)
		}
		t.Skipf("skipped: no sources at %s", data)
	}
	tables, err := generate(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 4 {
		t.Errorf("%d tables, want 4", len(tables))
	}
	for name, want := range tables {
		got, err := os.ReadFile(filepath.Join("..", "data", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what its sources make; run `go run ./actor/gen -data DIR`", name)
		}
	}
}

// What would break a line of a table, or what the program does not know, does
// not get into one in silence.
func TestRow(t *testing.T) {
	if got, want := row("a\tb", " c\nd ", "\u00a0"), "a b\tc d\t"; got != want {
		t.Errorf("row is %q, want %q", got, want)
	}
	g := &generator{places: map[string]place{}}
	c := cluster{UUID: "u", Value: "X", Meta: map[string]any{"name-attribution": []any{"X:00000000-0000-4000-8000-000000000000"}}}
	if err := g.named("misp", "X", c); err == nil {
		t.Error("a producer without a name was taken")
	}
	c.Meta = map[string]any{"name-attribution": []any{"X"}}
	if err := g.named("misp", "X", c); err == nil {
		t.Error("an attribution without a producer was taken")
	}
	if err := g.named("misp", "", c); err == nil {
		t.Error("an entry without a name was taken")
	}
	if _, err := generate(t.TempDir()); err == nil {
		t.Error("a folder without sources made tables")
	}
}
