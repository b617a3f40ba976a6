package main

import (
	"fmt"
	"strings"

	"midwatch/casefile"
	"midwatch/simulate"
	"midwatch/simulate/score"
)

// answerGoal is how well one run's case answers what was reached and since when.
type answerGoal struct {
	Lost    bool     `json:"lost"`     // records were lost, or the logs do not have all that was done
	Starts  []startG `json:"starts"`   // one an actor in the logs
	Binds   int      `json:"binds"`    // messages that a record of the logs names, of all actors
	Named   int      `json:"named"`    // of these listed as confirmed
	Maybe   int      `json:"maybe"`    // of these listed as possible or probable
	Listed  int      `json:"listed"`   // messages that the case lists as confirmed
	Wrong   int      `json:"wrong"`    // of these not an actor's
	LookIn  int      `json:"look_in"`  // look-alikes in a campaign
	Noise   int      `json:"noise_in"` // other people's attacks in an actor's campaign
	Merged  int      `json:"merged"`
	Split   int      `json:"split"`
	Answers []string `json:"answers"` // asset: answer
}

// startG is a campaign's beginning against the interval that the case states.
type startG struct {
	Campaign string   `json:"campaign"`
	Within   bool     `json:"within"`
	Open     bool     `json:"open"`  // to the past: it may lie before the evidence
	Hours    *float64 `json:"hours"` // width; null when open
}

// answers measures a case.
func answers(t *simulate.Truth, c *casefile.Case, s *score.Score) answerGoal {
	g := answerGoal{Lost: t.Knobs.Loss > 0, LookIn: len(s.LookAlikes.Joined), Noise: len(s.LookAlikes.NoiseJoined), Merged: len(s.Actors.Merged), Split: len(s.Actors.Split)}
	fold := func(box, id string) string {
		return strings.ToLower(box) + " " + strings.Trim(strings.ToLower(id), "<>")
	}
	have := map[string]casefile.Certainty{}
	for i := range c.Campaigns {
		for _, m := range c.Campaigns[i].Mailboxes {
			for _, x := range m.Messages {
				k := fold(m.UPN, x.InternetMessageID)
				if x.InternetMessageID != "" && x.Certainty.Rank() > have[k].Rank() {
					have[k] = x.Certainty
				}
			}
		}
	}
	theirs := map[string]bool{}
	for i := range t.Campaigns {
		p := &t.Campaigns[i]
		for _, b := range p.Mailboxes {
			for _, x := range b.Messages {
				k := fold(b.UPN, x.ID)
				theirs[k] = true
				if x.How != "bind" || !x.Logged {
					continue
				}
				g.Binds++
				switch have[k] {
				case casefile.Confirmed:
					g.Named++
				case casefile.Probable, casefile.Possible:
					g.Maybe++
				}
			}
		}
		if p.FirstRecord.IsZero() {
			continue
		}
		for j := range s.Campaigns {
			if s.Campaigns[j].ID != p.ID || s.Campaigns[j].Matched == "" {
				continue
			}
			for k := range c.Campaigns {
				x := &c.Campaigns[k]
				if x.ID != s.Campaigns[j].Matched {
					continue
				}
				// Records have seconds, the key microseconds.
				st := startG{Campaign: p.ID, Open: x.StartNotBefore.IsZero()}
				st.Within = (st.Open || !p.FirstRecord.Before(x.StartNotBefore.Add(-1e9))) && !p.FirstRecord.After(x.StartNotAfter.Add(1e9))
				if !st.Open {
					w := x.StartNotAfter.Sub(x.StartNotBefore.Time).Hours()
					st.Hours = &w
				}
				g.Starts = append(g.Starts, st)
			}
		}
	}
	for k, cert := range have {
		if cert != casefile.Confirmed {
			continue
		}
		g.Listed++
		if !theirs[k] {
			g.Wrong++
		}
	}
	for _, a := range c.Assertions {
		g.Answers = append(g.Answers, a.Asset+": "+a.Answer)
	}
	return g
}

// answered writes what was asked of the answer beside what was measured.
func answered(b *md, done []*result) {
	b.p("## The answer\n")
	b.text(`*Mailboxes*: those reached, of tenants whose logs were handed over; *shown as clear*: neither listed nor said not to be cleared. *Messages*: those that a record in the logs
names (bind), listed as confirmed; with what is listed as possible besides. *Start*: the first malicious record lies in the interval that the case states; *open* ones
say that the beginning may lie before the evidence, the width is of the others. *Look-alikes*: what is benign and stands in a campaign.
`)
	b.head("users", "scenario", "runs", "mailboxes listed", "mailboxes listed for nothing", "shown as clear", "messages confirmed", "or possible", "confirmed and wrong", "start within", "open", "width, median hours", "look-alikes joined", "others' attacks joined", "actors merged", "split")
	type key struct {
		users int
		cell  string
	}
	var order []key
	by := map[key][]*result{}
	for _, r := range done {
		k := key{r.Users, r.Cell}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], r)
	}
	for _, k := range order {
		var truth, found, over, clear, binds, named, maybe, listed, wrong, starts, within, open, look, noise, merged, split int
		var widths []float64
		for _, r := range by[k] {
			e := r.Score.Entity(score.Mailboxes)
			truth, found, over, clear = truth+e.Truth, found+e.Found, over+r.Score.Mailboxes.OverListed, clear+r.Score.Mailboxes.FalselyCleared
			g := r.Answer
			binds, named, maybe, listed, wrong = binds+g.Binds, named+g.Named, maybe+g.Maybe, listed+g.Listed, wrong+g.Wrong
			look, noise, merged, split = look+g.LookIn, noise+g.Noise, merged+g.Merged, split+g.Split
			for _, s := range g.Starts {
				starts++
				within, open = within+one(s.Within), open+one(s.Open)
				if s.Hours != nil {
					widths = append(widths, *s.Hours)
				}
			}
		}
		of := func(k, n int) string {
			if n == 0 {
				return "–"
			}
			return fmt.Sprintf("%d of %d, %s", k, n, wilson(k, n).percent())
		}
		b.row(fmt.Sprint(k.users), k.cell, fmt.Sprint(len(by[k])), of(found, truth), fmt.Sprint(over), fmt.Sprint(clear), of(named, binds), of(named+maybe, binds), of(wrong, listed), of(within, starts), fmt.Sprint(open),
			bootstrap(widths, median).number(1), fmt.Sprint(look), fmt.Sprint(noise), fmt.Sprint(merged), fmt.Sprint(split))
	}
	b.p("")
}
