// Package corpora finds the real records that some tests read. They are not
// part of the repository: MIDWATCH_CORPORA names their folder, by default
// ../shared/corpora beside it.
package corpora

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Dir returns the folder. Where it is missing the test is skipped, except in
// CI (CI=true), where it must not be and the test fails.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("MIDWATCH_CORPORA")
	if dir == "" {
		_, file, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(file), "..", "..", "..", "shared", "corpora")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the corpora are missing, and CI must have them: %v", err)
		}
		t.Skipf("skipped: no corpora at %s; set MIDWATCH_CORPORA", dir)
	}
	return dir
}
