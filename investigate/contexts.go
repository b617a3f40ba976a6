package investigate

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// maxRounds bounds the growth of a campaign: each round follows one step of
// "what did this make, and what was that used for".
const maxRounds = 6

// grower grows what an actor acted as, from the findings of one campaign.
//
// The rule is to take as little as the evidence forces: an account that was
// guessed still belongs to its owner, so only what came from the actor's
// addresses and sessions counts; an account that the actor made is the actor's
// altogether. The same holds for applications that were there before and that
// were not.
type grower struct {
	w        *world
	q        store.Querier
	contexts map[string]*grown
	order    []string
	learned  map[string]*casefile.CredentialRef
	seen     map[string][]visit // by account
}

// grown is a context with what is needed to find its records.
type grown struct {
	casefile.Context
	accounts        []string
	apps            []string // all ids of the application
	ips             []string // empty: from anywhere
	tokens          []string
	sessions        []string
	events          []string
	root            string   // of the application
	whole           bool     // whatever it did since is the actor's
	guessed         bool     // an account that somebody owned before
	newMail         bool     // whatever mail it read since is: it never read any before
	maybe           bool     // the owner's as well as the actor's: all that it reached is possible
	stolen          []string // sessions that the owner began and the actor used
	unclear         []string // addresses of an account that are neither's for sure
	unclearSince    time.Time
	ownerWith, with map[string]bool // programs of the account's owner, and the actor's
	plan            *plan
	lost            bool // addresses of it were excluded: having none left is not "from anywhere"
}

func newGrower(w *world, q store.Querier) *grower {
	return &grower{w: w, q: q, contexts: map[string]*grown{}, learned: map[string]*casefile.CredentialRef{}, seen: map[string][]visit{}}
}

// grow runs to a fixpoint.
func (g *grower) grow(ctx context.Context, fs []casefile.Finding) error {
	for i := range fs {
		if err := g.seed(ctx, &fs[i]); err != nil {
			return err
		}
		if isExcluded(&fs[i], casefile.IP) {
			for _, c := range g.contexts {
				c.lost = c.lost || c.From == fs[i].ID
			}
		}
	}
	for range maxRounds {
		n := g.size()
		if err := g.useKeys(ctx); err != nil {
			return err
		}
		if err := g.useAccounts(ctx); err != nil {
			return err
		}
		if err := g.followChanges(ctx); err != nil {
			return err
		}
		if g.size() == n {
			break
		}
	}
	for _, k := range slices.Clone(g.order) {
		c := g.contexts[k]
		c.finish()
		if u := g.unclearOf(c); u != nil {
			g.contexts[u.ID] = u
			g.order = append(g.order, u.ID)
		}
	}
	return nil
}

// size is how much is known; it only grows.
func (g *grower) size() (n int) {
	for _, c := range g.contexts {
		n += 1 + len(c.ips) + len(c.tokens) + len(c.sessions)
		if c.whole {
			n++
		}
	}
	return n
}

// add adds a context, or returns the one that is there. The earlier start wins.
func (g *grower) add(kind, id string, since time.Time, from, why string) *grown {
	key := kind + " " + id
	c := g.contexts[key]
	if c == nil {
		c = &grown{Context: casefile.Context{ID: casefile.ID("x", kind, id), Kind: kind, Since: casefile.TimeOf(since), From: from, Why: why}, plan: g.w.plan}
		g.contexts[key] = c
		g.order = append(g.order, key)
	}
	if since.Before(c.Since.Time) {
		c.Since, c.Why, c.From = casefile.TimeOf(since), why, from
	}
	return c
}

func (c *grown) addTokens(ids ...string)   { c.tokens = addTo(c.tokens, ids) }
func (c *grown) addSessions(ids ...string) { c.sessions = addTo(c.sessions, ids) }

func (c *grown) addIPs(ips ...string) {
	for _, ip := range ips {
		if c.plan.excludes(casefile.IP, ip) {
			c.lost = true
		} else {
			c.ips = addTo(c.ips, []string{ip})
		}
	}
}

