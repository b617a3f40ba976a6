package investigate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// startBounds says between which moments the first malicious deed lies.
//
// Guessing is a process of attempts: the first one that is recognized is rarely
// the first that was made, and the first that is counted may be a person's own
// mistake. Three mean gaps between attempts hold the true first one in 95 of
// 100 cases when attempts come at random (1 - exp(-3)). The change point of the
// counts, where a detector has one, may be earlier. A stolen session cannot
// have been used before it began. Where the way in is not in the evidence,
// nothing bounds the beginning.
func (b *builder) startBounds(f *casefile.Finding) {
	p := b.camp
	p.StartNotBefore, p.StartNotAfter = p.Start, p.Start
	switch {
	case p.OriginOutside && f.Detector != "session_second_network":
		p.StartNotBefore = casefile.Time{}
	case guessing(f):
		n := max(value(f, "attempts"), 2)
		gap := f.Last.Sub(f.First.Time) / time.Duration(n-1)
		gap = min(max(gap, time.Second), 7*24*time.Hour)
		p.StartNotBefore = casefile.TimeOf(p.Start.Add(-3 * gap))
		p.StartNotAfter = casefile.TimeOf(p.Start.Add(3 * gap))
		for _, s := range f.Series {
			if !s.Change.IsZero() && s.Change.Before(p.StartNotBefore.Time) && p.Start.Sub(s.Change.Time) < 14*24*time.Hour {
				p.StartNotBefore = s.Change
			}
		}
		if p.StartNotBefore.Before(b.w.from) {
			p.StartNotBefore = casefile.Time{} // it may have gone on before the logs begin
		}
	case f.Detector == "session_second_network":
		// Between the session's beginning and the first use that is known.
		if at := b.sessionsBegan(f); !at.IsZero() && at.Before(p.Start.Time) {
			p.StartNotBefore = casefile.TimeOf(at)
		}
		for _, k := range b.g.order {
			if x := b.g.contexts[k]; x.maybe && x.Since.Before(p.StartNotBefore.Time) {
				p.StartNotBefore = x.Since
			}
		}
	}
}

// sessionsBegan is when the first of a finding's sessions was first seen.
func (b *builder) sessionsBegan(f *casefile.Finding) (at time.Time) {
	ids := entities(f, casefile.Session, casefile.RoleTarget)
	for _, vs := range b.g.seen {
		for i := range vs {
			if slices.Contains(ids, vs[i].session) && (at.IsZero() || vs[i].at.Before(at)) {
				at = vs[i].at
			}
		}
	}
	return at
}

// milestones lists the turns of the campaign and the time between them.
func (b *builder) milestones(ctx context.Context) error {
	p := b.camp
	add := func(m casefile.Milestone) {
		if m.NotAfter.IsZero() {
			m.NotAfter = m.Time
		}
		p.Milestones = append(p.Milestones, m)
	}
	origin := casefile.Milestone{Name: casefile.MilestoneOrigin, Title: "Origin", Time: p.Start, NotBefore: p.StartNotBefore, NotAfter: p.StartNotAfter, Basis: p.StartBasis}
	if p.OriginOutside {
		origin.Time, origin.Title = casefile.Time{}, "Origin: outside the evidence"
		origin.Basis = "the first trace is of " + p.Start.String() + "; how the actor came in is not in these logs"
		origin.NotAfter = p.Start
	}
	add(origin)
	stage := func(name, title string, stages ...string) {
		var m casefile.Milestone
		for i := range b.comp.findings {
			f := &b.comp.findings[i]
			if f.Severity.Rank() < casefile.Medium.Rank() || !slices.Contains(stages, stageOf(f)) || guessing(f) && name != casefile.MilestoneFirstAttempt || f.Detector == "guessed_password" {
				continue
			}
			if m.Time.IsZero() || f.First.Before(m.Time.Time) {
				m.Time, m.Basis, m.Events = f.First, f.Title, firstIDs(f.Events, 3)
			}
			m.Seen = casefile.Earlier(m.Seen, f.Detected)
		}
		if !m.Time.IsZero() {
			m.Name, m.Title, m.NotBefore = name, title, m.Time
			if name == casefile.MilestoneFirstAttempt {
				m.NotBefore, m.NotAfter = p.StartNotBefore, p.StartNotAfter
			}
			add(m)
		}
	}
	stage(casefile.MilestoneFirstAttempt, "First attempt", casefile.StageGuessing)
	if !p.InitialAccess.IsZero() {
		m := casefile.Milestone{Name: casefile.MilestoneFirstSuccess, Title: "First success", Time: p.InitialAccess, NotBefore: p.InitialAccess, Basis: "first record of the actor inside"}
		if p.OriginOutside {
			m.Title, m.NotBefore = "First success in the evidence", p.StartNotBefore
		}
		for i := range b.comp.findings {
			if f := &b.comp.findings[i]; f.Stage == casefile.StageAccess || f.Detector == "guessed_password" {
				m.Seen = casefile.Earlier(m.Seen, f.Detected)
			}
		}
		add(m)
	}
	stage(casefile.MilestonePersistence, "Persistence", casefile.StagePersistence)
	stage(casefile.MilestonePrivilege, "Privilege", casefile.StagePrivilege)
	b.collection(add)
	if !p.FirstDetected.IsZero() {
		add(casefile.Milestone{Name: casefile.MilestoneCouldBeSeen, Title: "Could be seen", Time: p.FirstDetected, NotBefore: p.FirstDetected, Basis: "the first finding could be raised from the records up to then, with the baseline of all of the evidence"})
	}
	if err := b.vendorAlert(ctx, add); err != nil {
		return err
	}
	if err := b.containment(ctx, add); err != nil {
		return err
	}
	slices.SortStableFunc(p.Milestones, func(x, y casefile.Milestone) int {
		switch { // what has no time came before everything
		case x.Time.IsZero() != y.Time.IsZero():
			if x.Time.IsZero() {
				return -1
			}
			return 1
		}
		return cmp.Or(x.Time.Compare(y.Time.Time), 0)
	})
	b.dwell()
	return nil
}

