package simulate

import "bytes"

// ual opens a record of the Unified Audit Log. What it returns is to be given
// to ualEnd with the record's remaining members.
func (g *gen) ual(t int64, id guid, op string, rt int, status, key string, userType int, workload string) ([]byte, bool) {
	if !g.admit(fUAL, t, id.a, id.String) {
		return nil, false
	}
	g.row = ualRow{id: id, t: t, rt: rt, op: op}
	b := append(g.scratch[:0], `{"CreationTime":"`...)
	b = appendSeconds(b, t)
	b = append(b, `","Id":"`...)
	b = id.append(b)
	b = append(b, `","Operation":"`...)
	b = append(b, op...)
	b = append(b, `","OrganizationId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","RecordType":`...)
	b = num(b, int64(rt))
	b = append(b, `,"ResultStatus":"`...)
	b = append(b, status...)
	b = append(b, `","UserKey":"`...)
	b = append(b, key...)
	b = append(b, `","UserType":`...)
	b = num(b, int64(userType))
	b = append(b, `,"Version":1,"Workload":"`...)
	b = append(b, workload...)
	return append(b, '"'), true
}

func (g *gen) ualUser(b []byte, user string) []byte {
	g.row.user = user
	b = append(b, `,"UserId":"`...)
	b = append(b, user...)
	return append(b, '"')
}

func ualIP(b []byte, name string, a ip) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '"')
	return append(a.append(b), '"')
}

// ualEnd closes a record and puts it where an export of its day would have it:
// the last day is held as the portal's CSV, with a tenth of it in the lines,
// too; a few lines stand twice.
func (g *gen) ualEnd(b []byte) {
	b = append(b, '}')
	g.scratch = b
	h := g.w.hash(rsDup, g.row.id.a)
	last := g.row.t >= g.w.end-day
	if last {
		c := &g.out[fUALCSV]
		o := g.row.id.append(c.b)
		o = append(o, ',')
		o = append(appendSeconds(o, g.row.t), ".0000000Z,"...)
		o = num(o, int64(g.row.rt))
		o = append(o, ',')
		o = append(o, g.row.op...)
		o = append(o, ',')
		o = append(o, g.row.user...)
		o = append(o, ',', '"')
		for rest := b; ; {
			i := bytes.IndexByte(rest, '"')
			if i < 0 {
				o = append(o, rest...)
				break
			}
			o = append(o, rest[:i]...)
			o = append(o, '"', '"')
			rest = rest[i+1:]
		}
		c.b = append(o, "\",,\r\n"...)
		c.n++
		if unit(h) >= 0.1 {
			return
		}
		g.dups++
	}
	g.line(fUAL, append(g.out[fUAL].b, b...))
	if unit(mix(h)) < g.w.r.DuplicateUAL {
		g.line(fUAL, append(g.out[fUAL].b, b...))
		g.dups++
	}
}

