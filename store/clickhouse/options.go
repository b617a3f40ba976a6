package clickhouse

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// Options say which store to open and how. URL is the only one that is needed.
type Options struct {
	// URL is clickhouse://user@host:9000/database, with further hosts after
	// commas. It takes clickhouse-go's parameters (secure=true,
	// skip_verify=true, dial_timeout=10s, compress=lz4, …) and ours:
	// cluster=NAME makes Distributed tables over the shards of a cluster,
	// ca=FILE is the authority (PEM) that signed the servers' certificates.
	URL string
	// Password is used where URL has none.
	Password string
	// NoRaw leaves the records' bytes out and keeps only file and position.
	NoRaw bool
	// ReadOnly opens a store that exists, for questions only.
	ReadOnly bool
	// Existing opens a store that exists, and makes none.
	Existing bool
	// Patience is how long a failed insert is tried again; default one minute.
	Patience time.Duration

	pace pace // for tests; default usualPace
}

// config is what Options mean.
type config struct {
	driver   *driver.Options
	database string
	cluster  string
	keep     int    // days that events are kept; 0 is what the tables say
	label    string // the URL without password, for people
}

// isDatabase says what a database may be called, so that it needs no quoting;
// clusters are quoted.
func isDatabase(s string) bool { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(s) }
func isCluster(s string) bool  { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`).MatchString(s) }

// parse reads a store's URL. A password that is not escaped moves the parts of
// a URL about, so that a part of it could be taken for the host or the
// database: nothing of such a URL is repeated anywhere.
func parse(raw string) (*url.URL, error) {
	unreadable := errors.New("the store's URL cannot be read; it is clickhouse://user@host:9000/database, and a password with special characters belongs into MIDWATCH_STORE_PASSWORD (or is escaped, as p%40ss for p@ss)")
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Path+u.Fragment, "@") || strings.Contains(raw, "#") {
		return nil, unreadable
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, unreadable
	}
	for k, vs := range q {
		given := strings.Join(vs, "") != "" || k == "secure" || k == "skip_verify" || k == "password"
		if !given || strings.Contains(k, "@") || k != "password" && k != "username" && strings.Contains(strings.Join(vs, ""), "@") {
			return nil, unreadable
		}
	}
	return u, nil
}

func (o Options) config() (*config, error) {
	u, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "clickhouse" {
		return nil, fmt.Errorf("a store's URL begins with clickhouse://, not %s://", u.Scheme)
	}
	q := u.Query()
	c := &config{database: strings.Trim(u.Path, "/"), cluster: q.Get("cluster"), label: Label(o.URL)}
	if !isDatabase(c.database) {
		return nil, fmt.Errorf("the store's URL must name a database (letters, digits, _): clickhouse://%s/midwatch", u.Host)
	}
	if c.cluster != "" && !isCluster(c.cluster) {
		return nil, fmt.Errorf("cluster %q is not a name (letters, digits, _ . -)", c.cluster)
	}
	if q.Has("database") {
		return nil, errors.New("the store's URL names the database after the host: clickhouse://user@host:9000/midwatch, without database=")
	}
	ca := q.Get("ca")
	if c.keep, err = parseKeep(q.Get("keep")); err != nil {
		return nil, fmt.Errorf("the store's URL: %w", err)
	}
	q.Del("keep")
	q.Del("ca")
	q.Del("cluster")
	u.RawQuery = q.Encode()
	d, err := driver.ParseDSN(u.String())
	if err != nil {
		// What the driver says may hold what it was given.
		text := err.Error()
		for _, secret := range []string{u.String(), u.Redacted(), u.RawQuery} {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "…")
			}
		}
		return nil, fmt.Errorf("the store's URL: %s", text)
	}
	if ca != "" {
		if d.TLS == nil {
			return nil, errors.New("the store's URL names an authority (ca) and no TLS: add secure=true")
		}
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("the authority of the servers' certificates: %w", err)
		}
		d.TLS.RootCAs = x509.NewCertPool()
		if !d.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", ca)
		}
	}
	if d.Auth.Password == "" {
		d.Auth.Password = o.Password
	}
	if d.Auth.Username == "" {
		d.Auth.Username = "default"
	}
	for i, a := range d.Addr {
		if !strings.Contains(a, ":") {
			if d.TLS != nil {
				d.Addr[i] = a + ":9440"
			} else {
				d.Addr[i] = a + ":9000"
			}
		}
	}
	if !q.Has("dial_timeout") {
		d.DialTimeout = 10 * time.Second
	}
	d.ReadTimeout = time.Hour // a question may count for long before it answers
	for k, v := range complete() {
		d.Settings[k] = v
	}
	d.MaxOpenConns, d.MaxIdleConns = 4, 4
	c.driver = d
	return c, nil
}

// complete are settings with which an answer is whole or an error. A user's profile
// or the URL may say otherwise, and then a part of the events would pass for all.
func complete() driver.Settings {
	m := driver.Settings{"skip_unavailable_shards": 0, "limit": 0, "offset": 0, "use_query_cache": 0}
	for _, of := range []string{"read", "read_overflow_mode_leaf", "group_by", "sort", "result", "timeout", "timeout_overflow_mode_leaf", "set", "join", "transfer", "distinct"} {
		if !strings.Contains(of, "_overflow") {
			of += "_overflow_mode"
		}
		m[of] = "throw"
	}
	return m
}

// Label is a store's URL without its password, for people and for case files.
func Label(raw string) string {
	u, err := parse(raw)
	if err != nil {
		return "clickhouse://…"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	if q.Has("password") {
		q.Del("password")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// on is the configuration for one host.
func (c *config) on(addr string) *driver.Options {
	d := *c.driver
	d.Addr = []string{addr}
	return &d
}
