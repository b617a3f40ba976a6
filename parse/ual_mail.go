package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// mailbox reads Exchange's item records (types 2, 3, 50) and everything that
// has a mailbox owner: access by bind or sync, sending, moving, deleting.
//
// A Bind lists messages in Folders[].FolderItems[]; a Sync names one folder in
// Item.ParentFolder and no message: whoever synchronized it has all of it.
// Source: "Use MailItemsAccessed to investigate compromised accounts".
func (u UAL) mailbox(r *Record, e *event.Event, f *ualFields, s *Sink) {
	e.Mailbox = s.Lower(text(f.mailboxOwner))
	e.MailboxID = s.Lower(text(f.mailboxGUID))
	e.LogonType = logonType(text(f.logonType))
	e.Client = s.Bytes(bytes.TrimSpace(text(f.clientInfo)))
	if b := text(f.actorInfo); len(b) > 0 && e.UserAgent == "" {
		e.UserAgent = s.Bytes(b)
	}
	if e.UserAgent == "" {
		e.UserAgent = s.Bytes(text(f.clientProc))
	}
	if b := text(f.clientRequestID); len(b) > 0 && e.RequestID == "" {
		e.RequestID = s.Lower(b)
	}
	if b := text(f.tokenObjectID); len(b) > 0 {
		if e.ActorKind == event.ActorApp {
			e.SPID = s.Lower(b)
		}
		if e.ActorID == "" {
			e.ActorID = s.Lower(b)
		}
	}
	if e.AppID == "" {
		e.AppID = appIDOf(e.Client, e.UserAgent)
	}
	e.TargetKind = "mailbox"
	if n, ok := integer(f.opCount); ok {
		e.ItemCount = int32(min(max(n, 0), 1<<31-1))
	}
	destroyed := r.pairs(f.opProperties, func(name string, v *fastjson.Value) {
		switch name {
		case "MailAccessType", "AttachmentAccessType":
			switch {
			case bytes.EqualFold(text(v), []byte("Bind")):
				e.Access = event.Bind
			case bytes.EqualFold(text(v), []byte("Sync")):
				e.Access = event.Sync
			}
		case "IsThrottled":
			e.Throttled = boolean(v)
		}
	})
	n := 0
	switch {
	case e.Class == event.ClassAttachmentAccess:
		n, destroyed = u.attachments(r, f, s, destroyed)
	default:
		n, destroyed = u.folders(r, e, f, s, destroyed)
		n += u.single(r, e, f, s)
		n += u.affected(r, e, f, s)
	}
	if destroyed {
		e.Flags |= event.FlagDestroyed
	}
	if e.ItemCount == 0 {
		e.ItemCount = int32(n)
	}
	switch e.Class {
	case event.ClassMailSend:
		if b := text(f.sendAs); len(b) > 0 {
			e.Target = s.Lower(b)
		} else if b := text(f.sendOnBehalf); len(b) > 0 {
			e.Target = s.Lower(b)
		}
		e.Recipients = s.Copy(addressList(f.recipients))
	case event.ClassMailboxPermission:
		u.folderPermission(r, e, f, s)
	case event.ClassSearch:
		if b := text(f.searchQuery); len(b) > 0 {
			d := detailWriter{}
			d.add("search", string(b))
			e.Detail = s.Copy(d.String())
		}
	}
}

