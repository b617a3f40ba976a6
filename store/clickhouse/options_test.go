package clickhouse

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	for _, x := range []struct {
		o                                           Options
		addr, user, password, database, cluster, of string // of: the label
	}{
		{Options{URL: "clickhouse://me@host/db"}, "host:9000", "me", "", "db", "", "clickhouse://me@host/db"},
		{Options{URL: "clickhouse://host/db"}, "host:9000", "default", "", "db", "", "clickhouse://host/db"},
		{Options{URL: "clickhouse://me@host/db?secure=true"}, "host:9440", "me", "", "db", "", "clickhouse://me@host/db?secure=true"},
		{Options{URL: "clickhouse://me:pw@one,two:2/db"}, "one:9000 two:2", "me", "pw", "db", "", "clickhouse://me@one,two:2/db"},
		{Options{URL: "clickhouse://me@host/db?cluster=a-b.c"}, "host:9000", "me", "", "db", "a-b.c", "clickhouse://me@host/db?cluster=a-b.c"},
		{Options{URL: "clickhouse://me:p%40ss%2Fw%3Ard%25@host/db", Password: "other"}, "host:9000", "me", "p@ss/w:rd%", "db", "", "clickhouse://me@host/db"},
		{Options{URL: "clickhouse://me@host/db", Password: "p@ss/w:rd%"}, "host:9000", "me", "p@ss/w:rd%", "db", "", "clickhouse://me@host/db"},
		{Options{URL: "clickhouse://host/db?username=me&password=p%40ss"}, "host:9000", "me", "p@ss", "db", "", "clickhouse://host/db?username=me"},
	} {
		c, err := x.o.config()
		if err != nil {
			t.Errorf("%s: %v", x.o.URL, err)
			continue
		}
		d := c.driver
		if got := strings.Join(d.Addr, " "); got != x.addr || d.Auth.Username != x.user || d.Auth.Password != x.password || c.database != x.database || d.Auth.Database != x.database || c.cluster != x.cluster || c.label != x.of {
			t.Errorf("%s: %q %q %q %q %q %q", x.o.URL, got, d.Auth.Username, d.Auth.Password, c.database, c.cluster, c.label)
		}
	}
}

// Each says what is wrong.
func TestOptionsThatAreWrong(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for u, want := range map[string]string{
		"":                                       "clickhouse://user@host:9000/database",
		"host":                                   "clickhouse://user@host:9000/database",
		"http://me@host:8123/db":                 "begins with clickhouse://",
		"clickhouse://me@host":                   "must name a database",
		"clickhouse://me@host/my-db":             "must name a database (letters, digits, _)",
		"clickhouse://me@host/a`b":               "must name a database",
		"clickhouse://me@host/db?database=other": "without database=",
		"clickhouse://me@host/db?cluster=a%27b":  "is not a name",
		"clickhouse://me@host/db?dial_timeout=soon":                                     "dial timeout",
		"clickhouse://me@host/db?ca=x.pem":                                              "add secure=true",
		"clickhouse://me@host/db?secure=true&ca=/no/such.pem":                           "no such file",
		"clickhouse://me@host/db?secure=true&ca=" + notPEM:                              "no certificate in PEM form",
		"clickhouse://me@host/db?secure=perhaps":                                        "secure",
		"clickhouse://me@host:port/db":                                                  "cannot be read",
		"clickhouse://me@host/db?dial_timeout=%zz":                                      "cannot be read",
		"clickhouse://me@host/db?tls_server_name=x&password=" + url.QueryEscape(secret): "secure=true",
	} {
		_, err := Open(t.Context(), Options{URL: u, Password: secret})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", u, err, want)
		}
		silentAbout(t, err, secret)
	}
}

const secret = "p@ss/w:rd%"

// silentAbout wants no part of the password in an error that would help to
// guess it.
func silentAbout(t *testing.T, err error, password string) {
	t.Helper()
	if err == nil || password == "" {
		return
	}
	for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password), url.UserPassword("", password).String()} {
		if strings.Contains(err.Error(), form) {
			t.Errorf("the error holds the password as %q: %v", form, err)
		}
	}
}

// A password that somebody forgot to escape moves the parts of a URL about. No
// part of it is repeated.
func TestPasswordsThatAreNotEscaped(t *testing.T) {
	for _, password := range []string{"p@zz", "p/zz", "p:zz", "p%zz", "p#zz", "p?zz", "p zz", "p&zz", "p@zz/yy", "1/zz@yy", "1#zz", "1?zz", "p/zz@yy?xx", "p[zz", "p\nzz", "?zz=yy", "p@ss/w:rd%zz"} {
		for _, u := range []string{"clickhouse://me:" + password + "@127.0.0.1:1/db", "clickhouse://me@127.0.0.1:1/db?dial_timeout=soon&password=" + password, "clickhouse://me:" + password + "@127.0.0.1:1"} {
			label := Label(u)
			_, err := Open(t.Context(), Options{URL: u, Patience: time.Millisecond})
			if err == nil {
				t.Fatalf("%s: opened", u)
			}
			for _, part := range []string{"zz", "yy", "xx"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("%q: the error holds %q: %v", u, part, err)
				}
				if strings.Contains(label, part) {
					t.Errorf("%q: the label holds %q: %s", u, part, label)
				}
			}
		}
	}
}
