package casework

import (
	"fmt"

	"midwatch/casefile"
	"midwatch/investigate"
	"midwatch/journal"
	"midwatch/report"
	"midwatch/respond"
	"midwatch/respond/clock"
	"midwatch/respond/graph"
	"midwatch/respond/notice"
)

// Board is everything there is to decide about a case, and what was decided.
type Board struct {
	Entries      []journal.Entry     // of the journal, in order; not to be changed
	Head         int64               // number of the last; 0: there is none
	Problems     []string            // entries that cannot be read as what they are; they are passed over
	Decisions    []casefile.Override // about campaigns, that hold by the journal, also before the case follows them
	Outdated     bool                // the case does not follow them
	Secrets      []Secret            // what is open first; nil: mail was not searched
	Notices      []notice.Standing   // who was not told first; nil: no notices were made
	NoticesStale string              // a sentence where the notices are of another state of the case
	Clocks       []Clock             // what is due first
	Events       []clock.Event       // that can be said to have happened
	Plan         *respond.Plan       // how to put the actor out, without what is only suspected
	Steps        []Step              // of the plan, in its order
	Need         int                 // people who have to approve a step before it is carried out
}

// Read tells what there is to decide about a case, and what was decided. Entries
// that cannot be read are named in Problems; a journal that is damaged is an
// error.
func (o *Office) Read(dir string, c *casefile.Case) (*Board, error) {
	k, err := o.look(dir)
	if err != nil {
		return nil, err
	}
	b := &Board{Entries: k.entries, Head: int64(len(k.entries)), Problems: k.problems, Outdated: behind(k.decided, c) > 0}
	b.Decisions = effects(k.decided, c)
	x, err := o.exposed(dir)
	if err != nil {
		return nil, err
	}
	if x != nil {
		if b.Secrets, err = rotation(x.Rotation, k.sound); err != nil {
			return nil, err
		}
	}
	index, err := ReadNotices(dir)
	if err != nil {
		return nil, err
	}
	if index != nil {
		states, err := NoticeStates(k.sound)
		if err != nil {
			return nil, err
		}
		b.Notices = notice.Stand(index, states)
		b.NoticesStale = NoticesStale(index, c)
	}
	clocks, err := ClocksOf(dir, c, x, k.sound, "", o.zone(), o.Now())
	if err != nil {
		return nil, err
	}
	b.Clocks, b.Events = clocks.List, clocks.Table.Events
	byUrgency(b.Clocks)
	if b.Plan, err = respond.Build(c, respond.Options{}); err != nil {
		return nil, err
	}
	if b.Need, err = o.Needed(dir); err != nil {
		return nil, err
	}
	b.Steps = Steps(b.Plan, k.sound, b.Need)
	return b, nil
}

// NoticesStale says that notices are of another state of the case; empty: they
// are not.
func NoticesStale(x *notice.Index, c *casefile.Case) string {
	if c.Case.ID == x.Case {
		return ""
	}
	return fmt.Sprintf("The notices are of %s, and the case is %s by now: run midwatch notify again.", report.Plain(x.Case), report.Plain(c.Case.ID))
}

// effects are decisions with what the case says became of them, where it follows
// them already.
func effects(decided []casefile.Override, c *casefile.Case) []casefile.Override {
	out := make([]casefile.Override, 0, len(decided))
	for _, o := range decided {
		for _, x := range c.Overrides {
			if x.Seq == o.Seq {
				o.Applies, o.Effect = x.Applies, x.Effect
			}
		}
		out = append(out, o)
	}
	return out
}

// payloadOf reads an entry's payload as its kind has it. Kinds of later versions
// have no form here.
func payloadOf(e *journal.Entry) error {
	var p any
	switch e.Kind {
	case journal.CampaignJoin, journal.CampaignSplit, journal.CampaignExclude:
		p = &investigate.OverrideEntry{}
	case journal.CampaignUndo:
		p = &investigate.UndoEntry{}
	case journal.Decision:
		p = &clock.Decision{}
	case journal.SecretState:
		p = &SecretEntry{}
	case journal.NoticeState:
		p = &notice.State{}
	case journal.ContainStep:
		p = &graph.Entry{}
	case journal.ContainApprove:
		p = &ApprovalEntry{}
	default:
		return nil
	}
	return e.Decode(p)
}
