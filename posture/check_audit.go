package posture

import (
	"fmt"
	"strings"

	"midwatch/casefile"
)

func auditChecks() []check {
	breaks := "nothing; the volume of the audit log grows"
	return []check{
		{
			id: "reads_not_recorded", title: "Mailboxes whose reads are not recorded",
			why:        "Without MailItemsAccessed nobody can say which messages were read: such a mailbox has to be counted as read whole.",
			breaks:     breaks,
			techniques: []string{"T1562.008", "T1114.002"},
			ask:        readsNotRecorded,
		},
		{
			id: "audit_off", title: "Auditing switched off or bypassed",
			why:        "An account with audit bypass reads mail and leaves no record of it; APT29 was seen to switch auditing of mailboxes off before it collected from them (Mandiant, 2022).",
			breaks:     "the volume of the audit log grows: bypass was often set to spare it the records of a backup",
			techniques: []string{"T1562.008"},
			ask:        auditOff,
		},
		{
			id: "searches_not_recorded", title: "Searches of mail are not recorded",
			why:        "The actor looked for what was known about itself; SearchQueryInitiated, which shows what is searched for, has to be switched on by mailbox.",
			breaks:     breaks,
			techniques: []string{"T1114.002"},
			ask:        searches,
		},
		{
			id: "logs_not_kept", title: "Logs that are not received",
			why:        "The actor came as an application: its sign-ins are in the log of service principals, which nobody has unless it is exported.",
			breaks:     "nothing; the export costs storage",
			techniques: []string{"T1562.008", "T1078.004"},
			ask:        logsNotKept,
		},
		{
			id: "short_retention", title: "Logs that begin where their retention ends",
			why:        "The incident began in late November and was seen on 12 January: logs of 30 days would have begun after the actor was inside.",
			breaks:     "nothing; keeping logs costs storage",
			techniques: []string{"T1562.008"},
			ask:        retention,
		},
	}
}

// fewBoxes is from how many mailboxes with recorded reads on it says something
// that others have none.
const fewBoxes = 3

func readsNotRecorded(_ *facts, t *tenant, c *check) found {
	with := 0
	var members []Member
	for _, b := range t.boxes {
		switch {
		case b.reads > 0:
			with++
		case b.other > 0:
			members = append(members, Member{Kind: casefile.Mailbox, ID: b.name, Text: plural(int(b.other), "other record", "other records") + " of its mail, none of reading by anybody"})
		}
	}
	text := fmt.Sprintf("reads are recorded of %d mailboxes; %s", with, t.cover("ual"))
	fetch := "the mailboxes' audit settings (Get-MailboxAuditStatus of Microsoft-Extractor-Suite)"
	switch {
	case t.log("ual") == nil || len(t.boxes) == 0:
		return unknown("no records of mail", "the unified audit log, Exchange records included")
	case with < fewBoxes && len(members) > 0:
		d := c.door(t, casefile.High, "Reads of mail are not recorded", fmt.Sprintf("Of %d mailboxes with records %d have any of reading: MailItemsAccessed is not recorded, or was not exported.", len(t.boxes), with), members)
		d.Fix = setAudit(ids(members))
		x := open(d)
		x.text, x.fetch = text, fetch
		return x
	case len(members) > 0:
		d := c.door(t, casefile.Medium, plural(len(members), "mailbox has", "mailboxes have")+" no records of reading", fmt.Sprintf("%d of %d mailboxes with records, while reads of the others are recorded: %s. Licence or audit set.", len(members), len(t.boxes), list(ids(members), 4)), members)
		d.Fix = setAudit(ids(members))
		d.Limits = []string{"a mailbox that nobody opens has no reads to record; one that sends on its own is such a mailbox"}
		x := open(d)
		x.text, x.fetch = text, fetch
		return x
	}
	return notSeen(text, fetch)
}

func setAudit(boxes []string) []Step {
	return append([]Step{{Tool: exchangePS, Command: "Get-OrganizationConfig | Format-List AuditDisabled", Note: "True switches auditing off for all; it is to be False"}},
		forEach(exchangePS, boxes, "Set-Mailbox -Identity $_ -AuditEnabled $true -DefaultAuditSet Admin,Delegate,Owner", "a licence with MailItemsAccessed (E3 and up, by mailbox) is needed besides")...)
}

