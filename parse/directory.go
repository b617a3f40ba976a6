package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// Directory reads the Entra audit log: Graph directoryAudit, Azure Monitor,
// Log Analytics, and the portal's CSV, which keeps five modified properties of
// three targets and no id.
//
// Detail holds "service" (loggedByService), "category", "performed_by", the
// members that [applyDirectoryChanges] describes, and "also" (names of further
// targets).
//
// Source: Microsoft Graph resource type directoryAudit; Azure Monitor table
// AuditLogs.
type Directory struct{}

// Name implements [Format].
func (Directory) Name() string { return "entra_audit" }

// Doc implements [Format].
func (Directory) Doc() string {
	return "Entra audit log: Graph directoryAudit, Azure Monitor, Log Analytics, portal CSV"
}

// Sniff implements [Format].
func (x Directory) Sniff(r *Record) bool {
	var f directoryFields
	return x.read(r, &f)
}

type directoryFields struct {
	table, portal bool

	id, when, generated, arrival, correlation, operation, activity         *fastjson.Value
	result, resultReason, resultType, resultDescription, service, category *fastjson.Value
	initiatedBy, targets, additional, performedBy                          *fastjson.Value
	userAgent, ip, tenant, aadTenant, resourcePath, identity, typ          *fastjson.Value
	actorType, actorName, actorID, actorUPN, actorSP, actorSPName          *fastjson.Value
	targetN                                                                [3]portalTarget
	detailKey, detailValue                                                 [6]*fastjson.Value
}

// portalTarget is one of the three targets of a row of the portal's CSV.
type portalTarget struct {
	typ, name, id, upn *fastjson.Value
	props              [5]struct{ name, old, new *fastjson.Value }
}

func (f *directoryFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	k := foldKey(buf[:], key)
	switch string(k) {
	case "id":
		set(&f.id, v)
	case "activitydatetime", "dateutc":
		set(&f.when, v)
	case "timegenerated":
		set(&f.generated, v)
	case "time":
		set(&f.arrival, v)
	case "correlationid":
		set(&f.correlation, v)
	case "operationname":
		set(&f.operation, v)
	case "activitydisplayname", "activity":
		set(&f.activity, v)
	case "result":
		set(&f.result, v)
	case "resultreason":
		set(&f.resultReason, v)
	case "resulttype":
		set(&f.resultType, v)
	case "resultdescription":
		set(&f.resultDescription, v)
	case "loggedbyservice", "service":
		set(&f.service, v)
	case "category":
		set(&f.category, v)
	case "initiatedby":
		set(&f.initiatedBy, v)
	case "performedby":
		set(&f.performedBy, v)
	case "targetresources":
		set(&f.targets, v)
	case "additionaldetails":
		set(&f.additional, v)
	case "useragent":
		set(&f.userAgent, v)
	case "calleripaddress", "ipaddress":
		set(&f.ip, v)
	case "tenantid":
		set(&f.tenant, v)
	case "aadtenantid":
		set(&f.aadTenant, v)
	case "resourceid":
		set(&f.resourcePath, v)
	case "identity":
		set(&f.identity, v)
	case "type", "table":
		set(&f.typ, v)
	case "actortype":
		set(&f.actorType, v)
	case "actordisplayname":
		set(&f.actorName, v)
	case "actorobjectid":
		set(&f.actorID, v)
	case "actoruserprincipalname":
		set(&f.actorUPN, v)
	case "actorserviceprincipalid":
		set(&f.actorSP, v)
	case "actorserviceprincipalname":
		set(&f.actorSPName, v)
	default:
		f.visitPortal(k, v)
	}
}

