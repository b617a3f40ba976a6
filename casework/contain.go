package casework

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/config"
	"midwatch/internal/casefolder"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond"
	"midwatch/respond/graph"
)

// ApprovalEntry is the payload of [journal.ContainApprove]: somebody is for
// carrying out a step of one plan, or is no longer. It says nothing of another
// plan: a step's meaning is in the plan that was reviewed.
type ApprovalEntry struct {
	Plan     string `json:"plan"` // hash
	Step     string `json:"step"` // id
	Withdraw bool   `json:"withdraw,omitempty"`
	Reason   string `json:"reason"`
}

// Step is a step of a containment with what was decided about it and done.
type Step struct {
	respond.Step
	Runs      bool       // carrying the plan out carries it out, as far as the plan goes
	Approvals []Approval // of this plan, without those that were withdrawn
	People    int        // who they are of, see [People]
	Approved  bool       // by as many as are needed, and by one at least
	Void      []Approval // of plans that are others by now: they do not count
	Outcome   *Outcome   // what became of it; nil: nothing was begun
}

// Approval is what somebody said for a step.
type Approval struct {
	ApprovalEntry
	By     string // the author's name
	Author journal.Author
	Time   casefile.Time
	Seq    int64 // number of its entry
}

// Outcome is what the last run of a containment made of a step.
type Outcome struct {
	State  graph.State // how it ended, or [Begun], [Undone]
	Note   string
	Plan   string // hash of the plan that was carried out
	Author journal.Author
	Time   casefile.Time
	Seq    int64 // number of its entry
}

// Done says in words what became of a step; empty: nothing was begun.
func (s Step) Done() string {
	if s.Outcome == nil {
		return ""
	}
	words := map[graph.State]string{
		graph.Done: "carried out, and seen to be", graph.Already: "was so already", graph.ByHand: "left to a person", graph.Skipped: "left out",
		graph.Failed: "failed", graph.Unseen: "carried out, and not seen yet", graph.Attention: "carried out; something has to be looked at",
		Begun: "begun", Undone: "taken back",
	}[s.Outcome.State]
	if words == "" {
		words = string(s.Outcome.State)
	}
	words += fmt.Sprintf(" (%s UTC by %s, entry %d)", s.Outcome.Time.Format("2006-01-02 15:04"), s.Outcome.Author.Name, s.Outcome.Seq)
	if s.Outcome.Note != "" {
		words += ": " + s.Outcome.Note
	}
	return words
}

// States of a step besides those of a run.
const (
	Begun  graph.State = "begun"  // changes were written down, and no end: the run goes on, or was ended
	Undone graph.State = "undone" // taken back, in part or whole
)

// Steps are the steps of a plan with what a journal says of them. need is how many
// people have to approve one. Entries that cannot be read are passed over.
func Steps(p *respond.Plan, es []journal.Entry, need int) []Step {
	now, void := approvals(p.Hash, es)
	became := outcomes(es)
	out := make([]Step, 0, len(p.Steps))
	for i := range p.Steps {
		s := Step{Step: p.Steps[i], Runs: p.Runs(&p.Steps[i]), Approvals: now[p.Steps[i].ID], Void: void[p.Steps[i].ID], Outcome: became[p.Steps[i].ID]}
		s.People = People(s.Approvals)
		s.Approved = s.People >= max(1, need)
		out = append(out, s)
	}
	return out
}

// approvals are those that hold, by step: of the plan, and of others.
func approvals(plan string, es []journal.Entry) (now, void map[string][]Approval) {
	now, void = map[string][]Approval{}, map[string][]Approval{}
	for i := range es {
		e := &es[i]
		var p ApprovalEntry
		if e.Kind != journal.ContainApprove || e.Decode(&p) != nil || p.Plan == "" || p.Step == "" {
			continue
		}
		list := now
		if p.Plan != plan {
			list = void
		}
		// Withdrawn, or said once more.
		list[p.Step] = slices.DeleteFunc(list[p.Step], func(a Approval) bool { return a.Plan == p.Plan && person(a.Author) == person(e.Author) })
		if !p.Withdraw {
			list[p.Step] = append(list[p.Step], Approval{p, e.Author.Name, e.Author, casefile.TimeOf(e.Time), e.Seq})
		}
	}
	return now, void
}

