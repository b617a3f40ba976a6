package clock

import (
	"fmt"
	"slices"
	"strings"

	"midwatch/casefile"
	"midwatch/exposure"
)

// Item is something that a notification has to say.
type Item struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Text is what the case can say of it; nil: nothing, a person has to.
	Text []string `json:"text"`
	// Missing is what a person has to add, or decide; empty: nothing.
	Missing string `json:"missing,omitempty"`
}

// Items lists what notifications have to say, and what of it a case cannot know.
func Items() []Item {
	return []Item{
		{ID: "nature", Title: "Nature of the incident"},
		{ID: "scope", Title: "Scope"},
		{ID: "timing", Title: "When it happened"},
		{ID: "dates", Title: "Dates of the breach and of its discovery", Missing: "the date of discovery, as your decisions have it"},
		{ID: "discovery", Title: "How it was discovered", Missing: "who noticed it first, and how"},
		{ID: "data_categories", Title: "Categories of data", Missing: "categories that no pattern finds (health, opinions, performance of employees): look into the messages that are listed"},
		{ID: "subjects", Title: "Categories and approximate number of people", Missing: "people whom the messages are about, without having sent or received them; residents by state where that decides"},
		{ID: "records", Title: "Categories and approximate number of records"},
		{ID: "consequences", Title: "Likely consequences", Missing: "what may follow for the people concerned"},
		{ID: "measures", Title: "Measures taken or proposed", Missing: "measures that are planned, and those that are not in the journal"},
		{ID: "indicators", Title: "Indicators of compromise"},
		{ID: "malicious", Title: "Whether it is suspected to be unlawful or malicious"},
		{ID: "cross_border", Title: "Whether it may reach across borders", Missing: "in which countries you, your customers and the people concerned are"},
		{ID: "severity", Title: "Severity and impact", Missing: "what it did to your services and to others"},
		{ID: "cause", Title: "Cause", Missing: "why it was possible: the logs show the way in, not why it was open"},
		{ID: "material_impact", Title: "Material impact, or what is reasonably likely to be one", Missing: "on financial condition, operations, reputation, customers: the decision of those who may take it"},
		{ID: "steps", Title: "What people should do to protect themselves", Missing: "what you offer them"},
		{ID: "contact", Title: "Contact", Missing: "name and contact of the data protection officer, or of who can say more"},
		{ID: "delay_reasons", Title: "Reasons for a delay", Missing: "only where it is filed after its time"},
	}
}

func item(id string) (Item, bool) {
	for _, i := range Items() {
		if i.ID == id {
			return i, true
		}
	}
	return Item{}, false
}

// Facts is what is known for a filing.
type Facts struct {
	Case     *casefile.Case
	Exposure *exposure.Exposure // nil: none was made
	Measures []string           // what was done and decided, in words, by time
	Contact  string             // whom to ask; empty: not known
}

// Fill answers a clock's items as far as the facts can. Certainties stay apart.
func (f *Facts) Fill(c *Clock) []Item {
	var out []Item
	for _, id := range c.Content {
		i, _ := item(id)
		i.Text = f.text(id)
		switch {
		case id == "contact" && len(i.Text) > 0:
			i.Missing = ""
		case len(i.Text) == 0 && i.Missing == "":
			i.Missing = "the case has nothing to say of it"
		}
		out = append(out, i)
	}
	return out
}

