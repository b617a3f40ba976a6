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

// builder fills in what a campaign says, once it is known what the actor acted
// as and what that reached.
type builder struct {
	w    *world
	q    store.Querier
	g    *grower
	comp *component
	camp *casefile.Campaign
	c    *casefile.Case
	acts map[string]activity // by context
}

// guessing reports whether a finding is of passwords being tried, or of one
// that was right: by itself that is no step inside.
func guessing(f *casefile.Finding) bool {
	return f.Detector == "slow_spray" || f.Detector == "guessed_password" || f.Detector == "failures_one_ip" || f.Detector == "failures_one_account"
}

// conversions lists the accounts whose passwords a finding says were guessed.
func conversions(f *casefile.Finding) []string {
	return entities(f, casefile.Account, casefile.RoleConverted)
}

// start says when the campaign began, when the actor was first inside, and
// whether the evidence shows how.
func (b *builder) start(ctx context.Context) error {
	p := b.camp
	fs := slices.Clone(b.comp.findings)
	casefile.SortFindings(fs)
	// What is slight by itself belongs to the campaign, but does not begin it.
	if i := slices.IndexFunc(fs, func(f casefile.Finding) bool { return f.Severity.Rank() >= casefile.Medium.Rank() }); i > 0 {
		fs = fs[i:]
	}
	f := &fs[0]
	p.Start, p.FirstDetected = f.First, casefile.Time{}
	for i := range fs {
		p.FirstDetected = casefile.Earlier(p.FirstDetected, fs[i].Detected)
	}
	explained := false
	for i := range fs {
		explained = explained || guessing(&fs[i]) && len(conversions(&fs[i])) > 0
	}
	for _, k := range b.g.order {
		x, a := b.g.contexts[k], b.acts[k]
		if (x.Kind == "account_from_ip" || x.guessed) && a.n > 0 {
			if at, ok := b.firstSuccess(ctx, x); ok {
				p.InitialAccess = casefile.Earlier(p.InitialAccess, at)
			}
		}
	}
	for i := range fs {
		if p.InitialAccess.IsZero() && !guessing(&fs[i]) {
			p.InitialAccess = fs[i].First
		}
	}
	switch {
	case guessing(f):
		p.StartBasis = fmt.Sprintf("first attempt of the guessing (%s)", f.Title)
	default:
		p.StartBasis = "first record of: " + f.Title
	}
	if !p.InitialAccess.IsZero() && p.InitialAccess.Before(p.Start.Time) {
		p.Start, p.StartBasis = p.InitialAccess, "first sign-in that is held to be the actor's"
	}
	if !p.InitialAccess.IsZero() && !guessing(f) && !explained {
		p.OriginOutside = true
		p.StartBasis += "; how the actor came in is outside the evidence"
	}
	b.startBounds(f)
	p.DwellDays = days(p.Start.Time, p.FirstDetected.Time)
	p.ActiveDays = days(p.Start.Time, p.End.Time)
	return nil
}

// firstSuccess is the first sign-in that came about in a context.
func (b *builder) firstSuccess(ctx context.Context, x *grown) (casefile.Time, bool) {
	var at sql.NullTime
	w, args := x.where(false)
	err := store.Each(ctx, b.q, `SELECT min(time) FROM events WHERE class = 'sign_in' AND outcome = 'success' AND `+w, args, func(scan scanner) error { return scan(&at) })
	return casefile.TimeOf(at.Time), err == nil && at.Valid
}

// standing says whether the steps hang together.
func (b *builder) standing() {
	guessed, made, stolen, steps, appOnly := false, false, false, map[string]bool{}, 0
	for i := range b.comp.findings {
		f := &b.comp.findings[i]
		medium, high := f.Severity.Rank() >= casefile.Medium.Rank(), f.Severity.Rank() >= casefile.High.Rank()
		guessed = guessed || len(conversions(f)) > 0
		made = made || f.Detector == "young_consenter"
		stolen = stolen || f.Detector == "session_second_network" && medium
		if high && (f.Detector == "app_only_mail_grant" || f.Detector == "first_seen_mailbox_app") {
			appOnly++
		}
		if medium && f.Detector != "guessed_password" {
			steps[stageOf(f)] = true
		}
	}
	used := len(b.camp.Mailboxes) > 0
	b.camp.Standing = suspected
	switch {
	case guessed && (used || len(steps) >= 2), // came in, and did something
		(made || stolen) && len(steps) >= 3, // a way in, and two further steps
		appOnly >= 2 && len(steps) >= 3:     // gave an application all mail, which it read
		b.camp.Standing = established
	}
	if b.camp.Standing == established && b.camp.Reach.Mailboxes.Confirmed+b.camp.Reach.Mailboxes.Probable > 0 {
		b.camp.Severity = casefile.Critical
	}
}

