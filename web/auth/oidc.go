package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// callbackPath is where an issuer sends browsers back to.
const callbackPath = "/login/oidc/callback"

// OIDCConfig is what an organization says of its issuer.
type OIDCConfig struct {
	Issuer       string // as its tokens have it; of Entra ID that of one tenant
	ClientID     string
	ClientSecret string // from the environment or a file ([SecretFile]), never a flag; empty for a public client
	RedirectURL  string // whole, as the issuer has it; its path is /login/oidc/callback

	NameClaim string          // what users are called by; preferred_username if empty
	RoleClaim string          // what their roles are in, a text or a list of texts; roles if empty
	Roles     map[string]Role // value of that claim -> role; of several the highest counts
	Scopes    []string        // besides openid; profile and email if nil
}

// OIDC is the way in through an OpenID Connect issuer: the authorization code
// flow with PKCE. What a browser carries between its beginning and its end is in
// a cookie that is encrypted, so that who begins flows and leaves them fills
// nothing up.
type OIDC struct {
	c        OIDCConfig
	now      func() time.Time
	client   *http.Client
	redirect *url.URL
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	seal     cipher.AEAD

	mu   sync.Mutex
	used map[string]time.Time // states that came back, until they would expire
}

// flowLife is how long somebody may take at the issuer.
const flowLife = 10 * time.Minute

// NewOIDC asks the issuer for its endpoints. client may be nil.
func NewOIDC(ctx context.Context, c OIDCConfig, now func() time.Time, client *http.Client) (*OIDC, error) {
	bad := func(format string, args ...any) (*OIDC, error) {
		return nil, fmt.Errorf("OpenID Connect: "+format, args...)
	}
	if c.NameClaim == "" {
		c.NameClaim = "preferred_username"
	}
	if c.RoleClaim == "" {
		c.RoleClaim = "roles"
	}
	if c.Scopes == nil {
		c.Scopes = []string{oidc.ScopeProfile, oidc.ScopeEmail}
	}
	if c.ClientID == "" {
		return bad("the client id is missing")
	}
	if len(c.Roles) == 0 {
		return bad("no value of the claim %s is a role, so that nobody could come in; give one, as Midwatch.Responder=responder", c.RoleClaim)
	}
	for v, r := range c.Roles {
		if v == "" || !slices.Contains(Roles(), r) {
			return bad("the value %q of the claim %s has no role", v, c.RoleClaim)
		}
	}
	c.Roles = maps.Clone(c.Roles)
	if _, err := overTLS(c.Issuer); err != nil {
		return bad("issuer: %w", err)
	}
	redirect, err := overTLS(c.RedirectURL)
	if err != nil {
		return bad("redirect URL: %w", err)
	}
	if redirect.Path != callbackPath || redirect.RawQuery != "" || redirect.Fragment != "" {
		return bad("redirect URL %s: its path is %s and nothing follows it", redirect, callbackPath)
	}
	if client == nil {
		client = &http.Client{Timeout: 15 * time.Second}
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, client), c.Issuer)
	if err != nil {
		return bad("%w; is %s the issuer, of one tenant, and can it be reached?", err, c.Issuer)
	}
	for _, u := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL} {
		if _, err := overTLS(u); err != nil {
			return bad("an endpoint of the issuer: %w", err)
		}
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return bad("%w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return bad("%w", err)
	}
	return &OIDC{
		c: c, now: now, client: client, redirect: redirect, seal: seal, used: map[string]time.Time{},
		oauth: oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: c.RedirectURL,
			Scopes: append([]string{oidc.ScopeOpenID}, c.Scopes...),
		},
		verifier: p.VerifierContext(oidc.ClientContext(context.WithoutCancel(ctx), client), &oidc.Config{ClientID: c.ClientID, Now: now}),
	}, nil
}

// overTLS wants an address of https, or of this machine.
func overTLS(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no address", s)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return nil, fmt.Errorf("%s is not https", s)
	}
	return u, nil
}