// collection adds the first and the last read of mail. A bind is recorded once
// an hour and as one of two minutes, so that the true first read may lie up to
// two minutes before its record, and the true last one an hour after it.
func (b *builder) collection(add func(casefile.Milestone)) {
	var first, last *casefile.MailboxRef
	for i := range b.camp.Mailboxes {
		m := &b.camp.Mailboxes[i]
		if m.Certainty == casefile.Possible || m.First.IsZero() {
			continue
		}
		if first == nil || m.First.Before(first.First.Time) {
			first = m
		}
		if last == nil || m.Last.After(last.Last.Time) {
			last = m
		}
	}
	if first == nil {
		return
	}
	var seen casefile.Time
	for i := range b.comp.findings {
		if f := &b.comp.findings[i]; stageOf(f) == casefile.StageCollection || stageOf(f) == casefile.StageExfil {
			seen = casefile.Earlier(seen, f.Detected)
		}
	}
	add(casefile.Milestone{Name: casefile.MilestoneFirstCollection, Title: "First mail read", Time: first.First, NotBefore: casefile.TimeOf(first.First.Add(-2 * time.Minute)), Seen: seen,
		Basis: "first record of mailbox " + first.UPN + "; a record stands for reads of two minutes", Events: firstIDs(first.Events, 3)})
	add(casefile.Milestone{Name: casefile.MilestoneLastCollection, Title: "Last mail read", Time: last.Last, NotBefore: last.Last, NotAfter: casefile.TimeOf(last.Last.Add(time.Hour)), Seen: seen,
		Basis: "last record of mailbox " + last.UPN + "; the same message read again within an hour is not recorded", Events: lastIDs(last.Events, 3)})
}

func lastIDs(ids []string, n int) []string { return ids[max(0, len(ids)-n):] }

// names of the campaign, as records may have them: accounts in the actor's
// hands, applications, by any id.
func (b *builder) ours() (accounts, ids []string) {
	for _, a := range b.camp.Accounts {
		if a.Role == casefile.AccountCompromised || a.Role == casefile.AccountCreated {
			accounts = append(accounts, a.UPN)
			ids = addTo(ids, []string{a.ID})
		}
	}
	for _, a := range b.camp.Apps {
		ids = addTo(ids, append([]string{a.ID}, a.ServicePrincipals...))
	}
	return accounts, ids
}

