package investigate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/event"
)

// searched reads what was searched for from a record's detail.
func searched(detail string) string {
	var d struct {
		Search string `json:"search"`
	}
	if json.Unmarshal([]byte(detail), &d) != nil || d.Search == "" {
		return "something"
	}
	return fmt.Sprintf("%q", strings.Trim(d.Search, `"`))
}

// title names a campaign by how it came in and what it reached.
func (b *builder) title() string {
	p := b.camp
	var how string
	switch {
	case b.comp.has("slow_spray") && len(b.guessed()) > 0:
		how = "Slow password spray"
	case b.comp.has("failures_one_ip") && len(b.guessed()) > 0:
		how = "Password guessing from one address"
		if n := b.comp.count("failures_one_ip"); n > 1 {
			how = fmt.Sprintf("Password guessing from %d addresses", n)
		}
	case b.comp.has("failures_one_account") && len(b.guessed()) > 0:
		how = "Password guessing at single accounts"
	case b.comp.has("slow_spray"):
		return "Slow password spray, no password right as far as the logs say"
	case b.comp.has("session_second_network"):
		how = "Session used from a second network"
	case b.comp.has("young_consenter"):
		how = "Newly created account that consents"
	case b.comp.has("app_only_mail_grant", "app_credential_added", "first_seen_mailbox_app", "app_many_networks", "service_principal_new_network"):
		how = b.appWords()
	case b.comp.has("mail_consent"):
		how = "Consent to " + lowerFirst(b.appWords())
	case b.comp.has("inbox_rule_hides_or_forwards", "external_forwarding"):
		return b.comp.findings[0].Title
	default:
		how = b.comp.findings[0].Title
	}
	if n := p.Reach.Mailboxes.Confirmed + p.Reach.Mailboxes.Probable; n > 0 {
		how += ", mail of " + plural(int(n), "mailbox", "mailboxes") + " reached"
	}
	return how
}

// appWords names the campaign's applications.
func (b *builder) appWords() string {
	var names []string
	for _, a := range b.camp.Apps {
		names = append(names, first(a.Name, a.ID))
	}
	switch {
	case len(names) == 0:
		return "An application"
	case len(names) == 1:
		return "Application " + names[0]
	}
	return "Applications " + joinWords(names)
}

// guessed lists the accounts whose passwords were right.
func (b *builder) guessed() (out []string) {
	for i := range b.comp.findings {
		out = append(out, conversions(&b.comp.findings[i])...)
	}
	return casefile.Unique(out)
}

// day writes a time as a date.
func day(t casefile.Time) string { return t.UTC().Format("2 January 2006") }

func percent(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case part > 0 && p < 0.05:
		return " (less than 0.1 %)"
	case p < 10:
		return fmt.Sprintf(" (%.1f %%)", p)
	}
	return fmt.Sprintf(" (%.0f %%)", p)
}

// number writes thousands with a comma.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func numbers(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// verdict says in plain sentences what the numbers say.
func (b *builder) verdict() (out []casefile.Sentence) {
	p := b.camp
	say := func(kind string, events []string, format string, args ...any) {
		out = append(out, casefile.Sentence{Kind: kind, Text: fmt.Sprintf(format, args...), Events: firstIDs(events, 10), Refs: []string{p.ID}})
	}
	b.sayAccess(say)
	b.sayMeans(say)
	b.sayReach(say)
	b.sayUncleared(say)
	b.sayDetection(say)
	b.sayLimits(say)
	return out
}

type sayer func(kind string, events []string, format string, args ...any)