// logon is the Unified Audit Log's copy of an interactive sign-in.
func (g *gen) logon(s *signIn, upn, uid string, corr guid) {
	op, detail, status := "UserLoggedIn", "Success", "Success"
	switch s.code {
	case 0, 50140:
	default:
		// ResultStatus only says that the call worked; it is Success in two
		// thirds of real failures.
		op, detail = "UserLoginFailed", "UserError"
		if s.id.b%3 == 0 {
			status = "Failed"
		}
	}
	key := uid
	if key == "" {
		key, upn = "00000000-0000-0000-0000-000000000000", "Not Available"
	}
	b, ok := g.ual(s.t, s.id, op, 15, status, key, 0, "AzureActiveDirectory")
	if !ok {
		return
	}
	b = ualIP(b, "ClientIP", s.from.ip)
	b = g.ualUser(b, upn)
	b = append(b, `,"ObjectId":"`...)
	b = append(b, s.client.res.id...)
	b = append(b, `","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"ResultStatusDetail","Value":"`...)
	b = append(b, detail...)
	b = append(b, `"},{"Name":"UserAgent","Value":"`...)
	b = append(b, s.ua...)
	if s.protocol == "ropc" {
		b = append(b, `"},{"Name":"RequestType","Value":"OAuth2:Token"}],"ModifiedProperties":[],"Actor":[{"ID":"`...)
	} else {
		b = append(b, `"},{"Name":"RequestType","Value":"OAuth2:Authorize"}],"ModifiedProperties":[],"Actor":[{"ID":"`...)
	}
	b = append(b, key...)
	b = append(b, `","Type":0},{"ID":"`...)
	b = append(b, upn...)
	b = append(b, `","Type":5}],"ActorContextId":"`...)
	b = append(b, g.t.id...)
	b = append(b, '"')
	b = ualIP(b, "ActorIpAddress", s.from.ip)
	b = append(b, `,"InterSystemsId":"`...)
	b = corr.append(b)
	b = append(b, `","IntraSystemId":"`...)
	b = s.id.append(b)
	b = append(b, `","SupportTicketId":"","Target":[{"ID":"`...)
	b = append(b, s.client.res.id...)
	b = append(b, `","Type":0}],"TargetContextId":"`...)
	b = append(b, g.t.id...)
	b = append(b, `","ApplicationId":"`...)
	b = append(b, s.client.app.id...)
	b = append(b, `","DeviceProperties":[{"Name":"OS","Value":"`...)
	if s.agent != nil {
		b = append(b, s.agent.os...)
	}
	b = append(b, `"},{"Name":"BrowserType","Value":"`...)
	if s.agent != nil {
		b = append(b, s.agent.family...)
	}
	if s.device != "" {
		b = append(b, `"},{"Name":"Id","Value":"`...)
		b = append(b, s.device...)
		b = append(b, `"},{"Name":"IsCompliantAndManaged","Value":"True"}`...)
	} else {
		b = append(b, `"},{"Name":"IsCompliantAndManaged","Value":"False"}`...)
	}
	if !s.session.zero() {
		b = append(b, `,{"Name":"SessionId","Value":"`...)
		b = append(s.session.append(b), `"}`...)
	}
	b = append(b, `],"ErrorNumber":"`...)
	b = num(b, int64(s.code))
	b = append(b, '"')
	if op == "UserLoginFailed" {
		b = append(b, `,"LogonError":"`...)
		b = append(b, logonError(s.code)...)
		b = append(b, '"')
	}
	g.ualEnd(b)
}

// access is who reads or writes in a mailbox, and with what.
type access struct {
	user     *user // nil: an application
	app      *app
	owner    *user
	from     where
	logon    int    // 0 owner, 1 admin, 2 delegate
	info     string // ClientInfoString
	appID    string // AppId
	clientID string // ClientAppId
	api      string // AppAccessContext.APIId
	token    guid   // sign-in that minted the token
	issued   int64
	session  guid
	userType int
}

func (g *gen) accessHead(b []byte, a *access, both bool) []byte {
	if both {
		b = ualIP(b, "ClientIP", a.from.ip)
	}
	if a.user != nil {
		b = g.ualUser(b, a.user.upn)
	} else {
		b = g.ualUser(b, "ServicePrincipal_"+a.app.sp)
	}
	if a.api != "" && !a.token.zero() {
		b = append(b, `,"AppAccessContext":{"APIId":"`...)
		b = append(b, a.api...)
		if a.user != nil && !a.session.zero() {
			b = append(b, `","AADSessionId":"`...)
			b = a.session.append(b)
		}
		b = append(b, `","ClientAppId":"`...)
		if a.clientID != "" {
			b = append(b, a.clientID...)
		} else {
			b = append(b, a.appID...)
		}
		b = append(b, `","IssuedAtTime":"`...)
		b = appendSeconds(b, a.issued)
		b = append(b, `","UniqueTokenId":"`...)
		b = a.token.appendToken(b)
		b = append(b, `"}`...)
	}
	if a.appID != "" {
		b = append(b, `,"AppId":"`...)
		b = append(b, a.appID...)
		b = append(b, `","ClientAppId":"`...)
		b = append(b, a.clientID...)
		b = append(b, '"')
	}
	b = ualIP(b, "ClientIPAddress", a.from.ip)
	b = append(b, `,"ClientInfoString":"`...)
	b = append(b, a.info...)
	b = append(b, `","ExternalAccess":false,"InternalLogonType":0,"LogonType":`...)
	b = num(b, int64(a.logon))
	b = append(b, `,"LogonUserSid":"`...)
	if a.user != nil {
		b = append(b, a.user.sid...)
	} else {
		b = append(b, "S-1-5-18"...)
	}
	b = append(b, `","MailboxGuid":"`...)
	b = append(b, a.owner.mailbox...)
	b = append(b, `","MailboxOwnerSid":"`...)
	b = append(b, a.owner.sid...)
	b = append(b, `","MailboxOwnerUPN":"`...)
	b = append(b, a.owner.upn...)
	b = append(b, '"')
	if !a.session.zero() {
		b = append(b, `,"SessionId":"`...)
		b = append(a.session.append(b), '"')
	}
	b = append(b, `,"OrganizationName":"`...)
	b = append(b, g.t.org...)
	return append(b, `","OriginatingServer":"BYAPR05MB1177 (15.20.7068.027)\r\n"`...)
}

