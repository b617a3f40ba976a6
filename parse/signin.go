package parse

import (
	"bytes"
	"errors"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// SignIn reads Entra sign-ins of all kinds: Graph JSON (v1.0 and beta) and the
// portal's JSON, which is the same; the portal's CSV, in any language; Azure
// Monitor (Event Hub, storage); and Log Analytics in CSV and JSON.
//
// Workload is the kind of sign-in: interactive, noninteractive,
// service_principal, managed_identity, adfs, or unknown. Interactive and
// non-interactive portal CSV have the same columns; the name of the file
// decides there, and nowhere else.
//
// Detail holds, as far as the record says: "auth_requirement" (single or
// multi), "auth_methods", "mfa" (what became of it), "mfa_method", "ca"
// (conditional access status), "incoming_token_type", "transfer_method",
// "risk", "risk_state", "risk_events", "credential_type", "thumbprint",
// "federated_credential", "os", "browser", "trust_type", "compliant",
// "managed", "city", "state", "cross_tenant", "home_tenant", "resource_tenant"
// (where they are not the tenant of the log), "ip_resource" (address that the
// resource saw, where it is another one), "flagged".
//
// Source: Microsoft Graph resource type signIn; Azure Monitor tables
// SigninLogs, AADNonInteractiveUserSignInLogs, AADServicePrincipalSignInLogs,
// AADManagedIdentitySignInLogs, ADFSSignInLogs.
type SignIn struct{}

// Name implements [Format].
func (SignIn) Name() string { return "entra_signin" }

// Doc implements [Format].
func (SignIn) Doc() string {
	return "Entra sign-ins, all kinds: Graph and portal JSON, portal CSV, Azure Monitor, Log Analytics"
}

// Sniff implements [Format].
func (x SignIn) Sniff(r *Record) bool {
	var f signInFields
	return x.read(r, &f)
}

// The kinds of sign-in, in column workload.
const (
	signInInteractive      = "interactive"
	signInNonInteractive   = "noninteractive"
	signInServicePrincipal = "service_principal"
	signInManagedIdentity  = "managed_identity"
	signInADFS             = "adfs"
	signInUnknown          = "unknown"
)

var errLocalizedSignIns = errors.New("sign-in CSV in a language other than English with columns in an unknown order: download it again with the portal in English, or as JSON")

// signInFields are the members of a record that the parser reads.
type signInFields struct {
	kind     string // as category, table or event types say; empty if they do not
	envelope bool   // Azure Monitor
	table    bool   // Log Analytics
	portal   bool   // portal CSV
	badly    bool   // portal CSV that cannot be read

	typ, eventTypes, interactive                                                  *fastjson.Value
	id, created, timeGenerated, arrival, correlation                              *fastjson.Value
	userID, upn, userName, userType, identity, identifier                         *fastjson.Value
	appID, appName, resourceID, resourceIdentity, resourceName, resourcePath      *fastjson.Value
	spID, spName, keyID, thumbprint, credentialType, federated                    *fastjson.Value
	ip, callerIP, resourceIP, location, locationDetails, asn                      *fastjson.Value
	userAgent, clientApp, device, deviceID, browser, os, compliant, managed, join *fastjson.Value
	status, code, resultType, resultDescription, failureReason                    *fastjson.Value
	requirement, authDetails, mfaDetail, mfaResult, mfaMethod                     *fastjson.Value
	token, session, incoming, protocol, transfer                                  *fastjson.Value
	ca, risk, riskState, riskEvents, flagged                                      *fastjson.Value
	tenant, aadTenant, homeTenant, resourceTenant, crossTenant, miType            *fastjson.Value

	statusObj, place *fastjson.Value // opened
}

func (f *signInFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	switch string(foldKey(buf[:], key)) {
	case "type", "table":
		set(&f.typ, v)
	case "signineventtypes":
		set(&f.eventTypes, v)
	case "isinteractive":
		set(&f.interactive, v)
	case "id", "requestid":
		set(&f.id, v)
	case "createddatetime", "dateutc", "date":
		set(&f.created, v)
	case "timegenerated":
		set(&f.timeGenerated, v)
	case "time":
		set(&f.arrival, v)
	case "correlationid":
		set(&f.correlation, v)
	case "userid":
		set(&f.userID, v)
	case "userprincipalname", "username":
		set(&f.upn, v)
	case "userdisplayname", "user":
		set(&f.userName, v)
	case "usertype":
		set(&f.userType, v)
	case "identity":
		set(&f.identity, v)
	case "signinidentifier", "alternatesigninname":
		set(&f.identifier, v)
	case "appid", "applicationid":
		set(&f.appID, v)
	case "appdisplayname", "application":
		set(&f.appName, v)
	case "resourceid":
		// The application id of the API, or the path of the log's resource.
		if b := text(v); len(b) > 0 && b[0] == '/' {
			set(&f.resourcePath, v)
		} else {
			set(&f.resourceID, v)
		}
	case "resourceidentity":
		set(&f.resourceIdentity, v)
	case "resourcedisplayname":
		set(&f.resourceName, v)
	case "resource":
		if f.resourceName == nil && !bytes.EqualFold(text(v), []byte("Microsoft.aadiam")) {
			set(&f.resourceName, v)
		}
	case "serviceprincipalid":
		set(&f.spID, v)
	case "serviceprincipalname":
		set(&f.spName, v)
	case "serviceprincipalcredentialkeyid", "credentialkeyid":
		set(&f.keyID, v)
	case "serviceprincipalcredentialthumbprint", "credentialthumbprint":
		set(&f.thumbprint, v)
	case "clientcredentialtype":
		set(&f.credentialType, v)
	case "federatedcredentialid", "federatedtokenid":
		set(&f.federated, v)
	case "ipaddress":
		set(&f.ip, v)
	case "calleripaddress":
		set(&f.callerIP, v)
	case "ipaddressfromresourceprovider", "ipaddressseenbyresource":
		set(&f.resourceIP, v)
	case "location":
		if v.Type() == fastjson.TypeObject { // the envelope repeats it as a country
			set(&f.locationDetails, v)
		} else {
			set(&f.location, v)
		}
	case "locationdetails":
		set(&f.locationDetails, v)
	case "autonomoussystemnumber":
		set(&f.asn, v)
	case "useragent":
		set(&f.userAgent, v)
	case "clientappused", "clientapp":
		set(&f.clientApp, v)
	case "devicedetail":
		set(&f.device, v)
	case "deviceid":
		set(&f.deviceID, v)
	case "browser":
		set(&f.browser, v)
	case "operatingsystem":
		set(&f.os, v)
	case "compliant":
		set(&f.compliant, v)
	case "managed":
		set(&f.managed, v)
	case "jointype":
		set(&f.join, v)
	case "status":
		set(&f.status, v)
	case "signinerrorcode":
		set(&f.code, v)
	case "resulttype":
		set(&f.resultType, v)
	case "resultdescription":
		set(&f.resultDescription, v)
	case "failurereason":
		set(&f.failureReason, v)
	case "authenticationrequirement":
		set(&f.requirement, v)
	case "authenticationdetails":
		set(&f.authDetails, v)
	case "mfadetail":
		set(&f.mfaDetail, v)
	case "multifactorauthenticationresult":
		set(&f.mfaResult, v)
	case "multifactorauthenticationauthmethod":
		set(&f.mfaMethod, v)
	case "uniquetokenidentifier":
		set(&f.token, v)
	case "sessionid":
		set(&f.session, v)
	case "incomingtokentype", "incomingtokentype2":
		set(&f.incoming, v)
	case "authenticationprotocol":
		set(&f.protocol, v)
	case "originaltransfermethod":
		set(&f.transfer, v)
	case "conditionalaccessstatus", "conditionalaccess":
		set(&f.ca, v)
	case "risklevelduringsignin":
		set(&f.risk, v)
	case "riskstate":
		set(&f.riskState, v)
	case "riskeventtypesv2":
		set(&f.riskEvents, v)
	case "flaggedforreview":
		set(&f.flagged, v)
	case "tenantid":
		set(&f.tenant, v)
	case "aadtenantid":
		set(&f.aadTenant, v)
	case "hometenantid":
		set(&f.homeTenant, v)
	case "resourcetenantid":
		set(&f.resourceTenant, v)
	case "crosstenantaccesstype":
		set(&f.crossTenant, v)
	case "managedidentitytype":
		set(&f.miType, v)
	}
}

// read fills f and reports whether r is a sign-in.
func (SignIn) read(r *Record, f *signInFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	category := signInKind(str(r.Value, "category"))
	if props, _ := r.open(get(r.Value, "properties")); props != nil && props.Type() == fastjson.TypeObject {
		if category == "" {
			return false
		}
		f.envelope = true
		props.GetObject().Visit(f.visit) // first: the envelope repeats some members with less in them
		o.Visit(f.visit)
		f.kind = category
		return true
	}
	o.Visit(f.visit)
	f.table = f.timeGenerated != nil
	table := signInKind(text(f.typ))
	switch {
	case category != "":
		f.kind = category
		return f.id != nil || f.created != nil || f.appID != nil
	case table != "":
		f.kind, f.table = table, true
		return true
	case f.created != nil && f.id != nil && f.correlation != nil && (has(r.Value, "Date (UTC)") || has(r.Value, "Request ID")):
		f.portal = true
		return true
	case f.created != nil && f.appID != nil && (f.status != nil || f.interactive != nil || f.eventTypes != nil):
		return true // Graph; status is an object there
	case (f.created != nil || f.timeGenerated != nil) && f.resultType != nil && f.appID != nil && (f.upn != nil || f.spID != nil):
		f.table = true
		return true
	}
	return f.localized(o)
}

// signInKind reads the category of an Azure Monitor record or the name of a
// Log Analytics table. It returns nothing for the others.
func signInKind(b []byte) string {
	if len(b) < 10 || len(b) > 40 {
		return ""
	}
	var buf keyBuf
	switch string(foldKey(buf[:], b)) {
	case "signinlogs":
		return signInInteractive
	case "noninteractiveusersigninlogs", "aadnoninteractiveusersigninlogs":
		return signInNonInteractive
	case "serviceprincipalsigninlogs", "aadserviceprincipalsigninlogs", "microsoftserviceprincipalsigninlogs", "aadmicrosoftserviceprincipalsigninlogs":
		return signInServicePrincipal
	case "managedidentitysigninlogs", "aadmanagedidentitysigninlogs":
		return signInManagedIdentity
	case "adfssigninlogs":
		return signInADFS
	}
	return ""
}

// portalColumns are the columns of the portal's CSV of user sign-ins in their
// order, by the names that visit knows. The portal translates the header but
// keeps the order.
func portalColumns() []string {
	return []string{
		"Date (UTC)", "Request ID", "User agent", "Correlation ID", "User ID", "User", "Username", "User type", "Cross tenant access type",
		"Incoming token type", "Authentication Protocol", "Unique token identifier", "Original transfer method", "Client credential type",
		"", "", "Application", "Application ID", "", "Resource", "Resource ID", "Resource tenant ID", "", "Home tenant ID", "", "IP address",
		"Location", "Status", "Sign-in error code", "Failure reason", "Client app", "Device ID", "Browser", "Operating System", "Compliant",
		"Managed", "Join Type", "Multifactor authentication result", "Multifactor authentication auth method", "", "Authentication requirement",
		"Sign-in identifier", "Session ID", "IP address (seen by resource)", "", "", "Autonomous system  number", "Flagged for review", "",
		"Incoming token type", "", "", "Conditional Access", "Managed Identity type",
	}
}

// localized recognizes the portal's CSV under a translated header by its
// values: a time, three GUIDs and a user name where they belong.
func (f *signInFields) localized(o *fastjson.Object) bool {
	const columns = 50 // at least
	if o.Len() < columns {
		return false
	}
	var head [7]*fastjson.Value
	utc := false
	i := 0
	o.Visit(func(key []byte, v *fastjson.Value) {
		if i == 0 {
			utc = bytes.HasSuffix(bytes.TrimSpace(key), []byte("(UTC)"))
		}
		if i < len(head) {
			head[i] = v
		}
		i++
	})
	if !utc {
		return false
	}
	if _, _, ok := Micros(text(head[0])); !ok || !isGUID(text(head[1])) || !isGUID(text(head[3])) {
		return false
	}
	f.portal = true
	if !isGUID(text(head[4])) && len(text(head[4])) > 0 || !bytes.Contains(text(head[6]), []byte("@")) && len(text(head[6])) > 0 {
		f.badly = true
		return true
	}
	*f = signInFields{portal: true}
	names := portalColumns()
	i = 0
	o.Visit(func(_ []byte, v *fastjson.Value) {
		if i < len(names) && names[i] != "" {
			f.visit([]byte(names[i]), v)
		}
		i++
	})
	return true
}

// Parse implements [Format].
func (x SignIn) Parse(r *Record, s *Sink) error {
	var f signInFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	if f.badly {
		return errLocalizedSignIns
	}
	e := s.Event(event.SignIn)
	e.Class = event.ClassSignIn
	e.Operation = "sign-in activity"
	e.NativeID = s.Lower(text(f.id))
	e.RequestID = e.NativeID
	e.CorrID = s.Lower(text(f.correlation))

	var t eventTime
	setTime(&t, f.created, f.timeGenerated, f.arrival)
	e.Time = t.us
	if t.ambiguous && f.portal {
		e.Flags |= event.FlagAmbiguousDate
	}

	x.kind(r, e, &f)
	x.who(e, &f, s)
	x.tenant(e, &f, s)
	x.where(r, e, &f, s)

	e.AppID = s.Lower(text(f.appID))
	e.AppName = s.Bytes(text(f.appName))
	if f.resourceIdentity != nil {
		e.ResourceID = s.Lower(text(f.resourceIdentity))
	} else {
		e.ResourceID = s.Lower(text(f.resourceID))
	}
	e.ResourceName = s.Bytes(text(f.resourceName))
	e.SPID = s.Lower(text(f.spID))
	e.KeyID = s.Lower(text(f.keyID))
	e.UserAgent = s.Bytes(text(f.userAgent))
	e.Client = s.Bytes(text(f.clientApp))
	e.Protocol = s.Lower(none(text(f.protocol)))
	e.SessionID = s.Bytes(text(f.session))
	if b := text(f.token); len(b) > 0 {
		e.TokenID = s.Copy(event.TokenID(string(b)))
	}
	x.result(r, e, &f, s)
	x.detail(r, e, &f, s)
	return nil
}

func (SignIn) kind(r *Record, e *event.Event, f *signInFields) {
	kind := f.kind
	if kind == "" && f.eventTypes != nil {
		kind = eventTypesKind(f.eventTypes)
	}
	if kind == "" && f.portal {
		name := strings.ToLower(r.FileName)
		switch {
		case f.miType != nil && f.upn == nil && f.userID == nil, strings.Contains(name, "msisignin"), strings.Contains(name, "managedidentity"):
			kind = signInManagedIdentity
		case f.spID != nil && f.upn == nil && f.userID == nil, strings.Contains(name, "applicationsignin"), strings.Contains(name, "serviceprincipal"):
			kind = signInServicePrincipal
		case strings.Contains(name, "noninteractive"):
			kind = signInNonInteractive
		case strings.Contains(name, "interactive"):
			kind = signInInteractive
		default:
			kind = signInUnknown
		}
	}
	if kind == "" {
		interactive := boolean(f.interactive)
		switch {
		case f.spID != nil && f.upn == nil && f.userID == nil:
			kind = signInServicePrincipal
		case interactive == nil:
			kind = signInUnknown
		case *interactive:
			kind = signInInteractive
		default:
			kind = signInNonInteractive
		}
	}
	e.Workload = kind
}

// eventTypesKind reads signInEventTypes, a list or its text.
func eventTypesKind(v *fastjson.Value) string {
	find := func(b []byte) string {
		switch {
		case containsFold(b, "noninteractiveuser"):
			return signInNonInteractive
		case containsFold(b, "interactiveuser"):
			return signInInteractive
		case containsFold(b, "serviceprincipal"):
			return signInServicePrincipal
		case containsFold(b, "managedidentity"):
			return signInManagedIdentity
		}
		return ""
	}
	for _, t := range v.GetArray() {
		if k := find(text(t)); k != "" {
			return k
		}
	}
	return find(text(v))
}

func (SignIn) who(e *event.Event, f *signInFields, s *Sink) {
	switch e.Workload {
	case signInServicePrincipal, signInManagedIdentity:
		e.ActorKind = event.ActorApp
		if e.Workload == signInManagedIdentity {
			e.ActorKind = event.ActorManaged
		}
		e.ActorID = s.Lower(text(f.spID))
		for _, v := range [...]*fastjson.Value{f.spName, f.appName, f.spID, f.appID} {
			if b := text(v); len(b) > 0 {
				e.Actor = s.Lower(b)
				break
			}
		}
		return
	}
	e.ActorKind = event.ActorUser
	e.ActorID = s.Lower(text(f.userID))
	if containsFold(text(f.userType), "guest") {
		e.ActorKind = event.ActorGuest
	}
	for _, v := range [...]*fastjson.Value{f.upn, f.identifier, f.userName, f.userID, f.identity} {
		if b := text(v); len(b) > 0 {
			e.Actor = s.Lower(b)
			break
		}
	}
}

// tenant finds out whose log this is. Log Analytics puts the id of the
// workspace into TenantId. A guest's sign-in is in the log of the resource's
// tenant, anybody else's in that of the home tenant.
func (SignIn) tenant(e *event.Event, f *signInFields, s *Sink) {
	first, second := f.homeTenant, f.resourceTenant
	if e.ActorKind == event.ActorGuest {
		first, second = second, first
	}
	switch {
	case f.aadTenant != nil:
		e.Tenant = s.Lower(text(f.aadTenant))
	case f.tenant != nil && !f.table:
		e.Tenant = s.Lower(text(f.tenant))
	default:
		if b := tenantOfPath(text(f.resourcePath)); len(b) > 0 {
			e.Tenant = s.Lower(b)
		} else if first != nil {
			e.Tenant = s.Lower(text(first))
		} else {
			e.Tenant = s.Lower(text(second))
		}
	}
}

// tenantOfPath returns the tenant in "/tenants/<id>/providers/Microsoft.aadiam".
func tenantOfPath(path []byte) []byte {
	const prefix = "/tenants/"
	if len(path) < len(prefix)+36 || !bytes.EqualFold(path[:len(prefix)], []byte(prefix)) {
		return nil
	}
	if id := path[len(prefix) : len(prefix)+36]; isGUID(id) {
		return id
	}
	return nil
}

func (SignIn) where(r *Record, e *event.Event, f *signInFields, s *Sink) {
	for _, v := range [...]*fastjson.Value{f.ip, f.callerIP} {
		if b := text(v); len(b) > 0 {
			e.Flags &^= event.FlagIPUnparsed
			s.SetIP(e, b)
			if e.IP != "" {
				break
			}
		}
	}
	if n, ok := integer(f.asn); ok && n > 0 && n <= 1<<32-1 {
		e.ASN = uint32(n)
	}
	if f.place, _ = r.open(f.locationDetails); f.place == nil {
		f.place, _ = r.open(f.location)
	}
	if f.place != nil {
		e.Country = s.Copy(country(str(f.place, "countryOrRegion")))
	}
	if e.Country == "" {
		if b := text(f.location); len(b) > 0 && b[0] != '{' { // "KR", or "Seoul, Seoul, KR" in the portal's CSV
			if i := bytes.LastIndexByte(b, ','); i >= 0 {
				b = b[i+1:]
			}
			e.Country = s.Copy(country(b))
		}
	}
}

// country returns a two-letter country code in upper case, or nothing.
func country(b []byte) string {
	b = bytes.TrimSpace(b)
	if len(b) != 2 {
		return ""
	}
	for _, c := range b {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return ""
		}
	}
	return strings.ToUpper(string(b))
}

