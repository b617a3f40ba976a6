package parse

import (
	"encoding/json"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// change is one modified property of a directory operation: its name and the
// values before and after, as the record has them. Values are text that often
// is JSON, quoted once more by some containers.
type change struct{ Name, Old, New string }

// The detail of a directory operation lists at most maxChanges properties with
// values of at most maxChangeValue bytes; the record itself has them whole.
const (
	maxChanges     = 24
	maxChangeValue = 400
	maxLicences    = 8000
)

// applyDirectoryChanges reads the modified properties of a directory operation
// (Entra audit log, or record type 8 of the unified audit log, which has the
// same properties) into e: it refines e.Class, fills in Permissions, KeyID and
// the resource, and sets the target to what was acted on.
//
// It is to be called when e has its Operation and Class, and Target, TargetID
// and TargetKind from the record's own target list. Grants name the API there
// and the client in the properties; here the client becomes the target and the
// API the resource. Owner operations name the new owner there and the
// application in the properties; here the application becomes the target and
// the owner a detail.
//
// Permissions holds what the operation added, or everything that it names when
// nothing was added. Members of e.Detail that the caller has set are kept.
// Detail gets, where the properties say so: "consent_admin", "consent_app_only",
// "consent_all" (booleans), "consent_type", "app_id" (of the target), "app_only"
// (a requested permission is an app role), "role", "role_template", "group",
// "user", "owner", "owner_id", "key_type", "key_usage", "key_name", and "changes":
// [{"name","old","new"}].
func applyDirectoryChanges(s *Sink, e *event.Event, changes []change) {
	var (
		d                      detailWriter
		perms                  []string
		clientID, clientName   string // ServicePrincipal.*
		clientApp              string
		appObject, appName     string // Application.*
		appID, spNames         string
		role, roleTemplate     string
		appRole, appRoleID     string
		keysAdded, keysSeen    bool
		requestedSeen, appOnly bool
		authMethod             bool
		resource               string
	)
	for i := range changes {
		c := &changes[i]
		switch c.Name {
		case "ServicePrincipal.ObjectID":
			clientID = scalar(either(c))
		case "ServicePrincipal.DisplayName":
			clientName = scalar(either(c))
		case "ServicePrincipal.AppId", "ServicePrincipal.Name":
			if x := scalar(either(c)); clientApp == "" {
				clientApp = x
			}
		case "Application.ObjectID":
			appObject = scalar(either(c))
		case "Application.DisplayName":
			appName = scalar(either(c))
		case "Application.AppId", "AppId", "AppPrincipalId":
			if x := scalar(either(c)); x != "" {
				appID = strings.ToLower(x)
			}
		case "TargetId.ServicePrincipalNames":
			spNames = scalar(either(c))
		case "Role.DisplayName":
			role = scalar(either(c))
		case "Role.TemplateId":
			roleTemplate = scalar(either(c))
		case "RoleDefinitionOriginId", "TemplateId":
			if x := scalar(either(c)); roleTemplate == "" && e.Class == event.ClassRoleAdd {
				roleTemplate = x
			}
		case "Group.DisplayName":
			d.add("group", scalar(either(c)))
		case "User.UPN":
			d.add("user", strings.ToLower(scalar(either(c))))
		case "AppRole.Value":
			appRole = scalar(either(c))
		case "AppRole.Id":
			appRoleID = scalar(either(c))
		case "DelegatedPermissionGrant.Scope":
			perms = append(perms, added(strings.Fields(scalar(c.Old)), strings.Fields(scalar(c.New)))...)
		case "DelegatedPermissionGrant.ConsentType":
			d.add("consent_type", scalar(either(c)))
		case "ConsentAction.Permissions":
			before, after, kind := consentScopes(unquote(either(c)))
			perms = append(perms, added(before, after)...)
			d.add("consent_type", kind)
		case "ConsentContext.IsAdminConsent":
			addFlag(&d, "consent_admin", c)
		case "ConsentContext.IsAppOnly":
			addFlag(&d, "consent_app_only", c)
		case "ConsentContext.OnBehalfOfAll":
			addFlag(&d, "consent_all", c)
		case "KeyDescription":
			keysSeen = keysSeen || strings.Contains(c.Old, "KeyIdentifier=") || strings.Contains(c.New, "KeyIdentifier=")
			var ids []string
			for _, k := range newKeys(c.Old, c.New) {
				keysAdded = true
				ids = append(ids, k.id)
				if len(ids) == 1 {
					d.add("key_type", k.kind)
					d.add("key_usage", k.usage)
					d.add("key_name", k.name)
				}
			}
			if len(ids) > 0 {
				e.KeyID = s.Copy(strings.Join(ids, " "))
			}
		case "RequiredResourceAccess":
			add, api, direct := requestedPermissions(c.Old, c.New)
			requestedSeen = requestedSeen || len(add) > 0 // not when one is taken away
			perms = append(perms, add...)
			appOnly = appOnly || direct
			if resource == "" {
				resource = api
			}
		case "StrongAuthenticationMethod", "StrongAuthenticationRequirement", "StrongAuthenticationUserDetails", "SearchableDeviceKey":
			authMethod = authMethod || scalar(c.Old) != scalar(c.New)
		case "StrongAuthenticationPhoneAppDetail":
			// The clock drift of a token changes with every use; a method was
			// registered only if an entry is new.
			authMethod = authMethod || newPhoneApp(c.Old, c.New)
		}
	}

	switch appRole {
	case "":
		if x := RoleValue(appRoleID); x != "" {
			perms = append(perms, x)
		} else if appRoleID != "" && strings.Trim(appRoleID, "0-") != "" { // all zeroes: access without a role
			perms = append(perms, strings.ToLower(appRoleID))
		}
	default:
		perms = append(perms, appRole)
	}
	if len(perms) > 0 {
		e.Permissions = s.Copy(joinUnique(perms))
	}

	switch {
	case keysAdded && e.Class != event.ClassAppCreate && e.Class != event.ClassSPCreate:
		e.Class = event.ClassCredentialAdd
	case keysSeen && !keysAdded && strings.HasSuffix(e.Operation, "certificates and secrets management"):
		e.Class = event.ClassAppUpdate // the name is the same for taking a key away
	case requestedSeen && e.Class == event.ClassAppUpdate:
		e.Class = event.ClassPermissionRequest
	case authMethod && e.Class == event.ClassUserUpdate:
		e.Class = event.ClassAuthMethod
	}

	switch {
	case isGrant(e.Operation) && (clientID != "" || clientApp != ""):
		if e.ResourceID == "" {
			e.ResourceID = s.Copy(firstGUID(spNames))
		}
		if e.ResourceName == "" {
			if e.Target != "" && !strings.ContainsAny(e.Target, ";/") && !isGUID([]byte(e.Target)) {
				e.ResourceName = e.Target
			} else {
				e.ResourceName = resourceName(e.ResourceID)
			}
		}
		appID = strings.ToLower(clientApp)
		name := clientName
		if name == "" {
			name = clientApp
		}
		if name == "" {
			name = clientID
		}
		e.Target, e.TargetID, e.TargetKind = s.Copy(name), s.Copy(strings.ToLower(clientID)), "service_principal"
	case strings.Contains(e.Operation, "owner ") && (appObject != "" || clientID != ""):
		d.add("owner", e.Target)
		d.add("owner_id", e.TargetID)
		if appObject != "" {
			e.Target, e.TargetID, e.TargetKind = s.Copy(appName), s.Copy(strings.ToLower(appObject)), "application"
		} else {
			e.Target, e.TargetID, e.TargetKind = s.Copy(clientName), s.Copy(strings.ToLower(clientID)), "service_principal"
			appID = strings.ToLower(clientApp)
		}
	default:
		if appID == "" { // the target is the service principal itself
			appID = firstGUID(spNames)
		}
		if e.ResourceID == "" && resource != "" {
			e.ResourceID = s.Copy(resource)
			e.ResourceName = resourceName(resource)
		}
	}

	d.add("app_id", appID)
	if appOnly {
		d.add("app_only", true)
	}
	if role == "" {
		role = DirectoryRole(strings.ToLower(roleTemplate))
	}
	d.add("role", role)
	d.add("role_template", strings.ToLower(roleTemplate))
	if list := smallChanges(changes); len(list) > 0 {
		d.raw("changes", list)
	}
	e.Detail = s.Copy(mergeObjects(e.Detail, d.String()))
}

// isGrant reports whether an operation grants to a service principal, or takes
// from it, what its record's target list gives: an API.
func isGrant(op string) bool {
	return strings.Contains(op, "permission grant") || strings.Contains(op, "oauth2permissiongrant") ||
		strings.Contains(op, "app role assignment") && strings.Contains(op, "service principal")
}

// either returns the new value, or the old one of a removal.
func either(c *change) string {
	if x := strings.TrimSpace(c.New); x != "" && x != `""` && x != "[]" && x != "null" {
		return c.New
	}
	return c.Old
}

func addFlag(d *detailWriter, key string, c *change) {
	switch strings.ToLower(scalar(c.New)) {
	case "true":
		d.add(key, true)
	case "false":
		d.add(key, false)
	}
}

// unquote removes JSON quoting, once or twice, from a value that has it.
func unquote(v string) string {
	v = strings.TrimSpace(v)
	for range 2 {
		if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
			break
		}
		var x string
		if json.Unmarshal([]byte(v), &x) != nil {
			break
		}
		v = strings.TrimSpace(x)
	}
	return v
}

