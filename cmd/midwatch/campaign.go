package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/internal/casefolder"
	"midwatch/journal"
	"midwatch/report"
)

func newCampaign(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "campaign",
		Short: "List campaigns, and decide what belongs to them",
		Long: `A campaign is what is held to be one actor's doing. People know better: that a
backup product is theirs, that two campaigns are one. What they decide is written
to the case's journal with author and reason, the case is concluded again from its
own events, and every later run on it follows the decision until it is taken back.

A finding is named by its id or the beginning of it; campaign list, case.json and
report.html have the ids.`,
		Example: `  midwatch campaign list incident.case
  midwatch campaign exclude incident.case app 4f1c0a3e-… --reason "our archive, contract 1182"
  midwatch campaign undo incident.case 3`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newCampaignList(std),
		newDecide(std, journal.CampaignJoin, "join CASE FINDING|CAMPAIGN...", "Say that findings, or campaigns, are one actor's doing",
			`  midwatch campaign join incident.case f-3c1f0a528a8e2b0c f-91aa --reason "same ransom note"
  midwatch campaign join incident.case c-0d4f6a3f c-5c11 --reason "the same hosting contract"`),
		newDecide(std, journal.CampaignSplit, "split CASE FINDING...", "Say that findings are not of their campaign, and a group of their own",
			`  midwatch campaign split incident.case f-3c1f0a528a8e2b0c --reason "our penetration test"`),
		newDecide(std, journal.CampaignExclude, "exclude CASE FINDING... | CASE ENTITY", "Say that findings, or an entity, are of no campaign",
			`  midwatch campaign exclude incident.case f-3c1f0a528a8e2b0c --reason "done by the help desk, ticket 4711"
  midwatch campaign exclude incident.case ip 198.51.100.7 --reason "our new VPN"
  midwatch campaign exclude incident.case account ana@contoso.com --reason "she travelled"
  midwatch campaign exclude incident.case app 4f1c0a3e-8a8e-2b0c-0d4f-6a3f6f1f9a10 --reason "our archive"`),
		newCampaignUndo(std))
	return c
}

// campaignList is what --json prints.
type campaignList struct {
	Entry     *journal.Entry      `json:"entry,omitempty"` // that was written
	Campaigns []listedCampaign    `json:"campaigns"`
	Outside   []listedFinding     `json:"outside"` // findings of no campaign, of medium severity or more
	Overrides []casefile.Override `json:"overrides"`
}

type listedCampaign struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Severity casefile.Severity `json:"severity"`
	Standing string            `json:"standing"`
	Start    casefile.Time     `json:"start"`
	Reach    casefile.Reach    `json:"reach"`
	Findings []listedFinding   `json:"findings"`
}

type listedFinding struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Severity casefile.Severity `json:"severity"`
	First    casefile.Time     `json:"first"`
}

func listed(c *casefile.Case) campaignList {
	out := campaignList{Campaigns: []listedCampaign{}, Outside: []listedFinding{}, Overrides: append([]casefile.Override{}, c.Overrides...)}
	by := map[string]listedFinding{}
	for _, f := range c.Findings {
		by[f.ID] = listedFinding{f.ID, f.Title, f.Severity, f.First}
	}
	for _, p := range c.Campaigns {
		l := listedCampaign{ID: p.ID, Title: p.Title, Severity: p.Severity, Standing: p.Standing, Start: p.Start, Reach: p.Reach, Findings: []listedFinding{}}
		for _, id := range p.Findings {
			l.Findings = append(l.Findings, by[id])
			delete(by, id)
		}
		out.Campaigns = append(out.Campaigns, l)
	}
	for _, f := range c.Findings {
		if l, ok := by[f.ID]; ok && f.Severity.Rank() >= casefile.Medium.Rank() {
			out.Outside = append(out.Outside, l)
		}
	}
	return out
}

