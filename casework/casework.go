// Package casework is where people work on a case: it reads what there is to
// do from the case's files and its journal, and writes down what they decide.
// The verbs of the command line and the web interface both stand on it, so that
// what one of them wrote is what the other shows.
//
// Two rules are kept here:
//
//   - Nothing but the journal is written, and only added to. What follows from a
//     decision is read from there by whoever concludes the case.
//   - Two people at once lose nothing. A decision names what its author had
//     before them ([By.Seen]); when others decided about the same thing since, it
//     is not written and they are told ([Conflict]). That is looked for while
//     nobody else can write.
//
// Everything in a journal may be somebody's hostile text. It is handed on as it
// is, and is for who shows it to make plain; errors of this package are plain.
package casework

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"midwatch/casefile"
	"midwatch/internal/casefolder"
	"midwatch/journal"
	"midwatch/report"
)

// Office is where people work on cases. Its methods may be called by several
// goroutines at once.
type Office struct {
	Now       func() time.Time                            // the clock
	Redo      func(ctx context.Context, dir string) error // concludes the case again from its own events; nil: not possible here
	Zone      *time.Location                              // clocks' days end in it; nil: UTC
	Approvals int                                         // people who must approve a containment step before it is carried out, unless the case says more; 0: none needed

	mu    sync.Mutex
	cases map[string]kept // by folder
}

// By is who writes, and what they knew.
type By struct {
	journal.Author
	// Seen is the number of the journal's last entry that the author had before
	// them; below 0: not said, and what others wrote meanwhile is no conflict.
	Seen int64
}

// Conflict is returned when others wrote about the same thing after what the
// author had seen. Nothing was written; the author is shown Entries and decides
// again.
type Conflict struct {
	Entries []journal.Entry // at least one
}

func (c *Conflict) Error() string {
	e := &c.Entries[len(c.Entries)-1]
	return fmt.Sprintf("%s decided about the same meanwhile (entry %d of the journal, %s); look at it and decide again",
		report.Plain(e.Author.Name), e.Seq, report.Plain(string(e.Kind)))
}

// Folder returns the path of a case, and an error where there is none, so that
// no journal comes to be elsewhere.
func Folder(dir string) (string, error) {
	dir = filepath.Clean(dir)
	if _, err := casefolder.ReadSources(dir); err != nil {
		return "", fmt.Errorf("%w; is %s a case folder?", err, dir)
	}
	return dir, nil
}

func (o *Office) journal(dir string) *journal.Journal {
	return journal.Open(filepath.Join(dir, casefolder.Journal), o.Now)
}

// about tells whether an entry, one of all, is about the subject of a decision.
type about func(all []journal.Entry, e *journal.Entry) bool

// write adds entries when no other wrote about the same since what the author
// had seen. valid, which may be nil, is asked besides, with all entries.
func (o *Office) write(ctx context.Context, dir string, by By, same about, valid func([]journal.Entry) error, drafts ...journal.Draft) ([]journal.Entry, error) {
	dir, err := Folder(dir)
	if err != nil {
		return nil, err
	}
	var check func([]journal.Entry) error
	if by.Seen >= 0 || valid != nil {
		check = func(all []journal.Entry) error {
			if err := conflict(by, same, all); err != nil {
				return err
			}
			if valid == nil {
				return nil
			}
			return valid(all)
		}
	}
	return o.journal(dir).AppendIf(ctx, by.Author, check, drafts...)
}

// one is write of a single entry.
func (o *Office) one(ctx context.Context, dir string, by By, same about, valid func([]journal.Entry) error, kind journal.Kind, payload any) (journal.Entry, error) {
	es, err := o.write(ctx, dir, by, same, valid, journal.Draft{Kind: kind, Payload: payload})
	if err != nil {
		return journal.Entry{}, err
	}
	return es[0], nil
}

func conflict(by By, same about, all []journal.Entry) error {
	if by.Seen < 0 {
		return nil
	}
	if by.Seen > int64(len(all)) {
		return fmt.Errorf("the journal has %d entries, and you had seen entry %d: it is another one by now; load the page again", len(all), by.Seen)
	}
	if same == nil {
		return nil
	}
	var c Conflict
	for i := range all[by.Seen:] { // entries are numbered from 1, without gaps
		e := &all[by.Seen+int64(i)]
		if (e.Author.Name != by.Name || e.Author.User != by.User || e.Author.Claimed != by.Claimed) && same(all, e) {
			c.Entries = append(c.Entries, *e)
		}
	}
	if len(c.Entries) == 0 {
		return nil
	}
	return &c
}

// reasoned wants a reason.
func reasoned(reason, why string) error {
	if strings.TrimSpace(reason) == "" {
		return errors.New("a reason is missing; " + why)
	}
	return nil
}

