package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"midwatch/casefile"
	"midwatch/respond"
	"midwatch/respond/graphtest"
	"midwatch/simulate"
)

// memory is a record that dies with the test.
type memory struct {
	entries []Entry
	fail    error
}

func (m *memory) Append(_ context.Context, e Entry) error {
	if m.fail != nil {
		return m.fail
	}
	b, err := json.Marshal(e) // as a file has it
	if err != nil {
		return err
	}
	var c Entry
	err = json.Unmarshal(b, &c)
	m.entries = append(m.entries, c)
	return err
}

func (m *memory) Entries() ([]Entry, error) { return slices.Clone(m.entries), nil }

// issued gives the stand-in's tokens.
type issued struct{ s *graphtest.Server }

func (i issued) Token(_ context.Context, tenant string) (string, error) {
	if slices.Contains(i.s.Strange, tenant) {
		return "", fmt.Errorf("AADSTS90002: Tenant %q not found", tenant)
	}
	return i.s.Token(tenant), nil
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// scene is a case, its plan and the tenants as the actor left them.
type scene struct {
	c      *casefile.Case
	p      *respond.Plan
	s      *graphtest.Server
	r      *memory
	o      Options
	sleeps time.Duration
}

func newScene(t testing.TB, name string, o respond.Options) *scene {
	t.Helper()
	x := &scene{c: &casefile.Case{}, r: &memory{}}
	readJSON(t, name+".case.json", x.c)
	var truth simulate.Truth
	readJSON(t, name+".truth.json", &truth)
	x.s = graphtest.FromTruth(&truth)
	t.Cleanup(x.s.Close)
	x.s.Config.ErrorLog = nil
	x.plan(t, o)
	var mu sync.Mutex
	x.o = Options{
		Base: x.s.URL, HTTP: x.s.Client(), Tokens: issued{x.s}, Recorder: x.r, Password: NewPassword,
		Now: func() time.Time { return truth.End },
		Sleep: func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			x.sleeps += d
			return ctx.Err()
		},
	}
	return x
}

func (x *scene) plan(t testing.TB, o respond.Options) {
	t.Helper()
	var err error
	if x.p, err = respond.Build(x.c, o); err != nil {
		t.Fatal(err)
	}
}