// visitPortal reads Target1DisplayName, Target2ModifiedProperty3NewValue,
// AdditionalDetail1Key and the like.
func (f *directoryFields) visitPortal(k []byte, v *fastjson.Value) {
	if rest, ok := bytes.CutPrefix(k, []byte("additionaldetail")); ok && len(rest) > 1 {
		if n := int(rest[0]) - '1'; n >= 0 && n < len(f.detailKey) {
			switch string(rest[1:]) {
			case "key":
				set(&f.detailKey[n], v)
			case "value":
				set(&f.detailValue[n], v)
			}
		}
		return
	}
	rest, ok := bytes.CutPrefix(k, []byte("target"))
	if !ok || len(rest) < 2 || rest[0] < '1' || rest[0] > '3' {
		return
	}
	t := &f.targetN[rest[0]-'1']
	switch rest = rest[1:]; string(rest) {
	case "type":
		set(&t.typ, v)
	case "displayname":
		set(&t.name, v)
	case "objectid":
		set(&t.id, v)
	case "userprincipalname":
		set(&t.upn, v)
	default:
		if rest, ok = bytes.CutPrefix(rest, []byte("modifiedproperty")); !ok || len(rest) < 2 || rest[0] < '1' || rest[0] > '5' {
			return
		}
		p := &t.props[rest[0]-'1']
		switch string(rest[1:]) {
		case "name":
			set(&p.name, v)
		case "oldvalue":
			set(&p.old, v)
		case "newvalue":
			set(&p.new, v)
		}
	}
}

// read fills f and reports whether r is of the audit log.
func (Directory) read(r *Record, f *directoryFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	if props, _ := r.open(get(r.Value, "properties")); props != nil && props.Type() == fastjson.TypeObject {
		// Intune's audit log has the category AuditLogs too.
		if !has(props, "activityDisplayName") && !has(props, "targetResources") && !has(props, "loggedByService") {
			return false
		}
		props.GetObject().Visit(f.visit)
		o.Visit(f.visit)
		return f.operation != nil || f.activity != nil
	}
	o.Visit(f.visit)
	f.table = f.generated != nil
	switch {
	case f.when != nil && f.activity != nil && (f.actorType != nil || has(r.Value, "ActorType") || has(r.Value, "Target1ObjectId")):
		f.portal = true
		return true
	case f.activity != nil && f.when != nil && (f.targets != nil || f.initiatedBy != nil):
		return true
	case f.initiatedBy != nil && f.targets != nil && f.operation != nil:
		return true
	case f.operation != nil && f.table && string(text(f.typ)) == "AuditLogs":
		return true
	}
	return false
}

// directoryTarget is one thing that an operation acted on.
type directoryTarget struct{ kind, name, id string }

// Parse implements [Format].
func (x Directory) Parse(r *Record, s *Sink) error {
	var f directoryFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	e := s.Event(event.DirectoryLog)
	e.NativeID = s.Lower(text(f.id))
	var t eventTime
	setTime(&t, f.when, f.generated, f.arrival)
	e.Time = t.us
	if t.ambiguous && f.portal {
		e.Flags |= event.FlagAmbiguousDate
	}
	op := text(f.activity)
	if len(op) == 0 {
		op = text(f.operation)
	}
	e.Operation = s.Operation(op)
	e.Class = ClassOf(e.Operation)
	e.Workload = "AzureActiveDirectory"
	e.CorrID = s.Lower(text(f.correlation))
	switch {
	case f.aadTenant != nil:
		e.Tenant = s.Lower(text(f.aadTenant))
	case f.tenant != nil && !f.table:
		e.Tenant = s.Lower(text(f.tenant))
	default:
		e.Tenant = s.Lower(tenantOfPath(text(f.resourcePath)))
	}
	x.outcome(e, &f, s)
	x.actor(r, e, &f, s)
	x.agent(r, e, &f, s)

	targets, changes, destroyed := x.targets(r, &f)
	if destroyed {
		e.Flags |= event.FlagDestroyed
	}
	var buf [256]byte
	d := detailWriter{buf: buf[:0]}
	d.put("service", text(f.service))
	if b := text(f.category); !bytes.EqualFold(b, []byte("AuditLogs")) {
		d.put("category", b)
	}
	if p, _ := r.open(f.performedBy); p != nil {
		d.put("performed_by", str(get(p, "user"), "userPrincipalName"))
		d.put("performed_by_app", str(get(p, "app"), "displayName"))
	}
	main := mainTarget(e.Class, targets)
	var also []string
	for i, t := range targets {
		switch {
		case i == main:
			e.Target, e.TargetID, e.TargetKind = s.Copy(t.name), s.Copy(t.id), t.kind
		case t.kind == "role" && e.Class == event.ClassRoleAdd:
			d.putString("role", t.name)
			d.putString("role_id", t.id)
		case t.name != "":
			also = append(also, t.name)
		}
	}
	if len(also) > 0 {
		d.putString("also", cut(strings.Join(also, ", "), 200))
	}
	e.Detail = s.Bytes(d.bytes())
	applyDirectoryChanges(s, e, changes)
	x.client(e, targets, s)
	return nil
}

