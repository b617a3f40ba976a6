package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"midwatch/casework"
	"midwatch/exposure"
	"midwatch/journal"
	"midwatch/report"
)

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
func secretStates(es []journal.Entry) (map[string]exposure.State, map[string]*journal.Entry, error) {
	return casework.SecretStates(es)
}

// rotation lists the secrets of a case, what is open before what is not.
func rotation(dir string) ([]casework.Secret, error) {
	list, err := office().Rotation(dir)
	if err == nil && list == nil {
		err = casework.NotSearched(dir)
	}
	return list, err
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
			list, err := rotation(dir)
			if err != nil {
				return err
			}
			if asJSON {
				if err := printJSON(std, list); err != nil {
					return err
				}
			} else if err := showSecrets(std, list); err != nil {
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

func showSecrets(std stdio, list []casework.Secret) error {
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
		if e := s.Last; e != nil {
			var p casework.SecretEntry
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
			if !slices.Contains(casework.SecretStateNames(), exposure.State(state)) {
				return fmt.Errorf("--state %q; it is open, rotated or accepted", state)
			}
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason is missing; say what was done, in a few words")
			}
			es, err := office().SetSecret(c.Context(), dir, o.by(c), args[1:], exposure.State(state), reason)
			if err != nil {
				return err
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
