package posture

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/enrich"
	"midwatch/store"
)

// Options are what a posture is made of.
type Options struct {
	Store    store.Querier
	Case     *casefile.Case  // nil for a store without a case
	People   []enrich.Person // the directory that the case was made with
	Place    string          // where it is kept, as evidence
	Exports  []string        // paths of exports: files, folders, archives
	Canaries []string        // accounts that nobody uses, as configured
}

// Build finds the doors. It changes nothing.
func Build(ctx context.Context, o Options) (*Posture, error) {
	f := newFacts()
	f.kase, f.canaries = o.Case, o.Canaries
	if err := f.ask(ctx, o.Store); err != nil {
		return nil, err
	}
	if len(f.tenants) == 0 {
		f.tenant("")
	}
	slices.SortFunc(f.tenants, func(a, b *tenant) int { return strings.Compare(a.ID, b.ID) })
	for _, p := range o.People {
		a := f.listed(p.User, Place{File: o.Place})
		a.enabled, a.mfa = p.Enabled, p.MFARegistered
	}
	if err := f.readExports(ctx, o.Exports); err != nil {
		return nil, err
	}
	f.settle()
	p := &Posture{Schema: Schema, Exports: f.exports}
	if o.Case != nil {
		p.Case = o.Case.Case.ID
	}
	for _, t := range f.tenants {
		for _, name := range sortedKeys(t.logs) {
			l := t.logs[name]
			if l.Window = t.days(); l.Window > 0 {
				l.Share = float64(l.Days) / float64(l.Window)
			}
			t.Logs = append(t.Logs, *l)
		}
		p.From, p.To = casefile.Earlier(p.From, t.From), casefile.Later(p.To, t.To)
		p.Tenants = append(p.Tenants, t.Tenant)
	}
	for _, c := range checks() {
		for _, t := range f.tenants {
			x := c.ask(f, t, &c)
			p.Answers = append(p.Answers, Answer{Check: c.id, Title: c.title, Tenant: t.ID, State: x.state, Text: x.text, Fetch: x.fetch})
			for _, d := range x.doors {
				d.finish()
				p.Doors = append(p.Doors, d)
			}
		}
	}
	slices.SortStableFunc(p.Doors, func(a, b Door) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), 0)
	})
	return p, nil
}

// finish gives a door its id and bounds its lists.
func (d *Door) finish() {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s", d.Check, d.Tenant, d.Title)
	for i := range d.Members {
		m := &d.Members[i]
		fmt.Fprintf(h, "\x00%s\x00%s\x00%s", m.Kind, m.ID, m.Name)
		m.Events = slices.DeleteFunc(slices.Clone(m.Events), func(s string) bool { return s == "" })
		slices.Sort(m.Events)
		m.Events = slices.Compact(m.Events)
	}
	d.ID = "d-" + hex.EncodeToString(h.Sum(nil)[:8])
	d.Count = int64(len(d.Members))
	d.Members = d.Members[:min(len(d.Members), MaxMembers)]
}