// folders adds an item for each message a Bind names.
func (UAL) folders(r *Record, e *event.Event, f *ualFields, s *Sink, destroyed bool) (n int, _ bool) {
	fs := f.folders
	if fs != nil && fs.Type() == fastjson.TypeString {
		var d bool
		fs, d = r.opened(fs)
		destroyed = destroyed || d
	}
	for _, folder := range fs.GetArray() {
		if folder.Type() == fastjson.TypeString {
			b, _ := folder.StringBytes()
			destroyed = destroyed || isDestroyed(string(b))
			continue
		}
		path := s.Bytes(str(folder, "Path"))
		items := get(folder, "FolderItems")
		if items != nil && items.Type() == fastjson.TypeString {
			destroyed = true
		}
		for _, it := range items.GetArray() {
			if it.Type() != fastjson.TypeObject {
				if it.Type() == fastjson.TypeString {
					destroyed = true
				}
				continue // FolderItems: [null] occurs on Sync
			}
			size := int64(-1)
			if v, ok := integer(it.Get("SizeInBytes")); ok {
				size = v
			}
			s.Item(event.Item{
				Kind:      event.ItemMessage,
				MessageID: s.Bytes(trimMessageID(text(it.Get("InternetMessageId")))),
				ItemID:    s.Bytes(text(it.Get("Id"))),
				Folder:    path,
				Subject:   s.Bytes(text(it.Get("Subject"))),
				Size:      size,
			})
			n++
		}
		if e.Access == event.Sync && len(items.GetArray()) == 0 {
			s.Item(event.Item{Kind: event.ItemFolder, Folder: path, ItemID: s.Bytes(str(folder, "Id")), Size: -1})
			n++
		}
	}
	return n, destroyed
}

// single reads Item: the folder of a Sync, or the message of a Send, Create,
// Update.
func (UAL) single(r *Record, e *event.Event, f *ualFields, s *Sink) int {
	item, _ := r.opened(f.item)
	if item == nil || item.Type() != fastjson.TypeObject {
		return 0
	}
	parent := get(item, "ParentFolder")
	folder := folderName(parent)
	if e.Class == event.ClassMailAccess {
		if e.Access != event.Sync && folder == "" {
			return 0
		}
		s.Item(event.Item{Kind: event.ItemFolder, Folder: s.Copy(folder), ItemID: s.Bytes(str(parent, "Id")), Size: -1})
		return 1
	}
	e.Subject = s.Bytes(str(item, "Subject"))
	e.MessageID = s.Bytes(trimMessageID(str(item, "InternetMessageId")))
	size := int64(-1)
	if v, ok := integer(item.Get("SizeInBytes")); ok {
		size = v
	}
	s.Item(event.Item{
		Kind: event.ItemMessage, MessageID: e.MessageID, ItemID: s.Bytes(str(item, "Id")), Folder: s.Copy(folder),
		Subject: e.Subject, Names: s.Bytes(str(item, "Attachments")), Size: size,
	})
	return 1
}

// folderPermission reads who was given what on which folder, from the folder
// that the item names.
func (UAL) folderPermission(r *Record, e *event.Event, f *ualFields, s *Sink) {
	item, _ := r.opened(f.item)
	if item == nil || item.Type() != fastjson.TypeObject {
		return
	}
	parent := get(item, "ParentFolder")
	if b := str(parent, "MemberUpn"); len(b) > 0 {
		e.Target = s.Lower(b)
	}
	e.Permissions = s.Bytes(str(parent, "MemberRights"))
	if folder := folderName(parent); folder != "" {
		d := detailWriter{}
		d.add("folder", folder)
		e.Detail = s.Copy(d.String())
	}
}

// affected reads AffectedItems of moves and deletions.
func (UAL) affected(r *Record, e *event.Event, f *ualFields, s *Sink) (n int) {
	list, destroyed := r.opened(f.affected)
	if destroyed {
		e.Flags |= event.FlagDestroyed
	}
	for _, it := range list.GetArray() {
		if it.Type() != fastjson.TypeObject {
			continue
		}
		s.Item(event.Item{
			Kind: event.ItemMessage, MessageID: s.Bytes(trimMessageID(str(it, "InternetMessageId"))), ItemID: s.Bytes(str(it, "Id")),
			Folder: s.Copy(folderName(get(it, "ParentFolder"))), Subject: s.Bytes(str(it, "Subject")), Names: s.Bytes(str(it, "Attachments")), Size: -1,
		})
		n++
	}
	return n
}