func auditOff(f *facts, t *tenant, c *check) found {
	var off, bypass, narrow []Member
	listed := 0
	for _, m := range f.audits {
		if m.tenant != t.ID {
			continue
		}
		listed++
		x := Member{Kind: casefile.Mailbox, ID: m.upn, Places: []Place{m.place}}
		if m.bypass {
			x.Text = "AuditBypassEnabled is True"
			bypass = append(bypass, x)
		} else if !m.on {
			x.Text = "AuditEnabled is False"
			off = append(off, x)
		} else if m.actions != "" && !strings.Contains(strings.ToLower(m.actions), "mailitemsaccessed") {
			x.Text = "its owner's actions are audited without MailItemsAccessed"
			narrow = append(narrow, x)
		}
	}
	var doors []Door
	if len(bypass) > 0 {
		d := c.door(t, casefile.High, plural(len(bypass), "account has", "accounts have")+" audit bypass", "Nothing that these accounts do in mailboxes is recorded: "+list(ids(bypass), 4)+".", bypass)
		d.Fix = forEach(exchangePS, ids(bypass), "Set-MailboxAuditBypassAssociation -Identity $_ -AuditBypassEnabled $false", "")
		doors = append(doors, d)
	}
	if len(off) > 0 {
		d := c.door(t, casefile.High, plural(len(off), "mailbox is", "mailboxes are")+" not audited", "AuditEnabled is False: "+list(ids(off), 4)+".", off)
		d.Fix = setAudit(ids(off))
		doors = append(doors, d)
	}
	if len(narrow) > 0 {
		d := c.door(t, casefile.Medium, plural(len(narrow), "mailbox does not record", "mailboxes do not record")+" reads of mail", "The audit set leaves MailItemsAccessed out: "+list(ids(narrow), 4)+".", narrow)
		d.Fix = setAudit(ids(narrow))
		doors = append(doors, d)
	}
	if len(t.bypass) > 0 {
		var members []Member
		for _, a := range t.bypass {
			members = append(members, Member{Kind: casefile.Account, ID: a.actor, Name: a.target, Text: fmt.Sprintf("%s on %s at %s", a.permissions, first(a.target, "the organization"), casefile.TimeOf(a.at)), Events: []string{a.id}})
		}
		d := c.door(t, casefile.High, "Auditing was switched off or bypassed in the evidence", list(texts(members), 3)+".", members)
		d.Fix = []Step{{Tool: exchangePS, Command: "Get-MailboxAuditBypassAssociation -ResultSize Unlimited | Where-Object AuditBypassEnabled -eq $true", Note: "whether it was switched on again is to be looked up; ask who did it"}}
		doors = append(doors, d)
	}
	text := fmt.Sprintf("%s in the export; %s", plural(listed, "mailbox", "mailboxes"), t.cover("ual"))
	fetch := "the mailboxes' audit settings (Get-MailboxAuditStatus of Microsoft-Extractor-Suite)"
	if len(doors) > 0 {
		return found{doors: doors, state: Open, text: text}
	}
	switch {
	case listed > 0:
		return found{state: Closed, text: fmt.Sprintf("none of %d mailboxes in the export has auditing off, bypassed or without reads; accounts that are no mailboxes are not in it", listed)}
	case t.log("ual") == nil:
		return unknown("neither the export nor the unified audit log", fetch)
	}
	return notSeen("nobody changed it in the evidence, which does not say how it was set before; "+t.cover("ual"), fetch)
}

func texts(ms []Member) (out []string) {
	for _, m := range ms {
		out = append(out, m.Text)
	}
	return out
}