// result reads the error code. Status is an object in JSON and a word in the
// portal's CSV.
func (SignIn) result(r *Record, e *event.Event, f *signInFields, s *Sink) {
	status, destroyed := r.open(f.status)
	if destroyed {
		e.Flags |= event.FlagDestroyed
	}
	f.statusObj = status
	code, reason := text(f.code), text(f.failureReason)
	if status != nil {
		if b := str(status, "errorCode"); len(b) > 0 {
			code = b
		}
		if b := str(status, "failureReason"); len(b) > 0 {
			reason = b
		}
	}
	if len(code) == 0 {
		code = text(f.resultType)
	}
	if len(reason) == 0 {
		reason = text(f.resultDescription)
	}
	word := ""
	if status == nil {
		word = string(text(f.status))
	}
	code = bytes.TrimSpace(code)
	if string(code) == "None" {
		code = nil
	}
	switch {
	case strings.EqualFold(word, "interrupted"):
		e.Outcome = event.Interrupted
	case string(code) == "0":
		e.Outcome = event.Success
	case len(code) > 0:
		e.Outcome = event.Failure
		if interrupts(string(code)) {
			e.Outcome = event.Interrupted
		}
	case strings.EqualFold(word, "success"):
		e.Outcome = event.Success
	case strings.EqualFold(word, "failure"):
		e.Outcome = event.Failure
	}
	e.Code = s.Bytes(code)
	if string(code) != "0" && e.Outcome != event.Success { // "Other." goes with success
		e.Reason = s.Bytes(reason)
	}
}

