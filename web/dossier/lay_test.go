package dossier

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"midwatch/casefile"
	"midwatch/internal/casefolder"
	"midwatch/store/duckdb"
)

func when(s int) casefile.Time {
	return casefile.TimeOf(time.Date(2024, 1, 12, 0, 0, s, 123456000, time.UTC))
}

// sample is a case with something in every table, and words that are hard to
// read.
func sample(messages int) *casefile.Case {
	c := &casefile.Case{Schema: casefile.Schema, Evidence: map[string]casefile.Evidence{}}
	event := func(id string, s int) string {
		c.Evidence[id] = casefile.Evidence{File: `a"b\c.json`, Line: 7, Offset: int64(s), Time: when(s), Source: "ual", Operation: "MailItemsAccessed", Actor: "ü\u2028 ]}", Target: "a@example.com"}
		return id
	}
	size := int64(12)
	c.Findings = []casefile.Finding{{ID: "f-1", Severity: casefile.High, Stage: casefile.StageAccess, First: when(1), Events: []string{event("e-1", 1)}, EventCount: 1}, {ID: "f-2", Severity: casefile.Low, Stage: casefile.StageAccess, Events: []string{"e-1", "e-none"}}}
	box := casefile.MailboxRef{UPN: "a@example.com", Certainty: casefile.Confirmed, Events: []string{event("e-2", 2)}, Windows: []casefile.Window{{Certainty: casefile.Possible, Events: []string{"e-2"}}}, WholeFolders: []casefile.FolderRef{{Certainty: casefile.Probable, Events: []string{"e-2"}}}}
	for i := range messages {
		box.Messages = append(box.Messages, casefile.MessageRef{InternetMessageID: fmt.Sprintf("<%d@\\\"[{>", i), Subject: strings.Repeat(`\"`, i%5) + "�\x01", Certainty: casefile.Probable, First: when(i % 60), Reads: int64(i), Contexts: []string{"x-1", "x-2"}, Events: []string{event(fmt.Sprintf("e-m%d", i), i%60), "e-2"}})
	}
	box.Messages = append(box.Messages, casefile.MessageRef{ItemID: "i", Folder: "F", Attachments: "a; b", Bytes: &size, Certainty: casefile.Confirmed, Last: when(9), Purged: when(10), PurgedBy: "b@example.com"})
	box.AttachmentItems = []casefile.AttachmentRef{{ID: "t", ItemID: "i", Certainty: casefile.Confirmed, First: when(3), Events: []string{event("e-3", 3)}}}
	c.Campaigns = []casefile.Campaign{
		{ID: "c-1", Findings: []string{"f-1"}, Mailboxes: []casefile.MailboxRef{box, {UPN: "b@example.com"}}, Accounts: []casefile.AccountRef{{UPN: "k", Certainty: casefile.Confirmed, Events: []string{"e-1"}}}, Timeline: []casefile.TimelineEntry{{Stage: casefile.StageAccess, Finding: "f-1", Events: []string{"e-1"}}}, Credentials: []casefile.CredentialRef{{KeyID: "k-1", Events: []string{"e-1"}}}},
		{ID: "c-2", Mailboxes: []casefile.MailboxRef{{UPN: "a@example.com", Messages: []casefile.MessageRef{{InternetMessageID: "<1>", Certainty: casefile.Possible}}}}},
	}
	return c
}

func opened(t *testing.T, text []byte) (*Dossier, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, casefolder.Case), text, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(context.Background(), "x", dir, func(ctx context.Context, _ string) (Evidence, error) {
		k, err := duckdb.OpenDesk(ctx, t.TempDir(), "", duckdb.DeskOptions{})
		return Evidence{Tables: k, Events: k}, err
	})
	if err == nil {
		t.Cleanup(func() { _ = d.Close() })
	}
	return d, err
}

