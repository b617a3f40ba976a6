package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"midwatch/journal"
)

// What a users file may be.
const (
	maxUsersFile = 1 << 20 // bytes
	maxUsers     = 10_000
	maxUserName  = 128 // bytes
)

// account is a line of a users file.
type account struct {
	name  string
	role  Role
	hash  phc
	stamp digest // of the hash: it is another when the password is
	line  int
}

// parseUsers reads a users file: name:role:hash a line, lines of # and empty
// ones. What is not that is refused, with its line.
func parseUsers(file string, b []byte) ([]account, error) {
	bad := func(line int, err error) error { return fmt.Errorf("%s:%d: %w", file, line, err) }
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%s: it is not UTF-8", file)
	}
	var out []account
	seen := map[string]int{}
	for i, line := range strings.Split(string(b), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, ":")
		if len(f) != 3 {
			return nil, bad(i+1, errors.New("a line is name:role:hash"))
		}
		if err := CheckName(f[0]); err != nil {
			return nil, bad(i+1, err)
		}
		if first, twice := seen[strings.ToLower(f[0])]; twice {
			return nil, bad(i+1, fmt.Errorf("the user %s is in line %d already", f[0], first))
		}
		role, err := ParseRole(f[1])
		if err != nil {
			return nil, bad(i+1, err)
		}
		hash, err := parsePHC(f[2])
		if err != nil {
			return nil, bad(i+1, err)
		}
		if len(out) == maxUsers {
			return nil, bad(i+1, fmt.Errorf("more than %d users; OpenID Connect is for so many", maxUsers))
		}
		seen[strings.ToLower(f[0])] = i + 1
		out = append(out, account{f[0], role, hash, digestOf(f[2]), i + 1})
	}
	return out, nil
}

// CheckName says why something cannot be the name of a user. Names differ in
// more than the case of their letters.
func CheckName(name string) error {
	ok := len(name) > 0 && len(name) <= maxUserName
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		ok = ok && (letter || i > 0 && strings.IndexByte("._@+-", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%.40q is no name of a user; it begins with a letter or digit, has . _ @ + - besides, and at most %d characters", name, maxUserName)
	}
	return nil
}

// Users are the users of a file, which is read again whenever it has changed.
type Users struct {
	path string
	now  func() time.Time
	seed maphash.Seed
	busy chan struct{} // a place for each password that is being checked

	mu      sync.Mutex
	info    fs.FileInfo // of the file that was read last
	settled bool        // it was old enough then that a change would show
	raw     []byte
	list    []account
	byName  map[string]int
}

// atOnce is how many passwords are checked at one time. Each takes 64 MiB.
const atOnce = 2

// OpenUsers reads a users file. One that others can read or write is refused, as
// is one without a user.
func OpenUsers(path string, now func() time.Time) (*Users, error) {
	u := &Users{path: path, now: now, seed: maphash.MakeSeed(), busy: make(chan struct{}, atOnce)}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.reload(); err != nil {
		return nil, err
	}
	if len(u.list) == 0 {
		return nil, fmt.Errorf("%s has no user; `midwatch user add NAME --users %s --role responder` adds one", path, path)
	}
	return u, nil
}

// Len is how many users there are.
func (u *Users) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list)
}

// reload reads the file if it is not the one that was read last.
func (u *Users) reload() error {
	info, err := os.Stat(u.path)
	if err != nil {
		u.info = nil
		return fmt.Errorf("users: %w", err)
	}
	if u.info != nil && u.settled && os.SameFile(info, u.info) && info.Size() == u.info.Size() && info.ModTime().Equal(u.info.ModTime()) && info.Mode() == u.info.Mode() {
		return nil
	}
	u.info = nil // whatever fails now fails again, until the file is right
	b, info, err := readPrivate(u.path, maxUsersFile)
	if err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if u.byName == nil || !bytes.Equal(b, u.raw) {
		list, err := parseUsers(u.path, b)
		if err != nil {
			return err
		}
		u.raw, u.list, u.byName = b, list, map[string]int{}
		for i := range list {
			u.byName[list[i].name] = i
		}
	}
	// Two changes within the file system's unit of time look like one.
	u.info, u.settled = info, u.now().Sub(info.ModTime()) > 2*time.Second
	return nil
}

// lookup finds a user as the file is now. Of a name that nobody has it returns
// an account to check the password with all the same, so that it takes as long.
func (u *Users) lookup(name string) (a account, known bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.reload(); err != nil {
		return a, false, err
	}
	if i, ok := u.byName[name]; ok {
		return u.list[i], true, nil
	}
	a.hash = phc{cost: recommended(), salt: make([]byte, minSalt), hash: make([]byte, minHash)}
	if n := len(u.list); n > 0 { // as dear as somebody's, and always the same one's
		a.hash.cost = u.list[maphash.String(u.seed, name)%uint64(n)].hash.cost
	}
	return a, false, nil
}

