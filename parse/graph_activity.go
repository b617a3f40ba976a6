package parse

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// GraphActivity reads MicrosoftGraphActivityLogs: each request to Microsoft
// Graph, from Azure Monitor and from the Log Analytics table.
//
// A GET that succeeded and whose path leads to messages is mail access, one
// that leads to attachments is attachment access; the ids in the path become
// items. A list of messages has no ids: its response is not in the log, and
// Detail says what was asked for ("folder", "search", "filter", "top", "skip").
// Operation is the method and the path without its ids. Detail also holds
// "method", "bytes", "client_auth" (public, secret, certificate), "wids" (role
// template ids), "token_issued".
//
// Source: Azure Monitor table MicrosoftGraphActivityLogs.
type GraphActivity struct{}

// Name implements [Format].
func (GraphActivity) Name() string { return "graph_activity" }

// Doc implements [Format].
func (GraphActivity) Doc() string {
	return "Microsoft Graph activity log: Azure Monitor, Log Analytics"
}

// Sniff implements [Format].
func (x GraphActivity) Sniff(r *Record) bool {
	var f graphFields
	return x.read(r, &f)
}

type graphFields struct {
	requestID, operationID, clientRequestID, correlation, generated, arrival       *fastjson.Value
	method, uri, status, size, ip, callerIP, userAgent, appID, auth, roles, scopes *fastjson.Value
	wids, userID, spID, userObject, signIn, issued, idType, session, device        *fastjson.Value
	tenant, aadTenant                                                              *fastjson.Value
	table                                                                          bool
}

func (f *graphFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	switch string(foldKey(buf[:], key)) {
	case "requestid":
		set(&f.requestID, v)
	case "operationid":
		set(&f.operationID, v)
	case "clientrequestid":
		set(&f.clientRequestID, v)
	case "correlationid":
		set(&f.correlation, v)
	case "timegenerated":
		set(&f.generated, v)
	case "time":
		set(&f.arrival, v)
	case "requestmethod":
		set(&f.method, v)
	case "requesturi":
		set(&f.uri, v)
	case "responsestatuscode":
		set(&f.status, v)
	case "responsesizebytes":
		set(&f.size, v)
	case "ipaddress":
		set(&f.ip, v)
	case "calleripaddress":
		set(&f.callerIP, v)
	case "useragent":
		set(&f.userAgent, v)
	case "appid":
		set(&f.appID, v)
	case "clientauthmethod":
		set(&f.auth, v)
	case "roles":
		set(&f.roles, v)
	case "scopes":
		set(&f.scopes, v)
	case "wids":
		set(&f.wids, v)
	case "userid":
		set(&f.userID, v)
	case "serviceprincipalid":
		set(&f.spID, v)
	case "userprincipalobjectid":
		set(&f.userObject, v)
	case "signinactivityid":
		set(&f.signIn, v)
	case "tokenissuedat":
		set(&f.issued, v)
	case "cidtyp":
		set(&f.idType, v)
	case "csid", "sessionid":
		set(&f.session, v)
	case "cdeviceid", "deviceid":
		set(&f.device, v)
	case "tenantid":
		set(&f.tenant, v)
	case "aadtenantid":
		set(&f.aadTenant, v)
	}
}

func (GraphActivity) read(r *Record, f *graphFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	if props, _ := r.open(get(r.Value, "properties")); props != nil && props.Type() == fastjson.TypeObject {
		if !bytes.EqualFold(str(r.Value, "category"), []byte("MicrosoftGraphActivityLogs")) && !(has(props, "requestUri") && has(props, "requestMethod")) {
			return false
		}
		props.GetObject().Visit(f.visit)
		o.Visit(f.visit)
		return f.uri != nil || f.requestID != nil
	}
	o.Visit(f.visit)
	f.table = true
	return f.uri != nil && f.method != nil && (f.signIn != nil || f.status != nil || f.requestID != nil)
}

