package clickhousetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var errPortTaken = errors.New("the port was taken in the meantime")

// stopTimeout is somewhat more than the server program gives its engine.
const stopTimeout = 20 * time.Second

// A Node is one server. Its methods may be called from several goroutines, but
// Stop, Kill and Restart only from one.
type Node struct {
	cluster          *Cluster
	name, dir        string
	native, http     int
	program, library string

	mu    sync.Mutex
	cmd   *exec.Cmd
	alive *os.File      // the pipe that keeps the server up
	ended chan struct{} // closed when the process has ended
	said  *bytes.Buffer // what it wrote to standard error; read after ended
}

// Addr is where the native protocol is spoken, as 127.0.0.1:port.
func (n *Node) Addr() string { return "127.0.0.1:" + strconv.Itoa(n.native) }

// HTTPAddr is where the HTTP protocol is spoken, as 127.0.0.1:port.
func (n *Node) HTTPAddr() string { return "127.0.0.1:" + strconv.Itoa(n.http) }

// DSN names the database for clickhouse-go, as the default user.
func (n *Node) DSN(database string) string {
	return (&url.URL{Scheme: "clickhouse", User: url.User("default"), Host: n.Addr(), Path: "/" + database}).String()
}

// Log is the path of the server's own log.
func (n *Node) Log() string { return n.path("server.log") }

// Name is the node's name and its macro {shard}: node1, node2 and so on.
func (n *Node) Name() string { return n.name }

// Pid is the server's process id, 0 when it does not run.
func (n *Node) Pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0
	}
	return n.cmd.Process.Pid
}

// identity is what the node says its name is, so that a stranger on the same
// port is not taken for it.
func (n *Node) identity() string {
	return "midwatch-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(n.native) + "-" + n.name
}

func (n *Node) start(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	cmd := exec.Command(n.program, n.library, "--config-file", n.path("config.xml"), "--path", n.path("data")+"/",
		"--log-level", "information", "--query", "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP;"+
			"SELECT count() FROM file('-', 'LineAsString', 'line String') SETTINGS max_execution_time=0, log_queries=0 FORMAT Null")
	said := new(bytes.Buffer)
	cmd.Dir = n.dir
	cmd.Stdin, cmd.Stderr = r, said
	cmd.ExtraFiles = []*os.File{r}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", n.name, err), r.Close(), w.Close())
	}
	_ = r.Close() // the child has its own
	ended := make(chan struct{})
	n.mu.Lock()
	n.cmd, n.alive, n.ended, n.said = cmd, w, ended, said
	n.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}()
	return n.ready(ctx, ended)
}

// ready waits until the node answers on both protocols.
func (n *Node) ready(ctx context.Context, ended <-chan struct{}) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = n.ping(ctx); last == nil {
			return nil
		}
		select {
		case <-ended:
			why := strings.TrimSpace(n.said.String())
			if strings.Contains(why, "Address already in use") || strings.Contains(why, "NETWORK_ERROR") {
				return fmt.Errorf("%s: %w: %s", n.name, errPortTaken, why)
			}
			return fmt.Errorf("%s ended at once: %s: %s", n.name, why, n.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w: %w", n.name, ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// ping asks the node for its name over HTTP and greets it over the native
// protocol.
func (n *Node) ping(ctx context.Context) error {
	name, err := n.Query(ctx, "SELECT displayName()")
	if err != nil {
		return err
	}
	if name != n.identity() {
		return fmt.Errorf("another server answers on port %d", n.http)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{n.Addr()}, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	v, err := conn.ServerVersion()
	if err != nil {
		return err
	}
	if v.DisplayName != n.identity() {
		return fmt.Errorf("another server answers on port %d", n.native)
	}
	return nil
}

// Query runs one statement as the default user over HTTP and returns what it
// gives as text: fields apart by tabs, rows by newlines, no newline at the end.
func (n *Node) Query(ctx context.Context, statement string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.HTTPAddr()+"/?wait_end_of_query=1", strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	// A connection of its own: one that is kept would not survive a restart.
	req.Close = true
	client := http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", n.name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", n.name, err)
	}
	text := strings.TrimSuffix(string(body), "\n")
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ask %s: %s", n.name, text)
	}
	return text, nil
}

// Stop lets the engine shut down as it should, and kills it when it takes too
// long, which is an error. A node that does not run is no error.
func (n *Node) Stop() error {
	n.mu.Lock()
	cmd, alive, ended := n.cmd, n.alive, n.ended
	n.cmd = nil
	n.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = alive.Close() // the server reads it to its end, and then goes
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Errorf("%s did not stop within %s and was killed; its log: %s", n.name, stopTimeout, n.tail())
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s ended with %s: %s", n.name, cmd.ProcessState, strings.TrimSpace(n.said.String()))
	}
	return nil
}

// Kill ends the node as a power cut would end its process, with SIGKILL. A node
// that does not run is no error.
func (n *Node) Kill() error {
	n.mu.Lock()
	cmd, alive, ended := n.cmd, n.alive, n.ended
	n.cmd = nil
	n.mu.Unlock()
	if cmd == nil {
		return nil
	}
	err := cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-ended
	_ = alive.Close()
	return err
}

// Restart starts the node again on the same ports and the same data, after
// Stop or Kill, or stops it first.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.start(ctx); err != nil {
		return errors.Join(fmt.Errorf("restart: %w", err), n.Kill())
	}
	return nil
}

// Database makes a database for one test on every node of the cluster, and
// drops it when the test ends. It returns its name.
func (n *Node) Database(t testing.TB) string { return n.cluster.Database(t) }

// tail is the end of the server's log, for messages.
func (n *Node) tail() string {
	b, err := os.ReadFile(n.Log())
	if err != nil {
		return "no log: " + err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}
