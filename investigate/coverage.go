package investigate

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// coverage says what the evidence can show: computed from what is in the
// store, not from what collectors claim to have fetched.
func (w *world) coverage(ctx context.Context, q store.Querier, sources []casefile.Source) (c casefile.Coverage, err error) {
	c.From, c.To = casefile.TimeOf(w.from), casefile.TimeOf(w.to)
	by, err := w.hourly(ctx, q)
	if err != nil {
		return c, fmt.Errorf("coverage of sources: %w", err)
	}
	c.Sources = w.sourceCover(by)
	c.NeverReceived = w.neverReceived(c.Sources)
	if c.MissingClasses, err = w.missingClasses(ctx, q); err != nil {
		return c, fmt.Errorf("kinds of record: %w", err)
	}
	if err = w.quality(ctx, q, &c.Quality); err != nil {
		return c, fmt.Errorf("quality of records: %w", err)
	}
	for _, s := range sources {
		for _, r := range s.Rejected {
			c.Quality.Rejected += r.Count
		}
	}
	doubted := differing(sources)
	c.Smells = smells(sources, doubted, c.Quality)
	if c.MailAccess, err = w.mailCoverage(ctx, q); err != nil {
		return c, fmt.Errorf("coverage of mail access: %w", err)
	}
	w.matrix(by, &c, sources, doubted)
	return c, nil
}

const hour = time.Hour

// logKey is one kind of record of one log of one tenant.
type logKey struct{ tenant, source, kind, class string }

// hourCell is an hour of it.
type hourCell struct {
	n           int64
	first, last time.Time
}

// hourly counts the records of each log by the hour, and by kind of operation:
// coverage, its gaps and the matrix are made of these.
func (w *world) hourly(ctx context.Context, q store.Querier) (map[logKey]map[time.Time]hourCell, error) {
	out := map[logKey]map[time.Time]hourCell{}
	err := store.Each(ctx, q, `SELECT coalesce(tenant, ''), source, CASE WHEN source = 'signin' THEN coalesce(workload, '') ELSE '' END, `+opClassSQL()+`, date_trunc('hour', time), count(*), min(time), max(time)
		FROM events WHERE time IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`, nil, func(scan scanner) error {
		var k logKey
		var at time.Time
		var x hourCell
		if err := scan(&k.tenant, &k.source, &k.kind, &k.class, &at, &x.n, &x.first, &x.last); err != nil {
			return err
		}
		at, x.first, x.last = at.UTC(), x.first.UTC(), x.last.UTC()
		for _, class := range []string{allRecords, k.class} {
			if class != allRecords && !slices.Contains(classesOf(k.source), class) {
				continue
			}
			k := logKey{k.tenant, k.source, k.kind, class}
			if out[k] == nil {
				out[k] = map[time.Time]hourCell{}
			}
			c, ok := out[k][at]
			if !ok || x.first.Before(c.first) {
				c.first = x.first
			}
			if !ok || x.last.After(c.last) {
				c.last = x.last
			}
			c.n += x.n
			out[k][at] = c
		}
		return nil
	})
	return out, err
}

// sourceCover measures each log of each tenant; sign-ins by their kind.
func (w *world) sourceCover(by map[logKey]map[time.Time]hourCell) (out []casefile.SourceCover) {
	hours := int64(w.to.Truncate(hour).Sub(w.from.Truncate(hour))/hour) + 1
	days := int64(w.to.Truncate(24*hour).Sub(w.from.Truncate(24*hour))/(24*hour)) + 1
	for k, cells := range by {
		if k.class != allRecords {
			continue
		}
		s := casefile.SourceCover{Tenant: k.tenant, Source: k.source, Kind: k.kind, Hours: int64(len(cells)), HoursInWindow: hours, DaysInWindow: days}
		at := make([]time.Time, 0, len(cells))
		dates := map[time.Time]bool{}
		for h, c := range cells {
			s.Records += c.n
			at = append(at, h)
			dates[h.Truncate(24*hour)] = true
		}
		slices.SortFunc(at, time.Time.Compare)
		s.Days, s.Share = int64(len(dates)), round(float64(s.Hours)/float64(hours), 4)
		before := w.from
		for _, h := range at {
			if isGap(before, cells[h].first) {
				s.Gaps = append(s.Gaps, gapOf(before, cells[h].first))
			}
			before = cells[h].last
		}
		if isGap(before, w.to) {
			s.Gaps = append(s.Gaps, gapOf(before, w.to))
		}
		if len(at) > 0 {
			s.First, s.Last = casefile.TimeOf(cells[at[0]].first), casefile.TimeOf(before)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b casefile.SourceCover) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Source, b.Source), strings.Compare(a.Kind, b.Kind))
	})
	return out
}