// flow is what a browser carries while it is at the issuer.
type flow struct {
	State, Nonce, Verifier, Next string
	Expires                      time.Time
}

func (o *OIDC) pack(f flow) (string, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(o.seal.Seal(nil, nil, b, nil)), nil
}

func (o *OIDC) unpack(s string) (f flow, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || s == "" {
		return f, false
	}
	if b, err = o.seal.Open(nil, nil, b, nil); err != nil {
		return f, false
	}
	return f, json.Unmarshal(b, &f) == nil && o.now().Before(f.Expires)
}

// once reports whether a state comes back for the first time.
func (o *OIDC) once(f flow) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s, expires := range o.used { // there are as many as logins in ten minutes
		if !o.now().Before(expires) {
			delete(o.used, s)
		}
	}
	_, twice := o.used[f.State]
	o.used[f.State] = f.Expires
	return !twice
}

// getOIDC sends a browser to the issuer.
func (g *Guard) getOIDC(w http.ResponseWriter, r *http.Request) {
	o := g.o.OIDC
	if !g.allow(w, r, g.byFlow, neighborhood(remote(r)), User{Via: ViaOIDC}) {
		return
	}
	next, _ := LocalPath(r.URL.Query().Get("next"))
	if !strings.EqualFold(r.Host, o.redirect.Host) {
		// The cookie has to be of the host that the issuer sends back to.
		to := url.URL{Scheme: o.redirect.Scheme, Host: o.redirect.Host, Path: "/login/oidc", RawQuery: url.Values{"next": {next}}.Encode()}
		g.redirect(w, to.String())
		return
	}
	f := flow{secret(), secret(), oauth2.GenerateVerifier(), next, o.now().Add(flowLife)}
	packed, err := o.pack(f)
	if err != nil {
		g.refuse(w, r, http.StatusInternalServerError, "the login cannot begin")
		return
	}
	g.cookies.set(w, g.cookies.flow, packed, flowLife)
	g.redirect(w, o.oauth.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)))
}

// getCallback takes a browser back from the issuer.
func (g *Guard) getCallback(w http.ResponseWriter, r *http.Request) {
	o := g.o.OIDC
	if !g.allow(w, r, g.byFlow, neighborhood(remote(r)), User{Via: ViaOIDC}) {
		return
	}
	f, ok := o.unpack(cookie(r, g.cookies.flow))
	q := r.URL.Query()
	if !ok || !same(q.Get("state"), f.State) {
		// Nothing of ours goes: it may be somebody else's link that was followed.
		g.flowFailed(w, r, http.StatusBadRequest, User{}, "/", "the answer belongs to no login that this browser began here within ten minutes; begin again", "state")
		return
	}
	g.cookies.set(w, g.cookies.flow, "", -1)
	if !o.once(f) {
		g.flowFailed(w, r, http.StatusBadRequest, User{}, f.Next, "the answer was used already; begin again", "replayed")
		return
	}
	if e := q.Get("error"); e != "" {
		if len(e) > 40 || strings.Trim(e, "abcdefghijklmnopqrstuvwxyz_") != "" {
			e = "an error"
		}
		g.flowFailed(w, r, http.StatusForbidden, User{}, f.Next, "the identity provider refused the login: "+e, e)
		return
	}
	if iss := q.Get("iss"); iss != "" && iss != o.c.Issuer { // RFC 9207
		g.flowFailed(w, r, http.StatusBadRequest, User{}, f.Next, "the answer is of another identity provider", "iss")
		return
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), o.client), 20*time.Second)
	defer cancel()
	u, err := o.user(ctx, f, q.Get("code"))
	var norole *noRoleError
	switch {
	case errors.As(err, &norole):
		g.flowFailed(w, r, http.StatusForbidden, u, f.Next, norole.Error(), "no role")
	case err != nil:
		g.flowFailed(w, r, http.StatusForbidden, u, f.Next, "the identity provider's answer was not accepted; the server's log says why", err.Error())
	default:
		g.begin(w, r, u, digest{}, f.Next)
	}
}

