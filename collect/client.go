package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"midwatch/report"
)

// Tokens gives an access token for a service, by its scope. It is asked before
// every request and keeps tokens itself.
type Tokens func(ctx context.Context, scope string) (string, error)

// Client asks services, as patiently as they want.
type Client struct {
	HTTP   *http.Client
	Tokens Tokens
	Log    *slog.Logger
	Now    func() time.Time
	// Sleep waits; it may be nil. Tests do not wait.
	Sleep func(context.Context, time.Duration) error
	// Tries is how often a request is sent at most; default 8.
	Tries int
	// MostAnswer bounds an answer; default 256 MiB.
	MostAnswer int64
}

// Error is an answer that is none of success.
type Error struct {
	Request string
	Status  int
	Text    string // the service's; it may hold names
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: status %d", e.Request, e.Status)
	if e.Text != "" {
		s += ": " + e.Text
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		s += "; the application lacks the permission, or the tenant the licence (docs/COLLECT.md)"
	}
	return s
}

// Denied reports that the service will not give it, however often it is asked.
func Denied(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusNotFound)
}

// request is what is sent.
type request struct {
	method, url, scope string
	body               []byte
}

// do sends a request until there is an answer that counts.
func (c *Client) do(ctx context.Context, r request) (body []byte, header http.Header, err error) {
	tries := c.Tries
	if tries == 0 {
		tries = 8
	}
	for try := 1; ; try++ {
		var after time.Duration
		body, header, after, err = c.once(ctx, r)
		if err == nil || ctx.Err() != nil {
			return body, header, err
		}
		var e *Error
		if errors.As(err, &e) && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout && e.Status/100 != 5 {
			return nil, nil, err
		}
		if try == tries {
			return nil, nil, fmt.Errorf("given up after %d tries: %w", tries, err)
		}
		if after == 0 {
			after = min(time.Second<<(try-1), time.Minute)
		}
		c.Log.Warn("asked to come again later", "request", shown(r), "in", after, "try", try, "error", err)
		if err := c.sleep(ctx, after); err != nil {
			return nil, nil, err
		}
	}
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (c *Client) once(ctx context.Context, r request) (body []byte, header http.Header, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, nil, 0, err
	}
	token, err := c.Tokens(ctx, r.scope)
	if err != nil {
		return nil, nil, 0, &Error{Request: shown(r), Status: http.StatusUnauthorized, Text: err.Error()}
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("Accept", "application/json")
	q.Header.Set("User-Agent", "midwatch")
	if r.body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	a, err := c.HTTP.Do(q)
	if err != nil {
		return nil, nil, 0, err
	}
	defer a.Body.Close() //nolint:errcheck // read only
	most := c.MostAnswer
	if most == 0 {
		most = 256 << 20
	}
	body, err = io.ReadAll(io.LimitReader(a.Body, most+1))
	switch {
	case err != nil: // cut off: half an answer is none
		return nil, nil, 0, fmt.Errorf("%s: the answer was cut off: %w", shown(r), err)
	case int64(len(body)) > most:
		return nil, nil, 0, &Error{Request: shown(r), Status: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("an answer of more than %d bytes", most)}
	case a.StatusCode/100 != 2:
		return nil, nil, retryAfter(a.Header.Get("Retry-After"), c.Now()), &Error{Request: shown(r), Status: a.StatusCode, Text: report.Clean(string(body[:min(len(body), 300)]))}
	}
	return body, a.Header, 0, nil
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, time.Hour)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(t.Sub(now), time.Second), time.Hour)
	}
	return 0
}

// shown is a request without what is secret: tokens are in no address of ours.
func shown(r request) string { return r.method + " " + report.Clean(r.url) }

// pages follows links from page to page. A link leads on in the same service, or
// nowhere: the token goes with it. One that was there before is a circle.
func (c *Client) pages(ctx context.Context, r request, got func(Answer) error, next func(body []byte, h http.Header) (string, error)) error {
	base, err := url.Parse(r.url)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for {
		seen[r.url] = true
		body, h, err := c.do(ctx, r)
		if err != nil {
			return err
		}
		if err := got(Answer{Request: shown(r), Body: body}); err != nil {
			return err
		}
		link, err := next(body, h)
		if err != nil {
			return fmt.Errorf("%s: %w", shown(r), err)
		}
		if link == "" {
			return nil
		}
		u, err := base.Parse(link)
		switch {
		case err != nil:
			return fmt.Errorf("%s: the link to the next page cannot be read", shown(r))
		case u.Scheme != base.Scheme || u.Host != base.Host:
			return fmt.Errorf("%s: the link to the next page leads to %s; the token does not go there", shown(r), report.Clean(u.Host))
		case seen[u.String()]:
			return fmt.Errorf("%s: the links to further pages lead in a circle", shown(r))
		}
		r.url = u.String()
	}
}
