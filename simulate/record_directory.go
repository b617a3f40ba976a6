package simulate

import "strings"

// prop is a modified property. Both logs have it, in different quoting: Entra
// holds JSON text, the Unified Audit Log plain text.
type prop struct {
	name, old, new string
	json           bool // old and new are JSON
}

type target struct {
	id, name, kind, upn string
	props               []prop
	appID               string // of a service principal
}

// change is one record of the directory audit log and its copy in the Unified
// Audit Log.
type change struct {
	t        int64
	id       guid
	corr     guid
	activity string
	category string // UserManagement, ApplicationManagement, ...
	optype   string
	service  string // empty: Core Directory
	by       *user
	from     where
	app      *app // instead of by
	ua       string
	targets  []target
	object   string // ObjectId of the UAL copy
	noUAL    bool
}

func (g *gen) change(c *change) {
	if c.corr.zero() {
		c.corr = newGUID(mix(c.id.a+1), mix(c.id.b+1))
	}
	if c.service == "" {
		c.service = "Core Directory"
	}
	native := func() string {
		b := append([]byte(nil), "Directory_"...)
		b = c.corr.append(b)
		b = append(b, '_')
		b = appendHex(b, c.id.b&0xfffff, 5)
		b = append(b, '_')
		return string(num(b, 1000000+int64(c.id.a&0x7ffff)))
	}
	id := native()
	if g.admit(fDirectory, c.t, c.id.a, native) {
		test := g.t.role == "test"
		var b []byte
		if test {
			b = g.envelope(g.out[fDirectory].b, c.t, c.id.a, c.activity, "AuditLogs")
			b = append(b, `"resultSignature":"None","durationMs":0,"callerIpAddress":"`...)
			if c.by != nil {
				b = c.from.ip.append(b)
			}
			b = append(b, `","correlationId":"`...)
			b = c.corr.append(b)
			b = append(b, `","identity":"`...)
			if c.by != nil {
				b = append(b, c.by.upn...)
			} else {
				b = append(b, c.app.name...)
			}
			b = append(b, `","Level":4,"properties":`...)
		} else {
			b = g.page(fDirectory)
		}
		b = append(b, `{"id":"`...)
		b = append(b, id...)
		b = append(b, `","category":"`...)
		b = append(b, c.category...)
		b = append(b, `","correlationId":"`...)
		b = c.corr.append(b)
		b = append(b, `","result":"success","resultReason":"","activityDisplayName":"`...)
		b = append(b, c.activity...)
		b = append(b, `","activityDateTime":"`...)
		if test {
			b = append(appendTicks(b, c.t), "+00:00"...)
		} else {
			b = append(appendTicks(b, c.t), 'Z')
		}
		b = append(b, `","loggedByService":"`...)
		b = append(b, c.service...)
		b = append(b, `","operationType":"`...)
		b = append(b, c.optype...)
		b = append(b, `","initiatedBy":{`...)
		if c.by != nil {
			b = append(b, `"app":null,"user":{"id":"`...)
			b = append(b, c.by.id...)
			b = append(b, `","displayName":null,"userPrincipalName":"`...)
			b = append(b, c.by.upn...)
			b = append(b, `","ipAddress":"`...)
			b = c.from.ip.append(b)
			b = append(b, `","userType":null,"homeTenantId":null,"homeTenantName":null}`...)
		} else {
			b = append(b, `"user":null,"app":{"appId":null,"displayName":`...)
			b = appendQuoted(b, c.app.name)
			b = append(b, `,"servicePrincipalId":"`...)
			b = append(b, c.app.sp...)
			b = append(b, `","servicePrincipalName":null}`...)
		}
		b = append(b, `},"targetResources":[`...)
		for i := range c.targets {
			x := &c.targets[i]
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"id":"`...)
			b = append(b, x.id...)
			b = append(b, `","displayName":`...)
			b = textOrNull(b, x.name)
			b = append(b, `,"type":"`...)
			b = append(b, x.kind...)
			b = append(b, `","userPrincipalName":`...)
			b = textOrNull(b, x.upn)
			b = append(b, `,"groupType":null,"modifiedProperties":[`...)
			for j := range x.props {
				p := &x.props[j]
				if j > 0 {
					b = append(b, ',')
				}
				b = append(b, `{"displayName":"`...)
				b = append(b, p.name...)
				b = append(b, `","oldValue":`...)
				b = entraValue(b, p.old, p.json)
				b = append(b, `,"newValue":`...)
				b = entraValue(b, p.new, p.json)
				b = append(b, '}')
			}
			b = append(b, `]}`...)
		}
		b = append(b, `],"additionalDetails":[`...)
		if c.ua != "" {
			b = append(b, `{"key":"User-Agent","value":`...)
			b = append(appendQuoted(b, c.ua), '}')
			if c.app != nil {
				b = append(b, `,{"key":"AppId","value":"`...)
				b = append(b, c.app.id...)
				b = append(b, `"}`...)
			}
		}
		b = append(b, `]}`...)
		if test {
			g.line(fDirectory, append(b, '}'))
		} else {
			g.paged(fDirectory, b)
		}
	}
	if !c.noUAL && g.t.role == "corporate" {
		g.changeUAL(c)
	}
}

func textOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendQuoted(b, s)
}

func entraValue(b []byte, s string, json bool) []byte {
	switch {
	case s == "":
		return append(b, "null"...)
	case json:
		return appendQuoted(b, s)
	}
	return appendQuoted(b, quoted(s))
}

// changeUAL is the copy in the Unified Audit Log: a full stop behind the name,
// and no address.
func (g *gen) changeUAL(c *change) {
	op := c.activity
	if !strings.HasSuffix(op, " ") {
		op += "."
	}
	key, user, userType := "Not Available", "", 4
	if c.by != nil {
		key, user, userType = c.by.puid+"@"+g.t.domain, c.by.upn, 0
	} else {
		user = "ServicePrincipal_" + c.app.sp
	}
	id := newGUID(mix(c.id.a+2), mix(c.id.b+2))
	b, ok := g.ual(c.t, id, op, 8, "Success", key, userType, "AzureActiveDirectory")
	if !ok {
		return
	}
	b = g.ualUser(b, user)
	b = append(b, `,"ObjectId":`...)
	object, first := c.object, target{}
	if len(c.targets) > 0 {
		first = c.targets[0]
	}
	if object == "" {
		if object = first.upn; object == "" {
			object = first.id
		}
	}
	b = appendQuoted(b, object)
	b = append(b, `,"AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":`...)
	b = appendQuoted(b, `{"User-Agent":`+quoted(c.ua)+`}`)
	b = append(b, `},{"Name":"extendedAuditEventCategory","Value":"`...)
	b = append(b, first.kind...)
	b = append(b, `"}],"ModifiedProperties":[`...)
	n := 0
	for i := range c.targets {
		for j := range c.targets[i].props {
			p := &c.targets[i].props[j]
			if n++; n > 1 {
				b = append(b, ',')
			}
			b = append(b, `{"Name":"`...)
			b = append(b, p.name...)
			b = append(b, `","NewValue":`...)
			b = appendQuoted(b, ualValue(p.new, p.json))
			b = append(b, `,"OldValue":`...)
			b = append(appendQuoted(b, ualValue(p.old, p.json)), '}')
		}
	}
	b = append(b, `],"Actor":[`...)
	if c.by != nil {
		b = append(b, `{"ID":"`...)
		b = append(b, c.by.upn...)
		b = append(b, `","Type":5},{"ID":"`...)
		b = append(b, c.by.puid...)
		b = append(b, `","Type":3},{"ID":"User_`...)
		b = append(b, c.by.id...)
		b = append(b, `","Type":2},{"ID":"`...)
		b = append(b, c.by.id...)
		b = append(b, `","Type":2},{"ID":"User","Type":2}`...)
	} else {
		b = append(b, `{"ID":`...)
		b = appendQuoted(b, c.app.name)
		b = append(b, `,"Type":1},{"ID":"ServicePrincipal_`...)
		b = append(b, c.app.sp...)
		b = append(b, `","Type":2},{"ID":"`...)
		b = append(b, c.app.sp...)
		b = append(b, `","Type":2},{"ID":"ServicePrincipal","Type":2},{"ID":"`...)
		b = append(b, c.app.id...)
		b = append(b, `","Type":2}`...)
	}
	b = append(b, `],"ActorContextId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","InterSystemsId":"`...)
	b = c.corr.append(b)
	b = append(b, `","IntraSystemId":"`...)
	b = newGUID(mix(c.corr.a), mix(c.corr.b)).append(b)
	b = append(b, `","SupportTicketId":"","Target":[`...)
	if first.id != "" {
		b = append(b, `{"ID":"`...)
		b = append(b, first.kind...)
		b = append(b, '_')
		b = append(b, first.id...)
		b = append(b, `","Type":2},{"ID":"`...)
		b = append(b, first.id...)
		b = append(b, `","Type":2},{"ID":"`...)
		b = append(b, first.kind...)
		b = append(b, `","Type":2}`...)
		if first.name != "" {
			b = append(b, `,{"ID":`...)
			b = append(appendQuoted(b, first.name), `,"Type":1}`...)
		}
		if first.upn != "" {
			b = append(b, `,{"ID":"`...)
			b = append(b, first.upn...)
			b = append(b, `","Type":5}`...)
		}
		if first.appID != "" {
			b = append(b, `,{"ID":"`...)
			b = append(b, first.appID...)
			b = append(b, `","Type":2}`...)
		}
	}
	b = append(b, `],"TargetContextId":"`...)
	b = append(b, g.t.id...)
	g.ualEnd(append(b, '"'))
}

