package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// issuer is a stand-in of an identity provider: discovery, keys, authorization
// and token endpoint, strict about what a client has to send.
type issuer struct {
	t   *testing.T
	srv *httptest.Server
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	now func() time.Time

	mu     sync.Mutex
	codes  map[string]url.Values // what /authorize was asked with
	claims map[string]any        // beside those of every token
	alg    string
	forge  func(claims map[string]any) (token string) // instead of an honest token
	tokens int                                        // requests to /token that were answered
}

const clientID, clientSecret = "midwatch-client", "s3cr3t-of-the-client"

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, rsa: rsaKey, ec: ecKey, codes: map[string]url.Values{}, alg: "RS256",
		claims: map[string]any{"preferred_username": "kim@x.example", "roles": []string{"Midwatch.Analyst"}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.json(w, map[string]any{
			"issuer": i.srv.URL, "authorization_endpoint": i.srv.URL + "/authorize", "token_endpoint": i.srv.URL + "/token", "jwks_uri": i.srv.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"pairwise"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		pub, err := i.ec.PublicKey.Bytes()
		if err != nil {
			t.Error(err)
		}
		i.json(w, map[string]any{"keys": []map[string]any{
			{"kty": "RSA", "kid": "r", "use": "sig", "n": b64(i.rsa.N.Bytes()), "e": b64(big.NewInt(int64(i.rsa.E)).Bytes())},
			{"kty": "EC", "kid": "e", "use": "sig", "crv": "P-256", "x": b64(pub[1:33]), "y": b64(pub[33:])},
		}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != clientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 ||
			!isSecret(q.Get("state")) || !isSecret(q.Get("nonce")) || q.Get("state") == q.Get("nonce") || !slices.Contains(strings.Fields(q.Get("scope")), "openid") || strings.Contains(r.URL.RawQuery, clientSecret) {
			t.Errorf("authorize: %v", q)
		}
		code := secret()
		i.mu.Lock()
		i.codes[code] = q
		i.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {i.srv.URL}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, pw, ok := r.BasicAuth()
		if !ok {
			id, pw = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		q, ok := i.codes[r.PostFormValue("code")]
		delete(i.codes, r.PostFormValue("code"))
		challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !ok || id != clientID || pw != clientSecret || b64(challenge[:]) != q.Get("code_challenge") || r.PostFormValue("redirect_uri") != q.Get("redirect_uri") || r.PostFormValue("grant_type") != "authorization_code" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			i.json(w, map[string]any{"error": "invalid_grant", "error_description": "nothing that a page should show"})
			return
		}
		i.tokens++
		claims := map[string]any{"iss": i.srv.URL, "aud": clientID, "sub": "subject-1", "nonce": q.Get("nonce"), "iat": i.now().Unix(), "exp": i.now().Add(time.Hour).Unix()}
		maps.Copy(claims, i.claims)
		token := i.sign(i.alg, claims)
		if i.forge != nil {
			token = i.forge(claims)
		}
		i.json(w, map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 3600, "id_token": token})
	})
	i.srv = httptest.NewServer(mux)
	t.Cleanup(i.srv.Close)
	return i
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (i *issuer) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		i.t.Error(err)
	}
}

func (i *issuer) unsigned(alg, kid string, claims map[string]any) string {
	h, _ := json.Marshal(map[string]any{"alg": alg, "kid": kid, "typ": "JWT"})
	c, err := json.Marshal(claims)
	if err != nil {
		i.t.Error(err)
	}
	return b64(h) + "." + b64(c)
}

func (i *issuer) sign(alg string, claims map[string]any) string {
	switch alg {
	case "RS256":
		return i.signRSA(i.rsa, "r", claims)
	case "ES256":
		in := i.unsigned(alg, "e", claims)
		d := sha256.Sum256([]byte(in))
		r, s, err := ecdsa.Sign(rand.Reader, i.ec, d[:])
		if err != nil {
			i.t.Error(err)
		}
		return in + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	case "HS256": // with what everybody knows for a key
		in := i.unsigned(alg, "r", claims)
		m := hmac.New(sha256.New, i.rsa.N.Bytes())
		m.Write([]byte(in))
		return in + "." + b64(m.Sum(nil))
	}
	return i.unsigned("none", "r", claims) + "."
}

