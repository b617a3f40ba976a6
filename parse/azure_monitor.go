package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// AzureMonitor reads every other record in Azure Monitor's envelope: the Azure
// activity log in its three spellings (stream, Log Analytics, REST), provisioning,
// Intune and whatever else a diagnostic setting exports. It comes last of all
// formats that know this envelope.
//
// Class is other, admin for writes, deletes and actions of the activity log,
// and role_add for role assignments. Workload is the category. Detail holds
// "level", "signature", "location", "role", "action", "scope".
//
// Source: "Azure Monitor resource log schema", "Azure activity log event schema".
type AzureMonitor struct{}

// Name implements [Format].
func (AzureMonitor) Name() string { return "azure_monitor" }

// Doc implements [Format].
func (AzureMonitor) Doc() string {
	return "Azure Monitor: activity log, provisioning, Intune and other categories"
}

// Sniff implements [Format].
func (x AzureMonitor) Sniff(r *Record) bool {
	var f azureFields
	return x.read(r, &f)
}

type azureFields struct {
	when, generated, eventTime, submitted, category, operation, resource, tenant, correlation, resultType, resultSignature       *fastjson.Value
	props, resultDescription, ip, identity, level, location, properties, eventID, id, caller, status, authorization, claims, typ *fastjson.Value
}

func (f *azureFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	switch string(foldKey(buf[:], key)) {
	case "time":
		set(&f.when, v)
	case "timegenerated":
		set(&f.generated, v)
	case "eventtimestamp":
		set(&f.eventTime, v)
	case "submissiontimestamp":
		set(&f.submitted, v)
	case "category", "categoryvalue":
		set(&f.category, v)
	case "operationname", "operationnamevalue":
		set(&f.operation, v)
	case "resourceid":
		set(&f.resource, v)
	case "tenantid":
		set(&f.tenant, v)
	case "correlationid":
		set(&f.correlation, v)
	case "resulttype", "activitystatusvalue":
		set(&f.resultType, v)
	case "resultsignature", "activitysubstatusvalue":
		set(&f.resultSignature, v)
	case "resultdescription":
		set(&f.resultDescription, v)
	case "calleripaddress":
		set(&f.ip, v)
	case "identity":
		set(&f.identity, v)
	case "level":
		set(&f.level, v)
	case "location":
		set(&f.location, v)
	case "properties":
		set(&f.properties, v)
	case "eventdataid":
		set(&f.eventID, v)
	case "id":
		set(&f.id, v)
	case "caller":
		set(&f.caller, v)
	case "status":
		set(&f.status, v)
	case "authorization":
		set(&f.authorization, v)
	case "claims":
		set(&f.claims, v)
	case "type":
		set(&f.typ, v)
	}
}

func (AzureMonitor) read(r *Record, f *azureFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	o.Visit(f.visit)
	f.props, _ = r.open(f.properties)
	switch {
	case f.operation == nil:
		return f.category != nil && f.when != nil && (f.resource != nil || f.properties != nil)
	case f.category != nil && (f.when != nil || f.properties != nil || f.resource != nil || f.eventTime != nil || f.eventID != nil):
		return true
	case f.when != nil && (f.resource != nil || f.properties != nil || f.resultType != nil):
		return true
	case string(text(f.typ)) == "AzureActivity", f.caller != nil && f.generated != nil:
		return true
	}
	// An operation of a resource provider says what it is by itself.
	return f.category != nil && strings.Contains(string(text(f.operation)), "/")
}

// Parse implements [Format].
func (x AzureMonitor) Parse(r *Record, s *Sink) error {
	var f azureFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	// Another format may be due: this one takes what the others leave.
	if x.suspect(&f) && ((SignIn{}).Sniff(r) || (Directory{}).Sniff(r) || (GraphActivity{}).Sniff(r) || (Risk{}).Sniff(r) || (Defender{}).Sniff(r)) {
		return ErrNotMine
	}
	e := s.Event(event.AzureActivity)
	props := f.props
	var t eventTime
	setTime(&t, f.when, f.eventTime, f.generated, get(props, "activityDateTime", "ActivityDate"), f.submitted)
	e.Time = t.us
	e.NativeID = s.Lower(firstText(f.eventID, get(props, "eventDataId"), get(props, "id", "AuditEventId")))
	if e.NativeID == "" && f.id != nil {
		e.NativeID = s.Lower(text(f.id))
	}
	e.Workload = s.Bytes(text(f.category))
	op := named(f.operation)
	e.Operation = s.Operation(op)
	e.Class = azureClass(e.Operation)
	e.CorrID = s.Lower(text(f.correlation))
	if f.generated == nil {
		e.Tenant = s.Lower(text(f.tenant))
	}
	if e.Tenant == "" {
		e.Tenant = s.Lower(tenantOfPath(text(f.resource)))
	}
	e.Code = s.Bytes(named(firstValue(f.resultType, f.status)))
	e.Reason = s.Bytes(text(f.resultDescription))
	switch code := strings.ToLower(e.Code); {
	case code == "0", strings.HasPrefix(code, "succ"), code == "accept", code == "start", code == "started", code == "accepted":
		e.Outcome = event.Success
	case strings.HasPrefix(code, "fail"), strings.Contains(code, "error"), strings.Contains(code, "denied"), code == "unauthorized":
		e.Outcome = event.Failure
	}
	s.SetIP(e, text(f.ip))
	if b := text(f.resource); len(b) > 0 {
		e.Target, e.TargetKind = s.Bytes(b), "azure_resource"
	}
	claims := x.actor(r, e, &f, props, s)
	if e.Tenant == "" {
		e.Tenant = s.Lower(str(claims, "http://schemas.microsoft.com/identity/claims/tenantid", "tid"))
	}

	var buf [512]byte
	d := detailWriter{buf: buf[:0]}
	d.put("level", named(f.level))
	d.put("signature", named(f.resultSignature))
	d.put("location", text(f.location))
	id, _ := r.open(f.identity)
	auth := get(id, "authorization")
	if auth == nil {
		auth, _ = r.open(f.authorization)
	}
	d.put("action", str(auth, "action"))
	d.put("scope", str(auth, "scope"))
	d.put("role", str(get(auth, "evidence"), "role"))
	if e.UserAgent = s.Bytes(str(props, "userAgent")); e.UserAgent == "" {
		e.UserAgent = s.Bytes(str(claims, "userAgent"))
	}
	e.Detail = s.Bytes(d.bytes())
	return nil
}

