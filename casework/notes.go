package casework

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"midwatch/journal"
)

// NoteEntry is the payload of notes and decisions.
type NoteEntry struct {
	Text     string   `json:"text"`
	Evidence []string `json:"evidence,omitempty"` // ids of events
}

// Note writes down a remark or a decision in words. evidence are ids of events
// that it is about; that the case has them is for the caller to know.
func (o *Office) Note(ctx context.Context, dir string, by By, kind journal.Kind, text string, evidence ...string) (journal.Entry, error) {
	if kind != journal.Note && kind != journal.Decision {
		return journal.Entry{}, fmt.Errorf("%q is neither a note nor a decision", kind)
	}
	if strings.TrimSpace(text) == "" {
		return journal.Entry{}, errors.New("the text is empty")
	}
	return o.one(ctx, dir, by, nil, nil, kind, NoteEntry{text, evidence})
}

// Question is a question in SQL that somebody kept for others.
type Question struct {
	Name, Why, SQL string
	By             string // who wrote it down; on saving it is the author
	Seq            int64  // number of its entry
}

// questionEntry is the payload of [journal.Question].
type questionEntry struct {
	Name string `json:"name"`
	Why  string `json:"why,omitempty"`
	SQL  string `json:"sql"`
}

// The most that a question has, in bytes.
const (
	maxQuestionName = 200
	maxQuestionText = 64 << 10
)

// Questions are those that were kept, by name; of several of one name the last.
func (o *Office) Questions(dir string) ([]Question, error) {
	k, err := o.look(dir)
	if err != nil {
		return nil, err
	}
	var out []Question
	for i := range k.entries {
		e := &k.entries[i]
		var q questionEntry
		if e.Kind != journal.Question || e.Decode(&q) != nil || q.Name == "" || q.SQL == "" {
			continue
		}
		out = slices.DeleteFunc(out, func(x Question) bool { return x.Name == q.Name })
		out = append(out, Question{q.Name, q.Why, q.SQL, e.Author.Name, e.Seq})
	}
	slices.SortStableFunc(out, func(a, b Question) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// SaveQuestion keeps a question for others. One of the same name is replaced; the
// journal has it still.
func (o *Office) SaveQuestion(ctx context.Context, dir string, by By, q Question) (journal.Entry, error) {
	p := questionEntry{strings.TrimSpace(q.Name), strings.TrimSpace(q.Why), strings.TrimSpace(q.SQL)}
	switch {
	case p.Name == "" || p.SQL == "":
		return journal.Entry{}, errors.New("a question has a name and a text in SQL")
	case len(p.Name) > maxQuestionName || len(p.Why) > maxQuestionText || len(p.SQL) > maxQuestionText:
		return journal.Entry{}, fmt.Errorf("the name of a question has at most %d bytes, its text and what it is for %d", maxQuestionName, maxQuestionText)
	}
	same := func(_ []journal.Entry, e *journal.Entry) bool {
		var x questionEntry
		return e.Kind == journal.Question && e.Decode(&x) == nil && x.Name == p.Name
	}
	return o.one(ctx, dir, by, same, nil, journal.Question, p)
}