// interrupts reports whether an error code means that the sign-in went on with
// another step, which for most of these needs the right password.
// Source: "Microsoft Entra authentication and authorization error codes".
func interrupts(code string) bool {
	switch code {
	case "16000", // pick an account
		"50058",                                     // no session yet
		"50072", "50074", "50076", "50079", "50158", // second factor
		"50097",          // device authentication
		"50125", "50129", // password reset or registration, device not joined
		"50140", // keep me signed in
		"50199", // confirmation asked of the user
		"65001": // consent
		return true
	}
	return false
}

func (SignIn) detail(r *Record, e *event.Event, f *signInFields, s *Sink) {
	var buf [640]byte
	d := detailWriter{buf: buf[:0]}
	switch b := text(f.requirement); {
	case containsFold(b, "multi"):
		d.putString("auth_requirement", "multi")
	case containsFold(b, "single"):
		d.putString("auth_requirement", "single")
	}
	if list := r.array(f.authDetails); len(list) > 0 {
		var mb [160]byte
		methods := mb[:0]
		for _, step := range list {
			m := str(step, "authenticationMethod")
			if len(m) == 0 || len(methods)+len(m) > 120 {
				continue
			}
			if len(methods) > 0 {
				methods = append(methods, ", "...)
			}
			methods = append(methods, m...)
			if ok := boolean(get(step, "succeeded")); ok != nil && !*ok {
				methods = append(methods, " (failed)"...)
			}
		}
		d.put("auth_methods", methods)
	}
	if b := str(f.statusObj, "additionalDetails"); len(b) > 0 {
		d.put("mfa", b)
	} else {
		d.put("mfa", text(f.mfaResult))
	}
	if m, _ := r.open(f.mfaDetail); m != nil {
		d.put("mfa_method", str(m, "authMethod"))
	} else {
		d.put("mfa_method", text(f.mfaMethod))
	}
	d.put("ca", text(f.ca))
	d.put("incoming_token_type", none(text(f.incoming)))
	d.put("transfer_method", none(text(f.transfer)))
	d.put("risk", none(text(f.risk)))
	d.put("risk_state", none(text(f.riskState)))
	if list := r.array(f.riskEvents); len(list) > 0 {
		var eb [160]byte
		events := eb[:0]
		for _, v := range list {
			if b := text(v); len(b) > 0 && len(events)+len(b) < 140 {
				if len(events) > 0 {
					events = append(events, ' ')
				}
				events = append(events, b...)
			}
		}
		d.put("risk_events", events)
	}
	d.put("credential_type", none(text(f.credentialType)))
	d.put("thumbprint", text(f.thumbprint))
	d.put("federated_credential", text(f.federated))

	dev, destroyed := r.open(f.device)
	if destroyed {
		e.Flags |= event.FlagDestroyed
	}
	if dev != nil {
		e.DeviceID = s.Lower(str(dev, "deviceId"))
		d.put("os", str(dev, "operatingSystem"))
		d.put("browser", str(dev, "browser"))
		d.put("trust_type", str(dev, "trustType"))
		d.putBool("compliant", boolean(get(dev, "isCompliant")))
		d.putBool("managed", boolean(get(dev, "isManaged")))
	} else {
		e.DeviceID = s.Lower(text(f.deviceID))
		d.put("os", text(f.os))
		d.put("browser", text(f.browser))
		d.put("trust_type", text(f.join))
		d.putBool("compliant", boolean(f.compliant))
		d.putBool("managed", boolean(f.managed))
	}
	if f.place != nil {
		d.put("city", str(f.place, "city"))
		d.put("state", str(f.place, "state"))
	} else if b := text(f.location); bytes.Count(b, []byte(",")) == 2 {
		city, rest, _ := bytes.Cut(b, []byte(","))
		state, _, _ := bytes.Cut(rest, []byte(","))
		d.put("city", bytes.TrimSpace(city))
		d.put("state", bytes.TrimSpace(state))
	}
	d.put("cross_tenant", none(text(f.crossTenant)))
	if b := text(f.homeTenant); len(b) > 0 && !strings.EqualFold(string(b), e.Tenant) {
		d.put("home_tenant", b)
	}
	if b := text(f.resourceTenant); len(b) > 0 && !strings.EqualFold(string(b), e.Tenant) {
		d.put("resource_tenant", b)
	}
	if b := text(f.resourceIP); len(b) > 0 && !bytes.Equal(b, text(f.ip)) {
		d.put("ip_resource", b)
	}
	if b := boolean(f.flagged); b != nil && *b {
		d.add("flagged", true)
	}
	e.Detail = s.Bytes(d.bytes())
}

// none returns nothing for the word that Entra writes for nothing.
func none(b []byte) []byte {
	if len(b) == 4 && bytes.EqualFold(b, []byte("none")) {
		return nil
	}
	return b
}

// containsFold reports whether b contains the ASCII text sub, which is in
// lower case, in any case of letters.
func containsFold(b []byte, sub string) bool {
	for i := 0; i+len(sub) <= len(b); i++ {
		j := 0
		for j < len(sub) {
			c := b[i+j]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != sub[j] {
				break
			}
			j++
		}
		if j == len(sub) {
			return true
		}
	}
	return false
}
