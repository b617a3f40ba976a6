package detect

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"midwatch/casefile"
	"midwatch/event"
	"midwatch/store"
)

// appBreadth finds days on which an application read mailboxes that it never
// read before, more than its own past explains.
type appBreadth struct{}

const (
	breadthWarmUp = 7  // days after an application's first read in which all mailboxes are new to it
	breadthPast   = 14 // days of its own past, after the warm-up, that it takes to say what is usual
	breadthLeast  = 3  // mailboxes; fewer are no breadth
	breadthBroad  = .5 // share of the tenant's mailboxes from which an application is held to read all, new ones included
	breadthYoung  = 14 // days since the evidence first names a mailbox in which it is a new person's
	// breadthEvery is after how many days one false alarm in a tenant is
	// accepted, over all of its applications.
	breadthEvery = 90.0
)

// Card implements [Detector].
func (appBreadth) Card() Card {
	return Card{
		ID:    "app_breadth",
		Title: "Application reads more new mailboxes in a day than its own past explains",
		Why: "A product reads the mailboxes that it was set up for. One that suddenly reads others, as the whole leadership, was given more to do, or is in other hands: with the " +
			"credential of a legitimate reader nobody needs another grant.",
		FalsePositives: []string{"a product that is rolled out to another department", "a new case of an archiving or eDiscovery product", "an acquisition whose mailboxes are taken over"},
		Techniques:     []string{"T1114.002", "T1550.001"},
		Stage:          casefile.StageCollection,
		Needs:          mailNeeds(),
		Helps:          []Help{{Source: event.SignIn, Classes: []event.Class{event.ClassSignIn}, What: "it is not seen whether the reads came with another credential or from another network"}},
		Severity:       casefile.Medium,
		FalseAlarms:    FalseAlarms{PerDay: 1 / breadthEvery, Basis: "the threshold: upper tail of a negative binomial fitted to each application's own past, divided among the applications; none in simulated quiet tenants"},
	}
}

// breadthDay is how many mailboxes were new to an application on a day.
type breadthDay struct {
	appKey
	day time.Time
	n   int64
}

