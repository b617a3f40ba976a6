package report

import (
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
)

// Graph says how the actor of a campaign moved: from networks to accounts, on
// to keys, sessions and permissions, to applications and to mail. It holds what
// the case says of who did what to whom, and no more; what cannot be told
// apart by that is one node, a group.
type Graph struct {
	Campaign string
	Nodes    []GraphNode // by stage, then as they are laid out
	Edges    []GraphEdge // by time
	Few      bool        // nothing is grouped
}

// GraphNode is one thing, or a group of things that are alike.
type GraphNode struct {
	ID    string // stable for the same campaign; of a group, what opens it
	Kind  string // network, account, sprayed, credential, permission, session, app, mailbox, uncleared
	Stage int    // 0 networks, 1 accounts, 2 keys, sessions and permissions, 3 applications, 4 mailboxes
	Label string
	Sub   string // in words: what it is, and which part it played
	Title string // in full
	First casefile.Time
	// Certainty holds how many of its members are reached, or the actor's, with
	// which certainty. All are 0 where the case says nothing of the kind.
	Certainty casefile.PerCertainty
	Count     int      // things in it; 1 is no group
	Members   []string // their ids, at most [maxMembers]
	Open      bool     // its members are shown by themselves; it stands for those that are left
	Entity    casefile.Entity
	Href      string
}

// GraphEdge is what one node did to another.
type GraphEdge struct {
	From, To    string
	Verb        string
	First, Last casefile.Time
	Count       int // things at the end that is a group
	Certainty   casefile.Certainty
	Title       string
	Finding     string
	Events      []string
	Href        string
}

// GraphOptions says how a graph is made.
type GraphOptions struct {
	Few    int      // groups of at most so many are shown one by one; 0 means 4
	Expand []string // ids of groups that are to be opened
	// ExpandHref is the address of the picture with one more group opened. Nil:
	// groups lead to where their members are told.
	ExpandHref func(group string) string
}

// maxMembers is how many members of a group are named, and shown when it is open.
const maxMembers = 60

// mostNodes is how many nodes a stage has before its groups are made coarser.
const mostNodes = 16

type graphMaker struct {
	c     casefile.Campaign
	o     GraphOptions
	nodes map[string]*GraphNode
	edges map[string]*GraphEdge
	by    map[string]casefile.Finding
}

// NewGraph makes the graph of a campaign of the case, or nil when there is no
// such campaign.
func NewGraph(c *casefile.Case, campaign string, o GraphOptions) *Graph {
	i := slices.IndexFunc(c.Campaigns, func(x casefile.Campaign) bool { return x.ID == campaign })
	if i < 0 {
		return nil
	}
	if o.Few <= 0 {
		o.Few = 4
	}
	m := &graphMaker{c: c.Campaigns[i], o: o, nodes: map[string]*GraphNode{}, edges: map[string]*GraphEdge{}, by: map[string]casefile.Finding{}}
	for _, f := range c.Findings {
		m.by[f.ID] = f
	}
	m.things()
	m.deeds()
	m.mail()
	return m.graph()
}

func (m *graphMaker) node(n GraphNode) *GraphNode {
	if have, ok := m.nodes[n.ID]; ok {
		have.First = casefile.Earlier(have.First, n.First)
		return have
	}
	if n.Count == 0 {
		n.Count = 1
	}
	m.nodes[n.ID] = &n
	return &n
}

func (m *graphMaker) edge(e GraphEdge) {
	if m.nodes[e.From] == nil || m.nodes[e.To] == nil || e.From == e.To {
		return
	}
	key := e.From + "\x00" + e.To + "\x00" + e.Verb
	if e.Count == 0 {
		e.Count = 1
	}
	have, ok := m.edges[key]
	if !ok {
		m.edges[key] = &e
		return
	}
	have.First, have.Last = casefile.Earlier(have.First, e.First), casefile.Later(have.Last, e.Last)
	if e.Certainty.Rank() > have.Certainty.Rank() {
		have.Certainty = e.Certainty
	}
	if have.Finding == "" {
		have.Finding = e.Finding
	}
	if len(have.Events) == 0 {
		have.Events = e.Events
	}
}

func one(c casefile.Certainty) (p casefile.PerCertainty) {
	switch c {
	case casefile.Confirmed:
		p.Confirmed = 1
	case casefile.Probable:
		p.Probable = 1
	case casefile.Possible:
		p.Possible = 1
	}
	return p
}