// sayAccess: how and when.
func (b *builder) sayAccess(say sayer) {
	p := b.camp
	who := "An actor"
	if p.Standing == suspected {
		who = "Somebody, whose right to do so the logs do not show,"
	}
	for i := range b.comp.findings {
		f := &b.comp.findings[i]
		if !guessing(f) || f.Detector == "guessed_password" { // the guessing itself says who was guessed
			continue
		}
		tried := value(f, "accounts tried", "accounts that failed")
		attempts := value(f, "attempts")
		from := numbers(int64(len(entities(f, casefile.IP, casefile.RoleSource))), "address", "addresses")
		conv := conversions(f)
		if len(conv) == 0 {
			say(casefile.Fact, f.Events, "From %s to %s passwords of %s were tried from %s (%s); none was right as far as the logs say.",
				day(f.First), day(f.Last), numbers(tried, "account", "accounts"), from, numbers(attempts, "attempt", "attempts"))
			continue
		}
		var in, known []string
		for _, a := range p.Accounts {
			switch {
			case !slices.Contains(conv, a.UPN):
			case a.Role == casefile.AccountCompromised:
				in = append(in, a.UPN)
			default:
				known = append(known, a.UPN)
			}
		}
		if len(in) == 0 {
			say(casefile.Fact, f.Events, "From %s on passwords of %s were tried from %s (%s); the password of %s was right, and what was done with it is not in the logs.",
				day(f.First), numbers(tried, "account", "accounts"), from, numbers(attempts, "attempt", "attempts"), joinWords(known))
			continue
		}
		when := p.InitialAccess
		if when.IsZero() {
			when = f.Last
		}
		say(casefile.Fact, f.Events, "%s came in on %s as %s, after %s to guess passwords of %s from %s since %s.",
			who, day(when), joinWords(in), numbers(attempts, "attempt", "attempts"), numbers(tried, "account", "accounts"), from, day(f.First))
		if len(known) > 0 {
			say(casefile.Fact, f.Events, "The password of %s was guessed too; what was done with it is not in the logs.", joinWords(known))
		}
	}
	switch {
	case p.OriginOutside && p.Standing == suspected:
		say(casefile.Limit, b.comp.findings[0].Events, "The first trace is of %s (%s); whether an intruder did it, and how they came in, the evidence does not say.", day(p.Start), lowerFirst(b.comp.findings[0].Title))
	case p.OriginOutside:
		say(casefile.Limit, b.comp.findings[0].Events, "The first trace is of %s (%s); how the actor came in is outside the evidence.", day(p.Start), lowerFirst(b.comp.findings[0].Title))
	}
}

// sayMeans: accounts made, applications used.
func (b *builder) sayMeans(say sayer) {
	p := b.camp
	var made, apps, events []string
	for _, a := range p.Accounts {
		if a.Role == casefile.AccountCreated {
			made = append(made, a.UPN)
			events = append(events, a.Events...)
		}
	}
	for _, a := range p.Apps {
		w := first(a.Name, a.ID)
		var roles []string
		for _, x := range a.Permissions {
			if !strings.Contains(x, "(delegated)") {
				roles = append(roles, x)
			}
		}
		if len(roles) > 0 {
			w += " (" + strings.Join(roles, ", ") + ")"
		}
		apps = append(apps, w)
		events = append(events, a.Events...)
	}
	switch {
	case len(made) > 0 && len(apps) > 0:
		say(casefile.Fact, events, "The actor created %s and acted through %s: %s.", joinWords(made), plural(len(apps), "application", "applications"), joinWords(apps))
	case len(made) > 0:
		say(casefile.Fact, events, "The actor created %s.", joinWords(made))
	case len(apps) > 0:
		say(casefile.Fact, events, "It acted through %s: %s.", plural(len(apps), "application", "applications"), joinWords(apps))
	}
}

func (b *builder) actedInDirectory(a casefile.AppRef) bool {
	root := b.w.ids.root(a.ID)
	return slices.ContainsFunc(b.w.changes, func(c change) bool {
		return c.actorKind == string(event.ActorApp) && b.w.ids.root(first(c.appID, c.spID, c.actorID)) == root
	})
}

func (b *builder) grantsTo(a casefile.AppRef) (out []string) {
	root := b.w.ids.root(a.ID)
	for _, c := range b.w.changes {
		if event.Class(c.class) == event.ClassAppRoleGrant && b.w.ids.root(first(c.targetApp, c.targetID)) == root {
			out = append(out, c.id)
		}
	}
	return out
}

