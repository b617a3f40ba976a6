package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"midwatch/casefile"
)

// sprayCase is a campaign from a spray to mail, of any size.
func sprayCase(ips, victims, boxes int) *casefile.Case {
	at := func(d int) casefile.Time {
		return casefile.TimeOf(time.Date(2024, 1, 1, 6, 0, 0, 0, time.UTC).AddDate(0, 0, d))
	}
	spray := casefile.Finding{ID: "f-1", Detector: "slow_spray", Title: "Slow spray", Stage: casefile.StageGuessing, First: at(0), Last: at(3)}
	cam := casefile.Campaign{ID: "k-1", Title: "Spray to mail", Start: at(0), Findings: []string{"f-1", "f-2", "f-3"},
		Accounts:    []casefile.AccountRef{{UPN: "svc@old.example", Role: casefile.AccountCompromised, Certainty: casefile.Confirmed, Since: at(4)}},
		Apps:        []casefile.AppRef{{ID: "app-1", Name: "Legacy App", Role: casefile.AppTakenOver, Certainty: casefile.Confirmed, Since: at(5), Permissions: []string{"full_access_as_app"}}},
		Credentials: []casefile.CredentialRef{{KeyID: "0123456789", App: "app-1", Added: at(5), AddedBy: "svc@old.example", FirstUsed: at(6), Uses: 3}},
		Contexts: []casefile.Context{
			{ID: "x-1", Kind: "account", Keys: []casefile.Entity{{Kind: casefile.Account, ID: "svc@old.example"}}, Since: at(4)},
			{ID: "x-2", Kind: "app", Keys: []casefile.Entity{{Kind: casefile.App, ID: "app-1"}}, Since: at(5), From: "f-2"},
		},
		Tokens:      []casefile.TokenRef{{ID: "t", App: "app-1", KeyID: "0123456789", MintedFrom: "192.0.2.77", MintedAt: at(6), Last: at(7)}},
		CannotClear: []casefile.Uncleared{{What: "mailboxes", Count: 17, Certainty: casefile.Possible, Why: "application Legacy App could read every mailbox"}},
	}
	for i := range ips {
		spray.Entities = append(spray.Entities, casefile.Entity{Kind: casefile.IP, ID: fmt.Sprintf("198.51.%d.%d", i/250, i%250), Role: casefile.RoleSource})
	}
	for i := range victims {
		upn := fmt.Sprintf("user%04d@old.example", i)
		spray.Entities = append(spray.Entities, casefile.Entity{Kind: casefile.Account, ID: upn, Role: casefile.RoleVictim})
		cam.Accounts = append(cam.Accounts, casefile.AccountRef{UPN: upn, Role: casefile.AccountSprayed, Certainty: casefile.Possible})
	}
	spray.Entities = append(spray.Entities, casefile.Entity{Kind: casefile.Account, ID: "svc@old.example", Role: casefile.RoleConverted})
	for i := range boxes {
		sure := casefile.Confirmed
		if i%20 == 19 {
			sure = casefile.Possible
		}
		cam.Mailboxes = append(cam.Mailboxes, casefile.MailboxRef{UPN: fmt.Sprintf("box%04d@new.example", i), Certainty: sure, First: at(7), Last: at(9), Contexts: []string{"x-2"}})
	}
	key := casefile.Finding{ID: "f-2", Detector: "app_credential_added", Title: "Credential added", Stage: casefile.StagePersistence, First: at(5), Entities: []casefile.Entity{
		{Kind: casefile.Account, ID: "svc@old.example", Role: casefile.RoleActor}, {Kind: casefile.Credential, ID: "0123456789", Role: casefile.RoleTarget}, {Kind: casefile.App, ID: "app-1", Role: casefile.RoleTarget}}}
	grant := casefile.Finding{ID: "f-3", Detector: "app_only_mail_grant", Title: "Granted", Stage: casefile.StagePrivilege, First: at(6), Entities: []casefile.Entity{
		{Kind: casefile.Account, ID: "svc@old.example", Role: casefile.RoleActor}, {Kind: casefile.App, ID: "app-1", Role: casefile.RoleTarget}}}
	return &casefile.Case{Findings: []casefile.Finding{spray, key, grant}, Campaigns: []casefile.Campaign{cam}}
}

