package clickhouse

import (
	"context"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	chgo "github.com/ClickHouse/clickhouse-go/v2"

	"midwatch/store"
)

// What is tried again, and what people are told.
func TestErrors(t *testing.T) {
	server := func(code int, message string) error {
		return fmt.Errorf("commit: %w", &chgo.Exception{Code: int32(code), Message: message})
	}
	for _, x := range []struct {
		err   error
		again bool
		hint  string // "" is none
	}{
		{server(authentication, ""), false, "MIDWATCH_STORE_PASSWORD"},
		{server(accessDenied, "grant SELECT ON a.b"), false, "lists those it needs"},
		{server(accessDenied, "grant CREATE DATABASE ON a.*"), false, "let an administrator make it"},
		{server(readonly, ""), false, "readonly=2"},
		{server(settingConstraint, ""), false, "take the constraint out"},
		{server(unknownSetting, ""), false, "misspelled"},
		{server(notEnoughSpace, ""), false, "free some space"},
		{server(cannotWriteFile, "Cannot write: , errno: 28, strerror: No space left on device"), false, "free some space"},
		{server(cannotWriteFile, "Cannot write: , errno: 5"), false, ""},
		{server(tooManyParts, ""), true, "let it rest"},
		{server(memoryLimit, "(for query) memory limit exceeded"), false, "max_memory_usage"},
		{server(memoryLimit, "Query memory limit exceeded"), false, "max_memory_usage"},
		{server(memoryLimit, "(total) memory limit exceeded"), true, "max_server_memory_usage"},
		{server(timeout, ""), false, "raise the limit"},
		{server(tooManyRows, ""), false, "raise the limit"},
		{server(quotaExceeded, ""), false, "quota"},
		{server(cancelled, ""), false, "run the same command again"},
		{server(unknownTable, ""), false, "midwatch store check"},
		{server(unknownIdentifier, ""), false, "midwatch store check"},
		{server(unknownDatabase, ""), false, "midwatch ingest"},
		{server(allTriesFailed, ""), true, "bring the node back"},
		{server(networkError, ""), true, "bring the node back"},
		{server(aborted, ""), true, ""},
		{server(tooManyQueries, ""), true, ""},
		{server(62, "Syntax error"), false, ""},
		{&ch.Exception{Code: proto.Error(notEnoughSpace)}, false, "free some space"},
		{io.EOF, true, "ended the connection"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true, "ended the connection"},
		{driver.ErrBadConn, true, "ended the connection"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true, "ended the connection"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true, "nothing listens there"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true, "does not answer"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, true, "cannot be resolved"},
		{x509.UnknownAuthorityError{}, false, "ca=FILE"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}, false, "tls_server_name"},
		{context.Canceled, false, ""},
		{context.DeadlineExceeded, false, ""},
		{errors.New("something else"), false, ""},
	} {
		if got := passing(x.err); got != x.again {
			t.Errorf("%v: tried again: %v, want %v", x.err, got, x.again)
		}
		got := explain(x.err)
		if !errors.Is(got, x.err) || !strings.Contains(got.Error(), x.hint) || (x.hint == "") != (got.Error() == x.err.Error()) {
			t.Errorf("%v: said %q, want %q", x.err, got, x.hint)
		}
		if is := errors.Is(got, store.ErrMemory); is != (code(x.err) == memoryLimit) {
			t.Errorf("%v: of memory: %v", x.err, is)
		}
		if twice := explain(fmt.Errorf("more: %w", got)); twice.Error() != "more: "+got.Error() {
			t.Errorf("%v: explained twice: %q", x.err, twice)
		}
	}
	if explain(nil) != nil {
		t.Error("no error was explained")
	}
}

// again gives up when patience is over, however long each attempt takes, and at
// once with the context.
func TestAgain(t *testing.T) {
	s := &Store{opts: Options{Patience: 300 * time.Millisecond}}
	tries := 0
	start := time.Now()
	err := s.again(t.Context(), func() error { tries++; time.Sleep(100 * time.Millisecond); return io.EOF })
	if took := time.Since(start); !errors.Is(err, io.EOF) || tries < 2 || tries > 4 || took > time.Second {
		t.Errorf("%d tries in %s: %v", tries, took, err)
	}
	tries = 0
	if err := s.again(t.Context(), func() error { tries++; return context.Canceled }); !errors.Is(err, context.Canceled) || tries != 1 {
		t.Errorf("%d tries: %v", tries, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	start = time.Now()
	s.opts.Patience = time.Hour
	err = s.again(ctx, func() error { cancel(why); return io.EOF })
	if took := time.Since(start); !errors.Is(err, why) || took > time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}

func TestOldServers(t *testing.T) {
	for v, ok := range map[string]bool{"26.7.3.1": true, "25.6.1.1": true, "25.10": true, "25.5.9.9": false, "25.3.1.1": false, "24.12.1": false, "9.9": false, "": false, "what": false} {
		err := checkServer(v)
		if (err == nil) != ok || err != nil && (!strings.Contains(err.Error(), "upgrade the server") || !strings.Contains(err.Error(), oldest)) {
			t.Errorf("%q: %v", v, err)
		}
	}
}
