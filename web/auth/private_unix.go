//go:build unix

package auth

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// private wants a file to be its owner's alone, and the owner us or root.
func private(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read or written by others (mode %04o); `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another account (uid %d), who could let anybody in; chown it to the one that runs midwatch", path, s.Uid)
	}
	return nil
}

// keepOwner gives a new file the owner of the one that it takes the place of.
func keepOwner(f *os.File, before fs.FileInfo) error {
	s, ok := before.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) == os.Geteuid() && int(s.Gid) == os.Getegid() {
		return nil
	}
	return f.Chown(int(s.Uid), int(s.Gid))
}
