// Package rules says where the fields that Sigma rules name are in the event
// store: a log source is a condition on column source, a field an expression
// over columns, column detail and the record itself.
//
// A field that the log source is known to have is read from the column that
// the parsers put it in, so that one rule finds a record in whatever container
// it came: a sign-in from the portal's CSV has no field ResultType, but a
// column code. Values that the parsers write in another form are compared in
// that form: operation names without trailing dot and with plain dashes, which
// is how rules and records that differ in them find each other.
//
// Columns may be named as they are ("actor", "class"; docs/SCHEMA.md). Other
// names are looked for in the record, as written and with a small first
// letter, at the top and below properties; [Schema.Known] tells them apart.
//
// What cannot be said of every engine: a field that is a list or an object in
// the record (TargetResources) stands for the text of the whole record without
// its backslashes. contains finds everything in it that it should, and may find
// it elsewhere in the record.
package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"midwatch/event"
	"midwatch/sigma"
)

// Schema implements [sigma.Schema] for the tables of package store.
type Schema struct{}

// source is what is known of a log source.
type source struct {
	is     event.Source
	fields table
}

// find returns what a log source is here.
func find(ls sigma.LogSource) (source, error) {
	if ls.Category == "" {
		switch ls.Product + "/" + ls.Service {
		case "azure/signinlogs":
			return source{event.SignIn, signIn()}, nil
		case "azure/auditlogs":
			return source{event.DirectoryLog, directory()}, nil
		case "azure/activitylogs":
			return source{event.AzureActivity, activity()}, nil
		case "azure/riskdetection", "azure/pim":
			// Alerts of Privileged Identity Management have the fields of risk
			// detections, and are read as such.
			return source{event.RiskEvents, risk()}, nil
		case "m365/", "m365/audit", "m365/exchange", "m365/threat_management", "m365/threat_detection":
			return source{event.UAL, unified()}, nil
		case "okta/", "okta/okta":
			return source{event.Okta, nil}, nil
		case "gcp/google_workspace.admin", "google_workspace/":
			return source{event.Google, nil}, nil
		case "midwatch/":
			return source{"", nil}, nil
		}
	}
	return source{}, fmt.Errorf("no log that is read is %s", ls)
}

// Source implements [sigma.Schema]. The product midwatch means all records; its
// rules name columns.
func (Schema) Source(ls sigma.LogSource) (string, error) {
	s, err := find(ls)
	if err != nil {
		return "", err
	}
	if s.is == "" {
		return "id IS NOT NULL", nil
	}
	return "source = '" + string(s.is) + "'", nil
}

// Known reports whether a field is a column or one that the records of a log
// source are known to have. Others are looked for in the record by their name.
func (Schema) Known(ls sigma.LogSource, name string) bool {
	s, err := find(ls)
	if err != nil {
		return false
	}
	_, ok := s.fields[strings.ToLower(name)]
	_, column := columns()[name]
	return ok || column || name == ""
}

// Field implements [sigma.Schema].
func (Schema) Field(ls sigma.LogSource, name string) (sigma.Field, error) {
	s, err := find(ls)
	if err != nil {
		return sigma.Field{}, err
	}
	if name == "" {
		return values(whole(), operation()), nil
	}
	if f, ok := s.fields[strings.ToLower(name)]; ok {
		return f, nil
	}
	if f, ok := columns()[name]; ok {
		return f, nil
	}
	if ls.Product == "midwatch" {
		return sigma.Field{}, fmt.Errorf("there is no column %s; docs/SCHEMA.md lists them", name)
	}
	path, err := inRecord(name)
	return values(path), err
}

func values(vs ...sigma.Value) sigma.Field { return sigma.Field{Values: vs} }

func text(sql string) sigma.Value { return sigma.Value{Text: sql} }

func field(sql string) sigma.Field { return values(text(sql)) }

// detail reads a member of column detail, which is always JSON of ours.
func detail(path string) string { return "json_extract_string(detail, '$." + path + "')" }

