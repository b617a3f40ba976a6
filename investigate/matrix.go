package investigate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
)

// The kinds of operation of the matrix. An operation class that a log has, and
// that was never seen in it, is a row without cells: nothing can be said from
// its absence.
const (
	allRecords    = "all"
	signIns       = "sign_in"
	mailReads     = "mail_access"
	mailOther     = "mail_activity"
	mailSettings  = "mail_settings"
	searches      = "search"
	directory     = "directory_change"
	files         = "files"
	graphRequests = "graph_request"
)

// opClassSQL sorts events into the kinds of operation.
func opClassSQL() string {
	return `CASE WHEN class = 'sign_in' THEN '` + signIns + `' WHEN class IN ('mail_access', 'attachment_access') THEN '` + mailReads + `' WHEN class IN ('mail_send', 'mail_change', 'mail_delete') THEN '` + mailOther + `'
		WHEN class IN ('inbox_rule', 'forwarding', 'mailbox_permission', 'transport_rule', 'impersonation', 'audit_change') THEN '` + mailSettings + `' WHEN class = 'search' THEN '` + searches + `'
		WHEN class IN ('consent', 'app_role_grant', 'delegated_grant', 'permission_request', 'credential_add', 'app_create', 'sp_create', 'app_update', 'owner_add', 'user_create', 'user_update', 'user_delete', 'role_add', 'group_add', 'auth_method', 'password_reset', 'session_revoke', 'device', 'policy', 'federation') THEN '` + directory + `'
		WHEN class IN ('file_access', 'file_change', 'sharing') THEN '` + files + `' WHEN class = 'graph_request' THEN '` + graphRequests + `' ELSE 'other' END`
}

// classesOf lists the kinds of operation that a log is expected to have, and
// those of them that stand for a log of one kind only are left to its row of
// all records.
func classesOf(source string) []string {
	switch source {
	case string(event.UAL):
		return []string{signIns, mailReads, mailOther, mailSettings, searches, directory, files}
	}
	return nil
}

// maxHours bounds the matrix: longer evidence has its last part by the hour.
const maxHours = 24 * 400

func legend() map[string]string {
	return map[string]string{
		casefile.CellSeen: "records", casefile.CellQuiet: "no record, and none has to be", casefile.CellAbsent: "no record where the tenant's rhythm expects some",
		casefile.CellRetention: "before the log's retention, as it looks", casefile.CellPartial: "records of an export that was probably cut, or of a window of which two fetches differed", casefile.CellNever: "this kind of record was never seen",
	}
}