// vendorAlert adds the first alert of the vendor about what is in the actor's
// hands: somebody could have read it.
func (b *builder) vendorAlert(ctx context.Context, add func(casefile.Milestone)) error {
	accounts, ids := b.ours()
	if len(accounts)+len(ids) == 0 {
		return nil
	}
	all := quoted(append(slices.Clone(accounts), ids...))
	return store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR), time, coalesce(operation, '') FROM events WHERE class = 'alert' AND time >= ? AND (actor IN (`+all+`) OR actor_id IN (`+all+`) OR target IN (`+all+`) OR target_id IN (`+all+`) OR mailbox IN (`+all+`))
		ORDER BY time, id LIMIT 1`, []any{b.camp.Start.Time}, func(scan scanner) error {
		var id, op string
		var at time.Time
		if err := scan(&id, &at, &op); err != nil {
			return err
		}
		t := casefile.TimeOf(at)
		add(casefile.Milestone{Name: casefile.MilestoneVendorAlert, Title: "Alert of the vendor", Time: t, NotBefore: t, Seen: t, Basis: "alert: " + op, Events: []string{id}})
		return nil
	})
}

// containment adds what was done against the actor as far as the directory's
// log tells: accounts disabled or given another password by somebody else,
// sessions revoked, applications and their credentials and grants removed.
func (b *builder) containment(ctx context.Context, add func(casefile.Milestone)) error {
	accounts, ids := b.ours()
	if len(accounts)+len(ids) == 0 {
		return nil
	}
	names := quoted(append(slices.Clone(accounts), ids...))
	var first, last casefile.Milestone
	err := store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR), time, operation, coalesce(actor, ''), coalesce(nullif(target, ''), target_id, '') FROM events
		WHERE time >= ? AND coalesce(outcome, '') <> 'failure' AND (lower(target) IN (`+names+`) OR target_id IN (`+names+`)) AND coalesce(actor, '') NOT IN (`+names+`) AND coalesce(actor_id, '') NOT IN (`+names+`)
			AND (class IN ('password_reset', 'session_revoke', 'user_delete') OR operation IN ('disable account', 'delete application', 'hard delete application', 'hard delete user')
				OR operation LIKE 'remove service principal%' OR operation LIKE 'remove app role assignment%' OR operation LIKE 'remove delegated permission grant%' OR operation LIKE 'remove oauth2permissiongrant%')
			AND coalesce(actor, '') <> coalesce(target, '-')
		ORDER BY time, id`, []any{b.camp.Start.Time}, func(scan scanner) error {
		var id, op, actor, target string
		var at time.Time
		if err := scan(&id, &at, &op, &actor, &target); err != nil {
			return err
		}
		t := casefile.TimeOf(at)
		m := casefile.Milestone{Time: t, NotBefore: t, Seen: t, Basis: fmt.Sprintf("%s: %s, by %s", op, target, orSomebody(actor)), Events: []string{id}}
		if first.Time.IsZero() {
			first = m
		}
		last = m
		return nil
	})
	if err != nil || first.Time.IsZero() {
		return err
	}
	first.Name, first.Title = casefile.MilestoneContainedFirst, "First step against it"
	add(first)
	last.Name, last.Title = casefile.MilestoneContainedLast, "Last step against it"
	if b.camp.End.After(last.Time.Time) {
		last.Basis += fmt.Sprintf("; the actor's last record is of %s, after it", b.camp.End)
	}
	add(last)
	return nil
}

// dwell measures between milestones, with the bounds of both.
func (b *builder) dwell() {
	p := b.camp
	at := map[string]*casefile.Milestone{}
	for i := range p.Milestones {
		at[p.Milestones[i].Name] = &p.Milestones[i]
	}
	span := func(name, from, to string) {
		x, y := at[from], at[to]
		if x == nil || y == nil || x.Time.IsZero() || y.Time.IsZero() || y.Time.Before(x.Time.Time) {
			return
		}
		d := casefile.Dwell{Name: name, From: from, To: to, Days: days(x.Time.Time, y.Time.Time), Low: days(x.NotAfter.Time, y.NotBefore.Time)}
		if !x.NotBefore.IsZero() {
			high := days(x.NotBefore.Time, y.NotAfter.Time)
			d.High = &high
		}
		p.Dwell = append(p.Dwell, d)
	}
	span("first attempt until it could be seen", casefile.MilestoneFirstAttempt, casefile.MilestoneCouldBeSeen)
	span("first success until it could be seen", casefile.MilestoneFirstSuccess, casefile.MilestoneCouldBeSeen)
	span("first success until the vendor's alert", casefile.MilestoneFirstSuccess, casefile.MilestoneVendorAlert)
	span("first success until the first mail was read", casefile.MilestoneFirstSuccess, casefile.MilestoneFirstCollection)
	span("first success until the last mail was read", casefile.MilestoneFirstSuccess, casefile.MilestoneLastCollection)
	span("first success until the first step against it", casefile.MilestoneFirstSuccess, casefile.MilestoneContainedFirst)
	span("first success until the last step against it", casefile.MilestoneFirstSuccess, casefile.MilestoneContainedLast)
}

