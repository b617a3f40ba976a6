package graph

import (
	"strings"
	"testing"

	"midwatch/casefile"
	"midwatch/respond"
	"midwatch/respond/graphtest"
)

const (
	corporate = "6f65ad7a-b7b0-444b-9a99-21df6c8035f9"
	legacySP  = "77121830-da17-49d0-a4ce-37629b2b1e94" // of the application that was taken over
)

// Of the permissions of an application that was there before only those go that
// the case says were given while the actor had it: not older ones of the same
// name, and not others of that time, which are told.
func TestTakenOverPermissions(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	x.c.Campaigns[0].Apps[0].Permissions = []string{"Mail.Read", "Mail.Send (delegated)"}
	x.plan(t, respond.Options{})
	resource := graphtest.ID(corporate, "00000003-0000-0000-c000-000000000000")
	x.s.Do(corporate, func(ten *graphtest.Tenant) {
		add := func(id, role, at, by string) {
			ten.Add("/servicePrincipals/"+legacySP+"/appRoleAssignments", map[string]any{"id": id, "principalId": legacySP, "resourceId": resource,
				"resourceDisplayName": "Microsoft Graph", "appRoleId": graphtest.ID("role", role), "createdDateTime": at, "_by": by})
		}
		add("a", "Mail.Read", "2023-11-24T00:00:00Z", "actor")
		add("b", "Mail.Read", "2022-11-24T00:00:00Z", "owner")
		add("c", "Calendars.Read", "2023-11-25T00:00:00Z", "owner")
		ten.Add("/oauth2PermissionGrants", map[string]any{"id": "g", "clientId": legacySP, "consentType": "Principal",
			"principalId": x.c.Campaigns[0].Accounts[1].ID, "resourceId": resource, "scope": "Mail.Send", "_by": "actor"})
	})
	was := x.s.Form()
	note := ""
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.RemoveAppRoles && o.Step.Object.Origin == casefile.AppTakenOver && o.Step.Tenant == corporate {
			note = string(o.State) + " " + o.Note
		}
	}
	if !strings.HasPrefix(note, "attention ") || !strings.Contains(note, graphtest.ID("role", "Calendars.Read")) || strings.Contains(note, "Mail.Read") {
		t.Errorf("the step says %q", note)
	}
	x.clean(t)
	x.undo(t)
	x.restored(t, was)
}

// An application of which only object ids are known is found by these.
func TestApplicationWithoutID(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	for i := range x.c.Campaigns[0].Apps {
		a := &x.c.Campaigns[0].Apps[i]
		if a.Role == casefile.AppCreated {
			a.ID = ""
		}
	}
	x.plan(t, respond.Options{})
	want(t, x.apply(t), Done, Already, ByHand)
	x.clean(t)
}

// An object that is not the one in the case is not touched.
func TestAnotherObject(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	x.s.Do(corporate, func(ten *graphtest.Tenant) {
		ten.Find("/servicePrincipals", legacySP)["id"] = "99999999-0000-4000-8000-000000000000"
	})
	n := 0
	for _, o := range x.apply(t) {
		if o.Step.Kind == respond.DisablePrincipal && o.Step.Target.Principal == legacySP {
			if n++; o.State != Failed || !strings.Contains(o.Note, "is not the one in the case") {
				t.Errorf("%s: %s", o.State, o.Note)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d steps", n)
	}
}

// Two campaigns with the same objects: each step once, established if one of them is.
func TestTwoCampaigns(t *testing.T) {
	x := newScene(t, "midnight", respond.Options{})
	n := len(x.p.Steps)
	second := x.c.Campaigns[0]
	second.ID, second.Standing = "c-second", "suspected"
	x.c.Campaigns = append(x.c.Campaigns, second)
	x.plan(t, respond.Options{})
	if len(x.p.Steps) != n {
		t.Errorf("%d steps of two campaigns, %d of one", len(x.p.Steps), n)
	}
	for _, s := range x.p.Steps {
		if s.Suspected || len(s.Campaigns) != 2 {
			t.Errorf("%s: suspected %v, campaigns %v", s.Title, s.Suspected, s.Campaigns)
		}
	}
	want(t, x.apply(t), Done, Already, ByHand)
	x.clean(t)
}
