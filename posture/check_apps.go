package posture

import (
	"fmt"
	"strings"
	"time"

	"midwatch/casefile"
)

func appChecks() []check {
	return []check{
		{
			id: "test_app", title: "Test and legacy applications with power over mail or the directory",
			why:        "The actor went from the test tenant into the corporate one through a legacy test application that held rights there which nobody remembered.",
			breaks:     "what still uses the application; it can be enabled again at once",
			techniques: []string{"T1098.001", "T1098.003", "T1528"},
			ask:        testApps,
		},
		{
			id: "unused_power", title: "Powerful permissions of applications that do not use them",
			why:        "full_access_as_app opened every mailbox to whoever held one secret; a permission that nobody uses is missed by nobody when it is abused.",
			breaks:     "an application that uses the permission less often than the evidence is long (a yearly archive, a migration)",
			techniques: []string{"T1098.003", "T1114.002"},
			ask:        unusedPower,
		},
		{
			id: "old_credentials", title: "Credentials of applications that are old, many, or used from everywhere",
			why:        "The actor added credentials of its own beside the ones that were there; nobody notices one more where there are several, or where none is ever changed.",
			breaks:     "the application, if it still uses the credential that is removed",
			techniques: []string{"T1098.001", "T1550.001"},
			ask:        credentials,
		},
		{
			id: "ordinary_owner", title: "Ordinary users who own powerful applications",
			why:        "An owner can add a credential and act as the application: the owner's password is then worth as much as every permission of it.",
			breaks:     "the owner can no longer change the application; name an administrator who does",
			techniques: []string{"T1098.001", "T1078.004"},
			ask:        ordinaryOwners,
		},
		{
			id: "ews_in_use", title: "Exchange Web Services are in use",
			why: "The incident's mail was read over Exchange Web Services with full_access_as_app; Microsoft switches them off from 2026-10-01 on where a tenant has set nothing, " +
				"applications on the allow list go on, and on 2027-04-01 they are gone.",
			breaks:     "each application that is not on the list; it takes up to 24 hours to take effect",
			techniques: []string{"T1114.002"},
			ask:        ews,
		},
	}
}

const (
	fetchPermissions = "the applications' permissions (Get-OAuthPermissions of Microsoft-Extractor-Suite)"
	fetchSPSignIns   = "sign-ins of service principals (diagnostic setting ServicePrincipalSignInLogs, or Graph beta auditLogs/signIns)"
)

// roleNames writes grants as words.
func roleNames(gs []*grant) (names, events []string, places []Place) {
	for _, g := range gs {
		names = append(names, g.role)
		if g.id != "" {
			events = append(events, g.id)
		}
		places = append(places, g.places...)
	}
	return names, events, places
}

func testApps(f *facts, t *tenant, c *check) found {
	var members []Member
	var apps []*app
	sev := casefile.High
	for _, a := range f.appsOf(t) {
		word := testName(a.name)
		if word == "" {
			continue
		}
		gs, most := a.powers()
		names, events, places := roleNames(gs)
		var why []string
		if len(names) > 0 {
			why = append(why, "was given "+strings.Join(names, ", "))
		}
		if len(a.writes) > 0 {
			var did []string
			for _, k := range sortedKeys(a.writes) {
				did = append(did, strings.ReplaceAll(k, "_", " "))
			}
			why = append(why, "changed the directory in the evidence ("+strings.Join(did, ", ")+"), so that it holds the rights to")
			if a.writeID != "" {
				events = append(events, a.writeID)
			}
		}
		if a.reads > 0 {
			why = append(why, fmt.Sprintf("read mail of %s", plural(int(a.boxes), "mailbox", "mailboxes")))
			events = append(events, a.readID)
		}
		if len(why) == 0 {
			continue
		}
		if most == takesAll || a.writes["app_role_grant"]+a.writes["role_add"]+a.writes["user_create"]+a.writes["credential_add"] > 0 {
			sev = casefile.Critical
		}
		apps = append(apps, a)
		members = append(members, a.member(strings.Join(why, "; "), events, places))
	}
	if len(members) > 0 {
		var names []string
		for _, a := range apps {
			names = append(names, a.label())
		}
		d := c.door(t, sev, plural(len(members), "test or legacy application", "test or legacy applications")+" with power over mail or the directory", list(names, 4)+": "+members[0].Text+".", members)
		d.Fix = disableApps(apps)
		d.Limits = []string{"that an application is for tests is taken from its name"}
		x := open(d)
		x.text = t.cover("directory", "ual", "signin/service_principal")
		return x
	}
	if !f.seesApps(t) {
		return unknown("no application is known: neither sign-ins of service principals nor permissions", fetchPermissions)
	}
	return notSeen(fmt.Sprintf("of %s none is called so and has power, as far as permissions are known; %s", plural(len(f.appsOf(t)), "application that is known", "applications that are known"), t.cover("directory", "signin/service_principal")), f.permissionsMissing())
}