func (a *access) key() string {
	if a.user != nil {
		return a.user.puid
	}
	return a.app.sp
}

// folder ids do not change; the same name in the same mailbox has the same.
func appendFolderID(b []byte, owner *user, folder string) []byte {
	h := hash(owner.h, hashText(folder))
	b = append(b, "LgAAAAB"...)
	b = appendHex(b, h, 16)
	b = appendHex(b, mix(h), 16)
	return append(b, "AAAB"...)
}

// bind writes a record of messages read, in one folder.
func (g *gen) bind(t int64, id guid, a *access, folder string, msgs []*message, throttled bool) {
	b, ok := g.ual(t, id, "MailItemsAccessed", 50, "Succeeded", a.key(), a.userType, "Exchange")
	if !ok {
		return
	}
	b = g.accessHead(b, a, false)
	b = append(b, `,"OperationProperties":[{"Name":"MailAccessType","Value":"Bind"},{"Name":"IsThrottled","Value":"`...)
	if throttled {
		b = append(b, "True"...)
	} else {
		b = append(b, "False"...)
	}
	b = append(b, `"}],"Folders":[{"FolderItems":[`...)
	for i, m := range msgs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"InternetMessageId":"<`...)
		b = g.w.appendMessageID(b, g.t, m)
		b = append(b, `>","SizeInBytes":`...)
		b = num(b, int64(m.size))
		b = append(b, '}')
	}
	b = append(b, `],"Id":"`...)
	b = appendFolderID(b, a.owner, folder)
	b = append(b, `","Path":"\\`...)
	b = append(b, folder...)
	b = append(b, `"}],"OperationCount":`...)
	b = num(b, int64(len(msgs)))
	g.ualEnd(b)
}

// sync writes a record of a folder synchronized.
func (g *gen) sync(t int64, id guid, a *access, folder string) {
	b, ok := g.ual(t, id, "MailItemsAccessed", 2, "Succeeded", a.key(), a.userType, "Exchange")
	if !ok {
		return
	}
	b = g.accessHead(b, a, true)
	b = append(b, `,"OperationProperties":[{"Name":"MailAccessType","Value":"Sync"},{"Name":"IsThrottled","Value":"False"}],"Item":{"Id":"`...)
	b = appendFolderID(b, a.owner, folder)
	b = append(b, `","ParentFolder":{"Id":"`...)
	b = appendFolderID(b, a.owner, folder)
	b = append(b, `","Name":"`...)
	b = append(b, folder...)
	b = append(b, `","Path":"\\`...)
	b = append(b, folder...)
	b = append(b, `"}}`...)
	if a.user != nil {
		b = append(b, `,"ClientProcessName":"OUTLOOK.EXE","ClientVersion":"16.0.16924.20150"`...)
	}
	g.ualEnd(b)
}

