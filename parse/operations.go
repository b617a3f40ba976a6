package parse

import (
	"strings"

	"midwatch/event"
)

// ClassOf gives the class of a normalized Microsoft operation name (see
// [event.NormalizeOperation]). The audit log's names and the directory log's
// are the same once normalized. Where the name alone does not decide, parsers
// refine the class: an "update application" is a permission request only if it
// changed the required resource access, a "set-mailbox" is forwarding only if
// it set an address.
//
// Sources: Microsoft's "Audit log activities" and the operation names of real
// records.
func ClassOf(op string) event.Class {
	switch op {
	case "userloggedin", "userloginfailed", "foreignrealmindexlogoncookiecopyusingdatoken", "sign-in activity", "userloggedoff", "teamssessionstarted", "mailboxlogin":
		return event.ClassSignIn
	case "consent to application":
		return event.ClassConsent
	case "add app role assignment to service principal":
		return event.ClassAppRoleGrant
	case "add delegated permission grant", "add oauth2permissiongrant":
		return event.ClassDelegatedGrant
	case "add service principal credentials", "update application - certificates and secrets management",
		"update service principal - certificates and secrets management", "add application credentials":
		return event.ClassCredentialAdd
	case "add application":
		return event.ClassAppCreate
	case "add service principal":
		return event.ClassSPCreate
	case "update application", "update service principal", "delete application", "remove service principal", "hard delete application",
		"remove delegated permission grant", "remove oauth2permissiongrant", "remove app role assignment from service principal",
		"remove service principal credentials", "restore application", "add app role assignment grant to user", "add app role assignment to group",
		"remove app role assignment from user", "remove app role assignment from group", "set verified publisher":
		return event.ClassAppUpdate
	case "add owner to application", "add owner to service principal":
		return event.ClassOwnerAdd
	case "add user", "invite external user", "new-mailbox", "bulk create users - finished (bulk)":
		return event.ClassUserCreate
	case "update user", "enable account", "disable account", "restore user", "set license properties", "change user license", "set-user",
		"set force change user password", "update external user", "redeem external user invite", "update external secrets":
		return event.ClassUserUpdate
	case "delete user", "hard delete user":
		return event.ClassUserDelete
	case "add member to role", "add eligible member to role", "add member to role completed (pim activation)", "add scoped member to role",
		"add member to role in pim completed (permanent)", "add member to role in pim completed (timebound)",
		"add eligible member to role in pim completed (permanent)", "add eligible member to role in pim completed (timebound)", "add-rolegroupmember":
		return event.ClassRoleAdd
	case "add member to group", "addedtogroup", "memberadded", "add owner to group":
		return event.ClassGroupAdd
	case "user registered security info", "user registered all required security info", "user deleted security info", "user changed default security info",
		"admin registered security info", "admin updated security info", "admin deleted security info", "user reviewed security info",
		"enable strong authentication", "disable strong authentication", "delete strong authentication phone app details":
		return event.ClassAuthMethod
	case "reset user password", "change user password", "reset password (self-service)", "reset password (by admin)", "change password (self-service)",
		"self-service password reset flow activity progress", "update password":
		return event.ClassPasswordReset
	case "update stsrefreshtokenvalidfrom timestamp", "revoke sign in sessions", "revoke refresh tokens", "admin revoked user sessions":
		return event.ClassSessionRevoke
	case "register device", "add device", "add registered owner to device", "add registered users to device", "update device", "delete device", "unregister device":
		return event.ClassDevice
	case "add policy", "update policy", "delete policy", "add conditional access policy", "update conditional access policy", "delete conditional access policy",
		"add named location", "update named location", "update authorization policy":
		return event.ClassPolicy
	case "set domain authentication", "set federation settings on domain", "add unverified domain", "add verified domain", "verify domain",
		"set company information", "add partner to company", "add domain to company":
		return event.ClassFederation
	case "mailitemsaccessed", "folderbind", "messagebind":
		return event.ClassMailAccess
	case "attachmentaccess":
		return event.ClassAttachmentAccess
	case "send", "sendas", "sendonbehalf":
		return event.ClassMailSend
	case "create", "update", "move", "copy":
		return event.ClassMailChange
	case "softdelete", "harddelete", "movetodeleteditems", "recorddelete":
		return event.ClassMailDelete
	case "new-inboxrule", "set-inboxrule", "enable-inboxrule", "updateinboxrules", "remove-inboxrule", "disable-inboxrule":
		return event.ClassInboxRule
	case "add-mailboxpermission", "add-recipientpermission", "add-mailboxfolderpermission", "set-mailboxfolderpermission", "modifyfolderpermissions",
		"updatefolderpermissions", "addfolderpermissions", "removefolderpermissions", "updatecalendardelegation", "remove-mailboxpermission", "remove-recipientpermission", "remove-mailboxfolderpermission":
		return event.ClassMailboxPermission
	case "new-transportrule", "set-transportrule", "enable-transportrule", "remove-transportrule", "disable-transportrule",
		"new-inboundconnector", "new-outboundconnector", "set-inboundconnector", "set-outboundconnector", "set-remotedomain":
		return event.ClassTransportRule
	case "new-managementroleassignment", "set-managementroleassignment":
		return event.ClassImpersonation
	case "set-mailboxauditbypassassociation", "set-adminauditlogconfig", "remove-mailboxauditlog", "disable-advancedaudit", "set-mailboxauditconfig",
		"remove-unifiedauditlogretentionpolicy", "set-unifiedauditlogretentionpolicy", "new-unifiedauditlogretentionpolicy":
		return event.ClassAuditChange
	case "searchqueryinitiated", "searchqueryinitiatedexchange", "searchqueryinitiatedsharepoint", "sharepointsearchqueryinitiated", "searchqueryperformed",
		"new-compliancesearch", "new-compliancesearchaction", "start-compliancesearch", "searchcreated", "searchstarted", "searchexportdownloaded", "viewedsearchexported",
		"caseadded", "new-mailboxsearch", "search-mailbox", "new-mailboxexportrequest", "searchpreviewed", "searchviewed":
		return event.ClassSearch
	case "fileaccessed", "fileaccessedextended", "filepreviewed", "filedownloaded", "filesyncdownloadedfull", "filesyncdownloadedpartial", "filecopied", "pageviewed", "pageviewedextended":
		return event.ClassFileAccess
	case "fileuploaded", "filemodified", "filemodifiedextended", "filedeleted", "filerenamed", "filemoved", "filerecycled", "filedeletedfirststagerecyclebin", "filesyncuploadedfull",
		"filecheckedout", "filecheckedin", "foldercreated", "foldermodified", "folderrenamed", "folderdeleted", "folderrecycled":
		return event.ClassFileChange
	case "anonymouslinkcreated", "anonymouslinkused", "sharingset", "securelinkcreated", "addedtosecurelink", "sharinginvitationcreated", "companylinkcreated",
		"sitecollectionadminadded", "sharinginheritancebroken", "companylinkused", "securelinkused":
		return event.ClassSharing
	case "alerttriggered", "alertentitygenerated", "timaildata", "dlprulematch":
		return event.ClassAlert
	}
	switch {
	case strings.HasPrefix(op, "set-"), strings.HasPrefix(op, "new-"), strings.HasPrefix(op, "remove-"), strings.HasPrefix(op, "add-"),
		strings.HasPrefix(op, "enable-"), strings.HasPrefix(op, "disable-"), strings.HasPrefix(op, "install-"), strings.HasPrefix(op, "update-"):
		return event.ClassAdmin
	case strings.HasPrefix(op, "user registered"), strings.HasPrefix(op, "admin registered"):
		return event.ClassAuthMethod
	case strings.HasPrefix(op, "add member to role"), strings.HasPrefix(op, "add eligible member to role"):
		return event.ClassRoleAdd
	}
	return event.ClassOther
}