func local(upn string) string {
	if s, _, ok := strings.Cut(upn, "@"); ok && s != "" {
		return s
	}
	return upn
}

func account(upn string) string { return "account:" + upn }
func appNode(id string) string  { return "app:" + id }
func key(id string) string      { return "credential:" + id }
func netNode(ip string) string  { return "network:" + ip }

// things are the campaign's accounts, applications, keys, permissions, and what
// it used of an account without its password.
func (m *graphMaker) things() {
	for _, a := range m.c.Accounts {
		if a.Role == casefile.AccountSprayed {
			continue
		}
		m.node(GraphNode{ID: account(a.UPN), Kind: "account", Stage: 1, Label: local(a.UPN), Sub: words(a.Role) + " account", Title: a.UPN + ", " + words(a.Role) + ": " + prose(a.Why),
			First: a.Since, Certainty: one(a.Certainty), Members: []string{a.UPN}, Entity: casefile.Entity{Kind: casefile.Account, ID: a.UPN}})
	}
	for _, a := range m.c.Apps {
		id := a.ID
		if id == "" && len(a.ServicePrincipals) > 0 {
			id = a.ServicePrincipals[0]
		}
		label := a.Name
		if label == "" {
			label = id
		}
		m.node(GraphNode{ID: appNode(id), Kind: "app", Stage: 3, Label: label, Sub: words(a.Role) + " application", Title: label + ", " + words(a.Role) + ": " + prose(a.Why),
			First: a.Since, Certainty: one(a.Certainty), Members: []string{id}, Entity: casefile.Entity{Kind: casefile.App, ID: id}})
		if len(a.Permissions) > 0 {
			label := a.Permissions[0]
			if k := slices.IndexFunc(a.Permissions, func(s string) bool { return !strings.Contains(s, "(") }); k >= 0 {
				label = a.Permissions[k] // without a user weighs more
			}
			n := m.node(GraphNode{ID: "permission:" + id, Kind: "permission", Stage: 2, Label: label, Sub: "permission", Title: "Permissions of " + a.Name + ": " + strings.Join(a.Permissions, ", "),
				First: a.Since, Members: a.Permissions[:min(len(a.Permissions), maxMembers)], Entity: casefile.Entity{Kind: casefile.App, ID: id}})
			if k := len(a.Permissions) - 1; k > 0 {
				n.Sub = "and " + plural(int64(k), "more permission")
			}
		}
	}
	for _, k := range m.c.Credentials {
		m.node(GraphNode{ID: key(k.KeyID), Kind: "credential", Stage: 2, Label: "key " + k.KeyID[:min(len(k.KeyID), 8)], Sub: plural(k.Uses, "sign-in"), Title: "Secret or certificate " + k.KeyID + ": " + prose(k.Why),
			First: k.Added, Members: []string{k.KeyID}, Entity: casefile.Entity{Kind: casefile.Credential, ID: k.KeyID}})
		added := m.findingWith(casefile.Credential, k.KeyID)
		m.edge(GraphEdge{From: account(k.AddedBy), To: key(k.KeyID), Verb: "added key", First: k.Added, Finding: added, Events: k.Events})
		m.edge(GraphEdge{From: m.app(k.AddedBy), To: key(k.KeyID), Verb: "added key", First: k.Added, Finding: added, Events: k.Events})
		verb := "opens"
		at := k.Added
		if k.Uses > 0 {
			verb, at = "signed in", k.FirstUsed
		}
		m.edge(GraphEdge{From: key(k.KeyID), To: m.app(k.App), Verb: verb, First: at, Finding: added, Events: k.Events})
	}
	for _, x := range m.c.Contexts {
		if x.Kind != "session" && x.Kind != "token" {
			continue
		}
		id := m.held(x)
		owner := ""
		for _, k := range x.Keys {
			if k.Kind == casefile.Account {
				owner = k.ID
			}
		}
		if owner == "" {
			owner = m.ownerOf(x)
		}
		n := m.node(GraphNode{ID: id, Kind: "session", Stage: 2, Label: "session or token", Sub: "of " + local(owner), Title: "What the actor held: " + prose(x.Why), First: x.Since, Count: 0})
		if owner == "" {
			n.Sub = "of an owner not known"
		}
		for _, k := range x.Keys {
			if (k.Kind == casefile.Session || k.Kind == casefile.Token) && !slices.Contains(n.Members, k.ID) && len(n.Members) < maxMembers {
				n.Members = append(n.Members, k.ID)
				n.Entity = k
			}
		}
		if n.Count = max(len(n.Members), 1); n.Count > 1 {
			n.Label = plural(int64(n.Count), "session or token/sessions and tokens")
		}
		m.edge(GraphEdge{From: account(owner), To: id, Verb: "held by actor", First: x.Since, Finding: m.findingOf(x.From)})
	}
}

