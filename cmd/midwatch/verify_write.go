package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"midwatch/event"
	"midwatch/internal/casefolder"
	"midwatch/internal/custody"
	"midwatch/report"
)

// write prints the results. Names and values in them may be somebody else's text.
func (v *verification) write(w io.Writer) error {
	fmt.Fprintf(w, "Case %s\n", report.Plain(v.dir))
	for _, part := range []struct{ name, head, unit string }{
		{"sources", "SOURCES", "accounts and files have the hashes and sizes that they had"},
		{"events", "EVENTS", "files have in them, byte for byte, " + v.compared()},
		{"columns", "COLUMNS", ""}, {"journal", "JOURNAL", ""}, {"citations", "CITATIONS", ""}, {"claims", "CLAIMS", ""}, {"report", "REPORT", "files say what case.json says"},
	} {
		head := part.head
		begin := func() {
			if head != "" {
				fmt.Fprintf(w, "\n%s\n", head)
				head = ""
			}
		}
		fine := 0 // a line for each file would hide the one that is not
		for _, x := range v.Items {
			if x.Part == part.name && x.State == custody.Verified {
				fine++
			}
		}
		if many := fine > 3; many && part.unit != "" {
			begin()
			fmt.Fprintf(w, "  %-11s  %d %s; --json lists them\n", "ok", fine, part.unit)
		} else {
			fine = 0
		}
		for i := range v.Items {
			x := &v.Items[i]
			if x.Part != part.name || fine > 0 && x.State == custody.Verified {
				continue
			}
			begin()
			place := x.Name
			if x.Line > 0 {
				place += fmt.Sprintf(":%d", x.Line)
			}
			if x.Offset >= 0 {
				place += fmt.Sprintf(", byte %d", x.Offset)
			}
			if x.Event != "" && x.Event != x.Name {
				place += ", event " + x.Event
			}
			mark := map[custody.State]string{custody.Verified: "ok", custody.Differs: "DIFFERS", custody.Unchecked: "not checked"}[x.State]
			fmt.Fprintf(w, "  %-11s  %s\n", mark, report.Plain(place))
			for _, line := range wrapped(report.Plain(x.Text), listWidth-15) {
				fmt.Fprintf(w, "               %s\n", line)
			}
		}
	}
	fmt.Fprintln(w, "\nHASHES  SHA-256 of the case's files, to be noted where others cannot change them")
	for _, h := range hashes(v.dir) {
		fmt.Fprintf(w, "  %s  %s\n", h.SHA256, report.Plain(h.File))
	}
	_, err := fmt.Fprintf(w, "\n%d verified, %d differ, %d not checked\n", v.Count(custody.Verified), v.Count(custody.Differs), v.Count(custody.Unchecked))
	return err
}

// fileHash is the hash of a file of the case.
type fileHash struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// hashes are those of the files that a case's claims stand on, as far as they
// are there.
func hashes(dir string) (out []fileHash) {
	for _, name := range []string{casefolder.Case, casefolder.Sources, casefolder.Settings, casefolder.Journal, casefolder.Store, casefolder.Events, casefolder.Report} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if errors.Join(err, f.Close()) == nil {
			out = append(out, fileHash{name, hex.EncodeToString(h.Sum(nil))})
		}
	}
	return out
}

// compared says which events were held against their files.
func (v *verification) compared() string {
	if v.all {
		return "every event that the event store has of them"
	}
	return fmt.Sprintf("the events of the event store that were compared (of each file %d, and all that the case cites)", v.sample)
}

func isEventID(id string) bool {
	_, ok := event.ParseID(id)
	return ok
}
