package clickhouse

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/ch-go"
	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"midwatch/store"
)

// Codes of the server's errors that are acted on.
// Source: ClickHouse, src/Common/ErrorCodes.cpp.
const (
	noSuchColumn      = 16
	readAfterEOF      = 32 // another node ended its connection
	cannotReadAll     = 33
	unknownIdentifier = 47
	cannotWriteFile   = 75
	cannotOpenFile    = 76
	unknownTable      = 60
	unknownDatabase   = 81
	unknownSetting    = 115
	noElementInConfig = 139 // no <zookeeper>
	tooManyRows       = 158
	timeout           = 159
	tooSlow           = 160
	readonly          = 164
	setSizeLimit      = 191
	quotaExceeded     = 201
	tooManyQueries    = 202
	socketTimeout     = 209
	networkError      = 210
	aborted           = 236 // the server is shutting down
	memoryLimit       = 241
	tableReadOnly     = 242
	notEnoughSpace    = 243
	tooManyParts      = 252
	allTriesFailed    = 279
	tooManyBytes      = 307
	prohibited        = 392 // no ON CLUSTER here
	cancelled         = 394
	tooManyRowsBytes  = 396
	settingConstraint = 452
	accessDenied      = 497
	authentication    = 516
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
	case memoryLimit:
		// A question that is too large by itself is so a second time.
		return !strings.Contains(err.Error(), "(for query)") && !strings.Contains(err.Error(), "Query memory limit")
	case socketTimeout, networkError, tooManyQueries, aborted, tooManyParts, allTriesFailed, cannotReadAll, readAfterEOF:
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
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ch.ErrClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
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
	patience := time.NewTimer(s.opts.Patience)
	defer patience.Stop()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f()
		if err == nil || !passing(err) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-patience.C:
			t.Stop()
			return err
		case <-ctx.Done():
			t.Stop()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Explain says what to do about an error of the store that came in the middle
// of an answer; see [store.Each].
func (s *Store) Explain(err error) error { return explain(err) }

// explained is an error with what to do about it before it.
type explained struct {
	hint string
	err  error
}

func (e *explained) Error() string {
	if e.hint == "" {
		return withoutFrames(e.err.Error())
	}
	return e.hint + ": " + withoutFrames(e.err.Error())
}
func (e *explained) Unwrap() error { return e.err }

// Is says which kind of error that stores have in common it is.
func (e *explained) Is(target error) bool {
	return target == store.ErrMemory && code(e.err) == memoryLimit
}

// explain says what to do about an error that a person can do something about.
func explain(err error) error {
	if err == nil || errors.As(err, new(*explained)) {
		return err
	}
	hint := serverHint(err)
	if code(err) == 0 {
		hint = networkHint(err)
	}
	if hint == "" && withoutFrames(err.Error()) == err.Error() {
		return err
	}
	return &explained{hint, err}
}

// withoutFrames is an error's text without the stack of the node that had it,
// which it puts into what it tells the node that asked.
func withoutFrames(text string) string {
	frame := regexp.MustCompile(`^\s*([0-9]+\. .*@ 0x[0-9a-f]+|[0-9]+\. \? @ .*|__GI_.*|start_thread.*)?\s*$`)
	lines := strings.Split(text, "\n")
	if len(lines) == 1 {
		return text
	}
	var out []string
	for _, l := range lines {
		if !frame.MatchString(l) {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return strings.ReplaceAll(strings.Join(out, " "), " Stack trace: ", " ")
}

func serverHint(err error) string {
	switch code(err) {
	case authentication:
		return "the server refuses this user or password: check the user in the URL and MIDWATCH_STORE_PASSWORD"
	case accessDenied:
		if strings.Contains(err.Error(), "CREATE DATABASE") {
			return "there is no such database, and the user may not make one: let an administrator make it; docs/CLICKHOUSE.md says how"
		}
		return "the user lacks a right; docs/CLICKHOUSE.md lists those it needs"
	case readonly:
		return "the user's profile is readonly=1, in which questions cannot be given their settings: give it readonly=2"
	case settingConstraint:
		return "the user's profile forbids a setting that questions need: take the constraint out of the profile"
	case unknownSetting:
		return "the server does not know a setting: is a parameter of the URL misspelled, or the server too old?"
	case notEnoughSpace:
		return "the server's disk is full: free some space and run the same command again, nothing was counted"
	case cannotWriteFile, cannotOpenFile:
		if strings.Contains(err.Error(), "No space left") || strings.Contains(err.Error(), "errno: 28") {
			return "the server's disk is full: free some space and run the same command again, nothing was counted"
		}
	case tooManyParts:
		return "the server does not keep up merging: let it rest, or load with fewer processes"
	case memoryLimit:
		return "the server's memory limit: raise max_memory_usage of the user's profile or max_server_memory_usage, let aggregations go to disk (max_bytes_before_external_group_by), or ask fewer at once"
	case timeout, tooSlow, tooManyRows, tooManyBytes, tooManyRowsBytes, setSizeLimit:
		return "a limit of the user's profile ended it, and there is no answer from a part of the rows: raise the limit that is named here"
	case quotaExceeded:
		return "the user's quota is used up: wait for its next interval, or raise it"
	case cancelled:
		return "somebody ended it on the server: run the same command again"
	case unknownDatabase:
		return "there is no such database; `midwatch ingest` makes it if the user may"
	case unknownTable:
		return "a table is missing: `midwatch store check` says which"
	case unknownIdentifier, noSuchColumn:
		return "a table is not as Midwatch made it: `midwatch store check` says what was changed"
	case tableReadOnly:
		return "the server takes no changes to its tables now: does it reach its Keeper?"
	case allTriesFailed, networkError, socketTimeout, readAfterEOF:
		if strings.Contains(err.Error(), "There is no table") {
			return "a node lacks a table: `midwatch store check` says which"
		}
		return "a shard does not answer: without it an answer would be wrong and a load not whole, so there is neither; bring the node back and run the same command again"
	}
	return ""
}

func networkHint(err error) string {
	var name x509.HostnameError
	var unresolved *net.DNSError
	var n net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ""
	case errors.As(err, new(tls.RecordHeaderError)), strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return "the port does not speak TLS: leave out secure=true, or name the server's secure port (often 9440)"
	case errors.As(err, &name):
		return "the server's certificate is for another name: name the host as in the certificate, or add tls_server_name=NAME to the URL"
	case certificate(err):
		return "the server's certificate is not trusted: name its authority in the URL (ca=FILE), or add it to the system's"
	case strings.Contains(err.Error(), "unexpected packet [72]"): // H of HTTP
		return "this is not the native port, but HTTP's: name the native port (9000; 9440 with secure=true)"
	case errors.As(err, &unresolved):
		return "the host's name cannot be resolved: check the URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: is the server up, and is it the native port (9000; 9440 with secure=true), not HTTP's (8123)?"
	case errors.As(err, &n) && n.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "the server does not answer: is it up, and does a firewall let the port through?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, driver.ErrBadConn):
		return "the server ended the connection: is it up, is it the native port (9000; 9440 with secure=true), and does secure=true fit?"
	case passing(err):
		return "the server cannot be reached"
	}
	return ""
}
