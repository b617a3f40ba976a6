package respond

import (
	"fmt"
	"slices"

	"midwatch/casefile"
)

// account plans for an account. One that the actor made is disabled, not
// deleted: it is evidence. One that was taken keeps its owner.
func (b *builder) account(a *casefile.AccountRef) {
	created := slices.Contains(a.Roles, casefile.AccountCreated)
	taken := slices.Contains(a.Roles, casefile.AccountCompromised) || slices.Contains(a.Roles, casefile.AccountGuessed)
	doubted := slices.Contains(a.Roles, casefile.AccountSuspected)
	if !created && !taken && !doubted {
		return // sprayed without success, or a person who was talked into a consent
	}
	base := draft{since: a.Since, power: created || b.acts(a.UPN, a.ID)}
	base.Tenant = b.tenant(a.Tenant)
	base.Object = Object{Kind: casefile.Account, ID: a.UPN, Origin: "compromised"}
	base.Suspected = a.Certainty != casefile.Confirmed || !created && !taken
	base.Findings, base.Events = b.evidence(a.Findings, a.Events)
	base.Phase = Identities
	if base.power {
		base.Phase = Doors
	}
	base.Executable = true
	switch {
	case GUID(a.ID):
		base.Target.User = a.ID
	case principalName(a.UPN):
		base.Target.User = a.UPN
	default:
		base.Executable, base.ByHand = false, "neither its object id nor its name has the form of one; find the account by hand"
	}
	base.Target.Since = a.Since
	user := "{user}"
	if base.Target.User != "" {
		user = segment(base.Target.User)
	}
	path := "/users/" + user
	if created {
		base.Object.Origin = "created"
		b.add(disableAccount(base, a, path))
		b.add(removeRoles(base, "account "+a.UPN, path+SelectUser))
	} else {
		b.add(resetPassword(base, a, path))
		b.add(removeMethods(base, a, path))
		b.givenRoles(base, a)
	}
	b.add(disableDevices(base, a, path))
	b.add(revokeSessions(base, a, path))
	if created {
		b.add(deleteLater(base, "the account "+a.UPN, Call{Method: "DELETE", Path: path}))
	}
}

func disableAccount(d draft, a *casefile.AccountRef, path string) draft {
	d.Kind = DisableAccount
	d.Title = "Disable the account " + a.UPN + ", which the actor made"
	d.Reason = "made by the actor: " + a.Why
	d.Calls = []Call{
		{Method: "GET", Path: path + SelectUser},
		{Method: "PATCH", Path: path, Body: body(map[string]any{"accountEnabled": false})},
	}
	d.Breaks = "nothing of the organization's: nobody else is known to use it"
	d.Undo = Undo{true, "enabled again, if it was enabled", []Call{{Method: "PATCH", Path: path, Body: body(map[string]any{"accountEnabled": true})}}}
	d.Verify = Check{"GET " + path + "?$select=accountEnabled", "accountEnabled is false"}
	d.Permissions = []string{"User.EnableDisableAccount.All", "User.Read.All"}
	return d
}

func resetPassword(d draft, a *casefile.AccountRef, path string) draft {
	d.Kind = ResetPassword
	d.Title = "Set a new password for " + a.UPN
	d.Reason = "in the actor's hands: " + a.Why
	if d.Suspected && !slices.Contains(a.Roles, casefile.AccountCompromised) && !slices.Contains(a.Roles, casefile.AccountGuessed) {
		d.Reason = "it acted in what the actor did, and whether it was the actor or its owner is not shown: " + a.Why
	}
	d.Calls = []Call{
		{Method: "GET", Path: path + SelectUser},
		{Method: "PATCH", Path: path, Body: body(map[string]any{"passwordProfile": map[string]any{"forceChangePasswordNextSignIn": true, "password": "{made when it is sent}"}})},
	}
	d.Breaks = "its owner, and programs that sign in as it, have to be given a new password"
	d.Undo = Undo{Text: "cannot be undone: nobody can read the old password. The owner gets a new one"}
	d.Verify = Check{"GET " + path + "?$select=lastPasswordChangeDateTime", "lastPasswordChangeDateTime is later than before"}
	d.Permissions = []string{"User-PasswordProfile.ReadWrite.All", "User.Read.All"}
	d.CannotTell = "an account that is synchronized from a directory on premises takes its password from there: Midwatch refuses, and it has to be reset there. An account with a directory role is changed only by an application that holds the role Privileged Authentication Administrator"
	return d
}