// scalar reads a property's value as text: unquoted, a list of one taken out
// of its list, a list of scalars joined by ", ", other JSON without white space.
func scalar(v string) string {
	v = unquote(v)
	if v == "" || v == "null" || v[0] != '[' && v[0] != '{' {
		if v == "null" {
			return ""
		}
		return v
	}
	if parts, ok := stringList(v); ok {
		return parts
	}
	if fastjson.Validate(v) != nil {
		return v
	}
	c := compact(v)
	if v[0] != '[' || strings.IndexByte(c, '{') >= 0 {
		return c
	}
	var list []any
	if json.Unmarshal([]byte(c), &list) != nil {
		return c
	}
	parts := make([]string, 0, len(list))
	for _, x := range list {
		switch x := x.(type) {
		case nil:
		case string:
			parts = append(parts, x)
		case bool:
			if x {
				parts = append(parts, "true")
			} else {
				parts = append(parts, "false")
			}
		default:
			return c // numbers keep their spelling, objects their members
		}
	}
	return strings.Join(parts, ", ")
}

// stringList reads a list of strings without escapes, which is what most
// values are: ["Mail.Read"], with any white space.
func stringList(v string) (joined string, ok bool) {
	v = strings.TrimSpace(v)
	if len(v) < 2 || v[0] != '[' || v[len(v)-1] != ']' || strings.IndexByte(v, '\\') >= 0 {
		return "", false
	}
	v = v[1 : len(v)-1]
	n := 0
	for {
		v = strings.TrimLeft(v, " \t\r\n")
		if v == "" {
			return joined, true
		}
		if v[0] != '"' {
			return "", false
		}
		end := strings.IndexByte(v[1:], '"')
		if end < 0 {
			return "", false
		}
		if n == 0 {
			joined = v[1 : 1+end]
		} else {
			joined += ", " + v[1:1+end]
		}
		n++
		v = strings.TrimLeft(v[end+2:], " \t\r\n")
		if v == "" {
			return joined, true
		}
		if v[0] != ',' {
			return "", false
		}
		v = strings.TrimLeft(v[1:], " \t\r\n")
		if v == "" {
			return "", false
		}
	}
}

