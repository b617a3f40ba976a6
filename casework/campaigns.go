package casework

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/investigate"
	"midwatch/journal"
	"midwatch/report"
)

// overrideKinds are the kinds of entry that change campaigns.
func overrideKinds() map[journal.Kind]bool {
	return map[journal.Kind]bool{journal.CampaignJoin: true, journal.CampaignSplit: true, journal.CampaignExclude: true, journal.CampaignUndo: false}
}

// Overrides are what people decided about campaigns and did not take back. The
// error names an entry that is none.
func Overrides(es []journal.Entry) ([]casefile.Override, error) { return investigate.Overrides(es) }

// Outdated reports whether a case follows other decisions than hold.
func Outdated(decided []casefile.Override, c *casefile.Case) bool {
	return !slices.EqualFunc(decided, c.Overrides, func(a, b casefile.Override) bool { return a.Seq == b.Seq })
}

// Decide writes down that findings or campaigns are one actor's doing
// (campaign.join), that findings are not of their campaign (campaign.split), or
// that findings or an entity are of none (campaign.exclude). ids are findings and
// campaigns by their ids or the beginnings of these, or for an exclusion "ip
// ADDRESS", "account NAME" or "app ID", in one string or two. The case follows
// when it is concluded again, which is for the caller.
func (o *Office) Decide(ctx context.Context, dir string, c *casefile.Case, by By, kind journal.Kind, ids []string, reason string) (journal.Entry, error) {
	if err := reasoned(reason, "those who read the case have to know why"); err != nil {
		return journal.Entry{}, err
	}
	p, err := OverrideOf(c, kind, ids)
	if err != nil {
		return journal.Entry{}, err
	}
	p.Reason = reason
	mine := subjects(c, &p)
	same := func(all []journal.Entry, e *journal.Entry) bool { return touches(mine, decidedIn(c, all, e)) }
	return o.one(ctx, dir, by, same, nil, kind, p)
}

// Undo takes a decision about campaigns back, by the number of its entry.
func (o *Office) Undo(ctx context.Context, dir string, by By, seq int64, reason string) (journal.Entry, error) {
	same := func(all []journal.Entry, e *journal.Entry) bool {
		var u investigate.UndoEntry
		if e.Kind == journal.CampaignUndo && e.Decode(&u) == nil && u.Seq == seq {
			return true
		}
		return seq > 0 && seq <= int64(len(all)) && touches(decidedIn(nil, all, &all[seq-1]), decidedIn(nil, all, e))
	}
	return o.one(ctx, dir, by, same, func(all []journal.Entry) error {
		decided, err := Overrides(all)
		if err != nil {
			return err
		}
		return Holds(decided, fmt.Sprint(seq), seq)
	}, journal.CampaignUndo, investigate.UndoEntry{Seq: seq, Reason: reason})
}

// Holds wants a decision to be one that holds. said is how its number was given.
func Holds(decided []casefile.Override, said string, seq int64) error {
	if slices.ContainsFunc(decided, func(x casefile.Override) bool { return x.Seq == seq }) {
		return nil
	}
	var have []string
	for _, x := range decided {
		have = append(have, fmt.Sprintf("%d (%s by %s)", x.Seq, x.Kind, report.Plain(x.Author)))
	}
	return fmt.Errorf("entry %q is no decision that holds; these do: %s", said, cmp.Or(strings.Join(have, ", "), "none"))
}

// OverrideOf is what a decision is about, checked against the case.
func OverrideOf(c *casefile.Case, kind journal.Kind, ids []string) (p investigate.OverrideEntry, err error) {
	if !overrideKinds()[kind] {
		return p, fmt.Errorf("%q is no decision about campaigns; these are join, split and exclude", kind)
	}
	if len(ids) == 0 {
		return p, errors.New("nothing is named that it is about")
	}
	if kind == journal.CampaignExclude {
		if e, ok, err := entity(c, strings.Fields(strings.Join(ids, " "))); ok || err != nil {
			p.Entities = []casefile.Entity{e}
			return p, err
		}
	}
	in := map[string]string{}
	for _, x := range c.Campaigns {
		for _, f := range x.Findings {
			in[f] = x.ID
		}
	}
	for _, a := range ids {
		id := a
		if kind == journal.CampaignJoin && strings.HasPrefix(a, "c-") {
			x, err := findCampaign(c, a)
			if err != nil {
				return p, err
			}
			p.Campaigns = append(p.Campaigns, x.ID)
			id = earliest(c, x)
		} else if id, err = findFinding(c, a); err != nil {
			return p, err
		}
		if kind == journal.CampaignSplit && in[id] == "" {
			return p, fmt.Errorf("%s is in no campaign; there is nothing to split it from", id)
		}
		if !slices.Contains(p.Findings, id) {
			p.Findings = append(p.Findings, id)
		}
	}
	if kind == journal.CampaignJoin && len(p.Findings) < 2 {
		return p, errors.New("name two findings or campaigns at least, to be joined")
	}
	return p, nil
}

// subjects are what a decision is about: the findings and entities, and of a
// campaign that is named all of its findings, as far as the case has it.
func subjects(c *casefile.Case, p *investigate.OverrideEntry) map[string]bool {
	out := map[string]bool{}
	for _, f := range p.Findings {
		out["finding "+f] = true
	}
	for _, id := range p.Campaigns {
		out["campaign "+id] = true
		if c == nil {
			continue
		}
		for i := range c.Campaigns {
			if c.Campaigns[i].ID != id {
				continue
			}
			for _, f := range c.Campaigns[i].Findings {
				out["finding "+f] = true
			}
		}
	}
	for _, e := range p.Entities {
		out[string(e.Kind)+" "+oneID(c, e)] = true
	}
	return out
}

// oneID is one id for all of an application's.
func oneID(c *casefile.Case, e casefile.Entity) string {
	if c == nil || e.Kind != casefile.App {
		return e.ID
	}
	for i := range c.Campaigns {
		for _, a := range c.Campaigns[i].Apps {
			if a.ID == e.ID || slices.Contains(a.ServicePrincipals, e.ID) {
				return cmp.Or(a.ID, e.ID)
			}
		}
	}
	return e.ID
}

// decidedIn is what an entry about campaigns is about; of one that takes another
// back what that is about. An entry that cannot be read is about nothing.
func decidedIn(c *casefile.Case, all []journal.Entry, e *journal.Entry) map[string]bool {
	isDecision, known := overrideKinds()[e.Kind]
	switch {
	case !known:
		return nil
	case !isDecision:
		var u investigate.UndoEntry
		if e.Decode(&u) != nil {
			return nil
		}
		if u.Seq < 1 || u.Seq > int64(len(all)) || !overrideKinds()[all[u.Seq-1].Kind] {
			return nil
		}
		e = &all[u.Seq-1] // entries are numbered from 1, without gaps
	}
	var p investigate.OverrideEntry
	if e.Decode(&p) != nil {
		return nil
	}
	return subjects(c, &p)
}

func touches(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}