func searches(_ *facts, t *tenant, c *check) found {
	switch {
	case t.searches > 0:
		return notSeen(fmt.Sprintf("%d records of searches; whether every mailbox records them is not known", t.searches), "")
	case t.log("ual") == nil || t.mailReads == 0:
		return unknown("no records of mail being read, so that it is not known whether Exchange records were exported at all", "the unified audit log, Exchange records included")
	}
	d := c.door(t, casefile.Low, "Searches of mail are not recorded", fmt.Sprintf("Not one SearchQueryInitiated in %d days with %d records of mail being read.", t.days(), t.mailReads), nil)
	d.Fix = []Step{{Tool: exchangePS, Command: "Get-Mailbox -ResultSize Unlimited | ForEach-Object { Set-Mailbox -Identity $_.ExchangeGuid.Guid -AuditOwner @{Add='SearchQueryInitiated'} }", Note: "a mailbox whose audit set is changed by hand no longer gets new actions of Microsoft's default set by itself"}}
	d.Limits = []string{"an export that was limited to some operations does not have them either"}
	x := open(d)
	x.text = t.cover("ual")
	return x
}

// sinks is how sign-ins and the directory audit leave Entra.
const sinks = `az rest --method put --uri 'https://management.azure.com/providers/microsoft.aadiam/diagnosticSettings/audit?api-version=2017-04-01' --body '{"properties":{"workspaceId":"WORKSPACE_RESOURCE_ID","logs":[` +
	`{"category":"SignInLogs","enabled":true},{"category":"NonInteractiveUserSignInLogs","enabled":true},{"category":"ServicePrincipalSignInLogs","enabled":true},{"category":"ManagedIdentitySignInLogs","enabled":true},` +
	`{"category":"AuditLogs","enabled":true},{"category":"MicrosoftGraphActivityLogs","enabled":true}]}}'`

func logsNotKept(_ *facts, t *tenant, c *check) found {
	wanted := []struct{ name, what string }{
		{"signin/interactive", "who signed in, with or without a second factor"},
		{"signin/noninteractive", "stolen tokens and sessions"},
		{"signin/service_principal", "sign-ins of applications: the way of the incident"},
		{"directory", "permissions, credentials and roles that were given"},
		{"ual", "mail that was read"},
		{"graph_activity", "what applications asked of Microsoft Graph"},
	}
	var missing []string
	sev := casefile.Low
	for _, w := range wanted {
		if t.log(w.name) == nil {
			missing = append(missing, logName(w.name)+" ("+w.what+")")
			if w.name == "signin/service_principal" || w.name == "ual" || w.name == "directory" {
				sev = casefile.Medium
			}
		}
	}
	if len(t.logs) == 0 {
		return unknown("no log at all", "the logs: docs/DETECTORS.md says which")
	}
	if len(missing) == 0 {
		return notSeen("each is there: "+t.cover("signin/interactive", "signin/noninteractive", "signin/service_principal", "directory", "ual", "graph_activity"), "")
	}
	d := c.door(t, sev, plural(len(missing), "log was", "logs were")+" never received", "Without a single record: "+strings.Join(missing, "; ")+".", nil)
	d.Fix = []Step{{Tool: azureCLI, Command: sinks, Note: "write the resource id of a Log Analytics workspace in the place of WORKSPACE_RESOURCE_ID"}}
	d.Limits = []string{"a log may be kept and was only not given to Midwatch"}
	return open(d)
}

func retention(f *facts, t *tenant, c *check) found {
	if f.kase == nil {
		return unknown("asked of a store; a case says where logs begin", "a case: midwatch investigate --store STORE")
	}
	var mine []string
	for _, s := range f.kase.Coverage.Retention {
		if len(f.tenants) == 1 || strings.Contains(s, t.Name) || t.ID != "" && strings.Contains(s, t.ID) {
			mine = append(mine, s)
		}
	}
	if len(mine) == 0 {
		return notSeen(fmt.Sprintf("no log begins just where its retention ends; the evidence is %d days long", t.days()), "")
	}
	d := c.door(t, casefile.Medium, "Logs begin where their retention ends", strings.Join(mine, "; ")+".", nil)
	d.Fix = []Step{
		{Tool: azureCLI, Command: sinks, Note: "write the resource id of a Log Analytics workspace in the place of WORKSPACE_RESOURCE_ID, and keep it a year"},
		{Tool: exchangePS, Command: "New-UnifiedAuditLogRetentionPolicy -Name 'Exchange, a year' -RecordTypes ExchangeItem,ExchangeItemAggregated,ExchangeAdmin -RetentionDuration TwelveMonths -Priority 100", Note: "needs Audit (Premium)"},
	}
	x := open(d)
	x.text = fmt.Sprintf("%d days of evidence", t.days())
	return x
}