func (f *Facts) text(id string) (out []string) {
	switch id {
	case "nature":
		for i := range f.Case.Campaigns {
			k := &f.Case.Campaigns[i]
			s := k.Title + " (" + standing(k) + ")."
			for _, v := range k.Verdict {
				if v.Kind == casefile.Fact {
					s += " " + v.Text
					break
				}
			}
			out = append(out, s)
		}
	case "scope":
		n := f.reach()
		out = append(out, "Mailboxes: "+Words(n.Mailboxes)+".", "Messages that records name, counted in each mailbox: "+Words(n.Messages)+".")
		if n.WholeFolders > 0 {
			out = append(out, fmt.Sprintf("%d folders were synchronized as a whole; how many messages were in them is not in the logs.", n.WholeFolders))
		}
		if f.Exposure != nil {
			x := f.Exposure.Counts
			out = append(out, "Distinct messages, with what mailbox exports show of folders and unrecorded times: "+Words(x.Messages)+".", "Organizations outside: "+Words(x.Counterparties)+".", "Passwords, keys and other secrets in these messages: "+Words(x.Secrets)+".")
		}
		for i := range f.Case.Campaigns {
			for _, u := range f.Case.Campaigns[i].CannotClear {
				out = append(out, fmt.Sprintf("Cannot be cleared: %d %s (%s).", u.Count, u.CountName, u.Why))
			}
		}
		for _, v := range f.Case.Verdict {
			if v.Kind == casefile.Limit {
				out = append(out, "Not known: "+v.Text)
			}
		}
	case "timing", "dates":
		for i := range f.Case.Campaigns {
			k := &f.Case.Campaigns[i]
			s := "First sign " + day(k.Start)
			if k.OriginOutside {
				s += " (it may have begun earlier: the first record has no explanation in the logs)"
			}
			s += "; inside since " + day(k.InitialAccess) + "; last record " + day(k.End) + "."
			for _, m := range k.Milestones {
				if m.Name == casefile.MilestoneFirstCollection || m.Name == casefile.MilestoneLastCollection {
					s += " " + m.Title + ": " + day(m.Time) + "."
				}
			}
			out = append(out, s)
		}
	case "discovery":
		for i := range f.Case.Campaigns {
			out = append(out, "The logs could have shown it from "+day(f.Case.Campaigns[i].FirstDetected)+" on.")
		}
	case "data_categories":
		out = append(out, "Electronic mail: addresses, subjects, contents and attachments of the messages that are listed.")
		if f.Exposure != nil {
			for _, p := range f.Exposure.PersonalData {
				out = append(out, fmt.Sprintf("%s: %d distinct values, in messages: %s.", KindWords(p.Kind), p.Values, Words(p.Messages)))
			}
		}
	case "subjects":
		if f.Exposure == nil {
			break
		}
		people := f.people()
		out = append(out, "Employees with mail in what was reached: "+Words(people[true])+".", "People outside: "+Words(people[false])+".", "Counted are senders and recipients, at most 200 of a message; a person counts once, under the highest certainty.")
	case "records":
		out = append(out, "Messages that records name, counted in each mailbox: "+Words(f.reach().Messages)+".")
		if f.Exposure != nil {
			out = append(out, "Distinct messages, with what mailbox exports show of folders and unrecorded times: "+Words(f.Exposure.Counts.Messages)+".")
		}
	case "measures":
		out = slices.Clone(f.Measures)
	case "indicators":
		for i := range f.Case.Campaigns {
			k := &f.Case.Campaigns[i]
			var ips, apps []string
			for _, x := range k.IPs {
				ips = append(ips, x.IP)
			}
			for _, x := range k.Apps {
				apps = append(apps, x.Name+" "+x.ID)
			}
			const most = 50
			if len(ips) > 0 {
				out = append(out, fmt.Sprintf("Addresses (%d): %s", len(ips), list(ips, most)))
			}
			if len(apps) > 0 {
				out = append(out, fmt.Sprintf("Applications (%d): %s", len(apps), list(apps, most)))
			}
		}
	case "malicious":
		for i := range f.Case.Campaigns {
			k := &f.Case.Campaigns[i]
			if k.Standing == "established" {
				out = append(out, "Yes: "+k.Title+", established from records.")
			} else {
				out = append(out, "Suspected: "+k.Title+"; it may be an administrator at work.")
			}
		}
	case "severity":
		for i := range f.Case.Campaigns {
			out = append(out, f.Case.Campaigns[i].Title+": "+string(f.Case.Campaigns[i].Severity)+".")
		}
	case "cause":
		for i := range f.Case.Campaigns {
			for _, m := range f.Case.Campaigns[i].Milestones {
				if m.Name == casefile.MilestoneFirstSuccess {
					out = append(out, "First success: "+day(m.Time)+"; "+m.Basis)
				}
			}
		}
	case "steps":
		if f.Exposure != nil && f.Exposure.Counts.Secrets != (casefile.PerCertainty{}) {
			out = append(out, "Change the passwords and keys that stood in the messages, and look for their use since the first access.")
		}
		out = append(out, "Distrust messages that refer to this correspondence, and verify requests through a number that is already known.")
	case "contact":
		if f.Contact != "" {
			out = append(out, f.Contact)
		}
	}
	return out
}