// columns are the columns of table events as fields.
func columns() map[string]sigma.Field {
	out := map[string]sigma.Field{}
	for _, c := range event.Columns() {
		switch c.Type {
		case event.TypeText, event.TypeRaw:
			out[c.Name] = field(c.Name)
		case event.TypeBool:
			// Written out because engines print booleans in their own ways.
			out[c.Name] = field("CASE WHEN " + c.Name + " THEN 'true' WHEN NOT " + c.Name + " THEN 'false' END")
		case event.TypeBytes:
		default:
			out[c.Name] = field("CAST(" + c.Name + " AS VARCHAR)")
		}
	}
	out["operation"] = values(operation())
	out["actor"] = values(folded("actor"))
	return out
}

// folded is a column that the parsers write in lower case.
func folded(column string) sigma.Value { return sigma.Value{Text: column, Folded: column} }

// operation is column operation, and the form in which operation names are.
// See event.NormalizeOperation.
func operation() sigma.Value {
	return sigma.Value{Text: "operation", Folded: "operation", Fold: func(s string, start, end bool) string {
		if s == "" {
			return s
		}
		// A mark at each side that is not an end of the name keeps the spaces and
		// dots there, which only the ends lose.
		const mark = "\x01"
		if !start {
			s = mark + s
		}
		if !end {
			s += mark
		}
		return strings.ReplaceAll(event.NormalizeOperation(s), mark, "")
	}}
}

// without is a value compared without some characters: the parsers write names
// of protocols and kinds in one way, vendors and rules in several.
func without(sql, drop string) sigma.Value {
	x := "lower(" + sql + ")"
	for _, r := range drop {
		x = "replace(" + x + ", '" + string(r) + "', '')"
	}
	return sigma.Value{Text: sql, Folded: x, Fold: func(s string, _, _ bool) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(drop, r) {
				return -1
			}
			return r
		}, strings.ToLower(s))
	}}
}

// record is the record as JSON, NULL where it is none: cut short by its
// exporter, so that the parsers could take its beginning only. DuckDB's functions
// fail on such texts, and one of them would end every question. Records that are
// merely not JSON by the letter have been written anew when they were read.
const record = "CASE WHEN json_valid(coalesce(record, raw)) AND coalesce(flags, 0) % 4 < 2 THEN coalesce(record, raw) END"

