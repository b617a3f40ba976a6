package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"midwatch/respond"
)

// needed reads what a step is about and returns the changes that are still to
// be made, none when it is as it should be. What a person has to look at is
// added to the notes.
func (x *run) needed(ctx context.Context, w *work) ([]Change, error) {
	w.notes = nil
	switch w.s.Kind {
	case respond.DisableAccount, respond.ResetPassword, respond.RevokeSessions:
		return x.account(ctx, w)
	case respond.RemoveMethods:
		return x.methods(ctx, w)
	case respond.DisableDevices:
		return x.devices(ctx, w)
	case respond.RemoveRoles:
		return x.directoryRoles(ctx, w)
	case respond.DisablePrincipal:
		return x.principalEnabled(ctx, w)
	case respond.RemoveCredentials:
		return x.credentials(ctx, w)
	case respond.RemoveOwners:
		return x.owners(ctx, w)
	case respond.RemoveAppRoles:
		return x.appRoles(ctx, w)
	case respond.RemoveConsents:
		return x.consents(ctx, w)
	case respond.RemoveRule:
		return x.rules(ctx, w)
	}
	return nil, fmt.Errorf("steps of kind %s are for a person", w.s.Kind)
}

// read gets an object, if the step names the request. there is false when Graph
// has no such object.
func (w *work) read(ctx context.Context, path string, into any) (there bool, err error) {
	if !w.s.Allows("GET", path) {
		return false, fmt.Errorf("GET %s is none of the requests of step %d", path, w.s.Number)
	}
	err = w.c.get(ctx, path, into)
	if gone(err) {
		return false, nil
	}
	return err == nil, err
}

func (w *work) list(ctx context.Context, path string) ([]json.RawMessage, error) {
	if !w.s.Allows("GET", path) {
		return nil, fmt.Errorf("GET %s is none of the requests of step %d", path, w.s.Number)
	}
	items, err := w.c.list(ctx, path)
	if gone(err) {
		return nil, nil
	}
	return items, err
}

func (w *work) user() string { return "/users/" + url.PathEscape(w.s.Target.User) }

func (w *work) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// enabled is the change of accountEnabled to false.
func enabled(what, path string) Change {
	off, on := json.RawMessage(`{"accountEnabled":false}`), json.RawMessage(`{"accountEnabled":true}`)
	return Change{What: what, Method: "PATCH", Path: path, Body: off,
		Back: &Back{Way: backSet, Read: path + "?$select=id,accountEnabled", Was: on, Method: "PATCH", Path: path, Body: on}}
}

// errNotSaid is Graph's way with members that the application may not read: it
// leaves them out. That is not the same as no.
var errNotSaid = errors.New("the answer does not say whether it is enabled: the application may not read that")

func (x *run) account(ctx context.Context, w *work) ([]Change, error) {
	var u struct {
		Name    string `json:"userPrincipalName"`
		Enabled *bool  `json:"accountEnabled"`
		Synced  bool   `json:"onPremisesSyncEnabled"`
		Changed string `json:"lastPasswordChangeDateTime"`
		Valid   string `json:"signInSessionsValidFromDateTime"`
	}
	path := w.user()
	there, err := w.read(ctx, path+respond.SelectUser, &u)
	if err != nil || !there {
		return nil, err
	}
	now := u.Changed
	var c Change
	switch w.s.Kind {
	case respond.DisableAccount:
		if u.Enabled == nil {
			return nil, errNotSaid
		}
		if !*u.Enabled {
			return nil, nil
		}
		if u.Synced {
			return nil, errors.New("the account is synchronized from a directory on premises: disable it there, and then its sessions here")
		}
		return []Change{enabled("disable the account", path)}, nil
	case respond.ResetPassword:
		if u.Synced {
			return nil, errors.New("the account is synchronized from a directory on premises: set its password there")
		}
		c = Change{What: "set a new password", Method: "PATCH", Path: path, secret: true}
	case respond.RevokeSessions:
		now = u.Valid
		c = Change{What: "end all sessions", Method: "POST", Path: path + "/revokeSignInSessions"}
	}
	// These are seen by a time that moves on.
	if w.sent && now != w.before {
		return nil, nil
	}
	if !w.sent {
		w.before = now
	}
	return []Change{c}, nil
}

// dated compares a date of Graph with the moment from which on things are the
// actor's; ok is false when there is none. Graph and the logs may differ by a
// few seconds.
func (w *work) dated(at string) (since, ok bool) {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil || t.IsZero() {
		return false, false
	}
	return !t.Before(w.s.Target.Since.Add(-time.Minute)), true
}

