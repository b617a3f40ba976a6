package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"midwatch/casework"
	"midwatch/report"
	"midwatch/respond"
	"midwatch/respond/graph"
)

// writePlan prints a plan for a person. Everything in it may be an attacker's text.
// said are its steps with who approved them, of need people.
func writePlan(w io.Writer, p *respond.Plan, dir string, said []casework.Step, need int) error {
	if len(p.Steps) == 0 {
		_, err := fmt.Fprintln(w, "The case has no campaign that leaves anything to contain.")
		return err
	}
	n := 0
	for i := range p.Steps {
		if p.Runs(&p.Steps[i]) {
			n++
		}
	}
	fmt.Fprintf(w, "CONTAINMENT  of %s, plan %s\n", report.Plain(p.Case), p.Hash)
	fmt.Fprintf(w, "%d steps, %d of which Midwatch can carry out through Microsoft Graph\n", len(p.Steps), n)
	for _, tenant := range p.Tenants {
		if need := p.Needed(tenant); len(need) > 0 {
			section(w, "Permissions in tenant "+report.Plain(tenant), strings.Join(need, ", "))
		}
	}
	for _, phase := range p.Phases {
		steps := p.Of(phase.Number)
		if len(steps) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%d. %s\n", phase.Number, strings.ToUpper(phase.Title))
		for _, l := range wrapped(phase.Why, listWidth-3) {
			fmt.Fprintf(w, "   %s\n", l)
		}
		for _, s := range steps {
			writeStep(w, p, s, &said[s.Number-1], need)
		}
	}
	if need > 0 {
		fmt.Fprintf(w, "\nBefore a step is carried out %d people have to approve it:\n    midwatch contain approve %s --plan %s --step ID --reason TEXT\n", need, report.Plain(dir), p.Hash)
	}
	_, err := fmt.Fprintf(w, "\nNothing was changed. To carry it out:\n    midwatch contain %s --apply\nor, for who has reviewed this plan:\n    midwatch contain %s --apply --yes --plan %s\n", report.Plain(dir), report.Plain(dir), p.Hash)
	return err
}

func writeStep(w io.Writer, p *respond.Plan, s *respond.Step, so *casework.Step, need int) {
	fmt.Fprintln(w)
	for i, l := range wrapped(fmt.Sprintf("%d  %s", s.Number, report.Plain(s.Title)), listWidth-6) {
		fmt.Fprintf(w, "  %s%s\n", strings.Repeat(" ", min(i, 1)*4), l)
	}
	row := func(head, text string) {
		if text == "" {
			return
		}
		for i, l := range wrapped(report.Plain(text), listWidth-18) {
			if i > 0 {
				head = ""
			}
			fmt.Fprintf(w, "      %-11s %s\n", head, l)
		}
	}
	// Calls are not broken: people copy them.
	call := func(head, text string) { fmt.Fprintf(w, "      %-11s %s\n", head, report.Plain(text)) }
	row("id", s.ID)
	row("how", p.How(s))
	if need > 0 || len(so.Approvals)+len(so.Void) > 0 {
		row("approved", strings.TrimPrefix(approvalWords(so, need), "approved "))
	}
	row("tenant", s.Tenant)
	row("why", s.Reason)
	row("evidence", strings.Join(append(append([]string{}, s.Findings...), s.Events[:min(len(s.Events), 3)]...), " "))
	for _, c := range s.Calls {
		call("call", c.String())
	}
	for _, l := range s.PowerShell {
		call("powershell", l)
	}
	row("breaks", s.Breaks)
	row("undo", s.Undo.Text)
	for _, c := range s.Undo.Calls {
		call("", c.String())
	}
	call("seen by", s.Verify.Call)
	row("", s.Verify.Expect)
	row("needs", strings.Join(s.Permissions, ", "))
	row("cannot tell", s.CannotTell)
}

func outcomeLine(r graph.Outcome) string {
	s := fmt.Sprintf("step %d, %s: %s", r.Number, r.Title, strings.ReplaceAll(string(r.State), "_", " "))
	if r.Note != "" {
		s += ": " + r.Note
	}
	return report.Plain(s)
}

// writeOutcomes prints how all steps ended, what is left in full.
func writeOutcomes(w io.Writer, out []graph.Outcome) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range out {
		fmt.Fprintf(tw, "%d\t%s\t%s\n", r.Number, strings.ReplaceAll(string(r.State), "_", " "), report.Plain(r.Title))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	var left []string
	for _, r := range out {
		if r.State == graph.Done || r.State == graph.Already || r.State == graph.Skipped && r.Note == "not chosen" {
			continue
		}
		text := fmt.Sprintf("%d, %s: %s", r.Number, strings.ReplaceAll(string(r.State), "_", " "), r.Note)
		left = append(left, text)
	}
	if len(left) == 0 {
		_, err := fmt.Fprintln(w, "\nAll is done.")
		return err
	}
	fmt.Fprintf(w, "\nLeft to do or to look at\n")
	for _, l := range left {
		for i, line := range wrapped(report.Plain(l), listWidth-6) {
			fmt.Fprintf(w, "    %s%s\n", strings.Repeat(" ", min(i, 1)*2), line)
		}
	}
	for _, r := range out {
		if r.State == graph.ByHand {
			for _, l := range r.Step.PowerShell {
				fmt.Fprintf(w, "    %d: %s\n", r.Number, report.Plain(l))
			}
		}
	}
	return nil
}

func writeUndoable(w io.Writer, list []graph.Undoable, hash, dir string) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "There is nothing to undo: the journal of the case has no change that was made.")
		return err
	}
	fmt.Fprintf(w, "UNDO  %s, %d changes, the last one first. What the actor made works again.\n\n", hash, len(list))
	for _, u := range list {
		fmt.Fprintf(w, "  %s, of: %s (%s)\n", report.Plain(u.Change.What), report.Plain(u.Title), report.Plain(u.Step))
		if b := u.Change.Back; b != nil {
			fmt.Fprintf(w, "      %s\n", report.Plain(b.Method+" "+b.Path+" "+string(b.Body)))
		} else {
			fmt.Fprintln(w, "      cannot be undone")
		}
	}
	_, err := fmt.Fprintf(w, "\nNothing was changed. To carry it out:\n    midwatch contain %s --undo --apply --yes --plan %s\n", report.Plain(dir), hash)
	return err
}