// attachments reads Messages[].MessageItems[] of AttachmentAccess: ids and
// sizes, no names and no internet message id.
func (UAL) attachments(r *Record, f *ualFields, s *Sink, destroyed bool) (n int, _ bool) {
	ms, d := r.opened(f.messages)
	destroyed = destroyed || d
	for _, m := range ms.GetArray() {
		if m.Type() != fastjson.TypeObject {
			destroyed = destroyed || m.Type() == fastjson.TypeString
			continue
		}
		id := s.Bytes(str(m, "Id"))
		for _, it := range get(m, "MessageItems").GetArray() {
			size := int64(-1)
			if v, ok := integer(get(it, "SizeInBytes")); ok {
				size = v
			}
			s.Item(event.Item{Kind: event.ItemAttachment, ItemID: id, Names: s.Bytes(str(it, "Id")), Size: size})
			n++
		}
	}
	return n, destroyed
}

func folderName(parent *fastjson.Value) string {
	p := string(str(parent, "Path"))
	if p == "" || p == "Not Available" {
		if n := str(parent, "Name"); len(n) > 0 {
			return string(n)
		}
	}
	return p
}

func trimMessageID(b []byte) []byte {
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '<' {
		b = b[1:]
	}
	if len(b) > 0 && b[len(b)-1] == '>' {
		b = b[:len(b)-1]
	}
	return b
}

// logonType names Exchange's logon types.
// Source: Management Activity API schema, enum LogonType.
func logonType(b []byte) string {
	switch string(b) {
	case "0", "Owner":
		return "owner"
	case "1", "Admin":
		return "admin"
	case "2", "Delegate", "Delegated":
		return "delegate"
	case "3", "Transport":
		return "transport"
	case "4", "SystemService":
		return "system_service"
	case "5", "BestAccess":
		return "best_access"
	case "6", "DelegatedAdmin":
		return "delegated_admin"
	}
	return ""
}

// appIDOf finds "[AppId=guid]" in the strings by which Exchange names clients.
func appIDOf(texts ...string) string {
	for _, t := range texts {
		if i := strings.Index(t, "[AppId="); i >= 0 {
			if id := t[i+7:]; len(id) >= 36 && isGUID([]byte(id[:36])) {
				return strings.ToLower(id[:36])
			}
		}
	}
	return ""
}

func addressList(v *fastjson.Value) string {
	var out []string
	if v != nil && v.Type() == fastjson.TypeString {
		b, _ := v.StringBytes()
		return strings.ToLower(strings.Join(strings.FieldsFunc(string(b), func(c rune) bool { return c == ';' || c == ',' || c == ' ' }), " "))
	}
	for _, x := range v.GetArray() {
		out = append(out, strings.ToLower(string(text(x))))
	}
	return strings.Join(out, " ")
}

