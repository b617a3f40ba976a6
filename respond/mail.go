package respond

import (
	"slices"
	"strings"

	"midwatch/casefile"
)

// mail plans for what goes on in mailboxes without any session.
func (b *builder) mail() {
	for _, id := range b.p.Findings {
		f := b.findings[id]
		if f == nil {
			continue
		}
		base := draft{since: f.First}
		base.Phase = Mail
		base.Tenant = b.tenant(f.Tenant)
		base.Reason = f.Title
		base.Findings, base.Events = b.evidence([]string{id}, nil)
		base.Suspected = f.Severity.Rank() < casefile.Medium.Rank()
		boxes, rules, holders := named(f, casefile.Mailbox), named(f, casefile.Rule), named(f, casefile.Account)
		switch f.Detector {
		case "inbox_rule_hides_or_forwards":
			for _, box := range boxes {
				b.add(b.removeRule(base, box, rules))
			}
		case "external_forwarding":
			for _, box := range boxes {
				b.add(removeForwarding(base, box))
			}
			if len(boxes) == 0 {
				for _, r := range rules {
					b.add(disableFlowRule(base, r))
				}
			}
		case "mailbox_delegation":
			for _, box := range boxes {
				b.add(removeDelegates(base, box, holders))
			}
			if len(boxes) == 0 {
				b.add(removeMailRoles(base, append(holders, named(f, casefile.App)...)))
			}
		}
	}
}

// named lists what a finding says things were done to.
func named(f *casefile.Finding, kind casefile.EntityKind) []string {
	var out []string
	for _, e := range f.Entities {
		if e.Kind == kind && e.Role == casefile.RoleTarget {
			out = append(out, e.ID)
		}
	}
	return casefile.Unique(out)
}

