package posture

import (
	"regexp"
	"strings"
)

// words splits a name the way people write names: at everything that is no
// letter and no digit, before a capital in the middle, and before digits.
var wordParts = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+|[0-9]+`)

// testWords are words of what was made to try something and was left.
func testWords() []string {
	return []string{"test", "tests", "tst", "testing", "tester", "dev", "devel", "development", "demo", "sandbox", "staging", "stage", "uat", "qa", "poc", "pilot", "legacy", "nonprod", "preprod", "playground", "lab", "temp", "tmp", "trial"}
}

// serviceWords are words of accounts that are nobody's. Such an account has no
// phone to approve a sign-in with, so that its remedy is another one.
func serviceWords() []string {
	return []string{"svc", "srv", "service", "sync", "scan", "scanner", "backup", "build", "deploy", "job", "bot", "automation", "batch", "daemon", "printer", "noreply", "relay", "kiosk", "room"}
}

// testName reports which word says that a name is of something made for tests.
func testName(name string) string { return wordOf(name, testWords()) }

// testAccount looks at the name before the @, and at the organization's domain:
// everything in a test tenant is made for tests. People are called Tester, too,
// so that a first or last name (a.tester) is not enough by "tester" alone.
func testAccount(upn string) string {
	local, domain, _ := strings.Cut(upn, "@")
	if w := testName(local); w != "" && w != "tester" && w != "stage" && w != "lab" {
		return w
	}
	return testName(domain)
}

func serviceAccount(upn string) bool {
	local, _, _ := strings.Cut(upn, "@")
	return wordOf(local, serviceWords()) != ""
}

func wordOf(name string, words []string) string {
	for _, part := range wordParts.FindAllString(name, -1) {
		part = strings.ToLower(part)
		for _, w := range words {
			if part == w {
				return w
			}
		}
	}
	return ""
}

// powerKind says what an application permission comes to.
type powerKind int

const (
	noPower powerKind = iota
	writesOther
	sendsMail
	readsMail
	takesAll // can give itself every other
)

// powerOf says what an app role lets its holder do, of all mailboxes or of the
// whole directory.
// Source: Microsoft Graph permissions reference; the app roles of Office 365
// Exchange Online.
func powerOf(role string) powerKind {
	switch r := strings.ToLower(role); {
	case r == "approleassignment.readwrite.all", r == "rolemanagement.readwrite.directory", r == "application.readwrite.all", r == "directory.readwrite.all", r == "privilegedaccess.readwrite.azureadgroup":
		return takesAll
	case r == "full_access_as_app", r == "mail.read", r == "mail.readwrite", r == "mail-advanced.readwrite.all", r == "imap.accessasapp", r == "pop.accessasapp", r == "exchange.manageasapp",
		strings.HasPrefix(r, "mailboxitem."), strings.HasPrefix(r, "mail.readbasic"):
		return readsMail
	case r == "mail.send", r == "smtp.sendasapp":
		return sendsMail
	case strings.HasSuffix(r, ".readwrite.all"), strings.HasSuffix(r, ".fullcontrol.all"):
		return writesOther
	}
	return noPower
}

// mailScope reports whether a delegated permission reaches mail.
func mailScope(s string) bool {
	s = strings.ToLower(s)
	return strings.HasPrefix(s, "mail.") || strings.HasPrefix(s, "ews.") || strings.HasPrefix(s, "imap.") || strings.HasPrefix(s, "pop.") || s == "full_access_as_user"
}

// legacyClients lists what Entra calls the clients that send a password alone,
// in lower case. Exchange ActiveSync is not among them: phones speak it with
// modern authentication, too, and the name does not tell.
// Source: Microsoft, "Block legacy authentication".
func legacyClients() []string {
	return []string{
		"authenticated smtp", "autodiscover", "exchange online powershell", "exchange web services", "imap", "imap4", "mapi over http", "offline address book", "other clients",
		"other clients; imap", "other clients; pop", "other clients; smtp", "other clients; older office clients", "outlook anywhere (rpc over http)", "pop", "pop3", "reporting web services", "smtp",
	}
}

// adminByList stands for the role of an account of which the registration
// details say that it has one, and not which.
const adminByList = "an administrator's role (isAdmin)"

// privileged reports whether a directory role rules the tenant, its mail or
// its applications.
func privileged(role string) bool {
	if role == adminByList {
		return true
	}
	switch strings.ToLower(strings.TrimSpace(role)) {
	case "global administrator", "company administrator", "privileged role administrator", "privileged authentication administrator", "authentication administrator", "application administrator",
		"cloud application administrator", "exchange administrator", "exchange service administrator", "hybrid identity administrator", "security administrator", "compliance administrator",
		"user administrator", "helpdesk administrator", "conditional access administrator", "organization management", "discovery management", "ediscoverymanager", "super admin":
		return true
	}
	return false
}
