package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"midwatch/casework"
	"midwatch/config"
	"midwatch/report"
	"midwatch/respond"
)

// approveOptions are the flags of the verb.
type approveOptions struct {
	addOptions
	respond.Options
	plan     string
	steps    []string
	reason   string
	withdraw bool
}

func newContainApprove(std stdio) *cobra.Command {
	var o approveOptions
	c := &cobra.Command{
		Use:   "approve CASE --plan HASH --step ID... --reason TEXT",
		Short: "Approve steps of a containment, or withdraw that",
		Long: `Approve steps of a containment, so that they can be carried out where several people
have to. An approval is of the plan that was reviewed, by its hash: give the flags
with which it was made. Steps are named by their ids. One entry of the journal each.

Who approves is told apart by the account of the operating system: a name that is
said with --author makes no second person of it. docs/CONTAINMENT.md says what
approvals hold against, and what not.`,
		Example: `  midwatch contain approve incident.case --plan p-3d5b... --step s-61f0... --step s-02aa... --reason "spoke to the owner"
  midwatch contain approve incident.case --plan p-3d5b... --step s-61f0... --withdraw --reason "it is the backup's account"`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, std, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.plan, "plan", "", "hash of the plan that was reviewed")
	f.StringSliceVar(&o.steps, "step", nil, "step, by id (repeatable)")
	f.StringVar(&o.reason, "reason", "", "why")
	f.BoolVar(&o.withdraw, "withdraw", false, "withdraw an approval of yours")
	f.StringSliceVar(&o.Campaigns, "campaign", nil, "as the plan was made (repeatable)")
	f.StringSliceVar(&o.Tenants, "tenant", nil, "as the plan was made (repeatable)")
	f.BoolVar(&o.Suspected, "include-suspected", false, "as the plan was made")
	o.add(c)
	return c
}

func (o *approveOptions) run(c *cobra.Command, std stdio, path string) error {
	dir, err := caseFolder(path)
	if err != nil {
		return err
	}
	switch {
	case o.plan == "":
		return errors.New("--plan is missing; midwatch contain CASE prints the hash of the plan to review")
	case len(o.steps) == 0:
		return errors.New("--step is missing; midwatch contain CASE prints the steps' ids")
	case strings.TrimSpace(o.reason) == "":
		return errors.New("--reason is missing; those who carry it out have to know why")
	}
	kase, err := readCase(dir)
	if err != nil {
		return err
	}
	p, err := respond.Build(kase, o.Options)
	if err != nil {
		return err
	}
	es, err := office().ApprovePlan(c.Context(), dir, p, o.by(c), o.plan, o.steps, o.withdraw, o.reason)
	if err != nil {
		return err
	}
	if err := o.announceAll(std, es); err != nil || o.json {
		return err
	}
	need, err := office().Needed(dir)
	if err != nil {
		return err
	}
	steps, err := approved(dir, p, need)
	if err != nil {
		return err
	}
	for i := range steps {
		if s := &steps[i]; slices.Contains(o.steps, s.ID) {
			fmt.Fprintf(std.out, "  %d  %s: %s\n", s.Number, report.Plain(s.Title), approvalWords(s, need))
		}
	}
	return nil
}

// approved are the steps of a plan with what the journal of a case says of them.
func approved(dir string, p *respond.Plan, need int) ([]casework.Step, error) {
	es, err := openJournal(dir).Entries()
	if err != nil {
		return nil, err
	}
	return casework.Steps(p, es, need), nil
}

// approvalWords say who approved a step.
func approvalWords(s *casework.Step, need int) string {
	var who []string
	for _, a := range s.Approvals {
		who = append(who, authorName(a.Author))
	}
	text := fmt.Sprintf("approved by %d", s.People)
	if need > 0 {
		text = fmt.Sprintf("approved by %d of %d people", s.People, need)
	}
	if len(who) > 0 {
		text += ", " + strings.Join(who, ", ")
	}
	if len(s.Approvals) > s.People {
		text += "; not all of these are different people, as far as can be told"
	}
	if len(s.Void) > 0 {
		text += fmt.Sprintf("; approvals of other plans, which do not count: %d", len(s.Void))
	}
	return text
}

// needed is how many people have to approve a step. The flag asks for more than
// the case does, and never for less: it would be no rule then.
func (o *containOptions) needed(dir string) (int, error) {
	n, err := office().Needed(dir)
	switch {
	case err != nil:
		return 0, err
	case o.approvals < 0 || o.approvals > config.MaxApprovals:
		return 0, fmt.Errorf("--approvals %d; it is 0 to %d", o.approvals, config.MaxApprovals)
	case o.approvalsSaid && o.approvals < n:
		return 0, fmt.Errorf("--approvals %d; the configuration of this case wants %d: `midwatch investigate --again CASE --config FILE` changes it", o.approvals, n)
	}
	return max(n, o.approvals), nil
}

// refuse refuses to carry out steps that too few people have approved, and lists
// them.
func (o *containOptions) refuse(std stdio, dir string, p *respond.Plan, need int) error {
	if need == 0 {
		return nil
	}
	es, err := openJournal(dir).Entries()
	if err != nil {
		return err
	}
	missing := casework.Unapproved(p, es, need, o.steps)
	if len(missing) == 0 {
		return nil
	}
	for i := range missing {
		s := &missing[i]
		fmt.Fprintf(std.err, "  %d  %s  %s: %s\n", s.Number, s.ID, report.Plain(s.Title), approvalWords(s, need))
	}
	return fmt.Errorf("steps that %d people have to approve first: %d; nothing was changed. `midwatch contain approve %s --plan %s --step ID --reason TEXT` approves one, and --step carries out only those that are named",
		need, len(missing), report.Plain(dir), p.Hash)
}
