package auth

import (
	"errors"
	"sync"
	"time"
)

// OneTime is the way in of who started the server: a token that is printed as
// part of an address, good for one login within ten minutes.
//
// The token is in the query of /login, whose page has one button that posts it.
// Looking at the address therefore uses nothing up: not a browser that fetches
// ahead, not a scanner that follows links, not a HEAD. It works without scripts,
// which a token behind # would not. That an address comes to be in a browser's
// history matters little when it is worth nothing after its use, and no Referer
// leaves our pages.
type OneTime struct {
	now  func() time.Time
	name string
	ttl  time.Duration

	mu      sync.Mutex
	token   digest
	expires time.Time
	used    bool
}

// oneTimeLife is how long a token may lie unused.
const oneTimeLife = 10 * time.Minute

// NewOneTime returns a way in for the user of that name, who becomes a
// responder, and its first token.
func NewOneTime(now func() time.Time, name string) (o *OneTime, token string) {
	o = &OneTime{now: now, name: name, ttl: oneTimeLife}
	return o, o.Renew()
}

// Renew returns a token that takes the place of the one before.
func (o *OneTime) Renew() string {
	t := secret()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.token, o.expires, o.used = digestOf(t), o.now().Add(o.ttl), false
	return t
}

// Why a token is refused. The first two are told only to who has the token.
var (
	errTokenUsed    = errors.New("this link was used already; if that was not you, stop the server, and ask who can read its output")
	errTokenExpired = errors.New("this link has expired; start the server again for a new one")
	errTokenWrong   = errors.New("this link is not valid; use the one that the server printed last")
)

// use takes the token, once.
func (o *OneTime) use(token string) (User, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := digestOf(token)
	switch {
	case !same(string(d[:]), string(o.token[:])):
		return User{}, errTokenWrong
	case o.used:
		return User{}, errTokenUsed
	case !o.now().Before(o.expires):
		return User{}, errTokenExpired
	}
	o.used = true
	return User{Name: o.name, Role: Responder, Via: ViaToken}, nil
}
