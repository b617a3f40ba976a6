package clickhouse

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/ch-go"
	chgo "github.com/ClickHouse/clickhouse-go/v2"
)

// Codes of the server's errors that are acted on.
// Source: ClickHouse, src/Common/ErrorCodes.cpp.
const (
	unknownTable      = 60
	unknownDatabase   = 81
	noElementInConfig = 139 // no <zookeeper>
	timeout           = 159
	tooManyQueries    = 202
	socketTimeout     = 209
	networkError      = 210
	memoryLimit       = 241
	notEnoughSpace    = 243
	tooManyParts      = 252
	allTriesFailed    = 279
	cannotReadAll     = 33
	prohibited        = 392 // no ON CLUSTER here
	accessDenied      = 497
	authentication    = 516
	readonly          = 164
)

// code is the server's error code; 0 when the error is not the server's.
func code(err error) int {
	var a *chgo.Exception
	if errors.As(err, &a) {
		return int(a.Code)
	}
	var b *ch.Exception
	if errors.As(err, &b) {
		return int(b.Code)
	}
	return 0
}

func noOnCluster(err error) bool {
	c := code(err)
	return c == prohibited || c == noElementInConfig
}

// passing reports whether an error may be gone a moment later and says nothing
// about the statement.
func passing(err error) bool {
	switch code(err) {
	case 0:
	case socketTimeout, networkError, tooManyQueries, memoryLimit, tooManyParts, allTriesFailed, cannotReadAll:
		return true
	default:
		return false
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || certificate(err) {
		return false
	}
	var n net.Error
	var op *net.OpError
	return errors.As(err, &n) || errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ch.ErrClosed) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "acquire conn timeout")
}

func certificate(err error) bool {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &header) || errors.As(err, &verify)
}

// again runs f until it succeeds, fails for good, or patience runs out.
func (s *Store) again(ctx context.Context, f func() error) error {
	wait, waited := 50*time.Millisecond, time.Duration(0)
	for {
		err := f()
		if err == nil || !passing(err) || waited >= s.opts.Patience {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(context.Cause(ctx), err)
		}
		waited += wait
		wait = min(2*wait, 5*time.Second)
	}
}

// explain says what to do about an error that a person can do something about.
func explain(err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	switch code(err) {
	case authentication:
		hint = "the server refuses this user or password: check the user in the URL and MIDWATCH_STORE_PASSWORD"
	case accessDenied:
		hint = "the user lacks a right; docs/CLICKHOUSE.md lists those it needs"
	case readonly:
		hint = "the user's profile is readonly=1, in which questions cannot be given their settings: give it readonly=2"
	case notEnoughSpace:
		hint = "the server's disk is full: free some space and run the same command again, nothing was counted"
	case tooManyParts:
		hint = "the server does not keep up merging: let it rest, or load with fewer processes"
	case memoryLimit:
		hint = "the server's memory limit: raise max_memory_usage, or ask fewer at once"
	case unknownDatabase:
		hint = "there is no such database; `midwatch ingest` makes it if the user may"
	case unknownTable:
		hint = "a table is missing: `midwatch store check` says which"
	case allTriesFailed:
		hint = "a shard does not answer: an answer without it would be wrong, so there is none; bring the node back and ask again"
	}
	if hint == "" && code(err) == 0 {
		switch {
		case certificate(err) && strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
			hint = "the port does not speak TLS: leave out secure=true, or name the server's secure port (often 9440)"
		case certificate(err):
			hint = "the server's certificate is not trusted: add its authority to the system's, or name the host as in the certificate"
		case errors.Is(err, syscall.ECONNREFUSED):
			hint = "nothing listens there: is the server up, and is it the native port (9000; 9440 with secure=true), not HTTP's (8123)?"
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			hint = "the server ended the connection: is it the native port (9000; 9440 with secure=true), and does secure=true fit?"
		case passing(err):
			hint = "the server cannot be reached"
		}
	}
	if hint == "" || strings.Contains(err.Error(), hint) {
		return err
	}
	return fmt.Errorf("%s: %w", hint, err)
}