func (i *issuer) signRSA(key *rsa.PrivateKey, kid string, claims map[string]any) string {
	in := i.unsigned("RS256", kid, claims)
	d := sha256.Sum256([]byte(in))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, d[:])
	if err != nil {
		i.t.Error(err)
	}
	return in + "." + b64(sig)
}

// with is a site whose users come from the issuer.
func (i *issuer) site(t *testing.T, set func(*OIDCConfig)) *site {
	t.Helper()
	return newSite(t, func(o *Options) {
		i.now = o.Now
		c := OIDCConfig{Issuer: i.srv.URL, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: "http://" + o.Addr + callbackPath,
			Roles: map[string]Role{"Midwatch.Viewer": Viewer, "Midwatch.Analyst": Analyst, "Midwatch.Responder": Responder}}
		if set != nil {
			set(&c)
		}
		p, err := NewOIDC(t.Context(), c, o.Now, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.OIDC = p
	})
}

// away goes to the issuer and returns the address that it sends back to.
func (b *browser) away(next string) string {
	b.t.Helper()
	a := b.get("/login/oidc?next=" + url.QueryEscape(next))
	if a.status != 303 {
		b.t.Fatalf("%d %s", a.status, a.body)
	}
	at := b.do(http.MethodGet, a.location, nil)
	if at.status != 302 {
		b.t.Fatalf("issuer: %d %s", at.status, at.body)
	}
	return strings.TrimPrefix(at.location, b.base)
}

func TestOIDC(t *testing.T) {
	i := newIssuer(t)
	s := i.site(t, nil)
	for _, alg := range []string{"RS256", "ES256"} {
		i.alg = alg
		b := s.browser()
		if p := b.get("/login?next=/mail").page; !p.OIDC || p.Password || !p.Form {
			t.Errorf("%+v", p)
		}
		back := b.away("/mail?x=1")
		in := b.get(back)
		want(t, alg, in, 303, "/mail?x=1")
		want(t, alg, b.get("/mail"), 200, "kim@x.example analyst oidc true")
		want(t, alg, b.get("/act"), 403, "responder")
		es := s.actions()
		if len(es) != 1 || es[0].Action != LoggedIn || es[0].User.Subject != "subject-1" {
			t.Errorf("%+v", es)
		}
		if c := in.header.Values("Set-Cookie"); !slices.ContainsFunc(c, func(c string) bool {
			return strings.HasPrefix(c, s.guard.cookies.flow+"=;") && strings.Contains(c, "Max-Age=0")
		}) {
			t.Errorf("%q", c)
		}
	}
	for _, x := range []string{clientSecret, "at"} {
		if strings.Contains(s.log.String(), "="+x) {
			t.Errorf("%s is in the log", x)
		}
	}
}

// Everything about the way there and back that is not as it was begun.
func TestOIDCFlow(t *testing.T) {
	i := newIssuer(t)
	s := i.site(t, nil)
	in := func(b *browser) {
		t.Helper()
		if b.session() != "" {
			t.Error("somebody came in")
		}
	}
	change := func(back, name, value string) string {
		u, _ := url.Parse(back)
		q := u.Query()
		q.Set(name, value)
		u.RawQuery = q.Encode()
		return u.String()
	}
	for name, f := range map[string]func(b *browser, back string) answer{
		"wrong state":     func(b *browser, back string) answer { return b.get(change(back, "state", secret())) },
		"no state":        func(b *browser, back string) answer { return b.get(change(back, "state", "")) },
		"another browser": func(_ *browser, back string) answer { return s.browser().get(back) },
		"another flow":    func(b *browser, back string) answer { b.away("/"); return b.get(back) },
		"too late":        func(b *browser, back string) answer { s.clock.add(flowLife); return b.get(back) },
		"no verifier": func(_ *browser, back string) answer { // who stole state and code has no cookie
			thief := s.browser()
			thief.away("/")
			return thief.get(back)
		},
		"forged cookie": func(_ *browser, back string) answer {
			return s.browser().get(back, "Cookie", s.guard.cookies.flow+"="+b64([]byte(`{"State":"x"}`)))
		},
		"another issuer":  func(b *browser, back string) answer { return b.get(change(back, "iss", "https://evil.example")) },
		"no code":         func(b *browser, back string) answer { return b.get(change(back, "code", "")) },
		"wrong code":      func(b *browser, back string) answer { return b.get(change(back, "code", "x")) },
		"error":           func(b *browser, back string) answer { return b.get(change(back, "error", "access_denied")) },
		"error of markup": func(b *browser, back string) answer { return b.get(change(back, "error", "<script>")) },
		"code of a victim": func(b *browser, back string) answer { // its nonce and challenge are another's
			victim, _ := url.Parse(s.browser().away("/"))
			return b.get(change(back, "code", victim.Query().Get("code")))
		},
	} {
		s.clock.add(time.Minute)
		b := s.browser()
		a := f(b, b.away("/mail"))
		if a.status != 400 && a.status != 403 || !a.page.Form || a.page.Error == "" || strings.Contains(a.body, "script") || strings.Contains(a.body, "nothing that a page") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		in(b)
		if es := s.actions(); len(es) != 1 || es[0].Action != Failed {
			t.Errorf("%s: %+v", name, es)
		}
	}
	// The same answer twice, with the cookie that came with it.
	b := s.browser()
	back := b.away("/mail")
	u, _ := url.Parse(s.base + "/login")
	var flow string
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == s.guard.cookies.flow {
			flow = c.Value
		}
	}
	want(t, "first", b.get(back), 303, "/mail")
	before := i.tokens
	want(t, "again", s.browser().get(back, "Cookie", s.guard.cookies.flow+"="+flow), 400, "used already")
	if i.tokens != before {
		t.Error("the issuer was asked")
	}
	// And the issuer itself takes no code twice, and none without its verifier.
	if len(i.codes) == 0 {
		t.Fatal("no code is left over")
	}
	for code := range i.codes {
		if _, err := s.guard.o.OIDC.user(t.Context(), flowOf(""), code); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("without verifier: %v", err)
		}
		break
	}
}