// said writes the edges of a graph in words.
func said(g *Graph) []string {
	label := map[string]string{}
	for _, n := range g.Nodes {
		label[n.ID] = n.Label
	}
	var out []string
	for _, e := range g.Edges {
		s := label[e.From] + " | " + e.Verb + " | " + label[e.To]
		if !e.First.IsZero() {
			s += " | " + e.First.Format("2 Jan")
		}
		out = append(out, strings.TrimSpace(s+" "+string(e.Certainty)))
	}
	return out
}

func TestGraph(t *testing.T) {
	g := NewGraph(sprayCase(300, 212, 61), "k-1", GraphOptions{})
	want := []string{
		"300 addresses | tried | svc | 1 Jan",
		"300 addresses | tried | 212 accounts | 1 Jan",
		"svc | added key | key 01234567 | 6 Jan",
		"Legacy App | could read | 17 mailboxes | 6 Jan possible",
		"svc | granted | full_access_as_app | 7 Jan",
		"key 01234567 | signed in | Legacy App | 7 Jan",
		"192.0.2.77 | used key | key 01234567 | 7 Jan",
		"full_access_as_app | allows | Legacy App | 7 Jan",
		"Legacy App | could read | 61 mailboxes | 8 Jan possible",
		"Legacy App | read | 61 mailboxes | 8 Jan confirmed",
	}
	got := said(g)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if NewGraph(sprayCase(1, 1, 1), "other", GraphOptions{}) != nil {
		t.Error("a campaign that is not there has a graph")
	}
}

// A group opens, at most maxMembers of it, and what is left stays counted.
func TestGraphOpens(t *testing.T) {
	c := sprayCase(300, 212, 61)
	total := func(g *Graph, kinds ...string) (n int) {
		for _, x := range g.Nodes {
			if slices.Contains(kinds, x.Kind) {
				n += x.Count
			}
		}
		return n
	}
	g := NewGraph(c, "k-1", GraphOptions{})
	for _, n := range g.Nodes {
		if n.Count == 1 || n.Kind == "uncleared" {
			continue
		}
		o := NewGraph(c, "k-1", GraphOptions{Expand: []string{n.ID}})
		if got, want := len(o.Nodes)-len(g.Nodes), min(n.Count, maxMembers); got != want && got != want-1 {
			t.Errorf("%s: %d more nodes, want %d", n.Label, got, want)
		}
		if a, b := total(g, "network", "account", "sprayed", "mailbox"), total(o, "network", "account", "sprayed", "mailbox"); a != b {
			t.Errorf("%s: %d things, and %d when it is open", n.Label, a, b)
		}
		known := map[string]bool{}
		for _, x := range o.Nodes {
			if known[x.ID] {
				t.Errorf("%s: two nodes %s", n.Label, x.ID)
			}
			known[x.ID] = true
		}
		for _, e := range o.Edges {
			if !known[e.From] || !known[e.To] {
				t.Errorf("%s: edge %s leads nowhere", n.Label, e.Title)
			}
		}
	}
}

