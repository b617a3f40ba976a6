package watch

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"midwatch/ingest"
	"midwatch/store"
)

// Folder is a feed of files that appear in a folder: what exports and
// collectors leave there. A file is read when it has not changed for a while;
// what grew since is read again, and of it only what is new counts.
type Folder struct {
	Path    string
	Store   store.Store
	Options ingest.Options
	Every   time.Duration // how often it is looked at; 0 means 5 seconds
	Still   time.Duration // how long a file has not changed; 0 means 5 seconds
	Log     *slog.Logger
	Now     func() time.Time
}

// Name implements [Feed].
func (f *Folder) Name() string { return "folder " + f.Path }

type seen struct {
	size int64
	at   time.Time
}

// Run implements [Feed].
func (f *Folder) Run(ctx context.Context, added func(int64, time.Time)) error {
	every, still := f.Every, f.Still
	if every <= 0 {
		every = 5 * time.Second
	}
	if still <= 0 {
		still = 5 * time.Second
	}
	known := map[string]seen{}
	for {
		paths, now, err := f.fresh(known, still)
		if err != nil {
			return err
		}
		if len(paths) > 0 {
			arrived := f.Now()
			res, err := ingest.Run(ctx, f.Store, paths, f.Options)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil: // they are tried again
				f.Log.Error("files could not be read; they are tried again", "folder", f.Path, "files", len(paths), "error", err)
			default:
				for _, p := range paths {
					known[p] = now[p]
				}
				for _, why := range res.Incomplete {
					f.Log.Warn("not read to its end", "what", why)
				}
				f.Log.Info("read", "folder", f.Path, "files", len(paths), "records", res.Records, "new", res.Accepted, "duplicates", res.Duplicates, "rejected", res.Rejected)
				if res.Accepted > 0 {
					added(res.Accepted, arrived)
				}
			}
		}
		if sleep(ctx, every) != nil {
			return nil
		}
	}
}

// fresh lists the files that are to be read.
func (f *Folder) fresh(known map[string]seen, still time.Duration) (paths []string, now map[string]seen, err error) {
	now = map[string]seen{}
	err = filepath.WalkDir(f.Path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			if p == f.Path {
				return fmt.Errorf("folder to watch: %w", err)
			}
			return nil // it went while it was looked at
		}
		if e.IsDir() || !e.Type().IsRegular() || e.Name()[0] == '.' {
			return nil
		}
		info, err := e.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		s := seen{info.Size(), info.ModTime()}
		if known[p] != s && f.Now().Sub(s.at) >= still {
			paths = append(paths, p)
			now[p] = s
		}
		return nil
	})
	return paths, now, err
}

// Polled is a feed of what other processes write to a store that many may write
// to: it only tells that something came.
type Polled struct {
	Store store.Store
	Every time.Duration // 0 means 10 seconds
	Now   func() time.Time
	Log   *slog.Logger
}

// Name implements [Feed].
func (p *Polled) Name() string { return "store" }

// Run implements [Feed].
func (p *Polled) Run(ctx context.Context, added func(int64, time.Time)) error {
	every := p.Every
	if every <= 0 {
		every = 10 * time.Second
	}
	last := int64(-1)
	for {
		var n int64
		err := store.Each(ctx, p.Store, "SELECT count(*) FROM events", nil, func(scan func(...any) error) error { return scan(&n) })
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			p.Log.Error("the store cannot be asked; it is asked again", "error", err)
		case last >= 0 && n != last:
			added(max(n-last, 0), p.Now())
			last = n
		default:
			last = n
		}
		if sleep(ctx, every) != nil {
			return nil
		}
	}
}
