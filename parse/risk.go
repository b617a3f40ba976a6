package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// Risk reads what Entra ID Protection concluded: risky users and service
// principals and risk detections, from Azure Monitor, Log Analytics and Graph.
// They are Microsoft's verdicts, kept as alerts.
//
// Operation is the risk event type of a detection, "risky user" or "risky
// service principal" otherwise. Detail holds "risk", "risk_state",
// "risk_detail", "timing", "activity", "city", "source".
//
// Source: Microsoft Graph resource types riskDetection, riskyUser,
// servicePrincipalRiskDetection; Azure Monitor tables AADUserRiskEvents,
// AADRiskyUsers.
type Risk struct{}

// Name implements [Format].
func (Risk) Name() string { return "entra_risk" }

// Doc implements [Format].
func (Risk) Doc() string {
	return "Entra ID Protection: risky users and risk detections from Graph, Azure Monitor, Log Analytics"
}

// Sniff implements [Format].
func (x Risk) Sniff(r *Record) bool {
	var f riskFields
	return x.read(r, &f)
}

type riskFields struct {
	category string
	table    bool

	id, arrival, generated, activityTime, detected, updated, correlation, requestID *fastjson.Value
	eventType, riskType, level, state, detail, timing, activity, source, additional *fastjson.Value
	ip, location, city, countryV, userID, upn, userName, spID, spName, appID, keys  *fastjson.Value
	tenant, aadTenant, resourcePath, identity, userType                             *fastjson.Value
}

func (f *riskFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	switch string(foldKey(buf[:], key)) {
	case "id":
		set(&f.id, v)
	case "time":
		set(&f.arrival, v)
	case "timegenerated":
		set(&f.generated, v)
	case "activitydatetime":
		set(&f.activityTime, v)
	case "detecteddatetime":
		set(&f.detected, v)
	case "lastupdateddatetime", "risklastupdateddatetime":
		set(&f.updated, v)
	case "correlationid":
		set(&f.correlation, v)
	case "requestid":
		set(&f.requestID, v)
	case "riskeventtype":
		set(&f.eventType, v)
	case "risktype":
		set(&f.riskType, v)
	case "risklevel":
		set(&f.level, v)
	case "riskstate":
		set(&f.state, v)
	case "riskdetail":
		set(&f.detail, v)
	case "detectiontimingtype":
		set(&f.timing, v)
	case "activity":
		set(&f.activity, v)
	case "source":
		set(&f.source, v)
	case "additionalinfo":
		set(&f.additional, v)
	case "ipaddress", "calleripaddress":
		set(&f.ip, v)
	case "location":
		set(&f.location, v)
	case "city":
		set(&f.city, v)
	case "countryorregion":
		set(&f.countryV, v)
	case "userid":
		set(&f.userID, v)
	case "userprincipalname":
		set(&f.upn, v)
	case "userdisplayname":
		set(&f.userName, v)
	case "serviceprincipalid":
		set(&f.spID, v)
	case "serviceprincipaldisplayname", "displayname":
		set(&f.spName, v)
	case "appid":
		set(&f.appID, v)
	case "keyids":
		set(&f.keys, v)
	case "tenantid":
		set(&f.tenant, v)
	case "aadtenantid", "hometenantid":
		set(&f.aadTenant, v)
	case "resourceid":
		set(&f.resourcePath, v)
	case "identity":
		set(&f.identity, v)
	case "usertype":
		set(&f.userType, v)
	}
}

// riskCategory reads a category of Azure Monitor or the name of a table.
func riskCategory(b []byte) string {
	var buf keyBuf
	switch k := string(bytes.TrimPrefix(foldKey(buf[:], b), []byte("aad"))); k {
	case "riskyusers":
		return "risky user"
	case "riskyserviceprincipals":
		return "risky service principal"
	case "userriskevents", "serviceprincipalriskevents", "identityriskdetections":
		return "risk detection"
	}
	return ""
}