// removeMethods takes away what was registered since the actor came in.
func removeMethods(d draft, a *casefile.AccountRef, path string) draft {
	d.Kind, d.Phase = RemoveMethods, Keys
	d.Title = "Remove authentication methods of " + a.UPN + " that were registered since " + a.Since.String()
	d.Reason = "a method that the actor registered outlives a new password"
	d.Calls = []Call{{Method: "GET", Path: path + "/authentication/methods"}}
	for _, k := range MethodPaths() {
		d.Calls = append(d.Calls, Call{Method: "DELETE", Path: path + "/authentication/" + k.Path + "/{method}", Note: "each that was registered since then"})
	}
	d.Breaks = "what the owner registered since then has to be registered again, in person"
	d.Undo = Undo{Text: "cannot be undone: a method is bound to a device or a secret that Graph does not give out. The owner registers again"}
	d.Verify = Check{"GET " + path + "/authentication/methods", "no method with createdDateTime of " + a.Since.String() + " or later, but the password"}
	d.Permissions = []string{"UserAuthenticationMethod.ReadWrite.All"}
	d.CannotTell = "whether the owner or the actor registered a method since then; all of these go. Methods for which Graph gives no date are left and listed: the owner has to say which are theirs"
	if a.Since.IsZero() {
		d.Executable, d.ByHand = false, "since when it is in the actor's hands is not known"
	}
	return d
}

// MethodPath is where methods of one type are deleted.
type MethodPath struct{ Type, Path string }

// MethodPaths lists the types of authentication methods that can be deleted
// (https://learn.microsoft.com/graph/api/resources/authenticationmethods-overview).
func MethodPaths() []MethodPath {
	return []MethodPath{
		{"#microsoft.graph.emailAuthenticationMethod", "emailMethods"},
		{"#microsoft.graph.fido2AuthenticationMethod", "fido2Methods"},
		{"#microsoft.graph.microsoftAuthenticatorAuthenticationMethod", "microsoftAuthenticatorMethods"},
		{"#microsoft.graph.phoneAuthenticationMethod", "phoneMethods"},
		{"#microsoft.graph.softwareOathAuthenticationMethod", "softwareOathMethods"},
		{"#microsoft.graph.temporaryAccessPassAuthenticationMethod", "temporaryAccessPassMethods"},
		{"#microsoft.graph.windowsHelloForBusinessAuthenticationMethod", "windowsHelloForBusinessMethods"},
	}
}

func disableDevices(d draft, a *casefile.AccountRef, path string) draft {
	d.Kind, d.Phase = DisableDevices, Keys
	d.Target.All = d.Object.Origin == "created"
	which, left := "registered since "+a.Since.String(), "no enabled device with registrationDateTime of "+a.Since.String()+" or later"
	if d.Target.All {
		which, left = "of the account", "no enabled device"
	}
	d.Title = "Disable devices of " + a.UPN + " " + which
	if d.Target.All {
		d.Title = "Disable devices of " + a.UPN
	}
	d.Reason = "a registered device holds a token of its own and satisfies policies that ask for one"
	d.Calls = []Call{
		{Method: "GET", Path: path + "/registeredDevices"},
		{Method: "PATCH", Path: "/devices/{device}", Body: body(map[string]any{"accountEnabled": false}), Note: "each " + which},
	}
	d.Breaks = "the owner cannot use a device that was registered since then until it is enabled again"
	if d.Target.All {
		d.Breaks = "nothing of the organization's"
	}
	d.Undo = Undo{true, "those that were enabled are enabled again", []Call{{Method: "PATCH", Path: "/devices/{device}", Body: body(map[string]any{"accountEnabled": true})}}}
	d.Verify = Check{"GET " + path + "/registeredDevices", left}
	d.Permissions = []string{"Device.ReadWrite.All", "User.Read.All"}
	if !d.Target.All {
		d.CannotTell = "whether the owner or the actor registered a device since then; all of these are disabled, none is deleted"
		if a.Since.IsZero() {
			d.Executable, d.ByHand = false, "since when it is in the actor's hands is not known"
		}
	}
	return d
}