// isGap reports whether at least 24 whole hours between two records have none.
// A job that runs every night a little later leaves no gap.
func isGap(a, b time.Time) bool { return b.Truncate(hour).Sub(a.Truncate(hour)) > 24*hour }

func gapOf(a, b time.Time) casefile.Gap {
	return casefile.Gap{From: casefile.TimeOf(a), To: casefile.TimeOf(b), Hours: round(b.Sub(a).Hours(), 1)}
}

// expected lists the logs that an investigation of a Microsoft tenant wants.
func expected() []casefile.Missing {
	return []casefile.Missing{
		{Source: "ual", What: "which mail and files were reached, inbox rules, forwarding", Fetch: "Purview audit search, or Search-UnifiedAuditLog; kept 180 days (one year with E5)"},
		{Source: "signin/interactive", What: "guessing of passwords, and sign-ins of people", Fetch: "Graph auditLogs/signIns; kept 7 days without and 30 with a P1 licence"},
		{Source: "signin/noninteractive", What: "use of stolen tokens and sessions without a password", Fetch: "Graph /beta auditLogs/signIns?$filter=signInEventTypes/any(t:t eq 'nonInteractiveUser')"},
		{Source: "signin/service_principal", What: "sign-ins of applications, and with which key", Fetch: "Graph /beta auditLogs/signIns?$filter=signInEventTypes/any(t:t eq 'servicePrincipal')"},
		{Source: "signin/managed_identity", What: "sign-ins of managed identities", Fetch: "Graph /beta auditLogs/signIns?$filter=signInEventTypes/any(t:t eq 'managedIdentity')"},
		{Source: "directory", What: "grants, consents, credentials and new accounts, with addresses", Fetch: "Graph auditLogs/directoryAudits; kept 7 days without and 30 with a P1 licence"},
		{Source: "graph_activity", What: "what applications asked of Graph: searches, attachments, lists", Fetch: "a diagnostic setting of Entra for MicrosoftGraphActivityLogs; records nothing before it is set"},
		{Source: "message_trace", What: "subjects, senders and recipients of messages that were read", Fetch: "Get-MessageTraceV2 (10 days), or a historical search (90 days)"},
	}
}

// neverReceived lists the expected logs of which a tenant has no record.
// Records that do not name their tenant may be any tenant's: a log that has
// such records is not called missing.
func (w *world) neverReceived(have []casefile.SourceCover) (out []casefile.Missing) {
	microsoft := map[string]bool{}
	got := map[string]bool{}
	for _, s := range have {
		name := s.Source
		if s.Kind != "" {
			name += "/" + s.Kind
		}
		got[s.Tenant+" "+name] = true
		if slices.ContainsFunc(expected(), func(m casefile.Missing) bool { return strings.HasPrefix(m.Source, s.Source) }) {
			microsoft[s.Tenant] = true
		}
	}
	tenants := sortedKeys(microsoft)
	if len(tenants) > 1 {
		tenants = slices.DeleteFunc(tenants, func(t string) bool { return t == "" })
	}
	for _, t := range tenants {
		for _, m := range expected() {
			if !got[t+" "+m.Source] && !got[" "+m.Source] {
				m.Tenant = t
				out = append(out, m)
			}
		}
	}
	return out
}

