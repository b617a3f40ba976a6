package schematest

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func findPython() (string, error) {
	for _, name := range []string{"python3", "python"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the schemas of STIX and OCSF for tests come as Python packages; install Python 3.10 or later with pip and try again")
}

// download returns the path of the package's archive, which is the one that is
// wanted. Nothing of it is run or unpacked by pip.
func (s source) download(ctx context.Context, python, dir string) (string, error) {
	to := filepath.Join(dir, s.pkg)
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", to, s.pkg+"=="+s.version)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download with `pip download %s==%s` (is pip there, and the package index within reach?): %w: %s", s.pkg, s.version, err, strings.TrimSpace(string(said)))
	}
	archives, err := filepath.Glob(filepath.Join(to, "*.whl"))
	if err != nil {
		return "", err
	}
	if len(archives) != 1 {
		return "", fmt.Errorf("pip download left %d archives of %s, want one", len(archives), s.pkg)
	}
	b, err := os.ReadFile(archives[0])
	if err != nil {
		return "", fmt.Errorf("read the package: %w", err)
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != s.sha256 {
		return "", fmt.Errorf("%s %s is not the package that the tests were written against: sha256 %s, want %s", s.pkg, s.version, got, s.sha256)
	}
	return archives[0], nil
}

// unpack writes the JSON files below a folder of the archive into dir.
func unpack(archive, below, dir string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	n := 0
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, below)
		if !ok || filepath.Ext(name) != ".json" {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s would leave the folder", f.Name)
		}
		if err := unpackFile(f, filepath.Join(dir, name)); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return fmt.Errorf("there are no schemas below %s", below)
	}
	return nil
}

func unpackFile(f *zip.File, to string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// generate has the package's own generator make the JSON Schemas, so that what
// our events are held against is not made by us.
func generate(ctx context.Context, python, archive, dir string) error {
	// Isolated: neither the user's packages nor the environment reach it.
	cmd := exec.CommandContext(ctx, python, append([]string{"-I", "-", archive, dir}, Versions()...)...)
	cmd.Stdin = strings.NewReader(string(generator))
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}
