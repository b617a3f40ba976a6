// Package graphtest is a stand-in for Microsoft Graph, for tests: a server on
// loopback that keeps the state of tenants, pages, throttles, fails in the middle,
// checks permissions and shows changes late.
//
// What requests there are and which permissions they want is Microsoft's own
// description (published.csv), and so are the members of bodies (properties.csv).
// A request that is not in there is refused and remembered. How the service
// behaves where the description is silent is ours: error texts, what is
// consistent when, what a list without order returns.
package graphtest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Faults are what goes wrong, each at every n-th request; 0: never.
type Faults struct {
	Throttle int // 429 with Retry-After, nothing done
	Busy     int // 503, nothing done
	Break    int // a change is made, the answer is 500
	Cut      int // a change is made, the connection ends without an answer
	Lag      int // reads after a change that do not see it
	Page     int // items of a page; 0: 2
}

// Seen is a request that the server got.
type Seen struct {
	Method, Path, Query, Tenant string
	Status                      int
}

// Server is the stand-in.
type Server struct {
	*httptest.Server

	Faults   Faults
	Hook     func(n int, method, path string) // before the n-th request to Graph is served, from 1; may be nil
	Lacking  map[string][]string              // tenant -> application permissions that its tokens lack
	Strange  []string                         // tenants that give no token
	AppID    string                           // of the application that signs in
	password string

	mu        sync.Mutex
	tenants   map[string]*Tenant
	published []published
	members   map[string][]string
	n, writes int
	clock     time.Time
	seen      []Seen
	unknown   []string // requests and members that are not published
}

// New starts a server whose clock begins at a moment and moves on by a second
// with every change.
func New(begin time.Time) *Server {
	s := &Server{tenants: map[string]*Tenant{}, clock: begin.UTC(), AppID: ID("midwatch"), Lacking: map[string][]string{}, password: rand.Text()}
	s.published, s.members = readPublished()
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	return s
}

// Certificate is the server's, as PEM.
func (s *Server) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Server.Certificate().Raw})
}

// Secret is the client secret with which the token endpoint gives tokens.
func (s *Server) Secret() string { return s.password }

// Seen returns the requests so far.
func (s *Server) Seen() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Unknown returns what was sent that Microsoft's description does not have.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// Tenant returns a tenant, made when it is not there.
func (s *Server) Tenant(id string) *Tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenant(id)
}

func (s *Server) tenant(id string) *Tenant {
	if s.tenants[id] == nil {
		s.tenants[id] = &Tenant{ID: id, now: state{}}
	}
	return s.tenants[id]
}

// Do changes a tenant while the server runs.
func (s *Server) Do(tenant string, f func(*Tenant)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.tenant(tenant))
}

// tick is the server's time, a second later each time.
func (s *Server) tick() string {
	s.clock = s.clock.Add(time.Second)
	return s.clock.Format(time.RFC3339)
}

// Token is an access token as the token endpoint gives it.
func (s *Server) Token(tenant string) string {
	var roles []string
	for _, p := range s.published {
		roles = append(roles, p.permissions...)
	}
	slices.Sort(roles)
	roles = slices.DeleteFunc(slices.Compact(roles), func(r string) bool {
		return strings.HasPrefix(r, "Directory.") || r == "User.ReadWrite.All" || slices.Contains(s.Lacking[tenant], r)
	})
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	b, err := json.Marshal(map[string]any{"tid": tenant, "appid": s.AppID, "roles": roles, "exp": s.clock.Add(time.Hour).Unix()})
	if err != nil {
		panic(err) // of strings and a number
	}
	return head + "." + base64.RawURLEncoding.EncodeToString(b) + "." + base64.RawURLEncoding.EncodeToString([]byte(s.password))
}

// serve is the whole server: the token endpoint and Graph.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) > 1 && parts[0] != "v1.0" {
		s.identity(w, r, parts[0])
		return
	}
	s.graph(w, r)
}

