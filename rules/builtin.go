package rules

import (
	"embed"
	"fmt"
	"io"

	"midwatch/sigma"
)

// The rules that Midwatch brings along. They are facts of one record that
// matter wherever they occur; what takes a baseline is a detector.
//
//go:embed builtin/*.yml
var builtin embed.FS

// Builtin reads the rules that Midwatch brings along. An error means that they
// are not what they were when Midwatch was tested.
func Builtin() (*Folder, error) {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, "builtin/"+e.Name())
	}
	f, err := read(paths, func(path string) (io.ReadCloser, error) { return builtin.Open(path) }, sigma.Options{})
	if err != nil {
		return nil, err
	}
	for _, file := range f.Files {
		if len(file.Refused) > 0 {
			return nil, fmt.Errorf("built-in rule: %w", file.Refused[0])
		}
	}
	return f, nil
}

// Shown returns an expression for the value that a record has in a field, to
// show to people: not for keywords and other fields that stand for the text of
// the whole record.
func Shown(ls sigma.LogSource, name string) (string, bool) {
	f, err := Schema{}.Field(ls, name)
	if err != nil || name == "" {
		return "", false
	}
	out := ""
	for _, v := range f.Values {
		if v.Text == "" || v.Text == whole().Text {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += v.Text
	}
	return "coalesce(" + out + ", '')", out != ""
}
