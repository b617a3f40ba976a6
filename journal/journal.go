// Package journal keeps what people decided and did in a case: an append-only
// file of one JSON object a line, chained by hashes, so that what was written
// once can be shown not to have been changed since. docs/JOURNAL.md describes
// the form for other programs.
//
// What is promised:
//
//   - An entry that [Journal.Append] returned is on disk: it survives kill -9 and
//     the loss of power.
//   - A write that did not come that far leaves a torn end. The next append cuts
//     it off and writes down that it did ([Recovered]); readers pass over it.
//   - Any number of processes may append; none waits for a reader.
//   - Whoever holds the lock may put another file in the journal's place (a case
//     is replaced as a whole); appenders notice and go on in that.
//
// A chain shows that an entry was changed, removed or moved. It cannot show that
// its end was cut off, nor that all of it was written anew: for that the hash of
// the last entry, the head, has to be noted somewhere else.
package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxEntry bounds an entry: its line in bytes, the line's end included.
const MaxEntry = 256 << 10

// maxName bounds the name of an author, in bytes.
const maxName = 256

// Genesis is what the first entry has for the hash of the one before, and the
// head of a journal without entries: the SHA-256 of "midwatch.journal/1".
const Genesis = "14ffc338956186c36a626ece65fa3ee51794fdec897d5ae96ae8c666c0fc09c4"

// Kind says what an entry is. The kinds are listed by [Kinds]; what a payload
// holds is for the package that writes it to say.
type Kind string

// The kinds. A reader meets kinds of later versions and passes over them.
const (
	Note            Kind = "note"              // a remark
	Decision        Kind = "decision"          // what somebody decided
	Statement       Kind = "statement"         // what somebody said, who was asked
	CampaignJoin    Kind = "campaign.join"     // findings are one actor's doing
	CampaignSplit   Kind = "campaign.split"    // findings are not of their campaign
	CampaignExclude Kind = "campaign.exclude"  // a finding or an entity is of no campaign
	CampaignUndo    Kind = "campaign.undo"     // one of these is taken back
	SecretState     Kind = "secret.state"      // what became of a secret
	NoticeState     Kind = "notice.state"      // what became of a notice
	ContainStep     Kind = "contain.step"      // a step to contain the actor
	ContainApprove  Kind = "contain.approve"   // somebody is for such a step, or no longer
	Question        Kind = "question"          // a question in SQL that others may ask, too
	MailRead        Kind = "mail.read"         // somebody was shown what mail holds
	Recovered       Kind = "journal.recovered" // the torn end of a write was cut off
)

// Kinds lists the kinds that can be written.
func Kinds() []Kind {
	return []Kind{Note, Decision, Statement, CampaignJoin, CampaignSplit, CampaignExclude, CampaignUndo, SecretState, NoticeState, ContainStep, ContainApprove, Question, MailRead, Recovered}
}

// Author is who made an entry.
type Author struct {
	Name    string // who it is
	User    string // account of the operating system that wrote it
	Claimed bool   // Name was said, and nobody has checked it
}

// Entry is one line of a journal.
type Entry struct {
	Seq     int64           // number, from 1
	Time    time.Time       // when, by the clock of the machine that wrote it; UTC, microseconds
	Author  Author          // who
	Kind    Kind            // what it is
	Payload json.RawMessage // a JSON object, as the kind has it
	Prev    string          // hash of the entry before, in hex
	Hash    string          // its own, in hex
}

// Decode reads the payload into a value of the package that wrote it.
func (e *Entry) Decode(into any) error {
	if err := json.Unmarshal(e.Payload, into); err != nil {
		return fmt.Errorf("journal entry %d (%s): %w", e.Seq, e.Kind, err)
	}
	return nil
}

// Journal is the journal at a path. It holds nothing open.
type Journal struct {
	path string
	now  func() time.Time
	wait time.Duration         // for the lock
	file func(*os.File) writer // what is written through; tests make it fail
}

