package posture

import (
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
)

func accountChecks() []check {
	return []check{
		{
			id: "no_mfa", title: "Accounts without a second factor",
			why:        "The incident began with a guessed password of an account that needed nothing else; a second factor would have ended it there.",
			breaks:     "mail clients and scripts that send a password alone stop; people without a method have to register one first, from a place that you trust",
			techniques: []string{"T1110.003", "T1078.004"},
			ask:        noMFA,
		},
		{
			id: "test_account", title: "Test and development accounts that are as good as real ones",
			why:        "The account that was guessed was a test account of a non-production tenant, with no second factor and nobody who would have noticed.",
			breaks:     "tests and demonstrations that sign in as the account; ask who runs them before, and give them an account that cannot leave the test tenant",
			techniques: []string{"T1078.004", "T1110.003"},
			ask:        testAccounts,
		},
		{
			id: "dormant", title: "Dormant accounts that are enabled",
			why:        "CISA names dormant accounts as what this actor looks for: nobody notices what happens to an account that nobody uses.",
			breaks:     "people on leave cannot sign in on their return until somebody enables the account; mailboxes and files stay",
			techniques: []string{"T1078.004"},
			ask:        dormant,
		},
		{
			id: "legacy_protocol", title: "Legacy protocols in successful use",
			why:        "Protocols that send a password alone cannot ask for a second factor; who guessed a password, as in the incident, gets around it through them.",
			breaks:     "phones that speak ActiveSync, scanners, old mail clients and scripts that send mail or sign in with a password; move them to OAuth or to a relay first",
			techniques: []string{"T1110.003", "T1078.004"},
			ask:        legacy,
		},
		{
			id: "user_consent", title: "People can consent to applications",
			why:        "The actor's account, an ordinary user that it had made itself, consented to the actor's own applications.",
			breaks:     "people have to ask an administrator for each new application; switch on the admin consent workflow so that they can",
			techniques: []string{"T1550.001", "T1098.003"},
			ask:        userConsent,
		},
		{
			id: "user_registration", title: "People can register applications",
			why:        "The actor registered malicious applications of its own as an ordinary user of the corporate tenant.",
			breaks:     "developers have to be given the role Application Developer",
			techniques: []string{"T1098.001", "T1136.003"},
			ask:        userRegistration,
		},
		{
			id: "no_canary", title: "No canary accounts",
			why:        "An account that nobody uses and everybody may find is the one tripwire that a low and slow spray cannot avoid; CISA advises it against this actor.",
			breaks:     "nothing; leave the account without rights and licence",
			techniques: []string{"T1110.003", "T1087.004"},
			ask:        noCanary,
		},
	}
}

// lacksMFA says why an account is held to be without a second factor; empty:
// it is not, or nothing says so.
func (a *account) lacksMFA() string {
	var parts []string
	if a.mfa != nil && *a.mfa {
		return ""
	}
	if a.mfa != nil {
		parts = append(parts, "no method registered")
	}
	if a.single > 0 && a.multi == 0 {
		parts = append(parts, plural(int(a.single), "interactive sign-in", "interactive sign-ins")+" with a password alone, none with a second factor")
	} else if a.mfa != nil && a.multi > 0 {
		return "" // it signed in with one: the list is older than that
	}
	return strings.Join(parts, "; ")
}

func (a *account) evidence() (out []string) {
	if a.singleID != "" && a.multi == 0 {
		out = append(out, a.singleID)
	}
	return append(out, a.roleEvents...)
}

const fetchMethods = "the registration details (Graph reports/authenticationMethods/userRegistrationDetails, or Get-MFA of Microsoft-Extractor-Suite)"

const fetchSignIns = "interactive sign-ins (Graph auditLogs/signIns, or the portal's download)"