// seesApps reports whether anything tells about the tenant's applications.
func (f *facts) seesApps(t *tenant) bool {
	return t.log("signin/service_principal") != nil || len(f.have["application permissions"]) > 0 && f.only() == t.ID || len(f.appsOf(t)) > 0
}

func (f *facts) permissionsMissing() string {
	if len(f.have["application permissions"]) > 0 {
		return ""
	}
	return fetchPermissions
}

func unusedPower(f *facts, t *tenant, c *check) found {
	sp, reads := t.log("signin/service_principal"), t.mailReads > 0
	known := 0
	var members []Member
	var apps []*app
	roles := map[*app][]string{}
	worst := casefile.Medium
	blind := 0
	for _, a := range f.appsOf(t) {
		gs, _ := a.powers()
		if len(gs) > 0 {
			known++
		}
		var names, events []string
		var places []Place
		var text string
		for _, g := range gs {
			k := powerOf(g.role)
			unused := sp != nil && a.signIns == 0 && a.reads == 0 && len(a.writes) == 0
			switch {
			case unused:
				text = fmt.Sprintf("did not sign in in %d days of evidence", t.days())
			case k == readsMail && reads && a.reads == 0 && !strings.EqualFold(g.role, "Exchange.ManageAsApp"):
				unused, text = true, "read no mail"
			case k == takesAll && t.log("directory") != nil && len(a.writes) == 0:
				unused, text = true, "changed nothing in the directory"
			case k == readsMail && !reads, k == takesAll && t.log("directory") == nil, k == sendsMail, k == writesOther:
				blind++
				continue
			}
			if !unused {
				continue
			}
			names = append(names, g.role)
			if g.id != "" {
				events = append(events, g.id)
			}
			places = append(places, g.places...)
			if k == takesAll || k == readsMail {
				worst = casefile.High
			}
		}
		if len(names) > 0 {
			apps, roles[a] = append(apps, a), names
			members = append(members, a.member(strings.Join(names, ", ")+": "+text, events, places))
		}
	}
	cover := t.cover("signin/service_principal", "directory") + fmt.Sprintf("; %d records of mail being read", t.mailReads)
	if len(members) > 0 {
		var says []string
		for i, m := range members {
			says = append(says, apps[i].label()+" ("+m.Text+")")
		}
		d := c.door(t, worst, "1 application does not use its powerful permissions", list(says, 3)+"; seen in "+cover+".", members)
		if len(members) > 1 {
			d.Title = fmt.Sprintf("%d applications do not use their powerful permissions", len(members))
		}
		d.Fix = takeRoles(apps, func(a *app) []string { return roles[a] })
		d.Limits = []string{fmt.Sprintf("the evidence is %d days long: what is used more rarely looks unused, and so does what was granted at its end", t.days())}
		x := open(d)
		x.text, x.fetch = cover, f.permissionsMissing()
		return x
	}
	switch {
	case known == 0 && f.permissionsMissing() != "":
		return unknown("which permissions applications hold is known only of those that were granted in the evidence, and none was", fetchPermissions)
	case known > 0 && sp == nil && !reads:
		return unknown("permissions are known, and nothing that shows their use: no sign-ins of service principals, no records of mail being read", fetchSPSignIns)
	}
	text := fmt.Sprintf("%s with powerful permissions known, each used; %s", plural(known, "application", "applications"), cover)
	if blind > 0 {
		text += fmt.Sprintf("; of %s no log tells whether it is used", plural(blind, "permission", "permissions"))
	}
	return notSeen(text, f.permissionsMissing())
}

// When a credential is a door.
const (
	oldDays      = 180 // without being changed
	parallelDays = 7   // for so long two credentials are used side by side in a rotation
	manyNetworks = 8   // that one credential signs in from
)

