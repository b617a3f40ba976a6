// Command testdeps fetches what the tests need beside Go modules: the
// ClickHouse engine, once, into the cache. `make test-deps` runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"midwatch/internal/clickhousetest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := clickhousetest.Fetch(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "test-deps:", err)
		os.Exit(1)
	}
}
