// Package browsertest gives tests a real browser: headless Chromium, driven by
// chromedp, and axe-core, the rules of accessibility that most auditors use.
//
// Both come by `make test-deps`: Chromium from the system's packages, axe-core
// from its npm package, whose hash is pinned. Without them tests that need them
// are skipped, and fail where $CI is set.
package browsertest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"midwatch/internal/testkit"
)

// The package that carries axe-core (Deque Systems, MPL-2.0).
const (
	axeVersion   = "4.14.1"
	axeIntegrity = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// program finds Chromium, or one that is like it.
func program() (string, error) {
	if p := os.Getenv("MIDWATCH_CHROMIUM"); p != "" {
		return p, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", errors.New("no Chromium; `make test-deps` installs it as root on Debian, elsewhere install it and name it in MIDWATCH_CHROMIUM")
}

func axePath() (string, error) {
	dir, err := testkit.Cache()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "axe-core-"+axeVersion+".js"), nil
}

// Fetch installs what is missing. Progress goes to out.
func Fetch(ctx context.Context, out io.Writer) error {
	if _, err := program(); err != nil {
		if err := install(ctx, out); err != nil {
			return err
		}
	}
	path, err := axePath()
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	fmt.Fprintf(out, "axe-core %s\n", axeVersion)
	script, err := axe(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", script, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func install(ctx context.Context, out io.Writer) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		_, err := program()
		return err
	}
	fmt.Fprintln(out, "chromium, from the system's packages")
	for _, args := range [][]string{{"update", "-q"}, {"install", "-q", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"}} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, said[max(0, len(said)-500):])
		}
	}
	_, err = program()
	return err
}

// axe fetches the script out of its package.
func axe(ctx context.Context) ([]byte, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return nil, fmt.Errorf("axe-core for tests comes as an npm package; install npm and try again: %w", err)
	}
	dir, err := os.MkdirTemp("", "midwatch-axe-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", "axe-core@"+axeVersion)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("download with `npm pack axe-core@%s` (is the registry within reach?): %w: %s", axeVersion, err, strings.TrimSpace(string(said)))
	}
	b, err := os.ReadFile(filepath.Join(dir, "axe-core-"+axeVersion+".tgz"))
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(b)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != axeIntegrity {
		return nil, fmt.Errorf("axe-core %s is not the package that the tests were written with: %s, want %s", axeVersion, got, axeIntegrity)
	}
	z, err := gzip.NewReader(strings.NewReader(string(b)))
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("axe.min.js is not in the package: %w", err)
		}
		if h.Name == "package/axe.min.js" {
			return io.ReadAll(io.LimitReader(t, 8<<20))
		}
	}
}

// Open starts a browser with a window of its own. The context is chromedp's; end
// closes the browser.
func Open(parent context.Context) (ctx context.Context, end func(), err error) {
	p, err := program()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "midwatch-browser-")
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := chromedp.NewExecAllocator(parent, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(p), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(60*time.Second))...)
	ctx, closed := chromedp.NewContext(ctx)
	end = func() {
		_ = chromedp.Cancel(ctx) // waits for the process, so that its folder can go
		closed()
		stop()
		_ = os.RemoveAll(dir)
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, nil, fmt.Errorf("start %s: %w", p, err)
	}
	return ctx, end, nil
}

// Start starts a browser that ends with the test.
func Start(t testing.TB) context.Context {
	t.Helper()
	_, err := program()
	if err == nil {
		var axe string
		if axe, err = axePath(); err == nil {
			_, err = os.Stat(axe)
		}
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v; run `make test-deps`", err)
		}
		t.Skipf("%v; run `make test-deps`", err)
	}
	ctx, end, err := Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return ctx
}

// Axe is the script of axe-core.
func Axe(t testing.TB) string {
	t.Helper()
	path, err := axePath()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
