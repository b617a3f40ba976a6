package investigate

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/detect"
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

// share puts the mailboxes in proportion.
func (b *builder) share(ctx context.Context, opts Options) error {
	s := &b.camp.ShareOfMailboxes
	s.PerCertainty = b.camp.Reach.Mailboxes
	if opts.DirectoryMailboxes > 0 {
		s.Denominator, s.DenominatorName = opts.DirectoryMailboxes, "users in the directory that was given"
	} else {
		seen, err := b.mailboxes(ctx)
		if err != nil {
			return err
		}
		s.Denominator, s.DenominatorName = int64(len(seen)), "distinct mailboxes seen in the evidence of these tenants"
	}
	if s.Denominator > 0 {
		d := float64(s.Denominator)
		s.ConfirmedShare, s.ProbableShare, s.PossibleShare = round(float64(s.Confirmed)/d, 4), round(float64(s.Probable)/d, 4), round(float64(s.Possible)/d, 4)
	}
	return nil
}

// mailboxes lists the mailboxes of the campaign's tenants that the evidence
// shows anywhere, the campaign's own included.
func (b *builder) mailboxes(ctx context.Context) (map[string]*seenBox, error) {
	seen, err := b.w.mailboxesSeen(ctx, b.q)
	if err != nil {
		return nil, err
	}
	for name, x := range seen {
		in := len(b.camp.Tenants) == 0 || x.tenants[""]
		for _, t := range b.camp.Tenants {
			in = in || x.tenants[t]
		}
		if !in {
			delete(seen, name)
		}
	}
	for _, m := range b.camp.Mailboxes {
		if seen[m.UPN] == nil {
			seen[m.UPN] = &seenBox{read: true, tenants: map[string]bool{m.Tenant: true}}
		}
	}
	return seen, nil
}

// cannotClear states, as counts, what the logs cannot clear: mailboxes that an
// application could read while nothing was recorded.
func (b *builder) cannotClear(ctx context.Context) error {
	type holder struct {
		app   casefile.AppRef
		since time.Time
		perm  string
	}
	var holders []holder
	for _, a := range b.camp.Apps {
		for _, p := range a.Permissions {
			if detect.ReadsMail(p) && !strings.Contains(p, "(delegated)") {
				holders = append(holders, holder{a, b.grantTime(a, p), p})
				break
			}
		}
	}
	seen, err := b.mailboxes(ctx)
	if err != nil {
		return err
	}
	reached := map[string]bool{}
	for _, m := range b.camp.Mailboxes {
		reached[m.UPN] = true
	}
	var rest, silent []string
	read := false
	for _, name := range sortedKeys(seen) {
		read = read || seen[name].read
		if reached[name] {
			continue
		}
		rest = append(rest, name)
		if !seen[name].read {
			silent = append(silent, name)
		}
	}
	names := func(list []string) []string {
		if len(list) > maxNames {
			return nil
		}
		return list
	}
	const whole = "mailboxes seen in the evidence that were not reached as far as it says"
	var spans []span
	for _, h := range holders {
		who := first(h.app.Name, h.app.ID)
		to := b.camp.End.Time
		switch {
		case !read:
			b.camp.CannotClear = append(b.camp.CannotClear, casefile.Uncleared{
				What: "mailboxes", Count: int64(len(rest)), CountName: whole, Certainty: casefile.Possible, Members: names(rest), Events: h.app.Events,
				Why:   fmt.Sprintf("application %s could read every mailbox with %s from %s on, and the evidence has no record of mail being read at all", who, h.perm, casefile.TimeOf(h.since)),
				Fetch: "unified audit log, operation MailItemsAccessed, for the whole time",
			})
			continue
		case len(silent) > 0:
			b.camp.CannotClear = append(b.camp.CannotClear, casefile.Uncleared{
				What: "mailboxes", Count: int64(len(silent)), CountName: "mailboxes with other records but none of mail being read", Certainty: casefile.Possible, Members: names(silent), Events: h.app.Events,
				Why:   fmt.Sprintf("application %s could read every mailbox with %s from %s on; reads of these are never recorded, by anybody: their licence or audit settings may not log them", who, h.perm, casefile.TimeOf(h.since)),
				Fetch: "the mailboxes' licences, AuditEnabled, AuditOwner, AuditDelegate, AuditAdmin and AuditBypassEnabled",
			})
			silent = nil // once is enough
		}
		spans = append(spans, span{h.app, who, h.perm, h.since, to})
	}
	return b.gaps(ctx, spans, rest, names(rest), whole)
}

