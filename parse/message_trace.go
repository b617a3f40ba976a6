package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// MessageTrace reads Exchange message traces: Get-MessageTrace and its V2 and
// the reporting service, which have a row for each recipient; the portal's and
// historical CSV, which has a row for each message; and the extended report,
// which has a row for each step. There is an event for each recipient.
//
// Sender is the actor, whether in the tenant or not. Detail holds "size",
// "direction", "connector", "to_ip", "source", "return_path".
//
// Source: Get-MessageTraceV2; "Message trace in the modern EAC", reports.
type MessageTrace struct{}

// Name implements [Format].
func (MessageTrace) Name() string { return "message_trace" }

// Doc implements [Format].
func (MessageTrace) Doc() string {
	return "Exchange message trace: Get-MessageTrace JSON and CSV, portal and historical CSV, extended report"
}

// Sniff implements [Format].
func (x MessageTrace) Sniff(r *Record) bool {
	var f traceFields
	return x.read(r, &f)
}

type traceFields struct {
	traceID, messageID, received, sender, recipient, subject, status, toIP, fromIP, size, org *fastjson.Value
	recipientStatus, networkID, clientIP, direction, connector, eventID, source, returnPath   *fastjson.Value
}

func (f *traceFields) visit(key []byte, v *fastjson.Value) {
	var buf keyBuf
	switch string(foldKey(buf[:], key)) {
	case "messagetraceid":
		set(&f.traceID, v)
	case "messageid":
		set(&f.messageID, v)
	case "received", "origintimestamputc", "datetimeutc", "receiveddatetime":
		set(&f.received, v)
	case "senderaddress":
		set(&f.sender, v)
	case "recipientaddress":
		set(&f.recipient, v)
	case "subject", "messagesubject":
		set(&f.subject, v)
	case "status":
		set(&f.status, v)
	case "toip":
		set(&f.toIP, v)
	case "fromip":
		set(&f.fromIP, v)
	case "size", "totalbytes":
		set(&f.size, v)
	case "organization":
		set(&f.org, v)
	case "recipientstatus":
		set(&f.recipientStatus, v)
	case "networkmessageid":
		set(&f.networkID, v)
	case "originalclientip", "clientip":
		set(&f.clientIP, v)
	case "directionality":
		set(&f.direction, v)
	case "connectorid":
		set(&f.connector, v)
	case "eventid":
		set(&f.eventID, v)
	case "source":
		set(&f.source, v)
	case "returnpath":
		set(&f.returnPath, v)
	}
}

func (MessageTrace) read(r *Record, f *traceFields) bool {
	o, err := r.Value.Object()
	if err != nil {
		return false
	}
	o.Visit(f.visit)
	switch {
	case f.received == nil || f.sender == nil && f.recipient == nil && f.recipientStatus == nil:
		return false
	case f.traceID != nil:
		return true
	}
	utc := has(r.Value, "origin_timestamp_utc") || has(r.Value, "date_time_utc")
	return utc && (f.networkID != nil || f.messageID != nil)
}

// maxRecipients bounds the events that one row of the portal's report makes.
const maxRecipients = 5000

// Parse implements [Format].
func (x MessageTrace) Parse(r *Record, s *Sink) error {
	var f traceFields
	if !x.read(r, &f) {
		return ErrNotMine
	}
	if f.recipientStatus == nil {
		x.add(&f, text(f.recipient), text(f.status), s)
		return nil
	}
	// "a@b.c##Receive, Expand, Fail;d@e.f##Receive, Deliver"
	n := 0
	for part := range bytes.SplitSeq(text(f.recipientStatus), []byte(";")) {
		who, how, _ := bytes.Cut(bytes.TrimSpace(part), []byte("##"))
		if len(who) == 0 || n == maxRecipients {
			continue
		}
		n++
		x.add(&f, who, how, s)
	}
	if n == 0 {
		x.add(&f, nil, nil, s)
	}
	return nil
}

func (MessageTrace) add(f *traceFields, recipient, status []byte, s *Sink) {
	e := s.Event(event.MessageTrace)
	e.Class = event.ClassMessageTrace
	e.Operation = "message trace"
	e.Workload = "Exchange"
	var t eventTime
	setTime(&t, f.received)
	e.Time = t.us
	if t.ambiguous {
		e.Flags |= event.FlagAmbiguousDate
	}
	e.Tenant = s.Lower(text(f.org))
	e.Actor = s.Lower(bytes.TrimSpace(text(f.sender)))
	e.Recipients = s.Lower(bytes.TrimSpace(recipient))
	e.Target, e.TargetKind = e.Recipients, "mailbox"
	e.MessageID = s.Bytes(trimMessageID(text(f.messageID)))
	e.Subject = s.Bytes(text(f.subject))
	s.SetIP(e, firstText(f.fromIP, f.clientIP))

	// The same message's steps and recipients have the same trace id. The
	// network message id of the portal's report is that id under another name.
	id := firstText(f.traceID, f.networkID)
	if len(id) > 0 {
		native := string(id) + "|" + e.Recipients
		if f.eventID != nil {
			e.Operation = s.Operation(text(f.eventID))
			native += "|" + e.Operation + "|" + string(text(f.source)) + "|" + string(text(f.received))
		}
		e.NativeID = s.Copy(strings.ToLower(native))
	}
	e.Code = s.Bytes(status)
	switch {
	case containsFold(status, "fail"), containsFold(status, "quarantine"), containsFold(status, "spam"), containsFold(status, "drop"):
		e.Outcome = event.Failure
	case containsFold(status, "deliver"), containsFold(status, "expand"), containsFold(status, "resolved"), containsFold(status, "send"):
		e.Outcome = event.Success
	}
	var buf [256]byte
	d := detailWriter{buf: buf[:0]}
	if n, ok := integer(f.size); ok {
		d.putInt("size", n)
	}
	d.put("direction", text(f.direction))
	d.put("connector", text(f.connector))
	d.put("to_ip", text(f.toIP))
	d.put("source", text(f.source))
	d.put("return_path", text(f.returnPath))
	e.Detail = s.Bytes(d.bytes())
}
