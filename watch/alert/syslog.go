package alert

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"midwatch/casefile"
)

// Syslog sends alerts as RFC 5424 messages: over UDP (RFC 5426), over TCP with
// octet counting (RFC 6587), or over TLS (RFC 5425). The message is the alert as
// JSON. What was handed to the system counts as received: the protocol has no
// acknowledgement.
type Syslog struct {
	network, addr, host string
	tls                 *tls.Config
	conn                net.Conn
	gone                chan struct{} // closed when the receiver has closed conn
}

// NewSyslog reads syslog+udp://HOST:PORT, syslog+tcp:// or syslog+tls://. host is
// the name of this machine.
func NewSyslog(address, host string) (*Syslog, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of a syslog receiver; it looks like syslog+tls://host:6514", address)
	}
	s := &Syslog{addr: u.Host, host: strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, host)}
	switch u.Scheme {
	case "syslog+udp":
		s.network = "udp"
	case "syslog+tcp":
		s.network = "tcp"
	case "syslog+tls":
		s.network, s.tls = "tcp", &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	default:
		return nil, fmt.Errorf("%q: syslog goes over udp, tcp or tls", address)
	}
	if _, _, err := net.SplitHostPort(s.addr); err != nil {
		return nil, fmt.Errorf("%q has no port; syslog's are 514 (udp) and 6514 (tls)", address)
	}
	return s, nil
}

// Name implements [Sink].
func (s *Syslog) Name() string { return "syslog-" + s.network + "-" + s.addr }

// Send implements [Sink].
func (s *Syslog) Send(ctx context.Context, a *Alert) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	msg := fmt.Appendf(nil, "<%d>1 %s %s midwatch - alert - \ufeff%s", 10*8+severity(a.Finding.Severity), a.Raised.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, body)
	if s.network == "udp" && len(msg) > 60_000 { // a datagram's limit: the finding without its lists
		short := *a
		short.Finding.Events, short.Finding.Entities, short.Finding.Series = nil, nil, nil
		if body, err = json.Marshal(&short); err != nil {
			return err
		}
		msg = fmt.Appendf(nil, "<%d>1 %s %s midwatch - alert - \ufeff%s", 10*8+severity(a.Finding.Severity), a.Raised.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, body)
	}
	if s.network == "tcp" {
		msg = append(fmt.Appendf(nil, "%d ", len(msg)), msg...)
	}
	if s.conn != nil && s.network == "tcp" {
		select { // the first write into a connection that is gone would be lost
		case <-s.gone:
			_ = s.conn.Close()
			s.conn = nil
		default:
		}
	}
	if s.conn == nil {
		d := &net.Dialer{Timeout: 10 * time.Second}
		if s.tls != nil {
			s.conn, err = (&tls.Dialer{NetDialer: d, Config: s.tls}).DialContext(ctx, s.network, s.addr)
		} else {
			s.conn, err = d.DialContext(ctx, s.network, s.addr)
		}
		if err != nil {
			s.conn = nil
			return err
		}
		s.gone = make(chan struct{})
		go func(c net.Conn, gone chan struct{}) {
			_, _ = io.Copy(io.Discard, c) // ends with the connection
			close(gone)
		}(s.conn, s.gone)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = s.conn.SetWriteDeadline(deadline)
	}
	if _, err = s.conn.Write(msg); err != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
	return err
}

// severity is RFC 5424's.
func severity(s casefile.Severity) int {
	switch s {
	case casefile.Critical:
		return 2
	case casefile.High:
		return 3
	case casefile.Medium:
		return 4
	case casefile.Low:
		return 5
	}
	return 6
}
