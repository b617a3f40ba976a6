// Package collect fetches audit logs from the services that hold them, a window
// of time after the other, and keeps every answer byte for byte.
//
// What is promised:
//
//   - An answer that is in the folder is whole, and its hash is in the manifest.
//     A window appears when all of it was fetched, or not at all; who is killed
//     begins with the window that was in work.
//   - Nothing is believed about completeness. Counts that a service gives are
//     not looked at. Windows are fetched again until records that come late have
//     had their time ([Config.Late]), and with [Config.Verify] each is fetched
//     twice, cut differently: records that only one of the two has are reported,
//     and both answers are kept.
//   - Throttling is honoured: who says when to come again is not asked before.
//
// Records that were fetched twice are in two files; they have the same id in the
// store and count once. The package reads no record but for its id.
package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/parse"
)

// Log is a log of a service.
type Log interface {
	// Name is the folder of its answers.
	Name() string
	// Reach is how far back the service goes, and Most the longest window that it
	// takes; 0: it does not say.
	Reach() time.Duration
	Most() time.Duration
	// Fetch asks for a window and gives each answer, in order, to got.
	Fetch(ctx context.Context, c *Client, w Window, got func(Answer) error) error
	// IDs are those of the records in an answer.
	IDs(body []byte) ([]string, error)
	// Of is the log that a case calls it, and the kind of sign-in.
	Of() (source event.Source, kind string)
}

// Window is a stretch of time, its end not included.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func (w Window) String() string {
	return w.From.UTC().Format(time.RFC3339) + "/" + w.To.UTC().Format(time.RFC3339)
}

// Answer is what a service sent.
type Answer struct {
	Request string // method and address, without what is secret
	Body    []byte
	// Records is the body in a form that is read as logs, where that is another:
	// it is kept beside it. Nil: the body is.
	Records []byte
}

// Config says what to fetch.
type Config struct {
	Dir    string
	Tenant string // its id, as it stands in records
	Logs   []Log
	From   time.Time
	To     time.Time
	Slice  time.Duration // a window; default an hour
	Late   time.Duration // how long after a window's end records of it may come; default 24 hours
	Verify bool
	Client *Client
	Log    *slog.Logger
	Now    func() time.Time
}

// Summary says what was fetched.
type Summary struct {
	Windows int // fetched in this run
	Known   int // that needed no fetching
	Answers int
	Records int // distinct in their windows
	Late    int // windows whose records may still come
	// Gaps are what is known not to be complete.
	Gaps []Gap
}

// Gap is something that is known to be missing, or not to be sure.
type Gap struct {
	Log    string `json:"log"`
	Window Window `json:"window"`
	Why    string `json:"why"`
}