// stageOf is the stage of a campaign that a finding belongs to. Forwarding
// inside the organization hides mail, and does not carry it away.
func stageOf(f *casefile.Finding) string {
	if f.Detector == "inbox_rule_hides_or_forwards" || f.Detector == "external_forwarding" {
		if len(entities(f, casefile.Address, casefile.RoleTarget)) > 0 {
			return casefile.StageExfil
		}
		return casefile.StageEvasion
	}
	return f.Stage
}

// roleRank orders the roles of accounts, the strongest first.
func roleRank(role string) int {
	return slices.Index([]string{casefile.AccountCompromised, casefile.AccountCreated, casefile.AccountConsenter, casefile.AccountSuspected, casefile.AccountGuessed, casefile.AccountSprayed}, role)
}

// accounts lists the accounts with the parts they played.
func (b *builder) accounts(ctx context.Context) {
	refs := map[string]*casefile.AccountRef{}
	add := func(upn, role string, certainty casefile.Certainty, since casefile.Time, why, finding string, events []string) {
		if upn == "" || !strings.Contains(upn, "@") && role == casefile.AccountSuspected {
			return
		}
		a := refs[upn]
		if a == nil {
			a = &casefile.AccountRef{UPN: upn, Role: role, Certainty: certainty, Since: since, Why: why, Events: events}
			refs[upn] = a
		}
		if roleRank(role) < roleRank(a.Role) {
			a.Role, a.Certainty, a.Since, a.Why, a.Events = role, certainty, since, why, events
		}
		a.Roles = append(a.Roles, role)
		if finding != "" {
			a.Findings = append(a.Findings, finding)
		}
	}
	for _, k := range b.g.order {
		x := b.g.contexts[k]
		for _, upn := range x.accounts {
			switch x.Kind {
			case "account":
				role := casefile.AccountCreated
				if x.guessed {
					role = casefile.AccountCompromised
				}
				add(upn, role, casefile.Confirmed, x.Since, x.Why, findingID(x.From), capped(x.events))
			case "account_from_ip":
				if w := b.g.contexts["account "+upn]; w != nil && !w.guessed {
					continue // the actor made it: nobody else's account was taken
				}
				since, why := x.Since, x.Why
				if at, ok := b.firstSuccess(ctx, x); ok {
					since = at
				}
				add(upn, casefile.AccountCompromised, casefile.Confirmed, since, why, findingID(x.From), capped(x.events))
			}
		}
	}
	for i := range b.comp.findings {
		f := &b.comp.findings[i]
		for _, e := range f.Entities {
			if e.Kind != casefile.Account || e.Role == roleExcluded {
				continue
			}
			switch {
			case e.Role == casefile.RoleVictim:
				add(e.ID, casefile.AccountSprayed, casefile.Possible, f.First, "passwords were tried; none was right as far as the logs say", f.ID, nil)
			case e.Role == casefile.RoleConverted:
				add(e.ID, casefile.AccountGuessed, casefile.Probable, f.First, "the password was right; what the account did afterwards is not in evidence", f.ID, nil)
			case e.Role == casefile.RoleActor && (f.Detector == "mail_consent" || f.Detector == "young_consenter"):
				add(e.ID, casefile.AccountConsenter, casefile.Probable, f.First, f.Title, f.ID, capped(f.Events))
			case f.Detector == "session_second_network":
				add(e.ID, casefile.AccountSuspected, casefile.Probable, f.Detected, f.Title, f.ID, capped(f.Events))
			case e.Role == casefile.RoleActor:
				add(e.ID, casefile.AccountSuspected, casefile.Possible, f.First, f.Title, f.ID, capped(f.Events))
			}
		}
	}
	idOf := map[string]string{}
	for id, upn := range b.w.people {
		if idOf[upn] == "" || id < idOf[upn] {
			idOf[upn] = id
		}
	}
	for _, upn := range sortedKeys(refs) {
		a := refs[upn]
		a.Roles, a.Findings = casefile.Unique(a.Roles), casefile.Unique(a.Findings)
		a.ID = idOf[upn]
		if _, domain, ok := strings.Cut(upn, "@"); ok {
			a.Tenant = b.w.tenantOf[domain]
		}
		b.camp.Accounts = append(b.camp.Accounts, *a)
	}
	slices.SortStableFunc(b.camp.Accounts, func(x, y casefile.AccountRef) int {
		if d := roleRank(x.Role) - roleRank(y.Role); d != 0 {
			return d
		}
		return x.Since.Compare(y.Since.Time)
	})
}

