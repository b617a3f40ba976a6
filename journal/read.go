package journal

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// State is what a journal is, as a whole.
type State struct {
	Entries int64  // entries that are whole and in order
	Head    string // hash of the last of them; [Genesis] when there is none
	Torn    int64  // bytes after it: a write that was cut off. The next append takes them away
}

// BadEntry is the first entry of a journal that is not as it was written, or
// not where it was.
type BadEntry struct {
	Line   int64  // in the file, from 1
	Offset int64  // of the line, in bytes
	Why    string // what is the matter, in words
}

func (b *BadEntry) Error() string {
	return fmt.Sprintf("journal: line %d (at byte %d): %s", b.Line, b.Offset, b.Why)
}

// Entries reads the entries, in order, and verifies them. The error is a
// [*BadEntry] where one is bad; those before it are returned with it.
func (j *Journal) Entries() ([]Entry, error) {
	var out []Entry
	_, err := j.scan(func() { out = nil }, func(e Entry) { out = append(out, e) })
	return out, err
}

// Verify checks every entry and tells what the journal is.
func (j *Journal) Verify() (State, error) { return j.scan(func() {}, func(Entry) {}) }

// scan reads the journal without a lock. A torn end may be an append that is
// under way: it is read once more when nobody appends, if that is soon.
func (j *Journal) scan(begin func(), each func(Entry)) (s State, err error) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{Head: Genesis}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	if s, err = Read(f, each); s.Torn == 0 && err == nil {
		return s, nil
	}
	for range 50 {
		ok, locked := tryShared(f)
		if locked != nil {
			break // it is read as it is
		}
		if ok {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return s, fmt.Errorf("read the journal: %w", err)
			}
			begin()
			return Read(f, each)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s, err
}

// Read reads a journal and calls each with every entry that is whole and in its
// place. The error is a [*BadEntry] where one is not.
func Read(r io.Reader, each func(Entry)) (State, error) {
	s := State{Head: Genesis}
	b := bufio.NewReaderSize(r, MaxEntry)
	var at int64
	for {
		line, err := b.ReadSlice('\n')
		switch {
		case err == nil && !zeros(line):
			e, why := parse(line)
			if why == "" {
				why = s.follows(&e)
			}
			if why != "" {
				return s, &BadEntry{s.Entries + 1, at, why}
			}
			each(e)
			s.Entries, s.Head = e.Seq, e.Hash
			at += int64(len(line))
			continue
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull):
			return s, fmt.Errorf("read the journal: %w", err)
		}
		// What is left is torn if no line ends in it, or only ones that the
		// loss of power has left zeros in.
		s.Torn = int64(len(line))
		torn := err == nil
		for !errors.Is(err, io.EOF) {
			line, err = b.ReadSlice('\n')
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
				return s, fmt.Errorf("read the journal: %w", err)
			}
			s.Torn += int64(len(line))
			if err == nil && torn && !zeros(line) {
				return s, &BadEntry{s.Entries + 1, at, "zeros stand in it, and lines follow"}
			}
			if err == nil && !torn {
				return s, &BadEntry{s.Entries + 1, at, fmt.Sprintf("a line of more than %d bytes, which none has", MaxEntry)}
			}
		}
		return s, nil
	}
}

// zeros reports whether a line has bytes that no entry has and that a file
// system leaves in a file whose bytes it had not written.
func zeros(line []byte) bool { return bytes.IndexByte(line, 0) >= 0 }

// follows says why an entry cannot be the next one.
func (s *State) follows(e *Entry) string {
	switch {
	case e.Seq != s.Entries+1:
		return fmt.Sprintf("entry %d stands where entry %d belongs: entries were removed, put in or moved", e.Seq, s.Entries+1)
	case e.Prev != s.Head:
		return fmt.Sprintf("entry %d was written after another entry than the one before it, which was changed or replaced", e.Seq)
	}
	return ""
}