// identity is the part of Entra that gives tokens.
func (s *Server) identity(w http.ResponseWriter, r *http.Request, tenant string) {
	base := s.URL + "/" + tenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		answer(w, 200, map[string]any{"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize"})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Contains(s.Strange, tenant) || r.FormValue("client_id") != s.AppID || r.FormValue("client_secret") != s.password {
			answer(w, 401, map[string]any{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
			return
		}
		answer(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": s.Token(tenant)})
	default:
		answer(w, 404, map[string]any{"error": "not_found"})
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if v != nil {
		_ = json.NewEncoder(w).Encode(v) // the connection's end is the test's own doing
	}
}

// failure is Graph's form of an error.
func failure(w http.ResponseWriter, status int, code, format string, args ...any) int {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": fmt.Sprintf(format, args...)}})
	return status
}

// graph serves one request to Graph.
func (s *Server) graph(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0")
	s.mu.Lock()
	s.n++
	n, hook := s.n, s.Hook
	s.mu.Unlock()
	if hook != nil {
		hook(n, r.Method, path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := Seen{Method: r.Method, Path: path, Query: r.URL.Query().Get("$select")}
	defer func() { s.seen = append(s.seen, seen) }()
	tenant, roles := s.claims(r.Header.Get("Authorization"))
	seen.Tenant = tenant
	every := func(k int) bool { return k > 0 && n%k == 0 }
	switch {
	case tenant == "":
		seen.Status = failure(w, 401, "InvalidAuthenticationToken", "Access token is empty or not valid.")
		return
	case every(s.Faults.Throttle):
		w.Header().Set("Retry-After", "1")
		seen.Status = failure(w, 429, "TooManyRequests", "Too many requests")
		return
	case every(s.Faults.Busy):
		seen.Status = failure(w, 503, "ServiceUnavailable", "The service is unavailable.")
		return
	}
	p, ok := s.describe(r.Method, path)
	if !ok {
		s.unknown = append(s.unknown, r.Method+" "+path)
		seen.Status = failure(w, 400, "BadRequest", "Resource not found for the segment")
		return
	}
	if !slices.ContainsFunc(p.permissions, func(q string) bool { return slices.Contains(roles, q) }) {
		seen.Status = failure(w, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
		return
	}
	t := s.tenant(tenant)
	if r.Method == http.MethodGet {
		seen.Status = s.read(w, r, t, path)
		return
	}
	var body object
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			seen.Status = failure(w, 400, "BadRequest", "Unable to read JSON request payload.")
			return
		}
	}
	// The answer is held back until it is known whether it is one.
	rec := httptest.NewRecorder()
	before := t.now.clone()
	seen.Status = s.write(rec, r.Method, t, path, body)
	if seen.Status < 300 {
		s.writes++
		t.audit(s.tick(), r.Method+" "+path, "", s.AppID)
		if s.Faults.Lag > 0 {
			if t.lag == 0 {
				t.old = before
			}
			t.lag = s.Faults.Lag
		}
		if s.Faults.Cut > 0 && s.writes%s.Faults.Cut == 0 {
			panic(http.ErrAbortHandler) // ends the connection
		}
		if s.Faults.Break > 0 && s.writes%s.Faults.Break == 0 {
			seen.Status = failure(w, 500, "InternalServerError", "An internal error occurred.")
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// claims reads a token that this server made.
func (s *Server) claims(header string) (tenant string, roles []string) {
	parts := strings.Split(strings.TrimPrefix(header, "Bearer "), ".")
	if len(parts) != 3 || parts[2] != base64.RawURLEncoding.EncodeToString([]byte(s.password)) {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", nil
	}
	var c struct {
		Tenant string   `json:"tid"`
		Roles  []string `json:"roles"`
	}
	if json.Unmarshal(b, &c) != nil {
		return "", nil
	}
	return c.Tenant, c.Roles
}