// kept is what is remembered of a case between two pages: files that have not
// changed are not read again. Nothing of it is changed once it is there.
type kept struct {
	journal  stamp
	entries  []journal.Entry
	bad      error               // of reading them
	decided  []casefile.Override // that hold
	sound    []journal.Entry     // those that can be read as what they are
	problems []string            // the others
	lost     int64               // the first of these that is about campaigns; 0: none is

	exposure stamp
	found    *found // nil: mail was not searched

	settings stamp
	need     int // approvals that the case's configuration wants
}

// stamp tells whether a file is the one that was read. A journal grows with
// every entry, so that its size alone tells nearly always.
type stamp struct {
	info os.FileInfo // nil: there was no file
	read bool
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return stamp{nil, true}, nil
	}
	return stamp{info, true}, err
}

func (s stamp) same(t stamp) bool {
	if !s.read || !t.read || s.info == nil || t.info == nil {
		return s.read && t.read && s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// look returns what is kept of a case, and reads the journal where it changed.
// The result is not changed by others.
func (o *Office) look(dir string) (kept, error) {
	dir = filepath.Clean(dir)
	// Before the file is read: what is written meanwhile is seen the next time.
	s, err := stampOf(filepath.Join(dir, casefolder.Journal))
	if err != nil {
		return kept{}, err
	}
	if k := o.remembered(dir); k.journal.same(s) {
		return k, k.bad
	}
	entries, bad := o.journal(dir).Entries()
	if bad != nil {
		bad = fmt.Errorf("%w; `midwatch journal verify %s` tells more, and what it says holds until the file is moved aside", bad, dir)
	}
	sound, problems := readable(entries)
	lost := int64(0)
	for i := range entries {
		if _, campaigns := overrideKinds()[entries[i].Kind]; campaigns && payloadOf(&entries[i]) != nil {
			lost = entries[i].Seq
			break
		}
	}
	decided, err := Overrides(sound)
	if err != nil {
		return kept{}, err // readable has looked
	}
	x := o.remember(dir, func(k *kept) {
		k.journal, k.entries, k.bad, k.decided, k.sound, k.problems, k.lost = s, entries, bad, decided, sound, problems, lost
	})
	return x, bad
}

// remembered is what is kept of a case.
func (o *Office) remembered(dir string) kept {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cases[dir]
}

// remember changes what is kept of a case. What it holds is shared, so that change
// puts other values in its place and changes none.
func (o *Office) remember(dir string, change func(*kept)) kept {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cases == nil {
		o.cases = map[string]kept{}
	}
	k := o.cases[dir]
	change(&k)
	o.cases[dir] = k
	return k
}

// readable are the entries whose payloads are what their kinds have, and in
// words those that are not.
func readable(es []journal.Entry) (sound []journal.Entry, problems []string) {
	for i := range es {
		e := &es[i]
		if err := payloadOf(e); err != nil {
			problems = append(problems, report.Plain(err.Error())+"; it is passed over")
			continue
		}
		sound = append(sound, *e)
	}
	return sound, problems
}

// State says what the journal's last entry is, 0 when there is none, and in a
// sentence whether it has decisions that the case does not follow yet. Unless
// the journal changed it is not read again. An error is that of a journal that is
// damaged; head is that of its sound part then.
func (o *Office) State(dir string, c *casefile.Case) (head int64, stale string, err error) {
	k, err := o.look(dir)
	head = int64(len(k.entries))
	if err != nil {
		return head, "", err
	}
	if n := behind(k.decided, c); n > 0 {
		stale = "The journal has decisions about campaigns that this case does not follow yet."
	}
	if k.lost > 0 {
		stale = strings.TrimSpace(fmt.Sprintf("%s Entry %d of the journal cannot be read as a decision about campaigns, and the case cannot be concluded again.", stale, k.lost))
	}
	return head, stale, nil
}

// behind counts the decisions that a case does not follow, or follows though
// they were taken back.
func behind(decided []casefile.Override, c *casefile.Case) (n int) {
	in := func(list []casefile.Override, seq int64) bool {
		return slices.ContainsFunc(list, func(o casefile.Override) bool { return o.Seq == seq })
	}
	for _, o := range decided {
		if !in(c.Overrides, o.Seq) {
			n++
		}
	}
	for _, o := range c.Overrides {
		if !in(decided, o.Seq) {
			n++
		}
	}
	return n
}

// Since returns the entries after one of a number, which are not to be changed.
func (o *Office) Since(dir string, seq int64) ([]journal.Entry, error) {
	k, err := o.look(dir)
	n := int64(len(k.entries))
	return slices.Clip(k.entries[min(max(seq, 0), n):]), err
}
