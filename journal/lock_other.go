//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"errors"
	"fmt"
	"os"
)

// Without locks that the system lets go of, two processes could write at one
// time. Reading takes none.
func tryLock(*os.File) (bool, error) {
	return false, fmt.Errorf("a journal cannot be written on this system: %w", errors.ErrUnsupported)
}

func tryShared(*os.File) (bool, error) { return true, nil }
