// Package graph carries a containment plan out through Microsoft Graph.
//
// It is careful in four ways. What is to be changed is read before, and what is
// so already is left alone. Each request is held against the plan's step and is
// refused when the step does not name it. Before the first change of a step what
// will be changed, and what it was before, is written down where a crash does
// not lose it. And a step counts as done when the change is seen, not when it
// was accepted: Graph shows changes some reads later.
//
// Tokens and passwords are in no error, no record and no log of this package.
package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tokens gives access tokens for Microsoft Graph in a tenant. It is asked
// before every request and keeps tokens itself.
type Tokens interface {
	Token(ctx context.Context, tenant string) (string, error)
}

// Client talks to Graph in one tenant.
type Client struct {
	base   string // https://graph.microsoft.com
	tenant string
	http   *http.Client
	tokens Tokens
	sleep  func(context.Context, time.Duration) error
	tries  int // of one request
}

// Error is an answer that is none of success.
type Error struct {
	Method, Path string
	Status       int
	Code         string // Graph's
	Message      string // Graph's; may hold names from the tenant
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: status %d, %s: %s", e.Method, e.Path, e.Status, e.Code, e.Message)
}

// errUnsure is a change of which nobody knows whether it was made: the
// connection or the service failed after the request was sent.
var errUnsure = errors.New("no answer says whether it was done")

// gone reports that the object is not there.
func gone(err error) bool {
	var e *Error
	// A mailbox that Graph cannot open, on premises or without a licence, is not
	// one that is not there.
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusGone) && e.Code != "MailboxNotEnabledForRESTAPI"
}

// denied reports that a permission or a role is missing.
func denied(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized)
}

// maxAnswer bounds an answer, maxPages a list: a tenant's rules and grants of one
// object are far below both.
const (
	maxAnswer = 32 << 20
	maxPages  = 10_000
)

// get reads one object into a value.
func (c *Client) get(ctx context.Context, path string, into any) error {
	b, err := c.do(ctx, http.MethodGet, path, nil, true)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("GET %s: the answer is no JSON of that form: %w", path, err)
	}
	return nil
}

// list reads all pages of a collection.
func (c *Client) list(ctx context.Context, path string) ([]json.RawMessage, error) {
	out := []json.RawMessage{}
	seen := map[string]bool{}
	for range maxPages {
		var page struct {
			Value []json.RawMessage `json:"value"`
			Next  string            `json:"@odata.nextLink"`
		}
		if err := c.get(ctx, path, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Value...)
		if page.Next == "" {
			return out, nil
		}
		// A link leads on in the same service, or nowhere: the token goes with it.
		next, ok := strings.CutPrefix(page.Next, c.base+"/v1.0/")
		if !ok || seen[next] {
			return nil, fmt.Errorf("GET %s: the link to the next page leads elsewhere or in a circle", path)
		}
		seen[next] = true
		path = "/" + next
	}
	return nil, fmt.Errorf("GET %s: more than %d pages", path, maxPages)
}

// do sends a request until there is an answer that counts. One that may be
// repeated is repeated whatever failed: a read, and a change that made twice is
// the same as once. Another is repeated only when it was certainly not carried
// out; if that is open the error wraps [errUnsure] and the caller looks.
func (c *Client) do(ctx context.Context, method, path string, body []byte, repeat bool) ([]byte, error) {
	var last error
	for try := range c.tries {
		if try > 0 {
			if err := c.sleep(ctx, c.pause(last, try)); err != nil {
				return nil, err
			}
		}
		answer, err := c.once(ctx, method, path, body)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		last = err
		var e *Error
		var r *retry
		switch {
		case errors.As(err, &r) && (r.refused || repeat):
			continue
		case errors.As(err, &r):
			return nil, fmt.Errorf("%w: %w", errUnsure, err)
		case errors.As(err, &e):
			return nil, err
		}
		return nil, err
	}
	if method != http.MethodGet {
		return nil, fmt.Errorf("%w: given up after %d tries: %w", errUnsure, c.tries, last)
	}
	return nil, fmt.Errorf("given up after %d tries: %w", c.tries, last)
}

// retry is a failure that may pass.
type retry struct {
	err     error
	refused bool          // the request was certainly not carried out
	after   time.Duration // that the service asks for
}

