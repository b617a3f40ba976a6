package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// explain says in words what went wrong and what to try.
func (c *Consumer) explain(err error) error {
	login := &c.cfg.Login
	where := strings.Join(c.cfg.Brokers, ", ")
	hub := strings.Contains(where, ".servicebus.windows.net")
	var (
		token    *tokenError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		noTLS    tls.RecordHeaderError
		dns      *net.DNSError
		op       *net.OpError
		firstEOF *kgo.ErrFirstReadEOF
	)
	switch {
	case errors.As(err, &token):
		return fmt.Errorf("kafka: no token to log in with: %w; check client id, secret, scope and endpoint", token.err)
	case errors.Is(err, kerr.SaslAuthenticationFailed) && hub:
		return fmt.Errorf("kafka: authentication failed: %w; of Event Hubs the user is $ConnectionString and the password the whole connection string, of a policy with the right Listen; with Entra ID the application needs the role Azure Event Hubs Data Receiver", err)
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("kafka: authentication failed: %w; check user, password and mechanism (%s)", err, login.Mechanism)
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return fmt.Errorf("kafka: the broker does not take SASL %s on this port: %w; try another mechanism", login.Mechanism, err)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("kafka: no right to the consumer group %s: %w; its owner has to grant READ on the group", c.cfg.Group, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("kafka: no right to read: %w; its owner has to grant READ and DESCRIBE on the topic (Event Hubs: the right Listen)", err)
	case errors.Is(err, kerr.InvalidGroupID), errors.Is(err, kerr.GroupIDNotFound):
		return fmt.Errorf("kafka: the broker does not take the consumer group %q: %w; take letters, digits and hyphens, 256 at most", c.cfg.Group, err)
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return fmt.Errorf("kafka: the consumer group %s has members of another program: %w; take a group of its own", c.cfg.Group, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("kafka: %w; was it deleted?", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("kafka: the broker's certificate is signed by nobody who is known here: %w; name its CA with --kafka-ca", err)
	case errors.As(err, &host):
		return fmt.Errorf("kafka: the broker's certificate is for another name: %w; name the broker as its certificate does", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("kafka: the broker's certificate is not good: %w", err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("kafka: %s does not speak TLS on this port: %w; leave TLS out, or take the port for it", where, err)
	case strings.Contains(err.Error(), "tls alert record"): // the client has no type for it
		return fmt.Errorf("kafka: %s wants TLS on this port: %w; add --kafka-tls", where, err)
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return fmt.Errorf("kafka: the broker refuses the connection: %w; does it want a client certificate (--kafka-cert, --kafka-key)?", err)
	case errors.As(err, &dns):
		return fmt.Errorf("kafka: %s has no address: %w; is the name right?", dns.Name, err)
	case errors.As(err, &firstEOF), errors.Is(err, io.EOF) && !errors.As(err, &op):
		try := "does it want TLS (--kafka-tls) or a login (--kafka-sasl)?"
		if login.TLS {
			try = "does it speak TLS on this port (else leave --kafka-tls out), and is the login right for it?"
		}
		return fmt.Errorf("kafka: %s closes the connection at once: %w; %s", where, err, try)
	case errors.As(err, &op):
		return fmt.Errorf("kafka: the broker %s cannot be reached: %w; is it running, and is the port open from here?", where, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("kafka: the broker %s gives no answer: %w; is it the right port, with or without TLS?", where, err)
	}
	return fmt.Errorf("kafka: %w", err)
}
