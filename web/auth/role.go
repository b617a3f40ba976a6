// Package auth decides who may come in to the web interface, and as what.
//
// There are three ways in. A token that the server prints when it starts makes
// its operator a user, on loopback only ([OneTime]). A file holds names, roles
// and hashes of passwords ([Users]). An OpenID Connect issuer says who somebody
// is and what they are for ([OIDC]). Each ends in a session of ours, which lives
// in memory and dies with the process.
//
// [Guard] has the handlers and the middleware. [Guard.Protect] goes around
// everything, [Guard.Require] around what is not for everybody. The package
// draws no page: [Options.Page] does, from a [LoginPage].
//
// What it does not do: it keeps no passwords in clear, reads no mail and logs
// neither tokens nor what somebody typed for a name that is unknown (people type
// passwords there). It trusts no header that a proxy may set: behind one, all
// requests are of the proxy's address.
package auth

import (
	"context"
	"fmt"
	"strings"
)

// Role is what somebody may do. Each includes those below it.
type Role int

// The roles, ordered. The zero value may do nothing.
const (
	Viewer    Role = iota + 1 // sees the case
	Analyst                   // besides: sees what mail holds, writes down decisions
	Responder                 // besides: acts against the actor
)

// Roles lists the roles, the least first.
func Roles() []Role { return []Role{Viewer, Analyst, Responder} }

func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Analyst:
		return "analyst"
	case Responder:
		return "responder"
	}
	return "none"
}

// MarshalText writes the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ParseRole reads the name of a role, as [Role.String] has it.
func ParseRole(s string) (Role, error) {
	var names []string
	for _, r := range Roles() {
		if s == r.String() {
			return r, nil
		}
		names = append(names, r.String())
	}
	return 0, fmt.Errorf("%.40q is no role; roles are %s", s, strings.Join(names, ", "))
}

// The ways in, in [User.Via].
const (
	ViaToken    = "token"
	ViaPassword = "password"
	ViaOIDC     = "oidc"
)

// User is who somebody is, and how that is known.
type User struct {
	Name    string // as to be shown and written down; of OIDC the configured claim
	Role    Role
	Via     string // [ViaToken], [ViaPassword] or [ViaOIDC]
	Subject string // of OIDC: the claim sub, which stays when a name changes
}

// key names the account that sessions are counted for.
func (u User) key() string {
	if u.Subject != "" {
		return u.Via + "\x00" + u.Subject
	}
	return u.Via + "\x00" + u.Name
}

type contextKey struct{}

// UserFrom returns the user whom [Guard.Require] let through.
func UserFrom(ctx context.Context) (User, bool) {
	s, ok := ctx.Value(contextKey{}).(session)
	return s.user, ok
}

// SessionFrom returns what a session can be told apart by, in logs and in the
// audit: the beginning of a hash, of no use to who wants to come in.
func SessionFrom(ctx context.Context) string {
	s, _ := ctx.Value(contextKey{}).(session)
	return s.short
}
