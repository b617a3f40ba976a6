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
// audit log. A row whose RawEventData is no such record stays as it is.
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
	if w.known {
		return nil
	}
	switch {
	case w.log != nil && w.ruleID:
		return r.inside(w.log)
	case w.original != nil:
		return r.inside(w.original)
	case w.event != nil && w.event.Type() == fastjson.TypeObject && w.event.Get("original") != nil:
		return r.inside(w.event.Get("original"))
	case w.o365 != nil:
		return r.inside(w.o365)
	case w.source != nil:
		return r.inside(w.source)
	case w.raw != nil:
		return r.inside(w.raw)
	case w.result != nil && w.result.Type() == fastjson.TypeObject && w.result.Get("_raw") != nil:
		return r.inside(w.result.Get("_raw"))
	case w.message != nil:
		return r.inside(w.message)
	}
	return nil
}

// wrapper is what one walk over a record finds of wrappers.
type wrapper struct {
	event, original, o365, source, raw, result, message, log, rawEvent *fastjson.Value

	ruleID, actionType bool
	audit              bool // has AuditData
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
	case "CreationTime", "creationtime", "eventType", "eventtype", "createdDateTime", "activityDateTime", "activityDisplayName",
		"properties", "targetResources", "TimeGenerated", "MessageTraceId":
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
