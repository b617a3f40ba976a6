package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/respond"
)

// Options are what carrying out needs from outside.
type Options struct {
	Base     string // of Graph, without a path; empty: https://graph.microsoft.com
	HTTP     *http.Client
	Tokens   Tokens
	Recorder Recorder
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error // waits, or returns the context's error

	Steps    []string                       // ids of the steps to carry out; empty: all
	Partial  bool                           // leave out steps whose permissions are missing
	Again    bool                           // set passwords and end sessions again that were done
	Password func() (string, error)         // makes a password
	Reveal   func(account, password string) // shows a new password; nil: nobody sees it
	Watch    func(Outcome)                  // told when a step has ended; may be nil

	tries  int // of a request
	settle int // looks at whether a change is seen
}

// Outcome is how a step ended.
type Outcome struct {
	Step    *respond.Step `json:"-"`
	ID      string        `json:"step"`
	Number  int           `json:"number"`
	Title   string        `json:"title"`
	State   State         `json:"state"`
	Note    string        `json:"note,omitempty"`
	Changes int           `json:"changes"` // requests that were accepted
}

// run is one application of a plan.
type run struct {
	o       Options
	p       *respond.Plan
	clients map[string]*Client
	lacking map[string]string // step -> why it cannot be carried out
	done    map[string]bool   // steps that the record says are done
	began   time.Time
}

func newRun(o Options) *run {
	if o.Base == "" {
		o.Base = "https://graph.microsoft.com"
	}
	if o.tries == 0 {
		o.tries = 8
	}
	if o.settle == 0 {
		o.settle = 8
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 2 * time.Minute}
	}
	h := *o.HTTP
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token goes nowhere else
	o.HTTP = &h
	return &run{o: o, clients: map[string]*Client{}, lacking: map[string]string{}, done: map[string]bool{}}
}

func (x *run) client(tenant string) *Client {
	if x.clients[tenant] == nil {
		x.clients[tenant] = &Client{base: strings.TrimSuffix(x.o.Base, "/"), tenant: tenant, http: x.o.HTTP, tokens: x.o.Tokens, sleep: x.o.Sleep, tries: x.o.tries}
	}
	return x.clients[tenant]
}

// work is a step that is being carried out.
type work struct {
	s        *respond.Step
	c        *Client
	before   string // of steps that can only be seen by a time: the time before
	sent     bool   // changes were sent in this run
	changes  int
	notes    []string
	password string
	intent   string // keys of the changes last written down
	err      error
}

// Apply carries a plan out, phase by phase: the changes of all steps of a phase
// first, then what shows that they took effect. A step that fails does not keep
// others from being done: every door that is closed helps. The error is of what
// ends the whole: missing permissions, a record that cannot be written, a
// context that was cancelled.
func Apply(ctx context.Context, p *respond.Plan, o Options) ([]Outcome, error) {
	x := newRun(o)
	x.p = p
	for _, id := range o.Steps {
		if !slices.ContainsFunc(p.Steps, func(s respond.Step) bool { return s.ID == id }) {
			return nil, fmt.Errorf("no step %q in the plan; the plan lists their ids", id)
		}
	}
	if err := x.history(); err != nil {
		return nil, err
	}
	if err := x.preflight(ctx); err != nil {
		return nil, err
	}
	if err := x.append(ctx, Entry{What: wroteStart, Began: casefile.TimeOf(x.began), Note: fmt.Sprintf("case %s, %d steps", p.Case, len(p.Steps))}); err != nil {
		return nil, err
	}
	var out []Outcome
	for _, phase := range p.Phases {
		var works []*work
		for i := range p.Steps {
			s := &p.Steps[i]
			if s.Phase != phase.Number {
				continue
			}
			if state, why := x.leave(s); state != "" {
				out = append(out, x.tell(Outcome{Step: s, State: state, Note: why}))
				continue
			}
			w := &work{s: s, c: x.client(s.Tenant)}
			works = append(works, w)
			if s.Kind == respond.NothingNew {
				continue // when everything else of its phase is through
			}
			w.err = x.send(ctx, w)
			if err := fatal(ctx, w.err); err != nil {
				return out, err
			}
		}
		for _, w := range works {
			r, err := x.conclude(ctx, w)
			if err != nil {
				return out, err
			}
			out = append(out, x.tell(r))
		}
	}
	slices.SortStableFunc(out, func(a, b Outcome) int { return a.Number - b.Number })
	return out, nil
}

// errRecord is an intent that could not be written down.
var errRecord = errors.New("cannot write down what is done")

func fatal(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errRecord) {
		return err
	}
	return nil
}

// tell completes an outcome and passes it on.
func (x *run) tell(r Outcome) Outcome {
	r.ID, r.Number, r.Title = r.Step.ID, r.Step.Number, r.Step.Title
	if x.o.Watch != nil {
		x.o.Watch(r)
	}
	return r
}

// leave says why a step is not carried out; an empty state: it is.
func (x *run) leave(s *respond.Step) (State, string) {
	switch {
	case len(x.o.Steps) > 0 && !slices.Contains(x.o.Steps, s.ID):
		return Skipped, "not chosen"
	case !s.Executable:
		return ByHand, s.ByHand
	case !x.p.Runs(s):
		return Skipped, "suspected only; --include-suspected carries it out"
	case x.lacking[s.ID] != "":
		return Skipped, x.lacking[s.ID]
	}
	if x.done[s.ID] && !x.o.Again && (s.Kind == respond.ResetPassword || s.Kind == respond.RevokeSessions) {
		return Already, "done before, in this case's record; --again does it once more"
	}
	return "", ""
}

func (x *run) append(ctx context.Context, e Entry) error {
	if x.p != nil {
		e.Plan = x.p.Hash
	}
	if err := x.o.Recorder.Append(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

// conclude verifies a step and writes down how it ended.
func (x *run) conclude(ctx context.Context, w *work) (Outcome, error) {
	r := Outcome{Step: w.s}
	switch {
	case w.s.Kind == respond.NothingNew:
		r.State, r.Note = x.lookAround(ctx, w)
	case w.err != nil:
		r.State, r.Note = Failed, x.explain(w)
	case !w.sent:
		r.State = Already
	default:
		r.State = Unseen
		for range 2 {
			ok, err := x.seen(ctx, w)
			if err == nil && !ok {
				err = x.send(ctx, w)
			}
			if err != nil {
				w.err = err
				r.State, r.Note = Failed, x.explain(w)
				break
			}
			if ok {
				r.State = Done
				break
			}
		}
		if r.State == Unseen {
			r.Note = "accepted, and not seen yet; look again with the plan's verification"
		}
	}
	if err := fatal(ctx, w.err); err != nil {
		return r, err
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	r.Changes = w.changes
	if notes := strings.Join(casefile.Unique(w.notes), "; "); notes != "" && r.State != Failed {
		r.Note = strings.TrimPrefix(r.Note+"; "+notes, "; ")
		if r.State == Done || r.State == Already {
			r.State = Attention
		}
	}
	if r.State == Done && w.password != "" && x.o.Reveal != nil {
		x.o.Reveal(w.s.Object.ID, w.password)
	}
	w.password = ""
	return r, x.append(ctx, Entry{What: wroteResult, Step: w.s.ID, Tenant: w.s.Tenant, Title: w.s.Title, State: r.State, Note: r.Note})
}

// explain says in words why a step failed.
func (x *run) explain(w *work) string {
	if denied(w.err) {
		return fmt.Sprintf("%v; the step needs %s, and for an object with a directory role the role Privileged Authentication Administrator", w.err, strings.Join(w.s.Permissions, ", "))
	}
	return w.err.Error()
}