// cmdlet reads the parameters of an Exchange or compliance cmdlet, a list of
// pairs or one PowerShell line, and what they mean for mail.
func (UAL) cmdlet(r *Record, e *event.Event, f *ualFields, s *Sink) {
	// Microsoft's own processes run most cmdlets of a tenant, over and over;
	// what they set is left to the record itself unless it touches mail flow.
	keep := e.ActorKind != event.ActorService || e.Class != event.ClassAdmin
	params := s.detail(0)
	var forward, rule []string
	audit := false
	set := func(name, value string) {
		if keep && value != "" {
			params.text(name, value)
		}
		switch name {
		case "ForwardTo", "ForwardAsAttachmentTo", "RedirectTo", "ForwardingSmtpAddress", "ForwardingAddress",
			"BlindCopyTo", "RedirectMessageTo", "CopyTo", "AddToRecipients":
			for a := range strings.FieldsFuncSeq(value, func(c rune) bool { return c == ';' || c == ',' || c == ' ' }) {
				a = strings.ToLower(strings.Trim(a, `"'<>[]`))
				a = strings.TrimPrefix(a, "smtp:")
				if a != "" && a != "$null" {
					forward = append(forward, strings.Clone(a))
				}
			}
		case "DeleteMessage", "MarkAsRead", "MoveToFolder", "SoftDeleteMessage":
			if !strings.EqualFold(value, "false") && value != "" {
				rule = append(rule, name+"="+value)
			}
		case "AuditEnabled", "AuditOwner", "AuditAdmin", "AuditDelegate", "AuditBypassEnabled", "DefaultAuditSet", "AuditLogAgeLimit":
			audit = true
		case "Identity", "Mailbox":
			if e.Mailbox == "" && strings.Contains(value, "@") && !strings.Contains(value, " ") {
				e.Mailbox = s.Copy(strings.ToLower(value))
			}
		case "User", "Trustee", "App":
			e.Target = s.Copy(value)
		case "AccessRights", "Role":
			e.Permissions = s.Copy(value)
		}
	}
	if b := text(f.parameters); len(b) > 0 && b[0] != '[' {
		powershellLine(string(b), set)
	} else {
		r.pairs(f.parameters, func(name string, v *fastjson.Value) { set(name, view(text(v))) })
	}
	if e.Mailbox == "" && e.Class == event.ClassInboxRule {
		e.Mailbox = ruleOwner(e, s)
	}
	if e.Operation == "set-mailbox" {
		switch {
		case len(forward) > 0:
			e.Class = event.ClassForwarding
		case audit:
			e.Class = event.ClassAuditChange
		}
	}
	d := s.detail(1)
	if len(forward) > 0 {
		d.add("forward", forward)
	}
	if len(rule) > 0 {
		d.add("rule_actions", rule)
	}
	if p := params.bytes(); len(p) > 0 {
		d.raw("params", p)
	}
	e.Detail = s.Bytes(d.bytes())
	if e.TargetKind == "" {
		e.TargetKind = "mailbox"
	}
}

// ruleOwner finds whose mailbox a rule is in: "mailbox\rule", a path with the
// mailbox at its end, or the actor's own.
func ruleOwner(e *event.Event, s *Sink) string {
	owner, _, found := strings.Cut(e.Target, `\`)
	if found && strings.Contains(owner, "@") {
		return s.Copy(strings.ToLower(owner))
	}
	if strings.Contains(e.Actor, "@") {
		return e.Actor
	}
	return ""
}

// powershellLine reads -Name "value" -Switch -Name value.
func powershellLine(line string, set func(name, value string)) {
	for {
		i := strings.Index(line, "-")
		if i < 0 {
			return
		}
		line = line[i+1:]
		end := strings.IndexAny(line, " :")
		if end < 0 {
			set(line, "True")
			return
		}
		name := line[:end]
		line = strings.TrimLeft(line[end:], " :")
		switch {
		case strings.HasPrefix(line, `"`):
			v, rest, _ := strings.Cut(line[1:], `"`)
			set(name, v)
			line = rest
		case strings.HasPrefix(line, "-"), line == "":
			set(name, "True")
		default:
			v, rest, _ := strings.Cut(line, " ")
			set(name, v)
			line = rest
		}
	}
}

// outlookRule reads UpdateInboxRules, which Outlook for Windows leaves instead
// of a cmdlet.
func (UAL) outlookRule(r *Record, e *event.Event, f *ualFields, s *Sink) {
	d := detailWriter{}
	var forward, actions []string
	r.pairs(f.opProperties, func(name string, v *fastjson.Value) {
		switch name {
		case "RuleOperation", "RuleName", "RuleState", "RuleCondition":
			d.add(name, string(text(v)))
		case "RuleActions":
			list, err := r.Nested(text(v))
			if err != nil {
				d.add(name, string(text(v)))
				return
			}
			for _, a := range list.GetArray() {
				actions = append(actions, string(str(a, "ActionType")))
				for _, to := range get(a, "Recipients").GetArray() {
					forward = append(forward, strings.ToLower(string(text(to))))
				}
			}
		}
	})
	if len(forward) > 0 {
		d.add("forward", forward)
	}
	if len(actions) > 0 {
		d.add("rule_actions", actions)
	}
	e.Detail = s.Copy(d.String())
	if e.Mailbox == "" {
		e.Mailbox = s.Lower(text(f.mailboxOwner))
	}
}