// held is the node of the sessions and tokens of one owner.
func (m *graphMaker) held(x casefile.Context) string { return "session:" + m.ownerOf(x) }

func (m *graphMaker) ownerOf(x casefile.Context) string {
	for _, k := range x.Keys {
		switch k.Kind {
		case casefile.Account:
			return k.ID
		case casefile.Session:
			for _, s := range m.c.Sessions {
				if s.ID == k.ID && s.Account != "" {
					return s.Account
				}
			}
		case casefile.Token:
			for _, t := range m.c.Tokens {
				if t.ID == k.ID && t.Account != "" {
					return t.Account
				}
			}
		}
	}
	return ""
}

// app is the node of an application by any of its ids.
func (m *graphMaker) app(id string) string {
	if id == "" {
		return ""
	}
	for _, a := range m.c.Apps {
		if a.ID == id || slices.Contains(a.ServicePrincipals, id) {
			if a.ID == "" {
				return appNode(a.ServicePrincipals[0])
			}
			return appNode(a.ID)
		}
	}
	return appNode(id)
}

func (m *graphMaker) findingOf(id string) string {
	if _, ok := m.by[id]; ok {
		return id
	}
	return ""
}

func (m *graphMaker) findingWith(kind casefile.EntityKind, id string) string {
	for _, f := range m.c.Findings {
		for _, e := range m.by[f].Entities {
			if e.Kind == kind && e.ID == id && e.Role == casefile.RoleTarget {
				return f
			}
		}
	}
	return ""
}

// subject is the node of an entity that acts or is acted on, or empty.
func (m *graphMaker) subject(e casefile.Entity) string {
	switch e.Kind {
	case casefile.Account:
		return account(e.ID)
	case casefile.App, casefile.ServicePrincipal, casefile.AppObject:
		return m.app(e.ID)
	case casefile.Credential:
		return key(e.ID)
	case casefile.Mailbox:
		return "mailbox:" + e.ID
	}
	return ""
}

