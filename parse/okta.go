package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// Okta reads the Okta System Log: API and log stream JSON, and Sentinel's
// Okta_CL, whose columns are paths ("actor_alternateId_s").
//
// A record does not say which organization it is from; Tenant stays empty.
// Detail holds "display", "country" (Okta gives names), "city", "zone",
// "root_session", "step", "credential_type", "risk", "behaviors", "threat",
// "proxy", "targets".
//
// Source: Okta System Log API, object LogEvent, and the event types catalogue.
type Okta struct{}

// Name implements [Format].
func (Okta) Name() string { return "okta" }

// Doc implements [Format].
func (Okta) Doc() string { return "Okta System Log: API JSON, NDJSON, Sentinel Okta_CL" }

// Sniff implements [Format].
func (Okta) Sniff(r *Record) bool {
	v := r.Value
	if has(v, "eventType_s") && (has(v, "uuid_g") || has(v, "published_t") || has(v, "actor_id_s")) {
		return true
	}
	if !has(v, "eventType") || has(v, "CreationTime") {
		return false
	}
	return has(v, "uuid") || has(v, "actor") && (has(v, "published") || has(v, "outcome") || has(v, "client"))
}

// oktaRecord finds fields by their path in either form.
type oktaRecord struct {
	v    *fastjson.Value
	flat map[string]*fastjson.Value // folded column name without its type; nil for the nested form
}

func (o *oktaRecord) get(path ...string) *fastjson.Value {
	if o.flat != nil {
		var b strings.Builder
		for _, p := range path {
			b.WriteString(strings.ToLower(p))
		}
		v := o.flat[b.String()]
		if v != nil && string(text(v)) == "null" {
			return nil
		}
		return v
	}
	v := o.v
	for _, p := range path {
		if v = get(v, p); v == nil {
			return nil
		}
	}
	return v
}

func (o *oktaRecord) text(path ...string) []byte { return text(o.get(path...)) }