func (r *retry) Error() string { return r.err.Error() }
func (r *retry) Unwrap() error { return r.err }

// pause is how long to wait: as long as the service asks, at most ten minutes,
// or ever longer; never in step with others.
func (c *Client) pause(last error, try int) time.Duration {
	wait := min(time.Second<<min(try-1, 5), 30*time.Second)
	var r *retry
	if errors.As(last, &r) && r.after > 0 {
		return min(r.after, 10*time.Minute) + rand.N(time.Second)
	}
	return wait/2 + rand.N(wait)
}

func (c *Client) once(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	token, err := c.tokens.Token(ctx, c.tenant)
	if err != nil {
		return nil, fmt.Errorf("sign in to tenant %s: %w", c.tenant, err)
	}
	where, query, _ := strings.Cut(path, "?")
	target := c.base + "/v1.0" + where
	if query != "" {
		target += "?" + escapeQuery(query)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, &retry{err: fmt.Errorf("%s %s: %w", method, path, err)}
	}
	defer res.Body.Close() //nolint:errcheck // read only
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, &retry{err: fmt.Errorf("%s %s: %w", method, path, err)}
	}
	if res.StatusCode < 300 {
		return answer, nil
	}
	e := &Error{Method: method, Path: path, Status: res.StatusCode}
	var said struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(answer, &said) // a proxy's page has none: the status says enough
	e.Code, e.Message = said.Error.Code, said.Error.Message
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return nil, &retry{e, true, after(res.Header)}
	case http.StatusServiceUnavailable:
		// Throttling says when to come back; without that nobody knows.
		wait := after(res.Header)
		return nil, &retry{e, wait > 0, wait}
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return nil, &retry{e, false, after(res.Header)}
	}
	return nil, e
}

// escapeQuery writes the blanks and quotes of a filter as a URL has them.
func escapeQuery(q string) string {
	return strings.NewReplacer(" ", "%20", "'", "%27", "\"", "%22").Replace(q)
}

// after reads Retry-After, in seconds. A date would need a clock that agrees
// with the service's; Graph sends seconds.
func after(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}

// claims is what a token says of whoever signed in.
type claims struct {
	Roles []string `json:"roles"` // application permissions
	Scope string   `json:"scp"`   // or the scopes of a person
	App   string   `json:"appid"`
	ID    string   `json:"oid"` // of the account, or of the service principal
	Name  string   `json:"upn"`
}

// have lists the permissions.
func (c *claims) have() []string { return append(c.Roles, strings.Fields(c.Scope)...) }

// self reports that a step is about whoever signed in.
func (c *claims) self(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		return id != "" && (strings.EqualFold(id, c.App) || strings.EqualFold(id, c.ID) || strings.EqualFold(id, c.Name))
	})
}

// readToken reads what a token says. Graph alone judges tokens; this is to say
// what is missing before anything was done. ok is false when it cannot be read.
func readToken(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &c) != nil {
		return claims{}, false
	}
	return c, true
}

// satisfies reports whether a permission, or one that holds it, is there.
func satisfies(have []string, need string) bool {
	if slices.Contains(have, need) {
		return true
	}
	for _, more := range wider()[need] {
		if slices.Contains(have, more) {
			return true
		}
	}
	return false
}

// wider lists permissions that hold others, for the requests that a plan makes
// (https://learn.microsoft.com/graph/permissions-reference).
func wider() map[string][]string {
	return map[string][]string{
		"User.Read.All":                          {"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		"User.EnableDisableAccount.All":          {"User.ReadWrite.All", "Directory.ReadWrite.All"},
		"User-PasswordProfile.ReadWrite.All":     {"User.ReadWrite.All", "Directory.ReadWrite.All"},
		"User.RevokeSessions.All":                {"User.ReadWrite.All", "Directory.ReadWrite.All"},
		"Application.Read.All":                   {"Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		"DelegatedPermissionGrant.ReadWrite.All": {"Directory.ReadWrite.All"},
		"Device.ReadWrite.All":                   {"Directory.ReadWrite.All", "Directory.AccessAsUser.All"},
		"AuditLog.Read.All":                      {"Directory.Read.All"},
	}
}
