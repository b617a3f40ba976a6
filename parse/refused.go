package parse

import (
	"bytes"
	"errors"
	"strings"

	"github.com/valyala/fastjson"
)

// Refused recognizes what looks like a log and cannot be used as one, so that
// the reason says what to do instead. It makes no events.
type Refused struct{}

// Name implements [Format].
func (Refused) Name() string { return "refused" }

// Doc implements [Format].
func (Refused) Doc() string {
	return "exports that cannot be used as evidence, and why: query results that count, content lists, destroyed nested data, snapshots of settings"
}

// Sniff implements [Format].
func (x Refused) Sniff(r *Record) bool { return x.reason(r) != nil }

// Parse implements [Format]. Its error is the reason.
func (x Refused) Parse(r *Record, _ *Sink) error {
	if err := x.reason(r); err != nil {
		return err
	}
	return ErrNotMine
}

// The reasons. They say what to do next.
var (
	errContentList = errors.New("list of content of the Management Activity API, not the content: fetch each contentUri")
	errSystemObj   = errors.New("audit records whose nested data were destroyed by a CSV export (System.Object[]): export again as JSON")
	errCounts      = errors.New("result of a query that counts or groups, not records: export the table itself")
	errRuleTest    = errors.New("test of a rule with only derived p_* fields, not a record")
	errRules       = errors.New("inbox rules as they were on the day of collection, without time or actor: not a log; give the audit log as well")
	errPermissions = errors.New("permissions as they were on the day of collection, without time or actor: not a log; give the audit log as well")
	errODataPage   = errors.New("page of the reporting service (d.results) in one piece: cut out its results")
)

func (Refused) reason(r *Record) error {
	o, err := r.Value.Object()
	if err != nil {
		return nil
	}
	var f refusedFields
	o.Visit(f.visit)
	switch {
	case f.contentURI && f.content:
		return errContentList
	case r.Table && f.creationTime && f.operation && f.destroyed && !f.auditData:
		return errSystemObj // in JSON such a record still says who and when
	case f.keys > 0 && f.keys == f.derived:
		return errRuleTest
	case f.ruleName && f.owner && f.enabled:
		return errRules
	case f.permissions:
		return errPermissions
	case f.results:
		return errODataPage
	case f.auditData || f.time || f.creationTime || f.id:
		return nil
	case f.aggregate, f.startTime && f.endTime && !f.operation:
		return errCounts
	}
	return nil
}

type refusedFields struct {
	keys, derived                                                            int
	content, contentURI, creationTime, operation, destroyed, auditData, time bool
	id, startTime, endTime, aggregate, ruleName, owner, enabled, permissions bool
	results                                                                  bool
}

func (f *refusedFields) visit(key []byte, v *fastjson.Value) {
	f.keys++
	if bytes.HasPrefix(key, []byte("p_")) {
		f.derived++
		return
	}
	if v.Type() == fastjson.TypeString && !f.destroyed {
		b, _ := v.StringBytes()
		f.destroyed = bytes.HasPrefix(b, []byte("System.Object[")) || bytes.HasPrefix(b, []byte("System.Collections."))
	}
	var buf keyBuf
	switch k := string(foldKey(buf[:], key)); k {
	case "contenturi":
		f.contentURI = true
	case "contenttype", "contentid":
		f.content = true
	case "creationtime":
		f.creationTime = true
	case "operation", "operationname", "eventtype", "actiontype":
		f.operation = true
	case "auditdata":
		f.auditData = true
	case "timegenerated", "createddatetime", "activitydatetime", "time", "timestamp", "published", "received":
		f.time = true
	case "id", "officeid", "uuid", "requestid", "messageid", "messagetraceid", "reportid":
		f.id = true
	case "starttime":
		f.startTime = true
	case "endtime":
		f.endTime = true
	case "rulename":
		f.ruleName = true
	case "username", "userprincipalname", "mailbox":
		f.owner = true
	case "enabled":
		f.enabled = true
	case "fullaccessusers", "fullaccesspermissions", "clientobjectid":
		f.permissions = true
	case "d":
		f.results = v.Type() == fastjson.TypeObject && v.Get("results") != nil
	case "count", "countof":
		f.aggregate = true
	default:
		// Names that the query language makes up for its aggregates.
		for _, p := range [...]string{"count_", "dcount_", "countif_", "makeset", "make_set", "set_", "list_", "min_Time", "max_Time", "arg_max", "arg_min"} {
			if strings.HasPrefix(string(key), p) {
				f.aggregate = true
			}
		}
	}
}
