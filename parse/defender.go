package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// Defender reads Defender XDR: rows of advanced hunting tables from the portal,
// the API and the streaming export (categories "AdvancedHunting-..."), and
// alerts of the Graph security API. Rows of CloudAppEvents that carry a record
// of the unified audit log are unwrapped before (see [Unwrap]).
//
// Operation is the ActionType; EmailEvents become message_trace, alerts alert,
// rows of cloud applications the class of their operation. Detail holds
// "table", "application", "isp", "city", "device", "file", "command",
// "process", "title", "severity", "url", "object".
//
// Source: Microsoft Defender XDR advanced hunting schema; Microsoft Graph
// resource type security/alert.
type Defender struct{}

// Name implements [Format].
func (Defender) Name() string { return "defender" }

// Doc implements [Format].
func (Defender) Doc() string {
	return "Defender XDR: advanced hunting rows, streaming export, Graph security alerts"
}

// Sniff implements [Format].
func (x Defender) Sniff(r *Record) bool {
	var f defenderFields
	return x.read(r, &f)
}

type defenderFields struct {
	tableName []byte
	alert     bool // Graph security alert

	timestamp, generated, arrival, action, reportID, alertID, id                                       *fastjson.Value
	deviceID, deviceName, application, accountID, accountUPN, accountName, accountDomain, accountLabel *fastjson.Value
	initiatorUPN, initiatorName, initiatorID, ip, remoteIP, countryCode, city, isp, userAgent          *fastjson.Value
	oauthApp, objectName, objectID, objectType, file, command, process, url, raw, tenant               *fastjson.Value
	title, severity, service, status, created, firstActivity, category, rawTable                       *fastjson.Value
	networkID, messageID, sender, recipient, subject, delivery, senderIP, sessionID                    *fastjson.Value
}

func (f *defenderFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	switch string(foldKey(buf[:], key)) {
	case "timestamp":
		set(&f.timestamp, v)
	case "timegenerated":
		set(&f.generated, v)
	case "time":
		set(&f.arrival, v)
	case "actiontype":
		set(&f.action, v)
	case "reportid":
		set(&f.reportID, v)
	case "alertid":
		set(&f.alertID, v)
	case "id":
		set(&f.id, v)
	case "deviceid":
		set(&f.deviceID, v)
	case "devicename":
		set(&f.deviceName, v)
	case "application":
		set(&f.application, v)
	case "accountobjectid":
		set(&f.accountID, v)
	case "accountupn", "accountprincipalname":
		set(&f.accountUPN, v)
	case "accountname":
		set(&f.accountName, v)
	case "accountdomain":
		set(&f.accountDomain, v)
	case "accountdisplayname":
		set(&f.accountLabel, v)
	case "initiatingprocessaccountupn":
		set(&f.initiatorUPN, v)
	case "initiatingprocessaccountname":
		set(&f.initiatorName, v)
	case "initiatingprocessaccountobjectid":
		set(&f.initiatorID, v)
	case "ipaddress":
		set(&f.ip, v)
	case "remoteip":
		set(&f.remoteIP, v)
	case "countrycode":
		set(&f.countryCode, v)
	case "city":
		set(&f.city, v)
	case "isp":
		set(&f.isp, v)
	case "useragent":
		set(&f.userAgent, v)
	case "oauthappid", "oauthapplicationid":
		set(&f.oauthApp, v)
	case "objectname":
		set(&f.objectName, v)
	case "objectid":
		set(&f.objectID, v)
	case "objecttype":
		set(&f.objectType, v)
	case "filename":
		set(&f.file, v)
	case "processcommandline", "initiatingprocesscommandline":
		set(&f.command, v)
	case "initiatingprocessfilename":
		set(&f.process, v)
	case "remoteurl", "url":
		set(&f.url, v)
	case "raweventdata":
		set(&f.raw, v)
	case "tenantid":
		set(&f.tenant, v)
	case "title":
		set(&f.title, v)
	case "severity":
		set(&f.severity, v)
	case "servicesource":
		set(&f.service, v)
	case "status":
		set(&f.status, v)
	case "createddatetime":
		set(&f.created, v)
	case "firstactivitydatetime":
		set(&f.firstActivity, v)
	case "category":
		set(&f.category, v)
	case "type", "table":
		set(&f.rawTable, v)
	case "networkmessageid":
		set(&f.networkID, v)
	case "internetmessageid":
		set(&f.messageID, v)
	case "senderfromaddress":
		set(&f.sender, v)
	case "recipientemailaddress":
		set(&f.recipient, v)
	case "subject":
		set(&f.subject, v)
	case "deliveryaction", "latestdeliveryaction":
		set(&f.delivery, v)
	case "senderipv4", "senderipv6":
		set(&f.senderIP, v)
	case "sessionid":
		set(&f.sessionID, v)
	}
}

// evidence reads the first account and address of an alert's evidence.
func (Defender) evidence(r *Record, e *event.Event, s *Sink) {
	if e.Class != event.ClassAlert {
		return
	}
	for _, ev := range r.array(get(r.Value, "evidence")) {
		if user := get(ev, "userAccount"); user != nil && e.Actor == "" {
			e.Actor = s.Lower(firstText(get(user, "userPrincipalName"), get(user, "accountName"), get(user, "displayName")))
			e.ActorID = s.Lower(str(user, "azureAdUserId"))
			e.ActorKind = event.ActorUser
		}
		if b := str(ev, "ipAddress"); len(b) > 0 && e.IP == "" {
			s.SetIP(e, b)
		}
	}
}

