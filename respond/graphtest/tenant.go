package graphtest

import (
	"slices"
	"strings"
	"time"

	"midwatch/simulate"
)

// Names of the resources whose permissions are granted.
const (
	graphAppID    = "00000003-0000-0000-c000-000000000000"
	exchangeAppID = "00000002-0000-0ff1-ce00-000000000000"
)

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

const (
	actor = "actor"
	owner = "owner"
)

// FromTruth makes the tenants of a simulated organization as the actor left
// them: what the answer key says the actor made, what the key does not name but
// such an actor makes (a second certificate, a federated credential, a method, a
// device, a directory role, owners), and beside each a legitimate thing of the
// same kind.
func FromTruth(t *simulate.Truth) *Server {
	s := New(t.End)
	b := truth{s, t, t.Start.AddDate(-1, 0, 0)}
	for _, ten := range t.Tenants {
		b.resources(s.tenant(ten.ID))
		for _, name := range []string{"first", "second", "third"} {
			b.user(s.tenant(ten.ID), ID(ten.ID, name), name+"@"+ten.Domains[0])
		}
	}
	for _, l := range t.LookAlikes {
		b.lookAlike(l)
	}
	for i := range t.Campaigns {
		b.campaign(&t.Campaigns[i])
	}
	for _, ten := range s.tenants {
		ten.now = ten.now.clone() // one form for what JSON has several of
		ten.begin = ten.now.clone()
	}
	return s
}

type truth struct {
	s    *Server
	t    *simulate.Truth
	long time.Time // long before
}

func (b *truth) corporate() *Tenant { return b.s.tenant(b.t.Tenants[0].ID) }

func (b *truth) resources(t *Tenant) {
	for _, id := range []string{graphAppID, exchangeAppID} {
		t.Add("/servicePrincipals", object{"id": ID(t.ID, id), "appId": id, "displayName": "resource " + id[:8], "accountEnabled": true, "appRoles": []any{}, "_by": owner})
	}
}

// role returns the resource and the role's id for a permission, and makes the
// role when it is new.
func (b *truth) role(t *Tenant, name string) (resource, role string) {
	app := graphAppID
	if name == "full_access_as_app" {
		app = exchangeAppID
	}
	sp := t.Find("/servicePrincipals", ID(t.ID, app))
	role = ID("role", name)
	list := sp["appRoles"].([]any)
	if !slices.ContainsFunc(list, func(x any) bool { return text(x.(object), "id") == role }) {
		sp["appRoles"] = append(list, object{"id": role, "value": name})
	}
	return text(sp, "id"), role
}

// user makes an account with an owner's life in it, if it is not there.
func (b *truth) user(t *Tenant, id, upn string) object {
	if u := t.Find("/users", id); u != nil {
		return u
	}
	u := object{"id": id, "userPrincipalName": upn, "displayName": upn, "accountEnabled": true, "onPremisesSyncEnabled": nil,
		"lastPasswordChangeDateTime": when(b.long), "signInSessionsValidFromDateTime": when(b.long), "_by": owner}
	t.Add("/users", u)
	base := "/users/" + id
	t.Add(base+"/authentication/methods", object{"id": "28c10230-6103-485e-b985-444c60001490", "@odata.type": "#microsoft.graph.passwordAuthenticationMethod", "createdDateTime": when(b.long), "_by": owner})
	t.Add(base+"/authentication/methods", object{"id": ID(id, "phone"), "@odata.type": "#microsoft.graph.fido2AuthenticationMethod", "createdDateTime": when(b.long), "_by": owner})
	t.Add("/devices", object{"id": ID(id, "laptop"), "displayName": "laptop", "accountEnabled": true, "registrationDateTime": when(b.long), "_by": owner, "_user": id})
	t.Add(base+"/mailFolders/inbox/messageRules", object{"id": ID(id, "rule"), "displayName": "Newsletters", "sequence": 1, "isEnabled": true,
		"conditions": object{"subjectContains": []any{"newsletter"}}, "actions": object{"moveToFolder": "letters"}, "_by": owner})
	return u
}

// app makes a registration with its service principal.
func (b *truth) app(t *Tenant, appID, registration, sp, name, by string) {
	if registration != "" && t.Find("/applications", registration) == nil {
		t.Add("/applications", object{"id": registration, "appId": appID, "displayName": name, "passwordCredentials": []any{}, "keyCredentials": []any{}, "_by": by})
	}
	if t.Find("/servicePrincipals", sp) == nil {
		t.Add("/servicePrincipals", object{"id": sp, "appId": appID, "displayName": name, "accountEnabled": true, "passwordCredentials": []any{}, "keyCredentials": []any{}, "appRoles": []any{}, "_by": by})
	}
}

