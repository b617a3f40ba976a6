package clickhouse

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a client and a node, and cuts connections where a test
// says.
type proxy struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	conns  map[*relay]bool
	cut    *cut
	down   bool // nobody is let in
}

// cut is one connection to be cut: the first that has carried so many bytes
// since the cut was ordered.
type cut struct {
	up, down int64  // to the server, to the client; 0 is never
	says     string // or the one by which the client says this
	// then, if not nil, is called instead of cutting when up is reached: from
	// then on the client hears nothing more. It cuts by returning.
	then func()
	done chan struct{} // closed when it happened
}

type relay struct {
	client, server net.Conn
	deaf           bool // what the server says goes nowhere; under the proxy's lock
	up, down       int64
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: map[*relay]bool{}}
	go p.serve()
	t.Cleanup(func() {
		_ = l.Close()
		p.cutAll(true)
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// to says where connections go from now on.
func (p *proxy) to(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, down := p.target, p.down
		p.mu.Unlock()
		s, err := net.Dial("tcp4", target)
		if err != nil || down {
			_ = c.Close()
			if s != nil {
				_ = s.Close()
			}
			continue
		}
		r := &relay{client: c, server: s}
		p.mu.Lock()
		p.conns[r] = true
		p.mu.Unlock()
		go p.copy(r, s, c, true)
		go p.copy(r, c, s, false)
	}
}

// copy passes bytes on until one side ends or the connection is cut.
func (p *proxy) copy(r *relay, to io.Writer, from io.Reader, up bool) {
	defer p.end(r)
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		pass, stop := p.pass(r, b[:n], up)
		if pass > 0 {
			if _, err := to.Write(b[:pass]); err != nil {
				return
			}
		}
		if err != nil || stop {
			return
		}
	}
}

// pass says how many of the bytes are passed on, and whether that was the end.
func (p *proxy) pass(r *relay, b []byte, up bool) (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := int64(len(b))
	c := p.cut
	have, limit := &r.down, int64(0)
	if up {
		have = &r.up
	}
	if c != nil {
		if limit = c.down; up {
			limit = c.up
		}
	}
	before := *have
	*have += n
	if c != nil && up && c.says != "" && bytes.Contains(b, []byte(c.says)) {
		limit = *have
	}
	switch {
	case !up && r.deaf:
		return 0, false
	case limit == 0 || *have < limit:
		return n, false
	}
	p.cut = nil
	if c.then == nil {
		close(c.done)
		return limit - before, true
	}
	r.deaf = true
	go func() {
		c.then()
		p.end(r)
		close(c.done)
	}()
	return n, false
}

func (p *proxy) end(r *relay) {
	_ = r.client.Close()
	_ = r.server.Close()
	p.mu.Lock()
	delete(p.conns, r)
	p.mu.Unlock()
}

// order orders a cut. Bytes count from here.
func (p *proxy) order(c cut) *cut {
	c.done = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.conns {
		r.up, r.down = 0, 0
	}
	p.cut = &c
	return &c
}

// cutAll cuts what there is, and with refuse what comes.
func (p *proxy) cutAll(refuse bool) {
	p.mu.Lock()
	p.down = refuse
	var rs []*relay
	for r := range p.conns {
		rs = append(rs, r)
	}
	p.mu.Unlock()
	for _, r := range rs {
		p.end(r)
	}
}