func standing(k *casefile.Campaign) string {
	if k.Standing == "established" {
		return "established"
	}
	return "suspected: it may be an administrator at work"
}

func list(s []string, most int) string {
	if len(s) > most {
		return strings.Join(s[:most], ", ") + fmt.Sprintf(" and %d more, in the case", len(s)-most)
	}
	return strings.Join(s, ", ")
}

// reach adds up what campaigns reached, each certainty by itself.
func (f *Facts) reach() (n casefile.Reach) {
	for i := range f.Case.Campaigns {
		r := f.Case.Campaigns[i].Reach
		n.Mailboxes = sum(n.Mailboxes, r.Mailboxes)
		n.Messages = sum(n.Messages, r.Messages)
		n.WholeFolders += r.WholeFolders
	}
	return n
}

func sum(a, b casefile.PerCertainty) casefile.PerCertainty {
	return casefile.PerCertainty{Confirmed: a.Confirmed + b.Confirmed, Probable: a.Probable + b.Probable, Possible: a.Possible + b.Possible}
}

// people counts who sent or got a message that was reached, by whether they are
// the organization's own.
func (f *Facts) people() map[bool]casefile.PerCertainty {
	best := map[string]casefile.Certainty{}
	note := func(a string, c casefile.Certainty) {
		if a != "" && c.Rank() > best[a].Rank() {
			best[a] = c
		}
	}
	for i := range f.Exposure.Messages {
		m := &f.Exposure.Messages[i]
		note(m.From.Address, m.Certainty)
		for _, a := range m.To {
			note(a.Address, m.Certainty)
		}
		for _, a := range m.Access {
			note(a.Mailbox, a.Certainty)
		}
	}
	out := map[bool]casefile.PerCertainty{}
	for a, c := range best {
		_, domain, _ := strings.Cut(a, "@")
		own := slices.ContainsFunc(f.Exposure.OwnDomains, func(d string) bool { return domain == d || strings.HasSuffix(domain, "."+d) })
		n := out[own]
		switch c {
		case casefile.Confirmed:
			n.Confirmed++
		case casefile.Probable:
			n.Probable++
		case casefile.Possible:
			n.Possible++
		}
		out[own] = n
	}
	return out
}

// Words writes a count of each certainty, and never their sum.
func Words(p casefile.PerCertainty) string {
	var s []string
	for _, x := range []struct {
		n    int64
		word casefile.Certainty
	}{{p.Confirmed, casefile.Confirmed}, {p.Probable, casefile.Probable}, {p.Possible, casefile.Possible}} {
		if x.n > 0 {
			s = append(s, fmt.Sprintf("%d %s", x.n, x.word))
		}
	}
	if len(s) == 0 {
		return "none that the logs show"
	}
	return strings.Join(s, ", ")
}

// KindWords names a kind of personal data for people.
func KindWords(kind string) string {
	switch kind {
	case "payment_card":
		return "Payment card numbers"
	case "iban":
		return "Bank account numbers (IBAN)"
	case "us_ssn":
		return "US social security numbers"
	case "uk_nino":
		return "UK national insurance numbers"
	case "de_tax_id":
		return "German tax numbers"
	case "passport":
		return "Passport numbers"
	}
	return strings.ReplaceAll(kind, "_", " ")
}

func day(t casefile.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.Format("2 January 2006, 15:04") + " UTC"
}