// parse reads a line and checks its hash; why says what is the matter with it.
func parse(line []byte) (e Entry, why string) {
	tail := len(hashMember) + hex.EncodedLen(32) + len(lineEnd)
	body := line[:max(0, len(line)-tail)]
	rest := line[len(body):]
	if len(body) == 0 || len(line) > MaxEntry || !bytes.HasPrefix(rest, []byte(hashMember)) || !bytes.HasSuffix(rest, []byte(lineEnd)) {
		return e, "it is no entry: a line ends with the entry's hash"
	}
	e.Hash = string(rest[len(hashMember) : len(rest)-len(lineEnd)])
	if e.Hash != hash(body) {
		return e, "its hash is not that of its content: it was changed"
	}
	var h head
	if err := json.Unmarshal(append(body[:len(body):len(body)], '}'), &h); err != nil {
		return e, "it is no entry: " + err.Error()
	}
	at, err := time.Parse(timeForm, h.Time)
	if err != nil || !bytes.HasPrefix(h.Payload, []byte("{")) {
		return e, "it is no entry: it lacks a time or a payload"
	}
	e.Seq, e.Time, e.Author, e.Kind, e.Payload, e.Prev = h.Seq, at, Author{h.Author, h.User, h.Claimed}, h.Kind, h.Payload, h.Prev
	return e, ""
}

// end is where a journal can be continued.
type end struct {
	seq   int64
	hash  string // of the last entry
	at    int64  // byte after it
	whole bool   // of the last entry only the line's end is missing, at `at`
	torn  []byte // bytes after it
}

// end looks for the last entry, from the end: an append does not read the
// journal.
func (l *Lock) end(size int64) (end, error) {
	x := end{hash: Genesis}
	if size == 0 {
		return x, nil
	}
	// Room for an entry and a torn one after it.
	const window = 3 * MaxEntry
	from := max(0, size-window)
	buf := make([]byte, size-from)
	if _, err := l.f.ReadAt(buf, from); err != nil && !errors.Is(err, io.EOF) {
		return x, err
	}
	for stop := len(buf); ; {
		stop = bytes.LastIndexByte(buf[:stop], '\n') + 1
		x.at, x.torn = from+int64(stop), buf[stop:]
		if stop == 0 {
			break
		}
		begin := bytes.LastIndexByte(buf[:stop-1], '\n') + 1
		line := buf[begin:stop]
		if zeros(line) {
			stop = begin
			if begin > 0 {
				continue
			}
			x.at, x.torn = from, buf
			break
		}
		e, why := parse(line)
		if why != "" {
			return x, fmt.Errorf("the last entry is damaged: %s; `midwatch journal verify` tells where, and a copy of the file moved aside lets a new one begin", why)
		}
		x.seq, x.hash = e.Seq, e.Hash
		break
	}
	if x.seq == 0 && from > 0 {
		return x, fmt.Errorf("its last %d bytes hold no entry; move the file aside, and a new one begins", len(buf))
	}
	// An entry that lacks only its line's end was not acknowledged, unless an
	// editor took that away: it is finished.
	if e, why := parse(append(x.torn[:len(x.torn):len(x.torn)], '\n')); len(x.torn) > 0 && why == "" && e.Seq == x.seq+1 && e.Prev == x.hash {
		x.seq, x.hash, x.at, x.whole, x.torn = e.Seq, e.Hash, x.at+int64(len(x.torn)), true, nil
	}
	return x, nil
}

// entries reads the entries that a next one would follow: one that lacks only
// its line's end is among them, as [Lock.append] has it.
func (l *Lock) entries() (out []Entry, err error) {
	info, err := l.f.Stat()
	if err != nil {
		return nil, err
	}
	end, err := l.end(info.Size())
	if err != nil {
		return nil, err
	}
	var r io.Reader = io.NewSectionReader(l.f, 0, end.at)
	if end.whole {
		r = io.MultiReader(r, strings.NewReader("\n"))
	}
	_, err = Read(r, func(e Entry) { out = append(out, e) })
	return out, err
}
