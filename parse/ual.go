package parse

import (
	"bytes"
	"errors"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// UAL reads the Microsoft 365 Unified Audit Log in all of its containers:
// portal CSV, Search-UnifiedAuditLog CSV and JSON, Graph auditLogQuery,
// Management Activity API, bare records, and copies that went through a SIEM.
//
// Detail holds, as the operation has them: {"params":{cmdlet parameters},
// "rule":..., "forward":[addresses], "changes":[{name,old,new}],
// "consent_admin":bool, "search":..., "request_type":..., "status_detail":...,
// "role":..., "grant_to":...}.
//
// Source: "Office 365 Management Activity API schema", and real records where
// it is silent or wrong.
type UAL struct{}

// Name implements [Format].
func (UAL) Name() string { return "ual" }

// Doc implements [Format].
func (UAL) Doc() string {
	return "Microsoft 365 Unified Audit Log: portal CSV, Search-UnifiedAuditLog CSV/JSON, Graph audit query, Management API, NDJSON, SIEM copies"
}

// SelfChecking implements [SelfChecking].
func (UAL) SelfChecking() {}

// Sniff implements [Format].
func (UAL) Sniff(r *Record) bool {
	v := r.Value
	if has(v, "AuditData") {
		return true
	}
	return has(v, "CreationTime") && (has(v, "Operation") && (has(v, "RecordType") || has(v, "Workload")) || has(v, "RecordType") && has(v, "Id"))
}

// ualFields are the members of a record that the parser reads, found in one
// walk over it.
type ualFields struct {
	auditData                                                                                 *fastjson.Value
	id, creationTime, operation, recordType, workload, resultStatus, organizationID           *fastjson.Value
	userType, userKey, userID, objectID, clientIP, clientIPAddress, actorIP                   *fastjson.Value
	applicationID, applicationName, appID, clientAppID, appAccess, errorNumber, logonError    *fastjson.Value
	extended, device, actor, target, modified, interSystemsID, targetContext                  *fastjson.Value
	mailboxOwner, mailboxGUID, logonType, clientInfo, actorInfo, sessionID, deviceID          *fastjson.Value
	opProperties, opCount, folders, messages, item, affected, folder, destFolder              *fastjson.Value
	parameters, userAgent, correlationID, clientRequestID, tokenObjectID, site, sourceFile    *fastjson.Value
	sendAs, sendOnBehalf, recipients, targetUser, eventData, orgName, searchQuery, clientProc *fastjson.Value
}

// ualFields returns the sink's fields, emptied. They live in the sink because
// a walk's callback would otherwise put them on the heap for every record.
func (s *Sink) ualFields() *ualFields {
	if s.visitUAL == nil {
		s.ual = new(ualFields)
		s.visitUAL = s.ual.visit
	}
	*s.ual = ualFields{}
	return s.ual
}

func (f *ualFields) visit(key []byte, v *fastjson.Value) {
	if v.Type() == fastjson.TypeNull || len(key) == 0 {
		return
	}
	k := string(key)
	if c := key[0]; 'a' <= c && c <= 'z' { // exporters in camelCase
		k = string(c-'a'+'A') + k[1:]
	}
	switch k {
	case "AuditData":
		f.auditData = v
	case "Id":
		f.id = v
	case "CreationTime":
		f.creationTime = v
	case "Operation":
		f.operation = v
	case "RecordType":
		f.recordType = v
	case "Workload":
		f.workload = v
	case "ResultStatus":
		f.resultStatus = v
	case "OrganizationId":
		f.organizationID = v
	case "UserType":
		f.userType = v
	case "UserKey":
		f.userKey = v
	case "UserId":
		f.userID = v
	case "ObjectId":
		f.objectID = v
	case "ClientIP":
		f.clientIP = v
	case "ClientIPAddress":
		f.clientIPAddress = v
	case "ActorIpAddress":
		f.actorIP = v
	case "ApplicationId":
		f.applicationID = v
	case "ApplicationDisplayName":
		f.applicationName = v
	case "AppId":
		f.appID = v
	case "ClientAppId":
		f.clientAppID = v
	case "AppAccessContext":
		f.appAccess = v
	case "ErrorNumber":
		f.errorNumber = v
	case "LogonError":
		f.logonError = v
	case "ExtendedProperties":
		f.extended = v
	case "DeviceProperties":
		f.device = v
	case "Actor":
		f.actor = v
	case "Target":
		f.target = v
	case "ModifiedProperties":
		f.modified = v
	case "InterSystemsId":
		f.interSystemsID = v
	case "TargetContextId":
		f.targetContext = v
	case "MailboxOwnerUPN":
		f.mailboxOwner = v
	case "MailboxGuid":
		f.mailboxGUID = v
	case "LogonType":
		f.logonType = v
	case "ClientInfoString":
		f.clientInfo = v
	case "ActorInfoString":
		f.actorInfo = v
	case "ClientProcessName":
		f.clientProc = v
	case "SessionId":
		f.sessionID = v
	case "DeviceId":
		f.deviceID = v
	case "OperationProperties":
		f.opProperties = v
	case "OperationCount":
		f.opCount = v
	case "Folders":
		f.folders = v
	case "Messages":
		f.messages = v
	case "Item":
		f.item = v
	case "AffectedItems":
		f.affected = v
	case "Folder":
		f.folder = v
	case "DestFolder":
		f.destFolder = v
	case "Parameters":
		f.parameters = v
	case "UserAgent":
		f.userAgent = v
	case "CorrelationId":
		f.correlationID = v
	case "ClientRequestId":
		f.clientRequestID = v
	case "TokenObjectId":
		f.tokenObjectID = v
	case "SiteUrl":
		f.site = v
	case "SourceFileName":
		f.sourceFile = v
	case "SendAsUserSmtp":
		f.sendAs = v
	case "SendOnBehalfOfUserSmtp":
		f.sendOnBehalf = v
	case "RecipientList", "Recipients":
		f.recipients = v
	case "TargetUserOrGroupName":
		f.targetUser = v
	case "EventData":
		f.eventData = v
	case "OrganizationName":
		f.orgName = v
	case "QueryText", "SearchQuery", "SearchQueryText":
		f.searchQuery = v
	}
}

// Reasons for which a record of the audit log cannot be used.
var (
	errNoAuditData        = errors.New("AuditData is empty")
	errAuditDataDestroyed = errors.New("AuditData was destroyed by its exporter (System.Object[]): export it again as JSON")
)

// Parse implements [Format].
func (u UAL) Parse(r *Record, s *Sink) error {
	o, err := r.Value.Object()
	if err != nil {
		return ErrNotMine
	}
	f := s.ualFields()
	o.Visit(s.visitUAL)
	truncated := false
	jsonText := ""
	if f.auditData != nil || f.creationTime == nil && has(r.Value, "AuditData") {
		inner, text, cut, err := u.unwrap(r, f.auditData, s)
		if err != nil {
			return err
		}
		truncated, jsonText = cut, text
		if o, err = inner.Object(); err != nil {
			return errNoAuditData
		}
		*f = ualFields{}
		o.Visit(s.visitUAL)
	}
	if f.creationTime == nil || f.operation == nil && (f.id == nil || f.recordType == nil) {
		return ErrNotMine
	}
	e := s.Event(event.UAL)
	e.Record = jsonText
	if truncated {
		e.Flags |= event.FlagTruncated
	}
	u.common(e, f, s)
	switch e.Class {
	case event.ClassSignIn:
		u.logon(r, e, f, s)
	case event.ClassMailAccess, event.ClassAttachmentAccess, event.ClassMailSend, event.ClassMailChange, event.ClassMailDelete, event.ClassSearch:
		u.mailbox(r, e, f, s)
	case event.ClassFileAccess, event.ClassFileChange, event.ClassSharing:
		u.file(e, f, s)
	default:
		switch {
		case f.actor != nil || f.target != nil:
			u.directory(r, e, f, s)
		case f.mailboxOwner != nil:
			u.mailbox(r, e, f, s)
		}
		if f.parameters != nil {
			u.cmdlet(r, e, f, s)
		}
		if e.Operation == "updateinboxrules" {
			u.outlookRule(r, e, f, s)
		}
	}
	return nil
}

// unwrap returns the record inside AuditData. text is its JSON where the
// record's bytes are not JSON themselves.
func (UAL) unwrap(r *Record, v *fastjson.Value, s *Sink) (inner *fastjson.Value, text string, truncated bool, err error) {
	if v == nil {
		return nil, "", false, errNoAuditData
	}
	if v.Type() == fastjson.TypeObject {
		return v, "", false, nil
	}
	b, _ := v.StringBytes()
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0:
		return nil, "", false, errNoAuditData
	case isDestroyed(string(b)):
		return nil, "", false, errAuditDataDestroyed
	}
	if r.Table {
		text = s.Bytes(b)
	}
	if inner, err = r.Nested(b); err == nil && inner.Type() == fastjson.TypeObject {
		return inner, text, false, nil
	}
	// A spreadsheet cuts a cell at 32,767 characters. The leading members of a
	// cut record are worth more than nothing.
	cut, ok := salvage(b)
	if !ok {
		if err == nil {
			err = errNoAuditData
		}
		return nil, "", false, errors.Join(errors.New("AuditData is not JSON"), err)
	}
	if inner, err = r.Nested(cut); err != nil {
		return nil, "", false, errors.Join(errors.New("AuditData is cut and cannot be saved"), err)
	}
	return inner, s.Bytes(cut), true, nil
}

