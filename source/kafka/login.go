package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Login says how a broker is spoken to.
type Login struct {
	TLS bool
	// CA is a file of PEM certificates that the broker's is signed by; empty:
	// those of the system. Certificate and Key are the client's own, PEM files.
	CA, Certificate, Key string
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, or empty
	// for none.
	Mechanism string
	// User and Password are for PLAIN and SCRAM. Of Event Hubs they are
	// $ConnectionString and the connection string.
	User, Password string
	// Token is for OAUTHBEARER: it is called for each connection and gives a
	// token that is good for some minutes.
	Token func(ctx context.Context) (string, error)
}

// options makes the client's options of it.
func (l *Login) options() ([]kgo.Opt, error) {
	var out []kgo.Opt
	if l.TLS {
		t, err := l.config()
		if err != nil {
			return nil, err
		}
		out = append(out, kgo.DialTLSConfig(t))
	} else if l.CA != "" || l.Certificate != "" || l.Key != "" {
		return nil, errors.New("certificates are named, and TLS is off")
	}
	switch l.Mechanism {
	case "":
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if l.User == "" || l.Password == "" {
			return nil, fmt.Errorf("SASL %s needs a user and a password", l.Mechanism)
		}
		s := scram.Auth{User: l.User, Pass: l.Password}
		switch l.Mechanism {
		case "PLAIN":
			out = append(out, kgo.SASL(plain.Auth{User: l.User, Pass: l.Password}.AsMechanism()))
		case "SCRAM-SHA-256":
			out = append(out, kgo.SASL(s.AsSha256Mechanism()))
		default:
			out = append(out, kgo.SASL(s.AsSha512Mechanism()))
		}
	case "OAUTHBEARER":
		if l.Token == nil {
			return nil, errors.New("SASL OAUTHBEARER needs something that gives tokens")
		}
		out = append(out, kgo.SASL(oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := l.Token(ctx)
			if err != nil {
				return oauth.Auth{}, &tokenError{err}
			}
			return oauth.Auth{Token: token}, nil
		})))
	default:
		return nil, fmt.Errorf("SASL %s is not known; it is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", l.Mechanism)
	}
	return out, nil
}

func (l *Login) config() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CA != "" {
		pem, err := os.ReadFile(l.CA)
		if err != nil {
			return nil, fmt.Errorf("read the CA's certificates: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", l.CA)
		}
	}
	if (l.Certificate == "") != (l.Key == "") {
		return nil, errors.New("a client certificate needs its key, and a key its certificate")
	}
	if l.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(l.Certificate, l.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client's certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// tokenError says that the trouble is with whoever gives tokens.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "no token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// ClientCredentials gives tokens of an OAuth 2.0 endpoint for a client's id and
// secret, and keeps each until it is about to expire. Of Entra ID the endpoint
// is https://login.microsoftonline.com/TENANT/oauth2/v2.0/token and the scope
// https://NAMESPACE.servicebus.windows.net/.default. client may be nil.
func ClientCredentials(endpoint, id, secret string, scopes []string, client *http.Client) func(context.Context) (string, error) {
	if client == nil {
		client = &http.Client{Timeout: 20 * time.Second}
	}
	cfg := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: endpoint, Scopes: scopes}
	// The source outlives the call for which it gets a token.
	tokens := cfg.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, client))
	return func(context.Context) (string, error) {
		t, err := tokens.Token()
		if err != nil {
			var refused *oauth2.RetrieveError
			if errors.As(err, &refused) { // its text has the whole answer
				return "", fmt.Errorf("%s refuses the client %s: %s %s", endpoint, id, refused.ErrorCode, refused.ErrorDescription)
			}
			return "", err
		}
		return t.AccessToken, nil
	}
}