// Parse implements [Format].
func (x GraphActivity) Parse(r *Record, s *Sink) error {
	var f graphFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	e := s.Event(event.GraphActivity)
	e.Class = event.ClassGraphRequest
	e.Workload = "MicrosoftGraph"
	e.NativeID = s.Lower(text(f.requestID))
	e.RequestID = e.NativeID
	e.CorrID = s.Lower(firstText(f.operationID, f.correlation, f.clientRequestID))
	var t eventTime
	setTime(&t, f.generated, f.arrival)
	e.Time = t.us
	switch {
	case f.aadTenant != nil:
		e.Tenant = s.Lower(text(f.aadTenant))
	case !f.table || f.generated == nil: // in the table it is the workspace
		e.Tenant = s.Lower(text(f.tenant))
	}

	e.AppID = s.Lower(text(f.appID))
	e.ResourceID, e.ResourceName = "00000003-0000-0000-c000-000000000000", "Microsoft Graph"
	e.SPID = s.Lower(text(f.spID))
	user := firstText(f.userID, f.userObject)
	if len(user) > 0 && string(text(f.idType)) != "app" {
		e.ActorKind = event.ActorUser
		e.ActorID = s.Lower(user)
		e.Actor = e.ActorID // the log has no names
		e.Permissions = s.Bytes(text(f.scopes))
	} else {
		e.ActorKind = event.ActorApp
		e.ActorID = e.SPID
		if e.Actor = e.SPID; e.Actor == "" {
			e.Actor = e.AppID
		}
		e.Permissions = s.Bytes(text(f.roles))
	}
	if e.Permissions == "" {
		e.Permissions = s.Bytes(firstText(f.roles, f.scopes))
	}
	s.SetIP(e, firstText(f.ip, f.callerIP))
	e.UserAgent = s.Bytes(text(f.userAgent))
	e.SessionID = s.Bytes(text(f.session))
	e.DeviceID = s.Lower(text(f.device))
	if b := text(f.signIn); len(b) > 0 {
		e.TokenID = s.Copy(event.TokenID(string(b)))
	}
	status, _ := integer(f.status)
	switch {
	case status >= 200 && status < 400:
		e.Outcome = event.Success
	case status >= 400:
		e.Outcome = event.Failure
	}
	e.Code = s.Bytes(text(f.status))

	method := strings.ToLower(string(bytes.TrimSpace(text(f.method))))
	uri := strings.ReplaceAll(string(text(f.uri)), `\u0026`, "&")
	q := parseGraphURI(uri)
	e.Target, e.TargetKind = s.Copy(uri), "uri"
	e.Operation = s.Copy(method + " " + q.template)
	x.mail(e, &q, method, s)

	var buf [256]byte
	d := detailWriter{buf: buf[:0]}
	d.putString("method", method)
	d.put("bytes", text(f.size))
	switch string(text(f.auth)) {
	case "0":
		d.putString("client_auth", "public")
	case "1":
		d.putString("client_auth", "secret")
	case "2":
		d.putString("client_auth", "certificate")
	}
	d.put("wids", text(f.wids))
	d.put("token_issued", text(f.issued))
	d.putString("folder", q.folder)
	d.putString("search", q.search)
	d.putString("filter", q.filter)
	d.putString("top", q.top)
	d.putString("skip", q.skip)
	e.Detail = s.Bytes(d.bytes())
	return nil
}

// mail reads what a request did to a mailbox.
func (GraphActivity) mail(e *event.Event, q *graphURI, method string, s *Sink) {
	if q.me {
		e.Mailbox = e.ActorID
	} else {
		e.Mailbox = s.Copy(strings.ToLower(q.user))
	}
	if !q.mail {
		e.Mailbox = ""
		return
	}
	if isGUID([]byte(e.Mailbox)) {
		e.MailboxID = e.Mailbox
	}
	if e.Outcome != event.Success {
		return
	}
	switch {
	case q.rules && method != "get":
		e.Class = event.ClassInboxRule
	case q.send && method == "post":
		e.Class = event.ClassMailSend
	case !q.messages || q.count:
	case method == "get" && q.attachments:
		e.Class = event.ClassAttachmentAccess
	case method == "get":
		e.Class = event.ClassMailAccess
	case method == "delete":
		e.Class = event.ClassMailDelete
	case method == "patch" || method == "put" || method == "post":
		e.Class = event.ClassMailChange
	}
	if e.Class == event.ClassGraphRequest || q.messageID == "" {
		return
	}
	if method == "get" {
		e.Access = event.Bind
	}
	e.ItemCount = 1
	folder := s.Copy(q.folder)
	s.Item(event.Item{Kind: event.ItemMessage, ItemID: s.Copy(q.messageID), Folder: folder, Size: -1})
	if q.attachmentID != "" {
		s.Item(event.Item{Kind: event.ItemAttachment, ItemID: s.Copy(q.attachmentID), Folder: folder, Size: -1})
	}
}