// outcomes are what became of steps, by id.
func outcomes(es []journal.Entry) map[string]*Outcome {
	out := map[string]*Outcome{}
	for i := range es {
		e := &es[i]
		var p graph.Entry
		if e.Kind != journal.ContainStep || e.Decode(&p) != nil || p.Step == "" {
			continue
		}
		x := Outcome{State: p.State, Note: p.Note, Plan: p.Plan, Seq: e.Seq, Time: casefile.TimeOf(e.Time), Author: e.Author}
		switch p.What {
		case "result":
		case "intent":
			x.State = Begun
		case "undo_result":
			if p.State != graph.Done && p.State != graph.Already {
				continue
			}
			x.State = Undone
			if was := out[p.Step]; x.Plan == "" && was != nil {
				x.Plan = was.Plan
			}
		default:
			continue
		}
		out[p.Step] = &x
	}
	return out
}

// person tells authors apart as far as the journal can: who came in to the web
// interface by the name under which they came in, everybody else by the account
// of the operating system, whatever name they said.
func person(a journal.Author) string {
	if signedIn(a) {
		return fold(a.Name)
	}
	return fold(a.User)
}

// signedIn reports whether an author came in through a server, whose account
// wrote the entry.
func signedIn(a journal.Author) bool { return !a.Claimed && a.Name != a.User }

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// People counts the people whom approvals are of, and rather one too few:
//
//   - Who came in through the web interface counts by name.
//   - An account of the operating system counts once, whatever names were said
//     with it (--author), and only if one of these is of nobody who counts already.
//   - The account of a server does not count beside people who came in through
//     it: it may be one of them at a terminal.
//
// Who can write the file can write any name into it: a journal's hashes have no
// key. docs/CONTAINMENT.md says what that means for approvals.
func People(list []Approval) int {
	counted, servers := map[string]bool{}, map[string]bool{}
	n := 0
	for _, a := range list {
		if signedIn(a.Author) {
			servers[fold(a.Author.User)] = true
			if name := fold(a.Author.Name); !counted[name] {
				counted[name] = true
				n++
			}
		}
	}
	for _, a := range list {
		user, name := fold(a.Author.User), fold(a.Author.Name)
		if signedIn(a.Author) || servers[user] || counted[user] || counted[name] {
			continue
		}
		counted[user], counted[name] = true, true
		n++
	}
	return n
}

// Approve writes down that the author is for carrying out steps of the plan that
// was reviewed, or is no longer. One entry a step, all of them or none.
func (o *Office) Approve(ctx context.Context, dir string, c *casefile.Case, by By, plan string, steps []string, withdraw bool, reason string) ([]journal.Entry, error) {
	var p *respond.Plan
	for _, suspected := range []bool{false, true} {
		var err error
		if p, err = respond.Build(c, respond.Options{Suspected: suspected}); err != nil {
			return nil, err
		}
		if p.Hash == plan {
			break
		}
	}
	return o.ApprovePlan(ctx, dir, p, by, plan, steps, withdraw, reason)
}

// ApprovePlan is [Office.Approve] of a plan that was made with other options.
func (o *Office) ApprovePlan(ctx context.Context, dir string, p *respond.Plan, by By, plan string, steps []string, withdraw bool, reason string) ([]journal.Entry, error) {
	if p.Hash != plan {
		return nil, fmt.Errorf("the plan is another one by now than %s, which was reviewed: approvals are of one plan, and those of an earlier one do not count; review it again", report.Plain(plan))
	}
	if err := reasoned(reason, "those who carry it out have to know why"); err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return nil, errors.New("no step is named; the plan lists their ids")
	}
	var drafts []journal.Draft
	for i, id := range steps {
		if !slices.ContainsFunc(p.Steps, func(s respond.Step) bool { return s.ID == id }) {
			return nil, fmt.Errorf("no step %q in the plan; the plan lists their ids", id)
		}
		if !slices.Contains(steps[:i], id) {
			drafts = append(drafts, journal.Draft{Kind: journal.ContainApprove, Payload: ApprovalEntry{plan, id, withdraw, reason}})
		}
	}
	same := func(_ []journal.Entry, e *journal.Entry) bool {
		switch e.Kind {
		case journal.ContainApprove:
			var x ApprovalEntry
			return e.Decode(&x) == nil && slices.Contains(steps, x.Step)
		case journal.ContainStep:
			var x graph.Entry
			return e.Decode(&x) == nil && slices.Contains(steps, x.Step)
		}
		return false
	}
	return o.write(ctx, dir, by, same, func(all []journal.Entry) error {
		if !withdraw {
			return nil
		}
		now, _ := approvals(plan, all)
		for _, id := range steps {
			if !slices.ContainsFunc(now[id], func(a Approval) bool { return person(a.Author) == person(by.Author) }) {
				return fmt.Errorf("there is no approval of yours of step %s that could be withdrawn", id)
			}
		}
		return nil
	}, drafts...)
}