// sayReach: mailboxes and messages, each certainty apart.
func (b *builder) sayReach(say sayer) {
	p := b.camp
	r, s := p.Reach, p.ShareOfMailboxes
	var events []string
	for _, m := range p.Mailboxes {
		events = append(events, m.Events[:min(2, len(m.Events))]...)
	}
	of := ""
	if s.Denominator > 0 {
		of = fmt.Sprintf(" of %s%s", number(s.Denominator), percent(r.Mailboxes.Confirmed, s.Denominator))
	}
	if r.Mailboxes.Confirmed > 0 {
		say(casefile.Fact, events, "It read %s in %s%s, confirmed by records between %s and %s.",
			numbers(r.Messages.Confirmed, "message", "messages"), numbers(r.Mailboxes.Confirmed, "mailbox", "mailboxes"), of, day(b.firstRead()), day(b.lastRead()))
	}
	if r.Mailboxes.Probable > 0 || r.WholeFolders > 0 || r.Messages.Probable > 0 {
		var parts []string
		if r.Mailboxes.Probable > 0 {
			more := numbers(r.Mailboxes.Probable, "more mailbox was", "more mailboxes were")
			if r.Mailboxes.Confirmed == 0 {
				more = numbers(r.Mailboxes.Probable, "mailbox was", "mailboxes were")
			}
			parts = append(parts, more+" probably read")
		}
		if r.WholeFolders > 0 {
			parts = append(parts, numbers(r.WholeFolders, "folder was", "folders were")+" synchronized as a whole, with messages that the log does not name")
		}
		if r.Messages.Probable > 0 {
			parts = append(parts, numbers(r.Messages.Probable, "more item was", "more items were")+" read whose ids are lost")
		}
		say(casefile.Fact, events, "%s.", upperFirst(strings.Join(parts, "; ")))
	}
	if r.Mailboxes.Confirmed+r.Mailboxes.Probable+r.Mailboxes.Possible == 0 {
		b.sayNothingRead(say)
	}
}

// sayNothingRead never says "no" without saying how complete the logs are.
func (b *builder) sayNothingRead(say sayer) {
	cover := b.mailCoverDuring()
	if cover == "" {
		say(casefile.Limit, nil, "Whether mail was read cannot be said: no record of mail access was received.")
		return
	}
	say(casefile.Absence, nil, "No record shows mail being read by it; %s.", cover)
}

// mailCoverDuring says how complete the audit log is, in words.
func (b *builder) mailCoverDuring() string {
	if b.c.Coverage.MailAccess.Records == 0 {
		return ""
	}
	var parts []string
	for _, s := range b.c.Coverage.Sources {
		if s.Source == string(event.UAL) && (len(b.camp.Tenants) == 0 || slices.Contains(b.camp.Tenants, s.Tenant)) {
			parts = append(parts, fmt.Sprintf("the audit log has records on %d of %d days", s.Days, s.DaysInWindow))
		}
	}
	return strings.Join(parts, "; ")
}

func (b *builder) firstRead() (t casefile.Time) {
	for _, m := range b.camp.Mailboxes {
		t = casefile.Earlier(t, m.First)
	}
	return t
}

func (b *builder) lastRead() (t casefile.Time) {
	for _, m := range b.camp.Mailboxes {
		t = casefile.Later(t, m.Last)
	}
	return t
}

// sayUncleared: what cannot be cleared.
func (b *builder) sayUncleared(say sayer) {
	for i, u := range b.camp.CannotClear {
		if i == 2 {
			say(casefile.Limit, nil, "%s listed in the case.", upperFirst(numbers(int64(len(b.camp.CannotClear)-2), "more limit of this kind is", "more limits of this kind are")))
			break
		}
		say(casefile.Limit, u.Events, "%s %s cannot be cleared: %s.", number(u.Count), what(&u), u.Why)
	}
}

// what is the word for so many of what cannot be cleared.
func what(u *casefile.Uncleared) string {
	if u.Count == 1 {
		if u.What == "mailboxes" {
			return "mailbox"
		}
		return strings.TrimSuffix(u.What, "s")
	}
	return u.What
}

