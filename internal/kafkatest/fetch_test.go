package kafkatest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Without Maven it is said what to do, and nothing is left behind.
func TestFetchWithoutMaven(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	t.Setenv("MIDWATCH_CACHE", cache)
	t.Setenv("PATH", t.TempDir())
	if err := Fetch(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "install Maven") {
		t.Errorf("the error is %v", err)
	}
	if reason, ok := Available(); ok || !strings.Contains(reason, "make test-deps") {
		t.Errorf("available: %v, %q", ok, reason)
	}
	if left, err := os.ReadDir(cache); err == nil && len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
}

// Archives that are not the pinned ones do not get into the cache.
func TestFetchOthers(t *testing.T) {
	cache, bin := t.TempDir(), t.TempDir()
	t.Setenv("MIDWATCH_CACHE", cache)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	script := "#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done\nmkdir -p \"$d\" && echo other >\"$d/kafka.jar\"\n"
	if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Fetch(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "not those that the tests were written with") {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v %v", left, err)
	}
}