func (Risk) read(r *Record, f *riskFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	if props, _ := r.open(get(r.Value, "properties")); props != nil && props.Type() == fastjson.TypeObject {
		if f.category = riskCategory(str(r.Value, "category")); f.category == "" {
			return false
		}
		props.GetObject().Visit(f.visit)
		o.Visit(f.visit)
		return true
	}
	o.Visit(f.visit)
	f.table = f.generated != nil
	switch {
	case riskCategory(str(r.Value, "Type", "$table")) != "":
		f.category = riskCategory(str(r.Value, "Type", "$table"))
		return true
	case (f.eventType != nil || f.riskType != nil) && f.detected != nil && (f.level != nil || f.state != nil):
		f.category = "risk detection"
		return true
	case has(r.Value, "riskLastUpdatedDateTime") && f.level != nil:
		f.category = "risky user"
		if f.spID != nil || has(r.Value, "servicePrincipalType") {
			f.category = "risky service principal"
		}
		return true
	}
	return false
}

// Parse implements [Format].
func (x Risk) Parse(r *Record, s *Sink) error {
	var f riskFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	e := s.Event(event.RiskEvents)
	e.Class = event.ClassAlert
	e.Workload = "IdentityProtection"
	var t eventTime
	if f.category == "risk detection" {
		setTime(&t, f.activityTime, f.detected, f.generated, f.arrival, f.updated)
		e.Operation = s.Operation(firstText(f.eventType, f.riskType))
		if e.Operation == "" {
			e.Operation = f.category
		}
		e.NativeID = s.Lower(text(f.id))
	} else {
		// The id is that of the user: each change of its risk is an event.
		setTime(&t, f.updated, f.generated, f.arrival)
		e.Operation = f.category
		if id := text(f.id); len(id) > 0 {
			e.NativeID = s.Copy(strings.ToLower(string(id)) + "|" + itoa(int(t.us)))
		}
	}
	e.Time = t.us
	switch {
	case f.tenant != nil && !f.table:
		e.Tenant = s.Lower(text(f.tenant))
	case len(tenantOfPath(text(f.resourcePath))) > 0:
		e.Tenant = s.Lower(tenantOfPath(text(f.resourcePath)))
	default:
		e.Tenant = s.Lower(text(f.aadTenant))
	}
	e.RequestID = s.Lower(text(f.requestID))
	e.CorrID = s.Lower(text(f.correlation))
	if f.spID != nil || f.category == "risky service principal" {
		e.ActorKind = event.ActorApp
		if e.SPID = s.Lower(text(f.spID)); e.SPID == "" {
			e.SPID = s.Lower(text(f.id))
		}
		e.ActorID = e.SPID
		e.AppID = s.Lower(text(f.appID))
		e.Actor = s.Lower(firstText(f.spName, f.spID, f.appID))
	} else {
		e.ActorKind = event.ActorUser
		if containsFold(text(f.userType), "guest") {
			e.ActorKind = event.ActorGuest
		}
		if e.ActorID = s.Lower(text(f.userID)); e.ActorID == "" && f.category == "risky user" {
			e.ActorID = s.Lower(text(f.id))
		}
		e.Actor = s.Lower(firstText(f.upn, f.userName, f.identity))
	}
	e.Target, e.TargetID, e.TargetKind = e.Actor, e.ActorID, "user"
	if e.ActorKind == event.ActorApp {
		e.TargetKind = "service_principal"
	}
	s.SetIP(e, text(f.ip))
	place, _ := r.open(f.location)
	if e.Country = s.Copy(country(str(place, "countryOrRegion"))); e.Country == "" {
		e.Country = s.Copy(country(text(f.countryV)))
	}
	for _, p := range r.array(f.additional) {
		if containsFold(str(p, "Key"), "useragent") {
			e.UserAgent = s.Bytes(str(p, "Value"))
		}
	}
	if keys := r.array(f.keys); len(keys) > 0 {
		e.KeyID = s.Lower(plainJSONList(keys))
	}
	var buf [256]byte
	d := detailWriter{buf: buf[:0]}
	d.put("risk", text(f.level))
	d.put("risk_state", text(f.state))
	d.put("risk_detail", none(text(f.detail)))
	d.put("timing", text(f.timing))
	d.put("activity", text(f.activity))
	d.put("source", text(f.source))
	if place != nil {
		d.put("city", str(place, "city"))
	} else {
		d.put("city", text(f.city))
	}
	e.Detail = s.Bytes(d.bytes())
	return nil
}

func plainJSONList(list []*fastjson.Value) []byte {
	var out []byte
	for _, v := range list {
		if b := text(v); len(b) > 0 {
			if len(out) > 0 {
				out = append(out, ' ')
			}
			out = append(out, b...)
		}
	}
	return out
}
