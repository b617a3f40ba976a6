package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"midwatch/casefile"
	"midwatch/casework"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond"
	"midwatch/respond/graph"
)

// containOptions are the flags of the verb.
type containOptions struct {
	respond.Options
	graphAccess
	apply, undo, yes bool
	partial, again   bool
	passwords        bool
	plan             string   // hash that was reviewed
	steps            []string // ids
	approvals        int
	approvalsSaid    bool
	json             bool
	markdown         string
}

func newContain(std stdio) *cobra.Command {
	var o containOptions
	c := &cobra.Command{
		Use:   "contain CASE",
		Short: "Plan how to put the actor out, and carry it out through Microsoft Graph",
		Long: `Plan how to put the actor of a case out of the organization's own tenants: what to
do in which order, with the exact call of each step, what it breaks, how it is
undone and how its effect is seen. Nothing is changed and nothing is asked.

With --apply, carry the plan out through Microsoft Graph: after the case's id was
typed at the terminal, or with --yes and the hash of the plan that was reviewed.
What each step is about is read first, what was is written to the case's journal,
and a step counts as done when its effect is seen. A run that was killed goes on
where it was when it is started again.

Where the configuration of the case says so (containment: {approvals: N}), or
--approvals, only steps are carried out that so many different people have approved
(contain approve, or the web interface). Approvals are of one plan: when it is
another one by now they do not count.

With --undo, show what of it can be taken back, and with --apply do so, the last
change first.

Campaigns that are only suspected have steps in the plan that are not carried out
without --include-suspected. What only Exchange Online can do is shown as
PowerShell. docs/CONTAINMENT.md tells all steps and the permissions they need.

Midwatch signs in with AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or
AZURE_CLIENT_CERTIFICATE_PATH, as the Azure CLI, or with a code (--auth).

Exit status 0: nothing to do, or all is done. 1: a plan with steps. 3: something
is left: steps for a person, suspected ones, steps that failed, or something to
look at.`,
		Example: `  midwatch contain incident.case
  midwatch contain incident.case --markdown plan.md
  midwatch contain incident.case --apply
  midwatch contain incident.case --apply --yes --plan p-3d5b...
  midwatch contain approve incident.case --plan p-3d5b... --step s-61f0... --reason "spoke to the owner"
  midwatch contain incident.case --undo --apply --step s-61f0...`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.approvalsSaid = c.Flags().Changed("approvals")
			return o.run(c.Context(), std, args[0])
		},
	}
	f := c.Flags()
	f.BoolVar(&o.apply, "apply", false, "carry it out")
	f.BoolVar(&o.undo, "undo", false, "take back what was carried out")
	f.BoolVar(&o.yes, "yes", false, "do not ask; with --plan")
	f.StringVar(&o.plan, "plan", "", "hash of the plan that was reviewed; another plan is refused")
	f.StringSliceVar(&o.steps, "step", nil, "only these steps, by id (repeatable)")
	f.StringSliceVar(&o.Campaigns, "campaign", nil, "only these campaigns, by id (repeatable)")
	f.StringSliceVar(&o.Tenants, "tenant", nil, "only these tenants, by id (repeatable)")
	f.BoolVar(&o.Suspected, "include-suspected", false, "carry out what is only suspected, too")
	f.BoolVar(&o.partial, "partial", false, "leave out steps whose permissions are missing, instead of doing nothing")
	f.BoolVar(&o.again, "again", false, "set passwords and end sessions again that were done before")
	f.BoolVar(&o.passwords, "show-passwords", false, "show new passwords, once, on the terminal")
	f.IntVar(&o.approvals, "approvals", 0, "people who have to approve a step before it is carried out (default: as the case's configuration says)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.markdown, "markdown", "", "write the plan as Markdown to a file")
	o.add(f)
	c.AddCommand(newContainApprove(std))
	return c
}

func (o *containOptions) run(ctx context.Context, std stdio, dir string) error {
	c, err := readCase(dir)
	if err != nil {
		return err
	}
	if o.yes && o.plan == "" {
		return errors.New("--yes wants --plan with the hash that was reviewed; without --apply it is printed")
	}
	if o.passwords {
		if _, ok := terminal(std.err); !ok {
			return errors.New("--show-passwords shows them on a terminal, and standard error is none")
		}
	}
	need, err := o.needed(dir)
	if err != nil {
		return err
	}
	if o.apply {
		// One at a time: what one does another would take for the actor's.
		l, err := journal.Open(filepath.Join(dir, "contain.lock"), now).Lock(ctx)
		if err != nil {
			return fmt.Errorf("another containment of this case may be running: %w", err)
		}
		defer l.Unlock()
	}
	if o.undo {
		return o.takeBack(ctx, std, dir, c)
	}
	p, err := respond.Build(c, o.Options)
	if err != nil {
		return err
	}
	if o.markdown != "" {
		if err := writeFile(o.markdown, func(w io.Writer) error { return respond.Markdown(w, p) }); err != nil {
			return err
		}
	}
	if !o.apply {
		if o.json {
			err = printJSON(std, p)
		} else {
			var steps []casework.Step
			if steps, err = approved(dir, p, need); err == nil {
				err = writePlan(std.out, p, dir, steps, need)
			}
		}
		if err == nil && len(p.Steps) > 0 {
			err = status(exitFindings)
		}
		return err
	}
	if len(p.Steps) == 0 {
		fmt.Fprintln(std.err, "midwatch: the plan has no steps")
		return nil
	}
	if o.plan == "" || o.plan == p.Hash { // of another one confirm tells
		if err := o.refuse(std, dir, p, need); err != nil {
			return err
		}
	}
	if !o.yes {
		for i := range p.Steps {
			s := &p.Steps[i]
			if p.Runs(s) && (len(o.steps) == 0 || slices.Contains(o.steps, s.ID)) {
				fmt.Fprintf(std.err, "  %d  %s\n", s.Number, report.Plain(s.Title))
			}
		}
	}
	if err := o.confirm(std, p.Hash, c.Case.ID, fmt.Sprintf("plan %s of %d steps will be carried out in %s", p.Hash, len(p.Steps), strings.Join(p.Tenants, ", "))); err != nil {
		return err
	}
	g, err := o.options(std, office().NewRecorder(dir, o.author(), p.Hash, need))
	if err != nil {
		return err
	}
	g.Watch = func(r graph.Outcome) {
		if !o.json && r.State != graph.ByHand && r.State != graph.Skipped {
			fmt.Fprintln(std.err, "midwatch:", outcomeLine(r))
		}
	}
	out, err := graph.Apply(ctx, p, g)
	if err != nil {
		if ctx.Err() != nil {
			return &interrupted{"what was done is in the journal of the case; the same command goes on with it", err}
		}
		return plainError(err)
	}
	return o.outcome(std, p, out)
}

