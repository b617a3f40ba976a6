package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// cost is what argon2id is told to spend.
type cost struct {
	memory uint32 // KiB
	time   uint32 // passes
	lanes  uint8
}

// recommended is the second recommended option of RFC 9106 (section 4), for
// where memory is not plenty.
func recommended() cost { return cost{64 << 10, 3, 4} }

// What a users file may ask for. The least is what OWASP lists as such with a
// second pass to spare; the most keeps a line from asking for a terabyte.
const (
	minMemory, maxMemory = 19 << 10, 256 << 10
	maxTime, maxLanes    = 16, 16
	minSalt, maxSalt     = 16, 64
	minHash, maxHash     = 32, 64
)

// phc is a hash of a password, in the form of the password hashing competition:
// $argon2id$v=19$m=65536,t=3,p=4$salt$hash.
type phc struct {
	cost
	salt, hash []byte
}

func (p phc) String() string {
	e := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.lanes, e(p.salt), e(p.hash))
}

// parsePHC reads a hash, in the one form that String writes it.
func parsePHC(s string) (p phc, err error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v=19" {
		return p, errors.New("the hash is not of the form $argon2id$v=19$m=65536,t=3,p=4$salt$hash; `midwatch user passwd` writes one")
	}
	params := strings.Split(f[3], ",")
	if len(params) != 3 {
		return p, errors.New("the hash's parameters are not m, t and p")
	}
	var n [3]uint32
	for i, limit := range []struct {
		name     string
		min, max uint64
	}{{"m=", minMemory, maxMemory}, {"t=", 1, maxTime}, {"p=", 1, maxLanes}} {
		v, ok := strings.CutPrefix(params[i], limit.name)
		x, err := strconv.ParseUint(v, 10, 32)
		if !ok || err != nil || v != strconv.FormatUint(x, 10) || x < limit.min || x > limit.max {
			return p, fmt.Errorf("the hash's parameter %.20q is not %s%d to %d", params[i], limit.name, limit.min, limit.max)
		}
		n[i] = uint32(x)
	}
	p.cost = cost{n[0], n[1], uint8(n[2])}
	enc := base64.RawStdEncoding.Strict()
	if p.salt, err = enc.DecodeString(f[4]); err != nil || len(p.salt) < minSalt || len(p.salt) > maxSalt || strings.ContainsAny(f[4], "\r\n") {
		return p, fmt.Errorf("the hash's salt is not %d to %d bytes in base64 without padding", minSalt, maxSalt)
	}
	if p.hash, err = enc.DecodeString(f[5]); err != nil || len(p.hash) < minHash || len(p.hash) > maxHash || strings.ContainsAny(f[5], "\r\n") {
		return p, fmt.Errorf("the hash is not %d to %d bytes in base64 without padding", minHash, maxHash)
	}
	return p, nil
}

// derive is what a password comes to. Keyboards write one letter in several
// ways, so that it is brought to one first.
func (p phc) derive(password string) []byte {
	return argon2.IDKey([]byte(norm.NFC.String(password)), p.salt, p.time, p.memory, p.lanes, uint32(len(p.hash)))
}

func (p phc) matches(password string) bool {
	return subtle.ConstantTimeCompare(p.derive(password), p.hash) == 1
}

func hashPassword(password string, c cost) phc {
	p := phc{cost: c, salt: make([]byte, minSalt), hash: make([]byte, minHash)}
	_, _ = rand.Read(p.salt) // never fails
	p.hash = p.derive(password)
	return p
}

// Passwords are of this length, in characters, and no longer than maxPassword
// bytes.
const (
	MinPassword = 12
	maxPassword = 1024
)

// CheckPassword says what a password lacks. Nothing is asked of its characters:
// that makes passwords worse.
func CheckPassword(name, password string) error {
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("a password is of characters that can be typed into a form")
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("a password has at least %d characters", MinPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("a password has at most %d bytes", maxPassword)
	case strings.EqualFold(password, name):
		return errors.New("the password is the name")
	}
	return nil
}