// writer is what an append needs of a file.
type writer interface {
	WriteAt(b []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error
}

// Open returns the journal at path, which need not exist: the first append makes
// it, in a folder that does. now is the clock.
func Open(path string, now func() time.Time) *Journal {
	return &Journal{path: path, now: now, wait: 30 * time.Second, file: func(f *os.File) writer { return f }}
}

// Append writes an entry and returns it when it is on disk. An error means that
// it is not in the journal; of two errors the second says that it may be there
// in part, or whole, and could not be taken away. payload is marshalled to JSON, and has to become an
// object; of a [json.RawMessage] members that are there twice are written once.
func (j *Journal) Append(ctx context.Context, by Author, kind Kind, payload any) (Entry, error) {
	es, err := j.AppendIf(ctx, by, nil, Draft{kind, payload})
	if err != nil {
		return Entry{}, err
	}
	return es[0], nil
}

// Draft is an entry that is to be written.
type Draft struct {
	Kind    Kind
	Payload any // as [Journal.Append] has it
}

// AppendIf writes entries, one after the other, if check has nothing against it:
// check is given all entries that there are, and nobody adds one between its
// answer and the writing. Its error is returned as it is, and nothing is written
// then. A nil check has nothing against anything, and the journal is not read.
//
// What check is given it may keep. It must not write to the journal, which would
// wait for itself, and should be quick: others wait for it.
//
// An error means that no entry is in the journal, as with [Journal.Append]. A
// process that is killed meanwhile may leave the first of them.
func (j *Journal) AppendIf(ctx context.Context, by Author, check func(all []Entry) error, drafts ...Draft) ([]Entry, error) {
	if len(drafts) == 0 {
		return nil, errors.New("journal: nothing to write")
	}
	es := make([]Entry, 0, len(drafts))
	for _, d := range drafts {
		e, err := newEntry(by, d.Kind, d.Payload)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	l, err := j.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Unlock()
	if check != nil {
		all, err := l.entries()
		if err != nil {
			return nil, fmt.Errorf("%s: %w; nothing was added", filepath.Base(j.path), err)
		}
		if err := check(all); err != nil {
			return nil, err
		}
	}
	if err := l.append(es); err != nil {
		return nil, fmt.Errorf("%s: %w; the entry was not added", filepath.Base(j.path), err)
	}
	return es, nil
}

// newEntry is an entry without its place in the chain.
func newEntry(by Author, kind Kind, payload any) (Entry, error) {
	e := Entry{Author: by, Kind: kind}
	if !slices.Contains(Kinds(), kind) {
		return e, fmt.Errorf("journal: no kind of entry is %q", kind)
	}
	for _, s := range []string{by.Name, by.User} {
		if strings.TrimSpace(s) == "" || len(s) > maxName || !utf8.ValidString(s) {
			return e, fmt.Errorf("journal: %q is no author; a name has 1 to %d bytes of UTF-8", s[:min(len(s), maxName)], maxName)
		}
	}
	b, err := marshal(payload)
	if err != nil {
		return e, fmt.Errorf("journal: payload: %w", err)
	}
	// Written as a map has it: members sorted, each once.
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&m); err != nil || m == nil {
		return e, errors.New("journal: a payload has to be a JSON object")
	}
	if e.Payload, err = marshal(m); err != nil {
		return e, fmt.Errorf("journal: payload: %w", err)
	}
	return e, nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// head is an entry as its line has it, but for the hash.
type head struct {
	Seq     int64           `json:"seq"`
	Time    string          `json:"time"`
	Author  string          `json:"author"`
	User    string          `json:"user"`
	Claimed bool            `json:"claimed"`
	Kind    Kind            `json:"kind"`
	Payload json.RawMessage `json:"payload"`
	Prev    string          `json:"prev"`
}

// MarshalJSON writes the members of the entry's line.
func (e Entry) MarshalJSON() ([]byte, error) {
	return marshal(struct {
		head
		Hash string `json:"hash"`
	}{e.head(), e.Hash})
}

func (e *Entry) head() head {
	return head{e.Seq, e.Time.Format(timeForm), e.Author.Name, e.Author.User, e.Author.Claimed, e.Kind, e.Payload, e.Prev}
}

const timeForm = "2006-01-02T15:04:05.000000Z"

// line gives an entry its hash and returns its line. The hash is of the line's
// own bytes before the member hash: who verifies need not write JSON.
func (e *Entry) line() ([]byte, error) {
	b, err := marshal(e.head())
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSuffix(b, []byte("}"))
	e.Hash = hash(b)
	b = append(b, hashMember+e.Hash+lineEnd...)
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("an entry of %d bytes; it has at most %d: write less, or keep it in a file and write down that file's SHA-256", len(b), MaxEntry)
	}
	return b, nil
}

// What a line ends with: the member hash and its 64 hexadecimal digits.
const (
	hashMember = `,"hash":"`
	lineEnd    = "\"}\n"
)

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Lock is held by one at a time. The system lets go of it when the process
// ends, however it ends.
type Lock struct {
	j *Journal
	f *os.File
}

// Lock waits until no other process appends, and keeps them from it until
// Unlock. It makes the journal where there is none: an empty file is one
// without entries.
func (j *Journal) Lock(ctx context.Context) (*Lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.wait, fmt.Errorf("another process has held the journal %s for %s; is one suspended?", j.path, j.wait))
	defer cancel()
	for missing := 0; ; {
		f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
		switch {
		case errors.Is(err, fs.ErrNotExist) && missing < 1000:
			missing++ // the folder may be on its way: not every system swaps two in one step
		case err != nil:
			return nil, fmt.Errorf("open the journal: %w", err)
		default:
			ok, err := tryLock(f)
			if ok && err == nil && j.in(f) {
				return &Lock{j, f}, nil
			}
			_ = f.Close() // nothing was written
			if err != nil {
				return nil, fmt.Errorf("lock the journal: %w", err)
			}
			if ok {
				continue // another file is in its place by now
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200*time.Microsecond + rand.N(800*time.Microsecond)): // others hold it for less
		}
	}
}