func credentials(f *facts, t *tenant, c *check) found {
	type group struct {
		title, many string
		members     []Member
		keys        []appKey
	}
	old := &group{title: "1 credential of an application is older than 180 days", many: "%d credentials of applications are older than 180 days"}
	several := &group{title: "1 application signs in with several credentials", many: "%d applications sign in with several credentials"}
	spread := &group{title: "1 credential signs in from many networks", many: "%d credentials sign in from many networks"}
	listed, used := 0, 0
	for _, a := range f.appsOf(t) {
		var parallel []*key
		for _, id := range sortedKeys(a.keys) {
			k := a.keys[id]
			if !k.expires.IsZero() && k.expires.Before(t.To.Time) {
				continue
			}
			if len(k.places) > 0 {
				listed++
			}
			if k.uses > 0 {
				used++
			}
			since, how := k.added, "added"
			if since.IsZero() {
				since, how = k.first, "in use"
			}
			if days := int(t.To.Sub(since).Hours() / 24); !since.IsZero() && days > oldDays {
				old.members = append(old.members, k.member(a, fmt.Sprintf("%s, %s %s, %d days before the end of the evidence", a.label(), how, casefile.TimeOf(since), days)))
				old.keys = append(old.keys, appKey{a, id})
			}
			if k.uses > 0 && k.last.After(t.To.Add(-dormantDays*24*time.Hour)) {
				parallel = append(parallel, k)
			}
			if k.networks >= manyNetworks {
				spread.members = append(spread.members, k.member(a, fmt.Sprintf("%s, %d sign-ins from %d networks", a.label(), k.uses, k.networks)))
				spread.keys = append(spread.keys, appKey{a, id})
			}
		}
		n := 0
		for i, k := range parallel {
			for _, o := range parallel[i+1:] {
				from, to := later(k.first, o.first), earlier(k.last, o.last)
				if to.Sub(from) > parallelDays*24*time.Hour {
					n++
				}
			}
		}
		if n > 0 {
			var events []string
			for _, k := range parallel {
				events = append(events, k.useID)
				several.keys = append(several.keys, appKey{a, k.id})
			}
			several.members = append(several.members, a.member(fmt.Sprintf("%d credentials side by side for more than %d days", len(parallel), parallelDays), events, nil))
		}
	}
	var doors []Door
	for _, g := range []*group{spread, several, old} {
		if len(g.members) == 0 {
			continue
		}
		title := g.title
		if len(g.members) > 1 {
			title = fmt.Sprintf(g.many, len(g.members))
		}
		var says []string
		for _, m := range g.members {
			says = append(says, first(m.Name, m.ID)+": "+m.Text)
		}
		d := c.door(t, casefile.Medium, title, list(says, 3)+".", g.members)
		d.Fix = removeKeys(g.keys)
		if g == old {
			d.Severity = casefile.Low
		}
		if g == spread {
			d.Limits = []string{"a product that runs in a cloud signs in from many addresses; from networks of homes and phones it does not"}
		}
		doors = append(doors, d)
	}
	cover := fmt.Sprintf("%s in sign-ins, %d in exports; %s", plural(used, "credential", "credentials"), listed, t.cover("signin/service_principal"))
	fetch := ""
	if listed == 0 {
		fetch = "the applications with their credentials (Graph applications?$select=appId,displayName,passwordCredentials,keyCredentials&$expand=owners)"
	}
	if len(doors) > 0 {
		return found{doors: doors, state: Open, text: cover, fetch: fetch}
	}
	if listed == 0 && used == 0 {
		return unknown("no credential is known", first(fetch, fetchSPSignIns))
	}
	if listed == 0 && t.days() < oldDays {
		cover += fmt.Sprintf("; how old credentials are cannot be told from %d days", t.days())
	}
	return notSeen(cover, fetch)
}

