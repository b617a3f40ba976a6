//go:build unix

package audit

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// envChild makes the test's binary a server that writes reads down, from many
// goroutines, and prints each that may be shown.
const envChild = "MIDWATCH_TEST_AUDIT"

func TestMain(m *testing.M) {
	if path := os.Getenv(envChild); path != "" {
		writeForEver(path)
	}
	os.Exit(m.Run())
}

func writeForEver(path string) {
	l := Open(path, "soc", time.Now)
	for i := range 16 {
		go func() {
			for k := 0; ; k++ {
				what := fmt.Sprintf("%d/%d/%d", os.Getpid(), i, k)
				if err := l.Write(context.Background(), read(what)); err != nil {
					fmt.Println("error:", err)
					os.Exit(3)
				}
				fmt.Println(what)
			}
		}()
	}
	select {}
}

// Two servers write and are killed at a random moment, in twenty rounds, some of
// which leave part of a write. No read that either acknowledged is lost.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for round := range 20 {
		var cmds []*exec.Cmd
		var outs []chan []string
		for range 2 {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), envChild+"="+path)
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := make(chan []string, 1)
			go func() {
				var lines []string
				for r := bufio.NewReader(pipe); ; {
					line, err := r.ReadString('\n')
					if err != nil { // a line that was cut off counts for nothing
						break
					}
					lines = append(lines, line[:len(line)-1])
				}
				out <- lines
			}()
			cmds, outs = append(cmds, cmd), append(outs, out)
		}
		time.Sleep(30*time.Millisecond + rand.N(60*time.Millisecond))
		for i, cmd := range cmds {
			_ = cmd.Process.Kill()
			acknowledged = append(acknowledged, <-outs[i]...)
			_ = cmd.Wait() // it was killed
		}
		if round%3 == 0 { // as after a loss of power
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(append([]byte(`{"seq":17,"time":"20`), make([]byte, 9000)...)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Open(path, "soc", clock).Write(t.Context(), read("last")); err != nil {
		t.Fatal(err)
	}
	n := wantReads(t, path)
	for _, what := range acknowledged {
		if n[what] != 1 {
			t.Errorf("%s was acknowledged and is there %d times", what, n[what])
		}
	}
	if len(acknowledged) < 100 {
		t.Errorf("%d were acknowledged: too few to show anything", len(acknowledged))
	}
	t.Logf("%d acknowledged, %d written", len(acknowledged), len(n))
}