// minted finds the sign-ins that minted the campaign's tokens: a read of mail
// leads to its sign-in, the sign-in to its credential and its network.
func (b *builder) minted(ctx context.Context) error {
	at := map[string]int{}
	var ids []string
	for i := range b.camp.Tokens {
		at[b.camp.Tokens[i].ID] = i
		ids = append(ids, b.camp.Tokens[i].ID)
	}
	for chunk := range slices.Chunk(ids, 500) {
		err := store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR), request_id, time, coalesce(ip, ''), coalesce(key_id, ''), source FROM events
			WHERE class = 'sign_in' AND request_id IN (`+quoted(chunk)+`) ORDER BY CASE WHEN source = 'signin' THEN 0 ELSE 1 END, time, id`, nil, func(scan scanner) error {
			var id, token, ip, key, source string
			var when time.Time
			if err := scan(&id, &token, &when, &ip, &key, &source); err != nil {
				return err
			}
			t := &b.camp.Tokens[at[token]]
			if t.MintedBy == "" {
				t.MintedBy, t.MintedAt, t.MintedFrom, t.KeyID = id, casefile.TimeOf(when), ip, key
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("sign-ins of tokens: %w", err)
		}
	}
	return nil
}

// purged marks reached messages that somebody deleted for good: their content
// is not to be had any more.
func (b *builder) purged(ctx context.Context) error {
	at := map[string][]*casefile.MessageRef{}
	for i := range b.camp.Mailboxes {
		for j := range b.camp.Mailboxes[i].Messages {
			m := &b.camp.Mailboxes[i].Messages[j]
			if m.InternetMessageID != "" {
				at[m.InternetMessageID] = append(at[m.InternetMessageID], m)
			}
		}
	}
	for chunk := range slices.Chunk(sortedKeys(at), 1000) {
		err := store.Each(ctx, b.q, `SELECT i.message_id, e.time, coalesce(e.actor, ''), coalesce(e.mailbox, ''), coalesce(e.mailbox_id, '') FROM items i JOIN events e ON e.id = i.event
			WHERE i.message_id IN (`+quoted(chunk)+`) AND e.class = 'mail_delete' AND e.operation = 'harddelete' AND coalesce(e.outcome, '') <> 'failure' ORDER BY e.time, e.id`, nil, func(scan scanner) error {
			var id, actor, mailbox, mailboxID string
			var when time.Time
			if err := scan(&id, &when, &actor, &mailbox, &mailboxID); err != nil {
				return err
			}
			box := b.w.mailbox(mailbox, mailboxID)
			for _, m := range at[id] {
				if m.Purged.IsZero() && b.holds(box, m) {
					m.Purged, m.PurgedBy = casefile.TimeOf(when), actor
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("messages deleted for good: %w", err)
		}
	}
	return nil
}

// holds reports whether a message reference is one of that mailbox.
func (b *builder) holds(upn string, m *casefile.MessageRef) bool {
	for i := range b.camp.Mailboxes {
		if x := &b.camp.Mailboxes[i]; x.UPN == upn {
			for j := range x.Messages {
				if &x.Messages[j] == m {
					return true
				}
			}
		}
	}
	return false
}

// auditGaps adds to each mailbox the times in which the audit log has no record
// of mail being read by anybody, against its rhythm, while a context of the
// campaign could read it.
func (b *builder) auditGaps() {
	p := b.camp
	for i := range p.Mailboxes {
		m := &p.Mailboxes[i]
		if m.First.IsZero() || m.Certainty == casefile.Possible {
			continue
		}
		for _, g := range b.mailGaps(m.Tenant) {
			// What could read it once can read it while the log is silent; what
			// came in long after the gap could not.
			if g.To.Before(p.Start.Time) || g.From.After(p.End.Time) || m.First.Sub(g.To.Time) > 7*24*time.Hour {
				continue
			}
			m.Windows = append(m.Windows, casefile.Window{From: g.From, To: g.To, Certainty: casefile.Possible, Why: "the audit log has no record of mail being read, of anybody, in this time, and the actor could read the mailbox"})
			m.Counts.Windows++
			p.Reach.Windows++
		}
		slices.SortStableFunc(m.Windows, func(x, y casefile.Window) int { return x.From.Compare(y.From.Time) })
	}
}

// mailGaps are the silences of a tenant's records of mail being read.
func (b *builder) mailGaps(tenant string) (out []casefile.Hole) {
	for _, r := range b.c.Coverage.Matrix.Rows {
		if r.Tenant == tenant && r.Source == string(event.UAL) && r.Class == mailReads {
			for _, g := range r.Gaps {
				if g.Hours >= leastGap {
					out = append(out, g)
				}
			}
		}
	}
	return out
}

// leastGap is the shortest silence, in hours, that is held to hide reads.
const leastGap = 6

// orSomebody names who acted.
func orSomebody(actor string) string {
	if actor == "" {
		return "somebody"
	}
	return actor
}
