package detect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// inboxRuleHidesOrForwards finds inbox rules that send mail outside, or that
// keep it from being seen.
type inboxRuleHidesOrForwards struct{}

// Card implements [Detector].
func (inboxRuleHidesOrForwards) Card() Card {
	return Card{
		ID:             "inbox_rule_hides_or_forwards",
		Title:          "Inbox rule hides or forwards mail",
		Why:            "Rules that forward mail keep access after a password change; rules that delete or move warnings and invoices keep the owner from noticing.",
		FalsePositives: []string{"people forward to a private address or a ticket system", "rules that file newsletters"},
		Techniques:     []string{},
		Stage:          casefile.StageEvasion,
		Needs:          exchangeNeeds(),
		Severity:       casefile.Medium,
		FalseAlarms:    FalseAlarms{PerDay: 0.002, Basis: "estimate: none in simulated quiet tenants, whose people sort newsletters"},
	}
}

// hidingFolders lists folders that nobody looks into.
func hidingFolders() []string {
	return []string{"rss", "conversation history", "archive", "junk", "deleted items", "notes", "sync issues", "unterhaltungsverlauf", "gelöschte elemente", "clutter"}
}

// baitWords lists what rules look for when they hide frauds and warnings.
func baitWords() []string {
	return []string{
		"invoice", "payment", "wire", "bank", "iban", "remittance", "paypal", "payroll", "salary", "transfer", "overdue", "purchase", "facture", "rechnung",
		"hack", "phish", "spam", "fraud", "scam", "password", "suspicious", "security", "virus", "malware", "mailbox", "docusign", "helpdesk", "w2", "financial",
	}
}

// Detect implements [Detector].
func (d inboxRuleHidesOrForwards) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	own, err := ownDomains(ctx, q)
	if err != nil {
		return nil, err
	}
	rs, err := records(ctx, q, `class = 'inbox_rule' AND coalesce(outcome, '') <> 'failure' AND coalesce(actor_kind, '') <> 'service'
		AND operation NOT LIKE 'remove%' AND operation NOT LIKE 'disable%'`)
	if err != nil {
		return nil, err
	}
	var out []casefile.Finding
	for _, r := range oneOf(rs) {
		if strings.Contains(strings.ToLower(r.detail.RuleOperation), "remove") {
			continue
		}
		f, ok := d.finding(&r, own)
		if !ok {
			continue
		}
		hides, _ := hiding(&r)
		if to := outside(r.detail.Forward, own); len(to) > 0 && hides == "" && ownAddress(to, firstOf(r.Mailbox, r.Actor)) {
			days, err := daysAtHome(ctx, q, &r)
			if err != nil {
				return nil, err
			}
			switch c := conditions(&r); {
			case strings.HasPrefix(c, "From: ") && !strings.ContainsAny(c, ";"):
				f.Severity = casefile.Low
				f.Why += " The address has the owner's own name, and only the mail of one sender goes there: people do send newsletters home."
			case days >= homeDays:
				f.Severity = casefile.Low
				f.Counts = append(f.Counts, casefile.Count{Name: "days before on which the account signed in from the same network", Value: float64(days), Limit: limit(homeDays)})
				f.Why += fmt.Sprintf(" The address has the owner's own name, and the rule was made from a network in which the account had signed in on %d days before: people do send their mail home, where it is no safer.", days)
			}
		}
		out = append(out, f)
	}
	return out, nil
}

