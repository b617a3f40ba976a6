package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// cheap is the least that a users file may ask for, so that tests are quick.
func cheap() cost { return cost{minMemory, 1, 1} }

const password = "correct horse battery"

func line(name string, role Role) string {
	return userLine(name, role, hashPassword(password, cheap()))
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func usersFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, lines...)
	return path
}

func TestPHC(t *testing.T) {
	h := hashPassword("Zürich im Winter", cheap())
	p, err := parsePHC(h.String())
	if err != nil || p.String() != h.String() {
		t.Fatalf("%v %v", p, err)
	}
	for pw, want := range map[string]bool{"Zürich im Winter": true, "Zu\u0308rich im Winter": true, "Zurich im Winter": false, "": false} {
		if p.matches(pw) != want {
			t.Errorf("%q: %v", pw, !want)
		}
	}
	// The vector of the reference implementation's test.c.
	ref := phc{cost{64 << 10, 2, 1}, []byte("somesalt"), make([]byte, 32)}
	if got := fmt.Sprintf("%x", ref.derive("password")); got != "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7" {
		t.Error(got)
	}
	salt, hash := "c29tZXNhbHRzb21lc2FsdA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, s := range map[string]string{
		"empty":            "",
		"another function": "$argon2i$v=19$m=65536,t=3,p=4$" + salt + "$" + hash,
		"bcrypt":           "$2b$10$abcdefghijklmnopqrstuv",
		"version":          "$argon2id$v=16$m=65536,t=3,p=4$" + salt + "$" + hash,
		"no version":       "$argon2id$m=65536,t=3,p=4$" + salt + "$" + hash,
		"a terabyte":       "$argon2id$v=19$m=1073741824,t=3,p=4$" + salt + "$" + hash,
		"too little":       "$argon2id$v=19$m=8,t=3,p=1$" + salt + "$" + hash,
		"for ever":         "$argon2id$v=19$m=65536,t=4294967295,p=4$" + salt + "$" + hash,
		"no passes":        "$argon2id$v=19$m=65536,t=0,p=4$" + salt + "$" + hash,
		"many lanes":       "$argon2id$v=19$m=65536,t=3,p=255$" + salt + "$" + hash,
		"overflow":         "$argon2id$v=19$m=4295032832,t=3,p=4$" + salt + "$" + hash,
		"plus":             "$argon2id$v=19$m=+65536,t=3,p=4$" + salt + "$" + hash,
		"zeros before":     "$argon2id$v=19$m=065536,t=3,p=4$" + salt + "$" + hash,
		"order":            "$argon2id$v=19$t=3,m=65536,p=4$" + salt + "$" + hash,
		"more parameters":  "$argon2id$v=19$m=65536,t=3,p=4,data=x$" + salt + "$" + hash,
		"short salt":       "$argon2id$v=19$m=65536,t=3,p=4$c29tZQ$" + hash,
		"short hash":       "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$c29tZQ",
		"no hash":          "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$",
		"padding":          "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "==$" + hash,
		"bits left over":   "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$" + hash[:42] + "B",
		"a line's end":     "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$" + hash + "\n",
		"long":             "$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$" + strings.Repeat("A", 400),
	} {
		if _, err := parsePHC(s); err == nil {
			t.Errorf("%s: %s was read", name, s)
		}
	}
}

func TestParseUsers(t *testing.T) {
	ok := line("kim", Analyst)
	hash := strings.SplitN(ok, ":", 3)[2]
	list, err := parseUsers("users", []byte("# who may come in\n\n"+ok+"\n"+line("ana@x.example", Viewer)))
	if err != nil || len(list) != 2 || list[0].name != "kim" || list[0].role != Analyst || list[0].line != 3 || list[1].name != "ana@x.example" || list[1].line != 4 {
		t.Errorf("%+v %v", list, err)
	}
	for text, want := range map[string]string{
		"kim":                       "users:1: a line is name:role:hash",
		"# x\nkim:analyst":          "users:2: a line is",
		ok + ":more":                "users:1: a line is",
		":analyst:" + hash:          "no name of a user",
		" kim:analyst:" + hash:      "no name of a user",
		"-kim:analyst:" + hash:      "no name of a user",
		"kïm:analyst:" + hash:       "no name of a user",
		"kim:admin:" + hash:         "users:1: \"admin\" is no role; roles are viewer, analyst, responder",
		"kim:none:" + hash:          "no role",
		"kim:analyst:secret":        "users:1: the hash is not of the form",
		ok + "\r\n":                 "base64",
		ok + "\n" + ok:              "users:2: the user kim is in line 1 already",
		ok + "\nKIM:viewer:" + hash: "users:2: the user KIM is in line 1 already",
		"kim\xff:analyst:" + hash:   "not UTF-8",
		"\ufeff" + ok:               "no name of a user",
		strings.Repeat("a", 129) + ":analyst:" + hash: "no name of a user",
	} {
		if _, err := parseUsers("users", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v; want %s", text, err, want)
		}
	}
}

