//go:build unix

package clickhousetest

import (
	"os"
	"syscall"
)

// lock waits until this process alone holds the file. The system lets go of it
// when the process ends, however it ends.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
