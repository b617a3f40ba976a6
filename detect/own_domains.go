package detect

import (
	"context"
	"slices"
	"strings"

	"midwatch/store"
)

// ownDomains lists the domains of the organization as the evidence shows
// them: those of mailboxes, and those of at least two accounts that changed
// something in the directory or in Exchange. Providers of private mail are
// never an organization's own.
func ownDomains(ctx context.Context, q store.Querier) (map[string]bool, error) {
	own := map[string]bool{}
	query := `SELECT d, max(kind) FROM (
		SELECT lower(` + domainSQL("mailbox") + `) AS d, 'mailbox' AS kind, mailbox AS who FROM events WHERE mailbox LIKE '%@%'
		UNION ALL
		SELECT lower(` + domainSQL("actor") + `) AS d, 'actor' AS kind, actor AS who FROM events
		WHERE actor LIKE '%@%' AND actor NOT LIKE '%#ext#%' AND actor_kind IN ('user', 'admin') AND coalesce(outcome, '') <> 'failure'
	) x GROUP BY d HAVING max(kind) = 'mailbox' OR count(DISTINCT who) >= 2 ORDER BY d`
	err := store.Each(ctx, q, query, nil, func(scan scanner) error {
		var d, kind string
		if err := scan(&d, &kind); err != nil {
			return err
		}
		if kind == "mailbox" || !slices.Contains(privateMail(), d) {
			own[d] = true
		}
		return nil
	})
	return own, err
}

// privateMail lists large providers of private mail.
func privateMail() []string {
	return []string{"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com", "me.com", "aol.com", "gmx.de", "gmx.net", "web.de", "mail.ru", "yandex.ru", "qq.com", "163.com", "proton.me", "protonmail.com", "tutanota.com"}
}

// outside returns the addresses that lie outside of the domains, without
// duplicates. A word without a domain is a name inside the organization.
func outside(addresses []string, own map[string]bool) (out []string) {
	for _, a := range addresses {
		a = strings.ToLower(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(a)), "smtp:"))
		_, domain, ok := strings.Cut(a, "@")
		if !ok || own[domain] || slices.Contains(out, a) {
			continue
		}
		sub := false
		for d := range own {
			sub = sub || strings.HasSuffix(domain, "."+d)
		}
		if !sub {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return out
}
