package respond

import (
	"slices"
	"strings"
	"testing"

	"midwatch/casefile"
)

// What only Exchange Online can do is PowerShell, for a person, with what logs
// say as literals.
func TestExchange(t *testing.T) {
	const box, holder = "o'neill@fabrikam.example", "svc@fabrikam.example"
	target := func(kind casefile.EntityKind, id string) casefile.Entity {
		return casefile.Entity{Kind: kind, ID: id, Role: casefile.RoleTarget}
	}
	for _, x := range []struct {
		detector string
		entities []casefile.Entity
		kind     Kind
		line     string
	}{
		{"external_forwarding", []casefile.Entity{target(casefile.Mailbox, box)}, RemoveForwarding, "Set-Mailbox -Identity 'o''neill@fabrikam.example' -ForwardingSmtpAddress $null -ForwardingAddress $null -DeliverToMailboxAndForward $false"},
		{"external_forwarding", []casefile.Entity{target(casefile.Rule, "Copy; all")}, DisableFlowRule, "Disable-TransportRule -Identity 'Copy; all' -Confirm:$false"},
		{"mailbox_delegation", []casefile.Entity{target(casefile.Mailbox, box), target(casefile.Account, holder)}, RemoveDelegates, "Remove-MailboxPermission -Identity 'o''neill@fabrikam.example' -User 'svc@fabrikam.example' -AccessRights FullAccess -Confirm:$false"},
		{"mailbox_delegation", []casefile.Entity{target(casefile.Account, holder)}, RemoveMailRoles, "Get-ManagementRoleAssignment -RoleAssignee 'svc@fabrikam.example' | Format-List Name,Role,RoleAssigneeType,WhenCreatedUTC"},
		{"inbox_rule_hides_or_forwards", []casefile.Entity{target(casefile.Mailbox, box), target(casefile.Rule, box+`\a'b`)}, RemoveRule, "Remove-InboxRule -Mailbox 'o''neill@fabrikam.example' -Identity 'a''b'"},
	} {
		c := readCase(t, "bec")
		c.Findings = append(c.Findings, casefile.Finding{ID: "f-x", Detector: x.detector, Severity: casefile.High, Tenant: c.Campaigns[0].Tenants[0], Title: "x", Entities: x.entities, Events: []string{"e1"}})
		c.Campaigns[0].Findings = []string{"f-x"}
		found := false
		for _, s := range build(t, c, Options{}).Steps {
			if s.Kind != x.kind {
				continue
			}
			found = true
			if !slices.Contains(s.PowerShell, x.line) {
				t.Errorf("%s: %s", x.kind, strings.Join(s.PowerShell, "\n"))
			}
			if s.Executable != (x.kind == RemoveRule) || s.Phase != Mail || s.Suspected || !slices.Contains(s.Events, "e1") {
				t.Errorf("%s: %+v", x.kind, s)
			}
		}
		if !found {
			t.Errorf("no step of kind %s", x.kind)
		}
	}
}

// Roles that a taken account was given are for a person: assignments have no date.
func TestGivenRoles(t *testing.T) {
	c := readCase(t, "bec")
	c.Findings = append(c.Findings, casefile.Finding{ID: "f-x", Detector: "privileged_role_granted", Severity: casefile.High, Tenant: c.Campaigns[0].Tenants[0], Title: "Global Administrator given",
		Entities: []casefile.Entity{{Kind: casefile.Account, ID: c.Campaigns[0].Accounts[0].UPN, Role: casefile.RoleTarget}}})
	c.Campaigns[0].Findings = append(c.Campaigns[0].Findings, "f-x")
	for _, s := range build(t, c, Options{}).Steps {
		if s.Kind == ReviewRoles && !s.Executable && s.Phase == Proposals && s.Reason == "Global Administrator given" {
			return
		}
	}
	t.Error("no step looks at its roles")
}
