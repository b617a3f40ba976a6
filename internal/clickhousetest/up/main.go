// Command up starts ClickHouse servers to try things on, says where they are,
// and stops them when it is interrupted: `make clickhouse`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"midwatch/internal/clickhousetest"
)

func main() {
	nodes := flag.Int("nodes", 2, "how many; each is a shard of the cluster midwatch")
	dir := flag.String("dir", "", "where their data goes (default: a temporary folder that is removed)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, clickhousetest.Options{Nodes: *nodes, Dir: *dir, MaxMemory: 8 << 30, Config: "<background_pool_size>8</background_pool_size>"}); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o clickhousetest.Options) error {
	c, err := clickhousetest.Launch(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("one node:    --store clickhouse://default@%s/midwatch\n", c.Nodes[0].Addr())
	if len(c.Nodes) > 1 {
		fmt.Printf("all shards:  --store 'clickhouse://default@%s/shards?cluster=%s'\n", c.Nodes[0].Addr(), c.Name)
	}
	for _, n := range c.Nodes {
		fmt.Printf("%s:       http://%s/, log %s\n", n.Name(), n.HTTPAddr(), n.Log())
	}
	<-ctx.Done()
	return c.Close()
}
