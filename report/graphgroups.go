package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"midwatch/casefile"
)

// graph groups what is alike and sorts.
func (m *graphMaker) graph() *Graph {
	open := map[string]bool{}
	for _, id := range m.o.Expand {
		open[id] = true
	}
	alike := map[string]string{} // node -> group
	for stage := range 5 {
		for coarse := range 3 {
			groups := m.groups(stage, coarse)
			if left := m.left(groups, coarse); left > mostNodes && coarse < 2 {
				continue
			}
			for _, ids := range groups {
				if !m.grouped(ids, coarse) {
					continue
				}
				g := m.merge(ids)
				kept := ids
				if open[g.ID] {
					kept = nil
					if len(ids) > maxMembers {
						kept = ids[maxMembers:]
						rest := m.merge(kept)
						rest.ID, rest.Open = g.ID, true
						g = rest
					}
				}
				for _, id := range kept {
					alike[id] = g.ID
				}
				if len(kept) > 0 {
					m.nodes[g.ID] = &g
				}
			}
			break
		}
	}
	out := &Graph{Campaign: m.c.ID, Few: len(alike) == 0}
	merged := map[string]*GraphEdge{}
	ends := map[string]map[string]bool{}
	keys := make([]string, 0, len(m.edges))
	for k := range m.edges {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		e := *m.edges[k]
		from, to := cmp.Or(alike[e.From], e.From), cmp.Or(alike[e.To], e.To)
		at := from + "\x00" + to + "\x00" + e.Verb
		if ends[at] == nil {
			ends[at] = map[string]bool{}
		}
		ends[at][e.From+"\x00"+e.To] = true
		e.From, e.To = from, to
		if have, ok := merged[at]; ok {
			have.First, have.Last = casefile.Earlier(have.First, e.First), casefile.Later(have.Last, e.Last)
			if e.Certainty.Rank() > have.Certainty.Rank() {
				have.Certainty = e.Certainty
			}
			have.Finding = cmp.Or(have.Finding, e.Finding)
			have.Events = head(append(slices.Clone(have.Events), e.Events...))
			have.Count = len(ends[at])
			continue
		}
		merged[at] = &e
	}
	m.openSprayed(open, merged)
	for id, n := range m.nodes {
		if alike[id] == "" || alike[id] == id {
			out.Nodes = append(out.Nodes, *n)
		}
	}
	slices.SortFunc(out.Nodes, func(a, b GraphNode) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), earlier(a.First, b.First), strings.Compare(a.ID, b.ID))
	})
	for _, e := range merged {
		out.Edges = append(out.Edges, *e)
	}
	slices.SortFunc(out.Edges, func(a, b GraphEdge) int {
		return cmp.Or(earlier(a.First, b.First), strings.Compare(a.From, b.From), strings.Compare(a.To, b.To), strings.Compare(a.Verb, b.Verb))
	})
	for i := range out.Edges {
		e := &out.Edges[i]
		e.Title = m.nodes[e.From].Label + " " + e.Verb + " " + m.nodes[e.To].Label
		if !e.First.IsZero() {
			e.Title += ", " + moments(e.First)
			if !e.Last.IsZero() && moments(e.Last) != moments(e.First) {
				e.Title += " to " + moments(e.Last)
			}
			e.Title += " UTC"
		}
		if e.Certainty != "" {
			e.Title += ", " + string(e.Certainty)
		}
	}
	return out
}

// grouped reports whether things that are alike become one node.
func (m *graphMaker) grouped(ids []string, coarse int) bool {
	return len(ids) > 1 && (coarse > 0 || len(ids) > m.o.Few)
}

// left is how many nodes there are after grouping.
func (m *graphMaker) left(groups [][]string, coarse int) (n int) {
	for _, ids := range groups {
		if m.grouped(ids, coarse) {
			n++
		} else {
			n += len(ids)
		}
	}
	return n
}

// earlier sorts times; those that are not known come last.
func earlier(a, b casefile.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b.Time)
}

// openSprayed shows the accounts that were tried one by one, where that is
// asked for: all networks of the finding lead to each.
func (m *graphMaker) openSprayed(open map[string]bool, edges map[string]*GraphEdge) {
	for id := range open {
		g := m.nodes[id]
		if g == nil || g.Kind != "sprayed" || g.Count < 2 {
			continue
		}
		for _, upn := range g.Members {
			n := m.node(GraphNode{ID: account(upn), Kind: "account", Stage: 1, Label: local(upn), Sub: "tried, not guessed", Title: upn + ", tried, not guessed", First: g.First, Members: []string{upn}, Entity: casefile.Entity{Kind: casefile.Account, ID: upn}})
			for k, e := range edges {
				if e.To == id {
					x := *e
					x.To = n.ID
					edges[k+"\x00"+upn] = &x
				}
			}
		}
		if g.Count -= len(g.Members); g.Count > 0 {
			g.Label, g.Open = plural(int64(g.Count), "more account"), true
			continue
		}
		for k, e := range edges {
			if e.To == id {
				delete(edges, k)
			}
		}
		delete(m.nodes, id)
	}
}