func (b *truth) secret(t *Tenant, registration, key string, by string) {
	o := t.Find("/applications", registration)
	o["passwordCredentials"] = append(o["passwordCredentials"].([]any), object{"keyId": key, "displayName": "key", "_by": by})
}

func (b *truth) certificate(t *Tenant, collection, id, key string, by string) {
	o := t.Find(collection, id)
	o["keyCredentials"] = append(o["keyCredentials"].([]any), object{"keyId": key, "type": "AsymmetricX509Cert", "usage": "Verify", "key": "MIIC" + key, "_by": by})
}

func (b *truth) grant(t *Tenant, sp, permission string, at time.Time, by string) {
	resource, role := b.role(t, permission)
	t.Add("/servicePrincipals/"+sp+"/appRoleAssignments", object{"id": ID(sp, "role", permission), "principalId": sp, "principalType": "ServicePrincipal",
		"resourceId": resource, "resourceDisplayName": "resource", "appRoleId": role, "createdDateTime": when(at), "_by": by})
}

func (b *truth) consent(t *Tenant, sp, user, scope, by string) {
	o := object{"id": ID(sp, "consent", user, scope), "clientId": sp, "consentType": "Principal", "principalId": user, "resourceId": ID(t.ID, graphAppID), "scope": scope, "_by": by}
	if user == "" {
		o["consentType"], o["principalId"] = "AllPrincipals", nil
	}
	t.Add("/oauth2PermissionGrants", o)
}

func (b *truth) lookAlike(l simulate.LookAlike) {
	t := b.corporate()
	if l.Account != "" {
		b.user(t, ID(l.Account), l.Account)
	}
	if l.AppID == "" {
		return
	}
	reg, sp := ID(l.AppID, "object"), ID(l.AppID, "sp")
	b.app(t, l.AppID, reg, sp, l.Kind, owner)
	if l.KeyID != "" {
		b.secret(t, reg, l.KeyID, owner)
	}
	b.certificate(t, "/applications", reg, ID(l.AppID, "certificate"), owner)
	b.grant(t, sp, "Mail.Read", b.long, owner)
	if l.Account != "" {
		b.consent(t, sp, ID(l.Account), "User.Read", owner)
	}
}

func (b *truth) campaign(c *simulate.CampaignOf) {
	for _, a := range c.Created {
		t := b.s.tenant(a.Tenant)
		t.Add("/users", object{"id": a.ID, "userPrincipalName": a.UPN, "displayName": a.UPN, "accountEnabled": true, "onPremisesSyncEnabled": nil,
			"lastPasswordChangeDateTime": when(a.Since), "signInSessionsValidFromDateTime": when(a.Since), "_by": actor, "_session": when(a.Since.Add(time.Hour))})
		t.Add("/devices", object{"id": ID(a.ID, "vm"), "displayName": "vm", "accountEnabled": true, "registrationDateTime": when(a.Since.Add(time.Hour)), "_by": actor, "_user": a.ID})
		for _, role := range []string{"global", "exchange", "privileged"} {
			t.Add("/roleManagement/directory/roleAssignments", object{"id": ID(a.ID, role), "principalId": a.ID, "roleDefinitionId": ID("role", role), "directoryScopeId": "/", "_by": actor})
		}
	}
	for _, a := range c.Compromised {
		if a.How == "consent" {
			b.user(b.s.tenant(a.Tenant), a.ID, a.UPN)
			continue
		}
		t := b.s.tenant(a.Tenant)
		u := b.user(t, a.ID, a.UPN)
		u["_taken"], u["_session"], u["_since"] = true, when(c.End), when(a.Since)
		base := "/users/" + a.ID
		t.Add(base+"/authentication/methods", object{"id": ID(a.ID, "app"), "@odata.type": "#microsoft.graph.microsoftAuthenticatorAuthenticationMethod", "createdDateTime": when(a.Since.Add(time.Hour)), "_by": actor})
		t.Add("/devices", object{"id": ID(a.ID, "vm"), "displayName": "vm", "accountEnabled": true, "registrationDateTime": when(a.Since.Add(2 * time.Hour)), "_by": actor, "_user": a.ID})
		t.Add("/roleManagement/directory/roleAssignments", object{"id": ID(a.ID, "reader"), "principalId": a.ID, "roleDefinitionId": ID("role", "reader"), "directoryScopeId": "/", "_by": owner})
	}
	for _, r := range c.Rules {
		t := b.corporate()
		id := ""
		for _, u := range t.now["/users"] {
			if text(u, "userPrincipalName") == r.Mailbox {
				id = text(u, "id")
			}
		}
		if r.Name == "" {
			t.Add("forwarding", object{"id": id, "to": r.To, "_by": actor}) // Exchange's, not Graph's
			continue
		}
		t.Add("/users/"+id+"/mailFolders/inbox/messageRules", object{"id": ID(id, r.Name), "displayName": r.Name, "sequence": 2, "isEnabled": true, "isReadOnly": false, "hasError": false,
			"conditions": object{"bodyOrSubjectContains": []any{"invoice", "payment"}}, "actions": object{"moveToFolder": "RSS Feeds", "markAsRead": true}, "_by": actor})
	}
	for i := range c.Apps {
		b.actorsApp(c, &c.Apps[i])
	}
}