// graphURI is what a request's URI says.
type graphURI struct {
	template string // path with ids as {id}, lower case
	user     string // id or name in /users/{x}
	me       bool

	mail                                      bool // leads into a mailbox
	messages, attachments, rules, send, count bool
	messageID, attachmentID, folder           string
	search, filter, top, skip                 string
}

// parseGraphURI reads "https://graph.microsoft.com/v1.0/users/{x}/messages/{id}"
// with its irregularities: doubled slashes, percent escapes, key segments such
// as users('x').
func parseGraphURI(uri string) (q graphURI) {
	path, query, _ := strings.Cut(uri, "?")
	if _, rest, ok := strings.Cut(path, "://"); ok {
		_, path, _ = strings.Cut(rest, "/")
	}
	var segs []string
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "" {
			continue
		}
		if x, err := url.PathUnescape(seg); err == nil {
			seg = x
		}
		if name, rest, ok := strings.Cut(seg, "('"); ok && strings.HasSuffix(rest, "')") {
			segs = append(segs, name)
			seg = strings.TrimSuffix(rest, "')")
		}
		if seg != "" {
			segs = append(segs, seg)
		}
	}
	if len(segs) > 0 && (strings.EqualFold(segs[0], "beta") || len(segs[0]) > 1 && segs[0][0]|0x20 == 'v' && segs[0][1] >= '0' && segs[0][1] <= '9') {
		segs = segs[1:]
	}
	q.template = graphTemplate(segs)

	i := 0
	switch {
	case len(segs) > 0 && strings.EqualFold(segs[0], "me"):
		q.me, i = true, 1
	case len(segs) > 1 && strings.EqualFold(segs[0], "users"):
		q.user, i = segs[1], 2
	default:
		return q
	}
	if i < len(segs) {
		switch strings.ToLower(segs[i]) {
		case "messages", "mailfolders", "sendmail", "mailboxsettings", "inferenceclassification", "getmailtips":
			q.mail = true
		case "microsoft.graph.sendmail":
			q.mail, q.send = true, true
		}
	}
	if !q.mail {
		return q
	}
	for ; i < len(segs); i++ {
		next := ""
		if i+1 < len(segs) {
			next = segs[i+1]
		}
		switch strings.ToLower(segs[i]) {
		case "mailfolders", "childfolders":
			if next != "" && !strings.HasPrefix(next, "$") && !strings.EqualFold(next, "delta") {
				q.folder = next
				i++
			}
		case "messages":
			q.messages = true
			if next != "" && !strings.HasPrefix(next, "$") && !strings.HasPrefix(strings.ToLower(next), "delta") {
				q.messageID = next
				i++
			}
		case "attachments":
			q.attachments = true
			if next != "" && !strings.HasPrefix(next, "$") && !strings.EqualFold(next, "createuploadsession") {
				q.attachmentID = next
				i++
			}
		case "messagerules":
			q.rules = true
		case "send", "sendmail", "reply", "replyall", "forward", "microsoft.graph.send":
			q.send = true
		case "$count":
			q.count = true
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if x, err := url.QueryUnescape(name); err == nil {
			name = x
		}
		if x, err := url.QueryUnescape(value); err == nil {
			value = x
		}
		switch strings.ToLower(name) {
		case "$search", "search":
			q.search = cut(value, 300)
		case "$filter", "filter":
			q.filter = cut(value, 300)
		case "$top", "top":
			q.top = cut(value, 20)
		case "$skip", "skip":
			q.skip = cut(value, 20)
		}
	}
	return q
}

// graphTemplate joins the segments of a path with ids as {id}, in lower case.
func graphTemplate(segs []string) string {
	var b strings.Builder
	ids := false // the segment before is a collection of things with ids
	for _, seg := range segs {
		if seg == "" { // users('')
			continue
		}
		word := strings.ToLower(seg)
		b.WriteByte('/')
		if ids && word[0] != '$' && word != "delta" || !isWord(seg) {
			b.WriteString("{id}")
			ids = false
			continue
		}
		b.WriteString(word)
		switch word {
		case "users", "messages", "attachments", "childfolders", "groups", "chats", "teams", "channels", "sites", "drives", "items", "applications",
			"serviceprincipals", "events", "contacts", "devices":
			ids = true
		default:
			ids = false
		}
	}
	return b.String()
}

// isWord reports whether a path segment is a name of the API, not an id.
func isWord(seg string) bool {
	if len(seg) > 40 {
		return false
	}
	for i := 0; i < len(seg); i++ {
		c := seg[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || c == '$' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}
