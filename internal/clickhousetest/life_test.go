package clickhousetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A node that is killed has what it had answered for, on the same ports, and so
// has one that was stopped.
func TestKilledNodeKeepsWhatWasCommitted(t *testing.T) {
	n := Start(t, Options{}).Nodes[0]
	database := n.Database(t)
	query(t, n, "CREATE TABLE "+database+".t (id UInt64) ENGINE=MergeTree ORDER BY id")
	addr, want := n.Addr(), 0
	for _, end := range []func() error{n.Kill, n.Stop, n.Kill} {
		query(t, n, "INSERT INTO "+database+".t SELECT number FROM numbers(1000)")
		want += 1000
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Query(t.Context(), "SELECT 1"); err == nil {
			t.Fatal("it still answers")
		}
		if err := n.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := query(t, n, "SELECT count() FROM "+database+".t"); got != strconv.Itoa(want) {
			t.Fatalf("%s rows, want %d", got, want)
		}
	}
	if n.Addr() != addr {
		t.Errorf("it moved from %s to %s", addr, n.Addr())
	}
	if err := n.Restart(t.Context()); err != nil { // one that runs, too
		t.Fatal(err)
	}
	if err := errors.Join(n.Stop(), n.Stop(), n.Kill()); err != nil {
		t.Errorf("ending what has ended: %v", err)
	}
}

// Whoever starts nodes and is killed leaves none behind.
func TestNodesEndWithTheirParent(t *testing.T) {
	const child = "CLICKHOUSETEST_CHILD"
	if dir := os.Getenv(child); dir != "" {
		c, err := Launch(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", c.Nodes[0].Pid())
		time.Sleep(time.Minute)
		return
	}
	need(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestNodesEndWithTheirParent$")
	cmd.Env = append(os.Environ(), child+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			if pid, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if pid == 0 {
		t.Fatal("no node was started")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !gone(pid) {
		select {
		case <-ctx.Done():
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
			t.Fatalf("process %d outlives its parent", pid)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// gone also takes a process for gone that has ended and that nobody has waited
// for: its new parent may be slow to.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}

// A port that is taken between its choice and its use is no failure.
func TestTakenPortsAreChosenAgain(t *testing.T) {
	need(t)
	for i, what := range []string{"native", "HTTP", "TLS"} {
		t.Run(what, func(t *testing.T) {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			tries := 0
			c, err := launch(t.Context(), Options{TLS: true}, func(n int) ([]int, error) {
				ports, err := freePorts(n)
				if tries++; tries == 1 {
					ports[i] = l.Addr().(*net.TCPAddr).Port
				}
				return ports, err
			})
			if err != nil {
				t.Fatal(err)
			}
			if tries != 2 {
				t.Errorf("%d tries, want 2", tries)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A folder of its own goes with the cluster; one that was given stays.
func TestCloseRemovesWhatIsTheClusters(t *testing.T) {
	need(t)
	for _, dir := range []string{"", t.TempDir()} {
		c, err := Launch(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.Nodes[0].Log()); (err == nil) != (dir != "") {
			t.Errorf("given %q, after Close: %v", dir, err)
		}
	}
}
