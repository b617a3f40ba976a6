package detect

import (
	"context"
	"fmt"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// auditTampering finds what makes the logs themselves go silent.
type auditTampering struct{}

// Card implements [Detector].
func (auditTampering) Card() Card {
	return Card{
		ID:    "audit_tampering",
		Title: "Auditing was switched off, bypassed or narrowed",
		Why: "Who turns off the log of a mailbox reads it unseen from then on: every absence after that moment is worth nothing. APT29 is known to have taken away advanced auditing from " +
			"accounts before it read their mail.",
		FalsePositives: []string{"a service account that is exempted so that a backup does not fill the log", "licences that are moved between people", "a diagnostic setting that is replaced"},
		Techniques:     []string{"T1685.002"},
		Stage:          casefile.StageEvasion,
		Needs: Needs{
			Sources: append(exchangeNeeds().Sources, event.DirectoryLog, event.AzureActivity),
			Fetch:   "unified audit log, workloads Exchange and AzureActiveDirectory; the Azure activity log for diagnostic settings",
		},
		Severity:    casefile.High,
		FalseAlarms: FalseAlarms{PerDay: 0.002, Basis: "estimate: an exemption for a service account or a changed diagnostic setting now and then; none in simulated quiet tenants"},
	}
}

// Detect implements [Detector].
func (d auditTampering) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	rs, err := records(ctx, q, `coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service' AND (class = 'audit_change'
		OR operation IN ('set-organizationconfig', 'set-casmailbox', 'set-casmailboxplan', 'microsoft.insights/diagnosticsettings/delete', 'microsoft.aadiam/diagnosticsettings/delete')
		OR operation LIKE '%/providers/microsoft.insights/diagnosticsettings/delete'
		OR class = 'user_update' AND (detail LIKE '%AssignedLicense%' OR detail LIKE '%AssignedPlan%'))`)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, r := range oneOf(rs) {
		what, severity := d.what(&r)
		if what == "" {
			continue
		}
		f := casefile.Finding{
			Tenant: r.Tenant, First: casefile.TimeOf(r.Time), Last: casefile.TimeOf(r.Time), Events: r.ids(), Severity: severity,
			Entities: r.actorEntities(), Counts: []casefile.Count{{Name: "changes", Value: 1}},
		}
		about := ""
		if r.TargetKind != "uri" && !strings.Contains(r.Operation, "/") {
			if about, err = mailboxOf(ctx, q, &r); err != nil {
				return nil, err
			}
		}
		if strings.Contains(about, "@") {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: strings.ToLower(about), Role: casefile.RoleTarget})
			what += " for " + about
		}
		f.Title = strings.ToUpper(what[:1]) + what[1:]
		f.Why = fmt.Sprintf("%s ran %s at %s: %s. What happened after that may not be in the log.", r.who(), r.Operation, f.First, what)
		out = append(out, f)
	}
	return out, nil
}