func TestFileOfUsers(t *testing.T) {
	path := usersFile(t, line("kim", Analyst))
	u, err := OpenUsers(path, time.Now)
	if err != nil || u.Len() != 1 {
		t.Fatal(err)
	}
	look := func(name string) (account, bool) {
		t.Helper()
		a, known, err := u.lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		return a, known
	}
	a, known := look("kim")
	if err := u.check(t.Context(), a, known, password); err != nil {
		t.Error(err)
	}
	for _, pw := range []string{"", "wrong", strings.Repeat("x", 1<<20)} {
		if err := u.check(t.Context(), a, known, pw); !errors.Is(err, errWrong) {
			t.Errorf("%.10q: %v", pw, err)
		}
	}
	a, known = look("KIM")
	if known || a.hash.cost != cheap() || !errors.Is(u.check(t.Context(), a, known, password), errWrong) {
		t.Errorf("%+v %v: an unknown user is not like another", a, known)
	}
	// What changes shows at once, though size and time hardly do.
	for i := range 20 {
		role := Roles()[i%3]
		write(t, path, line("kim", role))
		if a, known := look("kim"); !known || a.role != role {
			t.Fatalf("change %d is not seen: %v, %v", i, a.role, role)
		}
	}
	write(t, path, line("ana", Viewer))
	if _, known := look("kim"); known {
		t.Error("a user who was removed is there")
	}
	// What cannot be read lets nobody in, and what can again does.
	for name, spoil := range map[string]func() error{
		"damaged":        func() error { return os.WriteFile(path, []byte("kim"), 0o600) },
		"removed":        func() error { return os.Remove(path) },
		"read by others": func() error { write(t, path, line("ana", Viewer)); return os.Chmod(path, 0o640) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, known, err := u.lookup("ana"); err == nil || known {
				t.Errorf("%s: %v", name, known)
			}
		}
		_ = os.Remove(path)
		write(t, path, line("ana", Viewer))
		if _, known := look("ana"); !known {
			t.Errorf("%s: not mended", name)
		}
	}
}

// A file that has been as it is for long is not read each time.
func TestSettled(t *testing.T) {
	path := usersFile(t, line("kim", Analyst))
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	u, err := OpenUsers(path, time.Now)
	if err != nil || !u.settled {
		t.Fatal(err, u.settled)
	}
	u.byName["ghost"] = 0 // would go if it were read
	if _, known, err := u.lookup("ghost"); !known || err != nil {
		t.Error("it was read again")
	}
	write(t, path, line("kim", Viewer))
	if a, known, err := u.lookup("kim"); !known || err != nil || a.role != Viewer {
		t.Errorf("%+v %v", a, err)
	}
	if _, known, _ := u.lookup("ghost"); known {
		t.Error("it was not read again")
	}
}

func TestPrivate(t *testing.T) {
	path := usersFile(t, line("kim", Analyst))
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o660, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenUsers(path, time.Now); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%o: %v", mode, err)
		}
		if err := AddUser(t.Context(), path, "ana", Viewer, password); err == nil {
			t.Errorf("%o: edited", mode)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenUsers(path, time.Now); err != nil {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 4711, 4711); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenUsers(path, time.Now); err == nil || !strings.Contains(err.Error(), "another account") {
			t.Error(err)
		}
	}
	if _, err := OpenUsers(t.TempDir(), time.Now); err == nil {
		t.Error("a folder")
	}
	empty := usersFile(t, "# nobody")
	if _, err := OpenUsers(empty, time.Now); err == nil || !strings.Contains(err.Error(), "midwatch user add") {
		t.Error(err)
	}
}