func addTo(list, more []string) []string {
	for _, x := range more {
		if x != "" && !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	return list
}

func (c *grown) finish() {
	slices.Sort(c.ips)
	slices.Sort(c.tokens)
	slices.Sort(c.sessions)
	add := func(kind casefile.EntityKind, ids []string) {
		for _, id := range ids {
			c.Keys = append(c.Keys, casefile.Entity{Kind: kind, ID: id})
		}
	}
	add(casefile.Account, c.accounts)
	add(casefile.App, c.apps)
	if !c.whole {
		add(casefile.IP, c.ips)
		add(casefile.Token, c.tokens)
	}
	add(casefile.Session, c.sessions)
}

// seed takes from a finding what the actor acted as.
func (g *grower) seed(ctx context.Context, f *casefile.Finding) error {
	switch f.Detector {
	case "slow_spray", "failures_one_ip", "failures_one_account":
		ips := entities(f, casefile.IP, casefile.RoleUsed)
		if f.Detector == "failures_one_ip" {
			ips = entities(f, casefile.IP, casefile.RoleSource)
		}
		for _, upn := range entities(f, casefile.Account, casefile.RoleConverted) {
			if err := g.guessed(ctx, f, upn, ips); err != nil {
				return err
			}
		}
	case "young_consenter":
		for _, upn := range entities(f, casefile.Account, casefile.RoleTarget) {
			g.wholeAccount(upn, f.First.Time, f.ID, "it was created shortly before it consented")
			g.contexts["account "+upn].guessed = false // it is not excluded: then the finding would not name it
		}
	case "session_second_network":
		// The session is the owner's: what of the account is the actor's is told
		// by address, token and program, see owner.go.
		if upns := entities(f, casefile.Account, casefile.RoleTarget); len(upns) == 1 && f.Severity.Rank() >= casefile.Medium.Rank() {
			if from := entities(f, casefile.IP, casefile.RoleSource); len(from) > 0 {
				c := g.account(upns[0], f.Detected.Time, f.ID, "its session was used from a second network: what comes from there is the actor's")
				c.addIPs(from...)
				c.stolen = addTo(c.stolen, entities(f, casefile.Session, casefile.RoleTarget))
				return g.seedIdentity(ctx, f)
			}
		}
		for _, s := range entities(f, casefile.Session, casefile.RoleTarget) {
			c := g.add("session", s, f.Detected.Time, f.ID, "the session was used from a second network: what comes from there is the actor's")
			c.addSessions(s)
			c.addIPs(entities(f, casefile.IP, casefile.RoleSource)...)
		}
		return g.seedIdentity(ctx, f)
	case "canary_account", "dormant_account_wakes", "legacy_auth_first", "mfa_fatigue", "new_method_after_new_network", "sign_in_bypass", "single_factor_new_network":
		return g.seedIdentity(ctx, f)
	case "app_credential_added":
		for _, k := range entities(f, casefile.Credential, casefile.RoleTarget) {
			if err := g.key(ctx, k, f.First.Time, f.ID); err != nil {
				return err
			}
		}
	case "mail_volume":
		for _, upn := range entities(f, casefile.Account, casefile.RoleTarget) {
			var rare []string
			for _, ip := range entities(f, casefile.IP, casefile.RoleSource) {
				if g.w.rareIP(ip) {
					rare = append(rare, ip)
				}
			}
			if len(rare) > 0 {
				c := g.account(upn, f.First.Time, f.ID, "it read its mail as never before, from an address that is new to it and rare here")
				c.addIPs(rare...)
			}
		}
	case "app_grants_app":
		// The application that gives may be a pipeline with a life of its own:
		// only what it did from the address of the deed is the actor's.
		if f.Severity.Rank() < casefile.High.Rank() {
			return nil
		}
		for _, id := range entities(f, casefile.App, casefile.RoleActor) {
			if err := g.app(ctx, id, f.First.Time, f.ID, "it gave an application powers, without a user"); err != nil {
				return err
			}
			if c := g.contexts["app "+g.w.ids.root(id)]; c != nil {
				for _, ip := range entities(f, casefile.IP, casefile.RoleSource) {
					if g.w.rareIP(ip) {
						c.addIPs(ip)
					}
				}
			}
		}
	case "service_principal_new_network", "app_breadth":
		why := "it acted from a network that is new to it"
		if f.Detector == "app_breadth" {
			why = "it read mailboxes that it never read before, from a network that is new to it"
		}
		if f.Severity.Rank() < casefile.Medium.Rank() || len(entities(f, casefile.IP, casefile.RoleSource)) == 0 {
			return nil
		}
		for _, id := range entities(f, casefile.App, casefile.RoleActor) {
			if err := g.app(ctx, id, f.First.Time, f.ID, why); err != nil {
				return err
			}
			if c := g.contexts["app "+g.w.ids.root(id)]; c != nil {
				c.addIPs(entities(f, casefile.IP, casefile.RoleSource)...)
			}
		}
	case "app_only_mail_grant", "first_seen_mailbox_app", "app_many_networks", "mail_consent":
		role := casefile.RoleTarget
		if f.Detector == "first_seen_mailbox_app" || f.Detector == "app_many_networks" {
			role = casefile.RoleActor
		}
		if f.Severity.Rank() < casefile.Medium.Rank() {
			return nil
		}
		if slices.ContainsFunc(entities(f, casefile.App, role), func(id string) bool { return sharedApps()[id] }) {
			return nil // Graph Explorer and the like: everybody's
		}
		for _, kind := range []casefile.EntityKind{casefile.App, casefile.ServicePrincipal, casefile.AppObject} {
			for _, id := range entities(f, kind, role) {
				if err := g.app(ctx, id, f.First.Time, f.ID, strings.ToLower(f.Title[:1])+f.Title[1:]); err != nil {
					return err
				}
			}
		}
	case "inbox_rule_hides_or_forwards", "external_forwarding":
		for _, upn := range entities(f, casefile.Account, casefile.RoleActor) {
			var rare []string
			for _, ip := range entities(f, casefile.IP, casefile.RoleSource) {
				if g.w.rareIP(ip) {
					rare = append(rare, ip)
				}
			}
			if ss := entities(f, casefile.Session, casefile.RoleUsed); len(ss) > 0 && len(rare) == 0 {
				c := g.add("session", ss[0], f.First.Time, f.ID, "the rule was made in this session")
				c.addSessions(ss...)
			}
			if len(rare) > 0 {
				c := g.account(upn, f.First.Time, f.ID, "the rule was made from an address that is rare here")
				c.addIPs(rare...)
			}
		}
	}
	return nil
}

// quietBefore is how much evidence without a sign-in of an account it takes to
// hold that nobody used it.
const quietBefore = 7 * 24 * time.Hour

// guessed is a context of an account whose password was guessed from ips. An
// account that nobody used before is the actor's from then on. Of others the
// actor's are the addresses of the guessing, and those that the account first
// used afterwards and that hardly anybody else uses, unless they may be the
// owner's: in a network or on a device of the owner's, or with a user agent
// that the owner had before and the actor has not shown. People walk about;
// their own mail is not the actor's.
func (g *grower) guessed(ctx context.Context, f *casefile.Finding, upn string, ips []string) error {
	type use struct {
		ip, net, device, agent string
		at                     time.Time
	}
	if g.w.plan.excludes(casefile.Account, upn) {
		return nil
	}
	var uses []use
	err := store.Each(ctx, g.q, `SELECT ip, coalesce(asn, 0), coalesce(device_id, ''), coalesce(user_agent, ''), min(time) FROM events WHERE class = 'sign_in' AND outcome = 'success' AND actor = ? AND ip IS NOT NULL AND ip <> ''
		AND coalesce(ip_service, false) = false GROUP BY 1, 2, 3, 4 ORDER BY min(time), 1, 2, 3, 4`, []any{upn}, func(scan scanner) error {
		var u use
		var asn int64
		err := scan(&u.ip, &asn, &u.device, &u.agent, &u.at)
		if u.net = prefix(u.ip); asn > 0 {
			u.net = fmt.Sprintf("AS%d", asn)
		}
		u.at = u.at.UTC()
		uses = append(uses, u)
		return err
	})
	if err != nil {
		return err
	}
	var since time.Time
	for _, u := range uses {
		if since.IsZero() && !u.at.Before(f.First.Time) && slices.Contains(ips, u.ip) {
			since = u.at
		}
	}
	if since.IsZero() {
		return nil // the password was right, and nothing came of it
	}
	owners, actors := map[string]bool{}, map[string]bool{}
	used := false
	for _, u := range uses {
		switch {
		case slices.Contains(ips, u.ip) && !u.at.Before(since):
			actors["agent "+u.agent] = true
		case u.at.Before(since):
			used = used || u.at.Before(f.First.Time)
			owners["net "+u.net], owners["agent "+u.agent] = true, true
		}
		if u.device != "" && u.at.Before(since) {
			owners["device "+u.device] = true
		}
	}
	if !used && f.First.Sub(g.w.from) >= quietBefore {
		_, made := g.contexts["account "+upn] // by the actor: there was no password to guess
		g.wholeAccount(upn, since, f.ID, "its password was guessed, and nobody had signed in to it before")
		g.contexts["account "+upn].guessed = !made
		return nil
	}
	c := g.account(upn, since, f.ID, "its password was guessed: what it does from the addresses of the guessing, and from new ones since that are rare and not the owner's, is the actor's")
	c.addIPs(ips...)
	var fresh []string
	for _, u := range uses {
		switch {
		case u.at.Before(since), owners["net "+u.net], u.device != "":
		case owners["agent "+u.agent] && !actors["agent "+u.agent]:
		default:
			fresh = addTo(fresh, []string{u.ip})
		}
	}
	if err := g.w.readIPs(ctx, g.q, fresh); err != nil {
		return err
	}
	for _, ip := range fresh {
		if g.w.rareIP(ip) {
			c.addIPs(ip)
		}
	}
	return nil
}

// prefix is the /24 or /48 of an address.
func prefix(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ip
	}
	return p.String()
}