// groups are the nodes of a stage that are alike: by what they are and whom
// they touch; coarser by what they are and how they touch; coarsest by what
// they are.
func (m *graphMaker) groups(stage, coarse int) [][]string {
	touches := map[string][]string{}
	verb := func(e *GraphEdge) string { // mailboxes of all certainties make one group
		if m.nodes[e.To].Kind == "mailbox" {
			return ""
		}
		return e.Verb
	}
	for _, e := range m.edges {
		a, b := m.nodes[e.From], m.nodes[e.To]
		if coarse == 0 {
			touches[e.From] = append(touches[e.From], ">"+e.Verb+"\x00"+e.To)
			touches[e.To] = append(touches[e.To], "<"+verb(e)+"\x00"+e.From)
			continue
		}
		touches[e.From] = append(touches[e.From], ">"+e.Verb+"\x00"+b.Kind)
		touches[e.To] = append(touches[e.To], "<"+verb(e)+"\x00"+a.Kind)
	}
	by := map[string][]string{}
	for id, n := range m.nodes {
		if n.Stage != stage {
			continue
		}
		sign := n.Kind
		switch {
		case n.Kind == "uncleared" || n.Kind == "session" || n.Kind == "sprayed":
			sign += "\x00" + id // stands for itself
			if coarse == 2 {
				sign = n.Kind
			}
		case coarse < 2:
			t := touches[id]
			slices.Sort(t)
			sign += "\x00" + n.Sub + "\x00" + strings.Join(slices.Compact(t), "\x00")
			if n.Kind == "credential" {
				sign = n.Kind + "\x00" + strings.Join(slices.Compact(t), "\x00")
			}
		}
		if stage != 0 && stage != 4 && coarse == 0 && n.Kind != "account" && n.Kind != "credential" {
			sign += "\x00" + id
		}
		by[sign] = append(by[sign], id)
	}
	var out [][]string
	for _, ids := range by {
		slices.SortFunc(ids, func(a, b string) int {
			return cmp.Or(earlier(m.nodes[a].First, m.nodes[b].First), strings.Compare(a, b))
		})
		out = append(out, ids)
	}
	slices.SortFunc(out, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return out
}

// merge makes one node of several of a kind.
func (m *graphMaker) merge(ids []string) GraphNode {
	first := m.nodes[ids[0]]
	g := GraphNode{Kind: first.Kind, Stage: first.Stage, Sub: first.Sub}
	networks := map[string]bool{}
	kinds := map[string]bool{}
	sum := sha256.New()
	for _, id := range ids {
		n := m.nodes[id]
		fmt.Fprintf(sum, "%d:%s", len(id), id)
		g.Count += n.Count
		g.First = casefile.Earlier(g.First, n.First)
		g.Certainty.Confirmed += n.Certainty.Confirmed
		g.Certainty.Probable += n.Certainty.Probable
		g.Certainty.Possible += n.Certainty.Possible
		if len(g.Members) < maxMembers {
			g.Members = append(g.Members, n.Members[:min(len(n.Members), maxMembers-len(g.Members))]...)
		}
		if n.Sub != g.Sub {
			g.Sub = "of several kinds"
		}
		if n.Kind == "network" {
			for _, ip := range m.c.IPs {
				if ip.IP == n.Entity.ID {
					networks[ip.ASOrg] = true
					kinds[ip.Kind] = true
				}
			}
		}
	}
	g.ID = g.Kind + "s-" + hex.EncodeToString(sum.Sum(nil)[:6])
	what := map[string]string{"network": "address/addresses", "account": "account", "credential": "key", "permission": "set of permissions/sets of permissions", "session": "session or token/sessions and tokens",
		"app": "application", "mailbox": "mailbox/mailboxes", "uncleared": "mailbox/mailboxes", "sprayed": "account"}[g.Kind]
	g.Label = plural(int64(g.Count), what)
	switch g.Kind {
	case "network":
		delete(networks, "")
		delete(kinds, "")
		if g.Sub = "of " + plural(int64(len(networks)), "network"); len(networks) == 0 {
			g.Sub = "networks not known"
		}
		if len(kinds) == 1 {
			for k := range kinds {
				g.Sub = k + ", " + g.Sub[strings.Index(g.Sub, " ")+1:]
			}
		}
	case "mailbox":
		g.Sub = "read by the actor"
		if g.Certainty.Confirmed+g.Certainty.Probable == 0 {
			g.Sub = "cannot be cleared"
		}
	case "credential":
		g.Sub = "added by the actor"
	}
	g.Title = g.Label + ", " + g.Sub + ": " + strings.Join(g.Members[:min(len(g.Members), 8)], ", ")
	if g.Count > 8 {
		g.Title += " and " + number(int64(g.Count-min(len(g.Members), 8))) + " more"
	}
	return g
}

// graph prepares the graph of a campaign with its addresses.
func (p *page) graph(c casefile.Campaign, o GraphOptions) *Graph {
	g := NewGraph(p.Case, c.ID, o)
	if g == nil {
		return nil
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Href = p.entityHref(n.Entity.Kind, n.Entity.ID); n.Href != "" {
			continue
		}
		part := "used"
		if n.Stage == 4 {
			part = "reach"
		}
		if n.Href = p.ToCampaign(c, part); n.Count > 1 && o.ExpandHref != nil && !n.Open && n.Kind != "uncleared" {
			n.Href = o.ExpandHref(n.ID)
			n.Title += ". Open the group"
		}
		if n.Kind == "uncleared" {
			n.Href = p.To("unknown", "")
		}
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		for _, id := range e.Events {
			if e.Href == "" {
				e.Href = p.eventHref(id)
			}
		}
		if e.Href = cmp.Or(e.Href, p.findingHref(e.Finding)); e.Href == "" {
			e.Href = p.ToCampaign(c, "timeline")
		}
	}
	return g
}

// Graph writes the picture of how the actor of a campaign moved, for a desk and
// for a phone, and the same as a table.
func (v *View) Graph(w io.Writer, campaign string, o GraphOptions) error {
	c := v.campaign(campaign)
	if c == nil {
		return fmt.Errorf("campaign %q: %w", campaign, ErrNoPart)
	}
	return v.execute(w, "graph", pair{v.page, v.page.drawn(*c, o)})
}