// what says what a record takes from the log, and how grave that is.
func (d auditTampering) what(r *record) (string, casefile.Severity) {
	p := map[string]string{}
	for k, v := range r.detail.Params {
		p[strings.ToLower(k)] = v
	}
	is := func(name, value string) bool {
		return strings.EqualFold(strings.TrimPrefix(p[strings.ToLower(name)], "$"), value)
	}
	has := func(name string) bool { _, ok := p[strings.ToLower(name)]; return ok }
	switch r.Operation {
	case "set-mailboxauditbypassassociation":
		if is("AuditBypassEnabled", "true") {
			return "an account was exempted from mailbox auditing", casefile.High
		}
	case "set-mailbox":
		switch {
		case is("AuditEnabled", "false"):
			return "mailbox auditing was switched off", casefile.High
		case is("DefaultAuditSet", "") && has("DefaultAuditSet"):
			return "the default set of audited actions was taken away", casefile.High
		}
		for _, who := range []string{"AuditOwner", "AuditDelegate", "AuditAdmin"} {
			v := strings.ToLower(p[strings.ToLower(who)])
			if strings.Contains(v, "remove") || strings.Contains(v, "-mailitemsaccessed") || has(who) && !strings.Contains(v, "mailitemsaccessed") && !strings.Contains(v, "add") {
				return "the audited actions were changed, without reads of mail among them (" + who + ")", casefile.Medium
			}
		}
		if has("AuditLogAgeLimit") {
			return "the age limit of the mailbox audit log was changed to " + p["auditlogagelimit"], casefile.Low
		}
	case "set-organizationconfig":
		switch {
		case is("AuditDisabled", "true"):
			return "mailbox auditing was switched off for the whole organization", casefile.Critical
		case has("EwsEnabled"), has("EwsApplicationAccessPolicy"), has("EwsAllowList"), has("EwsAllowedAppIDs"), has("EwsBlockList"):
			return "which applications may use Exchange Web Services was changed", casefile.Medium
		}
	case "set-casmailbox", "set-casmailboxplan":
		if is("EwsEnabled", "true") || has("EwsAllowList") || has("EwsApplicationAccessPolicy") {
			return "which applications may use Exchange Web Services was changed", casefile.Low
		}
	case "set-adminauditlogconfig":
		switch {
		case is("UnifiedAuditLogIngestionEnabled", "false"):
			return "the unified audit log was switched off", casefile.Critical
		case is("AdminAuditLogEnabled", "false"):
			return "the log of administrators' cmdlets was switched off", casefile.High
		case has("AdminAuditLogExcludedCmdlets"), has("AdminAuditLogCmdlets") && p["adminauditlogcmdlets"] != "*":
			return "the log of administrators' cmdlets was narrowed", casefile.High
		}
	case "remove-unifiedauditlogretentionpolicy", "remove-mailboxauditlog":
		return "a policy that keeps audit records, or the records, were removed", casefile.High
	case "set-unifiedauditlogretentionpolicy":
		return "a policy that keeps audit records was changed", casefile.Low
	case "disable-advancedaudit":
		return "advanced auditing was switched off", casefile.High
	case "microsoft.aadiam/diagnosticsettings/delete":
		return "the export of Entra's logs was removed", casefile.High
	}
	switch {
	case strings.HasSuffix(r.Operation, "diagnosticsettings/delete"):
		return "the export of a resource's logs was removed (" + firstOf(r.Target, "resource not named") + ")", casefile.Medium
	case event.Class(r.Class) == event.ClassUserUpdate && r.licenceLost():
		return "the licence with advanced auditing was taken away", casefile.Medium
	}
	return "", ""
}

// licenceLost reports whether a change of licences takes advanced auditing
// away: the service plan is disabled, or a licence of the E5 family is gone.
// Source: product names and service plan identifiers for licensing.
func (r *record) licenceLost() bool {
	const plan, planID = "M365_ADVANCED_AUDITING", "2f442157-a11c-46b9-ae5b-6e39ff4e5849"
	e5 := func(s string) bool {
		for _, sku := range []string{"ENTERPRISEPREMIUM", "SPE_E5", "M365_E5", "M365EDU_A5", "SPE_A5", "M365_G5", "INFORMATION_PROTECTION_COMPLIANCE",
			"06EBC4EE-1BB5-47DD-8120-11324BC54E06", "C7DF2760-2C81-4EF7-B578-5B5392B571DF"} {
			if strings.Contains(s, sku) {
				return true
			}
		}
		return false
	}
	for _, c := range r.detail.Changes {
		if !strings.Contains(c.Name, "AssignedLicense") && !strings.Contains(c.Name, "AssignedPlan") {
			continue
		}
		was, is := strings.ToUpper(c.Old), strings.ToUpper(c.New)
		for _, p := range []string{plan, strings.ToUpper(planID)} {
			_, disabledWas, _ := strings.Cut(was, "DISABLEDPLANS")
			_, disabledIs, _ := strings.Cut(is, "DISABLEDPLANS")
			if strings.Contains(disabledIs, p) && !strings.Contains(disabledWas, p) {
				return true
			}
		}
		if e5(was) && !e5(is) {
			return true
		}
	}
	return false
}
