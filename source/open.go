package source

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/unicode"
)

// readPath reads a file, a folder or standard input.
func (r *Reader) readPath(path string) error {
	if path == "-" {
		return r.readStdin()
	}
	info, err := os.Stat(path)
	if err != nil {
		r.newFile(path, filepath.Base(path)).Err = err
		return nil
	}
	if !info.IsDir() {
		return r.readFile(path)
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			r.newFile(p, filepath.Base(p)).Err = err
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir() && strings.HasSuffix(p, ".case") && p != path:
			return fs.SkipDir // our own output is not evidence
		case d.Type()&fs.ModeSymlink != 0:
			if t, err := os.Stat(p); err == nil && t.Mode().IsRegular() {
				files = append(files, p)
			}
		case d.Type().IsRegular():
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		r.newFile(path, filepath.Base(path)).Err = err
	}
	slices.Sort(files)
	for _, p := range files {
		if err := r.readFile(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) readStdin() error {
	h := sha256.New()
	n := len(r.files)
	c := &counter{r: io.TeeReader(&interruptible{ctx: r.ctx, r: os.Stdin}, h), progress: r.Progress}
	err := r.readStream("-", "stdin", c, 0)
	for _, f := range r.files[n:] {
		f.OuterSHA256, f.OuterBytes = hex.EncodeToString(h.Sum(nil)), c.n
	}
	return err
}

// interruptible makes reading from a terminal or a pipe end with the context: a
// read that waits for input cannot be cancelled otherwise.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	rest []byte
	done chan readResult
}

type readResult struct {
	n   int
	err error
}

func (x *interruptible) Read(p []byte) (int, error) {
	if len(x.rest) == 0 {
		if x.done == nil {
			x.done = make(chan readResult, 1)
			x.buf = make([]byte, 256<<10)
		}
		go func() {
			n, err := x.r.Read(x.buf)
			x.done <- readResult{n, err}
		}()
		select {
		case res := <-x.done:
			if res.n == 0 {
				return 0, res.err
			}
			x.rest = x.buf[:res.n] // an error comes again with the next read
		case <-x.ctx.Done():
			return 0, stop{x.ctx.Err()}
		}
	}
	n := copy(p, x.rest)
	x.rest = x.rest[n:]
	return n, nil
}

func (r *Reader) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		r.newFile(path, filepath.Base(path)).Err = err
		return nil
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		r.newFile(path, filepath.Base(path)).Err = err
		return nil
	}
	if r.Skip != nil {
		sum, err := hashFile(f)
		if err == nil && r.Skip(path, sum) {
			r.skipped = append(r.skipped, path)
			if r.Progress != nil {
				r.Progress(before.Size())
			}
			return nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			r.newFile(path, filepath.Base(path)).Err = err
			return nil
		}
	}
	n := len(r.files)
	h := sha256.New()
	c := &counter{r: f, progress: r.Progress}
	var head [512]byte
	k, _ := f.ReadAt(head[:], 0)
	archive := magic(head[:k]) != ""
	if archive { // the hash of a plain file is that of its records' stream
		c.r = io.TeeReader(f, h)
	}
	if isZip(f) {
		err = r.readZip(path, f, before.Size(), 0)
		if e, ok := isStop(err); ok {
			return e
		}
		if err != nil {
			r.newFile(path, filepath.Base(path)).Err = err
		}
		if _, err := f.Seek(0, io.SeekStart); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	} else {
		if err := r.readStream(path, filepath.Base(path), c, 0); err != nil {
			return err
		}
		if archive {
			_, _ = io.Copy(io.Discard, c) // the hash is of the whole file even where reading stopped early
		}
	}
	after, err := os.Stat(path)
	changed := err != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || c.n != before.Size()
	for _, x := range r.files[n:] {
		x.OuterSHA256, x.OuterBytes, x.Changed = x.SHA256, c.n, changed
		if archive {
			x.OuterSHA256 = hex.EncodeToString(h.Sum(nil))
		}
	}
	return nil
}

func hashFile(f *os.File) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// counter counts what is read through it and tells progress.
type counter struct {
	r        io.Reader
	n        int64
	progress func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.progress != nil && n > 0 {
		c.progress(int64(n))
	}
	return n, err
}

func isZip(f *os.File) bool {
	var m [4]byte
	n, _ := f.ReadAt(m[:], 0)
	return n == 4 && string(m[:]) == "PK\x03\x04"
}

// readStream reads what is in s: an archive, or records. It returns an error
// only when reading must stop altogether.
func (r *Reader) readStream(path, name string, s io.Reader, depth int) error {
	err := r.decode(path, name, s, depth)
	if e, ok := isStop(err); ok {
		return e
	}
	if err == nil {
		return nil
	}
	if n := len(r.files); n > 0 && r.files[n-1].Path == path && r.files[n-1].Err == nil {
		r.files[n-1].Err = err
	} else {
		r.newFile(path, name).Err = err
	}
	return nil
}

func (r *Reader) decode(path, name string, s io.Reader, depth int) error {
	br := bufio.NewReaderSize(s, 64<<10)
	head, err := br.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return err
	}
	kind := magic(head)
	if kind != "" && depth >= r.Limits.Depth {
		return fmt.Errorf("archives are nested more than %d deep", r.Limits.Depth)
	}
	in := &counter{r: br}
	switch kind {
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		defer z.Close()
		return r.decode(path, strings.TrimSuffix(name, ".gz"), r.guard(z, in), depth+1)
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		defer z.Close()
		return r.decode(path, strings.TrimSuffix(name, ".zst"), r.guard(z, in), depth+1)
	case "zip":
		return r.spoolZip(path, br, depth)
	case "tar":
		return r.readTar(path, br, depth)
	case "":
		return r.records(path, name, br)
	}
	r.newFile(path, name)
	return fmt.Errorf("%s archives are not read; unpack it first", kind)
}

