// Package storetest is the suite that every event store passes: what package
// store promises, checked on a real engine.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"midwatch/event"
	"midwatch/store"
)

// Open opens the store of a test. Called again with the same name it opens the
// same data.
type Open func(t *testing.T, name string) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("round trip", func(t *testing.T) { roundTrip(t, open) })
	t.Run("idempotent", func(t *testing.T) { idempotent(t, open) })
	t.Run("idempotent after reopening", func(t *testing.T) { reopened(t, open) })
	t.Run("conflict keeps both", func(t *testing.T) { conflict(t, open) })
	t.Run("rollback", func(t *testing.T) { rollback(t, open) })
	t.Run("concurrent append", func(t *testing.T) { concurrent(t, open) })
	t.Run("one load at a time", func(t *testing.T) { oneLoad(t, open) })
	t.Run("loads one after the other", func(t *testing.T) { queued(t, open) })
	t.Run("hostile text", func(t *testing.T) { hostile(t, open) })
	t.Run("large strings", func(t *testing.T) { large(t, open) })
	t.Run("files and rejects", func(t *testing.T) { filesAndRejects(t, open) })
	t.Run("assign tenant", func(t *testing.T) { assignTenant(t, open) })
	t.Run("empty", func(t *testing.T) { empty(t, open) })
	t.Run("window", func(t *testing.T) { window(t, open) })
}

