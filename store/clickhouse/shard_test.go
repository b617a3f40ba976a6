package clickhouse

import (
	"fmt"
	"net"
	"testing"
	"time"

	"midwatch/internal/clickhousetest"
)

// Connections between the nodes are cut: before a shard has its part of a
// block, in the middle, and after it has it and before it can say so. The token
// of the block travels with each part, so that what is sent again is known.
func TestTheWayToAShardIsCut(t *testing.T) {
	const n = 1000
	proxies := []*proxy{newProxy(t, ""), newProxy(t, "")}
	config := "<remote_servers><proxied><secret>midwatch</secret>"
	for _, px := range proxies {
		_, port, err := net.SplitHostPort(px.addr())
		if err != nil {
			t.Fatal(err)
		}
		config += "<shard><replica><host>127.0.0.1</host><port>" + port + "</port></replica></shard>"
	}
	c := clickhousetest.Start(t, clickhousetest.Options{Nodes: 2, Config: config + "</proxied></remote_servers>"})
	for i, px := range proxies {
		px.to(c.Nodes[i].Addr())
	}
	p := newPlace(t, c, true)
	p.over = "proxied"
	s := p.open(t, "", nil)
	stored := func() {
		for range 200 {
			out, err := c.Nodes[1].Query(t.Context(), "SELECT count() > 0 FROM "+p.database+".events_local")
			if err == nil && out == "1" {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("the shard never had its part")
	}
	for i, x := range []cut{{up: 100}, {up: 5000}, {up: 5000, then: stored}, {down: 200}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			reset(t, p)
			l, err := begun(t.Context(), s, n)
			if err != nil {
				t.Fatal(err)
			}
			ordered := proxies[1].order(x)
			commit(t, l)
			select {
			case <-ordered.done:
			case <-time.After(5 * time.Second):
				t.Error("nothing was cut")
			}
			p.holds(t, n)
			if e, i := p.lies(t, "events"), p.lies(t, "items"); e != n || i != n {
				t.Errorf("%d events and %d items lie on the disks, want %d", e, i, n)
			}
		})
	}
}
