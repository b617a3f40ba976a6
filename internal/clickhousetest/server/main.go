//go:build linux

// Command server is one ClickHouse server for tests: it loads the engine's
// shared library and hands it the command line that clickhousetest made. It
// uses no cgo, so that building it needs no C compiler.
//
//	server [-secure addr -to addr -cert file -key file] libchdb.so --config-file … --path … --query …
//
// The engine runs as an interactive client of itself, at a terminal that this
// program makes: its prompt, where nobody types, keeps it up. It could also be
// kept up by a query that does not end, but what is not interactive dies of
// whatever one connection throws, as of a wrong password over the native
// protocol. Interactive it does as a server does: it logs that, and goes on.
//
// The one who started the server holds the other end of the pipe that is its
// standard input. Closing it, or dying, lets the program type the end of input
// at the prompt, and the engine shuts down as it should.
//
// The embedded engine refuses to listen with TLS, so -secure does it here: what
// comes in over TLS goes on to the engine's plain port.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

// grace is how long the engine may take to shut down.
const grace = 15 * time.Second

func main() {
	secure := flag.String("secure", "", "address to listen on with TLS")
	to := flag.String("to", "", "address of the engine behind it")
	cert := flag.String("cert", "", "certificate, PEM")
	key := flag.String("key", "", "its key, PEM")
	flag.Parse()
	if flag.NArg() == 0 {
		fail("usage: server [flags] <library> <arguments of the engine>")
	}
	if *secure != "" {
		if err := terminate(*secure, *to, *cert, *key); err != nil {
			fail(err.Error())
		}
	}
	handle, err := purego.Dlopen(flag.Arg(0), purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		fail("load the engine: " + err.Error())
	}
	var run func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	var message func(result unsafe.Pointer) string
	purego.RegisterLibFunc(&run, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&message, handle, "chdb_result_error")

	parent, user, err := terminal()
	if err != nil {
		fail("open a terminal: " + err.Error())
	}
	go watch(parent, user)

	// argv is C's: strings that end in NUL, and a nil after the last.
	args := append([]string{"clickhouse"}, flag.Args()[1:]...)
	argv := make([]*byte, len(args)+1)
	for i, a := range args {
		argv[i] = &append([]byte(a), 0)[0]
	}
	result := run(int32(len(args)), unsafe.Pointer(&argv[0]))
	if result == nil {
		fail("the engine returned nothing")
	}
	if m := message(result); m != "" {
		fail(m)
	}
}

// watch waits for the end of the starter's pipe and then ends the engine, and
// the process when the engine takes too long.
func watch(parent io.Reader, user io.ReadWriter) {
	go func() { _, _ = io.Copy(io.Discard, user) }() // what the prompt echoes
	_, _ = io.Copy(io.Discard, parent)
	const between = 20 * time.Millisecond
	for range grace / between {
		// Again and again: the prompt throws away what came before it.
		_, _ = user.Write([]byte{4})
		time.Sleep(between)
	}
	fail("the engine did not shut down in time")
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "server:", why)
	os.Exit(1)
}