func (g *Guard) flowFailed(w http.ResponseWriter, r *http.Request, status int, u User, next, say, reason string) {
	u.Via = ViaOIDC
	g.record(r, Event{Action: Failed, User: u, Reason: reason})
	g.form(w, r, status, LoginPage{Error: say, Next: next})
}

// noRoleError is of somebody who is who they say and has no business here.
type noRoleError struct{ name, why string }

func (e *noRoleError) Error() string {
	return fmt.Sprintf("you are %s, and that account has no role in Midwatch%s; who administers it gives roles", e.name, e.why)
}

// user exchanges a code for a token and says whose it is.
func (o *OIDC) user(ctx context.Context, f flow, code string) (User, error) {
	if code == "" {
		return User{}, errors.New("there is no code")
	}
	t, err := o.oauth.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) { // its text may hold more than an error
			return User{}, fmt.Errorf("the code was refused: %.40q, status %d", refused.ErrorCode, refused.Response.StatusCode)
		}
		return User{}, fmt.Errorf("exchange of the code: %w", err)
	}
	raw, _ := t.Extra("id_token").(string)
	if raw == "" {
		return User{}, errors.New("there is no id token")
	}
	id, err := o.verifier.Verify(ctx, raw) // signature, issuer, audience, expiry
	if err != nil {
		return User{}, err
	}
	if !same(id.Nonce, f.Nonce) {
		return User{}, errors.New("the id token is of another login: nonce")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(t.AccessToken); err != nil {
			return User{}, err
		}
	}
	var claims map[string]json.RawMessage
	if err := id.Claims(&claims); err != nil {
		return User{}, err
	}
	var azp string
	_ = json.Unmarshal(claims["azp"], &azp) // not there, or not a text
	if _, there := claims["azp"]; (there || len(id.Audience) > 1) && azp != o.c.ClientID {
		return User{}, errors.New("the id token was issued to another client: azp")
	}
	return o.whose(id.Subject, claims)
}

// whose reads name and role from the claims of a token that was verified.
func (o *OIDC) whose(subject string, claims map[string]json.RawMessage) (User, error) {
	u := User{Via: ViaOIDC, Subject: subject}
	if subject == "" || len(subject) > 256 {
		return u, errors.New("the id token has no subject")
	}
	var name string
	if err := json.Unmarshal(claims[o.c.NameClaim], &name); err != nil || !printable(name) {
		return u, fmt.Errorf("the id token has no name in the claim %s that can be written down", o.c.NameClaim)
	}
	if o.c.NameClaim == "email" && !isTrue(claims["email_verified"]) {
		return u, errors.New("the issuer does not say that the email address is verified; take another claim for the name")
	}
	u.Name = name
	values, err := texts(claims[o.c.RoleClaim])
	if err != nil {
		return u, fmt.Errorf("the claim %s: %w", o.c.RoleClaim, err)
	}
	for _, v := range values {
		u.Role = max(u.Role, o.c.Roles[v])
	}
	if u.Role == 0 {
		var elsewhere map[string]string
		why := ""
		if json.Unmarshal(claims["_claim_names"], &elsewhere) == nil && elsewhere[o.c.RoleClaim] != "" {
			why = fmt.Sprintf(" that could be seen (it is in too many groups for the claim %s; app roles have no such limit)", o.c.RoleClaim)
		}
		return u, &noRoleError{name, why}
	}
	return u, nil
}

// texts reads a claim that is a text, a list of texts, or not there.
func texts(b json.RawMessage) ([]string, error) {
	if b == nil {
		return nil, nil
	}
	var one string
	if json.Unmarshal(b, &one) == nil {
		return []string{one}, nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, errors.New("it is neither a text nor a list of texts")
	}
	return list, nil
}

func isTrue(b json.RawMessage) bool { return string(b) == "true" || string(b) == `"true"` }

// printable reports whether a name can be shown without deceiving anybody.
func printable(s string) bool {
	return strings.TrimSpace(s) != "" && len(s) <= 256 && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}
