package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Bind refuses to listen where anybody could read along or come in. Addresses of
// loopback need nothing; any other, and one that is not named, needs both TLS and
// a way in that tells people apart (a users file or OpenID Connect). loopback
// says which it is.
func Bind(ctx context.Context, listen string, tls, auth bool) (loopback bool, err error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("listen on %q: %w; give it as 127.0.0.1:8420", listen, err)
	}
	if loopback, err = isLoopback(ctx, host); err != nil {
		return false, fmt.Errorf("listen on %q: %w", listen, err)
	}
	if loopback {
		return true, nil
	}
	var missing []string
	if !tls {
		missing = append(missing, "TLS (--tls-cert FILE --tls-key FILE)")
	}
	if !auth {
		missing = append(missing, "users (--users FILE, which `midwatch user add` makes, or --oidc-issuer URL)")
	}
	if len(missing) > 0 {
		return false, fmt.Errorf("%q can be reached from other machines, and what is shown is other people's mail: give %s; or listen on 127.0.0.1 and come through ssh -L", listen, strings.Join(missing, " and "))
	}
	return false, nil
}

// isLoopback reports whether a host is this machine alone, by all of its
// addresses.
func isLoopback(ctx context.Context, host string) (bool, error) {
	if host == "" {
		return false, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback(), nil
	}
	as, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, err
	}
	for _, a := range as {
		if !a.Unmap().IsLoopback() {
			return false, nil
		}
	}
	return len(as) > 0, nil
}

// Listen is [Bind] and net.Listen. What a name stood for is checked once more
// when it is bound, since it may stand for something else by then.
func Listen(ctx context.Context, listen string, tls, auth bool) (net.Listener, error) {
	if _, err := Bind(ctx, listen, tls, auth); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, err
	}
	if _, err := Bind(ctx, l.Addr().String(), tls, auth); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// hosts are the values of the header Host that are answered. A page of somebody
// else's whose name was made to point here (DNS rebinding) has another.
type hosts struct {
	with map[string]bool // name and port
	any  map[string]bool // name, at any port
}

// newHosts takes the address that is listened on and names as people type them,
// with or without a port.
func newHosts(addr string, loopback, tls bool, names []string) (hosts, error) {
	h := hosts{map[string]bool{}, map[string]bool{}}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return h, err
	}
	if loopback {
		ours := []string{"localhost", "127.0.0.1", "::1"}
		if a, err := netip.ParseAddr(host); err == nil {
			ours = append(ours, a.String()) // 127.0.0.2, say
		}
		for _, n := range ours {
			h.with[net.JoinHostPort(n, port)] = true
			if !tls && port == "80" || tls && port == "443" {
				h.with[n] = true // browsers leave it out
			}
		}
	}
	for _, n := range names {
		n = strings.ToLower(strings.TrimSpace(n))
		switch name, p, err := net.SplitHostPort(n); {
		case n == "" || strings.ContainsAny(n, "/*@ "):
			return h, fmt.Errorf("%q is no host name; give it as midwatch.example.org", n)
		case err == nil && p != "":
			h.with[net.JoinHostPort(name, p)] = true
		default:
			h.any[strings.Trim(n, "[]")] = true
		}
	}
	if len(h.with)+len(h.any) == 0 {
		return h, errors.New("the name under which browsers reach it is missing; give --host NAME")
	}
	return h, nil
}

func (h hosts) has(host string) bool {
	host = strings.ToLower(host)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
		return name != "" && (h.with[name] || h.any[name])
	}
	return h.with[net.JoinHostPort(name, port)] || h.any[name]
}