func flowOf(verifier string) flow { return flow{Verifier: verifier} }

// Every token that is not the issuer's, for us, now, and of this login.
func TestOIDCTokens(t *testing.T) {
	i := newIssuer(t)
	s := i.site(t, nil)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(alg, claim string, value any) func(map[string]any) string {
		return func(c map[string]any) string {
			if c[claim] = value; value == nil {
				delete(c, claim)
			}
			return i.sign(alg, c)
		}
	}
	for name, forge := range map[string]func(map[string]any) string{
		"wrong nonce":       with("RS256", "nonce", secret()),
		"no nonce":          with("RS256", "nonce", nil),
		"another audience":  with("RS256", "aud", "another-client"),
		"no audience":       with("RS256", "aud", nil),
		"another issuer":    with("RS256", "iss", "https://evil.example"),
		"expired":           with("RS256", "exp", s.clock.now().Add(-time.Second).Unix()),
		"no expiry":         with("RS256", "exp", nil),
		"not yet":           with("RS256", "nbf", s.clock.now().Add(time.Hour).Unix()),
		"no subject":        with("RS256", "sub", ""),
		"another's hash":    with("RS256", "at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"another party":     with("RS256", "azp", "another-client"),
		"many, no party":    with("RS256", "aud", []string{clientID, "another-client"}),
		"unsigned":          with("none", "x", 1),
		"HMAC":              with("HS256", "x", 1),
		"key of a stranger": func(c map[string]any) string { return i.signRSA(stranger, "r", c) },
		"unknown key":       func(c map[string]any) string { return i.signRSA(stranger, "s", c) },
		"no signature":      func(c map[string]any) string { return i.unsigned("RS256", "r", c) + "." },
		"changed": func(c map[string]any) string {
			sig := i.sign("RS256", c)
			c["roles"] = []string{"Midwatch.Responder"}
			return i.unsigned("RS256", "r", c) + sig[strings.LastIndexByte(sig, '.'):]
		},
		"none at all":      func(map[string]any) string { return "" },
		"no name":          with("RS256", "preferred_username", nil),
		"name is a number": with("RS256", "preferred_username", 7),
		"name of controls": with("RS256", "preferred_username", "a\u202eb"),
		"long name":        with("RS256", "preferred_username", strings.Repeat("x", 300)),
		"roles of objects": with("RS256", "roles", []any{map[string]any{"a": "b"}}),
	} {
		s.clock.add(time.Minute)
		i.forge = forge
		if name == "expired" {
			i.forge = with("RS256", "exp", s.clock.now().Add(-time.Second).Unix())
		}
		b := s.browser()
		a := b.get(b.away("/mail"))
		want(t, name, a, 403, "was not accepted")
		if b.session() != "" {
			t.Errorf("%s: somebody came in", name)
		}
		if es := s.actions(); len(es) != 1 || es[0].Action != Failed || es[0].Reason == "" {
			t.Errorf("%s: %+v", name, es)
		} else if testing.Verbose() {
			t.Logf("%s: %.120s", name, es[0].Reason)
		}
	}
}

func TestOIDCRoles(t *testing.T) {
	i := newIssuer(t)
	s := i.site(t, nil)
	for name, x := range map[string]struct {
		claims map[string]any
		role   Role
	}{
		"text":          {map[string]any{"roles": "Midwatch.Viewer"}, Viewer},
		"highest":       {map[string]any{"roles": []string{"x", "Midwatch.Responder", "Midwatch.Viewer"}}, Responder},
		"none":          {map[string]any{"roles": []string{}}, 0},
		"of others":     {map[string]any{"roles": []string{"Admin", "midwatch.viewer", "responder"}}, 0},
		"no claim":      {map[string]any{"roles": nil}, 0},
		"another claim": {map[string]any{"roles": nil, "groups": []string{"Midwatch.Responder"}}, 0},
		"too many":      {map[string]any{"roles": nil, "_claim_names": map[string]string{"roles": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://x.example/"}}}, 0},
	} {
		i.claims = map[string]any{"preferred_username": "kim@x.example"}
		maps.Copy(i.claims, x.claims)
		s.clock.add(time.Minute)
		b := s.browser()
		a := b.get(b.away("/"))
		if x.role > 0 {
			want(t, name, a, 303, "/")
			want(t, name, b.get("/"), 200, "kim@x.example "+x.role.String())
			continue
		}
		want(t, name, a, 403, "kim@x.example, and that account has no role")
		if (name == "too many") != strings.Contains(a.page.Error, "too many groups") || b.session() != "" {
			t.Errorf("%s: %s", name, a.page.Error)
		}
	}
	// A mail address is a name only when the issuer says that it is theirs.
	s = i.site(t, func(c *OIDCConfig) {
		c.NameClaim, c.RoleClaim, c.Roles = "email", "groups", map[string]Role{"soc": Analyst}
	})
	for verified, ok := range map[any]bool{true: true, "true": true, false: false, "false": false, nil: false, 1: false} {
		i.claims = map[string]any{"email": "kim@x.example", "groups": []string{"soc"}, "email_verified": verified}
		b := s.browser()
		if a := b.get(b.away("/")); (a.status == 303) != ok {
			t.Errorf("email_verified %v: %d %s", verified, a.status, a.body)
		}
	}
}

// Browsers that come under another of our names are taken to that which the
// issuer sends back to.
func TestOIDCHost(t *testing.T) {
	i := newIssuer(t)
	s := i.site(t, func(c *OIDCConfig) { c.RedirectURL = strings.Replace(c.RedirectURL, "127.0.0.1", "localhost", 1) })
	b := s.browser()
	a := b.get("/login/oidc?next=/mail")
	to := strings.Replace(s.base, "127.0.0.1", "localhost", 1)
	want(t, "other name", a, 303, to+"/login/oidc?next=%2Fmail")
	b.base = to
	want(t, "there", b.get(b.away("/mail")), 303, "/mail")
	want(t, "mail", b.get("/mail"), 200, "kim")
	// Who begins again and again is slowed down.
	for n := range 40 {
		if a := b.get("/login/oidc"); a.status == 429 {
			if n < 20 || a.header.Get("Retry-After") == "" {
				t.Errorf("after %d", n)
			}
			return
		}
	}
	t.Error("nobody is slowed down")
}

func TestOIDCConfig(t *testing.T) {
	i := newIssuer(t)
	good := OIDCConfig{Issuer: i.srv.URL, ClientID: clientID, RedirectURL: "https://watch.x.example" + callbackPath, Roles: map[string]Role{"a": Viewer}}
	p, err := NewOIDC(t.Context(), good, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(t.Context(), Options{Now: time.Now, Addr: "127.0.0.1:1", OIDC: p})
	if err == nil || !strings.Contains(err.Error(), "its scheme") {
		t.Error(err)
	}
	g, err := New(t.Context(), Options{Now: time.Now, Addr: "0.0.0.0:1", TLS: true, OIDC: p})
	if err != nil || !g.hosts.has("watch.x.example") || g.hosts.has("x.example") {
		t.Error(err)
	}
	for want, change := range map[string]func(*OIDCConfig){
		"client id":          func(c *OIDCConfig) { c.ClientID = "" },
		"nobody could come":  func(c *OIDCConfig) { c.Roles = nil },
		"has no role":        func(c *OIDCConfig) { c.Roles = map[string]Role{"a": 9} },
		"\"\" of the claim":  func(c *OIDCConfig) { c.Roles = map[string]Role{"": Viewer} },
		"issuer: \"\"":       func(c *OIDCConfig) { c.Issuer = "" },
		"is not https":       func(c *OIDCConfig) { c.Issuer = "http://login.x.example" },
		"redirect URL: http": func(c *OIDCConfig) { c.RedirectURL = "http://watch.x.example" + callbackPath },
		"its path is":        func(c *OIDCConfig) { c.RedirectURL = "https://watch.x.example/" },
		"nothing follows":    func(c *OIDCConfig) { c.RedirectURL += "?a=b" },
		"did not match":      func(c *OIDCConfig) { c.Issuer += "/" },
		"can it be reached":  func(c *OIDCConfig) { c.Issuer += "/tenant" },
	} {
		c := good
		change(&c)
		if _, err := NewOIDC(t.Context(), c, time.Now, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// Flows that nobody ends fill nothing up.
func TestOIDCMemory(t *testing.T) {
	i := newIssuer(t)
	s := i.site(t, nil)
	for range 25 {
		s.browser().away("/")
	}
	o := s.guard.o.OIDC
	if len(o.used) != 0 || len(s.guard.sessions.of) != 0 {
		t.Error("something is kept")
	}
	for n := range 5 {
		o.once(flow{State: fmt.Sprint(n), Expires: s.clock.now().Add(flowLife)})
		s.clock.add(flowLife)
	}
	if len(o.used) != 1 {
		t.Errorf("%d states are kept", len(o.used))
	}
	packed, err := o.pack(flow{secret(), secret(), secret(), "/" + strings.Repeat("a", 1023), s.clock.now().Add(time.Minute)})
	if err != nil || len(packed) > 3000 {
		t.Errorf("%d bytes: a browser keeps 4096", len(packed))
	}
}