// sayLimits: what else the logs cannot say.
func (b *builder) sayLimits(say sayer) {
	p := b.camp
	if n := p.Reach.Mailboxes.Possible; n > 0 {
		say(casefile.Limit, nil, "%s asked for lists or searched; what came back is not in the logs.", upperFirst(numbers(n, "further mailbox was", "further mailboxes were")))
	}
	if n := p.Reach.Windows; n > 0 {
		say(casefile.Limit, nil, "In %s reads were not recorded (throttling or forwarding).", numbers(n, "window", "windows"))
	}
	for _, a := range p.Apps {
		if a.Role == casefile.AppTakenOver && b.actedInDirectory(a) && len(b.grantsTo(a)) == 0 {
			say(casefile.Limit, a.Events, "How application %s came by its rights is outside the evidence.", first(a.Name, a.ID))
		}
	}
}

// sayDetection: when the logs could have shown it.
func (b *builder) sayDetection(say sayer) {
	p := b.camp
	if p.FirstDetected.IsZero() {
		return
	}
	when := "on that day"
	if d := p.FirstDetected.Sub(p.Start.Time); d >= 24*time.Hour {
		when = fmt.Sprintf("%.1f days after it began", p.DwellDays)
	}
	last := ""
	if !p.InitialAccess.IsZero() {
		switch d := p.InitialAccess.Sub(p.FirstDetected.Time).Hours() / 24; {
		case d >= 1:
			last = fmt.Sprintf(", %.1f days before the actor was inside", d)
		case d <= -1:
			last = fmt.Sprintf(", %.1f days after the actor was inside", -d)
		}
		if d := p.End.Sub(p.InitialAccess.Time).Hours() / 24; d >= 1 {
			last += fmt.Sprintf("; its last record is of %s, %.0f days after the first access", day(p.End), d)
		}
	}
	say(casefile.Fact, nil, "These logs could have raised it on %s (%s)%s.", day(p.FirstDetected), when, last)
}

// value finds a count of a finding by one of its names.
func value(f *casefile.Finding, names ...string) int64 {
	for _, n := range names {
		for _, c := range f.Counts {
			if c.Name == n {
				return int64(c.Value)
			}
		}
	}
	return 0
}

