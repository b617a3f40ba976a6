package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"midwatch/respond"
)

// object is an application or a service principal.
type object struct {
	ID        string            `json:"id"`
	AppID     string            `json:"appId"`
	Name      string            `json:"displayName"`
	Owner     string            `json:"appOwnerOrganizationId"`
	Enabled   *bool             `json:"accountEnabled"`
	Passwords []json.RawMessage `json:"passwordCredentials"`
	Keys      []json.RawMessage `json:"keyCredentials"`
}

// microsoft are the tenants that Microsoft's own applications belong to.
func microsoft() []string {
	return []string{"f8cdef31-a31e-4b4a-93e4-5f571e91255a", "72f988bf-86f1-41af-91ab-2d7cd011db47"}
}

// find is how the step addresses the service principal to find it.
func (w *work) find() string {
	if t := w.s.Target; t.App != "" {
		return "/servicePrincipals(appId='" + t.App + "')"
	}
	return "/servicePrincipals/" + w.s.Target.Principal
}

// servicePrincipal reads it, and checks that it is the one that the case means.
// There is none when the application is not in the tenant.
func (w *work) servicePrincipal(ctx context.Context, sel string) (*object, error) {
	return w.known(ctx, w.find()+sel, w.s.Target.Principal, "service principal")
}

// registration reads the application's registration, if it is in this tenant.
func (w *work) registration(ctx context.Context) (*object, error) {
	t := w.s.Target
	switch {
	case t.App != "":
		return w.known(ctx, "/applications(appId='"+t.App+"')"+respond.SelectApplication, t.Application, "registration")
	case t.Application != "":
		return w.known(ctx, "/applications/"+t.Application+respond.SelectApplication, t.Application, "registration")
	}
	return nil, nil
}

func (w *work) known(ctx context.Context, path, id, what string) (*object, error) {
	var o object
	there, err := w.read(ctx, path, &o)
	if err != nil || !there {
		return nil, err
	}
	if !respond.GUID(o.ID) {
		return nil, fmt.Errorf("GET %s: the answer has no object id", path)
	}
	if id != "" && !strings.EqualFold(o.ID, id) || w.s.Target.App != "" && !strings.EqualFold(o.AppID, w.s.Target.App) {
		return nil, fmt.Errorf("the %s that Graph has (%s, application %s) is not the one in the case (%s, application %s): look by hand", what, o.ID, o.AppID, id, w.s.Target.App)
	}
	if slices.Contains(microsoft(), strings.ToLower(o.Owner)) {
		return nil, fmt.Errorf("application %s (%s) is Microsoft's own, and everybody's sign-ins may depend on it: nothing was changed; take back what the actor consented to by hand", o.Name, o.AppID)
	}
	return &o, nil
}

func (x *run) principalEnabled(ctx context.Context, w *work) ([]Change, error) {
	o, err := w.servicePrincipal(ctx, respond.SelectPrincipal)
	if err != nil || o == nil {
		return nil, err
	}
	if o.Enabled == nil {
		return nil, errNotSaid
	}
	if !*o.Enabled {
		return nil, nil
	}
	return []Change{enabled("disable the service principal", "/servicePrincipals/"+o.ID)}, nil
}

