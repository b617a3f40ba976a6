package alert

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"midwatch/casefile"
)

// File is the outbox's file in its folder.
const File = "alerts.ndjson"

// Outbox keeps alerts until every receiver has them. One process at a time has
// it open.
type Outbox struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	f     *os.File
	size  int64
	ids   map[string]bool
	past  []*Alert
	more  chan struct{} // closed and replaced when an alert is added
	Count int64         // alerts in it
}

// Open opens the outbox in a folder, which it makes. A torn end, of a write that
// was killed, is cut off: that alert was acknowledged to nobody.
func Open(dir string, log *slog.Logger, now func() time.Time) (*Outbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, File), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	o := &Outbox{dir: dir, log: log, now: now, f: f, ids: map[string]bool{}, more: make(chan struct{})}
	if err := o.read(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return o, nil
}

func (o *Outbox) read() error {
	r := bufio.NewReader(o.f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break // what is left has no end
		}
		if err != nil {
			return err
		}
		var a Alert
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("line %d is no alert: %w; move the file aside to begin anew, and every finding is told again", n, err)
		}
		o.size += int64(len(line))
		o.ids[a.ID] = true
		o.past = append(o.past, &a)
		o.Count++
	}
	return o.f.Truncate(o.size)
}

// Past are the alerts that are in the outbox already: what is known after a
// restart.
func (o *Outbox) Past() []*Alert { return o.past }

// Add puts alerts in. When it returns they are on disk, and those with an id
// that is there already are left out.
func (o *Outbox) Add(as ...*Alert) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	fresh := map[string]bool{}
	for _, a := range as {
		if o.ids[a.ID] || fresh[a.ID] {
			continue
		}
		a.Raised = casefile.TimeOf(o.now())
		line, err := json.Marshal(a)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
		fresh[a.ID] = true
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err := o.f.WriteAt(b.Bytes(), o.size)
	if err == nil {
		err = o.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write alerts: %w", err), o.f.Truncate(o.size))
	}
	o.size += int64(b.Len())
	for id := range fresh {
		o.ids[id] = true
		o.Count++
	}
	close(o.more)
	o.more = make(chan struct{})
	return nil
}

// Close closes the outbox. Deliveries have ended.
func (o *Outbox) Close() error { return o.f.Close() }

// state is how far the file goes, and what tells that it goes further.
func (o *Outbox) state() (int64, chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size, o.more
}

// Delivered is told after each try to send: nil when the receiver has the alert.
type Delivered func(a *Alert, err error)

// Deliver brings every alert to a receiver, in order, until its context ends.
func (o *Outbox) Deliver(ctx context.Context, s Sink, told Delivered) error {
	cursor := filepath.Join(o.dir, "cursor-"+fileName(s.Name()))
	at, err := readCursor(cursor)
	if err != nil {
		return err
	}
	for tries := 0; ; {
		size, more := o.state()
		if at > size { // of another file
			o.log.Warn("a cursor lies beyond the outbox; all of it is told again", "sink", s.Name())
			at = 0
		}
		if at == size {
			select {
			case <-ctx.Done():
				return nil
			case <-more:
			}
			continue
		}
		line, err := bufio.NewReader(io.NewSectionReader(o.f, at, size-at)).ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("read the outbox at %d: %w", at, err)
		}
		var a Alert
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("read the outbox at %d: %w; the cursor %s may be of another file", at, err, cursor)
		}
		err = s.Send(ctx, &a)
		if ctx.Err() != nil && err != nil {
			return nil
		}
		told(&a, err)
		if err != nil {
			tries++
			pause := min(time.Second<<min(tries-1, 8), 2*time.Minute)
			o.log.Warn("an alert was not delivered; it stays in the outbox and is sent again", "sink", s.Name(), "alert", a.ID, "try", tries, "again_in", pause, "error", err)
			if wait(ctx, pause) != nil {
				return nil
			}
			continue
		}
		tries = 0
		at += int64(len(line))
		if err := writeCursor(cursor, at); err != nil {
			return err
		}
	}
}

func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, name)
}

func readCursor(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %q is no position; remove the file, and every alert is told again", path, b)
	}
	return n, nil
}

// writeCursor moves a cursor on. It is put in place whole; that it comes to be on
// disk late costs an alert that is told twice.
func writeCursor(path string, at int64) error {
	if err := os.WriteFile(path+".new", strconv.AppendInt(nil, at, 10), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
