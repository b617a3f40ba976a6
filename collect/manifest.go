package collect

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"midwatch/casefile"
)

// Manifest is the name of the file in the folder that says what was fetched: a
// JSON object a line, one for each window and time that it was fetched.
const Manifest = "manifest.ndjson"

// entry is a window that was fetched.
type entry struct {
	Log      string        `json:"log"`
	Window   Window        `json:"window"`
	Folder   string        `json:"folder"` // of its answers, below logs and responses
	Began    casefile.Time `json:"began"`
	Fetched  casefile.Time `json:"fetched"` // when the last answer was there
	Records  int           `json:"records"` // distinct ids
	Verified bool          `json:"verified"`
	Differs  *differs      `json:"differs,omitempty"`
	Answers  []answer      `json:"answers"`
	Note     *noteFile     `json:"note,omitempty"` // beside the answers
}

// noteFile is what a case is told of the window.
type noteFile struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// answer is a file.
type answer struct {
	File    string `json:"file"`              // byte for byte
	Derived string `json:"derived,omitempty"` // the same in a form that is read as logs
	Request string `json:"request"`
	Bytes   int    `json:"bytes"`
	Records int    `json:"records"`
	SHA256  string `json:"sha256"`
}

type key struct {
	log      string
	from, to int64
}

func keyOf(log string, w Window) key { return key{log, w.From.UnixNano(), w.To.UnixNano()} }

type manifest struct {
	f    *os.File
	size int64
	done map[key][]*entry
}

func openManifest(dir string) (*manifest, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, Manifest), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m := &manifest{f: f, done: map[key][]*entry{}}
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break // a torn end: its window is fetched again
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, errors.Join(fmt.Errorf("%s, line %d: %w; is the folder one that midwatch collect made?", f.Name(), n, err), f.Close())
		}
		m.size += int64(len(line))
		k := keyOf(e.Log, e.Window)
		m.done[k] = append(m.done[k], &e)
	}
	for _, p := range leftover(dir) {
		if err := os.RemoveAll(p); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return m, f.Truncate(m.size)
}

func (m *manifest) close() { _ = m.f.Close() }

// add writes an entry, and has it on disk.
func (m *manifest) add(e *entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if _, err := m.f.WriteAt(b, m.size); err != nil {
		return errors.Join(err, m.f.Truncate(m.size))
	}
	if err := m.f.Sync(); err != nil {
		return err
	}
	m.size += int64(len(b))
	k := keyOf(e.Log, e.Window)
	m.done[k] = append(m.done[k], e)
	return nil
}

// times is how often a window was fetched.
func (m *manifest) times(log string, w Window) int { return len(m.done[keyOf(log, w)]) }

// differed reports whether the last verified fetch of a window found two that
// did not have the same records.
func (m *manifest) differed(log string, w Window) (yes bool) {
	for _, e := range m.done[keyOf(log, w)] {
		if e.Verified {
			yes = e.Differs != nil
		}
	}
	return yes
}

// covered reports whether a window was fetched at all.
func (m *manifest) covered(log string, w Window) bool { return m.times(log, w) > 0 }

// settled reports whether a window needs no fetching: it was fetched when its
// late records had come, and verified where that is wanted.
func (m *manifest) settled(log string, w Window, late time.Duration, verify bool) bool {
	for _, e := range m.done[keyOf(log, w)] {
		if !e.Fetched.Before(w.To.Add(late)) && (e.Verified || !verify) {
			return true
		}
	}
	return false
}
