package investigate

import (
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
)

// Statement is what was said of a case at one time, on which evidence: the
// payload of the journal's entries of that kind. Scope grows, and what an
// organization said in January has to be held against what it knows in March.
type Statement struct {
	Text     string           `json:"text,omitempty"` // what people said, in their words; empty: what Midwatch concluded
	Case     string           `json:"case"`           // id of the case: hash of its evidence
	Events   int64            `json:"events"`         // records of evidence
	Files    int              `json:"files"`          // files that were read
	First    casefile.Time    `json:"first"`          // first record
	Last     casefile.Time    `json:"last"`           // last record
	Verdict  []string         `json:"verdict"`        // the verdict's sentences
	Answers  []Answer         `json:"answers"`        // what was accessed, and what not as far as the logs say
	Numbers  map[string]int64 `json:"numbers"`        // what was reached
	Decided  []int64          `json:"decided"`        // journal entries of decisions that the campaigns followed
	Campaign []string         `json:"campaign"`       // ids of campaigns
}

// Answer is an assertion as it was said.
type Answer struct {
	Asset  string `json:"asset"`
	Name   string `json:"name"`
	Answer string `json:"answer"`
	Text   string `json:"text"`
}

// StatementOf says what a case says.
func StatementOf(c *casefile.Case, text string) Statement {
	s := Statement{Text: text, Case: c.Case.ID, Events: c.Case.Events, Files: len(c.Sources), First: c.Case.First, Last: c.Case.Last, Verdict: []string{}, Answers: []Answer{}, Numbers: map[string]int64{}, Decided: []int64{}, Campaign: []string{}}
	for _, x := range c.Verdict {
		s.Verdict = append(s.Verdict, x.Text)
	}
	for _, a := range c.Assertions {
		s.Answers = append(s.Answers, Answer{a.Asset, a.Name, a.Answer, a.Text})
	}
	for _, o := range c.Overrides {
		s.Decided = append(s.Decided, o.Seq)
	}
	for i := range c.Campaigns {
		p := &c.Campaigns[i]
		s.Campaign = append(s.Campaign, p.ID)
		for name, n := range map[string]int64{
			"mailboxes confirmed": p.Reach.Mailboxes.Confirmed, "mailboxes probable": p.Reach.Mailboxes.Probable, "mailboxes possible": p.Reach.Mailboxes.Possible,
			"messages confirmed": p.Reach.Messages.Confirmed, "messages probable": p.Reach.Messages.Probable, "messages possible": p.Reach.Messages.Possible,
			"folders synchronized": p.Reach.WholeFolders, "attachments": p.Reach.Attachments,
		} {
			s.Numbers[name] += n
		}
		for _, a := range p.Accounts {
			if a.Role == casefile.AccountCompromised || a.Role == casefile.AccountCreated {
				s.Numbers["accounts in the actor's hands"]++
			}
		}
		s.Numbers["applications"] += int64(len(p.Apps))
	}
	s.Numbers["campaigns"] = int64(len(c.Campaigns))
	return s
}

// Changes says in words what is different in a later statement, and what of
// the evidence changed meanwhile. Nothing: both say the same.
func (s *Statement) Changes(later *Statement) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	was := map[string]Answer{}
	for _, a := range s.Answers {
		was[a.Asset] = a
	}
	for _, a := range later.Answers {
		b, ok := was[a.Asset]
		delete(was, a.Asset)
		switch {
		case !ok:
			say("%s: not answered before, now %s. %s", upperFirst(a.Name), answerWords(a.Answer), a.Text)
		case a.Answer != b.Answer:
			say("%s: was %s, now %s. %s", upperFirst(a.Name), answerWords(b.Answer), answerWords(a.Answer), a.Text)
		case a.Text != b.Text:
			say("%s: still %s, on other grounds. %s", upperFirst(a.Name), answerWords(a.Answer), a.Text)
		}
	}
	for _, k := range sortedKeys(was) {
		say("%s: was %s, not answered now", upperFirst(was[k].Name), answerWords(was[k].Answer))
	}
	names := map[string]bool{}
	for k := range s.Numbers {
		names[k] = true
	}
	for k := range later.Numbers {
		names[k] = true
	}
	for _, k := range sortedKeys(names) {
		if a, b := s.Numbers[k], later.Numbers[k]; a != b {
			say("%s: %s, was %s", k, number(b), number(a))
		}
	}
	for _, v := range later.Verdict {
		if !slices.Contains(s.Verdict, v) {
			say("verdict, new: %s", v)
		}
	}
	for _, v := range s.Verdict {
		if !slices.Contains(later.Verdict, v) {
			say("verdict, no longer: %s", v)
		}
	}
	if len(out) == 0 {
		return nil
	}
	var ground []string
	if s.Events != later.Events || s.Files != later.Files || s.Case != later.Case {
		ground = append(ground, fmt.Sprintf("the evidence: %s records of %d files until %s, was %s of %d until %s", number(later.Events), later.Files, later.Last, number(s.Events), s.Files, s.Last))
	}
	if !slices.Equal(s.Decided, later.Decided) {
		ground = append(ground, fmt.Sprintf("decisions about campaigns: journal entries %v, were %v", later.Decided, s.Decided))
	}
	if len(ground) == 0 {
		ground = append(ground, "neither evidence nor decisions: settings, or the version of Midwatch")
	}
	return append(out, "changed since: "+strings.Join(ground, "; "))
}

// Same reports whether two statements say the same.
func (s *Statement) Same(t *Statement) bool { return len(s.Changes(t)) == 0 }

func answerWords(a string) string {
	switch a {
	case casefile.Accessed:
		return "accessed"
	case casefile.NoEvidence:
		return "no evidence of access"
	case casefile.CannotTell:
		return "cannot be told"
	}
	return a
}
