package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"midwatch/respond"
	"midwatch/respond/graphtest"
)

func TestPermissionMissing(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	x.s.Lacking[x.p.Tenants[1]] = []string{"AppRoleAssignment.ReadWrite.All", "Device.ReadWrite.All"}
	_, err := Apply(t.Context(), x.p, x.o)
	if err == nil || !strings.Contains(err.Error(), "AppRoleAssignment.ReadWrite.All, Device.ReadWrite.All") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Fatalf("error %v", err)
	}
	if len(x.s.Seen()) > 0 || len(x.r.entries) > 0 {
		t.Errorf("%d requests, %d entries before the permissions were right", len(x.s.Seen()), len(x.r.entries))
	}
	// The rest, for who asks for it.
	x.o.Partial = true
	out := x.apply(t)
	if states(out)[Skipped] == 0 || states(out)[Done] == 0 {
		t.Errorf("partial: %v", states(out))
	}
	// A token whose permissions cannot be read: Graph's refusal names the step's.
	y := newScene(t, "midnight", respond.Options{})
	y.s.Lacking[y.p.Tenants[1]] = []string{"Device.ReadWrite.All"}
	y.o.Tokens = opaque{issued{y.s}}
	y.o.HTTP = &http.Client{Transport: reveal{y.s}}
	found := false
	for _, o := range y.apply(t) {
		if o.State == Failed && strings.Contains(o.Note, "the step needs Device.ReadWrite.All") {
			found = true
		}
	}
	if !found {
		t.Error("no step says which permission it needs")
	}
}

// opaque hides what is in a token; reveal is the service, which can read it.
type opaque struct{ issued }

func (o opaque) Token(_ context.Context, tenant string) (string, error) {
	return "opaque-" + tenant, nil
}

type reveal struct{ s *graphtest.Server }

func (r reveal) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.Header.Set("Authorization", "Bearer "+r.s.Token(strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer opaque-")))
	return r.s.Client().Transport.RoundTrip(q)
}

// A tenant that gives no token does not keep the other from being cleaned, for
// who asks for that.
func TestTenantWithoutAccess(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	if len(x.p.Tenants) != 2 {
		t.Fatalf("tenants %v", x.p.Tenants)
	}
	x.s.Strange = []string{x.p.Tenants[0]}
	if _, err := Apply(t.Context(), x.p, x.o); err == nil || !strings.Contains(err.Error(), "AADSTS90002") {
		t.Fatalf("error %v", err)
	}
	x.o.Partial = true
	x.apply(t)
	for _, r := range x.s.Seen() {
		if r.Tenant != x.p.Tenants[1] {
			t.Errorf("%s %s in tenant %s", r.Method, r.Path, r.Tenant)
		}
	}
	if len(x.s.Seen()) == 0 {
		t.Error("nothing was done in the other tenant")
	}
}

// An identity that is in the plan does not carry the plan out.
func TestSelf(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	x.s.AppID = x.c.Campaigns[0].Apps[0].ID
	if _, err := Apply(t.Context(), x.p, x.o); err == nil || !strings.Contains(err.Error(), "the very identity") {
		t.Errorf("error %v", err)
	}
	if len(x.s.Seen()) > 0 {
		t.Errorf("requests %v", x.s.Seen())
	}
}

// No token and no password in what is written down, said or shown to nobody.
func TestSecrets(t *testing.T) {
	x := newScene(t, "bec", respond.Options{})
	var made, shown string
	x.o.Password = func() (string, error) {
		p, err := NewPassword()
		made = p
		return p, err
	}
	x.o.Reveal = func(account, p string) { shown = account + " " + p }
	out := x.apply(t)
	if made == "" || !strings.HasSuffix(shown, " "+made) {
		t.Errorf("made %q, shown %q", made, shown)
	}
	b, err := json.Marshal([]any{x.r.entries, out, x.p})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{made, x.s.Token(x.p.Tenants[0]), x.s.Secret()} {
		if strings.Contains(string(b), secret) {
			t.Error("a secret is in the record or in an outcome")
		}
	}
}

// A record that cannot be written stops everything: nothing is changed that is
// not written down.
func TestRecordFails(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	x.r.fail = fmt.Errorf("no space left on device")
	if _, err := Apply(t.Context(), x.p, x.o); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
	for _, r := range x.s.Seen() {
		if r.Method != http.MethodGet {
			t.Errorf("sent %s %s", r.Method, r.Path)
		}
	}
}
