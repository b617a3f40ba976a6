package main

import (
	"bytes"
	"testing"
	"time"

	"midwatch/casefile"
)

func TestMultiply(t *testing.T) {
	made := func() *casefile.Case {
		at := casefile.TimeOf(time.Date(2024, 1, 12, 0, 0, 0, 0, time.UTC))
		box := func(upn string, messages ...string) casefile.MailboxRef {
			m := casefile.MailboxRef{UPN: upn, Certainty: casefile.Confirmed, Events: []string{"e"}}
			for _, id := range messages {
				m.Messages = append(m.Messages, casefile.MessageRef{InternetMessageID: id, Certainty: casefile.Confirmed, First: at, Events: []string{"e"}})
			}
			return m
		}
		return &casefile.Case{Schema: casefile.Schema, Evidence: map[string]casefile.Evidence{"e": {Time: at}}, Campaigns: []casefile.Campaign{
			{ID: "c-1", Mailboxes: []casefile.MailboxRef{box("a@example.com", "1")}},
			{ID: "c-2", Mailboxes: []casefile.MailboxRef{box("b@example.com", "1", "2"), box("c@example.com", "1")}},
		}}
	}
	var texts [2]bytes.Buffer
	for i := range texts {
		c := made()
		if err := multiply(c, 11); err != nil {
			t.Fatal(err)
		}
		n := 0
		names, ids := map[string]bool{}, map[string]bool{}
		for _, x := range c.Campaigns {
			for _, m := range x.Mailboxes {
				n += len(m.Messages)
				names[m.UPN] = true
				for _, r := range m.Messages {
					ids[m.UPN+r.InternetMessageID] = true
					for _, e := range r.Events {
						if c.Evidence[e].Time.IsZero() {
							t.Errorf("event %s has no evidence", e)
						}
					}
				}
			}
		}
		// Four messages at first, three more with each copy of the second
		// campaign, and one to fill up.
		if n != 11 || len(ids) != 11 || len(names) != 3+5 || len(c.Evidence) != 4 {
			t.Errorf("%d messages, %d of them different, in %d mailboxes, by %d records", n, len(ids), len(names), len(c.Evidence))
		}
		if err := casefile.Write(&texts[i], c); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0].Bytes(), texts[1].Bytes()) {
		t.Error("not the same twice")
	}
	if err := multiply(&casefile.Case{}, 1); err == nil {
		t.Error("no error for a case without messages")
	}
}