func (inboxRuleHidesOrForwards) finding(r *record, own map[string]bool) (casefile.Finding, bool) {
	name := firstOf(r.detail.Params["Name"], r.detail.RuleName, afterLast(r.Target, `\`))
	mailbox := firstOf(r.Mailbox, r.Actor)
	f := casefile.Finding{
		Tenant: r.Tenant, First: casefile.TimeOf(r.Time), Last: casefile.TimeOf(r.Time), Events: r.ids(),
		Entities: append(r.actorEntities(), casefile.Entity{Kind: casefile.Mailbox, ID: mailbox, Role: casefile.RoleTarget}),
	}
	if name != "" {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Rule, ID: mailbox + `\` + name, Role: casefile.RoleTarget})
	}
	to := outside(r.detail.Forward, own)
	hides, deletes := hiding(r)
	words := bait(r)
	switch {
	case len(to) > 0:
		f.Severity = casefile.High
		f.Techniques = []string{"T1114.003"}
		f.Title = fmt.Sprintf("Inbox rule of %s forwards to %s", mailbox, list(to, 2))
		for _, a := range to {
			f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Address, ID: a, Role: casefile.RoleTarget})
		}
	case hides != "" && len(words) > 0:
		f.Severity = casefile.High
		f.Techniques = []string{"T1564.008"}
		f.Title = fmt.Sprintf("Inbox rule of %s hides mail about %s", mailbox, list(words, 3))
	case deletes && conditions(r) == "":
		f.Severity = casefile.Medium
		f.Techniques = []string{"T1564.008"}
		f.Title = fmt.Sprintf("Inbox rule of %s deletes all mail", mailbox)
	case hides != "" && oddName(name):
		f.Severity = casefile.Medium
		f.Techniques = []string{"T1564.008"}
		f.Title = fmt.Sprintf("Inbox rule of %s with the name %q hides mail", mailbox, name)
	default:
		return f, false
	}
	f.Counts = []casefile.Count{{Name: "addresses outside", Value: float64(len(to))}, {Name: "words that fraud hides", Value: float64(len(words))}}
	f.Why = fmt.Sprintf("%s ran %s on the mailbox %s at %s (rule %q).", r.who(), r.Operation, mailbox, casefile.TimeOf(r.Time), name)
	if len(to) > 0 {
		f.Why += fmt.Sprintf(" It forwards to %s, outside of the organization's domains as seen in the evidence.", strings.Join(to, ", "))
	}
	if hides != "" {
		f.Why += " It " + hides + "."
	}
	if c := conditions(r); c != "" {
		f.Why += " Its condition: " + c + "."
	}
	return f, true
}

// homeDays is on how many days before an account must have signed in from a
// network that is its own.
const homeDays = 3

// ownAddress reports whether all addresses have the name of the mailbox.
func ownAddress(to []string, mailbox string) bool {
	name, _, _ := strings.Cut(strings.ToLower(mailbox), "@")
	return len(name) > 3 && !slices.ContainsFunc(to, func(a string) bool { local, _, _ := strings.Cut(a, "@"); return local != name })
}

// daysAtHome counts the days, up to the one before a record, on which its
// account signed in from its network.
func daysAtHome(ctx context.Context, q store.Querier, r *record) (days int64, err error) {
	if r.IP == "" || r.IPService {
		return 0, nil
	}
	err = store.Each(ctx, q, `SELECT count(DISTINCT CAST(time AS DATE)) FROM events WHERE `+peopleSQL+` AND outcome = 'success' AND actor = ? AND time < ? AND `+networkSQL()+` IN (
		SELECT `+networkSQL()+` FROM events WHERE id = ?)`, []any{r.Actor, r.Time.Add(-24 * time.Hour), r.ID}, func(scan scanner) error { return scan(&days) })
	return days, err
}

// hiding says how a rule hides mail, and whether it deletes it.
func hiding(r *record) (how string, deletes bool) {
	p := r.detail.Params
	for _, k := range []string{"DeleteMessage", "SoftDeleteMessage"} {
		if strings.EqualFold(p[k], "true") {
			return "deletes mail", true
		}
	}
	for _, a := range r.detail.RuleActions {
		if a := strings.ToLower(a); strings.Contains(a, "delete") && !strings.Contains(a, "=") {
			return "deletes mail", true
		}
	}
	if to := strings.ToLower(p["MoveToFolder"]); to != "" {
		for _, h := range hidingFolders() {
			if strings.Contains(to, h) {
				return fmt.Sprintf("moves mail to %q", p["MoveToFolder"]), false
			}
		}
	}
	return "", false
}

// conditions repeats a rule's conditions.
func conditions(r *record) string {
	var out []string
	for k, v := range r.detail.Params {
		if strings.Contains(k, "Words") || k == "From" || k == "HasAttachment" || k == "FromAddressContainsWords" || k == "SentTo" {
			out = append(out, k+": "+v)
		}
	}
	if r.detail.RuleCondition != "" {
		out = append(out, r.detail.RuleCondition)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// bait finds the words of fraud in a rule's conditions and name.
func bait(r *record) (out []string) {
	text := strings.ToLower(conditions(r))
	for _, w := range baitWords() {
		if strings.Contains(text, w) {
			out = append(out, w)
		}
	}
	return out
}

// oddName reports names such as "." and "..": chosen not to be seen.
func oddName(s string) bool {
	return s != "" && strings.Trim(s, ".,;:-_ *'`~") == "" || len(s) == 1
}

func afterLast(s, sep string) string {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[i+len(sep):]
	}
	return s
}