// home is the tenant in which an application is registered.
func (b *truth) home(a *simulate.AppOf) *Tenant {
	if a.Role == "taken_over" && len(b.t.Tenants) > 1 {
		return b.s.tenant(b.t.Tenants[1].ID)
	}
	return b.corporate()
}

func (b *truth) actorsApp(c *simulate.CampaignOf, a *simulate.AppOf) {
	t, home := b.corporate(), b.home(a)
	by := actor
	if a.Role == "taken_over" {
		by = owner
	}
	switch {
	case a.Role == "introduced":
		b.app(t, a.AppID, "", a.ServicePrincipal, a.Name, by)
	case home == t:
		b.app(t, a.AppID, a.Object, a.ServicePrincipal, a.Name, by)
	default:
		b.app(t, a.AppID, "", a.ServicePrincipal, a.Name, by)
		b.app(home, a.AppID, a.Object, ID(a.ServicePrincipal, "home"), a.Name, by)
	}
	if a.Object != "" {
		for _, k := range a.KeyIDs {
			b.secret(home, a.Object, k, actor)
		}
	}
	switch a.Role {
	case "taken_over":
		for _, x := range []*Tenant{t, home} {
			for _, o := range x.now["/servicePrincipals"] {
				if text(o, "appId") == a.AppID {
					o["_taken"] = true
				}
			}
		}
		b.secret(home, a.Object, ID(a.AppID, "own secret"), owner)
		b.certificate(home, "/applications", a.Object, ID(a.AppID, "own certificate"), owner)
		b.consent(t, a.ServicePrincipal, "", "User.Read", owner)
		for _, p := range a.Permissions {
			b.grant(t, a.ServicePrincipal, p, b.long, owner)
		}
		return
	case "created":
		b.certificate(t, "/applications", a.Object, ID(a.AppID, "hidden certificate"), actor)
		b.certificate(t, "/servicePrincipals", a.ServicePrincipal, ID(a.AppID, "hidden certificate of the principal"), actor)
		t.Add("/applications/"+a.Object+"/federatedIdentityCredentials", object{"id": ID(a.AppID, "federated"), "name": "ci", "issuer": "https://issuer.example", "subject": "x", "audiences": []any{"api://x"}, "_by": actor})
		for _, who := range c.Created {
			for _, path := range []string{"/applications/" + a.Object, "/servicePrincipals/" + a.ServicePrincipal} {
				t.Add(path+"/owners", object{"id": who.ID, "@odata.type": "#microsoft.graph.user", "_by": actor})
			}
			b.consent(t, a.ServicePrincipal, who.ID, "Mail.Read offline_access", actor)
		}
		for _, p := range a.Permissions {
			b.grant(t, a.ServicePrincipal, p, a.Since.Add(24*time.Hour), actor)
		}
	case "introduced":
		for _, who := range c.Compromised {
			b.consent(t, a.ServicePrincipal, who.ID, strings.Join(a.Permissions, " "), actor)
		}
	}
}

// Clear takes everything out of a tenant.
func (t *Tenant) Clear() { t.now, t.begin = state{}, state{} }

// Hide takes a member out of everything, as Graph does with what the application
// may not read.
func (t *Tenant) Hide(member string) {
	for _, list := range t.now {
		for _, o := range list {
			delete(o, member)
		}
	}
}
