package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// Google reads Google Workspace activity reports: the Reports API, where
// events is a list, Beats and Elastic, where it is one object, and copies that
// lift the event to the top (Sentinel, Panther). An activity with several
// events becomes several events.
//
// Workload is the application whose log it is (login, admin, drive, token,
// ...). Detail holds "type" and "params", the event's parameters as text.
//
// Source: Google Workspace Admin SDK, Reports API, resource activities.
type Google struct{}

// Name implements [Format].
func (Google) Name() string { return "google" }

// Doc implements [Format].
func (Google) Doc() string {
	return "Google Workspace activity reports: Reports API, Beats, Sentinel"
}

// Sniff implements [Format].
func (Google) Sniff(r *Record) bool {
	v := r.Value
	if string(str(v, "kind")) == "admin#reports#activity" && has(v, "id") {
		return true
	}
	if id := get(v, "id"); id != nil && id.Type() == fastjson.TypeObject {
		return has(id, "applicationName") && (has(v, "events") || has(v, "name") || has(v, "event_name") || has(v, "actor") || has(v, "type"))
	}
	return (has(v, "id_applicationName_s") || has(v, "id_applicationName")) && (has(v, "event_name_s") || has(v, "event_name") || has(v, "actor_email_s") || has(v, "actor_email"))
}

// googleActivity is what the events of an activity share.
type googleActivity struct {
	time, qualifier, app, customer   *fastjson.Value
	email, profile, key, caller      *fastjson.Value
	ip, region, domain, asn          *fastjson.Value
	name, typ, parameters, rootValue *fastjson.Value
}

// Parse implements [Format].
func (x Google) Parse(r *Record, s *Sink) error {
	if !x.Sniff(r) {
		return ErrNotMine
	}
	v := r.Value
	id, actor, network := get(v, "id"), get(v, "actor"), get(v, "networkInfo")
	a := googleActivity{
		time: get(id, "time"), qualifier: get(id, "uniqueQualifier"), app: get(id, "applicationName"), customer: get(id, "customerId"),
		email: get(actor, "email"), profile: get(actor, "profileId"), key: get(actor, "key"), caller: get(actor, "callerType"),
		ip: get(v, "ipAddress", "IPAddress"), region: get(network, "regionCode"), asn: get(network, "ipAsn"), domain: get(v, "ownerDomain"),
	}
	if id == nil || id.Type() != fastjson.TypeObject { // Sentinel's flattened columns
		a.time = get(v, "id_time_t", "id_time", "TimeGenerated")
		a.qualifier = get(v, "id_uniqueQualifier_s", "id_uniqueQualifier")
		a.app = get(v, "id_applicationName_s", "id_applicationName")
		a.customer = get(v, "id_customerId_s", "id_customerId")
	}
	if actor == nil {
		a.email, a.profile = get(v, "actor_email_s", "actor_email"), get(v, "actor_profileId_s", "actor_profileId")
		a.caller = get(v, "actor_callerType_s", "actor_callerType")
	}
	events, _ := r.open(get(v, "events"))
	switch {
	case events != nil && events.Type() == fastjson.TypeArray && len(events.GetArray()) > 0:
		list := events.GetArray()
		for i, ev := range list {
			a.name, a.typ, a.parameters = get(ev, "name"), get(ev, "type"), get(ev, "parameters")
			suffix := ""
			if len(list) > 1 {
				suffix = "#" + itoa(i)
			}
			x.add(r, &a, suffix, s)
		}
	case events != nil && events.Type() == fastjson.TypeObject:
		a.name, a.typ, a.parameters = get(events, "name"), get(events, "type"), get(events, "parameters")
		x.add(r, &a, "", s)
	default:
		a.name, a.typ, a.parameters = get(v, "name", "event_name", "event_name_s"), get(v, "type", "event_type", "event_type_s"), get(v, "parameters")
		if a.parameters == nil && (has(v, "event_name") || has(v, "event_name_s")) {
			a.rootValue = v
		}
		x.add(r, &a, "", s)
	}
	return nil
}

// maxParams bounds what detail keeps of an event's parameters.
const (
	maxParams     = 40
	maxParamValue = 500
)

