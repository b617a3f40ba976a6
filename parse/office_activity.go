package parse

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"midwatch/event"
)

// OfficeActivity reads Sentinel's table OfficeActivity, a flattened copy of the
// unified audit log. Its events belong to the same log and get the same ids, so
// that a tenant's own export and Sentinel's copy count once. The table has no
// columns for sessions and tokens: what only it saw cannot be joined to a logon.
//
// Source: Azure Monitor table OfficeActivity.
type OfficeActivity struct{}

// Name implements [Format].
func (OfficeActivity) Name() string { return "office_activity" }

// Doc implements [Format].
func (OfficeActivity) Doc() string {
	return "Microsoft Sentinel table OfficeActivity: the unified audit log without sessions and tokens"
}

// Sniff implements [Format].
func (OfficeActivity) Sniff(r *Record) bool {
	v := r.Value
	if has(v, "AuditData") || has(v, "CreationTime") {
		return false
	}
	return has(v, "Operation") && (has(v, "OfficeWorkload") || has(v, "OfficeId") || has(v, "OfficeObjectId") || string(str(v, "Type")) == "OfficeActivity")
}

// Parse implements [Format]. It gives the columns the names they have in the
// log, and leaves the rest to the log's own parser.
func (x OfficeActivity) Parse(r *Record, s *Sink) error {
	if !x.Sniff(r) {
		return ErrNotMine
	}
	o, err := r.Value.Object()
	if err != nil {
		return ErrNotMine
	}
	var a fastjson.Arena
	out := a.NewObject()
	seen := make(map[string]bool, o.Len())
	put := func(name string, v *fastjson.Value) {
		if isEmpty(v) || seen[name] {
			return
		}
		if v.Type() == fastjson.TypeString { // nested columns are JSON text
			b, _ := v.StringBytes()
			if b = bytes.TrimSpace(b); len(b) > 1 && (b[0] == '{' || b[0] == '[') {
				if y, err := r.Nested(b); err == nil {
					v = y
				}
			}
		}
		seen[name] = true
		out.Set(name, v)
	}
	var twins []func()
	o.Visit(func(key []byte, v *fastjson.Value) {
		name := strings.TrimSuffix(strings.TrimRight(string(key), " "), " [UTC]")
		if y := officeColumn(name); y != "" {
			put(y, v)
			return
		}
		if t, ok := strings.CutSuffix(name, "_"); ok { // UserId_ repeats UserId
			if y := officeColumn(t); y != "" {
				t = y
			}
			twins = append(twins, func() { put(t, v) })
			return
		}
		put(name, v)
	})
	for _, f := range twins {
		f()
	}
	// Exports of a few columns leave the time out. The time at which the table
	// took the record in is some minutes late, and better than none; the flag
	// says that it is not the record's.
	timeless := !seen["CreationTime"]
	if timeless {
		if v := get(r.Value, "Start_Time", "ElevationTime"); v != nil {
			out.Set("CreationTime", v)
		} else {
			out.Set("CreationTime", a.NewString(""))
		}
	}
	outer, first := r.Value, len(s.Batch.Events)
	r.Value = out
	err = UAL{}.Parse(r, s)
	r.Value = outer
	for i := first; timeless && i < len(s.Batch.Events); i++ {
		s.Batch.Events[i].Flags |= event.FlagTimeMissing
	}
	return err
}

// officeColumn gives the name in the log of a column that the table renames.
func officeColumn(name string) string {
	switch name {
	case "OfficeId":
		return "Id"
	case "TimeGenerated":
		return "CreationTime"
	case "OfficeObjectId":
		return "ObjectId"
	case "OfficeWorkload":
		return "Workload"
	case "Site_":
		return "Site"
	case "Site_Url", "SiteUrl":
		return "SiteUrl"
	case "Logon_Type":
		return "LogonType"
	case "Client_IPAddress", "ClientIP_":
		return "ClientIPAddress"
	case "Event_Data":
		return "EventData"
	case "AzureActiveDirectory_EventType":
		return "AzureActiveDirectoryEventType"
	case "Source_Name", "SourceFileName_":
		return "SourceFileName"
	case "TenantId", "Type", "SourceSystem", "$table": // the workspace's
		return "OfficeActivity." + name
	}
	return ""
}