func (x *run) methods(ctx context.Context, w *work) ([]Change, error) {
	items, err := w.list(ctx, w.user()+"/authentication/methods")
	if err != nil {
		return nil, err
	}
	var out []Change
	for _, raw := range items {
		var m struct {
			ID      string `json:"id"`
			Type    string `json:"@odata.type"`
			Created string `json:"createdDateTime"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("an authentication method: %w", err)
		}
		name := strings.TrimPrefix(m.Type, "#microsoft.graph.")
		if name == "passwordAuthenticationMethod" {
			continue
		}
		kinds := respond.MethodPaths()
		i := slices.IndexFunc(kinds, func(k respond.MethodPath) bool { return k.Type == m.Type })
		since, ok := w.dated(m.Created)
		switch {
		case !ok:
			w.note("%s %s has no date: is it the owner's?", name, m.ID)
		case !since:
		case i < 0:
			w.note("%s %s was registered since then, and has to be removed by hand", name, m.ID)
		default:
			out = append(out, Change{What: "remove " + name, Method: "DELETE", Path: w.user() + "/authentication/" + kinds[i].Path + "/" + url.PathEscape(m.ID)})
		}
	}
	return out, nil
}

func (x *run) devices(ctx context.Context, w *work) ([]Change, error) {
	items, err := w.list(ctx, w.user()+"/registeredDevices")
	if err != nil {
		return nil, err
	}
	var out []Change
	for _, raw := range items {
		var d struct {
			ID         string `json:"id"`
			Name       string `json:"displayName"`
			Enabled    *bool  `json:"accountEnabled"`
			Registered string `json:"registrationDateTime"`
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("a device: %w", err)
		}
		since, ok := w.dated(d.Registered)
		switch {
		case d.Enabled == nil:
			return nil, errNotSaid
		case !*d.Enabled:
		case w.s.Target.All || ok && since:
			out = append(out, enabled("disable the device "+d.Name, "/devices/"+url.PathEscape(d.ID)))
		case !ok:
			w.note("device %s (%s) has no date: is it the owner's?", d.Name, d.ID)
		}
	}
	return out, nil
}

// id reads the object id of the account or service principal that a step is about.
func (w *work) id(ctx context.Context) (string, error) {
	if w.s.Target.User == "" {
		o, err := w.servicePrincipal(ctx, respond.SelectPrincipal)
		if err != nil || o == nil {
			return "", err
		}
		return o.ID, nil
	}
	var u struct {
		ID string `json:"id"`
	}
	if there, err := w.read(ctx, w.user()+respond.SelectUser, &u); err != nil || !there {
		return "", err
	}
	if !respond.GUID(u.ID) {
		return "", fmt.Errorf("GET %s: the answer has no object id", w.user())
	}
	return u.ID, nil
}

func (x *run) directoryRoles(ctx context.Context, w *work) ([]Change, error) {
	id, err := w.id(ctx)
	if err != nil || id == "" {
		return nil, err
	}
	const path = "/roleManagement/directory/roleAssignments"
	read := path + "?$filter=principalId eq '" + id + "'"
	items, err := w.list(ctx, read)
	if err != nil {
		return nil, err
	}
	var out []Change
	for _, raw := range items {
		c, err := removal("remove a directory role", path, read, raw, []string{"principalId", "roleDefinitionId", "directoryScopeId"})
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (x *run) rules(ctx context.Context, w *work) ([]Change, error) {
	path := w.user() + "/mailFolders/inbox/messageRules"
	items, err := w.list(ctx, path)
	if err != nil {
		return nil, err
	}
	var found []json.RawMessage
	for _, raw := range items {
		var r struct {
			Name     string `json:"displayName"`
			ReadOnly bool   `json:"isReadOnly"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("an inbox rule: %w", err)
		}
		if r.Name != w.s.Target.Rule {
			continue
		}
		if r.ReadOnly {
			return nil, errors.New("the rule cannot be changed through Graph; use the PowerShell of the step")
		}
		found = append(found, raw)
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		c, err := removal("remove the inbox rule", path, path, found[0], nil)
		return []Change{c}, err
	}
	return nil, fmt.Errorf("%d rules have this name, and one of them may be the owner's: none was removed; look at them with the PowerShell of the step", len(found))
}

// removal is the change that takes an item out of a list, and the way back: the
// item is made again with the members in same, or, when there are none, with all
// that can be written.
func removal(what, path, read string, raw json.RawMessage, same []string) (Change, error) {
	var item map[string]json.RawMessage
	if err := json.Unmarshal(raw, &item); err != nil {
		return Change{}, fmt.Errorf("%s: %w", what, err)
	}
	var id string
	if err := json.Unmarshal(item["id"], &id); err != nil || id == "" {
		return Change{}, fmt.Errorf("%s: the item has no id", what)
	}
	again := map[string]json.RawMessage{}
	for k, v := range item {
		if same == nil && k != "id" && k != "hasError" && k != "isReadOnly" && !strings.Contains(k, "@") && string(v) != "null" || slices.Contains(same, k) && string(v) != "null" {
			again[k] = v
		}
	}
	b, err := json.Marshal(again)
	if err != nil {
		return Change{}, fmt.Errorf("%s: %w", what, err)
	}
	if same == nil {
		for k := range again {
			if k != "sequence" { // others move up meanwhile
				same = append(same, k)
			}
		}
		slices.Sort(same)
	}
	return Change{What: what, Method: "DELETE", Path: path + "/" + url.PathEscape(id),
		Back: &Back{Way: backItem, Read: read, Was: b, Same: same, Method: "POST", Path: path}}, nil
}
