package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	exposurescore "midwatch/exposure/score"
	"midwatch/simulate"
)

// In the mail of small organizations every planted secret is found in the
// messages that are listed, next to nothing else is, the counterparties are
// exact, and no secret is in anything that is written or printed.
func TestExposureOfSimulatedMail(t *testing.T) {
	for _, scenario := range []string{"midnight", "bec"} {
		t.Run(scenario, func(t *testing.T) {
			dir, truth := simulated(t, "--scenario", scenario, "--users", "150", "--days", "30", "--seed", "3", "--volume", "0.3", "--mail")
			out, _ := investigated(t, dir)
			args := []string{"exposure", out, "--mail", filepath.Join(dir, simulate.MailDir), "--directory", filepath.Join(dir, simulate.ContextDir, "directory.csv")}
			var stdout, stderr bytes.Buffer
			if got := run(t.Context(), args, stdio{in: &bytes.Buffer{}, out: &stdout, err: &stderr}); got != exitFindings {
				t.Fatalf("exit status %d\n%s", got, stderr.String())
			}
			var s exposurescore.Score
			if err := json.Unmarshal([]byte(verb(t, []int{exitNothing}, "score", "--truth", dir, "--exposure", out, "--json")), &s); err != nil {
				t.Fatal(err)
			}
			if s.Secrets.Planted < 3 || s.Decoys < 3 {
				t.Fatalf("too little to judge by: %+v", s)
			}
			if s.Secrets.Recall() < 1 || s.Secrets.Precision() < 0.95 || s.Personal.Recall() < 1 || s.Personal.Precision() < 0.95 || len(s.Named) > 0 {
				t.Errorf("%+v", s)
			}
			if s.Parties.Recall() < 1 || s.Parties.Precision() < 1 {
				t.Errorf("counterparties %+v", s.Parties)
			}
			if s.Beside.Confirmed > 0 {
				t.Errorf("%d messages are confirmed and were not reached", s.Beside.Confirmed)
			}
			written := map[string][]byte{"standard output": stdout.Bytes(), "standard error": stderr.Bytes()}
			for _, name := range []string{exposureFile, "exposure-messages.csv", "rotation.csv", "counterparties.csv"} {
				b, err := os.ReadFile(filepath.Join(out, name))
				if err != nil {
					t.Fatal(err)
				}
				written[name] = b
				if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v %v", name, info.Mode(), err)
				}
			}
			for _, m := range truth.Mail {
				for _, p := range slices.Concat(m.Secrets, m.Personal) {
					for name, b := range written {
						if bytes.Contains(b, []byte(p.Value)) {
							t.Errorf("%s holds a %s", name, p.Kind)
						}
					}
				}
			}
			// Again, the same bytes; and nothing is left beside them.
			verb(t, []int{exitFindings}, append(args, "-q")...)
			again, err := os.ReadFile(filepath.Join(out, exposureFile))
			if err != nil || !bytes.Equal(again, written[exposureFile]) {
				t.Errorf("a second run gives other bytes (%v)", err)
			}
			entries, _ := os.ReadDir(out)
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), ".") {
					t.Errorf("left behind: %s", e.Name())
				}
			}
		})
	}
}
