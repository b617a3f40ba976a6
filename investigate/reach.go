package investigate

import (
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

// reach finds the mailboxes and messages that a campaign's contexts read.
//
// What a record of mail access proves, as Microsoft documents it:
//   - Bind names messages: each is confirmed. Binds of two minutes are one
//     record, the same bind within an hour is not recorded again, so records
//     are not reads and first and last are lower bounds.
//   - Sync names a folder: all that was in it is held to be read; which
//     messages those were is not in the log.
//   - After about a thousand records in a day a mailbox is throttled: for 24
//     hours binds are not recorded. Newer records do not say so.
//   - A record that an exporter cut or destroyed proves more reads than it
//     names.
type reach struct {
	w         *world
	mailboxes map[string]*box
}

type box struct {
	ref      casefile.MailboxRef
	messages map[string]*casefile.MessageRef
	folders  map[string]*casefile.FolderRef
	attached map[string]*casefile.AttachmentRef
	contexts map[string]bool
	tokens   map[string]bool
	tenants  map[string]int
	events   []string // in order of time
	seen     map[string]bool
	binds    []bind
	unclear  []string // records that may be the owner's
	lost     int64    // items that records count and do not name
	cut      []string
	graph    []graphRead
	windows  []casefile.Window
}

// bind is a record of the audit log that messages were read.
type bind struct {
	id        string
	at        time.Time
	app       string
	token     string
	throttled sql.NullBool
}

// graphRead is a message that a Graph request names by its item id.
type graphRead struct {
	event, item, context string
	app, token           string
	at                   time.Time
	maybe                bool
}

func newReach(w *world) *reach { return &reach{w: w, mailboxes: map[string]*box{}} }

// read collects what one context read.
func (r *reach) read(ctx context.Context, q store.Querier, c *grown) error {
	where, args := c.where(true)
	if where == "" {
		return nil
	}
	query := `SELECT CAST(e.id AS VARCHAR), e.source, coalesce(e.tenant, ''), e.class, e.time, coalesce(e.mailbox, ''), coalesce(e.mailbox_id, ''), coalesce(e.access, ''), e.throttled,
			coalesce(e.item_count, 0), coalesce(e.flags, 0), coalesce(e.app_id, ''), coalesce(e.token_id, ''),
			coalesce(i.kind, ''), coalesce(i.message_id, ''), coalesce(i.item_id, ''), coalesce(i.folder, ''), coalesce(i.subject, ''), coalesce(i.names, ''), i.size
		FROM events e LEFT JOIN items i ON i.event = e.id
		WHERE e.class IN ('mail_access', 'attachment_access') AND coalesce(e.outcome, '') <> 'failure' AND ` + where + `
		ORDER BY e.time, e.id, i.kind, i.message_id, i.item_id, i.folder, i.names`
	var cur string
	var named int64
	var row access
	finish := func() {
		if cur != "" {
			r.count(&row, named)
		}
		named = 0
	}
	err := store.Each(ctx, q, query, args, func(scan scanner) error {
		var a access
		var size sql.NullInt64
		if err := scan(&a.id, &a.source, &a.tenant, &a.class, &a.at, &a.mailbox, &a.mailboxID, &a.access, &a.throttled,
			&a.count, &a.flags, &a.app, &a.token, &a.kind, &a.message, &a.item, &a.folder, &a.subject, &a.names, &size); err != nil {
			return err
		}
		a.at = a.at.UTC()
		a.size = nil
		if size.Valid && size.Int64 >= 0 {
			a.size = &size.Int64
		}
		a.context, a.maybe = c.ID, c.maybe
		if a.id != cur {
			finish()
			cur = a.id
		}
		row = a
		if a.kind == string(event.ItemMessage) || a.kind == string(event.ItemAttachment) {
			named++
		}
		r.item(&a)
		return nil
	})
	if err != nil {
		return fmt.Errorf("mail that %s reached: %w", c.Kind, err)
	}
	finish()
	return nil
}

// access is a row: a record of mail access with one of its items.
type access struct {
	id, source, tenant, class, mailbox, mailboxID, access string
	app, token, context                                   string
	kind, message, item, folder, subject, names           string
	at                                                    time.Time
	throttled                                             sql.NullBool
	count, flags                                          int64
	size                                                  *int64
	maybe                                                 bool // of a context that may be the owner's
}

// certainty is what a record can show at most, of what is surest.
func (a *access) certainty(surest casefile.Certainty) casefile.Certainty {
	if a.maybe {
		return casefile.Possible
	}
	return surest
}

func (r *reach) box(a *access) *box {
	name := r.w.mailbox(a.mailbox, a.mailboxID)
	b := r.mailboxes[name]
	if b == nil {
		b = &box{
			ref:      casefile.MailboxRef{UPN: name},
			messages: map[string]*casefile.MessageRef{}, folders: map[string]*casefile.FolderRef{}, attached: map[string]*casefile.AttachmentRef{},
			contexts: map[string]bool{}, tokens: map[string]bool{}, seen: map[string]bool{}, tenants: map[string]int{},
		}
		r.mailboxes[name] = b
	}
	if b.ref.ID == "" && a.source == string(event.UAL) {
		b.ref.ID = a.mailboxID
	}
	return b
}

// item adds one item of a record.
func (r *reach) item(a *access) {
	b := r.box(a)
	at := casefile.TimeOf(a.at)
	switch {
	case a.kind == string(event.ItemMessage) && a.message != "":
		m := b.message(a.message, a.certainty(casefile.Confirmed))
		if m.ItemID == "" {
			m.ItemID = a.item
		}
		m.add(a, at)
	case a.kind == string(event.ItemMessage) && a.item != "":
		if a.source == string(event.GraphActivity) {
			b.graph = append(b.graph, graphRead{event: a.id, item: a.item, context: a.context, app: a.app, token: a.token, at: a.at, maybe: a.maybe})
		} else {
			m := b.message(a.item, a.certainty(casefile.Confirmed))
			m.InternetMessageID, m.ItemID = "", a.item
			m.add(a, at)
		}
	case a.kind == string(event.ItemAttachment):
		id := first(a.names, a.item)
		x := b.attached[id]
		if x == nil {
			x = &casefile.AttachmentRef{ID: id, ItemID: a.item, Certainty: a.certainty(casefile.Confirmed), Bytes: a.size}
			b.attached[id] = x
		}
		x.First, x.Last = casefile.Earlier(x.First, at), casefile.Later(x.Last, at)
		x.Events = addTo(x.Events, []string{a.id})
	case a.kind == string(event.ItemFolder) || a.access == string(event.Sync):
		name := first(a.folder, "(folder not named)")
		f := b.folders[name]
		if f == nil {
			f = &casefile.FolderRef{Folder: name, Certainty: a.certainty(casefile.Probable)}
			b.folders[name] = f
		}
		f.First, f.Last = casefile.Earlier(f.First, at), casefile.Later(f.Last, at)
		f.Contexts = addTo(f.Contexts, []string{a.context})
		f.Events = addTo(f.Events, []string{a.id})
	}
}

// message is the one of that id, new ones of the given certainty: contexts come
// in the order of their certainty, so that what is there stays.
func (b *box) message(key string, certainty casefile.Certainty) *msg {
	m := b.messages[strings.ToLower(key)]
	if m == nil {
		m = &casefile.MessageRef{InternetMessageID: key, Certainty: certainty}
		b.messages[strings.ToLower(key)] = m
	}
	return (*msg)(m)
}

type msg casefile.MessageRef

func (m *msg) add(a *access, at casefile.Time) {
	m.First, m.Last = casefile.Earlier(m.First, at), casefile.Later(m.Last, at)
	m.Folder, m.Subject = first(m.Folder, a.folder), first(m.Subject, a.subject)
	if m.Bytes == nil {
		m.Bytes = a.size
	}
	if !slices.Contains(m.Events, a.id) {
		m.Reads++
		if len(m.Events) < casefile.MaxEvents {
			m.Events = append(m.Events, a.id)
		}
	}
	m.Contexts = addTo(m.Contexts, []string{a.context})
}

// count adds what a record says as a whole, once all of its items are known.
func (r *reach) count(a *access, named int64) {
	b := r.box(a)
	b.contexts[a.context] = true
	if b.seen[a.id] {
		return // another context matched the same record
	}
	b.seen[a.id] = true
	b.tenants[a.tenant]++
	if a.token == "" {
		b.ref.NoToken++
	} else {
		b.tokens[a.token] = true
	}
	if a.maybe {
		b.unclear = append(b.unclear, a.id)
		return
	}
	b.events = append(b.events, a.id)
	at := casefile.TimeOf(a.at)
	b.ref.First, b.ref.Last = casefile.Earlier(b.ref.First, at), casefile.Later(b.ref.Last, at)
	const damaged = int64(event.FlagTruncated | event.FlagDestroyed)
	switch {
	case a.access == string(event.Sync):
	case a.source == string(event.UAL) && a.count > named:
		b.lost += a.count - named
		b.cut = append(b.cut, a.id)
	case a.flags&damaged != 0:
		b.cut = append(b.cut, a.id)
	}
	if a.source == string(event.UAL) && a.access != string(event.Sync) {
		b.binds = append(b.binds, bind{id: a.id, at: a.at, app: a.app, token: a.token, throttled: a.throttled})
	}
	if a.throttled.Valid && a.throttled.Bool {
		b.windows = append(b.windows, casefile.Window{
			From: at, To: casefile.TimeOf(a.at.Add(24 * time.Hour)), Certainty: casefile.Probable, Events: []string{a.id},
			Why: "the mailbox was throttled while the actor read it: for 24 hours reads of single messages were not recorded",
		})
	}
}

// finish decides on each mailbox and returns them, the most certain first.
func (r *reach) finish(ctx context.Context, q store.Querier) ([]casefile.MailboxRef, error) {
	var out []casefile.MailboxRef
	for _, name := range sortedKeys(r.mailboxes) {
		b := r.mailboxes[name]
		b.addGraph()
		if err := b.inferThrottle(ctx, q); err != nil {
			return nil, err
		}
		if ref, ok := b.finish(); ok {
			out = append(out, ref)
		}
	}
	slices.SortStableFunc(out, func(a, b casefile.MailboxRef) int { return b.Certainty.Rank() - a.Certainty.Rank() })
	return out, nil
}

// addGraph adds messages that only Graph requests name. The audit log records
// the same reads under another id of the message, within minutes; where it
// does, the request is evidence and not another message.
func (b *box) addGraph() {
	for _, g := range b.graph {
		same := slices.ContainsFunc(b.binds, func(x bind) bool {
			d := x.at.Sub(g.at)
			return d > -time.Hour && d < time.Hour && (x.token != "" && x.token == g.token || x.app == g.app)
		})
		if same {
			continue
		}
		m := b.message(g.item, (&access{maybe: g.maybe}).certainty(casefile.Confirmed))
		m.InternetMessageID, m.ItemID = "", g.item
		m.add(&access{id: g.event, context: g.context}, casefile.TimeOf(g.at))
	}
}

// throttleAt is from how many records in 24 hours on a mailbox is throttled.
const throttleAt = 1000

// inferThrottle looks for the sign of throttling in records that do not say:
// a thousand binds of the mailbox in 24 hours by anybody, then a day without.
func (b *box) inferThrottle(ctx context.Context, q store.Querier) error {
	for _, x := range b.binds {
		if x.throttled.Valid {
			return nil
		}
	}
	if len(b.binds) == 0 {
		return nil
	}
	return store.Each(ctx, q, throttleSQL(throttleAt), []any{b.ref.UPN}, func(scan scanner) error {
		var at time.Time
		var n int64
		var next sql.NullTime
		if err := scan(&at, &n, &next); err != nil {
			return err
		}
		b.windows = append(b.windows, casefile.Window{
			From: casefile.TimeOf(at), To: casefile.TimeOf(at.Add(24 * time.Hour)), Certainty: casefile.Possible, Events: []string{},
			Why: fmt.Sprintf("%d reads were recorded in 24 hours and then none for a day, as when a mailbox is throttled; the records do not say", n),
		})
		return nil
	})
}

// finish makes the reference of a mailbox. It reports false for one of which
// nothing is known but that a request named it.
func (b *box) finish() (casefile.MailboxRef, bool) {
	ref := b.ref
	for _, k := range sortedKeys(b.messages) {
		ref.Messages = append(ref.Messages, *b.messages[k])
	}
	slices.SortStableFunc(ref.Messages, func(x, y casefile.MessageRef) int { return x.First.Compare(y.First.Time) })
	for _, k := range sortedKeys(b.folders) {
		ref.WholeFolders = append(ref.WholeFolders, *b.folders[k])
	}
	for _, k := range sortedKeys(b.attached) {
		ref.AttachmentItems = append(ref.AttachmentItems, *b.attached[k])
	}
	ref.Attachments = int64(len(ref.AttachmentItems))
	ref.Windows = b.windows
	slices.SortStableFunc(ref.Windows, func(x, y casefile.Window) int { return x.From.Compare(y.From.Time) })
	ref.Contexts, ref.Tokens = sortedKeys(b.contexts), sortedKeys(b.tokens)
	best := 0
	for t, n := range b.tenants {
		if n > best || n == best && t < ref.Tenant {
			best, ref.Tenant = n, t
		}
	}
	ref.EventCount = int64(len(b.events))
	ref.Events = capped(b.events)
	if len(b.events) == 0 {
		ref.EventCount, ref.Events = int64(len(b.unclear)), capped(b.unclear)
		for _, m := range ref.Messages {
			ref.First, ref.Last = casefile.Earlier(ref.First, m.First), casefile.Later(ref.Last, m.Last)
		}
	}
	maybe := 0
	for _, m := range ref.Messages {
		if m.Certainty == casefile.Possible {
			maybe++
		}
	}
	ref.Counts.Messages.Confirmed = int64(len(ref.Messages) - maybe)
	ref.Counts.Messages.Possible = int64(maybe)
	ref.Counts.Messages.Probable = b.lost
	ref.Counts.WholeFolders = int64(len(ref.WholeFolders))
	ref.Counts.Attachments = ref.Attachments
	ref.Counts.Windows = int64(len(ref.Windows))

	var why []string
	say := func(c casefile.Certainty, format string, args ...any) {
		if c.Rank() > ref.Certainty.Rank() {
			ref.Certainty = c
		}
		why = append(why, fmt.Sprintf(format, args...))
	}
	if n := len(ref.Messages) - maybe; n > 0 {
		say(casefile.Confirmed, "%s named by %s of reading", plural(n, "message is", "messages are"), plural(len(b.events), "record", "records"))
	}
	if slices.ContainsFunc(ref.AttachmentItems, func(x casefile.AttachmentRef) bool { return x.Certainty == casefile.Confirmed }) {
		say(casefile.Confirmed, "%s", plural(int(ref.Attachments), "attachment was read by itself", "attachments were read by themselves"))
	}
	var names []string
	for _, f := range ref.WholeFolders {
		if f.Certainty == casefile.Probable {
			names = append(names, f.Folder)
		}
	}
	if n := len(names); n > 0 {
		say(casefile.Probable, "%s synchronized as a whole (%s): every message in it at that time is held to be read, the log does not name them", plural(n, "folder was", "folders were"), strings.Join(names, ", "))
	}
	if b.lost > 0 {
		say(casefile.Probable, "%d more items were read whose ids the records have lost", b.lost)
	} else if len(b.cut) > 0 {
		say(casefile.Probable, "%s cut or damaged: it may have named more than can be read", plural(len(b.cut), "record is", "records are"))
	}
	if len(b.unclear) > 0 {
		say(casefile.Possible, "%s of reading, %s named, may be the owner's or the actor's: the logs do not tell them apart", plural(len(b.unclear), "more record", "more records"), plural(maybe, "message", "messages"))
	}
	for _, w := range ref.Windows {
		say(w.Certainty, "from %s to %s %s", w.From, w.To, w.Why)
	}
	if len(why) == 0 && len(b.events) > 0 {
		say(casefile.Possible, "the actor asked for a list of its messages, or searched it: what came back is not in the log")
	}
	switch ref.Certainty {
	case casefile.Confirmed:
		ref.Counts.Mailboxes.Confirmed = 1
	case casefile.Probable:
		ref.Counts.Mailboxes.Probable = 1
	case casefile.Possible:
		ref.Counts.Mailboxes.Possible = 1
	}
	ref.Why = strings.Join(why, "; ")
	return ref, ref.Certainty != ""
}

// sum adds up a campaign's mailboxes. Each is counted once.
func sum(ms []casefile.MailboxRef) (r casefile.Reach) {
	add := func(to *casefile.PerCertainty, x casefile.PerCertainty) {
		to.Confirmed += x.Confirmed
		to.Probable += x.Probable
		to.Possible += x.Possible
	}
	for _, m := range ms {
		add(&r.Mailboxes, m.Counts.Mailboxes)
		add(&r.Messages, m.Counts.Messages)
		r.WholeFolders += m.Counts.WholeFolders
		r.Attachments += m.Counts.Attachments
		r.Windows += m.Counts.Windows
	}
	return r
}

func capped(ids []string) []string {
	if len(ids) <= casefile.MaxEvents {
		return ids
	}
	return append(slices.Clone(ids[:casefile.MaxEvents/2]), ids[len(ids)-casefile.MaxEvents/2:]...)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
