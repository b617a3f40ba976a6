// Package casefolder keeps a case's files together: NAME.case holds the event
// store or the name of the one it stands on, case.json, report.html and
// sources.json. A case appears whole or not at all: it is made in a hidden
// folder beside its final place and put there by one rename.
//
// A case that takes the place of another takes over its journal and the record
// of who read mail: what is written down while a case is made anew is in the new
// one, too.
package casefolder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/journal"
)

// The files of a case.
const (
	Events  = "events.duckdb"
	Store   = "store.json" // in the place of Events: the store that holds them
	Case    = "case.json"
	Report  = "report.html"
	Sources = "sources.json"

	Settings = "settings.json"  // what the case was concluded with besides logs
	Journal  = "journal.ndjson" // what people decided and did; not there until they do
	Access   = "access.ndjson"  // who was shown what mail holds (web/audit); not there until somebody was
)

// Companions are the files that other verbs put beside a case. A case that is
// made anew takes those over that it does not make itself.
func Companions() []string {
	return []string{"exposure.json", "exposure-messages.csv", "rotation.csv", "counterparties.csv", "contain.json", "contain.ndjson", "notices", "posture.json"}
}

// Suffix ends the name of every case folder.
const Suffix = ".case"

// Draft is a case that is being made.
type Draft struct {
	Dir    string // where to write
	Exists bool   // a case is in the final place already
	final  string
	done   bool
	before []byte                      // sources.json of the case whose events the draft took
	link   func(old, new string) error // os.Link, which not every file system has
	swap   func(dir, final string) error
}

// ErrNotACase is wrapped by Begin's error when something else stands where the
// case should go. Nothing is ever overwritten but a case.
var ErrNotACase = errors.New("it exists and is not a case folder")

// Begin starts a draft of the case at path.
func Begin(path string) (*Draft, error) {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case exists && !info.IsDir():
		return nil, fmt.Errorf("%s: %w", path, ErrNotACase)
	}
	if exists {
		if _, err = ReadSources(path); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", path, ErrNotACase, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-")
	if err != nil {
		return nil, fmt.Errorf("make the case: %w", err)
	}
	return &Draft{Dir: dir, Exists: exists, final: path, link: os.Link, swap: swap}, nil
}

// TakeEvents copies the event store of the case that exists into the draft and
// returns that case's sources.
func (d *Draft) TakeEvents() ([]casefile.Source, error) { return d.takeEvents(copyFile) }

// ShareEvents puts the event store of the case that exists into the draft
// without copying it, where the file system can. It must not be written to.
func (d *Draft) ShareEvents() ([]casefile.Source, error) {
	return d.takeEvents(func(dst, src string) error {
		if d.link(src, dst) == nil {
			return nil
		}
		return copyFile(dst, src)
	})
}

func (d *Draft) takeEvents(take func(dst, src string) error) (sources []casefile.Source, err error) {
	if d.before, err = os.ReadFile(filepath.Join(d.final, Sources)); err != nil {
		return nil, err
	}
	if sources, err = ReadSources(d.final); err != nil {
		return nil, err
	}
	return sources, take(d.File(Events), filepath.Join(d.final, Events))
}

// File returns the path of one of the draft's files.
func (d *Draft) File(name string) string { return filepath.Join(d.Dir, name) }

// ErrChanged is wrapped by Publish's error when another process has added
// records to the case since the draft took its events: they would be lost.
var ErrChanged = errors.New("another process has added to the case meanwhile; run it again")

// Publish puts the draft in its final place. Files are on disk before the
// rename, so that a crash leaves the old case or the new one. now is the clock.
func (d *Draft) Publish(ctx context.Context, now func() time.Time) error {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := syncFile(filepath.Join(d.Dir, e.Name())); err != nil {
			return err
		}
	}
	if err := os.Chmod(d.Dir, 0o700); err != nil { // it holds other people's mail metadata
		return err
	}
	if _, err := os.Stat(d.final); err == nil {
		// Held until the new case is in place: nothing is written to a journal
		// that is on its way out. Nobody else holds both.
		for _, name := range []string{Journal, Access} {
			unlock, err := d.takeJournal(ctx, name, now)
			if err != nil {
				return fmt.Errorf("take over the case's %s: %w", name, err)
			}
			defer unlock()
		}
		sources, err := os.ReadFile(filepath.Join(d.final, Sources))
		if !d.Exists || d.before != nil && (err != nil || !bytes.Equal(sources, d.before)) {
			return fmt.Errorf("%s: %w", d.final, ErrChanged)
		}
		for _, name := range Companions() {
			if err := d.takeAlong(name); err != nil {
				return fmt.Errorf("take over %s: %w", name, err)
			}
		}
	}
	if err := syncFile(d.Dir); err != nil {
		return err
	}
	if err := d.swap(d.Dir, d.final); err != nil {
		return fmt.Errorf("put the case in its place: %w", err)
	}
	d.done = true
	return syncFile(filepath.Dir(d.final))
}

