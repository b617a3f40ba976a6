package casefolder

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// swap puts dir in the place of final. Where both exist they change places in
// one step, so that there is no moment without a case.
func swap(dir, final string) error {
	if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(dir, final)
	}
	err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, final, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return replace(dir, final) // a file system without exchange
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