// Run fetches what is not there yet. An error of a window is a gap of the
// summary, and the next window follows; an error of the folder ends the run.
func Run(ctx context.Context, cfg Config) (*Summary, error) {
	if cfg.Slice <= 0 {
		cfg.Slice = time.Hour
	}
	if cfg.Late <= 0 {
		cfg.Late = 24 * time.Hour
	}
	m, err := openManifest(cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer m.close()
	s := &Summary{}
	for _, l := range cfg.Logs {
		if err := one(ctx, &cfg, m, l, s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// one fetches the windows of a log.
func one(ctx context.Context, cfg *Config, m *manifest, l Log, s *Summary) error {
	from, to, now := cfg.From.UTC(), cfg.To.UTC(), cfg.Now().UTC()
	if to.After(now) {
		to = now
	}
	if reach := l.Reach(); reach > 0 && from.Before(now.Add(-reach)) {
		begins := now.Add(-reach).Truncate(cfg.Slice).Add(cfg.Slice)
		lost := Window{from, begins}
		if to.Before(begins) {
			lost.To = to
		}
		// What was fetched before it went is there.
		for _, w := range windows(lost, cfg.Slice) {
			if !m.covered(l.Name(), w) {
				s.Gaps = append(s.Gaps, Gap{l.Name(), lost, fmt.Sprintf("older than the %s that the service keeps; a part may have been fetched before", days(reach))})
				break
			}
		}
		from = begins
	}
	refused := 0
	for _, w := range windows(Window{from, to}, cfg.Slice) {
		if m.settled(l.Name(), w, cfg.Late, cfg.Verify) {
			s.Known++
			continue
		}
		e, err := fetch(ctx, cfg, l, w, m.times(l.Name(), w)+1, m.differed(l.Name(), w))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var disk *diskError
		if errors.As(err, &disk) {
			return err
		}
		if err != nil {
			cfg.Log.Error("a window could not be fetched", "log", l.Name(), "window", w.String(), "error", err)
			s.Gaps = append(s.Gaps, Gap{l.Name(), w, err.Error()})
			// A log that is refused altogether is not asked for a thousand windows.
			if refused++; refused >= 3 && Denied(err) {
				s.Gaps = append(s.Gaps, Gap{l.Name(), Window{w.To, to}, "not asked: the service refused three windows before it"})
				return nil
			}
			continue
		}
		refused = 0
		if err := m.add(e); err != nil {
			return err
		}
		s.Windows++
		s.Answers += len(e.Answers)
		s.Records += e.Records
		if e.Fetched.Before(w.To.Add(cfg.Late)) {
			s.Late++
		}
		if e.Differs != nil {
			s.Gaps = append(s.Gaps, Gap{l.Name(), w, e.Differs.words()})
		}
		cfg.Log.Info("fetched", "log", l.Name(), "window", w.String(), "answers", len(e.Answers), "records", e.Records)
	}
	return nil
}

// windows cuts a stretch at whole slices, so that the next run has the same.
func windows(w Window, slice time.Duration) (out []Window) {
	for at := w.From; at.Before(w.To); {
		end := at.Truncate(slice).Add(slice)
		if end.After(w.To) {
			end = w.To
		}
		out = append(out, Window{at, end})
		at = end
	}
	return out
}

// fetch fetches a window into a folder of its own. differed says that two
// fetches of it did not have the same records before.
func fetch(ctx context.Context, cfg *Config, l Log, w Window, n int, differed bool) (*entry, error) {
	name := filepath.Join(l.Name(), w.From.UTC().Format("2006-01-02"), fmt.Sprintf("%s-%s-%d", w.From.UTC().Format("150405"), w.To.UTC().Format("150405"), n))
	final, responses := filepath.Join(cfg.Dir, Folder, name), filepath.Join(cfg.Dir, Responses, name)
	draft := filepath.Join(filepath.Dir(final), "."+filepath.Base(final)+".part")
	if err := errors.Join(os.RemoveAll(draft), os.MkdirAll(draft, 0o700)); err != nil {
		return nil, &diskError{err}
	}
	defer func() { _ = os.RemoveAll(draft) }()
	e := &entry{Log: l.Name(), Window: w, Folder: filepath.ToSlash(name), Answers: []answer{}, Began: casefile.TimeOf(cfg.Now())}
	first, err := pass(ctx, cfg, l, cut(w, l.Most(), 1), draft, "a", e)
	if err != nil {
		return nil, err
	}
	ids := first
	if cfg.Verify {
		e.Verified = true
		second, err := pass(ctx, cfg, l, cut(w, l.Most(), 3), draft, "b", e)
		if err != nil {
			return nil, fmt.Errorf("the second fetch, for verifying: %w", err)
		}
		e.Differs = compare(first, second)
		for id := range second {
			ids[id] = true
		}
	}
	e.Records = len(ids)
	e.Fetched = casefile.TimeOf(cfg.Now())
	if e.Differs != nil || differed && e.Verified {
		text := note(cfg, l, e)
		if err := write(filepath.Join(draft, Note), text); err != nil {
			return nil, &diskError{err}
		}
		e.Note = &noteFile{Folder + "/" + e.Folder + "/" + Note, sum(text)}
	}
	// Answers that are kept beside what is read as logs go first: the window is
	// there when its logs are.
	if inner := filepath.Join(draft, Responses); exists(inner) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(responses), 0o700), os.RemoveAll(responses), syncFolder(inner), os.Rename(inner, responses), syncFolder(filepath.Dir(responses))); err != nil {
			return nil, &diskError{err}
		}
	}
	if err := errors.Join(syncFolder(draft), os.RemoveAll(final), os.Rename(draft, final), syncFolder(filepath.Dir(final))); err != nil {
		return nil, &diskError{err}
	}
	return e, nil
}

// What is in the folder: the manifest, what is read as logs, and the answers
// from which a part of that was made.
const (
	Folder    = "logs"
	Responses = "responses"
)

// Note is the name of a file beside a window's answers: what is known of it that
// a case has to know, in the form that [parse.Collected] reads.
const Note = "midwatch-collected.json"

func note(cfg *Config, l Log, e *entry) []byte {
	source, kind := l.Of()
	d := differs{}
	if e.Differs != nil {
		d = *e.Differs
	}
	b, err := json.Marshal(map[string]any{parse.CollectedKey: map[string]any{
		"tenant": cfg.Tenant, "log": l.Name(), "source": source, "kind": kind, "from": e.Window.From.UTC(), "to": e.Window.To.UTC(), "fetched": e.Fetched,
		"differs": e.Differs != nil, "only_first": d.Only1, "only_second": d.Only2,
	}})
	if err != nil {
		panic(err) // of strings, numbers and times it cannot be
	}
	return append(b, '\n')
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// cut divides a window: not longer than most, and into parts at least. Parts are
// of unequal length, so that no page of one fetch ends where one of the other
// does.
func cut(w Window, most time.Duration, parts int) []Window {
	length := w.To.Sub(w.From)
	for most > 0 && length > most*time.Duration(parts) {
		parts++
	}
	if parts == 1 || length < time.Duration(parts)*time.Second {
		return []Window{w}
	}
	var out []Window
	at := w.From
	for i := range parts {
		end := w.From.Add(length * time.Duration(i+1) / time.Duration(parts))
		if i%2 == 0 {
			end = end.Add(-length / time.Duration(parts*7))
		}
		if end = end.Truncate(time.Second); i == parts-1 {
			end = w.To
		}
		if end.After(at) {
			out = append(out, Window{at, end})
			at = end
		}
	}
	return out
}

// pass fetches parts of a window and returns the ids of their records.
func pass(ctx context.Context, cfg *Config, l Log, parts []Window, dir, prefix string, e *entry) (map[string]bool, error) {
	ids := map[string]bool{}
	n := 0
	for _, w := range parts {
		err := l.Fetch(ctx, cfg.Client, w, func(a Answer) error {
			n++
			got, err := l.IDs(a.Body)
			if err != nil {
				return fmt.Errorf("answer to %s: %w", a.Request, err)
			}
			for _, id := range got {
				ids[id] = true
			}
			name := fmt.Sprintf("%s%04d.json", prefix, n)
			x := answer{File: Folder + "/" + e.Folder + "/" + name, Request: a.Request, Bytes: len(a.Body), Records: len(got), SHA256: sum(a.Body)}
			to := filepath.Join(dir, name)
			if a.Records != nil {
				x.File, x.Derived = Responses+"/"+e.Folder+"/"+name, x.File
				if err := write(to, a.Records); err != nil {
					return &diskError{err}
				}
				to = filepath.Join(dir, Responses, name)
				if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
					return &diskError{err}
				}
			}
			if err := write(to, a.Body); err != nil {
				return &diskError{err}
			}
			e.Answers = append(e.Answers, x)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// diskError is one of the folder's: going on makes no sense.
type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func write(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// differs is what two fetches of a window do not share.
type differs struct {
	Only1 int      `json:"only_first"`
	Only2 int      `json:"only_second"`
	IDs   []string `json:"ids"` // some of them
}

func (d *differs) words() string {
	return fmt.Sprintf("two fetches of it differ: %d records only in the first, %d only in the second; both are kept, and there may be more that neither has", d.Only1, d.Only2)
}

func compare(a, b map[string]bool) *differs {
	d := &differs{}
	for id := range a {
		if !b[id] {
			d.Only1++
			d.IDs = append(d.IDs, id)
		}
	}
	for id := range b {
		if !a[id] {
			d.Only2++
			d.IDs = append(d.IDs, id)
		}
	}
	if d.Only1+d.Only2 == 0 {
		return nil
	}
	slices.Sort(d.IDs)
	d.IDs = d.IDs[:min(len(d.IDs), 20)]
	return d
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// leftover reports drafts of a run that was killed.
func leftover(dir string) (out []string) {
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".part") {
			out = append(out, p)
			return filepath.SkipDir
		}
		return nil
	})
	return out
}