func (k *key) member(a *app, text string) Member {
	m := Member{Kind: casefile.Credential, ID: k.id, Name: a.label(), Text: text, Places: k.places}
	for _, id := range []string{k.addID, k.useID} {
		if id != "" {
			m.Events = append(m.Events, id)
		}
	}
	return m
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func ordinaryOwners(f *facts, t *tenant, c *check) found {
	var members []Member
	var steps []Step
	owned := 0
	for _, a := range f.appsOf(t) {
		gs, most := a.powers()
		if most < readsMail && len(a.writes) == 0 {
			continue
		}
		names, _, _ := roleNames(gs)
		for _, upn := range sortedKeys(a.owners) {
			owned++
			o := a.owners[upn]
			if x := f.accounts[t.ID+" "+upn]; x != nil && len(x.privileged()) > 0 {
				continue
			}
			m := Member{Kind: casefile.Account, ID: upn, Text: "owns " + a.label() + ", which holds " + first(strings.Join(names, ", "), "rights over the directory"), Places: o.places}
			if o.id != "" {
				m.Events = []string{o.id}
			}
			members = append(members, m)
			if filter := appFilter(a); filter != "" && quotable(upn) && len(steps) < maxInCommand {
				steps = append(steps, Step{Tool: graphPS, Command: "$o = (Get-MgUser -UserId " + powerShell(upn) + ").Id; Get-MgApplication -Filter " + filter + " | ForEach-Object { Remove-MgApplicationOwnerDirectoryObjectByRef -ApplicationId $_.Id -DirectoryObjectId $o }"})
			}
		}
	}
	if len(members) > 0 {
		var says []string
		for _, m := range members {
			says = append(says, m.ID+" "+m.Text)
		}
		d := c.door(t, casefile.High, plural(len(members), "powerful application is owned by an ordinary user", "powerful applications are owned by ordinary users"), strings.Join(says[:min(len(says), 3)], "; ")+".", members)
		d.Fix = steps
		if len(f.have["role assignments"]) == 0 {
			d.Limits = []string{"who holds roles is known only as far as they were given in the evidence; the export of role assignments tells"}
		}
		x := open(d)
		x.text = t.cover("directory")
		return x
	}
	fetch := "the applications with their owners (Graph applications?$select=appId,displayName,passwordCredentials,keyCredentials&$expand=owners)"
	if owned == 0 {
		return unknown("no owner of a powerful application is known", fetch)
	}
	return notSeen(fmt.Sprintf("%d owners of powerful applications known, each of them with a privileged role", owned), fetch)
}

func ews(f *facts, t *tenant, c *check) found {
	var members []Member
	var allowed []string
	unnamed := false
	for _, id := range sortedKeys(t.ews) {
		u := t.ews[id]
		name := u.name
		if a := f.apps[t.ID+" "+id]; a != nil && name == "" {
			name = a.name
		}
		text := fmt.Sprintf("%d records, %s", u.records, plural(int(u.boxes), "mailbox", "mailboxes"))
		if id == "" {
			unnamed = true
			text += "; the records do not name the application"
		} else {
			allowed = append(allowed, id)
		}
		members = append(members, Member{Kind: casefile.App, ID: id, Name: name, Text: text, Events: []string{u.id}})
	}
	if len(members) > 0 {
		var says []string
		for _, m := range members {
			says = append(says, first(m.Name, m.ID, "an application that records do not name")+" ("+m.Text+")")
		}
		d := c.door(t, casefile.Medium, plural(len(members), "application uses", "applications use")+" Exchange Web Services", list(says, 5)+".", members)
		d.Limits = []string{"an application that an intruder brought is in this list as well: strike what you do not know before you allow the rest"}
		if unnamed {
			d.Limits = append(d.Limits, "some records name no application: ask for the usage report of Exchange Web Services in the admin center")
		}
		d.Fix = []Step{{Tool: exchangePS, Command: "Get-OrganizationConfig | Format-List Ews*", Note: "the allow list is written as a whole, so look at what is in it first"}}
		if l, left := literals(allowed); l != "" {
			d.Fix = append(d.Fix, Step{Tool: exchangePS, Command: "Set-OrganizationConfig -EwsEnabled $true -EwsAllowedAppIDs " + l, Note: note(left, "with the ids that you know and need, and no others; then move them to Microsoft Graph before 2027-04-01")})
		}
		x := open(d)
		x.text = fmt.Sprintf("%d records of mail being read; %s", t.mailReads, t.cover("ual"))
		return x
	}
	if t.mailReads == 0 {
		return unknown("no records of mail being read", "the unified audit log with MailItemsAccessed")
	}
	return notSeen(fmt.Sprintf("in %d records of mail being read there is none over it; %s", t.mailReads, t.cover("ual")), "the usage report of Exchange Web Services in the admin center")
}
