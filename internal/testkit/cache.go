package testkit

import (
	"fmt"
	"os"
	"path/filepath"
)

// Cache is the folder in which what was fetched for tests is kept:
// MIDWATCH_CACHE, or the user's cache folder.
func Cache() (string, error) {
	if dir := os.Getenv("MIDWATCH_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder, set MIDWATCH_CACHE: %w", err)
	}
	return filepath.Join(dir, "midwatch"), nil
}
