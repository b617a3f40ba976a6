package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"midwatch/respond"
	"midwatch/respond/graphtest"
)

// A method that goes only when the others are gone.
func TestDefaultMethod(t *testing.T) {
	x := newScene(t, "bec", respond.Options{})
	path := "/users/" + x.c.Campaigns[0].Accounts[0].ID + "/authentication/methods"
	x.s.Do(x.p.Tenants[0], func(ten *graphtest.Tenant) {
		for _, m := range []string{"a", "b"} {
			ten.Add(path, map[string]any{"id": m, "@odata.type": "#microsoft.graph.fido2AuthenticationMethod", "createdDateTime": "2023-12-05T00:00:00Z", "_by": "actor", "_default": m == "a"})
		}
		ten.Add(path, map[string]any{"id": "p", "@odata.type": "#microsoft.graph.phoneAuthenticationMethod", "_by": "owner"})
		ten.Add(path, map[string]any{"id": "q", "@odata.type": "#microsoft.graph.qrCodePinAuthenticationMethod", "createdDateTime": "2023-12-05T00:00:00Z", "_by": "owner"})
	})
	fwd := forwarding(t, x.s)
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.RemoveMethods && (o.State != Attention || !strings.Contains(o.Note, "phoneAuthenticationMethod p has no date") || !strings.Contains(o.Note, "removed by hand")) {
			t.Errorf("%s: %s", o.State, o.Note)
		}
	}
	x.clean(t, fwd...)
}

// What Graph does not say is not no.
func TestNotSaid(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	for _, id := range x.p.Tenants {
		x.s.Do(id, func(ten *graphtest.Tenant) { ten.Hide("accountEnabled") })
	}
	n := 0
	for _, o := range x.apply(t) {
		switch o.Step.Kind {
		case respond.DisableAccount, respond.DisablePrincipal, respond.DisableDevices:
			if n++; o.State != Failed || !strings.Contains(o.Note, "does not say") {
				t.Errorf("%s: %s %s", o.Title, o.State, o.Note)
			}
		}
	}
	if n < 6 {
		t.Errorf("only %d steps", n)
	}
}

// A mailbox that Graph cannot open is not one without rules.
func TestMailboxElsewhere(t *testing.T) {
	if gone(&Error{Status: 404, Code: "MailboxNotEnabledForRESTAPI"}) || !gone(&Error{Status: 404, Code: "ErrorItemNotFound"}) {
		t.Error("a mailbox on premises counts as one without rules")
	}
}

// A link to the next page leads on in the same service or nowhere: the token
// goes with it.
func TestNextLink(t *testing.T) {
	for _, next := range []string{"https://evil.example/v1.0/users", "https://graph.microsoft.com.evil.example/v1.0/x", "/v1.0/users", "https://graph.microsoft.com/v1.0/users/x?$skiptoken=1"} {
		asked := 0
		c := &Client{base: "https://graph.microsoft.com", tries: 1, tokens: fixed{}, http: &http.Client{Transport: transport(func(q *http.Request) *http.Response {
			if asked++; q.URL.Host != "graph.microsoft.com" || asked > 3 {
				t.Errorf("asked %s", q.URL)
			}
			b, _ := json.Marshal(map[string]any{"value": []any{}, "@odata.nextLink": next})
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(b)), Header: http.Header{}}
		})}}
		if _, err := c.list(t.Context(), "/users/x"); err == nil {
			t.Errorf("%s is followed", next)
		}
	}
}

type fixed struct{}

func (fixed) Token(context.Context, string) (string, error) { return "token", nil }

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(q *http.Request) (*http.Response, error) { return f(q), nil }

// The service's wish is kept, and no two clients wait the same.
func TestPause(t *testing.T) {
	c := &Client{}
	for range 100 {
		if d := c.pause(&retry{after: 7 * time.Second}, 1); d < 7*time.Second || d > 8*time.Second {
			t.Errorf("waits %s for Retry-After: 7", d)
		}
		if d := c.pause(&retry{after: time.Hour}, 1); d > 11*time.Minute {
			t.Errorf("waits %s", d)
		}
		if d := c.pause(&retry{}, 3); d < 2*time.Second || d > 6*time.Second {
			t.Errorf("the third try waits %s", d)
		}
	}
}

func TestNewPassword(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p, err := NewPassword()
		if err != nil || len(p) != 24 || seen[p] {
			t.Fatalf("%q, %v", p, err)
		}
		seen[p] = true
	}
}

// Every request that is sent stands in the plan, with what it selects.
func TestSentIsPlanned(t *testing.T) {
	for _, name := range []string{"midnight", "bec"} {
		x := newScene(t, name, respond.Options{})
		x.apply(t)
		for _, r := range x.s.Seen() {
			found := false
			for i := range x.p.Steps {
				s := &x.p.Steps[i]
				for _, c := range s.Calls {
					_, sel, _ := strings.Cut(c.Path, "?$select=")
					one := respond.Step{Calls: []respond.Call{c}}
					found = found || s.Tenant == r.Tenant && one.Allows(r.Method, r.Path) && sel == r.Query
				}
			}
			if !found {
				t.Errorf("%s %s?$select=%s is in no step", r.Method, r.Path, r.Query)
			}
		}
	}
}

