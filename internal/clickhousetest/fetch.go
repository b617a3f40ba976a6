package clickhousetest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"midwatch/internal/testkit"
)

// A library is the engine for one platform, as an npm package that carries it.
type library struct {
	pkg, version string
	integrity    string // of the package's archive, as npm writes it
	size         int64  // of libchdb.so, bytes
}

// libraries holds one row per platform. Another platform is one row more, with
// the hash of the archive that the tests were run with there; the server
// program itself is ready for any Linux.
func libraries() map[string]library {
	return map[string]library{
		"linux/amd64": {
			pkg:       "@chdb/lib-linux-x64-gnu",
			version:   "26.7.3-stable.1",
			integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
			size:      566330096,
		},
	}
}

func platform() (library, error) {
	here := runtime.GOOS + "/" + runtime.GOARCH
	l, ok := libraries()[here]
	if !ok {
		return l, fmt.Errorf("no ClickHouse engine for tests on %s, only on linux/amd64 with glibc", here)
	}
	return l, nil
}

func (l library) path(cache string) string {
	return filepath.Join(cache, "chdb-"+l.version+"-"+runtime.GOOS+"-"+runtime.GOARCH+".so")
}

// present looks at the size only: the file was checked before it got its name.
func (l library) present(cache string) bool {
	info, err := os.Stat(l.path(cache))
	return err == nil && info.Size() == l.size
}

// Available says whether servers can be started here, and if not, why not and
// what to do, in one sentence.
func Available() (reason string, ok bool) {
	l, err := platform()
	if err != nil {
		return err.Error(), false
	}
	cache, err := testkit.Cache()
	if err != nil {
		return err.Error(), false
	}
	if !l.present(cache) {
		return "the ClickHouse engine is not in the cache (" + cache + "), run `make test-deps`", false
	}
	return "", true
}

// Fetch brings the engine into the cache and builds the server program there.
// What is there already stays; several processes may call it at once. It needs
// npm, whose own configuration says where packages come from. Progress goes to
// out.
func Fetch(ctx context.Context, out io.Writer) error {
	l, err := platform()
	if err != nil {
		return err
	}
	cache, err := testkit.Cache()
	if err != nil {
		return err
	}
	if !l.present(cache) {
		if err := l.fetch(ctx, cache, out); err != nil {
			return err
		}
	}
	// Into the cache, or where that is read-only only to see that it builds.
	spare, err := os.MkdirTemp("", "midwatch-build-")
	if err != nil {
		return fmt.Errorf("build the server program: %w", err)
	}
	defer func() { _ = os.RemoveAll(spare) }()
	_, err = program(ctx, cache, spare)
	return err
}

func (l library) fetch(ctx context.Context, cache string, out io.Writer) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("make the cache folder, or set MIDWATCH_CACHE to another: %w", err)
	}
	held, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("lock the cache: %w", err)
	}
	defer func() { _ = held.Close() }()
	if err := lock(held); err != nil {
		return fmt.Errorf("lock the cache: %w", err)
	}
	if l.present(cache) { // another process was first
		return nil
	}
	// What an earlier attempt left that was killed: only one has the lock.
	stale, err := filepath.Glob(filepath.Join(cache, "fetch-*"))
	if err != nil {
		return err
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clean the cache: %w", err)
		}
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("the ClickHouse engine for tests comes as an npm package (%s); install npm and try again: %w", l.pkg, err)
	}
	temp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return fmt.Errorf("make a folder in the cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()

	if _, err := fmt.Fprintf(out, "fetching %s@%s (180 MB) into %s\n", l.pkg, l.version, cache); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", l.pkg+"@"+l.version)
	cmd.Dir = temp
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("download with `npm pack %s@%s` (is the registry within reach?): %w: %s", l.pkg, l.version, err, strings.TrimSpace(said.String()))
	}
	archives, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil {
		return err
	}
	if len(archives) != 1 {
		return fmt.Errorf("npm pack left %d archives, want one: %s", len(archives), strings.TrimSpace(said.String()))
	}
	if err := l.unpack(archives[0], filepath.Join(temp, "libchdb.so")); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(temp, "libchdb.so"), l.path(cache)); err != nil {
		return fmt.Errorf("put the engine in its place: %w", err)
	}
	_, err = fmt.Fprintln(out, "fetched", l.path(cache))
	return err
}

// unpack checks the whole archive before any of it is used.
func (l library) unpack(archive, to string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("read the package: %w", err)
	}
	defer func() { _ = f.Close() }()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read the package: %w", err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != l.integrity {
		return fmt.Errorf("%s@%s is not the package that the tests were written against: %s, want %s", l.pkg, l.version, got, l.integrity)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the package: %w", err)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("unpack the package: %w", err)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("unpack the package: it has no libchdb.so")
		}
		if err != nil {
			return fmt.Errorf("unpack the package: %w", err)
		}
		if h.Name != "package/libchdb.so" {
			continue
		}
		if h.Size != l.size {
			return fmt.Errorf("unpack the package: libchdb.so has %d bytes, want %d", h.Size, l.size)
		}
		w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return fmt.Errorf("unpack the package: %w", err)
		}
		_, err = io.Copy(w, t)
		if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
			return fmt.Errorf("unpack the package: %w", err)
		}
		return nil
	}
}

// program returns the path of the server program. Its name in the cache holds
// the hash of its source, so that a changed one is built anew. Where the cache
// cannot be written it is built into the folder spare.
func program(ctx context.Context, cache, spare string) (string, error) {
	key, source, err := programKey()
	if err != nil {
		return "", err
	}
	dir, name := cache, "server-"+key
	if path := filepath.Join(dir, name); executable(path) {
		return path, nil
	}
	temp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		dir = spare
		temp, err = os.MkdirTemp(dir, "build-")
	}
	if err != nil {
		return "", fmt.Errorf("build the server program: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(temp, "server"), ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server program: %w: %s", err, strings.TrimSpace(string(said)))
	}
	if err := os.Rename(filepath.Join(temp, "server"), filepath.Join(dir, name)); err != nil {
		return "", fmt.Errorf("build the server program: %w", err)
	}
	return filepath.Join(dir, name), nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// programKey hashes what the server program is made of: its files, the
// module's versions, the compiler.
func programKey() (key, source string, err error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", "", errors.New("no source of the server program")
	}
	source = filepath.Join(filepath.Dir(file), "server")
	files, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil || len(files) == 0 {
		return "", "", fmt.Errorf("no source of the server program in %s", source)
	}
	slices.Sort(files)
	sum := sha256.New()
	for _, f := range append(files, filepath.Join(source, "..", "..", "..", "go.mod")) {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", "", fmt.Errorf("read the server program: %w", err)
		}
		if filepath.Base(f) == "go.mod" { // of the modules, only ours counts
			b = []byte(pureGo(string(b)))
		}
		sum.Write(b)
	}
	sum.Write([]byte(runtime.Version() + runtime.GOOS + runtime.GOARCH))
	return hex.EncodeToString(sum.Sum(nil)[:8]), source, nil
}

// pureGo returns the line of go.mod that names purego's version.
func pureGo(mod string) string {
	for line := range strings.Lines(mod) {
		if strings.Contains(line, "ebitengine/purego") {
			return line
		}
	}
	return ""
}