// matrix lays coverage out by the hour.
func (w *world) matrix(by map[logKey]map[time.Time]hourCell, c *casefile.Coverage, sources []casefile.Source, doubted []casefile.Stretch) {
	m := &c.Matrix
	m.Legend = legend()
	if w.to.IsZero() {
		return
	}
	from := w.from.Truncate(hour)
	m.Hours = int(w.to.Truncate(hour).Sub(from)/hour) + 1
	if m.Hours > maxHours {
		from = from.Add(time.Duration(m.Hours-maxHours) * hour)
		m.Hours = maxHours
	}
	m.From = casefile.TimeOf(from)
	counts := map[logKey][]int64{}
	for k, cells := range by {
		counts[k] = make([]int64, m.Hours)
		for at, x := range cells {
			if h := int(at.Sub(from) / hour); h >= 0 && h < m.Hours {
				counts[k][h] += x.n
			}
		}
	}
	keys := make([]logKey, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	have := map[logKey]bool{}
	for _, k := range keys {
		have[k] = true
	}
	for _, k := range slices.Clone(keys) {
		if k.class != allRecords {
			continue
		}
		for _, class := range classesOf(k.source) {
			if x := (logKey{k.tenant, k.source, k.kind, class}); !have[x] {
				keys = append(keys, x)
			}
		}
	}
	order := func(k logKey) string {
		i := slices.Index(append([]string{allRecords}, classesOf(k.source)...), k.class)
		return strings.Join([]string{k.tenant, k.source, k.kind, fmt.Sprintf("%02d", i)}, "\x00")
	}
	slices.SortFunc(keys, func(a, b logKey) int { return strings.Compare(order(a), order(b)) })
	for _, k := range keys {
		row := casefile.MatrixRow{Tenant: k.tenant, Source: k.source, Kind: k.kind, Class: k.class}
		if counts[k] == nil {
			row.Why = "never seen, though the log was received: the collection may not have asked for it, the licence may not have it, or it is off. Its absence says nothing"
			m.Rows = append(m.Rows, row)
			continue
		}
		w.fillRow(&row, from, counts[k], sources, doubted)
		m.Rows = append(m.Rows, row)
		if s := retentionWords(&row, w.to); s != "" && k.class == allRecords {
			c.Retention = append(c.Retention, s)
		}
	}
}

// fillRow writes a row's cells from its counts.
func (w *world) fillRow(row *casefile.MatrixRow, from time.Time, counts []int64, sources []casefile.Source, doubted []casefile.Stretch) {
	cells := make([]byte, len(counts))
	for h, n := range counts {
		row.Records += n
		cells[h] = casefile.CellQuiet[0]
		if n > 0 {
			cells[h] = casefile.CellSeen[0]
			row.Seen++
		}
	}
	holes, ok := silences(from, counts)
	row.Gaps = holes
	for i := range row.Gaps {
		g := &row.Gaps[i]
		state := casefile.CellAbsent[0]
		if g.From.Time.Sub(from) < hour && outOfRetention(row.Source, g.To.Time, w.to) {
			g.State, state = "retention", casefile.CellRetention[0]
		}
		for h := int(g.From.Sub(from) / hour); h < int(g.To.Sub(from)/hour); h++ {
			if counts[h] == 0 {
				cells[h] = state
				row.Absent++
			}
		}
	}
	if row.Class == allRecords {
		markCut(row, cells, from, sources)
		markDoubted(row, cells, from, doubted)
	}
	row.Cells = string(cells)
	if !ok {
		row.Why = fmt.Sprintf("records on fewer than %d days: too few to know a rhythm, so that no silence is called absence", leastDays)
		return
	}
	if n := row.Seen + row.Absent; n > 0 {
		x := round(float64(row.Seen)/float64(n), 4)
		row.Share = &x
	}
	row.Why = "hours are compared with the same hours of the same kind of day in this window"
}

// retentionDays are the days after which a log is gone at its source, of those
// licences that organizations have most.
func retentionDays(source string) []int {
	switch source {
	case string(event.SignIn), string(event.DirectoryLog):
		return []int{7, 30}
	case string(event.UAL):
		return []int{90, 180, 365}
	case string(event.MessageTrace):
		return []int{10, 90}
	}
	return nil
}

// outOfRetention reports whether a log that begins at first, in an export of
// about the time to, begins where its source has nothing older.
func outOfRetention(source string, first, to time.Time) bool {
	for _, d := range retentionDays(source) {
		off := to.Sub(first).Hours()/24 - float64(d)
		if off > -1.1 && off < 1.1 {
			return true
		}
	}
	return false
}

func retentionWords(row *casefile.MatrixRow, to time.Time) string {
	i := slices.IndexFunc(row.Gaps, func(g casefile.Hole) bool { return g.State == "retention" })
	if i < 0 {
		return ""
	}
	name := row.Source
	if row.Kind != "" {
		name += "/" + row.Kind
	}
	return fmt.Sprintf("%s of %s begins %.0f days before the end of the evidence, as a log does that is not kept longer; what was before is gone at its source, unless it was sent elsewhere",
		name, first(row.Tenant, "records without a tenant"), to.Sub(row.Gaps[i].To.Time).Hours()/24)
}

// cutSizes are numbers of rows at which exporting tools stop.
func cutSizes() []int64 { return []int64{5000, 10000, 50000, 50001, 100000, 250000} }

// markCut marks the hours that a probably cut export covers.
func markCut(row *casefile.MatrixRow, cells []byte, from time.Time, sources []casefile.Source) {
	for i := range sources {
		s := &sources[i]
		if !slices.Contains(cutSizes(), s.Records) && !s.NextPage && s.Incomplete == "" || !slices.ContainsFunc(s.Formats, func(f casefile.Format) bool { return formatOf(f.Name, row.Source) }) {
			continue
		}
		a, b := int(s.First.Sub(from)/hour), int(s.Last.Sub(from)/hour)
		for h := max(a, 0); h <= b && h < len(cells); h++ {
			if cells[h] == casefile.CellSeen[0] {
				cells[h] = casefile.CellPartial[0]
			}
		}
	}
}

// differing lists the windows of which the last two fetches had other records,
// in the order of their logs and times.
func differing(sources []casefile.Source) (out []casefile.Stretch) {
	type stretch struct {
		tenant, log string
		from, to    int64
	}
	last := map[stretch]casefile.Stretch{}
	for i := range sources {
		for _, x := range sources[i].Windows {
			k := stretch{x.Tenant, x.Log, x.From.UnixMicro(), x.To.UnixMicro()}
			if before, ok := last[k]; !ok || x.Fetched.After(before.Fetched.Time) {
				last[k] = x
			}
		}
	}
	for _, x := range last {
		if x.Differs {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b casefile.Stretch) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Log, b.Log), a.From.Compare(b.From.Time), a.To.Compare(b.To.Time))
	})
	return out
}

// markDoubted marks the hours of windows that were fetched twice and not with
// the same records: what neither fetch had may be missing there, so that quiet
// says nothing either. A collector may know a tenant by one of its domains,
// which rows do not have; then the log's rows of all tenants are marked.
func markDoubted(row *casefile.MatrixRow, cells []byte, from time.Time, doubted []casefile.Stretch) {
	for _, x := range doubted {
		if x.Source != row.Source || x.Kind != row.Kind || isGUID(x.Tenant) && isGUID(row.Tenant) && x.Tenant != row.Tenant {
			continue
		}
		for h := max(0, int(x.From.Sub(from)/hour)); h < len(cells) && from.Add(time.Duration(h)*hour).Before(x.To.Time); h++ {
			if cells[h] == casefile.CellSeen[0] || cells[h] == casefile.CellQuiet[0] {
				cells[h] = casefile.CellPartial[0]
			}
		}
	}
}

// isGUID reports whether a tenant is named by its id, and not by a domain.
func isGUID(tenant string) bool { return len(tenant) == 36 && strings.Count(tenant, "-") == 4 }

// formatOf reports whether a format reads records of a log.
func formatOf(format, source string) bool {
	switch source {
	case string(event.SignIn):
		return format == "entra_signin"
	case string(event.DirectoryLog):
		return format == "entra_audit"
	case string(event.UAL):
		return format == "ual" || format == "office_activity"
	}
	return format == source
}