// whole is the record as text, without backslashes: JSON in strings in JSON
// reads like JSON then, and a path of Windows like itself without its own.
func whole() sigma.Value {
	x := `replace(coalesce(record, raw), '\', '')`
	return sigma.Value{Text: x, Folded: "lower(" + x + ")", Fold: func(s string, _, _ bool) string {
		return strings.ToLower(strings.ReplaceAll(s, `\`, ""))
	}}
}

// inRecord looks for a name in the record: a.b.c as the path, at the top and
// below properties, as written and with a small first letter. ClickHouse says
// 'null' of JSON's null, DuckDB NULL.
func inRecord(name string) (sigma.Value, error) {
	steps := strings.Split(name, ".")
	if strings.ContainsAny(name, `"'\*[]$?@`) || strings.ContainsFunc(name, unicode.IsControl) || slices.Contains(steps, "") || len(name) > 200 {
		return sigma.Value{}, fmt.Errorf("the name %q cannot be looked for in records", name)
	}
	quoted := func(name string) string { return `$."` + strings.ReplaceAll(name, ".", `"."`) + `"` }
	small := make([]string, len(steps))
	for i, s := range steps {
		_, n := utf8.DecodeRuneInString(s)
		small[i] = strings.ToLower(s[:n]) + s[n:]
	}
	names := []string{name}
	if s := strings.Join(small, "."); s != name {
		names = append(names, s)
	}
	if small[0] != "properties" {
		for _, n := range names[:len(names):len(names)] {
			names = append(names, "properties."+n)
		}
	}
	var out []string
	for _, n := range names {
		out = append(out, "nullif(json_extract_string("+record+", '"+quoted(n)+"'), 'null')")
	}
	x := out[0]
	if len(out) > 1 {
		x = "coalesce(" + strings.Join(out, ", ") + ")"
	}
	return text(x), nil
}

// must is inRecord of a name that is known to be good.
func must(name string) sigma.Value {
	v, err := inRecord(name)
	if err != nil {
		return text("NULL")
	}
	return v
}

// changes is a member of the modified properties that column detail keeps. Ten
// are looked at; the whole record, which follows, has the rest for contains.
func changes(member string) sigma.Field {
	var f sigma.Field
	for i := range 10 {
		f.Values = append(f.Values, text(detail(fmt.Sprintf("changes[%d].%s", i, member))))
	}
	f.Values = append(f.Values, whole())
	return f
}

// table is fields by lower-case name.
type table map[string]sigma.Field

func (t table) add(f sigma.Field, names ...string) {
	for _, n := range names {
		t[n] = f
	}
}

// common are fields that most of Microsoft's logs have under the same names.
func common() table {
	t := table{}
	t.add(values(operation()), "operation", "operationname", "activitydisplayname", "properties.activitydisplayname", "activitytype", "activity", "properties.message", "eventname")
	t.add(values(folded("actor"), text("actor_id")), "initiatedby", "userprincipalname", "properties.userprincipalname", "username", "userid", "user", "caller", "identity", "properties.initiatedby")
	t.add(field("ip"), "ipaddress", "calleripaddress", "clientip", "clientipaddress", "properties.ipaddress", "actoripaddress")
	t.add(field("app_id"), "appid", "properties.appid", "applicationid", "clientappid")
	t.add(field("app_name"), "appdisplayname", "properties.appdisplayname")
	t.add(field("user_agent"), "useragent", "properties.useragent")
	t.add(field("tenant"), "tenantid", "aadtenantid", "organizationid")
	t.add(field("corr_id"), "correlationid", "properties.correlationid")
	t.add(values(folded("outcome")), "status", "result", "properties.result")
	t.add(values(text("target"), text("target_id")), "target")
	t.add(values(whole()), "targetresources", "properties.targetresources", "additionaldetails", "properties.additionaldetails")
	return t
}

// signIn are the fields of Entra sign-ins: SignInLogs of Azure Monitor,
// SigninLogs of Log Analytics, signIn of Microsoft Graph.
func signIn() table {
	t := common()
	reason := []sigma.Value{text("reason"), text(detail("mfa"))}
	t.add(field("code"), "resulttype", "status.errorcode", "properties.status.errorcode", "errorcode")
	t.add(values(reason...), "resultdescription", "status.failurereason", "properties.status.failurereason", "status.additionaldetails", "properties.status.additionaldetails", "failurereason")
	t.add(values(append(reason, folded("outcome"))...), "status")
	t.add(values(sigma.Value{Text: detail("auth_requirement"), Folded: detail("auth_requirement"), Fold: func(s string, _, _ bool) string {
		return strings.TrimSuffix(strings.ToLower(s), "factorauthentication")
	}}), "authenticationrequirement", "properties.authenticationrequirement")
	t.add(values(without("protocol", " _-")), "properties.message", "authenticationprotocol", "properties.authenticationprotocol")
	// The vendor writes '' where there is no device.
	t.add(field("coalesce(device_id, '')"), "devicedetail.deviceid", "properties.devicedetail.deviceid")
	t.add(field(detail("trust_type")), "devicedetail.trusttype", "properties.devicedetail.trusttype")
	t.add(field(detail("compliant")), "devicedetail.iscompliant", "properties.devicedetail.iscompliant")
	t.add(field(detail("managed")), "devicedetail.ismanaged", "properties.devicedetail.ismanaged")
	t.add(field(detail("os")), "devicedetail.operatingsystem", "properties.devicedetail.operatingsystem")
	t.add(field(detail("ca")), "conditionalaccessstatus", "properties.conditionalaccessstatus")
	t.add(field(detail("risk_state")), "riskstate", "properties.riskstate")
	t.add(field(detail("risk")), "risklevelduringsignin", "properties.risklevelduringsignin")
	t.add(field("resource_name"), "resourcedisplayname", "properties.resourcedisplayname")
	t.add(field("resource_id"), "resourceid", "properties.resourceid", "resourceidentity")
	t.add(field("client"), "clientapp", "clientappused", "properties.clientappused")
	t.add(field("country"), "location", "location.countryorregion", "properties.location.countryorregion")
	t.add(field("workload"), "category")
	t.add(field("'Sign-ins'"), "activitydetails") // of every record of this log
	// '[]' is what rules ask for; ClickHouse returns no lists.
	t.add(values(must("networkLocationDetails"), text(`CASE WHEN regexp_matches(coalesce(record, raw), '(?i)"networkLocationDetails" *: *\[ *\]') THEN '[]' END`)), "networklocationdetails", "properties.networklocationdetails")
	return t
}

// directory are the fields of the Entra directory audit log.
func directory() table {
	t := common()
	t.add(field(detail("category")), "category", "properties.category")
	t.add(field(detail("service")), "loggedbyservice", "properties.loggedbyservice")
	t.add(field("reason"), "resultreason", "properties.resultreason", "resultdescription", "failure_status_reason")
	t.add(changes("name"), "targetresources.modifiedproperties.displayname", "properties.targetresources.modifiedproperties.displayname")
	t.add(changes("new"), "targetresources.modifiedproperties.newvalue", "properties.targetresources.modifiedproperties.newvalue")
	t.add(changes("old"), "targetresources.modifiedproperties.oldvalue", "properties.targetresources.modifiedproperties.oldvalue")
	t.add(values(whole()), "targetresources.modifiedproperties", "properties.targetresources.modifiedproperties", "modifiedproperties", "additionaldetails.additionalinfo")
	t.add(values(without("target_kind", " _")), "targetresources.type", "properties.targetresources.type")
	t.add(values(text("target"), text("target_id")), "targetresources.displayname", "targetresources.id", "targetresources.userprincipalname")
	t.add(field(detail("consent_admin")), "consentcontext.isadminconsent")
	t.add(field(detail("consent_app_only")), "consentcontext.isapponly")
	t.add(field(detail("consent_all")), "consentcontext.onbehalfofall")
	return t
}

// activity are the fields of the Azure activity log.
func activity() table {
	t := common()
	t.add(values(operation()), "operationname", "operationnamevalue", "properties.message", "authorization.action")
	t.add(field("workload"), "category", "categoryvalue", "properties.category")
	t.add(field("target"), "resourceid", "_resourceid")
	t.add(field("regexp_replace(operation, '/.*$', '')"), "resourceprovidervalue", "resourceprovider")
	t.add(field("code"), "resulttype", "activitystatusvalue")
	t.add(field(detail("role")), "properties.role")
	return t
}

// risk are the fields of risk detections.
func risk() table {
	t := common()
	t.add(values(operation()), "riskeventtype", "properties.riskeventtype")
	t.add(field(detail("risk")), "risklevel", "properties.risklevel")
	t.add(field(detail("risk_state")), "riskstate", "properties.riskstate")
	return t
}

// unified are the fields of the Microsoft 365 audit log. eventSource, eventName
// and status are its workload, operation and result; of an alert, eventName is
// its name.
func unified() table {
	t := common()
	alert := text("CASE WHEN class = 'alert' THEN " + must("Name").Text + " END")
	t.add(values(operation(), alert), "eventname")
	t.add(field("workload"), "workload", "eventsource")
	t.add(values(folded("outcome"), must("ResultStatus")), "resultstatus", "status")
	t.add(field(detail("request_type")), "requesttype")
	t.add(values(text("target_id"), must("ObjectId")), "objectid")
	t.add(field("code"), "errornumber", "errorcode")
	t.add(field("reason"), "logonerror")
	t.add(field("mailbox"), "mailboxownerupn")
	t.add(field("session_id"), "sessionid")
	t.add(field("client"), "clientinfostring")
	t.add(field("access"), "mailaccesstype")
	t.add(values(whole()), "payload", "parameters", "modifiedproperties", "extendedproperties", "operationproperties", "data")
	for _, n := range []string{"RecordType", "UserType", "Directionality", "DeliveryAction", "Name", "Source", "Severity", "SourceFileName", "SourceFileExtension", "SiteUrl", "ExternalAccess", "LogonType", "UserKey"} {
		t.add(values(must(n)), strings.ToLower(n))
	}
	return t
}

// Log returns the log of the event store that a log source is, empty for all of
// them and for a log source that is not known.
func Log(ls sigma.LogSource) string {
	s, err := find(ls)
	if err != nil {
		return ""
	}
	return string(s.is)
}
