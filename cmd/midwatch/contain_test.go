package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"midwatch/casework"
	"midwatch/journal"
	"midwatch/respond"
	"midwatch/respond/graphtest"
	"midwatch/simulate"
)

// contained is a case that this program made of a simulated tenant, and the
// tenant as its actor left it.
type contained struct {
	dir string
	s   *graphtest.Server
	env []string
}

func newContained(t *testing.T, scenario string) *contained {
	t.Helper()
	tmp := t.TempDir()
	x := &contained{dir: filepath.Join(tmp, "tenant.case")}
	logs := filepath.Join(tmp, "logs")
	for _, args := range [][]string{
		{"simulate", "--quiet", "--scenario", scenario, "--users", "120", "--days", "30", "--seed", "11", "--volume", "0.1", "--out", logs},
		{"investigate", logs + "/logs", "--quiet", "--asn", logs + "/context/asn.csv", "--directory", logs + "/context/directory.csv", "--out", x.dir},
	} {
		if out, err := midwatch(t, args...).CombinedOutput(); err != nil && err.(*exec.ExitError).ExitCode() != exitFindings {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	b, err := os.ReadFile(logs + "/context/truth.json")
	if err != nil {
		t.Fatal(err)
	}
	var truth simulate.Truth
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
	x.s = graphtest.FromTruth(&truth)
	t.Cleanup(x.s.Close)
	x.s.Faults.Page = 50
	ca := filepath.Join(tmp, "ca.pem")
	if err := os.WriteFile(ca, x.s.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	x.env = append(os.Environ(), "SSL_CERT_FILE="+ca, "AZURE_CLIENT_ID="+x.s.AppID, "AZURE_CLIENT_SECRET="+x.s.Secret())
	return x
}

func (x *contained) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := midwatch(t, append([]string{"contain", x.dir, "--graph-endpoint", x.s.URL, "--authority", x.s.URL + "/"}, args...)...)
	c.Env = append(c.Env, x.env...)
	return c
}

// do runs the verb and returns what it printed and its exit status.
func (x *contained) do(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	b, err := x.command(t, args...).CombinedOutput()
	if err != nil {
		e, ok := err.(*exec.ExitError)
		if !ok {
			t.Fatal(err)
		}
		code = e.ExitCode()
	}
	for _, secret := range []string{x.s.Secret(), "eyJ"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("the output of %v holds a secret", args)
		}
	}
	return string(b), code
}

// hash is that of the plan, or of what there is to undo.
func (x *contained) hash(t *testing.T, args ...string) string {
	t.Helper()
	out, err := x.command(t, append(args, "--json")...).Output()
	if e, ok := err.(*exec.ExitError); err != nil && (!ok || e.ExitCode() != exitFindings) {
		t.Fatal(err)
	}
	var p struct{ Hash, Plan string }
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p.Hash + p.Plan
}

func (x *contained) check(t *testing.T) {
	t.Helper()
	left := []string{}
	for _, l := range x.s.Left() {
		if !strings.HasPrefix(l, "forwarding ") { // Exchange's, not Graph's
			left = append(left, l)
		}
	}
	if d := cmp.Diff([]string{}, left); d != "" {
		t.Errorf("left of the actor's:\n%s", d)
	}
	if h := x.s.Harmed(); len(h) > 0 {
		t.Errorf("harmed: %v", h)
	}
	if u := x.s.Unknown(); len(u) > 0 {
		t.Errorf("not in Microsoft's description: %v", u)
	}
}

// The whole way: a tenant, its logs, the case, the plan, signing in, carrying
// it out. Then nothing of the actor's is left and nothing else was touched.
func TestContain(t *testing.T) {
	for _, scenario := range []string{"midnight", "bec"} {
		t.Run(scenario, func(t *testing.T) {
			x := newContained(t, scenario)
			if len(x.s.Left()) < 3 {
				t.Fatalf("the actor left only %v", x.s.Left())
			}
			before := len(x.s.Seen())
			if out, code := x.do(t); code != exitFindings || len(x.s.Seen()) != before {
				t.Errorf("dry run: exit status %d, %d requests\n%s", code, len(x.s.Seen()), out)
			}
			hash := x.hash(t)
			for _, args := range [][]string{{"--apply"}, {"--apply", "--yes"}, {"--apply", "--yes", "--plan", "p-0"}} {
				if out, code := x.do(t, args...); code != exitFailed || len(x.s.Seen()) != before {
					t.Errorf("%v: exit status %d\n%s", args, code, out)
				}
			}
			out, code := x.do(t, "--apply", "--yes", "--plan", hash)
			if code != exitIncomplete || strings.Contains(out, "failed") {
				t.Errorf("exit status %d, want %d: steps for a person are left\n%s", code, exitIncomplete, out)
			}
			x.check(t)
			if scenario == "bec" && !strings.Contains(out, "Set-Mailbox -Identity '") {
				t.Errorf("the forwarding is not left to a person:\n%s", out)
			}
			if b, err := os.ReadFile(filepath.Join(x.dir, "journal.ndjson")); err != nil || strings.Contains(string(b), "eyJ") || strings.Contains(string(b), "passwordProfile") {
				t.Errorf("the journal: %v", err)
			}
		})
	}
}

// Kill -9 at a request, before or after it was served, again and again; then a
// run to the end, and the same for undoing.
func TestKilledContain(t *testing.T) {
	x := newContained(t, "midnight")
	was := x.s.Form()
	killed := func(args ...string) (rounds int) {
		for at := 3; ; at += 9 {
			cmd := x.command(t, args...)
			n := 0
			x.s.Hook = func(int, string, string) {
				if n++; n == at {
					_ = cmd.Process.Kill()
					if at%2 == 0 {
						panic(http.ErrAbortHandler) // the request was never served
					}
				}
			}
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			x.s.Hook = nil
			if cmd.ProcessState.Exited() {
				if e, ok := err.(*exec.ExitError); ok && e.ExitCode() != exitIncomplete {
					t.Fatalf("%v: %v\n%s", args, err, out.String())
				}
				return rounds
			}
			rounds++
		}
	}
	rounds := killed("--apply", "--yes", "--plan", x.hash(t))
	x.check(t)
	// Each round of undoing has another list: what was taken back is off it.
	undone := 0
	for at := 2; ; at += 7 {
		cmd := x.command(t, "--undo", "--apply", "--yes", "--plan", x.hash(t, "--undo"))
		n := 0
		x.s.Hook = func(int, string, string) {
			if n++; n == at {
				_ = cmd.Process.Kill()
			}
		}
		out, err := cmd.CombinedOutput()
		x.s.Hook = nil
		if cmd.ProcessState.Exited() {
			if e, ok := err.(*exec.ExitError); ok && e.ExitCode() != exitIncomplete {
				t.Fatalf("undo: %v\n%s", err, out)
			}
			break
		}
		undone++
	}
	now := x.s.Form()
	for _, l := range was {
		gone := strings.Contains(l, " secret ") || strings.Contains(l, "/authentication/methods ")
		if !gone && !contains(now, l) {
			t.Errorf("missing after undo: %s", l)
		}
	}
	if len(now) > len(was) {
		t.Errorf("%d things after undo, %d before", len(now), len(was))
	}
	t.Logf("killed %d times while applying, %d times while undoing", rounds, undone)
	if rounds < 5 || undone < 2 {
		t.Error("too few")
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// Two people who came in through the web interface approve a step: that one is
// carried out, and nothing else, and not any more when one of them withdraws it.
func TestContainApproved(t *testing.T) {
	x := newContained(t, "bec")
	c, err := readCase(x.dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := respond.Build(c, respond.Options{})
	if err != nil {
		t.Fatal(err)
	}
	step := ""
	for i := range p.Steps {
		if s := &p.Steps[i]; p.Runs(s) && s.Kind == respond.RevokeSessions {
			step = s.ID
		}
	}
	approve := func(name string, withdraw bool) {
		t.Helper()
		by := casework.By{Author: journal.Author{Name: name, User: "svc-midwatch"}, Seen: -1}
		if _, err := office().Approve(t.Context(), x.dir, c, by, p.Hash, []string{step}, withdraw, "because"); err != nil {
			t.Fatal(err)
		}
	}
	apply := func(args ...string) (string, int) {
		return x.do(t, append([]string{"--apply", "--approvals", "2", "--yes", "--plan", p.Hash}, args...)...)
	}
	approve("ana", false)
	if out, code := apply("--step", step); code != exitFailed || len(x.s.Seen()) > 0 || !strings.Contains(out, "approved by 1 of 2 people, ana") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	approve("bob", false)
	if out, code := apply(); code != exitFailed || len(x.s.Seen()) > 0 || strings.Contains(out, "  "+step+"  ") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if out, code := apply("--step", step); code != exitNothing || !strings.Contains(out, "All is done") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	changed := 0
	for _, r := range x.s.Seen() {
		if r.Method != "GET" {
			changed++
		}
	}
	if changed == 0 {
		t.Errorf("nothing was sent: %v", x.s.Seen())
	}
	approve("bob", true)
	before := len(x.s.Seen())
	if out, code := apply("--step", step, "--again"); code != exitFailed || len(x.s.Seen()) != before {
		t.Errorf("exit status %d\n%s", code, out)
	}
}

// A secret that Entra refuses, a permission that is missing: nothing is done,
// and the message says what is wrong without the secret.
func TestContainWithoutAccess(t *testing.T) {
	x := newContained(t, "bec")
	hash := x.hash(t)
	tenant := ""
	{
		out, _ := x.command(t, "--json").Output()
		var p struct{ Tenants []string }
		if err := json.Unmarshal(out, &p); err != nil {
			t.Fatal(err)
		}
		tenant = p.Tenants[0]
	}
	x.s.Lacking[tenant] = []string{"MailboxSettings.ReadWrite"}
	out, code := x.do(t, "--apply", "--yes", "--plan", hash)
	if code != exitFailed || !strings.Contains(out, "lacks MailboxSettings.ReadWrite") || len(x.s.Seen()) > 0 {
		t.Errorf("exit status %d\n%s", code, out)
	}
	out, code = x.do(t, "--apply", "--partial", "--yes", "--plan", hash)
	if code != exitIncomplete || !strings.Contains(out, "lacks MailboxSettings.ReadWrite") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	x.env = append(x.env, "AZURE_CLIENT_SECRET=wrong-secret-value")
	out, code = x.do(t, "--apply", "--yes", "--plan", hash)
	if code != exitFailed || !strings.Contains(out, tenant) || strings.Contains(out, "wrong-secret-value") {
		t.Errorf("exit status %d\n%s", code, out)
	}
}

// Where Graph is and who signs in: what is wrong is said before anything is sent.
func TestGraphAccess(t *testing.T) {
	for _, x := range []struct {
		g    graphAccess
		id   string
		want string
	}{
		{graphAccess{cloud: "public"}, "id", ""},
		{graphAccess{cloud: "china", auth: "cli"}, "", ""},
		{graphAccess{cloud: "public"}, "", ""}, // the Azure CLI
		{graphAccess{cloud: "mars"}, "id", "--cloud is"},
		{graphAccess{cloud: "public", auth: "magic"}, "id", "--auth is"},
		{graphAccess{cloud: "public", auth: "env"}, "", "wants AZURE_CLIENT_ID"},
		{graphAccess{cloud: "public", auth: "device"}, "", "wants AZURE_CLIENT_ID"},
		{graphAccess{cloud: "public", endpoint: "https://graph.example"}, "id", "belong together"},
		{graphAccess{cloud: "public", endpoint: "http://graph.example", authority: "https://login.example/"}, "id", "no https address"},
		{graphAccess{cloud: "public", endpoint: "https://u:p@graph.example", authority: "https://login.example/"}, "id", "no https address"},
	} {
		t.Setenv("AZURE_CLIENT_ID", x.id)
		t.Setenv("AZURE_CLIENT_SECRET", "secret")
		_, _, err := x.g.connect(stdio{})
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, want %q", x.g, err, x.want)
		}
	}
}