// missingClasses lists kinds of record that never occur although their log
// was received: a collection that asked for some operations only, a licence
// that does not record them, or auditing that was off.
func (w *world) missingClasses(ctx context.Context, q store.Querier) (out []casefile.Missing, err error) {
	have := map[string]map[string]bool{}
	err = store.Each(ctx, q, `SELECT DISTINCT source, class FROM events ORDER BY 1, 2`, nil, func(scan scanner) error {
		var s, c string
		err := scan(&s, &c)
		if have[s] == nil {
			have[s] = map[string]bool{}
		}
		have[s][c] = true
		return err
	})
	if err != nil || have["ual"] == nil {
		return nil, err
	}
	for _, m := range []struct {
		class event.Class
		casefile.Missing
	}{
		{event.ClassMailAccess, casefile.Missing{Source: "ual", What: "MailItemsAccessed: no record says which messages were read", Fetch: "check the licence (E5, or E3 since 2024) and each mailbox's AuditOwner, AuditDelegate and AuditAdmin; search the audit log for the operation by name"}},
		{event.ClassSignIn, casefile.Missing{Source: "ual", What: "UserLoggedIn and UserLoginFailed: the audit log's copy of sign-ins, which is kept longer than the sign-in logs", Fetch: "search the audit log without a filter for workloads"}},
		{event.ClassSearch, casefile.Missing{Source: "ual", What: "SearchQueryInitiated: what was searched for in mail", Fetch: "is off unless set for each mailbox: Set-Mailbox -AuditOwner @{Add='SearchQueryInitiated'}"}},
	} {
		if !have["ual"][string(m.class)] {
			out = append(out, m.Missing)
		}
	}
	return out, nil
}

func (w *world) quality(ctx context.Context, q store.Querier, c *casefile.Quality) error {
	return store.Each(ctx, q, `SELECT `+flagSQL(uint32(event.FlagIDConflict))+`, `+flagSQL(uint32(event.FlagTruncated))+`, `+flagSQL(uint32(event.FlagDestroyed))+`, `+
		flagSQL(uint32(event.FlagTimeMissing))+`, `+flagSQL(uint32(event.FlagIPUnparsed))+`, `+flagSQL(uint32(event.FlagNoNativeID))+`, `+
		flagSQL(uint32(event.FlagAmbiguousDate))+`, `+flagSQL(uint32(event.FlagInvalidUTF8))+`, count(CASE WHEN actor_kind = 'service' THEN 1 END) FROM events`, nil, func(scan scanner) error {
		return scan(&c.IDConflict, &c.Truncated, &c.Destroyed, &c.TimeMissing, &c.IPUnreadable, &c.NoNativeID, &c.AmbiguousDate, &c.InvalidUTF8, &c.Service)
	})
}

// smells finds signs that an export is not complete.
func smells(sources []casefile.Source, doubted []casefile.Stretch, c casefile.Quality) (out []casefile.Smell) {
	for _, s := range sources {
		for _, n := range cutSizes() {
			if s.Records == n && s.Framing != "messages" { // how many of a topic are read at once is our own doing
				out = append(out, casefile.Smell{Kind: "truncation", File: s.Path, Count: n, Text: fmt.Sprintf("exactly %d records: a limit of exporting tools, so there probably was more", n)})
			}
		}
		if s.Incomplete != "" {
			out = append(out, casefile.Smell{Kind: "incomplete", File: s.Path, Count: s.Records, Text: "could not be read to its end: " + s.Incomplete})
		}
		if s.NextPage {
			out = append(out, casefile.Smell{Kind: "truncation", File: s.Path, Count: s.Records, Text: "ends with a link to a further page that was not fetched, or is another file"})
		}
		var rejected int64
		for _, r := range s.Rejected {
			rejected += r.Count
		}
		if rejected > 0 {
			out = append(out, casefile.Smell{Kind: "rejected", File: s.Path, Count: rejected, Text: plural(int(rejected), "record", "records") + " could not be used"})
		}
	}
	for _, x := range doubted {
		out = append(out, casefile.Smell{Kind: "collection", Count: x.OnlyFirst + x.OnlySecond, Text: fmt.Sprintf("two fetches of %s from %s to %s differ: %s only in the first, %d only in the second; both are here, and there may be more that neither has",
			x.Log, x.From.UTC().Format("2006-01-02 15:04"), x.To.UTC().Format("2006-01-02 15:04"), plural(int(x.OnlyFirst), "record", "records"), x.OnlySecond)})
	}
	if c.Truncated > 0 {
		out = append(out, casefile.Smell{Kind: "cut", Count: c.Truncated, Text: "records were cut by their exporter, as spreadsheets do after 32,767 characters"})
	}
	if c.Destroyed > 0 {
		out = append(out, casefile.Smell{Kind: "destroyed", Count: c.Destroyed, Text: "records lost nested data to their exporter (System.Object[]): export again as JSON"})
	}
	return out
}

