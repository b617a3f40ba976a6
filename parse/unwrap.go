package parse

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// Unwrap takes r out of what a SIEM or a rule collection put around it, so that
// formats see the vendor's record. r.Raw keeps the outer bytes; r.Value becomes
// the inner record, and r.Inner says so. It is to be called once, before
// sniffing. Wrappers may stand in one another.
//
// Known are: {"event":{"original":"<json>"}} and {"event.original":"<json>"}
// (Elastic), {"o365audit":{...}} (Beats), {"_source":{...}} (Elasticsearch
// hits), {"message":"<json>"}, {"_raw":"<json>"} and {"result":{"_raw":...}}
// (Splunk), {"rule_id":...,"log":{...}} (tests of panther-analysis), and rows
// of Defender's CloudAppEvents, whose RawEventData is the record of the unified
// audit log, by themselves or as its streaming API puts them into an event hub
// ({"category":"AdvancedHunting-CloudAppEvents","properties":{...}}). A row whose RawEventData is no such record stays as it is. Records
// of the unified audit log in lower case get their names back.
func Unwrap(r *Record) {
	for range 4 {
		x := unwrapOnce(r)
		if x == nil {
			return
		}
		r.Value, r.Inner = x, true
	}
}

func unwrapOnce(r *Record) *fastjson.Value {
	if r.Value == nil {
		return nil
	}
	o, err := r.Value.Object()
	if err != nil {
		return nil
	}
	var w wrapper
	o.Visit(w.visit)
	if w.audit { // the parser of the audit log unwraps AuditData itself
		return nil
	}
	if w.rawEvent != nil && w.actionType {
		x, _ := r.open(w.rawEvent)
		if x != nil && x.Type() == fastjson.TypeObject && has(x, "Operation") && has(x, "CreationTime") {
			return x
		}
		return nil
	}
	if w.properties != nil && string(text(w.category)) == "AdvancedHunting-CloudAppEvents" {
		row, _ := r.open(w.properties)
		x, _ := r.open(member(row, "RawEventData"))
		if x != nil && x.Type() == fastjson.TypeObject && has(x, "Operation") && has(x, "CreationTime") {
			return x
		}
		return nil
	}
	if w.lowerCase && w.operation {
		return auditCase(o)
	}
	if w.known {
		return nil
	}
	if !w.ruleID {
		w.log = nil
	}
	// The first that holds a record: Elastic's "original" may be cut or edited
	// while the parsed copy beside it is whole.
	for _, v := range [...]*fastjson.Value{w.log, w.original, member(w.event, "original"), w.o365, w.source, w.raw, member(w.result, "_raw"), w.message} {
		if v == nil {
			continue
		}
		if x := r.inside(v); x != nil {
			return x
		}
	}
	return nil
}

// member is a member of v, if v is an object.
func member(v *fastjson.Value, name string) *fastjson.Value {
	if v == nil || v.Type() != fastjson.TypeObject {
		return nil
	}
	return v.Get(name)
}

// wrapper is what one walk over a record finds of wrappers.
type wrapper struct {
	event, original, o365, source, raw, result, message, log, rawEvent, category, properties *fastjson.Value

	ruleID, actionType bool
	audit              bool // has AuditData
	lowerCase          bool // has creationtime
	operation          bool // has operation
	known              bool // has the keys of a vendor's record: it wraps nothing
}

func (w *wrapper) visit(key []byte, v *fastjson.Value) {
	switch string(key) {
	case "event":
		w.event = v
	case "event.original":
		w.original = v
	case "o365audit":
		w.o365 = v
	case "_source":
		w.source = v
	case "_raw":
		w.raw = v
	case "result":
		w.result = v
	case "message":
		w.message = v
	case "log":
		w.log = v
	case "rule_id":
		w.ruleID = true
	case "RawEventData", "rawEventData", "raweventdata":
		w.rawEvent = v
	case "ActionType", "actionType", "actiontype":
		w.actionType = true
	case "AuditData", "auditData":
		w.audit = true
	case "creationtime":
		w.lowerCase = true
	case "operation":
		w.operation = true
	case "category":
		w.category = v
	case "properties":
		w.properties, w.known = v, true
	case "CreationTime", "eventType", "eventtype", "createdDateTime", "activityDateTime", "activityDisplayName",
		"targetResources", "TimeGenerated", "MessageTraceId":
		w.known = true
	}
}

// inside returns the object that v is, or whose JSON it holds.
func (r *Record) inside(v *fastjson.Value) *fastjson.Value {
	if v.Type() == fastjson.TypeString {
		b, _ := v.StringBytes()
		if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '{' && b[0] != '"' {
			return nil
		}
	}
	if x, _ := r.open(v); x != nil && x.Type() == fastjson.TypeObject {
		return x
	}
	return nil
}

// auditCase gives the members of a record of the unified audit log, which a
// warehouse has stored in lower case, their own names back.
func auditCase(o *fastjson.Object) *fastjson.Value {
	var a fastjson.Arena
	out := a.NewObject()
	names := auditNames()
	o.Visit(func(key []byte, v *fastjson.Value) {
		for _, n := range names {
			if equalFold(key, n) {
				out.Set(n, v)
				return
			}
		}
		out.Set(string(key), v)
	})
	return out
}

// auditNames lists the members of records of the unified audit log that are
// read. Source: Office 365 Management Activity API schema.
func auditNames() []string {
	return []string{
		"Id", "CreationTime", "Operation", "RecordType", "Workload", "ResultStatus", "OrganizationId", "OrganizationName", "UserType", "UserKey", "UserId",
		"ObjectId", "ClientIP", "ClientIPAddress", "ActorIpAddress", "ApplicationId", "ApplicationDisplayName", "AppId", "ClientAppId", "AppAccessContext",
		"ErrorNumber", "LogonError", "ExtendedProperties", "DeviceProperties", "Actor", "Target", "ModifiedProperties", "InterSystemsId", "IntraSystemId",
		"TargetContextId", "ActorContextId", "MailboxOwnerUPN", "MailboxGuid", "LogonType", "ClientInfoString", "ActorInfoString", "ClientProcessName",
		"SessionId", "DeviceId", "OperationProperties", "OperationCount", "Folders", "Messages", "Item", "AffectedItems", "Folder", "DestFolder",
		"Parameters", "UserAgent", "CorrelationId", "ClientRequestId", "TokenObjectId", "SiteUrl", "SourceFileName", "SendAsUserSmtp",
		"SendOnBehalfOfUserSmtp", "RecipientList", "Recipients", "TargetUserOrGroupName", "EventData", "ExternalAccess", "OriginatingServer", "Version",
	}
}