func (Directory) outcome(e *event.Event, f *directoryFields, s *Sink) {
	b := text(f.result)
	if len(b) == 0 {
		b = text(f.resultType)
	}
	switch {
	case len(b) == 0:
	case strings.EqualFold(string(b), "success"), string(b) == "0":
		e.Outcome = event.Success
	case containsFold(b, "fail"), strings.EqualFold(string(b), "timeout"), strings.EqualFold(string(b), "interrupted"):
		e.Outcome = event.Failure
	}
	if e.Reason = s.Bytes(text(f.resultReason)); e.Reason == "" {
		e.Reason = s.Bytes(text(f.resultDescription))
	}
}

func (Directory) actor(r *Record, e *event.Event, f *directoryFields, s *Sink) {
	by, destroyed := r.open(f.initiatedBy)
	if destroyed {
		e.Flags |= event.FlagDestroyed
	}
	user, app := get(by, "user"), get(by, "app")
	switch {
	case user != nil && (len(str(user, "id")) > 0 || len(str(user, "userPrincipalName")) > 0 || app == nil):
		e.ActorKind = event.ActorUser
		if containsFold(str(user, "userType"), "guest") {
			e.ActorKind = event.ActorGuest
		}
		e.ActorID = s.Lower(str(user, "id"))
		e.Actor = s.Lower(firstText(get(user, "userPrincipalName"), get(user, "displayName"), get(user, "id")))
		s.SetIP(e, str(user, "ipAddress"))
	case app != nil:
		e.ActorKind = event.ActorApp
		e.AppID = s.Lower(str(app, "appId"))
		e.AppName = s.Bytes(firstText(get(app, "displayName"), get(app, "servicePrincipalName")))
		e.SPID = s.Lower(str(app, "servicePrincipalId"))
		e.ActorID = e.SPID
		e.Actor = s.Lower(firstText(get(app, "displayName"), get(app, "servicePrincipalName"), get(app, "servicePrincipalId"), get(app, "appId")))
	case f.actorType != nil || f.actorID != nil || f.actorUPN != nil: // portal CSV
		e.ActorKind = event.ActorUser
		e.ActorID = s.Lower(text(f.actorID))
		e.Actor = s.Lower(firstText(f.actorUPN, f.actorName, f.actorSPName, f.actorID))
		if containsFold(text(f.actorType), "app") || containsFold(text(f.actorType), "serviceprincipal") {
			e.ActorKind = event.ActorApp
			e.SPID = s.Lower(text(f.actorSP))
			e.AppName = s.Bytes(firstText(f.actorName, f.actorSPName))
		}
	default:
		e.Actor = s.Lower(text(f.identity))
	}
	if link, _ := r.open(get(by, "linkableIdentifiers")); link != nil {
		e.SessionID = s.Bytes(str(link, "sessionId"))
		e.DeviceID = s.Lower(str(link, "deviceId"))
		if tok := str(get(link, "tokenDetails"), "uniqueTokenIdentifier"); len(tok) > 0 {
			e.TokenID = s.Copy(event.TokenID(string(tok)))
		}
	}
	if e.IP == "" {
		if b := text(f.ip); len(b) > 0 {
			e.Flags &^= event.FlagIPUnparsed
			s.SetIP(e, b)
		}
	}
}

// firstText returns the first of the values that says something.
func firstText(vs ...*fastjson.Value) []byte {
	for _, v := range vs {
		if b := text(v); len(b) > 0 {
			return b
		}
	}
	return nil
}

func (Directory) agent(r *Record, e *event.Event, f *directoryFields, s *Sink) {
	ua := text(f.userAgent)
	for _, p := range r.array(f.additional) {
		if len(ua) == 0 && containsFold(str(p, "key"), "user-agent") {
			ua = str(p, "value")
		}
	}
	for i, k := range f.detailKey {
		if len(ua) == 0 && containsFold(text(k), "user-agent") {
			ua = text(f.detailValue[i])
		}
	}
	e.UserAgent = s.Bytes(ua)
}

