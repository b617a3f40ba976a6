package exposure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"midwatch/source"
)

// Limits of reading one Outlook data file.
const (
	pstTime  = time.Hour
	pstRatio = 4       // bytes written for each byte of the file
	pstFree  = 4 << 30 // besides, bytes: attachments are packed in the file
	pstSpool = 64 << 30
)

// pst reads an Outlook data file through readpst, which writes its folders as
// mbox files below the folder for temporary files; they are removed at once.
// The program gets fixed arguments and absolute paths, and no shell.
func (c *collector) pst(f *source.File, s io.Reader) error {
	if c.o.Readpst == "" {
		return errors.New("an Outlook data file (.pst) is read by the program readpst, which is not installed here; install pst-utils, or export the mailbox as EML or mbox")
	}
	dir, err := os.MkdirTemp(c.o.Temp, ".pst-")
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil { // readpst runs in another folder
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is in the case folder, hidden
	in, size, err := c.onDisk(f, s, dir)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return err
	}
	if err := runReadpst(c.ctx, c.o.Readpst, in, out, size*pstRatio+pstFree); err != nil {
		return err
	}
	return filepath.WalkDir(out, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		in, err := os.Open(p)
		if err != nil {
			return err
		}
		defer in.Close()
		rel, err := filepath.Rel(out, filepath.Dir(p)) // readpst names every folder's file mbox
		if err != nil {
			return err
		}
		// The data file's own name is readpst's first folder.
		return c.file(f.Path+"!"+filepath.ToSlash(rel), in)
	})
}

// onDisk is a path at which readpst finds the file: its own, or a copy where it
// lies in an archive.
func (c *collector) onDisk(f *source.File, s io.Reader, dir string) (string, int64, error) {
	if info, err := os.Stat(f.Path); err == nil && info.Mode().IsRegular() {
		abs, err := filepath.Abs(f.Path)
		return abs, info.Size(), err
	}
	to := filepath.Join(dir, "in.pst")
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", 0, err
	}
	n, err := io.Copy(w, io.LimitReader(s, pstSpool+1))
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil && n > pstSpool {
		err = fmt.Errorf("an Outlook data file of more than %d GiB in an archive; unpack it first", pstSpool>>30)
	}
	return to, n, err
}

// runReadpst runs the program, bounded in time and in what it writes.
func runReadpst(ctx context.Context, program, in, out string, most int64) error {
	ctx, cancel := context.WithTimeout(ctx, pstTime)
	defer cancel()
	// -r: an mbox a folder; -D: deleted items too; -b: no copies of bodies as RTF;
	// -8: text in UTF-8; -t e: mail only; -j 0: one process; -q: quiet.
	cmd := exec.CommandContext(ctx, program, "-r", "-D", "-b", "-8", "-t", "e", "-j", "0", "-q", "-o", out, in)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	cmd.Dir = out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start readpst: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	large := false
	for {
		select {
		case err := <-done:
			switch {
			case large:
				return fmt.Errorf("readpst wrote more than %d MiB and was ended", most>>20)
			case ctx.Err() != nil:
				return fmt.Errorf("readpst was ended: %w", context.Cause(ctx))
			case err != nil:
				return fmt.Errorf("readpst failed (%w): the file is damaged, or of a kind that it does not read", err)
			}
			return nil
		case <-tick.C:
			if used(out) > most {
				large = true
				cancel()
			}
		}
	}
}

func used(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// FindReadpst finds the program on this machine; empty: it is not installed.
func FindReadpst() string {
	p, err := exec.LookPath("readpst")
	if err != nil || strings.TrimSpace(p) == "" {
		return ""
	}
	abs, err := filepath.Abs(p)
	if err != nil {
		return ""
	}
	return abs
}
