// Command testdeps fetches what the tests need beside Go modules, once, into
// the cache: the ClickHouse engine, Kafka, the schemas of STIX and OCSF, and a browser
// with the rules of accessibility.
// `make test-deps` runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"midwatch/internal/browsertest"
	"midwatch/internal/clickhousetest"
	"midwatch/internal/kafkatest"
	"midwatch/internal/schematest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	status := 0
	// Each by itself: without one, the other's tests run.
	for _, fetch := range []func(context.Context) error{
		func(ctx context.Context) error { return schematest.Fetch(ctx, os.Stdout) },
		func(ctx context.Context) error { return browsertest.Fetch(ctx, os.Stdout) },
		func(ctx context.Context) error { return kafkatest.Fetch(ctx, os.Stdout) },
		func(ctx context.Context) error { return clickhousetest.Fetch(ctx, os.Stdout) },
	} {
		if err := fetch(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "test-deps:", err)
			status = 1
		}
	}
	if status != 0 {
		os.Exit(status)
	}
}
