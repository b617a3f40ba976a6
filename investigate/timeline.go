package investigate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// timeline tells the campaign in order.
func (b *builder) timeline(ctx context.Context) error {
	p := b.camp
	add := func(t casefile.TimelineEntry) { p.Timeline = append(p.Timeline, t) }
	for _, f := range slices.Concat(b.comp.findings, b.comp.rules) {
		e := casefile.TimelineEntry{Time: f.First, Seen: f.Detected, Stage: stageOf(&f), Text: f.Title, Finding: f.ID, Events: firstIDs(f.Events, 10)}
		if f.Last.After(f.First.Time) {
			e.Until = f.Last
		}
		add(e)
	}
	if !p.InitialAccess.IsZero() {
		for _, a := range p.Accounts {
			if a.Role == casefile.AccountCompromised {
				add(casefile.TimelineEntry{Time: a.Since, Stage: casefile.StageAccess, Text: "First sign-in of the actor as " + a.UPN, Events: firstIDs(a.Events, 10)})
			}
		}
	}
	for _, k := range b.g.order {
		x := b.g.contexts[k]
		for i := range b.w.changes {
			c := &b.w.changes[i]
			if c.source == string(event.UAL) && b.twin(i) || !slices.Contains(x.events, c.id) {
				continue
			}
			stage := casefile.StagePersistence
			switch event.Class(c.class) {
			case event.ClassAppRoleGrant, event.ClassConsent, event.ClassDelegatedGrant, event.ClassRoleAdd, event.ClassPermissionRequest:
				stage = casefile.StagePrivilege
			}
			text := strings.ToUpper(c.operation[:1]) + c.operation[1:]
			if c.target != "" {
				text += ": " + first(b.w.ids.nameOf(b.w.ids.root(first(c.targetApp, c.targetID))), c.target)
			}
			if c.permissions != "" {
				text += " (" + c.permissions + ")"
			}
			add(casefile.TimelineEntry{Time: casefile.TimeOf(c.time), Stage: stage, Text: text + ", by " + first(c.appName, b.w.ids.nameOf(b.w.ids.root(first(c.spID, c.actorID))), c.actor), Events: []string{c.id}})
		}
	}
	for _, r := range p.Credentials {
		if !r.FirstUsed.IsZero() {
			add(casefile.TimelineEntry{Time: r.FirstUsed, Stage: casefile.StageAccess, Text: fmt.Sprintf("First sign-in with the added credential %s as application %s", r.KeyID, first(b.w.ids.nameOf(b.w.ids.root(r.App)), r.App)), Events: firstIDs(r.Events, 3)})
		}
	}
	for _, m := range p.Mailboxes {
		text := fmt.Sprintf("Mailbox %s read (%s): %s", m.UPN, m.Certainty, plural(len(m.Messages), "message", "messages"))
		if n := len(m.WholeFolders); n > 0 {
			text += fmt.Sprintf(", %s as a whole", plural(n, "folder", "folders"))
		}
		e := casefile.TimelineEntry{Time: m.First, Stage: casefile.StageCollection, Text: text, Events: firstIDs(m.Events, 10)}
		if m.Last.After(m.First.Time) {
			e.Until = m.Last
		}
		add(e)
	}
	if err := b.searches(ctx, add); err != nil {
		return err
	}
	slices.SortStableFunc(p.Timeline, func(x, y casefile.TimelineEntry) int {
		if c := x.Time.Compare(y.Time.Time); c != 0 {
			return c
		}
		return strings.Compare(x.Text, y.Text)
	})
	p.Timeline = withoutRepeats(p.Timeline)
	p.Timeline = slices.CompactFunc(p.Timeline, func(x, y casefile.TimelineEntry) bool { return x.Time == y.Time && x.Text == y.Text })
	return nil
}

// withoutRepeats drops plain records that a finding at the same moment is about.
func withoutRepeats(ts []casefile.TimelineEntry) []casefile.TimelineEntry {
	said := map[string]bool{}
	for _, t := range ts {
		if t.Finding != "" {
			for _, id := range t.Events {
				said[t.Time.String()+" "+id] = true
			}
		}
	}
	return slices.DeleteFunc(ts, func(t casefile.TimelineEntry) bool {
		return t.Finding == "" && t.Stage != casefile.StageAccess && t.Stage != casefile.StageCollection && len(t.Events) == 1 && said[t.Time.String()+" "+t.Events[0]]
	})
}

// twin reports whether another log holds the same change.
func (b *builder) twin(i int) bool {
	c := &b.w.changes[i]
	for j := i + 1; j < len(b.w.changes) && b.w.changes[j].time.Sub(c.time) < 10*time.Second; j++ {
		d := &b.w.changes[j]
		if d.source != c.source && d.operation == c.operation && d.targetID == c.targetID && d.permissions == c.permissions && d.keyID == c.keyID {
			return true
		}
	}
	return false
}

// searches adds what the actor searched for.
func (b *builder) searches(ctx context.Context, add func(casefile.TimelineEntry)) error {
	for _, k := range b.g.order {
		x := b.g.contexts[k]
		w, args := x.where(true)
		if w == "" || x.maybe {
			continue
		}
		err := store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR), time, coalesce(mailbox, ''), coalesce(mailbox_id, ''), coalesce(detail, '') FROM events
			WHERE class IN ('search', 'graph_request', 'mail_access') AND detail LIKE '%"search"%' AND `+w+` ORDER BY time, id LIMIT 200`, args, func(scan scanner) error {
			var id, mailbox, mailboxID, detail string
			var at time.Time
			if err := scan(&id, &at, &mailbox, &mailboxID, &detail); err != nil {
				return err
			}
			text := "Searched for " + searched(detail)
			if m := b.w.mailbox(mailbox, mailboxID); m != "" {
				text += " in " + m
			}
			add(casefile.TimelineEntry{Time: casefile.TimeOf(at), Stage: casefile.StageCollection, Text: text, Events: []string{id}})
			return nil
		})
		if err != nil {
			return fmt.Errorf("searches: %w", err)
		}
	}
	return nil
}

func firstIDs(ids []string, n int) []string { return ids[:min(n, len(ids))] }