func (x *run) credentials(ctx context.Context, w *work) ([]Change, error) {
	var out []Change
	reg, err := w.registration(ctx)
	if err != nil {
		return nil, err
	}
	if reg != nil {
		cs, err := w.credentialsOf(reg, "/applications/"+reg.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, cs...)
		path := "/applications/" + reg.ID + "/federatedIdentityCredentials"
		items, err := w.list(ctx, path)
		if err != nil {
			return nil, err
		}
		for _, raw := range items {
			if !w.s.Target.All {
				var f struct{ Name, Issuer, Subject string }
				if err := json.Unmarshal(raw, &f); err != nil {
					return nil, fmt.Errorf("a federated credential: %w", err)
				}
				w.note("federated credential %q (%s, %s) has no date: is it the owner's?", f.Name, f.Issuer, f.Subject)
				continue
			}
			c, err := removal("remove a federated credential", path, path, raw, []string{"name", "issuer", "subject", "description", "audiences"})
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	sp, err := w.servicePrincipal(ctx, respond.SelectCredentials)
	if err != nil || sp == nil {
		return out, err
	}
	cs, err := w.credentialsOf(sp, "/servicePrincipals/"+sp.ID)
	return append(out, cs...), err
}

// credentialsOf removes secrets one by one, and certificates by writing the list
// of those that stay.
func (w *work) credentialsOf(o *object, path string) ([]Change, error) {
	t := &w.s.Target
	var out []Change
	named := func(raw json.RawMessage) (id string, ours bool, err error) {
		var k struct {
			ID    string `json:"keyId"`
			Begin string `json:"startDateTime"`
		}
		if err := json.Unmarshal(raw, &k); err != nil {
			return "", false, fmt.Errorf("a credential of %s: %w", o.ID, err)
		}
		if since, ok := w.dated(k.Begin); ok && since && !t.All && !slices.ContainsFunc(t.Keys, func(id string) bool { return strings.EqualFold(id, k.ID) }) {
			w.note("credential %s begins at %s, and no record of that is in the case: whose is it?", k.ID, k.Begin)
		}
		return k.ID, t.All || slices.ContainsFunc(t.Keys, func(id string) bool { return strings.EqualFold(id, k.ID) }), nil
	}
	for _, raw := range o.Passwords {
		id, ours, err := named(raw)
		if err != nil {
			return nil, err
		}
		if ours {
			b, err := json.Marshal(map[string]string{"keyId": id})
			if err != nil {
				return nil, err
			}
			out = append(out, Change{What: "remove the client secret " + id, Method: "POST", Path: path + "/removePassword", Body: b})
		}
	}
	stay, leave := []json.RawMessage{}, []json.RawMessage{}
	for _, raw := range o.Keys {
		_, ours, err := named(raw)
		if err != nil {
			return nil, err
		}
		if ours {
			leave = append(leave, raw)
		} else {
			stay = append(stay, raw)
		}
	}
	if len(leave) == 0 {
		return out, nil
	}
	b, err := json.Marshal(map[string]any{"keyCredentials": stay})
	if err != nil {
		return nil, err
	}
	was, err := json.Marshal(leave)
	if err != nil {
		return nil, err
	}
	return append(out, Change{What: fmt.Sprintf("remove %d certificates", len(leave)), Method: "PATCH", Path: path, Body: b,
		Back: &Back{Way: backKeys, Read: path + respond.SelectApplication, Was: was, Method: "PATCH", Path: path}}), nil
}

func (x *run) owners(ctx context.Context, w *work) ([]Change, error) {
	var out []Change
	of := func(path string) error {
		items, err := w.list(ctx, path+"/owners")
		if err != nil {
			return err
		}
		for _, raw := range items {
			var o struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(raw, &o); err != nil {
				return fmt.Errorf("an owner: %w", err)
			}
			if !slices.Contains(w.s.Target.Principals, o.ID) {
				continue
			}
			was, err := json.Marshal(map[string]string{"id": o.ID})
			if err != nil {
				return err
			}
			ref, err := json.Marshal(map[string]string{"@odata.id": w.c.base + "/v1.0/directoryObjects/" + o.ID})
			if err != nil {
				return err
			}
			out = append(out, Change{What: "remove an owner", Method: "DELETE", Path: path + "/owners/" + url.PathEscape(o.ID) + "/$ref",
				Back: &Back{Way: backItem, Read: path + "/owners", Was: was, Same: []string{"id"}, Method: "POST", Path: path + "/owners/$ref", Body: ref}})
		}
		return nil
	}
	sp, err := w.servicePrincipal(ctx, respond.SelectPrincipal)
	if err == nil && sp != nil {
		err = of("/servicePrincipals/" + sp.ID)
	}
	if err != nil {
		return nil, err
	}
	reg, err := w.registration(ctx)
	if err == nil && reg != nil {
		err = of("/applications/" + reg.ID)
	}
	return out, err
}

func (x *run) appRoles(ctx context.Context, w *work) ([]Change, error) {
	sp, err := w.servicePrincipal(ctx, respond.SelectPrincipal)
	if err != nil || sp == nil {
		return nil, err
	}
	path := "/servicePrincipals/" + sp.ID + "/appRoleAssignments"
	items, err := w.list(ctx, path)
	if err != nil {
		return nil, err
	}
	names := map[string]string{} // resource and role -> name
	var out []Change
	for _, raw := range items {
		var a struct {
			Role         string `json:"appRoleId"`
			Resource     string `json:"resourceId"`
			ResourceName string `json:"resourceDisplayName"`
			Created      string `json:"createdDateTime"`
		}
		if err := json.Unmarshal(raw, &a); err != nil {
			return nil, fmt.Errorf("an assignment: %w", err)
		}
		if !w.s.Target.All {
			since, ok := w.dated(a.Created)
			if ok && !since {
				continue
			}
			name, err := w.roleName(ctx, names, a.Resource, a.Role)
			if err != nil {
				return nil, err
			}
			if !ok || !slices.Contains(w.s.Target.Permissions, name) {
				w.note("%s of %s was given at %q, and no record of that is in the case: who did?", name, a.ResourceName, a.Created)
				continue
			}
		}
		c, err := removal("take back an application permission", path, path, raw, []string{"principalId", "resourceId", "appRoleId"})
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// roleName looks up what a role of a resource is called.
func (w *work) roleName(ctx context.Context, names map[string]string, resource, role string) (string, error) {
	if !respond.GUID(resource) {
		return "", fmt.Errorf("an assignment names the resource %q, which is no id", resource)
	}
	if n, ok := names[resource+role]; ok {
		return n, nil
	}
	var r struct {
		Roles []struct {
			ID    string `json:"id"`
			Value string `json:"value"`
		} `json:"appRoles"`
	}
	if _, err := w.read(ctx, "/servicePrincipals/"+resource+respond.SelectRoles, &r); err != nil {
		return "", err
	}
	names[resource+role] = role
	for _, x := range r.Roles {
		names[resource+x.ID] = x.Value
	}
	return names[resource+role], nil
}

func (x *run) consents(ctx context.Context, w *work) ([]Change, error) {
	sp, err := w.servicePrincipal(ctx, respond.SelectPrincipal)
	if err != nil || sp == nil {
		return nil, err
	}
	read := "/servicePrincipals/" + sp.ID + "/oauth2PermissionGrants"
	items, err := w.list(ctx, read)
	if err != nil {
		return nil, err
	}
	var out []Change
	for _, raw := range items {
		var g struct {
			Principal string `json:"principalId"`
		}
		if err := json.Unmarshal(raw, &g); err != nil {
			return nil, fmt.Errorf("a consent: %w", err)
		}
		if !w.s.Target.All && !slices.Contains(w.s.Target.Principals, g.Principal) {
			continue
		}
		c, err := removal("take back a consent", "/oauth2PermissionGrants", read, raw, []string{"clientId", "consentType", "principalId", "resourceId", "scope"})
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