// ualValue is how the Unified Audit Log lays out a list of one.
func ualValue(s string, json bool) string {
	if json && len(s) > 2 && s[0] == '[' && s[1] != '{' {
		return "[\r\n  " + strings.ReplaceAll(s[1:len(s)-1], `", "`, "\",\r\n  \"") + "\r\n]"
	}
	return s
}

// The well-known changes. Their callers give time, actor and identity.

func keyText(id, name string) string {
	return `"[KeyIdentifier=` + id + `,KeyType=Password,KeyUsage=Verify,DisplayName=` + name + `]"`
}

// secretChange adds a secret beside the ones that are there.
func secretChange(a *app, key, name string, old []string) change {
	var was []string
	for _, k := range old {
		was = append(was, keyText(k, "app secret"))
	}
	now := append(append([]string{}, was...), keyText(key, name))
	return change{
		// The en dash and the space at the end are in the data.
		activity: "Update application – Certificates and secrets management ", category: "ApplicationManagement", optype: "Update", object: a.object,
		targets: []target{{id: a.object, name: a.name, kind: "Application", appID: a.id, props: []prop{
			{"KeyDescription", "[" + strings.Join(was, ", ") + "]", "[" + strings.Join(now, ", ") + "]", true},
			{"Included Updated Properties", "", "KeyDescription", false},
		}}},
	}
}

func resourceNames(id string) (names, name string) {
	switch id {
	case idExchange:
		return "00000002-0000-0ff1-ce00-000000000000;https://outlook.office.com;https://outlook.office365.com", "Office 365 Exchange Online"
	}
	return "00000003-0000-0000-c000-000000000000/microsoft.com;00000003-0000-0000-c000-000000000000;https://graph.microsoft.com", "Microsoft Graph"
}

func appRole(value string) (id, name string) {
	switch value {
	case "full_access_as_app":
		return "dc890d15-9560-4a4c-9b7f-a736ec74ec40", "Use Exchange Web Services with full access to all mailboxes"
	case "Mail.Read":
		return "810c84a8-4a9e-49e6-bf7d-12d183f40d01", "Read mail in all mailboxes"
	case "Files.Read.All":
		return "01d4889c-1287-42c6-ac1f-5d1e02578ef6", "Read files in all site collections"
	case "User.Read.All":
		return "df021288-bdef-4463-88db-98f22de89214", "Read all users' full profiles"
	}
	return "00000000-0000-0000-0000-000000000000", "Default Access"
}

// grantChange assigns an application role to an application.
func (t *tenant) grantChange(a *app, resource, role string, when int64) change {
	rid, rname := appRole(role)
	names, name := resourceNames(resource)
	sp := t.graphSP
	if resource == idExchange {
		sp = t.exoSP
	}
	stamp := string(append(appendTicks(nil, when), 'Z'))
	return change{
		activity: "Add app role assignment to service principal", category: "ApplicationManagement", optype: "Assign", object: names,
		targets: []target{{id: sp, name: name, kind: "ServicePrincipal", appID: resource, props: []prop{
			{"AppRole.Id", "", rid, false}, {"AppRole.Value", "", role, false}, {"AppRole.DisplayName", "", rname, false},
			{"AppRoleAssignment.CreatedDateTime", "", stamp, false}, {"AppRoleAssignment.LastModifiedDateTime", "", stamp, false},
			{"ServicePrincipal.ObjectID", "", a.sp, false}, {"ServicePrincipal.DisplayName", "", a.name, false},
			{"ServicePrincipal.AppId", "", a.id, false}, {"ServicePrincipal.Name", "", a.id, false},
			{"TargetId.ServicePrincipalNames", "", names, false},
		}}, {id: a.sp, name: a.name, kind: "ServicePrincipal"}},
	}
}

