package clickhousetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pretend makes a package that holds a file of the name, and an npm that
// "downloads" it and counts how often it was asked.
func pretend(t *testing.T, name string) (l library, asked func() int) {
	t.Helper()
	dir := t.TempDir()
	content := []byte("this is no engine")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, file := range []string{"package/index.js", name} {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(b.Bytes())
	archive, count := filepath.Join(dir, "archive"), filepath.Join(dir, "count")
	if err := os.WriteFile(archive, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >> '%s'\ncp '%s' ./pretended-1.0.0.tgz\n", count, archive)
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	l = library{pkg: "@midwatch/pretended", version: "1.0.0", size: int64(len(content)), integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	return l, func() int {
		lines, _ := os.ReadFile(count) // none: it was never asked
		return strings.Count(string(lines), "pack --loglevel=error @midwatch/pretended@1.0.0\n")
	}
}

func TestFetchIsDoneOnce(t *testing.T) {
	l, asked := pretend(t, "package/libchdb.so")
	cache := filepath.Join(t.TempDir(), "new", "cache")
	if err := os.MkdirAll(filepath.Join(cache, "fetch-interrupted"), 0o755); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for range 4 {
		go func() { errs <- l.fetch(t.Context(), cache, io.Discard) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if !l.present(cache) {
		t.Error("it is not in the cache")
	}
	if n := asked(); n != 1 {
		t.Errorf("downloaded %d times, want once", n)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(left) != 2 { // the library and the lock
		t.Errorf("in the cache: %v %v", left, err)
	}
}

func TestFetchSaysWhatFailed(t *testing.T) {
	for _, x := range []struct {
		name, file string
		change     func(t *testing.T, l *library)
		want       string
	}{
		{"another package", "package/libchdb.so", func(_ *testing.T, l *library) { l.integrity = "sha512-AAAA" }, "not the package that the tests were written against"},
		{"another size", "package/libchdb.so", func(_ *testing.T, l *library) { l.size++ }, "has 17 bytes, want 18"},
		{"no library", "package/other.so", nil, "it has no libchdb.so"},
		{"no npm", "package/libchdb.so", func(t *testing.T, _ *library) { t.Setenv("PATH", t.TempDir()) }, "install npm and try again"},
		{"no network", "package/libchdb.so", func(t *testing.T, _ *library) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "npm"), []byte("#!/bin/sh\necho npm error 404 >&2\nexit 1\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir)
		}, "is the registry within reach?): exit status 1: npm error 404"},
	} {
		t.Run(x.name, func(t *testing.T) {
			l, _ := pretend(t, x.file)
			if x.change != nil {
				x.change(t, &l)
			}
			cache := t.TempDir()
			err := l.fetch(t.Context(), cache, io.Discard)
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got %v, want %q", err, x.want)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, "*")); len(left) != 1 { // the lock
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Where the cache is not ours to write, the program is built beside the data.
func TestProgramIsBuiltWhereItCan(t *testing.T) {
	need(t)
	spare := t.TempDir()
	path, err := program(t.Context(), filepath.Join(t.TempDir(), "missing"), spare)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(path) != spare || !executable(path) {
		t.Errorf("built %s, want it in %s", path, spare)
	}
	if again, err := program(t.Context(), spare, ""); again != path || err != nil {
		t.Errorf("built again: %s %v", again, err)
	}
}

// recorder is a test that remembers how it was ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Skipf(format string, args ...any)  { r.skipped = fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }

func TestWithoutTheEngineTestsAreSkippedButInCI(t *testing.T) {
	if _, err := platform(); err != nil {
		t.Skip(err)
	}
	t.Setenv("MIDWATCH_CACHE", t.TempDir())
	t.Setenv("CI", "")
	r := new(recorder)
	need(r)
	if !strings.Contains(r.skipped, "`make test-deps`") || r.failed != "" {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
	t.Setenv("CI", "true")
	r = new(recorder)
	need(r)
	if !strings.Contains(r.failed, "`make test-deps`") || r.skipped != "" {
		t.Errorf("in CI: skipped %q, failed %q", r.skipped, r.failed)
	}
	if _, err := Launch(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "`make test-deps`") {
		t.Errorf("Launch: %v", err)
	}
}