// entities lists the ids of a finding's entities of a kind and role.
func entities(f *casefile.Finding, kind casefile.EntityKind, role string) (out []string) {
	for _, e := range f.Entities {
		if e.Kind == kind && e.Role == role {
			out = append(out, e.ID)
		}
	}
	return out
}

// account is a context of an account that still has an owner.
func (g *grower) account(upn string, since time.Time, from, why string) *grown {
	if c := g.contexts["account "+upn]; c != nil {
		return c
	}
	if g.w.plan.excludes(casefile.Account, upn) {
		return &grown{} // of nothing
	}
	c := g.add("account_from_ip", upn, since, from, why)
	c.accounts = addTo(c.accounts, []string{upn})
	return c
}

// wholeAccount is a context of an account that is the actor's altogether.
func (g *grower) wholeAccount(upn string, since time.Time, from, why string) {
	if g.w.plan.excludes(casefile.Account, upn) {
		return
	}
	c := g.add("account", upn, since, from, why)
	c.accounts = addTo(c.accounts, []string{upn})
	c.whole = true
}

// key is a context of a credential: the actor holds it from since on.
func (g *grower) key(ctx context.Context, key string, since time.Time, from string) error {
	if g.learned[key] == nil {
		ref := &casefile.CredentialRef{KeyID: key, Added: casefile.TimeOf(since), Why: "added by the actor"}
		for _, c := range g.w.changes {
			if c.class == string(event.ClassCredentialAdd) && slices.Contains(strings.Fields(c.keyID), key) {
				ref.Events = append(ref.Events, c.id)
				if ref.AddedBy == "" || strings.Contains(c.actor, "@") {
					ref.AddedBy = c.actor
				}
				root := g.w.ids.root(first(c.targetApp, c.targetID))
				if g.w.plan.excludes(casefile.App, root) {
					return nil
				}
				ref.App = g.appID(root)
				if err := g.app(ctx, root, since, from, "a credential was added to it"); err != nil {
					return err
				}
			}
		}
		g.learned[key] = ref
	}
	return nil
}