func findingID(from string) string {
	if strings.HasPrefix(from, "f-") {
		return from
	}
	return ""
}

// apps lists the applications that the actor used or made.
func (b *builder) apps() {
	for _, k := range b.g.order {
		x := b.g.contexts[k]
		if x.Kind != "app" {
			continue
		}
		a := casefile.AppRef{ID: b.g.appID(x.root), Name: b.w.ids.nameOf(x.root), Since: x.Since, Why: x.Why, Certainty: casefile.Confirmed, Role: casefile.AppTakenOver, Events: capped(x.events)}
		if x.Limit != "" {
			a.Why += "; " + x.Limit
		}
		for _, id := range x.apps {
			if id != a.ID {
				a.ServicePrincipals = append(a.ServicePrincipals, id)
			}
		}
		granted, requested := map[string]bool{}, map[string]bool{}
		for i := range b.w.changes {
			c := &b.w.changes[i]
			if first(c.targetApp, c.targetID) == "" || b.w.ids.root(first(c.targetApp, c.targetID)) != x.root {
				continue
			}
			switch event.Class(c.class) {
			case event.ClassAppCreate:
				a.Role = casefile.AppCreated
				a.Events = append(a.Events, c.id)
			case event.ClassSPCreate:
				if a.Role != casefile.AppCreated {
					a.Role = casefile.AppIntroduced
				}
				a.Events = append(a.Events, c.id)
			case event.ClassAppRoleGrant:
				for p := range strings.FieldsSeq(c.permissions) {
					granted[p] = true
				}
				a.Events = append(a.Events, c.id)
			case event.ClassPermissionRequest:
				for p := range strings.FieldsSeq(c.permissions) {
					requested[p] = true
				}
			case event.ClassConsent, event.ClassDelegatedGrant:
				for p := range strings.FieldsSeq(c.permissions) {
					granted[p+" (delegated)"] = true
				}
			}
		}
		for p := range requested {
			if granted[p] {
				delete(requested, p)
			}
		}
		a.Permissions, a.Requested = sortedKeys(granted), sortedKeys(requested)
		a.Events = capped(casefile.Unique(a.Events))
		for i := range b.comp.findings {
			f := &b.comp.findings[i]
			if slices.ContainsFunc(f.Entities, func(e casefile.Entity) bool {
				return (e.Kind == casefile.App || e.Kind == casefile.ServicePrincipal || e.Kind == casefile.AppObject) && b.w.ids.root(e.ID) == x.root
			}) {
				a.Findings = append(a.Findings, f.ID)
			}
		}
		b.camp.Apps = append(b.camp.Apps, a)
	}
	slices.SortStableFunc(b.camp.Apps, func(x, y casefile.AppRef) int {
		if c := x.Since.Compare(y.Since.Time); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
}

func (b *builder) credentials() {
	for _, k := range sortedKeys(b.g.learned) {
		r := *b.g.learned[k]
		r.Events = casefile.Unique(r.Events)
		b.camp.Credentials = append(b.camp.Credentials, r)
	}
}

// addresses lists the addresses, sessions and tokens of the contexts.
func (b *builder) addresses(ctx context.Context) error {
	type use struct {
		first, last time.Time
		n           int64
		why         map[string]bool
	}
	ips := map[string]*use{}
	see := func(ip, why string, n int64, a, z time.Time) {
		u := ips[ip]
		if u == nil {
			u = &use{first: a, last: z, why: map[string]bool{}}
			ips[ip] = u
		}
		if a.Before(u.first) {
			u.first = a
		}
		if z.After(u.last) {
			u.last = z
		}
		u.n += n
		u.why[why] = true
	}
	sessions, tokens := map[string]*casefile.SessionRef{}, map[string]*casefile.TokenRef{}
	for _, k := range b.g.order {
		x := b.g.contexts[k]
		w, args := x.where(true)
		if w == "" || x.maybe {
			continue
		}
		err := store.Each(ctx, b.q, `SELECT coalesce(ip, ''), coalesce(session_id, ''), coalesce(token_id, ''), max(coalesce(actor, '')), count(*), min(time), max(time) FROM events
			WHERE `+w+` AND (ip IS NOT NULL OR session_id IS NOT NULL OR token_id IS NOT NULL) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, args, func(scan scanner) error {
			var ip, session, token, actor string
			var n int64
			var a, z time.Time
			if err := scan(&ip, &session, &token, &actor, &n, &a, &z); err != nil {
				return err
			}
			name := contextName(b, x)
			if ip != "" {
				see(ip, "used by "+name, n, a.UTC(), z.UTC())
			}
			at, to := casefile.TimeOf(a), casefile.TimeOf(z)
			if session != "" {
				s := sessions[session]
				if s == nil {
					s = &casefile.SessionRef{ID: session, Why: "of " + name}
					sessions[session] = s
				}
				if strings.Contains(actor, "@") {
					s.Account = actor
				}
				s.First, s.Last, s.Events = casefile.Earlier(s.First, at), casefile.Later(s.Last, to), s.Events+n
				s.IPs = casefile.Unique(append(s.IPs, ip))
			}
			if token != "" {
				t := tokens[token]
				if t == nil {
					t = &casefile.TokenRef{ID: token, Why: "of " + name}
					tokens[token] = t
				}
				if strings.Contains(actor, "@") {
					t.Account = actor
				}
				if x.Kind == "app" {
					t.App = b.g.appID(x.root)
				}
				t.First, t.Last, t.Events = casefile.Earlier(t.First, at), casefile.Later(t.Last, to), t.Events+n
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("addresses: %w", err)
		}
	}
	for i := range b.comp.findings {
		f := &b.comp.findings[i]
		for _, ip := range append(entities(f, casefile.IP, casefile.RoleSource), entities(f, casefile.IP, casefile.RoleUsed)...) {
			if ips[ip] == nil {
				word := f.Title
				if guessing(f) {
					word = "tried passwords"
				}
				see(ip, word, 0, f.First.Time, f.Last.Time)
			}
		}
	}
	names := sortedKeys(ips)
	if err := b.w.readIPs(ctx, b.q, names); err != nil {
		return err
	}
	for _, ip := range names {
		u, s := ips[ip], b.w.ips[ip]
		ref := casefile.IPRef{IP: ip, First: casefile.TimeOf(u.first), Last: casefile.TimeOf(u.last), Events: u.n, Why: strings.Join(sortedKeys(u.why), "; ")}
		if s != nil {
			ref.ASN, ref.ASOrg, ref.Kind, ref.Country, ref.Accounts = s.asn, s.asOrg, s.kind, s.country, s.accounts
			ref.Shared = s.accounts > 2
			if u.n == 0 {
				ref.First, ref.Last = casefile.TimeOf(s.first), casefile.TimeOf(s.last)
			}
		}
		b.camp.IPs = append(b.camp.IPs, ref)
	}
	for _, id := range sortedKeys(sessions) {
		b.camp.Sessions = append(b.camp.Sessions, *sessions[id])
	}
	for _, id := range sortedKeys(tokens) {
		b.camp.Tokens = append(b.camp.Tokens, *tokens[id])
	}
	return nil
}

func contextName(b *builder, x *grown) string {
	switch x.Kind {
	case "app":
		return "application " + first(b.w.ids.nameOf(x.root), b.g.appID(x.root))
	case "session":
		return "session " + x.sessions[0]
	}
	return strings.Join(x.accounts, ", ")
}