func (Google) add(r *Record, a *googleActivity, suffix string, s *Sink) {
	e := s.Event(event.Google)
	app := text(a.app)
	e.Workload = s.Lower(app)
	var t eventTime
	setTime(&t, a.time)
	e.Time = t.us
	e.Tenant = s.Lower(text(a.customer))
	if q := text(a.qualifier); len(q) > 0 && len(text(a.time)) > 0 {
		e.NativeID = s.Copy(string(text(a.time)) + "|" + string(q) + "|" + string(app) + suffix)
	}
	e.Operation = s.Operation(text(a.name))
	e.Class = googleClass(e.Workload, e.Operation, string(text(a.typ)))
	e.Outcome = googleOutcome(e.Operation)
	e.Actor = s.Lower(firstText(a.email, a.key, a.profile))
	e.ActorID = s.Lower(text(a.profile))
	switch {
	case len(text(a.email)) > 0:
		e.ActorKind = event.ActorUser
		if strings.HasSuffix(e.Actor, ".gserviceaccount.com") {
			e.ActorKind = event.ActorApp
		}
	case string(text(a.caller)) == "KEY":
		e.ActorKind = event.ActorService
	case string(text(a.caller)) == "APPLICATION":
		e.ActorKind = event.ActorApp
	}
	s.SetIP(e, text(a.ip))
	e.Country = s.Copy(country(text(a.region)))
	asn := a.asn
	if asn != nil && len(asn.GetArray()) > 0 {
		asn = asn.GetArray()[0]
	}
	if n, ok := integer(asn); ok && n > 0 && n <= 1<<32-1 {
		e.ASN = uint32(n)
	}

	var dbuf [256]byte
	var pbuf [1024]byte
	d, p := detailWriter{buf: dbuf[:0]}, detailWriter{buf: pbuf[:0]}
	d.put("type", text(a.typ))
	n := 0
	param := func(name, value []byte) {
		if len(name) == 0 || len(value) == 0 {
			return
		}
		googleParam(e, name, value, s)
		if n < maxParams {
			n++
			if len(value) > maxParamValue {
				value = value[:maxParamValue]
			}
			p.text(view(name), view(value))
		}
	}
	list, _ := r.open(a.parameters)
	switch {
	case list != nil && list.Type() == fastjson.TypeArray:
		for _, v := range list.GetArray() {
			param(str(v, "name"), googleValue(v))
		}
	case list != nil:
		list.GetObject().Visit(func(key []byte, v *fastjson.Value) { param(key, plainJSON(v)) })
	case a.rootValue != nil:
		a.rootValue.GetObject().Visit(func(key []byte, v *fastjson.Value) {
			switch string(key) {
			case "id", "actor", "events", "event_name", "event_type", "kind", "etag", "ipAddress", "networkInfo", "ownerDomain":
				return
			}
			param(bytes.TrimSuffix(key, []byte("_s")), plainJSON(v))
		})
	}
	if b := p.bytes(); b != nil {
		d.raw("params", b)
	}
	e.Detail = s.Bytes(d.bytes())
}

// googleValue reads a parameter's value, which stands under one of several
// names. Lists are joined by spaces; messages keep their JSON.
func googleValue(v *fastjson.Value) []byte {
	for _, name := range [...]string{"value", "intValue", "boolValue"} {
		if x := v.Get(name); x != nil {
			return plainJSON(x)
		}
	}
	for _, name := range [...]string{"multiValue", "multiIntValue", "multiBoolValue", "messageValue", "multiMessageValue"} {
		if x := v.Get(name); x != nil {
			return plainJSON(x)
		}
	}
	return nil
}

// plainJSON is a value as text: scalars as they are, lists of scalars joined by
// spaces, anything else as JSON.
func plainJSON(v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeNull:
		return nil
	case fastjson.TypeObject:
		return appendJSONValue(nil, v)
	case fastjson.TypeArray:
		var out []byte
		for i, x := range v.GetArray() {
			if x.Type() == fastjson.TypeObject || x.Type() == fastjson.TypeArray {
				return appendJSONValue(nil, v)
			}
			if i > 0 {
				out = append(out, ' ')
			}
			out = append(out, text(x)...)
		}
		return out
	}
	return text(v)
}

// googleParam fills in the columns that a parameter is about.
func googleParam(e *event.Event, name, value []byte, s *Sink) {
	var buf keyBuf
	switch string(foldKey(buf[:], name)) {
	case "clientid":
		e.AppID = s.Lower(value)
	case "appname", "applicationname":
		if e.AppName == "" {
			e.AppName = s.Bytes(value)
		}
	case "scope":
		e.Permissions = s.Bytes(value)
	case "logintype":
		e.Protocol = s.Lower(value)
	case "loginfailuretype", "failuretype", "eventresult":
		e.Code = s.Bytes(value)
	case "useragent":
		e.UserAgent = s.Bytes(value)
	case "deviceid":
		e.DeviceID = s.Lower(value)
	case "useremail", "affectedemailaddress", "targetuser":
		if e.Target == "" || e.TargetKind != "user" {
			e.Target, e.TargetKind = s.Lower(value), "user"
		}
	case "doctitle":
		if e.Target == "" {
			e.Target, e.TargetKind = s.Bytes(value), "file"
		}
	case "docid":
		e.TargetID = s.Bytes(value)
	case "groupemail":
		if e.Target == "" {
			e.Target, e.TargetKind = s.Lower(value), "group"
		}
	case "emailforwardingdestinationaddress":
		e.Recipients = s.Lower(value)
	case "rfc2822messageid", "messageid":
		e.MessageID = s.Bytes(trimMessageID(value))
	}
}

