package clickhousetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var errPortTaken = errors.New("the port was taken in the meantime")

// pingTimeout is how long one attempt to reach a node may take.
const pingTimeout = 2 * time.Second

// stopTimeout is somewhat more than the server program gives its engine.
const stopTimeout = 20 * time.Second

// A Node is one server. Its methods may be called from several goroutines, but
// Stop, Kill and Restart only from one.
type Node struct {
	cluster          *Cluster
	name, dir        string
	native, http     int
	secure           int // with TLS; used when the cluster has a certificate
	program, library string

	mu    sync.Mutex
	cmd   *exec.Cmd
	alive *os.File      // the pipe that keeps the server up
	ended chan struct{} // closed when the process has ended
	said  *transcript   // what it wrote to standard error
}

// Addr is where the native protocol is spoken, as 127.0.0.1:port.
func (n *Node) Addr() string { return "127.0.0.1:" + strconv.Itoa(n.native) }

// HTTPAddr is where the HTTP protocol is spoken, as 127.0.0.1:port.
func (n *Node) HTTPAddr() string { return "127.0.0.1:" + strconv.Itoa(n.http) }

// SecureAddr is where the native protocol is spoken over TLS, as
// 127.0.0.1:port; "" without Options.TLS.
func (n *Node) SecureAddr() string {
	if n.cluster.CACert == "" {
		return ""
	}
	return "127.0.0.1:" + strconv.Itoa(n.secure)
}

// DSN names the database for clickhouse-go, as the default user.
func (n *Node) DSN(database string) string { return n.UserDSN("default", "", database) }

// UserDSN names the database for clickhouse-go, as another user.
func (n *Node) UserDSN(user, password, database string) string {
	return (&url.URL{Scheme: "clickhouse", User: url.UserPassword(user, password), Host: n.Addr(), Path: "/" + database}).String()
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
	var args []string
	if n.SecureAddr() != "" {
		certs := filepath.Dir(n.cluster.CACert)
		args = []string{"-secure", n.SecureAddr(), "-to", n.Addr(), "-cert", filepath.Join(certs, "cert.pem"), "-key", filepath.Join(certs, "key.pem")}
	}
	args = append(args, n.library, "--config-file", n.path("config.xml"), "--path", n.path("data")+"/", "--log-level", "information",
		"--query", "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP",
		"--interactive", "--disable_suggestion", "--progress", "off", "--progress-table", "off", "--history_file", n.path("history"))
	cmd := exec.Command(n.program, args...)
	said := new(transcript)
	cmd.Dir = n.dir
	cmd.Stdin, cmd.Stderr = r, said
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
	return n.ready(ctx, said, ended)
}

// ready waits until the node answers on both protocols.
func (n *Node) ready(ctx context.Context, said *transcript, ended <-chan struct{}) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = n.ping(ctx); last == nil {
			return nil
		}
		// The engine goes on without a port that it did not get.
		if said.has("already in use") {
			return fmt.Errorf("%s: %w", n.name, errPortTaken)
		}
		select {
		case <-ended:
			if said.has("already in use") {
				return fmt.Errorf("%s: %w", n.name, errPortTaken)
			}
			return fmt.Errorf("%s ended at once: %s: %s", n.name, said, n.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w: %w", n.name, ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// ping asks the node for its name over HTTP and greets it over the native
// protocol.
func (n *Node) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	name, err := n.Query(ctx, "SELECT displayName()")
	if err != nil {
		return err
	}
	if name != n.identity() {
		return fmt.Errorf("another server answers on port %d", n.http)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{n.Addr()}, DialTimeout: pingTimeout})
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
	resp, err := http.DefaultClient.Do(req)
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
		return fmt.Errorf("%s ended with %s: %s", n.name, cmd.ProcessState, n.said)
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

// Fill makes the tables of the database behave as if this node's disk had
// become full, without a restart: inserts fail with 243, NOT_ENOUGH_SPACE. It
// does so by a setting of every MergeTree table that is there now, which SHOW
// CREATE TABLE shows. Free takes it back.
func (n *Node) Fill(ctx context.Context, database string) error {
	return n.alter(ctx, database, "MODIFY SETTING min_free_disk_bytes_to_perform_insert="+neverFree)
}

// Free ends what Fill began.
func (n *Node) Free(ctx context.Context, database string) error {
	return n.alter(ctx, database, "RESET SETTING min_free_disk_bytes_to_perform_insert")
}

func (n *Node) alter(ctx context.Context, database, change string) error {
	tables, err := n.Query(ctx, "SELECT name FROM system.tables WHERE database='"+database+"' AND engine LIKE '%MergeTree'")
	if err != nil {
		return err
	}
	for table := range strings.FieldsSeq(tables) {
		if _, err := n.Query(ctx, "ALTER TABLE "+database+"."+table+" "+change); err != nil {
			return err
		}
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

// A transcript keeps what a process writes while others read it.
type transcript struct {
	mu   sync.Mutex
	text []byte
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

func (t *transcript) has(text string) bool {
	return strings.Contains(strings.ToLower(t.String()), text)
}