// app is a context of an application. It is whole when the application did
// nothing before, and otherwise limited to what the actor's credentials did.
func (g *grower) app(ctx context.Context, id string, since time.Time, from, why string) error {
	root := g.w.ids.root(id)
	if sharedApps()[root] || slices.ContainsFunc(g.w.ids.members(root), func(id string) bool { return sharedApps()[id] }) {
		return nil
	}
	if g.w.plan.excludes(casefile.App, root) {
		return nil
	}
	old := g.contexts["app "+root]
	c := g.add("app", root, since, from, why)
	c.root = root
	c.apps = g.w.ids.members(root)
	if old != nil && !since.Before(old.Since.Time) {
		return nil
	}
	active, read, err := g.before(ctx, c.apps, c.Since.Time)
	if err != nil {
		return err
	}
	c.whole, c.newMail = !active, !read
	switch {
	case read:
		c.Limit = "it read mail before, so only what came with the actor's credentials, tokens and addresses is taken"
	case active:
		c.Limit = "it signed in before but never read mail, so all mail that it read since is taken"
	}
	return nil
}

// before reports whether an application signed in, and read mail, before.
func (g *grower) before(ctx context.Context, apps []string, since time.Time) (active, read bool, err error) {
	var n, m int64
	err = store.Each(ctx, g.q, `SELECT count(*), count(CASE WHEN class <> 'sign_in' THEN 1 END) FROM events
		WHERE class IN ('sign_in', 'mail_access', 'attachment_access', 'graph_request') AND actor_kind IN ('app', 'managed')
		AND (app_id IN (`+quoted(apps)+`) OR sp_id IN (`+quoted(apps)+`)) AND time < ?`, []any{since}, func(scan scanner) error { return scan(&n, &m) })
	return n > 0, m > 0, err
}