func googleOutcome(op string) event.Outcome {
	switch {
	case strings.Contains(op, "login_challenge"):
		return event.Interrupted
	case strings.Contains(op, "failure"), strings.Contains(op, "failed"), strings.Contains(op, "deny"), strings.Contains(op, "blocked"):
		return event.Failure
	case op == "":
		return event.Unknown
	}
	return event.Success // an activity report tells what came about
}

// googleClass gives the class of an event of an application's report.
// Source: Reports API, "Activity events" of each application.
func googleClass(app, op, typ string) event.Class {
	switch op {
	case "email_forwarding_out_of_domain", "change_email_forwarding", "email_forwarding_change":
		return event.ClassForwarding
	case "2sv_disable", "2sv_enroll", "titanium_enroll", "titanium_unenroll", "recovery_email_edit", "recovery_phone_edit", "recovery_secret_qa_edit",
		"turn_off_2_step_verification", "unenroll_user_from_strong_auth", "enforce_strong_authentication", "allow_strong_authentication", "reset_signin_cookies",
		"add_security_key", "passkey_enrolled", "passkey_removed":
		return event.ClassAuthMethod
	case "password_edit", "change_password", "change_password_on_next_login", "generate_pin":
		return event.ClassPasswordReset
	case "assign_role", "grant_admin_privilege", "grant_delegated_admin_privileges", "create_role", "add_privilege", "update_role":
		return event.ClassRoleAdd
	case "create_user":
		return event.ClassUserCreate
	case "delete_user":
		return event.ClassUserDelete
	case "add_trusted_domains", "sso_enabled", "change_sso_settings", "toggle_sso_enabled", "add_domain_alias", "add_secondary_domain", "sso_profile_created", "sso_profile_updated", "inbound_sso_profile_created":
		return event.ClassFederation
	case "authorize_api_client_access", "add_application", "add_to_trusted_oauth2_apps":
		return event.ClassAppRoleGrant // domain-wide delegation: for every user
	case "add_group_member", "add_user", "add_member", "join", "accept_invitation":
		if app == "admin" || app == "groups" || app == "groups_enterprise" {
			return event.ClassGroupAdd
		}
	case "create_mail_routing", "change_gmail_setting", "create_gmail_setting", "delete_gmail_setting":
		return event.ClassTransportRule
	case "create_data_transfer_request", "email_log_search", "investigation_query", "export":
		if app == "admin" || app == "vault" {
			return event.ClassSearch
		}
	}
	switch app {
	case "login":
		switch {
		case op == "logout":
			return event.ClassOther
		case strings.HasPrefix(op, "login_"):
			return event.ClassSignIn
		case strings.HasPrefix(op, "suspicious"), strings.Contains(op, "disabled"), strings.Contains(op, "attack"), typ == "account_warning", typ == "attack_warning":
			return event.ClassAlert
		}
	case "saml":
		return event.ClassSignIn
	case "token":
		switch op {
		case "authorize", "request":
			return event.ClassConsent
		case "revoke":
			return event.ClassAppUpdate
		}
	case "drive":
		switch op {
		case "view", "download", "preview", "print", "copy", "source_copy", "sheets_import_range", "access_item_content", "prefetch_item_content", "sync_item_content", "email_as_attachment":
			return event.ClassFileAccess
		}
		switch {
		case strings.HasPrefix(op, "change_"), strings.HasPrefix(op, "shared_drive_membership"), strings.HasPrefix(op, "team_drive_membership"), op == "acl_change", op == "publish_change", strings.Contains(op, "expiration"):
			return event.ClassSharing
		}
		return event.ClassFileChange
	case "gmail":
		switch {
		case strings.Contains(op, "view"), strings.Contains(op, "open"), strings.Contains(op, "download"):
			return event.ClassMailAccess
		case strings.Contains(op, "send"):
			return event.ClassMailSend
		}
		return event.ClassMessageTrace
	case "alerts", "rules":
		return event.ClassAlert
	case "admin":
		return event.ClassAdmin
	case "user_accounts":
		return event.ClassUserUpdate
	case "context_aware_access":
		return event.ClassSignIn
	}
	return event.ClassOther
}
