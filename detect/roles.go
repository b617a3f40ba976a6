package detect

import (
	"strings"

	"midwatch/event"
)

// directoryRole is a role whose holder rules the tenant, its mail or its
// applications, or can make somebody who does.
type directoryRole struct {
	template string // id of Entra's role template; empty for roles of other systems
	name     string // lower case
}

// privilegedRoles lists them.
// Sources: Entra built-in roles, those that Microsoft labels as privileged and
// that lead to mail, applications or other people's credentials; Exchange's
// and Purview's role groups; Google Workspace's system roles.
func privilegedRoles() []directoryRole {
	return []directoryRole{
		{"62e90394-69f5-4237-9190-012177145e10", "global administrator"},
		{"e8611ab8-c189-46e8-94e1-60213ab1f814", "privileged role administrator"},
		{"7be44c8a-adaf-4e2a-84d6-ab2649e08a13", "privileged authentication administrator"},
		{"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "application administrator"},
		{"158c047a-c907-4556-b7ef-446551a6b5f7", "cloud application administrator"},
		{"29232cdf-9323-42fd-ade2-1d097af3e4de", "exchange administrator"},
		{"8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2", "hybrid identity administrator"},
		{"e00e864a-17c5-4a4b-9c06-f5b95a8d5bd8", "partner tier2 support"},
		{"194ae4cb-b126-40b2-bd5b-6091b380977d", "security administrator"},
		{"17315797-102d-40b4-93e0-432062caca18", "compliance administrator"},
		{"", "company administrator"}, // the audit log's old name of the first
		{"", "exchange service administrator"},
		{"", "organization management"},
		{"", "discovery management"},
		{"", "ediscoverymanager"},
		{"", "_seed_admin_role"},
	}
}

// privilegedRole names the privileged role that a record gives, or nothing.
func (r *record) privilegedRole() string {
	if event.Class(r.Class) != event.ClassRoleAdd {
		return ""
	}
	switch r.Operation {
	case "grant_admin_privilege":
		return "super admin"
	case "user.account.privilege.grant":
		return "an administrator role"
	}
	names := []string{r.detail.Role}
	if r.Operation == "add-rolegroupmember" {
		names = append(names, r.detail.Params["Identity"])
	}
	if n := r.detail.Params["ROLE_NAME"]; n != "" {
		names = append(names, n)
	}
	for _, x := range privilegedRoles() {
		if x.template != "" && strings.EqualFold(x.template, r.detail.RoleTemplate) {
			return firstOf(r.detail.Role, x.name)
		}
		for _, n := range names {
			if strings.EqualFold(strings.ReplaceAll(n, " ", ""), strings.ReplaceAll(x.name, " ", "")) {
				return n
			}
		}
	}
	return ""
}

// activation reports whether a record is of somebody who puts a role to use
// that was given before: administrators do so every day.
func (r *record) activation() bool { return strings.Contains(r.Operation, "activation") }

// byApp reports whether an application did it, without a user.
func (r *record) byApp() bool {
	return event.ActorKind(r.ActorKind) == event.ActorApp || event.ActorKind(r.ActorKind) == event.ActorManaged
}

// toApp reports whether it was done to an application.
func (r *record) toApp() bool {
	return r.TargetKind == "service_principal" || r.TargetKind == "application"
}