func (x *scene) apply(t testing.TB) []Outcome {
	t.Helper()
	out, err := Apply(t.Context(), x.p, x.o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// clean wants nothing of the actor's left but what Graph cannot reach, nothing
// of the organization's harmed, and no request that is not published.
func (x *scene) clean(t *testing.T, left ...string) {
	t.Helper()
	if d := cmp.Diff(append([]string{}, left...), x.s.Left()); d != "" {
		t.Errorf("left of the actor's (-want +got):\n%s", d)
	}
	if h := x.s.Harmed(); len(h) > 0 {
		t.Errorf("harmed: %v", h)
	}
	if u := x.s.Unknown(); len(u) > 0 {
		t.Errorf("not in Microsoft's description: %v", u)
	}
}

func states(out []Outcome) map[State]int {
	m := map[State]int{}
	for _, o := range out {
		m[o.State]++
	}
	return m
}

func want(t *testing.T, out []Outcome, allowed ...State) {
	t.Helper()
	for _, o := range out {
		if !slices.Contains(allowed, o.State) {
			t.Errorf("step %d %s: %s: %s", o.Number, o.Title, o.State, o.Note)
		}
	}
}

func forwarding(t testing.TB, s *graphtest.Server) []string {
	t.Helper()
	for _, l := range s.Left() {
		if strings.HasPrefix(l, "forwarding ") {
			return []string{l}
		}
	}
	return nil
}

// Nothing of the actor's is left, nothing of the organization's is touched.
func TestApply(t *testing.T) {
	for _, name := range []string{"midnight", "bec"} {
		t.Run(name, func(t *testing.T) {
			x := newScene(t, name, respond.Options{})
			if len(x.s.Left()) < 3 {
				t.Fatalf("the stand-in has only %v of the actor's", x.s.Left())
			}
			fwd := forwarding(t, x.s)
			out := x.apply(t)
			want(t, out, Done, Already, ByHand)
			x.clean(t, fwd...)
			t.Logf("%d requests, %v", len(x.s.Seen()), states(out))
			// Once more: all is so already, and nothing is sent but reads.
			n := len(x.s.Seen())
			want(t, x.apply(t), Already, Done, ByHand)
			for _, r := range x.s.Seen()[n:] {
				if r.Method != http.MethodGet {
					t.Errorf("the second time sent %s %s", r.Method, r.Path)
				}
			}
		})
	}
}

// A campaign that is only suspected is not touched, unless it is asked for.
func TestSuspected(t *testing.T) {
	for _, name := range []string{"consentphish", "insiderapp"} {
		x := newScene(t, name, respond.Options{})
		before := x.s.Left()
		want(t, x.apply(t), Skipped, ByHand)
		if d := cmp.Diff(before, x.s.Left()); d != "" || len(x.s.Seen()) > 0 {
			t.Errorf("%s: %d requests for what is suspected: %s", name, len(x.s.Seen()), d)
		}
		x.plan(t, respond.Options{Suspected: true})
		want(t, x.apply(t), Done, Already, ByHand)
		t.Logf("%s: left %v", name, x.s.Left())
		if name == "consentphish" {
			x.clean(t)
		}
		if h := x.s.Harmed(); len(h) > 0 {
			t.Errorf("%s: harmed: %v", name, h)
		}
	}
}

// Whatever the service does, in the end all is done once.
func TestFaults(t *testing.T) {
	for _, f := range []graphtest.Faults{
		{Throttle: 2}, {Busy: 3}, {Break: 2}, {Cut: 2}, {Break: 1}, {Cut: 1}, {Lag: 3}, {Lag: 5, Cut: 2}, {Throttle: 3, Busy: 5, Break: 3, Cut: 4, Lag: 2, Page: 1}, {Page: 1},
	} {
		for _, name := range []string{"midnight", "bec"} {
			t.Run(fmt.Sprintf("%s/%+v", name, f), func(t *testing.T) {
				x := newScene(t, name, respond.Options{})
				fwd := forwarding(t, x.s)
				was := x.s.Form()
				x.s.Faults = f
				want(t, x.apply(t), Done, Already, ByHand)
				x.clean(t, fwd...)
				refused := 0
				for _, r := range x.s.Seen() {
					if r.Status == http.StatusTooManyRequests {
						refused++
					}
				}
				if f.Throttle > 0 && (refused == 0 || x.sleeps < time.Duration(refused)*time.Second) {
					t.Errorf("refused %d times for a second each, waited %s", refused, x.sleeps)
				}
				x.undo(t)
				x.restored(t, was)
			})
		}
	}
}

func (x *scene) undo(t *testing.T) {
	t.Helper()
	list, _, err := ToUndo(x.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	done, err := Undo(t.Context(), list, x.o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range done {
		if u.State != Done && u.State != Already && (u.State != ByHand || u.Change.Back != nil) {
			t.Errorf("undo of %s (%s): %s: %s", u.Title, u.Change.What, u.State, u.Note)
		}
	}
}

// restored wants everything as it was, but for what cannot be undone.
func (x *scene) restored(t *testing.T, was []string) {
	t.Helper()
	now := x.s.Form()
	for _, l := range now {
		if !slices.Contains(was, l) {
			t.Errorf("new after undo: %s", l)
		}
	}
	for _, l := range was {
		if !slices.Contains(now, l) && !strings.Contains(l, "secret ") && !strings.Contains(l, "/authentication/methods ") {
			t.Errorf("missing after undo: %s", l)
		}
	}
	count := map[string]int{}
	for _, l := range was {
		count[l]++
	}
	for _, l := range now {
		if count[l]--; count[l] == -1 && slices.Contains(was, l) {
			t.Errorf("more often than before after undo: %s", l)
		}
	}
	if u := x.s.Unknown(); len(u) > 0 {
		t.Errorf("not in Microsoft's description: %v", u)
	}
}

// What was undone can be done again, and one step alone can be undone.
func TestUndoOneStep(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	was := x.s.Form()
	x.apply(t)
	var step *respond.Step
	for i := range x.p.Steps {
		if s := &x.p.Steps[i]; s.Kind == respond.DisablePrincipal && s.Object.Origin == casefile.AppTakenOver {
			step = s
		}
	}
	list, first, err := ToUndo(x.r, []string{step.ID})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if _, err := Undo(t.Context(), list, x.o, nil); err != nil {
		t.Fatal(err)
	}
	sp := ""
	x.s.Do(step.Tenant, func(ten *graphtest.Tenant) {
		sp = fmt.Sprint(ten.Find("/servicePrincipals", step.Target.Principal)["accountEnabled"])
	})
	if sp != "true" && step.Target.Principal != "" {
		t.Errorf("the application is not enabled again: %s", sp)
	}
	if _, again, err := ToUndo(x.r, []string{step.ID}); err != nil || again == first {
		t.Errorf("it would be undone twice: %v", err)
	}
	x.undo(t)
	x.restored(t, was)
	x.apply(t)
	x.clean(t)
}

// What somebody else removed meanwhile is no failure.
func TestGone(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	for _, id := range x.p.Tenants {
		x.s.Do(id, func(ten *graphtest.Tenant) { ten.Clear() })
	}
	out := x.apply(t)
	want(t, out, Already, ByHand, Done)
	for _, o := range out {
		if o.State == Done && o.Step.Kind != respond.NothingNew {
			t.Errorf("%s: done, and nothing is there", o.Title)
		}
	}
}

// An actor who comes back while the plan runs is seen at its end.
func TestActorComesBack(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	app := ""
	var tenant string
	for _, s := range x.p.Steps {
		if s.Kind == respond.RemoveCredentials && s.Target.All {
			app, tenant = s.Target.Application, s.Tenant
		}
	}
	writes := 0
	x.s.Hook = func(_ int, method, path string) {
		if method == http.MethodGet || !strings.Contains(path, "revokeSignInSessions") {
			return
		}
		if writes++; writes == 1 {
			x.s.Do(tenant, func(ten *graphtest.Tenant) {
				ten.Find("/applications", app)["passwordCredentials"] = []any{map[string]any{"keyId": "9d0d2d2c-0000-4000-8000-000000000001", "_by": "actor"}}
			})
			x.s.Audit(tenant, "Update application", "", x.c.Campaigns[0].Apps[0].ID)
		}
	}
	note := ""
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.NothingNew && o.Step.Tenant == tenant {
			note = fmt.Sprint(o.State, " ", o.Note)
		}
	}
	if !strings.HasPrefix(note, "attention") || !strings.Contains(note, "open again") || !strings.Contains(note, `"Update application"`) {
		t.Errorf("the end says %q", note)
	}
	x.s.Hook = nil
	x.apply(t)
	x.clean(t)
}

// Two rules of one name: one of them may be the owner's.
func TestTwoRulesOfOneName(t *testing.T) {
	x := newScene(t, "bec", respond.Options{})
	user := x.c.Campaigns[0].Accounts[0].ID
	path := "/users/" + user + "/mailFolders/inbox/messageRules"
	x.s.Do(x.p.Tenants[0], func(ten *graphtest.Tenant) {
		ten.Add(path, map[string]any{"id": "x", "displayName": ".", "_by": "owner"})
	})
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.RemoveRule && (o.State != Failed || !strings.Contains(o.Note, "2 rules have this name")) {
			t.Errorf("%s: %s", o.State, o.Note)
		}
	}
}

// An account that is synchronized is not changed in the cloud.
func TestSynchronizedAccount(t *testing.T) {
	x := newScene(t, "bec", respond.Options{})
	x.s.Do(x.p.Tenants[0], func(ten *graphtest.Tenant) {
		ten.Find("/users", x.c.Campaigns[0].Accounts[0].ID)["onPremisesSyncEnabled"] = true
	})
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.ResetPassword && (o.State != Failed || !strings.Contains(o.Note, "on premises")) {
			t.Errorf("%s: %s", o.State, o.Note)
		}
		if o.Step.Kind == respond.RevokeSessions && o.State != Done {
			t.Errorf("sessions: %s: %s", o.State, o.Note)
		}
	}
}

// A record that was changed cannot make undoing send something else.
func TestUndoOfChangedRecord(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	tenant := x.p.Tenants[0]
	for _, b := range []Back{
		{Way: backSet, Read: "/users/x", Was: json.RawMessage(`{"a":1}`), Method: "DELETE", Path: "/users/x"},
		{Way: backSet, Read: "/users/x", Was: json.RawMessage(`{"a":1}`), Method: "POST", Path: "/users/x/sendMail"},
		{Way: backSet, Read: "/users/x", Was: json.RawMessage(`{"a":1}`), Method: "PATCH", Path: "/users/x/../../applications"},
	} {
		done, err := Undo(t.Context(), []Undoable{{Tenant: tenant, Change: Change{Back: &b}}}, x.o, nil)
		if err != nil || done[0].State != Failed || !strings.Contains(done[0].Note, "record was changed") {
			t.Errorf("%s %s: %v %v", b.Method, b.Path, done, err)
		}
	}
	if len(x.s.Seen()) > 0 {
		t.Errorf("requests: %v", x.s.Seen())
	}
}
