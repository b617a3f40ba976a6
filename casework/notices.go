package casework

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond/notice"
)

// The notices of a case, and what is beside them.
const (
	NoticesFolder = "notices"
	NoticesIndex  = "index.json"
	ContactFile   = "contact.yaml" // that of the last notices
)

// ReadNotices reads the index of a case's notices; nil: none were made.
func ReadNotices(dir string) (*notice.Index, error) {
	f, err := os.Open(filepath.Join(dir, NoticesFolder, NoticesIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return notice.ReadIndex(f)
}

// NoticeStates are what became of notices, by id. The error names an entry that
// is none.
func NoticeStates(es []journal.Entry) (map[string][]notice.State, error) {
	out := map[string][]notice.State{}
	for i := range es {
		if es[i].Kind != journal.NoticeState {
			continue
		}
		var s notice.State
		if err := es[i].Decode(&s); err != nil {
			return nil, err
		}
		out[s.ID] = append(out[s.ID], s)
	}
	return out, nil
}

// SetNotice writes down that a notice was sent, read or acknowledged. at is when;
// no time: now.
func (o *Office) SetNotice(ctx context.Context, dir string, by By, id string, state notice.StateName, at casefile.Time, reason string) (journal.Entry, error) {
	if !slices.Contains(notice.StateNames(), state) {
		return journal.Entry{}, fmt.Errorf("%q is no state; it is sent, read or acknowledged", state)
	}
	x, err := ReadNotices(dir)
	if err != nil {
		return journal.Entry{}, err
	}
	if x == nil {
		return journal.Entry{}, NoNotices(dir)
	}
	e := x.Find(id)
	if e == nil {
		return journal.Entry{}, fmt.Errorf("no notice of this case is %q; `midwatch notify list %s` shows them", id, report.Plain(dir))
	}
	if state == notice.Sent && e.Gone {
		return journal.Entry{}, fmt.Errorf("the case no longer says that %s is affected: there is nothing to send", report.Plain(e.Recipient))
	}
	if at.IsZero() {
		at = casefile.TimeOf(o.Now())
	}
	if why := Implausible(at.Time, o.Now()); why != "" {
		return journal.Entry{}, fmt.Errorf("%s %s", at, why)
	}
	s := notice.State{ID: e.ID, Recipient: e.Recipient, State: state, At: at, Content: e.Content, Facts: e.Facts, Counts: e.Counts, Secrets: e.Secrets, Reason: reason}
	if state != notice.Sent {
		// It is about what was sent, whatever the draft says by now. That does
		// not change once it is in the journal, but for a sending after it.
		es, err := o.journal(dir).Entries()
		if err != nil {
			return journal.Entry{}, err
		}
		all, err := NoticeStates(es)
		if err != nil {
			return journal.Entry{}, err
		}
		told := sent(all[e.ID])
		if told == nil {
			return journal.Entry{}, fmt.Errorf("%s was not sent yet, as far as the journal says; write down that first", e.ID)
		}
		s.Content, s.Facts, s.Counts, s.Secrets = told.Content, told.Facts, told.Counts, told.Secrets
	}
	same := func(_ []journal.Entry, e *journal.Entry) bool {
		var x notice.State
		return e.Kind == journal.NoticeState && e.Decode(&x) == nil && x.ID == id
	}
	return o.one(ctx, dir, by, same, nil, journal.NoticeState, s)
}

// sent is what was sent last; nil: nothing was.
func sent(states []notice.State) *notice.State {
	for i := range slices.Backward(states) {
		if states[i].State == notice.Sent {
			return &states[i]
		}
	}
	return nil
}

// NoNotices says that a case has no notices, and what makes them.
func NoNotices(dir string) error {
	dir = report.Plain(dir)
	return fmt.Errorf("%s has no notices; `midwatch notify %s --contact FILE` makes them", dir, dir)
}

// Implausible says why something cannot have happened at a time; empty: it can.
func Implausible(at, now time.Time) string {
	switch {
	case at.After(now.Add(5 * time.Minute)):
		return "is still to come"
	case at.Year() < 1990:
		return "is before there was mail to read"
	}
	return ""
}

// Act is something that was done or decided, as the journal has it.
type Act struct {
	Seq    int64
	Time   time.Time
	Author string
	Text   string
	Kind   journal.Kind
	Step   string // of a containment
}

// Words are the act in one line.
func (a *Act) Words() string {
	return fmt.Sprintf("%s UTC: %s (%s)", a.Time.Format("2 January 2006, 15:04"), a.Text, a.Author)
}

// Acts are the decisions of a journal, without those about clocks, and the
// containment steps that were carried out and not taken back. The error names an
// entry that is none.
func Acts(es []journal.Entry) (out []Act, err error) {
	for i := range es {
		e := &es[i]
		a := Act{Seq: e.Seq, Time: e.Time, Author: e.Author.Name, Kind: e.Kind}
		switch e.Kind {
		case journal.Decision:
			var p struct {
				Type string `json:"type"`
				Text string `json:"text"`
			}
			if err := e.Decode(&p); err != nil {
				return nil, err
			}
			if p.Type != "" || p.Text == "" {
				continue
			}
			a.Text = p.Text
		case journal.ContainStep:
			var p struct {
				What  string `json:"what"`
				Step  string `json:"step"`
				Title string `json:"title"`
				State string `json:"state"`
			}
			if err := e.Decode(&p); err != nil {
				return nil, err
			}
			undone := p.What == "undo_result" && p.State != "failed"
			if !undone && (p.What != "result" || p.State != "done" || p.Title == "") {
				continue
			}
			// Done once more it is the same step, and taken back it is none.
			out = slices.DeleteFunc(out, func(b Act) bool { return b.Kind == journal.ContainStep && b.Step == p.Step })
			if undone {
				continue
			}
			a.Text, a.Step = p.Title, p.Step
		default:
			continue
		}
		out = append(out, a)
	}
	return out, nil
}