var errWrong = errors.New("name or password is wrong")

// check checks a password. It waits for its turn, as long as ctx lets it.
func (u *Users) check(ctx context.Context, a account, known bool, password string) error {
	select {
	case u.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-u.busy }()
	if len(password) > maxPassword {
		password = ""
	}
	if ok := a.hash.matches(password); !ok || !known {
		return errWrong
	}
	return nil
}

// readPrivate reads a file that nobody else may read or write.
func readPrivate(path string, most int64) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a file", path)
	}
	if err := private(path, info); err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, info, err
}

// SecretFile reads a secret, such as an OIDC client's, from a file that nobody
// else may read: its first line, and there is no other.
func SecretFile(path string) (string, error) {
	b, _, err := readPrivate(path, 4<<10)
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s: a secret is one line", path)
	}
	return s, nil
}

// ListUsers returns the users of a file, in its order.
func ListUsers(path string) ([]User, error) {
	b, _, err := readPrivate(path, maxUsersFile)
	if err != nil {
		return nil, err
	}
	list, err := parseUsers(path, b)
	var out []User
	for _, a := range list {
		out = append(out, User{Name: a.name, Role: a.role, Via: ViaPassword})
	}
	return out, err
}

// AddUser adds a user to a file, which is made if it is not there.
func AddUser(ctx context.Context, path, name string, role Role, password string) error {
	if err := errors.Join(CheckName(name), CheckPassword(name, password)); err != nil {
		return err
	}
	hash := hashPassword(password, recommended())
	return editUsers(ctx, path, true, func(list []account, lines []string) ([]string, error) {
		for _, a := range list {
			if strings.EqualFold(a.name, name) {
				return nil, fmt.Errorf("%s:%d: there is a user %s; `midwatch user passwd` changes the password", path, a.line, a.name)
			}
		}
		return append(lines, userLine(name, role, hash)), nil
	})
}

// ChangeUser gives a user another role, unless that is zero, and another
// password, unless that is empty.
func ChangeUser(ctx context.Context, path, name string, role Role, password string) error {
	var hash *phc
	if password != "" {
		if err := CheckPassword(name, password); err != nil {
			return err
		}
		h := hashPassword(password, recommended())
		hash = &h
	}
	return editUsers(ctx, path, false, func(list []account, lines []string) ([]string, error) {
		a, err := named(path, list, name)
		if err != nil {
			return nil, err
		}
		if role != 0 {
			a.role = role
		}
		if hash != nil {
			a.hash = *hash
		}
		lines[a.line-1] = userLine(a.name, a.role, a.hash)
		return lines, nil
	})
}

// RemoveUser removes a user from a file.
func RemoveUser(ctx context.Context, path, name string) error {
	return editUsers(ctx, path, false, func(list []account, lines []string) ([]string, error) {
		a, err := named(path, list, name)
		if err != nil {
			return nil, err
		}
		return slices.Delete(lines, a.line-1, a.line), nil
	})
}

func named(path string, list []account, name string) (account, error) {
	i := slices.IndexFunc(list, func(a account) bool { return a.name == name })
	if i < 0 {
		return account{}, fmt.Errorf("%s has no user %.40q; `midwatch user list` shows them", path, name)
	}
	return list[i], nil
}

func userLine(name string, role Role, hash phc) string {
	return name + ":" + role.String() + ":" + hash.String()
}

// editUsers changes a users file: the new one takes the place of the old in one
// step. Two that edit at once wait for each other, by the lock that journals are
// written under.
func editUsers(ctx context.Context, path string, create bool, edit func([]account, []string) ([]string, error)) error {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		real = path
	case err != nil:
		return err
	}
	held, err := journal.Open(real, nil).Lock(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported): // two at once are up to their users here
	case err != nil:
		return fmt.Errorf("lock the users file: %w", err)
	default:
		defer held.Unlock()
	}
	b, info, err := readPrivate(real, maxUsersFile)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	list, err := parseUsers(path, b)
	if err != nil {
		return err
	}
	var lines []string
	if text := strings.TrimSuffix(string(b), "\n"); text != "" {
		lines = strings.Split(text, "\n")
	}
	if lines, err = edit(list, lines); err != nil {
		return err
	}
	text := strings.Join(lines, "\n") + "\n"
	if len(text) > maxUsersFile {
		return fmt.Errorf("%s would have more than %d bytes", path, maxUsersFile)
	}
	return replaceFile(real, []byte(text), info)
}

// replaceFile puts a file in the place of another, with the same owner.
func replaceFile(path string, b []byte, before fs.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // it is of no use
		}
	}()
	_, err = f.Write(b)
	if err == nil && before != nil {
		err = keepOwner(f, before)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // read only
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
