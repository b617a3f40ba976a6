package casefolder

import (
	"errors"
	"io/fs"
	"os"
)

// replace puts dir in the place of final with two renames. Between them the
// old case is final.old, which a reader finds by name.
func replace(dir, final string) error {
	old := final + ".old"
	err := os.Rename(final, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(dir, final); err != nil {
		return errors.Join(err, os.Rename(old, final))
	}
	return os.RemoveAll(old)
}
