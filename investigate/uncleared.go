package investigate

import (
	"fmt"
	"strings"

	"midwatch/casefile"
	"midwatch/event"
)

// uncleared says what findings outside of campaigns leave open: accounts that
// somebody else may have used, of which nothing shows whether it was so. They
// are not accused, and their mailboxes are not cleared.
func (w *world) uncleared(c *casefile.Case) (out []casefile.Uncleared) {
	in := map[string]bool{}
	boxes := map[string]bool{}
	for i := range c.Campaigns {
		for _, id := range c.Campaigns[i].Findings {
			in[id] = true
		}
		for _, m := range c.Campaigns[i].Mailboxes {
			boxes[m.UPN] = true
		}
	}
	medium, slight := map[string]bool{}, map[string]bool{}
	var mediumEvents, slightEvents []string
	for i := range c.Findings {
		f := &c.Findings[i]
		if in[f.ID] || f.Severity.Rank() < casefile.Low.Rank() || !strangersUse(f) {
			continue
		}
		for _, e := range f.Entities {
			if e.Kind != casefile.Account || e.Role == casefile.RoleVictim || e.Role == casefile.RoleSource || boxes[e.ID] || !strings.Contains(e.ID, "@") {
				continue
			}
			if f.Severity.Rank() >= casefile.Medium.Rank() {
				medium[e.ID] = true
				mediumEvents = append(mediumEvents, firstIDs(f.Events, 1)...)
			} else {
				slight[e.ID] = true
				slightEvents = append(slightEvents, firstIDs(f.Events, 1)...)
			}
		}
	}
	for a := range medium {
		delete(slight, a)
	}
	add := func(accounts map[string]bool, events []string, why string) {
		if len(accounts) == 0 {
			return
		}
		names := sortedKeys(accounts)
		u := casefile.Uncleared{What: "mailboxes", Count: int64(len(names)), CountName: "mailboxes of accounts that findings outside of campaigns are about", Certainty: casefile.Possible, Why: why,
			Fetch: "ask their owners about the sign-ins that the findings name; compare with the devices' own logs", Events: firstIDs(events, 20)}
		if len(names) <= maxNames {
			u.Members = names
		}
		out = append(out, u)
	}
	add(medium, mediumEvents, "findings of medium severity say that somebody else may have used these accounts; they do not add up to a campaign, and they are not explained")
	add(slight, slightEvents, "slight findings of a kind that people's own journeys and mistakes bring about; a thief who copies the owner's program looks the same")
	// Where such findings are so common that they are counted instead of listed.
	for i := range c.Findings {
		f := &c.Findings[i]
		if f.Detector == "session_second_network" && f.Severity == casefile.Info {
			if n := value(f, "accounts"); n > 0 {
				out = append(out, casefile.Uncleared{What: "mailboxes", Count: n, CountName: "mailboxes of accounts whose sessions moved between networks", Certainty: casefile.Possible,
					Why: fmt.Sprintf("%s; a thief in the owner's country who copies the owner's program looks the same", lowerFirst(f.Title)), Fetch: "--asn with countries tells more of them apart", Events: firstIDs(f.Events, 20)})
			}
		}
	}
	return append(out, silentTimes(c)...)
}

// silentTimes says that nobody can be cleared of what was done while the audit
// log has no record: who came and went in it left none.
func silentTimes(c *casefile.Case) (out []casefile.Uncleared) {
	for i := range c.Coverage.Matrix.Rows {
		r := &c.Coverage.Matrix.Rows[i]
		if r.Source != string(event.UAL) || r.Class != mailReads {
			continue
		}
		var hours int64
		var when []string
		for _, g := range r.Gaps {
			if g.Hours >= leastGap {
				hours += g.Hours
				when = append(when, fmt.Sprintf("%s to %s", g.From, g.To))
			}
		}
		if hours == 0 {
			continue
		}
		out = append(out, casefile.Uncleared{What: "mailboxes", Count: c.Coverage.MailAccess.MailboxesSeen, CountName: "mailboxes seen anywhere in the evidence", Certainty: casefile.Possible,
			Why:   fmt.Sprintf("the audit log has no record of mail being read, of anybody, for %s in all (%s), where its rhythm expects some: what was done in that time is not known", plural(int(hours), "hour", "hours"), joinWords(when)),
			Fetch: "the unified audit log for these times"})
	}
	return out
}

// strangersUse reports whether a finding says that somebody else may have used
// an account.
func strangersUse(f *casefile.Finding) bool {
	switch f.Detector {
	case "session_second_network", "single_factor_new_network", "dormant_account_wakes", "legacy_auth_first", "mfa_fatigue", "new_method_after_new_network", "sign_in_bypass", "mail_volume", "guessed_password", "canary_account":
		return true
	}
	return false
}