// send writes the record of a message sent.
func (g *gen) send(t int64, id guid, a *access, m *message) {
	b, ok := g.ual(t, id, "Send", 2, "Succeeded", a.key(), a.userType, "Exchange")
	if !ok {
		return
	}
	b = g.accessHead(b, a, true)
	b = append(b, `,"Item":{"Id":"RgAAAAB`...)
	b = appendHex(b, m.h, 16)
	b = append(b, `","InternetMessageId":"<`...)
	b = g.w.appendMessageID(b, g.t, m)
	b = append(b, `>","ParentFolder":{"Id":"`...)
	b = appendFolderID(b, a.owner, "Drafts")
	b = append(b, `","Path":"\\Drafts"},"SizeInBytes":`...)
	b = num(b, int64(m.size))
	b = append(b, `,"Subject":"`...)
	b = append(b, m.subject...)
	b = append(b, '"')
	if m.file != "" {
		b = append(b, `,"Attachments":"`...)
		b = append(b, m.file...)
		b = append(b, " ("...)
		b = num(b, int64(m.size*3/4))
		b = append(b, `b)"`...)
	}
	g.ualEnd(append(b, '}'))
}

// cmdlet writes an Exchange administration record: rules, forwarding.
func (g *gen) cmdlet(t int64, id guid, u *user, from where, session guid, op, object string, params ...string) {
	b, ok := g.ual(t, id, op, 1, "True", u.puid, 2, "Exchange")
	if !ok {
		return
	}
	b = append(b, `,"ClientIP":"`...)
	if from.ip.hi != 0 {
		b = append(b, '[')
		b = append(from.ip.append(b), ']')
	} else {
		b = from.ip.append(b)
	}
	b = append(b, ':')
	b = num(b, 49152+int64(id.b&8191))
	b = append(b, '"')
	b = g.ualUser(b, u.upn)
	b = append(b, `,"ObjectId":`...)
	b = appendQuoted(b, object)
	b = append(b, `,"AppId":"","ClientAppId":"","ExternalAccess":false,"OrganizationName":"`...)
	b = append(b, g.t.org...)
	b = append(b, `","OriginatingServer":"SN6PR01MB4321 (15.20.7002.021)"`...)
	if !session.zero() {
		b = append(b, `,"SessionId":"`...)
		b = append(session.append(b), '"')
	}
	b = append(b, `,"Parameters":[`...)
	for i := 0; i+1 < len(params); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Name":"`...)
		b = append(b, params[i]...)
		b = append(b, `","Value":`...)
		b = appendQuoted(b, params[i+1])
		b = append(b, '}')
	}
	g.ualEnd(append(b, ']'))
}

// file writes a SharePoint or OneDrive record.
func (g *gen) file(t int64, id guid, u *user, from where, op, name string, session guid) {
	b, ok := g.ual(t, id, op, 6, "Succeeded", u.id, 0, "SharePoint")
	if !ok {
		return
	}
	b = ualIP(b, "ClientIP", from.ip)
	b = g.ualUser(b, u.upn)
	b = append(b, `,"AppAccessContext":{"AADSessionId":"`...)
	b = session.append(b)
	b = append(b, `"},"ObjectId":"https://fabrikam.example/sites/team`...)
	b = num(b, int64(u.idx/teamSize))
	b = append(b, `/Shared Documents/`...)
	b = append(b, name...)
	b = append(b, `","SiteUrl":"https://fabrikam.example/sites/team`...)
	b = num(b, int64(u.idx/teamSize))
	b = append(b, `/","SourceFileName":"`...)
	b = append(b, name...)
	b = append(b, `","FileSizeBytes":`...)
	b = num(b, 2000+int64(id.b&0xfffff))
	b = append(b, `,"ItemType":"File","EventSource":"SharePoint","IsManagedDevice":true,"UserAgent":"`...)
	b = append(b, u.desk.ua...)
	b = append(b, '"')
	g.ualEnd(b)
}

// chat writes a Teams record.
func (g *gen) chat(t int64, id guid, u *user, from where) {
	b, ok := g.ual(t, id, "MessageSent", 25, "Succeeded", u.id, 0, "MicrosoftTeams")
	if !ok {
		return
	}
	b = ualIP(b, "ClientIP", from.ip)
	b = g.ualUser(b, u.upn)
	b = append(b, `,"CommunicationType":"GroupChat","ChatThreadId":"19:`...)
	b = appendHex(b, hash(uint64(u.idx/teamSize)), 16)
	b = append(b, `@thread.v2","MessageId":"`...)
	b = num(b, t/1000)
	b = append(b, `","ExtraProperties":[]`...)
	g.ualEnd(b)
}