// Microsoft's own applications are not for a machine, whatever the case says.
func TestMicrosoftsOwn(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	app := x.c.Campaigns[0].Apps[1]
	for _, id := range x.p.Tenants {
		x.s.Do(id, func(ten *graphtest.Tenant) {
			for _, sp := range app.ServicePrincipals {
				if o := ten.Find("/servicePrincipals", sp); o != nil {
					o["appOwnerOrganizationId"] = "F8CDEF31-a31e-4b4a-93e4-5f571e91255a"
				}
			}
		})
	}
	n := 0
	for _, o := range x.apply(t) {
		if o.Step.Target.App == app.ID && o.Step.Executable {
			if n++; o.State != Failed || !strings.Contains(o.Note, "Microsoft's own") {
				t.Errorf("%s: %s %s", o.Title, o.State, o.Note)
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d steps", n)
	}
}

// A person's token opens that person's mailbox only.
func TestPersonsToken(t *testing.T) {
	x := newScene(t, "bec", respond.Options{})
	x.o.Tokens = delegated{}
	if _, err := Apply(t.Context(), x.p, x.o); err == nil || !strings.Contains(err.Error(), "as an application permission") || strings.Contains(err.Error(), "Device.ReadWrite.All") {
		t.Errorf("error %v", err)
	}
}

type delegated struct{}

func (delegated) Token(context.Context, string) (string, error) {
	claims := `{"scp":"Directory.AccessAsUser.All User.ReadWrite.All MailboxSettings.Read MailboxSettings.ReadWrite UserAuthenticationMethod.ReadWrite.All AuditLog.Read.All","oid":"x"}`
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x", nil
}

// Whatever stands in a token, an answer or a record is read or refused.
func FuzzAnswers(f *testing.F) {
	f.Add("a.e30.c", `{"value":[{"id":"x","keyId":"y","displayName":"z"}],"passwordCredentials":[{"keyId":null}],"keyCredentials":[1]}`)
	f.Add("", `{"id":"00000000-0000-4000-8000-000000000000","accountEnabled":true,"value":[{"id":"..","@odata.type":"#microsoft.graph.fido2AuthenticationMethod","createdDateTime":"2030-01-01T00:00:00Z"}]}`)
	f.Add("x", `[]`)
	var scenes []*scene
	for _, name := range []string{"midnight", "bec"} {
		scenes = append(scenes, newScene(f, name, respond.Options{}))
	}
	f.Fuzz(func(t *testing.T, token, answer string) {
		readToken(token)
		for _, x := range scenes {
			var step *respond.Step
			x := newRun(Options{Password: NewPassword, HTTP: &http.Client{Transport: transport(func(q *http.Request) *http.Response {
				path := strings.TrimPrefix(q.URL.EscapedPath(), "/v1.0")
				if q.URL.Host != "graph.example" || q.Method != http.MethodGet && (step == nil || !step.Allows(q.Method, path)) || strings.Contains(path+"/", "/../") {
					t.Errorf("sent %s %s", q.Method, q.URL)
				}
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(answer)), Header: http.Header{}}
			})}, Base: "https://graph.example", Tokens: fixed{}, tries: 1}).with(x.p)
			for i := range x.p.Steps {
				s := &x.p.Steps[i]
				if !s.Executable || s.Kind == respond.NothingNew {
					continue
				}
				step = s
				w := &work{s: s, c: x.client(s.Tenant)}
				changes, _ := x.needed(t.Context(), w)
				for _, c := range changes[:min(len(changes), 3)] {
					_ = x.change(t.Context(), w, &c)
				}
			}
			step = nil
			r := &memory{}
			var e Entry
			if json.Unmarshal([]byte(answer), &e) == nil {
				r.entries = []Entry{e}
				if list, _, err := ToUndo(r, nil); err == nil {
					for _, u := range list {
						if u.Change.Back != nil {
							_, _, _ = x.restored(t.Context(), x.client("t"), u.Change.Back)
						}
					}
				}
			}
		}
	})
}

func (x *run) with(p *respond.Plan) *run {
	x.p = p
	return x
}

// What came to an application since it was taken, without a record of it, is
// not touched and not passed over.
func TestUnexplainedCredentials(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	app := "82f71f71-3e40-480f-b11f-3c4572855d22"
	x.s.Do("42b9be88-2bb0-4d6a-b0c2-37917de04bdb", func(ten *graphtest.Tenant) {
		o := ten.Find("/applications", app)
		o["passwordCredentials"] = append(o["passwordCredentials"].([]any), map[string]any{"keyId": "11111111-0000-4000-8000-000000000000", "startDateTime": "2023-12-01T00:00:00Z", "_by": "owner"},
			map[string]any{"keyId": "22222222-0000-4000-8000-000000000000", "startDateTime": "2022-12-01T00:00:00Z", "_by": "owner"})
		ten.Add("/applications/"+app+"/federatedIdentityCredentials", map[string]any{"id": "f", "name": "deploy", "issuer": "https://ci.example", "subject": "main", "_by": "owner"})
	})
	found := false
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.RemoveCredentials && o.Step.Tenant == "42b9be88-2bb0-4d6a-b0c2-37917de04bdb" {
			found = true
			if o.State != Attention || !strings.Contains(o.Note, "11111111-") || !strings.Contains(o.Note, `"deploy"`) || strings.Contains(o.Note, "22222222-") {
				t.Errorf("%s: %s", o.State, o.Note)
			}
		}
	}
	if !found {
		t.Error("no such step")
	}
	x.clean(t)
}