// deeds are what findings, sessions and tokens say of who came from where and
// did what to whom.
func (m *graphMaker) deeds() {
	net := func(ip string, at casefile.Time) string {
		if ip == "" {
			return ""
		}
		n := m.node(GraphNode{ID: netNode(ip), Kind: "network", Stage: 0, Label: ip, Sub: "address", Title: ip, First: at, Members: []string{ip}, Entity: casefile.Entity{Kind: casefile.IP, ID: ip}})
		return n.ID
	}
	for _, id := range m.c.Findings {
		f, ok := m.by[id]
		if !ok {
			continue
		}
		var from, who, victims, converted, targets, used []casefile.Entity
		for _, e := range f.Entities {
			switch {
			case e.Kind == casefile.IP && (e.Role == casefile.RoleSource || e.Role == casefile.RoleUsed):
				from = append(from, e)
			case e.Role == casefile.RoleActor:
				who = append(who, e)
			case e.Role == casefile.RoleVictim && e.Kind == casefile.Account:
				victims = append(victims, e)
			case e.Role == casefile.RoleConverted && e.Kind == casefile.Account:
				converted = append(converted, e)
			case e.Role == casefile.RoleTarget:
				targets = append(targets, e)
			case e.Role == casefile.RoleUsed && e.Kind == casefile.Credential:
				used = append(used, e)
			}
		}
		ev := head(f.Events)
		if f.Stage == casefile.StageGuessing {
			m.guessing(f, from, append(victims, converted...), net)
			continue
		}
		for _, e := range from {
			ends := append(slices.Clone(converted), used...)
			if len(ends) == 0 {
				ends = who
			}
			for _, a := range ends {
				to := m.subject(a)
				switch {
				case m.nodes[to] == nil || m.nodes[to].Kind == "app" && m.opened(to): // by the key, told there
				case m.nodes[to].Kind == "credential":
					m.edge(GraphEdge{From: net(e.ID, f.First), To: to, Verb: "used key", First: f.First, Last: f.Last, Finding: f.ID, Events: ev})
				case m.nodes[to].Kind == "account" && f.Detector == "guessed_password":
					m.edge(GraphEdge{From: net(e.ID, f.First), To: to, Verb: "guessed", First: f.First, Last: f.Last, Finding: f.ID, Events: ev})
				default:
					m.edge(GraphEdge{From: net(e.ID, f.First), To: to, Verb: "signed in as", First: f.First, Last: f.Last, Finding: f.ID, Events: ev})
				}
			}
		}
		for _, a := range who {
			for _, t := range targets {
				m.did(f, m.subject(a), m.subject(t), ev)
			}
		}
	}
	for _, s := range m.c.Sessions {
		to := account(s.Account)
		if m.nodes["session:"+s.Account] != nil && slices.Contains(m.nodes["session:"+s.Account].Members, s.ID) {
			to = "session:" + s.Account
		}
		if m.nodes[to] == nil {
			continue
		}
		for _, ip := range s.IPs {
			verb := "signed in as"
			if to != account(s.Account) {
				verb = "used it"
			}
			m.edge(GraphEdge{From: net(ip, s.First), To: to, Verb: verb, First: s.First, Last: s.Last})
		}
	}
	for _, t := range m.c.Tokens {
		var ev []string
		if t.MintedBy != "" {
			ev = []string{t.MintedBy}
		}
		switch {
		case t.MintedFrom == "":
		case m.nodes[key(t.KeyID)] != nil:
			m.edge(GraphEdge{From: net(t.MintedFrom, t.MintedAt), To: key(t.KeyID), Verb: "used key", First: t.MintedAt, Last: t.Last, Events: ev})
		case m.nodes[account(t.Account)] != nil:
			m.edge(GraphEdge{From: net(t.MintedFrom, t.MintedAt), To: account(t.Account), Verb: "signed in as", First: t.MintedAt, Last: t.Last, Events: ev})
		case m.nodes[m.app(t.App)] != nil:
			m.edge(GraphEdge{From: net(t.MintedFrom, t.MintedAt), To: m.app(t.App), Verb: "signed in as", First: t.MintedAt, Last: t.Last, Events: ev})
		}
	}
	// What was derived from an actor's context is the actor's doing.
	contexts := map[string]casefile.Context{}
	for _, x := range m.c.Contexts {
		contexts[x.ID] = x
	}
	for _, x := range m.c.Contexts {
		from, ok := contexts[x.From]
		if x.Kind != "app" || !ok {
			continue
		}
		to := m.of(x)
		verb := "took over"
		for _, a := range m.c.Apps {
			if m.app(a.ID) != to {
				continue
			}
			switch a.Role {
			case casefile.AppCreated:
				verb = "created"
			case casefile.AppIntroduced:
				verb = "let in"
			}
		}
		m.edge(GraphEdge{From: m.of(from), To: to, Verb: verb, First: x.Since})
	}
}

// opened reports whether a key of the campaign opens an application: its
// networks are those of the key.
func (m *graphMaker) opened(app string) bool {
	for _, k := range m.c.Credentials {
		if k.Uses > 0 && m.app(k.App) == app {
			return true
		}
	}
	return false
}

// guessing joins the networks of a finding with the accounts that they tried.
func (m *graphMaker) guessing(f casefile.Finding, from, accounts []casefile.Entity, net func(string, casefile.Time) string) {
	var tried []string
	var hit []string
	for _, a := range accounts {
		if m.nodes[account(a.ID)] != nil {
			hit = append(hit, account(a.ID))
		} else if !slices.Contains(tried, a.ID) {
			tried = append(tried, a.ID)
		}
	}
	target := "sprayed:" + f.ID
	if len(tried) > 0 {
		n := GraphNode{ID: target, Kind: "sprayed", Stage: 1, Label: plural(int64(len(tried)), "account"), Sub: "tried, not guessed", Title: plural(int64(len(tried)), "account") + " whose passwords were tried, none right as far as the logs say",
			First: f.First, Count: len(tried), Members: tried[:min(len(tried), maxMembers)]}
		if len(tried) == 1 {
			n.Label, n.Title, n.Entity = local(tried[0]), tried[0]+", tried, not guessed", casefile.Entity{Kind: casefile.Account, ID: tried[0]}
		}
		m.node(n)
	}
	for _, e := range from {
		id := net(e.ID, f.First)
		m.edge(GraphEdge{From: id, To: target, Verb: "tried", First: f.First, Last: f.Last, Finding: f.ID, Events: head(f.Events)})
		for _, a := range hit {
			m.edge(GraphEdge{From: id, To: a, Verb: "tried", First: f.First, Last: f.Last, Finding: f.ID, Events: head(f.Events)})
		}
	}
}

