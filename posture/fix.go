package posture

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxInCommand is how many values a command names. A longer one nobody reads
// before he runs it.
const maxInCommand = 20

// quotable reports whether a value can stand in a command that a person copies:
// what moves the cursor, turns the direction of text or cannot be seen is left
// out, since the person would run something else than he read.
func quotable(s string) bool {
	if s == "" || len(s) > 256 || !utf8.ValidString(s) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || unicode.IsSpace(r) && r != ' '
	}) < 0
}

// powerShell writes a value as a literal of PowerShell. In single quotes
// nothing is expanded; PowerShell takes the typographic single quotes for
// single quotes, too.
func powerShell(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch r {
		case '\'', '\u2018', '\u2019', '\u201a', '\u201b':
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// odata writes a literal of a $filter. It has to go through powerShell as part
// of the whole filter.
func odata(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// literals writes values as a list of PowerShell and counts what is not in it.
func literals(values []string) (list string, left int) {
	var out []string
	for _, v := range values {
		if quotable(v) && len(out) < maxInCommand {
			out = append(out, powerShell(v))
		} else {
			left++
		}
	}
	return strings.Join(out, ","), left
}

// note says what a command leaves out.
func note(left int, more string) string {
	if left == 0 {
		return more
	}
	s := plural(left, "more is", "more are") + " in posture.json: the command names at most 20, and none whose characters cannot be seen"
	if more != "" {
		s = more + "; " + s
	}
	return s
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// appFilter finds an application, or its service principal, in the tenant.
func appFilter(a *app) string {
	switch {
	case guid.MatchString(a.id):
		return powerShell("appId eq " + odata(a.id))
	case quotable(a.name):
		return powerShell("displayName eq " + odata(a.name))
	}
	return ""
}

const (
	graphPS    = "Graph PowerShell"
	exchangePS = "Exchange Online PowerShell"
	azureCLI   = "Azure CLI"
)

// forEach is a command that does something to each of the values.
func forEach(tool string, values []string, body, more string) []Step {
	list, left := literals(values)
	if list == "" {
		return []Step{{Tool: tool, Note: "the names hold characters that cannot be pasted safely; act on them by their object ids in the portal"}}
	}
	return []Step{{Tool: tool, Command: list + " | ForEach-Object { " + body + " }", Note: note(left, more)}}
}

// requireMFA makes a policy for the accounts, which only reports at first.
func requireMFA(upns []string) []Step {
	return policy(upns, "Require MFA for accounts found without", "@('all')", "mfa", "it reports only: look at what it would have stopped, then set its state to enabled")
}

// blockLegacy makes a policy that refuses legacy clients.
func blockLegacy() []Step {
	return []Step{{Tool: graphPS, Note: "it reports only: look at what it would have stopped, then set its state to enabled",
		Command: "New-MgIdentityConditionalAccessPolicy -BodyParameter @{ displayName = 'Block legacy authentication'; state = 'enabledForReportingButNotEnforced'; conditions = @{ users = @{ includeUsers = @('All') }; " +
			"applications = @{ includeApplications = @('All') }; clientAppTypes = @('exchangeActiveSync','other') }; grantControls = @{ operator = 'OR'; builtInControls = @('block') } }"}}
}

func policy(upns []string, name, clients, control, more string) []Step {
	list, left := literals(upns)
	if list == "" {
		return []Step{{Tool: graphPS, Note: "the names hold characters that cannot be pasted safely; act on them by their object ids in the portal"}}
	}
	return []Step{{Tool: graphPS, Note: note(left, more),
		Command: "$ids = @(" + list + " | ForEach-Object { (Get-MgUser -UserId $_).Id }); New-MgIdentityConditionalAccessPolicy -BodyParameter @{ displayName = " + powerShell(name) +
			"; state = 'enabledForReportingButNotEnforced'; conditions = @{ users = @{ includeUsers = $ids }; applications = @{ includeApplications = @('All') }; clientAppTypes = " + clients +
			" }; grantControls = @{ operator = 'OR'; builtInControls = @('" + control + "') } }"}}
}

func disableAccounts(upns []string) []Step {
	return forEach(graphPS, upns, "Update-MgUser -UserId $_ -AccountEnabled:$false; Revoke-MgUserSignInSession -UserId $_", "")
}

// disableApps switches the applications off without removing them.
func disableApps(apps []*app) (out []Step) {
	for _, a := range apps[:min(len(apps), maxInCommand)] {
		if f := appFilter(a); f != "" {
			out = append(out, Step{Tool: graphPS, Command: "Get-MgServicePrincipal -Filter " + f + " | ForEach-Object { Update-MgServicePrincipal -ServicePrincipalId $_.Id -AccountEnabled:$false }"})
		} else {
			out = append(out, Step{Tool: graphPS, Note: "an application has no id in the evidence and a name that cannot be pasted safely; disable it in the portal"})
		}
	}
	return out
}

// takeRoles takes app roles away.
func takeRoles(apps []*app, roles func(*app) []string) (out []Step) {
	for _, a := range apps[:min(len(apps), maxInCommand)] {
		f := appFilter(a)
		list, _ := literals(roles(a))
		if f == "" || list == "" {
			out = append(out, Step{Tool: graphPS, Note: "an application has no id in the evidence and a name that cannot be pasted safely; take its permissions away in the portal"})
			continue
		}
		out = append(out, Step{Tool: graphPS, Command: "$sp = Get-MgServicePrincipal -Filter " + f + "; Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $sp.Id -All | Where-Object { $a = $_; " +
			"(Get-MgServicePrincipal -ServicePrincipalId $a.ResourceId).AppRoles | Where-Object { $_.Id -eq $a.AppRoleId -and $_.Value -in " + list + " } } | " +
			"ForEach-Object { Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $sp.Id -AppRoleAssignmentId $_.Id }"})
	}
	return out
}

// removeKeys removes credentials of applications, once their successors work.
func removeKeys(keys []appKey) (out []Step) {
	for _, k := range keys[:min(len(keys), maxInCommand)] {
		f := appFilter(k.app)
		if f == "" || !quotable(k.id) {
			continue
		}
		id := powerShell(k.id)
		out = append(out, Step{Tool: graphPS, Note: "first add a new credential and have the application use it",
			Command: "Get-MgApplication -Filter " + f + " | ForEach-Object { if ($_.PasswordCredentials.KeyId -contains " + id + ") { Remove-MgApplicationPassword -ApplicationId $_.Id -KeyId " + id +
				" } else { Update-MgApplication -ApplicationId $_.Id -KeyCredentials @($_.KeyCredentials | Where-Object KeyId -ne " + id + ") } }"})
	}
	return out
}
