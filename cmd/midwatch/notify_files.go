package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"midwatch/internal/casefolder"
	"midwatch/journal"
	"midwatch/respond/notice"
)

// act is something that was done or decided, as the journal has it.
type act struct {
	seq    int64
	time   time.Time
	author string
	text   string
	kind   journal.Kind
	step   string // of a containment
}

// Words are the act in one line.
func (a *act) Words() string {
	return fmt.Sprintf("%s UTC: %s (%s)", a.time.Format("2 January 2006, 15:04"), a.text, a.author)
}

// journalActs are the decisions of a journal, without those about clocks, and
// the containment steps that were carried out and not taken back.
func journalActs(es []journal.Entry) (out []act, err error) {
	for i := range es {
		e := &es[i]
		a := act{seq: e.Seq, time: e.Time, author: e.Author.Name, kind: e.Kind}
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
			a.text = p.Text
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
			out = slices.DeleteFunc(out, func(b act) bool { return b.kind == journal.ContainStep && b.step == p.Step })
			if undone {
				continue
			}
			a.text, a.step = p.Title, p.Step
		default:
			continue
		}
		out = append(out, a)
	}
	return out, nil
}

// noticeKey reads the key of a case, or makes one. It is never made anew: the
// codes that were sent would be worth nothing.
func noticeKey(path string) ([]byte, error) {
	const size = 32
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = make([]byte, size)
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
		return b, replaceFile(path, b)
	}
	if err == nil && len(b) != size {
		err = fmt.Errorf("%s has %d bytes and not %d: it is no key, and without the key codes cannot be verified; take it from a backup", path, len(b), size)
	}
	return b, err
}

// replaceFile writes a file beside its place and renames it.
func replaceFile(path string, b []byte) error {
	tmp := path + ".tmp"
	if err := casefolder.WriteFile(tmp, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
		return err
	}
	f, err := os.Open(tmp)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readNotices(dir string) (*notice.Index, error) {
	f, err := os.Open(filepath.Join(dir, noticesFolder, noticesIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return notice.ReadIndex(f)
}

func sha256Hex(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// writeNotices writes what changed. The index comes last: until then the one
// that is there names files that are there, but for those just replaced.
func writeNotices(folder string, index *notice.Index, changes []notice.Change, contact []byte) error {
	for _, c := range changes {
		if c.Draft == nil {
			continue
		}
		if c.Was != nil {
			for name := range c.Was.Files {
				old := filepath.Join(folder, earlierFolder, c.Was.Content[:8]+"-"+name)
				if err := os.Rename(filepath.Join(folder, name), old); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		for name, b := range c.Draft.Files {
			if err := replaceFile(filepath.Join(folder, name), b); err != nil {
				return err
			}
		}
	}
	var b strings.Builder
	if err := index.Write(&b); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(folder, contactFile), contact); err != nil {
		return err
	}
	return replaceFile(filepath.Join(folder, noticesIndex), []byte(b.String()))
}

func copyDrafts(to, folder string, index *notice.Index) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range index.Notices {
		if e.Gone {
			continue
		}
		for name := range e.Files {
			b, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				return err
			}
			if err := replaceFile(filepath.Join(to, name), b); err != nil {
				return err
			}
		}
	}
	return nil
}