func noMFA(f *facts, t *tenant, c *check) found {
	type group struct {
		sev         casefile.Severity
		title, many string
		members     []Member
	}
	groups := []group{
		{casefile.Critical, "1 administrator without a second factor", "%d administrators without a second factor", nil},
		{casefile.Medium, "1 account without a second factor", "%d accounts without a second factor", nil},
		{casefile.Medium, "1 service account without a second factor", "%d service accounts without a second factor", nil},
	}
	known, listed := 0, 0
	for _, a := range f.people(t) {
		if a.mfa != nil {
			listed++
		}
		if a.mfa != nil || a.single+a.multi > 0 {
			known++
		}
		why := a.lacksMFA()
		if why == "" || testAccount(a.upn) != "" && len(a.privileged()) == 0 && a.single > 0 {
			continue // see test_account
		}
		i := 1
		switch {
		case len(a.privileged()) > 0:
			i = 0
			why += "; holds " + strings.Join(a.privileged(), ", ")
		case serviceAccount(a.upn):
			i = 2
		}
		groups[i].members = append(groups[i].members, a.member(why, a.evidence()...))
	}
	var doors []Door
	for i, g := range groups {
		if len(g.members) == 0 {
			continue
		}
		title := g.title
		if len(g.members) > 1 {
			title = fmt.Sprintf(g.many, len(g.members))
		}
		d := c.door(t, g.sev, title, fmt.Sprintf("%s of %s whose second factor is known of: %s.", plural(len(g.members), "account", "accounts"), fmt.Sprint(known), list(ids(g.members), 4)), g.members)
		d.Fix = requireMFA(ids(g.members))
		if i == 2 {
			d.Fix = []Step{{Tool: azureCLI, Note: "a service account has no phone: move what it does to a managed identity or a workload identity with a certificate, then disable it"}}
			d.Fix = append(d.Fix, disableAccounts(ids(g.members))...)
			d.Breaks = "what signs in as the account stops; move it first"
		}
		d.Limits = []string{"a second factor at a federated identity provider, or a trusted place that a policy lets in without one, looks the same in these logs"}
		doors = append(doors, d)
	}
	cover := fmt.Sprintf("second factor known of %d accounts (%d from a list); %s", known, listed, t.cover("signin/interactive"))
	switch {
	case len(doors) > 0:
		x := open(doors...)
		x.text = cover
		if listed == 0 {
			x.fetch = fetchMethods
		}
		return x
	case known == 0:
		return unknown("no list of registered methods, and no sign-in that says whether a second factor was asked for", fetchMethods+", or "+fetchSignIns)
	case listed > 0 && f.allListed(t):
		return found{state: Closed, text: fmt.Sprintf("each of the %d enabled accounts in the list has a method registered, and none of the tenant's sign-ins is by an account outside of it", listed)}
	}
	return notSeen(cover, fetchMethods)
}

// allListed reports whether every account that signed in is in a list of users
// that says who has a second factor.
func (f *facts) allListed(t *tenant) bool {
	for _, a := range f.people(t) {
		if a.mfa == nil {
			return false
		}
	}
	return true
}

func testAccounts(f *facts, t *tenant, c *check) found {
	var members []Member
	words := map[string]bool{}
	all := f.people(t)
	admin := false
	for _, a := range all {
		word := testAccount(a.upn)
		if word == "" {
			continue
		}
		var why []string
		if w := a.lacksMFA(); w != "" {
			why = append(why, w)
		}
		if r := a.privileged(); len(r) > 0 {
			why = append(why, "holds "+strings.Join(r, ", "))
			admin = true
		}
		if len(why) > 0 {
			words[word] = true
			members = append(members, a.member(strings.Join(why, "; "), a.evidence()...))
		}
	}
	if len(members) > 0 {
		d := c.door(t, casefile.High, plural(len(members), "test account", "test accounts")+" without a second factor or with a directory role",
			fmt.Sprintf("%s of %s by name (%s): %s.", plural(len(members), "account", "accounts"), first(t.Name, "the tenant"), strings.Join(sortedKeys(words), ", "), list(ids(members), 4)), members)
		if admin {
			d.Severity = casefile.Critical
		}
		d.Fix = disableAccounts(ids(members))
		if len(members) > len(all)/2 {
			d.Fix = []Step{{Tool: graphPS, Note: "the whole tenant is one for tests: find out which of its applications have a service principal in other tenants (Get-MgApplication -All | Where-Object SignInAudience -ne 'AzureADMyOrg'), and who owns them"}}
			d.Fix = append(d.Fix, requireMFA(ids(members))...)
		}
		d.Limits = []string{"that an account is for tests is taken from its name"}
		x := open(d)
		x.text = t.cover("signin/interactive")
		return x
	}
	if len(all) == 0 {
		return unknown("no account is known", "a list of users (Get-Users of Microsoft-Extractor-Suite), or "+fetchSignIns)
	}
	return notSeen(fmt.Sprintf("of %d accounts that are known none is called so and lacks a second factor or holds a role; roles are known only as far as they were given in the evidence; %s", len(all), t.cover("signin/interactive", "directory")), "")
}