// salvage closes a JSON object that was cut off after its last complete
// member, at any depth.
func salvage(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] == '}' {
		return nil, false
	}
	var stack []byte   // closing brackets that are due
	var stackAt []byte // the same at the last good position
	good, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{':
			stack = append(stack, '}')
		case c == '[':
			stack = append(stack, ']')
		case c == '}' || c == ']':
			if len(stack) == 0 || stack[len(stack)-1] != c {
				return nil, false
			}
			stack = stack[:len(stack)-1]
			good, stackAt = i+1, append(stackAt[:0], stack...)
		case c == ',':
			good, stackAt = i, append(stackAt[:0], stack...)
		}
	}
	if good == 0 {
		return nil, false
	}
	out := append([]byte(nil), b[:good]...)
	for i := len(stackAt) - 1; i >= 0; i-- {
		out = append(out, stackAt[i])
	}
	return out, true
}

// common fills in what every record of the audit log has.
func (UAL) common(e *event.Event, f *ualFields, s *Sink) {
	e.NativeID = s.Lower(text(f.id))
	us, ambiguous, _ := Micros(text(f.creationTime))
	e.Time = us
	if ambiguous {
		e.Flags |= event.FlagAmbiguousDate
	}
	e.Tenant = s.Lower(text(f.organizationID))
	e.Operation = s.Operation(text(f.operation))
	e.Class = ClassOf(e.Operation)
	e.Workload = s.Bytes(text(f.workload))
	e.Outcome, e.Reason = event.Success, ""
	switch st := view(text(f.resultStatus)); {
	case st == "":
		e.Outcome = event.Unknown
	case strings.EqualFold(st, "failed"), strings.EqualFold(st, "failure"), strings.EqualFold(st, "false"):
		e.Outcome = event.Failure
	}
	e.ActorKind = ualActorKind(f.userType)
	e.Actor = s.Lower(text(f.userID))
	if b := text(f.userID); bytes.HasPrefix(b, []byte("ServicePrincipal_")) {
		e.ActorKind = event.ActorApp
		e.ActorID = s.Lower(b[len("ServicePrincipal_"):])
	} else if bytes.HasPrefix(b, []byte("User_")) {
		e.ActorID = s.Lower(b[len("User_"):])
	} else if bytes.HasPrefix(b, []byte(`NT AUTHORITY\`)) {
		e.ActorKind = event.ActorService
	}
	if b := text(f.userKey); isGUID(b) && e.ActorID == "" {
		e.ActorID = s.Lower(b)
	}
	e.Target = s.Bytes(text(f.objectID))
	// A record may name the client and the back end that acted for it; the
	// client is the one to keep.
	for _, v := range [...]*fastjson.Value{f.clientIP, f.clientIPAddress, f.actorIP} {
		if e.IP != "" && !e.IPService {
			break
		}
		b := text(v)
		if len(b) == 0 {
			continue
		}
		ip, service := e.IP, e.IPService
		if s.SetIP(e, b); e.IPService && ip != "" || e.IP == "" {
			e.IP, e.IPService = ip, service
		}
	}
	if e.IP != "" {
		e.Flags &^= event.FlagIPUnparsed
	}
	e.UserAgent = s.Bytes(text(f.userAgent))
	e.SessionID = s.Bytes(text(f.sessionID))
	e.DeviceID = s.Bytes(text(f.deviceID))
	e.CorrID = s.Lower(text(f.correlationID))
	if e.CorrID == "" {
		e.CorrID = s.Lower(text(f.interSystemsID))
	}
	e.AppID = s.Lower(text(f.applicationID))
	e.AppName = s.Bytes(text(f.applicationName))
	if ctx := f.appAccess; ctx != nil && ctx.Type() == fastjson.TypeObject {
		if b := str(ctx, "AADSessionId"); len(b) > 0 {
			e.SessionID = s.Bytes(b)
		}
		if b := str(ctx, "UniqueTokenId"); len(b) > 0 {
			e.TokenID = s.Copy(event.TokenID(string(b)))
		}
		if b := str(ctx, "ClientAppId"); len(b) > 0 {
			e.AppID = s.Lower(b)
		}
		if b := str(ctx, "APIId"); len(b) > 0 {
			e.ResourceID = s.Lower(b)
		}
		if b := str(ctx, "ClientAppName"); len(b) > 0 {
			e.AppName = s.Bytes(b)
		}
	}
	// The client is ClientAppId; AppId is the client only when it is not one
	// of the resources (Exchange, Graph), which it was until about 2023.
	if b := text(f.clientAppID); len(b) > 0 {
		e.AppID = s.Lower(b)
	}
	if b := text(f.appID); len(b) > 0 {
		id := s.Lower(b)
		switch {
		case isResource(id):
			if e.ResourceID == "" {
				e.ResourceID = id
			}
		case e.AppID == "":
			e.AppID = id
		}
	}
}

// isResource reports whether an application id is an API rather than a client.
// Source: Microsoft's first-party application ids.
func isResource(id string) bool {
	switch id {
	case "00000002-0000-0ff1-ce00-000000000000", // Office 365 Exchange Online
		"00000003-0000-0000-c000-000000000000", // Microsoft Graph
		"00000002-0000-0000-c000-000000000000", // Azure AD Graph
		"00000003-0000-0ff1-ce00-000000000000": // SharePoint Online
		return true
	}
	return false
}

// ualActorKind maps UserType, a number, a numeric string or a name.
// Source: Management Activity API schema, enum User Type.
func ualActorKind(v *fastjson.Value) event.ActorKind {
	var digit [1]byte
	var b []byte
	if v != nil && v.Type() == fastjson.TypeNumber {
		n := v.GetInt()
		if n < 0 || n > 9 {
			if n == 10 {
				return event.ActorGuest
			}
			return event.ActorUnknown
		}
		digit[0] = '0' + byte(n)
		b = digit[:]
	} else {
		b = text(v)
	}
	if len(b) == 1 {
		switch b[0] {
		case '0':
			return event.ActorUser
		case '1', '3', '4', '7', '8':
			return event.ActorService
		case '2', '9':
			return event.ActorAdmin
		case '5', '6':
			return event.ActorApp
		}
		return event.ActorUnknown
	}
	switch strings.ToLower(string(b)) {
	case "10", "guest":
		return event.ActorGuest
	case "regular":
		return event.ActorUser
	case "admin", "partnertechnician":
		return event.ActorAdmin
	case "reserved", "dcadmin", "system", "custompolicy", "systempolicy":
		return event.ActorService
	case "application", "serviceprincipal":
		return event.ActorApp
	}
	return event.ActorUnknown
}

func isGUID(b []byte) bool {
	if len(b) != 36 || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	for i, c := range b {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// pairs calls fn for each {Name, Value} of a list, however it is nested.
func (r *Record) pairs(v *fastjson.Value, fn func(name string, value *fastjson.Value)) (destroyed bool) {
	if v == nil {
		return false
	}
	if v.Type() == fastjson.TypeString {
		b, _ := v.StringBytes()
		if t := bytes.TrimSpace(b); len(t) > 0 && (t[0] == '[' || t[0] == '{') {
			if y, err := r.Nested(t); err == nil {
				v = y
			}
		} else {
			return isDestroyed(string(t))
		}
	}
	for _, p := range v.GetArray() {
		if p.Type() == fastjson.TypeString {
			b, _ := p.StringBytes()
			destroyed = destroyed || isDestroyed(string(b))
			// PowerShell's "@{Value=Bind; Name=MailAccessType}" can still be read.
			if t, ok := strings.CutPrefix(string(b), "@{"); ok {
				readHashLiteral(strings.TrimSuffix(t, "}"), fn)
			}
			continue
		}
		if n := str(p, "Name"); len(n) > 0 { // the name is valid for this record only
			fn(view(n), get(p, "Value"))
		}
	}
	return destroyed
}

func readHashLiteral(t string, fn func(string, *fastjson.Value)) {
	var name, value string
	for part := range strings.SplitSeq(t, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch k {
		case "Name":
			name = v
		case "Value":
			value = v
		}
	}
	if name == "" {
		return
	}
	var a fastjson.Arena
	fn(name, a.NewString(value))
}

// logon reads record type 15 (and other records of authentication).
func (UAL) logon(r *Record, e *event.Event, f *ualFields, s *Sink) {
	if e.Operation == "userloggedin" || e.Operation == "userloginfailed" {
		e.RequestID = e.NativeID // the id of the Entra sign-in record
	}
	e.Code = s.Bytes(text(f.errorNumber))
	e.Reason = s.Bytes(text(f.logonError))
	detail := s.detail(0)
	r.pairs(f.extended, func(name string, v *fastjson.Value) {
		switch name {
		case "UserAgent":
			e.UserAgent = s.Bytes(text(v))
		case "RequestType":
			detail.add("request_type", view(text(v)))
			e.Protocol = s.Lower(text(v))
		case "ResultStatusDetail":
			detail.add("status_detail", view(text(v)))
		case "UserAuthenticationMethod":
			detail.add("auth_method", view(text(v)))
		}
	})
	r.pairs(f.device, func(name string, v *fastjson.Value) {
		switch name {
		case "SessionId":
			e.SessionID = s.Bytes(text(v))
		case "Id":
			e.DeviceID = s.Lower(text(v))
		case "OS", "BrowserType", "TrustType":
			detail.add(strings.ToLower(name), view(text(v)))
		}
	})
	for _, t := range f.target.GetArray() {
		if id := str(t, "ID"); isGUID(id) {
			e.ResourceID = s.Lower(id)
			break
		}
	}
	for _, a := range f.actor.GetArray() {
		id := str(a, "ID")
		if isGUID(id) && isType(a, 0) {
			e.ActorID = s.Lower(id)
		}
	}
	switch {
	case e.Operation == "userloginfailed":
		e.Outcome = event.Failure // ResultStatus only says that the HTTP call worked
	case e.Code == "50140":
		e.Outcome = event.Interrupted
	case e.Operation == "userloggedin" && e.Outcome != event.Failure:
		e.Outcome = event.Success
	}
	e.Detail = s.Bytes(detail.bytes())
}

// file reads SharePoint's and OneDrive's records.
func (UAL) file(e *event.Event, f *ualFields, s *Sink) {
	e.TargetKind = "file"
	detail := s.detail(0)
	if f.site != nil {
		detail.add("site", string(text(f.site)))
	}
	if b := text(f.targetUser); len(b) > 0 {
		detail.add("grant_to", string(b))
	}
	e.Detail = s.Bytes(detail.bytes())
}