// maxNames is how many names a list of mailboxes holds.
const maxNames = 50

func (w *world) mailCoverage(ctx context.Context, q store.Querier) (c casefile.MailCoverage, err error) {
	seen, err := w.mailboxesSeen(ctx, q)
	if err != nil {
		return c, err
	}
	err = store.Each(ctx, q, `SELECT count(*), min(time), max(time), count(CASE WHEN throttled THEN 1 END), count(CASE WHEN throttled IS NULL AND source = 'ual' AND coalesce(access, '') <> 'sync' THEN 1 END)
		FROM events WHERE class = 'mail_access'`, nil, func(scan scanner) error {
		var a, b sql.NullTime
		if err := scan(&c.Records, &a, &b, &c.Throttled, &c.ThrottleUnknown); err != nil {
			return err
		}
		c.First, c.Last = casefile.TimeOf(a.Time), casefile.TimeOf(b.Time)
		return nil
	})
	if err != nil {
		return c, err
	}
	for _, name := range sortedKeys(seen) {
		c.MailboxesSeen++
		if seen[name].read {
			c.Mailboxes++
			continue
		}
		c.SilentCount++
		if len(c.MailboxesSilent) < maxNames {
			c.MailboxesSilent = append(c.MailboxesSilent, name)
		}
	}
	return c, w.perMailbox(ctx, q, &c)
}

// seenBox is what is known of a mailbox from all of the evidence.
type seenBox struct {
	read    bool // there is a record of somebody reading it
	tenants map[string]bool
}

// mailboxesSeen lists the mailboxes that occur anywhere: as owner in Exchange
// records, or as an internal sender or recipient of mail.
func (w *world) mailboxesSeen(ctx context.Context, q store.Querier) (map[string]*seenBox, error) {
	out := map[string]*seenBox{}
	see := func(name, tenant string, read bool) {
		if name == "" {
			return
		}
		b := out[name]
		if b == nil {
			b = &seenBox{tenants: map[string]bool{}}
			out[name] = b
		}
		b.read = b.read || read
		b.tenants[tenant] = true
	}
	err := store.Each(ctx, q, `SELECT coalesce(mailbox, ''), coalesce(mailbox_id, ''), coalesce(tenant, ''), max(CASE WHEN class = 'mail_access' AND source IN ('ual', 'google') THEN 1 ELSE 0 END)
		FROM events WHERE (mailbox IS NOT NULL AND mailbox <> '' OR mailbox_id IS NOT NULL AND mailbox_id <> '')
			AND class IN ('mail_access', 'attachment_access', 'mail_send', 'mail_change', 'mail_delete', 'inbox_rule', 'forwarding', 'mailbox_permission', 'search', 'audit_change', 'admin')
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, nil, func(scan scanner) error {
		var name, id, tenant string
		var read int64
		if err := scan(&name, &id, &tenant, &read); err != nil {
			return err
		}
		if m := w.mailbox(name, id); strings.Contains(m, "@") {
			see(m, tenant, read == 1)
		}
		return nil
	})
	return out, err
}

// gapsOf returns the gaps of a log of one tenant within a span, the parts that
// lie in it.
func gapsOf(c *casefile.Coverage, tenant, source string, from, to time.Time) (out []casefile.Gap) {
	for _, s := range c.Sources {
		if s.Tenant != tenant || s.Source != source {
			continue
		}
		for _, g := range s.Gaps {
			a, b := g.From.Time, g.To.Time
			if a.Before(from) {
				a = from
			}
			if b.After(to) {
				b = to
			}
			if isGap(a, b) {
				out = append(out, gapOf(a, b))
			}
		}
	}
	return out
}

func round(x float64, digits int) float64 {
	p := 1.0
	for range digits {
		p *= 10
	}
	return float64(int64(x*p+0.5)) / p
}
