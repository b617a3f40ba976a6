package investigate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"midwatch/casefile"
	"midwatch/store"
)

// maxPerMailbox is how many mailboxes are listed with their coverage.
const maxPerMailbox = 500

// perMailbox says for each mailbox whether reads of it are recorded, by the
// ratio of reads to its other records: a mailbox that goes on sending and
// moving mail, and of which no read is recorded any more, lost its licence or
// its auditing.
func (w *world) perMailbox(ctx context.Context, q store.Querier, c *casefile.MailCoverage) error {
	type box struct {
		casefile.MailboxCover
		before, after int64 // other records before the first and after the last read
		throttled     int64
	}
	boxes := map[string]*box{}
	const others = `'mail_send', 'mail_change', 'mail_delete'`
	err := store.Each(ctx, q, `WITH boxes AS (
			SELECT coalesce(mailbox, '') AS b_name, coalesce(mailbox_id, '') AS b_id, count(CASE WHEN class = 'mail_access' THEN 1 END) AS reads, count(CASE WHEN class <> 'mail_access' THEN 1 END) AS other,
				min(CASE WHEN class = 'mail_access' THEN time END) AS first_read, max(CASE WHEN class = 'mail_access' THEN time END) AS last_read, count(CASE WHEN throttled THEN 1 END) AS throttled_records
			FROM events WHERE source IN ('ual', 'google') AND class IN ('mail_access', `+others+`) AND (coalesce(mailbox, '') <> '' OR coalesce(mailbox_id, '') <> '') GROUP BY 1, 2
		), around AS (
			SELECT b_name AS a_name, b_id AS a_id, count(CASE WHEN e.time < first_read THEN 1 END) AS before, count(CASE WHEN e.time > last_read THEN 1 END) AS after
			FROM events e JOIN boxes ON coalesce(e.mailbox, '') = b_name AND coalesce(e.mailbox_id, '') = b_id
			WHERE e.source IN ('ual', 'google') AND e.class IN (`+others+`) GROUP BY b_name, b_id
		)
		SELECT b_name, b_id, reads, other, coalesce(first_read, CAST('1970-01-01 00:00:00' AS TIMESTAMP)), coalesce(last_read, CAST('1970-01-01 00:00:00' AS TIMESTAMP)), throttled_records, coalesce(before, 0), coalesce(after, 0)
		FROM boxes LEFT JOIN around ON a_name = b_name AND a_id = b_id ORDER BY b_name, b_id`, nil, func(scan scanner) error {
		var name, id string
		var x box
		var a, z time.Time
		if err := scan(&name, &id, &x.Reads, &x.Other, &a, &z, &x.throttled, &x.before, &x.after); err != nil {
			return err
		}
		name = w.mailbox(name, id)
		b := boxes[name]
		if b == nil {
			b = &box{MailboxCover: casefile.MailboxCover{UPN: name}}
			boxes[name] = b
		}
		b.Reads, b.Other, b.throttled, b.before, b.after = b.Reads+x.Reads, b.Other+x.Other, b.throttled+x.throttled, b.before+x.before, b.after+x.after
		if x.Reads > 0 {
			b.First, b.Last = casefile.Earlier(b.First, casefile.TimeOf(a)), casefile.Later(b.Last, casefile.TimeOf(z))
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.States = map[string]int64{}
	for _, name := range sortedKeys(boxes) {
		b := boxes[name]
		during := b.Other - b.before - b.after
		// Reads that the other records would lead one to expect, by the ratio
		// while reads are recorded; a tenth of it, since ratios change.
		expect := func(n int64) float64 { return float64(b.Reads) / float64(max(during, 1)) * float64(n) / 10 }
		switch {
		case b.Reads == 0:
			b.State, b.Why = casefile.CoverNever, fmt.Sprintf("%s of its mail, none of reading by anybody: its licence or audit settings may not record them", plural(int(b.Other), "other record", "other records"))
		case expect(b.after) > expectedReads && w.to.Sub(b.Last.Time) > stillDays*24*time.Hour:
			b.State, b.Why = casefile.CoverStops, fmt.Sprintf("no read is recorded after %s, while %s of its mail go on", b.Last, plural(int(b.after), "other record", "other records"))
		case expect(b.before) > expectedReads && b.First.Sub(w.from) > stillDays*24*time.Hour:
			b.State, b.Why = casefile.CoverStarts, fmt.Sprintf("no read is recorded before %s, while there are %s of its mail", b.First, plural(int(b.before), "other record", "other records"))
		case b.throttled > 0:
			b.State, b.Why = casefile.CoverThrottled, fmt.Sprintf("%s that reads were throttled: for 24 hours after each, reads of single messages were not recorded", plural(int(b.throttled), "record says", "records say"))
		default:
			b.State = casefile.CoverRecorded
		}
		c.States[b.State]++
		if b.State != casefile.CoverRecorded {
			c.PerMailbox = append(c.PerMailbox, b.MailboxCover)
		}
	}
	rank := func(s string) int {
		return slices.Index([]string{casefile.CoverThrottled, casefile.CoverStops, casefile.CoverStarts, casefile.CoverNever}, s)
	}
	slices.SortStableFunc(c.PerMailbox, func(x, y casefile.MailboxCover) int { return rank(x.State) - rank(y.State) })
	c.PerMailbox = c.PerMailbox[:min(len(c.PerMailbox), maxPerMailbox)]
	return nil
}

// expectedReads is how many reads have to be missing for their absence to have
// a probability below 1 in 1,000 (Poisson).
const expectedReads = 6.9 // -ln(0.001)

// stillDays is for how many days nothing is recorded before it is remarkable.
const stillDays = 7