// Parse implements [Format].
func (x Okta) Parse(r *Record, s *Sink) error {
	if !x.Sniff(r) {
		return ErrNotMine
	}
	o := oktaRecord{v: r.Value}
	if has(r.Value, "eventType_s") {
		o.flat = make(map[string]*fastjson.Value)
		r.Value.GetObject().Visit(func(key []byte, v *fastjson.Value) {
			key = bytes.TrimSuffix(key, []byte(" [UTC]"))
			if i := bytes.LastIndexByte(key, '_'); i > 0 && len(key)-i == 2 {
				key = key[:i]
			}
			var buf keyBuf
			if k := foldKey(buf[:], key); len(k) > 0 && !isEmpty(v) {
				o.flat[string(k)] = v
			}
		})
	}
	e := s.Event(event.Okta)
	e.NativeID = s.Lower(o.text("uuid"))
	var t eventTime
	setTime(&t, o.get("published"), o.get("TimeGenerated"))
	e.Time = t.us
	e.Operation = s.Operation(o.text("eventType"))
	e.Class = oktaClass(e.Operation)
	e.Workload = "Okta"
	switch result := string(bytes.ToUpper(o.text("outcome", "result"))); result {
	case "SUCCESS", "ALLOW":
		e.Outcome = event.Success
	case "FAILURE", "DENY":
		e.Outcome = event.Failure
	case "CHALLENGE":
		e.Outcome = event.Interrupted
	}
	reason := o.text("outcome", "reason")
	e.Reason = s.Bytes(reason)
	if !bytes.ContainsAny(reason, " :") { // INVALID_CREDENTIALS, but not sentences
		e.Code = s.Bytes(reason)
	}

	e.Actor = s.Lower(o.text("actor", "alternateId"))
	e.ActorID = s.Lower(o.text("actor", "id"))
	switch kind := o.text("actor", "type"); {
	case containsFold(kind, "client"), containsFold(kind, "appinstance"), containsFold(kind, "serviceaccount"):
		e.ActorKind = event.ActorApp
		e.AppID = e.ActorID
		e.AppName = s.Bytes(o.text("actor", "displayName"))
	case containsFold(kind, "system"):
		e.ActorKind = event.ActorService
	case containsFold(kind, "user"):
		e.ActorKind = event.ActorUser
	}
	if e.Actor == "" || e.Actor == "unknown" {
		if b := o.text("actor", "displayName"); len(b) > 0 {
			e.Actor = s.Lower(b)
		}
	}
	s.SetIP(e, o.text("client", "ipAddress"))
	if e.IP == "" {
		e.Flags &^= event.FlagIPUnparsed
		if chain := r.array(o.get("request", "ipChain")); len(chain) > 0 {
			s.SetIP(e, str(chain[0], "ip"))
		}
	}
	e.UserAgent = s.Bytes(o.text("client", "userAgent", "rawUserAgent"))
	e.Client = s.Bytes(o.text("client", "device"))
	if n, ok := integer(o.get("securityContext", "asNumber")); ok && n > 0 && n <= 1<<32-1 {
		e.ASN = uint32(n)
	}
	e.ASOrg = s.Bytes(o.text("securityContext", "asOrg"))
	place := o.text("client", "geographicalContext", "country")
	e.Country = s.Copy(country(place))
	e.SessionID = s.Bytes(o.text("authenticationContext", "externalSessionId"))
	if e.SessionID == "unknown" {
		e.SessionID = ""
	}
	e.DeviceID = s.Lower(o.text("device", "id"))
	e.CorrID = s.Lower(o.text("transaction", "id"))
	e.RequestID = s.Lower(o.text("debugContext", "debugData", "requestId"))

	var buf [512]byte
	d := detailWriter{buf: buf[:0]}
	d.put("display", o.text("displayMessage"))
	d.put("country", place)
	d.put("city", o.text("client", "geographicalContext", "city"))
	d.put("zone", noNull(o.text("client", "zone")))
	d.put("root_session", noNull(o.text("authenticationContext", "rootSessionId")))
	d.put("credential_type", noNull(o.text("authenticationContext", "credentialType")))
	d.put("provider", noNull(o.text("authenticationContext", "authenticationProvider")))
	d.put("risk", o.text("debugContext", "debugData", "risk"))
	d.put("behaviors", o.text("debugContext", "debugData", "behaviors"))
	if b := boolean(o.get("debugContext", "debugData", "threatSuspected")); b != nil && *b {
		d.putBool("threat", b)
	}
	if b := boolean(o.get("securityContext", "isProxy")); b != nil && *b {
		d.putBool("proxy", b)
	}
	x.targets(r, e, &o, &d, s)
	e.Detail = s.Bytes(d.bytes())
	return nil
}

func noNull(b []byte) []byte {
	if string(b) == "null" {
		return nil
	}
	return b
}

// targets picks the target of an event: a user or group before what it was
// given, an application as the application.
func (Okta) targets(r *Record, e *event.Event, o *oktaRecord, d *detailWriter, s *Sink) {
	list := r.array(o.get("target"))
	main := -1
	var names []string
	for i, t := range list {
		kind := str(t, "type")
		switch {
		case containsFold(kind, "appinstance"):
			if e.AppID == "" {
				e.AppID = s.Lower(str(t, "id"))
				e.AppName = s.Bytes(firstText(get(t, "displayName"), get(t, "alternateId")))
			}
			if main < 0 {
				main = i
			}
		case main < 0, containsFold(kind, "user") && !containsFold(str(list[main], "type"), "user"):
			main = i
		}
		if n := firstText(get(t, "alternateId"), get(t, "displayName")); len(n) > 0 && len(names) < 8 {
			names = append(names, string(n))
		}
	}
	if main >= 0 {
		t := list[main]
		e.TargetID = s.Lower(str(t, "id"))
		e.TargetKind = s.Copy(snake(string(str(t, "type"))))
		if strings.EqualFold(e.TargetKind, "user") {
			e.Target = s.Lower(firstText(get(t, "alternateId"), get(t, "displayName")))
		} else {
			e.Target = s.Bytes(firstText(get(t, "displayName"), get(t, "alternateId")))
		}
	}
	if len(names) > 1 {
		d.putString("targets", cut(strings.Join(names, ", "), 300))
	}
}