// plainError is an error whose text may hold names from a tenant.
func plainError(err error) error { return errors.New(report.Plain(err.Error())) }

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // it names people
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	return errors.Join(err, f.Close())
}

// confirm asks a person, or compares the hash that somebody reviewed.
func (o *containOptions) confirm(std stdio, hash, id, what string) error {
	if o.plan != "" && o.plan != hash {
		return fmt.Errorf("the plan is %s by now, and %s was reviewed: the case or the flags are others; review it again", hash, o.plan)
	}
	if o.yes {
		return nil
	}
	f, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return fmt.Errorf("standard input is no terminal to ask at; --yes --plan %s carries out what was reviewed", hash)
	}
	fmt.Fprintf(std.err, "midwatch: %s\nType the id of the case, %s, to go on: ", report.Plain(what), report.Plain(id))
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != id {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

// options are what carrying out needs of this machine.
func (o *containOptions) options(std stdio, r graph.Recorder) (graph.Options, error) {
	tokens, base, err := o.connect(std)
	if err != nil {
		return graph.Options{}, err
	}
	g := graph.Options{
		Base: base, Tokens: tokens, Recorder: r, Now: now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		},
		Steps: o.steps, Partial: o.partial, Again: o.again, Password: graph.NewPassword,
	}
	if o.passwords {
		g.Reveal = func(account, password string) {
			fmt.Fprintf(std.err, "New password of %s, not shown again: %s\n", report.Plain(account), password)
		}
	}
	return g, nil
}

// outcome prints how all steps ended and sets the exit status.
func (o *containOptions) outcome(std stdio, p *respond.Plan, out []graph.Outcome) error {
	if o.json {
		if err := printJSON(std, struct {
			Plan     string          `json:"plan"`
			Outcomes []graph.Outcome `json:"outcomes"`
		}{p.Hash, out}); err != nil {
			return err
		}
	} else if err := writeOutcomes(std.out, out); err != nil {
		return err
	}
	for _, r := range out {
		switch r.State {
		case graph.Done, graph.Already:
		case graph.Skipped:
			if len(o.steps) == 0 {
				return status(exitIncomplete) // suspected, or permissions are missing
			}
		default:
			return status(exitIncomplete)
		}
	}
	return nil
}

// takeBack shows what can be undone, or does so.
func (o *containOptions) takeBack(ctx context.Context, std stdio, dir string, c *casefile.Case) error {
	r := office().NewRecorder(dir, o.author(), "", 0)
	list, hash, err := graph.ToUndo(r, o.steps)
	if err != nil {
		return err
	}
	if !o.apply {
		if o.json {
			return printJSON(std, struct {
				Plan    string           `json:"plan"`
				Changes []graph.Undoable `json:"changes"`
			}{hash, list})
		}
		return writeUndoable(std.out, list, hash, dir)
	}
	if len(list) == 0 {
		fmt.Fprintln(std.err, "midwatch: there is nothing to undo")
		return nil
	}
	if err := o.confirm(std, hash, c.Case.ID, fmt.Sprintf("%d changes will be taken back; what the actor made works again", len(list))); err != nil {
		return err
	}
	g, err := o.options(std, r)
	if err != nil {
		return err
	}
	left := false
	_, err = graph.Undo(ctx, list, g, func(u graph.Undone) {
		left = left || u.State != graph.Done && u.State != graph.Already
		fmt.Fprintln(std.err, "midwatch:", report.Plain(strings.TrimSuffix(fmt.Sprintf("undo of %q: %s: %s", u.Change.What, u.State, u.Note), ": ")))
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return &interrupted{"what was taken back is in the journal of the case; the same command goes on with it", err}
	case err != nil:
		return plainError(err)
	case left:
		return status(exitIncomplete)
	}
	return nil
}

// author is who carries a plan out: the account, whatever else is said.
func (o *containOptions) author() journal.Author {
	return journal.Author{Name: account(), User: account()}
}