// useKeys follows the actor's credentials to the sign-ins made with them.
func (g *grower) useKeys(ctx context.Context) error {
	for _, key := range sortedKeys(g.learned) {
		ref := g.learned[key]
		if ref.Uses > 0 {
			continue
		}
		err := store.Each(ctx, g.q, `SELECT CAST(id AS VARCHAR), coalesce(app_id, sp_id, ''), coalesce(ip, ''), coalesce(token_id, ''), coalesce(request_id, ''), time FROM events
			WHERE class = 'sign_in' AND key_id = ? AND time >= ? AND coalesce(outcome, '') <> 'failure' ORDER BY time, id`, []any{key, ref.Added.Time}, func(scan scanner) error {
			var id, app, ip, token, request string
			var at time.Time
			if err := scan(&id, &app, &ip, &token, &request, &at); err != nil {
				return err
			}
			ref.Uses++
			ref.FirstUsed = casefile.Earlier(ref.FirstUsed, casefile.TimeOf(at))
			if len(ref.Events) < 20 {
				ref.Events = append(ref.Events, id)
			}
			c := g.contexts["app "+g.w.ids.root(app)]
			if c == nil {
				return nil
			}
			c.addIPs(ip)
			c.addTokens(token, request)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// useAccounts follows the accounts' sign-ins to sessions.
func (g *grower) useAccounts(ctx context.Context) error {
	for _, k := range slices.Clone(g.order) {
		c := g.contexts[k]
		if c.Kind != "account_from_ip" || len(c.ips) == 0 {
			continue
		}
		if err := g.separate(ctx, c); err != nil {
			return err
		}
		err := store.Each(ctx, g.q, `SELECT coalesce(session_id, ''), coalesce(token_id, ''), coalesce(request_id, '') FROM events
			WHERE class = 'sign_in' AND actor = ? AND ip IN (`+quoted(c.ips)+`) AND time >= ? AND outcome = 'success' ORDER BY time, id`, []any{c.accounts[0], c.Since.Time}, func(scan scanner) error {
			var session, token, request string
			if err := scan(&session, &token, &request); err != nil {
				return err
			}
			if g.began(c, session) {
				c.addSessions(session)
			}
			c.addTokens(token, request)
			return nil
		})
		if err != nil {
			return err
		}
		if len(c.sessions) == 0 {
			continue
		}
		// A session that began at the actor's address is the actor's wherever
		// it goes, and so are the addresses that nobody else uses.
		var more []string
		err = store.Each(ctx, g.q, `SELECT DISTINCT ip FROM events WHERE session_id IN (`+quoted(c.sessions)+`) AND ip IS NOT NULL AND ip <> '' AND coalesce(ip_service, false) = false AND time >= ? ORDER BY 1`, []any{c.Since.Time}, func(scan scanner) error {
			var ip string
			err := scan(&ip)
			more = append(more, ip)
			return err
		})
		if err != nil {
			return err
		}
		if err := g.w.readIPs(ctx, g.q, more); err != nil {
			return err
		}
		for _, ip := range more {
			if g.w.rareIP(ip) {
				c.addIPs(ip)
			}
		}
	}
	return nil
}

// followChanges takes what the actor made or gave: accounts, applications,
// credentials, permissions.
func (g *grower) followChanges(ctx context.Context) error {
	for i := range g.w.changes {
		c := &g.w.changes[i]
		by := g.actorOf(c)
		if by == nil {
			continue
		}
		by.events = addTo(by.events, []string{c.id})
		why := fmt.Sprintf("%s by %s", c.operation, first(c.appName, c.actor))
		switch event.Class(c.class) {
		case event.ClassUserCreate:
			if strings.Contains(c.target, "@") {
				g.wholeAccount(strings.ToLower(c.target), c.time, by.ID, "created by the actor ("+why+")")
				if x := g.contexts["account "+strings.ToLower(c.target)]; x != nil {
					x.guessed = false // there was no password to guess
				}
			}
		case event.ClassCredentialAdd:
			for k := range strings.FieldsSeq(c.keyID) {
				if err := g.key(ctx, k, c.time, by.ID); err != nil {
					return err
				}
			}
		case event.ClassAppCreate, event.ClassSPCreate, event.ClassAppRoleGrant, event.ClassConsent, event.ClassDelegatedGrant:
			id := first(c.targetApp, c.targetID)
			if id == "" || sharedApps()[id] || c.targetKind != "service_principal" && c.targetKind != "application" {
				continue
			}
			if err := g.app(ctx, id, c.time, by.ID, why); err != nil {
				return err
			}
		}
	}
	return nil
}