// takeJournal locks a journal of the case that is to be replaced and puts it
// into the draft. It stays the same file, so that who waits for it need not
// care; where that cannot be, they find that it is another one and open that.
func (d *Draft) takeJournal(ctx context.Context, name string, now func() time.Time) (unlock func(), err error) {
	path := filepath.Join(d.final, name)
	held, err := journal.Open(path, now).Lock(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported): // nobody writes it here
		unlock = func() {}
	case err != nil:
		return nil, err
	default:
		unlock = held.Unlock
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > 0 { // an empty one is only there to be locked
		if d.link(path, d.File(name)) != nil {
			if err = copyFile(d.File(name), path); err == nil {
				err = syncFile(d.File(name))
			}
		}
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// takeAlong takes a file, or a folder of files, of the case that is to be
// replaced into the draft, unless the draft has its own.
func (d *Draft) takeAlong(name string) error {
	from, to := filepath.Join(d.final, name), d.File(name)
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	switch {
	case info.IsDir():
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := d.takeAlong(filepath.Join(name, e.Name())); err != nil {
				return err
			}
		}
		return syncFile(to)
	case !info.Mode().IsRegular():
		return nil // no link leads out of a case
	}
	if d.link(from, to) == nil {
		return nil
	}
	if err := copyFile(to, from); err != nil {
		return err
	}
	return syncFile(to)
}

// Discard removes the draft. After Publish it does nothing.
func (d *Draft) Discard() error {
	if d.done {
		return nil
	}
	d.done = true
	return os.RemoveAll(d.Dir)
}

// WriteSources writes sources.json.
func WriteSources(path string, s []casefile.Source) error {
	return WriteFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		return enc.Encode(struct {
			Schema  string            `json:"schema"`
			Sources []casefile.Source `json:"sources"`
		}{"midwatch.sources/1", s})
	})
}

// ReadSources reads the sources of the case at dir.
func ReadSources(dir string) ([]casefile.Source, error) {
	b, err := os.ReadFile(filepath.Join(dir, Sources))
	if err != nil {
		return nil, err
	}
	var s struct {
		Schema  string            `json:"schema"`
		Sources []casefile.Source `json:"sources"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", Sources, err)
	}
	if s.Schema != "midwatch.sources/1" {
		return nil, fmt.Errorf("%s: schema %q is not one that this version reads", Sources, s.Schema)
	}
	return s.Sources, nil
}

// WriteStore writes which store a case stands on. The name must hold no secret.
func WriteStore(path, store string) error {
	return WriteFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		return enc.Encode(storeFile{"midwatch.store/1", store})
	})
}

type storeFile struct {
	Schema string `json:"schema"`
	Store  string `json:"store"`
}

// ReadStore reads which store the case at dir stands on. The error wraps
// [fs.ErrNotExist] when the case has its events with it.
func ReadStore(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, Store))
	if err != nil {
		return "", err
	}
	var s storeFile
	if err := json.Unmarshal(b, &s); err != nil {
		return "", fmt.Errorf("%s: %w", Store, err)
	}
	if s.Schema != "midwatch.store/1" {
		return "", fmt.Errorf("%s: schema %q is not one that this version reads", Store, s.Schema)
	}
	return s.Store, nil
}

// WriteFile writes a file through fn and reports every error, that of closing
// included.
func WriteFile(path string, fn func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := fn(f); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), f.Close())
	}
	return f.Close()
}

// DefaultName names the case after the first input, a file, a folder or a
// store.
func DefaultName(paths []string) string {
	if len(paths) == 0 || paths[0] == "-" {
		return "stdin" + Suffix
	}
	base := filepath.Base(filepath.Clean(paths[0]))
	if base == "." || base == ".." || base == string(filepath.Separator) {
		if abs, err := filepath.Abs(paths[0]); err == nil {
			base = filepath.Base(abs)
		}
	}
	for _, ext := range []string{".gz", ".zst", ".zip", ".tar", ".ndjson", ".jsonl", ".json", ".csv", ".log", ".duckdb", ".db"} {
		base = strings.TrimSuffix(base, ext)
	}
	if base == "" || base == string(filepath.Separator) {
		base = "midwatch"
	}
	return base + Suffix
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	return WriteFile(dst, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
