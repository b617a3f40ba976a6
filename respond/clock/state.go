package clock

import (
	"strings"
	"time"

	"midwatch/casefile"
)

// Type says what a decision in the journal is about.
type Type string

// The types of decision.
const (
	Started   Type = "clock.start"    // an event happened
	Withdrawn Type = "clock.withdraw" // it did not, after all
	FiledAt   Type = "clock.filed"    // a clock's notification was handed in
)

// Decision is the payload of a journal entry of kind decision about clocks. Text
// is why, so that readers who know nothing of clocks can show it.
type Decision struct {
	Type  Type          `json:"type"`
	Event string        `json:"event,omitempty"` // that started, or did not
	Clock string        `json:"clock,omitempty"` // that was filed
	At    casefile.Time `json:"at"`              // when it happened
	Text  string        `json:"text"`            // why, in the author's words
}

// Said is a decision with its place in the journal.
type Said struct {
	Decision
	Seq     int64         `json:"seq"`
	Time    casefile.Time `json:"time"`   // when it was written down
	Author  string        `json:"author"` // who decided it
	Claimed bool          `json:"claimed,omitempty"`
}

// The states of a clock.
const (
	NotStarted = "not started"
	Running    = "running"
	Passed     = "due passed"
	Done       = "filed"
)

// Status is how a clock stands.
type Status struct {
	Clock   *Clock        `json:"clock"`
	State   string        `json:"state"`             // not started, running, due passed, filed
	Start   casefile.Time `json:"start"`             // null: not started
	Due     casefile.Time `json:"due"`               // null: not started, or no fixed time
	Left    int64         `json:"left_seconds"`      // until due; negative: passed; 0 without a due time
	Basis   *Said         `json:"basis"`             // decision that started it
	Earlier []Said        `json:"earlier"`           // what was said of that event before, the oldest first
	Filed   *Said         `json:"filed"`             // decision that it was filed
	Late    bool          `json:"late"`              // it was filed after it was due
	Why     string        `json:"why"`               // what the due time is made of, in words
	Waiting string        `json:"waiting,omitempty"` // what would start it
}

// Evaluate says how each clock stands at now. said is in the order of the
// journal; of several entries about one event or filing the last one holds.
// zone is the organization's.
func (t *Table) Evaluate(said []Said, zone *time.Location, now time.Time) []Status {
	started, filed, earlier := map[string]*Said{}, map[string]*Said{}, map[string][]Said{}
	for i := range said {
		s := &said[i]
		switch s.Type {
		case Started, Withdrawn:
			earlier[s.Event] = append(earlier[s.Event], *s)
			started[s.Event] = s
			if s.Type == Withdrawn {
				delete(started, s.Event)
			}
		case FiledAt:
			filed[s.Clock] = s
		}
	}
	basis := func(start string) *Said {
		if id, ok := strings.CutPrefix(start, Filed); ok {
			return filed[id]
		}
		return started[start]
	}
	out := make([]Status, 0, len(t.Clocks))
	for i := range t.Clocks {
		c := &t.Clocks[i]
		s := Status{Clock: c, State: NotStarted, Basis: basis(c.Start), Filed: filed[c.ID], Earlier: []Said{}}
		for _, e := range earlier[c.Start] {
			if s.Basis == nil || e.Seq != s.Basis.Seq {
				s.Earlier = append(s.Earlier, e)
			}
		}
		where := zone
		if c.Zone != "" {
			if z, err := time.LoadLocation(c.Zone); err == nil { // Read has checked it
				where = z
			}
		}
		c.run(&s, basis, where)
		switch {
		case s.Filed != nil:
			s.State = Done
			s.Late = !s.Due.IsZero() && s.Filed.At.After(s.Due.Time)
		case s.Start.IsZero():
			s.Waiting = t.waiting(c)
		case !s.Due.IsZero() && now.After(s.Due.Time):
			s.State = Passed
		default:
			s.State = Running
		}
		if !s.Due.IsZero() && s.Filed == nil {
			s.Left = int64(s.Due.Sub(now) / time.Second)
		}
		out = append(out, s)
	}
	return out
}

// run fills in when a clock started, and when it is due.
func (c *Clock) run(s *Status, basis func(string) *Said, zone *time.Location) {
	var limit time.Time
	if c.Cap != nil {
		if b := basis(c.Cap.Start); b != nil {
			limit, _ = c.capped.after(b.At.Time, zone, c.until)
			if s.Basis == nil {
				s.Basis, s.Start, s.Due = b, b.At, casefile.TimeOf(limit)
				s.Why = c.Cap.Due + " after " + c.Cap.Start + ", and sooner once " + c.Start + " is said: " + c.Due + " after that"
				return
			}
		}
	}
	if s.Basis == nil {
		return
	}
	s.Start = s.Basis.At
	due, ok := c.period.after(s.Start.Time, zone, c.until)
	if !ok {
		s.Why = "without undue delay: the rule names no time"
		return
	}
	s.Why = c.Due + " after " + c.Start
	switch c.period.Unit {
	case BusinessDays:
		s.Why += ", US federal business days, until " + c.Cutoff + " in " + zone.String()
	case Days, Months, DaysOfYear:
		s.Why += ", to the end of the day in " + zone.String()
	}
	// What happened after the cap had ended is not bounded by it.
	if !limit.IsZero() && limit.Before(due) && !s.Start.After(limit) {
		due, s.Why = limit, c.Cap.Due+" after "+c.Cap.Start
	}
	s.Due = casefile.TimeOf(due)
}

func (t *Table) waiting(c *Clock) string {
	if id, ok := strings.CutPrefix(c.Start, Filed); ok {
		return "starts when " + id + " is filed"
	}
	return "starts with: " + t.Event(c.Start).Title
}
