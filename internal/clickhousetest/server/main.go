// Command server is one ClickHouse server for tests: it loads the engine's
// shared library and hands it the command line that clickhousetest made. It
// uses no cgo, so that building it needs no C compiler.
//
//	server <libchdb.so> --config-file … --path … --query …
//
// The last statement of the query reads standard input to its end, and that
// keeps the engine up. The one who started the server holds the other end of
// that pipe: closing it, or dying, ends the query, and the engine shuts down as
// it should. File 3 is a second copy of the same pipe, for the case that it
// does not.
package main

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

// grace is how long the engine may take to shut down.
const grace = 15 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail("usage: server <library> <arguments of the engine>")
	}
	handle, err := purego.Dlopen(os.Args[1], purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		fail("load the engine: " + err.Error())
	}
	var run func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	var message func(result unsafe.Pointer) string
	purego.RegisterLibFunc(&run, handle, "chdb_query_cmdline")
	purego.RegisterLibFunc(&message, handle, "chdb_result_error")

	go watch()

	// argv is C's: strings that end in NUL, and a nil after the last.
	args := append([]string{"clickhouse"}, os.Args[2:]...)
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

// watch ends the process when the engine has not done so itself some time
// after its starter closed the pipe.
func watch() {
	pipe := os.NewFile(3, "parent")
	if pipe == nil {
		return
	}
	_, _ = pipe.Read(make([]byte, 1))
	time.Sleep(grace)
	fail("the engine did not shut down in time")
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "server:", why)
	os.Exit(1)
}