// Detect implements [Detector].
func (d appBreadth) Detect(ctx context.Context, q store.Querier) ([]casefile.Finding, error) {
	// A mailbox that other records name for the first time shortly before, and
	// long after the begin of the evidence, is a new employee's, and no breadth.
	first := appReadsSQL() + `, begins AS (
		SELECT coalesce(tenant, '') AS g_tenant, min(time) AS begun, max(time) AS ended FROM events WHERE class IN ('mail_access', 'attachment_access') GROUP BY coalesce(tenant, '')
	), born AS (
		SELECT coalesce(tenant, '') AS n_tenant, mailbox AS n_mailbox, min(time) AS n_first FROM events WHERE mailbox IS NOT NULL AND mailbox <> '' AND time IS NOT NULL GROUP BY coalesce(tenant, ''), mailbox
	), firsts AS (
		SELECT tenant, app_id, mailbox, min(time) AS first_at FROM reads WHERE actor_kind = 'app' AND mailbox <> '' GROUP BY tenant, app_id, mailbox
	), spans AS (
		SELECT tenant AS s_tenant, app_id AS s_app, min(first_at) AS since, count(*) AS boxes FROM firsts GROUP BY tenant, app_id
	), fresh AS (
		SELECT f.tenant, f.app_id, f.mailbox, f.first_at, CAST(f.first_at AS DATE) AS day FROM firsts f JOIN begins g ON g.g_tenant = f.tenant LEFT JOIN born n ON n.n_tenant = f.tenant AND n.n_mailbox = f.mailbox
		WHERE n.n_first IS NULL OR n.n_first <= g.begun + INTERVAL ` + fmt.Sprint(breadthYoung) + ` DAY OR n.n_first <= f.first_at - INTERVAL ` + fmt.Sprint(breadthYoung) + ` DAY OR n.n_first >= f.first_at
	)`
	type span struct {
		since, end   time.Time
		boxes, whole int64
	}
	spans := map[appKey]span{}
	err := store.Each(ctx, q, first+`, wholes AS (
			SELECT n_tenant AS w_tenant, count(*) AS w_n FROM born GROUP BY n_tenant
		) SELECT s_tenant, s_app, since, ended, boxes, w_n FROM spans JOIN begins ON g_tenant = s_tenant JOIN wholes ON w_tenant = s_tenant`, nil, func(scan scanner) error {
		var k appKey
		var s span
		err := scan(&k.tenant, &k.app, &s.since, &s.end, &s.boxes, &s.whole)
		s.since, s.end = s.since.UTC(), s.end.UTC()
		spans[k] = s
		return err
	})
	if err != nil || len(spans) == 0 {
		return nil, err
	}
	var days []breadthDay
	err = store.Each(ctx, q, first+` SELECT tenant, app_id, day, count(*) FROM fresh JOIN spans ON s_tenant = tenant AND s_app = app_id
		WHERE first_at >= since + INTERVAL `+fmt.Sprint(breadthWarmUp)+` DAY GROUP BY tenant, app_id, day ORDER BY tenant, app_id, day`, nil, func(scan scanner) error {
		var b breadthDay
		err := scan(&b.tenant, &b.app, &b.day, &b.n)
		b.day = b.day.UTC()
		days = append(days, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	apps := map[string]int{}
	for k := range spans {
		apps[k.tenant]++
	}
	var out []casefile.Finding
	past := map[appKey][]breadthDay{}
	for _, b := range days {
		s := spans[b.appKey]
		from := s.since.Truncate(24*time.Hour).AddDate(0, 0, breadthWarmUp+1) // the first whole day
		n := int(b.day.Sub(from).Hours() / 24)
		if n >= breadthPast && b.n >= breadthLeast {
			mean, size := breadthFit(past[b.appKey], from, n)
			p := negBinTail(b.n, mean, size)
			if limit := 1 / (breadthEvery * float64(apps[b.tenant])); p < limit {
				f, err := d.finding(ctx, q, first, b, n, mean, size, p, limit, float64(s.boxes)/float64(max(s.whole, 1)))
				if err != nil {
					return nil, err
				}
				out = append(out, f)
				continue // a day that stands out is no part of what is usual
			}
		}
		past[b.appKey] = append(past[b.appKey], b)
	}
	return out, nil
}

// breadthFit fits a negative binomial distribution to the n days from from on,
// those without a new mailbox included: mean and size by moments, with half a
// mailbox more than was seen, so that a past without any still expects some.
func breadthFit(past []breadthDay, from time.Time, n int) (mean, size float64) {
	var sum, squares float64
	for _, b := range past {
		if b.day.Before(from) {
			continue
		}
		sum += float64(b.n)
		squares += float64(b.n) * float64(b.n)
	}
	mean = (sum + 0.5) / float64(n+1)
	variance := (squares - sum*sum/float64(n)) / float64(max(n-1, 1))
	if variance <= mean {
		return mean, 1 // never nearer to Poisson: people come in groups
	}
	return mean, min(1, mean*mean/(variance-mean))
}

// negBinTail is the probability of x or more under a negative binomial
// distribution with a mean and a size parameter (variance mean + mean²/size).
func negBinTail(x int64, mean, size float64) float64 {
	p := size / (size + mean)
	term := math.Exp(size * math.Log(p)) // of 0
	below := 0.0
	for k := int64(0); k < x; k++ {
		below += term
		term *= (float64(k) + size) / float64(k+1) * (1 - p)
	}
	return max(0, 1-below)
}

func (appBreadth) finding(ctx context.Context, q store.Querier, first string, b breadthDay, n int, mean, size, p, pLimit, share float64) (casefile.Finding, error) {
	f := casefile.Finding{Tenant: b.tenant, Severity: casefile.Medium}
	next := b.day.AddDate(0, 0, 1)
	var boxes []string
	err := store.Each(ctx, q, first+` SELECT mailbox, first_at FROM fresh WHERE tenant = ? AND app_id = ? AND first_at >= ? AND first_at < ? ORDER BY mailbox`, []any{b.tenant, b.app, b.day, next}, func(scan scanner) error {
		var m string
		var at time.Time
		err := scan(&m, &at)
		boxes = append(boxes, m)
		f.First, f.Last = casefile.Earlier(f.First, casefile.TimeOf(at)), casefile.Later(f.Last, casefile.TimeOf(at))
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Mailbox, ID: m, Role: casefile.RoleTarget})
		return err
	})
	if err != nil {
		return f, err
	}
	f.Detected = f.Last
	in := `reads WHERE tenant = ? AND app_id = ? AND actor_kind = 'app' AND time >= ? AND time < ? AND mailbox IN (` + quoted(boxes) + `)`
	args := []any{b.tenant, b.app, b.day, next}
	c, err := cite(ctx, q, appReadsSQL(), in, args...)
	if err != nil {
		return f, err
	}
	c.into(&f)
	var name string
	var strange int64
	var tokens []string
	err = store.Each(ctx, q, appReadsSQL()+`, old AS (
			SELECT DISTINCT net AS o_net FROM reads WHERE tenant = ? AND app_id = ? AND actor_kind = 'app' AND time < ? AND ip <> ''
		) SELECT DISTINCT token_id, app_name, CASE WHEN ip <> '' AND NOT ip_service AND net NOT IN (SELECT o_net FROM old) THEN ip ELSE '' END FROM `+in+` ORDER BY 1, 2, 3`,
		slices.Concat([]any{b.tenant, b.app, b.day}, args), func(scan scanner) error {
			var token, n, ip string
			err := scan(&token, &n, &ip)
			name = firstOf(name, n)
			tokens = append(tokens, token)
			if ip != "" {
				strange++
				f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.IP, ID: ip, Role: casefile.RoleSource})
			}
			return err
		})
	if err != nil {
		return f, err
	}
	if name == "" {
		if name, err = appName(ctx, q, b.app); err != nil {
			return f, err
		}
	}
	f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.App, ID: b.app, Role: casefile.RoleActor, Name: name})
	for _, t := range casefile.Unique(tokens) {
		f.Entities = append(f.Entities, casefile.Entity{Kind: casefile.Token, ID: t, Role: casefile.RoleUsed})
	}
	f.Title = fmt.Sprintf("Application %s read %d mailboxes in a day that it never read before", firstOf(name, b.app), b.n)
	f.Counts = []casefile.Count{
		{Name: "mailboxes new to it on the day", Value: float64(b.n), Limit: limit(breadthLeast)},
		{Name: "new ones a day that its past expects", Value: round2(mean)},
		{Name: "size parameter of the negative binomial distribution", Value: round2(size)},
		{Name: "days of its past", Value: float64(n), Limit: limit(breadthPast)},
		{Name: "probability of as many", Value: roundProb(p), Limit: limit(roundProb(pLimit))},
	}
	f.Why = fmt.Sprintf("On %s application %s read %d mailboxes that it had never read in the evidence: %s. In its %d days before it read %.2f new ones a day; the probability of as many on a day is %.2g (negative binomial), and below %.2g it is told.",
		b.day.Format("2006-01-02"), appWords(name, b.app), b.n, list(boxes, 8), n, mean, p, pLimit)
	switch {
	case strange > 0:
		f.Severity = casefile.High
		f.Why += " It read them from a network from which it had never read."
	case share >= breadthBroad:
		f.Severity = casefile.Low
		f.Why += fmt.Sprintf(" It reads %.0f %% of all mailboxes in the evidence, from the same networks as ever: a product for everybody gets new mailboxes.", 100*share)
	default:
		f.Why += " It read them from networks that it has always used, where these are recorded."
	}
	return f, nil
}

// roundProb rounds a probability to two significant digits.
func roundProb(p float64) float64 {
	x, _ := strconv.ParseFloat(strconv.FormatFloat(p, 'e', 1, 64), 64)
	return x
}