func revokeSessions(d draft, a *casefile.AccountRef, path string) draft {
	d.Kind, d.Phase = RevokeSessions, Sessions
	d.Title = "End all sessions of " + a.UPN
	d.Reason = "refresh tokens and browser sessions of the actor go on working until they are revoked"
	d.Calls = []Call{
		{Method: "GET", Path: path + SelectUser},
		{Method: "POST", Path: path + "/revokeSignInSessions"},
	}
	d.Breaks = "every session of the account ends, the owner's too"
	d.Undo = Undo{Text: "cannot be undone: who belongs there signs in again"}
	d.Verify = Check{"GET " + path + "?$select=signInSessionsValidFromDateTime", "signInSessionsValidFromDateTime is later than before"}
	d.Permissions = []string{"User.RevokeSessions.All", "User.Read.All"}
	d.CannotTell = "access tokens that are out already work until they expire, about an hour, where a service does not evaluate access continuously"
	return d
}

// removeRoles is for an identity that is the actor's altogether; path reads it.
func removeRoles(d draft, who, path string) draft {
	d.Kind, d.Phase = RemoveRoles, Keys
	d.Target.All = true
	d.Title = "Remove directory roles of the " + who
	d.Reason = "whatever role it holds, the actor gave it"
	d.Calls = []Call{
		{Method: "GET", Path: path},
		{Method: "GET", Path: "/roleManagement/directory/roleAssignments?$filter=principalId eq '{id}'"},
		{Method: "DELETE", Path: "/roleManagement/directory/roleAssignments/{assignment}", Note: "each"},
	}
	d.Breaks = "nothing of the organization's"
	d.Undo = Undo{true, "given again", []Call{{Method: "POST", Path: "/roleManagement/directory/roleAssignments",
		Body: body(map[string]any{"principalId": "{id}", "roleDefinitionId": "{role}", "directoryScopeId": "{scope}"})}}}
	d.Verify = Check{"GET /roleManagement/directory/roleAssignments?$filter=principalId eq '{id}'", "an empty list"}
	d.Permissions = []string{"RoleManagement.ReadWrite.Directory", "User.Read.All"}
	d.CannotTell = "roles that it is only eligible for (Privileged Identity Management) and roles through groups are not read"
	return d
}

// givenRoles points at roles that a taken account was given: assignments have
// no date, so that a machine cannot tell them from the owner's.
func (b *builder) givenRoles(d draft, a *casefile.AccountRef) {
	for _, id := range b.p.Findings {
		f := b.findings[id]
		if f == nil || f.Detector != "privileged_role_granted" || !slices.ContainsFunc(f.Entities, func(e casefile.Entity) bool {
			return e.Kind == casefile.Account && e.ID == a.UPN && e.Role == casefile.RoleTarget
		}) {
			continue
		}
		d.Kind, d.Phase = ReviewRoles, Proposals
		d.Title = "Look at the directory roles of " + a.UPN
		d.Reason = f.Title
		d.Findings, d.Events = b.evidence([]string{id}, nil)
		d.Calls = []Call{{Method: "GET", Path: "/roleManagement/directory/roleAssignments?$filter=principalId eq '{id}'&$expand=roleDefinition"}}
		d.Breaks = "what the owner does with a role that is taken away"
		d.Undo = Undo{true, "given again", nil}
		d.Verify = Check{"the same", "only roles that the owner is meant to have"}
		d.Permissions = []string{"RoleManagement.ReadWrite.Directory"}
		d.Executable, d.ByHand = false, "assignments have no date: which of them the owner had before, the organization knows"
		b.add(d)
	}
}

// deleteLater says that what is disabled now may go when it has been looked at.
func deleteLater(d draft, what string, call Call) draft {
	d.Kind, d.Phase = DeleteLater, Proposals
	d.Title = fmt.Sprintf("Delete %s when it is no longer needed as evidence", what)
	d.Reason = "it is the actor's altogether; disabled, it is harmless and can still be examined"
	d.Calls = []Call{call}
	d.Breaks = "what was not examined by then is gone after thirty days"
	d.Undo = Undo{true, "within thirty days", []Call{{Method: "POST", Path: "/directory/deletedItems/{id}/restore"}}}
	d.Verify = Check{"GET " + call.Path, "404"}
	d.Executable, d.ByHand = false, "evidence is not deleted by a machine"
	return d
}