// dormantDays is without a sign of life for how many days an account is
// dormant; fewestDays is the least evidence that can say anything of it.
const (
	dormantDays = 30
	fewestDays  = 14
)

func dormant(f *facts, t *tenant, c *check) found {
	listed := 0
	for _, a := range f.people(t) {
		if a.listed && a.enabled != nil {
			listed++
		}
	}
	fetch := "a list of users that says who is enabled (--directory, or Get-Users of Microsoft-Extractor-Suite)"
	l := t.log("signin/interactive")
	switch {
	case listed == 0:
		return unknown("which accounts are enabled is not known", fetch)
	case l == nil:
		return unknown("no interactive sign-ins", fetchSignIns)
	case t.days() < fewestDays:
		return unknown(fmt.Sprintf("%d days of evidence are too few to tell", t.days()), "sign-ins of 30 days or more")
	}
	window := min(dormantDays, t.days())
	before := t.To.Add(-time.Duration(window) * 24 * time.Hour)
	var members []Member
	open0, never := 0, 0
	for _, a := range f.people(t) {
		if !a.listed || a.enabled == nil || a.last.After(before) {
			continue
		}
		text := fmt.Sprintf("no sign of life in %d days of evidence", t.days())
		if !a.last.IsZero() {
			text = fmt.Sprintf("last seen %s by %s", casefile.TimeOf(a.last), a.lastBy)
		} else {
			never++
		}
		if a.mfa != nil && !*a.mfa {
			text += "; no second factor registered"
			open0++
		}
		members = append(members, a.member(text))
	}
	cover := t.cover("signin/interactive", "signin/noninteractive")
	if len(members) == 0 {
		return notSeen(fmt.Sprintf("each of %d enabled accounts was seen within %d days; %s", listed, window, cover), "")
	}
	d := c.door(t, casefile.Low, plural(len(members), "enabled account", "enabled accounts")+fmt.Sprintf(" without a sign of life in %d days", window),
		fmt.Sprintf("%d of %d enabled accounts, %d of them never in the evidence (%s): %s.", len(members), listed, never, cover, list(ids(members), 4)), members)
	if open0 > 0 {
		d.Severity = casefile.Medium
	}
	d.Fix = disableAccounts(ids(members))
	d.Limits = []string{"shared and room mailboxes have accounts that never sign in: block their sign-in, which leaves the mailbox as it is"}
	if t.log("signin/noninteractive") == nil {
		d.Limits = append(d.Limits, "without non-interactive sign-ins an account that only refreshes tokens looks dormant")
	}
	if l.Share < 0.9 {
		d.Limits = append(d.Limits, fmt.Sprintf("sign-ins are there of %d of %d days only", l.Days, l.Window))
	}
	x := open(d)
	x.text = cover
	return x
}

func legacy(f *facts, t *tenant, c *check) found {
	var members []Member
	via := map[string]int64{}
	for _, a := range f.people(t) {
		if len(a.legacy) == 0 {
			continue
		}
		var parts, events []string
		for _, v := range sortedKeys(a.legacy) {
			u := a.legacy[v]
			via[v] += u.n
			parts = append(parts, fmt.Sprintf("%s over %s", plural(int(u.n), "sign-in", "sign-ins"), v))
			events = append(events, u.id)
		}
		members = append(members, a.member(strings.Join(parts, ", "), events...))
	}
	if len(members) > 0 {
		var kinds []string
		for _, v := range sortedKeys(via) {
			kinds = append(kinds, fmt.Sprintf("%s %d", v, via[v]))
		}
		d := c.door(t, casefile.Medium, plural(len(members), "account signs", "accounts sign")+" in over legacy protocols",
			fmt.Sprintf("Sign-ins that came about: %s; by %s.", strings.Join(kinds, ", "), list(ids(members), 4)), members)
		d.Fix = blockLegacy()
		d.Fix = append(d.Fix, forEach(exchangePS, ids(members), "Set-CASMailbox -Identity $_ -ImapEnabled $false -PopEnabled $false -SmtpClientAuthenticationDisabled $true", "for those that have a mailbox")...)
		x := open(d)
		x.text = t.cover("signin/interactive", "signin/noninteractive")
		return x
	}
	if t.log("signin/interactive") == nil && t.log("signin/noninteractive") == nil {
		return unknown("no sign-ins of people", fetchSignIns)
	}
	return notSeen("no sign-in over one came about; "+t.cover("signin/interactive", "signin/noninteractive"), "")
}

