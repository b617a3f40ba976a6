//go:build unix

package journal

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envChild makes the test's binary a process that appends to the journal there,
// for ever, and prints the hash of each entry that was acknowledged.
const envChild = "MIDWATCH_TEST_JOURNAL"

// envClaims makes it one that claims numbers there.
const envClaims = "MIDWATCH_TEST_JOURNAL_CLAIMS"

func TestMain(m *testing.M) {
	if path := os.Getenv(envChild); path != "" {
		appendForEver(path)
	}
	if path := os.Getenv(envClaims); path != "" {
		claimForEver(path)
	}
	os.Exit(m.Run())
}

func appendForEver(path string) {
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow is an error then
	j := Open(path, time.Now)
	for i := 0; ; i++ {
		// Some entries are of many pages, which need not reach the disk together.
		e, err := j.Append(child{}, kim, Note, map[string]string{"text": strings.Repeat("x", i%5*(i%11)*1000)})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(3)
		}
		fmt.Println(e.Hash)
	}
}

func claimForEver(path string) {
	j := Open(path, time.Now)
	for {
		e, err := claim(child{}, j, fmt.Sprint("pid ", os.Getpid()))
		switch {
		case err == nil:
			fmt.Println(e.Hash)
		case !errors.Is(err, errTaken):
			fmt.Println("error:", err)
			os.Exit(3)
		}
	}
}

// child is the context of a process that only a signal ends.
type child struct{}

func (child) Deadline() (time.Time, bool) { return time.Time{}, false }
func (child) Done() <-chan struct{}       { return nil }
func (child) Err() error                  { return nil }
func (child) Value(any) any               { return nil }

// start starts a child and returns a function that gives what it acknowledged
// once it has ended.
func start(t *testing.T, path string, wrap ...string) (*exec.Cmd, func() (hashes []string, text string)) {
	t.Helper()
	return startAs(t, envChild, path, wrap...)
}

func startAs(t *testing.T, env, path string, wrap ...string) (*exec.Cmd, func() (hashes []string, text string)) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	type result struct {
		hashes []string
		text   string
	}
	done := make(chan result, 1)
	go func() {
		var r result
		for s := bufio.NewScanner(out); s.Scan(); {
			if len(s.Text()) == 64 {
				r.hashes = append(r.hashes, s.Text())
			} else {
				r.text += s.Text()
			}
		}
		done <- r
	}()
	return cmd, func() ([]string, string) {
		r := <-done
		_ = cmd.Wait() // it was killed
		return r.hashes, r.text
	}
}

// Two processes append and are killed at a random moment, in forty rounds. No
// entry that either acknowledged is lost, and the chain holds.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.ndjson")
	j := Open(path, clock)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var acknowledged []string
	recovered := 0
	for round := range 40 {
		a, endA := start(t, path)
		b, endB := start(t, path)
		time.Sleep(20*time.Millisecond + time.Duration(random.Int64N(int64(60*time.Millisecond))))
		_ = a.Process.Kill()
		_ = b.Process.Kill()
		for _, end := range []func() ([]string, string){endA, endB} {
			hashes, text := end()
			if strings.HasPrefix(text, "error:") {
				t.Fatalf("round %d: %s", round, text)
			}
			acknowledged = append(acknowledged, hashes...)
		}
		// Sometimes only a part of a last write is left, as after a loss of power.
		if round%3 == 0 {
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(`{"seq":17,"time":"20`); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustAppend(t, j, struct{}{})
	in := map[string]bool{}
	es := wantWhole(t, j, -1)
	for _, e := range es {
		in[e.Hash] = true
		if e.Kind == Recovered {
			recovered++
		}
	}
	for _, h := range acknowledged {
		if !in[h] {
			t.Errorf("entry %s was acknowledged and is lost", h)
		}
	}
	if len(acknowledged) < 100 || recovered < 10 {
		t.Errorf("%d entries were acknowledged and %d ends recovered: too few to show anything", len(acknowledged), recovered)
	}
	t.Logf("%d entries, %d acknowledged, %d torn ends", len(es), len(acknowledged), recovered)
}

// Three processes claim numbers and are killed at a random moment: no number is
// taken twice, none that was acknowledged is lost, and none is left out.
func TestKilledAppendIf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.ndjson")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var acknowledged []string
	for round := range 12 {
		var kill []func()
		for range 3 {
			cmd, end := startAs(t, envClaims, path)
			kill = append(kill, func() {
				_ = cmd.Process.Kill()
				hashes, text := end()
				if strings.HasPrefix(text, "error:") {
					t.Errorf("round %d: %s", round, text)
				}
				acknowledged = append(acknowledged, hashes...)
			})
		}
		time.Sleep(30*time.Millisecond + time.Duration(random.Int64N(int64(60*time.Millisecond))))
		for _, k := range kill {
			k()
		}
		if round%3 == 0 { // as after a loss of power
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(`{"seq":17,"time":"20`); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	j := Open(path, clock)
	if _, err := claim(t.Context(), j, "the last"); err != nil {
		t.Fatal(err)
	}
	es := wantWhole(t, j, -1)
	wantClaims(t, es)
	in := map[string]bool{}
	for _, e := range es {
		in[e.Hash] = true
	}
	for _, h := range acknowledged {
		if !in[h] {
			t.Errorf("entry %s was acknowledged and is lost", h)
		}
	}
	if len(acknowledged) < 10 {
		t.Errorf("%d entries were acknowledged: too few to show anything", len(acknowledged))
	}
	t.Logf("%d entries, %d acknowledged", len(es), len(acknowledged))
}

// A process whose file may not grow any more gets an error in the middle of a
// write. What it acknowledged is there, and others go on.
func TestFileLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.ndjson")
	_, end := start(t, path, "sh", "-c", `ulimit -f 64; exec "$0"`)
	hashes, text := end()
	if !strings.Contains(text, "file too large") || len(hashes) == 0 {
		t.Fatalf("%d acknowledged, %q", len(hashes), text)
	}
	j := Open(path, clock)
	es := wantWhole(t, j, int64(len(hashes)))
	for i, e := range es {
		if e.Hash != hashes[i] {
			t.Fatalf("entry %d is not what was acknowledged", i+1)
		}
	}
	mustAppend(t, j, struct{}{})
	wantWhole(t, j, int64(len(hashes))+1)
}
