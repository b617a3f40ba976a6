package clickhouse

import (
	"encoding/pem"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midwatch/internal/clickhousetest"
)

// Everything that can be wrong with a connection gets an error that says what
// to do, at once, and without the password.
func TestConnections(t *testing.T) {
	c := clickhousetest.Start(t, clickhousetest.Options{TLS: true, Users: []clickhousetest.User{
		{Name: "me", Password: secret, Grants: []string{"GRANT ALL ON midwatch.*", "GRANT SELECT ON system.*", "GRANT TABLE ENGINE ON *"}},
		{Name: "poor", Password: secret, Grants: []string{"GRANT SELECT ON system.one"}},
	}})
	n := c.Nodes[0]
	if _, err := n.Query(t.Context(), "CREATE DATABASE midwatch"); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "ca.pem")
	stranger := httptest.NewTLSServer(nil)
	defer stranger.Close()
	if err := os.WriteFile(other, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stranger.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0") // and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	closed := closedPort(t)
	for name, x := range map[string]struct {
		user, addr, path string
		password         string
		want             string // "" is success
	}{
		"right":                    {"me", n.Addr(), "midwatch", secret, ""},
		"right, with TLS":          {"me", n.SecureAddr(), "midwatch?secure=true&ca=" + c.CACert, secret, ""},
		"right, not verified":      {"me", n.SecureAddr(), "midwatch?secure=true&skip_verify=true", secret, ""},
		"right, compressed":        {"me", n.Addr(), "midwatch?compress=lz4", secret, ""},
		"no database, may make it": {"default", n.Addr(), "another", "", ""},
		"wrong password":           {"me", n.Addr(), "midwatch", secret + "!", "MIDWATCH_STORE_PASSWORD"},
		"no password":              {"me", n.Addr(), "midwatch", "", "MIDWATCH_STORE_PASSWORD"},
		"unknown user":             {"nobody", n.Addr(), "midwatch", secret, "MIDWATCH_STORE_PASSWORD"},
		"no database, may not":     {"me", n.Addr(), "nowhere", secret, "docs/CLICKHOUSE.md"},
		"no right at all":          {"poor", n.Addr(), "midwatch", secret, "docs/CLICKHOUSE.md"},
		"authority is not known":   {"me", n.SecureAddr(), "midwatch?secure=true", secret, "ca=FILE"},
		"another authority":        {"me", n.SecureAddr(), "midwatch?secure=true&ca=" + other, secret, "ca=FILE"},
		"another name":             {"me", n.SecureAddr(), "midwatch?secure=true&tls_server_name=elsewhere.example&ca=" + c.CACert, secret, "tls_server_name"},
		"TLS to the plain port":    {"me", n.Addr(), "midwatch?secure=true", secret, "secure=true"},
		"plain to the port of TLS": {"me", n.SecureAddr(), "midwatch", secret, "secure=true"},
		"the port of HTTP":         {"me", n.HTTPAddr(), "midwatch", secret, "native port"},
		"TLS to the port of HTTP":  {"me", n.HTTPAddr(), "midwatch?secure=true", secret, "secure=true"},
		"nobody listens":           {"me", closed, "midwatch", secret, "nothing listens there"},
		"nobody answers":           {"me", taken.Addr().String(), "midwatch?dial_timeout=200ms", secret, "does not answer"},
		"no such cluster":          {"me", n.Addr(), "midwatch?cluster=elsewhere", secret, "system.clusters"},
		"a setting nobody knows":   {"me", n.Addr(), "midwatch?clster=midwatch", secret, "clster"},
		"the second host is right": {"me", closed + "," + n.Addr(), "midwatch", secret, ""},
		"neither host":             {"me", closed + "," + closed, "midwatch", secret, "nothing listens there"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, inURL := range []bool{false, true} {
				u := url.URL{Scheme: "clickhouse", User: url.User(x.user), Host: x.addr}
				o := Options{Password: x.password, Patience: 30 * time.Second}
				if inURL {
					u.User, o.Password = url.UserPassword(x.user, x.password), ""
				}
				o.URL = u.String() + "/" + x.path
				start := time.Now()
				s, err := Open(t.Context(), o)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if err == nil {
					// Blocks go another way than questions.
					if err = loadEvents(t.Context(), s, 10); err == nil {
						if got := number(t, s, "SELECT count(*) FROM events"); got != 10 {
							t.Errorf("%d events, want 10", got)
						}
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
				if (x.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), x.want) {
					t.Errorf("%v; want %q", err, x.want)
				}
				silentAbout(t, err, x.password)
			}
		})
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