// answer is what a question gives, a line a row.
func answer(t *testing.T, d *Dossier, query string) (out []string) {
	t.Helper()
	rows, err := d.Tables.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	row, into := make([]any, len(cols)), make([]any, len(cols))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, x := range row {
			if at, ok := x.(time.Time); ok {
				row[i] = at.UTC().Format(time.RFC3339Nano)
			}
		}
		out = append(out, fmt.Sprint(row...))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// What lies in the tables is what the case says, and the rest of it is in memory.
func TestLay(t *testing.T) {
	const messages = 3000
	c := sample(messages)
	var b bytes.Buffer
	if err := casefile.Write(&b, c); err != nil {
		t.Fatal(err)
	}
	d, err := opened(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if d.Messages != messages+2 {
		t.Errorf("%d messages", d.Messages)
	}
	// What decoding the whole gives.
	whole, err := casefile.Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var cited, evidence, named []string
	n := 0
	claims := slices.Collect(cites(whole))
	for _, x := range whole.Campaigns {
		for _, m := range x.Mailboxes {
			for _, r := range m.Messages {
				n++
				size := "<nil>"
				if r.Bytes != nil {
					size = fmt.Sprint(*r.Bytes)
				}
				named = append(named, fmt.Sprint(int64(n), " ", x.ID, m.UPN, r.InternetMessageID, r.ItemID, r.Folder, r.Subject, r.Attachments, " ", size, r.Certainty, rank(r.Certainty), r.First.String(), r.Last.String(), " ", r.Reads, strings.Join(r.Contexts, " "), strings.Join(r.Events, " "), r.Purged.String(), r.PurgedBy))
				for _, id := range r.Events {
					claims = append(claims, cite{id, "message", m.UPN, x.ID, casefile.StageCollection, r.Certainty.Rank()})
				}
			}
			for _, r := range m.AttachmentItems {
				for _, id := range r.Events {
					claims = append(claims, cite{id, "attachment", m.UPN, x.ID, casefile.StageCollection, r.Certainty.Rank()})
				}
			}
		}
	}
	type key struct{ event, stage, campaign string }
	ranks := map[key]int{}
	for _, x := range claims {
		cited = append(cited, fmt.Sprint(x.event, x.kind, x.ref, x.campaign, x.stage, " ", x.rank))
		if e, ok := whole.Evidence[x.event]; ok && x.stage != "" && !e.Time.IsZero() {
			r := x.rank
			if x.kind == "finding" || x.kind == "step" {
				r = 0
			}
			k := key{x.event, x.stage, x.campaign}
			ranks[k] = max(ranks[k], r)
		}
	}
	var moments []key
	for k := range ranks {
		moments = append(moments, k)
	}
	slices.SortFunc(moments, func(a, b key) int {
		return cmp.Or(whole.Evidence[a.event].Time.Compare(whole.Evidence[b.event].Time.Time), strings.Compare(a.event, b.event), strings.Compare(a.stage, b.stage), strings.Compare(a.campaign, b.campaign))
	})
	var seen []string
	for _, k := range moments {
		e := whole.Evidence[k.event]
		seen = append(seen, fmt.Sprint(e.Time.Format(time.RFC3339Nano), k.event, k.stage, k.campaign, ranks[k], e.Operation, e.Actor, e.IP, e.Target))
	}
	for id, e := range whole.Evidence {
		evidence = append(evidence, fmt.Sprint(id, e.Time.Format(time.RFC3339Nano), e.File, e.SHA256, " ", e.Line, " ", e.Offset, " ", e.Length, e.Tenant, e.Source, e.Operation, e.Actor, e.IP, e.Target))
	}
	stamp := func(col string) string {
		return "coalesce(strftime(" + col + ", '%Y-%m-%dT%H:%M:%S.%fZ'), '')"
	}
	text := func(cols ...string) string {
		for i, c := range cols {
			cols[i] = "coalesce(" + c + "::VARCHAR, '')"
		}
		return strings.Join(cols, " || ")
	}
	for _, x := range []struct {
		name, query string
		want        []string
		sort        bool
	}{
		{"cites", "SELECT " + text("event", "kind", "ref", "campaign", "stage") + " || ' ' || rank FROM cites", cited, true},
		{"moments", "SELECT " + stamp("moment") + " || " + text("event", "stage", "campaign", "rank", "operation", "actor", "ip", "target") + " FROM moments", seen, false},
		{"evidence", "SELECT event || " + stamp("moment") + " || " + text("file", "sha256") + " || ' ' || line || ' ' || pos || ' ' || length || " + text("tenant", "source", "operation", "actor", "ip", "target") + " FROM evidence", evidence, true},
		{"messages", "SELECT n || ' ' || " + text("campaign", "mailbox", "message_id", "item_id", "folder", "subject", "attachments") + " || ' ' || coalesce(bytes::VARCHAR, '<nil>') || " + text("certainty", "rank") + " || " + stamp("first") + " || " + stamp("last") + " || ' ' || reads || " + text("contexts", "events") + " || " + stamp("purged") + " || coalesce(purged_by, '') FROM messages", named, false},
	} {
		got := answer(t, d, x.query)
		want := x.want
		if x.sort {
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Errorf("%s: %d rows, want %d; row %d is\n%q, want\n%q", x.name, len(got), len(want), i, got[i:min(i+1, len(got))], want[i:min(i+1, len(want))])
		}
	}
	if got := answer(t, d, "SELECT table_name FROM duckdb_tables() WHERE database_name = 'desk' ORDER BY 1"); strings.Join(got, " ") != "attachments cites evidence findings mailboxes messages moments" {
		t.Errorf("tables %v", got)
	}
	for i := range whole.Campaigns {
		for j := range whole.Campaigns[i].Mailboxes {
			m := &whole.Campaigns[i].Mailboxes[j]
			m.Messages, m.AttachmentItems = d.Case.Campaigns[i].Mailboxes[j].Messages, d.Case.Campaigns[i].Mailboxes[j].AttachmentItems
			if len(m.Messages) > 0 || len(m.AttachmentItems) > 0 {
				t.Error("messages are in memory")
			}
		}
	}
	whole.Evidence = nil
	if !reflect.DeepEqual(d.Case, whole) {
		t.Error("the rest of the case is another one")
	}
}

// A case that was cut off, or is none, is not shown as if it were whole.
func TestLayBroken(t *testing.T) {
	var b bytes.Buffer
	if err := casefile.Write(&b, sample(3)); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	for name, text := range map[string]string{
		"empty": "", "space": "  \n", "no object": "[1]", "another schema": strings.Replace(whole, casefile.Schema, "midwatch.case/99", 1),
		"half": whole[:len(whole)/2], "in evidence": whole[:strings.Index(whole, `"evidence"`)+200], "no end": strings.TrimSpace(whole)[:len(strings.TrimSpace(whole))-1],
		"messages are no list":    strings.Replace(whole, `"messages": [`, `"messages": {"a":[`, 1),
		"a message is no object":  strings.Replace(whole, `"messages": [`, `"messages": [ 7, `, 1),
		"a message is malformed":  strings.Replace(whole, `"messages": [`, `"messages": [ {"subject" "x"}, `, 1),
		"a count is no number":    strings.Replace(whole, `"reads": 0`, `"reads": "0"`, 1),
		"a time is none":          strings.Replace(whole, `"purged": null`, `"purged": "noon"`, 1),
		"evidence is no object":   strings.Replace(whole, `"evidence": {`, `"evidence": [{`, 1),
		"an event is no evidence": strings.Replace(whole, `"evidence": {`, `"evidence": {"e-x": 1,`, 1),
	} {
		if _, err := opened(t, []byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Members may come in any order, with any space, and lists may be null.
func TestScan(t *testing.T) {
	for _, text := range []string{
		`{"evidence":{"a":{"x":"]}"},"b\u0041":1},"campaigns":[{"mailboxes":[{"messages":[1,"a\"]",{"c":[]}],"upn":"u","attachment_items":[null]}],"id":"c"}]}`,
		"{ \"campaigns\" : [ { \"mailboxes\" : [ { \"messages\" : [ ] , \"upn\" : \"\\\\\" } , { } ] } , { \"mailboxes\" : null } ] , \"evidence\" : { } }",
		`{"campaigns":null,"evidence":null}`, `{}`, `{"other":{"evidence":{"a":1},"campaigns":[{"mailboxes":[{"messages":[1]}]}]},"n":-1.5e3,"t":true}`,
		`{"campaigns":[{"mailboxes":[{"messages":[[[["x"]]]]}]}],"text":"` + strings.Repeat(`\\\"é`, 1000) + `"}`,
	} {
		var whole map[string]any
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)), "half": iotest.HalfReader(strings.NewReader(text)), "end": iotest.DataErrReader(strings.NewReader(text))} {
			var keep bytes.Buffer
			var got []string
			list := func(i, j int, raw []byte) error {
				got = append(got, fmt.Sprint(i, " ", j, " ", string(raw)))
				return nil
			}
			if err := scan(r, &keep, long{list, list, func(id string, raw []byte) error { got = append(got, id+" "+string(raw)); return nil }}); err != nil {
				t.Errorf("%s %s: %v", name, text[:min(len(text), 100)], err)
				continue
			}
			var small map[string]any
			if err := json.Unmarshal(keep.Bytes(), &small); err != nil {
				t.Errorf("%s: kept %s: %v", name, keep.String(), err)
			}
			if want := taken(whole); !slices.Equal(got, want.list) || !reflect.DeepEqual(small, want.rest) {
				t.Errorf("%s %s:\n%q and %v, want\n%q and %v", name, text, got, small, want.list, want.rest)
			}
		}
	}
	sentinel := errors.New("stop")
	err := scan(strings.NewReader(`{"evidence":{"a":1}}`), nil, long{evidence: func(string, []byte) error { return sentinel }})
	if !errors.Is(err, sentinel) {
		t.Errorf("%v", err)
	}
}

type split struct {
	list []string
	rest map[string]any
}

// taken takes the long lists out of a case, as scan does. Elements of the
// examples are written as json.Marshal writes them.
func taken(c map[string]any) split {
	text, _ := json.Marshal(c)
	var rest map[string]any
	_ = json.Unmarshal(text, &rest)
	s := split{rest: rest}
	show := func(x any) string {
		b, _ := json.Marshal(x)
		return string(b)
	}
	var evidence []string
	if e, ok := rest["evidence"].(map[string]any); ok {
		for id, x := range e {
			evidence = append(evidence, id+" "+show(x))
		}
		slices.Sort(evidence)
		rest["evidence"] = map[string]any{}
	}
	cs, _ := rest["campaigns"].([]any)
	for i, x := range cs {
		boxes, _ := x.(map[string]any)["mailboxes"].([]any)
		for j, m := range boxes {
			for _, key := range []string{"messages", "attachment_items"} {
				list, ok := m.(map[string]any)[key].([]any)
				if !ok {
					continue
				}
				for _, e := range list {
					s.list = append(s.list, fmt.Sprint(i, " ", j, " ", show(e)))
				}
				m.(map[string]any)[key] = []any{}
			}
		}
	}
	s.list = append(evidence, s.list...) // it comes first in the examples that have any
	return s
}

// FuzzScan holds scan against the decoder of the standard library.
func FuzzScan(f *testing.F) {
	f.Add(`{"campaigns":[{"mailboxes":[{"messages":[1,{"a":"\\"}]}]}],"evidence":{"a":{}}}`)
	f.Add(`{"a":"\"`)
	f.Fuzz(func(t *testing.T, text string) {
		var keep bytes.Buffer
		n := 0
		count := func(int, int, []byte) error { n++; return nil }
		err := scan(strings.NewReader(text), &keep, long{message: count, attachment: count})
		var whole any
		if json.Unmarshal([]byte(text), &whole) == nil && strings.HasPrefix(strings.TrimSpace(text), "{") {
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			var small any
			if err := json.Unmarshal(keep.Bytes(), &small); err != nil {
				t.Fatalf("%q: kept %q: %v", text, keep.String(), err)
			}
		}
	})
}
