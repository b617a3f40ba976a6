package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"midwatch/exposure"
	"midwatch/journal"
	"midwatch/report"
)

// secretEntry is the payload of [journal.SecretState].
type secretEntry struct {
	Fingerprint string         `json:"fingerprint"`
	State       exposure.State `json:"state"`
	Reason      string         `json:"reason"`
}

func newSecret(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "secret",
		Short: "Show the secrets that have to be changed, and write down what became of them",
		Long: `Show the secrets that midwatch exposure found in mail that was reached, in the order
in which to change them, and write down what became of each. What is said goes into
the case's journal, and every later run of midwatch exposure follows it.

Secrets are named by their fingerprints. Midwatch does not know them, changes none,
and does not try whether one still works.`,
		Example: `  midwatch secret list incident.case
  midwatch secret set incident.case s-6ac8b75fe2a253ab --state rotated --reason "new token since 14:00 UTC, old one revoked"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSecretList(std), newSecretSet(std))
	return c
}

// secretStates are what the journal says last of each secret.
func secretStates(es []journal.Entry) (states map[string]exposure.State, last map[string]*journal.Entry, err error) {
	states, last = map[string]exposure.State{}, map[string]*journal.Entry{}
	for i := range es {
		if es[i].Kind != journal.SecretState {
			continue
		}
		var s secretEntry
		if err := es[i].Decode(&s); err != nil {
			return nil, nil, err
		}
		if !slices.Contains(allSecretStates(), s.State) {
			continue // of a later version
		}
		states[s.Fingerprint], last[s.Fingerprint] = s.State, &es[i]
	}
	return states, last, nil
}

func allSecretStates() []exposure.State {
	return []exposure.State{exposure.Open, exposure.Rotated, exposure.Accepted}
}

// readExposure reads the exposure of a case; nil: there is none.
func readExposure(dir string) (*exposure.Exposure, error) {
	path := filepath.Join(dir, exposureFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	x, err := exposure.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; `midwatch exposure` makes a new one", path, err)
	}
	return x, nil
}

// rotationNow is the rotation list of a case with the states of its journal, in
// the order of the list: what is open before what is not.
func rotationNow(dir string) ([]exposure.Secret, map[string]*journal.Entry, error) {
	x, err := readExposure(dir)
	if err != nil {
		return nil, nil, err
	}
	if x == nil {
		return nil, nil, fmt.Errorf("%s has no %s; `midwatch exposure %s --mail PATH...` makes it", dir, exposureFile, dir)
	}
	es, err := openJournal(dir).Entries()
	if err != nil {
		return nil, nil, err
	}
	states, last, err := secretStates(es)
	if err != nil {
		return nil, nil, err
	}
	list := slices.Clone(x.Rotation)
	for i := range list {
		list[i].State = exposure.Open
		if s, ok := states[list[i].Fingerprint]; ok {
			list[i].State = s
		}
	}
	slices.SortStableFunc(list, func(a, b exposure.Secret) int {
		return slices.Index(allSecretStates(), a.State) - slices.Index(allSecretStates(), b.State)
	})
	return list, last, nil
}

func newSecretList(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list CASE",
		Short:   "Show the secrets that have to be changed, in that order, with what became of them",
		Long:    "Show the secrets that have to be changed, in that order, with what became of them.\n\nThe exit status is 1 when one is open.",
		Example: `  midwatch secret list incident.case --json | jq '.[] | select(.state == "open") | .fingerprint'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			list, last, err := rotationNow(dir)
			if err != nil {
				return err
			}
			if asJSON {
				type row struct {
					exposure.Secret
					Entry *journal.Entry `json:"entry"`
				}
				rows := make([]row, 0, len(list))
				for _, s := range list {
					rows = append(rows, row{s, last[s.Fingerprint]})
				}
				if err := printJSON(std, rows); err != nil {
					return err
				}
			} else if err := showSecrets(std, list, last); err != nil {
				return err
			}
			if len(list) > 0 && list[0].State == exposure.Open {
				return status(exitFindings)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func showSecrets(std stdio, list []exposure.Secret, last map[string]*journal.Entry) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(std.out, "No secret was found in the mail that was reached. One that has no form of its own cannot be found.")
		return err
	}
	n := map[exposure.State]int{}
	for _, s := range list {
		n[s.State]++
	}
	fmt.Fprintf(std.out, "%d open, %d rotated, %d accepted; mailboxes by certainty of access: confirmed/probable/possible\n\n", n[exposure.Open], n[exposure.Rotated], n[exposure.Accepted])
	tw := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, s := range list {
		said := ""
		if e := last[s.Fingerprint]; e != nil {
			var p secretEntry
			if err := e.Decode(&p); err != nil {
				return err
			}
			said = fmt.Sprintf("%s, %s: %s", e.Time.Format("2006-01-02 15:04"), authorName(e.Author), cutTo(report.Plain(p.Reason), 60))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s mailboxes\t%s\t%s\t%s\n", report.Plain(s.Fingerprint), s.State, report.Plain(s.Kind), report.Plain(s.Preview), three(s.Mailboxes),
			"since "+first(s.FirstExposed.Format("2006-01-02"), "?"), report.Plain(first(s.Owner.Organization, "owner unknown")), said)
	}
	return tw.Flush()
}

func newSecretSet(std stdio) *cobra.Command {
	var o addOptions
	var state, reason string
	c := &cobra.Command{
		Use:   "set CASE FINGERPRINT...",
		Short: "Write down that secrets were changed, or that their being known is accepted",
		Long: `Write down what became of secrets: rotated (changed, and the old one refused),
accepted (left as it is, for a reason), or open again. One entry of the journal each.`,
		Example: `  midwatch secret set incident.case s-6ac8b75fe2a253ab --state rotated --reason "old token revoked"
  midwatch secret set incident.case s-9e07418abfa11367 --state accepted --reason "account was deleted in 2022"`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			if !slices.Contains(allSecretStates(), exposure.State(state)) {
				return fmt.Errorf("--state %q; it is open, rotated or accepted", state)
			}
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason is missing; say what was done, in a few words")
			}
			list, _, err := rotationNow(dir)
			if err != nil {
				return err
			}
			for _, f := range args[1:] { // all are looked at before any is written
				if !slices.ContainsFunc(list, func(s exposure.Secret) bool { return s.Fingerprint == f }) {
					return fmt.Errorf("no secret of this case has the fingerprint %q; `midwatch secret list` shows them", f)
				}
			}
			var es []journal.Entry
			for _, f := range args[1:] {
				e, err := o.append(c, dir, journal.SecretState, secretEntry{f, exposure.State(state), reason})
				if err != nil {
					return err
				}
				es = append(es, e)
			}
			return o.announceAll(std, es)
		},
	}
	c.Flags().StringVar(&state, "state", "", "open, rotated or accepted")
	c.Flags().StringVar(&reason, "reason", "", "what was done, or why not")
	o.add(c)
	return c
}

// announceAll says that entries are there.
func (o *addOptions) announceAll(std stdio, es []journal.Entry) error {
	if o.json {
		return printJSON(std, struct {
			Entries []journal.Entry `json:"entries"`
		}{es})
	}
	for i := range es {
		if _, err := fmt.Fprintln(std.out, entryWords(&es[i])); err != nil {
			return err
		}
	}
	return nil
}
