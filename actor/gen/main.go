// Command gen writes the tables of package actor from the files that they are
// derived from:
//
//	go run ./actor/gen -data DIR
//
// DIR has attack-patterns.json and, under actors/, misp-threat-actor.json,
// misp-microsoft-activity-group.json, misp-mitre-intrusion-set.json and
// microsoft-mapping.json. actor/data/README.md says where they come from and
// under which licence.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	data := flag.String("data", "", "folder with the sources")
	out := flag.String("out", filepath.Join("actor", "data"), "folder to write the tables into")
	flag.Parse()
	if err := write(*data, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(2)
	}
}

func write(data, out string) error {
	if data == "" {
		return fmt.Errorf("no -data; see actor/data/README.md for the files that belong there")
	}
	tables, err := generate(data)
	if err != nil {
		return err
	}
	for name, b := range tables {
		if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