func (Defender) read(r *Record, f *defenderFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	if props, _ := r.open(get(r.Value, "properties")); props != nil && props.Type() == fastjson.TypeObject {
		table, ok := bytes.CutPrefix(str(r.Value, "category"), []byte("AdvancedHunting-"))
		if !ok {
			return false
		}
		props.GetObject().Visit(f.visit)
		o.Visit(f.visit)
		f.tableName = table
		return true
	}
	o.Visit(f.visit)
	when := f.timestamp != nil || f.generated != nil
	switch {
	case f.action != nil && when && !has(r.Value, "Operation"):
		return true
	case f.networkID != nil && f.recipient != nil && when: // EmailEvents
		return true
	case f.alertID != nil && f.title != nil && when: // AlertInfo
		return true
	case f.title != nil && f.severity != nil && f.created != nil && (f.service != nil || has(r.Value, "vendorInformation") || has(r.Value, "detectionSource")):
		f.alert = true
		return true
	}
	return false
}

// Parse implements [Format].
func (x Defender) Parse(r *Record, s *Sink) error {
	var f defenderFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	e := s.Event(event.Defender)
	e.Workload = "Defender"
	if f.tableName != nil {
		e.Workload = s.Bytes(f.tableName)
	} else if b := text(f.application); len(b) > 0 {
		e.Workload = s.Bytes(b)
	}
	var t eventTime
	if f.alert {
		setTime(&t, f.firstActivity, f.created)
	} else {
		setTime(&t, f.timestamp, f.generated, f.arrival)
	}
	e.Time = t.us
	e.Tenant = s.Lower(text(f.tenant))
	e.Operation = s.Operation(text(f.action))
	cloud := f.deviceID == nil && (f.accountID != nil || f.application != nil)
	switch {
	case f.alert || f.alertID != nil:
		e.Class = event.ClassAlert
		e.NativeID = s.Lower(firstText(f.alertID, f.id))
		if e.Operation == "" {
			e.Operation = s.Operation(text(f.title))
		}
	case f.networkID != nil && f.recipient != nil:
		e.Class = event.ClassMessageTrace
		if e.Operation == "" {
			e.Operation = "emailevents"
		}
		e.NativeID = s.Copy(strings.ToLower(string(text(f.networkID)) + "|" + string(text(f.recipient)) + "|" + e.Operation + "|" + string(text(f.reportID))))
	case f.deviceID != nil || f.deviceName != nil && f.accountID == nil:
		// A report id is unique for a device and a time only.
		if b := text(f.reportID); len(b) > 0 {
			e.NativeID = s.Copy(strings.ToLower(string(text(f.deviceID)) + "|" + string(text(f.deviceName)) + "|" + string(text(f.timestamp)) + "|" + string(b)))
		}
	default:
		e.NativeID = s.Lower(text(f.reportID))
	}
	if cloud && e.Class == event.ClassOther {
		e.Class = ClassOf(e.Operation)
	}

	e.Actor = s.Lower(firstText(f.accountUPN, f.sender, f.initiatorUPN, f.accountLabel, f.accountName, f.initiatorName))
	e.ActorID = s.Lower(firstText(f.accountID, f.initiatorID))
	if f.accountUPN != nil || f.accountID != nil || f.initiatorUPN != nil {
		e.ActorKind = event.ActorUser
	}
	s.SetIP(e, firstText(f.ip, f.senderIP, f.remoteIP))
	x.evidence(r, e, s)
	e.Country = s.Copy(country(text(f.countryCode)))
	e.ASOrg = s.Bytes(text(f.isp))
	if ua, _ := r.open(f.userAgent); ua == nil {
		e.UserAgent = s.Bytes(text(f.userAgent))
	}
	e.AppID = s.Lower(text(f.oauthApp))
	e.AppName = s.Bytes(text(f.application))
	e.DeviceID = s.Lower(text(f.deviceID))
	e.SessionID = s.Bytes(text(f.sessionID))
	e.MessageID = s.Bytes(trimMessageID(text(f.messageID)))
	e.Subject = s.Bytes(text(f.subject))
	e.Recipients = s.Lower(text(f.recipient))
	e.Target = s.Bytes(firstText(f.objectName, f.file, f.url))
	e.TargetID = s.Lower(text(f.objectID))
	e.TargetKind = s.Lower(text(f.objectType))
	switch b := firstText(f.delivery, f.status); {
	case containsFold(b, "deliver"):
		e.Outcome = event.Success
	case containsFold(b, "block"), containsFold(b, "junk"), containsFold(b, "quarantin"):
		e.Outcome = event.Failure
	}
	switch {
	case containsFold(text(f.action), "failed"):
		e.Outcome = event.Failure
	case containsFold(text(f.action), "success"):
		e.Outcome = event.Success
	}
	if f.raw != nil && f.raw.Type() == fastjson.TypeString && isDestroyed(string(text(f.raw))) {
		e.Flags |= event.FlagDestroyed
	}

	var buf [512]byte
	d := detailWriter{buf: buf[:0]}
	d.put("table", f.tableName)
	d.put("application", text(f.application))
	d.put("isp", text(f.isp))
	d.put("city", text(f.city))
	d.put("device", text(f.deviceName))
	d.put("file", text(f.file))
	d.put("process", text(f.process))
	d.putString("command", cut(string(text(f.command)), 400))
	d.put("title", text(f.title))
	d.put("severity", text(f.severity))
	d.put("service", text(f.service))
	d.put("url", text(f.url))
	d.put("delivery", text(f.delivery))
	e.Detail = s.Bytes(d.bytes())
	return nil
}