func (b *builder) removeRule(d draft, box string, rules []string) draft {
	d.Kind = RemoveRule
	d.Object = Object{Kind: casefile.Mailbox, ID: box, Origin: "compromised"}
	name := ""
	for _, r := range rules {
		if n, ok := strings.CutPrefix(r, box+`\`); ok {
			name = n
		}
	}
	d.Title = "Remove the inbox rule " + name + " of " + box
	d.Target = Target{Rule: name}
	d.Executable = true
	// The object id, where the case has it: names can change.
	for _, a := range b.p.Accounts {
		if a.UPN == box && GUID(a.ID) {
			d.Target.User = a.ID
		}
	}
	if d.Target.User == "" && principalName(box) {
		d.Target.User = box
	}
	switch {
	case name == "":
		d.Executable, d.ByHand = false, "the records do not name the rule"
	case d.Target.User == "":
		d.Executable, d.ByHand = false, "the mailbox's name has not the form of one"
	}
	path := "/users/{user}/mailFolders/inbox/messageRules"
	if d.Target.User != "" {
		path = "/users/" + segment(d.Target.User) + "/mailFolders/inbox/messageRules"
	}
	d.Calls = []Call{{Method: "GET", Path: path}, {Method: "DELETE", Path: path + "/{rule}", Note: "the one of that name; of several none, since one of them may be the owner's"}}
	d.PowerShell = []string{
		"Get-InboxRule -Mailbox " + Quote(box) + " -IncludeHidden | Format-List Name,Identity,Enabled,Description",
		"Remove-InboxRule -Mailbox " + Quote(box) + " -Identity " + Quote(name),
	}
	d.Breaks = "mail that the rule moved, deleted or sent on stays where it comes in; what it did before is not undone"
	d.Undo = Undo{true, "made again as it was", []Call{{Method: "POST", Path: path, Body: body(map[string]any{"displayName": "{as it was}"})}}}
	d.Verify = Check{"GET " + path, "no rule of that name"}
	d.Permissions = []string{"MailboxSettings.Read", "MailboxSettings.ReadWrite"}
	d.CannotTell = "rules that Outlook hides are not in Graph; the PowerShell shows them"
	return d
}

func removeForwarding(d draft, box string) draft {
	d.Kind = RemoveForwarding
	d.Object = Object{Kind: casefile.Mailbox, ID: box, Origin: "compromised"}
	d.Title = "Remove the forwarding of " + box
	d.Target = Target{Rule: box}
	d.ByHand = "a mailbox's forwarding is not in Microsoft Graph"
	d.PowerShell = []string{
		"Get-Mailbox -Identity " + Quote(box) + " | Format-List ForwardingSmtpAddress,ForwardingAddress,DeliverToMailboxAndForward",
		"Set-Mailbox -Identity " + Quote(box) + " -ForwardingSmtpAddress $null -ForwardingAddress $null -DeliverToMailboxAndForward $false",
	}
	d.Breaks = "a forwarding that the owner had set, if the actor's took its place"
	d.Undo = Undo{true, "Set-Mailbox with the values that Get-Mailbox showed before", nil}
	d.Verify = Check{"Get-Mailbox -Identity " + Quote(box), "ForwardingSmtpAddress and ForwardingAddress are empty"}
	return d
}

func disableFlowRule(d draft, rule string) draft {
	d.Kind = DisableFlowRule
	d.Object = Object{Kind: casefile.Rule, ID: rule, Origin: "created"}
	d.Title = "Disable the mail flow rule " + rule
	d.Target = Target{Rule: rule}
	d.ByHand = "mail flow rules are not in Microsoft Graph"
	d.PowerShell = []string{
		"Get-TransportRule -Identity " + Quote(rule) + " | Format-List",
		"Disable-TransportRule -Identity " + Quote(rule) + " -Confirm:$false",
	}
	d.Breaks = "whatever else the rule does for the organization"
	d.Undo = Undo{true, "Enable-TransportRule -Identity " + Quote(rule), nil}
	d.Verify = Check{"Get-TransportRule -Identity " + Quote(rule), "State is Disabled"}
	return d
}

func removeDelegates(d draft, box string, holders []string) draft {
	d.Kind = RemoveDelegates
	d.Object = Object{Kind: casefile.Mailbox, ID: box, Origin: "compromised"}
	d.Title = "Take back access to the mailbox " + box + " from " + strings.Join(holders, ", ")
	d.Target = Target{Rule: box, Principals: holders}
	d.ByHand = "permissions on mailboxes are not in Microsoft Graph"
	d.PowerShell = []string{"Get-MailboxPermission -Identity " + Quote(box) + " | Where-Object { -not $_.IsInherited }"}
	for _, h := range holders {
		d.PowerShell = append(d.PowerShell,
			"Remove-MailboxPermission -Identity "+Quote(box)+" -User "+Quote(h)+" -AccessRights FullAccess -Confirm:$false",
			"Remove-RecipientPermission -Identity "+Quote(box)+" -Trustee "+Quote(h)+" -AccessRights SendAs -Confirm:$false",
			"Remove-MailboxFolderPermission -Identity "+Quote(box+`:\Inbox`)+" -User "+Quote(h)+" -Confirm:$false")
	}
	d.Breaks = "access that the holder had before the actor gave it, if any"
	d.Undo = Undo{true, "Add-MailboxPermission, Add-RecipientPermission or Add-MailboxFolderPermission with what Get-MailboxPermission showed before", nil}
	d.Verify = Check{"Get-MailboxPermission -Identity " + Quote(box), "no entry of the holder"}
	d.CannotTell = "which of the rights the holder had before; the records name what was given, and folders other than the inbox have permissions of their own"
	return d
}

func removeMailRoles(d draft, holders []string) draft {
	d.Kind = RemoveMailRoles
	d.Object = Object{Kind: casefile.Account, ID: strings.Join(holders, ", "), Origin: "compromised"}
	d.Title = "Take back the Exchange management role of " + strings.Join(holders, ", ")
	d.Target = Target{Principals: holders}
	d.ByHand = "Exchange's management roles are not in Microsoft Graph 1.0"
	for _, h := range holders {
		d.PowerShell = append(d.PowerShell, "Get-ManagementRoleAssignment -RoleAssignee "+Quote(h)+" | Format-List Name,Role,RoleAssigneeType,WhenCreatedUTC")
	}
	d.PowerShell = append(d.PowerShell, "Remove-ManagementRoleAssignment -Identity '<the assignment of that time>' -Confirm:$false")
	d.Breaks = "what the holder does with the role"
	d.Undo = Undo{true, "New-ManagementRoleAssignment with what Get-ManagementRoleAssignment showed before", nil}
	d.Verify = Check{"Get-ManagementRoleAssignment", "no assignment of that time"}
	return d
}

// appProposals are what only the organization can decide about an application.
func (b *builder) appProposals(d draft, a *casefile.AppRef, n paths) {
	d.Phase = Proposals
	d.Executable = false
	d.Permissions = nil
	if a.Role == casefile.AppTakenOver {
		s := d
		s.Kind = EnableAgain
		s.Title = "Enable the application " + d.Object.Name + " again"
		s.Reason = "it was there before the actor; when its owner has confirmed every credential, owner and permission that is left, it can go on"
		s.Calls = []Call{{Method: "PATCH", Path: n.principal, Body: body(map[string]any{"accountEnabled": true})}}
		s.ByHand = "its owner has to confirm what is left; then `midwatch contain CASE --undo --step` with the step that disabled it"
		s.Breaks = "nothing"
		s.Undo = Undo{true, "disabled again", []Call{{Method: "PATCH", Path: n.principal, Body: body(map[string]any{"accountEnabled": false})}}}
		s.Verify = Check{"GET " + n.find + "?$select=accountEnabled", "accountEnabled is true"}
		b.add(s)
	} else if d.Target.Home && n.findApp != "" {
		b.add(deleteLater(d, "the application "+d.Object.Name, Call{Method: "DELETE", Path: n.findApp}))
	}
	app, _ := split(a.Permissions)
	mail := slices.DeleteFunc(app, func(p string) bool { return p != "full_access_as_app" && !strings.HasPrefix(p, "Mail.") })
	switch {
	case d.Target.All && len(mail) > 0:
		b.add(denyMail(d, a.ID, mail))
	case !d.Target.All && b.collects(append([]string{a.ID}, a.ServicePrincipals...)...):
		b.add(scopeMail(d, a.ID))
	}
	if slices.Contains(mail, "full_access_as_app") {
		b.at = ""
		b.add(narrowEWS(d))
	}
}

// denyMail is for an application that nobody is meant to use.
func denyMail(d draft, id string, permissions []string) draft {
	d.Kind = NarrowApps
	d.Title = "Deny the application " + d.Object.Name + " access to mailboxes in Exchange, too"
	d.Reason = "a second lock, in another place than Entra: it holds even if somebody enables the application and grants " + strings.Join(permissions, ", ") + " again"
	d.ByHand = "Exchange Online only"
	d.PowerShell = []string{
		"New-ApplicationAccessPolicy -AppId " + Quote(id) + " -PolicyScopeGroupId '<a mail-enabled security group of all mailboxes>' -AccessRight DenyAccess",
		"Test-ApplicationAccessPolicy -AppId " + Quote(id) + " -Identity '<a mailbox>'",
	}
	d.Breaks = "nothing of the organization's"
	d.Undo = Undo{true, "Remove-ApplicationAccessPolicy", nil}
	d.Verify = Check{"Test-ApplicationAccessPolicy", "AccessCheckResult is Denied"}
	return d
}

// scopeMail is for an application that goes on: it gets the mailboxes that it is
// for, by RBAC for Applications, in the place of a permission for all.
func scopeMail(d draft, id string) draft {
	d.Kind = NarrowApps
	d.Title = "Give the application " + d.Object.Name + " only the mailboxes that it is for"
	d.Reason = "the actor read mail with it, and it could read every mailbox: what it can reach bounds what the next one can"
	d.ByHand = "Exchange Online only, and its owner knows which mailboxes it is for"
	object := "'<object id of its service principal>'"
	if d.Target.Principal != "" {
		object = Quote(d.Target.Principal)
	}
	d.PowerShell = []string{
		"New-ServicePrincipal -AppId " + Quote(id) + " -ObjectId " + object,
		"New-ManagementScope -Name '<name of the scope>' -RecipientRestrictionFilter '<its mailboxes>'",
		"New-ManagementRoleAssignment -App " + Quote(id) + " -Role 'Application Mail.Read' -CustomResourceScope '<name of the scope>'",
		"Test-ServicePrincipalAuthorization -Identity " + Quote(id) + " -Resource '<a mailbox>'",
	}
	d.Breaks = "what it does in other mailboxes, as soon as its permission for all of them is taken back in Entra; until then the two add up"
	d.Undo = Undo{true, "Remove-ManagementRoleAssignment, after the permission in Entra is given again", nil}
	d.Verify = Check{"Test-ServicePrincipalAuthorization", "InScope is True for its mailboxes only"}
	return d
}

func narrowEWS(d draft) draft {
	d.Kind = NarrowEWS
	d.Object = Object{Kind: "tenant", ID: d.Tenant, Origin: "organization"}
	d.Target = Target{}
	d.Title = "Allow Exchange Web Services only to what needs it"
	d.Reason = "the actor read mail through it; it is old, and few applications of today need it"
	d.ByHand = "Exchange Online only, and the organization knows its applications"
	d.PowerShell = []string{
		"Get-OrganizationConfig | Format-List EwsEnabled,EwsApplicationAccessPolicy,EwsAllowList,EwsBlockList",
		"Set-OrganizationConfig -EwsApplicationAccessPolicy EnforceAllowList -EwsAllowList @('<user agent of an application that needs it>/*')",
	}
	d.Breaks = "every application over Exchange Web Services that is not on the list. The list is of user agents, which an actor can copy: it makes noise go away, it is no lock. -EwsEnabled $false is one"
	d.Undo = Undo{true, "Set-OrganizationConfig with the values that Get-OrganizationConfig showed before", nil}
	d.Verify = Check{"Get-OrganizationConfig", "EwsApplicationAccessPolicy is EnforceAllowList"}
	return d
}