// did says what a finding's actor did to its target.
func (m *graphMaker) did(f casefile.Finding, from, to string, ev []string) {
	a, b := m.nodes[from], m.nodes[to]
	if a == nil || b == nil || from == to {
		return
	}
	e := GraphEdge{From: from, To: to, First: f.First, Last: f.Last, Finding: f.ID, Events: ev}
	switch {
	case b.Kind == "credential", b.Kind == "mailbox" && f.Stage == casefile.StageCollection: // told by the campaign itself
		return
	case b.Kind == "app" && f.Stage == casefile.StagePrivilege && m.nodes["permission:"+strings.TrimPrefix(to, "app:")] != nil:
		grant := "permission:" + strings.TrimPrefix(to, "app:")
		e.To, e.Verb = grant, "granted"
		if strings.Contains(f.Title, " requested ") {
			e.Verb = "requested"
		}
		m.edge(e)
		m.edge(GraphEdge{From: grant, To: to, Verb: "allows", First: f.First, Finding: f.ID, Events: ev})
		return
	case b.Kind == "app" && f.Stage == casefile.StagePersistence: // keys and registrations, told by those
		return
	case b.Kind == "account" && strings.Contains(b.Sub, casefile.AccountCreated):
		e.Verb = "created"
	default:
		e.Verb = "acted on"
	}
	m.edge(e)
}

// of is the node that a context acts as.
func (m *graphMaker) of(x casefile.Context) string {
	switch x.Kind {
	case "session", "token":
		return m.held(x)
	}
	for _, k := range x.Keys {
		if s := m.subject(k); s != "" && m.nodes[s] != nil {
			if x.Kind == "credential" && k.Kind == casefile.Credential && len(x.Keys) > 1 {
				continue // the application that it opens
			}
			return s
		}
	}
	return ""
}

// mail are the mailboxes, and those that cannot be cleared.
func (m *graphMaker) mail() {
	contexts := map[string]casefile.Context{}
	for _, x := range m.c.Contexts {
		contexts[x.ID] = x
	}
	for _, b := range m.c.Mailboxes {
		id := "mailbox:" + b.UPN
		m.node(GraphNode{ID: id, Kind: "mailbox", Stage: 4, Label: local(b.UPN), Sub: "mailbox", Title: "Mailbox " + b.UPN + ", " + string(b.Certainty) + ": " + prose(b.Why),
			First: b.First, Certainty: one(b.Certainty), Members: []string{b.UPN}, Entity: casefile.Entity{Kind: casefile.Mailbox, ID: b.UPN}})
		for _, c := range b.Contexts {
			verb := "read"
			if b.Certainty == casefile.Possible {
				verb = "could read"
			}
			m.edge(GraphEdge{From: m.of(contexts[c]), To: id, Verb: verb, First: b.First, Last: b.Last, Certainty: b.Certainty, Events: head(b.Events)})
		}
	}
	for i, u := range m.c.CannotClear {
		if !strings.Contains(u.What, "mailbox") || u.Count <= 0 {
			continue
		}
		n := m.node(GraphNode{ID: fmt.Sprintf("uncleared:%d", i+1), Kind: "uncleared", Stage: 4, Label: plural(u.Count, "mailbox/mailboxes"), Sub: "cannot be cleared", Title: sentence(u.Why),
			Count: int(u.Count), Certainty: casefile.PerCertainty{Possible: u.Count}, Members: u.Members[:min(len(u.Members), maxMembers)]})
		for _, a := range m.c.Apps {
			if a.Name != "" && strings.Contains(u.Why, a.Name) || a.ID != "" && strings.Contains(u.Why, a.ID) {
				m.edge(GraphEdge{From: m.app(a.ID), To: n.ID, Verb: "could read", Certainty: casefile.Possible, First: a.Since, Count: int(u.Count), Events: head(u.Events)})
			}
		}
	}
}
