package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"midwatch/casework"
	"midwatch/internal/casefolder"
	"midwatch/respond/notice"
)

// noticeKey reads the key of a case, or makes one. It is never made anew: the
// codes that were sent would be worth nothing.
func noticeKey(path string, first bool) ([]byte, error) {
	const size = 32
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !first {
		return nil, fmt.Errorf("%s is gone: without it no code that was sent can be verified; take it from a backup, or remove the notices and tell everybody anew", path)
	}
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

// templatesOf says which templates to use: those of the flag, else those of the
// last run, which the case keeps, else the built-in ones.
func templatesOf(flag, folder string) string {
	kept := filepath.Join(folder, templatesFolder)
	switch _, err := os.Stat(kept); {
	case flag == builtinTemplates:
		return ""
	case flag != "":
		return flag
	case err == nil:
		return kept
	}
	return ""
}

// keepTemplates keeps the templates of a run with the case.
func keepTemplates(flag, folder string) error {
	kept := filepath.Join(folder, templatesFolder)
	if flag == "" {
		return nil
	}
	if a, err := os.Stat(flag); err == nil {
		if b, err := os.Stat(kept); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	if err := os.RemoveAll(kept); err != nil || flag == builtinTemplates {
		return err
	}
	if err := os.Mkdir(kept, 0o700); err != nil {
		return err
	}
	for _, name := range notice.TemplateFiles() {
		b, err := os.ReadFile(filepath.Join(flag, name))
		if errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(name, ".tmpl") {
			continue
		}
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(kept, name), b); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file beside its place and renames it.
func replaceFile(path string, b []byte) error { return replace(path, b, true) }

// replaceWith is [replaceFile] of what a function writes.
func replaceWith(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return replaceFile(path, b.Bytes())
}

// replace does it, and has it on disk when sync is set. Drafts need not be: one
// that is empty after a loss of power is made again.
func replace(path string, b []byte, sync bool) error {
	tmp := path + ".tmp"
	if err := casefolder.WriteFile(tmp, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
		return err
	}
	if !sync {
		return os.Rename(tmp, path)
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
		for name := range c.Draft.Files {
			if err := keepEarlier(folder, name); err != nil {
				return err
			}
		}
		for name, b := range c.Draft.Files {
			if err := replace(filepath.Join(folder, name), b, false); err != nil {
				return err
			}
		}
	}
	var b strings.Builder
	if err := index.Write(&b); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(folder, casework.ContactFile), contact); err != nil {
		return err
	}
	return replaceFile(filepath.Join(folder, casework.NoticesIndex), []byte(b.String()))
}

// keepEarlier moves a draft that is to be replaced out of the way, under the hash
// of what is in it: somebody may have written into it.
func keepEarlier(folder, name string) error {
	path := filepath.Join(folder, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(folder, earlierFolder, sha256Hex(b)[:16]+"-"+name))
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
			if err := replace(filepath.Join(to, name), b, false); err != nil {
				return err
			}
		}
	}
	return nil
}