// suspect reports cheaply whether a record may be another format's.
func (AzureMonitor) suspect(f *azureFields) bool {
	category := text(f.category)
	return f.props == nil || signInKind(category) != "" || riskCategory(category) != "" || bytes.HasPrefix(category, []byte("AdvancedHunting-")) ||
		has(f.props, "activityDisplayName") || has(f.props, "targetResources") || has(f.props, "loggedByService") || has(f.props, "requestUri")
}

// named reads text, or {"value":...,"localizedValue":...} of the REST form.
func named(v *fastjson.Value) []byte {
	if v != nil && v.Type() == fastjson.TypeObject {
		return str(v, "value")
	}
	return text(v)
}

func firstValue(vs ...*fastjson.Value) *fastjson.Value {
	for _, v := range vs {
		if v != nil {
			return v
		}
	}
	return nil
}

// actor reads the claims of the token that a request came with.
func (AzureMonitor) actor(r *Record, e *event.Event, f *azureFields, props *fastjson.Value, s *Sink) (claims *fastjson.Value) {
	id, _ := r.open(f.identity)
	claims = get(id, "claims", "claim")
	if claims == nil {
		claims, _ = r.open(f.claims)
	}
	if claims == nil {
		claims, _ = r.open(get(props, "claims"))
	}
	upn := firstText(
		get(claims, "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", "upn"),
		get(claims, "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", "name"),
		get(claims, "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"),
	)
	e.ActorID = s.Lower(firstText(get(claims, "http://schemas.microsoft.com/identity/claims/objectidentifier", "oid")))
	e.AppID = s.Lower(str(claims, "appid"))
	if b := str(claims, "uti"); len(b) > 0 {
		e.TokenID = s.Copy(event.TokenID(string(b)))
	}
	if b := str(claims, "sid"); len(b) > 0 {
		e.SessionID = s.Bytes(b)
	}
	if e.IP == "" {
		if b := str(claims, "ipaddr"); len(b) > 0 {
			e.Flags &^= event.FlagIPUnparsed
			s.SetIP(e, b)
		}
	}
	switch {
	case len(upn) > 0:
		e.Actor, e.ActorKind = s.Lower(upn), event.ActorUser
	case len(text(f.caller)) > 0:
		e.Actor, e.ActorKind = s.Lower(text(f.caller)), event.ActorUser
		if isGUID(text(f.caller)) {
			e.ActorKind = event.ActorApp
		}
	case e.AppID != "" || e.ActorID != "":
		e.ActorKind = event.ActorApp
		if e.Actor = e.ActorID; e.Actor == "" {
			e.Actor = e.AppID
		}
	default:
		e.Actor = s.Lower(text(f.identity))
		if by := get(props, "initiatedBy"); by != nil {
			e.Actor = s.Lower(str(by, "Name"))
		} else if a := get(props, "Actor"); a != nil {
			if b := str(a, "UPN"); len(b) > 0 {
				e.Actor, e.ActorKind = s.Lower(b), event.ActorUser
			}
			e.ActorID = s.Lower(str(a, "ObjectId"))
		}
	}
	return claims
}

func azureClass(op string) event.Class {
	switch {
	case strings.HasSuffix(op, "/roleassignments/write"):
		return event.ClassRoleAdd
	case strings.HasPrefix(op, "microsoft.") && (strings.HasSuffix(op, "/write") || strings.HasSuffix(op, "/delete") || strings.HasSuffix(op, "/action")):
		return event.ClassAdmin
	}
	return event.ClassOther
}