// Unapproved lists the steps that carrying a plan out would carry out and that
// fewer people than need have approved. chosen are ids; empty: all.
func Unapproved(p *respond.Plan, es []journal.Entry, need int, chosen []string) (out []Step) {
	for _, s := range Steps(p, es, need) {
		if s.Runs && s.People < need && (len(chosen) == 0 || slices.Contains(chosen, s.ID)) {
			out = append(out, s)
		}
	}
	return out
}

// Needed is how many people have to approve a step of a case's containment: what
// the case was concluded with says (key containment of the configuration), or
// the office, whichever is more.
func (o *Office) Needed(dir string) (int, error) {
	dir = filepath.Clean(dir)
	s, err := stampOf(filepath.Join(dir, casefolder.Settings))
	if err != nil {
		return 0, err
	}
	k := o.remembered(dir)
	if !k.settings.same(s) {
		n, err := configured(dir)
		if err != nil {
			return 0, err
		}
		k = o.remember(dir, func(k *kept) { k.settings, k.need = s, n })
	}
	return max(k.need, o.Approvals), nil
}

// configured reads the number of approvals from the configuration that is kept
// with a case; a case without one needs none.
func configured(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, casefolder.Settings))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var s struct {
		Config *struct {
			Path  string  `json:"path"`
			Text  *string `json:"text"`
			Bytes []byte  `json:"bytes"`
		} `json:"config"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return 0, fmt.Errorf("%s: %w", casefolder.Settings, err)
	}
	if s.Config == nil {
		return 0, nil
	}
	text := string(s.Config.Bytes)
	if s.Config.Text != nil {
		text = *s.Config.Text
	}
	c, err := config.Parse(s.Config.Path, strings.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w; give --config anew to `midwatch investigate --again`", casefolder.Settings, err)
	}
	return c.Containment.Approvals, nil
}

// Recorder keeps what a containment does in the journal of its case. It
// implements [graph.Recorder].
type Recorder struct {
	j    *journal.Journal
	by   journal.Author
	plan string // hash; empty: no approvals are asked for
	need int
}

// NewRecorder makes the recorder of a run that carries out the plan of a hash, of
// which each step has to be approved by as many people as need. An empty hash: a
// run for which nobody has to.
func (o *Office) NewRecorder(dir string, by journal.Author, plan string, need int) *Recorder {
	return &Recorder{o.journal(dir), by, plan, need}
}

// Append implements [graph.Recorder]. What is meant to be done with a step is
// written only when its approvals hold still: one that was withdrawn while the
// plan is carried out ends the run before the step's first change.
func (r *Recorder) Append(ctx context.Context, e graph.Entry) error {
	var check func([]journal.Entry) error
	if e.What == "intent" && r.plan != "" && r.need > 0 {
		check = func(all []journal.Entry) error {
			now, _ := approvals(r.plan, all)
			if n := People(now[e.Step]); n < r.need {
				return fmt.Errorf("step %s is approved by %d of %d people by now: an approval was withdrawn", e.Step, n, r.need)
			}
			return nil
		}
	}
	// What was sent is written down even when the person interrupts.
	_, err := r.j.AppendIf(context.WithoutCancel(ctx), r.by, check, journal.Draft{Kind: journal.ContainStep, Payload: e})
	return err
}

// Entries implements [graph.Recorder].
func (r *Recorder) Entries() ([]graph.Entry, error) {
	all, err := r.j.Entries()
	if err != nil {
		return nil, err
	}
	var out []graph.Entry
	for i := range all {
		if all[i].Kind != journal.ContainStep {
			continue
		}
		var e graph.Entry
		if err := all[i].Decode(&e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