// Thousands of things that are all different still make a picture.
func TestGraphStaysSmall(t *testing.T) {
	c := sprayCase(2000, 2000, 2000)
	cam := &c.Campaigns[0]
	for i := range 500 { // each account reads a mailbox of its own
		upn := fmt.Sprintf("in%d@old.example", i)
		cam.Accounts = append(cam.Accounts, casefile.AccountRef{UPN: upn, Role: casefile.AccountCompromised, Certainty: casefile.Probable})
		cam.Contexts = append(cam.Contexts, casefile.Context{ID: upn, Kind: "account", Keys: []casefile.Entity{{Kind: casefile.Account, ID: upn}}})
		cam.Mailboxes[i].Contexts = []string{upn}
		cam.Sessions = append(cam.Sessions, casefile.SessionRef{ID: upn, Account: upn, IPs: []string{fmt.Sprintf("203.0.113.%d", i%250)}})
	}
	start := time.Now()
	g := NewGraph(c, "k-1", GraphOptions{})
	if len(g.Nodes) > 5*mostNodes || len(g.Edges) > 200 {
		t.Errorf("%d nodes, %d edges", len(g.Nodes), len(g.Edges))
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
	if a, b := said(g), said(NewGraph(c, "k-1", GraphOptions{})); !slices.Equal(a, b) {
		t.Error("two graphs of one campaign differ")
	}
}

// No box of a layout covers another, or leaves the picture.
func TestGraphLayout(t *testing.T) {
	for name, c := range map[string]*casefile.Case{"small": sprayCase(3, 2, 3), "large": sprayCase(300, 212, 61), "golden": readCase(t, "case")} {
		for _, o := range []GraphOptions{{}, {Few: 30}} {
			for _, cam := range c.Campaigns {
				g := NewGraph(c, cam.ID, o)
				if g == nil || len(g.Nodes) == 0 {
					continue
				}
				for _, pic := range []*graphPicture{layered(g, "t"), listed(g, "t")} {
					for i, a := range pic.Nodes {
						if a.X < 0 || a.Y < 0 || a.X+a.W > pic.W || a.Y+a.H > pic.H+1 {
							t.Errorf("%s: %s leaves the picture", name, a.Label)
						}
						for _, b := range pic.Nodes[:i] {
							if (rect{a.X, a.Y, a.X + a.W, a.Y + a.H}).meets(rect{b.X, b.Y, b.X + b.W, b.Y + b.H}) {
								t.Errorf("%s: %s covers %s", name, a.Label, b.Label)
							}
						}
					}
				}
			}
		}
	}
}

func TestGraphPicture(t *testing.T) {
	c := sprayCase(300, 212, 61)
	v := view(t, c, Options{Links: testLinks()})
	var b bytes.Buffer
	o := GraphOptions{ExpandHref: func(g string) string { return "?open=" + g }}
	if err := v.Graph(&b, "k-1", o); err != nil {
		t.Fatal(err)
	}
	if err := wellFormed(b.String()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`href="?open=networks-`, `href="/c/case/entity/app/app-1"`, "61 mailboxes", ">58 confirmed", ">3 possible", "<title>", "17 possible", `class="edge possible"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture does not hold %q", want)
		}
	}
	for _, a := range regexp.MustCompile(`<a class="(node|edge)[^>]*>`).FindAllString(b.String(), -1) {
		if !strings.Contains(a, ` href="`) || strings.Contains(a, `href=""`) {
			t.Errorf("not reachable by keyboard: %s", a)
		}
	}
	golden(t, filepath.Join("testdata", "graph.html"), b.Bytes())
}

func TestHostileGraph(t *testing.T) {
	c := hostileCase()
	for i := range c.Campaigns {
		cam := &c.Campaigns[i]
		cam.ID = "k"
		for k := range cam.Contexts {
			cam.Contexts[k].Kind = []string{"app", "account", "session", "token"}[k%4]
			cam.Contexts[k].Keys[0] = casefile.Entity{Kind: casefile.Account, ID: cam.Accounts[0].UPN}
		}
		for k := range cam.Mailboxes {
			cam.Mailboxes[k].Contexts = []string{cam.Contexts[0].ID, cam.Contexts[1].ID}
		}
		cam.Credentials[0].AddedBy = cam.Accounts[0].UPN
	}
	var b bytes.Buffer
	if err := view(t, c, Options{}).Graph(&b, "k", GraphOptions{}); err != nil {
		t.Fatal(err)
	}
	if b.Len() < 1000 {
		t.Fatal("there is no picture")
	}
	if err := wellFormed(b.String()); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", `" onmouseover="`, "\x1b", "\u202e", `href="javascript:`} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the picture holds %q", bad)
		}
	}
}
