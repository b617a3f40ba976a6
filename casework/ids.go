package casework

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/detect/sigmarules"
	"midwatch/report"
)

// findFinding finds a finding by its id or the beginning of it.
func findFinding(c *casefile.Case, id string) (string, error) {
	var ids, found []string
	for _, f := range c.Findings {
		ids = append(ids, f.ID)
	}
	if found = begin(ids, "f-", id); len(found) == 1 {
		return found[0], nil
	}
	title := func(ids []string) (out []string) {
		for _, id := range ids {
			i := slices.IndexFunc(c.Findings, func(f casefile.Finding) bool { return f.ID == id })
			out = append(out, id+" ("+report.Plain(c.Findings[i].Title)+")")
		}
		return out
	}
	if len(found) > 1 {
		return "", fmt.Errorf("%q is the beginning of %d findings: %s", id, len(found), strings.Join(title(found[:min(8, len(found))]), ", "))
	}
	return "", fmt.Errorf("no finding %q%s; `midwatch campaign list` lists them", id, didYouMean(title(near(id, ids))))
}

func findCampaign(c *casefile.Case, id string) (*casefile.Campaign, error) {
	var ids []string
	for _, x := range c.Campaigns {
		ids = append(ids, x.ID)
	}
	found := begin(ids, "c-", id)
	switch {
	case len(found) > 1:
		return nil, fmt.Errorf("%q is the beginning of %d campaigns: %s", id, len(found), strings.Join(found, ", "))
	case len(found) == 0:
		return nil, fmt.Errorf("no campaign %q%s", id, didYouMean(near(id, ids)))
	}
	return &c.Campaigns[slices.Index(ids, found[0])], nil
}

// begin lists the ids that are one, or begin with it.
func begin(ids []string, prefix, id string) (out []string) {
	if slices.Contains(ids, id) {
		return []string{id}
	}
	for _, x := range ids {
		if id != "" && (strings.HasPrefix(x, id) || strings.HasPrefix(x, prefix+id)) {
			out = append(out, x)
		}
	}
	return out
}

// earliest is the finding that stands for a campaign: the one that its id is
// made of, which stays when later evidence is added.
func earliest(c *casefile.Case, p *casefile.Campaign) string {
	best := ""
	var at casefile.Time
	for _, f := range c.Findings { // by time
		if !slices.Contains(p.Findings, f.ID) || strings.HasPrefix(f.Detector, sigmarules.Prefix) {
			continue
		}
		if best == "" || f.First.Before(at.Time) || f.First.Equal(at.Time) && f.ID < best {
			best, at = f.ID, f.First
		}
	}
	return best
}

// entity reads "ip ADDRESS", "account NAME" or "app ID". ok is false where the
// words are none of them.
func entity(c *casefile.Case, words []string) (e casefile.Entity, ok bool, err error) {
	if len(words) == 0 || !slices.Contains([]string{"ip", "account", "app"}, words[0]) {
		return e, false, nil
	}
	if len(words) != 2 {
		return e, true, fmt.Errorf("%q names no entity; it is: ip ADDRESS, account NAME, or app ID", strings.Join(words, " "))
	}
	e = casefile.Entity{Kind: casefile.EntityKind(words[0]), ID: strings.ToLower(words[1])}
	if e.Kind == casefile.IP {
		a, err := netip.ParseAddr(e.ID)
		if err != nil {
			return e, true, fmt.Errorf("%q is no address", words[1])
		}
		e.ID = a.Unmap().WithZone("").String()
	}
	known := map[string]string{} // id -> name
	for _, f := range c.Findings {
		for _, x := range f.Entities {
			if x.Kind == e.Kind || e.Kind == casefile.App && (x.Kind == casefile.ServicePrincipal || x.Kind == casefile.AppObject) {
				known[x.ID] = cmp.Or(known[x.ID], x.Name)
			}
		}
	}
	for _, p := range c.Campaigns {
		switch e.Kind {
		case casefile.IP:
			for _, x := range p.IPs {
				known[x.IP] = cmp.Or(known[x.IP], "")
			}
		case casefile.Account:
			for _, x := range p.Accounts {
				known[x.UPN] = cmp.Or(known[x.UPN], "")
			}
		case casefile.App:
			for _, x := range p.Apps {
				for _, id := range append([]string{x.ID}, x.ServicePrincipals...) {
					known[id] = cmp.Or(known[id], x.Name)
				}
			}
		}
	}
	name, found := known[e.ID]
	if !found {
		var ids []string
		for id := range known {
			ids = append(ids, report.Plain(id))
		}
		return e, true, fmt.Errorf("no finding and no campaign has to do with %s %s%s", e.Kind, e.ID, didYouMean(near(e.ID, ids)))
	}
	e.Name = name
	return e, true, nil
}

// near lists the ids that are spelled most like one that is not there.
func near(id string, known []string) []string {
	type near struct {
		id   string
		away int
	}
	var all []near
	for _, k := range known {
		// Beginnings of ids are named, too.
		if d := min(distance(id, k), distance(id, k[:min(len(id), len(k))])); d <= max(2, len(id)/4) {
			all = append(all, near{k, d})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.away != b.away {
			return a.away - b.away
		}
		return strings.Compare(a.id, b.id)
	})
	var out []string
	for _, n := range all[:min(3, len(all))] {
		out = append(out, n.id)
	}
	return out
}

// distance is how many bytes have to be changed, put in or taken out.
func distance(a, b string) int {
	a, b = a[:min(len(a), 200)], b[:min(len(b), 200)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// didYouMean is the end of an error about an id.
func didYouMean(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return "; near it: " + strings.Join(ids, ", ")
}
