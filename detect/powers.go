package detect

import "strings"

// power says what an application permission lets its holder do.
type power struct {
	value string // as consents and grants name it
	id    string // as requests name it, where it is known
	kind  powerKind
	// roleOnly says that the value exists only as an app role. Others, such as
	// Mail.Read, are delegated scopes too, and a consent does not say which.
	roleOnly bool
}

type powerKind int

const (
	readsMail powerKind = iota + 1
	readsMailHeaders
	sendsMail
	givesItselfPower // can grant itself any of the others
)

func (k powerKind) String() string {
	switch k {
	case readsMail:
		return "reads mail"
	case readsMailHeaders:
		return "reads subjects and addresses of mail"
	case sendsMail:
		return "sends mail"
	case givesItselfPower:
		return "can grant itself any permission"
	}
	return ""
}

// appRolePowers lists the application permissions (app roles) that reach mail
// in all mailboxes, or that let their holder grant itself those.
// Sources: Microsoft Graph permissions reference; the app roles of the service
// principal of Office 365 Exchange Online.
func appRolePowers() []power {
	return []power{
		{"full_access_as_app", "dc890d15-9560-4a4c-9b7f-a736ec74ec40", readsMail, true},
		{"Mail.Read", "810c84a8-4a9e-49e6-bf7d-12d183f40d01", readsMail, false},
		{"Mail.ReadWrite", "e2a3a72e-5f79-4c64-b1b1-878b674786c9", readsMail, false},
		{"Mail-Advanced.ReadWrite.All", "e118f1da-5c1c-46cf-bff6-8858d786f46f", readsMail, true},
		{"MailboxItem.Read.All", "7d9f353d-a7bd-4fbb-822a-26d5dd39a3ce", readsMail, true},
		{"MailboxItem.ReadWrite.All", "1583d471-fede-4e7c-b062-57e9d60cfb49", readsMail, true},
		{"MailboxItem.Export.All", "937550e9-33a3-494b-88ae-d9cd394b1fbb", readsMail, true},
		{"MailboxItem.ImportExport.All", "76577085-e73d-4f1d-b26a-85fb33892327", readsMail, true},
		{"IMAP.AccessAsApp", "5e5addcd-3e8d-4e90-baf5-964efab2b20a", readsMail, true},
		{"POP.AccessAsApp", "cb842b43-da6e-4506-86fe-bb12199c656d", readsMail, true},
		{"Exchange.ManageAsApp", "dc50a0fb-09a3-484d-be87-e023b12c6440", readsMail, true},
		{"Mail.ReadBasic.All", "693c5e45-0940-467d-9b8a-1022fb9d42ef", readsMailHeaders, true},
		{"Mail.ReadBasic", "6be147d2-ea4f-4b5a-a3fa-3eab6f3c140a", readsMailHeaders, false},
		{"Mail.Send", "b633e1c5-b582-4048-a93e-9f11b44c7e96", sendsMail, false},
		{"SMTP.SendAsApp", "7146a1f0-8703-45b3-9eae-527a64c00995", sendsMail, true},
		{"AppRoleAssignment.ReadWrite.All", "06b708a9-e830-4db3-a914-8e69da51d44f", givesItselfPower, false},
		{"RoleManagement.ReadWrite.Directory", "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", givesItselfPower, false},
		{"Application.ReadWrite.All", "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", givesItselfPower, false},
	}
}

// delegatedMail lists the delegated permissions that let an application read
// or send the mail of whoever signs in to it.
func delegatedMail() []string {
	return []string{"Mail.Read", "Mail.ReadWrite", "Mail.Read.Shared", "Mail.ReadWrite.Shared", "Mail.Send", "EWS.AccessAsUser.All", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "full_access_as_user", "MailboxSettings.ReadWrite"}
}

// powersIn finds the powers in a list of permission values and ids.
func powersIn(permissions string) (out []power) {
	seen := map[string]bool{}
	for p := range strings.FieldsSeq(permissions) {
		for _, x := range appRolePowers() {
			if (strings.EqualFold(p, x.value) || strings.EqualFold(p, x.id)) && !seen[x.value] {
				seen[x.value] = true
				out = append(out, x)
			}
		}
	}
	return out
}

// ReadsMail reports whether a permission lets an application read the content
// of mail in all mailboxes without a user.
func ReadsMail(permission string) bool {
	for _, p := range powersIn(permission) {
		if p.kind == readsMail {
			return true
		}
	}
	return false
}

func powerValues(ps []power) (out []string) {
	for _, p := range ps {
		out = append(out, p.value)
	}
	return out
}

func hasKind(ps []power, k powerKind) bool {
	for _, p := range ps {
		if p.kind == k {
			return true
		}
	}
	return false
}