const lockDown = "Update-MgPolicyAuthorizationPolicy -BodyParameter @{ defaultUserRolePermissions = @{ "

func ordinary(f *facts, t *tenant, acts []act, text func(act) string) (members []Member) {
	by := map[string]int{}
	for _, x := range acts {
		if a := f.accounts[t.ID+" "+x.actor]; a != nil && len(a.roles) > 0 {
			continue // somebody with a role
		}
		i, ok := by[x.actor]
		if !ok {
			i = len(members)
			by[x.actor] = i
			members = append(members, Member{Kind: casefile.Account, ID: x.actor})
		}
		m := &members[i]
		if s := text(x); !strings.Contains("; "+m.Text+"; ", "; "+s+"; ") {
			m.Text = strings.TrimPrefix(m.Text+"; "+s, "; ")
		}
		if len(m.Events) < 20 {
			m.Events = append(m.Events, x.id)
		}
	}
	return members
}

func userConsent(f *facts, t *tenant, c *check) found {
	mail := false
	members := ordinary(f, t, t.consents, func(a act) string {
		for s := range strings.FieldsSeq(a.permissions) {
			mail = mail || mailScope(s)
		}
		return first(a.target, "an application") + " (" + first(a.permissions, "permissions not recorded") + ")"
	})
	if len(members) > 0 {
		d := c.door(t, casefile.Low, "People can consent to applications", fmt.Sprintf("Consents without an administrator came about: by %s.", list(ids(members), 4)), members)
		if mail {
			d.Severity = casefile.Medium
			d.Title += ", also to ones that read mail"
		}
		d.Fix = []Step{{Tool: graphPS, Command: lockDown + "permissionGrantPoliciesAssigned = @() } }", Note: "the list is written as a whole: read (Get-MgPolicyAuthorizationPolicy).DefaultUserRolePermissions first"}}
		x := open(d)
		x.text = t.cover("directory", "ual")
		return x
	}
	if t.log("directory") == nil && t.log("ual") == nil {
		return unknown("neither the directory audit nor the unified audit log", "the directory audit (Graph auditLogs/directoryAudits)")
	}
	return notSeen("no consent without an administrator is in the evidence, which does not say that none is possible; "+t.cover("directory", "ual"), "the setting: Get-MgPolicyAuthorizationPolicy")
}

func userRegistration(f *facts, t *tenant, c *check) found {
	members := ordinary(f, t, t.creates, func(a act) string { return "registered " + first(a.target, "an application") })
	if len(members) > 0 {
		d := c.door(t, casefile.Low, "People can register applications", fmt.Sprintf("Applications were registered by %s, of whom no role is known.", list(ids(members), 4)), members)
		d.Fix = []Step{{Tool: graphPS, Command: lockDown + "allowedToCreateApps = $false } }"}}
		if len(f.have["role assignments"]) == 0 {
			d.Limits = []string{"who holds roles is known only as far as they were given in the evidence; the export of role assignments tells"}
		}
		x := open(d)
		x.text = t.cover("directory", "ual")
		return x
	}
	if t.log("directory") == nil && t.log("ual") == nil {
		return unknown("neither the directory audit nor the unified audit log", "the directory audit (Graph auditLogs/directoryAudits)")
	}
	return notSeen("nobody without a role registered one in the evidence, which does not say that nobody can; "+t.cover("directory", "ual"), "the setting: Get-MgPolicyAuthorizationPolicy")
}

func noCanary(f *facts, t *tenant, c *check) found {
	for _, u := range f.canaries {
		if f.tenantOf(u) == t.ID {
			return found{state: Closed, text: plural(len(f.canaries), "canary account is", "canary accounts are") + " configured"}
		}
	}
	d := c.door(t, casefile.Info, "No canary account is configured", "The configuration names no account of this tenant that nobody uses.", nil)
	d.Fix = []Step{{Tool: "Midwatch", Command: "midwatch investigate --again CASE --config midwatch.yaml", Note: "with canaries: [an.old.name@your.domain] in the file; any touch of one is a finding from then on"}}
	return open(d)
}
