package casework

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/exposure"
	"midwatch/investigate"
	"midwatch/journal"
	"midwatch/respond/clock"
	"midwatch/respond/notice"
)

// ClockEntry is the payload of a decision about clocks: what was decided, and
// what the case said then.
type ClockEntry struct {
	clock.Decision
	Known *investigate.Statement `json:"known,omitempty"`
}

// Clock is how a disclosure clock stands, with what its notification has to say
// and what of it is missing.
type Clock struct {
	clock.Status
	Content []clock.Item `json:"content"`
}

// ClockDecisions are the decisions about clocks in a journal. The error names an
// entry that is none.
func ClockDecisions(es []journal.Entry) (out []clock.Said, err error) {
	for i := range es {
		if es[i].Kind != journal.Decision {
			continue
		}
		var d clock.Decision
		if err := es[i].Decode(&d); err != nil {
			return nil, err
		}
		if d.Type == "" {
			continue
		}
		out = append(out, clock.Said{Decision: d, Seq: es[i].Seq, Time: casefile.TimeOf(es[i].Time), Author: es[i].Author.Name, Claimed: es[i].Author.Claimed})
	}
	return out, nil
}

// Clocks is what the clocks of a case are told from.
type Clocks struct {
	Table *clock.Table
	List  []Clock // in the order of the table
	Facts clock.Facts
}

// ClocksOf says how the clocks of a case stand by entries of its journal. contact
// is a file that says whom to ask; empty: that of the last notices, if any.
func ClocksOf(dir string, c *casefile.Case, x *exposure.Exposure, es []journal.Entry, contact string, zone *time.Location, now time.Time) (*Clocks, error) {
	table, err := clock.Builtin()
	if err != nil {
		return nil, err
	}
	said, err := ClockDecisions(es)
	if err != nil {
		return nil, err
	}
	acts, err := Acts(es)
	if err != nil {
		return nil, err
	}
	out := &Clocks{Table: table, Facts: clock.Facts{Case: c, Exposure: x}}
	for _, a := range acts {
		out.Facts.Measures = append(out.Facts.Measures, a.Words())
	}
	if contact == "" {
		contact = filepath.Join(dir, NoticesFolder, ContactFile)
		if _, err := os.Stat(contact); errors.Is(err, os.ErrNotExist) {
			contact = ""
		}
	}
	if contact != "" {
		c, err := notice.ReadContact(contact)
		if err != nil {
			return nil, err
		}
		out.Facts.Contact = c.Words()
	}
	for _, s := range table.Evaluate(said, zone, now) {
		out.List = append(out.List, Clock{s, out.Facts.Fill(s.Clock)})
	}
	return out, nil
}

// Urgency orders clocks: what is due first before what is due later, what has no
// time after it, and what is done or has not started last.
func Urgency(a, b *clock.Status) int {
	rank := func(s *clock.Status) int {
		switch {
		case s.State == clock.Done:
			return 2
		case s.State == clock.NotStarted:
			return 3
		case s.Due.IsZero():
			return 1
		}
		return 0
	}
	return cmp.Or(rank(a)-rank(b), a.Due.Compare(b.Due.Time))
}

// StartClock writes down that something happened, and when, that starts clocks.
// Said again it corrects what was said before.
func (o *Office) StartClock(ctx context.Context, dir string, c *casefile.Case, by By, event string, at casefile.Time, reason string) (journal.Entry, error) {
	return o.sayClock(ctx, dir, c, by, clock.Decision{Type: clock.Started, Event: event, At: at, Text: reason})
}

// WithdrawClock writes down that it did not happen, after all.
func (o *Office) WithdrawClock(ctx context.Context, dir string, c *casefile.Case, by By, event, reason string) (journal.Entry, error) {
	return o.sayClock(ctx, dir, c, by, clock.Decision{Type: clock.Withdrawn, Event: event, Text: reason})
}

// FileClock writes down that the notification of a clock was handed in, and when.
func (o *Office) FileClock(ctx context.Context, dir string, c *casefile.Case, by By, id string, at casefile.Time, reason string) (journal.Entry, error) {
	return o.sayClock(ctx, dir, c, by, clock.Decision{Type: clock.FiledAt, Clock: id, At: at, Text: reason})
}

// sayClock writes a decision about clocks with what the case says now.
func (o *Office) sayClock(ctx context.Context, dir string, c *casefile.Case, by By, d clock.Decision) (journal.Entry, error) {
	table, err := clock.Builtin()
	if err != nil {
		return journal.Entry{}, err
	}
	switch {
	case d.Type == clock.FiledAt:
		if table.Clock(d.Clock) == nil {
			return journal.Entry{}, fmt.Errorf("no clock is %q; `midwatch clocks CASE --all` shows them", d.Clock)
		}
	case table.Event(d.Event) == nil:
		var ids []string
		for _, e := range table.Events {
			ids = append(ids, e.ID)
		}
		return journal.Entry{}, fmt.Errorf("no event is %q; they are %s", d.Event, strings.Join(ids, ", "))
	}
	switch {
	case d.Type == clock.Withdrawn: // what did not happen has no time
	case d.At.IsZero():
		return journal.Entry{}, errors.New("the time is missing at which it happened")
	default:
		if why := Implausible(d.At.Time, o.Now()); why != "" {
			return journal.Entry{}, fmt.Errorf("%s %s", d.At, why)
		}
	}
	if err := reasoned(d.Text, "who decided it on what grounds, in a few words"); err != nil {
		return journal.Entry{}, err
	}
	known := investigate.StatementOf(c, "")
	same := func(_ []journal.Entry, e *journal.Entry) bool {
		var x clock.Decision
		return e.Kind == journal.Decision && e.Decode(&x) == nil && x.Type != "" && x.Event == d.Event && x.Clock == d.Clock
	}
	return o.one(ctx, dir, by, same, nil, journal.Decision, ClockEntry{d, &known})
}

// zone is the organization's.
func (o *Office) zone() *time.Location {
	if o.Zone == nil {
		return time.UTC
	}
	return o.Zone
}

func byUrgency(list []Clock) {
	slices.SortStableFunc(list, func(a, b Clock) int { return Urgency(&a.Status, &b.Status) })
}
