package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"midwatch/detect"
	"midwatch/detect/sigmarules"
)

var update = flag.Bool("update", false, "write docs/DETECTORS.md")

// docs/DETECTORS.md is what the cards say. `make golden` writes it.
func TestDetectorsDoc(t *testing.T) {
	set, err := sigmarules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeDetectors(&b, themed(set)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "DETECTORS.md")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s is not what the cards say (%v); `make golden` writes it", path, err)
	}
}

// Every detector is under one theme, and the list fits 100 columns.
func TestDetectorsList(t *testing.T) {
	set, err := sigmarules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	all := themed(set)
	for _, d := range detect.All(detect.Settings{}) {
		if !slices.ContainsFunc(all, func(k themedCard) bool { return k.ID == d.Card().ID }) {
			t.Errorf("%s has no theme", d.Card().ID)
		}
	}
	var b bytes.Buffer
	if err := listDetectors(&b, all); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > listWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, k := range all {
		if got, err := find(all, shortID(k.ID)); err != nil || got.ID != k.ID {
			t.Errorf("%s finds %s, %v", shortID(k.ID), got.ID, err)
		}
	}
}
