package custody

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"midwatch/casefile"
	"midwatch/source"
)

// Place is where the bytes of a source were found.
type Place struct {
	Root  string // file on disk: what has to be read
	Path  string // the stream in it, as the reader calls it
	Moved bool   // found by its hash, elsewhere than the case says
	Same  bool   // the bytes are those that were read
}

// Locate hashes the files that the sources came from, and those below more,
// and says for each source where its bytes are; nil: nowhere. Paths that are
// not absolute hold from one of the folders of from.
func Locate(ctx context.Context, sources []casefile.Source, from, more []string, r *Result) ([]*Place, error) {
	roots := make([]string, len(sources))
	var paths []string
	seen := map[string]bool{}
	for i, s := range sources {
		if s.Path == "-" || strings.HasPrefix(s.Path, "-!") || s.Framing == source.Messages {
			continue
		}
		if roots[i] = rootOf(s.Path, from); roots[i] != "" && !seen[roots[i]] {
			seen[roots[i]] = true
			paths = append(paths, roots[i])
		}
	}
	for _, m := range more {
		if _, err := os.Stat(m); err != nil {
			r.Add("sources", m, Unchecked, "it cannot be read: %v", err)
			continue
		}
		paths = append(paths, m)
	}
	files, err := read(ctx, paths, nil)
	if err != nil {
		return nil, err
	}
	byPath, bySum := map[string]*source.File{}, map[string]*source.File{}
	for _, f := range files {
		if byPath[f.Path] == nil {
			byPath[f.Path] = f
		}
		if bySum[f.SHA256] == nil && f.Err == nil {
			bySum[f.SHA256] = f
		}
	}
	out := make([]*Place, len(sources))
	for i, s := range sources {
		stdin := s.Path == "-" || strings.HasPrefix(s.Path, "-!")
		var there *source.File
		if roots[i] != "" {
			there = byPath[roots[i]+inside(s.Path, roots[i], from)]
		}
		if there != nil && there.SHA256 == s.SHA256 {
			out[i] = &Place{Root: roots[i], Path: there.Path, Same: true}
			outer := s.OuterSHA256
			switch {
			case outer != "" && outer != there.OuterSHA256:
				r.Add("sources", s.Path, Differs, "what is in the archive is the same, and the archive is another one: SHA-256 %s, it was %s", there.OuterSHA256, outer)
			case outer != "":
				r.Add("sources", s.Path, Verified, "%d bytes, SHA-256 %s, and of the archive %s", s.Bytes, s.SHA256, outer)
			default:
				r.Add("sources", s.Path, Verified, "%d bytes, SHA-256 %s", s.Bytes, s.SHA256)
			}
			continue
		}
		if f := bySum[s.SHA256]; f != nil {
			out[i] = &Place{Root: rootIn(f.Path), Path: f.Path, Moved: true, Same: true}
			switch {
			case there != nil:
				r.Add("sources", s.Path, Differs, "it has %d bytes and SHA-256 %s, it had %d and %s; the bytes that were read are in %s", there.Bytes, there.SHA256, s.Bytes, s.SHA256, f.Path)
			case s.OuterSHA256 != "" && s.OuterSHA256 != f.OuterSHA256:
				r.Add("sources", s.Path, Verified, "found by its hash as %s; the archive that it was in, SHA-256 %s, was not found", f.Path, s.OuterSHA256)
			default:
				r.Add("sources", s.Path, Verified, "found by its hash as %s, SHA-256 %s", f.Path, s.SHA256)
			}
			continue
		}
		switch {
		case stdin:
			r.Add("sources", s.Path, Unchecked, "standard input was not kept; a copy of it below --logs is found by its SHA-256 %s", s.SHA256)
		case s.Framing == source.Messages:
			r.Add("sources", s.Path, Unchecked, "messages of a topic are no file; those of these offsets, each with a newline after it, in a file below --logs are found by their SHA-256 %s", s.SHA256)
		case there != nil && (s.Incomplete != "" || there.Err != nil):
			r.Add("sources", s.Path, Unchecked, "it could not be read to its end (%s), so that its hash says nothing", first(s.Incomplete, errText(there.Err)))
		case there != nil:
			out[i] = &Place{Root: roots[i], Path: there.Path}
			r.Add("sources", s.Path, Differs, "it has %d bytes and SHA-256 %s, it had %d and %s", there.Bytes, there.SHA256, s.Bytes, s.SHA256)
		case s.SHA256 == "" || s.Bytes == 0 && s.Incomplete != "":
			r.Add("sources", s.Path, Unchecked, "it could not be read when the case was made: %s", s.Incomplete)
		default:
			r.Add("sources", s.Path, Unchecked, "it is not there any more; name the folder that it is in with --logs, where it is found by its SHA-256 %s", s.SHA256)
		}
	}
	return out, nil
}

// read reads files and hands each stream to fn, if there is one.
func read(ctx context.Context, paths []string, fn func(f *source.File, s io.Reader) error) ([]*source.File, error) {
	if fn == nil {
		fn = func(*source.File, io.Reader) error { return nil }
	}
	rd := &source.Reader{Stream: fn}
	return rd.Read(ctx, paths, func(b *source.Block) error { b.Release(); return nil })
}

// rootOf is the file on disk that a source's path leads to, or nothing. A name
// may have a "!" in it without being an archive.
func rootOf(path string, from []string) string {
	for p := path; ; {
		for _, dir := range candidates(p, from) {
			if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
				return dir
			}
		}
		i := strings.LastIndex(p, "!")
		if i < 0 {
			return ""
		}
		p = p[:i]
	}
}

func candidates(path string, from []string) []string {
	if filepath.IsAbs(path) {
		return []string{path}
	}
	out := []string{path}
	for _, dir := range from {
		out = append(out, filepath.Join(dir, path))
	}
	return out
}

// inside is what of a source's path stands behind the file on disk.
func inside(path, root string, from []string) string {
	for p := path; ; {
		for _, c := range candidates(p, from) {
			if c == root {
				return path[len(p):]
			}
		}
		i := strings.LastIndex(p, "!")
		if i < 0 {
			return ""
		}
		p = p[:i]
	}
}

// rootIn is the file on disk of a stream that was found below paths.
func rootIn(path string) string {
	for p := path; ; {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p
		}
		i := strings.LastIndex(p, "!")
		if i < 0 {
			return path
		}
		p = p[:i]
	}
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