func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	steps := []error{
		AddUser(t.Context(), path, "kim", Analyst, password),
		AddUser(t.Context(), path, "ana", Viewer, password),
		ChangeUser(t.Context(), path, "kim", Responder, ""),
		ChangeUser(t.Context(), path, "ana", 0, password+"!"),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append([]byte("# a comment\n"), b...), 0o600); err != nil {
		t.Fatal(err)
	}
	us, err := ListUsers(path)
	if err != nil || fmt.Sprint(us) != "[{kim responder password } {ana viewer password }]" {
		t.Errorf("%v %v", us, err)
	}
	u, err := OpenUsers(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, pw := range map[string]string{"kim": password, "ana": password + "!"} {
		a, known, _ := u.lookup(name)
		if a.hash.cost != recommended() || u.check(t.Context(), a, known, pw) != nil {
			t.Errorf("%s does not come in", name)
		}
	}
	for want, err := range map[string]error{
		"there is a user kim": AddUser(t.Context(), path, "KIM", Viewer, password),
		"at least 12":         AddUser(t.Context(), path, "new", Viewer, "short"),
		"no name":             AddUser(t.Context(), path, "a:b", Viewer, password),
		"is the name":         AddUser(t.Context(), path, "administrator", Viewer, "Administrator"),
		"can be typed":        AddUser(t.Context(), path, "new", Viewer, "a\x00bcdefghijklmn"),
		"has no user \"no\"":  RemoveUser(t.Context(), path, "no"),
		"has no user \"nn\"":  ChangeUser(t.Context(), path, "nn", Viewer, ""),
		"no such file":        RemoveUser(t.Context(), path+"x", "no"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	if _, err := os.Stat(path + "x"); err == nil {
		t.Error("a file came to be")
	}
	if err := RemoveUser(t.Context(), path, "kim"); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	if !bytes.HasPrefix(after, []byte("# a comment\nana:viewer:$argon2id$v=19$m=65536,t=3,p=4$")) || bytes.Contains(after, []byte("kim")) {
		t.Errorf("%s", after)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("%v", info.Mode())
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// Several edit at once, and others read: no edit is lost and no half is seen.
func TestEditAtOnce(t *testing.T) {
	path := usersFile(t, line("first", Viewer))
	var wg sync.WaitGroup
	const n = 12
	hash := hashPassword(password, cheap())
	for i := range n {
		wg.Go(func() {
			err := editUsers(t.Context(), path, false, func(_ []account, lines []string) ([]string, error) {
				return append(lines, userLine(fmt.Sprintf("user%d", i), Viewer, hash)), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	u, err := OpenUsers(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, known, err := u.lookup("first"); err != nil || !known {
			t.Error(known, err)
		}
	}
	wg.Wait()
	if us, err := ListUsers(path); err != nil || len(us) != n+1 {
		t.Errorf("%d users, %v", len(us), err)
	}
}

// No more than two passwords are checked at once, and who waits can leave.
func TestHashingIsBounded(t *testing.T) {
	u, err := OpenUsers(usersFile(t, line("kim", Analyst)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for range atOnce {
		u.busy <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	a, known, _ := u.lookup("kim")
	if err := u.check(ctx, a, known, password); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestSecretFile(t *testing.T) {
	path := usersFile(t, "s3cr3t")
	if s, err := SecretFile(path); err != nil || s != "s3cr3t" {
		t.Errorf("%q %v", s, err)
	}
	write(t, path, "two", "lines")
	if _, err := SecretFile(path); err == nil {
		t.Error("two lines")
	}
	write(t, path, "")
	if _, err := SecretFile(path); err == nil {
		t.Error("empty")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := SecretFile(path); err == nil {
		t.Error("read by all")
	}
}

func TestRoles(t *testing.T) {
	if !(0 < Viewer && Viewer < Analyst && Analyst < Responder) {
		t.Error("order")
	}
	for _, r := range Roles() {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%v %v", got, err)
		}
	}
	for _, s := range []string{"", "none", "Viewer", " viewer", "admin"} {
		if _, err := ParseRole(s); err == nil {
			t.Errorf("%q is a role", s)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(hashPassword("x", cheap()).String())
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.String() != s {
			t.Errorf("%q is written as %q", s, p.String())
		}
		if p.memory > maxMemory || p.time > maxTime || p.lanes > maxLanes || p.lanes == 0 || p.time == 0 {
			t.Errorf("%q asks for %+v", s, p.cost)
		}
	})
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte("# x\n\n" + line("kim", Analyst) + "\n" + line("ana@x.example", Viewer)))
	f.Add([]byte("kim:analyst:\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseUsers("users", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "users:") {
				t.Errorf("%v does not say where", err)
			}
			return
		}
		lines := bytes.Split(b, []byte("\n"))
		for _, a := range list {
			if string(lines[a.line-1]) != userLine(a.name, a.role, a.hash) || a.role == 0 || CheckName(a.name) != nil {
				t.Errorf("line %d is read as %+v", a.line, a)
			}
		}
	})
}