// oktaClass gives the class of an event type.
// Source: Okta event types catalogue.
func oktaClass(op string) event.Class {
	switch op {
	case "user.session.start", "user.authentication.sso", "user.authentication.verify", "user.authentication.authenticate", "user.mfa.attempt_bypass":
		return event.ClassSignIn
	case "user.session.clear", "user.session.expire", "user.authentication.universal_logout":
		return event.ClassSessionRevoke
	case "app.oauth2.as.consent.grant", "app.oauth2.consent.grant", "app.oauth2.as.consent.grant.user":
		return event.ClassConsent
	case "application.lifecycle.create":
		return event.ClassAppCreate
	case "system.api_token.create", "app.oauth2.client.lifecycle.secret.create", "app.oauth2.client_secret.create", "app.oauth2.credentials.lifecycle.create", "app.oauth2.client.privilege.grant":
		return event.ClassCredentialAdd
	case "user.account.privilege.grant", "group.privilege.grant", "iam.role.assign":
		return event.ClassRoleAdd
	case "group.user_membership.add":
		return event.ClassGroupAdd
	case "user.lifecycle.create", "user.lifecycle.activate":
		return event.ClassUserCreate
	case "user.lifecycle.delete.initiated", "user.lifecycle.delete.completed", "user.lifecycle.deactivate":
		return event.ClassUserDelete
	case "user.account.reset_password", "user.account.update_password", "user.credential.forgot_password", "user.account.expire_password":
		return event.ClassPasswordReset
	case "user.account.unlock", "user.account.lock", "user.account.update_profile", "user.lifecycle.suspend", "user.lifecycle.unsuspend", "user.account.update_primary_email", "user.account.update_secondary_email":
		return event.ClassUserUpdate
	case "security.threat.detected", "user.account.report_suspicious_activity_by_enduser", "user.risk.detect", "policy.entity_risk.evaluate", "security.attack.start", "security.breached_credential.detected":
		return event.ClassAlert
	case "system.agent.ad.config_change_detected":
		return event.ClassAdmin
	}
	switch {
	case strings.HasPrefix(op, "user.authentication.auth_via_"), strings.HasPrefix(op, "app.oauth2.as.token.grant"), strings.HasPrefix(op, "app.oauth2.token.grant"), strings.HasPrefix(op, "app.oauth2.authorize"):
		return event.ClassSignIn
	case strings.HasPrefix(op, "user.mfa."), strings.HasPrefix(op, "system.mfa."), strings.HasPrefix(op, "user.credential.enroll"):
		return event.ClassAuthMethod
	case strings.HasPrefix(op, "system.idp."), strings.HasPrefix(op, "org.trusted_origin"), strings.HasPrefix(op, "master_application."):
		return event.ClassFederation
	case strings.HasPrefix(op, "policy.lifecycle"), strings.HasPrefix(op, "policy.rule"), strings.HasPrefix(op, "zone."):
		return event.ClassPolicy
	case strings.HasPrefix(op, "application."):
		return event.ClassAppUpdate
	case strings.HasPrefix(op, "device."):
		return event.ClassDevice
	case strings.HasPrefix(op, "user.session.impersonation"), strings.HasPrefix(op, "user.session.access_admin_app"), strings.HasPrefix(op, "system."), strings.HasPrefix(op, "iam."):
		return event.ClassAdmin
	}
	return event.ClassOther
}
