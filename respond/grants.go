package respond

import (
	"strings"

	"midwatch/casefile"
)

// split parts permissions as the case writes them.
func split(permissions []string) (app, delegated []string) {
	for _, p := range permissions {
		if s, ok := strings.CutSuffix(p, " (delegated)"); ok {
			delegated = append(delegated, s)
		} else {
			app = append(app, p)
		}
	}
	return app, delegated
}

func removeAppRoles(d draft, a *casefile.AppRef, n paths) draft {
	d.Kind, d.Phase = RemoveAppRoles, Grants
	app, _ := split(a.Permissions)
	d.Title = "Take back the application permissions of " + d.Object.Name
	d.Reason = "the application is the actor's altogether"
	which, left := "each", "an empty list"
	d.Breaks = "nothing of the organization's"
	if !d.Target.All {
		d.Title = "Take back the application permissions that the actor gave " + d.Object.Name
		d.Target.Permissions = casefile.Unique(app)
		which = "each of " + strings.Join(app, ", ") + " that was given since " + a.Since.String()
		left = "none of these that was given since " + a.Since.String()
		d.Reason = "given while the actor had the application: " + strings.Join(app, ", ")
		d.Breaks = "nothing of the organization's: what it was given before stays"
		d.CannotTell = "permissions that were given since then without a record in the evidence stay; they are listed"
	} else if len(app) > 0 {
		d.Reason += "; the evidence has " + strings.Join(app, ", ")
	}
	d.Calls = []Call{
		{Method: "GET", Path: n.find + SelectPrincipal},
		{Method: "GET", Path: n.principal + "/appRoleAssignments"},
		{Method: "GET", Path: "/servicePrincipals/{resource}" + SelectRoles, Note: "the names of the permissions"},
		{Method: "DELETE", Path: n.principal + "/appRoleAssignments/{assignment}", Note: which},
	}
	d.Undo = Undo{true, "given again; the date of the grant is then a new one", []Call{{Method: "POST", Path: n.principal + "/appRoleAssignments",
		Body: body(map[string]any{"principalId": "{service principal}", "resourceId": "{resource}", "appRoleId": "{role}"})}}}
	d.Verify = Check{"GET " + n.principal + "/appRoleAssignments", left}
	d.Permissions = []string{"AppRoleAssignment.ReadWrite.All", "Application.Read.All"}
	if !d.Target.All && len(app) == 0 {
		d.Reason = "it held its permissions before, as far as the evidence says; with them it can do again what the actor did with it"
		d.CannotTell = ""
		return review(d, "Look at the application permissions of "+d.Object.Name, "none was given to it in the evidence: whether it needs what it has, the organization knows")
	}
	return d
}

func (b *builder) removeConsents(d draft, a *casefile.AppRef, n paths) draft {
	d.Kind, d.Phase = RemoveConsents, Grants
	_, delegated := split(a.Permissions)
	d.Title = "Take back the consents to " + d.Object.Name
	d.Reason = "the application is the actor's altogether"
	which, left := "each", "an empty list"
	d.Breaks = "nothing of the organization's"
	if a.Role == casefile.AppIntroduced {
		d.Breaks = "people who allowed it cannot use it any more"
	}
	if !d.Target.All {
		d.Target.Permissions = casefile.Unique(delegated)
		d.Target.Principals = b.created(d.Tenant)
		d.Title = "Take back the consents that the actor gave " + d.Object.Name
		which = "each that an account of the actor's gave for itself"
		left = "none for an account of the actor's"
		d.Reason = "consents of accounts that the actor made"
		d.CannotTell = "consents have no date: one that was given for all users may be older than the actor, and stays"
	} else if len(delegated) > 0 {
		d.Reason += "; the evidence has " + strings.Join(delegated, ", ")
	}
	d.Calls = []Call{
		{Method: "GET", Path: n.find + SelectPrincipal},
		{Method: "GET", Path: n.principal + "/oauth2PermissionGrants"},
		{Method: "DELETE", Path: "/oauth2PermissionGrants/{grant}", Note: which},
	}
	d.Undo = Undo{true, "given again", []Call{{Method: "POST", Path: "/oauth2PermissionGrants",
		Body: body(map[string]any{"clientId": "{service principal}", "consentType": "{as it was}", "principalId": "{as it was}", "resourceId": "{as it was}", "scope": "{as it was}"})}}}
	d.Verify = Check{"GET " + n.principal + "/oauth2PermissionGrants", left}
	d.Permissions = []string{"Application.Read.All", "DelegatedPermissionGrant.ReadWrite.All"}
	if !d.Target.All && len(d.Target.Principals) == 0 {
		d.Reason = "consents have no date: which of them is older than the actor, the organization knows"
		d.CannotTell = ""
		return review(d, "Look at the consents to "+d.Object.Name, "no account that the actor made could have given one")
	}
	return d
}

func removeOwners(d draft, n paths) draft {
	d.Kind, d.Phase = RemoveOwners, Keys
	d.Target.Permissions = nil
	d.Title = "Remove owners of " + d.Object.Name + " that the actor made"
	d.Reason = "an owner adds credentials without any other right"
	d.Breaks = "nothing of the organization's"
	sides := []string{n.principal}
	d.Calls = []Call{{Method: "GET", Path: n.find + SelectPrincipal}}
	if n.findApp != "" {
		d.Calls = append(d.Calls, Call{Method: "GET", Path: n.findApp + SelectApplication})
		sides = append(sides, n.application)
	}
	d.Undo = Undo{Possible: true, Text: "made owners again"}
	for _, p := range sides {
		d.Calls = append(d.Calls, Call{Method: "GET", Path: p + "/owners"},
			Call{Method: "DELETE", Path: p + "/owners/{owner}/$ref", Note: "each of " + strings.Join(d.Target.Principals, ", ")})
		d.Undo.Calls = append(d.Undo.Calls, Call{Method: "POST", Path: p + "/owners/$ref", Body: body(map[string]any{"@odata.id": "{Graph}/directoryObjects/{owner}"})})
	}
	d.Verify = Check{"GET " + n.principal + "/owners and GET " + n.application + "/owners", "none of these accounts"}
	d.Permissions = []string{"Application.ReadWrite.All"}
	if !d.Target.All {
		d.CannotTell = "whether an account that was taken was an owner before; it stays one"
	}
	return d
}

func removeAppDirectoryRoles(d draft, n paths) draft {
	d = removeRoles(d, "application "+d.Object.Name, n.find+SelectPrincipal)
	d.Permissions = []string{"Application.Read.All", "RoleManagement.ReadWrite.Directory"}
	return d
}