// targets returns the record's targets and the modified properties of all.
func (Directory) targets(r *Record, f *directoryFields) (targets []directoryTarget, changes []change, destroyed bool) {
	if f.targets == nil {
		for i := range f.targetN {
			p := &f.targetN[i]
			if p.typ == nil && p.name == nil && p.id == nil && p.upn == nil {
				continue
			}
			targets = append(targets, directoryTarget{
				kind: snake(string(text(p.typ))), id: strings.ToLower(string(text(p.id))), name: targetName(p.upn, p.name),
			})
			for _, m := range p.props {
				if m.name != nil {
					changes = append(changes, change{string(text(m.name)), string(text(m.old)), string(text(m.new))})
				}
			}
		}
		return targets, changes, false
	}
	if _, d := r.open(f.targets); d {
		return nil, nil, true
	}
	for _, v := range r.array(f.targets) {
		if v.Type() == fastjson.TypeString { // "@{id=...}"
			b, _ := v.StringBytes()
			destroyed = destroyed || isDestroyed(string(b))
			continue
		}
		targets = append(targets, directoryTarget{
			kind: snake(string(str(v, "type"))), id: strings.ToLower(string(str(v, "id"))), name: targetName(get(v, "userPrincipalName"), get(v, "displayName")),
		})
		props := get(v, "modifiedProperties")
		if _, d := r.open(props); d {
			destroyed = true
			continue
		}
		for _, m := range r.array(props) {
			if m.Type() == fastjson.TypeObject {
				changes = append(changes, change{string(str(m, "displayName", "name")), valueText(get(m, "oldValue")), valueText(get(m, "newValue"))})
			} else if b := text(m); isDestroyed(string(b)) {
				destroyed = true
			}
		}
	}
	return targets, changes, destroyed
}

// valueText is a property's value as text, whether the exporter left it as the
// text it was or made JSON of it.
func valueText(v *fastjson.Value) string {
	switch {
	case v == nil:
		return ""
	case v.Type() == fastjson.TypeObject, v.Type() == fastjson.TypeArray:
		return string(appendJSONValue(nil, v))
	}
	return string(text(v))
}

func targetName(upn, name *fastjson.Value) string {
	if b := text(upn); len(b) > 0 {
		return strings.ToLower(string(b))
	}
	return string(text(name))
}

// snake turns "ServicePrincipal" into "service_principal".
func snake(word string) string {
	switch word {
	case "":
		return ""
	case "User", "user":
		return "user"
	case "ServicePrincipal", "Service Principal", "serviceprincipal":
		return "service_principal"
	case "Application", "application":
		return "application"
	case "Other", "other":
		return ""
	}
	var b strings.Builder
	for i, c := range word {
		switch {
		case c == ' ' || c == '-':
			b.WriteByte('_')
		case 'A' <= c && c <= 'Z':
			if i > 0 && word[i-1] >= 'a' && word[i-1] <= 'z' {
				b.WriteByte('_')
			}
			b.WriteRune(c + 'a' - 'A')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// mainTarget picks the target that an operation is about. Privileged Identity
// Management lists the role before the member that got it.
func mainTarget(class event.Class, targets []directoryTarget) int {
	if class == event.ClassRoleAdd {
		for _, kind := range [...]string{"user", "service_principal", "group"} {
			for i, t := range targets {
				if t.kind == kind {
					return i
				}
			}
		}
	}
	return 0
}

// client completes the target of a grant from the record's second target: the
// client service principal, whose name the properties leave out.
func (Directory) client(e *event.Event, targets []directoryTarget, s *Sink) {
	if e.Class != event.ClassAppRoleGrant && e.Class != event.ClassDelegatedGrant {
		return
	}
	if e.ResourceID == "" && e.ResourceName == "" && len(targets) > 1 && targets[1].id != "" && e.TargetID == targets[0].id {
		e.ResourceName = e.Target
		e.Target, e.TargetID, e.TargetKind = s.Copy(targets[1].name), s.Copy(targets[1].id), targets[1].kind
		return
	}
	if e.Target != "" && !isGUID([]byte(e.Target)) {
		return
	}
	for _, t := range targets {
		if t.id == e.TargetID && t.name != "" {
			e.Target = s.Copy(t.name)
			return
		}
	}
}
