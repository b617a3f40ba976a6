package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

// secret returns 256 random bits, in 43 characters.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// isSecret reports whether s has the form of one.
func isSecret(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// digest is what is kept of a secret.
type digest = [sha256.Size]byte

func digestOf(s string) digest { return sha256.Sum256([]byte(s)) }

// session is what is known of a browser that came in.
type session struct {
	user        User
	stamp       digest // of the hash of the password that it came in with
	csrf        string
	short       string
	begun, seen time.Time
}

// sessions are those of the process. They are found by the hash of their id, so
// that no id lies in memory, and looking for one takes as long for any guess.
type sessions struct {
	now        func() time.Time
	idle, life time.Duration
	max, each  int // at most, and of one user

	mu sync.Mutex
	of map[digest]*session
}

// begin makes a session and returns its id, which is not kept. A user's oldest
// goes when there are too many of them, and the oldest of all when there are too
// many of all: who comes in is not turned away because others did not leave.
func (s *sessions) begin(u User, stamp digest) (id string, x session) {
	id = secret()
	d, now := digestOf(id), s.now()
	x = session{u, stamp, secret(), hex.EncodeToString(d[:6]), now, now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	s.room(s.each, func(o *session) bool { return o.user.key() == u.key() })
	s.room(s.max, func(*session) bool { return true })
	s.of[d] = &x
	return id, x
}

// room makes room for one more of those that match.
func (s *sessions) room(limit int, match func(*session) bool) {
	for {
		n := 0
		var oldest digest
		var least *session
		for d, x := range s.of {
			if !match(x) {
				continue
			}
			if n++; least == nil || x.seen.Before(least.seen) {
				oldest, least = d, x
			}
		}
		if n < limit {
			return
		}
		delete(s.of, oldest)
	}
}

func (s *sessions) sweep() {
	for d, x := range s.of {
		if s.over(x) {
			delete(s.of, d)
		}
	}
}

func (s *sessions) over(x *session) bool {
	now := s.now()
	return now.Sub(x.seen) >= s.idle || now.Sub(x.begun) >= s.life
}

// find returns the session with an id, and notes that it is in use, if it is.
func (s *sessions) find(id string, use bool) (session, bool) {
	if !isSecret(id) {
		return session{}, false
	}
	d := digestOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[d]
	if x == nil {
		return session{}, false
	}
	if s.over(x) {
		delete(s.of, d)
		return session{}, false
	}
	if use {
		x.seen = s.now()
	}
	return *x, true
}

// end ends the session with an id.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, digestOf(id))
}

// endAll ends those that match and returns how many there were.
func (s *sessions) endAll(match func(User) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	n := 0
	for d, x := range s.of {
		if match(x.user) {
			delete(s.of, d)
			n++
		}
	}
	return n
}

// cookies are the names of ours. Cookies do not know ports: without the port in
// the name, two servers on one host would throw each other's sessions out.
type cookies struct {
	session, form, flow string
	secure              bool
}

func newCookies(tls bool, port string) cookies {
	if tls {
		return cookies{"__Host-midwatch", "__Host-midwatch-form", "__Host-midwatch-oidc", true}
	}
	return cookies{"midwatch_" + port, "midwatch_form_" + port, "midwatch_oidc_" + port, false}
}

// set sets a cookie for age, or as long as the browser runs if that is zero, or
// takes it away if that is negative.
func (c cookies) set(w http.ResponseWriter, name, value string, age time.Duration) {
	seconds := int(age / time.Second)
	if age < 0 {
		seconds = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func cookie(r *http.Request, name string) string {
	// Of two of one name, one was put there by another host or port.
	if cs := r.CookiesNamed(name); len(cs) == 1 {
		return cs[0].Value
	}
	return ""
}
