package clickhouse

import (
	"errors"
	"fmt"
	"net/url"
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
	// cluster=NAME makes Distributed tables over the shards of a cluster.
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
	label    string // the URL without password, for people
}

// name is what a database or cluster may be called, so that it needs no quoting.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (o Options) config() (*config, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("the store's URL cannot be read; it is clickhouse://user@host:9000/database") // the URL may hold a password: it is not repeated
	}
	if u.Scheme != "clickhouse" {
		return nil, fmt.Errorf("a store's URL begins with clickhouse://, not %s://", u.Scheme)
	}
	c := &config{database: strings.Trim(u.Path, "/"), cluster: u.Query().Get("cluster"), label: Label(o.URL)}
	if !name.MatchString(c.database) {
		return nil, fmt.Errorf("the store's URL must name a database (letters, digits, _): clickhouse://%s/midwatch", u.Host)
	}
	if c.cluster != "" && !name.MatchString(c.cluster) {
		return nil, fmt.Errorf("cluster %q is not a name", c.cluster)
	}
	q := u.Query()
	q.Del("cluster")
	u.RawQuery = q.Encode()
	d, err := driver.ParseDSN(u.String())
	if err != nil {
		return nil, fmt.Errorf("the store's URL: %s", strings.ReplaceAll(err.Error(), u.String(), c.label))
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
	d.MaxOpenConns, d.MaxIdleConns = 4, 4
	c.driver = d
	return c, nil
}

// Label is a store's URL without its password, for people and for case files.
func Label(raw string) string {
	u, err := url.Parse(raw)
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