// magic recognizes archives by their first bytes.
func magic(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return "gzip"
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return "zip"
	case bytes.HasPrefix(b, []byte("7z\xbc\xaf\x27\x1c")):
		return "7z"
	case bytes.HasPrefix(b, []byte("\xfd7zXZ\x00")):
		return "xz"
	case bytes.HasPrefix(b, []byte("BZh")):
		return "bzip2"
	case bytes.HasPrefix(b, []byte("Rar!\x1a")):
		return "rar"
	case len(b) >= 262 && string(b[257:262]) == "ustar":
		return "tar"
	}
	return ""
}

// guard stops a decompression bomb: out yields an error when it has given more
// than Limits.Ratio times what in has taken, beyond 256 MiB.
func (r *Reader) guard(out io.Reader, in *counter) io.Reader {
	return &bombGuard{out: out, in: in, ratio: r.Limits.Ratio}
}

type bombGuard struct {
	out   io.Reader
	in    *counter
	n     int64
	ratio int64
}

// errBomb is the reason for giving up on an archive.
var errBomb = errors.New("decompression bomb: it expands far beyond what logs do; the rest is not read")

func (g *bombGuard) Read(p []byte) (int, error) {
	n, err := g.out.Read(p)
	g.n += int64(n)
	if g.n > 256<<20 && g.n/max(g.in.n, 1) > g.ratio {
		return n, errBomb
	}
	return n, err
}

func (r *Reader) readTar(path string, s io.Reader, depth int) error {
	t := tar.NewReader(s)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if h.Typeflag == tar.TypeReg {
			if err := r.readStream(path+"!"+h.Name, filepath.Base(h.Name), t, depth+1); err != nil {
				return stop{err}
			}
		}
	}
}

// spoolZip copies a zip that is inside another archive to a temporary file,
// because a zip's directory stands at its end.
func (r *Reader) spoolZip(path string, s io.Reader, depth int) error {
	tmp, err := os.CreateTemp(r.Temp, "midwatch-*.zip")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	const limit = 8 << 30
	n, err := io.Copy(tmp, io.LimitReader(s, limit+1))
	if err != nil {
		return err
	}
	if n > limit {
		return fmt.Errorf("zip inside an archive is larger than %d bytes; unpack it first", int64(limit))
	}
	return r.readZip(path, tmp, n, depth)
}

func (r *Reader) readZip(path string, f io.ReaderAt, size int64, depth int) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("zip: %w", err)
	}
	members := slices.Clone(z.File)
	slices.SortStableFunc(members, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range members {
		if m.FileInfo().IsDir() || strings.HasPrefix(m.Name, "__MACOSX/") {
			continue
		}
		name := path + "!" + m.Name
		in, err := m.Open()
		if err != nil {
			r.newFile(name, filepath.Base(m.Name)).Err = fmt.Errorf("zip: %w", err)
			continue
		}
		guarded := &bombGuard{out: in, in: &counter{n: int64(m.CompressedSize64)}, ratio: r.Limits.Ratio}
		err = r.readStream(name, filepath.Base(m.Name), guarded, depth+1)
		in.Close()
		if err != nil {
			return stop{err}
		}
	}
	return nil
}

// records reads a plain stream.
func (r *Reader) records(path, name string, br *bufio.Reader) error {
	f := r.newFile(path, name)
	head, err := br.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f.Encoding = "utf-8"
	h := sha256.New()
	var s io.Reader = &hashing{r: br, h: h, n: &f.Bytes}
	defer func() { f.SHA256 = hex.EncodeToString(h.Sum(nil)) }()
	if r.Stream != nil {
		f.Encoding = ""
		err := r.Stream(f, s)
		if _, more := io.Copy(io.Discard, s); err == nil {
			err = more
		}
		return err
	}
	switch enc := sniffEncoding(head); enc {
	case "utf-16le":
		f.Encoding = enc
		s = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(s)
	case "utf-16be":
		f.Encoding = enc
		s = unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Reader(s)
	}
	fr := &framer{r: r, file: f, src: s, line: 1}
	err = fr.run()
	if _, ok := isStop(err); !ok {
		_, _ = io.Copy(io.Discard, io.LimitReader(s, 1<<30)) // so that the hash covers a file that is not a log, within reason
	}
	fr.abandon()
	return err
}

// hashing hashes and counts what is read through it.
type hashing struct {
	r io.Reader
	h hash.Hash
	n *int64
}

func (x *hashing) Read(p []byte) (int, error) {
	n, err := x.r.Read(p)
	x.h.Write(p[:n])
	*x.n += int64(n)
	return n, err
}

// sniffEncoding recognizes UTF-16 by its byte order mark or, without one, by
// the zero bytes that ASCII has in it.
func sniffEncoding(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return "utf-16le"
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return "utf-16be"
	case len(b) < 8:
		return "utf-8"
	}
	var even, odd int
	b = b[:min(len(b), 512)]
	for i, c := range b {
		if c == 0 {
			if i%2 == 0 {
				even++
			} else {
				odd++
			}
		}
	}
	switch {
	case odd > len(b)/4 && even == 0:
		return "utf-16le"
	case even > len(b)/4 && odd == 0:
		return "utf-16be"
	}
	return "utf-8"
}