// write prints campaigns. Everything in them may be an attacker's text.
func (l *campaignList) write(w io.Writer) {
	finding := func(f listedFinding) {
		fmt.Fprintf(w, "    %s  %-8s  %s\n", f.ID, f.Severity, report.Plain(f.Title))
	}
	for _, c := range l.Campaigns {
		m := c.Reach.Mailboxes
		fmt.Fprintf(w, "%s  %s, %s, since %s: %s\n  mailboxes reached: %d confirmed, %d probable, %d possible; messages: %d confirmed\n",
			c.ID, c.Severity, c.Standing, c.Start, report.Plain(c.Title), m.Confirmed, m.Probable, m.Possible, c.Reach.Messages.Confirmed)
		for _, f := range c.Findings {
			finding(f)
		}
	}
	if len(l.Campaigns) == 0 {
		fmt.Fprintln(w, "No campaigns.")
	}
	if len(l.Outside) > 0 {
		fmt.Fprintln(w, "Of no campaign, medium severity or more:")
		for _, f := range l.Outside {
			finding(f)
		}
	}
	if len(l.Overrides) > 0 {
		fmt.Fprintln(w, "Decided by people:")
	}
	for _, o := range l.Overrides {
		what := o.Findings
		for _, e := range o.Entities {
			what = append(what, string(e.Kind)+" "+e.ID)
		}
		fmt.Fprintf(w, "  entry %d, %s: %s %s: %s\n", o.Seq, report.Plain(o.Author), o.Kind, report.Plain(strings.Join(what, " ")), report.Plain(o.Reason))
		for _, line := range wrapped(report.Plain(o.Effect), listWidth-4) {
			fmt.Fprintln(w, "    "+line)
		}
	}
}

func newCampaignList(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list CASE",
		Short:   "List campaigns with their findings, and what people decided about them",
		Example: `  midwatch campaign list incident.case --json | jq '.campaigns[].id'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := readCase(args[0])
			if err != nil {
				return err
			}
			l := listed(c)
			if asJSON {
				return printJSON(std, l)
			}
			l.write(std.out)
			old, err := outdated(args[0], c)
			if err == nil && old {
				fmt.Fprintf(std.out, "The journal has decisions that this does not follow yet; `midwatch investigate --again %s` does.\n", report.Plain(args[0]))
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// decideOptions are the flags of the verbs that decide.
type decideOptions struct {
	addOptions
	reason string
}

// newDecide is one of the verbs join, split and exclude.
func newDecide(std stdio, kind journal.Kind, use, short, example string) *cobra.Command {
	var o decideOptions
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			if strings.TrimSpace(o.reason) == "" {
				return errors.New("--reason is needed: those who read the case have to know why")
			}
			kase, err := readCase(dir)
			if err != nil {
				return err
			}
			e, err := office().Decide(c.Context(), dir, kase, o.by(c), kind, args[1:], o.reason)
			if err != nil {
				return err
			}
			return o.follow(c, std, dir, e)
		},
	}
	c.Flags().StringVar(&o.reason, "reason", "", "why; it stands in the case")
	o.add(c)
	return c
}

func newCampaignUndo(std stdio) *cobra.Command {
	var o decideOptions
	c := &cobra.Command{
		Use:   "undo CASE SEQ",
		Short: "Take a decision back, by the number of its entry",
		Long: `Take a decision back. SEQ is the number of its entry in the journal, which campaign
list shows. The entry stays, and so does this one.`,
		Example: `  midwatch campaign undo incident.case 3 --reason "it was not our archive"`,
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := caseFolder(args[0])
			if err != nil {
				return err
			}
			decided, err := overrides(dir)
			if err != nil {
				return err
			}
			seq, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				seq = 0 // of no entry
			}
			if err := casework.Holds(decided, args[1], seq); err != nil {
				return err
			}
			e, err := office().Undo(c.Context(), dir, o.by(c), seq, o.reason)
			if err != nil {
				return err
			}
			return o.follow(c, std, dir, e)
		},
	}
	c.Flags().StringVar(&o.reason, "reason", "", "why")
	o.add(c)
	return c
}

// follow concludes the case again, with a decision that was written down.
func (o *decideOptions) follow(c *cobra.Command, std stdio, dir string, e journal.Entry) error {
	run := investigateOptions{out: dir}
	run.wait = 10 * time.Minute
	kase, _, err := again(c.Context(), std, run)
	if err != nil {
		return fmt.Errorf("entry %d is in the journal, but the case does not follow it yet: %w; `midwatch investigate --again %s` tries once more", e.Seq, err, dir)
	}
	l := listed(kase)
	l.Entry = &e
	if o.json {
		return printJSON(std, l)
	}
	fmt.Fprintln(std.out, entryWords(&e))
	fmt.Fprintln(std.out)
	l.write(std.out)
	fmt.Fprintf(std.out, "\nCase:    %s\nReport:  %s\n", dir, filepath.Join(dir, casefolder.Report))
	return nil
}
