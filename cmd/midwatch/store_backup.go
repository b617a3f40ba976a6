package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"midwatch/internal/progress"
	"midwatch/store"
)

func newStoreBackup(std stdio) *cobra.Command {
	var f storeFlags
	var to string
	c := &cobra.Command{
		Use:   "backup [STORE] --to FILE",
		Short: "Copy a DuckDB store, and check the copy",
		Long: `Copy a DuckDB store whole, while no other process writes to it (it waits for one
that does), and check the copy as midwatch store check does. The copy appears when it
is whole and on disk. It is a store like any other: to restore, put it in the place of
the old one while nothing has that open. What was read since the backup is read again
from its files or topics, and counted once.

Servers have backups of their own; docs/OPERATIONS.md has ClickHouse's.
` + storeHelp,
		Example: `  midwatch store backup audit.duckdb --to /backup/audit-2024-01-12.duckdb`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if to == "" {
				return errors.New("--to is missing: the file to write")
			}
			l, err := f.location(args)
			if err != nil {
				return err
			}
			if l.server != nil {
				return errors.New("a server has backups of its own: BACKUP DATABASE ... TO ..., see docs/OPERATIONS.md")
			}
			return backup(c.Context(), std, l, to, &f)
		},
	}
	f.add(c)
	c.Flags().StringVar(&to, "to", "", "file to write; one that exists is refused")
	return c
}

func backup(ctx context.Context, std stdio, l *location, to string, f *storeFlags) (err error) {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists; choose another name", to)
	}
	// Opened for writing once: what lies in a log beside the file comes into it.
	st, err := openStore(ctx, std, l, toKeep, false, f.wait)
	if err != nil {
		return explain(err, "nothing was copied")
	}
	if err := st.Close(); err != nil {
		return err
	}
	// Held for reading while it is copied: nobody writes.
	st, err = openStore(ctx, std, l, toAsk, false, f.wait)
	if err != nil {
		return explain(err, "nothing was copied")
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	draft, err := os.MkdirTemp(filepath.Dir(to), "."+filepath.Base(to)+".tmp-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }()
	tmp := filepath.Join(draft, "store.duckdb")
	sum, size, err := copySynced(ctx, l.file, tmp)
	if err != nil {
		return explain(err, "nothing was copied")
	}
	events, err := checkCopy(ctx, std, tmp, f)
	if err != nil {
		return err
	}
	// Not over what somebody put there meanwhile.
	if err := os.Link(tmp, to); err != nil {
		return fmt.Errorf("put the copy in its place: %w", err)
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "Backup:  %s\n         %s events, %s bytes, checked\n         sha256 %s\n", to, progress.Count(events), progress.Count(size), sum)
	return nil
}

func copySynced(ctx context.Context, from, to string) (sum string, size int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", 0, err
	}
	defer in.Close() //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(out, h), contextReader{ctx, in})
	if err == nil {
		err = out.Sync()
	}
	return hex.EncodeToString(h.Sum(nil)), size, errors.Join(err, out.Close())
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkCopy checks a copy and counts its events.
func checkCopy(ctx context.Context, std stdio, path string, f *storeFlags) (events int64, err error) {
	st, err := openStore(ctx, std, &location{file: path}, toAsIs, false, f.wait)
	if err != nil {
		return 0, fmt.Errorf("the copy cannot be opened: %w", err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	problems, err := st.Check(ctx)
	if err != nil {
		return 0, err
	}
	if len(problems) > 0 {
		return 0, fmt.Errorf("the store is not well, and was not copied: %s; `midwatch store check` has all of it", problems[0].What)
	}
	err = store.Each(ctx, st, "SELECT count(*) FROM events", nil, func(scan func(...any) error) error { return scan(&events) })
	return events, err
}
