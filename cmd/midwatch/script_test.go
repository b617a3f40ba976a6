package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"midwatch": main})
}

// TestScript runs testdata/script: each file is a session at a terminal.
func TestScript(t *testing.T) {
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("DEMO", filepath.Join(repo, "testdata", "demo"))
			e.Setenv("CONTEXT", filepath.Join(repo, "testdata", "demo-context"))
			e.Setenv("TMPDIR", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":  cmdStatus,
			"lines":   cmdLines,
			"hostile": cmdHostile,
		},
	})
}

// cmdStatus runs midwatch and checks its exit status: status N args...
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N midwatch-arguments...")
	}
	want := args[0]
	err := ts.Exec("midwatch", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != want {
		ts.Fatalf("exit status %s, want %s", got, want)
	}
}

// cmdHostile asks for actors by names that no script can spell.
func cmdHostile(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"\x1b]0;owned\x07", "\u202etpa", "a\nb\r", "\xff\xfe", strings.Repeat("A", 200), strings.Repeat("A", 100000)} {
		cmdStatus(ts, false, []string{"2", "actor", "--", name})
		for _, stream := range []string{"stdout", "stderr"} {
			text := ts.ReadFile(stream)
			if strings.ContainsAny(strings.TrimSuffix(text, "\n"), "\x1b\x07\r\n\u202e") || len(text) > 500 {
				ts.Fatalf("%s of %.40q has control characters, or its %d bytes are too many", stream, name, len(text))
			}
		}
	}
}

// cmdLines writes a file of N records of the audit log: lines N FILE.
func cmdLines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	defer f.Close()
	for i := range n {
		fmt.Fprintf(f, `{"Id":"00000000-0000-4000-8000-%012d","CreationTime":"2024-01-02T03:04:05","Operation":"FileAccessed","RecordType":6,"Workload":"SharePoint","OrganizationId":"t","UserId":"a@x.example","UserType":0}`+"\n", i)
	}
}
