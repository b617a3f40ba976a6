// Package audit writes down who was shown what mail holds: a file of its own in
// the case, access.ndjson, in the form of the journal (docs/JOURNAL.md), so that
// what was written once can be shown not to have been changed since.
//
// A read is written down, and on disk, before what was asked for is sent. Who
// sends it refuses to when [Log.Write] fails. So there may be reads in the file
// that were never answered, and none that were and are not in it.
//
// Many read at once, and an fsync takes milliseconds. Whoever comes while one is
// under way joins the next entry, and one of those who wait writes it for all:
// an entry has all reads of its moment. Several entries of one write would not
// do: a loss of power can leave the second of two whole and the first not, and
// then nothing says where the journal ended.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"midwatch/journal"
)

// File is the name of the record in a case folder.
const File = "access.ndjson"

// Read is one time that somebody was shown something that mail holds.
type Read struct {
	By      string `json:"by"`      // who, as they came in
	Via     string `json:"via"`     // how it is known who
	Role    string `json:"role"`    // as what
	Session string `json:"session"` // what a session is told apart by, not its id
	Remote  string `json:"remote"`  // address that the request came from
	Action  string `json:"action"`  // what they did: show, search, download
	Route   string `json:"route"`   // the pattern of the address, not the address
	Case    string `json:"case"`
	What    string `json:"what"` // mailbox, event or question, cut to [MaxWhat] bytes
	Rows    int    `json:"rows"` // how many rows they were shown; -1 when that was not known yet
}

// Limits of a read, in bytes. What is longer is cut, and ends with an ellipsis.
const (
	MaxWhat  = 2048
	maxField = 256
)

// payload is what a journal entry of kind [journal.MailRead] holds.
type payload struct {
	Reads []json.RawMessage `json:"reads"`
}

// Room for reads in an entry, in bytes, beside what else is in it.
const room = journal.MaxEntry - 4<<10

// Log is the record of one case. It may be used from many goroutines, and by
// many processes at once.
type Log struct {
	j  *journal.Journal
	by journal.Author

	turn chan struct{} // held by who writes
	mu   sync.Mutex
	open *group // that reads still join; nil: the next one begins it
}

// group is the reads of one entry.
type group struct {
	reads []json.RawMessage
	size  int
	taken bool          // it is being written, or was
	done  chan struct{} // closed when it was
	err   error
}

// Open returns the record at path, which need not exist. account is that of the
// operating system that writes it.
func Open(path, account string, now func() time.Time) *Log {
	return &Log{j: journal.Open(path, now), by: journal.Author{Name: "midwatch serve", User: account}, turn: make(chan struct{}, 1)}
}

// Write writes a read down. When it returns nil that is on disk. After an error,
// that of ctx included, nothing may be shown; the read may be written down all
// the same.
func (l *Log) Write(ctx context.Context, r Read) error {
	if strings.TrimSpace(r.By) == "" || r.Action == "" {
		return errors.New("audit: a read has somebody who reads, and an action")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := json.Marshal(r.bounded())
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	g := l.join(b)
	select {
	case <-g.done: // another has written it
		return g.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case l.turn <- struct{}{}:
	}
	defer func() { <-l.turn }()
	// Others wait for it, too: it is written whoever hangs up.
	l.write(context.WithoutCancel(ctx), g)
	return g.err
}

// join puts a read into the group that is open.
func (l *Log) join(b json.RawMessage) *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.open
	if g == nil || g.size+len(b)+1 > room {
		g = &group{done: make(chan struct{})}
		l.open = g
	}
	g.reads, g.size = append(g.reads, b), g.size+len(b)+1
	return g
}

// write writes a group, unless it was written before its writer's turn came.
func (l *Log) write(ctx context.Context, g *group) {
	l.mu.Lock()
	taken := g.taken
	g.taken = true
	if l.open == g {
		l.open = nil
	}
	l.mu.Unlock()
	if taken { // only who has the turn takes one: it is done
		return
	}
	defer close(g.done)
	g.err = errors.New("audit: the entry was not written") // if what follows does not return
	_, g.err = l.j.Append(ctx, l.by, journal.MailRead, payload{g.reads})
	if g.err != nil {
		g.err = fmt.Errorf("audit: %w", g.err)
	}
}

// bounded cuts what is too long, and brings it to UTF-8.
func (r Read) bounded() Read {
	for _, f := range []*string{&r.By, &r.Via, &r.Role, &r.Session, &r.Remote, &r.Action, &r.Route, &r.Case} {
		*f = cut(*f, maxField)
	}
	r.What = cut(r.What, MaxWhat)
	return r
}

func cut(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	s = s[:most]
	for len(s) > 0 { // not in the middle of a character
		if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "\uFFFD") + "…"
}

// Record is a read with its place in the file.
type Record struct {
	Seq  int64     // of the entry, which may hold several
	Time time.Time // when it was written down
	Read
}

// Reads returns what is in the file, in order, and verifies it. The error is a
// [*journal.BadEntry] where an entry is not as it was written; those before it
// are returned with it.
func (l *Log) Reads() ([]Record, error) {
	es, bad := l.j.Entries()
	var out []Record
	for i := range es {
		if es[i].Kind != journal.MailRead {
			continue
		}
		var p struct{ Reads []Read }
		if err := es[i].Decode(&p); err != nil {
			return out, errors.Join(err, bad)
		}
		for _, r := range p.Reads {
			out = append(out, Record{es[i].Seq, es[i].Time, r})
		}
	}
	return out, bad
}