func joinWords(w []string) string {
	switch len(w) {
	case 0:
		return "nobody named"
	case 1:
		return w[0]
	case 2:
		return w[0] + " and " + w[1]
	}
	if len(w) > 6 {
		return strings.Join(w[:5], ", ") + fmt.Sprintf(" and %d more", len(w)-5)
	}
	return strings.Join(w[:len(w)-1], ", ") + " and " + w[len(w)-1]
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// caseVerdict is the case in three to eight sentences.
func caseVerdict(c *casefile.Case) (out []casefile.Sentence) {
	var firm []casefile.Campaign
	for _, p := range c.Campaigns {
		if p.Standing == established {
			firm = append(firm, p)
		}
	}
	switch {
	case len(firm) > 0:
		out = append(out, firstSentences(firm[0].Verdict, 6)...)
		if len(firm) > 1 {
			out = append(out, casefile.Sentence{Kind: casefile.Fact, Text: upperFirst(numbers(int64(len(firm)-1), "more campaign was found that shares", "more campaigns were found that share")) + " no account, application or session with it.", Refs: campaignIDs(firm[1:])})
		}
	case len(c.Campaigns) > 0:
		out = append(out, casefile.Sentence{Kind: casefile.Limit, Text: fmt.Sprintf("The logs show %s that an intruder or an administrator may have taken; they do not say which.", plural(len(c.Campaigns), "series of steps", "series of steps")), Refs: campaignIDs(c.Campaigns)})
		out = append(out, firstSentences(c.Campaigns[0].Verdict, 4)...)
	case len(c.Findings) > 0:
		out = append(out, casefile.Sentence{Kind: casefile.Fact, Text: fmt.Sprintf("No campaign was found; %s to be looked at one by one.", plural(len(c.Findings), "finding is", "findings are"))})
	default:
		out = append(out, casefile.Sentence{Kind: casefile.Absence, Text: fmt.Sprintf("%s found nothing in the logs that were received.", upperFirst(plural(len(c.Assessed), "detector", "detectors")))})
	}
	out = append(out, assertionSentences(c)...)
	return append(out, coverageSentence(c))
}

// assertionSentences say in one sentence an answer what was accessed besides
// mail, and what was not as far as the logs tell.
func assertionSentences(c *casefile.Case) (out []casefile.Sentence) {
	names, refs, events := map[string][]string{}, map[string][]string{}, map[string][]string{}
	low := 1.0
	for i := range c.Assertions {
		a := &c.Assertions[i]
		name := a.Name
		if a.Answer == casefile.Accessed {
			var places []string
			for _, p := range a.Places[:min(len(a.Places), 3)] {
				places = append(places, p.What)
			}
			name += " (" + strings.Join(places, ", ") + ")"
		}
		names[a.Answer], refs[a.Answer], events[a.Answer] = append(names[a.Answer], name), append(refs[a.Answer], a.ID), append(events[a.Answer], firstIDs(a.Events, 3)...)
		if a.Answer == casefile.NoEvidence {
			for _, x := range a.Coverage {
				low = min(low, x.Share)
			}
		}
	}
	say := func(answer, kind, format string, args ...any) {
		if len(names[answer]) > 0 {
			out = append(out, casefile.Sentence{Kind: kind, Text: fmt.Sprintf(format, args...), Refs: refs[answer], Events: events[answer]})
		}
	}
	say(casefile.Accessed, casefile.Fact, "Besides mail, what the actor acted as signed in to or touched %s.", joinWords(names[casefile.Accessed]))
	say(casefile.NoEvidence, casefile.Absence, "No evidence of access to %s: others' access is in the logs, the actor's is not, and these logs cover %s or more of the hours.", joinWords(names[casefile.NoEvidence]), shareWords(low))
	say(casefile.CannotTell, casefile.Limit, "Whether %s were accessed cannot be told from these logs.", joinWords(names[casefile.CannotTell]))
	return out
}

func campaignIDs(ps []casefile.Campaign) (out []string) {
	for _, p := range ps {
		out = append(out, p.ID)
	}
	return out
}

// firstSentences keeps order and takes facts and limits alike.
func firstSentences(s []casefile.Sentence, n int) []casefile.Sentence { return s[:min(n, len(s))] }

// coverageSentence says how complete the logs are; it is in every verdict.
func coverageSentence(c *casefile.Case) casefile.Sentence {
	var parts []string
	for _, s := range c.Coverage.Sources {
		if len(parts) == 4 {
			break
		}
		if s.Source == string(event.UAL) || s.Source == string(event.SignIn) && s.Kind == "interactive" || s.Source == string(event.GraphActivity) {
			parts = append(parts, fmt.Sprintf("%s on %d of %d days", sourceWords(s, c), s.Days, s.DaysInWindow))
		}
	}
	text := "Coverage: " + strings.Join(parts, "; ")
	if len(parts) == 0 {
		text = "Coverage: none of the audit log, the sign-in logs and Graph activity was received"
	}
	var never []string
	for _, m := range c.Coverage.NeverReceived {
		never = append(never, m.Source)
	}
	never = casefile.Unique(never)
	if len(never) > 0 {
		text += "; never received, for at least one tenant: " + strings.Join(never, ", ")
	}
	if n := len(c.NotAssessed); n > 0 {
		text += fmt.Sprintf("; %s not assessed", plural(n, "detector was", "detectors were"))
	}
	return casefile.Sentence{Kind: casefile.Limit, Text: text + "."}
}

func sourceWords(s casefile.SourceCover, c *casefile.Case) string {
	name := map[string]string{string(event.UAL): "audit log", string(event.SignIn): "sign-ins", string(event.GraphActivity): "Graph activity"}[s.Source]
	if len(c.Case.Tenants) < 2 {
		return name
	}
	for _, t := range c.Case.Tenants {
		if t.ID == s.Tenant && len(t.Domains) > 0 {
			return name + " of " + t.Domains[0]
		}
	}
	return name
}