// span is a time in which an application could read every mailbox.
type span struct {
	app       casefile.AppRef
	who, perm string
	from, to  time.Time
}

// gaps states the gaps of the audit log while applications could read every
// mailbox: one statement a gap, those with sign-ins of the applications first,
// and one for all the others.
func (b *builder) gaps(ctx context.Context, spans []span, rest, members []string, whole string) error {
	type hole struct {
		casefile.Gap
		who    []string
		n      int
		events []string
	}
	holes := map[string]*hole{}
	for _, s := range spans {
		for _, t := range b.camp.Tenants {
			for _, g := range gapsOf(&b.c.Coverage, t, string(event.UAL), s.from, s.to) {
				n, ids, err := b.signInsDuring(ctx, s.app, g)
				if err != nil {
					return err
				}
				key := g.To.String()
				h := holes[key]
				if h == nil {
					h = &hole{Gap: g}
					holes[key] = h
				}
				if g.Hours > h.Hours {
					h.Gap = g
				}
				h.who, h.n, h.events = addTo(h.who, []string{s.who}), h.n+n, append(h.events, ids...)
			}
		}
	}
	var quiet []*hole
	say := func(why, fetch string, events []string) {
		b.camp.CannotClear = append(b.camp.CannotClear, casefile.Uncleared{
			What: "mailboxes", Count: int64(len(rest)), CountName: whole, Certainty: casefile.Possible, Members: members, Why: why, Fetch: fetch, Events: events,
		})
	}
	for _, k := range sortedKeys(holes) {
		h := holes[k]
		if h.n == 0 {
			quiet = append(quiet, h)
			continue
		}
		say(fmt.Sprintf("the audit log has no record from %s to %s, while %s could read every mailbox and signed in %s", h.From, h.To, joinWords(h.who), plural(h.n, "time", "times")),
			fmt.Sprintf("the unified audit log from %s to %s", h.From, h.To), capped(casefile.Unique(h.events)))
	}
	if len(quiet) > 0 {
		var hours float64
		for _, h := range quiet {
			hours += h.Hours
		}
		say(fmt.Sprintf("the audit log has %s of more than a day, %.0f hours in all, while applications could read every mailbox; no sign-in of theirs falls into these", plural(len(quiet), "more gap", "more gaps"), hours),
			"the unified audit log for these times; small organizations have such gaps on weekends", []string{})
	}
	return nil
}

// grantTime is when an application got a permission, or when it came in.
func (b *builder) grantTime(a casefile.AppRef, permission string) time.Time {
	root := b.w.ids.root(a.ID)
	for i := range b.w.changes {
		c := &b.w.changes[i]
		if event.Class(c.class) == event.ClassAppRoleGrant && b.w.ids.root(first(c.targetApp, c.targetID)) == root && slices.Contains(strings.Fields(c.permissions), permission) {
			return c.time
		}
	}
	return a.Since.Time
}

func (b *builder) signInsDuring(ctx context.Context, a casefile.AppRef, g casefile.Gap) (n int, ids []string, err error) {
	apps := append([]string{a.ID}, a.ServicePrincipals...)
	err = store.Each(ctx, b.q, `SELECT CAST(id AS VARCHAR) FROM events WHERE class = 'sign_in' AND (app_id IN (`+quoted(apps)+`) OR sp_id IN (`+quoted(apps)+`))
		AND actor_kind IN ('app', 'managed') AND time >= ? AND time <= ? AND outcome = 'success' ORDER BY time, id`, []any{g.From.Time, g.To.Time}, func(scan scanner) error {
		var id string
		err := scan(&id)
		n++
		ids = append(ids, id)
		return err
	})
	return n, capped(ids), err
}

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