// A window sees the events since a moment and those without a time, joins and
// subqueries included, and nobody else's questions are narrowed by it.
func window(t *testing.T, open Open) {
	s := open(t, "window")
	defer s.Close() //nolint:errcheck // the test says more
	ws, ok := s.(store.Windower)
	if !ok {
		t.Fatalf("%T has no windows", s)
	}
	b := batch(0, 10)
	b.Events[9].Time, b.Events[9].Flags = 0, event.FlagTimeMissing
	load(t, s, b)
	count := func(q store.Querier, query string) (n int64) {
		t.Helper()
		if err := store.Each(t.Context(), q, query, nil, func(scan func(...any) error) error { return scan(&n) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const joined = "SELECT count(*) FROM items i JOIN events e ON e.id = i.event WHERE e.id IN (SELECT id FROM events)"
	for _, from := range []int{0, 4, 9} {
		w, err := ws.Window(t.Context(), time.UnixMicro(Event(from).Time))
		if err != nil {
			t.Fatal(err)
		}
		want := int64(9 - from + 1)
		if n := count(w, "SELECT count(*) FROM events"); n != want {
			t.Errorf("since event %d: %d events, want %d", from, n, want)
		}
		if n := count(w, joined); n != 2*want {
			t.Errorf("since event %d: %d items joined, want %d", from, n, 2*want)
		}
		if n := count(s, "SELECT count(*) FROM events"); n != 10 {
			t.Errorf("the store beside a window has %d events", n)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 8 { // on whatever connection
		if n := count(s, joined); n != 20 {
			t.Errorf("after windows %d items are joined", n)
		}
	}
}

// Event makes an event whose columns all differ.
func Event(n int) event.Event {
	yes := true
	id, _ := event.MakeID(nil, "tenant", event.UAL, fmt.Sprint("native-", n))
	raw := fmt.Sprintf(`{"Id":"native-%d","text":"with \"quotes\" and ü"}`, n)
	return event.Event{
		ID: id, NativeID: fmt.Sprint("native-", n), Source: event.UAL, Format: "ual", Tenant: "tenant", Time: 1700000000_000000 + int64(n)*1_000_000,
		Class: event.ClassMailAccess, Operation: "mailitemsaccessed", Workload: "Exchange", Outcome: event.Success, Code: fmt.Sprint(n), Reason: "reason",
		ActorKind: event.ActorApp, Actor: fmt.Sprintf("user%d@x.example", n), ActorID: "actor-id", AppID: "app-id", AppName: "an app",
		ResourceID: "resource-id", ResourceName: "a resource", SPID: "sp-id", KeyID: "key-id",
		IP: "192.0.2.1", IPService: n%2 == 0, ASN: 64496, ASOrg: "org", IPKind: "hosting", Country: "DE",
		UserAgent: "agent", Client: "Client=REST;;", Protocol: "ropc", DeviceID: "device", SessionID: "session", TokenID: "token", RequestID: "request", CorrID: "corr",
		Mailbox: "box@x.example", MailboxID: "guid", LogonType: "owner", Access: event.Bind, Throttled: &yes, ItemCount: 2,
		Target: "target", TargetID: "target-id", TargetKind: "user", Permissions: "Mail.Read", Detail: `{"a":1}`,
		Subject: "subject", MessageID: "m@x.example", Recipients: "a@x.example b@x.example",
		Flags: event.FlagTruncated, File: 3, Line: int64(n + 1), Offset: int64(n * 100), Length: int64(len(raw)), Record: `{"row":1}`, Raw: []byte(raw),
	}
}

func batch(from, to int) *event.Batch {
	b := &event.Batch{}
	for n := from; n < to; n++ {
		b.Items = append(b.Items,
			event.Item{Event: int32(len(b.Events)), Kind: event.ItemMessage, MessageID: fmt.Sprintf("m%d@x.example", n), ItemID: "i", Folder: `\Inbox`, Subject: "s", Names: "a.pdf", Size: 7},
			event.Item{Event: int32(len(b.Events)), Kind: event.ItemFolder, Folder: `\Sent`, Size: -1})
		b.Events = append(b.Events, Event(n))
	}
	return b
}

// load claims, appends and commits batches.
func load(t *testing.T, s store.Store, bs ...*event.Batch) (duplicates int) {
	t.Helper()
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bs {
		n, err := l.Claim(b)
		if err != nil {
			t.Fatal(err)
		}
		duplicates += n
		if err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return duplicates
}

func one(t *testing.T, s store.Store, q string, dst ...any) {
	t.Helper()
	rows, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("%s: no row (%v)", q, rows.Err())
	}
	if err := rows.Scan(dst...); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

func count(t *testing.T, s store.Store, table string) (n int64) {
	t.Helper()
	one(t, s, "SELECT count(*) FROM "+table, &n)
	return n
}

func closeStore(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// roundTrip checks that every column holds what the event says, by name.
func roundTrip(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	bare := event.Event{ID: event.ID{1}, Source: event.Okta, Raw: []byte("{}")}
	load(t, s, &event.Batch{Events: []event.Event{Event(0), bare}})
	e := Event(0)
	want := map[string]string{
		"id": e.ID.String(), "source": "ual", "format": "ual", "tenant": "tenant", "class": "mail_access", "operation": "mailitemsaccessed",
		"workload": "Exchange", "outcome": "success", "code": "0", "reason": "reason", "actor_kind": "app", "actor": "user0@x.example", "actor_id": "actor-id",
		"app_id": "app-id", "app_name": "an app", "resource_id": "resource-id", "resource_name": "a resource", "sp_id": "sp-id", "key_id": "key-id",
		"ip": "192.0.2.1", "ip_service": "true", "asn": "64496", "as_org": "org", "ip_kind": "hosting", "country": "DE", "user_agent": "agent",
		"client": "Client=REST;;", "protocol": "ropc", "device_id": "device", "session_id": "session", "token_id": "token", "request_id": "request",
		"corr_id": "corr", "mailbox": "box@x.example", "mailbox_id": "guid", "logon_type": "owner", "access": "bind", "throttled": "true", "item_count": "2",
		"target": "target", "target_id": "target-id", "target_kind": "user", "permissions": "Mail.Read", "detail": `{"a":1}`, "subject": "subject",
		"message_id": "m@x.example", "recipients": "a@x.example b@x.example", "flags": "2", "file": "3", "line": "1", "pos": "0",
		"length": fmt.Sprint(e.Length), "record": `{"row":1}`, "raw": string(e.Raw),
	}
	for _, c := range event.Columns() {
		switch c.Name {
		case "time", "raw_bytes":
			continue
		}
		var got *string
		one(t, s, fmt.Sprintf("SELECT CAST(%s AS VARCHAR) FROM events WHERE source = 'ual'", c.Name), &got)
		w, known := want[c.Name]
		if !known {
			t.Errorf("column %s is not in this test", c.Name)
		} else if got == nil || *got != w {
			t.Errorf("column %s: got %v, want %q", c.Name, deref(got), w)
		}
		switch c.Name {
		case "id", "source", "flags", "file", "line", "pos", "length", "raw":
			continue
		}
		one(t, s, fmt.Sprintf("SELECT CAST(%s AS VARCHAR) FROM events WHERE source = 'okta'", c.Name), &got)
		if got != nil {
			t.Errorf("column %s: what the record does not say is %q, not NULL", c.Name, *got)
		}
	}
	var us int64
	one(t, s, "SELECT epoch_us(time) FROM events WHERE source = 'ual'", &us)
	if us != e.Time {
		t.Errorf("time: got %d, want %d", us, e.Time)
	}
}

func deref(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

func idempotent(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	if n := load(t, s, batch(0, 100), batch(50, 150)); n != 50 {
		t.Errorf("%d duplicates within a load, want 50", n)
	}
	if n := load(t, s, batch(0, 200)); n != 150 {
		t.Errorf("%d duplicates in a second load, want 150", n)
	}
	if n := count(t, s, "events"); n != 200 {
		t.Errorf("%d events, want 200", n)
	}
	if n := count(t, s, "items"); n != 400 {
		t.Errorf("%d items, want 400", n)
	}
}

func reopened(t *testing.T, open Open) {
	s := open(t, "a")
	load(t, s, batch(0, 5000))
	closeStore(t, s)
	s = open(t, "a")
	defer closeStore(t, s)
	if n := load(t, s, batch(0, 5001)); n != 5000 {
		t.Errorf("%d duplicates, want 5000", n)
	}
	if n := count(t, s, "events"); n != 5001 {
		t.Errorf("%d events, want 5001", n)
	}
}

func conflict(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	other := batch(0, 1)
	other.Events[0].Operation = "something else"
	again := batch(0, 1)
	again.Events[0].Operation = "something else"
	if n := load(t, s, batch(0, 1), other, again); n != 1 {
		t.Errorf("%d duplicates, want 1: the second copy of the other content", n)
	}
	var flagged int64
	one(t, s, "SELECT count(*) FROM events WHERE flags % 2 = 1", &flagged)
	if n := count(t, s, "events"); n != 2 || flagged != 1 {
		t.Errorf("%d events, %d flagged; want 2 and 1", n, flagged)
	}
	var ids int64
	one(t, s, "SELECT count(DISTINCT event) FROM items", &ids)
	if ids != 2 {
		t.Errorf("items belong to %d events, want 2", ids)
	}
}

func rollback(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	load(t, s, batch(0, 10))
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := batch(10, 5000)
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "events"); n != 10 {
		t.Errorf("%d events after a rollback, want 10", n)
	}
	if n := load(t, s, batch(0, 20)); n != 10 {
		t.Errorf("%d duplicates: the store remembers what was rolled back; want 10", n)
	}
	if n := count(t, s, "events"); n != 20 {
		t.Errorf("%d events, want 20", n)
	}
}

func concurrent(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const workers, each = 4, 5000
	var wg sync.WaitGroup
	for w := range workers {
		b := batch(w*each, (w+1)*each)
		if _, err := l.Claim(b); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := l.Append(context.Background(), b); err != nil {
				t.Error(err)
			}
			b.Reset()
		})
	}
	wg.Wait()
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n, ids int64
	one(t, s, "SELECT count(*), count(DISTINCT id) FROM events", &n, &ids)
	if n != workers*each || ids != n {
		t.Errorf("%d events, %d ids; want %d", n, ids, workers*each)
	}
	var wrong int64
	one(t, s, `SELECT count(*) FROM events WHERE NOT raw LIKE '%"native-' || CAST(line - 1 AS VARCHAR) || '"%'`, &wrong)
	if wrong != 0 {
		t.Errorf("%d rows hold another row's record", wrong)
	}
}

// Loads that wait for each other, as those of several consumers do, all succeed.
func queued(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	const workers, loads, each = 3, 15, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range loads {
				l, err := s.Begin(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				from := (w*loads + i) * each
				b := batch(from, from+each)
				_, err = l.Claim(b)
				if err == nil {
					err = l.Append(t.Context(), b)
				}
				if err == nil {
					err = l.Files(t.Context(), []store.File{{Ordinal: l.FirstFile(), Events: each}})
				}
				if err == nil {
					err = l.Commit(t.Context())
				}
				if err != nil {
					t.Error(err, l.Rollback())
					return
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, s, "events"); n != workers*loads*each {
		t.Errorf("%d events, want %d", n, workers*loads*each)
	}
}

func oneLoad(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Begin(ctx); err == nil {
		t.Error("two loads are open")
	}
	if err := l.Rollback(); err != nil {
		t.Error(err)
	}
	if err := l.Rollback(); err != nil {
		t.Errorf("a second rollback: %v", err)
	}
	l, err = s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Append(t.Context(), &event.Batch{}); err == nil {
		t.Error("append after commit went unnoticed")
	}
}

// hostile checks that any bytes come back as they were, or marked.
func hostile(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	texts := []string{"'; DROP TABLE events; --", "nul\x00inside", "\xff\xfe not utf-8 \x80", "日本語", strings.Repeat("x", 12), strings.Repeat("y", 13), "\u0000", "=cmd|' /C calc'!A0"}
	b := &event.Batch{}
	for i, x := range texts {
		e := Event(i)
		e.Subject = x
		e.Raw = []byte(x)
		if x == texts[2] {
			e.Flags |= event.FlagInvalidUTF8
		}
		b.Events = append(b.Events, e)
	}
	load(t, s, b)
	rows, err := s.Query(t.Context(), "SELECT subject, raw, raw_bytes FROM events ORDER BY line")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for _, want := range texts {
		if !rows.Next() {
			t.Fatal("rows are missing")
		}
		var subject string
		var raw *string
		var bytes []byte
		if err := rows.Scan(&subject, &raw, &bytes); err != nil {
			t.Fatal(err)
		}
		if raw != nil {
			bytes = []byte(*raw)
		}
		if string(bytes) != want {
			t.Errorf("record: got %q, want %q", bytes, want)
		}
		if w := strings.ToValidUTF8(want, "\uFFFD"); subject != w {
			t.Errorf("text: got %q, want %q", subject, w)
		}
	}
}

func large(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	b := &event.Batch{}
	sizes := []int{1, 12, 13, 4096, 1 << 20, 9 << 20, 20 << 20}
	for i, n := range sizes {
		e := Event(i)
		e.Raw = []byte(strings.Repeat("r", n))
		e.Target = strings.Repeat("t", n)
		b.Events = append(b.Events, e)
	}
	load(t, s, b)
	rows, err := s.Query(t.Context(), "SELECT length(raw), length(target) FROM events ORDER BY line")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []int
	for rows.Next() {
		var a, c int
		if err := rows.Scan(&a, &c); err != nil {
			t.Fatal(err)
		}
		if a != c {
			t.Errorf("record of %d bytes, text of %d", a, c)
		}
		got = append(got, a)
	}
	if !slices.Equal(got, sizes) {
		t.Errorf("got %v, want %v", got, sizes)
	}
}

func filesAndRejects(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	l, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := batch(0, 1)
	b.Rejects = []event.Reject{{File: 1, Line: 2, Offset: 3, Length: 4, Reason: "why's", Head: "he\"ad"}}
	if _, err := l.Claim(b); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.Files(t.Context(), []store.File{{Ordinal: 1, Path: "a'b.json", SHA256: "aa", Bytes: 9, OuterSHA256: "bb"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var path, sha, outer, reason, head string
	var n, bytes, file, line, pos, length int64
	one(t, s, "SELECT file, path, sha256, bytes, outer_sha256 FROM files", &n, &path, &sha, &bytes, &outer)
	if n != 1 || path != "a'b.json" || sha != "aa" || bytes != 9 || outer != "bb" {
		t.Errorf("files: %d %q %q %d %q", n, path, sha, bytes, outer)
	}
	one(t, s, "SELECT file, line, pos, length, reason, head FROM rejects", &file, &line, &pos, &length, &reason, &head)
	if file != 1 || line != 2 || pos != 3 || length != 4 || reason != "why's" || head != "he\"ad" {
		t.Errorf("rejects: %d %d %d %d %q %q", file, line, pos, length, reason, head)
	}
}

func assignTenant(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	b := batch(0, 3)
	b.Events[0].Tenant = ""
	b.Events[1].File = 9
	b.Events[1].Tenant = ""
	load(t, s, b)
	as := []store.Assignment{{File: 3, To: "inferred"}}
	for f := range int32(50_000) { // an archive has as many members as it likes
		as = append(as, store.Assignment{File: 1000 + f, To: "inferred"})
	}
	for range 2 {
		if err := s.AssignTenants(t.Context(), as); err != nil {
			t.Fatal(err)
		}
	}
	var inferred, named, none int64
	one(t, s, "SELECT count(*) FILTER (WHERE tenant = 'inferred' AND flags >= 256), count(*) FILTER (WHERE tenant = 'tenant' AND flags < 256), count(*) FILTER (WHERE tenant IS NULL) FROM events", &inferred, &named, &none)
	if inferred != 1 || named != 1 || none != 1 {
		t.Errorf("%d inferred, %d as named, %d without; want one each", inferred, named, none)
	}
	if n := load(t, s, batch(2, 3)); n != 1 {
		t.Errorf("an id changed: %d duplicates, want 1", n)
	}
}

func empty(t *testing.T, open Open) {
	s := open(t, "a")
	defer closeStore(t, s)
	if n := load(t, s); n != 0 || count(t, s, "events") != 0 {
		t.Error("an empty load is not empty")
	}
}
