// Package schematest holds what tests say against the schemas that others
// publish: OASIS' JSON Schemas of STIX 2.1, and the schema of OCSF.
//
// The schemas are not ours to hand on, so they are not in the repository:
// [Fetch] takes them from two Python packages, whose versions and hashes are
// fixed here, into the cache. Where they are missing tests are skipped, and
// fail in CI.
package schematest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"midwatch/internal/testkit"
)

// A source is a Python package that carries schemas, as a wheel, which is a
// ZIP archive.
type source struct {
	pkg, version string
	sha256       string // of the archive
}

// oasis is OASIS' own validator, which carries the JSON Schemas of OASIS'
// repository cti-stix2-json-schemas. ocsf carries what the server of OCSF
// exports, whole, and the program that makes JSON Schemas of it.
func oasis() source {
	return source{"stix2-validator", "3.3.2", "114c1de273566153dbc0583292727ef9b697a8fe13199b5689e65fcaf3a91376"}
}

func ocsf() source {
	return source{"ocsf-json-schema", "1.2.0", "64d819042d20c3c04bc0d024c7c47c41006ebbe0209ce768ba6efa1240106708"}
}

// Versions lists the versions of OCSF that there are schemas of, the oldest
// first.
func Versions() []string { return []string{"1.6.0", "1.7.0", "1.8.0"} }

//go:embed generate.py
var generator []byte

// folder is where in the cache the schemas of these sources are. Its name
// holds a hash of what they are made of, so that others are fetched anew.
func folder(cache string, from ...source) string {
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, from, Versions()) // a hash takes everything
	sum.Write(generator)
	return filepath.Join(cache, "schemas-"+hex.EncodeToString(sum.Sum(nil)[:8]))
}

// have says whether a folder is whole: it got its name when it was.
func have(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// Available says whether the schemas are there, and if not, what to do, in a
// sentence.
func Available() (reason string, ok bool) {
	cache, err := testkit.Cache()
	if err != nil {
		return err.Error(), false
	}
	if !have(folder(cache, oasis(), ocsf())) {
		return "the schemas of STIX and OCSF are not in the cache (" + cache + "), run `make test-deps`", false
	}
	return "", true
}

// need skips the test where the schemas are missing, and fails it in CI. It
// returns their folder.
func need(t testing.TB) string {
	t.Helper()
	reason, ok := Available()
	switch {
	case ok:
	case os.Getenv("CI") != "":
		t.Fatalf("no schemas, and CI must have them: %s", reason)
	default:
		t.Skipf("skipped: %s", reason)
	}
	cache, err := testkit.Cache()
	if err != nil {
		t.Fatal(err)
	}
	return folder(cache, oasis(), ocsf())
}

// Fetch brings the schemas into the cache. What is there already stays. It
// needs Python 3.10 or later with pip, whose own configuration says where
// packages come from. Of several processes that call it at once each fetches,
// and one's result stays. Progress goes to out.
func Fetch(ctx context.Context, out io.Writer) error {
	cache, err := testkit.Cache()
	if err != nil {
		return err
	}
	return fetch(ctx, out, cache, oasis(), ocsf())
}

func fetch(ctx context.Context, out io.Writer, cache string, stix, ocsf source) (err error) {
	dir := folder(cache, stix, ocsf)
	if have(dir) {
		return nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("make the cache folder, or set MIDWATCH_CACHE to another: %w", err)
	}
	temp, err := os.MkdirTemp(cache, "schemas-fetch-")
	if err != nil {
		return fmt.Errorf("make a folder in the cache: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if _, err := fmt.Fprintf(out, "fetching %s %s and %s %s (4 MB) into %s\n", stix.pkg, stix.version, ocsf.pkg, ocsf.version, cache); err != nil {
		return err
	}
	made := filepath.Join(temp, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return fmt.Errorf("make a folder in the cache: %w", err)
	}
	python, err := findPython()
	if err != nil {
		return err
	}
	archive, err := stix.download(ctx, python, temp)
	if err != nil {
		return err
	}
	if err := unpack(archive, "stix2validator/schemas-2.1/schemas/", filepath.Join(made, "stix")); err != nil {
		return fmt.Errorf("unpack %s %s: %w", stix.pkg, stix.version, err)
	}
	if archive, err = ocsf.download(ctx, python, temp); err != nil {
		return err
	}
	if err := generate(ctx, python, archive, filepath.Join(made, "ocsf")); err != nil {
		return fmt.Errorf("make JSON Schemas of OCSF with %s %s: %w", ocsf.pkg, ocsf.version, err)
	}
	if err := os.Rename(made, dir); err != nil && !have(dir) { // it is there: another process was first
		return fmt.Errorf("put the schemas in their place: %w", err)
	}
	_, err = fmt.Fprintln(out, "fetched", dir)
	return err
}
