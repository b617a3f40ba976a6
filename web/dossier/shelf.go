package dossier

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"midwatch/internal/casefolder"
)

// Shelf holds the newest state of a case.
type Shelf struct {
	Name, Dir string
	open      Opener
	prepare   func(*Dossier) (any, error)
	log       *slog.Logger

	mu      sync.Mutex // of what follows
	current *Dossier
	stands  fs.FileInfo // case.json of current

	loading sync.Mutex // one at a time
}

// NewShelf lays out the case at dir. prepare makes what the owner keeps with a
// dossier, see [Extra]; it may be nil.
func NewShelf(ctx context.Context, name, dir string, open Opener, prepare func(*Dossier) (any, error), log *slog.Logger) (*Shelf, error) {
	s := &Shelf{Name: name, Dir: dir, open: open, prepare: prepare, log: log}
	return s, s.load(ctx)
}

// Take returns the dossier and what gives it back. Until then it stays open.
func (s *Shelf) Take() (*Dossier, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.current
	d.users.Add(1)
	return d, d.users.Done
}

// Extra is what prepare made of a dossier.
func Extra[T any](d *Dossier) T { return d.extra.(T) }

// Refresh looks whether the case was made anew, and lays out the new one. It
// reports whether it did. On an error the old one stays.
func (s *Shelf) Refresh(ctx context.Context) (bool, error) {
	info, err := os.Stat(filepath.Join(s.Dir, casefolder.Case))
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.Dir, err)
	}
	s.mu.Lock()
	same := s.stands != nil && os.SameFile(info, s.stands) && info.ModTime().Equal(s.stands.ModTime())
	s.mu.Unlock()
	if same {
		return false, nil
	}
	return true, s.load(ctx)
}

func (s *Shelf) load(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	info, err := os.Stat(filepath.Join(s.Dir, casefolder.Case))
	if err != nil {
		return fmt.Errorf("%w; is %s a case folder?", err, s.Dir)
	}
	d, err := Open(ctx, s.Name, s.Dir, s.open)
	if err != nil {
		return err
	}
	if s.prepare != nil {
		if d.extra, err = s.prepare(d); err != nil {
			_ = d.Close()
			return err
		}
	}
	debug.FreeOSMemory() // reading a large case leaves much behind, and a server lives long
	s.mu.Lock()
	old := s.current
	s.current, s.stands = d, info
	s.mu.Unlock()
	if old != nil {
		go func() { // when its last reader has finished
			old.users.Wait()
			if err := old.Close(); err != nil {
				s.log.Warn("an old state of a case was not closed", "case", s.Name, "error", err)
			}
		}()
	}
	return nil
}

// Close closes the newest dossier, when its readers have finished.
func (s *Shelf) Close() error {
	s.mu.Lock()
	d := s.current
	s.mu.Unlock()
	d.users.Wait()
	return d.Close()
}