// compact drops white space between the tokens of JSON.
func compact(v string) string {
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case ' ', '\t', '\r', '\n':
		case '"':
			end := i + 1
			for end < len(v) && v[end] != '"' {
				if v[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(v))
			out = append(out, v[i:end]...)
			i = end - 1
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// added returns what after has and before has not; all of after when that is
// nothing, and all of before when after is empty (something was taken away).
func added(before, after []string) []string {
	var out []string
next:
	for _, a := range after {
		for _, b := range before {
			if a == b {
				continue next
			}
		}
		out = append(out, a)
	}
	switch {
	case len(out) > 0:
		return out
	case len(after) > 0:
		return after
	}
	return before
}

func joinUnique(list []string) string {
	out := list[:0]
next:
	for _, x := range list {
		if x == "" {
			continue
		}
		for _, y := range out {
			if x == y {
				continue next
			}
		}
		out = append(out, x)
	}
	return strings.Join(out, " ")
}

// consentScopes reads ConsentAction.Permissions, which is not JSON:
//
//	[] => [[Id: x, ClientId: y, PrincipalId: , ResourceId: z, ConsentType: AllPrincipals, Scope: A B], [...]];
//
// kind is the ConsentType of the last grant on the right side.
func consentScopes(t string) (before, after []string, kind string) {
	left, right, found := strings.Cut(t, "=>")
	if !found {
		left, right = "", t
	}
	collect := func(t string) (scopes []string, kind string) {
		for {
			i := strings.Index(t, "Scope:")
			if i < 0 {
				return scopes, kind
			}
			if j := strings.LastIndex(t[:i], "ConsentType:"); j >= 0 {
				k, _, _ := strings.Cut(t[j+len("ConsentType:"):], ",")
				kind = strings.TrimSpace(k)
			}
			t = t[i+len("Scope:"):]
			end := strings.IndexAny(t, ",]")
			if end < 0 {
				end = len(t)
			}
			scopes = append(scopes, strings.Fields(t[:end])...)
			t = t[end:]
		}
	}
	before, _ = collect(left)
	after, kind = collect(right)
	return before, after, kind
}

// key is an entry of KeyDescription:
//
//	[KeyIdentifier=<guid>,KeyType=Password,KeyUsage=Verify,DisplayName=anything, commas too]
type key struct{ id, kind, usage, name string }

// newKeys returns the keys that stand in after and not in before.
func newKeys(before, after string) []key {
	old := readKeys(before)
	var out []key
next:
	for _, k := range readKeys(after) {
		for _, o := range old {
			if k.id == o.id {
				continue next
			}
		}
		out = append(out, k)
	}
	return out
}

func readKeys(v string) []key {
	v = unquote(v)
	var texts []string
	if json.Unmarshal([]byte(v), &texts) != nil {
		texts = strings.Split(v, "[KeyIdentifier=")
		for i := range texts {
			texts[i] = "[KeyIdentifier=" + texts[i]
		}
		texts = texts[1:]
	}
	var out []key
	for _, t := range texts {
		_, t, ok := strings.Cut(t, "KeyIdentifier=")
		if !ok {
			continue
		}
		var k key
		k.id, t, _ = strings.Cut(t, ",")
		k.id = strings.ToLower(strings.Trim(k.id, ` []"`))
		if i := strings.Index(t, "DisplayName="); i >= 0 {
			k.name = strings.TrimRight(t[i+len("DisplayName="):], ` ",`)
			k.name = strings.TrimSuffix(k.name, "]")
			t = t[:i]
		}
		for f := range strings.SplitSeq(t, ",") {
			name, value, _ := strings.Cut(f, "=")
			switch strings.TrimSpace(name) {
			case "KeyType":
				k.kind = strings.Trim(value, ` ]"`)
			case "KeyUsage":
				k.usage = strings.Trim(value, ` ]"`)
			}
		}
		if k.id != "" {
			out = append(out, k)
		}
	}
	return out
}

// resourceAccess is an entry of RequiredResourceAccess, in the directory's own
// form and in that of the Graph API.
type resourceAccess struct {
	ResourceAppID  string `json:"ResourceAppId"`
	AppPermissions []struct {
		EntitlementID string `json:"EntitlementId"`
		Direct        bool   `json:"DirectAccessGrant"` // app role, not delegated scope
	} `json:"RequiredAppPermissions"`
	ResourceAccess []struct {
		ID   string `json:"id"`
		Type string `json:"type"` // Role or Scope
	} `json:"resourceAccess"`
}

// requestedPermissions returns the permissions that after asks for and before
// does not, the API of the first, and whether an app role is among them.
func requestedPermissions(before, after string) (perms []string, api string, direct bool) {
	type request struct {
		api, id string
		direct  bool
	}
	read := func(v string) (out []request) {
		var list []resourceAccess
		v = unquote(v)
		if json.Unmarshal([]byte(v), &list) != nil {
			return nil
		}
		for _, r := range list {
			a := strings.ToLower(r.ResourceAppID)
			for _, p := range r.AppPermissions {
				out = append(out, request{a, strings.ToLower(p.EntitlementID), p.Direct})
			}
			for _, p := range r.ResourceAccess {
				out = append(out, request{a, strings.ToLower(p.ID), strings.EqualFold(p.Type, "Role")})
			}
		}
		return out
	}
	old, now := read(before), read(after)
next:
	for _, r := range now {
		for _, o := range old {
			if r == o {
				continue next
			}
		}
		if api == "" {
			api = r.api
		}
		direct = direct || r.direct
		if v := RoleValue(r.id); v != "" {
			perms = append(perms, v)
		} else {
			perms = append(perms, r.id)
		}
	}
	return perms, api, direct
}

// newPhoneApp reports whether after has a phone app that before has not.
func newPhoneApp(before, after string) bool {
	type app struct{ ID, DeviceToken, DeviceName string }
	var old, now []app
	if json.Unmarshal([]byte(unquote(after)), &now) != nil {
		return scalar(before) != scalar(after)
	}
	_ = json.Unmarshal([]byte(unquote(before)), &old)
next:
	for _, n := range now {
		for _, o := range old {
			if n.ID != "" && n.ID == o.ID || n.ID == "" && n.DeviceToken == o.DeviceToken {
				continue next
			}
		}
		return true
	}
	return false
}

// firstGUID returns the first application id in a list of service principal
// names such as "<id>/ags.windows.net;<id>;https://graph.microsoft.com".
func firstGUID(names string) string {
	for name := range strings.SplitSeq(names, ";") {
		name, _, _ = strings.Cut(strings.TrimSpace(name), "/")
		if isGUID([]byte(name)) {
			return strings.ToLower(name)
		}
	}
	return ""
}

// smallChanges is what detail keeps of the properties, as a JSON list: not the
// names and ids of what the operation is about, which have members of their own.
func smallChanges(changes []change) []byte {
	var out []byte
	n := 0
	for i := range changes {
		c := &changes[i]
		switch group, _, _ := strings.Cut(c.Name, "."); group {
		case "", "Included Updated Properties", "TargetId", "ServicePrincipal", "Application", "User":
			continue
		}
		o, w := scalar(c.Old), scalar(c.New)
		if o == "" && w == "" && (c.Old != "" || c.New != "") {
			continue
		}
		if n == maxChanges {
			break
		}
		n++
		if n == 1 {
			out = append(out, '[')
		} else {
			out = append(out, ',')
		}
		var d detailWriter
		d.putString("name", cut(c.Name, maxChangeValue))
		size := maxChangeValue
		if c.Name == "AssignedLicense" { // long, rare, and an end that is cut off looks like a licence that was taken away
			size = maxLicences
		}
		d.putString("old", cut(o, size))
		d.putString("new", cut(w, size))
		out = append(out, d.bytes()...)
	}
	if n > 0 {
		out = append(out, ']')
	}
	return out
}

// cut shortens s to at most n bytes and three dots, at the start of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "..."
}

// mergeObjects appends the members of one JSON object to those of another.
func mergeObjects(a, b string) string {
	switch {
	case len(a) < 2 || a == "{}":
		return b
	case len(b) < 2 || b == "{}":
		return a
	}
	return a[:len(a)-1] + "," + b[1:]
}