// in reports whether f is what stands at the journal's path.
func (j *Journal) in(f *os.File) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	is, err := os.Stat(j.path)
	return err == nil && os.SameFile(have, is)
}

// Unlock lets others append.
func (l *Lock) Unlock() { _ = l.f.Close() } // what was written is synced already

// append puts entries at the end of the chain.
func (l *Lock) append(es []Entry) error {
	info, err := l.f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	w := l.j.file(l.f)
	if size == 0 {
		// Before the first byte: a journal that has some is one that stays.
		if err := syncFolder(filepath.Dir(l.j.path)); err != nil {
			return err
		}
	}
	end, err := l.end(size)
	if err != nil {
		return err
	}
	var out []byte
	seq, prev := end.seq, end.hash
	if end.whole {
		out = append(out, '\n')
	}
	add := func(e *Entry) error {
		seq++
		e.Seq, e.Prev, e.Time = seq, prev, l.j.now().UTC().Truncate(time.Microsecond)
		b, err := e.line()
		prev, out = e.Hash, append(out, b...)
		return err
	}
	if len(end.torn) > 0 {
		r, err := newEntry(es[0].Author, Recovered, recovered(end.torn))
		if err != nil {
			return err
		}
		if err := add(&r); err != nil {
			return err
		}
	}
	for i := range es {
		if err := add(&es[i]); err != nil {
			return err
		}
	}
	if end.at < size {
		if err := w.Truncate(end.at); err != nil {
			return fmt.Errorf("cut off a torn end: %w", err)
		}
	}
	_, err = w.WriteAt(out, end.at)
	if err == nil {
		err = w.Sync()
	}
	if err != nil {
		// Whether the bytes are there or not, they do not count.
		return errors.Join(fmt.Errorf("write: %w", err), w.Truncate(end.at), w.Sync())
	}
	return nil
}

// Cut is the payload of [Recovered]: what was cut off the end.
type Cut struct {
	Bytes  int64  `json:"bytes"`  // how many
	SHA256 string `json:"sha256"` // of them
	Head   []byte `json:"head"`   // the first of them, in base64
}

func recovered(torn []byte) Cut {
	const keep = 64 << 10
	return Cut{int64(len(torn)), hash(torn), torn[:min(len(torn), keep)]}
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // read only
	return d.Sync()
}