// consentChanges are the records of one consent: they share a correlation id.
func (t *tenant) consentChanges(a *app, u *user, scope string, admin bool, h uint64) []change {
	names, name := resourceNames(idGraph)
	kind, principal, who := "Principal", u.id, "False"
	if admin {
		kind, principal, who = "AllPrincipals", "", "True"
	}
	g := rng{h}
	grant := string(appendHex(nil, g.u64(), 16))
	text := "[] => [[Id: " + grant + ", ClientId: " + a.sp + ", PrincipalId: " + principal + ", ResourceId: " + t.graphSP + ", ConsentType: " + kind + ", Scope:  " + scope + ", CreatedDateTime: , LastModifiedDateTime ]]; "
	return []change{
		{activity: "Add delegated permission grant", category: "ApplicationManagement", optype: "Assign", object: names, targets: []target{{id: t.graphSP, name: name, kind: "ServicePrincipal", appID: idGraph, props: []prop{
			{"DelegatedPermissionGrant.Scope", "", " " + scope, false}, {"DelegatedPermissionGrant.ConsentType", "", kind, false},
			{"ServicePrincipal.ObjectID", "", a.sp, false}, {"TargetId.ServicePrincipalNames", "", names, false},
		}}}},
		{activity: "Consent to application", category: "ApplicationManagement", optype: "Assign", object: a.id, targets: []target{{id: a.sp, name: a.name, kind: "ServicePrincipal", appID: a.id, props: []prop{
			{"ConsentContext.IsAdminConsent", "", who, false}, {"ConsentContext.IsAppOnly", "", "False", false}, {"ConsentContext.OnBehalfOfAll", "", who, false},
			{"ConsentContext.Tags", "", "WindowsAzureActiveDirectoryIntegratedApp", false}, {"ConsentAction.Permissions", "", text, false},
			{"TargetId.ServicePrincipalNames", "", a.id, false},
		}}}},
	}
}

func spChange(a *app) change {
	return change{activity: "Add service principal", category: "ApplicationManagement", optype: "Add", object: a.id, targets: []target{{id: a.sp, name: a.name, kind: "ServicePrincipal", appID: a.id, props: []prop{
		{"AppPrincipalId", "[]", `["` + a.id + `"]`, true}, {"DisplayName", "[]", `["` + a.name + `"]`, true},
	}}}}
}

// registerChanges are the records of a new registration.
func registerChanges(a *app, u *user) []change {
	return []change{
		{activity: "Add application", category: "ApplicationManagement", optype: "Add", object: a.object, targets: []target{{id: a.object, name: a.name, kind: "Application", appID: a.id, props: []prop{
			{"AppId", "[]", `["` + a.id + `"]`, true}, {"AvailableToOtherTenants", "[]", "[false]", true}, {"DisplayName", "[]", `["` + a.name + `"]`, true},
			{"Included Updated Properties", "", "AppId, AvailableToOtherTenants, DisplayName", false},
		}}}},
		{activity: "Add owner to application", category: "ApplicationManagement", optype: "Assign", object: u.upn, targets: []target{{id: u.id, kind: "User", upn: u.upn, props: []prop{
			{"Application.ObjectID", "", a.object, false}, {"Application.DisplayName", "", a.name, false},
		}}}},
		spChange(a),
	}
}

// requestChange asks for an application role.
func requestChange(a *app, resource, role string) change {
	rid, _ := appRole(role)
	return change{activity: "Update application", category: "ApplicationManagement", optype: "Update", object: a.object, targets: []target{{id: a.object, name: a.name, kind: "Application", appID: a.id, props: []prop{
		{"RequiredResourceAccess", "[]", `[{"ResourceAppId": "` + resource + `", "RequiredAppPermissions": [{"EntitlementId": "` + rid + `", "DirectAccessGrant": true, "ImpersonationAccessGrants": []}], "EncodingVersion": 1}]`, true},
		{"Included Updated Properties", "", "RequiredResourceAccess", false},
	}}}}
}

func newUserChange(u *user) change {
	return change{activity: "Add user", category: "UserManagement", optype: "Add", object: u.upn, targets: []target{{id: u.id, kind: "User", upn: u.upn, props: []prop{
		{"AccountEnabled", "[]", "[true]", true}, {"DisplayName", "[]", `["` + u.name + `"]`, true}, {"UserPrincipalName", "[]", `["` + u.upn + `"]`, true},
		{"Included Updated Properties", "", "AccountEnabled, DisplayName, UserPrincipalName", false},
	}}}}
}

func userChange(activity, optype string, u *user, props ...prop) change {
	return change{activity: activity, category: "UserManagement", optype: optype, object: u.upn, targets: []target{{id: u.id, kind: "User", upn: u.upn, props: props}}}
}
