package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/exposure"
	exposurescore "midwatch/exposure/score"
	"midwatch/internal/casefolder"
	"midwatch/simulate"
	"midwatch/simulate/score"
)

func newScore(std stdio) *cobra.Command {
	var truth, caseFile, exposed string
	var asJSON bool
	c := &cobra.Command{
		Use:   "score --truth truth.json --case case.json | --exposure exposure.json",
		Short: "Compare a case with the answer key of a simulated tenant",
		Long: `Compare a case with the answer key of a simulated tenant: precision and recall
of accounts, applications, addresses, mailboxes and messages, with "unknown"
(possible, not to be cleared, not assessed) as a third class; errors of the
campaign's start and of the initial access; delay to the first finding; false
findings per day and 1,000 users; look-alikes joined; actors merged or split.

` + fmt.Sprintf(`A mailbox that was reached and is falsely cleared costs %g, one that is listed
for nothing %g, one that the case says it cannot clear %g. These are weights, not
measurements; docs/EVALUATION.md says why.

The exit status says whether the comparison was done, not how it came out.`,
			score.FalselyClearedWeight, score.OverListedWeight, score.UnclearedWeight),
		Example: `  midwatch simulate --scenario midnight --users 1000 --days 60 --seed 7 --out tenant
  midwatch investigate tenant/logs --out tenant.case
  midwatch score --truth tenant/context/truth.json --case tenant.case
  midwatch score --truth tenant/context/truth.json --case tenant.case/case.json --json | jq .mailboxes`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if truth != "" && exposed != "" && caseFile == "" {
				return scoreExposure(std, truth, exposed, asJSON)
			}
			if truth == "" || caseFile == "" {
				return errors.New("--truth and --case are both needed; midwatch simulate writes context/truth.json, midwatch investigate case.json")
			}
			s, err := scoreFiles(truth, caseFile)
			if err != nil {
				return err
			}
			if asJSON {
				return score.WriteJSON(std.out, s)
			}
			return score.WriteText(std.out, s)
		},
	}
	f := c.Flags()
	f.StringVar(&truth, "truth", "", "answer key: truth.json, or the folder that midwatch simulate wrote")
	f.StringVar(&caseFile, "case", "", "case.json, or a case folder")
	f.StringVar(&exposed, "exposure", "", "exposure.json, or a case folder with one, in the place of --case: what was found in the mail of midwatch simulate --mail")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// scoreExposure compares what was found in mail with what was planted there.
func scoreExposure(std stdio, truth, path string, asJSON bool) error {
	t, err := readTruth(inFolder(truth, filepath.Join(simulate.ContextDir, simulate.TruthFile), simulate.TruthFile))
	if err != nil {
		return fmt.Errorf("--truth: %w", err)
	}
	if len(t.Mail) == 0 {
		return errors.New("--truth: it says nothing about mail; midwatch simulate --mail writes mailboxes with it")
	}
	f, err := os.Open(inFolder(path, exposureFile))
	if err != nil {
		return fmt.Errorf("--exposure: %w", err)
	}
	defer f.Close()
	x, err := exposure.Read(f)
	if err != nil {
		return fmt.Errorf("--exposure: %w", err)
	}
	s := exposurescore.Compare(t, x, nil)
	if asJSON {
		return printJSON(std, s)
	}
	return exposurescore.WriteText(std.out, s)
}

func scoreFiles(truth, caseFile string) (*score.Score, error) {
	t, err := readTruth(inFolder(truth, filepath.Join(simulate.ContextDir, simulate.TruthFile), simulate.TruthFile))
	if err != nil {
		return nil, fmt.Errorf("--truth: %w", err)
	}
	f, err := os.Open(inFolder(caseFile, casefolder.Case))
	if err != nil {
		return nil, fmt.Errorf("--case: %w", err)
	}
	defer f.Close()
	c, err := casefile.Read(f)
	if err != nil {
		return nil, fmt.Errorf("--case: %w; is %s a case.json?", err, caseFile)
	}
	return score.Compare(t, c), nil
}

func readTruth(path string) (*simulate.Truth, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return score.ReadTruth(f)
}

// inFolder names the first of the files that is in a folder, where a folder is
// given for it.
func inFolder(path string, names ...string) string {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return path
	}
	for _, n := range names {
		if _, err := os.Stat(filepath.Join(path, n)); err == nil {
			return filepath.Join(path, n)
		}
	}
	return filepath.Join(path, names[0])
}
